"""Degrees of freedom, F, t and p of every stored model against lmerTest and pbkrtest."""

import functools
import warnings

import numpy as np
import pytest

from fastlmm_hlm import datasets, lmer
from fastlmm_hlm.errors import FastlmmWarning
from fastlmm_hlm.inference.showtests import show_tests
from tests.inference.ddf_cases import PRINTED, cases, reference

# Both sides are at the same optimum within 1e-9 of the criterion, which leaves estimates of variances 1e-6
# apart; numDeriv's second derivatives in lmerTest are good to about 1e-6.
ACCURACY = 1e-4
# p-values amplify a relative difference of t by about t^2; below this they are compared absolutely.
SMALL_P = 1e-10
METHODS = ("Satterthwaite", "Kenward-Roger")
# lmerTest's numerical derivatives fail on an uncentred calendar year; see the test below.
LMERTEST_LOST = "growth_calendar_year"
EACH = [(name, ddf) for name in cases() for ddf in METHODS if ddf in reference(name) and name != LMERTEST_LOST]
COLUMN = {"Sum Sq", "Mean Sq", "NumDF", "DenDF", "F value"}
# Type II of lmerTest takes a term with poly() for a product of factors; see the test below.
LMERTEST_POLY = "orthodont_curve_by_factor"


@functools.cache
def fitted(name):
    case = cases()[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return lmer(case.formula, case.frame(), **case.arguments())


def numbers(table):
    """The values of a stored table, NaN where R has NA."""
    return np.array([[np.nan if v in (None, "NA") else float(v) for v in row] for row in table["values"]]).reshape(-1, len(table["columns"]))


def assert_same(ours, theirs, rows=True):
    expected = numbers(theirs)
    if rows:
        assert list(map(str, ours.index)) == theirs["rows"]
    assert list(ours.columns) == theirs["columns"]
    found = ours.to_numpy(dtype=float)
    for j, column in enumerate(theirs["columns"]):
        floor = SMALL_P if column.startswith("Pr(") else 1e-6 * np.nanmax(np.abs(expected[:, j]), initial=0.0)
        np.testing.assert_allclose(found[:, j], expected[:, j], rtol=ACCURACY, atol=ACCURACY * floor, err_msg=column)


def test_there_are_many_models_of_many_kinds():
    assert len(cases()) >= 55
    assert sum("Kenward-Roger" in reference(name) for name in cases()) >= 35
    assert len({reference(name)["versions"]["lmerTest"] for name in cases()}) == 1


@pytest.mark.parametrize("name, ddf", EACH)
def test_the_table_of_coefficients_is_lmertests(name, ddf):
    assert_same(fitted(name).summary(ddf=ddf).coefficients, reference(name)[ddf]["coefficients"])


@pytest.mark.parametrize("name, ddf", EACH)
def test_the_analyses_of_variance_are_lmertests(name, ddf):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FastlmmWarning)
        for kind, theirs in reference(name)[ddf].get("anova", {}).items():
            if name == LMERTEST_POLY and kind == "II":
                continue
            assert_same(fitted(name).anova(type=kind, ddf=ddf), theirs)


@pytest.mark.parametrize("name", [name for name in cases() if "lme4" in reference(name)])
def test_the_sequential_table_without_denominators_is_lme4s(name):
    assert_same(fitted(name).anova(ddf="lme4"), reference(name)["lme4"]["anova"])


@pytest.mark.parametrize("name, ddf", EACH)
def test_contrasts_are_lmertests(name, ddf):
    fit, theirs = fitted(name), reference(name)[ddf]
    every = np.eye(len(fit.fixef()))
    assert_same(fit.contest(every, joint=False, ddf=ddf), theirs["each"])
    if "joint" in theirs:
        assert_same(fit.contest(every[fit.fixef().index != "(Intercept)"], ddf=ddf), theirs["joint"])


@pytest.mark.parametrize("name", [name for name in cases() if "vcov" in reference(name).get("Kenward-Roger", {})])
def test_the_adjusted_covariance_is_pbkrtests(name):
    from fastlmm_hlm.inference.ddf import method_of

    theirs = np.array(reference(name)["Kenward-Roger"]["vcov"])
    sd = np.sqrt(np.diagonal(theirs))
    np.testing.assert_allclose(method_of(fitted(name), "KR").vcov / np.outer(sd, sd), theirs / np.outer(sd, sd), rtol=0, atol=ACCURACY)


def printed(text):
    """Lines of a printed result, but those on the data and the optimizer, blanks, and R's message on many correlations."""
    lines = [line.rstrip() for line in text.split("\nCorrelation matrix not shown")[0].splitlines()]
    return [line for line in lines if line and not line.startswith(("   Data:", "Control:"))]


@pytest.mark.parametrize("name", sorted(PRINTED))
def test_printed_results_are_lmertests_character_for_character(name):
    fit, theirs = fitted(name), reference(name)["printed"]
    ours = {"summary": fit.summary(), "anova": fit.anova(), "lme4": fit.anova(ddf="lme4")}
    if "summary_kr" in theirs:
        ours |= {"summary_kr": fit.summary(ddf="Kenward-Roger"), "anova_kr": fit.anova(type="II", ddf="Kenward-Roger")}
    for key, result in ours.items():
        found, expected = printed(str(result)), printed(theirs[key])
        if key.startswith("summary"):            # the first lines, and from the coefficients on
            assert found[:2] == expected[:2]
            found, expected = (lines[lines.index("Fixed effects:"):] for lines in (found, expected))
        assert found == expected, key


@pytest.mark.parametrize("name", sorted(PRINTED))
def test_the_hypotheses_behind_a_table_span_lmertests(name):
    for term, theirs in reference(name)["printed"]["tests"].items():
        found, expected = show_tests(fitted(name).anova())[term], numbers(theirs)
        assert list(found.index) == theirs["rows"] and list(found.columns) == theirs["columns"]
        np.testing.assert_allclose(found.to_numpy(), expected, atol=1e-6)


def test_the_denominators_of_the_cake_model_of_lmertests_tests():
    """angle ~ recipe * temp + (1 | recipe:replicate), Type III."""
    table = fitted("cake_linear_temp").anova()
    np.testing.assert_allclose(table["DenDF"], [254.0157612, 222.0, 222.0], rtol=1e-7)


# --- where others are wrong ----------------------------------------------------------------


def test_lmertest_takes_poly_for_a_factor_in_type_ii_and_this_library_does_not():
    """Sex is not contained in poly(age, 2):Sex, whose numbers differ.

    lmerTest 3.1-3 prints F = 6.754, df = 26.34 for Sex.  With the two columns of poly() as numbers of
    their own names, p1 and p2, it prints F = 7.25317, df = 47.263169 for Sex, as here.
    """
    table = fitted(LMERTEST_POLY).anova(type="II")
    theirs = numbers(reference(LMERTEST_POLY)["Satterthwaite"]["anova"]["II"])
    assert theirs[1, 4] == pytest.approx(6.7543288, rel=1e-6)
    assert table.loc["Sex", "F value"] == pytest.approx(7.25317, rel=1e-6)
    assert table.loc["Sex", "DenDF"] == pytest.approx(47.263169, rel=1e-7)


def test_lmertest_loses_the_degrees_of_freedom_of_an_uncentred_year_and_this_library_does_not():
    """Moving the zero of a predictor leaves the model and the test of its slope.

    lmerTest 3.1-3 gives 1994.79 degrees of freedom for the slope of the year, and 79.00 for that of the year less 2016.
    """
    theirs = [numbers(reference(name)["Satterthwaite"]["coefficients"])[1, 2] for name in (LMERTEST_LOST, "growth_centred_year")]
    assert theirs == pytest.approx([1994.79424, 78.99997], rel=1e-6)
    ours = [fitted(name).summary().coefficients["df"].iloc[1] for name in (LMERTEST_LOST, "growth_centred_year")]
    assert ours == pytest.approx([79.0, 79.0], rel=1e-9)


def test_kenward_roger_is_no_relabelled_satterthwaite_on_unbalanced_data():
    """mixedlm gives Satterthwaite's numbers under the name of Kenward and Roger.

    mixedlm 1.3.0, kenward_roger_df: 16.793 and 14.148; pbkrtest 0.5.2: 16.976 and 16.381.
    """
    fit, stored = fitted("sleep_unbalanced"), reference("sleep_unbalanced")
    kr, s = (fit.summary(ddf=ddf).coefficients for ddf in ("Kenward-Roger", "Satterthwaite"))
    np.testing.assert_allclose(s["df"], [16.79288678, 14.14826036], rtol=1e-6)
    np.testing.assert_allclose(kr["df"], [16.97648556, 16.38125910], rtol=1e-6)
    gap = numbers(stored["Kenward-Roger"]["coefficients"]) / numbers(stored["Satterthwaite"]["coefficients"]) - 1.0
    assert (np.abs(gap[:, 1:3]) > 1e-3).any()
    np.testing.assert_allclose((kr / s - 1.0).to_numpy()[:, 1:3], gap[:, 1:3], atol=1e-5)


def test_satterthwaites_degrees_of_freedom_are_exact_in_a_balanced_design_with_random_slopes():
    """Subjects minus one for both coefficients; interlace-lme 0.3.2 gives 18.803 and 18.799."""
    fit = lmer("Reaction ~ Days + (Days | Subject)", datasets.load("sleepstudy"))
    for ddf in METHODS:
        np.testing.assert_allclose(fit.summary(ddf=ddf).coefficients["df"], 17.0, rtol=1e-9)


@pytest.mark.parity
@pytest.mark.parametrize("name", ["sleep_unbalanced", "pastes_nested", "ham_missing_cells", "carrots_sas"])
def test_lmertest_says_so_now(name):
    """The stored answers are those of the lmerTest that is installed."""
    import json

    robjects = pytest.importorskip("rpy2.robjects")
    from tests.inference.ddf_cases import HERE, for_r

    script = (HERE / "make_ddf_reference.R").read_text().split("cases <- fromJSON")[0]
    robjects.r(script)
    answer = robjects.r("function(case) as.character(toJSON(ddf_reference(fromJSON(case, simplifyVector = FALSE)), digits = I(16), na = 'null', null = 'null'))")
    now, stored = json.loads(str(answer(json.dumps(for_r(cases()[name])))[0])), reference(name)
    for ddf in METHODS:
        if ddf in stored:
            np.testing.assert_allclose(numbers(now[ddf]["coefficients"]), numbers(stored[ddf]["coefficients"]), rtol=ACCURACY)
            assert_same(fitted(name).summary(ddf=ddf).coefficients, now[ddf]["coefficients"])
