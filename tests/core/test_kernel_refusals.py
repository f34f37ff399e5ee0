"""What the kernels refuse, in which words, and that they survive it."""

import numpy as np
import pytest

from fastlmm_hlm._core import kernels
from fastlmm_hlm._core.kernels import NoResidual, NotPositiveDefinite
from fastlmm_hlm.errors import FactorizationError, FastlmmError
from reference.arrays import Model, add_crossproducts, flat, kernel_of, pairs_of
from reference.arrays import random_model, random_templates, zeros_for

SHAPES = {"simplicial": {"nl": (9, 6), "nc": (2, 1)}, "supernodal": {"nl": (40, 40), "nc": (2, 2), "n": 700}}


@pytest.fixture(params=SHAPES)
def problem(request):
    model = random_model(1, **SHAPES[request.param])
    kernel = kernel_of(model)
    assert kernel.describe()[1] == (request.param == "supernodal")
    return kernel, flat(random_templates(np.random.default_rng(2), model))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e200])
def test_a_lambda_that_is_not_finite_is_refused_and_the_kernel_works_afterwards(problem, bad):
    kernel, Lambda = problem
    before = kernel.evaluate(Lambda, 3, True)
    with pytest.raises(FactorizationError):
        kernel.evaluate(np.where(np.arange(len(Lambda)) == 0, bad, Lambda), 3, True)
    after = kernel.evaluate(Lambda, 3, True)
    assert before[:3] == after[:3]
    np.testing.assert_array_equal(before[3], after[3])


def test_a_system_that_is_not_positive_definite_is_refused_and_the_kernel_works_afterwards(problem):
    kernel, Lambda = problem
    model = random_model(1, nl=(6,), nc=(1,))
    XyWXy, ZtWZ, ZtWXy = zeros_for(model)
    add_crossproducts(model, XyWXy, ZtWZ, ZtWXy)
    good = kernels.LmmKernel(ZtWZ, ZtWXy, XyWXy, {})
    expected = good.evaluate(np.ones(1), 0, True)
    ZtWZ[0][3] *= -1.0
    with pytest.raises(NotPositiveDefinite, match="random-effects system"):
        good.evaluate(np.ones(1), 0, True)
    ZtWZ[0][3] *= -1.0
    assert good.evaluate(np.ones(1), 0, True) == expected


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
