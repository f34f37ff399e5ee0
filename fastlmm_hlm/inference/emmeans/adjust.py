"""Adjustment of p-values and intervals for several estimates of one family."""

from functools import lru_cache

import numpy as np
from scipy import special

from fastlmm_hlm.errors import ArgumentError

ALIASES = {"BH": "fdr", "fdr": "fdr"}
METHODS = ("none", "tukey", "sidak", "bonferroni", "holm", "hochberg", "hommel", "fdr", "BY", "scheffe", "dunnettx", "mvt")
# Those that only order p-values; intervals take Bonferroni's instead.
STEPWISE = ("holm", "hochberg", "hommel", "fdr", "BY")
# Methods for two-sided tests only.
TWO_SIDED = ("tukey", "scheffe", "dunnettx")
# Quadrature: nodes for normal variables, their range, and the tail left out of chi variables.
NODES, WIDEST, TAIL = 128, 9.0, 1e-13
# Powers of probabilities below this are slow and add nothing.
NOTHING = 1e-15
# Directions for the multivariate t: so many, and the same in every call.
MVT_SEED = 20240229
MVT_POINTS = 2**17
REACHES, PIECES = 2**10, 2**5


def check_adjust(adjust, caller):
    """The adjustment's own name.

    Raises
    ------
    ArgumentError
        If it is not known.
    """
    name = ALIASES.get(adjust, adjust)
    if name not in METHODS:
        raise ArgumentError(f"{caller}: adjust = {adjust!r} is not known; use one of {', '.join(METHODS)}.")
    return name


def plain_pvalues(t, df, side):
    """P-values of t statistics, (k,); df may be infinite."""
    t, df = np.asarray(t, dtype=float), np.asarray(df, dtype=float)
    upper = np.where(np.isinf(df), special.ndtr(-t), special.stdtr(np.where(np.isinf(df), 1.0, df), -t))
    if side > 0:
        return upper
    lower = np.where(np.isinf(df), special.ndtr(t), special.stdtr(np.where(np.isinf(df), 1.0, df), t))
    return lower if side < 0 else 2.0 * np.minimum(upper, lower)


def adjusted_pvalues(t, df, method, side, family, rank, correlation):
    """Adjusted p-values of one family.

    Parameters
    ----------
    t, df : ndarray, shape (k,)
        Statistics and degrees of freedom; NaN is left as it is.
    method : str
    side : int
        0 two-sided, 1 right-tailed, -1 left-tailed.
    family : int
        Means compared ("tukey") or tests made.
    rank : int
        Dimension of the family ("scheffe").
    correlation : ndarray, shape (k, k)
        Of the estimates ("mvt").

    Returns
    -------
    ndarray, shape (k,)
    """
    p = plain_pvalues(t, df, side)
    known = ~np.isnan(p)
    out = np.full(len(p), np.nan)
    k, x = int(known.sum()), np.abs(np.asarray(t, dtype=float)[known])
    if not k:
        return out
    pk, dk = p[known], np.asarray(df, dtype=float)[known]
    if method == "tukey":
        out[known] = [1.0 - tukey_inside(a, family, b) for a, b in zip(x, dk, strict=True)]
    elif method == "dunnettx":
        out[known] = [1.0 - dunnett_inside(a, family, b) for a, b in zip(x, dk, strict=True)]
    elif method == "scheffe":
        out[known] = _f_upper(x**2 / rank, rank, dk)
    elif method == "mvt":
        joint = MultivariateT(correlation[np.ix_(known, known)], side != 0)
        own = side * np.asarray(t, dtype=float)[known] if side else x
        out[known] = [joint.outside(a, b) for a, b in zip(own, dk, strict=True)]
    elif method == "sidak":
        out[known] = -np.expm1(family * np.log1p(-pk))
    elif method == "bonferroni":
        out[known] = np.minimum(1.0, family * pk)
    else:
        out[known] = pk if method == "none" else _stepwise(pk, method)
    return np.clip(out, 0.0, 1.0)


def critical_values(level, df, method, side, family, rank, correlation):
    """How many standard errors the limits lie from each estimate, (k,); parameters as above."""
    df = np.asarray(df, dtype=float)
    tail = (1.0 - level) if side else (1.0 - level) / 2.0
    tests = max(1, family)
    if method == "bonferroni" or method in STEPWISE:
        tail /= tests
    elif method == "sidak":
        whole = -np.expm1(np.log(level) / tests)
        tail = whole if side else whole / 2.0
    if method in ("tukey", "dunnettx", "scheffe", "mvt"):
        made, joint = {}, None
        if method == "mvt":
            known = ~np.isnan(np.diagonal(correlation))
            joint = MultivariateT(correlation[np.ix_(known, known)], side != 0)
        for d in df[~np.isnan(df)]:
            if d not in made:
                made[d] = _simultaneous(level, d, method, family, rank, joint)
        return np.array([made.get(d, np.nan) for d in df])
    with np.errstate(invalid="ignore"):
        return np.where(np.isinf(df), -special.ndtri(tail), -special.stdtrit(np.where(np.isinf(df), 1.0, df), tail))


def _simultaneous(level, df, method, family, rank, joint):
    from scipy.optimize import brentq

    if method == "scheffe":
        q = special.chdtri(rank, 1.0 - level) / rank if np.isinf(df) else special.fdtri(rank, df, level)
        return float(np.sqrt(rank * q))

    def inside(c):
        if method == "mvt":
            return 1.0 - joint.outside(c, df)
        return (tukey_inside if method == "tukey" else dunnett_inside)(c, family, df)

    high = 1.0
    while inside(high) < level and high < 1e6:
        high *= 2.0
    return float(brentq(lambda c: inside(c) - level, 0.0, high, xtol=1e-8))


def _f_upper(F, rank, df):
    return np.where(np.isinf(df), special.chdtrc(rank, F * rank), special.fdtrc(rank, np.where(np.isinf(df), 1.0, df), F))


def tukey_inside(t, means, df):
    """P(all differences of `means` independent means stay within t standard errors): the studentized range.

    Given s, the range W of k standard normals has P(W <= w) = k int phi(z) (Phi(z) - Phi(z - w))^(k-1) dz
    (Tukey 1953; Hartley 1942).  scipy.stats.studentized_range gives the same to 1e-9, 20 times slower.
    """
    z, at_z = _normal_nodes()
    s, at_s = _chi_nodes(df)
    w = np.sqrt(2.0) * t * s[:, None]
    between = special.ndtr(z) - special.ndtr(z - w)
    between[between < NOTHING] = 0.0
    return min(1.0, float(means * (at_s @ (between ** (means - 1) @ at_z))))


def dunnett_inside(t, tests, df):
    """P(all |T_i| <= t) for `tests` statistics with correlation 1/2: comparisons with one control.

    T_i = (X_i + X_0) / sqrt(2) / s; given X_0 and s the X_i are independent (Dunnett 1955).
    """
    z, at_z = _normal_nodes()
    s, at_s = _chi_nodes(df)
    c = np.sqrt(2.0) * t * s[:, None]
    return min(1.0, float(at_s @ ((special.ndtr(c - z) - special.ndtr(-c - z)) ** tests @ at_z)))


_gauss = lru_cache(maxsize=2)(np.polynomial.legendre.leggauss)


@lru_cache(maxsize=1)
def _normal_nodes():
    """Nodes and weights for the mean of a function of a standard normal."""
    nodes, weights = _gauss(NODES)
    z = WIDEST * nodes
    return z, WIDEST * weights * np.exp(-0.5 * z**2) / np.sqrt(2.0 * np.pi)


@lru_cache(maxsize=4096)
def _chi_nodes(df):
    """Nodes and weights for the mean of a function of s = sqrt(chi-square(df) / df)."""
    if np.isinf(df):
        return np.ones(1), np.ones(1)
    nodes, weights = _gauss(NODES // 2)
    low, high = np.sqrt(2.0 * special.gammaincinv(df / 2.0, TAIL) / df), np.sqrt(2.0 * special.gammainccinv(df / 2.0, TAIL) / df)
    root = (np.sqrt(low) + np.sqrt(high)) / 2.0 + (np.sqrt(high) - np.sqrt(low)) / 2.0 * nodes
    s = root**2      # smooth at zero also for fractional df
    log_density = (df - 0.5) * np.log(s) - df * (s**2 - 1.0) / 2.0
    density = np.exp(log_density - log_density.max()) * weights
    return s, density / density.sum()


class MultivariateT:
    """Probabilities of the largest of correlated t statistics; the correlation may be singular.

    With R = A A', T = A z / s.  In polar coordinates z = rho u all statistics stay below t for
    rho / s <= t / reach(u), where reach(u) = max_i |a_i'u|, and (rho / s)^2 / r has an F distribution
    with r and df degrees of freedom.  So a probability is a mean over directions u (Deak 1980, for the
    normal case); directions of nearly equal reach are taken together.

    Parameters
    ----------
    R : ndarray, shape (k, k)
        Correlation.
    one_sided : bool
        Whether the largest T_i counts, or the largest |T_i|.
    """

    def __init__(self, R, one_sided):
        values, vectors = np.linalg.eigh((R + R.T) / 2.0)
        order = np.argsort(values)[::-1]
        order = order[values[order] > 1e-10 * values[-1]]
        A = vectors[:, order] * np.sqrt(values[order])
        self.one_sided, self.r = one_sided, A.shape[1]
        reach = np.sort(np.concatenate([_reach(block @ A.T, one_sided) for block in np.split(_directions(self.r), PIECES)]))
        self.reach = reach if len(reach) < REACHES else reach.reshape(REACHES, -1).mean(axis=1)

    def outside(self, t, df):
        """P(some T_i > t), or P(some |T_i| > t)."""
        with np.errstate(divide="ignore"):
            beyond = _f_upper((t / self.reach) ** 2 / self.r, self.r, np.full(len(self.reach), df))
        if not self.one_sided:
            return float(beyond.mean())
        inside = np.where(self.reach > 0, 1.0 - beyond, 1.0) if t >= 0 else np.where(self.reach < 0, beyond, 0.0)
        return float(1.0 - inside.mean())


def _reach(along, one_sided):
    return along.max(axis=1) if one_sided else np.abs(along).max(axis=1)


@lru_cache(maxsize=4)
def _directions(r):
    """Unit vectors spread evenly over the sphere in r dimensions, the same in every call: (N, r)."""
    if r == 1:
        return np.tile([[1.0], [-1.0]], (PIECES, 1))
    if r == 2:
        angle = 2.0 * np.pi * (np.arange(MVT_POINTS) + 0.5) / MVT_POINTS
        return np.column_stack([np.cos(angle), np.sin(angle)])
    from scipy.stats import qmc

    z = special.ndtri(qmc.Sobol(r, seed=MVT_SEED).random(MVT_POINTS))
    return z / np.linalg.norm(z, axis=1, keepdims=True)


def _stepwise(p, method):
    """Holm (1979), Hochberg (1988), Hommel (1988), Benjamini and Hochberg (1995), Benjamini and Yekutieli (2001)."""
    n = len(p)
    order = np.argsort(p)
    ranked, i = p[order], np.arange(1, n + 1)
    if method == "holm":
        adjusted = np.maximum.accumulate((n - i + 1) * ranked)
    elif method == "hommel":
        adjusted = _hommel(ranked)
    else:
        factor = n - i + 1.0 if method == "hochberg" else n / i
        if method == "BY":
            factor = factor * (1.0 / i).sum()
        adjusted = np.minimum.accumulate((factor * ranked)[::-1])[::-1]
    out = np.empty(n)
    out[order] = np.minimum(1.0, adjusted)
    return out


def _hommel(ranked):
    """Adjusted p-values of Hommel's closed test of Simes, ranked p-values in, (n,).

    The hypothesis with p-value p_i is rejected at a when Simes rejects every set that holds it; the
    worst set of size m is the m largest p-values, or p_i with the m - 1 largest (Wright 1992).
    """
    n = len(ranked)
    out = np.empty(n)
    for i in range(n):
        worst = ranked[i]
        for m in range(2, n + 1):
            largest = ranked[n - m :] if i >= n - m else np.concatenate([[ranked[i]], ranked[n - m + 1 :]])
            worst = max(worst, (m * largest / np.arange(1, m + 1)).min())
        out[i] = worst
    return out
