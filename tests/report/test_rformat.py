"""Numbers as R writes them, against stored R output and by their definition."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from stored_r_output import numbers, read

from fastlmm_hlm.errors import ArgumentError
from fastlmm_hlm.report.rformat import (
    cat_number,
    format_fixed,
    format_numbers,
    format_pvalues,
    round_r,
    signif,
    zapsmall,
)

STORED = read("numbers")
FINITE = st.floats(-1e300, 1e300, allow_subnormal=False)
ROUNDING_OF_A_DOUBLE = 1e-12
"""A number printed with 7 digits is within half a unit of the last digit, and
the double that comes back from the text adds a few units of 2**-52."""


def same(found, expected):
    """Equal, or both missing."""
    return found == expected or (math.isnan(found) and math.isnan(expected))


@pytest.mark.parametrize("kind", ["fixed or scientific", "nsmall"])
def test_format_writes_every_stored_vector_as_r_does(kind):
    cases = [c for c in STORED["format"] if (c["nsmall"] > 0) == (kind == "nsmall")]
    assert len(cases) > 100
    for case in cases:
        found = format_numbers(numbers(case["x"]), case["digits"], case["nsmall"])
        assert found == case["text"], case


def test_round_agrees_with_r_on_ties_and_large_numbers():
    for case in STORED["round"]:
        x = numbers([case["x"]])[0]
        assert same(round_r(x, case["digits"]), numbers([case["round"]])[0]), case


def test_signif_agrees_with_r():
    for case in STORED["round"]:
        x = numbers([case["x"]])[0]
        assert same(signif(x, case["digits"]), numbers([case["signif"]])[0]), case


def test_zapsmall_agrees_with_r():
    for case in STORED["zap"]:
        found = zapsmall(numbers(case["x"]), case["digits"])
        np.testing.assert_array_equal(found, numbers(case["text"]), err_msg=str(case))


def test_pvalues_are_written_as_format_pval_does():
    for case in STORED["pvalue"]:
        found = format_pvalues(numbers(case["p"]), case["digits"], float(case["eps"]))
        assert found == case["text"], case


@given(st.lists(FINITE, min_size=1, max_size=8), st.integers(1, 15))
def test_all_elements_of_a_formatted_vector_have_the_same_notation(x, digits):
    words = format_numbers(x, digits)
    assert len({"e" in word for word in words}) == 1
    assert len({len(word.split("e")[0].partition(".")[2]) for word in words}) == 1


@given(st.lists(FINITE, min_size=1, max_size=8), st.integers(1, 15))
def test_formatted_numbers_come_back_to_the_digits_asked_for(x, digits):
    for value, word in zip(x, format_numbers(x, digits), strict=True):
        slack = abs(value) * (0.5 * 10.0 ** (1 - digits) + ROUNDING_OF_A_DOUBLE)
        assert abs(float(word) - value) <= slack


@given(FINITE, st.integers(0, 10))
def test_rounding_twice_is_rounding_once(x, digits):
    once = round_r(x, digits)
    assert round_r(once, digits) == once


@given(st.lists(st.integers(-(10**12), 10**12), min_size=1, max_size=6))
def test_integers_are_written_exactly(x):
    words = format_numbers(np.array(x, dtype=np.int64))
    assert [int(word) for word in words] == x
    assert len({len(word) for word in words}) == 1


def test_ties_go_to_the_double_that_is_nearer():
    assert [round_r(x, 1) for x in (0.15, 0.25, 0.35, -0.15)] == [0.1, 0.2, 0.3, -0.1]
    assert [round_r(x) for x in (0.5, 1.5, 2.5)] == [0.0, 2.0, 2.0]
    assert format_numbers([0.15], 1) == ["0.1"]


def test_missing_numbers_are_named_as_asked():
    assert format_numbers([math.nan, 1.5]) == [" NA", "1.5"]
    assert format_numbers([math.nan, 1.5], nan="NaN") == ["NaN", "1.5"]
    assert format_numbers([math.inf, -math.inf, 1.0]) == [" Inf", "-Inf", "   1"]
    assert format_pvalues([math.nan, 0.5], nan="") == ["", "0.5"]


def test_nothing_and_truth_values_can_be_formatted():
    assert format_numbers([]) == []
    assert format_pvalues([]) == []
    assert format_numbers(np.array([True, False])) == [" TRUE", "FALSE"]


def test_negative_zero_loses_its_sign_but_a_small_number_keeps_it():
    assert format_numbers([-0.0, 1.0]) == ["0", "1"]
    assert format_fixed(-0.001, 2) == "-0.00"
    assert cat_number(100000.0) == "1e+05"


@pytest.mark.parametrize("digits", [0, 23])
def test_an_impossible_number_of_digits_is_refused(digits):
    with pytest.raises(ArgumentError, match=f"digits = {digits} .* from 1 to 22"):
        format_numbers([1.0], digits)
