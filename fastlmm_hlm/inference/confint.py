"""Confidence intervals of a fit by profile likelihood, normal theory or bootstrap."""

import numpy as np
import pandas as pd

from fastlmm_hlm.errors import ArgumentError
from fastlmm_hlm.inference.boot_intervals import boot_intervals, check_level
from fastlmm_hlm.inference.bootstrap import bootMer
from fastlmm_hlm.inference.parameters import chosen, parameters_of, values_of
from fastlmm_hlm.inference.profile import traced
from fastlmm_hlm.report.percent import percent_names

METHODS = ("profile", "Wald", "boot")
# Steps to the limit that are enough to find it.
STEPS = 2
# The search goes this much further than the limit.
BEYOND = 1.02


class Estimates:
    """All parameters of a fit as a function, for a bootstrap.

    Parameters
    ----------
    parameters : list of Parameter
    """

    __name__ = "estimates"

    def __init__(self, parameters):
        self.parameters = parameters

    def __call__(self, fit):
        e = fit._estimates
        values = values_of(self.parameters, [T[None] for T in e.templates], np.array([e.sigma]), e.beta[None])[0]
        return pd.Series(values, index=[one.short for one in self.parameters])

    def of_refits(self, refits, fit):
        """The same of many refits at once, (k, parameters)."""
        return values_of(self.parameters, refits.templates, refits.sigma, refits.beta)


def confint(fit, parm=None, level=0.95, method="profile", nsim=500, boot_type="perc", seed=None, signames=True,
            quiet=True, ddf=None, use_u=False, processes=1, oldNames=None):  # noqa: N803
    """Confidence intervals of the parameters.

    Parameters
    ----------
    fit : LinearMixedModel
    parm : optional
        Parameters: numbers from 0, names, ``"theta_"`` (standard deviations, correlations and
        sigma) or ``"beta_"`` (fixed effects); all by default.
    level : float
    method : {"profile", "Wald", "boot"}
        Likelihood profiles (exact limits: every one is solved for); normal theory, for the
        fixed effects only; parametric bootstrap.
    nsim, boot_type, seed, use_u, processes
        Of the bootstrap, see `bootMer` and `BootMer.confint`.
    signames : bool
        Names .sig01, .sig02, ..., .sigma; False gives "sd_(Intercept)|Subject" and so on.
        ``oldNames`` is lme4's older word for it.
    quiet : bool
        False shows a progress bar of the bootstrap.
    ddf : str, optional
        For "Wald": t quantiles with these denominator degrees of freedom, such as
        "Satterthwaite" or "Kenward-Roger"; normal quantiles by default.

    Returns
    -------
    DataFrame
        Columns such as "2.5 %" and "97.5 %", rows in lme4's order.

    Raises
    ------
    ArgumentError, UnknownNameError
        For arguments out of range.
    """
    level = check_level(level, "confint")
    if method not in METHODS:
        raise ArgumentError(f"confint: method = {method!r} is not known; use one of {', '.join(map(repr, METHODS))}.")
    if ddf is not None and method != "Wald":
        raise ArgumentError(f"confint: ddf = {ddf!r} belongs to method='Wald'; method = {method!r} has no t quantiles.")
    signames = signames if oldNames is None else oldNames
    parameters = parameters_of(fit)
    places = chosen(parameters, parm, "confint")
    names = [parameters[i].short if signames else parameters[i].name for i in places]
    if method == "profile":
        limits = _by_profile(fit, parameters, places, level)
    elif method == "Wald":
        limits = _by_wald(fit, parameters, level, ddf)[places]
    else:
        made = bootMer(fit, Estimates(parameters), nsim, seed, use_u, progress=not quiet, processes=processes)
        limits = boot_intervals(made.t0.to_numpy(), made.t, level, boot_type)[places]
    return pd.DataFrame(limits, index=names, columns=percent_names(level))


def _by_profile(fit, parameters, places, level):
    from scipy.special import ndtri

    reach = float(ndtri((1.0 + level) / 2.0))
    made = traced(fit, parameters, places, BEYOND * reach, BEYOND * reach / STEPS, (level,), True)
    return made.confint(level=level).to_numpy()


def _by_wald(fit, parameters, level, ddf):
    """Estimate +- quantile * standard error for the fixed effects, NaN for the rest."""
    from scipy.special import ndtri, stdtrit

    out = np.full((len(parameters), 2), np.nan)
    beta = fit._estimates.beta
    tail = (1.0 + level) / 2.0
    if ddf is None:
        half = float(ndtri(tail)) * np.sqrt(np.diagonal(fit.vcov().to_numpy()))
    else:
        from fastlmm_hlm.inference.ddf import method_of

        method = method_of(fit, ddf)
        df = np.asarray(method.df(np.eye(len(beta))), dtype=float)
        quantile = np.where(np.isfinite(df), stdtrit(np.where(np.isfinite(df), df, 1.0), tail), ndtri(tail))
        half = quantile * np.sqrt(np.diagonal(method.vcov))
    own = [i for i, one in enumerate(parameters) if one.is_fixed_effect]
    out[own, 0], out[own, 1] = beta - half, beta + half
    return out
