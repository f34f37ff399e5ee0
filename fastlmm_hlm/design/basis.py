"""A better-conditioned basis for columns that the user wrote far from their mean.

With a constant among the columns, x and x - m span the same space.  For a
calendar year the difference is that of a well-conditioned matrix and one whose
cross-products have lost half their digits.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Centring:
    """Columns c_j - m_j in place of c_j.

    Attributes
    ----------
    centre : ndarray, shape (k,)
        The constants m_j; zero for columns that stay as they are.
    B : ndarray, shape (k, k)
        Centred columns = user's columns @ B; coefficients of the user's columns
        are B @ (coefficients of the centred ones).  det B = 1.
    """

    centre: np.ndarray
    B: np.ndarray

    @property
    def is_identity(self):
        return not self.centre.any()


def centring(means, sds, ones):
    """Centre every column whose mean lies further from zero than one standard deviation.

    Parameters
    ----------
    means, sds : ndarray, shape (k,)
        Of the user's columns.
    ones : sequence of int
        Columns whose sum is the constant 1 (the intercept, or a full set of
        dummies); empty when there is none, and then nothing is centred.

    Returns
    -------
    Centring
    """
    k = len(means)
    centre = np.where(np.abs(means) > sds, means, 0.0)
    centre[list(ones)] = 0.0
    if not len(ones):
        centre[:] = 0.0
    B = np.eye(k)
    B[list(ones), :] -= centre
    return Centring(centre, B)


def no_centring(k):
    """The user's own columns."""
    return Centring(np.zeros(k), np.eye(k))
