"""Pickles and copies: what they hold, what they refuse, and that they are independent."""

import copy
import pickle
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from some_models import MODELS, data_of, fitted

from fastlmm_hlm import datasets, lmer
from fastlmm_hlm.errors import ArgumentError, FastlmmError, RowsNotKeptError

SLEEP = "Reaction ~ Days + (Days | Subject)"


def through_pickle(fit):
    return pickle.loads(pickle.dumps(fit))


@pytest.fixture(scope="module")
def sleep():
    return datasets.load("sleepstudy")


def test_a_pickle_is_small():
    assert len(pickle.dumps(lmer(SLEEP, datasets.load("sleepstudy")))) < 20_000
    hsb = lmer("mAch ~ cses + meanses + (cses | school)", datasets.load("Hsb82"))
    assert len(pickle.dumps(hsb)) < 100_000


def test_a_small_pickle_stays_small_after_results_were_asked_for(sleep):
    fit = lmer(SLEEP, sleep)
    fit.ranef(), fit.getME("ALL"), str(fit.summary()), fit.fitted()
    assert len(pickle.dumps(fit)) < 20_000


def test_everything_but_the_rows_survives_a_pickle(fit):
    again = through_pickle(fit)
    assert str(again) == str(fit) and str(again.summary()) == str(fit.summary())
    assert again._repr_html_() == fit._repr_html_()
    assert str(again.VarCorr()) == str(fit.VarCorr())
    pd.testing.assert_series_equal(again.fixef(), fit.fixef())
    pd.testing.assert_frame_equal(again.vcov(), fit.vcov())
    pd.testing.assert_frame_equal(again.ranef().to_frame(), fit.ranef().to_frame())
    for group, frame in fit.coef().items():
        pd.testing.assert_frame_equal(again.coef()[group], frame)
    for name in ("theta", "u", "b", "beta", "RX", "RZX", "perm", "Lind", "lower", "sigma", "q", "l_i"):
        np.testing.assert_array_equal(again.getME(name), fit.getME(name))
    for name in ("L", "Lambda"):
        np.testing.assert_array_equal(again.getME(name).toarray(), fit.getME(name).toarray())
    assert again.getME("devcomp") == fit.getME("devcomp")
    assert again.devfun()(fit.theta) == pytest.approx(fit.devfun()(fit.theta), abs=1e-10)
    assert (again.llf, again.aic, again.bic, again.nobs) == (fit.llf, fit.aic, fit.bic, fit.nobs)
    assert again.isSingular() == fit.isSingular()
    assert again.formula == fit.formula


NEEDS_ROWS = {
    "fitted": lambda fit: fit.fitted(), "residuals": lambda fit: fit.residuals(), "weights": lambda fit: fit.weights(),
    "model_matrix": lambda fit: fit.model_matrix(), "refit": lambda fit: fit.refit(np.arange(180.0)),
    "Z": lambda fit: fit.getME("Z"), "X": lambda fit: fit.getME("X"), "y": lambda fit: fit.getME("y"),
    "flist": lambda fit: fit.getME("flist"), "update": lambda fit: fit.update(REML=False),
    "resid": lambda fit: fit.resid,
}


@pytest.mark.parametrize("what", list(NEEDS_ROWS))
def test_what_needs_rows_says_so_after_unpickling(sleep_fit, what):
    with pytest.raises(RowsNotKeptError, match="keep_data=True") as caught:
        NEEDS_ROWS[what](through_pickle(sleep_fit))
    assert isinstance(caught.value, FastlmmError) and isinstance(caught.value, RuntimeError)


def test_a_fit_with_keep_data_keeps_everything(sleep):
    fit = lmer(SLEEP, sleep, weights=np.linspace(1, 2, 180), keep_data=True)
    again = through_pickle(fit)
    pd.testing.assert_series_equal(again.fitted(), fit.fitted())
    pd.testing.assert_series_equal(again.weights(), fit.weights())
    assert again.update(REML=False).deviance() == fit.update(REML=False).deviance()
    assert again.refit(np.sqrt(sleep["Reaction"])).REMLcrit() == fit.refit(np.sqrt(sleep["Reaction"])).REMLcrit()


@pytest.mark.parametrize("name", list(MODELS))
def test_attached_data_give_the_rows_back(name):
    fit = fitted(name)
    again = through_pickle(fit).attach_data(data_of(name))
    pd.testing.assert_series_equal(again.fitted(), fit.fitted())
    pd.testing.assert_series_equal(again.residuals("pearson", scaled=True), fit.residuals("pearson", scaled=True))


@pytest.mark.parametrize("change", [
    lambda data: data.iloc[:50],
    lambda data: data.assign(Reaction=np.arange(180.0)),
    lambda data: data.assign(Days=data["Days"].to_numpy()[::-1]),
    lambda data: data.assign(Subject=np.roll(data["Subject"].to_numpy(), 3)),
], ids=["fewer rows", "another response", "another predictor", "other groups"])
def test_attach_data_refuses_other_data(sleep_fit, sleep, change):
    again = through_pickle(sleep_fit)
    with pytest.raises(ArgumentError, match="attach_data"):
        again.attach_data(change(sleep))
    with pytest.raises(RowsNotKeptError):
        again.fitted()


@pytest.mark.parametrize("argument", ["weights", "offset", "subset"])
def test_a_vector_that_was_not_pickled_is_not_forgotten_in_silence(sleep, argument):
    vector = np.arange(180) < 150 if argument == "subset" else np.linspace(1, 30, 180)
    again = through_pickle(lmer(SLEEP, sleep, **{argument: vector}))
    with pytest.raises(FastlmmError, match=argument):
        again.attach_data(sleep)
    with pytest.raises(FastlmmError, match=argument):
        again.update(data=sleep)
    assert again.update(data=sleep, **{argument: vector}).REMLcrit() == again.REMLcrit()


def test_update_works_after_unpickling_when_data_are_given(sleep_fit, sleep):
    assert through_pickle(sleep_fit).update(". ~ . - Days", data=sleep).REMLcrit() == \
        sleep_fit.update(". ~ . - Days").REMLcrit()


def test_a_pickle_is_read_in_another_process(sleep_fit, tmp_path):
    (tmp_path / "fit.pickle").write_bytes(pickle.dumps(sleep_fit))
    code = ("import pickle, sys; fit = pickle.load(open(sys.argv[1], 'rb')); "
            "print(fit.REMLcrit(), fit.ranef().condVar['Subject'][0, 0, 0])")
    out = subprocess.run([sys.executable, "-c", code, str(tmp_path / "fit.pickle")], capture_output=True, text=True,
                         check=True)
    criterion, variance = map(float, out.stdout.split())
    assert criterion == sleep_fit.REMLcrit()
    assert variance == pytest.approx(sleep_fit.ranef().condVar["Subject"][0, 0, 0], rel=1e-12)


@pytest.mark.parametrize("copier", [copy.copy, copy.deepcopy])
def test_a_copy_gives_the_same_results(fit, copier):
    again = copier(fit)
    assert str(again.summary()) == str(fit.summary())
    pd.testing.assert_series_equal(again.fitted(), fit.fitted())
    pd.testing.assert_frame_equal(again.ranef().to_frame(), fit.ranef().to_frame())


def test_a_deep_copy_is_independent(sleep):
    fit = lmer(SLEEP, sleep)
    again = copy.deepcopy(fit)
    again.devfun()(np.array([9.0, 0.0, 9.0]))
    again.optinfo["status"] = "changed"
    again._estimates.beta[:] = 0.0
    again.ranef().condVar["Subject"][:] = 0.0
    assert fit.optinfo["status"] == "converged"
    assert fit.fixef()["Days"] == pytest.approx(10.467286)
    assert fit.ranef().condVar["Subject"][0, 0, 0] > 1.0
    assert fit.getME("L").toarray()[0, 0] == pytest.approx(lmer(SLEEP, sleep).getME("L").toarray()[0, 0])


def test_results_pickle_by_themselves(sleep_fit):
    for result in (sleep_fit.VarCorr(), sleep_fit.ranef(), sleep_fit.coef(), sleep_fit.summary(), sleep_fit.rePCA()):
        assert str(through_pickle(result)) == str(result)
    assert through_pickle(sleep_fit.VarCorr()).sc == sleep_fit.sigma()
