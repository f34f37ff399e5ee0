"""Levels of a grouping factor numbered as they appear, for sums that begin before all levels are known."""

import numpy as np
import pandas as pd

from fastlmm_hlm._core import kernels
from fastlmm_hlm.formula.codes import look_up
from fastlmm_hlm.formula.syntax import Name
from fastlmm_hlm.ingest.blockrows import numbered
from fastlmm_hlm.ingest.distinct import reaching

class TwoPassesError(Exception):
    """The rows hold something that must be known before the first of them is summed; says what."""


class GrowingLevels:
    """The levels of one grouping factor, which is a column, in the order of their numbers.

    Parameters
    ----------
    names : tuple of str
        Its one part.
    known : pandas.Index, optional
        Levels that are numbered beforehand.
    watched : bool
        Note which levels the rows in use have.

    Attributes
    ----------
    count : int
        Levels numbered so far.
    """

    def __init__(self, names, known=None, watched=False):
        self.names, self.count, self.watched = names, 0, watched
        self._low, self._table, self._texts = 0, np.zeros(0, dtype=np.int32), {}
        self._values, self._last, self._keys = [], None, None
        self._present = np.zeros(0, dtype=bool)
        if known is not None and len(known):
            self._begin(known)

    def _begin(self, known):
        """Number levels that are known, an Index."""
        if known.dtype.kind not in "iu":
            self._places(known)
            return
        values = known.to_numpy().astype(np.int64, copy=False)
        low, high = int(values.min()), int(values.max())
        reached = reaching(0, self._table, low, high, -1)
        if reached is None:
            self._keys = kernels.keys_of(values)
            self.count = self._keys.count
            return
        self._low, self._table = reached
        if high - low + 1 == len(values) and known.is_monotonic_increasing:
            self._table = np.arange(len(values), dtype=np.int32)
        else:
            self._table[values - low] = np.arange(len(values), dtype=np.int32)
        self._keep(values)

    def codes(self, rows):
        """The number of each row used, ndarray of int32; new levels are numbered.

        Parameters
        ----------
        rows : BlockRows

        Raises
        ------
        TwoPassesError
            For columns of fractions and dates.
        """
        column = rows.source.column(self.names[0])
        if column.kind == "integer" and column.missing is None:
            values = np.asarray(column.values)
            codes = self._number(values if rows.used is None else values[rows.used])
        elif column.kind in ("integer", "text", "category", "logical"):
            own, levels = numbered(column)
            places = self._places(levels)
            codes = rows.chosen_codes(look_up(places, own, np.empty(len(own), dtype=np.int32)))
        else:
            raise TwoPassesError(f"{self.names[0]} is {column.kind}")
        if self.watched:
            if self.count > len(self._present):
                longer = np.zeros(max(self.count, 2 * len(self._present)), dtype=bool)
                longer[: len(self._present)] = self._present
                self._present = longer
            self._present[codes] = True
        return codes

    def present(self):
        """Which levels rows in use have, ndarray of bool; for watched ones."""
        return self._present[: self.count]

    def parts(self):
        """The values of each part by the numbers of the levels, list of Index."""
        return [self.values()]

    def values(self):
        """All levels in the order of their numbers, Index."""
        if self._keys is not None:
            return pd.Index(self._keys.values(), copy=False)
        if len(self._values) != 1:
            self._values = [np.concatenate(self._values) if self._values else np.zeros(0)]
        return pd.Index(self._values[0], copy=False)

    def _places(self, levels):
        """Numbers of a block's levels, with a last entry -1 for missing."""
        if self._last is None or not (self._last[0] is levels or self._last[0].equals(levels)):
            if levels.dtype.kind in "iu":
                own = self._number(levels.to_numpy())
            else:
                levels_of = levels.tolist()
                new = [level for level in levels_of if level not in self._texts]
                self._texts.update(zip(new, range(self.count, self.count + len(new))))
                if new:
                    self._keep(np.array([*new, None], dtype=object)[:-1])
                own = np.fromiter((self._texts[level] for level in levels_of), dtype=np.int32, count=len(levels))
            self._last = levels, np.append(own, np.int32(-1)).astype(np.int32)
        return self._last[1]

    def _keep(self, new):
        if self._values and self._values[0].dtype.kind != new.dtype.kind:
            raise TwoPassesError(f"{self.names[0]} changes its type")
        self._values.append(new)
        self.count += len(new)

    def _number(self, values):
        """Numbers of integers, ndarray of int32: by a table over their range, or as keys where that is too wide."""
        if self._texts:
            raise TwoPassesError(f"{self.names[0]} changes its type")
        if values.dtype not in (np.int32, np.int64) or self._keys is not None:
            values = values.astype(np.int64, copy=False)
        values = np.ascontiguousarray(values)
        if self._keys is None:
            codes = np.empty(len(values), dtype=np.int32)
            if kernels.look_up_integers(values, self._low, self._table, codes):
                return codes
            new = kernels.number_integers(values, self._low, self._table, self.count, codes)
            if new is None:
                reached = reaching(self._low, self._table, int(values.min()), int(values.max()), -1)
                if reached is None:
                    self._keys, self._table = kernels.keys_of(np.concatenate([np.zeros(0, dtype=np.int64), *self._values])), None
                    return self._number(values)
                self._low, self._table = reached
                new = kernels.number_integers(values, self._low, self._table, self.count, codes)
            if len(new):
                self._keep(new)
            return codes
        codes = self._keys.number(values)
        self.count = self._keys.count
        return codes


class GrowingPairs:
    """The same for a factor of several parts, each of them a column: `a:b` has a level for each pair that occurs.

    Attributes
    ----------
    names : tuple of str
    count : int
    """

    watched = True

    def __init__(self, names):
        self.names = names
        self._parts = [GrowingLevels((name,)) for name in names]
        self._pairs = [kernels.Keys() for _ in names[1:]]      # of the parts so far, and one more

    @property
    def count(self):
        return self._pairs[-1].count

    def codes(self, rows):
        """As `GrowingLevels.codes`."""
        codes = self._parts[0].codes(rows)
        for part, pairs in zip(self._parts[1:], self._pairs):
            codes = pairs.number((codes.astype(np.int64) << 32) | part.codes(rows))
        return codes

    def present(self):
        """Only pairs of rows in use are numbered."""
        return np.ones(self.count, dtype=bool)

    def parts(self):
        """As `GrowingLevels.parts`."""
        found, codes = [], np.arange(self.count)
        for part, pairs in zip(self._parts[:0:-1], self._pairs[::-1]):
            keys = pairs.values()[codes]
            found.append(part.values()[keys & 0xFFFFFFFF])
            codes = keys >> 32
        return [self._parts[0].values()[codes], *found[::-1]]


def can_grow(reading):
    """Whether every grouping factor of a request is a column, or made of columns.

    Parameters
    ----------
    reading : Reading

    Returns
    -------
    bool
    """
    return all(isinstance(reading.plan.groups[name], Name) for names in reading.plan.bar_groups for name in names)
