"""Data and models of the tests of marginal means, and R's answers to questions about them."""

import json
import pathlib
import warnings

import pandas as pd

from fastlmm_hlm import datasets, lmer

REFERENCE = pathlib.Path(__file__).parent / "reference"
CASES = json.loads((REFERENCE / "cases.json").read_text(encoding="utf-8"))
ANSWERS = json.loads((REFERENCE / "answers.json").read_text(encoding="utf-8"))["answers"]


def school_data():
    """The made-up school data: an unbalanced factorial with covariates."""
    data = pd.read_csv(REFERENCE / "school.csv")
    data["a"] = pd.Categorical(data.a, ["lo", "mid", "hi"])
    data["o"] = pd.Categorical(data.o, ["one", "two", "three", "four"], ordered=True)
    return data


SCHOOL = school_data()
SETS = {"cake": datasets.load("cake"), "school": SCHOOL, "holes": SCHOOL[~((SCHOOL.a == "hi") & (SCHOOL.b == "v"))]}
_FITS = {}


def fitted_case(name):
    """A model of cases.json, fitted once."""
    if name not in _FITS:
        spec = CASES["models"][name]
        options = {key: spec[key] for key in ("REML", "weights", "contrasts") if key in spec}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            _FITS[name] = lmer(spec["formula"], SETS[spec["data"]], **options)
    return _FITS[name]
