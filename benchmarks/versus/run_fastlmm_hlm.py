"""Fit one case with fastlmm_hlm."""

import inspect
import pathlib
import sys

import pandas as pd
import stopwatch

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

import fastlmm_hlm
from fastlmm_hlm import lmer, lmerControl


def load(job):
    data = pd.read_csv(job["data"], engine="pyarrow")
    return data.astype({factor: "category" for factor in job["factors"]})


def fit(data, job):
    takes_threads = "threads" in inspect.signature(lmerControl).parameters
    control = lmerControl(threads=job["threads"]) if takes_threads else None
    return lmer(job["formula"], data, REML=job["REML"], control=control)


def describe(fitted, job):
    varcorr = fitted.VarCorr()
    fixef = fitted.fixef()
    return {
        "criterion": float(fitted.REMLcrit() if job["REML"] else fitted.deviance()),
        "fixef": {name: float(value) for name, value in fixef.items()},
        "se": {name: float(value) ** 0.5 for name, value in zip(fixef.index, fitted.vcov().to_numpy().diagonal(), strict=True)},
        "varcomp": {
            group: {"names": list(varcorr[group].columns), "cov": varcorr[group].to_numpy().tolist()} for group in varcorr
        },
        "residual": float(fitted.sigma()) ** 2,
        "evaluations": int(fitted.optinfo["evaluations"]),
    }


stopwatch.run(f"fastlmm_hlm {fastlmm_hlm.__version__}", load, fit, describe)
