"""All sums over rows in one sweep, and the kernels that number rows, against the definitions."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastlmm_hlm._core import kernels

ROUNDING = 1e-11


class Rows:
    """Random rows: some sorted by group, some not; columns of Z that are columns of X, and others."""

    def __init__(self, seed, n, p, own, nl, run, weighted, offset):
        rng = np.random.default_rng(seed)
        self.n, self.p = n, p
        self.x = [None, *rng.normal(size=(max(p - 1, 0), n))][:p]
        self.centre = rng.normal(size=p)
        self.y, self.beta0 = rng.normal(size=n), rng.normal(size=p)
        self.offset = rng.normal(size=n) if offset else None
        self.w = rng.uniform(0.5, 2.0, size=n) if weighted else None
        self.codes = [np.repeat(rng.integers(levels, size=n // run + 1), run)[:n].astype(np.int32) for levels in nl]
        self.nl = nl
        self.z = []
        for extra in own:
            shared = [(self.x[j], self.centre[j]) for j in rng.permutation(p)[: min(2, p)]]
            self.z.append([*shared, *((rng.normal(size=n), rng.normal()) for _ in range(extra))] or [(None, 0.0)])

    def columns(self):
        return kernels.Columns(list(zip(self.x, self.centre)))

    def sums(self, chosen=None, fixed=True, squares=True):
        XyWXy = np.zeros((self.p + 1, self.p + 1))
        G = [np.zeros((levels, len(z), len(z))) for levels, z in zip(self.nl, self.z)]
        R = [np.zeros((levels, len(z), self.p + 1)) for levels, z in zip(self.nl, self.z)]
        groups = [
            kernels.Grouping(codes, kernels.Columns(z), levels, G[f] if squares else None, R[f] if chosen is None or f in chosen else None)
            for f, (codes, z, levels) in enumerate(zip(self.codes, self.z, self.nl))
        ]
        kernels.crossprod_rows(self.columns(), self.y, self.offset, self.beta0, self.w, groups, XyWXy if fixed else None)
        return XyWXy, G, R

    def written_out(self):
        one = np.ones(self.n)
        raw = np.column_stack([one if c is None else c for c in self.x] or [np.empty((self.n, 0))])
        r = self.y - (0 if self.offset is None else self.offset) - raw @ self.beta0
        Xr = np.column_stack([raw - self.centre, r])
        w = one if self.w is None else self.w
        Z = [np.column_stack([(one if c is None else c) - m for c, m in z]) for z in self.z]
        G = [np.array([(Zf[k == l].T * w[k == l]) @ Zf[k == l] for l in range(nl)]) for Zf, k, nl in zip(Z, self.codes, self.nl)]
        R = [np.array([(Zf[k == l].T * w[k == l]) @ Xr[k == l] for l in range(nl)]) for Zf, k, nl in zip(Z, self.codes, self.nl)]
        return (Xr.T * w) @ Xr, G, R


ROWS = st.builds(
    Rows, st.integers(0, 10**6), n=st.integers(1, 900), p=st.integers(0, 10), own=st.sampled_from([(), (0,), (1,), (0, 0), (2, 0), (1, 6)]),
    nl=st.just((7, 3)), run=st.sampled_from([1, 2, 5, 300]), weighted=st.booleans(), offset=st.booleans(),
)


def assert_close(found, expected):
    np.testing.assert_allclose(found[0], expected[0], atol=ROUNDING * 900, rtol=ROUNDING)
    for one, other in zip(found[1] + found[2], expected[1] + expected[2], strict=True):
        np.testing.assert_allclose(one, other, atol=ROUNDING * 900, rtol=ROUNDING)


@settings(deadline=None, max_examples=150)
@given(ROWS)
def test_all_sums_in_one_sweep_are_the_definition(rows):
    rows.nl, rows.codes = rows.nl[: len(rows.z)], rows.codes[: len(rows.z)]
    assert_close(rows.sums(), rows.written_out())


@pytest.mark.parametrize("run", [1, 7])
@pytest.mark.parametrize("n", [20_000, 16_384, 257])
def test_sums_are_right_over_several_chunks(n, run):
    rows = Rows(5, n, 3, (0, 1), (50, 4), run, True, True)
    assert_close(rows.sums(), rows.written_out())


@pytest.mark.parametrize("run", [1, 6])
@pytest.mark.parametrize("p", [3, 12])
def test_the_bits_do_not_depend_on_what_is_asked_for_together(p, run):
    rows = Rows(6, 30_000, p, (0, 1), (500, 40), run, True, False)
    XyWXy, G, R = rows.sums()
    for f in range(2):
        apart = rows.sums([f], False)
        assert (apart[1][f] == G[f]).all() and (apart[2][f] == R[f]).all() and not apart[0].any() and not apart[2][1 - f].any()
    assert (rows.sums([], True)[0] == XyWXy).all()
    without = rows.sums(squares=False)
    assert (without[2][0] == R[0]).all() and not without[1][0].any()


def test_columns_of_z_that_are_columns_of_x_have_their_squares_among_the_products():
    rows = Rows(8, 5_000, 3, (0,), (90,), 4, True, False)
    _, (G,), (R,) = rows.sums()
    at = np.array([next(j for j in range(3) if rows.x[j] is column) for column, _ in rows.z[0]], dtype=np.int32)
    assert (kernels.take_columns(R, at) == G).all()


def test_rows_at_a_chunk_s_edge_belong_to_one_run():
    level = np.zeros(40_000, dtype=np.int32)
    G, R = np.zeros((1, 1, 1)), np.zeros((1, 1, 2))
    x = kernels.Columns([(None, 0.0)])
    kernels.crossprod_rows(x, np.ones(40_000), None, None, None, [kernels.Grouping(level, x, 1, G, R)], None)
    assert G[0, 0, 0] == 40_000 and R[0, 0].tolist() == [40_000.0, 40_000.0]


@pytest.mark.parametrize("bad", [-1, 3, 2**31 - 1])
def test_a_bad_code_of_any_factor_is_refused_before_anything_is_added(bad):
    rows = Rows(3, 600, 2, (0, 0), (7, 3), 1, False, False)
    rows.codes[1][599] = bad
    XyWXy, G, R = np.zeros((3, 3)), np.zeros((7, 2, 2)), np.zeros((7, 2, 3))
    groups = [kernels.Grouping(rows.codes[0], kernels.Columns(rows.z[0]), 7, G, R), kernels.Grouping(rows.codes[1], kernels.Columns(rows.z[1]), 3)]
    with pytest.raises(ValueError, match="level code lies outside"):
        kernels.crossprod_rows(rows.columns(), rows.y, None, None, None, groups, XyWXy)
    assert not XyWXy.any() and not G.any() and not R.any()


def test_arrays_that_do_not_fit_are_refused():
    rows = Rows(3, 60, 2, (0,), (7,), 1, False, False)
    x, z, codes = rows.columns(), kernels.Columns(rows.z[0]), rows.codes[0]
    with pytest.raises(ValueError, match="ZtWXy must be"):
        kernels.Grouping(codes, z, 8, None, np.zeros((7, 2, 3)))
    with pytest.raises(ValueError, match="ZtWZ must be"):
        kernels.Grouping(codes, z, 7, np.zeros((7, 1, 2)), np.zeros((7, 2, 3)))
    with pytest.raises(ValueError, match="Z has 60 rows, expected 59"):
        kernels.Grouping(codes[:59], z, 7)
    group = kernels.Grouping(codes, z, 7, None, np.zeros((7, 2, 4)))
    with pytest.raises(ValueError, match="ZtWXy must be"):
        kernels.crossprod_rows(x, rows.y, None, None, None, [group], None)
    group = kernels.Grouping(codes, z, 7)
    for arguments, what in (
        ((rows.y[:59], None, None, None, [], None), "X has 60 rows"), ((rows.y, rows.y[:5], None, None, [], None), "offset has 5 rows"),
        ((rows.y, None, np.ones(3), None, [], None), "beta0 has 3 elements"), ((rows.y, None, None, np.ones(9), [], None), "weights have 9 rows"),
        ((rows.y, None, None, None, [], np.zeros((2, 2))), "XyWXy must be 3 x 3"),
    ):
        with pytest.raises(ValueError, match=what):
            kernels.crossprod_rows(x, *arguments)
    with pytest.raises(TypeError):
        kernels.crossprod_rows(x, rows.y, None, None, None, ["group"], None)


# --- numbering rows -----------------------------------------------------------------------


@settings(deadline=None)
@given(st.lists(st.integers(-50, 50), max_size=60), st.integers(-60, 60), st.integers(0, 80), st.sampled_from([np.int32, np.int64]))
def test_integers_are_looked_up_in_a_table_over_their_range(values, low, size, kind):
    table = np.arange(size, dtype=np.int32)
    table[::3] = -1
    codes = np.empty(len(values), dtype=np.int32)
    every = kernels.look_up_integers(np.array(values, dtype=kind), low, table, codes)
    expected = [int(table[v - low]) if 0 <= v - low < size else -1 for v in values]
    assert codes.tolist() == expected and every == all(code >= 0 for code in expected)


def test_integers_at_the_ends_of_their_type_are_outside_and_nothing_overflows():
    ends = np.array([-(2**63), 2**63 - 1, 0], dtype=np.int64)
    codes = np.empty(3, dtype=np.int32)
    for low in (-(2**63), 0, 2**62, 2**63 - 1):
        kernels.look_up_integers(ends, low, np.zeros(1, dtype=np.int32), codes)
        assert codes.tolist() == [0 if value == low else -1 for value in ends.tolist()]


@settings(deadline=None)
@given(st.lists(st.integers(0, 30), max_size=80), st.lists(st.integers(0, 30), max_size=80), st.sampled_from([np.int32, np.int64]))
def test_new_integers_are_numbered_in_the_order_of_their_rows(first, second, kind):
    table, seen = np.full(31, -1, dtype=np.int32), []
    for values in (first, second):
        codes = np.empty(len(values), dtype=np.int32)
        new = kernels.number_integers(np.array(values, dtype=kind), 0, table, len(seen), codes)
        before = len(seen)
        seen += [v for v in dict.fromkeys(values) if v not in seen]
        assert new.tolist() == seen[before:] and codes.tolist() == [seen.index(v) for v in values]


def test_nothing_is_numbered_where_an_integer_lies_outside_the_table():
    table = np.array([-1, 0, -1], dtype=np.int32)
    assert kernels.number_integers(np.array([12, 10, 11, 13]), 10, table, 1, np.empty(4, dtype=np.int32)) is None
    assert table.tolist() == [-1, 0, -1]
    assert kernels.number_integers(np.array([12]), 10, np.zeros(0, dtype=np.int32), 0, np.empty(1, dtype=np.int32)) is None


@settings(deadline=None)
@given(st.lists(st.lists(st.integers(-(2**63), 2**63 - 1) | st.integers(-5, 5), max_size=60), max_size=4))
def test_keys_are_numbered_in_the_order_in_which_they_come(blocks):
    keys, seen = kernels.Keys(), {}
    for block in blocks:
        expected = [seen.setdefault(key, len(seen)) for key in block]
        assert keys.number(np.array(block, dtype=np.int64)).tolist() == expected
        keys = pickle.loads(pickle.dumps(keys))
    assert keys.count == len(seen) and keys.values().tolist() == list(seen)


@pytest.mark.parametrize("step", [1, 2**32, 2**20 + 1])
def test_a_million_keys_in_a_pattern_are_told_apart(step):
    wanted = np.arange(300_000, dtype=np.int64) * step
    keys = kernels.Keys()
    assert (keys.number(np.repeat(wanted, 2)) == np.repeat(np.arange(300_000), 2)).all()
    assert (keys.number(wanted[::-1].copy()) == np.arange(300_000)[::-1]).all() and (keys.values() == wanted).all()


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 2)), max_size=30))
def test_nesting_is_followed_row_by_row(pairs):
    parent = np.full(6, -1, dtype=np.int32)
    f, g = (np.array([pair[k] for pair in pairs], dtype=np.int32) for k in (0, 1))
    nested = all(len({b for a, b in pairs if a == level}) <= 1 for level in range(6))
    assert kernels.follow_nesting(f, g, parent) == nested
    if nested:
        assert parent.tolist() == [next((b for a, b in pairs if a == level), -1) for level in range(6)]


def test_nesting_refuses_codes_outside():
    with pytest.raises(ValueError, match="level code lies outside"):
        kernels.follow_nesting(np.array([0, 6], dtype=np.int32), np.zeros(2, dtype=np.int32), np.full(6, -1, dtype=np.int32))
    with pytest.raises(ValueError, match="have 2 and 1 rows"):
        kernels.follow_nesting(np.zeros(2, dtype=np.int32), np.zeros(1, dtype=np.int32), np.zeros(6, dtype=np.int32))


# --- one column ----------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("n", [1, 7, 8, 9, 1000])
def test_one_value_that_is_not_finite_is_found_anywhere(n, bad):
    values = np.full(n, 1.7e308)
    values[::2] *= -1
    assert kernels.all_finite(values)
    for where in {0, n // 2, n - 1}:
        broken = values.copy()
        broken[where] = bad
        assert not kernels.all_finite(broken)
    assert kernels.all_finite(np.empty(0))


def test_columns_are_taken_in_any_order_and_twice():
    blocks = np.random.default_rng(1).normal(size=(5, 2, 4))
    for at in ([2], [3, 0, 3], []):
        at = np.array(at, dtype=np.int32)
        assert (kernels.take_columns(blocks, at) == blocks[:, :, at]).all()
    with pytest.raises(ValueError, match="no column 4"):
        kernels.take_columns(blocks, np.array([0, 4], dtype=np.int32))
