"""Reading the stored R output: numbers with 17 digits, frames, parts of fits."""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from fastlmm_hlm.report import SummaryParts, VarCorrTerm

REFERENCE = Path(__file__).parent / "reference"


def read(name):
    return json.loads((REFERENCE / f"{name}.json").read_text(encoding="utf-8"))


def numbers(words):
    return np.array([np.nan if word in ("NA", "NaN") else float(word) for word in words])


def matrix(rows):
    return np.array([numbers(row) for row in rows])


def frame(stored):
    shape = (len(stored["index"]), len(stored["columns"]))
    values = matrix(stored["values"]).reshape(shape)
    return pd.DataFrame(values, index=stored["index"], columns=stored["columns"])


def terms(stored):
    return [
        VarCorrTerm(term["name"], term["columns"], matrix(term["covariance"])) for term in stored
    ]


def parts(stored):
    """The SummaryParts of one stored fit."""
    same = (
        "formula nobs ngroups title ddf class_name family link data weights offset control subset "
        "fit_warnings optimizer convergence_code convergence_message messages optimizer_warnings"
    ).split()
    criterion = stored["criterion"]
    values = numbers(criterion["values"])
    correlation = stored["correlation"]
    return SummaryParts(
        varcorr=terms(stored["varcorr"]),
        sigma=None if stored["sigma"] is None else float(stored["sigma"]),
        coefficients=frame(stored["coefficients"]),
        criterion=dict(zip(criterion["names"], values, strict=True)),
        residual_quantiles=numbers(stored["residual_quantiles"]),
        correlation=None if correlation is None else matrix(correlation),
        correlation_hint=("print(summary(m), correlation=TRUE)", "vcov(summary(m))"),
        **{name: stored[name] for name in same},
    )
