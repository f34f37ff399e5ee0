"""Bootstrap confidence intervals: Davison & Hinkley (1997), Bootstrap Methods and
their Application, chapter 5."""

import math

import numpy as np

from fastlmm_hlm.errors import ArgumentError, FastlmmWarning, warn_user

TYPES = ("perc", "basic", "norm")


def check_level(level, caller):
    """The level as a float between 0 and 1.

    Raises
    ------
    ArgumentError
    """
    try:
        value = float(level)
    except (TypeError, ValueError):
        value = math.nan
    if not 0.0 < value < 1.0:
        raise ArgumentError(f"{caller}: level = {level!r}; expected a number between 0 and 1, such as 0.95.")
    return value


def quantiles(values, probabilities):
    """Quantiles of replicates, interpolated on the scale of normal quantiles (eq. 5.8).

    Parameters
    ----------
    values : ndarray (R,)
    probabilities : ndarray (m,)

    Returns
    -------
    ndarray (m,)
    extreme : bool
        Whether the smallest or largest replicate had to do.
    """
    from scipy.special import ndtri

    ordered, R = np.sort(values), len(values)
    out, extreme = np.empty(len(probabilities)), False
    for i, probability in enumerate(probabilities):
        rank = (R + 1) * probability
        k = int(math.floor(rank + 1e-10))
        if k < 1 or k >= R:
            extreme = extreme or not (k == R and abs(rank - k) < 1e-10)
            out[i] = ordered[0] if k < 1 else ordered[-1]
        elif abs(rank - k) < 1e-10:
            out[i] = ordered[k - 1]
        else:
            z, below, above = ndtri([probability, k / (R + 1), (k + 1) / (R + 1)])
            out[i] = ordered[k - 1] + (z - below) / (above - below) * (ordered[k] - ordered[k - 1])
    return out, extreme


def boot_intervals(t0, t, level=0.95, type="perc", caller="confint"):
    """Intervals of several statistics.

    Parameters
    ----------
    t0 : ndarray (k,)
    t : ndarray (nsim, k)
        Replicates; those that are not finite are left out.
    level : float
    type : {"perc", "basic", "norm"}

    Returns
    -------
    ndarray (k, 2)

    Raises
    ------
    ArgumentError
        For an unknown type or level.
    """
    from scipy.special import ndtri

    if type not in TYPES:
        raise ArgumentError(f"{caller}: type = {type!r} is not known; use one of {', '.join(map(repr, TYPES))}.")
    level = check_level(level, caller)
    tails = np.array([(1.0 - level) / 2.0, (1.0 + level) / 2.0])
    out, extreme = np.full((len(t0), 2), np.nan), False
    for i in range(len(t0)):
        values = t[np.isfinite(t[:, i]), i]
        if len(values) == 0:
            continue
        if type == "norm":
            spread = values.std(ddof=1) if len(values) > 1 else math.nan
            out[i] = 2.0 * t0[i] - values.mean() + ndtri(tails) * spread
            continue
        limits, at_end = quantiles(values, tails)
        extreme = extreme or at_end
        out[i] = limits if type == "perc" else 2.0 * t0[i] - limits[::-1]
    if extreme:
        warn_user(f"{caller}: extreme order statistics used as endpoints; {len(t)} replicates are few for level {level:g}",
                  FastlmmWarning)
    return out
