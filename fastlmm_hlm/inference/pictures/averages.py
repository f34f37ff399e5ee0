"""The average of every group, and the line of every group: what a fit says of its groups, in one picture."""

import numpy as np
import pandas as pd

from fastlmm_hlm.errors import ArgumentError
from fastlmm_hlm.inference.leverage import variances_of
from fastlmm_hlm.inference.pictures.columns import check_share, group_name
from fastlmm_hlm.inference.standing import FittedParts

# As many colours as can be told apart.
MOST_KINDS = 7
# Points of a line that is not straight.
CURVE = 60


def averages_data(fit, group=None, *, at=None, level=0.95):
    """Fitted average of every group, with its interval.

    The average is X beta + Z b where predictors of the group stand at its own
    values, numbers that vary within groups at their mean over all rows, and
    factors that vary within groups at their reference level, as in
    `group_lines`.  Without predictors that vary it is lme4's coef().  Effects of
    other grouping factors count where each group lies in one of their levels
    (the school of a class).

    Parameters
    ----------
    fit : LinearMixedModel
    group : str, optional
        Grouping factor; needed when the model has several.
    at : dict, optional
        Column -> value at which it stands, for all groups.
    level : float
        Of the intervals.

    Returns
    -------
    DataFrame, one row per group, in the order of the levels
        average; condsd: standard deviation of Z b given the data, the fixed
        effects and the variances; lower, upper: average +- z condsd; population:
        the fixed part alone; n: rows.  ``.attrs["at"]`` has the predictors that
        stand at one value in all groups.

    Raises
    ------
    ArgumentError
        If several grouping factors exist and none is named, or an argument does
        not fit the model.
    UnknownNameError
        If the model has no such grouping factor.
    DataError
        If `at` gives a factor a level that the fit did not see.
    RowsNotKeptError
        If the fit was pickled without its rows.
    """
    from scipy import special

    caller = "averages_data"
    check_share(level, "level", caller)
    parts = FittedParts(fit, caller)
    name = group_name(fit, group, caller)
    factor = next(f for f in parts.design.factors if f.name == name)
    rows = parts.rows_of_groups(factor, None, np.ones((1, 1)), at)
    population = parts._fixed_part(rows.newdata)
    average, nl = population.copy(), len(factor.levels)
    z = [np.zeros((nl, len(f.columns))) for f in parts.design.factors]
    for f, codes, columns, Z in parts.random_parts(rows):
        z[f][:, columns] = Z[:, 0]
        average += np.einsum("lc,lc->l", Z[:, 0], parts.effects[f][codes, columns])
    variance = variances_of(fit, [np.asarray(f.codes)[rows.first] for f in parts.design.factors], z)
    sd = np.sqrt(np.maximum(variance, 0.0))
    reach = special.ndtri(0.5 + level / 2.0) * sd
    out = pd.DataFrame({
        "average": average, "condsd": sd, "lower": average - reach, "upper": average + reach, "population": population,
        "n": np.bincount(factor.codes, minlength=nl),
    }, index=pd.Index(factor.levels, name=name))
    out.attrs["at"] = rows.common
    return out


def plot_averages(fit, group=None, *, at=None, level=0.95, ax=None, xlabel=None, ylabel=None, title=None):
    """Fitted averages of the groups in increasing order, with their intervals and the population.

    The vertical line is the fixed part; where it differs between groups, because
    the model has predictors of groups, its mean over the groups.

    Parameters
    ----------
    fit, group, at, level
        As for `averages_data`, which gives the numbers.
    ax : matplotlib Axes or Figure, optional
    xlabel, ylabel, title : str, optional

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ArgumentError, UnknownNameError, DataError, RowsNotKeptError
        As for `averages_data`.
    FastlmmError
        If matplotlib is not installed.
    """
    from fastlmm_hlm.report.canvas import one_axes
    from fastlmm_hlm.report.plots import plot_group_averages

    frame = averages_data(fit, group, at=at, level=level)
    population = frame["population"].to_numpy()
    same = np.ptp(population) <= 1e-9 * np.abs(population).max()
    if xlabel is None:
        stands = ", ".join(f"{k} = {_short(v)}" for k, v in frame.attrs["at"].items())
        xlabel = fit._spec.formula.response + (f"  ({stands})" if stands else "")
    return plot_group_averages(
        frame, ax=None if ax is None else one_axes(ax, "plot_averages"), population=float(population.mean()),
        population_label="population" if same else "population, mean over the groups", level=level, xlabel=xlabel,
        ylabel=ylabel, title=title,
    )


def _short(value):
    """A number as a label has it; a mean that is zero but for rounding is 0."""
    return f"{value if abs(value) > 1e-12 else 0.0:.4g}" if isinstance(value, (float, np.floating)) else str(value)


def lines_data(fit, x, group=None, *, by=None, points=None, at=None, within=False):
    """Lines of the groups and of the population, in one data frame.

    Parameters
    ----------
    fit, x, group, at, within
        As for `group_lines`.
    points : int or array, optional
        As for `group_lines`; by default 2 for straight lines and 60 for curves.
    by : str, optional
        A column of the data that is the same in all rows of a group, such as
        the sector of a school: the population then has a line for each of its
        values, at the mean of the other numeric predictors of groups over the groups
        with that value.

    Returns
    -------
    DataFrame
        The grouping factor (missing for the population), x, "fitted", "line"
        ("group" or "population"), and `by`.  If `by` is no predictor and the
        population's lines are therefore the same, there is one, with `by` missing.

    Raises
    ------
    ArgumentError
        If `by` varies within groups; and as for `group_lines`.
    UnknownNameError, DataError, RowsNotKeptError
        As for `group_lines`.
    """
    from fastlmm_hlm.inference.lines import group_lines, population_line

    parts = FittedParts(fit, "lines_data")
    parts.check_predictor(x)
    factor = parts.choose_factor(x, group)
    points = enough_points(fit, x, factor.name, at) if points is None else points
    lines = group_lines(fit, x, points=points, group=factor.name, at=at, within=within).assign(line="group")
    if by is None:
        population = [population_line(fit, x, points=points, at=at)]
    else:
        kind_of, means = _kinds(fit, parts, factor, x, by, at)
        lines[by] = kind_of.repeat(len(lines) // len(factor.levels)).to_numpy()
        population = [
            population_line(fit, x, points=points, at=settings).assign(**{by: kind}) for kind, settings in means
        ]
    whole = pd.concat(population, ignore_index=True).assign(line="population")
    out = pd.concat([lines.astype({factor.name: object}), whole], ignore_index=True)
    out[factor.name] = out[factor.name].where(out["line"] == "group", None)
    return out


def enough_points(fit, x, group, at):
    """2 if the lines of the groups are straight in x, else 60."""
    from fastlmm_hlm.inference.lines import group_slopes

    try:
        group_slopes(fit, x, group=group, at=at)
    except ArgumentError:
        return CURVE
    return 2


def _kinds(fit, parts, factor, x, by, at):
    """The value of `by` in every group, and for each value the settings of its population."""
    from fastlmm_hlm.inference.pictures.columns import column_at_rows

    if by in (x, "fitted", "line", factor.name):
        what = "the predictor" if by == x else "another column of the result"
        raise ArgumentError(f"lines_data: by = {by!r} is {what}; name a column that is constant within {factor.name}.")
    values = pd.Series(column_at_rows(fit, by, "lines_data"))
    first = np.empty(len(factor.levels), dtype=np.int64)
    first[factor.codes[::-1]] = np.arange(len(values))[::-1]
    kind_of = values.iloc[first].reset_index(drop=True)
    codes = pd.factorize(values)[0]
    if not (codes == codes[first][factor.codes]).all():
        raise ArgumentError(f"lines_data: {by!r} varies within {factor.name}; a colour per group needs one value in each.")
    kinds = pd.unique(kind_of.dropna().sort_values())
    if len(kinds) > MOST_KINDS:
        raise ArgumentError(
            f"lines_data: {by!r} has {len(kinds)} values; there are colours for {MOST_KINDS}. Cut it into fewer classes."
        )
    settings = []
    for kind in kinds:
        own = kind_of == kind
        held = dict(at or {})
        for name in parts.predictors:
            if name in (x, by, *held):
                continue
            column = parts.source.column(name)
            numbers = parts._comparable(name)
            if column.kind in ("number", "integer") and (numbers == numbers[first][factor.codes]).all():
                held[name] = float(numbers[first][own.to_numpy()].mean())
        if by in parts.predictors and by not in held:
            held[by] = kind
        settings.append((kind, held))
    if all(held == settings[0][1] for _, held in settings):
        settings = [(None, settings[0][1])]
    return kind_of, settings


def plot_lines(fit, x, group=None, *, by=None, points=None, at=None, within=False, ax=None, xlabel=None, ylabel=None, title=None):
    """The fitted line of every group along x, with the population's line on top.

    Parameters
    ----------
    fit, x, group, by, points, at, within
        As for `lines_data`, which gives the numbers.
    ax : matplotlib Axes or Figure, optional
    xlabel, ylabel, title : str, optional

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ArgumentError, UnknownNameError, DataError, RowsNotKeptError
        As for `lines_data`.
    FastlmmError
        If matplotlib is not installed.
    """
    from fastlmm_hlm.report.canvas import one_axes
    from fastlmm_hlm.report.plots import plot_group_lines

    frame = lines_data(fit, x, group, by=by, points=points, at=at, within=within)
    own = frame["line"] == "group"
    return plot_group_lines(
        frame[own].drop(columns="line"), frame[~own].drop(columns="line"), by=by, ax=one_axes(ax, "plot_lines"),
        xlabel=xlabel, ylabel=fit._spec.formula.response if ylabel is None else ylabel, title=title,
    )
