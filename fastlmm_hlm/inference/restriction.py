"""The hypothesis L beta = 0 that makes a smaller fixed part of a larger one."""

import numpy as np

from fastlmm_hlm.design.columns import rows_of
from fastlmm_hlm.errors import ArgumentError
from fastlmm_hlm.inference.comparison import check_same_response, require_fit

# Rows at a time.
BLOCK = 65_536
# What is left of a column of the smaller model after projecting on the larger one, relative to its length.
NOT_NESTED = 1e-6


def smaller_model(large, small, caller):
    """The smaller model as a fit, and the hypothesis that makes it.

    Parameters
    ----------
    large : LinearMixedModel
    small : LinearMixedModel, str or array (q, p)
        A fit, a change of the formula such as ". ~ . - x", or L itself.
    caller : str

    Returns
    -------
    small : LinearMixedModel or None
    L : ndarray (q, p)

    Raises
    ------
    ArgumentError
        If the models are not nested, or L has another number of columns.
    """
    p = len(large.fixef())
    if isinstance(small, (str, bytes)):
        small = formula_change(large, small)
    if not hasattr(small, "refitML"):
        try:
            L = np.atleast_2d(np.asarray(small, dtype=float))
        except (TypeError, ValueError):
            require_fit(small, caller)
        if L.ndim != 2 or L.shape[1] != p or not np.isfinite(L).all():
            raise ArgumentError(f"{caller}: the restriction matrix has shape {L.shape}; expected (q, {p}), one column per "
                                "fixed effect of the larger model.")
        if not L.any(axis=1).all():
            raise ArgumentError(f"{caller}: the restriction matrix has a row of zeros, which restricts nothing.")
        return None, L
    check_same_response(large, small, f"{caller}: the models")
    return small, restriction_matrix(large, small, caller)


def formula_change(large, change):
    """A smaller model from a change of the formula, on the criterion of the larger."""
    from fastlmm_hlm.formula.reduce import without_dot
    from fastlmm_hlm.formula.update import update_formula

    return large._submodel(update_formula(without_dot(str(large.formula), large._spec.fixed_recipe.terms), change))


def restriction_matrix(large, small, caller):
    """L with L beta = 0 exactly where the fixed part of the larger model is that of the smaller.

    Parameters
    ----------
    large, small : LinearMixedModel
    caller : str

    Returns
    -------
    L : ndarray (q, p)
        The rows that belong to coefficients where these are simply left out,
        otherwise orthonormal rows.

    Raises
    ------
    ArgumentError
        If the smaller fixed part is not contained in the larger.
    """
    ours, theirs = list(large.fixef().index), list(small.fixef().index)
    C = _combination_from_rows(large, small, caller)
    if C is None:
        if not set(theirs) <= set(ours):
            raise ArgumentError(f"{caller}: the fixed part of '{small.formula}' is not contained in that of "
                                f"'{large.formula}', or the fits have no rows to tell.")
        C = np.array([[float(a == b) for b in theirs] for a in ours]).reshape(len(ours), len(theirs))
    if len(theirs) >= len(ours):
        raise ArgumentError(f"{caller}: the models have {len(ours)} and {len(theirs)} fixed effects; expected fewer in the "
                            "second.")
    single = np.abs(C) > NOT_NESTED
    if (single.sum(axis=0) == 1).all():
        return np.eye(len(ours))[~single.any(axis=1)]
    return np.linalg.svd(C, full_matrices=True)[0][:, len(theirs):].T


def _combination_from_rows(large, small, caller):
    """C with X_small = X C, (p, p_small), or None where a fit has no rows.

    Raises
    ------
    ArgumentError
        If there is none.
    """
    if large._rows is None or small._rows is None:
        return None
    ours, theirs = large._rows.design, small._rows.design
    XtX, XtS = np.zeros((ours.p, ours.p)), np.zeros((ours.p, theirs.p))
    lengths = np.zeros(theirs.p)
    for rows in _blocks(ours.n):
        X, S = rows_of(ours.x_columns, rows), rows_of(theirs.x_columns, rows)
        XtX += X.T @ X
        XtS += X.T @ S
        lengths += (S * S).sum(axis=0)
    scale = 1.0 / np.sqrt(np.diagonal(XtX))
    C = scale[:, None] * np.linalg.solve(XtX * np.outer(scale, scale), scale[:, None] * XtS)
    C[np.abs(C) < NOT_NESTED * np.abs(C).max(axis=0, initial=0.0)] = 0.0
    left = sum(((rows_of(theirs.x_columns, rows) - rows_of(ours.x_columns, rows) @ C) ** 2).sum(axis=0)
               for rows in _blocks(ours.n))
    if (np.sqrt(left) > NOT_NESTED * np.sqrt(lengths)).any():
        raise ArgumentError(f"{caller}: the fixed part of '{small.formula}' is not contained in that of "
                            f"'{large.formula}'; the models must be nested.")
    return C


def _blocks(n):
    return [np.arange(first, min(first + BLOCK, n)) for first in range(0, n, BLOCK)]
