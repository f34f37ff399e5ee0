"""Prior weights of the rows of a prediction or simulation."""

import numpy as np

from fastlmm_hlm.errors import ArgumentError, FastlmmWarning, UnknownColumnError, warn_user
from fastlmm_hlm.formula.columns import DataColumns
from fastlmm_hlm.formula.evaluate import Evaluator
from fastlmm_hlm.formula.rows import vector_argument


def weights_for(fit, newdata, rows, weights, caller="predict"):
    """Prior weights, (n,) or None for ones.

    Parameters
    ----------
    fit : LinearMixedModel
    newdata : data frame or None
    rows : RowsOfFit or RowsOfNewData
    weights : None, str, array or float
        None takes those of the fit: its expression evaluated in newdata.
    caller : str

    Raises
    ------
    ArgumentError
        If a weight is not a positive number.
    """
    if weights is None:
        return rows.design.weights if newdata is None else _of_fit(fit, newdata, caller)
    if np.isscalar(weights) and not isinstance(weights, str):
        values = np.full(rows.n, weights, dtype=float)
    elif newdata is not None:
        values = vector_argument(weights, "weights", Evaluator(DataColumns(newdata)))[0]
    elif isinstance(weights, str):
        raise ArgumentError(f"{caller}: weights = {weights!r} names a column, and there is no newdata; give one number per row.")
    else:
        values = rows.rows.select(weights, f"{caller}: weights")
    bad = np.flatnonzero(~(values > 0) & ~np.isnan(values))
    if len(bad):
        raise ArgumentError(f"{caller}: weights are {values[bad[0]]:g} in row {bad[0]} (counted from 0); they must be positive.")
    return values


def _of_fit(fit, newdata, caller):
    """The fit's weights in new data; ones, with a warning, where they are not known."""
    if not fit._weighted:
        return None
    given = fit._settings.weights
    if isinstance(given, str):
        try:
            return vector_argument(given, "weights", Evaluator(DataColumns(newdata)))[0]
        except UnknownColumnError:
            pass
    warn_user(f"{caller}: the fit is weighted and newdata have no weights; taking 1 for every row. Give weights=.", FastlmmWarning)
    return None
