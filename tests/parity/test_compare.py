"""The comparison itself: equal answers pass, and each wrong number is found."""

import copy
import math

import numpy as np
import pytest

from parity import compare
from parity.cases import all_cases
from parity.run import Outcome, closing_summary, table_line

CASES = {case.id: case for case in all_cases()}


def reference(case_id="sleep_slope"):
    return CASES[case_id].reference()


def changed(answers, path, factor):
    """A copy of the answers with the numbers at one path multiplied."""
    answers = copy.deepcopy(answers)
    place = answers
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = (np.asarray(place[path[-1]], dtype=float) * factor).tolist()
    return answers


def failing(ours, theirs, identified=True):
    return {row.quantity for row in compare.compare(ours, theirs, identified) if not row.ok}


@pytest.mark.parametrize("case_id", CASES)
def test_lme4_agrees_with_itself(case_id):
    assert failing(reference(case_id), reference(case_id)) == set()


@pytest.mark.parametrize(
    ("path", "factor", "quantity"),
    [
        (("fixef", "values"), 1 + 3e-6, "fixef"),
        (("se",), 1 + 3e-6, "se"),
        (("vcov",), 1 + 3e-6, "vcov"),
        (("sigma",), 1 + 3e-6, "sigma"),
        (("theta",), 1 + 3e-6, "theta"),
        (("varcorr", "vcov"), 1 + 3e-6, "VarCorr"),
        (("varcorr", "vcov"), 1 + 3e-4, "VarCorr, default fit"),
        (("ranef", 0, "condval"), 1 + 1e-3, "ranef"),
        (("ranef", 0, "condval_sum_of_squares"), 1 + 1e-3, "ranef"),
        (("ranef", 0, "condsd"), 1 + 1e-3, "condsd"),
        (("fitted", "first"), 1 + 1e-5, "fitted"),
        (("residuals", "sum_of_squares"), 1 + 3e-5, "residuals, sum of squares"),
        (("at", 0, "criterion"), 1 + 1e-8, "criterion at theta 1"),
        (("logLik",), 1 + 1e-8, "logLik"),
        (("nobs",), 2, "nobs"),
    ],
)
def test_a_wrong_number_is_found(path, factor, quantity):
    theirs = reference("dyestuff" if quantity == "VarCorr, default fit" else "sleep_slope")
    assert quantity in failing(changed(theirs, path, factor), theirs)


def test_a_small_covariance_is_measured_by_its_standard_deviations():
    theirs = reference()
    ours = copy.deepcopy(theirs)
    ours["varcorr"]["vcov"][2] *= 1 + 3e-6
    assert failing(ours, theirs) == set()


def test_a_higher_criterion_fails_and_a_lower_one_is_better():
    theirs = reference()
    assert "criterion" in failing(theirs | {"criterion": theirs["criterion"] + 2e-6}, theirs)
    rows = compare.compare(theirs | {"criterion": theirs["criterion"] - 1.0, "sigma": 0.0}, theirs)
    assert [row.quantity for row in rows] == ["criterion"]
    assert rows[0].ok
    assert compare.is_better(rows[0])


def test_a_number_that_is_missing_fails():
    theirs = reference()
    assert "sigma" in failing(theirs | {"sigma": math.nan}, theirs)
    assert "criterion" in failing(theirs | {"criterion": math.nan}, theirs)


def test_other_names_or_levels_fail():
    theirs = reference()
    renamed = copy.deepcopy(theirs)
    renamed["fixef"]["names"] = ["Intercept", "Days"]
    assert "fixef names" in failing(renamed, theirs)
    renamed = copy.deepcopy(theirs)
    renamed["varcorr"]["var1"][1] = "days"
    assert "VarCorr names" in failing(renamed, theirs)
    renamed = copy.deepcopy(theirs)
    renamed["ranef"][0]["levels"][0] = "none"
    assert "ranef levels of Subject: no 308" in failing(renamed, theirs)


def test_levels_are_matched_by_name_and_not_by_position():
    theirs = reference()
    ours = copy.deepcopy(theirs)
    for name in ("levels", "condval", "condsd"):
        ours["ranef"][0][name].reverse()
    assert failing(ours, theirs) == set()


def test_without_identification_only_the_fixed_part_is_compared():
    theirs = reference("machines_double_bar_factor")
    ours = changed(theirs, ("varcorr", "vcov"), 5.0)
    assert "VarCorr" in failing(ours, theirs)
    assert failing(ours, theirs, identified=False) == set()
    assert "fixef" in failing(changed(ours, ("fixef", "values"), 1.1), theirs, identified=False)


def test_singular_variances_are_allowed_rounding_and_no_more():
    theirs = reference("dyestuff2_singular")
    ours = copy.deepcopy(theirs)
    ours["varcorr"]["vcov"][0] = 1e-11 * theirs["sigma"] ** 2
    assert failing(ours, theirs) == set()
    ours["varcorr"]["vcov"][0] = 1e-8 * theirs["sigma"] ** 2
    assert "VarCorr" in failing(ours, theirs)


def test_the_table_shows_the_failure_and_the_better_optimum():
    theirs = reference("growth_calendar_year")
    answers = theirs | {"evaluations": 7, "seconds": 0.01}
    good = Outcome(CASES["growth_calendar_year"], tuple(compare.compare(answers, theirs)), answers, theirs)
    assert good.ok and good.better
    assert "best of lme4's optimizers that were tried 19614" in table_line(good)
    wrong = answers | {"sigma": 2 * theirs["sigma"]}
    bad = Outcome(CASES["growth_calendar_year"], tuple(compare.compare(wrong, theirs)), wrong, theirs)
    assert "FAILED: sigma differs by 1.00e+00" in table_line(bad)
    summary = closing_summary([good, bad])
    assert "2 cases, 1 agree, 1 fail" in summary
    assert "evaluations: ours median 7, most 7" in summary


def test_a_case_that_raises_counts_as_failing():
    crashed = Outcome(CASES["sleep_slope"], reference=reference(), problem="ValueError: no")
    assert not crashed.ok
    assert "1 cases, 0 agree, 1 fail" in closing_summary([crashed])
    assert "FAILED  ValueError: no" in table_line(crashed)
