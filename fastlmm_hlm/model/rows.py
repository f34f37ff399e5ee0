"""Results that have one number per row; they need the rows of the fit."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import sparse

from fastlmm_hlm.errors import ArgumentError


@dataclass(frozen=True)
class Rows:
    """The rows of a fit.

    Attributes
    ----------
    design : Design
    index : pandas.Index
        Labels of the rows used, length n.
    positions : ndarray of int64 or None
        Their places in the data that were given; None when all were used.
    n_input : int
    padded : ndarray of int64 or None, padded_index : pandas.Index or None
        With na_action="exclude": positions and labels that results are padded to.
    """

    design: object
    index: pd.Index
    positions: np.ndarray | None
    n_input: int
    padded: np.ndarray | None = None
    padded_index: pd.Index | None = None

    def series(self, values, name):
        """Series aligned with the data; NaN in the rows that na_action="exclude" keeps."""
        if self.padded is None:
            return pd.Series(values, index=self.index, name=name)
        out = np.full(len(self.padded), np.nan)
        own = np.arange(self.n_input) if self.positions is None else self.positions
        out[np.searchsorted(self.padded, own)] = values
        return pd.Series(out, index=self.padded_index, name=name)

    def select(self, values, what):
        """Values for the rows of the fit, from a vector for these rows or for all rows of the data.

        Raises
        ------
        ArgumentError
            If the length fits neither, or a value is not finite.
        """
        if isinstance(values, pd.DataFrame):
            if values.shape[1] != 1:
                raise ArgumentError(
                    f"{what}: the data frame has {values.shape[1]} columns, expected 1; apply it column by column."
                )
            values = values.iloc[:, 0]
        n = len(self.index)
        if isinstance(values, pd.Series):
            values = _by_label(values, self.index)
        array = _real_numbers(values, what)
        if array.ndim != 1 or len(array) not in (n, self.n_input):
            raise ArgumentError(
                f"{what}: got shape {array.shape}, expected ({n},), one number per row of the fit"
                + (f", or ({self.n_input},), one per row of the data." if self.n_input != n else ".")
            )
        if len(array) != n:
            array = array[self.positions]
        if not np.isfinite(array).all():
            where = int(np.flatnonzero(~np.isfinite(array))[0])
            raise ArgumentError(f"{what}: the value in row {self.index[where]!r} is {array[where]}; all must be finite.")
        return array


def _real_numbers(values, what):
    """values as an array of float.

    Raises
    ------
    ArgumentError
        For text, complex numbers and other values that are no real numbers.
    """
    array = np.asarray(values)
    try:
        if array.dtype.kind in "biufO":
            return array.astype(float)
    except (TypeError, ValueError):
        pass
    shown = repr(array.flat[0]) if array.size else "nothing"
    kind = "complex numbers" if array.dtype.kind == "c" else "values"
    raise ArgumentError(f"{what}: got {kind} such as {shown}; expected one real number per row.")


def _by_label(series, index):
    """The series in the order of index when both have the same labels, each once; as it is otherwise."""
    if series.index.equals(index) or not (series.index.is_unique and index.is_unique):
        return series
    if not index.isin(series.index).all():
        return series
    return series.reindex(index)


def linear_predictor(design, beta, b=None):
    """offset + X beta (+ Z b), (n,).

    Parameters
    ----------
    design : Design
    beta : ndarray (p,)
    b : list of ndarray (nl, nc) or None
        Random effects in the user's columns; None leaves them out.
    """
    mu = design.fixed_part(beta)
    if design.offset is not None:
        mu += design.offset
    for factor, effects in zip(design.factors, b if b is not None else ()):
        for j, column in enumerate(factor.columns):
            part = effects[factor.codes, j]
            mu += part if column is None else part * column
    return mu


def random_model_matrix(design):
    """Z with one block per term in lme4's order, sparse (n, q), and the columns of each term.

    Returns
    -------
    Z : scipy.sparse.csc_array
    list of csc_array, one per term
    """
    blocks, n = [], design.n
    for term in design.terms:
        factor = design.factors[term.factor]
        columns = factor.columns[term.columns]
        c = len(columns)
        data = np.column_stack([np.ones(n) if col is None else col for col in columns]).ravel()
        rows = np.repeat(np.arange(n), c)
        cols = (factor.codes.astype(np.int64)[:, None] * c + np.arange(c)).ravel()
        blocks.append(sparse.csc_array((data, (rows, cols)), shape=(n, c * len(factor.levels))))
    return sparse.hstack(blocks, format="csc"), blocks
