"""BFGS and L-BFGS on the exact gradient (SciPy's), for criteria on which Newton's steps stall."""

import math

import numpy as np

from fastlmm_hlm.optimize.newton import Minimum, Step

MAX_EVALUATIONS = 200
GRADIENT_TOLERANCE = 1e-7
# Method -> SciPy's name of it, and options beside the gradient's.
METHODS = {"bfgs": ("BFGS", {}), "lbfgs": ("L-BFGS-B", {"ftol": 0.0})}


def bfgs(evaluate, start, *, max_evaluations=None, tolerance=None, report=None, method="bfgs"):
    """Minimize with BFGS updates, of the whole matrix or with limited memory ("lbfgs").

    Other parameters are as for `newton`; `tolerance` is the largest component of the
    gradient at which to stop.

    Returns
    -------
    Minimum
    """
    from scipy import optimize

    limit = MAX_EVALUATIONS if max_evaluations is None else int(max_evaluations)
    best, trace = [None], []

    def objective(par):
        if len(trace) >= limit:
            raise StopIteration
        try:
            here = evaluate(par)
        except ArithmeticError:
            trace.append(Step(len(trace) + 1, math.inf))
            return math.inf, np.zeros(len(par))
        if best[0] is None or here.value < best[0].value:
            best[0] = here
        trace.append(Step(len(trace) + 1, here.value))
        if report:
            report(trace[-1])
        return here.value, here.gradient

    gtol = GRADIENT_TOLERANCE if tolerance is None else tolerance
    status, message = "converged", ""
    try:
        name, options = METHODS[method]
        result = optimize.minimize(objective, start, jac=True, method=name, options={"gtol": gtol, **options})
        if not result.success and (best[0] is None or np.abs(best[0].gradient).max() > 1e-3):
            status, message = "failed", result.message
    except StopIteration:
        status, message = "failed", f"{limit} evaluations were not enough"
    if best[0] is None:
        return Minimum(np.array(start), math.inf, len(trace), "failed", "the criterion exists nowhere", trace)
    return Minimum(best[0].par, best[0].value, len(trace), status, message, trace, best[0])
