"""Printed and HTML forms of a fit; the exact layout is tested with report/."""

import pandas as pd
import pytest
from some_models import fitted

from fastlmm_hlm import datasets, lmer

SUMMARY = """\
Linear mixed model fit by REML ['lmerMod']
Formula: Reaction ~ Days + (Days | Subject)

REML criterion at convergence: 1743.6

Scaled residuals: 
    Min      1Q  Median      3Q     Max 
-3.9536 -0.4634  0.0231  0.4634  5.1793 

Random effects:
 Groups   Name        Variance Std.Dev. Corr
"""


def test_str_and_repr_are_the_printed_fit(fit):
    assert str(fit) == repr(fit)
    assert str(fit).startswith("Linear mixed model fit by ")
    assert f"Formula: {fit.formula}" in str(fit)
    assert f"Number of obs: {fit.nobs}" in str(fit)
    for name in fit.fixef().index:
        assert name in str(fit)


def test_printed_numbers_are_lme4s(sleep_fit):
    text = str(sleep_fit)
    assert "REML criterion at convergence: 1743.628" in text
    assert "     251.41        10.47  " in text
    assert "Number of obs: 180, groups:  Subject, 18" in text


def test_summary_prints_in_lme4s_layout(sleep_fit):
    text = str(sleep_fit.summary(ddf="lme4"))
    assert text.startswith(SUMMARY)
    assert " Residual             654.94   25.592" in text
    assert "     (Intr)\nDays -0.138" in text
    assert str(sleep_fit.summary(correlation=False)).count("(Intr)") == 0


def test_summary_gives_its_parts_as_frames(sleep_fit):
    made = sleep_fit.summary()
    table = made.coefficients
    assert list(table.columns[:2]) == ["Estimate", "Std. Error"] and "t value" in table.columns
    pd.testing.assert_series_equal(table["Estimate"], sleep_fit.fixef(), check_names=False)
    pd.testing.assert_series_equal(table["Std. Error"], sleep_fit.bse, check_names=False)
    pd.testing.assert_frame_equal(made.vcov, sleep_fit.vcov())
    pd.testing.assert_series_equal(made.ngrps, sleep_fit.ngrps())
    assert made.sigma == sleep_fit.sigma() and made.logLik == sleep_fit.logLik()
    assert list(made.residuals.index) == ["Min", "1Q", "Median", "3Q", "Max"]


def test_summary_of_an_ml_fit_shows_the_information_criteria():
    fit = fitted("independent slopes, ML")
    text = str(fit.summary())
    assert "fit by maximum likelihood" in text
    for word in ("AIC", "BIC", "logLik", "df.resid"):
        assert word in text
    assert "\n Subject   (Intercept)" in text and "\n Subject.1 Days" in text


def test_summary_shows_the_arguments_of_the_call():
    text = str(fitted("all at once").summary())
    assert "Weights: w" in text and " Offset: known" in text and " Subset: z > -0.9" in text


def test_html_is_balanced_and_escaped():
    data = datasets.load("sleepstudy").rename(columns={"Days": "a<b & c"})
    fit = lmer("Reaction ~ `a<b & c` + (1 | Subject)", data)
    html = fit._repr_html_()
    assert "a&lt;b &amp; c" in html and "a<b" not in html
    for tag in ("div", "table", "tr", "td", "th", "p"):
        assert html.count(f"<{tag}>") + html.count(f"<{tag} ") == html.count(f"</{tag}>"), tag


@pytest.mark.parametrize("part", ["summary", "VarCorr", "ranef", "coef"])
def test_results_have_an_html_form(sleep_fit, part):
    assert "<" in getattr(sleep_fit, part)()._repr_html_()


def test_a_singular_fit_says_so_when_printed():
    assert "boundary (singular) fit" in str(fitted("zero variance").summary())
