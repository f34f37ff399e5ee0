"""Pictures of marginal means: intervals row by row, and lines that cross or do not.

matplotlib is loaded when the first picture is drawn.  Nothing here calls show().
"""

import numpy as np

from fastlmm_hlm.errors import ArgumentError
from fastlmm_hlm.report.emm import label_words
from fastlmm_hlm.report.plots import BLUE, COLOURS, _entry, _finish, _pyplot

ROW_HEIGHT = 0.32
LIMITS = (("lower.CL", "upper.CL"), ("asymp.LCL", "asymp.UCL"))


def plot_intervals(table, *, ax=None, xlabel=None, title=None):
    """Estimates as dots with their intervals as bars, one row per estimate, groups one below the other.

    Parameters
    ----------
    table : EmmTable
        With limits.
    ax : matplotlib Axes, optional
    xlabel, title : str, optional

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ArgumentError
        If the table has no limits.
    FastlmmError
        If matplotlib is not installed.
    """
    plt = _pyplot("plot")
    layout = table.layout
    low, high = _limits(table)
    estimate = table[layout["estimate"]].to_numpy(dtype=float)
    names = _texts(table, layout["labels"], " ")
    heads = _texts(table, layout["by"], ", ", named=True)
    rows, labels, place = [], [], 0
    for head in dict.fromkeys(heads):
        if head:
            labels.append((place, f"{head}:"))
            place += 1
        for i in (i for i, own in enumerate(heads) if own == head):
            labels.append((place, names[i]))
            rows.append((place, i))
            place += 1
    if ax is None:
        ax = plt.subplots(figsize=(6.4, max(1.6, 0.9 + ROW_HEIGHT * place)), layout="constrained")[1]
    places, order = np.array(rows).T
    ax.hlines(places, low[order], high[order], color=BLUE, linewidth=6, alpha=0.3, zorder=2)
    ax.plot(estimate[order], places, linestyle="none", marker="o", markersize=5, color=BLUE, zorder=3)
    ax.set_yticks([at for at, _ in labels], [text for _, text in labels])
    ax.set_ylim(place - 0.5, -0.5)
    ax.set_xlabel(layout["estimate"] if xlabel is None else xlabel)
    _finish(ax, title, [], grid="x")
    return ax


def plot_interaction(table, x, trace=None, *, ax=None, intervals=True, ylabel=None, title=None):
    """Estimates over the levels of one factor, one line for each combination of the others.

    Parameters
    ----------
    table : EmmTable
    x : str
        Label column on the axis.
    trace : str or list of str, optional
        Label columns that make lines; all others by default.
    ax : matplotlib Axes, optional
    intervals : bool
        Draw the limits as well, if the table has them.
    ylabel, title : str, optional

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ArgumentError
        If a column does not exist, or the lines do not tell all rows apart.
    FastlmmError
        If matplotlib is not installed.
    """
    plt = _pyplot("plot_interaction")
    layout = table.layout
    known = [*layout["labels"], *layout["by"]]
    lines_by = [name for name in known if name != x] if trace is None else [trace] if isinstance(trace, str) else list(trace)
    for name in [x, *lines_by]:
        if name not in known:
            raise ArgumentError(f"plot_interaction: the table has no factor {name!r}; it has {', '.join(known)}.")
    if table.duplicated([x, *lines_by]).any():
        raise ArgumentError(f"plot_interaction: several rows have the same {', '.join([x, *lines_by])}; name more factors in trace=, or average over them first.")
    if ax is None:
        ax = plt.subplots(figsize=(6.4, 4.2), layout="constrained")[1]
    values = list(table[x])
    numeric = not label_words(table[x])[1]
    texts = [word.strip() for word in label_words(table[x])[0]]
    levels = list(dict.fromkeys(texts))
    at = np.array(values, dtype=float) if numeric else np.array([levels.index(text) for text in texts], dtype=float)
    estimate = table[layout["estimate"]].to_numpy(dtype=float)
    low, high = _limits(table) if intervals and _limits_names(table) else (None, None)
    traces = _texts(table, lines_by, ", ", named=True)
    shown = list(dict.fromkeys(traces))
    width = (np.ptp(at) or 1.0) * 0.012
    handles = []
    for k, one in enumerate(shown):
        own = np.array([i for i, text in enumerate(traces) if text == one])
        own = own[np.argsort(at[own], kind="stable")]
        colour, shift = COLOURS[k % len(COLOURS)], (k - (len(shown) - 1) / 2.0) * width
        ax.plot(at[own] + shift, estimate[own], marker="o", markersize=5, color=colour, zorder=3)
        if low is not None:
            ax.vlines(at[own] + shift, low[own], high[own], color=colour, linewidth=5, alpha=0.25, zorder=2)
        handles.append(_entry(colour, one))
    if not numeric:
        ax.set_xticks(range(len(levels)), levels)
    ax.set_xlabel(x)
    ax.set_ylabel(layout["estimate"] if ylabel is None else ylabel)
    _finish(ax, title, handles if shown != [""] else [])
    return ax


def _limits_names(table):
    return next((pair for pair in LIMITS if pair[0] in table.columns), None)


def _limits(table):
    names = _limits_names(table)
    if names is None:
        raise ArgumentError("plot: the table has no limits; make it with confint().")
    return tuple(table[name].to_numpy(dtype=float) for name in names)


def _texts(table, names, between, named=False):
    """One text per row from some label columns."""
    if not names:
        return [""] * len(table)
    words = [label_words(table[name])[0] for name in names]
    return [between.join((f"{name} = " if named else "") + word.strip() for name, word in zip(names, row)) for row in zip(*words)]
