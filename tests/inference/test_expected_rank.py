"""Expected ranks and reliabilities: R by definition, closed forms, and the interpolation against all pairs."""

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy.special import ndtr
from test_residuals import CASES, REFERENCE, fit_of

from fastlmm_hlm import datasets, expected_rank, lmer, reliability
from fastlmm_hlm.errors import FewLevelsWarning, UnknownNameError
from fastlmm_hlm.inference import expected_rank as module

# The conditional variances of R's fit and ours agree to about 1e-7.
AGAINST_R = 1e-5
# What `expected_rank` promises above 5,000 levels.
INTERPOLATION = 1e-6


def columns(frame, group, value):
    part = frame[frame["group"] == group]
    return np.column_stack([rows[value].to_numpy() for _, rows in part.groupby("term", sort=False)])


@pytest.mark.filterwarnings("ignore::fastlmm_hlm.errors.FewLevelsWarning")
@pytest.mark.parametrize("name", [name for name in CASES if "singular" not in name])
def test_ranks_and_reliabilities_are_the_definitions_in_R(name):
    fit = fit_of(name)
    ranks, reliabilities = expected_rank(fit), reliability(fit)
    for theirs in REFERENCE[name]["levels"]:
        group = theirs["group"]
        np.testing.assert_allclose(columns(ranks, group, "ER"), np.array(theirs["rank"], dtype=float), rtol=AGAINST_R)
        np.testing.assert_allclose(columns(reliabilities, group, "reliability"), np.array(theirs["reliability"], dtype=float), atol=AGAINST_R)


def pairs(b, v):
    scale = np.sqrt(v[:, None] + v)
    z = (b[:, None] - b) / np.where(scale > 0.0, scale, 1.0)      # a level with itself: 0
    return 0.5 + ndtr(z).sum(axis=1)


def test_many_levels_are_interpolated_to_what_all_pairs_give():
    rng = np.random.default_rng(1)
    v = rng.gamma(3.0, 1 / 30, 6000) + 0.02
    b = rng.normal(size=6000) * np.sqrt(1.0 - np.minimum(v, 0.9))
    at = rng.integers(6000, size=300)
    found = module.expected_ranks(b, v)
    expected = 0.5 + ndtr((b[at, None] - b) / np.sqrt(v[at, None] + v)).sum(axis=1)
    np.testing.assert_allclose(found[at], expected, atol=INTERPOLATION)
    assert found.sum() == pytest.approx(6000 * 6001 / 2)


def test_a_grid_that_would_be_too_fine_gives_way_to_the_pairs(monkeypatch):
    rng = np.random.default_rng(2)
    b, v = rng.normal(size=80), rng.uniform(1e-12, 1.0, size=80)
    monkeypatch.setattr(module, "PAIRWISE", 10)
    v[0] = 1e-12
    np.testing.assert_allclose(module.expected_ranks(b, v), pairs(b, v), rtol=1e-12)
    v[0] = 0.0
    np.testing.assert_allclose(module.expected_ranks(b, v), pairs(b, v), rtol=1e-12)
    v = np.full(80, 0.1)                             # one variance: nothing to interpolate in
    np.testing.assert_allclose(module.expected_ranks(b, v), pairs(b, v), atol=INTERPOLATION)


def test_ranks_of_effects_known_exactly_are_ranks_and_equal_effects_share_theirs():
    np.testing.assert_allclose(module.expected_ranks(np.array([3.0, 1.0, 2.0]), np.zeros(3)), [3.0, 1.0, 2.0])
    np.testing.assert_allclose(module.expected_ranks(np.zeros(4), np.zeros(4)), 2.5)


def test_the_sum_of_the_ranks_is_that_of_one_to_m(fit):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FewLevelsWarning)
        frame = expected_rank(fit)
    for _, part in frame.groupby(["group", "term"]):
        assert part["ER"].sum() == pytest.approx(len(part) * (len(part) + 1) / 2)
        np.testing.assert_allclose(part["pctER"], 100 * (part["ER"] - 0.5) / len(part))
        assert (np.argsort(part["estimate"].to_numpy(), kind="stable")[0] == part["ER"].to_numpy().argmin()) or part["estimate"].nunique() == 1


def test_groups_and_terms_can_be_chosen(sleep_fit):
    frame = expected_rank(sleep_fit, "Subject", "Intercept")
    assert list(frame) == ["group", "level", "term", "estimate", "std.error", "ER", "pctER"]
    assert set(frame["term"]) == {"(Intercept)"} and len(frame) == 18
    assert set(expected_rank(sleep_fit, term=["Days", "(Intercept)"])["term"]) == {"(Intercept)", "Days"}
    with pytest.raises(UnknownNameError, match="no grouping factor is called 'subject'; there are Subject"):
        expected_rank(sleep_fit, "subject")
    with pytest.raises(UnknownNameError, match="no random effect is called 'days'; there are"):
        expected_rank(sleep_fit, term="days")


# --- reliability ------------------------------------------------------------------------------


def test_the_reliability_of_a_mean_is_tau_over_tau_plus_its_variance():
    d = datasets.load("Hsb82")
    fit = lmer("mAch ~ 1 + (1 | school)", d)
    tau, n = fit.VarCorr()["school"].iloc[0, 0], d.groupby("school", observed=True).size()
    frame = reliability(fit).set_index("level")
    expected = tau / (tau + fit.sigma() ** 2 / n[frame.index])
    np.testing.assert_allclose(frame["reliability"], expected, rtol=1e-9)
    np.testing.assert_allclose(frame["reliability_ols"], expected, rtol=1e-9)
    means = reliability(fit).means()
    assert means["reliability"][0] == pytest.approx(expected.mean()) and means["levels"][0] == 160
    # Raudenbush and Bryk (2002, ch. 4) give 0.90 for the one-way model of these data
    assert means["reliability_ols"][0] == pytest.approx(0.90, abs=0.005)
    assert "school: (Intercept)" in str(reliability(fit)) and "reliability_ols" in str(reliability(fit))


def test_hlms_reliabilities_of_random_coefficients_are_those_of_the_groups_own_regressions():
    d = datasets.load("Hsb82")
    fit = lmer("mAch ~ cses + (cses | school)", d)
    frame = reliability(fit)
    tau = np.diagonal(fit.VarCorr()["school"])
    for school, own in list(d.groupby("school", observed=True))[:20]:
        X = np.column_stack([np.ones(len(own)), own["cses"]])
        v = fit.sigma() ** 2 * np.diagonal(np.linalg.inv(X.T @ X))
        np.testing.assert_allclose(frame.loc[frame["level"] == school, "reliability_ols"], tau / (tau + v), rtol=1e-9)


def test_reliability_is_the_squared_correlation_of_mode_and_effect():
    fit = lmer("strength ~ 1 + (1 | batch/cask)", datasets.load("Pastes"))
    frame = reliability(fit)
    Z, Lambda = fit.getME("Z").toarray(), fit.getME("Lambda").toarray()
    Psi = fit.sigma() ** 2 * Lambda @ Lambda.T
    V = Z @ Psi @ Z.T + fit.sigma() ** 2 * np.eye(len(Z))
    C = Psi @ Z.T @ np.linalg.solve(V, Z @ Psi)                # Var(b_hat) = Cov(b_hat, b)
    np.testing.assert_allclose(frame["reliability"], np.diagonal(C) / np.diagonal(Psi), rtol=1e-6)
    assert "reliability_ols" not in frame


def test_an_effect_without_variance_has_reliability_zero():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = lmer("Yield ~ 1 + (1 | Batch)", datasets.load("Dyestuff2"))
    assert (reliability(fit)[["reliability", "reliability_ols"]] == 0.0).all(axis=None)
    np.testing.assert_allclose(expected_rank(fit)["ER"], 3.5)


def test_levels_that_do_not_determine_their_effects_have_no_reliability_of_least_squares():
    d = datasets.load("sleepstudy")
    d = d[(d["Subject"] != "308") | (d["Days"] == 4)]
    frame = reliability(lmer("Reaction ~ Days + (Days | Subject)", d))
    alone = frame[frame["level"] == "308"]
    assert alone["reliability_ols"].isna().all() and (alone["reliability"] > 0).all()
    assert (frame.means()["determined"] == 17).all()


def test_few_levels_are_told_here_and_not_by_the_fit():
    d = datasets.load("sleepstudy")
    few = d[d["Subject"].isin(d["Subject"].unique()[:3])]
    with warnings.catch_warnings():
        warnings.simplefilter("error", FewLevelsWarning)
        fit = lmer("Reaction ~ Days + (1 | Subject)", few)
        str(fit.summary())
    for function in (reliability, expected_rank):
        with pytest.warns(FewLevelsWarning, match=f"{function.__name__}: 'Subject' has 3 levels; .* fewer than 5"):
            frame = function(fit)
        assert isinstance(frame, pd.DataFrame)
