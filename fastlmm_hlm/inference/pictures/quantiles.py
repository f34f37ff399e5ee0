"""Normal quantile plots: of the residuals, with a band, and of the random effects, with their standard deviations."""

import numpy as np
import pandas as pd

from fastlmm_hlm.errors import ArgumentError
from fastlmm_hlm.inference.leverage import leverages
from fastlmm_hlm.inference.pictures.columns import check_share
from fastlmm_hlm.inference.pictures.qqbands import normal_band, plotting_positions
from fastlmm_hlm.inference.pictures.raneffects import modes
from fastlmm_hlm.inference.pictures.residuals import NAMES, outlying, residuals_of


def qq_data(fit, *, type="standardized", id=0.05, level=0.95, band="simultaneous"):
    """Ordered residuals beside normal quantiles, with the band in which those of a normal sample lie.

    Parameters
    ----------
    fit : LinearMixedModel
    type : {"standardized", "scaled"}
        Residuals over sigma sqrt(1 - h), which have variance 1 under the model,
        or over sigma as in lme4, which have less.
    id : float or None
        Outer part of a normal distribution beyond which a row counts as outlying.
    level : float
        Probability of the band.
    band : {"simultaneous", "pointwise"}
        All ordered values lie inside with probability `level`, or each of them.
        Exact for independent residuals (Aldor-Noiman et al. 2013); those of a
        fit are nearly so when groups and fixed effects are few beside the rows.

    Returns
    -------
    DataFrame, n rows in increasing order of the residual
        Index: labels of the rows.  Columns: "theoretical" (normal quantiles of
        R's ppoints(n)), ".resid", "line" (theoretical times the residuals' expected
        root mean square: 1, or sqrt(1 - mean h) if scaled), "lower", "upper" (of the
        band, times the same), "outlying" (bool; at most the ten largest).

    Raises
    ------
    ArgumentError
        If an argument is out of range.
    RowsNotKeptError
        If the fit was pickled without its rows.
    """
    from scipy import special

    if type not in ("standardized", "scaled"):
        raise ArgumentError(f"qq_data: type = {type!r} is not known; use 'standardized' or 'scaled'.")
    if band not in ("simultaneous", "pointwise"):
        raise ArgumentError(f"qq_data: band = {band!r} is not known; use 'simultaneous' or 'pointwise'.")
    check_share(level, "level", "qq_data")
    r = residuals_of(fit, type, "qq_data")
    marked = np.zeros(len(r), dtype=bool)
    if id is not None:
        marked[outlying(r, id, "qq_data")] = True
    order = np.argsort(r, kind="stable")
    lower, upper = normal_band(len(r), level, band == "simultaneous")
    theoretical = special.ndtri(plotting_positions(len(r)))
    size = 1.0 if type == "standardized" else float(np.sqrt(1.0 - leverages(fit, "qq_data").mean()))
    return pd.DataFrame({
        "theoretical": theoretical, ".resid": r[order], "line": size * theoretical, "lower": size * lower,
        "upper": size * upper, "outlying": marked[order],
    }, index=fit._rows_or_raise("qq_data").index[order])


def ranef_qq_data(fit, group=None, terms=None, *, level=0.95):
    """Ordered random effects beside normal quantiles, with their intervals, as in lme4's qqmath(ranef(fit)).

    Parameters
    ----------
    fit : LinearMixedModel or RandomEffects
    group : str, optional
        One grouping factor; all by default.
    terms : str or list of str, optional
        Random effects to give; all by default.
    level : float
        Of the intervals condval +- z condsd.

    Returns
    -------
    DataFrame, one row per random effect, in increasing order within each panel
        grpvar, term, grp, theoretical (normal quantile of (i - 1/2) / levels),
        condval, condsd, lower, upper, line (the line through the quartiles).
        Without condsd, lower and upper if the effects have no variances.

    Raises
    ------
    UnknownNameError
        If there is no such grouping factor or random effect.
    ArgumentError
        If level is out of range.
    """
    from scipy import special

    frame = modes(fit, group, terms, level, "ranef_qq_data")
    parts = []
    for _, part in frame.groupby(["grpvar", "term"], sort=False):
        part = part.sort_values("condval", kind="stable")
        n = len(part)
        part.insert(3, "theoretical", special.ndtri((np.arange(1, n + 1) - 0.5) / n))
        low, high = np.quantile(part["condval"], [0.25, 0.75])
        slope = (high - low) / (2.0 * special.ndtri(0.75))
        parts.append(part.assign(line=(low + high) / 2.0 + slope * part["theoretical"]))
    return pd.concat(parts, ignore_index=True)


def plot_qq(fit, *, type="standardized", id=0.05, level=0.95, band="simultaneous", ax=None, xlabel=None, ylabel=None, title=None):
    """Normal quantile plot of the residuals, with the band of a normal sample; the largest residuals are labelled.

    Of more than 4,000 rows the 500 smallest and the 500 largest residuals and at most 3,000
    of those between are drawn; the legend says how many.

    Parameters
    ----------
    fit, type, id, level, band
        As for `qq_data`, which gives the numbers.
    ax : matplotlib Axes or Figure, optional
    xlabel, ylabel, title : str, optional

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ArgumentError, RowsNotKeptError
        As for `qq_data`.
    FastlmmError
        If matplotlib is not installed.
    """
    from fastlmm_hlm.report.plot_qq import plot_normal

    frame = qq_data(fit, type=type, id=id, level=level, band=band)
    return plot_normal(frame, band=f"{100 * level:g}% of normal samples{'' if band == 'simultaneous' else ', point by point'}",
                       ax=ax, xlabel=xlabel, ylabel=NAMES[type] if ylabel is None else ylabel, title=title)


def plot_ranef_qq(fit, group=None, terms=None, *, level=0.95, ax=None, title=None):
    """Normal quantile plots of the random effects with their intervals, one panel per effect.

    The line goes through the quartiles.  lme4's qqmath(ranef(fit)) has the same
    points with the axes exchanged.

    Parameters
    ----------
    fit, group, terms, level
        As for `ranef_qq_data`, which gives the numbers.
    ax : Axes, sequence of Axes, or Figure, optional
        An Axes for each panel, or a figure that is divided into them.
    title : str, optional
        Above the first panel.

    Returns
    -------
    ndarray of Axes, one per random effect

    Raises
    ------
    UnknownNameError, ArgumentError
        As for `ranef_qq_data`.
    FastlmmError
        If matplotlib is not installed.
    """
    from fastlmm_hlm.report.plot_qq import plot_effect_quantiles

    return plot_effect_quantiles(ranef_qq_data(fit, group, terms, level=level), level=level, ax=ax, title=title)


def qqmath(fit, **look):
    """lme4's qqmath(fit): `plot_qq` of the residuals over sigma."""
    return plot_qq(fit, **{"type": "scaled", **look})
