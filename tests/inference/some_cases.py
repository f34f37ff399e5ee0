"""The models of reference/cases.json, fitted here as R fitted them."""

import functools
import json
import pathlib
import warnings

import numpy as np
import pandas as pd

from fastlmm_hlm import lmer
from fastlmm_hlm.errors import FastlmmWarning

FOLDER = pathlib.Path(__file__).parent / "reference"
ROOT = FOLDER.parents[2]
CASES = {case["id"]: case for case in json.loads((FOLDER / "cases.json").read_text())}


def data_of(case):
    """The data frame that the R script makes."""
    d = pd.read_csv(ROOT / case["data"], dtype={name: str for name in case["factors"]})
    if "keep" in case:
        i = np.arange(1, len(d) + 1)
        d = d[(i * i) % case["keep"][0] < case["keep"][1]].reset_index(drop=True)
    for name in case["factors"]:
        d[name] = pd.Categorical(d[name], categories=sorted(d[name].unique()))
    d["w"] = 0.5 + (np.arange(1, len(d) + 1) % 5) / 2
    return d


@functools.cache
def fitted_case(name):
    """The fit and, for a coarser clustering, the clusters; shared, so read only."""
    case = CASES[name]
    d = data_of(case)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FastlmmWarning)
        fit = lmer(case["formula"], d, REML=case.get("REML", True), weights="w" if case.get("weights") else None)
    cluster = None
    if "cluster_mod" in case:
        column, modulus = case["cluster_mod"]
        cluster = (d[column].cat.codes.to_numpy() + 1) % modulus
    return fit, cluster


@functools.cache
def reference(name):
    """R's stored answers, by file name."""
    return json.loads((FOLDER / name).read_text())
