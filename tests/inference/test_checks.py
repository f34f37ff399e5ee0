"""Checks in a line: the numbers of R's performance, textbook formulas, and the sentences."""

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from some_cases import CASES, fitted_case, reference

from fastlmm_hlm import (
    check_collinearity,
    check_convergence,
    check_heteroscedasticity,
    check_normality,
    check_outliers,
    check_singularity,
    datasets,
    lmer,
)
from fastlmm_hlm.errors import ArgumentError, SingularFitWarning

# R stops within about 1e-8 of the optimum; an extreme p-value loses some digits more.
AGAINST_R = 1e-5
NAMES = [name for name in CASES if name in reference("tidy.json")]


@pytest.mark.parametrize("name", [name for name in NAMES if "collinearity" in reference("tidy.json")[name]])
def test_variance_inflation_is_that_of_performance(name):
    fit, _ = fitted_case(name)
    frame, theirs = check_collinearity(fit), reference("tidy.json")[name]["collinearity"]
    assert list(frame.columns) == list(theirs) and frame["Term"].tolist() == theirs["Term"]
    for column in frame.columns[1:]:
        np.testing.assert_allclose(frame[column], np.array(theirs[column], float), rtol=AGAINST_R, err_msg=column)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "hsb_collinear"])
def test_normality_and_outliers_are_those_of_performance(name):
    fit, _ = fitted_case(name)
    answers = reference("tidy.json")[name]
    assert check_normality(fit).p == pytest.approx(answers["normality"], rel=AGAINST_R)
    assert len(check_outliers(fit).rows) == answers["outliers"]


def test_the_inflation_table_prints_in_groups():
    d = datasets.load("sleepstudy")
    i = np.arange(1, 181)
    d["x2"], d["z"] = d["Days"] + (i % 7) / 2, i % 11
    text = str(check_collinearity(lmer("Reaction ~ Days + x2 + z + (1 | Subject)", d)))
    assert text == """# Check for Multicollinearity

Low Correlation

 Term  VIF  VIF 95% CI Increased SE Tolerance Tolerance 95% CI
    z 1.00 [1.00, Inf]         1.00      1.00     [0.00, 1.00]

Moderate Correlation

 Term  VIF    VIF 95% CI Increased SE Tolerance Tolerance 95% CI
 Days 9.78 [7.52, 12.83]         3.13      0.10     [0.08, 0.13]
   x2 9.78 [7.52, 12.83]         3.13      0.10     [0.08, 0.13]"""


def test_one_term_cannot_be_collinear():
    with pytest.raises(ArgumentError, match="has 1 term beside"):
        check_collinearity(fitted_case("sleepstudy")[0])


def test_singular_fits_are_told_with_their_terms():
    with pytest.warns(SingularFitWarning):
        singular = check_singularity(lmer("Yield ~ 1 + (1 | Batch)", datasets.load("Dyestuff2")))
    assert singular and singular.terms == ["(1 | Batch)"] and "(1 | Batch)" in str(singular)
    sound = check_singularity(fitted_case("sleepstudy")[0])
    assert not sound and str(sound).startswith("OK") and sound.deviations["(Days | Subject)"] > 0.1


def test_convergence_is_the_certificate():
    fit, _ = fitted_case("sleepstudy")
    found = check_convergence(fit)
    assert found and str(found).startswith("OK: the optimum is certified")
    assert found.gradient_norm == fit.optinfo["gradient_norm"] and found.status == "converged"


def test_the_score_test_is_half_the_explained_sum_of_squares():
    fit, _ = fitted_case("sleepstudy")
    r, mu = fit.residuals().to_numpy(), fit.fitted().to_numpy()
    u = r**2 / np.mean(r**2)
    A = np.column_stack([np.ones_like(mu), mu])
    explained = A @ np.linalg.lstsq(A, u, rcond=None)[0]
    found = check_heteroscedasticity(fit)
    assert found.statistic == pytest.approx(((explained - u.mean()) ** 2).sum() / 2)
    assert found.p == pytest.approx(stats.chi2.sf(found.statistic, 1)) and not found and "p < .001" in str(found)


def test_well_behaved_residuals_pass():
    rng = np.random.default_rng(11)
    n = 6000
    d = pd.DataFrame({"g": rng.integers(50, size=n), "x": rng.normal(size=n)})
    d["y"] = d["x"] + rng.normal(size=50)[d["g"]] + rng.normal(size=n)
    fit = lmer("y ~ x + (1 | g)", d)
    normal, even = check_normality(fit), check_heteroscedasticity(fit)
    assert normal.method == "D'Agostino-Pearson" and normal and str(normal).startswith("OK: residuals")
    assert even and str(even).startswith("OK: Error variance")
    assert check_outliers(fit) and "No outliers" in str(check_outliers(fit))
    d["y"] = d["x"] + rng.normal(size=50)[d["g"]] + rng.normal(size=n) * np.exp(d["x"])
    assert not check_normality(lmer("y ~ x + (1 | g)", d)) and not check_heteroscedasticity(lmer("y ~ x + (1 | g)", d))


def test_an_outlier_is_named():
    d = datasets.load("sleepstudy")
    found = check_outliers(lmer("Reaction ~ Days + (Days | Subject)", d))
    assert found.rows == [7, 56, 59, 130] and "4 outliers detected: rows 7, 56, 59, 130." in str(found)
    assert (found.cooksd[found.rows] > found.threshold).all()


def test_a_check_without_that_number_says_what_it_has():
    with pytest.raises(AttributeError, match="it has p, statistic"):
        check_heteroscedasticity(fitted_case("sleepstudy")[0]).q


def test_fitted_values_that_are_constant_show_no_heteroscedasticity():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SingularFitWarning)
        fit = lmer("Yield ~ 1 + (1 | Batch)", datasets.load("Dyestuff2"))
    found = check_heteroscedasticity(fit)
    assert found and found.statistic == 0.0 and found.p == 1.0
