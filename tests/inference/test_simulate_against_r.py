"""simulate() against lme4's: what is not random is equal, what is random has the same moments.

The exact moments of y are computed from the model's definition; 2,000 draws of either program must
lie within some standard errors of them.
"""

import numpy as np
import pytest

from fastlmm_hlm import predict, simulate
from fastlmm_hlm.formula.columns import DataColumns
from fastlmm_hlm.formula.evaluate import Evaluator
from fastlmm_hlm.formula.grouping import all_levels
from fastlmm_hlm.inference.priorweights import weights_for
from tests.inference.prediction_cases import SIMULATED, fitted, newdata, reference

# Some 10,000 moments are looked at; one beyond 6 standard errors has a chance of 2e-5.
STANDARD_ERRORS = 6.0
DRAWS = 400
# Both sides stand at the same theta; relative to the response's standard deviation.
ACCURACY = 1e-6
ROUNDING = 1e-13
# lme4 1.1-31 sorts the terms by their numbers of levels in newdata before it hands out theta: here 10 and 10
# where the fit has 12 and 10, so that the variances of the first two terms are exchanged.
EXCHANGED_BY_LME4 = {"assay_nested_crossed": [1, 0, 2]}
# Offsets: lme4 1.1-31 stops (a term) or leaves it out of new data (an argument).
WITHOUT_OFFSET = [name for name in SIMULATED if reference()[name]["simulated"].get("new_effects")]


def columns_of(fit, rows):
    """Codes and columns of every term in some rows of the fit."""
    design = fit._rows.design
    for term, T in zip(design.terms, fit._estimates.templates):
        factor = design.factors[term.factor]
        z = np.column_stack([np.ones(design.n) if c is None else c for c in factor.columns[term.columns]])[rows]
        yield factor.codes[rows], z, T


def covariance(parts, sigma, weights):
    """sigma^2 (sum Z Psi Z' + W^-1) from the definition."""
    V = np.diag(sigma**2 / weights)
    for codes, z, T in parts:
        V = V + sigma**2 * (codes[:, None] == codes[None, :]) * (z @ T @ T.T @ z.T)
    return V


def new_columns(fit, new):
    """The same for new data; a new level is a level of its own."""
    made = fit._spec.random(new)
    for term, spec, (codes, z), T in zip(fit._terms, fit._spec.random_terms, made, fit._estimates.templates):
        if (codes < 0).any():
            own = all_levels(spec.group_node, Evaluator(DataColumns(new), fit._spec.state, fit._spec.levels))[1]
            codes = np.where(codes < 0, 10**6 + own, codes)
        yield codes, z, T


def assert_moments(mean, cov, wanted, V, draws, message):
    k, sd = len(mean), np.sqrt(np.diagonal(V))
    z = np.abs(np.array(mean, dtype=float) - wanted) / sd * np.sqrt(draws)
    assert z.max() < STANDARD_ERRORS, f"{message}: a mean lies {z.max():.1f} standard errors off"
    spread = np.sqrt((np.outer(sd**2, sd**2) + V**2) / draws)
    z = np.abs(np.array(cov, dtype=float).reshape(k, k) - V) / spread
    assert z.max() < STANDARD_ERRORS, f"{message}: a covariance lies {z.max():.1f} standard errors off"


def ours(draws):
    y = draws.to_numpy()
    return y.mean(axis=1), np.cov(y)


def test_there_are_many_models():
    assert len(WITHOUT_OFFSET) >= 15


@pytest.mark.parametrize("name", SIMULATED)
def test_moments_of_new_random_effects_are_those_of_the_model_and_lme4s(name):
    fit, theirs = fitted(name), reference()[name]["simulated"]
    rows = slice(0, 12)
    design = fit._rows.design
    mean = design.X[rows] @ fit.fixef().to_numpy() + (0.0 if design.offset is None else design.offset[rows])
    w = np.ones(12) if design.weights is None else design.weights[rows]
    parts = list(columns_of(fit, rows))
    V = covariance(parts, fit.sigma(), w)
    assert_moments(*ours(simulate(fit, DRAWS, seed=1).iloc[rows]), mean, V, DRAWS, name)
    if theirs.get("new_effects"):
        # lme4 1.1-31 draws errors as if all weights were one
        own = covariance(parts, fit.sigma(), np.ones(12))
        assert_moments(theirs["new_effects"]["mean"], theirs["new_effects"]["covariance"], mean, own, theirs["draws"], f"lme4, {name}")


@pytest.mark.parametrize("name", SIMULATED)
def test_kept_random_effects_leave_errors_around_the_conditional_mean(name):
    fit, theirs = fitted(name), reference()[name]["simulated"]
    design, scale = fit._rows.design, reference()[name]["sd"]
    w = np.ones(12) if design.weights is None else design.weights[:12]
    mean = predict(fit).to_numpy()[~np.isnan(predict(fit).to_numpy())][:12]
    V = np.diag(fit.sigma() ** 2 / w)
    assert_moments(*ours(simulate(fit, DRAWS, seed=2, use_u=True).iloc[:12]), mean, V, DRAWS, name)
    alone = simulate(fit, 1, seed=3, re_form=None, cond_sim=False)["sim_1"].to_numpy()[:12]
    np.testing.assert_allclose(alone / scale, mean / scale, rtol=ROUNDING, atol=ROUNDING)
    if theirs.get("conditional_mean"):
        np.testing.assert_allclose(mean / scale, np.array(theirs["conditional_mean"]) / scale, rtol=0, atol=ACCURACY)
        kept = theirs["kept_effects"]
        assert_moments(kept["mean"], kept["covariance"], mean, fit.sigma() ** 2 * np.eye(12), theirs["draws"], f"lme4, {name}")


@pytest.mark.parametrize("name", SIMULATED)
def test_new_data_with_new_levels_have_the_moments_of_the_model(name):
    fit, new, theirs = fitted(name), newdata(name), reference()[name]["simulated"]
    new = new[~predict(fit, new, allow_new_levels=True).isna().to_numpy()]
    made = simulate(fit, DRAWS, seed=4, newdata=new, allow_new_levels=True)
    assert list(made.index) == list(new.index) and made.shape == (len(new), DRAWS)
    w = np.ones(len(new)) if fit._settings.weights is None else weights_for(fit, new, None, None)
    parts = list(new_columns(fit, new))
    mean = predict(fit, new, re_form="NA").to_numpy()
    assert_moments(*ours(made), mean, covariance(parts, fit.sigma(), w), DRAWS, name)
    if theirs.get("new_data"):
        k, scale = len(theirs["new_data"]["mean"]), reference()[name]["sd"]
        order = EXCHANGED_BY_LME4.get(name, range(len(parts)))
        V = covariance([(part[0][:k], part[1][:k], parts[i][2]) for part, i in zip(parts, order)], fit.sigma(), np.ones(k))
        assert_moments(theirs["new_data"]["mean"], theirs["new_data"]["covariance"], mean[:k], V, theirs["draws"], f"lme4, {name}")
        conditional = predict(fit, new, allow_new_levels=True).to_numpy() / scale
        np.testing.assert_allclose(conditional, np.array(theirs["new_data_conditional_mean"]) / scale, rtol=0, atol=ACCURACY)
