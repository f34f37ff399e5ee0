"""The estimates at an optimum, in the user's columns and lme4's order."""

from dataclasses import dataclass

import numpy as np

from fastlmm_hlm.design.covariance import lower_indices

# Levels at a time where a product needs a temporary.
AT_A_TIME = 50_000


@dataclass(frozen=True)
class LmmEstimates:
    """Frozen result of a fit.

    Attributes
    ----------
    templates : list of ndarray (c, c), per term
    theta : ndarray             lower triangles of the templates, column by column
    reml : bool
    criterion : float           REML criterion or deviance at its minimum
    n, p : int
    ldL2, ldRX2, pwrss : float
    sum_log_weights : float
    sigma : float
    beta : ndarray (p,)
    RX : ndarray (p, p)         upper triangular, X'H^-1 X = RX'RX, H = I + Z Psi Z'
    b : list of ndarray (nl, nc), per grouping factor
    """

    templates: list
    theta: np.ndarray
    reml: bool
    criterion: float
    n: int
    p: int
    ldL2: float
    ldRX2: float
    pwrss: float
    sum_log_weights: float
    sigma: float
    beta: np.ndarray
    RX: np.ndarray
    b: list

    @property
    def degrees(self):
        """n - p for REML, n for ML."""
        return self.n - self.p if self.reml else self.n

    def profiled(self, reml):
        """-2 log likelihood (restricted or not) at these theta, beta and sigma profiled."""
        N = self.n - self.p if reml else self.n
        value = self.ldL2 + N * (1.0 + np.log(2.0 * np.pi * self.pwrss / N)) - self.sum_log_weights
        return float(value + self.ldRX2 if reml else value)


def theta_of(templates):
    """lme4's theta: lower triangles column by column, term by term."""
    return np.concatenate([T[lower_indices(len(T))] for T in templates])


def templates_of(theta, sizes):
    """Inverse of `theta_of`; sizes are the numbers of columns of the terms.

    Raises
    ------
    ValueError
        If theta has the wrong length; the message gives the right one.
    """
    lengths = [c * (c + 1) // 2 for c in sizes]
    theta = np.asarray(theta, dtype=float).ravel()
    if len(theta) != sum(lengths):
        raise ValueError(f"incorrect number of theta components: {len(theta)} given, expected {sum(lengths)}")
    out, first = [], 0
    for c, length in zip(sizes, lengths):
        T = np.zeros((c, c))
        T[lower_indices(c)] = theta[first : first + length]
        out.append(T)
        first += length
    return out


def _by_factor(values, products):
    """A vector over all random effects cut into one array per grouping factor, (nl, nc) each."""
    out, first = [], 0
    for nl, nc in (G.shape[:2] for G in products.ZtWZ):
        out.append(values[first : first + nl * nc].reshape(nl, nc))
        first += nl * nc
    return out


def estimates_at(criterion, par, x_basis):
    """Solve the model at working parameters `par`.

    Parameters
    ----------
    criterion : LmmCriterion
    par : ndarray (m,)
    x_basis : Centring of the fixed columns

    Returns
    -------
    LmmEstimates
    """
    templates = criterion.templates(par)
    ldL2, ldRX2, pwrss, value = criterion.evaluate_templates(templates)
    products = criterion.products
    beta, _, b = criterion.kernel.solution(spherical=False)
    RX = criterion.kernel.RX()
    if not x_basis.is_identity:
        RX = RX @ x_basis.inverse
        if np.tril(RX, -1).any():
            RX = np.linalg.qr(RX, mode="r")
            RX *= np.where(np.diagonal(RX) < 0, -1.0, 1.0)[:, None]
    b = _by_factor(b, products)
    for part, centring in zip(b, criterion.centrings):
        if not centring.is_identity:
            for first in range(0, len(part), AT_A_TIME):
                part[first : first + AT_A_TIME] = part[first : first + AT_A_TIME] @ centring.B.T
    return LmmEstimates(
        templates=templates,
        theta=theta_of(templates),
        reml=criterion.reml,
        criterion=value,
        n=products.n,
        p=products.p,
        ldL2=ldL2,
        ldRX2=ldRX2,
        pwrss=pwrss,
        sum_log_weights=products.sum_log_weights,
        sigma=float(np.sqrt(pwrss / criterion.N)),
        beta=products.beta0 + x_basis.B @ beta,
        RX=RX,
        b=b,
    )


def spherical_effects(criterion, estimates):
    """u with b = Lambda u, computed at each call.

    Returns
    -------
    list of ndarray, shape (nl, nc), per grouping factor
    """
    criterion.evaluate_templates(estimates.templates)
    return _by_factor(criterion.kernel.solution()[1], criterion.products)


def conditional_variances(criterion, estimates):
    """Var(b | y, theta, beta) of every level: sigma^2 Lambda M^-1_ll Lambda'.

    Returns
    -------
    list of ndarray, shape (nl, nc, nc), per grouping factor
    """
    criterion.evaluate_templates(estimates.templates)
    out = []
    for f, blocks in enumerate(criterion.inverse_blocks()):
        Lambda = np.zeros(blocks.shape[1:])
        for term, T in zip(criterion.terms, estimates.templates):
            if term.factor == f:
                Lambda[term.columns, term.columns] = T
        out.append(estimates.sigma**2 * (Lambda @ blocks @ Lambda.T))
    return out
