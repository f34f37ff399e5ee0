"""One panel per group: a data frame in, matplotlib Axes out.

matplotlib is loaded when the first picture is drawn.  Nothing here calls show().
"""

import numpy as np

from fastlmm_hlm.report.canvas import panel_axes
from fastlmm_hlm.report.plots import BLUE, GREEN, INK, ORANGE, _entry

MOST_PER_PANEL = 2000
PER_ROW = 5


def plot_group_panels(frame, *, ols=False, ncols=None, total=None, ax=None, xlabel=None, ylabel=None, title=None):
    """Points and lines of each group in its own panel, all on the same axes.

    Parameters
    ----------
    frame : DataFrame
        The group, x, kind ("observed", "group", "population", "ols"), y, in this order; groups
        in the order of the panels.
    ols : bool
        Draw the lines of kind "ols".
    ncols : int, optional
    total : int, optional
        How many groups there are in all, for the legend.
    ax : sequence of Axes, Figure or None
    xlabel, ylabel, title : str, optional

    Returns
    -------
    ndarray of Axes
    """
    group, x = frame.columns[:2]
    panels = list(frame.groupby(group, sort=False, observed=True))
    if ncols is None:
        ncols = -(-len(panels) // -(-len(panels) // PER_ROW))
    shared = {} if ax is not None and not hasattr(ax, "subplots") else {"sharex": True, "sharey": True}
    axes = panel_axes(ax, len(panels), "plot_panels", per_row=int(ncols), size=(1.9, 1.75) if len(panels) > 6 else (2.6, 2.4),
                      unit="groups", **shared)
    drawn = rows = 0
    for (level, part), one in zip(panels, axes):
        seen = part[part["kind"] == "observed"]
        rows += len(seen)
        seen = seen.iloc[np.unique(np.linspace(0, len(seen) - 1, min(len(seen), MOST_PER_PANEL)).astype(int))]
        drawn += len(seen)
        size, alpha = min(max(14.0 / max(len(seen), 1) ** 0.35, 1.2), 4.0), min(1.0, max(12.0 / max(len(seen), 1) ** 0.6, 0.15))
        one.plot(seen[x], seen["y"], linestyle="none", marker="o", markersize=size, markeredgewidth=0, color=BLUE, alpha=alpha,
                 rasterized=len(seen) > 500, zorder=2)
        for kind, colour, style, width in (("population", ORANGE, "--", 1.2), ("ols", GREEN, ":", 1.4), ("group", INK, "-", 1.6)):
            line = part[part["kind"] == kind].sort_values(x, kind="stable")
            if kind != "ols" or ols:
                one.plot(line[x], line["y"], color=colour, linestyle=style, linewidth=width, zorder=3)
        _finish_panel(one, level)
    handles = [_entry(BLUE, f"{rows:,} rows" if rows == drawn else f"{drawn:,} of {rows:,} rows drawn", marker=True),
               _entry(INK, f"line of the group ({group})", 1.6), _style(ORANGE, "--", "population")]
    if ols:
        handles.append(_style(GREEN, ":", "least squares of the group"))
    if total is not None and total > len(panels):
        handles.append(_entry("none", f"{len(panels)} of {total:,} groups"))
    _label(axes, ax, handles, str(x) if xlabel is None else xlabel, "y" if ylabel is None else ylabel, title)
    return axes


def _finish_panel(ax, level):
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    ax.set_axisbelow(True)
    ax.grid(color="#E9E9E9", linewidth=0.6)
    text = str(level)
    ax.set_title(text if len(text) <= 22 else text[:21] + "...", fontsize=8.5, loc="left", color=INK, pad=3)
    ax.tick_params(labelsize=7.5)
    ax.locator_params(axis="both", nbins=4)


def _label(axes, given, handles, xlabel, ylabel, title):
    """Labels and legend of the whole figure, or of the panels when these are the caller's."""
    figure = axes[0].figure
    if given is None or hasattr(given, "subplots"):
        figure.supxlabel(xlabel, fontsize=10)
        figure.supylabel(ylabel, fontsize=10)
        place = "outside upper left" if given is None else "upper left"
        figure.legend(handles=handles, frameon=False, fontsize=8.5, ncols=len(handles) if len(axes) > 4 else 2, loc=place,
                      handlelength=1.8, columnspacing=1.4)
        if title:
            figure.suptitle(title, fontsize=11, x=0.01, ha="left")
        return
    for one in axes:
        one.set_xlabel(xlabel, fontsize=8)
        one.set_ylabel(ylabel, fontsize=8)
    axes[0].legend(handles=handles, frameon=False, fontsize=7)
    if title:
        axes[0].set_title(title, fontsize=10, loc="right")


def _style(colour, style, label):
    from matplotlib.lines import Line2D

    return Line2D([], [], color=colour, linestyle=style, linewidth=1.4, label=label)


