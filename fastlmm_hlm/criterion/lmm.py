"""The profiled deviance or REML criterion of a linear mixed model.

Bates et al. (2015), JSS 67(1), eqs. 34 and 41, with exact first derivatives and
the average information of Gilmour, Thompson & Cullis (1995), Biometrics 51, as
curvature.  The rows of the data do not appear: everything is a function of the
cross-products.

Working coordinates.  The parameters of an unstructured term are those of its
covariance after the columns z of the term were replaced by zT with
T = inv(chol(z'Wz / n))', so that z'Wz / n = I: the same model and likelihood, far
better conditioned.  Other structures allow only one common scale.
"""

import copy
import math
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from fastlmm_hlm._core import kernels
from fastlmm_hlm._core.small import eigh, svd
from fastlmm_hlm._core.threads import one_blas_thread
from fastlmm_hlm.criterion.start import flat, moment_start
from fastlmm_hlm.design.covariance import lower_factor
from fastlmm_hlm.errors import FactorizationError

# Singular values of lambda below FLOOR / sqrt(rows per level) are raised to it where
# traces are divided by lambda: relative error of the traces about 1e-8 either way.
FLOOR = 1e-4
# Random effects from which BLAS calls are large enough for BLAS to use threads.
BLAS_MATTERS = 100


@dataclass(frozen=True)
class Evaluation:
    """The criterion at one point.

    Attributes
    ----------
    par : ndarray (m,)          working parameters
    value : float               REML criterion or deviance
    gradient : ndarray (m,)     exact
    hessian : ndarray (m, m)    average information plus the exact curvature of Psi
    """

    par: np.ndarray
    value: float
    gradient: np.ndarray | None = None
    hessian: np.ndarray | None = None


class LmmCriterion:
    """The criterion as a function of the working parameters.

    Parameters
    ----------
    products : CrossProducts
    terms : list of RandomTerm
    centrings : list of Centring
        Basis in which the columns of each grouping factor were summed.
    reml : bool
    factorization : {"auto", "block", "cholmod"}
    threads : int
        Threads of the loops over levels; results do not depend on it.

    Attributes
    ----------
    evaluations : int
        Calls of `value` and `evaluate` so far.
    """

    def __init__(self, products, terms, centrings, reml, factorization="auto", threads=1):
        self.products, self.terms, self.reml = products, terms, bool(reml)
        self.centrings = centrings
        route = kernels.WHOLE if factorization == "cholmod" else kernels.BLOCK
        self.kernel = kernels.LmmKernel(
            products.ZtWZ, products.ZtWXy, products.XyWXy, products.pairs, route, threads
        )
        self.kernel.set_terms(np.array(
            [(t.factor, t.columns.start, len(t.names), t.covariance.size) for t in terms], dtype=np.int32
        ).T.copy())
        self._blas_matters = self.kernel.q > BLAS_MATTERS
        self.N = products.n - products.p if reml else products.n
        self.nc = [G.shape[1] for G in products.ZtWZ]
        ends = list(accumulate(term.covariance.size for term in terms))
        self.slices = [slice(a, b) for a, b in zip([0, *ends[:-1]], ends)]
        self.scales = [self._working_basis(term) for term in terms]
        self.floors = [FLOOR / math.sqrt(max(products.n / products.ZtWZ[t.factor].shape[0], 1.0)) for t in terms]
        self.evaluations = 0

    @property
    def size(self):
        """Number of parameters."""
        return self.slices[-1].stop

    def _working_basis(self, term):
        """T of one term, (c, c): working columns = centred columns @ T."""
        mean_square = self.products.ZtWZ[term.factor].sum(axis=0)[term.columns, term.columns] / self.products.n
        if len(mean_square) == 1:
            return np.array([[1.0 / math.sqrt(mean_square[0, 0])]]) if mean_square[0, 0] > 0 else np.eye(1)
        scale = np.sqrt(np.diagonal(mean_square))
        scale = np.where(scale > 0, scale, 1.0)
        if not term.covariance.may_change_basis:
            if type(term.covariance).__name__ == "Diagonal" and not term.covariance.hom:
                return np.diag(1.0 / scale)
            return np.eye(len(scale)) / math.sqrt(np.mean(scale**2))
        correlation = mean_square / np.outer(scale, scale)
        values, vectors = eigh(correlation)
        if values[0] < 1e-12 * values[-1]:          # dependent columns: scaling is all that is safe
            return np.diag(1.0 / scale)
        return (vectors / np.sqrt(values) @ vectors.T) / scale[:, None]

    # --- coordinates ---------------------------------------------------------

    def start(self):
        """Starting point by the method of moments, from the cross-products alone."""
        with one_blas_thread(self._blas_matters):
            return moment_start(self.kernel, self.products, self.terms, self.scales)

    def align(self, par):
        """Turn the working basis of unstructured terms to the principal axes of their covariance.

        Afterwards lambda is diagonal with decreasing elements at this point: a
        direction whose variance vanishes is then the last column, and no other
        parameter loses its meaning there.

        Returns
        -------
        par : ndarray (m,)
            The same point in the new coordinates.
        """
        out = np.array(par)
        for k, (term, s, root) in enumerate(zip(self.terms, self.slices, self._roots(par))):
            if term.covariance.may_change_basis:
                if len(root) == 1:
                    continue
                U, d, _ = svd(root)
                self.scales[k] = self.scales[k] @ U
                out[s] = term.covariance.from_root(np.diag(d))
        return out

    def aligned_at(self, templates):
        """A view of this criterion whose working basis is aligned at lme4's templates.

        It shares the kernel and leaves this criterion's own basis alone.

        Returns
        -------
        criterion : LmmCriterion
        par : ndarray (m,)
        """
        view = copy.copy(self)
        view.scales = list(self.scales)
        return view, view.align(view.from_templates(templates))

    def unit_start(self):
        """Every working standard deviation equal to sigma."""
        return np.concatenate([term.covariance.start() for term in self.terms])

    def lower(self):
        """Lower bounds for optimizers that want them: 0 for standard deviations."""
        flags = np.concatenate([term.covariance.is_variance() for term in self.terms])
        return np.where(flags, 0.0, -np.inf)

    def normalize(self, par):
        """The same model with the signs lme4 reports."""
        return np.concatenate([t.covariance.normalize(par[s]) for t, s in zip(self.terms, self.slices)])

    def templates(self, par):
        """lme4's template of each term, lower triangular in the user's columns: list of (c, c)."""
        return [
            lower_factor(self.basis_of(term) @ (T @ term.covariance.root(par[s])))
            for term, s, T in zip(self.terms, self.slices, self.scales)
        ]

    def basis_of(self, term):
        """B with user's random effects of a term = B @ (those of its centred columns)."""
        return self.centrings[term.factor].B[term.columns, term.columns]

    def _centred(self, term, template):
        """A template of the user's columns in the centred ones, (c, c)."""
        return self.centrings[term.factor].inverse[term.columns, term.columns] @ template

    def from_templates(self, templates):
        """Working parameters of the given templates (inverse of `templates`)."""
        out = []
        for term, T, F in zip(self.terms, self.scales, templates):
            out.append(term.covariance.from_root(np.linalg.solve(T, self._centred(term, F))))
        return np.concatenate(out)

    def _Lambda(self, roots):
        """Templates per grouping factor in the centred columns, flat and row-major."""
        return self._flat(T @ root for T, root in zip(self.scales, roots))

    def _flat(self, templates):
        blocks = [np.zeros((c, c)) for c in self.nc]
        for term, template in zip(self.terms, templates):
            blocks[term.factor][term.columns, term.columns] = template
        return np.concatenate([block.ravel() for block in blocks])

    def _roots(self, par):
        return [term.covariance.root(par[s]) for term, s in zip(self.terms, self.slices)]

    # --- evaluation ----------------------------------------------------------

    def _evaluate(self, *args):
        with one_blas_thread(self._blas_matters):
            return self.kernel.evaluate(*args)

    def inverse_blocks(self):
        """Diagonal blocks of M^-1 at the last point, list of (nl, nc, nc) by grouping factor."""
        with one_blas_thread(self._blas_matters):
            return self.kernel.inverse_blocks()

    def _criterion(self, ldL2, ldRX2, pwrss):
        value = ldL2 + self.N * (1.0 + math.log(2.0 * math.pi * pwrss / self.N)) - self.products.sum_log_weights
        return value + ldRX2 if self.reml else value

    def value(self, par):
        """The criterion alone."""
        self.evaluations += 1
        ldL2, ldRX2, pwrss, *_ = self._evaluate(self._Lambda(self._roots(par)), kernels.VALUE, self.reml)
        return self._criterion(ldL2, ldRX2, pwrss)

    def evaluate(self, par):
        """The criterion with its gradient and curvature.

        Parameters
        ----------
        par : ndarray, shape (m,)

        Returns
        -------
        Evaluation
        """
        self.evaluations += 1
        if not np.isfinite(par).all():
            raise FactorizationError("the criterion was asked for at parameters that are not finite")
        roots = self._roots(par)
        raised = [self._raise(root, floor) for root, floor in zip(roots, self.floors)]
        traces_at = flat(raised) if any(a is not b for a, b in zip(raised, roots)) else None
        V = flat([term.covariance.dPsi(par[s]) for term, s in zip(self.terms, self.slices)])
        with one_blas_thread(self._blas_matters):
            ldL2, ldRX2, pwrss, gradient, hessian, g_Psi = self.kernel.derivatives(
                flat(self.scales), flat(roots), traces_at, V, self.reml, self.N
            )
        first = 0
        for term, s, root in zip(self.terms, self.slices, roots):
            G = g_Psi[first : first + root.size].reshape(root.shape)
            hessian[s, s] += term.covariance.curvature(par[s], G)
            first += root.size
        return Evaluation(np.array(par), self._criterion(ldL2, ldRX2, pwrss), gradient, hessian)

    def directions(self, par):
        """dPsi/dpar_i in working and in centred columns.

        Returns
        -------
        working : list of ndarray (c, c)
            In the columns of the term.
        centred : list of (factor, ndarray (nc, nc))
            In those of its grouping factor.
        """
        working, centred = [], []
        for term, s, T in zip(self.terms, self.slices, self.scales):
            for V in term.covariance.dPsi(par[s]):
                block = np.zeros((self.nc[term.factor],) * 2)
                block[term.columns, term.columns] = T @ V @ T.T
                working.append(V)
                centred.append((term.factor, block))
        return working, centred

    def scale_of(self, par):
        """Size of a change of each parameter that changes the model noticeably, (m,).

        The standard deviation in the direction of the parameter's row, but at least the
        one that the rows of a level could just tell from zero.
        """
        out = np.empty(self.size)
        for term, s, root in zip(self.terms, self.slices, self._roots(par)):
            least = 1.0 / math.sqrt(max(self.products.n / self.products.ZtWZ[term.factor].shape[0], 1.0))
            sd = np.maximum(np.sqrt((root**2).sum(axis=1)), least)
            out[s] = sd[term.covariance.rows] if hasattr(term.covariance, "rows") else sd.min()
        return out

    # --- at the optimum --------------------------------------------------------

    def smallest_deviations(self, par):
        """Per term, the smallest standard deviation (relative to sigma) along any direction
        of its working columns: zero exactly for a singular covariance.  (terms,)"""
        return np.array([svd(root)[1][-1] for root in self._roots(par)])

    def onto_boundary(self, par, tolerance):
        """par with directions whose deviation is below the tolerance set to exactly zero."""
        out = np.array(par)
        for term, s, root in zip(self.terms, self.slices, self._roots(par)):
            U, d, Vt = svd(root)
            if d[-1] < tolerance:
                out[s] = term.covariance.from_root(U * np.where(d < tolerance, 0.0, d) @ Vt)
        return out

    def evaluate_templates(self, templates):
        """Evaluate at lme4's templates (user's columns); the kernel then holds lme4's L, RZX and u.

        Returns
        -------
        ldL2, ldRX2, pwrss, criterion : float
        """
        Lambda = self._flat(self._centred(term, template) for term, template in zip(self.terms, templates))
        self.evaluations += 1
        ldL2, ldRX2, pwrss, *_ = self._evaluate(Lambda, kernels.VALUE, self.reml)
        return ldL2, ldRX2, pwrss, self._criterion(ldL2, ldRX2, pwrss)

    def relative_covariances(self, templates):
        """Psi of each grouping factor in the centred columns, list of (nc, nc)."""
        out = [np.zeros((c, c)) for c in self.nc]
        for term, template in zip(self.terms, templates):
            root = self._centred(term, template)
            out[term.factor][term.columns, term.columns] = root @ root.T
        return out

    @staticmethod
    def _raise(root, floor):
        """root with its singular values raised to the floor; root itself if none is below it."""
        size = len(root)
        if size == 1 and abs(root[0, 0]) >= floor:
            return root
        U, s, Vt = svd(root)
        return root if s[-1] >= floor else (U * np.maximum(s, floor)) @ Vt
