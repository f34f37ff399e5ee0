"""Both passes in one reading: sums by levels numbered as they appear, brought into order at the end.

What a fit must know before the first row is summed is little: the columns of the model, what they
are centred at, and beta0.  The first rows of a source tell it, or the tables that a store keeps.
Levels of grouping factors, missing values and the response's range are noted while the rows are summed.
At the end the plan is made from what was noted of all rows.  If it has the same columns,
centring and beta0, the sums are those of that plan with their levels in another order, and they are put in
order; if not (a level of a fixed factor that the first rows lack), the source is read twice.
"""

import copy
from itertools import chain

import numpy as np
import pandas as pd

from fastlmm_hlm.design.crossprod import CrossProducts
from fastlmm_hlm.errors import FastlmmError
from fastlmm_hlm.formula.materialize import INTERCEPT
from fastlmm_hlm.ingest.grouplevels import NotSeenError
from fastlmm_hlm.ingest.growing import GrowingLevels, GrowingPairs, TwoPassesError, can_grow
from fastlmm_hlm.ingest.plan import make_plan
from fastlmm_hlm.ingest.products import Products
from fastlmm_hlm.ingest.scan import Scan, group_of
from fastlmm_hlm.ingest.sums import CHUNK

# Rows from which the columns, their centring and beta0 are learned where a source has no facts of its own.
HEAD = 4 * CHUNK


def one_pass(source, request, reading, blocks, threads=1):
    """Plan and cross-products from one reading.

    Parameters
    ----------
    source : Source
    request : Request
    reading : Reading
    blocks : iterator
        Of the source's rows.
    threads : int

    Returns
    -------
    Plan, CrossProducts, and the triangular factor of X where it was kept

    Raises
    ------
    TwoPassesError
        If these rows must be read twice.
    DataError, FormulaError
        As the passes.
    """
    if reading.whole or not can_grow(reading):
        raise TwoPassesError("the formula depends on all rows")
    known = source.known(request)
    taken = [] if known is not None else _taken(blocks, HEAD, source.blocks_stay)
    scan = known if known is not None else _scanned(request, taken)
    if known is None and sum(map(_length, taken)) < HEAD:
        return _of_few(scan, taken, threads)
    return _growing(scan, request, chain(taken, blocks), threads, known is not None, source.n_rows)


def _taken(blocks, rows, stay):
    """The first blocks, copied where they do not stay as they are."""
    taken, count = [], 0
    while count < rows and (block := next(blocks, None)) is not None:
        taken.append(block if stay else _copied(block))
        count += _length(block)
    return taken


def _copied(block):
    if isinstance(block, dict):
        return {name: copy.copy(values) for name, values in block.items()}
    return block.copy() if isinstance(block, pd.DataFrame) else block           # those of Arrow and polars never change


def _length(block):
    rows = getattr(block, "num_rows", None)
    return len(next(iter(block.values()), ())) if isinstance(block, dict) else len(block) if rows is None else rows


def _first(block, rows):
    if isinstance(block, dict):
        return {name: values[:rows] for name, values in block.items()}
    return block.iloc[:rows] if isinstance(block, pd.DataFrame) else block.slice(0, rows)


def _scanned(request, blocks):
    """The scan of the first rows, the same ones whatever the size of the blocks."""
    scan, left = Scan(request), HEAD
    for block in blocks:
        scan.update(block if _length(block) <= left else _first(block, left))
        left -= min(left, _length(block))
    return scan


def _of_few(scan, blocks, threads):
    """Both passes over rows that are kept."""
    plan = scan.finish()
    with Products(plan, threads=threads) as products:
        for block in blocks:
            products.update(block)
        return plan, products.finish(), products.triangle


def _growing(head, request, blocks, threads, tables, rows_in_all):
    try:
        plan = make_plan(head, announce=False)
    except FastlmmError as error:
        raise TwoPassesError(str(error)) from error
    if plan.doubtful:
        raise TwoPassesError("columns may be dependent")
    first = plan.groups
    groups = [
        GrowingLevels(group.names, group.levels if tables else None, watched=INTERCEPT not in factor.names) if len(group.names) == 1
        else GrowingPairs(group.names) for group, factor in zip(first, plan.design.factors)
    ]
    plan.groups = groups
    scan = Scan(request)
    scan.reading = plan.reading
    with _GrowingProducts(plan, threads=threads) as products:
        products.rows = rows_in_all
        for block in blocks:
            rows = plan.rows_of(block, products.n_input)
            scan.look_at(rows)
            scan._blocks += 1
            try:
                products.add_rows(rows)
            except NotSeenError as error:
                raise TwoPassesError(str(error)) from error
        sums = products.total()
    present = [_present(sums, f, factor.names, group) for f, (factor, group) in enumerate(zip(plan.design.factors, groups))]
    complete = {}                        # factors whose levels are those of the tables, all of them, in order
    for group, before, own in zip(groups, first, present):
        if tables and group.count == len(before.levels) and own.all():
            scan.groups[group.names], complete[group.names] = head.groups[group.names], before
        else:
            scan.groups[group.names] = group_of(group.parts() if own.all() else [values[own] for values in group.parts()])
    scan.sample = head.sample
    final = make_plan(scan, groups=complete)
    if final.doubtful or not _same(plan, final):
        raise TwoPassesError("all rows make another model than the first ones")
    return final, _in_order(sums, plan, final, present, complete), None


class _GrowingProducts(Products):
    """Sums whose levels become more; `rows` is how many rows are to come in all, where that is known."""

    rows = None

    def _room(self):
        # memory for levels that do not come is never touched, and copying what is there costs more
        more = 2.0 if self.rows is None else max(1.0, 1.05 * self.rows / self.n_input)
        return [group.count for group in self.plan.groups], more


def _present(sums, f, names, group):
    """Which levels rows in use have: those whose constant has a square, or those that were watched."""
    if group.watched:
        return group.present()
    i = names.index(INTERCEPT)
    return sums.squares(f, i)[: group.count] > 0


def _same(plan, final):
    """Whether sums under one plan are those under another but for the levels."""
    ours, theirs = ({f.name: (list(f.names), f.centring.centre.tolist()) for f in p.design.factors} for p in (plan, final))
    return (
        list(plan.x_names) == list(final.x_names) and np.array_equal(plan.beta0, final.beta0) and ours == theirs
        and np.array_equal(plan.design.x_centring.centre, final.design.x_centring.centre)
    )


def _in_order(sums, plan, final, present, complete):
    """The sums with the factors and levels of the final plan; levels of `complete` factors are in order, for which None stands below."""
    old = {factor.name: f for f, factor in enumerate(plan.design.factors)}
    places = [old[factor.name] for factor in final.design.factors]
    sums_pairs = dict(sums.tables)
    sums.fill()
    new_codes, order = {}, []
    for factor, f in zip(final.groups, places):
        values = plan.groups[f].parts()
        if factor.names in complete or len(values) == 1 and values[0].equals(factor.parts[0].levels):       # they appeared in order
            new_codes[f] = None
            order.append(None)
            continue
        codes = np.full(len(present[f]), -1, dtype=np.int32)
        codes[present[f]] = factor.places([own[present[f]] for own in values])
        new_codes[f] = codes
        order.append(_inverse(codes, len(factor.levels)))
    counts = [len(factor.levels) for factor in final.groups]
    for f, own, count in zip(places, order, counts):
        sums.reorder(f, slice(0, count) if own is None else own)
    ZtWZ, ZtWXy = [sums.ZtWZ(f) for f in places], [sums.ZtWXy[f] for f in places]
    pairs = {}
    for g in range(len(places)):
        for f in range(g):
            a, b = places[f], places[g]
            table = sums_pairs.pop((min(a, b), max(a, b)))
            pairs[f, g] = _pairs(table, a > b, new_codes[a], new_codes[b], order[f], counts[f], counts[g])
    return CrossProducts(sums.n, sums.sum_log_weights, final.beta0, ZtWZ, ZtWXy, sums.XyWXy, pairs)


def _inverse(codes, count):
    """For each new number the old one, ndarray of int64."""
    out = np.empty(count, dtype=np.int64)
    kept = np.flatnonzero(codes >= 0)
    out[codes[kept]] = kept
    return out


def _recoded(codes, new):
    """Old codes in the new numbers; None changes nothing."""
    return codes if new is None else new[codes]


def _pairs(table, swapped, codes_f, codes_g, order, count_f, count_g):
    """(indptr, indices, values) of one pair of factors, as `CrossProducts.pairs` holds them."""
    if table.keys is None and not swapped:
        chosen = slice(0, count_f) if order is None else order
        return np.arange(count_f + 1, dtype=np.int64), np.ascontiguousarray(_recoded(table.parent[chosen], codes_g)), table.values[chosen]
    keys, values = table.entries()
    first, second = keys // table.nl[1], keys % table.nl[1]
    if swapped:
        first, second, values = second, first, values.transpose(0, 2, 1)
    first, second = _recoded(first, codes_f), _recoded(second, codes_g)
    sort = np.argsort(first.astype(np.int64) * count_g + second)
    indptr = np.searchsorted(first[sort], np.arange(count_f + 1)).astype(np.int64)
    return indptr, np.ascontiguousarray(second[sort], dtype=np.int32), np.ascontiguousarray(values[sort])
