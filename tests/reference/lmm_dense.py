"""The linear mixed model by its definition, in dense matrices.

y = X beta + Z b + e with Var(b) = sigma^2 Psi and Var(e) = sigma^2 W^-1, so that
Var(y) = sigma^2 V, V = W^-1 + Z Psi Z'.  Generalized least squares and the
projection P = V^-1 - V^-1 X (X'V^-1 X)^-1 X'V^-1 give the rest (Searle, Casella &
McCulloch 1992, Variance Components, ch. 6; Henderson 1975 for the modes).
"""

from dataclasses import dataclass

import numpy as np


def logdet(A):
    sign, value = np.linalg.slogdet(A)
    assert sign > 0 or A.size == 0
    return value


@dataclass(frozen=True)
class DenseLmm:
    """One model at one relative covariance.

    Attributes
    ----------
    y : ndarray (n,), offset taken off     X : ndarray (n, p)     Z : ndarray (n, q)
    Psi : ndarray (q, q)     w : ndarray (n,)     reml : bool
    """

    y: np.ndarray
    X: np.ndarray
    Z: np.ndarray
    Psi: np.ndarray
    w: np.ndarray
    reml: bool

    def __post_init__(self):
        V = np.diag(1.0 / self.w) + self.Z @ self.Psi @ self.Z.T
        Vinv = np.linalg.inv(V)
        XtVinvX = self.X.T @ Vinv @ self.X
        XtVinv = self.X.T @ Vinv
        beta = np.linalg.solve(XtVinvX, XtVinv @ self.y)
        residual = self.y - self.X @ beta
        facts = {
            "V": V,
            "Vinv": (Vinv + Vinv.T) / 2.0,
            "P": Vinv - XtVinv.T @ np.linalg.solve(XtVinvX, XtVinv),
            "XtVinvX": XtVinvX,
            "beta": beta,
            "Vinv_residual": Vinv @ residual,
            "pwrss": float(residual @ Vinv @ residual),
            "degrees": len(self.y) - (self.X.shape[1] if self.reml else 0),
        }
        for name, value in facts.items():
            object.__setattr__(self, name, value)

    @property
    def sigma2(self):
        return self.pwrss / self.degrees

    def criterion(self):
        """-2 log likelihood, profiled over beta and sigma, restricted if reml."""
        N = self.degrees
        value = logdet(self.V) + N * (1.0 + np.log(2.0 * np.pi * self.pwrss / N))
        return value + logdet(self.XtVinvX) if self.reml else value

    def modes(self):
        """b = Psi Z'V^-1 (y - X beta), (q,)."""
        return self.Psi @ self.Z.T @ self.Vinv_residual

    def conditional_variance(self):
        """Var(b | y) for known beta, (q, q): sigma^2 (Psi - Psi Z'V^-1 Z Psi)."""
        PsiZt = self.Psi @ self.Z.T
        return self.sigma2 * (self.Psi - PsiZt @ self.Vinv @ PsiZt.T)

    def vcov(self):
        """Var(beta hat), (p, p)."""
        return self.sigma2 * np.linalg.inv(self.XtVinvX)

    def gradient(self, directions):
        """d criterion / d parameter_i when dPsi / d parameter_i = directions[i], (m,)."""
        weight = self.P if self.reml else self.Vinv
        Py = self.Vinv_residual
        parts = [self.Z @ D @ self.Z.T for D in directions]
        return np.array([(weight * V).sum() - (Py @ V @ Py) / self.sigma2 for V in parts])

    def average_information(self, directions):
        """y'P V_i P V_j P y, (m, m)."""
        scores = [self.Z @ D @ self.Z.T @ self.Vinv_residual for D in directions]
        return np.array([[a @ self.P @ b for b in scores] for a in scores])

    def hessian(self, directions, bends):
        """Exact second derivatives, (m, m); bends[i, j] = d2 Psi / d par_i d par_j."""
        weight = self.P if self.reml else self.Vinv
        Py, N, r2 = self.Vinv_residual, self.degrees, self.pwrss
        parts = [self.Z @ D @ self.Z.T for D in directions]
        q = [Py @ V @ Py for V in parts]
        H = np.empty((len(parts),) * 2)
        for i, Vi in enumerate(parts):
            for j, Vj in enumerate(parts):
                Vij = self.Z @ bends[i, j] @ self.Z.T
                log_determinants = (weight * Vij).sum() - np.trace(weight @ Vi @ weight @ Vj)
                bend_of_r2 = 2.0 * (Vi @ Py) @ self.P @ (Vj @ Py) - Py @ Vij @ Py
                H[i, j] = log_determinants + N * (bend_of_r2 / r2 - q[i] * q[j] / r2**2)
        return H


def indicator_columns(codes, nl, columns):
    """Z of one factor in full, (n, nl * nc): row j holds columns[j] at the level of row j."""
    n, nc = columns.shape
    Z = np.zeros((n, nl, nc))
    Z[np.arange(n), codes] = columns
    return Z.reshape(n, nl * nc)
