"""Which columns of X can be estimated: lme4's rule.

lme4 calls R's qr(X, tol = 1e-7) (LINPACK's dqrdc2): going from left to right, a
column is dropped when what is left of it after projecting out the columns kept
so far is shorter than 1e-7 times the column itself.
"""

import numpy as np

from fastlmm_hlm._core.small import pivots

TOLERANCE = 1e-7
# Cross-products have half the digits of the columns: below this ratio of squared
# lengths they cannot tell, and the columns themselves are asked.
DOUBTFUL = 1e-10


def clearly_independent(XtX, lengths2):
    """Whether the cross-products leave no doubt that every column can be estimated.

    Parameters
    ----------
    XtX : ndarray, shape (p, p)
    lengths2 : ndarray, shape (p,)
        Squared lengths that what is left of each column is compared with.

    Returns
    -------
    bool
    """
    left = pivots(XtX)
    return left is not None and bool((left > DOUBTFUL * lengths2).all())


def independent_columns(X):
    """Columns kept by lme4's rule, left to right.

    Householder reflections as in dqrdc2, on the columns themselves.

    Parameters
    ----------
    X : ndarray, shape (n, p)

    Returns
    -------
    kept : ndarray of int
    """
    work = np.array(X, dtype=float, order="F")
    n, p = work.shape
    lengths = np.sqrt((work**2).sum(axis=0))
    kept = []
    for j in range(p):
        k = len(kept)
        if k >= n or lengths[j] == 0:
            continue
        tail = work[k:, j]
        length = np.linalg.norm(tail)
        if length < TOLERANCE * lengths[j]:
            continue
        v = tail.copy()
        v[0] += np.copysign(length, v[0])
        v /= np.linalg.norm(v)
        work[k:, j + 1 :] -= 2.0 * np.outer(v, v @ work[k:, j + 1 :])
        kept.append(j)
    return np.array(kept, dtype=int)


def dependence(XtX, B, kept):
    """The dropped columns as combinations of the kept ones.

    Parameters
    ----------
    XtX : ndarray, shape (p, p)
        Of the centred columns X B.
    B : ndarray, shape (p, p)
        Basis of the centred columns, see `Centring`.
    kept : ndarray of int, length k

    Returns
    -------
    R : ndarray, shape (k, p - k)
        X_dropped = X_kept @ R.
    """
    dropped = np.setdiff1d(np.arange(len(XtX)), kept)
    if np.delete(B, kept, axis=0)[:, kept].any():       # a kept column was centred by a dropped one
        inverse = np.linalg.inv(B)
        XtX, B = inverse.T @ XtX @ inverse, np.eye(len(B))
    length = np.sqrt(np.diagonal(XtX)[kept])
    correlation = XtX[np.ix_(kept, kept)] / np.outer(length, length)
    scaled = np.linalg.lstsq(correlation, XtX[np.ix_(kept, dropped)] / length[:, None], rcond=None)[0]
    return B[np.ix_(kept, kept)] @ (scaled / length[:, None]) - B[np.ix_(kept, dropped)]


def rank_message(dropped_names):
    """lme4's sentence, with the names it leaves out."""
    k = len(dropped_names)
    return (
        f"fixed-effect model matrix is rank deficient so dropping {k} column{'s' if k > 1 else ''} / "
        f"coefficient{'s' if k > 1 else ''}: {', '.join(dropped_names)}"
    )
