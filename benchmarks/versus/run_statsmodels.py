"""Fit one case with statsmodels' MixedLM, whose random effects live inside one grouping factor."""

import warnings
from importlib.metadata import version

import numpy as np
import pandas as pd
import statsmodels.formula.api as smf
import stopwatch

warnings.simplefilter("ignore")

MODELS = {
    "sleep": ("Reaction ~ Days", {"groups": "Subject", "re_formula": "~ Days"}),
    "slopes": ("score ~ x1 + x2 + x3 + x4 + x5", {"groups": "class", "re_formula": "~ x1"}),
    "nested": (
        "score ~ x1 + x2",
        {"groups": "school", "re_formula": "1", "vc_formula": {"class": "0 + C(Q('class'))"}},
    ),
}


def load(job):
    return pd.read_csv(job["data"], engine="pyarrow")


def fit(data, job):
    formula, structure = MODELS[job["case"]]
    return smf.mixedlm(formula, data, **structure).fit(reml=job["REML"], **job["options"])


def describe(fitted, job):
    _, structure = MODELS[job["case"]]
    names = ["(Intercept)" if name == structure["groups"] else name for name in fitted.cov_re.columns]
    varcomp = {structure["groups"]: {"names": names, "cov": np.asarray(fitted.cov_re).tolist()}}
    for name, value in zip(structure.get("vc_formula", {}), np.atleast_1d(fitted.vcomp), strict=False):
        varcomp[name] = {"names": ["(Intercept)"], "cov": [[float(value)]]}
    return {
        "criterion": -2 * float(fitted.llf),
        "fixef": {{"Intercept": "(Intercept)"}.get(name, name): float(value) for name, value in fitted.fe_params.items()},
        "varcomp": varcomp,
        "residual": float(fitted.scale),
        "remark": "" if fitted.converged else "it reports that it did not converge",
    }


stopwatch.run(f"statsmodels {version('statsmodels')}", load, fit, describe)
