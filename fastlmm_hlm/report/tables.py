"""A fit in words: what ``print(fit)`` and ``print(summary(fit))`` show.

The layout is lme4's, and lmerTest's when the coefficient table carries
degrees of freedom and p-values.  One line is ours: how many rows were left
out, and why.
"""

import numpy as np

from fastlmm_hlm.report.abbreviate import abbreviate
from fastlmm_hlm.report.coefmat import printcoefmat
from fastlmm_hlm.report.deparse import deparse_lines
from fastlmm_hlm.report.layout import (
    LINE_WIDTH,
    fill_text,
    named_vector_text,
    string_matrix_text,
    wrap_words,
)
from fastlmm_hlm.report.parts import MOST_CORRELATIONS
from fastlmm_hlm.report.rformat import cat_number, format_numbers, round_r, zapsmall
from fastlmm_hlm.report.varcorr import varcorr_text

DIGITS = 4
QUANTILES = ("Min", "1Q", "Median", "3Q", "Max")
ROW_NAME_LENGTH, COLUMN_NAME_LENGTH = 11, 6


def fit_text(parts, digits=DIGITS):
    """A fit as lme4's ``print(fit)`` shows it.

    Parameters
    ----------
    parts : SummaryParts
    digits : int

    Returns
    -------
    str
        Lines ending in a newline.
    """
    estimates = parts.coefficients.iloc[:, 0]
    if len(estimates):
        words = format_numbers(np.asarray(estimates, dtype=float), digits)
        names = [str(name) for name in estimates.index]
        fixed = "Fixed Effects:\n" + named_vector_text(names, words, gap=2)
    else:
        fixed = "No fixed effect coefficients\n"
    return "".join(
        (
            title_text(parts, parts.title),
            call_text(parts),
            criterion_text(parts.criterion, 4, parts.given),
            "Random effects:\n",
            varcorr_text(parts.varcorr, parts.sigma, ("Std.Dev.",), digits),
            rows_text(parts),
            fixed,
            fit_warnings_text(parts),
            _convergence_counts(parts),
        )
    )


def summary_text(parts, digits=DIGITS, ranef_comp=("Variance", "Std.Dev.")):
    """A fit as lme4's or lmerTest's ``print(summary(fit))`` shows it.

    Parameters
    ----------
    parts : SummaryParts
    digits : int
    ranef_comp : sequence of str
        Columns of the table of random effects.

    Returns
    -------
    str
        Lines ending in a newline.
    """
    sections = [
        title_text(parts, parts.summary_title()),
        call_text(parts, control=True),
        "\n",
        criterion_text(parts.criterion, 1, parts.given),
        "\n",
    ]
    if parts.residual_quantiles is not None:
        sections.append(residuals_text(parts.residual_quantiles, digits))
    sections += [
        "Random effects:\n",
        varcorr_text(parts.varcorr, parts.sigma, ranef_comp, digits),
        rows_text(parts),
    ]
    if len(parts.coefficients):
        sections += [
            "\nFixed effects:\n",
            printcoefmat(parts.coefficients, digits, signif_stars=parts.signif_stars),
            correlation_section(parts),
        ]
    return "".join((*sections, fit_warnings_text(parts), _convergence_messages(parts)))


def title_text(parts, title):
    """The method and the class, and the family of a generalized model."""
    name = parts.class_name
    if len(title) + 5 + len(name) <= LINE_WIDTH:
        text = f"{title} ['{name}']\n"
    else:
        lines = wrap_words(title, LINE_WIDTH - 2, indent=2)
        text = fill_text([*lines, " [", name, "]"], sep="")
    if parts.family is not None:
        text += f" Family: {parts.family}  ( {parts.link} )\n"
    return text


def call_text(parts, control=False):
    """The arguments of the call, one line each."""
    text = fill_text(["Formula:", *deparse_lines(parts.formula)])
    for label, value in (
        ("   Data:", parts.data),
        ("Weights:", parts.weights),
        (" Offset:", parts.offset),
        ("Control:", parts.control if control else None),
        (" Subset:", parts.subset),
    ):
        if value is not None:
            text += fill_text([label, *deparse_lines(value)])
    return text


def criterion_text(criterion, decimals, given=False):
    """The REML criterion on one line, or AIC and its companions in a table."""
    if list(criterion) == ["REML"]:
        value = cat_number(round_r(criterion["REML"], decimals))
        return f"REML criterion at {'the given parameters' if given else 'convergence'}: {value}\n"
    names = list(criterion)
    values = [round_r(criterion[name], decimals) for name in names if name != "df.resid"]
    words = format_numbers(values)
    if "df.resid" in criterion:
        words.insert(names.index("df.resid"), str(int(criterion["df.resid"])))
    return named_vector_text(names, words)


def residuals_text(quantiles, digits=DIGITS):
    """Minimum, quartiles and maximum of the scaled residuals."""
    words = format_numbers(zapsmall(quantiles, digits + 1), digits)
    return "Scaled residuals: \n" + named_vector_text(QUANTILES, words) + "\n"


def rows_text(parts):
    """Rows and groups, and how many rows were left out."""
    groups = "; ".join(f"{name}, {int(count)}" for name, count in parts.ngroups.items())
    text = fill_text([f"Number of obs: {int(parts.nobs)}, groups: ", groups])
    return text if parts.left_out is None else text + f"  ({parts.left_out})\n"


def correlation_section(parts):
    """Correlations of the estimates, or how to ask for them."""
    p = len(parts.coefficients)
    if parts.correlation is None or p < 2 or parts.show_correlation is False:
        return ""
    if p > MOST_CORRELATIONS and parts.show_correlation is None:
        whole, covariance = parts.correlation_hint
        return (
            f"\nCorrelation matrix not shown by default, as p = {p} > {MOST_CORRELATIONS}.\n"
            f"Use {whole}  or\n    {covariance}        if you need it\n\n"
        )
    names = [str(name) for name in parts.coefficients.index]
    return "\nCorrelation of Fixed Effects:\n" + correlation_text(parts.correlation, names)


def correlation_text(correlation, names):
    """The lower triangle of a correlation matrix under shortened names.

    Parameters
    ----------
    correlation : array_like, shape (p, p)
    names : sequence of str, length p

    Returns
    -------
    str
        Lines ending in a newline.
    """
    correlation = np.asarray(correlation, dtype=float)
    p = len(names)
    rounded = [round_r(value, 3) for value in correlation.ravel()]
    words = np.reshape(np.array(format_numbers(rounded, nsmall=3, nan="NaN"), dtype=object), (p, p))
    rows = abbreviate(names, ROW_NAME_LENGTH)
    columns = abbreviate(rows, COLUMN_NAME_LENGTH)
    cells = [[words[i, j] if j < i else "" for i in range(1, p)] for j in range(p - 1)]
    return string_matrix_text(rows[1:], columns[:-1], cells, right=False)


def fit_warnings_text(parts):
    """Messages from before the fit."""
    if not parts.fit_warnings:
        return ""
    return "fit warnings:\n" + "".join(f"{line}\n" for line in parts.fit_warnings)


def _optimizer_status(parts):
    words = "OK" if parts.convergence_code == 0 else parts.convergence_message
    return f"optimizer ({parts.optimizer}) convergence code: {parts.convergence_code} ({words})"


def _has_news(parts):
    return bool(parts.convergence_code or parts.all_messages() or parts.optimizer_warnings)


def _convergence_counts(parts):
    if not _has_news(parts):
        return ""
    counts = (
        f"{len(parts.optimizer_warnings)} optimizer warnings; "
        f"{len(parts.all_messages())} lme4 warnings"
    )
    return f"{_optimizer_status(parts)} ; {counts} \n"


def _convergence_messages(parts):
    if not _has_news(parts):
        return ""
    lines = [_optimizer_status(parts), *parts.all_messages(), *parts.optimizer_warnings]
    return "".join(f"{line}\n" for line in lines) + "\n"
