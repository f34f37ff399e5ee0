"""Does the model make data like these: the density of the response beside those of simulated responses."""

import numpy as np
import pandas as pd

from fastlmm_hlm.errors import ArgumentError
from fastlmm_hlm.inference.density import CUT, bandwidth, density
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
    if not np.ptp(y) > 0.0:
        raise ArgumentError(f"predictive_data: the response {response} does not vary in its middle half; it has no density.")
    width = bandwidth(y)
    draw = np.empty(len(y))
    ends = [_range(y)]
    for i in range(nsim):
        ends.append(_range(simulator.draw(generator_of(sequence, i), draw)))
    low, high = min(a for a, _ in ends) - CUT * width, max(b for _, b in ends) + CUT * width
    out = {response: np.linspace(low, high, GRID), "observed": density(y, low, high, GRID, width)}
    for i in range(nsim):
        out[f"sim_{i + 1}"] = density(simulator.draw(generator_of(sequence, i), draw), low, high, GRID, width)
    return pd.DataFrame(out)


def _range(y):
    return float(y.min()), float(y.max())


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
