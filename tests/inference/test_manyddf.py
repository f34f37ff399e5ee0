"""Satterthwaite's degrees of freedom of many refits: those of each refit alone."""

import numpy as np
import pytest

from fastlmm_hlm.inference import manyddf
from fastlmm_hlm.inference.ddf import method_of
from fastlmm_hlm.inference.refits import Refitter
from fastlmm_hlm.inference.simulation import simulate_responses
from some_models import fitted

# Central differences with steps of 1e-4, against exact derivatives.
DIFFERENCES = 2e-6


@pytest.mark.parametrize("name", ["slopes", "independent slopes, ML", "diag", "weights and offset", "crossed slopes", "nested",
                                  "compound symmetry"])
def test_they_are_those_of_every_refit_alone(name):
    fit = fitted(name)
    y = simulate_responses(fit, 6, seed=2)
    refitter = Refitter(fit)
    responses = refitter.responses(y)
    refits = refitter.fit(responses)
    rules = manyddf.satterthwaite_of(refitter, responses, refits)
    L = np.eye(len(fit.fixef()))
    for i, rule in enumerate(rules):
        alone = method_of(fit.refit(y[i]), "Satterthwaite")
        inside = refits.deviations[i].min() >= manyddf.NEAR_BOUNDARY
        np.testing.assert_allclose(rule.df(L), alone.df(L), rtol=DIFFERENCES if inside else 1e-4)
        np.testing.assert_allclose(rule.vcov, alone.vcov, rtol=1e-6, atol=1e-10)
        if len(L) > 1:
            np.testing.assert_allclose(rule.f_test(L, refits.beta[i]), alone.f_test(L), rtol=1e-5 if inside else 1e-4)


def test_both_ways_are_taken():
    fit = fitted("slopes")
    zero = fit.with_parameters(VarCorr={"Subject": [0.0, 6.0]})
    y = simulate_responses(zero, 12, seed=2)
    refitter = Refitter(zero)
    responses = refitter.responses(y)
    refits = refitter.fit(responses)
    kinds = [type(rule).__name__ for rule in manyddf.satterthwaite_of(refitter, responses, refits)]
    assert {"Differenced", "Satterthwaite"} == set(kinds)
