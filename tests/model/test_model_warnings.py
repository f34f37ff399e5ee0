"""Warnings and logs: their class, their words, where they point, and silence otherwise."""

import logging
import subprocess
import sys
import warnings

import numpy as np
import pandas as pd
import pytest
from some_models import crossed_slopes

from fastlmm_hlm import datasets, lmer, lmerControl
from fastlmm_hlm.errors import (
    ConvergenceError,
    ConvergenceWarning,
    DataError,
    DroppedRowsWarning,
    RankDeficientWarning,
    SingularFitWarning,
)

SLEEP = "Reaction ~ Days + (Days | Subject)"


@pytest.fixture(scope="module")
def sleep():
    return datasets.load("sleepstudy")


@pytest.mark.parametrize("formula, name", [
    (SLEEP, "sleepstudy"), ("diameter ~ 1 + (1 | plate) + (1 | sample)", "Penicillin"),
    ("strength ~ 1 + (1 | batch/cask)", "Pastes"), ("Yield ~ 1 + (1 | Batch)", "Dyestuff"),
    ("angle ~ recipe * temperature + (1 | recipe:replicate)", "cake"),
    ("mAch ~ cses * meanses + (cses | school)", "Hsb82"),
])
def test_an_ordinary_fit_gives_no_warning_at_all(formula, name, capfd):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit = lmer(formula, datasets.load(name))
        str(fit), str(fit.summary()), fit.ranef(), fit.coef(), fit.fitted(), fit.residuals(), fit.getME("ALL")
        fit._repr_html_(), fit.refit(), fit.rePCA(), fit.isSingular(), fit.VarCorr().to_frame()
    assert capfd.readouterr() == ("", "")


def test_a_singular_fit_names_the_term_and_points_to_the_users_line():
    data = datasets.load("Dyestuff2")
    with pytest.warns(SingularFitWarning, match=r"boundary \(singular\) fit.*\(1 \| Batch\)") as told:
        lmer("Yield ~ 1 + (1 | Batch)", data)
    assert len(told) == 1 and told[0].filename == __file__


def test_a_singular_covariance_with_positive_variances_is_named(sleep):
    with pytest.warns(SingularFitWarning, match=r"\(Days \| Subject\)"):
        fit = lmer(SLEEP, sleep.iloc[:30])
    assert fit.isSingular() and fit.optinfo["status"] == "singular"
    assert fit.optinfo["boundary"] == ["(Days | Subject)"]
    assert fit.VarCorr()["Subject"].correlation.iloc[0, 1] == pytest.approx(1.0, abs=1e-9)
    assert fit.REMLcrit() == pytest.approx(283.2836, abs=5e-5)


def test_only_the_singular_term_is_named():
    data = crossed_slopes()
    data["noise"] = np.arange(len(data)) % 4
    with pytest.warns(SingularFitWarning) as told:
        lmer("y ~ x * f + (x | g) + (1 | noise)", data)
    assert "(1 | noise)" in str(told[0].message) and "(x | g)" not in str(told[0].message)


def test_what_to_do_about_a_singular_fit_can_be_chosen():
    data = datasets.load("Dyestuff2")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert lmer("Yield ~ 1 + (1 | Batch)", data, control=lmerControl(check_conv_singular="ignore")).isSingular()
    with pytest.raises(ConvergenceError, match=r"singular.*\(1 \| Batch\)"):
        lmer("Yield ~ 1 + (1 | Batch)", data, control=lmerControl(check_conv_singular="stop"))


def test_dependent_columns_are_named_and_the_warning_points_to_the_users_line(sleep):
    data = sleep.assign(double=2.0 * sleep["Days"], three=3.0)
    with pytest.warns(RankDeficientWarning, match="2 columns / coefficients: three, double") as told:
        lmer("Reaction ~ Days + three + double + (1 | Subject)", data)
    assert len(told) == 1 and told[0].filename == __file__


def test_what_to_do_about_dependent_columns_can_be_chosen(sleep):
    data = sleep.assign(double=2.0 * sleep["Days"])
    formula = "Reaction ~ Days + double + (1 | Subject)"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        lmer(formula, data, control=lmerControl(check_rankX="silent.drop.cols"))
    with pytest.raises(DataError, match=r"rank\(X\) = 2 < 3 = p\).*double"):
        lmer(formula, data, control=lmerControl(check_rankX="stop.deficient"))


def hard():
    rng = np.random.default_rng(1)
    g = rng.integers(0, 40, 500)
    x, z = rng.normal(size=500), rng.normal(size=500)
    b = rng.normal(size=(40, 3)) * [2.0, 0.3, 1.0]
    y = b[g, 0] + b[g, 1] * x + b[g, 2] * z + rng.normal(size=500)
    return pd.DataFrame({"y": y, "x": x, "z": z, "g": g})


@pytest.mark.parametrize("optimizer", ["newton", "bfgs", "bobyqa", "nelder_mead"])
def test_too_few_evaluations_give_a_convergence_warning(optimizer):
    control = lmerControl(optimizer=optimizer, max_evaluations=2)
    with pytest.warns(ConvergenceWarning, match="failed to converge: gradient norm [0-9.e+-]+.*max_evaluations") as told:
        fit = lmer("y ~ x + z + (x + z | g)", hard(), control=control, start=[9.0, 0, 0, 9.0, 0, 9.0])
    assert told[0].filename == __file__
    assert fit.optinfo["status"] == "failed" and fit.optinfo["evaluations"] <= 3
    assert "failed to converge" in str(fit.summary())


def test_warnings_of_update_and_refit_point_to_the_users_line(sleep):
    fit = lmer(SLEEP, sleep)
    y = np.random.default_rng(0).normal(size=180)
    with pytest.warns(SingularFitWarning) as told:
        fit.refit(y)
    assert told[0].filename == __file__
    with pytest.warns(SingularFitWarning) as told:
        fit.update(subset="Subject %in% c('308', '309', '310')")
    assert told[0].filename == __file__


def test_zero_weights_are_left_out_with_a_warning(sleep):
    weights = np.ones(180)
    weights[[3, 9]] = 0.0
    with pytest.warns(DroppedRowsWarning, match="2 rows have weight 0") as told:
        fit = lmer(SLEEP, sleep, weights=weights)
    assert told[0].filename == __file__
    without = lmer(SLEEP, sleep.drop(index=[3, 9]))
    assert fit.nobs == 178 and fit.REMLcrit() == pytest.approx(without.REMLcrit(), abs=1e-9)
    assert "2 by zero weight" in str(fit.summary())


def test_verbose_logs_every_step_and_prints_nothing(sleep, caplog, capfd):
    with caplog.at_level(logging.INFO, logger="fastlmm_hlm"):
        lmer(SLEEP, sleep, start=[1.0, 0.0, 1.0], verbose=1)
    steps = [record for record in caplog.records if "criterion" in record.getMessage()]
    assert len(steps) >= 3
    assert capfd.readouterr().out == ""


def test_verbose_without_a_logger_writes_to_stderr_and_not_to_stdout():
    code = ("from fastlmm_hlm import lmer, datasets\n"
            "d = datasets.load('sleepstudy')\n"
            "lmer('Reaction ~ Days + (Days | Subject)', d, start=[1, 0, 1], verbose=1)\n"
            "lmer('Reaction ~ Days + (Days | Subject)', d, start=[1, 0, 1])\n")
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout == ""
    lines = out.stderr.strip().splitlines()
    assert len(lines) >= 3 and all("criterion" in line for line in lines)
    assert "1743.62827" in lines[-1]


@pytest.mark.parametrize("formula", ["Reaction ~ Subject + Days + (1 | Subject)",
                                     "Reaction ~ Subject * Days + (Days | Subject)"])
def test_a_variance_that_the_data_cannot_determine_is_reported(sleep, formula):
    # The factor is in the fixed part too, so the restricted likelihood is the same for every theta.
    with pytest.warns(ConvergenceWarning, match="not uniquely determined.*Subject") as told:
        fit = lmer(formula, sleep)
    assert told[0].filename == __file__
    value = fit.devfun()
    assert value(fit.theta * 3) == pytest.approx(value(fit.theta), abs=1e-6)
