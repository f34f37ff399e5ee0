"""A smaller model from the cross-products of a fitted one, without its rows.

The columns of the smaller model are found among those of the fit, or as the sum of
a full set of dummies where a constant is wanted.  Where that cannot be done (a
factor changes its coding when a term leaves, or a slope is replaced by an intercept
that the model never had) the caller fits from the data.
"""

from dataclasses import dataclass, replace

import numpy as np

from fastlmm_hlm.design.basis import no_centring
from fastlmm_hlm.design.covariance import covariance_structure
from fastlmm_hlm.design.design import Design, GroupingFactor, RandomTerm
from fastlmm_hlm.design.restrict import ColumnMap, basis_left, restricted_products
from fastlmm_hlm.errors import ArgumentError, DataError, RowsNotKeptError
from fastlmm_hlm.formula import parse_formula
from fastlmm_hlm.formula.deparse import deparse
from fastlmm_hlm.formula.materialize import INTERCEPT
from fastlmm_hlm.formula.terms import expand_terms, full_dummy_factors
from fastlmm_hlm.model.fitting import Fitted, solve, with_changes

# Below this many sigma along some direction, a covariance is no good starting point for another model.
TOO_SMALL_TO_START = 1e-2


class NotAmongColumnsError(Exception):
    """The smaller model has a column that is not a combination of known ones; says which."""


def submodel(fit, formula, reml=None):
    """Fit a model whose columns are among those of a fit.

    Parameters
    ----------
    fit : LinearMixedModel
    formula : str or Formula
        Without `.`; the response and the offsets are those of the fit.
    reml : bool, optional
        As the fit by default.

    Returns
    -------
    LinearMixedModel
        From the cross-products where the columns allow it, otherwise from the data.

    Raises
    ------
    RowsNotKeptError
        If the columns do not allow it and the fit was pickled without its data.
    """
    formula = parse_formula(formula)
    reml = fit.isREML() if reml is None else bool(reml)
    try:
        fixed, random = _columns_of(fit, formula)
    except NotAmongColumnsError as problem:
        return _from_data(fit, formula, reml, problem)
    return _from_products(fit, formula, reml, fixed, random)


def from_products(fit, formula, reml):
    """The smaller model from the cross-products; None where its columns are not among those of the fit."""
    formula = parse_formula(formula)
    try:
        return _from_products(fit, formula, reml, *_columns_of(fit, formula))
    except NotAmongColumnsError:
        return None


def with_likelihood(fit, reml):
    """The same model by the other likelihood, from the same cross-products."""
    if bool(reml) == fit.isREML() and not fit._given:
        return fit
    design = design_of(fit)
    start = fit._estimates.templates if _interior(fit) else None
    return _solved(fit, with_changes(fit._settings, REML=bool(reml), start=None), design, fit._products, start,
                   fit._dropped_columns, fit._kept_columns, fit._dependence)


def with_control(fit, control, templates=None):
    """The same model from the same cross-products under another control, so by another optimizer or from another start.

    Parameters
    ----------
    fit : LinearMixedModel
    control : Control
    templates : list of ndarray (c, c), optional
        Where to start; the moments by default.
    """
    settings = with_changes(fit._settings, control=control, start=None)
    return _solved(fit, settings, design_of(fit), fit._products, templates, fit._dropped_columns, fit._kept_columns,
                   fit._dependence)


# --- finding the columns ---------------------------------------------------------


@dataclass(frozen=True)
class _Fixed:
    """Fixed columns of the smaller model: those of the fit @ C, C (p, p_small)."""

    terms: object
    C: np.ndarray
    names: list


@dataclass(frozen=True)
class _Term:
    """One random term of the smaller model, its columns in those of the factor: C (nc, c)."""

    bar: object
    factor: int
    C: np.ndarray
    names: list
    recipe: object


def _columns_of(fit, formula):
    """Match the formula with the columns of the fit.

    Returns
    -------
    _Fixed, list of _Term in lme4's order

    Raises
    ------
    NotAmongColumnsError
    """
    own = parse_formula(fit._formula_text)
    recipe = fit._spec.fixed_recipe
    terms = expand_terms(formula.fixed_node, first=(formula.response,))
    if formula.response != own.response:
        raise NotAmongColumnsError("the response is another one")
    if _offset_texts(terms) != _offset_texts(recipe.terms):
        raise NotAmongColumnsError("the offset is another one")
    places = _places(recipe, terms)
    in_fit = {int(column): j for j, column in enumerate(fit._kept_columns)}
    used = {column for group in places for column in group}
    lost = set(range(len(recipe.names))) - set(in_fit)
    if lost & used:
        raise NotAmongColumnsError("columns that were dropped as linearly dependent may no longer be so")
    C = _combination([[in_fit[j] for j in group] for group in places], len(in_fit))
    names = [recipe.names[group[0]] if len(group) == 1 else INTERCEPT for group in places]
    return _Fixed(terms, C, names), _in_lme4s_order(fit, [_term_of(fit, bar) for bar in formula.bars])


def _offset_texts(terms):
    return sorted(deparse(node) for node in terms.offsets)


def _places(recipe, terms):
    """For each column that `terms` asks for, the recipe's columns whose sum it is.

    Raises
    ------
    NotAmongColumnsError
    """
    factors = set(recipe.levels)
    known = dict(zip(recipe.terms.terms, full_dummy_factors(recipe.terms.terms, factors, recipe.terms.intercept)))
    wanted = full_dummy_factors(terms.terms, factors, terms.intercept)
    places = []
    if terms.intercept and recipe.terms.intercept:
        places.append(np.flatnonzero(recipe.assign == 0).tolist())
    elif terms.intercept:
        places.append(_full_set_of_dummies(recipe, known))
    for term, full in zip(terms.terms, wanted):
        if term not in known:
            raise NotAmongColumnsError(f"the model has no term {':'.join(term)}")
        if known[term] != full:
            raise NotAmongColumnsError(f"the coding of {':'.join(term)} changes")
        number = 1 + list(recipe.terms.terms).index(term)
        places += [[j] for j in np.flatnonzero(recipe.assign == number).tolist()]
    return places


def _full_set_of_dummies(recipe, known):
    for number, (term, full) in enumerate(known.items(), start=1):
        if len(term) == 1 and full == set(term):
            return np.flatnonzero(recipe.assign == number).tolist()
    raise NotAmongColumnsError("the model has no intercept")


def _combination(places, k):
    """C, (k, columns), with ones where a column is the sum of known ones."""
    C = np.zeros((k, len(places)))
    for j, group in enumerate(places):
        C[group, j] = 1.0
    return C


def _term_of(fit, bar):
    """One random term among the columns of its grouping factor.

    Raises
    ------
    NotAmongColumnsError
    """
    group = deparse(bar.group)
    same = [i for i, spec in enumerate(fit._spec.random_terms) if deparse(spec.group_node) == group]
    if not same:
        raise NotAmongColumnsError(f"the model has no term with the grouping factor {group}")
    factor = fit._terms[same[0]].factor
    nc = len(fit._factor_labels[factor][2])
    side = expand_terms(bar.lhs)
    blocks, names, whole = [], [], None
    for i in same:
        recipe = fit._spec.random_terms[i].recipe
        try:
            places = _places(recipe, side)
        except NotAmongColumnsError as problem:
            reason = problem
            continue
        first = fit._terms[i].columns.start
        blocks = [[first + j for j in group] for group in places]
        names = [recipe.names[group[0]] if len(group) == 1 else INTERCEPT for group in places]
        whole = recipe.subset(side, names)
        break
    if whole is None:
        raise reason
    return _Term(bar, factor, _combination(blocks, nc), names, whole)


def _in_lme4s_order(fit, terms):
    """Terms by decreasing number of levels; ties are reversed when anything has to move, as in lme4."""
    sizes = [len(fit._factor_labels[term.factor][1]) for term in terms]
    if any(later > earlier for earlier, later in zip(sizes[:-1], sizes[1:])):
        return [terms[i] for i in sorted(range(len(sizes)), key=sizes.__getitem__)[::-1]]
    return terms


# --- the design and the cross-products -----------------------------------------------


def _from_products(fit, formula, reml, fixed, random):
    x_map = ColumnMap(fixed.C, fit._x_centring, basis_left(fit._x_centring, fixed.C))
    factors = list(dict.fromkeys(term.factor for term in random))
    terms, maps = [None] * len(random), []
    for f, old in enumerate(factors):
        mine = [k for k, term in enumerate(random) if term.factor == old]
        C = np.hstack([random[k].C for k in mine])
        centring, first = no_centring(C.shape[1]), 0
        for k in mine:
            bar, names = random[k].bar, random[k].names
            covariance = covariance_structure(bar.covariance, len(names), bar.hom)
            columns = slice(first, first + len(names))
            _centre_block(centring, fit._centrings[old], random[k], covariance, columns)
            terms[k] = RandomTerm(f, columns, list(names), covariance, bar.text)
            first = columns.stop
        maps.append((old, ColumnMap(C, fit._centrings[old], centring)))
    products = restricted_products(fit._products, x_map, maps)
    design = _smaller_design(fit, fixed, x_map.new, random, factors, terms, [m.new for _, m in maps])
    settings = with_changes(fit._settings, formula=formula.text, REML=reml, start=None,
                            contrasts=_contrasts_left(fit, formula))
    start = _starting_templates(fit, random)
    new = _solved(fit, settings, design, products, start, [], np.arange(len(fixed.names)))
    new._formula_text, new._grid_facts = formula.text, None
    new._all_x_names = list(fixed.names)
    new._spec = _smaller_spec(fit, formula, fixed, random)
    if fit._plan is not None:                 # rows are chosen as for the larger model
        groups = [fit._plan.groups[old] for old in factors]
        new._plan = replace(fit._plan, spec=new._spec, x_names=design.x_names, design=design, groups=groups)
    return new


def _centre_block(centring, old, term, covariance, columns):
    """Centre the columns of an unstructured term that has an intercept, as the larger model did."""
    if not covariance.may_change_basis or INTERCEPT not in term.names:
        return
    one = columns.start + term.names.index(INTERCEPT)
    centring.centre[columns] = np.where(term.C.sum(axis=0) == 1.0, old.centre @ term.C, 0.0)
    centring.centre[one] = 0.0
    centring.B[one, columns] -= centring.centre[columns]


def _smaller_design(fit, fixed, x_centring, random, factors, terms, centrings):
    """The design with the columns that stay; without rows where the fit has none."""
    rows = None if fit._rows is None else fit._rows.design
    made = []
    for f, centring in zip(factors, centrings):
        name, levels, _ = fit._factor_labels[f]
        mine = [term for term in random if term.factor == f]
        names = [word for term in mine for word in term.names]
        codes, columns = None, None
        if rows is not None:
            codes = rows.factors[f].codes
            columns = [_column(rows.factors[f].columns, c) for term in mine for c in term.C.T]
        made.append(GroupingFactor(name, levels, codes, columns, names, centring))
    return Design(
        y=None if rows is None else rows.y,
        x_columns=None if rows is None else [_column(rows.x_columns, c) for c in fixed.C.T],
        x_names=list(fixed.names),
        x_centring=x_centring,
        weights=None if rows is None else rows.weights,
        offset=None if rows is None else rows.offset,
        factors=made,
        terms=terms,
    )


def _column(columns, combination):
    """The one column that is meant, or the constant that a full set of dummies sums to."""
    which = np.flatnonzero(combination)
    return columns[which[0]] if len(which) == 1 else None


def design_of(fit):
    """The design of the fit, without rows where it has none."""
    if fit._rows is not None:
        return fit._rows.design
    factors = [GroupingFactor(name, levels, None, None, names, centring)
               for (name, levels, names), centring in zip(fit._factor_labels, fit._centrings)]
    return Design(None, None, fit._x_names, fit._x_centring, None, None, factors, fit._terms)


def _starting_templates(fit, random):
    """The templates of the fit where only fixed terms leave; None, for the start by moments, elsewhere.

    Balanced designs are solved by the moments at once, and near the boundary they are
    the better start too.
    """
    same = [term.bar.text for term in random] == [term.text for term in fit._terms]
    return fit._estimates.templates if same and _interior(fit) else None


def _interior(fit):
    return fit._deviations.min(initial=1.0) > TOO_SMALL_TO_START


def _solved(fit, settings, design, products, start, dropped, kept, dependence=None):
    """A fit like `fit` for another design; what it remembers of its own results is left behind."""
    control = replace(settings.control, check_conv_singular="ignore")
    centrings = [factor.centring for factor in design.factors]
    criterion, estimates, deviations, optinfo, messages = solve(
        design, products, centrings, replace(settings, control=control, verbose=0), start
    )
    fitted = Fitted(design, products, criterion, estimates, deviations, optinfo, messages, list(dropped), kept, dependence)
    return fit._like(fitted, fit._rows, _settings=settings, _kept_columns=np.asarray(kept))


def _smaller_spec(fit, formula, fixed, random):
    """What makes the matrices of new data for the smaller model."""
    spec = fit._spec
    by_group = {deparse(term.group_node): term for term in spec.random_terms}
    terms = [replace(by_group[deparse(term.bar.group)], recipe=term.recipe) for term in random]
    return replace(spec, formula=formula, fixed_recipe=spec.fixed_recipe.subset(fixed.terms, fixed.names),
                   random_terms=terms)


# --- from the data ------------------------------------------------------------------------


def _contrasts_left(fit, formula):
    """The contrasts argument without factors that the formula no longer has."""
    given = fit._settings.contrasts
    if not isinstance(given, dict):
        return given
    names = {name for term in expand_terms(formula.fixed_node).terms for name in term}
    return {name: coding for name, coding in given.items() if name in names} or None


def _from_data(fit, formula, reml, problem):
    try:
        control = replace(fit._settings.control, check_conv_singular="ignore")
        new = fit.update(formula=formula.text, REML=reml, start=None, control=control,
                         contrasts=_contrasts_left(fit, formula))
    except (RowsNotKeptError, ArgumentError) as error:
        raise RowsNotKeptError(
            f"'{formula.text}' cannot be fitted from what this fit remembers ({problem}), and not from data either: "
            f"{error}"
        ) from None
    if int(new.nobs) != int(fit.nobs):
        raise DataError(
            f"'{formula.text}' can use {int(new.nobs)} rows of the data, '{fit.formula}' only {int(fit.nobs)}: the number of "
            "rows in use has changed. Leave out the rows with missing values before the first fit."
        )
    new._settings = replace(new._settings, control=fit._settings.control)
    return new
