"""X'(H - zI)^-1 [X e] of every cluster, from cross-products.

H = W^-1 + Z Psi Z' is the covariance of the response divided by sigma^2, block
diagonal by cluster; e = y - offset - X beta.  For any number z, real or complex,
H - zI = Omega^-1 + U U' with U = Z Lambda and the diagonal Omega = W (I - zW)^-1, so

    X'(H - zI)^-1 X = X'Omega X - X'Omega U (I + U'Omega U)^-1 U'Omega X

cluster by cluster: the algebra of the fit, with Omega for the weights.  Without
prior weights Omega is a number and the cross-products are those of the fit;
with weights they are summed again for each z.  No matrix has a side of n_g rows.
"""

from dataclasses import dataclass, replace

import numpy as np

from fastlmm_hlm._core import kernels
from fastlmm_hlm.design.crossprod import cross_products, shifted_response
from fastlmm_hlm.inference import elimination
from fastlmm_hlm.inference.elimination import add_levels


@dataclass
class Sums:
    """Cross-products with weights omega, in the columns Z Lambda of each factor.

    Attributes
    ----------
    XtXe : ndarray (G, p, p+1)      X'Omega [X e] by cluster
    UtU : list of ndarray (nl, c, c), UtXe : list of ndarray (nl, c, p+1)
    pairs : dict (f, g) -> (indptr, indices, values (pairs, c_f, c_g))
    """

    XtXe: np.ndarray
    UtU: list
    UtXe: list
    pairs: dict

    def scaled(self, omega):
        """The same for weights omega times as large."""
        pairs = {key: (indptr, indices, omega * values) for key, (indptr, indices, values) in self.pairs.items()}
        return Sums(omega * self.XtXe, [omega * G for G in self.UtU], [omega * R for R in self.UtXe], pairs)

    def plus(self, other):
        """The sum of two, of the same pattern."""
        pairs = {key: (*part[:2], part[2] + other.pairs[key][2]) for key, part in self.pairs.items()}
        return Sums(
            self.XtXe + other.XtXe,
            [a + b for a, b in zip(self.UtU, other.UtU)],
            [a + b for a, b in zip(self.UtXe, other.UtXe)],
            pairs,
        )


class Resolvent:
    """The function z -> X'(H - zI)^-1 [X e] by cluster.

    X is in the centred columns of the fit (see `design.basis`).

    Parameters
    ----------
    fit : LinearMixedModel
    clusters : Clusters
    threads : int
    """

    def __init__(self, fit, clusters, threads=1):
        self.design = fit._rows_or_raise("vcov_robust").design
        self.beta, self.threads = fit._estimates.beta, threads
        self.clusters = clusters
        self.Lambda = elimination.templates(fit)
        w = self.design.weights
        self.least, self.largest_diagonal = (1.0, 1.0) if w is None else (1.0 / w.max(), 1.0 / w.min())
        self.base = self._sums(w)

    @property
    def p(self):
        return self.base.XtXe.shape[1]

    def _sums(self, w):
        """Cross-products with real weights w, (n,) or None."""
        design = replace(self.design, weights=w)
        with np.errstate(invalid="ignore", divide="ignore"):
            products = cross_products(design, self.beta, threads=self.threads)
        UtU, UtXe, pairs = elimination.in_spherical_columns(self.Lambda, products.ZtWZ, products.ZtWXy, products.pairs)
        return Sums(fixed_by_cluster(design, self.clusters, shifted_response(design, self.beta)), UtU, UtXe, pairs)

    def largest(self):
        """An upper bound of the eigenvalues of H."""
        total = np.zeros(self.clusters.size)
        for U, of_level in zip(self.base.UtU, self.clusters.of_level):
            most = np.zeros(self.clusters.size)
            np.maximum.at(most, of_level, np.trace(U, axis1=1, axis2=2))
            total += most
        return self.largest_diagonal * (1.0 + float(total.max()))

    def __call__(self, z):
        """Values at z, (G, p, p+1); real for a real z, else complex."""
        w = self.design.weights
        z = complex(z) if np.iscomplexobj(z) else float(z)
        if w is None:
            sums = self.base.scaled(1.0 / (1.0 - z)) if z else self.base
        elif not z:
            sums = self.base
        else:
            omega = w / (1.0 - z * w)
            sums = self._sums(np.ascontiguousarray(omega.real))
            if isinstance(z, complex):
                sums = sums.plus(self._sums(np.ascontiguousarray(omega.imag)).scaled(1j))
        D = [U + np.eye(U.shape[1]) for U in sums.UtU]
        return less_random_part(sums.XtXe, D, sums.UtXe, sums.pairs, self.clusters)


def less_random_part(XtX, D, UtX, pairs, clusters):
    """X'Omega X - X'Omega U D^-1 U'Omega X by cluster, (G, k, m).

    Parameters
    ----------
    XtX : ndarray (G, k, m), m >= k
        X'Omega X by cluster; the columns of the m include the k, first.
    D, UtX, pairs
        The system of `elimination`: I + U'Omega U and U'Omega X, (nl, c, m).
    clusters : Clusters
    """
    if elimination.is_nested(pairs):
        solved = ((r, y) for _, r, _, y in elimination.eliminate(D, UtX, pairs))
    else:
        solved = zip(UtX, _by_sparse_factor(D, UtX, pairs))      # crossed within clusters
    out, k = XtX.copy(), XtX.shape[1]
    for (r, y), of_level in zip(solved, clusters.of_level):
        out -= add_levels(r[:, :, :k].transpose(0, 2, 1) @ y, of_level, clusters.size)
    return out


def _by_sparse_factor(D, UtX, pairs):
    """D^-1 U'Omega X, per factor."""
    y = elimination.factorized(elimination.sparse_system(D, pairs)).solve(elimination.stacked(UtX))
    parts = np.split(y, elimination.starts_of(D)[1:-1])
    return [part.reshape(R.shape) for part, R in zip(parts, UtX)]


def fixed_by_cluster(design, clusters, r):
    """X'W [X r] by cluster, (G, p, p+1), X in the centred columns of the fit.

    Parameters
    ----------
    design : Design
    clusters : Clusters
    r : ndarray (n,)
    """
    x = kernels.Columns([
        (None if c is None else np.ascontiguousarray(c, dtype=float), m)
        for c, m in zip(design.x_columns, design.x_centring.centre)
    ])
    XtX = np.zeros((clusters.size, x.size, x.size))
    Xtr = np.zeros((clusters.size, x.size, 1))
    w = None if design.weights is None else np.ascontiguousarray(design.weights)
    kernels.crossprod_factor(clusters.codes, x, kernels.Columns([]), r, w, XtX, Xtr)
    return np.concatenate([XtX, Xtr], axis=2)
