"""The equations of the method of moments against traces of the matrices in full."""

import numpy as np
import pytest

from fastlmm_hlm._core import kernels
from reference.arrays import block_diagonal, flat, kernel_of, random_model

ACCURACY = 1e-10
# Factor, first column, columns of each term.
MODELS = {
    "one term": ({"nl": (7,), "nc": (2,)}, [(0, 0, 2)]),
    "two terms of one factor": ({"nl": (9,), "nc": (3,), "weighted": True}, [(0, 0, 2), (0, 2, 1)]),
    "no fixed columns": ({"nl": (7,), "nc": (1,), "p": 0}, [(0, 0, 1)]),
    "nested": ({"nl": (20, 5), "nc": (2, 1), "layout": "nested", "weighted": True}, [(0, 0, 2), (1, 0, 1)]),
    "crossed, bigger factor last": ({"nl": (9, 6, 3), "nc": (2, 3, 1), "p": 4}, [(2, 0, 1), (0, 0, 2), (1, 1, 2)]),
}


def symmetric_basis(c):
    """Matrices that span the symmetric ones, (c (c + 1) / 2, c, c)."""
    out = []
    for a in range(c):
        for b in range(a + 1):
            V = np.zeros((c, c))
            V[a, b] = V[b, a] = 1.0
            out.append(V)
    return np.array(out)


def over_all_levels(model, term, V, T):
    """V of a term's working columns as a (q, q) matrix in the model's columns."""
    factor, first, c = term
    blocks = [np.zeros((Z.shape[1],) * 2) for Z in model.Z]
    blocks[factor][first : first + c, first : first + c] = T @ V @ T.T
    return block_diagonal([np.kron(np.eye(nl), block) for nl, block in zip(model.nl, blocks)])


def equations_by_definition(model, terms, bases, T, projected):
    """E[e'V_i e] and E[r2] written out, with the first `projected` columns of X taken out of Z."""
    Z, W = model.whole_Z(), np.diag(model.weights)

    def without(X):
        return W - W @ X @ np.linalg.pinv(X.T @ W @ X) @ X.T @ W if X.shape[1] else W

    B = Z.T @ without(model.X[:, :projected]) @ Z
    r = without(model.X) @ model.y
    e = Z.T @ r
    Vs = [over_all_levels(model, term, V, t) for term, basis, t in zip(terms, bases, T) for V in basis]
    size = len(Vs)
    system, right = np.zeros((size + 1, size + 1)), np.zeros(size + 1)
    for i, V in enumerate(Vs):
        right[i] = e @ V @ e
        system[i, size] = system[size, i] = np.trace(V @ B)
        for j, U in enumerate(Vs):
            system[i, j] = np.trace(V @ B @ U @ B)
    system[size, size] = len(model.y) - model.X.shape[1]
    right[size] = model.y @ r
    return system, right


def known_terms(model, terms, bases):
    kernel = kernel_of(model)
    kernel.set_terms(np.array([(*term, len(basis)) for term, basis in zip(terms, bases)], dtype=np.int32).T.copy())
    return kernel


def some_bases(terms, seed=5):
    rng = np.random.default_rng(seed)
    return [np.eye(c) + 0.3 * rng.normal(size=(c, c)) for _, _, c in terms]


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("projected", ["all of X", "one column"])
def test_the_equations_are_those_of_the_definition(name, projected):
    shape, terms = MODELS[name]
    model = random_model(3, **shape)
    bases, T = [symmetric_basis(c) for _, _, c in terms], some_bases(terms)
    k = model.X.shape[1] if projected == "all of X" else min(model.X.shape[1], 1)
    sizes = np.array([len(basis) for basis in bases], dtype=np.int32)
    system, right = known_terms(model, terms, bases).moments(flat(T), flat(bases), sizes, k, len(model.y) - model.X.shape[1])
    expected, expected_right = equations_by_definition(model, terms, bases, T, k)
    np.testing.assert_allclose(system, expected, atol=ACCURACY * np.abs(expected).max())
    np.testing.assert_allclose(right, expected_right, atol=ACCURACY * np.abs(expected_right).max())


def test_fewer_matrices_than_parameters_may_be_asked_for():
    shape, terms = MODELS["nested"]
    model, T = random_model(3, **shape), some_bases(terms)
    bases = [symmetric_basis(c) for _, _, c in terms]
    some = [basis[:1] for basis in bases]
    sizes = np.ones(len(terms), dtype=np.int32)
    system, _ = known_terms(model, terms, bases).moments(flat(T), flat(some), sizes, 0, 5.0)
    expected, _ = equations_by_definition(model, terms, some, T, 0)
    np.testing.assert_allclose(system[:-1, :-1], expected[:-1, :-1], rtol=1e-9)


def test_the_kernel_refuses_terms_and_arrays_that_do_not_fit():
    shape, terms = MODELS["nested"]
    model = random_model(3, **shape)
    kernel = kernel_of(model)
    one, sizes = np.ones(1), np.ones(1, dtype=np.int32)
    with pytest.raises(RuntimeError, match="not told its terms"):
        kernel.moments(one, one, sizes, 0, 1.0)
    for bad in ([[2], [0], [1], [1]], [[0], [1], [2], [1]], [[0], [-1], [1], [1]], [[0], [0], [0], [1]]):
        with pytest.raises(ValueError):
            kernel_of(model).set_terms(np.array(bad, dtype=np.int32))
    kernel.set_terms(np.array([[0], [0], [2], [3]], dtype=np.int32))
    with pytest.raises(RuntimeError, match="known already"):
        kernel.set_terms(np.array([[0], [0], [2], [3]], dtype=np.int32))
    with pytest.raises(ValueError, match="expected 4 and 12"):
        kernel.derivatives(np.ones(3), np.ones(4), None, np.ones(12), True, 5.0)
    with pytest.raises(ValueError, match="4 numbers"):
        kernel.derivatives(np.ones(4), np.ones(3), None, np.ones(12), True, 5.0)
    with pytest.raises(ValueError, match="sizes of 2 terms"):
        kernel.moments(np.ones(4), np.ones(4), np.ones(2, dtype=np.int32), 0, 1.0)
    assert kernels.lower_factor(np.array([[3.0, 4.0]])).tolist() == [[5.0]]
    with pytest.raises(ValueError, match="at least as many columns"):
        kernels.lower_factor(np.ones((2, 1)))
