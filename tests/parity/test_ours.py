"""Collecting our own answers."""

import numpy as np
import pandas as pd

from parity.ours import modes_summary

LONG = pd.DataFrame(
    {
        "grpvar": ["g", "g", "g", "g", "h", "h"],
        "term": ["(Intercept)", "x", "x", "(Intercept)", "(Intercept)", "(Intercept)"],
        "grp": [1, 2, 1, 2, "b", "a"],
        "condval": [1.0, 4.0, 3.0, 2.0, 5.0, 6.0],
        "condsd": [0.1, 0.4, 0.3, 0.2, 0.5, 0.6],
    }
)


def test_modes_are_arranged_by_level_and_term_whatever_the_order_of_rows():
    g, h = modes_summary(LONG)
    assert (g["grpvar"], g["terms"], g["levels"]) == ("g", ["(Intercept)", "x"], ["1", "2"])
    assert np.array_equal(g["condval"], [[1.0, 3.0], [2.0, 4.0]])
    assert np.allclose(g["condsd_sum_of_squares"], [0.01 + 0.04, 0.09 + 0.16])
    assert (h["levels"], h["condval"].tolist()) == (["b", "a"], [[5.0], [6.0]])
