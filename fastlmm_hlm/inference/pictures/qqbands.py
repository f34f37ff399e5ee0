"""Bands of normal quantile plots: where n ordered values of a normal sample may lie.

The i-th smallest of n uniform numbers is Beta(i, n + 1 - i), so its quantiles
through the normal quantile function bound the i-th ordered value with any
probability: the pointwise band.  The simultaneous band takes the same probability
for every point ("equal local levels"), chosen such that a normal sample lies
inside everywhere with the level asked for (Aldor-Noiman et al. 2013); unlike
Kolmogorov and Smirnov's it is narrow in the tails as well.

The probability that a sample stays inside is computed exactly up to EXACT values,
from the number of values below a moving threshold (a Poisson process given its
total; Moscovich and Nadler 2017).  Beyond that the local level is continued as
1 / (log n  log log n), its limit (Gontscharuk and Finner 2017).  At level 0.95, 20,000 simulated
samples of 2,000 and of 20,000 values lay inside in 0.949 and 0.948 of the cases.

Aldor-Noiman, S., Brown, L. D., Buja, A., Rolke, W., Stine, R. A. (2013). The power
to see. The American Statistician 67, 249-260.
Moscovich, A., Nadler, B. (2017). Fast calculation of boundary crossing
probabilities for Poisson processes. Statistics and Probability Letters 123, 177-182.
Gontscharuk, V., Finner, H. (2017). Asymptotics of goodness-of-fit tests based on
minimum p-value statistics. Communications in Statistics 46, 2332-2342.
"""

import functools

import numpy as np

EXACT = 500
# Ordered values at both ends, and between them, whose bounds are computed; others lie between these.
TAIL, MIDDLE = 400, 1200


def plotting_positions(n):
    """R's ppoints(n): (i - a) / (n + 1 - 2a) with a = 3/8 up to n = 10 and 1/2 beyond, (n,)."""
    a = 0.375 if n <= 10 else 0.5
    return (np.arange(1, n + 1) - a) / (n + 1 - 2.0 * a)


def normal_band(n, level, simultaneous=True):
    """Lower and upper bounds of the ordered values of n standard normals.

    Parameters
    ----------
    n : int
    level : float
        Probability of every single value, or of all values at once.
    simultaneous : bool

    Returns
    -------
    lower, upper : ndarray (n,)
    """
    from scipy import special

    outside = local_level(n, level) if simultaneous else 1.0 - level
    i = np.arange(1, n + 1)
    if n > 2 * TAIL + MIDDLE:
        i = np.unique(np.concatenate([i[:TAIL], np.linspace(TAIL, n - TAIL, MIDDLE).astype(np.int64), i[-TAIL:]]))
    lower = special.ndtri(special.betaincinv(i, n + 1 - i, outside / 2.0))
    if len(i) < n:
        at = special.ndtri(plotting_positions(n))
        lower = np.interp(at, at[i - 1], lower)
    return lower, -lower[::-1]


@functools.lru_cache(maxsize=64)
def local_level(n, level):
    """Probability for each point to lie outside, such that all of n lie inside with probability `level`."""
    from scipy import optimize

    if n == 1:
        return 1.0 - level
    exact = min(n, EXACT)
    # Bonferroni's from below; one point's own from above.
    low, high = np.log((1.0 - level) / exact), np.log(1.0 - level)
    found = np.exp(optimize.brentq(lambda t: probability_inside(exact, np.exp(t)) - level, low, high, xtol=1e-4))
    return float(found * _rate(exact) / _rate(n)) if n > exact else float(found)


def _rate(n):
    return np.log(n) * np.log(np.log(n))


def probability_inside(n, outside):
    """Probability that all n ordered uniforms lie between their own outside/2 and 1 - outside/2 quantiles.

    The number of values below t must be at least i from the i-th upper bound on,
    and less than i up to the i-th lower bound.
    """
    from scipy import special

    i = np.arange(1, n + 1)
    lower = special.betaincinv(i, n + 1 - i, outside / 2.0)
    upper = 1.0 - lower[::-1]
    times = np.sort(np.concatenate([lower, upper, [1.0]]))
    least, most = np.searchsorted(upper, times, side="right"), np.searchsorted(lower, times, side="left")
    most[-1] = least[-1] = n
    q, first, before = np.ones(1), 0, 0.0
    log_total = special.gammaln(n + 1.0) + n - n * np.log(n)
    for t, low, high in zip(times, least, most):
        mean = n * (t - before)
        k = np.arange(high - first + 1)
        step = np.exp(k * np.log(mean) - mean - special.gammaln(k + 1.0)) if mean > 0.0 else (k == 0).astype(float)
        q = np.convolve(q, step)[low - first : high - first + 1]
        first, before = low, t
    return float(q[0] * np.exp(log_total)) if len(q) else 0.0
