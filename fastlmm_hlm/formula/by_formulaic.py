"""Columns of a model matrix by formulaic, with R's rules for coding and naming.

formulaic walks the terms, asks for each factor's columns, multiplies them and
remembers the structure for new data; this subclass of its pandas materializer
decides, as R does, which factors get contrasts, and names columns in R's way.
Needed only for terms with calls of several columns such as poly(x, 2).
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
from fastlmm_hlm.formula.direct import TWIN_CODINGS, code_column, refuse_twins
from fastlmm_hlm.formula.terms import full_dummy_factors
from fastlmm_hlm.formula.values import Factor, Logical, Matrix

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

    Attributes
    ----------
    columns : list of ndarray, shape (n,) each
        Of the matrix just made, which is never put together.
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
        columns = {name: code_column(matrix[:, j], factor.codes) for j, name in enumerate(names)}
        if len(columns) < len(names):
            raise DataError(TWIN_CODINGS)
        return FactorValues(columns, kind="categorical", format=_FORMAT, spans_intercept=False)

    @override
    def _flatten_encoded_evaled_factor(self, name, values):
        if not isinstance(values, dict):
            return {name: values}
        return {name + field: np.asarray(column) for field, column in values.items()}

    @override
    def _get_columns_for_term(self, factors, spec, scale=1):
        names = [":".join(reversed(names)) for names in itertools.product(*reversed(factors))]
        refuse_twins(names)
        return super()._get_columns_for_term(factors, spec, scale)

    @override
    def _combine_columns(self, cols, spec, drop_rows):
        self.columns = [column for _, column in cols]
        return np.empty((self.nrows, 0))


def formulaic_spec(terms):
    """Return the specification of a matrix that was not made yet.

    Parameters
    ----------
    terms : TermList

    Returns
    -------
    formulaic.ModelSpec
    """
    listed = [Term([FormulaicFactor("1", eval_method="literal")])] if terms.intercept else []
    listed += [Term([FormulaicFactor(name, eval_method="lookup") for name in members]) for members in terms.terms]
    return ModelSpec(formula=SimpleFormula(listed, _ordering="none"), output="numpy", na_action="ignore")


def formulaic_columns(spec, values, n):
    """Make the columns of a matrix.

    Parameters
    ----------
    spec : formulaic.ModelSpec
        From `formulaic_spec`, or as it was returned for the data of the fit.
    values : dict of str to value
        Factors with their codings.
    n : int

    Returns
    -------
    columns : list of ndarray, shape (n,) each
    names : list of list of str
        Of the columns of each term, the intercept included.
    spec : formulaic.ModelSpec
    """
    materializer = _RMaterializer(values, n=n)
    made = materializer.get_model_matrix(spec).model_spec
    columns = [np.asarray(column) for column in materializer.columns]
    return columns, [list(entry.columns) for entry in made.structure], made
