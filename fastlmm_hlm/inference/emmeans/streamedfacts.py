"""The same facts from rows that are read block by block, in one reading of the source."""

import numpy as np
import pandas as pd

from fastlmm_hlm.inference.emmeans.facts import FEW_VALUES, Facts, Variable, null_basis_of, used_names
from fastlmm_hlm.ingest.blockrows import values_at
from fastlmm_hlm.ingest.distinct import CategoryOrder
from fastlmm_hlm.ingest.moments import Moments
from fastlmm_hlm.ingest.passes import read_blocks
from fastlmm_hlm.ingest.products import piece_of

# Blocks whose counts wait to be put together.
WAITING = 32


def streamed_facts(fit, caller):
    """Read the facts of a fit from its source.

    Returns
    -------
    Facts
    """
    plan, source = fit._plan, fit._source
    names, coerced = used_names(fit._spec)
    known = {name: _Known(name, name in coerced) for name in names}
    tables, seen, R = [], 0, np.zeros((0, len(fit._all_x_names)))
    wanted = set(plan.columns)
    for block in read_blocks(source, [name for name in source.names if name in wanted], what=caller):
        rows = plan.rows_of(block, seen)
        seen += rows.n
        if not rows.count:
            continue
        used = np.arange(rows.n) if rows.used is None else rows.used
        for name in names:
            known[name].add(rows.source.column(name), used, seen)
        tables.append(_counted(known, rows, used))
        if len(tables) > WAITING:
            tables = [_together(tables, [name for name in names if known[name].counted])]
        if fit._dropped_columns:
            X = [np.ones(rows.count) if c is None else c for c in piece_of(plan, rows).x]
            R = np.linalg.qr(np.vstack([R, np.column_stack(X)]), mode="r")
    counted = [name for name in names if known[name].counted]
    table = _together(tables, counted)
    variables = {name: known[name].variable(table[name] if name in counted else None) for name in names}
    cells = np.column_stack([_codes(variables[name], table[name]) for name in counted]) if counted else np.zeros((len(table), 0), dtype=np.int64)
    order = np.lexsort(cells.T[::-1]) if counted else np.arange(len(table))
    return Facts(variables, counted, cells[order], table["n"].to_numpy(dtype=float)[order], 0.0, null_basis_of(fit, R))


class _Known:
    """What is known of one variable so far."""

    def __init__(self, name, coerced):
        self.name, self.coerced, self.kind = name, coerced, None
        self.counted = True
        self.moments, self.order, self.few = Moments(), CategoryOrder(), set()

    def add(self, column, used, block):
        if self.kind is None or column.kind == "number":
            self.kind = column.kind
        if column.kind == "category":
            self.order.add(column, 0, block)
        if column.kind not in ("number", "integer", "date"):
            return
        values = np.asarray(column.value(), dtype=float)[used]
        self.moments.add(values)
        if self.counted and not self.coerced:
            for some in (values[:1000], values):             # most columns are decided by the first
                if len(self.few) <= FEW_VALUES:
                    self.few |= set(np.unique(some).tolist())
            self.counted = len(self.few) <= FEW_VALUES

    def variable(self, values):
        """The finished variable; its values in the table of counts, if it is counted."""
        if self.kind == "category":
            present = set(values)
            levels = self.order.levels()
            return Variable(self.name, True, tuple(level for level in levels if level in present), categories=levels, ordered=self.order.ordered)
        if self.kind == "text":
            return Variable(self.name, True, tuple(sorted(map(str, set(values)))))
        if self.kind == "logical":
            return Variable(self.name, True, tuple(sorted(map(bool, set(values)))))
        m = self.moments
        facts = {"mean": float(m.mean), "is_date": self.kind == "date", "spread": m.high - m.low}
        levels = None if values is None else tuple(_number(v) for v in np.unique(values.to_numpy(dtype=float)))
        return Variable(self.name, self.coerced and levels is not None, levels, **facts)


def _number(value):
    return int(value) if float(value).is_integer() and abs(value) < 2**53 else float(value)


def _counted(known, rows, used):
    """Combinations in one block of the variables that may be counted, with the number of rows."""
    columns = {}
    for name, own in known.items():
        if own.counted:
            column = rows.source.column(name)
            numeric = own.kind in ("number", "integer", "date")
            columns[name] = np.asarray(column.value(), dtype=float)[used] if numeric else values_at(column, used)
    return _together([pd.DataFrame({**columns, "n": np.ones(len(used), dtype=np.int64)})], list(columns))


def _together(tables, names):
    whole = pd.concat([table[[*names, "n"]] for table in tables], ignore_index=True)
    if not names:
        return pd.DataFrame({"n": [whole["n"].sum()]})
    return whole.groupby(names, sort=False, as_index=False)["n"].sum()


def _codes(variable, values):
    return pd.Index(variable.levels).get_indexer(pd.Index(values)).astype(np.int64)
