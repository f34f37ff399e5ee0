"""Observed and fitted, one panel per group: lattice's xyplot(y ~ x | group) with the lines of the model."""

import numpy as np
import pandas as pd

from fastlmm_hlm.errors import ArgumentError, UnknownNameError
from fastlmm_hlm.inference.lines import _grid
from fastlmm_hlm.inference.pictures.averages import enough_points
from fastlmm_hlm.inference.standing import FittedParts

# Panels when the groups are not named.
PANELS = 20
CHOICES = ("spread", "largest")


def panels_data(fit, x, group=None, *, groups=None, points=None, at=None):
    """Rows and lines of some groups.

    Parameters
    ----------
    fit : LinearMixedModel
    x : str
        A numeric predictor.
    group : str, optional
        Grouping factor; needed when the model has several and x does not have a
        random slope in exactly one of them.
    groups : list, int, "spread" or "largest", optional
        The levels, in the order of the panels; or how many, or how chosen.
        By default all of up to 20 groups; of more, 20 spread evenly over
        the groups in the order of their fitted value at the mean of x
        ("spread"), or the 20 with most rows ("largest").
    points, at
        As for `lines_data`; each line goes over the range of x in its group.

    Returns
    -------
    DataFrame
        The grouping factor, x, "kind", "y", in the order of the panels.  kind is "observed"
        (a row of the data), "group" (the group's line), "population" (the fixed
        part at the group's own predictors), "ols" (the least squares line of y on x of
        the group's own rows, where it exists).

    Raises
    ------
    UnknownNameError
        If a level does not exist.
    ArgumentError
        If `groups` is something else; and as for `group_lines`.
    UnknownNameError, DataError, RowsNotKeptError
        As for `group_lines`.
    """
    parts = FittedParts(fit, "panels_data")
    parts.check_predictor(x)
    factor = parts.choose_factor(x, group)
    if factor.name in (x, "kind", "y") or x in ("kind", "y"):
        raise ArgumentError(f"panels_data: the columns {factor.name!r} and {x!r} must not be called 'kind' or 'y'; rename them.")
    points = enough_points(fit, x, factor.name, at) if points is None else points
    grid = _own_grid(parts, x, points, factor)
    values, codes = parts._numbers(x), np.asarray(factor.codes)
    chosen = _chosen(parts, factor, x, values, groups, at)
    lines = {kind: parts.predict_groups(factor, x, grid, at, with_random=kind == "group") for kind in ("group", "population")}
    order = np.argsort(codes, kind="stable")
    starts = np.searchsorted(codes[order], np.arange(len(factor.levels) + 1))
    y, w = parts.design.y, parts.design.weights
    out = []
    for level in chosen:
        rows = np.sort(order[starts[level] : starts[level + 1]])
        own = [("observed", values[rows], y[rows])]
        own += [(kind, grid[min(level, len(grid) - 1)], line[level]) for kind, line in lines.items()]
        own += _least_squares(values[rows], y[rows], None if w is None else w[rows])
        out += [pd.DataFrame({factor.name: [factor.levels[level]] * len(a), x: a, "kind": kind, "y": b}) for kind, a, b in own]
    return pd.concat(out, ignore_index=True)


def _own_grid(parts, x, points, factor):
    """Points over the range of x in each group, or over that of all rows where x does not vary; the points given, if so."""
    if np.ndim(points) != 0:
        return _grid(parts, x, points)
    whole, own = _grid(parts, x, points), _grid(parts, x, points, factor)
    return np.where((own[:, -1] > own[:, 0])[:, None], own, whole)


def _chosen(parts, factor, x, values, groups, at):
    """Codes of the groups, in the order of the panels."""
    nl = len(factor.levels)
    count, how = PANELS, "spread"
    if isinstance(groups, (int, np.integer)) and not isinstance(groups, bool):
        count = int(groups)
        if count < 1:
            raise ArgumentError(f"panels_data: groups = {groups}; give 1 or more, or the levels themselves.")
    elif isinstance(groups, str) and groups in CHOICES:
        how = groups
    elif groups is not None:
        named = [groups] if np.ndim(groups) == 0 else list(groups)
        places = factor.levels.get_indexer(pd.Index(named, dtype=factor.levels.dtype if len(named) == 0 else None))
        if (places < 0).any() or not len(named):
            missing = named[int(np.flatnonzero(places < 0)[0])] if named else "(none)"
            some = ", ".join(map(str, factor.levels[:5])) + (", ..." if nl > 5 else "")
            raise UnknownNameError(f"panels_data: {factor.name} has no level {missing!r}; its levels are {some}")
        return places
    if nl <= count:
        return np.arange(nl)
    if how == "largest":
        sizes = np.bincount(factor.codes, minlength=nl)
        return np.sort(np.argsort(-sizes, kind="stable")[:count])
    middle = np.array([[np.nanmean(values)]])
    ranks = np.argsort(parts.predict_groups(factor, x, middle, at)[:, 0], kind="stable")
    return ranks[np.unique(np.linspace(0, nl - 1, count).round().astype(int))]


def _least_squares(x, y, w):
    """The least squares line over the group's own range, as a list of at most one line."""
    known = np.isfinite(x)
    x, y = x[known], y[known]
    if len(x) < 2 or np.ptp(x) == 0.0:
        return []
    w = np.ones(len(x)) if w is None else w[known]
    centre, mean = np.average(x, weights=w), np.average(y, weights=w)
    slope = np.sum(w * (x - centre) * (y - mean)) / np.sum(w * (x - centre) ** 2)
    ends = np.array([x.min(), x.max()])
    return [("ols", ends, mean + slope * (ends - centre))]


def plot_panels(fit, x, group=None, *, groups=None, points=None, at=None, ols=False, ncols=None, ax=None, xlabel=None, ylabel=None,
                title=None):
    """Observed values and fitted lines, one panel per group, all on the same axes.

    Lines stand at the group's own predictors, other predictors at their mean or reference level
    (see `group_lines`); the points are the observed values as they are.  Of more than
    2,000 rows in a panel 2,000 are drawn, spread evenly over the rows, which the legend says.

    Parameters
    ----------
    fit, x, group, groups, points, at
        As for `panels_data`, which gives the numbers.
    ols : bool
        Also draw the least squares line of each group.
    ncols : int, optional
        Panels per row; at most 5, in rows of equal length, by default.
    ax : sequence of Axes, or Figure, optional
        An Axes for each panel, or a figure that is divided into them.
    xlabel, ylabel, title : str, optional

    Returns
    -------
    ndarray of Axes, one per group

    Raises
    ------
    ArgumentError, UnknownNameError, DataError, RowsNotKeptError
        As for `panels_data`.
    FastlmmError
        If matplotlib is not installed.
    """
    from fastlmm_hlm.report.plot_panels import plot_group_panels

    if ncols is not None and (isinstance(ncols, bool) or not isinstance(ncols, (int, np.integer)) or ncols < 1):
        raise ArgumentError(f"plot_panels: ncols = {ncols!r}; give how many panels stand in a row, 1 or more.")
    frame = panels_data(fit, x, group, groups=groups, points=points, at=at)
    total = len(fit.ranef(condVar=False)[frame.columns[0]])
    return plot_group_panels(frame, ols=ols, ncols=ncols, total=total, ax=ax, xlabel=xlabel,
                             ylabel=fit._spec.formula.response if ylabel is None else ylabel, title=title)
