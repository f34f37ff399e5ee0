"""Model matrices by formulaic, with R's rules for coding and naming.

formulaic walks the terms, asks for each factor's columns, multiplies them and
remembers the structure for new data; this subclass of its pandas materializer
decides, as R does, which factors get contrasts, and names columns in R's way.
"""
import itertools

import numpy as np
from formulaic import ModelSpec
from formulaic.formula import SimpleFormula
from formulaic.materializers import PandasMaterializer
from formulaic.materializers.types import FactorValues, ScopedFactor, ScopedTerm
from formulaic.parser.types import Factor as FormulaicFactor, Term
from interface_meta import override

from fastlmm_hlm.errors import DataError
from fastlmm_hlm.formula.contrasts import coding_matrix
from fastlmm_hlm.formula.terms import full_dummy_factors
from fastlmm_hlm.formula.values import Factor, Logical, Matrix

INTERCEPT = "(Intercept)"
_FORMAT = "{name}{field}"


class _RMaterializer(PandasMaterializer):
    """formulaic's pandas materializer, fed with evaluated variables.

    Parameters
    ----------
    data : dict of str to value
        Every variable by its text, rows already chosen.
        A factor carries its coding, a pair (matrix, names), as `contrasts`.
    n : int
        Number of rows.
    """

    @override
    def _init(self):
        self._n = self.params.pop("n")

    @property
    @override
    def nrows(self):
        return self._n

    @override
    def _lookup(self, name):
        value = self.data[name]
        if isinstance(value, Logical):
            value = value.as_factor()
        kind = "categorical" if isinstance(value, Factor) else "numerical"
        return FactorValues(value, kind=kind, format=_FORMAT), set()

    @override
    def _get_scoped_terms(self, terms, ensure_full_rank=True):
        members = [tuple(f.expr for f in term.factors if f.eval_method is not FormulaicFactor.EvalMethod.LITERAL) for term in terms]
        intercept = () in members
        factors = {name for name, f in self.factor_cache.items() if f.metadata.kind is FormulaicFactor.Kind.CATEGORICAL}
        dummies = iter(full_dummy_factors([m for m in members if m], factors, intercept))
        for term, names in zip(terms, members, strict=True):
            full = next(dummies) if names else set()
            scoped = [ScopedFactor(self.factor_cache[name], reduced=name in factors and name not in full) for name in names]
            yield term, [ScopedTerm(scoped)]

    @override
    def _extract_columns_for_encoding(self, factor):
        value = factor.values.__wrapped__
        if not isinstance(value, Matrix):
            return value
        if value.values.shape[1] == 1:
            return value.values[:, 0]
        names = value.names if any(value.names) else tuple(str(i + 1) for i in range(value.values.shape[1]))
        if len(set(names)) < len(names):
            raise DataError(f"{factor.expr} makes two columns of the same name; name the arguments of cbind() differently.")
        return {name: value.values[:, i] for i, name in enumerate(names)}

    @override
    def _encode_numerical(self, values, metadata, encoder_state, spec, drop_rows):
        return np.asarray(getattr(values, "__wrapped__", values))

    @override
    def _encode_categorical(self, values, metadata, encoder_state, spec, drop_rows, reduced_rank=False):
        factor = values.__wrapped__
        key = "contrasts" if reduced_rank else "dummies"
        if key not in encoder_state:
            encoder_state["levels"] = factor.levels
            encoder_state[key] = factor.contrasts if reduced_rank else (np.eye(len(factor.levels)), factor.levels)
        matrix, names = encoder_state[key]
        columns = {name: _code_column(matrix[:, j], factor.codes) for j, name in enumerate(names)}
        if len(columns) < len(names):
            raise DataError("two columns of the contrasts have the same name; name each differently.")
        return FactorValues(columns, kind="categorical", format=_FORMAT, spans_intercept=False)

    @override
    def _flatten_encoded_evaled_factor(self, name, values):
        if not isinstance(values, dict):
            return {name: values}
        return {name + field: np.asarray(column) for field, column in values.items()}

    @override
    def _get_columns_for_term(self, factors, spec, scale=1):
        names = [":".join(reversed(names)) for names in itertools.product(*reversed(factors))]
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise DataError(f"an interaction has two columns called '{twice}', because ':' occurs in levels; rename the levels.")
        return super()._get_columns_for_term(factors, spec, scale)

    @override
    def _combine_columns(self, cols, spec, drop_rows):
        matrix = np.empty((self.nrows, len(cols)), order="F")
        for j, (_, column) in enumerate(cols):
            matrix[:, j] = column
        return matrix


def _code_column(column, codes):
    """Return one coded column, NaN where the level is missing."""
    return np.append(column, np.nan)[codes]


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

    def __init__(self, terms, contrasts=None):
        self.terms = terms
        self.contrasts = contrasts or {}
        self.names, self.assign, self.levels = [], np.empty(0, dtype=int), {}
        self._spec, self._codings = None, {}

    def build(self, variables, n):
        """Make the matrix for the first time and remember its structure.

        Parameters
        ----------
        variables : dict of str to value
            Evaluated variables, rows chosen, unused levels dropped.
        n : int

        Returns
        -------
        ndarray, shape (n, p), Fortran order

        Raises
        ------
        DataError
            If a factor has fewer than two levels.
        """
        if not self.terms.intercept and not self.terms.terms:
            return np.empty((n, 0), order="F")
        used = dict.fromkeys(name for term in self.terms.terms for name in term)
        values = {}
        for name in used:
            value = variables[name].as_factor() if isinstance(variables[name], Logical) else variables[name]
            if isinstance(value, Factor):
                if len(value.levels) < 2:
                    raise DataError(f"the factor '{name}' has {len(value.levels)} level ({', '.join(value.levels)}) in the rows used; contrasts need at least 2. Leave it out of the formula.")
                asked = self.contrasts.get(name) if value.contrasts is None else value.contrasts
                self._codings[name] = ("contr.poly" if value.ordered else "contr.treatment") if asked is None else asked
                coding = coding_matrix(asked, value.levels, value.ordered, name)
                value = Factor(value.codes, value.levels, value.ordered, contrasts=coding)
                self.levels[name] = value.levels
            values[name] = value
        terms = [Term([FormulaicFactor("1", eval_method="literal")])] if self.terms.intercept else []
        terms += [Term([FormulaicFactor(name, eval_method="lookup") for name in members]) for members in self.terms.terms]
        spec = ModelSpec(formula=SimpleFormula(terms, _ordering="none"), output="numpy", na_action="ignore")
        matrix, self._spec = self._materialize(spec, values, n)
        counts = [(0 if self.terms.intercept else 1) + i for i, entry in enumerate(self._spec.structure) for _ in entry.columns]
        self.assign = np.array(counts, dtype=int)
        self.names = [
            name if assign else INTERCEPT
            for assign, name in zip(self.assign, (c for entry in self._spec.structure for c in entry.columns), strict=True)
        ]
        return matrix

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
        if self._spec is None:
            return np.empty((n, 0), order="F")
        used = {name for term in self.terms.terms for name in term}
        values = {name: self._on_known_levels(name, variables[name]) for name in used}
        matrix = self._materialize(self._spec, values, n)[0]
        gone = np.isnan(matrix).any(axis=1)
        matrix[gone] = np.nan
        return matrix

    def _on_known_levels(self, name, value):
        if isinstance(value, Logical) and name in self.levels:
            value = value.as_factor()
        if isinstance(value, Factor) != (name in self.levels):
            if name in self.levels and isinstance(value, np.ndarray) and np.isnan(value).all():
                return Factor(np.full(len(value), -1, dtype=np.int32), self.levels[name])
            kinds = ("a factor", "numeric") if name in self.levels else ("numeric", "text or a factor")
            raise DataError(f"'{name}' was {kinds[0]} in the data of the fit and is {kinds[1]} in the new data; give the same kind of values.")
        if not isinstance(value, Factor):
            return value
        known = {text: i for i, text in enumerate(self.levels[name])}
        lookup = np.array([known.get(text, -1) for text in value.levels] + [-1], dtype=np.int32)
        codes = lookup[value.codes]
        unseen = np.flatnonzero((codes < 0) & (value.codes >= 0))
        if len(unseen):
            found = list(dict.fromkeys(value.levels[value.codes[i]] for i in unseen[:1000]))
            shown = ", ".join(f"'{text}'" for text in found[:5]) + (" ..." if len(found) > 5 else "")
            raise DataError(f"column '{name}' has the level{'s' if len(found) > 1 else ''} {shown} in the new data, which the fit has no coefficient for; it knows {_listed(self.levels[name])}.")
        return Factor(codes, self.levels[name], value.ordered)

    def _materialize(self, spec, values, n):
        materializer = _RMaterializer(values, n=n)
        result = materializer.get_model_matrix(spec)
        made = result.model_spec
        return np.asarray(getattr(result, "__wrapped__", result)), made


def _listed(levels, most=12):
    shown = ", ".join(f"'{text}'" for text in levels[:most])
    return shown + (f" and {len(levels) - most} more" if len(levels) > most else "")
