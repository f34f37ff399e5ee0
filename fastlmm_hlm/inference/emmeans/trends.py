"""Slopes of marginal means: derivatives of the rows of the grid with respect to one covariate."""

import numpy as np

from fastlmm_hlm.errors import ArgumentError, FormulaError
from fastlmm_hlm.formula.columns import DataColumns
from fastlmm_hlm.formula.evaluate import Evaluator
from fastlmm_hlm.formula.parse import parse_expression
from fastlmm_hlm.formula.syntax import column_names
from fastlmm_hlm.inference.emmeans.facts import facts_of
from fastlmm_hlm.inference.emmeans.grid import reference_grid
from fastlmm_hlm.inference.emmeans.means import average
from fastlmm_hlm.inference.emmeans.result import EmmList
from fastlmm_hlm.inference.emmeans.specs import read_specs

# The step of the central difference as a share of the covariate's range: its error is of
# the order of the square, 1e-8, and rounding adds 1e-12.
STEP = 1e-4


def emtrends(fit, specs, var, by=None, at=None, cov_reduce="mean", weights="equal", ddf=None, level=0.95, adjust=None, delta_var=None):
    """Slopes of a covariate, averaged over a grid of the predictors.

    Parameters
    ----------
    fit : LinearMixedModel
    specs, by, at, cov_reduce, weights, ddf, level, adjust
        As for `emmeans`.
    var : str
        A numeric predictor, or a function of one such as "log(x)".
    delta_var : float, optional
        Step of the difference quotient; a ten-thousandth of the range by default.

    Returns
    -------
    EmmGrid, or EmmList with ``.emtrends`` and ``.contrasts``

    Raises
    ------
    ArgumentError
        If var is no numeric predictor; and as for `emmeans`.
    RowsNotKeptError
        As for `emmeans`.
    """
    facts = facts_of(fit, "emtrends")
    node, x = _variable(var, facts, "emtrends")
    step = STEP * (facts.variables[x].spread or 1.0) if delta_var is None else float(delta_var)
    if not np.isfinite(step) or step == 0:
        raise ArgumentError(f"emtrends: delta_var = {delta_var!r}; give a number that is not 0.")

    def derivative(make, newdata):
        here = np.asarray(newdata[x], dtype=float)
        (X_up, o_up), (X_down, o_down) = (make({x: here + side * step / 2.0}) for side in (1.0, -1.0))
        width = _value(node, newdata.assign(**{x: here + step / 2.0})) - _value(node, newdata.assign(**{x: here - step / 2.0}))
        if not np.isfinite(width).all() or (width == 0).any() or not np.isfinite(X_up).all() or not np.isfinite(X_down).all():
            raise ArgumentError(f"emtrends: {var!r} has no slope at {x} = {here[0]:g}; set another value with at=.")
        return (X_up - X_down) / width[:, None], (o_up - o_down) / width

    stands = {} if at is None else dict(at)
    if x not in stands and facts.variables[x].levels is not None:
        stands[x] = facts.variables[x].mean
    grid = reference_grid(fit, stands, cov_reduce, "emtrends", derivative=derivative)
    wanted = read_specs(specs, by, grid.levels, "emtrends")
    made = average(fit, grid, wanted, weights, "emtrends", ddf=ddf, level=level, adjust=adjust, estimate=f"{var}.trend",
                   terms=[term for term in grid.terms if x in term], extra=(x,), transformed=False)
    return made if wanted.method is None else EmmList.of("emtrends", made, wanted.method)


def _variable(var, facts, caller):
    """The expression and its only predictor."""
    if not isinstance(var, str):
        raise ArgumentError(f"{caller}: var = {var!r}; give the name of a numeric predictor.")
    names = [var] if var in facts.variables else None
    try:
        node = parse_expression(f"`{var}`" if names else var)
    except FormulaError as error:
        raise ArgumentError(f"{caller}: var = {var!r} cannot be read. {error}") from None
    names = [name for name in column_names(node) if name in facts.variables]
    if len(names) != 1:
        numeric = ", ".join(name for name, v in facts.variables.items() if not v.is_factor) or "none"
        raise ArgumentError(f"{caller}: var = {var!r} is no numeric predictor of the model; there are {numeric}.")
    if facts.variables[names[0]].is_factor:
        raise ArgumentError(f"{caller}: {names[0]!r} is a factor, and a slope needs a numeric predictor.")
    return node, names[0]


def _value(node, data):
    return np.asarray(Evaluator(DataColumns(data), state={}).variable(node), dtype=float)
