"""Results with one number per row: alignment with the data, missing rows, kinds of data frame."""

import numpy as np
import pandas as pd
import polars
import pyarrow
import pytest
from some_models import crossed_slopes, fitted, weighted_sleep

from fastlmm_hlm import datasets, lmer
from fastlmm_hlm.errors import ArgumentError, DataError

SLEEP = "Reaction ~ Days + (Days | Subject)"


@pytest.fixture(scope="module")
def weighted():
    return fitted("weights and offset")


def test_residuals_are_observed_minus_fitted(fit):
    y, mu = fit.getME("y"), fit.fitted().to_numpy()
    np.testing.assert_array_equal(fit.residuals(), y - mu)
    np.testing.assert_array_equal(fit.residuals("working"), y - mu)
    np.testing.assert_array_equal(fit.resid, fit.residuals())
    np.testing.assert_array_equal(fit.fittedvalues, fit.fitted())


def test_pearson_and_deviance_residuals_carry_the_root_of_the_weight(weighted):
    raw, root = weighted.residuals(), np.sqrt(weighted.weights())
    np.testing.assert_allclose(weighted.residuals("pearson"), raw * root)
    np.testing.assert_allclose(weighted.residuals("deviance"), raw * root)
    np.testing.assert_allclose(weighted.residuals(scaled=True), raw / weighted.sigma())
    np.testing.assert_allclose(weighted.residuals("pearson", scaled=True), raw * root / weighted.sigma())


def test_summary_shows_quantiles_of_scaled_pearson_residuals(weighted):
    scaled = weighted.residuals("pearson", scaled=True)
    assert list(weighted.summary().residuals) == pytest.approx(list(scaled.quantile([0, 0.25, 0.5, 0.75, 1])))


@pytest.mark.parametrize("type", ["partial", "Response", None, 1])
def test_residuals_refuse_an_unknown_type(weighted, type):
    with pytest.raises(ArgumentError, match="residuals: type = .*response, pearson, deviance, working"):
        weighted.residuals(type)


def test_weights_are_those_given_or_ones(weighted, sleep_fit):
    np.testing.assert_array_equal(weighted.weights(), weighted_sleep()["w"])
    assert (sleep_fit.weights() == 1.0).all() and len(sleep_fit.weights()) == 180


@pytest.mark.parametrize(
    "index",
    [
        pd.Index(np.random.default_rng(0).permutation(180)),
        pd.Index([f"row {k}" for k in range(180)]),
        pd.Index(np.zeros(180, dtype=int)),
        pd.date_range("2020-01-01", periods=180, tz="Europe/Berlin"),
        pd.MultiIndex.from_product([range(18), list("abcdefghij")], names=["who", "when"]),
    ],
    ids=["shuffled", "text", "all equal", "times", "two levels"],
)
def test_row_results_carry_the_index_of_the_data(sleep_fit, index):
    data = datasets.load("sleepstudy").set_axis(index)
    fit = lmer(SLEEP, data)
    for ours, theirs in ((fit.fitted(), sleep_fit.fitted()), (fit.residuals(), sleep_fit.residuals()),
                         (fit.weights(), sleep_fit.weights())):
        assert ours.index.equals(index)
        np.testing.assert_array_equal(ours, theirs)
    assert fit.model_matrix().index.equals(index)
    assert fit.getME("flist").index.equals(index)


def test_residuals_can_be_assigned_back_to_shuffled_data(sleep_fit):
    data = datasets.load("sleepstudy").sample(frac=1, random_state=5)
    fit = lmer(SLEEP, data)
    data["mine"] = fit.fitted()
    np.testing.assert_allclose(data.sort_index()["mine"], sleep_fit.fitted(), atol=1e-7)


def missing_here_and_there():
    data = datasets.load("sleepstudy").set_axis(np.arange(1000, 1180))
    data["Days"] = data["Days"].astype(float)
    data.loc[[1003, 1077], "Days"] = np.nan
    data.loc[1010, "Reaction"] = np.nan
    data["Subject"] = data["Subject"].where(data.index != 1100)
    return data, [1003, 1010, 1077, 1100]


def test_rows_with_missing_values_are_left_out_and_counted():
    data, gone = missing_here_and_there()
    fit = lmer(SLEEP, data)
    assert fit.nobs == 176 == len(fit.fitted()) == len(fit.model_matrix())
    assert not set(gone) & set(fit.fitted().index)
    alone = lmer(SLEEP, data.drop(index=gone))
    assert fit.REMLcrit() == alone.REMLcrit()
    text = str(fit.summary())
    assert "4 rows left out" in text and "Days 2" in text and "Reaction 1" in text and "Subject 1" in text


def test_na_exclude_pads_row_results_with_nan():
    data, gone = missing_here_and_there()
    fit = lmer(SLEEP, data, na_action="exclude")
    plain = lmer(SLEEP, data)
    for padded, short in ((fit.fitted(), plain.fitted()), (fit.residuals(), plain.residuals()),
                          (fit.residuals("pearson", scaled=True), plain.residuals("pearson", scaled=True)),
                          (fit.weights(), plain.weights())):
        assert padded.index.equals(data.index)
        assert list(padded.index[padded.isna()]) == gone
        pd.testing.assert_series_equal(padded.dropna(), short)
    assert fit.nobs == 176


def test_na_exclude_does_not_pad_rows_outside_the_subset():
    data, gone = missing_here_and_there()
    fit = lmer(SLEEP, data, na_action="exclude", subset=data.index < 1080)
    assert list(fit.fitted().index) == list(range(1000, 1080))
    assert list(fit.fitted().index[fit.fitted().isna()]) == [1003, 1010, 1077]


def test_na_fail_refuses_missing_values_and_says_where():
    data, _ = missing_here_and_there()
    with pytest.raises(DataError, match="(?s)na_action = 'fail'.*Days in 2 rows") as caught:
        lmer(SLEEP, data, na_action="fail")
    assert "Subject in 1 row" in str(caught.value)


def arrow(data):
    return pyarrow.Table.from_pandas(data, preserve_index=False)


@pytest.mark.parametrize("convert", [polars.from_pandas, arrow, lambda d: {k: d[k].to_numpy() for k in d}],
                         ids=["polars", "pyarrow", "dict"])
@pytest.mark.parametrize("formula, data, arguments", [
    (SLEEP, datasets.load("sleepstudy"), {}),
    ("y ~ x * f + (x | g) + (1 | h)", crossed_slopes(), {"weights": "w", "offset": "known", "subset": "z > -0.9"}),
], ids=["sleepstudy", "crossed"])
def test_every_kind_of_data_frame_gives_identical_numbers(convert, formula, data, arguments):
    ours, theirs = lmer(formula, convert(data), **arguments), lmer(formula, data, **arguments)
    assert ours.deviance(REML=True) == theirs.deviance(REML=True)
    np.testing.assert_array_equal(ours.theta, theirs.theta)
    np.testing.assert_array_equal(ours.fixef(), theirs.fixef())
    assert list(ours.fixef().index) == list(theirs.fixef().index)
    np.testing.assert_array_equal(ours.fitted(), theirs.fitted())
    for group, frame in theirs.ranef().items():
        np.testing.assert_array_equal(ours.ranef()[group], frame)
        assert [str(k) for k in ours.ranef()[group].index] == [str(k) for k in frame.index]


def test_missing_values_of_polars_and_arrow_are_missing():
    data, gone = missing_here_and_there()
    counts = {lmer(SLEEP, convert(data.reset_index(drop=True))).REMLcrit() for convert in
              (lambda d: d, polars.from_pandas, arrow)}
    assert len(counts) == 1


@pytest.mark.filterwarnings("ignore::fastlmm_hlm.errors.SingularFitWarning")
@pytest.mark.parametrize("formula", [SLEEP, "Reaction ~ 0 + Days + (0 + Days | Subject)", "Reaction ~ 0 + Days + (1 | Days)"])
def test_changing_the_data_afterwards_leaves_the_fit_alone(formula):
    data = weighted_sleep().astype({"Days": float})
    fit = lmer(formula, data, weights="w", offset="known")
    before = fit.fitted(), fit.residuals(), fit.weights(), fit.getME("flist")
    data.loc[:, "Reaction"] = 0.0
    data.loc[:, "Days"] = 0.0
    data.loc[:, "w"] = 5.0
    data.loc[:, "known"] = 9.0
    data.loc[:, "Subject"] = "308"
    for now, then in zip((fit.fitted(), fit.residuals(), fit.weights()), before):
        pd.testing.assert_series_equal(now, then)
    pd.testing.assert_frame_equal(fit.getME("flist"), before[3])


def test_changing_arrays_afterwards_leaves_the_fit_alone():
    data = {k: v.to_numpy(copy=True) for k, v in weighted_sleep().astype({"Subject": str}).items()}
    weights, offset = data.pop("w"), data.pop("known")
    fit = lmer(SLEEP, data, weights=weights, offset=offset)
    before = fit.fitted(), fit.residuals(), fit.weights()
    for name in ("Reaction", "Days"):
        data[name][:] = 0
    weights[:] = 1.0
    offset[:] = 0.0
    for now, then in zip((fit.fitted(), fit.residuals(), fit.weights()), before):
        pd.testing.assert_series_equal(now, then)


def test_the_data_of_the_user_are_not_changed():
    data, _ = missing_here_and_there()
    data["w"] = np.linspace(0.5, 1.5, len(data))
    copy = data.copy(deep=True)
    lmer("Reaction ~ poly(Days, 2) + (Days | Subject)", data.fillna({"Days": 3.0}), weights="w")
    lmer(SLEEP, data, weights="w", subset="Days > 1")
    pd.testing.assert_frame_equal(data, copy)
