"""Estimated marginal means, their contrasts, slopes and joint tests."""

from fastlmm_hlm.errors import ArgumentError
from fastlmm_hlm.inference.emmeans.joint import joint_tests
from fastlmm_hlm.inference.emmeans.means import emmeans, ref_grid
from fastlmm_hlm.inference.emmeans.result import EmmGrid, EmmList
from fastlmm_hlm.inference.emmeans.trends import emtrends

__all__ = ["EmmGrid", "EmmList", "contrast", "emmeans", "emtrends", "joint_tests", "pairs", "ref_grid"]


def contrast(means, method="eff", **how):
    """Contrasts of marginal means: the same as ``means.contrast(...)``; see `EmmGrid.contrast`."""
    return _grid(means, "contrast").contrast(method, **how)


def pairs(means, **how):
    """Pairwise differences of marginal means: the same as ``means.pairs(...)``; see `EmmGrid.pairs`."""
    return _grid(means, "pairs").pairs(**how)


def _grid(means, caller):
    if isinstance(means, EmmList):
        means = next(iter(means.values()))
    if not isinstance(means, EmmGrid):
        raise ArgumentError(f"{caller}: expected the result of emmeans(), emtrends() or ref_grid(), got {type(means).__name__}.")
    return means
