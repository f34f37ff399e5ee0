"""Starting values by the method of moments.

The equations come from the cross-products alone, in one pass over levels and pairs of
levels (`csrc/moments.c`): a linear system of the size of theta.

Measured: the optimizer then needs about half the evaluations it needs from unit
standard deviations (Machines 26 -> 5, two 4 x 4 crossed terms 43 -> 6).
"""

import numpy as np

from fastlmm_hlm._core.small import eigh

# Relative variances of the start are kept between these: a component that starts at
# exactly zero would be a stationary point, a huge one is a failure of the moments.
SMALLEST, LARGEST = 0.05, 400.0
# With more random effects times fixed effects than this only the intercept's column is
# projected out; with so many levels the others no longer matter.
LARGE = 2_000_000
# A moment estimate of sigma^2 below this share of the total is mostly noise.
UNRELIABLE = 0.01
# Levels at a time, so that temporaries stay small.
AT_A_TIME = 50_000


def _within_variance(products, r2):
    """Residual variance after fitting every level of one factor on its own; the least over the factors.

    e_l'A_l^+ e_l is what level l's own columns explain of the least-squares residuals e.
    """
    p = products.p
    beta = np.linalg.solve(products.XyWXy[:p, :p], products.XyWXy[:p, p])
    best = r2 / (products.n - p)
    for blocks, ZtWXy in zip(products.ZtWZ, products.ZtWXy):
        explained, freedom = 0.0, products.n - p
        for first in range(0, len(blocks), AT_A_TIME):
            part = slice(first, first + AT_A_TIME)
            values, vectors = np.linalg.eigh(blocks[part])
            along = np.einsum("lab,la->lb", vectors, ZtWXy[part] @ np.append(-beta, 1.0))
            positive = values > 1e-9 * values[:, -1:]
            explained += (along**2 / np.where(positive, values, 1.0) * positive).sum()
            freedom -= positive.sum()
        if freedom >= 3 and explained < r2:
            best = min(best, (r2 - explained) / freedom)
    return best


def _span(covariance):
    """Matrices that span the covariances to start from: variances alone where those of the term are no linear space."""
    span = covariance.linear_span()
    return np.array([np.diag(row) for row in np.eye(covariance.nc)]) if span is None else span


def _least_squares(system, right):
    """The shortest solution of a symmetric system that may have lost rank, (m,)."""
    values, vectors = eigh(system)
    kept = np.abs(values) > 1e-12 * np.abs(values).max()
    return vectors @ (kept * (right @ vectors) / np.where(kept, values, 1.0))


def moment_start(kernel, products, terms, scales):
    """Working parameters near the optimum.

    Parameters
    ----------
    kernel : LmmKernel
        Of the products; it knows the terms.
    products : CrossProducts
    terms : list of RandomTerm
    scales : list of ndarray (c, c)
        Working basis of each term.

    Returns
    -------
    par : ndarray, shape (m,)
    """
    p, N = products.p, products.n - products.p
    bases = [_span(term.covariance) for term in terms]
    k = p if products.q * p <= LARGE else min(p, 1)
    system, right = kernel.moments(flat(scales), flat(bases), np.array([len(V) for V in bases], dtype=np.int32), k, N)
    psi = _least_squares(system, right)
    r2 = float(right[-1])
    sigma2 = psi[-1] if psi[-1] > UNRELIABLE * r2 / N else _within_variance(products, r2)
    out, first = [], 0
    for term, V in zip(terms, bases):
        Psi = (psi[first : first + len(V), None, None] * V).sum(axis=0) / sigma2
        first += len(V)
        values, vectors = eigh(Psi)
        root = vectors * np.sqrt(np.clip(values, SMALLEST**2, LARGEST**2))
        out.append(term.covariance.from_root(root))
    return np.concatenate(out)


def flat(matrices):
    """All numbers of some arrays, row-major, one array after the other."""
    return np.concatenate([matrix.ravel() for matrix in matrices])
