"""What a column is in R's sense: number, integer, logical, text, category or date."""
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from fastlmm_hlm.errors import DataError
from fastlmm_hlm.formula.codes import factorize_sorted, look_up, sort_levels
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
        Raw values, often the user's own memory.  If `levels` are given, codes
        (-1 for missing).
    missing : ndarray of bool, shape (n,), or None
        None for kinds whose values tell by themselves.
    levels : pandas.Index or None
        Categories; for text distinct values in any order.
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

    @cached_property
    def numbered(self):
        """Codes and levels of text, numbered once: (ndarray of int32 (n,), pandas.Index), levels sorted."""
        if self.levels is None:
            return factorize_sorted(self.values)
        return sort_levels(self.values, self.levels)

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
            Numbers are the very array `values`, if that is a contiguous one
            of float64 without gaps.
        """
        if self.kind in ("number", "integer"):
            return self._numbers()
        if self.kind == "logical":
            return Logical(self._numbers())
        if self.kind == "date":
            return np.where(np.isnat(self.values), np.nan, (self.values - self.values.dtype.type(0, "D")) / _DAY)
        if self.kind == "category":
            codes, texts = np.asarray(self.values), [level_text(level) for level in self.levels]
        else:
            codes, levels = self.numbered
            texts = list(levels)
        if known_levels:
            known = {text: i for i, text in enumerate(known_levels)}
            for text in texts:
                known.setdefault(text, len(known))
            codes, texts = look_up(np.array([known[text] for text in texts] + [-1], dtype=np.int32), codes), list(known)
        return Factor(codes, tuple(texts), self.ordered, text=self.kind == "text")

    def _numbers(self):
        numbers = np.ascontiguousarray(self.values, dtype=np.float64)
        return numbers if self.missing is None else np.where(self.missing, np.nan, numbers)


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
    if isinstance(dtype, np.dtype):
        return _from_numpy(name, series)
    if isinstance(dtype, pd.CategoricalDtype):
        return Column(name, "category", series.array.codes, levels=dtype.categories, ordered=bool(dtype.ordered))
    if isinstance(dtype, pd.SparseDtype):
        return as_column(name, pd.Series(series.sparse.to_dense()))
    if pd.api.types.is_bool_dtype(dtype):
        return _masked(name, "logical", series, np.bool_)
    if pd.api.types.is_integer_dtype(dtype):
        return _masked(name, "integer", series, np.int64)
    if pd.api.types.is_float_dtype(dtype):
        return Column(name, "number", series.to_numpy(dtype=np.float64, na_value=np.nan))
    if pd.api.types.is_datetime64_any_dtype(dtype):
        moments = series.dt.tz_localize(None) if getattr(dtype, "tz", None) else series
        return Column(name, "date", moments.to_numpy().astype("datetime64[ns]"), own=series.array)
    if pd.api.types.is_timedelta64_dtype(dtype):
        return _from_numpy(name, series.to_numpy(dtype="timedelta64[ns]"))
    if isinstance(dtype, pd.StringDtype):
        return Column(name, "text", series.array)
    if pd.api.types.is_string_dtype(dtype):
        return Column(name, "text", series.astype(pd.StringDtype()).array)
    return _from_objects(name, series)


def _from_numpy(name, series):
    """Read a column of one of NumPy's own types, without a copy where the type is right."""
    values = series.to_numpy() if isinstance(series, pd.Series) else series
    kind = values.dtype.kind
    if kind == "f":
        return Column(name, "number", values.astype(np.float64, copy=False))
    if kind in "iu":
        return Column(name, "integer", values.astype(values.dtype.newbyteorder("="), copy=False))
    if kind == "b":
        return Column(name, "logical", values)
    if kind == "M":
        return Column(name, "date", values.astype("datetime64[ns]"), own=getattr(series, "array", values))
    if kind == "m":
        return Column(name, "number", np.where(np.isnat(values), np.nan, values / _DAY))
    if kind == "c":
        raise _complex(name)
    return _from_objects(name, series)


def _complex(name):
    return DataError(f"column '{name}' holds complex numbers; a model needs real ones.")


def _masked(name, kind, series, dtype):
    missing = np.asarray(pd.isna(series))
    if not missing.any():
        return Column(name, kind, np.asarray(series, dtype=dtype))
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
        raise _complex(name)
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
