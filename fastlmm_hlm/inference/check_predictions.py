"""Simulated responses beside the observed one (performance's check_predictions)."""

from numbers import Integral

import numpy as np
import pandas as pd

from fastlmm_hlm.errors import ArgumentError
from fastlmm_hlm.inference.checks import Check
from fastlmm_hlm.inference.density import kernel_density
from fastlmm_hlm.inference.simulation import generator_of, seed_sequence, simulator_of

# Share of the replicates between the limits of a statistic.
INSIDE = 0.95


class Predictions(Check):
    """A check with its replicates; ``.frame``, ``.statistics``, ``.iterations``, ``.seed`` and `simulated`."""

    def simulated(self):
        """The replicates, drawn again from the seed, and the response: DataFrame (n, iterations + 1), columns sim_1 ... and y."""
        fit, use_u = self.numbers["fit"], self.numbers["use_u"]
        simulator = simulator_of(fit, use_u, caller="check_predictions")
        seed, count = self.numbers["seed"], self.numbers["iterations"]
        draws = {f"sim_{i + 1}": simulator.draw(generator_of(seed, i)) for i in range(count)}
        rows = fit._rows_or_raise("check_predictions")
        return pd.DataFrame({**draws, "y": rows.design.y}, index=rows.index)


def check_predictions(fit, iterations=50, seed=None, use_u=True, points=256):
    """Compare the response with responses simulated from the fit.

    Parameters
    ----------
    fit : LinearMixedModel
    iterations : int
        Replicates.
    seed : None, int, SeedSequence or Generator
    use_u : bool
        Simulate given the random effects (performance's default), or with new ones.
    points : int
        Points of every density.

    Returns
    -------
    Predictions, a Check
        True if the mean, standard deviation, skewness, minimum and maximum of the response lie between the 2.5% and
        97.5% points of the replicates'.  ``.frame``: DataFrame replicate, x, density, replicate 0 being the
        observed response (Gaussian kernel, bandwidth 0.9 min(sd, IQR / 1.34) n^-1/5, as R's density());
        ``.statistics``: DataFrame statistic, observed, mean, lower, upper, p; `simulated()`: the replicates.

    Raises
    ------
    ArgumentError
        For numbers out of range.
    RowsNotKeptError
        If the fit was pickled without its rows.
    """
    for name, value, least in (("iterations", iterations, 2), ("points", points, 16)):
        if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
            raise ArgumentError(f"check_predictions: {name} = {value!r}; expected a whole number, at least {least}.")
    simulator, sequence = simulator_of(fit, use_u, caller="check_predictions"), seed_sequence(seed)
    y = fit._rows_or_raise("check_predictions").design.y
    densities, statistics, draw = [_density(0, y, points)], [], np.empty(len(y))
    for i in range(iterations):
        simulator.draw(generator_of(sequence, i), draw)
        densities.append(_density(i + 1, draw, points))
        statistics.append(_statistics(draw))
    table = _compared(_statistics(y), np.array(statistics))
    outside = table[(table["observed"] < table["lower"]) | (table["observed"] > table["upper"])]
    if len(outside):
        named = "; ".join(f"{row['statistic']} {row['observed']:.4g}, simulated {row['lower']:.4g} to {row['upper']:.4g}"
                          for _, row in outside.iterrows())
        text = f"Warning: the response is unlike responses of the model: {named}."
    else:
        text = f"OK: mean, sd, skewness, minimum and maximum are as in {iterations} simulated responses."
    frame = pd.concat(densities, ignore_index=True)
    numbers = {"frame": frame, "statistics": table, "iterations": int(iterations), "seed": sequence, "use_u": bool(use_u), "fit": fit}
    return Predictions(not len(outside), text, numbers)


def _density(replicate, values, points):
    x, density = kernel_density(values, points)
    return pd.DataFrame({"replicate": replicate, "x": x, "density": density})


NAMES = ("mean", "sd", "skewness", "minimum", "maximum")


def _statistics(values):
    mean = values.mean()
    r = values - mean
    variance = float(np.mean(r**2))
    skewness = float(np.mean(r**3)) / variance**1.5 if variance > 0 else 0.0
    return mean, np.sqrt(variance * len(r) / (len(r) - 1)), skewness, values.min(), values.max()


def _compared(observed, simulated):
    """Observed statistics beside the quantiles of simulated ones, (iterations, 5); p is two-sided."""
    tail = (1.0 - INSIDE) / 2.0
    above = (simulated >= np.array(observed)).mean(axis=0)
    below = (simulated <= np.array(observed)).mean(axis=0)
    return pd.DataFrame({
        "statistic": NAMES, "observed": observed, "mean": simulated.mean(axis=0), "lower": np.quantile(simulated, tail, axis=0),
        "upper": np.quantile(simulated, 1.0 - tail, axis=0), "p": np.minimum(1.0, 2.0 * np.minimum(above, below)),
    })
