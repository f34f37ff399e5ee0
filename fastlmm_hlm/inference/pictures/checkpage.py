"""All checks of a fit on one page, as performance's check_model."""

import numpy as np

from fastlmm_hlm.errors import ArgumentError, UnknownNameError
from fastlmm_hlm.inference.checks import (
    LOW_VIF, SHAPIRO_MOST, check_collinearity, check_heteroscedasticity, check_normality, p_text,
)
from fastlmm_hlm.inference.pictures.influence import cooks_data
from fastlmm_hlm.inference.pictures.predictive import predictive_data
from fastlmm_hlm.inference.pictures.quantiles import qq_data, ranef_qq_data
from fastlmm_hlm.inference.pictures.residuals import mean_root, residuals_data, scale_location_data

PANELS = ("linearity", "homogeneity", "influence", "collinearity", "normality", "random effects", "predictive")
# Panels of random effects on a page.
MOST_EFFECTS = 6


def check_model_data(fit, panels=None, *, predictive=False, nsim=30, seed=None):
    """The numbers of every panel of `check_model`.

    Parameters
    ----------
    fit, panels, predictive, nsim, seed
        As for `check_model`.

    Returns
    -------
    dict str -> DataFrame
        "linearity": `residuals_data`; "homogeneity": `scale_location_data`;
        "influence": `cooks_data`; "collinearity": `check_collinearity`;
        "normality": `qq_data`; "random effects": `ranef_qq_data`; "predictive":
        `predictive_data`.  None where a panel has nothing to show (fewer than two
        terms, no fixed effects).

    Raises
    ------
    UnknownNameError
        If there is no such panel.
    RowsNotKeptError
        If the fit was pickled without its rows.
    """
    fit._rows_or_raise("check_model")
    makers = {
        "linearity": lambda: _linearity(fit),
        "homogeneity": lambda: scale_location_data(fit),
        "influence": lambda: cooks_data(fit) if fit._estimates.p else None,
        "collinearity": lambda: _collinearity(fit),
        "normality": lambda: qq_data(fit),
        "random effects": lambda: ranef_qq_data(fit),
        "predictive": lambda: predictive_data(fit, nsim, seed=seed),
    }
    return {name: makers[name]() for name in _chosen(panels, predictive)}


def _linearity(fit):
    """Residuals beside the fixed part, with which they are uncorrelated; beside the fitted values if it is constant."""
    fixed = fit._linear_predictor(with_random=False)
    varies = np.ptp(fixed) > 1e-9 * np.abs(fixed).max(initial=0.0)
    return residuals_data(fit, ".fixed" if varies else None)


def _chosen(panels, predictive):
    if panels is None:
        return [name for name in PANELS if name != "predictive" or predictive]
    wanted = [panels] if isinstance(panels, str) else list(panels)
    for name in wanted:
        if name not in PANELS:
            raise UnknownNameError(f"check_model: there is no panel {name!r}; the panels are {', '.join(PANELS)}.")
    return list(dict.fromkeys(wanted))


def _collinearity(fit):
    try:
        return check_collinearity(fit)
    except ArgumentError:
        return None


def check_model(fit, panels=None, *, predictive=False, nsim=30, seed=None, ax=None):
    """One page of checks: what would show if an assumption of the model were wrong.

    Each panel has the picture and, in its second line, a number:

    linearity
        residuals against the fixed part of the fitted values; their local mean
        should stay at 0 (against the whole they rise by shrinkage alone)
    homogeneity
        scale-location; the p-value is that of `check_heteroscedasticity`
    influence
        leverage and standardized residual with contours of Cook's
        distance; rows that `check_outliers` finds
    collinearity
        variance inflation of each term (`check_collinearity`) with 95% intervals
    normality
        quantile plot of the standardized residuals with a simultaneous
        95% band; the p-value is that of `check_normality`
    random effects
        quantile plot of each random effect, with Shapiro and Wilk's test of
        the conditional modes (above 5,000 levels D'Agostino and Pearson's); at most six
    predictive
        density of the response before simulated ones, on request

    Parameters
    ----------
    fit : LinearMixedModel
    panels : list of str, optional
        Some of these names; all but the last by default.
    predictive : bool
        Also the last one.
    nsim, seed
        Simulated responses of the last one; see `predictive_data`.
    ax : sequence of Axes, or Figure, optional
        An Axes for each panel, or a figure that is divided into them.

    Returns
    -------
    ndarray of Axes

    Raises
    ------
    UnknownNameError
        If there is no such panel.
    ArgumentError
        If too few Axes are given.
    RowsNotKeptError
        If the fit was pickled without its rows.
    FastlmmError
        If matplotlib is not installed.
    """
    from fastlmm_hlm.report.plot_check import plot_page

    data = check_model_data(fit, panels, predictive=predictive, nsim=nsim, seed=seed)
    return plot_page(data, {name: _verdict(fit, name, frame) for name, frame in data.items()}, mean_root(), MOST_EFFECTS, ax=ax)


def _verdict(fit, name, frame):
    """The second line of a panel; for the random effects a dict (group, term) -> line."""
    if name == "linearity":
        x, off = frame.iloc[:, 0].to_numpy(), np.quantile(np.abs(frame[".trend"]), 0.9) / fit._estimates.sigma
        if np.ptp(x) <= 1e-9 * np.abs(x).max(initial=0.0):
            return "the fitted values do not vary"
        return f"local mean within {off:.2g} sigma of 0 in 90% of the rows"
    if name == "homogeneity":
        return f"constant variance: {p_text(check_heteroscedasticity(fit).p)}"
    if name == "influence":
        if frame is None:
            return "no fixed effects to influence"
        threshold = frame.attrs["threshold"]
        found = int((frame[".cooksd"] > threshold).sum())         # as check_outliers counts, without its leverages again
        return f"{found:,} outlier{'s'[: found != 1]} (Cook's distance above {threshold:.2f})"
    if name == "collinearity":
        if frame is None:
            return "fewer than two terms: nothing to inflate"
        high = int((frame["VIF"] >= LOW_VIF).sum())
        return f"largest variance inflation {frame['VIF'].max():.2f}; {high} term{'s'[: high != 1]} above {LOW_VIF:g}"
    if name == "normality":
        found = check_normality(fit)
        return f"{found.method}: {p_text(found.p)}"
    if name == "random effects":
        return {key: _effect_line(part["condval"].to_numpy()) for key, part in frame.groupby(["grpvar", "term"], sort=False)}
    return "observed and simulated responses"


def _effect_line(values):
    from scipy import stats

    if len(values) < 3 or np.ptp(values) <= 1e-12 * np.abs(values).max(initial=1.0):
        return "no variation to test"
    if len(values) <= SHAPIRO_MOST:
        return f"Shapiro-Wilk: {p_text(float(stats.shapiro(values).pvalue))}"
    return f"D'Agostino-Pearson: {p_text(float(stats.normaltest(values).pvalue))}"


