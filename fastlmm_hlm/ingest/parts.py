"""The two passes over a source whose parts are summed where they lie, by the processes of a cluster.

What a process runs are functions of a part and of a request or plan, without other effects, so a
part that is lost with its process is summed again, to the same bits.  An adapter (`dasksource`,
`sparksource`) has two methods: `scans(...)` and `sums(...)`.
"""

import copy
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import pandas as pd

from fastlmm_hlm.errors import DataError, FastlmmError
from fastlmm_hlm.ingest.blockrows import KIND_WORDS
from fastlmm_hlm.ingest.partialsums import Partial
from fastlmm_hlm.ingest.passes import estimable
from fastlmm_hlm.ingest.products import Products
from fastlmm_hlm.ingest.request import Reading
from fastlmm_hlm.ingest.scan import Scan
from fastlmm_hlm.ingest.source import BLOCK_ROWS

# Partial results that one process adds at a time; a power of two, so that runs of parts are nodes of the tree.
FAN_IN = 8
# Bytes of sums that one process adds up, before the levels are divided among several.
BYTES_OF_RANGE = 16 * 2**20


@dataclass
class Found:
    """What the first pass found in some parts.

    Attributes
    ----------
    scan : Scan
    kinds : dict of str to dict of str to int
        By column: the kinds it has, and the first part where it has each.
    sizes : dict of int to int
        Rows of each part.
    """

    scan: Scan
    kinds: dict
    sizes: dict


def run_parts(source, request, block_rows=None, progress=False):
    """Read the rows twice, part by part, where they lie.

    Parameters
    ----------
    source : Source
        With `scans` and `sums`.
    request : Request
    block_rows : int, optional
    progress : bool

    Returns
    -------
    Plan, CrossProducts, ndarray of int
        As `passes.run_passes`.

    Raises
    ------
    DataError
        Naming the part, where the rows of one cannot be read or used.
    """
    wanted = set(Reading(request, source.names).columns)
    columns = [name for name in source.names if name in wanted]
    if not columns:
        raise DataError(f"'{request.formula.text}' uses no column of {source.description}; a model needs a response that varies.")
    block_rows = BLOCK_ROWS if block_rows is None else block_rows
    found = source.scans(request, columns, block_rows, progress)
    for name in columns:
        found.scan.kinds.setdefault(name, "number")
    plan = found.scan.finish()
    parts = [part for part, n in sorted(found.sizes.items()) if n]
    for attempt in range(2):
        products = source.sums(plan, columns, parts, block_rows, progress)
        made = products.finish()
        kept = estimable(plan, made, products.triangle)
        if kept is not None:
            return plan, made, kept
        plan.doubtful = True                     # as in `passes.run_passes`
    raise AssertionError("a triangular factor always decides")


# --- what processes run ------------------------------------------------------------------


def scan_part(block, part, request, block_rows, types=None):
    """The first pass over one part.

    Parameters
    ----------
    block : DataFrame or Arrow table
    part : int
    request : Request
    block_rows : int
        Rows at a time.
    types : Series, optional
        Declared types of the columns of a data frame; a column without any value takes its own.

    Returns
    -------
    Found
    """
    scan = Scan(request, part)
    with naming(part):
        for rows in cut(block, block_rows, types):
            scan.update(rows)
    if types is not None:
        for name in block.columns:
            if len(block) and block[name].isna().all():
                scan.kinds.pop(name, None)           # without a value it may be of any kind
    return Found(scan, {name: {kind: part} for name, kind in scan.kinds.items()}, {part: len(block)})


def merge_found(several):
    """What was found in several runs of parts; none of them is changed.

    Raises
    ------
    DataError
        If a column has different types, naming two parts.
    """
    several = list(several)
    kinds = {}
    for found in several:
        for name, own in found.kinds.items():
            known = kinds.setdefault(name, {})
            for kind, part in own.items():
                known[kind] = min(part, known.get(kind, part))
    for name, own in kinds.items():
        if len(own) > 1 and set(own) != {"number", "integer"}:
            (one, first), (other, second), *_ = sorted(own.items(), key=lambda item: item[1])
            raise DataError(
                f"column '{name}' is {KIND_WORDS[one]} in partition {first} and {KIND_WORDS[other]} in partition {second}; give it one "
                f"type in all partitions, as in data['{name}'].astype(...)."
            )
    scan = copy.deepcopy(several[0].scan)
    for found in several[1:]:
        scan.merge(found.scan)
    return Found(scan, kinds, {part: n for found in several for part, n in found.sizes.items()})


def sum_part(block, part, number, plan, block_rows, ranges=1, types=None):
    """The second pass over one part.

    Parameters
    ----------
    block : DataFrame or Arrow table
    part, number : int
        Of the part among all, and among those that have rows.
    plan : Plan
    block_rows : int
    ranges : int
        Ranges of levels into which the sums are cut.
    types : Series, optional
        As in `scan_part`.

    Returns
    -------
    list of Partial
    """
    products = Products(plan, number)
    with naming(part):
        for rows in cut(block, block_rows, types):
            products.update(rows)
    return Partial.from_bytes(products.to_bytes()).split(level_counts(plan), ranges)


def level_counts(plan):
    """Levels of each grouping factor."""
    return [len(factor.levels) for factor in plan.design.factors]


def ranges_of(plan, processes):
    """Into how many ranges the levels are cut: one, unless the sums are large and there are processes to share them."""
    p = len(plan.x_names) + 1
    size = sum(8 * len(f.levels) * len(f.names) * (len(f.names) + p) for f in plan.design.factors)
    return max(1, min(processes, -(-size // BYTES_OF_RANGE)))


def cut(block, block_rows, types=None):
    """Runs of rows of a part."""
    if types is None:                             # Arrow
        for first in range(0, len(block), block_rows):
            yield block.slice(first, block_rows)
        return
    block = _typed(block, types)
    for first in range(0, len(block), block_rows):
        yield block.iloc[first : first + block_rows]


def _typed(block, types):
    """A part whose columns without any value have the types declared for them."""
    for name in block.columns:
        if block[name].dtype != types[name] and block[name].isna().all():
            try:
                block = block.assign(**{name: pd.Series(np.nan, index=block.index).astype(types[name])})
            except (TypeError, ValueError):
                continue                          # whole numbers know no gap; float is their company
    return block


@contextmanager
def naming(part):
    """Say in which part an error arose.

    Raises
    ------
    FastlmmError
    """
    try:
        yield
    except FastlmmError as error:
        raise type(error)(f"partition {part}: {error}") from error
    except MemoryError:
        raise
    except Exception as error:
        raise unreadable(part, error) from error


def unreadable(part, error):
    """The error for a part that cannot be read."""
    text = " ".join(str(error).split()).rstrip(".")
    text = text if len(text) <= 300 else text[:300] + " ..."
    return DataError(f"partition {part} cannot be read: {type(error).__name__} says '{text}'. Are its rows complete, and every column of one type throughout?")


def tree(items, merge, fan_in=FAN_IN):
    """Reduce neighbours, fan_in at a time, until one is left."""
    items = list(items)
    while len(items) > 1:
        items = [merge(items[i : i + fan_in]) for i in range(0, len(items), fan_in)]
    return items[0]
