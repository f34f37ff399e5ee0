"""tidy, glance and augment: against broom.mixed, and against the other results of the fit."""

import numpy as np
import pandas as pd
import polars
import pytest
from some_cases import CASES, data_of, fitted_case, reference

from fastlmm_hlm import augment, datasets, fixef, glance, lmer, ranef, tidy, vcov
from fastlmm_hlm.errors import ArgumentError, FastlmmWarning
from fastlmm_hlm.model.mixedmodel import LinearMixedModel

# R stops within about 1e-8 of the optimum; modes and residuals near zero and their limits lose some digits more.
AGAINST_R = 2e-5
TIDY = [name for name in CASES if name in reference("tidy.json")]
SMALL = [name for name in TIDY if name != "hsb_collinear"]


def numbers(values):
    return np.array([np.nan if value is None else value for value in values], dtype=float)


def assert_same(ours, theirs):
    """The same columns in the same order, words equal, numbers close relative to the size of their column."""
    theirs = {name: values for name, values in theirs.items() if name != ".rownames"}
    assert list(ours.columns) == list(theirs)
    for name, values in theirs.items():
        if any(isinstance(value, str) for value in values):
            words = [value if isinstance(value, str) else None for value in ours[name]]
            assert words == list(values), name
        else:
            wanted = numbers(values)
            np.testing.assert_allclose(ours[name].to_numpy(dtype=float), wanted, rtol=AGAINST_R,
                                       atol=1e-3 * AGAINST_R * np.nanmax(np.abs(np.append(wanted, 0.0))), err_msg=name)


@pytest.mark.parametrize("name", TIDY)
def test_parameters_are_those_of_broom(name):
    fit, _ = fitted_case(name)
    answers = reference("tidy.json")[name]
    assert_same(tidy(fit, conf_int=True), answers["tidy"])
    assert_same(tidy(fit, effects="ran_pars", scales="vcov"), answers["vcov"])
    assert_same(glance(fit), answers["glance"])


@pytest.mark.parametrize("name", SMALL)
def test_levels_and_rows_are_those_of_broom(name):
    fit, _ = fitted_case(name)
    answers = reference("tidy.json")[name]
    assert_same(tidy(fit, effects="ran_vals", conf_int=True), answers["ran_vals"])
    assert_same(tidy(fit, effects="ran_coefs"), answers["ran_coefs"])
    assert_same(tidy(fit, effects=["ran_vals", "fixed", "ran_pars"]), answers["mixed"])
    rows = augment(fit)
    assert_same(rows[[column for column in rows if column.startswith(".")]], answers["augment"])


@pytest.mark.parametrize("name", ["sleepstudy_unbalanced", "pastes", "oats_factor"])
@pytest.mark.parametrize("method, key", [("Satterthwaite", "satterthwaite"), ("Kenward-Roger", "kenward_roger")])
def test_degrees_of_freedom_are_those_of_broom_with_lmertest(name, method, key):
    fit, _ = fitted_case(name)
    ours, theirs = tidy(fit, effects="fixed", conf_int=True, ddf_method=method), reference("tidy.json")[name][key]
    assert_same(ours.drop(columns="p.value"), {column: values for column, values in theirs.items() if column != "p.value"})
    np.testing.assert_allclose(np.log(ours["p.value"]), np.log(theirs["p.value"]), rtol=1e-4)


@pytest.mark.parametrize("name", ["sleepstudy_unbalanced", "penicillin_crossed"])
def test_profile_intervals_stand_beside_their_parameters(name, monkeypatch):
    """confint() gives random parameters, then sigma, then fixed effects; here it gives R's limits."""
    fit, _ = fitted_case(name)
    theirs = reference("tidy.json")[name]["profile"]
    limits = pd.DataFrame({"2.5 %": numbers(theirs["conf.low"]), "97.5 %": numbers(theirs["conf.high"])})
    p = len(fixef(fit))
    asked = {}

    def confint(self, **how):
        asked.update(how)
        return pd.concat([limits[p:], limits[:p]])

    monkeypatch.setattr(LinearMixedModel, "confint", confint, raising=False)
    assert_same(tidy(fit, conf_int=True, conf_method="profile"), theirs)
    assert asked == {"level": 0.95, "method": "profile"}
    squared = tidy(fit, effects="ran_pars", scales="vcov", conf_int=True, conf_method="boot", nsim=7)
    single = squared["term"].str.startswith("var")
    np.testing.assert_allclose(squared["conf.high"][single], (limits["97.5 %"][p:].to_numpy() ** 2)[single])
    assert squared["conf.high"][~single].isna().all() and asked["nsim"] == 7


def test_lme4_asks_for_no_degrees_of_freedom():
    fit, _ = fitted_case("sleepstudy")
    pd.testing.assert_frame_equal(tidy(fit, ddf_method="lme4"), tidy(fit))


def test_conf_level_is_used():
    fit, _ = fitted_case("sleepstudy")
    wide, narrow = (tidy(fit, effects="fixed", conf_int=True, conf_level=level) for level in (0.99, 0.5))
    se = np.sqrt(np.diagonal(vcov(fit)))
    np.testing.assert_allclose(wide["conf.high"], fixef(fit) + 2.5758293035489 * se, rtol=1e-12)
    np.testing.assert_allclose(narrow["conf.low"], fixef(fit) - 0.67448975019608 * se, rtol=1e-12)


def test_levels_keep_their_type():
    d = data_of(CASES["sleepstudy"])
    d["Subject"] = d["Subject"].astype(int)
    values = tidy(lmer("Reaction ~ Days + (Days | Subject)", d), effects="ran_vals")
    assert values["level"].tolist() == 2 * sorted(set(d["Subject"]))


def test_ran_coefs_have_no_intervals_and_say_so():
    fit, _ = fitted_case("sleepstudy")
    with pytest.warns(FastlmmWarning, match="no confidence intervals"):
        frame = tidy(fit, effects="ran_coefs", conf_int=True)
    assert frame["conf.low"].isna().all() and len(frame) == 36


def test_augment_adds_to_the_given_data():
    d = datasets.load("sleepstudy").assign(extra="x")
    fit = lmer("Reaction ~ Days + (Days | Subject)", d, subset="Days > 2")
    rows = augment(fit, d)
    assert list(rows.columns[:4]) == ["Reaction", "Days", "Subject", "extra"]
    assert rows.index.equals(d.index[d["Days"] > 2])
    np.testing.assert_allclose(rows[".fitted"] + rows[".resid"], rows["Reaction"])
    pd.testing.assert_series_equal(rows[".fitted"], fit.fitted(), check_names=False)
    pd.testing.assert_frame_equal(augment(fit, d[d["Days"] > 2]), rows)
    with pytest.raises(ArgumentError, match="data has 5 rows; expected 126, the rows of the fit, or 180"):
        augment(fit, d.head())


def test_augment_names_an_expression_as_the_formula_does():
    d = data_of(CASES["sleepstudy_weights"])
    rows = augment(lmer("log(Reaction) ~ poly(Days, 2) + (1 | Subject)", d, weights="w"))
    assert list(rows.columns[:6]) == ["log(Reaction)", "Reaction", "Days", "Subject", "w", "(weights)"]
    np.testing.assert_allclose(rows["log(Reaction)"], np.log(d["Reaction"]))


def test_augment_reads_other_data_frames():
    d = datasets.load("sleepstudy")
    fit = lmer("Reaction ~ Days + (Days | Subject)", polars.from_pandas(d))
    ours, theirs = augment(fit), augment(lmer("Reaction ~ Days + (Days | Subject)", d))
    assert ours["Subject"].astype(str).tolist() == theirs["Subject"].astype(str).tolist()
    np.testing.assert_allclose(ours[".cooksd"], theirs[".cooksd"], rtol=1e-6)


def test_tidy_agrees_with_ranef():
    fit, _ = fitted_case("pixel")
    frame, modes = tidy(fit, effects="ran_vals"), ranef(fit).to_frame()
    assert frame["estimate"].tolist() == modes["condval"].tolist()
    assert frame["std.error"].tolist() == modes["condsd"].tolist()


@pytest.mark.parametrize("argument, value", [
    ("effects", "fix"), ("effects", []), ("scales", "sd"), ("conf_method", "wald"), ("conf_level", 95),
])
def test_unknown_values_are_refused(argument, value):
    fit, _ = fitted_case("sleepstudy")
    with pytest.raises(ArgumentError, match=f"tidy: {argument}"):
        tidy(fit, **{argument: value})
