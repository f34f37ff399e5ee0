"""simulate_formula: moments by definition, and what it refuses."""

import numpy as np
import pandas as pd
import polars as pl
import pytest

from fastlmm_hlm import datasets, lmer, simulate_formula
from fastlmm_hlm.errors import ArgumentError, FormulaError, UnknownColumnError, UnknownNameError
from fastlmm_hlm.inference.simulation import simulate_responses
from some_models import data_of, fitted

# A mean or covariance of 4,000 replicates lies within five standard errors of its expectation.
REPLICATES, STANDARD_ERRORS = 4000, 5.0
SLEEP = "~ 1 + Days + (Days | Subject)"
PARAMETERS = {"beta": [250.0, 10.0], "theta": [0.9, 0.1, 0.2], "sigma": 25.0}


def sleep():
    return datasets.load("sleepstudy").iloc[:24]


def test_means_and_covariances_of_the_responses_are_those_of_the_model():
    data = sleep()
    y = simulate_formula(SLEEP, data, PARAMETERS, nsim=REPLICATES, seed=1).to_numpy()
    X = np.column_stack([np.ones(len(data)), data["Days"]])
    T = np.array([[0.9, 0.0], [0.1, 0.2]])
    same = data["Subject"].to_numpy()[:, None] == data["Subject"].to_numpy()
    V = 25.0**2 * (np.where(same, X @ T @ T.T @ X.T, 0.0) + np.eye(len(data)))
    mean = X @ [250.0, 10.0]
    sd = np.sqrt(np.diagonal(V))
    assert (np.abs(y.mean(axis=1) - mean) < STANDARD_ERRORS * sd / np.sqrt(REPLICATES)).all()
    error = np.sqrt((np.outer(sd, sd) ** 2 + V**2) / REPLICATES)
    assert (np.abs(np.cov(y) - V) < STANDARD_ERRORS * error).all()


def test_prior_weights_and_offsets_take_part():
    data = sleep().assign(w=np.linspace(0.5, 4.0, 24), known=np.arange(24.0))
    zero = {"beta": [0.0, 0.0], "theta": [0.0, 0.0, 0.0], "sigma": 2.0}
    y = simulate_formula(SLEEP, data, zero, nsim=REPLICATES, seed=1, weights="w", offset="known").to_numpy()
    assert (np.abs(y.mean(axis=1) - data["known"]) < STANDARD_ERRORS * 2.0 / np.sqrt(data["w"] * REPLICATES)).all()
    expected = 4.0 / data["w"].to_numpy()
    assert (np.abs(y.var(axis=1) - expected) < STANDARD_ERRORS * expected * np.sqrt(2.0 / REPLICATES)).all()


@pytest.mark.parametrize("name", ["slopes", "crossed slopes", "nested", "compound symmetry"])
def test_the_parameters_of_a_fit_give_what_simulating_from_the_fit_gives(name):
    fit = fitted(name)
    settings = fit._settings
    y = simulate_formula(
        settings.formula, data_of(name), {"beta": fit.fixef(), "VarCorr": fit.VarCorr(), "sigma": fit.sigma()}, nsim=2, seed=5,
        weights=settings.weights, offset=settings.offset,
    )
    np.testing.assert_allclose(y.to_numpy().T, simulate_responses(fit, 2, seed=5), rtol=1e-8)


def test_one_seed_gives_the_same_replicates_however_many():
    few = simulate_formula(SLEEP, sleep(), PARAMETERS, nsim=2, seed=3)
    many = simulate_formula(SLEEP, sleep(), PARAMETERS, nsim=5, seed=3)
    pd.testing.assert_frame_equal(few, many[["sim_1", "sim_2"]])


def test_the_response_may_be_named_absent_or_an_expression():
    data = sleep()
    plain = simulate_formula(SLEEP, data.drop(columns="Reaction"), PARAMETERS, seed=3)
    for left in ("Reaction", "log(Reaction)", "nowhere", "log(nowhere)"):
        pd.testing.assert_frame_equal(simulate_formula(left + " " + SLEEP, data, PARAMETERS, seed=3), plain)


def test_other_data_frames_will_do_and_the_index_is_theirs():
    data = sleep()
    ours = simulate_formula(SLEEP, data.set_axis(np.arange(24) + 100), PARAMETERS, seed=3)
    assert list(ours.index[:2]) == [100, 101]
    theirs = simulate_formula("Reaction " + SLEEP, pl.from_pandas(data), PARAMETERS, seed=3)
    np.testing.assert_allclose(ours.to_numpy(), theirs.to_numpy())
    as_dict = simulate_formula(SLEEP, {name: data[name].to_numpy() for name in ("Days", "Subject")}, PARAMETERS, seed=3)
    np.testing.assert_allclose(ours.to_numpy(), as_dict.to_numpy())


def test_rows_with_missing_values_are_missing():
    data = sleep().astype({"Days": float})
    data.iloc[3, data.columns.get_loc("Days")] = np.nan
    y = simulate_formula(SLEEP, data, PARAMETERS, seed=3)["sim_1"]
    assert list(np.flatnonzero(y.isna())) == [3]


def test_theta_and_the_covariances_it_stands_for_are_the_same():
    T = 25.0 * np.array([[0.9, 0.0], [0.1, 0.2]])
    ours = simulate_formula(SLEEP, sleep(), PARAMETERS, seed=3)
    for varcorr in ({"Subject": T @ T.T}, T @ T.T, [T @ T.T], {"(Days | Subject)": (T @ T.T).tolist()}):
        other = {"beta": {"Days": 10.0, "(Intercept)": 250.0}, "VarCorr": varcorr, "sigma": 25.0}
        pd.testing.assert_frame_equal(simulate_formula(SLEEP, sleep(), other, seed=3), ours)


def test_vectors_are_standard_deviations_and_matrices_covariances():
    text, data = "~ 1 + (1 | Subject)", sleep()
    given = [{"beta": [0], "VarCorr": value, "sigma": 1} for value in (3.0, [3.0], [[9.0]], {"Subject": 3.0}, {"(Intercept)": 3.0})]
    first, *others = (simulate_formula(text, data, one, seed=1) for one in given)
    for other in others:
        pd.testing.assert_frame_equal(first, other)


def test_one_row_per_level_can_be_simulated_though_not_fitted():
    data = pd.DataFrame({"g": list("abcdef")})
    assert simulate_formula("~ 1 + (1 | g)", data, {"beta": [1], "theta": [1], "sigma": 1}).shape == (6, 1)


@pytest.mark.parametrize("change, kind, words", [
    ({"beta": [1.0]}, ArgumentError, "beta has 1 value; expected 2, in this order: (Intercept), Days"),
    ({"beta": None}, ArgumentError, "no beta; expected 2 values"),
    ({"beta": {"Days": 1.0}}, ArgumentError, "no value for (Intercept)"),
    ({"beta": {"Days": 1.0, "day": 2.0}}, UnknownNameError, "names 'day'"),
    ({"beta": [1.0, np.nan]}, ArgumentError, "finite"),
    ({"theta": [1.0, 2.0]}, ArgumentError, "theta has 2 values; expected 3, in this order: Subject.(Intercept), "
                                           "Subject.Days.(Intercept), Subject.Days"),
    ({"sigma": None}, ArgumentError, "sigma is missing"),
    ({"sigma": -1.0}, ArgumentError, "positive"),
    ({"VarCorr": [1.0, 1.0]}, ArgumentError, "both theta and VarCorr"),
    ({"gamma": 1}, ArgumentError, "newparams has 'gamma'"),
])
def test_wrong_parameters_are_refused_by_name(change, kind, words):
    with pytest.raises(kind) as error:
        simulate_formula(SLEEP, sleep(), {**PARAMETERS, **change})
    assert words in str(error.value)


@pytest.mark.parametrize("varcorr, words", [
    ({"Sub": [1.0, 1.0]}, "names 'Sub'"),
    ([[1.0, 2.0], [2.0, 1.0]], "eigenvalue -1"),
    ([[1.0, 0.5], [0.0, 1.0]], "not symmetric"),
    ([1.0, -2.0], "cannot be negative"),
    ([1.0, 2.0, 3.0], "expected 2 standard deviations or a 2 x 2"),
])
def test_impossible_covariances_are_refused(varcorr, words):
    with pytest.raises((ArgumentError, UnknownNameError)) as error:
        simulate_formula(SLEEP, sleep(), {"beta": [1.0, 1.0], "VarCorr": varcorr, "sigma": 1.0})
    assert words in str(error.value)


def test_a_correlation_under_double_bars_is_refused():
    with pytest.raises(ArgumentError, match="structure"):
        simulate_formula("~ 1 + diag(Days | Subject)", sleep(), {"beta": [1.0], "VarCorr": [[1.0, 0.5], [0.5, 1.0]], "sigma": 1.0})


def test_what_is_no_model_of_these_data_is_refused():
    with pytest.raises(UnknownColumnError, match="Did you mean 'Days'"):
        simulate_formula("~ 1 + Day + (1 | Subject)", sleep(), {"beta": [1, 1], "theta": [1], "sigma": 1})
    with pytest.raises(FormulaError, match="no random term"):
        simulate_formula("~ 1 + Days", sleep(), {"beta": [1, 1], "theta": [1], "sigma": 1})
    with pytest.raises(ArgumentError, match="nsim = 0"):
        simulate_formula(SLEEP, sleep(), PARAMETERS, nsim=0)
    with pytest.raises(ArgumentError, match="give a dict"):
        simulate_formula(SLEEP, sleep(), [1, 2])


def test_lmer_recovers_what_was_simulated():
    data = datasets.load("sleepstudy")
    data["Reaction"] = simulate_formula(SLEEP, data, PARAMETERS, seed=11)["sim_1"]
    fit = lmer("Reaction ~ Days + (Days | Subject)", data)
    assert abs(fit.fixef()["Days"] - 10.0) < 4.0 * fit.bse["Days"]
