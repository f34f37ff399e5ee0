"""Columns of polars, pyarrow and all other frames that narwhals knows, without losing what their types say."""
import numpy as np
import pandas as pd

from fastlmm_hlm.errors import DataError
from fastlmm_hlm.formula.codes import look_up
from fastlmm_hlm.formula.kinds import Column, as_column


def narwhals_frame(data):
    """Wrap a data frame of another library than pandas.

    Parameters
    ----------
    data : data frame

    Returns
    -------
    narwhals.DataFrame

    Raises
    ------
    DataError
        If it is no data frame, or one that is not in memory.
    """
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


def is_arrow_table(data):
    """Tell whether data are a pyarrow Table."""
    return type(data).__name__ == "Table" and type(data).__module__.split(".")[0] == "pyarrow"


def never_changes(data):
    """Tell whether views of a frame's memory stay as they are, whatever is done to the frame."""
    return type(data).__module__.split(".")[0] in ("polars", "pyarrow")


def foreign_column(name, series):
    """Read one column.

    Parameters
    ----------
    name : str
    series : narwhals.Series

    Returns
    -------
    Column

    Raises
    ------
    DataError
        For values no model can use.
    """
    import narwhals.stable.v1 as nw

    native = series.to_native()
    if series.dtype in (nw.String, nw.Categorical, nw.Enum):
        if type(native).__module__.split(".")[0] == "polars":
            return _polars_levels(name, native)
        return as_column(name, pd.Series(np.array(series.cast(nw.String).to_list(), dtype=object)))
    if isinstance(series.dtype, nw.Decimal):
        series = series.cast(nw.Float64)
    if series.null_count() and (series.dtype.is_integer() or series.dtype == nw.Boolean):
        kind, filler = ("integer", 0) if series.dtype.is_integer() else ("logical", False)
        return Column(name, kind, series.fill_null(filler).to_numpy(), series.is_null().to_numpy().astype(bool))
    values = series.to_numpy()
    if values.ndim != 1:
        raise DataError(f"column '{name}' holds {values.shape[1]} values in each row; a model needs one. Make columns of its parts.")
    return as_column(name, values if values.dtype.kind in "fiub" else pd.Series(values))


def _polars_levels(name, native):
    """Read a polars column of text, or an Enum, which keeps its own order."""
    import polars as pl

    if native.dtype == pl.Categorical:
        return _polars_categorical(name, native)
    if native.dtype == pl.Enum:
        return Column(name, "category", _signed(native.to_physical()), levels=pd.Index(native.dtype.categories.to_list()))
    levels = native.unique().drop_nulls().sort()
    return Column(name, "text", _signed(native.cast(pl.Enum(levels)).to_physical()), levels=pd.Index(levels.to_list()))


def _polars_categorical(name, native):
    """Read a polars Categorical, which is text; its codes may count levels of other columns too."""
    import polars as pl

    distinct = native.unique().drop_nulls()
    physical, levels = _signed(distinct.to_physical()), pd.Index(distinct.cast(pl.String).to_list())
    places = np.full(int(physical.max(initial=-1)) + 2, -1, dtype=np.int32)
    places[physical] = np.arange(len(levels), dtype=np.int32)
    return Column(name, "text", look_up(places, _signed(native.to_physical())), levels=levels)


def _signed(physical):
    """Return polars' codes as int32, -1 for missing."""
    import polars as pl

    codes = physical.cast(pl.Int32)
    return (codes.fill_null(-1) if codes.null_count() else codes).to_numpy()


def arrow_column(name, chunked):
    """Read one column of a pyarrow table, a ChunkedArray, without narwhals, which costs more than a small block of rows.

    Returns
    -------
    Column
    """
    import pyarrow as pa

    kind = chunked.type
    if pa.types.is_dictionary(kind) and not (pa.types.is_primitive(kind.value_type) or _is_text(kind.value_type)):
        raise DataError(f"column '{name}' is a dictionary of {kind.value_type}; its levels must be text, numbers or dates. Cast it to text.")
    if pa.types.is_dictionary(kind):
        codes, levels = _dictionary(chunked)
        return Column(name, "category", codes, levels=levels, ordered=bool(kind.ordered))
    if _is_text(kind):
        codes, levels = _dictionary(chunked.dictionary_encode())
        return Column(name, "text", codes, levels=levels)
    if pa.types.is_decimal(kind):
        chunked = chunked.cast(pa.float64())
    if pa.types.is_integer(kind) and chunked.null_count:
        missing = chunked.is_null().to_numpy().astype(bool)
        return Column(name, "integer", chunked.fill_null(0).to_numpy(), missing)
    if pa.types.is_integer(kind) or pa.types.is_floating(chunked.type):
        return as_column(name, chunked.to_numpy())
    return as_column(name, chunked.to_pandas())


def _is_text(kind):
    import pyarrow as pa

    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def _dictionary(chunked):
    """Return the codes and levels of a dictionary column; -1 for missing."""
    chunked = chunked.unify_dictionaries()
    levels = chunked.chunk(0).dictionary if chunked.num_chunks else None
    if levels is not None and (levels.null_count or len(levels.unique()) < len(levels)):
        return _dictionary(chunked.cast(chunked.type.value_type).dictionary_encode())
    parts = [_arrow_codes(chunk.indices) for chunk in chunked.chunks]
    codes = parts[0] if len(parts) == 1 else np.concatenate([*parts, np.empty(0, dtype=np.int32)])
    return codes, pd.Index([] if levels is None else levels.to_pandas())


def _arrow_codes(indices):
    import pyarrow as pa

    if pa.types.is_unsigned_integer(indices.type):
        indices = indices.cast(pa.int32())
    return (indices.fill_null(-1) if indices.null_count else indices).to_numpy()
