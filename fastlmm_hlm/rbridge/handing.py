"""to_r(): a fit as an object of lme4 in R, at our estimates."""

import os
import pathlib
import re

import numpy as np
import pandas as pd

from fastlmm_hlm.errors import ArgumentError, RowsNotKeptError
from fastlmm_hlm.formula.columns import DataColumns
from fastlmm_hlm.formula.kinds import as_column, level_text
from fastlmm_hlm.formula.parse import parse_expression
from fastlmm_hlm.formula.syntax import column_names
from fastlmm_hlm.model.pickling import refuse_lost_vectors
from fastlmm_hlm.rbridge.session import session
from fastlmm_hlm.rbridge.values import integers_to_r, list_to_r, numbers_to_r, texts_to_r

CALLER = "to_r"
R_NAME = re.compile(r"(?:[A-Za-z]|\.(?![0-9]))[A-Za-z0-9._]*\Z")
LARGEST_INTEGER = 2**31 - 1


def to_r(fit, name=None, path=None, *, lmerTest=False, data_name=None):  # noqa: N803
    """Hand a fit to R, as an object that lme4's functions take for their own.

    lme4 makes it from the data and our theta, without optimizing: its fixed effects, sigma and likelihood
    are what lme4 finds there.  The data lie in the environment of the formula, so that ``update()``,
    emmeans and others find them, also in an object that was saved and read again.

    Parameters
    ----------
    fit : LinearMixedModel
    name : str, optional
        Assign it under this name in R's global environment.
    path : str or Path, optional
        Save it there with saveRDS().
    lmerTest : bool
        Of lmerTest's class, with its degrees of freedom.
    data_name : str, optional
        What the data are called in R; the name of the data set, or "data".

    Returns
    -------
    rpy2 object
        An lmerMod, or lmerModLmerTest.

    Raises
    ------
    RMissingError
        If R, rpy2 or lme4 is missing.
    ArgumentError
        For names that R does not have, and for covariances that R's lme4 does not.
    RowsNotKeptError
        If the fit was pickled without its data.
    DataError
        If lme4 makes other columns of the data; the message gives R's words.

    Notes
    -----
    Text columns become factors with the levels in our order, since R would sort them by its locale.
    Models with given parameters (`make_lmer`) keep these: beta, sigma and the modes are put in.
    """
    if not hasattr(type(fit), "isLMM"):
        raise ArgumentError(f"{CALLER}: expected a fitted model from lmer(), got {type(fit).__name__}.")
    for what, text in (("name", name), ("data_name", data_name)):
        if text is not None and not (isinstance(text, str) and R_NAME.match(text)):
            raise ArgumentError(f"{CALLER}: {what} = {text!r} is no name in R; it has letters, digits, dots and underscores, and starts with a letter.")
    if path is not None and not pathlib.Path(path).absolute().parent.is_dir():
        raise ArgumentError(f"{CALLER}: there is no folder {pathlib.Path(path).absolute().parent} to write {pathlib.Path(path).name} to.")
    unknown = [term.text for term in fit._terms if type(term.covariance).__name__ not in ("Unstructured", "Diagonal")]
    if unknown:
        raise ArgumentError(f"{CALLER}: {unknown[0]} has a covariance structure that lme4 before 2.0 does not know; write it as (x | g) or (x || g).")
    given = _given(fit, bool(lmerTest), data_name)
    r = session()
    model = r.call(CALLER, "made_model", given)
    if name is not None:
        r.call(CALLER, "assigned", model, name)
    if path is not None:
        r.call(CALLER, "saved", model, os.fspath(path))
    return model


def _given(fit, lmerTest, data_name):  # noqa: N803
    """All that R's ``made_model`` needs."""
    rows, settings, e = fit._rows_or_raise(CALLER), fit._settings, fit._estimates
    refuse_lost_vectors(CALLER, settings)
    if settings.data is None:
        raise RowsNotKeptError(f"{CALLER}: this fit was pickled without its data; fit with keep_data=True, or attach_data(data).")
    source = DataColumns(settings.data)
    columns, arguments = _columns(fit, source), {}
    for what in ("weights", "offset", "subset"):
        arguments[what] = _argument(_within_reach(fit, what, source), what, source, columns)
    named = data_name or (fit._data_name if fit._data_name and R_NAME.match(fit._data_name) else "data")
    labels = [str(label) for label in source.index]
    own = not (isinstance(source.index, pd.RangeIndex) and source.index.start == 0) and len(set(labels)) == len(labels)
    return list_to_r({
        "formula": str(fit._formula_text), "columns": list_to_r(columns), "row_names": texts_to_r(labels) if own else None,
        "data_name": named, "REML": bool(e.reml), **arguments, "contrasts": _contrasts(settings.contrasts, fit),
        "na_action": settings.na_action, "lmerTest": lmerTest, "theta": numbers_to_r(e.theta), "n": numbers_to_r([e.n]),
        "y": numbers_to_r(rows.design.y), "X": numbers_to_r(rows.design.X.ravel(order="F")), "x_names": texts_to_r(fit._x_names),
        "groups": texts_to_r(fit._factor_labels[term.factor][0] for term in fit._terms),
        "group_columns": texts_to_r(name for term in fit._terms for name in term.names),
        "evaluations": numbers_to_r([fit.optinfo["evaluations"]]), "optimizer": f"theta of fastlmm_hlm ({fit.optinfo['optimizer']})",
        "beta": numbers_to_r(e.beta) if fit._given else None, "sigma": numbers_to_r([e.sigma]), "criterion": numbers_to_r([e.criterion]),
    })


def _columns(fit, source):
    """The columns that the model uses, as R is to make them."""
    names = list(fit._spec.variables)
    missing = [name for name in _all_names(fit) if name not in source]
    if missing:
        raise ArgumentError(
            f"{CALLER}: the data of this fit have no column {missing[0]}, only what was made of it in R; read the model with the data, as in "
            "read_rds(path, data=data), and hand that back."
        )
    return {name: _column(source.column(name), name) for name in names}


def _all_names(fit):
    formula = fit._spec.formula
    nodes = [formula.response_node, *fit._spec.fixed_recipe.terms.variables.values(), *fit._spec.fixed_recipe.terms.offsets]
    nodes += [node for term in fit._spec.random_terms for node in (term.group_node, *term.recipe.terms.variables.values())]
    return dict.fromkeys(name for node in nodes for name in column_names(node))


def _column(column, name):
    """One column for R's ``column_of``."""
    kind, values = column.kind, column.values
    if kind in ("text", "category"):
        codes, levels = column.numbered if kind == "text" else (np.asarray(values), column.levels)
        codes = np.asarray(codes, dtype=np.int32)
        codes = np.where(codes < 0, np.iinfo(np.int32).min, codes)        # R's missing integer
        return list_to_r({"kind": "factor", "values": integers_to_r(codes), "levels": texts_to_r(map(level_text, levels)),
                          "ordered": bool(column.ordered)})
    if kind == "integer" and np.abs(values).max(initial=0) <= LARGEST_INTEGER:
        whole = np.asarray(values, dtype=np.int32)
        if column.missing is not None:
            whole = np.where(column.missing, np.iinfo(np.int32).min, whole)
        return list_to_r({"kind": "number", "values": integers_to_r(whole)})
    numbers = column.value()
    if kind == "logical":
        return list_to_r({"kind": "number", "values": _logicals(numbers.values)})
    return list_to_r({"kind": "date" if kind == "date" else "number", "values": numbers_to_r(numbers)})


def _logicals(values):
    r = session().interface
    return r.BoolSexpVector([r.NA_Logical if np.isnan(value) else bool(value) for value in values])


def _within_reach(fit, what, source):
    """An argument of the fit; its values where the columns of its expression are not in the data."""
    value, rows = getattr(fit._settings, what), fit._rows
    if not isinstance(value, str) or value in source or all(name in source for name in column_names(parse_expression(value))):
        return value
    if what == "subset" or (what == "offset" and len(fit._spec.offset_nodes) > 1):
        raise ArgumentError(f"{CALLER}: {what} is {value}, and its columns are not in the data of this fit; read the model with data=.")
    whole = np.full(rows.n_input, np.nan)
    whole[slice(None) if rows.positions is None else rows.positions] = rows.design.weights if what == "weights" else rows.design.offset
    return whole


def _argument(value, what, source, columns):
    """weights=, offset= or subset= as an expression in R, its columns among those that are sent."""
    if value is None:
        return None
    if isinstance(value, str):
        for name in [value] if value in source else column_names(parse_expression(value)):
            if name in source and name not in columns:
                columns[name] = _column(source.column(name), name)
        return f"`{value}`" if value in source and not R_NAME.match(value) else value
    columns[f".{what}"] = _column(as_column(what, pd.Series(np.asarray(value))), what)
    return f".{what}"


def _contrasts(contrasts, fit):
    if not contrasts:
        return None
    out = {}
    for name, coding in contrasts.items():
        if isinstance(coding, str):
            out[name] = list_to_r({"name": coding if coding.startswith("contr.") else f"contr.{coding}"})
            continue
        table = coding if isinstance(coding, pd.DataFrame) else pd.DataFrame(np.asarray(coding, dtype=float).reshape(len(coding), -1))
        labels = list(map(str, table.index)) if isinstance(coding, pd.DataFrame) else None
        names = list(map(str, table.columns)) if isinstance(coding, pd.DataFrame) else [str(j + 1) for j in range(table.shape[1])]
        values = numbers_to_r(table.to_numpy(dtype=float).ravel(order="F"))
        out[name] = list_to_r({"values": values, "names": texts_to_r(names), "levels": None if labels is None else texts_to_r(labels)})
    return list_to_r(out)
