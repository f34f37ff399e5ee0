"""Exact null distributions of likelihood ratio tests for one variance component.

Under the null hypothesis of no random effect the (restricted) likelihood ratio
depends on the data through independent normal variables and the eigenvalues of two
q x q matrices (Crainiceanu & Ruppert 2004, J. R. Statist. Soc. B 66, 165-185).  Equal
eigenvalues are drawn together as one chi-squared variable, and the eigenvalues of a
diagonal matrix minus one of low rank are found from a small matrix, so the cost
depends on how many different group sizes there are, not on the number of groups.
"""

import numpy as np

# Two eigenvalues closer than this, relative to the largest, are drawn together.
SAME_EIGENVALUE = 1e-10
# Largest matrix whose eigenvalues are computed; beyond it group sizes are put into bins of nearly equal ones.
LARGEST = 2000
# log(lambda * largest eigenvalue) runs over this grid; the best point is refined by a parabola.
GRID = np.linspace(-14.0, 14.0, 280)
# Numbers held at a time.
CHUNK = 4_000_000


def merged(values, counts):
    """Equal eigenvalues added up.

    Parameters
    ----------
    values : ndarray (k,), counts : ndarray of int (k,)

    Returns
    -------
    values, counts : ndarray
        Without zeros, decreasing.
    """
    order = np.argsort(values)[::-1]
    values, counts = values[order], counts[order]
    largest = values[0] if len(values) else 0.0
    positive = values > SAME_EIGENVALUE * largest
    values, counts = values[positive], counts[positive]
    if not len(values):
        return values, counts
    group = np.concatenate([[0], np.cumsum(-np.diff(values) > SAME_EIGENVALUE * largest)])
    total = np.bincount(group, weights=counts)
    return np.bincount(group, weights=values * counts) / total, total.astype(int)


def spectrum_of_residuals(d, U):
    """Eigenvalues of diag(d) - U U', a Gram matrix after projection.

    Levels with equal d span an eigenspace, but for the few directions in which
    their rows of U lie; these directions of all levels make a small matrix with the
    remaining eigenvalues.

    Parameters
    ----------
    d : ndarray (q,)
        Diagonal of Z'WZ, positive.
    U : ndarray (q, p)
        Z'WX times the inverse of a root of X'WX.

    Returns
    -------
    values : ndarray (k,), counts : ndarray of int (k,)
    """
    p = U.shape[1]
    d = _binned(d, max(LARGEST // max(p, 1), 1)) if len(d) > LARGEST else d
    different, group = np.unique(d, return_inverse=True)
    order = np.argsort(group, kind="stable")
    edges = np.concatenate([[0], np.cumsum(np.bincount(group))])
    rows, kept_d, free, free_counts = [], [], [], []
    for value, first, last in zip(different, edges[:-1], edges[1:]):
        block = U[order[first:last]]
        if len(block) > p:
            free.append(value)
            free_counts.append(len(block) - p)
            block = np.linalg.qr(block, mode="r")
        rows.append(block)
        kept_d.append(np.full(len(block), value))
    R, diagonal = np.vstack(rows), np.concatenate(kept_d)
    values = np.linalg.eigvalsh(np.diag(diagonal) - R @ R.T) if len(R) else np.zeros(0)
    counts = np.concatenate([np.ones(len(values), dtype=int), np.array(free_counts, dtype=int)])
    return merged(np.concatenate([values, free]), counts)


def _binned(d, most):
    """d with nearly equal values replaced by their mean, at most `most` different ones."""
    rounded, group = np.unique(d, return_inverse=True)
    if len(rounded) <= most:
        return d
    low, high = np.log(rounded[0]), np.log(rounded[-1])
    bins = np.minimum((most * (np.log(d) - low) / max(high - low, 1e-300)).astype(int), most - 1)
    total, count = np.bincount(bins, weights=d, minlength=most), np.bincount(bins, minlength=most)
    return (total / np.maximum(count, 1))[bins]


def simulated_statistics(mu, mu_counts, xi, xi_counts, degrees, free, rng, nsim, dropped=0):
    """Draws of the likelihood ratio under the null hypothesis.

    Parameters
    ----------
    mu, mu_counts : ndarray (k,)
        Eigenvalues of Z'P0Z, P0 the projection off X, and how often each occurs.
    xi, xi_counts : ndarray
        Eigenvalues in the determinant: again mu for the restricted likelihood, those
        of Z'WZ for the likelihood.
    degrees : int
        n - p for the restricted likelihood, n for the likelihood.
    free : int
        n - p, all normal variables there are.
    rng : numpy.random.Generator
    nsim : int
    dropped : int
        Fixed effects that are zero under the null hypothesis too (likelihood only).

    Returns
    -------
    ndarray (nsim,)
    """
    largest = max(mu.max(initial=0.0), xi.max(initial=0.0), 1e-300)
    lam = np.exp(GRID) / largest
    share = lam[:, None] * mu / (1.0 + lam[:, None] * mu)                  # (grid, k)
    penalty = np.log1p(lam[:, None] * xi) @ xi_counts
    out = np.empty(nsim)
    step = max(1, CHUNK // max(len(mu) + len(GRID), 1))
    for first in range(0, nsim, step):
        size = min(step, nsim - first)
        w2 = rng.chisquare(mu_counts, (size, len(mu))) if len(mu) else np.zeros((size, 0))
        rest = free - int(mu_counts.sum())
        total = w2.sum(axis=1) + (rng.chisquare(rest, size) if rest > 0 else 0.0)
        value = -degrees * np.log1p(-np.minimum((w2 @ share.T) / total[:, None], 1.0 - 1e-15)) - penalty
        best = _highest(value)
        if dropped:
            best = best + degrees * np.log1p(rng.chisquare(dropped, size) / total)
        out[first : first + size] = best
    return out


def _highest(value):
    """Largest value along the grid, refined by the parabola through its neighbours, at least 0: (k,)."""
    at = value.argmax(axis=1)
    inside = np.clip(at, 1, value.shape[1] - 2)
    who = np.arange(len(value))
    left, middle, right = value[who, inside - 1], value[who, inside], value[who, inside + 1]
    bend = left - 2.0 * middle + right
    peak = np.where((bend < 0) & (at == inside), middle - (right - left) ** 2 / (8.0 * np.minimum(bend, -1e-300)), 0.0)
    return np.maximum(np.maximum(value[who, at], peak), 0.0)
