"""Which columns of X are kept, against R's qr(X, tol = 1e-7)."""

import json
import pathlib

import numpy as np
import pytest

from fastlmm_hlm._core.small import pivots
from fastlmm_hlm.design.basis import centring, no_centring
from fastlmm_hlm.design.crossprod import choose_shift, cross_products, estimable_columns
from fastlmm_hlm.design.design import build_design
from fastlmm_hlm.design.rank import clearly_independent, independent_columns, rank_message
from reference.models import frame, term

CASES = json.loads((pathlib.Path(__file__).parent / "rank_reference.json").read_text())["cases"]
every_case = pytest.mark.parametrize("name", CASES)


def matrix(name):
    return np.array(CASES[name]["X"], dtype=float)


def design_of(X, weights=None):
    """A design with these columns of X and some random intercept; the first column need not be constant."""
    data = frame(np.arange(len(X)) % 5.0, X, [term("g", np.arange(len(X)) % 2, np.ones((len(X), 1)), ["(Intercept)"])],
                 weights=weights)
    data.assign = np.where((X == 1.0).all(axis=0), 0, np.arange(1, X.shape[1] + 1))
    return build_design(data)


@every_case
def test_the_columns_kept_are_those_that_R_keeps(name):
    assert independent_columns(matrix(name)).tolist() == CASES[name]["kept"]


@every_case
def test_the_cross_products_lead_to_the_same_columns(name):
    design = design_of(matrix(name))
    products = cross_products(design, np.zeros(design.X.shape[1]))
    assert estimable_columns(design, products).tolist() == CASES[name]["kept"]


@every_case
def test_weights_do_not_change_the_columns_kept(name):
    X = matrix(name)
    design = design_of(X, weights=np.random.default_rng(1).uniform(0.5, 2.0, len(X)))
    products = cross_products(design, np.zeros(X.shape[1]))
    assert estimable_columns(design, products).tolist() == CASES[name]["kept"]


@every_case
def test_the_shift_has_no_part_in_columns_that_are_dropped(name):
    design = design_of(matrix(name))
    dropped = np.setdiff1d(np.arange(design.X.shape[1]), CASES[name]["kept"])
    assert not choose_shift(design)[dropped].any()


def test_columns_are_judged_by_their_own_scale():
    X = np.column_stack([np.ones(30), np.random.default_rng(0).normal(size=(30, 4))])
    X[:, 4] = X[:, 1] - X[:, 3]
    for scale in (1e-150, 1e-8, 1e8, 1e150):
        assert independent_columns(X * scale).tolist() == [0, 1, 2, 3]


def test_independent_columns_leaves_its_argument_alone():
    X = np.random.default_rng(0).normal(size=(9, 3))
    before = X.copy()
    independent_columns(X)
    np.testing.assert_array_equal(X, before)


def test_no_columns_are_kept_of_none():
    assert independent_columns(np.empty((5, 0))).tolist() == []


def test_what_is_left_of_each_column_is_the_length_of_its_projection():
    X = np.random.default_rng(3).normal(size=(40, 5))
    X[:, 4] = X[:, 0] + 1e-3 * X[:, 4]
    XtX = X.T @ X
    expected = [np.linalg.lstsq(X[:, :j], X[:, j], rcond=None)[1][0] if j else XtX[0, 0] for j in range(5)]
    np.testing.assert_allclose(pivots(XtX), expected, rtol=1e-8)


def test_columns_are_clearly_independent_until_one_comes_close_to_the_others():
    X = np.random.default_rng(3).normal(size=(40, 5))
    for distance, clear in ((1e-3, True), (1e-7, False), (0.0, False)):
        X[:, 4] = X[:, 0] + distance * X[:, 1] ** 2
        XtX = X.T @ X
        assert clearly_independent(XtX, np.diagonal(XtX)) is clear


def test_dropping_columns_keeps_the_centring_of_the_rest():
    rng = np.random.default_rng(4)
    year = rng.integers(2010, 2023, size=50).astype(float)
    X = np.column_stack([np.ones(50), year, 2.0 * year, rng.normal(size=50)])
    design = design_of(X)
    products = cross_products(design, choose_shift(design))
    kept = estimable_columns(design, products)
    smaller = design.with_fixed_columns(kept)
    assert kept.tolist() == [0, 1, 3] and smaller.x_names == ["x0", "x1", "x3"]
    np.testing.assert_allclose(smaller.X @ smaller.x_centring.B, smaller.X - smaller.x_centring.centre, atol=1e-12)
    assert smaller.x_centring.centre[1] == pytest.approx(year.mean())


def test_dropping_a_dummy_gives_up_centring_that_needed_it():
    """The centres -7 and 7 add up to zero: what leaves the constant cannot be told by their sum."""
    dummies = np.eye(3)[np.arange(36) % 3]
    x = (np.arange(36) // 3 % 3 - 1.0)
    X = np.column_stack([x - 7.0, x + 7.0, dummies])
    data = frame(np.arange(36.0), X, [term("g", np.arange(36) % 2, np.ones((36, 1)), ["(Intercept)"])])
    data.assign = np.array([1, 2, 3, 3, 3])
    design = build_design(data)
    kept = independent_columns(X)
    smaller = design.with_fixed_columns(kept)
    assert kept.tolist() == [0, 1, 2, 3] and not design.x_centring.is_identity
    np.testing.assert_allclose(smaller.X @ smaller.x_centring.B, smaller.X - smaller.x_centring.centre, atol=1e-12)


@pytest.mark.parametrize(
    "names, sentence",
    [(["z"], "dropping 1 column / coefficient: z"), (["z", "a:b"], "dropping 2 columns / coefficients: z, a:b")],
)
def test_the_message_names_what_is_dropped_as_lme4_does(names, sentence):
    assert rank_message(names) == f"fixed-effect model matrix is rank deficient so {sentence}"


def test_centring_takes_only_columns_far_from_zero():
    basis = centring(np.array([1.0, 2015.0, 0.3]), np.array([0.0, 4.0, 1.0]), [0])
    assert basis.centre.tolist() == [0.0, 2015.0, 0.0]
    assert np.linalg.det(basis.B) == pytest.approx(1.0)
    X = np.column_stack([np.ones(5), 2015.0 + np.arange(5), np.arange(5)])
    np.testing.assert_allclose(X @ basis.B, X - basis.centre, atol=1e-12)


def test_nothing_is_centred_without_a_constant():
    basis = centring(np.array([2015.0, 5.0]), np.array([4.0, 1.0]), [])
    assert basis.is_identity and (basis.B == np.eye(2)).all()
    assert no_centring(3).is_identity


def test_a_full_set_of_dummies_serves_as_the_constant():
    dummies = np.eye(3)[np.arange(12) % 3]
    year = 2010.0 + np.arange(12) % 7
    random = [term("g", np.arange(12) % 2, np.ones((12, 1)), ["(Intercept)"])]
    data = frame(np.arange(12.0), np.column_stack([dummies, year]), random, names=list("abcd"))
    data.assign = np.array([1, 1, 1, 2])
    design = build_design(data)
    assert design.x_centring.centre.tolist() == [0.0, 0.0, 0.0, year.mean()]
    np.testing.assert_allclose(design.X @ design.x_centring.B, design.X - design.x_centring.centre, atol=1e-12)
