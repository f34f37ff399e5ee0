"""Central moments of a column, block by block.

Sums of powers of x - m about the running mean m, in extended precision: blocks are
joined as in Chan, Golub and LeVeque (1983) for the variance and Pebay (2008) for higher
orders, by moving both to their common mean.
"""

from math import comb

import numpy as np

from fastlmm_hlm._core import kernels
from fastlmm_hlm.errors import DataError


class Moments:
    """Count, extremes, mean and sums of powers about the mean of all values that are present.

    Parameters
    ----------
    order : int
        Highest power, at least 2.

    Attributes
    ----------
    missing : int
    low, high : float
    mean : numpy.longdouble
    sums : ndarray of longdouble, shape (order + 1,)
        sum (x - mean)^k; sums[0] is the number of values.
    """

    def __init__(self, order=2):
        self.missing, self.low, self.high = 0, np.inf, -np.inf
        self.mean, self.sums = np.longdouble(0), np.zeros(order + 1, dtype=np.longdouble)

    @property
    def count(self):
        return int(self.sums[0])

    @property
    def sd(self):
        """Standard deviation with divisor n."""
        return float(np.sqrt(self.sums[2] / self.sums[0])) if self.count else 0.0

    def add(self, x):
        """Add the values of an array of float, shape (n,); NaN counts as missing."""
        gaps = np.isnan(x)
        if gaps.any():
            self.missing += int(gaps.sum())
            x = x[~gaps]
        if not len(x):
            return
        low, high = float(x.min()), float(x.max())
        if not np.isfinite([low, high]).all():
            raise DataError("a transform of the formula found an infinite value; its mean and spread need finite values.")
        block = Moments(len(self.sums) - 1)
        block.low, block.high = low, high
        block.mean = np.longdouble(x.mean())
        block.sums[0] = len(x)
        t = x - float(block.mean)
        if len(self.sums) > 3:
            t = t.astype(np.longdouble)
        power = t.copy()
        for k in range(1, len(self.sums)):
            block.sums[k] = power.sum(dtype=np.longdouble)
            power *= t
        self.merge(block)

    def add_quickly(self, x):
        """Add finite values with the digits that a look at the data needs, in one pass."""
        block = Moments()
        block.low, block.high, mean, sd = kernels.column_moments(np.ascontiguousarray(x, dtype=float))
        block.mean = np.longdouble(mean)
        block.sums[:] = len(x), 0.0, len(x) * np.longdouble(sd) ** 2
        self.merge(block)

    def merge(self, other):
        """Add the values of another block."""
        self.missing += other.missing
        if not other.count:
            return
        if not self.count:
            self.low, self.high, self.mean, self.sums = other.low, other.high, other.mean, other.sums.copy()
        else:
            total = self.sums[0] + other.sums[0]
            mean = self.mean + (other.mean - self.mean) * (other.sums[0] / total) + other.sums[1] / total
            self.sums = _moved(self.sums, self.mean - mean) + _moved(other.sums, other.mean - mean)
            self.mean, self.low, self.high = mean, min(self.low, other.low), max(self.high, other.high)
        self._settle()

    def _settle(self):
        """Make the first power's sum zero: the mean was rounded."""
        step = self.sums[1] / self.sums[0]
        self.sums, self.mean = _moved(self.sums, -step), self.mean + step


def _moved(sums, step):
    """Sums of powers of t + step from those of t."""
    k = np.arange(len(sums))
    powers = np.longdouble(step) ** k
    return np.array([sum(comb(n, j) * sums[j] * powers[n - j] for j in range(n + 1)) for n in k], dtype=np.longdouble)


def orthogonal_polynomials(moments, degree):
    """What poly() learns: the recurrence of the monic orthogonal polynomials.

    Parameters
    ----------
    moments : Moments
        Of order 2 degree.
    degree : int

    Returns
    -------
    alpha : ndarray, shape (degree,)
    norm : ndarray, shape (degree + 2,)
        As in `formula.transforms`; zero or less where the degree is not below the number of different values.
    """
    S = moments.sums
    alpha, norm = np.empty(degree), np.empty(degree + 2)
    norm[0], norm[1] = 1.0, S[0]
    previous, current, length2 = np.zeros(1, dtype=np.longdouble), np.ones(1, dtype=np.longdouble), S[0]
    for k in range(degree):
        centre = _product(_times_t(current), current, S) / length2
        alpha[k] = centre + moments.mean
        step = length2 / last if k else np.longdouble(0)
        following = _times_t(current)
        following[: len(current)] -= centre * current
        following[: len(previous)] -= step * previous
        previous, current, last = current, following, length2
        length2 = _product(current, current, S)
        norm[k + 2] = length2
    return alpha, norm


def _times_t(p):
    return np.concatenate([np.zeros(1, dtype=np.longdouble), p])


def _product(p, q, sums):
    """sum over the values of p(t) q(t), for polynomials given by their coefficients."""
    return sum(a * b * sums[i + j] for i, a in enumerate(p) for j, b in enumerate(q))
