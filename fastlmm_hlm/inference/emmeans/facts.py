"""What the rows of a fit tell about its predictors: levels, means, how often combinations occur.

All that marginal means need of the rows is small, so it is read once, kept on
the fit, and goes into its pickle.
"""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from fastlmm_hlm.errors import DataError, RowsNotKeptError
from fastlmm_hlm.formula.codes import row_blocks, used_levels
from fastlmm_hlm.formula.columns import DataColumns
from fastlmm_hlm.formula.kinds import level_text
from fastlmm_hlm.formula.syntax import Call, Name, column_names, walk

# Functions whose result is a factor with one level for each value of their argument.
FACTOR_CALLS = ("factor", "as.factor", "ordered", "as.ordered", "as.character", "interaction")
# Covariates with no more distinct values than this are kept as levels, as emmeans does.
FEW_VALUES = 2
# Pickles do not hold tables of combinations longer than this.
LARGEST_KEPT_TABLE = 100_000


@dataclass(frozen=True)
class Variable:
    """One column of the data that the fixed part uses.

    Attributes
    ----------
    name : str
    is_factor : bool
        Text, categories, logical values, and numbers inside factor().
    levels : tuple or None
        Distinct values, of factors and of covariates that have very few.
    mean : float or None
        Mean over the rows of the fit, of numbers.
    categories : pandas.Index or None
        All categories of a categorical column, used or not.
    ordered : bool
    is_date : bool
    spread : float
        Largest minus smallest value, of numbers.
    """

    name: str
    is_factor: bool
    levels: tuple | None
    mean: float | None = None
    categories: object = None
    ordered: bool = False
    is_date: bool = False
    spread: float = 0.0

    def column(self, values):
        """New data that have these levels or numbers, as the fit's own column has them."""
        if self.categories is not None:
            codes = self.categories.get_indexer(pd.Index(values, dtype=self.categories.dtype))
            return pd.Categorical.from_codes(codes, categories=self.categories, ordered=self.ordered)
        if self.is_date:
            return pd.to_datetime(np.asarray(values, dtype=float), unit="D")
        if self.is_factor and isinstance(values[0], str):
            return np.asarray(values, dtype=object)
        return np.asarray(values)


@dataclass
class Facts:
    """What the rows tell.

    Attributes
    ----------
    variables : dict of str to Variable
        In the order of the formula.
    counted : list of str
        Variables with levels.
    cells : ndarray of int64, shape (c, len(counted))
        Combinations of levels that occur, as codes.
    counts : ndarray of float64, shape (c,)
        Rows of each; prior weights do not count, as in emmeans.
    mean_offset : float
        Of an offset that was given as a vector.
    null_basis : ndarray, shape (p_all, d)
        Orthonormal basis of the linear dependencies among all columns of X;
        d = 0 in a model of full rank.
    """

    variables: dict
    counted: list
    cells: np.ndarray
    counts: np.ndarray
    mean_offset: float
    null_basis: np.ndarray


def facts_of(fit, caller):
    """The facts of a fit, read from its rows at the first call.

    Raises
    ------
    RowsNotKeptError
        If the fit was pickled and its facts were not stored.
    """
    if fit._grid_facts is None:
        if fit._rows is None and fit._source is not None:
            from fastlmm_hlm.inference.emmeans.streamedfacts import streamed_facts

            fit._grid_facts = streamed_facts(fit, caller)
        else:
            fit._grid_facts = read_facts(fit, caller)
    return fit._grid_facts


def facts_for_pickle(fit):
    """The facts if they can be had and are small, else None."""
    try:
        facts = facts_of(fit, "pickle")
    except (RowsNotKeptError, DataError):     # the user's data have changed since the fit
        return None
    return facts if len(facts.counts) <= LARGEST_KEPT_TABLE else None


def read_facts(fit, caller):
    """Read the facts from the rows of a fit.

    Returns
    -------
    Facts
    """
    rows, source = _rows_of(fit, caller)
    spec, design = fit._spec, rows.design
    names, coerced = used_names(spec)
    source.check(names, role="the model")
    variables, codes = {}, {}
    for name in names:
        variables[name], codes[name] = _variable(source, name, rows.positions, name in coerced)
    counted = [name for name in names if codes[name] is not None]
    cells, counts = _count([codes[name] for name in counted], [len(variables[name].levels) for name in counted],
                           design.n)
    mean_offset = 0.0
    if spec.offset_is_vector:
        mean_offset = float(np.mean(design.offset)) - _mean_of_offset_terms(fit, source, rows)
    return Facts(variables, counted, cells, counts, mean_offset, _null_basis(fit, source, rows, names))


def used_names(spec):
    """Columns of the data that enter X or the offset, and those of them that are made factors value by value."""
    nodes = [*spec.fixed_recipe.terms.variables.values(), *spec.offset_nodes]
    nodes = [node for node in nodes if _is_used(node, spec)]
    names = [name for name in dict.fromkeys(c for node in nodes for c in column_names(node)) if name in spec.variables]
    return names, _coerced_names(nodes)


def numbers_of(fit, name, caller):
    """A numeric column at the rows of the fit, (n,)."""
    rows, source = _rows_of(fit, caller)
    values = np.asarray(source.column(name).value())
    return values if rows.positions is None else values[rows.positions]


def _rows_of(fit, caller):
    rows, data = fit._rows_or_raise(caller), fit._settings.data
    if data is None:
        raise RowsNotKeptError(f"{caller}: this fit was pickled without its data; fit with keep_data=True to keep them.")
    return rows, DataColumns(data)


def _is_used(node, spec):
    """Whether a variable enters a column of X or the offset."""
    recipe = spec.fixed_recipe
    used = {name for term in recipe.terms.terms for name in term}
    return any(node is recipe.terms.variables[name] for name in used) or any(node is other for other in spec.offset_nodes) or _holds_offset(node)


def _holds_offset(node):
    return isinstance(node, Call) and node.function.rpartition("::")[2] == "offset"


def _coerced_names(nodes):
    """Columns that the formula turns into factors value by value."""
    found = set()
    for node in (part for whole in nodes for part in walk(whole)):
        if isinstance(node, Call) and node.function.rpartition("::")[2] in FACTOR_CALLS:
            arguments = node.args if node.function.endswith("interaction") else node.args[:1]
            found.update(a.value.text for a in arguments if isinstance(a.value, Name))
    return found


def _variable(source, name, positions, coerced):
    """One variable, and its level codes in the rows used (None for covariates)."""
    column = source.column(name)

    def used(values):
        return values if positions is None else values[positions]

    if column.kind == "category":
        codes, levels = used_levels(used(np.asarray(column.values)), column.levels)
        return Variable(name, True, tuple(levels), categories=column.levels, ordered=column.ordered), codes
    if column.kind == "text":
        codes, levels = column.numbered
        codes, levels = used_levels(used(codes), levels)
        return Variable(name, True, tuple(str(level) for level in levels)), codes
    values = used(np.asarray(column.value().values if column.kind == "logical" else column.value(), dtype=float))
    low, high = float(values.min()), float(values.max())
    if column.kind == "logical":
        levels = tuple(bool(level) for level in ((low, high) if high > low else (low,)))
        return Variable(name, True, levels), (values - low).astype(np.int64)
    facts = {"mean": float(values.mean()), "is_date": column.kind == "date", "spread": high - low}
    if coerced:
        levels, codes = np.unique(values, return_inverse=True)
    elif ((values == low) | (values == high)).all():
        levels, codes = np.unique([low, high]), (values == high).astype(np.int64) * (high > low)
    else:
        return Variable(name, False, None, **facts), None
    return Variable(name, coerced, tuple(_number(v) for v in levels), **facts), codes


def _number(value):
    return int(value) if float(value).is_integer() and abs(value) < 2**53 else float(value)


def _count(codes, sizes, n):
    """Combinations of codes that occur, and how often."""
    if not codes:
        return np.zeros((1, 0), dtype=np.int64), np.array([n], dtype=float)
    whole, uniques = np.zeros(n, dtype=np.int64), np.zeros((1, 0), dtype=np.int64)
    for own, size in zip(codes, sizes, strict=True):
        keys, whole = np.unique(whole * size + own, return_inverse=True)
        uniques = np.column_stack([uniques[keys // size], keys % size])
    return uniques, np.bincount(whole, minlength=len(uniques)).astype(float)


def _mean_of_offset_terms(fit, source, rows):
    """Mean of the offset() terms of a formula whose offset argument was a vector."""
    if not fit._spec.offset_nodes:
        return 0.0
    values = replace(fit._spec, offset_is_vector=False).offset(fit._settings.data)
    return float(np.mean(values if rows.positions is None else values[rows.positions]))


def _null_basis(fit, source, rows, names):
    """Orthonormal basis of the dependencies among the columns of X, from a QR of blocks of rows."""
    p = len(fit._all_x_names)
    if not fit._dropped_columns:
        return np.zeros((p, 0))
    positions = np.arange(source.n) if rows.positions is None else rows.positions
    R = np.zeros((0, p))
    for block in row_blocks(len(positions)):
        X = fit._spec.fixed(rows_at(source, names, positions[block]))
        R = np.linalg.qr(np.vstack([R, X]), mode="r")
    return null_basis_of(fit, R)


def null_basis_of(fit, R):
    """The same from R of a QR of all columns of X."""
    p = len(fit._all_x_names)
    if not fit._dropped_columns:
        return np.zeros((p, 0))
    scale = np.sqrt((R**2).sum(axis=0))
    scale[scale == 0] = 1.0
    kept = np.asarray(fit._kept_columns)
    dropped = np.setdiff1d(np.arange(p), kept)
    N = np.zeros((p, len(dropped)))
    N[kept] = np.linalg.lstsq(R[:, kept] / scale[kept], R[:, dropped], rcond=None)[0] / scale[kept][:, None]
    N[dropped, np.arange(len(dropped))] = -1.0
    return np.linalg.qr(N)[0]


def rows_at(source, names, positions):
    """Some rows of the data as a data frame that the recipe of the fit understands."""
    columns = {}
    for name in names:
        column = source.column(name)
        values = np.asarray(column.values)[positions]
        if column.kind == "category":
            values = pd.Categorical.from_codes(values, categories=column.levels, ordered=column.ordered)
        elif column.kind == "text" and column.levels is not None:
            values = np.asarray(column.levels, dtype=object)[values]
        elif column.kind in ("number", "integer") and column.missing is not None:
            values = np.asarray(column.value())[positions]
        columns[name] = values
    return pd.DataFrame(columns, index=pd.RangeIndex(len(positions)))


def shown(value):
    """One level as R prints it: TRUE, 1.5, text."""
    return level_text(value)
