"""What the package maketables asks a fit for when it makes a table of regressions.

maketables finds these by attributes of the fit with the names
``__maketables_coef_table__``, ``__maketables_stat__``, ``__maketables_depvar__``
and ``__maketables_default_stat_keys__``; it is never imported here.  Version
0.2.0 takes every object with ``params``, ``bse`` and ``pvalues`` for one of
statsmodels before it asks for these; `table_model` gives it an object that has
them alone.
"""

import numpy as np
import pandas as pd

from fastlmm_hlm.inference.ddf import method_of
from fastlmm_hlm.inference.emmeans.adjust import plain_pvalues

STATISTICS = {
    "N": "Observations", "sigma": "Residual SD", "ll": "Log-likelihood", "reml": "REML criterion", "deviance": "Deviance",
    "aic": "AIC", "bic": "BIC",
}
GROUPS = "groups: "


def coefficient_table(fit, ddf="Satterthwaite"):
    """Estimates, standard errors, t values and p-values: DataFrame (p, 4) with columns b, se, t, p.

    Parameters
    ----------
    fit : LinearMixedModel
    ddf : str
        Method for the degrees of freedom, see `fastlmm_hlm.inference.ddf.method_of`.
    """
    method, beta = method_of(fit, ddf), fit.fixef()
    se = np.sqrt(np.diagonal(method.vcov))
    t = beta.to_numpy() / se
    p = plain_pvalues(t, method.df(np.eye(len(beta))), 0)
    return pd.DataFrame({"b": beta.to_numpy(), "se": se, "t": t, "p": p}, index=pd.Index(beta.index, name="Coefficient"))


def statistic(fit, key):
    """One number of the foot of the table, or None if the key is not known.

    Parameters
    ----------
    fit : LinearMixedModel
    key : str
        One of `STATISTICS`, or "groups: " and a grouping factor.
    """
    if key.startswith(GROUPS):
        sizes = fit.ngrps()
        name = key.removeprefix(GROUPS)
        return int(sizes[name]) if name in sizes.index else None
    if key == "N":
        return int(fit.nobs)
    if key == "reml":
        return float(fit.REMLcrit()) if fit.isREML() else None
    if key == "deviance":
        return None if fit.isREML() else float(fit.deviance())
    made = {"sigma": fit.sigma, "ll": fit.logLik, "aic": fit.AIC, "bic": fit.BIC}
    return float(made[key]()) if key in made else None


def response(fit):
    """The response as the formula writes it."""
    return fit._spec.formula.response


def default_statistics(fit):
    """Keys shown unless others are asked for; the same for all fits, so that they share one table."""
    return ["N", "sigma", "aic", "bic"]


def statistic_labels(fit):
    """Names of the keys in the table."""
    return {**STATISTICS, **{GROUPS + name: f"Groups ({name})" for name in fit.ngrps().index}}


def table_model(fit, ddf="Satterthwaite"):
    """A fit with nothing but what maketables asks for, and a choice of the degrees of freedom.

    Parameters
    ----------
    fit : LinearMixedModel
    ddf : str
        See `fastlmm_hlm.inference.ddf.method_of`.

    Returns
    -------
    TableModel
        As in ``maketables.ETable([table_model(fit1), table_model(fit2)])``.
    """
    return TableModel(fit, ddf)


class TableModel:
    """What `table_model` returns."""

    def __init__(self, fit, ddf):
        self.__maketables_coef_table__ = coefficient_table(fit, ddf)
        self.__maketables_depvar__ = response(fit)
        self.__maketables_default_stat_keys__ = default_statistics(fit)
        self.__maketables_stat_labels__ = statistic_labels(fit)
        self._fit = fit

    def __maketables_stat__(self, key):
        return statistic(self._fit, key)
