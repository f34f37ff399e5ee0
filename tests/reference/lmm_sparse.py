"""The same criterion through scikit-sparse's CHOLMOD, for models too large to be dense.

Written on the rows: M = Lambda'Z'WZ Lambda + I is formed by sparse products and
factorized; log|V| = log|M| - log|W| and V^-1 = W - W Z Lambda M^-1 Lambda'Z'W.
"""

import numpy as np
import scipy.sparse as sparse
from sksparse.cholmod import cholesky


def sparse_columns(codes, nl, columns):
    """Z of one factor, sparse (n, nl * nc)."""
    n, nc = columns.shape
    place = codes[:, None].astype(np.int64) * nc + np.arange(nc)
    return sparse.csc_matrix((columns.ravel(), (np.repeat(np.arange(n), nc), place.ravel())), shape=(n, nl * nc))


def sparse_lmm(y, X, Z, Lambda, w, reml):
    """Value and solution.

    Parameters
    ----------
    y : ndarray (n,)     X : ndarray (n, p)     w : ndarray (n,)
    Z : sparse (n, q)    Lambda : sparse (q, q), relative covariance factor

    Returns
    -------
    dict with criterion, ldL2, ldRX2, pwrss, beta (p,), u (q,), b (q,)
    """
    W = sparse.diags(w)
    ZL = (Z @ Lambda).tocsc()
    M = (ZL.T @ W @ ZL + sparse.identity(ZL.shape[1])).tocsc()
    factor = cholesky(M)

    def times_Vinv(B):
        return W @ (B - ZL @ factor(ZL.T @ (W @ B)))

    XtVinvX = X.T @ times_Vinv(X)
    beta = np.linalg.solve(XtVinvX, X.T @ times_Vinv(y))
    residual = y - X @ beta
    pwrss = float(residual @ times_Vinv(residual))
    u = factor(ZL.T @ (W @ residual))
    N = len(y) - (X.shape[1] if reml else 0)
    ldRX2 = np.linalg.slogdet(XtVinvX)[1] if X.shape[1] else 0.0
    criterion = factor.logdet() - np.log(w).sum() + N * (1.0 + np.log(2.0 * np.pi * pwrss / N)) + reml * ldRX2
    return {
        "criterion": criterion,
        "ldL2": factor.logdet(),
        "ldRX2": ldRX2,
        "pwrss": pwrss,
        "beta": beta,
        "u": u,
        "b": Lambda @ u,
    }
