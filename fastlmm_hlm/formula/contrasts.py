"""Coding matrices of factors: R's contr.treatment, contr.sum, contr.helmert, contr.poly, contr.SAS."""
import numpy as np
import pandas as pd

from fastlmm_hlm.errors import ArgumentError


def coding_matrix(contrasts, levels, ordered=False, factor="the factor"):
    """Build the matrix that turns levels into columns.

    Parameters
    ----------
    contrasts : str, ndarray, DataFrame or None
        The name of a coding, with or without "contr.", a matrix of shape
        (levels, columns), or None for R's default: contr.poly for ordered
        factors and contr.treatment for others.
    levels : sequence of str
    ordered : bool
    factor : str
        The factor's name, for messages.

    Returns
    -------
    matrix : ndarray, shape (levels, columns)
    names : tuple of str
        What is appended to the factor's name in the names of coefficients.

    Raises
    ------
    ArgumentError
        If the coding is unknown or the matrix has another number of rows.
    """
    if contrasts is None:
        contrasts = "contr.poly" if ordered else "contr.treatment"
    if isinstance(contrasts, str):
        build = _CODINGS.get(contrasts.removeprefix("contr."))
        if build is None:
            raise ArgumentError(f"contrasts for '{factor}' are {contrasts!r}, which is not known; use one of {', '.join('contr.' + k for k in _CODINGS)}, or a matrix with one row per level.")
        return build(list(levels))
    return _given_matrix(contrasts, levels, factor)


def _treatment(levels):
    return np.eye(len(levels))[:, 1:], tuple(levels[1:])


def _sas(levels):
    return np.eye(len(levels))[:, :-1], tuple(levels[:-1])


def _sum(levels):
    k = len(levels)
    return np.vstack([np.eye(k - 1), -np.ones((1, k - 1))]), _numbered(k - 1)


def _helmert(levels):
    k = len(levels)
    matrix = np.zeros((k, k - 1))
    for j in range(k - 1):
        matrix[: j + 1, j] = -1.0
        matrix[j + 1, j] = j + 1.0
    return matrix, _numbered(k - 1)


def _poly(levels):
    """Orthonormal polynomials in equally spaced scores, with positive leading coefficients."""
    k = len(levels)
    scores = np.arange(k) - (k - 1) / 2
    q, r = np.linalg.qr(scores[:, None] ** np.arange(k))
    matrix = (q * np.sign(np.diag(r)))[:, 1:]
    names = [".L", ".Q", ".C"] + [f"^{power}" for power in range(4, k)]
    return matrix, tuple(names[: k - 1])


def _numbered(count):
    return tuple(str(i + 1) for i in range(count))


def _given_matrix(contrasts, levels, factor):
    names = None
    if isinstance(contrasts, pd.DataFrame):
        names = tuple(str(column) for column in contrasts.columns)
        if set(map(str, contrasts.index)) == set(levels):
            contrasts = contrasts.set_axis(contrasts.index.map(str), axis=0).loc[list(levels)]
    try:
        matrix = np.asarray(contrasts, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ArgumentError(f"contrasts for '{factor}' are {type(contrasts).__name__}; give the name of a coding or a matrix of numbers.") from error
    if matrix.ndim == 1:
        matrix = matrix[:, None]
    if matrix.ndim != 2 or matrix.shape[0] != len(levels) or not 1 <= matrix.shape[1] < max(len(levels), 2):
        raise ArgumentError(f"the contrasts matrix for '{factor}' has shape {matrix.shape}; its {len(levels)} levels ({', '.join(levels)}) need one row each and at most {len(levels) - 1} columns.")
    return matrix, names or _numbered(matrix.shape[1])


_CODINGS = {"treatment": _treatment, "sum": _sum, "helmert": _helmert, "poly": _poly, "SAS": _sas}
