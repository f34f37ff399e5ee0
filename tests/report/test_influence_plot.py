"""The picture of influence."""

import numpy as np
import pandas as pd
import pytest

from fastlmm_hlm.errors import ArgumentError
from fastlmm_hlm.report.influence import plot_influence

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")


@pytest.fixture(autouse=True)
def close_figures():
    yield
    import matplotlib.pyplot as plt

    plt.close("all")


def values(k, seed=1):
    return pd.Series(np.random.default_rng(seed).chisquare(1, k), index=[f"g{i}" for i in range(k)], name="Cook's distance")


@pytest.mark.parametrize("k", [7, 160, 7000])
def test_every_deletion_is_a_point_and_the_largest_have_names(k):
    y = values(k)
    ax = plot_influence(y, "school")
    points = np.concatenate([line.get_xydata() for line in ax.lines if line.get_marker() == "o"])
    assert len(points) == k and set(points[:, 1]) == set(y)
    named = {text.get_text() for text in ax.texts} if k > 30 else {tick.get_text() for tick in ax.get_xticklabels()}
    assert set(y.nlargest(5).index) <= named
    assert ax.get_ylabel() == "Cook's distance"


def test_labels_do_not_lie_on_each_other():
    y = values(200)
    y.iloc[[50, 51, 52]] = [20.0, 20.05, 20.1]
    ax = plot_influence(y, "school", label=6)
    ax.figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in ax.texts]
    assert len(boxes) == 6
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


def test_sizes_are_counted_from_the_centre():
    y = pd.Series(np.ones(40), name="covratio")
    y.iloc[7] = 0.2
    ax = plot_influence(y, "case", centre=1.0, label=1)
    assert [text.get_text() for text in ax.texts] == ["7"]


def test_missing_values_are_left_out_and_none_at_all_refused():
    y = values(50)
    y.iloc[3] = np.nan
    ax = plot_influence(y, "school")
    assert sum(len(line.get_xdata()) for line in ax.lines if line.get_marker() == "o") == 49
    with pytest.raises(ArgumentError, match="none of the 50 values"):
        plot_influence(y * np.nan, "school")
