"""Cross-products of many responses, and evaluations with a response of their own."""

import numpy as np
import pytest

from fastlmm_hlm._core import kernels

# Sums of some hundred products of normal numbers in another order.
ROUNDING = 1e-12


def columns(values):
    return kernels.Columns([(None, 0.25), *((np.ascontiguousarray(v), 0.5) for v in values)])


def setting(n=700, nl=6, weighted=True, seed=1):
    rng = np.random.default_rng(seed)
    level = rng.integers(0, nl, n).astype(np.int32)
    v = rng.normal(size=(2, n))
    w = rng.uniform(0.5, 2.0, n) if weighted else None
    Z = np.vstack([np.full(n, 0.75), v - 0.5]).T
    return level, v, Z, w, rng.normal(size=(4, n))


@pytest.mark.parametrize("weighted", [True, False])
def test_sums_by_level_are_those_written_out(weighted):
    level, v, Z, w, r = setting(weighted=weighted)
    out = kernels.crossprod_responses(level, 6, columns(v), r, w)
    wr = r if w is None else r * w
    for k in range(len(r)):
        for l in range(6):
            rows = level == l
            np.testing.assert_allclose(out[k].reshape(6, 3)[l], Z[rows].T @ wr[k, rows], atol=ROUNDING * len(level))


@pytest.mark.parametrize("n", [1, 1023, 1024, 1025, 5000])
def test_sums_over_all_rows_are_those_written_out(n):
    _, v, Z, w, r = setting(n)
    out = kernels.crossprod_responses(None, 1, columns(v), r, w)
    np.testing.assert_allclose(out, (r * w) @ Z, atol=ROUNDING * n)


def test_no_rows_no_responses_or_no_columns_give_nothing():
    level, v, _, w, r = setting()
    assert (kernels.crossprod_responses(level[:0], 6, columns(v[:, :0]), r[:, :0], w[:0]) == 0).all()
    assert kernels.crossprod_responses(level, 6, columns(v), r[:0], w).shape == (0, 18)
    assert kernels.crossprod_responses(level, 6, kernels.Columns([]), r, w).shape == (4, 0)


def test_lengths_and_codes_that_do_not_fit_are_refused():
    level, v, _, w, r = setting()
    with pytest.raises(ValueError, match="outside"):
        kernels.crossprod_responses(level, 3, columns(v), r, w)
    with pytest.raises(ValueError, match="level codes"):
        kernels.crossprod_responses(level[:-1], 6, columns(v), r, w)
    with pytest.raises(ValueError, match="one level"):
        kernels.crossprod_responses(None, 2, columns(v), r, w)
    with pytest.raises(ValueError, match="weights"):
        kernels.crossprod_responses(level, 6, columns(v), r, w[:-1])


def a_kernel():
    level, v, Z, w, r = setting()
    n, nl = len(level), 6
    ZtWZ, ZtWXy, XyWXy = np.zeros((nl, 3, 3)), np.zeros((nl, 3, 3)), np.zeros((3, 3))
    x, z = kernels.Columns([(None, 0.0), (np.ascontiguousarray(v[0]), 0.0)]), columns(v)
    kernels.crossprod_factor(level, z, x, r[0], w, ZtWZ, ZtWXy)
    kernels.crossprod_fixed(x, r[0], w, XyWXy)
    ZtWr = kernels.crossprod_responses(level, nl, z, r, w)
    XrWr = np.column_stack([kernels.crossprod_responses(None, 1, x, r, w), (r * r * w).sum(axis=1)])
    return kernels.LmmKernel([ZtWZ], [ZtWXy], XyWXy, {}), ZtWXy, XyWXy, ZtWr, XrWr


def templates(k):
    return np.random.default_rng(3).normal(size=(k, 9))


def test_an_evaluation_with_a_response_is_that_of_a_kernel_made_with_it():
    kernel, ZtWXy, XyWXy, ZtWr, XrWr = a_kernel()
    Lambda, which = templates(5), np.array([3, 0, 2, 2, 1])
    what = kernels.TRACE | kernels.SCORE | kernels.INFORMATION
    D = np.tile(np.eye(3).ravel(), (5, 1))
    usable, *many = kernel.evaluate_many(Lambda, what, True, which, ZtWr, XrWr, np.zeros(1, dtype=np.int32), D)
    assert usable.all()
    _, _, _, _, beta, u, b, RX = kernel.solve_many(Lambda, True, which, ZtWr, XrWr)
    for i, k in enumerate(which):
        ZtWXy[:, :, 2] = ZtWr[k].reshape(6, 3)
        XyWXy[2] = XyWXy[:, 2] = XrWr[k]
        alone = kernel.evaluate(Lambda[i], what, True, np.zeros(1, dtype=np.int32), D[i])
        assert all((np.asarray(a) == np.asarray(m[i])).all() for a, m in zip(alone, many))
        assert all((a == m[i]).all() for a, m in zip(kernel.solution(), (beta, u, b)))
        assert (kernel.blocks()[0] == RX[i]).all()


def test_wrong_shapes_of_responses_and_templates_are_refused():
    kernel, _, _, ZtWr, XrWr = a_kernel()
    good = templates(2), np.zeros(2, dtype=np.int64), ZtWr, XrWr
    for place, bad, message in (
        (0, templates(2)[:, :8], "9 columns"), (1, np.zeros(3, dtype=np.int64), "one row per"),
        (1, np.array([0, 4]), "does not exist"), (1, np.array([-1, 0]), "does not exist"),
        (2, ZtWr[:, :-1], "cross-products"), (3, XrWr[:, :-1], "cross-products"), (3, XrWr[:-1], "cross-products"),
    ):
        Lambda, which, Z, X = (np.ascontiguousarray(bad) if i == place else one for i, one in enumerate(good))
        with pytest.raises(ValueError, match=message):
            kernel.evaluate_many(Lambda, kernels.VALUE, True, which, Z, X)
        with pytest.raises(ValueError, match=message):
            kernel.solve_many(Lambda, True, which, Z, X)
    with pytest.raises(ValueError, match="does not exist"):
        kernel.evaluate_many(*good[:1], kernels.INFORMATION, True, *good[1:], np.ones(1, dtype=np.int32), templates(2))
    with pytest.raises(ValueError, match="one nc x nc matrix"):
        kernel.evaluate_many(*good[:1], kernels.INFORMATION, True, *good[1:], np.zeros(1, dtype=np.int32),
                             np.zeros((2, 8)))


def test_no_evaluations_give_empty_arrays():
    kernel, _, _, ZtWr, XrWr = a_kernel()
    usable, ldL2, *_ = kernel.evaluate_many(templates(0), kernels.VALUE, True, np.zeros(0, dtype=np.int64), ZtWr, XrWr)
    assert len(usable) == len(ldL2) == 0
    assert kernel.solve_many(templates(0), True, np.zeros(0, dtype=np.int64), ZtWr, XrWr)[4].shape == (0, 2)
