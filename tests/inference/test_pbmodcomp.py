"""Parametric bootstrap comparison: reproducible, counted, refused where it must be."""

import pickle

import numpy as np
import pytest
from some_models import data_of, fitted

from fastlmm_hlm import PBmodcomp, datasets, lmer
from fastlmm_hlm.errors import ArgumentError, ConvergenceError, FastlmmWarning, RowsNotKeptError
from fastlmm_hlm.inference.refits import Refitter


def test_the_same_seed_gives_the_same_result_and_a_generator_moves_on():
    fit = fitted("slopes")
    first, again = PBmodcomp(fit, ". ~ . - Days", nsim=20, seed=7), PBmodcomp(fit, ". ~ . - Days", nsim=20, seed=7)
    assert np.array_equal(first.ref, again.ref)
    rng = np.random.default_rng(7)
    assert not np.array_equal(PBmodcomp(fit, ". ~ . - Days", nsim=20, seed=rng).ref,
                              PBmodcomp(fit, ". ~ . - Days", nsim=20, seed=rng).ref)


def test_statistics_are_those_of_refitting_both_models_one_by_one():
    large = fitted("crossed slopes").refitML()
    small = large._submodel("y ~ x + f + (x | g) + (1 | h)")
    made = PBmodcomp(large, small, nsim=3, seed=11)
    from fastlmm_hlm.inference.simulation import simulate_responses

    for ref, y in zip(made.ref, simulate_responses(small, 3, 11)):
        assert ref == pytest.approx(small.refit(y).deviance() - large.refit(y).deviance(), abs=1e-6)


def test_where_a_variance_is_tested_statistics_of_zero_are_samples():
    data = data_of("slopes")
    made = PBmodcomp(lmer("Reaction ~ Days + (Days || Subject)", data), lmer("Reaction ~ Days + (1 | Subject)", data),
                     nsim=100, seed=1)
    assert len(made.ref) == 100 and made.failed == 0
    assert 0.2 < (made.ref == 0).mean() < 0.9
    assert made.test.loc["PBtest", "p.value"] == pytest.approx(1 / 101)


def test_responses_that_could_not_be_fitted_are_counted_and_left_out(monkeypatch):
    whole = Refitter.fit

    def fails_twice(self, responses):
        refits = whole(self, responses)
        refits.criterion[:2] = np.nan
        return refits

    monkeypatch.setattr(Refitter, "fit", fails_twice)
    with pytest.warns(FastlmmWarning, match="2 of 12"):
        made = PBmodcomp(fitted("slopes"), ". ~ . - Days", nsim=12, seed=1)
    assert (made.failed, len(made.ref)) == (2, 10)
    assert "Requested samples: 12 Used samples: 10" in str(made)
    with pytest.raises(ConvergenceError, match="none of 2"):
        PBmodcomp(fitted("slopes"), ". ~ . - Days", nsim=2, seed=1)


def test_a_smaller_model_comes_second_and_fits_need_their_rows():
    fit, small = fitted("slopes"), fitted("slopes")._submodel("Reaction ~ 1 + (Days | Subject)")
    with pytest.raises(ArgumentError, match="give the larger one first"):
        PBmodcomp(small, fit)
    with pytest.raises(ArgumentError, match="no model to simulate from"):
        PBmodcomp(fit, np.array([[0.0, 1.0]]))
    with pytest.raises(ArgumentError, match="nsim"):
        PBmodcomp(fit, small, nsim=0)
    with pytest.raises(RowsNotKeptError, match="PBmodcomp"):
        PBmodcomp(pickle.loads(pickle.dumps(fit)), ". ~ . - Days", nsim=2)
    with pytest.raises(ArgumentError, match="got DataFrame"):
        PBmodcomp(datasets.load("sleepstudy"), small)


def test_the_result_prints_and_pickles():
    made = PBmodcomp(fitted("slopes"), ". ~ . - Days", nsim=30, seed=2)
    assert str(pickle.loads(pickle.dumps(made))) == str(made)
    assert list(made.summary().index) == ["LRT", "PBtest", "Gamma", "Bartlett", "F"]
    assert made.ci[0] <= made.test.loc["PBtest", "p.value"] <= made.ci[1]
    assert "<table>" in made._repr_html_()
