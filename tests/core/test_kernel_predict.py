"""Kernels of the linear predictor: the definition in NumPy, and what they refuse."""

import numpy as np
import pytest

from fastlmm_hlm._core import kernels
from fastlmm_hlm._core.kernels import Columns

ROUNDING = 1e-13


@pytest.mark.parametrize("n", [0, 1, 255, 256, 257, 5000])
def test_parts_of_the_linear_predictor_are_added(n):
    rng = np.random.default_rng(n)
    x, z, level = rng.normal(size=(3, n)), rng.normal(size=(2, n)), rng.integers(-1, 7, n).astype(np.int32)
    beta, b = rng.normal(size=4), rng.normal(size=(7, 3))
    out = rng.normal(size=n)
    wanted = out + beta[0] + beta[1:] @ x
    effects = np.vstack([b, np.zeros(3)])[level]
    wanted += effects[:, 0] + effects[:, 1] * z[0] + effects[:, 2] * (z[1] - 0.5)
    kernels.add_fixed(Columns([(None, 0.0), *((column, 0.0) for column in x)]), beta, out)
    kernels.add_effects(level, Columns([(None, 0.0), (z[0], 0.0), (z[1], 0.5)]), b, out)
    np.testing.assert_allclose(out, wanted, rtol=ROUNDING, atol=ROUNDING)


def test_a_missing_value_stays_missing_where_its_coefficient_is_zero_or_its_level_unknown():
    column, out = np.array([1.0, np.nan, np.nan]), np.zeros(3)
    kernels.add_fixed(Columns([(column, 0.0)]), np.zeros(1), out)
    assert np.isnan(out).tolist() == [False, True, True]
    out[:] = 0.0
    kernels.add_effects(np.array([0, 0, -1], dtype=np.int32), Columns([(column, 0.0)]), np.zeros((1, 1)), out)
    assert np.isnan(out).tolist() == [False, True, True]


@pytest.mark.parametrize("level", [[0, 2], [0, -2]])
def test_a_level_that_is_not_there_is_refused_and_nothing_is_written(level):
    out = np.full(2, -5.0)
    with pytest.raises(ValueError, match="level code"):
        kernels.add_effects(np.array(level, dtype=np.int32), Columns([(None, 0.0)]), np.ones((2, 1)), out)
    assert (out == -5.0).all()


def test_lengths_that_do_not_fit_are_refused():
    one, out, codes = Columns([(np.ones(3), 0.0)]), np.zeros(2), np.zeros(2, dtype=np.int32)
    with pytest.raises(ValueError, match="3 rows, expected 2"):
        kernels.add_fixed(one, np.ones(1), out)
    with pytest.raises(ValueError, match="beta has 2 elements"):
        kernels.add_fixed(Columns([(None, 0.0)]), np.ones(2), out)
    with pytest.raises(ValueError, match="level codes have 2 rows"):
        kernels.add_effects(codes, one, np.ones((1, 1)), np.zeros(3))
    with pytest.raises(ValueError, match="b has 2 columns"):
        kernels.add_effects(codes, Columns([(None, 0.0)]), np.ones((1, 2)), out)
