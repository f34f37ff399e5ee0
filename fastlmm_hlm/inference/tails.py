"""Tail probabilities of Student's t, F and chi-squared, infinite degrees of freedom included.

scipy.special is enough for these; scipy.stats takes half a second to import.
"""

import numpy as np
from scipy.special import chdtrc, fdtrc, ndtr, ndtri, stdtr, stdtrit


def t_pvalue(t, df):
    """P(|T| > |t|), elementwise; NaN where t or df is."""
    t, df = np.broadcast_arrays(-np.abs(np.asarray(t, dtype=float)), np.asarray(df, dtype=float))
    return 2.0 * np.where(np.isinf(df), ndtr(t), stdtr(np.where(np.isinf(df), 1.0, df), t))


def t_quantile(level, df):
    """t with P(|T| < t) = level, elementwise."""
    df = np.asarray(df, dtype=float)
    p = 0.5 + level / 2.0
    return np.where(np.isinf(df), ndtri(p), stdtrit(np.where(np.isinf(df), 1.0, df), p))


def f_pvalue(F, ndf, ddf):
    """P(F_{ndf, ddf} > F)."""
    if not ndf:
        return np.nan
    return float(chdtrc(ndf, ndf * F) if np.isinf(ddf) else fdtrc(ndf, ddf, F))


def chisq_pvalue(statistic, df):
    """P(chi-squared_df > statistic), elementwise, (k,); NaN where df is 0 or missing."""
    statistic, df = np.asarray(statistic, dtype=float), np.asarray(df, dtype=float)
    known = df > 0
    p = np.full(len(df), np.nan)
    p[known] = chdtrc(df[known], np.maximum(statistic[known], 0.0))
    return p
