"""Influence: the definition in dense matrices, refits without the rows, invariances, bad arguments."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest

from fastlmm_hlm import cooks_distance, datasets, dfbeta, dfbetas, getME, influence, lmer, lmerControl, rstandard, rstudent
from fastlmm_hlm.errors import ArgumentError, FastlmmWarning, RowsNotKeptError, UnknownNameError
from fastlmm_hlm.inference import onestep
from fastlmm_hlm.inference.casegroups import cases_of
from fastlmm_hlm.inference.deletions import Deleter
from some_models import MODELS, data_of, fitted

# Dense inverses of a few hundred rows.
DENSE = 1e-9
# Both searches stop when a step predicts a decrease below 1e-11 (or 4e-15 of the criterion); the
# estimates then differ by about the root of that over the curvature. Fixed effects in standard errors.
SAME = 1e-7
FLAT = {"weights and offset": 5e-7, "no fixed effects": 2e-6, "compound symmetry": 5e-7, "nested": 5e-7}
SHOWN = 8


def groups_of(fit):
    return [None, *(factor.name for factor in fit._rows.design.factors)]


def some_of(k):
    return range(0, k, max(1, k // SHOWN))


def rest_by_definition(fit, gone):
    """Generalized least squares with the fit's H of the rows left: beta, sigma, covariance."""
    design = fit._rows.design
    ZLambda = getME(fit, "Z").toarray() @ getME(fit, "Lambda").toarray()
    H = np.diag(1.0 / fit.weights().to_numpy()) + ZLambda @ ZLambda.T
    left = np.ones(design.n, dtype=bool)
    left[gone] = False
    X, y = design.X[left], (design.y - (0.0 if design.offset is None else design.offset))[left]
    inverse = np.linalg.inv(H[np.ix_(left, left)])
    C = np.linalg.inv(X.T @ inverse @ X)
    beta = C @ (X.T @ inverse @ y)
    r = y - X @ beta
    sigma2 = r @ inverse @ r / (left.sum() - (design.p if fit.isREML() else 0))
    return beta, np.sqrt(sigma2), sigma2 * C


@pytest.mark.parametrize("name", MODELS)
def test_onestep_is_least_squares_with_the_covariance_of_the_rows_left(name):
    fit = fitted(name)
    for group in groups_of(fit):
        cases = cases_of(fit, group, "test")
        found = onestep.at_fixed_theta(fit, cases, "test")
        slow = Deleter(fit, cases, search=False, most=1).block(0, len(cases))
        for i in some_of(len(cases)):
            beta, sigma, V = rest_by_definition(fit, cases.rows(i))
            for ours in (found, slow):
                np.testing.assert_allclose(ours.beta[i], beta, atol=DENSE * np.abs(beta).max(initial=1.0))
                assert ours.sigma[i] == pytest.approx(sigma, rel=DENSE)
                np.testing.assert_allclose(ours.covariances[i : i + 1][0], V, atol=DENSE * np.abs(V).max(initial=1e-300))


def refit_without(fit, data, gone):
    """The fit by lmer of the rows left, started once more where it ends."""
    rows = fit._rows
    rest = data.drop(data.index[gone if rows.positions is None else rows.positions[gone]])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FastlmmWarning)
        first = fit.update(data=rest)
        return first if first.isSingular() else fit.update(data=rest, start=first.theta)


# poly() would be made again from the rows left
@pytest.mark.parametrize("name", [name for name in MODELS if "poly" not in MODELS[name][0]])
def test_full_is_the_fit_of_the_rows_left(name):
    fit, data, same = fitted(name), data_of(name), FLAT.get(name, SAME)
    for group in groups_of(fit):
        made = influence(fit, group)
        assert made.converged.all() and not made.messages
        cases = cases_of(fit, group, "test")
        for i in some_of(len(cases)):
            rest = refit_without(fit, data, cases.rows(i))
            assert made.singular.iloc[i] == rest.isSingular()
            assert made.sigma.iloc[i] == pytest.approx(rest.sigma(), rel=same)
            np.testing.assert_allclose(made.theta.iloc[i], rest.theta, atol=same * max(1.0, rest.theta.max()))
            if len(rest.fixef()):
                gap = (made.fixef.iloc[i] - rest.fixef()) / rest.bse
                assert gap.abs().max() < same
                V = made.vcov.to_numpy().reshape(len(made), len(gap), -1)[i]
                np.testing.assert_allclose(V, rest.vcov(), atol=3.0 * same * np.abs(rest.vcov()).to_numpy().max())


def test_cross_products_are_put_back_bit_by_bit():
    fit = fitted("crossed slopes")
    deleter = Deleter(fit, cases_of(fit, "h", "test"), search=True, most=50)
    deleter.block(0, 9)
    ours, theirs = deleter.remaining.products, fit._products
    assert ours.n == theirs.n and np.array_equal(ours.XyWXy, theirs.XyWXy)
    for name in ("ZtWZ", "ZtWXy"):
        assert all(np.array_equal(a, b) for a, b in zip(getattr(ours, name), getattr(theirs, name)))
    assert all(np.array_equal(part[2], theirs.pairs[key][2]) for key, part in ours.pairs.items())


def test_a_level_without_rows_has_exact_zeros():
    fit = fitted("nested")
    cases = cases_of(fit, "batch", "test")
    remaining = Deleter(fit, cases, search=True, most=50).remaining
    with remaining.without(cases.rows(3)) as exact:
        products = remaining.products
        assert exact and remaining.levels == [27, 9]
        assert [int((G == 0).all(axis=(1, 2)).sum()) for G in products.ZtWZ] == [3, 1]
        assert (products.pairs[0, 1][2] == 0).sum() == 3


@pytest.fixture(scope="module")
def schools():
    """Nine schools: one is the only private one, one has all variation of x, one an x far from all others."""
    rng = np.random.default_rng(12)
    school = np.repeat(np.arange(9), 14)
    n = len(school)
    d = pd.DataFrame({"school": school, "x": rng.normal(size=n), "private": (school == 2).astype(float)})
    d["budget"] = np.where(school == 4, rng.uniform(1.0, 2.0, n), 7.0)
    d["far"] = np.where(school == 6, 1e7 + rng.normal(size=n), rng.normal(size=n))
    d["kind"] = np.array(["a", "b", "c"])[school % 3]
    d["y"] = 2.0 + 0.5 * d.x + rng.normal(size=9)[school] + rng.normal(size=n) + 1e-7 * d.far
    d["w"] = rng.uniform(0.5, 2.0, n)
    return d


def quiet(function, *args, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FastlmmWarning)
        return function(*args, **kwargs)


def test_a_dummy_of_one_school_is_nan_without_that_school(schools):
    fit = lmer("y ~ x + private + (1 | school)", schools)
    with pytest.warns(FastlmmWarning, match=r"1 of 9 deletions .* school 2: .*dropped: private"):
        made = influence(fit, "school")
    rest = lmer("y ~ x + (1 | school)", schools[schools.school != 2])
    assert np.isnan(made.fixef.loc[2, "private"])
    np.testing.assert_allclose(made.fixef.loc[2, ["(Intercept)", "x"]], rest.fixef(), rtol=SAME)
    change = made.dfbeta().loc[2]
    assert change.isna().tolist() == [False, False, True]
    assert np.isnan(made.cooks_distance()[2]) and made.fixef.drop(index=2).notna().all(axis=None)
    fixed = quiet(influence, fit, "school", "onestep")
    assert fixed.fixef.loc[2].isna().tolist() == [False, False, True]


def test_a_predictor_that_becomes_constant_takes_the_intercept_with_it(schools):
    fit = quiet(lmer, "y ~ x + budget + (1 | school)", schools)
    made = quiet(influence, fit, "school")
    rest = quiet(lmer, "y ~ x + budget + (1 | school)", schools[schools.school != 4])
    np.testing.assert_allclose(made.fixef.loc[4], rest.fixef(add_dropped=True), rtol=1e-6)
    assert made.dfbeta().loc[4].isna().tolist() == [True, False, True]
    assert quiet(influence, fit, "school", "onestep").fixef.loc[4].isna().tolist() == [True, False, True]


def test_a_group_with_nearly_all_variation_of_a_column_costs_no_digits(schools):
    fit = quiet(lmer, "y ~ x + far + (1 | school)", schools)
    made = quiet(influence, fit, "school")
    rest = quiet(lmer, "y ~ x + far + (1 | school)", schools[schools.school != 6])
    assert ((made.fixef.loc[6] - rest.fixef()) / rest.bse).abs().max() < 1e-6
    assert made.sigma[6] == pytest.approx(rest.sigma(), rel=SAME)


def test_what_lmer_would_refuse_is_nan_with_the_reason(schools):
    two = schools[schools.school.isin([0, 1])]
    with pytest.warns(FastlmmWarning, match="1 level of 'school' is left, a random effect needs at least 2"):
        made = influence(lmer("y ~ x + (1 | school)", two), "school")
    assert made.sigma.isna().all() and not made.converged.any() and set(made.messages) == {0, 1}


def test_a_row_that_alone_determines_a_coefficient():
    d = datasets.load("sleepstudy").assign(only=0.0)
    d.loc[17, "only"] = 1.0
    fit = lmer("Reaction ~ Days + only + (Days | Subject)", d)
    rest = lmer("Reaction ~ Days + (Days | Subject)", d.drop(index=17))
    fixed = quiet(influence, fit, method="onestep")
    assert fixed.fixef.loc[17].isna().tolist() == [False, False, True]
    np.testing.assert_allclose(fixed.fixef.loc[17].dropna(), rest.fixef(), rtol=1e-6)      # its row had no part in them
    assert fixed.sigma[17] == pytest.approx(rest.sigma(), rel=1e-6)
    full = quiet(influence, fit, d.index == 17)
    np.testing.assert_allclose(full.fixef.loc[True].dropna(), rest.fixef(), rtol=1e-6)
    assert np.isnan(rstandard(fit)[17]) and np.isnan(cooks_distance(fit)[17])


@pytest.mark.parametrize("method", ["full", "onestep"])
def test_results_follow_the_rows_and_the_labels(schools, method):
    shuffled = schools.sample(frac=1.0, random_state=3).assign(school=lambda d: "s" + d.school.astype(str))
    formula = "y ~ x + kind + (x | school)"
    a = quiet(influence, quiet(lmer, formula, schools, weights="w"), "school", method)
    b = quiet(influence, quiet(lmer, formula, shuffled, weights="w"), "school", method)
    np.testing.assert_allclose(b.fixef, a.fixef, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(b.sigma, a.sigma, rtol=1e-6)
    assert list(b.deleted) == [f"s{label}" for label in a.deleted] and a.deleted.name == "school"


def test_the_origin_of_a_calendar_year_does_not_matter():
    rng = np.random.default_rng(6)
    school, year = np.repeat(np.arange(12), 20), np.tile(np.arange(2006, 2026), 12)
    b = rng.normal(size=(12, 2)) * (3.0, 0.3)
    y = 50.0 + b[school, 0] + (0.4 + b[school, 1]) * (year - 2015) + rng.normal(size=240)
    d = pd.DataFrame({"y": y, "year": year, "since": year - 2015, "school": school})
    raw, shifted = (influence(lmer(f"y ~ {x} + ({x} | school)", d), "school") for x in ("year", "since"))
    np.testing.assert_allclose(raw.fixef["year"], shifted.fixef["since"], rtol=1e-7)
    np.testing.assert_allclose(raw.fixef["(Intercept)"] + 2015 * raw.fixef["year"], shifted.fixef["(Intercept)"], rtol=1e-7)
    np.testing.assert_allclose(raw.varcorr["v[year]"], shifted.varcorr["v[since]"], rtol=1e-5)


def test_both_factorizations_give_the_same():
    formula = MODELS["crossed slopes"][0]
    block, whole = (lmer(formula, data_of("crossed slopes"), control=lmerControl(factorization=f)) for f in ("block", "cholmod"))
    a, b = influence(block, "h"), influence(whole, "h")
    np.testing.assert_allclose(a.fixef, b.fixef, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(a.sigma, b.sigma, rtol=1e-7)


def test_single_rows_are_groups_of_one(schools):
    fit = quiet(lmer, "y ~ x + (1 | school)", schools, weights="w")
    for method in ("full", "onestep"):
        a, b = influence(fit, None, method), influence(fit, np.arange(len(schools)), method)
        np.testing.assert_allclose(a.fixef, b.fixef, rtol=1e-9)
        np.testing.assert_allclose(a.sigma, b.sigma, rtol=1e-9)
        np.testing.assert_allclose(a.vcov, b.vcov, rtol=1e-7, atol=1e-12)
    assert a.groups == "case" and a.deleted.equals(schools.index)


def test_combinations_of_columns(schools):
    fit = quiet(lmer, "y ~ x + (1 | school)", schools.assign(half=np.arange(len(schools)) % 2))
    by_colon, by_list = influence(fit, "kind:half", "onestep"), influence(fit, ["kind", "half"], "onestep")
    assert list(by_colon.deleted) == ["a:0", "a:1", "b:0", "b:1", "c:0", "c:1"] and by_colon.groups == "kind:half"
    assert list(by_list.deleted) == ["a.0", "a.1", "b.0", "b.1", "c.0", "c.1"] and by_list.groups == "kind.half"
    vector = schools.kind + ":" + (np.arange(len(schools)) % 2).astype(str)
    np.testing.assert_array_equal(by_colon.fixef, influence(fit, vector, "onestep").fixef)


def test_a_factor_of_the_model_and_its_columns_are_the_same_groups():
    fit = fitted("nested")
    own, columns = influence(fit, "cask:batch", "onestep"), influence(fit, ["cask", "batch"], "onestep")
    np.testing.assert_array_equal(own.fixef, columns.fixef)


def test_rows_left_out_of_the_fit_are_left_out_here():
    d = datasets.load("sleepstudy")
    d.loc[[3, 40], "Reaction"] = np.nan
    fit = quiet(lmer, "Reaction ~ Days + (1 | Subject)", d, na_action="exclude")
    assert len(influence(fit, method="onestep")) == 178
    padded = cooks_distance(fit)
    assert len(padded) == 180 and np.flatnonzero(padded.isna()).tolist() == [3, 40]


def test_processes_and_blocks_do_not_show():
    fit = fitted("slopes")
    a, b = influence(fit, "Subject"), influence(fit, "Subject", processes=2)
    pd.testing.assert_frame_equal(a.to_frame(), b.to_frame(), check_exact=True)


def test_the_progress_bar_is_shown_when_asked(capsys):
    influence(fitted("slopes"), "Subject", progress=True)
    assert "18/18" in capsys.readouterr().err
    influence(fitted("slopes"), "Subject")
    assert capsys.readouterr().err == ""


def test_measures_by_their_definitions():
    fit = fitted("slopes")
    made, V = influence(fit, "Subject"), fit.vcov().to_numpy()
    frame = made.to_frame()
    for label in made.deleted[::5]:
        d, rest = made.dfbeta().loc[label].to_numpy(), made.vcov.loc[label].to_numpy()
        cook = d @ np.linalg.inv(V) @ d / 2
        assert made.cooks_distance(definition="cook")[label] == pytest.approx(cook)
        assert frame.loc[label, "cooksd"] == pytest.approx(cook * (18 - 2) / 18)
        assert frame.loc[label, "mdffits"] == pytest.approx(d @ np.linalg.inv(rest) @ d / 2)
        assert frame.loc[label, "covratio"] == pytest.approx(np.linalg.det(rest) / np.linalg.det(V))
        assert frame.loc[label, "covtrace"] == pytest.approx(abs(np.trace(np.linalg.inv(V) @ rest) - 2))
        assert frame.loc[label, "dfbetas.Days"] == pytest.approx(d[1] / np.sqrt(rest[1, 1]))
        assert frame.loc[label, "rows"] == 10
    components = made.original["varcorr"]
    assert list(components.index) == ["sigma^2", "v[(Intercept)]", "C[Days,(Intercept)]", "v[Days]"]
    np.testing.assert_allclose(made.rvc(), made.varcorr / components - 1)
    np.testing.assert_allclose(made.dfbeta("var.cov"), made.varcorr - components)
    T = made.theta.loc["335"]
    assert list(made.theta.columns) == ["Subject.(Intercept)", "Subject.Days.(Intercept)", "Subject.Days"]
    assert made.varcorr.loc["335", "v[Days]"] == pytest.approx(made.sigma["335"] ** 2 * (T.iloc[1] ** 2 + T.iloc[2] ** 2))
    assert list(influence(fitted("crossed"), "plate").varcorr) == ["sigma^2", "plate:v[(Intercept)]", "sample:v[(Intercept)]"]


def test_functions_are_the_methods_of_the_object():
    fit = fitted("slopes")
    pd.testing.assert_frame_equal(dfbeta(fit, "Subject", "full"), influence(fit, "Subject").dfbeta())
    pd.testing.assert_frame_equal(dfbetas(fit), influence(fit, method="onestep").dfbetas())
    pd.testing.assert_series_equal(fit.cooks_distance("Subject", "full"), influence(fit, "Subject").cooks_distance())
    assert influence.__name__ in dir(fit)


def test_truly_studentized_residuals_leave_the_row_out_of_sigma():
    fit = fitted("weights and offset")
    np.testing.assert_allclose(rstudent(fit), rstandard(fit))
    by_row = rstandard(fit) * fit.sigma() / influence(fit, method="onestep").sigma.to_numpy()
    np.testing.assert_allclose(rstudent(fit, sigma="deleted"), by_row, rtol=1e-9)


def test_a_model_without_fixed_effects_has_influence_on_variances():
    made = influence(fitted("no fixed effects"), "batch:cask")
    assert made.rvc().notna().all(axis=None) and "sigma^2" in str(made)
    with pytest.raises(ArgumentError, match="no fixed effects"):
        made.cooks_distance()


def test_bad_arguments_are_refused(schools):
    fit = lmer("y ~ x + (1 | school)", schools)
    with pytest.raises(UnknownNameError, match=r"'town' is neither a grouping factor \(school\) nor a column"):
        influence(fit, "town")
    with pytest.raises(UnknownNameError, match="'town'"):
        influence(fit, "kind:town")
    with pytest.raises(ArgumentError, match="method = 'exact'; use 'full' or 'onestep'"):
        influence(fit, method="exact")
    with pytest.raises(ArgumentError, match=r"groups has shape \(3,\); expected one value per row of the fit \(126\)"):
        influence(fit, np.arange(3))
    with pytest.raises(ArgumentError, match="1 group"):
        influence(fit, np.ones(126))
    with pytest.raises(ArgumentError, match="have 1 missing value among the rows of the fit"):
        influence(fit, schools.kind.where(schools.index != 5))
    with pytest.raises(ArgumentError, match="maxfun = 0"):
        influence(fit, "school", maxfun=0)
    with pytest.raises(ArgumentError, match="sigma = 'some'"):
        rstudent(fit, "some")
    with pytest.raises(ArgumentError, match="which = 'random'"):
        dfbeta(fit, which="random")
    with pytest.raises(ArgumentError, match="definition = 'R'"):
        influence(fit, "school").cooks_distance("R")
    with pytest.raises(RowsNotKeptError, match="influence: this fit was pickled without its rows"):
        influence(pickle.loads(pickle.dumps(fit)), "school")


def test_a_search_that_may_not_finish_says_so(schools):
    fit = lmer("y ~ x + (x | school)", schools)
    with pytest.warns(FastlmmWarning, match="not converged after 1 evaluations"):
        made = influence(fit, "school", maxfun=1)
    assert not made.converged.all()


def test_it_prints_the_largest(schools):
    text = str(influence(fitted("slopes"), "Subject"))
    assert text.startswith("Influence of each level of Subject (18 deletions, refitted)\nFormula: Reaction ~ Days")
    assert "The 6 largest by cooksd:" in text and text.index("335") < text.index("337")
