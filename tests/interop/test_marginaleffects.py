"""The adapter for marginaleffects; most of it runs only where that package is installed."""

import importlib.util
import warnings

import numpy as np
import pandas as pd
import pytest

from fastlmm_hlm import datasets, emmeans, emtrends, lmer
from fastlmm_hlm.errors import FastlmmError
from fastlmm_hlm.interop.marginaleffects import wrap

INSTALLED = importlib.util.find_spec("marginaleffects") is not None
needed = pytest.mark.skipif(not INSTALLED, reason="marginaleffects is not installed")
# marginaleffects differentiates numerically with a step of about 1e-4.
DIFFERENCES = 1e-4


@pytest.fixture(scope="module")
def fit():
    rng = np.random.default_rng(11)
    data = pd.DataFrame({"a": rng.choice(["lo", "hi"], 200), "x": rng.normal(10, 2, 200), "g": rng.integers(0, 15, 200)})
    data["y"] = data.x * (0.3 + 0.2 * (data.a == "hi")) + rng.normal(size=15)[data.g] + rng.normal(size=200)
    return lmer("y ~ a * poly(x, 2) + (1 | g)", data)


@pytest.mark.skipif(INSTALLED, reason="marginaleffects is installed")
def test_without_the_package_the_message_says_what_to_install():
    with pytest.raises(FastlmmError, match="pip install marginaleffects"):
        wrap(lmer("Reaction ~ Days + (1 | Subject)", datasets.load("sleepstudy")))


@needed
def test_average_slopes_are_the_averages_of_ours(fit):
    import marginaleffects

    found = marginaleffects.avg_slopes(wrap(fit), variables="x", by="a")
    data = fit._settings.data
    for level, estimate in zip(found["a"], found["estimate"]):
        own = data[data.a == level]
        ours = [emtrends(fit, "a", "x", at={"x": x, "a": level}, ddf="asymptotic").to_frame()["x.trend"].iloc[0] for x in own.x]
        assert estimate == pytest.approx(np.mean(ours), rel=DIFFERENCES)


@needed
def test_predictions_on_a_balanced_grid_are_marginal_means(fit):
    import marginaleffects
    import polars

    model = wrap(fit)
    data = model.get_modeldata()
    grid = polars.concat([data.filter(polars.col("a") == level).head(1) for level in ("hi", "lo")])
    grid = grid.with_columns(polars.lit(data["x"].mean()).alias("x"))
    found = marginaleffects.predictions(model, newdata=grid)
    ours = emmeans(fit, "a", ddf="asymptotic").to_frame()
    np.testing.assert_allclose(found["estimate"], ours["emmean"], rtol=1e-9)
    np.testing.assert_allclose(found["std_error"], ours["SE"], rtol=DIFFERENCES)


@needed
def test_comparisons_with_kenward_rogers_covariance(fit):
    import marginaleffects

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = marginaleffects.comparisons(wrap(fit, ddf="Kenward-Roger"), variables="a", newdata="mean")
    ours = emmeans(fit, "a", ddf="Kenward-Roger").contrast("revpairwise").to_frame()
    assert abs(found["estimate"][0]) == pytest.approx(abs(ours["estimate"].iloc[0]), rel=1e-9)
    assert found["std_error"][0] == pytest.approx(ours["SE"].iloc[0], rel=DIFFERENCES)
