"""HTML tables: well formed, escaped, with the numbers of the printed ones."""

import re
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from stored_r_output import parts, read, terms

from fastlmm_hlm.report import frame_html, printcoefmat, summary_html, varcorr_html, varcorr_text

LMERTEST = {case["id"]: case for case in read("lmertest")["cases"]}


def words_of(html):
    """The text of all cells, without blanks."""
    tree = ElementTree.fromstring(html.replace("<br>", " "))
    texts = ["".join(cell.itertext()).strip() for cell in tree.iter() if cell.tag in ("td", "th")]
    return [text for text in texts if text]


@pytest.mark.parametrize("name", LMERTEST)
def test_the_html_summary_is_well_formed_and_has_the_printed_coefficients(name):
    fit = parts(LMERTEST[name]["parts"])
    found = words_of(summary_html(fit))
    if len(fit.coefficients):
        body = printcoefmat(fit.coefficients, 4, signif_legend=False).splitlines()[1:]
        for word in " ".join(body).replace("< ", "<").split():
            assert word in " ".join(found).replace("< ", "<").split(), word
    assert f"Number of obs: {fit.nobs}" in summary_html(fit)


@pytest.mark.parametrize("name", LMERTEST)
def test_the_html_variance_components_are_the_printed_ones(name):
    stored = LMERTEST[name]["parts"]
    sigma = float(stored["sigma"])
    both = ("Variance", "Std.Dev.")
    found = words_of(varcorr_html(terms(stored["varcorr"]), sigma))
    assert " ".join(found).split() == varcorr_text(
        terms(stored["varcorr"]), sigma, both, digits=4
    ).split()


def test_names_cannot_smuggle_in_html():
    df = pd.DataFrame({"<b>": ["<script>"]}, index=["a & b"])
    html = frame_html(df, caption="x < y")
    assert re.search(r"<(script|b)>", html) is None
    assert words_of(html) == ["<b>", "a & b", "<script>"]


def test_missing_entries_are_empty_and_small_pvalues_have_stars():
    df = pd.DataFrame({"F": [1.5, np.nan], "Pr(>F)": [1e-20, np.nan]}, index=["x", "y"])
    assert words_of(frame_html(df)) == ["F", "Pr(>F)", "x", "1.5", "<2e-16", "***", "y"]


def test_messages_and_left_out_rows_are_in_the_html():
    fit = replace(
        parts(LMERTEST["sleep_reml"]["parts"]),
        left_out="3 rows left out: 3 subset",
        singular=True,
        convergence_code=1,
        convergence_message="gave up",
    )
    html = summary_html(fit)
    assert "(3 rows left out: 3 subset)" in html
    assert "boundary (singular) fit" in html
    assert "gave up" in html


def test_many_correlations_are_replaced_by_a_hint():
    fit = parts(LMERTEST["cake_reml"]["parts"])
    assert "Correlation of 18 fixed effects not shown" in summary_html(fit)
    assert words_of(summary_html(replace(fit, show_correlation=True))).count("-0.707") > 0
