"""Sources of rows that are read block by block, as often as is asked."""

import inspect
import os
from collections.abc import Iterator

from fastlmm_hlm.errors import ArgumentError, DataError, FastlmmError

# Rows of a block, unless asked otherwise: a multiple of the rows that are summed together.
BLOCK_ROWS = 4 * 65_536


class Source:
    """Rows in blocks; what every adapter has.

    Attributes
    ----------
    description : str
        For messages and the printed call.
    names : list of str
    n_rows : int or None
        Where it is known without reading.
    lasts : bool
        Whether a pickle may hold it: names of files and no rows.
    in_parts : bool
        Whether it has parts that are summed where they lie; see `parts`.
    decodes : bool
        Whether making a block takes about as long as summing it, on one thread, so that another may do it.
    blocks_stay : bool
        Whether a block stays as it is while the next one is made.
    """

    description, names, n_rows, lasts, in_parts, decodes, blocks_stay = "source", (), None, False, False, False, True

    def blocks(self, columns, block_rows):
        """Yield the rows in order, data frames or Arrow tables with these columns.

        Parameters
        ----------
        columns : list of str
        block_rows : int
            About as many rows at a time.
        """
        raise NotImplementedError

    def known(self, request):
        """A `Scan` with all that a pass must know beforehand, from what the source keeps; None where it keeps nothing."""
        return None

    def fingerprint(self):
        """Something that changes when the rows do, or None where that cannot be known."""
        return None


def needs(package, what, extra):
    """The error for a library that is not installed."""
    return FastlmmError(f"{what} needs {package}, which is not installed: pip install 'fastlmm_hlm[{extra}]'")


def is_source(data):
    """Whether `lmer` reads its data block by block: paths, datasets, database relations, lazy frames and functions."""
    return (
        isinstance(data, (str, os.PathLike, Source)) or _is_paths(data) or _library(data) == "duckdb" and hasattr(data, "columns")
        or _library(data) == "pyarrow" and hasattr(data, "scanner") or _library(data) == "polars" and type(data).__name__ == "LazyFrame"
        or is_dask(data) or is_spark(data) or inspect.isroutine(data) or inspect.isfunction(data) or _is_once(data)
    )


def is_dask(data):
    """Whether data are a Dask DataFrame."""
    return _library(data) in ("dask", "dask_expr") and hasattr(data, "to_delayed") and hasattr(data, "columns")


def is_spark(data):
    """Whether data are a Spark DataFrame."""
    return _library(data) == "pyspark" and hasattr(data, "mapInArrow")


def _library(data):
    return type(data).__module__.split(".")[0].lstrip("_")


def _is_paths(data):
    return isinstance(data, (list, tuple)) and len(data) > 0 and all(isinstance(item, (str, os.PathLike)) for item in data)


def _is_once(data):
    return isinstance(data, Iterator) or type(data).__name__ == "RecordBatchReader"


def open_source(data):
    """The source behind what was given as data.

    Parameters
    ----------
    data : path, list of paths, pyarrow Dataset, DuckDB relation, polars LazyFrame, Dask or Spark DataFrame, or function
        A function is called without arguments for each pass and gives blocks: an iterable of data
        frames or Arrow tables, or a pyarrow.RecordBatchReader.

    Returns
    -------
    Source

    Raises
    ------
    DataError
        If it cannot be read.
    FastlmmError
        If a library is not installed.
    """
    from fastlmm_hlm.ingest.store import Store, is_store

    if isinstance(data, Source):
        return data
    if _is_once(data):
        raise ArgumentError(
            f"data is a {type(data).__name__}, which can be read once, and a fit reads its rows twice; give a function that "
            "makes it anew, as in lmer(formula, lambda: pandas.read_csv(path, chunksize=100_000))."
        )
    if is_store(data):
        return Store(data)
    if isinstance(data, (str, os.PathLike)) or _is_paths(data) or _library(data) == "pyarrow":
        from fastlmm_hlm.ingest.arrowsource import ArrowSource

        return ArrowSource(data)
    if _library(data) == "duckdb":
        from fastlmm_hlm.ingest.othersources import DuckSource

        return DuckSource(data)
    if _library(data) == "polars":
        from fastlmm_hlm.ingest.othersources import PolarsSource

        return PolarsSource(data)
    if is_dask(data):
        from fastlmm_hlm.ingest.dasksource import DaskSource

        return DaskSource(data)
    if is_spark(data):
        from fastlmm_hlm.ingest.sparksource import SparkSource

        return SparkSource(data)
    if callable(data):
        from fastlmm_hlm.ingest.othersources import FunctionSource

        return FunctionSource(data)
    raise DataError(f"data is {type(data).__name__}, which cannot be read block by block; give a path, a dataset, a relation or a function.")
