"""make_lmer, with_parameters and extend: models at parameters that were given."""

import numpy as np
import pandas as pd
import pytest

from fastlmm_hlm import datasets, extend, lmer, make_lmer, power_sim, with_parameters
from fastlmm_hlm.errors import ArgumentError, DataError, RowsNotKeptError, UnknownColumnError, UnknownNameError
from some_models import MODELS, data_of, fitted

# Sums of squares of the dense definition and of the cross-products.
ROUNDING = 1e-8


def dense(fit, templates):
    """y - offset, X, and Var(y) / sigma^2 of a fit, in full."""
    design = fit._rows.design
    H = np.zeros((design.n, design.n))
    for term, T in zip(design.terms, templates):
        factor = design.factors[term.factor]
        Z = np.column_stack([np.ones(design.n) if c is None else c for c in factor.columns[term.columns]])
        same = factor.codes[:, None] == factor.codes
        H += np.where(same, Z @ T @ T.T @ Z.T, 0.0)
    w = np.ones(design.n) if design.weights is None else design.weights
    y = design.y if design.offset is None else design.y - design.offset
    return y, design.X, H + np.diag(1.0 / w)


def plan():
    return pd.DataFrame({"x": np.tile(np.arange(10), 6), "g": np.repeat(list("abcdef"), 10), "f": np.tile(["l", "m"], 30)})


@pytest.mark.parametrize("name", [name for name in MODELS if name not in ("zero variance", "no fixed effects")])
def test_likelihoods_and_modes_at_given_parameters_are_those_of_the_definition(name):
    fit = fitted(name)
    rng = np.random.default_rng(1)
    beta = fit.fixef() + rng.normal(0.0, 1.0, len(fit.fixef())) * fit.bse
    given = fit.with_parameters(fixef=beta.to_dict(), sigma=1.3 * fit.sigma())
    y, X, H = dense(fit, given._estimates.templates)
    s2, r = given.sigma() ** 2, y - X @ beta.to_numpy()
    n, p = X.shape
    Hinv = np.linalg.inv(H)
    ml = np.linalg.slogdet(H)[1] + n * np.log(2 * np.pi * s2) + r @ Hinv @ r / s2
    C = X.T @ Hinv @ X
    best = y - X @ np.linalg.solve(C, X.T @ Hinv @ y)
    reml = np.linalg.slogdet(H)[1] + np.linalg.slogdet(C)[1] + (n - p) * np.log(2 * np.pi * s2) + best @ Hinv @ best / s2
    assert abs(-2 * float(given.logLik(REML=False)) - ml) < ROUNDING * abs(ml)
    assert abs(given.REMLcrit() - reml) < ROUNDING * abs(reml)
    np.testing.assert_allclose(given.vcov(), s2 * np.linalg.inv(C), rtol=1e-6, atol=1e-9 * s2)
    w = np.ones(n) if fit._rows.design.weights is None else fit._rows.design.weights
    np.testing.assert_allclose(given.residuals(), Hinv @ r / w, atol=1e-7 * np.abs(r).max())     # W^-1 H^-1 (y - X beta)


def test_changing_sigma_leaves_the_covariances_of_the_random_effects():
    fit = fitted("slopes")
    given = with_parameters(fit, sigma=10.0)
    assert given.sigma() == 10.0 and fit.sigma() != 10.0
    np.testing.assert_allclose(given.VarCorr()["Subject"], fit.VarCorr()["Subject"])
    pd.testing.assert_series_equal(given.fixef(), fit.fixef())


def test_changing_one_coefficient_or_one_term_leaves_the_others():
    fit = fitted("nested")
    given = fit.with_parameters(VarCorr={"batch": 2.0})
    np.testing.assert_allclose(given.VarCorr()["batch"], [[4.0]])
    np.testing.assert_allclose(given.VarCorr()["cask:batch"], fit.VarCorr()["cask:batch"])
    slopes = fitted("slopes").with_parameters(fixef={"Days": 5.0})
    assert slopes.fixef()["Days"] == 5.0 and slopes.fixef()["(Intercept)"] == fitted("slopes").fixef()["(Intercept)"]


def test_the_estimates_themselves_give_the_fit_again():
    for name in ("slopes", "independent slopes, ML", "weights and offset"):
        fit = fitted(name)
        same = fit.with_parameters(fixef=fit.fixef(), VarCorr=fit.VarCorr(), sigma=fit.sigma())
        assert abs(float(same.logLik()) - float(fit.logLik())) < 1e-6
        np.testing.assert_allclose(same.fitted(), fit.fitted(), rtol=1e-8)


def test_parameters_can_be_given_without_the_rows():
    import pickle

    fit = pickle.loads(pickle.dumps(fitted("slopes")))
    given = fit.with_parameters(fixef={"Days": 5.0})
    assert abs(given.REMLcrit() - fitted("slopes").with_parameters(fixef={"Days": 5.0}).REMLcrit()) < 1e-8
    with pytest.raises(RowsNotKeptError):
        given.extend(along="Subject", n=40)


def test_it_prints_that_its_parameters_were_given():
    model = make_lmer("y ~ x + (1 | g)", plan(), fixef=[2.0, -0.1], VarCorr=0.7, sigma=1.0, seed=1)
    for text in (str(model), str(model.summary())):
        assert text.startswith("Linear mixed model with given parameters, not fitted")
        assert "REML criterion at the given parameters:" in text
    assert "fit by REML" in str(model.refit())
    assert model.optinfo["status"] == "given"


def test_a_refit_of_a_given_model_is_a_fit():
    model = make_lmer("y ~ x + (1 | g)", plan(), fixef=[2.0, -0.1], VarCorr=0.7, sigma=1.0, seed=1)
    own = lmer("y ~ x + (1 | g)", model._settings.data)
    for again in (model.refit(), model.update(), model.refitML().update(REML=True)):
        np.testing.assert_allclose(again.fixef(), own.fixef(), rtol=1e-6)
        assert abs(again.REMLcrit() - own.REMLcrit()) < 1e-6 and not again._given
    ml = make_lmer("y ~ x + (1 | g)", model._settings.data, fixef=[2.0, -0.1], VarCorr=0.7, sigma=1.0, REML=False)
    assert float(ml.refitML().logLik()) > float(ml.logLik()) + 1e-3


def test_a_response_in_the_data_is_used_and_an_absent_one_simulated():
    data = datasets.load("sleepstudy")
    parameters = dict(fixef=[250.0, 10.0], VarCorr={"Subject": [20.0, 5.0]}, sigma=25.0)
    with_y = make_lmer("Reaction ~ Days + (Days | Subject)", data, **parameters)
    np.testing.assert_allclose(with_y.fitted() + with_y.residuals(), data["Reaction"])
    without = make_lmer("Reaction ~ Days + (Days | Subject)", data.drop(columns="Reaction"), **parameters, seed=1)
    again = make_lmer("Reaction ~ Days + (Days | Subject)", data.drop(columns="Reaction"), **parameters, seed=1)
    assert without.REMLcrit() == again.REMLcrit()
    assert "Reaction" in without._settings.data and without._rows.design.y.std() > 1.0


def test_degrees_of_freedom_at_given_parameters_are_those_of_the_expected_information():
    model = fitted("slopes").with_parameters(fixef={"Days": 5.0})
    table = model.summary().coefficients
    np.testing.assert_allclose(table["df"], 17.0, rtol=1e-6)                # balanced: 18 subjects less one
    np.testing.assert_allclose(table["Std. Error"], fitted("slopes").bse, rtol=1e-8)


@pytest.mark.parametrize("change, words", [
    ({"fixef": [1.0]}, "fixef has 1 value; expected 2, in this order: (Intercept), x"),
    ({"VarCorr": None}, "VarCorr is missing"),
    ({"sigma": None}, "sigma is missing"),
    ({"theta": [1.0]}, "both theta and VarCorr"),
])
def test_wrong_parameters_are_refused(change, words):
    with pytest.raises(ArgumentError) as error:
        make_lmer("y ~ x + (1 | g)", plan(), **{"fixef": [1.0, 2.0], "VarCorr": 1.0, "sigma": 1.0, **change})
    assert words in str(error.value)


def test_responses_that_cannot_be_simulated_are_refused():
    with pytest.raises(DataError, match="no columns for the response log"):
        make_lmer("log(y) ~ x + (1 | g)", plan(), fixef=[1, 2], VarCorr=1, sigma=1)
    with pytest.raises(ArgumentError, match="has no response"):
        make_lmer("~ x + (1 | g)", plan(), fixef=[1, 2], VarCorr=1, sigma=1)
    with pytest.raises(ArgumentError, match="nothing to change"):
        fitted("slopes").with_parameters()
    with pytest.raises(UnknownNameError, match="names 'Day'"):
        fitted("slopes").with_parameters(fixef={"Day": 1.0})


# --- extend ------------------------------------------------------------------------


def test_new_levels_are_numbered_on_and_repeat_the_rows_of_the_old_ones_in_turn():
    model = make_lmer("y ~ x * f + (x | g)", plan(), fixef=[2, -0.1, 1, 0], VarCorr=[1.0, 0.2], sigma=1.0, seed=1)
    larger = extend(model, along="g", n=14, seed=2)
    data = larger._settings.data
    assert list(data["g"].unique()) == ["a", "b", "c", "d", "e", "f", "7", "8", "9", "10", "11", "12", "13", "14"]
    old = plan()
    for new, source in (("a", "a"), ("7", "a"), ("12", "f"), ("14", "b")):
        pd.testing.assert_frame_equal(data.loc[data["g"] == new, ["x", "f"]].reset_index(drop=True),
                                      old.loc[old["g"] == source, ["x", "f"]].reset_index(drop=True))
    pd.testing.assert_series_equal(larger.fixef(), model.fixef())
    np.testing.assert_allclose(larger.VarCorr()["g"], model.VarCorr()["g"])
    assert larger.nobs == 140 and larger._given


@pytest.mark.parametrize("levels, new", [
    (["s08", "s09", "s10"], ["s11", "s12"]), (["1", "2", "3"], ["4", "5"]), (["a1", "b2", "c3"], ["4", "5"]),
    ([5, 7, 9], [10, 11]), (["4", "x", "y"], ["5", "6"]),
])
def test_labels_of_new_levels(levels, new):
    data = pd.DataFrame({"g": np.repeat(levels, 6), "x": np.tile(np.arange(6.0), 3)})
    model = make_lmer("y ~ x + (1 | g)", data, fixef=[1, 1], VarCorr=1, sigma=1, seed=1)
    larger = model.extend(along="g", n=5, seed=1)
    assert list(pd.unique(larger._settings.data["g"]))[3:] == new


def test_a_longer_time_goes_on_in_steps_or_through_the_values_given():
    fit = fitted("slopes")
    longer = fit.extend(along="Days", n=12, seed=1)
    assert sorted(longer._settings.data["Days"].unique()) == list(range(12)) and longer.nobs == 18 * 12
    other = fit.extend(along="Days", values=[0, 3, 30], seed=1)
    assert sorted(other._settings.data["Days"].unique()) == [0, 3, 30] and other.nobs == 18 * 3
    np.testing.assert_allclose(other.model_matrix()["Days"], other._settings.data["Days"])


def test_within_repeats_the_rows_of_every_combination():
    fit = fitted("nested")
    more = fit.extend(within="batch+cask", n=5, seed=1)
    counts = more._settings.data.groupby(["batch", "cask"], observed=True).size()
    assert (counts == 5).all() and len(counts) == 30
    fewer = fit.extend(within="batch", n=4, seed=1)
    assert (fewer._settings.data.groupby("batch", observed=True).size() == 4).all()


def test_columns_keep_their_meaning_on_more_rows():
    data = datasets.load("sleepstudy")
    fit = lmer("Reaction ~ scale(Days) + (1 | Subject)", data)
    longer = fit.extend(along="Days", n=15, seed=1)
    X = longer.model_matrix()["scale(Days)"]
    mean, sd = data["Days"].mean(), data["Days"].std()
    np.testing.assert_allclose(X, (longer._settings.data["Days"] - mean) / sd)


def test_weights_and_offsets_come_with_the_rows():
    fit = fitted("weights and offset")
    larger = fit.extend(along="Subject", n=36, seed=1)
    w = data_of("weights and offset")["w"].to_numpy()
    np.testing.assert_allclose(larger.weights(), np.concatenate([w, w]))
    known = data_of("weights and offset")["known"].to_numpy()
    np.testing.assert_allclose(larger._rows.design.offset, np.concatenate([known, known]))


def test_extended_models_simulate_and_have_power():
    fit = fitted("slopes").with_parameters(fixef={"Days": 3.0})
    small, large = (power_sim(model, "Days", nsim=300, seed=1) for model in (fit, fit.extend(along="Subject", n=60, seed=1)))
    assert small.confint()["upper"] < large.confint()["lower"]


def test_subsets_and_missing_rows_are_not_in_the_extension():
    data = datasets.load("sleepstudy").astype({"Reaction": float})
    data.loc[3, "Reaction"] = np.nan
    fit = lmer("Reaction ~ Days + (1 | Subject)", data, subset="Days > 0")
    larger = fit.extend(along="Subject", n=18, seed=1)
    assert larger.nobs == fit.nobs and (larger._settings.data["Days"] > 0).all()


@pytest.mark.parametrize("arguments, kind, words", [
    ({"along": "Subject"}, ArgumentError, "give n= or values="),
    ({"n": 3}, ArgumentError, "give along="),
    ({"along": "Subject", "within": "Days", "n": 3}, ArgumentError, "one of them"),
    ({"along": "subject", "n": 30}, UnknownColumnError, "along names 'subject'"),
    ({"within": "Subject+day", "n": 3}, UnknownColumnError, "within names 'day'"),
    ({"along": "Subject", "n": 0}, ArgumentError, "n = 0"),
    ({"within": "Subject", "values": [1]}, ArgumentError, "values= goes with along="),
    ({"along": "Days", "values": [1, 1]}, ArgumentError, "each once"),
    ({"along": "Subject", "n": 1}, DataError, "has 1 level"),
])
def test_extensions_that_make_no_sense_are_refused(arguments, kind, words):
    with pytest.raises(kind) as error:
        fitted("slopes").extend(**arguments)
    assert words in str(error.value)


def test_new_levels_of_a_fixed_factor_have_no_coefficient():
    model = make_lmer("y ~ f + (1 | g)", plan(), fixef=[2, 1], VarCorr=1.0, sigma=1.0, seed=1)
    with pytest.raises(DataError, match="no coefficient for"):
        model.extend(along="f", n=3)
