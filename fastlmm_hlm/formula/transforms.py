"""Transforms that learn from the data: poly(), scale(), bs() and ns().

Each takes a `state`: empty on the data of the fit, where it is filled, and
full afterwards, where it decides the basis.  Rows with missing values stay
missing and teach nothing; R's poly() stops there instead.
"""
import numpy as np

from fastlmm_hlm.errors import DataError, FormulaError
from fastlmm_hlm.formula.operators import numbers
from fastlmm_hlm.formula.values import Logical, Matrix


def _flag(value):
    if isinstance(value, Logical) and len(value) == 1:
        return bool(value.values[0])
    return bool(value)


def _observed(x, function):
    """Split a vector into the mask of its observed rows and their values."""
    x = np.asarray(numbers(x, f"{function}()"), dtype=np.float64)
    if x.ndim != 1:
        raise FormulaError(f"{function}() takes one column, and was given {x.shape[1] if x.ndim else 'a single value'}.")
    seen = ~np.isnan(x)
    if np.isinf(x).any():
        row = int(np.flatnonzero(np.isinf(x))[0])
        raise DataError(f"{function}() found an infinite value in row {row} (counted from 0); a basis needs finite values.")
    return x, seen


def _spread(basis, seen, names):
    out = np.full((len(seen), basis.shape[1]), np.nan)
    out[seen] = basis
    return Matrix(out, names)


def scale(x, center=True, scale=True, *, state):
    """scale(x): subtract the mean, divide by the standard deviation.

    With center = FALSE the divisor is the root mean square, as in R.
    """
    columns = x.values if isinstance(x, Matrix) else np.reshape(numbers(x, "scale()"), (-1, 1))
    if "center" not in state:
        state["center"] = _scale_argument(center, lambda: np.nanmean(columns, axis=0), 0.0)
        centred = columns - state["center"]
        count = np.sum(~np.isnan(columns), axis=0)
        state["scale"] = _scale_argument(scale, lambda: np.sqrt(np.nansum(centred**2, axis=0) / np.maximum(count - 1, 1)), 1.0)
        if np.any(state["scale"] == 0):
            raise DataError("scale() found a constant column, whose standard deviation is 0; leave it out of the formula.")
    result = (columns - state["center"]) / state["scale"]
    return Matrix(result, x.names) if isinstance(x, Matrix) else result[:, 0]


def _scale_argument(value, estimate, neutral):
    if isinstance(value, (bool, Logical)):
        return estimate() if _flag(value) else neutral
    return value


def poly(x, *more, degree=1.0, raw=False, state):
    """poly(x, degree): orthonormal polynomials, or powers with raw = TRUE.

    The orthonormal basis comes from the three-term recurrence of monic
    orthogonal polynomials (Kennedy & Gentle 1980, pp. 343-344).  A number in
    the second place is the degree; several columns give the products up to it.
    """
    columns = [x]
    for value in more:
        if isinstance(value, float):
            degree = value
        else:
            columns.append(value)
    degree = numbers(degree, "poly()")
    if np.ndim(degree) or degree != int(degree) or degree < 1:
        raise FormulaError("poly() takes a whole number from 1 up as its degree.")
    bases = [_one_poly(column, int(degree), _flag(raw), state.setdefault(str(i), {})) for i, column in enumerate(columns)]
    if len(bases) == 1:
        return bases[0]
    return _products(bases, int(degree))


def _one_poly(column, degree, raw, state):
    x, seen = _observed(column, "poly")
    names = tuple(str(k) for k in range(1, degree + 1))
    x = x[seen]
    if raw:
        return _spread(x[:, None] ** np.arange(1, degree + 1), seen, names)
    if "alpha" not in state:
        distinct = len(np.unique(x))
        if degree >= distinct:
            raise FormulaError(f"the degree is {degree} and the column has {distinct} different values; the degree must be less.")
        state["alpha"], state["norm"] = _learn_recurrence(x, degree)
    basis = _recurrence(x, state["alpha"], state["norm"])[:, 1:]
    return _spread(basis / np.sqrt(state["norm"][2:]), seen, names)


def _learn_recurrence(x, degree):
    alpha, norm = np.empty(degree), np.empty(degree + 2)
    norm[0], norm[1] = 1.0, len(x)
    previous, current = np.zeros_like(x), np.ones_like(x)
    for k in range(degree):
        alpha[k] = np.mean(x) if k == 0 else np.sum(x * current**2) / norm[k + 1]
        step = norm[k + 1] / norm[k] if k else 0.0
        previous, current = current, (x - alpha[k]) * current - step * previous
        norm[k + 2] = np.sum(current**2)
    return alpha, norm


def _recurrence(x, alpha, norm):
    basis = np.empty((len(x), len(alpha) + 1))
    basis[:, 0] = 1.0
    for k in range(len(alpha)):
        basis[:, k + 1] = (x - alpha[k]) * basis[:, k]
        if k:
            basis[:, k + 1] -= norm[k + 1] / norm[k] * basis[:, k - 1]
    return basis


def _products(bases, degree):
    n = len(bases[0])
    powers = [()]
    for _ in bases:
        powers = [(*head, k) for k in range(degree + 1) for head in powers]
    powers = [p for p in powers if 1 <= sum(p) <= degree]
    values = np.ones((n, len(powers)))
    for j, power in enumerate(powers):
        for base, k in zip(bases, power, strict=True):
            if k:
                values[:, j] *= base.values[:, k - 1]
    return Matrix(values, tuple(".".join(map(str, p)) for p in powers))


def _knots(x, knots, boundary, inner, state):
    """Learn boundary and inner knots, the latter at quantiles unless given."""
    if "knots" in state:
        return state["boundary"], state["knots"]
    if len(x) == 0:
        raise DataError("the spline has no observed values to place its knots.")
    boundary = np.array([x.min(), x.max()]) if boundary is None else np.sort(np.atleast_1d(numbers(boundary, "Boundary.knots")))
    if knots is None:
        inside = x[(x >= boundary[0]) & (x <= boundary[1])]
        knots = np.quantile(inside, np.linspace(0, 1, max(inner, 0) + 2)[1:-1])
    state["boundary"], state["knots"] = boundary, np.sort(np.atleast_1d(numbers(knots, "knots")).astype(np.float64))
    return state["boundary"], state["knots"]


def _b_splines(boundary, knots, degree):
    from scipy.interpolate import BSpline

    if boundary[0] == boundary[1]:
        raise DataError("the spline's column is constant, so it has no range to put knots in; leave it out of the formula.")
    t = np.concatenate([np.repeat(boundary[0], degree + 1), knots, np.repeat(boundary[1], degree + 1)])
    return BSpline(t, np.eye(len(t) - degree - 1), degree, extrapolate=True)


def bs(x, df=None, knots=None, degree=3.0, intercept=False, Boundary_knots=None, *, state):
    """bs(x, df): B-spline basis as in R's package splines."""
    x, seen = _observed(x, "bs")
    degree, drop = int(degree), 0 if _flag(intercept) else 1
    inner = 0 if df is None else int(df) - (degree + 1) + drop
    if df is not None and inner < 0:
        raise FormulaError(f"df = {int(df)} is too small for a B-spline of degree {degree}; use at least {degree + 1 - drop}.")
    boundary, knots = _knots(x[seen], knots, Boundary_knots, inner, state)
    basis = _b_splines(boundary, knots, degree)(x[seen])[:, drop:]
    return _spread(basis, seen, tuple(str(k + 1) for k in range(basis.shape[1])))


def ns(x, df=None, knots=None, intercept=False, Boundary_knots=None, *, state):
    """ns(x, df): natural cubic splines as in R's package splines.

    The cubic B-splines are restricted to zero second derivatives at both
    boundary knots, by the orthogonal complement of those two conditions, and
    continue as straight lines outside.
    """
    x, seen = _observed(x, "ns")
    drop = 0 if _flag(intercept) else 1
    inner = 0 if df is None else int(df) - 2 + drop
    if df is not None and inner < 0:
        raise FormulaError(f"df = {int(df)} is too small for a natural spline; use at least {2 - drop}.")
    boundary, knots = _knots(x[seen], knots, Boundary_knots, inner, state)
    spline = _b_splines(boundary, knots, 3)
    inside = np.clip(x[seen], *boundary)
    basis = spline(inside)[:, drop:]
    outside = x[seen] != inside
    if outside.any():
        slopes = spline.derivative()(inside[outside])[:, drop:]
        basis[outside] += slopes * (x[seen] - inside)[outside, None]
    conditions = spline.derivative(2)(boundary)[:, drop:]
    complement = np.linalg.qr(conditions.T, mode="complete")[0][:, 2:]
    basis = basis @ complement
    return _spread(basis, seen, tuple(str(k + 1) for k in range(basis.shape[1])))


TRANSFORMS = {"scale": scale, "poly": poly, "bs": bs, "ns": ns}
