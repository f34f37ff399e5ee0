"""Likelihood ratio tests of random-effects terms: lmerTest's ranova()."""

from dataclasses import dataclass

import numpy as np

from fastlmm_hlm.design.restrict import linear_model_criterion
from fastlmm_hlm.formula.reduce import reductions, simplified, with_bar_replaced, written_out
from fastlmm_hlm.inference.comparison import require_fit
from fastlmm_hlm.inference.tails import chisq_pvalue
from fastlmm_hlm.report.anovatable import AnovaTable

TITLE = "ANOVA-like table for random-effects: Single term deletions"
# A statistic below this is rounding of the two criteria.
NOTHING = 1e-8
COLUMNS = ["npar", "logLik", "AIC", "LRT", "Df", "Pr(>Chisq)"]


@dataclass(frozen=True)
class Reduction:
    """One random term less, or one of its columns.

    Attributes
    ----------
    label : str
        As in the table: "(1 | g)" or "x in (x | g)".
    formula : Formula
        Of the smaller model; without random terms when the last one is removed.
    npar : int
    logLik : float
        On the criterion of the larger model, REML or ML.
    fit : LinearMixedModel or None
        None where no random term is left.
    """

    label: str
    formula: object
    npar: int
    logLik: float
    fit: object


def ranova(fit, reduce_terms=True):
    """Test each random-effects term by leaving it out, or reducing it.

    The models are compared on the criterion of the fit, REML or ML, and come from
    its cross-products.  Without any random term the likelihood is that of the
    linear model.  A variance of zero lies on the boundary, where the p-value of
    the chi-squared distribution is too large (Self & Liang 1987, JASA 82); see
    `exactRLRT` for one variance.

    Parameters
    ----------
    fit : LinearMixedModel
    reduce_terms : bool
        (x1 + x2 | g) becomes (x2 | g) and (x1 | g), (x | g) becomes (1 | g);
        otherwise whole terms are removed.

    Returns
    -------
    AnovaTable
        npar, logLik, AIC, LRT, Df, Pr(>Chisq); the first row is the fit.
    """
    require_fit(fit, "ranova")
    formula = random_terms_written_out(fit)
    made = single_reductions(fit, formula, reduce_terms)
    return reduction_table(fit, made, [TITLE, "", "Model:", simplified(formula).text])


def random_terms_written_out(fit):
    """The formula of the fit with one bar per random term, without `.`."""
    return written_out(str(fit.formula), fit._spec.fixed_recipe.terms)


def single_reductions(fit, formula, reduce_terms=True):
    """Every model with one random term removed or reduced.

    Parameters
    ----------
    fit : LinearMixedModel
    formula : Formula
        Of the fit, written out.
    reduce_terms : bool

    Returns
    -------
    list of Reduction
    """
    made = []
    for bar in formula.bars:
        smaller = reductions(bar) if reduce_terms else []
        if not smaller:
            made.append(_reduced(fit, bar.text, with_bar_replaced(formula, bar, None)))
        for label, left in smaller:
            made.append(_reduced(fit, f"{label} in {bar.text}", with_bar_replaced(formula, bar, left)))
    return made


def _reduced(fit, label, formula):
    if not formula.bars:
        npar = len(fit.fixef()) + 1
        return Reduction(label, formula, npar, -0.5 * linear_model_criterion(fit._products, fit.isREML()), None)
    smaller = fit._submodel(formula)
    return Reduction(label, formula, smaller.npar, float(smaller.logLik()), smaller)


def reduction_table(fit, made, heading):
    """The tests of some reductions against the fit.

    Parameters
    ----------
    fit : LinearMixedModel
    made : list of Reduction
    heading : list of str

    Returns
    -------
    AnovaTable
    """
    npar = np.array([fit.npar, *(r.npar for r in made)])
    loglik = np.array([float(fit.logLik()), *(r.logLik for r in made)])
    lrt = 2.0 * (loglik[0] - loglik)
    lrt[np.abs(lrt) < NOTHING] = 0.0
    df = (npar[0] - npar).astype(float)
    lrt[0] = df[0] = np.nan
    values = (npar, loglik, -2.0 * (loglik - npar), lrt, df, chisq_pvalue(lrt, df))
    return AnovaTable.make(dict(zip(COLUMNS, values)), ["<none>", *(r.label for r in made)], heading)
