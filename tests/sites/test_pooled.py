"""Sums of sites give the fit of the rows of all sites."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest

from fastlmm_hlm import Study, lmer, lmer_from_crossproducts, site_crossproducts
from fastlmm_hlm.errors import RankDeficientWarning, RowsNotKeptError

# Sums of 900 rows in another order and another basis; criteria are some thousands.
SAME_CRITERION = 1e-9
# The optimizer stops within about 1e-8 of the optimum, in units of a standard error.
SAME_ESTIMATES = 1e-7
# Numbers of size 1e6 have 1e-10 of rounding each, which the criterion sees 900 times.
SAME_FAR_AWAY = 1e-7


def both(study, rows, **arguments):
    """The fit of the sums, the fit of all rows, and these rows."""
    sums = [site_crossproducts(study, data, site=site) for site, data in rows.items()]
    every = pd.concat([study.prepare(data, site) for site, data in rows.items()], ignore_index=True)
    r = study.request
    return lmer_from_crossproducts(sums, **arguments), lmer(
        study.formula.text, every, weights=r.weights, offset=r.offset, subset=r.subset, contrasts=r.contrasts, **arguments
    ), every


def assert_same(fit, whole, criterion=SAME_CRITERION, estimates=SAME_ESTIMATES):
    assert fit.nobs() == whole.nobs() and fit.ngrps().to_dict() == whole.ngrps().to_dict()
    assert fit.deviance(REML=False) == pytest.approx(whole.deviance(REML=False), abs=criterion)
    if fit.isREML():
        assert fit.REMLcrit() == pytest.approx(whole.REMLcrit(), abs=criterion)
    assert fit.fixef().index.equals(whole.fixef().index)
    errors = np.sqrt(np.diagonal(whole.vcov()))
    assert (np.abs(fit.fixef() - whole.fixef()) <= estimates * errors).all()
    np.testing.assert_allclose(fit.theta, whole.theta, atol=estimates)
    assert fit.sigma() == pytest.approx(whole.sigma(), rel=estimates)
    for name, effects in whole.ranef().items():
        ours = fit.ranef()[name]
        assert list(ours.index) == list(effects.index) and list(ours.columns) == list(effects.columns)
        np.testing.assert_allclose(ours, effects, atol=estimates * 10)


FORMULAS = {
    "slopes and shared teachers": ("score ~ days * sex + year + (1 + days | school) + (1 | teacher)", {"shared": ["teacher"]}),
    "nested rooms": ("score ~ days + sex + (1 | school/room)", {}),
    "no intercept": ("score ~ 0 + sex + days + (0 + days | school)", {}),
    "two terms of a factor": ("score ~ days + year + (days || school) + (1 | teacher)", {"shared": ["teacher"]}),
    "logical, sum contrasts, interaction in Z": (
        "score ~ girl * sex + (0 + sex | school)", {"contrasts": {"sex": "contr.sum"}}),
    "ordered": ("score ~ grade + days + (1 | school)", {"factors": {"grade": ["low", "mid", "high"]}, "ordered": ["grade"]}),
    "weights, offset, subset": ("score ~ days + (1 | school)", {"weights": "w", "offset": "known", "subset": "days > 15"}),
    "constants agreed": ("score ~ scale(days, center = 20, scale = 5) + poly(year - 2015, 2, raw = TRUE) + (1 | school)", {}),
    "knots agreed": ("score ~ ns(days, knots = c(18, 22), Boundary.knots = c(0, 45)) + (1 | school)", {}),
    "shared and crossed": ("score ~ days + (1 | teacher:year) + (1 | school)", {"shared": ["teacher", "year"]}),
    "diagonal with slopes": ("score ~ days + diag(1 + days | school)", {}),
}


@pytest.mark.parametrize("case", FORMULAS)
def test_the_fit_of_sums_is_the_fit_of_all_rows(rows, case):
    formula, arguments = FORMULAS[case]
    if "sex" in formula:
        arguments = {**arguments, "factors": {"sex": ["F", "M"]}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit, whole, _ = both(Study(formula, **arguments), rows)
    assert_same(fit, whole)


def test_maximum_likelihood(rows, study):
    assert_same(*both(study, rows, REML=False)[:2])


def test_school_1_of_two_districts_are_two_schools_and_a_shared_teacher_is_one(rows, parts):
    fit = lmer_from_crossproducts(parts)
    assert {"north:1", "south:1", "east:1"} <= set(fit.ranef()["school"].index)
    assert fit.ngrps()["school"] == sum(data["school"].nunique() for data in rows.values())
    assert fit.ngrps()["teacher"] == pd.concat(rows.values())["teacher"].nunique()


def test_groups_declared_shared_are_joined(rows):
    fit, whole, _ = both(Study("score ~ days + (1 | school)", shared=["school"]), rows)
    assert_same(fit, whole)
    assert fit.ngrps()["school"] == 12 and list(fit.ranef()["school"].index) == list(range(1, 13))


def test_the_order_of_the_files_changes_no_bit(parts, tmp_path):
    paths = [part.save(tmp_path / f"{part.site}.flmm", min_cell=0) for part in parts]
    first = lmer_from_crossproducts(paths)
    for order in ([2, 0, 1], [1, 2, 0]):
        again = lmer_from_crossproducts([paths[k] for k in order])
        assert again.REMLcrit() == first.REMLcrit() and (again.fixef() == first.fixef()).all() and (again.theta == first.theta).all()
    assert lmer_from_crossproducts(parts).REMLcrit() == first.REMLcrit() == lmer_from_crossproducts(str(tmp_path / "*.flmm")).REMLcrit()


def test_a_response_far_from_zero_and_calendar_years_keep_their_digits(rows):
    study = Study("score ~ year * days + (1 + year | school)")
    near = {site: data for site, data in rows.items()}
    far = {site: data.assign(score=data["score"] + 1e6) for site, data in near.items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        a, whole, _ = both(study, far)
        b = both(study, near)[0]
    assert a.REMLcrit() == pytest.approx(whole.REMLcrit(), abs=SAME_FAR_AWAY)
    assert a.REMLcrit() == pytest.approx(b.REMLcrit(), abs=SAME_FAR_AWAY)
    assert a.sigma() == pytest.approx(b.sigma(), rel=1e-9)


def test_a_site_with_one_school_one_sex_or_one_row_takes_part(rows, study):
    small = {"one school": rows["north"].query("school == 1"), "women": rows["south"].query("sex == 'F'"), "one row": rows["east"][:1], "rest": rows["east"][1:]}
    assert_same(*both(study, small)[:2])


def test_a_column_that_all_sites_together_cannot_tell_apart_is_dropped(rows):
    study = Study("score ~ days + twice + sex + (1 | school)", factors={"sex": ["F", "M"]})
    dependent = {site: data.assign(twice=2 * data["days"] + 3) for site, data in rows.items()}
    with pytest.warns(RankDeficientWarning):
        fit, whole, _ = both(study, dependent)
    assert_same(fit, whole)
    assert list(fit.fixef(add_dropped=True).index) == list(whole.fixef(add_dropped=True).index)


def test_what_differs_between_sites_alone_is_estimated(rows):
    """Constant at each site, so no site alone could."""
    study = Study("score ~ days + funding + (1 | school)")
    assert_same(*both(study, {site: data.assign(funding=1.0 + k**2) for k, (site, data) in enumerate(rows.items())})[:2])


def test_rows_with_missing_values_are_left_out_and_counted(rows, study):
    holes = {site: data.copy() for site, data in rows.items()}
    holes["north"].loc[[3, 8], "days"] = np.nan
    holes["south"].loc[5, "sex"] = None
    holes["east"].loc[7, "school"] = np.nan
    fit, whole, _ = both(study, holes)
    assert_same(fit, whole)
    assert fit.nobs() == 896 and fit._missing == whole._missing


def test_a_site_may_give_any_source(rows, study, parts, tmp_path):
    data = rows["north"]
    path = tmp_path / "north.parquet"
    data.to_parquet(path)
    data.to_csv(tmp_path / "north.csv", index=False)
    others = parts[1:]
    expected = lmer_from_crossproducts(parts).REMLcrit()
    for source in (path, tmp_path / "north.csv", lambda: (data[k : k + 90] for k in range(0, len(data), 90)), data.to_dict("list")):
        fit = lmer_from_crossproducts([site_crossproducts(study, source, site="north"), *others])
        assert fit.REMLcrit() == pytest.approx(expected, abs=SAME_CRITERION)


# --- results ---------------------------------------------------------------------------------


def test_results_that_come_from_sums(rows, study):
    fit, whole, _ = both(study, rows)
    np.testing.assert_allclose(fit.anova().to_numpy(float), whole.anova().to_numpy(float), rtol=1e-5)
    np.testing.assert_allclose(fit.drop1().to_numpy(float), whole.drop1().to_numpy(float), rtol=1e-5)
    np.testing.assert_allclose(fit.ranova().to_numpy(float), whole.ranova().to_numpy(float), rtol=1e-5)
    np.testing.assert_allclose(fit.confint(method="Wald").to_numpy(float), whole.confint(method="Wald").to_numpy(float), rtol=1e-6)
    for function in (lambda m: m.emmeans("sex"), lambda m: m.emtrends("sex", var="days"), lambda m: m.emmeans("sex", weights="proportional")):
        a, b = function(fit).to_frame(), function(whole).to_frame()
        assert list(a.columns) == list(b.columns)
        np.testing.assert_allclose(a.select_dtypes(float), b.select_dtypes(float), rtol=1e-6)
    assert "sums of 3 sites (east, north, south)" in str(fit.summary()) and "Scaled residuals" not in str(fit.summary())
    assert fit.icc().adjusted == pytest.approx(whole.icc().adjusted, rel=1e-6)


def test_each_site_computes_its_own_fitted_values_from_the_pickled_fit(rows, study, parts):
    fit = pickle.loads(pickle.dumps(lmer_from_crossproducts(parts)))
    whole = both(study, rows)[1]
    fitted, first = whole.fitted().to_numpy(), 0
    for site, data in rows.items():
        own = fit.predict(study.prepare(data, site))
        np.testing.assert_allclose(own, fitted[first : first + len(data)], atol=1e-8)
        first += len(data)
    assert np.isfinite(fit.predict(study.prepare(rows["north"].assign(school=99), "north"), allow_new_levels=True)).all()


def test_results_that_need_rows_say_where_they_are(parts):
    fit = lmer_from_crossproducts(parts)
    for function in (fit.fitted, fit.residuals, fit.refit, lambda: fit.getME("X")):
        with pytest.raises(RowsNotKeptError, match="sums of 3 sites.*study.prepare"):
            function()
