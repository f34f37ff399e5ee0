"""No picture is shown, and none is left open after a test."""

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt  # noqa: E402
import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
import pytest  # noqa: E402

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


def pupils(n, classes, seed=7):
    """Pupils in classes within schools; some classes have one pupil."""
    rng = np.random.default_rng(seed)
    klass = rng.integers(0, classes, n)
    klass[:classes] = np.arange(classes)
    hours = rng.gamma(2.0, 1.5, n)
    b = rng.normal(size=(classes, 2)) * (4.0, 0.8)
    y = 50.0 + 2.0 * hours + b[klass, 0] + b[klass, 1] * hours + rng.normal(0.0, 5.0, n) + 0.5 * (klass % 5)
    return pd.DataFrame({"score": y, "hours": hours, "w": rng.uniform(0.5, 3.0, n), "class": klass + 1, "school": klass % 5,
                         "kind": np.where(klass % 3 == 0, "private", "public")})


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
