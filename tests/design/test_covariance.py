"""Covariance structures: their derivatives, their round trips, their normal forms."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastlmm_hlm.design.covariance import covariance_structure, lower_factor, lower_indices
from fastlmm_hlm.errors import FormulaError

# Central differences of Psi, and of its exact derivative, with step h: h^2 from truncation, 1e-16/h from rounding.
FIRST_STEP, FIRST_TOLERANCE = 1e-6, 1e-8
SECOND_STEP, SECOND_TOLERANCE = 1e-5, 1e-6
ROUND_TRIP = 1e-11
# Near |rho| = 1 the parameter goes with the root of 1 - |rho|: half the digits.
ROUND_TRIP_OF_CORRELATION = 1e-7

STRUCTURES = [
    *(("us", nc, None) for nc in (1, 2, 3, 5)),
    *(("diag", nc, hom) for nc in (2, 4) for hom in (False, True)),
    *(("cs", nc, hom) for nc in (2, 3, 5) for hom in (False, True)),
    *(("ar1", nc, hom) for nc in (2, 3, 5) for hom in (False, True)),
]
every_structure = pytest.mark.parametrize("kind, nc, hom", STRUCTURES)
SEEDS = st.integers(0, 10**6)


def psi(structure, par):
    root = structure.root(par)
    return root @ root.T


def parameters(structure, seed):
    return np.random.default_rng(seed).normal(size=structure.size)


@every_structure
@settings(deadline=None, max_examples=15)
@given(SEEDS)
def test_dPsi_is_the_derivative_of_Psi(kind, nc, hom, seed):
    structure = covariance_structure(kind, nc, hom)
    par = parameters(structure, seed)
    steps = FIRST_STEP * np.eye(structure.size)
    slopes = np.stack([(psi(structure, par + h) - psi(structure, par - h)) / (2 * FIRST_STEP) for h in steps])
    assert structure.dPsi(par).shape == (structure.size, nc, nc)
    np.testing.assert_allclose(structure.dPsi(par), slopes, atol=FIRST_TOLERANCE * (1 + par @ par))


@every_structure
@settings(deadline=None, max_examples=15)
@given(SEEDS)
def test_curvature_is_the_second_derivative_of_Psi(kind, nc, hom, seed):
    structure = covariance_structure(kind, nc, hom)
    par = parameters(structure, seed)
    G = np.random.default_rng(seed + 1).normal(size=(nc, nc))
    G = G + G.T
    steps = SECOND_STEP * np.eye(structure.size)
    expected = np.array([
        [((structure.dPsi(par + h)[i] - structure.dPsi(par - h)[i]) * G).sum() / (2 * SECOND_STEP) for h in steps]
        for i in range(structure.size)
    ])
    tolerance = SECOND_TOLERANCE * (1 + par @ par) * np.abs(G).max()
    np.testing.assert_allclose(structure.curvature(par, G), expected, atol=tolerance)


@every_structure
def test_derivatives_hold_where_standard_deviations_are_zero(kind, nc, hom):
    structure = covariance_structure(kind, nc, hom)
    par = np.where(structure.is_variance(), 0.0, parameters(structure, 1))
    steps = FIRST_STEP * np.eye(structure.size)
    slopes = np.stack([(psi(structure, par + h) - psi(structure, par - h)) / (2 * FIRST_STEP) for h in steps])
    np.testing.assert_allclose(structure.dPsi(par), slopes, atol=FIRST_TOLERANCE)


@every_structure
@settings(deadline=None, max_examples=15)
@given(SEEDS)
def test_from_root_recovers_the_covariance(kind, nc, hom, seed):
    structure = covariance_structure(kind, nc, hom)
    par = parameters(structure, seed)
    if kind in ("cs", "ar1"):
        par[:-1] = np.abs(par[:-1]) + 1e-3
    again = structure.from_root(structure.root(par))
    tolerance = ROUND_TRIP_OF_CORRELATION if kind in ("cs", "ar1") else ROUND_TRIP
    np.testing.assert_allclose(psi(structure, again), psi(structure, par), atol=tolerance * (1 + par @ par))


@every_structure
@settings(deadline=None, max_examples=15)
@given(SEEDS)
def test_normalize_leaves_the_covariance_unchanged(kind, nc, hom, seed):
    structure = covariance_structure(kind, nc, hom)
    par = parameters(structure, seed)
    before = par.copy()
    normal = structure.normalize(par)
    np.testing.assert_array_equal(par, before)
    tolerance = ROUND_TRIP_OF_CORRELATION if kind in ("cs", "ar1") else ROUND_TRIP
    np.testing.assert_allclose(psi(structure, normal), psi(structure, par), atol=tolerance * (1 + par @ par))
    np.testing.assert_allclose(structure.normalize(normal), normal, atol=tolerance)
    if kind in ("us", "diag"):
        assert (normal[structure.is_variance()] >= 0).all()


@every_structure
def test_the_start_is_the_identity(kind, nc, hom):
    structure = covariance_structure(kind, nc, hom)
    np.testing.assert_allclose(psi(structure, structure.start()), np.eye(nc), atol=1e-15)


@every_structure
def test_the_parameters_are_as_many_as_the_structure_has(kind, nc, hom):
    expected = {"us": nc * (nc + 1) // 2, "diag": 1 if hom else nc}.get(kind, 2 if hom else nc + 1)
    structure = covariance_structure(kind, nc, hom)
    assert structure.size == expected == len(structure.start()) == len(structure.is_variance())


@every_structure
def test_a_root_of_zeros_has_parameters(kind, nc, hom):
    structure = covariance_structure(kind, nc, hom)
    par = structure.from_root(np.zeros((nc, nc)))
    assert np.isfinite(par).all() and not psi(structure, par).any()


def test_cs_has_one_correlation_and_ar1_its_powers():
    sd = np.array([1.0, 2.0, 3.0, 4.0])
    expected = np.outer(sd, sd) * np.where(np.eye(4), 1.0, 0.3)
    cs = covariance_structure("cs", 4)
    np.testing.assert_allclose(psi(cs, cs.from_root(np.linalg.cholesky(expected))), expected, rtol=1e-12)
    ar1 = covariance_structure("ar1", 4)
    Psi = psi(ar1, np.array([2.0, ar1.z_of_rho(-0.4)]))
    np.testing.assert_allclose(Psi, 4.0 * np.power(-0.4, np.abs(np.subtract.outer(range(4), range(4)))), atol=1e-12)


@pytest.mark.parametrize("kind", ["cs", "ar1"])
@pytest.mark.parametrize("hom", [True, False])
@settings(deadline=None, max_examples=40)
@given(SEEDS, st.integers(2, 5))
def test_no_sign_of_a_parameter_leads_out_of_the_structure(kind, hom, seed, nc):
    structure = covariance_structure(kind, nc, hom)
    Psi = psi(structure, parameters(structure, seed) + 0.01)
    sd = np.sqrt(np.diagonal(Psi))
    R, distance = Psi / np.outer(sd, sd), np.abs(np.subtract.outer(range(nc), range(nc)))
    expected = np.where(distance > 0, R[0, 1], 1.0) if kind == "cs" else np.power(R[0, 1], distance)
    np.testing.assert_allclose(R, expected, atol=1e-9)


@pytest.mark.parametrize("kind", ["cs", "ar1"])
@pytest.mark.parametrize("nc", [2, 3, 6])
def test_every_value_of_the_correlation_parameter_gives_a_covariance(kind, nc):
    structure = covariance_structure(kind, nc)
    for z in np.linspace(-8, 8, 101):
        par = np.append(np.ones(structure.nsd), z)
        values = np.linalg.eigvalsh(structure.Psi(par))
        assert values[0] > -1e-12
        np.testing.assert_allclose(psi(structure, par), structure.Psi(par), atol=1e-12)


def test_the_ends_of_the_correlation_are_singular():
    for kind in ("cs", "ar1"):
        structure = covariance_structure(kind, 3)
        for z in (-np.pi / 2, np.pi / 2):
            par = np.append(np.ones(structure.nsd), z)
            assert abs(np.linalg.eigvalsh(structure.Psi(par))[0]) < 1e-12
            assert not structure.dPsi(par)[-1].round(12).any()


def test_the_default_of_ar1_is_homogeneous_and_of_the_others_is_not():
    assert [covariance_structure(kind, 3).size for kind in ("us", "diag", "cs", "ar1")] == [6, 3, 4, 2]


@pytest.mark.parametrize("kind", ["us", "diag", "cs", "ar1"])
def test_one_column_has_one_standard_deviation_whatever_the_structure(kind):
    assert covariance_structure(kind, 1).size == 1


def test_an_unknown_structure_is_refused_by_name():
    with pytest.raises(FormulaError, match="'toep' is unknown; use us, diag, cs or ar1"):
        covariance_structure("toep", 2)


@settings(deadline=None, max_examples=50)
@given(SEEDS, st.integers(1, 5), st.integers(0, 3), st.integers(0, 5))
def test_lower_factor_is_the_factor_of_a_product(seed, nc, more, rank):
    rng = np.random.default_rng(seed)
    F = rng.normal(size=(nc, nc + more))
    if rank < nc:
        F = F[:, :rank] @ rng.normal(size=(rank, nc + more))
    C = lower_factor(F)
    assert C.shape == (nc, nc) and not np.triu(C, 1).any() and (np.diagonal(C) >= 0).all()
    np.testing.assert_allclose(C @ C.T, F @ F.T, atol=1e-13 * (1 + (F**2).sum()))


def test_theta_runs_down_the_columns():
    rows, columns = lower_indices(3)
    assert list(zip(rows.tolist(), columns.tolist())) == [(0, 0), (1, 0), (2, 0), (1, 1), (2, 1), (2, 2)]
