"""Prediction intervals by simulation against the distribution that is simulated."""

import pickle

import numpy as np
import pandas as pd
import pytest
from scipy import integrate, optimize, stats
from some_models import MODELS, fitted

from fastlmm_hlm import datasets, lmer, predict, predict_interval
from fastlmm_hlm.errors import ArgumentError, DataError, FastlmmWarning, UnknownNameError
from fastlmm_hlm.inference import jointrows, predictinterval
from fastlmm_hlm.inference.jointdraws import JointDraws
from fastlmm_hlm.inference.simulation import seed_sequence, template_of_factor

# A quantile of 4,000 draws has a standard error of about sqrt(p (1 - p) / N) / density; at 80% that is 0.023 standard
# deviations, and all rows share draws of beta.  Five of these.
SIMS, QUANTILE = 4000, 0.115
CHOSEN = ["slopes", "weights and offset", "crossed", "nested", "crossed slopes", "all at once", "zero variance", "compound symmetry"]


def without_errors(fit, **how):
    return predict_interval(fit, n_sims=SIMS, seed=1, include_resid_var=False, **how)


@pytest.mark.parametrize("name", CHOSEN)
def test_limits_without_errors_are_normal_quantiles_of_the_joint_distribution(name):
    fit = fitted(name)
    for which, how in (("full", {}), ("fixed", {"re_form": "NA"}), ("random", {"random_only": True})):
        exact = predict(fit, se_fit=True, **how)
        made = without_errors(fit, which=which)
        se = exact["se_fit"].to_numpy()
        some = se > 1e-9 * np.ptp(exact["fit"]) + 1e-12
        for column, z in (("fit", 0.0), ("lwr", stats.norm.ppf(0.1)), ("upr", stats.norm.ppf(0.9))):
            off = (made[column] - exact["fit"]).to_numpy()[some] / se[some] - z
            assert np.abs(off).max(initial=0.0) < QUANTILE, (which, column)
        np.testing.assert_allclose(made["fit"].to_numpy()[~some], exact["fit"].to_numpy()[~some], atol=1e-6)


@pytest.mark.parametrize("name", MODELS)
def test_draws_have_the_inverse_of_hendersons_matrix_as_their_covariance(name, monkeypatch):
    fit = fitted(name)
    e, sims = fit._estimates, 20_000
    for largest in (jointrows.LARGEST_CORE, -1):
        monkeypatch.setattr(jointrows, "LARGEST_CORE", largest)
        draws = JointDraws(fit, sims, seed_sequence(3), np.zeros(e.p, dtype=bool))
        parts = [draws.effects(f, np.arange(len(b))).reshape(-1, sims) for f, b in enumerate(e.b)]
        exact_se = [np.sqrt(np.einsum("lcc->lc", v)).ravel() for v in conditional_variances_given_theta(fit)]
        for part, sd in zip(parts, exact_se):
            scale = np.maximum(sd, 1e-12)
            assert np.abs(part.mean(axis=1) / scale).max() < 6 / np.sqrt(sims)
            assert np.abs(part.std(axis=1) / scale - 1)[sd > 1e-9].max(initial=0.0) < 6 / np.sqrt(2 * sims)


def conditional_variances_given_theta(fit):
    """Var(b - b-hat), theta given and beta estimated: the blocks of C^-1 from dense matrices, (nl, c, c) per factor."""
    design, e = fit._rows.design, fit._estimates
    w = np.ones(design.n) if design.weights is None else design.weights
    columns = [design.X]
    for f, factor in enumerate(design.factors):
        T = template_of_factor(design.terms, e.templates, f, len(factor.columns))
        z = np.column_stack([np.ones(design.n) if c is None else c for c in factor.columns]) @ T
        Z = np.zeros((design.n, len(factor.levels), len(factor.columns)))
        Z[np.arange(design.n), factor.codes] = z
        columns.append(Z.reshape(design.n, -1))
    A = np.hstack(columns)
    C = A.T @ (w[:, None] * A)
    C[e.p :, e.p :] += np.eye(len(C) - e.p)
    inverse, at, out = e.sigma**2 * np.linalg.inv(C), e.p, []
    for f, factor in enumerate(design.factors):
        nl, c = e.b[f].shape
        T = template_of_factor(design.terms, e.templates, f, c)
        own = inverse[at : at + nl * c, at : at + nl * c].reshape(nl, c, nl, c)
        out.append(T @ np.array([own[k, :, k] for k in range(nl)]) @ T.T)
        at += nl * c
    return out


def test_limits_with_errors_are_quantiles_of_a_normal_with_a_drawn_sigma():
    fit = fitted("weights and offset")
    exact = predict(fit, se_fit=True)
    df, sigma, w = int(fit.nobs) - len(fit.fixef()), fit.sigma(), fit.weights().to_numpy()
    made = predict_interval(fit, n_sims=SIMS, seed=2)
    assert list(made.columns) == ["fit", "upr", "lwr"] and made.index.equals(fit.fitted().index)
    for i in (0, 7, 100):
        se = exact["se_fit"].iloc[i]

        def below(y):
            def given(s2):
                return stats.norm.cdf(y / np.sqrt(se**2 + sigma**2 * s2 / w[i])) * stats.invgamma.pdf(s2, df / 2, scale=df / 2)

            return integrate.quad(given, 0.3, 3.0, epsabs=1e-9)[0]

        wanted = optimize.brentq(lambda y: below(y) - 0.9, 0.0, 10 * sigma)
        sd = np.sqrt(se**2 + sigma**2 / w[i])
        assert abs(made["upr"].iloc[i] - exact["fit"].iloc[i] - wanted) < QUANTILE * sd
        assert abs(made["lwr"].iloc[i] - exact["fit"].iloc[i] + wanted) < QUANTILE * sd


def test_all_effects_come_one_below_the_other():
    fit = fitted("crossed")
    made, sims = predict_interval(fit, which="all", n_sims=50, seed=1, return_sims=True)
    assert list(dict.fromkeys(made["effect"])) == ["combined", "plate", "sample", "fixed"]
    assert list(made.columns) == ["effect", "fit", "upr", "lwr", "obs"] and len(made) == 4 * 144
    assert set(sims) == {"combined", "plate", "sample", "fixed"} and sims["plate"].shape == (144, 50)
    plain = predict_interval(fit, which="all", n_sims=50, seed=1, return_sims=True, include_resid_var=False)[1]
    np.testing.assert_allclose(plain["combined"], plain["plate"] + plain["sample"] + plain["fixed"], rtol=1e-12)


def test_intervals_depend_on_the_seed_alone_and_not_on_blocks_without_errors(monkeypatch):
    fit = fitted("crossed slopes")
    one = predict_interval(fit, n_sims=40, seed=9)
    assert predict_interval(fit, n_sims=40, seed=9).equals(one)
    assert not np.isclose(predict_interval(fit, n_sims=40, seed=10)["upr"], one["upr"]).any()
    plain = predict_interval(fit, n_sims=40, seed=9, include_resid_var=False)
    monkeypatch.setattr(predictinterval, "ELEMENTS", 400)
    pd.testing.assert_frame_equal(predict_interval(fit, n_sims=40, seed=9, include_resid_var=False), plain, rtol=1e-12)


def test_a_new_level_has_the_variance_of_the_model_and_its_rows_share_it():
    fit = fitted("slopes")
    new = pd.DataFrame({"Days": [2.0, 2.0, 5.0, np.nan], "Subject": ["999", "999", "333", "333"]})
    with pytest.raises(DataError, match="predict_interval: newdata has the level 999 .* draws their effects"):
        predict_interval(fit, new)
    made, sims = predict_interval(fit, new, n_sims=SIMS, seed=4, include_resid_var=False, allow_new_levels=True, return_sims=True)
    exact = predict(fit, new, allow_new_levels=True, se_fit=True)
    np.testing.assert_array_equal(sims[0], sims[1])
    z = (made["upr"] - exact["fit"]) / exact["se_fit"]
    assert np.abs(z[:3] - stats.norm.ppf(0.9)).max() < QUANTILE
    assert made.iloc[3].isna().all()


def test_a_fit_without_rows_gives_intervals_for_new_data():
    fit = fitted("crossed slopes")
    new = fit._settings.data.head(5)
    bare = pickle.loads(pickle.dumps(fit))
    pd.testing.assert_frame_equal(predict_interval(bare, new, n_sims=30, seed=1), predict_interval(fit, new, n_sims=30, seed=1))


def test_known_coefficients_have_no_variance():
    fit = lmer("Reaction ~ Days + (1 | Subject)", datasets.load("sleepstudy"))
    for ignored in (["(Intercept)", "Days"], [0, 1]):
        made = predict_interval(fit, which="fixed", n_sims=20, seed=1, include_resid_var=False, ignore_fixed_terms=ignored)
        np.testing.assert_allclose(made["upr"], made["lwr"], rtol=1e-12)
    some = predict_interval(fit, which="fixed", n_sims=SIMS, seed=1, include_resid_var=False, ignore_fixed_terms="Days", level=0.5)
    se = fit.bse["(Intercept)"]
    assert np.abs((some["upr"] - some["lwr"]) / (2 * stats.norm.ppf(0.75) * se) - 1).max() < QUANTILE


def test_the_mean_is_another_centre():
    fit = fitted("slopes")
    table, sims = predict_interval(fit, n_sims=25, seed=1, stat="mean", return_sims=True)
    np.testing.assert_allclose(table["fit"], sims.mean(axis=1), rtol=1e-12)
    np.testing.assert_allclose(table["upr"], np.quantile(sims, 0.9, axis=1), rtol=1e-12)


def test_a_correction_that_is_not_needed_is_named():
    with pytest.warns(FastlmmWarning, match="fix_intercept_variance=True changes nothing"):
        predict_interval(fitted("slopes"), n_sims=5, seed=1, fix_intercept_variance=True)


@pytest.mark.parametrize("how, words", [
    ({"which": "some"}, "which = 'some'"), ({"stat": "mode"}, "stat = 'mode'"), ({"n_sims": 1}, "n_sims = 1"),
    ({"n_sims": 10.5}, "n_sims = 10.5"), ({"level": 95}, "level = 95"), ({"seed": "x"}, "seed"),
])
def test_bad_arguments_are_refused(how, words):
    with pytest.raises(ArgumentError, match=words):
        predict_interval(fitted("slopes"), **how)


def test_an_unknown_coefficient_is_named():
    with pytest.raises(UnknownNameError, match="ignore_fixed_terms has 'Dayz'.*Days"):
        predict_interval(fitted("slopes"), ignore_fixed_terms=["Dayz"])
