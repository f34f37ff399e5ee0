"""Solves and products for right-hand sides of the caller's, against dense algebra."""

import numpy as np
import pytest

from fastlmm_hlm._core import kernels
from reference.arrays import flat, kernel_of, random_model, random_templates

# Condition numbers up to about 1e4.
ACCURACY = 1e-10

SHAPES = {
    "one factor": {"nl": (7,), "nc": (2,)},
    "no fixed columns": {"nl": (7,), "nc": (2,), "p": 0},
    "nested": {"nl": (20, 5), "nc": (2, 1), "layout": "nested"},
    "crossed three ways": {"nl": (9, 6, 4), "nc": (1, 2, 1)},
    "weighted": {"nl": (8, 5), "nc": (2, 1), "weighted": True},
    "more levels than rows": {"nl": (40,), "nc": (2,), "n": 30},
}
ROUTES = {"block": kernels.BLOCK, "whole": kernels.WHOLE}
every_way = pytest.mark.parametrize("name, route", [(name, route) for name in SHAPES for route in ROUTES])


def fixture(name, route, columns, seed=3):
    model = random_model(seed, **SHAPES[name])
    rng = np.random.default_rng(seed + 1)
    templates = random_templates(rng, model)
    kernel = kernel_of(model, ROUTES[route])
    kernel.evaluate(flat(templates), kernels.VALUE, True)
    R = [rng.normal(size=(nl, Z.shape[1], columns)) for nl, Z in zip(model.nl, model.Z)]
    return model, templates, kernel, R


def stacked(parts):
    return np.vstack([part.reshape(-1, part.shape[2]) for part in parts])


@every_way
@pytest.mark.parametrize("columns", [1, 3, 40])
def test_solve_is_lambda_times_the_inverse_of_m_times_lambda(name, route, columns):
    model, templates, kernel, R = fixture(name, route, columns)
    Z, Lambda = model.whole_Z(), model.whole_Lambda(templates)
    M = Lambda.T @ (Z.T * model.weights) @ Z @ Lambda + np.eye(Z.shape[1])
    expected = Lambda @ np.linalg.solve(M, Lambda.T @ stacked(R))
    np.testing.assert_allclose(stacked(kernel.solve(R)), expected, rtol=0, atol=ACCURACY * np.abs(expected).max())


@every_way
def test_multiply_is_the_product_with_the_cross_products(name, route):
    model, _, kernel, R = fixture(name, route, 4)
    Z = model.whole_Z()
    expected = (Z.T * model.weights) @ Z @ stacked(R)
    np.testing.assert_allclose(stacked(kernel.multiply(R)), expected, rtol=0, atol=ACCURACY * np.abs(expected).max())


@every_way
def test_a_solve_leaves_the_evaluation_as_it_is(name, route):
    _, templates, kernel, R = fixture(name, route, 13)
    before = [part.copy() for part in kernel.solution()] + [part.copy() for part in kernel.inverse_blocks()]
    kernel.solve(R)
    after = [*kernel.solution(), *kernel.inverse_blocks()]
    assert all(np.array_equal(a, b) for a, b in zip(before, after))
    again = kernel.evaluate(flat(templates), kernels.VALUE, True)
    assert np.isfinite(again[0])


def test_columns_of_the_wrong_shape_are_refused():
    _, _, kernel, R = fixture("nested", "block", 2)
    with pytest.raises(ValueError, match="2 grouping factors|expected 2"):
        kernel.solve(R[:1])
    with pytest.raises(ValueError, match="factor 1 have shape"):
        kernel.solve([R[0], R[1][:, :, :1]])
    with pytest.raises(ValueError, match="m >= 1"):
        kernel.multiply([part[:, :, :0] for part in R])


def test_a_solve_before_any_evaluation_is_refused():
    model, _, _, R = fixture("nested", "block", 2)
    with pytest.raises(RuntimeError, match="no solution"):
        kernel_of(model).solve(R)
