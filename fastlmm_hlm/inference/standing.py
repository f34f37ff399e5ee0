"""Rows in which one predictor moves and the others stand still, and what a fit predicts in them."""

import dataclasses

import numpy as np
import pandas as pd

from fastlmm_hlm.errors import ArgumentError, RowsNotKeptError, UnknownNameError
from fastlmm_hlm.formula.bars import group_components
from fastlmm_hlm.formula.columns import DataColumns, factorize_sorted
from fastlmm_hlm.formula.evaluate import Evaluator
from fastlmm_hlm.formula.syntax import column_names
from fastlmm_hlm.formula.values import Logical

NUMBERS = ("number", "integer")


@dataclasses.dataclass(frozen=True)
class GroupRows:
    """New rows of every group.

    Attributes
    ----------
    newdata : DataFrame, nl * points rows
    shape : (nl, points)
    first : ndarray of int (nl,)
        A row of the fit in each group.
    included : list of bool, per grouping factor
        Whether each group lies in one of its levels.
    common : dict
        Predictors that stand at one value in all groups.
    """

    newdata: pd.DataFrame
    shape: tuple
    first: np.ndarray
    included: list
    common: dict


class FittedParts:
    """What prediction along one predictor needs of a fit.

    Parameters
    ----------
    fit : LinearMixedModel
    caller : str
        Name of the public function, for messages.

    Raises
    ------
    ArgumentError
        If it is not a fit.
    RowsNotKeptError
        If the fit no longer has its rows.
    """

    def __init__(self, fit, caller):
        self.caller = caller
        if not hasattr(fit, "_spec"):
            raise ArgumentError(f"{caller}: expected a fitted model from lmer(), got {type(fit).__name__}.")
        rows, data = fit._rows_or_raise(caller), fit._settings.data
        if data is None:
            raise RowsNotKeptError(f"{caller}: this fit was pickled without its data; fit with keep_data=True to keep them.")
        self.spec, self.design = fit._spec, rows.design
        self.data, self.source, self.rows = data, DataColumns(data), rows.positions
        self.beta = fit.fixef(add_dropped=True).fillna(0.0).to_numpy()
        self.effects = [frame.to_numpy() for frame in fit.ranef(condVar=False).values()]
        recipes = [self.spec.fixed_recipe, *(term.recipe for term in self.spec.random_terms)]
        self.variables = {
            name: (recipe.terms.variables[name], recipe.levels.get(name))
            for recipe in recipes for term in recipe.terms.terms for name in term
        }
        nodes = [*(node for node, _ in self.variables.values()), *self.spec.offset_nodes]
        self.predictors = [name for name in dict.fromkeys(c for node in nodes for c in column_names(node)) if name in self.source]

    # --- choosing ----------------------------------------------------------------

    def check_predictor(self, x):
        """Refuse an x that is not a numeric column of the formula."""
        if x not in self.predictors:
            raise ArgumentError(
                f"{self.caller}: the model has no predictor {x!r}; its predictors are "
                f"{', '.join(self.predictors) or 'none'}. Name the column, not a function of it."
            )
        kind = self.source.column(x).kind
        if kind not in NUMBERS:
            raise ArgumentError(f"{self.caller}: {x!r} is not numeric ({kind}); a line needs a numeric predictor.")
        uses = [(node, levels) for node, levels in self.variables.values() if x in column_names(node)]
        if uses and all(levels is not None for _, levels in uses):
            raise ArgumentError(f"{self.caller}: {x!r} enters the model as a factor, and a line needs a numeric predictor.")

    def choose_factor(self, x, group):
        """The grouping factor by name, or the only one that can be meant."""
        factors = self.design.factors
        names = [factor.name for factor in factors]
        if group is not None:
            if group not in names:
                raise UnknownNameError(f"{self.caller}: no grouping factor is called {group!r}; there are {', '.join(names)}.")
            return factors[names.index(group)]
        sloped = {
            term.factor for term, spec in zip(self.design.terms, self.spec.random_terms, strict=True)
            if any(x in column_names(spec.recipe.terms.variables[name]) for side in spec.recipe.terms.terms for name in side)
        }
        meant = sloped if len(sloped) == 1 else range(len(factors))
        if len(meant) != 1:
            raise ArgumentError(
                f"{self.caller}: the model has the grouping factors {', '.join(names)}; say which one with group=."
            )
        return factors[next(iter(meant))]

    # --- columns of the rows used ---------------------------------------------------

    def _used(self, values):
        values = np.asarray(values)
        return values if self.rows is None else values[self.rows]

    def _numbers(self, name):
        return self._used(self.source.column(name).value())

    def range_of(self, x):
        """Smallest and largest value of x, two floats."""
        values = self._numbers(x)
        return float(np.nanmin(values)), float(np.nanmax(values))

    def range_by_group(self, x, factor):
        """Smallest and largest value of x in each group, two arrays (nl,)."""
        values = pd.Series(self._numbers(x)).groupby(factor.codes)
        return values.min().to_numpy(), values.max().to_numpy()

    def _comparable(self, name):
        """The column as an array whose elements can be compared, missing ones unequal to all."""
        column = self.source.column(name)
        if column.kind == "text":
            return self._used(factorize_sorted(column.values)[0]).astype(float)
        if column.kind == "logical":
            return self._used(column.value().values)
        return self._numbers(name) if column.kind in NUMBERS else self._used(column.values)

    def _at_rows(self, name, positions):
        """The column's own values at some of the rows used, as its type has them."""
        column = self.source.column(name)
        if column.kind == "category":
            codes = self._used(column.values)[positions]
            return pd.Categorical.from_codes(codes, categories=column.levels, ordered=column.ordered)
        if column.kind in NUMBERS and column.missing is not None:
            return self._numbers(name)[positions]
        return self._used(column.values)[positions]

    # --- what stands still -------------------------------------------------------------

    def _standing(self, x, at):
        """Value of every predictor but x when nothing is known of the group: dict of arrays of length 1."""
        at = {} if at is None else dict(at)
        unknown = [name for name in at if name not in self.predictors or name == x]
        if unknown:
            others = ", ".join(name for name in self.predictors if name != x) or "none"
            raise ArgumentError(f"{self.caller}: at has {unknown[0]!r}; the predictors that can be set are {others}.")
        held = {}
        for name, value in at.items():
            if np.ndim(value) != 0:
                raise ArgumentError(f"{self.caller}: at[{name!r}] is {value!r}; give one value.")
            held[name] = np.array([value], dtype=object if isinstance(value, str) else None)
        for node, levels in self.variables.values():
            names = [name for name in column_names(node) if name in self.source and name not in held and name != x]
            if levels is not None and names:
                row = self._reference_row(node, levels[0])
                held.update((name, self._at_rows(name, [row])) for name in names)
        for name in self.predictors:
            if name != x and name not in held:
                held[name] = self._typical(name)
        return held

    def _reference_row(self, node, level):
        """A row of the fit in which a factor of the formula has its reference level."""
        value = Evaluator(self.source, state=self.spec.state, levels=self.spec.levels).variable(node)
        value = value.as_factor() if isinstance(value, Logical) else value
        return int(np.argmax(self._used(value.codes) == value.levels.index(level)))

    def _typical(self, name):
        kind = self.source.column(name).kind
        if kind in NUMBERS:
            return np.array([np.nanmean(self._numbers(name))])
        values = self._comparable(name)
        if kind == "date":
            return np.array([values.astype("int64").mean()]).astype("int64").astype(values.dtype)
        return self._at_rows(name, [int(np.nanargmin(np.where(values < 0, np.nan, values)))])

    # --- prediction -----------------------------------------------------------------------

    def predict_population(self, x, grid, at):
        """X beta along the grid, (points,)."""
        return self._fixed_part(self._rows_for(x, grid, self._standing(x, at)))

    def predict_groups(self, factor, x, grid, at, with_random=True):
        """X beta + Z b along the grid of every group.

        Parameters
        ----------
        factor : GroupingFactor
        x : str
        grid : ndarray, shape (nl, points) or (1, points)
        at : dict or None
        with_random : bool
            False leaves out Z b.

        Returns
        -------
        ndarray, shape (nl, points)
        """
        rows = self.rows_of_groups(factor, x, grid, at)
        fitted = self._fixed_part(rows.newdata).reshape(rows.shape)
        for f, codes, columns, Z in self.random_parts(rows) if with_random else ():
            fitted += np.einsum("lpc,lc->lp", Z, self.effects[f][codes, columns])
        return fitted

    def rows_of_groups(self, factor, x, grid, at):
        """New data with the points of the grid for every group; without x (None) the grid has one point.

        Returns
        -------
        GroupRows
        """
        nl, codes = len(factor.levels), factor.codes
        grid = np.broadcast_to(grid, (nl, grid.shape[1]))
        first = np.empty(nl, dtype=np.int64)
        first[codes[::-1]] = np.arange(len(codes))[::-1]

        def same_within_groups(values):
            return bool((values == values[first][codes]).all())

        held = self._standing(x, at)
        for name in self.predictors:
            if name != x and name not in (at or {}) and same_within_groups(self._comparable(name)):
                held[name] = self._at_rows(name, first)
        common = {name: values[0] for name, values in held.items() if len(values) == 1}
        grouping = dict.fromkeys(
            name for term in self.spec.random_terms for part in group_components(term.group_node) for name in column_names(part)
        )
        for name in grouping:
            if name != x and name in self.source and name not in held:
                held[name] = self._at_rows(name, first)
        included = [other is factor or same_within_groups(other.codes) for other in self.design.factors]
        return GroupRows(self._rows_for(x, grid, held), grid.shape, first, included, common)

    def random_parts(self, rows):
        """The terms that count in these rows: factor, its level of each group, its columns, and Z, (nl, points, c)."""
        for k, term in enumerate(self.design.terms):
            if rows.included[term.factor]:
                Z = self.spec.random(rows.newdata, [k])[0][1].reshape(*rows.shape, -1)
                yield term.factor, self.design.factors[term.factor].codes[rows.first], term.columns, Z

    def _rows_for(self, x, grid, held):
        """New data with one row per element of the grid; held columns have one value, or one per row of the grid."""
        size, points = grid.size, grid.shape[-1]
        columns = {} if x is None else {x: grid.ravel()}
        for name, values in held.items():
            columns[name] = pd.Series(values).repeat(size if len(values) == 1 else points).reset_index(drop=True)
        return pd.DataFrame(columns)

    def _fixed_part(self, newdata):
        """X beta and the offset of new data, (n,)."""
        return self.spec.fixed(newdata) @ self.beta + self._offset(newdata)

    def _offset(self, newdata):
        """Offset terms at the new rows; an offset given as a vector stands at its mean."""
        terms = dataclasses.replace(self.spec, offset_is_vector=False)
        offset = terms.offset(newdata)
        if self.spec.offset_is_vector:
            offset = offset + np.mean(self.design.offset - self._used(terms.offset(self.data)))
        return offset
