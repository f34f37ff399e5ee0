"""ranef, coef, VarCorr and rePCA: labels, shapes, and their definitions."""

import datetime
import pickle

import numpy as np
import pandas as pd
import pytest
from some_models import crossed_slopes, fitted

from fastlmm_hlm import datasets, lmer, summary
from fastlmm_hlm.errors import ArgumentError, UnknownNameError
from fastlmm_hlm.inference.labels import make_unique

# lme4 stops where its criterion is flat to about 1e-8, so its variances are good to some 1e-4.
LME4 = 1e-4


def test_coef_is_fixef_plus_ranef(fit):
    fixef, ranef, coef = fit.fixef(), fit.ranef(condVar=False), fit.coef()
    assert list(coef) == list(ranef)
    for group, modes in ranef.items():
        table = coef[group]
        assert table.index.equals(modes.index)
        assert set(table.columns) == set(fixef.index) | set(modes.columns)
        for name in table.columns:
            expected = (modes[name] if name in modes else 0.0) + fixef.get(name, 0.0)
            np.testing.assert_allclose(table[name], expected, rtol=1e-13, atol=1e-13)


def test_modes_average_to_nothing_where_the_level_effects_are_fixed_too():
    modes = fitted("slopes").ranef()["Subject"]
    np.testing.assert_allclose(modes.mean(), 0.0, atol=1e-9)


def test_ranef_gives_lme4s_numbers():
    table = fitted("slopes").ranef().to_frame()
    assert list(table.columns) == ["grpvar", "term", "grp", "condval", "condsd"]
    head = table.iloc[:3]
    assert head["grpvar"].tolist() == ["Subject"] * 3 and head["term"].tolist() == ["(Intercept)"] * 3
    assert head["grp"].tolist() == ["308", "309", "310"]
    np.testing.assert_allclose(head["condval"], [2.258551, -40.398738, -38.960409], atol=1e-3)
    np.testing.assert_allclose(head["condsd"], 12.07086, atol=1e-4)
    V = fitted("slopes").ranef().condVar["Subject"][0]
    np.testing.assert_allclose(V, [[145.71, -21.44], [-21.44, 5.31]], atol=0.006)


def test_the_long_frame_holds_every_mode_and_its_deviation(fit):
    ranef = fit.ranef()
    table = ranef.to_frame()
    assert len(table) == fit.getME("q")
    for group, modes in ranef.items():
        part = table[table["grpvar"] == group]
        wide = part.assign(grp=part["grp"].astype(str)).pivot(index="grp", columns="term", values="condval")
        np.testing.assert_array_equal(wide.loc[[str(k) for k in modes.index], list(modes.columns)], modes)
        variance = np.diagonal(ranef.condVar[group], axis1=1, axis2=2)
        np.testing.assert_allclose(part["condsd"], np.sqrt(variance).ravel(order="F"))


def test_ranef_without_variances_has_none():
    ranef = fitted("slopes").ranef(condVar=False)
    assert ranef.condVar is None and "condsd" not in ranef.to_frame()


def test_ranef_of_chosen_factors():
    fit = fitted("crossed")
    assert list(fit.ranef()) == ["plate", "sample"]
    assert list(fit.ranef(whichel="sample")) == ["sample"]
    assert list(fit.ranef(whichel=["sample", "plate"])) == ["sample", "plate"]
    assert list(fit.ranef(whichel="sample").condVar) == ["sample"]
    np.testing.assert_array_equal(fit.ranef(whichel="sample")["sample"], fit.ranef()["sample"])


@pytest.mark.parametrize("ask", [
    lambda fit: fit.ranef(whichel="Sample"), lambda fit: fit.ranef()["Sample"], lambda fit: fit.coef()["Sample"],
    lambda fit: fit.VarCorr()["Sample"], lambda fit: fit.ranef(whichel=["sample", "Sample"]),
    lambda fit: fit.rePCA()["Sample"],
], ids=["whichel", "ranef", "coef", "VarCorr", "one of two", "rePCA"])
def test_an_unknown_factor_is_refused_with_the_names_there_are(ask):
    with pytest.raises(UnknownNameError, match="'Sample'.*plate, sample") as caught:
        ask(fitted("crossed"))
    assert isinstance(caught.value, KeyError)


def grouped_by(values):
    rng = np.random.default_rng(3)
    values = list(values)
    codes = np.tile(np.arange(len(values)), 20)
    y = rng.normal(size=len(values))[codes] * 3 + rng.normal(size=len(codes))
    return pd.DataFrame({"y": y, "g": pd.Series([values[k] for k in codes])})


@pytest.mark.parametrize("values", [
    [7, 3, 11, -2], ["b", "a", "c", "10"], [0.5, 0.25, 3.0], [True, False], [2**62, 2**62 + 1, -(2**62)],
    pd.to_datetime(["2020-03-01", "2019-01-01", "2021-05-05"]),
    pd.to_datetime(["2020-03-01", "2019-01-01", "2021-05-05"]).tz_localize("Europe/Berlin"),
], ids=["int", "text", "float", "bool", "big int", "time", "time with zone"])
@pytest.mark.filterwarnings("ignore::fastlmm_hlm.errors.SingularFitWarning")
def test_levels_keep_their_own_type_and_are_sorted(values):
    data = grouped_by(values)
    levels = lmer("y ~ 1 + (1 | g)", data).ranef()["g"].index
    expected = pd.Index(sorted(data["g"].unique()))
    assert levels.dtype == data["g"].dtype
    assert levels.tolist() == expected.tolist()


def test_categorical_levels_keep_their_own_order_and_unused_ones_are_left_out():
    data = grouped_by(["low", "mid", "high"])
    data["g"] = pd.Categorical(data["g"], categories=["low", "never", "mid", "high"])
    fit = lmer("y ~ 1 + (1 | g)", data)
    assert fit.ranef()["g"].index.tolist() == ["low", "mid", "high"]
    assert fit.ngrps()["g"] == 3


def test_integers_larger_than_64_bits_are_levels_too():
    data = grouped_by([10**30, 10**30 + 1, 5])
    levels = lmer("y ~ 1 + (1 | g)", data).ranef()["g"].index
    assert {str(level) for level in levels} == {str(10**30), str(10**30 + 1), "5"}


def test_dates_are_levels_too():
    days = [datetime.date(2020, 1, k) for k in (3, 1, 2)]
    fit = lmer("y ~ 1 + (1 | g)", grouped_by(days))
    assert [str(level)[:10] for level in fit.ranef()["g"].index] == ["2020-01-01", "2020-01-02", "2020-01-03"]


def test_interaction_groups_have_only_observed_levels_named_as_in_r():
    fit = fitted("nested")
    assert list(fit.ngrps().index) == ["cask:batch", "batch"] and fit.ngrps().tolist() == [30, 10]
    levels = fit.ranef()["cask:batch"].index
    assert levels[0] == "a:A" and levels[-1] == "c:J" and len(set(levels)) == 30
    half = lmer("strength ~ 1 + (1 | cask:batch)", datasets.load("Pastes").query("batch != 'A' or cask == 'a'"))
    assert "b:A" not in half.ranef()["cask:batch"].index and half.ngrps().iloc[0] == 28


def test_terms_come_by_decreasing_number_of_levels():
    data = crossed_slopes()
    fit = lmer("y ~ x + (1 | h) + (x | g)", data)
    assert list(fit.VarCorr()) == ["g", "h"] and list(fit.ngrps().index) == ["g", "h"]
    assert fit.ngrps().tolist() == [17, 9]
    other = lmer("y ~ x + (x | g) + (1 | h)", data)
    np.testing.assert_allclose(fit.theta, other.theta, atol=1e-6)


def test_several_terms_of_one_factor_are_numbered_and_share_one_table():
    fit = fitted("independent slopes, ML")
    assert list(fit.VarCorr()) == ["Subject", "Subject.1"]
    assert list(fit.getME("cnms").items()) == [("Subject", ["(Intercept)"]), ("Subject.1", ["Days"])]
    assert list(fit.ranef()) == ["Subject"] and list(fit.ranef()["Subject"].columns) == ["(Intercept)", "Days"]
    assert fit.ranef().condVar["Subject"].shape == (18, 2, 2)
    assert list(fit.ngrps().index) == ["Subject"]


def test_names_are_made_unique_as_in_r():
    assert make_unique(["a", "a", "a.1", "a"]) == ["a", "a.2", "a.1", "a.3"]
    assert make_unique([]) == [] and make_unique(["x", "y"]) == ["x", "y"]


# --- VarCorr -------------------------------------------------------------------


def test_covariances_are_sigma_squared_times_the_templates(fit):
    varcorr = fit.VarCorr()
    assert varcorr.sc == fit.sigma()
    for (name, S), T in zip(varcorr.items(), fit.getME("Tlist").values()):
        np.testing.assert_allclose(S, fit.sigma() ** 2 * T @ T.T, rtol=1e-12)
        np.testing.assert_allclose(S.stddev, np.sqrt(np.diagonal(S)))
        np.testing.assert_allclose(varcorr.stddev[name], S.stddev)
        np.testing.assert_array_equal(varcorr.correlation[name], S.correlation)
        assert (np.diagonal(S.correlation) == 1.0).all()
        if (S.stddev > 0).all():
            np.testing.assert_allclose(S.correlation * np.outer(S.stddev, S.stddev), S, rtol=1e-12)


def test_VarCorr_frames_are_rs():
    short = fitted("slopes").VarCorr().to_frame()
    assert list(short.columns) == ["grp", "var1", "var2", "vcov", "sdcor"]
    assert short["grp"].tolist() == ["Subject", "Subject", "Subject", "Residual"]
    assert short["var1"].tolist() == ["(Intercept)", "Days", "(Intercept)", None]
    assert short["var2"].tolist() == [None, None, "Days", None]
    np.testing.assert_allclose(short["vcov"], [612.100158, 35.071714, 9.604409, 654.940008], rtol=LME4)
    np.testing.assert_allclose(short["sdcor"], [24.74065799, 5.92213766, 0.06555124, 25.59179572], rtol=LME4)
    by_triangle = fitted("slopes").VarCorr().to_frame("lower.tri")
    assert by_triangle.equals(short.iloc[[0, 2, 1, 3]].reset_index(drop=True))


def test_VarCorr_frame_of_three_columns_goes_through_the_triangle_column_by_column():
    fit = fitted("all at once")
    last, triangle = fit.VarCorr().to_frame(), fit.VarCorr().to_frame("lower.tri")
    names = ["fhigh", "flow", "fmid"]
    g = triangle[triangle["grp"] == "g"]
    assert list(zip(g["var1"], g["var2"])) == [
        (names[0], None), (names[0], names[1]), (names[0], names[2]), (names[1], None), (names[1], names[2]),
        (names[2], None)]
    assert last[last["grp"] == "g"]["var2"].isna().tolist() == [True] * 3 + [False] * 3
    S = fit.VarCorr()["g"]
    for row in g.itertuples():
        assert row.vcov == pytest.approx(S.loc[row.var1, row.var2 or row.var1], rel=1e-12)


def test_uncorrelated_terms_have_no_covariance_rows():
    assert fitted("independent slopes, ML").VarCorr().to_frame()["var2"].isna().all()
    assert fitted("diag").VarCorr().to_frame()["var2"].isna().all()


def test_VarCorr_frame_refuses_an_unknown_order():
    with pytest.raises(ArgumentError, match="'upper'.*'cov.last' or 'lower.tri'"):
        fitted("slopes").VarCorr().to_frame("upper")


def test_a_zero_variance_has_no_correlation_and_says_zero():
    frame = fitted("zero variance").VarCorr().to_frame()
    assert frame["vcov"].iloc[0] == 0.0 and frame["sdcor"].iloc[0] == 0.0
    assert fitted("zero variance").ranef()["Batch"].to_numpy().tolist() == [[0.0]] * 6


def test_VarCorr_is_a_mapping_that_pickles():
    varcorr = fitted("slopes").VarCorr()
    assert list(varcorr) == ["Subject"] and len(varcorr) == 1 and "Subject" in varcorr and "x" not in varcorr
    again = pickle.loads(pickle.dumps(varcorr))
    assert str(again) == str(varcorr)
    np.testing.assert_array_equal(again["Subject"].stddev, varcorr["Subject"].stddev)


# --- rePCA and vcov ----------------------------------------------------------------


def test_rePCA_gives_lme4s_importance():
    table = fitted("slopes").rePCA()["Subject"].importance()
    np.testing.assert_allclose(table.loc["Standard deviation"], [0.9669, 0.23088], atol=6e-5)
    np.testing.assert_allclose(table.loc["Proportion of Variance"], [0.9460, 0.05395], atol=6e-5)
    np.testing.assert_allclose(table.loc["Cumulative Proportion"], [0.9460, 1.0], atol=6e-5)


def test_rePCA_and_its_summary_print_as_in_R():
    components = fitted("slopes").rePCA()
    # R 4.2.2, lme4 1.1-31: print(summary(rePCA(fit)))
    assert str(summary(components)) == """$Subject
Importance of components:
                         [,1]    [,2]
Standard deviation     0.9669 0.23088
Proportion of Variance 0.9460 0.05395
Cumulative Proportion  0.9460 1.00000
"""
    lines = str(components).splitlines()
    assert lines[:2] == ["$Subject", "Standard deviations (1, .., p=2):"] and lines[2].startswith("[1] 0.96685")
    assert lines[4:6] == ["Rotation (n x k) = (2 x 2):", "            [,1]        [,2]"]


def test_rePCA_is_a_frame_too():
    components = fitted("nested").rePCA()
    frame = components.to_frame()
    assert list(frame) == ["group", "component", "sdev", "proportion", "cumulative"] and list(frame["group"]) == list(components)
    np.testing.assert_allclose(frame["proportion"], 1.0)
    assert list(components.summary()) == list(components)
    np.testing.assert_array_equal(components.summary()["batch"], components["batch"].importance())


def test_rePCA_decomposes_the_relative_covariance(fit):
    for name, part in fit.rePCA().items():
        factors = [T for key, T in fit.getME("Tlist").items() if key == name or key.startswith(name + ".")]
        Psi = np.zeros((sum(map(len, factors)),) * 2)
        first = 0
        for T in factors:
            Psi[first : first + len(T), first : first + len(T)] = T @ T.T
            first += len(T)
        np.testing.assert_allclose(part.rotation @ np.diag(part.sdev**2) @ part.rotation.T, Psi, atol=1e-10 * max(1, Psi.max()))
        assert (np.diff(part.sdev) <= 0).all()


def test_vcov_is_sigma_squared_times_the_inverse_of_RX(fit):
    RX = fit.getME("RX")
    if fit.getME("p"):
        np.testing.assert_allclose(fit.vcov(), fit.sigma() ** 2 * np.linalg.inv(RX.T @ RX), rtol=1e-8)
    assert fit.vcov().shape == (fit.getME("p"),) * 2
    assert list(fit.vcov().index) == list(fit.vcov().columns) == list(fit.fixef().index)
