"""The design of one model: response, fixed columns, grouping factors and their columns.

All random-effects terms of one grouping factor are put side by side, since the
cross-products of a factor's rows do not care how its columns are divided into
terms; the terms say how the covariance of those columns is structured.
"""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from fastlmm_hlm._core import kernels
from fastlmm_hlm.design.basis import Centring, centring, no_centring
from fastlmm_hlm.design.columns import dense, times
from fastlmm_hlm.design.covariance import covariance_structure
from fastlmm_hlm.errors import DataError


@dataclass(frozen=True)
class GroupingFactor:
    """One grouping factor with the columns of all its terms.

    Attributes
    ----------
    name : str
    levels : pandas.Index, length nl
    codes : ndarray of int32, shape (n,)
        Level of each row.
    columns : list of (ndarray of shape (n,) or None)
        Raw columns; None is the constant 1.
    names : list of str
        Names of the columns.
    centring : Centring
        Basis in which the columns enter the cross-products.
    """

    name: str
    levels: pd.Index
    codes: np.ndarray
    columns: list
    names: list
    centring: Centring


@dataclass(frozen=True)
class RandomTerm:
    """One random-effects term: a slice of its factor's columns and their covariance.

    Attributes
    ----------
    factor : int
        Index of the grouping factor in the design.
    columns : slice
        Its columns among the factor's.
    names : list of str
    covariance : one of the classes of `fastlmm_hlm.design.covariance`
    text : str
        As in the formula, e.g. "(Days | Subject)".
    """

    factor: int
    columns: slice
    names: list
    covariance: object
    text: str


@dataclass(frozen=True)
class Design:
    """Everything that is known row by row.

    Attributes
    ----------
    y : ndarray (n,)
    x_columns : list of (ndarray (n,) or None)
        Columns of X, see `design.columns`; None is the constant 1.
    x_names : list of str
    x_centring : Centring
    weights, offset : ndarray (n,) or None
    factors : list of GroupingFactor
    terms : list of RandomTerm
        In lme4's order.
    """

    y: np.ndarray
    x_columns: list
    x_names: list
    x_centring: Centring
    weights: np.ndarray | None
    offset: np.ndarray | None
    factors: list
    terms: list

    @property
    def n(self):
        return len(self.y)

    @property
    def p(self):
        return len(self.x_names)

    @property
    def X(self):
        """The fixed-effects model matrix, (n, p), made on demand."""
        return dense(self.x_columns, self.n)

    def fixed_part(self, beta):
        """X beta, (n,)."""
        return times(self.x_columns, beta, self.n)

    def with_fixed_columns(self, kept):
        """The same design with only some columns of X, in the user's own basis.

        Parameters
        ----------
        kept : sequence of int

        Returns
        -------
        Design
        """
        kept = np.asarray(kept, dtype=int)
        ones = np.flatnonzero((self.x_centring.B != np.eye(len(self.x_names))).any(axis=1))
        whole = np.isin(ones, kept).all()
        basis = Centring(self.x_centring.centre[kept], self.x_centring.B[np.ix_(kept, kept)])
        return replace(
            self,
            x_columns=None if self.x_columns is None else [self.x_columns[j] for j in kept],
            x_names=[self.x_names[j] for j in kept],
            x_centring=basis if whole else no_centring(len(kept)),
        )

    def with_response(self, y):
        """The same design for another response, shape (n,)."""
        return replace(self, y=np.ascontiguousarray(y, dtype=float))


def _ones_columns(columns, assign):
    """Columns of X whose sum is the constant 1: the intercept, or a full set of dummies."""
    if 0 in assign:
        return np.flatnonzero(assign == 0)
    for term in np.unique(assign):
        of_term = np.flatnonzero(assign == term)
        if len(of_term) > 1 and all(columns[j] is not None for j in of_term):
            total = sum(columns[j] for j in of_term)
            if (total == 1.0).all():
                return of_term
    return np.array([], dtype=int)


class _Moments:
    """Mean and standard deviation of columns, each looked at once, sizes checked on the way."""

    def __init__(self):
        self.known = {}

    def __call__(self, column, name):
        if column is None:
            return 1.0, 0.0
        if id(column) not in self.known:
            low, high, mean, sd = kernels.column_moments(np.ascontiguousarray(column, dtype=float))
            check_size(low, high, name)
            self.known[id(column)] = column, mean, sd    # kept, so that no other column takes its id
        return self.known[id(column)][1:]

    def of(self, columns, names):
        """Means and standard deviations, (k,) each."""
        pairs = [self(column, f"'{name}'") for column, name in zip(columns, names)]
        return np.array([mean for mean, _ in pairs]), np.array([sd for _, sd in pairs])


def _factor_and_terms(index, group, moments):
    """One grouping factor from the frame's terms that share it."""
    columns, names, terms, blocks = [], [], [], []
    for part in group:
        own = list(part.columns)
        covariance = covariance_structure(part.covariance, len(own), part.hom)
        ones = [j for j, c in enumerate(own) if c is None]
        means, sds = moments.of(own, part.names)
        blocks.append(centring(means, sds, ones) if covariance.may_change_basis else no_centring(len(own)))
        where = slice(len(columns), len(columns) + len(own))
        terms.append(RandomTerm(index, where, list(part.names), covariance, part.text))
        columns += own
        names += part.names
    centre = np.concatenate([block.centre for block in blocks])
    B = np.zeros((len(columns), len(columns)))
    for term, block in zip(terms, blocks):
        B[term.columns, term.columns] = block.B
    first = group[0]
    factor = GroupingFactor(first.group, first.levels, first.codes, columns, names, Centring(centre, B))
    return factor, terms


# Squares and their sums over rows stay within double precision between these.
SMALLEST, LARGEST = 1e-100, 1e100


def check_size(low, high, name):
    """Refuse a column whose squares overflow or vanish.

    Parameters
    ----------
    low, high : float
        Its least and largest value.
    name : str
        For the message.

    Raises
    ------
    DataError
    """
    size = max(-low, high)
    if size > LARGEST or 0 < size < SMALLEST:
        raise DataError(
            f"{name} has values of size {size:.3g}; a fit works with squares, so they must lie between {SMALLEST:g} "
            f"and {LARGEST:g}. Choose another unit."
        )


def check_magnitude(values, name):
    """The same for an array (n,), or None."""
    if values is not None:
        low, high, _, _ = kernels.column_moments(np.ascontiguousarray(values, dtype=float))
        check_size(low, high, name)


def build_design(frame):
    """The design of a model frame.

    Parameters
    ----------
    frame : fastlmm_hlm.formula.ModelFrame

    Returns
    -------
    Design
    """
    check_magnitude(frame.y, f"the response '{frame.response}'")
    check_magnitude(frame.weights, "weights")
    check_magnitude(frame.offset, "offset")
    moments = _Moments()
    order = list(dict.fromkeys(part.group for part in frame.random))
    groups = [[part for part in frame.random if part.group == name] for name in order]
    x_means, x_sds = moments.of(frame.x_columns, frame.x_names)
    factors, by_part = [], {}
    for index, group in enumerate(groups):
        factor, terms = _factor_and_terms(index, group, moments)
        factors.append(factor)
        by_part.update((id(part), term) for part, term in zip(group, terms))
    ones = _ones_columns(frame.x_columns, np.asarray(frame.assign))
    return Design(
        y=frame.y,
        x_columns=list(frame.x_columns),
        x_names=list(frame.x_names),
        x_centring=centring(x_means, x_sds, ones),
        weights=frame.weights,
        offset=frame.offset,
        factors=factors,
        terms=[by_part[id(part)] for part in frame.random],
    )
