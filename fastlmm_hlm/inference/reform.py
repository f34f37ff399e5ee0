"""Which random effects a prediction holds: lme4's argument re.form.

The bars of a one-sided formula are matched with the terms of the fit by grouping
factor and by the columns of their left sides, so (1 | g) may be asked of a fit
with (x | g), and (x | g) of one with (x || g).
"""

import numpy as np

from fastlmm_hlm.errors import ArgumentError, FormulaError
from fastlmm_hlm.formula import parse_formula
from fastlmm_hlm.formula.bars import group_components
from fastlmm_hlm.formula.deparse import deparse
from fastlmm_hlm.formula.terms import expand_terms, full_dummy_factors

NONE = ("NA", "~0", "~-1")


def chosen_columns(fit, re_form, caller="predict"):
    """The random-effects columns that re_form asks for.

    Parameters
    ----------
    fit : LinearMixedModel
    re_form : None, "NA", nan, False, "~0" or a one-sided formula
        All of them; none; or those of the formula's bars.
    caller : str

    Returns
    -------
    list of ndarray of bool, shape (c,), one per term of the fit

    Raises
    ------
    ArgumentError
        If it is none of these, or has a term that the fit lacks.
    """
    sizes = [len(term.names) for term in fit._terms]
    if re_form is None:
        return [np.ones(c, dtype=bool) for c in sizes]
    if is_none(re_form):
        return [np.zeros(c, dtype=bool) for c in sizes]
    formula = _read(re_form, caller)
    chosen = [np.zeros(c, dtype=bool) for c in sizes]
    for bar in formula.bars:
        for k, columns in _places(fit, bar, caller):
            chosen[k][columns] = True
    return chosen


def is_none(re_form):
    """Whether re_form says that no random effects are wanted: NA in R, "NA", nan, False or "~0" here."""
    if isinstance(re_form, str):
        return re_form.replace(" ", "") in NONE
    return re_form is False or (isinstance(re_form, float) and np.isnan(re_form))


def _read(re_form, caller):
    advice = "give None for all random effects, 'NA' for none, or a formula such as '~ (1 | g)'"
    if re_form is True or isinstance(re_form, (int, float, np.ndarray, list, tuple, dict)):
        raise ArgumentError(f"{caller}: re_form = {re_form!r} is no formula; {advice}.")
    try:
        formula = parse_formula(re_form)
    except FormulaError as error:
        raise ArgumentError(f"{caller}: re_form = {re_form!r} cannot be read ({error}); {advice}.") from None
    except (TypeError, AttributeError):
        raise ArgumentError(f"{caller}: re_form is {type(re_form).__name__}; {advice}.") from None
    if formula.response is not None:
        raise ArgumentError(f"{caller}: re_form = '{formula.text}' has a response; write the random terms alone, after '~'.")
    fixed = expand_terms(formula.fixed_node)
    if fixed.terms or fixed.offsets or not formula.bars:
        raise ArgumentError(f"{caller}: re_form = '{formula.text}' has terms that are not random; {advice}.")
    return formula


def _places(fit, bar, caller):
    """(term of the fit, its columns) for each part of a bar's left side."""
    wanted = _group(bar.group)
    same = [k for k, spec in enumerate(fit._spec.random_terms) if _group(spec.group_node) == wanted]
    if not same:
        raise _absent(fit, bar, caller)
    known = {}
    for k in same:
        known.update((part, (k, columns)) for part, columns in _parts_of(fit._spec.random_terms[k].recipe).items())
    factors = {name for k in same for name in fit._spec.random_terms[k].recipe.levels}
    found = [known.get(part) for part in _keys(expand_terms(bar.lhs), factors)]
    if None in found or not found:
        raise _absent(fit, bar, caller)
    return found


def _group(node):
    return frozenset(deparse(part) for part in group_components(node))


def _parts_of(recipe):
    """Part of a random term's left side -> its columns."""
    keys = _keys(recipe.terms, set(recipe.levels))
    numbers = ([0] if recipe.terms.intercept else []) + list(range(1, 1 + len(recipe.terms.terms)))
    return {key: np.flatnonzero(recipe.assign == number) for key, number in zip(keys, numbers, strict=True)}


def _keys(terms, factors):
    """The intercept, and each term with the factors that have a dummy for every level in it."""
    full = full_dummy_factors(terms.terms, factors, terms.intercept)
    keys = [((), frozenset())] if terms.intercept else []
    return keys + [(tuple(members), frozenset(own)) for members, own in zip(terms.terms, full, strict=True)]


def _absent(fit, bar, caller):
    terms = ", ".join(term.text for term in fit._terms)
    return ArgumentError(f"{caller}: re_form has the term {bar.text}, which the fit lacks; it has {terms}.")
