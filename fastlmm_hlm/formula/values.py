"""The values that expressions of a formula take: R's vectors, as far as formulas need them.

A numeric vector is a float64 array with NaN for missing; the classes here are
the others.  Scalars are Python floats and strings, NULL is None.
"""
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Factor:
    """A factor.

    Attributes
    ----------
    codes : ndarray of int, shape (n,)
        Position in `levels`, -1 for missing.
    levels : tuple of str
    ordered : bool
    text : bool
        True if it was read as text, so that as.numeric() reads the text.
    contrasts : str, ndarray or None
        The coding asked for by C(); None for the default.
    """

    codes: np.ndarray
    levels: tuple
    ordered: bool = False
    text: bool = False
    contrasts: object = None

    def __len__(self):
        return len(self.codes)

    def take(self, rows):
        """Return the factor at the chosen rows, all levels kept."""
        return Factor(self.codes[rows], self.levels, self.ordered, self.text, self.contrasts)


@dataclass(frozen=True)
class Logical:
    """A logical vector as float64: 0, 1 and NaN for missing."""

    values: np.ndarray

    def __len__(self):
        return len(self.values)

    def take(self, rows):
        """Return the vector at the chosen rows."""
        return Logical(self.values[rows])

    def as_factor(self):
        """Return the factor with R's levels FALSE and TRUE."""
        codes = np.where(np.isnan(self.values), -1, self.values).astype(np.int32)
        return Factor(codes, ("FALSE", "TRUE"))


@dataclass(frozen=True)
class Matrix:
    """Several columns made by one call such as poly(x, 2).

    Attributes
    ----------
    values : ndarray, shape (n, k)
    names : tuple of str
        What is appended to the call in the names of the coefficients.
    """

    values: np.ndarray
    names: tuple

    def __len__(self):
        return len(self.values)

    def take(self, rows):
        """Return the matrix at the chosen rows."""
        return Matrix(self.values[rows], self.names)


def missing_rows(value):
    """Tell which rows of a value are missing.

    Parameters
    ----------
    value : ndarray, Factor, Logical or Matrix

    Returns
    -------
    ndarray of bool, shape (n,)
    """
    if isinstance(value, Factor):
        return value.codes < 0
    if isinstance(value, Logical):
        return np.isnan(value.values)
    if isinstance(value, Matrix):
        return np.isnan(value.values).any(axis=1)
    return np.isnan(value)


def take_rows(value, rows):
    """Return a value at the chosen rows (positions or a mask); None means all."""
    if rows is None:
        return value
    return value[rows] if isinstance(value, np.ndarray) else value.take(rows)


def describe(value):
    """Name the kind of a value for an error message."""
    if isinstance(value, Factor):
        return "text" if value.text else "a factor"
    if isinstance(value, Logical):
        return "logical"
    if isinstance(value, Matrix):
        return f"a matrix of {value.values.shape[1]} columns"
    if isinstance(value, str):
        return f"the text {value!r}"
    return "NULL" if value is None else "numeric"
