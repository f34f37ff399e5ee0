"""Satterthwaite's degrees of freedom of many refits at once.

The quantities are those of `satterthwaite`: with f the variance of a contrast and D the
Hessian of the profiled criterion,

    1/df = (df/dpar)' D^-1 (df/dpar) / f^2 + 1/N.

Here D and the derivatives of f are central differences, of the exact gradient and of f
along the profile: 2 m evaluations of some microseconds per refit, stacked over all refits.
With steps of 1e-4 of the scale of each parameter they are good to about 1e-8.  Near the
boundary, and for structures whose parameters are not those of a triangle, a refit is asked alone.
"""

import math

import numpy as np

from fastlmm_hlm.criterion.coordinates import LinearRoot
from fastlmm_hlm.inference.satterthwaite import Satterthwaite, generalized_inverse

STEP = 1e-4
# Relative standard deviations below this are near the boundary.
NEAR_BOUNDARY = 0.02


class Differenced(Satterthwaite):
    """Satterthwaite's method from parts that are known already; see there for what they are.

    Parameters
    ----------
    vcov : ndarray (p, p)
    slopes : ndarray (m, p, p)
    inverse : ndarray (m, m)
    N : int
    """

    def __init__(self, vcov, slopes, inverse, N):
        self.vcov, self.slopes, self.inverse, self.N = vcov, slopes, inverse, N


def satterthwaite_of(refitter, responses, refits):
    """Satterthwaite's method at every usable refit.

    Parameters
    ----------
    refitter : Refitter
    responses : Responses
    refits : Refits

    Returns
    -------
    list of Satterthwaite or None
    """
    out = [None] * len(refits.usable)
    inside = refits.usable & (refits.deviations.min(axis=1) >= NEAR_BOUNDARY)
    if not all(isinstance(c, LinearRoot) for c in refitter.coordinates):
        inside[:] = False
    who = np.flatnonzero(inside)
    if len(who):
        for i, parts in zip(who, zip(*_parts(refitter, responses, refits, who))):
            out[i] = Differenced(*parts, refitter.criterion.N)
    for i in np.flatnonzero(refits.usable & ~inside):
        out[i] = alone(refitter, responses, refits, i)
    return out


def alone(refitter, responses, refits, i):
    """Satterthwaite's method at one refit."""
    from fastlmm_hlm.criterion.lmm import LmmCriterion

    criterion = LmmCriterion(refitter.products_with(responses, i), refitter.design.terms, refitter.centrings,
                             refitter.estimates.reml)
    return Satterthwaite(criterion, refitter.estimates_of(refits, i), refitter.x_basis)


def _parts(refitter, responses, refits, who):
    """vcov (k, p, p), slopes (k, m, p, p) and the inverse Hessian (k, m, m) of some refits."""
    many, par = refitter.criterion_of(responses), refits.par[who]
    k, m = par.shape
    vcov = _covariances(refitter, many, par, who)
    slopes, H = np.empty((k, m, *vcov.shape[1:])), np.empty((k, m, m))
    steps = STEP * _scales(refitter, many, par, who)
    for i in range(m):
        ends = []
        for sign in (1.0, -1.0):
            moved = par.copy()
            moved[:, i] += sign * steps[:, i]
            ends.append((many.evaluate(moved, who).gradient, _covariances(refitter, many, moved, who)))
        width = 2.0 * steps[:, i]
        H[:, i] = (ends[0][0] - ends[1][0]) / width[:, None]
        slopes[:, i] = (ends[0][1] - ends[1][1]) / width[:, None, None]
    H = (H + np.swapaxes(H, 1, 2)) / 2.0
    return vcov, slopes, np.array([generalized_inverse(one) for one in H])


def _covariances(refitter, many, par, who):
    """Covariance of the user's fixed effects along the profile, (k, p, p)."""
    templates = [T @ root for T, root in zip(many.bases, many.roots(par, who))]
    _, _, _, pwrss, _, _, _, RX = many.solve(templates, who)
    half = np.linalg.solve(np.swapaxes(RX, 1, 2), np.broadcast_to(refitter.x_basis.B.T, RX.shape))
    return (pwrss / many.N)[:, None, None] * (np.swapaxes(half, 1, 2) @ half)


def _scales(refitter, many, par, who):
    """Size of a noticeable change of each parameter, (k, m); see `LmmCriterion.scale_of`."""
    out = np.empty_like(par)
    for term, s, root in zip(many.terms, many.slices, many.roots(par, who)):
        least = 1.0 / math.sqrt(max(many.products.n / many.products.ZtWZ[term.factor].shape[0], 1.0))
        sd = np.maximum(np.sqrt((root**2).sum(axis=2)), least)
        out[:, s] = sd[:, term.covariance.rows] if hasattr(term.covariance, "rows") else sd.min(axis=1, keepdims=True)
    return out
