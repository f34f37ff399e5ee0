"""Does the model make data like these: the density of the response beside those of simulated responses."""

import numpy as np
import pandas as pd

from fastlmm_hlm.errors import ArgumentError
from fastlmm_hlm.inference.simulation import generator_of, seed_sequence, simulator_of

# Places where a density is computed.
GRID = 512


def predictive_data(fit, nsim=30, *, seed=None):
    """Densities of the response and of responses simulated from the fit, random effects drawn anew.

    Gaussian kernel densities on one grid, with R's default bandwidth
    0.9 min(sd, IQR / 1.34) n^(-1/5) of the observed response (Silverman 1986).

    Parameters
    ----------
    fit : LinearMixedModel
    nsim : int
        Simulated responses.
    seed : None, int, SeedSequence or Generator

    Returns
    -------
    DataFrame, 512 rows
        Columns: the response (the grid), "observed", "sim_1", ..., densities per unit of the response.

    Raises
    ------
    ArgumentError
        If nsim is not 1 or more, or the response does not vary.
    RowsNotKeptError
        If the fit was pickled without its rows.
    """
    if isinstance(nsim, bool) or not isinstance(nsim, (int, np.integer)) or nsim < 1:
        raise ArgumentError(f"predictive_data: nsim = {nsim!r}; give how many responses are simulated, 1 or more.")
    simulator, sequence = simulator_of(fit, caller="predictive_data"), seed_sequence(seed)
    y, response = simulator.design.y, fit._spec.formula.response
    width = bandwidth(y)
    if not width > 0.0:
        raise ArgumentError(f"predictive_data: the response {response} does not vary in its middle half; it has no density.")
    draw = np.empty(len(y))
    ends = [_range(y)]
    for i in range(nsim):
        ends.append(_range(simulator.draw(generator_of(sequence, i), draw)))
    low, high = min(a for a, _ in ends) - 3.0 * width, max(b for _, b in ends) + 3.0 * width
    out = {response: np.linspace(low, high, GRID), "observed": density(y, low, high, width)}
    for i in range(nsim):
        out[f"sim_{i + 1}"] = density(simulator.draw(generator_of(sequence, i), draw), low, high, width)
    return pd.DataFrame(out)


def _range(y):
    return float(y.min()), float(y.max())


def bandwidth(y):
    """R's bw.nrd0; the standard deviation alone where the middle half does not vary."""
    sd, middle = float(np.std(y, ddof=1)), float(np.subtract(*np.quantile(y, [0.75, 0.25]))) / 1.34
    return 0.9 * (min(sd, middle) or sd) * len(y) ** -0.2


def density(y, low, high, width, cells=GRID * 8):
    """Gaussian kernel density at GRID places from low to high.

    Values are shared between the two nearest of `cells` places, and the kernel is
    applied by a convolution; both cost less than a thousandth of the density's height when a
    cell is below a tenth of the bandwidth.
    """
    from scipy import signal

    step = (high - low) / (cells - 1)
    at = (y - low) / step
    left = np.floor(at).astype(np.int64).clip(0, cells - 2)
    part = at - left
    counts = np.bincount(left, 1.0 - part, cells) + np.bincount(left + 1, part, cells)
    reach = min(cells - 1, int(np.ceil(5.0 * width / step)))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) * step / width) ** 2)
    smooth = signal.fftconvolve(counts, kernel / (kernel.sum() * step * len(y)), mode="same")
    return np.interp(np.linspace(low, high, GRID), low + step * np.arange(cells), np.maximum(smooth, 0.0))


def plot_predictive(fit, nsim=30, *, seed=None, ax=None, xlabel=None, title=None):
    """Density of the response, in front of densities of responses simulated from the fit.

    Parameters
    ----------
    fit, nsim, seed
        As for `predictive_data`, which gives the numbers.
    ax : matplotlib Axes or Figure, optional
    xlabel, title : str, optional

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ArgumentError, RowsNotKeptError
        As for `predictive_data`.
    FastlmmError
        If matplotlib is not installed.
    """
    from fastlmm_hlm.report.plot_check import plot_densities

    return plot_densities(predictive_data(fit, nsim, seed=seed), ax=ax, xlabel=xlabel, title=title)
