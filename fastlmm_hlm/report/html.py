"""The same tables as plain HTML, for notebooks: no scripts, no style sheets."""

from html import escape

import numpy as np
import pandas as pd

from fastlmm_hlm.report.coefmat import coefmat_columns, names_a_pvalue, significance_star
from fastlmm_hlm.report.frames import column_words
from fastlmm_hlm.report.parts import MOST_CORRELATIONS
from fastlmm_hlm.report.rformat import (
    cat_number,
    format_numbers,
    format_pvalues,
    round_r,
    zapsmall,
)
from fastlmm_hlm.report.sheet.html import sheet_html
from fastlmm_hlm.report.sheet.sheet import sheet_of
from fastlmm_hlm.report.tables import DIGITS, QUANTILES
from fastlmm_hlm.report.varcorr import varcorr_sheet
# A table of levels longer than this is cut in its middle.
MOST_LEVELS = 20


def table_html(header, rows, caption=None, row_names=None, notes=()):
    """One HTML table of words, everything escaped.

    Parameters
    ----------
    header : sequence of str, length p
    rows : sequence of sequences of str, each of length p
    caption : str, optional
        One or more lines.
    row_names : sequence of str, optional
        A first column of row headings.
    notes : sequence of str
        Lines below.

    Returns
    -------
    str
    """
    columns = [[row[j] for row in rows] for j in range(len(header))]
    names = [""] * len(rows) if row_names is None else row_names
    return sheet_html(sheet_of(columns, header, names, "r", caption, notes))


def frame_html(df, caption=None, digits=DIGITS):
    """A data frame as an HTML table, each column in R's number format.

    Parameters
    ----------
    df : DataFrame, shape (n, p)
    caption : str, optional
    digits : int
        Significant digits.

    Returns
    -------
    str
        Missing entries are empty; a last column of p-values gets stars.
    """
    header = [str(name) for name in df.columns]
    columns = [
        [
            "" if gone else word
            for word, gone in zip(column_words(column, digits), column.isna(), strict=True)
        ]
        for column in (df.iloc[:, j] for j in range(len(header)))
    ]
    if header and names_a_pvalue(header[-1]):
        pvalues = df.iloc[:, -1].to_numpy(dtype=float, na_value=np.nan)
        columns[-1] = format_pvalues(pvalues, digits - 1, nan="")
        header.append("")
        columns.append([significance_star(p) for p in pvalues])
    return table_html(header, _rows(columns), caption, [str(label) for label in df.index])


def levels_html(df, name, notes=(), digits=DIGITS):
    """A table with a row per level of a grouping factor; of many levels the first and the last.

    Parameters
    ----------
    df : DataFrame, shape (levels, columns)
    name : str
        Of the factor; the number of levels is said with it.
    notes : sequence of str
    digits : int

    Returns
    -------
    str
    """
    count = len(df)
    shown = df if count <= MOST_LEVELS else pd.concat([df.iloc[:MOST_LEVELS // 2], df.iloc[-MOST_LEVELS // 2:]])
    columns = [column_words(shown.iloc[:, j], digits) for j in range(shown.shape[1])]
    names = [str(label) for label in shown.index]
    if len(shown) < count:
        for words in (names, *columns):
            words.insert(MOST_LEVELS // 2, "\u2026")
        notes = [f"{len(shown)} of {count} levels shown", *notes]
    caption = f"{name} ({count} level{'s'[: count != 1]})"
    return table_html([str(column) for column in df.columns], _rows(columns), caption, names, notes)


def coefficients_html(df, caption=None, digits=DIGITS):
    """A coefficient table as HTML, with the numbers of the printed summary.

    Parameters
    ----------
    df : DataFrame, shape (n, p)
    caption : str, optional
    digits : int

    Returns
    -------
    str
    """
    header, columns, _ = coefmat_columns(df, digits)
    return table_html(header, _rows(columns), caption, [str(label) for label in df.index])


def _rows(columns):
    return [list(row) for row in zip(*columns, strict=True)]


def varcorr_html(terms, sigma, comp=("Variance", "Std.Dev."), digits=DIGITS, caption=None):
    """Variance components as an HTML table.

    Parameters
    ----------
    terms : sequence of (name, columns, covariance (c, c), show_corr)
    sigma : float or None
    comp : sequence of str
    digits : int
    caption : str, optional

    Returns
    -------
    str

    Raises
    ------
    ArgumentError
        As `varcorr_columns`.
    """
    return sheet_html(varcorr_sheet(terms, sigma, comp, digits, caption))


def summary_html(parts, digits=DIGITS):
    """The summary of a fit as HTML: a few lines and three or four tables.

    Parameters
    ----------
    parts : SummaryParts
    digits : int

    Returns
    -------
    str
        One ``<div>``.
    """
    pieces = [f"<p><b>{escape(parts.summary_title())}</b> [{escape(parts.class_name)}]</p>"]
    call = (
        ("Formula", parts.formula),
        ("Family", None if parts.family is None else f"{parts.family} ({parts.link})"),
        ("Data", parts.data),
        ("Weights", parts.weights),
        ("Offset", parts.offset),
        ("Control", parts.control),
        ("Subset", parts.subset),
    )
    lines = [
        f"{label}: <code>{escape(text)}</code>" for label, text in call if text is not None
    ]
    pieces.append("<p>" + "<br>\n".join(lines) + "</p>")
    pieces.append(_criterion_html(parts.criterion, parts.given))
    if parts.residual_quantiles is not None:
        words = format_numbers(zapsmall(parts.residual_quantiles, digits + 1), digits)
        pieces.append(table_html(QUANTILES, [words], "Scaled residuals"))
    pieces.append(varcorr_html(parts.varcorr, parts.sigma, digits=digits, caption="Random effects"))
    groups = "; ".join(f"{name}, {int(count)}" for name, count in parts.ngroups.items())
    rows = f"Number of obs: {int(parts.nobs)}, groups: {groups}"
    if parts.left_out is not None:
        rows += f" ({parts.left_out})"
    pieces.append(f"<p>{escape(rows)}</p>")
    if len(parts.coefficients):
        pieces.append(coefficients_html(parts.coefficients, "Fixed effects", digits))
    pieces.append(_correlation_html(parts))
    notes = [*parts.fit_warnings, *parts.all_messages(), *parts.optimizer_warnings]
    if parts.convergence_code:
        notes.append(f"{parts.optimizer}: {parts.convergence_message}")
    pieces += [f"<p>{escape(note)}</p>" for note in notes]
    return "<div>\n" + "\n".join(piece for piece in pieces if piece) + "\n</div>\n"


def _criterion_html(criterion, given=False):
    if list(criterion) == ["REML"]:
        where = " at the given parameters" if given else ""
        return f"<p>REML criterion{where}: {cat_number(round_r(criterion['REML'], 1))}</p>"
    words = [cat_number(round_r(value, 1)) for value in criterion.values()]
    return table_html(list(criterion), [words])


def _correlation_html(parts):
    p = len(parts.coefficients)
    if parts.correlation is None or p < 2 or parts.show_correlation is False:
        return ""
    if p > MOST_CORRELATIONS and parts.show_correlation is None:
        return (
            f"<p>Correlation of {p} fixed effects not shown; use "
            f"<code>{escape(parts.correlation_hint[0])}</code>.</p>"
        )
    names = [str(name) for name in parts.coefficients.index]
    correlation = np.asarray(parts.correlation, dtype=float)
    rows = [
        [f"{correlation[i, j]:.3f}" if j < i else "" for j in range(p - 1)] for i in range(1, p)
    ]
    return table_html(names[:-1], rows, "Correlation of fixed effects", names[1:])
