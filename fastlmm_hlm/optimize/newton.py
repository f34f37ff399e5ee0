"""Newton's method on a smooth criterion whose curvature is nearly known.

The caller gives the value, the exact gradient and an approximate Hessian B (for a
mixed model: average information plus exact terms).  What B lacks is learned from
the gradients by a symmetric rank-one secant correction S, so the last steps
converge superlinearly (structured quasi-Newton: Dennis, Gay & Welsch 1981, ACM
TOMS 7(3); Conn, Gould & Toint 1991).

Step: eigen-decompose H = B + S, take absolute eigenvalues with a relative floor,
solve, backtrack on the value.  A stationary point with a negative eigenvalue is
left along that eigenvector.
"""

import math
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from fastlmm_hlm._core.small import eigh

MAX_EVALUATIONS = 200
# Predicted decrease at which the minimum is reached; deviance units.
TOLERANCE = 1e-11
# Values differ by rounding below this multiple of their size.
ROUNDING = 4e-15
EIGENVALUE_FLOOR = 1e-10
LONGEST_STEP = 5.0
LAST_STEP = 1e-3
# `polish` takes steps that promise between these decreases, at most so many.
POLISH_FROM, POLISH_TO, MOST_POLISHING = 1e-7, 1e-17, 8
# A step that promises less than NEARLY is the last, unevaluated, if it leaves every parameter
# an error below LAST_DIGITS of itself (or of SMALL, where it is smaller).
NEARLY, LAST_DIGITS, SMALL = 1e-7, 1e-8, 0.1


class Step(NamedTuple):
    """One line of the trace.

    evaluation : int
        How many evaluations had been made.
    criterion : float
    predicted_decrease, step : float
        What the step to this point promised, and its length; NaN where the method makes none.
    """

    evaluation: int
    criterion: float
    predicted_decrease: float = math.nan
    step: float = math.nan


@dataclass
class Minimum:
    """What a minimizer found.

    Attributes
    ----------
    par : ndarray (m,)
    value : float
        At the last evaluation; Newton's ``par`` is one predicted step further,
        which changes the value by less than its rounding.
    evaluations : int
    status : str
        "converged", or why it stopped.
    message : str
    trace : list of Step
    evaluation : object or None
        The evaluation at ``par``, where the method makes one with derivatives.
    """

    par: np.ndarray
    value: float
    evaluations: int
    status: str
    message: str
    trace: list = field(default_factory=list)
    evaluation: object = None


def _eigen_step(H, g):
    """-|H|^-1 g, the decrease it predicts, and the eigen-decomposition of H."""
    w, V = eigh(H)
    size = max(np.abs(w).max(), 1e-300)
    w_abs = np.maximum(np.abs(w), EIGENVALUE_FLOOR * size)
    along = V.T @ g
    return -V @ (along / w_abs), 0.5 * float((along**2 / w_abs).sum()), w, V


def newton(evaluate, start, *, max_evaluations=MAX_EVALUATIONS, tolerance=TOLERANCE, report=None):
    """Minimize a criterion by Newton steps with learned corrections.

    Parameters
    ----------
    evaluate : callable
        par -> object with ``par``, ``value``, ``gradient``, ``hessian``; may raise
        ArithmeticError where the criterion does not exist.
    start : ndarray, shape (m,)
    max_evaluations : int
    tolerance : float
        Predicted decrease of the criterion at which to stop.
    report : callable or None
        Called with each entry of the trace.

    Returns
    -------
    Minimum
    """
    here = evaluate(start)
    count, trace = 1, []
    S = np.zeros((len(start), len(start)))

    def note(decrease, length):
        trace.append(Step(count, here.value, decrease, length))
        if report:
            report(trace[-1])

    def found(status, message="", last=0.0):
        return Minimum(here.par + last, here.value, count, status, message, trace, here)

    note(math.nan, math.nan)
    stalled, foretold = 0, 0.0
    while True:
        H = here.hessian + S
        step, predicted, w, V = _eigen_step(H, here.gradient)
        noise = ROUNDING * max(abs(here.value), 1.0)
        target = max(tolerance, noise)
        if predicted <= target or _leaves_no_error(here.par, step, predicted, foretold):
            saddle = w[0] < -1e-7 * max(np.abs(w).max(), 1.0)
            if saddle and S.any():           # the correction may be to blame: ask the model alone
                S = np.zeros_like(S)
                continue
            if not saddle:
                # the gradient is good for more digits than the value: take the last step unevaluated
                small = np.linalg.norm(step) <= LAST_STEP * max(1.0, np.linalg.norm(here.par))
                return found("converged", last=step if small else 0.0)
            step = V[:, 0] * min(1.0, LONGEST_STEP)
            predicted = 0.5 * abs(w[0])
        if count >= max_evaluations:
            return found("failed", f"{count} evaluations were not enough")
        length = np.linalg.norm(step)
        limit = LONGEST_STEP * max(1.0, np.linalg.norm(here.par))
        if length > limit:
            step, length = step * (limit / length), limit

        fraction, slope, there = 1.0, float(step @ here.gradient), None
        while count < max_evaluations:
            there = _evaluation_or_none(evaluate, here.par + fraction * step)
            count += 1
            if there is not None and there.value <= here.value + 1e-4 * fraction * slope + noise:
                break
            if there is None:
                fraction *= 0.25
            else:
                rise = there.value - here.value
                fit = -slope * fraction / (2.0 * (rise / fraction - slope)) if rise / fraction > slope else 0.5 * fraction
                fraction = float(np.clip(fit, 0.1 * fraction, 0.5 * fraction))
            there = None
            if fraction * length < 1e-14 * max(1.0, np.linalg.norm(here.par)):
                break
        if there is None:
            if predicted <= 1e3 * target:
                return found("converged", "at the limit of rounding")
            if count >= max_evaluations:
                return found("failed", f"{count} evaluations were not enough")
            return found("failed", "no step along the Newton direction lowers the criterion")

        s = there.par - here.par
        y = there.gradient - here.gradient
        decrease = here.value - there.value
        S = _corrected(S, there.hessian, s, y) if _predicted_well(here, s, S, decrease) else np.zeros_like(S)
        stalled = stalled + 1 if abs(decrease) <= noise else 0
        here, foretold = there, predicted if fraction == 1.0 else 0.0
        note(predicted, fraction * length)
        if stalled >= 3:
            return found("converged", "at the limit of rounding")


def polish(evaluate, here):
    """Steps from a point so near the minimum that the value cannot tell them apart.

    The gradient is good for more digits than the value, so it alone judges: the point counts
    from which the next step promises least.

    Parameters
    ----------
    evaluate : callable
        As for `newton`.
    here : evaluation
        Of a point where `newton` ended.

    Returns
    -------
    evaluation
    """
    S = np.zeros_like(here.hessian)
    step, predicted, _, _ = _eigen_step(here.hessian, here.gradient)
    best, least = here, predicted
    for _ in range(MOST_POLISHING):
        if not POLISH_TO < predicted < POLISH_FROM:
            break
        there = _evaluation_or_none(evaluate, here.par + step)
        if there is None or there.value > best.value + POLISH_FROM:
            break
        S = _corrected(S, there.hessian, step, there.gradient - here.gradient)
        here, (step, predicted, _, _) = there, _eigen_step(there.hessian + S, there.gradient)
        if predicted < least:
            best, least = here, predicted
    return best


def _leaves_no_error(par, step, predicted, foretold):
    """Whether a step is so short, and the last one was so good, that nothing is left to improve.

    A full step that foretold the decrease d and left d' to be gained missed the minimum by
    sqrt(d'/d) of its length; the next does not miss by a larger share.
    """
    if not predicted <= min(NEARLY, foretold):
        return False
    missed = math.sqrt(predicted / foretold) if foretold else 1.0
    return bool((missed * np.abs(step) <= LAST_DIGITS * np.maximum(np.abs(par), SMALL)).all())


def _evaluation_or_none(evaluate, par):
    """The evaluation, or None where the criterion or its derivatives do not exist."""
    try:
        there = evaluate(par)
    except ArithmeticError:
        return None
    finite = math.isfinite(there.value) and np.isfinite(there.gradient).all() and np.isfinite(there.hessian).all()
    return there if finite else None


def _predicted_well(here, s, S, decrease):
    """Whether the model at `here`, with or without S, foretold the decrease to within half of it.

    Elsewhere a correction would learn the higher terms of a long step, not the
    curvature (measured over 87 parity cases: longest search 29 -> 14 evaluations).
    """
    plain = -float(s @ here.gradient) - 0.5 * float(s @ here.hessian @ s)
    errors = abs(plain - decrease), abs(plain - 0.5 * float(s @ S @ s) - decrease)
    return min(errors) <= 0.5 * abs(decrease)


def _corrected(S, B, s, y):
    """Symmetric rank-one update: afterwards (B + S) s = y."""
    residual = y - (B + S) @ s
    scale = float(residual @ s)
    if abs(scale) <= 1e-8 * np.linalg.norm(residual) * np.linalg.norm(s) or scale == 0.0:
        return S
    return S + np.outer(residual, residual) / scale
