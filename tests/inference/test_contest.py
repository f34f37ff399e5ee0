"""Contrasts and analyses of variance: what may be given, what comes back, what is refused."""

import numpy as np
import pandas as pd
import pytest
from some_models import crossed_slopes, fitted

import fastlmm_hlm
from fastlmm_hlm import anova, calcSatterth, contest, datasets, lmer, show_tests
from fastlmm_hlm.errors import ArgumentError, FastlmmWarning, RankDeficientWarning, RowsNotKeptError, UnknownNameError
from fastlmm_hlm.inference.contest import F_COLUMNS, T_COLUMNS

# The same numbers by another way of writing a contrast.
EXACT = 1e-12


@pytest.fixture
def fit():
    return fitted("crossed slopes")


def same(one, other):
    pd.testing.assert_frame_equal(one.reset_index(drop=True), other.reset_index(drop=True), rtol=EXACT)


# --- contest ------------------------------------------------------------------------


def test_a_contrast_may_be_an_array_a_list_a_dict_a_series_or_a_frame(fit):
    names = list(fit.fixef().index)
    row = np.zeros(len(names))
    row[names.index("x")], row[names.index("x:flow")] = 1.0, 0.5
    expected = fit.contest(row, joint=False)
    assert list(expected.columns) == [*T_COLUMNS[:4], "lower", "upper", T_COLUMNS[4]]
    for given in (list(row), row[None], {"x": 1.0, "x:flow": 0.5}, pd.Series({"x": 1.0, "x:flow": 0.5}),
                  pd.DataFrame({"x:flow": [0.5], "x": [1.0]}, index=["mine"])):
        same(fit.contest(given, joint=False), expected)
    assert list(fit.contest(pd.DataFrame({"x": [1.0]}, index=["mine"]), joint=False).index) == ["mine"]


def test_contest_is_a_function_and_a_method(fit):
    same(contest(fit, {"x": 1}), fit.contest({"x": 1}))
    assert calcSatterth(fit, {"x": 1})["Fstat"] == fit.contest({"x": 1})["F value"].iloc[0]


def test_a_joint_test_of_one_contrast_is_the_square_of_its_t_test(fit):
    for ddf in ("Satterthwaite", "Kenward-Roger", "lme4"):
        t, F = fit.contest({"x": 1}, joint=False, ddf=ddf).iloc[0], fit.contest({"x": 1}, ddf=ddf).iloc[0]
        assert F["F value"] == pytest.approx(t["t value"] ** 2, rel=1e-9)
        assert F["DenDF"] == pytest.approx(t["df"], rel=1e-9)
        assert F["Pr(>F)"] == pytest.approx(t["Pr(>|t|)"], rel=1e-7)


def test_the_right_side_moves_the_hypothesis(fit):
    at = fit.fixef()[["x", "flow"]].to_numpy()
    L = pd.DataFrame([[1.0, 0.0], [0.0, 1.0]], columns=["x", "flow"])
    assert fit.contest(L, rhs=at)["F value"].iloc[0] == pytest.approx(0.0, abs=1e-20)
    moved = fit.contest(L, rhs=at - 1.0, joint=False)
    np.testing.assert_allclose(moved["t value"], 1.0 / moved["Std. Error"], rtol=1e-9)
    np.testing.assert_allclose(moved["Estimate"], at)


def test_dependent_rows_count_once_and_a_row_of_zeros_for_nothing(fit):
    once, twice = fit.contest({"x": 1}), fit.contest([{"x": 1}][0] | {})
    same(once, twice)
    L = pd.DataFrame({"x": [1.0, 2.0, -1.0]})
    assert fit.contest(L)["NumDF"].iloc[0] == 1
    same(fit.contest(L).drop(columns="NumDF"), once.drop(columns="NumDF"))
    assert fit.contest(np.zeros(len(fit.fixef())))["F value"].isna().all()


def test_several_hypotheses_give_several_rows_or_a_list(fit):
    both = fit.contest([{"x": 1}, pd.DataFrame({"flow": [1, 0], "fmid": [0, 1]})])
    assert list(both.index) == [1, 2] and list(both["NumDF"]) == [1, 2]
    parts = fit.contest([{"x": 1}, {"flow": 1}], collect=False)
    assert [len(part) for part in parts] == [1, 1]
    assert len(fit.contest([{"x": 1}, {"flow": 1}], joint=False)) == 2


def test_limits_are_those_of_the_level_and_may_be_left_out(fit):
    wide, narrow = (fit.contest({"x": 1}, joint=False, level=level).iloc[0] for level in (0.99, 0.5))
    assert wide["lower"] < narrow["lower"] < narrow["Estimate"] < narrow["upper"] < wide["upper"]
    assert "lower" not in fit.contest({"x": 1}, joint=False, confint=False)
    limits = fit.conf_int(alpha=0.01).loc["x"]
    assert (limits[0], limits[1]) == pytest.approx((wide["lower"], wide["upper"]), rel=EXACT)


@pytest.mark.parametrize("given, error, words", [
    ([1, 2], ArgumentError, "2 weights to a row; expected 6"),
    ({"nothing": 1}, UnknownNameError, "no fixed effect is called 'nothing'; there are"),
    ("x", ArgumentError, "must hold numbers"),
    ([[np.nan] * 6], ArgumentError, "not finite"),
    (np.zeros((1, 2, 6)), ArgumentError, "weights to a row"),
])
def test_contrasts_that_do_not_fit_are_refused(fit, given, error, words):
    with pytest.raises(error, match=words):
        fit.contest(given)


def test_other_arguments_that_do_not_fit_are_refused(fit):
    for level in (0, 1, 95, "95%"):
        with pytest.raises(ArgumentError, match="confidence level between 0 and 1"):
            fit.contest({"x": 1}, joint=False, level=level)
    with pytest.raises(ArgumentError, match="rhs"):
        fit.contest({"x": 1}, rhs=[1, 2, 3])
    with pytest.raises(ArgumentError, match="it tests one contrast"):
        fit.contest1D(np.eye(6))
    with pytest.raises(ArgumentError, match="'Satterthwaite', 'Kenward-Roger' or 'lme4'"):
        fit.contest({"x": 1}, ddf="KRR")


def test_estimability_is_decided_by_the_columns_that_were_dropped():
    """Cells of three levels of f by two of h, one of them empty, as R's lmerTest does."""
    data = crossed_slopes()
    data = data.assign(k=np.where(data["z"] > 0, "u", "v")).query("not (f == 'mid' and k == 'v')")
    with pytest.warns(RankDeficientWarning):
        fit = lmer("y ~ f * k + (1 | g)", data)
    every = list(fit.fixef(add_dropped=True).index)
    assert len(every) == len(fit.fixef()) + 1
    table = fit.contest(np.eye(len(every)), joint=False, check_estimability=True)
    lost = table["Estimate"].isna().to_numpy()
    assert lost[every.index("fmid:kv")] and lost.sum() == 1
    with pytest.raises(ArgumentError, match="contrast 1 is not estimable.*fmid:kv"):
        fit.contest({"fmid:kv": 1.0}, check_estimability=True)
    with pytest.raises(UnknownNameError, match="fmid:kv"):
        fit.contest({"fmid:kv": 1.0})


# --- p-values of the summary ---------------------------------------------------------------


def test_the_summary_and_statsmodels_habits_agree(fit):
    table = fit.summary().coefficients
    assert list(table.columns) == T_COLUMNS
    pd.testing.assert_series_equal(fit.pvalues, table["Pr(>|t|)"], check_names=False)
    pd.testing.assert_series_equal(fit.tvalues, table["t value"], check_names=False)
    assert list(fit.summary(ddf="lme4").coefficients.columns) == ["Estimate", "Std. Error", "t value"]
    assert "Pr(&gt;|t|)" in fit.summary()._repr_html_()


def test_a_model_without_fixed_effects_has_an_empty_table():
    fit = fitted("no fixed effects")
    assert fit.summary().coefficients.shape == (0, 5) and fit.pvalues.empty
    assert "t-tests use Satterthwaite's method" in str(fit.summary())
    assert len(fit.anova()) == 0


# --- analysis of variance -----------------------------------------------------------------


def test_an_analysis_of_variance_is_a_frame_that_prints_under_its_heading(fit):
    table = fit.anova()
    assert isinstance(table, pd.DataFrame) and list(table.columns) == F_COLUMNS and list(table.index) == ["x", "f", "x:f"]
    assert str(table).startswith("Type III Analysis of Variance Table with Satterthwaite's method\n")
    assert "<table>" in table._repr_html_()
    assert type(table[["F value"]]) is pd.DataFrame
    same(pd.DataFrame(anova(fit, type=3)), pd.DataFrame(table))


def test_terms_are_sequential_marginal_or_by_containment(fit):
    one, two, three = (fit.anova(type=kind)["F value"] for kind in ("I", "II", "III"))
    assert one["x:f"] == pytest.approx(two["x:f"]) == pytest.approx(three["x:f"])
    assert len({round(table["x"], 6) for table in (one, two, three)}) == 3


@pytest.mark.parametrize("coding", ["contr.sum", "contr.helmert", "contr.SAS", "contr.poly"])
def test_type_iii_does_not_depend_on_the_coding_of_factors(fit, coding):
    other = lmer("y ~ x * f + (x | g) + (1 | h)", crossed_slopes(), contrasts={"f": coding})
    np.testing.assert_allclose(other.anova()["F value"], fit.anova()["F value"], rtol=1e-6)


def test_hypotheses_of_balanced_margins_are_equal_weights():
    cake = lmer("angle ~ recipe * temp + (1 | recipe:replicate)", datasets.load("cake"))
    shown = show_tests(cake.anova(), fractions=True)
    assert list(shown["temp"].iloc[0]) == ["0", "0", "0", "1", "1/3", "1/3"]
    assert shown["recipe"].shape == (2, 6)
    assert list(show_tests(cake.anova(), names=False)["temp"].columns) == list(range(6))


def test_missing_cells_are_named():
    data = crossed_slopes()
    data = data.assign(k=np.where(data["z"] > 0, "u", "v")).query("not (f == 'mid' and k == 'v')")
    with pytest.warns(RankDeficientWarning):
        fit = lmer("y ~ f * k + (1 | g)", data)
    with pytest.warns(FastlmmWarning, match="no rows have fmid:kv"):
        fit.anova()


def test_bad_types_and_tables_are_refused(fit):
    for kind in ("IV", 4, None):
        with pytest.raises(ArgumentError, match="'I', 'II' or 'III'"):
            fit.anova(type=kind)
    for table in (fit.anova(ddf="lme4"), pd.DataFrame()):
        with pytest.raises(ArgumentError, match="show_tests"):
            show_tests(table)
    with pytest.raises(ArgumentError, match="expected a fitted model"):
        fastlmm_hlm.anova(3)


def test_a_fit_without_its_rows_still_has_its_tables():
    import pickle

    fit = lmer("y ~ x * f + (1 | g)", crossed_slopes())
    again = pickle.loads(pickle.dumps(fit))
    for kind in ("I", "II", "III"):
        np.testing.assert_allclose(again.anova(type=kind), fit.anova(type=kind), rtol=1e-9)
    weighted = pickle.loads(pickle.dumps(lmer("y ~ x * f + (1 | g)", crossed_slopes(), weights="w")))
    assert np.isfinite(weighted.anova()["F value"]).all()
    with pytest.raises(RowsNotKeptError, match="anova"):
        weighted.anova(type="I")


def test_variables_of_several_columns_that_occur_only_together_are_refused():
    data = crossed_slopes()
    fit = lmer("y ~ poly(x, 2):poly(z, 2) + (1 | g)", data)
    with pytest.raises(ArgumentError, match="cannot be told apart"):
        fit.anova()
