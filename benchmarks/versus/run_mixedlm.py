"""Fit one case with mixedlm (Rust).

Its default optimizer ("auto": L-BFGS-B with exact gradients, then COBYQA where needed)
is its fastest and its most accurate; the derivative check is off, as for lme4.
"""

import warnings
from importlib.metadata import version

import mixedlm
import pandas as pd
import stopwatch

warnings.simplefilter("ignore")


def load(job):
    data = pd.read_csv(job["data"], engine="pyarrow")
    return data.astype({factor: "category" for factor in job["factors"]})


def fit(data, job):
    control = mixedlm.lmerControl(calc_derivs=False, **job["options"])
    return mixedlm.lmer(job["formula"], data, REML=job["REML"], control=control)


def describe(fitted, job):
    varcorr = fitted.VarCorr()
    return {
        "criterion": float(fitted.deviance),
        "fixef": {r_name(name, job["factors"]): float(value) for name, value in fitted.fixef().items()},
        "varcomp": {name: covariance(group) for name, group in varcorr.groups.items()},
        "residual": float(fitted.sigma) ** 2,
        "evaluations": int(fitted.function_evals or 0),
    }


def covariance(group):
    return {"names": list(group.term_names), "cov": group.cov.tolist()}


def r_name(name, factors):
    """ "service.1" as R writes it: "service1"."""
    for factor in factors:
        name = name.replace(factor + ".", factor)
    return name


stopwatch.run(f"mixedlm {version('mixedlm')}", load, fit, describe)
