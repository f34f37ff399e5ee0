"""Single term deletions from the fixed part: drop1()."""

import numpy as np

from fastlmm_hlm.errors import ArgumentError
from fastlmm_hlm.formula.reduce import droppable, without_dot, without_term
from fastlmm_hlm.inference.comparison import require_fit
from fastlmm_hlm.inference.tails import chisq_pvalue, f_pvalue
from fastlmm_hlm.report.anovatable import AnovaTable
from fastlmm_hlm.report.deparse import deparse_lines

TESTS = ("Chisq", "none")
F_COLUMNS = ["Sum Sq", "Mean Sq", "NumDF", "DenDF", "F value", "Pr(>F)"]


def drop1(fit, test="Chisq", scope=None, k=2, ddf=None):
    """Leave out each fixed term that no other term contains.

    The models are compared by maximum likelihood.  They are fitted from the
    cross-products of the fit, whatever the number of rows, unless a factor
    changes its coding when the term leaves.

    Parameters
    ----------
    fit : LinearMixedModel
    test : {"Chisq", "none"}
        Likelihood ratio test, or AIC alone.
    scope : str or sequence of str, optional
        Labels of the terms to leave out, or "~ a + b"; all that may be by default.
    k : float
        Penalty per parameter in AIC.
    ddf : {"Satterthwaite", "Kenward-Roger", "lme4"}, optional
        F tests with these denominator degrees of freedom in place of refits.

    Returns
    -------
    AnovaTable
        npar (parameters lost), AIC, LRT, Pr(Chi); the first row is the fit.

    Raises
    ------
    ArgumentError
        If the scope names something that is no term.
    """
    require_fit(fit, "drop1")
    if test not in TESTS:
        raise ArgumentError(f"drop1: test = {test!r}; use 'Chisq' or 'none'.")
    if ddf is not None and ddf != "lme4":
        return f_tests(fit, scope, ddf)
    labels = terms_in_scope(fit, scope, "drop1")
    large = fit.refitML()
    models = [_without(large, label) for label in labels]
    npar = np.array([large.npar, *(model.npar for model in models)])
    loglik = np.array([float(large.logLik()), *(float(model.logLik()) for model in models)])
    lost = (npar[0] - npar).astype(float)
    lrt = 2.0 * (loglik[0] - loglik)
    lost[0] = lrt[0] = np.nan
    columns = {"npar": lost, "AIC": -2.0 * loglik + k * npar}
    if test == "Chisq":
        columns |= {"LRT": lrt, "Pr(Chi)": chisq_pvalue(lrt, lost)}
    heading = ["Single term deletions", "", "Model:", *deparse_lines(str(fit.formula))]
    return AnovaTable.make(columns, ["<none>", *labels], heading)


def terms_in_scope(fit, scope, caller):
    """Labels of the fixed terms to leave out.

    Parameters
    ----------
    fit : LinearMixedModel
    scope : str, sequence of str or None
    caller : str

    Returns
    -------
    list of str

    Raises
    ------
    ArgumentError
    """
    terms = fit._spec.fixed_recipe.terms
    if scope is None:
        return [terms.labels[i] for i in droppable(terms.terms)]
    if isinstance(scope, str) and "~" in scope:
        wanted = _formula_labels(scope)
    else:
        wanted = [scope] if isinstance(scope, str) else list(scope)
    unknown = [label for label in wanted if label not in terms.labels]
    if unknown:
        raise ArgumentError(
            f"{caller}: scope is not a subset of term labels: {', '.join(map(repr, unknown))}; the fixed terms are "
            f"{', '.join(terms.labels) or 'none'}."
        )
    return wanted


def _formula_labels(scope):
    from fastlmm_hlm.formula import parse_formula
    from fastlmm_hlm.formula.terms import expand_terms

    return expand_terms(parse_formula(scope).fixed_node).labels


def _without(fit, label):
    """The fit without one fixed term, by the same criterion."""
    terms = fit._spec.fixed_recipe.terms
    return fit._submodel(without_term(without_dot(str(fit.formula), terms), label))


def f_tests(fit, scope, ddf):
    """F tests of single fixed terms, without refits.

    Parameters
    ----------
    fit : LinearMixedModel
    scope : str, sequence of str or None
    ddf : {"Satterthwaite", "Kenward-Roger"}

    Returns
    -------
    AnovaTable
        Sum Sq, Mean Sq, NumDF, DenDF, F value, Pr(>F).
    """
    from fastlmm_hlm.inference.ddf import canonical_name, method_of

    labels = terms_in_scope(fit, scope, "drop1")
    method, mean_square = method_of(fit, ddf), fit.sigma() ** 2
    rows = []
    for label in labels:
        F, ndf, ddf_ = method.f_test(_hypothesis(fit, label))
        rows.append((F * ndf * mean_square, F * mean_square, ndf, ddf_, F, f_pvalue(F, ndf, ddf_)))
    columns = dict(zip(F_COLUMNS, np.array(rows, dtype=float).reshape(len(labels), len(F_COLUMNS)).T))
    heading = [f"Single term deletions using {canonical_name(ddf, 'drop1')}'s method:", "", "Model:",
               *deparse_lines(str(fit.formula))]
    return AnovaTable.make(columns, labels, heading)


def _hypothesis(fit, label):
    """L with L beta = 0 when every coefficient of a term is zero, (q, p); lmerTest's hypothesis."""
    recipe = fit._spec.fixed_recipe
    number = recipe.terms.labels.index(label) + 1
    own = np.isin(fit._kept_columns, np.flatnonzero(recipe.assign == number))
    return np.eye(len(own))[own]
