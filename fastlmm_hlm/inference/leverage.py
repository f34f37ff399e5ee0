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

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import splu

from fastlmm_hlm.design.basis import Centring
from fastlmm_hlm.inference.resolvent import add_levels, solve_blocks

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
    system = System(fit)
    if system.is_nested():
        rows = NestedBlocks(system, design)
    elif system.core <= LARGEST_CORE:
        rows = CoreBlocks(system, design)
    else:
        rows = RowSolves(system, design)
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


def _columns(columns, basis: Centring, rows):
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
        products = fit._products
        p = products.p
        self.Lambda = [np.zeros(G.shape[1:]) for G in products.ZtWZ]
        for term, T in zip(fit._terms, fit._estimates.templates):
            B = fit._centrings[term.factor].B[term.columns, term.columns]
            self.Lambda[term.factor][term.columns, term.columns] = np.linalg.solve(B, T)
        self.D = [np.eye(len(L)) + L.T @ G @ L for L, G in zip(self.Lambda, products.ZtWZ)]
        self.r = [L.T @ R[:, :, :p] for L, R in zip(self.Lambda, products.ZtWXy)]
        self.pairs = {
            (f, g): (indptr, indices, self.Lambda[f].T @ values @ self.Lambda[g])
            for (f, g), (indptr, indices, values) in products.pairs.items()
        }
        self.nl = [len(D) for D in self.D]
        self.nc = [D.shape[1] for D in self.D]
        self.p = p
        self.starts = np.cumsum([0, *(nl * c for nl, c in zip(self.nl, self.nc))])
        self.core = int(self.starts[-1] - self.starts[1])

    def is_nested(self):
        """Whether every level of a factor lies in one level of each later factor."""
        return all((np.diff(indptr) == 1).all() for indptr, _, _ in self.pairs.values())

    def sparse(self, first=0):
        """M without the factors before `first`, csc."""
        at = self.starts[first:] - self.starts[first]
        rows, columns, values = [], [], []

        def place(f, lf, g, lg, blocks):
            c, d = blocks.shape[1:]
            rows.append((at[f - first] + lf[:, None, None] * c + np.arange(c)[:, None] + np.zeros((1, d), int)).ravel())
            columns.append((at[g - first] + lg[:, None, None] * d + np.arange(d) + np.zeros((c, 1), int)).ravel())
            values.append(blocks.ravel())

        for f in range(first, len(self.D)):
            levels = np.arange(self.nl[f], dtype=np.int64)
            place(f, levels, f, levels, self.D[f])
        for (f, g), (indptr, indices, blocks) in self.pairs.items():
            if f >= first:
                lf = np.repeat(np.arange(self.nl[f], dtype=np.int64), np.diff(indptr))
                lg = indices.astype(np.int64)
                place(f, lf, g, lg, blocks)
                place(g, lg, f, lf, blocks.transpose(0, 2, 1))
        size = int(at[-1])
        return sparse.csc_array(
            (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))), shape=(size, size)
        )


class NestedBlocks:
    """V between the levels of one branch of the tree, for every finest level."""

    def __init__(self, system, design):
        self.n, nf, p = design.n, len(system.D), system.p
        D, r = [d.copy() for d in system.D], [x.copy() for x in system.r]
        up = {key: values.copy() for key, (_, _, values) in system.pairs.items()}
        parent = {key: indices for key, (_, indices, _) in system.pairs.items()}
        regressions, own, solved = [], [], []
        for f in range(nf):                                    # leaves to root: eliminate
            later = range(f + 1, nf)
            rhs = np.concatenate([*(up[f, g] for g in later), r[f], np.broadcast_to(np.eye(D[f].shape[1]), D[f].shape)], axis=2)
            Y = solve_blocks(D[f], rhs)
            c, above = system.nc[f], sum(system.nc[g] for g in later)
            regressions.append(Y[:, :, :above])
            solved.append(Y[:, :, above : above + p])
            own.append(Y[:, :, -c:])
            at = 0
            for g in later:
                taken = add_levels(up[f, g].transpose(0, 2, 1) @ Y[:, :, at : above + p], parent[f, g], system.nl[g])
                D[g] = D[g] - taken[:, :, : system.nc[g]]
                off = system.nc[g]
                for h in range(g + 1, nf):
                    up[g, h] = up[g, h] - taken[:, :, off : off + system.nc[h]]
                    off += system.nc[h]
                r[g] = r[g] - taken[:, :, off:]
                at += system.nc[g]
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
        c, nl = system.nc[0], system.nl[0]
        self.own = solve_blocks(system.D[0], np.broadcast_to(np.eye(c), system.D[0].shape))
        B = sparse.csr_array(system.sparse()[: system.starts[1], system.starts[1] :])
        inverse = sparse.bsr_array((self.own, np.arange(nl), np.arange(nl + 1)), shape=(nl * c, nl * c))
        self.E = sparse.csr_array(inverse @ B)
        self.S = np.linalg.inv(system.sparse(first=1).toarray() - (B.T @ self.E).toarray())
        r0 = system.r[0].reshape(nl * c, system.p)
        core = np.concatenate([x.reshape(len(x) * x.shape[1], system.p) for x in system.r[1:]])
        first = (self.own @ system.r[0]).reshape(nl * c, system.p)
        effects_core = self.S @ (core - self.E.T @ r0)
        effects = np.concatenate([first - self.E @ effects_core, effects_core])
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
        M = system.sparse()
        self.factor = splu(M, permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True})
        self.r = np.concatenate([x.reshape(nl * c, system.p) for x, nl, c in zip(system.r, system.nl, system.nc)])

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
