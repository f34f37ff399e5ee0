"""Smaller models from cross-products against fits from the data."""

import pickle
import warnings

import numpy as np
import pytest
from some_models import MODELS, data_of, fitted

from fastlmm_hlm import lmer
from fastlmm_hlm.errors import DataError, RowsNotKeptError, SingularFitWarning

# The criterion is at its optimum in both fits, so a difference of theta enters squared.
CRITERION = 1e-8
# Estimates differ by as much as theta, which the search leaves at about the root of 1e-11.
ESTIMATES = 2e-5

SMALLER = [
    ("slopes", "Reaction ~ 1 + (Days | Subject)"),
    ("slopes", "Reaction ~ Days + (1 | Subject)"),
    ("slopes", "Reaction ~ Days + (0 + Days | Subject)"),
    ("slopes", "Reaction ~ Days + (Days || Subject)"),
    ("independent slopes, ML", "Reaction ~ Days + (0 + Days | Subject)"),
    ("diag", "Reaction ~ Days + (1 | Subject)"),
    ("weights and offset", "Reaction ~ 1 + (Days | Subject)"),
    ("weights and offset", "Reaction ~ Days + (1 | Subject)"),
    ("crossed", "diameter ~ 1 + (1 | sample)"),
    ("crossed", "diameter ~ 1 + (1 | sample) + (1 | plate)"),
    ("nested", "strength ~ 1 + (1 | cask:batch)"),
    ("nested", "strength ~ 0 + (1 | batch)"),
    ("crossed slopes", "y ~ x + f + (x | g) + (1 | h)"),
    ("crossed slopes", "y ~ x + (1 | h) + (1 | g)"),
    ("crossed slopes", "y ~ f + (0 + x | g)"),
    ("all at once", "y ~ f + (0 + f | g) + (x | h)"),
    ("all at once", "y ~ poly(x, 2) + (1 | g) + (1 | h)"),
    ("compound symmetry", "y ~ x + (1 | g)"),
    ("compound symmetry", "y ~ f + cs(0 + f | g)"),
]


def without_data(fit):
    """The fit as another process gets it: no rows, no data."""
    return pickle.loads(pickle.dumps(fit))


def from_data(name, formula, **changes):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SingularFitWarning)
        return lmer(formula, data_of(name), **(MODELS[name][2] | changes))


@pytest.mark.parametrize("name, formula", SMALLER)
def test_a_smaller_model_needs_no_data_and_equals_a_fresh_fit(name, formula):
    made, fresh = without_data(fitted(name))._submodel(formula), from_data(name, formula)
    assert float(made.logLik()) == pytest.approx(float(fresh.logLik()), abs=CRITERION)
    assert made.npar == fresh.npar
    assert list(made.fixef().index) == list(fresh.fixef().index)
    assert np.allclose(made.fixef(), fresh.fixef(), rtol=ESTIMATES, atol=ESTIMATES)
    assert np.allclose(made.theta, fresh.theta, atol=1e-4)
    assert np.allclose(made.vcov(), fresh.vcov(), rtol=1e-3)
    theirs = fresh.ranef(condVar=False)
    for group, frame in made.ranef(condVar=False).items():
        assert list(frame.columns) == list(theirs[group].columns)
        assert frame.index.equals(theirs[group].index)
        assert np.allclose(frame, theirs[group], atol=1e-3 * max(fresh.sigma(), 1.0))


@pytest.mark.parametrize("name, formula", SMALLER)
def test_a_smaller_model_of_a_fit_with_rows_has_rows_and_matrices_of_new_data(name, formula):
    made, fresh = fitted(name)._submodel(formula), from_data(name, formula)
    assert np.allclose(made.residuals(), fresh.residuals(), atol=1e-3 * max(fresh.sigma(), 1.0))
    assert np.array_equal(made.model_matrix(), fresh.model_matrix())
    data = data_of(name)
    assert np.allclose(made._spec.fixed(data), fresh._spec.fixed(data))
    for (codes, Z), (codes2, Z2) in zip(made._spec.random(data), fresh._spec.random(data)):
        assert np.array_equal(codes, codes2) and np.allclose(Z, Z2)
    again = made.refit(made._rows.design.y + 1.0)
    assert again.sigma() == pytest.approx(made.sigma(), rel=1e-4)


@pytest.mark.parametrize("name", list(MODELS))
def test_the_other_likelihood_needs_no_data_and_equals_a_fresh_fit(name):
    fit = fitted(name)
    made, fresh = without_data(fit)._with_criterion(not fit.isREML()), from_data(name, MODELS[name][0], REML=not fit.isREML())
    assert float(made.logLik()) == pytest.approx(float(fresh.logLik()), abs=CRITERION)
    assert made.isREML() is not fit.isREML()
    assert made.refitML().deviance(REML=False) == pytest.approx(min(made.deviance(REML=False), fit.deviance(REML=False)),
                                                                abs=1e-5)


def test_a_year_far_from_zero_keeps_its_digits():
    data = data_of("slopes")
    data["year"] = data["Days"] + 2000.0
    fit = lmer("Reaction ~ year + I(year^2) + (year | Subject)", data)
    for formula in ("Reaction ~ year + (year | Subject)", "Reaction ~ year + (1 | Subject)", "Reaction ~ 1 + (year | Subject)"):
        assert float(fit._submodel(formula).logLik()) == pytest.approx(float(lmer(formula, data).logLik()), abs=1e-6)


def test_a_term_whose_leaving_changes_a_coding_is_fitted_from_the_data():
    data = data_of("crossed slopes")
    fit = lmer("y ~ 0 + f + h + (1 | g)", data)
    formula = "y ~ 0 + h + (1 | g)"
    assert float(fit._submodel(formula).logLik()) == pytest.approx(float(lmer(formula, data).logLik()), abs=CRITERION)
    with pytest.raises(RowsNotKeptError, match="coding of h changes"):
        without_data(fit)._submodel(formula)


def test_columns_dropped_as_dependent_come_back_when_they_are_no_longer_so():
    data = data_of("crossed slopes")
    data["twice"] = 2.0 * data["x"] - data["z"]
    with pytest.warns(UserWarning, match="rank deficient"):
        fit = lmer("y ~ x + z + twice + (1 | g)", data)
    formula = "y ~ z + twice + (1 | g)"
    assert float(fit._submodel(formula).logLik()) == pytest.approx(float(lmer(formula, data).logLik()), abs=CRITERION)
    with pytest.raises(RowsNotKeptError, match="linearly dependent"):
        without_data(fit)._submodel(formula)
    kept = "y ~ x + (1 | g)"        # the dependent column leaves as well
    assert float(without_data(fit)._submodel(kept).logLik()) == pytest.approx(float(lmer(kept, data).logLik()), abs=CRITERION)


def test_a_smaller_model_has_the_rows_of_the_larger_one_even_where_it_could_have_more():
    data = data_of("crossed slopes")
    data.loc[:9, "x"] = np.nan
    fit = lmer("y ~ 0 + f + h + x + (1 | g)", data)
    made, fresh = fit._submodel("y ~ 0 + f + h + (1 | g)"), lmer("y ~ 0 + f + h + (1 | g)", data[10:])
    assert made.nobs == fit.nobs and float(made.logLik()) == pytest.approx(float(fresh.logLik()), abs=CRITERION)
    with pytest.raises(DataError, match="can use 260 rows .* only 250"):
        fit._submodel("y ~ 0 + h + (1 | g)")


def test_contrasts_of_a_factor_that_leaves_are_forgotten():
    data = data_of("crossed slopes")
    fit = lmer("y ~ x + f + (1 | g)", data, contrasts={"f": "contr.sum"})
    made = fit._submodel("y ~ x + (1 | g)")
    assert made._settings.contrasts is None
    assert float(made.update(REML=False).logLik()) == pytest.approx(float(made.refitML().logLik()), abs=CRITERION)


def test_the_fit_itself_is_left_as_it_was():
    fit = lmer("Reaction ~ Days + (Days | Subject)", data_of("slopes"))
    before, text = fit.ranef().to_frame(), str(fit)
    fit._submodel("Reaction ~ Days + (1 | Subject)")
    fit.refitML()
    assert fit.ranef().to_frame().equals(before) and str(fit) == text
