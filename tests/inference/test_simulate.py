"""simulate(): labels, seeds, which effects are kept, and what is refused."""

import pickle

import numpy as np
import pandas as pd
import pytest
from some_models import data_of, fitted

from fastlmm_hlm import bootMer, datasets, fixef, lmer, predict, refit, simulate
from fastlmm_hlm.errors import ArgumentError, DataError, RowsNotKeptError, UnknownColumnError
from fastlmm_hlm.inference.simulation import simulate_responses

SLEEP = datasets.load("sleepstudy")
NEW = pd.DataFrame({"Days": [1.0, 2.0, 3.0], "Subject": ["308", "999", "999"]}, index=["a", "b", "c"])
# Means and covariances of this many draws stay within six standard errors.
MANY, STANDARD_ERRORS = 4000, 6.0


def assert_covariance(draws, V, mean):
    d, sd = draws.to_numpy() - np.asarray(mean)[:, None], np.sqrt(np.diagonal(V))
    assert np.abs(d.mean(axis=1) / np.maximum(sd, 1e-12)).max() < STANDARD_ERRORS / np.sqrt(MANY)
    spread = np.sqrt((np.outer(sd**2, sd**2) + V**2) / MANY) + 1e-12
    assert np.abs((d @ d.T / MANY - V) / spread).max() < STANDARD_ERRORS


def test_columns_rows_and_types_are_those_of_lme4():
    d = SLEEP.set_index(np.arange(180) + 1000)
    made = simulate(lmer("Reaction ~ Days + (Days | Subject)", d), 3, seed=1)
    assert list(made.columns) == ["sim_1", "sim_2", "sim_3"] and made.index.equals(d.index)
    assert (made.dtypes == float).all() and np.isfinite(made.to_numpy()).all()


def test_by_default_all_random_effects_are_drawn_and_the_streams_are_those_of_the_bootstrap():
    fit = fitted("crossed slopes")
    made = simulate(fit, 4, seed=5)
    np.testing.assert_array_equal(made.to_numpy().T, simulate_responses(fit, 4, seed=5))
    for same in ({"use_u": False}, {"re_form": "NA"}, {"re_form": float("nan")}, {"re_form": "~0"}):
        pd.testing.assert_frame_equal(simulate(fit, 4, seed=5, **same), made)
    np.testing.assert_array_equal(simulate(fit, 2, seed=5, use_u=True).to_numpy().T, simulate_responses(fit, 2, seed=5, use_u=True))
    pd.testing.assert_frame_equal(simulate(fit, 2, seed=5, use_u=True), simulate(fit, 2, seed=5, re_form=None))


def test_the_seed_is_kept_and_repeats_the_responses():
    fit = fitted("slopes")
    made = simulate(fit, 2)
    pd.testing.assert_frame_equal(simulate(fit, 2, seed=made.attrs["seed"]), made)
    assert not np.isclose(simulate(fit, 2), made).any()
    pd.testing.assert_frame_equal(simulate(fit, 3, seed=8)[["sim_1", "sim_2"]], simulate(fit, 2, seed=8))


def test_a_simulated_response_can_be_fitted():
    fit = fitted("slopes")
    again = refit(fit, simulate(fit, 1, seed=3)["sim_1"])
    boot = bootMer(fit, fixef, nsim=1, seed=3)
    np.testing.assert_allclose(again.fixef(), boot.t[0], rtol=1e-6)


def test_missing_rows_are_padded_and_the_response_still_fits():
    d = SLEEP.copy()
    d.loc[4, "Reaction"] = np.nan
    fit = lmer("Reaction ~ Days + (1 | Subject)", d, na_action="exclude")
    made = simulate(fit, 2, seed=1)
    assert made.shape == (180, 2) and made.loc[4].isna().all() and made.drop(4).notna().all(axis=None)


def test_some_terms_are_kept_and_the_others_drawn():
    fit = fitted("crossed slopes")
    kept = predict(fit, re_form="~ (1 | h)").to_numpy()[:10]
    draws = simulate(fit, MANY, seed=6, re_form="~ (1 | h)").iloc[:10]
    design, e = fit._rows.design, fit._estimates
    factor = design.factors[[f.name for f in design.factors].index("g")]
    term = next(k for k, t in enumerate(design.terms) if design.factors[t.factor].name == "g")
    z = np.column_stack([np.ones(design.n) if c is None else c for c in factor.columns])[:10]
    codes = factor.codes[:10]
    V = e.sigma**2 * (np.eye(10) + (codes[:, None] == codes) * (z @ e.templates[term] @ e.templates[term].T @ z.T))
    assert_covariance(draws, V, kept)


def test_new_levels_are_drawn_and_shared_whatever_is_kept():
    fit = fitted("slopes")
    Psi, z = fit.VarCorr()["Subject"].to_numpy(), np.column_stack([np.ones(3), NEW["Days"]])
    for how, known in (({}, False), ({"use_u": True}, True)):
        draws = simulate(fit, MANY, seed=2, newdata=NEW, allow_new_levels=True, **how)
        assert list(draws.index) == ["a", "b", "c"]
        V = np.array([[1, 0, 0], [0, 1, 1], [0, 1, 1]]) * (z @ Psi @ z.T)
        if known:
            V[0, 0] = 0.0
        mean = predict(fit, NEW, allow_new_levels=True) if known else predict(fit, NEW, re_form="NA")
        assert_covariance(draws, V + fit.sigma() ** 2 * np.eye(3), mean)


def test_rows_without_a_group_share_one_new_level():
    fit = fitted("slopes")
    new = NEW.assign(Subject=["308", None, None])
    with pytest.raises(DataError, match="simulate: the grouping factor Subject is missing in 2 rows.*draws their effects"):
        simulate(fit, 1, newdata=new)
    made = simulate(fit, 5, seed=1, newdata=new.assign(Days=1.0), allow_new_levels=True, cond_sim=False)
    np.testing.assert_array_equal(made.loc["b"], made.loc["c"])
    assert not np.isclose(made.loc["a"], made.loc["b"]).any()


def test_a_missing_predictor_gives_a_missing_response():
    made = simulate(fitted("slopes"), 2, seed=1, newdata={"Days": [1.0, np.nan], "Subject": ["308", "309"]})
    assert made.iloc[1].isna().all() and made.iloc[0].notna().all()


def test_without_errors_kept_effects_leave_the_prediction():
    fit = fitted("all at once")
    made = simulate(fit, 2, seed=1, use_u=True, cond_sim=False)
    np.testing.assert_allclose(made["sim_1"], fit.fitted(), rtol=1e-12)
    np.testing.assert_array_equal(made["sim_1"], made["sim_2"])


def test_the_data_of_the_fit_as_new_data_give_the_same_distribution():
    fit, data = fitted("weights and offset"), data_of("weights and offset")
    ours, theirs = simulate(fit, 2, seed=4), simulate(fit, 2, seed=4, newdata=data)
    np.testing.assert_allclose(ours, theirs, rtol=1e-12)


def test_other_parameters_are_those_of_the_draws():
    fit = fitted("slopes")
    flat = simulate(fit, 1, seed=1, newparams={"beta": [5.0, 2.0], "theta": [0.0, 0.0, 0.0], "sigma": 0.0})
    np.testing.assert_allclose(flat["sim_1"], 5.0 + 2.0 * SLEEP["Days"])
    draws = simulate(fit, MANY, seed=1, newparams={"theta": [1.0, 0.5, 2.0], "sigma": 3.0}).iloc[:6]
    T, z = np.array([[1.0, 0.0], [0.5, 2.0]]), np.column_stack([np.ones(6), np.arange(6.0)])
    assert_covariance(draws, 9.0 * (np.eye(6) + z @ T @ T.T @ z.T), predict(fit, re_form="NA")[:6])


def test_weights_and_offset_take_the_place_of_the_fits():
    fit = fitted("weights and offset")
    w = np.linspace(0.5, 4.0, 180)
    draws = simulate(fit, MANY, seed=1, use_u=True, weights=w, offset=np.zeros(180)).iloc[:8]
    mean = (predict(fit) - data_of("weights and offset")["known"])[:8]
    assert_covariance(draws, fit.sigma() ** 2 * np.diag(1 / w[:8]), mean)
    d = data_of("weights and offset").head(4).assign(other=[9.0, 1.0, 1.0, 4.0])
    draws = simulate(fit, MANY, seed=1, use_u=True, newdata=d, weights="other", offset=np.full(4, 100.0))
    assert_covariance(draws, fit.sigma() ** 2 * np.diag(1 / d["other"]), predict(fit, d) - d["known"] + 100.0)


def test_a_vector_offset_can_be_given_for_new_data():
    fit = lmer("Reaction ~ Days + (1 | Subject)", SLEEP, offset=np.ones(180))
    with pytest.raises(DataError, match="offset= as a vector"):
        simulate(fit, 1, newdata=SLEEP.head(3))
    made = simulate(fit, 1, seed=1, newdata=SLEEP.head(3), offset=[1.0, 1.0, 1.0], use_u=True, cond_sim=False)
    np.testing.assert_allclose(made["sim_1"], fit.fitted()[:3])


def test_random_effects_may_have_another_distribution():
    fit = fitted("slopes")

    def coins(rng, size):
        return rng.choice([-1.0, 1.0], size=size)

    made = simulate(fit, MANY, seed=1, cluster_rand=coins, cond_sim=False).iloc[:2]
    T, mean = fit.sigma() * fit._estimates.templates[0], predict(fit, re_form="NA")[:2].to_numpy()
    assert len(np.unique((made.iloc[0] - mean[0]).round(8))) == 2
    z = np.array([[1.0, 0.0], [1.0, 1.0]])
    assert_covariance(made, z @ T @ T.T @ z.T, mean)


def test_a_fit_without_rows_simulates_for_new_data_alone():
    fit = fitted("crossed slopes")
    bare, new = pickle.loads(pickle.dumps(fit)), data_of("crossed slopes").head(4)
    pd.testing.assert_frame_equal(simulate(bare, 2, seed=1, newdata=new), simulate(fit, 2, seed=1, newdata=new))
    with pytest.raises(RowsNotKeptError, match="simulate"):
        simulate(bare, 1)


@pytest.mark.parametrize("how, kind, words", [
    ({"nsim": 0}, ArgumentError, "nsim = 0; expected a whole number, at least 1"), ({"nsim": 2.5}, ArgumentError, "nsim = 2.5"),
    ({"nsim": True}, ArgumentError, "nsim = True"), ({"seed": "x"}, ArgumentError, "seed"),
    ({"use_u": True, "re_form": None}, ArgumentError, "give one of them"),
    ({"use_u": False, "re_form": "NA"}, ArgumentError, "give one of them"), ({"use_u": "yes"}, ArgumentError, "use_u = 'yes'"),
    ({"re_form": "~ (1 | Subject)"}, ArgumentError, "a part of the term"), ({"re_form": "~ (1 | g)"}, ArgumentError, "which the fit lacks"),
    ({"cluster_rand": 3}, ArgumentError, "no function"), ({"cluster_rand": lambda rng, size: np.ones(3)}, ArgumentError, r"shape \(3,\)"),
    ({"newparams": {"omega": 1}}, ArgumentError, "'omega'"), ({"newdata": NEW}, DataError, "simulate: newdata has the level 999"),
    ({"newdata": NEW[["Days"]]}, UnknownColumnError, "'Subject'"), ({"newdata": 3}, DataError, "simulate: newdata cannot be used"),
    ({"newdata": NEW.head(0)}, DataError, "simulate: newdata has 0 rows"), ({"weights": "w"}, ArgumentError, "there is no newdata"),
    ({"offset": "w"}, ArgumentError, "there is no newdata"), ({"offset": [1.0]}, ArgumentError, "one number per row"),
    ({"weights": np.zeros(180)}, ArgumentError, "must be positive"),
])
def test_bad_arguments_are_refused(how, kind, words):
    with pytest.raises(kind, match=words):
        simulate(fitted("slopes"), **how)


def test_what_is_no_fit_is_refused():
    with pytest.raises(ArgumentError, match="simulate: expected a fitted model"):
        simulate(SLEEP)
