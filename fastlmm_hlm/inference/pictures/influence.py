"""Influence of single rows: Cook's distance, and leverage beside the residual."""

import numpy as np
import pandas as pd

from fastlmm_hlm.errors import ArgumentError
from fastlmm_hlm.inference.leverage import leverages
from fastlmm_hlm.inference.pictures.residuals import residuals_of
from fastlmm_hlm.inference.rowdiagnostics import cooks_distances


def cooks_data(fit):
    """Leverage, standardized residual and Cook's distance of every row.

    Cook's distance is d = s^2 h / (p (1 - h)) with the standardized residual s, the
    leverage h of the conditional fit and p fixed effects, as in lme4's
    cooks.distance(fit); theta is taken as known.

    Parameters
    ----------
    fit : LinearMixedModel

    Returns
    -------
    DataFrame, n rows
        Index: labels of the rows.  Columns ".hat", ".std.resid", ".cooksd".
        ``.attrs`` has "threshold", the median of F(p, n - p), and "p".

    Raises
    ------
    ArgumentError
        If the model has no fixed effects.
    RowsNotKeptError
        If the fit was pickled without its rows.
    """
    from scipy import stats

    rows, e = fit._rows_or_raise("cooks_data"), fit._estimates
    if not e.p:
        raise ArgumentError("cooks_data: the model has no fixed effects, and Cook's distance is about these.")
    h, r = leverages(fit, "cooks_data"), residuals_of(fit, "pearson", "cooks_data")
    out = pd.DataFrame({
        ".hat": h, ".std.resid": r / (e.sigma * np.sqrt(np.maximum(1.0 - h, 1e-12))),
        ".cooksd": cooks_distances(r, h, e.p, e.sigma),
    }, index=rows.index)
    out.attrs.update(threshold=float(stats.f.ppf(0.5, e.p, e.n - e.p)), p=int(e.p))
    return out


def plot_cooks(fit, *, label=5, ax=None, xlabel=None, ylabel=None, title=None):
    """Cook's distance of every row, in the order of the data; the largest are labelled.

    The dashed line is the median of F(p, n - p), above which a row counts as
    an outlier in `check_outliers`; it is drawn only where it lies near the distances.
    Of more than 20,000 rows each bar is the largest of so many neighbours, which the legend says.

    Parameters
    ----------
    fit : LinearMixedModel
        `cooks_data` gives the numbers.
    label : int
        How many rows are labelled.
    ax : matplotlib Axes or Figure, optional
    xlabel, ylabel, title : str, optional

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ArgumentError, RowsNotKeptError
        As for `cooks_data`.
    FastlmmError
        If matplotlib is not installed.
    """
    from fastlmm_hlm.report.plot_influence import plot_index

    if isinstance(label, bool) or not isinstance(label, (int, np.integer)) or label < 0:
        raise ArgumentError(f"plot_cooks: label = {label!r}; give how many rows are labelled, 0 or more.")
    frame = cooks_data(fit)
    return plot_index(frame, frame.attrs["threshold"], label=int(label), ax=ax, xlabel=xlabel, ylabel=ylabel, title=title)
