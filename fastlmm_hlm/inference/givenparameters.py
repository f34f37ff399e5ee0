"""Parameters of a model as a user writes them down, turned into what a model is made of.

A number or a vector stands for standard deviations, a matrix for variances and
covariances.  (simr reads a single number as a variance; a 1 x 1 matrix is one here too.)
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from fastlmm_hlm.criterion.estimates import templates_of
from fastlmm_hlm.design.covariance import lower_factor, lower_indices
from fastlmm_hlm.errors import ArgumentError, UnknownNameError
from fastlmm_hlm.inference.labels import make_unique

# Two covariances, one of them passed through the parameters of its structure, are the same within this.
SAME_COVARIANCE = 1e-8


def fixed_effects(values, names, caller, start=None, what="beta"):
    """Fixed effects, (p,), in the order of `names`.

    Parameters
    ----------
    values : number, sequence of p numbers, or mapping coefficient -> number
    names : sequence of str
    caller : str
    start : ndarray (p,), optional
        Values of the coefficients that a mapping leaves out; without it all are needed.
    what : str
        What the argument is called.

    Raises
    ------
    ArgumentError
        For a wrong number of values, or one that is no finite number.
    UnknownNameError
        For a coefficient that the model does not have.
    """
    names = list(names)
    if isinstance(values, (Mapping, pd.Series)) and not (isinstance(values, pd.Series) and _unnamed(values)):
        given = dict(values)
        for name in given:
            if name not in names:
                raise UnknownNameError(f"{caller}: {what} names {name!r}; the fixed effects are {_listed(names)}.")
        left_out = [name for name in names if name not in given]
        if start is None and left_out:
            raise ArgumentError(f"{caller}: {what} has no value for {_listed(left_out)}; expected one for each of {_listed(names)}.")
        values = [given.get(name, None if start is None else start[j]) for j, name in enumerate(names)]
    beta = _numbers(values, what, caller)
    if beta.shape != (len(names),):
        raise ArgumentError(
            f"{caller}: {what} has {beta.size} value{'s'[: beta.size != 1]}; expected {len(names)}, in this order: {_listed(names)}."
        )
    return beta


def _unnamed(series):
    return isinstance(series.index, pd.RangeIndex)


def _listed(names):
    return ", ".join(map(str, names)) or "none"


def _numbers(values, what, caller):
    """values as finite numbers in a vector or a matrix."""
    try:
        array = np.array(values, dtype=float)
    except (TypeError, ValueError):
        raise ArgumentError(f"{caller}: {what} = {values!r}; expected numbers.") from None
    if not np.isfinite(array).all():
        raise ArgumentError(f"{caller}: {what} has the value {array[~np.isfinite(array)].flat[0]}; all must be finite.")
    return np.atleast_1d(array)


def residual_deviation(sigma, caller):
    """sigma as a positive number.

    Raises
    ------
    ArgumentError
    """
    if sigma is None:
        raise ArgumentError(f"{caller}: sigma is missing; give the residual standard deviation, such as sigma=1.0.")
    value = _numbers(sigma, "sigma", caller)
    if value.shape != (1,) or not value[0] > 0.0:
        raise ArgumentError(f"{caller}: sigma = {sigma!r}; expected one positive number, the residual standard deviation.")
    return float(value[0])


# --- random effects --------------------------------------------------------------


def term_names(design):
    """Names of the terms as in VarCorr: Subject, Subject.1, ..."""
    return make_unique([design.factors[term.factor].name for term in design.terms])


def theta_names(design):
    """lme4's names of the elements of theta: Subject.(Intercept), Subject.Days.(Intercept), ..."""
    out = []
    for term in design.terms:
        group, names = design.factors[term.factor].name, term.names
        for row, column in zip(*lower_indices(len(names))):
            out.append(f"{group}.{names[row]}" + ("" if row == column else f".{names[column]}"))
    return out


def templates_from_theta(theta, design, caller):
    """Relative covariance factors of the terms, list of (c, c), from lme4's theta.

    Raises
    ------
    ArgumentError
        For a wrong length, or a covariance that the structure of its term cannot have.
    """
    values, names = _numbers(theta, "theta", caller), theta_names(design)
    if values.shape != (len(names),):
        raise ArgumentError(
            f"{caller}: theta has {values.size} value{'s'[: values.size != 1]}; expected {len(names)}, in this order: "
            f"{_listed(names)}."
        )
    templates = [lower_factor(T) for T in templates_of(values, [len(term.names) for term in design.terms])]
    for term, T in zip(design.terms, templates):
        _check_structure(term, T @ T.T, caller)
    return templates


def templates_from_varcorr(varcorr, design, sigma, caller, start=None):
    """Relative covariance factors of the terms from standard deviations or covariances.

    Parameters
    ----------
    varcorr : mapping, sequence, number or matrix
        By grouping factor, or by the name that `VarCorr` gives a term: a number or a
        vector of standard deviations (uncorrelated), a mapping column -> standard
        deviation, or a covariance matrix.  A list has one of these per term.  With a
        single term it may stand alone.
    design : Design
    sigma : float
    caller : str
    start : list of ndarray (c, c), optional
        Of terms that a mapping leaves out.

    Returns
    -------
    list of ndarray (c, c)

    Raises
    ------
    ArgumentError, UnknownNameError
    """
    names = term_names(design)
    if isinstance(varcorr, Mapping) and not _is_for_columns(varcorr, names, design):
        given = _by_term(varcorr, names, design, caller)
        missing = [name for name in names if name not in given]
        if missing and start is None:
            raise ArgumentError(f"{caller}: VarCorr has nothing for {_listed(missing)}; expected {_listed(names)}.")
    elif len(names) == 1 and not _is_list_of_one(varcorr):
        given = {names[0]: varcorr}
    else:
        parts = list(varcorr) if isinstance(varcorr, (list, tuple)) else [varcorr]
        if len(parts) != len(names):
            raise ArgumentError(f"{caller}: VarCorr is for {len(parts)} term{'s'[: len(parts) != 1]}; expected {len(names)}: {_listed(names)}.")
        given = dict(zip(names, parts))
    out = []
    for k, (name, term) in enumerate(zip(names, design.terms)):
        if name in given:
            S = _covariance(given[name], term, f"VarCorr of {name}", caller)
            out.append(_root(S) / sigma)
        else:
            out.append(start[k])
    return out


def _is_for_columns(varcorr, names, design):
    """Whether a mapping is about the columns of the only term."""
    return len(names) == 1 and bool(varcorr) and set(varcorr) <= set(design.terms[0].names) and not set(varcorr) <= set(names)


def _is_list_of_one(varcorr):
    return isinstance(varcorr, (list, tuple)) and len(varcorr) == 1 and np.ndim(varcorr[0]) == 2


def _by_term(varcorr, names, design, caller):
    texts = {term.text: name for term, name in zip(design.terms, names)}
    given = {}
    for name, value in varcorr.items():
        own = texts.get(name, name)
        if own not in names:
            raise UnknownNameError(f"{caller}: VarCorr names {name!r}; the random terms are {_listed(names)}.")
        given[own] = value
    return given


def _covariance(value, term, what, caller):
    """Covariance matrix of one term, (c, c)."""
    names = list(term.names)
    c = len(names)
    if isinstance(value, pd.DataFrame) and set(value.index) == set(names) == set(value.columns):
        value = value.loc[names, names]
    elif isinstance(value, (Mapping, pd.Series)) and not (isinstance(value, pd.Series) and _unnamed(value)):
        value = fixed_effects(value, names, caller, what=what)
    values = _numbers(value, what, caller)
    if values.shape not in ((c,), (c, c)):
        raise ArgumentError(
            f"{caller}: {what} has the shape {values.shape}; expected {c} standard deviation{'s'[: c != 1]} or a {c} x {c} "
            f"covariance matrix, in this order: {_listed(names)}."
        )
    if values.ndim == 1:
        if (values < 0).any():
            raise ArgumentError(f"{caller}: {what} has the standard deviation {values.min():g}; it cannot be negative.")
        values = np.diag(values**2)
    _check_covariance(values, what, caller)
    _check_structure(term, values, caller)
    return values


def _check_covariance(S, what, caller):
    largest = np.abs(S).max(initial=0.0)
    if not np.allclose(S, S.T, rtol=0.0, atol=SAME_COVARIANCE * largest):
        raise ArgumentError(f"{caller}: {what} is not symmetric, so it is no covariance matrix.")
    smallest = np.linalg.eigvalsh(S)[0]
    if smallest < -SAME_COVARIANCE * largest:
        raise ArgumentError(
            f"{caller}: {what} has the eigenvalue {smallest:.3g}; a covariance matrix has none below zero. Is a correlation "
            "beyond -1 or 1?"
        )


def _check_structure(term, S, caller):
    """Refuse a covariance outside the structure of its term, such as a correlation under `||`."""
    root = term.covariance.root(term.covariance.from_root(_root(S)))
    if np.abs(root @ root.T - S).max() > SAME_COVARIANCE * max(np.abs(S).max(), np.finfo(float).tiny):
        kind = type(term.covariance).__name__
        raise ArgumentError(f"{caller}: the covariance given for {term.text} is not of its structure ({kind}); write the term as "
                            f"({' + '.join(map(str, term.names))} | ...) for any covariance.")


def _root(S):
    """Lower triangular T with T T' = S; S may be singular."""
    values, vectors = np.linalg.eigh((S + S.T) / 2.0)
    return lower_factor(vectors * np.sqrt(np.maximum(values, 0.0)))


def parameters(newparams, design, caller):
    """beta, templates and sigma of lme4's ``newparams``.

    Parameters
    ----------
    newparams : mapping
        beta (or fixef), sigma, and theta or VarCorr.
    design : Design
    caller : str

    Returns
    -------
    beta : ndarray (p,)
    templates : list of ndarray (c, c)
    sigma : float

    Raises
    ------
    ArgumentError, UnknownNameError
    """
    if not isinstance(newparams, Mapping):
        raise ArgumentError(f"{caller}: newparams is {type(newparams).__name__}; give a dict with beta, theta (or VarCorr) and sigma.")
    unknown = [name for name in newparams if name not in ("beta", "fixef", "theta", "VarCorr", "sigma")]
    if unknown:
        raise ArgumentError(f"{caller}: newparams has {unknown[0]!r}; expected beta, theta (or VarCorr) and sigma.")
    for one, other in (("beta", "fixef"), ("theta", "VarCorr")):
        if one in newparams and other in newparams:
            raise ArgumentError(f"{caller}: newparams has both {one} and {other}; give one of them.")
    beta = newparams.get("beta", newparams.get("fixef"))
    if beta is None and design.p:
        raise ArgumentError(f"{caller}: newparams has no beta; expected {design.p} values, in this order: {_listed(design.x_names)}.")
    sigma = residual_deviation(newparams.get("sigma"), caller)
    beta = fixed_effects([] if beta is None else beta, design.x_names, caller)
    if "theta" in newparams:
        return beta, templates_from_theta(newparams["theta"], design, caller), sigma
    if "VarCorr" not in newparams:
        raise ArgumentError(
            f"{caller}: newparams has neither theta nor VarCorr; theta has these elements: {_listed(theta_names(design))}."
        )
    return beta, templates_from_varcorr(newparams["VarCorr"], design, sigma, caller), sigma
