"""Rows of R's model frame among the rows of data: the user's, or those that the stored call still reaches."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from fastlmm_hlm.errors import DataError
from fastlmm_hlm.formula.columns import DataColumns
from fastlmm_hlm.formula.evaluate import Known
from fastlmm_hlm.formula.values import Factor, Logical, Matrix
from fastlmm_hlm.rbridge.variables import column_of

# A number of the model frame and the same one in the user's data differ by less than this of the largest.
SAME_COLUMN = 1e-8


@dataclass(frozen=True)
class Found:
    """Data and the rows of the model in them.

    Attributes
    ----------
    table : DataFrame
        All rows; ``attrs["used"]`` has the positions of those in the model.
    chosen : ndarray of bool
        Rows that the model used or left out for missing values; the others are those of `subset`.
    """

    table: pd.DataFrame
    chosen: np.ndarray

    @property
    def used(self):
        return self.table.attrs["used"]


def row_index(names):
    """Row labels: whole numbers where R's row names are."""
    if all(name.isascii() and name.isdigit() and (name == "0" or name[0] != "0") and len(name) < 16 for name in names):
        return pd.Index([int(name) for name in names], dtype="int64")
    return pd.Index(names)


def data_in_file(parts):
    """The data that R still reaches, as a data frame, or None."""
    found = parts["data"]
    if found is None or not found["columns"]:
        return None
    columns = {name: column_of(described) for name, described in found["columns"].items()}
    return pd.DataFrame({name: column for name, column in columns.items() if column is not None}, index=row_index(found["row_names"]))


def rows_in(data, parts, columns, caller):
    """Find the rows of the model in data.

    Parameters
    ----------
    data : data frame
    parts : dict
    columns : dict of str to column
        The plain columns of the model frame, with which the data must agree.
    caller : str

    Returns
    -------
    Found

    Raises
    ------
    DataError
        If rows are not there or have other values.
    """
    source = DataColumns(data)
    whole = data.set_axis(list(map(str, data.columns)), axis=1) if isinstance(data, pd.DataFrame) else _as_pandas(source, data)
    used = _places(parts["row_names"], whole, caller)
    for name, own in columns.items():
        if name in whole:
            _check_same(name, whole[name].iloc[used], own, caller)
    chosen = np.zeros(len(whole), dtype=bool)
    chosen[used] = True
    if parts["omitted"] is not None and len(whole) > len(used):
        chosen[_places(parts["omitted"]["names"], whole, caller)] = True
    table = whole.copy(deep=False)
    table.attrs["used"] = used
    return Found(table, chosen)


def _as_pandas(source, data):
    import narwhals as nw

    if isinstance(data, dict):
        return pd.DataFrame({name: data[name] for name in source.names})
    return nw.from_native(data, eager_only=True).to_pandas()


def _places(row_names, whole, caller):
    """Positions in the data of rows by R's names."""
    n = len(row_names)
    if len(whole) == n:
        return np.arange(n)
    default = isinstance(whole.index, pd.RangeIndex) and whole.index.start == 0
    places = np.array([int(name) - 1 if name.isdigit() else -1 for name in row_names]) if default \
        else pd.Index(whole.index.astype(str)).get_indexer(row_names)
    outside = np.flatnonzero((places < 0) | (places >= len(whole)))
    if len(outside):
        raise DataError(f"{caller}: the data have {len(whole)} rows and no row {row_names[outside[0]]!r}, which R's model of {n} rows has. Give the "
                        "data that R was given, or the rows of the model in their order.")
    return places


def _check_same(name, theirs, own, caller):
    theirs, own = pd.Series(theirs).reset_index(drop=True), pd.Series(own)
    if own.dtype.kind in "fiu" and pd.api.types.is_numeric_dtype(theirs):
        a, b = theirs.to_numpy(dtype=float, na_value=np.nan), own.to_numpy(dtype=float)
        differ = ~(np.abs(a - b) <= SAME_COLUMN * np.abs(b).max(initial=1e-300))
    else:
        differ = theirs.astype(str).to_numpy() != own.astype(str).to_numpy()
    if differ.any():
        row = int(np.flatnonzero(differ)[0])
        raise DataError(f"{caller}: {name} differs from the model's in {int(differ.sum())} rows, first in row {row} (counted from 0): "
                        f"{theirs.iloc[row]} in the data, {own.iloc[row]} in the model. Give the data of the fit.")


# --- rows that the model left out ---------------------------------------------------------


def spread_known(known, used, total):
    """Known variables with gaps in the rows that the model does not have."""
    return Known({text: _spread_value(value, used, total) for text, value in known.values.items()}, known.state)


def _spread_value(value, used, total):
    if isinstance(value, Factor):
        codes = np.full(total, -1, dtype=np.int32)
        codes[used] = value.codes
        return replace(value, codes=codes)
    if isinstance(value, (Logical, Matrix)):
        return replace(value, values=with_gaps(value.values, used, total))
    return with_gaps(value, used, total)


def with_gaps(values, used, total):
    """A vector or matrix with NaN in the rows that are not used."""
    out = np.full((total, *np.shape(values)[1:]), np.nan)
    out[used] = values
    return out


def spread_frame(frame, labels, used):
    """A data frame with missing values in the rows that are not used."""
    total = len(labels)
    places = np.full(total, -1)
    places[used] = np.arange(len(used))
    columns = {}
    for name in frame.columns:
        column = frame[name]
        column = column.astype({"i": "Int64", "b": "boolean"}.get(column.dtype.kind, column.dtype))
        columns[name] = column.array.take(places, allow_fill=True)
    return pd.DataFrame(columns, index=labels)
