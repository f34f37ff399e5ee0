"""From a formula and data to the arrays of a mixed model.

Variables are evaluated on all rows of the data, then rows are chosen by
subset, weight and missing values, in this order: as R's model.frame() does.
So scale(x) with subset= uses the mean of all rows.  Transforms learn from
every row in which their column is present.  As in R too, a variable that is
taken out again (`. - x`) still has its missing rows left out.
"""
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from fastlmm_hlm.errors import ArgumentError, FormulaError
from fastlmm_hlm.formula.bars import group_components, refuse_duplicates
from fastlmm_hlm.formula.checks import CHECKS, RESPONSE_KINDS, check_finite, check_random_terms, check_varies, numeric_response
from fastlmm_hlm.formula.columns import DataColumns
from fastlmm_hlm.formula.deparse import deparse
from fastlmm_hlm.formula.evaluate import Evaluator
from fastlmm_hlm.formula.formula import parse_formula
from fastlmm_hlm.formula.grouping import component_codes, group_codes
from fastlmm_hlm.formula.materialize import MatrixRecipe
from fastlmm_hlm.formula.rows import as_numbers, check_formula_sides, check_na_action, select_rows, vector_argument
from fastlmm_hlm.formula.spec import DesignSpec, RandomTermSpec
from fastlmm_hlm.formula.syntax import Name, column_names
from fastlmm_hlm.formula.terms import expand_terms, is_offset
from fastlmm_hlm.formula.values import Factor, missing_rows, take_rows


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
    Z : ndarray of float64, shape (n, c), Fortran order
        Raw columns of the left side.
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
    Z: np.ndarray
    names: list
    covariance: str
    hom: bool
    text: str


@dataclass
class ModelFrame:
    """All arrays of a mixed model, and what is needed to name results.

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
    X : ndarray of float64, shape (n, p), Fortran order
        All columns, even if some depend on others.
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
    """

    formula: object
    index: pd.Index
    rows: np.ndarray | None
    n_input: int
    y: np.ndarray
    response: str
    X: np.ndarray
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
    padded_index: pd.Index | None = field(default=None)


def build_frame(
    formula, data, *, weights=None, offset=None, subset=None, contrasts=None, na_action="omit",
    response_kind="numeric", has_scale=True, skip_checks=(),
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
    if isinstance(skip_checks, str) or set(skip_checks) - set(CHECKS):
        raise ArgumentError(f"skip_checks is {skip_checks!r}; it must be a collection of the names {', '.join(CHECKS)}.")
    check_formula_sides(formula)
    refuse_duplicates(formula.bars)
    source = DataColumns(data)
    evaluator = Evaluator(source)
    parts = _Parts(formula, source, evaluator)
    subset_values, _ = vector_argument(subset, "subset", evaluator)
    weight_values, weight_node = vector_argument(weights, "weights", evaluator)
    offset_values, offset_node = vector_argument(offset, "offset", evaluator)
    offsets = list(parts.offsets) + ([] if offset_values is None else [offset_values])
    missing = dict(parts.missing)
    for role, values in (("weights", weight_values), ("offset", offset_values)):
        if values is not None:
            missing[role] = np.isnan(values)
    rows = select_rows(source.n, source.index, subset_values, weight_values, missing, na_action, parts.made)
    index = source.index if rows.used is None else source.index[rows.used]
    n = len(index)

    y = numeric_response(_drop_unused(take_rows(parts.response, rows.used)), formula.response, response_kind)
    check_finite(y, [formula.response] * max(1, y.ndim), index, "the response")
    if "response.not.const" not in skip_checks:
        check_varies(y, formula.response)
    kept = {name: _drop_unused(take_rows(value, rows.used)) for name, value in parts.values.items()}
    fixed = MatrixRecipe(parts.terms, _checked_contrasts(contrasts, parts))
    X = fixed.build(kept, n)
    check_finite(X, fixed.names, index, "the fixed part")
    random, specs = _random_terms(parts, kept, rows.used, n)
    for term in random:
        check_finite(term.Z, term.names, index, term.text)
    check_random_terms(random, n, has_scale, skip_checks)
    total = sum(take_rows(values, rows.used) for values in offsets) if offsets else None
    if total is not None:
        check_finite(total, ["offset"], index, "the model")
    spec = DesignSpec(
        formula=formula, variables=parts.columns_used(weight_node, offset_node), fixed_recipe=fixed, random_terms=specs,
        offset_nodes=parts.terms.offsets + (() if offset_node is None else (offset_node,)),
        offset_is_vector=offset_values is not None and offset_node is None, state=evaluator.state, levels=evaluator.levels,
    )
    return ModelFrame(
        formula=formula, index=index, rows=rows.used, n_input=source.n, y=y, response=formula.response, X=X, x_names=fixed.names,
        assign=fixed.assign, term_labels=parts.terms.labels, weights=None if weight_values is None else np.ascontiguousarray(take_rows(weight_values, rows.used)),
        offset=total, random=random, dropped=rows.dropped, missing=rows.missing, contrasts=fixed.codings(), spec=spec, na_action=na_action,
        padded=rows.padded, padded_index=None if rows.padded is None else source.index[rows.padded],
    )


class _Parts:
    """The variables of a formula, evaluated on all rows of the data.

    Attributes
    ----------
    terms : TermList
        Of the fixed part.
    values : dict of str to value
        Variables of the fixed part and of the left sides of bars.
    response : value
    offsets : list of ndarray
    components : dict of str to (codes, levels)
        Parts of the grouping factors.
    missing : dict of str to ndarray of bool
        Where a column is missing, or the result of a call alone.
    made : set of str
        Those calls.
    """

    def __init__(self, formula, source, evaluator):
        self.formula, self.source, self.evaluator = formula, source, evaluator
        response_columns = column_names(formula.response_node)
        dot = [name for name in source.names if name not in response_columns]
        self.terms = expand_terms(formula.fixed_node, dot=dot, first=(formula.response,))
        if formula.response in self.terms.variables:
            raise FormulaError(f"the response '{formula.response}' is also a predictor in '{formula.text}'; take it out of the right side.")
        self.sides = [expand_terms(bar.lhs) for bar in formula.bars]
        nodes = {}
        for terms in (self.terms, *self.sides):
            nodes.update({name: node for name, node in terms.variables.items() if not is_offset(node)})
        self.groups = {deparse(part): part for bar in formula.bars for part in group_components(bar.group)}
        self.all_nodes = [formula.response_node, *nodes.values(), *self.terms.offsets, *self.groups.values()]

        self.response = evaluator.variable(formula.response_node)
        self.values = {name: evaluator.variable(node) for name, node in nodes.items()}
        self.offsets = [as_numbers(evaluator.variable(node), "offset", f"offset({deparse(node)})") for node in self.terms.offsets]
        self.components = {name: component_codes(node, evaluator) for name, node in self.groups.items()}
        self.missing, self.made = {}, set()
        self._note_missing(formula.response_node, missing_rows(self.response))
        for name, value in self.values.items():
            self._note_missing(nodes[name], missing_rows(value))
        for node, values in zip(self.terms.offsets, self.offsets, strict=True):
            self._note_missing(node, np.isnan(values))
        for name, (codes, _) in self.components.items():
            self._note_missing(self.groups[name], codes < 0)

    def _note_missing(self, node, mask):
        """Say of which columns the missing rows of a variable come, or that a function made them."""
        if not mask.any():
            return
        explained = np.zeros_like(mask)
        for name in (name for name in column_names(node) if name in self.source):
            here = mask & missing_rows(self.evaluator.column(Name(name)))
            explained |= here
            if here.any():
                self.missing[name] = self.missing.get(name, False) | here
        if (mask & ~explained).any():
            self.missing[deparse(node)] = mask & ~explained
            self.made.add(deparse(node))

    def columns_used(self, *argument_nodes):
        """Return the columns that the formula and the arguments name, each once."""
        nodes = [*self.all_nodes, *(node for node in argument_nodes if node is not None)]
        names = dict.fromkeys(name for node in nodes for name in column_names(node))
        return [name for name in names if name in self.source]


def _drop_unused(value):
    """Drop levels that no row has."""
    if not isinstance(value, Factor):
        return value
    present = np.zeros(len(value.levels), dtype=bool)
    present[value.codes] = True
    if present.all():
        return value
    places = np.cumsum(present, dtype=np.int32) - 1
    levels = tuple(text for text, used in zip(value.levels, present, strict=True) if used)
    return Factor(places[value.codes], levels, value.ordered, value.text, value.contrasts)


def _checked_contrasts(contrasts, parts):
    """Check that the contrasts argument names factors of the fixed part."""
    if contrasts is None:
        return {}
    if not isinstance(contrasts, dict):
        raise ArgumentError(f"contrasts is {type(contrasts).__name__}; give a dict such as {{'f': 'contr.sum'}}.")
    fixed = {name for members in parts.terms.terms for name in members}
    factors = [name for name in fixed if not isinstance(parts.values[name], np.ndarray)]
    for name in contrasts:
        if name not in fixed:
            raise ArgumentError(f"contrasts names '{name}', which is not in the fixed part of '{parts.formula.text}'; its factors are {', '.join(sorted(factors)) or 'none'}.")
        if name not in factors:
            raise ArgumentError(f"contrasts names '{name}', which is numeric and needs no coding; write factor({name}) in the formula to make it a factor.")
    return dict(contrasts)


def _random_terms(parts, kept, rows, n):
    """Build all random terms, in lme4's order.

    Terms go by decreasing number of levels.  If they do not stand so already
    they are sorted ascending and reversed, which reverses ties, as in lme4.
    """
    shared, terms, specs = {}, [], []
    for bar, side in zip(parts.formula.bars, parts.sides, strict=True):
        if bar.group_name not in shared:
            chosen = [(take_rows(codes, rows), levels) for codes, levels in (parts.components[deparse(p)] for p in group_components(bar.group))]
            shared[bar.group_name] = group_codes(chosen)
        codes, levels = shared[bar.group_name]
        recipe = MatrixRecipe(side)
        Z = recipe.build(kept, n)
        terms.append(RandomTermFrame(bar.group_name, levels, codes, Z, recipe.names, bar.covariance, bar.hom, bar.text))
        specs.append(RandomTermSpec(bar.group, levels, recipe))
    sizes = [len(term.levels) for term in terms]
    if any(later > earlier for earlier, later in zip(sizes[:-1], sizes[1:], strict=True)):
        order = sorted(range(len(sizes)), key=sizes.__getitem__)[::-1]
        terms, specs = [terms[i] for i in order], [specs[i] for i in order]
    return terms, specs
