"""The mean of y along x without a formula: local straight lines.

At each place a straight line is fitted to the nearest share of the rows with
tricube weights (Cleveland 1979, without the robust iterations: a mean is wanted,
and in residuals the outliers are part of the message).  More than GROUPS rows
are first averaged in that many groups of neighbours, single rows at both
ends and groups of equal size between, so the cost beyond sorting does not depend
on the rows.

Cleveland, W. S. (1979). Robust locally weighted regression and smoothing
scatterplots. JASA 74, 829-836.
"""

import numpy as np

GROUPS, ENDS = 1000, 50
# Places where the trend is computed; between them it is straight.
PLACES = 120


def local_mean(x, y, share=2.0 / 3.0):
    """The trend of y at every row.

    Parameters
    ----------
    x, y : ndarray (n,)
    share : float
        Part of the rows that each line uses, between 0 and 1.

    Returns
    -------
    ndarray (n,)
    """
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    order = np.argsort(x, kind="stable")
    groups = _groups(x[order], y[order])
    places = _places(groups[0])
    return np.interp(x, places, local_lines(*groups, places, share))


def local_lines(x, y, w, at, share):
    """Values at `at`, (k,), of lines fitted to the nearest `share` of the weight of points (x, y, w), (m,) each.

    The reach h is the distance at which the share is full; weights are
    w (1 - (d/h)^3)^3.  Where all of them stand at one x, it is their mean.
    """
    d = np.abs(at[:, None] - x)
    near = np.argsort(d, axis=1, kind="stable")
    filled = np.cumsum(w[near], axis=1) >= share * w.sum() * (1.0 - 1e-12)
    last = np.take_along_axis(near, filled.argmax(axis=1)[:, None], axis=1)
    h = np.take_along_axis(d, last, axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        k = np.where(h > 0.0, w * np.clip(1.0 - (d / h) ** 3, 0.0, None) ** 3, w * (d == 0.0))
    centred = x - at[:, None]
    s0, s1, s2 = k.sum(axis=1), (k * centred).sum(axis=1), (k * centred**2).sum(axis=1)
    t0, t1 = (k * y).sum(axis=1), (k * centred * y).sum(axis=1)
    spread = s0 * s2 - s1**2
    flat = spread <= 1e-10 * s0 * s2
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(flat, t0 / s0, (s2 * t0 - s1 * t1) / spread)


def _groups(x, y):
    """x, y in increasing order of x, and their weights; averaged in groups of neighbours when there are many."""
    n = len(x)
    if n <= GROUPS:
        return x, y, np.ones(n)
    middle = np.linspace(ENDS, n - ENDS, GROUPS - 2 * ENDS + 1).astype(np.int64)
    starts = np.concatenate([np.arange(ENDS), middle, np.arange(n - ENDS + 1, n)])
    w = np.diff(np.append(starts, n)).astype(float)
    return np.add.reduceat(x, starts) / w, np.add.reduceat(y, starts) / w, w


def _places(x):
    """Where to compute the trend: all values of x if few, else half of them even in x and half even in the rows."""
    distinct = np.unique(x)
    if len(distinct) <= PLACES:
        return distinct
    even = np.linspace(distinct[0], distinct[-1], PLACES // 2)
    return np.unique(np.concatenate([even, distinct[np.linspace(0, len(distinct) - 1, PLACES // 2).astype(int)]]))
