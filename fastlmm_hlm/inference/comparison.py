"""Likelihood ratio tests of several models: lme4's anova() of more than one fit."""

import logging
import sys

import numpy as np

from fastlmm_hlm.errors import ArgumentError, FastlmmWarning, warn_user
from fastlmm_hlm.inference.tails import chisq_pvalue
from fastlmm_hlm.report.anovatable import AnovaTable
from fastlmm_hlm.report.coefmat import comparison_heading

log = logging.getLogger("fastlmm_hlm")

REFITTING = "refitting model(s) with ML (instead of REML)"
COLUMNS = ["npar", "AIC", "BIC", "logLik", "deviance", "Chisq", "Df", "Pr(>Chisq)"]
# Two sums of squares of one response, from different cross-products, agree to this.
SAME_RESPONSE = 1e-8
PACKAGE = __name__.partition(".")[0]


def compare_models(fits, refit=True, model_names=None):
    """Compare models fitted to the same response by likelihood ratio tests.

    Each model is tested against the one above it, in the order of the number of
    parameters.

    Parameters
    ----------
    fits : sequence of LinearMixedModel
        At least two.
    refit : bool
        Fit REML fits again by maximum likelihood first, from their cross-products.
        Without it REML criteria are compared, which makes sense only for models
        with the same fixed part.
    model_names : sequence of str, optional
        Names of the rows; by default those of the caller's variables.

    Returns
    -------
    AnovaTable
        npar, AIC, BIC, logLik, deviance, Chisq, Df, Pr(>Chisq).

    Raises
    ------
    ArgumentError
        If something is no fit, or the models have different rows or responses.

    Warns
    -----
    FastlmmWarning
        If REML and ML fits are mixed with ``refit=False``.
    """
    fits = list(fits)
    names = _row_names(fits, model_names)
    _check_comparable(fits, names)
    any_reml = any(fit.isREML() for fit in fits)
    heading = []
    if any_reml and refit:
        log.info(REFITTING)
        heading.append(REFITTING)
        used = [fit.refitML() for fit in fits]
    else:
        used = fits
        if any_reml and not all(fit.isREML() for fit in fits):
            warn_user("anova: some models fit with REML = TRUE, some not; their likelihoods are not comparable. "
                      "Use refit=True.", FastlmmWarning)
    order = sorted(range(len(used)), key=lambda i: used[i].npar)
    used, names = [used[i] for i in order], [names[i] for i in order]
    _warn_of_fixed_parts(used)
    npar = np.array([fit.npar for fit in used])
    loglik = np.array([float(fit.logLik()) for fit in used])
    chisq = np.append(np.nan, 2.0 * np.maximum(np.diff(loglik), 0.0))
    df = np.append(np.nan, np.diff(npar))
    heading += comparison_heading({name: str(fits[i].formula) for name, i in zip(names, order)},
                                  fits[0]._data_name, _subset_text(fits))
    values = (npar, [fit.AIC() for fit in used], [fit.BIC() for fit in used], loglik, -2.0 * loglik, chisq, df,
              chisq_pvalue(chisq, df))
    return AnovaTable.make(dict(zip(COLUMNS, values)), names, heading)


def _is_fit(thing):
    return hasattr(thing, "refitML") and hasattr(thing, "npar") and hasattr(thing, "isREML")


def require_fit(thing, caller):
    """Refuse what is no fitted model.

    Raises
    ------
    ArgumentError
    """
    if not _is_fit(thing):
        raise ArgumentError(f"{caller}: expected a fitted model from lmer(), got {type(thing).__name__}.")


def _check_comparable(fits, names):
    """Refuse models that were not fitted to the same response."""
    if len(fits) < 2:
        raise ArgumentError(f"anova: got {len(fits)} model to compare; give at least 2.")
    for fit in fits:
        require_fit(fit, "anova")
    first = fits[0]
    for fit, name in zip(fits[1:], names[1:]):
        check_same_response(first, fit, f"anova: {names[0]} and {name}")


def check_same_response(first, second, who):
    """Refuse two models of different rows or responses.

    Raises
    ------
    ArgumentError
    """
    if int(first.nobs) != int(second.nobs):
        raise ArgumentError(
            f"{who} were not fitted to the same size of dataset: {int(first.nobs)} and {int(second.nobs)} rows. "
            "Missing values in a variable of one model leave rows out; fit both to the rows that both can use."
        )
    ours, theirs = _response_text(first), _response_text(second)
    if ours != theirs:
        raise ArgumentError(f"{who} have different responses, {ours} and {theirs}; their likelihoods are not comparable.")
    if not _same_response(first, second):
        raise ArgumentError(f"{who} have the same response, {ours}, by name, but other values of it. Were they fitted to "
                            "different data?")


def _response_text(fit):
    from fastlmm_hlm.formula import parse_formula

    return parse_formula(str(fit.formula)).response


def _same_response(first, second):
    """Whether the responses have the same values, as far as the fits remember them."""
    rows = [fit._rows for fit in (first, second)]
    if all(r is not None for r in rows):
        return np.array_equal(rows[0].design.y, rows[1].design.y)
    if any(fit._weighted or _has_offset(fit) for fit in (first, second)):
        return True                       # y'y alone is not among the cross-products
    sums = [_sum_of_squares(fit) for fit in (first, second)]
    return abs(sums[0] - sums[1]) <= SAME_RESPONSE * max(sums)


def _has_offset(fit):
    spec = fit._spec
    return bool(spec.offset_nodes) or spec.offset_is_vector


def _sum_of_squares(fit):
    """y'y of a fit without weights and offset, from its cross-products."""
    products = fit._products
    known = np.append(np.linalg.solve(fit._x_centring.B, products.beta0), 1.0)
    return float(known @ products.XyWXy @ known)


def _warn_of_fixed_parts(fits):
    """Warn of REML criteria compared across different fixed parts."""
    if all(fit.isREML() for fit in fits) and len({tuple(sorted(fit.fixef().index)) for fit in fits}) > 1:
        warn_user("anova: REML criteria of models with different fixed parts are not comparable. Use refit=True.",
                  FastlmmWarning)


def _subset_text(fits):
    subset = fits[0]._settings.subset
    return subset if isinstance(subset, str) else None


def _row_names(fits, given):
    """Names of the models: those given, else the caller's variables, else MODEL1 and so on."""
    if given is not None:
        names = [str(name) for name in ([given] if isinstance(given, str) else given)]
        if len(names) != len(fits):
            raise ArgumentError(f"anova: {len(names)} model names for {len(fits)} models; give one for each.")
        if len(set(names)) < len(names):
            raise ArgumentError(f"anova: model_names are {', '.join(names)}; each may be given once.")
        return names
    found = [variable_name(fit) for fit in fits]
    if None in found or len(set(found)) < len(found):
        return [f"MODEL{i}" for i in range(1, len(fits) + 1)]
    return found


def variable_name(thing):
    """The name of a variable that holds this object outside the package, or None.

    R's tables call models by the expressions in the call; this is as near as Python comes.
    """
    frame = sys._getframe(1)
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] == PACKAGE:
        frame = frame.f_back
    for scope in () if frame is None else (frame.f_locals, frame.f_globals):
        for name, value in scope.items():
            if value is thing and not name.startswith("_"):
                return name
    return None
