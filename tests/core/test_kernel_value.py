"""One evaluation of the kernel: value, solution and factor against the definition."""

import functools

import numpy as np
import pytest
import scipy.sparse as sparse

from fastlmm_hlm._core import kernels
from reference.arrays import flat, kernel_of, random_model, random_templates
from reference.lmm_sparse import sparse_columns, sparse_lmm
from reference.routes import SMALL_CORE, SUPERNODAL_SWITCH, WAYS, lower, operations_per_nonzero, zeros_kept

# Dense inverses of V against a Cholesky factor: condition numbers up to about 1e4.
ACCURACY = 1e-9
SPARSE_ACCURACY = 1e-10

SHAPES = {
    "one factor, one column": {"nl": (7,), "nc": (1,)},
    "one factor, five columns": {"nl": (6,), "nc": (5,)},
    "no fixed columns": {"nl": (7,), "nc": (2,), "p": 0},
    "many fixed columns": {"nl": (7,), "nc": (2,), "p": 25},
    "nested": {"nl": (20, 5), "nc": (2, 1), "layout": "nested"},
    "nested three deep": {"nl": (24, 8, 3), "nc": (1, 2, 1), "layout": "nested"},
    "crossed": {"nl": (9, 6), "nc": (2, 3)},
    "crossed three ways": {"nl": (9, 6, 4), "nc": (1, 2, 1)},
    "crossed four ways": {"nl": (9, 6, 4, 3), "nc": (1, 2, 1, 2), "n": 90},
    "more levels than rows": {"nl": (40,), "nc": (2,), "n": 30},
    "more levels than rows, crossed": {"nl": (40, 35), "nc": (2, 1), "n": 30},
    "weighted": {"nl": (8, 5), "nc": (2, 1), "weighted": True},
    "one level": {"nl": (1,), "nc": (2,)},
    "fewer levels in the first factor": {"nl": (3, 9), "nc": (2, 2)},
}
ROUTES = {"block": kernels.BLOCK, "whole": kernels.WHOLE}


CASES = [
    *(pytest.param(k, name, route, id=f"{name}, {route}") for k, name in enumerate(SHAPES) for route in ROUTES),
    *(pytest.param(0, name, None, id=name) for name in WAYS),
]


@functools.cache
def definition(seed, name, size=1.0):
    """A model, its templates and the definition in dense matrices."""
    model = random_model(seed, **SHAPES[name]) if name in SHAPES else WAYS[name].model(seed)
    templates = random_templates(np.random.default_rng(seed + 1), model, size)
    return model, templates, model.dense(templates, True)


def fixture(seed, name, route):
    model, templates, dense = definition(seed, name)
    return model, kernel_of(model, ROUTES[route] if route else WAYS[name].route), templates, dense


every_way = pytest.mark.parametrize("seed, name, route", CASES)


@pytest.mark.parametrize("name", WAYS)
def test_these_models_lead_through_every_way_of_factoring(name):
    way = WAYS[name]
    _, kernel, templates, _ = fixture(0, name, None)
    kernel.evaluate(flat(templates), kernels.VALUE, True)
    assert kernel.describe()[1] == way.kind
    if way.supernodal is None:
        assert way.core <= SMALL_CORE or name == "block, full core"
    else:
        assert (operations_per_nonzero(kernel, way.core) > SUPERNODAL_SWITCH) == way.supernodal
        assert (zeros_kept(kernel) > 0) == way.supernodal
        assert way.route == kernels.WHOLE or way.core > SMALL_CORE


@every_way
def test_log_determinants_and_pwrss_follow_from_the_definition(seed, name, route):
    model, kernel, templates, dense = fixture(seed, name, route)
    ldL2, ldRX2, pwrss, *rest = kernel.evaluate(flat(templates), kernels.VALUE, True)
    expected = np.linalg.slogdet(dense.V)[1] + np.log(model.weights).sum()
    assert ldL2 == pytest.approx(expected, rel=ACCURACY, abs=ACCURACY)
    assert ldRX2 == pytest.approx(np.linalg.slogdet(dense.XtVinvX)[1] if model.X.shape[1] else 0.0, rel=ACCURACY)
    assert pwrss == pytest.approx(dense.pwrss, rel=ACCURACY)
    assert rest == [None, None, None]


@every_way
def test_coefficients_and_modes_follow_from_the_definition(seed, name, route):
    model, kernel, templates, dense = fixture(seed, name, route)
    kernel.evaluate(flat(templates), kernels.VALUE, True)
    beta, u, b = kernel.solution()
    Lambda = model.whole_Lambda(templates)
    np.testing.assert_allclose(beta, dense.beta, rtol=ACCURACY, atol=ACCURACY)
    np.testing.assert_allclose(b, dense.modes(), rtol=ACCURACY, atol=ACCURACY)
    np.testing.assert_allclose(u, Lambda.T @ (model.whole_Z().T @ dense.Vinv_residual), rtol=ACCURACY, atol=ACCURACY)
    np.testing.assert_allclose(Lambda @ u, b, rtol=ACCURACY, atol=ACCURACY)


@every_way
def test_the_factor_times_itself_is_the_permuted_system(seed, name, route):
    model, kernel, templates, _ = fixture(seed, name, route)
    ldL2, *_ = kernel.evaluate(flat(templates), kernels.VALUE, True)
    L, perm = lower(kernel)
    ZL = model.whole_Z() @ model.whole_Lambda(templates)
    M = ZL.T @ (model.weights[:, None] * ZL) + np.eye(kernel.q)
    assert sorted(perm) == list(range(kernel.q))
    assert sparse.triu(L, 1).nnz == 0 and (L.diagonal() > 0).all()
    assert all((np.diff(L.indices[a:b]) > 0).all() for a, b in zip(L.indptr, L.indptr[1:]))
    assert L.nnz >= kernel.describe()[0]
    np.testing.assert_allclose((L @ L.T).toarray(), M[np.ix_(perm, perm)], rtol=ACCURACY, atol=ACCURACY)
    assert 2 * np.log(L.diagonal()).sum() == pytest.approx(ldL2, rel=1e-13)


@every_way
def test_the_other_blocks_satisfy_their_equations(seed, name, route):
    model, kernel, templates, dense = fixture(seed, name, route)
    kernel.evaluate(flat(templates), kernels.VALUE, True)
    RX, RZX = kernel.blocks()
    L, perm = lower(kernel)
    ZL = model.whole_Z() @ model.whole_Lambda(templates)
    right = ZL.T @ (model.weights[:, None] * model.X)
    p = model.X.shape[1]
    assert RX.shape == (p, p) and RZX.shape == (kernel.q, p)
    assert not np.tril(RX, -1).any() and (np.diagonal(RX) > 0).all()
    np.testing.assert_allclose(L @ RZX[perm], right[perm], rtol=ACCURACY, atol=ACCURACY)
    np.testing.assert_allclose(RX.T @ RX, dense.XtVinvX, rtol=ACCURACY, atol=ACCURACY)


@every_way
def test_inverse_blocks_give_the_conditional_variances(seed, name, route):
    model, kernel, templates, dense = fixture(seed, name, route)
    kernel.evaluate(flat(templates), kernels.VALUE, True)
    blocks = kernel.inverse_blocks()
    variance, at = dense.conditional_variance() / dense.sigma2, 0
    for nl, T, block in zip(model.nl, templates, blocks, strict=True):
        nc = len(T)
        assert block.shape == (nl, nc, nc)
        for level in range(nl):
            own = slice(at, at + nc)
            np.testing.assert_allclose(T @ block[level] @ T.T, variance[own, own], rtol=1e-7, atol=ACCURACY)
            at += nc


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("nl, nc", [((1500, 60), (2, 1)), ((1500, 900), (2, 1)), ((90, 80), (2, 3))])
def test_large_models_agree_with_scikit_sparse(nl, nc, route):
    model = random_model(5, nl=nl, nc=nc, n=6000, weighted=True)
    kernel, templates = kernel_of(model, ROUTES[route]), random_templates(np.random.default_rng(6), model)
    ldL2, ldRX2, pwrss, *_ = kernel.evaluate(flat(templates), kernels.VALUE, True)
    Z = sparse.hstack([sparse_columns(*part) for part in zip(model.codes, model.nl, model.Z)]).tocsc()
    Lambda = sparse.block_diag([sparse.kron(sparse.eye(nl), T) for nl, T in zip(model.nl, templates)]).tocsc()
    expected = sparse_lmm(model.y, model.X, Z, Lambda, model.w, True)
    assert ldL2 == pytest.approx(expected["ldL2"], rel=SPARSE_ACCURACY)
    assert ldRX2 == pytest.approx(expected["ldRX2"], rel=SPARSE_ACCURACY)
    assert pwrss == pytest.approx(expected["pwrss"], rel=SPARSE_ACCURACY)
    for found, name in zip(kernel.solution(), ("beta", "u", "b")):
        np.testing.assert_allclose(found, expected[name], rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("name", WAYS)
def test_lambda_zero_is_least_squares(name):
    model, kernel, templates, _ = fixture(0, name, None)
    ldL2, _, pwrss, *_ = kernel.evaluate(flat([0 * T for T in templates]), kernels.VALUE, True)
    beta, u, b = kernel.solution()
    root = np.sqrt(model.weights)
    expected, rss = np.linalg.lstsq(root[:, None] * model.X, root * model.y, rcond=None)[:2]
    assert ldL2 == 0.0 and not u.any() and not b.any()
    np.testing.assert_allclose(beta, expected, rtol=ACCURACY)
    assert pwrss == pytest.approx(rss[0], rel=ACCURACY)


@pytest.mark.parametrize("name", WAYS)
def test_an_evaluation_leaves_no_trace_in_the_next(name):
    _, kernel, templates, _ = fixture(0, name, None)
    first = kernel.evaluate(flat(templates), 7, True)
    kernel.evaluate(flat([5.0 * T for T in templates]), 7, False)
    again = kernel.evaluate(flat(templates), 7, True)
    assert first[:3] == again[:3]
    np.testing.assert_array_equal(first[3], again[3])
    np.testing.assert_array_equal(first[4], again[4])


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("columns", [1, 4])
def test_the_sign_of_a_column_of_lambda_does_not_matter(columns, route):
    model = random_model(8, nl=(6,), nc=(columns,))
    kernel, (T,) = kernel_of(model, ROUTES[route]), random_templates(np.random.default_rng(9), model)
    one = kernel.evaluate(flat([T]), kernels.VALUE, True)[:3]
    flipped = T * np.where(np.arange(columns) % 2, 1.0, -1.0)
    assert kernel.evaluate(flat([flipped]), kernels.VALUE, True)[:3] == pytest.approx(one, rel=1e-12)


@pytest.mark.parametrize("route", ROUTES)
def test_a_template_need_not_be_triangular(route):
    model = random_model(9, nl=(6,), nc=(3,))
    kernel, (T,) = kernel_of(model, ROUTES[route]), random_templates(np.random.default_rng(10), model)
    Q = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    one = kernel.evaluate(flat([T]), kernels.VALUE, True)[:3]
    assert kernel.evaluate(flat([T @ Q]), kernels.VALUE, True)[:3] == pytest.approx(one, rel=1e-11)


@pytest.mark.parametrize("route", ROUTES)
def test_a_determinant_beyond_the_largest_number_has_a_logarithm(route):
    """Eighty columns of standard deviation 1e4: |L| of one level is about 10^320."""
    model = random_model(10, n=400, nl=(2,), nc=(80,))
    kernel = kernel_of(model, ROUTES[route])
    ldL2, *_ = kernel.evaluate(flat([1e4 * np.eye(80)]), kernels.VALUE, True)
    ZL = 1e4 * model.whole_Z()
    expected = np.linalg.slogdet(ZL.T @ ZL + np.eye(160))[1]
    assert ldL2 == pytest.approx(expected, rel=SPARSE_ACCURACY)
