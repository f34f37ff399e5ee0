"""Faults as they really come: signals, full disks, damaged pages, files that are replaced, threads that die."""

import gc
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
import weakref

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from blocks_of_school import school_data

from fastlmm_hlm import lmer
from fastlmm_hlm.errors import DataError, FastlmmError, UnknownColumnError

DATA, _ = school_data()
FORMULA = "y ~ x + (1 | school)"
ROOT = pathlib.Path(__file__).resolve().parents[2]


def said(data, formula=FORMULA, error=DataError):
    with pytest.raises(error) as raised:
        lmer(formula, data)
    return str(raised.value)


def child(code, **options):
    """Start a Python process with this program."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


# --- signals ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """Rows that take a child some seconds in small blocks."""
    path = tmp_path_factory.mktemp("large") / "scores.parquet"
    rows = pd.concat([DATA[["y", "x", "school"]]] * 500, ignore_index=True)
    rows["x"] += np.random.default_rng(1).normal(size=len(rows))            # fitted values that no dictionary makes short
    rows.to_parquet(path, row_group_size=50_000)
    return path


@pytest.mark.parametrize("work", ["fit", "stream"])
def test_a_real_ctrl_c_ends_a_process_and_leaves_no_file(large, tmp_path, work):
    out = tmp_path / "results"
    out.mkdir()
    process = child(f"""
        import signal, threading
        signal.signal(signal.SIGINT, signal.default_int_handler)        # a shell's background jobs ignore it
        from fastlmm_hlm import lmer, lmerControl
        from fastlmm_hlm.ingest import passes
        control = lmerControl(block_rows=2000)
        fit = lmer({FORMULA!r}, {str(large)!r}) if {work!r} == "stream" else None
        read, seen = passes._iterate, []

        def slowly(source, columns, block_rows, ahead):
            for block in read(source, columns, 2000, ahead):
                seen.append(1)
                if len(seen) == 20:
                    print("reading", flush=True)
                yield block
                threading.Event().wait(0.005)

        passes._iterate = slowly
        if fit is None:
            lmer({FORMULA!r}, {str(large)!r}, control=control)
        else:
            fit.stream("fitted", out={str(out / "fitted.parquet")!r})
        print("finished", flush=True)
    """, cwd=tmp_path, start_new_session=True)
    try:
        assert process.stdout.readline().strip() == "reading"
        if work == "stream":
            assert [name for name in os.listdir(out) if name.endswith(".part")]
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=20)
    finally:
        process.kill()
    assert process.returncode in (-signal.SIGINT, 130) and errors.strip().endswith("KeyboardInterrupt") and "finished" not in rest
    assert os.listdir(out) == [] and os.listdir(tmp_path) == ["results"]


# --- full disks ---------------------------------------------------------------------------------------


def test_a_limit_on_the_size_of_files_leaves_nothing_behind(large, tmp_path):
    """The kernel refuses to write on, as on a full disk, in a process of its own."""
    out = tmp_path / "fitted.parquet"
    process = child(f"""
        import resource, signal
        from fastlmm_hlm import lmer
        fit = lmer({FORMULA!r}, {str(large)!r})
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
        fit.stream("fitted", out={str(out)!r})
    """)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1 and "DataError: stream: " in errors and "cannot be written" in errors and "File too large" in errors
    assert os.listdir(tmp_path) == []


def test_a_small_disk_that_is_full_leaves_nothing_behind(large):
    folder = tempfile.mkdtemp()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", folder], capture_output=True)
    if mounted.returncode:
        os.rmdir(folder)
        pytest.skip(f"no rights to mount a small disk here: {mounted.stderr.decode().strip()}")
    try:
        fit = lmer(FORMULA, large)
        with pytest.raises(DataError, match="cannot be written.*No space left.*Nothing was left"):
            fit.stream("fitted", out=pathlib.Path(folder) / "fitted.parquet")
        assert os.listdir(folder) == []
    finally:
        subprocess.run(["umount", folder], check=True)
        os.rmdir(folder)


# --- damaged Parquet ----------------------------------------------------------------------------------


@pytest.fixture
def pages(tmp_path):
    """A folder of two files with checksums, and where the third row group of a column's data begins in the second."""
    for name, rows in (("a", DATA[:300]), ("b", DATA[300:])):
        pq.write_table(pa.Table.from_pandas(rows), tmp_path / f"{name}.parquet", row_group_size=100, write_page_checksum=True, use_dictionary=["school"])
    metadata = pq.read_metadata(tmp_path / "b.parquet")
    number = {metadata.schema.column(i).name: i for i in range(metadata.num_columns)}
    return tmp_path, lambda column: metadata.row_group(2).column(number[column])


@pytest.mark.parametrize("column", ["y", "x", "school"])
def test_a_page_with_wrong_bytes_names_its_file_among_others(pages, column):
    folder, where = pages
    path = folder / "b.parquet"
    data, chunk = bytearray(path.read_bytes()), where(column)
    middle = chunk.data_page_offset + chunk.total_compressed_size // 2
    data[middle : middle + 8] = bytes(b ^ 0x55 for b in data[middle : middle + 8])
    path.write_bytes(data)
    words = said(folder)
    assert "b.parquet' cannot be read to its end: after" in words and "Is the file complete" in words and "a.parquet" not in words


def test_a_file_cut_in_the_middle_of_a_page_names_itself(pages):
    folder, where = pages
    path, chunk = folder / "b.parquet", where("x")
    path.write_bytes(path.read_bytes()[: chunk.data_page_offset + chunk.total_compressed_size // 2])
    words = said(folder)
    assert "b.parquet" in words and "Is the file complete?" in words


def test_bytes_that_are_missing_before_a_whole_footer_are_noticed(pages):
    folder, where = pages
    path, chunk = folder / "b.parquet", where("y")
    data = path.read_bytes()
    path.write_bytes(data[: chunk.data_page_offset + 10] + data[chunk.data_page_offset + 60 :])
    assert "b.parquet' cannot be read to its end" in said(folder)


# --- files that differ ----------------------------------------------------------------------------------


def two(folder, first, second):
    first.to_parquet(folder / "a.parquet")
    second.to_parquet(folder / "b.parquet")
    return folder


def test_a_column_that_the_first_file_lacks_is_missed_there(tmp_path):
    words = said(two(tmp_path, DATA[:300].drop(columns="x"), DATA[300:]))
    assert "column 'x' is not in" in words and "a.parquet', and it is in" in words and "b.parquet" in words


def test_integers_that_become_text_name_both_files(tmp_path):
    words = said(two(tmp_path, DATA[:300], DATA[300:].astype({"room": str})), "y ~ x + (1 | room)")
    assert "column 'room' is text in" in words and "b.parquet' and numeric in" in words


def test_categories_that_become_text_name_both_files(tmp_path):
    words = said(two(tmp_path, DATA[:300].astype({"track": "category"}), DATA[300:]), "y ~ track + (1 | school)")
    assert "column 'track' is text in" in words and "categorical in" in words


def test_categories_in_another_order_keep_the_order_of_the_first_file(tmp_path):
    orders = [["C", "b", "a"], ["a", "b", "C"]]
    parts = [rows.assign(track=pd.Categorical(rows["track"], order)) for rows, order in zip((DATA[:300], DATA[300:]), orders)]
    fit = lmer("y ~ track + (1 | school)", two(tmp_path, *parts))
    whole = lmer("y ~ track + (1 | school)", DATA.assign(track=pd.Categorical(DATA["track"], orders[0])))
    assert list(fit.fixef().index) == ["(Intercept)", "trackb", "tracka"]
    np.testing.assert_allclose(fit.fixef(), whole.fixef(), rtol=1e-8)


# --- what changes while it is read -----------------------------------------------------------------------


@pytest.mark.parametrize("new", ["other rows", "no file", "no table"])
def test_a_file_replaced_between_the_passes_is_noticed(tmp_path, monkeypatch, new):
    from fastlmm_hlm.ingest import passes

    path = tmp_path / "scores.parquet"
    DATA.to_parquet(path)
    finish = passes.Scan.finish

    def replaced(scan):
        if new == "other rows":
            other = tmp_path / "other"
            DATA.assign(school=DATA["school"] + "x").to_parquet(other)
            os.replace(other, path)
        elif new == "no file":
            path.unlink()
        else:
            path.write_text("not a table")
        return finish(scan)

    monkeypatch.setattr(passes.Scan, "finish", replaced)
    words = said(path, "y ~ scale(x) + (1 | school)")          # needs two passes
    assert "school" in words and "changed between" in words if new == "other rows" else "scores.parquet' cannot be read" in words


def test_a_worker_thread_that_dies_hands_its_error_over(tmp_path, monkeypatch):
    from fastlmm_hlm.ingest import arrowsource

    DATA.to_parquet(tmp_path / "scores.parquet")

    def dies(*arguments):
        raise SystemError("the decoder fell over")
        yield

    monkeypatch.setattr(arrowsource, "_parquet_batches", dies)
    before = threading.active_count()
    words = said(tmp_path / "scores.parquet")
    assert "scores.parquet' cannot be read to its end" in words and "the decoder fell over" in words
    assert threading.active_count() == before


def test_memory_is_released_after_an_error():
    held = []

    def blocks():
        for k in range(5):
            block = pa.Table.from_pandas(DATA)
            held.append(weakref.ref(block))
            yield block
        raise OSError("the line is dead")

    before = pa.total_allocated_bytes()
    words = said(blocks)
    assert "after 3,000 rows OSError says 'the line is dead'" in words
    gc.collect()
    assert not any(block() is not None for block in held) and pa.total_allocated_bytes() <= before


def test_memory_is_released_after_a_damaged_page(pages):
    folder, where = pages
    path = folder / "b.parquet"
    data, chunk = bytearray(path.read_bytes()), where("x")
    data[chunk.data_page_offset : chunk.data_page_offset + 30] = b"\xff" * 30
    path.write_bytes(data)
    said(folder)
    gc.collect()
    before = pa.total_allocated_bytes()
    for _ in range(20):
        said(folder)
    gc.collect()
    time.sleep(0.05)
    assert pa.total_allocated_bytes() <= before + 10_000


# --- addresses --------------------------------------------------------------------------------------------


@pytest.fixture
def remote():
    """Files in fsspec's memory, which Arrow itself does not know."""
    import fsspec

    system = fsspec.filesystem("memory")
    for name, rows in (("a", DATA[:300]), ("b", DATA[300:])):
        with system.open(f"/flmm/{name}.parquet", "wb") as file:
            rows.to_parquet(file)
    yield "memory://flmm"
    system.rm("/flmm", recursive=True)


def test_files_are_read_by_their_address(remote, tmp_path):
    DATA.to_parquet(tmp_path / "scores.parquet")
    expected = lmer(FORMULA, DATA).REMLcrit()
    for data in ((tmp_path / "scores.parquet").as_uri(), remote, [f"{remote}/a.parquet", f"{remote}/b.parquet"]):
        assert lmer(FORMULA, data).REMLcrit() == pytest.approx(expected, abs=1e-9)


def test_a_fit_from_an_address_streams(remote, tmp_path):
    fit = lmer(FORMULA, remote)
    fitted = pd.read_parquet(fit.stream("fitted", out=tmp_path / "fitted.parquet"))["fitted"]
    np.testing.assert_allclose(fitted, lmer(FORMULA, DATA).fitted(), atol=1e-7)


def test_addresses_that_lead_nowhere_say_so(remote, tmp_path):
    assert "no such file" in said(f"{remote}/none.parquet")
    assert "no such file" in said((tmp_path / "none.parquet").as_uri())
    assert "no file system is known for 'foo://'" in said("foo://bucket/x.parquet")
    assert "pattern on a remote file system" in said(f"{remote}/*.parquet")
    assert "one file system" in said([f"{remote}/a.parquet", (tmp_path / "x.parquet").as_uri()])


def test_an_address_without_fsspec_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    assert "pip install 'fastlmm_hlm[arrow]'" in said("memory://flmm/a.parquet", error=FastlmmError)


def test_a_column_of_no_file_is_unknown(pages):
    assert "scool" in said(pages[0], "y ~ x + (1 | scool)", UnknownColumnError)
