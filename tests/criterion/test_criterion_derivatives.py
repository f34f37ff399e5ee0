"""The criterion, its gradient and its curvature against the definition."""

import numpy as np
import pytest

from fastlmm_hlm._core import kernels
from reference.lmm_dense import indicator_columns
from reference.models import criterion_of, dense_at, simulated, user_Z

# Dense inverses against Cholesky factors, criterion values of some hundreds.
ACCURACY = 1e-8
# Central differences with step 1e-5: truncation 1e-10, rounding 1e-13 / 1e-5.
STEP, DIFFERENCE = 1e-5, 2e-6

MODELS = {
    "intercepts": {"groups": (8,), "columns": (1,)},
    "slopes": {"groups": (8,), "columns": (3,), "p": 3},
    "five columns": {"groups": (6,), "columns": (5,), "p": 1},
    "crossed": {"groups": (10, 6), "columns": (2, 2)},
    "three factors": {"groups": (12, 6, 5), "columns": (1, 2, 1), "weighted": True, "offset": True},
    "no fixed columns": {"groups": (8,), "columns": (2,), "p": 0},
    "uncentred": {"groups": (8,), "columns": (2,), "slope_mean": 50.0},
    "diagonal": {"groups": (8, 5), "columns": (3, 2), "covariance": "diag"},
    "diagonal, one deviation": {"groups": (8,), "columns": (3,), "covariance": "diag", "hom": True},
    "compound symmetry": {"groups": (8,), "columns": (3,), "covariance": "cs", "weighted": True},
    "compound symmetry, one deviation": {"groups": (8,), "columns": (3,), "covariance": "cs", "hom": True},
    "autoregressive": {"groups": (8,), "columns": (3,), "covariance": "ar1"},
    "autoregressive, own deviations": {"groups": (8,), "columns": (3,), "covariance": "ar1", "hom": False},
    "supernodal": {"groups": (40, 36), "columns": (2, 2), "n": 500},
}
every_model = pytest.mark.parametrize("name", MODELS)
both_criteria = pytest.mark.parametrize("reml", [True, False], ids=["REML", "ML"])


def problem(name, reml):
    data = simulated(list(MODELS).index(name), **MODELS[name])
    criterion, design = criterion_of(data, reml)
    par = np.random.default_rng(1).normal(size=criterion.size) * 0.6 + criterion.unit_start() * 0.5
    return data, criterion, par


def directions(criterion, data, par):
    """dPsi / dpar_i in the user's columns as (q, q) matrices in the order of `user_Z`."""
    starts = np.cumsum([0, *(len(t.levels) * t.Z.shape[1] for t in data.random)])
    out = []
    for k, (term, T, s) in enumerate(zip(criterion.terms, criterion.scales, criterion.slices)):
        basis = criterion.centrings[term.factor].B[term.columns, term.columns] @ T
        for V in term.covariance.dPsi(par[s]):
            D = np.zeros((starts[-1],) * 2)
            own = slice(starts[k], starts[k + 1])
            D[own, own] = np.kron(np.eye(len(data.random[k].levels)), basis @ V @ basis.T)
            out.append(D)
    return out


def differences(function, par, step=STEP):
    return np.array([(function(par + h) - function(par - h)) / (2 * step) for h in step * np.eye(len(par))])


@every_model
@both_criteria
def test_the_criterion_follows_from_the_definition(name, reml):
    data, criterion, par = problem(name, reml)
    expected = dense_at(criterion, data, par).criterion()
    assert criterion.value(par) == pytest.approx(expected, abs=ACCURACY)
    assert criterion.evaluate(par).value == pytest.approx(expected, abs=ACCURACY)


@every_model
@both_criteria
def test_the_gradient_follows_from_the_definition(name, reml):
    data, criterion, par = problem(name, reml)
    expected = dense_at(criterion, data, par).gradient(directions(criterion, data, par))
    found = criterion.evaluate(par).gradient
    np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-7 * np.abs(expected).max())


@every_model
@both_criteria
def test_the_gradient_agrees_with_differences_of_the_criterion(name, reml):
    _, criterion, par = problem(name, reml)
    gradient = criterion.evaluate(par).gradient
    tolerance = DIFFERENCE * (1 + np.abs(gradient).max())
    np.testing.assert_allclose(gradient, differences(criterion.value, par), atol=tolerance)


@every_model
@both_criteria
def test_the_curvature_is_the_average_information_and_the_bend_of_Psi(name, reml):
    data, criterion, par = problem(name, reml)
    dense, whole = dense_at(criterion, data, par), directions(criterion, data, par)
    e = user_Z(data).T @ dense.Vinv_residual
    q = np.array([e @ D @ e for D in whole])
    r2, N = dense.pwrss, dense.degrees
    expected = N * (dense.average_information(whole) / r2 - np.outer(q, q) / r2**2)
    slopes = psi_gradients(criterion, data, dense)
    for term, T, s, G in zip(criterion.terms, criterion.scales, criterion.slices, slopes):
        basis = criterion.centrings[term.factor].B[term.columns, term.columns] @ T
        expected[s, s] += term.covariance.curvature(par[s], basis.T @ G @ basis)
    found = criterion.evaluate(par).hessian
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-7 * np.abs(expected).max())


def psi_gradients(criterion, data, dense):
    """d criterion / d Psi of each term, (c, c), in the user's columns."""
    weight = dense.P if criterion.reml else dense.Vinv
    for t in data.random:
        Z = indicator_columns(t.codes, len(t.levels), t.Z)
        nl, c = len(t.levels), t.Z.shape[1]
        whole = Z.T @ (weight - np.outer(dense.Vinv_residual, dense.Vinv_residual) / dense.sigma2) @ Z
        yield np.einsum("iaib->ab", whole.reshape(nl, c, nl, c))


# --- on the boundary ------------------------------------------------------------

BOUNDARY = {"slopes": 3, "crossed": 2, "diagonal": 3}
# Where Psi has lost rank the traces are taken at a raised root: relative error about 1e-8 there.
RAISED = 1e-6


def at_zero(criterion, par):
    return np.zeros(criterion.size)


def at_rank_one(criterion, par):
    out = np.array(par)
    for term, s in zip(criterion.terms, criterion.slices):
        root = term.covariance.root(out[s])
        out[s] = term.covariance.from_root(np.outer(root[:, 0], np.eye(len(root))[0]))
    return out


@pytest.mark.parametrize("name", BOUNDARY)
@pytest.mark.parametrize("point", [at_zero, at_rank_one], ids=["theta = 0", "rank 1"])
@both_criteria
def test_the_gradient_on_the_boundary_agrees_with_differences(name, point, reml):
    _, criterion, par = problem(name, reml)
    par = point(criterion, par)
    here = criterion.evaluate(par)
    assert here.value == pytest.approx(criterion.value(par), abs=1e-10)
    np.testing.assert_allclose(here.gradient, differences(criterion.value, par),
                               atol=DIFFERENCE * (1 + np.abs(here.gradient).max()))


@pytest.mark.parametrize("name", BOUNDARY)
@both_criteria
def test_at_theta_zero_the_gradient_vanishes_and_the_curvature_is_the_slope_in_Psi(name, reml):
    data, criterion, _ = problem(name, reml)
    par = np.zeros(criterion.size)
    here = criterion.evaluate(par)
    np.testing.assert_allclose(here.gradient, 0.0, atol=1e-12)
    for term, T, s, G in zip(criterion.terms, criterion.scales, criterion.slices,
                             psi_gradients(criterion, data, dense_at(criterion, data, par))):
        basis = criterion.centrings[term.factor].B[term.columns, term.columns] @ T
        expected = term.covariance.curvature(par[s], basis.T @ G @ basis)
        np.testing.assert_allclose(here.hessian[s, s], expected, rtol=RAISED, atol=RAISED * np.abs(expected).max())


@pytest.mark.parametrize("between, sign", [(0.0, 1), (3.0, -1)])
def test_the_curvature_at_zero_tells_whether_the_component_should_grow(between, sign):
    rng = np.random.default_rng(3)
    data = simulated(3, (10,), (1,), p=1)
    data.y = rng.normal(size=120) + between * rng.normal(size=10)[data.random[0].codes]
    if between == 0.0:
        means = np.bincount(data.random[0].codes, data.y) / np.bincount(data.random[0].codes)
        data.y = data.y - means[data.random[0].codes]
    criterion, _ = criterion_of(data)
    at_zero = criterion.evaluate(np.zeros(1))
    assert np.sign(at_zero.hessian[0, 0]) == sign
    assert np.sign(criterion.value(np.array([0.05])) - at_zero.value) == sign


def test_near_the_boundary_the_gradient_keeps_its_digits():
    data, criterion, _ = problem("intercepts", True)
    for size in (1e-1, 1e-3, 1e-5, 1e-7, 1e-9):
        par = np.array([size])
        expected = dense_at(criterion, data, par).gradient(directions(criterion, data, par))
        np.testing.assert_allclose(criterion.evaluate(par).gradient, expected, rtol=1e-6)


# --- the curvature in expectation --------------------------------------------------

REPLICATES = 400
# The mean of so many differences lies within so many of its standard errors.
STANDARD_ERRORS = 4.5


def test_at_the_truth_the_curvature_is_the_hessian_on_average():
    data = simulated(11, (10,), (2,), n=60)
    criterion, design = criterion_of(data)
    par = np.array([0.8, 0.3, 0.6])
    truth = dense_at(criterion, data, par)
    whole, root = directions(criterion, data, par), np.linalg.cholesky(truth.V)
    bends = second_directions(criterion, data)
    rng = np.random.default_rng(2)
    gaps = []
    for _ in range(REPLICATES):
        data.y = root @ rng.normal(size=60)
        fresh, _ = criterion_of(data)
        gaps.append(fresh.evaluate(par).hessian - dense_at(fresh, data, par).hessian(whole, bends))
    gaps = np.array(gaps)
    error = gaps.std(axis=0) / np.sqrt(REPLICATES)
    assert (np.abs(gaps.mean(axis=0)) < STANDARD_ERRORS * error).all()
    exact = dense_at(fresh, data, par).hessian(whole, bends)
    np.testing.assert_allclose(differences(lambda x: criterion_gradient(fresh, x), par), exact, rtol=1e-5, atol=1e-4)


def criterion_gradient(criterion, par):
    return criterion.evaluate(par).gradient


def second_directions(criterion, data):
    """d2 Psi / dpar_i dpar_j of a model with one unstructured term, (m, m, q, q)."""
    (term,), (T,) = criterion.terms, criterion.scales
    basis, m = criterion.centrings[0].B @ T, criterion.size
    nl, zero = len(data.random[0].levels), np.zeros(criterion.size)
    slopes = np.array([term.covariance.dPsi(zero + h) for h in np.eye(m)])
    return np.array([[np.kron(np.eye(nl), basis @ slopes[j, i] @ basis.T) for j in range(m)] for i in range(m)])


# --- coordinates ---------------------------------------------------------------------


@every_model
def test_templates_and_parameters_go_both_ways(name):
    _, criterion, par = problem(name, True)
    if MODELS[name].get("covariance") in ("cs", "ar1"):
        par = np.abs(par)
    again = criterion.from_templates(criterion.templates(par))
    assert criterion.value(again) == pytest.approx(criterion.value(par), abs=1e-6)
    for one, other in zip(criterion.templates(again), criterion.templates(par)):
        np.testing.assert_allclose(one @ one.T, other @ other.T, rtol=1e-6, atol=1e-7 * (1 + (other**2).max()))
        assert not np.triu(one, 1).any() and (np.diagonal(one) >= 0).all()


@every_model
def test_normalizing_leaves_the_criterion(name):
    _, criterion, par = problem(name, True)
    assert criterion.value(criterion.normalize(par)) == pytest.approx(criterion.value(par), abs=1e-7)


@every_model
def test_evaluating_at_lme4s_templates_gives_the_same_value(name):
    _, criterion, par = problem(name, True)
    ldL2, ldRX2, pwrss, value = criterion.evaluate_templates(criterion.templates(par))
    assert value == pytest.approx(criterion.value(par), abs=ACCURACY)
    N = criterion.N
    expected = ldL2 + ldRX2 + N * (1 + np.log(2 * np.pi * pwrss / N)) - criterion.products.sum_log_weights
    assert value == pytest.approx(expected)


def test_working_columns_of_an_unstructured_term_are_whitened():
    data, criterion, _ = problem("uncentred", True)
    (T,), Z = criterion.scales, data.random[0].Z
    working = (Z - criterion.centrings[0].centre) @ T
    np.testing.assert_allclose(working.T @ working / len(Z), np.eye(2), atol=1e-10)


def test_onto_boundary_sets_small_deviations_to_zero_and_no_others():
    data, criterion, par = problem("slopes", True)
    T = np.diag([1.0, 0.5, 1e-6])
    T[2, 0] = 0.3
    par = criterion.terms[0].covariance.from_root(T)
    edge = criterion.onto_boundary(par, 1e-4)
    assert criterion.smallest_deviations(par)[0] == pytest.approx(1e-6, rel=0.2)
    assert criterion.smallest_deviations(edge)[0] < 1e-12
    assert criterion.value(edge) == pytest.approx(criterion.value(par), abs=1e-6)
    np.testing.assert_array_equal(criterion.onto_boundary(par, 1e-8), par)


def test_evaluations_are_counted():
    _, criterion, par = problem("intercepts", True)
    criterion.value(par)
    criterion.evaluate(par)
    assert criterion.evaluations == 2


def test_asking_for_the_value_alone_computes_nothing_else():
    _, criterion, par = problem("intercepts", True)
    assert criterion.kernel.evaluate(criterion._Lambda(criterion._roots(par)), kernels.VALUE, True)[3:] == (None,) * 3
