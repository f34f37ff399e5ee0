"""Fits side by side: exact tables, the numbers of the summaries, what readers are told, refusals."""

import math
import pickle
import re

import numpy as np
import pandas as pd
import pytest
from some_models import MODELS, fitted

from fastlmm_hlm import datasets, icc, lmer, model_table, r2
from fastlmm_hlm.errors import ArgumentError, UnknownNameError
from fastlmm_hlm.report.layout import display_width

SLEEP = """\
Reaction times
=========================================================
                                   slopes     intercepts
---------------------------------------------------------
(Intercept)                       251.405***   251.405***
                                   (6.825)      (9.747)
Days                               10.467***    10.467***
                                   (1.546)      (0.804)
---------------------------------------------------------
Subject: SD (Intercept)            24.740       37.124
Subject: SD Days                    5.922
Subject: Corr (Intercept), Days     0.066
Residual SD                        25.592       30.991
---------------------------------------------------------
Observations                      180          180
Groups: Subject                    18           18
ICC                                 0.722        0.589
R2 marg.                            0.279        0.280
R2 cond.                            0.799        0.704
AIC                              1755.6       1794.5
BIC                              1774.8       1807.2
logLik                           -871.8       -893.2
REML criterion                   1743.6       1786.5
=========================================================
Standard errors in parentheses.
P-values by t distributions with Satterthwaite's degrees of
  freedom.
* p < 0.05, ** p < 0.01, *** p < 0.001
"""
# Checked by hand against the summaries of the three fits, and these against lme4 1.1-31 by the parity suite.
HSB = """\
========================================================================
                                   empty          ses          slopes
------------------------------------------------------------------------
(Intercept)                        12.637***     12.636***     12.681***
                                   (0.244)       (0.244)       (0.149)
cses                                              2.191***      2.198***
                                                 (0.109)       (0.128)
meanses                                                         5.869***
                                                               (0.361)
cses:meanses                                                    0.285
                                                               (0.319)
------------------------------------------------------------------------
school: SD (Intercept)              2.935         2.945         1.641
school: SD cses                                                 0.825
school: Corr (Intercept), cses                                 -0.195
Residual SD                         6.257         6.084         6.059
------------------------------------------------------------------------
Observations                     7185          7185          7185
REML criterion                  47116.8       46724.0       46557.3
========================================================================
Standard errors in parentheses.
P-values by t distributions with Satterthwaite's degrees of freedom.
* p < 0.05, ** p < 0.01, *** p < 0.001
"""


@pytest.fixture(scope="module")
def sleep():
    d = datasets.load("sleepstudy")
    return {"slopes": lmer("Reaction ~ Days + (Days | Subject)", d), "intercepts": lmer("Reaction ~ Days + (1 | Subject)", d)}


@pytest.fixture(scope="module")
def hsb():
    d = datasets.load("Hsb82")
    return {"empty": lmer("mAch ~ 1 + (1 | school)", d), "ses": lmer("mAch ~ cses + (1 | school)", d),
            "slopes": lmer("mAch ~ cses * meanses + (cses | school)", d)}


def body(table):
    """The lines of a text table, rules and notes left out, words separated by one blank."""
    return [" ".join(line.split()) for line in str(table).splitlines() if not set(line) <= set("=-")]


# --- whole tables ---------------------------------------------------------------------------


def test_the_table_of_sleepstudy_is_exact(sleep):
    assert str(model_table(sleep, title="Reaction times")) == SLEEP


def test_the_table_of_hsb82_is_exact(hsb):
    assert str(model_table(hsb, gof=["nobs", "REML"])) == HSB


def test_decimal_points_are_lined_up(hsb):
    lines = str(model_table(hsb, gof=None)).splitlines()
    last = [line for line in lines if not set(line) <= set("=-") and re.search(r"\d\.\d", line)][:12]
    columns = [{match.start() for match in re.finditer(r"(?<=\d)\.(?=\d)", line)} for line in last]
    assert len(set().union(*columns)) == 3


@pytest.mark.parametrize("name", MODELS)
def test_every_model_has_a_table_with_the_numbers_of_its_summary(name):
    fit = fitted(name)
    frame = model_table(fit, format="frame", statistic=["se", "t", "p"]).iloc[:, 0]
    summary = fit.summary().coefficients
    for row in summary.index:
        for statistic, column in (("estimate", "Estimate"), ("se", "Std. Error"), ("t", "t value"), ("p", "Pr(>|t|)")):
            assert frame["coefficients", row, statistic] == pytest.approx(summary.loc[row, column], rel=1e-9), (row, column)
    wanted = fit.VarCorr().to_frame()["sdcor"].to_numpy()
    np.testing.assert_allclose(np.sort(frame["random effects"].to_numpy()), np.sort(wanted), rtol=1e-12)
    fits = frame["fit"].droplevel(1)
    assert fits["Observations"] == fit.nobs and fits["AIC"] == fit.AIC() and fits["logLik"] == float(fit.logLik())
    assert fits["R2 marg."] == r2(fit).marginal and fits["ICC"] == icc(fit).adjusted
    for text in (str(model_table(fit)), model_table(fit).to_html(), model_table(fit).to_latex(), model_table(fit).to_markdown()):
        assert "Residual SD" in text


def test_the_same_effects_have_the_same_rows_however_they_are_written():
    d = datasets.load("sleepstudy")
    fits = [lmer(f"Reaction ~ Days + {bars}", d) for bars in ("(Days | Subject)", "(Days || Subject)", "(1 | Subject) + (0 + Days | Subject)")]
    frame = model_table(fits, format="frame").loc["random effects"]
    assert frame.notna().sum(axis=1).tolist() == [3, 3, 1, 3] and frame.iloc[-1].name[0] == "Residual SD"


def test_five_models_and_coefficients_in_order_of_appearance(hsb):
    fits = {**hsb, "sector": lmer("mAch ~ sector + meanses + (1 | school)", datasets.load("Hsb82")), "again": hsb["ses"]}
    table = model_table(fits, statistic=None, stars=False, random=False, gof=None)
    assert body(table)[0] == "empty ses slopes sector again"
    rows = [line.split()[0] for line in body(table)[1:]]
    assert rows[:5] == ["(Intercept)", "cses", "meanses", "cses:meanses", "sectorCatholic"]
    assert "AIC" not in str(table) and "REML" not in str(table)


# --- what stands below the estimates -----------------------------------------------------------


def test_limits_t_values_and_pvalues(sleep):
    fit = sleep["slopes"]
    lines = body(model_table(fit, statistic=["ci", "t", "p"], level=0.9, gof=None, random=False))
    limits = fit.conf_int(0.1).loc["Days"]
    assert lines[6] == f"[{limits[0]:.3f}, {limits[1]:.3f}]" and lines[7] == "(6.771)" and lines[8] == "(<0.001)"
    assert " ".join(lines[9:]).startswith("90% confidence limits in brackets, t values in parentheses and p-values in parentheses.")


def test_digits_are_decimals(sleep):
    fit = sleep["slopes"]
    for digits in (0, 1, 2, 7):
        lines = body(model_table(fit, digits=digits, stars=False, gof=["AIC"]))
        estimate, se = fit.fixef()["(Intercept)"], fit.bse["(Intercept)"]
        decimals = max(digits, 1)                                        # two digits of a standard error of 6.8
        assert lines[1] == f"(Intercept) {estimate:.{decimals}f}" and lines[2] == f"({se:.{decimals}f})"
        assert f"AIC {fit.AIC():.{max(1, digits - 2)}f}" in lines


def test_small_standard_errors_keep_two_digits():
    d = datasets.load("Hsb82")
    d["cents"], d["atoms"] = d["cses"] * 1e6, d["cses"] * 1e14
    fits = {"a": lmer("mAch ~ cents + (1 | school)", d), "b": lmer("mAch ~ atoms + (1 | school)", d)}
    lines = body(model_table(fits, stars=False, random=False, gof=None))
    assert lines[3] == "cents 0.00000219" and lines[4] == "(0.00000011)"
    assert lines[5] == "atoms 2.19e-14" and lines[6] == "(1.09e-15)"


@pytest.mark.parametrize("ddf", ["Satterthwaite", "Kenward-Roger", "lme4"])
def test_pvalues_are_those_of_the_method(ddf):
    fit = fitted("crossed slopes")
    frame = model_table(fit, ddf=ddf, statistic=["se", "p"], format="frame").iloc[:, 0]["coefficients"]
    if ddf == "lme4":
        p = [math.erfc(abs(t) / math.sqrt(2)) for t in fit.tvalues]
        assert "by the normal distribution" in str(model_table(fit, ddf=ddf))
    else:
        p = fit.summary(ddf=ddf).coefficients["Pr(>|t|)"].to_numpy()
        assert f"{ddf}'s degrees" in " ".join(str(model_table(fit, ddf=ddf)).split())
    np.testing.assert_allclose(frame.xs("p", level="statistic"), p, rtol=1e-9)
    se = fit.summary(ddf="Satterthwaite" if ddf == "lme4" else ddf).coefficients["Std. Error"]
    np.testing.assert_allclose(frame.xs("se", level="statistic"), se, rtol=1e-12)
    untested = model_table(fit, ddf=ddf, stars=False, format="frame").iloc[:, 0]["coefficients"]
    np.testing.assert_allclose(untested.xs("se", level="statistic"), se, rtol=1e-12)


def test_stars_are_the_strictest_that_is_reached(sleep):
    table = model_table(sleep["slopes"], stars={"+": 0.1, "\u2020": 1e-5, "!": 1e-30}, gof=None)
    assert "251.405\u2020" in str(table) and "10.467\u2020" in str(table) and "<sup>\u2020</sup>" in table.to_html()
    assert "+ p < 0.1, \u2020 p < 1e-05, ! p < 1e-30" in str(table)
    assert "p <" not in str(model_table(sleep["slopes"], stars=False))


def test_coefficients_may_be_chosen_and_named(hsb):
    lines = body(model_table(hsb, coef_map={"meanses": "Mean SES", "cses": "SES"}, random=False, gof=None))
    assert [line.split()[0] for line in lines[1:5:2]] == ["Mean", "SES"]
    assert list(model_table(hsb, coef_map=["cses"], format="frame").loc["coefficients"].index.unique(0)) == ["cses"]
    with pytest.raises(UnknownNameError, match="coef_map names 'sess', which no fit has; there are"):
        model_table(hsb, coef_map={"sess": "SES"})


# --- what readers are told -----------------------------------------------------------------------


def test_criteria_that_cannot_be_compared_are_named(sleep, hsb):
    ml = sleep["slopes"].refitML()
    notes = " ".join(str(model_table({**sleep, "ml": ml})).split())
    assert "slopes, intercepts by REML, ml by maximum likelihood: their likelihoods are not comparable." in notes
    assert "not comparable" not in str(model_table({**sleep, "ml": ml}, gof=["nobs"]))
    notes = " ".join(str(model_table(hsb)).split())
    assert "AIC, BIC, logLik of REML fits are not comparable across different fixed effects" in notes
    assert "comparable" not in str(model_table(sleep))


def test_other_rows_and_other_responses_are_named(sleep):
    d = datasets.load("sleepstudy")
    d["speed"] = 1000 / d["Reaction"]
    fits = {"all": sleep["slopes"], "late": lmer("speed ~ Days + (1 | Subject)", d, subset="Days > 2")}
    table = model_table(fits)
    notes = " ".join(str(table).split())
    assert "The models use different rows (all 180, late 126)" in notes and "different responses" in notes
    assert body(table)[1] == "Reaction speed" and body(model_table(sleep))[1].startswith("(Intercept)")


@pytest.mark.filterwarnings("ignore::fastlmm_hlm.errors.FastlmmWarning")
def test_dropped_columns_and_singular_fits_are_named():
    d = datasets.load("sleepstudy")
    d["hours"] = 24.0 * d["Days"]
    table = model_table({"m": lmer("Reaction ~ Days + hours + (1 | Subject)", d), "n": fitted("zero variance")})
    notes = " ".join(str(table).split())
    assert "m: dropped as linearly dependent: hours." in notes and not [line for line in body(table) if line.startswith("hours")]
    assert "Singular fit (a variance is zero, or a correlation is -1 or 1): n." in notes


def test_a_fit_without_rows_has_the_same_table(sleep):
    again = {name: pickle.loads(pickle.dumps(fit)) for name, fit in sleep.items()}
    assert str(model_table(again)) == str(model_table(sleep))
    weighted = pickle.loads(pickle.dumps(fitted("weights and offset")))
    table = model_table({"w": weighted, "slopes": sleep["slopes"]})
    assert "ICC and R2 of weighted fits need their rows, which are not kept: w." in " ".join(str(table).split())
    assert np.isnan(table.to_frame().loc[("fit", "ICC", ""), "w"])


# --- formats -----------------------------------------------------------------------------------


def test_names_come_from_the_mapping_the_caller_or_the_argument(sleep):
    first, second = sleep.values()
    assert body(model_table([first, second]))[0] == "first second"
    assert body(model_table(list(sleep.values()), ["a", "b"]))[0] == "a b"
    assert body(model_table([first, first]))[0] == "Model 1 Model 2"
    assert body(first.model_table())[0] == "first"


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", "a & b", "\\x_1 {50%} #$~^", "|pipes|", "\u53cd\u5fdc\u6642\u9593"])
def test_odd_names_are_words_in_every_format(sleep, name):
    d = datasets.load("sleepstudy").rename(columns={"Days": name, "Subject": f"g {name}"})
    typed = name.replace("\\", "\\\\")                                   # as R writes a backslash
    table = model_table({name: lmer(f"Reaction ~ `{typed}` + (1 | `g {typed}`)", d)}, title=name, notes=name)
    assert "<script" not in table.to_html() and name in str(table)
    lines = [line for line in table.to_markdown().splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in lines} == {3}
    latex = table.to_latex()
    assert not re.search(r"(?<!\\)[#%_]", latex) and latex.count(r"\\") >= 18
    lines = str(table).splitlines()
    rules = {display_width(line) for line in lines if set(line) <= set("=-")}
    assert len(rules) == 1 and max(display_width(line) for line in lines[:15]) <= rules.pop()


def test_the_format_decides_how_the_table_prints(sleep):
    table = model_table(sleep)
    assert str(table) == table.to_text() and repr(table) == str(table)
    for kind in ("html", "latex", "markdown"):
        assert str(model_table(sleep, format=kind)) == getattr(table, f"to_{kind}")()
    assert table._repr_html_() == table.to_html()
    assert model_table(sleep, format="frame").equals(table.to_frame())
    assert list(table.to_frame().columns) == ["slopes", "intercepts"]


def test_tables_are_saved_by_the_end_of_the_name(sleep, tmp_path):
    table = model_table(sleep, title="T")
    for ending, text in ((".txt", table.to_text()), (".tex", table.to_latex()), (".md", table.to_markdown()), (".csv", table.to_csv())):
        table.save(tmp_path / f"t{ending}")
        assert (tmp_path / f"t{ending}").read_text(encoding="utf-8") == text
    table.save(str(tmp_path / "t.HTML"))
    page = (tmp_path / "t.HTML").read_text(encoding="utf-8")
    assert page.startswith("<!DOCTYPE html>") and table.to_html() in page
    csv = pd.read_csv(tmp_path / "t.csv", dtype=str)
    assert csv.loc[0, "slopes"] == "251.405***" and csv.loc[1, "intercepts"] == "(9.747)"
    with pytest.raises(ArgumentError, match=r"'t.xlsx' ends in '.xlsx'; use one of .txt"):
        table.save(tmp_path / "t.xlsx")


def test_word_documents_hold_every_cell(sleep, tmp_path):
    docx = pytest.importorskip("docx")
    table = model_table(sleep, title="T", notes="own")
    table.save(tmp_path / "t.docx")
    document = docx.Document(str(tmp_path / "t.docx"))
    words = [[cell.text for cell in row.cells] for row in document.tables[0].rows]
    assert words[0] == ["", "slopes", "intercepts"] and words[1] == ["(Intercept)", "251.405***", "251.405***"]
    assert len(words) == 1 + len(table.sheet.rows())
    texts = [paragraph.text for paragraph in document.paragraphs]
    assert texts[0] == "T" and texts[-1] == "own"


# --- refusals ------------------------------------------------------------------------------------


@pytest.mark.parametrize("how, message", [
    ({"format": "docx"}, "format = 'docx'; use one of 'text', 'html', 'latex', 'markdown', 'frame'"),
    ({"statistic": "z"}, "statistic = 'z'; use 'se', 'ci', 't', 'p'"),
    ({"gof": ["nobs", "R2"]}, "gof names 'R2'"),
    ({"digits": 2.5}, "digits = 2.5"),
    ({"digits": 99}, "digits = 99"),
    ({"digits": True}, "digits = True"),
    ({"level": 95}, "model_table"),
    ({"ddf": "bootstrap"}, "model_table: ddf = 'bootstrap'"),
    ({"stars": {"*": 5}}, "the level 5; expected a probability"),
    ({"names": ["a"]}, "1 name for 2 fits"),
])
def test_arguments_out_of_range_are_refused(sleep, how, message):
    with pytest.raises(ArgumentError, match=re.escape(message)):
        model_table(sleep, **how)


@pytest.mark.parametrize("fits, message", [
    ([], "got no fit"), ([3], "expected a fitted model from lmer(), got int"), ("text", "got str"), (None, "got NoneType"),
    (pd.DataFrame({"x": [1]}), "expected a fitted model"),
])
def test_what_is_no_fit_is_refused(fits, message):
    with pytest.raises(ArgumentError, match=re.escape(message)):
        model_table(fits)


def test_what_no_fit_has_gets_no_row():
    sleep = datasets.load("sleepstudy")
    reml, ml = (lmer("Reaction ~ Days + (1 | Subject)", sleep, REML=flag) for flag in (True, False))
    assert "REML criterion" not in model_table([ml]).to_text()
    assert "REML criterion" in model_table([ml, reml]).to_text()
