"""Tables of measures in easystats' layout."""

import doctest

import pandas as pd

from fastlmm_hlm.report import measures
from fastlmm_hlm.report.measures import piped_table, three_decimals, weight_text


def test_the_examples_hold():
    assert doctest.testmod(measures).failed == 0 and doctest.testmod(measures).attempted > 0


def test_columns_are_separated_by_bars_and_weights_stand_in_parentheses():
    frame = pd.DataFrame({"Name": ["a", "longer"], "AIC": [1.25, 20.0], "AIC_wt": [0.9995, 0.0005], "R": [0.5, float("nan")]})
    assert piped_table(frame, {"R": "R (x)"}).splitlines() == [
        "Name   | AIC (weights) | R (x)",
        "------------------------------",
        "a      |   1.2 (>.999) | 0.500",
        "longer |  20.0 (<.001) |",
    ]


def test_numbers_at_the_ends_become_words():
    assert [weight_text(v) for v in (0.0001, 0.25, 0.9999)] == ["<.001", ".250", ">.999"]
    assert three_decimals(float("nan")) == "" and three_decimals(2) == "2.000"
