"""Predictions and their standard errors against lme4, and against the definition computed in R."""

import numpy as np
import pytest

from fastlmm_hlm import predict
from fastlmm_hlm.inference import jointrows
from tests.inference.prediction_cases import ASKED, cases, fitted, newdata, reference

# Both sides stand at the same theta; what differs is rounding.  Relative to the response's standard deviation.
ACCURACY = 1e-6


def assert_same(ours, theirs, name, message):
    scale = reference()[name]["sd"]
    np.testing.assert_allclose(np.asarray(ours, dtype=float) / scale, np.array(theirs, dtype=float) / scale, rtol=0, atol=ACCURACY,
                               err_msg=message)


def predicted(name, **how):
    return predict(fitted(name), newdata(name), allow_new_levels=True, **how)


def test_there_are_many_models_of_many_kinds():
    stored = reference()
    assert len(ASKED) >= 25 and set(ASKED) <= set(stored)
    assert sum(len(stored[name]["subsets"]) for name in ASKED) >= 20
    assert sum(stored[name]["new_rows"] > 0 for name in ASKED) >= 20
    assert all(stored[name]["formula"] == cases()[name].formula for name in ASKED)


@pytest.mark.parametrize("name", ASKED)
def test_predictions_of_new_data_are_lme4s(name):
    theirs = reference()[name]
    assert_same(predicted(name), theirs["all"], name, "all random effects")
    assert_same(predicted(name, re_form="NA"), theirs["none"], name, "none")
    assert_same(predicted(name, random_only=True), theirs["random_only"], name, "random part")
    fit = fitted(name)
    newparams = {"beta": 1.5 * fit.fixef().to_numpy() + 0.1, "theta": 1.2 * fit.theta}
    assert_same(predicted(name, newparams=newparams), theirs["newparams"], name, "other parameters")
    for text, values in zip(ASKED[name].subsets, theirs["subsets"], strict=True):
        if values:
            assert_same(predicted(name, re_form=text), values, name, text)


@pytest.mark.parametrize("name", ASKED)
def test_standard_errors_are_those_of_the_definition(name):
    theirs = reference()[name]["se"]

    def se(**how):
        return predicted(name, se_fit=True, **how)["se_fit"]

    assert_same(se(), theirs["all"], name, "all random effects")
    assert_same(se(re_form="NA"), theirs["none"], name, "none")
    assert_same(se(random_only=True), theirs["random_only"], name, "random part")
    for text, values in zip(ASKED[name].subsets, theirs["subsets"], strict=True):
        assert_same(se(re_form=text), values, name, text)


@pytest.mark.parametrize("name", [name for name in ASKED if len(fitted(name)._factor_labels) > 1])
def test_the_ways_of_computing_standard_errors_agree(name, monkeypatch):
    wanted = np.array(reference()[name]["se"]["all"])
    monkeypatch.setattr(jointrows.System, "is_nested", lambda self: False)
    monkeypatch.setattr(jointrows, "ELEMENTS", 2000)
    for largest in (10**9, -1):
        monkeypatch.setattr(jointrows, "LARGEST_CORE", largest)
        assert_same(predicted(name, se_fit=True)["se_fit"], wanted, name, f"core of at most {largest}")
