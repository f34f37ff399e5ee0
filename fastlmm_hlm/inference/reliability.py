"""Reliability of the random effects: how much of the variance of an estimate is that of what it estimates."""

import numpy as np
import pandas as pd

from fastlmm_hlm.errors import FewLevelsWarning, warn_user
from fastlmm_hlm.inference.leveleffects import least_squares_effects
from fastlmm_hlm.report.frames import matrix_text

# Levels below which a variance between them is hardly known.
FEW_LEVELS = 5


def warn_of_few_levels(group, levels, caller):
    """Say that what rests on the variance between few levels is uncertain."""
    if levels < FEW_LEVELS:
        warn_user(
            f"{caller}: '{group}' has {levels} levels; a variance between fewer than {FEW_LEVELS} levels is hardly known, "
            "and the conditional variances take it as known", FewLevelsWarning,
        )


class Reliability(pd.DataFrame):
    """Reliabilities by level; `means` has those that HLM prints."""

    @property
    def _constructor(self):
        return pd.DataFrame

    def means(self):
        """Mean over the levels, one row per grouping factor and random effect.

        Returns
        -------
        DataFrame
            group, term, levels, tau, reliability, and reliability_ols with the number of
            levels it is the mean of (determined).
        """
        by = self.groupby(["group", "term"], sort=False)
        out = by.agg(levels=("level", "size"), tau=("tau", "first"), reliability=("reliability", "mean"))
        if "reliability_ols" in self.columns:
            out["reliability_ols"] = by["reliability_ols"].mean()
            out["determined"] = by["reliability_ols"].count()
        return out.reset_index()

    def __str__(self):
        table = self.means()
        shown = table.drop(columns=["group", "term"]).set_index(table["group"] + ": " + table["term"])
        return "Reliability of the random effects, mean over the levels\n" + matrix_text(shown, digits=4)

    __repr__ = __str__


def reliability(fit):
    """Reliability of every random effect of every level.

    Parameters
    ----------
    fit : LinearMixedModel

    Returns
    -------
    DataFrame
        group, level, term, tau (variance of the effect), condvar (its conditional variance), and

        reliability      1 - condvar / tau: the squared correlation of the conditional mode with the effect, the
                         parameters taken as known.  For a random intercept it is
                         lambda_j = tau / (tau + v_j), v_j the sampling variance of the level's mean, and the
                         factor by which the mode is shrunken.
        reliability_ols  tau / (tau + v_j) with v_j the variance of the least squares estimate
                         sigma^2 (Z_j'WZ_j)^-1, as HLM prints it (Raudenbush and Bryk 2002, eq. 3.53); NaN where the
                         level does not determine its effects.  Only for models with one grouping factor; it
                         differs from the first where several effects borrow strength from each other.

        Prints as the means by effect, `means`.  An effect without variance has reliability 0.

    Warns
    -----
    FewLevelsWarning
        For a factor of fewer than 5 levels.

    References
    ----------
    .. [1] Raudenbush, Bryk (2002), Hierarchical Linear Models, 2nd ed., sec. 3 (pp. 46-49).
    """
    modes, sigma = fit.ranef(condVar=True), fit._estimates.sigma
    parts = []
    for f, (group, levels, names) in enumerate(fit._factor_labels):
        warn_of_few_levels(group, len(levels), "reliability")
        tau = np.zeros(len(names))
        for term, T in zip(fit._terms, fit._estimates.templates):
            if term.factor == f:
                tau[term.columns] = sigma**2 * (T**2).sum(axis=1)
        condvar = np.diagonal(modes.condVar[group], axis1=1, axis2=2)
        one = len(fit._factor_labels) == 1
        v = sigma**2 * np.diagonal(least_squares_effects(fit, f)[1], axis1=1, axis2=2) if one else None
        for j, name in enumerate(names):
            known = tau[j] > 0
            part = {"group": group, "level": levels, "term": name, "tau": tau[j], "condvar": condvar[:, j],
                    "reliability": 1.0 - condvar[:, j] / tau[j] if known else 0.0}
            if one:
                part["reliability_ols"] = tau[j] / (tau[j] + v[:, j]) if known else np.where(np.isnan(v[:, j]), np.nan, 0.0)
            parts.append(pd.DataFrame(part))
    return Reliability(pd.concat(parts, ignore_index=True))
