"""Draws of the errors of beta-hat and b from their joint normal distribution given theta, N(0, sigma^2 C^-1).

    beta* = beta-hat + sigma RX^-1 e        b* = b-hat - Lambda M^-1 Lambda'Z'WX (beta* - beta-hat) + sigma Lambda u*

with u* ~ N(0, M^-1) drawn by the elimination order of the fit: the effects of all factors but the
biggest are drawn at once and kept, those of a level of the biggest follow from them and from normal numbers
of its own stream.  So memory does not grow with the levels of the biggest factor, nor with the rows.
"""

import numpy as np
from scipy import sparse

from fastlmm_hlm.inference import elimination, jointrows
from fastlmm_hlm.inference.simulation import generator_of, template_of_factor

# Children of the seed sequence: the fixed effects, the core, the streams of levels, then one per block of rows.
FIXED, CORE, LEVELS, FIRST_FREE = 0, 1, 2, 3


class JointDraws:
    """Errors of beta-hat and of the effects of levels in `n_sims` draws.

    Parameters
    ----------
    fit : LinearMixedModel
        Its rows are not needed.
    n_sims : int
    sequence : numpy.random.SeedSequence
    known : ndarray of bool (p,)
        Fixed effects whose draws are their estimates.

    Attributes
    ----------
    beta : ndarray (p, n_sims)
        beta* - beta-hat in the user's columns.
    """

    def __init__(self, fit, n_sims, sequence, known):
        e, self.n_sims = fit._estimates, n_sims
        self.sigma, self.fit = e.sigma, fit
        streams = np.random.SeedSequence(sequence.entropy, spawn_key=(*sequence.spawn_key, LEVELS))
        self.key = streams.generate_state(2, np.uint64)
        self.beta = e.sigma * np.linalg.solve(e.RX, generator_of(sequence, FIXED).standard_normal((e.p, n_sims)))
        self.beta[known] = 0.0
        self.centred_beta = fit._x_centring.inverse @ self.beta
        self.system = jointrows.System(fit)
        rng = generator_of(sequence, CORE)
        made = _TreeNoise if self.system.is_nested() else _CoreNoise
        self.noise = made(self.system, n_sims, rng)
        self.templates = [template_of_factor(fit._terms, e.templates, f, c) for f, c in enumerate(self.system.nc)]

    def effects(self, f, levels):
        """b* - b-hat of some levels of factor f, for the factor's columns as the user has them.

        Parameters
        ----------
        f : int
        levels : ndarray of int (k,)
            Beyond the levels of the fit: new ones, whose effects are drawn from their prior.

        Returns
        -------
        ndarray (k, c, n_sims)
        """
        nl, c = self.system.nl[f], self.system.nc[f]
        out = np.empty((len(levels), c, self.n_sims))
        new = levels >= nl
        if new.any():
            out[new] = self.sigma * (self.templates[f] @ self._normals(f, levels[new]))
        if not new.all():
            seen = levels[~new]
            u = self.noise.effects(f, seen, lambda: self._normals(f, seen))
            centred = self.sigma * (self.system.Lambda[f] @ u) - self.noise.slopes[f][seen] @ self.centred_beta
            out[~new] = self.fit._centrings[f].B @ centred
        return out

    def _normals(self, f, levels):
        """Normal numbers of each level, from a stream of its own: (k, c, n_sims)."""
        shape = (self.system.nc[f], self.n_sims)
        out = np.empty((len(levels), *shape))
        for k, level in enumerate(levels.tolist()):
            bits = np.random.Philox(key=self.key, counter=[0, 0, level, f])
            np.random.Generator(bits).standard_normal(out=out[k])
        return out


class _TreeNoise:
    """u* of nested factors, from the root of the tree down."""

    def __init__(self, system, n_sims, rng):
        tree = jointrows.TreeRows(system)
        self.parent, self.regressions = tree.parent, tree.regressions
        self.roots = [np.linalg.cholesky(own) for own in tree.own]
        self.slopes, nf = tree.effects, len(system.nl)
        self.drawn = {}
        for f in range(nf - 1, 0, -1):
            own = self.roots[f] @ rng.standard_normal((system.nl[f], system.nc[f], n_sims))
            self.drawn[f] = own - self._from_above(f, np.arange(system.nl[f]))

    def _from_above(self, f, levels):
        above = [drawn[self.parent[f, g][levels]] for g, drawn in sorted(self.drawn.items()) if g > f]
        return self.regressions[f][levels] @ np.concatenate(above, axis=1) if above else 0.0

    def effects(self, f, levels, normals):
        """u* of some levels, (k, c, n_sims)."""
        if f in self.drawn:
            return self.drawn[f][levels]
        return self.roots[f][levels] @ normals() - self._from_above(f, levels)


class _CoreNoise:
    """u* of crossed factors: all but the biggest together."""

    def __init__(self, system, n_sims, rng):
        self.system, q0 = system, system.starts[1]
        own = elimination.invert_blocks(system.D[0])
        self.root = np.linalg.cholesky(own)
        B = sparse.csr_array(elimination.sparse_system(system.D, system.pairs)[:q0, q0:])
        inverse = sparse.bsr_array((own, np.arange(len(own)), np.arange(len(own) + 1)), shape=(q0, q0))
        self.E = sparse.csr_array(inverse @ B)
        S = sparse.csc_array(elimination.sparse_system(system.D, system.pairs, first=1) - B.T @ self.E)
        normals = rng.standard_normal((system.core, n_sims))
        self.core, solve = _draw_core(S, normals)
        r = elimination.stacked(system.r)
        of_core = solve(r[q0:] - self.E.T @ r[:q0])
        stacked = np.concatenate([inverse @ r[:q0] - self.E @ of_core, of_core])
        self.slopes = [
            L @ stacked[a:b].reshape(nl, nc, system.p)
            for L, a, b, nl, nc in zip(system.Lambda, system.starts, system.starts[1:], system.nl, system.nc)
        ]

    def effects(self, f, levels, normals):
        """u* of some levels, (k, c, n_sims)."""
        starts, c = self.system.starts, self.system.nc[f]
        if f:
            at = starts[f] - starts[1] + levels.astype(np.int64)[:, None] * c + np.arange(c)
            return self.core[at]
        rows = (levels.astype(np.int64)[:, None] * c + np.arange(c)).ravel()
        return self.root[levels] @ normals() - (self.E[rows] @ self.core).reshape(len(levels), c, -1)


def _draw_core(S, normals):
    """N(0, S^-1) from normal numbers, and a function that solves with S."""
    if S.shape[0] <= jointrows.LARGEST_CORE:
        L = np.linalg.cholesky(S.toarray())
        return np.linalg.solve(L.T, normals), lambda r: np.linalg.solve(L.T, np.linalg.solve(L, r))
    from scipy.sparse.linalg import splu, spsolve_triangular

    # S = P'L D L'P; without pivoting the factor of a positive definite matrix stays symmetric
    factor = splu(S, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True})
    scaled = normals / np.sqrt(factor.U.diagonal())[:, None]
    drawn = spsolve_triangular(sparse.csr_array(factor.L.T), scaled, lower=False, unit_diagonal=True)
    return drawn[factor.perm_c], factor.solve
