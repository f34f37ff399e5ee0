"""What a fit tells the package maketables, with and without that package."""

import numpy as np
import pytest

from fastlmm_hlm import datasets, lmer
from fastlmm_hlm.interop.maketables import table_model

# lme4 stops a little before the optimum.
STOPS_EARLY = 1e-4


@pytest.fixture(scope="module")
def fit():
    return lmer("Reaction ~ Days + (Days | Subject)", datasets.load("sleepstudy"))


def test_the_coefficient_table_has_lmertests_numbers(fit):
    table = fit.__maketables_coef_table__
    assert list(table.columns) == ["b", "se", "t", "p"] and table.index.name == "Coefficient"
    np.testing.assert_allclose(table.loc["Days"], [10.46729, 1.54579, 6.771481, 3.263824e-06], rtol=STOPS_EARLY)
    np.testing.assert_allclose(table["b"], fit.fixef())


def test_the_foot_of_the_table(fit):
    assert fit.__maketables_depvar__ == "Reaction"
    keys = fit.__maketables_default_stat_keys__
    assert isinstance(keys, list) and keys == ["N", "sigma", "aic", "bic"]
    assert [fit.__maketables_stat__(key) for key in keys] == [180, fit.sigma(), fit.AIC(), fit.BIC()]
    assert fit.__maketables_stat__("groups: Subject") == 18
    assert fit.__maketables_stat__("groups: Item") is None and fit.__maketables_stat__("r2") is None
    assert fit.__maketables_stat__("reml") == fit.REMLcrit() and fit.__maketables_stat__("deviance") is None
    assert set(keys) <= set(fit.__maketables_stat_labels__)


def test_an_ml_fit_shows_its_deviance(fit):
    ml = fit.refitML()
    assert ml.__maketables_stat__("deviance") == ml.deviance() and ml.__maketables_stat__("reml") is None


def test_a_table_model_has_nothing_that_statsmodels_has(fit):
    model = table_model(fit, ddf="Kenward-Roger")
    assert not any(hasattr(model, name) for name in ("params", "bse", "pvalues"))
    assert model.__maketables_coef_table__.loc["Days", "p"] == pytest.approx(3.2638e-06, rel=STOPS_EARLY)


def test_maketables_makes_a_table_of_two_fits(fit):
    maketables = pytest.importorskip("maketables")
    other = lmer("Reaction ~ 1 + (1 | Subject)", datasets.load("sleepstudy"))
    text = maketables.ETable([table_model(fit), table_model(other)]).make(type="tex")
    for word in ("Days", "10.467***", "(1.546)", "Observations", "180", "Residual SD", "25.592"):
        assert word in text
