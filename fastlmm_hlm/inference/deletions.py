"""Fits without some of the rows: of a fit, exactly, from its cross-products.

Newton's search starts at the optimum of all rows with the kernel that was made for
them; only numbers under it change (`Remaining`).  Where those have lost digits, or a
column of X may have become dependent, the rows left are summed afresh.
"""

from dataclasses import dataclass, replace

import numpy as np

from fastlmm_hlm._core.threads import allowed_threads
from fastlmm_hlm.criterion.estimates import theta_of
from fastlmm_hlm.criterion.lmm import LmmCriterion
from fastlmm_hlm.design.crossprod import choose_shift, cross_products, estimable_columns
from fastlmm_hlm.design.rank import dependence
from fastlmm_hlm.errors import FactorizationError
from fastlmm_hlm.inference.deletedproducts import Remaining
from fastlmm_hlm.optimize.convergence import certify
from fastlmm_hlm.optimize.newton import newton

# Two values of the criterion closer than this are the same optimum.
SAME_CRITERION = 1e-9
# Share of a dropped column that a kept one must have to be part of it.
PART_OF = 1e-7
# A residual sum of squares below this share of the shifted response's is rounding.
NO_RESIDUAL = 1e-13


@dataclass
class Deleted:
    """Estimates without each of k sets of rows.

    Attributes
    ----------
    beta : ndarray (k, p)
        NaN for coefficients that a fit of the rows left drops.
    comparable : ndarray of bool (k, p)
        False where the coefficient has lost its meaning: it is dropped, or takes over
        the effect of one that is.
    sigma : ndarray (k,)
    templates : list of ndarray (k, c, c), per term
    theta : ndarray (k, m)
    covariances : array-like (k, p, p)
        Covariance matrices of the estimates; slices of it are arrays.
    converged, singular : ndarray of bool (k,)
    evaluations : ndarray of int (k,)
    messages : dict int -> str
        Why a set has no estimates, or which coefficients it drops.
    """

    beta: np.ndarray
    comparable: np.ndarray
    sigma: np.ndarray
    templates: list
    theta: np.ndarray
    covariances: object
    converged: np.ndarray
    singular: np.ndarray
    evaluations: np.ndarray
    messages: dict

    @classmethod
    def empty(cls, k, p, templates):
        """k sets without estimates yet."""
        nan, no = np.nan, np.zeros(k, dtype=bool)
        return cls(
            beta=np.full((k, p), nan), comparable=np.zeros((k, p), dtype=bool), sigma=np.full(k, nan),
            templates=[np.full((k, *T.shape), nan) for T in templates],
            theta=np.full((k, len(theta_of(templates))), nan), covariances=np.full((k, p, p), nan),
            converged=no, singular=no.copy(), evaluations=np.zeros(k, dtype=int), messages={},
        )

    def put(self, first, other):
        """The sets first, first + 1, ... from another object."""
        last = first + len(other.sigma)
        for name in ("beta", "comparable", "sigma", "theta", "covariances", "converged", "singular", "evaluations"):
            getattr(self, name)[first:last] = getattr(other, name)
        for mine, theirs in zip(self.templates, other.templates):
            mine[first:last] = theirs
        self.messages.update({first + i: text for i, text in other.messages.items()})


class NotFitted(Exception):
    """Why the rows that are left cannot be fitted; the text is for the user."""


class Deleter:
    """Fits the model of a fit to its rows without some of them.

    Parameters
    ----------
    fit : LinearMixedModel
        With its rows.
    cases : Cases
    search : bool
        False holds theta at that of the fit.
    most : int
        Evaluations of the criterion per search.
    """

    def __init__(self, fit, cases, search, most):
        self.fit, self.cases, self.search, self.most = fit, cases, search, most
        self.design, self.estimates = fit._rows.design, fit._estimates
        self.remaining = Remaining(fit, self.design)
        control = fit._settings.control
        self.tolerance, self.route = control.singular_tolerance, control.factorization
        self.threads = allowed_threads(control.threads)
        self.criterion = self._criterion(self.remaining.products)
        self.start = self._start(self.criterion)

    def __reduce__(self):
        # a fit leaves its rows out of its own pickle
        return _deleter_from, (self.fit, self.fit._rows, self.cases, self.search, self.most)

    def _criterion(self, products):
        centrings = [factor.centring for factor in self.design.factors]
        return LmmCriterion(products, self.design.terms, centrings, self.estimates.reml, self.route, self.threads)

    def _start(self, criterion):
        """Working parameters of the fit.  A direction without variance may stay there: Newton's search leaves
        a stationary point that has a negative eigenvalue."""
        return criterion.align(criterion.from_templates(self.estimates.templates))

    def block(self, first, last):
        """Estimates without the sets first .. last-1, Deleted."""
        out = Deleted.empty(last - first, self.estimates.p, self.estimates.templates)
        every = np.arange(self.estimates.p)
        for i in range(last - first):
            rows = self.cases.rows(first + i)
            try:
                with self.remaining.without(rows) as exact:
                    self._refuse_what_lmer_refuses()
                    if exact:
                        left = self.remaining.products
                        self.criterion.N = left.n - left.p if self.estimates.reml else left.n
                        self._estimate(self.criterion, self.start, self.design, every, out, i)
                if not exact:
                    self._sum_afresh(rows, out, i)
            except NotFitted as reason:
                out.messages[i] = str(reason)
        return out

    def _refuse_what_lmer_refuses(self):
        n = self.remaining.products.n
        for factor, levels in zip(self.design.factors, self.remaining.levels):
            if levels < 2:
                raise NotFitted(f"{levels} level of '{factor.name}' is left, a random effect needs at least 2")
            if levels >= n:
                raise NotFitted(f"{levels} levels of '{factor.name}' are left and {n} rows, there must be more rows")

    def _sum_afresh(self, rows, out, i):
        """Estimates from new sums over the rows left, without columns that have become dependent."""
        design = without_rows(self.design, rows)
        if np.ptp(design.y) == 0:
            raise NotFitted(f"the response of the rows left is constant ({design.y[0]:g})")
        products = cross_products(design, choose_shift(design), threads=self.threads)
        kept, lost = estimable_columns(design, products), []
        if len(kept) < design.p:
            dropped = np.setdiff1d(np.arange(design.p), kept)
            names = ", ".join(design.x_names[j] for j in dropped)
            out.messages[i] = f"without these rows X has no full rank; dropped: {names}"
            lost = kept[self._part_of(design, products, kept, dropped)]
            design = design.with_fixed_columns(kept)
            products = cross_products(design, choose_shift(design), threads=self.threads)
        if products.n <= products.p:
            raise NotFitted(f"{products.n} rows are left for {products.p} fixed effects")
        criterion = self._criterion(products)
        self._estimate(criterion, self._start(criterion), design, kept, out, i)
        out.comparable[i, lost] = False

    def _part_of(self, design, products, kept, dropped):
        """Which kept columns make up a dropped one, so that their coefficients take over its effect: bool (k,)."""
        centre2 = design.x_centring.centre**2
        total = design.n if design.weights is None else design.weights.sum()
        left = np.sqrt(products.XyWXy.diagonal()[:-1] + total * centre2)
        whole = np.sqrt(self.fit._products.XyWXy.diagonal()[:-1] + total * centre2)
        share = np.abs(dependence(products.XyWXy[:-1, :-1], design.x_centring.B, kept)) * left[kept][:, None]
        return (share > PART_OF * whole[dropped]).any(axis=1)

    def _estimate(self, criterion, start, design, kept, out, i):
        """Search, and write what was found to place i."""
        before = criterion.evaluations
        try:
            if self.search:
                templates = self._found(criterion, start, out, i)
            else:
                templates = self.estimates.templates
                out.converged[i], out.singular[i] = True, self.fit.isSingular()
            _, _, pwrss, _ = criterion.evaluate_templates(templates)
        except (ArithmeticError, np.linalg.LinAlgError) as problem:
            raise NotFitted(str(problem)) from None
        if not pwrss > NO_RESIDUAL * criterion.products.XyWXy[-1, -1]:
            raise NotFitted("the model reproduces the rows left exactly")
        out.evaluations[i] = criterion.evaluations - before
        beta, _, _ = criterion.kernel.solution(spherical=False)
        products, B = criterion.products, design.x_centring.B
        out.sigma[i] = sigma = np.sqrt(pwrss / criterion.N)
        out.beta[i, kept] = products.beta0 + B @ beta
        out.comparable[i, kept] = True
        root = B @ np.linalg.solve(criterion.kernel.RX(), np.eye(products.p))
        out.covariances[i][np.ix_(kept, kept)] = sigma**2 * (root @ root.T)
        for mine, T in zip(out.templates, templates):
            mine[i] = T
        out.theta[i] = theta_of(templates)

    def _found(self, criterion, start, out, i):
        """Templates at the optimum."""
        found = newton(criterion.evaluate, start, max_evaluations=self.most)
        if not np.isfinite(found.value):
            raise FactorizationError("the criterion has no finite minimum")
        par = criterion.normalize(found.par)
        edge = criterion.onto_boundary(par, self.tolerance)
        at_optimum = found.evaluation
        if not np.array_equal(edge, par) and criterion.value(edge) <= criterion.value(par) + SAME_CRITERION:
            par, at_optimum = edge, criterion.evaluate(edge)
        boundary = criterion.smallest_deviations(par) < self.tolerance
        out.converged[i] = certify(at_optimum, []).status == "converged"
        out.singular[i] = boundary.any()
        if not out.converged[i]:
            out.messages[i] = f"not converged after {found.evaluations} evaluations {found.message}".strip()
        return criterion.templates(par)


def _deleter_from(fit, rows, *rest):
    fit._rows = rows
    return Deleter(fit, *rest)


def without_rows(design, rows):
    """A design without some of its rows; levels stay, with or without rows.

    Parameters
    ----------
    design : Design
    rows : ndarray of int

    Returns
    -------
    Design
    """
    left = np.ones(design.n, dtype=bool)
    left[rows] = False

    def take(columns):
        return [None if column is None else column[left] for column in columns]

    factors = [replace(f, codes=f.codes[left], columns=take(f.columns)) for f in design.factors]
    optional = {
        name: None if getattr(design, name) is None else getattr(design, name)[left] for name in ("weights", "offset")
    }
    return replace(design, y=design.y[left], x_columns=take(design.x_columns), factors=factors, **optional)
