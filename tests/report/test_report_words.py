"""Shortened names and broken formulas, against stored R output."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stored_r_output import read

from fastlmm_hlm.report.abbreviate import abbreviate
from fastlmm_hlm.report.deparse import deparse_lines

STORED = read("words")
NAMES = st.lists(st.text("abceiouXYZ.:^()2 ", min_size=1, max_size=20), min_size=1, max_size=6)


def test_names_are_shortened_as_r_does():
    for case in STORED["abbreviate"]:
        assert abbreviate(case["names"], case["minlength"]) == case["text"], case


@given(NAMES, st.integers(1, 12))
def test_different_names_stay_different_when_shortened(names, minlength):
    names = [name.replace(" ", "") + "|" for name in names]
    short = abbreviate(names, minlength)
    assert len(set(short)) == len(set(names))


@pytest.mark.parametrize("case", STORED["deparse"], ids=lambda case: case["formula"][:40])
def test_formulas_are_broken_where_r_breaks_them(case):
    assert deparse_lines(case["formula"]) == case["lines"]


@pytest.mark.parametrize("case", STORED["deparse"][:20], ids=lambda case: case["formula"][:40])
def test_breaking_does_not_change_what_the_formula_says(case):
    text = " ".join(deparse_lines(case["formula"]))
    assert deparse_lines(text) == deparse_lines(case["formula"])


def test_a_formula_with_a_thousand_terms_can_be_broken():
    lines = deparse_lines("y ~ " + " + ".join(f"x{i}" for i in range(3000)))
    assert len(lines) > 100
    assert max(map(len, lines)) < 80


@pytest.mark.parametrize("text", ["{ data }", "x +", "f(", "a b", "x[1", "", "_df"])
def test_text_that_is_no_formula_is_left_alone(text):
    assert deparse_lines(text) == [text]
