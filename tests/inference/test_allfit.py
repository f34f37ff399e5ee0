"""allFit: every optimizer finds the optimum, and what differs is told."""

import pickle

import numpy as np
import pandas as pd
import pytest
from some_models import MODELS, fitted

from fastlmm_hlm import allFit, lmerControl, summary
from fastlmm_hlm.errors import ArgumentError, ConvergenceError, ConvergenceWarning
from fastlmm_hlm.inference import allfit
from fastlmm_hlm.optimize.control import OPTIMIZERS

# Derivative-free methods stop at a relative change of 1e-14 of the criterion, so the criterion is good to about
# 1e-8 and theta to its root.
SAME_CRITERION, SAME_THETA = 1e-6, 1e-3


# The many covariance parameters of "all at once" take the methods without a gradient thousands of evaluations.
ONE_BY_ONE = [pytest.param(name, marks=pytest.mark.slow) if name == "all at once" else name for name in MODELS]


@pytest.mark.parametrize("name", ONE_BY_ONE)
def test_every_optimizer_finds_the_optimum_from_the_usual_start(name):
    fit = fitted(name)
    table = allFit(fit, start_from_mle=False).differences()
    assert list(table.index) == list(OPTIMIZERS)
    assert (table["criterion"] < SAME_CRITERION).all() and (table["fixef"] < SAME_THETA).all() and not (table["status"] == "error").any()


def test_the_parts_of_the_summary_are_those_of_lme4(sleep_fit):
    made = allFit(sleep_fit)
    parts = summary(made)
    assert list(vars(parts)) == ["which_OK", "msgs", "fixef", "llik", "sdcor", "theta", "times", "feval"]
    assert parts.which_OK.all() and set(parts.msgs.values()) == {None}
    assert list(parts.fixef.columns) == ["(Intercept)", "Days"] and parts.fixef.shape == (len(OPTIMIZERS), 2)
    assert list(parts.theta.columns) == ["Subject.(Intercept)", "Subject.Days.(Intercept)", "Subject.Days"]
    assert list(parts.sdcor.columns) == ["Subject.(Intercept)", "Subject.Days", "Subject.Days.(Intercept)", "sigma"]
    np.testing.assert_allclose(parts.sdcor.loc["newton"], sleep_fit.VarCorr().to_frame()["sdcor"], rtol=1e-6)
    np.testing.assert_allclose(parts.theta, np.tile(sleep_fit.theta, (len(OPTIMIZERS), 1)), atol=1e-6)
    assert parts.feval["newton"] <= 2 < parts.feval["nelder_mead"]
    assert (parts.times["elapsed"] > 0).all()


def test_it_prints_in_lme4s_layout(sleep_fit):
    text = str(allFit(sleep_fit, ["newton", "bobyqa"]))
    lines = text.splitlines()
    assert lines[0] == "original model:" and lines[1] == "Reaction ~ Days + (Days | Subject) "
    assert "optimizers (2): newton, bobyqa" in lines and "differences in negative log-likelihoods:" in lines
    assert lines[lines.index("differences in negative log-likelihoods:") + 1].startswith("max= ")
    assert "2 of 2 fits are within 0.001 of the best criterion" in lines[-1]
    text = str(allFit(sleep_fit, ["newton", "bobyqa"]).summary())
    assert [line for line in text.splitlines() if line.startswith("$")] == [
        "$which_OK", "$msgs", "$msgs$newton", "$msgs$bobyqa", "$fixef", "$llik", "$sdcor", "$theta", "$times", "$feval"]
    assert "newton bobyqa \n  TRUE   TRUE " in text and "$msgs$newton\nNULL\n" in text


def test_an_optimizer_that_was_stopped_early_is_told():
    made = allFit(fitted("crossed slopes"), ["newton", "nelder_mead"], max_evaluations=12, start_from_mle=False)
    assert made.differences().loc["nelder_mead", "status"] == "failed"
    assert "failed to converge" in made.summary().msgs["nelder_mead"]
    assert "nelder_mead is" in made.verdict() and "it stopped before an optimum" in made.verdict()


def test_an_optimizer_that_ends_in_an_error_is_kept_as_one(monkeypatch, sleep_fit):
    def refusing(self, control, templates=None):
        if control.optimizer == "cobyla":
            raise ConvergenceError("cobyla found no point")
        return original(self, control, templates)

    original = type(sleep_fit)._with_control
    monkeypatch.setattr(type(sleep_fit), "_with_control", refusing)
    made = allFit(sleep_fit, ["newton", "cobyla"])
    parts = made.summary()
    assert parts.which_OK.to_dict() == {"newton": True, "cobyla": False} and list(parts.fixef.index) == ["newton"]
    assert "1 optimizer(s) failed" in str(made) and "cobyla gave no fit: cobyla found no point" in made.verdict()
    assert isinstance(made["cobyla"], ConvergenceError)


def test_random_starts_are_the_same_for_every_optimizer_and_come_from_the_seed(sleep_fit):
    made = allFit(sleep_fit, ["newton", "bobyqa"], starts=3, seed=4)
    assert list(made.fits) == ["newton", "newton.start1", "newton.start2", "newton.start3",
                               "bobyqa", "bobyqa.start1", "bobyqa.start2", "bobyqa.start3"]
    first = [made[name].optinfo["trace"][0].criterion for name in ("newton.start1", "bobyqa.start1")]
    assert first[0] == pytest.approx(first[1], rel=1e-9)
    again = allFit(sleep_fit, "newton", starts=3, seed=4)
    assert again["newton.start2"].optinfo["trace"][0].criterion == made["newton.start2"].optinfo["trace"][0].criterion
    assert made.differences()["criterion"].max() < SAME_CRITERION


def test_a_worse_original_is_told():
    with pytest.warns(ConvergenceWarning, match="failed to converge"):
        poor = fitted("crossed slopes").update(control=lmerControl(optimizer="nelder_mead", max_evaluations=8))
    assert "The original fit is" in allFit(poor, "newton").verdict() and "worse than newton" in allFit(poor, "newton").verdict()


def test_no_rows_are_needed(sleep_fit):
    bare = pickle.loads(pickle.dumps(sleep_fit))
    assert allFit(bare, ["newton", "bobyqa"]).differences()["criterion"].max() < SAME_CRITERION


def test_the_original_is_left_alone(sleep_fit):
    theta, control = sleep_fit.theta, sleep_fit._settings.control
    allFit(sleep_fit, "sbplx", starts=1, seed=0)
    np.testing.assert_array_equal(sleep_fit.theta, theta)
    assert sleep_fit._settings.control is control


@pytest.mark.parametrize("how, message", [
    ({"optimizers": "nlminb"}, "the optimizer 'nlminb' is not known; use some of newton, bfgs"),
    ({"optimizers": []}, "optimizers is empty"),
    ({"starts": -1}, "starts = -1"),
    ({"starts": True}, "starts = True"),
])
def test_what_is_no_choice_is_refused(sleep_fit, how, message):
    with pytest.raises(ArgumentError, match=message):
        allFit(sleep_fit, **how)


def test_a_fit_by_another_name_is_refused(sleep_fit):
    with pytest.raises(ArgumentError, match="no fit 'bobyqa'; there are newton"):
        allFit(sleep_fit, "newton")["bobyqa"]


def test_the_picture_has_a_line_per_optimizer(sleep_fit):
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    made = allFit(sleep_fit)
    ax = made.plot()
    assert [label.get_text() for label in ax.get_yticklabels()] == list(OPTIMIZERS)
    drawn = ax.get_lines()[2].get_xdata()
    np.testing.assert_allclose(drawn, np.maximum(made.differences()["sdcor"], 1e-12))
    matplotlib.pyplot.close("all")


def test_equal_criteria_do_not_depend_on_rounding():
    assert allfit._best(pd.Series({"a": -871.8, "b": -871.8 + 1e-13})) == "a"
    assert allfit._best(pd.Series({"a": -871.8, "b": -871.7})) == "b"
