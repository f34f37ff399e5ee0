"""Whole fits: both factorizations reach the same optimum, and threads change no bit of it."""

import functools
import os
import pathlib
import pickle
import re
import signal
import subprocess
import sys
import warnings

import numpy as np
import pandas as pd
import pytest

from fastlmm_hlm import lmer, lmerControl
from fastlmm_hlm.errors import ArgumentError
from parity.cases import all_cases

# Measured over all cases: at most 7e-11, of criteria up to 2e5.
SAME_CRITERION = 1e-9
# Parameters are known to the square root of what the criterion resolves.
SAME_THETA = 1e-7
# A fit of this size takes two seconds; a child that waits for its parent's threads waits for ever.
SECONDS_TO_FORK = 60
ROOT = pathlib.Path(__file__).resolve().parents[2]
WORTH_THREADS = int(re.search(r"define FLMM_WORTH_THREADS (\d+)", (ROOT / "csrc/threads.h").read_text())[1])
CASES = {case.id: case for case in all_cases()}


@functools.lru_cache(maxsize=1)
def data_of(name):
    return CASES[name].frame()


def fit(name, **control):
    case = CASES[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")          # singular fits and dropped columns are other tests' matter
        return lmer(case.formula, data_of(name), control=lmerControl(**control), **case.arguments())


def criterion_value(model):
    return model.REMLcrit() if model.isREML() else model.deviance()


@pytest.mark.parametrize("name", CASES)
def test_both_factorizations_reach_the_same_optimum(name):
    block, whole = fit(name, factorization="block"), fit(name, factorization="cholmod")
    assert criterion_value(block) == pytest.approx(criterion_value(whole), abs=SAME_CRITERION)
    np.testing.assert_allclose(block.theta, whole.theta, atol=SAME_THETA)
    np.testing.assert_allclose(block.fixef(), whole.fixef(), rtol=SAME_THETA, atol=SAME_THETA)
    one, other = block.ranef(condVar=True).to_frame(), whole.ranef(condVar=True).to_frame()
    for column in ("condval", "condsd"):
        size = np.abs(other[column]).max()
        np.testing.assert_allclose(one[column], other[column], atol=10 * SAME_THETA * max(size, 1.0))


def test_the_control_decides_the_route():
    """Of Pastes, cask:batch within batch: the core of the block route is dense, all of M is sparse."""
    fits = {name: fit("pastes_nested", factorization=name) for name in ("auto", "block", "cholmod")}
    found = {name: model._criterion.kernel.describe() for name, model in fits.items()}
    assert found["auto"] == found["block"] and found["block"][1]
    assert not found["cholmod"][1]


def large_data():
    """Two crossed factors, one with enough levels for threads, and a slope."""
    rng = np.random.default_rng(3)
    levels = WORTH_THREADS + 20000
    n = 2 * levels
    a, b = np.repeat(np.arange(levels), 2), rng.integers(60, size=n)
    x = rng.normal(size=n)
    y = 1.0 + 0.5 * x + rng.normal(size=levels)[a] + rng.normal(size=60)[b] * (1 + x) + rng.normal(size=n)
    return pd.DataFrame({"y": y, "x": x, "a": a, "b": b})


def bits(model):
    """Everything estimated, as bytes."""
    variances = model.ranef(condVar=True).to_frame()
    return {
        "theta": model.theta.tobytes(),
        "beta": model.fixef().to_numpy().tobytes(),
        "sigma": np.float64(model.sigma()).tobytes(),
        "criterion": np.float64(criterion_value(model)).tobytes(),
        "vcov": model.vcov().to_numpy().tobytes(),
        "modes": variances["condval"].to_numpy().tobytes(),
        "deviations of the modes": variances["condsd"].to_numpy().tobytes(),
    }


@pytest.mark.parametrize("factorization", ["block", "cholmod"])
@pytest.mark.parametrize("name", ["sleep_slope", "pastes_nested", "crossed_maximal", "insteval"])
def test_a_fit_has_the_same_bits_on_any_number_of_threads(name, factorization):
    expected = bits(fit(name, factorization=factorization, threads=1))
    for count in (2, 3, None):
        assert bits(fit(name, factorization=factorization, threads=count)) == expected


@pytest.mark.parametrize("factorization", ["block", "cholmod"])
def test_a_large_fit_has_the_same_bits_on_any_number_of_threads(factorization):
    data = large_data()
    found = []
    for count in (1, 2, 3):
        control = lmerControl(factorization=factorization, threads=count)
        found.append(bits(lmer("y ~ x + (1 | a) + (1 + x | b)", data, control=control)))
    assert found[1] == found[0] and found[2] == found[0]


def test_a_pickled_fit_keeps_its_factorization_and_threads():
    model = fit("pastes_nested", factorization="cholmod", threads=2)
    again = pickle.loads(pickle.dumps(model))
    assert again._criterion.kernel.describe() == model._criterion.kernel.describe()
    assert bits(again) == bits(model)


@pytest.mark.parametrize("bad", ["qr", "", None, 1])
def test_an_unknown_factorization_is_refused_by_name(bad):
    with pytest.raises(ArgumentError, match="factorization"):
        lmerControl(factorization=bad)


@pytest.mark.parametrize("bad", [0, -1, 1.5, "2"])
def test_a_number_of_threads_that_makes_no_sense_is_refused(bad):
    with pytest.raises(ArgumentError, match=r"threads = .*at least 1"):
        lmerControl(threads=bad)


FORK = """
import os, sys
sys.path[:0] = [".", "tests", "tests/criterion"]
import numpy as np
from fastlmm_hlm import lmer, lmerControl
from test_criterion_routes import large_data
data = large_data()
model = lmer("y ~ x + (1 | a)", data, control=lmerControl(threads=2))
child = os.fork()
if child == 0:
    again = lmer("y ~ x + (1 | a)", data, control=lmerControl(threads=2))
    same = again.theta.tobytes() == model.theta.tobytes()
    deviations = model.ranef(condVar=True).to_frame()["condsd"].to_numpy()
    os._exit(0 if same and np.isfinite(deviations).all() else 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_forked_child_fits_and_uses_a_large_model_of_its_parent():
    run = subprocess.Popen([sys.executable, "-c", FORK], cwd=ROOT, stdout=subprocess.PIPE, text=True,
                           start_new_session=True)
    try:
        assert run.communicate(timeout=SECONDS_TO_FORK)[0] == "0\n"
    finally:
        if run.poll() is None:
            os.killpg(run.pid, signal.SIGKILL)
            run.communicate()
