"""Adjustments of cluster-robust covariance matrices, in the dimension of the fixed effects.

With H_g the covariance of cluster g divided by sigma^2, M = (sum X_g'H_g^-1 X_g)^-1 and
residuals e_g, the estimators are M (sum_g s_g s_g') M with s_g = C_g e_g,
C_g = X_g'H_g^-1 A_g.  CR2 takes the symmetric A_g with A_g (H_g - X_g M X_g') A_g = H_g
(Bell & McCaffrey 2002; Pustejovsky & Tipton 2018, eqs. 9-11, target H_g), that is

    A_g = H_g (P_g)^-1/2,     P_g = (H_g - X_g M X_g') H_g.

Both matrices have n_g rows, but only C_g e_g and C_g X_g are needed.  From
P^-1/2 = 2/pi int_0^inf (t^2 + P)^-1 dt, with E = (t^2 + H^2)^-1 and Woodbury's identity,

    C_g' = H^-1 X + 2/pi int_0^inf H E X K(t) dt
    K(t) = (M^-1 - T)^-1 F,     T = X'H E X = Re R,     F = X'E X = Im R / t,     R = X'(H - itI)^-1 X

so p x p matrices do.  The integral is a sum over the nodes of Hale, Higham and
Trefethen (2008), whose error falls geometrically in their number.

References
----------
Bell, McCaffrey (2002), Survey Methodology 28(2).  Pustejovsky, Tipton (2018), JBES 36(4).
Hale, Higham, Trefethen (2008), SIAM J. Numer. Anal. 46(5), sec. 5 (method 3).
"""

import math
from dataclasses import dataclass

import numpy as np

# Share of a direction of the fixed effects that a cluster must leave to the others to be adjusted for it.
DETERMINED = 1e-10
# Relative error asked of the quadrature.
QUADRATURE_ERROR = 1e-14
# Points and radius (in units of the smallest eigenvalue of H) of the circle on which derivatives at 0 are taken.
CIRCLE_POINTS, CIRCLE_RADIUS = 24, 0.2


@dataclass(frozen=True)
class Adjusted:
    """One type of estimator, cluster by cluster, in a basis of X in which M = I.

    Attributes
    ----------
    scores : ndarray (G, p)          C_g e_g
    CX : ndarray (G, p, p)           C_g X_g
    CHC : ndarray (G, p, p)          C_g H_g C_g'
    """

    scores: np.ndarray
    CX: np.ndarray
    CHC: np.ndarray

    def meat(self):
        """sum of s_g s_g', (p, p)."""
        return self.scores.T @ self.scores

    def scaled(self, factor):
        """The same with C_g times a number."""
        return Adjusted(factor * self.scores, factor * self.CX, factor**2 * self.CHC)


def unadjusted(at_zero):
    """CR0: A_g = I.

    Parameters
    ----------
    at_zero : ndarray (G, p, p+1)
        X'H^-1 [X e] by cluster.
    """
    T0, s = at_zero[:, :, :-1], at_zero[:, :, -1]
    return Adjusted(s, T0, T0)


def jackknife(at_zero):
    """CR3: A_g = (I - X_g M X_g'H_g^-1)^-1, so C_g = (I - T0)^-1 X_g'H_g^-1; pseudo-inverse where singular."""
    T0, s = at_zero[:, :, :-1], at_zero[:, :, -1]
    values, vectors = np.linalg.eigh(T0)
    left = 1.0 - values
    inverse = np.where(left > DETERMINED, 1.0 / np.where(left > DETERMINED, left, 1.0), 0.0)
    J = vectors * inverse[:, None, :] @ vectors.transpose(0, 2, 1)
    return Adjusted((J @ s[:, :, None])[:, :, 0], J @ T0, J @ T0 @ J)


def bias_reduced(at_zero, resolvent, least, largest):
    """CR2.

    Parameters
    ----------
    at_zero : ndarray (G, p, p+1)
    resolvent : callable
        z -> X'(H - zI)^-1 [X e] by cluster, complex (G, p, p+1), in the basis in which M = I.
    least, largest : float
        Bounds of the eigenvalues of H.

    Returns
    -------
    Adjusted
    """
    T0, s = at_zero[:, :, :-1], at_zero[:, :, -1]
    p = T0.shape[1]
    shares, directions = np.linalg.eigh(T0)
    left = 1.0 - shares
    determined = left < DETERMINED
    free = float(left[~determined].min(initial=1.0))
    t, weight = nodes(free * least**2, largest**2)

    CX, scores, CBC = T0.copy(), s.copy(), T0.copy()
    special = np.flatnonzero(determined.any(axis=1))
    g = np.zeros((len(special), p, p))
    if len(special):
        second, third = derivatives(resolvent, least, special)
        for k, c in enumerate(special):
            a = directions[c][:, determined[c]]
            g[k] = a @ np.linalg.solve(a.T @ third[k, :, :p] @ a, a.T @ second[k, :, :p])
        removed = g.transpose(0, 2, 1) @ second
        CX[special] -= removed[:, :, :p]
        scores[special] -= removed[:, :, p]
        CBC[special] -= second[:, :, :p] @ g

    eye = np.eye(p)
    for tj, wj in zip(t, weight):
        R = resolvent(1j * tj)
        T, F = R.real, R.imag[:, :, :p] / tj
        if len(special):
            F[special] -= (T0[special] - T[special, :, :p]) / tj**2 @ g
        K = np.linalg.solve(eye - T[:, :, :p], F)
        change = wj * K.transpose(0, 2, 1) @ T
        CX += change[:, :, :p]
        scores += change[:, :, p]
    return Adjusted(scores, CX, CBC + CX @ CX.transpose(0, 2, 1))


def nodes(smallest, largest):
    """Nodes t and weights w with x^-1/2 = sum w / (t^2 + x) for smallest <= x <= largest.

    Hale, Higham, Trefethen (2008), method 3: the trapezoidal rule after a
    conformal map by Jacobi's elliptic functions.
    """
    from scipy.special import ellipj, ellipk, ellipkm1

    smallest *= 0.99
    k2 = smallest / largest                              # complementary parameter, small and known to all digits
    count = max(8, math.ceil(-math.log(QUADRATURE_ERROR) * (-math.log(k2) + 3.0) / (2.0 * math.pi**2)))
    period = float(ellipkm1(k2) if k2 < 0.5 else ellipk(1.0 - k2))
    u = (np.arange(count) + 0.5) * period / count
    upper = u > period / 2.0                             # there from the values at K - u, where nothing cancels
    sn, cn, dn, _ = ellipj(np.where(upper, period - u, u), 1.0 - k2)
    k = math.sqrt(k2)
    ratio = np.where(upper, cn / (k * sn), sn / cn)
    slope = np.where(upper, dn / (k * sn**2), dn / cn**2)
    return math.sqrt(smallest) * ratio, 2.0 * period * math.sqrt(smallest) / (math.pi * count) * slope


def derivatives(resolvent, least, clusters):
    """X'H^-2 [X e] and X'H^-3 [X e] of some clusters, by Cauchy's integral around 0."""
    radius = CIRCLE_RADIUS * least
    angles = 2.0 * np.pi * (np.arange(CIRCLE_POINTS // 2) + 0.5) / CIRCLE_POINTS
    second = third = 0.0
    for angle in angles:                   # the other half circle gives the conjugates
        z = radius * np.exp(1j * angle)
        R = resolvent(z)[clusters]
        second = second + 2.0 / CIRCLE_POINTS * (R / z).real
        third = third + 2.0 / CIRCLE_POINTS * (R / z**2).real
    return second, third


def satterthwaite(adjusted, contrasts):
    """Degrees of freedom of contrasts of the fixed effects (Pustejovsky & Tipton 2018, sec. 4.1).

    With gamma_gh = [g = h] c'C_g H_g C_g'c - (C_g X_g)'c . (C_h X_h)'c (in the basis with
    M = I), the estimate of Var(c'beta) is a quadratic form with mean sum gamma_gg and
    variance 2 sum gamma_gh^2 under the model.

    Parameters
    ----------
    adjusted : Adjusted
    contrasts : ndarray (m, p)

    Returns
    -------
    ndarray (m,)
    """
    out = np.empty(len(contrasts))
    for k, c in enumerate(contrasts):
        own = np.einsum("i,gij,j->g", c, adjusted.CHC, c)
        h = np.einsum("i,gij->gj", c, adjusted.CX)
        length2 = (h**2).sum(axis=1)
        gamma = own - length2
        squares = ((h.T @ h) ** 2).sum() + (gamma**2 - length2**2).sum()
        out[k] = gamma.sum() ** 2 / squares
    return out
