"""Printed tables in R's layout, from plain arrays, words and data frames."""

from fastlmm_hlm.report.abbreviate import abbreviate
from fastlmm_hlm.report.coefmat import anova_text, comparison_heading, printcoefmat
from fastlmm_hlm.report.frames import matrix_text, ranef_text
from fastlmm_hlm.report.html import frame_html, summary_html, varcorr_html
from fastlmm_hlm.report.parts import SummaryParts, VarCorrTerm, lmm_title
from fastlmm_hlm.report.rformat import (
    format_numbers,
    format_pvalues,
    round_r,
    signif,
    zapsmall,
)
from fastlmm_hlm.report.tables import fit_text, summary_text
from fastlmm_hlm.report.varcorr import varcorr_text

__all__ = [
    "SummaryParts",
    "VarCorrTerm",
    "abbreviate",
    "anova_text",
    "comparison_heading",
    "fit_text",
    "format_numbers",
    "format_pvalues",
    "frame_html",
    "lmm_title",
    "matrix_text",
    "printcoefmat",
    "ranef_text",
    "round_r",
    "signif",
    "summary_html",
    "summary_text",
    "varcorr_html",
    "varcorr_text",
    "zapsmall",
]
