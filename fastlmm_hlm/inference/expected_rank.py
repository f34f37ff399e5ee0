"""Ranks of groups that take account of how well each is known."""

import numpy as np
import pandas as pd
from scipy.special import ndtr

from fastlmm_hlm.errors import ArgumentError, UnknownNameError
from fastlmm_hlm.inference.reliability import warn_of_few_levels

# Levels up to which every pair is computed; above, the ranks are interpolated.
PAIRWISE = 5000
ELEMENTS = 4_000_000
# The interpolation: points per smallest standard deviation of a difference, nodes in the variance,
# and the size of the grid above which the pairs themselves are computed after all.
POINTS, NODES, LARGEST_GRID = 8, 16, 4000


def expected_rank(fit, group=None, term=None):
    """Expected ranks of the levels of a grouping factor.

    Level i with conditional mode b_i and conditional variance v_i is above level k with probability
    Phi((b_i - b_k) / sqrt(v_i + v_k)), so its expected rank is ER_i = 1 + sum of these over k != i
    (van Houwelingen, Brand and Louis 2000; Lingsma et al. 2010).  Rank 1 is the smallest.  Modes are
    taken as independent.

    Parameters
    ----------
    fit : LinearMixedModel
    group : str or list of str, optional
        Grouping factors; all by default.
    term : str or list of str, optional
        Random effects, such as "(Intercept)" (also "Intercept"); all by default.

    Returns
    -------
    DataFrame
        group, level, term, estimate, std.error (conditional), ER, pctER = 100 (ER - 1/2) / levels.
        Up to 5,000 levels every pair is computed.  With more, the sum is a smooth function of (b_i, v_i) that is
        computed on a grid and interpolated, to 1e-6 of a rank or better.

    Raises
    ------
    UnknownNameError
        For a grouping factor or term that the model does not have.

    Warns
    -----
    FewLevelsWarning
        For a factor of fewer than 5 levels.

    References
    ----------
    .. [1] Lingsma et al. (2010), Neth. J. Med. 68(3).  Laird, Louis (1989), J. Educ. Stat. 14(1).
       Same as merTools::expectedRank, which rounds pctER.
    """
    modes = fit.ranef(condVar=True)
    groups = _chosen(group, list(modes), "grouping factor")
    terms = dict.fromkeys(name for g in groups for name in modes[g].columns)
    asked = None if term is None else [term] if isinstance(term, str) else list(term)
    if asked is not None:
        asked = ["(Intercept)" if t == "Intercept" and "(Intercept)" in terms else t for t in asked]
    wanted = _chosen(asked, list(terms), "random effect")
    parts = []
    for g in groups:
        warn_of_few_levels(g, len(modes[g]), "expected_rank")
        variances = np.diagonal(modes.condVar[g], axis1=1, axis2=2)
        for j, name in enumerate(modes[g].columns):
            if name not in wanted:
                continue
            b, v = modes[g].to_numpy()[:, j], np.maximum(variances[:, j], 0.0)
            rank = expected_ranks(b, v)
            parts.append(pd.DataFrame({
                "group": g, "level": modes[g].index, "term": name, "estimate": b, "std.error": np.sqrt(v), "ER": rank,
                "pctER": 100.0 * (rank - 0.5) / len(b),
            }))
    if not parts:
        raise ArgumentError(f"expected_rank: {', '.join(groups)} has no random effect {', '.join(wanted)}.")
    return pd.concat(parts, ignore_index=True)


def _chosen(given, known, what):
    wanted = known if given is None else [given] if isinstance(given, str) else list(given)
    for name in wanted:
        if name not in known:
            raise UnknownNameError(f"expected_rank: no {what} is called {name!r}; there are {', '.join(known)}.")
    return wanted


def expected_ranks(b, v):
    """1 + sum over the others of Phi((b_i - b_k) / sqrt(v_i + v_k)), (m,).

    Parameters
    ----------
    b, v : ndarray (m,)
        Modes and their variances; equal modes without variance share their ranks.
    """
    if len(b) > PAIRWISE:
        found = _interpolated(b, v)
        if found is not None:
            return found + 0.5
    return _sums(b, v, b, v) + 0.5


def _sums(b, v, others, variances):
    """Sum over k of Phi((b_i - others_k) / sqrt(v_i + variances_k)), (len(b),), in slices."""
    out = np.empty(len(b))
    step = max(1, ELEMENTS // len(others))
    for first in range(0, len(b), step):
        at = slice(first, first + step)
        scale = np.sqrt(v[at, None] + variances)
        difference = b[at, None] - others
        with np.errstate(divide="ignore", invalid="ignore"):
            z = np.where(difference == 0.0, 0.0, difference / scale)
        out[at] = ndtr(z).sum(axis=1)
    return out


def _interpolated(b, v):
    """The sums at all (b_i, v_i) from those on a grid; None where the grid would be too fine.

    In b the sum varies on the scale of the smallest sqrt(v_i + v_k): a quintic spline through points
    an eighth of it apart.  In log(v + smallest v) it is analytic: Chebyshev nodes.
    """
    from scipy.interpolate import make_interp_spline

    low, high = v.min(), v.max()
    width = np.sqrt(2.0 * low)
    if low <= 0.0:
        return None
    count = int(np.ceil(np.ptp(b) / width * POINTS)) + 6
    if count > LARGEST_GRID:
        return None
    grid = np.linspace(b.min() - 2.0 * width / POINTS, b.max() + 2.0 * width / POINTS, count)
    angles = (np.arange(NODES) + 0.5) * np.pi / NODES
    x = np.cos(angles)
    ends = np.log(2.0 * low), np.log(high + low)
    middle, half = 0.5 * (ends[0] + ends[1]), 0.5 * (ends[1] - ends[0])
    nodes = np.exp(middle + half * x) - low
    table = _sums(np.tile(grid, NODES), np.repeat(nodes, count), b, v).reshape(NODES, count)
    coefficients = np.cos(np.outer(np.arange(NODES), angles)) @ table * (2.0 / NODES)
    coefficients[0] *= 0.5
    spline = make_interp_spline(grid, coefficients.T, k=5)
    at = (np.log(v + low) - middle) / half if half > 0 else np.zeros(len(v))
    chebyshev = np.cos(np.arange(NODES) * np.arccos(np.clip(at, -1.0, 1.0))[:, None])
    return (spline(b) * chebyshev).sum(axis=1)
