"""Pictures of groups: data frames in, matplotlib Axes out.

matplotlib is loaded when the first picture is drawn.  Nothing here calls show().
"""

import statistics

import numpy as np
import pandas as pd

from fastlmm_hlm.errors import ArgumentError, FastlmmError

BLUE, ORANGE, GREEN, PINK = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
COLOURS = (BLUE, ORANGE, GREEN, PINK, "#E69F00", "#56B4E9", "#7F7F7F")
GREY, INK = "#8C8C8C", "#222222"
POINTS_PER_INCH = 72.0
# A label needs this many points of height to be read.
SMALLEST_LABEL, LARGEST_LABEL = 6.0, 10.0
# Width of a letter as a share of its height, on average.
LETTER = 0.52
# Width that labels and ticks take beside a picture, in points.
LABELS = 46.0
# From this many groups on, intervals are stored as an image in PDF and SVG files.
MANY_GROUPS = 1500


def plot_group_averages(frame, *, ax=None, population=None, population_label="population", level=0.95, xlabel=None,
                        ylabel=None, title=None):
    """Group averages in increasing order, with their intervals: a caterpillar plot.

    Parameters
    ----------
    frame : DataFrame or Series, one row per group
        Index: the groups.  The first column (or the column "average") is drawn;
        a column "condsd" gives each interval as average +- z * condsd.
    ax : matplotlib Axes, optional
        Where to draw; a new figure of fitting height by default.
    population : float, optional
        Where to draw a vertical line for the population.
    population_label : str
        What the legend calls it.
    level : float
        Coverage of the intervals, between 0 and 1.
    xlabel, ylabel, title : str, optional

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ArgumentError
        If the frame has no rows, a value is not finite, or level is out of range.
    FastlmmError
        If matplotlib is not installed.
    """
    plt = _pyplot("plot_group_averages")
    frame = frame.to_frame() if isinstance(frame, pd.Series) else frame
    column = "average" if "average" in frame.columns else frame.columns[0]
    if not len(frame):
        raise ArgumentError("plot_group_averages: the frame has 0 rows; give one row per group.")
    if not 0 < level < 1:
        raise ArgumentError(f"plot_group_averages: level = {level!r}; it must lie between 0 and 1, such as 0.95.")
    frame = frame.sort_values(column, kind="stable")
    averages = _finite(frame, column, "plot_group_averages")
    n, name = len(frame), frame.index.name or "group"
    if ax is None:
        height = min(max(1.1 + 0.21 * n, 2.6), 7.2)
        ax = plt.subplots(figsize=(6.4, height), layout="constrained")[1]
    row = _height_in_points(ax) / (n + 1)
    places = np.arange(n)
    handles = []
    if "condsd" in frame.columns:
        reach = statistics.NormalDist().inv_cdf(0.5 + level / 2) * _finite(frame, "condsd", "plot_group_averages")
        width = min(max(0.35 * row, 0.3), 1.6)
        ax.hlines(places, averages - reach, averages + reach, color=BLUE, linewidth=width, zorder=2,
                  alpha=min(0.7, 0.5 * row / width), rasterized=n > MANY_GROUPS)
        handles.append(_entry(BLUE, f"{100 * level:g}% interval", 1.4, 0.6))
    size, colour = min(max(0.75 * row, 1.1), 5.5), INK if n > 30 else BLUE
    ax.plot(averages, places, linestyle="none", marker="o", markersize=size, markeredgewidth=0, color=colour,
            rasterized=n > MANY_GROUPS, zorder=4)
    handles.insert(0, _entry(colour, str(name), marker=True))
    if population is not None:
        ax.axvline(population, color=ORANGE, linewidth=1.4, zorder=3)
        handles.append(_entry(ORANGE, f"{population_label}, {population:.4g}"))
    ax.set_ylim(-1, n)
    if row >= SMALLEST_LABEL:
        ax.set_yticks(places, [str(label) for label in frame.index], fontsize=min(0.85 * row, LARGEST_LABEL))
        ax.set_ylabel(name if ylabel is None else ylabel)
    else:
        ax.set_yticks([])
        ax.set_ylabel(f"{n:,} groups ({name}), in order" if ylabel is None else ylabel)
    ax.set_xlabel(str(column) if xlabel is None else xlabel)
    _finish(ax, title, handles if len(handles) > 1 else [], grid="x")
    ax.spines["left"].set_visible(row >= SMALLEST_LABEL)
    return ax


def plot_group_lines(frame, population=None, *, by=None, ax=None, xlabel=None, ylabel=None, title=None):
    """One line per group, with the population's line on top.

    Parameters
    ----------
    frame : DataFrame
        Columns: the group, x, the fitted value (in this order), several rows
        per group; further columns are allowed.
    population : DataFrame, optional
        Columns: x (of the same name) and "fitted"; with `by` one line for each
        of its values, and a black one where it is missing.
    by : str, optional
        A column of `frame` (and `population`) that is the same in all rows of a
        group; it gives the colour.
    ax : matplotlib Axes, optional
    xlabel, ylabel, title : str, optional

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ArgumentError
        If a column is missing or a value is not finite.
    FastlmmError
        If matplotlib is not installed.
    """
    plt = _pyplot("plot_group_lines")
    if len(frame.columns) < 3 or not len(frame):
        raise ArgumentError(
            f"plot_group_lines: the frame has the shape {frame.shape}; expected rows with the columns group, x, fitted."
        )
    group, x = frame.columns[:2]
    fitted = "fitted" if "fitted" in frame.columns else frame.columns[2]
    for name, table in (("frame", frame), ("population", population)):
        missing = [c for c in (x, fitted, by) if table is not None and c is not None and c not in table.columns]
        if missing:
            raise ArgumentError(
                f"plot_group_lines: {name} has no column {missing[0]!r}; it has {', '.join(map(str, table.columns))}."
            )
    if ax is None:
        ax = plt.subplots(figsize=(6.4, 4.8), layout="constrained")[1]
    codes = pd.factorize(frame[group])[0]
    order = np.lexsort((frame[x].to_numpy(), codes))
    xy = np.column_stack([_finite(frame, x, "plot_group_lines"), _finite(frame, fitted, "plot_group_lines")])[order]
    starts = np.flatnonzero(np.diff(codes[order], prepend=-1))
    n = len(starts)
    kinds, kind_of = [None], np.zeros(n, dtype=int)
    if by is not None:
        kind_of, kinds = pd.factorize(frame[by].to_numpy()[order][starts], sort=True)
    colours = [COLOURS[k % len(COLOURS)] for k in range(len(kinds))] if by is not None else [GREY]
    _draw_lines(ax, np.split(xy, starts[1:]), [colours[k] for k in kind_of], n)
    counts = [f"{n:,} groups ({group})"] if by is None else [f"{k}: {(kind_of == i).sum():,} groups" for i, k in enumerate(kinds)]
    handles = [_entry(colour, label, 1.0, 0.7) for colour, label in zip(colours, counts, strict=True)]
    if population is not None:
        common = population[population[by].isna()] if by is not None else population.iloc[:0]
        if len(common):
            _draw_population(ax, common.sort_values(x), x, fitted, INK)
            handles.append(_entry(INK, "population", 2.6))
        for k, kind in enumerate(kinds):
            line = (population if by is None else population[population[by] == kind]).sort_values(x)
            if not len(line):
                continue
            colour = ORANGE if by is None else colours[k]
            _draw_population(ax, line, x, fitted, colour)
            handles.append(_entry(colour, "population" if by is None else f"{kind}: population", 2.6))
    ax.margins(x=0.01)
    ax.set_xlabel(str(x) if xlabel is None else xlabel)
    ax.set_ylabel(str(fitted) if ylabel is None else ylabel)
    _finish(ax, title, handles)
    return ax


def _draw_population(ax, line, x, fitted, colour):
    ax.plot(line[x], line[fitted], color=colour, linewidth=2.6, zorder=4, path_effects=_halo())


def line_style(n):
    """Width and opacity of n lines over each other.

    Returns
    -------
    linewidth, alpha : float
    """
    return min(max(2.2 / n**0.22, 0.35), 1.5), min(max(11.0 / n**0.69, 0.015), 0.95)


def _draw_lines(ax, lines, colours, n):
    from matplotlib.collections import LineCollection

    width, alpha = line_style(n)
    order = np.random.default_rng(0).permutation(n)     # no colour is always on top
    ax.add_collection(LineCollection([lines[i] for i in order], colors=[colours[i] for i in order], linewidths=width,
                                     alpha=alpha, rasterized=n > MANY_GROUPS, zorder=2))
    dots = np.array([line[0] for line in lines if np.ptp(line[:, 0]) == 0]).reshape(-1, 2)
    if len(dots):
        ax.plot(dots[:, 0], dots[:, 1], linestyle="none", marker="o", markersize=2, markeredgewidth=0, color=GREY, zorder=2)
    ax.autoscale_view()


def _entry(colour, label, width=1.5, alpha=1.0, marker=False):
    """One entry of a legend: a line, or a dot."""
    from matplotlib.lines import Line2D

    look = {"linestyle": "none", "marker": "o", "markersize": 4.5, "markeredgewidth": 0} if marker else {"linewidth": width}
    return Line2D([], [], color=colour, alpha=alpha, label=label, **look)


def _halo(width=5.0):
    from matplotlib import patheffects

    return [patheffects.Stroke(linewidth=width, foreground="white"), patheffects.Normal()]


def _height_in_points(ax):
    return ax.bbox.height / ax.figure.dpi * POINTS_PER_INCH


def _width_in_points(ax):
    """The width of a picture; where the layout is still to come, what its labels will leave of its cell."""
    cell, figure = ax.get_subplotspec(), ax.figure
    if cell is None or figure.get_layout_engine() is None:
        return ax.bbox.width / figure.dpi * POINTS_PER_INCH
    share = len(cell.colspan) / cell.get_gridspec().ncols
    return share * figure.bbox.width / figure.dpi * POINTS_PER_INCH - LABELS


def _finish(ax, title, handles, grid="both", columns=None, fontsize=9.0):
    """Spines, grid, and above the picture its title and legend."""
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    ax.set_axisbelow(True)
    ax.grid(axis=grid, color="#E9E9E9", linewidth=0.6)
    columns = min((2 if len(handles) == 4 else 3) if columns is None else columns, _columns_that_fit(ax, handles, fontsize))
    if handles:
        ax.legend(handles=handles, frameon=False, fontsize=fontsize, loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=columns,
                  borderaxespad=0.2, borderpad=0.1, handlelength=1.5, columnspacing=1.4)
    if title:
        rows = -(-len(handles) // columns)
        ax.set_title(title, loc="left", fontsize=fontsize + 2.0, pad=6 + fontsize * 5.0 / 3.0 * rows)


def _columns_that_fit(ax, handles, fontsize):
    """Into how many columns a legend may go without becoming wider than the picture; by the letters, roughly."""
    room = _width_in_points(ax)
    widths = [(LETTER * len(handle.get_label()) + 3.4) * fontsize for handle in handles]
    for columns in range(len(widths), 1, -1):
        rows = -(-len(widths) // columns)
        if sum(max(widths[k : k + rows]) for k in range(0, len(widths), rows)) <= room:
            return columns
    return 1


def _finite(frame, column, caller):
    values = frame[column].to_numpy(dtype=float, na_value=np.nan)
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        raise ArgumentError(
            f"{caller}: the column {column!r} is not finite in {len(bad)} row{'s' if len(bad) > 1 else ''}, first in row "
            f"{frame.index[bad[0]]!r}; leave such rows out."
        )
    return values


def _pyplot(caller):
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise FastlmmError(
            f'{caller}: drawing needs matplotlib, which is not installed; run: pip install "fastlmm_hlm[plots]"'
        ) from error
    return plt
