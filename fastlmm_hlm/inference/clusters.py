"""Clusters of rows: what may be a cluster of a fit, and which rows lie in which.

Rows of different clusters must be independent under the model, so every
grouping factor must be nested in the clusters.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from fastlmm_hlm.errors import ArgumentError, UnknownNameError
from fastlmm_hlm.formula.columns import DataColumns
from fastlmm_hlm.formula.evaluate import Evaluator
from fastlmm_hlm.formula.grouping import component_levels
from fastlmm_hlm.formula.syntax import Name


@dataclass(frozen=True)
class Clusters:
    """Attributes
    ----------
    codes : ndarray of int32, shape (n,)
        Cluster of each row, 0 .. G-1, every cluster with a row.
    size : int
        G.
    of_level : list of ndarray of int32 (nl,)
        Cluster of each level, per grouping factor.
    name : str
        What the user called it.
    """

    codes: np.ndarray
    size: int
    of_level: list
    name: str


def parents(codes, nl, upper):
    """The upper code of each level if every level lies in one, else None.

    Parameters
    ----------
    codes, upper : ndarray of int (n,)
        Level of each row, and the code above.
    nl : int
    """
    out = np.zeros(nl, dtype=np.int32)
    out[codes] = upper
    return out if np.array_equal(out[codes], upper) else None


def clusters_of(fit, cluster, caller):
    """The clusters that the user names.

    Parameters
    ----------
    fit : LinearMixedModel
    cluster : None, str, or one value per row
        None takes the outermost grouping factor; a str is a grouping factor or
        a column of the data.
    caller : str
        For messages.

    Returns
    -------
    Clusters

    Raises
    ------
    ArgumentError
        If grouping factors are not nested in it, it has one cluster only, or
        its length or values do not fit.
    UnknownNameError
        If a str is neither a grouping factor nor a column.
    RowsNotKeptError
        If the fit was pickled without its rows.
    """
    rows = fit._rows_or_raise(caller)
    factors = rows.design.factors
    if cluster is None:
        inner, name, codes = _outermost(factors, caller)
    else:
        name, codes = _chosen(fit, rows, cluster, caller)
        inner = [parents(f.codes, len(f.levels), codes) for f in factors]
        crossing = [f.name for f, of_level in zip(factors, inner) if of_level is None]
        if crossing:
            raise ArgumentError(
                f"{caller}: {_list(crossing)} {'is' if len(crossing) == 1 else 'are'} not nested in the clusters {name!r}: "
                "a level has rows in several clusters, which the model therefore does not take as independent. Choose "
                "clusters that hold whole levels of every grouping factor."
            )
    size = int(codes.max()) + 1
    if size < 2:
        raise ArgumentError(f"{caller}: {name!r} has 1 cluster; the variation between clusters needs at least 2.")
    return Clusters(codes, size, inner, name)


def _outermost(factors, caller):
    """The factor in which all others are nested."""
    for candidate in reversed(factors):
        inner = [parents(f.codes, len(f.levels), candidate.codes) for f in factors]
        if all(of_level is not None for of_level in inner):
            return inner, candidate.name, np.ascontiguousarray(candidate.codes, dtype=np.int32)
    raise ArgumentError(
        f"{caller}: the grouping factors {_list([f.name for f in factors])} are not nested in one of them, so no factor "
        "divides the rows into independent clusters. Give cluster=, a column in whose values all of them are nested."
    )


def _chosen(fit, rows, cluster, caller):
    """Name and codes, (n,), of the clusters given as a name or as values."""
    if isinstance(cluster, str):
        for factor in rows.design.factors:
            if factor.name == cluster:
                return cluster, np.ascontiguousarray(factor.codes, dtype=np.int32)
        name, codes = cluster, _column_codes(fit, rows, cluster, caller)
    else:
        name = str(getattr(cluster, "name", None) or "cluster")
        codes = pd.factorize(aligned(cluster, rows, caller, "cluster"), sort=False)[0]
    if (codes < 0).any():
        raise ArgumentError(
            f"{caller}: the clusters {name!r} have {int((codes < 0).sum())} missing values among the rows of the fit; "
            "every row needs a cluster."
        )
    return name, pd.factorize(codes)[0].astype(np.int32)


def _column_codes(fit, rows, name, caller):
    """Codes of a column of the data in the rows of the fit, -1 for missing."""
    data = fit._settings.data
    source = None if data is None else DataColumns(data)
    if source is None or name not in source:
        factors = ", ".join(f.name for f in rows.design.factors)
        raise UnknownNameError(
            f"{caller}: cluster = {name!r} is neither a grouping factor ({factors}) nor a column of the data."
        )
    return component_levels(Name(name), Evaluator(source)).take(rows.positions).codes


def aligned(values, rows, caller, argument):
    """One value per row of the fit, from a vector for these or for all rows of the data.

    Raises
    ------
    ArgumentError
        If the length fits neither.
    """
    n = len(rows.index)
    if isinstance(values, pd.Series):
        if not values.index.equals(rows.index) and values.index.is_unique and rows.index.is_unique:
            if rows.index.isin(values.index).all():
                values = values.reindex(rows.index)
        values = values.array
    values = values if isinstance(values, pd.api.extensions.ExtensionArray) else np.asarray(values)
    if values.ndim != 1 or len(values) not in (n, rows.n_input):
        raise ArgumentError(
            f"{caller}: {argument} has shape {values.shape}; expected one value per row of the fit ({n})"
            + (f" or of the data ({rows.n_input})." if rows.n_input != n else ".")
        )
    return values if len(values) == n else values[rows.positions]


def _list(names):
    return " and ".join(", ".join(map(repr, names)).rsplit(", ", 1))
