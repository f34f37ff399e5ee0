"""Covariance of the fixed-effects estimates, and numbers made of the likelihood."""

import numpy as np


def vcov_fixed(RX, sigma):
    """sigma^2 (RX'RX)^-1, (p, p): Bates et al. (2015), eq. 54."""
    inverse = np.linalg.solve(RX, np.eye(len(RX)))
    return sigma**2 * inverse @ inverse.T


class LogLik(float):
    """A log-likelihood that knows its degrees of freedom.

    Attributes
    ----------
    df : int
        Parameters: fixed effects, covariance parameters, sigma.
    nobs : int
    """

    def __new__(cls, value, df, nobs):
        self = super().__new__(cls, value)
        self.df, self.nobs = int(df), int(nobs)
        return self

    def __getnewargs__(self):
        return float(self), self.df, self.nobs

    def __repr__(self):
        return f"'log Lik.' {float(self):.7g} (df={self.df})"

    __str__ = __repr__
