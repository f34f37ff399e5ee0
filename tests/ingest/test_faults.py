"""What goes wrong with files: a clear sentence each time, and nothing left behind."""

import errno
import os
import threading

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from blocks_of_school import cut, school_data

from fastlmm_hlm import lmer
from fastlmm_hlm.errors import ArgumentError, DataError, FastlmmError, RowsNotKeptError, UnknownColumnError

DATA, _ = school_data()
FORMULA = "y ~ x + (1 | school)"
# The mean of x must be known before anything is summed.
TWICE = "y ~ scale(x) + (1 | school)"


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "scores.parquet"
    DATA.to_parquet(path, index=False, row_group_size=100)
    return path


def refused(data, words, formula=FORMULA):
    before = threading.active_count()
    with pytest.raises(DataError) as error:
        lmer(formula, data)
    for word in [words] if isinstance(words, str) else words:
        assert word in str(error.value)
    assert threading.active_count() <= before


def test_no_such_file(tmp_path):
    refused(tmp_path / "missing.parquet", ["there is no file", "missing.parquet", "check the path"])
    refused(str(tmp_path / "*.parquet"), "no file matches")
    refused(tmp_path, "holds no files")


def test_a_truncated_file(path):
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    refused(path, ["scores.parquet", "Is the file complete?"])


def test_a_corrupt_page(path):
    data = bytearray(path.read_bytes())
    metadata = pq.read_metadata(path).row_group(3).column(2)
    start = metadata.dictionary_page_offset or metadata.data_page_offset
    data[start : start + 60] = b"\xff" * 60
    path.write_bytes(data)
    refused(path, ["cannot be read to its end", "Is the file complete"])


def test_a_file_that_is_something_else(tmp_path):
    path = tmp_path / "scores.parquet"
    path.write_text("not a table")
    refused(path, "scores.parquet")


def test_files_with_different_types(tmp_path):
    DATA[:300].to_parquet(tmp_path / "a.parquet")
    DATA[300:].astype({"x": str}).to_parquet(tmp_path / "b.parquet")
    refused(tmp_path, ["column 'x' is text in", "b.parquet", "numeric in", "a.parquet"])


def test_a_file_that_lacks_a_column(tmp_path):
    DATA[:300].to_parquet(tmp_path / "a.parquet")
    DATA[300:].drop(columns="x").to_parquet(tmp_path / "b.parquet")
    refused(tmp_path, ["column 'x' is not in", "b.parquet"])


def test_files_whose_numbers_have_other_widths_are_read(tmp_path):
    DATA[:300].to_parquet(tmp_path / "a.parquet")
    DATA[300:].astype({"room": "int32"}).to_parquet(tmp_path / "b.parquet")
    fit = lmer("y ~ x + (1 | room)", tmp_path)
    assert fit.REMLcrit() == pytest.approx(lmer("y ~ x + (1 | room)", DATA).REMLcrit(), abs=1e-9)


def test_a_column_that_turns_to_text_half_way(tmp_path):
    refused(lambda: iter([DATA[:300], DATA[300:].astype({"x": str})]), "column 'x' is numeric in the first rows and text further on")
    path = tmp_path / "scores.csv"
    lines = ["y,x,school"] + [f"{i % 7}.5,{i},{i % 9}" for i in range(1_500_000)]
    lines[-1] = "1.5,absent,3"
    path.write_text("\n".join(lines))
    refused(path, ["scores.csv", "absent"])


def test_a_missing_column(path):
    with pytest.raises(UnknownColumnError, match="Did you mean 'school'"):
        lmer("y ~ x + (1 | scool)", path)
    refused(lambda: iter([DATA[:300], DATA[300:].drop(columns="x")]), "the column 'x', which the data do not have")


def test_an_empty_source(tmp_path):
    DATA[:0].to_parquet(tmp_path / "none.parquet")
    refused(tmp_path / "none.parquet", "0 rows")
    refused(lambda: iter([]), "gave no rows")
    refused(lambda: 3, "must give an iterable")


def test_a_source_that_changes_between_the_passes(path):
    calls = []

    def growing():
        calls.append(1)
        return cut(DATA[: 500 + 20 * len(calls)], [100])

    refused(growing, "second pass found", TWICE)

    def renamed():
        calls.append(1)
        return cut(DATA.assign(school=DATA["school"] + str(len(calls) // 20)), [100])

    calls = [1] * 17
    refused(renamed, ["grouping factor 'school'", "changed between the two"], TWICE)


def test_a_file_that_is_rewritten_while_it_is_read(path, monkeypatch):
    from fastlmm_hlm.ingest import passes

    made = passes.Scan.finish

    def rewritten(scan):
        DATA.assign(y=DATA["y"] + 1).to_parquet(path, index=False)
        return made(scan)

    monkeypatch.setattr(passes.Scan, "finish", rewritten)
    refused(path, "was changed while it was read")


def test_ctrl_c_ends_the_reading(path, monkeypatch):
    from fastlmm_hlm.ingest import passes

    before, fit = threading.active_count(), lmer(FORMULA, path)
    seen = []

    def interrupted(self, block):
        seen.append(1)
        raise KeyboardInterrupt

    monkeypatch.setattr(passes.Products, "update", interrupted)
    with pytest.raises(KeyboardInterrupt):
        lmer(FORMULA, path)
    assert seen and threading.active_count() == before and fit._rows is None


# --- writing ------------------------------------------------------------------------------------


def test_a_full_disk_leaves_nothing_behind(path, tmp_path, monkeypatch):
    fit = lmer(FORMULA, path)
    out = tmp_path / "results"
    out.mkdir()

    def full(self, table, *rest, **more):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pq.ParquetWriter, "write_table", full)
    with pytest.raises(DataError, match="cannot be written.*No space left"):
        fit.stream("fitted", out=out / "fitted.parquet")
    assert os.listdir(out) == []


def test_a_real_full_disk_is_said_so(path):
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full here")
    from fastlmm_hlm.ingest.newfile import disk_errors

    with pytest.raises(DataError, match="cannot be written"), disk_errors("/dev/full", "stream"), pq.ParquetWriter("/dev/full", pa.schema([("a", pa.int64())])) as writer:
        writer.write_table(pa.table({"a": np.arange(100_000)}))


def test_ctrl_c_while_writing_leaves_nothing_behind_and_an_old_file_as_it_was(path, tmp_path, monkeypatch):
    fit = lmer(FORMULA, path)
    out = tmp_path / "results"
    out.mkdir()
    fit.stream("fitted", out=out / "fitted.parquet")
    old = (out / "fitted.parquet").read_bytes()
    write = pq.ParquetWriter.write_table

    def interrupted(self, table, *rest, **more):
        write(self, table, *rest, **more)
        raise KeyboardInterrupt

    monkeypatch.setattr(pq.ParquetWriter, "write_table", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fit.stream("fitted", out=out / "fitted.parquet")
    assert os.listdir(out) == ["fitted.parquet"] and (out / "fitted.parquet").read_bytes() == old


def test_a_folder_that_does_not_exist(path, tmp_path):
    with pytest.raises(DataError, match="cannot be written"):
        lmer(FORMULA, path).stream("fitted", out=tmp_path / "nowhere" / "fitted.parquet")


def test_a_source_that_changed_after_the_fit(path, tmp_path):
    fit = lmer(FORMULA, path)
    DATA[:-50].to_parquet(path, index=False)
    with pytest.raises(DataError, match="550 rows now"):
        fit.stream("fitted", out=tmp_path / "fitted.parquet")
    assert not (tmp_path / "fitted.parquet").exists()
    path.unlink()
    with pytest.raises(DataError):
        fit.summary()


def test_wrong_requests_for_a_stream_are_refused(path, tmp_path):
    fit, out = lmer(FORMULA, path), tmp_path / "out.parquet"
    for options, words in (({"what": "fits"}, "not known"), ({"what": "residuals", "type": "partial"}, "not known"), ({"what": "predict", "re_form": "~(1|school)"}, "re_form")):
        with pytest.raises(ArgumentError, match=words):
            fit.stream(**options, out=out)
    with pytest.raises(UnknownColumnError, match="has no column 'shool'"):
        fit.stream("fitted", out=out, columns=["shool"])
    with pytest.raises(RowsNotKeptError, match="fit.fitted"):
        lmer(FORMULA, DATA).stream("fitted", out=out)


def test_results_that_need_rows_say_what_to_do(path):
    fit = lmer(FORMULA, path)
    for function in (fit.fitted, fit.residuals, fit.hatvalues, lambda: fit.getME("X"), fit.refit):
        with pytest.raises(RowsNotKeptError, match="fit.stream"):
            function()
    assert issubclass(RowsNotKeptError, FastlmmError) and isinstance(DATA, pd.DataFrame)
