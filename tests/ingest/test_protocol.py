"""Scan and Products: blocks of any size, parts in any order, the same bits."""

import io
import json
import os
import pathlib
import pickle
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from blocks_of_school import arrays_of, cut, same_bits, scanned, school_data, summed

from fastlmm_hlm import datasets
from fastlmm_hlm.design.crossprod import choose_shift, cross_products
from fastlmm_hlm.design.design import build_design
from fastlmm_hlm.errors import ArgumentError, DataError
from fastlmm_hlm.formula import build_frame
from fastlmm_hlm.ingest import Plan, Products, Request, Scan, sums
from fastlmm_hlm.ingest.distinct import Distinct, Integers
from fastlmm_hlm.ingest.moments import Moments, orthogonal_polynomials
from fastlmm_hlm.ingest.pairtable import PairTable
from fastlmm_hlm.ingest.sample import Sample

_, GAPS = school_data()
FORMULA = "y ~ x * track + scale(z) + (x | school/room) + (1 | year)"
PLAN = scanned(FORMULA, [GAPS], weights="w").finish()
# The same sums in another order.
ROUNDING = 1e-12


def close(ours, theirs):
    return all(np.allclose(a, b, rtol=ROUNDING, atol=ROUNDING * max(1.0, np.abs(b).max(initial=0.0))) for a, b in zip(arrays_of(ours), arrays_of(theirs), strict=True))


@pytest.fixture
def small_chunks(monkeypatch):
    """Chunks of 64 rows, so that a small data set has many."""
    monkeypatch.setattr("fastlmm_hlm.ingest.products.CHUNK", 64)


@settings(max_examples=12, deadline=None)
@given(sizes=st.lists(st.integers(5, 400), min_size=1, max_size=12))
def test_the_size_of_the_blocks_does_not_change_a_bit(sizes):
    before = sums.CHUNK
    assert before % 16384 == 0                  # whole partial sums of the kernel
    assert same_bits(summed(PLAN, cut(GAPS, sizes)).finish(), summed(PLAN, [GAPS]).finish())


@pytest.mark.parametrize("sizes", [[7], [63, 64, 65], [64], [200, 1, 1, 130]])
def test_the_size_of_the_blocks_does_not_change_a_bit_over_many_chunks(sizes, small_chunks):
    assert same_bits(summed(PLAN, cut(GAPS, sizes)).finish(), summed(PLAN, [GAPS]).finish())


def test_threads_do_not_change_a_bit(small_chunks):
    assert same_bits(summed(PLAN, cut(GAPS, [100]), threads=4).finish(), summed(PLAN, cut(GAPS, [100])).finish())


@settings(max_examples=8, deadline=None)
@given(edges=st.sets(st.integers(1, 599), min_size=1, max_size=9), seed=st.integers(0, 10**6))
def test_parts_may_be_merged_in_any_order(edges, seed):
    edges = [0, *sorted(edges), len(GAPS)]
    parts = [GAPS.iloc[a:b] for a, b in zip(edges[:-1], edges[1:])]
    rng = np.random.default_rng(seed)

    def merged(make):
        """All parts, put together in a random order and grouping."""
        made = [make(part, number) for number, part in enumerate(parts)]
        while len(made) > 1:
            i, j = rng.choice(len(made), 2, replace=False)
            made[i].merge(made[j])
            made.pop(j)
        return made[0]

    plans = [merged(lambda part, number: scanned(FORMULA, cut(part, [50]), number, weights="w")).finish() for _ in range(2)]
    assert plans[0].digest == plans[1].digest and plans[0].x_names == PLAN.x_names
    assert [list(f.levels) for f in plans[0].design.factors] == [list(f.levels) for f in PLAN.design.factors]
    assert (plans[0].n, plans[0].dropped, plans[0].missing) == (PLAN.n, PLAN.dropped, PLAN.missing)
    results = [merged(lambda part, number: summed(plans[0], cut(part, [50]), number)).finish() for _ in range(2)]
    assert same_bits(*results)
    whole = summed(plans[0], [GAPS]).finish()
    assert close(results[0], whole)


def test_a_plan_and_sums_go_through_pickle():
    plan = pickle.loads(pickle.dumps(PLAN))
    assert isinstance(plan, Plan) and plan.digest == PLAN.digest
    products = pickle.loads(pickle.dumps(summed(plan, cut(GAPS, [50]))))
    assert same_bits(products.finish(), summed(PLAN, [GAPS]).finish())
    scan = pickle.loads(pickle.dumps(scanned(FORMULA, cut(GAPS, [50]), weights="w")))
    assert scan.finish().digest == scanned(FORMULA, cut(GAPS, [50]), weights="w").finish().digest
    assert pickle.loads(pickle.dumps(Request(FORMULA, weights="w"))) == Request(FORMULA, weights="w")


def test_sums_go_through_bytes_without_pickled_objects():
    left, right = summed(PLAN, [GAPS[:250]], 0), summed(PLAN, [GAPS[250:]], 1)
    data = [products.to_bytes() for products in (left, right)]
    read = [Products.from_bytes(item, PLAN) for item in data]
    assert same_bits(read[1].merge(read[0]).finish(), left.merge(right).finish())
    with np.load(io.BytesIO(data[0]), allow_pickle=False) as stored:
        header = json.loads(stored["header"].tobytes())
    assert header["version"] == 2 and header["format"] == "fastlmm_hlm cross-products"


def test_bytes_of_another_plan_or_damaged_ones_are_refused():
    data = summed(PLAN, [GAPS]).to_bytes()
    other = scanned("y ~ x + (1 | school)", [GAPS]).finish()
    with pytest.raises(DataError, match="another plan"):
        Products.from_bytes(data, other)
    for damaged in (data[: len(data) // 2], b"", b"PK" + data[2:100]):
        with pytest.raises(DataError, match="damaged"):
            Products.from_bytes(damaged, PLAN)


def test_merging_what_does_not_belong_together_is_refused():
    with pytest.raises(ArgumentError, match="part 0 is in both"):
        scanned(FORMULA, [GAPS]).merge(scanned(FORMULA, [GAPS]))
    with pytest.raises(ArgumentError, match="different formulas"):
        scanned(FORMULA, [GAPS]).merge(scanned("y ~ x + (1 | school)", [GAPS], 1))
    with pytest.raises(ArgumentError, match="part 0 is in both"):
        summed(PLAN, [GAPS]).merge(summed(PLAN, [GAPS]))
    with pytest.raises(ArgumentError, match="different plans"):
        summed(PLAN, [GAPS]).merge(summed(scanned("y ~ x + (1 | school)", [GAPS]).finish(), [GAPS], 1))
    both = summed(PLAN, [GAPS[:300]], 0).merge(summed(PLAN, [GAPS[300:]], 1))
    with pytest.raises(ArgumentError, match="in both"):
        both.merge(summed(PLAN, [GAPS[300:]], 1))


def test_other_rows_in_the_second_pass_are_noticed():
    with pytest.raises(DataError, match="second pass found 599 rows"):
        summed(PLAN, [GAPS[:-1]]).finish()
    with pytest.raises(DataError, match="changed"):
        summed(PLAN, [GAPS.assign(school="elsewhere")])
    with pytest.raises(DataError, match="first pass"):
        summed(PLAN, [GAPS.assign(track="z")])


def test_empty_parts_do_no_harm():
    scan = scanned(FORMULA, [GAPS[:0]], 1, weights="w").merge(scanned(FORMULA, [GAPS], 0, weights="w")).merge(Scan(Request(FORMULA, weights="w"), 2))
    plan = scan.finish()
    assert plan.digest == PLAN.digest
    products = Products(plan, 1).merge(summed(plan, [GAPS], 0)).merge(summed(plan, [GAPS[:0]], 2))
    assert same_bits(products.finish(), summed(PLAN, [GAPS]).finish())


def test_a_column_that_changes_its_kind_is_refused():
    with pytest.raises(DataError, match="column 'x' is numeric in the first rows and text further on"):
        scanned(FORMULA, [GAPS, GAPS.assign(x="fifty")])
    with pytest.raises(DataError, match="column 'x' is number in one part"):
        scanned(FORMULA, [GAPS]).merge(scanned("y ~ x * track + scale(z) + (x | school/room) + (1 | year)", [GAPS.assign(x="fifty", y=1.0)], 1))


def test_categories_keep_the_order_in_which_the_source_names_them():
    levels = ["z", "m", "a"]
    first = GAPS.assign(grade=pd.Categorical(np.resize(["z", "m"], len(GAPS)), ["z", "m"]))
    second = GAPS.assign(grade=pd.Categorical(np.resize(levels, len(GAPS)), ["a", "z", "m"]))
    formula = "y ~ x + (1 | grade)"
    one, two = scanned(formula, [first], 0), scanned(formula, [second], 1)
    forth = scanned(formula, [first], 0).merge(two).finish()
    back = two.merge(one).finish()
    assert list(forth.design.factors[0].levels) == list(back.design.factors[0].levels) == levels


# --- the pieces -------------------------------------------------------------------------


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20), min_size=1, max_size=8))
def test_moments_of_blocks_are_those_of_the_whole(blocks):
    moments = Moments(4)
    for block in blocks:
        moments.add(np.array(block))
    x = np.concatenate([np.array(block) for block in blocks]).astype(np.longdouble)
    assert moments.count == len(x) and (moments.low, moments.high) == (float(x.min()), float(x.max()))
    assert float(moments.mean) == pytest.approx(float(x.mean()), rel=1e-14, abs=1e-12 + 1e-15 * float(np.abs(x).max()))
    for k in (2, 3, 4):
        size = float((np.abs(x - x.mean()) ** k).sum())
        assert float(moments.sums[k]) == pytest.approx(float(((x - x.mean()) ** k).sum()), rel=1e-11, abs=1e-11 * size + 1e-20)


def test_the_recurrence_from_moments_is_that_of_the_values():
    x = np.random.default_rng(0).normal(2015, 3, 500)
    moments = Moments(8)
    for first in range(0, 500, 33):
        moments.add(x[first : first + 33])
    alpha, norm = orthogonal_polynomials(moments, 4)
    t, previous, current = x, np.zeros(500), np.ones(500)
    for k in range(4):
        length = (current**2).sum()
        assert alpha[k] == pytest.approx((t * current**2).sum() / length, rel=1e-11)
        step = length / last if k else 0.0
        previous, current, last = current, (t - alpha[k]) * current - step * previous, length
        assert norm[k + 2] == pytest.approx((current**2).sum(), rel=1e-8)


def test_distinct_rows_and_integers_are_all_found(monkeypatch):
    monkeypatch.setattr("fastlmm_hlm.ingest.distinct.FEW", 20)
    rng = np.random.default_rng(0)
    values = rng.integers(-500, 500, 3000)
    rows, numbers = Distinct(), Integers()
    for first in range(0, 3000, 70):
        rows.add(pd.DataFrame({"a": values[first : first + 70]}))
        assert numbers.add(values[first : first + 70])
    np.testing.assert_array_equal(np.sort(rows.frame()["a"]), np.unique(values))
    np.testing.assert_array_equal(numbers.values(), np.unique(values))
    assert not numbers.add(np.array([2**40])) and not numbers.add(np.array([-(2**63)]))
    np.testing.assert_array_equal(numbers.values(), np.unique(values))


def test_the_sample_is_the_same_in_any_order_and_spread_over_the_rows():
    from fastlmm_hlm.ingest.blockrows import BlockColumns

    data = pd.DataFrame({"v": np.arange(100_000)})

    def sample(part, sizes, size=500):
        made, first = Sample(size), 0
        for block in cut(data, sizes):
            made.add(BlockColumns(block), ["v"], part, first, None)
            first += len(block)
        return made

    one, other = sample(0, [30_000]).frame({"v": "integer"}, {}), sample(0, [777, 4099]).frame({"v": "integer"}, {})
    pd.testing.assert_frame_equal(one, other)
    counts = np.histogram(one["v"], 10, (0, 100_000))[0]
    assert len(one) == 500 and counts.min() >= 45 and counts.max() <= 55
    left, right = sample(0, [4000]), sample(1, [4000])
    left.merge(right)
    back = sample(1, [9999])
    back.merge(sample(0, [1230]))
    pd.testing.assert_frame_equal(left.frame({"v": "integer"}, {}), back.frame({"v": "integer"}, {}))


@pytest.mark.parametrize("nested", [True, False])
def test_pairs_of_blocks_are_those_of_the_whole(nested):
    from fastlmm_hlm._core import kernels

    rng = np.random.default_rng(3)
    f = rng.integers(0, 40, 1000).astype(np.int32)
    g = (f % 7).astype(np.int32) if nested else np.where(np.arange(1000) < 500, f % 7, rng.integers(0, 7, 1000)).astype(np.int32)
    x, w = rng.normal(size=1000), rng.uniform(0.5, 2, 1000)

    def columns(rows):
        return kernels.Columns([(None, 0.0), (x[rows], 0.3)]), kernels.Columns([(x[rows], 0.0)])

    def table(rows):
        made = PairTable((40, 7), (2, 1))
        for first in range(rows.start, rows.stop, 64):
            part = slice(first, min(first + 64, rows.stop))
            made.add(f[part], columns(part)[0], g[part], columns(part)[1], w[part])
        return made

    expected = kernels.crossprod_pairs(f, 40, columns(slice(0, 1000))[0], g, 7, columns(slice(0, 1000))[1], w)
    joined = table(slice(0, 300))
    joined.merge(table(slice(300, 1000)), None, None)
    again = PairTable.of((40, 7), (2, 1), *table(slice(0, 1000)).pairs())
    for made in (table(slice(0, 1000)), joined, again):
        indptr, indices, values = made.finish()
        np.testing.assert_array_equal(indptr, expected[0])
        np.testing.assert_array_equal(indices, expected[1])
        np.testing.assert_allclose(values, expected[2], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("crossed", [[], [590], [3], [300, 301]], ids=str)
def test_factors_that_stop_being_nested_are_crossed(crossed, small_chunks):
    """Blocks taken from Z_f'WZ_f while factors are nested are the same ones when a row ends the nesting."""
    data = GAPS.assign(a=np.arange(len(GAPS)) % 40, b=np.arange(len(GAPS)) % 8)
    data.loc[crossed, "b"] = 0
    formula = "y ~ z + (1 + z | a) + (1 | b)"
    plan = scanned(formula, [data]).finish()
    design = build_design(build_frame(formula, data))
    expected = cross_products(design, choose_shift(design))
    halves = [summed(plan, cut(data[:300], [90]), 0), summed(plan, cut(data[300:], [90]), 1)]
    again = [Products.from_bytes(half.to_bytes(), plan) for half in halves]
    for found in (summed(plan, cut(data, [90])), halves[0].merge(halves[1]), again[1].merge(again[0])):
        for ours, theirs in zip(found.finish().pairs[0, 1], expected.pairs[0, 1]):
            np.testing.assert_allclose(ours, theirs, rtol=ROUNDING, atol=ROUNDING)


def test_the_recipe_for_processes_in_the_documents_runs(tmp_path):
    page = (pathlib.Path(__file__).resolve().parents[2] / "docs" / "large_data.md").read_text(encoding="utf-8")
    recipe = re.search(r"^```py\n(.*?)^```$", page, flags=re.MULTILINE | re.DOTALL)[1]
    (tmp_path / "scores").mkdir()
    data = datasets.load("classroom")
    for i in range(3):
        data.iloc[i::3].to_parquet(tmp_path / "scores" / f"{i}.parquet")
    (tmp_path / "recipe.py").write_text(recipe)
    root = pathlib.Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "recipe.py"], cwd=tmp_path, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(root)})
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(len(data))
