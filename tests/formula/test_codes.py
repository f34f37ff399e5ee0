"""Level codes: the definition by np.unique, on more rows than one block."""
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from fastlmm_hlm.formula import build_frame
from fastlmm_hlm.formula.codes import BLOCK, factorize_sorted, integer_codes, look_up, present_levels, used_levels

MANY = 2 * BLOCK + 17


@pytest.mark.parametrize("n", [0, 1, 5, BLOCK, MANY])
@pytest.mark.parametrize("low, high, dtype", [(0, 3, "i8"), (-100, 100, "i1"), (5, 40_000, "i4"), (2**62, 2**62 + 50, "i8"), (2**63, 2**63 + 9, "u8"), (-(10**15), 10**15, "i8"), (0, 200, "u1")])
def test_integer_codes_number_the_sorted_values(n, low, high, dtype):
    values = np.random.default_rng(1).integers(low, high, n, dtype=np.dtype(dtype).type)
    distinct, expected = np.unique(values, return_inverse=True)
    codes, levels = integer_codes(values)
    assert codes.dtype == np.int32
    np.testing.assert_array_equal(codes, expected)
    np.testing.assert_array_equal(levels, distinct)
    assert levels.dtype == values.dtype


@pytest.mark.parametrize("code_type", [np.int8, np.int16, np.int32, np.int64])
def test_look_up_takes_the_last_entry_for_minus_one(code_type):
    codes = np.random.default_rng(2).integers(-1, 4, MANY).astype(code_type)
    table = np.array([3.0, 1.0, 4.0, 1.5, np.nan])
    np.testing.assert_array_equal(look_up(table, codes), table[codes])


def test_look_up_can_overwrite_the_codes():
    codes = np.random.default_rng(3).integers(0, 50, MANY).astype(np.int32)
    table = np.random.default_rng(4).permutation(50).astype(np.int32)
    expected = table[codes]
    assert look_up(table, codes, out=codes) is codes
    np.testing.assert_array_equal(codes, expected)


def test_levels_that_occur_only_in_the_last_rows_are_present():
    codes = np.zeros(MANY, dtype=np.int8)
    codes[-1] = 2
    assert present_levels(codes, 4).tolist() == [True, False, True, False]


def test_codes_are_the_same_array_when_every_level_is_used():
    codes = np.arange(MANY, dtype=np.int32) % 7
    same, levels = used_levels(codes, pd.Index(range(7)))
    assert same is codes
    again, fewer = used_levels(codes, pd.Index(range(9)))
    assert list(fewer) == list(levels) == list(range(7))
    np.testing.assert_array_equal(again, codes)


def test_factorize_sorted_sorts_text_by_code_points_and_marks_missing_rows():
    codes, levels = factorize_sorted(np.array(["b", None, "B", "é", "a"], dtype=object))
    assert list(levels) == ["B", "a", "b", "é"]
    assert codes.tolist() == [2, -1, 0, 3, 1]


# --- dictionaries of other libraries --------------------------------------

TEXTS = np.random.default_rng(7).choice(["mid", "low", "zz", "B"], 200)
Y = np.random.default_rng(8).normal(size=200)


def chunked(*parts):
    return pa.chunked_array([part.dictionary_encode() for part in parts])


@pytest.mark.parametrize("column", [
    pa.array(TEXTS.tolist()), pa.chunked_array([TEXTS[:70].tolist(), TEXTS[70:].tolist()]), pl.Series(TEXTS.tolist()), pl.Series(TEXTS.tolist(), dtype=pl.Categorical),
], ids=["arrow", "chunks", "polars text", "polars categorical"])
def test_text_of_other_libraries_gets_sorted_levels(column):
    data = pl.DataFrame({"y": Y, "g": column}) if isinstance(column, pl.Series) else pa.table({"y": Y, "g": column})
    term = build_frame("y ~ 1 + (1 | g)", data).random[0]
    assert list(term.levels) == ["B", "low", "mid", "zz"]
    np.testing.assert_array_equal(term.levels[term.codes], TEXTS)


@pytest.mark.parametrize("column", [
    pa.array(TEXTS.tolist()).dictionary_encode(), chunked(pa.array(TEXTS[:70].tolist()), pa.array(TEXTS[70:].tolist())),
    pa.DictionaryArray.from_arrays(pa.array(pd.Index(["zz", "B", "never", "low", "mid"]).get_indexer(TEXTS).astype(np.uint8)), ["zz", "B", "never", "low", "mid"]),
], ids=["one", "chunks", "unsigned, one unused"])
def test_arrow_dictionaries_are_categories_in_their_own_order(column):
    data = pa.table({"y": Y, "g": column})
    order = [level for level in (column.dictionary if isinstance(column, pa.DictionaryArray) else column.unify_dictionaries().chunk(0).dictionary).to_pylist() if level != "never"]
    term = build_frame("y ~ 1 + (1 | g)", data).random[0]
    assert list(term.levels) == order
    np.testing.assert_array_equal(term.levels[term.codes], TEXTS)


def test_an_arrow_dictionary_that_holds_a_level_twice_is_put_right():
    codes = np.arange(200) % 3
    data = pa.table({"y": Y, "g": pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int8)), ["a", "b", "a"])})
    term = build_frame("y ~ 1 + (1 | g)", data).random[0]
    assert list(term.levels) == ["a", "b"]
    np.testing.assert_array_equal(term.codes, codes % 2)


def test_missing_levels_of_dictionaries_cost_their_rows():
    texts = TEXTS.astype(object)
    texts[[3, 50]] = None
    for data in (pa.table({"y": Y, "g": pa.array(texts.tolist()).dictionary_encode()}), pl.DataFrame({"y": Y, "g": pl.Series(texts.tolist(), dtype=pl.Enum(["B", "low", "mid", "zz"]))}), pl.DataFrame({"y": Y, "g": pl.Series(texts.tolist(), dtype=pl.Categorical)})):
        frame = build_frame("y ~ 1 + (1 | g)", data)
        assert frame.missing == {"g": 2}
        np.testing.assert_array_equal(frame.random[0].levels[frame.random[0].codes], np.delete(TEXTS, [3, 50]))


@pytest.mark.parametrize("data", [
    pl.DataFrame({"y": Y, "g": [[1, 2]] * 200}).with_columns(pl.col("g").list.to_array(2)), pa.table({"y": Y, "g": pa.DictionaryArray.from_arrays(pa.array([0] * 200), pa.array([[1]]))}),
], ids=["polars arrays", "arrow dictionary of lists"])
def test_columns_of_several_values_per_row_are_refused(data):
    with pytest.raises(ValueError, match="column 'g'"):
        build_frame("y ~ 1 + (1 | g)", data)
