"""Model matrices as lists of columns, and how to make them again from new data.

Numbers, factors and their interactions take the direct path; terms with calls
of several columns, such as poly(x, 2), go through formulaic.
"""
import numpy as np

from fastlmm_hlm.errors import DataError
from fastlmm_hlm.formula.codes import look_up
from fastlmm_hlm.formula.contrasts import coding_matrix
from fastlmm_hlm.formula.direct import DirectColumns
from fastlmm_hlm.formula.values import Factor, Logical, Matrix

INTERCEPT = "(Intercept)"


def dense_matrix(columns, n):
    """Put columns together.

    Parameters
    ----------
    columns : list of (ndarray, shape (n,), or None)
        None is the constant 1.
    n : int

    Returns
    -------
    ndarray of float64, shape (n, len(columns)), Fortran order
    """
    matrix = np.empty((n, len(columns)), order="F")
    for j, column in enumerate(columns):
        matrix[:, j] = 1.0 if column is None else column
    return matrix


class MatrixRecipe:
    """How one model matrix is made, so that it can be made again from new data.

    Parameters
    ----------
    terms : TermList
    contrasts : dict
        Codings by variable.

    Attributes
    ----------
    names : list of str
        Column names, after `build`.
    assign : ndarray of int, shape (p,)
        0 for the intercept, otherwise the number of the term from 1.
    levels : dict of str to tuple of str
        Levels of the variables that are factors.
    """

    _prefers_formulaic = False

    def __init__(self, terms, contrasts=None):
        self.terms = terms
        self.contrasts = contrasts or {}
        self.names, self.assign, self.levels = [], np.empty(0, dtype=int), {}
        self._spec, self._codings, self._matrices = None, {}, {}

    def build(self, variables, maker):
        """Make the columns for the first time and remember their structure.

        Parameters
        ----------
        variables : dict of str to value
            Evaluated variables, rows chosen, unused levels dropped.
        maker : DirectColumns
            Shared by the matrices of one model.

        Returns
        -------
        list of (ndarray of float64, shape (n,), or None)
            None is the constant 1.  A plain numeric variable is its own array.

        Raises
        ------
        DataError
            If a factor has fewer than two levels.
        """
        values = {name: self._coded(name, variables[name]) for name in self._used()}
        if self._prefers_formulaic or any(isinstance(value, Matrix) for value in values.values()):
            columns, names = self._by_formulaic(values, maker.n)
        else:
            columns, names = maker.of(self.terms, values)
        first = 0 if self.terms.intercept else 1
        self.assign = np.array([first + i for i, own in enumerate(names) for _ in own], dtype=int)
        self.names = [name if number else INTERCEPT for number, name in zip(self.assign.tolist(), (n for own in names for n in own), strict=True)]
        return columns

    def _used(self):
        return dict.fromkeys(name for term in self.terms.terms for name in term)

    def _coded(self, name, value):
        """Return a variable as numbers, or as a factor with its coding."""
        if isinstance(value, Logical):
            value = value.as_factor()
        if not isinstance(value, Factor):
            return value
        if len(value.levels) < 2:
            raise DataError(f"the factor '{name}' has {len(value.levels)} level ({', '.join(value.levels)}) in the rows used; contrasts need at least 2. Leave it out of the formula.")
        asked = self.contrasts.get(name) if value.contrasts is None else value.contrasts
        self._codings[name] = ("contr.poly" if value.ordered else "contr.treatment") if asked is None else asked
        self._matrices[name] = coding_matrix(asked, value.levels, value.ordered, name)
        self.levels[name] = value.levels
        return Factor(value.codes, value.levels, value.ordered, contrasts=self._matrices[name])

    def _by_formulaic(self, values, n):
        from fastlmm_hlm.formula.by_formulaic import formulaic_columns, formulaic_spec

        if not self.terms.intercept and not self.terms.terms:
            return [], []
        columns, names, self._spec = formulaic_columns(formulaic_spec(self.terms), values, n)
        plain = {i: values[members[0]] for i, members in enumerate(self.terms.terms, start=int(self.terms.intercept)) if len(members) == 1}
        of_term = [i for i, own in enumerate(names) for _ in own]
        for j, i in enumerate(of_term):
            if isinstance(plain.get(i), np.ndarray):
                columns[j] = plain[i]
            columns[j] = None if self.terms.intercept and i == 0 else np.ascontiguousarray(columns[j], dtype=np.float64)
        return columns, names

    def codings(self):
        """Return the coding of each factor: what was asked for, or R's default."""
        return {name: self._codings[name] for name in self.levels}

    def rebuild(self, variables, n):
        """Make the matrix from new data; rows with missing values become NaN.

        Parameters
        ----------
        variables : dict of str to value
        n : int

        Returns
        -------
        ndarray, shape (n, p), Fortran order

        Raises
        ------
        DataError
            For a level that the fit did not see, or another kind of value.
        """
        matrix = dense_matrix(self.columns(variables, DirectColumns(n)), n)
        matrix[np.isnan(matrix).any(axis=1)] = np.nan
        return matrix

    def columns(self, variables, maker):
        """Make the columns from new data, as `build` did: referred to where they need not be made.

        Parameters
        ----------
        variables : dict of str to value
        maker : DirectColumns
            Shared by the matrices of the same rows.

        Returns
        -------
        list of (ndarray of float64, shape (n,), or None)

        Raises
        ------
        DataError
            As for `rebuild`.
        """
        values = {name: self._on_known_levels(name, variables[name]) for name in self._used()}
        if self._spec is None and not any(isinstance(value, Matrix) for value in values.values()):
            return maker.of(self.terms, values)[0]
        if not self.terms.intercept and not self.terms.terms:
            return []
        from fastlmm_hlm.formula.by_formulaic import formulaic_columns, formulaic_spec

        return formulaic_columns(formulaic_spec(self.terms) if self._spec is None else self._spec, values, maker.n)[0]

    def variables(self):
        """The expressions that the columns are made of, list of Node."""
        return [self.terms.variables[name] for name in self._used()]

    def columns_of(self, evaluator):
        """Make the columns from new data.

        Parameters
        ----------
        evaluator : Evaluator

        Returns
        -------
        list of (ndarray of float64, shape (n,), or None)
            As from `build`; NaN where something is missing.

        Raises
        ------
        DataError
            As for `rebuild`.
        """
        values = {name: evaluator.variable(self.terms.variables[name], asker="the model") for name in self._used()}
        columns = self.columns(values, DirectColumns(evaluator.n))
        return [None if column is None else np.ascontiguousarray(column, dtype=np.float64) for column in columns]

    def subset(self, terms, names):
        """The recipe of a matrix with fewer terms, each coded as here.

        Parameters
        ----------
        terms : TermList
        names : list of str
            Of its columns.

        Returns
        -------
        MatrixRecipe
        """
        used = {name for term in terms.terms for name in term}
        new = MatrixRecipe(terms, {name: coding for name, coding in self.contrasts.items() if name in used})
        places = {term: number for number, term in enumerate(self.terms.terms, start=1)}
        sizes = [int((self.assign == places[term]).sum()) for term in terms.terms]
        first = [0] if terms.intercept else []
        new.assign = np.array(first + [k for k, size in enumerate(sizes, start=1) for _ in range(size)], dtype=int)
        new.names = list(names)
        new.levels = {name: levels for name, levels in self.levels.items() if name in used}
        new._codings, new._matrices = dict(self._codings), dict(self._matrices)
        return new

    def _on_known_levels(self, name, value):
        if isinstance(value, Logical) and name in self.levels:
            value = value.as_factor()
        if isinstance(value, Factor) != (name in self.levels):
            if name in self.levels and isinstance(value, np.ndarray) and np.isnan(value).all():
                return Factor(np.full(len(value), -1, dtype=np.int32), self.levels[name], contrasts=self._matrices[name])
            kinds = ("a factor", "numeric") if name in self.levels else ("numeric", "text or a factor")
            raise DataError(f"'{name}' was {kinds[0]} in the data of the fit and is {kinds[1]} in the new data; give the same kind of values.")
        if not isinstance(value, Factor):
            return value
        known = {text: i for i, text in enumerate(self.levels[name])}
        lookup = np.array([known.get(text, -1) for text in value.levels] + [-1], dtype=np.int32)
        codes = look_up(lookup, value.codes)
        unseen = np.flatnonzero((codes < 0) & (value.codes >= 0))
        if len(unseen):
            found = list(dict.fromkeys(value.levels[value.codes[i]] for i in unseen[:1000]))
            shown = ", ".join(f"'{text}'" for text in found[:5]) + (" ..." if len(found) > 5 else "")
            raise DataError(f"column '{name}' has the level{'s' if len(found) > 1 else ''} {shown} in the new data, which the fit has no coefficient for; it knows {_listed(self.levels[name])}.")
        return Factor(codes, self.levels[name], value.ordered, contrasts=self._matrices[name])


def _listed(levels, most=12):
    shown = ", ".join(f"'{text}'" for text in levels[:most])
    return shown + (f" and {len(levels) - most} more" if len(levels) > most else "")
