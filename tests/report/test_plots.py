"""Pictures: what is drawn is in the frame, and all of the frame is drawn."""

import builtins
import statistics

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt  # noqa: E402
import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
import pytest  # noqa: E402
from matplotlib.collections import LineCollection  # noqa: E402

from fastlmm_hlm.errors import ArgumentError, FastlmmError  # noqa: E402
from fastlmm_hlm.report.plots import line_style, plot_group_averages, plot_group_lines  # noqa: E402


@pytest.fixture(autouse=True)
def clean_figures(monkeypatch):
    """No picture is shown, and none is left open."""
    def refuse(*arguments, **keywords):
        raise AssertionError("a plot called show()")

    monkeypatch.setattr(plt, "show", refuse)
    yield
    plt.close("all")


def averages(n, seed=1):
    rng = np.random.default_rng(seed)
    index = pd.Index([f"school {i}" for i in range(n)], name="school")
    return pd.DataFrame({"average": rng.normal(10, 2, n), "condsd": rng.uniform(0.2, 0.5, n)}, index=index)


def lines(n, points=3, seed=1):
    rng = np.random.default_rng(seed)
    x = np.tile(np.linspace(0, 1, points), n)
    group = np.repeat(np.arange(n), points)
    return pd.DataFrame({"school": group, "ses": x, "fitted": rng.normal(size=n)[group] + x * rng.normal(size=n)[group]})


def collections(ax):
    return [item for item in ax.collections if isinstance(item, LineCollection)]


def tick_labels(ax):
    return [label.get_text() for label in ax.get_yticklabels()]


def legend_of(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


# --- averages ---------------------------------------------------------------------


def test_averages_are_drawn_in_increasing_order_with_their_names():
    frame = averages(7)
    ax = plot_group_averages(frame)
    ordered = frame.sort_values("average")
    np.testing.assert_array_equal(ax.lines[0].get_xdata(), ordered["average"])
    assert tick_labels(ax) == ordered.index.tolist()
    assert ax.get_ylabel() == "school"


@pytest.mark.parametrize("level", [0.5, 0.95])
def test_intervals_reach_z_standard_deviations_to_both_sides(level):
    frame = averages(7)
    ax = plot_group_averages(frame, level=level)
    ordered = frame.sort_values("average")
    reach = statistics.NormalDist().inv_cdf((1 + level) / 2) * ordered["condsd"]
    drawn = np.array([segment[:, 0] for segment in collections(ax)[0].get_segments()])
    np.testing.assert_allclose(drawn[:, 0], ordered["average"] - reach)
    np.testing.assert_allclose(drawn[:, 1], ordered["average"] + reach)
    assert f"{100 * level:g}% interval" in legend_of(ax)


def test_a_series_is_drawn_without_intervals():
    ax = plot_group_averages(averages(7)["average"])
    assert collections(ax) == []
    assert ax.get_legend() is None


@pytest.mark.parametrize("n, shown", [(2, True), (7, True), (30, True), (160, False), (7000, False)])
def test_names_are_shown_only_where_there_is_room(n, shown):
    ax = plot_group_averages(averages(n))
    assert (len(tick_labels(ax)) == n) == shown
    if not shown:
        assert tick_labels(ax) == []
        assert f"{n:,} groups" in ax.get_ylabel()
    assert len(collections(ax)[0].get_segments()) == n


def test_names_do_not_overlap():
    ax = plot_group_averages(averages(30))
    ax.figure.canvas.draw()
    boxes = [label.get_window_extent() for label in ax.get_yticklabels()]
    assert all(above.y0 >= below.y1 - 1 for below, above in zip(boxes[:-1], boxes[1:]))


def test_the_population_is_a_vertical_line():
    ax = plot_group_averages(averages(7), population=10.5)
    assert np.ptp(ax.lines[-1].get_xdata()) == 0
    assert ax.lines[-1].get_xdata()[0] == 10.5
    assert "population, 10.5" in legend_of(ax)


def test_the_axes_given_are_used():
    ax = plt.subplots()[1]
    before = len(plt.get_fignums())
    assert plot_group_averages(averages(7), ax=ax) is ax
    assert plot_group_lines(lines(7), ax=ax) is ax
    assert len(plt.get_fignums()) == before


def test_labels_and_titles_can_be_given():
    ax = plot_group_averages(averages(7), xlabel="a", ylabel="b", title="c")
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_title(loc="left")) == ("a", "b", "c")
    ax = plot_group_lines(lines(7), xlabel="a", ylabel="b", title="c")
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_title(loc="left")) == ("a", "b", "c")


def test_averages_that_cannot_be_drawn_are_refused():
    with pytest.raises(ArgumentError, match="0 rows"):
        plot_group_averages(averages(7).iloc[:0])
    with pytest.raises(ArgumentError, match="level = 95"):
        plot_group_averages(averages(7), level=95)
    frame = averages(7)
    frame.loc["school 3", "condsd"] = np.nan
    with pytest.raises(ArgumentError, match="'condsd' is not finite in 1 row, first in row 'school 3'"):
        plot_group_averages(frame)


# --- lines ------------------------------------------------------------------------


def drawn_lines(ax):
    return {tuple(map(tuple, segment)) for segment in collections(ax)[0].get_segments()}


def test_every_group_is_one_line_through_its_points():
    frame = lines(12)
    expected = {tuple(zip(part["ses"], part["fitted"])) for _, part in frame.groupby("school")}
    assert drawn_lines(plot_group_lines(frame)) == expected


def test_the_order_of_the_rows_does_not_matter():
    frame = lines(12)
    assert drawn_lines(plot_group_lines(frame.sample(frac=1, random_state=3))) == drawn_lines(plot_group_lines(frame))


def test_the_population_lies_on_top():
    population = pd.DataFrame({"ses": [1.0, 0.0], "fitted": [3.0, 2.0]})
    ax = plot_group_lines(lines(12), population)
    np.testing.assert_array_equal(ax.lines[-1].get_xydata(), [[0, 2], [1, 3]])
    assert ax.lines[-1].get_zorder() > collections(ax)[0].get_zorder()
    assert legend_of(ax) == ["12 groups (school)", "population"]


def test_by_gives_every_kind_its_colour_and_its_population():
    frame = lines(12).assign(sector=lambda d: np.where(d["school"] < 5, "a", "b"))
    population = pd.DataFrame({"ses": [0.0, 1.0] * 2, "fitted": [1.0, 1.0, 2.0, 2.0], "sector": ["a", "a", "b", "b"]})
    ax = plot_group_lines(frame, population, by="sector")
    colours, counts = np.unique(collections(ax)[0].get_colors(), axis=0, return_counts=True)
    assert sorted(counts) == [5, 7]
    assert [line.get_ydata()[0] for line in ax.lines] == [1.0, 2.0]
    assert legend_of(ax) == ["a: 5 groups", "b: 7 groups", "a: population", "b: population"]


def test_all_lines_lie_inside_the_axes():
    frame = lines(50)
    ax = plot_group_lines(frame)
    low, high = ax.get_ylim()
    assert low < frame["fitted"].min() and high > frame["fitted"].max()


def test_more_lines_are_thinner_and_fainter():
    styles = np.array([line_style(n) for n in (1, 7, 160, 7000, 1_000_000)])
    assert (np.diff(styles, axis=0) <= 0).all()
    assert (styles > 0).all() and (styles[:, 1] <= 1).all()


def test_a_group_with_one_point_is_a_dot():
    frame = pd.concat([lines(3), pd.DataFrame({"school": [9], "ses": [0.4], "fitted": [0.2]})])
    ax = plot_group_lines(frame)
    assert [0.4, 0.2] in [point.tolist() for line in ax.lines for point in line.get_xydata()]


def test_lines_that_cannot_be_drawn_are_refused():
    with pytest.raises(ArgumentError, match="columns group, x, fitted"):
        plot_group_lines(lines(3)[["school", "ses"]])
    with pytest.raises(ArgumentError, match="frame has no column 'sector'"):
        plot_group_lines(lines(3), by="sector")
    with pytest.raises(ArgumentError, match="population has no column 'ses'"):
        plot_group_lines(lines(3), pd.DataFrame({"x": [0], "fitted": [1]}))
    with pytest.raises(ArgumentError, match="'fitted' is not finite"):
        plot_group_lines(lines(3).assign(fitted=np.inf))


def test_without_matplotlib_the_error_says_what_to_install(monkeypatch):
    original = builtins.__import__

    def without_matplotlib(name, *arguments, **keywords):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return original(name, *arguments, **keywords)

    monkeypatch.setattr(builtins, "__import__", without_matplotlib)
    for draw, frame in ((plot_group_averages, averages(3)), (plot_group_lines, lines(3))):
        with pytest.raises(FastlmmError, match=r'pip install "fastlmm_hlm\[plots\]"'):
            draw(frame)


@pytest.mark.parametrize("n", [7, 7000])
def test_pictures_can_be_saved(n, tmp_path):
    for name, ax in (("a", plot_group_averages(averages(n), population=10)), ("l", plot_group_lines(lines(n)))):
        path = tmp_path / f"{name}.png"
        ax.figure.savefig(path)
        picture = plt.imread(path)
        assert picture.shape[2] >= 3 and picture[..., :3].std() > 0.01
