"""Cross-products of a smaller model from those of a larger one.

Every column of the smaller model is a linear combination of columns of the larger
one (mostly one of them), so its cross-products are sums of known cross-products.
No row is looked at again.
"""

from dataclasses import dataclass

import numpy as np

from fastlmm_hlm.design.basis import Centring, no_centring
from fastlmm_hlm.design.crossprod import CrossProducts


@dataclass(frozen=True)
class ColumnMap:
    """Columns of the smaller model in terms of those of the larger one.

    Attributes
    ----------
    C : ndarray, shape (k, k_small)
        User's columns of the smaller model = user's columns of the larger one @ C.
    old, new : Centring
        Bases in which the columns are summed in the two models.
    """

    C: np.ndarray
    old: Centring
    new: Centring

    @property
    def between_sums(self):
        """(k, k_small): columns as summed in the smaller model = those of the larger one @ this."""
        return np.linalg.solve(self.old.B, self.C @ self.new.B)


def restricted_products(products, fixed, factors, beta0=None):
    """Cross-products of a smaller model.

    Parameters
    ----------
    products : CrossProducts
        Of the larger model.
    fixed : ColumnMap
        Of the fixed columns.
    factors : list of (int, ColumnMap)
        Grouping factors of the smaller model, in its order: the place of each in
        the larger model and the map of its columns.
    beta0 : ndarray, shape (k_small,), optional
        Coefficients of the smaller model's columns to take off the response.

    Returns
    -------
    CrossProducts
        Unless beta0 is given, with the response shifted by its own least-squares fit, so that what the
        smaller model explains is taken off.
    """
    p = products.p
    X = fixed.between_sums
    known = np.linalg.solve(fixed.old.B, products.beta0)      # beta0 on the columns as summed
    XtX, Xty = products.XyWXy[:p, :p], products.XyWXy[:p, p]
    if beta0 is None:
        target = X.T @ (XtX @ known + Xty)
        own = np.linalg.lstsq(X.T @ XtX @ X, target, rcond=None)[0] if X.shape[1] else np.zeros(0)
    else:
        own = np.linalg.solve(fixed.new.B, beta0)
    M = np.zeros((p + 1, X.shape[1] + 1))                     # [X r] of the smaller = [X r] @ M
    M[:p, :-1] = X
    M[:p, -1] = known - X @ own
    M[p, -1] = 1.0
    maps = [C.between_sums for _, C in factors]
    places = [f for f, _ in factors]
    ZtWZ = [_symmetric(C.T @ products.ZtWZ[f] @ C) for f, C in zip(places, maps)]
    ZtWXy = [np.ascontiguousarray(C.T @ products.ZtWXy[f] @ M) for f, C in zip(places, maps)]
    pairs = {}
    for g in range(len(factors)):
        for f in range(g):
            pairs[f, g] = _restricted_pairs(products, places[f], places[g], maps[f], maps[g])
    return CrossProducts(
        n=products.n,
        sum_log_weights=products.sum_log_weights,
        beta0=fixed.new.B @ own if beta0 is None else beta0,
        ZtWZ=ZtWZ,
        ZtWXy=ZtWXy,
        XyWXy=_symmetric(M.T @ products.XyWXy @ M),
        pairs=pairs,
    )


def _symmetric(A):
    """A made exactly symmetric in its last two axes, C-contiguous."""
    return np.ascontiguousarray((A + np.swapaxes(A, -1, -2)) / 2.0)


def _restricted_pairs(products, f, g, Cf, Cg):
    """Z_f'WZ_g over the pairs of levels that meet; f and g are places in the larger model."""
    if f < g:
        indptr, indices, values = products.pairs[f, g]
    else:
        indptr, indices, values = transposed_pairs(*products.pairs[g, f], len(products.ZtWZ[f]))
    return indptr, indices, np.ascontiguousarray(Cf.T @ values @ Cg)


def transposed_pairs(indptr, indices, values, nl):
    """The blocks Z_f'WZ_g from the blocks Z_g'WZ_f; f has nl levels."""
    level_g = np.repeat(np.arange(len(indptr) - 1, dtype=np.int32), np.diff(indptr))
    order = np.argsort(indices, kind="stable")
    counts = np.bincount(indices, minlength=nl)
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64), level_g[order], np.swapaxes(values[order], 1, 2)


def fixed_columns_only(products, centring, kept):
    """Cross-products of a linear model with some of the fixed columns and no random effects.

    Parameters
    ----------
    products : CrossProducts
    centring : Centring
        Of the fixed columns.
    kept : sequence of int
        The columns that stay.

    Returns
    -------
    CrossProducts
    """
    C = np.eye(products.p)[:, list(kept)]
    return restricted_products(products, ColumnMap(C, centring, basis_left(centring, C)), [])


def basis_left(old, C):
    """Centring of the fixed columns that stay: the old one if those that make up the constant stay.

    Parameters
    ----------
    old : Centring
    C : ndarray (p, p_small)
        Columns that stay, of zeros and ones; one that is a sum of several ends the centring.

    Returns
    -------
    Centring
    """
    kept = C.argmax(axis=0)
    ones = np.flatnonzero((old.B != np.eye(len(old.B))).any(axis=1))
    if (C.sum(axis=0) != 1.0).any() or not np.isin(ones, kept).all():
        return no_centring(C.shape[1])
    return Centring(old.centre[kept], old.B[np.ix_(kept, kept)])


def residual_sum_of_squares(products):
    """Weighted residual sum of squares of the linear model without random effects, and log |X'WX|."""
    p = products.p
    XtX, Xty, yty = products.XyWXy[:p, :p], products.XyWXy[:p, p], products.XyWXy[p, p]
    if not p:
        return float(yty), 0.0
    scale = 1.0 / np.sqrt(np.diagonal(XtX))
    R = np.linalg.cholesky(XtX * np.outer(scale, scale)).T
    half = np.linalg.solve(R.T, Xty * scale)
    return float(yty - half @ half), 2.0 * float(np.log(np.diagonal(R)).sum() - np.log(scale).sum())


def linear_model_criterion(products, reml):
    """REML criterion or deviance of the model without random effects.

    The profiled criterion of Bates et al. (2015), eqs. 34 and 41, at theta = 0.

    Parameters
    ----------
    products : CrossProducts
    reml : bool

    Returns
    -------
    float
    """
    rss, log_det = residual_sum_of_squares(products)
    N = products.n - products.p if reml else products.n
    value = N * (1.0 + np.log(2.0 * np.pi * rss / N)) - products.sum_log_weights
    return float(value + log_det if reml else value)
