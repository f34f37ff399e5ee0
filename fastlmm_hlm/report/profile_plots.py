"""Pictures of profiles: data frames in, matplotlib Axes out; one panel per parameter.

matplotlib is loaded when the first picture is drawn.  Nothing here calls show().
"""

import statistics

import numpy as np

from fastlmm_hlm.report.canvas import panel_axes
from fastlmm_hlm.report.plots import BLUE, GREY, INK, ORANGE

# Tail beyond which a density is not drawn, as a share of its height.
FAINT = 2e-3


def plot_zeta(curves, *, absolute=False, levels=(0.5, 0.8, 0.9, 0.95, 0.99), ax=None):
    """zeta over each parameter, with the confidence intervals that it gives.

    A straight line means that normal theory would do on this scale.

    Parameters
    ----------
    curves : dict str -> DataFrame
        Columns value (increasing) and zeta.
    absolute : bool
        Draw |zeta|, and intervals as horizontal lines.
    levels : sequence of float
        Confidence levels of the intervals drawn.
    ax : Axes or sequence of Axes, optional
        One for each parameter; a new figure by default.

    Returns
    -------
    ndarray of Axes, one per parameter
    """
    axes = panel_axes(ax, len(curves), "plot_zeta")
    reaches = [statistics.NormalDist().inv_cdf((1.0 + level) / 2.0) for level in levels]
    for (name, curve), one in zip(curves.items(), axes):
        value, zeta = curve["value"].to_numpy(), curve["zeta"].to_numpy()
        one.plot(value, np.abs(zeta) if absolute else zeta, color=BLUE, linewidth=1.6, zorder=3)
        if not absolute:
            one.axhline(0.0, color=GREY, linewidth=0.8)
        for reach in reaches:
            low, high = (_value_at(value, zeta, side * reach) for side in (-1, 1))
            if absolute:
                one.hlines(reach, low, high, color=GREY, linewidth=0.8)
                one.vlines([low, high], 0.0, reach, color=GREY, linewidth=0.8)
            else:
                for side, at in ((-1, low), (1, high)):
                    one.vlines(at, 0.0, _zeta_at(value, zeta, at, side * reach), color=GREY, linewidth=0.8)
        if absolute:
            one.set_ylim(bottom=0.0)
        _finish_panel(one, name, r"$|\zeta|$" if absolute else r"$\zeta$")
    return axes


def plot_density(densities, estimates=None, *, ax=None):
    """Density of each parameter whose quantiles are the limits of its profile intervals.

    Parameters
    ----------
    densities : dict str -> DataFrame
        Columns value and density.
    estimates : mapping str -> float, optional
        Drawn as vertical lines.
    ax : Axes or sequence of Axes, optional
        One for each parameter; a new figure by default.

    Returns
    -------
    ndarray of Axes, one per parameter
    """
    axes = panel_axes(ax, len(densities), "plot_density")
    for (name, curve), one in zip(densities.items(), axes):
        value, density = curve["value"].to_numpy(), curve["density"].to_numpy()
        seen = density > FAINT * np.nanmax(density)
        one.plot(value[seen], density[seen], color=BLUE, linewidth=1.6)
        one.fill_between(value[seen], density[seen], color=BLUE, alpha=0.15, linewidth=0)
        if estimates is not None:
            one.axvline(estimates[name], color=ORANGE, linewidth=1.0)
        one.set_ylim(bottom=0.0)
        _finish_panel(one, name, "density")
    return axes


def _value_at(value, zeta, root):
    """Where zeta is `root`; the end of the curve when it does not get there."""
    return float(np.interp(root, zeta, value))


def _zeta_at(value, zeta, at, root):
    """`root`, or what zeta is at the end of a curve that does not get there."""
    return min(max(root, zeta[0]), zeta[-1])


def _finish_panel(ax, name, ylabel):
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    ax.set_title(name, fontsize=10, color=INK, loc="left")
    ax.set_ylabel(ylabel, fontsize=9)
    ax.tick_params(labelsize=8)
    ax.locator_params(axis="x", nbins=5)
