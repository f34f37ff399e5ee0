"""Satterthwaite's degrees of freedom of contrasts of the fixed effects.

The variance of a contrast is f(par, sigma) = sigma^2 l'C^-1 l.  Its estimate is
treated as a multiple of a chi-square variable whose first two moments are those
of the estimate, by the delta method (Giesbrecht & Burns 1985, Biometrics 41;
Fai & Cornelius 1996, J. Statist. Comput. Simul. 54):

    df = 2 f^2 / (g'A g),   g = gradient of f,   A = 2 (Hessian of -2 log likelihood)^-1

Here nothing but the Hessian with respect to par is computed anew, because
log sigma^2 can be profiled out exactly.  With N = n - p (n for ML), s = log r2(par)
and D the Hessian of the profiled criterion, g'A g becomes

    h' 2 D^-1 h + f^2 2/N,   h_i = sigma^2 l'C^-1 K_i C^-1 l + f ds/dpar_i

(K_i as in `projections`).  D is exact: the average information, its
complement tr(P V_i P V_j), and the curvature of Psi.  The trace costs one pass
over the levels when there is one grouping factor, q solves otherwise; with more
than `MOST_EFFECTS` random effects D comes from differences of the exact gradient,
one gradient per parameter.

Singular fits.  At a boundary only the parameters that still move Psi are free:
lambda has lost columns, and the others range over the covariances of that rank.
The derivatives of f and the mixed second derivatives vanish in the directions
left out, so this is what theta at the boundary gives too.  Directions in which
the criterion is flat (below FLAT of the diagonal) are left out as well.
"""

import numpy as np

from fastlmm_hlm.inference.projections import Projections

# Random effects of several grouping factors up to which the Hessian is exact.
MOST_EFFECTS = 2000
# Eigenvalues of the scaled Hessian below this are flat directions: about the rounding of its sums.
FLAT = 1e-8
# Step of the differences, relative to the scale of each parameter.  Their relative error is
# about the step, plus the rounding of the gradient (below 1e-13 of its parts) divided by it.
STEP = 1e-6
# Degrees of freedom this close are the same when those of an F-test are averaged.
SAME_DF = 1e-8


class Satterthwaite:
    """Covariance of the fixed effects and moments of its estimate.

    Parameters
    ----------
    criterion : LmmCriterion
    estimates : LmmEstimates
    x_basis : Centring of the fixed columns

    Attributes
    ----------
    vcov : ndarray (p, p)
        Of the user's fixed effects.
    free : ndarray of bool (m,)
        Parameters that are not on the boundary, in working coordinates.
    """

    name = "Satterthwaite"

    def __init__(self, criterion, estimates, x_basis):
        criterion, par = criterion.aligned_at(estimates.templates)
        projections = Projections(criterion, estimates)
        V, directions = criterion.directions(par)
        self.free = np.array([np.abs(v).max() > FLAT for v in V], dtype=bool)
        chosen = [direction for direction, kept in zip(directions, self.free) if kept]
        slope = projections.log_pwrss(chosen)
        self.hessian = self._hessian(criterion, projections, criterion.evaluate(par), chosen, slope)
        B, s2 = x_basis.B, estimates.sigma**2
        self.N = criterion.N
        self.vcov = s2 * B @ projections.Cinv @ B.T
        # derivatives of the covariance along the profile: (free parameters, p, p)
        K = projections.K(chosen)
        half = B @ projections.Cinv
        self.slopes = s2 * half @ K @ half.T + slope[:, None, None] * self.vcov
        self.inverse = generalized_inverse(self.hessian)

    def _hessian(self, criterion, projections, point, directions, slope):
        """Second derivatives of the profiled criterion with respect to the free parameters."""
        free = self.free
        if projections.one_factor or criterion.products.q <= MOST_EFFECTS:
            known = (point.hessian + point.average)[np.ix_(free, free)] + criterion.N * np.outer(slope, slope)
            return known - trace_of_products(projections, directions, criterion.reml)
        steps = STEP * criterion.scale_of(point.par)
        rows = []
        for i in np.flatnonzero(free):
            moved = point.par.copy()
            moved[i] += steps[i]
            rows.append((criterion.evaluate(moved).gradient - point.gradient)[free] / steps[i])
        H = np.array(rows).reshape(len(rows), len(rows))
        return (H + H.T) / 2.0

    def df(self, L):
        """Degrees of freedom of single contrasts.

        Parameters
        ----------
        L : ndarray (m, p)

        Returns
        -------
        ndarray (m,)
            NaN for a contrast without variance.
        """
        L = np.atleast_2d(np.asarray(L, dtype=float))
        variance = np.einsum("mp,pq,mq->m", L, self.vcov, L)
        h = np.einsum("mp,kpq,mq->mk", L, self.slopes, L)
        with np.errstate(invalid="ignore", divide="ignore"):
            return 1.0 / (np.einsum("mk,kl,ml->m", h, self.inverse, h) / variance**2 + 1.0 / self.N)

    def f_test(self, L, difference):
        """Joint test of several contrasts.

        With independent contrasts t_1 .. t_q of the same hypothesis F = sum t^2 / q,
        and E(sum t^2) = sum nu/(nu - 2) = q ddf / (ddf - 2) (Fai & Cornelius 1996).

        Parameters
        ----------
        L : ndarray (q, p)
        difference : ndarray (q,)
            L beta - rhs.

        Returns
        -------
        F, ndf, ddf : float
        """
        contrasts, t2 = independent_contrasts(L, difference, self.vcov)
        if not len(contrasts):
            return np.nan, 0.0, np.nan
        return float(t2.mean()), float(len(t2)), pooled_df(self.df(contrasts))


def trace_of_products(projections, directions, reml):
    """tr(P V_i P V_j) with P = H^-1 - H^-1 X C^-1 X'H^-1; H^-1 in its place for ML.  (m, m)"""
    out = projections.T(directions)
    if reml and projections.p:
        K, Cinv = projections.K(directions), projections.Cinv
        out = out - 2.0 * np.einsum("uv,ijvu->ij", Cinv, projections.Q(directions))
        CK = Cinv @ K
        out = out + np.einsum("iuv,jvu->ij", CK, CK)
    return out


def generalized_inverse(H):
    """Inverse of a symmetric matrix without the directions in which it is flat or bends down."""
    if not len(H):
        return H
    scale = np.sqrt(np.maximum(np.abs(np.diagonal(H)), np.finfo(float).tiny))
    values, vectors = np.linalg.eigh(H / np.outer(scale, scale))
    kept = values > FLAT
    half = vectors[:, kept] / np.sqrt(values[kept]) / scale[:, None]
    return half @ half.T


def independent_contrasts(L, difference, vcov, tolerance=np.sqrt(np.finfo(float).eps)):
    """Uncorrelated contrasts that span the rows of L, and their squared t statistics.

    Parameters
    ----------
    L : ndarray (q, p)
    difference : ndarray (q,)
    vcov : ndarray (p, p)
    tolerance : float
        Eigenvalues of L vcov L' below this share of the largest belong to no contrast.

    Returns
    -------
    contrasts : ndarray (r, p)
    t2 : ndarray (r,)
    """
    L = np.atleast_2d(np.asarray(L, dtype=float))
    values, vectors = np.linalg.eigh(L @ vcov @ L.T)
    kept = values > max(tolerance * values.max(initial=0.0), 0.0)
    return vectors[:, kept].T @ L, (vectors[:, kept].T @ difference) ** 2 / values[kept]


def pooled_df(nu):
    """Denominator degrees of freedom from those of independent contrasts.

    >>> round(pooled_df([10.0, 20.0]), 4)
    13.0769
    """
    nu = np.asarray(nu, dtype=float)
    if np.ptp(nu) < SAME_DF:
        return float(nu.mean())
    if (nu <= 2.0).any():
        return 2.0
    E = (nu / (nu - 2.0)).sum()
    return float(2.0 * E / (E - len(nu)))
