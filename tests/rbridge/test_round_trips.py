"""R -> file -> Python -> R -> file -> Python, on models of the parity suite."""

import numpy as np
import pytest

from fastlmm_hlm import from_r, lmer, make_lmer, read_rds, to_r
from parity.cases import all_cases
from tests.rbridge.compare import WHAT, distance, distances

pytestmark = pytest.mark.parity

# R's numbers pass through two programs' arithmetic; the worst of 84 models was 1.1e-9 (a year as a slope), of these 5e-11.
SAME = 1e-9
# A merMod at our theta and one at our theta read again differ in rounding alone.
ROUNDING = 1e-10

CASES = (
    "sleep_slope", "sleep_uncorrelated", "sleep_log_scaled", "sleep_weights_ml", "sleep_offset_argument", "sleep_offset_term",
    "sleep_subset_drops_levels", "sleep_factor_days", "sleep_rank_deficient", "dyestuff2_singular", "petrol_slope_singular",
    "oxboys_poly", "orthodont_dummy", "airquality_gaps", "machines_sum_contrasts_in_fixed_part_only", "pastes_nested",
    "alfalfa_per_factor_contrasts", "oxide_three_levels", "penicillin_ml", "cake_ordered", "crossed_group_by_expression",
    "ragged_everything", "chick_poly",
)
OFFSETS = {"sleep_offset_argument": lambda rows: 10 * rows["Days"]}


def far(found, tolerance):
    return {what: value for what, value in found.items() if not value <= tolerance}


@pytest.mark.parametrize("case_id", CASES)
def test_a_model_from_r_has_rs_numbers_and_goes_back_unchanged(lme4, tmp_path, case_id):
    model, r_rows, rows = lme4.fit(case_id)
    answers = lme4.answers(model, r_rows)
    lme4.run["saveRDS"](lme4.alone(model), str(tmp_path / "model.rds"))
    fit = read_rds(tmp_path / "model.rds")
    offset = OFFSETS.get(case_id, lambda rows: 0.0)(rows)
    assert far(distances(fit, answers, rows, offset), SAME) == {}

    back = to_r(fit, path=tmp_path / "back.rds")
    there = lme4.answers(back)
    assert far({what: distance(there[what], answers[what]) for what in WHAT}, SAME) == {}
    again = read_rds(tmp_path / "back.rds")
    assert distance(again.theta, fit.theta) <= ROUNDING and distance(again.fitted().dropna(), fit.fitted().dropna()) <= ROUNDING


@pytest.mark.parametrize("case_id", CASES)
def test_a_fit_handed_to_r_has_our_numbers_and_comes_back(lme4, tmp_path, case_id, recwarn):
    case = next(case for case in all_cases() if case.id == case_id)
    fit = lmer(case.formula, case.frame(), **case.arguments())
    answers = lme4.answers(to_r(fit, path=tmp_path / "fit.rds"))
    assert far(distances(fit, answers), SAME) == {}
    again = read_rds(tmp_path / "fit.rds")
    assert distance(again.theta, fit.theta) <= ROUNDING
    assert far({"fixef": distance(again.fixef(), fit.fixef()), "vcov": distance(again.vcov(), fit.vcov()),
                "logLik": distance(float(again.logLik()), float(fit.logLik())), "fitted": distance(again.fitted(), fit.fitted())}, SAME) == {}
    assert again.optinfo["optimizer"].startswith("theta of fastlmm_hlm")


def test_splines_come_with_their_knots(lme4):
    lme4.run("library(splines)")
    lme4.run("""spline.fit <- lmer(Reaction ~ ns(Days, 3) + bs(Days, knots = c(2, 5)) + (ns(Days, 2) | Subject), sleepstudy,
                control = lmerControl(check.rankX = "silent.drop.cols", calc.derivs = FALSE))""")
    model = lme4.run["spline.fit"]
    fit = from_r(lme4.alone(model))
    rows = fit._settings.data.iloc[[5, 0, 3]].assign(Days=[1.5, 12.0, -1.0])      # between and outside the knots
    lme4.run('spline.rows <- data.frame(Days = c(1.5, 12, -1), Subject = "308")')
    answers = lme4.answers(model, lme4.run["spline.rows"])
    rows["Subject"] = "308"
    assert far(distances(fit, answers, rows), SAME) == {}


def test_rows_left_out_by_na_exclude_are_padded_as_in_r(lme4):
    lme4.run("""gaps <- sleepstudy; gaps$Reaction[c(3, 40)] <- NA
                gaps.fit <- lmer(Reaction ~ scale(Days) + (Days | Subject), gaps, na.action = na.exclude)""")
    for model in (lme4.run["gaps.fit"], lme4.alone(lme4.run["gaps.fit"])):
        fit = from_r(model)
        there = lme4.value("fitted(gaps.fit)")
        assert fit.nobs() == 178 and len(fit.fitted()) == 180
        np.testing.assert_allclose(fit.fitted(), there, rtol=SAME)
        assert fit.fitted().index[2] == 3 and np.isnan(fit.fitted().iloc[2])


def test_a_missing_row_of_another_variable_still_shapes_the_basis(lme4):
    """scale() in R takes the mean of all rows; so does the model here, with and without its data."""
    lme4.run("gap <- sleepstudy; gap$Reaction[c(10, 20, 30)] <- NA; gap.fit <- lmer(Reaction ~ scale(Days) + (1 | Subject), gap)")
    lme4.run('gap.rows <- data.frame(Days = c(0, 4.5), Subject = "308")')
    answers = lme4.answers(lme4.run["gap.fit"], lme4.run["gap.rows"])
    whole, alone = from_r("gap.fit"), from_r(lme4.alone(lme4.run["gap.fit"]))
    rows = {"Days": [0.0, 4.5], "Subject": ["308", "308"]}
    for fit in (whole, alone):
        np.testing.assert_allclose(fit.predict(rows), answers["predict"], rtol=SAME)
    assert len(whole._settings.data) == 180 and whole.update().nobs() == 177
    np.testing.assert_allclose(whole.update().fixef(), answers["fixef"], rtol=1e-6)        # R's optimum against ours


def test_parameters_that_were_given_stay_as_they_are_on_both_sides(lme4):
    plan = {"x": np.tile(np.arange(5.0), 12), "g": np.repeat([f"g{i}" for i in range(12)], 5)}
    fit = make_lmer("y ~ x + (1 | g)", plan, fixef=[1, 0.5], VarCorr={"g": 0.7}, sigma=2.0, seed=1)
    model = to_r(fit)
    answers = lme4.answers(model)
    assert far(distances(fit, answers), SAME) == {}
    again = from_r(model)
    assert again._given and distance(again.fixef(), [1, 0.5]) == 0 and again.sigma() == 2.0


def test_a_factor_with_contrasts_of_its_own_keeps_them(lme4):
    lme4.run("""coded <- as.data.frame(nlme::Machines); class(coded$Worker) <- "factor"
                coded$Machine <- factor(coded$Machine); contrasts(coded$Machine) <- cbind(BvA = c(-1, 1, 0), CvAB = c(-1, -1, 2))
                coded.fit <- lmer(score ~ Machine + (Machine | Worker), coded, control = lmerControl(calc.derivs = FALSE))""")
    model = lme4.run["coded.fit"]
    fit = from_r(model)
    assert list(fit.fixef().index) == ["(Intercept)", "MachineBvA", "MachineCvAB"]
    assert far(distances(fit, lme4.answers(model)), SAME) == {}


def test_rs_optimum_is_kept_and_its_distance_is_told(lme4):
    """lme4's search stops early here: the fit keeps its theta, says how much lower a Newton step goes, and refit goes there."""
    model, _, _ = lme4.fit("petrol_slope_singular")
    fit = from_r(model)
    better = fit.refit()
    gain = float(better.logLik()) - float(fit.logLik())
    assert fit.optinfo["status"] == "failed" and fit.optinfo["predicted_decrease"] > 1e-3
    assert gain > 1e-3 and better.optinfo["status"] in ("converged", "singular")
    assert "not refitted" in str(fit) and "not refitted" not in str(better)
    assert "no optimum" in str(fit.summary())
