"""What holds for every test."""

import os

import pytest

LIBRARIES = os.environ.get("LD_LIBRARY_PATH")


@pytest.fixture(autouse=True)
def own_libraries():
    """LD_LIBRARY_PATH as it was: rpy2 puts R's folders there, where a child process would find another libpython."""
    _restore()
    yield
    _restore()


def _restore():
    if LIBRARIES is None:
        os.environ.pop("LD_LIBRARY_PATH", None)
    else:
        os.environ["LD_LIBRARY_PATH"] = LIBRARIES
