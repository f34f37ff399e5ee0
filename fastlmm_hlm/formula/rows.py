"""Which rows a model uses, and why the others were left out."""
import sys
import warnings
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from fastlmm_hlm.errors import ArgumentError, DataError, DroppedRowsWarning, FormulaError
from fastlmm_hlm.formula.columns import copies_on_write
from fastlmm_hlm.formula.kinds import as_column
from fastlmm_hlm.formula.parse import parse_expression
from fastlmm_hlm.formula.syntax import Name
from fastlmm_hlm.formula.values import Factor, Logical, Matrix, describe

_ACTIONS = ("omit", "exclude", "fail")


@dataclass(frozen=True)
class Rows:
    """The rows of a model.

    Attributes
    ----------
    used : ndarray of int64 or None
        Positions in the data; None when all rows are used.
    padded : ndarray of int64 or None
        Positions of the used rows and of those left out for missing values,
        which results are padded to with na_action = "exclude".
    dropped : dict of str to int
        Reason -> number of rows: "subset", "zero weight", "missing values".
    missing : dict of str to int
        Column -> rows of the subset in which it is missing; a call such as
        log(x) for rows in which only its result is missing.
    """

    used: np.ndarray | None
    padded: np.ndarray | None
    dropped: dict = field(default_factory=dict)
    missing: dict = field(default_factory=dict)


def check_na_action(na_action):
    """Return "omit", "exclude" or "fail"; R's "na.omit" and its kin are understood.

    Raises
    ------
    ArgumentError
    """
    plain = na_action.replace("na.", "", 1).replace("na_", "", 1) if isinstance(na_action, str) else na_action
    if plain not in _ACTIONS:
        raise ArgumentError(f"na_action is {na_action!r}; it must be 'omit', 'exclude' or 'fail'. Missing values cannot be passed on to a fit.")
    return plain


def vector_argument(argument, role, evaluator):
    """Evaluate weights, offset or subset on all rows of the data.

    Parameters
    ----------
    argument : str, array-like or None
        A column name, an expression in the data's columns, or a vector.
    role : str
        "weights", "offset" or "subset".
    evaluator : Evaluator

    Returns
    -------
    values : ndarray of float64, shape (n,), or None
        NaN for missing.
    node : Node or None
        The expression, when the argument was text.

    Raises
    ------
    DataError
        If its length is not that of the data, or its values are not numbers.
    UnknownColumnError
        If the text names a column the data do not have.
    """
    if argument is None:
        return None, None
    source = evaluator.source
    if isinstance(argument, str):
        node = Name(argument) if argument in source else parse_expression(argument)
        value = evaluator.variable(node, asker=f"{role} = {argument!r}")
        return as_numbers(value, role, f"{role} = {argument!r}"), node
    values = _positional(argument, role, source)
    if len(values) != source.n:
        raise DataError(f"{role} has {len(values)} values and the data have {source.n} rows; give one value for each row of the data, before any subset.")
    column = as_column(role, values)
    source.lend(column.values, values if isinstance(argument, pd.Series) and copies_on_write() else None)
    return as_numbers(column.value(), role, role), None


def _positional(argument, role, source):
    if np.isscalar(argument):
        raise ArgumentError(f"{role} is the single value {argument!r}; give a column name, an expression in columns, or one value per row.")
    if isinstance(argument, pd.Series):
        same = len(argument) == source.n and not argument.index.equals(source.index)
        if same and argument.index.is_unique and source.index.is_unique and not len(source.index.difference(argument.index)):
            argument = argument.reindex(source.index)
        return argument.reset_index(drop=True)
    if hasattr(argument, "to_list") and not isinstance(argument, np.ndarray):
        argument = argument.to_list()
    elif hasattr(argument, "to_pylist"):
        argument = argument.to_pylist()
    array = np.asarray(argument)
    if array.ndim != 1:
        raise DataError(f"{role} has shape {array.shape}; give one value for each row of the data.")
    return array if array.dtype.kind in "fiub" else pd.Series(array)


def as_numbers(value, role, shown):
    """Return the numbers of weights, an offset or a subset.

    Raises
    ------
    DataError
        If the value is a factor, text or a matrix.
    """
    if isinstance(value, Logical):
        return value.values
    if isinstance(value, (Factor, Matrix)):
        kind = "logical" if role == "subset" else "numeric"
        raise DataError(f"{shown} is {describe(value)}; {role} must be {kind}.")
    return value


def select_rows(n, index, subset, weights, missing, na_action, made=()):
    """Decide which rows are used: subset first, then zero weights, then missing values.

    Parameters
    ----------
    n : int
    index : pandas.Index
        Row labels, for messages.
    subset, weights : ndarray of float64, shape (n,), or None
    missing : dict of str to ndarray of bool, shape (n,)
        Where a column, or what a function made of columns, is missing.
    na_action : {"omit", "exclude", "fail"}
    made : collection of str
        Names in `missing` that a function of the formula made missing.

    Returns
    -------
    Rows

    Raises
    ------
    DataError
        For negative or infinite weights, no row left, or missing values with
        na_action = "fail".

    Warns
    -----
    DroppedRowsWarning
        For rows of weight zero, and rows that a function of the formula made
        missing.
    """
    if n and subset is None and not missing and _all_positive(weights):
        return Rows(None, None)
    keep, considered, dropped, counts = kept_rows(n, index, subset, weights, missing)
    announce_rows(dropped, counts, na_action, made)
    if not keep.any():
        raise no_rows_left(n, int(considered.sum()), counts, dropped)
    used = None if keep.all() else np.flatnonzero(keep)
    padded = np.flatnonzero(considered) if na_action == "exclude" and not np.array_equal(considered, keep) else None
    return Rows(used, padded, dropped, counts)


def kept_rows(n, index, subset, weights, missing):
    """Which rows are used, whether or not any is left; parameters as for `select_rows`.

    Returns
    -------
    keep, considered : ndarray of bool, shape (n,)
        Rows used, and those of the subset with a positive weight.
    dropped, counts : dict of str to int
        As in `Rows`: by reason, and missing values by column.

    Raises
    ------
    DataError
        For negative or infinite weights, or a subset that is no condition.
    """
    dropped = {}
    keep = np.ones(n, dtype=bool)
    if subset is not None:
        keep &= subset == 1 if set(np.unique(subset[~np.isnan(subset)])) <= {0.0, 1.0} else _refuse_subset()
        _count(dropped, "subset", n - keep.sum())
    if weights is not None:
        _check_weights(weights, keep, index)
        zero = keep & (weights == 0)
        _count(dropped, "zero weight", zero.sum())
        keep &= ~zero
    considered = keep.copy()
    counts = {name: int((mask & considered).sum()) for name, mask in missing.items()}
    counts = {name: count for name, count in counts.items() if count}
    for name in counts:
        keep &= ~missing[name]
    _count(dropped, "missing values", considered.sum() - keep.sum())
    return keep, considered, dropped, counts


def announce_rows(dropped, counts, na_action, made=()):
    """Refuse missing values where none are allowed, and warn of rows whose loss may surprise.

    Parameters
    ----------
    dropped, counts : dict of str to int
        See `kept_rows`.
    na_action : {"omit", "exclude", "fail"}
    made : collection of str
        Names in `counts` that a function of the formula made missing.

    Raises
    ------
    DataError
        For missing values with na_action = "fail".
    """
    if dropped.get("zero weight"):
        warnings.warn(f"{dropped['zero weight']} rows have weight 0 and are left out, as if they were not in the data; lme4 would count them as observations.", DroppedRowsWarning, stacklevel=_outside())
    if counts and na_action == "fail":
        raise DataError(f"there are missing values, and na_action = 'fail' allows none: {_shown(counts)}.")
    for name in counts:
        if name in made:
            warnings.warn(f"{name} has no value in {counts[name]} rows where its columns have one; these rows are left out.", DroppedRowsWarning, stacklevel=_outside())


def _all_positive(weights):
    return weights is None or bool(weights.min() > 0 and weights.max() < np.inf)


def _outside():
    """Return the stack level of the first caller outside the package, for warnings."""
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("fastlmm_hlm."):
        frame, level = frame.f_back, level + 1
    return level


def _count(dropped, reason, count):
    if count:
        dropped[reason] = int(count)


def _shown(counts):
    return ", ".join(f"{name} in {count} row{'s' if count > 1 else ''}" for name, count in counts.items())


def _refuse_subset():
    raise DataError("subset holds other values than TRUE and FALSE; write a condition such as subset='Days >= 2', or one True or False per row.")


def _check_weights(weights, keep, index):
    for bad, what in ((weights < 0, "negative"), (np.isinf(weights), "infinite")):
        rows = np.flatnonzero(bad & keep)
        if len(rows):
            raise DataError(f"weights are {what} in {len(rows)} row{'s' if len(rows) > 1 else ''}, first in row {index[rows[0]]!r} ({weights[rows[0]]:g}); prior weights must be finite and not below 0.")


def no_rows_left(n, considered, counts, dropped):
    """The error of a model without rows.

    Parameters
    ----------
    n, considered : int
        Rows of the data, and of the subset with a positive weight.
    counts, dropped : dict of str to int
        See `kept_rows`.

    Returns
    -------
    DataError
    """
    if n == 0:
        return DataError("the data have 0 rows; a model needs some.")
    if not considered:
        reasons = ", ".join(f"{reason} {count}" for reason, count in dropped.items() if reason != "missing values")
        return DataError(f"none of the {n} rows is left: {reasons}. Check subset and weights.")
    return DataError(f"none of the {considered} rows is complete; missing values: {_shown(counts)}. Drop such columns from the formula or fill them in.")


def check_formula_sides(formula):
    """Refuse formulas that no mixed model can be fitted from.

    Raises
    ------
    FormulaError
        Without a response or without a random term.
    """
    if formula.response is None:
        raise FormulaError(f"'{formula.text}' has no response; write it on the left of '~', as in y {formula.text}.")
    if not formula.bars and "|" in formula.text:
        raise FormulaError(f"'{formula.text}' has no random term: its bar stands inside a call that is no covariance structure. Write (x | group), or one of us(), diag(), cs(), ar1() around x | group.")
    if not formula.bars:
        raise FormulaError(f"'{formula.text}' has no random term; add one such as (1 | group). A model without random effects is an ordinary regression.")
