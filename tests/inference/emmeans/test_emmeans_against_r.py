"""Marginal means, contrasts, trends and joint tests against R's emmeans, numbers and printed text."""

import json
import os
import shutil
import subprocess

import numpy as np
import pytest
from emm_cases import ANSWERS, CASES, REFERENCE, fitted_case

from fastlmm_hlm import emmeans, emtrends
from fastlmm_hlm.inference.emmeans import EmmGrid, EmmList

# Both programs stop at the optimum; Satterthwaite's degrees of freedom rest on R's numerical
# Hessian, and emtrends on R's one-sided difference with a step of 1e-5.
TOLERANCE = 2e-5
# R's mvt method is a Monte Carlo integral.
RANDOM = 5e-4
# joint_tests and test(joint = TRUE) store these rounded.
ROUNDED = {"F.ratio": 5.01e-4, "df2": 5.01e-3}
MISLEADING = "NOTE: Results may be misleading due to involvement in interactions\n"
QUERIES = [pytest.param(query, id=query["id"]) for query in CASES["queries"]]


def evaluate(query):
    space = {"m": fitted_case(query["model"]), "emmeans": emmeans, "emtrends": emtrends}
    return eval(query["py"], space)


def numbers(stored):
    values = stored if isinstance(stored, list) else [stored]
    return np.array([np.nan if value == "NA" else float(value) for value in values])


def tables(result):
    made = list(result.values()) if isinstance(result, EmmList) else [result]
    return [table.to_frame() if isinstance(table, EmmGrid) else table for table in made]


def assert_same_numbers(query, ours, theirs, tolerance):
    for name, stored in theirs.items():
        expected, found = numbers(stored), ours[name].to_numpy(dtype=float)
        allowed = tolerance
        if "F.ratio" in theirs and name in ROUNDED:
            allowed = ROUNDED[name]
        np.testing.assert_allclose(found, expected, rtol=tolerance, atol=allowed, err_msg=f"{query['id']}: {name}")


@pytest.mark.parametrize("query", QUERIES)
def test_the_numbers_are_those_of_emmeans(query):
    ours, theirs = tables(evaluate(query)), ANSWERS[query["id"]]["tables"]
    assert len(ours) == len(theirs)
    for own, their in zip(ours, theirs, strict=True):
        assert set(their) & {"p.value", "SE"}
        assert_same_numbers(query, own, their, RANDOM if query.get("random") else TOLERANCE)


@pytest.mark.parametrize("query", [q for q in QUERIES if q.values[0].get("text")])
def test_the_printed_text_is_that_of_emmeans(query):
    theirs = ANSWERS[query["id"]]["text"]
    if ")." in query["py"]:      # R says this when the means are made, not when contrasts are shown
        theirs = theirs.replace(MISLEADING, "")
    assert str(evaluate(query)).rstrip("\n") == theirs.rstrip("\n")


@pytest.mark.parity
@pytest.mark.slow
def test_emmeans_now_gives_its_stored_answers(tmp_path):
    if shutil.which("Rscript") is None:
        if os.environ.get("FASTLMM_REQUIRE_R") == "1":
            pytest.fail("FASTLMM_REQUIRE_R=1, but Rscript is not on the path")
        pytest.skip("R is not installed")
    for name in ("cases.json", "school.csv", "make_reference.R"):
        shutil.copy(REFERENCE / name, tmp_path)
    subprocess.run(["Rscript", "make_reference.R"], cwd=tmp_path, check=True, capture_output=True)
    now = json.loads((tmp_path / "answers.json").read_text(encoding="utf-8"))["answers"]
    assert now.keys() == ANSWERS.keys()
    for query in CASES["queries"]:
        for one, other in zip(now[query["id"]]["tables"], ANSWERS[query["id"]]["tables"], strict=True):
            for name in other:
                np.testing.assert_allclose(numbers(one[name]), numbers(other[name]), rtol=RANDOM, atol=RANDOM)
