"""Every adapter gives the fit in memory, from a small file."""

import builtins
import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.dataset as ds
import pyarrow.feather
import pyarrow.parquet as pq
import pytest
from blocks_of_school import cut, school_data

from fastlmm_hlm import lmer, lmerControl
from fastlmm_hlm.errors import ArgumentError, DataError, FastlmmError
from fastlmm_hlm.ingest.readahead import read_ahead
from fastlmm_hlm.ingest.source import is_source, open_source

pytestmark = pytest.mark.filterwarnings("ignore::fastlmm_hlm.errors.SingularFitWarning")

_, GAPS = school_data()
GAPS = GAPS.drop(columns=["rank", "day"])
FORMULA = "y ~ x + track + grade + (1 | school) + (1 | room)"
MEMORY = lmer(FORMULA, GAPS)
SMALL = lmerControl(block_rows=64)
SAME_CRITERION = 1e-9


def check(data, expected=MEMORY, formula=FORMULA):
    fit = lmer(formula, data, control=SMALL)
    assert fit.REMLcrit() == pytest.approx(expected.REMLcrit(), rel=0, abs=SAME_CRITERION)
    assert list(fit.fixef().index) == list(expected.fixef().index)
    for name, effects in expected.ranef(condVar=False).items():
        assert list(fit.ranef(condVar=False)[name].index) == list(effects.index)
    assert (int(fit.nobs), fit._missing) == (int(expected.nobs), expected._missing)
    return fit


@pytest.fixture
def parquet(tmp_path):
    path = tmp_path / "scores.parquet"
    GAPS.to_parquet(path, index=False, row_group_size=100)
    return path


def test_parquet_by_path_and_text(parquet):
    check(parquet)
    assert check(str(parquet))._source.n_rows == len(GAPS)


def test_parquet_with_old_fashioned_and_large_text(tmp_path):
    table = pa.Table.from_pandas(GAPS, preserve_index=False)
    for kind in (pa.string(), pa.large_string()):
        where = table.schema.get_field_index("school")
        pq.write_table(table.set_column(where, "school", table["school"].cast(kind)), tmp_path / "t.parquet")
        check(tmp_path / "t.parquet")


def test_a_folder_a_pattern_and_a_list_of_files(tmp_path):
    paths = []
    for i, block in enumerate(cut(GAPS, [250])):
        paths.append(tmp_path / f"part{i}.parquet")
        block.to_parquet(paths[-1], index=False)
    check(tmp_path)
    check(str(tmp_path / "part*.parquet"))
    check(paths)


def test_folders_with_keys(tmp_path):
    table = pa.Table.from_pandas(GAPS.astype({"grade": str}), preserve_index=False)
    pq.write_to_dataset(table, tmp_path / "by_year", partition_cols=["year"])
    expected = lmer("y ~ x + year + (1 | school)", GAPS)
    check(tmp_path / "by_year", expected, "y ~ x + year + (1 | school)")


def test_a_dataset_with_a_filter(parquet):
    recent = ds.dataset(parquet).filter(ds.field("year") >= 2013)
    check(recent, lmer(FORMULA, GAPS[GAPS["year"] >= 2013]))
    check(ds.dataset(parquet))


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".tsv"])
def test_csv(tmp_path, suffix):
    path = tmp_path / f"scores{suffix}"
    plain = GAPS.astype({"grade": object})
    plain.to_csv(path, index=False, sep="\t" if suffix == ".tsv" else ",")
    check(path, lmer(FORMULA, plain))


@pytest.mark.parametrize("suffix", [".feather", ".arrow"])
def test_feather_and_ipc(tmp_path, suffix):
    path = tmp_path / f"scores{suffix}"
    table = pa.Table.from_pandas(GAPS, preserve_index=False)
    if suffix == ".feather":
        pyarrow.feather.write_feather(table, path)
    else:
        with pa.ipc.new_file(path, table.schema) as writer:
            writer.write_table(table, max_chunksize=100)
    check(path)


def test_functions_that_give_blocks(parquet):
    def frames():
        return cut(GAPS, [77])

    def reader():
        return ds.dataset(parquet).scanner(batch_size=50).to_reader()

    check(frames)
    check(reader)
    check(lambda: pa.Table.from_pandas(GAPS))
    check(lambda: GAPS)


def test_polars_lazy_frames(parquet):
    pl = pytest.importorskip("polars")
    frame = pl.scan_parquet(parquet).with_columns(pl.col("grade").cast(pl.String), pl.col("school").cast(pl.String))
    check(frame, lmer(FORMULA, GAPS.astype({"grade": object})))


def test_duckdb_relations(parquet):
    duckdb = pytest.importorskip("duckdb")
    check(duckdb.sql(f"select * exclude (grade), cast(grade as text) as grade from '{parquet}'"), lmer(FORMULA, GAPS.astype({"grade": object})))
    check(duckdb.sql(f"select y, x, school from '{parquet}' where year > 2012"), lmer("y ~ x + (1 | school)", GAPS[GAPS["year"] > 2012]), "y ~ x + (1 | school)")


def test_only_the_columns_of_the_formula_are_read(parquet):
    blocks = open_source(parquet).blocks(["y", "school"], 64)
    assert next(blocks).column_names == ["y", "school"]


def test_text_comes_as_a_dictionary_and_is_text(parquet):
    fit = lmer("y ~ x + track + (1 | school)", parquet)
    assert fit._spec.levels["track"] == ("C", "a", "b") and list(fit.fixef().index)[2:] == ["tracka", "trackb"]
    assert pa.types.is_dictionary(next(open_source(parquet).blocks(["track"], 64)).schema.field("track").type)


def test_what_can_be_read_once_is_refused():
    for once in (cut(GAPS, [50]), pa.Table.from_pandas(GAPS).to_reader()):
        with pytest.raises(ArgumentError, match="read once"):
            lmer(FORMULA, once)


def test_data_in_memory_are_no_source():
    assert not any(map(is_source, (GAPS, pa.Table.from_pandas(GAPS), {"y": [1.0]}, None, [1, 2], np.zeros(3))))


@pytest.mark.parametrize("missing, data", [("pyarrow", "scores.parquet")])
def test_a_library_that_is_not_installed_is_named(monkeypatch, missing, data):
    real = builtins.__import__

    def absent(name, *rest, **more):
        if name.split(".")[0] == missing:
            raise ImportError(name)
        return real(name, *rest, **more)

    for name in [name for name in sys.modules if name.split(".")[0] == missing]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(FastlmmError, match=r"pip install 'fastlmm_hlm\[arrow\]'"):
        lmer(FORMULA, data)


def test_a_progress_bar_counts_the_rows(parquet, capsys):
    lmer("y ~ scale(x) + (1 | school)", parquet, progress=True)
    said = capsys.readouterr().err
    assert "first pass" in said and "second pass" in said and "600/600" in said


def test_nothing_is_shown_unless_asked(parquet, capsys):
    lmer(FORMULA, parquet)
    assert capsys.readouterr() == ("", "")


def test_reading_ahead_keeps_the_order_and_its_bounds():
    class Block:
        def __init__(self, number):
            self.number, self.nbytes = number, 10

    made = []

    def blocks():
        for number in range(100):
            made.append(number)
            yield Block(number)

    seen = []
    for block in read_ahead(blocks(), 30):
        seen.append(block.number)
        assert len(made) - len(seen) <= 5        # three wait, one is at work, one is waiting for room
    assert seen == list(range(100))


def test_reading_ahead_hands_errors_over_and_ends_with_its_reader():
    import threading

    def broken():
        yield pa.table({"a": [1]})
        raise OSError("no such disk")

    before = threading.active_count()
    blocks = read_ahead(broken(), 1000)
    assert next(blocks).num_rows == 1
    with pytest.raises(OSError, match="no such disk"):
        next(blocks)
    endless = read_ahead(iter(lambda: pa.table({"a": [1]}), None), 100)
    next(endless)
    endless.close()
    assert threading.active_count() == before


def test_the_frame_of_a_source_is_not_kept(parquet):
    fit = lmer(FORMULA, parquet)
    assert fit._rows is None and isinstance(fit._source.description, str)
    with pytest.raises(DataError, match="ends in none of"):
        lmer(FORMULA, __file__)


def test_pandas_frames_of_other_types_agree(tmp_path):
    """Whole numbers in one block and fractions in the next are numbers."""
    data = GAPS.assign(x=np.round(GAPS["x"].fillna(50)))
    blocks = [data[:300].astype({"x": int}), data[300:]]
    check(lambda: iter(blocks), lmer(FORMULA, data))
    assert isinstance(pd.concat(blocks), pd.DataFrame)
