"""Grouping factors over blocks: all levels once, then the code of every row.

Levels stand in the order of a fit in memory: text by code points, numbers by size,
categories in their own order, and combinations with the first part varying slowest.
"""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from fastlmm_hlm._core import kernels
from fastlmm_hlm.errors import DataError
from fastlmm_hlm.formula.codes import look_up, sort_levels
from fastlmm_hlm.formula.evaluate import Evaluator
from fastlmm_hlm.formula.columns import DataColumns
from fastlmm_hlm.formula.kinds import level_text
from fastlmm_hlm.formula.syntax import Name
from fastlmm_hlm.formula.values import Factor, Logical
from fastlmm_hlm.ingest.blockrows import numbered
from fastlmm_hlm.ingest.sample import column_of

# A table for integers may be this many times as long as they are many.
ROOMY = 8
# Where levels are so many times as many as the values asked for, these are searched for and no table is made.
FEW = 64


class NotSeenError(DataError):
    """Rows hold a level that the plan does not know."""


class Places:
    """Where values stand among known levels; -1 for others.

    Parameters
    ----------
    levels : pandas.Index
    """

    def __init__(self, levels):
        self.levels, self._table, self._low = levels, None, 0
        self._last = None
        self._integers = len(levels) > 0 and pd.api.types.is_integer_dtype(levels.dtype)

    def of(self, values):
        """Places of values, an array or an Index, as int32."""
        if self._integers and np.asarray(values).dtype.kind in "iu":
            values = np.asarray(values).astype(np.int64, copy=False)
            if self._table is None and FEW * len(values) < len(self.levels) and self.levels.is_monotonic_increasing:
                levels = self.levels.to_numpy()
                places = np.searchsorted(levels, values)
                found = levels[np.minimum(places, len(levels) - 1)] == values
                return np.where(found, places, -1).astype(np.int32)
            if self._table is None:
                self._make_table()
            if self._table is not None:
                codes = np.empty(len(values), dtype=np.int32)
                kernels.look_up_integers(np.ascontiguousarray(values), self._low, self._table, codes)
                return codes
        other = pd.Index(values)
        if other.dtype != self.levels.dtype and self.levels.dtype == object:
            other = other.astype(object)
        return self.levels.get_indexer(other).astype(np.int32)

    def _make_table(self):
        values = self.levels.to_numpy()
        low, high = int(values.min()), int(values.max())
        if high - low < ROOMY * len(values) + 1000:
            self._low, self._table = low, np.full(high - low + 1, -1, dtype=np.int32)
            self._table[values - low] = np.arange(len(values), dtype=np.int32)
        else:
            self._integers = False

    def of_levels(self, levels):
        """Places of a block's levels, remembered while blocks have the same ones; with a last entry -1 for missing."""
        if self._last is None or not (self._last[0] is levels or self._last[0].equals(levels)):
            self._last = levels, np.append(self.of(levels), np.int32(-1)).astype(np.int32)
        return self._last[1]

    def __reduce__(self):
        return Places, (self.levels,)


@dataclass
class GroupLevels:
    """All levels of one grouping factor.

    Attributes
    ----------
    names : tuple of str
        Its parts.
    parts : list of Places
    steps : list of (int, ndarray of int64)
        For each part after the first: its number of levels, and the pairs (so far, this part)
        that occur, as numbers in increasing order.
    levels : pandas.Index
    """

    names: tuple
    parts: list
    steps: list
    levels: pd.Index
    _tables: list = field(default=None, repr=False)

    def __getstate__(self):
        return {**self.__dict__, "_tables": None}

    def codes(self, rows):
        """The level of each row used, ndarray of int32.

        Parameters
        ----------
        rows : BlockRows

        Raises
        ------
        DataError
            For a level that the first pass did not see.
        """
        nodes = rows.reading.plan.groups
        return self._joined(rows.chosen_codes(part_codes(rows, nodes[name], places)) for name, places in zip(self.names, self.parts))

    def places(self, parts):
        """The levels with these values of each part, list of Index; ndarray of int32."""
        return self._joined(places.of(values) for places, values in zip(self.parts, parts))

    def _joined(self, codes):
        """The level from the code of each part, which come one after the other."""
        key = None
        for i, own in enumerate(codes):
            self._check(own)
            key = own if key is None else self._step(i - 1, key.astype(np.int64) * self.steps[i - 1][0] + own)
        return key

    def _step(self, i, pairs):
        if self._tables is None:
            self._tables = [Places(pd.Index(observed)) for _, observed in self.steps]
        codes = self._tables[i].of(pairs)
        self._check(codes)
        return codes

    def _check(self, codes):
        if len(codes) and codes.min() < 0:
            raise NotSeenError(
                f"grouping factor '{':'.join(self.names)}' has a level in the second pass that the first did not see: the source "
                "has changed between the two. Fit again from a source that stays as it is, such as a copy of the file."
            )


def part_codes(rows, node, places):
    """Codes of one part of a grouping factor on all rows of a block; -1 for missing and unknown."""
    if isinstance(node, Name):
        column = rows.source.column(node.text)
        if column.kind == "integer" and column.missing is None:
            return places.of(np.asarray(column.values))
        codes, levels = numbered(column)
        return look_up(places.of_levels(levels), codes, np.empty(len(codes), dtype=np.int32))
    value = rows.value(node)
    if isinstance(value, Logical):
        value = value.as_factor()
    if isinstance(value, Factor):
        return look_up(places.of_levels(pd.Index(value.levels)), value.codes, np.empty(len(value.codes), dtype=np.int32))
    return places.of(np.asarray(getattr(value, "values", value)).reshape(rows.n, -1)[:, 0])


def group_levels(names, combinations, reading, knowledge):
    """Number the levels of a grouping factor.

    Parameters
    ----------
    names : tuple of str
        Its parts.
    combinations : DataFrame
        What occurs in the rows used; see `scan`.
    reading : Reading
    knowledge : Knowledge

    Returns
    -------
    GroupLevels
    """
    parts, keys, levels, steps = [], None, None, []
    for i, name in enumerate(names):
        codes, own = _part(i, reading.plan.groups[name], combinations, knowledge, name in reading.whole)
        parts.append(Places(own))
        if keys is None:
            keys, levels = codes, own
            continue
        width = len(own)
        observed, keys = np.unique(keys.astype(np.int64) * width + codes, return_inverse=True)
        outer, inner = [level_text(level) for level in levels], [level_text(level) for level in own]
        levels = pd.Index([f"{outer[p]}:{inner[q]}" for p, q in zip((observed // width).tolist(), (observed % width).tolist(), strict=True)], dtype=object)
        steps.append((width, observed))
    return GroupLevels(names, parts, steps, levels)


def _part(i, node, combinations, knowledge, whole):
    """Codes of the combinations in one part, and its levels in order."""
    if whole and not isinstance(node, Name):
        prefix = f"{i}."
        columns = {label[len(prefix):]: combinations[label].to_numpy() for label in combinations if label.startswith(prefix)}
        value = Evaluator(DataColumns(knowledge.table(columns)), state=knowledge.state, levels=knowledge.levels).variable(node)
        if isinstance(value, Logical):
            value = value.as_factor()
        if not isinstance(value, Factor):
            return _numbered(pd.Index(np.asarray(value)))
        present = np.unique(value.codes)
        places = np.full(len(value.levels), -1, dtype=np.int64)
        places[present] = np.arange(len(present))
        return places[value.codes], pd.Index(value.levels)[present]
    values = pd.Index(combinations[str(i)])
    order = knowledge.order_of(node)
    if order is None:
        return _numbered(values)
    present = np.zeros(len(order), dtype=bool)
    codes = order.get_indexer(values)
    present[codes] = True
    return (np.cumsum(present) - 1)[codes], order[present]


def _numbered(values):
    if values.is_monotonic_increasing and values.is_unique and values.dtype.kind in "iu":
        return np.arange(len(values)), values
    codes, uniques = pd.factorize(values)
    codes, levels = sort_levels(codes, pd.Index(uniques))
    return codes.astype(np.int64), levels


@dataclass
class Knowledge:
    """What the first pass learned about columns.

    Attributes
    ----------
    kinds : dict of str to str
    categories : dict of str to (pandas.Index, bool)
    state, levels : dict
        For `Evaluator`.
    """

    kinds: dict
    categories: dict
    state: dict
    levels: dict
    factors: dict = field(default_factory=dict)       # order of levels of grouping expressions, by text

    def table(self, columns):
        """Values as a data frame with columns of their own kinds."""
        return pd.DataFrame({name: column_of(np.asarray(values), self.kinds[name], self.categories.get(name)) for name, values in columns.items()})

    def order_of(self, node):
        """All levels of a part of a grouping factor in order; None where they sort by themselves."""
        if isinstance(node, Name):
            if self.kinds[node.text] == "category":
                return self.categories[node.text][0]
            return pd.Index([False, True]) if self.kinds[node.text] == "logical" else None
        return self.factors.get(node)
