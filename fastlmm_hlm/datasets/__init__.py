"""Small data sets for examples and tests, as data frames.

`available` lists the names, `load` reads one.  SOURCES.md beside this file says
where each comes from.
"""

import json
import pathlib

import pandas as pd

from fastlmm_hlm.errors import UnknownNameError

__all__ = ["available", "load"]

FOLDER = pathlib.Path(__file__).parent
NUMBER_TYPES = {"integer": "Int64", "number": "float64"}


def available():
    """Names of the data sets that `load` can read.

    Returns
    -------
    list of str
        In alphabetical order, capitals and small letters alike.
    """
    return sorted(_types(FOLDER), key=str.lower)


def load(name):
    """Read one data set.

    Parameters
    ----------
    name : str
        One of `available`, in capitals or small letters as you like.

    Returns
    -------
    pandas.DataFrame
        Factors are Categorical, with the levels in R's order; whole numbers
        are int64, other numbers float64.

    Raises
    ------
    UnknownNameError
        If there is no data set of that name.

    Examples
    --------
    >>> load("sleepstudy").shape
    (180, 3)
    """
    names = {known.lower(): known for known in available()}
    if str(name).lower() not in names:
        raise UnknownNameError(
            f"load: there is no data set '{name}'. The data sets are {', '.join(available())}; "
            "choose one of these, or read your own file with pandas.read_csv."
        )
    return read(FOLDER, names[str(name).lower()])


def read(folder, name):
    """Read NAME.csv or NAME.csv.gz with the column types that types.json gives.

    Parameters
    ----------
    folder : pathlib.Path
        A folder that export.R has written.
    name : str
        A data set there, spelled exactly.

    Returns
    -------
    pandas.DataFrame

    Raises
    ------
    FileNotFoundError
        If the folder has no file of that name.
    """
    path = folder / f"{name}.csv"
    if not path.exists():
        path = folder / f"{name}.csv.gz"
    types = _types(folder)[name]
    text_or_number = {column: NUMBER_TYPES.get(kind["type"], "str") for column, kind in types.items()}
    frame = pd.read_csv(path, dtype=text_or_number, na_values=["NA"], keep_default_na=False)
    return frame.assign(**{column: _restored(frame[column], kind) for column, kind in types.items()})


def _restored(column, kind):
    """One column with the type it had in R."""
    if kind["type"] == "factor":
        return pd.Categorical(column, categories=kind["levels"], ordered=kind["ordered"])
    if kind["type"] == "integer" and not column.isna().any():
        return column.astype("int64")
    if kind["type"] == "integer":
        return column.astype("float64")
    return column


def _types(folder):
    return json.loads((folder / "types.json").read_text())
