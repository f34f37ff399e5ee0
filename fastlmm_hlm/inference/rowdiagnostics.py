"""Diagnostics of single rows, theta taken as known: leverages, standardized residuals, Cook's distances."""

import numpy as np

from fastlmm_hlm.errors import ArgumentError
from fastlmm_hlm.inference.leverage import leverages

# A leverage this close to 1 says that the row alone determines some fixed effect.
DETERMINED = 1e-10


def pearson(fit, design, mu=None):
    """Conditional residuals times the root of their prior weight, (n,); `mu` are the fitted values where known."""
    r = design.y - (fit._linear_predictor() if mu is None else mu)
    return r if design.weights is None else r * np.sqrt(design.weights)


def standardized(fit, caller):
    """Conditional residuals over their own standard deviation, (n,); NaN where the leverage is 1."""
    r = pearson(fit, fit._rows_or_raise(caller).design)
    return _over(r, 1.0 - leverages(fit, caller), fit._estimates.sigma)


def cooks_distances(r, h, p, sigma):
    """Cook's distance from leverages, (n,): r^2 h / (p sigma^2 (1 - h)^2), r with the root of its weight."""
    with np.errstate(divide="ignore", invalid="ignore"):
        out = r**2 * h / (p * sigma**2 * (1.0 - h) ** 2)
    return np.where(np.isinf(out), np.nan, out)


def hatvalues(fit):
    """Leverages: the diagonal of the hat matrix of the conditional fit, theta taken as known.

    Exact for every model; see `fastlmm_hlm.inference.leverage` for the cost.

    Returns
    -------
    Series
        Aligned with the data; the sum is the effective number of parameters.

    Raises
    ------
    RowsNotKeptError
        If the fit was pickled without its rows.
    """
    return fit._rows_or_raise("hatvalues").series(leverages(fit), "hatvalues")


def rstandard(fit):
    """Standardized residuals: r_i / (sigma sqrt(1 - h_i)).

    r_i is the conditional residual times the root of its prior weight, h_i its
    leverage (`hatvalues`).

    Returns
    -------
    Series
        Aligned with the data; NaN where the leverage is 1.

    Raises
    ------
    RowsNotKeptError
        If the fit was pickled without its rows.
    """
    return fit._rows_or_raise("rstandard").series(standardized(fit, "rstandard"), "rstandard")


def rstudent(fit, sigma="full"):
    """Studentized residuals.

    Parameters
    ----------
    fit : LinearMixedModel
    sigma : {"full", "deleted"}
        Residual standard deviation to divide by.  "full": that of the fit, the
        numbers of lme4 1.1's ``rstudent``, which are those of `rstandard`.
        "deleted": row by row that of the other rows at the same theta, as base R's
        ``rstudent`` has it for linear models.

    Returns
    -------
    Series
        Aligned with the data; NaN where the leverage is 1.

    Raises
    ------
    ArgumentError
        For another value of `sigma`.
    RowsNotKeptError
        If the fit was pickled without its rows.

    Notes
    -----
    Without row i the penalized residual sum of squares is r2 - r_i^2 / (1 - h_i) and
    the degrees of freedom are one less.
    """
    if sigma not in ("full", "deleted"):
        raise ArgumentError(f"rstudent: sigma = {sigma!r}; use 'full' or 'deleted'.")
    rows, e = fit._rows_or_raise("rstudent"), fit._estimates
    r, left = pearson(fit, rows.design), 1.0 - leverages(fit, "rstudent")
    return rows.series(_over(r, left, e.sigma if sigma == "full" else deleted_sigmas(r, left, e)), "rstudent")


def deleted_sigmas(r, left, estimates):
    """Residual standard deviation without each row at the same theta, (n,).

    Parameters
    ----------
    r : ndarray (n,)
        From `pearson`.
    left : ndarray (n,)
        1 - h.  Where it is 0 the row fits exactly, and takes a fixed effect with it.
    estimates : LmmEstimates
    """
    free = left > DETERMINED
    r2 = estimates.pwrss - np.where(free, r**2 / np.where(free, left, 1.0), 0.0)
    lost = np.where(free | (not estimates.reml), 1.0, 0.0)
    return np.sqrt(np.maximum(r2, 0.0) / (estimates.degrees - lost))


def _over(r, left, sigma):
    """r / (sigma sqrt(left)), NaN where nothing is left."""
    return np.where(left > DETERMINED, r / (sigma * np.sqrt(np.where(left > DETERMINED, left, 1.0))), np.nan)
