"""Vectors, matrices, data frames and coefficient tables as R lays them out."""

import numpy as np
import pandas as pd
import pytest
from stored_r_output import frame, read

from fastlmm_hlm.errors import ArgumentError
from fastlmm_hlm.report import anova_text, comparison_heading, matrix_text, printcoefmat
from fastlmm_hlm.report.layout import (
    display_width,
    fill_text,
    named_vector_text,
    string_matrix_text,
    wrap_words,
)

STORED = read("layout")


def test_named_vectors_are_wrapped_as_r_does():
    for case in STORED["vector"]:
        assert named_vector_text(case["names"], case["values"], case["gap"]) == case["text"]


def test_matrices_are_cut_into_groups_of_columns_as_r_does():
    for case in STORED["matrix"]:
        assert matrix_text(frame(case["frame"])) == case["text"]


def test_data_frames_are_printed_as_r_does():
    for case in STORED["matrix"]:
        assert matrix_text(frame(case["frame"])) == case["frame_text"]


def test_coefficient_tables_are_printed_as_r_does():
    for case in STORED["coefmat"]:
        assert printcoefmat(frame(case["frame"]), case["digits"]) == case["text"], case


def test_anova_tables_are_printed_as_r_does():
    for case in STORED["anova"]:
        assert anova_text(frame(case["frame"]), case["heading"]) == case["text"], case


def test_words_truth_values_and_missing_values_have_r_names():
    df = pd.DataFrame(
        {
            "x": ["a", None],
            "y": [1.0, np.nan],
            "z": pd.array([True, None], dtype="boolean"),
            "f": pd.Categorical(["u", None]),
            "i": pd.array([1, None], dtype="Int64"),
        },
        index=["1", "2"],
    )
    assert matrix_text(df) == (
        "     x  y    z    f  i\n1    a  1 TRUE    u  1\n2 <NA> NA   NA <NA> NA\n"
    )


def test_a_data_frame_without_rows_says_so():
    df = pd.DataFrame({"aaa": [], "b": []})
    assert matrix_text(df) == "[1] aaa b  \n<0 rows> (or 0-length row.names)\n"


def test_an_empty_coefficient_table_keeps_its_header():
    df = pd.DataFrame({"Sum Sq": [], "Pr(>F)": []})
    assert anova_text(df, ["Title"]) == "Title\n     Sum Sq Pr(>F)\n"


def test_a_table_without_columns_is_refused():
    with pytest.raises(ArgumentError, match="the table has no columns"):
        printcoefmat(pd.DataFrame(index=["a"]))
    with pytest.raises(ArgumentError, match="the table has no columns"):
        anova_text(pd.DataFrame(index=["a"]))


def test_stars_and_their_legend_can_be_left_out():
    df = pd.DataFrame(
        {"Estimate": [1.0], "Std. Error": [0.1], "t value": [10.0], "Pr(>|t|)": [1e-5]},
        index=["x"],
    )
    assert "***" in printcoefmat(df)
    assert "Signif." not in printcoefmat(df, signif_legend=False)
    assert "*" not in printcoefmat(df, signif_stars=False)


def test_wide_and_combining_characters_are_counted_as_the_terminal_shows_them():
    assert display_width("\u65e5\u672c") == 4
    assert display_width("e\u0301") == 1
    names = ["\u65e5\u672c", "\u00e9", "x"]
    text = named_vector_text(names, [" 1.123456", "22.100000", " 3.500000"])
    assert text == "     \u65e5\u672c         \u00e9         x \n 1.123456 22.100000  3.500000 \n"


def test_line_breaks_inside_a_word_cannot_break_a_table():
    text = string_matrix_text(["r"], ["x"], [["a\nb"]])
    assert text == "     x\nr a\\nb\n"


@pytest.mark.parametrize(("length", "lines"), [(50, 1), (51, 2)])
def test_an_item_that_does_not_fit_goes_to_the_next_line(length, lines):
    text = fill_text(["Number of obs: 100, groups: ", "a" * length])
    assert text.count("\n") == lines
    assert text.startswith("Number of obs: 100, groups:  ")


def test_wrapped_words_stay_below_the_width():
    lines = wrap_words("ab " * 60, width=20, indent=2)
    assert max(map(len, lines)) < 20
    assert all(line.startswith("  ab") for line in lines[1:])


def test_the_heading_of_a_comparison_names_data_and_models():
    assert comparison_heading({"m0": "y ~ x", "m1": "y ~ z"}, data="d", subset="x > 1") == [
        "Data: d",
        "Subset: x > 1",
        "Models:",
        "m0: y ~ x",
        "m1: y ~ z",
    ]
