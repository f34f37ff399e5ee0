"""Methods for the denominator degrees of freedom of tests of the fixed effects."""

import numpy as np

from fastlmm_hlm.errors import ArgumentError, FastlmmWarning, warn_user
from fastlmm_hlm.inference.satterthwaite import Satterthwaite, independent_contrasts
from fastlmm_hlm.inference.vcov import vcov_fixed

METHODS = ("Satterthwaite", "Kenward-Roger", "lme4")
# What may be written for each method, without regard to case.
SPELLINGS = {
    "satterthwaite": "Satterthwaite", "s": "Satterthwaite",
    "kenward-roger": "Kenward-Roger", "kenward-rogers": "Kenward-Roger", "kr": "Kenward-Roger",
    "lme4": "lme4", "asymptotic": "lme4", "z": "lme4",
}

# Where a fit keeps its REML companion.
REFITTED = "fitted again by REML"


class Asymptotic:
    """No finite degrees of freedom: t is taken as normal, q F as chi-square.

    Attributes
    ----------
    vcov : ndarray (p, p)
    """

    name = "asymptotic"

    def __init__(self, vcov):
        self.vcov = vcov

    def df(self, L):
        """Infinity for every contrast, (m,)."""
        return np.full(len(np.atleast_2d(L)), np.inf)

    def f_test(self, L, difference):
        """Wald's chi-square over its degrees of freedom: F, ndf, infinity."""
        contrasts, t2 = independent_contrasts(L, difference, self.vcov)
        if not len(contrasts):
            return np.nan, 0.0, np.nan
        return float(t2.mean()), float(len(t2)), np.inf


class Method:
    """One method at one fit.

    Attributes
    ----------
    name : str
    vcov : ndarray (p, p)
        Covariance of the fixed effects to use with it, in the order of ``fit.fixef()``;
        the adjusted one for Kenward-Roger.
    """

    def __init__(self, rule, beta):
        self.rule, self.beta = rule, beta
        self.name, self.vcov = rule.name, rule.vcov

    def df(self, L):
        """Degrees of freedom of single contrasts.

        Parameters
        ----------
        L : array (m, p) or (p,)

        Returns
        -------
        ndarray (m,)
        """
        return self.rule.df(self._checked(L))

    def f_test(self, L, rhs=0.0):
        """Joint test of L beta = rhs; dependent rows of L count once.

        Parameters
        ----------
        L : array (q, p) or (p,)
        rhs : float or array (q,)

        Returns
        -------
        F, ndf, ddf : float
            F is the scaled statistic for Kenward-Roger.
        """
        L = self._checked(L)
        return self.rule.f_test(L, L @ self.beta - rhs)

    def f_scale(self, L):
        """What Wald's F of the adjusted covariance was multiplied by in `f_test`: 1 but for Kenward-Roger."""
        scale = getattr(self.rule, "f_scale", None)
        return 1.0 if scale is None else scale(self._checked(L))

    def _checked(self, L):
        L = np.atleast_2d(np.asarray(L, dtype=float))
        if L.ndim != 2 or L.shape[1] != len(self.beta):
            raise ArgumentError(
                f"contrast: L has {L.shape[-1]} columns; expected one per fixed effect, that is {len(self.beta)}."
            )
        return L


def canonical_name(ddf, caller="ddf"):
    """The method that a user's spelling names.

    Raises
    ------
    ArgumentError
    """
    name = SPELLINGS.get(str(ddf).lower())
    if name is None:
        raise ArgumentError(f"{caller}: ddf = {ddf!r} is unknown; use 'Satterthwaite', 'Kenward-Roger' or 'lme4'.")
    return name


def method_of(fit, ddf="Satterthwaite"):
    """The method for the degrees of freedom of tests of a fit's fixed effects.

    Made on the first call, and kept by the fit (not by its pickle).

    Parameters
    ----------
    fit : LinearMixedModel
    ddf : {"Satterthwaite", "Kenward-Roger", "lme4"}

    Returns
    -------
    Method

    Raises
    ------
    ArgumentError
        For an unknown method, or one that the model is too large for.
    """
    name = canonical_name(ddf)
    fit = fit_for(fit, name)
    known = fit._ddf_methods
    if name not in known:
        known[name] = Method(_make(fit, name), fit._estimates.beta)
    return known[name]


def fit_for(fit, ddf):
    """The fit that a method speaks of: Kenward and Roger's is about REML estimates.

    A fit by maximum likelihood is fitted again by REML for it, once.

    Parameters
    ----------
    fit : LinearMixedModel
    ddf : str

    Returns
    -------
    LinearMixedModel

    Warns
    -----
    FastlmmWarning
        When it fits again.
    """
    if canonical_name(ddf) != "Kenward-Roger" or fit.isREML() or fit._given:
        return fit
    if REFITTED not in fit._ddf_methods:
        warn_user(
            "Kenward-Roger's method is about REML estimates, and this fit is by maximum likelihood: it is fitted again by "
            "REML, and the results are those of that fit. Fit with REML=True to begin with, or use ddf='Satterthwaite'.",
            FastlmmWarning,
        )
        fit._ddf_methods[REFITTED] = fit.update(REML=True)
    return fit._ddf_methods[REFITTED]


def _make(fit, name):
    if name == "Satterthwaite" and fit._given:
        from fastlmm_hlm.inference.kenward_roger import ExpectedSatterthwaite

        return ExpectedSatterthwaite(fit._criterion, fit._estimates, fit._x_centring)
    if name == "Satterthwaite":
        return Satterthwaite(fit._criterion, fit._estimates, fit._x_centring)
    if name == "Kenward-Roger":
        from fastlmm_hlm.inference.kenward_roger import KenwardRoger

        return KenwardRoger(fit._criterion, fit._estimates, fit._x_centring)
    return Asymptotic(vcov_fixed(fit._estimates.RX, fit._estimates.sigma))
