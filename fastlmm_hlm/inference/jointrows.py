"""Variances of rows in the joint distribution of beta-hat and b, given theta.

With M = Lambda'Z'WZ Lambda + I and the fixed effects' part by its Schur complement, a row [x z] has

    [x z] C^-1 [x z]' = z'V z + d'(X'H^-1 X)^-1 d      V = Lambda M^-1 Lambda'      d = x - X'WZ V z

(Henderson 1975; Bates et al. 2015, sec. 5.6, in terms of L and RX.)  The row may be one of the
fit or a new one, which can bring together levels that never met in the data.  Three ways:

nested factors     from the levels of the row up to the root of their tree: cost of one evaluation of the
                   criterion, then a few small products per row
a core of at most  all factors but the biggest are inverted densely, the biggest comes level by level:
LARGEST_CORE       core^3 + nonzeros(Z'Z) x core
anything else      one sparse triangular solve per row: rows x nonzeros(L)
"""

import numpy as np
from scipy import sparse

from fastlmm_hlm.inference import elimination

LARGEST_CORE = 8000
# Elements of a temporary.
ELEMENTS = 4_000_000


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


def way_of(system):
    """The quadratic forms of a system: TreeRows, CoreRows or SolveRows."""
    if system.is_nested():
        return TreeRows(system)
    return CoreRows(system) if system.core <= LARGEST_CORE else SolveRows(system)


class JointRows:
    """[x z] C^-1 [x z]' of any rows.

    Parameters
    ----------
    fit : LinearMixedModel
        Its rows are not needed.

    Attributes
    ----------
    at_a_time : int
        Rows per call that keep temporaries small.
    """

    def __init__(self, fit):
        self.way = way_of(System(fit))
        self.at_a_time = self.way.at_a_time
        self.x_basis, self.z_basis = fit._x_centring, fit._centrings
        p = len(self.x_basis.B)
        root = np.linalg.solve(fit._estimates.RX, np.eye(p))          # inverse of RX in the user's columns
        self.root = np.linalg.inv(self.x_basis.B) @ root

    def __call__(self, x, codes, z):
        """The quadratic forms.

        Parameters
        ----------
        x : ndarray (k, p)
            In the user's columns.
        codes : list of ndarray of int (k,), per grouping factor
            Levels; any one where the row's z is zero.
        z : list of ndarray (k, c), per grouping factor
            In the user's columns; zero where a row has no effect of the factor.

        Returns
        -------
        ndarray (k,)
        """
        h, t = self.parts(x, codes, z)
        return h + (t**2).sum(axis=1)

    def parts(self, x, codes, z):
        """The quadratic form of z given x, (k,), and t, (k, p): the whole is h + t't."""
        centred = [_centred(part, basis) for part, basis in zip(z, self.z_basis)]
        h, effects = self.way.quadratic(codes, centred)
        return h, (_centred(x, self.x_basis) - effects) @ self.root


def _centred(columns, basis):
    return columns if basis.is_identity else columns @ basis.B


class TreeRows:
    """V for nested factors: u of a level is D^-1 noise minus its regression on the levels above."""

    def __init__(self, system):
        self.system, nf = system, len(system.D)
        self.parent = {key: indices for key, (_, indices, _) in system.pairs.items()}
        D, _, self.regressions, solved = zip(*elimination.eliminate(system.D, system.r, system.pairs))
        self.own = [elimination.invert_blocks(block) for block in D]
        solution = [None] * nf
        for f in range(nf - 1, -1, -1):
            above = [solution[g][self.parent[f, g]] for g in range(f + 1, nf)]
            solution[f] = solved[f] - self.regressions[f] @ np.concatenate(above, axis=1) if above else solved[f]
        self.effects = [L @ G for L, G in zip(system.Lambda, solution)]
        self.ends = [np.cumsum(system.nc[f + 1 :]) for f in range(nf)]
        self.at_a_time = max(1, ELEMENTS // max(1, sum(system.nc) ** 2))

    def order(self, codes):
        """Rows in their own order."""
        return np.arange(len(codes[0]))

    def quadratic(self, codes, z):
        """z'Vz, (k,), and X'WZ V z, (k, p), of some rows."""
        nf, h = len(self.own), 0.0
        paths = [self._path(s, codes[s], z[s] @ self.system.Lambda[s]) for s in range(nf)]
        for f in range(nf):
            for s in range(f + 1):
                node, w = paths[s][f]
                for t in range(s + 1):
                    other, v = paths[t][f]
                    part = np.einsum("kc,kcd,kd->k", w, self.own[f][node], v)
                    h = h + (part if s == t else np.where(node == other, 2.0 * part, 0.0))
        effects = sum(np.einsum("kc,kcp->kp", x, G[code]) for x, G, code in zip(z, self.effects, codes))
        return h, effects

    def _path(self, s, levels, w):
        """Level of factor f above the row's level of factor s, and what the row holds of its noise: dict f -> both."""
        nf, nc = len(self.own), self.system.nc
        path = {s: [levels, w]}
        path.update((f, [self.parent[s, f][levels], np.zeros((len(levels), nc[f]))]) for f in range(s + 1, nf))
        for f in range(s, nf - 1):
            node, w = path[f]
            up = np.einsum("kc,kca->ka", w, self.regressions[f][node])
            for g, part in enumerate(np.split(up, self.ends[f][:-1], axis=1), start=f + 1):
                path[g][1] = path[g][1] - part
        return path


class CoreRows:
    """V for crossed factors: a dense inverse of the core, and the biggest factor by its regressions on it."""

    def __init__(self, system):
        self.system, self.at_a_time = system, 65_536
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

    def order(self, codes):
        """Rows by level of the first factor, so that what a level costs is paid once."""
        return np.argsort(codes[0], kind="stable")

    def quadratic(self, codes, z):
        """As in `TreeRows`."""
        u = [x @ L for x, L in zip(z, self.system.Lambda)]
        places = [self._places(f, codes[f]) for f in range(1, len(u))]
        h = self._within_core(u, places)
        if u[0].any():
            h += self._of_first(u, codes[0], places)
        effects = sum(np.einsum("nc,ncp->np", x, G[code]) for x, G, code in zip(z, self.effects, codes))
        return h, effects

    def _places(self, f, codes):
        starts, c = self.system.starts, self.system.nc[f]
        return starts[f] - starts[1] + codes.astype(np.int64)[:, None] * c + np.arange(c)

    def _within_core(self, u, places):
        h = np.zeros(len(u[0]))
        for f, at in enumerate(places, start=1):
            for i in range(at.shape[1]):
                for g, other in enumerate(places, start=1):
                    for j in range(other.shape[1]):
                        h += u[f][:, i] * u[g][:, j] * self.S[at[:, i], other[:, j]]
        return h

    def _of_first(self, u, levels, places):
        """What the first factor adds, for a few of its levels at a time."""
        h, c = np.zeros(len(levels)), self.system.nc[0]
        used, local = np.unique(levels, return_inverse=True)
        step = max(1, ELEMENTS // max(1, c * self.system.core))
        order = np.argsort(local, kind="stable") if len(used) > step else np.arange(len(levels))
        for low in range(0, len(used), step):
            some = used[low : low + step]
            chosen = order if len(used) <= step else order[slice(*np.searchsorted(local[order], [low, low + step]))]
            E = self.E[(some[:, None] * c + np.arange(c)).ravel()].toarray()
            cross = (-E @ self.S).reshape(len(some), c, -1)
            first = self.own[some] - np.einsum("lcq,ldq->lcd", cross, E.reshape(cross.shape), optimize=True)
            at, w = local[chosen] - low, u[0][chosen]
            h[chosen] = np.einsum("nc,ncd,nd->n", w, first[at], w)
            for f, place in enumerate(places, start=1):
                for i in range(place.shape[1]):
                    for k in range(c):
                        h[chosen] += 2.0 * w[:, k] * u[f][chosen, i] * cross[at, k, place[chosen, i]]
        return h


class SolveRows:
    """V by a sparse solve per row, for crossed factors whose core is too large to invert."""

    def __init__(self, system):
        self.system = system
        self.factor = elimination.factorized(elimination.sparse_system(system.D, system.pairs))
        self.r = elimination.stacked(system.r)
        self.at_a_time = max(1, ELEMENTS // int(system.starts[-1]))

    def order(self, codes):
        """Rows in their own order."""
        return np.arange(len(codes[0]))

    def quadratic(self, codes, z):
        """As in `TreeRows`."""
        system, k = self.system, len(codes[0])
        U = np.zeros((system.starts[-1], k))
        for f, (x, L) in enumerate(zip(z, system.Lambda)):
            u = x @ L
            for j in range(system.nc[f]):
                U[system.starts[f] + codes[f].astype(np.int64) * system.nc[f] + j, np.arange(k)] = u[:, j]
        Y = self.factor.solve(U)
        return (U * Y).sum(axis=0), Y.T @ self.r
