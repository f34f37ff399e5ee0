"""Numbers of a fit agree with each other and with lme4's printed ones."""

import contextlib
import copy
import math
import pickle

import numpy as np
import pandas as pd
import pytest
from some_models import fitted

import fastlmm_hlm as flmm
from fastlmm_hlm import datasets, lmer
from fastlmm_hlm.errors import ArgumentError, FastlmmWarning, UnknownNameError

# lme4 stops where its criterion is flat to about 1e-8, so its theta is good to some 1e-4.
LME4 = 1e-4


@pytest.fixture(scope="module")
def ml_fit():
    return lmer("Reaction ~ Days + (Days | Subject)", datasets.load("sleepstudy"), REML=False)


def test_the_criterion_is_minus_two_log_likelihood(fit):
    reml = fit.isREML()
    assert float(fit.logLik()) == -0.5 * fit.deviance(REML=reml)
    assert fit.REMLcrit() == fit.deviance(REML=True)
    assert fit.llf == float(fit.logLik())
    assert fit.deviance(REML=reml) == pytest.approx(fit.devfun()(fit.theta), abs=1e-9)


def test_information_criteria_count_all_parameters(fit):
    beta, theta = len(fit.fixef()), len(fit.theta)
    diagonal_only = any("||" in t.text or t.text.startswith("diag(") for t in fit._terms)
    if "cs(" in fit.formula:
        theta = 4
    elif diagonal_only and len(fit.VarCorr()) == 1:
        theta = 2
    assert fit.npar == beta + theta + 1 == fit.logLik().df
    assert fit.logLik().nobs == fit.nobs
    assert fit.AIC() == fit.aic == pytest.approx(-2 * fit.llf + 2 * fit.npar, rel=1e-14)
    assert fit.BIC() == fit.bic == pytest.approx(-2 * fit.llf + math.log(fit.nobs) * fit.npar, rel=1e-14)
    assert fit.AIC(k=3.0) == pytest.approx(-2 * fit.llf + 3 * fit.npar, rel=1e-14)
    assert fit.df_residual() == fit.df_resid == fit.nobs - fit.npar


def test_reml_fit_gives_lme4s_numbers(sleep_fit):
    assert sleep_fit.REMLcrit() == pytest.approx(1743.628, abs=5e-4)
    assert sleep_fit.AIC() == pytest.approx(1755.628, abs=5e-4)
    assert sleep_fit.BIC() == pytest.approx(1774.786, abs=5e-4)
    assert sleep_fit.deviance(REML=False) == pytest.approx(1751.98587, abs=LME4)
    assert repr(sleep_fit.logLik()) == "'log Lik.' -871.8141 (df=6)"
    assert sleep_fit.theta == pytest.approx([0.96674177, 0.01516906, 0.23090995], abs=LME4)
    V = [[46.575120, -1.451088], [-1.451088, 2.389466]]
    np.testing.assert_allclose(sleep_fit.vcov(), V, rtol=2 * LME4)


def test_ml_fit_gives_lme4s_numbers(ml_fit):
    assert ml_fit.deviance() == pytest.approx(1751.939, abs=5e-4)
    assert ml_fit.AIC() == pytest.approx(1763.939, abs=5e-4)
    assert ml_fit.sigma() == pytest.approx(25.592, abs=1e-3)
    assert ml_fit.VarCorr().to_frame()["vcov"].to_numpy()[:2] == pytest.approx([565.48, 32.68], rel=LME4)


def test_the_REML_argument_changes_the_likelihood_not_the_estimates(sleep_fit, ml_fit):
    assert sleep_fit.logLik(REML=True) == sleep_fit.logLik()
    assert sleep_fit.logLik(REML=False) < ml_fit.logLik()
    assert ml_fit.logLik(REML=True) < sleep_fit.logLik()
    assert ml_fit.REMLcrit() > sleep_fit.REMLcrit()
    assert sleep_fit.isREML() and not ml_fit.isREML()
    assert sleep_fit.isLMM() and not sleep_fit.isGLMM()


def test_deviance_of_a_reml_fit_asks_which_one(sleep_fit):
    with pytest.warns(FastlmmWarning, match=r"REMLcrit\(\).*deviance\(REML=False\)") as told:
        value = sleep_fit.deviance()
    assert value == sleep_fit.REMLcrit()
    assert told[0].filename == __file__


def test_deviance_as_a_function_warns_at_the_line_of_its_user(sleep_fit):
    with pytest.warns(FastlmmWarning, match="REMLcrit") as told:
        flmm.deviance(sleep_fit)
    assert told[0].filename == __file__


def test_loglik_survives_pickle_and_copy_with_its_degrees_of_freedom(sleep_fit):
    here = sleep_fit.logLik()
    for there in (pickle.loads(pickle.dumps(here)), copy.copy(here), copy.deepcopy(here)):
        assert (float(there), there.df, there.nobs) == (float(here), 6, 180)


def test_fixef_gives_dropped_columns_as_nan_when_asked():
    data = datasets.load("sleepstudy")
    with pytest.warns(flmm.errors.RankDeficientWarning):
        fit = lmer("Reaction ~ Days + twice + (1 | Subject)", data.assign(twice=2.0 * data["Days"]))
    assert list(fit.fixef().index) == ["(Intercept)", "Days"]
    whole = fit.fixef(add_dropped=True)
    assert list(whole.index) == ["(Intercept)", "Days", "twice"]
    assert whole.isna().tolist() == [False, False, True]


def test_standard_errors_and_t_values_come_from_vcov(fit):
    se = np.sqrt(np.diagonal(fit.vcov()))
    np.testing.assert_allclose(fit.bse, se)
    np.testing.assert_allclose(fit.tvalues, fit.fixef() / se)
    assert list(fit.bse.index) == list(fit.tvalues.index) == list(fit.params.index) == list(fit.fixef().index)
    pd.testing.assert_frame_equal(fit.cov_params(), fit.vcov())
    pd.testing.assert_series_equal(fit.params, fit.fixef())


def test_nobs_can_be_read_and_called(sleep_fit):
    assert sleep_fit.nobs == 180 and sleep_fit.nobs() == 180
    assert sleep_fit.nobs / 2 == 90.0
    assert f"{sleep_fit.nobs:d}" == "180"


def test_is_singular_tells_a_boundary_from_an_interior_optimum(sleep_fit):
    assert not sleep_fit.isSingular()
    assert fitted("zero variance").isSingular()
    assert sleep_fit.isSingular(tol=10.0)


def test_getME_of_several_names_is_a_dict(sleep_fit):
    both = sleep_fit.getME(["theta", "n"])
    assert list(both) == ["theta", "n"] and both["n"] == 180
    everything = sleep_fit.getME("ALL")
    assert {"X", "Z", "L", "RX", "devcomp", "cnms", "flist"} <= set(everything)


@pytest.mark.parametrize("name", ["Zz", "", "x", 3, None])
def test_getME_refuses_an_unknown_name(sleep_fit, name):
    with pytest.raises(UnknownNameError, match="getME") as caught:
        sleep_fit.getME(name)
    assert isinstance(caught.value, KeyError)
    assert repr(name) in str(caught.value) and "theta" in str(caught.value)


@pytest.mark.parametrize("name", ["beta", "theta", "RX", "u", "b", "mu", "l_i", "Gp"])
def test_changing_what_getME_gives_leaves_the_fit_alone(name):
    fit = lmer("Yield ~ 1 + (1 | Batch)", datasets.load("Dyestuff"))
    before = fit.getME(name).copy()
    with contextlib.suppress(ValueError):  # refused for a read-only array, which is as good
        fit.getME(name)[...] = -77
    np.testing.assert_array_equal(fit.getME(name), before)


def test_changing_results_leaves_the_fit_alone():
    fit = lmer("Yield ~ 1 + (1 | Batch)", datasets.load("Dyestuff"))
    condVar = fit.ranef().condVar["Batch"].copy()
    fit.ranef().condVar["Batch"][:] = 0.0
    np.testing.assert_array_equal(fit.ranef().condVar["Batch"], condVar)
    template = fit.getME("Tlist")["Batch"].copy()
    fit.getME("Tlist")["Batch"][:] = 0.0
    np.testing.assert_array_equal(fit.getME("Tlist")["Batch"], template)
    fixef = fit.fixef()
    beta = fixef.iloc[0]
    fixef.iloc[0] = 0.0
    assert fit.fixef().iloc[0] == beta
    fit.theta[0] = 0.0
    assert fit.theta[0] == pytest.approx(float(template[0, 0]))


@pytest.mark.parametrize("theta, found", [([1.0, 2.0], "2"), ([1.0, 0.0, 1.0, 1.0], "4")])
def test_devfun_refuses_the_wrong_number_of_parameters(sleep_fit, theta, found):
    with pytest.raises(ArgumentError, match=f"{found}.*expected 3"):
        sleep_fit.devfun()(theta)


@pytest.mark.parametrize("theta", [[math.nan, 0.0, 1.0], [math.inf, 0.0, 1.0]])
def test_devfun_refuses_parameters_that_are_not_finite(sleep_fit, theta):
    with pytest.raises(ArgumentError, match="theta.*finite"):
        sleep_fit.devfun()(theta)


def test_model_matrix_refuses_an_unknown_type(sleep_fit):
    with pytest.raises(ArgumentError, match="'junk'.*'fixed', 'random'"):
        sleep_fit.model_matrix("junk")


def test_generics_are_the_methods(sleep_fit):
    same = {
        "AIC": sleep_fit.AIC(), "BIC": sleep_fit.BIC(), "REMLcrit": sleep_fit.REMLcrit(), "sigma": sleep_fit.sigma(),
        "nobs": 180, "df_residual": 174, "isREML": True, "isLMM": True, "isGLMM": False, "isSingular": False,
        "logLik": sleep_fit.logLik(), "formula": "Reaction ~ Days + (Days | Subject)",
    }
    for name, value in same.items():
        assert getattr(flmm, name)(sleep_fit) == value, name
    for name in ("fixef", "fitted", "residuals", "weights", "ngrps"):
        pd.testing.assert_series_equal(getattr(flmm, name)(sleep_fit), getattr(sleep_fit, name)())
    for name in ("vcov", "model_matrix"):
        pd.testing.assert_frame_equal(getattr(flmm, name)(sleep_fit), getattr(sleep_fit, name)())
    for name in ("VarCorr", "ranef", "coef", "rePCA", "summary"):
        assert str(getattr(flmm, name)(sleep_fit)) == str(getattr(sleep_fit, name)())
    assert flmm.deviance(sleep_fit, REML=False) == sleep_fit.deviance(REML=False)
    assert flmm.getME(sleep_fit, "q") == 36
    assert flmm.refit(sleep_fit).REMLcrit() == pytest.approx(sleep_fit.REMLcrit(), abs=1e-9)
    assert flmm.update(sleep_fit, REML=False).deviance() == pytest.approx(flmm.refitML(sleep_fit).deviance(), rel=1e-14)


@pytest.mark.parametrize("name", flmm.model.generics.GENERICS)
def test_generics_refuse_what_is_no_fit(name):
    for other in (None, 3.0, pd.DataFrame()):
        with pytest.raises(ArgumentError, match=f"{name}: expected a fitted model.*{type(other).__name__}"):
            getattr(flmm, name)(other)


def test_generics_carry_their_name_and_a_docstring():
    for name in flmm.model.generics.GENERICS:
        function = getattr(flmm, name)
        assert function.__name__ == name and name in function.__doc__
        assert name in flmm.__all__


def test_formula_gives_its_parts(sleep_fit):
    assert sleep_fit.formula == sleep_fit.formula() == "Reaction ~ Days + (Days | Subject)"
    assert sleep_fit.formula(fixed_only=True) == "Reaction ~ Days"
    assert sleep_fit.formula(random_only=True) == "~(Days | Subject)"
