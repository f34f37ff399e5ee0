"""Pictures of random effects: caterpillars and pairs; data frames in, matplotlib Axes out.

matplotlib is loaded when the first picture is drawn.  Nothing here calls show().
"""

import numpy as np

from fastlmm_hlm.report.canvas import panel_axes
from fastlmm_hlm.report.ellipse import draw_ellipses
from fastlmm_hlm.report.plots import (
    BLUE, GREY, INK, LARGEST_LABEL, MANY_GROUPS, ORANGE, SMALLEST_LABEL, _entry, _finish, _height_in_points,
)
from fastlmm_hlm.report.scatter import draw_points

ROW_HEIGHT = 0.2
# Intervals that contain zero.
LIGHT = "#9DB8CC"


def plot_caterpillars(frame, *, level=0.95, ax=None, title=None):
    """One panel per grouping factor and effect: intervals in order, those without zero darker.

    Parameters
    ----------
    frame : DataFrame
        grpvar, term, grp, condval, place, order, and with intervals lower, upper, excludes_zero.
    level : float
        For the legend.
    ax : Axes, sequence of Axes, Figure or None
    title : str, optional

    Returns
    -------
    ndarray of Axes
    """
    panels = list(frame.groupby(["grpvar", "term"], sort=False))
    axes = _caterpillar_axes(panels, ax)
    for k, (((group, term), part), one) in enumerate(zip(panels, axes)):
        beside = k > 0 and panels[k - 1][0][0] == group and part["order"].iloc[0] == panels[k - 1][1]["order"].iloc[0]
        part = part.sort_values("place", kind="stable")
        _caterpillar(one, part, group, term, level, beside and ax is None, title if k == 0 else None)
    return axes


def _caterpillar_axes(panels, ax):
    if ax is not None:
        return panel_axes(ax, len(panels), "plot_ranef", unit="random effects")
    levels = {}
    for (group, _), part in panels:
        levels.setdefault(group, []).append(len(part))
    heights = [min(max(1.2 + ROW_HEIGHT * max(sizes), 2.3), 7.2) for sizes in levels.values()]
    columns = max(len(sizes) for sizes in levels.values())
    plt = _figure_maker()
    figure = plt.figure(figsize=(max(3.4 * columns, 5.0) + 0.6, sum(heights)), layout="constrained")
    grid = figure.add_gridspec(len(heights), columns, height_ratios=heights)
    return np.array([
        figure.add_subplot(grid[row, column] if len(sizes) > 1 or columns == 1 else grid[row, :])
        for row, sizes in enumerate(levels.values()) for column in range(len(sizes))
    ], dtype=object)


def _figure_maker():
    from fastlmm_hlm.report.plots import _pyplot

    return _pyplot("plot_ranef")


def _caterpillar(ax, part, group, term, level, bare, title):
    n = len(part)
    places, values = part["place"].to_numpy(), part["condval"].to_numpy()
    ax.axvline(0.0, color=INK, linewidth=1.0, linestyle="--", zorder=1)
    ax.set_ylim(-1, n)
    room = _height_in_points(ax) / (n + 1)
    handles = []
    if "lower" in part.columns:
        low, high, out = part["lower"].to_numpy(), part["upper"].to_numpy(), part["excludes_zero"].to_numpy()
        width = min(max(0.35 * room, 0.3), 1.6)
        faint = min(1.0, 0.8 * room / width)
        for chosen, colour, alpha in ((~out, LIGHT, faint), (out, BLUE, max(faint, 0.25))):
            ax.hlines(places[chosen], low[chosen], high[chosen], color=colour, linewidth=width, alpha=alpha, zorder=2,
                      rasterized=n > MANY_GROUPS)
        handles = [_entry(BLUE, f"{100 * level:g}% interval without zero ({out.sum():,})", 1.6),
                   _entry(LIGHT, f"with zero ({n - out.sum():,})", 1.6)]
    ax.plot(values, places, linestyle="none", marker="o", markersize=min(max(0.6 * room, 1.0), 4.5), markeredgewidth=0,
            color=INK, rasterized=n > MANY_GROUPS, zorder=3)
    if room >= SMALLEST_LABEL:
        names = [""] * n if bare else [str(label) for label in part["grp"]]
        ax.set_yticks(places, names, fontsize=min(0.85 * room, LARGEST_LABEL))
        ax.set_ylabel("" if bare else group)
    else:
        ax.set_yticks([])
        order = part["order"].iloc[0]
        how = "in order" if order == term else "in the order of the levels" if order == "level" else f"in the order of {order}"
        ax.set_ylabel(f"{n:,} levels of {group}, {how}")
    ax.set_xlabel(term)
    _finish(ax, title, handles, grid="x", columns=1, fontsize=8.5)


def plot_pairs(frame, *, ax=None, title=None):
    """Random effects against each other with ellipses of their covariance.

    Parameters
    ----------
    frame : DataFrame
        grp, x_term, y_term, x, y, sd_x, sd_y, cor.
    ax : Axes, sequence of Axes, Figure or None
    title : str, optional

    Returns
    -------
    ndarray of Axes
    """
    pairs = list(frame.groupby(["x_term", "y_term"], sort=False))
    axes = panel_axes(ax, len(pairs), "plot_ranef_pairs", size=(4.2, 4.0) if len(pairs) > 1 else (5.4, 4.8), unit="pairs")
    for k, (((x_term, y_term), part), one) in enumerate(zip(pairs, axes)):
        sd_x, sd_y, cor = (float(part[name].iloc[0]) for name in ("sd_x", "sd_y", "cor"))
        points = draw_points(one, part["x"].to_numpy(), part["y"].to_numpy(), "levels")
        for line in (one.axhline, one.axvline):
            line(0.0, color=GREY, linewidth=0.8, zorder=1)
        label = draw_ellipses(one, (0.0, 0.0), sd_x, sd_y, cor, len(part))
        one.set_xlabel(x_term)
        one.set_ylabel(y_term)
        words = "correlation not defined: a variance is zero" if np.isnan(cor) else f"estimated correlation {cor:.2f}"
        _finish(one, title if k == 0 else None, [points, _entry(ORANGE, label), _entry("none", words)], columns=1, fontsize=8.5)
    return axes
