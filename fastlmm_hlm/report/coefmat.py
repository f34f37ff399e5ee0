"""Tables of coefficients and of tests, laid out as R's ``printCoefmat``.

Estimates and standard errors are written together with enough decimals for
the smallest, test statistics are rounded, p-values end in stars.  The rules
follow R's help pages ?printCoefmat and ?anova and what R prints.
"""

import math

import numpy as np

from fastlmm_hlm.errors import ArgumentError
from fastlmm_hlm.report.layout import LINE_WIDTH, string_matrix_text
from fastlmm_hlm.report.rformat import (
    DOUBLE_EPS,
    format_numbers,
    format_pvalues,
    round_r,
    zapsmall,
)

STARS = ((0.001, "***"), (0.01, "**"), (0.05, "*"), (0.1, "."), (1.0, " "))
LEGEND = (
    "---\nSignif. codes:  0 \u2018***\u2019 0.001 \u2018**\u2019 0.01 \u2018*\u2019 0.05 "
    "\u2018.\u2019 0.1 \u2018 \u2019 1\n"
)


def significance_star(p):
    """R's star for one p-value, "" when it is missing."""
    return next((star for limit, star in STARS if p <= limit), "")


def names_a_pvalue(column):
    """True if a column name reads like a p-value: "Pr(>|t|)", "p-value"."""
    return column.startswith(("Pr(", "p-v"))


def printcoefmat(
    df,
    digits=5,
    *,
    signif_stars=True,
    signif_legend=None,
    dig_tst=None,
    cs_ind=None,
    tst_ind=None,
    zap_ind=(),
    has_pvalue=None,
    eps_pvalue=DOUBLE_EPS,
    na_print="NA",
    width=LINE_WIDTH,
):
    """A table of coefficients as R's ``printCoefmat`` prints it.

    Parameters
    ----------
    df : DataFrame, shape (n, p)
        Numbers; the index holds the row names.
    digits : int
        Significant digits.
    signif_stars, signif_legend : bool
        Add stars when a p-value is below 0.1, and their legend below.
    dig_tst : int, optional
        Decimals of test statistics and digits of p-values;
        default ``max(1, min(5, digits - 1))``.
    cs_ind, tst_ind : sequence of int, optional
        Columns written together as coefficients and standard errors, and
        columns of test statistics.  By default the last column before the
        p-values is the test statistic and all earlier ones belong together.
    zap_ind : sequence of int
        Columns in which numbers tiny beside the largest become zero.
    has_pvalue : bool, optional
        Whether the last column holds p-values; by default its name decides,
        in a table of four columns or more.
    eps_pvalue : float
        Smaller p-values are written as "<".
    na_print : str
        How a missing number is written.
    width : int
        Width of a line.

    Returns
    -------
    str
        Lines ending in a newline.

    Raises
    ------
    ArgumentError
        If the table has no columns.
    """
    names, columns, starred = coefmat_columns(
        df,
        digits,
        signif_stars=signif_stars,
        dig_tst=dig_tst,
        cs_ind=cs_ind,
        tst_ind=tst_ind,
        zap_ind=zap_ind,
        has_pvalue=has_pvalue,
        eps_pvalue=eps_pvalue,
        na_print=na_print,
    )
    text = string_matrix_text([str(i) for i in df.index], names, columns, width=width)
    show_legend = starred if signif_legend is None else starred and signif_legend
    return text + (LEGEND if show_legend else "")


def coefmat_columns(
    df,
    digits=5,
    *,
    signif_stars=True,
    dig_tst=None,
    cs_ind=None,
    tst_ind=None,
    zap_ind=(),
    has_pvalue=None,
    eps_pvalue=DOUBLE_EPS,
    na_print="NA",
):
    """The words of a coefficient table; parameters as in `printcoefmat`.

    Returns
    -------
    names : list of str, length p or p + 1
        Column names; "" heads the stars.
    columns : list of list of str, each of length n
    starred : bool
        Whether a column of stars was added.

    Raises
    ------
    ArgumentError
        If the table has no columns.
    """
    names = [str(name) for name in df.columns]
    p = len(names)
    if p == 0:
        raise ArgumentError(
            "printcoefmat: the table has no columns; at least one column of numbers was expected. "
            "Pass the coefficient table of a model."
        )
    if has_pvalue is None:
        has_pvalue = p >= 4 and names_a_pvalue(names[-1])
    numbers = p - bool(has_pvalue)
    if cs_ind is None:
        cs_ind = range(numbers - (1 if tst_ind is None else len(tst_ind)))
    cs_ind = list(cs_ind)
    if tst_ind is None:
        tst_ind = [len(cs_ind)] if len(cs_ind) < numbers else []
    if dig_tst is None:
        dig_tst = max(1, min(5, digits - 1))

    x = np.column_stack(
        [df.iloc[:, j].to_numpy(dtype=float, na_value=np.nan) for j in range(p)]
    )
    for j in zap_ind:
        x[:, j] = zapsmall(x[:, j], digits)
    words = np.full(x.shape, "", dtype=object)
    _write_coefficients(words, x, cs_ind, digits)
    _write_together(words, x, list(tst_ind), digits, dig_tst)
    for j in range(numbers):
        if j not in cs_ind and j not in tst_ind:
            words[:, j] = format_numbers(x[:, j], digits)
    _rewrite_false_zeros(words, x, [j for j in range(numbers) if j not in tst_ind], digits)
    words[np.isnan(x)] = na_print

    columns = [list(words[:, j]) for j in range(p)]
    starred = False
    if has_pvalue:
        pvalues = x[:, -1]
        known = ~np.isnan(pvalues)
        columns[-1] = format_pvalues(pvalues, dig_tst, eps_pvalue, nan=na_print)
        starred = bool(signif_stars and np.any(pvalues[known] < 0.1))
        if starred:
            stars = [significance_star(value) for value in pvalues]
            longest = max(map(len, stars))
            columns.append([star.ljust(longest) for star in stars])
            names = [*names, ""]
    return names, columns, starred


def _write_coefficients(words, x, columns, digits):
    """Estimates and standard errors: one format, decimals for the smallest."""
    if not columns:
        return
    block = x[:, columns]
    sizes = np.abs(block[np.isfinite(block) & (block != 0)])
    smallest = 1 + math.floor(math.log10(sizes.min())) if sizes.size else 0
    decimals = max(1, digits - smallest)
    _write_together(words, x, columns, digits, decimals)


def _write_together(words, x, columns, digits, decimals):
    """Columns rounded and written in one common format."""
    block = x[:, columns]
    rounded = [round_r(value, decimals) for value in block.ravel()]
    words[:, columns] = np.reshape(
        np.array(format_numbers(rounded, digits), dtype=object), block.shape
    )


def _rewrite_false_zeros(words, x, columns, digits):
    """Numbers that are not zero but were written as zero get their own format."""
    spots = [
        (i, j)
        for j in columns
        for i in range(x.shape[0])
        if not math.isnan(x[i, j]) and (x[i, j] == 0) != (float(words[i, j]) == 0)
    ]
    again = format_numbers([x[spot] for spot in spots], max(1, digits - 1))
    for spot, word in zip(spots, again, strict=True):
        words[spot] = word


def anova_text(df, heading=(), digits=5, signif_stars=True, width=LINE_WIDTH):
    """An analysis-of-variance table with its heading, as R prints it.

    The column names decide: "F value", "Chisq", "F" and the like are test
    statistics, names ending in "Df" are counts, a last column "Pr(...)" holds
    p-values.  Missing entries stay blank.

    Parameters
    ----------
    df : DataFrame, shape (n, p)
    heading : sequence of str
        Lines above the table, see `comparison_heading`.
    digits : int
    signif_stars : bool
    width : int

    Returns
    -------
    str
        Lines ending in a newline.

    Raises
    ------
    ArgumentError
        If the table has no columns.
    """
    table = printcoefmat(df, digits, signif_stars=signif_stars, width=width, **anova_roles(df))
    return "".join(f"{line}\n" for line in heading) + table


def anova_roles(df):
    """What the columns of an analysis of variance are, as arguments of `printcoefmat` and `coefmat_columns`."""
    names = [str(name) for name in df.columns]
    has_pvalue = bool(names) and names[-1].startswith("Pr(")
    statistics = [j for j, name in enumerate(names) if name[1:7] == " value" or name in ("F", "Cp", "Chisq")]
    zapped = [
        j
        for j, name in enumerate(names[: len(names) - has_pvalue])
        if j not in statistics and not name.endswith("Df")
    ]
    return {"has_pvalue": has_pvalue, "cs_ind": (), "tst_ind": statistics, "zap_ind": zapped, "na_print": ""}


def comparison_heading(formulas, data=None, subset=None):
    """Lines above the likelihood ratio table of several models.

    Parameters
    ----------
    formulas : mapping
        Formula text of each model by its name, in the order of the table.
    data, subset : str, optional
        What the models were fitted to.

    Returns
    -------
    list of str
    """
    lines = [f"Data: {data}"] if data else []
    lines += [f"Subset: {subset}"] if subset else []
    return [*lines, "Models:", *(f"{name}: {text}" for name, text in formulas.items())]
