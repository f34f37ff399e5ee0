"""Influence of rows and groups: the printed table and the picture.  Series and data frames in."""

import numpy as np

from fastlmm_hlm.errors import ArgumentError
from fastlmm_hlm.report.frames import matrix_text
from fastlmm_hlm.report.plots import BLUE, GREY, INK, MANY_GROUPS, ORANGE, _entry, _finish, _pyplot

SHOWN = 6
# Up to this many deletions the labels stand at the axis, and each has a stem.
FEW, STEMS = 30, 400
DASHES = (0, (4, 3))


def influence_text(formula, groups, kind, table, sizes, messages, failed):
    """What ``print(influence(fit))`` shows.

    Parameters
    ----------
    formula, groups, kind : str
        "case" for single rows; how the rest was fitted.
    table : DataFrame (k, .)
        Sorted here by the size of its first column.
    sizes : ndarray of int (k,)
    messages : dict label -> str
    failed : int
        Deletions whose fit has not converged.

    Returns
    -------
    str
    """
    k = len(table)
    unit = "row" if groups == "case" else f"level of {groups}"
    lines = [f"Influence of each {unit} ({k:,} deletions, {kind})", f"Formula: {formula}"]
    if groups != "case":
        low, high = int(sizes.min()), int(sizes.max())
        lines.append(f"Rows per {groups}: {low:,}" + (f" to {high:,}" if high > low else ""))
    first = table.iloc[:, 0].abs().to_numpy()
    order = np.argsort(-np.where(np.isnan(first), -1.0, first), kind="stable")[:SHOWN]
    lines += ["", f"The {len(order)} largest by {table.columns[0]}:" if k > len(order) else f"All {k}, by {table.columns[0]}:",
              matrix_text(table.iloc[order].set_axis([str(label) for label in table.index[order]]), digits=4).rstrip("\n")]
    if failed:
        lines += ["", f"{failed} not fitted or not converged"]
    if messages:
        label, text = next(iter(messages.items()))
        lines += ["", f"{len(messages)} with a message, such as {label}: {text}"]
    return "\n".join(lines)


def plot_influence(values, groups, *, centre=None, ax=None, label=5, title=None):
    """One point per deletion in its order, the largest labelled.

    Parameters
    ----------
    values : Series (k,)
        Its name is the label of the axis; NaN are left out.
    groups : str
        What was left out; "case" for single rows.
    centre : float, optional
        The value without influence, from which sizes are counted; by default zero,
        with a line at the upper quartile plus three interquartile ranges (Loy and
        Hofmann 2014, JSS 56(5)).
    ax : matplotlib Axes, optional
    label : int
        How many to label.
    title : str, optional

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ArgumentError
        If no value is finite.
    FastlmmError
        If matplotlib is not installed.
    """
    plt = _pyplot("plot_influence")
    y, k = values.to_numpy(dtype=float), len(values)
    known = np.isfinite(y)
    if not known.any():
        raise ArgumentError(f"plot_influence: none of the {k} values of {values.name!r} is a finite number.")
    if ax is None:
        ax = plt.subplots(figsize=(6.8, 4.0), layout="constrained")[1]
    places, base = np.arange(k)[known], 0.0 if centre is None else centre
    size = np.abs(y - base)
    limit = None
    if centre is None and known.sum() >= 8:
        low, high = np.quantile(y[known], [0.25, 0.75])
        limit = high + 3.0 * (high - low)
    labelled = [i for i in np.argsort(-np.where(known, size, -1.0), kind="stable")[: max(label, 0)] if known[i]]
    big = np.isin(places, labelled if k > FEW else [])
    if k <= STEMS:
        ax.vlines(places, base, y[known], color=np.where(big, ORANGE, BLUE), linewidth=min(1.6, 120.0 / k + 0.3), alpha=0.6,
                  zorder=2)
    dot = float(np.clip(60.0 / k**0.5, 1.6, 5.5))
    for chosen, colour, width in ((~big, BLUE, dot), (big, ORANGE, max(dot, 4.0))):
        ax.plot(places[chosen], y[known][chosen], linestyle="none", marker="o", markersize=width, markeredgewidth=0,
                color=colour, rasterized=k > MANY_GROUPS, zorder=3)
    if centre is not None:
        ax.axhline(centre, color=GREY, linewidth=0.9, zorder=1)
    handles = []
    if limit is not None:
        ax.axhline(limit, color=INK, linewidth=0.9, linestyle=DASHES, zorder=1)
        handles.append(_entry(INK, f"upper quartile + 3 IQR, {limit:.3g}", 0.9))
        handles[-1].set_linestyle(DASHES)
    margin = max(0.5, 0.015 * k)
    ax.set_xlim(-margin, k - 1 + margin)
    if centre is None:
        ax.set_ylim(0.0, 1.1 * max(y[known].max(), limit or 0.0) or 1.0)
    else:
        ax.margins(y=0.1)
    what = "row" if groups == "case" else groups
    if k <= FEW:
        names = [str(name) for name in values.index]
        slanted = sum(map(len, names)) > 60
        ax.set_xticks(range(k), names, fontsize=8, rotation=60 if slanted else 0, ha="right" if slanted else "center",
                      rotation_mode="anchor")
        ax.set_xlabel(f"{what} left out")
    else:
        ax.set_xlabel(f"{k:,} {'rows' if groups == 'case' else f'levels of {groups}'}, each left out once")
        _write_labels(ax, [(i, y[i], str(values.index[i])) for i in labelled], base)
    ax.set_ylabel(str(values.name))
    _finish(ax, title, handles, grid="y")
    return ax


def _write_labels(ax, points, base):
    """Texts beside points: right of them or, where another labelled point lies there, left; moved away
    from the base line where two texts would lie on each other."""
    ax.figure.draw_without_rendering()
    box, pixel = ax.get_window_extent(), ax.figure.dpi / 72.0
    height, gap, taken = 11.0 * pixel, 5.0 * pixel, []
    placed = [(*ax.transData.transform((place, value)), place, value, text) for place, value, text in sorted(points)]
    for x, y, place, value, text in placed:
        width = 0.62 * len(text) * 8.0 * pixel
        others = [(a, b) for a, b, *_ in placed if (a, b) != (x, y)]
        free = [
            side for side, edge in (("left", x + gap), ("right", x - gap - width))
            if box.x0 < edge and edge + width < box.x1
            and not any(edge - gap < a < edge + width + gap and abs(b - y) < height / 2 for a, b in others)
        ]
        side = free[0] if free else "left" if x + gap + width < box.x1 else "right"
        edge = x + gap if side == "left" else x - gap - width
        step, at = (height if value >= base else -height), y
        while any(abs(at - other) < height and edge < b and edge + width > a for a, b, other in taken):
            at += step
        taken.append((edge, edge + width, at))
        ax.annotate(text, (place, value), (5.0 if side == "left" else -5.0, (at - y) / pixel), textcoords="offset points",
                    ha=side, va="center", fontsize=8, color=INK, annotation_clip=False, zorder=5)
