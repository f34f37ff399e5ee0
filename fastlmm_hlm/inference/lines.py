"""Regression lines: what a fit predicts along one predictor, for every group and for the population.

The line of a group is X beta + Z b with only the predictor x moving.  Every
other predictor stands still:

    what is the same in all rows of the group     at the group's own value
    a number that varies within the group         at its mean over all rows of the fit
    a factor that varies within the group         at its reference level

and `at` overrides each of these.  So interactions of x with group-level
predictors enter the slope, as they should: the matrices are made from such rows
by the recipe of the fit, not put together from coefficients.
"""

import numpy as np
import pandas as pd

from fastlmm_hlm.errors import ArgumentError
from fastlmm_hlm.inference.standing import FittedParts

# Straightness is judged at these fractions of the range of x; unevenly spaced, so that no
# low polynomial vanishes at all of them.
INNER_FRACTIONS = np.array([0.137, 0.41, 0.733])
# Deviations from the chord below this share of the lines' own range are rounding.
STRAIGHT = 1e-7


def group_lines(fit, x, *, points=2, group=None, at=None, within=False):
    """Fitted values along x for every group of one grouping factor.

    Effects of other grouping factors are included when each group lies in one of
    their levels (the school of a class), and zero otherwise.

    Parameters
    ----------
    fit : LinearMixedModel
    x : str
        A numeric column that the formula uses.
    points : int or array
        How many points per line, equally spaced over the range of x; or the
        values of x themselves.  Two are enough for straight lines.
    group : str, optional
        Grouping factor; needed when the model has several and x does not have a
        random slope in exactly one of them.
    at : dict, optional
        Column -> value at which it stands, for all groups.
    within : bool
        Every line over the range of x in its own group, rather than over that
        of all rows.

    Returns
    -------
    DataFrame, groups * points rows
        Columns: the grouping factor, x, "fitted".  Groups in the order of their levels.

    Raises
    ------
    ArgumentError
        If x is no numeric predictor, or an argument does not fit the model.
    UnknownNameError
        If the model has no such grouping factor.
    DataError
        If `at` gives a factor a level that the fit did not see.
    RowsNotKeptError
        If the fit was pickled without its rows.
    """
    parts = FittedParts(fit, "group_lines")
    parts.check_predictor(x)
    factor = parts.choose_factor(x, group)
    if factor.name in (x, "fitted"):
        raise ArgumentError(f"group_lines: the grouping factor is called {factor.name!r}, as another column of the result.")
    grid = _grid(parts, x, points, factor if within else None)
    fitted = parts.predict_groups(factor, x, grid, at)
    return pd.DataFrame({
        factor.name: factor.levels.repeat(grid.shape[1]),
        x: np.broadcast_to(grid, fitted.shape).ravel(),
        "fitted": fitted.ravel(),
    })


def population_line(fit, x, *, points=2, at=None):
    """Fitted values along x with all random effects zero.

    Other predictors stand at their mean over the rows of the fit, or at their
    reference level, whether or not they vary within groups.

    Parameters
    ----------
    fit, x, points, at
        As for `group_lines`.

    Returns
    -------
    DataFrame
        Columns x, "fitted".

    Raises
    ------
    ArgumentError, DataError, RowsNotKeptError
        As for `group_lines`.
    """
    parts = FittedParts(fit, "population_line")
    parts.check_predictor(x)
    grid = _grid(parts, x, points)[0]
    return pd.DataFrame({x: grid, "fitted": parts.predict_population(x, grid, at)})


def group_slopes(fit, x, *, group=None, at=None):
    """Intercept and slope of the line of every group.

    Parameters
    ----------
    fit, x, group, at
        As for `group_lines`.

    Returns
    -------
    DataFrame, shape (groups, 2)
        Index: the levels.  "intercept" is the value at x = 0; "slope" holds
        everything that multiplies x, interactions with the group's own
        predictors included.

    Raises
    ------
    ArgumentError
        If the lines are not straight in x; and as for `group_lines`.
    UnknownNameError, DataError, RowsNotKeptError
        As for `group_lines`.
    """
    parts = FittedParts(fit, "group_slopes")
    parts.check_predictor(x)
    factor = parts.choose_factor(x, group)
    low, high = parts.range_of(x)
    high = high if high > low else low + 1.0
    grid = np.concatenate([[low], low + INNER_FRACTIONS * (high - low), [high]])
    fitted = parts.predict_groups(factor, x, grid[None], at)
    slope = (fitted[:, -1] - fitted[:, 0]) / (high - low)
    bend = np.abs(fitted - (fitted[:, :1] + slope[:, None] * (grid - low))).max()
    if not bend <= STRAIGHT * np.ptp(fitted) + 1e-9 * np.abs(fitted).max():
        raise ArgumentError(
            f"group_slopes: the lines are not straight in {x!r} (off by {bend:.3g} from their chords), so they have no "
            f"single slope. Use group_lines(fit, {x!r}, points=50) for the curves."
        )
    index = pd.Index(factor.levels, name=factor.name)
    return pd.DataFrame({"intercept": fitted[:, 0] - slope * low, "slope": slope}, index=index)


def _grid(parts, x, points, factor=None):
    """Values of x: (groups, points), or (1, points) without a factor given the same for all."""
    if np.ndim(points) == 0:
        if isinstance(points, bool) or not isinstance(points, (int, np.integer)) or points < 2:
            raise ArgumentError(
                f"{parts.caller}: points = {points!r}; give how many points per line, 2 or more, or the values of {x!r}."
            )
        low, high = parts.range_of(x) if factor is None else parts.range_by_group(x, factor)
        grid = np.linspace(low, high, int(points), axis=-1)
    elif factor is not None:
        raise ArgumentError(f"{parts.caller}: within=True takes the range of each group; give points as a number.")
    else:
        try:
            grid = np.asarray(points, dtype=float)
        except (TypeError, ValueError):
            raise ArgumentError(f"{parts.caller}: points = {points!r}; the values of {x!r} must be numbers.") from None
        if grid.ndim != 1 or not len(grid) or not np.isfinite(grid).all():
            raise ArgumentError(f"{parts.caller}: points has shape {grid.shape}; give finite values of {x!r} in one row.")
    return np.atleast_2d(grid)
