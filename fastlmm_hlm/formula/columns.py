"""Reading columns out of any data frame, one at a time and only when asked.

pandas, polars, pyarrow and everything else narwhals knows, or a mapping of
column names to vectors.  Each column becomes a `Column`, which knows its kind
in R's sense: number, integer, logical, text, category or date.
"""
import difflib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from fastlmm_hlm.errors import DataError, UnknownColumnError
from fastlmm_hlm.formula.deparse import number_text
from fastlmm_hlm.formula.values import Factor, Logical

_DAY = np.timedelta64(1, "D")


@dataclass(frozen=True)
class Column:
    """One column of the data.

    Attributes
    ----------
    name : str
    kind : str
        "number", "integer", "logical", "text", "category" or "date".
    values : array, shape (n,)
        Raw values; for a category the codes (-1 for missing).
    missing : ndarray of bool, shape (n,), or None
        None for kinds whose values tell by themselves.
    levels : pandas.Index or None
        Categories, for kind "category".
    ordered : bool
    own : array or None
        For kind "date": the moments in their own type and time zone.
    """

    name: str
    kind: str
    values: object
    missing: np.ndarray | None = None
    levels: pd.Index | None = None
    ordered: bool = False
    own: object = None

    def value(self, known_levels=()):
        """Return the column as a value of an expression.

        Parameters
        ----------
        known_levels : sequence of str
            Levels a text or category column had before; they keep their
            places and new ones follow.

        Returns
        -------
        ndarray, Logical or Factor
            Each with n rows; dates are days since 1970-01-01, as in R, and
            times of day fractions of a day on the clock of their own zone.
        """
        if self.kind in ("number", "integer"):
            numbers = np.asarray(self.values, dtype=np.float64)
            return numbers if self.missing is None else np.where(self.missing, np.nan, numbers)
        if self.kind == "logical":
            numbers = np.asarray(self.values, dtype=np.float64)
            return Logical(numbers if self.missing is None else np.where(self.missing, np.nan, numbers))
        if self.kind == "date":
            return np.where(np.isnat(self.values), np.nan, (self.values - self.values.dtype.type(0, "D")) / _DAY)
        if self.kind == "category":
            codes, texts = np.asarray(self.values), [level_text(level) for level in self.levels]
        else:
            codes, levels = factorize_sorted(self.values)
            texts = list(levels)
        if known_levels:
            known = {text: i for i, text in enumerate(known_levels)}
            for text in texts:
                known.setdefault(text, len(known))
            places = np.array([known[text] for text in texts] + [-1], dtype=np.int32)
            codes, texts = places[codes], list(known)
        return Factor(codes, tuple(texts), self.ordered, text=self.kind == "text")


def level_text(level):
    """Write one level as R's as.character() does."""
    if isinstance(level, str):
        return level
    if isinstance(level, (bool, np.bool_)):
        return "TRUE" if level else "FALSE"
    if isinstance(level, (int, np.integer)):
        return str(int(level))
    if isinstance(level, (float, np.floating)):
        return number_text(level)
    if isinstance(level, pd.Timestamp) and level == level.normalize():
        return str(level.date())
    return str(level)


def factorize_sorted(values):
    """Number the distinct values of a vector, in sorted order.

    Text is sorted by code points, so upper case comes before lower case.

    Parameters
    ----------
    values : array-like, shape (n,)

    Returns
    -------
    codes : ndarray of int, shape (n,)
        -1 for missing.
    levels : pandas.Index
    """
    codes, uniques = pd.factorize(values)
    uniques = pd.Index(uniques)
    if uniques.dtype == object or isinstance(uniques.dtype, pd.StringDtype):
        order = np.array(sorted(range(len(uniques)), key=list(uniques).__getitem__), dtype=np.intp)
    else:
        order = np.argsort(uniques.to_numpy(), kind="stable")
    places = np.empty(len(order) + 1, dtype=np.int32)
    places[order] = np.arange(len(order), dtype=np.int32)
    places[-1] = -1
    return places[codes], uniques[order]


class DataColumns:
    """The columns of a data set, whatever library holds it.

    Parameters
    ----------
    data : data frame or mapping of str to array-like

    Raises
    ------
    DataError
        If it is not a table that is in memory.

    Attributes
    ----------
    names : list of str
    n : int
    index : pandas.Index
        Row labels; 0, 1, ... unless the data are a pandas data frame.
    """

    def __init__(self, data):
        self._read = {}
        if isinstance(data, Mapping):
            data = _frame_from_mapping(data)
        if isinstance(data, pd.DataFrame):
            self._frame, self.index = data, data.index
            self._get = lambda name: data[name]
            self._labels = list(data.columns)
        else:
            self._frame = _narwhals_frame(data)
            self.index = pd.RangeIndex(len(self._frame))
            self._get = lambda name: _plain_series(self._frame[name])
            self._labels = list(self._frame.columns)
        self.n = len(self.index)
        self.names = [str(label) for label in self._labels]
        self._places = {name: i for i, name in enumerate(self.names)}
        self._repeated = {name for i, name in enumerate(self.names) if self._places[name] != i}

    def __contains__(self, name):
        return name in self._places

    def check(self, names, role="the formula"):
        """Check that columns exist, each once.

        Parameters
        ----------
        names : iterable of str
        role : str
            Who asks, for the message.

        Raises
        ------
        UnknownColumnError
            Naming the closest columns the data have.
        DataError
            If two columns share a name that is used.
        """
        for name in names:
            if name not in self:
                raise UnknownColumnError(_unknown_message(name, self.names, role))
            if name in self._repeated:
                raise DataError(f"{role} uses the column '{name}', and the data have {self.names.count(name)} columns of that name; rename them so that each is different.")

    def column(self, name):
        """Return one column, read at the first call."""
        if name not in self._read:
            self.check([name])
            label = self._labels[self._places[name]]
            self._read[name] = as_column(name, self._get(label))
        return self._read[name]


def _frame_from_mapping(data):
    lengths = {}
    for name, values in data.items():
        if isinstance(values, str) or not hasattr(values, "__len__"):
            raise DataError(f"data column '{name}' is {type(values).__name__} and not a vector; give one value per row.")
        lengths[name] = len(values)
    if len(set(lengths.values())) > 1:
        raise DataError(f"the columns of data have different lengths: {', '.join(f'{k} {v}' for k, v in lengths.items())}; give one value per row in each.")
    return pd.DataFrame({name: np.asarray(values) if isinstance(values, (list, tuple, range)) else _positional(values) for name, values in data.items()})


def _positional(values):
    return values.reset_index(drop=True) if isinstance(values, pd.Series) else values


def _narwhals_frame(data):
    import narwhals.stable.v1 as nw

    advice = "give a pandas, polars or pyarrow table, or a dict of columns"
    if isinstance(data, np.ndarray) or data is None or isinstance(data, (str, list, tuple)):
        raise DataError(f"data is {'missing' if data is None else type(data).__name__}, which has no named columns; {advice}.")
    try:
        frame = nw.from_native(data)
    except TypeError as error:
        raise DataError(f"data is {type(data).__name__}, which is not a data frame; {advice}.") from error
    if isinstance(frame, nw.LazyFrame):
        raise DataError(f"data is a lazy {type(data).__module__.split('.')[0]} frame; collect it first, or {advice}.")
    return frame


def _plain_series(series):
    """Bring one narwhals series to pandas, without losing what its type says."""
    import narwhals.stable.v1 as nw

    native = series.to_native()
    if hasattr(native, "combine_chunks"):
        return _from_arrow(native)
    missing = series.is_null().to_numpy()
    dtype = str(native.dtype)
    if dtype.startswith("Enum"):
        return pd.Series(pd.Categorical(series.cast(nw.String).to_list(), categories=native.dtype.categories.to_list()))
    if dtype.startswith("Categorical") or series.dtype == nw.String:
        return pd.Series(np.array(series.cast(nw.String).to_list(), dtype=object))
    if series.dtype.is_integer() and missing.any():
        return pd.Series(pd.arrays.IntegerArray(series.fill_null(0).to_numpy().astype(np.int64), missing))
    if series.dtype == nw.Boolean and missing.any():
        return pd.Series(pd.arrays.BooleanArray(series.fill_null(False).to_numpy().astype(bool), missing))
    if isinstance(series.dtype, nw.Decimal):
        return pd.Series(np.array(series.cast(nw.Float64).to_numpy(), dtype=np.float64))
    return pd.Series(series.to_numpy())


def _from_arrow(chunked):
    import pyarrow as pa

    if pa.types.is_integer(chunked.type) and chunked.null_count:
        filled = chunked.fill_null(0).to_numpy().astype(np.int64)
        return pd.Series(pd.arrays.IntegerArray(filled, chunked.is_null().to_numpy().astype(bool)))
    if pa.types.is_decimal(chunked.type):
        chunked = chunked.cast(pa.float64())
    return chunked.to_pandas()


def as_column(name, series):
    """Find out what kind of column a pandas Series or an array is.

    Parameters
    ----------
    name : str
    series : pandas.Series or ndarray, shape (n,)

    Returns
    -------
    Column

    Raises
    ------
    DataError
        For complex numbers and other values no model can use.
    """
    dtype = series.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        return Column(name, "category", series.cat.codes.to_numpy(), levels=series.cat.categories, ordered=bool(dtype.ordered))
    if isinstance(dtype, pd.SparseDtype):
        return as_column(name, pd.Series(series.sparse.to_dense()))
    if pd.api.types.is_bool_dtype(dtype):
        return _masked(name, "logical", series, np.bool_)
    if pd.api.types.is_complex_dtype(dtype):
        raise DataError(f"column '{name}' holds complex numbers; a model needs real ones.")
    if pd.api.types.is_integer_dtype(dtype):
        return _masked(name, "integer", series, np.int64)
    if pd.api.types.is_float_dtype(dtype):
        return Column(name, "number", series.to_numpy(dtype=np.float64, na_value=np.nan) if isinstance(series, pd.Series) else series.astype(np.float64))
    if pd.api.types.is_datetime64_any_dtype(dtype):
        moments = series.dt.tz_localize(None) if getattr(dtype, "tz", None) else series
        return Column(name, "date", moments.to_numpy().astype("datetime64[ns]"), own=series.array)
    if pd.api.types.is_timedelta64_dtype(dtype):
        days = series.to_numpy() / _DAY
        return Column(name, "number", np.where(np.isnat(series.to_numpy()), np.nan, days))
    if isinstance(dtype, pd.StringDtype):
        return Column(name, "text", series.array)
    return _from_objects(name, series)


def _masked(name, kind, series, dtype):
    missing = np.asarray(pd.isna(series))
    if not missing.any():
        return Column(name, kind, np.asarray(series, dtype=None if isinstance(series.dtype, np.dtype) else dtype))
    return Column(name, kind, series.fillna(False if kind == "logical" else 0).to_numpy(dtype=dtype), missing)


def _from_objects(name, series):
    values = np.asarray(series, dtype=object)
    kind = pd.api.types.infer_dtype(values, skipna=True)
    missing = pd.isna(values)
    if kind == "boolean":
        return Column(name, "logical", np.where(missing, False, values).astype(bool), missing if missing.any() else None)
    if kind == "integer" and any(not -(2**63) <= value < 2**63 for value in values[~missing]):
        kind = "identifiers too long for a number"
    if kind == "integer" and not missing.any():
        return Column(name, "integer", values.astype(np.int64))
    if kind in ("integer", "floating", "mixed-integer-float", "decimal", "empty"):
        return Column(name, "number", np.where(missing, np.nan, values).astype(np.float64))
    if kind in ("date", "datetime", "datetime64"):
        return Column(name, "date", pd.to_datetime(pd.Series(values)).to_numpy().astype("datetime64[ns]"))
    if kind == "complex":
        raise DataError(f"column '{name}' holds complex numbers; a model needs real ones.")
    if kind != "string":
        _refuse_containers(name, values)
        texts = np.array([None if gone else level_text(item) for item, gone in zip(values, missing, strict=True)], dtype=object)
        _refuse_lookalikes(name, values[~missing], texts[~missing])
        values = texts
    return Column(name, "text", values)


def _refuse_containers(name, values):
    """Refuse lists, dicts, sets and arrays as values of a column."""
    for row, value in enumerate(values):
        if isinstance(value, (list, dict, set, np.ndarray, pd.Series)):
            raise DataError(f"column '{name}' holds a {type(value).__name__} in row {row} ({str(value)[:30]}); a model needs one value per row. Make columns of its parts.")


def _refuse_lookalikes(name, values, texts):
    """Refuse a column in which different values, such as 1 and "1", are written alike."""
    if len(set(values)) > len(set(texts)):
        first = {}
        for value, text in zip(values, texts, strict=True):
            if first.setdefault(text, value) != value:
                raise DataError(f"column '{name}' holds {first[text]!r} ({type(first[text]).__name__}) and {value!r} ({type(value).__name__}), which are written alike; make all of them text, or all numbers.")


def _unknown_message(name, names, role):
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.6)
    folded = [other for other in names if other.lower().replace("_", ".") == name.lower().replace("_", ".")]
    close = list(dict.fromkeys([*folded, *close]))[:3]
    if close:
        hint = "Did you mean " + " or ".join(f"'{other}'" for other in close) + "?"
    elif len(names) <= 20:
        hint = "The data have " + (", ".join(f"'{other}'" for other in names) or "no columns") + "."
    else:
        hint = f"The data have {len(names)} columns; none is spelled like it."
    return f"{role} uses the column '{name}', which the data do not have. {hint}"
