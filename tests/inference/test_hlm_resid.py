"""hlm_resid: its columns, least squares by R and by NumPy, and where it leaves something out."""

import functools
import pickle

import numpy as np
import pytest
from some_models import fitted
from test_residuals import AGAINST_R, CASES, REFERENCE, assert_summary, fit_of

from fastlmm_hlm import datasets, hlm_resid, lmer
from fastlmm_hlm.errors import ArgumentError, FastlmmWarning
from fastlmm_hlm.inference import hlm_resid as module
from fastlmm_hlm.inference.grouped_ls import grouped_least_squares

NESTED = [name for name in CASES if "least_squares" in REFERENCE[name]["rows"]]


@functools.cache
def hsb():
    return lmer("mAch ~ cses * meanses + (cses | school)", datasets.load("Hsb82"))


@pytest.mark.parametrize("name", NESTED)
def test_least_squares_residuals_are_those_of_lm_in_each_group(name):
    fit, theirs = fit_of(name), REFERENCE[name]["rows"]
    frame = hlm_resid(fit)
    assert_summary(frame[".ls.resid"].to_numpy(), theirs["least_squares"], fit.sigma())
    np.testing.assert_allclose(frame[".ls.resid"] + frame[".ls.fitted"], frame[".resid"] + frame[".fitted"], rtol=1e-9)
    design = fit._rows.design
    columns = [*design.x_columns, *(column for factor in design.factors for column in factor.columns)]
    alone = grouped_least_squares(columns, design.y, design.factors[0].codes, len(design.factors[0].levels), design.weights)
    assert (1.0 - alone.leverage).sum() == pytest.approx(theirs["least_squares_left"]["first"][0], abs=1e-6) == alone.df.sum()
    left = np.where(alone.leverage < 1.0 - 1e-8, 1.0 - alone.leverage, np.nan)
    np.testing.assert_allclose(hlm_resid(fit, standardize="semi")[".semi.ls.resid"], frame[".ls.resid"] / np.sqrt(left), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", CASES)
def test_least_squares_effects_are_the_definition(name):
    fit = fit_of(name)
    for theirs in REFERENCE[name]["levels"]:
        frame = hlm_resid(fit, theirs["group"])
        ours = frame[[column for column in frame if column.startswith(".ls.")]].to_numpy()
        expected = np.array(theirs["ls"], dtype=float)
        known = np.isfinite(expected).all(axis=1) & np.isfinite(ours).all(axis=1)
        assert known.any()
        np.testing.assert_allclose(ours[known], expected[known], atol=10 * AGAINST_R * np.abs(expected[known]).max(initial=fit.sigma()))


def test_columns_come_beside_the_data():
    fit, d = hsb(), datasets.load("Hsb82")
    assert list(hlm_resid(fit)) == ["mAch", "cses", "meanses", "school", ".resid", ".fitted", ".ls.resid", ".ls.fitted", ".mar.resid", ".mar.fitted"]
    assert list(hlm_resid(fit, standardize=True).columns[4:]) == [
        ".std.resid", ".fitted", ".std.ls.resid", ".ls.fitted", ".chol.mar.resid", ".mar.fitted"]
    assert list(hlm_resid(fit, include_ls=False).columns[4:]) == [".resid", ".fitted", ".mar.resid", ".mar.fitted"]
    assert hlm_resid(fit).index.equals(d.index)


def test_levels_have_their_own_columns_of_the_data():
    frame = hlm_resid(hsb(), "school")
    assert list(frame) == ["school", "meanses", ".ranef.intercept", ".ranef.cses", ".ls.intercept", ".ls.cses"]
    means = datasets.load("Hsb82").groupby("school", observed=True)["meanses"].first()
    np.testing.assert_array_equal(frame.set_index("school")["meanses"], means[frame["school"]])
    np.testing.assert_allclose(frame[[".ranef.intercept", ".ranef.cses"]], hsb().ranef()["school"].to_numpy())


def test_modes_are_the_least_squares_effects_shrunken():
    fit = hsb()
    frame = hlm_resid(fit, "school")
    Psi = fit.VarCorr()["school"].to_numpy()
    _, inverse = module.least_squares_effects(fit, 0)
    shrink = Psi @ np.linalg.inv(Psi + fit.sigma() ** 2 * inverse)
    np.testing.assert_allclose(np.einsum("lij,lj->li", shrink, frame[[".ls.intercept", ".ls.cses"]].to_numpy()),
                               frame[[".ranef.intercept", ".ranef.cses"]].to_numpy(), atol=1e-7)


def test_standardized_effects_have_variance_about_one():
    frame = hlm_resid(hsb(), "school", standardize=True)
    columns = [".std.ranef.intercept", ".std.ranef.cses", ".std.ls.intercept", ".std.ls.cses"]
    assert list(frame.columns[2:]) == columns and frame[columns].std().between(0.9, 1.1).all()


def test_effects_that_a_level_does_not_determine_are_nan():
    d = datasets.load("sleepstudy")
    d = d[(d["Subject"] != "308") | (d["Days"] == 4)]
    frame = hlm_resid(lmer("Reaction ~ Days + (Days | Subject)", d), "Subject").set_index("Subject")
    assert frame.loc["308", [".ls.intercept", ".ls.Days"]].isna().all() and frame.drop("308").notna().all(axis=None)


def test_crossed_factors_have_no_least_squares_of_rows():
    fit = fitted("crossed")
    with pytest.warns(FastlmmWarning, match="are crossed, so no group can be fitted alone"):
        frame = hlm_resid(fit, standardize=True)
    assert ".std.ls.resid" not in frame and ".chol.mar.resid" in frame


def test_large_crossed_models_get_the_symmetric_root_under_its_own_name(monkeypatch):
    monkeypatch.setattr(module, "LARGEST_DENSE", 10)
    fit = fitted("crossed")
    frame = hlm_resid(fit, standardize=True, include_ls=False)
    np.testing.assert_array_equal(frame[".sym.mar.resid"], fit.residuals("symmetric"))


def test_levels_need_no_rows():
    fit = hsb()
    bare = hlm_resid(pickle.loads(pickle.dumps(fit)), "school")
    whole = hlm_resid(fit, "school")
    assert "meanses" not in bare
    np.testing.assert_allclose(bare[".ls.cses"], whole[".ls.cses"], rtol=1e-12)


@pytest.mark.parametrize("how, message", [
    ({"level": 2}, "level = 2; use 1 for the rows, or a grouping factor: 'school'"),
    ({"level": "klass"}, "use 1 for the rows"),
    ({"standardize": "full"}, "standardize = 'full'"),
    ({"level": "school", "standardize": "semi"}, "not for the levels of 'school'"),
])
def test_what_is_not_there_is_refused(how, message):
    with pytest.raises(ArgumentError, match=message):
        hlm_resid(hsb(), **how)
