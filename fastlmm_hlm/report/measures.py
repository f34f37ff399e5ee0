"""Small tables of measures in the layout of R's easystats packages."""

import math

import pandas as pd

from fastlmm_hlm.report.html import table_html


def three_decimals(value):
    """A number with three decimals; tiny and missing ones as words."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return f"{value:.3f}"


def weight_text(value):
    """An Akaike weight: three decimals without the zero, "<.001" or ">.999" at the ends."""
    if value < 0.001:
        return "<.001"
    return ">.999" if value > 0.999 else f"{value:.3f}".lstrip("0")


def aligned_pairs(rows):
    """Lines "  label: value" with the labels right-justified.

    >>> print(aligned_pairs({"Adjusted ICC": 0.5, "Unadjusted ICC": 0.25}))
        Adjusted ICC: 0.500
      Unadjusted ICC: 0.250
    """
    width = max(map(len, rows)) + 2
    return "\n".join(f"{label:>{width}}: {three_decimals(value)}" for label, value in rows.items())


def measure_words(frame, titles=None):
    """Heads and columns of a table of measures as words.

    A column named like another with "_wt" behind is written into it in
    parentheses, as "AIC (weights)".

    Parameters
    ----------
    frame : DataFrame
    titles : mapping of str to str, optional
        Columns with another heading.

    Returns
    -------
    heads : list of str
    columns : list of list of str
    """
    titles = titles or {}
    heads, columns = [], []
    for name in frame.columns:
        if name.endswith("_wt") and name[:-3] in frame:
            continue
        column = frame[name]
        if pd.api.types.is_numeric_dtype(column):
            weights = frame.get(f"{name}_wt")
            words = [three_decimals(v) if weights is None else f"{v:.1f}" for v in column]
            if weights is not None:
                words = [f"{word} ({weight_text(w)})" for word, w in zip(words, weights)]
                name = f"{name} (weights)"
        else:
            words = [str(v) for v in column]
        heads.append(titles.get(name, name))
        columns.append(words)
    return heads, columns


def measures_html(frame, heading, titles=None):
    """The same table as HTML."""
    heads, columns = measure_words(frame, titles)
    return table_html(heads[1:], list(zip(*columns[1:])), heading.lstrip("# "), columns[0])


def pairs_html(rows, heading):
    """What `aligned_pairs` writes, as HTML."""
    return table_html(["Value"], [[three_decimals(value)] for value in rows.values()], heading, list(rows))


def piped_table(frame, titles=None):
    """A data frame with bars between its columns; arguments as for `measure_words`."""
    heads, columns = measure_words(frame, titles)
    widths = [max(map(len, [head, *words])) for head, words in zip(heads, columns)]
    lines = []
    for cells in [heads, *zip(*columns)]:
        padded = [cells[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(cells[1:], widths[1:]))]
        lines.append(" | ".join(padded).rstrip())
    lines.insert(1, "-" * (sum(widths) + 3 * (len(widths) - 1)))
    return "\n".join(lines)
