"""Coefficients of contrasts."""

import numpy as np
import pytest

from fastlmm_hlm.errors import ArgumentError
from fastlmm_hlm.inference.emmeans.contrasts import METHODS, coefficients

LABELS = ["A", "B", "C", "D"]
ROUNDING = 1e-12


@pytest.mark.parametrize("method", [m for m in METHODS if m != "identity"])
@pytest.mark.parametrize("k", [2, 3, 7])
def test_contrasts_sum_to_zero(method, k):
    names, C = coefficients(method, [f"l{i}" for i in range(k)], "test")
    assert C.shape == (len(names), k)
    np.testing.assert_allclose(C.sum(axis=1), 0.0, atol=ROUNDING)


def test_pairwise_names_and_signs():
    names, C = coefficients("pairwise", LABELS, "test")
    assert names == ["A - B", "A - C", "A - D", "B - C", "B - D", "C - D"]
    np.testing.assert_array_equal(C[1], [1, 0, -1, 0])
    reverse_names, reverse = coefficients("pairwise", LABELS, "test", reverse=True)
    assert (reverse_names, reverse.tolist()) == tuple(x if i == 0 else x.tolist() for i, x in enumerate(coefficients("revpairwise", LABELS, "test")))


def test_polynomials_are_the_tables_of_textbooks():
    names, C = coefficients("poly", [str(i) for i in range(5)], "test")
    assert names == ["linear", "quadratic", "cubic", "quartic"]
    np.testing.assert_array_equal(C, [[-2, -1, 0, 1, 2], [2, -1, -2, -1, 2], [-1, 2, 0, -2, 1], [1, -4, 6, -4, 1]])


def test_polynomials_are_orthogonal_whole_numbers_and_stop_at_degree_six():
    names, C = coefficients("poly", [str(i) for i in range(12)], "test")
    assert names[-1] == "degree 6" and len(names) == 6
    np.testing.assert_array_equal(C, np.round(C))
    products = C @ C.T
    np.testing.assert_array_equal(products, np.diag(np.diag(products)))


def test_control_levels_by_place_and_by_name():
    by_place = coefficients("trt.vs.ctrl", LABELS, "test", ref=1)
    assert by_place[0] == ["A - B", "C - B", "D - B"] == coefficients("trt.vs.ctrl", LABELS, "test", ref="B")[0]
    names, C = coefficients("trt.vs.ctrl", LABELS, "test", ref=[0, "B"])
    assert names == ["C - avg(A,B)", "D - avg(A,B)"]
    np.testing.assert_array_equal(C[0], [-0.5, -0.5, 1, 0])


def test_helmert_contrasts_are_orthogonal():
    names, C = coefficients("helmert", LABELS, "test")
    assert names == ["B - A", "C - avg(A,B)", "D - avg(A,B,C)"]
    np.testing.assert_allclose(C @ C.T, np.diag(np.diag(C @ C.T)), atol=ROUNDING)


@pytest.mark.parametrize("method", ["pair", {"x": [1, -1]}, {}, {"x": [1, np.nan, 0, 0]}])
def test_what_is_no_set_of_contrasts_is_refused(method):
    with pytest.raises(ArgumentError, match="contrast"):
        coefficients(method, LABELS, "contrast")
