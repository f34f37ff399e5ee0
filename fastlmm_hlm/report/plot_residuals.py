"""Pictures of residuals: data frames in, matplotlib Axes out.

matplotlib is loaded when the first picture is drawn.  Nothing here calls show().
"""

import numpy as np

from fastlmm_hlm.errors import ArgumentError
from fastlmm_hlm.report.canvas import one_axes
from fastlmm_hlm.report.plots import (
    BLUE, INK, LARGEST_LABEL, MANY_GROUPS, SMALLEST_LABEL, _entry, _finish, _height_in_points,
)
from fastlmm_hlm.report.scatter import PALE, draw_points, draw_trend, label_points

# Above this many levels a box is a line and a dot.
MOST_BOXES = 40


def plot_scatter(frame, *, zero=None, zero_label=None, labels=None, ax=None, xlabel=None, ylabel=None, title=None, **legend):
    """Points, a level that they should keep, and their trend.

    Parameters
    ----------
    frame : DataFrame
        x, y and the trend, in this order; rows where x is missing are left out and counted.
    zero : float, optional
        Where to draw a horizontal line.
    zero_label : str, optional
        Its entry in the legend.
    labels : ndarray of int, optional
        Rows, by place, whose index is written beside the point.
    ax : Axes or Figure, optional
    xlabel, ylabel, title : str, optional
    **legend
        columns, fontsize.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ArgumentError
        If no row can be drawn.
    """
    ax = one_axes(ax, "plot_scatter")
    x, y, trend = (frame.iloc[:, j].to_numpy(dtype=float) for j in range(3))
    known = np.isfinite(x) & np.isfinite(y)
    if not known.any():
        raise ArgumentError(f"the picture of {frame.columns[1]} against {frame.columns[0]} has 0 rows without missing values.")
    missing = len(x) - int(known.sum())
    points = draw_points(ax, x[known], y[known])
    if missing:
        points.set_label(f"{points.get_label()} ({missing:,} without {frame.columns[0]} left out)")
    handles = [points]
    if zero is not None:
        ax.axhline(zero, color=INK, linewidth=1.0, linestyle="--", zorder=3)
        if zero_label:
            handles.append(_dashed(zero_label))
    if len(np.unique(x[known])) > 1:
        handles.append(draw_trend(ax, x[known], trend[known]))
    if labels is not None and len(labels):
        labels = labels[np.argsort(-np.abs(y[labels]), kind="stable")]
        label_points(ax, x[labels], y[labels], frame.index[labels])
    ax.set_xlabel(str(frame.columns[0]) if xlabel is None else xlabel)
    ax.set_ylabel(str(frame.columns[1]) if ylabel is None else ylabel)
    _finish(ax, title, handles, **legend)
    return ax


def plot_boxes(frame, *, ax=None, xlabel=None, ylabel=None, title=None):
    """Values by level of a factor: boxes, or for many levels the middle half and the median.

    Parameters
    ----------
    frame : DataFrame
        A Categorical and the values, in this order; levels without rows are left out.
    ax : Axes or Figure, optional
    xlabel, ylabel, title : str, optional

    Returns
    -------
    matplotlib Axes
    """
    codes, values = frame.iloc[:, 0].cat.codes.to_numpy(), frame.iloc[:, 1].to_numpy(dtype=float)
    present = np.unique(codes[codes >= 0])
    if not len(present):
        raise ArgumentError(f"the picture by {frame.columns[0]} has 0 rows with a level.")
    order = np.argsort(codes, kind="stable")
    order = order[codes[order] >= 0]
    parts = np.split(values[order], np.searchsorted(codes[order], present)[1:])
    names = frame.iloc[:, 0].cat.categories[present]
    missing = f" ({len(codes) - len(order):,} without {frame.columns[0]} left out)" if len(order) < len(codes) else ""
    n, name = len(parts), str(frame.columns[0]) if ylabel is None else ylabel
    ax = one_axes(ax, "plot_boxes", (6.4, min(max(1.3 + 0.24 * n, 2.6), 7.2)))
    quartiles = np.array([np.quantile(part, [0.25, 0.5, 0.75]) for part in parts])
    ax.axvline(0.0, color=INK, linewidth=1.0, linestyle="--", zorder=1)
    room = _height_in_points(ax) / (n + 1)
    if n <= MOST_BOXES:
        parts, quartiles, names = parts[::-1], quartiles[::-1], names[::-1]
        _boxes(ax, parts, quartiles)
        handles = [_entry(BLUE, f"{len(order):,} rows{missing}; whiskers reach 1.5 times the box", marker=True)]
    else:
        ranks = np.argsort(quartiles[:, 1], kind="stable")
        quartiles, names = quartiles[ranks], names[ranks]
        width = min(max(0.35 * room, 0.3), 1.6)
        ax.hlines(np.arange(n), quartiles[:, 0], quartiles[:, 2], color=BLUE, linewidth=width, alpha=min(0.7, 0.5 * room / width),
                  rasterized=n > MANY_GROUPS, zorder=2)
        ax.plot(quartiles[:, 1], np.arange(n), linestyle="none", marker="o", markersize=min(max(0.75 * room, 1.1), 4.0),
                markeredgewidth=0, color=INK, rasterized=n > MANY_GROUPS, zorder=3)
        handles = [_entry(INK, f"median{missing}", marker=True), _entry(BLUE, "middle half of the rows", 1.4, 0.6)]
    ax.set_ylim(-1, n)
    if room >= SMALLEST_LABEL:
        ax.set_yticks(range(n), [str(label) for label in names], fontsize=min(0.85 * room, LARGEST_LABEL))
        ax.set_ylabel(name)
    else:
        ax.set_yticks([])
        ax.set_ylabel(f"{n:,} levels ({name}), in order of the medians")
    ax.set_xlabel(str(frame.columns[1]) if xlabel is None else xlabel)
    _finish(ax, title, handles, grid="x")
    return ax


def _boxes(ax, parts, quartiles):
    """Tukey's boxes, drawn from their numbers."""
    places, low, middle, high = np.arange(len(parts)), *quartiles.T
    reach = 1.5 * (high - low)
    inside = [part[(part >= a - r) & (part <= b + r)] for part, a, b, r in zip(parts, low, high, reach)]
    ends = np.array([[min(one.min(), a), max(one.max(), b)] for one, a, b in zip(inside, low, high)])
    ax.hlines(places, ends[:, 0], ends[:, 1], color=BLUE, linewidth=1.0, zorder=2)
    ax.barh(places, high - low, left=low, height=0.6, facecolor=PALE, edgecolor=BLUE, zorder=3)
    ax.vlines(middle, places - 0.3, places + 0.3, color=INK, linewidth=1.4, zorder=4)
    out = [(v, k) for k, (part, a, b, r) in enumerate(zip(parts, low, high, reach)) for v in part[(part < a - r) | (part > b + r)]]
    if out:
        ax.plot(*np.array(out, dtype=float).T, linestyle="none", marker="o", markersize=3, markeredgewidth=0, color=BLUE,
                alpha=0.6, rasterized=len(out) > MANY_GROUPS, zorder=2)


def _dashed(label, colour=INK):
    """The entry of a dashed line."""
    from matplotlib.lines import Line2D

    return Line2D([], [], color=colour, linewidth=1.0, linestyle="--", label=label)
