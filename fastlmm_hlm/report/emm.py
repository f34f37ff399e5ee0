"""Tables of estimates in the layout of R's package emmeans, one group after another."""

import math

import numpy as np
import pandas as pd

from fastlmm_hlm.report.layout import pad_left, pad_right, string_matrix_text
from fastlmm_hlm.report.rformat import format_numbers, round_r
from fastlmm_hlm.report.sheet.html import sheet_html
from fastlmm_hlm.report.sheet.sheet import sheet_of

LEAST_DIGITS, MOST_DIGITS = 3, 7
# An interval narrower than this share of its estimate is rounding.
NO_ERROR = 1e-11
RATIOS = ("t.ratio", "z.ratio", "F.ratio")


class EmmTable(pd.DataFrame):
    """A data frame of estimates that prints as R's emmeans does.

    Whatever is made of it (rows, columns, copies) is an ordinary data frame.

    Attributes
    ----------
    layout : dict
        ``labels``: columns that name the rows; ``by``: columns that make separate tables;
        ``estimate``: the column of estimates, or None; ``heads``: lines above;
        ``notes``: lines below.
    """

    _metadata = ["layout"]

    @property
    def _constructor(self):
        return pd.DataFrame

    @classmethod
    def of(cls, frame, **layout):
        """Make a table; keyword arguments are the entries of `layout`."""
        table = cls(frame)
        object.__setattr__(table, "layout", {"labels": [], "by": [], "estimate": None, "heads": [], "notes": [], **layout})
        return table

    def __reduce__(self):
        return _table_again, (pd.DataFrame(self), self.layout)

    def __str__(self):
        return table_text(self, **self.layout)

    __repr__ = __str__

    def _repr_html_(self):
        return table_markup(self, **self.layout)


def _table_again(frame, layout):
    return EmmTable.of(frame, **layout)


def significant_digits(estimates, errors):
    """Digits that tell estimates from the ends of their intervals, 3 to 7.

    One digit more for each factor of ten by which an estimate is larger than four of its
    standard errors, from 400 on.

    Parameters
    ----------
    estimates, errors : ndarray, shape (k,)
    """
    low, high = estimates - 2.0 * errors, estimates + 2.0 * errors
    digits = LEAST_DIGITS
    for a, b in zip(low, high, strict=True):
        if math.isfinite(a) and math.isfinite(b) and a * b > 0 and a != b:
            gap = 1.0 - min(abs(a), abs(b)) / max(abs(a), abs(b))
            digits = max(digits, math.ceil(1.01 - math.log10(gap)) if gap > NO_ERROR else digits)
    return min(digits, MOST_DIGITS)


def words_of(frame, labels, estimate):
    """Each column in words, and whether it stands on the left.

    Parameters
    ----------
    frame : DataFrame
    labels : list of str
    estimate : str or None

    Returns
    -------
    dict of str to (list of str, bool)
    """
    digits = MOST_DIGITS
    if estimate is not None:
        digits = significant_digits(*(frame[c].to_numpy(dtype=float) for c in (estimate, "SE")))
    return {name: _column(frame[name], name, name in labels, name == estimate, digits) for name in frame.columns}


def _column(column, name, is_label, is_estimate, digits):
    if is_label:
        return label_words(column)
    if not pd.api.types.is_numeric_dtype(column.dtype):
        return [str(value).center(len(name)) for value in column], False
    values = column.to_numpy(dtype=float)
    if name == "p.value":
        return [_pvalue(p) for p in values], False
    if name in RATIOS:
        words = ["NA" if math.isnan(v) else f"{round_r(v, 3):.3f}" if math.isfinite(v) else str(v) for v in values]
        return _common_width(words), False
    if name in ("df", "df1", "df2"):
        values = np.array([round_r(value, 2) for value in values])
    words = iter(format_numbers(values[~np.isnan(values)], digits))
    missing = "nonEst" if is_estimate else "NA"
    return _common_width([missing if math.isnan(value) else next(words) for value in values]), False


def label_words(column):
    """Levels in words: numbers and logical values of one width, text as it is; and whether they stand left."""
    values = list(column)
    if all(isinstance(value, (bool, np.bool_)) for value in values):
        return _common_width(["TRUE" if value else "FALSE" for value in values]), True
    if values and all(isinstance(value, (int, float, np.integer, np.floating)) for value in values):
        return format_numbers(np.asarray(values, dtype=float), MOST_DIGITS if _whole(values) else LEAST_DIGITS), False
    return ["" if value is None else str(value) for value in values], True


def _whole(values):
    return all(float(value).is_integer() for value in values)


def _pvalue(p):
    if math.isnan(p):
        return "NA"
    shown = round_r(p, 4)
    return f"{shown:.4f}" if shown > 0 else "<.0001"


def _common_width(words):
    width = max(map(len, words), default=0)
    return [word.rjust(width) for word in words]


def table_text(frame, labels=(), by=(), estimate=None, heads=(), notes=()):
    """The table as text, lines ending in a newline.

    Parameters
    ----------
    frame : DataFrame
    labels, by : list of str
    estimate : str or None
    heads, notes : list of str
    """
    words = words_of(frame, [*labels, *by], estimate)
    shown = [name for name in frame.columns if name not in by]
    out = ["".join(f"{line}\n" for line in heads)]
    for head, rows in _groups(frame, by, words):
        names, columns = [], []
        for name in shown:
            own, left = words[name]
            width = max([len(name), *(len(own[i]) for i in range(len(own)))])
            pad = pad_right if left else pad_left
            names.append(pad(name, width))
            columns.append([pad(own[i], width) for i in rows])
        text = string_matrix_text([""] * len(rows), names, columns)
        out.append((f"{head}:\n" if head else "") + text + "\n")
    out.append("".join(f"{line}\n" for line in notes))
    return "".join(out)


def _groups(frame, by, words):
    """Head and row numbers of each group, in the order of their first rows."""
    if not by:
        return [("", list(range(len(frame))))]
    groups = {}
    for i in range(len(frame)):
        groups.setdefault(", ".join(f"{name} = {words[name][0][i]}" for name in by), []).append(i)
    return list(groups.items())


def table_markup(frame, labels=(), by=(), estimate=None, heads=(), notes=()):
    """The table as HTML: one table per group, notes as paragraphs."""
    from html import escape

    words = words_of(frame, [*labels, *by], estimate)
    shown = [name for name in frame.columns if name not in by]
    pieces = [f"<p>{escape(line)}</p>" for line in heads]
    for head, rows in _groups(frame, by, words):
        columns = [[words[name][0][i] for i in rows] for name in shown]
        align = ["l" if words[name][1] else "r" for name in shown]
        pieces.append(sheet_html(sheet_of(columns, shown, None, align, head or None)))
    pieces += [f"<p>{escape(line)}</p>" for line in notes]
    return "<div>\n" + "\n".join(pieces) + "\n</div>\n"
