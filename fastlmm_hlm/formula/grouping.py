"""Grouping factors: from columns to level codes, without a loop over rows."""
from dataclasses import dataclass
from functools import reduce

import numpy as np
import pandas as pd

from fastlmm_hlm.formula.bars import group_components
from fastlmm_hlm.formula.codes import factorize_sorted, integer_codes, look_up, used_levels
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
    if column.kind == "logical":
        codes, levels = np.asarray(column.values, dtype=np.int32), pd.Index([False, True])
    elif column.kind == "integer":
        codes, levels = integer_codes(np.asarray(column.values))
    else:
        codes, levels = factorize_sorted(column.values if column.own is None else column.own)
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
    parts = [component_levels(part, evaluator) for part in group_components(node)]
    gaps = [gap for gap in (part.missing() for part in parts) if gap is not None]
    if not gaps:
        return _known_codes(parts, known)
    seen = ~np.logical_or.reduce(gaps)
    result = np.full(len(seen), -1, dtype=np.int32)
    if seen.any():
        result[seen] = _known_codes([part.take(seen) for part in parts], known)
    return result


def _known_codes(parts, known):
    group = group_levels(parts)
    return look_up(_places(group.levels, known).astype(np.int32), group.codes)


def _places(levels, known):
    if levels.dtype == known.dtype:
        return known.get_indexer(levels)
    return pd.Index(_texts(known), dtype=object).get_indexer(pd.Index(_texts(levels), dtype=object))
