"""Data files as tables."""

import pandas as pd

from fastlmm_hlm.errors import ArgumentError, DataError
from fastlmm_hlm.formula.bars import group_components
from fastlmm_hlm.formula.syntax import column_names

DELIMITERS = {".csv": ",", ".csv.gz": ",", ".tsv": "\t", ".tsv.gz": "\t"}
MISSING = ["", "NA"]
# Whole numbers that survive being read as numbers and written again: no leading zeros, at most 18 digits.
PLAIN_INTEGER = r"-?(?:0|[1-9][0-9]{0,17})"


def id_columns(formula):
    """Columns that the formula uses for grouping only.

    Parameters
    ----------
    formula : Formula

    Returns
    -------
    set of str
    """
    groups = {name for bar in formula.bars for part in group_components(bar.group) for name in column_names(part)}
    others = {name for node in (formula.response_node, formula.fixed_node, *(bar.lhs for bar in formula.bars))
              if node is not None for name in column_names(node)}
    return groups - others


def read_table(path, ids=()):
    """Read a data file; empty fields and NA are missing.

    Parameters
    ----------
    path : str
    ids : collection of str
        Columns read as text first, so that "007" stays "007" and a number too
        long for a computer keeps its digits; they become integers if nothing
        is lost by that.

    Returns
    -------
    pandas.DataFrame or pyarrow.Table

    Raises
    ------
    ArgumentError
        For an ending that is not known, or Parquet without pyarrow.
    DataError
        If the file cannot be read as a table.
    OSError
        If it cannot be opened.
    """
    lower = str(path).lower()
    if lower.endswith((".parquet", ".pq")):
        return _read_parquet(path)
    delimiter = next((d for ending, d in DELIMITERS.items() if lower.endswith(ending)), None)
    if delimiter is None:
        raise ArgumentError(f"{path}: the ending is not known; expected {', '.join(DELIMITERS)} or .parquet.")
    try:
        table = pd.read_csv(path, sep=delimiter, na_values=MISSING, keep_default_na=False, low_memory=False,
                            dtype={name: "str" for name in ids})
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: this is not a table that can be read ({error}).") from error
    for name in set(ids) & set(table.columns):
        known = table[name].dropna()
        if len(known) and known.str.fullmatch(PLAIN_INTEGER).all():
            table[name] = table[name].astype("Int64")
    return table


def _read_parquet(path):
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise ArgumentError(
            f'{path}: reading Parquet needs pyarrow, which is not installed; run: pip install "fastlmm_hlm[arrow]"'
        ) from error
    try:
        return pq.read_table(path)
    except pa.ArrowInvalid as error:
        raise DataError(f"{path}: this is not a Parquet file that can be read ({error}).") from error
