"""The table of variances, standard deviations and correlations."""

import math
from dataclasses import replace

import numpy as np

from fastlmm_hlm.errors import ArgumentError
from fastlmm_hlm.report.layout import LINE_WIDTH, string_matrix_text
from fastlmm_hlm.report.rformat import format_numbers, round_r
from fastlmm_hlm.report.sheet.sheet import sheet_of

COMPONENTS = ("Variance", "Std.Dev.")


def correlations(covariance):
    """Correlation matrix with ones on the diagonal, NaN beside a zero standard deviation.

    Parameters
    ----------
    covariance : array_like, shape (c, c)

    Returns
    -------
    ndarray, shape (c, c)
    """
    covariance = np.asarray(covariance, dtype=float)
    sd = np.sqrt(np.diag(covariance))
    with np.errstate(invalid="ignore", divide="ignore"):
        correlation = covariance / np.outer(sd, sd)
    np.fill_diagonal(correlation, 1.0)
    return correlation


def varcorr_columns(terms, sigma, comp=("Std.Dev.",), digits=5):
    """Header and cells of the table, as words.

    Parameters
    ----------
    terms : sequence of (name, columns, covariance (c, c), show_corr)
    sigma : float or None
        Residual standard deviation; None leaves its row out.
    comp : sequence of str
        Any of "Variance" and "Std.Dev."; the order of printing is fixed.
    digits : int

    Returns
    -------
    header : list of str
    columns : list of list of str
        One list per header; Groups, Name, the components, then the lower
        triangles of the correlations.

    Raises
    ------
    ArgumentError
        If `comp` is empty or names something else, or if a covariance matrix
        does not fit its column names.
    """
    comp = (comp,) if isinstance(comp, str) else tuple(comp)
    if not comp or not set(comp) <= set(COMPONENTS):
        raise ArgumentError(
            f"varcorr: comp = {list(comp)!r} was given; 'Variance', 'Std.Dev.' or both were "
            "expected. Name the columns you want to see."
        )
    groups, names, variances, sds, triangles = [], [], [], [], []
    for name, columns, covariance, show_corr in terms:
        covariance = np.asarray(covariance, dtype=float)
        c = len(columns)
        if covariance.shape != (c, c):
            raise ArgumentError(
                f"varcorr: the covariance matrix of {name!r} has shape {covariance.shape}; "
                f"{(c, c)} was expected for its columns {list(columns)!r}. Pass one row and "
                "one column per random effect."
            )
        groups += [name, *[""] * (c - 1)]
        names += list(columns)
        variances += [float(value) for value in np.diag(covariance)]
        sds += [math.sqrt(value) for value in np.diag(covariance)]
        triangles.append(_triangle(covariance, digits) if show_corr else [[]] * c)
    if sigma is not None:
        groups.append("Residual")
        names.append("")
        variances.append(float(sigma) ** 2)
        sds.append(float(sigma))
        triangles.append([[]])
    header = ["Groups", "Name"]
    cells = [groups, names]
    for label, values in zip(COMPONENTS, (variances, sds), strict=True):
        if label in comp:
            header.append(label)
            cells.append(format_numbers(values, digits))
    rows = [row for triangle in triangles for row in triangle]
    widest = max(map(len, rows), default=0)
    header += ["Corr"] * (widest > 0) + [""] * (widest - 1)
    cells += [[row[j] if j < len(row) else "" for row in rows] for j in range(widest)]
    return header, cells


def varcorr_sheet(terms, sigma, comp=COMPONENTS, digits=5, title=None, notes=()):
    """The table as a sheet; parameters as for `varcorr_columns`."""
    header, cells = varcorr_columns(terms, sigma, comp, digits)
    align = ["l" if name == "Name" else "r" for name in header[1:]]
    made = sheet_of(cells[1:], header[1:], cells[0], align, title, notes)
    return replace(made, header=[header])


def _triangle(covariance, digits):
    """Rows of the strict lower triangle of the correlations, as words.

    The ones of the diagonal take part in the common format, as in lme4.
    """
    c = len(covariance)
    decimals = max(2, digits - 2)
    rounded = [round_r(value, decimals) for value in correlations(covariance).ravel()]
    words = format_numbers(rounded, nsmall=decimals, nan="NaN")
    return [words[i * c : i * c + i] for i in range(c)]


def varcorr_text(terms, sigma, comp=("Std.Dev.",), digits=5, width=LINE_WIDTH):
    """Variance components as lme4 prints them.

    Parameters
    ----------
    terms : sequence of (name, columns, covariance (c, c), show_corr)
    sigma : float or None
    comp : sequence of str
    digits : int
    width : int

    Returns
    -------
    str
        Lines ending in a newline.

    Raises
    ------
    ArgumentError
        As `varcorr_columns`.
    """
    header, cells = varcorr_columns(terms, sigma, comp, digits)
    return string_matrix_text([""] * len(cells[0]), header, cells, right=False, width=width)
