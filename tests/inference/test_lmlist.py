"""lmList: R's lmList, R's lm in each group, and what NumPy's least squares says."""

import functools
import json
import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from some_cases import FOLDER, ROOT

from fastlmm_hlm import coef, confint, datasets, fixef, formula, lmList, ranef, sigma, summary
from fastlmm_hlm.errors import ArgumentError, DataError, FastlmmWarning, FormulaError, UnknownColumnError
from fastlmm_hlm.inference.grouped_ls import grouped_least_squares

# Closed forms on both sides; R's answers are stored with 12 digits.
AGAINST_R = 1e-8
STORED = json.loads((FOLDER / "lmlist.json").read_text())
REFERENCE = STORED["cases"]


@functools.cache
def data_of(path, *factors):
    d = pd.read_csv(ROOT / path, dtype={name: str for name in factors})
    for name in factors:
        d[name] = pd.Categorical(d[name], categories=sorted(d[name].unique()))
    i = np.arange(1, len(d) + 1)
    d["w"], d["o"] = 0.5 + (i % 5) / 2, (i % 3) / 10
    return d


def ragged(d, modulus, keep):
    i = np.arange(1, len(d) + 1)
    return d[(i * i) % modulus < keep]


def sleep():
    return data_of("fastlmm_hlm/datasets/sleepstudy.csv", "Subject")


def hsb():
    return data_of("fastlmm_hlm/datasets/Hsb82.csv", "school", "sx", "minrty", "sector")


def oats():
    return data_of("parity/data/Oats.csv", "Block", "Variety")


CALLS = {
    "sleepstudy": lambda: lmList("Reaction ~ Days | Subject", sleep()),
    "sleepstudy_quadratic_ragged": lambda: lmList("Reaction ~ Days + I(Days^2) | Subject", ragged(sleep(), 19, 9)),
    "sleepstudy_very_ragged": lambda: lmList("Reaction ~ Days | Subject", ragged(sleep(), 23, 3)),
    "sleepstudy_weights_offset": lambda: lmList("Reaction ~ Days | Subject", sleep(), weights="w", offset="o"),
    "sleepstudy_subset": lambda: lmList("Reaction ~ Days | Subject", sleep(), subset="Days > 2"),
    "sleepstudy_not_pooled": lambda: lmList("Reaction ~ Days | Subject", sleep(), pool=False),
    "hsb_two_covariates": lambda: lmList("mAch ~ cses + ses | school", hsb()),
    "hsb_factors": lambda: lmList("mAch ~ cses + minrty | school", hsb()),
    "hsb_single_sex_schools": lambda: lmList("mAch ~ cses + sx | school", hsb()),
    "hsb_no_intercept": lambda: lmList("mAch ~ 0 + cses | school", hsb()),
    "oats": lambda: lmList("yield ~ nitro | Block", oats()),
    "oats_factor": lambda: lmList("yield ~ nitro + Variety | Block", oats()),
    "egsingle_children": lambda: lmList("math ~ year | childid", ragged(
        data_of("parity/data/egsingle.csv.gz", "schoolid", "childid", "female", "black"), 29, 9)),
    "orthodont_means": lambda: lmList("distance ~ 1 | Subject", data_of("parity/data/Orthodont.csv", "Subject", "Sex")),
}


@functools.cache
def fitted_list(name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FastlmmWarning)
        return CALLS[name]()


def array(values):
    """R's numbers, with NaN for NA and for its text "NaN"."""
    return np.array([[np.nan if v in (None, "NaN", "NA") else v for v in np.atleast_1d(row)] for row in values], dtype=float)


def names_of(name):
    names = REFERENCE[name]["names"]
    return [names] if isinstance(names, str) else names


def by_group(fit, name):
    theirs = REFERENCE[name]
    return fit.loc[theirs["groups"]].to_numpy()


@pytest.mark.parametrize("name", CALLS)
def test_coefficients_are_Rs(name):
    fit, theirs = fitted_list(name), REFERENCE[name]
    assert list(fit.coef().columns) == names_of(name) and sorted(fit.levels) == sorted(theirs["groups"])
    expected = array(theirs["coef"])
    np.testing.assert_allclose(by_group(fit.coef(), name), expected, rtol=AGAINST_R, atol=AGAINST_R * np.nanmax(np.abs(expected)))
    np.testing.assert_allclose(fixef(fit), np.atleast_1d(theirs["fixef"]).astype(float), rtol=AGAINST_R)
    np.testing.assert_allclose(ranef(fit), fit.coef() - fixef(fit))


@pytest.mark.parametrize("name", CALLS)
def test_standard_errors_are_those_of_lm_in_each_group(name):
    fit, theirs = fitted_list(name), REFERENCE[name]
    assert fit.df_residual() == theirs["df"]
    assert sigma(fit) == pytest.approx(theirs["sigma_by_definition"], rel=AGAINST_R)
    np.testing.assert_allclose(by_group(fit.se(pool=True), name), sigma(fit) * array(theirs["unscaled_se"]), rtol=1e-7)


def agrees_with_lme4(name):
    """Whether lme4's pooling is the definition: no dropped coefficients, no weights."""
    theirs = REFERENCE[name]
    return theirs["sigma"] is not None and np.isclose(theirs["sigma"], theirs["sigma_by_definition"], rtol=1e-9)


@pytest.mark.parametrize("name", [name for name in CALLS if "se" in REFERENCE[name] and agrees_with_lme4(name)])
def test_summary_and_pooled_intervals_are_lme4s(name):
    fit, theirs = fitted_list(name), REFERENCE[name]
    tables = summary(fit).coefficients
    ours = np.column_stack([by_group(tables[term]["Std. Error"].to_frame(), name) for term in names_of(name)])
    np.testing.assert_allclose(ours, array(theirs["se"]), rtol=1e-7)
    p = np.column_stack([by_group(tables[term]["Pr(>|t|)"].to_frame(), name) for term in names_of(name)])
    np.testing.assert_allclose(p, array(theirs["p"]), rtol=1e-6)
    pooled = confint(fit, pool=True)
    for j, term in enumerate(names_of(name)):
        expected = np.array(theirs["pooled"], dtype=float)
        expected = expected if expected.ndim == 2 else expected[:, :, j]
        np.testing.assert_allclose(by_group(pooled[term], name), expected, rtol=1e-7)


@pytest.mark.parametrize("name", [name for name in CALLS if REFERENCE[name].get("confint") and name != "sleepstudy_very_ragged"])
def test_intervals_use_each_groups_own_deviation_as_lme4s_do(name):
    fit, theirs = fitted_list(name), REFERENCE[name]
    expected = np.array([[np.atleast_1d(limit).tolist() for limit in limits] for limits in theirs["confint"]], dtype=object)
    for j, term in enumerate(names_of(name)):
        own = np.array([[np.nan if limit[j] in (None, "NaN") else limit[j] for limit in limits] for limits in expected], dtype=float)
        np.testing.assert_allclose(by_group(confint(fit)[term], name), own, rtol=1e-6)


@pytest.mark.parametrize("name", [name for name in CALLS if REFERENCE[name]["rows"] and not name.startswith("egsingle")])
def test_fitted_values_and_residuals_are_Rs(name):
    fit, theirs = fitted_list(name), REFERENCE[name]["rows"]
    for values, stored in ((fit.fitted(), theirs["fitted"]), (fit.residuals(), theirs["residuals"])):
        # R gives group after group, and leaves out groups that failed
        assert (values**2).sum() == pytest.approx(stored["sum_of_squares"], rel=1e-7)


def test_prints_as_lme4_does():
    for name in ("sleepstudy", "orthodont_means"):
        fit, text = fitted_list(name), REFERENCE[name]["text"]
        order = [str(level) for level in fit.levels]
        ours, theirs = str(fit).splitlines(), list(text["print"])
        assert ours[1:3] == theirs[1:3] and sorted(ours[3:]) == sorted(theirs[3:])
        mine = str(summary(fit)).splitlines()
        their_table = text["summary"][text["summary"].index("Coefficients:"):]
        assert sorted(filter(None, mine[mine.index("Coefficients:"):])) == sorted(filter(None, their_table)) and len(order) == len(set(order))


def test_new_rows_are_predicted_in_their_group_or_in_all():
    fit = fitted_list("sleepstudy")
    new = pd.DataFrame({"Subject": ["308", "372", "309"], "Days": [1, 20, 4.5]}, index=["a", "b", "c"])
    np.testing.assert_allclose(fit.predict(new), REFERENCE["sleepstudy"]["predicted"], rtol=AGAINST_R)
    assert list(fit.predict(new).index) == ["a", "b", "c"]
    everywhere = fit.predict(new[["Days"]])
    assert everywhere.shape == (3, 18) and everywhere.loc["b", "372"] == pytest.approx(fit.predict(new)["b"])
    pd.testing.assert_series_equal(fit.predict(), fit.fitted())
    with pytest.raises(DataError, match="nonexistent group in newdata: row 0"):
        fit.predict(pd.DataFrame({"Subject": ["999"], "Days": [1]}))
    with pytest.raises(UnknownColumnError, match="Days"):
        fit.predict(pd.DataFrame({"Subject": ["308"]}))


def test_groups_that_failed_are_told_once():
    with pytest.warns(FastlmmWarning, match=r"fitting failed for 37 group\(s\): the factor 'sx' has only one level, .* in .*, \.\.\.$") as said:
        fit = CALLS["hsb_single_sex_schools"]()
    assert len(said) == 1 and fit.coef().isna().all(axis=1).sum() == 37 and "37 group(s)" in REFERENCE["hsb_single_sex_schools"]["said"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        lmList("mAch ~ cses + sx | school", hsb(), warn=False)
    failed = fit.coef().index[fit.coef().isna().all(axis=1)]
    assert fit.residuals()[hsb()["school"].isin(failed).to_numpy()].isna().all()
    assert fit.predict(pd.DataFrame({"school": failed[:1], "cses": 0.0, "sx": "Male"})).isna().all()


def test_a_group_without_a_complete_row_is_kept_as_nan():
    d = sleep().copy()
    d.loc[d["Subject"] == "308", "Reaction"] = np.nan
    with pytest.warns(FastlmmWarning, match=r"failed for 1 group\(s\): no complete rows in 308$"):
        fit = lmList("Reaction ~ Days | Subject", d)
    assert fit.coef().loc["308"].isna().all() and fit.n["308"] == 0 and len(fit) == 18
    assert sigma(fit) == pytest.approx(23.64696, abs=5e-6)                 # R's
    pd.testing.assert_frame_equal(fit.coef().iloc[1:], fitted_list("sleepstudy").coef().iloc[1:])
    with pytest.warns(FastlmmWarning, match="no complete rows in 308"):
        assert len(lmList("Reaction ~ Days | Subject", d, subset="Subject != '309'")) == 17
    assert np.isnan(fit.predict(pd.DataFrame({"Subject": ["308", "309"], "Days": 1.0}))[0])
    assert fit.predict(pd.DataFrame({"Subject": ["309"], "Days": 0.0}))[0] == pytest.approx(fit.coef().loc["309", "(Intercept)"])


def test_combinations_of_factors_are_groups():
    d = datasets.load("Pastes")
    fit = lmList("strength ~ 1 | batch:cask", d)
    means = d.groupby(["batch", "cask"], observed=True)["strength"].mean()
    assert fit.group == "batch:cask" and fit.coef().loc["A:b", "(Intercept)"] == pytest.approx(means["A", "b"])


def test_a_column_that_a_group_lacks_counts_for_zero_in_predictions():
    fit = fitted_list("sleepstudy_very_ragged")
    alone = fit.coef().index[fit.coef()["Days"].isna()][0]
    at = fit.predict(pd.DataFrame({"Subject": [alone], "Days": [3.0]}))[0]
    assert at == pytest.approx(fit.coef().loc[alone, "(Intercept)"])


@pytest.mark.parametrize("text, message", [
    ("Reaction ~ Days", "rhs of formula must be a conditioning expression: 'Reaction ~ Days' has none"),
    ("Reaction ~ Days + (1 | Subject)", "rhs of formula must be a conditioning expression"),
    ("Reaction ~ Days | Subject/Days", "'Subject/Days' is 2 grouping factors"),
    ("Reaction ~ . | Subject", "'.' in .* would stand for the groups too"),
])
def test_formulas_without_one_bar_are_refused_in_lme4s_words(text, message):
    assert STORED["no_bar"] == "rhs of formula must be a conditioning expression"
    with pytest.raises(FormulaError, match=message):
        lmList(text, sleep())


def test_without_degrees_of_freedom_there_is_no_sigma():
    fit = lmList("Reaction ~ Days | Subject", sleep(), subset="Days < 2")
    with pytest.raises(ArgumentError, match="no degrees of freedom for estimating"):
        fit.sigma()
    assert "Residual standard error: NaN" in str(fit) or "NA" in str(fit)
    with pytest.raises(ArgumentError, match="use 'response', 'pearson'"):
        fit.residuals("deviance")


def test_frames_and_intervals_are_labelled():
    fit = fitted_list("sleepstudy")
    frame = fit.to_frame()
    assert list(frame) == ["Subject", "term", "estimate", "std.error", "statistic", "p.value", "df"] and len(frame) == 36
    assert frame["estimate"].iloc[1] == coef(fit).loc["308", "Days"]
    limits = confint(fit, level=0.9).to_frame()
    assert list(limits) == ["Subject", "term", "estimate", "lower", "upper"]
    assert formula(fit) == fit.formula == "Reaction ~ Days | Subject"
    assert ", , Days" in str(confint(fit)) and list(confint(fit, level=0.9)["Days"]) == ["5 %", "95 %"]


def test_groups_lie_in_intervals_of_a_picture():
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    intervals = confint(fitted_list("sleepstudy"))
    axes = intervals.plot()
    assert len(axes) == 2 and [ax.get_xlabel() for ax in axes] == ["(Intercept)", "Days"]
    lines = axes[0].collections[0].get_segments()
    drawn = np.sort([segment[0][0] for segment in lines])
    np.testing.assert_allclose(drawn, np.sort(intervals["(Intercept)"]["2.5 %"]))
    one = intervals.plot("Days", ax=matplotlib.pyplot.subplots()[1])
    assert one.get_xlabel() == "Days"
    failed = confint(fitted_list("hsb_single_sex_schools")).plot()
    assert failed[0].get_ylim() == (-1, 123) and "37 without estimates" in failed[0].get_title(loc="left")
    with pytest.raises(ArgumentError, match="2 coefficients .* and one ax"):
        intervals.plot(ax=one)
    with pytest.raises(ArgumentError, match="no coefficient 'days'"):
        intervals.plot("days")
    matplotlib.pyplot.close("all")


# --- least squares in groups ------------------------------------------------------------


def test_each_group_is_numpys_least_squares():
    rng = np.random.default_rng(3)
    n, size = 400, 30
    codes = rng.integers(size, size=n)
    X = np.column_stack([np.ones(n), 2000 + rng.normal(size=n), rng.normal(size=n)])
    y, w = X @ [1.0, 2.0, 3.0] + rng.normal(size=n), rng.uniform(0.2, 3.0, size=n)
    found = grouped_least_squares([None, X[:, 1], X[:, 2]], y, codes, size, w)
    for g in range(size):
        at = codes == g
        root = np.sqrt(w[at])
        b, rss, rank, _ = np.linalg.lstsq(X[at] * root[:, None], y[at] * root, rcond=None)
        np.testing.assert_allclose(found.coef[g], b, rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(found.residuals[at], y[at] - X[at] @ b, atol=1e-8)
        assert found.rank[g] == rank and found.rss[g] == pytest.approx(((y[at] - X[at] @ b) ** 2 * w[at]).sum(), rel=1e-9)
        Q = np.linalg.qr(X[at] * root[:, None])[0]
        np.testing.assert_allclose(found.leverage[at], (Q**2).sum(axis=1), rtol=1e-7)


def test_dependent_columns_are_dropped_from_the_right_in_the_groups_where_they_are():
    codes = np.repeat([0, 1, 2], 4)
    x = np.array([1.0, 2, 3, 4, 5, 5, 5, 5, 1, 2, 3, 4])
    z = np.array([2.0, 4, 6, 8, 1, 2, 3, 5, 1, 4, 9, 16])
    found = grouped_least_squares([None, x, z], np.arange(12.0), codes, 3)
    np.testing.assert_array_equal(np.isnan(found.coef), [[False, False, True], [False, True, False], [False, False, False]])
    np.testing.assert_array_equal(found.rank, [2, 2, 3])
    np.testing.assert_array_equal(np.isnan(found.unscaled[0]), [[False, False, True], [False, False, True], [True, True, True]])


def test_a_group_is_fitted_as_if_it_were_alone():
    d = ragged(sleep(), 19, 9)
    whole = lmList("Reaction ~ Days | Subject", d)
    alone = lmList("Reaction ~ Days | Subject", d[d["Subject"].isin(["310"])])
    np.testing.assert_allclose(whole.coef().loc["310"], alone.coef().loc["310"], rtol=1e-12)
    np.testing.assert_allclose(whole.sigmas()["310"], alone.sigma(), rtol=1e-12)


def test_the_t_test_is_the_textbooks():
    fit = fitted_list("sleepstudy_not_pooled")
    days = summary(fit).coefficients["Days"].loc["310"]
    own = sleep()[sleep()["Subject"] == "310"]
    line = stats.linregress(own["Days"], own["Reaction"])
    assert days["Estimate"] == pytest.approx(line.slope) and days["Std. Error"] == pytest.approx(line.stderr)
    assert days["Pr(>|t|)"] == pytest.approx(line.pvalue) and summary(fit).pool is False
    assert "degrees of freedom" not in str(summary(fit))


def test_data_sets_of_the_package_work_without_types():
    assert len(lmList("Yield ~ 1 | Batch", datasets.load("Dyestuff"))) == 6
