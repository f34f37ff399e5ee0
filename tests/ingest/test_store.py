"""A store gives the rows back as they were, sorted, and a fit from one reading of it."""

import errno
import pickle

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from blocks_of_school import cut, school_data

from fastlmm_hlm import Store, lmer, lmerControl, prepare
from fastlmm_hlm.errors import ArgumentError, DataError, UnknownColumnError
from fastlmm_hlm.ingest import onepass
from fastlmm_hlm.ingest import prepare as writing

pytestmark = pytest.mark.filterwarnings("ignore::fastlmm_hlm.errors.SingularFitWarning", "ignore::fastlmm_hlm.errors.DroppedRowsWarning")

# Rows in another order and beta0 from other rows: the same model, another rounding.
SAME_CRITERION = 1e-8
WHOLE, GAPS = school_data(n=900, seed=5)
GAPS = GAPS.assign(id=np.arange(900) * 37 % 300, on=np.where(np.arange(900) % 11 == 0, None, GAPS["girl"]).astype(object), far=GAPS["k"] * 10**12)
GAPS["on"] = GAPS["on"].astype("boolean")
FORMULAS = [
    "y ~ x + (1 | school)", "y ~ x + track + grade + (1 + z | id) + (1 | room)", "y ~ x + rank + (1 | school/room)", "y ~ on + poly(z, 2) + (1 | grade)",
    "y ~ scale(x) + factor(k) + (1 | girl) + (1 | id)", "y ~ day + (1 | far) + (1 | track)",
]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return prepare(GAPS, tmp_path_factory.mktemp("stores") / "gaps.store", by="school")


def rows_of(store, columns=None):
    return pd.concat([block.to_pandas() for block in store.blocks(store.names if columns is None else columns, 100)], ignore_index=True)


def sorted_rows(data, by):
    """The definition: a stable sort by the levels' order, missing last."""
    return data.sort_values(by, kind="stable", na_position="last", ignore_index=True)


@pytest.mark.parametrize("by", ["school", "id", "k", "grade", "girl", "track", "far"])
@pytest.mark.parametrize("memory", [2**20, 512 * 2**20])
def test_rows_are_sorted_stably_by_level(by, memory, tmp_path, monkeypatch):
    monkeypatch.setattr(writing, "COPIES", 400)            # so that 1 MB takes several buckets
    store = prepare(lambda: cut(GAPS, [70]), tmp_path / "s", by=by, memory=memory)
    ours, expected = rows_of(store), sorted_rows(GAPS, by)
    for name in GAPS:
        a, b = ours[name], expected[name]
        assert list(a.isna()) == list(b.isna())
        assert list(a.dropna().astype(str)) == list(b.dropna().astype(a.dropna().dtype if name in ("k",) else b.dtype).astype(str)), name
    assert [p.name for p in sorted(tmp_path.iterdir())] == ["s"]
    assert sorted(p.name for p in store.path.iterdir()) == ["facts.json", "levels", "rows.arrow", "sample.arrow"]


def test_without_a_factor_rows_keep_their_order(tmp_path):
    store = prepare(GAPS, tmp_path / "s", columns=["x", "school"])
    assert store.names == ["school", "x"] and list(rows_of(store)["school"].astype(object).fillna("")) == list(GAPS["school"].fillna(""))


@pytest.mark.parametrize("formula", FORMULAS)
def test_a_fit_from_a_store_is_that_of_memory(store, formula):
    for control in (None, lmerControl(block_rows=64)):
        fit, expected = lmer(formula, store, control=control), lmer(formula, GAPS)
        assert fit.REMLcrit() == pytest.approx(expected.REMLcrit(), rel=0, abs=SAME_CRITERION)
        assert list(fit.fixef().index) == list(expected.fixef().index)
        assert fit.fixef().to_numpy() == pytest.approx(expected.fixef().to_numpy(), rel=1e-6)
        for name, effects in expected.ranef(condVar=False).items():
            assert list(fit.ranef(condVar=False)[name].index) == list(effects.index)
        assert (int(fit.nobs), fit._missing) == (int(expected.nobs), expected._missing)


class Counted:
    """Counts the readings of a store."""

    def __init__(self, monkeypatch):
        self.columns, made = [], Store.blocks

        def blocks(store, columns, block_rows):
            self.columns.append(list(columns))
            return made(store, columns, block_rows)

        monkeypatch.setattr(Store, "blocks", blocks)


@pytest.mark.parametrize("formula", [FORMULAS[0], FORMULAS[1], "y ~ x + (1 | id) + (1 | grade)", "y ~ x * track + (1 | school)"])
def test_a_fit_reads_only_its_columns_and_once(store, formula, monkeypatch):
    monkeypatch.setattr(onepass, "HEAD", 50)               # though the first rows have one school
    read = Counted(monkeypatch)
    lmer(formula, store)
    assert len(read.columns) == 1 and set(read.columns[0]) < set(GAPS)


def test_submodels_read_no_row(tmp_path, monkeypatch):
    store = prepare(WHOLE, tmp_path / "s", by="school")
    wide = lmer("y ~ x * z + track + grade + (1 + x | school) + (1 | room)", store)
    expected = {text: lmer(text, WHOLE) for text in ("y ~ x + z + (1 | school)", "y ~ x + track + (1 + x | school) + (1 | room)")}

    def refuse(*_):
        raise AssertionError("rows were read")

    monkeypatch.setattr(Store, "blocks", refuse)
    for text, fit in expected.items():
        assert wide.update(text).REMLcrit() == pytest.approx(fit.REMLcrit(), rel=0, abs=SAME_CRITERION)
    assert not wide.update(". ~ . - track", REML=False).isREML()
    with pytest.raises(DataError):
        wide.update(". ~ . + girl")


def test_an_update_reads_again_where_rows_were_left_out_for_a_column(store):
    fit = lmer("y ~ x + z + (1 | school)", store)
    assert int(fit.update(". ~ . - x").nobs) == int(lmer("y ~ z + (1 | school)", GAPS).nobs) > int(fit.nobs)


def test_results_with_one_number_per_row(store, tmp_path):
    fit = lmer(FORMULAS[0], store)
    out = pq.read_table(fit.stream("residuals", out=tmp_path / "r.parquet", columns=["id"])).to_pandas()
    assert len(out) == 900 and out["residuals"].std() == pytest.approx(float(lmer(FORMULAS[0], GAPS).residuals().std()))
    assert pickle.loads(pickle.dumps(fit)).update(". ~ . - x").fixef().shape == (1,)


def test_facts_are_those_of_the_columns(store):
    facts = store.facts()
    assert list(facts.index) == list(GAPS)
    assert facts.loc["x", "mean"] == pytest.approx(GAPS["x"].mean(), rel=1e-14)
    assert facts.loc["x", "sd"] == pytest.approx(GAPS["x"].std(), rel=1e-12)
    assert list(facts["missing"]) == list(GAPS.isna().sum())
    assert facts.loc["grade", "levels"] == 4 and list(store.levels("grade")) == ["low", "mid", "high", "never"]
    assert list(store.levels("grade", occurring=True)) == ["low", "mid", "high"] and store.levels("x") is None
    assert "900 rows sorted by school" in repr(store)


def test_any_source_and_any_frame(tmp_path):
    import polars

    GAPS.drop(columns="on").to_csv(tmp_path / "g.csv", index=False)
    table = pa.Table.from_pandas(GAPS, preserve_index=False)
    pq.write_table(table, tmp_path / "g.parquet")
    for i, data in enumerate([tmp_path / "g.csv", tmp_path / "g.parquet", table, polars.from_arrow(table), polars.scan_parquet(tmp_path / "g.parquet"), GAPS.to_dict("list")]):
        store = prepare(data, tmp_path / f"{i}", by="school", formula="y ~ x + track + (1 | school)", compression="lz4" if i % 2 else None)
        assert store.names == [name for name in GAPS if name in ("y", "x", "track", "school")]
        assert lmer("y ~ x + track + (1 | school)", str(store.path)).REMLcrit() == pytest.approx(lmer("y ~ x + track + (1 | school)", GAPS).REMLcrit(), abs=SAME_CRITERION)


def test_nothing_is_left_behind(tmp_path, monkeypatch):
    def broken(error):
        def blocks():
            yield GAPS[:200]
            calls.append(1)
            if len(calls) == 2:
                raise error
            yield GAPS[200:]

        calls = []
        return blocks

    for error, seen in ((ValueError("torn"), DataError), (KeyboardInterrupt(), KeyboardInterrupt)):
        with pytest.raises(seen):
            prepare(broken(error), tmp_path / "s", by="school")
        assert list(tmp_path.iterdir()) == []

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(writing._Writer, "_batch", full)
    with pytest.raises(DataError, match="the disk is full"):
        prepare(GAPS, tmp_path / "s", by="school")
    assert list(tmp_path.iterdir()) == []


def test_what_is_refused(store, tmp_path):
    for words, arguments, error in [
        ("'nobody'", {"by": "nobody"}, UnknownColumnError), ("'nobody'", {"columns": ["nobody"]}, UnknownColumnError), ("cannot sort", {"by": "x"}, DataError),
        ("not both", {"columns": ["x"], "formula": "y ~ x + (1 | school)"}, ArgumentError), ("compression", {"compression": "zip"}, ArgumentError),
        ("memory", {"memory": 3}, ArgumentError), ("list of names", {"columns": "x"}, ArgumentError),
    ]:
        with pytest.raises(error, match=words):
            prepare(GAPS, tmp_path / "s", **arguments)
    (tmp_path / "mine").mkdir()
    with pytest.raises(ArgumentError, match="no store"):
        prepare(GAPS, tmp_path / "mine", overwrite=True)
    with pytest.raises(ArgumentError, match="overwrite=True"):
        prepare(GAPS, store.path)
    with pytest.raises(DataError, match="no store"):
        Store(tmp_path / "mine")
    assert list(tmp_path.iterdir()) == [tmp_path / "mine"]


def test_overwriting(tmp_path):
    prepare(GAPS, tmp_path / "s")
    assert prepare(GAPS[:100], tmp_path / "s", by="id", overwrite=True).n_rows == 100 and [p.name for p in tmp_path.iterdir()] == ["s"]
