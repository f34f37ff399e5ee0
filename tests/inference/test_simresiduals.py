"""Simulated residuals: ranks by definition, statistics by definition, calibration, misfits that are found."""

import matplotlib
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from fastlmm_hlm import datasets, lmer, simulate_residuals
from fastlmm_hlm.errors import ArgumentError, UnknownColumnError
from fastlmm_hlm.inference import simranks, simresiduals, simtests
from fastlmm_hlm.inference.simulation import simulate_responses
from some_models import fitted

matplotlib.use("Agg")

# The calibration of these many fits, seeded; a p-value of Kolmogorov's test below this would be a miss.
FITS, UNLIKELY = 120, 0.01


def made(rng, kind="right", levels=20, rows=6):
    """One data set of a random-intercept model, or of one that is something else."""
    n = levels * rows
    g, x = np.repeat(np.arange(levels), rows), rng.uniform(-1, 1, n)
    e = rng.normal(size=n)
    if kind == "heteroscedastic":
        e = e * np.exp(1.2 * x)
    if kind == "heavy tails":
        e = rng.standard_t(2, n)
    if kind == "correlated in time":
        z = rng.normal(size=(levels, rows))
        for k in range(1, rows):
            z[:, k] = 0.8 * z[:, k - 1] + 0.6 * z[:, k]
        e = z.ravel()
    h = g % 3
    if kind == "spread by factor":
        e = e * np.array([0.4, 1.0, 2.2])[np.tile([0, 1, 2], n // 3)]
        h = np.tile([0, 1, 2], n // 3)
    y = 1 + x + 2 * x**2 * (kind == "quadratic") + rng.normal(size=levels)[g] + e
    return pd.DataFrame({"y": y, "x": x, "g": g, "t": np.tile(np.arange(rows), levels), "h": h})


@pytest.mark.parametrize("name", ["slopes", "crossed slopes", "weights and offset", "nested"])
@pytest.mark.parametrize("use_u", [False, True])
def test_residuals_are_ranks_among_what_simulate_gives(name, use_u):
    fit = fitted(name)
    residuals = simulate_residuals(fit, nsim=39, seed=4, use_u=use_u, keep_simulations=True)
    sims = simulate_responses(fit, 39, seed=4, use_u=use_u)
    np.testing.assert_allclose(residuals.simulations.to_numpy().T, sims, rtol=1e-12)
    below = (sims < fit._rows.design.y).sum(axis=0)
    np.testing.assert_array_equal(residuals._ranks.rank, below)
    inside = residuals.scaled.to_numpy() * 40 - below
    assert (inside >= 0).all() and (inside < 1).all()
    assert residuals.scaled.index.equals(fit.fitted().index)


def test_refitted_residuals_are_those_of_each_fit():
    fit = fitted("weights and offset")
    residuals = simulate_residuals(fit, nsim=9, seed=4, refit=True, keep_simulations=True)
    for y, ours in zip(simulate_responses(fit, 9, seed=4), residuals.simulations.to_numpy().T):
        np.testing.assert_allclose(ours, fit.refit(y).residuals("pearson", scaled=True), rtol=1e-5, atol=1e-7)
    own = fit.residuals("pearson", scaled=True).to_numpy()
    np.testing.assert_array_equal(residuals._ranks.rank, (residuals.simulations.to_numpy().T < own).sum(axis=0))


def test_blocks_of_rows_change_nothing(monkeypatch):
    fit = fitted("crossed slopes")
    whole = simulate_residuals(fit, nsim=19, seed=4)
    monkeypatch.setattr(simranks, "AT_A_TIME", 20 * 37)
    parts = simulate_residuals(fit, nsim=19, seed=4)
    np.testing.assert_array_equal(whole._ranks.ranks, parts._ranks.ranks)
    np.testing.assert_allclose(whole.scaled, parts.scaled)
    np.testing.assert_allclose(whole._ranks.squares, parts._ranks.squares)


def test_many_rows_have_all_their_residuals_and_tests_of_some(monkeypatch):
    fit = fitted("crossed slopes")
    whole = simulate_residuals(fit, nsim=19, seed=4)
    monkeypatch.setattr(simresiduals, "MOST_ROWS", 100)
    some = simulate_residuals(fit, nsim=19, seed=4)
    np.testing.assert_allclose(whole.scaled, some.scaled)
    assert some._ranks.ranks.shape == (20, 100)
    np.testing.assert_array_equal(some._ranks.ranks, whole._ranks.ranks[:, some._ranks.kept])
    with pytest.raises(ArgumentError, match="kept up to 100"):
        some.test_temporal(np.arange(260))


def test_ties_are_broken_at_random_and_evenly():
    rng = np.random.default_rng(1)
    values = np.tile([1.0, 1.0, 0.0, 1.0], (4000, 1))
    ranks = simranks.ranked(values, rng)
    assert (ranks[:, 2] == 0).all() and (np.sort(ranks, axis=1) == np.arange(4)).all()
    assert stats.chisquare(np.bincount(ranks[:, 0], minlength=4)[1:]).pvalue > 1e-3


def test_statistics_are_those_of_the_definitions():
    fit = fitted("crossed slopes")
    residuals = simulate_residuals(fit, nsim=49, seed=3, keep_simulations=True)
    u, sims, y = residuals.scaled.to_numpy(), residuals.simulations.to_numpy().T, fit._rows.design.y
    uniform = residuals.test_uniformity()
    ks = stats.kstest(u, "uniform")
    assert (uniform.statistic, uniform.p_asymptotic) == (ks.statistic, ks.pvalue)
    whole = np.vstack([y, sims])
    z2 = ((whole - whole.mean(axis=0)) / whole.std(axis=0)) ** 2
    assert abs(residuals.test_dispersion().ratio - z2[0].sum() / z2[1:].sum(axis=1).mean()) < 1e-10
    out = residuals.test_outliers()
    beyond = (y < sims.min(axis=0)) | (y > sims.max(axis=0))
    assert out.count == beyond.sum() and out.rows == list(residuals.scaled.index[beyond])
    assert out.p_binomial == stats.binomtest(int(beyond.sum()), len(y), 2 / 50).pvalue
    r = residuals._ranks.rank
    f = fit._settings.data["f"].to_numpy()
    levels = residuals.test_categorical("f")
    deviations = [np.abs(r[f == k] - np.sort(r[f == k])[(np.sum(f == k) - 1) // 2]) for k in ("high", "low", "mid")]
    assert abs(levels.statistic - stats.f_oneway(*deviations).statistic) < 1e-8
    time = np.random.default_rng(1).permutation(len(y))
    e = (r - 24.5)[np.argsort(time)]
    assert abs(residuals.test_temporal(time).statistic - (np.diff(e) ** 2).sum() / (e**2).sum() * len(y) / (len(y) - 1)) < 1e-5


def test_the_statistic_of_quantiles_is_the_gradient_of_quantile_regression():
    fit = fitted("crossed slopes")
    residuals = simulate_residuals(fit, nsim=49, seed=3)
    x = fit._settings.data["x"].to_numpy()
    found = residuals.test_quantiles("x", quantiles=[0.5])
    rank = stats.rankdata(x)
    Z = np.polynomial.legendre.legvander(2 * (rank - rank.min()) / np.ptp(rank) - 1, 3)
    Q = np.linalg.qr(Z)[0][:, 1:]
    below = residuals._ranks.rank < 25
    assert abs(found.statistic - ((0.5 - below) @ Q @ Q.T @ (0.5 - below)) / 0.25) < 1e-8
    assert found.p == found.p_values[0.5]


def test_groups_are_ranked_by_their_sums():
    fit = fitted("slopes")
    residuals = simulate_residuals(fit, nsim=29, seed=3)
    grouped = residuals.recalculate("Subject")
    codes = pd.factorize(fit._settings.data["Subject"], sort=True)[0]
    sims = simulate_responses(fit, 29, seed=3)
    sums = np.array([np.bincount(codes, weights=row) for row in np.vstack([fit._rows.design.y, sims])])
    np.testing.assert_array_equal(grouped._ranks.rank, (sums[1:] < sums[0]).sum(axis=0))
    assert list(grouped.scaled.index) == sorted(fit._settings.data["Subject"].unique()) and len(grouped) == 18
    means = residuals.recalculate("Subject", aggregate="mean")
    np.testing.assert_array_equal(means._ranks.rank, grouped._ranks.rank)          # balanced
    direct = simulate_residuals(fit, nsim=29, seed=3, group="Subject")
    np.testing.assert_allclose(direct.scaled, grouped.scaled)
    assert 0 < grouped.test_uniformity().p <= 1


# --- size and power ------------------------------------------------------------------


def randomized(values, alternative, rng):
    """The Monte-Carlo p-value with ties broken at random: uniform, where the other is only not too small."""
    above = ((values[1:] > values[0]).sum() + rng.random() * ((values[1:] == values[0]).sum() + 1)) / len(values)
    return above if alternative == "greater" else 2 * min(above, 1 - above)


@pytest.mark.slow
def test_under_the_right_model_pvalues_are_uniform(monkeypatch):
    rng, p = np.random.default_rng(5), {}
    monkeypatch.setattr(simtests, "share", lambda values, alternative="greater": randomized(np.asarray(values), alternative, rng))
    for k in range(FITS):
        residuals = simulate_residuals(lmer("y ~ x + (1 | g)", made(rng)), nsim=79, seed=k, refit=True)
        levels = residuals.test_categorical("h")
        for name, value in (("uniformity", residuals.test_uniformity().p), ("dispersion", residuals.test_dispersion().p),
                            ("outliers", residuals.test_outliers().p), ("quantiles", residuals.test_quantiles().p),
                            ("levels", levels.p_uniformity), ("spread", levels.p_homogeneity),
                            ("time", residuals.test_temporal("t", by="g").p)):
            p.setdefault(name, []).append(value)
    for name, values in p.items():
        assert stats.kstest(values, "uniform").pvalue > UNLIKELY, name


def test_without_refits_the_right_model_is_hardly_ever_rejected():
    rng = np.random.default_rng(6)
    rejected = np.zeros(4)
    for k in range(40):
        residuals = simulate_residuals(lmer("y ~ x + (1 | g)", made(rng)), nsim=79, seed=k)
        tests = (residuals.test_uniformity(), residuals.test_dispersion(), residuals.test_outliers(), residuals.test_quantiles())
        rejected += [test.p < 0.05 for test in tests]
    assert (rejected <= stats.binom.ppf(0.9999, 40, 0.05)).all()


@pytest.mark.parametrize("kind, test, refit", [
    ("quadratic", lambda r: r.test_quantiles(), False),
    ("quadratic", lambda r: r.test_quantiles(), True),
    ("heteroscedastic", lambda r: r.test_quantiles(), False),
    ("heteroscedastic", lambda r: r.test_quantiles(), True),
    ("heavy tails", lambda r: r.test_uniformity(), True),
    ("correlated in time", lambda r: r.test_temporal("t", by="g"), True),
    ("spread by factor", lambda r: r.test_categorical("h"), True),
], ids=lambda value: value if isinstance(value, str) else "" if callable(value) else f"refit={value}")
def test_misfits_are_found(kind, test, refit):
    rng = np.random.default_rng(8)
    levels = 40 if refit else 120          # without refits there is less power
    p = [test(simulate_residuals(lmer("y ~ x + (1 | g)", made(rng, kind, levels)), nsim=99, seed=k, refit=refit)).p for k in range(5)]
    assert np.median(p) <= 0.02 and max(p) < 0.2


# --- what it shows and refuses -------------------------------------------------------


def test_results_print_as_sentences():
    residuals = simulate_residuals(fitted("slopes"), nsim=49, seed=1)
    text = str(residuals)
    assert text.startswith("Simulated residuals of Reaction ~ Days + (Days | Subject)\n180 residuals, 49 simulations, not refitted")
    assert "OK: residuals appear as uniform (p " in text and "observations outside all simulations" in text
    assert str(residuals.test_temporal("Days", by="Subject")).startswith(("OK: ", "Warning: "))


def test_the_seed_decides():
    fit = fitted("slopes")
    one, two = (simulate_residuals(fit, nsim=19, seed=2) for _ in range(2))
    pd.testing.assert_series_equal(one.scaled, two.scaled)
    assert not np.allclose(one.scaled, simulate_residuals(fit, nsim=19, seed=3).scaled)


@pytest.mark.parametrize("rows", [6, 400])
def test_pictures_show_residuals_and_moving_quantiles(rows):
    data = made(np.random.default_rng(3), levels=20, rows=rows)
    residuals = simulate_residuals(lmer("y ~ x + (1 | g)", data), nsim=49, seed=1)
    axes = residuals.plot()
    frame, curves = residuals.plot_data()
    assert len(frame) == len(data) and set(curves["tau"]) == {0.25, 0.5, 0.75}
    assert ((curves["lower"] <= curves["upper"]) & curves["x"].between(0, 1)).all()
    assert "KS test: p" in axes[0].texts[0].get_text() and "p = " in axes[1].get_title(loc="left")
    matplotlib.pyplot.close(axes[0].figure)


def test_a_model_with_an_intercept_alone_is_shown_without_the_test_of_quantiles():
    residuals = simulate_residuals(lmer("Yield ~ 1 + (1 | Batch)", datasets.load("Dyestuff")), nsim=29, seed=1)
    with pytest.raises(ArgumentError, match="same value in all rows"):
        residuals.test_quantiles()
    assert "quantiles" not in str(residuals)
    axes = residuals.plot()
    matplotlib.pyplot.close(axes[0].figure)


def test_rows_left_out_are_missing_where_the_fit_keeps_them():
    data = datasets.load("sleepstudy").astype({"Reaction": float})
    data.loc[3, "Reaction"] = np.nan
    fit = lmer("Reaction ~ Days + (1 | Subject)", data, na_action="exclude")
    residuals = simulate_residuals(fit, nsim=19, seed=1)
    assert len(residuals.scaled) == 180 and residuals.scaled.isna().sum() == 1
    assert residuals.test_categorical("Subject").levels["n"].sum() == 179


@pytest.mark.parametrize("call, kind, words", [
    (lambda fit: simulate_residuals(fit, nsim=1), ArgumentError, "nsim = 1"),
    (lambda fit: simulate_residuals(fit, nsim=9).test_categorical("Subj"), UnknownColumnError, "Subj"),
    (lambda fit: simulate_residuals(fit, nsim=9).test_temporal("Days"), ArgumentError, "more than once. Give by="),
    (lambda fit: simulate_residuals(fit, nsim=9, use_u=True).test_temporal("Days", by="Subject"), ArgumentError, "refit=True"),
    (lambda fit: simulate_residuals(fit, nsim=9).test_dispersion("more"), ArgumentError, "alternative = 'more'"),
    (lambda fit: simulate_residuals(fit, nsim=9).test_quantiles(quantiles=[0, 1]), ArgumentError, "between 0 and 1"),
    (lambda fit: simulate_residuals(fit, nsim=9).test_quantiles(np.arange(5)), ArgumentError, "expected one per residual"),
    (lambda fit: simulate_residuals(fit, nsim=9).test_categorical(np.ones(180)), ArgumentError, "at least 2 levels"),
    (lambda fit: simulate_residuals(fit, nsim=9).recalculate("Subject").recalculate("Days"), ArgumentError, "of groups already"),
    (lambda fit: simulate_residuals(fit, nsim=9, group="Subject").recalculate("Subject", "max"), ArgumentError, "aggregate = 'max'"),
    (lambda fit: simulate_residuals("no fit"), ArgumentError, "expected a fitted model"),
])
def test_what_makes_no_sense_is_refused(call, kind, words):
    with pytest.raises(kind) as error:
        call(fitted("slopes"))
    assert words in str(error.value)
