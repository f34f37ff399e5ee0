"""Newton's method on functions whose minimum is known."""

import math
from types import SimpleNamespace

import numpy as np
import pytest

from fastlmm_hlm.errors import FactorizationError
from fastlmm_hlm.optimize.newton import Minimum, newton

AT_THE_MINIMUM = 1e-6


def smooth(value, gradient, hessian):
    """The three functions as one evaluation."""
    return lambda x: SimpleNamespace(par=np.array(x), value=value(x), gradient=gradient(x), hessian=hessian(x))


def quadratic(seed=0, m=4):
    rng = np.random.default_rng(seed)
    A, c = rng.normal(size=(m, m)), rng.normal(size=m)
    A = A @ A.T + np.eye(m)
    return smooth(lambda x: float((x - c) @ A @ (x - c)) / 2, lambda x: A @ (x - c), lambda x: A), c


def rosenbrock():
    return smooth(
        lambda x: 100 * (x[1] - x[0] ** 2) ** 2 + (1 - x[0]) ** 2,
        lambda x: np.array([-400 * x[0] * (x[1] - x[0] ** 2) - 2 * (1 - x[0]), 200 * (x[1] - x[0] ** 2)]),
        lambda x: np.array([[1200 * x[0] ** 2 - 400 * x[1] + 2, -400 * x[0]], [-400 * x[0], 200.0]]),
    )


def two_valleys():
    """x^2 - y^2 + y^4 / 2: a saddle at the origin, minima -1/2 at y = +1 and y = -1."""
    return smooth(
        lambda x: x[0] ** 2 - x[1] ** 2 + x[1] ** 4 / 2,
        lambda x: np.array([2 * x[0], -2 * x[1] + 2 * x[1] ** 3]),
        lambda x: np.diag([2.0, -2 + 6 * x[1] ** 2]),
    )


def test_a_quadratic_takes_one_step():
    f, c = quadratic()
    found = newton(f, np.zeros(4))
    assert found.status == "converged" and found.evaluations == 2
    np.testing.assert_allclose(found.par, c, atol=1e-10)


def test_a_start_at_the_minimum_takes_no_step():
    f, c = quadratic()
    found = newton(f, c)
    assert found.status == "converged" and found.evaluations == 1 and found.value == 0.0


@pytest.mark.parametrize("start", [(-1.2, 1.0), (5.0, -5.0), (0.0, 0.0), (-30.0, 40.0)])
def test_rosenbrocks_valley_is_followed_to_its_end(start):
    found = newton(rosenbrock(), np.array(start))
    assert found.status == "converged"
    np.testing.assert_allclose(found.par, [1.0, 1.0], atol=1e-4)


@pytest.mark.parametrize("error", [0.3, 3.0])
def test_an_approximate_hessian_is_enough(error):
    f, c = quadratic(1)
    rough = lambda x: SimpleNamespace(**{**vars(f(x)), "hessian": f(x).hessian + error * np.eye(4)})  # noqa: E731
    found = newton(rough, np.zeros(4))
    assert found.status == "converged" and found.evaluations < 25
    np.testing.assert_allclose(found.par, c, atol=1e-5)


@pytest.mark.parametrize("start", [(0.0, 0.0), (3.0, 0.0), (-1e-9, 1e-12)])
def test_a_saddle_point_is_left(start):
    found = newton(two_valleys(), np.array(start))
    assert found.status == "converged"
    assert found.value == pytest.approx(-0.5, abs=1e-9)
    np.testing.assert_allclose(np.abs(found.par), [0.0, 1.0], atol=AT_THE_MINIMUM)


@pytest.mark.parametrize("limit", [1, 2, 3, 5])
def test_too_few_evaluations_are_reported_and_never_exceeded(limit):
    calls = []
    f = rosenbrock()
    found = newton(lambda x: calls.append(1) or f(x), np.array([-1.2, 1.0]), max_evaluations=limit)
    assert found.status == "failed" and found.evaluations == limit == len(calls)
    assert found.message == f"{limit} evaluations were not enough"


def test_the_result_is_never_above_the_start():
    f = rosenbrock()
    for seed in range(20):
        start = np.random.default_rng(seed).normal(size=2) * 10
        for limit in (1, 2, 4, 8):
            found = newton(f, start, max_evaluations=limit)
            assert found.value <= f(start).value


@pytest.mark.parametrize("absent", [math.nan, math.inf, FactorizationError("no criterion there")])
def test_steps_to_where_the_criterion_does_not_exist_are_shortened(absent):
    """x - log x has its minimum at 1; the first Newton step from 3 leads to -3."""
    def f(x):
        if x[0] <= 0:
            if isinstance(absent, Exception):
                raise absent
            return SimpleNamespace(par=x, value=absent, gradient=np.full(1, absent), hessian=np.full((1, 1), absent))
        return SimpleNamespace(par=x, value=x[0] - math.log(x[0]), gradient=1 - 1 / x, hessian=np.diag(1 / x**2))

    found = newton(f, np.array([3.0]))
    assert found.status == "converged"
    assert found.par[0] == pytest.approx(1.0, abs=AT_THE_MINIMUM)


def test_a_start_where_the_criterion_does_not_exist_raises_its_error():
    def nowhere(x):
        raise FactorizationError("no criterion here")

    with pytest.raises(FactorizationError, match="no criterion here"):
        newton(nowhere, np.zeros(2))


def test_a_gradient_that_points_uphill_is_reported_as_a_failure():
    f, _ = quadratic(2)
    uphill = lambda x: SimpleNamespace(**{**vars(f(x)), "gradient": -f(x).gradient})  # noqa: E731
    found = newton(uphill, np.ones(4))
    assert found.status == "failed"
    assert found.message == "no step along the Newton direction lowers the criterion"


def test_a_criterion_without_a_minimum_is_not_called_converged():
    falling = smooth(
        lambda x: -math.log1p(x[0] ** 2),
        lambda x: -2 * x / (1 + x**2),
        lambda x: np.diag((2 * x**2 - 2) / (1 + x**2) ** 2),
    )
    found = newton(falling, np.array([2.0]), max_evaluations=30)
    assert found.status == "failed"


def test_the_trace_follows_the_search():
    entries = []
    found = newton(rosenbrock(), np.array([-1.2, 1.0]), report=entries.append)
    assert isinstance(found, Minimum) and entries == found.trace
    counts, values = [e[0] for e in entries], [e[1] for e in entries]
    assert counts == sorted(set(counts)) and counts[0] == 1 and counts[-1] == found.evaluations
    assert values == sorted(values, reverse=True)
    assert values[-1] == found.value


def test_the_tolerance_decides_when_to_stop():
    counts = [newton(rosenbrock(), np.array([-1.2, 1.0]), tolerance=t).evaluations for t in (1e-1, 1e-4, 1e-12)]
    assert counts == sorted(counts) and counts[0] < counts[-1]
