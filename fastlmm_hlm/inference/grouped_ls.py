"""Least squares within every group at once.

Columns are made orthogonal within groups one after the other (modified Gram-Schmidt, the
response as the last column), which keeps the digits that normal equations would lose.  Every step is
a sum over the rows of each group, so the cost is n p^2 multiply-adds whatever the number of groups.
A column of which less than `TOLERANCE` of its length in the group is left after the columns before it
is dropped there: the rule of R's lm.
"""

from dataclasses import dataclass

import numpy as np

TOLERANCE = 1e-7


@dataclass(frozen=True)
class GroupedFit:
    """Least squares of one response on the same columns, group by group.

    Attributes
    ----------
    coef : ndarray (G, p)             NaN for columns dropped in the group
    unscaled : ndarray (G, p, p)      (X'WX)^-1 of the columns kept; NaN for others
    n, rank : ndarray of int (G,)
    rss : ndarray (G,)                weighted residual sum of squares
    residuals : ndarray (n,)          y - X coef
    leverage : ndarray (n,)
    """

    coef: np.ndarray
    unscaled: np.ndarray
    n: np.ndarray
    rank: np.ndarray
    rss: np.ndarray
    residuals: np.ndarray
    leverage: np.ndarray

    @property
    def df(self):
        """Residual degrees of freedom, (G,)."""
        return self.n - self.rank


def grouped_least_squares(columns, y, codes, size, weights=None):
    """Fit every group.

    Parameters
    ----------
    columns : list of (ndarray (n,) or None)
        None is the constant 1.
    y : ndarray (n,)
    codes : ndarray of int (n,)
        Group of each row.
    size : int
        Number of groups.
    weights : ndarray (n,), optional

    Returns
    -------
    GroupedFit
    """
    p, n = len(columns), len(y)
    root = None if weights is None else np.sqrt(weights)

    def by_group(values):
        return np.bincount(codes, values, size)

    T = np.tile(np.eye(p), (size, 1, 1))                     # columns = q T, T unit upper triangular
    d, kept, q = np.ones((size, p)), np.zeros((size, p), dtype=bool), []
    r = np.array(y, dtype=float) if root is None else y * root
    rhs, leverage = np.zeros((size, p)), np.zeros(n)
    for j, column in enumerate(columns):
        v = np.ones(n) if column is None else np.array(column, dtype=float)
        if root is not None:
            v *= root
        length = by_group(v * v)
        for k in range(j):
            T[:, k, j] = np.where(kept[:, k], by_group(q[k] * v) / d[:, k], 0.0)
            v -= T[:, k, j][codes] * q[k]
        left = by_group(v * v)
        kept[:, j] = left > TOLERANCE**2 * length
        if not kept[:, j].all():
            v *= kept[codes, j]
        d[:, j] = np.where(kept[:, j], left, 1.0)
        rhs[:, j] = by_group(v * r) / d[:, j]
        r -= rhs[codes, j] * v
        leverage += v * v / d[codes, j]
        q.append(v)
    T *= kept[:, None, :]
    T[:, np.arange(p), np.arange(p)] = 1.0
    inverse = np.linalg.inv(T) if p else T
    nan = np.where(kept, 1.0, np.nan)
    coef = np.einsum("gij,gj->gi", inverse, rhs * kept) * nan
    scaled = inverse * np.sqrt(kept / d)[:, None, :]
    unscaled = scaled @ scaled.transpose(0, 2, 1) * nan[:, :, None] * nan[:, None, :]
    residuals = r if root is None else r / root
    return GroupedFit(coef, unscaled, np.bincount(codes, minlength=size), kept.sum(axis=1), by_group(r * r), residuals, leverage)
