"""What the kernels refuse, in which words, and that they survive it."""

import numpy as np
import pytest

from fastlmm_hlm._core import kernels
from fastlmm_hlm._core.kernels import NoResidual, NotPositiveDefinite
from fastlmm_hlm.errors import FactorizationError, FastlmmError
from reference.arrays import Model, add_crossproducts, flat, kernel_of, pairs_of
from reference.arrays import random_model, random_templates, zeros_for
from reference.routes import WAYS

@pytest.fixture(params=WAYS)
def way(request):
    return WAYS[request.param]


def products_of(model):
    """XyWXy, ZtWZ, ZtWXy and pairs of a model."""
    out = zeros_for(model)
    add_crossproducts(model, *out)
    return *out, pairs_of(model)


def assert_same_bits(one, other):
    assert one[:3] == other[:3]
    np.testing.assert_array_equal(one[3], other[3])
    np.testing.assert_array_equal(one[4], other[4])


@pytest.mark.parametrize("factor", ["first", "last"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e200])
def test_a_lambda_that_is_not_finite_is_refused_and_the_kernel_works_afterwards(way, bad, factor):
    model = way.model(1)
    kernel, templates = way.kernel(model), random_templates(np.random.default_rng(2), model)
    spoilt = [T.copy() for T in templates]
    spoilt[0 if factor == "first" else -1][0, 0] = bad
    with pytest.raises(FactorizationError):
        kernel.evaluate(flat(spoilt), 3, True)
    before = kernel.evaluate(flat(templates), 3, True)
    with pytest.raises(FactorizationError):
        kernel.evaluate(flat(spoilt), 3, True)
    assert_same_bits(kernel.evaluate(flat(templates), 3, True), before)
    fresh = way.kernel(model)
    assert_same_bits(fresh.evaluate(flat(templates), 3, True), before)


@pytest.mark.parametrize("first", [True, False], ids=["refused first", "refused later"])
@pytest.mark.parametrize("where", [0, 0.5, 1])
@pytest.mark.parametrize("factor", ["first", "last"])
def test_a_system_that_is_not_positive_definite_is_refused_and_the_kernel_works_afterwards(way, factor, where, first):
    model = way.model(1)
    XyWXy, ZtWZ, ZtWXy, pairs = products_of(model)
    templates = flat(random_templates(np.random.default_rng(2), model))
    kernel = kernels.LmmKernel(ZtWZ, ZtWXy, XyWXy, pairs, way.route)
    expected = way.kernel(model).evaluate(templates, 3, True)
    if not first:
        assert_same_bits(kernel.evaluate(templates, 3, True), expected)
    blocks = ZtWZ[0 if factor == "first" else -1]
    level = int(where * (len(blocks) - 1))
    kept = blocks[level].copy()
    for refusals in (2, 1):
        blocks[level] -= 1e6 * np.eye(len(kept))
        for _ in range(refusals):
            with pytest.raises(NotPositiveDefinite, match="random-effects system"):
                kernel.evaluate(templates, 3, True)
        blocks[level] = kept
        assert_same_bits(kernel.evaluate(templates, 3, True), expected)
    for found, right in zip(kernel.inverse_blocks(), way_blocks(way, model, templates), strict=True):
        np.testing.assert_array_equal(found, right)


def way_blocks(way, model, templates):
    """Diagonal blocks of M^-1 from a kernel that has refused nothing."""
    kernel = way.kernel(model)
    kernel.evaluate(templates, 0, True)
    return kernel.inverse_blocks()


@pytest.mark.parametrize("threads", [0, -1])
def test_a_kernel_refuses_to_run_on_no_threads(threads):
    with pytest.raises(ValueError):
        kernel_of(random_model(1), threads=threads)


def test_dependent_columns_of_X_are_refused_in_words():
    X = np.asfortranarray(np.column_stack([np.ones(4), np.full(4, 2.0)]))
    model = Model(np.arange(4.0), X, None, [np.arange(4, dtype=np.int32) % 2], [2], [np.ones((4, 1))])
    with pytest.raises(NotPositiveDefinite, match="columns of the model matrix are linearly dependent"):
        kernel_of(model).evaluate(np.zeros(1), 0, True)


def test_more_fixed_columns_than_rows_are_refused():
    model = random_model(3, n=6, p=8)
    with pytest.raises(NotPositiveDefinite, match="linearly dependent"):
        kernel_of(model).evaluate(np.zeros(4), 0, True)


def test_a_response_of_zeros_leaves_no_residual():
    model = random_model(4)
    model.y[:] = 0.0
    with pytest.raises(NoResidual, match="reproduces the response exactly"):
        kernel_of(model).evaluate(np.ones(4), 0, True)


def test_a_response_that_X_explains_exactly_leaves_no_residual():
    x = np.ones(4)
    X, code = np.asfortranarray(x[:, None]), np.arange(4, dtype=np.int32) % 2
    model = Model(3.0 * x, X, None, [code], [2], [np.ones((4, 1))])
    with pytest.raises(NoResidual):
        kernel_of(model).evaluate(np.zeros(1), 0, True)


def test_refusals_are_errors_of_the_package_and_arithmetic_errors():
    for kind in (NoResidual, NotPositiveDefinite):
        assert issubclass(kind, FastlmmError) and issubclass(kind, ArithmeticError)


def test_evaluate_refuses_arrays_that_do_not_fit():
    kernel = kernel_of(random_model(5, nl=(4, 3), nc=(2, 1)))
    with pytest.raises(ValueError, match="Lambda has 4 numbers, expected 5"):
        kernel.evaluate(np.ones(4), 0, True)
    with pytest.raises(ValueError, match="factor that does not exist"):
        kernel.evaluate(np.ones(5), 4, True, np.array([2], dtype=np.int32), np.ones(4))
    with pytest.raises(ValueError, match="factor that does not exist"):
        kernel.evaluate(np.ones(5), 4, True, np.array([-1], dtype=np.int32), np.ones(4))
    with pytest.raises(ValueError, match="one nc x nc matrix per direction"):
        kernel.evaluate(np.ones(5), 4, True, np.array([0, 1], dtype=np.int32), np.ones(4))


def test_a_kernel_refuses_blocks_that_do_not_fit():
    model = random_model(6, nl=(4, 3), nc=(2, 1))
    XyWXy, ZtWZ, ZtWXy = zeros_for(model)
    pairs = pairs_of(model)
    with pytest.raises(ValueError, match="ZtWXy must be"):
        kernels.LmmKernel(ZtWZ, [ZtWXy[0][:, :, :1].copy(), ZtWXy[1]], XyWXy, pairs)
    with pytest.raises(ValueError, match="pairs of factors 0 and 1 do not fit"):
        kernels.LmmKernel(ZtWZ, ZtWXy, XyWXy, {(0, 1): (pairs[0, 1][0][:-1].copy(), *pairs[0, 1][1:])})
    with pytest.raises(KeyError):
        kernels.LmmKernel(ZtWZ, ZtWXy, XyWXy, {})
    with pytest.raises(ValueError):
        kernels.LmmKernel([], [], XyWXy, {})
