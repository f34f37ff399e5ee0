"""Results in notebooks: well formed, escaped, headed, without colours, and short."""

import re
import warnings
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from some_models import fitted

from fastlmm_hlm import (
    KRmodcomp, PBmodcomp, anova, compare_performance, datasets, emmeans, exactRLRT, lmer, ls_means, model_table, ranef,
)


def sleep():
    return fitted("slopes")


def intercepts():
    return lmer("Reaction ~ Days + (1 | Subject)", datasets.load("sleepstudy"))


def cake():
    return lmer("angle ~ recipe * temperature + (1 | recipe:replicate)", datasets.load("cake"))


RESULTS = {
    "fit": sleep,
    "summary": lambda: sleep().summary(),
    "VarCorr": lambda: sleep().VarCorr(),
    "ranef": lambda: sleep().ranef(),
    "coef": lambda: sleep().coef(),
    "rePCA": lambda: sleep().rePCA(),
    "anova": lambda: cake().anova(),
    "anova of two": lambda: anova(sleep(), intercepts()),
    "drop1": lambda: sleep().drop1(),
    "ranova": lambda: sleep().ranova(),
    "step": lambda: sleep().step(),
    "emmeans": lambda: emmeans(cake(), "recipe"),
    "emmeans with contrasts": lambda: emmeans(cake(), "pairwise ~ recipe"),
    "letters": lambda: emmeans(cake(), "recipe").cld(),
    "ls_means": lambda: ls_means(cake(), "recipe"),
    "profile": lambda: sleep().profile(),
    "bootMer": lambda: sleep().bootMer(lambda fit: fit.fixef(), 5, seed=1),
    "PBmodcomp": lambda: PBmodcomp(sleep(), ". ~ . - Days", nsim=5, seed=1),
    "KRmodcomp": lambda: KRmodcomp(sleep(), [0, 1]),
    "exactRLRT": lambda: exactRLRT(intercepts(), seed=1),
    "icc": lambda: sleep().icc(),
    "r2": lambda: sleep().r2(),
    "model_performance": lambda: sleep().model_performance(),
    "compare_performance": lambda: compare_performance(sleep(), intercepts()),
    "check_convergence": lambda: sleep().check_convergence(),
    "check_singularity": lambda: sleep().check_singularity(),
    "check_collinearity": lambda: fitted("crossed slopes").check_collinearity(),
    "check_outliers": lambda: sleep().check_outliers(),
    "coef_test": lambda: sleep().coef_test(),
    "model_table": lambda: model_table(sleep()),
}
# A phrase that the printed result has and that its HTML must not lose.
HEADINGS = {
    "anova": "Type III Analysis of Variance Table with Satterthwaite's method", "anova of two": "Models:", "drop1": "Single term deletions",
    "ranova": "ANOVA-like table for random-effects: Single term deletions", "step": "Backward reduced random-effect table:",
    "icc": "Intraclass Correlation Coefficient", "r2": "R2 for Mixed Models", "compare_performance": "Comparison of Model Performance Indices",
    "check_collinearity": "Check for Multicollinearity", "ls_means": "Least Squares Means table", "letters": "share the same grouping letter",
    "emmeans with contrasts": "tukey method for comparing a family of 3 estimates", "bootMer": "Parametric bootstrap", "KRmodcomp": "large :",
    "summary": "t-tests use Satterthwaite's method", "ranef": "Subject (18 levels)",
}


def tree(html):
    return ElementTree.fromstring(f"<div>{html.replace('<br>', ' ').replace('&nbsp;', ' ')}</div>")


def made(name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return RESULTS[name]()._repr_html_()


@pytest.mark.parametrize("name", RESULTS)
def test_results_are_well_formed_html_with_their_heading(name):
    html = made(name)
    text = " ".join("".join(tree(html).itertext()).split())
    assert HEADINGS.get(name, "") in text
    assert "Object" not in text and " at 0x" not in text.replace("lambda> at 0x", "")


@pytest.mark.parametrize("name", RESULTS)
def test_results_suit_light_and_dark_pages(name):
    html = made(name)
    assert not re.search(r"(?<![-\w])(color|background|bgcolor|class|href|src)\s*[:=]", html) and "<script" not in html and "<style" not in html


@pytest.mark.parametrize("name", ["anova", "anova of two", "drop1", "ranova", "ls_means", "summary"])
def test_tests_keep_rs_pvalues_and_stars(name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = RESULTS[name]()
    text = " ".join("".join(tree(result._repr_html_()).itertext()).split())
    pvalues = re.findall(r"\d\.?\d*e-\d\d|< ?2\.?2?e-16", str(result))
    assert pvalues and all(p in text for p in pvalues) and "***" in text


def test_numbers_are_right_aligned_and_names_are_headings():
    html = made("anova")
    cells = re.findall(r"<td[^>]*>-?\d[^<]*</td>", html)
    assert cells and all("text-align: right" in cell for cell in cells)
    assert re.search(r'<th scope="row"[^>]*>recipe</th>', html) and '<th scope="col"' in html


def test_long_factors_are_cut_in_the_middle_and_counted():
    data = pd.DataFrame({"g": np.repeat(np.arange(1000), 3), "x": np.tile([0.0, 1.0, 2.0], 1000)})
    rng = np.random.default_rng(1)
    data["y"] = data["x"] + rng.normal(size=1000)[data["g"]] + rng.normal(size=3000)
    html = ranef(lmer("y ~ x + (1 | g)", data))._repr_html_()
    assert "g (1000 levels)" in html and "20 of 1000 levels shown" in html and html.count("<tr>") == 23
    words = ["".join(cell.itertext()) for cell in tree(html).iter("th")]
    assert "0" in words and "999" in words and "500" not in words


def test_levels_and_names_cannot_smuggle_in_html():
    data = datasets.load("sleepstudy")
    data["who"] = "<b>" + data["Subject"].astype(str) + "</b>"
    data["<i>"] = data["Days"]
    fit = lmer("Reaction ~ `<i>` + (1 | who)", data)
    results = [fit, fit.summary(), fit.VarCorr(), fit.ranef(), fit.coef(), fit.anova(), fit.drop1(), fit.ranova(), fit.step(), fit.profile(),
               model_table({"<b>": fit}), fit.coef_test(), compare_performance(fit, names=["<b>"]), fit.bootMer(lambda f: f.fixef(), 3, seed=1)]
    for result in results:
        assert not re.search(r"<(b|i)>(?!(Linear mixed|\w+ mixed))", result._repr_html_()), type(result).__name__


def test_a_selection_of_a_table_of_tests_is_an_ordinary_frame():
    table = cake().anova()
    assert "class=\"dataframe\"" in table.iloc[:1]._repr_html_() and "Type III" not in table.iloc[:1]._repr_html_()


@pytest.mark.parametrize("name", ["summary", "anova", "anova of two", "drop1", "ls_means", "KRmodcomp"])
def test_tables_of_tests_have_latex_and_markdown_with_the_printed_numbers(name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = RESULTS[name]()
    latex, markdown = result.to_latex(), result.to_markdown()
    for number in re.findall(r"(?<![\w.-])\d+\.\d{2,}(?![\w.])", str(result).split("Scaled residuals")[0]):
        assert number in latex and number in markdown, number
    assert latex.count(r"\begin{tabular}") == latex.count(r"\end{tabular}") >= 1
    bars = [len(re.findall(r"(?<!\\)\|", line)) for line in markdown.splitlines() if line.startswith("|")]
    assert len(bars) >= 3 and len(set(bars)) <= 2


def test_a_summary_in_latex_has_both_parts():
    latex = sleep().summary().to_latex()
    assert "(Intercept) & 251.405 & 6.825 & 17.000 & 36.838 & \\textless{} 2e$-$16 & *** \\\\" in latex
    assert " & Days & 35.07 & 5.922 & 0.07 \\\\" in latex and "Number of obs: 180, groups: Subject, 18" in latex
