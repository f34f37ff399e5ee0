"""One model fitted to many responses.

X, Z and W stay, so a refit needs Z'Wr, X'Wr and r'Wr of the new response, and Newton
steps from the optimum of the old one; the steps of all refits are taken side by side.
"""

from dataclasses import dataclass, replace

import numpy as np

from fastlmm_hlm._core import kernels
from fastlmm_hlm._core.threads import allowed_threads
from fastlmm_hlm.criterion.coordinates import coordinates_of
from fastlmm_hlm.criterion.estimates import LmmEstimates
from fastlmm_hlm.criterion.lmm import LmmCriterion
from fastlmm_hlm.criterion.many import ManyCriterion, Responses, kernel_for_many
from fastlmm_hlm.design.covariance import lower_indices
from fastlmm_hlm.design.crossprod import choose_shift, cross_products
from fastlmm_hlm.optimize.convergence import DECREMENT_TOLERANCE, EIGENVALUE_TOLERANCE
from fastlmm_hlm.optimize.newton import newton
from fastlmm_hlm.optimize.newton_many import newton_many

# Relative standard deviations of the start are at least this: from zero the way is longer.
SMALLEST_START = 0.1
# Two values of the criterion closer than this are the same optimum.
SAME_CRITERION = 1e-9
# Numbers of one chunk of refits that are kept at a time, beside the results.
AT_A_TIME = 4_000_000
MOST_AT_A_TIME = 500


@dataclass(frozen=True)
class Refits:
    """Estimates of several refits, one row each.

    Attributes
    ----------
    usable : ndarray of bool (k,)
        False where no optimum was found; the other arrays then hold NaN.
    converged : ndarray of bool (k,)
    singular : ndarray of bool (k,)
    par : ndarray (k, m)
        Where the criterion was minimal, in working coordinates.
    evaluations : ndarray of int (k,)
    deviations : ndarray (k, terms)
    templates : list of ndarray (k, c, c), per term
    theta : ndarray (k, m)
    criterion, ldL2, ldRX2, pwrss, sigma : ndarray (k,)
    beta : ndarray (k, p)
    RX : ndarray (k, p, p)
    b : list of ndarray (k, nl, nc), per grouping factor
    gradient_norm, decrement, min_eigenvalue : ndarray (k,)
        Of the certificate, see `fastlmm_hlm.optimize.convergence`.
    """

    usable: np.ndarray
    converged: np.ndarray
    singular: np.ndarray
    par: np.ndarray
    evaluations: np.ndarray
    deviations: np.ndarray
    templates: list
    theta: np.ndarray
    criterion: np.ndarray
    ldL2: np.ndarray
    ldRX2: np.ndarray
    pwrss: np.ndarray
    sigma: np.ndarray
    beta: np.ndarray
    RX: np.ndarray
    b: list
    gradient_norm: np.ndarray
    decrement: np.ndarray
    min_eigenvalue: np.ndarray


class Refitter:
    """Fits the model of a fit to other responses.

    Parameters
    ----------
    fit : LinearMixedModel
        With its rows.
    caller : str
        Whose name an error bears.
    reml : bool, optional
        Fit by the other likelihood than the fit's own.
    fixed_columns : sequence of int, optional
        Fit with only these columns of X.
    """

    def __init__(self, fit, caller="refit", reml=None, fixed_columns=None):
        self.design = fit._rows_or_raise(caller).design
        self.products, self.estimates = fit._products, fit._estimates
        if fixed_columns is not None:
            self.design = self.design.with_fixed_columns(fixed_columns)
            self.products = cross_products(self.design, choose_shift(self.design))
            self.estimates = replace(self.estimates, p=self.design.p)
        if reml is not None and bool(reml) != self.estimates.reml:
            self.estimates = replace(self.estimates, reml=bool(reml))
        self.x_basis, self.centrings = self.design.x_centring, fit._centrings
        control = fit._settings.control
        self.tolerance = control.singular_tolerance
        threads = allowed_threads(control.threads)
        criterion = LmmCriterion(
            self.products, self.design.terms, self.centrings, self.estimates.reml, control.factorization, threads
        )
        start = criterion.align(criterion.from_templates(self.estimates.templates))
        self.criterion = criterion
        self.start = self._lifted(start)
        self.kernel = kernel_for_many(self.products, control.factorization, threads)
        self.coordinates = [coordinates_of(term.covariance) for term in self.design.terms]
        self.shift = self.design.fixed_part(self.products.beta0)
        if self.design.offset is not None:
            self.shift = self.shift + self.design.offset
        self._columns = {}

    @property
    def at_a_time(self):
        """How many responses to fit side by side."""
        each = self.design.n + 4 * self.products.q * (self.products.p + 1)
        return int(np.clip(AT_A_TIME // each, 1, MOST_AT_A_TIME))

    def _lifted(self, par):
        """The start with no direction at zero, where the criterion would be stationary."""
        out = np.array(par)
        for term, s in zip(self.design.terms, self.criterion.slices):
            U, d, Vt = np.linalg.svd(term.covariance.root(par[s]))
            if d[-1] < SMALLEST_START:
                out[s] = term.covariance.from_root(U * np.maximum(d, SMALLEST_START) @ Vt)
        return out

    # --- cross-products ------------------------------------------------------

    def _references(self, which, columns, centre):
        """References to columns of X or of a factor, made once."""
        if which not in self._columns:
            arrays = [None if c is None else np.ascontiguousarray(c, dtype=float) for c in columns]
            self._columns[which] = kernels.Columns(list(zip(arrays, centre)))
        return self._columns[which]

    def responses(self, y):
        """Cross-products of responses y, (k, n), Responses."""
        design = self.design
        r = np.ascontiguousarray(y - self.shift)
        w = design.weights
        x = self._references("x", design.x_columns, design.x_centring.centre)
        XrWr = np.empty((len(r), self.products.p + 1))
        XrWr[:, :-1] = kernels.crossprod_responses(None, 1, x, r, w)
        XrWr[:, -1] = np.einsum("kj,kj->k", r, r) if w is None else np.einsum("kj,kj,j->k", r, r, w)
        ZtWr = [
            kernels.crossprod_responses(
                factor.codes, len(factor.levels), self._references(f, factor.columns, factor.centring.centre), r, w
            )
            for f, factor in enumerate(design.factors)
        ]
        return Responses(np.concatenate(ZtWr, axis=1), XrWr)

    def products_with(self, responses, i):
        """The cross-products of the model with one of the responses."""
        ZtWXy, first = [], 0
        for block in self.products.ZtWXy:
            nl, nc, width = block.shape
            block = block.copy()
            block[:, :, -1] = responses.ZtWr[i, first : first + nl * nc].reshape(nl, nc)
            first += nl * nc
            ZtWXy.append(block)
        XyWXy = self.products.XyWXy.copy()
        XyWXy[-1, :] = XyWXy[:, -1] = responses.XrWr[i]
        return replace(self.products, ZtWXy=ZtWXy, XyWXy=XyWXy)

    # --- fits ----------------------------------------------------------------

    def fit(self, responses):
        """Fit every response.

        Parameters
        ----------
        responses : Responses

        Returns
        -------
        Refits
        """
        k, many = len(responses), self.criterion_of(responses)
        found = newton_many(many.evaluate, np.tile(self.start, (k, 1)))
        for i in np.flatnonzero(~found.converged):
            self._alone(responses, i, found)
        par = found.par
        found_at = np.isfinite(found.value) & np.isfinite(par).all(axis=1)
        par = np.where(found_at[:, None], par, self.start)
        par, moved = self._settled(many, par)
        if moved.any():
            again = many.evaluate(par[moved], np.flatnonzero(moved))
            found.gradient[moved], found.hessian[moved] = again.gradient, again.hessian
        return self._estimates(many, par, found, found_at)

    def criterion_of(self, responses):
        """The criterion of every response, ManyCriterion."""
        return ManyCriterion(
            self.products, self.kernel, self.design.terms, self.coordinates, self.criterion.scales, self.estimates.reml,
            responses, np.arange(len(responses)),
        )

    def _alone(self, responses, i, found):
        """One response, from its moments, by the search of an ordinary fit."""
        criterion = LmmCriterion(self.products_with(responses, i), self.design.terms, self.centrings,
                                 self.estimates.reml)
        criterion.scales = self.criterion.scales
        try:
            with np.errstate(invalid="ignore", divide="ignore"):
                start = criterion.start()
            alone = newton(criterion.evaluate, start)
        except (ArithmeticError, np.linalg.LinAlgError):
            return
        found.evaluations[i] += alone.evaluations
        if np.isfinite(alone.value) and (alone.status == "converged" or alone.value < found.value[i]):
            found.par[i], found.value[i], found.converged[i] = alone.par, alone.value, alone.status == "converged"
            found.gradient[i], found.hessian[i] = alone.evaluation.gradient, alone.evaluation.hessian

    def _settled(self, many, par):
        """Directions that are zero for all purposes put onto the boundary where that costs nothing."""
        who = np.arange(len(par))
        roots = many.roots(par, who)
        edge, wanted = par.copy(), np.zeros(len(par), dtype=bool)
        for term, s, root in zip(self.design.terms, many.slices, roots):
            U, d, Vt = np.linalg.svd(root)
            low = d[:, -1] < self.tolerance
            for i in np.flatnonzero(low):
                edge[i, s] = term.covariance.from_root(U[i] * np.where(d[i] < self.tolerance, 0.0, d[i]) @ Vt[i])
            wanted |= low
        if not wanted.any():
            return par, wanted
        at = np.flatnonzero(wanted)
        before, after = many.value(par[at], at), many.value(edge[at], at)
        moved = np.zeros(len(par), dtype=bool)
        moved[at] = after.usable & (after.value <= before.value + SAME_CRITERION)
        return np.where(moved[:, None], edge, par), moved

    def _estimates(self, many, par, found, found_at):
        """Everything at the optima, in the user's columns and lme4's order."""
        k, who = len(par), np.arange(len(par))
        roots = many.roots(par, who)
        deviations = np.stack([_smallest(root) for root in roots], axis=1)
        bases = [self.centrings[term.factor].B[term.columns, term.columns] for term in self.design.terms]
        templates = [lower_factors(B @ T @ root) for B, T, root in zip(bases, many.bases, roots)]
        usable, ldL2, ldRX2, pwrss, beta, _, b, RX = many.solve(
            [np.linalg.solve(B, T) for B, T in zip(bases, templates)], who
        )
        pwrss = np.where(usable, pwrss, np.nan)
        N = many.N
        value = ldL2 + N * (1.0 + np.log(2.0 * np.pi * pwrss / N)) - self.products.sum_log_weights
        if self.estimates.reml:
            value = value + ldRX2
        w = np.linalg.eigvalsh(np.where(np.isfinite(found.hessian), found.hessian, 0.0))
        largest = np.maximum(np.abs(w).max(axis=1), 1e-300)
        decrement = _decrement(found.hessian, found.gradient, largest)
        certified = (decrement <= DECREMENT_TOLERANCE) & (w[:, 0] >= -EIGENVALUE_TOLERANCE * np.maximum(largest, 1.0))
        usable = usable & found_at
        RX = self._in_user_columns(RX)
        shapes = [G.shape[:2] for G in self.products.ZtWZ]
        ends = np.cumsum([nl * nc for nl, nc in shapes])[:-1]
        split = lambda v: [part.reshape(k, *shape) for part, shape in zip(np.split(v, ends, axis=1), shapes)]  # noqa: E731
        theta = np.concatenate([T[:, *lower_indices(T.shape[1])] for T in templates], axis=1)
        nan = np.where(usable, 1.0, np.nan)
        return Refits(
            usable=usable,
            converged=certified & usable,
            singular=(deviations < self.tolerance).any(axis=1) & usable,
            par=par,
            evaluations=found.evaluations,
            deviations=deviations,
            templates=templates,
            theta=theta * nan[:, None],
            criterion=value * nan,
            ldL2=ldL2,
            ldRX2=ldRX2,
            pwrss=pwrss,
            sigma=np.sqrt(pwrss / N) * nan,
            beta=(self.products.beta0 + np.einsum("kj,ij->ki", beta, self.x_basis.B)) * nan[:, None],
            RX=RX,
            b=[part @ c.B.T for part, c in zip(split(b), self.centrings)],
            gradient_norm=np.linalg.norm(found.gradient, axis=1),
            decrement=decrement,
            min_eigenvalue=w[:, 0],
        )

    def _in_user_columns(self, RX):
        if RX.shape[1] == 0:
            return RX
        if not self.x_basis.is_identity:
            RX = RX @ np.linalg.inv(self.x_basis.B)
            if np.abs(np.tril(RX, -1)).max(initial=0.0) > 0:
                RX = np.linalg.qr(RX, mode="r")
        return RX * np.where(np.diagonal(RX, axis1=1, axis2=2) < 0, -1.0, 1.0)[:, :, None]

    def estimates_of(self, refits, i):
        """LmmEstimates of one refit."""
        e = self.estimates
        return LmmEstimates(
            templates=[T[i] for T in refits.templates], theta=refits.theta[i], reml=e.reml,
            criterion=float(refits.criterion[i]), n=e.n, p=e.p, ldL2=float(refits.ldL2[i]),
            ldRX2=float(refits.ldRX2[i]), pwrss=float(refits.pwrss[i]), sum_log_weights=e.sum_log_weights,
            sigma=float(refits.sigma[i]), beta=refits.beta[i], RX=refits.RX[i], b=[b[i] for b in refits.b],
        )

    def optinfo_of(self, refits, i):
        """What the optimizer says of one refit, as ``fit.optinfo``."""
        boundary = [t.text for t, d in zip(self.design.terms, refits.deviations[i]) if d < self.tolerance]
        status = "failed" if not refits.converged[i] else "singular" if boundary else "converged"
        return {
            "optimizer": "newton", "status": status, "evaluations": int(refits.evaluations[i]),
            "gradient_norm": float(refits.gradient_norm[i]), "predicted_decrease": float(refits.decrement[i]),
            "min_eigenvalue": float(refits.min_eigenvalue[i]), "boundary": boundary, "message": "", "trace": [],
            "seconds": float("nan"),
        }


def lower_factors(F):
    """Lower triangular C with C C' = F F' and diagonal >= 0, for every F, (k, c, c).

    `fastlmm_hlm.design.covariance.lower_factor` for many matrices.
    """
    if F.shape[1] == 1:
        return np.abs(F)
    R = np.linalg.qr(np.swapaxes(F, 1, 2), mode="r")
    sign = np.where(np.diagonal(R, axis1=1, axis2=2) < 0, -1.0, 1.0)
    return np.tril(np.swapaxes(sign[:, :, None] * R, 1, 2)) + 0.0


def _smallest(roots):
    """Smallest singular value of each, (k,)."""
    return np.abs(roots[:, 0, 0]) if roots.shape[1] == 1 else np.linalg.svd(roots, compute_uv=False)[:, -1]


def _decrement(hessian, gradient, largest):
    """Decrease of the criterion that a Newton step predicts, (k,)."""
    hessian = np.where(np.isfinite(hessian), hessian, 0.0)
    w, V = np.linalg.eigh(hessian)
    along = (np.swapaxes(V, 1, 2) @ gradient[:, :, None])[:, :, 0]
    return 0.5 * (along**2 / np.maximum(np.abs(w), 1e-10 * largest[:, None])).sum(axis=1)
