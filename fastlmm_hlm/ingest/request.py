"""What a fit asks of the rows: the arguments of `lmer` that a reader of blocks must know."""

from dataclasses import dataclass

from fastlmm_hlm.errors import ArgumentError
from fastlmm_hlm.formula import Formula, parse_formula
from fastlmm_hlm.formula.columns import DataColumns
from fastlmm_hlm.formula.deparse import deparse
from fastlmm_hlm.formula.evaluate import CONTRAST_NAMES
from fastlmm_hlm.formula.parse import parse_expression
from fastlmm_hlm.formula.parts import check_formula, make_plan
from fastlmm_hlm.formula.rows import check_na_action
from fastlmm_hlm.formula.syntax import Name, column_names
from fastlmm_hlm.ingest.wholedata import whole_calls


@dataclass(frozen=True)
class Request:
    """Arguments of a fit from blocks of rows; small, and made for pickling.

    Attributes
    ----------
    formula : Formula
    weights, offset, subset : str or None
        Columns or expressions in columns.
    contrasts : dict or None
    na_action : "omit" or "fail"
    """

    formula: Formula
    weights: str | None = None
    offset: str | None = None
    subset: str | None = None
    contrasts: dict | None = None
    na_action: str = "omit"

    def __post_init__(self):
        object.__setattr__(self, "formula", parse_formula(self.formula))
        check_formula(self.formula)
        for name in ("weights", "offset", "subset"):
            value = getattr(self, name)
            if value is not None and not isinstance(value, str):
                raise ArgumentError(
                    f"lmer: {name} is {type(value).__name__}; rows that are read block by block are matched with no "
                    f"vector. Put it into the data and give its column, as in {name}='column', or an expression in columns."
                )
        action = check_na_action(self.na_action)
        if action == "exclude":
            raise ArgumentError(
                "lmer: na_action = 'exclude' pads results that have one number per row, and rows that are read block by "
                "block are not kept; use 'omit' or 'fail'. fit.stream() writes a value for every row of the data."
            )
        object.__setattr__(self, "na_action", action)


class Reading:
    """A request for data with certain columns: every expression to evaluate, and the columns it takes.

    Parameters
    ----------
    request : Request
    names : list of str
        Columns of the data.

    Attributes
    ----------
    plan : formula.parts.Plan
    arguments : dict of str to Node
        Of weights, offset and subset, where given.
    nodes : dict of str to Node
        Every variable by its text: response, predictors, offsets, arguments.
    whole : dict of str to list of WholeCall
        Calls that depend on all rows, by the variable or part of a grouping factor they stand in.
    columns : list of str
        Columns that are read.
    level_columns : set of str
        Columns whose levels a variable may ask for: all but plain grouping factors and arguments.

    Raises
    ------
    UnknownColumnError, FormulaError
    """

    def __init__(self, request, names):
        self.request, self.names = request, list(names)
        formula = request.formula
        self.plan = make_plan(formula, self.names)
        known = set(self.names)
        self.arguments = {}
        for role in ("weights", "offset", "subset"):
            text = getattr(request, role)
            if text is not None:
                self.arguments[role] = Name(text) if text in known else parse_expression(text)
        self.offsets = [*self.plan.terms.offsets]
        self.nodes = {formula.response: formula.response_node, **self.plan.nodes}
        self.nodes |= {deparse(node): node for node in (*self.offsets, *self.arguments.values())}
        self.whole = {}
        for text, node in (*self.nodes.items(), *self.plan.groups.items()):
            calls = whole_calls(text, node)
            if calls:
                self.whole[text] = calls
        for role, node in self.arguments.items():
            if deparse(node) in self.whole:
                raise ArgumentError(
                    f"lmer: {role} = {getattr(request, role)!r} depends on all rows ({self.whole[deparse(node)][0].text}), "
                    "which block by block are known too late; write the number, or make the column first."
                )
        self.columns = self._columns(known)
        nodes = [formula.response_node, *self.plan.nodes.values(), *self.offsets]
        nodes += [node for node in self.plan.groups.values() if not isinstance(node, Name)]
        self.level_columns = {name for node in nodes for name in column_names(node)}

    def _columns(self, known):
        every = [*self.nodes.values(), *self.plan.groups.values()]
        roles = {id(node): f"{role} = {getattr(self.request, role)!r}" for role, node in self.arguments.items()}
        wanted = {}
        for node in every:
            for name in column_names(node):
                if name in known:
                    wanted[name] = True
                elif name not in ("T", "F", "pi", *CONTRAST_NAMES):
                    DataColumns({other: [] for other in self.names}).check([name], role=roles.get(id(node), "the formula"))
        return list(wanted)

    def all_offsets(self):
        """Every offset expression, the argument's last."""
        return [*self.offsets, *([self.arguments["offset"]] if "offset" in self.arguments else [])]
