"""What a fit will cost: memory and time, before it starts."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from fastlmm_hlm._core import kernels
from fastlmm_hlm.criterion.coresize import CoreSize, core_of_parts, core_size, random_density
from fastlmm_hlm.criterion.enough import machine_memory
from fastlmm_hlm.errors import ArgumentError, FastlmmError
from fastlmm_hlm.formula import parse_formula
from fastlmm_hlm.formula.bars import group_components
from fastlmm_hlm.formula.deparse import deparse
from fastlmm_hlm.formula.terms import expand_terms, full_dummy_factors
from fastlmm_hlm.ingest.othersources import FrameSource
from fastlmm_hlm.ingest.passes import read_blocks, run_passes
from fastlmm_hlm.ingest.request import Reading, Request
from fastlmm_hlm.ingest.scan import Scan
from fastlmm_hlm.ingest.source import is_source, open_source

# Levels of the factors on which the kernels are tried; they no longer fit into the second cache.
MOST_TRIED = 20_000
# Evaluations with derivatives of a usual search.
EVALUATIONS = 5
# Time of an operation in a sparse core, in those of a dense one.
SPARSE = 2
# Bytes a process holds while it reads, beyond what grows with levels: at least, and at most.
LEAST_READING, MOST_READING = 60e6, 250e6
# Seconds of a pass, measured once: to begin; per level and column; per row and pair of factors that cross.
BEGIN, LEVEL, CROSSING = 0.04, 4e-8, 1.1e-7


@dataclass(frozen=True)
class Cost:
    """An estimate of what a fit takes; prints itself.

    Attributes
    ----------
    formula : str
    rows : int
    levels : dict of str to int
        By grouping factor, most levels first.
    columns : dict of str to int
        Columns of each factor.
    p : int
        Columns of the fixed part.
    core : CoreSize
        What is left when the biggest factor is eliminated.
    memory : dict of str to float
        Bytes: "cross-products", "core", "estimates", "reading", "total".
    seconds : dict of str to float
        "pass" (one reading of the rows with its sums), "evaluation", "fit" (pass and evaluations).
    machine : float or None
        Bytes of memory of this machine.
    """

    formula: str
    rows: int
    levels: dict
    columns: dict
    p: int
    core: CoreSize
    memory: dict = field(default_factory=dict)
    seconds: dict = field(default_factory=dict)
    machine: float | None = None

    def __str__(self):
        factors = "\n".join(f"  {name:<20} {count:>16,} levels x {self.columns[name]} column{'s' * (self.columns[name] > 1)}" for name, count in self.levels.items())
        form = "none" if self.core.order == 0 else f"order {self.core.order:,}, " + ("dense" if self.core.dense else f"sparse, {self.core.entries:,.0f} entries at most")
        memory = "\n".join(f"  {name:<20} {_bytes(size):>16}" for name, size in self.memory.items())
        seconds = "\n".join(f"  {name:<20} {_seconds(value):>16}" for name, value in self.seconds.items())
        lines = [f"Cost of {self.formula}", f"{self.rows:,} rows, {self.p} fixed columns; grouping factors", factors, f"core: {form}", "memory", memory, "time, one thread", seconds]
        if self.machine is not None:
            fits = "enough" if self.memory["total"] < self.machine else "NOT ENOUGH"
            lines.append(f"this machine has {_bytes(self.machine)}: {fits}")
        return "\n".join(lines)

    __repr__ = __str__


def _bytes(size):
    for unit in ("B", "KB", "MB", "GB", "TB", "PB"):
        if size < 1000 or unit == "PB":
            return f"{size:,.3g} {unit}"
        size /= 1000


def _seconds(value):
    if value < 1:
        return f"{1000 * value:.2g} ms"
    return f"{value:.3g} s" if value < 600 else f"{value / 60:,.3g} min" if value < 36_000 else f"{value / 3600:,.3g} h"


def cost(formula, data):
    """Estimate what a fit takes, before it starts.

    Parameters
    ----------
    formula : str
    data : data frame, source or dict
        Data are read once, only the grouping columns and the response.  A dict needs no data:
        ``rows``; ``levels``, by grouping factor as the formula writes it; and optionally ``factors``, numbers of
        levels of factors in the fixed part, ``nested``, finer -> coarser factor, and ``parts``, into how many
        parts the levels fall that never meet (districts).  Factors that are not nested are taken to cross at random.

    Returns
    -------
    Cost
        Times are for one thread of this machine, from the kernels run on a few rows (0.1 s).

    Raises
    ------
    ArgumentError
        If the dict lacks something.

    Examples
    --------
    >>> estimate = cost("y ~ x + (1 + x | student) + (1 | school)",
    ...                 {"rows": 5e7, "levels": {"student": 1e7, "school": 2000}, "nested": {"student": "school"}})
    >>> estimate.core.order
    2000
    """
    formula = parse_formula(formula)
    given = isinstance(data, Mapping) and "rows" in data and not np.ndim(data["rows"])
    facts = _facts_given(formula, data) if given else _facts_of(formula, data)
    return _estimate(formula, *facts)


# --- facts ---------------------------------------------------------------------------


def _facts_given(formula, data):
    """rows, levels, columns, p, pairs with the biggest factor, core; from numbers."""
    unknown = set(data) - {"rows", "levels", "factors", "nested", "parts"}
    if unknown or "levels" not in data:
        what = f"has {', '.join(map(repr, sorted(unknown)))}" if unknown else "lacks 'levels'"
        raise ArgumentError(f"cost: the dict {what}; it takes rows, levels, factors, nested and parts.")
    factors = dict(data.get("factors", {}))
    names = list(dict.fromkeys(bar.group_name for bar in formula.bars))
    lacking = [name for name in names if name not in data["levels"]]
    if lacking:
        raise ArgumentError(f"cost: levels lacks {', '.join(map(repr, lacking))}; give a number for each of {', '.join(map(repr, names))}.")
    rows, parts = int(data["rows"]), int(data.get("parts", 1))
    levels = {name: int(data["levels"][name]) for name in sorted(names, key=lambda name: -data["levels"][name])}
    columns = dict.fromkeys(levels, 0)
    for bar in formula.bars:
        columns[bar.group_name] += _count(expand_terms(bar.lhs), factors)
    p = _count(expand_terms(formula.fixed_node, first=(formula.response,)), factors)
    first, *others = levels
    nested = {tuple(sorted(pair)) for pair in dict(data.get("nested", {})).items()} | _nested_by_name(formula)
    pairs, closed = {}, []
    for name in others:
        if tuple(sorted((first, name))) in nested:
            pairs[name] = float(levels[first])
        else:
            share = -np.expm1(-rows / parts / (levels[first] / parts * levels[name] / parts))
            pairs[name] = levels[first] * levels[name] / parts * share
            closed.append(random_density(rows / parts, levels[first] / parts, levels[name] / parts))
    unknowns = sum(levels[name] * columns[name] for name in others)
    if not others:
        core = CoreSize(0, 0.0, True, 0.0)
    elif closed:
        core = core_of_parts(np.full(parts, unknowns / parts), max(closed))
    else:                                   # a tree: every unknown is a neighbour of its own level and of those it lies in
        core = CoreSize(unknowns, float(unknowns * len(others)), unknowns <= 400, float(unknowns * len(others) ** 2))
    return rows, levels, columns, p, pairs, core, None


def _nested_by_name(formula):
    """Pairs of factors of which one is an interaction with the other, as (1 | a/b) makes them."""
    parts = {bar.group_name: {deparse(part) for part in group_components(bar.group)} for bar in formula.bars}
    return {tuple(sorted((a, b))) for a in parts for b in parts if parts[a] > parts[b]}


def _count(terms, factors):
    """Columns of a model matrix; every variable that is no factor has one."""
    full = full_dummy_factors(terms.terms, set(factors), terms.intercept)
    made = int(terms.intercept)
    for term, whole in zip(terms.terms, full):
        made += int(np.prod([factors[name] - (name not in whole) if name in factors else 1 for name in term]))
    return made


def _facts_of(formula, data):
    """The same from data: one reading of the grouping columns and the response."""
    source = open_source(data) if is_source(data) else FrameSource(data)
    request = Request(formula)
    reading = Reading(request, source.names)
    plan = _plan_of(source, request, reading)
    bars = " + ".join(dict.fromkeys(f"(1 | {bar.group_name})" for bar in formula.bars))
    structure, products, _ = run_passes(source, Request(f"{formula.response} ~ 1 + {bars}"))
    factors = structure.design.factors
    levels = {factor.name: len(factor.levels) for factor in factors}
    columns = {factor.name: len(factor.names) for factor in plan.design.factors}
    columns = {name: columns[name] for name in levels}
    first, *others = levels
    pairs = {name: float(len(products.pairs[0, g + 1][1])) for g, name in enumerate(others)}
    width = max([columns[name] for name in others], default=1)
    core = core_size(products)
    if width > 1:
        core = core_of_parts(np.full(max(1, round(core.order**2 / max(1.0, 2 * core.entries))), width * core.order**2 / max(1.0, 2 * core.entries)), float(core.certain), float(core.dense))
    return structure.n, levels, columns, len(plan.x_names), pairs, core, (source, reading.columns)


def _plan_of(source, request, reading):
    """A plan from the first rows, or from all where they do not do."""
    scan = Scan(request)
    for number, block in enumerate(read_blocks(source, reading.columns)):
        scan.update(block)
        try:
            return scan.finish()
        except FastlmmError:
            continue
    return scan.finish()


# --- the estimate ------------------------------------------------------------------------


def _estimate(formula, rows, levels, columns, p, pairs, core, source):
    first, *others = levels
    products = sum(8.0 * count * columns[name] * (columns[name] + p + 1) for name, count in levels.items())
    products += sum(count * (8.0 * columns[first] * columns[name] + 4) for name, count in pairs.items())
    q = sum(float(count) * columns[name] for name, count in levels.items())
    # names of levels, modes, spherical modes and their scores; kernels' own copies of R and b
    estimates = 24.0 * sum(levels.values()) + 8.0 * q * (4 + p)
    memory = {"cross-products": products, "core": core.bytes, "estimates": estimates, "reading": min(MOST_READING, LEAST_READING + 8.0 * rows * (p + len(levels)))}
    memory["total"] = sum(memory.values())
    speed = _speed(source, p, levels, columns)
    per_row = speed.sweep + speed.code * len(levels) + speed.look * (1 + p) + speed.value * (1 + p + len(levels))
    width = 1 + p + sum(count / levels[first] * columns[name] for name, count in pairs.items())
    evaluation = levels[first] * speed.level * (columns[first] + 1) * (1 + columns[first] * width + width**2 / 4) / 8 
    evaluation += core.flops * speed.flop * (1 if core.dense else SPARSE)
    per_row += CROSSING * sum(count > levels[first] for count in pairs.values())
    seconds = {"pass": BEGIN + rows * per_row + LEVEL * q, "evaluation": evaluation}
    seconds["fit"] = seconds["pass"] + (EVALUATIONS + 2) * evaluation
    return Cost(formula.text, int(rows), levels, columns, p, core, memory, seconds, machine_memory())


@dataclass(frozen=True)
class _Speed:
    """Seconds per row summed, per code, per number looked at, per value read, level, and operation."""

    sweep: float
    code: float
    look: float
    value: float
    level: float
    flop: float


def _timed(function, repeats=3):
    best = np.inf
    for _ in range(repeats):
        began = time.perf_counter()
        function()
        best = min(best, time.perf_counter() - began)
    return best


def _speed(source, p, levels, columns):
    """The kernels on a few rows: p fixed columns, and factors whose columns are the first of them."""
    from scipy.linalg import cholesky

    rng = np.random.default_rng(1)
    n = int(min(65_536, max(2_048, 2_000_000 // (p + 1))))
    values = [None, *rng.normal(size=(max(p, *columns.values()) - 1, n))]
    y, XyXy, groups = rng.normal(size=n), np.zeros((p + 1, p + 1)), []
    for name, count in levels.items():
        size, c = int(min(count, MOST_TRIED)), columns[name]
        codes, z = rng.integers(0, size, n).astype(np.int32), kernels.Columns([(v, 0.0) for v in values[:c]])
        groups.append(kernels.Grouping(codes, z, size, None, np.zeros((size, c, p + 1))))
    x = kernels.Columns([(v, 0.0) for v in values[:p]])
    sweep = _timed(lambda: kernels.crossprod_rows(x, y, None, np.ones(p), None, groups, XyXy)) / n
    table, wide, found, parent = np.arange(MOST_TRIED, dtype=np.int32), rng.integers(0, MOST_TRIED, n), np.empty(n, dtype=np.int32), np.full(MOST_TRIED, -1, dtype=np.int32)
    code = _timed(lambda: (kernels.look_up_integers(wide, 0, table, found), kernels.follow_nesting(found, found, parent))) / n
    look = _timed(lambda: (kernels.all_finite(y), kernels.column_moments(y))) / n
    tried = 5_000
    G, R = np.zeros((tried, 1, 1)), np.zeros((tried, 1, 4))
    x = kernels.Columns([(v, 0.0) for v in (None, *rng.normal(size=(2, n)))])
    kernels.crossprod_rows(x, y, None, None, None, [kernels.Grouping(rng.integers(0, tried, n).astype(np.int32), kernels.Columns([(None, 0.0)]), tried, G, R)], None)
    XyXy = np.eye(4) * n
    kernel = kernels.LmmKernel([G + 1.0], [R], XyXy, {}, kernels.BLOCK, 1)
    kernel.set_terms(np.array([[0], [0], [1], [1]], dtype=np.int32))
    what = kernels.TRACE | kernels.SCORE | kernels.INFORMATION
    level = _timed(lambda: kernel.evaluate(np.ones(1), what, True)) / tried
    A = np.eye(500) + 0.001
    flop = _timed(lambda: cholesky(A, lower=True, check_finite=False)) / (500**3 / 3)
    return _Speed(sweep, code, look, _reading_speed(source), level, flop)


# Seconds per value decoded from Parquet, where no source says otherwise.
PARQUET = 6e-9


def _reading_speed(source):
    """Seconds per value of a source: one block of it, or Parquet's."""
    if source is None:
        return PARQUET
    own, columns = source
    seen, began, at = 0, 0.0, 0
    for block in read_blocks(own, columns):
        rows = getattr(block, "num_rows", None)
        if at:                                    # the first block waits for what is made once
            seen += len(block) if rows is None else rows
        else:
            began = time.process_time()
        at += 1
        if seen > 1_000_000:
            break
    return (time.process_time() - began) / seen / len(columns) if seen else PARQUET
