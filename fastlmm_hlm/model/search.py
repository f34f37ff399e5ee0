"""The search for the optimum: one search from a starting point, a second where the first ends at an edge.

A singular covariance is a place where a search can be caught: the criterion may have another, lower minimum inside.
So a search that ends there, or that was long, is followed by others: from theta = the identity, which is where lme4
starts, and from columns of mean square one with standard deviations of one sigma, where that is another place.
The lowest optimum counts.
"""

import contextlib
import logging
import math
from dataclasses import dataclass, replace

import numpy as np

from fastlmm_hlm._core.kernels import NoResidual, NotPositiveDefinite
from fastlmm_hlm.errors import ArgumentError, ConvergenceError, DataError
from fastlmm_hlm.optimize.minimize import ROUND, minimize
from fastlmm_hlm.optimize.newton import polish

log = logging.getLogger("fastlmm_hlm")

# Two values of the criterion closer than this are the same optimum.
SAME_CRITERION = 1e-9
# Standard deviations closer than this factor make one starting point.
SAME_PLACE = 3.0
UNUSABLE_START = (
    "lmer: the criterion cannot be computed at start: theta is too large. Theta is the standard deviations of the "
    "random effects relative to sigma; values such as 1 will do."
)


@dataclass
class Optimum:
    """Where a search ended.

    Attributes
    ----------
    par : ndarray (m,)
        In the coordinates of the criterion.
    at : Evaluation
        The criterion with its derivatives there.
    found : Minimum
        What the optimizer says.
    name : str
        The optimizer.
    deviations : ndarray (terms,)
        The smallest of each term; see `LmmCriterion.smallest_deviations`.
    """

    par: np.ndarray
    at: object
    found: object
    name: str
    deviations: np.ndarray


def best_optimum(criterion, start, control, verbose=0, given=False):
    """The lowest optimum that one to three searches find.

    Parameters
    ----------
    criterion : LmmCriterion
        Afterwards its coordinates are those of the optimum.
    start : ndarray (m,)
    control : Control
    verbose : int
    given : bool
        Whether the start is the user's.

    Returns
    -------
    Optimum

    Raises
    ------
    ArgumentError, ConvergenceError, DataError
        If the criterion exists at no point that was tried.
    """
    first = _optimum(criterion, start, control, verbose, given)
    at_an_edge = (first.deviations < control.singular_tolerance).any()
    if control.optimizer != "newton" or not (at_an_edge or first.found.evaluations > ROUND):
        return first
    best, scales, evaluations = first, list(criterion.scales), first.found.evaluations
    most = math.inf if control.max_evaluations is None else control.max_evaluations
    for start in _other_starts(criterion):
        if evaluations >= most:
            break
        left = control if most == math.inf else replace(control, max_evaluations=most - evaluations)
        try:
            other = _optimum(criterion, criterion.from_templates(start), left, verbose, given=False)
        except (ArithmeticError, DataError):
            continue
        evaluations += other.found.evaluations
        if other.at.value < best.at.value - SAME_CRITERION:
            log.info("another search found a lower optimum: %.8f after %.8f", other.at.value, best.at.value)
            other.found.trace[:0] = best.found.trace
            best, scales = other, list(criterion.scales)
    criterion.scales, best.found.evaluations = scales, evaluations
    return best


def _other_starts(criterion):
    """Templates of the other starting points, lists of (c, c)."""
    working = criterion.templates(criterion.unit_start())
    identity = [np.eye(len(T)) for T in working]
    sizes = np.concatenate([np.linalg.norm(T, axis=1) for T in working])
    return [identity] if (np.abs(np.log(sizes)) < math.log(SAME_PLACE)).all() else [identity, working]


def _optimum(criterion, start, control, verbose, given):
    """One search, its result put onto the boundary where it is there for all purposes."""
    found, name = _search(criterion, criterion.align(start), control, verbose, given)
    par = criterion.normalize(found.par)
    settled = _settle(criterion, par, control.singular_tolerance)
    if settled is par and found.evaluation is not None and found.evaluations <= ROUND:
        at = found.evaluation        # signs apart, which change neither gradient norm nor curvature
    elif control.optimizer != "newton":
        par, at = settled, criterion.evaluate(settled)
    else:
        before = criterion.evaluations
        at = polish(criterion.evaluate, criterion.evaluate(criterion.align(settled)))
        par = criterion.normalize(at.par)
        found.evaluations += criterion.evaluations - before
    return Optimum(par, at, found, name, criterion.smallest_deviations(par))


def _settle(criterion, par, tolerance):
    """Put directions that are zero for all purposes onto the boundary, if that costs nothing."""
    edge = criterion.onto_boundary(par, tolerance)
    if np.array_equal(edge, par):
        return par
    try:
        if criterion.value(edge) <= criterion.value(par) + SAME_CRITERION:
            return edge
    except ArithmeticError:
        pass
    return par


@contextlib.contextmanager
def _progress(verbose):
    """A function that logs the optimizer's steps, to stderr unless the logger has a handler; None when silent."""
    if not verbose:
        yield None
        return
    handler, level = logging.StreamHandler(), log.level
    added = not log.hasHandlers()
    if added:
        log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        yield lambda entry: log.info(
            "evaluation %4d   criterion %.8f   predicted decrease %.2e   step %.2e", *entry
        )
    finally:
        log.setLevel(level)
        if added:
            log.removeHandler(handler)


def _search(criterion, start, control, verbose, given):
    """Run the optimizer; returns the minimum and the optimizer's name."""
    try:
        with _progress(verbose) as report:
            found, name = minimize(criterion, start, control, report)
    except NoResidual:
        if given:
            raise ArgumentError(UNUSABLE_START) from None
        raise DataError(
            "lmer: the model reproduces the response exactly (residual sum of squares zero), so sigma is zero "
            "and the likelihood is unbounded. Is the response a function of the predictors?"
        ) from None
    except NotPositiveDefinite as error:
        if given:
            raise ArgumentError(UNUSABLE_START) from None
        raise ConvergenceError(f"lmer: {error} at the starting values; check the scale of the columns.") from None
    if not math.isfinite(found.value):
        raise ConvergenceError(f"lmer: {name} found no point with a finite criterion ({found.message}).")
    return found, name
