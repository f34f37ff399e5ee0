"""Relations of DuckDB, lazy frames of polars, and functions that give blocks."""

from contextlib import closing

from fastlmm_hlm.errors import DataError
from fastlmm_hlm.ingest.blockrows import BlockColumns
from fastlmm_hlm.ingest.source import Source


# What DuckDB's releases from 1.0 on call a reader of Arrow batches.
READERS = ("to_arrow_reader", "fetch_record_batch", "fetch_arrow_reader")


class DuckSource(Source):
    """A DuckDB relation, such as duckdb.sql("select ...") or duckdb.table("t"); executed once per pass."""

    def __init__(self, relation):
        self._relation, self.names = relation, list(relation.columns)
        self.description = "a DuckDB relation"

    def blocks(self, columns, block_rows):
        import pyarrow as pa

        quoted = ", ".join('"' + name.replace('"', '""') + '"' for name in columns)
        relation = self._relation.project(quoted)
        read = next(name for name in READERS if hasattr(type(relation), name))    # a relation has its columns as attributes
        with closing(getattr(relation, read)(block_rows)) as reader:
            for batch in reader:
                yield pa.Table.from_batches([batch])


class PolarsSource(Source):
    """A polars LazyFrame, collected in batches by the streaming engine; run once per pass."""

    def __init__(self, frame):
        if not hasattr(frame, "collect_batches"):
            raise DataError("this polars has no LazyFrame.collect_batches(); update it (pip install -U polars), or write the frame with .sink_parquet(path) and give the path.")
        self._frame, self.names = frame, frame.collect_schema().names()
        self.description = "a polars LazyFrame"

    def blocks(self, columns, block_rows):
        for frame in self._frame.select(columns).collect_batches(chunk_size=block_rows, maintain_order=True):
            if frame.height:
                yield frame


class FunctionSource(Source):
    """A function without arguments that gives the blocks anew for every pass; it may fill the same arrays again."""

    blocks_stay = False

    def __init__(self, function):
        self._function, self.description = function, f"the function {getattr(function, '__name__', 'given')}()"
        first = next(iter(self._all()), None)
        if first is None:
            raise DataError(f"{self.description} gave no rows; a model needs some.")
        self.names = BlockColumns(first).names

    def _all(self):
        made = self._function()
        if hasattr(made, "to_batches") and not hasattr(made, "__next__"):
            made = made.to_batches()              # an Arrow table or scanner
        if type(made).__name__ == "DataFrame":
            made = [made]
        if not hasattr(made, "__iter__"):
            raise DataError(f"{self.description} gave {type(made).__name__}; it must give an iterable of data frames or Arrow tables, or a RecordBatchReader.")
        return made

    def blocks(self, columns, block_rows):
        for block in self._all():
            columns_of_block = BlockColumns(block)
            columns_of_block.check(columns)
            if columns_of_block.n:
                yield block


class FrameSource(Source):
    """A data frame in memory, or a mapping of columns."""

    def __init__(self, frame):
        self.names, self.n_rows = BlockColumns(frame).names, BlockColumns(frame).n
        self._frame, self.description = frame, f"a {type(frame).__module__.split('.')[0]} {type(frame).__name__}"

    def blocks(self, columns, block_rows):
        import narwhals.stable.v1 as nw
        import pandas as pd

        frame = pd.DataFrame(self._frame) if isinstance(self._frame, dict) else self._frame
        frame = nw.from_native(frame, eager_only=True).select(columns)
        for first in range(0, self.n_rows, block_rows):
            yield frame[first : first + block_rows].to_native()
