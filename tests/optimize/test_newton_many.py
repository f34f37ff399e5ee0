"""Newton's method on many problems side by side, against one at a time."""

import numpy as np
import pytest

from fastlmm_hlm.criterion.coordinates import coordinates_of
from fastlmm_hlm.criterion.many import Evaluations, ManyCriterion, kernel_for_many, own_response
from fastlmm_hlm.optimize.newton import newton
from fastlmm_hlm.optimize.newton_many import newton_many
from classic import FORMULAS, criterion

# Minima whose last step predicts a decrease below 1e-11, with curvatures of 1 to 1e4.
SAME_VALUE, SAME_PAR = 1e-9, 1e-4


def bowls(centres, sizes):
    """Quartic bowls with the given minima and values there."""

    def evaluate(par, who):
        d = par - centres[who]
        value = sizes[who] + (d**2).sum(axis=1) + (d**4).sum(axis=1)
        hessian = np.eye(par.shape[1]) * (2 + 12 * d**2)[:, None, :]
        return Evaluations(np.ones(len(par), dtype=bool), value, 2 * d + 4 * d**3, hessian)

    return evaluate


def many_of(one, points):
    coordinates = [coordinates_of(term.covariance) for term in one.terms]
    return ManyCriterion(one.products, kernel_for_many(one.products), one.terms, coordinates, one.scales, one.reml,
                         own_response(one.products), np.zeros(points))


def test_every_bowl_has_its_own_minimum():
    centres = np.random.default_rng(1).normal(size=(50, 3)) * 3
    found = newton_many(bowls(centres, np.arange(50.0)), np.zeros((50, 3)))
    assert found.converged.all()
    np.testing.assert_allclose(found.par, centres, atol=1e-6)
    np.testing.assert_allclose(found.value, np.arange(50.0), atol=1e-9)


@pytest.mark.parametrize("name", FORMULAS)
@pytest.mark.parametrize("always_learn", [False, True])
def test_many_starts_end_in_the_minimum_of_one(name, always_learn):
    one = criterion(name)
    start = one.start()
    best = newton(one.evaluate, start)
    starts = start * np.linspace(0.7, 1.4, 5)[:, None] + 0.01
    found = newton_many(many_of(one, 5).evaluate, starts, always_learn=always_learn)
    assert found.converged.all()
    np.testing.assert_allclose(found.value, best.value, atol=SAME_VALUE)
    ours, theirs = ([T @ T.T for T in one.templates(par)] for par in (found.par[0], best.par))
    for a, b in zip(ours, theirs):
        np.testing.assert_allclose(a, b, atol=SAME_PAR * max(1.0, np.abs(b).max()))


def test_a_stationary_point_that_is_no_minimum_is_left():
    one = criterion("Dyestuff")
    found = newton_many(many_of(one, 1).evaluate, np.zeros((1, 1)))
    assert found.converged.all()
    assert abs(found.value[0] - newton(one.evaluate, one.start()).value) < SAME_VALUE


def test_a_problem_without_values_fails_and_holds_no_other_up():
    centres, sizes = np.ones((3, 2)), np.zeros(3)

    def evaluate(par, who):
        out = bowls(centres, sizes)(par, who)
        out.usable &= who != 1
        return out

    found = newton_many(evaluate, np.zeros((3, 2)))
    assert found.converged.tolist() == [True, False, True]


def test_a_problem_that_needs_too_many_evaluations_is_said_to_have_failed():
    found = newton_many(bowls(np.full((2, 1), 40.0), np.zeros(2)), np.array([[39.99], [0.0]]), max_evaluations=4)
    assert found.converged.tolist() == [True, False]
    assert found.evaluations.max() <= 4


def test_a_problem_takes_the_same_steps_alone_and_in_company():
    one = criterion("sleepstudy")
    starts = one.start() * np.linspace(0.5, 2.0, 7)[:, None]
    together = newton_many(many_of(one, 7).evaluate, starts)
    for i in range(7):
        alone = newton_many(many_of(one, 1).evaluate, starts[[i]])
        assert alone.evaluations[0] == together.evaluations[i]
        assert (alone.par[0] == together.par[i]).all()
