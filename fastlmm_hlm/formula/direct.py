"""Columns of a model matrix straight from the variables: numbers as they are, dummies, products.

A plain numeric column is the variable's own array; what has been made for one
matrix is taken again for another.
"""
import itertools
from functools import reduce

import numpy as np

from fastlmm_hlm.errors import DataError
from fastlmm_hlm.formula.codes import look_up
from fastlmm_hlm.formula.terms import full_dummy_factors
from fastlmm_hlm.formula.values import Factor

TWIN_CODINGS = "two columns of the contrasts have the same name; name each differently."


def code_column(column, codes):
    """Return one coded column, NaN where the level is missing.

    Parameters
    ----------
    column : ndarray, shape (levels,)
        The number that stands for each level.
    codes : ndarray of int, shape (n,)

    Returns
    -------
    ndarray of float64, shape (n,)
    """
    return look_up(np.append(column, np.nan), codes)


def refuse_twins(names):
    """Refuse an interaction that makes two columns of the same name.

    Raises
    ------
    DataError
    """
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise DataError(f"an interaction has two columns called '{twice}', because ':' occurs in levels; rename the levels.")


class DirectColumns:
    """Makes the columns of one matrix after another from the same variables.

    Parameters
    ----------
    n : int
        Number of rows.
    """

    def __init__(self, n):
        self.n = n
        self._made = {}

    def of(self, terms, values):
        """Make the columns of one matrix.

        Parameters
        ----------
        terms : TermList
        values : dict of str to (ndarray or Factor)
            The variables of the terms, n rows each.  A factor carries its
            coding, a pair (matrix, names), as `contrasts`.

        Returns
        -------
        columns : list of (ndarray, shape (n,), or None)
            None is the constant 1.
        names : list of list of str
            Of the columns of each term, the intercept included.

        Raises
        ------
        DataError
            If two columns of a coding or of an interaction have one name.
        """
        factors = {name for name, value in values.items() if isinstance(value, Factor)}
        columns, names = ([None], [["1"]]) if terms.intercept else ([], [])
        for members, full in zip(terms.terms, full_dummy_factors(terms.terms, factors, terms.intercept), strict=True):
            parts = [self._variable(name, values[name], name in full) for name in members]
            products = [combination[::-1] for combination in itertools.product(*reversed(parts))]
            names.append([":".join(part.name for part in product) for product in products])
            refuse_twins(names[-1])
            several = [len(part) > 1 for part in parts]
            columns += [self._product(product, several) for product in products]
        return columns, names

    def _variable(self, name, value, full):
        if not isinstance(value, Factor):
            return [_Numeric(name, value)]
        if full:
            return [_Coded(name + level, name, value.codes, _unit(j, len(value.levels))) for j, level in enumerate(value.levels)]
        matrix, suffixes = value.contrasts
        if len(set(suffixes)) < len(suffixes):
            raise DataError(TWIN_CODINGS)
        return [_Coded(name + suffix, name, value.codes, matrix[:, j]) for j, suffix in enumerate(suffixes)]

    def _product(self, parts, several):
        """Multiply variables with several columns first, then those with one, as formulaic does."""
        if len(parts) == 1:
            return self._single(parts[0])
        groups = [[part for part, many in zip(parts, several, strict=True) if many is wanted] for wanted in (True, False)]
        key = tuple(tuple(part.key for part in group) for group in groups)
        if key not in self._made:
            factors = [reduce(np.multiply, map(self._single, group)) for group in groups if group]
            self._made[key] = reduce(np.multiply, factors)
        return self._made[key]

    def _single(self, part):
        if isinstance(part, _Numeric):
            return part.values
        if part.key not in self._made:
            self._made[part.key] = code_column(part.coding, part.codes)
        return self._made[part.key]


class _Numeric:
    """A variable that is one column of numbers."""

    def __init__(self, name, values):
        self.name = self.key = name
        self.values = values


class _Coded:
    """One column of a factor; equal codings of one factor have equal keys."""

    def __init__(self, name, factor, codes, coding):
        self.name, self.codes, self.coding = name, codes, coding
        self.key = (factor, coding.tobytes())


def _unit(j, count):
    column = np.zeros(count)
    column[j] = 1.0
    return column
