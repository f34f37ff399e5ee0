"""Marginal means from their definition, and what must not change them."""

import pickle

import numpy as np
import pandas as pd
import pytest
from emm_cases import SCHOOL, fitted_case

from fastlmm_hlm import emmeans, emtrends, joint_tests, lmer, pairs, ref_grid, vcov
from fastlmm_hlm.errors import FastlmmWarning
from fastlmm_hlm.inference.emmeans import contrast
from fastlmm_hlm.inference.emmeans.result import EmmGrid

# Sums and products of numbers of size 10.
EXACT = 1e-9
# Two fits of one model in other columns agree to the optimizer's tolerance.
SAME_FIT = 1e-6


def test_a_mean_is_the_average_of_x_beta_over_the_other_levels():
    fit = fitted_case("factorial")
    beta = fit.fixef()
    x = SCHOOL.x.mean()
    for level in ("lo", "mid", "hi"):
        total = 0.0
        for b in ("u", "v"):
            for z in (0, 1):
                row = {"(Intercept)": 1, "x": x, "z": z, "bv": b == "v"}
                if level != "lo":
                    row |= {f"a{level}": 1, f"a{level}:bv": b == "v", f"a{level}:z": z, f"a{level}:bv:z": z * (b == "v")}
                row["bv:z"] = z * (b == "v")
                total += sum(beta[name] * value for name, value in row.items())
        made = emmeans(fit, "a").to_frame()
        assert made.set_index("a").loc[level, "emmean"] == pytest.approx(total / 4, abs=EXACT)


def test_standard_errors_come_from_the_linear_function():
    fit = fitted_case("factorial")
    means = emmeans(fit, "a", ddf="asymptotic")
    V = means.linfct @ fit.vcov().to_numpy() @ means.linfct.T
    np.testing.assert_allclose(means.to_frame()["SE"], np.sqrt(np.diag(V)), rtol=EXACT)
    np.testing.assert_allclose(means.vcov().to_numpy(), V, rtol=EXACT)
    assert vcov(means).equals(means.vcov())


def test_cell_weights_give_the_average_prediction_at_mean_covariates():
    fit = fitted_case("ml")
    means = emmeans(fit, "a", weights="cells").to_frame().set_index("a")["emmean"]
    beta, x = fit.fixef(), SCHOOL.x.mean()
    X = pd.DataFrame(0.0, index=SCHOOL.index, columns=beta.index)
    X["(Intercept)"], X["x"] = 1.0, x
    for level in ("mid", "hi"):
        X[f"a{level}"] = SCHOOL.a == level
        X[f"a{level}:bv"] = (SCHOOL.a == level) & (SCHOOL.b == "v")
    X["bv"] = SCHOOL.b == "v"
    np.testing.assert_allclose(means, (X.astype(float) @ beta).groupby(SCHOOL.a, observed=True).mean(), rtol=EXACT)


def test_proportional_weights_equal_equal_ones_in_a_balanced_design():
    fit = fitted_case("cake")
    one, other = (emmeans(fit, "recipe", weights=w).to_frame() for w in ("equal", "proportional"))
    np.testing.assert_allclose(one["emmean"], other["emmean"], rtol=EXACT)


def f_ratios(fit):
    """Tests without df2: the smallest of several degrees of freedom depends on the coding, in R too."""
    return joint_tests(fit)[["model term", "df1", "F.ratio"]]


@pytest.mark.parametrize("contrasts", [{"a": "contr.sum"}, {"a": "contr.helmert", "b": "contr.sum"}, {"a": "contr.SAS"}])
def test_the_coding_of_factors_changes_nothing(contrasts):
    formula = "y ~ a*b + x + (1|g)"
    plain, coded = lmer(formula, SCHOOL), lmer(formula, SCHOOL, contrasts=contrasts)
    for make in (lambda m: emmeans(m, "~ a | b"), lambda m: emmeans(m, "a").pairs(), lambda m: emtrends(m, "~ b", "x"), f_ratios):
        one, other = (frame.to_frame() if isinstance(frame, EmmGrid) else frame for frame in (make(plain), make(coded)))
        numeric = one.select_dtypes("number")
        np.testing.assert_allclose(numeric, other[numeric.columns], rtol=SAME_FIT, atol=SAME_FIT)


def test_units_of_a_covariate_change_nothing_but_its_slope():
    formula = "y ~ a*poly(x, 2) + (1|g)"
    plain, scaled = lmer(formula, SCHOOL), lmer(formula, SCHOOL.assign(x=SCHOOL.x * 1000.0))
    np.testing.assert_allclose(emmeans(plain, "a").to_frame()["emmean"], emmeans(scaled, "a").to_frame()["emmean"], rtol=SAME_FIT)
    slopes = [emtrends(fit, "a", "x").to_frame()["x.trend"] for fit in (plain, scaled)]
    np.testing.assert_allclose(slopes[0], 1000.0 * slopes[1], rtol=SAME_FIT)


def test_a_slope_is_the_coefficient_where_the_model_is_straight():
    fit = fitted_case("slopes")
    slopes = emtrends(fit, "b", "x").to_frame().set_index("b")["x.trend"]
    beta = fit.fixef()
    assert slopes["u"] == pytest.approx(beta["x"], abs=EXACT)
    assert slopes["v"] == pytest.approx(beta["x"] + beta["bv:x"], abs=EXACT)


def test_a_slope_of_log_is_the_coefficient_over_x():
    fit = fitted_case("functions")
    beta = fit.fixef()
    at = emtrends(fit, "a", "x", at={"x": 8.0}).to_frame().set_index("a")["x.trend"]
    assert at["lo"] == pytest.approx(beta["log(x)"] / 8.0, rel=1e-7)


def test_a_joint_test_of_one_row_is_the_square_of_its_t():
    means = emmeans(fitted_case("slopes"), "b").pairs()
    test, joint = means.to_frame(), means.test(joint=True)
    assert joint["F.ratio"].iloc[0] == pytest.approx(test["t.ratio"].iloc[0] ** 2, rel=EXACT)
    assert joint["p.value"].iloc[0] == pytest.approx(test["p.value"].iloc[0], rel=EXACT)


def test_dependent_contrasts_give_the_joint_test_of_independent_ones():
    means = emmeans(fitted_case("factorial"), "a")
    one, other = means.contrast("pairwise").test(joint=True), means.contrast("consec").test(joint=True)
    np.testing.assert_allclose(one["F.ratio"], other["F.ratio"], rtol=EXACT)
    assert list(one["df1"]) == [2] and list(one["note"]) == ["d"]


def test_the_default_is_never_the_normal_distribution_however_many_rows():
    rng = np.random.default_rng(8)
    n = 4000
    data = pd.DataFrame({"f": rng.choice(["a", "b"], n), "g": rng.integers(0, 12, n)})
    data["y"] = rng.normal(size=12)[data.g] + rng.normal(size=n)
    table = emmeans(lmer("y ~ f + (1|g)", data), "f")
    frame = table.to_frame()
    assert frame["df"].between(10, 13).all()
    assert "Degrees-of-freedom method: kenward-roger" in str(table)
    assert "lower.CL" in frame


def test_many_random_effects_take_satterthwaite():
    rng = np.random.default_rng(9)
    g = np.repeat(np.arange(3200), 2)
    data = pd.DataFrame({"g": g, "f": np.tile(["a", "b"], 3200), "y": rng.normal(size=3200)[g] + rng.normal(size=6400)})
    assert "method: satterthwaite" in str(emmeans(lmer("y ~ f + (1|g)", data), "f"))


def test_a_fit_by_maximum_likelihood_takes_satterthwaite_and_kenward_roger_is_that_of_reml():
    fit = fitted_case("ml")
    assert "method: satterthwaite" in str(emmeans(fit, "a"))
    with pytest.warns(FastlmmWarning, match="fitted again by REML"):
        asked = emmeans(lmer("y ~ a*b + x + (1|g)", SCHOOL, REML=False), "a", ddf="Kenward-Roger").to_frame()
    by_reml = emmeans(lmer("y ~ a*b + x + (1|g)", SCHOOL), "a").to_frame()
    np.testing.assert_allclose(asked[["emmean", "SE", "df"]], by_reml[["emmean", "SE", "df"]], rtol=SAME_FIT)


def test_a_pickled_fit_knows_its_means_without_rows():
    fit = fitted_case("deficient")
    lone = pickle.loads(pickle.dumps(fit))
    for specs in ("~ a | b", "a"):
        assert str(emmeans(lone, specs)) == str(emmeans(fit, specs))
    assert str(emmeans(lone, "a", weights="cells")) == str(emmeans(fit, "a", weights="cells"))
    assert str(emmeans(pickle.loads(pickle.dumps(lone)), "a")) == str(emmeans(fit, "a"))


def test_results_pickle_and_slices_of_tables_are_plain_frames():
    means = emmeans(fitted_case("cake"), "recipe")
    table = means.to_frame()
    assert str(pickle.loads(pickle.dumps(table))) == str(table)
    assert str(pickle.loads(pickle.dumps(means))) == str(means)
    assert type(table.iloc[:1]) is pd.DataFrame
    assert type(table[["SE"]]) is pd.DataFrame


def test_data_frames_of_other_libraries_give_the_same_table(school):
    polars = pytest.importorskip("polars")
    frame = polars.DataFrame({name: school[name].astype(str).to_list() if name in "abo" else school[name].to_list() for name in school})
    frame = frame.with_columns(polars.col("a").cast(polars.Enum(["lo", "mid", "hi"])))
    fit = lmer("y ~ a*b + lg + x + (1|g)", frame)
    assert str(emmeans(fit, "~ a | b")) == str(emmeans(lmer("y ~ a*b + lg + x + (1|g)", school), "~ a | b"))


def test_missing_rows_and_subsets_count_for_means_of_covariates(school):
    school.loc[:9, "y"] = np.nan
    fit = lmer("y ~ a + x + (1|g)", school, subset="x > 6")
    used = school[(school.x > 6) & school.y.notna()]
    assert ref_grid(fit).to_frame()["x"].iloc[0] == pytest.approx(used.x.mean())


def test_unused_categories_are_not_levels(school):
    school["a"] = school.a.cat.add_categories(["none"])
    assert list(emmeans(lmer("y ~ a + (1|g)", school), "a").to_frame()["a"]) == ["lo", "mid", "hi"]


def test_names_with_dots_and_spaces_can_be_asked_for(school):
    school = school.rename(columns={"a": "group.of three", "x": "exam.x"})
    fit = lmer("y ~ `group.of three` * exam.x + (1|g)", school)
    plain = lmer("y ~ a * x + (1|g)", SCHOOL)
    expected = emmeans(plain, "a").to_frame()["emmean"]
    for specs in ("group.of three", "~ `group.of three`", ["group.of three"]):
        np.testing.assert_allclose(emmeans(fit, specs).to_frame()["emmean"], expected)
    assert "exam.x.trend" in emtrends(fit, "group.of three", "exam.x").to_frame()


def test_numbers_inside_factor_are_levels(school):
    fit = lmer("y ~ factor(w) + x + (1|g)", school)
    made = emmeans(fit, "w", at={"w": [1, 3]}).to_frame()
    assert list(made["w"]) == [1, 3]
    beta = fit.fixef()
    assert np.diff(made["emmean"])[0] == pytest.approx(beta["factor(w)3"], abs=EXACT)
    assert list(pairs(emmeans(fit, "w")).to_frame()["contrast"]) == ["w1 - w2", "w1 - w3", "w2 - w3"]


def test_dates_stand_at_their_mean(school):
    school["day"] = pd.Timestamp("2020-01-01") + pd.to_timedelta(np.round(school.x), unit="D")
    fit = lmer("y ~ a + day + (1|g)", school)
    days = (school.day - pd.Timestamp(0)) / pd.Timedelta(1, "D")
    beta = fit.fixef()
    assert emmeans(fit, "a").to_frame()["emmean"].iloc[0] == pytest.approx(beta["(Intercept)"] + beta["day"] * days.mean(), rel=1e-9)
    moved = emmeans(fit, "a", at={"day": pd.Timestamp("2020-01-11")}).to_frame()["emmean"].iloc[0]
    assert moved == pytest.approx(beta["(Intercept)"] + beta["day"] * 18272, rel=1e-9)


def test_a_model_of_the_intercept_alone_has_one_mean():
    fit = lmer("y ~ 1 + (1|g)", SCHOOL)
    assert emmeans(fit, "~ 1").to_frame()["emmean"].iloc[0] == pytest.approx(fit.fixef().iloc[0])


def test_a_model_without_intercept_has_its_coefficients_as_means():
    fit = lmer("y ~ 0 + a + (1|g)", SCHOOL)
    np.testing.assert_allclose(emmeans(fit, "a").to_frame()["emmean"], fit.fixef(), rtol=EXACT)


def test_an_offset_vector_stands_at_its_mean():
    with_vector, with_column = (lmer("y ~ a + (1|g)", SCHOOL, offset=o) for o in (SCHOOL.x.to_numpy(), "x"))
    frames = [emmeans(fit, "a").to_frame() for fit in (with_vector, with_column)]
    np.testing.assert_allclose(frames[0]["emmean"], frames[1]["emmean"], rtol=EXACT)


def test_functions_and_methods_are_the_same():
    fit = fitted_case("cake")
    assert str(fit.emmeans("recipe")) == str(emmeans(fit, "recipe"))
    assert str(fit.joint_tests()) == str(joint_tests(fit))
    both = emmeans(fit, "pairwise ~ recipe")
    assert str(pairs(both)) == str(both.contrasts) == str(contrast(both.emmeans, "pairwise"))


def test_joint_tests_of_a_grid_are_those_of_its_model():
    fit = fitted_case("cake")
    assert str(joint_tests(ref_grid(fit))) == str(joint_tests(fit))
    assert list(joint_tests(emmeans(fit, "~ temperature | recipe"))["model term"]) == ["temperature"] * 3


def test_what_joint_tests_leave_over_has_the_remaining_degrees_of_freedom():
    fit = fitted_case("deficient")
    table = joint_tests(fit)
    assert list(table["model term"]) == ["a", "a:b", "(confounded)"]
    assert list(table["df1"]) == [1, 1, 2] and list(table["note"]) == ["e", "e", ""]
    assert "e: df1 reduced due to non-estimability" in str(table)
