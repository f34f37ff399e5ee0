"""A fit as one JSON object."""

import platform

import numpy as np
import pandas as pd
import scipy

from fastlmm_hlm import __version__
from fastlmm_hlm.inference.ddf import METHODS, fit_for
from fastlmm_hlm.report.plainvalues import plain_values


def fit_record(fit, with_ranef=False, ddf=METHODS[0]):
    """A fit as one JSON object.

    Parameters
    ----------
    fit : LinearMixedModel
    with_ranef : bool
        Add the random effects, one row per level and column.
    ddf : str
        Method for the degrees of freedom of the t-tests.

    Returns
    -------
    dict
        Of lists, dicts, str, bool, int, finite float and None.
    """
    fit = fit_for(fit, ddf)
    log_likelihood, summary = fit.logLik(), fit.summary(ddf=ddf)
    left_out = {"rows": sum(fit._dropped.values()), "reasons": fit._dropped, "missing": fit._missing}
    record = {
        "formula": str(fit.formula),
        "REML": fit.isREML(),
        "criterion": fit.deviance(REML=fit.isREML()),
        "fixef": [
            {"name": name, "estimate": row["Estimate"], "se": row["Std. Error"], "t": row["t value"],
             "df": row.get("df"), "p": row.get("Pr(>|t|)")}
            for name, row in summary.coefficients.iterrows()
        ],
        "vcov": fit.vcov().to_numpy(),
        "VarCorr": fit.VarCorr().to_frame().to_dict("records"),
        "sigma": fit.sigma(),
        "theta": fit.theta,
        "isSingular": fit.isSingular(),
        "logLik": float(log_likelihood),
        "df": log_likelihood.df,
        "AIC": fit.AIC(),
        "BIC": fit.BIC(),
        "nobs": fit.nobs(),
        "ngrps": fit.ngrps().to_dict(),
        "optinfo": {name: value for name, value in fit.optinfo.items() if name != "trace"},
        "left_out": left_out,
        "messages": [*summary.parts.fit_warnings, *summary.parts.all_messages()],
        "versions": {
            "fastlmm_hlm": __version__, "python": platform.python_version(), "numpy": np.__version__,
            "pandas": pd.__version__, "scipy": scipy.__version__,
        },
    }
    if with_ranef:
        record["ranef"] = fit.ranef().to_frame().to_dict("records")
    return plain_values(record)
