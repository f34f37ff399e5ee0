"""Tests of the residual variance, of the modes' normality, and replicates beside the response."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from test_residuals import CASES, REFERENCE, fit_of

from fastlmm_hlm import check_normality, check_predictions, check_variance, datasets, lmer
from fastlmm_hlm.errors import ArgumentError, RowsNotKeptError, UnknownColumnError
from fastlmm_hlm.inference.density import bandwidth, kernel_density

# Shapiro and Wilk's p-value follows the modes, which agree with R's to about 1e-7.
AGAINST_R = 1e-4


def hsb():
    return lmer("mAch ~ cses + sx + (cses | school)", datasets.load("Hsb82"))


def test_levels_are_compared_by_scipys_levene_and_bartlett():
    fit, d = hsb(), datasets.load("Hsb82")
    r = fit.residuals("standardized")
    parts = [own for _, own in r.groupby(d["minrty"], observed=True)]
    tests = check_variance(fit, "minrty").tests.set_index("method")
    levene, bartlett = stats.levene(*parts, center="median"), stats.bartlett(*parts)
    assert list(tests.index) == [f"Levene F(1, {len(r) - 2})", "Bartlett"]       # minority varies within schools: no H
    np.testing.assert_allclose(tests["statistic"], [levene.statistic, bartlett.statistic], rtol=1e-9)
    np.testing.assert_allclose(tests["p.value"], [levene.pvalue, bartlett.pvalue], rtol=1e-9)
    frame = check_variance(fit, "minrty").frame.set_index("level")
    np.testing.assert_allclose(frame["variance"], [own.var() for own in parts], rtol=1e-9)
    assert frame["n"].sum() == len(d)


def h_statistic(df, rss):
    log = np.log(rss / df)
    d = (log - (df * log).sum() / df.sum()) / np.sqrt(2.0 / df)
    return (d**2).sum()


def test_H_is_the_books_sum_over_separate_regressions():
    fit, d = hsb(), datasets.load("Hsb82")
    df, rss = [], []
    for _, own in d.groupby("school", observed=True):
        X = np.column_stack([np.ones(len(own)), own["cses"], own["sx"] == "Male"])
        _, s, rank, _ = np.linalg.lstsq(X, own["mAch"], rcond=None)
        b = np.linalg.lstsq(X, own["mAch"], rcond=None)[0]
        df.append(len(own) - rank)
        rss.append(((own["mAch"] - X @ b) ** 2).sum())
    df, rss = np.array(df), np.array(rss)
    found = check_variance(fit, "school")
    assert found.method == "H" and found.statistic == pytest.approx(h_statistic(df, rss), rel=1e-8)
    assert found.p == pytest.approx(stats.chi2.sf(found.statistic, len(df) - 1)) and not found and "differs by school" in str(found)
    sector = d.groupby("school", observed=True)["sector"].first().to_numpy()
    by_sector = check_variance(fit, "sector")
    pooled = np.array([[df[sector == s].sum(), rss[sector == s].sum()] for s in np.unique(sector)]).T
    assert by_sector.method == "H" and by_sector.statistic == pytest.approx(h_statistic(*pooled), rel=1e-8)


def test_small_levels_do_not_count_for_H():
    d = datasets.load("sleepstudy")
    short = d[(d["Subject"] != "308") | (d["Days"] < 5)]
    tests = check_variance(lmer("Reaction ~ Days + (Days | Subject)", short), "Subject").tests
    assert tests.loc[0, "method"] == "H" and tests.loc[0, "df"] == 16
    few = d[d["Days"] < 5]
    assert check_variance(lmer("Reaction ~ Days + (1 | Subject)", few), "Subject").method.startswith("Levene")


def test_a_covariate_is_compared_by_the_regression_of_squares_and_of_logs():
    fit, d = hsb(), datasets.load("Hsb82")
    r = fit.residuals("standardized").to_numpy()
    found = check_variance(fit, "ses").tests.set_index("method")
    R2 = np.corrcoef(r**2, d["ses"])[0, 1] ** 2
    assert found.loc["Breusch-Pagan (Koenker)", "statistic"] == pytest.approx(len(r) * R2)
    line = stats.linregress(d["ses"], np.log(r**2))
    explained = line.slope**2 * ((d["ses"] - d["ses"].mean()) ** 2).sum()
    assert found.loc["Harvey", "statistic"] == pytest.approx(explained / 4.934802200544679)
    by_fitted = check_variance(fit)
    assert by_fitted.statistic == pytest.approx(len(r) * np.corrcoef(r**2, fit.fitted())[0, 1] ** 2)
    frame = by_fitted.frame
    assert frame["n"].sum() == len(r) and len(frame) == 10 and (frame["variance"] * frame["n"]).sum() == pytest.approx((r**2).sum())
    assert by_fitted.statistic == pytest.approx(check_variance(fit, fit.fitted()).statistic)


def test_a_variance_that_changes_is_found_and_one_that_does_not_is_not():
    rng = np.random.default_rng(8)
    n = 4000
    d = pd.DataFrame({"g": rng.integers(100, size=n), "x": rng.normal(size=n), "f": rng.choice(["a", "b"], n)})
    u = rng.normal(size=100)
    d["y"] = d["x"] + u[d["g"]] + rng.normal(size=n)
    even = lmer("y ~ x + (1 | g)", d)
    assert check_variance(even) and check_variance(even, "x") and check_variance(even, "f") and check_variance(even, "g")
    d["z"] = d["x"] + u[d["g"]] + rng.normal(size=n) * np.where(d["f"] == "a", 1.0, 1.4) * np.exp(0.2 * d["x"]) * (1 + (d["g"] < 30))
    uneven = lmer("z ~ x + (1 | g)", d)
    for by in ("x", "f", "g", d["f"].to_numpy()):
        assert not check_variance(uneven, by)
    frame = check_variance(uneven, "f").frame.set_index("level")
    assert frame.loc["b", "sd"] / frame.loc["a", "sd"] == pytest.approx(1.4, abs=0.1)


def test_prior_weights_standardize_the_residuals():
    rng = np.random.default_rng(9)
    n = 3000
    d = pd.DataFrame({"g": rng.integers(60, size=n), "w": rng.choice([0.25, 4.0], n)})
    d["y"] = rng.normal(size=60)[d["g"]] + rng.normal(size=n) / np.sqrt(d["w"])
    d["heavy"] = np.where(d["w"] > 1, "yes", "no")
    assert check_variance(lmer("y ~ 1 + (1 | g)", d, weights="w"), "heavy")
    assert not check_variance(lmer("y ~ 1 + (1 | g)", d), "heavy")


def test_crossed_factors_have_no_H():
    assert check_variance(fit_of("penicillin"), "plate").method.startswith("Levene")


@pytest.mark.parametrize("by, error, message", [
    ("klass", UnknownColumnError, "no column 'klass'"),
    ([1.0, 2.0], ArgumentError, "by has 2 values; expected 180"),
    (np.ones(180), ArgumentError, "by is constant"),
    (np.array(["a"] * 180), ArgumentError, r"1 level\(s\) of by have two residuals"),
])
def test_what_cannot_be_compared_is_refused(sleep_fit, by, error, message):
    with pytest.raises(error, match=message):
        check_variance(sleep_fit, by)


def test_rows_are_needed(sleep_fit):
    with pytest.raises(RowsNotKeptError, match="check_variance"):
        check_variance(pickle.loads(pickle.dumps(sleep_fit)))


# --- normality of the modes -----------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in CASES if "singular" not in name])
def test_the_modes_are_tested_as_performance_does(name):
    theirs = [p for part in REFERENCE[name]["levels"] for p in (part.get("shapiro") or [None] * len(part["rank"][0]))]
    ours = check_normality(fit_of(name), effects="random")
    expected = np.array([np.nan if p is None else p for p in theirs], dtype=float)
    np.testing.assert_allclose(ours.p, expected, rtol=AGAINST_R)
    assert bool(ours) == (not (expected < 0.05).any()) and len(str(ours).splitlines()) == len(expected)


def test_modes_are_named_as_performance_names_them(sleep_fit):
    found = check_normality(sleep_fit, effects="random")
    assert list(found.p.index) == ["Subject: (Intercept)", "Subject: Days"]
    assert str(found).splitlines()[0] == "OK: Random effects 'Subject: (Intercept)' appear as normally distributed (p = 0.428)."
    with pytest.raises(ArgumentError, match="use 'fixed' for the residuals or 'random'"):
        check_normality(sleep_fit, effects="modes")


def test_modes_without_variance_cannot_be_tested():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = check_normality(lmer("Yield ~ 1 + (1 | Batch)", datasets.load("Dyestuff2")), effects="random")
    assert found and np.isnan(found.p.iloc[0]) and "constant or too few" in str(found)


# --- replicates -----------------------------------------------------------------------------------


def test_replicates_come_from_the_seed_and_lie_beside_the_response(sleep_fit):
    found = check_predictions(sleep_fit, iterations=20, seed=3)
    frame = found.frame
    assert list(frame) == ["replicate", "x", "density"] and sorted(frame["replicate"].unique()) == list(range(21))
    for _, own in frame.groupby("replicate"):
        assert np.trapezoid(own["density"], own["x"]) == pytest.approx(1.0, abs=5e-3)
    simulated = found.simulated()
    assert list(simulated.columns) == [f"sim_{i}" for i in range(1, 21)] + ["y"] and simulated.index.equals(sleep_fit.fitted().index)
    pd.testing.assert_frame_equal(simulated, check_predictions(sleep_fit, iterations=20, seed=3).simulated())
    row = found.statistics.set_index("statistic").loc["sd"]
    sds = simulated.drop(columns="y").std()
    assert row["mean"] == pytest.approx(sds.mean()) and row["observed"] == pytest.approx(simulated["y"].std())
    assert row["upper"] == pytest.approx(np.quantile(sds, 0.975))
    np.testing.assert_allclose(frame.loc[frame["replicate"] == 4, "density"], kernel_density(simulated["sim_4"].to_numpy(), 256)[1])


def test_a_response_unlike_the_model_is_told():
    rng = np.random.default_rng(4)
    d = pd.DataFrame({"g": np.repeat(np.arange(40), 10)})
    u = rng.normal(size=40)[d["g"]]
    d["y"], d["skewed"] = u + rng.normal(size=400), u + rng.exponential(size=400) ** 2
    good = check_predictions(lmer("y ~ 1 + (1 | g)", d), seed=1)
    assert good and str(good).startswith("OK: mean, sd, skewness")
    poor = check_predictions(lmer("skewed ~ 1 + (1 | g)", d), seed=1)
    assert not poor and "skewness" in str(poor) and "simulated" in str(poor)


def test_new_random_effects_spread_the_replicates_means(sleep_fit):
    kept = check_predictions(sleep_fit, 40, seed=2).statistics.set_index("statistic").loc["mean"]
    new = check_predictions(sleep_fit, 40, seed=2, use_u=False).statistics.set_index("statistic").loc["mean"]
    assert new["upper"] - new["lower"] > 2.0 * (kept["upper"] - kept["lower"])


@pytest.mark.parametrize("how, message", [
    ({"iterations": 1}, "iterations = 1; expected a whole number, at least 2"), ({"points": 2.5}, "points = 2.5"),
])
def test_numbers_out_of_range_are_refused(sleep_fit, how, message):
    with pytest.raises(ArgumentError, match=message):
        check_predictions(sleep_fit, **how)


def test_the_density_is_the_sum_of_kernels():
    values = np.random.default_rng(6).gamma(2.0, size=500)
    x, density = kernel_density(values, 300)
    width = bandwidth(values)
    expected = stats.norm.pdf(x[:, None], values, width).mean(axis=1)
    np.testing.assert_allclose(density, expected, atol=1e-3 * expected.max())
    low, high = np.quantile(values, [0.25, 0.75])
    assert width == pytest.approx(0.9 * min(values.std(ddof=1), (high - low) / 1.34) * 500 ** -0.2)
