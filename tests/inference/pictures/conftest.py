"""No picture is shown, and none is left open after a test."""

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt  # noqa: E402
import pytest  # noqa: E402
from picture_cases import pupils  # noqa: E402

from fastlmm_hlm import datasets, lmer  # noqa: E402


@pytest.fixture(autouse=True)
def clean_figures(monkeypatch):
    def refuse(*arguments, **keywords):
        raise AssertionError("a plot called show()")

    monkeypatch.setattr(plt, "show", refuse)
    before = dict(matplotlib.rcParams)
    yield
    assert dict(matplotlib.rcParams) == before
    plt.close("all")


@pytest.fixture(scope="session")
def sleep():
    return lmer("Reaction ~ Days + (Days | Subject)", datasets.load("sleepstudy"))


@pytest.fixture(scope="session")
def schools():
    return lmer("mAch ~ meanses * cses + sector * cses + (cses | school)", datasets.load("Hsb82"))


@pytest.fixture(scope="session")
def plates():
    return lmer("diameter ~ 1 + (1 | plate) + (1 | sample)", datasets.load("Penicillin"))


@pytest.fixture(scope="session")
def seven():
    return lmer("score ~ hours + (hours | class)", pupils(140, 7))


@pytest.fixture(scope="session")
def many():
    """7,000 groups."""
    return lmer("score ~ hours + (hours | class)", pupils(24_000, 7_000))


@pytest.fixture(scope="session")
def weighted():
    return lmer("score ~ hours + (hours | class)", pupils(300, 20), weights="w")
