"""Estimated marginal means, their contrasts, slopes and joint tests.

The parts are loaded when they are used first: a fit needs none of them.
"""

from importlib import import_module

from fastlmm_hlm.errors import ArgumentError

_HOMES = {"EmmGrid": "result", "EmmList": "result", "emmeans": "means", "ref_grid": "means", "emtrends": "trends"}

__all__ = ["contrast", "joint_tests", "pairs", *_HOMES]


def __getattr__(name):
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def contrast(means, method="eff", **how):
    """Contrasts of marginal means: the same as ``means.contrast(...)``; see `EmmGrid.contrast`."""
    return _grid(means, "contrast").contrast(method, **how)


def pairs(means, **how):
    """Pairwise differences of marginal means: the same as ``means.pairs(...)``; see `EmmGrid.pairs`."""
    return _grid(means, "pairs").pairs(**how)


def joint_tests(object, by=None, **how):
    """F tests of all terms of a model or of a grid; see `fastlmm_hlm.inference.emmeans.joint.joint_tests`."""
    from fastlmm_hlm.inference.emmeans import joint

    return joint.joint_tests(object, by, **how)


def _grid(means, caller):
    from fastlmm_hlm.inference.emmeans.result import EmmGrid, EmmList

    if isinstance(means, EmmList):
        means = next(iter(means.values()))
    if not isinstance(means, EmmGrid):
        raise ArgumentError(f"{caller}: expected the result of emmeans(), emtrends() or ref_grid(), got {type(means).__name__}.")
    return means
