"""What must not change the criterion, or must change it by a known constant."""

import copy

import numpy as np
import pytest

from fastlmm_hlm.criterion.estimates import conditional_variances, estimates_at, spherical_effects
from reference.models import criterion_of, dense_at, frame, simulated, term

# Values of some hundreds, summed in another order.
ROUNDING = 1e-9
both_criteria = pytest.mark.parametrize("reml", [True, False], ids=["REML", "ML"])


def templates(seed, data):
    rng = np.random.default_rng(seed)
    return [np.tril(rng.normal(size=(t.Z.shape[1],) * 2)) for t in data.random]


def value_at(data, T, reml=True, block_rows=None):
    """The criterion at templates in the user's columns."""
    return criterion_of(data, reml, block_rows)[0].evaluate_templates(T)[3]


@pytest.fixture
def data():
    return simulated(5, (12, 7), (2, 2), weighted=True, offset=True)


@both_criteria
def test_the_order_of_rows_does_not_matter(data, reml):
    T, expected = templates(1, data), value_at(data, templates(1, data), reml)
    rows = np.random.default_rng(0).permutation(len(data.y))
    data.y, data.X, data.weights, data.offset = data.y[rows], data.X[rows], data.weights[rows], data.offset[rows]
    for t in data.random:
        t.codes, t.Z = t.codes[rows], t.Z[rows]
    assert value_at(data, T, reml) == pytest.approx(expected, abs=ROUNDING)


@both_criteria
@pytest.mark.parametrize("block_rows", [1, 13, 64])
def test_the_size_of_blocks_does_not_matter(data, reml, block_rows):
    T = templates(1, data)
    assert value_at(data, T, reml, block_rows) == pytest.approx(value_at(data, T, reml), abs=ROUNDING)


@both_criteria
@pytest.mark.parametrize("scale", [1e-8, 0.5, 1e6])
def test_scaling_the_response_shifts_the_criterion_by_a_known_constant(data, reml, scale):
    T, n, p = templates(1, data), *data.X.shape
    expected = value_at(data, T, reml) + 2 * (n - p if reml else n) * np.log(scale)
    data.y, data.offset = data.y * scale, data.offset * scale
    assert value_at(data, T, reml) == pytest.approx(expected, abs=ROUNDING * 10)


@both_criteria
def test_adding_fixed_effects_to_the_response_does_not_matter(data, reml):
    T, expected = templates(1, data), value_at(data, templates(1, data), reml)
    data.y = data.y + data.X @ np.array([100.0, -30.0])
    assert value_at(data, T, reml) == pytest.approx(expected, abs=ROUNDING * 10)


@both_criteria
@pytest.mark.parametrize("factor", [1e-4, 1e3])
def test_scaling_weights_shifts_the_criterion_by_nothing_when_theta_follows(data, reml, factor):
    T = templates(1, data)
    n, p = data.X.shape
    expected = value_at(data, T, reml)
    data.weights = data.weights * factor
    found = value_at(data, [t / np.sqrt(factor) for t in T], reml)
    assert found == pytest.approx(expected, abs=ROUNDING * 10)


@both_criteria
@pytest.mark.parametrize("scale, shift", [(10.0, 0.0), (1.0, -3.0), (0.01, 2000.0)])
def test_scaling_and_shifting_a_predictor_shifts_the_criterion_by_a_known_constant(data, reml, scale, shift):
    T = templates(1, data)
    expected = value_at(data, T, reml) + (2 * np.log(scale) if reml else 0.0)
    data.X = np.column_stack([data.X[:, 0], scale * data.X[:, 1] + shift])
    back = np.array([[1.0, -shift / scale], [0.0, 1.0 / scale]])
    for t in data.random:
        t.Z = np.asfortranarray(np.column_stack([t.Z[:, 0], scale * t.Z[:, 1] + shift]))
    assert value_at(data, [back @ t for t in T], reml) == pytest.approx(expected, abs=1e-7)


@both_criteria
def test_relabelling_the_levels_does_not_matter(data, reml):
    T, expected = templates(1, data), value_at(data, templates(1, data), reml)
    for k, t in enumerate(data.random):
        order = np.random.default_rng(k).permutation(len(t.levels)).astype(np.int32)
        t.codes, t.levels = order[t.codes], t.levels[np.argsort(order)]
    assert value_at(data, T, reml) == pytest.approx(expected, abs=ROUNDING)


@both_criteria
def test_the_order_of_terms_does_not_matter(data, reml):
    T, expected = templates(1, data), value_at(data, templates(1, data), reml)
    data.random = data.random[::-1]
    assert value_at(data, T[::-1], reml) == pytest.approx(expected, abs=ROUNDING)


def test_a_double_bar_is_an_unstructured_term_without_correlation():
    rng = np.random.default_rng(8)
    x, g = rng.normal(size=90), np.arange(90) % 9
    X = np.column_stack([np.ones(90), x])
    y = rng.normal(size=90) + rng.normal(size=9)[g]
    together = frame(y, X, [term("g", g, X, ["(Intercept)", "x"])])
    apart = frame(y, X, [term("g", g, X[:, :1], ["(Intercept)"]), term("g", g, X[:, 1:], ["x"])])
    diagonal = frame(y, X, [term("g", g, X, ["(Intercept)", "x"], "diag")])
    expected = value_at(together, [np.diag([0.7, 0.4])])
    assert value_at(apart, [np.array([[0.7]]), np.array([[0.4]])]) == pytest.approx(expected, abs=ROUNDING)
    assert value_at(diagonal, [np.diag([0.7, 0.4])]) == pytest.approx(expected, abs=ROUNDING)


def test_a_level_without_rows_does_not_matter(data):
    T, expected = templates(1, data), value_at(data, templates(1, data))
    more = copy.copy(data.random[0])
    more.levels = more.levels.append(more.levels[:3] + 100)
    data.random = [more, data.random[1]]
    assert value_at(data, T) == pytest.approx(expected, abs=ROUNDING)


# --- the estimates in the user's columns ---------------------------------------------


@both_criteria
@pytest.mark.parametrize("slope_mean", [0.0, 30.0])
def test_estimates_follow_from_the_definition(reml, slope_mean):
    data = simulated(9, (12, 7), (2, 2), weighted=True, offset=True, slope_mean=slope_mean)
    criterion, design = criterion_of(data, reml)
    par = np.array([0.8, 0.2, 0.5, 0.3, -0.6, 0.9])
    estimates = estimates_at(criterion, par, design.x_centring)
    dense = dense_at(criterion, data, par)
    assert estimates.criterion == pytest.approx(dense.criterion(), abs=1e-7)
    assert estimates.pwrss == pytest.approx(dense.pwrss, rel=1e-8)
    assert estimates.sigma**2 == pytest.approx(dense.sigma2, rel=1e-8)
    np.testing.assert_allclose(estimates.beta, dense.beta, rtol=1e-6)
    np.testing.assert_allclose(estimates.RX.T @ estimates.RX, dense.XtVinvX, rtol=1e-7)
    assert not np.tril(estimates.RX, -1).any() and (np.diagonal(estimates.RX) > 0).all()
    assert 2 * np.log(np.diagonal(estimates.RX)).sum() == pytest.approx(estimates.ldRX2, abs=1e-8)
    b = np.concatenate([part.ravel() for part in estimates.b])
    np.testing.assert_allclose(b, dense.modes(), rtol=1e-6, atol=1e-7)
    for part_b, part_u, T in zip(estimates.b, spherical_effects(criterion, estimates), estimates.templates):
        np.testing.assert_allclose(part_u @ T.T, part_b, rtol=1e-6, atol=1e-7)
    variance = conditional_variances(criterion, estimates)
    expected = dense.conditional_variance()
    at = 0
    for blocks in variance:
        for block in blocks:
            own = expected[at : at + 2, at : at + 2]
            np.testing.assert_allclose(block, own, rtol=1e-5, atol=1e-7 * np.abs(expected).max())
            at += 2
    for kind in (True, False):
        other = dense_at(criterion_of(data, kind)[0], data, par)
        assert estimates.profiled(kind) == pytest.approx(other.criterion(), abs=1e-7)
