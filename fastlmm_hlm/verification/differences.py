"""Differences between two answers for one model, each in the scale of its own quantity."""

import math

import numpy as np

from fastlmm_hlm.errors import ArgumentError

# A variance that adds less than this share of sigma^2 to the response is compared as if it were this large.
NEGLIGIBLE_SHARE = 1e-4
# p-values below this are all the same.
SMALL_P = 1e-10
# The criterion of very many rows is good to this share of itself.
ROUNDING = 1e-12
# Quantity -> (largest difference that counts as equal, what it is measured in).  Where lme4 stops, variances are good to four or
# five digits and what follows from them too; these are the digits that are printed.
QUANTITIES = {
    "criterion": (1e-6, "absolute"),
    "logLik": (1e-6, "absolute"),
    "AIC": (1e-6, "absolute"),
    "BIC": (1e-6, "absolute"),
    "fixef": (1e-5, "standard errors"),
    "Std. Error": (1e-4, "relative"),
    "vcov": (1e-4, "products of std. errors"),
    "df": (1e-3, "relative"),
    "t value": (1e-4, "absolute; relative above 1"),
    "p-value": (1e-3, "relative"),
    "sigma": (1e-4, "relative"),
    "VarCorr": (1e-4, "products of std. dev."),
    "theta": (1e-4, "norm of its row"),
    "ranef": (1e-4, "root mean square"),
    "condVar": (1e-4, "mean square"),
    "fitted": (1e-4, "sigma"),
    "residuals": (1e-4, "sigma"),
    "nobs": (0.0, "count"),
    "ngrps": (0.0, "count"),
    "rows left out": (0.0, "rows of one side alone"),
    "parameters": (0.0, "count"),
    "isSingular": (0.0, "yes or no"),
}


def checked_tolerances(given):
    """The tolerances, some of them replaced.

    Parameters
    ----------
    given : mapping of str to float, or None

    Returns
    -------
    dict of str to float

    Raises
    ------
    ArgumentError
    """
    found = {name: tolerance for name, (tolerance, _) in QUANTITIES.items()}
    for name, value in dict(given or {}).items():
        if name not in found:
            raise ArgumentError(f"verify: tolerances has {name!r}; the quantities are {', '.join(found)}.")
        if isinstance(value, bool) or not isinstance(value, (int, float, np.number)) or not 0 <= value < math.inf:
            raise ArgumentError(f"verify: the tolerance of {name} is {value!r}; expected a number from 0 on.")
        found[name] = float(value)
    return found


def criterion_tolerance(tolerances, criterion):
    """The tolerance of the criterion, and of what is the criterion but for a constant."""
    return max(tolerances["criterion"], ROUNDING * abs(criterion))


def differences(ours, theirs, sizes):
    """Every quantity's difference.

    Parameters
    ----------
    ours, theirs : dict
        As `fastlmm_hlm.verification.answers` makes them.
    sizes : list of ndarray
        Of `answers.column_sizes`.

    Returns
    -------
    dict of str to float
        Those of criterion, logLik, AIC and BIC have a sign, ours minus theirs; inf where names or sizes
        do not match; NaN where one side has no answer.
    """
    found = {name: ours[name] - theirs[name] for name in ("criterion", "logLik", "AIC", "BIC")}
    found |= _of_fixed(ours, theirs) | _of_tests(ours, theirs)
    found["sigma"] = _worst(ours["sigma"] / theirs["sigma"] - 1.0) if theirs["sigma"] else _worst(ours["sigma"])
    found |= _of_variances(ours, theirs, sizes) | _of_modes(ours, theirs)
    found |= _of_rows(ours, theirs)
    found["nobs"] = abs(ours["nobs"] - theirs["nobs"])
    found["ngrps"] = 0 if ours["ngrps"] == theirs["ngrps"] else math.inf
    found["parameters"] = abs(ours["npar"] - theirs["npar"]) + abs(ours["df_residual"] - theirs["df_residual"])
    found["isSingular"] = int(ours["singular"] != theirs["singular"])
    return {name: float(found[name]) for name in QUANTITIES}


def _of_fixed(ours, theirs):
    if ours["names"] != theirs["names"]:
        return dict.fromkeys(("fixef", "Std. Error", "vcov"), math.inf)
    se = theirs["se"]
    return {
        "fixef": _worst((ours["fixef"] - theirs["fixef"]) / se),
        "Std. Error": _worst(ours["se"] / se - 1.0),
        "vcov": _worst((ours["vcov"] - theirs["vcov"]) / np.outer(se, se)),
    }


def _of_tests(ours, theirs):
    """Of the coefficient table; NaN for what a table does not have."""
    names = {"df": "df", "t value": "t value", "p-value": "Pr(>|t|)"}
    if ours["names"] != theirs["names"]:
        return dict.fromkeys(names, math.inf)
    found = dict.fromkeys(names, math.nan)
    for quantity, column in names.items():
        if column in ours["coefficients"] and column in theirs["coefficients"]:
            mine, other = (side["coefficients"][column] for side in (ours, theirs))
            floor = {"df": 0.0, "t value": 1.0, "p-value": SMALL_P}[quantity]
            found[quantity] = _worst((mine - other) / np.maximum(np.abs(other), floor))
    return found


def _of_variances(ours, theirs, sizes):
    if list(ours["VarCorr"]) != list(theirs["VarCorr"]):
        return {"VarCorr": math.inf, "theta": math.inf}
    sigma = theirs["sigma"]
    floors = iter(np.concatenate([math.sqrt(NEGLIGIBLE_SHARE) * sigma / np.maximum(size, 1e-300) for size in sizes]))
    scale = {
        (grp, var1): max(math.sqrt(value), next(floors))
        for (grp, var1, var2), value in theirs["VarCorr"].items() if var2 is None and var1 is not None
    }
    scale["Residual", None] = sigma
    variances = [
        (ours["VarCorr"][key] - value) / (scale[key[0], key[1]] * scale[key[0], key[2] or key[1]])
        for key, value in theirs["VarCorr"].items()
    ]
    found = {"VarCorr": _worst(variances), "theta": math.inf}
    if len(ours["theta"]) == len(theirs["theta"]):
        # At a singular covariance several theta give the same one; VarCorr compares that.
        found["theta"] = math.nan if ours["singular"] else _worst((ours["theta"] - theirs["theta"]) / _theta_scale(theirs["theta"], sizes))
    return found


def _theta_scale(theta, sizes):
    """Norm of the row of lambda that each element of theta stands in, not below a negligible one."""
    lengths = [len(size) * (len(size) + 1) // 2 for size in sizes]
    if sum(lengths) != len(theta):
        return np.maximum(np.abs(theta), 1e-2)              # diagonal terms: one element each
    scales, start = [], 0
    for size, length in zip(sizes, lengths, strict=True):
        lambda_ = np.zeros((len(size), len(size)))
        column, row = np.triu_indices(len(size))
        lambda_[row, column] = theta[start:start + length]
        floor = math.sqrt(NEGLIGIBLE_SHARE) / np.maximum(size, 1e-300)
        scales.append(np.maximum(np.linalg.norm(lambda_, axis=1), floor)[row])
        start += length
    return np.concatenate(scales)


def _of_modes(ours, theirs):
    worst = {"ranef": [], "condVar": []}
    if set(ours["ranef"]) != set(theirs["ranef"]):
        return dict.fromkeys(worst, math.inf)
    for name, other in theirs["ranef"].items():
        mine = ours["ranef"][name]
        places = {level: k for k, level in enumerate(mine["levels"])}
        if mine["terms"] != other["terms"] or set(places) != set(other["levels"]):
            return dict.fromkeys(worst, math.inf)
        order = [places[level] for level in other["levels"]]
        start, spread = 0, spreads(other, theirs["sigma"])
        worst["ranef"].append(_worst((mine["modes"][order] - other["modes"]) / spread))
        for own, block in zip(mine["variances"], other["variances"], strict=True):
            part = spread[start:start + block.shape[1]]
            worst["condVar"].append(_worst((own[order] - block) / np.outer(part, part)))
            start += block.shape[1]
    return {name: max(values, default=0.0) for name, values in worst.items()}


def spreads(part, sigma):
    """Root mean square of the random effects of each column, modes and conditional variances together.

    Returns
    -------
    ndarray (c,)
    """
    variances = np.concatenate([np.diagonal(block, axis1=1, axis2=2).mean(axis=0) for block in part["variances"]])
    spread = np.sqrt((part["modes"] ** 2).mean(axis=0) + np.maximum(variances, 0.0))
    return np.maximum(spread, 1e-8 * sigma)


def _of_rows(ours, theirs):
    apart = np.setxor1d(ours["rows"], theirs["rows"]).size
    found = {"rows left out": apart + abs(ours["rows_left_out"] - theirs["rows_left_out"])}
    for name in ("fitted", "residuals"):
        found[name] = math.inf if apart else _worst((ours[name] - theirs[name]) / max(theirs["sigma"], 1e-300))
    return found


def _worst(values):
    values = np.abs(np.asarray(values, dtype=float)).ravel()
    return float(values.max()) if values.size else 0.0
