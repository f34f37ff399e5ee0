"""Intervals of the regressions of groups: a panel per coefficient."""

import numpy as np

from fastlmm_hlm.errors import ArgumentError
from fastlmm_hlm.report.plots import BLUE, INK, LARGEST_LABEL, SMALLEST_LABEL, _finish, _height_in_points, _pyplot


def plot_intervals(frame, level, *, ax=None):
    """Draw intervals, groups from bottom to top by their estimate of the first coefficient.

    Parameters
    ----------
    frame : DataFrame
        Columns: the group, term, estimate, lower, upper.  A missing limit draws the estimate
        alone; groups without any estimate are left out, and the title says how many.
    level : float
        For the label.
    ax : matplotlib Axes, optional
        For one coefficient only.

    Returns
    -------
    Axes, or ndarray of Axes

    Raises
    ------
    ArgumentError
        If `ax` is given for several coefficients.
    """
    plt = _pyplot("plot_intervals")
    terms, group = list(dict.fromkeys(frame["term"])), frame.columns[0]
    if ax is not None and len(terms) > 1:
        raise ArgumentError(
            f"plot: there are {len(terms)} coefficients ({', '.join(terms)}) and one ax; choose one with term=."
        )
    if not len(frame):
        raise ArgumentError("plot: there are no groups to draw.")
    estimated = frame["estimate"].notna().groupby(frame[group], observed=True).transform("any")
    left_out = int((~estimated[(frame["term"] == terms[0]).to_numpy()]).sum())
    frame = frame[estimated]
    first = frame[frame["term"] == terms[0]]
    order = np.argsort(first["estimate"].to_numpy(), kind="stable")
    labels = [str(label) for label in first[group].to_numpy()[order]]
    n = len(labels)
    if ax is None:
        height = min(max(1.1 + 0.21 * n, 2.6), 7.2)
        axes = plt.subplots(1, len(terms), figsize=(min(3.4 * len(terms) + 1.0, 12.0), height), sharey=True, squeeze=False,
                            layout="constrained")[1][0]
    else:
        axes = np.array([ax])
    for axis, term in zip(axes, terms):
        own = frame[frame["term"] == term].iloc[order]
        _draw(axis, own, n)
        axis.set_xlabel(term)
        _finish(axis, None, [], grid="x")
    row = _height_in_points(axes[0]) / (n + 1)
    if row >= SMALLEST_LABEL:
        axes[0].set_yticks(np.arange(n), labels, fontsize=min(0.85 * row, LARGEST_LABEL))
        axes[0].set_ylabel(group)
    else:
        axes[0].set_yticks([])
        axes[0].set_ylabel(f"{n:,} groups ({group}), in order of {terms[0]}")
    axes[0].set_ylim(-1, n)
    without = f"; {left_out:,} without estimates" if left_out else ""
    axes[0].set_title(f"least squares in each {group}, {100 * level:g}% intervals{without}", loc="left", fontsize=10)
    return axes[0] if len(terms) == 1 else axes


def _draw(axis, own, n):
    places = np.arange(n)
    known = own["lower"].notna().to_numpy() & own["upper"].notna().to_numpy()
    width = 1.4 if n <= 60 else max(0.3, 84.0 / n)
    axis.hlines(places[known], own["lower"].to_numpy()[known], own["upper"].to_numpy()[known], color=BLUE, linewidth=width,
                alpha=0.7, rasterized=n > 1500)
    axis.plot(own["estimate"], places, linestyle="none", marker="o", color=INK, markeredgewidth=0,
              markersize=min(max(250.0 / n, 1.0), 4.5), rasterized=n > 1500)
