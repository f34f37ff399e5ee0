"""The page of checks, inflation of variances and densities: data frames in, matplotlib Axes out.

matplotlib is loaded when the first picture is drawn.  Nothing here calls show().
"""

import numpy as np

from fastlmm_hlm.report.canvas import one_axes, panel_axes
from fastlmm_hlm.report.plot_influence import plot_leverage
from fastlmm_hlm.report.plot_qq import plot_effect_quantiles, plot_normal
from fastlmm_hlm.report.plot_residuals import plot_scatter
from fastlmm_hlm.report.plots import BLUE, GREY, INK, ORANGE, PINK, _entry, _finish

LEGEND = {"columns": 2, "fontsize": 8.0}
HEADS = {"linearity": "Linearity", "homogeneity": "Homogeneity of variance", "influence": "Influential rows",
         "collinearity": "Collinearity", "normality": "Normality of residuals", "random effects": "Normality of random effects",
         "predictive": "Posterior predictive check"}
# Bounds of low and of moderate inflation, and the colours on both sides.
BOUNDS, SHADES = (5.0, 10.0), (BLUE, ORANGE, PINK)


def plot_page(data, verdicts, mean_root, most_effects, *, ax=None):
    """Every panel of a page of checks.

    Parameters
    ----------
    data : dict str -> DataFrame or None
    verdicts : dict str -> str
        Second lines; for "random effects" a dict (group, term) -> str.
    mean_root : float
        What the root of |standardized residuals| is on average.
    most_effects : int
        Random effects that are drawn; the last heading says how many more there are.
    ax : sequence of Axes, Figure or None

    Returns
    -------
    ndarray of Axes
    """
    effects = list(verdicts.get("random effects", {}))
    shown = effects[:most_effects]
    count = sum(len(shown) if name == "random effects" else 1 for name in data)
    axes = panel_axes(ax, count, "check_model", size=(4.6, 3.7), unit="panels")
    k = 0
    for name, frame in data.items():
        if name == "random effects":
            for group, term in shown:
                part = frame[(frame["grpvar"] == group) & (frame["term"] == term)]
                plot_effect_quantiles(part, ax=axes[k], columns=3, fontsize=8.0)
                axes[k].set_ylabel(f"{group}: {term}")
                left = len(effects) - len(shown) if (group, term) == shown[-1] else 0
                _head(axes[k], HEADS[name] + (f" ({left} more: plot_ranef_qq)" if left else ""), verdicts[name][group, term])
                k += 1
            continue
        _draw(axes[k], name, frame, mean_root)
        _head(axes[k], HEADS[name], verdicts[name])
        k += 1
    return axes


def _draw(ax, name, frame, mean_root):
    if frame is None:
        ax.set_axis_off()
    elif name == "linearity":
        plot_scatter(frame, zero=0.0, ax=ax, ylabel="residual", **LEGEND,
                     xlabel="fitted value, fixed part" if frame.columns[0] == ".fixed" else "fitted value")
    elif name == "homogeneity":
        plot_scatter(frame, zero=mean_root, zero_label="constant variance", ax=ax, xlabel="fitted value",
                     ylabel="root of |standardized residual|", **{**LEGEND, "columns": 3})
    elif name == "influence":
        plot_leverage(frame, frame.attrs["p"], label=3, ax=ax, **LEGEND)
    elif name == "collinearity":
        plot_inflation(frame, ax=ax)
    elif name == "normality":
        plot_normal(frame, band="95% of normal samples", ax=ax, ylabel="standardized residual", **{**LEGEND, "columns": 3})
    else:
        plot_densities(frame, ax=ax)


def _head(ax, head, verdict):
    """Heading and verdict above the legend."""
    legend = ax.get_legend()
    columns = max(1, getattr(legend, "_ncols", 1)) if legend is not None else 1
    rows = -(-len(legend.get_texts()) // columns) if legend is not None else 0
    ax.set_title(head, loc="left", fontsize=10.5, color=INK, fontweight="bold", pad=20 + 13.5 * rows)
    ax.annotate(verdict, (0.0, 1.0), xycoords="axes fraction", xytext=(0.0, 7 + 13.5 * rows), textcoords="offset points", fontsize=9,
                color=INK, annotation_clip=False)


def plot_inflation(frame, *, ax=None):
    """Variance inflation of every term with its interval, between the bounds of low and moderate.

    Parameters
    ----------
    frame : DataFrame
        Term, VIF, VIF_CI_low, VIF_CI_high; an interval that goes beyond the axis is dotted.  The axis has
        room for every factor, and for limits up to twice the last bound: near 1 they may be a million.
    ax : Axes, Figure or None

    Returns
    -------
    matplotlib Axes
    """
    n = len(frame)
    ax = one_axes(ax, "plot_inflation", (5.4, min(max(1.4 + 0.28 * n, 2.4), 7.2)))
    vif, low, high = (frame[name].to_numpy(dtype=float)[::-1] for name in ("VIF", "VIF_CI_low", "VIF_CI_high"))
    top = 1.15 * max(vif.max(), 1.13 * BOUNDS[0], min(high.max(), 2.0 * BOUNDS[-1]))
    places, kind, endless = np.arange(n), np.searchsorted(BOUNDS, vif, side="right"), high > top
    for k, colour in enumerate(SHADES):
        own = kind == k
        for some, style in ((own & ~endless, "-"), (own & endless, ":")):
            ax.hlines(places[some], low[some], np.minimum(high[some], 2.0 * top), color=colour, linewidth=2.0, alpha=0.5,
                      linestyle=style, zorder=2)
        ax.plot(vif[own], places[own], linestyle="none", marker="o", markersize=6, color=colour, markeredgewidth=0, zorder=3)
    for bound in BOUNDS:
        if bound < top:
            ax.axvline(bound, color=GREY, linewidth=1.0, linestyle="--", zorder=1)
    ax.set_xscale("log")
    ax.set_xlim(0.95, top)
    ticks = [t for t in (1, 2, 3, 5, 10, 20, 50, 100, 1000, 10_000) if t < top]
    ax.set_xticks(ticks, [f"{t:,}" for t in ticks])
    ax.minorticks_off()
    ax.set_ylim(-0.6, n - 0.4)
    names = [text if len(text) <= 26 else text[:25] + "..." for text in map(str, frame["Term"][::-1])]
    ax.set_yticks(places, names, fontsize=min(9.0, max(5.0, 150.0 / n)))
    ax.set_xlabel("variance inflation factor")
    handles = [_entry(SHADES[k], label, marker=True) for k, label in enumerate(("low", "from 5", "from 10")) if (kind == k).any()]
    handles += [_entry("none", "dotted: interval goes on")] if endless.any() else []
    _finish(ax, None, handles, grid="x", columns=3, fontsize=8.0)
    return ax


def plot_densities(frame, *, ax=None, xlabel=None, title=None):
    """Densities of simulated responses, with that of the observed one on top.

    Parameters
    ----------
    frame : DataFrame
        The grid, "observed", and one column per simulated response.
    ax : Axes, Figure or None
    xlabel, title : str, optional

    Returns
    -------
    matplotlib Axes
    """
    ax = one_axes(ax, "plot_predictive")
    from matplotlib.collections import LineCollection

    at = frame.iloc[:, 0].to_numpy()
    simulated = frame.iloc[:, 2:].to_numpy().T
    ax.add_collection(LineCollection([np.column_stack([at, one]) for one in simulated], colors=BLUE, linewidths=0.8,
                                     alpha=min(0.6, max(0.15, 6.0 / len(simulated))), zorder=2))
    ax.plot(at, frame["observed"], color=ORANGE, linewidth=2.0, zorder=3)
    ax.set_ylim(0.0, 1.06 * max(simulated.max(), frame["observed"].max()))
    ax.margins(x=0.01)
    ax.set_xlabel(str(frame.columns[0]) if xlabel is None else xlabel)
    ax.set_ylabel("density")
    _finish(ax, title, [_entry(ORANGE, "observed", 2.0), _entry(BLUE, f"{len(simulated)} simulated", 1.0)], columns=2)
    return ax
