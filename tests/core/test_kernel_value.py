"""One evaluation of the kernel: value, solution and factor against the definition."""

import numpy as np
import pytest
import scipy.sparse as sparse

from fastlmm_hlm._core import kernels
from reference.arrays import flat, kernel_of, random_model, random_templates
from reference.lmm_sparse import sparse_columns, sparse_lmm

# Dense inverses of V against a Cholesky factor: condition numbers up to about 1e4.
ACCURACY = 1e-9
SPARSE_ACCURACY = 1e-10

SHAPES = {
    "one factor, one column": {"nl": (7,), "nc": (1,)},
    "one factor, five columns": {"nl": (6,), "nc": (5,)},
    "no fixed columns": {"nl": (7,), "nc": (2,), "p": 0},
    "many fixed columns": {"nl": (7,), "nc": (2,), "p": 25},
    "nested": {"nl": (20, 5), "nc": (2, 1), "nested": True},
    "nested three deep": {"nl": (24, 8, 3), "nc": (1, 2, 1), "nested": True},
    "crossed": {"nl": (9, 6), "nc": (2, 3)},
    "crossed three ways": {"nl": (9, 6, 4), "nc": (1, 2, 1)},
    "more levels than rows": {"nl": (40,), "nc": (2,), "n": 30},
    "weighted": {"nl": (8, 5), "nc": (2, 1), "weighted": True},
    "one level": {"nl": (1,), "nc": (2,)},
}
# Every level of one factor meets every level of the other: dense enough for CHOLMOD's supernodal form.
SUPERNODAL = {"nl": (40, 40), "nc": (2, 2), "n": 700}


def cases():
    shapes = {**SHAPES, "supernodal": SUPERNODAL}
    return [pytest.param(k, shape, id=name) for k, (name, shape) in enumerate(shapes.items())]


def fixture(seed, shape, size=1.0):
    model = random_model(seed, **shape)
    return model, kernel_of(model), random_templates(np.random.default_rng(seed + 1), model, size)


def lower(kernel):
    indptr, indices, values, perm = kernel.factor()
    return sparse.csc_matrix((values, indices, indptr), shape=(kernel.q,) * 2), perm


def test_cholmod_takes_both_forms_in_these_tests():
    assert not fixture(0, SHAPES["crossed"])[1].describe()[1]
    assert fixture(0, SUPERNODAL)[1].describe()[1]


@pytest.mark.parametrize("seed, shape", cases())
def test_log_determinants_and_pwrss_follow_from_the_definition(seed, shape):
    model, kernel, templates = fixture(seed, shape)
    ldL2, ldRX2, pwrss, *rest = kernel.evaluate(flat(templates), kernels.VALUE, True)
    dense = model.dense(templates, True)
    expected = np.linalg.slogdet(dense.V)[1] + np.log(model.weights).sum()
    assert ldL2 == pytest.approx(expected, rel=ACCURACY, abs=ACCURACY)
    assert ldRX2 == pytest.approx(np.linalg.slogdet(dense.XtVinvX)[1] if model.X.shape[1] else 0.0, rel=ACCURACY)
    assert pwrss == pytest.approx(dense.pwrss, rel=ACCURACY)
    assert rest == [None, None, None]


@pytest.mark.parametrize("seed, shape", cases())
def test_coefficients_and_modes_follow_from_the_definition(seed, shape):
    model, kernel, templates = fixture(seed, shape)
    kernel.evaluate(flat(templates), kernels.VALUE, True)
    beta, u, b = kernel.solution()
    dense = model.dense(templates, True)
    Lambda = model.whole_Lambda(templates)
    np.testing.assert_allclose(beta, dense.beta, rtol=ACCURACY, atol=ACCURACY)
    np.testing.assert_allclose(b, dense.modes(), rtol=ACCURACY, atol=ACCURACY)
    np.testing.assert_allclose(u, Lambda.T @ model.whole_Z().T @ dense.Vinv_residual, rtol=ACCURACY, atol=ACCURACY)
    np.testing.assert_allclose(Lambda @ u, b, rtol=ACCURACY, atol=ACCURACY)


@pytest.mark.parametrize("seed, shape", cases())
def test_the_factor_times_itself_is_the_permuted_system(seed, shape):
    model, kernel, templates = fixture(seed, shape)
    ldL2, *_ = kernel.evaluate(flat(templates), kernels.VALUE, True)
    L, perm = lower(kernel)
    ZL = model.whole_Z() @ model.whole_Lambda(templates)
    M = ZL.T @ (model.weights[:, None] * ZL) + np.eye(kernel.q)
    assert sorted(perm) == list(range(kernel.q))
    assert sparse.triu(L, 1).nnz == 0 and (L.diagonal() > 0).all()
    assert L.has_sorted_indices and L.nnz >= kernel.describe()[0]
    np.testing.assert_allclose((L @ L.T).toarray(), M[np.ix_(perm, perm)], rtol=ACCURACY, atol=ACCURACY)
    assert 2 * np.log(L.diagonal()).sum() == pytest.approx(ldL2, rel=1e-13)


@pytest.mark.parametrize("seed, shape", cases())
def test_the_other_blocks_satisfy_their_equations(seed, shape):
    model, kernel, templates = fixture(seed, shape)
    kernel.evaluate(flat(templates), kernels.VALUE, True)
    RX, RZX = kernel.blocks()
    L, perm = lower(kernel)
    ZL = model.whole_Z() @ model.whole_Lambda(templates)
    right = ZL.T @ (model.weights[:, None] * model.X)
    p = model.X.shape[1]
    assert RX.shape == (p, p) and RZX.shape == (kernel.q, p)
    assert not np.tril(RX, -1).any() and (np.diagonal(RX) > 0).all()
    np.testing.assert_allclose(L @ RZX[perm], right[perm], rtol=ACCURACY, atol=ACCURACY)
    np.testing.assert_allclose(RX.T @ RX, model.dense(templates, True).XtVinvX, rtol=ACCURACY, atol=ACCURACY)


@pytest.mark.parametrize("seed, shape", cases())
def test_inverse_blocks_give_the_conditional_variances(seed, shape):
    model, kernel, templates = fixture(seed, shape)
    kernel.evaluate(flat(templates), kernels.VALUE, True)
    blocks = kernel.inverse_blocks()
    dense = model.dense(templates, True)
    variance, at = dense.conditional_variance() / dense.sigma2, 0
    for nl, T, block in zip(model.nl, templates, blocks, strict=True):
        nc = len(T)
        assert block.shape == (nl, nc, nc)
        for level in range(nl):
            own = slice(at, at + nc)
            np.testing.assert_allclose(T @ block[level] @ T.T, variance[own, own], rtol=1e-7, atol=ACCURACY)
            at += nc


@pytest.mark.parametrize("nl, nc, supernodal", [((1500, 60), (2, 1), False), ((90, 80), (2, 3), True)],
                         ids=["simplicial", "supernodal"])
def test_large_models_agree_with_scikit_sparse(nl, nc, supernodal):
    model, kernel, templates = fixture(5, {"nl": nl, "nc": nc, "n": 6000, "weighted": True})
    assert kernel.describe()[1] == supernodal
    ldL2, ldRX2, pwrss, *_ = kernel.evaluate(flat(templates), kernels.VALUE, True)
    Z = sparse.hstack([sparse_columns(*part) for part in zip(model.codes, model.nl, model.Z)]).tocsc()
    Lambda = sparse.block_diag([sparse.kron(sparse.eye(nl), T) for nl, T in zip(model.nl, templates)]).tocsc()
    expected = sparse_lmm(model.y, model.X, Z, Lambda, model.w, True)
    assert ldL2 == pytest.approx(expected["ldL2"], rel=SPARSE_ACCURACY)
    assert ldRX2 == pytest.approx(expected["ldRX2"], rel=SPARSE_ACCURACY)
    assert pwrss == pytest.approx(expected["pwrss"], rel=SPARSE_ACCURACY)
    for found, name in zip(kernel.solution(), ("beta", "u", "b")):
        np.testing.assert_allclose(found, expected[name], rtol=1e-8, atol=1e-9)


def test_lambda_zero_is_least_squares():
    model, kernel, templates = fixture(3, SHAPES["crossed"])
    ldL2, _, pwrss, *_ = kernel.evaluate(flat([0 * T for T in templates]), kernels.VALUE, True)
    beta, u, b = kernel.solution()
    expected, rss = np.linalg.lstsq(model.X, model.y, rcond=None)[:2]
    assert ldL2 == 0.0 and not u.any() and not b.any()
    np.testing.assert_allclose(beta, expected, rtol=ACCURACY)
    assert pwrss == pytest.approx(rss[0], rel=ACCURACY)


@pytest.mark.parametrize("shape", [SHAPES["crossed"], SUPERNODAL], ids=["simplicial", "supernodal"])
def test_an_evaluation_leaves_no_trace_in_the_next(shape):
    model, kernel, templates = fixture(7, shape)
    first = kernel.evaluate(flat(templates), 7, True)
    kernel.evaluate(flat([5.0 * T for T in templates]), 7, False)
    again = kernel.evaluate(flat(templates), 7, True)
    assert first[:3] == again[:3]
    np.testing.assert_array_equal(first[3], again[3])
    np.testing.assert_array_equal(first[4], again[4])


@pytest.mark.parametrize("columns", [1, 4])
def test_the_sign_of_a_column_of_lambda_does_not_matter(columns):
    model, kernel, (T,) = fixture(8, {"nl": (6,), "nc": (columns,)})
    one = kernel.evaluate(flat([T]), kernels.VALUE, True)[:3]
    flipped = T * np.where(np.arange(columns) % 2, 1.0, -1.0)
    assert kernel.evaluate(flat([flipped]), kernels.VALUE, True)[:3] == pytest.approx(one, rel=1e-12)


def test_a_template_need_not_be_triangular():
    model, kernel, (T,) = fixture(9, {"nl": (6,), "nc": (3,)})
    Q = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    one = kernel.evaluate(flat([T]), kernels.VALUE, True)[:3]
    assert kernel.evaluate(flat([T @ Q]), kernels.VALUE, True)[:3] == pytest.approx(one, rel=1e-11)
