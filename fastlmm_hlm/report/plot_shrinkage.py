"""Pictures of shrinkage: data frames in, matplotlib Axes out.

matplotlib is loaded when the first picture is drawn.  Nothing here calls show().
"""

import numpy as np

from fastlmm_hlm.errors import ArgumentError
from fastlmm_hlm.report.canvas import one_axes
from fastlmm_hlm.report.ellipse import FEW, draw_ellipses
from fastlmm_hlm.report.plots import BLUE, GREY, MANY_GROUPS, ORANGE, _entry, _finish, line_style
from fastlmm_hlm.report.scatter import label_points

# Up to this many groups have their names.
NAMED = 25
# The axes hold all coefficients of the model, and this share of the least squares estimates.
SHOWN = 0.98


def plot_arrows(frame, covariance, *, group="group", ax=None, xlabel=None, ylabel=None, title=None):
    """Arrows from least squares to mixed-model coefficients, in the plane of two terms or along one.

    Parameters
    ----------
    frame : DataFrame
        grp, term (one or two), ols, mixed, population, sd; the levels of the terms in the same order.
    covariance : ndarray, of the terms
    group : str
        For the legend.
    ax : Axes or Figure, optional
    xlabel, ylabel, title : str, optional

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ArgumentError
        If no group has estimates of its own.
    """
    terms = list(dict.fromkeys(frame["term"]))
    blocks = [frame[frame["term"] == term] for term in terms]
    known = np.logical_and.reduce([np.isfinite(block["ols"].to_numpy()) for block in blocks])
    if not known.any():
        raise ArgumentError(
            f"plot_shrinkage: none of the {len(known):,} groups of {group} determines {' and '.join(terms)} from its own rows; "
            "name fewer terms."
        )
    ax = one_axes(ax, "plot_shrinkage", (6.0, 5.2) if len(terms) == 2 else (6.4, 3.6))
    names = blocks[0]["grp"].to_numpy()[known]
    if len(terms) == 2:
        own, mixed = (np.column_stack([block[c].to_numpy()[known] for block in blocks]) for c in ("ols", "mixed"))
        centre = [float(block["population"].iloc[0]) for block in blocks]
    else:
        heights = (("ols", 1.0), ("mixed", 0.0))
        own, mixed = (np.column_stack([blocks[0][c].to_numpy()[known], np.full(known.sum(), y)]) for c, y in heights)
        centre = [float(blocks[0]["population"].iloc[0])]
    n = len(own)
    _arrows(ax, own, mixed, n)
    size, few = min(max(24.0 / n**0.3, 1.6), 6.0), n <= FEW
    looks = ((own, GREY, "white" if few else GREY, 0.9 if few else 0.4), (mixed, BLUE, BLUE, 1.0 if few else 0.6))
    for points, colour, face, alpha in looks:
        ax.plot(points[:, 0], points[:, 1], linestyle="none", marker="o", markersize=size, color=colour, markerfacecolor=face,
                markeredgewidth=1.0 if few else 0.0, alpha=alpha, rasterized=n > MANY_GROUPS, zorder=3)
    handles = [_entry(GREY, "least squares within the group", marker=True), _entry(BLUE, "mixed model", marker=True),
               _entry(ORANGE, "population", marker=True)]
    if len(terms) == 2:
        ax.plot(*centre, linestyle="none", marker="D", markersize=7, color=ORANGE, markeredgecolor="white", zorder=5)
        sd = np.sqrt(np.diagonal(covariance))
        both = sd[0] * sd[1]
        handles.append(_entry(ORANGE, draw_ellipses(ax, centre, sd[0], sd[1], covariance[0, 1] / both if both > 0 else np.nan, n)))
        outside = _limits(ax, own, mixed, centre, n)
    else:
        ax.axvline(centre[0], color=ORANGE, linewidth=1.4, zorder=2)
        outside = 0
        ax.set_ylim(-0.35, 1.35)
        ax.set_yticks([0, 1], ["mixed model", "least squares"])
    handles.append(_entry("none", f"{len(known):,} groups of {group}"))
    absent = [f"{int((~known).sum()):,} without own estimates"] if not known.all() else []
    absent += [f"{outside:,} outside the axes"] if outside else []
    if absent:
        handles.append(_entry("none", ", ".join(absent)))
    if n <= NAMED:
        label_points(ax, own[:, 0], own[:, 1], names, fontsize=7.5, sides=np.where(own[:, 0] >= mixed[:, 0], 1, -1), reach=3)
    ax.set_xlabel(terms[0] if xlabel is None else xlabel)
    if len(terms) == 2:
        ax.set_ylabel(terms[1] if ylabel is None else ylabel)
    elif ylabel is not None:
        ax.set_ylabel(ylabel)
    _finish(ax, title, handles, columns=2, fontsize=8.5)
    return ax


def _arrows(ax, own, mixed, n):
    """Arrows for a few groups, plain lines for many."""
    if n <= 60:
        ax.quiver(own[:, 0], own[:, 1], *(mixed - own).T, angles="xy", scale_units="xy", scale=1.0, color=GREY, width=0.0032,
                  headwidth=4.5, headlength=5.5, headaxislength=5.0, zorder=2)
        return
    from matplotlib.collections import LineCollection

    width, alpha = line_style(n)
    ax.add_collection(LineCollection(np.stack([own, mixed], axis=1), colors=GREY, linewidths=width, alpha=min(1.0, 2.0 * alpha),
                                     rasterized=n > MANY_GROUPS, zorder=2))


def _limits(ax, own, mixed, centre, n):
    """Axes around the coefficients and most of the least squares estimates; how many of these lie outside."""
    tail = (1.0 - SHOWN) / 2.0 if n > 60 else 0.0
    low = np.minimum(np.minimum(np.quantile(own, tail, axis=0), mixed.min(axis=0)), centre)
    high = np.maximum(np.maximum(np.quantile(own, 1.0 - tail, axis=0), mixed.max(axis=0)), centre)
    ellipses = [line.get_xydata() for line in ax.lines if line.get_linestyle() == "-"]
    drawn = np.concatenate([*ellipses, [centre]])
    low, high = np.minimum(low, drawn.min(axis=0)), np.maximum(high, drawn.max(axis=0))
    room = 0.06 * np.where(high > low, high - low, 1.0)
    ax.set_xlim(low[0] - room[0], high[0] + room[0])
    ax.set_ylim(low[1] - room[1], high[1] + room[1])
    return int(((own < low - room) | (own > high + room)).any(axis=1).sum())


