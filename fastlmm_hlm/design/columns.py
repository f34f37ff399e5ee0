"""Columns of a model matrix that are referred to and never assembled.

A model matrix is a list of columns; None stands for the constant 1, anything else
is an array of n numbers, float64 or int64, often a view of the user's own memory.
"""

import numpy as np

# Rows at a time where a product needs a temporary.
BLOCK = 65_536


def rows_of(columns, rows):
    """Some rows as a dense matrix.

    Parameters
    ----------
    columns : list of (ndarray (n,) or None)
    rows : ndarray of int, shape (k,)

    Returns
    -------
    ndarray, shape (k, p)
    """
    out = np.ones((len(rows), len(columns)))
    for j, column in enumerate(columns):
        if column is not None:
            out[:, j] = column[rows]
    return out


def dense(columns, n):
    """The whole matrix, (n, p), Fortran order."""
    out = np.ones((n, len(columns)), order="F")
    for j, column in enumerate(columns):
        if column is not None:
            out[:, j] = column
    return out


def places_among(columns, centre, others, others_centre):
    """Where columns stand among others, the same array with the same centre.

    Parameters
    ----------
    columns, others : list of (ndarray (n,) or None)
    centre, others_centre : ndarray

    Returns
    -------
    ndarray of int32, shape (len(columns),), or None if some column is none of them
    """
    places = {(id(column), m): j for j, (column, m) in enumerate(zip(others, others_centre.tolist()))}
    found = [places.get((id(column), m), -1) for column, m in zip(columns, centre.tolist())]
    return None if -1 in found else np.array(found, dtype=np.int32)


def times(columns, beta, n):
    """Matrix times vector, (n,), without the matrix.

    Parameters
    ----------
    columns : list of (ndarray (n,) or None)
    beta : ndarray, shape (p,)
    n : int
    """
    out = np.full(n, sum((b for column, b in zip(columns, beta) if column is None), 0.0))
    for column, b in zip(columns, beta):
        if column is not None and b != 0.0:
            for first in range(0, n, BLOCK):
                out[first : first + BLOCK] += b * column[first : first + BLOCK]
    return out
