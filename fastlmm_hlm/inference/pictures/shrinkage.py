"""Shrinkage: what each group's own rows say, and what the model makes of it.

With r = y - offset - X beta - (effects of other grouping factors), the least
squares estimate of a group's deviations is (Z'WZ)^-1 Z'Wr of its own rows, and the
conditional mode (Z'WZ + sigma^2 Psi^-1)^-1 Z'Wr: the same, drawn towards zero by
the estimated covariance Psi (Bates et al. 2015, sec. 3).  Fixed effects of the
same name are added to both, as in lme4's coef().  Both come from cross-products,
so a fit needs no rows for them.
"""

import numpy as np
import pandas as pd

from fastlmm_hlm.errors import ArgumentError
from fastlmm_hlm.inference.leveleffects import least_squares_effects
from fastlmm_hlm.inference.pictures.columns import chosen_terms, covariance_of, group_name

# Columns of a group are dependent when an eigenvalue of their correlations is below this share of the largest.
DEPENDENT = 1e-10


def shrinkage_data(fit, group=None, terms=None):
    """Least squares within each group beside the coefficients of the mixed model.

    Without predictors other than the random effects' columns, the least squares
    estimates are those of a regression per group (lm in R's lmList).
    Otherwise the rest of the fixed part, and the effects of other grouping
    factors, are taken off at their estimates first.

    Parameters
    ----------
    fit : LinearMixedModel
    group : str, optional
        Grouping factor; needed when the model has several.
    terms : list of str, optional
        Random effects to give; all of the group's by default.

    Returns
    -------
    DataFrame, one row per level and term
        grp, term, ols (NaN for a group whose own rows do not determine it),
        mixed (lme4's coef), population (the fixed effect, 0 without one), sd (estimated
        standard deviation of the random effect).

    Raises
    ------
    UnknownNameError
        If there is no such grouping factor or random effect.
    ArgumentError
        If several grouping factors exist and none is named.
    """
    name = group_name(fit, group, "shrinkage_data")
    f = [label for label, _, _ in fit._factor_labels].index(name)
    _, levels, columns = fit._factor_labels[f]
    columns = list(columns)
    wanted = chosen_terms(columns, terms, name, "shrinkage_data")
    fixed = fit.fixef().reindex(columns).fillna(0.0).to_numpy()
    own, _ = least_squares_effects(fit, f, DEPENDENT, others=True)
    sd = np.sqrt(np.diagonal(covariance_of(fit, name).to_numpy()))
    parts = []
    for term in wanted:
        j = columns.index(term)
        parts.append(pd.DataFrame({
            "grp": np.asarray(levels), "term": term, "ols": fixed[j] + own[:, j],
            "mixed": fixed[j] + fit._estimates.b[f][:, j], "population": fixed[j], "sd": sd[j],
        }))
    return pd.concat(parts, ignore_index=True)


def plot_shrinkage(fit, group=None, terms=None, *, ax=None, xlabel=None, ylabel=None, title=None):
    """Arrows from each group's least squares estimates to its coefficients in the mixed model.

    The ellipses hold 50% and 95% of the estimated distribution of the groups'
    coefficients around the population.  Groups that do not determine their own
    estimates are left out; far-away ones lie outside the axes; the legend counts both.  With
    one random effect, the arrows go from above to below.

    Parameters
    ----------
    fit, group, terms
        As for `shrinkage_data`, which gives the numbers; one or two terms, by default
        the first two.
    ax : matplotlib Axes or Figure, optional
    xlabel, ylabel, title : str, optional

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ArgumentError
        If there are more than two terms, or no group determines its own estimates.
    UnknownNameError
        As for `shrinkage_data`.
    FastlmmError
        If matplotlib is not installed.
    """
    from fastlmm_hlm.report.plot_shrinkage import plot_arrows

    name = group_name(fit, group, "plot_shrinkage")
    if terms is None:
        terms = list(fit.ranef(condVar=False)[name].columns[:2])
    frame = shrinkage_data(fit, name, terms)
    shown = list(dict.fromkeys(frame["term"]))
    if len(shown) > 2:
        raise ArgumentError(f"plot_shrinkage: {len(shown)} terms were given ({', '.join(shown)}); a picture has room for two.")
    covariance = covariance_of(fit, name).loc[shown, shown].to_numpy()
    return plot_arrows(frame, covariance, group=name, ax=ax, xlabel=xlabel, ylabel=ylabel, title=title)
