"""The steps of a fit, from text and data to estimates."""

import time
from dataclasses import dataclass, field, replace

import numpy as np

from fastlmm_hlm._core.kernels import column_moments
from fastlmm_hlm._core.threads import allowed_threads
from fastlmm_hlm.criterion.enough import check_memory
from fastlmm_hlm.criterion.estimates import estimates_at, templates_of
from fastlmm_hlm.criterion.lmm import LmmCriterion
from fastlmm_hlm.design.crossprod import choose_shift, cross_products, estimable_columns
from fastlmm_hlm.design.design import build_design, check_magnitude
from fastlmm_hlm.design.rank import dependence, rank_message
from fastlmm_hlm.errors import ArgumentError, ConvergenceError, ConvergenceWarning, DataError
from fastlmm_hlm.errors import RankDeficientWarning, SingularFitWarning, warn_user
from fastlmm_hlm.formula import build_frame
from fastlmm_hlm.model.search import UNUSABLE_START, best_optimum
from fastlmm_hlm.optimize.control import Control
from fastlmm_hlm.optimize.convergence import certify

SINGULAR = "boundary (singular) fit: see help('isSingular')"
# A criterion that curves less than this, for a relative change of theta, has no unique minimum.
FLAT = 1e-7
LARGEST_START = 1e50
# A residual this much smaller than the response has lost its digits to cancellation.
ALMOST_NO_NOISE = 1e-5


@dataclass(frozen=True)
class Settings:
    """The arguments of `lmer`, kept for update, refit and the printed call."""

    formula: object
    data: object = field(repr=False)
    REML: bool = True
    weights: object = None
    offset: object = None
    subset: object = None
    contrasts: object = None
    na_action: str = "omit"
    start: object = None
    control: Control = Control()
    verbose: int = 0
    keep_data: bool = False
    progress: bool = False


@dataclass(frozen=True)
class Fitted:
    """What the steps below produce: everything a model object holds but the frame."""

    design: object
    products: object
    criterion: object
    estimates: object
    deviations: np.ndarray
    optinfo: dict
    messages: list
    dropped_columns: list
    kept_columns: np.ndarray
    dependence: np.ndarray | None = None         # X_dropped = X_kept @ dependence


def make_design(frame, control):
    """Design and cross-products of the estimable columns.

    Returns
    -------
    Design, CrossProducts, kept columns (ndarray of int), names of the dropped ones, and those as
    combinations of the kept ones (None without)
    """
    threads = threads_of(control)
    design = build_design(frame)
    products = cross_products(design, choose_shift(design), threads=threads)
    kept = estimable_columns(design, products)

    def sums_again(design):
        return cross_products(design, choose_shift(design), threads=threads)

    return estimable_design(design, products, kept, control, sums_again)


def estimable_design(design, products, kept, control, sums_again):
    """The design and cross-products without the columns that cannot be estimated.

    Parameters
    ----------
    design : Design
    products : CrossProducts
    kept : ndarray of int
        Columns of X that can be estimated.
    control : Control
    sums_again : callable
        Cross-products of a design with fewer columns.

    Returns
    -------
    As `make_design`.
    """
    dropped = np.delete(design.x_names, kept).tolist() if len(kept) < design.p else []
    combinations = None
    if dropped:
        message = rank_message(dropped)
        combinations = dependence(products.XyWXy[:-1, :-1], design.x_centring.B, kept)
        if control.check_rankX == "stop.deficient":
            p = len(design.x_names)
            raise DataError(
                f"the fixed-effects model matrix is column rank deficient (rank(X) = {len(kept)} < {p} = p); "
                f"{', '.join(dropped)} depend on the columns before them. Drop them from the formula, or allow "
                "it with lmerControl(check_rankX='message+drop.cols')."
            )
        if control.check_rankX != "silent.drop.cols":
            warn_user(message, RankDeficientWarning)
        design = design.with_fixed_columns(kept)
        products = sums_again(design)
    if products.n <= products.p:
        raise DataError(
            f"lmer: {products.n} rows for {products.p} fixed effects; the residual variance cannot be estimated. "
            "Simplify the fixed part of the formula."
        )
    return design, products, kept, dropped, combinations


def starting_point(criterion, start):
    """Working parameters from the user's `start`, or the moments when it is None.

    Raises
    ------
    ArgumentError
    """
    if start is None:
        return criterion.start()
    if isinstance(start, dict):
        unknown = set(start) - {"theta", "par"}
        if unknown or not start:
            raise ArgumentError(
                f"lmer: start has the component(s) {', '.join(map(repr, sorted(unknown))) or 'none'}; "
                "expected 'theta' alone."
            )
        start = start.get("theta", start.get("par"))
    templates = checked_templates(start, [len(term.names) for term in criterion.terms], "start")
    if max(np.abs(T).max() for T in templates) > LARGEST_START:
        raise ArgumentError(UNUSABLE_START)
    return criterion.from_templates(templates)


def checked_templates(theta, sizes, caller):
    """The templates of a theta that a user gave; sizes are the columns of the terms.

    Raises
    ------
    ArgumentError
        If it is no vector of finite numbers of the right length.
    """
    try:
        values = np.asarray(theta, dtype=float)
    except (TypeError, ValueError):
        raise ArgumentError(f"{caller}: theta = {theta!r}; expected numbers, as in fit.theta.") from None
    if not np.isfinite(values).all():
        raise ArgumentError(f"{caller}: theta = {theta!r} has a value that is not finite.")
    try:
        return templates_of(values, sizes)
    except ValueError as error:
        raise ArgumentError(f"{caller}: {error} (the lower triangles of the templates, as in fit.theta).") from None


def make_criterion(products, terms, centrings, settings):
    """The criterion under the settings' choices of likelihood, factorization and threads."""
    control = settings.control
    return LmmCriterion(products, terms, centrings, settings.REML, control.factorization, threads_of(control))


def threads_of(control):
    """Threads to use under a control."""
    return allowed_threads(control.threads)


def solve(design, products, centrings, settings, templates=None, response=None):
    """Optimize and certify; `templates` are a starting point known from another fit, `response` what is known
    of the response where the design has no rows (extremes, standard deviation, mean weight).

    Returns
    -------
    LmmCriterion, LmmEstimates, deviations, optinfo (dict), messages (list of str)
    """
    began = time.perf_counter()
    control = settings.control
    check_memory(products, [factor.name for factor in design.factors], control.check_memory)
    criterion = make_criterion(products, design.terms, centrings, settings)
    point = starting_point(criterion, settings.start) if templates is None else criterion.from_templates(templates)
    given = settings.start is not None and templates is None
    optimum = best_optimum(criterion, point, control, settings.verbose, given)
    par, found, deviations = optimum.par, optimum.found, optimum.deviations
    boundary = [t.text for t, d in zip(design.terms, deviations) if d < control.singular_tolerance]
    certificate = certify(optimum.at, boundary)
    estimates = estimates_at(criterion, par, design.x_centring)
    _refuse_no_noise(_response_facts(design) if response is None else response, estimates, certificate)
    messages = []
    if certificate.status == "failed":
        messages.append(
            f"Model failed to converge: gradient norm {certificate.gradient_norm:.3g}, a Newton step still predicts a "
            f"decrease of {certificate.decrement:.3g}, smallest Hessian eigenvalue {certificate.min_eigenvalue:.3g}"
            + (f" ({found.message})" if found.message else "")
        )
        warn_user(f"lmer: {messages[-1]}. Try lmerControl(max_evaluations=...) or another optimizer.",
                  ConvergenceWarning)
    elif not boundary and certificate.min_eigenvalue * max(1.0, float(par @ par)) < FLAT:
        messages.append("Hessian is numerically singular: parameters are not uniquely determined")
        terms = ", ".join(term.text for term in design.terms)
        warn_user(f"lmer: {messages[-1]} (smallest eigenvalue {certificate.min_eigenvalue:.2g}). The data cannot tell "
                  f"the covariance of {terms} from the rest of the model; is a grouping factor also in the fixed part?",
                  ConvergenceWarning)
    if boundary:
        messages.append(SINGULAR)
        report_singular(control, boundary)
    optinfo = {
        "optimizer": optimum.name,
        "status": certificate.status,
        "evaluations": found.evaluations,
        "gradient_norm": certificate.gradient_norm,
        "predicted_decrease": certificate.decrement,
        "min_eigenvalue": certificate.min_eigenvalue,
        "boundary": boundary,
        "message": found.message,
        "trace": found.trace,
        "seconds": time.perf_counter() - began,
    }
    return criterion, estimates, deviations, optinfo, messages


def _response_facts(design):
    """Extremes and standard deviation of the response and the mean prior weight; None without rows."""
    if design.y is None:        # a smaller model of a fit without rows, which was looked at itself
        return None
    low, high, _, spread = column_moments(design.y)
    return low, high, spread, 1.0 if design.weights is None else float(design.weights.mean())


def _refuse_no_noise(facts, estimates, certificate):
    """Refuse a response in which double precision finds no residual variation.

    The residual sum of squares is then rounding, and the criterion has no minimum.
    """
    if facts is None:
        return
    low, high, spread, weight = facts
    rounding = 16 * np.finfo(float).eps * max(-low, high)
    weight = float(np.sqrt(weight))
    sigma = estimates.sigma / weight
    if sigma < rounding or (certificate.status == "failed" and sigma < ALMOST_NO_NOISE * spread):
        raise DataError(
            f"lmer: the model reproduces the response exactly, or so nearly that rounding decides (residual standard "
            f"deviation {sigma:.2g}, that of the response {spread:.3g}), so the likelihood has no maximum. "
            "Is the response a function of the predictors and groups?"
        )


def report_singular(control, boundary):
    """Say, as the control wants it, which terms have lost rank; nothing if none has."""
    if not boundary:
        return
    message = f"{SINGULAR}: the estimated covariance of {', '.join(boundary)} has lost rank"
    if control.check_conv_singular == "stop":
        raise ConvergenceError(f"lmer: {message}. Simplify the term, or use another check_conv_singular.")
    if control.check_conv_singular != "ignore":
        warn_user(message, SingularFitWarning)


def fit_frame(frame, settings):
    """Fit a model frame; returns Fitted."""
    design, products, kept, dropped, combinations = make_design(frame, settings.control)
    centrings = [factor.centring for factor in design.factors]
    criterion, estimates, deviations, optinfo, messages = solve(design, products, centrings, settings)
    return Fitted(design, products, criterion, estimates, deviations, optinfo, messages, dropped, kept, combinations)


def refit_response(design, y, settings, templates):
    """Fit the same design to another response, from the old optimum."""
    design = design.with_response(y)
    if np.ptp(design.y) == 0:
        raise DataError(f"refit: the new response is constant ({design.y[0]}); there is nothing to fit.")
    check_magnitude(design.y, "the new response")
    products = cross_products(design, choose_shift(design), threads=threads_of(settings.control))
    centrings = [factor.centring for factor in design.factors]
    return (design, products, *solve(design, products, centrings, settings, templates))


def frame_of(settings):
    """The model frame of the settings' formula and data."""
    return build_frame(
        settings.formula,
        settings.data,
        weights=settings.weights,
        offset=settings.offset,
        subset=settings.subset,
        contrasts=settings.contrasts,
        na_action=settings.na_action,
    )


def with_changes(settings, **changes):
    """Settings with some replaced; an unknown name is an error.

    Raises
    ------
    ArgumentError
    """
    unknown = set(changes) - set(Settings.__dataclass_fields__)
    if unknown:
        raise ArgumentError(
            f"update: unknown argument(s) {', '.join(sorted(unknown))}; lmer takes "
            f"{', '.join(Settings.__dataclass_fields__)}."
        )
    return replace(settings, **changes)
