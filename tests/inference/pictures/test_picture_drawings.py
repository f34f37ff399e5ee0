"""What is drawn is in the frames; the Axes given are used; nothing else is touched."""

import builtins
import warnings

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.collections import LineCollection, PolyCollection

from fastlmm_hlm import datasets, dotplot, lmer, plot, qqmath, ranef
from fastlmm_hlm.errors import ArgumentError, FastlmmError, SingularFitWarning
from fastlmm_hlm.report.plot_check import plot_inflation

PICTURES = {
    "averages": lambda f, x, g, **k: f.plot_averages(g, **k),
    "lines": lambda f, x, g, **k: f.plot_lines(x, g, **k),
    "panels": lambda f, x, g, **k: f.plot_panels(x, g, ols=True, **k),
    "ranef": lambda f, x, g, **k: f.plot_ranef(**k),
    "ranef_qq": lambda f, x, g, **k: f.plot_ranef_qq(**k),
    "ranef_pairs": lambda f, x, g, **k: f.plot_ranef_pairs(g, **k),
    "shrinkage": lambda f, x, g, **k: f.plot_shrinkage(g, **k),
    "residuals": lambda f, x, g, **k: f.plot_residuals(**k),
    "residuals by x": lambda f, x, g, **k: f.plot_residuals(x, **k),
    "residuals by group": lambda f, x, g, **k: f.plot_residuals(g, **k),
    "scale_location": lambda f, x, g, **k: f.plot_scale_location(**k),
    "qq": lambda f, x, g, **k: f.plot_qq(**k),
    "cooks": lambda f, x, g, **k: f.plot_cooks(**k),
    "predictive": lambda f, x, g, **k: f.plot_predictive(5, seed=1, **k),
    "check": lambda f, x, g, **k: f.check_model(**k),
}
PANELS = {"panels": 7, "ranef": 2, "ranef_qq": 2, "ranef_pairs": 1, "check": 7}


def legend_of(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def dots(ax):
    """Markers without lines, in the order drawn."""
    return [line for line in ax.lines if line.get_linestyle() == "None" and len(line.get_xdata())]


def segments(ax):
    return [len(c.get_segments()) for c in ax.collections if isinstance(c, LineCollection)]


@pytest.mark.parametrize("name", list(PICTURES))
def test_every_picture_makes_one_figure_and_saves_without_a_warning(seven, name, tmp_path):
    before = set(plt.get_fignums())
    axes = np.ravel(PICTURES[name](seven, "hours", "class"))
    assert len(axes) == PANELS.get(name, 1)
    assert len(set(plt.get_fignums()) - before) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        axes[0].figure.savefig(tmp_path / "picture.png")
    assert plt.imread(tmp_path / "picture.png")[..., :3].std() > 0.01


@pytest.mark.parametrize("name", list(PICTURES))
def test_every_picture_draws_where_it_is_told(seven, name):
    count = PANELS.get(name, 1)
    figure, axes = plt.subplots(1, count, squeeze=False)
    before = plt.get_fignums()
    given = axes.ravel() if name in PANELS else axes[0, 0]
    returned = PICTURES[name](seven, "hours", "class", ax=given)
    assert list(np.ravel(returned)) == list(axes.ravel())
    assert plt.get_fignums() == before and len(figure.axes) == count
    assert all(ax.lines or ax.collections or ax.texts for ax in axes.ravel() if ax.axison)


@pytest.mark.parametrize("name", list(PICTURES))
def test_every_picture_fills_a_figure_or_a_part_of_one(seven, name, tmp_path):
    figure = plt.figure(figsize=(24, 10), layout="constrained")
    part = figure.subfigures(1, 2)[1]
    before = plt.get_fignums()
    axes = np.ravel(PICTURES[name](seven, "hours", "class", ax=part))
    assert all(ax.figure is part for ax in axes) and plt.get_fignums() == before
    figure.savefig(tmp_path / "picture.png")


@pytest.mark.parametrize("name", list(PICTURES))
def test_seven_thousand_groups_can_be_drawn_and_saved(many, name, tmp_path):
    axes = np.ravel(PICTURES[name](many, "hours", "class"))
    axes[0].figure.savefig(tmp_path / "picture.png", dpi=50)
    labels = sum(len(ax.get_yticklabels()) for ax in axes)
    assert labels < 300


@pytest.mark.parametrize("name", list(PICTURES))
def test_without_matplotlib_the_error_says_what_to_install(sleep, monkeypatch, name):
    original = builtins.__import__

    def without_matplotlib(module, *arguments, **keywords):
        if module.startswith("matplotlib"):
            raise ImportError(module)
        return original(module, *arguments, **keywords)

    monkeypatch.setattr(builtins, "__import__", without_matplotlib)
    with pytest.raises(FastlmmError, match=r'pip install "fastlmm_hlm\[plots\]"'):
        PICTURES[name](sleep, "Days", "Subject")


@pytest.mark.parametrize("name", [name for name in PICTURES if name not in ("lines", "panels", "ranef_pairs", "residuals by x")])
def test_a_singular_fit_can_be_drawn(name, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SingularFitWarning)
        fit = lmer("Yield ~ 1 + (1 | Batch)", datasets.load("Dyestuff2"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.ravel(PICTURES[name](fit, None, "Batch"))[0].figure.savefig(tmp_path / "picture.png")


def test_too_few_or_other_axes_are_refused(sleep):
    ax = plt.subplots()[1]
    with pytest.raises(ArgumentError, match="1 axes were given for 2 random effects"):
        sleep.plot_ranef(ax=ax)
    with pytest.raises(ArgumentError, match="ax holds str"):
        sleep.plot_qq(ax="here")
    with pytest.raises(ArgumentError, match="2 axes were given for one picture"):
        sleep.plot_qq(ax=plt.subplots(1, 2)[1])


# --- lme4's names -------------------------------------------------------------------


def test_the_names_of_lme4_draw_the_same(sleep):
    np.testing.assert_array_equal(dots(plot(sleep))[0].get_ydata(), dots(sleep.plot_residuals())[0].get_ydata())
    np.testing.assert_array_equal(dots(qqmath(sleep))[0].get_ydata(), np.sort(sleep.residuals("pearson", scaled=True)))
    for ours, theirs in ((dotplot(ranef(sleep)), sleep.plot_ranef()), (qqmath(ranef(sleep)), sleep.plot_ranef_qq())):
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(dots(a)[-1].get_xydata(), dots(b)[-1].get_xydata())


def test_a_picture_of_something_else_is_refused():
    with pytest.raises(ArgumentError, match="expected a fitted model"):
        dotplot([1, 2])
    with pytest.raises(ArgumentError, match="expected a fitted model"):
        plot(ranef(lmer("Reaction ~ 1 + (1 | Subject)", datasets.load("sleepstudy"))))


# --- contents -----------------------------------------------------------------------


def test_a_caterpillar_has_a_panel_per_effect_with_darker_intervals_without_zero(sleep):
    axes, frame = sleep.plot_ranef(), sleep.ranef_data()
    assert [ax.get_xlabel() for ax in axes] == ["(Intercept)", "Days"]
    for ax, (_, part) in zip(axes, frame.groupby("term", sort=False)):
        part = part.sort_values("place")
        np.testing.assert_array_equal(dots(ax)[-1].get_xdata(), part["condval"])
        out = int(part["excludes_zero"].sum())
        assert segments(ax) == [18 - out, out]
        assert legend_of(ax) == [f"95% interval without zero ({out})", f"with zero ({18 - out})"]
    names = [label.get_text() for label in axes[0].get_yticklabels()]
    assert names == frame[frame["term"] == "Days"].sort_values("place")["grp"].tolist()
    assert [label.get_text() for label in axes[1].get_yticklabels()] == [""] * 18


def test_a_caterpillar_of_two_factors_has_a_row_for_each(plates):
    axes = plates.plot_ranef()
    assert [ax.get_ylabel() for ax in axes] == ["plate", "sample"]
    assert [len(ax.get_yticklabels()) for ax in axes] == [24, 6]


def test_up_to_twenty_thousand_rows_are_dots_and_more_are_hexagons(sleep, many):
    ax = sleep.plot_residuals()
    assert len(dots(ax)[0].get_xdata()) == 180 and legend_of(ax)[0] == "180 rows"
    ax = many.plot_residuals()
    hexagons = [c for c in ax.collections if isinstance(c, PolyCollection)]
    assert dots(ax) == [] and hexagons[0].get_array().sum() == 24_000
    assert legend_of(ax)[0] == f"24,000 rows; the darkest hexagon has {int(hexagons[0].get_array().max()):,}"


def test_missing_values_of_a_covariate_are_counted():
    data = datasets.load("sleepstudy")
    data["age"] = np.where(np.arange(180) < 5, np.nan, 30.0 + np.arange(180) % 7)
    ax = lmer("Reaction ~ Days + (1 | Subject)", data).plot_residuals("age")
    assert legend_of(ax)[0] == "175 rows (5 without age left out)"
    data["age"] = np.nan
    with pytest.raises(ArgumentError, match="0 rows without missing values"):
        lmer("Reaction ~ Days + (1 | Subject)", data).plot_residuals("age")


def test_residuals_by_level_are_boxes_for_few_and_medians_for_many(sleep, many):
    ax = sleep.plot_residuals("Subject")
    assert len(ax.patches) == 18
    frame = sleep.residuals_data("Subject")
    quartile = frame.groupby("Subject", observed=True)[".resid"].quantile(0.25)
    names = [label.get_text() for label in ax.get_yticklabels()]
    boxes = {names[round(p.get_y() + p.get_height() / 2)]: p.get_x() for p in ax.patches}
    assert boxes["308"] == pytest.approx(quartile["308"]) and names[-1] == "308"
    ax = many.plot_residuals("class")
    medians = dots(ax)[0].get_xdata()
    assert len(medians) == 7000 and (np.diff(medians) >= 0).all()
    assert "7,000 levels (class), in order of the medians" == ax.get_ylabel()


def test_the_quantile_plot_keeps_both_tails(many):
    ax, frame = many.plot_qq(), many.qq_data()
    drawn = dots(ax)[0].get_ydata()
    assert len(drawn) < 4_100
    np.testing.assert_array_equal(drawn[:500], frame[".resid"][:500])
    np.testing.assert_array_equal(drawn[-500:], frame[".resid"][-500:])
    assert legend_of(ax)[0] == f"24,000 rows, {len(drawn):,} drawn"


def test_labels_are_the_names_of_the_outlying_rows(sleep):
    ax, frame = sleep.plot_qq(), sleep.qq_data()
    written = {text.get_text() for text in ax.texts}
    assert written <= set(frame.index[frame["outlying"]].astype(str))
    assert {"56", "59", "7"} <= written
    assert len(sleep.plot_qq(id=None).texts) == 0


def test_labels_do_not_overlap_each_other_and_lie_inside(sleep, schools):
    for ax in (sleep.plot_shrinkage(), schools.plot_residuals(id=0.05), schools.plot_qq(), sleep.plot_cooks(label=10)):
        ax.figure.canvas.draw()
        boxes = [text.get_window_extent() for text in ax.texts]
        assert boxes
        for i, one in enumerate(boxes):
            # Letters are measured by their average width, so a pixel or two may touch.
            assert not any(one.shrunk(0.8, 0.7).overlaps(other.shrunk(0.8, 0.7)) for other in boxes[i + 1 :])


def test_ellipses_hold_their_share_of_the_estimated_distribution(sleep):
    ax, S = sleep.plot_ranef_pairs()[0], sleep.VarCorr()["Subject"].to_numpy()
    curves = [line.get_xydata() for line in ax.lines if len(line.get_xdata()) > 100]
    for curve, share in zip(curves, (0.5, 0.95), strict=True):
        distance = np.einsum("kc,cd,kd->k", curve, np.linalg.inv(S), curve)
        np.testing.assert_allclose(distance, -2 * np.log(1 - share), rtol=1e-10)


def test_pairs_of_three_effects_have_three_panels():
    data = datasets.load("sleepstudy").assign(square=lambda d: (d["Days"] - 4.5) ** 2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SingularFitWarning)
        fit = lmer("Reaction ~ Days + square + (Days + square | Subject)", data)
    axes = fit.plot_ranef_pairs()
    assert [(ax.get_xlabel(), ax.get_ylabel()) for ax in axes] == [("(Intercept)", "Days"), ("(Intercept)", "square"), ("Days", "square")]
    with pytest.raises(ArgumentError, match="3 terms were given"):
        fit.plot_shrinkage(terms=["(Intercept)", "Days", "square"])


def test_shrinkage_starts_at_least_squares_and_ends_at_the_mixed_model(sleep):
    ax, frame = sleep.plot_shrinkage(), sleep.shrinkage_data()
    own, mixed = dots(ax)[:2]
    for column, line in (("ols", own), ("mixed", mixed)):
        wide = frame.pivot(index="grp", columns="term", values=column)[["(Intercept)", "Days"]]
        np.testing.assert_allclose(line.get_xydata(), wide.to_numpy())
    assert "18 groups of Subject" in legend_of(ax)
    assert {text.get_text() for text in ax.texts} == set(frame["grp"])


def test_groups_without_own_estimates_and_far_ones_are_counted(many):
    ax, frame = many.plot_shrinkage(), many.shrinkage_data()
    absent = int(frame.groupby("grp")["ols"].apply(lambda v: v.isna().any()).sum())
    assert f"{absent:,} without own estimates" in legend_of(ax)[-1]
    own = dots(ax)[0].get_xydata()
    (x0, x1), (y0, y1) = ax.get_xlim(), ax.get_ylim()
    outside = int(((own < (x0, y0)) | (own > (x1, y1))).any(axis=1).sum())
    assert f"{outside:,} outside the axes" in legend_of(ax)[-1] and len(own) == 7000 - absent


def test_no_group_with_own_estimates_is_refused():
    data = datasets.load("sleepstudy")
    data = data.assign(age=20.0 + data["Subject"].cat.codes % 7)         # constant within each subject
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SingularFitWarning)
        fit = lmer("Reaction ~ age + (age | Subject)", data)
    with pytest.raises(ArgumentError, match="none of the 18 groups of Subject determines"):
        fit.plot_shrinkage()


def test_the_population_is_drawn_with_the_averages(sleep, schools):
    ax = sleep.plot_averages()
    assert ax.get_xlabel() == "Reaction  (Days = 4.5)"
    assert any(text.startswith("population, 298.5") for text in legend_of(ax))
    assert any(text.startswith("population, mean over the groups, 12.6") for text in legend_of(schools.plot_averages()))


def test_kinds_of_groups_have_their_colours_and_population_lines(schools, seven):
    assert legend_of(schools.plot_lines("cses", by="sector")) == [
        "Catholic: 70 groups", "Public: 90 groups", "Catholic: population", "Public: population"]
    assert legend_of(seven.plot_lines("hours", by="kind")) == ["private: 3 groups", "public: 4 groups", "population"]
    with pytest.raises(ArgumentError, match="there are colours for 7"):
        schools.plot_lines("cses", by="meanses")


def test_panels_share_their_axes_and_have_the_groups_names(seven):
    axes = seven.plot_panels("hours")
    assert [ax.get_title(loc="left") for ax in axes] == [str(k) for k in range(1, 8)]
    assert len({ax.get_ylim() for ax in axes}) == 1
    assert [len(ax.lines) for ax in axes] == [3] * 7
    assert [len(ax.lines) for ax in seven.plot_panels("hours", ols=True, groups=[2, 5])] == [4, 4]
    with pytest.raises(ArgumentError, match="ncols = 0"):
        seven.plot_panels("hours", ncols=0)


def test_rows_of_large_panels_are_thinned_and_the_legend_says_so():
    rng = np.random.default_rng(3)
    n = 9000
    data = {"x": rng.normal(size=n), "g": np.arange(n) % 3}
    data["y"] = data["x"] + data["g"] + rng.normal(size=n)
    axes = lmer("y ~ x + (1 | g)", data).plot_panels("x")
    assert [len(ax.lines[0].get_xdata()) for ax in axes] == [2000] * 3
    assert axes[0].figure.legends[0].get_texts()[0].get_text() == "6,000 of 9,000 rows drawn"


def test_cooks_distances_have_a_bar_each_or_the_largest_of_neighbours(sleep, many):
    ax = sleep.plot_cooks()
    assert segments(ax) == [180] and "59" in {text.get_text() for text in ax.texts}
    ax = many.plot_cooks()
    assert segments(ax) == [1500] and legend_of(ax)[0] == "24,000 rows, each bar the largest of 16"
    top = max(segment[1, 1] for segment in ax.collections[0].get_segments())
    assert top == many.cooks_data()[".cooksd"].max()


def test_the_page_says_what_the_checks_found(sleep):
    axes = sleep.check_model()
    heads = [ax.get_title(loc="left") for ax in axes]
    assert heads == ["Linearity", "Homogeneity of variance", "Influential rows", "Collinearity", "Normality of residuals",
                     "Normality of random effects", "Normality of random effects"]
    texts = [{text.get_text() for text in ax.texts} for ax in axes]
    assert "constant variance: p < .001" in texts[1]
    assert "4 outliers (Cook's distance above 0.70)" in texts[2]
    assert "fewer than two terms: nothing to inflate" in texts[3]
    assert "Shapiro-Wilk: p < .001" in texts[4]
    assert len(sleep.check_outliers().rows) == 4


def test_contours_on_the_page_are_where_cooks_distance_has_that_value(sleep):
    ax = sleep.check_model("influence")[0]
    curves = [line.get_xydata() for line in ax.lines if len(line.get_xdata()) == 400]
    for curve, value in zip(curves, (0.5, 0.5, 1.0, 1.0), strict=True):
        h, s = curve.T
        np.testing.assert_allclose(s**2 * h / (2 * (1 - h)), value, rtol=1e-10)


def test_collinearity_is_drawn_term_by_term(schools):
    ax = schools.check_model("collinearity")[0]
    table = schools.check_collinearity()
    np.testing.assert_allclose(np.sort(np.concatenate([line.get_xdata() for line in dots(ax)])), np.sort(table["VIF"]))
    assert [label.get_text() for label in ax.get_yticklabels()] == table["Term"].tolist()[::-1]


def test_an_axis_of_inflation_ends_where_there_is_something_to_see(schools):
    ax = schools.check_model("collinearity")[0]
    table = schools.check_collinearity()
    for limit in (9e9, np.inf):
        ax = plot_inflation(table.assign(VIF_CI_high=[limit, *table["VIF_CI_high"][1:]]))
        assert table["VIF"].max() < ax.get_xlim()[1] < 30.0
        assert "dotted: interval goes on" in [text.get_text() for text in ax.get_legend().get_texts()]
