"""The data of a model in R, with the types that they have here."""

import numpy as np

from fastlmm_hlm.errors import ArgumentError
from fastlmm_hlm.formula.columns import DataColumns
from fastlmm_hlm.formula.evaluate import Evaluator
from fastlmm_hlm.formula.kinds import level_text
from fastlmm_hlm.formula.parse import parse_expression
from fastlmm_hlm.formula.rows import vector_argument
from fastlmm_hlm.formula.syntax import column_names

LARGEST_INTEGER = 2**31 - 1
VECTOR = "fastlmm_hlm.{}"
# Functions of formulas that R finds only where their package is attached.
BORROWED = {"splines": ("ns", "bs"), "lme4": ("dummy",)}


def needed_columns(formula, source, expressions):
    """Names of the columns that R has to know: all of them where the formula says so with a dot.

    Parameters
    ----------
    formula : Formula
    source : DataColumns
    expressions : iterable of str
        weights, offset and subset as text.

    Returns
    -------
    list of str
    """
    parts = [formula.response_node, formula.fixed_node, *(node for bar in formula.bars for node in (bar.lhs, bar.group))]
    names = [name for node in parts if node is not None for name in column_names(node)]
    if "." in names and "." not in source:
        return list(source.names)
    for text in expressions:
        names += [text] if text in source else list(column_names(parse_expression(text)))
    return [name for name in dict.fromkeys(names) if name in source]


def environment(formula, data, vectors):
    """An environment of R that holds `frame`, and vectors that are no columns.

    Parameters
    ----------
    formula : Formula
    data : data frame, mapping, or DataColumns
    vectors : dict
        weights, offset, subset: text, one value per row, or None.

    Returns
    -------
    env : rpy2 environment
    expressions : dict of str to str
        What to call each of the vectors in R.
    """
    import rpy2.robjects
    from rpy2 import rinterface as ri

    source = data if isinstance(data, DataColumns) else DataColumns(data)
    texts = {role: value for role, value in vectors.items() if isinstance(value, str)}
    names = needed_columns(formula, source, texts.values())
    env = rpy2.robjects.r("new.env(parent = globalenv())")
    for package, functions in BORROWED.items():
        for name in functions:
            env[name] = rpy2.robjects.r(f"{package}::{name}")
    frame = ri.ListSexpVector([r_column(source.column(name)) for name in names])
    frame.names = ri.StrSexpVector(names)
    env["frame"] = rpy2.robjects.r("function(columns, n) structure(columns, class = 'data.frame', row.names = .set_row_names(n))")(
        frame, ri.IntSexpVector([source.n])
    )
    expressions, evaluator = {}, Evaluator(source)
    for role, value in vectors.items():
        if value is None:
            continue
        if isinstance(value, str):
            expressions[role] = f"`{value}`" if value in source else value
            continue
        numbers, _ = vector_argument(value, role, evaluator)
        expressions[role] = VECTOR.format(role)
        env[expressions[role]] = _logical(numbers, np.isnan(numbers)) if role == "subset" else _numbers(numbers)
    return env, expressions


def r_column(column):
    """One column as a vector of R.

    Parameters
    ----------
    column : fastlmm_hlm.formula.kinds.Column

    Returns
    -------
    R vector
        Numbers: numeric; integers within 32 bits: integer, larger ones numeric, as in R; categories: a factor
        with its levels in their order, ordered or not; text: character; days: Date; moments: POSIXct.
    """
    if column.kind == "number":
        return _numbers(column.value())
    if column.kind == "integer":
        return _integers(np.asarray(column.values), column.missing)
    if column.kind == "logical":
        return _logical(np.asarray(column.values), column.missing)
    if column.kind == "date":
        return _moments(column)
    if column.kind == "category":
        return _levelled(np.asarray(column.values), [level_text(level) for level in column.levels], column.ordered)
    codes, levels = column.numbered
    return _text(codes, list(levels))


def _numbers(values):
    from rpy2 import rinterface as ri

    values = np.ascontiguousarray(values, dtype=np.float64)
    made = ri.FloatSexpVector.from_memoryview(memoryview(values.copy()))
    return _with_missing(made, np.isnan(values), "NA_real_")


def _integers(values, missing):
    from rpy2 import rinterface as ri

    shown = values if missing is None else values[~missing]
    if len(shown) and max(abs(int(shown.min())), abs(int(shown.max()))) > LARGEST_INTEGER:
        return _numbers(np.where(missing, np.nan, values) if missing is not None else values)
    codes = values.astype(np.int64)
    if missing is not None:
        codes = np.where(missing, -(2**31), codes)          # R's NA_integer_
    return ri.IntSexpVector.from_memoryview(memoryview(np.ascontiguousarray(codes, dtype=np.int32)))


def _logical(values, missing):
    import rpy2.robjects

    codes = np.nan_to_num(np.asarray(values, dtype=float)).astype(np.int64)
    return rpy2.robjects.r("as.logical")(_integers(codes, missing))


def _levelled(codes, levels, ordered):
    import rpy2.robjects
    from rpy2 import rinterface as ri

    places = _integers(np.asarray(codes, dtype=np.int64) + 1, np.asarray(codes) < 0)
    kind = ri.StrSexpVector(["ordered", "factor"] if ordered else ["factor"])
    return rpy2.robjects.r("function(places, levels, kind) structure(places, levels = levels, class = kind)")(
        places, ri.StrSexpVector(levels), kind
    )


def _text(codes, levels):
    import rpy2.robjects
    from rpy2 import rinterface as ri

    places = _integers(np.asarray(codes, dtype=np.int64) + 1, np.asarray(codes) < 0)
    return rpy2.robjects.r("function(levels, places) levels[places]")(ri.StrSexpVector(levels), places)


def _moments(column):
    import rpy2.robjects

    days = column.value()
    known = days[np.isfinite(days)]
    if (known == np.round(known)).all():
        return rpy2.robjects.r("function(days) structure(days, class = 'Date')")(_numbers(days))
    raise ArgumentError(f"verify: the column '{column.name}' has times of day, which R counts in seconds and this package in days; "
                        "make a column of numbers of it first.")


def _with_missing(vector, missing, na):
    """R tells NA from NaN; what is missing here is NA there."""
    if not missing.any():
        return vector
    import rpy2.robjects

    return rpy2.robjects.r(f"function(x) {{ x[is.nan(x)] <- {na}; x }}")(vector)
