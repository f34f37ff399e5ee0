"""Where a picture is drawn: the Axes that were given, the panels of a figure that was given, or a new figure."""

import numpy as np

from fastlmm_hlm.errors import ArgumentError
from fastlmm_hlm.report.plots import _pyplot

# Panels per row, and the size of one in inches.
PER_ROW = 3
PANEL = (3.3, 2.7)


def one_axes(ax, caller, size=(6.4, 4.8)):
    """The Axes of a picture that needs one.

    Parameters
    ----------
    ax : Axes, Figure, SubFigure or None
        A figure gets one Axes; None makes a figure of `size` inches, which the
        caller may close with ``plt.close(ax.figure)``.
    caller : str
        For messages.
    size : tuple of float

    Raises
    ------
    ArgumentError
        If ax is something else.
    FastlmmError
        If matplotlib is not installed.
    """
    plt = _pyplot(caller)
    if ax is None:
        return plt.subplots(figsize=size, layout="constrained")[1]
    if _is_figure(ax):
        return ax.subplots()
    given = np.atleast_1d(np.asarray(ax, dtype=object)).ravel()
    _check_axes(given[:1], caller)
    if len(given) != 1:
        raise ArgumentError(f"{caller}: {len(given)} axes were given for one picture; give one.")
    return given[0]


def panel_axes(ax, count, caller, per_row=PER_ROW, size=PANEL, unit="parameters", **sharing):
    """Axes for several panels.

    Parameters
    ----------
    ax : sequence of Axes, Axes, Figure, SubFigure or None
        At least `count` Axes; a figure is divided into rows of `per_row` panels;
        None makes such a figure.
    count : int
    caller : str
        For messages.
    per_row : int
    size : tuple of float
        Of one panel, in inches.
    unit : str
        What has a panel, in the plural, for messages.
    **sharing
        sharex, sharey of a figure that is divided here.

    Returns
    -------
    ndarray of Axes, shape (count,)

    Raises
    ------
    ArgumentError
        If there are too few Axes.
    FastlmmError
        If matplotlib is not installed.
    """
    plt = _pyplot(caller)
    columns = max(1, min(count, per_row))
    rows = -(-count // columns)
    if ax is not None and not _is_figure(ax):
        given = np.atleast_1d(np.asarray(ax, dtype=object)).ravel()
        _check_axes(given, caller)
        if len(given) < count:
            raise ArgumentError(f"{caller}: {len(given)} axes were given for {count} {unit}; give one for each.")
        return given[:count]
    figure = plt.figure(figsize=(size[0] * columns, size[1] * rows), layout="constrained") if ax is None else ax
    axes = figure.subplots(rows, columns, squeeze=False, **sharing).ravel()
    for empty in axes[count:]:
        empty.remove()
    if sharing.get("sharex"):
        for lowest in axes[max(count - columns, 0) : count]:
            lowest.tick_params(labelbottom=True)
    return axes[:count]


def _is_figure(ax):
    from matplotlib.figure import FigureBase

    return isinstance(ax, FigureBase)


def _check_axes(given, caller):
    from matplotlib.axes import Axes

    for one in given:
        if not isinstance(one, Axes):
            raise ArgumentError(
                f"{caller}: ax holds {type(one).__name__}; give matplotlib Axes, a sequence of them, or a Figure."
            )
