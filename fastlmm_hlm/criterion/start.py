"""Starting values by the method of moments.

With P0 = I - X(X'WX)^-1 X'W, the least-squares scores e = Z'W P0 y, B = Z'W P0 Z
and Psi written as a sum of psi_i V_i over a linear basis,

    E[e'V_i e] = sigma^2 (sum_j psi_j tr(V_i B V_j B) + tr(V_i B))
    E[r2_ols]  = sigma^2 (sum_j psi_j tr(V_j B) + n - p)

(Rao 1971, MINQUE with zero prior weights, J. Multivariate Analysis 1): a linear
system of the size of theta, from the cross-products alone.  B = A - F F' with
F = Z'WX (X'WX)^-1/2 is never formed: only blocks on the pattern of A are, and the
sum of all (F F') x (F F') separates.

Measured: the optimizer then needs about half the evaluations it needs from unit
standard deviations (Machines 26 -> 5, two 4 x 4 crossed terms 43 -> 6).
"""

import numpy as np

# Relative variances of the start are kept between these: a component that starts at
# exactly zero would be a stationary point, a huge one is a failure of the moments.
SMALLEST, LARGEST = 0.05, 400.0
# Above this many numbers in F only the intercept's column is projected out; with so
# many levels the others no longer matter.
LARGE = 2_000_000
# A moment estimate of sigma^2 below this share of the total is mostly noise.
UNRELIABLE = 0.01
PAIRS_AT_A_TIME = 200_000


def _basis(covariance):
    """Linear basis V_i of the covariance matrices to start from, (m, c, c)."""
    c = covariance.nc
    if covariance.may_change_basis:
        out = np.zeros((covariance.size, c, c))
        for i, (a, b) in enumerate(zip(covariance.rows, covariance.columns)):
            out[i, a, b] = out[i, b, a] = 1.0
        return out
    return np.eye(c)[None] if getattr(covariance, "hom", False) else np.eye(c)[:, None] * np.eye(c)[None]


def _least_squares(products):
    """Scores e per factor, (nl, nc), the residual sum of squares, and F per factor, (nl, nc, k)."""
    p = products.p
    XtX, Xtr = products.XyWXy[:p, :p], products.XyWXy[:p, p]
    if p == 0:
        return [R[:, :, 0] for R in products.ZtWXy], float(products.XyWXy[0, 0]), [R[:, :, :0] for R in products.ZtWXy]
    root = np.linalg.cholesky(XtX)
    half = np.linalg.solve(root, Xtr)
    beta = np.linalg.solve(root.T, half)
    e = [R[:, :, p] - R[:, :, :p] @ beta for R in products.ZtWXy]
    k = p if products.q * p <= LARGE else 1
    to_F = np.linalg.inv(root[:k, :k]).T
    return e, float(products.XyWXy[p, p] - half @ half), [R[:, :, :k] @ to_F for R in products.ZtWXy]


def _pairs_of_levels(products, s, t):
    """Levels and blocks of A between two terms: (levels of s, levels of t, (m, c_s, c_t))."""
    if s.factor == t.factor:
        levels = np.arange(products.ZtWZ[s.factor].shape[0])
        return levels, levels, products.ZtWZ[s.factor][:, s.columns, t.columns]
    first, second = min(s.factor, t.factor), max(s.factor, t.factor)
    indptr, indices, values = products.pairs[first, second]
    level = np.repeat(np.arange(len(indptr) - 1), np.diff(indptr))
    if s.factor == first:
        return level, indices, values[:, s.columns, t.columns]
    return indices, level, values[:, t.columns, s.columns].transpose(0, 2, 1)


def _products_of_blocks(products, s, t, S, T, F_s, F_t):
    """sum over pairs of levels of B_ab B_cd, (c_s, c_t, c_s, c_t), B = A - F F' in working columns."""
    shape = (S.shape[1], T.shape[1])
    rows, columns, A = _pairs_of_levels(products, s, t)
    total = np.zeros((shape[0] * shape[1],) * 2)
    for first in range(0, len(A), PAIRS_AT_A_TIME):
        part = slice(first, first + PAIRS_AT_A_TIME)
        a = (S.T @ A[part] @ T).reshape(-1, shape[0] * shape[1])
        f = (F_s[rows[part]] @ F_t[columns[part]].transpose(0, 2, 1)).reshape(a.shape)
        total += (a - f).T @ (a - f) - f.T @ f
    left = np.einsum("lar,lcs->acrs", F_s, F_s, optimize=True)
    right = np.einsum("lbr,lds->bdrs", F_t, F_t, optimize=True)
    everywhere = np.einsum("acrs,bdrs->abcd", left, right, optimize=True)
    return total.reshape(shape * 2) + everywhere


def _within_variance(products, e, r2):
    """Residual variance after fitting every level of one factor on its own; the least over the factors.

    e_l'A_l^+ e_l is what level l's own columns explain of the least-squares residuals.
    """
    best = r2 / (products.n - products.p)
    for scores, G in zip(e, products.ZtWZ):
        values, vectors = np.linalg.eigh(G)
        along = np.einsum("lab,la->lb", vectors, scores)
        positive = values > 1e-9 * values[:, -1:]
        explained = (along**2 / np.where(positive, values, 1.0) * positive).sum()
        freedom = products.n - products.p - positive.sum()
        if freedom >= 3 and explained < r2:
            best = min(best, (r2 - explained) / freedom)
    return best


def moment_start(products, terms, scales):
    """Working parameters near the optimum.

    Parameters
    ----------
    products : CrossProducts
    terms : list of RandomTerm
    scales : list of ndarray (c, c)
        Working basis of each term.

    Returns
    -------
    par : ndarray, shape (m,)
    """
    e, r2, F = _least_squares(products)
    bases = [_basis(term.covariance) for term in terms]
    F = [np.ascontiguousarray(T.T @ F[t.factor][:, t.columns]) for t, T in zip(terms, scales)]
    where = np.cumsum([0, *[len(b) for b in bases]])
    m = where[-1]
    N = products.n - products.p
    system, right = np.zeros((m + 1, m + 1)), np.zeros(m + 1)
    system[m, m], right[m] = N, r2
    for k, (term, T) in enumerate(zip(terms, scales)):
        scores = e[term.factor][:, term.columns] @ T
        Q = scores.T @ scores
        A = T.T @ products.ZtWZ[term.factor][:, term.columns, term.columns].sum(axis=0) @ T
        own = A - np.einsum("lar,lbr->ab", F[k], F[k])
        for i, V in enumerate(bases[k], where[k]):
            right[i] = (V * Q).sum()
            system[i, m] = system[m, i] = (V * own).sum()
        for j in range(k + 1):
            squares = _products_of_blocks(products, term, terms[j], T, scales[j], F[k], F[j])
            for i, V in enumerate(bases[k], where[k]):
                for l, W in enumerate(bases[j], where[j]):
                    system[i, l] = system[l, i] = np.einsum("ac,bd,abcd->", V, W, squares)
    psi = np.linalg.lstsq(system, right, rcond=1e-12)[0]
    sigma2 = psi[m] if psi[m] > UNRELIABLE * r2 / N else _within_variance(products, e, r2)
    out = []
    for term, V, first in zip(terms, bases, where):
        Psi = np.tensordot(psi[first : first + len(V)], V, axes=1) / sigma2
        values, vectors = np.linalg.eigh(Psi)
        root = vectors * np.sqrt(np.clip(values, SMALLEST**2, LARGEST**2))
        out.append(term.covariance.from_root(root))
    return np.concatenate(out)
