"""The maximum likelihood fit from which profiles start."""

import numpy as np

from fastlmm_hlm._core.threads import allowed_threads
from fastlmm_hlm.criterion.estimates import estimates_at
from fastlmm_hlm.criterion.lmm import LmmCriterion
from fastlmm_hlm.criterion.many import kernel_for_many
from fastlmm_hlm.errors import ConvergenceError
from fastlmm_hlm.optimize.control import Control
from fastlmm_hlm.optimize.minimize import minimize

# Relative standard deviations of a start are at least this: zero would be a stationary point.
SMALLEST_START = 0.05


class MaximumLikelihood:
    """The optimum from which profiles start.

    Attributes
    ----------
    estimates : LmmEstimates
    criterion : LmmCriterion
    deviance : float
    """

    def __init__(self, fit, templates=None):
        control = fit._settings.control
        self.products, self.terms, self.centrings = fit._products, fit._terms, fit._centrings
        self.x_basis, self.factorization = fit._x_centring, control.factorization
        self.threads = allowed_threads(control.threads)
        self.criterion = LmmCriterion(
            self.products, self.terms, self.centrings, False, self.factorization, self.threads
        )
        if fit._estimates.reml or fit._given or templates is not None:
            start = fit._estimates.templates if templates is None else templates
            par = self.criterion.align(_lifted(self.criterion, self.criterion.from_templates(start)))
            found, _ = minimize(self.criterion, par, Control(factorization=self.factorization))
            if found.status != "converged":
                raise ConvergenceError(f"profile: the maximum likelihood fit did not converge ({found.message}).")
            par = self.criterion.normalize(found.par)
            edge = self.criterion.onto_boundary(par, control.singular_tolerance)
            if self.criterion.value(edge) <= self.criterion.value(par) + 1e-9:
                par = edge
            self.estimates = estimates_at(self.criterion, par, self.x_basis)
        else:
            self.estimates = fit._estimates
        self.deviance = self.estimates.criterion
        self._kernel = None

    @property
    def kernel(self):
        if self._kernel is None:
            self._kernel = kernel_for_many(self.products, self.factorization, self.threads)
        return self._kernel

    def basis_of(self, t):
        """B with the user's random effects of a term = B @ those of the summed columns."""
        term = self.terms[t]
        return self.centrings[term.factor].B[term.columns, term.columns]


def _lifted(criterion, par):
    out = np.array(par)
    for term, s in zip(criterion.terms, criterion.slices):
        out[s] = term.covariance.from_root(with_floor(term.covariance.root(par[s])))
    return out


def with_floor(root):
    U, d, Vt = np.linalg.svd(root)
    return root if d[-1] >= SMALLEST_START else U * np.maximum(d, SMALLEST_START) @ Vt
