"""Exact tests of one variance: the spectrum, the simulated statistic, the refusals."""

import pickle

import numpy as np
import pandas as pd
import pytest

from fastlmm_hlm import datasets, exactLRT, exactRLRT, lmer
from fastlmm_hlm.errors import ArgumentError
from fastlmm_hlm.inference import spectral
from fastlmm_hlm.inference.rlrt import _projected
from fastlmm_hlm.inference.spectral import merged, simulated_statistics, spectrum_of_residuals

# Eigenvalues of a q x q matrix by two routes, relative to the largest.
EIGENVALUE = 1e-9


def unbalanced(n=300, seed=8):
    rng = np.random.default_rng(seed)
    data = pd.DataFrame({"g": rng.choice(40, n, p=np.arange(1, 41) / 820), "x": rng.normal(3.0, 1.0, n),
                         "z": rng.normal(size=n), "w": rng.uniform(0.5, 2.0, n)})
    data["y"] = 1.0 + 0.3 * data["x"] + 0.4 * rng.normal(size=40)[data["g"]] + rng.normal(size=n)
    return data


def dense_spectrum(fit):
    """Eigenvalues of Z'W(I - P)Z from full matrices."""
    design = fit._rows.design
    root = np.ones(design.n) if design.weights is None else np.sqrt(design.weights)
    X, Z = design.X * root[:, None], np.asarray(fit.model_matrix("random").todense()) * root[:, None]
    Q = np.linalg.qr(X)[0]
    residual = Z - Q @ (Q.T @ Z)
    return np.sort(np.linalg.eigvalsh(residual.T @ residual))[::-1]


@pytest.mark.parametrize("formula, how", [
    ("y ~ x + z + (1 | g)", {}),
    ("y ~ x + z + (1 | g)", {"weights": "w"}),
    ("y ~ 1 + (0 + x | g)", {}),
    ("y ~ 0 + (1 | g)", {}),
])
def test_eigenvalues_from_cross_products_are_those_of_the_full_matrix(formula, how):
    fit = lmer(formula, unbalanced(), **how)
    values, counts = spectrum_of_residuals(*_projected(fit._products))
    direct = dense_spectrum(fit)
    direct = direct[direct > 1e-9 * direct[0]]
    assert counts.sum() == len(direct)
    assert np.repeat(values, counts) == pytest.approx(direct, abs=EIGENVALUE * direct[0])


def test_equal_eigenvalues_are_counted():
    values, counts = merged(np.array([2.0, 0.0, 2.0, 5.0, 1e-14]), np.array([1, 3, 2, 1, 1]))
    assert values == pytest.approx([5.0, 2.0]) and list(counts) == [1, 3]


def test_many_different_sizes_in_bins_keep_the_trace_and_nearly_the_spectrum(monkeypatch):
    rng = np.random.default_rng(2)
    d, U = rng.uniform(5.0, 50.0, 400), rng.normal(size=(400, 2)) * 0.1
    exact, one = spectrum_of_residuals(d, U)
    monkeypatch.setattr(spectral, "LARGEST", 200)
    binned, counts = spectrum_of_residuals(d, U)
    assert counts.sum() == one.sum() == 400
    assert (binned * counts).sum() == pytest.approx(exact.sum(), rel=1e-10)
    assert np.quantile(np.repeat(binned, counts), [0.1, 0.5, 0.9]) == pytest.approx(
        np.quantile(exact, [0.1, 0.5, 0.9]), rel=0.02)


def test_simulated_statistics_are_likelihood_ratios_of_simulated_data():
    data = unbalanced(120)
    fit = lmer("y ~ x + (1 | g)", data)
    products = fit._products
    mu, counts = spectrum_of_residuals(*_projected(products))
    free = products.n - products.p
    sample = simulated_statistics(mu, counts, mu, counts, free, free, np.random.default_rng(0), 20_000)
    rng, direct = np.random.default_rng(1), []
    from fastlmm_hlm.design.restrict import linear_model_criterion
    from fastlmm_hlm.inference.refits import Refitter

    fitter = Refitter(fit)
    y = rng.normal(size=(1500, products.n))
    responses = fitter.responses(y)
    criterion = fitter.fit(responses).criterion
    direct = np.array([linear_model_criterion(fitter.products_with(responses, i), True) for i in range(len(y))]) - criterion
    for level in (0.7, 0.9, 0.95):
        share = (direct <= np.quantile(sample, level)).mean()
        assert share == pytest.approx(level, abs=5 * np.sqrt(level * (1 - level) / len(y)))
    assert (direct < 1e-7).mean() == pytest.approx((sample < 1e-7).mean(), abs=5 * np.sqrt(0.25 / len(y)))


def test_the_best_point_of_the_grid_is_refined():
    t = np.linspace(-1.0, 1.0, 21)
    value = 3.0 - 4.0 * (t - 0.037) ** 2
    assert spectral._highest(value[None])[0] == pytest.approx(3.0, abs=1e-12)
    assert spectral._highest(-np.ones((1, 21)))[0] == 0.0


def test_the_same_seed_gives_the_same_p_value_and_rows_are_not_needed():
    fit = lmer("y ~ x + (1 | g)", unbalanced())
    first, again = exactRLRT(fit, nsim=2000, seed=4), exactRLRT(pickle.loads(pickle.dumps(fit)), nsim=2000, seed=4)
    assert np.array_equal(first.sample, again.sample) and first.p_value == again.p_value
    assert exactRLRT(fit, nsim=2000, seed=5).p_value == pytest.approx(first.p_value, abs=0.05)


def test_a_variance_of_zero_needs_no_simulation():
    with pytest.warns(UserWarning, match="boundary"):
        fit = lmer("Yield ~ 1 + (1 | Batch)", datasets.load("Dyestuff2"))
    made = exactRLRT(fit, seed=1)
    assert (made.statistic, made.p_value, made.nsim) == (0.0, 1.0, 0)
    assert str(made).endswith("RLRT = 0, p-value = 1\n\n")


def test_a_fit_by_maximum_likelihood_is_tested_by_reml():
    data = unbalanced()
    reml, ml = lmer("y ~ x + (1 | g)", data), lmer("y ~ x + (1 | g)", data, REML=False)
    assert exactRLRT(ml, nsim=100, seed=1).statistic == pytest.approx(exactRLRT(reml, nsim=100, seed=1).statistic, abs=1e-7)


def test_fixed_effects_may_be_tested_with_the_variance():
    data = unbalanced()
    fit = lmer("y ~ x + z + (1 | g)", data, REML=False)
    made = exactLRT(fit, "y ~ 1", nsim=5000, seed=1)
    centred = data["y"] - data["y"].mean()
    n = len(data)
    null = n * (1 + np.log(2 * np.pi * (centred**2).sum() / n))
    assert made.statistic == pytest.approx(null - fit.deviance(), abs=1e-7)
    # two fixed effects add about two to the mean
    assert made.sample.mean() == pytest.approx(exactLRT(fit, nsim=5000, seed=1).sample.mean() + 2.0, abs=0.15)


@pytest.mark.filterwarnings("ignore::fastlmm_hlm.errors.SingularFitWarning")
@pytest.mark.parametrize("formula", ["y ~ x + (x | g)", "y ~ x + (1 | g) + (0 + x | g)"])
def test_more_than_one_variance_is_refused_with_the_way_out(formula):
    with pytest.raises(ArgumentError, match="expected one variance"):
        exactRLRT(lmer(formula, unbalanced()))
    with pytest.raises(ArgumentError, match="expected one variance"):
        exactLRT(lmer(formula, unbalanced()))


@pytest.mark.filterwarnings("ignore::fastlmm_hlm.errors.SingularFitWarning")
def test_the_three_model_form_checks_its_models():
    data = unbalanced()
    m, mA, m0 = (lmer(f"y ~ x + {bars}", data) for bars in ("(0 + x | g)", "(1 | g) + (0 + x | g)", "(1 | g)"))
    assert exactRLRT(m, mA, m0, nsim=500, seed=1).statistic >= 0
    with pytest.raises(ArgumentError, match="both mA and m0"):
        exactRLRT(m, mA)
    with pytest.raises(ArgumentError, match="expected one more in mA"):
        exactRLRT(m, m0, mA)


@pytest.mark.parametrize("arguments, words", [
    ({"nsim": 0}, "at least 1"), ({"nsim": 2.5}, "whole number"), ({"seed": -1}, "seed"), ({"seed": "a"}, "seed"),
])
def test_bad_arguments_are_named(arguments, words):
    fit = lmer("y ~ x + (1 | g)", unbalanced())
    with pytest.raises(ArgumentError, match=words):
        exactRLRT(fit, **arguments)
    with pytest.raises(ArgumentError, match="random terms"):
        exactLRT(fit, "y ~ 1 + (1 | g)")
    with pytest.raises(ArgumentError, match="got str"):
        exactRLRT("y ~ x")


def test_a_hundred_thousand_groups_have_few_different_sizes():
    rng = np.random.default_rng(3)
    d = rng.integers(1, 30, 100_000).astype(float)
    U = rng.normal(size=(100_000, 3)) * np.sqrt(d)[:, None] * 1e-3
    values, counts = spectrum_of_residuals(d, U)
    assert counts.sum() == 100_000 and len(values) < 130
