"""build_frame: data of every kind, rows, and the errors that protect the user."""
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from school import school_data, with_value

from fastlmm_hlm.errors import ArgumentError, DataError, DroppedRowsWarning, FormulaError, UnknownColumnError
from fastlmm_hlm.formula import build_frame

# --- data of every kind ---------------------------------------------------


@pytest.mark.parametrize("convert", [
    lambda d: pl.DataFrame(d.to_dict("list")), lambda d: pa.Table.from_pandas(d, preserve_index=False), lambda d: d.to_dict("list"),
    lambda d: {k: v.to_numpy() for k, v in d.items()}, lambda d: d.astype({"f": object, "x": "Float64", "school": "Int32", "flag": "boolean"}),
    lambda d: d.convert_dtypes(dtype_backend="pyarrow"),
], ids=["polars", "arrow", "dict of lists", "dict of arrays", "nullable", "arrow-backed"])
def test_every_kind_of_data_gives_the_same_frame(convert):
    data, formula = school_data(), "y ~ x * f + flag + (x | school) + (1 | room:s)"
    expected, frame = build_frame(formula, data), build_frame(formula, convert(data))
    assert frame.x_names == expected.x_names
    np.testing.assert_array_equal(frame.X, expected.X)
    np.testing.assert_array_equal(frame.y, expected.y)
    for ours, theirs in zip(frame.random, expected.random, strict=True):
        assert list(ours.levels) == list(theirs.levels)
        np.testing.assert_array_equal(ours.codes, theirs.codes)
        np.testing.assert_array_equal(ours.Z, theirs.Z)


WITH_GAPS = {
    "y": [1.0, 2, None, 4, 5, 7, 8, 9], "n": [1, None, 3, 4, 5, 7, 8, 2], "f": ["a", "b", "a", None, "b", "a", "b", "a"],
    "flag": [True, False, True, False, None, True, True, False], "g": [1, 1, 1, 1, 1, None, 2, 2],
}


@pytest.mark.parametrize("make", [pl.DataFrame, pa.table, pd.DataFrame, lambda d: pd.DataFrame(d).convert_dtypes(), lambda d: d], ids=["polars", "arrow", "pandas", "nullable", "dict"])
def test_missing_values_are_found_whatever_library_holds_them(make):
    frame = build_frame("y ~ n + f + flag + (1 | g)", make(WITH_GAPS), skip_checks=("nobs.vs.nlev",))
    assert frame.missing == {"y": 1, "n": 1, "f": 1, "flag": 1, "g": 1}
    assert frame.rows.tolist() == [0, 6, 7]
    assert list(frame.random[0].levels) == [1, 2]


def test_a_polars_enum_keeps_its_order_and_a_polars_categorical_is_text():
    values = ["mid", "low", "high"] * 4
    data = pl.DataFrame({"y": range(12), "g": [1, 2] * 6, "e": pl.Series(values, dtype=pl.Enum(["low", "mid", "high"])), "c": pl.Series(values, dtype=pl.Categorical)})
    assert build_frame("y ~ e + (1 | g)", data).x_names == ["(Intercept)", "emid", "ehigh"]
    assert build_frame("y ~ c + (1 | g)", data).x_names == ["(Intercept)", "clow", "cmid"]


def test_only_the_needed_columns_are_touched():
    data = school_data()
    data["odd"], data["twin"] = [object() for _ in range(len(data))], 1.0
    data = data.rename(columns={"twin": "odd"})
    assert build_frame("y ~ x + (1 | school)", data).X.shape == (60, 2)
    with pytest.raises(DataError, match="2 columns of that name"):
        build_frame("y ~ odd + (1 | school)", data)


@pytest.mark.parametrize("data, words", [(np.zeros((3, 2)), "named columns"), (None, "missing"), ("file", "named columns"), (3, "not a data frame"), ({"y": 3}, "not a vector"), ({"y": [1, 2], "x": [1]}, "different lengths")])
def test_what_is_no_table_is_refused(data, words):
    with pytest.raises(DataError, match=words):
        build_frame("y ~ x + (1 | g)", data)


def test_a_lazy_frame_is_refused_with_what_to_do():
    with pytest.raises(DataError, match="collect"):
        build_frame("y ~ x + (1 | g)", pl.DataFrame({"y": [1.0]}).lazy())


# --- types of columns -----------------------------------------------------


def test_text_levels_are_sorted_by_code_point_and_categories_keep_their_order():
    data = school_data()
    data["f"] = ["b", "B", "a"] * 20
    assert build_frame("y ~ f + (1 | school)", data).x_names == ["(Intercept)", "fa", "fb"]
    data["f"] = pd.Categorical(data["f"], categories=["b", "a", "B", "unused"])
    assert build_frame("y ~ f + (1 | school)", data).x_names == ["(Intercept)", "fa", "fB"]


def test_ordered_categories_get_polynomial_contrasts_without_unused_levels():
    data = school_data()
    data["f"] = pd.Categorical(data["f"], categories=["c", "never", "a", "b"], ordered=True)
    frame = build_frame("y ~ f + (1 | school)", data)
    assert frame.x_names == ["(Intercept)", "f.L", "f.Q"]
    assert frame.contrasts == {"f": "contr.poly"}
    values = {level: frame.X[(data["f"] == level).to_numpy(), 1][0] for level in "cab"}
    np.testing.assert_allclose([values["c"], values["a"], values["b"]], [-np.sqrt(0.5), 0, np.sqrt(0.5)], atol=1e-15)


def test_dates_are_days_since_1970():
    data = school_data()
    data["when"] = pd.date_range("2020-01-01", periods=60)
    frame = build_frame("y ~ when + (1 | school)", data)
    assert frame.X[0, 1] == 18262
    np.testing.assert_array_equal(np.diff(frame.X[:, 1]), 1)


def test_groups_keep_their_own_type_and_interactions_become_text():
    data = school_data()
    data["half"] = data["room"] / 2
    frame = build_frame("y ~ x + (1 | school) + (1 | flag) + (1 | half:school)", data)
    levels = {term.group: term.levels for term in frame.random}
    assert levels["school"].tolist() == [10, 20, 30]
    assert levels["school"].dtype == np.int64
    assert levels["flag"].tolist() == [False, True]
    assert levels["half:school"][:4].tolist() == ["0:10", "0:20", "0:30", "0.5:10"]


def test_terms_of_one_factor_share_codes_and_levels():
    frame = build_frame("y ~ x + (x || school) + (1 | room)", school_data())
    first, second = (term for term in frame.random if term.group == "school")
    assert first.codes is second.codes
    assert first.levels is second.levels
    assert first.codes.dtype == np.int32


def test_wide_integer_and_float_groups_are_numbered_in_order():
    data = school_data()
    data["id"] = data["school"] * 10**15
    frame = build_frame("y ~ x + (1 | id)", data)
    assert frame.random[0].levels.tolist() == [10**16, 2 * 10**16, 3 * 10**16]
    np.testing.assert_array_equal(frame.random[0].levels[frame.random[0].codes], data["id"])


def test_a_level_that_starts_with_underscores_keeps_its_column():
    data = school_data()
    data["f"] = ["__a", "__b", "c"] * 20
    frame = build_frame("y ~ 0 + f + (1 | school)", data)
    assert frame.x_names == ["f__a", "f__b", "fc"]
    assert frame.X.sum(axis=0).tolist() == [20, 20, 20]


def test_covariance_structures_reach_the_random_terms():
    frame = build_frame("y ~ x + cs(x | room, hom = TRUE) + diag(x | school)", school_data())
    assert [(t.group, t.covariance, t.hom, t.names, t.text) for t in frame.random] == [
        ("room", "cs", True, ["(Intercept)", "x"], "cs(x | room, hom = TRUE)"), ("school", "diag", False, ["(Intercept)", "x"], "diag(x | school)"),
    ]


def test_grouping_by_a_function_of_columns():
    frame = build_frame("y ~ x + (1 | interaction(s, school)) + (1 | cut(x, 2))", school_data())
    assert frame.random[0].group == "interaction(s, school)"
    assert frame.random[0].levels[0] == "u.10"


def test_the_dot_stands_for_all_columns_but_the_response():
    frame = build_frame("y ~ . + (1 | room)", school_data().drop(columns=["f", "s", "flag", "w"]))
    assert frame.term_labels == ["x", "school", "room"]


# --- weights, offset, subset, missing rows --------------------------------


def test_weights_offset_and_subset_are_columns_expressions_or_arrays():
    data = school_data()
    by_text = build_frame("y ~ x + (1 | room)", data, weights="w", offset="log(w)", subset="x > -1 & s == 'u'")
    chosen = ((data["x"] > -1) & (data["s"] == "u")).to_numpy()
    by_array = build_frame("y ~ x + (1 | room)", data, weights=data["w"].tolist(), offset=np.log(data["w"].to_numpy()), subset=pd.Series(chosen, data.index))
    for frame in (by_text, by_array):
        np.testing.assert_array_equal(frame.rows, np.flatnonzero(chosen))
        np.testing.assert_array_equal(frame.weights, data["w"].to_numpy()[chosen])
        np.testing.assert_array_equal(frame.offset, np.log(data["w"].to_numpy()[chosen]))
        assert frame.dropped == {"subset": int((~chosen).sum())}
        assert list(frame.index) == list(data.index[chosen])


def test_offset_argument_and_offset_terms_add_up():
    data = school_data()
    frame = build_frame("y ~ x + offset(w) + offset(2 * x) + (1 | room)", data, offset="w")
    np.testing.assert_allclose(frame.offset, 2 * data["w"] + 2 * data["x"])
    np.testing.assert_allclose(frame.spec.offset(data.iloc[:5]), frame.offset[:5])


def test_a_series_of_weights_in_another_order_is_aligned_by_its_labels():
    data = school_data()
    frame = build_frame("y ~ x + (1 | room)", data, weights=data["w"].iloc[::-1])
    np.testing.assert_array_equal(frame.weights, data["w"])


@pytest.mark.parametrize("arguments, error, words", [
    (dict(weights="v"), UnknownColumnError, "weights = 'v'"), (dict(weights=[1, 2]), DataError, "2 values and the data have 60"), (dict(offset=3.0), ArgumentError, "single value"),
    (dict(weights="f"), DataError, "must be numeric"), (dict(subset="x"), DataError, "TRUE and FALSE"), (dict(weights="x"), DataError, "negative in .* first in row"),
    (dict(subset="x > 100"), DataError, "none of the 60 rows is left: subset 60"), (dict(weights="1 / (w - w)"), DataError, "infinite"), (dict(subset="s"), DataError, "must be logical"),
    (dict(na_action="pass"), ArgumentError, "omit"), (dict(contrasts={"z": "contr.sum"}), ArgumentError, "not in the fixed part"), (dict(contrasts={"x": "contr.sum"}), ArgumentError, "numeric"),
    (dict(contrasts={"f": "contr.none"}), ArgumentError, "contr.helmert"), (dict(contrasts={"f": np.eye(2)}), ArgumentError, "one row each"), (dict(contrasts="sum"), ArgumentError, "dict"),
    (dict(weights=np.ones((60, 2))), DataError, "shape"), (dict(subset="x >"), FormulaError, "ends after"),
])
def test_arguments_that_cannot_be_used_are_refused(arguments, error, words):
    with pytest.raises(error, match=words):
        build_frame("y ~ x + f + (1 | room)", school_data(), **arguments)


def test_a_row_of_weight_zero_is_as_good_as_absent():
    data = school_data()
    data.loc["row7", "w"] = 0.0
    data["f"] = ["a", "b"] * 30
    data.loc["row7", "f"] = "lonely"
    with pytest.warns(DroppedRowsWarning, match="1 rows have weight 0"):
        frame = build_frame("y ~ x + f + (1 | room)", data, weights="w")
    absent = build_frame("y ~ x + f + (1 | room)", data.drop(index="row7"), weights="w")
    assert frame.dropped == {"zero weight": 1}
    assert frame.x_names == absent.x_names
    np.testing.assert_array_equal(frame.X, absent.X)
    np.testing.assert_array_equal(frame.random[0].codes, absent.random[0].codes)


def test_missing_rows_are_counted_by_column_and_padding_is_remembered():
    data = with_value(with_value(school_data(), "x", 3, np.nan), "school", 5, np.nan)
    data = with_value(data, "f", 9, None)
    frame = build_frame("y ~ x + f + (1 | school)", data, subset="w < 1.9", na_action="na.exclude")
    used = (data["w"] < 1.9).to_numpy()
    expected = used & data[["x", "f", "school"]].notna().all(axis=1).to_numpy()
    np.testing.assert_array_equal(frame.rows, np.flatnonzero(expected))
    np.testing.assert_array_equal(frame.padded, np.flatnonzero(used))
    assert list(frame.padded_index) == list(data.index[used])
    assert sum(frame.missing.values()) == frame.dropped["missing values"] == used.sum() - expected.sum()
    assert frame.n_input == 60
    omitted = build_frame("y ~ x + f + (1 | school)", data)
    assert omitted.padded is None
    with pytest.raises(DataError, match="x in 1 row, f in 1 row, school in 1 row"):
        build_frame("y ~ x + f + (1 | school)", data, na_action="fail")


def test_without_dropped_rows_nothing_is_recorded():
    frame = build_frame("y ~ x + (1 | school)", school_data())
    assert frame.rows is None
    assert frame.dropped == frame.missing == {}


def test_rows_a_function_makes_missing_are_announced():
    data = school_data()
    with pytest.warns(DroppedRowsWarning, match=r"log\(x\) has no value in \d+ rows where its columns have one"):
        frame = build_frame("y ~ log(x) + (1 | room)", data)
    assert len(frame.y) == (data["x"] > 0).sum()


def test_transforms_learn_from_all_rows_as_in_r():
    data = school_data()
    frame = build_frame("y ~ scale(x) + (1 | room)", data, subset="w < 1.5")
    expected = (data["x"] - data["x"].mean()) / data["x"].std()
    np.testing.assert_allclose(frame.X[:, 1], expected[data["w"] < 1.5])


def test_scale_ignores_missing_values():
    data = with_value(school_data(), "x", 3, np.nan)
    frame = build_frame("y ~ scale(x) + poly(x, 2) + (1 | room)", data)
    assert len(frame.y) == 59
    assert frame.missing == {"x": 1}
    np.testing.assert_allclose([frame.X[:, 1].mean(), frame.X[:, 1].std(ddof=1)], [0, 1], atol=1e-12)
    np.testing.assert_allclose(frame.X[:, 2:].T @ frame.X[:, 2:], np.eye(2), atol=1e-12)


# --- refusals -------------------------------------------------------------


@pytest.mark.parametrize("formula, error, words", [
    ("y ~ x", FormulaError, "no random term"), ("~ x + (1 | school)", FormulaError, "no response"), ("y ~ z + (1 | school)", UnknownColumnError, "'z', which the data do not have"),
    ("y ~ x + (1 | scool)", UnknownColumnError, "Did you mean 'school'"), ("y ~ x + (1 | school) + (1 | school)", FormulaError, "both hold the intercept for school"),
    ("y ~ (x | school) + (1 | school)", FormulaError, "both hold the intercept"), ("y ~ (x | school) + (0 + x | school)", FormulaError, "slope of x"), ("y ~ (1 | s:school) + (1 | school:s)", FormulaError, "both hold"),
    ("y ~ (1 | school/s) + (1 | school)", FormulaError, "both hold"), ("f ~ x + (1 | school)", DataError, "must be numeric"), ("cbind(x, y) ~ w + (1 | school)", DataError, "2 columns"),
    ("y ~ y + (1 | school)", FormulaError, "also a predictor"), ("y ~ lag(x) + (1 | school)", FormulaError, r"lag\(\) is not known.*poly"), ("y ~ poly(x, 2, rawr = TRUE) + (1 | school)", FormulaError, "'rawr'"),
    ("y ~ poly(x, 70) + (1 | school)", FormulaError, "60 different values"), ("y ~ x + (0 | school)", FormulaError, "no columns"), ("y ~ I(f + 1) + (1 | school)", FormulaError, "needs numbers"),
    ("y ~ mean(x) + (1 | school)", FormulaError, "1 value and the data have 60 rows"), ("y ~ log(f) + (1 | school)", FormulaError, "needs numbers"), ("y ~ os::system(x) + (1 | school)", FormulaError, "not known"),
    ("y ~ relevel(f, 'q') + (1 | school)", DataError, "not a level"), ("y ~ scale(const) + (1 | school)", DataError, "constant"), ("y ~ one + (1 | school)", DataError, "'one' has 1 level"),
    ("y ~ x + (one | school)", DataError, "'one' has 1 level"), ("const ~ x + (1 | school)", DataError, "constant"), ("y ~ x + (1 | one)", DataError, "needs at least 2"),
    ("y ~ x + (1 | row)", DataError, "more rows than levels"), ("y ~ x + (x | pair)", DataError, r"60 random effects .* 60 rows"), ("y ~ cut(x, 1) + (1 | school)", FormulaError, "at least 2 intervals"),
    ("y ~ x + diag(x) + (1 | school)", FormulaError, "has no bar"), ("y ~ log(offset(x)) + (1 | school)", FormulaError, "offset"), ("y ~ x + (offset(x) | school)", FormulaError, "offset"),
    ("y ~ ns(x, 0) + (1 | school)", FormulaError, "too small"), ("y ~ factor(f, levels = c('a', 'a')) + (1 | school)", FormulaError, "once"), ("y ~ x < f + (1 | school)", FormulaError, "added with"),
])
def test_what_no_model_can_be_made_of_is_refused(formula, error, words):
    data = school_data()
    data["one"], data["const"], data["row"], data["pair"] = "only", 5.0, np.arange(60), np.arange(60) // 2
    with pytest.raises(error, match=words):
        build_frame(formula, data)


def test_a_variable_of_the_caller_is_not_a_column():
    z = np.arange(60)
    with pytest.raises(UnknownColumnError):
        build_frame("y ~ z + (1 | school)", school_data())
    assert len(z) == 60


@pytest.mark.parametrize("column, part", [("y", "the response"), ("x", "the fixed part"), ("w", "the model")])
def test_infinite_values_are_refused_by_column_and_row(column, part):
    data = with_value(school_data(), column, 4, np.inf)
    with pytest.raises(DataError, match=f"{part}.*'row4'"):
        build_frame("y ~ x + (1 | school)", data, offset="w")


def test_infinite_values_in_a_random_slope_are_refused():
    with pytest.raises(DataError, match="infinite in row 'row4'"):
        build_frame("y ~ 1 + (x | school)", with_value(school_data(), "x", 4, np.inf))


def test_no_complete_row_says_where_values_are_missing():
    data = school_data()
    data["x"] = np.where(np.arange(60) < 30, np.nan, data["x"])
    data["w"] = np.where(np.arange(60) >= 30, np.nan, data["w"])
    with pytest.raises(DataError, match="none of the 60 rows is complete; missing values: x in 30 rows, w in 30 rows"):
        build_frame("y ~ x + w + (1 | school)", data)
    with pytest.raises(DataError, match="0 rows"):
        build_frame("y ~ x + (1 | school)", data.iloc[:0])


def test_the_checks_of_size_can_be_left_out_and_know_families_without_scale():
    data = school_data()
    data["row"] = np.arange(60)
    assert len(build_frame("y ~ x + (1 | row)", data, skip_checks=("nobs.vs.nlev", "nobs.vs.nRE")).random[0].levels) == 60
    assert len(build_frame("y ~ x + (1 | row)", data, has_scale=False).random[0].levels) == 60


def test_a_binomial_response_is_two_levels_or_two_columns():
    data = school_data()
    data["n"] = 10.0
    binary = build_frame("s ~ x + (1 | school)", data, response_kind="binomial")
    np.testing.assert_array_equal(binary.y, (data["s"] == "v").astype(float))
    counts = build_frame("cbind(room, n - room) ~ x + (1 | school)", data, response_kind="binomial")
    np.testing.assert_array_equal(counts.y, np.column_stack([data["room"], 10 - data["room"]]))
    with pytest.raises(DataError, match="3 levels"):
        build_frame("f ~ x + (1 | school)", data, response_kind="binomial")


# --- what formulaic alone would do otherwise ------------------------------


def test_an_interaction_without_main_effects_keeps_all_its_columns():
    frame = build_frame("y ~ f:s + (1 | school)", school_data())
    assert frame.x_names == ["(Intercept)", "fa:su", "fb:su", "fc:su", "fa:sv", "fb:sv", "fc:sv"]


def test_rows_left_out_are_left_out_of_every_matrix():
    data = with_value(school_data(), "x", 3, np.nan)
    frame = build_frame("y ~ f + (x | school) + (1 | room)", data, weights="w", offset="w")
    arrays = [frame.y, frame.X, frame.weights, frame.offset, *(t.Z for t in frame.random), *(t.codes for t in frame.random)]
    assert {len(array) for array in arrays} == {59}


def test_matrices_are_fortran_ordered_doubles():
    frame = build_frame("y ~ x * f + (x | school)", school_data())
    for matrix in (frame.X, frame.random[0].Z):
        assert matrix.flags.f_contiguous
        assert matrix.dtype == np.float64


def test_columns_of_the_same_name_in_one_interaction_are_refused():
    data = school_data()
    data["f"], data["s"] = ["a", "a:sb"] * 30, ["b:sb", "b"] * 30
    with pytest.raises(DataError, match="two columns called"):
        build_frame("y ~ 0 + f:s + (1 | school)", data)


def test_building_is_silent_for_good_data():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        build_frame("y ~ x * f + s + (x | school) + (1 | room)", school_data())


def test_small_integer_types_do_not_overflow():
    data = school_data()
    data["g"] = np.repeat(np.array([-120, 5, 120], dtype=np.int8), 20)
    frame = build_frame("y ~ x + (1 | g)", data)
    assert frame.random[0].levels.tolist() == [-120, 5, 120]
    np.testing.assert_array_equal(frame.random[0].codes, np.repeat([0, 1, 2], 20))


@pytest.mark.parametrize("arguments", [dict(response_kind="counts"), dict(skip_checks=("nobs",)), dict(skip_checks="nobs.vs.nlev")])
def test_options_of_the_frame_are_checked(arguments):
    with pytest.raises(ArgumentError, match="must be"):
        build_frame("y ~ x + (1 | school)", school_data(), **arguments)


def test_missing_values_that_a_function_handles_do_not_cost_rows():
    data = with_value(school_data(), "x", 3, np.nan)
    assert len(build_frame("y ~ is.na(x) + (1 | room)", data).y) == 60


def test_a_variable_taken_out_again_still_costs_its_missing_rows_as_in_r():
    data = with_value(school_data(), "x", 3, np.nan)
    frame = build_frame("y ~ f + x - x + (1 | room)", data)
    assert frame.x_names == ["(Intercept)", "fb", "fc"]
    assert frame.missing == {"x": 1}


def test_a_truth_value_that_no_row_has_is_no_level():
    data = school_data().assign(flag=True)
    term = build_frame("y ~ x + (1 | flag)", data, skip_checks=("nlev.gtr.1",)).random[0]
    assert term.levels.tolist() == [True]
    assert set(term.codes) == {0}


def test_a_response_that_varies_only_in_its_last_row_varies():
    data = pd.DataFrame({"y": np.zeros(5000), "g": np.arange(5000) % 9})
    with pytest.raises(DataError, match="constant"):
        build_frame("y ~ 1 + (1 | g)", data)
    data.loc[4999, "y"] = 1.0
    assert len(build_frame("y ~ 1 + (1 | g)", data).y) == 5000
