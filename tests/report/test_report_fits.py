"""Printed fits, summaries and variance components, character by character."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from stored_r_output import frame, parts, read, terms

from fastlmm_hlm.errors import ArgumentError
from fastlmm_hlm.report import (
    SummaryParts,
    VarCorrTerm,
    anova_text,
    fit_text,
    lmm_title,
    ranef_text,
    summary_text,
    varcorr_text,
)

LME4 = {case["id"]: case for case in read("models")["cases"]}
LMERTEST = {case["id"]: case for case in read("lmertest")["cases"]}


@pytest.mark.parametrize("name", LME4)
def test_a_fit_prints_as_in_lme4(name):
    assert fit_text(parts(LME4[name]["parts"])) == LME4[name]["print"]


@pytest.mark.parametrize("name", LME4)
def test_a_summary_prints_as_in_lme4(name):
    assert summary_text(parts(LME4[name]["parts"])) == LME4[name]["summary"]


@pytest.mark.parametrize("name", LME4)
def test_a_summary_with_all_correlations_prints_as_in_lme4(name):
    shown = replace(parts(LME4[name]["parts"]), show_correlation=True)
    assert summary_text(shown) == LME4[name]["summary_correlation"]


@pytest.mark.parametrize("name", LME4)
def test_variance_components_print_as_in_lme4(name):
    case = LME4[name]
    sigma = None if case["parts"]["sigma"] is None else float(case["parts"]["sigma"])
    components = terms(case["parts"]["varcorr"])
    assert varcorr_text(components, sigma) == case["varcorr"]
    both = ("Variance", "Std.Dev.")
    assert varcorr_text(components, sigma, both) == case["varcorr_both"]
    assert varcorr_text(components, sigma, "Variance", digits=7) == case["varcorr_variance"]


@pytest.mark.parametrize("name", LMERTEST)
def test_a_fit_prints_as_in_lmertest(name):
    assert fit_text(parts(LMERTEST[name]["parts"])) == LMERTEST[name]["print"]


@pytest.mark.parametrize("name", LMERTEST)
def test_a_summary_prints_as_in_lmertest(name):
    assert summary_text(parts(LMERTEST[name]["parts"])) == LMERTEST[name]["summary"]


@pytest.mark.parametrize("name", LMERTEST)
def test_tests_of_fixed_effects_print_as_in_lmertest(name):
    table = LMERTEST[name]["anova"]
    assert anova_text(frame(table["frame"]), table["heading"]) == table["text"]


@pytest.mark.parametrize("table", read("lmertest")["anova"], ids=lambda t: t["heading"][0][:40])
def test_comparisons_and_deletions_print_as_in_r(table):
    assert anova_text(frame(table["frame"]), table["heading"]) == table["text"]


@pytest.mark.parametrize("case", read("lmertest")["ranef"], ids=lambda c: c["tables"][0]["name"])
def test_random_effects_print_as_in_lme4(case):
    tables = {table["name"]: frame(table["frame"]) for table in case["tables"]}
    assert ranef_text(tables, case["condvar"]) == case["text"]


def small_fit(**changes):
    """A fit with one coefficient, for the lines that lme4 does not have."""
    fit = SummaryParts(
        formula="y ~ 1 + (1 | g)",
        varcorr=[("g", ["(Intercept)"], [[4.0]], True)],
        sigma=1.0,
        nobs=100,
        ngroups={"g": 10},
        coefficients=pd.DataFrame(
            {"Estimate": [1.0], "Std. Error": [0.1], "t value": [10.0]}, index=["(Intercept)"]
        ),
        criterion={"REML": 12.0},
    )
    return replace(fit, **changes)


def test_rows_left_out_are_told_below_the_number_of_rows():
    fit = small_fit(left_out="23 rows left out: 20 missing in Ozone, 3 subset")
    for text in (fit_text(fit), summary_text(fit)):
        lines = text.splitlines()
        at = lines.index("Number of obs: 100, groups:  g, 10")
        assert lines[at + 1] == "  (23 rows left out: 20 missing in Ozone, 3 subset)"
    assert "left out" not in summary_text(small_fit())


def test_a_singular_fit_is_announced_once():
    message = "boundary (singular) fit: see help('isSingular')"
    assert summary_text(small_fit(singular=True)).count(message) == 1
    assert summary_text(small_fit(singular=True, messages=[message])).count(message) == 1
    assert "1 lme4 warnings" in fit_text(small_fit(singular=True))
    assert "convergence" not in summary_text(small_fit()).split("Random effects")[1]


def test_a_diagonal_covariance_shows_no_correlations():
    term = VarCorrTerm("g", ["a", "b"], np.diag([4.0, 9.0]), show_corr=False)
    assert varcorr_text([term], 1.0) == (
        " Groups   Name Std.Dev.\n g        a    2       \n          b    3       \n"
        " Residual      1       \n"
    )


def test_correlations_beside_a_zero_variance_are_not_numbers():
    term = VarCorrTerm("g", ["a", "b"], np.diag([0.0, 9.0]))
    assert varcorr_text([term], None) == (
        " Groups Name Std.Dev. Corr \n g      a    0             \n        b    3          NaN\n"
    )


def test_a_quiet_summary_leaves_out_correlations_and_stars():
    fit = small_fit(show_correlation=False, correlation=np.eye(1), signif_stars=False)
    assert "Correlation" not in summary_text(fit)


def test_the_titles_are_those_of_lme4():
    assert lmm_title(True) == LME4["sleep_reml"]["parts"]["title"]
    assert lmm_title(False) == LME4["sleep_ml"]["parts"]["title"]


@pytest.mark.parametrize("comp", [(), ("SD",), "Corr"])
def test_unknown_components_are_refused(comp):
    with pytest.raises(ArgumentError, match="'Variance', 'Std.Dev.' or both"):
        varcorr_text([("g", ["a"], [[1.0]], True)], 1.0, comp)


def test_a_covariance_that_does_not_fit_its_columns_is_refused():
    with pytest.raises(ArgumentError, match=r"matrix of 'g' has shape \(1, 1\); \(2, 2\)"):
        varcorr_text([("g", ["a", "b"], [[1.0]], True)], 1.0)
