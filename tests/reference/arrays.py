"""Random models as plain arrays, and the kernels' cross-products of them."""

from dataclasses import dataclass

import numpy as np

from fastlmm_hlm._core import kernels
from reference.lmm_dense import DenseLmm, indicator_columns


@dataclass(frozen=True)
class Model:
    """Attributes
    ----------
    y : ndarray (n,)     X : ndarray (n, p), Fortran order     w : ndarray (n,) or None
    codes : list of int32 (n,)     nl : list of int     Z : list of ndarray (n, nc)
        Per grouping factor.
    """

    y: np.ndarray
    X: np.ndarray
    w: np.ndarray | None
    codes: list
    nl: list
    Z: list

    @property
    def weights(self):
        return np.ones(len(self.y)) if self.w is None else self.w

    def whole_Z(self):
        return np.hstack([indicator_columns(c, nl, Z) for c, nl, Z in zip(self.codes, self.nl, self.Z)])

    def whole_Lambda(self, templates):
        """The (q, q) relative covariance factor with these templates per factor."""
        return block_diagonal([np.kron(np.eye(nl), T) for nl, T in zip(self.nl, templates)])

    def dense(self, templates, reml):
        Lambda = self.whole_Lambda(templates)
        return DenseLmm(self.y, self.X, self.whole_Z(), Lambda @ Lambda.T, self.weights, reml)

    def rows(self, chosen):
        """The model of some rows, in that order; the levels stay."""
        w = None if self.w is None else self.w[chosen]
        codes = [np.ascontiguousarray(c[chosen]) for c in self.codes]
        return Model(self.y[chosen], np.asfortranarray(self.X[chosen]), w, codes, self.nl, [Z[chosen] for Z in self.Z])


def block_diagonal(blocks):
    q = sum(len(b) for b in blocks)
    out, at = np.zeros((q, q)), 0
    for b in blocks:
        out[at : at + len(b), at : at + len(b)] = b
        at += len(b)
    return out


def columns(X, centre=None):
    """The columns of an array as the kernels want them; a column of ones is given as None."""
    centre = np.zeros(X.shape[1]) if centre is None else centre
    return kernels.Columns([
        (None if (X[:, j] == 1.0).all() and len(X) else np.ascontiguousarray(X[:, j]), centre[j])
        for j in range(X.shape[1])
    ])


def zeros_for(model):
    """Cleared outputs: XyWXy, and per factor ZtWZ and ZtWXy."""
    p1 = model.X.shape[1] + 1
    ZtWZ = [np.zeros((nl, Z.shape[1], Z.shape[1])) for nl, Z in zip(model.nl, model.Z)]
    return np.zeros((p1, p1)), ZtWZ, [np.zeros((nl, Z.shape[1], p1)) for nl, Z in zip(model.nl, model.Z)]


def add_crossproducts(model, XyWXy, ZtWZ, ZtWXy):
    """Add the model's rows to the outputs."""
    x = columns(model.X)
    kernels.crossprod_fixed(x, model.y, model.w, XyWXy)
    for code, Z, G, R in zip(model.codes, model.Z, ZtWZ, ZtWXy):
        kernels.crossprod_factor(code, columns(Z), x, model.y, model.w, G, R)


def pairs_of(model):
    """Blocks of Z'WZ between every two factors."""
    return {
        (f, g): kernels.crossprod_pairs(
            model.codes[f], model.nl[f], columns(model.Z[f]), model.codes[g], model.nl[g], columns(model.Z[g]), model.w
        )
        for g in range(len(model.nl))
        for f in range(g)
    }


def kernel_of(model, route=kernels.BLOCK, threads=1):
    XyWXy, ZtWZ, ZtWXy = zeros_for(model)
    add_crossproducts(model, XyWXy, ZtWZ, ZtWXy)
    return kernels.LmmKernel(ZtWZ, ZtWXy, XyWXy, pairs_of(model), route, threads)


def flat(templates):
    return np.concatenate([T.ravel() for T in templates])


def random_templates(rng, model, size=1.0):
    """Lower triangular templates, one per factor."""
    return [np.tril(rng.normal(size=(Z.shape[1],) * 2)) * size for Z in model.Z]


def random_columns(rng, n, nc):
    """A constant and covariates, (n, nc)."""
    Z = rng.normal(size=(n, nc))
    if nc:
        Z[:, 0] = 1.0
    return Z


def nested_codes(rng, n, nl):
    """Each factor a coarsening of the one before."""
    codes = [rng.integers(nl[0], size=n)]
    for finer, levels in zip(nl, nl[1:]):
        codes.append(rng.integers(levels, size=finer)[codes[-1]])
    return codes


def crossed_codes(rng, n, nl):
    """Every level may meet every other."""
    return [rng.integers(levels, size=n) for levels in nl]


def chained_codes(rng, n, nl):
    """Levels along a line, each meeting its neighbours only."""
    rows = np.arange(n)
    return [np.clip(rows + rng.integers(-2, 3, size=n), 0, n - 1) * levels // n for levels in nl]


def clustered_codes(rng, n, nl, clusters=6):
    """Crossed inside clusters that do not meet; levels left over have no rows."""
    cluster = np.arange(n) * clusters // n
    return [cluster * (levels // clusters) + rng.integers(levels // clusters, size=n) for levels in nl]


LAYOUTS = {"nested": nested_codes, "crossed": crossed_codes, "chained": chained_codes, "clustered": clustered_codes}


def random_model(seed, n=60, p=2, nl=(7,), nc=(2,), weighted=False, layout="crossed"):
    """Rows with random level codes, covariates and response."""
    rng = np.random.default_rng(seed)
    codes = [c.astype(np.int32) for c in LAYOUTS[layout](rng, n, nl)]
    w = rng.uniform(0.2, 3.0, size=n) if weighted else None
    Z = [random_columns(rng, n, c) for c in nc]
    return Model(rng.normal(size=n), np.asfortranarray(random_columns(rng, n, p)), w, codes, list(nl), Z)
