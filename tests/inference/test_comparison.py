"""Comparisons of models: rules, refusals and the independence from rows."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from some_models import MODELS, data_of, fitted

from fastlmm_hlm import KRmodcomp, SATmodcomp, anova, compare_models, datasets, drop1, get_model, lmer, ranova, step
from fastlmm_hlm.errors import ArgumentError, FastlmmWarning, RowsNotKeptError, SingularFitWarning

# Criteria at optima of the same model found in two ways.
CRITERION = 1e-7


def without_data(fit):
    return pickle.loads(pickle.dumps(fit))


def sleep(formula, **how):
    return lmer(formula, datasets.load("sleepstudy"), **how)


@pytest.fixture(scope="module")
def slopes():
    return sleep("Reaction ~ Days + (Days | Subject)")


@pytest.fixture(scope="module")
def intercepts():
    return sleep("Reaction ~ Days + (1 | Subject)")


# --- anova --------------------------------------------------------------------------


def test_models_are_ordered_by_their_parameters_and_named_as_the_callers_variables():
    big, small = sleep("Reaction ~ Days + (Days | Subject)"), sleep("Reaction ~ Days + (1 | Subject)")
    table = anova(big, small)
    assert list(table.index) == ["small", "big"]
    assert list(table["npar"]) == [4, 6]
    assert table.heading[-2:] == ["small: Reaction ~ Days + (1 | Subject)", "big: Reaction ~ Days + (Days | Subject)"]
    assert list(big.anova(small).index) == ["small", "big"]
    assert list(compare_models([big, small]).index) == ["small", "big"]


def test_models_without_names_are_numbered(slopes):
    table = anova(slopes, sleep("Reaction ~ Days + (1 | Subject)"))
    assert list(table.index) == ["MODEL2", "MODEL1"]


def test_given_names_follow_their_models(slopes, intercepts):
    assert list(anova(slopes, intercepts, model_names=["large", "small"]).index) == ["small", "large"]
    with pytest.raises(ArgumentError, match="1 model names for 2 models"):
        anova(slopes, intercepts, model_names="large")
    with pytest.raises(ArgumentError, match="once"):
        anova(slopes, intercepts, model_names=["a", "a"])


def test_reml_fits_are_refitted_and_the_heading_says_so(slopes, intercepts):
    table = anova(slopes, intercepts)
    assert table.heading[0] == "refitting model(s) with ML (instead of REML)"
    ml = sleep("Reaction ~ Days + (Days | Subject)", REML=False)
    assert table["deviance"].iloc[1] == pytest.approx(ml.deviance(), abs=CRITERION)
    assert "refitting" not in str(anova(ml, intercepts.refitML()))


def test_comparing_needs_no_data(slopes, intercepts):
    table = compare_models([without_data(slopes), without_data(intercepts)], model_names=["a", "b"])
    assert np.allclose(table, compare_models([slopes, intercepts], model_names=["a", "b"]), equal_nan=True, atol=1e-6)


def test_the_heading_names_the_data_and_the_subset():
    data = datasets.load("sleepstudy")
    data.attrs["name"] = "sleepstudy"
    big, small = (lmer(f"Reaction ~ Days + {bar}", data, subset="Days > 0") for bar in ("(Days | Subject)", "(1 | Subject)"))
    assert anova(big, small).heading[1:4] == ["Data: sleepstudy", "Subset: Days > 0", "Models:"]


def test_equal_numbers_of_parameters_have_no_p_value(slopes):
    other = sleep("Reaction ~ Days + (Days | Subject)")
    table = anova(slopes, other)
    assert table["Df"].iloc[1] == 0 and np.isnan(table["Pr(>Chisq)"].iloc[1])


def test_reml_criteria_of_different_fixed_parts_are_warned_of(slopes):
    other = sleep("Reaction ~ 1 + (Days | Subject)")
    with pytest.warns(FastlmmWarning, match="different fixed parts"):
        anova(slopes, other, refit=False)


def test_models_of_different_rows_or_responses_are_refused(slopes):
    data = datasets.load("sleepstudy")
    fewer = lmer("Reaction ~ Days + (1 | Subject)", data[data["Days"] > 0])
    with pytest.raises(ArgumentError, match="180 and 162 rows"):
        anova(slopes, fewer)
    with pytest.raises(ArgumentError, match=r"different responses, Reaction and log\(Reaction\)"):
        anova(slopes, sleep("log(Reaction) ~ Days + (1 | Subject)"))
    shuffled = lmer("Reaction ~ Days + (1 | Subject)", data.assign(Reaction=data["Reaction"] + data["Days"]))
    for pair in ((slopes, shuffled), (without_data(slopes), without_data(shuffled))):
        with pytest.raises(ArgumentError, match="other values of it"):
            anova(*pair)
    with pytest.raises(ArgumentError, match="got Series"):
        anova(slopes, slopes.fixef())


# --- drop1 and ranova ------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in MODELS if name != "no fixed effects"])
def test_drop1_and_ranova_need_no_data(name):
    fit = fitted(name)
    bare = without_data(fit)
    for table, other in ((drop1(fit), drop1(bare)), (ranova(fit), ranova(bare)), (ranova(fit, False), ranova(bare, False))):
        assert list(table.index) == list(other.index)
        assert np.allclose(table, other, equal_nan=True, atol=1e-5)


@pytest.mark.parametrize("name", ["crossed slopes", "all at once", "weights and offset", "compound symmetry"])
def test_drop1_compares_with_fresh_fits(name):
    formula, _, arguments = MODELS[name]
    data, fit = data_of(name), fitted(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SingularFitWarning)
        for label, row in drop1(fit).iloc[1:].iterrows():
            fresh = lmer(str(fit.update(f". ~ . - {label}").formula), data, **(arguments | {"REML": False}))
            assert row["AIC"] == pytest.approx(fresh.AIC(), abs=CRITERION)


def test_marginality_is_respected_and_the_scope_may_ask_for_less():
    fit = fitted("crossed slopes")
    assert list(drop1(fit).index) == ["<none>", "x:f"]
    additive = fit.update(". ~ . - x:f")
    assert list(drop1(additive).index) == ["<none>", "x", "f"]
    assert list(drop1(additive, scope="~ f").index) == list(drop1(additive, scope="f").index) == ["<none>", "f"]
    with pytest.raises(ArgumentError, match="'q'; the fixed terms are x, f"):
        drop1(additive, scope=["f", "q"])
    with pytest.raises(ArgumentError, match="use 'Chisq' or 'none'"):
        drop1(additive, test="F")


def test_a_larger_penalty_counts_every_parameter():
    fit = fitted("slopes")
    light, heavy = drop1(fit, k=2), drop1(fit, k=5)
    assert heavy["AIC"].to_numpy() - light["AIC"].to_numpy() == pytest.approx([3 * 6, 3 * 5])


def test_a_dot_stands_for_the_columns_it_stood_for():
    data = datasets.load("sleepstudy").assign(z=lambda d: d["Days"] % 4)
    fit = lmer("Reaction ~ . - Subject + (1 | Subject)", data)
    assert list(drop1(fit).index) == ["<none>", "Days", "z"]
    assert ranova(fit).heading[-1] == "Reaction ~ Days + z + (1 | Subject)"


def test_ranova_without_random_terms_compares_with_the_linear_model():
    fit = fitted("weights and offset")
    design = fit._rows.design
    root = np.sqrt(design.weights)
    X, y = design.X * root[:, None], (design.y - design.offset) * root
    N = len(y) - X.shape[1]
    rss = ((y - X @ np.linalg.lstsq(X, y, rcond=None)[0]) ** 2).sum()
    direct = N * (1 + np.log(2 * np.pi * rss / N)) + np.linalg.slogdet(X.T @ X)[1] - 2 * np.log(root).sum()
    assert ranova(fit, reduce_terms=False)["logLik"].iloc[1] == pytest.approx(-direct / 2, abs=1e-8)


def test_a_slope_without_intercept_is_replaced_by_one_from_the_data_alone():
    fit = sleep("Reaction ~ Days + (0 + Days | Subject)")
    assert ranova(fit)["Df"].iloc[1] == 0
    with pytest.raises(RowsNotKeptError, match="no intercept"):
        ranova(without_data(fit))


# --- step ---------------------------------------------------------------------------------


def test_step_leaves_out_the_weakest_terms_first_and_needs_no_data():
    fit = fitted("crossed slopes")
    made = step(fit, alpha_fixed=1e-12)
    eliminated = made.fixed["Eliminated"]
    assert list(eliminated[eliminated > 0]) == sorted(eliminated[eliminated > 0])
    bare = without_data(fit).step(alpha_fixed=1e-12)
    assert str(bare) == str(made)
    assert get_model(bare).npar == get_model(made).npar
    assert float(get_model(made).logLik()) == pytest.approx(float(lmer(made.formula, data_of("crossed slopes")).logLik()),
                                                            abs=CRITERION)


def test_step_keeps_what_it_is_told_to():
    fit = fitted("crossed slopes")
    kept = step(fit, alpha_fixed=0.0, keep="x")
    assert "x" in get_model(kept).fixef().index
    assert list(step(fit, alpha_fixed=0.0, keep=["x:f"]).fixed["Eliminated"]) == [0.0]
    assert get_model(step(fit, alpha_fixed=0.0, reduce_fixed=False)).npar == fit.npar
    with pytest.raises(ArgumentError, match="keep names 'q'"):
        step(fit, keep="q")
    with pytest.raises(ArgumentError, match="alpha_random"):
        step(fit, alpha_random=5)


def test_step_to_a_linear_model_tests_its_terms_and_has_no_mixed_model_to_give():
    rng = np.random.default_rng(1)
    data = pd.DataFrame({"x": rng.normal(2000, 2, 90), "z": rng.normal(size=90), "g": np.arange(90) % 9})
    noise = pd.Series(rng.normal(size=90))
    data["y"] = data["x"] + noise - noise.groupby(data["g"]).transform("mean")
    with pytest.warns(SingularFitWarning):
        made = step(lmer("y ~ x + z + (1 | g)", data))
    assert made.formula == "y ~ x"
    X = np.column_stack([np.ones(90), data["x"]])
    beta, rss = np.linalg.lstsq(X, data["y"], rcond=None)[:2]
    F = (((data["y"] - data["y"].mean()) ** 2).sum() - rss[0]) / (rss[0] / 88)
    assert made.fixed.loc["x", "F value"] == pytest.approx(F, rel=1e-8)
    with pytest.raises(ArgumentError, match="linear model 'y ~ x'"):
        get_model(made)


# --- F tests of two models ------------------------------------------------------------------


def test_two_models_and_their_restriction_matrix_give_the_same_test():
    fit = fitted("crossed slopes")
    small, L = fit.update(". ~ . - x:f"), np.eye(6)[4:]
    for test in (KRmodcomp, SATmodcomp):
        assert np.allclose(test(fit, small), test(fit, L), equal_nan=True)
        assert np.allclose(test(fit, ". ~ . - x:f"), test(fit, L), equal_nan=True)
    recoded = lmer("y ~ x + C(f, contr.sum) + (x | g) + (1 | h)", data_of("crossed slopes"))
    assert np.allclose(SATmodcomp(fit, recoded), SATmodcomp(fit, L), rtol=1e-6)


def test_models_that_are_not_nested_are_refused():
    fit = fitted("crossed slopes")
    other = lmer("y ~ z + (x | g) + (1 | h)", data_of("crossed slopes"))
    with pytest.raises(ArgumentError, match="not contained"):
        SATmodcomp(fit, other)
    with pytest.raises(ArgumentError, match="6 and 6 fixed effects"):
        SATmodcomp(fit, fit)
    with pytest.raises(ArgumentError, match=r"expected \(q, 6\)"):
        KRmodcomp(fit, [0, 1])


# --- tables ----------------------------------------------------------------------------------


def test_tables_are_data_frames_that_pickle_with_their_headings(slopes, intercepts):
    for table in (anova(slopes, intercepts), drop1(slopes), ranova(slopes), SATmodcomp(slopes, [0, 1]), step(slopes).random):
        again = pickle.loads(pickle.dumps(table))
        assert str(again) == str(table)
        assert again.heading[0] in table._repr_html_().replace("&#x27;", "'") or not again.heading[0]
        assert type(table.iloc[:1]) is pd.DataFrame
    result = step(slopes)
    assert str(pickle.loads(pickle.dumps(result))) == str(result)
    assert "Model found" in result._repr_html_()
