"""Kenward and Roger's adjusted covariance and F-tests of the fixed effects.

Kenward & Roger (1997), Biometrics 53; the formulas as in Halekoh & Hojsgaard
(2014), J. Statist. Softw. 59(9), sec. 5, whose notation is used here.

Var(y) = Sigma = sum_r gamma_r G_r is linear in the variances and covariances:
G_0 = W^-1 with gamma_0 = sigma^2, and G_i = Z V_i Z', where the V_i span the
covariances that a random term may have.  Taken relative to sigma^2 (a constant
factor of a parameter changes nothing) and with H = Sigma / sigma^2:

    Phi = sigma^2 C^-1      Phi P_i = -C^-1 K_i      Phi Q_ij = C^-1 Q_ij
    W^-1 = IE,  2 IE_ij = T_ij - 2 tr(C^-1 Q_ij) + tr(C^-1 K_i C^-1 K_j)
    Phi_A = Phi + 2 Phi [ sum_ij W_ij (Q_ij - P_i Phi P_j) ] Phi

K, Q, T as in `projections`; those of G_0 follow from sum_r gamma_r G_r = Sigma.
Prior weights enter through W, and a variance estimated as zero takes part like
any other, since the model is linear in it.
"""

import numpy as np
from scipy.linalg import block_diag

from fastlmm_hlm.errors import ArgumentError
from fastlmm_hlm.inference.projectedeffects import core_parts, dense_order
from fastlmm_hlm.inference.projections import Projections
from fastlmm_hlm.inference.satterthwaite import independent_contrasts, pooled_df

# Order of the dense matrices above which they take gigabytes and minutes.
MOST_CORE = 10_000
# Eigenvalues of the scaled information below this belong to parameters that the data cannot tell apart.
FLAT = 1e-10
# Denominator degrees of freedom this close to 2 leave the scale of F undefined; it is then 1.
NEAR_TWO = 1e-2
# Terms of the moment formulas below this are rounding of zero.
ZERO = 1e-14


class KenwardRoger:
    """Adjusted covariance of the fixed effects and moments of Wald statistics.

    Parameters
    ----------
    criterion : LmmCriterion
    estimates : LmmEstimates
    x_basis : Centring of the fixed columns

    Attributes
    ----------
    vcov : ndarray (p, p)
        Adjusted, of the user's fixed effects.
    unadjusted : ndarray (p, p)

    Raises
    ------
    ArgumentError
        If a covariance is not linear in its parameters, or there are too many random effects.
    """

    name = "Kenward-Roger"

    def __init__(self, criterion, estimates, x_basis):
        part = core_parts(criterion.products)
        check_size(dense_order(part))
        directions, gamma, elements = linear_directions(criterion, estimates)
        projections = Projections(criterion, estimates, x_basis, directions, part)
        K, Q, T = with_residual(projections, gamma)
        Cinv = projections.Cinv
        CK = Cinv @ K
        IE = 0.5 * (T - 2.0 * np.einsum("uv,ijvu->ij", Cinv, Q) + np.einsum("iuv,jvu->ij", CK, CK))
        self.W = inverse_information(IE, elements)
        B, s2 = x_basis.B, estimates.sigma**2
        bend = np.einsum("ij,ijuv->uv", self.W, Q) - np.einsum("ij,iuw,wx,jxv->uv", self.W, K, Cinv, K, optimize=True)
        adjusted = s2 * (Cinv + Cinv @ (bend + bend.T) @ Cinv)
        self.unadjusted = s2 * B @ Cinv @ B.T
        self.vcov = B @ adjusted @ B.T
        # Phi P_i Phi without its sign, which enters only in pairs: (r, p, p)
        self._sensitivity = s2 * (B @ Cinv) @ K @ (B @ Cinv).T

    def df(self, L):
        """Degrees of freedom of single contrasts, (m,)."""
        L = np.atleast_2d(np.asarray(L, dtype=float))
        return np.array([self._moments(row[None])[1] for row in L])

    def f_test(self, L, difference):
        """Joint test of several contrasts: scaled F, ndf, ddf.

        Parameters
        ----------
        L : ndarray (q, p)
        difference : ndarray (q,)
            L beta - rhs.
        """
        L = np.atleast_2d(np.asarray(L, dtype=float))
        contrasts, _ = independent_contrasts(L, difference, self.unadjusted)
        if not len(contrasts):
            return np.nan, 0.0, np.nan
        _, t2 = independent_contrasts(L, difference, self.vcov)
        scale, ddf = self._moments(contrasts)
        return float(scale * t2.sum() / len(contrasts)), float(len(contrasts)), ddf

    def f_scale(self, L):
        """The factor of the scaled F statistic."""
        contrasts, _ = independent_contrasts(L, np.zeros(len(L)), self.unadjusted)
        return self._moments(contrasts)[0] if len(contrasts) else np.nan

    def _moments(self, L):
        """Scale of F and its denominator degrees of freedom, for independent rows L (q, p)."""
        q = len(L)
        LPhiL = L @ self.unadjusted @ L.T
        if not np.linalg.det(LPhiL) > 0.0:
            return np.nan, np.nan
        # tr(Theta Phi P_i Phi) and its square, Theta = L'(L Phi L')^-1 L
        R = np.linalg.solve(LPhiL, L @ self._sensitivity @ L.T)
        traces = np.einsum("iaa->i", R)
        A1 = traces @ self.W @ traces
        A2 = np.einsum("ij,iab,jba->", self.W, R, R)
        B = (A1 + 6.0 * A2) / (2.0 * q)
        if abs(A2) < ZERO:
            return 1.0, np.inf
        if q == 1:                       # the formulas below, with what cancels cancelled
            return 1.0, float(2.0 / A2)
        g = ((q + 1.0) * A1 - (q + 4.0) * A2) / ((q + 2.0) * A2)
        c = 3.0 * q + 2.0 * (1.0 - g)
        V0, V1, V2 = 1.0 + g / c * B, 1.0 - (q - g) / c * B, 1.0 - (q + 2.0 - g) / c * B
        rho = _ratio(1.0 - A2 / q, V1) ** 2 * (V0 if abs(V0) > ZERO else 0.0) / V2 / q
        ddf = 4.0 + (q + 2.0) / (q * rho - 1.0)
        scale = 1.0 if abs(ddf - 2.0) < NEAR_TWO else ddf * (1.0 - A2 / q) / (ddf - 2.0)
        return float(scale), float(ddf)


def _ratio(x, y):
    """x / y, 1 when both are rounding of zero."""
    return 1.0 if abs(x) < ZERO and abs(y) < ZERO else x / y


class ExpectedSatterthwaite(KenwardRoger):
    """Satterthwaite's degrees of freedom at parameters that were given, not estimated.

    At such a point the observed information says nothing; the expected one, which
    is a function of the parameters and the design alone, takes its place.
    """

    name = "Satterthwaite"

    def __init__(self, criterion, estimates, x_basis):
        super().__init__(criterion, estimates, x_basis)
        self.vcov = self.unadjusted

    def f_test(self, L, difference):
        """Joint test of several contrasts, as `satterthwaite.Satterthwaite.f_test`."""
        contrasts, t2 = independent_contrasts(L, difference, self.vcov)
        if not len(contrasts):
            return np.nan, 0.0, np.nan
        return float(t2.mean()), float(len(t2)), pooled_df(self.df(contrasts))

    def f_scale(self, L):
        """1: F is not scaled."""
        return 1.0


def check_size(order):
    """Refuse a model whose dense matrices are too large.

    Raises
    ------
    ArgumentError
    """
    if order > MOST_CORE:
        raise ArgumentError(
            f"Kenward-Roger's method needs dense {order:,} x {order:,} matrices for this model, one row per random effect "
            f"outside the biggest grouping factor; it is computed up to {MOST_CORE:,}. Use ddf='Satterthwaite', which scales "
            "to any size (with so many groups the two hardly differ)."
        )


def linear_directions(criterion, estimates):
    """Directions that span the covariances of the random terms, and where the estimate lies.

    They are taken in working coordinates, where they are of one size.

    Returns
    -------
    directions : list of (factor, ndarray (nc, nc))
    gamma : ndarray (m,)
        Psi = sum_i gamma_i V_i at the estimates.
    elements : ndarray (m, m)
        Row k: an element of the covariance of the user's columns, in terms of the directions.

    Raises
    ------
    ArgumentError
        For a structure whose covariances are no linear space.
    """
    directions, gamma, blocks = [], [], []
    for term, T, template in zip(criterion.terms, criterion.scales, estimates.templates):
        spanning = term.covariance.linear_span()
        if spanning is None:
            raise ArgumentError(
                f"Kenward-Roger's method needs a covariance that is linear in its parameters; that of {term.text} is not. "
                "Use ddf='Satterthwaite'."
            )
        to_working = np.linalg.inv(criterion.basis_of(term) @ T)
        roots = to_working @ template
        wanted = [roots @ roots.T, *(to_working @ V @ to_working.T for V in spanning)]
        weights = np.linalg.lstsq(
            spanning.reshape(len(spanning), -1).T, np.array(wanted).reshape(len(wanted), -1).T, rcond=None
        )[0].T
        for V in spanning:
            whole = np.zeros((criterion.nc[term.factor],) * 2)
            whole[term.columns, term.columns] = T @ V @ T.T
            directions.append((term.factor, whole))
        gamma.append(weights[0])
        blocks.append(weights[1:])
    return directions, np.concatenate(gamma), block_diag(*blocks)


def with_residual(projections, gamma):
    """K, Q and T of the directions with that of the residual variance put in front.

    W^-1 = H - sum_i gamma_i Z V_i Z' gives every term in which it takes part.

    Returns
    -------
    K : ndarray (1+m, p, p)     Q : ndarray (1+m, 1+m, p, p)     T : ndarray (1+m, 1+m)
    """
    K, Q, T, t = projections.K, projections.Q, projections.T, projections.t
    C = np.linalg.inv(projections.Cinv)
    n = projections.products.n
    K0 = C - np.tensordot(gamma, K, axes=(0, 0))
    Q0 = K - np.tensordot(gamma, Q, axes=(0, 0))
    Q00 = K0 - np.tensordot(gamma, Q0, axes=(0, 0))
    T0 = t - gamma @ T
    T00 = n - gamma @ t - gamma @ T0
    top = np.concatenate([Q00[None], Q0])[None]
    rest = np.concatenate([Q0.transpose(0, 2, 1)[:, None], Q], axis=1)
    return (
        np.concatenate([K0[None], K]),
        np.concatenate([top, rest]),
        np.block([[np.array([[T00]]), T0[None]], [T0[:, None], T]]),
    )


def inverse_information(IE, elements):
    """Covariance of the variance components, (1+m, 1+m).

    Where the data do not tell some of them apart, what follows depends on the
    inverse that is chosen; it is then Moore and Penrose's in the elements of the
    covariances of the user's columns, as in pbkrtest.

    Parameters
    ----------
    IE : ndarray (1+m, 1+m)
    elements : ndarray (m, m)
        See `linear_directions`.
    """
    scale = np.sqrt(np.maximum(np.abs(np.diagonal(IE)), np.finfo(float).tiny))
    values, vectors = np.linalg.eigh(IE / np.outer(scale, scale))
    if values[0] > FLAT * values[-1]:
        half = vectors / np.sqrt(values) / scale[:, None]
        return half @ half.T
    to_user = block_diag(np.eye(1), elements)
    return to_user.T @ np.linalg.pinv(to_user @ IE @ to_user.T, rcond=np.sqrt(np.finfo(float).eps), hermitian=True) @ to_user
