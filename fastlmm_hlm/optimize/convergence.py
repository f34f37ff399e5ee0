"""The certificate of an optimum: a fact about the point, not a guess about the path.

At a minimum in unbounded working coordinates the gradient vanishes and the
Hessian has no negative eigenvalue.  On the boundary of the covariance matrices
(a singular fit) the Hessian holds the derivative of the criterion with respect
to Psi on the null space of Psi, so the same two facts certify it.
"""

from dataclasses import dataclass

import numpy as np

from fastlmm_hlm._core.small import eigh

# Newton decrements below this are below any digit that is reported.
DECREMENT_TOLERANCE = 1e-5
EIGENVALUE_TOLERANCE = 1e-6


@dataclass(frozen=True)
class Certificate:
    """Attributes
    ----------
    status : "converged", "singular" (converged, on the boundary) or "failed"
    gradient_norm : float
        Euclidean norm of the gradient in working coordinates, deviance units.
    decrement : float
        Decrease of the criterion that a Newton step still predicts.
    min_eigenvalue : float
        Smallest eigenvalue of the Hessian in working coordinates.
    boundary : list of str
        Terms whose covariance has lost rank.
    """

    status: str
    gradient_norm: float
    decrement: float
    min_eigenvalue: float
    boundary: list


def certify(evaluation, boundary):
    """Certificate of the point of an evaluation.

    Parameters
    ----------
    evaluation : object with ``gradient`` (m,) and ``hessian`` (m, m)
    boundary : list of str

    Returns
    -------
    Certificate
    """
    w, V = eigh(evaluation.hessian)
    largest = max(np.abs(w).max(), 1e-300)
    along = V.T @ evaluation.gradient
    decrement = 0.5 * float((along**2 / np.maximum(np.abs(w), 1e-10 * largest)).sum())
    optimal = (
        np.isfinite(evaluation.value)
        and decrement <= DECREMENT_TOLERANCE
        and w[0] >= -EIGENVALUE_TOLERANCE * max(largest, 1.0)
    )
    status = "failed" if not optimal else "singular" if boundary else "converged"
    return Certificate(status, float(np.linalg.norm(evaluation.gradient)), decrement, float(w[0]), list(boundary))
