"""One call for every optimizer."""

import logging

from fastlmm_hlm.optimize.derivative_free import ALGORITHMS, derivative_free
from fastlmm_hlm.optimize.newton import newton
from fastlmm_hlm.optimize.quasi_newton import METHODS, bfgs

log = logging.getLogger("fastlmm_hlm")


def minimize(criterion, start, control, report=None):
    """Minimize a criterion with the optimizer of `control`.

    Newton falls back on BFGS when its steps no longer lower the criterion.

    Parameters
    ----------
    criterion : object with ``value(par)``, ``evaluate(par)`` and ``lower()``
    start : ndarray, shape (m,)
    control : Control
    report : callable or None
        Called with (evaluation, value, predicted decrease, step length).

    Returns
    -------
    Minimum, the optimizer's name
    """
    options = {"max_evaluations": control.max_evaluations, "tolerance": control.tolerance, "report": report}
    if control.optimizer in ALGORITHMS:
        return derivative_free(criterion.value, start, criterion.lower(), control.optimizer, **options), control.optimizer
    if control.optimizer in METHODS:
        return bfgs(criterion.evaluate, start, method=control.optimizer, **options), control.optimizer
    found = newton(criterion.evaluate, start, **{k: v for k, v in options.items() if v is not None})
    if found.status == "converged" or found.evaluations >= (control.max_evaluations or 200):
        return found, "newton"
    log.info("newton: %s; continuing with BFGS", found.message)
    options["tolerance"] = None
    second = bfgs(criterion.evaluate, found.par, **options)
    second.evaluations += found.evaluations
    second.trace[:0] = found.trace
    return second, "newton+bfgs"
