"""Coefficients of contrasts among the levels of a factor, with emmeans' names."""

from fractions import Fraction
from math import gcd, lcm

import numpy as np

from fastlmm_hlm.errors import ArgumentError

METHODS = ("pairwise", "revpairwise", "tukey", "trt.vs.ctrl", "trt.vs.ctrl1", "trt.vs.ctrlk", "dunnett", "eff", "del.eff",
           "consec", "mean_chg", "poly", "helmert", "identity")
# The adjustment that goes with each set of contrasts unless another is asked for.
ADJUSTMENTS = {
    "pairwise": "tukey", "revpairwise": "tukey", "tukey": "tukey", "trt.vs.ctrl": "dunnettx", "trt.vs.ctrl1": "dunnettx",
    "trt.vs.ctrlk": "dunnettx", "dunnett": "dunnettx", "eff": "fdr", "del.eff": "fdr", "consec": "mvt", "mean_chg": "mvt",
}
POLYNOMIALS = ("linear", "quadratic", "cubic", "quartic", "degree 5", "degree 6")


def coefficients(method, labels, caller, *, reverse=False, ref=None, between=" - "):
    """Coefficients of a set of contrasts.

    Parameters
    ----------
    method : str or dict
        One of `METHODS`, or name -> one coefficient per level.
    labels : list of str, length k
    caller : str
    reverse : bool
        Differences the other way round.
    ref : int, str or list of such, optional
        Control levels of "trt.vs.ctrl", counted from 0 or by name.
    between : str
        Stands between the two levels of a difference.

    Returns
    -------
    names : list of str
    C : ndarray, shape (contrasts, k)

    Raises
    ------
    ArgumentError
        If the method is not known or a set of coefficients has another length.
    """
    k = len(labels)
    if isinstance(method, dict):
        return _given(method, labels, caller)
    if method not in METHODS:
        raise ArgumentError(f"{caller}: method = {method!r} is not known; use one of {', '.join(METHODS)}, or a dict of name -> coefficients.")
    if method == "identity":
        return list(labels), np.eye(k)
    if method in ("eff", "del.eff"):
        C = np.eye(k) - 1.0 / k
        return [f"{label} effect" for label in labels], C if method == "eff" else C * (k / max(k - 1, 1))
    if method == "poly":
        return _polynomials(k)
    if method == "mean_chg":
        return _mean_changes(labels)
    if method == "helmert":
        return _helmert(labels, between)
    unit = np.eye(k)
    if method in ("pairwise", "revpairwise", "tukey"):
        backwards = (method == "revpairwise") != reverse
        pairs = [(j, i) for j in range(k) for i in range(j)] if backwards else [(i, j) for i in range(k) for j in range(i + 1, k)]
    elif method == "consec":
        pairs = [(i, i + 1) if reverse else (i + 1, i) for i in range(k - 1)]
    else:
        return _against_control(method, labels, unit, caller, reverse, ref, between)
    names = [labels[i] + between + labels[j] for i, j in pairs]
    return names, np.array([unit[i] - unit[j] for i, j in pairs]).reshape(len(pairs), k)


def _against_control(method, labels, unit, caller, reverse, ref, between):
    k = len(labels)
    if ref is None:
        ref = k - 1 if method == "trt.vs.ctrlk" else 0
    chosen = []
    for one in ref if isinstance(ref, (list, tuple)) else [ref]:
        if isinstance(one, str) and one in labels:
            chosen.append(labels.index(one))
        elif isinstance(one, (int, np.integer)) and not isinstance(one, bool) and -k <= one < k:
            chosen.append(int(one) % k)
        else:
            raise ArgumentError(f"{caller}: ref = {one!r} is no level; give one of {', '.join(labels)}, or its place from 0 to {k - 1}.")
    control = unit[chosen].mean(axis=0)
    name = labels[chosen[0]] if len(chosen) == 1 else f"avg({','.join(labels[i] for i in chosen)})"
    others = [i for i in range(k) if i not in chosen]
    sign = -1.0 if reverse else 1.0
    names = [name + between + labels[i] if reverse else labels[i] + between + name for i in others]
    return names, np.array([sign * (unit[i] - control) for i in others]).reshape(len(others), k)


def _mean_changes(labels):
    k = len(labels)
    names = [f"{labels[i]}|{labels[i + 1]}" for i in range(k - 1)]
    C = np.zeros((k - 1, k))
    for i in range(k - 1):
        C[i, : i + 1], C[i, i + 1 :] = -1.0 / (i + 1), 1.0 / (k - i - 1)
    return names, C


def _helmert(labels, between):
    """Each level against the mean of those before it."""
    k = len(labels)
    C = np.zeros((k - 1, k))
    for i in range(1, k):
        C[i - 1, :i], C[i - 1, i] = -1.0 / i, 1.0
    names = [labels[i] + between + (labels[0] if i == 1 else f"avg({','.join(labels[:i])})") for i in range(1, k)]
    return names, C


def _polynomials(k):
    """Orthogonal polynomials in equally spaced levels, as the smallest whole numbers."""
    rows, basis = [], [[Fraction(1)] * k]
    for degree in range(1, min(k - 1, len(POLYNOMIALS)) + 1):
        row = [Fraction(x) ** degree for x in range(k)]
        for earlier in basis:
            share = sum(a * b for a, b in zip(row, earlier)) / sum(b * b for b in earlier)
            row = [a - share * b for a, b in zip(row, earlier)]
        basis.append(row)
        multiple = lcm(*(a.denominator for a in row))
        whole = [int(a * multiple) for a in row]
        rows.append([a / gcd(*whole) for a in whole])
    return list(POLYNOMIALS[: len(rows)]), np.array(rows).reshape(len(rows), k)


def _given(method, labels, caller):
    names, rows = [], []
    for name, row in method.items():
        row = np.asarray(row, dtype=float)
        if row.shape != (len(labels),) or not np.isfinite(row).all():
            raise ArgumentError(f"{caller}: the contrast {name!r} has shape {row.shape}; expected {len(labels)} finite numbers, one for each of {', '.join(labels)}.")
        names.append(str(name))
        rows.append(row)
    if not rows:
        raise ArgumentError(f"{caller}: method is an empty dict; give name -> coefficients.")
    return names, np.array(rows)
