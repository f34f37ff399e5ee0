"""Every optimizer finds what Newton finds; controls and certificates say what they mean."""

import math
from types import SimpleNamespace

import numpy as np
import pytest

import classic
from fastlmm_hlm.errors import ArgumentError, FactorizationError
from fastlmm_hlm.optimize.control import OPTIMIZERS, Control, lmerControl
from fastlmm_hlm.optimize.convergence import certify
from fastlmm_hlm.optimize.derivative_free import derivative_free
from fastlmm_hlm.optimize.minimize import minimize
from fastlmm_hlm.optimize.newton import newton
from fastlmm_hlm.optimize.quasi_newton import bfgs

# Methods without a gradient see only the value, which has some 13 digits.
SAME_OPTIMUM = 1e-6
MODELS = ["sleepstudy", "Dyestuff", "Dyestuff2", "Pastes", "cake slopes"]


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer_finds_the_same_optimum(optimizer, name):
    criterion = classic.criterion(name)
    best = newton(criterion.evaluate, criterion.start())
    found, used = minimize(criterion, criterion.start(), Control(optimizer=optimizer))
    assert found.status == "converged" and used == optimizer
    assert found.value == pytest.approx(best.value, abs=SAME_OPTIMUM)
    assert found.evaluations == len(found.trace) or optimizer == "newton"


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer_reports_that_it_was_given_too_few_evaluations(optimizer):
    criterion = classic.criterion("Hsb82")
    found, _ = minimize(criterion, np.full(3, 4.0), Control(optimizer=optimizer, max_evaluations=3))
    assert found.status == "failed" and "evaluations were not enough" in found.message
    assert found.evaluations <= 4


def test_newton_takes_the_fewest_evaluations():
    criterion = classic.criterion("sleepstudy")
    counts = {name: minimize(criterion, np.ones(3), Control(optimizer=name))[0].evaluations for name in OPTIMIZERS}
    assert min(counts, key=counts.get) == "newton" and counts["newton"] <= 15


def test_points_without_a_criterion_count_as_infinite():
    def value(x):
        if x[0] > 1.5:
            raise FactorizationError("no criterion there")
        return float((x[0] - 1.0) ** 2 + (x[1] - 2.0) ** 2)

    found = derivative_free(value, np.array([1.4, 0.0]), np.array([0.0, -np.inf]), "nelder_mead")
    assert found.status == "converged"
    np.testing.assert_allclose(found.par, [1.0, 2.0], atol=1e-4)


def test_a_criterion_that_exists_nowhere_is_a_failure():
    def nowhere(x):
        raise FactorizationError("nothing here")

    assert derivative_free(nowhere, np.ones(2), np.zeros(2), "nelder_mead").status == "failed"
    found = bfgs(nowhere, np.ones(2))
    assert found.status == "failed" and math.isinf(found.value)


def test_newton_that_stalls_is_followed_by_bfgs():
    """A gradient that points uphill for as long as Newton searches, and is right afterwards."""
    def evaluate(x, sign=1.0):
        gradient = sign * np.array([2 * x[0], 20 * x[1]])
        return SimpleNamespace(par=x, value=float(x[0] ** 2 + 10 * x[1] ** 2), gradient=gradient, hessian=np.eye(2))

    start = np.array([3.0, 1.0])
    stalled = newton(lambda x: evaluate(x, -1.0), start)
    calls = []

    def wrong_at_first(x):
        calls.append(1)
        return evaluate(x, -1.0 if len(calls) <= stalled.evaluations else 1.0)

    found, used = minimize(SimpleNamespace(evaluate=wrong_at_first), start, Control())
    assert stalled.status == "failed" and used == "newton+bfgs" and found.status == "converged"
    assert found.evaluations == len(calls) and found.trace[: len(stalled.trace)] == stalled.trace
    np.testing.assert_allclose(found.par, 0.0, atol=1e-6)


@pytest.mark.parametrize(
    "arguments, sentence",
    [({"optimizer": "adam"}, "optimizer = 'adam' is not known; use one of 'newton'"),
     ({"check_rankX": "no"}, "check_rankX = 'no' is not known"),
     ({"check_conv_singular": "no"}, "check_conv_singular = 'no' is not known"),
     ({"max_evaluations": 0}, "max_evaluations = 0; it must be at least 1"),
     ({"tolerance": 0.0}, "tolerance = 0.0; it must lie between 0 and 1"),
     ({"tolerance": math.nan}, "tolerance = nan")],
)
def test_controls_refuse_what_they_do_not_know(arguments, sentence):
    with pytest.raises(ArgumentError, match=sentence):
        lmerControl(**arguments)


def test_a_control_prints_what_was_chosen():
    assert repr(lmerControl()) == "lmerControl()"
    assert repr(lmerControl("bobyqa", max_evaluations=9)) == "lmerControl(optimizer='bobyqa', max_evaluations=9)"


@pytest.mark.parametrize(
    "gradient, eigenvalues, boundary, status",
    [((0.0, 0.0), (1.0, 2.0), [], "converged"),
     ((0.0, 0.0), (0.0, 2.0), ["(1 | g)"], "singular"),
     ((1.0, 0.0), (1.0, 2.0), [], "failed"),
     ((0.0, 0.0), (-1.0, 2.0), [], "failed"),
     ((1e-6, 1e-6), (1.0, 2.0), [], "converged"),
     ((math.nan, 0.0), (1.0, 2.0), [], "failed")],
)
def test_the_certificate_says_what_the_point_is(gradient, eigenvalues, boundary, status):
    here = SimpleNamespace(value=1.0, gradient=np.array(gradient), hessian=np.diag(eigenvalues))
    certificate = certify(here, boundary)
    assert certificate.status == status and certificate.boundary == boundary
    assert certificate.min_eigenvalue == pytest.approx(eigenvalues[0])


@pytest.mark.parametrize("name", classic.FORMULAS)
def test_every_classic_optimum_gets_its_certificate(name):
    criterion = classic.criterion(name)
    found = newton(criterion.evaluate, criterion.start())
    assert certify(criterion.evaluate(found.par), []).status == "converged"
    start = criterion.evaluate(np.full(criterion.size, 3.0))
    assert certify(start, []).status == "failed"
