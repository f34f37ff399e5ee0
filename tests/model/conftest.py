"""Fixtures of the fitted-model tests."""

import pathlib
import sys

import pytest

HERE = pathlib.Path(__file__).resolve().parent
for folder in (HERE, HERE.parent):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))

from some_models import MODELS, fitted  # noqa: E402


@pytest.fixture(params=list(MODELS))
def fit(request):
    """Each of the models in turn; shared between tests, so read only."""
    return fitted(request.param)


@pytest.fixture
def sleep_fit():
    return fitted("slopes")
