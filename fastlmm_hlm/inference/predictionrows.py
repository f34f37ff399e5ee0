"""The rows that a prediction is made for: those of the fit, or new data.

Both give the same blocks: columns of X that the fit kept, and per grouping factor
the level codes and the columns whose effects are wanted.
"""

from dataclasses import dataclass

import numpy as np

from fastlmm_hlm._core import kernels
from fastlmm_hlm.design.columns import dense
from fastlmm_hlm.formula.newrows import NewRows


@dataclass(frozen=True)
class FactorRows:
    """One grouping factor in some rows.

    Attributes
    ----------
    factor : int
        Its number in the fit.
    which : ndarray of int
        The columns that are wanted, among the factor's.
    codes : ndarray of int32 (k,)
        -1 for a level without effects.
    columns : list of (ndarray (k,) or None)
        Those that are wanted, in the order of `which`.
    """

    factor: int
    which: np.ndarray
    codes: np.ndarray
    columns: list


@dataclass(frozen=True)
class PredictionBlock:
    """Some rows: n, columns of X (none where the fixed part is not wanted), factors, offset or None."""

    n: int
    x_columns: list
    factors: list
    offset: object

    def add_up(self, beta, b, out):
        """offset + X beta + Z b into out, (n,); `b` are arrays (nl, which) of the factors."""
        out[:] = 0.0 if self.offset is None else self.offset
        if self.x_columns:
            kernels.add_fixed(kernels.Columns([(column, 0.0) for column in self.x_columns]), beta, out)
        for part, effects in zip(self.factors, b, strict=True):
            kernels.add_effects(part.codes, kernels.Columns([(column, 0.0) for column in part.columns]), effects, out)

    def x(self, p):
        """X, (n, p); zeros without the fixed part."""
        return dense(self.x_columns, self.n) if self.x_columns else np.zeros((self.n, p))


class RowsOfFit:
    """The rows of a fit.

    Parameters
    ----------
    fit : LinearMixedModel
    chosen : list of ndarray of bool, one per term
        The random-effects columns that are wanted.
    fixed : bool
        Whether the fixed part and the offset are.
    caller : str
    """

    def __init__(self, fit, chosen, fixed, caller):
        self.rows = fit._rows_or_raise(caller)
        self.design, self.n, self.fixed = self.rows.design, self.rows.design.n, fixed
        self.wanted = wanted_columns(fit, chosen)

    def block(self, rows):
        """PredictionBlock of a slice of rows."""
        def some(column):
            return None if column is None else column[rows]

        design, factors = self.design, []
        for f, which in self.wanted.items():
            factor = design.factors[f]
            factors.append(FactorRows(f, which, factor.codes[rows], [some(factor.columns[j]) for j in which]))
        x = [some(column) for column in design.x_columns] if self.fixed else []
        n = len(range(*rows.indices(self.n)))
        return PredictionBlock(n, x, factors, some(design.offset) if self.fixed else None)

    def refuse_unknown(self):
        """Every level is known."""


class RowsOfNewData:
    """New data; arguments as for `RowsOfFit`."""

    def __init__(self, fit, newdata, chosen, fixed, caller):
        self.wanted = wanted_columns(fit, chosen)
        self.terms = [k for k, columns in enumerate(chosen) if columns.any()]
        self.kept, self.fixed = fit._kept_columns, fixed
        self.of_term = [(fit._terms[k].factor, fit._terms[k].columns.start, np.flatnonzero(chosen[k])) for k in self.terms]
        self.new = NewRows(fit._spec, newdata, self.terms, fixed, caller)
        self.n, self.index, self.refuse_unknown = self.new.n, self.new.index, self.new.refuse_unknown

    def block(self, rows):
        """PredictionBlock of a slice of rows."""
        made, factors = self.new.block(rows), []
        for f, which in self.wanted.items():
            columns, codes = {}, None
            for (factor, start, chosen), z, code in zip(self.of_term, made.z_columns, made.codes):
                if factor == f:
                    columns.update((start + j, z[j]) for j in chosen)
                    codes = code
            factors.append(FactorRows(f, which, codes, [columns[j] for j in which]))
        x = [made.x_columns[j] for j in self.kept] if self.fixed else []
        return PredictionBlock(made.n, x, factors, made.offset)


def wanted_columns(fit, chosen):
    """Grouping factor -> columns that are wanted, ndarray of int; factors without any are left out."""
    wanted = {}
    for term, columns in zip(fit._terms, chosen, strict=True):
        if columns.any():
            wanted.setdefault(term.factor, []).extend(term.columns.start + np.flatnonzero(columns))
    return {f: np.sort(which) for f, which in sorted(wanted.items())}


def rows_for(fit, newdata, chosen, fixed, caller):
    """RowsOfFit, or RowsOfNewData."""
    if newdata is None:
        return RowsOfFit(fit, chosen, fixed, caller)
    return RowsOfNewData(fit, newdata, chosen, fixed, caller)


def slices(n, size):
    """Slices of at most `size` rows that cover 0 .. n."""
    return [slice(first, min(first + size, n)) for first in range(0, n, size)]
