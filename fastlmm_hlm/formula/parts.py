"""The variables that a formula asks for, evaluated on all rows of the data."""
from dataclasses import dataclass
from functools import lru_cache

from fastlmm_hlm.errors import FormulaError
from fastlmm_hlm.formula.bars import group_components, refuse_duplicates
from fastlmm_hlm.formula.deparse import deparse
from fastlmm_hlm.formula.grouping import component_levels
from fastlmm_hlm.formula.rows import as_numbers, check_formula_sides
from fastlmm_hlm.formula.syntax import Name, column_names, walk
from fastlmm_hlm.formula.terms import expand_terms, is_offset


@dataclass(frozen=True)
class Plan:
    """What a formula asks for, read once per formula; nothing here is ever changed.

    Attributes
    ----------
    terms : TermList
        Of the fixed part.
    sides : tuple of TermList
        Left sides of the bars.
    nodes : dict of str to Node
        Variables of the fixed part and of the left sides.
    groups : dict of str to Node
        Parts of the grouping factors.
    bar_groups : tuple of tuple of str
        The parts of each bar's grouping factor, outermost level first.
    """

    terms: object
    sides: tuple
    nodes: dict
    groups: dict
    bar_groups: tuple

    def all_nodes(self, formula):
        """Every expression of the formula that is evaluated."""
        return [formula.response_node, *self.nodes.values(), *self.terms.offsets, *self.groups.values()]


def make_plan(formula, names):
    """Read the terms of a formula.

    Parameters
    ----------
    formula : Formula
    names : list of str
        Columns of the data, for `.`.

    Returns
    -------
    Plan

    Raises
    ------
    FormulaError
        If the right side cannot be expanded or holds the response.
    """
    return _plan(formula, tuple(names) if _has_dot(formula) else ())


@lru_cache(maxsize=256)
def _has_dot(formula):
    return any(isinstance(node, Name) and node.text == "." for node in walk(formula.fixed_node))


@lru_cache(maxsize=256)
def check_formula(formula):
    """Refuse a formula that no mixed model can be fitted from, whatever the data.

    Raises
    ------
    FormulaError
    """
    check_formula_sides(formula)
    refuse_duplicates(formula.bars)


@lru_cache(maxsize=256)
def _plan(formula, names):
    response_columns = column_names(formula.response_node)
    dot = [name for name in names if name not in response_columns]
    terms = expand_terms(formula.fixed_node, dot=dot, first=(formula.response,))
    if formula.response in terms.variables:
        raise FormulaError(f"the response '{formula.response}' is also a predictor in '{formula.text}'; take it out of the right side.")
    sides = tuple(expand_terms(bar.lhs) for bar in formula.bars)
    nodes = {}
    for side in (terms, *sides):
        nodes.update({name: node for name, node in side.variables.items() if not is_offset(node)})
    components = [{deparse(part): part for part in group_components(bar.group)} for bar in formula.bars]
    groups = {name: part for parts in components for name, part in parts.items()}
    bar_groups = tuple(tuple(deparse(part) for part in group_components(bar.group)) for bar in formula.bars)
    return Plan(terms, sides, nodes, groups, bar_groups)


class Parts:
    """The variables of a formula, evaluated on all rows of the data.

    Parameters
    ----------
    formula : Formula
    plan : Plan
    evaluator : Evaluator
    scans : Scans

    Attributes
    ----------
    response : value
    values : dict of str to value
        Variables of the fixed part and of the left sides of bars.
    offsets : list of ndarray of float64, shape (n,)
    components : dict of str to Levels
        Parts of the grouping factors.
    missing : dict of str to ndarray of bool
        Where a column is missing, or the result of a call alone; columns
        without missing values are left out.
    made : set of str
        Those calls.
    """

    def __init__(self, formula, plan, evaluator, scans):
        self.evaluator, self.scans = evaluator, scans
        self.response = evaluator.variable(formula.response_node)
        self.values = {name: evaluator.variable(node) for name, node in plan.nodes.items()}
        self.offsets = [as_numbers(evaluator.variable(node), "offset", f"offset({deparse(node)})") for node in plan.terms.offsets]
        self.components = {name: component_levels(node, evaluator) for name, node in plan.groups.items()}
        self.missing, self.made = {}, set()
        self._note_missing(formula.response_node, scans.missing(self.response))
        for name, value in self.values.items():
            self._note_missing(plan.nodes[name], scans.missing(value))
        for node, values in zip(plan.terms.offsets, self.offsets, strict=True):
            self._note_missing(node, scans.missing(values))
        for name, component in self.components.items():
            self._note_missing(plan.groups[name], component.missing())

    def _note_missing(self, node, mask):
        explain_missing(node, mask, self.evaluator, self.scans, self.missing, self.made)


def explain_missing(node, mask, evaluator, scans, missing, made):
    """Say of which columns the missing rows of a variable come, or that a function made them.

    Parameters
    ----------
    node : Node
    mask : ndarray of bool, shape (n,), or None
        Rows in which the variable is missing.
    evaluator : Evaluator
    scans : Scans
    missing : dict of str to ndarray of bool
        Added to.
    made : set of str
        Added to: calls that made values missing.
    """
    if mask is None:
        return
    explained = mask & False
    for name in (name for name in column_names(node) if name in evaluator.source):
        gaps = scans.missing(evaluator.column(Name(name)))
        if gaps is None or not (gaps & mask).any():
            continue
        explained |= gaps & mask
        missing[name] = missing.get(name, False) | (gaps & mask)
    if (mask & ~explained).any():
        missing[deparse(node)] = mask & ~explained
        made.add(deparse(node))
