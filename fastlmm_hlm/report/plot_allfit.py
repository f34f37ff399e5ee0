"""How far the fits of several optimizers are from the best of them."""

import numpy as np

from fastlmm_hlm.errors import ArgumentError
from fastlmm_hlm.report.plots import BLUE, GREEN, ORANGE, _entry, _finish, _pyplot

# Smaller differences are drawn here.
SMALLEST = 1e-12
SERIES = (("criterion", ORANGE, "s", "criterion"), ("fixef", BLUE, "o", "fixed effects / se"),
          ("sdcor", GREEN, "D", "deviations / sigma"))


def plot_differences(frame, *, ax=None):
    """One line per optimizer, with its largest differences on a log scale: of the criterion, of a fixed effect in
    standard errors, and of a standard deviation in units of sigma or a correlation.

    Parameters
    ----------
    frame : DataFrame
        Index: the optimizers; columns criterion, fixef, sdcor, status.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes
    """
    plt = _pyplot("plot_differences")
    if not len(frame):
        raise ArgumentError("plot_differences: the frame has 0 rows; give one row per optimizer.")
    n = len(frame)
    if ax is None:
        ax = plt.subplots(figsize=(6.8, min(1.6 + 0.3 * n, 9.0)), layout="constrained")[1]
    places, handles = np.arange(n)[::-1], []
    for k, (column, colour, marker, label) in enumerate(SERIES):
        values = frame[column].to_numpy(dtype=float)
        shown = np.isfinite(values)
        ax.plot(np.maximum(values[shown], SMALLEST), places[shown] + 0.18 * (1 - k), linestyle="none", marker=marker,
                color=colour, markersize=5, markeredgewidth=0, zorder=3)
        handle = _entry(colour, label, marker=True)
        handle.set_marker(marker)
        handles.append(handle)
    ax.set_xscale("log")
    right = max(float(np.nanmax(frame[["criterion", "fixef", "sdcor"]].to_numpy(dtype=float), initial=0.0)), 1e-2)
    ax.set_xlim(SMALLEST / 2, 3 * right)
    ax.set_ylim(-0.6, n - 0.4)
    ax.set_yticks(places, [f"{name} ({status})" if status in ("error", "failed") else str(name)
                           for name, status in frame["status"].items()])
    ax.set_xlabel(f"largest difference from the best fit ({SMALLEST:g} and less at the left)")
    _finish(ax, None, handles)
    return ax
