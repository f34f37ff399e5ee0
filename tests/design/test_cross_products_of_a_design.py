"""Cross-products of a design: blocks of rows, the shift of the response, and the union of pairs."""

import numpy as np
import pandas as pd
import pytest

from fastlmm_hlm.design import crossprod
from fastlmm_hlm.design.crossprod import choose_shift, cross_products, shifted_response
from fastlmm_hlm.design.design import build_design
from fastlmm_hlm.formula import build_frame
from reference.models import frame, simulated, term

ROUNDING = 1e-11


def assert_same(one, other):
    assert one.n == other.n
    assert one.sum_log_weights == pytest.approx(other.sum_log_weights, abs=ROUNDING)
    scale = np.abs(one.XyWXy).max()
    np.testing.assert_allclose(one.XyWXy, other.XyWXy, atol=ROUNDING * scale)
    for a, b in zip(one.ZtWZ + one.ZtWXy, other.ZtWZ + other.ZtWXy, strict=True):
        np.testing.assert_allclose(a, b, atol=ROUNDING * scale)
    assert one.pairs.keys() == other.pairs.keys()
    for key in one.pairs:
        np.testing.assert_array_equal(one.pairs[key][0], other.pairs[key][0])
        np.testing.assert_array_equal(one.pairs[key][1], other.pairs[key][1])
        np.testing.assert_allclose(one.pairs[key][2], other.pairs[key][2], atol=ROUNDING * scale)


@pytest.mark.parametrize("block_rows", [1, 7, 50, 119, 120, 1000])
def test_blocks_of_rows_add_up_to_the_whole(block_rows):
    design = build_design(simulated(1, (12, 8, 5), (2, 1, 2), weighted=True, slope_mean=4.0))
    beta0 = choose_shift(design)
    assert_same(cross_products(design, beta0, block_rows), cross_products(design, beta0))


def pupils(n):
    """Pupils in classes in schools, and teachers who meet them at random."""
    rng = np.random.default_rng(5)
    room = rng.integers(0, 90, n)
    return pd.DataFrame({"y": rng.normal(size=n), "year": rng.integers(2015, 2021, n), "w": rng.uniform(0.5, 2.0, n),
                         "room": room, "school": room % 30, "teacher": rng.integers(0, 40, n)})


FORMULA = "y ~ year + (year | room) + (1 | school) + (1 | teacher)"


def assert_same_bits(one, other):
    np.testing.assert_array_equal(one.XyWXy, other.XyWXy)
    for a, b in zip(one.ZtWZ + one.ZtWXy, other.ZtWZ + other.ZtWXy, strict=True):
        np.testing.assert_array_equal(a, b)
    for key in one.pairs:
        for a, b in zip(one.pairs[key], other.pairs[key], strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("threads", [1, 2])
def test_the_bits_do_not_depend_on_the_rows_made_at_a_time(monkeypatch, threads):
    design = build_design(build_frame(FORMULA, pupils(40_000), weights="w"))
    beta0 = choose_shift(design)
    whole = cross_products(design, beta0)
    monkeypatch.setattr(crossprod, "WORTH_THREADS", 0)
    monkeypatch.setattr(crossprod, "SLAB", 16_384)
    assert_same_bits(cross_products(design, beta0, threads=threads), whole)


def test_integer_columns_give_the_products_of_doubles():
    products = []
    for data in (pupils(500), pupils(500).astype({"year": float})):
        design = build_design(build_frame(FORMULA, data))
        products.append(cross_products(design, choose_shift(design)))
    assert_same_bits(*products)


def test_blocks_shifted_differently_are_not_added():
    design = build_design(simulated(1, (12,), (2,)))
    one, other = cross_products(design, np.zeros(2)), cross_products(design, np.ones(2))
    with pytest.raises(ValueError, match="different beta0"):
        one.add(other)


def test_the_response_is_shifted_by_the_offset_and_beta0():
    data = simulated(2, (6,), (1,), offset=True)
    design = build_design(data)
    beta0 = np.array([2.0, -1.0])
    np.testing.assert_allclose(shifted_response(design, beta0), data.y - data.offset - data.X @ beta0, atol=1e-14)
    np.testing.assert_allclose(shifted_response(design, beta0, slice(5, 9)),
                               (data.y - data.offset - data.X @ beta0)[5:9], atol=1e-14)


def test_the_shift_is_near_least_squares():
    data = simulated(3, (6,), (1,), n=5000, offset=True)
    expected = np.linalg.lstsq(data.X, data.y - data.offset, rcond=None)[0]
    np.testing.assert_allclose(choose_shift(build_design(data)), expected, atol=0.2)


def test_products_are_those_of_the_centred_columns():
    data = simulated(4, (6, 4), (2, 2), slope_mean=2015.0)
    design = build_design(data)
    assert design.x_centring.centre[1] == pytest.approx(2015, abs=1)
    products = cross_products(design, choose_shift(design))
    Xc = data.X - design.x_centring.centre
    np.testing.assert_allclose(products.XyWXy[:2, :2], Xc.T @ Xc, atol=1e-8)
    codes, Zc = data.random[1].codes, data.random[1].Z - design.factors[1].centring.centre
    expected = [Zc[codes == level].T @ Zc[codes == level] for level in range(4)]
    np.testing.assert_allclose(products.ZtWZ[1], expected, atol=1e-8)


def test_terms_that_share_a_factor_share_its_blocks():
    rng = np.random.default_rng(5)
    x, g, h = rng.normal(size=60), np.arange(60) % 6, np.arange(60) % 5
    one = np.ones((60, 1))
    data = frame(rng.normal(size=60), np.column_stack([one, x]),
                 [term("g", g, one, ["(Intercept)"]), term("h", h, one, ["(Intercept)"]),
                  term("g", g, x[:, None], ["x"])])
    design = build_design(data)
    assert [f.name for f in design.factors] == ["g", "h"] and design.factors[0].names == ["(Intercept)", "x"]
    assert [(t.factor, t.columns) for t in design.terms] == [(0, slice(0, 1)), (1, slice(0, 1)), (0, slice(1, 2))]


def test_the_columns_of_a_diagonal_term_are_not_centred():
    design = build_design(simulated(6, (6,), (2,), covariance="diag", slope_mean=2015.0))
    assert design.factors[0].centring.is_identity


def test_another_response_leaves_the_rest_of_the_design():
    design = build_design(simulated(7, (6,), (2,)))
    other = design.with_response(np.arange(120))
    assert other.x_columns is design.x_columns and other.y.dtype == float and other.n == 120
