"""How the precision of the fixed effects depends on the variance components.

With H = W^-1 + Z Psi Z' (Var(y) = sigma^2 H) and C = X'H^-1 X, the covariance of
the fixed effects is sigma^2 C^-1.  A direction V of the covariance of one
grouping factor's effects changes H by Z V Z', so everything that the methods of
Satterthwaite and of Kenward and Roger ask for is made of

    E = Z'H^-1 X          S = Z'H^-1 Z

    K_i  = X'H^-1 Z V_i Z'H^-1 X              = sum_l E_l' V_i E_l         (dC = -K_i)
    Q_ij = X'H^-1 Z V_i Z'H^-1 Z V_j Z'H^-1 X = E' V_i S V_j E
    T_ij = tr(H^-1 Z V_i Z' H^-1 Z V_j Z')    = sum_lm tr(V_i S_lm V_j S_ml)

S is never formed: `ProjectedEffects` has its parts (csrc eliminates the factor with
most levels in the same way).  Where the rest is too large for that, E alone comes
from the kernel, with one solve per fixed effect.

Arrays are those of the cross-products: per grouping factor (levels, columns, .),
columns and fixed effects in the centred basis of `CrossProducts`.
"""

from functools import cached_property

import numpy as np

from fastlmm_hlm._core.threads import one_blas_thread
from fastlmm_hlm.inference.projectedeffects import ProjectedEffects


class Projections:
    """E, K, Q and T at the estimates of one fit, for some directions.

    Parameters
    ----------
    criterion : LmmCriterion
    estimates : LmmEstimates
    x_basis : Centring of the fixed columns
    directions : sequence of (factor, ndarray (nc, nc))
    part : ndarray of int, or None
        From `core_parts`; without it the parts of S are not made, and there are only E,
        K and the scores.

    Attributes
    ----------
    Cinv : ndarray (p, p)
        (X'H^-1 X)^-1.
    E : list of ndarray (nl, nc, p+1), per grouping factor
        Z'H^-1 [X, y - X beta]; the last column is e.
    effects : ProjectedEffects or None
    """

    def __init__(self, criterion, estimates, x_basis, directions, part):
        self.products, self.directions = criterion.products, list(directions)
        self.p, self.pwrss = self.products.p, estimates.pwrss
        inverse = np.linalg.solve(estimates.RX @ x_basis.B, np.eye(self.p))
        self.Cinv = inverse @ inverse.T
        beta = np.linalg.solve(x_basis.B, estimates.beta - self.products.beta0)
        R = [np.ascontiguousarray(Z) for Z in self.products.ZtWXy]
        with one_blas_thread():
            if part is not None:
                self.effects = ProjectedEffects(self.products, criterion.relative_covariances(estimates.templates), part)
                self.E = self.effects.project(R)
            else:
                self.effects = None
                criterion.evaluate_templates(estimates.templates)
                AB = criterion.kernel.multiply(criterion.kernel.solve(R))
                self.E = [part - other for part, other in zip(R, AB)]
        for E in self.E:
            E[:, :, self.p] -= E[:, :, : self.p] @ beta

    @cached_property
    def _grams(self):
        return [np.tensordot(E, E, axes=(0, 0)) for E in self.E]                # (nc, p+1, nc, p+1)

    @property
    def score(self):
        """sum_l e_l e_l' per grouping factor: d r2 / dPsi = -score.  list of (nc, nc)"""
        return [gram[:, self.p, :, self.p] for gram in self._grams]

    @property
    def log_pwrss(self):
        """d log r2 in each direction, (m,)."""
        return np.array([-(V * self.score[f]).sum() / self.pwrss for f, V in self.directions])

    @cached_property
    def _K(self):
        """E'V_i E with e in the last place, (m, p+1, p+1)."""
        out = np.array([np.einsum("ab,aubv->uv", V, self._grams[f]) for f, V in self.directions])
        out = out.reshape(-1, self.p + 1, self.p + 1)
        return (out + out.transpose(0, 2, 1)) / 2.0

    @cached_property
    def _Q(self):
        """E'V_i S V_j E with e in the last place, (m, m, p+1, p+1)."""
        with one_blas_thread():
            return self.effects.quadratic_forms(self.E, self.directions)

    @property
    def K(self):
        """(m, p, p)."""
        return self._K[:, : self.p, : self.p]

    @property
    def Q(self):
        """(m, m, p, p); Q_ji is the transpose of Q_ij."""
        return self._Q[:, :, : self.p, : self.p]

    @cached_property
    def T(self):
        """(m, m)."""
        with one_blas_thread():
            return self.effects.traces_of_products(self.directions)

    @property
    def t(self):
        """tr(H^-1 Z V_i Z'), (m,)."""
        return np.array([(V * self.effects.sums[f]).sum() for f, V in self.directions])

    @property
    def information(self):
        """y'P Z V_i Z'P Z V_j Z'P y, P = H^-1 - H^-1 X C^-1 X'H^-1: the average information.  (m, m)"""
        h = self._K[:, : self.p, self.p]                                         # E'V_i e
        return self._Q[:, :, self.p, self.p] - h @ self.Cinv @ h.T

    def traces_of_products(self, reml):
        """tr(P Z V_i Z'P Z V_j Z'); H^-1 in the place of P unless reml.  (m, m)"""
        out = self.T
        if reml and self.p:
            CK = self.Cinv @ self.K
            out = out - 2.0 * np.einsum("uv,ijvu->ij", self.Cinv, self.Q) + np.einsum("iuv,jvu->ij", CK, CK)
        return out

    def sums_of_blocks(self, reml):
        """Per grouping factor the sum over levels of (Z'PZ)_ll, or (Z'H^-1 Z)_ll unless reml: list of (nc, nc)."""
        if not reml:
            return self.effects.sums
        p = self.p
        return [S - np.einsum("aubv,uv->ab", gram[:, :p, :, :p], self.Cinv) for S, gram in zip(self.effects.sums, self._grams)]
