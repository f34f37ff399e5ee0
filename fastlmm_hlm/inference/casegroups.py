"""Which rows are left out together: each row alone, or the levels of a factor, a column or several columns."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from fastlmm_hlm.errors import ArgumentError, UnknownNameError
from fastlmm_hlm.formula.columns import DataColumns
from fastlmm_hlm.formula.evaluate import Evaluator
from fastlmm_hlm.formula.grouping import Levels, component_levels
from fastlmm_hlm.formula.kinds import level_text
from fastlmm_hlm.formula.syntax import Name
from fastlmm_hlm.inference.clusters import aligned

# lme4's name of single rows.
CASE = "case"


@dataclass(frozen=True)
class Cases:
    """Sets of rows, each of which is left out once.

    Attributes
    ----------
    name : str
        "case" for single rows.
    labels : pandas.Index, length k
    codes : ndarray of int32 (n,)
        Set of each row; every set has a row.
    order : ndarray of int64 (n,)
        Rows by set, in their own order within each.
    starts : ndarray of int64 (k + 1,)
        Set i is order[starts[i] : starts[i + 1]].
    """

    name: str
    labels: pd.Index
    codes: np.ndarray
    order: np.ndarray
    starts: np.ndarray

    def __len__(self):
        return len(self.labels)

    @property
    def single(self):
        """Whether each set is one row, in the order of the rows."""
        return self.name == CASE

    def rows(self, i):
        """Rows of set i."""
        return self.order[self.starts[i] : self.starts[i + 1]]

    @property
    def sizes(self):
        return np.diff(self.starts)


def cases_of(fit, groups, caller):
    """The sets of rows that the user names.

    Parameters
    ----------
    fit : LinearMixedModel
    groups : None, str, list of str, or one value per row
        None: every row alone.  A grouping factor of the model, a column of the data,
        columns joined by ":" as in "a:b", or a list of columns, whose combinations
        that occur are then the groups.
    caller : str
        For messages.

    Returns
    -------
    Cases
        Groups in the order of their levels.

    Raises
    ------
    ArgumentError
        If there is one group only, or values are missing or too few.
    UnknownNameError
        If a name is neither a grouping factor nor a column.
    RowsNotKeptError
        If the fit was pickled without its rows.
    """
    rows = fit._rows_or_raise(caller)
    n = len(rows.index)
    if groups is None:
        every = np.arange(n, dtype=np.int64)
        return Cases(CASE, rows.index, every.astype(np.int32), every, np.arange(n + 1, dtype=np.int64))
    name, levels = _chosen(fit, rows, groups, caller)
    gaps = int((levels.codes < 0).sum())
    if gaps:
        raise ArgumentError(
            f"{caller}: the groups {name!r} have {gaps} missing value{'s' if gaps > 1 else ''} among the rows of the fit; "
            "every row needs a group."
        )
    levels = levels.used()
    codes, labels = np.ascontiguousarray(levels.codes, dtype=np.int32), pd.Index(levels.levels)
    if len(labels) < 2:
        raise ArgumentError(f"{caller}: {name!r} has 1 group; without it no rows are left. Give groups= with at least 2.")
    starts = np.concatenate([[0], np.cumsum(np.bincount(codes, minlength=len(labels)))])
    return Cases(name, labels.rename(name), codes, np.argsort(codes, kind="stable"), starts)


def _chosen(fit, rows, groups, caller):
    """Name and Levels of the rows of the fit."""
    if isinstance(groups, str):
        for factor in rows.design.factors:
            if factor.name == groups:
                return groups, Levels(factor.codes, factor.levels)
        source = _source(fit)
        whole = ":" not in groups or (source is not None and groups in source)
        return groups, _joined(fit, rows, groups, [groups] if whole else groups.split(":"), ":", caller)
    if isinstance(groups, (list, tuple)) and groups and all(isinstance(g, str) for g in groups):
        # names of columns, unless there is one text per row
        if len(groups) not in (len(rows.index), rows.n_input):
            return ".".join(groups), _joined(fit, rows, groups, list(groups), ".", caller)
    values = aligned(groups, rows, caller, "groups")
    try:
        codes, labels = pd.factorize(values, sort=True)
    except TypeError:                                         # labels of several types have no order
        codes, labels = pd.factorize(values)
    return str(getattr(groups, "name", None) or "groups"), Levels(codes, pd.Index(labels))


def _source(fit):
    data = fit._settings.data
    return None if data is None else DataColumns(data)


def _joined(fit, rows, groups, names, joint, caller):
    """The combinations of some columns or factors that occur, the first one varying slowest."""
    source, parts = _source(fit), []
    for name in names:
        own = [factor for factor in rows.design.factors if factor.name == name]
        if source is not None and name in source:
            parts.append(component_levels(Name(name), Evaluator(source)).take(rows.positions))
        elif own:
            parts.append(Levels(own[0].codes, own[0].levels))
        else:
            factors = ", ".join(factor.name for factor in rows.design.factors)
            raise UnknownNameError(
                f"{caller}: groups = {groups!r}: {name!r} is neither a grouping factor ({factors}) nor a column of the data."
            )
    if len(parts) == 1:
        return parts[0]
    known = np.logical_and.reduce([part.codes >= 0 for part in parts])
    codes, labels = np.zeros(int(known.sum()), dtype=np.int64), [""]
    for k, part in enumerate(parts):
        texts = [level_text(level) for level in part.levels]
        met, codes = np.unique(codes * len(texts) + part.codes[known], return_inverse=True)
        before = [""] if k == 0 else [label + joint for label in labels]
        labels = [before[m // len(texts)] + texts[m % len(texts)] for m in met.tolist()]
    out = np.full(len(known), -1, dtype=np.int32)
    out[known] = codes
    return Levels(out, pd.Index(labels, dtype=object))
