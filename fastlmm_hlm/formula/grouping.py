"""Grouping factors: from columns to level codes, without a loop over rows."""
from functools import reduce

import numpy as np
import pandas as pd

from fastlmm_hlm.formula.bars import group_components
from fastlmm_hlm.formula.columns import factorize_sorted, level_text
from fastlmm_hlm.formula.syntax import Name
from fastlmm_hlm.formula.values import Factor, Logical


def component_codes(node, evaluator):
    """Number the levels of one part of a grouping factor.

    Parameters
    ----------
    node : Node
        A column, or a call such as factor(x).
    evaluator : Evaluator

    Returns
    -------
    codes : ndarray of int, shape (n,)
        -1 for missing; every row of the data counts.
    levels : pandas.Index
        In the column's own type, sorted, categories in their own order.
    """
    if isinstance(node, Name):
        evaluator.source.check([node.text])
        return _column_codes(evaluator.source.column(node.text))
    value = evaluator.variable(node)
    if isinstance(value, Logical):
        value = value.as_factor()
    if isinstance(value, Factor):
        return value.codes, pd.Index(value.levels)
    return factorize_sorted(np.asarray(getattr(value, "values", value)).reshape(len(value), -1)[:, 0])


def _column_codes(column):
    if column.kind == "category":
        return column.values, column.levels
    if column.kind == "logical":
        codes, levels = np.asarray(column.values, dtype=np.int32), pd.Index([False, True])
    elif column.kind == "integer":
        codes, levels = _integer_codes(np.asarray(column.values))
    else:
        codes, levels = factorize_sorted(column.values if column.own is None else column.own)
    if column.missing is not None:
        codes = np.where(column.missing, np.int32(-1), codes)
    return codes, levels


def _integer_codes(values):
    """Number integers by counting when their range is small, by hashing otherwise."""
    if len(values) == 0:
        return np.empty(0, dtype=np.int32), pd.Index(values)
    low, high = int(values.min()), int(values.max())
    if high - low > 2 * len(values) + 1000 or high >= 2**63:
        return factorize_sorted(values)
    shifted = values.astype(np.int64, copy=False) - low
    present = np.zeros(high - low + 1, dtype=bool)
    present[shifted] = True
    places = np.cumsum(present, dtype=np.int32) - 1
    return places[shifted], pd.Index((np.flatnonzero(present) + low).astype(values.dtype))


def used_levels(codes, levels):
    """Drop the levels that no row has.

    Parameters
    ----------
    codes : ndarray of int, shape (n,), all >= 0
    levels : pandas.Index

    Returns
    -------
    codes : ndarray of int32, shape (n,)
    levels : pandas.Index
    """
    present = np.zeros(len(levels), dtype=bool)
    present[codes] = True
    if present.all():
        return codes.astype(np.int32, copy=False), levels
    places = np.cumsum(present, dtype=np.int32) - 1
    return places[codes], levels[present]


def group_codes(parts):
    """Combine the parts of a grouping factor into one.

    Parameters
    ----------
    parts : list of (codes, levels)
        Codes of the rows used, none missing.

    Returns
    -------
    codes : ndarray of int32, shape (n,)
    levels : pandas.Index
        Only combinations that occur; for several parts texts such as "a1:b2",
        the first part varying slowest.
    """
    return reduce(_interact, [used_levels(codes, levels) for codes, levels in parts])


def _interact(first, second):
    (codes, levels), (inner, inner_levels) = first, second
    width = len(inner_levels)
    pairs, observed = _integer_codes(codes.astype(np.int64) * width + inner)
    observed = observed.to_numpy()
    outer_texts, inner_texts = _texts(levels), _texts(inner_levels)
    names = [f"{outer_texts[p]}:{inner_texts[q]}" for p, q in zip((observed // width).tolist(), (observed % width).tolist(), strict=True)]
    return pairs.astype(np.int32, copy=False), pd.Index(names, dtype=object)


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
    parts = [component_codes(part, evaluator) for part in group_components(node)]
    seen = np.logical_and.reduce([codes >= 0 for codes, _ in parts])
    result = np.full(len(seen), -1, dtype=np.int32)
    if seen.any():
        codes, levels = group_codes([(codes[seen], levels) for codes, levels in parts])
        result[seen] = _places(levels, known)[codes]
    return result


def _places(levels, known):
    if levels.dtype == known.dtype:
        return known.get_indexer(levels)
    return pd.Index(_texts(known), dtype=object).get_indexer(pd.Index(_texts(levels), dtype=object))
