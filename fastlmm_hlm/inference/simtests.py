"""Tests of simulated residuals: a statistic of the observed ranks against that of every simulated data set.

Data set 0 is the observed one.  p = (1 + number of simulated statistics at least as
extreme) / (nsim + 1), which is exact when the data sets are exchangeable (Besag and
Clifford 1989); values are ranks r as (r + 1/2) / (nsim + 1).
"""

import numpy as np
import pandas as pd

from fastlmm_hlm.errors import ArgumentError
from fastlmm_hlm.inference.checks import ALARM, Check, p_text

ALTERNATIVES = ("two-sided", "greater", "less")
# Highest power of the ranked predictor in `quantiles`.
DEGREE = 3
# Points of a moving quantile, the share of the rows in its window, and the rows used at most.
POINTS, WINDOW, MOST_MOVING = 41, 0.2, 6_000


def share(values, alternative="greater"):
    """Monte-Carlo p-value of values[0] among values."""
    values = np.asarray(values)
    high = (1 + (values[1:] >= values[0]).sum()) / len(values)
    low = (1 + (values[1:] <= values[0]).sum()) / len(values)
    return float({"greater": high, "less": low, "two-sided": min(1.0, 2.0 * min(high, low))}[alternative])


def _alternative(alternative, caller):
    if alternative not in ALTERNATIVES:
        raise ArgumentError(f"{caller}: alternative = {alternative!r}; use 'two-sided', 'greater' or 'less'.")


def _check(p, good, bad, short, **numbers):
    text = f"OK: {good}" if p >= ALARM else f"Warning: {bad}"
    return Check(p >= ALARM, f"{text} ({p_text(p)}).", {"p": p, "short": short, **numbers})


def distances(counts):
    """Kolmogorov's distance of ranks from the uniform distribution, for each row of counts (sets, ranks)."""
    sets = counts.shape[1]
    F = np.cumsum(counts, axis=1) / counts.sum(axis=1, keepdims=True)
    return np.abs(F - np.arange(1, sets + 1) / sets).max(axis=1)


def uniformity(ranks):
    """See `SimulatedResiduals.test_uniformity`."""
    from scipy.stats import kstest

    found = kstest(ranks.scaled, "uniform")
    p = share(distances(ranks.counts))
    return _check(p, "residuals appear as uniform", "residuals are not uniform", f"KS test: {p_text(p)}",
                  statistic=float(found.statistic), p_asymptotic=float(found.pvalue))


def band(ranks, level=0.95):
    """Limits of the empirical distribution of residuals, DataFrame (at, lower, upper).

    Of the simulated data sets a share `level` lies within at each point.
    """
    F = np.cumsum(ranks.counts[1:], axis=1) / ranks.counts[0].sum()
    lower, upper = np.quantile(F, [(1 - level) / 2, (1 + level) / 2], axis=0)
    at = np.arange(1, F.shape[1] + 1) / F.shape[1]
    return pd.DataFrame({"at": at, "lower": lower, "upper": upper})


def dispersion(ranks, alternative):
    """See `SimulatedResiduals.test_dispersion`."""
    _alternative(alternative, "test_dispersion")
    squares = ranks.squares
    ratio = float(squares[0] / squares[1:].mean())
    p = share(squares, alternative)
    return _check(p, f"dispersion is as simulated, ratio {ratio:.3f}", f"dispersion is not as simulated, ratio {ratio:.3f}",
                  f"Dispersion: {p_text(p)}", ratio=ratio)


def outliers(ranks, alternative):
    """See `SimulatedResiduals.test_outliers`."""
    from scipy.stats import binomtest

    _alternative(alternative, "test_outliers")
    beyond = ranks.counts[:, 0] + ranks.counts[:, -1]
    n, count = int(ranks.counts[0].sum()), int(beyond[0])
    probability = 2.0 / (ranks.nsim + 1)
    p = share(beyond, alternative)
    text = f"{count} of {n} observations outside all simulations, {n * probability:.3g} expected"
    return _check(p, text, text, f"Outliers: {p_text(p)}", count=count, expected=n * probability,
                  p_binomial=float(binomtest(count, n, probability, alternative).pvalue))


def _polynomials(x):
    """Orthonormal polynomials of degrees 1 to 3 in the ranks of x, without those of too few values: (n, 0 to 3)."""
    from scipy.stats import rankdata

    r = rankdata(x)
    degree = min(DEGREE, len(np.unique(r)) - 1)
    return np.linalg.qr(np.vander((r - r.mean()) / max(np.ptp(r), 1.0), degree + 1, increasing=True))[0][:, 1:]


def quantiles(ranks, x, levels):
    """See `SimulatedResiduals.test_quantiles`."""
    try:
        x = np.asarray(x, dtype=float)
        levels = np.atleast_1d(np.asarray(levels, dtype=float))
    except (TypeError, ValueError):
        raise ArgumentError("test_quantiles: the predictor and the quantiles must be numbers.") from None
    if not ((levels > 0) & (levels < 1)).all():
        raise ArgumentError(f"test_quantiles: quantiles = {levels.tolist()}; they must lie between 0 and 1.")
    Z, sets = _polynomials(x), ranks.nsim + 1
    if not Z.shape[1]:
        raise ArgumentError("test_quantiles: the predictor has the same value in all rows; give another as predictor=.")
    each = []
    for tau in levels:
        S = np.array([(row < tau * sets).astype(float) @ Z for row in ranks.ranks])     # (sets, degrees); Z'1 = 0
        each.append((S**2).sum(axis=1) / (tau * (1.0 - tau)))
    each = np.array(each)
    p = share(each.sum(axis=0))
    values = pd.Series([share(one) for one in each], index=pd.Index(levels, name="quantile"), name="p")
    return _check(p, "quantiles of the residuals are level", "quantiles of the residuals vary with the predictor",
                  f"Quantiles: {p_text(p)}", statistic=float(each.sum(axis=0)[0]), p_values=values)


def categorical(ranks, by):
    """See `SimulatedResiduals.test_categorical`."""
    codes, levels = pd.factorize(by, sort=True)
    if (codes < 0).any() or len(levels) < 2:
        raise ArgumentError(f"test_categorical: the factor has {len(levels)} level{'s'[: len(levels) != 1]} or missing values; "
                            "at least 2 levels are needed.")
    size, sets, k = np.bincount(codes), ranks.nsim + 1, len(levels)
    D, F = np.empty((sets, k)), np.empty(sets)
    for j, row in enumerate(ranks.ranks):
        counts = np.bincount(codes * sets + row, minlength=k * sets).reshape(k, sets)
        D[j] = distances(counts)
        F[j] = _brown_forsythe(row, codes, counts, size)
    p_uniform, p_levene = share((np.sqrt(size) * D).max(axis=1)), share(F)
    p = min(1.0, 2.0 * min(p_uniform, p_levene))
    table = pd.DataFrame({"n": size, "D": D[0], "p": [share(D[:, i]) for i in range(k)]}, index=pd.Index(levels))
    return _check(p, f"residuals are alike in the {k} levels", f"residuals differ between the {k} levels",
                  f"Levels: {p_text(p)}", p_uniformity=p_uniform, p_homogeneity=p_levene, statistic=float(F[0]), levels=table)


def _brown_forsythe(row, codes, counts, size):
    """F of the absolute deviations from the level's median."""
    median = (np.cumsum(counts, axis=1) >= size[:, None] / 2.0).argmax(axis=1)
    deviation = np.abs(row.astype(np.float64) - median[codes])
    sums, total = np.bincount(codes, weights=deviation), deviation.sum()
    between = (sums**2 / size).sum() - total**2 / len(row)
    within = (deviation**2).sum() - (sums**2 / size).sum()
    k = len(size)
    return between / (k - 1) / max(within / max(len(row) - k, 1), 1e-300)


def temporal(ranks, time, by):
    """See `SimulatedResiduals.test_temporal`."""
    series = np.zeros(len(time), dtype=int) if by is None else pd.factorize(by, sort=True)[0]
    if pd.isna(time).any() or (series < 0).any():
        raise ArgumentError("test_temporal: the time or the series is missing in some rows.")
    times = pd.factorize(time, sort=True)[0]
    order = np.lexsort((times, series))
    same = np.diff(series[order]) == 0
    if (same & (np.diff(times[order]) == 0)).any():
        raise ArgumentError("test_temporal: a time occurs more than once. Give by= (such as the subjects) for one series each, or "
                            "recalculate(group=time) first.")
    if not same.any():
        raise ArgumentError("test_temporal: no series has two times.")
    e = ranks.ranks[:, order].astype(np.float32) - np.float32(ranks.nsim / 2.0)
    steps = np.diff(e, axis=1)[:, same]
    statistic = np.einsum("ij,ij->i", steps, steps, dtype=float) / np.einsum("ij,ij->i", e, e, dtype=float)
    statistic *= len(time) / same.sum()
    p = share(statistic, "two-sided")
    return _check(p, f"residuals are not correlated in time beyond the model, Durbin-Watson {statistic[0]:.2f}",
                  f"residuals are correlated in time, Durbin-Watson {statistic[0]:.2f}", f"Time: {p_text(p)}",
                  statistic=float(statistic[0]))


def moving_quantiles(ranks, x, levels=(0.25, 0.5, 0.75)):
    """Quantiles of the residuals in a window that moves along the ranks of x.

    Returns
    -------
    DataFrame
        x (0 to 1), tau, quantile, lower, upper: the last two hold 95% of the simulated data sets.
    """
    from scipy.stats import rankdata

    n = len(x)
    use = np.arange(n) if n <= MOST_MOVING else np.linspace(0, n - 1, MOST_MOVING).astype(int)
    order = use[np.argsort(x[use], kind="stable")]
    place = (rankdata(x[order]) - 0.5) / len(order)
    width = max(int(WINDOW * len(order)), min(10, len(order)))
    starts = np.unique(np.linspace(0, len(order) - width, min(POINTS, len(order) - width + 1)).astype(int))
    out = []
    for first in starts:
        window = (ranks.ranks[:, order[first : first + width]] + 0.5) / (ranks.nsim + 1)
        q = np.quantile(window, levels, axis=1)
        middle = place[first : first + width].mean()
        for tau, row in zip(levels, q):
            out.append([middle, tau, row[0], *np.quantile(row[1:], [0.025, 0.975])])
    return pd.DataFrame(out, columns=["x", "tau", "quantile", "lower", "upper"])
