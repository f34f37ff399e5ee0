"""Simulated responses: their moments, their seeds, and what is refused."""

import numpy as np
import pytest

from fastlmm_hlm import datasets, lmer
from fastlmm_hlm.errors import ArgumentError, RowsNotKeptError
from fastlmm_hlm.inference.simulation import generator_of, seed_sequence, simulate_responses, simulator_of
from some_models import MODELS, fitted

# Means of 20,000 draws stay within this many standard errors (of about 500,000 numbers looked at).
MANY, STANDARD_ERRORS = 20_000, 6.0
SIMULATED = ["slopes", "weights and offset", "crossed", "all at once", "compound symmetry", "zero variance"]


def covariance_of(fit):
    """Var(y) of a fit by its definition, (n, n)."""
    design, e = fit._rows.design, fit._estimates
    w = np.ones(design.n) if design.weights is None else design.weights
    V = np.diag(e.sigma**2 / w)
    for term, T in zip(design.terms, e.templates):
        factor = design.factors[term.factor]
        z = np.column_stack([np.ones(design.n) if c is None else c for c in factor.columns[term.columns]])
        same = factor.codes[:, None] == factor.codes[None, :]
        V += e.sigma**2 * same * (z @ T @ T.T @ z.T)
    return V


def mean_of(fit):
    design = fit._rows.design
    return design.X @ fit._estimates.beta + (0.0 if design.offset is None else design.offset)


@pytest.mark.parametrize("name", SIMULATED)
def test_mean_and_covariance_are_those_of_the_model(name):
    fit = fitted(name)
    y = simulate_responses(fit, MANY, seed=11)
    V = covariance_of(fit)
    d = y - mean_of(fit)
    sd = np.sqrt(np.diagonal(V))
    assert np.abs(d.mean(axis=0) / sd).max() < STANDARD_ERRORS / np.sqrt(MANY)
    spread = np.sqrt((np.outer(sd**2, sd**2) + V**2) / MANY)
    assert np.abs((d.T @ d / MANY - V) / spread).max() < STANDARD_ERRORS


@pytest.mark.parametrize("name", ["slopes", "weights and offset", "crossed"])
def test_kept_random_effects_leave_independent_errors_around_the_fitted_values(name):
    fit = fitted(name)
    y = simulate_responses(fit, MANY, seed=12, use_u=True)
    design = fit._rows.design
    sd = fit.sigma() / np.sqrt(np.ones(design.n) if design.weights is None else design.weights)
    d = (y - fit.fitted().to_numpy()) / sd
    assert np.abs(d.mean(axis=0)).max() < STANDARD_ERRORS / np.sqrt(MANY)
    assert np.abs(d.T @ d / MANY - np.eye(design.n)).max() < STANDARD_ERRORS * np.sqrt(2.0 / MANY)


def test_a_semiparametric_response_is_a_fitted_value_plus_some_residual():
    fit = fitted("slopes")
    y = simulate_responses(fit, 50, seed=1, use_u=True, type="semiparametric")
    drawn = y - fit.fitted().to_numpy()
    known = np.sort(fit.residuals().to_numpy())
    nearest = known[np.clip(np.searchsorted(known, drawn), 1, len(known) - 1)]
    nearest = np.where(np.abs(nearest - drawn) < np.abs(known[np.searchsorted(known, drawn).clip(1, len(known)) - 1] - drawn),
                       nearest, known[np.searchsorted(known, drawn).clip(1, len(known)) - 1])
    np.testing.assert_allclose(drawn, nearest, atol=1e-9)


def test_weighted_residuals_are_drawn_on_a_common_scale():
    fit = fitted("weights and offset")
    y = simulate_responses(fit, 200, seed=1, use_u=True, type="semiparametric")
    root = np.sqrt(fit.weights().to_numpy())
    drawn = np.sort(np.unique(((y - fit.fitted().to_numpy()) * root).round(9)))
    known = np.sort(np.unique(fit.residuals("pearson").to_numpy().round(9)))
    assert len(drawn) <= 3 * len(known)
    assert np.abs(drawn[:, None] - known[None, :]).min(axis=1).max() < 1e-8


def test_a_response_depends_on_the_seed_and_its_number_alone():
    fit = fitted("crossed")
    many = simulate_responses(fit, 8, seed=5)
    assert (simulate_responses(fit, 3, seed=5) == many[:3]).all()
    simulator, sequence = simulator_of(fit), seed_sequence(5)
    assert (simulator.draw(generator_of(sequence, 6)) == many[6]).all()
    assert not (simulate_responses(fit, 1, seed=6) == many[0]).any()
    assert (simulate_responses(fit, 8, seed=np.random.SeedSequence(5)) == many).all()


def test_children_are_those_that_numpy_spawns():
    ours, theirs = generator_of(seed_sequence(9), 3), np.random.default_rng(np.random.SeedSequence(9).spawn(4)[3])
    assert (ours.random(5) == theirs.random(5)).all()


def test_a_generator_seeds_and_moves_on():
    fit, rng = fitted("crossed"), np.random.default_rng(1)
    first, second = (simulate_responses(fit, 2, seed=rng) for _ in range(2))
    assert not (first == second).any()
    assert (simulate_responses(fit, 2, seed=np.random.default_rng(1)) == first).all()


def test_no_seed_gives_other_responses_every_time():
    fit = fitted("crossed")
    assert not (simulate_responses(fit, 1) == simulate_responses(fit, 1)).all()


@pytest.mark.parametrize("seed", ["seven", -1, 2.5, [1, "a"]])
def test_a_seed_that_is_none_is_refused(seed):
    with pytest.raises(ArgumentError, match="seed"):
        simulate_responses(fitted("crossed"), 1, seed=seed)


def test_semiparametric_without_kept_effects_is_refused_as_in_lme4():
    with pytest.raises(ArgumentError, match="use_u=False.*Use use_u=True"):
        simulate_responses(fitted("slopes"), 1, type="semiparametric")


def test_an_unknown_type_is_refused():
    with pytest.raises(ArgumentError, match="'nonparametric' is not known"):
        simulate_responses(fitted("slopes"), 1, type="nonparametric")


def test_a_fit_without_rows_cannot_simulate():
    import pickle

    fit = pickle.loads(pickle.dumps(lmer(*MODELS["slopes"][:1], datasets.load("sleepstudy"))))
    with pytest.raises(RowsNotKeptError, match="simulate"):
        simulate_responses(fit, 1)
