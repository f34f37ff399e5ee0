"""Fitted models that exercise different parts of a fit, each small enough for dense matrices."""

import functools
import warnings

import numpy as np
import pandas as pd

from fastlmm_hlm import datasets, lmer
from fastlmm_hlm.errors import SingularFitWarning


def crossed_slopes(seed=20, n=260):
    """Unbalanced rows with two crossed grouping factors, a factor, two numbers and weights."""
    rng = np.random.default_rng(seed)
    g, h = rng.integers(0, 17, n), rng.integers(0, 9, n)
    x, z = rng.normal(2.0, 1.5, n), rng.uniform(-1.0, 1.0, n)
    f = rng.choice(["low", "mid", "high"], n)
    lift = {"low": 0.0, "mid": 0.6, "high": 1.4}
    b = rng.normal(size=(17, 2)) @ np.array([[1.2, 0.0], [0.3, 0.7]]).T
    y = 4.0 + 0.5 * x + np.array([lift[k] for k in f]) + b[g, 0] + b[g, 1] * x + rng.normal(0, 0.9, 9)[h]
    weights = rng.uniform(0.4, 3.0, n)
    by_kind = rng.normal(0.0, 0.7, (17, 3))[g, np.searchsorted(["high", "low", "mid"], f)]
    y = y + by_kind + rng.normal(0.0, 0.8, n) / np.sqrt(weights) + 0.7 * z
    return pd.DataFrame({"y": y, "x": x, "z": z, "f": f, "g": g + 100, "h": [f"h{k}" for k in h], "w": weights,
                         "known": 0.7 * z})


def weighted_sleep():
    rng = np.random.default_rng(4)
    data = datasets.load("sleepstudy")
    return data.assign(w=rng.uniform(0.5, 2.0, len(data)), known=rng.normal(0, 20, len(data)))


MODELS = {
    "slopes": ("Reaction ~ Days + (Days | Subject)", "sleepstudy", {}),
    "independent slopes, ML": ("Reaction ~ Days + (Days || Subject)", "sleepstudy", {"REML": False}),
    "diag": ("Reaction ~ Days + diag(Days | Subject)", "sleepstudy", {}),
    "weights and offset": ("Reaction ~ Days + (Days | Subject)", weighted_sleep, {"weights": "w", "offset": "known"}),
    "crossed": ("diameter ~ 1 + (1 | plate) + (1 | sample)", "Penicillin", {}),
    "nested": ("strength ~ 1 + (1 | batch/cask)", "Pastes", {}),
    "no fixed effects": ("strength ~ 0 + (1 | batch:cask)", "Pastes", {}),
    "crossed slopes": ("y ~ x * f + (x | g) + (1 | h)", crossed_slopes, {}),
    "all at once": (
        "y ~ poly(x, 2) + f + (0 + f | g) + (x | h)", crossed_slopes,
        {"weights": "w", "offset": "known", "subset": "z > -0.9", "REML": False},
    ),
    "compound symmetry": ("y ~ f + x + cs(0 + f | g)", crossed_slopes, {"weights": "w"}),
    "zero variance": ("Yield ~ 1 + (1 | Batch)", "Dyestuff2", {}),
}


def data_of(name):
    source = MODELS[name][1]
    return datasets.load(source) if isinstance(source, str) else source()


@functools.cache
def fitted(name):
    """The fit of one of `MODELS`; tests must not change it."""
    formula, _, arguments = MODELS[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SingularFitWarning)
        return lmer(formula, data_of(name), **arguments)
