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
# Levels or pairs of levels at a time, so that temporaries stay small.
AT_A_TIME = 50_000


def _basis(covariance):
    """Linear basis V_i of the covariance matrices to start from, (m, c, c)."""
    c = covariance.nc
    if covariance.may_change_basis:
        out = np.zeros((covariance.size, c, c))
        for i, (a, b) in enumerate(zip(covariance.rows, covariance.columns)):
            out[i, a, b] = out[i, b, a] = 1.0
        return out
    return np.eye(c)[None] if getattr(covariance, "hom", False) else np.eye(c)[:, None] * np.eye(c)[None]


class _LeastSquares:
    """The fit without random effects, and the blocks e and F of any levels of a term.

    Attributes
    ----------
    r2 : float
        Residual sum of squares.
    """

    def __init__(self, products):
        p = products.p
        self.products, self.p = products, p
        XtX, Xtr = products.XyWXy[:p, :p], products.XyWXy[:p, p]
        root = np.linalg.cholesky(XtX)
        half = np.linalg.solve(root, Xtr)
        self.beta = np.linalg.solve(root.T, half)
        self.r2 = float(products.XyWXy[p, p] - half @ half)
        self.k = p if products.q * p <= LARGE else min(p, 1)
        self.to_F = np.linalg.inv(root[: self.k, : self.k]).T

    def scores(self, factor, levels):
        """e = Z'W(y - X beta) of some levels, (levels, nc)."""
        return self.products.ZtWXy[factor][levels] @ np.append(-self.beta, 1.0)

    def F(self, term, T, levels):
        """F of some levels in working columns, (levels, c, k)."""
        R = self.products.ZtWXy[term.factor][levels][:, term.columns, : self.k]
        return _sandwich(T, R, self.to_F)


def _sandwich(S, blocks, T):
    """S' B T for every block B, (m, s, t): one matrix product with the Kronecker product of S and T."""
    both = (S[:, None, :, None] * T[None, :, None, :]).reshape(S.shape[0] * T.shape[0], S.shape[1] * T.shape[1])
    flat = blocks.reshape(len(blocks), len(both)) @ both
    return flat.reshape(len(blocks), S.shape[1], T.shape[1])


def _row_products(F, G):
    """F_l G_l' for every l, (m, a, k) and (m, b, k) -> (m, a b)."""
    return np.stack([(F[:, a] * G[:, b]).sum(axis=1) for a in range(F.shape[1]) for b in range(G.shape[1])], axis=1)


def _chunks(count):
    """Slices of at most AT_A_TIME."""
    return [slice(first, min(first + AT_A_TIME, count)) for first in range(0, count, AT_A_TIME)]


def _levels(products, term):
    return products.ZtWZ[term.factor].shape[0]


def _sums_of_term(fit, term, T):
    """sum of e e' (c, c), and sum over levels of F_ar F_bs as (c, k, c, k), in working columns."""
    c, k = T.shape[1], fit.k
    Q, FF = np.zeros((c, c)), np.zeros((c * k, c * k))
    for part in _chunks(_levels(fit.products, term)):
        e = fit.scores(term.factor, part)[:, term.columns] @ T
        Q += e.T @ e
        F = fit.F(term, T, part)
        F = F.reshape(len(F), c * k)
        FF += F.T @ F
    return Q, FF.reshape(c, k, c, k)


def _pairs_of_levels(products, s, t):
    """Levels and blocks of A between two terms, in chunks: (levels of s, levels of t, (m, c_s, c_t))."""
    if s.factor == t.factor:
        for part in _chunks(_levels(products, s)):
            yield part, part, products.ZtWZ[s.factor][part][:, s.columns, t.columns]
        return
    first, second = min(s.factor, t.factor), max(s.factor, t.factor)
    indptr, indices, values = products.pairs[first, second]
    for part in _chunks(len(indices)):
        level = np.searchsorted(indptr, np.arange(part.start, part.stop), side="right") - 1
        if s.factor == first:
            yield level, indices[part], values[part][:, s.columns, t.columns]
        else:
            yield indices[part], level, values[part][:, t.columns, s.columns].transpose(0, 2, 1)


def _products_of_blocks(fit, s, t, S, T, FF_s, FF_t):
    """sum over pairs of levels of B_ab B_cd, (c_s, c_t, c_s, c_t), B = A - F F' in working columns."""
    shape = (S.shape[1], T.shape[1])
    total = np.zeros((shape[0] * shape[1],) * 2)
    for rows, columns, A in _pairs_of_levels(fit.products, s, t):
        a = _sandwich(S, A, T).reshape(len(A), len(total))
        f = _row_products(fit.F(s, S, rows), fit.F(t, T, columns))
        total += (a - f).T @ (a - f) - f.T @ f
    everywhere = np.einsum("arcs,brds->abcd", FF_s, FF_t, optimize=True)
    return total.reshape(shape * 2) + everywhere


def _within_variance(products, fit):
    """Residual variance after fitting every level of one factor on its own; the least over the factors.

    e_l'A_l^+ e_l is what level l's own columns explain of the least-squares residuals.
    """
    best = fit.r2 / (products.n - products.p)
    for factor, blocks in enumerate(products.ZtWZ):
        explained, freedom = 0.0, products.n - products.p
        for part in _chunks(len(blocks)):
            values, vectors = np.linalg.eigh(blocks[part])
            along = np.einsum("lab,la->lb", vectors, fit.scores(factor, part))
            positive = values > 1e-9 * values[:, -1:]
            explained += (along**2 / np.where(positive, values, 1.0) * positive).sum()
            freedom -= positive.sum()
        if freedom >= 3 and explained < fit.r2:
            best = min(best, (fit.r2 - explained) / freedom)
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
    fit = _LeastSquares(products)
    bases = [_basis(term.covariance) for term in terms]
    where = np.cumsum([0, *[len(b) for b in bases]])
    m = where[-1]
    N = products.n - products.p
    system, right = np.zeros((m + 1, m + 1)), np.zeros(m + 1)
    system[m, m], right[m] = N, fit.r2
    outer = []
    for k, (term, T) in enumerate(zip(terms, scales)):
        Q, FF = _sums_of_term(fit, term, T)
        outer.append(FF)
        A = T.T @ products.ZtWZ[term.factor][:, term.columns, term.columns].sum(axis=0) @ T
        own = A - np.einsum("arbr->ab", FF)
        here, V = slice(where[k], where[k + 1]), bases[k].reshape(len(bases[k]), -1)
        right[here] = V @ Q.ravel()
        system[here, m] = system[m, here] = V @ own.ravel()
        for j in range(k + 1):
            there, W = slice(where[j], where[j + 1]), bases[j].reshape(len(bases[j]), -1)
            squares = _products_of_blocks(fit, term, terms[j], T, scales[j], FF, outer[j])
            # tr(V B W B') = sum of V_ac B_ab W_bd B_cd
            block = V @ squares.transpose(0, 2, 1, 3).reshape(V.shape[1], W.shape[1]) @ W.T
            system[here, there] = block
            system[there, here] = block.T
    psi = np.linalg.lstsq(system, right, rcond=1e-12)[0]
    sigma2 = psi[m] if psi[m] > UNRELIABLE * fit.r2 / N else _within_variance(products, fit)
    out = []
    for term, V, first in zip(terms, bases, where):
        Psi = np.tensordot(psi[first : first + len(V)], V, axes=1) / sigma2
        values, vectors = np.linalg.eigh(Psi)
        root = vectors * np.sqrt(np.clip(values, SMALLEST**2, LARGEST**2))
        out.append(term.covariance.from_root(root))
    return np.concatenate(out)
