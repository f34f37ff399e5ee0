"""Makes the shared models of these tests importable."""

import pathlib
import sys

import pytest

HERE = pathlib.Path(__file__).resolve().parent
if str(HERE) not in sys.path:
    sys.path.insert(0, str(HERE))

from emm_cases import SCHOOL  # noqa: E402


@pytest.fixture
def school():
    """A copy of the made-up school data."""
    return SCHOOL.copy()
