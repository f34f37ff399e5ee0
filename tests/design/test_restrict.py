"""Cross-products of a smaller model against those added up from the rows."""

import numpy as np
import pandas as pd
import pytest

from fastlmm_hlm.design.crossprod import cross_products
from fastlmm_hlm.design.design import build_design
from fastlmm_hlm.design.restrict import ColumnMap, fixed_columns_only, linear_model_criterion, restricted_products
from fastlmm_hlm.formula import build_frame

# Sums of products in another order, and columns near 2,000 that are centred in one place and not in the other.
ROUNDING = 1e-9


def some_rows(seed=3, n=120):
    rng = np.random.default_rng(seed)
    return pd.DataFrame({
        "y": rng.normal(size=n), "x": rng.normal(size=n), "year": 2000.0 + rng.integers(0, 9, n), "w": rng.uniform(0.5, 2, n),
        "f": rng.choice(list("abc"), n), "g": rng.integers(0, 12, n), "h": rng.integers(0, 12, n),
    })


def design_of(formula, data):
    return build_design(build_frame(formula, data, weights="w"))


def naive(design, beta0):
    """[Z X r]'W[Z X r] from full matrices: the definition, not the algorithm."""
    x = design.X - design.x_centring.centre
    r = design.y - design.X @ beta0
    blocks = []
    for factor in design.factors:
        z = np.column_stack([np.ones(design.n) if c is None else c for c in factor.columns]) - factor.centring.centre
        Z = np.zeros((design.n, len(factor.levels), z.shape[1]))
        Z[np.arange(design.n), factor.codes] = z
        blocks.append(Z.reshape(design.n, -1))
    whole = np.column_stack([*blocks, x, r])
    return whole.T @ (design.weights[:, None] * whole)


def assembled(products):
    """The same matrix from CrossProducts."""
    sizes = [G.shape[0] * G.shape[1] for G in products.ZtWZ]
    starts = np.concatenate([[0], np.cumsum(sizes)])
    total = np.zeros((starts[-1] + products.p + 1,) * 2)
    for f, (G, GX) in enumerate(zip(products.ZtWZ, products.ZtWXy)):
        nl, nc = G.shape[:2]
        for level in range(nl):
            here = slice(starts[f] + level * nc, starts[f] + (level + 1) * nc)
            total[here, here] = G[level]
            total[here, starts[-1]:] = GX[level]
            total[starts[-1]:, here] = GX[level].T
    for (f, g), (indptr, indices, values) in products.pairs.items():
        cf, cg = products.ZtWZ[f].shape[1], products.ZtWZ[g].shape[1]
        for level in range(len(indptr) - 1):
            for k in range(indptr[level], indptr[level + 1]):
                here = slice(starts[f] + level * cf, starts[f] + (level + 1) * cf)
                there = slice(starts[g] + indices[k] * cg, starts[g] + (indices[k] + 1) * cg)
                total[here, there], total[there, here] = values[k], values[k].T
    total[starts[-1]:, starts[-1]:] = products.XyWXy
    return total


def restricted(large, small, fixed, factors):
    """Products of `small` from those of `large`; columns as lists of places in the larger model."""
    products = cross_products(large, np.linspace(0.1, 0.5, large.p))
    x_map = ColumnMap(np.eye(large.p)[:, fixed], large.x_centring, small.x_centring)
    maps = [
        (old, ColumnMap(np.eye(len(large.factors[old].names))[:, columns], large.factors[old].centring, own.centring))
        for (old, columns), own in zip(factors, small.factors)
    ]
    return restricted_products(products, x_map, maps)


LARGE = "y ~ year + x + f + (year | g) + (x | h)"


@pytest.mark.parametrize("formula, fixed, factors", [
    ("y ~ x + f + (year | g) + (x | h)", [0, 2, 3, 4], [(0, [0, 1]), (1, [0, 1])]),
    ("y ~ year + (1 | g) + (x | h)", [0, 1], [(0, [0]), (1, [0, 1])]),
    ("y ~ 0 + year + x + (0 + year | g)", [1, 2], [(0, [1])]),
    ("y ~ year + x + (0 + x | h) + (1 | g)", [0, 1, 2], [(1, [1]), (0, [0])]),
])
def test_products_of_a_smaller_model_are_those_of_its_rows(formula, fixed, factors):
    data = some_rows()
    large, small = design_of(LARGE, data), design_of(formula, data)
    made = restricted(large, small, fixed, factors)
    direct = naive(small, made.beta0)
    scale = np.sqrt(np.outer(np.diagonal(direct), np.diagonal(direct)))
    assert np.abs(assembled(made) - direct).max() <= ROUNDING * scale.max()
    assert made.n == large.n


def test_a_constant_is_the_sum_of_a_full_set_of_dummies():
    data = some_rows()
    large, small = design_of("y ~ 0 + f + x + (0 + f | g)", data), design_of("y ~ x + (1 | g)", data)
    products = cross_products(large, np.zeros(large.p))
    C = np.array([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    made = restricted_products(products, ColumnMap(C, large.x_centring, small.x_centring),
                               [(0, ColumnMap(np.ones((3, 1)), large.factors[0].centring, small.factors[0].centring))])
    assert np.allclose(assembled(made), naive(small, made.beta0), rtol=ROUNDING, atol=ROUNDING)


def test_the_response_of_the_smaller_model_is_shifted_by_its_own_least_squares():
    data = some_rows()
    large = design_of("y ~ year + x + (1 | g)", data)
    products = cross_products(large, np.array([3.0, 0.0, -2.0]))
    made = fixed_columns_only(products, large.x_centring, [0, 1])
    root = np.sqrt(large.weights)
    beta = np.linalg.lstsq(large.X[:, :2] * root[:, None], large.y * root, rcond=None)[0]
    assert made.beta0 == pytest.approx(beta, rel=1e-7)
    assert np.abs(made.XyWXy[:2, 2]).max() <= 1e-9 * made.XyWXy.max()


@pytest.mark.parametrize("reml", [True, False])
def test_the_criterion_without_random_effects_is_that_of_the_linear_model(reml):
    data = some_rows()
    design = design_of("y ~ year + x + f + (1 | g)", data)
    products = cross_products(design, np.full(design.p, 0.3))
    W, X, y, n, p = np.diag(design.weights), design.X, design.y, design.n, design.p
    beta = np.linalg.solve(X.T @ W @ X, X.T @ W @ y)
    rss = (y - X @ beta) @ W @ (y - X @ beta)
    N = n - p if reml else n
    direct = N * (1 + np.log(2 * np.pi * rss / N)) - np.log(design.weights).sum()
    direct += np.linalg.slogdet(X.T @ W @ X)[1] if reml else 0.0
    assert linear_model_criterion(products, reml) == pytest.approx(direct, rel=1e-9)
