"""One block of rows: its columns, which of its rows the model uses, and the values in them."""

import dataclasses

import numpy as np
import pandas as pd

from fastlmm_hlm.errors import DataError
from fastlmm_hlm.formula.codes import value_codes
from fastlmm_hlm.formula.columns import DataColumns
from fastlmm_hlm.formula.deparse import deparse
from fastlmm_hlm.formula.evaluate import Evaluator
from fastlmm_hlm.formula.parts import explain_missing
from fastlmm_hlm.formula.rows import as_numbers, kept_rows
from fastlmm_hlm.formula.scans import Scans
from fastlmm_hlm.formula.syntax import Name, children, column_names
from fastlmm_hlm.formula.values import Factor, take_rows

# Marks an Arrow field that holds text as a dictionary, so that its levels sort as text.
TEXT = {b"fastlmm_hlm": b"text"}


class BlockColumns(DataColumns):
    """The columns of one block, rows numbered through the source.

    Parameters
    ----------
    block : data frame, Arrow table or record batch, or mapping
    first : int
        Number of its first row, from 0.
    """

    def __init__(self, block, first=0):
        if type(block).__module__.startswith("pyarrow") and type(block).__name__ == "RecordBatch":
            import pyarrow as pa

            block = pa.Table.from_batches([block])
        super().__init__(block)
        self.index = pd.RangeIndex(first, first + self.n)
        schema = getattr(block, "schema", None)
        marked = type(block).__module__.startswith("pyarrow")
        self.texts = {f.name for f in schema if f.metadata and TEXT.items() <= f.metadata.items()} if marked else set()

    def column(self, name):
        """One column; text that came as a dictionary is text again."""
        column = super().column(name)
        if name in self.texts and column.kind == "category":
            column = self._read[name] = dataclasses.replace(column, kind="text", ordered=False)
        return column


def missing_of(column):
    """Where a column is missing: ndarray of bool (n,), or None if nowhere."""
    if column.levels is not None:
        mask = np.asarray(column.values) < 0
    elif column.kind == "text":
        mask = np.asarray(pd.isna(column.values))
    elif column.kind == "date":
        mask = np.isnat(column.values)
    elif column.kind == "number":
        mask = np.isnan(column.values)
    else:
        mask = column.missing
    return mask if mask is not None and mask.any() else None


def numbered(column):
    """Level codes of a column within a block, and its levels in any order.

    Returns
    -------
    codes : ndarray of int, shape (n,)
        -1 for missing.
    levels : pandas.Index
    """
    if column.levels is not None:
        return np.asarray(column.values), column.levels
    if column.kind == "text":
        codes, levels = pd.factorize(column.values)
        return codes, pd.Index(levels)
    codes, levels = value_codes(column)
    return (codes if column.missing is None else np.where(column.missing, -1, codes)), levels


def values_at(column, rows):
    """The values of a column at some rows, in a form that can be put together over blocks.

    Parameters
    ----------
    column : formula.kinds.Column
    rows : ndarray of int

    Returns
    -------
    ndarray
        Object for levels and for logical values with gaps; integers with gaps become float.
    """
    if column.levels is not None:
        codes = np.asarray(column.values)[rows]
        levels = np.append(np.asarray(column.levels, dtype=object), None)
        return levels[codes]
    if column.kind == "text":
        return np.asarray(column.values, dtype=object)[rows]
    if column.kind == "date":
        own = column.values if column.own is None else column.own
        return np.asarray(own[rows], dtype=object) if getattr(own, "dtype", None) is not None and getattr(own.dtype, "tz", None) else np.asarray(own)[rows]
    values = np.asarray(column.values)[rows]
    if column.missing is None or not column.missing[rows].any():
        return values
    gaps = column.missing[rows]
    return np.where(gaps, None, values.astype(object)) if column.kind == "logical" else np.where(gaps, np.nan, values.astype(float))


class BlockRows:
    """The variables of a request in one block.

    Parameters
    ----------
    reading : Reading
    block : data frame and the like
    first : int
        Number of its first row.
    state, levels : dict, optional
        What transforms and columns learned from all rows; without them, in the first pass,
        variables that depend on all rows are not evaluated.

    Attributes
    ----------
    n : int
        Rows of the block.
    used : ndarray of int64 or None
        Rows that the model uses; None for all.
    dropped, missing : dict of str to int
        See `formula.rows.Rows`.
    made : set of str
        Names in `missing` that a function made missing.
    """

    def __init__(self, reading, block, first, state=None, levels=None):
        self.reading, self.first_pass = reading, state is None
        self.source = BlockColumns(block, first)
        self.source.check(reading.columns)
        self.n, self.index = self.source.n, self.source.index
        self.evaluator = Evaluator(self.source, state=state, levels=levels)
        self.scans = Scans()
        self.made = set()
        self._choose()

    def value(self, node):
        """A variable on all rows of the block."""
        return self.evaluator.variable(node)

    def known(self, text):
        """Whether a variable can be evaluated in this pass."""
        return not self.first_pass or text not in self.reading.whole

    def numbers(self, role):
        """The values of weights, an offset or a subset, or None."""
        node = self.reading.arguments.get(role)
        if node is None:
            return None
        shown = f"{role} = {getattr(self.reading.request, role)!r}"
        return as_numbers(self.evaluator.variable(node, asker=shown), role, shown)

    def _choose(self):
        """Find the rows that are used, and say why the others are not."""
        reading, missing = self.reading, {}
        roles = {deparse(node): role for role, node in reading.arguments.items()}
        for text, node in reading.nodes.items():
            if text in roles and text not in reading.plan.nodes and text != reading.request.formula.response:
                continue
            self._note(node, missing)
        for node in reading.plan.groups.values():
            self._note(node, missing, group=True)
        for role in ("weights", "offset"):
            values = self.numbers(role)
            gaps = None if values is None else self.scans.missing(values)
            if gaps is not None:
                missing[role] = gaps
        subset, weights = self.numbers("subset"), self.numbers("weights")
        if subset is None and weights is None and not missing:
            self.used, self.count, self.considered, self.dropped, self.missing = None, self.n, self.n, {}, {}
            return
        keep, considered, self.dropped, self.missing = kept_rows(self.n, self.index, subset, weights, missing)
        self.used = None if keep.all() else np.flatnonzero(keep)
        self.count = self.n if self.used is None else len(self.used)
        self.considered = int(considered.sum())

    def _note(self, node, missing, group=False):
        mask = missing_of(self.source.column(node.text)) if group and isinstance(node, Name) else self._missing(node)
        explain_missing(node, mask, self.evaluator, self.scans, missing, self.made)

    def _missing(self, node):
        """Where a variable is missing; of a call that depends on all rows, where its columns are."""
        if not self.first_pass or not _depends_on_all(node, self.reading):
            value = self.value(node)
            return self.scans.missing(np.full(1, value) if isinstance(value, float) else value)
        masks = [self._missing(child) for child in children(node) if any(name in self.source for name in column_names(child))]
        masks = [mask for mask in masks if mask is not None]
        return np.logical_or.reduce(masks) if masks else None

    def chosen(self, value):
        """A value at the rows used."""
        taken = take_rows(value, self.used)
        if not isinstance(taken, Factor):
            self.scans.inherit(taken, value)
        return taken

    def chosen_codes(self, codes):
        """Codes at the rows used."""
        return codes if self.used is None else codes[self.used]


def _depends_on_all(node, reading):
    from fastlmm_hlm.ingest.wholedata import whole_calls

    return bool(whole_calls("", node))


def check_kind(known, column):
    """The kind a column has so far, with that of a further block.

    Raises
    ------
    DataError
        If the column changes from numbers to text, or the like.
    """
    kinds = {known, column.kind}
    if known is None or known == column.kind:
        return column.kind
    if kinds == {"number", "integer"}:
        return "number"
    if _all_missing(column):
        return known
    raise DataError(f"column '{column.name}' is {KIND_WORDS[known]} in the first rows and {KIND_WORDS[column.kind]} further on; give it one type throughout the source.")


def _all_missing(column):
    mask = missing_of(column)
    return mask is not None and bool(mask.all())


KIND_WORDS = {"number": "numeric", "integer": "a whole number", "logical": "logical", "text": "text", "category": "categorical", "date": "a date"}
