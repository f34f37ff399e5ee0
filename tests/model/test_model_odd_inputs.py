"""Odd but meaningful inputs: the right result where lme4 misbehaves or a type is unusual."""

import decimal

import numpy as np
import pandas as pd
import pytest

from fastlmm_hlm import datasets, lmer
from fastlmm_hlm.errors import DataError, DroppedRowsWarning, FastlmmError, RankDeficientWarning

SLEEP = "Reaction ~ Days + (Days | Subject)"
ONE = "Reaction ~ Days + (1 | Subject)"
GROUP = "Reaction ~ Days + (1 | g)"
BASE = datasets.load("sleepstudy")
N = len(BASE)
ROWS = np.arange(N)


def data(**columns):
    return BASE.assign(**columns)


def vector(value, row=3):
    out = np.ones(N)
    out[row] = value
    return out


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA, pd.NaT], ids=repr)
def test_rows_with_a_missing_group_are_left_out(missing):
    frame = data(Subject=BASE["Subject"].astype(object))
    frame.loc[[3, 4], "Subject"] = missing
    fit, without = lmer(SLEEP, frame), lmer(SLEEP, BASE.drop(index=[3, 4]))
    assert fit.nobs == 178 and fit.REMLcrit() == without.REMLcrit()
    assert "Subject 2" in str(fit.summary())


def test_missing_weights_offsets_and_subsets_leave_rows_out():
    without = lmer(SLEEP, BASE.drop(index=3))
    for arguments in ({"weights": vector(np.nan)}, {"offset": vector(np.nan) - 1.0},
                      {"subset": [None if k == 3 else True for k in ROWS]}):
        fit = lmer(SLEEP, BASE, **arguments)
        assert fit.nobs == 179 and fit.REMLcrit() == pytest.approx(without.REMLcrit(), abs=1e-9), arguments


def test_zero_weights_do_not_count_as_observations():
    with pytest.warns(DroppedRowsWarning, match="weight 0"):
        fit = lmer(SLEEP, BASE, weights=vector(0.0))
    assert fit.nobs == 179
    assert np.isfinite(fit.llf)
    assert fit.REMLcrit() == pytest.approx(lmer(SLEEP, BASE.drop(index=3)).REMLcrit(), abs=1e-9)


def test_without_fixed_effects_reml_is_maximum_likelihood():
    formula = "Reaction ~ 0 + (1 | Subject)"
    assert lmer(formula, BASE).REMLcrit() == lmer(formula, BASE, REML=False).deviance()
    assert len(lmer(formula, BASE).fixef()) == 0
    assert "Reaction ~ 0 + (1 | Subject)" in str(lmer(formula, BASE).summary())


def test_constant_and_repeated_predictors_are_dropped_by_name():
    with pytest.warns(RankDeficientWarning, match="2 columns / coefficients: k, twice"):
        fit = lmer("Reaction ~ k + Days + twice + (1 | Subject)", data(k=3.0, twice=2 * BASE["Days"]))
    assert fit.fixef()["Days"] == pytest.approx(lmer(ONE, BASE).fixef()["Days"])


def test_a_logical_response_counts_as_zero_and_one():
    y = BASE["Reaction"] > 300
    assert lmer(ONE, data(Reaction=y)).REMLcrit() == lmer(ONE, data(Reaction=y.astype(float))).REMLcrit()


@pytest.mark.parametrize("truth", [np.True_, np.False_, 1, 0], ids=repr)
def test_reml_may_be_any_kind_of_truth_value(truth):
    assert lmer(SLEEP, BASE, REML=truth).isREML() == bool(truth)


@pytest.mark.parametrize("factor", ["c", "I", "log", "factor", "poly", "offset", "T", "pi", "data", "np", "lambda",
                                    "class", "if", "TRUE", "NA", "Inf", "NULL", "function", "x y", "x-1", "x|y", "y~x",
                                    "x:y", "a/b", "1x", "_x", "(Intercept)", "\u00e9t\u00e9", "\u65e5\u6570", "x.1", '"q"',
                                    "x%y", "[x]", "$x", "None", "x\\y"])
def test_columns_may_be_called_anything(factor):
    quoted = "`" + factor.replace("\\", "\\\\") + "`"
    fit = lmer(f"Reaction ~ {quoted} + ({quoted} | Subject)", BASE.rename(columns={"Days": factor}))
    assert fit.REMLcrit() == lmer(SLEEP, BASE).REMLcrit()
    assert factor.replace("\\", "\\\\") in fit.fixef().index[1]
    as_group = lmer(f"Reaction ~ Days + (1 | {quoted})", BASE.rename(columns={"Subject": factor}))
    assert as_group.REMLcrit() == lmer(ONE, BASE).REMLcrit()
    str(fit.summary()), fit._repr_html_(), as_group.ranef().to_frame(), as_group.coef()


@pytest.mark.parametrize("name", ["c", "I", "log", "factor", "exam.prep.days", "s", "t", "C"])
def test_function_names_and_dots_need_no_quotes(name):
    fit = lmer(f"Reaction ~ {name} + ({name} | Subject)", BASE.rename(columns={"Days": name}))
    assert list(fit.fixef().index) == ["(Intercept)", name]


SAME_GROUPS = [
    ("text", [f"s{k}" for k in ROWS // 10]), ("text of numbers", [str(k) for k in ROWS // 10]),
    ("negative numbers", ROWS // 10 - 50), ("huge numbers", 2**62 + ROWS // 10), ("small ints", (ROWS // 10).astype("int8")),
    ("unsigned", np.uint64(2**64 - 100) + (ROWS // 10).astype("uint64")), ("floats", (ROWS // 10) / 7),
    ("tuples", [(k, "x") for k in ROWS // 10]), ("dates", pd.Timestamp("2020-01-01") + pd.to_timedelta(ROWS // 10, "D")),
    ("times with zone", pd.Timestamp("2020-03-28", tz="Europe/Berlin") + pd.to_timedelta(ROWS // 10, "h")),
    ("decimals", [decimal.Decimal(int(k)) / 4 for k in ROWS // 10]), ("nullable", pd.array(ROWS // 10, dtype="Int64")),
    ("mixed", pd.Series([int(k) if k % 2 else f"s{k}" for k in ROWS // 10], dtype=object)),
    ("unused categories", pd.Categorical(ROWS // 10, categories=range(-5, 30))),
    ("huge ints", [10**25 + int(k) for k in ROWS // 10]),
]


@pytest.mark.parametrize("groups", [g for _, g in SAME_GROUPS], ids=[name for name, _ in SAME_GROUPS])
def test_any_kind_of_value_may_name_the_groups(groups):
    fit = lmer(GROUP, data(g=groups))
    assert fit.ngrps()["g"] == 18
    assert fit.REMLcrit() == pytest.approx(lmer(ONE, BASE).REMLcrit(), abs=1e-9)


def test_numbers_and_texts_that_look_alike_are_not_silently_one_level():
    groups = pd.Series([(1 if k % 2 else "1") if k < 90 else "b" for k in ROWS], dtype=object)
    with pytest.raises(DataError, match="'g'.*1.*written alike"):
        lmer(GROUP, data(g=groups))


@pytest.mark.parametrize("make", [
    lambda: [decimal.Decimal(int(k)) for k in BASE["Days"]], lambda: BASE["Days"].astype("Int64"),
    lambda: BASE["Days"].astype("Float32"), lambda: BASE["Days"].astype(object), lambda: BASE["Days"].astype("int8"),
    lambda: BASE["Days"].astype("uint8"), lambda: BASE["Days"].astype("float32"), lambda: pd.to_timedelta(BASE["Days"], "D"),
    lambda: BASE["Days"].astype("double[pyarrow]"),
], ids=["Decimal", "Int64", "Float32", "object", "int8", "uint8", "float32", "timedelta", "arrow"])
def test_numbers_of_every_type_are_numbers(make):
    fit = lmer(SLEEP, data(Days=make()))
    assert fit.REMLcrit() == pytest.approx(lmer(SLEEP, BASE).REMLcrit(), abs=1e-8)
    assert fit.fixef().index[1] == "Days"


def test_small_integers_do_not_overflow_in_powers():
    small = data(Days=(BASE["Days"] * 14).astype("int8"))
    wide = data(Days=BASE["Days"] * 14.0)
    formula = "Reaction ~ Days + I(Days^2) + (1 | Subject)"
    assert lmer(formula, small).REMLcrit() == pytest.approx(lmer(formula, wide).REMLcrit(), abs=1e-8)


@pytest.mark.parametrize("zone", [None, "Europe/Berlin"])
def test_dates_are_numbers_as_in_r(zone):
    days = pd.Timestamp("2021-05-01", tz=zone) + pd.to_timedelta(BASE["Days"], "D")
    fit = lmer("Reaction ~ when + (1 | Subject)", data(when=days))
    assert abs(fit.tvalues["when"]) == pytest.approx(lmer(ONE, BASE).tvalues["Days"], rel=1e-6)


def test_duplicated_columns_that_are_not_used_do_no_harm():
    frame = pd.concat([BASE, pd.DataFrame({"z": ROWS}), pd.DataFrame({"z": ROWS})], axis=1)
    assert lmer(SLEEP, frame).REMLcrit() == lmer(SLEEP, BASE).REMLcrit()


def test_after_an_error_the_next_fit_is_right():
    before = lmer(SLEEP, BASE).REMLcrit()
    for frame in (data(Reaction=1.0), data(Days=np.inf), BASE.iloc[:0]):
        with pytest.raises(FastlmmError):
            lmer(SLEEP, frame)
    assert lmer(SLEEP, BASE).REMLcrit() == before
