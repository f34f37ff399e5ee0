"""A model at parameters that were given instead of estimated."""

from dataclasses import dataclass, fields, replace

import numpy as np

from fastlmm_hlm.criterion.estimates import LmmEstimates, estimates_at
from fastlmm_hlm.criterion.lmm import LmmCriterion
from fastlmm_hlm.design.basis import no_centring


@dataclass(frozen=True)
class GivenEstimates(LmmEstimates):
    """Given parameters in the place of estimates; b are the conditional modes at them.

    Attributes
    ----------
    pwrss : float
        |y - X beta - Z b|^2_W + |u|^2 at the given beta.
    best_pwrss : float
        The same at the beta that is best for these theta; the restricted likelihood sees no other.
    """

    best_pwrss: float = np.nan

    def profiled(self, reml):
        """-2 log likelihood (restricted or not) at the given theta, beta and sigma; nothing is profiled."""
        N, r2 = (self.n - self.p, self.best_pwrss) if reml else (self.n, self.pwrss)
        value = self.ldL2 + N * np.log(2.0 * np.pi * self.sigma**2) + r2 / self.sigma**2 - self.sum_log_weights
        return float(value + self.ldRX2 if reml else value)


def given_estimates(criterion, x_basis, templates, beta, sigma, factorization="auto", threads=1):
    """Evaluate a model at given parameters, from its cross-products.

    Parameters
    ----------
    criterion : LmmCriterion
    x_basis : Centring of the fixed columns
    templates : list of ndarray (c, c)
        Relative covariance factors in the user's columns.
    beta : ndarray (p,)
    sigma : float
    factorization, threads
        As for `LmmCriterion`.

    Returns
    -------
    GivenEstimates
    """
    best = estimates_at(criterion, criterion.from_templates(templates), x_basis)
    rest = LmmCriterion(without_fixed_part(criterion.products, x_basis, beta), criterion.terms, criterion.centrings, False,
                        factorization, threads)
    at_beta = estimates_at(rest, rest.from_templates(templates), no_centring(0))
    known = {field.name: getattr(best, field.name) for field in fields(LmmEstimates)}
    known.update(beta=np.array(beta, dtype=float), sigma=float(sigma), pwrss=at_beta.pwrss, b=at_beta.b)
    made = GivenEstimates(**known, best_pwrss=best.pwrss)
    return replace(made, criterion=made.profiled(criterion.reml))


def without_fixed_part(products, x_basis, beta):
    """Cross-products of y - offset - X beta and Z, as of a model without fixed columns.

    Parameters
    ----------
    products : CrossProducts
    x_basis : Centring
    beta : ndarray (p,)

    Returns
    -------
    CrossProducts
    """
    v = np.append(np.linalg.solve(x_basis.B, products.beta0 - beta), 1.0)     # y - X beta = [X r] v
    return replace(
        products,
        beta0=np.zeros(0),
        ZtWXy=[np.ascontiguousarray((block @ v)[:, :, None]) for block in products.ZtWXy],
        XyWXy=np.array([[v @ products.XyWXy @ v]]),
    )
