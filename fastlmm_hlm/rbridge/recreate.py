"""A fitted merMod as a fit here: R's estimates on the same model frame, nothing fitted."""

import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
from scipy import sparse

from fastlmm_hlm.criterion.given import given_estimates
from fastlmm_hlm.design.crossprod import choose_shift, cross_products
from fastlmm_hlm.design.design import build_design
from fastlmm_hlm.design.rank import dependence
from fastlmm_hlm.errors import DataError, FastlmmError
from fastlmm_hlm.formula import build_frame, parse_formula
from fastlmm_hlm.formula.deparse import deparse
from fastlmm_hlm.formula.parse import parse_expression
from fastlmm_hlm.formula.syntax import Name, column_names
from fastlmm_hlm.formula.terms import expand_terms
from fastlmm_hlm.inference.givenparameters import templates_from_theta
from fastlmm_hlm.model.fitting import SINGULAR, Fitted, Settings, make_criterion, threads_of
from fastlmm_hlm.model.mixedmodel import LinearMixedModel
from fastlmm_hlm.model.rows import random_model_matrix
from fastlmm_hlm.optimize.control import Control
from fastlmm_hlm.optimize.convergence import certify
from fastlmm_hlm.rbridge.rows import data_in_file, row_index, rows_in, spread_frame, spread_known, with_gaps
from fastlmm_hlm.rbridge.variables import column_of, known_variables, node_of, recovered_columns

# Text of weights= or offset= longer than this is a vector that was spliced into the call.
LONGEST_EXPRESSION = 200
# Model matrices made here and in R differ by less than this of their largest element.
SAME_MATRIX = 1e-8
# Fixed effects further than this from the best ones for R's theta, in standard errors, were assigned and not estimated.
ASSIGNED = 1e-3


def recreate(parts, data, caller, writer=None):
    """The fit that R's pieces describe.

    Parameters
    ----------
    parts : dict
        From R's ``stored_model``.
    data : data frame or None
        The user's; see `read_rds`.
    caller : str
    writer : str, optional
        Version of the R that wrote the file.

    Returns
    -------
    LinearMixedModel

    Raises
    ------
    DataError
    """
    settings, known = _settings(parts, data, caller)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            frame = build_frame(settings.formula, settings.data, weights=settings.weights, offset=settings.offset,
                                subset=settings.subset, contrasts=settings.contrasts, na_action=settings.na_action, known=known,
                                skip_checks=("nlev.gtr.1", "nobs.vs.nlev", "nobs.vs.nRE", "response.not.const"))
    except FastlmmError as error:
        raise DataError(f"{caller}: the model frame of {parts['formula'][0]} cannot be rebuilt here: {error}") from error
    if parts["omitted"] is not None:
        frame = replace(frame, dropped={**frame.dropped, "missing values": len(parts["omitted"]["positions"])}, missing={})
    design = build_design(frame)
    kept = _kept(design, parts, caller)
    products, dependent = None, None
    dropped = np.delete(design.x_names, kept).tolist() if len(kept) < design.p else []
    if dropped:
        products = cross_products(design, choose_shift(design), threads=threads_of(settings.control))
        dependent = dependence(products.XyWXy[:-1, :-1], design.x_centring.B, kept)
        design = design.with_fixed_columns(kept)
    _check_design(design, frame, parts, caller)
    fitted, given = _at_estimates(design, settings, parts, dropped, kept, dependent, caller)
    fit = LinearMixedModel(settings, frame, fitted)
    fit._given = given
    fit._data_name = None if parts["data_name"] is None else parts["data_name"][0]
    fit._origin = origin_text(parts, writer)
    fit.optinfo["source"] = fit._origin
    return fit


def origin_text(parts, writer):
    """Where a model comes from, in words: R 4.2.2 (lme4 1.1.31)."""
    here = f"R {parts['versions'][0]} (lme4 {parts['versions'][1]})"
    return here if writer is None or writer == parts["versions"][0] else f"R {writer}, read by {here}"


# --- settings ---------------------------------------------------------------------


def _settings(parts, data, caller):
    """Arguments of the fit, and the variables that R evaluated.

    Returns
    -------
    Settings, Known
    """
    variables = parts["variables"]
    columns = _plain_columns(variables, caller)
    found = _found_rows(data, parts, columns, caller)
    table = _own_rows(columns, parts) if found is None else found.table
    known = known_variables(variables, table, caller)
    have = columns if found is None else found.table.columns
    columns.update(recovered_columns(variables, known, have))
    weights, offset = (_argument(name, parts, columns, known) for name in ("weights", "offset"))
    frame, action, subset = pd.DataFrame(columns, index=row_index(parts["row_names"])), "omit", None
    omitted = parts["omitted"]
    if omitted is not None and omitted["class"][0] == "exclude":
        action = "exclude"
    if found is not None and len(found.table) >= len(frame):
        frame, used = _whole_table(found, frame), found.used
        subset = None if found.chosen.all() else found.chosen
    elif action == "exclude":
        frame, used = _with_omitted(frame, omitted)
    else:
        used = np.arange(len(frame))
    if len(frame) > len(used):
        known = spread_known(known, used, len(frame))
        weights, offset = (with_gaps(v, used, len(frame)) if isinstance(v, np.ndarray) else v for v in (weights, offset))
    return Settings(parts["formula"][0], frame, bool(parts["REML"][0]), weights, offset, subset, _contrasts(parts), action, None, Control()), known


def _plain_columns(variables, caller):
    columns = {}
    for variable in variables:
        if not isinstance(node_of(variable), Name):
            continue
        column = column_of(variable["value"])
        if column is None:
            raise DataError(f"{caller}: the column {variable['text'][0]} is a matrix; a model here needs one column for each of its columns.")
        columns[node_of(variable).text] = column
    return columns


def _found_rows(data, parts, columns, caller):
    """The user's data, or those that R still reaches if they agree with the model."""
    if data is not None:
        return rows_in(data, parts, columns, caller)
    try:
        data = data_in_file(parts)
        found = None if data is None else rows_in(data, parts, columns, caller)
        if found is not None:
            known_variables(parts["variables"], found.table, caller)
        return found
    except DataError:                        # other data of that name: the model frame is enough
        return None


def _own_rows(columns, parts):
    """The model frame's own columns as the rows that R was given, if none were left out."""
    if parts["omitted"] is not None:
        return None
    table = pd.DataFrame(columns)
    table.attrs["used"] = np.arange(len(table))
    return table


def _whole_table(found, frame):
    """All rows of the data; columns that only the model frame has have gaps elsewhere."""
    table = found.table.copy(deep=False)
    table.attrs = {}
    extra = [name for name in frame.columns if name not in table.columns]
    if extra:
        spread = spread_frame(frame[extra], table.index, found.used)
        for name in extra:
            table[name] = spread[name]
    return table


def _with_omitted(frame, omitted):
    """Rows that na.exclude keeps for residuals, with all values missing."""
    gone = omitted["positions"] - 1
    total = len(frame) + len(gone)
    used = np.setdiff1d(np.arange(total), gone)
    labels = np.empty(total, dtype=object)
    labels[used], labels[gone] = frame.index.astype(str), omitted["names"] or [str(i + 1) for i in gone]
    return spread_frame(frame, row_index(list(labels)), used), used


def _argument(name, parts, columns, known):
    """weights= or offset= as text, its values known; as a vector where the text is no expression here."""
    given = parts[name]
    if given is None:
        return None
    text, values = given["text"][0], np.array(given["values"])
    try:
        node = parse_expression(text)
    except FastlmmError:
        return values
    if isinstance(node, Name):
        columns.setdefault(node.text, values)
        return node.text
    if len(text) > LONGEST_EXPRESSION or not column_names(node):
        return values
    known.values[deparse(node)] = values
    return text


def _contrasts(parts):
    """Codings of the factors that are in the fixed part."""
    formula = parse_formula(parts["formula"][0])
    fixed = {name for members in expand_terms(formula.fixed_node, first=(formula.response,)).terms for name in members}
    out = {}
    for name, coding in (parts["contrasts"] or {}).items():
        try:
            text = deparse(parse_expression(name))
        except FastlmmError:                 # a column with a name that no expression has
            text = name
        if text in fixed:
            out[text] = coding["name"][0] if "name" in coding else _coding(coding["matrix"])
    return out or None


def _coding(matrix):
    return pd.DataFrame(np.reshape(matrix["values"], (-1, len(matrix["names"])), order="F"), columns=list(matrix["names"]))


# --- checks against R's own matrices ---------------------------------------------------


def _kept(design, parts, caller):
    """Positions of R's columns among ours."""
    ours, theirs = list(design.x_names), parts["x_names"] or []
    unknown = [name for name in theirs if name not in ours]
    if unknown:
        raise DataError(f"{caller}: R's model has the fixed effect {unknown[0]}, which is not made here; here they are {', '.join(ours)}. Was "
                        "the model fitted under other options(contrasts=)?")
    return np.array([ours.index(name) for name in theirs], dtype=np.int64)


def _check_design(design, frame, parts, caller):
    """Refuse a model whose matrices are not R's."""
    n, p = design.n, len(parts["x_names"] or [])
    terms = [(design.factors[term.factor].name, list(term.names)) for term in design.terms]
    theirs = list(zip(parts["groups"], [list(names) for names in parts["group_columns"]]))
    if n != len(parts["row_names"]):
        raise DataError(f"{caller}: {len(parts['row_names'])} rows in R's model, {n} here. Rows with zero weights have no place here.")
    if [(name, len(cols)) for name, cols in terms] != [(name, len(cols)) for name, cols in theirs]:
        raise DataError(f"{caller}: R's random terms are {theirs}; here they are {terms}.")
    with_offset = np.zeros(n) if frame.offset is None else frame.offset
    weights = np.ones(n) if frame.weights is None else frame.weights
    X = np.reshape(parts["X"], (n, p), order="F")
    for what, here, there in (("the response", design.y, parts["y"]), ("the offset", with_offset, parts["total_offset"]),
                              ("the weights", weights, parts["prior_weights"]), ("the fixed-effects matrix", design.X, X)):
        _same_numbers(what, np.asarray(here), np.asarray(there), caller)
    Zt = parts["Zt"]
    there = sparse.csc_matrix((Zt["x"], Zt["i"], Zt["p"]), shape=tuple(int(d) for d in Zt["dim"]))
    _same_numbers("the random-effects matrix", random_model_matrix(design)[0].T.tocsc(), there, caller)


def _same_numbers(what, here, there, caller):
    if here.shape != there.shape:
        raise DataError(f"{caller}: {what} has shape {there.shape} in R and {here.shape} here.")
    far = abs(here - there).max() if here.shape[0] and here.shape[-1] else 0.0
    size = max(abs(there).max() if there.shape[0] and there.shape[-1] else 0.0, 1e-300)
    if far > SAME_MATRIX * size:
        raise DataError(f"{caller}: {what} made here differs from R's by up to {far:.3g} (largest element {size:.3g}), so the estimates would "
                        "mean something else. Was the model fitted under other options(contrasts=), or changed afterwards?")


# --- at R's estimates ---------------------------------------------------------------


def _at_estimates(design, settings, parts, dropped, kept, dependent, caller):
    """Fitted at R's theta, beta and sigma, with the certificate of the point; and whether parameters were assigned."""
    control, beta, sigma = settings.control, parts["beta"], float(parts["sigma"][0])
    threads = threads_of(control)
    products = cross_products(design, choose_shift(design), threads=threads)
    criterion = make_criterion(products, design.terms, [factor.centring for factor in design.factors], settings)
    templates = templates_from_theta(parts["theta"], design, caller)
    estimates = given_estimates(criterion, design.x_centring, templates, beta, sigma, control.factorization, threads)
    given = bool(estimates.pwrss > estimates.best_pwrss + (ASSIGNED * sigma) ** 2)
    par = criterion.from_templates(templates)
    deviations = criterion.smallest_deviations(par)
    boundary = [t.text for t, d in zip(design.terms, deviations) if d < control.singular_tolerance]
    certificate = certify(criterion.evaluate(par), boundary)
    messages = [f"R's message: {text}" for text in parts["messages"] or []]
    if boundary:
        messages.append(SINGULAR)
    if certificate.status == "failed" and not given:
        messages.append(f"R's estimates are no optimum: a Newton step predicts a decrease of {certificate.decrement:.3g}; refit(fit) fits here")
    optinfo = {
        "optimizer": parts["optimizer"][0],
        "status": "given" if given else certificate.status,
        "evaluations": int(np.nan_to_num(parts["evaluations"][0])) if parts["evaluations"] is not None and len(parts["evaluations"]) else 0,
        "gradient_norm": certificate.gradient_norm, "predicted_decrease": certificate.decrement,
        "min_eigenvalue": certificate.min_eigenvalue, "boundary": boundary, "message": "not an optimum" if certificate.status == "failed" else "",
        "trace": [], "seconds": 0.0,
    }
    return Fitted(design, products, criterion, estimates, deviations, optinfo, messages, dropped, kept, dependent), given
