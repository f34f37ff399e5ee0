"""Traces, scores and average information of the kernel against the definition."""

import numpy as np
import pytest

from fastlmm_hlm._core import kernels
from reference.arrays import flat, kernel_of, random_model, random_templates
from reference.lmm_dense import indicator_columns
from reference.routes import WAYS

ACCURACY = 1e-9
SHAPES = {
    "single": {"nl": (7,), "nc": (3,)},
    "no fixed columns": {"nl": (7,), "nc": (2,), "p": 0},
    "nested": {"nl": (20, 5), "nc": (2, 1), "layout": "nested", "weighted": True},
    "crossed": {"nl": (9, 6, 3), "nc": (2, 3, 1), "p": 4},
    "crossed four ways": {"nl": (9, 6, 4, 3), "nc": (1, 2, 1, 2), "n": 90},
    "levels without rows": {"nl": (40, 35), "nc": (2, 1), "n": 30},
}
PROBLEMS = [
    *(
        pytest.param((k, name, route), id=f"{name}, {route}")
        for k, name in enumerate(SHAPES)
        for route in ("block", "whole")
    ),
    *(pytest.param((0, name, None), id=name) for name in WAYS),
]


@pytest.fixture(params=PROBLEMS, scope="module")
def problem(request):
    """A model, a kernel of it and templates."""
    seed, name, route = request.param
    if name in WAYS:
        model = WAYS[name].model(seed)
        kernel = WAYS[name].kernel(model)
    else:
        model = random_model(seed, **SHAPES[name])
        kernel = kernel_of(model, kernels.WHOLE if route == "whole" else kernels.BLOCK)
    return model, kernel, random_templates(np.random.default_rng(1), model, 0.8)


def split(values, model):
    """(sum nc^2,) into one (nc, nc) block per factor."""
    sizes = [Z.shape[1] for Z in model.Z]
    ends = np.cumsum([c * c for c in sizes])[:-1]
    return [part.reshape(c, c) for part, c in zip(np.split(values, ends), sizes)]


def level_blocks(matrix, model):
    """Per factor the diagonal blocks of a (q, q) matrix, (nl, nc, nc)."""
    at = 0
    for nl, Z in zip(model.nl, model.Z):
        nc = Z.shape[1]
        yield np.stack([matrix[i : i + nc, i : i + nc] for i in range(at, at + nl * nc, nc)])
        at += nl * nc


def directions_of(model, seed=0):
    """Two random symmetric dPsi per factor, and each as a (q, q) matrix."""
    rng = np.random.default_rng(seed)
    factor_of, D, whole = [], [], []
    for f, Z in enumerate(model.Z):
        for _ in range(2):
            S = rng.normal(size=(Z.shape[1],) * 2)
            S = S + S.T
            factor_of.append(f)
            D.append(S)
            blocks = [S if g == f else np.zeros((z.shape[1],) * 2) for g, z in enumerate(model.Z)]
            whole.append(model.whole_Lambda(blocks))
    return np.array(factor_of, dtype=np.int32), flat(D), whole


@pytest.mark.parametrize("reml", [True, False])
def test_traces_are_those_of_the_projection(problem, reml):
    model, kernel, templates = problem
    trace = kernel.evaluate(flat(templates), kernels.TRACE, reml)[3]
    dense, Lambda, Z = model.dense(templates, reml), model.whole_Lambda(templates), model.whole_Z()
    weight = dense.P if reml else dense.Vinv
    expected = [blocks.sum(axis=0) for blocks in level_blocks(Lambda.T @ Z.T @ weight @ Z @ Lambda, model)]
    for found, block in zip(split(trace, model), expected, strict=True):
        np.testing.assert_allclose(found, block, rtol=ACCURACY, atol=ACCURACY)


def test_scores_are_products_of_the_weighted_residuals(problem):
    model, kernel, templates = problem
    score = kernel.evaluate(flat(templates), kernels.SCORE, True)[4]
    e = model.whole_Z().T @ model.dense(templates, True).Vinv_residual
    expected = [blocks.sum(axis=0) for blocks in level_blocks(np.outer(e, e), model)]
    for found, block in zip(split(score, model), expected, strict=True):
        np.testing.assert_allclose(found, block, rtol=1e-8, atol=ACCURACY)


def test_information_is_the_average_information(problem):
    model, kernel, templates = problem
    factor_of, D, whole = directions_of(model)
    information = kernel.evaluate(flat(templates), kernels.INFORMATION, True, factor_of, D)[5]
    expected = model.dense(templates, True).average_information(whole)
    np.testing.assert_allclose(information, expected, rtol=1e-8, atol=1e-8 * np.abs(expected).max())
    np.testing.assert_array_equal(information, information.T)


def test_all_parts_asked_for_together_are_the_parts_asked_for_alone(problem):
    model, kernel, templates = problem
    factor_of, D, _ = directions_of(model)
    together = kernel.evaluate(flat(templates), 7, True, factor_of, D)
    for what, index in ((kernels.TRACE, 3), (kernels.SCORE, 4), (kernels.INFORMATION, 5)):
        alone = kernel.evaluate(flat(templates), what, True, factor_of, D)
        np.testing.assert_array_equal(alone[index], together[index])


@pytest.mark.parametrize("name", WAYS)
def test_the_number_of_directions_may_change_between_calls(name):
    model = WAYS[name].model(1)
    kernel, templates = WAYS[name].kernel(model), random_templates(np.random.default_rng(2), model)
    dense, nc = model.dense(templates, True), model.Z[0].shape[1]
    Z = indicator_columns(model.codes[0], model.nl[0], model.Z[0])
    e = (Z.T @ dense.Vinv_residual).reshape(-1, nc)
    for count in (1, 7, 3, 30, 2):
        D = np.random.default_rng(count).normal(size=(count, nc, nc))
        D = D + D.transpose(0, 2, 1)
        first = np.zeros(count, dtype=np.int32)
        found = kernel.evaluate(flat(templates), kernels.INFORMATION, True, first, flat(D))[5]
        scores = Z @ np.stack([(e @ S).ravel() for S in D], axis=1)
        expected = scores.T @ dense.P @ scores
        np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-8 * np.abs(expected).max())


def test_information_of_no_directions_is_none():
    kernel = kernel_of(random_model(3, nl=(4,), nc=(1,)))
    empty = np.array([], dtype=np.int32)
    assert kernel.evaluate(np.ones(1), kernels.INFORMATION, True, empty, np.array([]))[5] is None
