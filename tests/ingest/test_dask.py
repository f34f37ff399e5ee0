"""Dask data frames: every model as in memory, on the local schedulers and on a cluster of processes."""

import os
import pathlib
import signal
import threading
import time

import numpy as np
import pandas as pd
import pytest
from blocks_of_school import arrays_of, school_data
from parity.cases import all_cases

from fastlmm_hlm import lmer
from fastlmm_hlm.errors import ArgumentError, DataError, FastlmmError, UnknownColumnError
from fastlmm_hlm.ingest import Products, Request, Scan
from fastlmm_hlm.ingest.partialsums import Partial, add_partials, join_ranges
from fastlmm_hlm.ingest.parts import level_counts
from fastlmm_hlm.model import streaming
from fastlmm_hlm.model.streaming import residual_quantiles

dask = pytest.importorskip("dask")
dd = pytest.importorskip("dask.dataframe")

pytestmark = pytest.mark.filterwarnings("ignore::fastlmm_hlm.errors.FastlmmWarning")

DATA, GAPS = school_data()
FORMULA = "y ~ x + track + grade + (1 | school) + (1 | room)"
# The same sums in another order, and what double precision leaves of tens of thousands of rows.
SAME_CRITERION, ROUNDING = 1e-9, 4e-15


@pytest.fixture
def here():
    """Dask's scheduler that runs everything in this thread."""
    with dask.config.set(scheduler="synchronous"):
        yield


def compare(formula, parts, data, **arguments):
    """The fit of a Dask frame, after comparing it with that of the rows in memory."""
    memory, fit = lmer(formula, data, **arguments), lmer(formula, parts, **arguments)
    tolerance = max(SAME_CRITERION, ROUNDING * abs(memory._estimates.criterion))
    assert fit._estimates.criterion == pytest.approx(memory._estimates.criterion, rel=0, abs=tolerance)
    assert list(fit.fixef().index) == list(memory.fixef().index)
    assert [(n, [str(level) for level in levels], names) for n, levels, names in fit._factor_labels] == [
        (n, [str(level) for level in levels], names) for n, levels, names in memory._factor_labels]
    assert (int(fit.nobs), fit._dropped, fit._missing) == (int(memory.nobs), memory._dropped, memory._missing)
    return fit


def same_bits(ours, theirs):
    return ours.theta.tobytes() == theirs.theta.tobytes() and ours._estimates.criterion == theirs._estimates.criterion and all(
        np.array_equal(a, b) for a, b in zip(arrays_of(ours._products), arrays_of(theirs._products), strict=True))


# --- every model ------------------------------------------------------------------------------


@pytest.mark.parametrize("case", [case for case in all_cases() if not case.is_slow and len(case.frame()) <= 2500], ids=lambda case: case.id)
def test_three_partitions_give_the_fit_in_memory(case, here):
    data = case.frame()
    compare(case.formula, dd.from_pandas(data, npartitions=3), data, **case.arguments())


@pytest.mark.slow
@pytest.mark.parametrize("case", [case for case in all_cases() if case.is_slow or len(case.frame()) > 2500], ids=lambda case: case.id)
def test_long_cases_too(case, here):
    data = case.frame()
    compare(case.formula, dd.from_pandas(data, npartitions=3), data, **case.arguments())


# --- what partitions can be -------------------------------------------------------------------


def test_partitions_without_rows_or_without_values_and_gaps_everywhere(here):
    gaps = GAPS.copy()
    gaps.loc[:199, "track"] = None
    gaps.loc[200:299, "x"] = np.nan
    frames = [gaps[:100], gaps[:0], gaps[100:200].assign(track=np.nan), gaps[200:300].assign(x=pd.Series(None, dtype=object)), gaps[300:300], gaps[300:]]
    parts = dd.from_delayed([dask.delayed(frame) for frame in frames], meta=gaps[:0], verify_meta=False)
    compare(FORMULA, parts, gaps)


def test_a_partition_of_objects_without_values_takes_the_kind_of_the_others(here):
    data = GAPS.astype({"track": object})
    data.loc[:199, "track"] = None
    with dask.config.set({"dataframe.convert-string": False}):
        parts = dd.from_pandas(data, npartitions=3)
    compare("y ~ x + track + (1 | school)", parts, data)


def test_only_the_rows_that_are_left_by_a_filter_count(here):
    parts = dd.from_pandas(GAPS, npartitions=5)
    compare(FORMULA, parts[parts["year"] >= 2015], GAPS[GAPS["year"] >= 2015])
    with pytest.raises(FastlmmError, match="0 rows"):
        lmer(FORMULA, parts[parts["year"] > 3000])


@pytest.mark.parametrize("text", ["object", "string[python]", "string[pyarrow]"])
def test_text_is_text_however_it_is_stored(text, here):
    data = GAPS.astype({"school": text, "track": text})
    with dask.config.set({"dataframe.convert-string": False}):
        parts = dd.from_pandas(data, npartitions=4)
    compare(FORMULA, parts, GAPS)


def test_known_and_unknown_categories(here):
    for name, known in (("grade", True), ("track", True), ("track", False)):
        parts = dd.from_pandas(GAPS, npartitions=4)
        if name == "track":
            parts["track"] = parts["track"].astype("category")
            parts = parts.categorize("track") if known else parts
            assert parts["track"].cat.known == known
        compare(FORMULA, parts, GAPS)


def test_whole_numbers_that_are_floats_in_one_partition_are_levels_alike(here):
    frames = [DATA[:300], DATA[300:].astype({"room": float})]
    parts = dd.from_delayed([dask.delayed(frame) for frame in frames], meta=DATA[:0], verify_meta=False)
    compare("y ~ x + (1 | room)", parts, pd.concat(frames))


def test_formulas_that_depend_on_all_rows_and_arguments(here):
    parts = dd.from_pandas(GAPS, npartitions=4)
    compare("y ~ scale(x) + poly(year, 2) + factor(k) + (1 | school/room)", parts, GAPS, weights="w", subset="year > 2010", offset="z")
    compare("y ~ x + I(2 * x) + z + (1 | school)", parts, GAPS)


def test_only_columns_of_the_formula_are_read(tmp_path, here):
    for i, frame in enumerate([DATA[:300], DATA[300:]]):
        frame.assign(notes=["x" * 1000] * len(frame)).to_parquet(tmp_path / f"p{i}.parquet", index=False)
    seen = []

    def read(half, columns=None):
        seen.append(columns or DATA.columns)
        return DATA[list(seen[-1])][300 * half : 300 * half + 300]

    parts = dd.read_parquet(tmp_path)
    compare("y ~ x + (1 | school)", parts, DATA)
    lmer("y ~ x + (1 | school)", dd.from_map(read, [0, 1], meta=DATA[:0]))
    assert [set(columns) for columns in seen] == [{"y", "x", "school"}] * 4


# --- the pieces that travel ---------------------------------------------------------------------


def parts_of(plan, count, data):
    size = -(-len(data) // count)
    return [Products(plan, part).update(data.iloc[part * size : (part + 1) * size]) for part in range(count)]


@pytest.mark.parametrize("formula", [FORMULA, "y ~ x + I(2 * x) + (x | school/room) + (1 | year) + (1 | k)", "y ~ x + (x || school) + (1 | school:room)"])
@pytest.mark.parametrize("ranges", [1, 3, 50])
def test_sums_by_ranges_of_levels_are_those_of_products_to_the_last_bit(formula, ranges):
    plan = Scan(Request(formula)).update(GAPS).finish()
    plan.doubtful = True
    pieces = [Partial.from_bytes(one.to_bytes()).split(level_counts(plan), ranges) for one in parts_of(plan, 11, GAPS)]
    before = [piece.to_bytes() for own in pieces for piece in own]
    roots = []
    for i in range(ranges):
        groups = [[own[i] for own in pieces[first : first + 4]] for first in range(0, 11, 4)]
        roots.append(add_partials([add_partials(group) for group in groups]))
    found = join_ranges(roots).products(plan)
    expected = parts_of(plan, 11, GAPS)
    for one in expected[1:]:
        expected[0].merge(one)
    assert np.array_equal(found.total().triangle, expected[0].total().triangle)
    assert all(np.array_equal(a, b) for a, b in zip(arrays_of(found.finish()), arrays_of(expected[0].finish()), strict=True))
    assert [piece.to_bytes() for own in pieces for piece in own] == before, "what other tasks may still need was changed"


def test_a_part_is_as_short_as_its_levels():
    data = pd.DataFrame({"y": np.random.default_rng(1).normal(size=40_000), "g": np.arange(40_000) // 4})
    plan = Scan(Request("y ~ 1 + (1 | g)")).update(data).finish()
    first, all_rows = (Partial.from_bytes(Products(plan).update(rows).to_bytes()) for rows in (data[:400], data))
    assert first.nbytes < 1.1 * all_rows.nbytes / 100 + 200
    assert all_rows.__sizeof__() > all_rows.nbytes > 10_000 * 20


# --- what goes wrong ----------------------------------------------------------------------------


def broken(frames):
    return dd.from_delayed([dask.delayed(frame) for frame in frames], meta=DATA[:0], verify_meta=False)


def test_the_partition_with_text_among_numbers_is_named(here):
    frames = [DATA[:200], DATA[200:400], DATA[400:].astype({"x": str})]
    with pytest.raises(DataError, match="column 'x' is numeric in partition 0 and text in partition 2"):
        lmer(FORMULA, broken(frames))
    with pytest.raises(DataError, match="partition 2: .*'y'"):
        lmer(FORMULA, broken([*frames[:2], DATA[400:].assign(y="high")]))
    with pytest.raises(DataError, match="partition 1.*'x'"):
        lmer(FORMULA, broken([DATA[:300], DATA[300:].drop(columns="x")]))


def corrupt(frame, partition_info=None):
    if partition_info and partition_info["number"] == 3:
        raise OSError("the page's checksum is wrong")
    return frame


@pytest.mark.parametrize("scheduler", ["synchronous", "threads"])
def test_the_partition_that_cannot_be_read_is_named(scheduler):
    with dask.config.set(scheduler=scheduler), pytest.raises(DataError, match="partition 3 cannot be read: OSError says 'the page's checksum is wrong'"):
        lmer(FORMULA, dd.from_pandas(DATA, npartitions=5).map_partitions(corrupt, meta=DATA[:0]))


def test_bad_requests_are_refused_before_anything_is_read(here):
    parts = dd.from_pandas(DATA, npartitions=2).map_partitions(corrupt, meta=DATA[:0])
    with pytest.raises(UnknownColumnError, match="Did you mean 'school'"):
        lmer("y ~ x + (1 | scool)", parts)
    with pytest.raises(ArgumentError, match="weights is"):
        lmer(FORMULA, parts, weights=np.ones(600))


def test_rows_that_change_between_the_passes_are_noticed(here):
    calls = []

    def growing(frame):
        calls.append(1)
        return frame[: 150 + len(calls)]

    parts = dd.from_delayed([dask.delayed(growing)(DATA[:300]), dask.delayed(growing)(DATA[300:])], meta=DATA[:0], verify_meta=False)
    with pytest.raises(DataError, match="second pass found"):
        lmer(FORMULA, parts)


# --- results of rows ------------------------------------------------------------------------------


def test_results_of_rows_are_written_one_file_per_partition(tmp_path, here):
    memory, fit = lmer(FORMULA, GAPS, na_action="exclude"), lmer(FORMULA, dd.from_pandas(GAPS, npartitions=4))
    out = fit.stream("residuals", out=tmp_path / "residuals", columns=["school"])
    assert sorted(path.name for path in out.iterdir()) == [f"part-{part:05d}.parquet" for part in range(4)]
    found = pd.read_parquet(out)
    np.testing.assert_allclose(found["residuals"], memory.residuals(), atol=1e-9)
    assert list(found["school"].fillna("")) == list(GAPS["school"].fillna(""))
    np.testing.assert_allclose(residual_quantiles(fit), np.quantile(lmer(FORMULA, GAPS).residuals(scaled=True), [0, 0.25, 0.5, 0.75, 1]), atol=1e-9)
    assert "Scaled residuals" in str(fit.summary())
    with pytest.raises(DataError, match="not an empty folder"):
        fit.stream("fitted", out=out)
    with pytest.raises(DataError, match="cannot be written"):
        fit.stream("fitted", out=tmp_path / "nowhere" / "fitted")
    assert os.listdir(tmp_path) == ["residuals"]


def test_quantiles_of_very_many_residuals_are_exact(here, monkeypatch):
    fit = lmer(FORMULA, dd.from_pandas(GAPS, npartitions=4))
    by_sorting = residual_quantiles(fit)
    monkeypatch.setattr(streaming, "KEPT", 10)
    assert np.array_equal(residual_quantiles(fit), by_sorting)


def test_progress_shows_the_partitions(here, capsys):
    lmer(FORMULA, dd.from_pandas(GAPS, npartitions=4), progress=True)
    shown = capsys.readouterr().err
    assert "first pass: 100%" in shown and "second pass: 100%" in shown and "4/4" in shown


# --- a cluster --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def client():
    """Two worker processes of one thread."""
    distributed = pytest.importorskip("distributed")
    options = dict(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None)
    with distributed.LocalCluster(**options) as cluster, distributed.Client(cluster) as client:
        yield client


def tasks_of(client):
    return client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.tasks))


def wait_until_nothing_is_kept(client):
    end = time.monotonic() + 10
    while tasks_of(client) and time.monotonic() < end:
        time.sleep(0.05)
    assert tasks_of(client) == 0


@pytest.mark.slow
@pytest.mark.parametrize("formula", [FORMULA, "y ~ scale(x) + factor(year) + (x | school/room)", "y ~ x + I(2 * x) + (1 | school)"])
def test_two_processes_give_the_bits_of_one(client, formula):
    parts = dd.from_pandas(GAPS, npartitions=11)
    fit = compare(formula, parts, GAPS)
    with dask.config.set(scheduler="synchronous"):
        alone = lmer(formula, parts)
    assert same_bits(fit, alone)
    wait_until_nothing_is_kept(client)


@pytest.mark.slow
def test_levels_divided_among_processes_give_the_same_bits(client, monkeypatch):
    from fastlmm_hlm.ingest import parts as module

    parts = dd.from_pandas(GAPS.sample(frac=1, random_state=1), npartitions=11)
    whole = lmer(FORMULA, parts)
    monkeypatch.setattr(module, "BYTES_OF_RANGE", 64)
    assert module.ranges_of(whole._plan, 2) == 2
    assert same_bits(lmer(FORMULA, parts), whole)


def killed_once(frame, marker, partition_info=None):
    """End the process that reads partition 5, the first time."""
    if partition_info and partition_info["number"] == 5 and not os.path.exists(marker):
        pathlib.Path(marker).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return frame


@pytest.mark.slow
@pytest.mark.parametrize("in_pass", [1, 2])
def test_a_worker_that_is_killed_changes_no_bit(client, tmp_path, in_pass, monkeypatch):
    marker = tmp_path / "killed"
    parts = dd.from_pandas(GAPS, npartitions=11)
    alone = lmer(FORMULA, parts)
    if in_pass == 2:
        marker.touch()
        finish = Scan.finish
        monkeypatch.setattr(Scan, "finish", lambda scan: (marker.unlink(), finish(scan))[1])
    pids = set(client.run(os.getpid).values())
    assert same_bits(lmer(FORMULA, parts.map_partitions(killed_once, str(marker), meta=GAPS[:0])), alone)
    assert marker.exists() and set(client.run(os.getpid).values()) != pids, "no worker was lost"
    wait_until_nothing_is_kept(client)


@pytest.mark.slow
def test_the_only_worker_may_be_killed_with_the_plan(tmp_path):
    distributed = pytest.importorskip("distributed")
    marker, parts = tmp_path / "killed", dd.from_pandas(GAPS, npartitions=11)
    with distributed.LocalCluster(n_workers=1, threads_per_worker=1, processes=True, dashboard_address=None) as cluster, distributed.Client(cluster):
        alone = lmer(FORMULA, parts)
        assert same_bits(lmer(FORMULA, parts.map_partitions(killed_once, str(marker), meta=GAPS[:0])), alone) and marker.exists()


@pytest.mark.slow
def test_errors_of_workers_name_the_partition(client):
    parts = dd.from_pandas(DATA, npartitions=5)
    with pytest.raises(DataError, match="partition 3 cannot be read: OSError says"):
        lmer(FORMULA, parts.map_partitions(corrupt, meta=DATA[:0]))
    with pytest.raises(DataError, match="numeric in partition 0 and text in partition 1"):
        lmer(FORMULA, broken([DATA[:200], DATA[200:].astype({"x": str})]))
    with pytest.raises(DataError, match="partition 1: .*'y'"):
        lmer(FORMULA, broken([DATA[:200], DATA[200:].assign(y="high")]))
    wait_until_nothing_is_kept(client)


def slow_part(frame):
    time.sleep(1.0)
    return frame


@pytest.mark.slow
def test_ctrl_c_cancels_what_has_not_run(client):
    before = signal.signal(signal.SIGINT, signal.default_int_handler)        # a shell's background jobs ignore it
    threading.Timer(1.5, os.kill, (os.getpid(), signal.SIGINT)).start()
    try:
        with pytest.raises(KeyboardInterrupt):
            lmer(FORMULA, dd.from_pandas(DATA, npartitions=40).map_partitions(slow_part, meta=DATA[:0]))
    finally:
        signal.signal(signal.SIGINT, before)
    start = time.monotonic()
    wait_until_nothing_is_kept(client)
    assert time.monotonic() - start < 5, "40 partitions of one second were not cancelled"


@pytest.mark.slow
def test_workers_write_the_results_of_their_rows(client, tmp_path):
    fit = lmer(FORMULA, dd.from_pandas(GAPS, npartitions=4))
    found = pd.read_parquet(fit.stream("fitted", out=tmp_path / "fitted"))["fitted"]
    np.testing.assert_allclose(found, lmer(FORMULA, GAPS, na_action="exclude").fitted(), atol=1e-9)
    wait_until_nothing_is_kept(client)
