"""The design of one model: response, fixed columns, grouping factors and their columns.

All random-effects terms of one grouping factor are put side by side, since the
cross-products of a factor's rows do not care how its columns are divided into
terms; the terms say how the covariance of those columns is structured.
"""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from fastlmm_hlm.design.basis import Centring, centring, no_centring
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
    y : ndarray (n,)          X : ndarray (n, p), Fortran order
    x_names : list of str     x_centring : Centring
    weights, offset : ndarray (n,) or None
    factors : list of GroupingFactor, terms : list of RandomTerm (lme4's order)
    """

    y: np.ndarray
    X: np.ndarray
    x_names: list
    x_centring: Centring
    weights: np.ndarray | None
    offset: np.ndarray | None
    factors: list
    terms: list

    @property
    def n(self):
        return len(self.y)

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
            X=np.asfortranarray(self.X[:, kept]),
            x_names=[self.x_names[j] for j in kept],
            x_centring=basis if whole else no_centring(len(kept)),
        )

    def with_response(self, y):
        """The same design for another response, shape (n,)."""
        return replace(self, y=np.ascontiguousarray(y, dtype=float))


def _ones_columns(X, assign):
    """Columns of X whose sum is the constant 1: the intercept, or a full set of dummies."""
    if 0 in assign:
        return np.flatnonzero(np.asarray(assign) == 0)
    for term in np.unique(assign):
        columns = np.flatnonzero(assign == term)
        block = X[:, columns]
        if len(columns) > 1 and np.array_equal(block.sum(axis=1), np.ones(len(X))):
            return columns
    return np.array([], dtype=int)


def _moments(columns):
    means = np.array([1.0 if c is None else c.mean() for c in columns])
    sds = np.array([0.0 if c is None else c.std() for c in columns])
    return means, sds


def _factor_and_terms(index, group):
    """One grouping factor from the frame's terms that share it."""
    columns, names, terms, blocks = [], [], [], []
    for part in group:
        own = [None if name == "(Intercept)" else part.Z[:, j] for j, name in enumerate(part.names)]
        covariance = covariance_structure(part.covariance, len(own), part.hom)
        ones = [j for j, c in enumerate(own) if c is None]
        blocks.append(centring(*_moments(own), ones) if covariance.may_change_basis else no_centring(len(own)))
        where = slice(len(columns), len(columns) + len(own))
        terms.append(RandomTerm(index, where, list(part.names), covariance, part.text))
        columns += own
        names += part.names
    centre = np.concatenate([block.centre for block in blocks])
    B = np.zeros((len(columns), len(columns)))
    for term, block in zip(terms, blocks):
        B[term.columns, term.columns] = block.B
    first = group[0]
    factor = GroupingFactor(first.group, first.levels, _own(first.codes), columns, names, Centring(centre, B))
    return factor, terms


def _own(values):
    """values, copied unless nobody else holds them: users may change their data after the fit."""
    return values if values is None or values.flags.owndata else values.copy()


# Squares and their sums over rows stay within double precision between these.
SMALLEST, LARGEST = 1e-100, 1e100


def check_magnitude(values, name):
    """Refuse a column whose squares overflow or vanish.

    Parameters
    ----------
    values : ndarray (n,) or None
    name : str
        For the message.

    Raises
    ------
    DataError
    """
    if values is None:
        return
    size = float(max(-values.min(), values.max()))
    if size > LARGEST or 0 < size < SMALLEST:
        raise DataError(
            f"{name} has values of size {size:.3g}; a fit works with squares, so they must lie between {SMALLEST:g} "
            f"and {LARGEST:g}. Choose another unit."
        )


def build_design(frame):
    """The design of a model frame.

    Parameters
    ----------
    frame : fastlmm_hlm.formula.ModelFrame

    Returns
    -------
    Design
    """
    order = list(dict.fromkeys(part.group for part in frame.random))
    groups = [[part for part in frame.random if part.group == name] for name in order]
    factors, by_part = [], {}
    for index, group in enumerate(groups):
        factor, terms = _factor_and_terms(index, group)
        factors.append(factor)
        by_part.update((id(part), term) for part, term in zip(group, terms))
    X = np.asfortranarray(frame.X, dtype=float)
    means, sds = X.mean(axis=0), X.std(axis=0)
    return Design(
        y=np.array(frame.y, dtype=float),
        X=X,
        x_names=list(frame.x_names),
        x_centring=centring(means, sds, _ones_columns(X, np.asarray(frame.assign))),
        weights=_own(frame.weights),
        offset=_own(frame.offset),
        factors=factors,
        terms=[by_part[id(part)] for part in frame.random],
    )
