"""What the rows of each level say of its effects by themselves: least squares, from the cross-products."""

import numpy as np
from scipy import sparse


# Reciprocal condition number of a level's correlations up to which its columns are dependent.
DEPENDENT = 1e-12


def least_squares_effects(fit, f, dependent=DEPENDENT, others=False):
    """(Z'WZ)^-1 Z'Wr of every level of grouping factor f, and the inverse, in the user's columns.

    r = y - offset - X beta, on request less the conditional modes of the other grouping factors.

    Parameters
    ----------
    fit : LinearMixedModel
        Its rows are not needed.
    f : int
    dependent : float
        Columns of a level are dependent where the smallest eigenvalue of their correlations is at most this share of
        the largest.
    others : bool

    Returns
    -------
    effects : ndarray (nl, c)
        NaN where the rows of the level do not determine all of them.
    inverse : ndarray (nl, c, c)
    """
    products, e, B = fit._products, fit._estimates, fit._centrings[f].B
    delta = np.linalg.solve(fit._x_centring.B, e.beta - products.beta0)
    block, G = products.ZtWXy[f], products.ZtWZ[f]
    r = block[:, :, -1] - block[:, :, :-1] @ delta
    for g, b in enumerate(e.b if others else ()):
        if g != f:
            r = r - _of_another(products.pairs, f, g, np.linalg.solve(fit._centrings[g].B, b.T).T, r.shape)
    scale = np.sqrt(np.maximum(np.diagonal(G, axis1=1, axis2=2), 0.0))
    usable = (scale > 0).all(axis=1)
    scale = np.where(scale > 0, scale, 1.0)
    R = G / scale[:, :, None] / scale[:, None, :]
    values = np.linalg.eigvalsh(R)
    usable &= values[:, 0] > dependent * values[:, -1]
    inverse = np.full_like(G, np.nan)
    inverse[usable] = np.linalg.inv(R[usable])
    inverse = inverse / scale[:, :, None] / scale[:, None, :]
    return np.einsum("lcd,ld->lc", inverse, r) @ B.T, B @ inverse @ B.T


def _of_another(pairs, f, g, b, shape):
    """Z_f'W Z_g b, (nl_f, c_f)."""
    indptr, indices, values = pairs[min(f, g), max(f, g)]
    lower = np.repeat(np.arange(len(indptr) - 1), np.diff(indptr))
    if f < g:
        level, parts = lower, np.einsum("mij,mj->mi", values, b[indices])
    else:
        level, parts = indices, np.einsum("mij,mi->mj", values, b[lower])
    pick = sparse.csr_array((np.ones(len(level)), (level, np.arange(len(level)))), shape=(shape[0], len(level)))
    return pick @ parts
