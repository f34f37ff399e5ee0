"""New data in blocks: the same matrices and codes as of all rows at once."""

import numpy as np
import pandas as pd
import pytest

from fastlmm_hlm.errors import DataError
from fastlmm_hlm.formula import build_frame
from fastlmm_hlm.formula.columns import DataColumns
from fastlmm_hlm.formula.evaluate import Evaluator
from fastlmm_hlm.formula.grouping import GroupMatcher, all_levels, match_groups, match_with_new, unmatched_levels
from fastlmm_hlm.formula.newrows import NewRows
from fastlmm_hlm.formula.syntax import Name

FORMULA = "y ~ poly(x, 2) + f * z + log(t) + flag + offset(o) + (x + f | g) + (1 | h:k) + (0 + ns(z, 2) | factor(k))"


def data(seed=1, n=120):
    rng = np.random.default_rng(seed)
    return pd.DataFrame({
        "y": rng.normal(size=n), "x": rng.normal(size=n), "z": rng.integers(0, 9, n), "t": rng.uniform(1, 2, n), "o": rng.normal(size=n),
        "f": rng.choice(["a", "b", "c"], n), "flag": rng.random(n) < 0.5, "g": rng.integers(3, 9, n), "k": rng.integers(0, 4, n),
        "h": pd.Categorical(rng.choice(["u", "v", "w"], n), categories=["w", "v", "u", "never"]),
    })


@pytest.fixture(scope="module")
def spec():
    return build_frame(FORMULA, data(), skip_checks=("nobs.vs.nRE", "nobs.vs.nlev")).spec


@pytest.mark.parametrize("size", [1, 7, 200])
def test_blocks_put_together_are_the_matrices_of_all_rows(spec, size):
    new = data(seed=2, n=61)
    new.loc[[3, 40], "x"] = np.nan
    rows = NewRows(spec, new, range(len(spec.random_terms)))
    blocks = [rows.block(slice(first, min(first + size, 61))) for first in range(0, 61, size)]

    def whole(columns_of):
        return np.vstack([np.column_stack([np.ones(b.n) if c is None else c for c in columns_of(b)]) for b in blocks])

    X = spec.fixed(new)
    np.testing.assert_array_equal(np.isnan(X).any(axis=1), np.isnan(whole(lambda b: b.x_columns)).any(axis=1))
    seen = ~np.isnan(X).any(axis=1)
    np.testing.assert_allclose(whole(lambda b: b.x_columns)[seen], X[seen], rtol=1e-14)
    for k, (codes, Z) in enumerate(spec.random(new)):
        np.testing.assert_array_equal(np.concatenate([b.codes[k] for b in blocks]), codes)
        np.testing.assert_allclose(whole(lambda b, k=k: b.z_columns[k])[seen], Z[seen], rtol=1e-14)
    np.testing.assert_array_equal(np.concatenate([b.offset for b in blocks]), spec.offset(new))


def test_an_error_of_a_block_counts_all_rows(spec):
    new = data(seed=3, n=30)
    new.loc[25, "x"] = np.inf
    with pytest.raises(DataError, match=r"row 25 \(counted from 0\)"):
        NewRows(spec, new).block(slice(20, 30))


def matcher(values, known):
    whole = Evaluator(DataColumns({"g": values}), state={}, levels={})
    return GroupMatcher(Name("g"), whole, known), whole


@pytest.mark.parametrize("known", [
    pd.Index([3, 5, 9]), pd.Index([-4, 0, 10**12]), pd.Index([3, 5, 9], dtype=np.int8), pd.Index(["3", "5", "9"], dtype=object),
    pd.Index([3.0, 5.0, 9.0]), pd.Index(["a", "b"], dtype=object),
])
@pytest.mark.parametrize("values", [
    np.array([9, 3, 4, 5, -4, 10**12]), np.array([9, 3, 4], dtype=np.uint8), np.array([9, 3, 2**63], dtype=np.uint64), np.array([9.0, np.nan, 3.0]),
    ["9", "x", "3", None], pd.Categorical(["5", "3", None], categories=["9", "5", "3"]), pd.Categorical([5, 3, 4]),
    pd.array([5, None, 3], dtype="Int64"), ["b", "a"], np.array([2**63 - 1, -(2**63), 3]),
])
def test_levels_are_matched_as_their_texts_say(known, values):
    found, whole = matcher(values, known)
    n = len(values)
    codes = np.concatenate([found.codes(slice(i, i + 1)) for i in range(n)])
    assert codes.dtype == np.int32
    np.testing.assert_array_equal(codes, match_groups(Name("g"), whole, known))


def test_new_levels_follow_those_of_the_fit():
    _, whole = matcher(["b", "q", None, "a", "p", "q", None], pd.Index(["a", "b"], dtype=object))
    known = pd.Index(["a", "b"], dtype=object)
    codes, count = match_with_new(Name("g"), whole, known)
    assert codes.tolist() == [1, 3, 4, 0, 2, 3, 4] and count == 5
    assert unmatched_levels(Name("g"), whole, known) == (["p", "q"], 2)
    assert all_levels(Name("g"), whole)[1].tolist() == [1, 3, -1, 0, 2, 3, -1]
