"""ICC, R2 and the other one-row measures: against performance, and by definition."""

import pickle

import numpy as np
import pytest
from some_cases import CASES, fitted_case, reference
from some_models import MODELS, fitted

from fastlmm_hlm import compare_performance, datasets, getME, icc, lmer, model_performance, r2
from fastlmm_hlm.errors import ArgumentError, FastlmmWarning, RowsNotKeptError
from fastlmm_hlm.inference.performance import variances

# R stops within about 1e-8 of the optimum.
AGAINST_R = 1e-6
ROUNDING = 1e-10
# insight 0.19.0 forgets the slopes of (x || g).
NAMES = [name for name in CASES if name in reference("tidy.json") and name != "sleepstudy_two_terms_ml"]


@pytest.mark.parametrize("name", NAMES)
def test_measures_are_those_of_performance(name):
    fit, _ = fitted_case(name)
    answers = reference("tidy.json")[name]
    ours, theirs = model_performance(fit), answers["performance"]
    assert list(ours.columns) == list(theirs)
    for column, values in theirs.items():
        np.testing.assert_allclose(ours[column], np.array(values, float), rtol=AGAINST_R, atol=1e-9, err_msg=column)
    for key in ("ICC_adjusted", "ICC_unadjusted"):
        assert icc(fit)[key] == pytest.approx(answers["icc"][key][0], rel=AGAINST_R)
    for key, values in answers["r2"].items():
        assert r2(fit)[key] == pytest.approx(values[0], rel=AGAINST_R, abs=1e-9)
    lines = answers["text"]
    assert str(icc(fit)).splitlines() == [line for line in lines["icc"]]
    assert str(r2(fit)).splitlines() == [line for line in lines["r2"]]
    assert str(ours).splitlines() == [line for line in lines["performance"]]


@pytest.mark.filterwarnings("ignore::fastlmm_hlm.errors.FastlmmWarning")
@pytest.mark.parametrize("name", [name for name in NAMES if "by_group" in reference("tidy.json")[name]])
def test_shares_of_groups_are_those_of_performance(name):
    fit, _ = fitted_case(name)
    frame, theirs = icc(fit, by_group=True), reference("tidy.json")[name]["by_group"]
    assert frame["Group"].tolist() == theirs["Group"]
    np.testing.assert_allclose(frame["ICC"], theirs["ICC"], rtol=AGAINST_R)


@pytest.mark.parametrize("name", MODELS)
def test_variances_are_their_definition(name):
    fit = fitted(name)
    X, Z = fit.model_matrix().to_numpy(), getME(fit, "Z").toarray()
    Lambda, n = getME(fit, "Lambda").toarray(), len(X)
    fixed, random, residual, by_term = variances(fit, "test")
    assert fixed == pytest.approx(np.var(X @ fit.fixef().to_numpy(), ddof=1), rel=ROUNDING, abs=ROUNDING)
    assert random == pytest.approx(fit.sigma() ** 2 * ((Z @ Lambda) ** 2).sum() / n, rel=ROUNDING, abs=1e-12)
    assert residual == fit.sigma() ** 2 and sum(by_term) == random
    r = fit.residuals().to_numpy()
    assert model_performance(fit)["RMSE"].iloc[0] == pytest.approx(np.sqrt(np.mean(r**2)), rel=1e-9)


def test_both_slopes_count_however_they_are_written():
    d = datasets.load("sleepstudy")
    fit = lmer("Reaction ~ Days + (Days || Subject)", d)
    intercept, slope = (float(S.iloc[0, 0]) for S in fit.VarCorr().values())
    random = intercept + slope * np.mean(d["Days"] ** 2)
    assert icc(fit).adjusted == pytest.approx(random / (random + fit.sigma() ** 2), rel=ROUNDING)


def test_measures_need_no_rows_without_weights():
    d = datasets.load("sleepstudy")
    fit = lmer("Reaction ~ Days + (Days | Subject)", d)
    again = pickle.loads(pickle.dumps(fit))
    assert dict(r2(again)) == dict(r2(fit))
    assert model_performance(again).equals(model_performance(fit))
    weighted = pickle.loads(pickle.dumps(lmer("Reaction ~ Days + (1 | Subject)", d, weights="Days + 1")))
    with pytest.raises(RowsNotKeptError, match="r2"):
        r2(weighted)


def test_a_singular_fit_has_an_icc_of_zero():
    with pytest.warns(FastlmmWarning):
        fit = lmer("Yield ~ 1 + (1 | Batch)", datasets.load("Dyestuff2"))
    assert icc(fit).adjusted == 0.0 and r2(fit).conditional == 0.0


def test_random_slopes_are_warned_of_by_group():
    with pytest.warns(FastlmmWarning, match="random slopes"):
        icc(fitted_case("sleepstudy")[0], by_group=True)


def test_models_are_compared_by_their_likelihood():
    d = datasets.load("sleepstudy")
    a, b = lmer("Reaction ~ Days + (Days | Subject)", d), lmer("Reaction ~ Days + (1 | Subject)", d)
    frame = compare_performance(a, b)
    assert list(frame.columns) == ["Name", "Model", "AIC", "AIC_wt", "AICc", "AICc_wt", "BIC", "BIC_wt", "R2_conditional",
                                   "R2_marginal", "ICC", "RMSE", "Sigma"]
    np.testing.assert_allclose(frame["AIC"], [1763.98586643, 1802.09939953], rtol=1e-8)         # performance 0.10.2
    np.testing.assert_allclose(frame["BIC"], [1783.14360754, 1814.87122693], rtol=1e-8)
    np.testing.assert_allclose(frame["AICc"], [1764.47141556, 1802.32797096], rtol=1e-8)
    assert frame["AIC_wt"].sum() == pytest.approx(1.0) and frame["AIC_wt"].iloc[1] == pytest.approx(5.29e-9, rel=1e-2)
    assert "1764.0 (>.999)" in str(frame) and "1802.1 (<.001)" in str(frame)


def test_comparisons_of_other_rows_are_refused():
    d = datasets.load("sleepstudy")
    a, b = lmer("Reaction ~ Days + (1 | Subject)", d), lmer("Reaction ~ Days + (1 | Subject)", d, subset="Days > 0")
    with pytest.raises(ArgumentError, match="180, 162 rows"):
        compare_performance(a, b)
    with pytest.raises(ArgumentError, match="got no fit"):
        compare_performance()
    with pytest.raises(ArgumentError, match="argument 2 is int"):
        compare_performance(a, 3)
    with pytest.raises(ArgumentError, match="3 names for 1 fits"):
        compare_performance(a, names=["a", "b", "c"])
