"""Writing a store: an external bucket sort in two readings and bounded memory.

The first reading learns facts, levels, and how many rows each level of the sorting factor has.  Levels are
then cut into ranges whose rows fit into memory together.  The second reading deals the rows out
to one file per range, in their order; each of these is read, sorted stably by level and appended to the store.
"""

import contextlib
import errno
import json
import os
import pathlib
import shutil
import tempfile
from contextlib import ExitStack

import numpy as np

from fastlmm_hlm.errors import ArgumentError, DataError, UnknownColumnError
from fastlmm_hlm.formula.codes import look_up
from fastlmm_hlm.ingest.blockrows import BlockColumns
from fastlmm_hlm.ingest.columnfacts import ColumnFacts
from fastlmm_hlm.ingest.grouplevels import Places
from fastlmm_hlm.ingest.growing import GrowingLevels, TwoPassesError
from fastlmm_hlm.ingest.othersources import FrameSource
from fastlmm_hlm.ingest.passes import read_blocks
from fastlmm_hlm.ingest.request import Reading, Request
from fastlmm_hlm.ingest.sample import Sample
from fastlmm_hlm.ingest.source import BLOCK_ROWS, is_source, needs, open_source
from fastlmm_hlm.ingest.store import FORMAT, VERSION, Store, is_store, write_levels
from fastlmm_hlm.ingest.storedcolumn import StoredColumn

# Files that are open at the same time.
MOST_BUCKETS = 200
# Copies of a bucket that are in memory while it is sorted.
COPIES = 4
COMPRESSIONS = (None, "lz4")


def prepare(data, out, by=None, *, columns=None, formula=None, memory=512 * 2**20, compression=None, progress=False, overwrite=False):
    """Write rows into a store that fits read fast and often.

    The store keeps the rows sorted by one grouping factor, text and categories as codes, and the facts that a fit
    would otherwise learn in a pass of its own: levels in order, counts, missing values, means, standard deviations, extremes.

    Parameters
    ----------
    data : data frame or source
        As `lmer` takes it: a path, dataset, relation, function, frame.
    out : str or path
        Folder of the store.  It takes its name when it is complete.
    by : str, optional
        Column to sort by, usually the grouping factor with most levels.  Rows of one level keep their order; those
        without a level come last.  Without it all rows keep theirs.
    columns : list of str, optional
        Columns to keep; all by default.
    formula : str, optional
        In the place of `columns`: keep those of a formula.
    memory : int
        Bytes that sorting may take, about.
    compression : {None, "lz4"}
        Without compression (default) the columns are mapped and not read.
    progress : bool
        Show bars (needs tqdm).
    overwrite : bool
        Replace a store of that name.

    Returns
    -------
    Store
        For `lmer(formula, store)`; its path will do as well.

    Raises
    ------
    UnknownColumnError, DataError, ArgumentError
    DataError
        If rows cannot be read, or the disk is full.  Nothing is left behind then, nor after Ctrl-C.

    Examples
    --------
    >>> store = prepare("scores.parquet", "scores.store", by="school")      # doctest: +SKIP
    >>> lmer("score ~ x + (1 | school)", store)                             # doctest: +SKIP
    """
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        raise needs("pyarrow", "prepare", "arrow") from None
    if compression not in COMPRESSIONS:
        raise ArgumentError(f"prepare: compression = {compression!r}; expected None or 'lz4'.")
    if not isinstance(memory, (int, np.integer)) or memory < 2**20:
        raise ArgumentError(f"prepare: memory = {memory!r}; expected bytes, at least {2**20:,}.")
    out = pathlib.Path(out)
    _check_out(out, overwrite)
    source = open_source(data) if is_source(data) else FrameSource(data)
    columns = _columns(source, by, columns, formula)
    before = source.fingerprint()
    try:
        folder = pathlib.Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    except OSError as error:
        raise DataError(f"prepare: '{out.parent}' cannot be written ({error.strerror}); give another folder.") from error
    try:
        with _disk_errors(out):
            facts, order = _learn(source, columns, by, progress)
            _Writer(folder, facts, by, compression).write(source, columns, order, memory, progress)
            if source.fingerprint() != before:
                raise DataError(f"{source.description} was changed while it was read; prepare it again when nothing writes to it.")
            _put(folder, out)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return Store(out)


def _check_out(out, overwrite):
    if not out.parent.is_dir():
        raise ArgumentError(f"prepare: there is no folder '{out.parent}'; make it first.")
    if out.exists() and not (overwrite and is_store(out)):
        hint = "overwrite=True replaces it" if is_store(out) else "it is no store, so it is not replaced"
        raise ArgumentError(f"prepare: '{out}' exists; {hint}. Give another name.")


def _columns(source, by, columns, formula):
    """Columns to keep, in the order of the source."""
    if columns is not None and formula is not None:
        raise ArgumentError("prepare: give columns= or formula=, not both.")
    if formula is not None:
        columns = Reading(Request(formula), source.names).columns
    if isinstance(columns, str):
        raise ArgumentError(f"prepare: columns = {columns!r}; expected a list of names.")
    wanted = list(source.names) if columns is None else [*columns, *([] if by is None else [by])]
    for name in [*wanted, *([] if by is None else [by])]:
        if name not in source.names:
            role = "by" if name == by else "columns"
            raise UnknownColumnError(f"prepare: {role} names '{name}', which {source.description} does not have; it has {', '.join(map(repr, source.names[:20]))}.")
    return [name for name in source.names if name in set(wanted)]


@contextlib.contextmanager
def _disk_errors(out):
    try:
        yield
    except OSError as error:
        full = error.errno == errno.ENOSPC or "No space left" in str(error)
        what = "the disk is full" if full else str(error)
        raise DataError(f"prepare: '{out}' cannot be written: {what}. Sorting takes twice the room of the store for a time; nothing is left behind.") from error


def _put(folder, out):
    """Give the finished folder its name."""
    if out.exists():
        old = folder.with_name(folder.name + ".old")
        os.rename(out, old)
        os.rename(folder, out)
        shutil.rmtree(old, ignore_errors=True)
    else:
        os.rename(folder, out)


class _EveryRow:
    """A block as `GrowingLevels` takes it, all rows in use."""

    def __init__(self, columns):
        self.source, self.used = columns, None

    def chosen_codes(self, codes):
        return codes


class _Order:
    """The sorting factor: levels by number of appearance, their places in order, and rows per level."""

    def __init__(self, by):
        self.by, self.levels, self.counts = by, GrowingLevels((by,)), np.zeros(0, dtype=np.int64)
        self.places = None

    def appeared(self, block):
        try:
            return self.levels.codes(_EveryRow(block))
        except TwoPassesError as problem:
            raise DataError(f"prepare: by = '{self.by}' cannot sort the rows ({problem}); give a column of text, categories or whole numbers.") from problem

    def note(self, block):
        codes = self.appeared(block)
        counts = np.bincount(codes + 1, minlength=self.levels.count + 1)          # missing first
        if len(counts) > len(self.counts):
            self.counts = np.append(self.counts, np.zeros(len(counts) - len(self.counts), dtype=np.int64))
        self.counts[: len(counts)] += counts

    def settle(self, levels):
        """Give levels their places in order; rows without a level come last."""
        values = self.levels.values()
        places = Places(levels).of(values.to_numpy() if values.dtype.kind in "iu" else values)
        self.places = np.append(places, np.int32(len(levels))).astype(np.int32)
        sizes = np.zeros(len(levels) + 1, dtype=np.int64)
        sizes[self.places] = np.append(self.counts[1:], self.counts[:1])
        self.counts = sizes

    def codes(self, block):
        """The place of each row's level."""
        return look_up(self.places, self.appeared(block))


def _learn(source, columns, by, progress):
    """Facts of all columns and the order of rows."""
    facts, order = {name: ColumnFacts(name) for name in columns}, None if by is None else _Order(by)
    for number, block in enumerate(read_blocks(source, columns, progress=progress, what="first pass")):
        rows = BlockColumns(block)
        rows.check(columns)
        for name in columns:
            facts[name].add(rows.column(name), number)
        if order is not None:
            order.note(rows)
    if not facts or next(iter(facts.values())).n == 0:
        raise DataError(f"prepare: {source.description} gave no rows.")
    if order is not None:
        if facts[by].levels() is None:
            facts[by].give_levels(order.levels.values().sort_values())
        order.settle(facts[by].levels())
    return facts, order


class _Writer:
    """Writes the files of a store into a folder."""

    def __init__(self, folder, facts, by, compression):
        import pyarrow as pa

        self.folder, self.facts, self.by = folder, facts, by
        self.options = pa.ipc.IpcWriteOptions(compression=compression)
        self.types = {name: StoredColumn(name, own) for name, own in facts.items()}
        self.schema = pa.schema([stored.field for stored in self.types.values()])
        self.n = next(iter(facts.values())).n
        self.sample, self.done = Sample(), 0

    def write(self, source, columns, order, memory, progress):
        tables = self._tables(source, columns, progress)
        with self._file("rows.arrow") as file:
            if order is None:
                self._append(file, (table for _, table in tables))
            else:
                self._sorted(file, tables, order, memory)
        if self.done != self.n:
            raise DataError(f"{source.description} gave {self.n} rows first and {self.done} then; prepare it from a source that stays as it is.")
        self._write_sample()
        for number, own in enumerate(self.facts.values()):
            write_levels(self.folder / "levels", number, own)
        (self.folder / "facts.json").write_text(json.dumps(self._facts(source), indent=1))

    def _file(self, name):
        import pyarrow as pa

        return pa.ipc.new_file(str(self.folder / name), self.schema, options=self.options)

    def _tables(self, source, columns, progress):
        """Blocks as they are read, and as they are stored."""
        import pyarrow as pa

        for block in read_blocks(source, columns, progress=progress, what="second pass"):
            rows = BlockColumns(block)
            yield rows, pa.Table.from_arrays([self.types[name].array(rows.column(name)) for name in columns], schema=self.schema)

    def _sorted(self, file, tables, order, memory):
        ends = self._ends(order.counts, memory)
        with ExitStack() as stack:
            paths = [self.folder / f"bucket{i}" for i in range(len(ends))]
            buckets = [stack.enter_context(_Bucket(path, self.schema)) for path in paths]
            for rows, table in tables:
                codes = order.codes(rows)
                which = np.searchsorted(ends, codes, side="right") if len(ends) > 1 else np.zeros(len(codes), dtype=np.int64)
                by_bucket = np.argsort(which, kind="stable")
                bounds = np.searchsorted(which[by_bucket], np.arange(len(ends) + 1))
                for i in np.flatnonzero(np.diff(bounds)):
                    own = by_bucket[bounds[i] : bounds[i + 1]]
                    buckets[i].add(table if len(own) == len(codes) else table.take(own), codes[own])
        starts = [0, *ends[:-1]]
        self._append(file, (table for path, low, high in zip(paths, starts, ends) for table in _in_order(path, int(high - low))))

    def _ends(self, counts, memory):
        """Ends of ranges of levels whose rows fit into memory together, ndarray of int."""
        width = sum(stored.width for stored in self.types.values()) + 4
        most = max(memory // (COPIES * width), self.n // MOST_BUCKETS + 1, 1)
        total = np.cumsum(counts)
        ends, first = [], 0
        while first < len(counts):
            before = total[first - 1] if first else 0
            end = max(int(np.searchsorted(total, before + most, side="right")), first + 1)
            ends.append(end)
            first = end
        return np.array(ends)

    def _append(self, file, tables):
        """Write tables in batches of BLOCK_ROWS, the last one shorter."""
        import pyarrow as pa

        waiting, count = [], 0
        for table in tables:
            while table.num_rows:
                part = table.slice(0, BLOCK_ROWS - count)
                waiting.append(part)
                count += part.num_rows
                table = table.slice(part.num_rows)
                if count == BLOCK_ROWS:
                    self._batch(file, pa.concat_tables(waiting))
                    waiting, count = [], 0
        if count:
            self._batch(file, pa.concat_tables(waiting))

    def _batch(self, file, table):
        rows = table.combine_chunks()
        file.write_batch(rows.to_batches()[0])
        self.sample.add(_OneColumn(table.num_rows), [], 0, self.done, None)
        self.done += table.num_rows

    def _write_sample(self):
        import pyarrow as pa

        places = np.sort(self.sample._keys[:, 2].astype(np.int64))
        made = []
        with pa.ipc.open_file(pa.memory_map(str(self.folder / "rows.arrow"))) as file:
            for i in range(file.num_record_batches):
                own = places[(places >= i * BLOCK_ROWS) & (places < (i + 1) * BLOCK_ROWS)] - i * BLOCK_ROWS
                if len(own):
                    made.append(pa.Table.from_batches([file.get_batch(i)]).take(own))
        with self._file("sample.arrow") as file:
            file.write_table(pa.concat_tables(made).combine_chunks())

    def _facts(self, source):
        columns = {}
        for name, own in self.facts.items():
            levels = own.levels()
            columns[name] = {"kind": own.kind, "missing": own.missing, **own.numbers()}
            if levels is not None:
                columns[name]["levels"] = len(levels)
        return {
            "format": FORMAT, "version": VERSION, "rows": self.n, "by": self.by, "compression": self.options.compression, "source": source.description,
            "columns": columns,
        }


class _OneColumn:
    """Rows of which only the number is asked."""

    def __init__(self, n):
        self.n = n


class _Bucket:
    """A file of rows of one range of levels, with their codes; made when the first row comes."""

    def __init__(self, path, schema):
        import pyarrow as pa

        self.path, self.file = path, None
        self.schema = schema.append(pa.field("", pa.int32()))

    def __enter__(self):
        return self

    def add(self, table, codes):
        import pyarrow as pa

        if self.file is None:
            self.file = pa.ipc.new_file(str(self.path), self.schema)
        self.file.write_table(pa.Table.from_arrays([*table.columns, pa.array(codes, pa.int32())], schema=self.schema))

    def __exit__(self, *error):
        if self.file is not None:
            self.file.close()


def _in_order(path, levels):
    """The rows of a bucket, sorted stably by their codes; the file is removed."""
    import pyarrow as pa

    if not path.exists():
        return
    with pa.ipc.open_file(pa.memory_map(str(path))) as file:
        names = file.schema.names[:-1]
        if levels == 1:                         # one level, however many rows: in order as it is
            for i in range(file.num_record_batches):
                yield pa.Table.from_batches([file.get_batch(i)]).select(names)
        else:
            table = file.read_all().combine_chunks()
            order = np.argsort(table[""].to_numpy(), kind="stable")
            yield table.select(names).take(order)
            del table
    path.unlink()
