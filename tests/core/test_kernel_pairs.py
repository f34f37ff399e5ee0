"""The blocks Z_f'WZ_g over pairs of levels that meet."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastlmm_hlm._core import kernels
from reference.arrays import LAYOUTS, columns, pairs_of, random_model
from reference.lmm_dense import indicator_columns

ROUNDING = 1e-12


def dense_from_pairs(indptr, indices, values, nl_g):
    """The blocks put in their places, (nl_f, nc_f, nl_g, nc_g)."""
    out = np.zeros((len(indptr) - 1, values.shape[1], nl_g, values.shape[2]))
    for f in range(len(indptr) - 1):
        for e in range(indptr[f], indptr[f + 1]):
            out[f, :, indices[e], :] += values[e]
    return out


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 10**6), n=st.integers(1, 200), nl_f=st.integers(1, 30), nl_g=st.integers(1, 12),
       nc_f=st.integers(1, 3), nc_g=st.integers(1, 3), weighted=st.booleans(), layout=st.sampled_from(sorted(LAYOUTS)))
def test_pairs_are_the_blocks_of_the_product_multiplied_out(seed, n, nl_f, nl_g, nc_f, nc_g, weighted, layout):
    nl = (6 * nl_f, 6 * nl_g) if layout == "clustered" else (nl_f, nl_g)
    model = random_model(seed, n=n, nl=nl, nc=(nc_f, nc_g), weighted=weighted, layout=layout)
    indptr, indices, values = pairs_of(model)[0, 1]
    Zf, Zg = (indicator_columns(c, levels, Z) for c, levels, Z in zip(model.codes, nl, model.Z))
    expected = (Zf.T @ (model.weights[:, None] * Zg)).reshape(nl[0], nc_f, nl[1], nc_g)
    np.testing.assert_allclose(dense_from_pairs(indptr, indices, values, nl[1]), expected, atol=ROUNDING * n)
    met = sorted({(int(f), int(g)) for f, g in zip(*model.codes)})
    assert [(f, int(g)) for f in range(nl[0]) for g in indices[indptr[f] : indptr[f + 1]]] == met


def test_pairs_do_not_depend_on_the_order_of_rows():
    model = random_model(1, n=300, nl=(20, 7), nc=(2, 2))
    one = pairs_of(model)[0, 1]
    other = pairs_of(model.rows(np.random.default_rng(0).permutation(300)))[0, 1]
    np.testing.assert_array_equal(one[0], other[0])
    np.testing.assert_array_equal(one[1], other[1])
    np.testing.assert_allclose(one[2], other[2], atol=ROUNDING * 300)


def test_nested_pairs_add_up_over_blocks_of_rows():
    model = random_model(4, n=200, nl=(30, 6), nc=(2, 1), weighted=True)
    f = model.codes[0]
    g = (f % 6).astype(np.int32)
    w = model.weights
    indptr, indices = kernels.nested_pairs(f, 30, g, 6)
    values = np.zeros((len(indices), 2, 1))
    for rows in (slice(0, 90), slice(90, 200)):
        z_f, z_g = (columns(Z[rows]) for Z in model.Z)
        kernels.add_nested_pairs(f[rows].copy(), z_f, z_g, w[rows].copy(), indptr, values)
    expected = kernels.crossprod_pairs(f, 30, columns(model.Z[0]), g, 6, columns(model.Z[1]), w)
    for found, right in zip((indptr, indices, values), expected, strict=True):
        np.testing.assert_array_equal(found, right)
    assert kernels.nested_pairs(g, 6, f, 30) is None
    with pytest.raises(ValueError, match="pairs, nc_f, nc_g"):
        kernels.add_nested_pairs(f, columns(model.Z[0]), columns(model.Z[1]), w, indptr, values[:-1].copy())
    with pytest.raises(ValueError, match="200 and 199 rows"):
        kernels.nested_pairs(f, 30, g[:-1].copy(), 6)


def test_pairs_of_no_rows_are_none():
    model = random_model(2, n=5, nl=(4, 3), nc=(2, 1)).rows(slice(0, 0))
    indptr, indices, values = pairs_of(model)[0, 1]
    assert indptr.tolist() == [0, 0, 0, 0, 0] and indices.shape == (0,) and values.shape == (0, 2, 1)


def test_levels_without_rows_meet_nobody():
    model = random_model(3, n=50, nl=(4, 3), nc=(1, 1))
    model.nl[:] = [9, 8]
    indptr, indices, _ = pairs_of(model)[0, 1]
    assert (np.diff(indptr)[4:] == 0).all() and indices.max() < 3


def test_centred_columns_enter_the_pairs_centred():
    rng = np.random.default_rng(4)
    x = rng.normal(2015, 1, 90)
    f, g = (rng.integers(nl, size=90).astype(np.int32) for nl in (5, 4))
    ones = kernels.Columns([(None, 0.0)])
    centred = kernels.crossprod_pairs(f, 5, kernels.Columns([(x, 2015.0)]), g, 4, ones, None)
    plain = kernels.crossprod_pairs(f, 5, kernels.Columns([(x - 2015.0, 0.0)]), g, 4, ones, None)
    np.testing.assert_array_equal(centred[2], plain[2])


@pytest.mark.parametrize("factor", [0, 1])
@pytest.mark.parametrize("bad", [-1, 4, 2**31 - 1])
def test_pairs_reject_a_bad_code_of_either_factor(factor, bad):
    model = random_model(5, n=40, nl=(4, 4), nc=(1, 1))
    model.codes[factor][17] = bad
    with pytest.raises(ValueError, match="level code lies outside"):
        pairs_of(model)


def test_pairs_refuse_codes_of_different_lengths():
    model = random_model(6, n=40, nl=(4, 4), nc=(1, 1))
    z = columns(model.Z[0])
    with pytest.raises(ValueError, match="have 40 and 39 rows"):
        kernels.crossprod_pairs(model.codes[0], 4, z, model.codes[1][:39], 4, z, None)
    with pytest.raises(ValueError, match="weights have 3 rows, expected 40"):
        kernels.crossprod_pairs(model.codes[0], 4, z, model.codes[1], 4, z, np.ones(3))
