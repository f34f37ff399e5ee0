"""The groups of an lmList: their rows, the regressions, and which could not be fitted."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from fastlmm_hlm.errors import FormulaError
from fastlmm_hlm.formula import build_frame, parse_formula
from fastlmm_hlm.formula.bars import group_components
from fastlmm_hlm.formula.checks import CHECKS
from fastlmm_hlm.formula.columns import DataColumns
from fastlmm_hlm.formula.deparse import deparse
from fastlmm_hlm.formula.evaluate import Evaluator
from fastlmm_hlm.formula.grouping import component_levels, group_levels
from fastlmm_hlm.formula.parse import parse_expression
from fastlmm_hlm.formula.rows import vector_argument
from fastlmm_hlm.formula.syntax import Binary, column_names
from fastlmm_hlm.formula.values import Factor, Logical
from fastlmm_hlm.inference.grouped_ls import GroupedFit, grouped_least_squares

# What is said after "lmList:" for a formula without a bar; lme4's words.
NO_BAR = "rhs of formula must be a conditioning expression"
# Labels of groups in a warning.
SHOWN = 10


@dataclass(frozen=True)
class Groups:
    """Attributes
    ----------
    frame : ModelFrame
        Its random term has the groups that have rows.
    node : Node
        The grouping factor in the formula.
    levels : Index (G,)
        All groups, those without a complete row included.
    codes : ndarray of int (n,)
        Group of each row used.
    fitted : GroupedFit
    failed : ndarray of bool (G,)
    reasons : str
        Why, with the groups.
    """

    frame: object
    node: object
    levels: pd.Index
    codes: np.ndarray
    fitted: GroupedFit
    failed: np.ndarray
    reasons: str


def groups_of(formula, data, weights, offset, subset):
    """Fit every group; parameters as for `lmList`."""
    text, node = _with_random_term(formula)
    frame = build_frame(text, data, weights=weights, offset=offset, subset=subset, skip_checks=CHECKS)
    evaluator = Evaluator(DataColumns(data), state=frame.spec.state, levels=frame.spec.levels)
    term = frame.random[0]
    levels, codes = term.levels, np.asarray(term.codes)
    if frame.dropped.get("missing values"):
        levels = _levels_of_all(node, evaluator, subset)
        codes = levels.get_indexer(term.levels)[codes]
    y = frame.y if frame.offset is None else frame.y - frame.offset
    fitted = grouped_least_squares(frame.x_columns, y, codes, len(levels), frame.weights)
    why = {"no complete rows in": fitted.n == 0, **_single_levels(frame, evaluator, codes, len(levels))}
    failed = np.logical_or.reduce(list(why.values()))
    reasons = "; ".join(f"{words} {_shown(levels[which])}" for words, which in why.items() if which.any())
    return Groups(frame, node, levels, codes, fitted, failed, reasons)


def _shown(levels):
    return ", ".join(map(str, levels[:SHOWN])) + (", ..." if len(levels) > SHOWN else "")


def _with_random_term(formula):
    """The formula as one with a random intercept, which `build_frame` reads, and the node of the groups."""
    node = parse_expression(formula)
    rhs = node.right if isinstance(node, Binary) and node.op == "~" else None
    if not (isinstance(rhs, Binary) and rhs.op == "|"):
        raise FormulaError(
            f"lmList: {NO_BAR}: '{deparse(node)}' has none; write the groups after a bar, as in y ~ x | g."
        )
    if "." in column_names(rhs.left):
        raise FormulaError(f"lmList: '.' in '{deparse(node)}' would stand for the groups too; name the predictors.")
    text = f"{deparse(node.left)} ~ {deparse(rhs.left)} + (1 | {deparse(rhs.right)})"
    bars = parse_formula(text).bars
    if len(bars) != 1:
        raise FormulaError(
            f"lmList: '{deparse(rhs.right)}' is {len(bars)} grouping factors; give one, such as a:b for the "
            "combinations."
        )
    return text, bars[0].group


def _levels_of_all(node, evaluator, subset):
    """Levels of the groups over all rows of the subset, complete or not, Index."""
    parts = [component_levels(part, evaluator) for part in group_components(node)]
    chosen, _ = vector_argument(subset, "subset", evaluator)
    keep = np.ones(evaluator.n, dtype=bool) if chosen is None else chosen == 1
    for part in parts:
        gaps = part.missing()
        keep &= True if gaps is None else ~gaps
    return group_levels([part.take(keep) for part in parts]).levels


def _single_levels(frame, evaluator, codes, size):
    """By factor of the model, in words, the groups in which it has one level only: bool (G,)."""
    recipe, found = frame.spec.fixed_recipe, {}
    for name in recipe.levels:
        value = evaluator.variable(recipe.terms.variables[name], asker="the model")
        value = value.as_factor() if isinstance(value, Logical) else value
        if isinstance(value, Factor):
            own = np.asarray(value.codes) if frame.rows is None else np.asarray(value.codes)[frame.rows]
            width = len(value.levels) + 1
            group = np.unique(codes.astype(np.int64) * width + own) // width
            alone = np.bincount(group, minlength=size) == 1
            found[f"the factor '{name}' has only one level, where contrasts need two, in"] = alone
    return found
