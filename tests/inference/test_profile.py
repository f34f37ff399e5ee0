"""Profiles against their definition, in dense matrices, and against lme4's stored answers."""

import functools
import json
import pathlib
import pickle
import sys
import warnings

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import chi2

from fastlmm_hlm import confint, datasets, lmer, lmerControl, profile
from fastlmm_hlm.errors import ArgumentError, ConvergenceWarning, FastlmmWarning, UnknownNameError
from fastlmm_hlm.inference.constrained import problem_of
from fastlmm_hlm.inference.ml_fit import MaximumLikelihood
from fastlmm_hlm.inference.parameters import parameters_of

ROOT = pathlib.Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))
from parity.cases import all_cases  # noqa: E402

CASES = {case.id: case for case in all_cases()}
STORED = json.loads((pathlib.Path(__file__).parent / "reference" / "profile.json").read_text())
# lme4's splines are accurate to about this share of the width of an interval.
SPLINE = 1e-3
# A limit is met when zeta is within 1e-7 of the quantile; the minimum itself is good to 1e-9.
EXACT = 2e-6
# Dense log determinants of some hundreds.
DENSE = 1e-6
# Optima of the two programs differ by less than this; so may points of their profiles.
SAME_DEVIANCE = 1e-5

# Intervals of lme4 that come without complaint and yet are off: where its spline bends next to
# zero (relative error in its own profile), or its minimizer stopped early, which the test of the
# points shows.  The dense definition decides all of them.
COARSE = {("orthodont_interaction", ".sig01"), ("crossed_factor_slope", ".sig07"), ("oats_split_plot", ".sig01"),
          ("cake_poly_recipe", ".sig01"), ("sleep_weights", ".sig01")}
# Terms of three columns: lme4 gives points whose correlation matrix does not exist, and stops early.
THREE_COLUMNS = {"sleep_quadratic", "machines_cell_means", "crossed_factor_slope"}
# With prior weights lme4's profile of a fixed effect jumps by hundreds next to the estimate.
WEIGHTED = {"sleep_weights", "ragged_everything"}


@functools.cache
def fit_of(name):
    case = CASES[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FastlmmWarning)
        return lmer(case.formula, case.frame(), **case.arguments())


@functools.cache
def profile_of(name):
    return profile(fit_of(name))


def known(values):
    return np.array([np.nan if v is None else v for v in values], dtype=float)


def dense_deviance(fit, values):
    """-2 log likelihood of all parameters by its definition: standard deviations, correlations, sigma, beta."""
    design, parameters = fit._rows.design, parameters_of(fit)
    n = design.n
    w = np.ones(n) if design.weights is None else design.weights
    sigma = values[[one.kind for one in parameters].index("sigma")]
    V = np.diag(sigma**2 / w)
    for t, term in enumerate(design.terms):
        c = len(term.names)
        sd, R = np.zeros(c), np.eye(c)
        for one, value in zip(parameters, values):
            if one.term == t and one.kind == "sd":
                sd[one.row] = value
            elif one.term == t:
                R[one.row, one.column] = R[one.column, one.row] = 0.0 if np.isnan(value) else value
        factor = design.factors[term.factor]
        z = np.column_stack([np.ones(n) if v is None else v for v in factor.columns[term.columns]])
        V += (factor.codes[:, None] == factor.codes[None, :]) * (z @ (np.outer(sd, sd) * R) @ z.T)
    beta = np.array([value for one, value in zip(parameters, values) if one.is_fixed_effect])
    r = design.y - design.X @ beta - (0.0 if design.offset is None else design.offset)
    return float(np.linalg.slogdet(V)[1] + r @ np.linalg.solve(V, r) + n * np.log(2 * np.pi))


# Dense matrices of 640 rows take ten seconds.
DEFINED = [pytest.param(name, marks=pytest.mark.slow if name == "crossed_factor_slope" else ()) for name in STORED["cases"]]


@pytest.mark.parametrize("name", DEFINED)
def test_the_deviance_at_every_limit_is_the_quantile_above_its_minimum(name):
    made, fit = profile_of(name), fit_of(name)
    wanted = chi2.ppf(0.95, 1)
    limits = made.confint(level=0.95)
    for one in parameters_of(fit):
        points = made.points[one.short]
        rows = points[made.estimates.index].to_numpy()
        for limit, bound in zip(limits.loc[one.short], (one.lower, one.upper)):
            at = int(np.argmin(np.abs(points[one.short].to_numpy() - limit)))
            difference = dense_deviance(fit, rows[at]) - made.deviance
            assert abs(difference - points[".zeta"][at] ** 2) < DENSE * max(1.0, abs(made.deviance))
            if limit == bound:
                assert difference < wanted + EXACT
            else:
                assert abs(difference - wanted) < EXACT + DENSE * max(1.0, abs(made.deviance))


# Central differences of dense deviances with steps of 1e-4 of the scale of a parameter.
SLOPE = 1e-3


@pytest.mark.parametrize("name", ["sleep_slope", "sleep_weights", "penicillin", "sleep_uncorrelated"])
def test_the_deviance_is_stationary_in_the_rest_at_every_limit(name):
    made, fit = profile_of(name), fit_of(name)
    parameters = parameters_of(fit)
    names = [one.short for one in parameters]
    spread = (made.confint().iloc[:, 1] - made.confint().iloc[:, 0]).to_numpy() / 4
    for i, one in enumerate(parameters):
        points = made.points[one.short]
        for sign in (-1, 1):
            at = int(np.argmin(np.abs(points[".zeta"].to_numpy() - sign * np.sqrt(chi2.ppf(0.95, 1)))))
            values = points[names].to_numpy()[at]
            for j, other in enumerate(parameters):
                if j != i and other.lower < values[j] - 1e-3 * spread[j] and values[j] + 1e-3 * spread[j] < other.upper:
                    h = 1e-4 * spread[j] * np.eye(len(values))[j]
                    slope = dense_deviance(fit, values + h) - dense_deviance(fit, values - h)
                    assert abs(slope) / 2e-4 < SLOPE, (one.short, sign, other.short)


FREE = ["dyestuff", "pastes_nested", "ergo_no_intercept"]


@pytest.mark.parametrize("name", FREE)
def test_no_other_values_of_the_rest_lower_the_deviance(name):
    """An independent minimizer in the user's own parameters, from each limit."""
    made, fit = profile_of(name), fit_of(name)
    parameters = parameters_of(fit)
    for i, one in enumerate(parameters):
        points = made.points[one.short]
        for sign in (-1, 1):
            at = int(np.argmin(np.abs(points[".zeta"].to_numpy() - sign * np.sqrt(chi2.ppf(0.95, 1)))))
            values = points[made.estimates.index].to_numpy()[at]
            rest = [j for j in range(len(values)) if j != i]
            scale = np.maximum(np.abs(values[rest]), 0.1)

            def deviance(x):
                whole = values.copy()
                whole[rest] = values[rest] + scale * x
                if any(p.kind in ("sd", "sigma") and v < 0 or p.kind == "cor" and abs(v) > 1
                       for p, v in zip(parameters, whole)):
                    return 1e10
                return dense_deviance(fit, whole)

            found = minimize(deviance, np.zeros(len(rest)), method="Nelder-Mead",
                             options={"maxfev": 250, "initial_simplex": np.vstack([np.zeros(len(rest)), 0.02 * np.eye(len(rest))])})
            assert found.fun > deviance(np.zeros(len(rest))) - 1e-6


@pytest.mark.parametrize("name", STORED["cases"])
def test_intervals_are_those_of_lme4(name):
    made, compared = profile_of(name), 0
    fit = fit_of(name)
    for one, theirs in zip(parameters_of(fit), STORED["cases"][name]["parameters"]):
        if "error" in theirs or theirs["said"] or (name, one.short) in COARSE or (name in THREE_COLUMNS and one.kind != "beta"):
            continue                            # lme4 complains, or see above; the definition is tested on all
        if name in WEIGHTED and one.is_fixed_effect:
            continue
        for level, limits in zip(STORED["levels"], theirs["limits"]):
            ours = made.confint(one.short, level).to_numpy()[0]
            width = ours[1] - ours[0]
            np.testing.assert_allclose(ours, known(limits), atol=SPLINE * width)
            compared += 1
    assert compared >= 3


@pytest.mark.parametrize("name", [name for name in STORED["cases"] if name not in THREE_COLUMNS])
def test_no_point_of_lme4_lies_below_ours(name):
    """lme4's own minima at its own values: ours are the same or lower."""
    fit = fit_of(name)
    ml, same, total = MaximumLikelihood(fit), 0, 0
    for one, theirs in zip(parameters_of(fit), STORED["cases"][name]["parameters"]):
        if "error" in theirs or (name in WEIGHTED and one.is_fixed_effect):
            continue
        value, zeta = known(theirs["focal"]), known(theirs["zeta"])
        inside = np.isfinite(value) & np.isfinite(zeta)
        if one.kind in ("sd", "sigma"):
            inside &= value > 0
        problem = problem_of(ml, one)
        ours = problem.solve(value[inside]).deviance
        for cap in problem.limits_of_the_rest():
            ours = np.minimum(ours, cap.solve(np.zeros(1)).deviance[0])
        difference = ours - ml.deviance - zeta[inside] ** 2
        assert difference.max() < SAME_DEVIANCE
        if not theirs["said"]:
            same += (np.abs(difference) < 1e-3).sum()
            total += inside.sum()
    assert same > 0.8 * total


def test_the_deviance_is_that_of_maximum_likelihood_for_fits_by_REML_too():
    by_REML, by_ML = profile_of("sleep_slope"), profile_of("sleep_slope_ml")
    assert abs(by_REML.deviance - by_ML.deviance) < 1e-8
    np.testing.assert_allclose(by_REML.confint(), by_ML.confint(), rtol=1e-5)


@pytest.mark.parametrize("name", STORED["cases"])
def test_the_minimum_is_that_of_lme4(name):
    assert abs(profile_of(name).deviance - STORED["cases"][name]["deviance"]) < SAME_DEVIANCE


def test_a_deviation_estimated_as_zero_has_an_interval_that_begins_at_zero_exactly():
    limits = profile_of("dyestuff2_singular").confint(level=0.95)
    assert limits.loc[".sig01", "2.5 %"] == 0.0 and limits.loc[".sig01", "97.5 %"] > 1.0
    assert confint(fit_of("dyestuff2_singular"), ".sig01").iloc[0, 0] == 0.0


def test_a_deviation_that_may_be_zero_has_zero_as_its_limit():
    limits = profile_of("dyestuff").confint(level=0.99)
    assert limits.iloc[0, 0] == 0.0
    theirs = STORED["cases"]["dyestuff"]["parameters"][0]["limits"][2]
    assert theirs[0] == 0.0


def test_a_correlation_that_says_nothing_has_its_whole_range_as_interval():
    limits = profile_of("orthodont_interaction").confint(level=0.99)
    assert limits.loc[".sig02"].tolist() == [-1.0, 1.0]


def test_a_correlation_costs_no_more_than_the_loss_of_one_of_its_deviations():
    made = profile_of("orthodont_interaction")
    cost = made.points[".sig02"][".zeta"].abs().max() ** 2
    gone = made.points[".sig01"]
    assert gone[".sig01"].iloc[0] == 0.0
    assert cost <= gone[".zeta"].iloc[0] ** 2 + 1e-8


@pytest.mark.parametrize("name", STORED["cases"])
def test_profiles_increase_and_have_no_trouble(name):
    made = profile_of(name)
    assert made.trouble == []
    for one in parameters_of(fit_of(name)):
        points = made.points[one.short]
        assert (np.diff(points[one.short]) > 0).all() and (np.diff(points[".zeta"]) > -1e-7).all()
        reached = np.array([points[".zeta"].iloc[0], points[".zeta"].iloc[-1]])
        at_bound = points[one.short].iloc[0] == one.lower, points[one.short].iloc[-1] == one.upper
        assert (np.abs(reached) >= made.cutoff)[~np.array(at_bound)].all()


def test_the_cutoff_is_that_of_all_parameters_together():
    assert abs(profile_of("sleep_slope").cutoff - np.sqrt(chi2.ppf(0.99, 6))) < 1e-12


@pytest.mark.parametrize("name", ["sleep_slope", "pastes_nested", "machines_cell_means"])
def test_limits_between_the_points_are_nearly_exact(name):
    fit, made = fit_of(name), profile_of(name)
    for level in (0.5, 0.8, 0.97):
        by_spline, solved = made.confint(level=level), confint(fit, level=level)
        width = (solved.iloc[:, 1] - solved.iloc[:, 0]).to_numpy()[:, None]
        assert (np.abs(by_spline.to_numpy() - solved.to_numpy()) / width).max() < 5e-3


def test_zeta_is_the_root_at_the_points_and_nothing_outside():
    made = profile_of("sleep_slope")
    points = made.points[".sig03"]
    np.testing.assert_allclose(made.zeta(".sig03", points[".sig03"]), points[".zeta"], atol=1e-9)
    assert np.isnan(made.zeta(".sig03", points[".sig03"].iloc[-1] + 1.0))


def test_the_frame_is_that_of_R():
    made = profile_of("sleep_slope")
    frame = made.to_frame()
    assert list(frame.columns) == [".zeta", ".sig01", ".sig02", ".sig03", ".sigma", "(Intercept)", "Days", ".par", ".focal"]
    assert list(frame[".par"].cat.categories) == list(made.names)
    for name, part in frame.groupby(".par", observed=True):
        assert (part[name] == part[".focal"]).all()


def test_names_are_those_of_lme4():
    fit = fit_of("sleep_slope")
    assert profile(fit, which="theta_", signames=False).names == [
        "sd_(Intercept)|Subject", "cor_Days.(Intercept)|Subject", "sd_Days|Subject", "sigma",
    ]
    assert profile(fit_of("sleep_uncorrelated"), signames=False).names[:3] == [
        "sd_(Intercept)|Subject", "sd_Days|Subject", "sigma",
    ]


def test_parameters_are_chosen_by_number_name_and_group():
    fit, whole = fit_of("sleep_slope"), profile_of("sleep_slope").confint()
    for which, expected in ((0, [".sig01"]), (-1, ["Days"]), ([4, 0], [".sig01", "(Intercept)"]), (".sigma", [".sigma"]),
                            ("sd_Days|Subject", [".sig03"]), ("beta_", ["(Intercept)", "Days"])):
        made = profile(fit, which=which)
        assert made.names == expected
        np.testing.assert_allclose(made.confint(), whole.loc[expected], rtol=1e-6)


def test_levels_beyond_the_profile_are_missing_and_said_to_be():
    made = profile(fit_of("sleep_slope"), which="Days", alphamax=0.5, levels=(0.5,))
    with pytest.warns(FastlmmWarning, match="does not reach level 0.9999"):
        assert made.confint(level=0.9999).isna().all(axis=None)


def test_a_profile_pickles():
    made = profile_of("pastes_nested")
    made.confint()
    again = pickle.loads(pickle.dumps(made))
    assert again.confint().equals(made.confint())
    assert "3 points" in repr(profile(fit_of("dyestuff"), which=0, delta=9.0, levels=())) or "Profile of .sig01" in repr(made)


@pytest.mark.parametrize("arguments, message", [
    ({"which": 6}, "count from 0 to 5"), ({"which": 1.5}, "neither the number nor the name"),
    ({"which": True}, "neither"), ({"alphamax": 0.0}, "alphamax"), ({"alphamax": 1.0}, "alphamax"), ({"delta": 0.0}, "delta"),
    ({"levels": (95,)}, "level = 95"),
])
def test_arguments_out_of_range_are_refused(arguments, message):
    with pytest.raises(ArgumentError, match=message):
        profile(fit_of("sleep_slope"), **arguments)


def test_an_unknown_parameter_is_refused_with_those_that_exist():
    with pytest.raises(UnknownNameError, match=r"'.sig04'; there are .sig01 \(sd_\(Intercept\)\|Subject\)"):
        profile(fit_of("sleep_slope"), which=".sig04")
    with pytest.raises(ArgumentError, match="was not profiled"):
        profile_of("sleep_slope").confint("nonsense")


def test_other_structures_have_profiles_whose_limits_meet_the_quantile():
    data = datasets.load("sleepstudy")
    for formula, expected in (
        ("Reaction ~ Days + diag(Days | Subject)", [".sig01", ".sig02"]),
        ("Reaction ~ Days + cs(Days | Subject)", [".sig01", ".sig02", ".sig03"]),
        ("Reaction ~ 1 + ar1(Days | Subject)", [".sig01", ".sig02"]),
    ):
        fit = lmer(formula, data)
        made = profile(fit, which="theta_")
        assert made.names == [*expected, ".sigma"]
        own = [one.short for one in parameters_of(fit)]
        for name in made.names:
            points = made.points[name]
            at = np.flatnonzero(np.abs(np.abs(points[".zeta"]) - np.sqrt(chi2.ppf(0.95, 1))) < 1e-6)
            assert len(at) >= 1
            if "ar1" not in formula:
                for row in points[own].to_numpy()[at]:
                    assert abs(dense_deviance(fit, row) - made.deviance - chi2.ppf(0.95, 1)) < 1e-4


def test_an_unstructured_and_a_cs_term_of_two_columns_have_the_same_intervals():
    data = datasets.load("sleepstudy")
    one, other = (lmer(f"Reaction ~ Days + {bar}", data) for bar in ("(Days | Subject)", "cs(Days | Subject)"))
    us, cs = (confint(fit, signames=False) for fit in (one, other))
    np.testing.assert_allclose(cs.loc[us.index], us, rtol=1e-4)


def test_a_profile_that_finds_a_lower_deviance_starts_again_from_there():
    data = datasets.load("sleepstudy")
    with pytest.warns(ConvergenceWarning):
        stopped = lmer("Reaction ~ Days + (Days | Subject)", data, REML=False, start=[3.0, 1.0, 2.0],
                       control=lmerControl(max_evaluations=1))
    assert stopped._estimates.criterion > profile_of("sleep_slope").deviance + 1.0
    made = profile(stopped)
    assert abs(made.deviance - profile_of("sleep_slope").deviance) < 1e-8
    np.testing.assert_allclose(made.confint(), profile_of("sleep_slope").confint(), rtol=1e-5)


def test_a_correlation_is_missing_where_one_of_its_deviations_is_zero():
    points = profile_of("sleep_slope").points[".sig01"]
    assert points[".sig01"].iloc[0] == 0.0 and np.isnan(points[".sig02"].iloc[0])
    assert points[".sig02"].iloc[1:].notna().all()


def test_uncentred_predictors_have_the_intervals_of_centred_ones():
    data = datasets.load("sleepstudy").assign(year=lambda d: d["Days"] + 2000)
    plain = confint(lmer("Reaction ~ Days + (Days | Subject)", data))
    shifted = confint(lmer("Reaction ~ year + (year | Subject)", data))
    np.testing.assert_allclose(shifted.loc["year"], plain.loc["Days"], rtol=1e-6)
    np.testing.assert_allclose(shifted.loc[[".sig03", ".sigma"]], plain.loc[[".sig03", ".sigma"]], rtol=1e-6)
