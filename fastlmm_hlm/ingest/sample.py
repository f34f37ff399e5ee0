"""A few rows spread over the data, the same ones whatever the order in which blocks come.

Every row has a number made from its place alone, and the rows with the smallest numbers are
kept.  The number is the fractional part of row times the golden section, whose small values lie
evenly over any range of rows (Weyl's equidistribution).  Two samples are joined by keeping the
smallest of both.  A source with fewer rows than that is kept whole.
"""

import numpy as np
import pandas as pd

from fastlmm_hlm.design.crossprod import ROWS_FOR_SHIFT
from fastlmm_hlm.ingest.blockrows import values_at


def row_numbers(part, rows):
    """A number for each row, ndarray of uint64, (n,); those of different parts are shifted against each other."""
    with np.errstate(over="ignore"):
        return (rows.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(part) * np.uint64(0xD1342543DE82EF95)


class Sample:
    """At most `size` rows of some columns.

    Attributes
    ----------
    size : int
    """

    def __init__(self, size=ROWS_FOR_SHIFT):
        self.size = size
        self._keys = np.empty((0, 3), dtype=np.uint64)      # number, part, row
        self._columns = None
        self._cutoff = None

    def add(self, source, names, part, first, used):
        """Offer the used rows of a block.

        Parameters
        ----------
        source : BlockColumns
        names : list of str
        part, first : int
            Part of the source, and number of the block's first row in it.
        used : ndarray of int or None
        """
        local = np.arange(source.n) if used is None else used
        numbers = row_numbers(part, local + first)
        if self._cutoff is not None:
            near = numbers < self._cutoff
            local, numbers = local[near], numbers[near]
        elif len(local) > self.size:
            near = np.argpartition(numbers, self.size - 1)[: self.size]
            local, numbers = local[near], numbers[near]
        if len(local):
            keys = np.column_stack([numbers, np.full(len(local), part, dtype=np.uint64), (local + first).astype(np.uint64)])
            self._join(keys, {name: values_at(source.column(name), local) for name in names})

    def merge(self, other):
        """Join with the sample of another part."""
        if len(other._keys):
            self._join(other._keys, other._columns)

    def _join(self, keys, columns):
        if self._columns is None:
            self._keys, self._columns = keys, dict(columns)
        else:
            self._keys = np.vstack([self._keys, keys])
            self._columns = {name: _joined(self._columns[name], columns[name]) for name in columns}
        if len(self._keys) > self.size:
            best = np.argpartition(self._keys[:, 0], self.size - 1)[: self.size]
            self._keys = self._keys[best]
            self._columns = {name: values[best] for name, values in self._columns.items()}
            self._cutoff = self._keys[:, 0].max()

    def frame(self, kinds, categories):
        """The rows in the order of the source.

        Parameters
        ----------
        kinds : dict of str to str
        categories : dict of str to (pandas.Index, bool)
            Levels of categorical columns, and whether they are ordered.

        Returns
        -------
        DataFrame
        """
        order = np.lexsort((self._keys[:, 2], self._keys[:, 1]))
        return pd.DataFrame({
            name: column_of(values[order], kinds[name], categories.get(name)) for name, values in (self._columns or {}).items()
        })


def column_of(values, kind, categories=None):
    """Values as a column of the kind they had in the source."""
    if kind == "category":
        levels, ordered = categories
        return pd.Categorical.from_codes(pd.Index(levels).get_indexer(pd.Index(values, dtype=levels.dtype)), categories=levels, ordered=ordered)
    if kind == "text":
        return pd.Series(values, dtype=object)
    if kind == "logical" and values.dtype == object:
        return pd.array(values, dtype="boolean")
    if kind == "date":
        return pd.Series(pd.to_datetime(values))
    return values


def _joined(ours, theirs):
    if ours.dtype != theirs.dtype and "O" in (ours.dtype.kind, theirs.dtype.kind):
        return np.concatenate([ours.astype(object), theirs.astype(object)])
    return np.concatenate([ours, theirs])
