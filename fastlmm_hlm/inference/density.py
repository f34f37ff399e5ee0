"""A kernel density estimate on a grid, for any number of values."""

import numpy as np

# Points of the grid on which values are counted, and standard deviations of the kernel beyond the values.
FINE, CUT = 4096, 3.0


def bandwidth(values):
    """0.9 min(sd, IQR / 1.34) n^-1/5: Silverman (1986, eq. 3.31), R's bw.nrd0."""
    sd = values.std(ddof=1)
    low, high = np.quantile(values, [0.25, 0.75])
    spread = min(sd, (high - low) / 1.34) or sd or abs(values[0]) or 1.0
    return 0.9 * spread * len(values) ** -0.2


def kernel_density(values, points):
    """Gaussian kernel density at equally spaced points that reach three bandwidths beyond the values.

    Parameters
    ----------
    values : ndarray (n,)
    points : int

    Returns
    -------
    x, density : ndarray (points,)
    """
    width = bandwidth(values)
    low, high = values.min() - CUT * width, values.max() + CUT * width
    return np.linspace(low, high, points), density(values, low, high, points, width)


def density(values, low, high, points, width):
    """Gaussian kernel density at equally spaced points from low to high.

    Values are shared out to the two next points of a fine grid, which is convolved with the kernel by
    a Fourier transform, so the cost is that of one pass.

    Parameters
    ----------
    values : ndarray (n,)
        Between low and high.
    low, high : float
    points : int
    width : float
        Standard deviation of the kernel; the ends of the grid are so far from the values that the kernel
        has died away there.

    Returns
    -------
    ndarray (points,)
    """
    step = (high - low) / (FINE - 1)
    place = (values - low) / step
    left = np.clip(place.astype(np.int64), 0, FINE - 2)
    share = place - left
    counts = np.bincount(left, 1.0 - share, 2 * FINE) + np.bincount(left + 1, share, 2 * FINE)
    frequency = 2.0 * np.pi * np.fft.rfftfreq(2 * FINE, step)
    smooth = np.fft.irfft(np.fft.rfft(counts) * np.exp(-0.5 * (frequency * width) ** 2), 2 * FINE)[:FINE]
    return np.maximum(np.interp(np.linspace(low, high, points), low + step * np.arange(FINE), smooth), 0.0) / (len(values) * step)
