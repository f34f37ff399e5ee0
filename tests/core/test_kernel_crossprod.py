"""Cross-products of the rows against the model matrices multiplied out."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastlmm_hlm._core import kernels
from reference.arrays import add_crossproducts, columns, random_model, zeros_for
from reference.lmm_dense import indicator_columns

# Sums of at most some thousand products of order 1, added in another order.
ROUNDING = 1e-11
MODELS = st.builds(
    random_model,
    st.integers(0, 10**6),
    n=st.integers(1, 700),
    p=st.integers(0, 5),
    nl=st.just((9, 4)),
    nc=st.tuples(st.integers(1, 4), st.integers(1, 3)),
    weighted=st.booleans(),
)


def crossprod_naive(model):
    """Form X and Z in full and multiply: the definition, not the algorithm."""
    Xy = np.column_stack([model.X, model.y])
    W = np.diag(model.weights)
    ZtWZ, ZtWXy = [], []
    for code, nl, Z in zip(model.codes, model.nl, model.Z):
        nc = Z.shape[1]
        whole = indicator_columns(code, nl, Z)
        G = (whole.T @ W @ whole).reshape(nl, nc, nl, nc)
        ZtWZ.append(np.stack([G[level, :, level] for level in range(nl)]))
        ZtWXy.append((whole.T @ W @ Xy).reshape(nl, nc, -1))
    return Xy.T @ W @ Xy, ZtWZ, ZtWXy


def crossprod(*models):
    """The kernels' sums over one or more blocks of rows."""
    out = zeros_for(models[0])
    for model in models:
        add_crossproducts(model, *out)
    return out


def assert_same(found, expected, tolerance=ROUNDING):
    np.testing.assert_allclose(found[0], expected[0], atol=tolerance, rtol=tolerance)
    for one, other in zip(found[1] + found[2], expected[1] + expected[2], strict=True):
        np.testing.assert_allclose(one, other, atol=tolerance, rtol=tolerance)


@settings(deadline=None, max_examples=60)
@given(MODELS)
def test_cross_products_are_the_model_matrices_multiplied_out(model):
    assert_same(crossprod(model), crossprod_naive(model))


def test_cross_products_are_right_for_more_rows_than_one_chunk():
    model = random_model(3, n=40000, p=2, nl=(5, 3), nc=(2, 1), weighted=True)
    Xy = np.column_stack([model.X, model.y])
    XyWXy, ZtWZ, ZtWXy = crossprod(model)
    np.testing.assert_allclose(XyWXy, Xy.T @ (model.w[:, None] * Xy), rtol=1e-11, atol=1e-8)
    for f in range(2):
        for level in range(model.nl[f]):
            rows = model.codes[f] == level
            Zw = model.Z[f][rows] * model.w[rows, None]
            np.testing.assert_allclose(ZtWZ[f][level], Zw.T @ model.Z[f][rows], rtol=1e-11, atol=1e-8)
            np.testing.assert_allclose(ZtWXy[f][level], Zw.T @ Xy[rows], rtol=1e-11, atol=1e-8)


def test_crossprod_adds_to_what_is_there():
    model = random_model(1)
    XyWXy, ZtWZ, ZtWXy = out = zeros_for(model)
    for array in (XyWXy, *ZtWZ, *ZtWXy):
        array += 5.0
    add_crossproducts(model, *out)
    expected = crossprod_naive(model)
    assert_same(out, (expected[0] + 5, [G + 5 for G in expected[1]], [R + 5 for R in expected[2]]))


@settings(deadline=None, max_examples=30)
@given(MODELS, st.integers(0, 10**6))
def test_crossprod_is_additive_over_row_blocks(model, seed):
    cut = np.random.default_rng(seed).integers(len(model.y) + 1)
    blocks = crossprod(model.rows(slice(0, cut)), model.rows(slice(cut, None)))
    assert_same(blocks, crossprod(model))


def test_crossprod_is_the_same_for_every_order_of_the_rows():
    model = random_model(2, n=500, nl=(9, 4), nc=(2, 1), weighted=True)
    shuffled = model.rows(np.random.default_rng(0).permutation(500))
    assert_same(crossprod(shuffled), crossprod(model))


def test_weight_two_equals_the_row_twice_in_the_cross_products():
    model = random_model(4, n=50)
    twice = model.rows(np.repeat(np.arange(50), 2))
    weighted = random_model(4, n=50)
    object.__setattr__(weighted, "w", np.full(50, 2.0))
    assert_same(crossprod(weighted), crossprod(twice))


def test_weight_zero_equals_the_row_left_out():
    model = random_model(5, n=80)
    w = (np.arange(80) % 3 > 0).astype(float)
    dropped = model.rows(np.flatnonzero(w))
    object.__setattr__(model, "w", w)
    assert_same(crossprod(model), crossprod(dropped))


def test_crossprod_is_the_same_bits_when_called_twice():
    model = random_model(6, n=20000, weighted=True)
    one, other = crossprod(model), crossprod(model)
    assert (one[0] == other[0]).all() and (one[1][0] == other[1][0]).all() and (one[2][0] == other[2][0]).all()


def test_products_of_whole_numbers_are_exact():
    x = np.arange(1000.0)
    out = np.zeros((2, 2))
    kernels.crossprod_fixed(kernels.Columns([(x, 0.0)]), np.ones(1000), None, out)
    assert out.tolist() == [[332833500.0, 499500.0], [499500.0, 1000.0]]


def test_centring_a_column_equals_subtracting_the_constant_beforehand():
    rng = np.random.default_rng(7)
    x, r, w = rng.normal(2015, 3, size=300), rng.normal(size=300), rng.uniform(1, 2, size=300)
    level = rng.integers(6, size=300).astype(np.int32)
    centred, plain = np.zeros((3, 3)), np.zeros((3, 3))
    kernels.crossprod_fixed(kernels.Columns([(None, 0.25), (x, 2015.0)]), r, w, centred)
    kernels.crossprod_fixed(kernels.Columns([(np.full(300, 0.75), 0.0), (x - 2015.0, 0.0)]), r, w, plain)
    np.testing.assert_array_equal(centred, plain)
    out = [(np.zeros((6, 1, 1)), np.zeros((6, 1, 3))) for _ in range(2)]
    X = kernels.Columns([(None, 0.0), (x, 2015.0)])
    kernels.crossprod_factor(level, kernels.Columns([(x, 2015.0)]), X, r, w, *out[0])
    kernels.crossprod_factor(level, kernels.Columns([(x - 2015.0, 0.0)]), X, r, w, *out[1])
    np.testing.assert_array_equal(out[0][0], out[1][0])
    np.testing.assert_array_equal(out[0][1], out[1][1])


def test_a_centred_calendar_year_keeps_all_its_digits():
    year = np.tile(np.arange(2010.0, 2023.0), 1000)
    out = np.zeros((2, 2))
    kernels.crossprod_fixed(kernels.Columns([(year, 2016.0)]), np.zeros(13000), None, out)
    assert out[0, 0] == 182000.0


@pytest.mark.parametrize("bad", [-1, 5, 2**31 - 1, -(2**31)])
@pytest.mark.parametrize("where", [0, 299, 599])
def test_crossprod_factor_rejects_a_bad_code_and_leaves_its_outputs_untouched(bad, where):
    model = random_model(8, n=600, nl=(5,))
    model.codes[0][where] = bad
    _, (G,), (R,) = zeros_for(model)
    G += 3.0
    R += 4.0
    with pytest.raises(ValueError, match=r"level code lies outside"):
        kernels.crossprod_factor(model.codes[0], columns(model.Z[0]), columns(model.X), model.y, None, G, R)
    assert (G == 3.0).all() and (R == 4.0).all()


def test_an_empty_block_of_rows_adds_nothing():
    model = random_model(9, n=10)
    out = zeros_for(model)
    add_crossproducts(model.rows(slice(0, 0)), *out)
    assert not out[0].any() and not out[1][0].any() and not out[2][0].any()


def test_levels_without_rows_have_blocks_of_zeros():
    model = random_model(10, n=40, nl=(3,))
    model.nl[0] = 6
    _, (G,), (R,) = crossprod(model)
    assert G[:3].any(axis=(1, 2)).all() and not G[3:].any() and not R[3:].any()


def test_crossprod_refuses_arrays_whose_lengths_differ():
    model = random_model(11, n=20, nl=(4,), nc=(2,))
    XyWXy, (G,), (R,) = zeros_for(model)
    x, z, code, y = columns(model.X), columns(model.Z[0]), model.codes[0], model.y
    with pytest.raises(ValueError, match="weights have 19 rows, expected 20"):
        kernels.crossprod_fixed(x, y, np.ones(19), XyWXy)
    with pytest.raises(ValueError, match="X has 20 rows, expected 19"):
        kernels.crossprod_fixed(x, y[:19], None, XyWXy)
    with pytest.raises(ValueError, match="XyWXy must be 3 x 3"):
        kernels.crossprod_fixed(x, y, None, np.zeros((2, 2)))
    with pytest.raises(ValueError, match="level codes have 19 rows, expected 20"):
        kernels.crossprod_factor(code[:19], z, x, y, None, G, R)
    with pytest.raises(ValueError, match="ZtWZ must be"):
        kernels.crossprod_factor(code, z, x, y, None, G[:3], R)
    with pytest.raises(ValueError, match="column 1 has 3 rows, the columns before it 4"):
        kernels.Columns([(np.ones(4), 0.0), (np.ones(3), 0.0)])


# --- moments of a column ---------------------------------------------------------------

# Deviations from the first value: relative error at most n roundings.
MOMENTS = 1e-11


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 10**6), n=st.integers(1, 300), centre=st.sampled_from([0.0, 2015.0, -1e6]),
       scale=st.sampled_from([1e-3, 1.0, 1e5]))
def test_moments_are_those_of_numpy(seed, n, centre, scale):
    x = np.random.default_rng(seed).normal(centre, scale, size=n)
    low, high, mean, sd = kernels.column_moments(x)
    assert (low, high) == (x.min(), x.max())
    assert mean == pytest.approx(x.mean(), rel=MOMENTS, abs=MOMENTS * scale)
    assert sd == pytest.approx((x - x.mean()).std(), rel=1e-7, abs=1e-7 * scale)


def test_moments_of_more_rows_than_one_chunk_are_those_of_numpy():
    x = np.random.default_rng(1).exponential(size=3 * 16384 + 5)
    low, high, mean, sd = kernels.column_moments(x)
    assert (low, high) == (x.min(), x.max())
    assert (mean, sd) == pytest.approx((x.mean(), x.std()), rel=MOMENTS)


@pytest.mark.parametrize("n", [1, 7, 8, 9, 20000])
@pytest.mark.parametrize("value", [0.0, 0.1, -2015.3, 1e100])
def test_a_constant_column_has_no_deviation_at_all(value, n):
    assert kernels.column_moments(np.full(n, value)) == (value, value, value, 0.0)


@pytest.mark.parametrize("where", [0, 5000, 9999])
def test_one_value_far_from_the_others_spoils_no_moment(where):
    x = np.random.default_rng(2).normal(size=10000)
    x[where] = 1e9
    *_, mean, sd = kernels.column_moments(x)
    assert (mean, sd) == pytest.approx((x.mean(), x.std()), rel=1e-9)


def test_a_column_that_is_not_finite_shows_in_its_mean():
    x = np.ones(30)
    x[17] = np.nan
    assert np.isnan(kernels.column_moments(x)[2])


def test_a_column_without_rows_has_no_moments():
    with pytest.raises(ValueError, match="without rows"):
        kernels.column_moments(np.empty(0))
