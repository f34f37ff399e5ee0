"""Pictures of marginal means show the numbers of their tables."""

import numpy as np
import pytest
from emm_cases import fitted_case

from fastlmm_hlm import emmeans

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("agg")


def dots(ax):
    return np.concatenate([line.get_xydata() for line in ax.lines if len(line.get_xydata())])


def test_intervals_are_drawn_row_by_row_under_the_head_of_their_group():
    means = emmeans(fitted_case("factorial"), "~ a | b")
    ax = means.plot()
    table = means.to_frame()
    np.testing.assert_allclose(dots(ax)[:, 0], table["emmean"])
    ends = np.array([segment[:, 0] for segment in ax.collections[0].get_segments()])
    np.testing.assert_allclose(ends, table[["lower.CL", "upper.CL"]])
    assert [label.get_text() for label in ax.get_yticklabels()] == ["b = u:", "lo", "mid", "hi", "b = v:", "lo", "mid", "hi"]
    matplotlib.pyplot.close(ax.figure)


def test_lines_of_an_interaction_go_through_the_means():
    means = emmeans(fitted_case("factorial"), "~ a*b")
    ax = means.plot_interaction("a")
    assert len(ax.lines) == 2
    np.testing.assert_allclose(np.concatenate([line.get_ydata() for line in ax.lines]), means.to_frame()["emmean"])
    assert [label.get_text() for label in ax.get_xticklabels()] == ["lo", "mid", "hi"]
    matplotlib.pyplot.close(ax.figure)


def test_a_covariate_is_an_axis_of_numbers():
    means = emmeans(fitted_case("factorial"), "~ x*b", at={"x": [5, 8, 12]})
    ax = means.plot_interaction("x", ax=matplotlib.pyplot.subplots()[1])
    assert ax.lines[0].get_xdata() == pytest.approx([5, 8, 12], abs=0.1)
    matplotlib.pyplot.close(ax.figure)


def test_tables_have_html_with_the_same_words():
    means = emmeans(fitted_case("deficient"), "~ a | b")
    html = means._repr_html_()
    assert html.count("<table>") == 2 and "b = u" in html and "nonEst" in html
    assert "Confidence level used: 0.95" in html
    both = emmeans(fitted_case("cake"), "pairwise ~ recipe")._repr_html_()
    assert "<h4>emmeans</h4>" in both and "<h4>contrasts</h4>" in both and "NOTE" in both
