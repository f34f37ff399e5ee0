"""Block elimination equals the factorization of all of M, and no number of threads changes a bit."""

import os
import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastlmm_hlm._core import kernels
from reference.arrays import LAYOUTS, flat, kernel_of, random_model, random_templates
from reference.routes import WAYS

# Two orders of elimination of the same system; condition numbers up to about 1e5.
SAME_CRITERION, SAME = 1e-9, 1e-8
ROOT = pathlib.Path(__file__).resolve().parents[2]
# Loops over fewer levels than this stay on one thread.
WORTH_THREADS = int(re.search(r"define FLMM_WORTH_THREADS (\d+)", (ROOT / "csrc/threads.h").read_text())[1])
LARGE = {
    "one factor": {"nl": (WORTH_THREADS + 5000,), "nc": (2,)},
    "dense core": {"nl": (WORTH_THREADS + 5000, 70), "nc": (1, 2), "weighted": True},
    "sparse core": {"nl": (WORTH_THREADS + 5000, 2000), "nc": (2, 1)},
    "two large factors": {"nl": (WORTH_THREADS + 9000, WORTH_THREADS + 1000), "nc": (1, 1)},
}


@st.composite
def models(draw):
    """Models of 1 to 4 factors with 1 to 4 columns, some with levels that no row has."""
    nf = draw(st.integers(1, 4))
    n = draw(st.integers(20, 500))
    nl = sorted((draw(st.integers(1, 2 * n)) for _ in range(nf)), reverse=True)
    layout = draw(st.sampled_from(sorted(LAYOUTS)))
    if layout == "clustered":
        nl = [levels + 6 for levels in nl]
    nc = tuple(draw(st.integers(1, 4)) for _ in range(nf))
    return random_model(draw(st.integers(0, 10**6)), n=n, p=draw(st.integers(0, 4)), nl=tuple(nl), nc=nc,
                        weighted=draw(st.booleans()), layout=layout)


def directions(rng, model):
    """Two symmetric dPsi per factor: their factors and numbers."""
    D = [S + S.T for Z in model.Z for S in rng.normal(size=(2, Z.shape[1], Z.shape[1]))]
    return np.repeat(np.arange(len(model.Z), dtype=np.int32), 2), flat(D)


def everything(kernel, Lambda, factor_of, D, reml=True):
    """All that one evaluation gives, by name."""
    ldL2, ldRX2, pwrss, trace, score, information = kernel.evaluate(Lambda, 7, reml, factor_of, D)
    beta, u, b = kernel.solution()
    RX, RZX = kernel.blocks()
    return {
        "ldL2": ldL2, "ldRX2": ldRX2, "pwrss": pwrss, "trace": trace, "score": score, "information": information,
        "beta": beta, "u": u, "b": b, "RX": RX, "RZX": RZX,
        "inverse blocks": np.concatenate([block.ravel() for block in kernel.inverse_blocks()]),
    }


def criterion(found, degrees):
    return found["ldL2"] + found["ldRX2"] + degrees * (1.0 + np.log(2.0 * np.pi * found["pwrss"] / degrees))


def assert_close(found, expected):
    """All but RZX is the same in every order of elimination; of RZX, the cross-product is."""
    assert found.keys() == expected.keys()
    found, expected = ({**part, "RZX": part["RZX"].T @ part["RZX"]} for part in (found, expected))
    for name, value in expected.items():
        size = np.abs(value).max(initial=1e-3)
        np.testing.assert_allclose(found[name], value, rtol=SAME, atol=SAME * size, err_msg=name)


@settings(deadline=None, max_examples=150)
@given(models(), st.integers(0, 10**6), st.booleans(), st.sampled_from([0.0, 1e-6, 0.5, 3.0]))
def test_block_elimination_equals_the_factorization_of_the_whole_system(model, seed, reml, size):
    rng = np.random.default_rng(seed)
    Lambda, (factor_of, D) = flat(random_templates(rng, model, size)), directions(rng, model)
    whole = everything(kernel_of(model, kernels.WHOLE), Lambda, factor_of, D, reml)
    block = everything(kernel_of(model, kernels.BLOCK), Lambda, factor_of, D, reml)
    degrees = len(model.y) - reml * model.X.shape[1]
    assert criterion(block, degrees) == pytest.approx(criterion(whole, degrees), rel=SAME_CRITERION, abs=SAME_CRITERION)
    assert_close(block, whole)


@pytest.mark.parametrize("name", WAYS)
def test_the_two_routes_agree_on_every_way_of_factoring(name):
    model, rng = WAYS[name].model(4), np.random.default_rng(5)
    Lambda, (factor_of, D) = flat(random_templates(rng, model)), directions(rng, model)
    one, other = (everything(kernel_of(model, route), Lambda, factor_of, D) for route in (kernels.BLOCK, kernels.WHOLE))
    degrees = len(model.y) - model.X.shape[1]
    assert criterion(one, degrees) == pytest.approx(criterion(other, degrees), rel=SAME_CRITERION, abs=SAME_CRITERION)
    assert_close(one, other)


def assert_same_bits(one, other, what):
    for name, value in one.items():
        assert np.asarray(value).tobytes() == np.asarray(other[name]).tobytes(), f"{name} differs on {what}"


@pytest.mark.parametrize("name", WAYS)
def test_a_small_model_has_the_same_bits_on_any_number_of_threads(name):
    way, rng = WAYS[name], np.random.default_rng(6)
    model = way.model(7)
    Lambda, (factor_of, D) = flat(random_templates(rng, model)), directions(rng, model)
    expected = everything(way.kernel(model, 1), Lambda, factor_of, D)
    for threads in (2, 3, 7, 1000):
        assert_same_bits(everything(way.kernel(model, threads), Lambda, factor_of, D), expected, f"{threads} threads")


@pytest.mark.parametrize("route", [kernels.BLOCK, kernels.WHOLE], ids=["block", "whole"])
@pytest.mark.parametrize("name", LARGE)
def test_a_model_large_enough_for_threads_has_the_same_bits_on_any_number_of_them(name, route):
    model = random_model(8, n=2 * WORTH_THREADS, p=2, layout="chained", **LARGE[name])
    rng = np.random.default_rng(9)
    Lambda, (factor_of, D) = flat(random_templates(rng, model)), directions(rng, model)
    expected = everything(kernel_of(model, route, 1), Lambda, factor_of, D)
    for threads in (2, 3):
        found = everything(kernel_of(model, route, threads), Lambda, factor_of, D)
        assert_same_bits(found, expected, f"{threads} threads")


PROGRAM = """
import os, sys
sys.path.insert(0, "tests")
import numpy as np
from reference.arrays import flat, kernel_of, random_model
model = random_model(1, n=10, p=1, nl=({levels},), nc=(1,), layout="chained")
kernel = kernel_of(model, threads={threads})
before = len(os.listdir("/proc/self/task"))
kernel.evaluate(np.ones(1), 0, True)
print(len(os.listdir("/proc/self/task")) - before)
"""


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="threads are counted in /proc, which Linux has")
@pytest.mark.parametrize("levels, threads, more", [(WORTH_THREADS + 1, 3, 2), (WORTH_THREADS + 1, 1, 0), (1000, 3, 0)])
def test_large_loops_run_on_the_threads_asked_for_and_small_ones_on_one(levels, threads, more):
    program = PROGRAM.format(levels=levels, threads=threads)
    run = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert int(run.stdout) == more
