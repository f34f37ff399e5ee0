"""The reference grid: all combinations of levels, covariates at their mean, as rows of X.

Rows are made by the recipe of the fit, so codings, poly(), ns() and scale()
stand as they were fitted.
"""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from fastlmm_hlm.errors import ArgumentError
from fastlmm_hlm.formula.syntax import column_names
from fastlmm_hlm.inference.emmeans.facts import facts_of, numbers_of, shown
from fastlmm_hlm.inference.emmeans.nesting import nested_in
from fastlmm_hlm.inference.emmeans.specs import check_names

# A grid is a matrix of this many rows at most.
LARGEST_GRID = 100_000


@dataclass(frozen=True)
class Grid:
    """A reference grid.

    Attributes
    ----------
    levels : dict of str to tuple
        Values of each predictor; factors and covariates in the order of the formula.
    codes : ndarray of int, shape (cells, predictors)
        The first predictor varies fastest.
    linfct : ndarray, shape (cells, p_all)
        X of each cell, with all columns of the formula.
    offset : ndarray, shape (cells,)
    counts : ndarray, shape (cells,)
        Rows of the data with these levels of the predictors that have levels.
    factors : set of str
        Predictors that count as factors.
    nesting : dict of str to tuple of str
        Nested factor -> the factors it is nested in.
    occurs : ndarray of bool, shape (cells,)
        False for combinations that nesting rules out.
    terms : list of tuple of str
        Predictors of each term of the fixed part.
    facts : Facts
    """

    levels: dict
    codes: np.ndarray
    linfct: np.ndarray
    offset: np.ndarray
    counts: np.ndarray
    factors: set
    nesting: dict
    occurs: np.ndarray
    terms: list
    facts: object

    @property
    def names(self):
        """Names of the predictors."""
        return list(self.levels)


def reference_grid(fit, at=None, cov_reduce="mean", caller="emmeans", derivative=None):
    """Make the reference grid of a fit.

    Parameters
    ----------
    fit : LinearMixedModel
    at : dict, optional
        Predictor -> value or values: numbers of a covariate, some levels of a factor.
    cov_reduce : "mean", False, callable, or dict of such
        What a covariate is reduced to; a callable gets its values at the rows
        of the fit and returns one or more numbers, False keeps every value.  Covariates with
        two values keep both unless a dict names them.
    caller : str
    derivative : function, optional
        Given a function from a shift of new data to X and the offset, returns
        what stands in their place.

    Returns
    -------
    Grid

    Raises
    ------
    ArgumentError
        For an unknown predictor or level in `at`, or a grid that is too large.
    RowsNotKeptError
        If the rows are needed and were not kept.
    """
    facts = facts_of(fit, caller)
    at = {} if at is None else _checked_at(at, facts.variables, caller)
    check_names(cov_reduce if isinstance(cov_reduce, dict) else (), facts.variables, caller)
    levels = {}
    for name, variable in facts.variables.items():
        if name in at:
            levels[name] = at[name]
        elif variable.is_factor or (variable.levels is not None and not (isinstance(cov_reduce, dict) and name in cov_reduce)):
            levels[name] = variable.levels
        else:
            levels[name] = _reduced(fit, variable, _reducer(cov_reduce, name), facts, caller)
    sizes = [len(values) for values in levels.values()]
    cells = int(np.prod(sizes, dtype=float)) if sizes else 1
    if cells > LARGEST_GRID:
        listed = ", ".join(f"{name} {size}" for name, size in zip(levels, sizes, strict=True) if size > 1)
        raise ArgumentError(
            f"{caller}: the reference grid would have {cells} combinations ({listed}), more than {LARGEST_GRID}. "
            "Keep fewer levels with at=, or reduce covariates to their mean."
        )
    codes = all_combinations(sizes)
    columns = {
        name: facts.variables[name].column(np.array(values, dtype=object)[codes[:, i]].tolist())
        for i, (name, values) in enumerate(levels.items())
    }
    newdata = pd.DataFrame(columns, index=pd.RangeIndex(cells))
    make = _maker(fit, newdata, facts)
    linfct, offset = make({}) if derivative is None else derivative(make, newdata)
    terms = model_terms(fit, facts)
    nesting = nested_in(terms, facts)
    return Grid(
        levels=levels, codes=codes, linfct=linfct, offset=offset, counts=_cell_counts(facts, levels, codes),
        factors={name for name, v in facts.variables.items() if v.is_factor}, nesting=nesting,
        occurs=_occurring(facts, levels, codes, nesting), terms=terms, facts=facts,
    )


def all_combinations(sizes):
    """Codes of all combinations, the first varying fastest: (prod(sizes), len(sizes))."""
    cells = int(np.prod(sizes, dtype=np.int64)) if len(sizes) else 1
    codes = np.empty((cells, len(sizes)), dtype=np.int64)
    before = 1
    for i, size in enumerate(sizes):
        codes[:, i] = np.arange(cells) // before % size
        before *= size
    return codes


def model_terms(fit, facts):
    """The predictors of each term, without those that are only in offsets."""
    terms = fit._spec.fixed_recipe.terms
    used = []
    for members in terms.terms:
        names = [c for member in members for c in column_names(terms.variables[member]) if c in facts.variables]
        used.append(tuple(name for name in facts.variables if name in names))
    return list(dict.fromkeys(used))


def _maker(fit, newdata, facts):
    """X and offset of the grid as a function of columns that replace its own."""
    spec = replace(fit._spec, offset_is_vector=False)

    def make(changed):
        data = newdata.assign(**changed) if changed else newdata
        return np.asarray(spec.fixed(data)), spec.offset(data) + facts.mean_offset

    return make


def _reducer(cov_reduce, name):
    return cov_reduce.get(name, "mean") if isinstance(cov_reduce, dict) else cov_reduce


def _reduced(fit, variable, reducer, facts, caller):
    """What a covariate is reduced to, a tuple of numbers."""
    if isinstance(reducer, str) and reducer == "mean" or reducer is True:
        return (variable.mean,)
    if reducer is False:
        return tuple(np.unique(numbers_of(fit, variable.name, caller)).tolist())
    if not callable(reducer):
        raise ArgumentError(f"{caller}: cov_reduce is {reducer!r}; give 'mean', False, a function, or a dict of predictor -> one of these.")
    values = np.atleast_1d(np.asarray(reducer(numbers_of(fit, variable.name, caller)), dtype=float))
    if values.ndim != 1 or not len(values) or not np.isfinite(values).all():
        raise ArgumentError(f"{caller}: cov_reduce gives {values} for {variable.name!r}; it must give one or more finite numbers.")
    return tuple(values.tolist())


def _checked_at(at, variables, caller):
    """The values of `at`, tuples that name known levels.

    Raises
    ------
    ArgumentError
    """
    if not isinstance(at, dict):
        raise ArgumentError(f"{caller}: at is {type(at).__name__}; give a dict such as {{'x': [1, 2]}}.")
    check_names(at, variables, f"{caller}: at")
    out = {}
    for name, values in at.items():
        variable = variables[name]
        values = [values] if isinstance(values, str) or np.ndim(values) == 0 else list(values)
        if not values:
            raise ArgumentError(f"{caller}: at[{name!r}] is empty; give one value or more.")
        if variable.is_factor:
            known = {shown(level): level for level in variable.levels}
            for value in values:
                if shown(value) not in known:
                    raise ArgumentError(
                        f"{caller}: at[{name!r}] has {value!r}, which is no level of {name!r} in the fit; its levels are "
                        f"{', '.join(list(known)[:12])}{' ...' if len(known) > 12 else ''}."
                    )
            chosen = [known[shown(value)] for value in values]
        else:
            try:
                chosen = [float(value) if not hasattr(value, "isoformat") else _days(value) for value in values]
            except (TypeError, ValueError):
                raise ArgumentError(f"{caller}: at[{name!r}] is {values!r}; {name!r} is numeric, so give numbers.") from None
            if not np.isfinite(chosen).all():
                raise ArgumentError(f"{caller}: at[{name!r}] is {values!r}; give finite numbers.")
            chosen = [int(value) if float(value).is_integer() else value for value in chosen]
        if len(set(chosen)) < len(chosen):
            raise ArgumentError(f"{caller}: at[{name!r}] is {values!r}; give each value once.")
        out[name] = tuple(chosen)
    return out


def _days(moment):
    return (pd.Timestamp(moment) - pd.Timestamp(0)) / pd.Timedelta(1, "D")


def _places(facts, levels):
    """Counted predictors that stand at levels of the data, and where: list of (column, place in cells, map)."""
    out = []
    for i, (name, values) in enumerate(levels.items()):
        if name in facts.counted:
            known = {level: k for k, level in enumerate(facts.variables[name].levels)}
            if all(value in known for value in values):
                out.append((i, facts.counted.index(name), np.array([known[value] for value in values])))
    return out


def _cell_counts(facts, levels, codes):
    """Counts of the combinations in the grid; predictors that stand at other values do not matter."""
    where = _places(facts, levels)
    table = {}
    for key, count in zip(map(tuple, facts.cells[:, [k for _, k, _ in where]].tolist()), facts.counts, strict=True):
        table[key] = table.get(key, 0.0) + count
    keys = np.column_stack([places[codes[:, i]] for i, _, places in where]) if where else np.zeros((len(codes), 0), dtype=int)
    return np.array([table.get(tuple(key), 0.0) for key in keys.tolist()])


def _occurring(facts, levels, codes, nesting):
    """Which combinations exist: a level of a nested factor only in the levels it was seen in."""
    occurs = np.ones(len(codes), dtype=bool)
    where = {facts.counted[k]: (i, k, places) for i, k, places in _places(facts, levels)}
    for inner, outer in nesting.items():
        group = [name for name in (inner, *outer) if name in where]
        seen = set(map(tuple, facts.cells[:, [where[name][1] for name in group]].tolist()))
        keys = np.column_stack([where[name][2][codes[:, where[name][0]]] for name in group])
        occurs &= np.array([tuple(key) in seen for key in keys.tolist()])
    return occurs
