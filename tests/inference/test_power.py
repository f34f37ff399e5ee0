"""power_sim and power_curve: against R on the same responses, closed forms, and what they refuse."""

import json
import multiprocessing
import pathlib

import matplotlib
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from fastlmm_hlm import PBmodcomp, datasets, exactRLRT, fcompare, lmer, make_lmer, power_curve, power_sim, ranova
from fastlmm_hlm.design.restrict import linear_model_criterion
from fastlmm_hlm.errors import ArgumentError, UnknownColumnError, UnknownNameError
from fastlmm_hlm.inference.power import clopper_pearson
from fastlmm_hlm.inference.powerfits import linear_criteria
from fastlmm_hlm.inference.powertests import make_test
from fastlmm_hlm.inference.refits import Refitter
from fastlmm_hlm.inference.simulation import simulate_responses
from some_models import fitted

matplotlib.use("Agg")

STORED = json.loads((pathlib.Path(__file__).parent / "reference" / "power.json").read_text())
# p-values of lmerTest come from numerical derivatives and an optimum good to six digits or so.
AGAINST_R = 2e-5
# Both sides of one test here: two optima of the same criterion.
SAME_OPTIMUM = 1e-6
# A share of nsim replicates lies within four standard errors of its expectation.
MONTE_CARLO = 4.0


def groups(levels=20, rows=6):
    """A group-level predictor in balanced groups, and one within them."""
    g = np.repeat(np.arange(levels), rows)
    return pd.DataFrame({"g": g, "arm": (g % 2).astype(float), "time": np.tile(np.arange(rows) - (rows - 1) / 2, levels),
                         "f": np.tile(list("abc"), levels * rows // 3)})


def near(sim, expected):
    return abs(sim.power - expected) < MONTE_CARLO * np.sqrt(expected * (1 - expected) / sim.n)


@pytest.mark.parametrize("method", ["t", "kr", "z", "lr"])
def test_pvalues_are_those_of_R_on_the_same_responses(method):
    fit = fitted("slopes")
    p, warned, failed = make_test(fit, "Days", method).pvalues(np.array(STORED["y"]))
    np.testing.assert_allclose(p, [row[method] for row in STORED["p"]], rtol=AGAINST_R)
    assert not warned and not failed


@pytest.mark.parametrize("name, term", [("crossed slopes", "f"), ("crossed slopes", "x"), ("slopes", "Days"), ("all at once", "f")])
def test_pvalues_are_those_of_one_fit_at_a_time(name, term):
    fit = fitted(name)
    y = simulate_responses(fit, 3, seed=1)
    refits = [fit.refit(row) for row in y]
    single = term in fit.fixef().index
    t = make_test(fit, term).pvalues(y)[0]
    ours = [one.pvalues[term] if single else one.anova().loc[term, "Pr(>F)"] for one in refits]
    np.testing.assert_allclose(t, ours, rtol=1e-5, atol=1e-12)
    F = make_test(fit, term, "F").pvalues(y)[0]
    if not single:
        np.testing.assert_allclose(F, ours, rtol=1e-5, atol=1e-12)
    z = make_test(fit, term, "z").pvalues(y)[0]
    asymptotic = [one.contest(make_test(fit, term).hypothesis.L, ddf="lme4")["Pr(>F)"].iloc[0] for one in refits]
    np.testing.assert_allclose(z, asymptotic, rtol=SAME_OPTIMUM * 10, atol=1e-12)


def test_the_likelihood_ratio_leaves_the_columns_of_the_term_out():
    fit = fitted("crossed slopes")
    y = simulate_responses(fit, 3, seed=1)
    p = make_test(fit, "x:f", "lr").pvalues(y)[0]
    for row, ours in zip(y, p):
        one = fit.refit(row)
        smaller = one._submodel("y ~ x + f + (x | g) + (1 | h)")
        assert abs(one.anova(smaller)["Pr(>Chisq)"].iloc[1] - ours) < 1e-6
    q = make_test(fit, fcompare("~ x + f")).pvalues(y)[0]
    np.testing.assert_allclose(p, q, rtol=1e-5)
    whole = make_test(fit, fcompare("y ~ x + f + (x | g)")).pvalues(y)[0]
    assert (whole <= 1.0).all() and not np.allclose(whole, p)


@pytest.mark.parametrize("name, term", [("slopes", "Days in (Days | Subject)"), ("crossed slopes", "(1 | h)"), ("nested", "batch"),
                                        ("nested", "(1 | cask:batch)")])
def test_random_terms_are_tested_as_ranova_tests_them(name, term):
    fit = fitted(name)
    y = simulate_responses(fit, 3, seed=1)
    p = make_test(fit, f"random:{term}").pvalues(y)[0]
    label = term if term.startswith("(") or " in " in term else f"(1 | {term})"
    for row, ours in zip(y, p):
        assert abs(ranova(fit.refit(row)).loc[label, "Pr(>Chisq)"] - ours) < 1e-5


def test_a_whole_term_goes_when_its_group_is_named():
    fit = fitted("slopes")
    y = simulate_responses(fit, 3, seed=1)
    test = make_test(fit, "random:Subject")
    assert test.df == 3 and "(Days | Subject)" in test.predictor
    p = test.pvalues(y)[0]
    for row, ours in zip(y, p):
        assert abs(ranova(fit.refit(row), reduce_terms=False).iloc[1]["Pr(>Chisq)"] - ours) < 1e-8


def test_the_exact_test_is_exactRLRT_with_one_null_distribution():
    fit = make_lmer("y ~ time + (1 | g)", groups(8), fixef=[0, 0], VarCorr=0.4, sigma=1.0, seed=1)
    y = simulate_responses(fit, 5, seed=1)
    p = make_test(fit, "random", "exact", rng=np.random.default_rng(1)).pvalues(y)[0]
    for row, ours in zip(y, p):
        theirs = exactRLRT(fit.refit(row), seed=2, nsim=20_000).p_value
        assert abs(ours - theirs) < 5.0 * np.sqrt(max(theirs * (1 - theirs), 1e-3) * (1 / 10_000 + 1 / 20_000))


@pytest.mark.parametrize("reml", [True, False])
def test_criteria_without_random_effects_are_those_of_the_linear_model(reml):
    fit = fitted("weights and offset")
    y = simulate_responses(fit, 3, seed=1)
    refitter = Refitter(fit, reml=reml)
    responses = refitter.responses(y)
    for i, ours in enumerate(linear_criteria(refitter, responses)):
        theirs = linear_model_criterion(refitter.products_with(responses, i), reml)
        assert abs(ours - theirs) < 1e-8 * abs(theirs)


# --- power that is known ---------------------------------------------------------------


@pytest.mark.parametrize("method", ["t", "kr"])
@pytest.mark.parametrize("effect", [0.0, 0.8])
def test_power_between_balanced_groups_is_that_of_the_noncentral_t(method, effect):
    """Group means are independent with variance tau^2 + sigma^2 / rows: a t-test with levels - 2 degrees of freedom."""
    levels, rows = 20, 6
    model = make_lmer("y ~ arm + (1 | g)", groups(levels, rows), fixef=[1.0, effect], VarCorr=1.0, sigma=1.0, seed=1)
    sim = power_sim(model, "arm", nsim=1500 if method == "t" else 400, seed=2, method=method)
    se = np.sqrt((1.0 + 1.0 / rows) * 4.0 / levels)
    critical = stats.t.ppf(0.975, levels - 2)
    exact = stats.nct.sf(critical, levels - 2, effect / se) + stats.nct.cdf(-critical, levels - 2, effect / se)
    assert near(sim, exact)


@pytest.mark.parametrize("effect", [0.0, 0.11])
def test_power_within_balanced_groups_is_that_of_the_noncentral_t(effect):
    """A slope orthogonal to the groups: sigma^2 / sum of squares, rows - levels - 1 degrees of freedom."""
    levels, rows = 10, 6
    data = groups(levels, rows)
    model = make_lmer("y ~ time + (1 | g)", data, fixef=[1.0, effect], VarCorr=1.5, sigma=1.0, seed=1)
    df = levels * rows - levels - 1
    ncp = effect * np.sqrt((data["time"] ** 2).sum())
    critical = stats.t.ppf(0.975, df)
    exact = stats.nct.sf(critical, df, ncp) + stats.nct.cdf(-critical, df, ncp)
    assert near(power_sim(model, "time", nsim=1500, seed=3), exact)


def test_power_of_a_factor_within_balanced_groups_is_that_of_the_noncentral_F():
    levels, rows = 8, 6
    data = groups(levels, rows)
    model = make_lmer("y ~ f + (1 | g)", data, fixef=[1.0, 0.4, 0.7], VarCorr=1.5, sigma=1.0, seed=1)
    mean = np.array([0.0, 0.4, 0.7])
    ncp = levels * rows / 3 * ((mean - mean.mean()) ** 2).sum()
    df = levels * rows - levels - 2
    exact = stats.ncf.sf(stats.f.ppf(0.95, 2, df), 2, df, ncp)
    for method, nsim in (("F", 1000), ("kr", 300)):
        assert near(power_sim(model, "f", nsim=nsim, seed=3, method=method), exact)


def test_normal_quantiles_reject_too_often_by_as_much_as_they_must():
    levels = 10
    model = make_lmer("y ~ arm + (1 | g)", groups(levels, 6).query("abs(time) < 2"), fixef=[1.0, 0.0], VarCorr=2.0, sigma=1.0, seed=1)
    exact = 2.0 * stats.t.sf(stats.norm.ppf(0.975), levels - 2)
    assert near(power_sim(model, "arm", nsim=2000, seed=4, method="z"), exact)


def test_the_exact_test_of_a_variance_keeps_its_level():
    model = make_lmer("y ~ time + (1 | g)", groups(12), fixef=[0, 0], VarCorr=0.0, sigma=1.0, seed=1)
    assert near(power_sim(model, "random", nsim=2000, seed=4, method="exact"), 0.05)
    assert power_sim(model, "random", nsim=2000, seed=4).power < 0.04            # chi-squared is too strict on the boundary


# --- the objects -----------------------------------------------------------------------


def test_the_seed_alone_decides_whatever_the_processes():
    fit = fitted("slopes").with_parameters(fixef={"Days": 4.0})
    one = power_sim(fit, "Days", nsim=60, seed=7)
    two = power_sim(fit, "Days", nsim=60, seed=7, processes=2)
    np.testing.assert_allclose(one.pval, two.pval, rtol=1e-9)
    again = power_sim(fit, "Days", nsim=60, seed=one.seed)
    np.testing.assert_array_equal(one.pval, again.pval)
    assert not np.allclose(one.pval, power_sim(fit, "Days", nsim=60, seed=8).pval)


def _slope(fit):
    return fit.pvalues["Days"]


@pytest.mark.skipif("spawn" not in multiprocessing.get_all_start_methods(), reason="no spawn here")
def test_a_function_is_a_test_and_its_failures_are_counted():
    fit = fitted("slopes").with_parameters(fixef={"Days": 4.0})
    mine, named = power_sim(fit, _slope, nsim=30, seed=1), power_sim(fit, "Days", nsim=30, seed=1)
    np.testing.assert_allclose(mine.pval, named.pval, rtol=1e-5)

    def moody(one):
        if one.fixef()["Days"] > 4.0:
            raise ValueError("not today")
        return 0.01

    sim = power_sim(fit, moody, nsim=30, seed=1)
    assert 0 < sim.errors["not today"] < 30 and sim.n == 30
    assert sim.x == 30 - sim.errors["not today"]
    assert "error(s): not today" in str(sim)
    bad = power_sim(fit, lambda one: 3.0, nsim=4, seed=1)
    assert bad.x == 0 and sum(bad.errors.values()) == 4


def test_it_prints_as_simr_does():
    sim = power_sim(fitted("slopes").with_parameters(fixef={"Days": 3.0}), "Days", nsim=50, seed=1)
    lines = str(sim).splitlines()
    low, high = 100 * sim.confint()
    assert lines[0] == "Power for predictor 'Days', (95% confidence interval):"
    assert lines[1] == f"      {100 * sim.power:5.2f}% ({low:5.2f}, {high:5.2f})"
    assert lines[3:5] == ["Test: t-test with Satterthwaite degrees of freedom", "      Effect size for Days is 3"]
    assert lines[6:8] == ["Based on 50 simulations, (0 warnings, 0 errors)", "alpha = 0.05, nrow = 180"]
    frame = sim.summary()
    assert list(frame.columns) == ["successes", "trials", "mean", "lower", "upper"] and frame["trials"].iloc[0] == 50


@pytest.mark.parametrize("x, n", [(0, 20), (20, 20), (7, 30)])
def test_limits_are_clopper_and_pearsons(x, n):
    exact = stats.binomtest(x, n).proportion_ci(method="exact")
    np.testing.assert_allclose(clopper_pearson(x, n), [exact.low, exact.high], rtol=1e-10)


def test_a_curve_along_a_column_has_the_power_of_designs_of_each_size():
    model = make_lmer("y ~ arm + (1 | g)", groups(40), fixef=[1.0, 0.8], VarCorr=1.0, sigma=1.0, seed=1)
    curve = power_curve(model, "arm", along="g", breaks=[10, 20, 40], nsim=400, seed=5)
    frame = curve.to_frame()
    assert list(frame["nlevels"]) == [10, 20, 40] and list(frame["nrow"]) == [60, 120, 240] and list(frame["largest"]) == [9, 19, 39]
    for row in frame.itertuples():
        critical = stats.t.ppf(0.975, row.nlevels - 2)
        exact = stats.nct.sf(critical, row.nlevels - 2, 0.8 / np.sqrt((1 + 1 / 6) * 4 / row.nlevels))
        assert abs(row.mean - exact) < MONTE_CARLO * np.sqrt(exact * (1 - exact) / 400)
        np.testing.assert_allclose([row.lower, row.upper], clopper_pearson(row.successes, 400))
    text = str(curve).splitlines()
    assert text[1] == "by number of levels in g:" and text[2].startswith("     10: ") and text[2].endswith(" - 60 rows")


def test_a_curve_within_combinations_takes_their_first_rows():
    model = make_lmer("y ~ time + (1 | g)", groups(10), fixef=[1.0, 0.3], VarCorr=1.0, sigma=1.0, seed=1)
    frame = power_curve(model, "time", within="g", breaks=[3, 6], nsim=100, seed=5).to_frame()
    assert list(frame["nrow"]) == [30, 60] and frame["mean"].is_monotonic_increasing and frame["largest"].isna().all()


def test_sizes_without_a_model_are_told_and_have_no_power():
    model = make_lmer("y ~ arm + (1 | g)", groups(10), fixef=[1.0, 0.8], VarCorr=1.0, sigma=1.0, seed=1)
    curve = power_curve(model, "arm", along="g", breaks=[1, 10], nsim=20, seed=5)
    frame = curve.to_frame()
    assert frame["errors"].tolist() == [20, 0] and frame["mean"].iloc[0] == 0.0
    assert "1: power_curve: the grouping factor 'g' has 1 level" in str(curve)


def test_about_ten_sizes_by_default_and_a_picture_of_them():
    model = make_lmer("y ~ time + (1 | g)", groups(30), fixef=[1.0, 0.1], VarCorr=1.0, sigma=1.0, seed=1)
    curve = power_curve(model, along="g", nsim=20, seed=5)
    assert curve.nlevels == [3, 6, 9, 12, 15, 18, 21, 24, 27, 30]
    ax = curve.plot()
    assert ax.get_xlabel() == "number of levels in g" and "time" in ax.get_title(loc="left")
    np.testing.assert_allclose(ax.lines[1].get_ydata(), 100 * curve.to_frame()["mean"])
    matplotlib.pyplot.close(ax.figure)


def test_a_progress_bar_counts_the_replicates(capsys):
    fit = fitted("slopes")
    power_sim(fit, "Days", nsim=12, seed=1, progress=True)
    assert "12/12" in capsys.readouterr().err
    power_curve(fit, "Days", along="Subject", breaks=[6, 12], nsim=5, seed=1, progress=True)
    assert "10/10" in capsys.readouterr().err


@pytest.mark.parametrize("arguments, kind, words", [
    ({"test": "day"}, UnknownNameError, "no fixed effect is called 'day'; there are Days, (Intercept)"),
    ({"test": "Days", "method": "wald"}, ArgumentError, "method = 'wald' is unknown"),
    ({"test": "random:Days"}, UnknownNameError, "no random term is called 'Days'"),
    ({"test": "random:Subject", "method": "t"}, ArgumentError, "use 'lr' or 'exact'"),
    ({"test": "random:Subject", "method": "exact"}, ArgumentError, "expected one variance"),
    ({"test": fcompare("~ Days")}, ArgumentError, "nothing to test"),
    ({"test": 3}, ArgumentError, "test = 3"),
    ({"nsim": 0}, ArgumentError, "nsim = 0"),
    ({"alpha": 1.5}, ArgumentError, "alpha = 1.5"),
    ({"test": _slope, "method": "t"}, ArgumentError, "not with a function"),
])
def test_what_cannot_be_tested_is_refused(arguments, kind, words):
    with pytest.raises(kind) as error:
        power_sim(fitted("slopes"), **{"nsim": 5, **arguments})
    assert words in str(error.value)


def test_sizes_out_of_range_are_refused():
    fit = fitted("slopes")
    for arguments, words in (({}, "give along="), ({"along": "Subject", "breaks": [19]}, "from 1 to 18"),
                             ({"along": "Subject", "breaks": [2.5]}, "whole numbers")):
        with pytest.raises(ArgumentError, match=words):
            power_curve(fit, "Days", nsim=5, **arguments)
    with pytest.raises(UnknownColumnError, match="along names 'School'"):
        power_curve(fit, "Days", along="School", nsim=5)
    with pytest.raises(ArgumentError, match="no fixed term beside the intercept"):
        power_sim(lmer("Yield ~ 1 + (1 | Batch)", datasets.load("Dyestuff")), nsim=5)


def test_the_null_is_kept_by_a_bootstrap_of_the_same_comparison():
    """Likelihood ratios of 18 subjects reject too often; the share is that of PBmodcomp's reference values."""
    fit = fitted("slopes").with_parameters(fixef={"Days": 0.0})
    sim = power_sim(fit, "Days", nsim=1500, seed=1, method="lr")
    one = fit.refit(simulate_responses(fit, 1, seed=3)[0])
    reference = PBmodcomp(one, ". ~ . - Days", nsim=1500, seed=2).ref
    share = (reference > stats.chi2.ppf(0.95, 1)).mean()
    assert abs(sim.power - share) < MONTE_CARLO * np.sqrt(2 * share * (1 - share) / 1500) + 0.01
