"""Parametric bootstrap comparison of two models: pbkrtest's PBmodcomp()."""

import time
from dataclasses import dataclass, field
from numbers import Integral

import numpy as np
import pandas as pd

from fastlmm_hlm.errors import ArgumentError, ConvergenceError, FastlmmWarning, warn_user
from fastlmm_hlm.inference.comparison import check_same_response, require_fit
from fastlmm_hlm.inference.restriction import formula_change
from fastlmm_hlm.inference.simulation import generator_of, seed_sequence, simulator_of
from fastlmm_hlm.inference.tails import chisq_pvalue, f_pvalue
from fastlmm_hlm.report.anovatable import CoefficientTable

# A larger model whose deviance exceeds that of the smaller by more than this was not fitted to its optimum.
ROUNDING = 1e-5
# Half width of a 95% interval in standard errors.
NORMAL_95 = 1.959963984540054


@dataclass(frozen=True)
class BootstrapComparison:
    """A likelihood ratio test with a simulated reference distribution.

    Attributes
    ----------
    test : DataFrame
        Rows LRT (chi-squared) and PBtest (simulated); columns stat, df, p.value.
    ref : ndarray
        The simulated statistics that were used.
    nsim, failed, extremes : int
        Simulations asked for, those without a result, and those above the statistic.
    se, ci : float, (float, float)
        Monte-Carlo standard error and 95% interval of the p-value of PBtest.
    large, small : str
        The formulas.
    seconds : float
    """

    test: pd.DataFrame
    ref: np.ndarray = field(repr=False)
    nsim: int
    failed: int
    extremes: int
    se: float
    ci: tuple
    large: str
    small: str
    seconds: float

    def summary(self):
        """The table with three more approximations, DataFrame.

        Rows Gamma (a gamma distribution with the mean and variance of the simulated
        statistics), Bartlett (the statistic scaled to their mean) and F (the statistic
        over df, with denominator degrees of freedom that give an F distribution the mean
        of theirs); columns stat, df, ddf, p.value.  Halekoh & Hojsgaard (2014), JSS 59(9).
        pbkrtest 0.5.2 takes the mean without dividing it by df, which is another F when
        df > 1.
        """
        from scipy.special import gammaincc

        stat, df = self.test["stat"].iloc[0], self.test["df"].iloc[0]
        mean, variance = self.ref.mean(), self.ref.var(ddof=1) if len(self.ref) > 1 else np.nan
        gamma = float(gammaincc(mean**2 / variance, stat * mean / variance)) if variance > 0 else np.nan
        bartlett = stat * df / mean if mean > 0 else np.nan
        ratio = mean / df
        ddf = 2.0 * ratio / (ratio - 1.0) if ratio != 1.0 else np.inf
        rows = {
            "LRT": (stat, df, np.nan, self.test["p.value"].iloc[0]),
            "PBtest": (stat, np.nan, np.nan, self.test["p.value"].iloc[1]),
            "Gamma": (stat, np.nan, np.nan, gamma),
            "Bartlett": (bartlett, df, np.nan, chisq_pvalue([bartlett], [df])[0]),
            "F": (stat / df, df, ddf, f_pvalue(stat / df, df, ddf) if ddf > 0 else np.nan),
        }
        return CoefficientTable.make(pd.DataFrame(rows, index=["stat", "df", "ddf", "p.value"]).T, self._heading(), [0])

    def _heading(self):
        lines = [f"Bootstrap test; time: {self.seconds:.2f} sec; samples: {self.nsim}; extremes: {self.extremes};"]
        if self.failed:
            lines.append(f"Requested samples: {self.nsim} Used samples: {len(self.ref)} Extremes: {self.extremes}")
        return [*lines, f"large : {self.large}", self.small]

    def __str__(self):
        return str(CoefficientTable.make(self.test, self._heading(), [0]))

    __repr__ = __str__

    def _repr_html_(self):
        return CoefficientTable.make(self.test, self._heading(), [0])._repr_html_()


def PBmodcomp(large, small, nsim=1000, seed=None):  # noqa: N802 - pbkrtest's name
    """Compare two nested models by parametric bootstrap.

    Responses are simulated from the smaller model, both models are fitted to each
    by maximum likelihood, and the likelihood ratio is compared with those simulated.

    Parameters
    ----------
    large, small : LinearMixedModel
        REML fits are fitted again by maximum likelihood.  `small` may be a change of
        the formula of `large`, such as ". ~ . - x".
    nsim : int
        Responses to simulate.
    seed : int or numpy.random.Generator, optional
        The same seed gives the same result.

    Returns
    -------
    BootstrapComparison

    Raises
    ------
    ArgumentError
        If the models have different responses, or `large` is not larger.
    RowsNotKeptError
        If a fit was pickled without its rows.
    ConvergenceError
        If no simulated response could be fitted.

    Warns
    -----
    FastlmmWarning
        If some could not be fitted; they are left out.

    Notes
    -----
    The p-value is (extremes + 1) / (samples + 1).  Where the models differ by a variance,
    many simulated statistics are zero; they count as samples here, while pbkrtest leaves
    out every statistic that is not positive.
    """
    began = time.perf_counter()
    require_fit(large, "PBmodcomp")
    if isinstance(small, str):
        small = formula_change(large, small)
    if isinstance(small, (np.ndarray, list, tuple)):
        raise ArgumentError("PBmodcomp: a restriction matrix names no model to simulate from; give the smaller model, or "
                            "a change of the formula such as '. ~ . - x'.")
    require_fit(small, "PBmodcomp")
    if not isinstance(nsim, Integral) or nsim < 1:
        raise ArgumentError(f"PBmodcomp: nsim = {nsim!r}; expected a whole number, at least 1.")
    check_same_response(large, small, "PBmodcomp: the models")
    if large.npar <= small.npar:
        raise ArgumentError(f"PBmodcomp: the models have {large.npar} and {small.npar} parameters; give the larger one first.")
    large, small = large.refitML(), small.refitML()
    stat = max(float(small.deviance() - large.deviance()), 0.0)
    ref, failed = _reference(large, small, int(nsim), seed)
    if not len(ref):
        raise ConvergenceError(f"PBmodcomp: none of {nsim} simulated responses could be fitted by both models.")
    if failed:
        warn_user(f"PBmodcomp: {failed} of {nsim} simulated responses could not be fitted and are left out.", FastlmmWarning)
    extremes = int((ref > stat).sum())
    p = (1 + extremes) / (1 + len(ref))
    se = float(np.sqrt(p * (1.0 - p) / len(ref)))
    df = float(large.npar - small.npar)
    test = pd.DataFrame(
        {"stat": [stat, stat], "df": [df, np.nan], "p.value": [chisq_pvalue([stat], [df])[0], p]}, index=["LRT", "PBtest"]
    )
    return BootstrapComparison(
        test=test, ref=ref, nsim=int(nsim), failed=failed, extremes=extremes, se=se,
        ci=(max(p - NORMAL_95 * se, 0.0), min(p + NORMAL_95 * se, 1.0)),
        large=str(large.formula), small=str(small.formula), seconds=time.perf_counter() - began,
    )


def _reference(large, small, nsim, seed):
    """Likelihood ratios of responses simulated from the smaller model.

    Returns
    -------
    ref : ndarray
        In the order of the replicates, those that failed left out.
    failed : int
    """
    from fastlmm_hlm.inference.refits import Refitter

    simulator, sequence = simulator_of(small, caller="PBmodcomp"), seed_sequence(seed)
    fitters = [Refitter(large, "PBmodcomp"), Refitter(small, "PBmodcomp")]
    step = min(fitter.at_a_time for fitter in fitters)
    ref = np.empty(nsim)
    for first in range(0, nsim, step):
        last = min(first + step, nsim)
        y = np.empty((last - first, simulator.design.n))
        for i in range(first, last):
            simulator.draw(generator_of(sequence, i), y[i - first])
        above, below = (fitter.fit(fitter.responses(y)).criterion for fitter in fitters)
        ref[first:last] = below - above
    usable = np.isfinite(ref) & (ref > -ROUNDING)
    return np.maximum(ref[usable], 0.0), int((~usable).sum())
