"""LAPACK on matrices a few columns wide, without the cost of NumPy's checks around it.

For a 2 x 2 matrix numpy.linalg spends about six times as long on its arguments as LAPACK
on the numbers, and a fit of a few hundred rows makes a dozen such calls.
"""

import numpy as np
from scipy.linalg import lapack


def eigh(A):
    """Eigenvalues, ascending, and eigenvectors of a symmetric matrix.

    Parameters
    ----------
    A : ndarray, shape (c, c)
        Finite; the lower triangle is read.

    Returns
    -------
    values : ndarray (c,)
    vectors : ndarray (c, c), one per column

    Raises
    ------
    numpy.linalg.LinAlgError
        If LAPACK does not converge.
    """
    values, vectors, info = lapack.dsyevd(A, lower=1)
    if info:
        raise np.linalg.LinAlgError("eigenvalues did not converge")
    return values, vectors


def svd(A):
    """U, s, Vt with A = (U * s) @ Vt, s descending.

    Parameters
    ----------
    A : ndarray, shape (c, c)

    Raises
    ------
    numpy.linalg.LinAlgError
        If LAPACK does not converge.
    """
    U, s, Vt, info = lapack.dgesdd(A)
    if info:
        raise np.linalg.LinAlgError("singular values did not converge")
    return U, s, Vt


def pivots(A):
    """What is left of each diagonal element after eliminating those before it, (p,).

    None if A, symmetric (p, p), is not numerically positive definite.
    """
    L, info = lapack.dpotrf(A, lower=1)
    return None if info else np.diagonal(L) ** 2


def solve_positive(A, b):
    """A^-1 b for a symmetric positive definite A, (p, p); None if it is not."""
    _, x, info = lapack.dposv(A, b)
    return None if info else x
