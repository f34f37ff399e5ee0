"""Data frames and random effects, printed as R prints them."""

import numpy as np
import pandas as pd

from fastlmm_hlm.report.layout import (
    LINE_WIDTH,
    display_width,
    pad_right,
    string_matrix_text,
)
from fastlmm_hlm.report.rformat import format_numbers


def ranef_text(tables, condvar=True):
    """Random effects by grouping factor, as lme4 prints them.

    Parameters
    ----------
    tables : mapping of str to DataFrame
        One row per level, one column per term.
    condvar : bool
        Whether conditional variances come with them; this is said below.

    Returns
    -------
    str
        Lines ending in a newline.
    """
    text = "".join(f"${name}\n{matrix_text(table)}\n" for name, table in tables.items())
    if condvar:
        text += "with conditional variances for " + quoted_list(tables) + " \n"
    return text


def quoted_list(names):
    """Names in R's double quotes, separated by spaces."""
    return " ".join(f"\u201c{name}\u201d" for name in names)


def matrix_text(df, digits=7, width=LINE_WIDTH):
    """A data frame or a matrix with names, as R prints it.

    Each column is written on its own; words are right-justified.

    Parameters
    ----------
    df : DataFrame, shape (n, p)
    digits : int
    width : int

    Returns
    -------
    str
        Lines ending in a newline.
    """
    names = [str(name) for name in df.columns]
    if len(df) == 0:
        longest = max(map(display_width, names), default=0)
        shown = " ".join(pad_right(name, longest) for name in names)
        return f"[1] {shown}\n<0 rows> (or 0-length row.names)\n"
    columns = [column_words(df.iloc[:, j], digits) for j in range(len(names))]
    return string_matrix_text([str(i) for i in df.index], names, columns, width=width)


def column_words(column, digits=7):
    """One column of a data frame in words, in R's number format.

    Parameters
    ----------
    column : Series, shape (n,)
    digits : int

    Returns
    -------
    list of str, length n
        A missing number is "NA", a missing word "<NA>".
    """
    if pd.api.types.is_bool_dtype(column.dtype) or pd.api.types.is_integer_dtype(column.dtype):
        known = format_numbers(column.dropna().to_numpy(), digits)
        words = iter(known)
        return ["NA" if missing else next(words) for missing in column.isna()]
    if pd.api.types.is_numeric_dtype(column.dtype):
        return format_numbers(column.to_numpy(dtype=float, na_value=np.nan), digits)
    return ["<NA>" if missing else str(v) for v, missing in zip(column, column.isna(), strict=True)]
