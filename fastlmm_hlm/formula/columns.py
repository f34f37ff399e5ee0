"""Reading columns out of any data frame, one at a time and only when asked.

pandas, polars, pyarrow and everything else narwhals knows, or a mapping of
column names to vectors.  A column is not copied to be read; who may keep a view
of the user's memory, and what must be held for that, is known here.
"""
import difflib
from collections.abc import Mapping

import numpy as np
import pandas as pd

from fastlmm_hlm.errors import DataError, UnknownColumnError
from fastlmm_hlm.formula.codes import factorize_sorted
from fastlmm_hlm.formula.foreign import arrow_column, foreign_column, is_arrow_table, narwhals_frame, never_changes
from fastlmm_hlm.formula.kinds import as_column

__all__ = ["DataColumns", "factorize_sorted"]

PANDAS_3 = int(pd.__version__.partition(".")[0]) >= 3


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
    lent : list of (ndarray, object or None)
        Arrays that may be the user's own memory, each with what to hold while
        a view of it is kept; None if only a copy is safe from later changes.
    """

    def __init__(self, data):
        self._read, self.lent = {}, []
        if type(data).__module__.startswith("narwhals."):
            data = data.to_native()
        if isinstance(data, Mapping) and any(isinstance(values, Mapping) for values in data.values()):
            data = pd.DataFrame(data)
        if isinstance(data, pd.DataFrame):
            self.index, self._get, self._labels = data.index, data.__getitem__, data.columns.tolist()
        elif isinstance(data, Mapping):
            self.index, self._get, self._labels = pd.RangeIndex(_common_length(data)), lambda name: _vector(name, data[name]), data
        elif is_arrow_table(data):
            self.index, self._labels = pd.RangeIndex(data.num_rows), data.column_names
            self._get = lambda name: data.column(self._places[name])
        else:
            frame = narwhals_frame(data)
            self.index, self._get, self._labels = pd.RangeIndex(len(frame)), frame.__getitem__, frame.columns
        self._foreign, self._safe = not isinstance(data, (pd.DataFrame, Mapping)), never_changes(data)
        self.n, self._labels = len(self.index), list(self._labels)
        self.names = [str(label) for label in self._labels]
        self._places = {name: i for i, name in enumerate(self.names)}

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
            if len(self._places) < len(self.names) and self.names.count(name) > 1:
                raise DataError(f"{role} uses the column '{name}', and the data have {self.names.count(name)} columns of that name; rename them so that each is different.")

    def column(self, name):
        """Return one column, read at the first call."""
        if name not in self._read:
            self.check([name])
            self._read[name] = self._read_column(name, self._get(self._labels[self._places[name]]))
        return self._read[name]

    def integers(self, name):
        """Return the values of a column of 64-bit integers without gaps, or None for any other."""
        column = self.column(name)
        plain = column.kind == "integer" and column.missing is None and column.values.dtype == np.int64
        return column.values if plain else None

    def _read_column(self, name, series):
        if hasattr(series, "combine_chunks"):
            column = arrow_column(name, series)
            self.lend(column.values, series)
            return column
        if self._foreign:
            column = foreign_column(name, series)
            self.lend(column.values, series.to_native() if self._safe else None)
            return column
        column = as_column(name, series)
        if isinstance(series, pd.Series):
            self.lend(column.values, series if copies_on_write() else None)
        elif np.may_share_memory(column.values, series):
            self.lend(column.values, None)
        return column

    def lend(self, values, keeper):
        """Note that an array may be the user's own memory; see `lent`."""
        if isinstance(values, np.ndarray):
            self.lent.append((values, keeper))


def copies_on_write():
    """Tell whether pandas copies shared memory before it is written to, as it always does from 3.0 on."""
    return PANDAS_3 or pd.options.mode.copy_on_write is True


def _common_length(data):
    lengths = {}
    for name, values in data.items():
        if isinstance(values, str) or not hasattr(values, "__len__"):
            raise DataError(f"data column '{name}' is {type(values).__name__} and not a vector; give one value per row.")
        lengths[name] = len(values)
    if len(set(lengths.values())) > 1:
        raise DataError(f"the columns of data have different lengths: {', '.join(f'{k} {v}' for k, v in lengths.items())}; give one value per row in each.")
    return next(iter(lengths.values()), 0)


def _vector(name, values):
    """Return one column of a mapping as a Series, or as an array that may be the user's own."""
    if isinstance(values, pd.Series):
        return values.reset_index(drop=True)
    if isinstance(values, (list, tuple, range)):
        return pd.Series(_flat(name, np.asarray(values)), copy=False)
    values = _flat(name, values)
    return values if isinstance(values, np.ndarray) and values.dtype.kind in "fiub" else pd.Series(values)


def _flat(name, values):
    """Return a vector as it is; refuse a matrix."""
    if getattr(values, "ndim", 1) != 1:
        raise DataError(f"data column '{name}' has shape {values.shape}; give one value per row.")
    return values


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
