"""anova, drop1, ranova, step, PBmodcomp and the exact tests against stored answers of R."""

import json
import pathlib
import warnings

import numpy as np
import pandas as pd
import pytest
from comparison_cases import CASES

from fastlmm_hlm import (
    KRmodcomp,
    PBmodcomp,
    SATmodcomp,
    anova,
    datasets,
    drop1,
    exactLRT,
    exactRLRT,
    lmer,
    ranova,
    step,
)
from fastlmm_hlm.errors import FastlmmWarning, SingularFitWarning
from fastlmm_hlm.inference.rlrt import _projected
from fastlmm_hlm.inference.spectral import merged, simulated_statistics, spectrum_of_residuals

R = json.loads((pathlib.Path(__file__).parent / "reference" / "comparison.json").read_text())
# Criteria of lme4 with a tight optimizer: the largest difference found is 3e-8.
CRITERION = 1e-6
# Sums of squares and degrees of freedom of lmerTest rest on numerical derivatives.
BY_DIFFERENCES = 2e-4
# lme4 drops the minus of "- 1" when a formula has no other fixed term, and tests against an intercept;
# it writes || out inside parentheses.
OTHER_MODEL = {"machines_no_intercept"}
OTHER_TEXT = {"sleep_uncorrelated"}
# The sum of squares is 168.35 to fifteen digits, and R's last bit rounds it up.
TIES = {"oats": ("168.3 ", "168.4 ")}


def fit_of(case_id):
    case = CASES[case_id]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SingularFitWarning)
        return lmer(case.formula, case.frame(), **case.arguments())


def stored(table):
    values = [[np.nan if word in (None, "NA") else float(word) for word in row] for row in table["values"]]
    rows = table["rows"] if isinstance(table["rows"], list) else [table["rows"]]
    return pd.DataFrame(np.array(values).reshape(len(rows), len(table["columns"])), index=rows, columns=table["columns"])


def assert_same(ours, table, rtol, atol):
    theirs = stored(table)
    assert list(ours.index) == list(theirs.index)
    assert list(ours.columns) == list(theirs.columns)
    np.testing.assert_allclose(ours.to_numpy(dtype=float), theirs.to_numpy(), rtol=rtol, atol=atol)


@pytest.mark.parametrize("case_id", list(CASES))
def test_criteria_are_those_of_lme4(case_id):
    fit, theirs = fit_of(case_id), R["cases"][case_id]
    assert -2 * float(fit.logLik()) == pytest.approx(theirs["criterion"], abs=CRITERION)
    assert fit.refitML().deviance() == pytest.approx(theirs["ml"], abs=CRITERION)


@pytest.mark.parametrize("case_id", [i for i in CASES if "drop1" in R["cases"][i] and i not in OTHER_MODEL])
def test_drop1_is_that_of_lme4(case_id):
    fit, theirs = fit_of(case_id), R["cases"][case_id]
    made = drop1(fit)
    assert_same(made, theirs["drop1"], 0, CRITERION)
    if case_id not in OTHER_TEXT:
        assert str(made) == theirs["drop1"]["text"]
        assert str(drop1(fit, test="none")) == theirs["drop1_none"]


@pytest.mark.parametrize("case_id", list(CASES))
@pytest.mark.parametrize("whole", [False, True])
def test_ranova_is_that_of_lmertest(case_id, whole):
    made = ranova(fit_of(case_id), reduce_terms=not whole)
    theirs = R["cases"][case_id]["ranova_whole" if whole else "ranova"]
    assert_same(made, theirs, 0, CRITERION)
    assert str(made) == theirs["text"]


@pytest.mark.parametrize("case_id", [i for i in CASES if "step" in R["cases"][i]])
def test_step_is_that_of_lmertest(case_id):
    made, theirs = step(fit_of(case_id)), R["cases"][case_id]["step"]
    assert_same(made.random, theirs["random"], 0, CRITERION)
    assert_same(made.fixed, theirs["fixed"], BY_DIFFERENCES, BY_DIFFERENCES)
    if case_id not in OTHER_TEXT:
        assert str(made).replace(*TIES.get(case_id, ("", ""))) == theirs["text"]


def sleep_fits():
    data = datasets.load("sleepstudy")
    data.attrs["name"] = "sleepstudy"
    formulas = {"fm0": "1 + (Days | Subject)", "fm1": "Days + (Days | Subject)", "fm2": "Days + (1 | Subject)",
                "fm3": "Days + I(Days^2) + (1 | Subject)"}
    return {name: lmer(f"Reaction ~ {right}", data) for name, right in formulas.items()}


def test_anova_of_several_models_prints_as_lme4():
    fits = sleep_fits()
    fm0, fm1, fm2, fm3 = fits.values()
    made = anova(fm1, fm0, fm2, fm3)
    assert_same(made, R["anovas"]["refitted"], 0, CRITERION)
    # lme4 says so in a message, and compares four ML fits in the stored table
    assert str(made) == "refitting model(s) with ML (instead of REML)\n" + R["anovas"]["refitted"]["text"]
    made = anova(fm1, fm2, refit=False)
    assert_same(made, R["anovas"]["not_refitted"], 0, CRITERION)
    assert str(made) == R["anovas"]["not_refitted"]["text"]
    same = anova(fm1.refitML(), fm1.refitML(), model_names=["a", "b"])
    assert str(same) == R["anovas"]["same"]["text"]


def test_f_tests_of_two_models_are_those_of_pbkrtest():
    fits = sleep_fits()
    kr, sat = KRmodcomp(fits["fm1"], fits["fm0"]), SATmodcomp(fits["fm1"], [0, 1])
    assert_same(kr, R["tests"]["KR"], 1e-6, 1e-9)
    assert str(kr) == R["tests"]["KR_text"].partition("\n")[2]        # the first line has the time
    # R heads a matrix without names with a line of blanks
    assert str(sat) == R["tests"]["SAT_text"].replace("    \n", "", 1)


# --- simulated distributions -------------------------------------------------------

LEVELS = np.array(R["levels"])


def assert_quantiles(sample, theirs, draws):
    """Quantiles of two samples: shares of our sample below theirs, within five standard errors."""
    shares = np.array([(sample <= quantile).mean() for quantile in theirs])
    se = np.sqrt(LEVELS * (1 - LEVELS) * (1 / len(sample) + 1 / draws))
    assert (np.abs(shares - LEVELS)[np.array(theirs) > 0] <= 5 * se[np.array(theirs) > 0]).all()


@pytest.mark.parametrize("case_id", [i for i in CASES if R["cases"][i].get("exact")])
def test_exact_null_distributions_are_those_of_rlrsim(case_id):
    theirs, nsim = R["cases"][case_id]["exact"], 40_000
    fit = fit_of(case_id)
    products = fit._products
    n, p = products.n, products.p
    mu, counts = spectrum_of_residuals(*_projected(products))
    xi, xi_counts = merged(*np.unique(products.ZtWZ[0].ravel(), return_counts=True))
    restricted = simulated_statistics(mu, counts, mu, counts, n - p, n - p, np.random.default_rng(5), nsim)
    full = simulated_statistics(mu, counts, xi, xi_counts, n, n - p, np.random.default_rng(6), nsim)
    assert_quantiles(restricted, theirs["RLRT"], R["draws"])
    assert_quantiles(full, theirs["LRT"], R["draws"])
    for sample, share in zip((restricted, full), theirs["zero"]):
        assert (sample < 1e-8).mean() == pytest.approx(share, abs=5 * np.sqrt(0.25 * (1 / nsim + 1 / R["draws"])))
    if theirs["observed"]:
        for test, name in ((exactRLRT, "RLRT"), (exactLRT, "LRT")):
            made, p = test(fit, nsim=nsim, seed=2), theirs["observed"][f"{name}_p"]
            assert made.statistic == pytest.approx(theirs["observed"][name], abs=1e-5)
            assert made.p_value == pytest.approx(p, abs=5 * np.sqrt(max(p, 1e-4) * (1 / nsim + 1 / R["draws"])))


def test_the_exact_test_of_one_of_two_variances_has_the_statistic_of_rlrsim():
    data = datasets.load("sleepstudy")
    both = lmer("Reaction ~ Days + (1 | Subject) + (0 + Days | Subject)", data)
    made = exactRLRT(lmer("Reaction ~ Days + (0 + Days | Subject)", data), both, lmer("Reaction ~ Days + (1 | Subject)", data),
                     nsim=1000, seed=1)
    assert made.statistic == pytest.approx(R["tests"]["three"], abs=1e-5)


def test_the_exact_test_prints_as_rlrsim_but_for_a_p_value_of_zero():
    made = exactRLRT(sleep_fits()["fm2"], nsim=2000, seed=1)
    assert str(made) == R["tests"]["exact_text"].replace("p-value < 2.2e-16", "p-value < 0.0005")


@pytest.mark.parametrize("case_id", [i for i in CASES if R["cases"][i].get("bootstrap")])
def test_the_parametric_bootstrap_agrees_with_pbkrtest(case_id):
    theirs, nsim = R["cases"][case_id]["bootstrap"], 1000
    fit = fit_of(case_id)
    made = PBmodcomp(fit, f". ~ . - {theirs['dropped']}", nsim=nsim, seed=3)
    stat, df, p = np.array(theirs["test"][0], dtype=float)
    assert made.test.loc["LRT"].to_numpy() == pytest.approx([stat, df, p], abs=CRITERION)
    assert made.failed == 0 and len(made.ref) == nsim
    assert_quantiles(made.ref, theirs["quantiles"], R["nsim"])
    mean, variance = theirs["moments"]
    assert made.ref.mean() == pytest.approx(mean, abs=5 * np.sqrt(2 * variance / nsim))
    p = theirs["few"]["p"]
    assert made.test.loc["PBtest", "p.value"] == pytest.approx(p, abs=5 * np.sqrt(p * (1 - p) * 2 / nsim))


@pytest.mark.parametrize("case_id", [i for i in CASES if R["cases"][i].get("bootstrap")])
def test_the_tables_of_the_bootstrap_are_those_of_pbkrtest_for_its_own_sample(case_id):
    import dataclasses

    theirs = R["cases"][case_id]["bootstrap"]
    fit = fit_of(case_id)
    made = PBmodcomp(fit, f". ~ . - {theirs['dropped']}", nsim=2, seed=3)
    ref, test = np.array(theirs["few"]["ref"]), made.test.copy()
    test.loc["PBtest", "p.value"] = theirs["few"]["p"]
    test["stat"] = theirs["test"][0][0]
    known = dataclasses.replace(made, ref=ref, test=test, nsim=len(ref), extremes=int((ref > test["stat"].iloc[0]).sum()))
    numbers = np.array([[np.nan if word in (None, "NA") else float(word) for word in row] for row in theirs["summary"]])
    table = known.summary()
    np.testing.assert_allclose(table.to_numpy(dtype=float)[:4], numbers[:4], rtol=1e-6)
    assert str(known).splitlines()[1:] == theirs["text"].splitlines()[1:]      # the first line has the time
    # pbkrtest's F has the mean of the statistics, which is the one of the help page when df is 1
    stat, df, ddf, _ = table.loc["F"]
    assert stat == pytest.approx(numbers[4, 0], rel=1e-6)
    assert ddf / (ddf - 2) == pytest.approx(ref.mean() / df, rel=1e-9)
    table.loc["F"] = numbers[4]
    assert str(table).splitlines()[1:] == theirs["summary_text"].rstrip("\n").splitlines()[1:]


def test_reml_and_ml_fits_are_not_compared_in_silence():
    fits = sleep_fits()
    with pytest.warns(FastlmmWarning, match="some models fit with REML = TRUE, some not"):
        anova(fits["fm1"], fits["fm2"].refitML(), refit=False)
