"""Leverages: the diagonal of the hat matrix of the conditional fit at the estimated theta.

With M = Lambda'Z'WZ Lambda + I and the fixed effects' part by its Schur complement,

    h_i = w_i (z_i'V z_i + d_i'(X'H^-1 X)^-1 d_i)     V = Lambda M^-1 Lambda'     d_i = x_i - X'WZ V z_i

(Bates et al. 2015, sec. 5.6, in terms of L and RX.)  A row meets one level of each
factor, so only blocks of V between levels that meet are needed.  Three ways:

nested factors     from the top of the tree down, block by block: cost of one evaluation of the criterion
a core of at most  all factors but the biggest are inverted densely, the biggest comes level by level:
LARGEST_CORE       core^3 + nonzeros(Z'Z) x core
anything else      one sparse triangular solve per row: rows x nonzeros(L)
"""

from collections import namedtuple

import numpy as np
from scipy import sparse

from fastlmm_hlm.inference import elimination

LARGEST_CORE = 8000
# Rows, or elements of a dense slice of V, at a time.
ROWS, ELEMENTS = 65_536, 4_000_000


def leverages(fit, caller="hatvalues"):
    """h_i of every row of the fit, ndarray (n,).

    Raises
    ------
    RowsNotKeptError
        If the fit was pickled without its rows.
    """
    design = fit._rows_or_raise(caller).design
    rows = _blocks(System(fit), design)
    out = np.empty(design.n)
    B_inverse = np.linalg.inv(fit._x_centring.B)
    root = np.linalg.solve(fit._estimates.RX, np.eye(design.p))          # inverse of RX in the user's columns
    root = B_inverse @ root
    for chosen in rows.slices():
        z = [_columns(f.columns, f.centring, chosen) for f in design.factors]
        codes = [f.codes[chosen] for f in design.factors]
        h, effects = rows.quadratic(codes, z)
        d = (_columns(design.x_columns, fit._x_centring, chosen) - effects) @ root
        out[chosen] = h + (d**2).sum(axis=1)
    return out if design.weights is None else out * design.weights


def variances_of(fit, codes, z):
    """Var(z'b | y, beta, theta) of combinations of random effects, (k,).

    Parameters
    ----------
    fit : LinearMixedModel
    codes : list of ndarray of int (k,), per grouping factor
        The level of each factor that a combination meets.
    z : list of ndarray (k, c), per grouping factor
        Its values in the user's columns, all zero where the factor does not count.
    """
    basis = [np.where((u != 0.0).any(axis=1)[:, None], u - B.centre, 0.0) for u, B in zip(z, fit._centrings)]
    rows = _blocks(System(fit), _Levels(len(z[0]), [_Codes(codes[0])]))
    out = np.empty(len(z[0]))
    for chosen in rows.slices():
        out[chosen] = rows.quadratic([c[chosen] for c in codes], [u[chosen] for u in basis])[0]
    return fit._estimates.sigma**2 * out


_Levels, _Codes = namedtuple("_Levels", "n factors"), namedtuple("_Codes", "codes")


def _blocks(system, design):
    """The way that fits the model."""
    if system.is_nested():
        return NestedBlocks(system, design)
    return CoreBlocks(system, design) if system.core <= LARGEST_CORE else RowSolves(system, design)


def _columns(columns, basis, rows):
    """Centred columns at some rows, (k, c)."""
    out = np.empty((len(rows), len(columns)))
    for j, (column, centre) in enumerate(zip(columns, basis.centre)):
        out[:, j] = (1.0 if column is None else column[rows]) - centre
    return out


class System:
    """M and Lambda'Z'WX of a fit, in the columns Z Lambda.

    Attributes
    ----------
    Lambda : list of ndarray (c, c)            of the centred columns
    D : list of ndarray (nl, c, c)             diagonal blocks of M
    r : list of ndarray (nl, c, p)             Lambda'Z'WX
    pairs : dict (f, g) -> (indptr, indices, values)
    """

    def __init__(self, fit):
        products, p = fit._products, fit._products.p
        self.Lambda = elimination.templates(fit)
        UtU, self.r, self.pairs = elimination.in_spherical_columns(
            self.Lambda, products.ZtWZ, [R[:, :, :p] for R in products.ZtWXy], products.pairs
        )
        self.D = [U + np.eye(U.shape[1]) for U in UtU]
        self.nl = [len(D) for D in self.D]
        self.nc = [D.shape[1] for D in self.D]
        self.p = p
        self.starts = elimination.starts_of(self.D)
        self.core = int(self.starts[-1] - self.starts[1])

    def is_nested(self):
        """Whether every level of a factor lies in one level of each later factor."""
        return elimination.is_nested(self.pairs)


class NestedBlocks:
    """V between the levels of one branch of the tree, for every finest level."""

    def __init__(self, system, design):
        self.n, nf = design.n, len(system.D)
        parent = {key: indices for key, (_, indices, _) in system.pairs.items()}
        D, _, regressions, solved = zip(*elimination.eliminate(system.D, system.r, system.pairs))
        own = [elimination.invert_blocks(block) for block in D]
        branch, effects = own[-1], solved[-1]                  # root to leaves: blocks of M^-1
        for f in range(nf - 2, -1, -1):
            joint, above = branch[parent[f, f + 1]], effects[parent[f, f + 1]]
            E = regressions[f]
            cross = -E @ joint
            branch = np.concatenate([
                np.concatenate([own[f] - cross @ E.transpose(0, 2, 1), cross], axis=2),
                np.concatenate([cross.transpose(0, 2, 1), joint], axis=2),
            ], axis=1)
            effects = np.concatenate([solved[f] - E @ above, above], axis=1)
        k = sum(system.nc)
        Lambda, at = np.zeros((k, k)), 0
        for L in system.Lambda:
            Lambda[at : at + len(L), at : at + len(L)] = L
            at += len(L)
        self.V, self.effects = Lambda @ branch @ Lambda.T, Lambda @ effects

    def slices(self):
        step = max(1, min(ROWS, ELEMENTS // self.V.shape[1] ** 2))
        return (np.arange(first, min(first + step, self.n)) for first in range(0, self.n, step))

    def quadratic(self, codes, z):
        """z'Vz, (k,), and X'WZ V z, (k, p), of some rows."""
        z = np.concatenate(z, axis=1)
        V = self.V[codes[0]]
        h = np.matmul(np.matmul(z[:, None, :], V), z[:, :, None])[:, 0, 0]
        return h, np.matmul(z[:, None, :], self.effects[codes[0]])[:, 0, :]


class CoreBlocks:
    """V for crossed factors: a dense inverse of the core, and the biggest factor by its regressions on it."""

    def __init__(self, system, design):
        self.system = system
        self.levels = np.asarray(design.factors[0].codes)
        self.order = np.argsort(self.levels, kind="stable")
        c, nl, q0 = system.nc[0], system.nl[0], system.starts[1]
        self.own = elimination.invert_blocks(system.D[0])
        B = sparse.csr_array(elimination.sparse_system(system.D, system.pairs)[:q0, q0:])
        inverse = sparse.bsr_array((self.own, np.arange(nl), np.arange(nl + 1)), shape=(nl * c, nl * c))
        self.E = sparse.csr_array(inverse @ B)
        core = elimination.sparse_system(system.D, system.pairs, first=1).toarray()
        self.S = np.linalg.inv(core - (B.T @ self.E).toarray())
        r = elimination.stacked(system.r)
        effects_core = self.S @ (r[q0:] - self.E.T @ r[:q0])
        effects = np.concatenate([inverse @ r[:q0] - self.E @ effects_core, effects_core])
        self.effects = [
            (L @ effects[a:b].reshape(nl_f, nc_f, system.p))
            for L, a, b, nl_f, nc_f in zip(system.Lambda, system.starts, system.starts[1:], system.nl, system.nc)
        ]

    def slices(self):
        """Rows, by whole levels of the first factor."""
        sorted_levels = self.levels[self.order]
        c = self.system.nc[0]
        step = max(1, ELEMENTS // max(1, c * self.system.core))
        for low in range(0, self.system.nl[0], step):
            a, b = np.searchsorted(sorted_levels, [low, low + step])
            self.low, high = low, min(low + step, self.system.nl[0])
            E = self.E[low * c : high * c].toarray()
            self.cross = -E @ self.S
            by_level = (high - low, c, E.shape[1])
            self.first = self.own[low:high] - np.einsum(
                "lcq,ldq->lcd", self.cross.reshape(by_level), E.reshape(by_level), optimize=True
            )
            self.cross = self.cross.reshape(by_level)
            for first in range(a, b, ROWS):
                yield self.order[first : min(first + ROWS, b)]

    def quadratic(self, codes, z):
        """As in `NestedBlocks`."""
        system = self.system
        u = [x @ L for x, L in zip(z, system.Lambda)]
        local = codes[0] - self.low
        h = np.einsum("nc,ncd,nd->n", u[0], self.first[local], u[0])
        places = [
            system.starts[f] - system.starts[1] + codes[f].astype(np.int64)[:, None] * system.nc[f] + np.arange(system.nc[f])
            for f in range(1, len(u))
        ]
        for f, at in enumerate(places, start=1):
            for i in range(system.nc[f]):
                for k in range(system.nc[0]):
                    h += 2.0 * u[0][:, k] * u[f][:, i] * self.cross[local, k, at[:, i]]
                for g, other in enumerate(places, start=1):
                    for j in range(system.nc[g]):
                        h += u[f][:, i] * u[g][:, j] * self.S[at[:, i], other[:, j]]
        effects = sum(np.einsum("nc,ncp->np", x, G[code]) for x, G, code in zip(z, self.effects, codes))
        return h, effects


class RowSolves:
    """V by a sparse solve per row, for crossed factors whose core is too large to invert."""

    def __init__(self, system, design):
        self.system, self.n = system, design.n
        self.factor = elimination.factorized(elimination.sparse_system(system.D, system.pairs))
        self.r = elimination.stacked(system.r)

    def slices(self):
        step = max(1, ELEMENTS // self.system.starts[-1])
        return (np.arange(first, min(first + step, self.n)) for first in range(0, self.n, step))

    def quadratic(self, codes, z):
        """As in `NestedBlocks`."""
        system, k = self.system, len(codes[0])
        U = np.zeros((system.starts[-1], k))
        for f, (x, L) in enumerate(zip(z, system.Lambda)):
            u = x @ L
            for j in range(system.nc[f]):
                U[system.starts[f] + codes[f].astype(np.int64) * system.nc[f] + j, np.arange(k)] = u[:, j]
        Y = self.factor.solve(U)
        return (U * Y).sum(axis=0), Y.T @ self.r
