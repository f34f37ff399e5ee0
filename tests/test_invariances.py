"""Changes of the data or the formula that must change the fit in a known way, or not at all."""

import numpy as np
import pandas as pd
import pytest

from fastlmm_hlm import datasets, lmer, lmerControl

# The criterion is minimized to rounding.
CRITERION = 1e-7
# Where the criterion is flat to rounding, estimates are known to the root of that.
ESTIMATE = 1e-5

SLEEP = "Reaction ~ Days + (Days | Subject)"
CROSSED = "y ~ x * f + (x | g) + (1 | h)"


def crossed_data(seed=11, n=400):
    rng = np.random.default_rng(seed)
    g, h = rng.integers(0, 25, n), rng.integers(0, 12, n)
    x = rng.normal(1.0, 2.0, n)
    f = rng.choice(["a", "b", "c"], n)
    b = rng.normal(size=(25, 2)) @ [[1.0, 0.4], [0.0, 0.6]]
    y = 2.0 + 0.3 * x + 0.8 * (f == "b") + b[g, 0] + b[g, 1] * x + rng.normal(0, 0.7, 12)[h] + rng.normal(size=n)
    return pd.DataFrame({"y": y, "x": x, "f": f, "g": g, "h": h, "w": rng.uniform(0.3, 3.0, n)})


@pytest.fixture(scope="module")
def crossed():
    return crossed_data()


@pytest.fixture(scope="module")
def sleep():
    return datasets.load("sleepstudy")


def criterion(fit):
    return fit.deviance(REML=fit.isREML())


def same_estimates(a, b):
    np.testing.assert_allclose(a.theta, b.theta, atol=ESTIMATE)
    np.testing.assert_allclose(a.fixef(), b.fixef(), rtol=ESTIMATE, atol=ESTIMATE)
    assert a.sigma() == pytest.approx(b.sigma(), rel=ESTIMATE)


@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("weights", [None, "w"])
def test_the_order_of_rows_does_not_matter(crossed, reml, weights):
    fit = lmer(CROSSED, crossed, REML=reml, weights=weights)
    for seed in (0, 1):
        shuffled = lmer(CROSSED, crossed.sample(frac=1, random_state=seed), REML=reml, weights=weights)
        assert criterion(shuffled) == pytest.approx(criterion(fit), abs=CRITERION)
        same_estimates(shuffled, fit)
        np.testing.assert_allclose(shuffled.fitted().sort_index(), fit.fitted(), atol=1e-4)


@pytest.mark.parametrize("scale", [1e-8, 0.001, 7.0, 1e6, 1e12])
@pytest.mark.parametrize("reml", [True, False])
def test_a_scaled_response_scales_sigma_and_shifts_the_criterion(sleep, scale, reml):
    fit = lmer(SLEEP, sleep, REML=reml)
    scaled = lmer(SLEEP, sleep.assign(Reaction=sleep["Reaction"] * scale), REML=reml)
    np.testing.assert_allclose(scaled.theta, fit.theta, atol=ESTIMATE)
    assert scaled.sigma() == pytest.approx(scale * fit.sigma(), rel=ESTIMATE)
    np.testing.assert_allclose(scaled.fixef(), scale * fit.fixef(), rtol=ESTIMATE)
    degrees = 180 - 2 * reml
    assert criterion(scaled) - 2 * degrees * np.log(scale) == pytest.approx(criterion(fit), abs=CRITERION)


@pytest.mark.parametrize("shift, tolerance", [(-300.0, 1e-7), (1e6, 1e-7), (1e9, 1e-5), (1e12, 1e-2)])
def test_a_constant_added_to_the_response_only_moves_the_intercept(sleep, shift, tolerance):
    fit = lmer(SLEEP, sleep)
    moved = lmer(SLEEP, sleep.assign(Reaction=sleep["Reaction"] + shift))
    assert moved.REMLcrit() == pytest.approx(fit.REMLcrit(), abs=tolerance)
    assert moved.fixef()["(Intercept)"] - shift == pytest.approx(fit.fixef()["(Intercept)"], abs=1e-3)
    assert moved.fixef()["Days"] == pytest.approx(fit.fixef()["Days"], abs=1e-3)


def test_a_combination_of_the_predictors_added_to_the_response_only_moves_their_coefficients(crossed):
    fit = lmer(CROSSED, crossed)
    moved = lmer(CROSSED, crossed.assign(y=crossed["y"] - 40.0 * crossed["x"] + 9.0 * (crossed["f"] == "c")))
    assert moved.REMLcrit() == pytest.approx(fit.REMLcrit(), abs=CRITERION)
    change = moved.fixef() - fit.fixef()
    np.testing.assert_allclose(change, [0, -40, 0, 9, 0, 0], atol=1e-4)


def test_an_offset_is_taken_off_the_response(crossed):
    known = np.sin(np.arange(len(crossed))) * 5
    fit = lmer(CROSSED, crossed)
    shifted = crossed.assign(y=crossed["y"] + known, known=known)
    for arguments in ({"offset": known}, {"offset": "known"}):
        moved = lmer(CROSSED, shifted, **arguments)
        assert moved.REMLcrit() == pytest.approx(fit.REMLcrit(), abs=CRITERION)
        np.testing.assert_allclose(moved.fitted() - known, fit.fitted(), atol=1e-4)
    twice = lmer("y ~ x * f + offset(known / 2) + (x | g) + (1 | h)", shifted, offset=known / 2)
    assert twice.REMLcrit() == pytest.approx(fit.REMLcrit(), abs=CRITERION)


@pytest.mark.parametrize("shift, scale", [(0.0, 1000.0), (0.0, 1e-6), (-4.5, 1.0), (100.0, 3.0), (2000.0, 1.0), (0.0, -1.0)])
def test_the_units_of_a_predictor_do_not_matter_in_an_unstructured_term(sleep, shift, scale):
    fit = lmer(SLEEP, sleep, REML=False)
    moved = lmer(SLEEP, sleep.assign(Days=shift + scale * sleep["Days"]), REML=False)
    assert moved.deviance() == pytest.approx(fit.deviance(), abs=CRITERION)
    assert moved.sigma() == pytest.approx(fit.sigma(), rel=ESTIMATE)
    assert moved.fixef()["Days"] * scale == pytest.approx(fit.fixef()["Days"], rel=ESTIMATE)
    np.testing.assert_allclose(moved.fitted(), fit.fitted(), atol=1e-3)
    J = np.array([[1.0, shift], [0.0, scale]])
    S = J @ moved.VarCorr()["Subject"].to_numpy() @ J.T
    np.testing.assert_allclose(S, fit.VarCorr()["Subject"], rtol=1e-4, atol=1e-4)


def test_the_scale_of_a_predictor_does_not_matter_in_a_diagonal_term_but_its_origin_does(sleep):
    formula = "Reaction ~ Days + (Days || Subject)"
    fit = lmer(formula, sleep, REML=False)
    scaled = lmer(formula, sleep.assign(Days=1000.0 * sleep["Days"]), REML=False)
    assert scaled.deviance() == pytest.approx(fit.deviance(), abs=CRITERION)
    moved = lmer(formula, sleep.assign(Days=sleep["Days"] - 4.5), REML=False)
    assert abs(moved.deviance() - fit.deviance()) > 0.1


@pytest.mark.parametrize("scale", [1e-5, 2.0, 1e5])
def test_reml_shifts_by_the_logarithm_of_a_predictors_scale(sleep, scale):
    fit, scaled = lmer(SLEEP, sleep), lmer(SLEEP, sleep.assign(Days=scale * sleep["Days"]))
    assert scaled.REMLcrit() - 2 * np.log(scale) == pytest.approx(fit.REMLcrit(), abs=CRITERION)


@pytest.mark.parametrize("origin", [1e4, 1e6])
def test_a_predictor_far_from_zero_is_the_same_as_a_centred_one(sleep, origin):
    near, far = lmer(SLEEP, sleep), lmer(SLEEP, sleep.assign(Days=sleep["Days"] + origin))
    assert far.REMLcrit() == pytest.approx(near.REMLcrit(), abs=1e-6)
    assert far.fixef()["Days"] == pytest.approx(near.fixef()["Days"], rel=1e-6)
    assert not far.isSingular() and far.optinfo["status"] == "converged"


def test_a_predictor_near_1e8_with_a_small_spread(sleep):
    near = lmer("Reaction ~ x + (1 | Subject)", sleep.assign(x=100.0 * sleep["Days"]))
    far = lmer("Reaction ~ x + (1 | Subject)", sleep.assign(x=1e8 + 100.0 * sleep["Days"]))
    assert far.REMLcrit() == pytest.approx(near.REMLcrit(), abs=1e-6)
    assert far.fixef()["x"] == pytest.approx(near.fixef()["x"], rel=1e-8)
    assert far.bse["x"] == pytest.approx(near.bse["x"], rel=1e-6)


def test_a_predictor_that_varies_by_less_than_lme4s_rank_tolerance_is_dropped_by_name(sleep):
    with pytest.warns(match="rank deficient.*: x"):
        fit = lmer("Reaction ~ x + (1 | Subject)", sleep.assign(x=1e8 + sleep["Days"]))
    assert list(fit.fixef().index) == ["(Intercept)"]


def growth(schools, seed=3):
    rng = np.random.default_rng(seed)
    school = np.repeat(np.arange(schools), 39)
    year = np.tile(np.repeat(np.arange(2010, 2023), 3), schools)
    a = rng.normal(0, 3, schools)
    b = 0.4 * rng.normal(size=schools) + 0.05 * a
    score = 50 + a[school] + (0.5 + b[school]) * (year - 2016) + rng.normal(0, 5, len(school))
    return pd.DataFrame({"score": score, "year": year, "centred": year - 2016, "school": school})


@pytest.mark.parametrize("schools", [300, 1000])
def test_calendar_years_give_the_same_growth_model_as_centred_years(schools):
    data = growth(schools)
    calendar = lmer("score ~ year + (1 + year | school)", data)
    centred = lmer("score ~ centred + (1 + centred | school)", data)
    assert calendar.REMLcrit() == pytest.approx(centred.REMLcrit(), abs=1e-6)
    assert calendar.fixef()["year"] == pytest.approx(centred.fixef()["centred"], rel=1e-7)
    assert calendar.bse["year"] == pytest.approx(centred.bse["centred"], rel=1e-6)
    assert calendar.sigma() == pytest.approx(centred.sigma(), rel=1e-6)
    slope = calendar.VarCorr()["school"].stddev["year"]
    assert slope == pytest.approx(centred.VarCorr()["school"].stddev["centred"], rel=1e-5)
    assert not calendar.isSingular() and calendar.optinfo["status"] == "converged"
    np.testing.assert_allclose(calendar.fitted(), centred.fitted(), atol=1e-5)
    modes = calendar.ranef(condVar=True)
    np.testing.assert_allclose(modes["school"]["year"], centred.ranef()["school"]["centred"], atol=1e-5)
    np.testing.assert_allclose(modes.condVar["school"][:, 1, 1], centred.ranef().condVar["school"][:, 1, 1], rtol=1e-4)


@pytest.mark.parametrize("optimizer", ["bfgs", "bobyqa", "nelder_mead"])
def test_every_optimizer_copes_with_calendar_years(optimizer):
    data = growth(60)
    best = lmer("score ~ centred + (1 + centred | school)", data)
    fit = lmer("score ~ year + (1 + year | school)", data, control=lmerControl(optimizer=optimizer))
    assert fit.REMLcrit() == pytest.approx(best.REMLcrit(), abs=1e-6)


# --- weights ----------------------------------------------------------------------


def test_weights_of_one_change_nothing(crossed):
    fit, ones = lmer(CROSSED, crossed), lmer(CROSSED, crossed, weights=np.ones(len(crossed)))
    assert criterion(ones) == pytest.approx(criterion(fit), abs=CRITERION)
    same_estimates(ones, fit)


@pytest.mark.parametrize("constant", [1e-4, 0.5, 3.0, 1e6])
@pytest.mark.parametrize("reml", [True, False])
def test_weights_times_a_constant_change_sigma_but_not_the_model(crossed, constant, reml):
    # Var(e) = sigma^2 / w: sigma^2 grows by the constant, theta^2 shrinks by it, the covariances stay.
    fit = lmer(CROSSED, crossed, weights="w", REML=reml)
    scaled = lmer(CROSSED, crossed, weights=constant * crossed["w"], REML=reml)
    assert criterion(scaled) == pytest.approx(criterion(fit), abs=CRITERION)
    assert scaled.sigma() ** 2 == pytest.approx(constant * fit.sigma() ** 2, rel=ESTIMATE)
    np.testing.assert_allclose(scaled.theta * np.sqrt(constant), fit.theta, atol=ESTIMATE)
    np.testing.assert_allclose(scaled.fixef(), fit.fixef(), atol=ESTIMATE)
    np.testing.assert_allclose(scaled.vcov(), fit.vcov(), rtol=1e-4, atol=1e-8)
    np.testing.assert_allclose(scaled.VarCorr()["g"], fit.VarCorr()["g"], rtol=1e-4)


def test_a_doubled_row_and_weight_two_have_the_same_residual_sum_of_squares_at_every_theta(crossed):
    # Equal cross-products give equal determinants and pwrss; n, and so sigma and the criterion, differ.
    twice = np.arange(len(crossed)) % 3 == 0
    weights = np.where(twice, 2.0, 1.0)
    weighted = lmer(CROSSED, crossed, weights=weights)
    doubled = lmer(CROSSED, pd.concat([crossed, crossed[twice]]))
    assert doubled.nobs == weighted.nobs + twice.sum()
    cmp = weighted.getME("devcomp")["cmp"]
    for fit, log_weights in ((weighted, np.log(weights).sum()), (doubled, 0.0)):
        N = fit.nobs - fit.getME("p")
        per_degree = (fit.devfun()(weighted.theta) + log_weights - cmp["ldL2"] - cmp["ldRX2"]) / N - 1.0
        assert np.exp(per_degree) * N / (2 * np.pi) == pytest.approx(cmp["pwrss"], rel=1e-10)


def test_doubling_every_row_is_not_the_same_as_weight_two(crossed):
    weighted = lmer(CROSSED, crossed, weights=np.full(len(crossed), 2.0))
    doubled = lmer(CROSSED, pd.concat([crossed, crossed]))
    assert doubled.nobs == 2 * weighted.nobs
    assert weighted.sigma() / np.sqrt(2) == pytest.approx(lmer(CROSSED, crossed).sigma(), rel=ESTIMATE)
    assert doubled.sigma() < 0.99 * weighted.sigma() / np.sqrt(2)


# --- labels and order ----------------------------------------------------------------


def test_the_names_of_levels_do_not_matter(crossed):
    names = np.random.default_rng(5).permutation(25)
    fit, renamed = lmer(CROSSED, crossed), lmer(CROSSED, crossed.assign(g=[f"n{names[k]:02d}" for k in crossed["g"]]))
    assert criterion(renamed) == pytest.approx(criterion(fit), abs=CRITERION)
    same_estimates(renamed, fit)
    modes = renamed.ranef()["g"].loc[[f"n{names[k]:02d}" for k in range(25)]]
    np.testing.assert_allclose(modes, fit.ranef()["g"], atol=1e-4)


def test_the_order_of_random_terms_does_not_matter(crossed):
    fit = lmer(CROSSED, crossed)
    swapped = lmer("y ~ (1 | h) + x * f + (x | g)", crossed)
    assert criterion(swapped) == pytest.approx(criterion(fit), abs=CRITERION)
    same_estimates(swapped, fit)
    assert list(swapped.VarCorr()) == list(fit.VarCorr())


def test_the_order_of_fixed_terms_does_not_matter(crossed):
    fit, swapped = lmer(CROSSED, crossed), lmer("y ~ f * x + (x | g) + (1 | h)", crossed)
    assert criterion(swapped) == pytest.approx(criterion(fit), abs=CRITERION)
    for ours, theirs in (("x", "x"), ("fb", "fb"), ("x:fb", "fb:x")):
        assert fit.fixef()[ours] == pytest.approx(swapped.fixef()[theirs], abs=ESTIMATE)


@pytest.mark.parametrize("coding", ["contr.sum", "contr.helmert", "contr.SAS", "contr.poly"])
def test_the_coding_of_a_factor_does_not_change_the_maximum_likelihood(crossed, coding):
    fit, coded = lmer(CROSSED, crossed, REML=False), lmer(CROSSED, crossed, REML=False, contrasts={"f": coding})
    assert coded.deviance() == pytest.approx(fit.deviance(), abs=CRITERION)
    np.testing.assert_allclose(coded.fitted(), fit.fitted(), atol=1e-4)


def test_the_reference_level_does_not_change_the_fit(crossed):
    fit = lmer(CROSSED, crossed)
    other = crossed.assign(f=pd.Categorical(crossed["f"], categories=["c", "a", "b"]))
    moved = lmer(CROSSED, other)
    assert moved.REMLcrit() == pytest.approx(fit.REMLcrit(), abs=CRITERION)
    np.testing.assert_allclose(moved.fitted(), fit.fitted(), atol=1e-4)
    assert moved.fixef()["fb"] - moved.fixef()["fa"] == pytest.approx(fit.fixef()["fb"], abs=ESTIMATE)


def test_a_factor_slope_may_be_written_in_either_basis(crossed):
    with_intercept = lmer("y ~ x + (f | g)", crossed, control=lmerControl(check_conv_singular="ignore"))
    cell_means = lmer("y ~ x + (0 + f | g)", crossed, control=lmerControl(check_conv_singular="ignore"))
    assert criterion(cell_means) == pytest.approx(criterion(with_intercept), abs=1e-6)


def test_nested_and_interaction_notation_are_one_model():
    data = datasets.load("Pastes")
    slash = lmer("strength ~ 1 + (1 | batch/cask)", data)
    written = lmer("strength ~ 1 + (1 | batch) + (1 | batch:cask)", data)
    unique = lmer("strength ~ 1 + (1 | batch) + (1 | both)", data.assign(both=data["batch"].astype(str) + data["cask"].astype(str)))
    assert slash.REMLcrit() == pytest.approx(written.REMLcrit(), abs=CRITERION)
    assert slash.REMLcrit() == pytest.approx(unique.REMLcrit(), abs=CRITERION)


def test_double_bar_is_two_terms(sleep):
    double = lmer("Reaction ~ Days + (Days || Subject)", sleep)
    split = lmer("Reaction ~ Days + (1 | Subject) + (0 + Days | Subject)", sleep)
    assert double.REMLcrit() == split.REMLcrit()


def test_an_extra_level_without_rows_changes_nothing(sleep):
    more = sleep.assign(Subject=sleep["Subject"].cat.add_categories(["none"]))
    assert lmer(SLEEP, more).REMLcrit() == lmer(SLEEP, sleep).REMLcrit()


def test_a_model_with_all_random_effects_zero_is_least_squares():
    data = datasets.load("Dyestuff2")
    with pytest.warns(match="singular"):
        fit = lmer("Yield ~ 1 + (1 | Batch)", data)
    y = data["Yield"].to_numpy()
    assert fit.fixef().iloc[0] == pytest.approx(y.mean(), rel=1e-12)
    assert fit.sigma() == pytest.approx(y.std(ddof=1), rel=1e-12)
    assert fit.bse.iloc[0] == pytest.approx(y.std(ddof=1) / np.sqrt(30), rel=1e-10)


def test_balanced_one_way_layout_has_the_closed_form():
    data = datasets.load("Dyestuff")
    fit = lmer("Yield ~ 1 + (1 | Batch)", data)
    groups = data.groupby("Batch", observed=True)["Yield"]
    within = groups.var().mean()
    between = 5 * groups.mean().var()
    assert fit.sigma() ** 2 == pytest.approx(within, rel=1e-8)
    assert fit.VarCorr()["Batch"].iloc[0, 0] == pytest.approx((between - within) / 5, rel=1e-7)
    assert fit.bse.iloc[0] == pytest.approx(np.sqrt(between / 30), rel=1e-8)
