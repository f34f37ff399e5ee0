"""A comparison as plain values: what is stored as JSON, and what the pictures are drawn from."""

import math

import numpy as np

from fastlmm_hlm.verification.differences import spreads

SCHEMA = "fastlmm_hlm.verification/1"
SCHEMA_OF_MANY = "fastlmm_hlm.verifications/1"
# Rows and levels of longer models are thinned to this many for the report; those that differ most are among them.
MOST_POINTS = 2000


def side(found):
    """The answers of one side, without what has one entry per row or level.

    Parameters
    ----------
    found : dict
        As `fastlmm_hlm.verification.answers` makes them.

    Returns
    -------
    dict
    """
    numbers = ("criterion", "sigma", "logLik", "npar", "AIC", "BIC", "df_residual", "nobs", "rows_left_out", "singular", "ngrps")
    columns = found["coefficients"]
    fixed = [
        {"name": name, "estimate": found["fixef"][k], "se": found["se"][k]}
        | {word: columns[column][k] if column in columns else None
           for word, column in (("df", "df"), ("t", "t value"), ("p", "Pr(>|t|)"))}
        for k, name in enumerate(found["names"])
    ]
    variances = [
        {"grp": grp, "var1": var1, "var2": var2, "vcov": value, "sdcor": _sdcor(found["VarCorr"], grp, var1, var2, value)}
        for (grp, var1, var2), value in found["VarCorr"].items()
    ]
    return {name: found[name] for name in numbers} | {
        "fixef": fixed, "vcov": found["vcov"], "VarCorr": variances, "theta": found["theta"],
    }


def _sdcor(variances, grp, var1, var2, value):
    if var2 is None:
        return math.sqrt(max(value, 0.0))
    product = variances[grp, var1, None] * variances[grp, var2, None]
    return value / math.sqrt(product) if product > 0 else None


def agreement(ours, theirs):
    """What the pictures show: random effects and fitted values of both sides, thinned where there are many.

    Parameters
    ----------
    ours, theirs : dict
        Of `fastlmm_hlm.verification.answers`.

    Returns
    -------
    dict
        ranef: list of {grpvar, term, levels, ours, theirs, spread, n}; fitted: {rows, ours, theirs, n}.
    """
    modes = []
    for name, mine in ours["ranef"].items():
        other = theirs["ranef"].get(name)
        if other is None or set(other["levels"]) != set(mine["levels"]) or mine["terms"] != other["terms"]:
            continue
        places = {level: k for k, level in enumerate(other["levels"])}
        moved, scale = other["modes"][[places[level] for level in mine["levels"]]], spreads(mine, ours["sigma"])
        for j, term in enumerate(mine["terms"]):
            shown = thinned(mine["modes"][:, j] - moved[:, j])
            modes.append({"grpvar": name, "term": term, "levels": [mine["levels"][k] for k in shown], "n": len(places),
                          "ours": mine["modes"][shown, j], "theirs": moved[shown, j], "spread": float(scale[j])})
    _, left, right = np.intersect1d(ours["rows"], theirs["rows"], assume_unique=True, return_indices=True)
    shown = thinned(ours["fitted"][left] - theirs["fitted"][right])
    fitted = {"rows": ours["rows"][left][shown], "n": len(left), "ours": ours["fitted"][left][shown], "theirs": theirs["fitted"][right][shown]}
    return {"ranef": modes, "fitted": fitted}


def thinned(differences, most=MOST_POINTS):
    """Places to show: all, or evenly spread ones and those with the largest differences; ndarray of int, ascending."""
    n = len(differences)
    if n <= most:
        return np.arange(n)
    even = np.linspace(0, n - 1, most // 2).astype(int)
    largest = np.argpartition(np.abs(differences), n - most // 2)[n - most // 2:]
    return np.union1d(even, largest)
