"""Normal quantile plots: data frames in, matplotlib Axes out.

matplotlib is loaded when the first picture is drawn.  Nothing here calls show().
"""

import numpy as np

from fastlmm_hlm.report.canvas import one_axes, panel_axes
from fastlmm_hlm.report.plots import BLUE, GREY, INK, MANY_GROUPS, ORANGE, _entry, _finish
from fastlmm_hlm.report.scatter import label_points

# Values drawn at both ends, and between them, when there are more.
TAIL, BETWEEN = 500, 3000
# Intervals drawn when there are more.
BARS = 300


def thinned(at, tail=TAIL, between=BETWEEN):
    """Places of the ordered values that are drawn: all, or both tails and between them some, even in their quantiles `at`."""
    n = len(at)
    if n <= 2 * tail + between:
        return np.arange(n)
    return np.unique(np.concatenate([np.arange(tail), spread(at, between), np.arange(n - tail, n)]))


def spread(at, most=BARS):
    """Places of at most `most` of the increasing values `at`, evenly spread along the axis."""
    if len(at) <= most:
        return np.arange(len(at))
    return np.unique(np.searchsorted(at, np.linspace(at[0], at[-1], most)))


def plot_normal(frame, *, band=None, ax=None, xlabel=None, ylabel=None, title=None, **legend):
    """Ordered values against normal quantiles with a band and the line of equality.

    Parameters
    ----------
    frame : DataFrame
        theoretical, the values, line, lower, upper, outlying, in this order and increasing; labels in the index.
    band : str, optional
        What the band is, for the legend.
    ax : Axes or Figure, optional
    xlabel, ylabel, title : str, optional
    **legend
        columns, fontsize.

    Returns
    -------
    matplotlib Axes
    """
    ax = one_axes(ax, "plot_qq", (5.4, 4.8))
    from matplotlib.patches import Patch

    n = len(frame)
    drawn = thinned(frame["theoretical"].to_numpy())
    at, values, line, lower, upper = (frame.iloc[drawn, j].to_numpy(dtype=float) for j in range(5))
    ax.fill_between(at, lower, upper, color=GREY, alpha=0.25, linewidth=0, zorder=1)
    ax.plot(at[[0, -1]], line[[0, -1]], color=ORANGE, linewidth=1.4, zorder=2)
    size = min(max(30.0 / max(n, 1) ** 0.35, 1.6), 4.5)
    ax.plot(at, values, linestyle="none", marker="o", markersize=size, markeredgewidth=0, color=BLUE,
            rasterized=len(drawn) > MANY_GROUPS, zorder=3)
    ax.margins(x=0.06)
    marked = frame[frame["outlying"].to_numpy()]
    marked = marked.iloc[np.argsort(-marked.iloc[:, 1].abs().to_numpy(), kind="stable")]
    if len(marked):
        label_points(ax, marked["theoretical"].to_numpy(), marked.iloc[:, 1].to_numpy(), marked.index)
    what = f"{n:,} rows" if len(drawn) == n else f"{n:,} rows, {len(drawn):,} drawn"
    handles = [_entry(BLUE, what, marker=True), _entry(ORANGE, "normal")]
    if band:
        handles.append(Patch(color=GREY, alpha=0.25, linewidth=0, label=band))
    ax.set_xlabel("normal quantile" if xlabel is None else xlabel)
    ax.set_ylabel(str(frame.columns[1]) if ylabel is None else ylabel)
    _finish(ax, title, handles, **legend)
    return ax


def plot_effect_quantiles(frame, *, level=0.95, ax=None, title=None, columns=2, fontsize=8.5):
    """Random effects against normal quantiles with their intervals, one panel per effect.

    Parameters
    ----------
    frame : DataFrame
        grpvar, term, grp, theoretical, condval, line, and with intervals lower, upper.
    level : float
        For the legend.
    ax : Axes, sequence of Axes, Figure or None
    title : str, optional
    columns, fontsize
        Of the legends.

    Returns
    -------
    ndarray of Axes
    """
    panels = list(frame.groupby(["grpvar", "term"], sort=False))
    axes = panel_axes(ax, len(panels), "plot_ranef_qq", size=(4.0, 3.6) if len(panels) > 1 else (5.4, 4.8), unit="random effects")
    several = frame["grpvar"].nunique() > 1
    for k, (((group, term), part), one) in enumerate(zip(panels, axes)):
        n = len(part)
        drawn = part.iloc[thinned(part["theoretical"].to_numpy())]
        at, values = drawn["theoretical"].to_numpy(), drawn["condval"].to_numpy()
        handles = [_entry(INK, f"{n:,} levels" + ("" if len(drawn) == n else f", {len(drawn):,} drawn"), marker=True)]
        if "lower" in drawn.columns:
            bars = part.iloc[spread(part["theoretical"].to_numpy())]
            width = min(max(60.0 / n**0.8, 0.5), 1.6)
            one.vlines(bars["theoretical"], bars["lower"], bars["upper"], color=BLUE, linewidth=width, zorder=2,
                       alpha=min(0.7, max(12.0 / n**0.6, 0.3)), rasterized=n > MANY_GROUPS)
            handles.append(_entry(BLUE, f"{100 * level:g}% interval" + ("" if len(bars) == n else f", {len(bars)} drawn"), 1.4, 0.6))
        one.plot(at, drawn["line"], color=ORANGE, linewidth=1.4, zorder=3)
        handles.append(_entry(ORANGE, "through the quartiles"))
        one.plot(at, values, linestyle="none", marker="o", markersize=min(max(20.0 / n**0.35, 1.2), 4.5), markeredgewidth=0,
                 color=INK, rasterized=n > MANY_GROUPS, zorder=4)
        one.set_xlabel("normal quantile")
        one.set_ylabel(f"{group}: {term}" if several else term)
        _finish(one, title if k == 0 else None, handles, columns=columns, fontsize=fontsize)
    return axes
