"""The layout of tables of estimates: digits, groups, notes, missing estimates."""

import pickle

import numpy as np
import pandas as pd
import pytest

from fastlmm_hlm.report.emm import EmmTable, significant_digits, table_text

FRAME = pd.DataFrame({"f": ["a", "b"], "emmean": [3.2, 3.3], "SE": [1.0, 1.0], "df": [17.04, 1234.567], "t.ratio": [3.2, np.nan],
                      "p.value": [0.00004, np.nan]})


@pytest.mark.parametrize("ratio, digits", [(1, 3), (388, 3), (389.5, 4), (3906, 4), (3908, 5), (39080, 5), (39095, 6), (1e8, 7), (1e13, 3)])
def test_digits_grow_where_emmeans_lets_them_grow(ratio, digits):
    estimate = np.array([5.123456789])
    assert significant_digits(estimate, estimate / ratio) == digits
    assert significant_digits(-estimate, estimate / ratio) == digits


def test_the_most_demanding_estimate_decides_and_missing_ones_do_not_ask():
    assert significant_digits(np.array([np.nan, 1234.5, 1300.0]), np.array([np.nan, 0.02, 50.0])) == 6
    assert significant_digits(np.array([0.001]), np.array([1.0])) == 3


def test_numbers_stand_right_and_words_left():
    assert table_text(FRAME, labels=["f"], estimate="emmean") == (
        " f emmean SE   df t.ratio p.value\n"
        " a    3.2  1   17   3.200  <.0001\n"
        " b    3.3  1 1235      NA      NA\n\n"
    )


def test_groups_have_heads_and_notes_come_last():
    frame = FRAME.assign(g=[True, False]).drop(columns=["t.ratio", "p.value"])
    assert table_text(frame, labels=["f"], by=["g"], estimate="emmean", heads=["above"], notes=["below "]) == (
        "above\n"
        "g =  TRUE:\n f emmean SE   df\n a    3.2  1   17\n\n"
        "g = FALSE:\n f emmean SE   df\n b    3.3  1 1235\n\n"
        "below \n"
    )


def test_an_estimate_that_does_not_exist_is_nonest():
    frame = pd.DataFrame({"f": ["a", "b"], "emmean": [1.25, np.nan], "SE": [0.5, np.nan], "df": [4.0, np.nan]})
    assert table_text(frame, labels=["f"], estimate="emmean").splitlines()[2] == " b nonEst  NA NA"


def test_wide_tables_are_cut_as_r_cuts_them():
    frame = pd.DataFrame({"contrast": ["x" * 60], "estimate": [1.0], "SE": [1.0], "df": [3.0], "lower.CL": [0.5], "upper.CL": [1.5]})
    lines = table_text(frame, labels=["contrast"], estimate="estimate").splitlines()
    assert max(map(len, lines)) < 80 and len(lines) > 3


def test_a_table_is_a_data_frame_that_pickles_with_its_layout():
    table = EmmTable.of(FRAME, labels=["f"], estimate="emmean", notes=["note "])
    again = pickle.loads(pickle.dumps(table))
    assert str(again) == str(table) and again.layout == table.layout
    assert table["SE"].sum() == 2.0 and type(table.head(1)) is pd.DataFrame
    assert "<td" in table._repr_html_() and "note" in table._repr_html_()
