"""The data frames behind the pictures, against their definitions."""

import pickle
import warnings

import numpy as np
import pandas as pd
import polars
import pytest
from picture_cases import pupils
from scipy import stats

from fastlmm_hlm import coef, datasets, fixef, group_lines, hatvalues, lmer, population_line, ranef
from fastlmm_hlm.errors import ArgumentError, RowsNotKeptError, UnknownNameError
from fastlmm_hlm.inference.density import bandwidth, density
from fastlmm_hlm.inference.pictures.qqbands import local_level, normal_band, plotting_positions, probability_inside
from fastlmm_hlm.inference.pictures.smoother import GROUPS, local_lines, local_mean

# Two ways of adding the same numbers.
ROUNDING = dict(rtol=1e-9, atol=1e-9)
# Solving the whole system instead of eliminating factor by factor.
DENSE = dict(rtol=1e-7, atol=1e-9)


# --- the trend ----------------------------------------------------------------------


def lowess_at(x, y, at, share):
    """One local line, by weighted least squares: the definition."""
    d = np.abs(x - at)
    h = np.sort(d)[int(np.ceil(share * len(x) - 1e-9)) - 1]
    w = np.clip(1 - (d / h) ** 3, 0, None) ** 3
    root = np.sqrt(w)
    A = np.column_stack([np.ones(len(x)), x - at])
    return np.linalg.lstsq(root[:, None] * A, root * y, rcond=None)[0][0]


@pytest.mark.parametrize("share", [0.2, 2 / 3, 1.0])
def test_the_trend_is_local_least_squares_with_tricube_weights(share):
    rng = np.random.default_rng(1)
    x, y = rng.gamma(2, 1, 80), rng.normal(size=80)
    expected = [lowess_at(x, y, at, share) for at in np.sort(x)]
    np.testing.assert_allclose(local_lines(np.sort(x), y[np.argsort(x)], np.ones(80), np.sort(x), share), expected, **ROUNDING)
    np.testing.assert_allclose(local_mean(x, y, share)[np.argsort(x)], expected, **ROUNDING)


def test_the_trend_of_a_line_is_the_line_for_any_number_of_rows():
    rng = np.random.default_rng(2)
    for n in (3, 50, GROUPS, GROUPS + 1, 30_000):
        x = rng.gamma(1, 1, n)
        np.testing.assert_allclose(local_mean(x, 3 - 2 * x), 3 - 2 * x, rtol=1e-8, atol=1e-8)


def test_averaging_neighbours_hardly_changes_the_trend():
    rng = np.random.default_rng(3)
    x = rng.uniform(0, 6, 5000)
    y = np.sin(x) + rng.normal(0, 0.1, 5000)
    order = np.argsort(x)
    at = np.linspace(0.1, 5.9, 25)
    exact = local_lines(x[order], y[order], np.ones(5000), at, 0.3)
    np.testing.assert_allclose(np.interp(at, x[order], local_mean(x, y, 0.3)[order]), exact, atol=3e-3)


def test_at_one_value_of_x_the_trend_is_the_mean():
    np.testing.assert_allclose(local_mean(np.ones(10), np.arange(10.0)), 4.5)


# --- bands --------------------------------------------------------------------------


def test_two_values_stay_inside_with_the_probability_of_a_double_integral():
    outside = 0.1
    a1, b1 = stats.beta(1, 2).ppf([outside / 2, 1 - outside / 2])
    a2, b2 = stats.beta(2, 1).ppf([outside / 2, 1 - outside / 2])
    u = np.linspace(a1, b1, 200_001)
    inner = np.clip(b2 - np.maximum(u, a2), 0, None)           # the larger value lies above u
    assert probability_inside(2, outside) == pytest.approx(2 * np.trapezoid(inner, u), abs=1e-8)


@pytest.mark.parametrize("n, samples", [(1, 40_000), (10, 40_000), (300, 8_000), (3000, 1_500)])
def test_normal_samples_lie_inside_the_simultaneous_band_as_often_as_it_says(n, samples):
    rng = np.random.default_rng(n)
    low, high = normal_band(n, 0.9)
    inside = 0
    for _ in range(10):
        x = np.sort(rng.standard_normal((samples // 10, n)), axis=1)
        inside += int(((x >= low) & (x <= high)).all(axis=1).sum())
    # Four standard errors of a proportion.
    assert inside / samples == pytest.approx(0.9, abs=4 * np.sqrt(0.09 / samples))


def test_the_pointwise_band_has_quantiles_of_beta_distributions():
    low, high = normal_band(25, 0.95, simultaneous=False)
    i = np.arange(1, 26)
    np.testing.assert_allclose(low, stats.norm.ppf(stats.beta.ppf(0.025, i, 26 - i)), **ROUNDING)
    np.testing.assert_allclose(high, stats.norm.ppf(stats.beta.ppf(0.975, i, 26 - i)), **ROUNDING)


def test_the_band_of_many_rows_is_exact_in_the_tails_and_interpolated_between():
    n, level = 20_000, local_level(20_000, 0.95)
    low, _ = normal_band(n, 0.95)
    for i in (1, 7, 400, 5_000, 10_000, 19_990, n):
        assert low[i - 1] == pytest.approx(stats.norm.ppf(stats.beta.ppf(level / 2, i, n + 1 - i)), abs=1e-4)


def test_plotting_positions_are_those_of_r():
    # ppoints(5), ppoints(10), ppoints(12) of R 4.2.2.
    np.testing.assert_allclose(plotting_positions(5), [0.1190476, 0.3095238, 0.5, 0.6904762, 0.8809524], atol=5e-8)
    np.testing.assert_allclose(plotting_positions(10)[[0, 9]], [0.06097561, 0.93902439], atol=5e-9)
    np.testing.assert_allclose(plotting_positions(12)[[0, 11]], [0.04166667, 0.95833333], atol=5e-9)


# --- residuals ----------------------------------------------------------------------


@pytest.mark.parametrize("type, scale", [("pearson", 1), ("response", None), ("scaled", "sigma"), ("standardized", "both")])
def test_residuals_are_scaled_as_their_type_says(weighted, type, scale):
    data, sigma = pupils(300, 20), weighted.sigma()
    r = data["score"] - weighted.fitted()
    root = np.sqrt(data["w"])
    expected = {1: r * root, None: r, "sigma": r * root / sigma, "both": r * root / (sigma * np.sqrt(1 - hatvalues(weighted)))}[scale]
    frame = weighted.residuals_data(type=type)
    np.testing.assert_allclose(frame[".resid"], expected, **ROUNDING)
    np.testing.assert_allclose(frame[".fitted"], weighted.fitted(), **ROUNDING)
    assert frame.index.equals(data.index)


def test_residuals_stand_beside_any_column_in_the_model_or_not(schools):
    data = datasets.load("Hsb82")
    frame = schools.residuals_data("ses")
    np.testing.assert_array_equal(frame["ses"], data["ses"])
    assert frame.columns.tolist() == ["ses", ".resid", ".trend"]
    by_sex = schools.residuals_data("sx")
    assert by_sex.columns.tolist() == ["sx", ".resid"]
    assert (by_sex["sx"].astype(str) == data["sx"].astype(str)).all()
    assert (schools.residuals_data("school")["school"].astype(str) == data["school"].astype(str)).all()


def test_residuals_are_uncorrelated_with_the_fixed_part(schools):
    frame = schools.residuals_data(".fixed")
    assert abs(np.corrcoef(frame[".fixed"], frame[".resid"])[0, 1]) < 1e-7
    assert abs(np.corrcoef(schools.residuals_data()[".fitted"], frame[".resid"])[0, 1]) > 0.01


def test_rows_where_the_covariate_is_missing_are_kept_without_a_trend():
    data = pupils(100, 5)
    data["age"] = np.where(np.arange(100) % 10 == 0, np.nan, data["hours"] ** 2)
    frame = lmer("score ~ hours + (1 | class)", data).residuals_data("age")
    assert len(frame) == 100 and frame["age"].isna().sum() == 10
    assert (frame[".trend"].isna() == frame["age"].isna()).all()


def test_rows_left_out_of_the_fit_are_left_out_of_the_picture():
    data = pupils(100, 5)
    data.loc[[3, 50], "hours"] = np.nan
    frame = lmer("score ~ hours + (1 | class)", data).residuals_data("kind")
    assert frame.index.tolist() == [i for i in range(100) if i not in (3, 50)]
    assert frame["kind"].astype(str).tolist() == data["kind"].drop([3, 50]).tolist()


def test_scale_location_is_the_root_of_the_absolute_standardized_residual(sleep):
    frame = sleep.scale_location_data()
    np.testing.assert_allclose(frame[".root"] ** 2, np.abs(sleep.residuals_data(type="standardized")[".resid"]), **ROUNDING)


def test_quantiles_are_in_order_with_their_rows(sleep):
    frame, r = sleep.qq_data(), sleep.residuals_data(type="standardized")[".resid"]
    assert frame[".resid"].is_monotonic_increasing
    np.testing.assert_array_equal(frame[".resid"], r.loc[frame.index])
    np.testing.assert_allclose(frame["theoretical"], stats.norm.ppf((np.arange(1, 181) - 0.5) / 180), **ROUNDING)
    np.testing.assert_array_equal(frame["line"], frame["theoretical"])
    assert set(frame.index[frame["outlying"]]) == set(r.index[np.abs(r) > stats.norm.ppf(0.975)])


def test_scaled_residuals_are_compared_with_their_own_spread(sleep):
    frame = sleep.qq_data(type="scaled")
    np.testing.assert_allclose(frame["line"], frame["theoretical"] * np.sqrt(1 - hatvalues(sleep).mean()), **ROUNDING)
    np.testing.assert_allclose(frame["upper"] * frame["theoretical"], sleep.qq_data()["upper"].to_numpy() * frame["line"], **ROUNDING)


# --- random effects -----------------------------------------------------------------


def test_intervals_of_random_effects_reach_z_standard_deviations(sleep):
    frame, whole = sleep.ranef_data(level=0.9), ranef(sleep).to_frame()
    reach = stats.norm.ppf(0.95) * whole["condsd"]
    np.testing.assert_allclose(frame["lower"], whole["condval"] - reach, **ROUNDING)
    np.testing.assert_allclose(frame["upper"], whole["condval"] + reach, **ROUNDING)
    np.testing.assert_array_equal(frame["excludes_zero"], np.abs(whole["condval"]) > reach)


@pytest.mark.parametrize("order", [None, "Days", "each", "level"])
def test_places_follow_the_order_asked_for(sleep, order):
    frame = sleep.ranef_data(order=order)
    wide = frame.pivot(index="grp", columns="term", values="condval")
    for term, part in frame.groupby("term"):
        by = {None: "(Intercept)", "each": term, "level": None}.get(order, order)
        names = part.sort_values("place")["grp"].tolist()
        expected = wide[by].sort_values().index.tolist() if by else wide.index.tolist()[::-1]
        assert names == expected
        assert set(part["order"]) == {by or "level"}


def test_many_levels_have_an_order_in_each_panel(many):
    frame = many.ranef_data()
    for _, part in frame.groupby("term"):
        assert part.sort_values("place")["condval"].is_monotonic_increasing


def test_quantiles_of_random_effects_are_in_order(plates):
    frame = plates.ranef_qq_data()
    assert frame.groupby("grpvar", sort=False).size().tolist() == [24, 6]
    part = frame[frame["grpvar"] == "sample"]
    np.testing.assert_allclose(part["theoretical"], stats.norm.ppf((np.arange(1, 7) - 0.5) / 6), **ROUNDING)
    np.testing.assert_array_equal(part["condval"], np.sort(ranef(plates)["sample"]["(Intercept)"]))
    low, high = np.quantile(part["condval"], [0.25, 0.75])
    at = stats.norm.ppf([0.25, 0.75])
    np.testing.assert_allclose(np.interp(at, part["theoretical"], part["line"]), [low, high], **ROUNDING)


def test_the_random_effects_alone_give_the_same_frames(sleep):
    from fastlmm_hlm.inference.pictures.raneffects import ranef_data

    pd.testing.assert_frame_equal(ranef_data(ranef(sleep)), sleep.ranef_data())
    without = ranef_data(ranef(sleep, condVar=False))
    assert "lower" not in without.columns and len(without) == 36


def test_pairs_hold_the_modes_and_the_estimated_covariance(sleep):
    frame, S = sleep.ranef_pairs_data(), sleep.VarCorr()["Subject"]
    np.testing.assert_array_equal(frame["x"], ranef(sleep)["Subject"]["(Intercept)"])
    np.testing.assert_array_equal(frame["y"], ranef(sleep)["Subject"]["Days"])
    np.testing.assert_allclose(frame[["sd_x", "sd_y", "cor"]].iloc[0], [*S.stddev, S.correlation.iloc[0, 1]], **ROUNDING)


def test_effects_in_different_terms_are_uncorrelated():
    fit = lmer("Reaction ~ Days + (Days || Subject)", datasets.load("sleepstudy"))
    assert (fit.ranef_pairs_data()["cor"] == 0.0).all()


# --- averages and lines -------------------------------------------------------------


def test_averages_without_predictors_are_the_coefficients():
    fit = lmer("mAch ~ 1 + (1 | school)", datasets.load("Hsb82"))
    frame = fit.averages_data()
    np.testing.assert_allclose(frame["average"], coef(fit)["school"]["(Intercept)"], **ROUNDING)
    np.testing.assert_allclose(frame["condsd"], ranef(fit).to_frame()["condsd"], **DENSE)
    np.testing.assert_allclose(frame["population"], fixef(fit).iloc[0], **ROUNDING)
    assert frame["n"].sum() == 7185 and frame.index.name == "school"


def test_averages_stand_at_the_mean_of_what_varies_and_at_the_groups_own_values(schools):
    frame = schools.averages_data()
    mean = datasets.load("Hsb82")["cses"].mean()
    lines = group_lines(schools, "cses", points=[mean])
    np.testing.assert_allclose(frame["average"], lines["fitted"], **ROUNDING)
    assert list(frame.attrs["at"]) == ["cses"]
    V = ranef(schools).condVar["school"]
    z = np.array([1.0, mean])
    np.testing.assert_allclose(frame["condsd"] ** 2, np.einsum("c,lcd,d->l", z, V, z), **DENSE)


def dense_variance(fit, Zrows):
    """z' Var(b | y) z with the whole system inverted."""
    Z, Lambda = fit.getME("Z").toarray(), fit.getME("Lambda")
    Lambda = Lambda.toarray() if hasattr(Lambda, "toarray") else np.asarray(Lambda)
    W = np.diag(fit.weights().to_numpy())
    U = Z @ Lambda
    V = fit.sigma() ** 2 * Lambda @ np.linalg.inv(U.T @ W @ U + np.eye(U.shape[1])) @ Lambda.T
    return np.einsum("kq,qr,kr->k", Zrows, V, Zrows)


def test_the_average_of_a_class_counts_its_school_with_their_joint_variance():
    data = pupils(400, 40).assign(year=lambda d: d["hours"] + 2000.0)
    fit = lmer("score ~ year + (year | class) + (1 | school)", data)
    frame = fit.averages_data("class")
    b, S = ranef(fit)["class"], ranef(fit)["school"]["(Intercept)"]
    mean, beta = data["year"].mean(), fixef(fit).to_numpy()
    school = data.drop_duplicates("class").set_index("class")["school"].loc[b.index]
    expected = beta[0] + beta[1] * mean + b["(Intercept)"] + b["year"] * mean + S.loc[school].to_numpy()
    np.testing.assert_allclose(frame["average"], expected, rtol=1e-8)
    Zrows = np.zeros((40, 85))
    for k in range(40):
        Zrows[k, 2 * k : 2 * k + 2] = 1.0, mean
        Zrows[k, 80 + S.index.get_loc(school.iloc[k])] = 1.0
    # Years near 2000 cost the dense inverse six digits.
    np.testing.assert_allclose(frame["condsd"] ** 2, dense_variance(fit, Zrows), rtol=1e-4)


def test_crossed_factors_count_only_their_own_effects(plates):
    frame = plates.averages_data("sample")
    np.testing.assert_allclose(frame["average"], coef(plates)["sample"]["(Intercept)"], **ROUNDING)
    np.testing.assert_allclose(frame["condsd"], np.sqrt(ranef(plates).condVar["sample"][:, 0, 0]), **DENSE)


def test_lines_are_those_of_the_groups_and_of_each_kind(schools):
    data = datasets.load("Hsb82")
    frame = schools.lines_data("cses", by="sector")
    groups = frame[frame["line"] == "group"]
    pd.testing.assert_frame_equal(groups[["cses", "fitted"]].reset_index(drop=True), group_lines(schools, "cses")[["cses", "fitted"]])
    sector = data.drop_duplicates("school").set_index("school")["sector"]
    assert (groups["sector"].astype(str) == sector.loc[groups["school"]].astype(str).to_numpy()).all()
    status = data.drop_duplicates("school").groupby("sector", observed=True)["meanses"].mean()
    for kind, mean in status.items():
        own = frame[(frame["line"] == "population") & (frame["sector"] == kind)]
        np.testing.assert_allclose(own["fitted"], population_line(schools, "cses", at={"sector": kind, "meanses": mean})["fitted"], **ROUNDING)
    assert frame.loc[frame["line"] == "population", "school"].isna().all()


def test_a_kind_that_is_no_predictor_has_one_population_line(seven):
    frame = seven.lines_data("hours", by="kind")
    own = frame[frame["line"] == "population"]
    assert len(own) == 2 and own["kind"].isna().all()


def test_curves_have_the_points_they_need():
    fit = lmer("Reaction ~ poly(Days, 2) + (1 | Subject)", datasets.load("sleepstudy"))
    frame = fit.lines_data("Days")
    whole = frame[frame["line"] == "population"]
    np.testing.assert_allclose(whole["fitted"], population_line(fit, "Days", points=60)["fitted"], **ROUNDING)
    assert (fit.panels_data("Days")["kind"] == "group").sum() == 18 * 60
    assert len(fit.lines_data("Days", points=3)) == 19 * 3


# --- panels -------------------------------------------------------------------------


def test_panels_hold_the_rows_and_lines_of_their_groups(sleep):
    data = datasets.load("sleepstudy")
    frame = sleep.panels_data("Days", groups=["335", "308"])
    assert list(dict.fromkeys(frame["Subject"])) == ["335", "308"]
    seen = frame[(frame["kind"] == "observed") & (frame["Subject"] == "335")]
    np.testing.assert_array_equal(seen["y"], data.loc[data["Subject"] == "335", "Reaction"])
    for kind, expected in (("group", group_lines(sleep, "Days").query("Subject == '335'")), ("population", population_line(sleep, "Days"))):
        line = frame[(frame["kind"] == kind) & (frame["Subject"] == "335")]
        np.testing.assert_allclose(line["y"], expected["fitted"], **ROUNDING)
    own = data[data["Subject"] == "335"]
    ols = frame[(frame["kind"] == "ols") & (frame["Subject"] == "335")]
    np.testing.assert_allclose(ols["y"], np.polyval(np.polyfit(own["Days"], own["Reaction"], 1), ols["Days"]), **ROUNDING)


def test_twenty_of_many_groups_are_spread_over_their_fitted_values(many):
    frame = many.panels_data("hours")
    chosen = list(dict.fromkeys(frame["class"]))
    assert len(chosen) == 20
    mean = pupils(24_000, 7_000)["hours"].mean()
    middle = group_lines(many, "hours", points=[mean]).set_index("class")["fitted"]
    ranks = middle.rank().loc[chosen].to_numpy()
    assert ranks[0] == 1 and ranks[-1] == 7000 and (np.diff(ranks) > 300).all()


def test_the_largest_groups_can_be_asked_for(schools):
    sizes = datasets.load("Hsb82")["school"].value_counts()
    chosen = set(schools.panels_data("cses", groups="largest")["school"])
    assert sizes.loc[list(chosen)].min() >= sizes.drop(list(chosen)).max() and len(chosen) == 20


def test_the_least_squares_line_of_a_panel_is_weighted(weighted):
    frame = weighted.panels_data("hours", groups=[4])
    data = pupils(300, 20).query("`class` == 4")
    ols = frame[frame["kind"] == "ols"]
    line = np.polyfit(data["hours"], data["score"], 1, w=np.sqrt(data["w"]))
    np.testing.assert_allclose(ols["y"], np.polyval(line, ols["hours"]), **ROUNDING)


# --- shrinkage ----------------------------------------------------------------------


def test_least_squares_of_each_group_are_those_of_its_own_regression(sleep):
    frame = sleep.shrinkage_data()
    data = datasets.load("sleepstudy")
    for term, place in (("(Intercept)", 1), ("Days", 0)):
        own = frame[frame["term"] == term].set_index("grp")
        expected = [np.polyfit(d["Days"], d["Reaction"], 1)[place] for _, d in data.groupby("Subject", observed=True)]
        np.testing.assert_allclose(own["ols"], expected, **ROUNDING)
        np.testing.assert_allclose(own["mixed"], coef(sleep)["Subject"][term], **ROUNDING)


@pytest.mark.parametrize("formula", [
    "score ~ hours + (hours | class)",
    "score ~ year + (year | class)",
    "score ~ hours + kind + (hours | class) + (1 | school)",
    "score ~ hours + (1 | class) + (hours | school)",
])
def test_least_squares_after_the_rest_of_the_model_is_taken_off(formula):
    data = pupils(400, 30).assign(year=lambda d: d["hours"] + 2000.0)
    fit = lmer(formula, data, weights="w")
    f = [name for name in ranef(fit)].index("class")
    frame = fit.shrinkage_data("class")
    columns = list(ranef(fit)["class"].columns)
    Z = np.column_stack([np.ones(400) if c == "(Intercept)" else data[c] for c in columns])
    beta, b = fixef(fit), ranef(fit)["class"]
    others = fit.fitted() - (Z * b.loc[data["class"]].to_numpy()).sum(axis=1)        # X beta and the other factors
    r = (data["score"] - others).to_numpy()
    assert f >= 0
    for level in b.index[:10]:
        own = (data["class"] == level).to_numpy()
        root = np.sqrt(data["w"].to_numpy()[own])
        expected = np.linalg.lstsq(root[:, None] * Z[own], root * r[own], rcond=None)[0] + beta.reindex(columns).fillna(0).to_numpy()
        np.testing.assert_allclose(frame[frame["grp"] == level]["ols"], expected, rtol=1e-5, atol=1e-5)


def test_groups_that_do_not_determine_their_estimates_have_none():
    data = pupils(60, 12)
    data = data[~(data["class"].isin([3, 8]) & data["class"].duplicated())]
    sizes = data["class"].value_counts()
    frame = lmer("score ~ hours + (hours | class)", data).shrinkage_data()
    missing = set(frame.loc[frame["ols"].isna(), "grp"])
    assert missing == set(sizes.index[sizes < 2]) and missing


def test_shrinkage_needs_no_rows(sleep):
    copy = pickle.loads(pickle.dumps(sleep))
    pd.testing.assert_frame_equal(copy.shrinkage_data(), sleep.shrinkage_data())
    pd.testing.assert_frame_equal(copy.ranef_data(), sleep.ranef_data())


# --- influence and densities --------------------------------------------------------


def test_cooks_distances_and_their_parts(sleep):
    frame, table = sleep.cooks_data(), sleep.augment()
    np.testing.assert_allclose(frame[".cooksd"], table[".cooksd"], **ROUNDING)
    np.testing.assert_allclose(frame[".cooksd"], frame[".std.resid"] ** 2 * frame[".hat"] / (2 * (1 - frame[".hat"])), **ROUNDING)
    assert frame.attrs["threshold"] == pytest.approx(stats.f.ppf(0.5, 2, 178))


def test_the_density_is_the_sum_of_its_kernels():
    y = np.random.default_rng(5).gamma(2, 3, 400)
    width = bandwidth(y)
    at = np.linspace(-5, 40, 512)
    expected = stats.norm.pdf((at[:, None] - y) / width).sum(axis=1) / (400 * width)
    # Sharing a value between two places widens the kernel by less than a thousandth.
    np.testing.assert_allclose(density(y, -5, 40, 512, width), expected, atol=1e-3 * expected.max())
    assert np.trapezoid(density(y, -5, 40, 512, width), at) == pytest.approx(1, abs=1e-3)


def test_simulated_densities_are_those_of_simulated_responses(sleep):
    from fastlmm_hlm.inference.simulation import simulate_responses

    frame = sleep.predictive_data(3, seed=9)
    simulated = simulate_responses(sleep, 3, seed=9)
    at = frame["Reaction"].to_numpy()
    width = bandwidth(datasets.load("sleepstudy")["Reaction"].to_numpy())
    expected = stats.norm.pdf((at[:, None] - simulated[2]) / width).sum(axis=1) / (180 * width)
    np.testing.assert_allclose(frame["sim_3"], expected, atol=1e-3 * expected.max())


def test_the_page_has_the_frames_of_the_single_pictures(sleep):
    data = sleep.check_model_data(predictive=True, seed=1)
    assert list(data) == ["linearity", "homogeneity", "influence", "collinearity", "normality", "random effects", "predictive"]
    assert data["collinearity"] is None
    pd.testing.assert_frame_equal(data["normality"], sleep.qq_data())
    pd.testing.assert_frame_equal(data["linearity"], sleep.residuals_data(".fixed"))


# --- data of other kinds ------------------------------------------------------------


@pytest.mark.parametrize("made", [lambda d: d, polars.from_pandas], ids=["pandas", "polars"])
def test_logical_and_numeric_columns_are_kinds_and_polars_has_the_same_numbers(made):
    data = pupils(200, 12).assign(even=lambda d: d["class"] % 2 == 0, third=lambda d: d["class"] % 3)
    fit, same = (lmer("score ~ hours + even + (hours | class)", d) for d in (made(data), data))
    frame = fit.lines_data("hours", by="even")
    whole = frame[frame["line"] == "population"]
    np.testing.assert_allclose(whole["fitted"].iloc[[2, 3]].to_numpy() - whole["fitted"].iloc[[0, 1]].to_numpy(),
                               fixef(same)["evenTRUE"], **ROUNDING)
    assert set(fit.lines_data("hours", by="third")["third"].dropna()) == {0.0, 1.0, 2.0}
    np.testing.assert_allclose(fit.residuals_data("third")[".trend"], same.residuals_data("third")[".trend"], **ROUNDING)
    assert fit.residuals_data("even")["even"].value_counts().tolist() == data["even"].value_counts().tolist()


# --- refusals -----------------------------------------------------------------------


@pytest.mark.parametrize("call, error, words", [
    (lambda f: f.residuals_data("hight"), UnknownNameError, "'hight' is neither a grouping factor .* nor a column"),
    (lambda f: f.residuals_data(type="raw"), ArgumentError, "type = 'raw'"),
    (lambda f: f.residuals_data(share=2), ArgumentError, "share = 2"),
    (lambda f: f.scale_location_data("Subject"), ArgumentError, "'Subject' is not numeric"),
    (lambda f: f.qq_data(level=95), ArgumentError, "level = 95"),
    (lambda f: f.qq_data(id=5), ArgumentError, "id = 5"),
    (lambda f: f.qq_data(band="both"), ArgumentError, "band = 'both'"),
    (lambda f: f.qq_data(type="pearson"), ArgumentError, "type = 'pearson'"),
    (lambda f: f.ranef_data("school"), UnknownNameError, "no grouping factor is called 'school'"),
    (lambda f: f.ranef_data(terms="days"), UnknownNameError, "no random effect 'days'"),
    (lambda f: f.ranef_data(order="days"), UnknownNameError, "order = 'days'"),
    (lambda f: f.ranef_pairs_data(terms=["Days"]), ArgumentError, "two are needed"),
    (lambda f: f.shrinkage_data("school"), UnknownNameError, "no grouping factor"),
    (lambda f: f.averages_data("school"), UnknownNameError, "no grouping factor"),
    (lambda f: f.averages_data(at={"Hours": 1}), ArgumentError, "at has 'Hours'"),
    (lambda f: f.lines_data("Days", by="Reaction"), ArgumentError, "'Reaction' varies within Subject"),
    (lambda f: f.panels_data("Days", groups=["308", "12"]), UnknownNameError, "no level '12'"),
    (lambda f: f.panels_data("Days", groups=0), ArgumentError, "groups = 0"),
    (lambda f: f.panels_data("Days", groups=[]), UnknownNameError, "no level"),
    (lambda f: f.predictive_data(0), ArgumentError, "nsim = 0"),
    (lambda f: f.check_model_data("residuals"), UnknownNameError, "no panel 'residuals'"),
])
def test_what_cannot_be_computed_is_refused(sleep, call, error, words):
    with pytest.raises(error, match=words):
        call(sleep)


def test_several_grouping_factors_need_a_name(plates):
    for call in (plates.averages_data, plates.shrinkage_data, plates.ranef_pairs_data):
        with pytest.raises(ArgumentError, match="plate, sample; say which one"):
            call()


def test_without_rows_the_error_says_so(sleep):
    copy = pickle.loads(pickle.dumps(sleep))
    for call in (copy.residuals_data, copy.qq_data, copy.cooks_data, copy.averages_data, copy.predictive_data, copy.check_model_data,
                 lambda: copy.lines_data("Days"), lambda: copy.panels_data("Days"), copy.scale_location_data):
        with pytest.raises(RowsNotKeptError):
            call()


def test_a_model_without_fixed_effects_has_no_cooks_distance():
    fit = lmer("strength ~ 0 + (1 | batch:cask)", datasets.load("Pastes"))
    with pytest.raises(ArgumentError, match="no fixed effects"):
        fit.cooks_data()
    assert fit.check_model_data()["influence"] is None


def test_nothing_warns(sleep, plates):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sleep.check_model_data(predictive=True, seed=1)
        plates.averages_data("plate")
        plates.shrinkage_data("sample")
