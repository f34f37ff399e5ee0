"""A store: rows sorted by a grouping factor, mapped into memory, with the facts that a fit asks of all rows.

A folder with
    rows.arrow     Arrow's IPC file: text and categories as int32 codes, other columns as they are
    sample.arrow   a few rows spread over the store
    levels/K.arrow the levels of column K in order, and whether a row has them
    facts.json     format, version, and per column kind, counts, mean, standard deviation, extremes
"""

import json
import os
import pathlib

import numpy as np
import pandas as pd

from fastlmm_hlm.errors import DataError
from fastlmm_hlm.formula.kinds import level_text
from fastlmm_hlm.formula.syntax import Name
from fastlmm_hlm.ingest.scan import Scan, group_of
from fastlmm_hlm.ingest.source import Source, needs

FORMAT, VERSION = "fastlmm_hlm store", 1


def is_store(path):
    """Whether a path is a folder that `prepare` wrote."""
    return isinstance(path, (str, os.PathLike)) and os.path.isfile(os.path.join(path, "facts.json"))


class Store(Source):
    """Rows that `prepare` wrote, read as often as is asked.

    Parameters
    ----------
    path : str or path
        The folder.

    Attributes
    ----------
    path : pathlib.Path
    by : str or None
        The column by which the rows are sorted.
    n_rows : int
    names : list of str

    Raises
    ------
    DataError
        If it is no store, or one of another version.
    """

    lasts = True

    def __init__(self, path):
        self.path = pathlib.Path(path)
        self.description = f"the store '{path}'"
        try:
            self._facts = json.loads((self.path / "facts.json").read_text())
            assert self._facts["format"] == FORMAT
        except Exception as error:
            raise DataError(f"'{path}' is no store, or is damaged ({type(error).__name__}); make one with prepare(data, out).") from error
        if self._facts["version"] != VERSION:
            raise DataError(f"{self.description} has version {self._facts['version']} of its format and this fastlmm_hlm reads version {VERSION}; prepare it again.")
        self._mapped = self._facts.get("compression", "unknown") is None
        self.by, self.n_rows, self.names = self._facts["by"], self._facts["rows"], list(self._facts["columns"])
        self._levels = {}

    def __reduce__(self):
        return Store, (self.path,)

    # --- as a source ------------------------------------------------------------------

    def blocks(self, columns, block_rows):
        import pyarrow as pa

        with self._opened("rows.arrow", None if self._mapped else columns) as file:
            for i in range(file.num_record_batches):
                batch = file.get_batch(i)
                for first in range(0, batch.num_rows, block_rows):
                    yield pa.Table.from_batches([batch.slice(first, block_rows)]).select(columns)

    def _opened(self, name, columns=None):
        try:
            import pyarrow as pa
        except ImportError:
            raise needs("pyarrow", f"lmer: reading {self.description}", "arrow") from None
        # a choice of columns makes Arrow copy them; mapped ones that nobody looks at cost nothing
        which = None if columns is None else [self.names.index(column) for column in columns]
        return pa.ipc.open_file(pa.memory_map(str(self.path / name)), options=pa.ipc.IpcReadOptions(included_fields=which))

    def fingerprint(self):
        facts = os.stat(self.path / "rows.arrow")
        return [(str(self.path), facts.st_size, facts.st_mtime_ns)]

    def known(self, request):
        """A `Scan` of the sample with the levels of all rows; see `Source.known`."""
        with self._opened("sample.arrow") as file:
            sample = file.read_all()
        scan = Scan(request)
        if not sample.num_rows:
            return None
        scan.update(sample)
        if not scan.n:
            return None
        scan.n = scan.n_input = self.n_rows
        for name in scan.reading.level_columns & scan.texts.keys():
            scan.texts[name] = set(self.levels(name))
        for text, node in scan.reading.plan.nodes.items():
            if isinstance(node, Name) and text in scan.used_levels:
                scan.used_levels[text] = {level_text(level) for level in self.levels(node.text, occurring=True)}
        for names in list(scan.groups):
            node = scan.reading.plan.groups[names[0]]
            if len(names) > 1 or not isinstance(node, Name):
                return None
            levels = self.levels(node.text, occurring=True)
            if levels is None:
                return None
            scan.groups[names] = group_of([levels])
        return scan

    # --- what it holds ------------------------------------------------------------------

    def levels(self, column, occurring=False):
        """The levels of a column in order.

        Parameters
        ----------
        column : str
        occurring : bool
            Only those that some row has.

        Returns
        -------
        pandas.Index, or None for columns without levels
        """
        if column not in self._levels:
            if "levels" not in self._facts["columns"][column]:
                return None
            with self._opened(f"levels/{self.names.index(column)}.arrow") as file:
                table = file.read_all()
            values = table["level"]
            kind = self._facts["columns"][column]["kind"]
            level = pd.Index(values.to_pylist(), dtype=object) if kind == "text" else pd.Index(values.to_pandas())
            self._levels[column] = level, table["occurs"].to_numpy()
        every, occurs = self._levels[column]
        return every[occurs] if occurring and not occurs.all() else every

    def facts(self):
        """Per column kind, missing values, mean, standard deviation, extremes and number of levels.

        Returns
        -------
        DataFrame
            One row per column of the store.
        """
        made = pd.DataFrame.from_dict(self._facts["columns"], orient="index")
        wanted = ["kind", "missing", "mean", "sd", "min", "max", "levels"]
        made = made.reindex(columns=wanted)
        return made.astype({"missing": int, "levels": "Int64"}).rename_axis("column")

    def nbytes(self, columns=None):
        """Bytes that a reading of some columns maps, by their types."""
        with self._opened("rows.arrow") as file:
            fields = [file.schema.field(name) for name in (self.names if columns is None else columns)]
        return int(sum(self.n_rows * (4 if hasattr(f.type, "index_type") else f.type.bit_width / 8) for f in fields))

    def __repr__(self):
        size = sum(file.stat().st_size for file in self.path.rglob("*") if file.is_file())
        head = f"Store '{self.path}': {self.n_rows:,} rows" + (f" sorted by {self.by}" if self.by else "") + f", {size / 2**20:,.1f} MB"
        with pd.option_context("display.width", 120, "display.max_columns", 20):
            return f"{head}\n{self.facts().to_string(na_rep='', float_format=lambda v: f'{v:.6g}')}"


def write_levels(folder, number, facts):
    """Write the levels of a column; nothing for columns without."""
    import pyarrow as pa

    levels = facts.levels()
    if levels is None:
        return
    occurring = set(facts.occurring()) if facts.kind == "category" else None
    occurs = np.ones(len(levels), dtype=bool) if occurring is None else np.array([level in occurring for level in levels], dtype=bool)
    table = pa.table({"level": pa.array(levels), "occurs": occurs})
    folder.mkdir(exist_ok=True)
    with pa.ipc.new_file(str(folder / f"{number}.arrow"), table.schema) as file:
        file.write_table(table)
