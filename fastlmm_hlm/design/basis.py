"""A better-conditioned basis for columns that the user wrote far from their mean.

With a constant among the columns, x and x - m span the same space.  For a
calendar year the difference is that of a well-conditioned matrix and one whose
cross-products have lost half their digits.
"""

from dataclasses import dataclass
from functools import cached_property

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

    @cached_property
    def is_identity(self):
        return not self.centre.any()

    @cached_property
    def inverse(self):
        """B^-1, (k, k): B = I - E where E moves centres to columns that have none, so E E = 0."""
        return 2.0 * np.eye(len(self.B)) - self.B


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
    if not len(ones):
        return no_centring(len(means))
    centre = means * (np.abs(means) > sds)
    centre[ones] = 0.0
    B = np.eye(len(means))
    B[ones] -= centre
    return Centring(centre, B)


def no_centring(k):
    """The user's own columns."""
    return Centring(np.zeros(k), np.eye(k))
