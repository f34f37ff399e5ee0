"""Structures of the relative covariance Psi = lambda lambda' of one random-effects term.

Each class maps its free parameters to Psi, in the term's working coordinates,
and gives the two derivatives the optimizer needs.  No parameter is bounded: a
standard deviation may change its sign (Psi does not), and a correlation runs
over the sine of its parameter, so that a boundary is an ordinary stationary point.
"""

from functools import lru_cache

import numpy as np

from fastlmm_hlm._core import kernels
from fastlmm_hlm.errors import FormulaError

# Below about this many sigma a separate standard deviation goes with the square of its parameter.
SOFT = 0.1


@lru_cache(maxsize=256)
def lower_indices(nc):
    """Rows and columns of a lower triangle read column by column, lme4's order of theta."""
    columns, rows = np.triu_indices(nc)
    rows.flags.writeable = columns.flags.writeable = False
    return rows, columns


def lower_factor(F):
    """Lower triangular C with C C' = F F' and diagonal >= 0; F may be singular.

    By reflections from the right, so nothing is squared.

    Parameters
    ----------
    F : ndarray, shape (nc, k), k >= nc

    Returns
    -------
    C : ndarray, shape (nc, nc)
    """
    return kernels.lower_factor(F)


class Unstructured:
    """us(): any covariance matrix; the parameters are the lower triangle of lambda."""

    may_change_basis = True

    def __init__(self, nc):
        self.nc = nc
        self.rows, self.columns = lower_indices(nc)
        self.size = len(self.rows)
        self.index = np.arange(self.size)
        self.same_column = 2.0 * (self.columns[:, None] == self.columns)

    def linear_span(self):
        """Matrices whose linear combinations are the possible Psi, (m, nc, nc); None if those are no linear space."""
        out = np.zeros((self.size, self.nc, self.nc))
        out[self.index, self.rows, self.columns] = out[self.index, self.columns, self.rows] = 1.0
        return out

    def start(self):
        return (self.rows == self.columns).astype(float)

    def root(self, par):
        """lambda, (nc, nc), with Psi = lambda lambda'."""
        T = np.zeros((self.nc, self.nc))
        T[self.rows, self.columns] = par
        return T

    def from_root(self, F):
        """Parameters whose Psi is F F' (exact: every covariance has some)."""
        return lower_factor(F)[self.rows, self.columns]

    def dPsi(self, par):
        """dPsi / dpar, (size, nc, nc): d(T T') = E_ab T' + T E_ba."""
        T = self.root(par)
        out = np.zeros((self.size, self.nc, self.nc))
        out[self.index, self.rows] = T.T[self.columns]
        out[self.index, :, self.rows] += T.T[self.columns]
        return out

    def curvature(self, par, G):
        """sum_cd G_cd d2 Psi_cd / dpar dpar', (size, size), for symmetric G."""
        return self.same_column * G[self.rows[:, None], self.rows]

    def is_variance(self):
        """True where a parameter is zero exactly when Psi loses rank."""
        return self.rows == self.columns

    def normalize(self, par):
        """The same Psi with every diagonal element of lambda >= 0."""
        T = self.root(par)
        return (T * np.where(np.diagonal(T) < 0, -1.0, 1.0))[self.rows, self.columns] + 0.0


class Diagonal:
    """diag(), and the parts of `||`: independent effects; the parameters are the ratios
    of their standard deviations to sigma (one for all when hom)."""

    may_change_basis = False

    def __init__(self, nc, hom=False):
        self.nc, self.hom = nc, hom
        self.size = 1 if hom else nc

    def linear_span(self):
        return np.eye(self.nc)[None] if self.hom else np.eye(self.nc)[:, None] * np.eye(self.nc)

    def start(self):
        return np.ones(self.size)

    def root(self, par):
        return np.diag(np.broadcast_to(par, self.nc)).astype(float)

    def from_root(self, F):
        sd = np.sqrt((F**2).sum(axis=1))
        return np.array([np.sqrt((sd**2).mean())]) if self.hom else sd

    def dPsi(self, par):
        out = np.zeros((self.size, self.nc, self.nc))
        if self.hom:
            out[0] = 2.0 * par[0] * np.eye(self.nc)
        else:
            k = np.arange(self.nc)
            out[k, k, k] = 2.0 * par
        return out

    def curvature(self, par, G):
        return np.array([[2.0 * np.trace(G)]]) if self.hom else np.diag(2.0 * np.diagonal(G))

    def is_variance(self):
        return np.ones(self.size, dtype=bool)

    def normalize(self, par):
        return np.abs(par)


class _Correlated:
    """Standard deviations times a correlation matrix with one parameter.

    par = (r_1 .. r_nc or one r when hom, z) with rho = low + (high - low)(1 + sin z)/2.
    A common standard deviation is r itself.  Separate ones are r^2 / sqrt(r^2 + SOFT^2):
    smooth, close to |r|, never negative (one negative deviation among others would turn
    the signs of its correlations, which is another structure), and with a zero that is an
    ordinary stationary point.  Subclasses give R(rho) with its first two derivatives, and the range of rho.
    """

    may_change_basis = False

    def __init__(self, nc, hom):
        if nc < 2:
            raise FormulaError(f"{self.name}(): the term has {nc} column; a correlation needs at least 2. "
                               "Write the term without it.")
        self.nc, self.hom = nc, hom
        self.nsd = 1 if hom else nc
        self.size = self.nsd + 1
        self.low, self.high = self.range_of_rho()

    def start(self):
        return np.append(self.r_of_sd(np.ones(self.nsd)), self.z_of_rho(0.0))

    def r_of_sd(self, sd):
        return sd if self.hom else np.sqrt((sd**2 + sd * np.sqrt(sd**2 + 4.0 * SOFT**2)) / 2.0)

    def z_of_rho(self, rho):
        return np.arcsin(np.clip(2.0 * (rho - self.low) / (self.high - self.low) - 1.0, -1.0, 1.0))

    def rho(self, par):
        return self.low + (self.high - self.low) * (1.0 + np.sin(par[-1])) / 2.0

    def sds(self, par):
        r = par[:-1]
        return np.broadcast_to(r, self.nc) if self.hom else r**2 / np.sqrt(r**2 + SOFT**2)

    def Psi(self, par):
        s = self.sds(par)
        return np.outer(s, s) * self.correlation(self.rho(par))[0]

    def root(self, par):
        values, vectors = np.linalg.eigh(self.correlation(self.rho(par))[0])
        return self.sds(par)[:, None] * vectors * np.sqrt(np.maximum(values, 0.0))

    def from_root(self, F):
        Psi = F @ F.T
        sd = np.sqrt(np.diagonal(Psi))
        safe = np.where(sd > 0, sd, 1.0)
        rho = self.rho_from(Psi / np.outer(safe, safe))
        own = np.array([np.sqrt((sd**2).mean())]) if self.hom else sd
        return np.append(self.r_of_sd(own), self.z_of_rho(rho))

    def _scales(self, par):
        """dsd/dpar_i as rows, (nsd, nc)."""
        if self.hom:
            return np.ones((1, self.nc))
        r, h = par[:-1], np.sqrt(par[:-1] ** 2 + SOFT**2)
        return np.diag(2.0 * r / h - (r / h) ** 3)

    def _bends(self, par):
        """d2 sd_i / dpar_i^2, (nsd,)."""
        if self.hom:
            return np.zeros(1)
        r, h = par[:-1], np.sqrt(par[:-1] ** 2 + SOFT**2)
        return (2.0 - 5.0 * (r / h) ** 2 + 3.0 * (r / h) ** 4) / h

    def dPsi(self, par):
        s, (R, R1, _) = self.sds(par), self.correlation(self.rho(par))
        slope = (self.high - self.low) / 2.0 * np.cos(par[-1])
        parts = [(np.outer(ds, s) + np.outer(s, ds)) * R for ds in self._scales(par)]
        return np.stack([*parts, np.outer(s, s) * R1 * slope])

    def curvature(self, par, G):
        s, (R, R1, R2) = self.sds(par), self.correlation(self.rho(par))
        slope = (self.high - self.low) / 2.0 * np.cos(par[-1])
        bend = -(self.high - self.low) / 2.0 * np.sin(par[-1])
        scales, bends = self._scales(par), self._bends(par)
        H = np.zeros((self.size, self.size))
        for i, di in enumerate(scales):
            for j, dj in enumerate(scales):
                H[i, j] = (G * R * (np.outer(di, dj) + np.outer(dj, di))).sum()
            H[i, i] += 2.0 * bends[i] * ((G * R)[i] @ s)
            H[i, -1] = H[-1, i] = (G * R1 * (np.outer(di, s) + np.outer(s, di))).sum() * slope
        H[-1, -1] = (G * np.outer(s, s) * (R2 * slope**2 + R1 * bend)).sum()
        return H

    def is_variance(self):
        return np.append(np.ones(self.nsd, dtype=bool), False)

    def linear_span(self):
        return None

    def normalize(self, par):
        par = np.array(par)
        rho = self.rho(par)
        par[:-1] = np.abs(par[:-1])
        par[-1] = self.z_of_rho(rho)
        return par


class CompoundSymmetry(_Correlated):
    """cs(): one correlation for all pairs of columns."""

    name = "cs"

    def range_of_rho(self):
        return -1.0 / (self.nc - 1), 1.0

    def correlation(self, rho):
        off = 1.0 - np.eye(self.nc)
        return np.eye(self.nc) + rho * off, off, np.zeros((self.nc, self.nc))

    def rho_from(self, R):
        return float(R[~np.eye(self.nc, dtype=bool)].mean())

    def linear_span(self):
        return np.stack([np.eye(self.nc), 1.0 - np.eye(self.nc)]) if self.hom else None


class AutoRegressive(_Correlated):
    """ar1(): correlation rho^|i-j| between columns i and j."""

    name = "ar1"

    def range_of_rho(self):
        return -1.0, 1.0

    def correlation(self, rho):
        k = np.abs(np.subtract.outer(np.arange(self.nc), np.arange(self.nc))).astype(float)
        R = np.power(rho, k)
        R1 = np.where(k >= 1, k * np.power(rho, np.maximum(k - 1, 0)), 0.0)
        R2 = np.where(k >= 2, k * (k - 1) * np.power(rho, np.maximum(k - 2, 0)), 0.0)
        return R, R1, R2

    def rho_from(self, R):
        return float(np.diagonal(R, 1).mean())


@lru_cache(maxsize=256)
def covariance_structure(kind, nc, hom=None):
    """The structure named in the formula; equal ones are the same object, which nothing changes.

    Parameters
    ----------
    kind : "us", "diag", "cs" or "ar1"
    nc : int
        Columns of the term.
    hom : bool or None
        One standard deviation for all columns; None takes the default of the
        structure (only ar1 is homogeneous by default).
    """
    if kind == "us" or nc == 1:
        return Unstructured(nc)
    if kind == "diag":
        return Diagonal(nc, bool(hom))
    if kind == "cs":
        return CompoundSymmetry(nc, bool(hom))
    if kind == "ar1":
        return AutoRegressive(nc, True if hom is None else bool(hom))
    raise FormulaError(f"covariance structure {kind!r} is unknown; use us, diag, cs or ar1.")
