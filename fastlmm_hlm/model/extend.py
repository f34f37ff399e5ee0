"""A model with more or fewer rows and the same parameters: simr's extend().

Every new row is a copy of a row of the fit in which at most one column differs.  The
fixed columns are made by the recipe of the fit (codings, what scale() and poly() learned),
so that the parameters keep their meaning.
"""

import re
from dataclasses import replace
from numbers import Integral

import numpy as np
import pandas as pd

from fastlmm_hlm.errors import ArgumentError, DataError, RowsNotKeptError, UnknownColumnError
from fastlmm_hlm.formula import ModelFrame, RandomTermFrame
from fastlmm_hlm.formula.bars import group_components
from fastlmm_hlm.formula.columns import DataColumns
from fastlmm_hlm.formula.evaluate import Evaluator
from fastlmm_hlm.formula.foreign import narwhals_frame
from fastlmm_hlm.formula.grouping import component_levels, group_levels
from fastlmm_hlm.formula.syntax import Name, column_names
from fastlmm_hlm.inference.simulation import ResponseSimulator, generator_of, seed_sequence
from fastlmm_hlm.model.fitting import make_design, with_changes
from fastlmm_hlm.model.given import at_parameters, like
from fastlmm_hlm.model.rows import Rows

# Names of the covariance structures in a formula.
STRUCTURES = {"Unstructured": "us", "Diagonal": "diag", "CompoundSymmetry": "cs", "AutoRegressive": "ar1"}


def extend(fit, along=None, within=None, n=None, values=None, seed=None):
    """A larger design with the same parameters; see `LinearMixedModel.extend`."""
    caller = "extend"
    if (along is None) == (within is None):
        raise ArgumentError(f"{caller}: give along= (a column) or within= (columns joined by '+'), one of them.")
    if (n is None) == (values is None):
        raise ArgumentError(f"{caller}: give n= or values=, one of them.")
    if n is not None and (isinstance(n, bool) or not isinstance(n, Integral) or n < 1):
        raise ArgumentError(f"{caller}: n = {n!r}; expected a whole number, at least 1.")
    data = rows_of_fit(fit, caller)
    if along is not None:
        newdata, take = along_rows(data, along, n, values, caller)
    else:
        if values is not None:
            raise ArgumentError(f"{caller}: values= goes with along=; with within= give n=.")
        take = within_rows(data, within, n, caller)
        newdata = data.take(take)
    return on_rows(fit, newdata, take, seed, caller)


def rows_of_fit(fit, caller):
    """The columns that the model uses, in the rows of the fit: DataFrame (n, .).

    Raises
    ------
    RowsNotKeptError
    """
    rows, data = fit._rows_or_raise(caller), fit._settings.data
    if data is None:
        raise RowsNotKeptError(f"{caller}: this fit was pickled without its data; fit with keep_data=True to keep them.")
    names = fit._spec.variables
    if isinstance(data, pd.DataFrame):
        labels = dict(zip(map(str, data.columns), data.columns))
        frame = data[[labels[name] for name in names]].set_axis(names, axis=1)
    elif isinstance(data, dict):
        frame = pd.DataFrame({name: np.asarray(data[name]) for name in names})
    else:
        frame = pd.DataFrame({name: _as_pandas(narwhals_frame(data)[name]) for name in names})
    return frame if rows.positions is None else frame.iloc[rows.positions]


def _as_pandas(series):
    """A column of another library with its categories."""
    native = series.to_native()
    return native.to_pandas() if hasattr(native, "to_pandas") else pd.Series(series.to_list())


# --- which rows ---------------------------------------------------------------------


def in_order(column):
    """Different values of a column: numbers and categories in their order, texts as they first appear."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        present = set(column.unique())
        return [level for level in column.cat.categories if level in present]
    values = list(pd.unique(column))
    return sorted(values) if pd.api.types.is_numeric_dtype(column.dtype) else values


def known_column(data, name, caller, what="along"):
    """Refuse a column that the model does not use.

    Raises
    ------
    UnknownColumnError
    """
    if name not in data.columns:
        raise UnknownColumnError(
            f"{caller}: {what} names {name!r}; the model uses the columns {', '.join(map(str, data.columns))}."
        )


def along_rows(data, along, n, values, caller):
    """Rows for other values of one column.

    Returns
    -------
    newdata : DataFrame
    take : ndarray of int
        The row of `data` that each is made from.
    """
    known_column(data, along, caller)
    column = data[along]
    old = in_order(column)
    wanted = list(values) if values is not None else old[:n] + new_values(column, old, n - len(old), along, caller)
    if len(set(wanted)) < len(wanted) or not wanted:
        raise ArgumentError(f"{caller}: values has {len(wanted)} values, {len(set(wanted))} of them different; expected each once.")
    place = pd.Series(np.arange(len(old)), index=pd.Index(old)).reindex(pd.Index(column)).to_numpy()
    rows = [np.flatnonzero(place == k) for k in range(len(old))]
    # a value keeps its own rows; a new one has those of an old one, taken in turn from the first on
    own, fresh, source = {value: k for k, value in enumerate(old)}, 0, []
    for value in wanted:
        source.append(own.get(value, fresh % len(old)))
        fresh += value not in own
    take = np.concatenate([rows[k] for k in source])
    newdata = data.take(take)
    new = np.repeat(np.arange(len(wanted)), [len(rows[k]) for k in source])
    newdata[along] = _of_kind(wanted, new, column)
    return newdata, take


def _of_kind(wanted, codes, column):
    """The values wanted[codes] as a column of the old kind."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        return pd.Categorical.from_codes(codes, categories=wanted, ordered=column.dtype.ordered)
    values = np.array(wanted, dtype=object)[codes]
    return pd.Series(values).infer_objects().to_numpy() if pd.api.types.is_numeric_dtype(column.dtype) else values


def new_values(column, old, count, along, caller):
    """Names of `count` new values of a column.

    Raises
    ------
    ArgumentError
        For a column of another kind, whose values must be given.
    """
    if count <= 0:
        return []
    if pd.api.types.is_bool_dtype(column.dtype):
        raise ArgumentError(f"{caller}: {along!r} is true or false and can have no third value.")
    if pd.api.types.is_numeric_dtype(column.dtype):
        step = old[-1] - old[-2] if len(old) > 1 and not pd.api.types.is_integer_dtype(column.dtype) else 1
        return [old[-1] + step * k for k in range(1, count + 1)]
    texts = [str(level) for level in old]
    parts = [re.fullmatch(r"(.*?)(\d*)", text, re.DOTALL).groups() for text in texts]
    shared = {letters for letters, _ in parts}
    if len(shared) == 1 and all(digits for _, digits in parts):
        letters, width = shared.pop(), len(parts[0][1]) if parts[0][1].startswith("0") else 1
        first = max(int(digits) for _, digits in parts) + 1
    else:
        letters, width, first = "", 1, len(old) + 1
    names = (f"{letters}{k:0{width}d}" for k in range(first, first + count + len(old)))
    free = [name for name in names if name not in texts]
    integers = isinstance(column.dtype, pd.CategoricalDtype) and pd.api.types.is_integer_dtype(column.cat.categories.dtype)
    return [int(name) for name in free[:count]] if integers else free[:count]


def combinations(data, within, caller):
    """Number of the combination of values of each row, in order of appearance, (n,)."""
    names = [part.strip() for part in within.split("+")] if isinstance(within, str) else list(within)
    for name in names:
        known_column(data, name, caller, "within")
    return data.groupby(names, sort=False, observed=True).ngroup().to_numpy()


def within_rows(data, within, n, caller):
    """n rows for every combination that occurs: its own, repeated in turn.

    Returns
    -------
    ndarray of int
    """
    group = combinations(data, within, caller)
    order = np.argsort(group, kind="stable")
    size = np.bincount(group)
    first = np.concatenate([[0], np.cumsum(size)[:-1]])
    turn = np.arange(n)
    return order[(first[:, None] + turn[None, :] % size[:, None]).ravel()]


# --- the model ----------------------------------------------------------------------


def on_rows(fit, newdata, take, seed=None, caller="extend"):
    """A model with the parameters of a fit on other rows, its response simulated.

    Parameters
    ----------
    fit : LinearMixedModel
    newdata : DataFrame (m, .)
        The columns of `rows_of_fit`.
    take : ndarray of int (m,)
        The row of the fit that each row is a copy of: weights and offsets given as vectors come from it.
    seed : int, optional
    caller : str

    Returns
    -------
    LinearMixedModel

    Raises
    ------
    DataError
        If the rows have a level of a fixed factor without a coefficient, or too few levels of a
        grouping factor.
    """
    old, spec = fit._rows_or_raise(caller).design, fit._spec
    newdata = newdata.reset_index(drop=True)
    frame = _frame(fit, old, newdata, take, caller)
    control = replace(fit._settings.control, check_rankX="silent.drop.cols")
    design, _, kept, dropped, combinations = make_design(frame, control)
    e = fit._estimates
    # a dropped column is X_kept @ combination: what it adds to the mean goes to the kept ones
    beta = e.beta[kept] if combinations is None else e.beta[kept] + combinations @ np.delete(e.beta, kept)
    simulator = ResponseSimulator(design, beta, e.sigma, e.templates)
    design = design.with_response(simulator.draw(generator_of(seed_sequence(seed), 0)))
    newdata, plain = _with_response(newdata, spec.formula.response_node, design.y)
    settings = with_changes(fit._settings, data=newdata, subset=None, start=None, weights=design.weights)
    if spec.offset_is_vector:
        settings = with_changes(settings, offset=frame.offset)
    fitted = at_parameters(design, None, settings, beta, e.templates, e.sigma, [*fit._dropped_columns, *dropped],
                           fit._kept_columns[kept])
    specs = [replace(own, levels=part.levels) for own, part in zip(spec.random_terms, frame.random)]
    return like(fit, fitted, Rows(design, newdata.index, None, len(newdata)), _settings=settings,
                _spec=replace(spec, random_terms=specs), _dropped={}, _missing={}, _kept_columns=fit._kept_columns[kept],
                _grid_facts=None, _data_name=None, _response_replaced=not plain)


def _frame(fit, old, newdata, take, caller):
    """The model frame of the new rows, by the recipe of the fit and in its order of terms."""
    spec = fit._spec
    X = spec.fixed(newdata)[:, fit._kept_columns]
    if np.isnan(X).any():
        raise DataError(f"{caller}: a predictor is missing in row {int(np.isnan(X).any(axis=1).argmax())} of the new rows.")
    offset = old.offset
    if offset is not None:
        offset = np.ascontiguousarray(offset[take]) if spec.offset_is_vector else spec.offset(newdata)
    return ModelFrame(
        formula=spec.formula, index=newdata.index, rows=None, n_input=len(newdata), y=np.zeros(len(newdata)),
        response=spec.formula.response, x_columns=[_column(column) for column in X.T], x_names=list(old.x_names),
        assign=np.asarray(spec.fixed_recipe.assign)[fit._kept_columns], term_labels=spec.fixed_recipe.terms.labels,
        weights=None if old.weights is None else np.ascontiguousarray(old.weights[take]), offset=offset,
        random=_random_part(old, spec, newdata, caller), dropped={}, missing={}, contrasts={}, spec=spec,
    )


def _column(column):
    """A column of X, None for the constant 1."""
    return None if len(column) and (column == 1.0).all() else np.ascontiguousarray(column)


def _random_part(old, spec, newdata, caller):
    """The random terms of the new rows, list of RandomTermFrame."""
    evaluator = Evaluator(DataColumns(newdata), state=spec.state, levels=spec.levels)
    groups, out = {}, []
    for term, own in zip(old.terms, spec.random_terms):
        name = old.factors[term.factor].name
        if name not in groups:
            groups[name] = group_levels([component_levels(part, evaluator) for part in group_components(own.group_node)])
        group = groups[name]
        if len(group.levels) < 2:
            raise DataError(f"{caller}: the grouping factor '{name}' has {len(group.levels)} level in the new rows; a random "
                            "effect needs at least 2.")
        Z = spec._rebuild(own.recipe, evaluator)
        out.append(RandomTermFrame(
            group=name, levels=group.levels, codes=np.ascontiguousarray(group.codes, dtype=np.int32),
            columns=[_column(z) for z in Z.T], names=list(term.names), covariance=STRUCTURES[type(term.covariance).__name__],
            hom=getattr(term.covariance, "hom", False), text=term.text,
        ))
    return out


def _with_response(newdata, node, y):
    """The data with the new response where that is a plain column; otherwise without saying so."""
    if isinstance(node, Name):
        return newdata.assign(**{node.text: y}), True
    return newdata.drop(columns=[name for name in column_names(node) if name in newdata]), False


class SmallerDesigns:
    """The model on the first levels of a column, or the first rows of every combination.

    Parameters
    ----------
    fit : LinearMixedModel
    along, within : str or None
        One of them.
    caller : str

    Attributes
    ----------
    most : int
        The size of the whole design.
    """

    def __init__(self, fit, along, within, caller):
        self.fit, self.caller = fit, caller
        self.data = rows_of_fit(fit, caller)
        if along is not None:
            known_column(self.data, along, caller)
            column = self.data[along]
            self.values = in_order(column)
            self.place = pd.Series(np.arange(len(self.values)), index=pd.Index(self.values)).reindex(pd.Index(column)).to_numpy()
        else:
            self.values = None
            group = combinations(self.data, within, caller)
            self.place = pd.Series(group).groupby(group).cumcount().to_numpy()
        self.most = int(self.place.max()) + 1

    def largest(self, size):
        """The last value that is in, or None."""
        return None if self.values is None else self.values[size - 1]

    def of(self, size):
        """The model of one size, LinearMixedModel with given parameters."""
        take = np.flatnonzero(self.place < size)
        return on_rows(self.fit, self.data.take(take), take, 0, self.caller)
