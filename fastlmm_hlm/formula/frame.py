"""From a formula and data to the arrays of a mixed model.

Variables are evaluated on all rows of the data, then rows are chosen by
subset, weight and missing values, in this order: as R's model.frame() does.
So scale(x) with subset= uses the mean of all rows.  Transforms learn from
every row in which their column is present.  As in R too, a variable that is
taken out again (`. - x`) still has its missing rows left out.
"""
from dataclasses import dataclass, field
from functools import reduce

import numpy as np
import pandas as pd

from fastlmm_hlm.errors import ArgumentError
from fastlmm_hlm.formula.checks import CHECKS, RESPONSE_KINDS, check_finite, check_random_terms, check_varies, numeric_response
from fastlmm_hlm.formula.codes import look_up, places_of, present_levels
from fastlmm_hlm.formula.columns import DataColumns
from fastlmm_hlm.formula.direct import DirectColumns
from fastlmm_hlm.formula.evaluate import Evaluator
from fastlmm_hlm.formula.formula import parse_formula
from fastlmm_hlm.formula.grouping import group_levels
from fastlmm_hlm.formula.materialize import MatrixRecipe, dense_matrix
from fastlmm_hlm.formula.ownership import Ownership
from fastlmm_hlm.formula.parts import Parts, check_formula, make_plan
from fastlmm_hlm.formula.rows import check_na_action, select_rows, vector_argument
from fastlmm_hlm.formula.scans import Scans
from fastlmm_hlm.formula.spec import DesignSpec, RandomTermSpec
from fastlmm_hlm.formula.syntax import Name, column_names
from fastlmm_hlm.formula.values import Factor, take_rows


@dataclass
class RandomTermFrame:
    """One random term in the rows of the model.

    Attributes
    ----------
    group : str
        Grouping factor as lme4 names it, e.g. "b:a".
    levels : pandas.Index
        In the column's own type; texts "a1:b2" for an interaction.
    codes : ndarray of int32, shape (n,)
    columns : list of (ndarray of float64 or int64, shape (n,), or None)
        Raw columns of the left side; None is the constant 1.
    names : list of str
        Column names, as lme4's cnms.
    covariance : str
        "us", "diag", "cs" or "ar1".
    hom : bool
        Whether all columns share one variance.
    text : str
        e.g. "(Days | Subject)".
    """

    group: str
    levels: pd.Index
    codes: np.ndarray
    columns: list
    names: list
    covariance: str
    hom: bool
    text: str

    @property
    def Z(self):
        """The raw columns as a matrix, made at each call: (n, c), Fortran order."""
        return dense_matrix(self.columns, len(self.codes))


@dataclass
class ModelFrame:
    """All arrays of a mixed model, and what is needed to name results.

    Arrays may be views of the user's memory, which must not be written to and
    stay as they are whatever happens to the data.

    Attributes
    ----------
    formula : Formula
    index : pandas.Index
        Labels of the rows used.
    rows : ndarray of int64, shape (n,), or None
        Positions of the rows used; None if all are.
    n_input : int
        Rows of the data.
    y : ndarray of float64, shape (n,)
        (n, 2) for a binomial response of successes and failures.
    response : str
    x_columns : list of (ndarray of float64 or int64, shape (n,), or None)
        All columns of X, even if some depend on others; None is the constant
        1.  A numeric column of the data is one array wherever it occurs.
    x_names : list of str
    assign : ndarray of int, shape (p,)
        0 for the intercept, otherwise the number of the term from 1.
    term_labels : list of str
    weights, offset : ndarray of float64, shape (n,), or None
    random : list of RandomTermFrame
        In lme4's order; terms of one factor share codes and levels.
    dropped : dict of str to int
        Reason -> rows left out: "subset", "zero weight", "missing values".
    missing : dict of str to int
        Column -> rows in which it is missing, among those of the subset; a
        call such as log(x) for rows in which only its result is missing.
    contrasts : dict of str to object
        Coding of each factor of the fixed part.
    spec : DesignSpec
    na_action : str
    padded : ndarray of int64 or None
        With na_action "exclude": positions of the rows that residuals cover.
    padded_index : pandas.Index or None
        Their labels.
    held : list
        Columns of the data that the arrays are views of.  As long as they
        live pandas copies before it changes their memory; each such array
        keeps its own column alive too.
    """

    formula: object
    index: pd.Index
    rows: np.ndarray | None
    n_input: int
    y: np.ndarray
    response: str
    x_columns: list
    x_names: list
    assign: np.ndarray
    term_labels: list
    weights: np.ndarray | None
    offset: np.ndarray | None
    random: list
    dropped: dict
    missing: dict
    contrasts: dict
    spec: DesignSpec
    na_action: str = "omit"
    padded: np.ndarray | None = None
    padded_index: pd.Index | None = None
    held: list = field(default_factory=list)

    @property
    def X(self):
        """The fixed-effects matrix, made at each call: (n, p), Fortran order."""
        return dense_matrix(self.x_columns, len(self.index))


def build_frame(
    formula, data, *, weights=None, offset=None, subset=None, contrasts=None, na_action="omit",
    response_kind="numeric", has_scale=True, skip_checks=(), known=None,
):
    """Read the variables of a mixed-model formula from data.

    Parameters
    ----------
    formula : str or Formula
    data : data frame or mapping
        pandas, polars, pyarrow or anything else narwhals knows; or a dict of columns.
    weights, offset, subset : str, array-like or None
        A column, an expression in the columns, or one value per row of the data.
    contrasts : dict, optional
        Factor -> "contr.sum" and its kin, or a matrix (levels, columns).
    na_action : {"omit", "exclude", "fail"}
    response_kind : {"numeric", "binomial"}
        "binomial" allows factors of two levels and cbind(successes, failures).
    has_scale : bool
        False for families without a residual variance.
    skip_checks : collection of str
        Of lme4's checks: "nlev.gtr.1", "nobs.vs.nlev", "nobs.vs.nRE",
        "response.not.const".
    known : Known, optional
        Variables that were evaluated elsewhere; the data need not have their columns.

    Returns
    -------
    ModelFrame

    Raises
    ------
    FormulaError
        If the formula cannot be understood or has no response or random term.
    DataError
        If the data cannot be used with it.
    UnknownColumnError
        If it names a column that does not exist.
    ArgumentError
        If an argument has a value that is not allowed.
    """
    formula, na_action = parse_formula(formula), check_na_action(na_action)
    if response_kind not in RESPONSE_KINDS:
        raise ArgumentError(f"response_kind is {response_kind!r}; it must be one of {', '.join(RESPONSE_KINDS)}.")
    if skip_checks and (isinstance(skip_checks, str) or set(skip_checks) - set(CHECKS)):
        raise ArgumentError(f"skip_checks is {skip_checks!r}; it must be a collection of the names {', '.join(CHECKS)}.")
    check_formula(formula)
    source, scans = DataColumns(data), Scans()
    evaluator = Evaluator(source, known=known)
    plan = make_plan(formula, source.names)
    parts = Parts(formula, plan, evaluator, scans)
    subset_values, _ = vector_argument(subset, "subset", evaluator)
    weight_values, weight_node = vector_argument(weights, "weights", evaluator)
    offset_values, offset_node = vector_argument(offset, "offset", evaluator)
    offsets = parts.offsets + ([] if offset_values is None else [offset_values])
    missing = dict(parts.missing)
    for role, values in (("weights", weight_values), ("offset", offset_values)):
        gaps = None if values is None else scans.missing(values)
        if gaps is not None:
            missing[role] = gaps
    rows = select_rows(source.n, source.index, subset_values, weight_values, missing, na_action, parts.made)
    index = source.index if rows.used is None else source.index[rows.used]
    own = Ownership(source.lent)

    def chosen(value):
        taken = take_rows(value, rows.used)
        scans.inherit(taken, value)
        return _drop_unused(taken)

    y = numeric_response(chosen(parts.response), formula.response, response_kind)
    check_finite([y], [formula.response], index, "the response", scans)
    if "response.not.const" not in skip_checks:
        check_varies(y, formula.response)
    kept, maker = {name: chosen(value) for name, value in parts.values.items()}, DirectColumns(len(index))
    for name, value in kept.items():
        original = source.integers(plan.nodes[name].text) if isinstance(plan.nodes[name], Name) else None
        if original is not None and value is parts.values[name]:
            own.instead(value, original)
    fixed = MatrixRecipe(plan.terms, _checked_contrasts(contrasts, plan, parts, formula))
    x_columns = fixed.build(kept, maker)
    check_finite(x_columns, fixed.names, index, "the fixed part", scans)
    random, specs = _random_terms(formula, plan, parts, kept, rows.used, maker, own)
    for term in random:
        check_finite(term.columns, term.names, index, term.text, scans)
        term.columns = [own.column(column) for column in term.columns]
    check_random_terms(random, len(index), has_scale, skip_checks)
    total = reduce(np.add, [chosen(values) for values in offsets]) if offsets else None
    check_finite([total], ["offset"], index, "the model", scans)
    nodes = [*plan.all_nodes(formula), *(node for node in (weight_node, offset_node) if node is not None)]
    spec = DesignSpec(
        formula=formula, variables=[name for name in dict.fromkeys(n for node in nodes for n in column_names(node)) if name in source],
        fixed_recipe=fixed, random_terms=specs, offset_nodes=plan.terms.offsets + (() if offset_node is None else (offset_node,)),
        offset_is_vector=offset_values is not None and offset_node is None, state=evaluator.state, levels=evaluator.levels,
    )
    return ModelFrame(
        formula=formula, index=index, rows=rows.used, n_input=source.n, y=own.safe(y), response=formula.response,
        x_columns=[own.column(column) for column in x_columns], x_names=fixed.names, assign=fixed.assign, term_labels=plan.terms.labels,
        weights=None if weight_values is None else own.safe(np.ascontiguousarray(chosen(weight_values))), offset=own.safe(total), random=random,
        dropped=rows.dropped, missing=rows.missing, contrasts=fixed.codings(), spec=spec, na_action=na_action,
        padded=rows.padded, padded_index=None if rows.padded is None else source.index[rows.padded], held=own.held,
    )


def _drop_unused(value):
    """Drop levels that no row has."""
    if not isinstance(value, Factor):
        return value
    present = present_levels(value.codes, len(value.levels))
    if present.all():
        return value
    levels = tuple(text for text, used in zip(value.levels, present, strict=True) if used)
    return Factor(look_up(places_of(present), value.codes), levels, value.ordered, value.text, value.contrasts)


def _checked_contrasts(contrasts, plan, parts, formula):
    """Check that the contrasts argument names factors of the fixed part."""
    if contrasts is None:
        return {}
    if not isinstance(contrasts, dict):
        raise ArgumentError(f"contrasts is {type(contrasts).__name__}; give a dict such as {{'f': 'contr.sum'}}.")
    fixed = {name for members in plan.terms.terms for name in members}
    factors = [name for name in fixed if not isinstance(parts.values[name], np.ndarray)]
    for name in contrasts:
        if name not in fixed:
            raise ArgumentError(f"contrasts names '{name}', which is not in the fixed part of '{formula.text}'; its factors are {', '.join(sorted(factors)) or 'none'}.")
        if name not in factors:
            raise ArgumentError(f"contrasts names '{name}', which is numeric and needs no coding; write factor({name}) in the formula to make it a factor.")
    return dict(contrasts)


def _random_terms(formula, plan, parts, kept, rows, maker, own):
    """Build all random terms, in lme4's order.

    Terms go by decreasing number of levels.  If they do not stand so already
    they are sorted ascending and reversed, which reverses ties, as in lme4.
    """
    shared, terms, specs = {}, [], []
    for bar, side, names in zip(formula.bars, plan.sides, plan.bar_groups, strict=True):
        if names not in shared:
            shared[names] = group_levels([parts.components[name].take(rows) for name in names])
        group, recipe = shared[names], MatrixRecipe(side)
        columns = recipe.build(kept, maker)
        terms.append(RandomTermFrame(bar.group_name, group.levels, own.safe(group.codes), columns, recipe.names, bar.covariance, bar.hom, bar.text))
        specs.append(RandomTermSpec(bar.group, group.levels, recipe))
    sizes = [len(term.levels) for term in terms]
    if any(later > earlier for earlier, later in zip(sizes[:-1], sizes[1:], strict=True)):
        order = sorted(range(len(sizes)), key=sizes.__getitem__)[::-1]
        terms, specs = [terms[i] for i in order], [specs[i] for i in order]
    return terms, specs
