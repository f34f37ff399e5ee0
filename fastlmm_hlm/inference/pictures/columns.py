"""What pictures ask of a fit: a column in its rows, a grouping factor, its random effects."""

import numpy as np
import pandas as pd

from fastlmm_hlm.errors import ArgumentError, UnknownNameError
from fastlmm_hlm.formula.columns import DataColumns
from fastlmm_hlm.formula.evaluate import Evaluator
from fastlmm_hlm.formula.grouping import component_levels
from fastlmm_hlm.formula.syntax import Name

NUMBERS = ("number", "integer")


def column_at_rows(fit, name, caller):
    """A grouping factor or a column of the data in the rows of the fit.

    Returns
    -------
    ndarray of float (n,), or pandas.Categorical of length n

    Raises
    ------
    UnknownNameError
        If it is neither.
    RowsNotKeptError
        If the fit was pickled without its rows.
    """
    rows = fit._rows_or_raise(caller)
    for factor in rows.design.factors:
        if factor.name == name:
            return pd.Categorical.from_codes(np.asarray(factor.codes), categories=factor.levels)
    data = fit._settings.data
    source = None if data is None else DataColumns(data)
    if source is None or name not in source:
        factors = ", ".join(factor.name for factor in rows.design.factors)
        some = [] if source is None else source.names[:20] + ["..."] * (len(source.names) > 20)
        columns = f" The data have {', '.join(some)}." if some else ""
        raise UnknownNameError(
            f"{caller}: {name!r} is neither a grouping factor ({factors}) nor a column of the data.{columns}"
        )
    column = source.column(name)
    if column.kind in NUMBERS:
        values = np.asarray(column.value(), dtype=float)
        return values if rows.positions is None else values[rows.positions]
    part = component_levels(Name(name), Evaluator(source)).take(rows.positions)
    return pd.Categorical.from_codes(np.asarray(part.codes), categories=pd.Index(part.levels))


def group_name(fit, group, caller):
    """The name of the grouping factor meant: the one given, or the only one.

    Raises
    ------
    UnknownNameError
        If there is none of that name.
    ArgumentError
        If there are several and none is named.
    """
    names = [name for name, _, _ in fit._factor_labels]
    if group is None:
        if len(names) > 1:
            raise ArgumentError(f"{caller}: the model has the grouping factors {', '.join(names)}; say which one with group=.")
        return names[0]
    if group not in names:
        raise UnknownNameError(f"{caller}: no grouping factor is called {group!r}; there are {', '.join(names)}.")
    return group


def chosen_terms(columns, terms, group, caller):
    """The columns of the random effects that are meant, list of str.

    Raises
    ------
    UnknownNameError
        If one does not exist.
    """
    wanted = list(columns) if terms is None else [terms] if isinstance(terms, str) else list(terms)
    for term in wanted:
        if term not in columns:
            raise UnknownNameError(
                f"{caller}: {group} has no random effect {term!r}; its random effects are {', '.join(columns)}."
            )
    return wanted


def covariance_of(fit, group):
    """Covariance of all random effects of one grouping factor, DataFrame (c, c); zero between its terms."""
    f = [name for name, _, _ in fit._factor_labels].index(group)
    names = list(fit._factor_labels[f][2])
    out = np.zeros((len(names), len(names)))
    for term, T in zip(fit._terms, fit._estimates.templates):
        if term.factor == f:
            out[term.columns, term.columns] = fit._estimates.sigma**2 * T @ T.T
    return pd.DataFrame(out, index=names, columns=names)


def check_share(value, what, caller):
    """Refuse a level that does not lie between 0 and 1."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)) or not 0 < value < 1:
        raise ArgumentError(f"{caller}: {what} = {value!r}; it must lie between 0 and 1, such as 0.95.")
