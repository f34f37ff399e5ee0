"""Make tests/reference importable, however pytest is started, and keep BLAS on one thread."""

import pathlib
import sys

import pytest

TESTS = str(pathlib.Path(__file__).resolve().parents[1])
if TESTS not in sys.path:
    sys.path.insert(0, TESTS)


@pytest.fixture(scope="module", autouse=True)
def blas_on_one_thread():
    """As in a fit: bits depend on the number of BLAS threads, and small matrices suffer from them."""
    from fastlmm_hlm._core.threads import one_blas_thread

    with one_blas_thread():
        yield
