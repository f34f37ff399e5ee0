"""Files and datasets by way of Arrow: Parquet, CSV, Feather and IPC."""

import glob
import os
import pathlib

from fastlmm_hlm.errors import DataError, FastlmmError
from fastlmm_hlm.ingest.blockrows import TEXT
from fastlmm_hlm.ingest.readahead import AHEAD
from fastlmm_hlm.ingest.source import Source, needs

FORMATS = {
    ".parquet": "parquet", ".pq": "parquet", ".parq": "parquet", ".csv": "csv", ".tsv": "csv", ".txt": "csv",
    ".feather": "ipc", ".arrow": "ipc", ".ipc": "ipc",
}
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
        self.names = self._all_names()
        self._texts = [f.name for f in self._dataset.schema if _is_text(f.type)]
        self.n_rows = self._count()
        self.lasts = self._paths is not None
        self.decodes = self._is_parquet() and self.lasts

    def __reduce__(self):
        return ArrowSource, (self._given,)

    def _fragments(self):
        """The files of the dataset; none where it has a filter, which may leave any of them out."""
        try:
            return list(self._dataset.get_fragments())
        except ValueError:
            return []

    def _all_names(self):
        """Columns of the dataset, and those that its first file lacks."""
        names = dict.fromkeys(self._dataset.schema.names)
        for fragment in self._fragments()[1:] if self._is_parquet() else ():
            names.update(dict.fromkeys(_physical(fragment).names))
        return list(names)

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
            batches = _parquet_batches(self._dataset, columns, block_rows, texts)
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
        first, where, lacking = {}, {}, {}
        for fragment in self._fragments() if hasattr(self._dataset, "files") else ():
            schema = _physical(fragment)
            for name in columns:
                if name not in schema.names:
                    lacking.setdefault(name, fragment.path)
                    continue
                kind = _kind(schema.field(name).type)
                if first.setdefault(name, kind) != kind and (first[name], kind) != ("text", "categorical"):
                    raise DataError(f"column '{name}' is {kind} in '{fragment.path}' and {first[name]} in '{where[name]}'; give it one type in all files.")
                where.setdefault(name, fragment.path)
        for name in columns:                      # a column of no file is a key of the folders
            if name in where and name in lacking:
                raise DataError(f"column '{name}' is not in '{lacking[name]}', and it is in '{where[name]}'; all files of a source need the columns of the formula.")

    def fingerprint(self):
        """Sizes and times of change of the files."""
        files = getattr(self._dataset, "files", None)
        if files is None:
            return None
        try:
            return [(facts.path, facts.size, facts.mtime_ns) for facts in self._dataset.filesystem.get_file_info(files)]
        except Exception:
            return None                           # a remote file system that does not say


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
        if "://" in path and glob.has_magic(path):
            raise DataError(f"'{path}' is a pattern on a remote file system; give the folder, or a list of paths.")
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


def _format(path, filesystem=None):
    names = None
    if filesystem is not None:
        import pyarrow.fs as fs

        if filesystem.get_file_info(path).type == fs.FileType.Directory:
            names = sorted(item.base_name for item in filesystem.get_file_info(fs.FileSelector(path, recursive=True)) if item.is_file)
    elif os.path.isdir(path):
        names = sorted(name for _, _, files in os.walk(path) for name in files)
    if names is not None:
        names = [name for name in names if not name.startswith((".", "_"))]
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

    filesystem = None
    if "://" in paths[0]:
        places = [_remote(path) for path in paths]
        filesystem, paths = places[0][0], [path for _, path in places]
        if any(other != filesystem for other, _ in places):
            raise DataError(f"{description}: all files of a source must lie on one file system; make a list of one kind, or copy them to one place.")
    made = kind = _said_of_reading(lambda: _format(paths[0], filesystem), description)
    if kind == "csv":
        delimiter = "\t" if ".tsv" in paths[0] else ","
        made = ds.CsvFileFormat(
            parse_options=csv.ParseOptions(delimiter=delimiter), read_options=csv.ReadOptions(block_size=CSV_BLOCK),
            convert_options=csv.ConvertOptions(strings_can_be_null=True),
        )
    return _said_of_reading(
        lambda: ds.dataset(paths[0] if len(paths) == 1 else paths, format=made, partitioning="hive", filesystem=filesystem), f"{description} as {kind}",
    )


def _said_of_reading(call, what):
    """The result of a call; what Arrow or a file system says of a file becomes a sentence.

    Raises
    ------
    DataError
    """
    try:
        return call()
    except FastlmmError:
        raise
    except FileNotFoundError as error:
        raise DataError(f"{what} cannot be read: there is no such file ({_first_line(error)}); check the path.") from error
    except Exception as error:
        raise DataError(f"{what} cannot be read: {_first_line(error)}. Is the file complete?") from error


def _remote(path):
    """The file system of a URI, and the path on it: Arrow's own ones, else fsspec's.

    Raises
    ------
    DataError, FastlmmError
    """
    import pyarrow as pa
    import pyarrow.fs as fs

    kind = path.partition("://")[0]
    try:
        return fs.FileSystem.from_uri(path)
    except pa.ArrowInvalid as error:
        if "Unrecognized filesystem" not in str(error):
            raise DataError(f"'{path}' cannot be opened: {_first_line(error)}. Check the address and the access rights.") from error
    except Exception as error:
        raise DataError(f"'{path}' cannot be opened: {_first_line(error)}. Check the address, the network and the access rights.") from error
    try:
        from fsspec.core import url_to_fs
    except ImportError:
        raise needs("fsspec", f"lmer: reading '{kind}://' addresses such as '{path}'", "arrow") from None
    try:
        system, inside = url_to_fs(path)
    except (ImportError, ValueError) as error:
        raise DataError(f"'{path}': no file system is known for '{kind}://' ({_first_line(error)}); install the fsspec package for it, or copy the file.") from error
    return fs.PyFileSystem(fs.FSSpecHandler(system)), inside


def _physical(fragment):
    """The schema of one file.

    Raises
    ------
    DataError
    """
    try:
        return fragment.physical_schema
    except Exception as error:
        raise DataError(f"'{fragment.path}' cannot be read: {_first_line(error)}. Is the file complete?") from error


def _parquet_batches(dataset, columns, block_rows, texts):
    """Batches of Parquet files one after the other, decoded as they are asked for.

    Arrow's scanner decodes whole row groups and holds several; this holds one batch, and the file's
    pages through a buffer.  Text comes as a dictionary, without decoding.  Pages whose writer left
    checksums are checked against them.
    """
    import pyarrow.parquet as pq

    options = {"read_dictionary": texts, "pre_buffer": False, "buffer_size": BUFFER, "page_checksum_verification": True}
    for path in dataset.files:
        done = 0
        try:
            with pq.ParquetFile(path, filesystem=dataset.filesystem, **options) as file:
                for batch in file.iter_batches(batch_size=block_rows, columns=columns, use_threads=False):
                    yield batch
                    done += batch.num_rows
        except (MemoryError, GeneratorExit):
            raise
        except Exception as error:
            raise DataError(
                f"'{path}' cannot be read to its end: after {done:,} of its rows {type(error).__name__} says '{_first_line(error)}'. Is the file complete, and was "
                "it not replaced while it was read?"
            ) from error


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
        return "categorical"
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return "numeric"
    return "text" if _is_text(kind) else str(kind)
