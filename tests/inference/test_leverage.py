"""Leverages: the definition, R's hatvalues, and the three ways of computing them."""

import numpy as np
import pandas as pd
import pytest
from some_cases import fitted_case, reference
from some_models import MODELS, fitted

from fastlmm_hlm import getME, hatvalues, lmer
from fastlmm_hlm.inference import jointrows, leverage
from fastlmm_hlm.inference.jointrows import CoreRows, SolveRows, System, TreeRows
from fastlmm_hlm.inference.leverage import leverages

# Sums of up to a few hundred terms.
ROUNDING = 1e-11
# R stops within about 1e-8 of the optimum.
AGAINST_R = 1e-6


def hat_by_definition(fit):
    """Diagonal of A C^-1 A'W with A = [Z Lambda, X]."""
    Z, Lambda = getME(fit, "Z").toarray(), getME(fit, "Lambda").toarray()
    w, q = fit.weights().to_numpy(), Z.shape[1]
    A = np.hstack([Z @ Lambda, fit.model_matrix().to_numpy()])
    C = A.T @ (w[:, None] * A)
    C[:q, :q] += np.eye(q)
    return w * (A * np.linalg.solve(C, A.T).T).sum(axis=1)


def by(way, fit, monkeypatch):
    """Leverages by one of the three ways."""
    monkeypatch.setattr(System, "is_nested", lambda self: way is TreeRows)
    monkeypatch.setattr(jointrows, "LARGEST_CORE", -1 if way is SolveRows else 10**9)
    return leverages(fit)


@pytest.mark.parametrize("name", MODELS)
def test_leverages_are_the_diagonal_of_the_hat_matrix(name, monkeypatch):
    fit = fitted(name)
    wanted, nested = hat_by_definition(fit), System(fit).is_nested()
    np.testing.assert_allclose(hatvalues(fit), wanted, rtol=0, atol=ROUNDING)
    ways = [SolveRows, *([TreeRows] if nested else []), *([CoreRows] if len(System(fit).D) > 1 else [])]
    for way in ways:
        np.testing.assert_allclose(by(way, fit, monkeypatch), wanted, rtol=0, atol=ROUNDING, err_msg=way.__name__)


@pytest.mark.parametrize("name", ["sleepstudy_unbalanced", "sleepstudy_weights", "pixel", "pastes", "penicillin_crossed"])
def test_leverages_are_those_of_lme4(name):
    fit, _ = fitted_case(name)
    np.testing.assert_allclose(hatvalues(fit), reference("tidy.json")[name]["augment"][".hat"], rtol=AGAINST_R)


def test_chunks_do_not_show(monkeypatch):
    fit = fitted("crossed slopes")
    whole = {way: by(way, fit, monkeypatch) for way in (CoreRows, SolveRows)}
    monkeypatch.setattr(leverage, "ROWS", 7)
    monkeypatch.setattr(jointrows, "ELEMENTS", 50)
    for way, wanted in whole.items():
        np.testing.assert_allclose(by(way, fit, monkeypatch), wanted, rtol=0, atol=ROUNDING)


def test_leverages_follow_the_rows():
    rng = np.random.default_rng(8)
    n = 300
    d = pd.DataFrame({"g": rng.integers(20, size=n), "h": rng.integers(8, size=n), "x": rng.normal(size=n)})
    d["y"] = d["x"] + rng.normal(size=20)[d["g"]] + rng.normal(size=8)[d["h"]] + rng.normal(size=n)
    formula = "y ~ x + (x | g) + (1 | h)"
    a, b = lmer(formula, d), lmer(formula, d.sample(frac=1.0, random_state=4))
    np.testing.assert_allclose(hatvalues(b).sort_index(), hatvalues(a), atol=1e-7)              # two optima
    assert hatvalues(a).between(0, 1).all()


def test_missing_rows_are_padded_with_na_exclude():
    d = pd.DataFrame({"g": np.repeat(range(8), 5), "x": np.arange(40.0) % 7, "y": np.sin(np.arange(40.0))})
    d.loc[3, "y"] = np.nan
    h = hatvalues(lmer("y ~ x + (1 | g)", d, na_action="exclude"))
    assert len(h) == 40 and np.flatnonzero(h.isna()).tolist() == [3]
