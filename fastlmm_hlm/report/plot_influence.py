"""Pictures of the influence of rows: data frames in, matplotlib Axes out.

matplotlib is loaded when the first picture is drawn.  Nothing here calls show().
"""

import numpy as np

from fastlmm_hlm.report.canvas import one_axes
from fastlmm_hlm.report.plot_residuals import _dashed
from fastlmm_hlm.report.plots import BLUE, INK, ORANGE, _entry, _finish
from fastlmm_hlm.report.scatter import MANY_POINTS, draw_points, label_points

# Bars of a picture of many rows.
BARS = 1500
CONTOURS = (0.5, 1.0)


def plot_index(frame, threshold, *, label=5, ax=None, xlabel=None, ylabel=None, title=None):
    """Cook's distance by row number.

    Parameters
    ----------
    frame : DataFrame
        With the column .cooksd; labels of rows in the index.
    threshold : float
        Drawn when it is less than three times the largest distance.
    label : int
    ax : Axes or Figure, optional
    xlabel, ylabel, title : str, optional

    Returns
    -------
    matplotlib Axes
    """
    ax = one_axes(ax, "plot_cooks", (6.4, 4.0))
    d, n = frame[".cooksd"].to_numpy(dtype=float), len(frame)
    at, height, what = np.arange(1, n + 1), d, f"{n:,} rows"
    if n > MANY_POINTS:
        starts = np.linspace(0, n, BARS + 1).astype(np.int64)[:-1]
        at, height = starts + 1, np.maximum.reduceat(d, starts)
        what = f"{n:,} rows, each bar the largest of {n // BARS:,}"
    ax.vlines(at, 0.0, height, color=BLUE, linewidth=min(max(180.0 / len(at), 0.4), 1.6), zorder=2)
    handles = [_entry(BLUE, what)]
    top = float(np.nanmax(d))
    if threshold < 3.0 * top:
        ax.axhline(threshold, color=INK, linewidth=1.0, linestyle="--", zorder=3)
        handles.append(_dashed(f"median of F(p, n - p), {threshold:.3g}"))
    else:
        handles.append(_entry("none", f"median of F(p, n - p), {threshold:.3g}, lies above the picture"))
    most = np.argsort(-np.nan_to_num(d), kind="stable")[:label]
    ax.set_ylim(0.0, 1.12 * max(top, threshold if threshold < 3.0 * top else 0.0) or 1.0)
    ax.margins(x=0.02)
    label_points(ax, at[most] if n <= MANY_POINTS else most + 1, d[most], frame.index[most])
    ax.set_xlabel("row, in the order of the data" if xlabel is None else xlabel)
    ax.xaxis.set_major_formatter("{x:,.0f}")
    ax.set_ylabel("Cook's distance" if ylabel is None else ylabel)
    _finish(ax, title, handles, grid="y", columns=2)
    return ax


def plot_leverage(frame, p, *, label=5, ax=None, title=None, **legend):
    """Standardized residuals against leverages, with contours of Cook's distance.

    Parameters
    ----------
    frame : DataFrame
        .hat, .std.resid, .cooksd; labels of rows in the index.
    p : int
        Fixed effects.
    label : int
        How many rows, those with the largest distances, are labelled.
    ax : Axes or Figure, optional
    title : str, optional
    **legend
        columns, fontsize.

    Returns
    -------
    matplotlib Axes
    """
    ax = one_axes(ax, "plot_leverage")
    h, s, d = (frame[name].to_numpy(dtype=float) for name in (".hat", ".std.resid", ".cooksd"))
    handles = [draw_points(ax, h, s)]
    ax.axhline(0.0, color=INK, linewidth=1.0, linestyle="--", zorder=1)
    # The points decide the axes; contours enter where they pass.
    spread = np.ptp(h) if np.ptp(h) > 1e-6 * h.max() else h.max()
    low, high = max(0.0, h.min() - 0.06 * spread), h.max() + 0.1 * (spread or 1.0)
    reach = 1.15 * np.abs(s).max()
    grid = np.linspace(max(low, 1e-6), min(high, 1.0 - 1e-9), 400)
    shown = []
    for value in CONTOURS:
        curve = np.sqrt(value * p * (1.0 - grid) / grid)
        if (curve < reach).any():
            shown.append(f"{value:g}")
            for side in (-1.0, 1.0):
                ax.plot(grid, side * curve, color=ORANGE, linewidth=1.0, linestyle="-" if value == CONTOURS[0] else "--", zorder=3)
    ax.set_xlim(low, high)
    ax.set_ylim(-reach, reach)
    words = f"Cook's distance {' and '.join(shown)}" if shown else f"Cook's distance {CONTOURS[0]:g} lies outside"
    handles.append(_entry(ORANGE if shown else "none", words, 1.0))
    most = np.argsort(-np.nan_to_num(d), kind="stable")[:label]
    label_points(ax, h[most], s[most], frame.index[most])
    ax.set_xlabel("leverage")
    ax.set_ylabel("standardized residual")
    ax.locator_params(axis="x", nbins=6)
    _finish(ax, title, handles, **legend)
    return ax
