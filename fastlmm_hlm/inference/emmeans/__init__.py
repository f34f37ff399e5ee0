"""Estimated marginal means, their contrasts, slopes and joint tests.

The parts are loaded when they are used first: a fit needs none of them.
"""

from importlib import import_module

from fastlmm_hlm.errors import ArgumentError

_HOMES = {"EmmGrid": "result", "EmmList": "result", "emmeans": "means", "ref_grid": "means", "emtrends": "trends"}

__all__ = ["cld", "contrast", "joint_tests", "pairs", *_HOMES]


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


def cld(means, level=0.95, letters=None, adjust=None, sort=True, reverse=False):
    """Compact letter display: means that share a letter are not significantly different.

    Parameters
    ----------
    means : EmmGrid
        Compared in pairs within each of its groups.
    level : float
        One minus the level at which pairs are compared; the limits shown are those of `means`.
    letters : str or sequence of str, optional
        a to z, then A to Z by default.
    adjust : str, optional
        Of the comparisons; "tukey" by default.
    sort : bool
        Means in increasing order within their group.
    reverse : bool
        Decreasing order.

    Returns
    -------
    EmmTable
        The means with a column ``.group``; blank where a mean cannot be estimated.

    Raises
    ------
    ArgumentError
        For an option out of range, or fewer letters than are needed.

    References
    ----------
    .. [1] Piepho (2004), J. Comput. Graph. Statist. 13(2), 456-466.
    """
    from fastlmm_hlm.inference.emmeans.letters import compact_letters

    return compact_letters(_grid(means, "cld"), level, letters, adjust, sort, reverse)


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
