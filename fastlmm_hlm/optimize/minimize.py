"""One call for every optimizer."""

import logging

from fastlmm_hlm.optimize.derivative_free import ALGORITHMS, derivative_free
from fastlmm_hlm.optimize.newton import MAX_EVALUATIONS, newton
from fastlmm_hlm.optimize.quasi_newton import METHODS, bfgs

log = logging.getLogger("fastlmm_hlm")

# Newton's steps until the coordinates are turned to the covariance that has been reached.
ROUND = 10


def minimize(criterion, start, control, report=None):
    """Minimize a criterion with the optimizer of `control`.

    Newton goes in rounds: a search that is long is one that has left the region for which its
    coordinates were made, so they are made anew every `ROUND` evaluations.  It falls back on
    BFGS when its steps no longer lower the criterion.

    Parameters
    ----------
    criterion : object with ``value(par)``, ``evaluate(par)`` and ``lower()``
        May also have ``align(par)``: make the coordinates anew for this point, and give it in them.
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
    most = control.max_evaluations or MAX_EVALUATIONS
    found = _newton_in_rounds(criterion, start, most, {k: options[k] for k in ("tolerance", "report") if options[k] is not None})
    if found.status == "converged" or found.evaluations >= most:
        return found, "newton"
    log.info("newton: %s; continuing with BFGS", found.message)
    options["tolerance"] = None
    return _after(found, bfgs(criterion.evaluate, found.par, **options)), "newton+bfgs"


def _newton_in_rounds(criterion, start, most, options):
    """Newton's method with new coordinates after every round."""
    align = getattr(criterion, "align", None)
    if align is None:
        return newton(criterion.evaluate, start, max_evaluations=most, **options)
    found = newton(criterion.evaluate, start, max_evaluations=min(ROUND, most), **options)
    limit = ROUND
    while found.status == "failed" and limit == found.evaluations < most:      # the round is over, and nothing else
        limit = min(limit + ROUND, most)
        found = _after(found, newton(criterion.evaluate, align(found.par), max_evaluations=limit - found.evaluations, **options))
    if found.status == "failed" and found.evaluations >= most:
        found.message = f"{found.evaluations} evaluations were not enough"
    return found


def _after(first, second):
    """The second search with the first one's evaluations and trace before its own."""
    second.trace[:] = [*first.trace, *(step._replace(evaluation=step.evaluation + first.evaluations) for step in second.trace)]
    second.evaluations += first.evaluations
    return second
