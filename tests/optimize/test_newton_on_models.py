"""Newton's method on mixed models: one optimum from everywhere, and what must not change it."""

import numpy as np
import pytest

import classic
from fastlmm_hlm.errors import FactorizationError
from fastlmm_hlm.optimize.convergence import certify
from fastlmm_hlm.optimize.derivative_free import derivative_free
from fastlmm_hlm.optimize.newton import newton
from reference.models import criterion_of, frame, simulated, term

# Deviance units: the optimizer stops at a predicted decrease of 1e-11 or of rounding.
SAME_OPTIMUM = 1e-6
STARTS = 50
both_criteria = pytest.mark.parametrize("reml", [True, False], ids=["REML", "ML"])
every_model = pytest.mark.parametrize("name", classic.FORMULAS)

# REML criteria printed in Bates et al. (2015), Bates (2010) and lme4's help pages.
PUBLISHED = {"sleepstudy": 1743.628, "Dyestuff": 319.6543, "Dyestuff2": 161.8283, "Pastes": 246.9907,
             "Penicillin": 330.8606, "sleepstudy uncorrelated": 1743.669}


def random_starts(size, count, seed=1):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=size) * 10 ** rng.uniform(-2, 1.5) for _ in range(count)]


@every_model
@both_criteria
def test_every_start_leads_to_the_same_optimum(name, reml):
    criterion = classic.criterion(name, reml)
    best = newton(criterion.evaluate, criterion.start())
    assert best.status == "converged" and best.evaluations <= 10
    for start in random_starts(criterion.size, STARTS):
        found = newton(criterion.evaluate, start)
        assert found.status == "converged"
        assert found.value == pytest.approx(best.value, abs=SAME_OPTIMUM)


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_optimum_is_the_published_one(name):
    criterion = classic.criterion(name)
    assert newton(criterion.evaluate, criterion.start()).value == pytest.approx(PUBLISHED[name], abs=5e-4)


@every_model
@both_criteria
def test_theta_zero_is_left_when_it_is_no_optimum(name, reml):
    criterion = classic.criterion(name, reml)
    best = newton(criterion.evaluate, criterion.start())
    found = newton(criterion.evaluate, np.zeros(criterion.size))
    assert found.status == "converged"
    assert found.value == pytest.approx(best.value, abs=SAME_OPTIMUM)


@pytest.mark.parametrize("zero", range(3))
def test_a_start_with_one_parameter_at_zero_is_no_trap(zero):
    criterion = classic.criterion("sleepstudy")
    start = np.where(np.arange(3) == zero, 0.0, criterion.start())
    assert newton(criterion.evaluate, start).value == pytest.approx(1743.6282719584, abs=SAME_OPTIMUM)


@every_model
def test_the_optimum_is_stationary_and_curves_upwards(name):
    criterion = classic.criterion(name)
    found = newton(criterion.evaluate, criterion.start())
    here = criterion.evaluate(found.par)
    values = np.linalg.eigvalsh(here.hessian)
    assert np.abs(here.gradient).max() < 1e-3
    assert values[0] > -1e-6 * values[-1]
    rng = np.random.default_rng(0)
    for _ in range(20):
        step = rng.normal(size=criterion.size)
        assert criterion.value(found.par + 1e-2 * step) >= found.value - 1e-9


def test_Dyestuff2_ends_at_zero_exactly_in_effect():
    criterion = classic.criterion("Dyestuff2")
    found = newton(criterion.evaluate, criterion.start())
    assert abs(found.par[0]) < 1e-4 and found.value == pytest.approx(criterion.value(np.zeros(1)), abs=1e-9)


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_too_few_evaluations_are_a_failure(limit):
    criterion = classic.criterion("Hsb82")
    found = newton(criterion.evaluate, np.full(3, 4.0), max_evaluations=limit)
    assert found.status == "failed" and found.evaluations == limit


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["Dyestuff", "sleepstudy", "Penicillin"])
def test_a_start_that_is_not_finite_is_an_arithmetic_error(name, bad):
    criterion = classic.criterion(name)
    start = np.ones(criterion.size)
    start[-1] = bad
    with pytest.raises(FactorizationError):
        newton(criterion.evaluate, start)
    with pytest.raises(FactorizationError):
        criterion.value(start)
    assert newton(criterion.evaluate, criterion.start()).status == "converged"


def test_two_crossed_maximal_terms_take_few_evaluations():
    data = simulated(21, (24, 16), (4, 4), p=4, n=24 * 16 * 8)
    criterion, _ = criterion_of(data)
    best = newton(criterion.evaluate, criterion.start())
    assert criterion.size == 20 and best.status == "converged" and best.evaluations <= 15
    for start in random_starts(20, 5, seed=3):
        assert newton(criterion.evaluate, start).value == pytest.approx(best.value, abs=SAME_OPTIMUM)


# --- invariances of the fit -----------------------------------------------------------


def fit(data, reml=True, block_rows=None):
    criterion, _ = criterion_of(data, reml, block_rows)
    found = newton(criterion.evaluate, criterion.start())
    assert found.status == "converged"
    return found.value, [T @ T.T for T in criterion.templates(found.par)]


@pytest.fixture
def data():
    return simulated(22, (20, 12), (2, 2), n=480, weighted=True)


def assert_same(found, expected, shift=0.0):
    assert found[0] == pytest.approx(expected[0] + shift, abs=SAME_OPTIMUM)
    for one, other in zip(found[1], expected[1], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4 * np.abs(other).max())


def test_the_fit_does_not_depend_on_the_order_of_rows_or_the_size_of_blocks(data):
    expected = fit(data)
    assert_same(fit(data, block_rows=37), expected)
    rows = np.random.default_rng(0).permutation(480)
    data.y, data.X, data.weights = data.y[rows], data.X[rows], data.weights[rows]
    for t in data.random:
        t.codes, t.Z = t.codes[rows], t.Z[rows]
    assert_same(fit(data), expected)


def test_the_fit_does_not_depend_on_the_order_of_terms(data):
    value, Psi = fit(data)
    data.random = data.random[::-1]
    assert_same(fit(data), (value, Psi[::-1]))


def test_the_fit_does_not_depend_on_the_labels_of_levels(data):
    expected = fit(data)
    for k, t in enumerate(data.random):
        t.codes = np.random.default_rng(k).permutation(len(t.levels)).astype(np.int32)[t.codes]
    assert_same(fit(data), expected)


@pytest.mark.parametrize("scale", [1e-6, 1e5])
@both_criteria
def test_scaling_the_response_leaves_the_relative_covariance(data, scale, reml):
    expected = fit(data, reml)
    data.y = data.y * scale
    assert_same(fit(data, reml), expected, 2 * (478 if reml else 480) * np.log(scale))


@pytest.mark.parametrize("scale, shift", [(1e-3, 0.0), (1e4, 0.0), (1.0, 2015.0), (3.0, -50.0)])
@both_criteria
def test_a_linear_change_of_a_predictor_changes_the_fit_as_it_should(data, scale, shift, reml):
    value, Psi = fit(data, reml)
    back = np.array([[1.0, -shift / scale], [0.0, 1.0 / scale]])
    data.X = np.column_stack([data.X[:, 0], scale * data.X[:, 1] + shift])
    for t in data.random:
        t.Z = np.asfortranarray(np.column_stack([t.Z[:, 0], scale * t.Z[:, 1] + shift]))
    found, changed = fit(data, reml)
    assert found == pytest.approx(value + (2 * np.log(scale) if reml else 0.0), abs=SAME_OPTIMUM)
    for one, other in zip(changed, Psi):
        np.testing.assert_allclose(np.linalg.solve(back, np.linalg.solve(back, one).T), other, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("hom", [False, True])
@pytest.mark.parametrize("covariance", ["diag", "cs", "ar1"])
def test_structured_covariances_reach_one_optimum(covariance, hom):
    """From starts with no deviation near zero: there the correlation has nothing to hold on to."""
    criterion, _ = criterion_of(simulated(23, (40,), (3,), n=600, covariance=covariance, hom=hom, p=3))
    best = newton(criterion.evaluate, criterion.start())
    assert best.status == "converged"
    away = criterion.terms[0].covariance.is_variance()
    for start in random_starts(criterion.size, 10):
        found = newton(criterion.evaluate, np.where(away, np.abs(start) + 0.1, start))
        assert found.status == "converged" and found.value == pytest.approx(best.value, abs=SAME_OPTIMUM)


@pytest.mark.parametrize("covariance", ["cs", "ar1"])
@pytest.mark.parametrize("seed", range(6))
def test_a_deviation_of_zero_leaves_a_structured_covariance_in_its_structure(covariance, seed):
    rng = np.random.default_rng(seed)
    g, X = np.arange(300) % 30, np.column_stack([np.ones(300), rng.normal(size=(300, 2))])
    b = np.column_stack([rng.multivariate_normal([0, 0], [[1.0, 0.6], [0.6, 1.0]], size=30), np.zeros(30)])
    y = (X * b[g]).sum(axis=1) + rng.normal(size=300)
    criterion, _ = criterion_of(frame(y, X, [term("g", g, X, ["a", "b", "c"], covariance, False)]))
    found = newton(criterion.evaluate, criterion.start())
    other = derivative_free(criterion.value, criterion.start(), criterion.lower(), "nelder_mead")
    assert found.status == "converged" and certify(criterion.evaluate(found.par), []).status == "converged"
    assert found.value == pytest.approx(other.value, abs=1e-5)
