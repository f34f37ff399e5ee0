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
from scipy import sparse
from scipy.sparse.linalg import splu

from fastlmm_hlm._core import kernels
from fastlmm_hlm.design.crossprod import cross_products, shifted_response


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
        self.Lambda = self._templates(fit)
        w = self.design.weights
        self.least, self.largest_diagonal = (1.0, 1.0) if w is None else (1.0 / w.max(), 1.0 / w.min())
        self.base = self._sums(w)
        self.nested = all((np.diff(indptr) == 1).all() for indptr, _, _ in self.base.pairs.values())

    @property
    def p(self):
        return self.base.XtXe.shape[1]

    def _templates(self, fit):
        """Lambda of each factor in its centred columns."""
        out = [np.zeros((len(f.columns),) * 2) for f in self.design.factors]
        for term, T in zip(fit._terms, fit._estimates.templates):
            B = fit._centrings[term.factor].B[term.columns, term.columns]
            out[term.factor][term.columns, term.columns] = np.linalg.solve(B, T)
        return out

    def _sums(self, w):
        """Cross-products with real weights w, (n,) or None."""
        design = replace(self.design, weights=w)
        with np.errstate(invalid="ignore", divide="ignore"):
            products = cross_products(design, self.beta, threads=self.threads)
        pairs = {
            (f, g): (indptr, indices, self.Lambda[f].T @ values @ self.Lambda[g])
            for (f, g), (indptr, indices, values) in products.pairs.items()
        }
        UtU = [L.T @ G @ L for L, G in zip(self.Lambda, products.ZtWZ)]
        UtXe = [L.T @ R for L, R in zip(self.Lambda, products.ZtWXy)]
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
        explained = self._by_nesting(sums) if self.nested else self._by_sparse_factor(sums)
        return sums.XtXe - explained

    def _by_nesting(self, sums):
        """X'Omega U (I + U'Omega U)^-1 U'Omega [X e] by cluster when each factor is nested in the next."""
        p, nf = self.p, len(sums.UtU)
        D = [U + np.eye(U.shape[1]) for U in sums.UtU]
        r, up = [R.copy() for R in sums.UtXe], {key: values.copy() for key, (_, _, values) in sums.pairs.items()}
        out = np.zeros((self.clusters.size, p, p + 1), dtype=r[0].dtype)
        for f in range(nf):
            later = range(f + 1, nf)
            rhs = np.concatenate([*(up[f, g] for g in later), r[f]], axis=2)
            Y = solve_blocks(D[f], rhs)
            out += add_levels(r[f][:, :, :p].transpose(0, 2, 1) @ Y[:, :, -(p + 1):], self.clusters.of_level[f], self.clusters.size)
            at = 0
            ends = np.cumsum([0, *(up[f, g].shape[2] for g in later)])
            for k, g in enumerate(later):
                parent, B = sums.pairs[f, g][1], up[f, g].transpose(0, 2, 1)
                taken = add_levels(B @ Y[:, :, ends[k]:], parent, len(D[g]))
                D[g] = D[g] - taken[:, :, : ends[k + 1] - ends[k]]
                at = ends[k + 1] - ends[k]
                for h in range(g + 1, nf):
                    c = up[g, h].shape[2]
                    up[g, h] = up[g, h] - taken[:, :, at : at + c]
                    at += c
                r[g] = r[g] - taken[:, :, at:]
        return out

    def _by_sparse_factor(self, sums):
        """The same for factors that are crossed within clusters, by one sparse factorization."""
        p = self.p
        starts = np.cumsum([0, *(U.shape[0] * U.shape[1] for U in sums.UtU)])
        rows, columns, values = [np.arange(starts[-1])], [np.arange(starts[-1])], [np.ones(starts[-1])]

        def place(f, levels_f, g, levels_g, blocks):
            c, d = blocks.shape[1:]
            i = starts[f] + levels_f[:, None, None] * c + np.arange(c)[:, None] + np.zeros((c, d), int)
            j = starts[g] + levels_g[:, None, None] * d + np.arange(d) + np.zeros((c, d), int)
            rows.append(i.ravel()), columns.append(j.ravel()), values.append(blocks.ravel())

        for f, U in enumerate(sums.UtU):
            levels = np.arange(len(U), dtype=np.int64)
            place(f, levels, f, levels, U)
        for (f, g), (indptr, indices, blocks) in sums.pairs.items():
            level_f = np.repeat(np.arange(len(indptr) - 1, dtype=np.int64), np.diff(indptr))
            level_g = indices.astype(np.int64)
            place(f, level_f, g, level_g, blocks)
            place(g, level_g, f, level_f, blocks.transpose(0, 2, 1))
        M = sparse.csc_array((np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))))
        r = np.concatenate([R.reshape(-1, p + 1) for R in sums.UtXe])
        Y = splu(M, permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True}).solve(r)
        out = np.zeros((self.clusters.size, p, p + 1), dtype=Y.dtype)
        for f, R in enumerate(sums.UtXe):
            own = Y[starts[f] : starts[f + 1]].reshape(R.shape)
            out += add_levels(R[:, :, :p].transpose(0, 2, 1) @ own, self.clusters.of_level[f], self.clusters.size)
        return out


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


def solve_blocks(D, R):
    """D^-1 R for many small systems, (m, c, c) and (m, c, k)."""
    return R / D if D.shape[1] == 1 else np.linalg.solve(D, R)


def add_levels(blocks, group, size):
    """Sum blocks, (m, a, b), over the levels of each group, (size, a, b)."""
    m, a, b = blocks.shape
    pick = sparse.csr_array((np.ones(m), (group, np.arange(m))), shape=(size, m))
    return (pick @ np.ascontiguousarray(blocks).reshape(m, a * b)).reshape(size, a, b)
