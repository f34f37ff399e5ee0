"""Importing the package loads only what it needs, and a fit only what a fit needs."""

import json
import subprocess
import sys

import pytest

HEAVY = ["scipy.stats", "scipy.optimize", "matplotlib", "polars", "pyarrow", "rpy2", "nlopt", "dask", "sklearn",
         "statsmodels", "IPython", "threadpoolctl"]
# pandas loads pyarrow by itself when it is installed: only what we add is ours to answer for.
PROGRAM = """
import json, sys
import numpy, pandas
before = set(sys.modules)
import fastlmm_hlm
{then}
print(json.dumps(sorted(set(sys.modules) - before)))
"""
FIT = """
fit = fastlmm_hlm.lmer("Reaction ~ Days + (Days | Subject)", fastlmm_hlm.datasets.load("sleepstudy"))
str(fit.summary()), fit.ranef(), fit.VarCorr().to_frame(), fit.fitted()
"""


def loaded(then=""):
    out = subprocess.run([sys.executable, "-c", PROGRAM.format(then=then)], capture_output=True, text=True, check=True)
    assert out.stderr == ""
    return set(json.loads(out.stdout.splitlines()[-1]))


@pytest.fixture(scope="module")
def after_import():
    return loaded()


@pytest.fixture(scope="module")
def after_fit():
    return loaded(FIT)


@pytest.mark.parametrize("module", HEAVY)
def test_import_does_not_load(after_import, module):
    assert module not in after_import


@pytest.mark.parametrize("module", ["scipy.stats", "matplotlib", "polars", "rpy2", "nlopt", "sklearn", "statsmodels"])
def test_an_ordinary_fit_does_not_load(after_fit, module):
    assert module not in after_fit


def test_importing_prints_nothing():
    out = subprocess.run([sys.executable, "-W", "error", "-c", "import fastlmm_hlm"], capture_output=True, text=True)
    assert (out.returncode, out.stdout, out.stderr) == (0, "", "")


def test_every_public_name_exists_and_none_is_a_module_of_ours_by_accident():
    import types

    import fastlmm_hlm

    for name in fastlmm_hlm.__all__:
        assert hasattr(fastlmm_hlm, name), name
    modules = {n for n in fastlmm_hlm.__all__ if isinstance(getattr(fastlmm_hlm, n), types.ModuleType)}
    assert modules <= {"datasets", "errors"}
    assert len(set(fastlmm_hlm.__all__)) == len(fastlmm_hlm.__all__)


def test_star_import_gives_the_public_names_and_shadows_no_builtin():
    import builtins

    import fastlmm_hlm

    space = {}
    exec("from fastlmm_hlm import *", space)
    assert set(fastlmm_hlm.__all__) <= set(space)
    assert not set(fastlmm_hlm.__all__) & set(dir(builtins))
