"""Columns of a model matrix that are never assembled."""

import numpy as np
import pytest

from fastlmm_hlm.design.columns import BLOCK, dense, rows_of, times


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
