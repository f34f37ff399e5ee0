"""Distinct values, and combinations of values, over blocks of rows."""

import numpy as np
import pandas as pd

# Integers are noted in a table of one byte each up to this range.
LARGEST_TABLE = 1 << 27
# Rows that wait before they are put together with the others.
FEW = 200_000


def reaching(start, table, low, high, empty):
    """A table over a range of integers that covers low to high as well.

    Parameters
    ----------
    start : int
        The integer of the first entry.
    table : ndarray (k,)
    low, high : int
    empty : scalar
        New entries.

    Returns
    -------
    (start, table), the table itself if it covers them; None if it would be too large
    """
    size = len(table)
    if size and start <= low and high < start + size:
        return start, table
    first, last = (min(low, start), max(high, start + size - 1)) if size else (low, high)
    if last - first >= LARGEST_TABLE or last >= 2**62 or first <= -(2**62):
        return None
    room = (last - first) // 2 if size else 0                  # so that it grows few times
    first, last = first - (room if low < start and size else 0), last + (room if size and high >= start + size else 0)
    longer = np.full(last - first + 1, empty, dtype=table.dtype)
    longer[start - first : start - first + size] = table
    return first, longer


class Distinct:
    """The distinct rows of a few columns.

    What waits is put together once there is as much of it as is known already, so every row
    is looked at a few times however many blocks there are.
    """

    def __init__(self):
        self._known, self._waiting, self._rows = None, [], 0

    @classmethod
    def of(cls, frame):
        """These rows, known to be distinct."""
        made = cls()
        made._known = frame if len(frame) else None
        return made

    def add(self, frame):
        """Add rows, a data frame."""
        if len(frame):
            self._waiting.append(frame)
            self._rows += len(frame)
            if self._rows > max(FEW, 0 if self._known is None else len(self._known)):
                self._settle()

    def merge(self, other):
        """Add the rows of another part of the source."""
        for frame in ([] if other._known is None else [other._known]) + other._waiting:
            self.add(frame)

    def _settle(self):
        parts = ([] if self._known is None else [self._known]) + self._waiting
        if self._waiting:
            whole = parts[0] if len(parts) == 1 else pd.concat(parts, ignore_index=True)
            self._known = whole.drop_duplicates(ignore_index=True)
        self._waiting, self._rows = [], 0

    def frame(self):
        """The distinct rows in any order, a data frame, or None if there is none."""
        self._settle()
        return self._known


class Integers:
    """Distinct integers: a table over their range while that is small, else as `Distinct`."""

    def __init__(self):
        self._low, self._table = 0, np.zeros(0, dtype=bool)

    def add(self, values):
        """Add an array of int, (n,).

        Returns
        -------
        bool
            False if the range is too large; then nothing was noted.
        """
        if not len(values):
            return True
        low, high = int(values.min()), int(values.max())
        reached = reaching(self._low, self._table, low, high, False)
        if reached is None:
            return False
        self._low, self._table = reached
        self._table[values - self._low] = True
        return True

    def values(self):
        """The integers noted, ndarray of int64, increasing."""
        return np.flatnonzero(self._table) + self._low


class CategoryOrder:
    """Categories in the order in which the dictionaries of the source name them.

    A level stands where it is first named: by part, block, and place in the block's dictionary,
    so the order does not depend on which block is read first.
    """

    def __init__(self):
        self._places, self._last, self.ordered = {}, None, False
        self._dtype = None

    def add(self, column, part, block):
        """Add the categories of one block's column."""
        self.ordered |= column.ordered
        if self._last is not None and self._last.equals(column.levels):
            return
        self._last = column.levels
        for place, level in enumerate(column.levels):
            here = (part, block, place)
            if self._places.get(level, here) >= here:
                self._places[level] = here
        self._dtype = column.levels.dtype

    def merge(self, other):
        """Add the categories of another part of the source."""
        self.ordered |= other.ordered
        self._last = None
        self._dtype = self._dtype or other._dtype
        for level, there in other._places.items():
            self._places[level] = min(self._places.get(level, there), there)

    def levels(self):
        """All categories in order, pandas.Index."""
        return pd.Index(sorted(self._places, key=self._places.__getitem__), dtype=self._dtype)
