"""A fit with some of its parameters replaced: lme4's argument newparams."""

import copy
from dataclasses import replace

import numpy as np

from fastlmm_hlm.criterion.estimates import spherical_effects, templates_of, theta_of
from fastlmm_hlm.errors import ArgumentError

KNOWN = ("beta", "theta", "sigma")


def with_parameters(fit, newparams, caller="predict"):
    """The fit as it predicts and simulates under other parameters.

    As in lme4 the spherical random effects u stay what they are, so new theta give
    b = Lambda(theta) u; they are not estimated again.

    Parameters
    ----------
    fit : LinearMixedModel
    newparams : None or dict with some of
        beta : array (p,), or a Series or dict by the names of ``fixef(fit)``
        theta : array, in the order of ``fit.theta``
        sigma : float
    caller : str

    Returns
    -------
    LinearMixedModel
        A copy for the use of the caller; the fit itself without newparams.

    Raises
    ------
    ArgumentError
        If a parameter is unknown, has another length, or is not finite.
    """
    if newparams is None:
        return fit
    if not isinstance(newparams, dict) or not newparams or set(newparams) - set(KNOWN):
        found = ", ".join(map(repr, newparams)) or "nothing" if isinstance(newparams, dict) else type(newparams).__name__
        raise ArgumentError(f"{caller}: newparams has {found}; expected a dict with some of 'beta', 'theta', 'sigma'.")
    e, new = fit._estimates, copy.copy(fit)
    if "theta" in newparams:
        e = _with_theta(fit, _numbers(newparams["theta"], "theta", len(e.theta), "as fit.theta", caller))
    if "beta" in newparams:
        beta = _by_name(newparams["beta"], fit._x_names, caller)
        e = replace(e, beta=_numbers(beta, "beta", e.p, "as fixef(fit)", caller))
    if "sigma" in newparams:
        sigma = float(_numbers(np.atleast_1d(newparams["sigma"]), "sigma", 1, "a standard deviation", caller)[0])
        if sigma < 0:
            raise ArgumentError(f"{caller}: newparams['sigma'] = {sigma:g}; a standard deviation is not negative.")
        e = replace(e, sigma=sigma)
    new._estimates, new._condVar, new._ddf_methods = e, None, {}
    new._criterion_object = fit._criterion
    return new


def _by_name(beta, names, caller):
    if not (hasattr(beta, "keys") and hasattr(beta, "__getitem__")):
        return beta
    if set(beta.keys()) != set(names):
        raise ArgumentError(
            f"{caller}: newparams['beta'] has the names {', '.join(map(str, beta.keys()))}; expected those of fixef(fit): "
            f"{', '.join(names)}."
        )
    return [beta[name] for name in names]


def _numbers(values, name, size, like, caller):
    try:
        array = np.asarray(values, dtype=float).ravel()
    except (TypeError, ValueError):
        raise ArgumentError(f"{caller}: newparams[{name!r}] = {values!r}; expected numbers.") from None
    if len(array) != size or not np.isfinite(array).all():
        raise ArgumentError(
            f"{caller}: newparams[{name!r}] has {len(array)} value{'' if len(array) == 1 else 's'}"
            f"{'' if np.isfinite(array).all() else ', some not finite'}; expected {size}, {like}."
        )
    return array


def _with_theta(fit, theta):
    """The estimates at another theta: templates, RX and b = Lambda u."""
    e, criterion = fit._estimates, fit._criterion
    u = spherical_effects(criterion, e)
    templates = templates_of(theta, [len(term.names) for term in fit._terms])
    b = [np.zeros_like(part) for part in u]
    for term, T in zip(fit._terms, templates):
        b[term.factor][:, term.columns] = u[term.factor][:, term.columns] @ T.T
    criterion.evaluate_templates(templates)
    RX = criterion.kernel.RX()
    if not fit._x_centring.is_identity:
        RX = np.linalg.qr(RX @ fit._x_centring.inverse, mode="r")
    return replace(e, templates=templates, theta=theta_of(templates), RX=RX, b=b)
