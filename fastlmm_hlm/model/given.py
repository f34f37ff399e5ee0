"""Models whose parameters are given and not estimated: simr's makeLmer() and its assignments."""

import numpy as np

from fastlmm_hlm.criterion.given import given_estimates
from fastlmm_hlm.design.crossprod import choose_shift, cross_products
from fastlmm_hlm.errors import ArgumentError, DataError
from fastlmm_hlm.formula import parse_formula
from fastlmm_hlm.formula.columns import DataColumns
from fastlmm_hlm.formula.syntax import Name, column_names
from fastlmm_hlm.inference.denovo import frame_without_response, with_column
from fastlmm_hlm.inference.givenparameters import fixed_effects, residual_deviation, templates_from_theta, templates_from_varcorr
from fastlmm_hlm.inference.simulation import ResponseSimulator, generator_of, seed_sequence
from fastlmm_hlm.model.fitting import Fitted, Settings, frame_of, make_criterion, make_design, threads_of, with_changes
from fastlmm_hlm.model.mixedmodel import LinearMixedModel
from fastlmm_hlm.model.submodel import design_of

NOT_FITTED = "parameters are given, not estimated"


def make_lmer(formula, data, fixef, VarCorr=None, sigma=None, *, theta=None, REML=True, weights=None, offset=None,  # noqa: N803
              contrasts=None, seed=None):
    """A linear mixed model with given parameters, as simr's ``makeLmer`` makes one.

    Nothing is fitted: `simulate`, `predict`, `summary`, `power_sim` and the rest speak of the
    parameters that are given, and the criterion is evaluated there.

    Parameters
    ----------
    formula : str
    data : data frame
        Without the response its values are simulated from the parameters.
    fixef : sequence or mapping
        One number per fixed effect, in the order of ``fixef(fit)``, or a mapping coefficient -> number.
    VarCorr : number, sequence, matrix or mapping
        By grouping factor, or alone where there is one term: a number or vector of standard
        deviations, or a covariance matrix.  (A number is a variance in simr.)
    sigma : float
        Residual standard deviation.
    theta : array, optional
        In the place of VarCorr: relative covariance parameters in lme4's order.
    REML : bool
        Which criterion is evaluated, and by which power simulations fit.
    weights, offset, contrasts
        As for `lmer`.
    seed : int, optional
        For a response that is simulated.

    Returns
    -------
    LinearMixedModel

    Raises
    ------
    ArgumentError
        If a parameter is missing or has the wrong number of values; the message names them.
    DataError
        If the response is an expression such as log(y) of columns that are not there.

    References
    ----------
    Green & MacLeod (2016), Methods in Ecology and Evolution 7(4).

    Examples
    --------
    >>> import pandas as pd
    >>> plan = pd.DataFrame({"x": list(range(10)) * 3, "g": ["a"] * 10 + ["b"] * 10 + ["c"] * 10})
    >>> model = make_lmer("y ~ x + (1 | g)", plan, fixef=[2, -0.1], VarCorr={"g": 0.7}, sigma=1.0, seed=1)
    >>> model.sigma()
    1.0
    """
    caller = "make_lmer"
    settings = Settings(formula, data, bool(REML), weights, offset, None, contrasts)
    asked = parse_formula(formula)
    if asked.response_node is None:
        raise ArgumentError(f"{caller}: '{asked.text}' has no response; name it, as in y {asked.text}. The data need not have it.")
    have = all(name in DataColumns(data) for name in column_names(asked.response_node))
    if not have and not isinstance(asked.response_node, Name):
        raise DataError(f"{caller}: the data have no columns for the response {asked.response}, and it cannot be simulated through a "
                        "function. Give the response a plain name, or put the columns into the data.")
    frame = frame_of(settings) if have else frame_without_response(
        formula, data, caller, weights=weights, offset=offset, contrasts=contrasts)
    design, products, kept, dropped, combinations = make_design(frame, settings.control)
    sigma = residual_deviation(sigma, caller)
    beta = fixed_effects(fixef, design.x_names, caller, what="fixef")
    templates = random_part(theta, VarCorr, design, sigma, caller)
    if not have:
        y = ResponseSimulator(design, beta, sigma, templates).draw(generator_of(seed_sequence(seed), 0))
        design = design.with_response(y)
        products = None
        whole = np.full(frame.n_input, np.nan)
        whole[slice(None) if frame.rows is None else frame.rows] = y
        settings = with_changes(settings, data=with_column(data, asked.response, whole))
    fitted = at_parameters(design, products, settings, beta, templates, sigma, dropped, kept, combinations)
    made = LinearMixedModel(settings, frame, fitted)
    made._given = True
    return made


def random_part(theta, varcorr, design, sigma, caller, start=None):
    """Templates from theta or from standard deviations and covariances, one of which is given.

    Raises
    ------
    ArgumentError
    """
    if theta is not None and varcorr is not None:
        raise ArgumentError(f"{caller}: both theta and VarCorr are given; give one of them.")
    if theta is not None:
        return templates_from_theta(theta, design, caller)
    if varcorr is None:
        if start is not None:
            return start
        raise ArgumentError(f"{caller}: VarCorr is missing; give standard deviations or a covariance matrix for each of "
                            f"{', '.join(term.text for term in design.terms)}.")
    return templates_from_varcorr(varcorr, design, sigma, caller, start)


def at_parameters(design, products, settings, beta, templates, sigma, dropped=(), kept=None, dependence=None):
    """What a model object holds, at given parameters.

    Parameters
    ----------
    design : Design
    products : CrossProducts or None
        Made from the rows when None.
    settings : Settings
    beta, templates, sigma
        In the user's columns.
    dropped, kept, dependence
        Of `Fitted`.

    Returns
    -------
    Fitted
    """
    threads = threads_of(settings.control)
    if products is None:
        products = cross_products(design, choose_shift(design), threads=threads)
    centrings = [factor.centring for factor in design.factors]
    criterion = make_criterion(products, design.terms, centrings, settings)
    estimates = given_estimates(criterion, design.x_centring, templates, beta, sigma, settings.control.factorization, threads)
    deviations = criterion.smallest_deviations(criterion.from_templates(estimates.templates))
    boundary = [t.text for t, d in zip(design.terms, deviations) if d < settings.control.singular_tolerance]
    optinfo = {
        "optimizer": "none", "status": "given", "evaluations": 0, "gradient_norm": np.nan, "predicted_decrease": np.nan,
        "min_eigenvalue": np.nan, "boundary": boundary, "message": NOT_FITTED, "trace": [], "seconds": 0.0,
    }
    kept = np.arange(design.p) if kept is None else kept
    return Fitted(design, products, criterion, estimates, deviations, optinfo, [], list(dropped), kept, dependence)


def with_parameters(fit, fixef=None, VarCorr=None, sigma=None, theta=None):  # noqa: N803
    """A model like a fit with other parameters; see `LinearMixedModel.with_parameters`."""
    caller = "with_parameters"
    if fixef is None and VarCorr is None and sigma is None and theta is None:
        raise ArgumentError(f"{caller}: nothing to change; give fixef=, VarCorr= (or theta=) or sigma=.")
    e = fit._estimates
    design = design_of(fit)
    new_sigma = e.sigma if sigma is None else residual_deviation(sigma, caller)
    beta = e.beta if fixef is None else fixed_effects(fixef, fit._x_names, caller, e.beta, "fixef")
    same = [T * (e.sigma / new_sigma) for T in e.templates]        # the covariances stay as they are
    templates = random_part(theta, VarCorr, design, new_sigma, caller, same)
    fitted = at_parameters(design, fit._products, fit._settings, beta, templates, new_sigma, fit._dropped_columns,
                           fit._kept_columns, fit._dependence)
    return like(fit, fitted, fit._rows)


def like(fit, fitted, rows, **changed):
    """A model with given parameters that shares all else with a fit.

    Parameters
    ----------
    fit : LinearMixedModel
    fitted : Fitted
    rows : Rows or None
    **changed
        Attributes that differ.
    """
    new = fit._like(fitted, rows, **changed)
    new._given = True
    return new
