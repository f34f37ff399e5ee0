"""Formulas whose variables depend on all rows, read in blocks, against the model frame in memory."""

import warnings

import numpy as np
import pytest
from blocks_of_school import cut, scanned, school_data, summed

from fastlmm_hlm.design.crossprod import choose_shift, cross_products
from fastlmm_hlm.design.design import build_design
from fastlmm_hlm.errors import ArgumentError, DataError, FormulaError, UnknownColumnError
from fastlmm_hlm.formula import build_frame

DATA, GAPS = school_data()
# The rows are all in the plan's sample, so only means learned by the transforms differ, by rounding.
SAME = 1e-11
FORMULAS = [
    "y ~ x + z + (1 | school)",
    "y ~ scale(x) + scale(year, scale = FALSE) + (scale(x) | school)",
    "y ~ scale(x, center = FALSE) + scale(z, center = TRUE, scale = 2) + (1 | school)",
    "scale(y) ~ x + (1 | school)",
    "y ~ poly(x, 3) + (poly(x, 2) | school)",
    "y ~ poly(year, 5) + (1 | school)",
    "y ~ poly(x, z, degree = 2) + (1 | school)",
    "y ~ poly(x, 2, raw = TRUE) + (1 | school)",
    "y ~ poly(x, degree = 2):track + (1 | school)",
    "y ~ I(x - mean(x, na.rm = TRUE)) + I(z / sd(z)) + (1 | school)",
    "y ~ I((x - min(x, na.rm = TRUE)) / (max(x, na.rm = TRUE) - min(x, na.rm = TRUE))) + (1 | school)",
    "y ~ ns(x, knots = c(40, 50, 60), Boundary.knots = c(20, 80)) + (1 | school)",
    "y ~ ns(x, knots = c(40, 60)) + bs(z, knots = c(-1, 1)) + (1 | school)",
    "y ~ bs(x, knots = 50, Boundary.knots = c(0, 100), intercept = FALSE) + (1 | school)",
    "y ~ factor(year) + factor(k) + (1 | school)",
    "y ~ factor(k, levels = c(0, 1, 2, 3)) + (1 | school)",
    "y ~ relevel(grade, 'mid') + relevel(factor(track), 'b') + (1 | school)",
    "y ~ interaction(track, girl) + (1 | school)",
    "y ~ interaction(grade, track, drop = TRUE) + (1 | school)",
    "y ~ C(track, contr.sum) + rank + grade + girl + (1 | school)",
    "y ~ 0 + track + x:track + (0 + track | school)",
    "y ~ 0 + track:girl + (1 | school)",
    "y ~ cut(x, c(0, 40, 50, 60, 120)) + (1 | school)",
    "y ~ ifelse(x > 50, 'high', 'low') + (1 | school)",
    "y ~ as.numeric(year) + as.character(grade) + (1 | school)",
    "y ~ ordered(room) * z + (1 | school)",
    "y ~ x + day + (1 | school) + (1 | day)",
    "y ~ x + (1 | school/room)",
    "y ~ x + (1 | school:track:room) + (1 | grade)",
    "y ~ x + (1 | factor(year)) + (1 | room)",
    "y ~ x + (1 | interaction(school, room))",
    "y ~ x + (1 | girl) + (1 | rank:year) + (1 | k)",
    "y ~ x + (1 | round(x / 10)) + (1 | cut(z, c(-9, -1, 1, 9)))",
    "y ~ x + (1 | school) + (0 + dummy(track, 'a') | school) + (0 + dummy(grade) | room)",
    "y ~ x * track + (x || school) + cs(track | room) + diag(0 + girl | year)",
    "y ~ log(x) + sqrt(abs(z)) + offset(0.5 * x) + (1 | school)",
    "y ~ x + I(2 * x) + z + (1 | school)",
]


@pytest.mark.filterwarnings("ignore::fastlmm_hlm.errors.FastlmmWarning")
@pytest.mark.parametrize("data", [DATA, GAPS], ids=["whole", "gaps"])
@pytest.mark.parametrize("formula", FORMULAS)
def test_plan_and_sums_are_those_of_the_frame_in_memory(formula, data):
    frame = build_frame(formula, data, skip_checks=("nobs.vs.nlev", "nobs.vs.nRE"))
    design = build_design(frame)
    expected = cross_products(design, choose_shift(design))
    plan = scanned(formula, cut(data, [37])).finish()
    found = summed(plan, cut(data, [37])).finish()
    assert plan.x_names == frame.x_names
    assert (plan.dropped, plan.missing) == (frame.dropped, frame.missing)
    assert plan.contrasts == frame.contrasts
    assert [(f.name, list(f.levels), f.names) for f in plan.design.factors] == [(f.name, list(f.levels), f.names) for f in design.factors]
    assert [f.levels.dtype.kind for f in plan.design.factors] == [f.levels.dtype.kind for f in design.factors]
    scale = np.sqrt(np.diagonal(expected.XyWXy))
    np.testing.assert_allclose(found.XyWXy / np.outer(scale, scale), expected.XyWXy / np.outer(scale, scale), atol=SAME)
    for ours, theirs in zip([*found.ZtWZ, *found.ZtWXy], [*expected.ZtWZ, *expected.ZtWXy], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=SAME * max(np.abs(theirs).max(), scale[-1]))
    for key, (indptr, indices, values) in expected.pairs.items():
        np.testing.assert_array_equal(found.pairs[key][0], indptr)
        np.testing.assert_array_equal(found.pairs[key][1], indices)
        np.testing.assert_allclose(found.pairs[key][2], values, rtol=SAME, atol=SAME * np.abs(values).max())


@pytest.mark.parametrize("arguments", [
    {"weights": "w"}, {"weights": "1 / (1 + z^2)", "offset": "2 * z"}, {"subset": "year >= 2012 & track != 'b'"}, {"contrasts": {"track": "contr.sum", "grade": "contr.helmert"}},
    {"subset": "school %in% c('s1', 's2', 's3')", "weights": "w"},
], ids=str)
def test_arguments_are_those_of_the_frame_in_memory(arguments):
    formula = "y ~ x + track + grade + (x | school)"
    frame = build_frame(formula, GAPS, **arguments)
    design = build_design(frame)
    expected = cross_products(design, choose_shift(design))
    plan = scanned(formula, cut(GAPS, [50]), **arguments).finish()
    found = summed(plan, cut(GAPS, [50])).finish()
    assert (plan.x_names, plan.dropped, plan.missing) == (frame.x_names, frame.dropped, frame.missing)
    np.testing.assert_array_equal(found.XyWXy, expected.XyWXy)
    assert found.sum_log_weights == pytest.approx(expected.sum_log_weights, rel=1e-13, abs=1e-13)


@pytest.mark.parametrize("formula, words", [
    ("y ~ ns(x, 3) + (1 | school)", "ns(x, knots = c(...), Boundary.knots = c(..., ...))"),
    ("y ~ bs(x, df = 5) + (1 | school)", "quantiles"),
    ("y ~ I(x - median(x)) + (1 | school)", "median(x)"),
    ("y ~ I(x > quantile(x, 0.5)) + (1 | school)", "quantile(x, 0.5)"),
    ("y ~ cut(x, 3) + (1 | school)", "cut(x, 3)"),
    ("y ~ poly(scale(x), 2) + (1 | school)", "make the column of scale(x) first"),
    ("y ~ poly(x, 9) + (1 | school)", "degree"),
])
def test_what_blocks_cannot_tell_is_refused_by_name(formula, words):
    with pytest.raises(FormulaError) as error:
        scanned(formula, cut(DATA, [50]))
    assert words in str(error.value)


def test_a_polynomial_of_too_high_a_degree_is_refused():
    with pytest.raises(FormulaError, match="different values"):
        scanned("y ~ poly(room, 4) + (1 | school)", cut(DATA, [50])).finish()


def test_scale_of_a_constant_is_refused():
    with pytest.raises(DataError, match="constant"):
        scanned("y ~ scale(one) + (1 | school)", cut(DATA.assign(one=1.5), [50])).finish()


def test_vectors_and_padding_are_refused_with_the_reason():
    with pytest.raises(ArgumentError, match="give its column"):
        scanned("y ~ x + (1 | school)", [], weights=np.ones(3))
    with pytest.raises(ArgumentError, match="exclude"):
        scanned("y ~ x + (1 | school)", [], na_action="exclude")
    with pytest.raises(ArgumentError, match="depends on all rows"):
        scanned("y ~ x + (1 | school)", cut(DATA, [50]), subset="x > mean(x)")


def test_missing_values_can_be_forbidden():
    with pytest.raises(DataError, match="na_action = 'fail'"):
        scanned("y ~ x + (1 | school)", cut(GAPS, [50]), na_action="fail").finish()


def test_an_unknown_column_is_named_with_its_neighbours():
    with pytest.raises(UnknownColumnError, match="Did you mean 'school'"):
        scanned("y ~ x + (1 | shcool)", cut(DATA, [50]))


def test_the_checks_of_lmer_are_made():
    for change, words in (({"y": 1.0}, "constant"), ({"school": "s"}, "at least 2"), ({"school": np.arange(len(DATA))}, "more rows than levels"),
                          ({"y": np.nan}, "none of the")):
        with pytest.raises(DataError, match=words):
            scanned("y ~ x + (1 | school)", cut(DATA.assign(**change), [50])).finish()
    with pytest.raises(DataError, match="infinite in row 123"):
        scanned("y ~ x + (1 | school)", cut(DATA.assign(y=DATA["y"].where(DATA.index != 123, np.inf)), [50]))


def test_an_infinite_predictor_is_found_with_its_row():
    data = DATA.assign(z=DATA["z"].where(DATA.index != 400, np.inf))
    with pytest.raises(DataError, match="infinite in row 400"):
        plan = scanned("y ~ x + z + (1 | school)", cut(data, [50])).finish()
        summed(plan, cut(data, [50])).finish()


def test_warnings_of_rows_come_once():
    data = DATA.assign(w=np.where(DATA.index % 10 == 0, 0.0, 1.0), x=DATA["x"] - 45)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        scanned("y ~ log(x) + (1 | school)", cut(data, [50]), weights="w").finish()
    texts = [str(w.message) for w in caught]
    assert sum("have weight 0" in text for text in texts) == 1 and sum("log(x) has no value" in text for text in texts) == 1
