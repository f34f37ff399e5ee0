"""The criterion at many points against the criterion at one, and against differences."""

import numpy as np
import pytest

from fastlmm_hlm.criterion.coordinates import LinearRoot, coordinates_of, fixed_correlation
from fastlmm_hlm.criterion.many import (
    FixedDeviation,
    FixedSigma,
    ManyCriterion,
    Responses,
    kernel_for_many,
    own_response,
)
from reference.models import criterion_of, simulated

# Both are the same sums of numbers of some hundreds in another order.
SAME = 1e-9
# Central differences with step 1e-5: truncation 1e-10, rounding 1e-13 / 1e-5; gradients of some hundreds.
STEP, DIFFERENCE = 1e-5, 3e-6

MODELS = {
    "intercepts": {"groups": (8,), "columns": (1,)},
    "slopes": {"groups": (8,), "columns": (3,), "p": 3},
    "crossed": {"groups": (10, 6), "columns": (2, 2), "weighted": True},
    "no fixed columns": {"groups": (8,), "columns": (2,), "p": 0},
    "uncentred": {"groups": (8,), "columns": (2,), "slope_mean": 50.0},
    "diagonal": {"groups": (8, 5), "columns": (3, 2), "covariance": "diag"},
    "diagonal, one deviation": {"groups": (8,), "columns": (3,), "covariance": "diag", "hom": True},
    "compound symmetry": {"groups": (8,), "columns": (3,), "covariance": "cs"},
    "autoregressive": {"groups": (8,), "columns": (3,), "covariance": "ar1"},
}
every_model = pytest.mark.parametrize("name", MODELS)
both_criteria = pytest.mark.parametrize("reml", [True, False], ids=["REML", "ML"])


def problem(name, reml, points=4, rule=None, coordinates=None, bases=None):
    criterion, _ = criterion_of(simulated(list(MODELS).index(name), **MODELS[name]), reml)
    kernel = kernel_for_many(criterion.products)
    coordinates = coordinates or [coordinates_of(term.covariance) for term in criterion.terms]
    many = ManyCriterion(criterion.products, kernel, criterion.terms, coordinates, bases or criterion.scales, reml,
                         own_response(criterion.products), np.zeros(points), rule)
    rng = np.random.default_rng(7)
    return criterion, many, 0.6 * rng.normal(size=(points, many.size)) + 0.5


def check_derivatives(many, par):
    """Gradients against differences of values."""
    who = np.arange(len(par))
    at = many.evaluate(par, who)
    assert at.usable.all()
    for i in range(many.size):
        h = STEP * np.eye(many.size)[i]
        slope = (many.value(par + h, who).value - many.value(par - h, who).value) / (2 * STEP)
        np.testing.assert_allclose(at.gradient[:, i], slope, atol=DIFFERENCE * (1 + np.abs(at.gradient).max()))


@every_model
@both_criteria
def test_many_points_give_what_one_point_gives(name, reml):
    criterion, many, par = problem(name, reml)
    at = many.evaluate(par, np.arange(len(par)))
    for i, one in enumerate(par):
        alone = criterion.evaluate(one)
        assert abs(at.value[i] - alone.value) < SAME * abs(alone.value)
        np.testing.assert_allclose(at.gradient[i], alone.gradient, atol=SAME * (1 + np.abs(alone.gradient).max()))
        np.testing.assert_allclose(at.hessian[i], alone.hessian, atol=SAME * (1 + np.abs(alone.hessian).max()))


def test_points_on_the_boundary_give_what_one_point_gives():
    criterion, many, par = problem("slopes", True)
    par[1:3, -1] = 0.0
    at = many.evaluate(par, np.arange(len(par)))
    for i, one in enumerate(par):
        alone = criterion.evaluate(one)
        np.testing.assert_allclose(at.gradient[i], alone.gradient, atol=1e-6 * (1 + np.abs(alone.gradient).max()))
        np.testing.assert_allclose(at.hessian[i], alone.hessian, atol=1e-6 * (1 + np.abs(alone.hessian).max()))


@every_model
@both_criteria
def test_the_gradient_at_a_fixed_sigma_is_that_of_the_value(name, reml):
    _, many, par = problem(name, reml, rule=FixedSigma(np.array([0.7, 1.0, 1.3, 2.0])))
    check_derivatives(many, par)


@every_model
@both_criteria
def test_the_gradient_at_a_fixed_deviation_is_that_of_the_value(name, reml):
    _, many, par = problem(name, reml)
    a = many.bases[0][0]
    many.rule = FixedDeviation(np.array([0.5, 0.9, 1.4, 3.0]), 0, a, many.slices[0])
    check_derivatives(many, par)


@pytest.mark.parametrize("rho", [-1.0, -0.4, 0.0, 0.7, 1.0])
def test_the_gradient_at_a_fixed_correlation_is_that_of_the_value(rho):
    _, many, par = problem("slopes", False, coordinates=[fixed_correlation(3, np.full(4, rho))], bases=[np.eye(3)])
    check_derivatives(many, par)


def test_fixed_correlations_are_kept_whatever_the_coordinates():
    rho = np.linspace(-1, 1, 5)
    coordinates = fixed_correlation(4, rho)
    par = np.random.default_rng(3).normal(size=(5, coordinates.size))
    root = coordinates.root(par, np.arange(5))
    Psi = root @ np.swapaxes(root, 1, 2)
    np.testing.assert_allclose(Psi[:, 0, 1] / np.sqrt(Psi[:, 0, 0] * Psi[:, 1, 1]), rho, atol=1e-14)


def test_a_deviation_that_is_fixed_is_the_one_that_comes_out():
    _, many, par = problem("uncentred", False)
    a = many.bases[0][1]
    wanted = np.array([0.2, 1.0, 2.0, 5.0])
    many.rule = FixedDeviation(wanted, 0, a, many.slices[0])
    who = np.arange(4)
    deviation = many.sigma(par, who) * np.linalg.norm(a @ many.roots(par, who)[0], axis=1)
    np.testing.assert_allclose(deviation, wanted, rtol=1e-12)


def test_the_sum_of_responses_has_the_sum_of_solutions():
    criterion, many, par = problem("crossed", True, points=3)
    rng = np.random.default_rng(1)
    two = Responses(rng.normal(size=(3, criterion.products.q)), rng.normal(size=(3, criterion.products.p + 1)))
    two.ZtWr[2], two.XrWr[2] = two.ZtWr[0] + two.ZtWr[1], two.XrWr[0] + two.XrWr[1]
    two.XrWr[:, -1] = 1e6
    many.responses, many.which = two, np.arange(3)
    same = [np.tile(root[:1], (3, 1, 1)) for root in many.roots(par, np.arange(3))]
    _, _, _, _, beta, u, b, _ = many.solve(same, np.arange(3))
    for part in (beta, u, b):
        np.testing.assert_allclose(part[2], part[0] + part[1], atol=1e-9)


def test_a_kernel_for_many_leaves_the_cross_products_alone():
    criterion, many, par = problem("crossed", True, points=1)
    before = [block.copy() for block in criterion.products.ZtWXy], criterion.products.XyWXy.copy()
    rng = np.random.default_rng(1)
    many.responses = Responses(rng.normal(size=(1, criterion.products.q)), np.full((1, criterion.products.p + 1), 9.0))
    many.evaluate(par, np.arange(1))
    assert all((a == b).all() for a, b in zip(before[0], criterion.products.ZtWXy))
    assert (before[1] == criterion.products.XyWXy).all()


def test_a_response_without_residual_is_not_usable_and_harms_no_other():
    criterion, many, par = problem("intercepts", True, points=2)
    own = own_response(criterion.products)
    many.responses = Responses(np.vstack([np.zeros_like(own.ZtWr), own.ZtWr]),
                               np.vstack([np.zeros_like(own.XrWr), own.XrWr]))
    many.which = np.arange(2)
    at = many.evaluate(par[[0, 0]], np.arange(2))
    assert at.usable.tolist() == [False, True]
    assert at.value[0] == np.inf and abs(at.value[1] - criterion.value(par[0])) < SAME * abs(at.value[1])


@pytest.mark.parametrize("soft", [False, True])
def test_curvature_of_a_linear_root_is_that_of_its_derivatives(soft):
    rng = np.random.default_rng(2)
    coordinates = LinearRoot(rng.normal(size=(4, 3, 3)), np.arange(4) < 2 if soft else None)
    par, who, G = rng.normal(size=(2, 4)), np.arange(2), rng.normal(size=(2, 3, 3))
    G = G + np.swapaxes(G, 1, 2)
    H = coordinates.curvature(par, who, G)
    for i in range(4):
        h = STEP * np.eye(4)[i]
        up, down = coordinates.derivatives(par + h, who)[1], coordinates.derivatives(par - h, who)[1]
        np.testing.assert_allclose(H[:, i], ((up - down) * G[:, None]).sum(axis=(2, 3)) / (2 * STEP), atol=1e-7)


def test_normalized_coordinates_are_the_same_covariance_with_signs_as_in_lme4():
    coordinates = coordinates_of(criterion_of(simulated(1, **MODELS["slopes"]), True)[0].terms[0].covariance)
    par, who = np.random.default_rng(5).normal(size=(6, coordinates.size)), np.arange(6)
    before, after = coordinates.root(par, who), coordinates.root(coordinates.normalize(par, who), who)
    np.testing.assert_allclose(before @ np.swapaxes(before, 1, 2), after @ np.swapaxes(after, 1, 2), atol=1e-14)
    assert (np.diagonal(after, axis1=1, axis2=2) >= 0).all()
