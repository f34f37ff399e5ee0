"""predict(): rows, labels, missing values, intervals, and what is refused."""

import pickle

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from scipy import stats
from some_models import MODELS, data_of, fitted

from fastlmm_hlm import datasets, lmer, predict
from fastlmm_hlm.errors import ArgumentError, DataError, FastlmmWarning, RowsNotKeptError, UnknownColumnError
from fastlmm_hlm.inference import jointrows, leverage

ROUNDING = 1e-12
SLEEP = datasets.load("sleepstudy")
FEW = pd.DataFrame({"Days": [1.0, 2.5, 4.0], "Subject": ["308", "309", "372"]}, index=["a", "b", "c"])


@pytest.fixture(scope="module")
def fit():
    return lmer("Reaction ~ Days + (Days | Subject)", SLEEP)


def by_hand(fit, days, subjects):
    modes = fit.ranef(condVar=False)["Subject"].rename(index=str)
    beta = fit.fixef()
    return np.array([beta["(Intercept)"] + modes.loc[s, "(Intercept)"] + (beta["Days"] + modes.loc[s, "Days"]) * d
                     for d, s in zip(days, subjects)])


# --- rows and labels -----------------------------------------------------------------


@pytest.mark.parametrize("name", MODELS)
def test_without_new_data_it_is_fitted_and_the_data_themselves_give_the_same(name):
    model = fitted(name)
    assert model.predict().name == "fit"
    pd.testing.assert_series_equal(model.predict(), model.fitted(), check_names=False, rtol=ROUNDING)
    used = data_of(name) if model._rows.positions is None else data_of(name).iloc[model._rows.positions]
    pd.testing.assert_series_equal(predict(model, used), model.fitted(), check_names=False, rtol=1e-10)


def test_the_index_of_new_data_is_kept(fit):
    made = predict(fit, FEW)
    assert list(made.index) == ["a", "b", "c"]
    np.testing.assert_allclose(made, by_hand(fit, FEW["Days"], FEW["Subject"]), rtol=ROUNDING)


@pytest.mark.parametrize("make", [
    lambda d: pl.from_pandas(d), lambda d: pa.Table.from_pandas(d, preserve_index=False), lambda d: d.to_dict("list"),
    lambda d: {name: d[name].to_numpy() for name in d}, lambda d: d.astype({"Subject": "category"}),
    lambda d: d.assign(Subject=d["Subject"].astype(int)), lambda d: d.assign(Subject=pd.array(d["Subject"].astype(int), dtype="Int64")),
    lambda d: d.assign(Subject=d["Subject"].astype(float)), lambda d: pl.from_pandas(d).with_columns(pl.col("Subject").cast(pl.Categorical)),
    lambda d: d.assign(extra=object()), lambda d: d[["Subject", "Days"]],
])
def test_every_kind_of_frame_gives_the_same(fit, make):
    made = predict(fit, make(FEW), se_fit=True)
    np.testing.assert_allclose(made["fit"], by_hand(fit, FEW["Days"], FEW["Subject"]), rtol=ROUNDING)
    np.testing.assert_allclose(made["se_fit"], predict(fit, FEW, se_fit=True)["se_fit"], rtol=ROUNDING)


def test_rows_in_blocks_are_the_same_rows(fit, monkeypatch):
    import sys

    monkeypatch.setattr(sys.modules["fastlmm_hlm.inference.predict"], "ROWS", 7)
    monkeypatch.setattr(sys.modules["fastlmm_hlm.inference.predict"], "ROWS_PER_THREAD", 10)
    pd.testing.assert_series_equal(predict(fit, SLEEP), fit.fitted(), check_names=False, rtol=ROUNDING)
    model = fitted("all at once")
    whole = predict(model, se_fit=True, interval="prediction")
    monkeypatch.setattr(jointrows, "ELEMENTS", 60)
    again = predict(model, se_fit=True, interval="prediction")
    pd.testing.assert_frame_equal(again, whole, rtol=1e-10)
    assert leverage.ROWS                                            # the same forms serve hatvalues


def test_integer_groups_of_any_spread_are_found():
    rng = np.random.default_rng(2)
    ids = np.array([-(2**62), -5, 0, 7, 10**6, 2**40, 2**62])
    d = pd.DataFrame({"g": np.repeat(ids, 12), "x": rng.normal(size=84)})
    d["y"] = d["x"] + np.repeat(rng.normal(0, 3, 7), 12) + rng.normal(size=84)
    wide, close = lmer("y ~ x + (1 | g)", d), lmer("y ~ x + (1 | g)", d.assign(g=np.repeat(np.arange(7) * 3, 12)))
    np.testing.assert_allclose(predict(wide, d), wide.fitted(), rtol=ROUNDING)
    for unknown in (-(2**63), -1, 4, 21, 2**63 - 1):
        new = pd.DataFrame({"g": [unknown], "x": [1.0]})
        for model in (wide, close):
            assert predict(model, new, allow_new_levels=True)[0] == pytest.approx(predict(model, new, re_form="NA")[0])
    small = pd.DataFrame({"g": np.array([3, 18], dtype=np.int8), "x": [0.0, 1.0]})
    np.testing.assert_allclose(predict(close, small), predict(close, small.astype({"g": np.int64})), rtol=0)


def test_a_fit_without_rows_predicts_new_data_and_not_its_own():
    for name in ("slopes", "all at once", "crossed", "nested"):
        model = fitted(name)
        bare, new = pickle.loads(pickle.dumps(model)), data_of(name).head(6)
        pd.testing.assert_frame_equal(predict(bare, new, se_fit=True), predict(model, new, se_fit=True), rtol=1e-10)
        with pytest.raises(RowsNotKeptError, match="predict"):
            predict(bare)


# --- random effects that are wanted --------------------------------------------------------


@pytest.mark.parametrize("none", ["NA", float("nan"), np.nan, False, "~0", "~ 0"])
def test_all_ways_to_say_no_random_effects(fit, none):
    np.testing.assert_allclose(predict(fit, FEW, re_form=none), fit.fixef().iloc[0] + fit.fixef().iloc[1] * FEW["Days"], rtol=ROUNDING)


def test_the_order_of_an_interaction_in_re_form_does_not_matter():
    model = fitted("nested")
    pd.testing.assert_series_equal(predict(model, re_form="~ (1 | cask:batch)"), predict(model, re_form="~ (1 | batch:cask)"))
    both = predict(model, re_form="~ (1 | batch) + (1 | batch:cask)")
    pd.testing.assert_series_equal(both, model.fitted(), check_names=False, rtol=ROUNDING)


def test_parts_of_a_prediction_add_up(fit):
    parts = predict(fit, re_form="~ (1 | Subject)", random_only=True) + predict(fit, re_form="~ (0 + Days | Subject)")
    pd.testing.assert_series_equal(parts, fit.fitted(), check_names=False, rtol=ROUNDING)
    both = predict(fit, FEW, random_only=True) + predict(fit, FEW, re_form="NA")
    np.testing.assert_allclose(both, predict(fit, FEW), rtol=ROUNDING)


def test_columns_of_terms_that_are_left_out_are_not_needed():
    model = fitted("crossed slopes")
    new = data_of("crossed slopes").head(3)
    np.testing.assert_allclose(predict(model, new[["x", "f"]], re_form="NA"), predict(model, new, re_form="NA"))
    np.testing.assert_allclose(predict(model, new[["x", "f", "h"]], re_form="~ (1 | h)"), predict(model, new, re_form="~ (1 | h)"))
    with pytest.raises(UnknownColumnError, match="'g'"):
        predict(model, new[["x", "f", "h"]])


@pytest.mark.parametrize("re_form, words", [
    ("~ (1 | Days)", r"\(1 \| Days\), which the fit lacks; it has \(Days \| Subject\)"),
    ("~ (I(Days^2) | Subject)", r"I\(Days\^2\)"),
    ("~ Days", "terms that are not random"), ("~ Days + (1 | Subject)", "terms that are not random"),
    ("y ~ (1 | Subject)", "has a response"), ("(1 | Subject", "cannot be read"), (True, "no formula"), (3, "no formula"),
    (["~ (1 | Subject)"], "no formula"),
])
def test_a_re_form_that_the_fit_cannot_give_is_refused(fit, re_form, words):
    with pytest.raises(ArgumentError, match=words):
        predict(fit, FEW, re_form=re_form)


# --- standard errors and intervals -----------------------------------------------------------


def test_intervals_are_normal_around_the_prediction(fit):
    made = predict(fit, FEW, se_fit=True, interval="confidence", level=0.9)
    assert list(made.columns) == ["fit", "se_fit", "lwr", "upr"]
    np.testing.assert_allclose(made["upr"] - made["fit"], stats.norm.ppf(0.95) * made["se_fit"], rtol=1e-10)
    np.testing.assert_allclose(made["fit"] - made["lwr"], stats.norm.ppf(0.95) * made["se_fit"], rtol=1e-10)
    assert list(predict(fit, FEW, interval="confidence").columns) == ["fit", "lwr", "upr"]
    for weights in (None, [1.0, 4.0, 0.25]):
        wide = predict(fit, FEW, se_fit=True, interval="prediction", weights=weights)
        sd = np.sqrt(wide["se_fit"] ** 2 + fit.sigma() ** 2 / np.array([1.0, 1.0, 1.0] if weights is None else weights))
        np.testing.assert_allclose(wide["upr"] - wide["fit"], stats.norm.ppf(0.975) * sd, rtol=1e-10)


def test_weights_of_the_fit_are_those_of_the_intervals():
    model, data = fitted("weights and offset"), data_of("weights and offset")
    def spread(made):
        return made["upr"] - made["lwr"]

    own = spread(predict(model, interval="prediction"))
    pd.testing.assert_series_equal(spread(predict(model, data, interval="prediction")), own, rtol=1e-8)
    with pytest.warns(FastlmmWarning, match="newdata have no weights"):
        ones = spread(predict(model, data.drop(columns="w"), interval="prediction"))
    pd.testing.assert_series_equal(ones, spread(predict(model, data, interval="prediction", weights=1.0)))
    pd.testing.assert_series_equal(own, spread(predict(model, data, interval="prediction", weights="w")), rtol=1e-8)


@pytest.mark.parametrize("ddf", ["Satterthwaite", "Kenward-Roger"])
def test_degrees_of_freedom_widen_the_interval_of_the_fixed_part(fit, ddf):
    made = predict(fit, FEW, re_form="NA", interval="confidence", se_fit=True, ddf=ddf)
    L = np.column_stack([np.ones(3), FEW["Days"]])
    wanted = fit.contest(L, joint=False, ddf=ddf, confint=True)
    np.testing.assert_allclose(made["lwr"], wanted["lower"], rtol=1e-9)
    np.testing.assert_allclose(made["upr"], wanted["upper"], rtol=1e-9)
    np.testing.assert_allclose(made["se_fit"], wanted["Std. Error"], rtol=1e-9)


def test_standard_errors_of_a_new_level_grow_by_the_prior_variance(fit):
    new = FEW.assign(Subject="999")
    made = predict(fit, new, allow_new_levels=True, se_fit=True)
    fixed = predict(fit, new, re_form="NA", se_fit=True)
    z = np.column_stack([np.ones(3), FEW["Days"]])
    prior = np.einsum("nc,cd,nd->n", z, fit.VarCorr()["Subject"].to_numpy(), z)
    np.testing.assert_allclose(made["fit"], fixed["fit"])
    np.testing.assert_allclose(made["se_fit"] ** 2, fixed["se_fit"] ** 2 + prior, rtol=1e-10)


@pytest.mark.parametrize("name", ["slopes", "crossed slopes", "all at once", "weights and offset"])
def test_other_parameters_change_the_prediction_as_the_definition_says(name):
    model = fitted(name)
    theta, beta = 0.7 * model.theta, model.fixef().to_numpy() + 1.0
    made = predict(model, newparams={"theta": theta, "beta": beta, "sigma": 2.0}, se_fit=True)
    design = model._rows.design
    Z, u = model.getME("Z").toarray(), np.asarray(model.getME("u")).ravel()
    old, new = model.getME("Lambda").toarray(), 0.7 * model.getME("Lambda").toarray()
    offset = 0.0 if design.offset is None else design.offset
    np.testing.assert_allclose(made["fit"], offset + design.X @ beta + Z @ new @ u, rtol=1e-8, atol=1e-8)
    assert not np.allclose(Z @ new @ u, Z @ old @ u)
    w = np.ones(design.n) if design.weights is None else design.weights
    A = np.hstack([Z @ new, design.X])
    C = A.T @ (w[:, None] * A) + np.diag([1.0] * Z.shape[1] + [0.0] * design.p)
    np.testing.assert_allclose(made["se_fit"], 2.0 * np.sqrt(np.einsum("ni,ij,nj->n", A, np.linalg.inv(C), A)), rtol=1e-8)
    pd.testing.assert_series_equal(predict(model), model.fitted(), check_names=False, rtol=ROUNDING)     # the fit is as it was


def test_beta_may_be_given_by_name(fit):
    by_name = predict(fit, FEW, re_form="NA", newparams={"beta": {"Days": 2.0, "(Intercept)": 1.0}})
    np.testing.assert_allclose(by_name, 1.0 + 2.0 * FEW["Days"])
    np.testing.assert_allclose(predict(fit, FEW, re_form="NA", newparams={"beta": fit.fixef()}), predict(fit, FEW, re_form="NA"))


# --- missing values and offsets ------------------------------------------------------------


def test_missing_predictors_are_passed_on_left_out_or_refused(fit):
    new = FEW.assign(Days=[1.0, np.nan, 4.0])
    made = predict(fit, new, se_fit=True)
    assert made.loc["b"].isna().all() and made.drop("b").notna().all(axis=None)
    assert list(predict(fit, new, na_action="omit").index) == ["a", "c"]
    for refused in ("fail", "raise"):
        with pytest.raises(DataError, match="1 row has no prediction because of missing values in Days, the first is row 'b'"):
            predict(fit, new, na_action=refused)


def test_padding_of_na_exclude_is_that_of_fitted():
    d = SLEEP.copy()
    d.loc[4, "Reaction"] = np.nan
    model = lmer("Reaction ~ Days + (1 | Subject)", d, na_action="exclude")
    assert predict(model).isna().sum() == 1 and len(predict(model)) == 180
    assert len(predict(model, na_action="omit")) == 179
    assert predict(model, re_form="NA", se_fit=True).loc[4].isna().all()


def test_offsets_of_new_data_are_added_however_they_were_given():
    d = SLEEP.assign(off=np.arange(180.0))
    term = lmer("Reaction ~ Days + offset(off) + (1 | Subject)", d)
    argument = lmer("Reaction ~ Days + (1 | Subject)", d, offset="off")
    new = FEW.assign(off=[1000.0, 0.0, -50.0])
    np.testing.assert_allclose(predict(term, new), predict(argument, new), rtol=1e-9)
    np.testing.assert_allclose(predict(term, new) - predict(term, new.assign(off=0.0)), new["off"], rtol=1e-9)
    np.testing.assert_allclose(predict(term, new, random_only=True), predict(term, new.assign(off=0.0), random_only=True))
    vector = lmer("Reaction ~ Days + (1 | Subject)", d, offset=d["off"].to_numpy())
    pd.testing.assert_series_equal(predict(vector), vector.fitted(), check_names=False)
    with pytest.raises(DataError, match="offset= as a vector"):
        predict(vector, new)


def test_dropped_columns_stay_dropped():
    d = SLEEP.assign(double=2.0 * SLEEP["Days"])
    with pytest.warns(FastlmmWarning):
        model = lmer("Reaction ~ Days + double + (1 | Subject)", d)
    plain = lmer("Reaction ~ Days + (1 | Subject)", d)
    new = FEW.assign(double=[7.0, 100.0, np.nan])
    np.testing.assert_allclose(predict(model, new), predict(plain, new), rtol=1e-7)


# --- bad new data: one clear error each ------------------------------------------------------


FACTORS = pd.DataFrame({"x": [0.1, 0.2], "f": ["low", "mid"], "g": [100, 101], "h": ["h0", "h1"]})
BAD = [
    ("a missing column", FACTORS.drop(columns="x"), UnknownColumnError, "'x', which the data do not have"),
    ("a misspelt column", FACTORS.rename(columns={"h": "H"}), UnknownColumnError, "'h'.*Did you mean 'H'"),
    ("an unseen level of a factor", FACTORS.assign(f=["low", "huge"]), DataError, "level 'huge'.*it knows 'high', 'low', 'mid'"),
    ("text for numbers", FACTORS.assign(x=["a", "b"]), DataError, "'x' was numeric in the data of the fit and is text"),
    ("numbers for a factor", FACTORS.assign(f=[1.0, 2.0]), DataError, "'f' was a factor in the data of the fit and is numeric"),
    ("new levels", FACTORS.assign(g=[100, 999]), DataError, "the level 999 of the grouping factor g.*allow_new_levels=True"),
    ("new levels of text", FACTORS.assign(h=["x1", "x2"]), DataError, "the levels x1, x2 of the grouping factor h"),
    ("text where numbers were a group", FACTORS.assign(g=["one", "two"]), DataError, "the levels one, two of the grouping factor g"),
    ("a missing group", FACTORS.assign(h=["h0", None]), DataError, "the grouping factor h is missing in 1 row"),
    ("a missing number for a group", FACTORS.assign(g=[100.0, np.nan]), DataError, "the grouping factor g is missing in 1 row"),
    ("no rows", FACTORS.head(0), DataError, "newdata has 0 rows"),
    ("a matrix", FACTORS[["x", "g"]].to_numpy(), DataError, "newdata cannot be used: data is ndarray"),
    ("a list", [1, 2], DataError, "newdata cannot be used: data is list"),
    ("a number", 3.0, DataError, "newdata cannot be used: data is float"),
    ("text", "data.csv", DataError, "newdata cannot be used: data is str"),
    ("a column twice", pd.concat([FACTORS, FACTORS[["x"]]], axis=1), DataError, "2 columns of that name"),
    ("columns of different lengths", {"x": [1.0], "f": ["low", "mid"], "g": [100], "h": ["h0"]}, DataError, "different lengths"),
    ("complex numbers", FACTORS.assign(x=[1j, 2.0]), DataError, "'x' holds complex numbers"),
    ("lists in a column", FACTORS.assign(x=[[1], [2]]), DataError, "'x' holds a list"),
]


@pytest.mark.parametrize("what, new, kind, words", BAD, ids=[row[0] for row in BAD])
def test_bad_new_data_are_refused_in_the_users_words(what, new, kind, words):
    with pytest.raises(kind, match=words):
        predict(fitted("crossed slopes"), new)


def test_an_unseen_level_late_in_the_data_is_found_and_all_are_named(monkeypatch):
    import sys

    monkeypatch.setattr(sys.modules["fastlmm_hlm.inference.predict"], "ROWS", 5)
    new = pd.concat([FACTORS] * 10, ignore_index=True)
    with pytest.raises(DataError, match="'one', 'two'"):
        predict(fitted("crossed slopes"), new.assign(f=["low"] * 9 + ["one"] + ["mid"] * 9 + ["two"]))
    with pytest.raises(DataError, match="the levels 998, 999"):
        predict(fitted("crossed slopes"), new.assign(g=[999] + [100] * 18 + [998]))


def test_missing_and_new_groups_are_taken_as_zero_when_allowed():
    model = fitted("crossed slopes")
    new = FACTORS.assign(g=[100.0, np.nan], h=["new", None])
    made = predict(model, new, allow_new_levels=True)
    fixed, with_g = predict(model, new, re_form="NA"), predict(model, FACTORS, re_form="~ (x | g)")
    np.testing.assert_allclose(made, [with_g[0], fixed[1]])


@pytest.mark.parametrize("how, words", [
    ({"interval": "both"}, "interval = 'both'"), ({"type": "terms"}, "type = 'terms'"), ({"na_action": "drop"}, "na_action = 'drop'"),
    ({"interval": "confidence", "level": 95}, "level = 95"), ({"weights": 1.0}, "interval='prediction' alone"),
    ({"newparams": {"b": 1}}, "'b'"), ({"newparams": {}}, "nothing"), ({"newparams": [1, 2]}, "list"),
    ({"newparams": {"beta": [1.0]}}, "1 value; expected 2"), ({"newparams": {"theta": [1.0, np.nan, 2.0]}}, "not finite"),
    ({"newparams": {"sigma": -1.0}}, "not negative"), ({"newparams": {"beta": {"a": 1.0, "b": 2.0}}}, "names a, b"),
    ({"ddf": "S"}, "re_form='NA'"), ({"ddf": "S", "re_form": "NA"}, "is for intervals"), ({"ddf": "exact"}, "'exact' is unknown"),
    ({"interval": "prediction", "weights": [1.0, -1.0, 1.0]}, "must be positive"),
])
def test_bad_arguments_are_refused(fit, how, words):
    with pytest.raises(ArgumentError, match=words):
        predict(fit, FEW, **how)


def test_weights_of_another_length_are_refused(fit):
    with pytest.raises(DataError, match="weights has 2 values"):
        predict(fit, FEW, interval="prediction", weights=[1.0, 2.0])


def test_what_is_no_fit_is_refused():
    with pytest.raises(ArgumentError, match="predict: expected a fitted model"):
        predict(FEW)


def test_a_progress_bar_counts_rows(fit, monkeypatch):
    import tqdm.auto

    counted = []

    class Bar:
        def __init__(self, total, desc, unit):
            assert (total, desc, unit) == (180, "predict", "row")

        def update(self, k):
            counted.append(k)

        def close(self):
            counted.append("closed")

    monkeypatch.setattr(tqdm.auto, "tqdm", Bar)
    predict(fit, SLEEP, progress=True)
    assert counted == [180, "closed"]
