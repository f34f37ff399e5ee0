"""Data on which careless arithmetic loses its digits, and data that leave nothing to estimate."""

import numpy as np
import pandas as pd
import pytest

from fastlmm_hlm import lmer, lmerControl
from fastlmm_hlm._core.kernels import NoResidual
from fastlmm_hlm.criterion.estimates import estimates_at
from fastlmm_hlm.errors import DataError, RankDeficientWarning
from fastlmm_hlm.optimize.newton import newton
from reference.models import criterion_of, frame, term

SAME_OPTIMUM = 1e-6
# y - X beta0 is rounded to the last digit of y: relative 1e-16 in each of some hundred rows.
ROUNDING_OF_Y = 1e-15


def growth(centre, seed=4):
    """Scores over the years 2010 .. 2022 in 40 schools."""
    rng = np.random.default_rng(seed)
    school, year = np.repeat(np.arange(40), 13), np.tile(np.arange(2010.0, 2023.0), 40)
    slope = rng.normal(0.0, 0.8, 40)
    y = 500 + rng.normal(0, 12, 40)[school] + (2.0 + slope[school]) * (year - 2016) + rng.normal(0, 6, 520)
    X = np.column_stack([np.ones(520), year - centre])
    return frame(y, X, [term("school", school, X, ["(Intercept)", "year"])])


def optimum(data, reml=True):
    criterion, design = criterion_of(data, reml)
    found = newton(criterion.evaluate, criterion.start())
    assert found.status == "converged"
    return found.value, estimates_at(criterion, found.par, design.x_centring)


@pytest.mark.parametrize("reml", [True, False], ids=["REML", "ML"])
def test_a_calendar_year_need_not_be_centred(reml):
    (raw, far), (centred, near) = optimum(growth(0.0), reml), optimum(growth(2016.0), reml)
    assert raw == pytest.approx(centred, abs=SAME_OPTIMUM)
    assert far.sigma == pytest.approx(near.sigma, rel=1e-7)
    assert far.beta[1] == pytest.approx(near.beta[1], rel=1e-8)
    assert far.beta[0] + 2016 * far.beta[1] == pytest.approx(near.beta[0], rel=1e-8)
    slopes = [estimates.templates[0] @ estimates.templates[0].T for estimates in (far, near)]
    assert slopes[0][1, 1] == pytest.approx(slopes[1][1, 1], rel=1e-4)
    np.testing.assert_allclose(far.b[0][:, 1], near.b[0][:, 1], atol=1e-5)


@pytest.mark.parametrize("shift", [1e6, -1e6, 1e9])
def test_a_response_far_from_zero_loses_no_digits_that_it_has(shift):
    data = growth(2016.0)
    data.y = np.round(data.y * 256) / 256
    value, estimates = optimum(data)
    data.y = data.y + shift
    far_value, far = optimum(data)
    assert far_value == pytest.approx(value, abs=1e-7 + ROUNDING_OF_Y * abs(shift))
    assert far.sigma == pytest.approx(estimates.sigma, rel=1e-9)
    assert far.theta == pytest.approx(estimates.theta, rel=1e-5)
    assert far.beta[0] - shift == pytest.approx(estimates.beta[0], abs=ROUNDING_OF_Y * abs(shift) + 1e-6)
    np.testing.assert_allclose(far.b[0], estimates.b[0], atol=1e-5)


def test_predictors_of_very_different_scales_give_the_same_optimum():
    value, _ = optimum(growth(2016.0))
    scaled = growth(2016.0)
    scaled.X = scaled.X * [1.0, 1e9]
    scaled.random[0].Z = np.asfortranarray(scaled.random[0].Z * [1.0, 1e-9])
    assert optimum(scaled)[0] == pytest.approx(value + 2 * np.log(1e9), abs=SAME_OPTIMUM)


def test_a_response_of_zeros_is_refused_in_words():
    g = np.arange(24) % 6
    X = np.column_stack([np.ones(24), np.arange(24.0)])
    criterion, _ = criterion_of(frame(np.zeros(24), X, [term("g", g, X[:, :1], ["(Intercept)"])]))
    with pytest.raises(NoResidual, match="the model reproduces the response exactly"):
        newton(criterion.evaluate, np.ones(1))


@pytest.mark.parametrize("size", [1.0, 1e6])
def test_a_response_that_the_predictors_reproduce_is_refused(size):
    """Rounding leaves a residual of about 1e-16 of the response, which is no residual."""
    x = np.arange(24.0)
    data = pd.DataFrame({"y": size * (1.0 / 3.0 + 0.7 * x), "x": x, "g": [f"g{i % 6}" for i in range(24)]})
    with pytest.raises(DataError, match="exactly"):
        lmer("y ~ x + (1 | g)", data)


@pytest.mark.parametrize("value", [3.0, 0.1])
def test_a_constant_response_is_refused(value):
    data = pd.DataFrame({"y": np.full(24, value), "g": [f"g{i % 6}" for i in range(24)]})
    with pytest.raises(DataError, match="is constant"):
        lmer("y ~ 1 + (1 | g)", data)


def test_columns_of_X_that_depend_on_others_are_dropped_by_name():
    rng = np.random.default_rng(0)
    x, g = rng.normal(size=60), np.arange(60) % 6
    data = pd.DataFrame({"y": rng.normal(size=60) + rng.normal(size=6)[g], "x": x, "z": 2.0 - 3.0 * x, "g": g})
    with pytest.warns(RankDeficientWarning, match="dropping 1 column / coefficient: z"):
        fit = lmer("y ~ x + z + (1 | g)", data)
    assert fit.REMLcrit() == pytest.approx(lmer("y ~ x + (1 | g)", data).REMLcrit(), abs=1e-9)
    with pytest.raises(DataError, match="z depend on the columns before"):
        lmer("y ~ x + z + (1 | g)", data, control=lmerControl(check_rankX="stop.deficient"))
