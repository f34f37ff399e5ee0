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

(K_i as in `projections`).  D is exact: the average information, its complement
tr(P V_i P V_j), and the curvature of Psi.  The trace costs one pass over the
levels of the first grouping factor, and dense algebra of the order of the others'
effects that are connected; where that is above `MOST_CORE`, D comes from
differences of the exact gradient, one gradient per parameter.

Singular fits.  At a boundary only the parameters that still move Psi are free:
lambda has lost columns, and the others range over the covariances of that rank.
The derivatives of f and the mixed second derivatives vanish in the directions
left out, so this is what theta at the boundary gives too.  Directions in which
the criterion is flat (below FLAT of the diagonal) are left out as well.
"""

import numpy as np

from fastlmm_hlm.inference.projectedeffects import core_parts, dense_order
from fastlmm_hlm.inference.projections import Projections

# Order of the dense matrices up to which the Hessian is exact.
MOST_CORE = 2500
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
        working, directions = criterion.directions(par)
        self.free = np.array([np.abs(V).max() > FLAT for V in working], dtype=bool)
        chosen = [direction for direction, kept in zip(directions, self.free) if kept]
        part = core_parts(criterion.products)
        exact = dense_order(part) <= MOST_CORE
        projections = Projections(criterion, estimates, x_basis, chosen, part if exact else None)
        slope = projections.log_pwrss
        self.hessian = (exact_hessian if exact else differences)(criterion, par, self.free, projections)
        self.inverse = generalized_inverse(self.hessian)
        B, s2 = x_basis.B, estimates.sigma**2
        self.N = criterion.N
        self.vcov = s2 * B @ projections.Cinv @ B.T
        # derivatives of the covariance along the profile: (free parameters, p, p)
        half = B @ projections.Cinv
        self.slopes = s2 * half @ projections.K @ half.T + slope[:, None, None] * self.vcov

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


def exact_hessian(criterion, par, free, projections):
    """Second derivatives of the profiled criterion with respect to the free parameters.

    N (2 q_ij / r2 - s_i s_j) - tr(P V_i P V_j) + sum of g_Psi d2Psi, with s = d log r2 and
    g_Psi = sum_l (Z'PZ)_ll - N / r2 sum_l e_l e_l' (Searle, Casella & McCulloch 1992, ch. 6).

    Parameters
    ----------
    criterion : LmmCriterion
    par : ndarray (m,)
    free : ndarray of bool (m,)
    projections : Projections
        For the directions of the free parameters.

    Returns
    -------
    ndarray (free, free)
    """
    N, reml, slope = criterion.N, criterion.reml, projections.log_pwrss
    if not free.any():
        return np.zeros((0, 0))
    known = N * (2.0 * projections.information / projections.pwrss - np.outer(slope, slope))
    bend = np.zeros((len(par), len(par)))
    for term, s, T, sums, score in (
        (term, s, T, projections.sums_of_blocks(reml)[term.factor], projections.score[term.factor])
        for term, s, T in zip(criterion.terms, criterion.slices, criterion.scales)
    ):
        g_Psi = (sums - N / projections.pwrss * score)[term.columns, term.columns]
        bend[s, s] = term.covariance.curvature(par[s], T.T @ g_Psi @ T)
    return known - projections.traces_of_products(reml) + bend[np.ix_(free, free)]


def differences(criterion, par, free, projections):
    """The same from differences of the exact gradient; parameters as for `exact_hessian`."""
    at, steps = criterion.evaluate(par).gradient, STEP * criterion.scale_of(par)
    rows = []
    for i in np.flatnonzero(free):
        moved = par.copy()
        moved[i] += steps[i]
        rows.append((criterion.evaluate(moved).gradient - at)[free] / steps[i])
    H = np.array(rows).reshape(len(rows), len(rows))
    return (H + H.T) / 2.0


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
