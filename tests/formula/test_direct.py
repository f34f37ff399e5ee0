"""The direct path makes the columns that formulaic makes, and copies nothing that it can refer to."""
import pickle
import sys
import tracemalloc
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from school import school_data, with_value

from fastlmm_hlm.formula import build_frame
from fastlmm_hlm.formula.columns import DataColumns, copies_on_write
from fastlmm_hlm.formula.materialize import MatrixRecipe

# What a frame may need beside its arrays, in bytes: blocks of codes, tables of levels, objects.
SMALL_CHANGE = 1_000_000
LOOSE = ("nobs.vs.nlev", "nobs.vs.nRE")


def full_data():
    data = school_data()
    data["o"] = pd.Categorical(np.tile(["lo", "mid", "hi", "top"], 15), categories=["lo", "mid", "hi", "top"], ordered=True)
    data["c"] = pd.Categorical(np.tile(["q", "p", "r"], 20), categories=["r", "unused", "p", "q"])
    data["z"], data["k"] = np.linspace(0.5, 4, 60) ** 2, np.arange(60) % 9 - 4
    data["when"] = pd.date_range("2020-01-01", periods=60)
    return data


# --- the same columns as by formulaic -------------------------------------

FIXED = [
    "1", "0", "x", "0 + x", "x + z + k", "x * z", "x:z:k", "0 + x:z", "I(x^2) + log(z)", "scale(x) * z", "exp(x / 10):k", "when", "flag", "0 + flag", "flag:x",
    "f", "0 + f", "f - 1 + x", "f + s", "0 + f + s", "f * s", "f:s", "0 + f:s", "f * x", "f:x", "0 + f:x", "x * f * s", "f / s", "f %in% s", "(f + s + x)^2",
    "o", "0 + o", "o * x", "o:c", "c + o:x:z", "o:s:x:k", "c", "c * flag", "factor(k)", "factor(k) * x", "relevel(f, 'b') * z", "C(f, contr.sum) + s", "C(o, contr.helmert):x",
    "cut(x, 3) * s", "interaction(f, s)", "f + x - x", ". - when", "poly(x, 2) + z * f", "ns(z, 3):s + x", "cbind(x, z) * flag", "dummy(f) + k", "offset(z) + x",
]
BARS = ["(1 | school)", "(x | school)", "(0 + x + z | school)", "(f | school)", "(0 + f | room)", "(f * x | school)", "(o || school)", "(poly(x, 2) | school)"]


def both_ways(formula, data, monkeypatch, **arguments):
    direct = build_frame(formula, data, skip_checks=LOOSE, **arguments)
    monkeypatch.setattr(MatrixRecipe, "_prefers_formulaic", True)
    return direct, build_frame(formula, data, skip_checks=LOOSE, **arguments)


def assert_equal_frames(direct, other, data):
    assert direct.x_names == other.x_names
    assert direct.assign.tolist() == other.assign.tolist()
    assert str(direct.contrasts) == str(other.contrasts)
    np.testing.assert_array_equal(direct.X, other.X)
    for ours, theirs in zip(direct.random, other.random, strict=True):
        assert ours.names == theirs.names
        np.testing.assert_array_equal(ours.Z, theirs.Z)
    new = with_value(with_value(data.iloc[5:25], "x", 3, np.nan), "f", 7, None)
    for spec in (direct.spec, pickle.loads(pickle.dumps(direct.spec))):
        np.testing.assert_array_equal(spec.fixed(new), other.spec.fixed(new))
        for (codes, Z), (other_codes, other_Z) in zip(spec.random(new), other.spec.random(new), strict=True):
            np.testing.assert_array_equal(codes, other_codes)
            np.testing.assert_array_equal(Z, other_Z)


@pytest.mark.parametrize("fixed", FIXED)
def test_the_fixed_part_equals_formulaics(fixed, monkeypatch):
    data = full_data()
    assert_equal_frames(*both_ways(f"y ~ {fixed} + (1 | school)", data, monkeypatch), data)


@pytest.mark.parametrize("bar", BARS)
def test_the_random_part_equals_formulaics(bar, monkeypatch):
    data = full_data()
    assert_equal_frames(*both_ways(f"y ~ x * f + {bar}", data, monkeypatch), data)


@pytest.mark.parametrize("coding", ["contr.treatment", "contr.sum", "contr.helmert", "contr.poly", "contr.SAS", np.array([[1.0, 0.5], [0.0, -1.5], [-1.0, 1.0]])], ids=str)
def test_every_coding_equals_formulaics(coding, monkeypatch):
    data = full_data()
    assert_equal_frames(*both_ways("y ~ f * x + f:s + (f | school)", data, monkeypatch, contrasts={"f": coding}), data)


def test_rows_left_out_and_levels_they_take_along_equal_formulaics(monkeypatch):
    data = with_value(full_data(), "x", 4, np.nan)
    assert_equal_frames(*both_ways("y ~ c * x + o + (x | school)", data, monkeypatch, subset="o != 'top'", weights="w"), data[data["o"] != "top"])


def test_only_calls_of_several_columns_need_formulaic(monkeypatch):
    def refuse(*_):
        raise AssertionError("went through formulaic")

    monkeypatch.setattr(MatrixRecipe, "_by_formulaic", refuse)
    build_frame("y ~ scale(x) * f + o:c:z + flag + (f * x | school)", full_data(), skip_checks=LOOSE)
    with pytest.raises(AssertionError, match="formulaic"):
        build_frame("y ~ poly(x, 2) + (1 | school)", full_data())


# --- columns are referred to ----------------------------------------------


def test_a_numeric_column_is_one_array_wherever_it_occurs():
    frame = build_frame("y ~ x + k + poly(z, 2) + f + (x + k | school) + (0 + k + f | room)", full_data(), skip_checks=LOOSE)
    place = dict(zip(frame.x_names, frame.x_columns, strict=True))
    rooms, schools = ({n: c for n, c in zip(t.names, t.columns, strict=True)} for t in sorted(frame.random, key=lambda t: t.group))
    assert place["(Intercept)"] is None and schools["(Intercept)"] is None
    for name in ("x", "k"):
        assert schools[name] is place[name]
    assert rooms["k"] is place["k"]


def test_dummies_and_products_are_made_once():
    frame = build_frame("y ~ f * x + (f * x | school) + (0 + f | room)", full_data(), skip_checks=LOOSE)
    place = dict(zip(frame.x_names, frame.x_columns, strict=True))
    for term in frame.random:
        for name in set(term.names) - {"fa"}:
            assert term.columns[term.names.index(name)] is place[name]


def test_a_numeric_column_stays_one_array_when_rows_are_left_out():
    frame = build_frame("y ~ x + (x | school)", with_value(school_data(), "x", 3, np.nan))
    assert frame.random[0].columns[1] is frame.x_columns[1]
    assert len(frame.x_columns[1]) == 59


def memory_of(data, name):
    return data[name].to_numpy()


@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame, pa.table], ids=["pandas", "polars", "arrow"])
def test_floats_are_views_of_the_users_memory(make):
    if make is pd.DataFrame and not copies_on_write():
        pytest.skip("this pandas writes to shared memory, so its columns are copied")
    data = make({name: column.to_numpy() for name, column in school_data()[["y", "x", "w", "school"]].items()})
    frame = build_frame("y ~ x + (x | school)", data, weights="w", offset="w")
    for array, name in ((frame.y, "y"), (frame.x_columns[1], "x"), (frame.weights, "w"), (frame.offset, "w")):
        assert np.shares_memory(array, memory_of(data, name))
        assert array.flags.c_contiguous and array.dtype == np.float64
    assert len(frame.held) == 3


def test_integers_of_a_column_stay_the_users_own():
    if not copies_on_write():
        pytest.skip("this pandas writes to shared memory, so its columns are copied")
    data = school_data().assign(k=np.arange(60) % 9 - 4)
    frame = build_frame("y ~ k + k:x + I(k^2) + (k | school)", data)
    column = frame.x_columns[1]
    assert column.dtype == np.int64 and np.shares_memory(column, memory_of(data, "k"))
    assert frame.random[0].columns[1] is column
    assert all(other.dtype == np.float64 for other in frame.x_columns[2:])
    expected = data["k"].to_numpy().astype(float)
    assert frame.X.dtype == np.float64
    data["k"] *= 2
    data.loc[:, "k"] = 7
    np.testing.assert_array_equal(frame.X[:, 1:], np.column_stack([expected, expected**2, expected * data["x"]]))
    np.testing.assert_array_equal(frame.random[0].Z[:, 1], expected)


def test_integers_become_doubles_where_rows_are_left_out_or_memory_may_change():
    data = school_data().assign(k=np.arange(60) % 9 - 4)
    kept = build_frame("y ~ k + (1 | school)", data, subset="k > -4")
    assert kept.x_columns[1].dtype == np.float64 and kept.x_columns[1].min() == -3
    gaps = build_frame("y ~ k + (1 | school)", data.assign(k=data["k"].astype("Int64").mask(data["k"] == 0)))
    assert gaps.x_columns[1].dtype == np.float64
    columns = {name: data[name].to_numpy().copy() for name in ("y", "k", "school")}
    assert build_frame("y ~ k + (1 | school)", columns).x_columns[1].dtype == np.float64
    weights = build_frame("y ~ k + (1 | school)", data.assign(k=data["k"] + 5), weights="k").weights
    assert weights.dtype == np.float64


@pytest.mark.parametrize("name", ["pandas", "arrow", "polars"])
def test_wide_codes_are_used_as_they_are(name):
    if name == "pandas" and not copies_on_write():
        pytest.skip("this pandas writes to shared memory, so its codes are copied")
    codes, levels = np.random.default_rng(5).permutation(np.arange(80_000) % 40_000).astype(np.int32), [f"g{i:05d}" for i in range(40_000)]
    y = np.random.default_rng(6).normal(size=80_000)
    category = pd.Series(pd.Categorical.from_codes(codes, levels))
    if name == "pandas":
        data = pd.DataFrame({"y": y, "g": category})
        memory = data["g"].array.codes
    elif name == "arrow":
        data = pa.table({"y": y, "g": pa.DictionaryArray.from_arrays(pa.array(codes), levels)})
        memory = data["g"].chunk(0).indices.to_numpy()
    else:
        data, memory = pl.DataFrame({"y": y, "g": pl.Series(category.astype(str), dtype=pl.Enum(levels))}), None
    frame = build_frame("y ~ 1 + (1 | g)", data)
    np.testing.assert_array_equal(frame.random[0].codes, codes)
    assert frame.random[0].codes.dtype == np.int32
    assert list(frame.random[0].levels) == levels
    if memory is not None:
        assert np.shares_memory(frame.random[0].codes, memory)


def test_a_matrix_with_rows_in_sequence_gives_contiguous_columns():
    table = pd.DataFrame(np.random.default_rng(2).normal(size=(60, 3)), columns=["y", "x", "w"]).assign(school=school_data()["school"].to_numpy())
    frame = build_frame("y ~ x + w + (x | school)", table)
    assert all(column.flags.c_contiguous for column in (frame.y, *frame.x_columns[1:], frame.random[0].columns[1]))
    np.testing.assert_array_equal(frame.x_columns[1], table["x"])


@pytest.mark.parametrize("dtype", [">f8", "f4", "f2", ">i4", "u1", "i8", "?"])
def test_numbers_of_every_type_become_native_doubles(dtype):
    data = school_data()
    data["v"] = (np.arange(60) % 2).astype(dtype)
    column = build_frame("y ~ I(v * 1) + (1 | school)", data).x_columns[1]
    assert column.dtype == np.dtype(np.float64) and column.dtype.isnative
    np.testing.assert_array_equal(column, np.arange(60) % 2)


def test_building_needs_little_more_memory_than_the_codes():
    n = 200_000
    rng = np.random.default_rng(1)
    data = pd.DataFrame({"y": rng.normal(size=n), "x": rng.normal(size=n), "z": rng.normal(size=n), "school": rng.integers(1, 1000, n), "room": rng.integers(1, 40_000, n)})
    if not copies_on_write():
        data = pl.from_pandas(data)
    formula = "y ~ x + z + (1 + x | school) + (1 | room)"
    build_frame(formula, data)
    tracemalloc.start()
    frame = build_frame(formula, data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < sum(term.codes.nbytes for term in frame.random) + SMALL_CHANGE


# --- nothing that happens to the data later reaches the frame ---------------


def set_by_loc(data):
    data.loc[:, "x"] = 0.0
    data.loc[:, "w"] = 5.0
    data.loc[:, "y"] = 1.0


def set_one_cell(data):
    data.iloc[0, data.columns.get_loc("x")] = 1e6
    data.iat[1, data.columns.get_loc("y")] = 1e6
    data.at[data.index[2], "w"] = 1e6


def multiply_columns(data):
    data["x"] *= 2
    data["y"] += 1
    data["w"] -= 3


def update_in_place(data):
    data.update(pd.DataFrame({"x": 7.0, "w": 7.0}, index=data.index))
    data.replace({"y": {value: 0.0 for value in data["y"]}}, inplace=True)
    data.fillna({"x": 0.0}, inplace=True)


def write_categories(data):
    data.loc[:, "c"] = "p"
    data.loc[:, "school"] = 30
    data.loc[:, "f"] = "a"


def overwrite_rows(data):
    data.iloc[:30] = data.iloc[30:].to_numpy()


def write_through_a_series(data):
    for name in ("x", "y", "w"):
        data[name].iloc[:] = -1.0


def arrays_of(frame):
    return [frame.y, frame.X, frame.weights, frame.offset, *(t.codes for t in frame.random), *(t.Z for t in frame.random)]


@pytest.mark.parametrize("change", [set_by_loc, set_one_cell, multiply_columns, update_in_place, write_categories, overwrite_rows, write_through_a_series], ids=lambda f: f.__name__)
def test_a_changed_pandas_frame_leaves_the_arrays_alone(change):
    data = full_data()
    frame = build_frame("y ~ x + f + (x | school) + (1 | c)", data, weights="w", offset="w")
    before = [array.copy() for array in arrays_of(frame)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        change(data)
    for now, then in zip(arrays_of(frame), before, strict=True):
        np.testing.assert_array_equal(now, then)


def test_the_arrays_are_safe_even_when_only_they_are_kept():
    data = full_data()
    frame = build_frame("y ~ x + (x | school)", data)
    x, expected = frame.x_columns[1][5:], frame.x_columns[1][5:].copy()
    del frame
    data.loc[:, "x"] = 0.0
    np.testing.assert_array_equal(x, expected)


def test_a_series_taken_before_the_fit_cannot_change_it():
    data = full_data()
    x = data["x"]
    frame = build_frame("y ~ x + (1 | school)", data)
    expected = frame.x_columns[1].copy()
    x.iloc[:] = 0.0
    x += 1
    np.testing.assert_array_equal(frame.x_columns[1], expected)


def test_a_series_of_weights_may_change_afterwards():
    data = full_data()
    weights = data["w"].copy()
    frame = build_frame("y ~ x + (1 | school)", data, weights=weights, offset=weights)
    weights.iloc[:] = 9.0
    np.testing.assert_array_equal(frame.weights, data["w"])
    np.testing.assert_array_equal(frame.offset, data["w"])


def test_arrays_of_a_dict_and_of_arguments_may_change_afterwards():
    data = {name: column.to_numpy().copy() for name, column in school_data()[["y", "x", "w", "school"]].items()}
    weights = np.linspace(1, 2, 60)
    frame = build_frame("y ~ x + (x | school)", data, weights=weights, offset=data["w"])
    before = [array.copy() for array in arrays_of(frame)]
    assert frame.random[0].columns[1] is frame.x_columns[1]
    for array in (*data.values(), weights):
        array[:] = 1
    for now, then in zip(arrays_of(frame), before, strict=True):
        np.testing.assert_array_equal(now, then)


def test_a_series_inside_a_dict_may_change_afterwards():
    data = dict(full_data()[["y", "x", "school"]].items())
    frame = build_frame("y ~ x + (1 | school)", data)
    expected = frame.x_columns[1].copy()
    data["x"].iloc[:] = 0.0
    np.testing.assert_array_equal(frame.x_columns[1], expected)


def test_a_polars_frame_may_change_afterwards():
    data = pl.DataFrame({"y": np.random.default_rng(3).normal(size=12).tolist(), "x": [float(i) for i in range(12)], "g": [1, 2, 3] * 4})
    frame = build_frame("y ~ x + (1 | g)", data)
    data[0, "x"] = 99.0
    np.testing.assert_array_equal(frame.x_columns[1], np.arange(12.0))


def test_pandas_before_copy_on_write_is_copied(monkeypatch):
    monkeypatch.setattr(sys.modules[DataColumns.__module__], "copies_on_write", lambda: False)
    data = full_data()
    frame = build_frame("y ~ x + (x | school)", data)
    assert not np.shares_memory(frame.x_columns[1], data["x"].to_numpy())
    assert frame.x_columns[1] is frame.random[0].columns[1]
    assert frame.held == []


# --- one look at each column ----------------------------------------------


@pytest.mark.parametrize("huge", [1e308, -1e308])
def test_huge_numbers_are_neither_missing_nor_infinite(huge):
    data = school_data()
    data["x"] = np.where(np.arange(60) < 30, huge, huge / 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        frame = build_frame("y ~ x + (1 | school)", data)
    assert frame.rows is None
    assert frame.x_columns[1].max() == data["x"].max()


def test_infinities_of_both_signs_are_refused_although_their_sum_is_not_infinite():
    data = school_data()
    data.loc["row3", "x"], data.loc["row9", "x"] = np.inf, -np.inf
    with pytest.raises(ValueError, match="'x' in the fixed part is infinite in row 'row3' and 1 more"):
        build_frame("y ~ x + (1 | school)", data)


def test_each_column_of_the_data_is_read_once():
    data, asked = school_data(), []

    class Counting(pd.DataFrame):
        def __getitem__(self, key):
            asked.append(key)
            return super().__getitem__(key)

    build_frame("y ~ x * f + log(w) + (x | school) + (1 | f:school)", Counting(data), weights="w")
    assert sorted(asked) == ["f", "school", "w", "x", "y"]


def test_columns_of_a_dict_that_are_not_used_are_not_read():
    data = {name: column.to_numpy() for name, column in school_data().items()} | {"odd": np.zeros((60, 2)), "junk": [object()] * 60}
    assert build_frame("y ~ x + (1 | school)", data).X.shape == (60, 2)
    with pytest.raises(ValueError, match=r"'odd' has shape \(60, 2\)"):
        DataColumns(data).column("odd")
