"""Grouping factors: from columns to level codes, without a loop over rows."""
from dataclasses import dataclass
from functools import reduce

import numpy as np
import pandas as pd

from fastlmm_hlm.formula.bars import group_components
from fastlmm_hlm.formula.codes import factorize_sorted, integer_codes, look_up, used_levels, value_codes
from fastlmm_hlm.formula.kinds import level_text
from fastlmm_hlm.formula.syntax import Name
from fastlmm_hlm.formula.values import Factor, Logical


@dataclass(frozen=True)
class Levels:
    """One part of a grouping factor, numbered.

    Attributes
    ----------
    codes : ndarray of signed int, shape (n,)
        -1 for missing.
    levels : pandas.Index
        In the column's own type, sorted, categories in their own order.
    all_used : bool
        Whether every level is known to occur.
    """

    codes: np.ndarray
    levels: pd.Index
    all_used: bool = False

    def missing(self):
        """Tell which rows are missing: ndarray of bool (n,), or None if none is."""
        if len(self.codes) == 0 or self.codes.min() >= 0:
            return None
        return self.codes < 0

    def take(self, rows):
        """Return the chosen rows (positions or a mask); None means all."""
        return self if rows is None else Levels(self.codes[rows], self.levels)

    def used(self):
        """Return the same with int32 codes and without levels that no row has; no row may be missing."""
        if self.all_used and self.codes.dtype == np.int32:
            return self
        return Levels(*used_levels(self.codes, self.levels), all_used=True)


def component_levels(node, evaluator):
    """Number the levels of one part of a grouping factor.

    Parameters
    ----------
    node : Node
        A column, or a call such as factor(x).
    evaluator : Evaluator

    Returns
    -------
    Levels
        Of all rows of the data.
    """
    if isinstance(node, Name):
        evaluator.source.check([node.text])
        return _column_levels(evaluator.source.column(node.text))
    value = evaluator.variable(node)
    if isinstance(value, Logical):
        value = value.as_factor()
    if isinstance(value, Factor):
        return Levels(value.codes, pd.Index(value.levels))
    return Levels(*factorize_sorted(np.asarray(getattr(value, "values", value)).reshape(len(value), -1)[:, 0]), all_used=True)


def _column_levels(column):
    if column.kind == "category":
        return Levels(column.values, column.levels)
    if column.kind == "text":
        return Levels(*column.numbered, all_used=True)
    codes, levels = value_codes(column)
    if column.missing is None:
        return Levels(codes, levels, all_used=column.kind != "logical")
    return Levels(np.where(column.missing, np.int32(-1), codes), levels)


def group_levels(parts):
    """Combine the parts of a grouping factor into one.

    Parameters
    ----------
    parts : list of Levels
        Of the rows used, none missing.

    Returns
    -------
    Levels
        Only combinations that occur, codes int32; for several parts texts such
        as "a1:b2", the first part varying slowest.
    """
    return reduce(_interact, [part.used() for part in parts])


def _interact(first, second):
    width = len(second.levels)
    small = len(first.levels) * width < 2**31
    pairs = first.codes.astype(np.int32 if small else np.int64)
    pairs *= width
    pairs += second.codes
    codes, observed = integer_codes(pairs)
    observed = observed.to_numpy()
    outer, inner = _texts(first.levels), _texts(second.levels)
    names = [f"{outer[p]}:{inner[q]}" for p, q in zip((observed // width).tolist(), (observed % width).tolist(), strict=True)]
    return Levels(codes, pd.Index(names, dtype=object), all_used=True)


def _texts(levels):
    return [level_text(level) for level in levels]


def match_groups(node, evaluator, known):
    """Find the levels of a grouping factor in new data.

    Parameters
    ----------
    node : Node
    evaluator : Evaluator
        Over the new data.
    known : pandas.Index
        Levels of the fit.

    Returns
    -------
    ndarray of int32, shape (n,)
        -1 where the level is missing or was not in the fit.
    """
    levels, codes = all_levels(node, evaluator)
    return look_up(np.append(_places(levels, known), -1).astype(np.int32), codes)


# Known integers are looked up in a table if it has at most this many entries, or four per level.
SMALL_TABLE = 1_000_000


class GroupMatcher:
    """Finds the levels of one grouping factor in rows of new data.

    A single column is matched through a table of its levels, block by block;
    interactions and calls are matched for the whole data.

    Parameters
    ----------
    node : Node
    evaluator : Evaluator
        Over the whole of the new data.
    known : pandas.Index
        Levels of the fit.
    """

    def __init__(self, node, evaluator, known):
        self._known = known
        column = None
        if isinstance(node, Name):
            evaluator.source.check([node.text], role="the model")
            column = evaluator.source.column(node.text)
        kind = None if column is None else column.kind
        if kind in ("category", "text"):
            values, levels = (column.values, column.levels) if kind == "category" else column.numbered
            self._values, self._find = np.asarray(values), self._by_table
            self._table = np.append(_places(levels, known), -1).astype(np.int32)
        elif kind == "integer" and known.dtype.kind in "iu" and column.values.dtype != np.uint64 and len(known):
            self._values, self._gaps = np.asarray(column.values), column.missing
            self._find = self._by_hash
            self._low, high = int(known.min()), int(known.max())
            if high - self._low < max(SMALL_TABLE, 4 * len(known)):
                self._table = np.full(high - self._low + 2, -1, dtype=np.int32)
                self._table[known.to_numpy().astype(np.int64) - self._low] = np.arange(len(known), dtype=np.int32)
                self._find = self._by_distance
        else:
            self._values, self._find = match_groups(node, evaluator, known), lambda rows: self._values[rows]

    def codes(self, rows):
        """Codes of some rows.

        Parameters
        ----------
        rows : slice

        Returns
        -------
        ndarray of int32, shape (rows,)
            -1 where the level is missing or was not in the fit.
        """
        return self._find(rows)

    def _by_table(self, rows):
        return look_up(self._table, self._values[rows])

    def _by_distance(self, rows):
        """Table entry at the distance from the least known level; its last one for everything outside."""
        distance = np.subtract(self._values[rows], self._low, dtype=np.int64).view(np.uint64)      # below: very large
        np.minimum(distance, np.uint64(len(self._table) - 1), out=distance)
        codes = np.take(self._table, distance.view(np.int64), mode="clip")
        return self._without_gaps(codes, rows)

    def _by_hash(self, rows):
        return self._without_gaps(self._known.get_indexer(self._values[rows]).astype(np.int32), rows)

    def _without_gaps(self, codes, rows):
        if self._gaps is not None:
            codes[self._gaps[rows]] = -1
        return codes


def unmatched_levels(node, evaluator, known):
    """Levels of new data that the fit did not see.

    Parameters
    ----------
    node, evaluator, known
        As for `match_groups`.

    Returns
    -------
    new : list of str
    missing : int
        Rows without a level.
    """
    levels, codes = all_levels(node, evaluator)
    new = levels[_places(levels, known) < 0]
    return _texts(new), int((codes < 0).sum())


def all_levels(node, evaluator):
    """The levels of a grouping factor in new data, whether or not the fit knows them.

    Returns
    -------
    levels : pandas.Index
        Those that occur.
    codes : ndarray of int32, shape (n,)
        -1 for missing.
    """
    parts = [component_levels(part, evaluator) for part in group_components(node)]
    gaps = [gap for gap in (part.missing() for part in parts) if gap is not None]
    if not gaps:
        group = group_levels(parts)
        return group.levels, group.codes
    seen = ~np.logical_or.reduce(gaps)
    codes = np.full(len(seen), -1, dtype=np.int32)
    if not seen.any():
        return pd.Index([], dtype=object), codes
    group = group_levels([part.take(seen) for part in parts])
    codes[seen] = group.codes
    return group.levels, codes


def match_with_new(node, evaluator, known):
    """As `match_groups`, with numbers for the levels that the fit did not see too.

    Returns
    -------
    codes : ndarray of int32, shape (n,)
        Levels of the fit first, then new ones; rows without a level share one more.
    count : int
        Levels of the fit and new ones.
    """
    levels, codes = all_levels(node, evaluator)
    places = _places(levels, known).astype(np.int32) if len(levels) else np.empty(0, dtype=np.int32)
    new = places < 0
    places[new] = len(known) + np.arange(new.sum(), dtype=np.int32)
    count = len(known) + int(new.sum())
    table = np.append(places, np.int32(count))
    return look_up(table, codes), count + int((codes < 0).any())


def _places(levels, known):
    if levels.dtype == known.dtype:
        return known.get_indexer(levels)
    return pd.Index(_texts(known), dtype=object).get_indexer(pd.Index(_texts(levels), dtype=object))
