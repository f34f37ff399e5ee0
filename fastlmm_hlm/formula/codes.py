"""Numbering the rows by level: int32 codes, without temporaries as long as the data.

Rows are taken in blocks that stay in the processor's cache, since NumPy turns
every index into 8 bytes.
"""
import numpy as np
import pandas as pd

BLOCK = 32_768


def row_blocks(n):
    """Yield slices of at most BLOCK rows that cover 0..n."""
    for first in range(0, n, BLOCK):
        yield slice(first, min(first + BLOCK, n))


def look_up(table, codes, out=None):
    """Return table[codes]; the code -1 takes the last entry.

    Parameters
    ----------
    table : ndarray, shape (k,)
    codes : ndarray of signed int, shape (n,)
        Each from -k to k - 1; not checked.
    out : ndarray of table's type, shape (n,), optional
        May be `codes` itself.

    Returns
    -------
    ndarray, shape (n,)
    """
    out = np.empty(len(codes), dtype=table.dtype) if out is None else out
    for rows in row_blocks(len(codes)):
        np.take(table, codes[rows], out=out[rows], mode="wrap")
    return out


def present_levels(codes, count):
    """Tell which levels occur.

    Parameters
    ----------
    codes : ndarray of int, shape (n,), all >= 0
    count : int

    Returns
    -------
    ndarray of bool, shape (count,)
    """
    present = np.zeros(count, dtype=bool)
    for rows in row_blocks(len(codes)):
        present[codes[rows]] = True
        if count <= BLOCK and present.all():
            break
    return present


def places_of(present):
    """Number the true entries 0, 1, ...; an int32 array of the same length."""
    return np.cumsum(present, dtype=np.int32) - np.int32(1)


def used_levels(codes, levels):
    """Drop the levels that no row has.

    Parameters
    ----------
    codes : ndarray of int, shape (n,), all >= 0
    levels : pandas.Index

    Returns
    -------
    codes : ndarray of int32, shape (n,)
        The very array that was given, if nothing had to change.
    levels : pandas.Index
    """
    present = present_levels(codes, len(levels))
    if present.all():
        return codes.astype(np.int32, copy=False), levels
    return look_up(places_of(present), codes), levels[present]


def integer_codes(values):
    """Number integers in increasing order: by counting when their range is small, by hashing otherwise.

    Parameters
    ----------
    values : ndarray of int, shape (n,)

    Returns
    -------
    codes : ndarray of int32, shape (n,)
    levels : pandas.Index
        The distinct values, all of which occur.
    """
    n = len(values)
    if n == 0:
        return np.empty(0, dtype=np.int32), pd.Index(values)
    low, high = int(values.min()), int(values.max())
    if high - low > min(2 * n + 1000, 2**31 - 2) or high >= 2**63:
        return factorize_sorted(values)
    present = np.zeros(high - low + 1, dtype=bool)
    codes = np.empty(n, dtype=np.int32)
    for rows in row_blocks(n):
        shifted = np.subtract(values[rows], low, dtype=np.int64)
        present[shifted] = True
        codes[rows] = shifted
    if not present.all():
        look_up(places_of(present), codes, out=codes)
    return codes, pd.Index((np.flatnonzero(present) + low).astype(values.dtype))


def factorize_sorted(values):
    """Number the distinct values of a vector, in sorted order.

    Text is sorted by code points, so upper case comes before lower case.

    Parameters
    ----------
    values : array-like, shape (n,)

    Returns
    -------
    codes : ndarray of int32, shape (n,)
        -1 for missing.
    levels : pandas.Index
        The distinct values, all of which occur.
    """
    codes, uniques = pd.factorize(values)
    return sort_levels(codes, pd.Index(uniques))


def sort_levels(codes, levels):
    """Number the same levels in sorted order.

    Parameters
    ----------
    codes : ndarray of int, shape (n,)
        -1 for missing.
    levels : pandas.Index
        Distinct.

    Returns
    -------
    codes : ndarray of int32, shape (n,)
    levels : pandas.Index
    """
    if levels.dtype == object or isinstance(levels.dtype, pd.StringDtype):
        order = np.array(sorted(range(len(levels)), key=list(levels).__getitem__), dtype=np.intp)
    else:
        order = np.argsort(levels.to_numpy(), kind="stable")
    places = np.empty(len(order) + 1, dtype=np.int32)
    places[order] = np.arange(len(order), dtype=np.int32)
    places[-1] = -1
    return look_up(places, codes), levels[order]


def value_codes(column):
    """Codes and sorted levels of a column of logical, whole or other values; those of missing rows are arbitrary.

    Parameters
    ----------
    column : Column
        Of no kind "category" or "text".

    Returns
    -------
    codes : ndarray of int (n,)
    levels : pandas.Index
    """
    if column.kind == "logical":
        return np.asarray(column.values, dtype=np.int32), pd.Index([False, True])
    if column.kind == "integer":
        return integer_codes(np.asarray(column.values))
    return factorize_sorted(column.values if column.own is None else column.own)
