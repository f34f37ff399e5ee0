"""Files and datasets by way of Arrow: Parquet, CSV, Feather and IPC."""

import glob
import os
import pathlib

from fastlmm_hlm.errors import DataError
from fastlmm_hlm.ingest.blockrows import TEXT
from fastlmm_hlm.ingest.readahead import read_ahead
from fastlmm_hlm.ingest.source import Source, needs

FORMATS = {
    ".parquet": "parquet", ".pq": "parquet", ".parq": "parquet", ".csv": "csv", ".tsv": "csv", ".txt": "csv",
    ".feather": "ipc", ".arrow": "ipc", ".ipc": "ipc",
}
# Bytes that may be decoded ahead of the sums.
AHEAD = 32 * 2**20
# Bytes of a file that are read at a time.
BUFFER = 2**20
# Bytes of a CSV file from which the types of its columns are guessed.
CSV_BLOCK = 16 * 2**20


class ArrowSource(Source):
    """A path, paths, or a pyarrow dataset.

    Parameters
    ----------
    data : str, path, list of them, or pyarrow.dataset.Dataset
        A file, a folder (with partitions key=value), a pattern with *, or a dataset with its filter.
    """

    def __init__(self, data):
        try:
            import pyarrow.dataset as ds
        except ImportError:
            raise needs("pyarrow", f"lmer: reading {_shown(data)}", "arrow") from None
        self._given = data
        if isinstance(data, ds.Dataset):
            self._paths, self._dataset, self.description = None, data, f"a pyarrow dataset of {_files(data)}"
        else:
            self._paths = _paths(data)
            self.description = _shown(data)
            self._dataset = _opened(self._paths, self.description)
        self.names = list(self._dataset.schema.names)
        self._texts = [f.name for f in self._dataset.schema if _is_text(f.type)]
        self.n_rows = self._count()
        self.lasts = self._paths is not None

    def __reduce__(self):
        return ArrowSource, (self._given,)

    def _fragments(self):
        """The files of the dataset; none where it has a filter, which may leave any of them out."""
        try:
            return list(self._dataset.get_fragments())
        except ValueError:
            return []

    def _count(self):
        """Rows by the files' own statement, without reading them; None for other files and filtered datasets."""
        fragments = self._fragments()
        if not fragments or not self._is_parquet():
            return None
        try:
            return sum(fragment.metadata.num_rows for fragment in fragments)
        except Exception as error:
            raise DataError(f"{self.description} cannot be read: {_first_line(error)}. Is the file complete?") from error

    def blocks(self, columns, block_rows):
        self._check_files(columns)
        texts = [name for name in self._texts if name in columns]
        if self._is_parquet() and self._paths is not None and not self._keys(columns):
            batches = read_ahead(_parquet_batches(self._dataset.files, columns, block_rows, texts), AHEAD)
        else:
            batches = self._scanned(columns, block_rows)
        for batch in batches:
            if batch.num_rows:
                yield _marked(batch, texts)

    def _is_parquet(self):
        from pyarrow.dataset import ParquetFileFormat

        return isinstance(getattr(self._dataset, "format", None), ParquetFileFormat)

    def _keys(self, columns):
        """Columns that are keys of the folders and stand in no file."""
        first = next(iter(self._fragments()), None)
        return [] if first is None else [name for name in columns if name not in first.physical_schema.names]

    def _scanned(self, columns, block_rows):
        """Batches by Arrow's own scanner, which knows filters, keys of folders, and other formats."""
        import pyarrow.dataset as ds

        options = {}
        if self._is_parquet():
            options["fragment_scan_options"] = ds.ParquetFragmentScanOptions(pre_buffer=False, use_buffered_stream=True, buffer_size=BUFFER)
        width = sum(_width(self._dataset.schema.field(name).type) for name in columns)
        ahead = max(1, min(16, AHEAD // max(1, width * block_rows)))
        return self._dataset.scanner(columns=columns, batch_size=block_rows, batch_readahead=ahead, fragment_readahead=1, **options).to_batches()

    def _check_files(self, columns):
        """Refuse files that lack a column or have it in another type.

        Raises
        ------
        DataError
        """
        first, where = {}, {}
        for fragment in self._fragments() if hasattr(self._dataset, "files") else ():
            try:
                schema = fragment.physical_schema
            except Exception as error:
                raise DataError(f"'{fragment.path}' cannot be read: {_first_line(error)}. Is the file complete?") from error
            keys = set(self._dataset.schema.names) - set(schema.names)
            for name in columns:
                if name in keys and not where:
                    continue                      # a key of the folders, not a column of the files
                if name in schema.names:
                    kind = _kind(schema.field(name).type)
                    if first.setdefault(name, kind) != kind:
                        raise DataError(f"column '{name}' is {kind} in '{fragment.path}' and {first[name]} in '{where[name]}'; give it one type in all files.")
                    where.setdefault(name, fragment.path)
                elif name in where:
                    raise DataError(f"column '{name}' is not in '{fragment.path}', and it is in '{where[name]}'; all files of a source need the columns of the formula.")

    def fingerprint(self):
        """Sizes and times of change of the files."""
        files = getattr(self._dataset, "files", None)
        if files is None:
            return None
        made = []
        for path in files:
            try:
                facts = os.stat(path)
            except OSError:
                return None                       # a remote file system
            made.append((path, facts.st_size, facts.st_mtime_ns))
        return made


def _shown(data):
    if isinstance(data, (list, tuple)):
        return f"'{data[0]}' and {len(data) - 1} more files" if len(data) > 1 else f"'{data[0]}'"
    return f"'{data}'" if isinstance(data, (str, os.PathLike)) else f"a {type(data).__name__}"


def _files(dataset):
    files = getattr(dataset, "files", None)
    return type(dataset).__name__ if not files else f"'{files[0]}'" + (f" and {len(files) - 1} more files" if len(files) > 1 else "")


def _paths(data):
    """The file, folder or files that are meant.

    Raises
    ------
    DataError
    """
    given = [os.fspath(item) for item in (data if isinstance(data, (list, tuple)) else [data])]
    found = []
    for path in given:
        if "://" in path or os.path.exists(path):
            found.append(path)
        elif glob.has_magic(path):
            matches = sorted(glob.glob(path, recursive=True))
            if not matches:
                raise DataError(f"no file matches '{path}'; check the pattern and the folder '{os.getcwd()}'.")
            found += matches
        else:
            raise DataError(f"there is no file '{path}' (seen from '{os.getcwd()}'); check the path.")
    return found


def _format(path):
    if os.path.isdir(path):
        names = sorted(name for _, _, files in os.walk(path) for name in files if not name.startswith((".", "_")))
        if not names:
            raise DataError(f"the folder '{path}' holds no files.")
        path = names[0]
    suffix = pathlib.PurePath(path[:-3] if path.endswith(".gz") else path).suffix.lower()
    if suffix not in FORMATS:
        raise DataError(f"'{path}' ends in none of {', '.join(FORMATS)}, so its format is not known; give pyarrow.dataset.dataset(path, format=...).")
    return FORMATS[suffix]


def _opened(paths, description):
    """A dataset over files."""
    import pyarrow.csv as csv
    import pyarrow.dataset as ds

    made = kind = _format(paths[0])
    if kind == "csv":
        delimiter = "\t" if ".tsv" in paths[0] else ","
        made = ds.CsvFileFormat(
            parse_options=csv.ParseOptions(delimiter=delimiter), read_options=csv.ReadOptions(block_size=CSV_BLOCK),
            convert_options=csv.ConvertOptions(strings_can_be_null=True),
        )
    try:
        return ds.dataset(paths[0] if len(paths) == 1 else paths, format=made, partitioning="hive")
    except Exception as error:
        raise DataError(f"{description} cannot be read as {kind}: {_first_line(error)}. Is the file complete?") from error


def _parquet_batches(paths, columns, block_rows, texts):
    """Batches of Parquet files one after the other, decoded as they are asked for.

    Arrow's scanner decodes whole row groups and holds several; this holds one batch, and the file's
    pages through a buffer.  Text comes as a dictionary, without decoding.
    """
    import pyarrow.parquet as pq

    for path in paths:
        with pq.ParquetFile(path, read_dictionary=texts, pre_buffer=False, buffer_size=BUFFER) as file:
            yield from file.iter_batches(batch_size=block_rows, columns=columns, use_threads=True)


def _marked(batch, texts):
    """A batch as a table; text that came as a dictionary is marked as text."""
    import pyarrow as pa

    table = pa.Table.from_batches([batch])
    if not texts:
        return table
    fields = [f.with_metadata(TEXT) if f.name in texts and pa.types.is_dictionary(f.type) else f for f in table.schema]
    return pa.Table.from_arrays(table.columns, schema=pa.schema(fields))


def _first_line(error):
    return str(error).strip().splitlines()[0].rstrip(".") if str(error).strip() else type(error).__name__


def _is_text(kind):
    import pyarrow as pa

    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def _width(kind):
    try:
        return max(1, kind.bit_width // 8)
    except ValueError:
        return 16


def _kind(kind):
    """What a column is, by its Arrow type."""
    import pyarrow as pa

    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return "numeric"
    return "text" if _is_text(kind) else str(kind)
