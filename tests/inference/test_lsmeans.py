"""Least squares means against lmerTest, and by definition."""

import json
import pathlib
import pickle

import numpy as np
import pandas as pd
import pytest

from fastlmm_hlm import datasets, difflsmeans, emmeans, lmer, ls_means, show_tests
from fastlmm_hlm.errors import ArgumentError
from fastlmm_hlm.report.lsmeans import LsMeans
from tests.inference.lsmeans_cases import NAMES, PRINTED
from tests.inference.test_ddf_against_r import fitted

STORED = json.loads((pathlib.Path(__file__).parent / "reference" / "lsmeans.json").read_text())
# numDeriv's second derivatives in lmerTest are good to about 1e-6; p-values amplify what is left.
ACCURACY = 1e-4
SMALL_P = 1e-10
KINDS = {"means": {}, "differences": {"pairwise": True}, "ninety": {"pairwise": True, "level": 0.9}, "Kenward-Roger": {"ddf": "Kenward-Roger"}}


def assert_same(ours, theirs):
    assert list(ours.index) == theirs["rows"]
    assert ours.to_frame()["term"].tolist() == theirs["term"] and ours.to_frame()["levels"].tolist() == theirs["levels"]
    if not len(ours):
        return
    assert list(ours.columns) == theirs["columns"]
    expected, found = np.array(theirs["values"], dtype=float), ours.to_numpy(dtype=float)
    size = np.abs(expected[:, 0]).max()
    for j, column in enumerate(ours.columns):
        floor = SMALL_P if column.startswith("Pr(") else ACCURACY * size if column in ("Estimate", "lower", "upper") else ACCURACY
        np.testing.assert_allclose(found[:, j], expected[:, j], rtol=ACCURACY, atol=ACCURACY * floor, err_msg=column)


@pytest.mark.parametrize("name, kind", [(name, kind) for name in NAMES for kind in KINDS if kind in STORED[name]])
def test_means_and_differences_are_lmertests(name, kind):
    assert_same(ls_means(fitted(name), **KINDS[kind]), STORED[name][kind])


@pytest.mark.parametrize("name", PRINTED)
def test_printed_tables_are_lmertests(name):
    stored = STORED[name]
    assert str(ls_means(fitted(name))).splitlines() == stored["printed"]["means"].splitlines()
    for kind in ("means", "differences"):                                # the layout of R's own numbers, digit by digit
        numbers = pd.DataFrame(stored[kind]["values"], index=stored[kind]["rows"], columns=stored[kind]["columns"])
        table = LsMeans.make(numbers, terms=[], levels=[], level=0.95, ddf="Satterthwaite", hypotheses={})
        assert str(table).splitlines() == stored["printed"][kind].splitlines()


def test_most_models_have_all_kinds():
    assert all({"means", "differences"} <= set(STORED[name]) for name in NAMES)
    assert sum("ninety" in STORED[name] for name in NAMES) >= 4 and sum("Kenward-Roger" in STORED[name] for name in NAMES) >= 8


def test_a_mean_is_the_average_of_the_predictions_of_its_level():
    fit = fitted("cake_factors")
    means = ls_means(fit, "recipe")
    for level in "ABC":
        new = pd.DataFrame({"recipe": level, "temperature": pd.Categorical(list(range(175, 226, 10)))})
        L = means.hypotheses["recipe"].loc[f"recipe{level}"]
        assert float(L @ fit.fixef()) == pytest.approx(means.loc[f"recipe{level}", "Estimate"], rel=1e-12)
        rows = fit._settings.data[fit._settings.data["recipe"] == level].drop_duplicates("temperature").index
        assert len(rows) == len(new)
        assert fit.model_matrix().loc[rows].mean() @ fit.fixef() == pytest.approx(means.loc[f"recipe{level}", "Estimate"], rel=1e-12)


def test_a_covariate_with_two_values_stands_at_its_mean():
    d = datasets.load("cake")
    d["hot"] = (d["temp"] > 185).astype(float)
    fit = lmer("angle ~ recipe * hot + (1 | recipe:replicate)", d)
    at_mean = emmeans(fit, "recipe", at={"hot": [d["hot"].mean()]}, ddf="Satterthwaite").to_frame()
    np.testing.assert_allclose(ls_means(fit)["Estimate"], at_mean["emmean"], rtol=1e-12)
    np.testing.assert_allclose(ls_means(fit)["Std. Error"], at_mean["SE"], rtol=1e-12)


def test_which_chooses_terms_of_factors_only():
    fit = fitted("cake_linear_temp")
    assert list(ls_means(fit).index) == ["recipeA", "recipeB", "recipeC"]
    assert len(ls_means(fit, which=[])) == 0 and "Confidence level: 95%" in str(ls_means(fit, []))
    assert len(ls_means(fitted("sleep_slope"))) == 0                  # lmerTest fails where there is no factor
    with pytest.raises(ArgumentError, match="which names 'temp'; the terms made of factors are recipe"):
        ls_means(fit, which="temp")
    with pytest.raises(ArgumentError, match="difflsmeans: which names 'x'"):
        difflsmeans(fit, which=["recipe", "x"])
    with pytest.raises(ArgumentError, match="'lme4' has no degrees of freedom"):
        ls_means(fit, ddf="lme4")
    with pytest.raises(ArgumentError, match="ls_means"):
        ls_means(fit, level=95)


@pytest.mark.filterwarnings("ignore::fastlmm_hlm.errors.RankDeficientWarning")
def test_a_cell_without_rows_has_no_mean():
    d = datasets.load("cake")
    fit = lmer("angle ~ recipe * temperature + (1 | recipe:replicate)", d[~((d["recipe"] == "A") & (d["temp"] == 175))])
    table = ls_means(fit)
    assert table["Estimate"].isna().sum() == 3                        # recipe A, temperature 175 and the cell
    assert np.isnan(table.loc["recipeA:temperature175", "Estimate"]) and "NA" in str(table)


def test_the_table_is_a_data_frame_that_pickles_and_shows_its_weights():
    fit = pickle.loads(pickle.dumps(fitted("cake_factors")))             # without rows
    table = fit.ls_means("recipe")
    assert str(table) == str(ls_means(fitted("cake_factors"), "recipe"))
    assert str(pickle.loads(pickle.dumps(table))) == str(table)
    assert type(table[["Estimate"]]) is pd.DataFrame
    assert show_tests(table)["recipe"].shape == (3, 18)
    assert "Least Squares Means table" in table._repr_html_() and "Confidence level: 95%" in table._repr_html_()
    assert r"\toprule" in table.to_latex() and table.to_markdown().startswith("**Least Squares Means table**")
