"""Looking at each column once: does it hold anything missing or infinite?"""
import numpy as np

from fastlmm_hlm._core.kernels import all_finite
from fastlmm_hlm.formula.values import Factor, Logical, Matrix, missing_rows


class Scans:
    """Remembers the arrays that were found to hold finite numbers only."""

    def __init__(self):
        self._finite = {}

    def finite(self, values):
        """Tell whether all numbers of an array are finite.

        Parameters
        ----------
        values : ndarray of float64, shape (n,) or (n, k)

        Returns
        -------
        bool
        """
        if id(values) in self._finite:
            return True
        if not (all_finite(values) if _is_column(values) else np.isfinite(values).all()):
            return False
        self.note(values)
        return True

    def note(self, values):
        """Remember that an array holds finite numbers only; keeps it alive."""
        self._finite[id(values)] = values

    def inherit(self, value, whole):
        """Remember the same of a part of the rows, if it is known of all of them."""
        if value is not whole and isinstance(value, np.ndarray) and id(whole) in self._finite:
            self.note(value)

    def missing(self, value):
        """Find the missing rows of a value.

        Parameters
        ----------
        value : ndarray, Factor, Logical or Matrix, n rows

        Returns
        -------
        ndarray of bool, shape (n,), or None if no row is missing
        """
        if isinstance(value, Factor):
            if len(value.codes) == 0 or value.codes.min() >= 0:
                return None
            return missing_rows(value)
        if self.finite(value.values if isinstance(value, (Logical, Matrix)) else value):
            return None
        mask = missing_rows(value)
        return mask if mask.any() else None


def _is_column(values):
    """Tell whether an array is a contiguous vector of float64."""
    return values.ndim == 1 and values.dtype == np.float64 and values.flags.c_contiguous
