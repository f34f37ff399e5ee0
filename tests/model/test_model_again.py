"""Fitting again: update, refit, refitML, other starts and other optimizers."""

import numpy as np
import pandas as pd
import pytest
from some_models import crossed_slopes, fitted

from fastlmm_hlm import datasets, lmer, lmerControl
from fastlmm_hlm.errors import ArgumentError, DataError, FastlmmError, FormulaError, UnknownColumnError

SLEEP = "Reaction ~ Days + (Days | Subject)"
# The criterion is minimized to rounding; the derivative-free methods stop at a relative 1e-14.
SAME_MINIMUM = 1e-8
# Where the criterion is flat to rounding, theta is known to the root of that.
SAME_POINT = 1e-5


@pytest.fixture(scope="module")
def sleep():
    return datasets.load("sleepstudy")


# --- update -------------------------------------------------------------------


@pytest.mark.parametrize("change, whole", [
    (". ~ . + I(Days^2)", "Reaction ~ Days + I(Days^2) + (Days | Subject)"),
    (". ~ . - Days", "Reaction ~ 1 + (Days | Subject)"),
    (". ~ . - (Days | Subject) + (1 | Subject)", "Reaction ~ Days + (1 | Subject)"),
    ("log(.) ~ .", "log(Reaction) ~ Days + (Days | Subject)"),
    ("Days ~ Reaction + (1 | Subject)", "Days ~ Reaction + (1 | Subject)"),
])
def test_update_reads_the_dot_as_what_was_there(sleep_fit, sleep, change, whole):
    updated, fresh = sleep_fit.update(change), lmer(whole, sleep)
    assert updated.REMLcrit() == fresh.REMLcrit()
    pd.testing.assert_series_equal(updated.fixef(), fresh.fixef())


def test_update_changes_the_arguments_of_the_fit(sleep_fit, sleep):
    assert not sleep_fit.update(REML=False).isREML()
    assert sleep_fit.update(data=sleep.iloc[:100]).nobs == 100
    assert sleep_fit.update(subset="Days > 3").nobs == 108
    weighted = sleep_fit.update(weights=np.linspace(1, 2, 180))
    assert weighted.update(REML=False).weights().iloc[-1] == 2.0
    assert weighted.update(weights=None).REMLcrit() == sleep_fit.REMLcrit()
    assert sleep_fit.isREML() and sleep_fit.nobs == 180


def test_update_without_changes_is_the_same_fit(sleep_fit):
    assert sleep_fit.update().REMLcrit() == sleep_fit.REMLcrit()


def test_update_refuses_what_lmer_does_not_know(sleep_fit):
    with pytest.raises(ArgumentError, match="unknown argument.*junk.*REML, weights"):
        sleep_fit.update(junk=1)
    with pytest.raises(UnknownColumnError, match="'Dayz'.*Did you mean 'Days'"):
        sleep_fit.update(". ~ . + Dayz")
    with pytest.raises(FormulaError, match=r"\(1 \| Subject\) cannot be removed"):
        sleep_fit.update(". ~ . - (1 | Subject)")
    with pytest.raises(FormulaError, match="no random term"):
        sleep_fit.update(". ~ . - (Days | Subject)")


# --- refit ----------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::fastlmm_hlm.errors.SingularFitWarning")
def test_refit_to_the_same_response_is_the_same_fit(fit):
    again = fit.refit()
    reml = fit.isREML()
    assert again.deviance(REML=reml) == pytest.approx(fit.deviance(REML=reml), abs=SAME_MINIMUM)
    np.testing.assert_allclose(again.fixef(), fit.fixef(), rtol=SAME_POINT, atol=SAME_POINT)
    np.testing.assert_allclose(again.theta, fit.theta, rtol=SAME_POINT, atol=SAME_POINT)


@pytest.mark.parametrize("name, formula, arguments", [
    ("crossed slopes", "y ~ x * f + (x | g) + (1 | h)", {}),
    ("all at once", "y ~ poly(x, 2) + f + (0 + f | g) + (x | h)",
     {"weights": "w", "offset": "known", "subset": "z > -0.9", "REML": False}),
])
@pytest.mark.filterwarnings("ignore::fastlmm_hlm.errors.SingularFitWarning")
def test_refit_to_a_simulated_response_is_the_fit_to_data_with_that_response(name, formula, arguments):
    model, data = fitted(name), crossed_slopes()
    rng = np.random.default_rng(8)
    y = data["y"] + rng.normal(0, 2, len(data)) + rng.normal(0, 1, 17)[data["g"] - 100]
    again, fresh = model.refit(y), lmer(formula, data.assign(y=y), **arguments)
    reml = model.isREML()
    assert again.deviance(REML=reml) == pytest.approx(fresh.deviance(REML=reml), abs=1e-6)
    np.testing.assert_allclose(again.fixef(), fresh.fixef(), atol=1e-4)
    np.testing.assert_allclose(again.fitted(), fresh.fitted(), atol=1e-3)
    assert again.getME("offset").tolist() == fresh.getME("offset").tolist()


def test_refit_takes_one_number_per_row_of_the_fit_or_of_the_data(sleep):
    fit = lmer(SLEEP, sleep, subset="Days > 0")
    y = np.sqrt(sleep["Reaction"].to_numpy())
    kept = (sleep["Days"] > 0).to_numpy()
    assert fit.refit(y).REMLcrit() == fit.refit(y[kept]).REMLcrit() == fit.refit(pd.DataFrame({"y": y})).REMLcrit()


def test_refit_matches_a_series_to_the_rows_by_label(sleep_fit, sleep):
    y = np.sqrt(sleep["Reaction"])
    shuffled = y.sample(frac=1, random_state=3)
    assert sleep_fit.refit(shuffled).REMLcrit() == sleep_fit.refit(y).REMLcrit()


def test_refit_leaves_the_first_fit_alone(sleep_fit, sleep):
    before = str(sleep_fit.summary()), sleep_fit.ranef().condVar["Subject"].copy(), sleep_fit.getME("y").copy()
    sleep_fit.refit(np.sqrt(sleep["Reaction"])).ranef()
    assert str(sleep_fit.summary()) == before[0]
    np.testing.assert_array_equal(sleep_fit.ranef().condVar["Subject"], before[1])
    np.testing.assert_array_equal(sleep_fit.getME("y"), before[2])


@pytest.mark.parametrize("response, found", [
    ([1.0, 2.0, 3.0], r"\(3,\).*\(180,\)"),
    (3.0, r"\(\).*\(180,\)"),
    (np.ones((180, 2)), r"\(180, 2\).*\(180,\)"),
    (pd.DataFrame({"a": np.ones(180), "b": 1.0}), "2 columns"),
    (np.r_[np.nan, np.arange(179.0)], "row 0 is nan"),
    (np.r_[np.arange(179.0), np.inf], "row 179 is inf"),
    (["a"] * 180, "'a'.*number"),
    ("Days", "'Days'.*number"),
    (np.arange(180) + 1j, "complex"),
], ids=["short", "scalar", "two columns", "frame of two", "nan", "inf", "texts", "name", "complex"])
def test_refit_refuses_a_response_that_does_not_fit(sleep_fit, response, found):
    with pytest.raises(ArgumentError, match=f"(?s)refit: .*{found}"):
        sleep_fit.refit(response)


def test_refit_refuses_a_constant_response(sleep_fit):
    with pytest.raises(DataError, match="refit: the new response is constant"):
        sleep_fit.refit(np.full(180, 2.5))


def test_refit_after_dropped_columns_keeps_them_dropped(sleep):
    data = sleep.assign(twice=2 * sleep["Days"])
    with pytest.warns(match="rank deficient"):
        fit = lmer("Reaction ~ Days + twice + (1 | Subject)", data)
    again = fit.refit(np.sqrt(sleep["Reaction"]))
    fresh = lmer("sqrt(Reaction) ~ Days + (1 | Subject)", sleep)
    assert again.REMLcrit() == pytest.approx(fresh.REMLcrit(), abs=SAME_MINIMUM)
    assert list(again.fixef(add_dropped=True).index) == ["(Intercept)", "Days", "twice"]


# --- refitML --------------------------------------------------------------------


def test_refitML_is_the_fit_by_maximum_likelihood(sleep_fit, sleep):
    ml = sleep_fit.refitML()
    assert not ml.isREML()
    assert ml.deviance() == pytest.approx(lmer(SLEEP, sleep, REML=False).deviance(), rel=1e-14)
    assert ml.refitML().deviance() == ml.deviance()


# --- starts and optimizers --------------------------------------------------------


@pytest.mark.parametrize("start", [[1.0, 0.0, 1.0], [0.0, 0.0, 0.0], [5.0, -3.0, 0.1], [-1.0, 0.2, -0.3],
                                   {"theta": [0.1, 0.0, 2.0]}, {"par": np.array([1.0, 1.0, 1.0])}, [1e3, 0.0, 1e3]],
                         ids=str)
def test_every_start_leads_to_the_same_optimum(sleep_fit, sleep, start):
    fit = lmer(SLEEP, sleep, start=start)
    assert fit.REMLcrit() == pytest.approx(sleep_fit.REMLcrit(), abs=SAME_MINIMUM)
    np.testing.assert_allclose(fit.theta, sleep_fit.theta, atol=SAME_POINT)
    assert fit.optinfo["status"] == "converged"


@pytest.mark.parametrize("optimizer", ["newton", "bfgs", "bobyqa", "nelder_mead"])
@pytest.mark.parametrize("formula, name", [
    (SLEEP, "sleepstudy"), ("strength ~ 1 + (1 | batch/cask)", "Pastes"),
    ("diameter ~ 1 + (1 | plate) + (1 | sample)", "Penicillin"), ("Reaction ~ Days + (Days || Subject)", "sleepstudy"),
])
def test_all_optimizers_agree_wherever_they_start(optimizer, formula, name):
    data = datasets.load(name)
    best = lmer(formula, data)
    far = np.where(best.getME("lower") == 0, 2.5, 0.3)
    fit = lmer(formula, data, control=lmerControl(optimizer=optimizer), start=far)
    assert fit.REMLcrit() == pytest.approx(best.REMLcrit(), abs=SAME_MINIMUM)
    np.testing.assert_allclose(fit.theta, best.theta, atol=SAME_POINT * 10)
    assert fit.optinfo["optimizer"] == optimizer
    assert fit.optinfo["status"] == "converged"


@pytest.mark.parametrize("optimizer", ["newton", "bfgs", "bobyqa", "nelder_mead"])
def test_all_optimizers_find_a_variance_of_exactly_zero(optimizer):
    with pytest.warns(match="singular"):
        fit = lmer("Yield ~ 1 + (1 | Batch)", datasets.load("Dyestuff2"), control=lmerControl(optimizer=optimizer),
                   start=[1.0])
    assert fit.theta.tolist() == [0.0]
    assert fit.REMLcrit() == pytest.approx(161.828278, abs=1e-6)


def test_optinfo_tells_how_the_optimum_was_found(sleep):
    fit = lmer(SLEEP, sleep, start=[1.0, 0.0, 1.0])
    info = fit.optinfo
    assert info["optimizer"] == "newton" and info["status"] == "converged" and info["boundary"] == []
    assert info["gradient_norm"] < 1e-4 and info["min_eigenvalue"] > 0 and info["seconds"] > 0
    trace = pd.DataFrame(info["trace"])
    assert list(trace.columns) == ["evaluation", "criterion", "predicted_decrease", "step"]
    assert trace["criterion"].iloc[-1] == pytest.approx(fit.REMLcrit(), abs=1e-9)
    assert (np.diff(trace["criterion"]) <= 1e-9).all()
    assert info["evaluations"] >= len(trace) >= 3


def test_refit_then_refitML_keeps_the_new_response(sleep_fit, sleep):
    y = np.sqrt(sleep["Reaction"].to_numpy())
    ml = sleep_fit.refit(y).refitML()
    assert not ml.isREML()
    assert ml.deviance() == pytest.approx(lmer("sqrt(Reaction) ~ Days + (Days | Subject)", sleep, REML=False).deviance(),
                                          abs=SAME_MINIMUM)


def test_update_after_refit_does_not_return_to_the_old_response_in_silence(sleep_fit, sleep):
    y = np.sqrt(sleep["Reaction"].to_numpy())
    with pytest.raises(FastlmmError, match="refit"):
        sleep_fit.refit(y).update(". ~ . - Days")
    given = sleep_fit.refit(y).update(". ~ . - Days", data=sleep.assign(Reaction=y))
    assert given.REMLcrit() == pytest.approx(lmer("sqrt(Reaction) ~ 1 + (Days | Subject)", sleep).REMLcrit(),
                                             abs=SAME_MINIMUM)
