"""Residuals against what should not explain them: fitted values, a covariate, a group; and their size."""

import numpy as np
import pandas as pd

from fastlmm_hlm.errors import ArgumentError
from fastlmm_hlm.inference import residuals
from fastlmm_hlm.inference.pictures.columns import column_at_rows
from fastlmm_hlm.inference.pictures.smoother import local_mean
from fastlmm_hlm.inference.rowdiagnostics import standardized

TYPES = ("pearson", "scaled", "standardized", "response")
NAMES = {"pearson": "residual", "response": "residual", "scaled": "residual / sigma",
         "standardized": "standardized residual"}


def residuals_of(fit, type, caller):
    """Residuals of one type, (n,).

    pearson       r = y - fitted, times the root of the prior weight
    scaled        pearson / sigma
    standardized  pearson / (sigma sqrt(1 - h)), h the leverage: all have variance 1
    response      y - fitted

    Raises
    ------
    ArgumentError
        For an unknown type.
    RowsNotKeptError
        If the fit was pickled without its rows.
    """
    if type not in TYPES:
        raise ArgumentError(f"{caller}: type = {type!r} is not known; use one of {', '.join(TYPES)}.")
    if type == "standardized":
        return np.nan_to_num(standardized(fit, caller), nan=0.0)         # a residual without variance is zero
    return residuals.residuals_of(fit, "pearson" if type == "scaled" else type, scaled=type == "scaled", caller=caller)


def residuals_data(fit, x=None, *, type="pearson", share=2.0 / 3.0):
    """Residuals beside fitted values, a covariate or a factor, with their local mean.

    Parameters
    ----------
    fit : LinearMixedModel
    x : str, optional
        A column of the data, in the model or not, or a grouping factor; ".fixed",
        the fitted values without random effects; the fitted values by default.
    type : {"pearson", "scaled", "standardized", "response"}
        "pearson": times the root of the prior weight; "scaled": over sigma as
        well; "standardized": over sigma sqrt(1 - h), h the leverage.
    share : float
        Part of the rows that each local line of the trend uses.

    Returns
    -------
    DataFrame, n rows
        Index: labels of the rows of the fit.  Columns: ".fitted" or x,
        ".resid", and for a numeric x ".trend", the mean of the residuals
        near x (lowess without robust iterations, Cleveland 1979).  NaN where x
        is missing.

    Raises
    ------
    UnknownNameError
        If x is neither a column nor a grouping factor.
    ArgumentError
        For an unknown type, or a share outside 0 and 1.
    RowsNotKeptError
        If the fit was pickled without its rows.
    """
    values = _values(fit, x, "residuals_data")
    name = ".fitted" if x is None else x
    frame = _beside(fit, name, values, ".resid", residuals_of(fit, type, "residuals_data"), "residuals_data")
    return _with_trend(frame, share, "residuals_data") if isinstance(values, np.ndarray) else frame


def scale_location_data(fit, x=None, *, share=2.0 / 3.0):
    """Root of the absolute standardized residuals beside the fitted values, with their local mean.

    For normal residuals of constant variance the mean is 0.822 everywhere.

    Parameters
    ----------
    fit : LinearMixedModel
    x : str, optional
        A numeric column of the data, or ".fixed", in place of the fitted values.
    share : float
        As in `residuals_data`.

    Returns
    -------
    DataFrame, n rows
        Columns ".fitted" or x, ".root" (square root of the absolute standardized residual), ".trend".

    Raises
    ------
    ArgumentError
        If x is not numeric; and as for `residuals_data`.
    UnknownNameError, RowsNotKeptError
        As for `residuals_data`.
    """
    values = _values(fit, x, "scale_location_data")
    if not isinstance(values, np.ndarray):
        raise ArgumentError(f"scale_location_data: {x!r} is not numeric; use plot_residuals(fit, {x!r}) for boxes by level.")
    root = np.sqrt(np.abs(residuals_of(fit, "standardized", "scale_location_data")))
    frame = _beside(fit, ".fitted" if x is None else x, values, ".root", root, "scale_location_data")
    return _with_trend(frame, share, "scale_location_data")


def plot_residuals(fit, x=None, *, type="pearson", share=2.0 / 3.0, id=None, ax=None, xlabel=None, ylabel=None, title=None):
    """Residuals against fitted values (lme4's plot(fit)), a covariate, or by level of a factor.

    Up to 20,000 rows are drawn as points, more as hexagons shaded by their number.
    The line is the local mean; without a pattern left it stays near zero.  For a factor the
    picture has a box per level (quartiles, whiskers to 1.5 times their
    distance), for more than 40 levels the middle half as a line and the
    median as a dot, in order of the medians.

    Residuals rise with the fitted values where groups are small, in a true model
    too: effects are drawn towards zero, so groups far above the mean have
    positive residuals.  With the fixed part, x=".fixed", they are uncorrelated.

    Parameters
    ----------
    fit, x, type, share
        As for `residuals_data`, which gives the numbers.
    id : float, optional
        Label rows whose standardized residual lies in the outer `id` of a normal
        distribution, at most the ten largest.
    ax : matplotlib Axes or Figure, optional
    xlabel, ylabel, title : str, optional

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    UnknownNameError, ArgumentError, RowsNotKeptError
        As for `residuals_data`.
    FastlmmError
        If matplotlib is not installed.
    """
    from fastlmm_hlm.report.plot_residuals import plot_boxes, plot_scatter

    frame = residuals_data(fit, x, type=type, share=share)
    ylabel = NAMES[type] if ylabel is None else ylabel
    if ".trend" not in frame.columns:
        return plot_boxes(frame, ax=ax, xlabel=ylabel if xlabel is None else xlabel, ylabel=x, title=title)
    labels = None
    if id is not None:
        labels = outlying(residuals_of(fit, "standardized", "plot_residuals"), id, "plot_residuals")
    return plot_scatter(frame, zero=0.0, labels=labels, ax=ax, xlabel=_name_of(x) if xlabel is None else xlabel,
                        ylabel=ylabel, title=title)


def plot_scale_location(fit, x=None, *, share=2.0 / 3.0, ax=None, xlabel=None, ylabel=None, title=None):
    """Root of the absolute standardized residuals against fitted values: does the spread change?

    The dashed line is what normal residuals of constant variance have on average,
    0.822; the other the local mean.

    Parameters
    ----------
    fit, x, share
        As for `scale_location_data`, which gives the numbers.
    ax : matplotlib Axes or Figure, optional
    xlabel, ylabel, title : str, optional

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    UnknownNameError, ArgumentError, RowsNotKeptError
        As for `scale_location_data`.
    FastlmmError
        If matplotlib is not installed.
    """
    from fastlmm_hlm.report.plot_residuals import plot_scatter

    frame = scale_location_data(fit, x, share=share)
    return plot_scatter(frame, zero=mean_root(), zero_label=f"constant variance, {mean_root():.3f}", ax=ax,
                        xlabel=_name_of(x) if xlabel is None else xlabel,
                        ylabel="root of |standardized residual|" if ylabel is None else ylabel, title=title)


def plot(fit, *arguments, **look):
    """lme4's plot(fit): `plot_residuals`."""
    return plot_residuals(fit, *arguments, **look)


def _name_of(x):
    return "fitted value" if x is None else "fitted value, fixed part" if x == ".fixed" else x


def mean_root():
    """E sqrt|z| of a standard normal z: 2^(1/4) Gamma(3/4) / sqrt(pi) = 0.822."""
    from scipy import special

    return float(2.0**0.25 * special.gamma(0.75) / np.sqrt(np.pi))


def outlying(standardized, id, caller, most=10):
    """Rows in the outer `id` of a normal distribution: places of the `most` largest, in increasing order.

    Raises
    ------
    ArgumentError
        If id does not lie between 0 and 1.
    """
    from scipy import special

    if isinstance(id, bool) or not isinstance(id, (int, float)) or not 0 < id < 1:
        raise ArgumentError(f"{caller}: id = {id!r}; give the outer part of the residuals that is labelled, such as 0.05, or None.")
    size = np.abs(standardized)
    found = np.flatnonzero(size > -special.ndtri(id / 2.0))
    return np.sort(found[np.argsort(-size[found], kind="stable")[:most]])


def _values(fit, x, caller):
    """What the residuals stand beside: (n,), or a Categorical."""
    if x is None or x == ".fixed":
        return fit._linear_predictor(with_random=x is None)
    return column_at_rows(fit, x, caller)


def _beside(fit, name, values, own, numbers, caller):
    if name in (own, ".trend"):
        raise ArgumentError(f"{caller}: the column {name!r} is called as a column of the result; rename it.")
    return pd.DataFrame({name: values, own: numbers}, index=fit._rows_or_raise(caller).index)


def _with_trend(frame, share, caller):
    if isinstance(share, bool) or not isinstance(share, (int, float)) or not 0 < share <= 1:
        raise ArgumentError(f"{caller}: share = {share!r}; each line uses a part of the rows, above 0 and at most 1.")
    x, y = frame.iloc[:, 0].to_numpy(), frame.iloc[:, 1].to_numpy()
    known = np.isfinite(x)
    trend = np.full(len(x), np.nan)
    if known.any():
        trend[known] = local_mean(x[known], y[known], share)
    return frame.assign(**{".trend": trend})
