"""Checks on the finished frame: can a mixed model be estimated from it at all?"""
import numpy as np

from fastlmm_hlm.errors import DataError
from fastlmm_hlm.formula.values import Factor, Logical, Matrix

RESPONSE_KINDS = ("numeric", "binomial")
_FEW = 1000
CHECKS = ("nlev.gtr.1", "nobs.vs.nlev", "nobs.vs.nRE", "response.not.const")


def numeric_response(value, name, kind):
    """Turn the response into numbers.

    Parameters
    ----------
    value : value of the response, rows chosen
    name : str
    kind : {"numeric", "binomial"}
        "binomial" also takes a factor of two levels (the first is failure)
        and two columns of successes and failures.

    Returns
    -------
    ndarray of float64, shape (n,), or (n, 2) for successes and failures

    Raises
    ------
    DataError
        For text, factors and matrices where numbers are needed, and for a
        response that never varies.
    """
    if isinstance(value, Logical):
        y = value.values
    elif isinstance(value, Matrix):
        y = _response_columns(value, name, kind)
    elif isinstance(value, Factor):
        y = _response_factor(value, name, kind)
    else:
        y = value
    return np.ascontiguousarray(y, dtype=np.float64)


def _response_columns(value, name, kind):
    columns = value.values.shape[1]
    if columns == 1:
        return value.values[:, 0]
    if kind == "binomial" and columns == 2:
        return value.values
    advice = "give successes and failures as cbind(successes, failures)" if kind == "binomial" else "fit one response at a time"
    raise DataError(f"the response '{name}' has {columns} columns; {advice}.")


def _response_factor(value, name, kind):
    what = "text" if value.text else "categorical"
    levels = ", ".join(f"'{level}'" for level in value.levels[:5]) + (" ..." if len(value.levels) > 5 else "")
    if kind != "binomial":
        raise DataError(f"the response '{name}' is {what} (values such as {levels}); the response must be numeric. Convert the column to numbers, or use glmer for a yes/no response.")
    if len(value.levels) != 2:
        raise DataError(f"the response '{name}' has {len(value.levels)} levels ({levels}); a binomial response needs exactly 2, the first meaning failure. lme4 would count all but the first as success.")
    return value.codes.astype(np.float64)


def check_varies(y, name):
    """Refuse a response with one single value.

    Raises
    ------
    DataError
    """
    rates = y if y.ndim == 1 else np.divide(y[:, 0], y.sum(axis=1), out=np.zeros(len(y)), where=y.sum(axis=1) > 0)
    if len(rates) < 2 or (rates[:_FEW] != rates[0]).any():
        return
    if rates.min() == rates.max():
        raise DataError(f"the response '{name}' is constant ({rates[0]:g} in all {len(rates)} rows used); there is no variation to model (lme4 reports a log-likelihood of -Inf).")


def check_finite(columns, names, index, part, scans):
    """Refuse infinite values.

    Parameters
    ----------
    columns : list of (ndarray, shape (n,) or (n, k), or None)
    names : list of str, one for each
    index : pandas.Index of the n rows
    part : str
        Where the values stand, for the message.
    scans : Scans

    Raises
    ------
    DataError
        Naming the column and the first row.
    """
    for column, name in zip(columns, names, strict=True):
        if column is None or scans.finite(column):
            continue
        bad = np.flatnonzero(~np.isfinite(column.reshape(len(column), -1)).all(axis=1))
        more = f" and {len(bad) - 1} more" if len(bad) > 1 else ""
        raise DataError(f"'{name}' in {part} is infinite in row {index[bad[0]]!r}{more}; a fit needs finite numbers. Correct or leave out such rows.")


def check_random_terms(random, n, has_scale, skip):
    """Check the size of each random term against the number of rows.

    Parameters
    ----------
    random : list of RandomTermFrame
    n : int
        Rows used.
    has_scale : bool
        False for families without a residual variance, where one level per
        row can be estimated.
    skip : collection of str
        Names of lme4's checks to leave out: "nlev.gtr.1", "nobs.vs.nlev",
        "nobs.vs.nRE".

    Raises
    ------
    DataError
    """
    for term in random:
        levels, columns = len(term.levels), len(term.columns)
        if levels < 2 and "nlev.gtr.1" not in skip:
            raise DataError(f"grouping factor '{term.group}' in {term.text} has {levels} level ('{term.levels[0]}'); a random effect needs at least 2. Drop the term, or check that '{term.group}' was read as it should be.")
        if (levels >= n if has_scale else levels > n) and "nobs.vs.nlev" not in skip:
            raise DataError(f"grouping factor '{term.group}' in {term.text} has {levels} levels and the data have {n} rows; a random effect needs more rows than levels, or its variance cannot be told from the residual's. Drop the term or use a coarser factor.")
        effects = levels * columns
        structured = term.covariance in ("cs", "ar1", "diag")
        if (effects >= n if has_scale else effects > n) and not structured and "nobs.vs.nRE" not in skip:
            raise DataError(f"the term {term.text} has {effects} random effects ({levels} levels times {columns} columns) and the data have {n} rows; there must be fewer effects than rows, or the random-effects parameters and the residual variance are probably unidentifiable. Take columns out of the term.")
