"""Situations in which other programs for mixed models are known to go wrong."""

import time

import numpy as np
import pandas as pd
import pytest

from fastlmm_hlm import datasets, lmer, lmerControl

QUIET = lmerControl(check_conv_singular="ignore")
# Criteria are minimized to rounding; this leaves room for values near 1e4.
NEVER_WORSE = 1e-7


# --- fixed effects when the variance of the random effects is nearly zero ---------------


@pytest.mark.parametrize("sd", [0.0, 1e-8, 1e-6, 1e-4, 1e-2])
def test_fixed_effects_are_right_when_groups_hardly_differ(sd):
    rng = np.random.default_rng(12)
    g = np.repeat(np.arange(30), 10)
    x = rng.normal(size=300)
    y = 5.0 + 2.0 * x + sd * rng.normal(size=30)[g] + rng.normal(size=300)
    data = pd.DataFrame({"y": y, "x": x, "g": g})
    fit = lmer("y ~ x + (1 | g)", data, control=QUIET)
    X = np.column_stack([np.ones(300), x])
    least_squares = np.linalg.lstsq(X, y, rcond=None)[0]
    np.testing.assert_allclose(fit.fixef(), least_squares, atol=0.05)
    assert (fit.bse > 0.03).all()
    if fit.isSingular():
        np.testing.assert_allclose(fit.fixef(), least_squares, rtol=1e-10)
        residual = y - X @ least_squares
        covariance = residual @ residual / 298 * np.linalg.inv(X.T @ X)
        np.testing.assert_allclose(fit.vcov(), covariance, rtol=1e-9)


def test_fixed_effects_are_right_when_groups_differ_less_than_chance():
    g = np.repeat(np.arange(12), 6)
    x = np.tile(np.arange(6.0), 12)
    within = np.tile([3.0, -1.0, -2.0, 2.0, -3.0, 1.0], 12)
    data = pd.DataFrame({"y": 10.0 - 0.5 * x + within, "x": x, "g": g})
    fit = lmer("y ~ x + (1 | g)", data, control=QUIET)
    assert fit.isSingular() and fit.theta[0] == 0.0
    np.testing.assert_allclose(fit.fixef(), np.polyfit(x, data["y"], 1)[::-1], rtol=1e-10)
    assert fit.optinfo["status"] == "singular"


# --- crossed variance components -----------------------------------------------------------


def balanced_crossed(seed, rows=12, columns=9, repeats=2, sds=(2.0, 0.7, 1.0)):
    rng = np.random.default_rng(seed)
    i, j, _ = np.indices((rows, columns, repeats)).reshape(3, -1)
    y = 3.0 + rng.normal(0, sds[0], rows)[i] + rng.normal(0, sds[1], columns)[j] + rng.normal(0, sds[2], len(i))
    return pd.DataFrame({"y": y, "a": i, "b": j})


@pytest.mark.parametrize("seed", range(5))
def test_crossed_components_equal_the_analysis_of_variance(seed):
    rows, columns, repeats = 12, 9, 2
    data = balanced_crossed(seed)
    fit = lmer("y ~ 1 + (1 | a) + (1 | b)", data)
    cube = data["y"].to_numpy().reshape(rows, columns, repeats)
    grand, a, b = cube.mean(), cube.mean((1, 2)), cube.mean((0, 2))
    ms_a = columns * repeats * a.var(ddof=1)
    ms_b = rows * repeats * b.var(ddof=1)
    residual = cube - a[:, None, None] - b[None, :, None] + grand
    ms_e = (residual**2).sum() / (cube.size - rows - columns + 1)
    assert fit.sigma() ** 2 == pytest.approx(ms_e, rel=1e-6)
    assert fit.VarCorr()["a"].iloc[0, 0] == pytest.approx((ms_a - ms_e) / (columns * repeats), rel=1e-5)
    assert fit.VarCorr()["b"].iloc[0, 0] == pytest.approx((ms_b - ms_e) / (rows * repeats), rel=1e-5)


def test_penicillin_gives_lme4s_components():
    fit = lmer("diameter ~ 1 + (1 | plate) + (1 | sample)", datasets.load("Penicillin"))
    assert fit.REMLcrit() == pytest.approx(330.8606, abs=1e-4)
    table = fit.VarCorr().to_frame()
    np.testing.assert_allclose(table["sdcor"], [0.8467, 1.9316, 0.5499], atol=1e-4)
    assert fit.fixef().iloc[0] == pytest.approx(22.9722, abs=5e-5)
    assert fit.bse.iloc[0] == pytest.approx(0.8086, abs=5e-5)


# --- the likelihood never falls when the model grows -------------------------------------------


CHAIN = [
    "y ~ 1 + (1 | g)", "y ~ x + (1 | g)", "y ~ x + z + (1 | g)", "y ~ x + z + (x || g)", "y ~ x + z + (x | g)",
    "y ~ x + z + (x | g) + (1 | h)", "y ~ x + z + (x + z | g) + (1 | h)", "y ~ x + z + (x + z | g) + (x | h)",
    "y ~ x * z + (x + z | g) + (x | h)",
]


def growing(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(120, 400))
    g, h = rng.integers(0, 14, n), rng.integers(0, 8, n)
    x, z = rng.normal(rng.uniform(-3, 3), rng.uniform(0.1, 5), n), rng.exponential(size=n)
    b = rng.normal(size=(14, 3)) * rng.choice([0.0, 0.3, 2.0], 3)
    y = b[g, 0] + (1 + b[g, 1]) * x + b[g, 2] * z + rng.choice([0.0, 1.0]) * rng.normal(size=8)[h] + rng.normal(size=n)
    return pd.DataFrame({"y": y, "x": x, "z": z, "g": g, "h": h})


@pytest.mark.parametrize("seed", range(10))
def test_the_likelihood_never_falls_when_a_parameter_is_added(seed):
    data = growing(seed)
    fits = [lmer(formula, data, REML=False, control=QUIET) for formula in CHAIN]
    for small, large in zip(fits, fits[1:]):
        assert large.npar > small.npar
        assert large.deviance() <= small.deviance() + NEVER_WORSE, (small.formula, large.formula)


@pytest.mark.parametrize("seed", range(3))
def test_restricted_likelihood_never_falls_when_a_variance_is_added(seed):
    data = growing(seed + 50)
    formulas = ["y ~ x + z + " + part for part in (
        "(1 | g)", "(x || g)", "(x | g)", "(x | g) + (1 | h)", "(x + z | g) + (1 | h)", "(x + z | g) + (x + z | h)")]
    values = [lmer(formula, data, control=QUIET).REMLcrit() for formula in formulas]
    assert all(b <= a + NEVER_WORSE for a, b in zip(values, values[1:])), values


# --- singularity and units ----------------------------------------------------------------------


@pytest.mark.parametrize("scale", [1e-8, 1e-4, 1.0, 1e4, 1e8])
def test_a_healthy_slope_is_not_called_singular_in_odd_units(scale):
    data = datasets.load("sleepstudy")
    fit = lmer("Reaction ~ Days + (Days | Subject)", data.assign(Days=data["Days"] * scale))
    assert not fit.isSingular() and fit.optinfo["status"] == "converged"
    for formula in ("Reaction ~ Days + (Days || Subject)", "Reaction ~ Days + (0 + Days | Subject)"):
        assert not lmer(formula, data.assign(Days=data["Days"] * scale)).isSingular()


@pytest.mark.parametrize("scale", [1e-8, 1e-4, 1.0, 1e4, 1e8])
def test_a_singular_slope_is_called_singular_in_all_units(scale):
    data = datasets.load("sleepstudy").iloc[:30]
    with pytest.warns(match="singular"):
        fit = lmer("Reaction ~ Days + (Days | Subject)", data.assign(Days=data["Days"] * scale))
    assert fit.isSingular()
    assert fit.REMLcrit() - 2 * np.log(scale) == pytest.approx(283.28355, abs=1e-4)


def test_a_perfect_correlation_is_singular_although_both_variances_are_positive():
    with pytest.warns(match="singular"):
        fit = lmer("Reaction ~ Days + (Days | Subject)", datasets.load("sleepstudy").iloc[:30])
    assert (fit.VarCorr()["Subject"].stddev > 1).all()
    assert fit.isSingular() and fit.rePCA()["Subject"].sdev[-1] == pytest.approx(0.0, abs=1e-8)


# --- nested and crossed at once --------------------------------------------------------------------


def factorial(seed=6, subjects=40, items=24):
    """Subjects nested in sites, crossed with items nested in lists, each subject meeting each item."""
    rng = np.random.default_rng(seed)
    s, i = np.indices((subjects, items)).reshape(2, -1)
    site, part = s % 5, i % 3
    y = (10 + rng.normal(0, 1.5, subjects)[s] + rng.normal(0, 1, 5)[site] + rng.normal(0, 0.8, items)[i]
         + rng.normal(0, 0.6, (5, items))[site, i] + rng.normal(size=len(s)))
    return pd.DataFrame({"y": y, "subject": s, "site": site, "item": i, "part": part})


FACTORIAL = ["(1 | site/subject)", "(1 | part/item)", "(1 | site:item)"]


def test_nested_and_crossed_factors_give_one_optimum_in_every_order():
    data = factorial()
    fits = [lmer("y ~ 1 + " + " + ".join(order), data, control=QUIET)
            for order in (FACTORIAL, FACTORIAL[::-1], [FACTORIAL[k] for k in (1, 2, 0)])]
    for fit in fits[1:]:
        assert fit.REMLcrit() == pytest.approx(fits[0].REMLcrit(), abs=1e-7)
        components = {name: float(S.iloc[0, 0]) for name, S in fit.VarCorr().items()}
        first = {name: float(S.iloc[0, 0]) for name, S in fits[0].VarCorr().items()}
        assert set(components) == set(first)
        for name, value in first.items():
            assert components[name] == pytest.approx(value, abs=1e-4), name
    assert fits[0].optinfo["evaluations"] < 40


def test_nested_and_crossed_factors_match_the_dense_definition():
    data = factorial(subjects=15, items=9)
    fit = lmer("y ~ 1 + " + " + ".join(FACTORIAL), data, control=QUIET)
    V = np.eye(len(data))
    columns = {"subject:site": ["site", "subject"], "item:part": ["part", "item"], "item:site": ["site", "item"],
               "site:item": ["site", "item"], "site": ["site"], "part": ["part"]}
    for name, S in fit.VarCorr().items():
        codes = data.groupby(columns[name]).ngroup().to_numpy()
        V += float(S.iloc[0, 0]) / fit.sigma() ** 2 * (codes[:, None] == codes[None, :])
    Vinv = np.linalg.inv(V)
    one, y, n = np.ones(len(data)), data["y"].to_numpy(), len(data)
    XVX = one @ Vinv @ one
    r = y - (one @ Vinv @ y) / XVX
    value = np.linalg.slogdet(V)[1] + np.log(XVX) + (n - 1) * (1 + np.log(2 * np.pi * (r @ Vinv @ r) / (n - 1)))
    assert fit.REMLcrit() == pytest.approx(value, abs=1e-8)


def test_a_crossed_factorial_of_ten_thousand_rows_takes_no_more_than_seconds():
    data = factorial(subjects=200, items=50)
    began = time.perf_counter()
    fit = lmer("y ~ 1 + " + " + ".join(FACTORIAL), data, control=QUIET)
    assert time.perf_counter() - began < 10.0
    assert fit.optinfo["status"] in ("converged", "singular")


# --- convergence on easy data -----------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(20))
def test_easy_data_always_converge_to_a_certified_optimum(seed):
    rng = np.random.default_rng(seed + 100)
    n, levels = int(rng.integers(60, 600)), int(rng.integers(5, 30))
    g = rng.integers(0, levels, n)
    x = rng.normal(rng.uniform(-50, 50), 10 ** rng.uniform(-3, 3), n)
    b = rng.normal(size=(levels, 2)) * [10 ** rng.uniform(-2, 2), 1.0]
    scaled = (x - x.mean()) / x.std()
    y = 10 ** rng.uniform(-3, 3) * (1 + b[g, 0] + (0.5 + b[g, 1]) * scaled + rng.normal(size=n))
    fit = lmer("y ~ x + (x | g)", pd.DataFrame({"y": y, "x": x, "g": g}), control=QUIET)
    assert fit.optinfo["status"] in ("converged", "singular")
    assert fit.optinfo["evaluations"] <= 120         # a singular fit is searched for three times
    other = lmer("y ~ x + (x | g)", pd.DataFrame({"y": y, "x": x, "g": g}),
                 control=lmerControl(optimizer="bobyqa", check_conv_singular="ignore"))
    assert fit.REMLcrit() <= other.REMLcrit() + 1e-6


def test_many_levels_with_few_rows_each():
    rng = np.random.default_rng(9)
    g = np.repeat(np.arange(3000), 2)
    data = pd.DataFrame({"y": rng.normal(size=3000)[g] + rng.normal(size=6000), "g": g})
    fit = lmer("y ~ 1 + (1 | g)", data)
    pairs = data["y"].to_numpy().reshape(3000, 2)
    within = ((pairs[:, 0] - pairs[:, 1]) ** 2 / 2).mean()
    between = 2 * pairs.mean(axis=1).var(ddof=1)
    assert fit.sigma() ** 2 == pytest.approx(within, rel=1e-6)
    assert fit.VarCorr()["g"].iloc[0, 0] == pytest.approx((between - within) / 2, rel=1e-5)
