"""What the first pass found: everything about a fit but its sums."""

import hashlib
from dataclasses import dataclass, field, replace
from functools import cached_property, reduce
from types import SimpleNamespace

import numpy as np
import pandas as pd

from fastlmm_hlm.design.basis import no_centring
from fastlmm_hlm.design.crossprod import choose_shift, columns_shared, columns_within, fixed_products
from fastlmm_hlm.design.design import build_design
from fastlmm_hlm.design.rank import clearly_independent
from fastlmm_hlm.errors import DataError, FormulaError
from fastlmm_hlm.formula.checks import check_finite, check_random_terms, numeric_response
from fastlmm_hlm.formula.columns import DataColumns
from fastlmm_hlm.formula.deparse import deparse
from fastlmm_hlm.formula.direct import DirectColumns
from fastlmm_hlm.formula.evaluate import Evaluator
from fastlmm_hlm.formula.frame import ModelFrame, RandomTermFrame, _checked_contrasts
from fastlmm_hlm.formula.kinds import level_text
from fastlmm_hlm.formula.materialize import MatrixRecipe
from fastlmm_hlm.formula.rows import announce_rows, as_numbers, no_rows_left
from fastlmm_hlm.formula.scans import Scans
from fastlmm_hlm.formula.spec import DesignSpec, RandomTermSpec
from fastlmm_hlm.formula.syntax import Name, column_names, unwrap
from fastlmm_hlm.formula.values import Factor, Logical
from fastlmm_hlm.ingest.blockrows import BlockRows
from fastlmm_hlm.ingest.grouplevels import GroupLevels, Knowledge, group_levels
from fastlmm_hlm.ingest.request import Reading
from fastlmm_hlm.ingest.wholedata import learned_state


@dataclass(frozen=True)
class Response:
    """The response over all rows used: extremes, standard deviation, and the mean prior weight."""

    low: float
    high: float
    sd: float
    weight: float = 1.0


@dataclass
class Plan:
    """What `Products` needs to sum cross-products, and a fit to name its results; picklable.

    It is as long as the levels of the grouping factors and does not grow with the rows.

    Attributes
    ----------
    request : Request
    names : list of str
        Columns of the source.
    columns : list of str
        Those that are read.
    n, n_input : int
        Rows used, and rows of the source.
    dropped, missing : dict of str to int
        See `ModelFrame`.
    spec : DesignSpec
    x_names : list of str
    assign : ndarray of int, shape (p,)
    term_labels : list of str
    contrasts : dict
    design : Design
        Without rows: its columns and codes are None.
    groups : list of GroupLevels
        One per factor of the design.
    beta0 : ndarray, shape (p,)
        Taken off the response.
    response : Response
    doubtful : bool
        Whether columns of X may be dependent, so that a triangular factor is kept.
    within : list of (ndarray of int32 or None)
        For each factor the columns of X that its columns are; None if some is none of them.
    shared : dict of (int, int) to (ndarray of int32 or None)
        For factors f < g the columns of f that those of g are.
    """

    request: object
    names: list
    columns: list
    n: int
    n_input: int
    dropped: dict
    missing: dict
    spec: DesignSpec
    x_names: list
    assign: np.ndarray
    term_labels: list
    contrasts: dict
    design: object
    groups: list
    beta0: np.ndarray
    response: Response
    doubtful: bool
    within: list
    shared: dict
    _reading: object = field(default=None, repr=False)

    @property
    def formula(self):
        return self.request.formula

    @property
    def reading(self):
        """The request for these columns, made again after unpickling."""
        if self._reading is None:
            self._reading = Reading(self.request, self.names)
        return self._reading

    def __getstate__(self):
        return {**self.__dict__, "_reading": None}

    def rows_of(self, block, first=0):
        """The variables of a block of rows, with all that was learned.

        Returns
        -------
        BlockRows
        """
        return BlockRows(self.reading, block, first, self.spec.state, self.spec.levels)

    @cached_property
    def digest(self):
        """Text that is the same for equal plans and differs for others."""
        made = hashlib.sha256()
        for text in (self.formula.text, repr(self.request.weights), repr(self.request.offset), repr(self.request.subset), *self.x_names):
            made.update(text.encode() + b"\0")
        for values in (self.beta0, self.design.x_centring.centre, *(f.centring.centre for f in self.design.factors)):
            made.update(np.ascontiguousarray(values).tobytes())
        for factor in self.design.factors:
            made.update(pd.util.hash_array(np.asarray(factor.levels, dtype=object).astype(str).astype(object)).tobytes())
        return made.hexdigest()


def make_plan(scan, announce=True, complete=True, groups=None):
    """The plan of a finished `Scan`; see `Scan.finish`.

    Parameters
    ----------
    scan : Scan
    announce : bool
        Whether to say which rows were left out.
    complete : bool
        Whether these are all rows of the model: those of one site may have a single group or a constant response.
    groups : dict of tuple of str to GroupLevels, optional
        Grouping factors, by their parts, whose levels were numbered before.
    """
    request, reading = scan.request, scan.reading
    if reading is None or scan.n_input == 0:
        raise no_rows_left(0, 0, {}, {})
    order = _order_of_reasons(reading)
    counts = {name: scan.missing[name] for name in sorted(scan.missing, key=order) if scan.missing[name]}
    dropped = {reason: scan.dropped[reason] for reason in ("subset", "zero weight", "missing values") if scan.dropped[reason]}
    if announce:
        announce_rows(dropped, counts, request.na_action, scan.made)
    if scan.n == 0:
        raise no_rows_left(scan.n_input, scan.considered, counts, dropped)
    knowledge = _learn(scan)
    frame, groups = _frame(scan, knowledge, groups or {})
    if complete:
        check_random_terms(frame.random, scan.n, True, ())
    design = build_design(frame)
    if not _constant_is_certain(frame):
        design = replace(design, x_centring=no_centring(design.p))
    beta0 = choose_shift(design)
    plan = Plan(
        request=request, names=reading.names, columns=reading.columns, n=scan.n, n_input=scan.n_input, dropped=dropped,
        missing=counts, spec=frame.spec, x_names=frame.x_names, assign=frame.assign, term_labels=frame.term_labels,
        contrasts=frame.contrasts, design=_without_rows(design), groups=_in_order(design, frame, groups), beta0=beta0,
        response=_response(scan, frame, complete), doubtful=_doubtful(design), within=columns_within(design),
        shared={(f, g): columns_shared(design, f, g) for g in range(len(design.factors)) for f in range(g)},
    )
    return plan


def _order_of_reasons(reading):
    """The order in which a fit in memory lists columns with missing values: that of the formula."""
    places = {}
    for text, node in (*reading.nodes.items(), *reading.plan.groups.items()):
        for name in (*column_names(node), text):
            places.setdefault(name, len(places))
    return lambda name: places.get(name, len(places) + (name == "offset"))


def _learn(scan):
    """State of transforms and levels of columns, from moments and distinct values."""
    categories = {name: (order.levels(), order.ordered) for name, order in scan.categories.items()}
    levels = {name: tuple(sorted(texts)) for name, texts in scan.texts.items()}
    levels |= {name: tuple(level_text(level) for level in order) for name, (order, _) in categories.items() if name in scan.reading.level_columns}
    knowledge = Knowledge(scan.kinds, categories, {}, levels)
    for text, calls in scan.reading.whole.items():
        for call in calls:
            states = knowledge.state.setdefault(text, {})
            if call.kind == "moments":
                moments = {deparse(node): scan.moments(f"{deparse(node)}#{call.order}") for node in call.inner}
                states[call.text] = learned_state(call, moments, Evaluator(DataColumns({}), state={}))
                continue
            table = knowledge.table({name: values.to_numpy() for name, values in scan.tables[text, call.text].frame().items()})
            evaluator = Evaluator(DataColumns(table), state=knowledge.state, levels=levels)
            evaluator._variable = text
            evaluator.evaluate(call.node)
    return knowledge


def _used_levels(scan, knowledge, text, node, value):
    """Levels of a factor that occur in the rows used, in order.

    Raises
    ------
    FormulaError
        If the variable makes another factor out of one that depends on all rows.
    """
    calls = scan.reading.whole.get(text)
    if calls is None:
        used = scan.used_levels.get(text, set())
        if value.text:
            return tuple(sorted(used))
        return tuple(level for level in value.levels if level in used) + tuple(sorted(used - set(value.levels)))
    if unwrap(node) != calls[0].node:
        raise FormulaError(f"{text} makes a factor out of {calls[0].text}, which depends on all rows; rows are read block by block, so make the column first.")
    table = scan.used_tables[text, calls[0].text].frame()
    table = knowledge.table({name: values.to_numpy() for name, values in table.items()})
    factor = Evaluator(DataColumns(table), state=knowledge.state, levels=knowledge.levels).variable(node)
    present = set(np.unique(factor.codes).tolist())
    return tuple(level for i, level in enumerate(factor.levels) if i in present)


def _frame(scan, knowledge, known):
    """The model frame of the sample, with the levels of all rows; and the grouping factors by their parts."""
    request, reading = scan.request, scan.reading
    formula, plan = request.formula, reading.plan
    sample = scan.sample.frame(knowledge.kinds, knowledge.categories)
    source = DataColumns(sample)
    evaluator = Evaluator(source, state=knowledge.state, levels=knowledge.levels)
    for name, node in plan.groups.items():
        if not isinstance(node, Name) and name not in reading.whole:
            value = evaluator.variable(node)
            if isinstance(value, Logical):
                value = value.as_factor()
            if isinstance(value, Factor):
                knowledge.factors[node] = _all_texts(scan, name, plan, value)
    values = {name: evaluator.variable(node) for name, node in plan.nodes.items()}
    kept = {name: _with_levels(value, _used_levels(scan, knowledge, name, plan.nodes[name], value)) if isinstance(value, Factor) else value
            for name, value in values.items()}
    y = numeric_response(evaluator.variable(formula.response_node), formula.response, "numeric")
    scans, index = Scans(), sample.index
    check_finite([y], [formula.response], index, "the response", scans)
    fixed = MatrixRecipe(plan.terms, _checked_contrasts(request.contrasts, plan, SimpleNamespace(values=values), formula))
    maker = DirectColumns(len(sample))
    x_columns = fixed.build(kept, maker)
    check_finite(x_columns, fixed.names, index, "the fixed part", scans)
    groups = {names: known.get(names) or group_levels(names, group.frame(), reading, knowledge) for names, group in scan.groups.items()}
    codes = {names: group.codes(_SampleRows(reading, source, evaluator, len(sample))) for names, group in groups.items()}
    random, specs = [], []
    for bar, side, names in zip(formula.bars, plan.sides, plan.bar_groups, strict=True):
        recipe = MatrixRecipe(side)
        columns = recipe.build(kept, maker)
        check_finite(columns, recipe.names, index, bar.text, scans)
        random.append(RandomTermFrame(bar.group_name, groups[names].levels, codes[names], columns, recipe.names, bar.covariance, bar.hom, bar.text))
        specs.append(RandomTermSpec(bar.group, groups[names].levels, recipe))
    sizes = [len(term.levels) for term in random]
    if any(later > earlier for earlier, later in zip(sizes[:-1], sizes[1:], strict=True)):
        order = sorted(range(len(sizes)), key=sizes.__getitem__)[::-1]      # ties are reversed, as in lme4
        random, specs = [random[i] for i in order], [specs[i] for i in order]
    offsets = [as_numbers(evaluator.variable(node), "offset", f"offset({deparse(node)})") for node in reading.all_offsets()]
    weights = reading.arguments.get("weights")
    nodes = [*plan.all_nodes(formula), *(reading.arguments[role] for role in ("weights", "offset") if role in reading.arguments)]
    spec = DesignSpec(
        formula=formula, variables=[name for name in dict.fromkeys(n for node in nodes for n in column_names(node)) if name in source],
        fixed_recipe=fixed, random_terms=specs, offset_nodes=tuple(reading.all_offsets()), offset_is_vector=False,
        state=knowledge.state, levels=knowledge.levels,
    )
    frame = ModelFrame(
        formula=formula, index=index, rows=None, n_input=len(sample), y=y, response=formula.response, x_columns=x_columns, x_names=fixed.names,
        assign=fixed.assign, term_labels=plan.terms.labels, weights=None if weights is None else np.array(as_numbers(evaluator.variable(weights), "weights", "weights"), dtype=float),
        offset=reduce(np.add, offsets) + 0.0 if offsets else None, random=random, dropped={}, missing={}, contrasts=fixed.codings(), spec=spec,
    )
    return frame, groups


def _all_texts(scan, name, plan, value):
    """Levels of a grouping expression in order, from the sample's and those that occur."""
    found = set()
    for names, group in scan.groups.items():
        if name in names:
            found |= set(group.frame()[str(names.index(name))])
    if value.text:
        return pd.Index(sorted(found))
    return pd.Index([*value.levels, *sorted(found - set(value.levels))])


class _SampleRows:
    """The sample as `GroupLevels.codes` takes rows."""

    def __init__(self, reading, source, evaluator, n):
        self.reading, self.source, self.evaluator, self.n = reading, source, evaluator, n

    def value(self, node):
        return self.evaluator.variable(node)

    def chosen_codes(self, codes):
        return codes


def _with_levels(value, levels):
    """A factor with the levels of all rows used."""
    places = {text: i for i, text in enumerate(levels)}
    lookup = np.array([places.get(text, -1) for text in value.levels] + [-1], dtype=np.int32)
    return Factor(lookup[value.codes], levels, value.ordered, value.text, value.contrasts)


def _constant_is_certain(frame):
    """Whether the columns that sum to the constant in the sample do so in all rows: an intercept, or all dummies of a factor."""
    if 0 in frame.assign:
        return True
    recipe = frame.spec.fixed_recipe
    for number, members in enumerate(recipe.terms.terms, start=1):
        count = int((frame.assign == number).sum())
        if count > 1:
            own = [frame.x_columns[j] for j in np.flatnonzero(frame.assign == number)]
            sums = all(column is not None for column in own) and (sum(own) == 1.0).all()
            if sums:
                return all(name in recipe.levels for name in members) and count == np.prod([len(recipe.levels[name]) for name in members])
    return True


def _without_rows(design):
    factors = [replace(factor, codes=None, columns=None) for factor in design.factors]
    return replace(design, y=None, x_columns=None, weights=None, offset=None, factors=factors)


def _in_order(design, frame, groups):
    """The grouping factors as the design has them."""
    by_name = {}
    for bar, names in zip(frame.formula.bars, groups_of_bars(frame.formula, groups)):
        by_name.setdefault(bar.group_name, groups[names])
    return [by_name[factor.name] for factor in design.factors]


def groups_of_bars(formula, groups):
    """The parts of each bar's grouping factor."""
    from fastlmm_hlm.formula.bars import group_components

    return [tuple(deparse(part) for part in group_components(bar.group)) for bar in formula.bars]


def _response(scan, frame, must_vary=True):
    y, w = scan.moments(""), scan.moments("#weights")
    if y is None:
        return Response(float(frame.y.min()), float(frame.y.max()), float(frame.y.std()))
    if must_vary and y.low == y.high and scan.n > 1:
        raise DataError(f"the response '{frame.response}' is constant ({y.low:g} in all {scan.n} rows used); there is no variation to model (lme4 reports a log-likelihood of -Inf).")
    return Response(y.low, y.high, y.sd, 1.0 if w is None else float(w.mean))


def _doubtful(design):
    if not design.p:
        return False
    XtX = fixed_products(design)
    return not clearly_independent(XtX, XtX.diagonal() + design.n * design.x_centring.centre**2)


__all__ = ["GroupLevels", "Plan", "Response", "make_plan"]
