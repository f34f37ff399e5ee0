"""Many points: dots, or hexagons shaded by how many points they hold, and a trend on top.

matplotlib is loaded when the first picture is drawn.  Nothing here calls show().
"""

import numpy as np

from fastlmm_hlm.report.plots import BLUE, INK, MANY_GROUPS, ORANGE, _entry, _halo

# Above this many points dots would hide each other, and hexagons are drawn.
MANY_POINTS = 20_000
HEXAGONS = (70, 40)
PALE, MIDDLE, DARK = "#DCE9F5", "#5B9BD0", "#08306B"
# Points of a trend that are drawn.
TREND_POINTS = 400
# Distance of a label from its point, in points of 1/72 inch.
BESIDE = 4.0


def draw_points(ax, x, y, unit="rows"):
    """Points of a scatter plot; returns the entry of the legend that says what was drawn.

    Up to MANY_POINTS dots; above that hexagons, darker the more points they
    hold, on a logarithmic scale.
    """
    from matplotlib.patches import Patch

    n = len(x)
    if n <= MANY_POINTS:
        size, alpha = min(max(55.0 / max(n, 1) ** 0.37, 1.4), 5.0), min(max(9.0 / max(n, 1) ** 0.36, 0.15), 0.75)
        ax.plot(x, y, linestyle="none", marker="o", markersize=size, markeredgewidth=0, color=BLUE, alpha=alpha,
                rasterized=n > MANY_GROUPS, zorder=2)
        return _entry(BLUE, f"{n:,} {unit}", marker=True)
    cells = ax.hexbin(x, y, gridsize=HEXAGONS, bins="log", mincnt=1, cmap=_shades(), linewidths=0.2, zorder=2)
    most = int(np.max(cells.get_array()))
    return Patch(color=MIDDLE, label=f"{n:,} {unit}; the darkest hexagon has {most:,}")


def draw_trend(ax, x, trend, label="local mean", colour=ORANGE):
    """A line through the points (x, trend) in the order of x; returns its entry of the legend."""
    order = np.argsort(x, kind="stable")
    if len(order) > TREND_POINTS:
        at = np.unique(np.searchsorted(x[order], np.linspace(x[order[0]], x[order[-1]], TREND_POINTS)).clip(0, len(order) - 1))
        order = order[np.union1d(at, np.linspace(0, len(order) - 1, TREND_POINTS).astype(int))]
    ax.plot(x[order], trend[order], color=colour, linewidth=1.8, zorder=4, path_effects=_halo(3.0))
    return _entry(colour, label, 1.8)


def label_points(ax, x, y, labels, fontsize=8.0, sides=None, reach=1):
    """Names beside a few points, the most important first; a name that finds no room near its point is left out.

    Parameters
    ----------
    ax : Axes
    x, y : ndarray (k,)
    labels : sequence of length k
    fontsize : float
    sides : sequence of {1, -1}, optional
        To the right or to the left; by default to the right, or to the left if that is free.
    reach : int
        How many lines a name may move up or down.
    """
    ax.autoscale_view()                 # the limits that the transform below needs
    scale, frame = ax.figure.dpi / 72.0, ax.bbox
    taken = []
    for i in range(len(labels)):
        text = str(labels[i])
        width, height = 0.58 * fontsize * len(text), 1.1 * fontsize
        at = ax.transData.transform((x[i], y[i])) / scale
        both = (1, -1) if sides is None else (int(sides[i]),)
        for down, side in ((d, s) for d in sorted(range(-reach, reach + 1), key=abs) for s in both):
            left = at[0] + side * BESIDE - (width if side < 0 else 0.0)
            box = np.array([left, at[1] + down * height - height / 2.0, left + width, at[1] + down * height + height / 2.0])
            inside = (box[:2] >= frame.min / scale).all() and (box[2:] <= frame.max / scale).all()
            if inside and not any((box[:2] < other[2:]).all() and (other[:2] < box[2:]).all() for other in taken):
                taken.append(box)
                ax.annotate(text, (x[i], y[i]), xytext=(side * BESIDE, down * height), textcoords="offset points",
                            fontsize=fontsize, ha="left" if side > 0 else "right", va="center", color=INK, zorder=6,
                            annotation_clip=True)
                break


def _shades():
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("blues of fastlmm_hlm", [PALE, MIDDLE, DARK])
