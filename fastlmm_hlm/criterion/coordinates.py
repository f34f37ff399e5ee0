"""Coordinates of random-effects covariances at many points at once.

`fastlmm_hlm.design.covariance` has the same maps at one point.  Here every array
has a leading axis of points, so that a thousand small models cost a few calls of
NumPy, and a coordinate can be held fixed at a value of its own for each point.
"""

import numpy as np

from fastlmm_hlm.design.covariance import SOFT, Diagonal, Unstructured, lower_indices


class LinearRoot:
    """Psi = lambda lambda' with lambda = sum_i v_i E_i.

    v_i is the parameter itself, or for a soft one r^2 / sqrt(r^2 + SOFT^2), which is
    never negative and has a zero that is an ordinary stationary point.

    Parameters
    ----------
    E : ndarray, shape (m, c, c) or (points, m, c, c)
    soft : ndarray of bool, shape (m,), optional
    """

    def __init__(self, E, soft=None):
        self.E = E if E.ndim == 4 else E[None]
        self.size, self.nc = self.E.shape[1], self.E.shape[-1]
        self.soft = np.zeros(self.size, dtype=bool) if soft is None else soft

    def _basis(self, who):
        return self.E if len(self.E) == 1 else self.E[who]

    def _values(self, par):
        """v with its first two derivatives, (k, m) each."""
        if not self.soft.any():
            return par, np.ones_like(par), np.zeros_like(par)
        h = np.sqrt(par**2 + SOFT**2)
        t = par / h
        return (
            np.where(self.soft, par * t, par),
            np.where(self.soft, 2.0 * t - t**3, 1.0),
            np.where(self.soft, (2.0 - 5.0 * t**2 + 3.0 * t**4) / h, 0.0),
        )

    @staticmethod
    def soft_parameter(v):
        """The parameter of a soft coordinate with value v >= 0."""
        return np.sqrt((v**2 + v * np.sqrt(v**2 + 4.0 * SOFT**2)) / 2.0)

    def normalize(self, par, who):
        """The same Psi with no negative diagonal element of lambda, (k, m)."""
        signs = np.where(np.diagonal(self.root(par, who), axis1=1, axis2=2) < 0, -1.0, 1.0)
        column = (self.E != 0).any(axis=(0, 2)).argmax(axis=1)    # in which each coordinate stands
        return np.where(self.soft, np.abs(par), par * signs[:, column])

    def root(self, par, who):
        """lambda, (k, c, c)."""
        return (self._values(par)[0][:, :, None, None] * self._basis(who)).sum(axis=1)

    def derivatives(self, par, who):
        """lambda (k, c, c) and dPsi/dpar (k, m, c, c)."""
        v, slope, _ = self._values(par)
        E = self._basis(who)
        root = (v[:, :, None, None] * E).sum(axis=1)
        half = E @ np.swapaxes(root, 1, 2)[:, None]
        return root, slope[:, :, None, None] * (half + np.swapaxes(half, 2, 3))

    def curvature(self, par, who, G):
        """sum_cd G_cd d2 Psi_cd / dpar dpar', (k, m, m), for symmetric G (k, c, c)."""
        v, slope, bend = self._values(par)
        E = np.broadcast_to(self._basis(who), (len(par), *self.E.shape[1:]))
        flat = len(par), self.size, self.nc**2
        GE = G[:, None] @ E
        H = 2.0 * GE.reshape(flat) @ np.swapaxes(E.reshape(flat), 1, 2)
        H *= slope[:, :, None] * slope[:, None, :]
        if self.soft.any():
            root = (v[:, :, None, None] * E).sum(axis=1)
            along = 2.0 * (GE * root[:, None]).sum(axis=(2, 3))
            own = np.arange(self.size)
            H[:, own, own] += along * bend
        return H


class OneByOne:
    """Any structure of `fastlmm_hlm.design.covariance`, point by point.

    Parameters
    ----------
    covariance : one of those structures
    fixed : int, optional
        A parameter that is held at ``value[who]``; it is left out of the others.
    value : ndarray (points,), optional
    """

    def __init__(self, covariance, fixed=None, value=None):
        self.covariance, self.fixed, self.value = covariance, fixed, value
        self.nc = covariance.nc
        self.free = np.array([i for i in range(covariance.size) if i != fixed], dtype=int)
        self.size = len(self.free)

    def _whole(self, par, who):
        if self.fixed is None:
            return par
        out = np.empty((len(par), self.covariance.size))
        out[:, self.free], out[:, self.fixed] = par, self.value[who]
        return out

    def normalize(self, par, who):
        return np.stack([self.covariance.normalize(p)[self.free] for p in self._whole(par, who)])

    def root(self, par, who):
        return np.stack([self.covariance.root(p) for p in self._whole(par, who)])

    def derivatives(self, par, who):
        whole = self._whole(par, who)
        return self.root(par, who), np.stack([self.covariance.dPsi(p)[self.free] for p in whole])

    def curvature(self, par, who, G):
        whole = self._whole(par, who)
        pick = np.ix_(self.free, self.free)
        return np.stack([self.covariance.curvature(p, g)[pick] for p, g in zip(whole, G)])


def coordinates_of(covariance):
    """The coordinates of a structure, with its parameters in its own order."""
    c = covariance.nc
    if isinstance(covariance, Unstructured):
        E = np.zeros((covariance.size, c, c))
        E[np.arange(covariance.size), covariance.rows, covariance.columns] = 1.0
        return LinearRoot(E)
    if isinstance(covariance, Diagonal):
        return LinearRoot(np.eye(c)[None] if covariance.hom else np.eye(c)[:, :, None] * np.eye(c)[:, None, :])
    return OneByOne(covariance)


def fixed_correlation(c, rho):
    """Lower triangular lambda whose first two rows have a given correlation.

    Coordinates: the two standard deviations (soft), then the rows below, read column
    by column.

    Parameters
    ----------
    c : int
    rho : ndarray, shape (points,)

    Returns
    -------
    LinearRoot
    """
    rows, columns = lower_indices(c)
    below = rows >= 2
    rows, columns = rows[below], columns[below]
    E = np.zeros((len(rho), 2 + len(rows), c, c))
    E[:, 0, 0, 0] = 1.0
    E[:, 1, 1, 0] = rho
    E[:, 1, 1, 1] = np.sqrt(np.maximum(1.0 - rho**2, 0.0))
    E[:, 2 + np.arange(len(rows)), rows, columns] = 1.0
    return LinearRoot(E, np.arange(2 + len(rows)) < 2)
