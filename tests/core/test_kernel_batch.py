"""Products of many small matrices against NumPy's."""

import numpy as np
import pytest

from fastlmm_hlm._core.kernels import multiply_levels


@pytest.mark.parametrize("c", [1, 2, 3, 5])
@pytest.mark.parametrize("k", [1, 2, 7])
def test_products_of_levels_are_those_of_each_level(c, k):
    rng = np.random.default_rng(c * 10 + k)
    L, R = rng.normal(size=(11, c, c)), rng.normal(size=(11, c, k))
    np.testing.assert_allclose(multiply_levels(L, R), L @ R, atol=1e-14)


def test_no_levels_give_no_products():
    assert multiply_levels(np.empty((0, 2, 2)), np.empty((0, 2, 3))).shape == (0, 2, 3)


@pytest.mark.parametrize("left, right", [((3, 2, 2), (4, 2, 1)), ((3, 2, 1), (3, 2, 1)), ((3, 2, 2), (3, 3, 1))])
def test_shapes_that_do_not_fit_are_refused(left, right):
    with pytest.raises(ValueError, match="cannot multiply"):
        multiply_levels(np.zeros(left), np.zeros(right))
