"""Traces, scores and average information of the kernel against the definition."""

import numpy as np
import pytest

from fastlmm_hlm._core import kernels
from reference.arrays import flat, kernel_of, random_model, random_templates

ACCURACY = 1e-9
SHAPES = {
    "single": {"nl": (7,), "nc": (3,)},
    "no fixed columns": {"nl": (7,), "nc": (2,), "p": 0},
    "nested": {"nl": (20, 5), "nc": (2, 1), "nested": True, "weighted": True},
    "crossed": {"nl": (9, 6, 3), "nc": (2, 3, 1), "p": 4},
    "supernodal": {"nl": (40, 40), "nc": (2, 2), "n": 700},
}


@pytest.fixture(params=SHAPES, scope="module")
def problem(request):
    model = random_model(list(SHAPES).index(request.param), **SHAPES[request.param])
    return model, kernel_of(model), random_templates(np.random.default_rng(1), model, 0.8)


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


def test_the_number_of_directions_may_change_between_calls():
    model = random_model(1, nl=(8,), nc=(2,))
    kernel, templates = kernel_of(model), random_templates(np.random.default_rng(2), model)
    for count in (1, 7, 3, 30, 2):
        rng = np.random.default_rng(count)
        D = [S + S.T for S in rng.normal(size=(count, 2, 2))]
        first = np.zeros(count, dtype=np.int32)
        found = kernel.evaluate(flat(templates), kernels.INFORMATION, True, first, flat(D))[5]
        expected = model.dense(templates, True).average_information([model.whole_Lambda([S]) for S in D])
        np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-8 * np.abs(expected).max())


def test_information_of_no_directions_is_none():
    kernel = kernel_of(random_model(3, nl=(4,), nc=(1,)))
    empty = np.array([], dtype=np.int32)
    assert kernel.evaluate(np.ones(1), kernels.INFORMATION, True, empty, np.array([]))[5] is None
