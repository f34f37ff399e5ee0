"""BOBYQA, Nelder-Mead, Subplex and COBYLA from the NLopt library, which lme4 uses too."""

import math

import numpy as np

from fastlmm_hlm.optimize.newton import Minimum, Step

MAX_EVALUATIONS = 100_000
TOLERANCE = 1e-14
STEP_TOLERANCE = 1e-10
# Method -> NLopt's name of it.
ALGORITHMS = {"bobyqa": "LN_BOBYQA", "nelder_mead": "LN_NELDERMEAD", "sbplx": "LN_SBPLX", "cobyla": "LN_COBYLA"}


def derivative_free(value, start, lower, method, *, max_evaluations=None, tolerance=None, report=None):
    """Minimize without derivatives.

    Parameters
    ----------
    value : callable
        par -> float; an ArithmeticError counts as +infinity.
    start, lower : ndarray, shape (m,)
    method : {"bobyqa", "nelder_mead", "sbplx", "cobyla"}
    max_evaluations : int or None
    tolerance : float or None
        Relative change of the value at which to stop.

    Returns
    -------
    Minimum
    """
    import nlopt

    algorithm = getattr(nlopt, ALGORITHMS[method])
    if method == "bobyqa" and len(start) == 1:      # NLopt's BOBYQA needs two parameters
        algorithm = nlopt.LN_COBYLA
    best = [np.array(start), math.inf]
    trace = []

    def objective(par, _):
        try:
            d = value(np.array(par))
        except ArithmeticError:
            d = math.inf
        trace.append(Step(len(trace) + 1, d))
        if d < best[1]:
            best[:] = [np.array(par), d]
        if report:
            report(trace[-1])
        return d

    search = nlopt.opt(algorithm, len(start))
    search.set_min_objective(objective)
    search.set_lower_bounds(lower)
    search.set_ftol_rel(TOLERANCE if tolerance is None else tolerance)
    search.set_xtol_abs(STEP_TOLERANCE)
    search.set_maxeval(MAX_EVALUATIONS if max_evaluations is None else int(max_evaluations))
    try:
        search.optimize(np.maximum(start, lower))
        code = search.last_optimize_result()
    except nlopt.RoundoffLimited:
        code = nlopt.FTOL_REACHED
    if not math.isfinite(best[1]):
        return Minimum(best[0], best[1], len(trace), "failed", "the criterion is not finite anywhere", trace)
    if code == nlopt.MAXEVAL_REACHED:
        return Minimum(best[0], best[1], len(trace), "failed", f"{len(trace)} evaluations were not enough", trace)
    return Minimum(best[0], best[1], len(trace), "converged", "", trace)
