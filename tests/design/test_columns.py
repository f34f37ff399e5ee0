"""Columns of a model matrix that are never assembled."""

import numpy as np
import pytest

from fastlmm_hlm.design.columns import BLOCK, dense, rows_of, times
from fastlmm_hlm.design.design import build_design
from reference.models import frame, term


@pytest.fixture
def matrix():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(BLOCK + 1000, 4))
    X[:, 1] = 1.0
    return X


def columns_of(X):
    return [None if (X[:, j] == 1.0).all() else X[:, j] for j in range(X.shape[1])]


def test_the_whole_matrix_is_the_columns_side_by_side(matrix):
    whole = dense(columns_of(matrix), len(matrix))
    np.testing.assert_array_equal(whole, matrix)
    assert whole.flags.f_contiguous


def test_rows_are_those_asked_for_in_their_order(matrix):
    rows = np.array([5, 0, BLOCK + 7, 5])
    np.testing.assert_array_equal(rows_of(columns_of(matrix), rows), matrix[rows])
    assert rows_of([], rows).shape == (4, 0)


@pytest.mark.parametrize("beta", [[1.0, 2.0, -3.0, 0.5], [0.0, 0.0, 0.0, 0.0], [0.0, 7.0, 0.0, 1e-3]])
def test_a_product_is_that_of_the_whole_matrix(matrix, beta):
    found = times(columns_of(matrix), np.array(beta), len(matrix))
    np.testing.assert_allclose(found, matrix @ beta, rtol=1e-13, atol=1e-13)


def test_a_product_of_no_columns_is_zero():
    assert times([], np.array([]), 3).tolist() == [0.0, 0.0, 0.0]


def test_a_product_leaves_the_columns_as_they_are(matrix):
    before = matrix.copy()
    times(columns_of(matrix), np.ones(4), len(matrix))
    np.testing.assert_array_equal(matrix, before)


@pytest.mark.parametrize("columns", [1, 2, 3, 5])
def test_every_column_is_centred_at_its_own_mean(columns):
    """A frame may make its columns anew whenever it is asked for them."""
    rng = np.random.default_rng(1)
    X, Z = rng.normal(2000, 1, size=(60, 1 + columns)), rng.normal(7, 1, size=(60, 1 + columns))
    X[:, 0] = Z[:, 0] = 1.0
    names = [f"x{j}" for j in range(1 + columns)]
    random = [term("g", np.arange(60) % 6, Z, names)]
    design = build_design(frame(rng.normal(size=60), X, random))
    np.testing.assert_allclose(design.x_centring.centre[1:], X[:, 1:].mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(design.factors[0].centring.centre[1:], Z[:, 1:].mean(axis=0), rtol=1e-12)
