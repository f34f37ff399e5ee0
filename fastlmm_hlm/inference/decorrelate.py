"""Marginal residuals without correlation: V^-1/2 (y - offset - X beta) for a root of the marginal covariance.

With U = W^1/2 Z Lambda, V = sigma^2 W^-1/2 (I + UU') W^-1/2.  Two roots:

lower triangular   L^-1 with V = LL'.  Element i is the error of predicting row i from the rows
                   before it, divided by its standard deviation,

                       e_i = (r_i - u_i'm_i) / (sigma sqrt(1/w_i + u_i'P_i u_i)),

                   with m_i and P_i = (I + sum u u'w)^-1 the mean and covariance of the random
                   effects given those rows.  For nested factors these are running sums: no matrix
                   has the size of a group, and the cost is that of a small solve per row.
symmetric          (I + UU')^-1/2 W^1/2 / sigma, the root that changes the residuals least.  With
                   x^-1/2 = sum w_k / (t_k^2 + x) (Hale, Higham and Trefethen 2008) it needs a sparse
                   solve of the order of the random effects per node, some 20 to 40 in all; for crossed
                   factors of any size.

A dense lower triangular root serves crossed factors of few rows.
"""

import numpy as np
import pandas as pd

from fastlmm_hlm.errors import ArgumentError
from fastlmm_hlm.inference import elimination
from fastlmm_hlm.inference.leverage import centred_columns
from fastlmm_hlm.inference.sandwich import nodes

# Rows of a crossed model up to which V is factored densely: 8 n^2 bytes and n^3 / 3 multiply-adds.
LARGEST_DENSE = 5000
# Rows up to which eigenvectors of an n x n matrix are computed (some 10 s).
LARGEST_EIGEN = 3000
# Rows times squared states at a time.
ELEMENTS = 4_000_000


def cholesky_residuals(fit, r, caller):
    """L^-1 r with V = LL', rows of a group one after the other.

    Rows are taken in the order of the data; where a factor is nested in another, the rows of one
    of its levels come together, levels in the order in which they first appear.  With one factor, and
    with data that are sorted by group, that is the order of the data itself.

    Parameters
    ----------
    fit : LinearMixedModel
    r : ndarray (n,)
        Marginal residuals.
    caller : str

    Returns
    -------
    ndarray (n,)

    Raises
    ------
    ArgumentError
        For crossed factors and more than `LARGEST_DENSE` rows.
    """
    design = fit._rows_or_raise(caller).design
    if elimination.is_nested(fit._products.pairs):
        return _sequential(fit, design, r) / fit._estimates.sigma
    if design.n > LARGEST_DENSE:
        names = ", ".join(f.name for f in design.factors)
        raise ArgumentError(
            f"{caller}: the grouping factors {names} are crossed, so V of the {design.n} rows is one dense block; a triangular "
            f"root is made for up to {LARGEST_DENSE} rows. Use the symmetric root, residuals(type='symmetric')."
        )
    U = _dense_spherical(fit, design)
    V = U @ U.T
    V[np.diag_indices(design.n)] += 1.0 if design.weights is None else 1.0 / design.weights
    from scipy.linalg import cholesky, solve_triangular

    L = cholesky(V, lower=True, overwrite_a=True, check_finite=False)
    return solve_triangular(L, r, lower=True, check_finite=False) / fit._estimates.sigma


def symmetric_residuals(fit, r, caller):
    """V^-1/2 r with the symmetric root of W^1/2 V W^1/2, for any model; parameters as above."""
    design = fit._rows_or_raise(caller).design
    Lambda = elimination.templates(fit)
    products = fit._products
    root_w = None if design.weights is None else np.sqrt(design.weights)
    r = r if root_w is None else r * root_w
    UtU, _, pairs = elimination.in_spherical_columns(
        Lambda, products.ZtWZ, [np.zeros((*G.shape[:2], 1)) for G in products.ZtWZ], products.pairs
    )
    largest = 1.0 + sum(float(np.trace(U, axis1=1, axis2=2).max()) for U in UtU)
    t, weight = nodes(1.0, largest)
    Utr = _across(design, Lambda, r, root_w)
    total, inside = 0.0, np.zeros((len(Utr), 1))
    for tk, wk in zip(t, weight):
        shift = 1.0 + tk**2
        D = [U + shift * np.eye(U.shape[1]) for U in UtU]
        inside += wk / shift * _solve(D, Utr, pairs)
        total += wk / shift
    return (total * r - _along(design, Lambda, inside[:, 0], root_w)) / fit._estimates.sigma


def _solve(D, b, pairs):
    """(U'U + shift I)^-1 b, (q, 1)."""
    if not pairs:
        parts = np.split(b, elimination.starts_of(D)[1:-1])
        return np.concatenate([
            elimination.solve_blocks(block, part.reshape(*block.shape[:2], 1)).reshape(-1, 1)
            for block, part in zip(D, parts)
        ])
    return elimination.factorized(elimination.sparse_system(D, pairs)).solve(b)


def _all_rows(design):
    return np.arange(design.n)


def _spherical(design, Lambda, rows):
    """Columns of Z Lambda that each row meets, per factor: list of (k, c)."""
    return [centred_columns(f.columns, f.centring, rows) @ L for f, L in zip(design.factors, Lambda)]


def _across(design, Lambda, r, root_w):
    """U'r, (q, 1), r with the root of its weight."""
    r = r if root_w is None else r * root_w
    out = []
    for factor, u in zip(design.factors, _spherical(design, Lambda, _all_rows(design))):
        sums = [np.bincount(factor.codes, u[:, j] * r, len(factor.levels)) for j in range(u.shape[1])]
        out.append(np.column_stack(sums).ravel())
    return np.concatenate(out)[:, None]


def _along(design, Lambda, v, root_w):
    """U v, (n,)."""
    out, first = np.zeros(design.n), 0
    for factor, u in zip(design.factors, _spherical(design, Lambda, _all_rows(design))):
        nl, c = len(factor.levels), u.shape[1]
        out += (u * v[first : first + nl * c].reshape(nl, c)[factor.codes]).sum(axis=1)
        first += nl * c
    return out if root_w is None else out * root_w


def _dense_spherical(fit, design):
    """Z Lambda, dense (n, q)."""
    Lambda = elimination.templates(fit)
    blocks = []
    for factor, u in zip(design.factors, _spherical(design, Lambda, _all_rows(design))):
        block = np.zeros((design.n, len(factor.levels), u.shape[1]))
        block[np.arange(design.n), factor.codes] = u
        blocks.append(block.reshape(design.n, -1))
    return np.concatenate(blocks, axis=1)


# --- nested factors, row after row -------------------------------------------------------


def sequence(factors):
    """Rows in the order of `cholesky_residuals`, ndarray of int (n,).

    Parameters
    ----------
    factors : list of GroupingFactor
        From the finest to the coarsest.
    """
    n = len(factors[0].codes)
    keys = [np.arange(n)]
    for factor in factors:
        first = np.full(len(factor.levels), n)
        np.minimum.at(first, factor.codes, np.arange(n))
        keys.append(first[factor.codes])
    return np.lexsort(keys)


def _sequential(fit, design, r):
    """Standardized one-step prediction errors, (n,), in units of sigma.

    What the rows before row i say of the effects u of its branch is information A and a vector a, with
    P = (I + A)^-1 and m = P a.  Rows of the finest level add u u'w and u r w; a level that is
    complete adds to its ancestors what is left after its own effects are integrated out.
    """
    order = sequence(design.factors)
    Lambda = elimination.templates(fit)
    u = np.concatenate(_spherical(design, Lambda, order), axis=1)
    r, w = r[order], None if design.weights is None else design.weights[order]
    codes = [f.codes[order] for f in design.factors]
    sizes = [L.shape[0] for L in Lambda]
    ends = np.cumsum([0, *sizes])
    before = [_from_complete_levels(u, r, w, codes, ends)] if len(codes) > 1 else []
    out = np.empty(design.n)
    starts = np.flatnonzero(np.diff(codes[0], prepend=-1))
    k = int(ends[-1])
    step = max(1, ELEMENTS // (k + 1) ** 2)
    for first, last in _chunks(starts, design.n, step):
        at = slice(first, last)
        out[at] = _prediction_errors(u[at], r[at], None if w is None else w[at], codes[0][at],
                                     before[0][codes[0][at]] if before else None, ends)
    e = np.empty(design.n)
    e[order] = out
    return e


def _chunks(starts, n, step):
    """Ranges of rows that end where a finest level ends, of about `step` rows."""
    ends = np.append(starts[1:], n)
    first = 0
    while first < n:
        reached = ends[min(np.searchsorted(ends, first + step), len(ends) - 1)]
        yield first, int(reached)
        first = int(reached)


def _information(u, r, w):
    """[u; r] [u; r]' w without the square of r: (k, c, c + 1)."""
    uw = u if w is None else u * w[:, None]
    return uw[:, :, None] * np.concatenate([u, r[:, None]], axis=1)[:, None, :]


def _running(blocks, codes):
    """Sums over the rows of the same level before each row, (k, ...)."""
    total = np.cumsum(blocks, axis=0)
    before = total - blocks
    starts = np.flatnonzero(np.diff(codes, prepend=-1))
    lengths = np.diff(np.append(starts, len(codes)))
    return before - np.repeat(before[starts], lengths, axis=0)


def _prediction_errors(u, r, w, codes, outer, ends):
    known = _running(_information(u, r, w), codes)
    if outer is not None:
        known[:, ends[1] :, ends[1] :] += outer
    known[:, np.arange(u.shape[1]), np.arange(u.shape[1])] += 1.0
    solved = np.linalg.solve(known[:, :, :-1], np.stack([known[:, :, -1], u], axis=2))     # m and P u
    mean = (u * solved[:, :, 0]).sum(axis=1)
    variance = (u * solved[:, :, 1]).sum(axis=1) + (1.0 if w is None else 1.0 / w)
    return (r - mean) / np.sqrt(variance)


def _from_complete_levels(u, r, w, codes, ends):
    """What the complete levels before a finest level say of its ancestors' effects, (nl, c, c + 1), c of the ancestors."""
    nl = [int(code.max()) + 1 for code in codes]
    k = u.shape[1]
    own = np.empty((nl[0], k, k + 1))
    for i in range(k):
        uw = u[:, i] if w is None else u[:, i] * w
        for j in range(k + 1):
            own[:, i, j] = np.bincount(codes[0], uw * (u[:, j] if j < k else r), nl[0])
    parents, seen = [], []
    for f in range(len(codes) - 1):
        c = int(ends[f + 1] - ends[f])
        D = own[:, :c, :c] + np.eye(c)
        left = own[:, c:, c:] - own[:, c:, :c] @ np.linalg.solve(D, own[:, :c, c:])
        parent = np.empty(nl[f], dtype=np.int64)
        parent[codes[f]] = codes[f + 1]
        order = codes[f][np.flatnonzero(np.diff(codes[f], prepend=-1))]      # levels as they follow each other
        before = np.empty_like(left)
        before[order] = _running(left[order], parent[order])
        parents.append(parent)
        seen.append(before)
        own = elimination.add_levels(left, parent, nl[f + 1])
    out = seen[0].copy()
    up = parents[0]
    for f in range(1, len(seen)):
        shift = int(ends[f + 1] - ends[1])
        out[:, shift:, shift:] += seen[f][up]
        up = parents[f][up]
    return out


# --- least confounded residuals --------------------------------------------------------------


def least_confounded(fit):
    """Conditional residuals combined so that the random effects enter them as little as possible.

    The residuals given the random effects are r = sigma^2 W^-1 Q y, Q = V^-1 - V^-1 X (X'V^-1 X)^-1 X'V^-1, and
    contain the random effects, since these are shrunken: they are not normal where the effects are not.  With
    sigma^2 W^-1/2 Q W^-1/2 = sum l_k c_k c_k', the combinations c_k'W^1/2 r / (sigma sqrt(l_k)) are uncorrelated with
    variance 1, and a share 1 - l_k of the variance of each comes from the random effects, the least
    possible (Hilden-Minton 1995; Nobre and Singer 2007).  They belong to no row: draw them in a quantile plot.

    Parameters
    ----------
    fit : LinearMixedModel

    Returns
    -------
    DataFrame, n - p rows
        residual, confounding (1 - l_k, from 0 on).  Where eigenvalues are equal, as the many zeros of the
        confounding are, the combinations are one of many choices.

    Raises
    ------
    ArgumentError
        For more than `LARGEST_EIGEN` rows.
    RowsNotKeptError
        If the fit was pickled without its rows.
    """
    design, e = fit._rows_or_raise("least_confounded").design, fit._estimates
    n = design.n
    if n > LARGEST_EIGEN:
        raise ArgumentError(
            f"least_confounded: the {n} rows need the eigenvectors of a matrix of that order; it is made for up to {LARGEST_EIGEN}. "
            "Use residuals(type='cholesky') or hlm_resid's .ls.resid, whose cost grows with the rows alone."
        )
    root_w = np.ones(n) if design.weights is None else np.sqrt(design.weights)
    U = root_w[:, None] * _dense_spherical(fit, design)
    X = root_w[:, None] * centred_columns(design.x_columns, fit._x_centring, _all_rows(design))
    M = U.T @ U + np.eye(U.shape[1])

    def inverse_times(A):                    # (I + UU')^-1 A
        return A - U @ np.linalg.solve(M, U.T @ A)

    VX = inverse_times(X)
    A = inverse_times(np.eye(n)) - VX @ np.linalg.solve(X.T @ VX, VX.T)
    values, vectors = np.linalg.eigh(0.5 * (A + A.T))
    keep = slice(None, None, -1) if design.p == 0 else slice(None, design.p - 1, -1)
    values, vectors = np.minimum(values[keep], 1.0), vectors[:, keep]
    r = root_w * (design.y - fit._linear_predictor()) / e.sigma
    return pd.DataFrame({"residual": vectors.T @ r / np.sqrt(values), "confounding": 1.0 - values})
