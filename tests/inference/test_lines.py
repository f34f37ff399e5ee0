"""The regression lines of groups: against fitted values, closed forms and the definition."""

import pickle

import numpy as np
import pandas as pd
import polars
import pytest

from fastlmm_hlm import datasets, fixef, lmer, ranef
from fastlmm_hlm.errors import ArgumentError, DataError, RowsNotKeptError, UnknownNameError
from fastlmm_hlm.inference.lines import group_lines, group_slopes, population_line

# Two ways of adding the same ten numbers.
ROUNDING = dict(rtol=1e-11, atol=1e-11)
CROSS_LEVEL = "mAch ~ meanses * cses + sector * cses + (cses | school)"
STRAIGHT = [
    "Reaction ~ Days + (Days | Subject)",
    "Reaction ~ Days + (1 | Subject)",
    "Reaction ~ Days + (Days || Subject)",
    "Reaction ~ Days + (0 + Days | Subject)",
    "Reaction ~ offset(3 * Days) + (1 | Subject)",
]
CURVED = [
    "Reaction ~ poly(Days, 2) + (Days | Subject)",
    "Reaction ~ Days + I(Days^2) + (Days + I(Days^2) | Subject)",
    "Reaction ~ log(Days + 1) + (log(Days + 1) | Subject)",
]


@pytest.fixture(scope="module")
def sleep():
    return datasets.load("sleepstudy")


@pytest.fixture(scope="module")
def schools():
    return datasets.load("Hsb82")


@pytest.fixture(scope="module")
def cross_level(schools):
    return lmer(CROSS_LEVEL, schools)


@pytest.fixture(scope="module")
def nested():
    """Classes within schools, with predictors of pupils, classes and schools."""
    rng = np.random.default_rng(20261123)
    n = 900
    school = rng.integers(0, 12, n)
    klass = school * 4 + rng.integers(0, 4, n)
    data = pd.DataFrame({
        "school": np.char.add("s", school.astype(str)),
        "klass": np.char.add("k", klass.astype(str)),
        "hours": rng.uniform(0, 5, n),
        "age": rng.normal(12, 1, n),
        "sex": np.where(rng.random(n) < 0.4, "m", "f"),
        "size": (20 + klass % 9).astype(float),
        "rich": school % 3 == 0,
    })
    b_school, b_klass = rng.normal(0, 2, (12, 2)) * (1, 0.3), rng.normal(0, 1, 48)
    data["y"] = (10 + data["hours"] * (1 + b_school[school, 1]) + 0.5 * data["age"] + 2 * (data["sex"] == "m")
                 + 0.1 * data["size"] + b_school[school, 0] + b_klass[klass] + rng.normal(size=n))
    formula = "y ~ hours * size + age + sex + rich + (hours | school) + (1 | klass)"
    return data, lmer(formula, data)


@pytest.mark.parametrize("formula", STRAIGHT + CURVED)
def test_a_line_goes_through_the_fitted_values_of_its_group(formula, sleep):
    fit = lmer(formula, sleep)
    lines = group_lines(fit, "Days", points=np.arange(10))
    both = sleep.assign(value=fit.fitted()).merge(lines, on=["Subject", "Days"])
    assert len(both) == len(sleep)
    np.testing.assert_allclose(both["fitted"], both["value"], **ROUNDING)


@pytest.mark.parametrize("formula", STRAIGHT)
def test_slopes_and_intercepts_describe_the_lines(formula, sleep):
    fit = lmer(formula, sleep)
    table = group_slopes(fit, "Days")
    lines = group_lines(fit, "Days", points=7).merge(table, left_on="Subject", right_index=True)
    np.testing.assert_allclose(lines["fitted"], lines["intercept"] + lines["slope"] * lines["Days"], **ROUNDING)
    assert table.index.tolist() == ranef(fit)["Subject"].index.tolist()
    assert table.index.name == "Subject"


def test_the_slope_of_a_school_holds_its_own_cross_level_interactions(cross_level, schools):
    beta, u = fixef(cross_level), ranef(cross_level)["school"]
    of_school = schools.drop_duplicates("school").set_index("school").loc[u.index]
    catholic = (of_school["sector"] == "Catholic").astype(float)
    table = group_slopes(cross_level, "cses")
    slope = beta["cses"] + beta["meanses:cses"] * of_school["meanses"] + beta["cses:sectorCatholic"] * catholic + u["cses"]
    intercept = beta["(Intercept)"] + beta["meanses"] * of_school["meanses"] + beta["sectorCatholic"] * catholic + u["(Intercept)"]
    np.testing.assert_allclose(table["slope"], slope, **ROUNDING)
    np.testing.assert_allclose(table["intercept"], intercept, **ROUNDING)


def test_lines_go_through_the_fitted_values_when_all_other_predictors_belong_to_the_group(cross_level, schools):
    table = group_slopes(cross_level, "cses").loc[schools["school"]]
    value = table["intercept"].to_numpy() + table["slope"].to_numpy() * schools["cses"].to_numpy()
    np.testing.assert_allclose(value, cross_level.fitted(), **ROUNDING)


def test_predictors_that_vary_within_a_group_stand_at_their_mean_and_reference_level(nested):
    data, fit = nested
    beta, u = fixef(fit), ranef(fit)
    of_class = data.drop_duplicates("klass").set_index("klass").loc[u["klass"].index]
    of_school = u["school"].loc[of_class["school"]].to_numpy()
    table = group_slopes(fit, "hours", group="klass")
    slope = beta["hours"] + beta["hours:size"] * of_class["size"] + of_school[:, 1]
    intercept = (beta["(Intercept)"] + beta["size"] * of_class["size"] + beta["age"] * data["age"].mean()
                 + beta["richTRUE"] * of_class["rich"] + of_school[:, 0] + u["klass"]["(Intercept)"])
    np.testing.assert_allclose(table["slope"], slope, **ROUNDING)
    np.testing.assert_allclose(table["intercept"], intercept, **ROUNDING)


def test_effects_of_factors_that_vary_within_the_group_are_zero(nested):
    data, fit = nested
    beta, u = fixef(fit), ranef(fit)["school"]
    table = group_slopes(fit, "hours", at={"size": 20})
    assert table.index.name == "school"      # the only factor with a random slope in hours
    np.testing.assert_allclose(table["slope"], beta["hours"] + 20 * beta["hours:size"] + u["hours"], **ROUNDING)


def test_at_sets_numbers_and_levels(nested):
    data, fit = nested
    beta = fixef(fit)
    plain = group_lines(fit, "hours", group="klass", at={"age": 10, "sex": "f"})
    moved = group_lines(fit, "hours", group="klass", at={"age": 11, "sex": "m"})
    np.testing.assert_allclose(moved["fitted"] - plain["fitted"], beta["age"] + beta["sexm"], **ROUNDING)


def test_the_population_line_is_the_fixed_part_at_means_and_reference_levels(cross_level, schools):
    beta, mean = fixef(cross_level), schools["meanses"].mean()
    line = population_line(cross_level, "cses", points=5)
    expected = (beta["(Intercept)"] + beta["meanses"] * mean + (beta["cses"] + beta["meanses:cses"] * mean) * line["cses"])
    np.testing.assert_allclose(line["fitted"], expected, **ROUNDING)
    assert (line["cses"].min(), line["cses"].max()) == (schools["cses"].min(), schools["cses"].max())


def test_a_factor_made_in_the_formula_stands_at_its_reference_level(sleep):
    data = sleep.assign(week=np.tile([3, 1, 2], 60))
    fit = lmer("Reaction ~ Days + factor(week) + (Days | Subject)", data)
    beta, u = fixef(fit), ranef(fit)["Subject"]
    table = group_slopes(fit, "Days")
    np.testing.assert_allclose(table["intercept"], beta["(Intercept)"] + u["(Intercept)"], **ROUNDING)
    moved = group_slopes(fit, "Days", at={"week": 3})
    np.testing.assert_allclose(moved["intercept"] - table["intercept"], beta["factor(week)3"], **ROUNDING)


def test_an_offset_that_is_a_vector_stands_at_its_mean(sleep):
    offset = np.linspace(-5, 20, len(sleep))
    fit = lmer("Reaction ~ offset(2 * Days) + (1 | Subject)", sleep, offset=offset)
    table = group_slopes(fit, "Days")
    np.testing.assert_allclose(table["slope"], 2.0, **ROUNDING)
    expected = fixef(fit).iloc[0] + ranef(fit)["Subject"]["(Intercept)"] + offset.mean()
    np.testing.assert_allclose(table["intercept"], expected, **ROUNDING)


def test_within_keeps_every_line_to_the_range_of_its_group(cross_level, schools):
    lines = group_lines(cross_level, "cses", points=3, within=True)
    ends = lines.groupby("school", observed=True)["cses"].agg(["min", "max"])
    expected = schools.groupby("school", observed=True)["cses"].agg(["min", "max"]).loc[ends.index]
    np.testing.assert_array_equal(ends, expected)
    table = group_slopes(cross_level, "cses").loc[lines["school"]]
    expected = table["intercept"].to_numpy() + table["slope"].to_numpy() * lines["cses"]
    np.testing.assert_allclose(lines["fitted"], expected, **ROUNDING)


def test_groups_keep_their_order_and_type(sleep):
    data = sleep.assign(Subject=sleep["Subject"].astype(int))
    lines = group_lines(lmer("Reaction ~ Days + (Days | Subject)", data), "Days")
    assert lines.columns.tolist() == ["Subject", "Days", "fitted"]
    assert lines["Subject"].tolist() == np.repeat(np.unique(data["Subject"]), 2).tolist()


def test_rows_that_were_left_out_do_not_count(sleep):
    data = sleep.assign(z=np.where(sleep.index < 10, 1e6, 1.0 * (sleep.index % 7)))
    fit = lmer("Reaction ~ Days + z + (Days | Subject)", data, subset="z < 100")
    same = lmer("Reaction ~ Days + z + (Days | Subject)", data[data["z"] < 100])
    pd.testing.assert_frame_equal(group_lines(fit, "Days"), group_lines(same, "Days"), rtol=1e-9, check_dtype=False)


def test_other_data_frames_give_the_same_lines(sleep):
    formula = "Reaction ~ Days + (Days | Subject)"
    text = sleep.assign(Subject=sleep["Subject"].astype(str))
    expected = group_lines(lmer(formula, text), "Days")
    found = group_lines(lmer(formula, polars.DataFrame(text.to_dict("list"))), "Days")
    assert found["Subject"].tolist() == expected["Subject"].tolist()
    np.testing.assert_allclose(found["fitted"], expected["fitted"], **ROUNDING)


@pytest.mark.filterwarnings("ignore::fastlmm_hlm.errors.RankDeficientWarning")
def test_dropped_columns_count_as_zero(sleep):
    data = sleep.assign(twice=2 * sleep["Days"])
    table = group_slopes(lmer("Reaction ~ Days + twice + (Days | Subject)", data), "Days")
    expected = group_slopes(lmer("Reaction ~ Days + (Days | Subject)", sleep), "Days")
    np.testing.assert_allclose(table, expected, rtol=1e-8)


def test_slopes_of_curves_are_refused(sleep):
    fit = lmer(CURVED[0], sleep)
    with pytest.raises(ArgumentError, match="not straight in 'Days'"):
        group_slopes(fit, "Days")


def test_slopes_in_calendar_years_are_found_far_from_zero(sleep):
    data = sleep.assign(year=2010 + sleep["Days"])
    table = group_slopes(lmer("Reaction ~ year + (year | Subject)", data), "year")
    expected = group_slopes(lmer("Reaction ~ Days + (Days | Subject)", sleep), "Days")
    np.testing.assert_allclose(table["slope"], expected["slope"], rtol=1e-6)


@pytest.mark.parametrize("arguments, message", [
    (dict(x="ses"), "no predictor 'ses'; its predictors are meanses, cses, sector"),
    (dict(x="sector"), "'sector' is not numeric"),
    (dict(x="cses", points=1), "points = 1"),
    (dict(x="cses", points=True), "points = True"),
    (dict(x="cses", points=["a", "b"]), "must be numbers"),
    (dict(x="cses", points=[0.0, np.nan]), "finite values"),
    (dict(x="cses", points=[0.0, 1.0], within=True), "within=True"),
    (dict(x="cses", at={"mAch": 1}), "at has 'mAch'"),
    (dict(x="cses", at={"cses": 1}), "at has 'cses'"),
    (dict(x="cses", at={"meanses": [1, 2]}), "give one value"),
])
def test_arguments_that_do_not_fit_the_model_are_refused(arguments, message, cross_level):
    with pytest.raises(ArgumentError, match=message):
        group_lines(cross_level, **arguments)


def test_unknown_groups_and_levels_are_refused(cross_level):
    with pytest.raises(UnknownNameError, match="there are school"):
        group_lines(cross_level, "cses", group="class")
    with pytest.raises(DataError, match="'Private'"):
        group_lines(cross_level, "cses", at={"sector": "Private"})


def test_the_grouping_factor_must_be_named_when_several_could_be_meant(nested):
    data, fit = nested
    with pytest.raises(ArgumentError, match="say which one with group="):
        group_lines(fit, "age")


def test_a_number_used_as_a_factor_has_no_line(sleep):
    fit = lmer("Reaction ~ factor(Days) + (1 | Subject)", sleep)
    with pytest.raises(ArgumentError, match="enters the model as a factor"):
        group_lines(fit, "Days")


def test_something_that_is_no_fit_is_refused():
    with pytest.raises(ArgumentError, match="got dict"):
        group_lines({}, "x")


def test_a_fit_without_its_rows_says_so(sleep):
    fit = pickle.loads(pickle.dumps(lmer("Reaction ~ Days + (Days | Subject)", sleep)))
    with pytest.raises(RowsNotKeptError):
        group_lines(fit, "Days")
