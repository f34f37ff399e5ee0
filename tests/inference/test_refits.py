"""One model fitted to many responses, against a fit of each response."""

import warnings

import numpy as np
import pytest

from fastlmm_hlm.errors import FastlmmWarning
from fastlmm_hlm.inference.refits import Refitter, lower_factors
from fastlmm_hlm.inference.simulation import simulate_responses
from fastlmm_hlm.design.covariance import lower_factor
from some_models import MODELS, fitted

# Both searches stop when a step predicts a decrease below 1e-11; then the criterion agrees
# to rounding, and what is smooth at the optimum to about the root of 1e-11 over its curvature.
SAME_CRITERION = 1e-9
SAME = 1e-7
# Here the criterion is flat: within 1e-11 of its minimum lie estimates that differ by 4e-7, and
# refit() stops among them as well.
FLAT = {"compound symmetry": 1e-6}
REPLICATES = 12


@pytest.mark.parametrize("name", MODELS)
def test_refits_are_fits_of_the_same_response(name):
    fit = fitted(name)
    same = FLAT.get(name, SAME)
    y = simulate_responses(fit, REPLICATES, seed=3)
    refitter = Refitter(fit)
    ours = refitter.fit(refitter.responses(y))
    assert ours.usable.all() and ours.converged.all()
    for i in range(REPLICATES):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FastlmmWarning)
            theirs = fit.refit(y[i])
        e, f = theirs._estimates, refitter.estimates_of(ours, i)
        assert abs(f.criterion - e.criterion) < SAME_CRITERION * max(1.0, abs(e.criterion))
        assert ours.singular[i] == theirs.isSingular()
        assert abs(f.sigma - e.sigma) < same * e.sigma
        se = theirs.bse.to_numpy() if e.p else np.ones(0)
        assert np.abs((f.beta - e.beta) / se).max(initial=0.0) < same
        for a, b in zip(f.templates, e.templates):
            scale = max(1.0, np.abs(b @ b.T).max())
            assert np.abs(a @ a.T - b @ b.T).max() < same * scale
        np.testing.assert_allclose(f.RX, e.RX, atol=same * np.abs(e.RX).max(initial=1.0))
        for a, b in zip(f.b, e.b):
            np.testing.assert_allclose(a, b, atol=20 * same * max(1.0, np.abs(b).max()))


def test_a_refit_of_the_own_response_is_the_fit():
    fit = fitted("crossed slopes")
    refitter = Refitter(fit)
    found = refitter.fit(refitter.responses(fit._rows.design.y[None]))
    np.testing.assert_allclose(found.theta[0], fit.theta, atol=SAME)
    np.testing.assert_allclose(found.beta[0], fit.fixef(), atol=SAME)


def test_refits_at_the_boundary_have_exact_zeros():
    fit = fitted("zero variance")
    refitter = Refitter(fit)
    found = refitter.fit(refitter.responses(simulate_responses(fit, 100, seed=1)))
    assert 0.4 < found.singular.mean() < 0.8        # a variance of zero is estimated as zero about every second time
    assert (found.theta[found.singular] == 0.0).all()
    assert (found.theta[~found.singular] > 1e-3).all()
    assert found.converged.all()


def test_refits_do_not_depend_on_their_company():
    fit = fitted("all at once")
    refitter = Refitter(fit)
    y = simulate_responses(fit, 9, seed=8)
    together = refitter.fit(refitter.responses(y))
    for part in (slice(0, 1), slice(4, 9)):
        alone = refitter.fit(refitter.responses(y[part]))
        assert (alone.theta == together.theta[part]).all()
        assert (alone.beta == together.beta[part]).all()
        assert all((a == b[part]).all() for a, b in zip(alone.b, together.b))


def test_a_response_that_the_model_explains_fully_is_not_usable_and_harms_no_other():
    fit = fitted("slopes")
    refitter = Refitter(fit)
    y = simulate_responses(fit, 3, seed=8)
    y[1] = refitter.shift
    found = refitter.fit(refitter.responses(y))
    assert found.usable.tolist() == [True, False, True]
    assert np.isnan(found.theta[1]).all() and np.isnan(found.beta[1]).all() and np.isnan(found.sigma[1])


def test_cross_products_with_a_response_are_those_of_its_rows():
    from fastlmm_hlm.design.crossprod import cross_products

    fit = fitted("all at once")
    refitter = Refitter(fit)
    y = simulate_responses(fit, 2, seed=8)
    made = refitter.products_with(refitter.responses(y), 1)
    expected = cross_products(fit._rows.design.with_response(y[1]), fit._products.beta0)
    np.testing.assert_allclose(made.XyWXy, expected.XyWXy, rtol=1e-11)
    for a, b in zip(made.ZtWXy, expected.ZtWXy):
        np.testing.assert_allclose(a, b, atol=1e-10 * np.abs(b).max())


def test_many_lower_factors_are_those_of_one():
    F = np.random.default_rng(1).normal(size=(5, 3, 3))
    for many, one in zip(lower_factors(F), F):
        np.testing.assert_allclose(many, lower_factor(one), atol=1e-14)
    assert (lower_factors(F[:, :1, :1]) == np.abs(F[:, :1, :1])).all()
