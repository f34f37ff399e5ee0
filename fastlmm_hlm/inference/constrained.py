"""The deviance minimized with one parameter held fixed: what a profile is made of.

Which quantity is fixed decides the coordinates, so that every problem is an ordinary
unconstrained one with exact derivatives (`fastlmm_hlm.criterion.many`):

    sigma     the criterion at that sigma
    sd        sigma = sd / sqrt(h(Psi)) is eliminated; the column comes first in the lower
              triangle, so h is the square of one coordinate
    cor       both columns come first, and their rows of the triangle keep the correlation
    beta_j    the column leaves X, and beta_j x_j leaves the response

All of it is maximum likelihood, for fits by REML too, as in lme4.
"""

from dataclasses import dataclass, replace

import numpy as np

from fastlmm_hlm.criterion.coordinates import LinearRoot, OneByOne, coordinates_of, fixed_correlation
from fastlmm_hlm.criterion.many import (
    Evaluations,
    FixedDeviation,
    FixedSigma,
    ManyCriterion,
    Responses,
    kernel_for_many,
    own_response,
)
from fastlmm_hlm.design.covariance import Diagonal, Unstructured, lower_factor
from fastlmm_hlm.inference.ml_fit import SMALLEST_START, with_floor
from fastlmm_hlm.inference.parameters import Parameter, values_of
from fastlmm_hlm.optimize.newton_many import newton_many

# Predicted decrease of the deviance at which a minimum is reached: the root of the deviance
# difference is then good to about this, and the last step, which is not evaluated, is taken.
DECREASE = 1e-9


@dataclass
class Solved:
    """Minima at several values of the fixed parameter.

    Attributes
    ----------
    deviance : ndarray (k,)
    par : ndarray (k, m)
        Coordinates, for starts of later points.
    converged : ndarray of bool (k,)
    """

    deviance: np.ndarray
    par: np.ndarray
    converged: np.ndarray


def problem_of(ml, parameter):
    """The constrained problem of a parameter."""
    kinds = {"sigma": SigmaProblem, "sd": DeviationProblem, "cor": CorrelationProblem, "beta": CoefficientProblem}
    return kinds[parameter.kind](ml, parameter)


class Problem:
    """Minimize the deviance over everything but one parameter.

    Parameters
    ----------
    ml : MaximumLikelihood
    parameter : Parameter

    Subclasses say which coordinates and which rule for sigma hold the parameter fixed.
    """

    def __init__(self, ml, parameter):
        self.ml, self.parameter = ml, parameter
        self.products, self.kernel = ml.products, ml.kernel
        self.bases = list(ml.criterion.scales)

    def responses(self, values):
        """Responses, and which one each value has."""
        return own_response(self.products), np.zeros(len(values), dtype=np.int64)

    def coordinates(self, values):
        """Coordinates of each term."""
        return [coordinates_of(term.covariance) for term in self.ml.terms]

    def rule(self, values, many):
        """How sigma enters; None for the profiled one."""
        return None

    def starts(self, values):
        """Starting points near the maximum likelihood estimates, (k, m)."""
        return np.tile(self._flat_start(range(len(self.ml.terms))), (len(values), 1))

    def _flat_start(self, terms):
        """Coordinates of the estimates of some terms in their bases."""
        out = [np.empty(0)]
        for t in terms:
            root = np.linalg.solve(self.ml.basis_of(t) @ self.bases[t], self.ml.estimates.templates[t])
            out.append(self.ml.terms[t].covariance.from_root(with_floor(root)))
        return np.concatenate(out)

    def to_smooth(self, values, par):
        """Coordinates as smooth functions of the fixed parameter, for interpolation."""
        return par

    def from_smooth(self, values, smooth):
        """Inverse of `to_smooth`."""
        return smooth

    def many(self, values):
        responses, which = self.responses(values)
        made = ManyCriterion(
            self.products, self.kernel, self.ml.terms, self.coordinates(values), self.bases, False, responses, which
        )
        made.rule = self.rule(values, made) or made.rule
        return made

    def solve(self, values, starts=None):
        """Minimize at several values; see `solve_together`."""
        return solve_together([(self, values, starts)])[0]

    def parameters_at(self, values, par, parameters):
        """All parameters at the minima, ndarray (k, parameters)."""
        many, who = self.many(values), np.arange(len(values))
        roots = many.roots(par, who)
        inner = [T @ root for T, root in zip(self.bases, roots)]
        _, _, _, r2, beta, *_ = many.solve(inner, who)
        sigma = many.rule.precision(who, many.N, r2, roots) ** -0.5
        templates = [self.ml.basis_of(t) @ T for t, T in enumerate(inner)]
        return values_of(parameters, templates, sigma, self.beta(values, beta))

    def beta(self, values, beta):
        """Fixed effects in the user's columns from those of the kernel, (k, p)."""
        return self.products.beta0 + beta @ self.ml.x_basis.B.T

    def templates_at(self, values, par, i):
        """Templates of one of the minima in the user's columns."""
        roots = self.many(values).roots(par, np.arange(len(values)))
        return [lower_factor(self.ml.basis_of(t) @ T @ root[i])
                for t, (T, root) in enumerate(zip(self.bases, roots))]

    def at_zero(self):
        """The problem at the lower bound 0, where it needs other coordinates; else None."""
        return None

    def limits_of_the_rest(self):
        """Problems whose minimum bounds that of this one whatever the value is, list of Problem."""
        return []


def solve_together(requests):
    """Minimize several problems at several values each, with all steps side by side.

    Parameters
    ----------
    requests : list of (Problem, values (k,), starts (k, m) or None)

    Returns
    -------
    list of Solved
    """
    criteria = [problem.many(values) for problem, values, _ in requests]
    ends = np.cumsum([len(values) for _, values, _ in requests])
    begins = ends - [len(values) for _, values, _ in requests]
    m = max(criterion.size for criterion in criteria)
    start = np.zeros((int(ends[-1]), m))
    for (problem, values, starts), criterion, first, last in zip(requests, criteria, begins, ends):
        start[first:last, : criterion.size] = problem.starts(values) if starts is None else starts
    if m == 0:
        values = [criterion.value(np.empty((last - first, 0)), np.arange(last - first))
                  for criterion, first, last in zip(criteria, begins, ends)]
        return [Solved(one.value, np.empty((len(one.value), 0)), one.usable) for one in values]

    def evaluate(par, who):
        out = Evaluations(np.zeros(len(who), dtype=bool), np.full(len(who), np.inf), np.zeros((len(who), m)),
                          np.tile(np.eye(m), (len(who), 1, 1)))
        cuts = np.searchsorted(who, np.append(begins, ends[-1]))
        for criterion, first, a, b in zip(criteria, begins, cuts[:-1], cuts[1:]):
            if a == b:
                continue
            own = criterion.size                   # coordinates beyond these are padding
            here = criterion.evaluate(par[a:b, :own], who[a:b] - first)
            out.usable[a:b], out.value[a:b] = here.usable, here.value
            out.gradient[a:b, :own], out.hessian[a:b, :own, :own] = here.gradient, here.hessian
        return out

    found = newton_many(evaluate, start, tolerance=DECREASE, always_learn=True)
    return [
        Solved(found.value[first:last],
               criterion.normalize(found.par[first:last, : criterion.size], np.arange(last - first)),
               found.converged[first:last])
        for criterion, first, last in zip(criteria, begins, ends)
    ]


class SigmaProblem(Problem):
    """sigma is given."""

    def rule(self, values, many):
        return FixedSigma(values)


class DeviationProblem(Problem):
    """A standard deviation of a random effect is given, and positive."""

    def __init__(self, ml, parameter):
        super().__init__(ml, parameter)
        t = parameter.term
        self.term = ml.terms[t]
        if isinstance(self.term.covariance, Unstructured):
            self.bases[t] = _first_in_triangle(ml.basis_of(t), self.bases[t], [parameter.row])
        self.a = (ml.basis_of(t) @ self.bases[t])[parameter.row]
        covariance = self.term.covariance
        first = sum(term.covariance.size for term in ml.terms[:t])
        leading = isinstance(covariance, Unstructured) or (isinstance(covariance, Diagonal) and covariance.hom)
        linear = isinstance(covariance, (Unstructured, Diagonal))
        # the coordinate that is deviation / sigma but for a constant
        self.place = first + (0 if leading else parameter.row) if linear else None

    def rule(self, values, many):
        return FixedDeviation(values, self.parameter.term, self.a, many.slices[self.parameter.term])

    def to_smooth(self, values, par):
        if self.place is None:
            return par
        out = par.copy()
        out[:, self.place] /= values
        return out

    def from_smooth(self, values, smooth):
        if self.place is None:
            return smooth
        out = smooth.copy()
        out[:, self.place] *= values
        return out

    def starts(self, values):
        out = super().starts(values)
        if self.place is not None:
            out[:, self.place] = values / (self.ml.estimates.sigma * np.linalg.norm(self.a))
        return out

    def at_zero(self):
        return NoDeviationProblem(self.ml, self.parameter, self.bases)


class NoDeviationProblem(Problem):
    """A standard deviation is zero: its column leaves the term."""

    def __init__(self, ml, parameter, bases):
        super().__init__(ml, parameter)
        self.bases = list(bases)

    def _kept(self):
        """Coordinates of the term that are not zero with the deviation."""
        covariance = self.ml.terms[self.parameter.term].covariance
        if isinstance(covariance, Unstructured):
            return np.flatnonzero(covariance.columns > 0)
        own = 0 if getattr(covariance, "hom", False) else self.parameter.row
        return np.array([i for i in range(covariance.size) if i != own], dtype=int)

    def coordinates(self, values):
        out = super().coordinates(values)
        t = self.parameter.term
        covariance = self.ml.terms[t].covariance
        if isinstance(out[t], LinearRoot):
            out[t] = LinearRoot(out[t].E[:, self._kept()])
        else:
            own = 0 if covariance.hom else self.parameter.row
            out[t] = OneByOne(covariance, own, np.zeros(len(values)))
        return out

    def parameters_at(self, values, par, parameters):
        out = super().parameters_at(values, par, parameters)
        own = self.parameter
        for i, one in enumerate(parameters):
            if one.term == own.term and one.kind == "cor" and own.row in (one.row, one.column):
                out[:, i] = np.nan                 # what has no variance has no correlation
        return out

    def starts(self, values):
        t = self.parameter.term
        before, own = self._flat_start(range(t)), self._flat_start([t])[self._kept()]
        after = self._flat_start(range(t + 1, len(self.ml.terms)))
        return np.tile(np.concatenate([before, own, after]), (len(values), 1))


class CorrelationProblem(Problem):
    """A correlation of random effects is given."""

    def __init__(self, ml, parameter):
        super().__init__(ml, parameter)
        t = parameter.term
        self.term = ml.terms[t]
        self.unstructured = isinstance(self.term.covariance, Unstructured)
        if self.unstructured:
            pair = [parameter.column, parameter.row]
            T = _first_in_triangle(ml.basis_of(t), self.bases[t], pair)
            user = ml.basis_of(t) @ T
            user[pair] = np.diag(np.linalg.norm(user[pair], axis=1)) @ np.eye(len(T))[:2]
            self.bases[t] = np.linalg.solve(ml.basis_of(t), user)

    def coordinates(self, values):
        out, t = super().coordinates(values), self.parameter.term
        if self.unstructured:
            out[t] = fixed_correlation(len(self.term.names), values)
        else:
            covariance = self.term.covariance
            z = np.array([covariance.z_of_rho(value) for value in values])
            out[t] = OneByOne(covariance, covariance.size - 1, z)
        return out

    def starts(self, values):
        t = self.parameter.term
        before, after = self._flat_start(range(t)), self._flat_start(range(t + 1, len(self.ml.terms)))
        if self.unstructured:
            root = lower_factor(with_floor(
                np.linalg.solve(self.ml.basis_of(t) @ self.bases[t], self.ml.estimates.templates[t])
            ))
            deviations = np.maximum(np.linalg.norm(root[:2], axis=1), SMALLEST_START)
            rows, columns = self.term.covariance.rows, self.term.covariance.columns
            below = rows >= 2
            own = np.concatenate([LinearRoot.soft_parameter(deviations), root[rows[below], columns[below]]])
        else:
            own = self._flat_start([t])[:-1]
        return np.tile(np.concatenate([before, own, after]), (len(values), 1))


    def limits_of_the_rest(self):
        # without one of the deviations the correlation says nothing
        if not self.unstructured:
            return []
        one = self.parameter
        sds = [Parameter("sd", "", "", one.term, column, column) for column in (one.row, one.column)]
        return [DeviationProblem(self.ml, sd).at_zero() for sd in sds]


class CoefficientProblem(Problem):
    """A fixed effect is given: its column leaves X and its part leaves the response.

    A column is dropped from the centred basis; a fixed intercept (or another of the
    columns whose sum is 1) leaves the user's other columns, uncentred, in X.
    """

    def __init__(self, ml, parameter):
        super().__init__(ml, parameter)
        j, p = parameter.index, ml.products.p
        self.others = np.array([i for i in range(p) if i != j], dtype=int)
        B = ml.x_basis.B
        self.centred = bool((B[j] == np.eye(p)[j]).all())
        inverse = np.eye(p) if self.centred else np.linalg.inv(B)
        keep, self.own = inverse[:, self.others], inverse[:, j]
        full = ml.products
        A = np.zeros((p + 1, p))
        A[:p, : p - 1], A[p, p - 1] = keep, 1.0
        self.ZtWx = np.concatenate([(block[:, :, :p] @ self.own).ravel() for block in full.ZtWXy])
        self.XrWx = A.T @ full.XyWXy[:, :p] @ self.own
        self.xWx = float(self.own @ full.XyWXy[:p, :p] @ self.own)
        self.products = replace(
            full, beta0=full.beta0[self.others], XyWXy=A.T @ full.XyWXy @ A,
            ZtWXy=[np.ascontiguousarray(block @ A) for block in full.ZtWXy],
        )
        self.kernel = kernel_for_many(self.products, ml.factorization, ml.threads)

    def responses(self, values):
        shift = values - self.ml.products.beta0[self.parameter.index]
        own = own_response(self.products)
        ZtWr = own.ZtWr - shift[:, None] * self.ZtWx
        XrWr = own.XrWr - shift[:, None] * self.XrWx
        XrWr[:, -1] += -shift * self.XrWx[-1] + shift**2 * self.xWx
        return Responses(ZtWr, XrWr), np.arange(len(values))

    def beta(self, values, beta):
        full, j = self.ml.products, self.parameter.index
        out = np.empty((len(values), full.p))
        out[:, j] = values - full.beta0[j]
        out[:, self.others] = beta
        if self.centred:
            out = out @ self.ml.x_basis.B.T
        out = out + full.beta0
        out[:, j] = values
        return out


def _first_in_triangle(B, T, first):
    """A basis of the same columns in which the user's rows `first` come first in a lower triangle.

    Parameters
    ----------
    B : ndarray (c, c)
        User's effects = B @ those of the summed columns.
    T : ndarray (c, c)
        Working basis.
    first : list of int

    Returns
    -------
    ndarray (c, c)
        A working basis: of the user's effects ``first[0]`` has the first working one only,
        ``first[1]`` the first two, and so on.
    """
    c = len(T)
    order = [*first, *[i for i in range(c) if i not in first]]
    out = np.empty((c, c))
    out[order] = lower_factor((B @ T)[order])
    return np.linalg.solve(B, out)
