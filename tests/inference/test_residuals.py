"""Kinds of residuals: lme4's own, those of V formed in full by R, and invariances."""

import functools
import json
import warnings

import numpy as np
import pandas as pd
import pytest
from some_cases import FOLDER
from some_models import MODELS, fitted

from fastlmm_hlm import datasets, lmer, residuals
from fastlmm_hlm.errors import ArgumentError, FastlmmWarning, RowsNotKeptError, SingularFitWarning
from fastlmm_hlm.inference import decorrelate, elimination
from fastlmm_hlm.inference.decorrelate import sequence
from parity.cases import all_cases

# Both sides are at the optimum of the parity suite; R's theta is good to about 1e-8 of itself, and the residuals follow it.
AGAINST_R = 1e-6
# The same arithmetic in another order.
ROUNDING = 1e-10
REFERENCE = json.loads((FOLDER / "residuals.json").read_text())["cases"]
CASES = {case.id: case for case in all_cases() if case.id in REFERENCE}
LME4_TYPES = ("response", "pearson", "deviance", "working")


@functools.cache
def fit_of(name):
    case = CASES[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FastlmmWarning)
        return lmer(case.formula, case.frame(), **case.arguments())


def assert_summary(ours, theirs, scale):
    """First values and sum of squares, as the R script stores them."""
    first, squares = np.array(theirs["first"], float), float(theirs["sum_of_squares"])
    np.testing.assert_allclose(ours[: len(first)], first, atol=AGAINST_R * scale)
    assert (ours**2).sum() == pytest.approx(squares, rel=AGAINST_R, abs=AGAINST_R * scale**2)


def marginal_covariance(fit):
    Z, Lambda = fit.getME("Z").toarray(), fit.getME("Lambda").toarray()
    return fit.sigma() ** 2 * (Z @ Lambda @ Lambda.T @ Z.T + np.diag(1.0 / fit.weights().to_numpy()))


@pytest.mark.parametrize("name", CASES)
def test_lme4s_types_are_lme4s(name):
    fit, theirs = fit_of(name), REFERENCE[name]["rows"]
    for type in LME4_TYPES:
        assert_summary(fit.residuals(type).to_numpy(), theirs[type], fit.sigma())
        assert_summary(fit.residuals(type, scaled=True).to_numpy(), theirs[f"{type}_scaled"], 1.0)


@pytest.mark.parametrize("name", CASES)
def test_marginal_standardized_and_decorrelated_residuals_are_those_of_V_in_full(name):
    fit, theirs = fit_of(name), REFERENCE[name]["rows"]
    assert_summary(fit.residuals(level="marginal").to_numpy(), theirs["marginal"], fit.sigma())
    assert_summary(fit.residuals("standardized").to_numpy(), theirs["standardized"], 1.0)
    assert_summary(fit.residuals("standardized", level="marginal").to_numpy(), theirs["marginal_standardized"], 1.0)
    assert_summary(fit.residuals("cholesky").to_numpy(), theirs["cholesky"], 1.0)
    assert_summary(fit.residuals("symmetric").to_numpy(), theirs["symmetric"], 1.0)


def test_enough_models_weights_and_offsets_are_compared():
    assert len(CASES) >= 15
    assert sum(case.weights is not None for case in CASES.values()) >= 3 and sum("offset" in (case.offset or case.formula) or case.offset
                                                                                is not None for case in CASES.values()) >= 2


def three_level_fit():
    """Classes in schools in districts, shuffled, with weights, a slope at the top."""
    rng = np.random.default_rng(5)
    n = 240
    d = pd.DataFrame({"district": rng.integers(3, size=n), "school": rng.integers(4, size=n), "klass": rng.integers(3, size=n),
                      "x": 2000.0 + rng.normal(size=n), "w": rng.uniform(0.5, 2.0, size=n)})
    d["school"] += 10 * d["district"]
    d["klass"] += 10 * d["school"]
    effects = rng.normal(size=1000)
    d["y"] = d["x"] + effects[d["district"]] + effects[d["school"] + 100] + effects[d["klass"] + 300] + rng.normal(size=n)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SingularFitWarning)
        return lmer("y ~ x + (1 | klass) + (1 | school) + (x | district)", d, weights="w")


def test_sequential_prediction_errors_are_the_cholesky_factors_for_three_levels_of_nesting():
    fit = three_level_fit()
    order = sequence(fit._rows.design.factors)
    assert (np.diff(order) < 0).any()
    V, r = marginal_covariance(fit), fit.residuals(level="marginal").to_numpy()
    expected = np.empty(len(r))
    expected[order] = np.linalg.solve(np.linalg.cholesky(V[np.ix_(order, order)]), r[order])
    np.testing.assert_allclose(fit.residuals("cholesky"), expected, atol=1e-7)      # calendar years: V has condition 1e9


def test_decorrelated_residuals_square_to_the_mahalanobis_distance_whichever_the_root(fit):
    V, r = marginal_covariance(fit), fit.residuals(level="marginal").dropna().to_numpy()
    expected = r @ np.linalg.solve(V, r)
    for type in ("cholesky", "symmetric"):
        assert (fit.residuals(type).dropna() ** 2).sum() == pytest.approx(expected, rel=1e-8)


def test_the_sequential_root_does_not_depend_on_how_many_rows_are_taken_at_a_time(monkeypatch):
    fit = three_level_fit()
    whole = fit.residuals("cholesky")
    monkeypatch.setattr(decorrelate, "ELEMENTS", 100)
    np.testing.assert_allclose(fit.residuals("cholesky"), whole, rtol=ROUNDING, atol=ROUNDING)


def test_crossed_factors_beyond_the_dense_limit_are_sent_to_the_symmetric_root(monkeypatch):
    fit = lmer("diameter ~ 1 + (1 | plate) + (1 | sample)", datasets.load("Penicillin"))
    monkeypatch.setattr(decorrelate, "LARGEST_DENSE", 100)
    with pytest.raises(ArgumentError, match="plate, sample are crossed.*up to 100 rows.*symmetric"):
        fit.residuals("cholesky")
    assert np.isfinite(fit.residuals("symmetric")).all()


def test_standardized_residuals_have_variance_one_over_samples():
    d = datasets.load("sleepstudy").iloc[:60].copy()
    fit = lmer("Reaction ~ Days + (Days | Subject)", d)
    V = marginal_covariance(fit)
    X = np.asarray(fit.getME("X"))
    P = X @ np.linalg.solve(X.T @ np.linalg.solve(V, X), X.T) @ np.linalg.inv(V)
    Q = np.eye(len(V)) - P
    np.testing.assert_allclose(fit.residuals(level="marginal") / fit.residuals("standardized", level="marginal"),
                               np.sqrt(np.diagonal(Q @ V @ Q.T)), rtol=1e-8)
    R = fit.sigma() ** 2 * np.linalg.solve(V, Q)              # conditional residuals are R y
    np.testing.assert_allclose(R @ d["Reaction"], fit.residuals(), atol=1e-7)
    np.testing.assert_allclose(fit.residuals() / fit.residuals("standardized"), np.sqrt(np.diagonal(R @ V @ R.T)), rtol=1e-8)


def test_a_row_that_is_always_reproduced_has_no_standardized_residual():
    d = datasets.load("sleepstudy")
    d["only"] = (np.arange(len(d)) == 17).astype(float)
    r = lmer("Reaction ~ Days + only + (1 | Subject)", d).residuals("standardized")
    assert r.isna().sum() == 1 and np.isnan(r[17 + d.index[0]])


@pytest.mark.parametrize("name", MODELS)
def test_nlmes_level_zero_is_marginal(name):
    fit = fitted(name)
    pd.testing.assert_series_equal(residuals(fit, level=0), residuals(fit, level="marginal"))


def test_residuals_are_padded_as_the_fit_asks():
    d = datasets.load("sleepstudy")
    d.loc[3, "Reaction"] = np.nan
    fit = lmer("Reaction ~ Days + (Days | Subject)", d, na_action="exclude")
    for type in ("standardized", "cholesky", "symmetric"):
        r = fit.residuals(type)
        assert len(r) == len(d) and np.isnan(r[3]) and r.isna().sum() == 1


@pytest.mark.parametrize("name", ["pastes_nested", "sleep_weights", "penicillin", "ragged_singletons_weighted_ml"])
def test_least_confounded_residuals_are_those_of_Q_in_full(name):
    fit = fit_of(name)
    V, X = marginal_covariance(fit), np.asarray(fit.getME("X"))
    Vi = np.linalg.inv(V)
    Q = Vi - Vi @ X @ np.linalg.solve(X.T @ Vi @ X, X.T @ Vi)
    root, sigma = np.sqrt(fit.weights().to_numpy()), fit.sigma()
    A = sigma**2 * Q / np.outer(root, root)
    found = fit.least_confounded()
    expected = np.sort(np.linalg.eigvalsh(A))[::-1][: len(found)]
    assert len(found) == len(V) - X.shape[1]
    np.testing.assert_allclose(1.0 - found["confounding"], expected, atol=1e-8)
    r = fit.residuals("pearson").to_numpy() / sigma
    # sum of squares of all: r'A^+ r, whichever eigenvectors were chosen; and of the unconfounded ones
    assert (found["residual"] ** 2).sum() == pytest.approx(r @ np.linalg.pinv(A, rcond=1e-10, hermitian=True) @ r, rel=1e-6)
    free = len(V) - np.linalg.matrix_rank(np.column_stack([X, fit.getME("Z").toarray()]))
    assert (found["confounding"] < 1e-9).sum() == free
    B = np.column_stack([X, fit.getME("Z").toarray()]) * root[:, None]
    y = root * (fit.fitted() + fit.residuals() - (fit._rows.design.offset if fit._rows.design.offset is not None else 0.0)).to_numpy() / sigma
    outside = y - B @ np.linalg.lstsq(B, y, rcond=None)[0]
    assert (found.loc[found["confounding"] < 1e-9, "residual"] ** 2).sum() == pytest.approx(outside @ outside, rel=1e-6)


def test_least_confounded_residuals_of_many_rows_are_refused(monkeypatch, sleep_fit):
    monkeypatch.setattr(decorrelate, "LARGEST_EIGEN", 100)
    with pytest.raises(ArgumentError, match="the 180 rows need the eigenvectors.*up to 100"):
        sleep_fit.least_confounded()


@pytest.mark.parametrize("how, message", [
    ({"type": "studentised"}, "type = 'studentised' is not known; use one of response, pearson"),
    ({"level": False}, "level = False is not known"),
    ({"level": 2}, "level = 2 is not known; use 'conditional'"),
    ({"type": "cholesky", "scaled": True}, "cholesky residuals have variance 1 already"),
])
def test_meaningless_residuals_are_refused(sleep_fit, how, message):
    with pytest.raises(ArgumentError, match=message):
        sleep_fit.residuals(**how)


def test_without_rows_there_are_no_residuals(sleep_fit):
    import pickle

    with pytest.raises(RowsNotKeptError, match="residuals"):
        pickle.loads(pickle.dumps(sleep_fit)).residuals("cholesky")


def test_the_root_is_sequential_exactly_where_factors_are_nested():
    assert {name: elimination.is_nested(fit_of(name)._products.pairs) for name in ("pastes_nested", "penicillin", "sleep_slope")} == {
        "pastes_nested": True, "penicillin": False, "sleep_slope": True}
