"""Models driven from arrays of columns through the design and criterion floors."""

from types import SimpleNamespace

import numpy as np
import pandas as pd

from fastlmm_hlm.criterion.lmm import LmmCriterion
from fastlmm_hlm.design.crossprod import choose_shift, cross_products
from fastlmm_hlm.design.design import build_design
from reference.lmm_dense import DenseLmm, indicator_columns


def columns_of(matrix):
    """The columns of a matrix as the formula floor gives them: None for the constant 1."""
    return [None if (column == 1.0).all() else np.ascontiguousarray(column, dtype=float) for column in matrix.T]


class Term(SimpleNamespace):
    """A random term made from a matrix Z."""

    columns = property(lambda self: columns_of(self.Z))


class Frame(SimpleNamespace):
    """A model frame made from a matrix X."""

    response = "y"
    x_columns = property(lambda self: columns_of(self.X))


def term(group, values, Z, names, covariance="us", hom=None):
    """One random-effects term: (names | group)."""
    codes, levels = pd.factorize(np.asarray(values), sort=True)
    return Term(
        group=group, levels=pd.Index(levels), codes=codes.astype(np.int32), Z=np.asfortranarray(Z, dtype=float),
        names=list(names), covariance=covariance, hom=hom, text=f"({' + '.join(names)} | {group})",
    )


def frame(y, X, random, names=None, weights=None, offset=None):
    """What the formula floor hands to the design floor; the first column of X is the intercept."""
    X = np.asarray(X, dtype=float)
    names = [f"x{j}" for j in range(X.shape[1])] if names is None else names
    return Frame(
        y=np.asarray(y, dtype=float), X=X, x_names=names, assign=np.arange(X.shape[1]), weights=weights, offset=offset,
        random=random,
    )


def criterion_of(data, reml=True, block_rows=None):
    """LmmCriterion of a frame, and its design."""
    design = build_design(data)
    products = cross_products(design, choose_shift(design), block_rows)
    return LmmCriterion(products, design.terms, [factor.centring for factor in design.factors], reml), design


def user_Z(data):
    """Z in the user's columns, term by term as listed in the frame, (n, sum of nl * nc)."""
    return np.hstack([indicator_columns(t.codes, len(t.levels), t.Z) for t in data.random])


def user_covariance(data, Psi):
    """Var(b) / sigma^2 in the order of `user_Z`, from one Psi per term."""
    from reference.arrays import block_diagonal

    return block_diagonal([np.kron(np.eye(len(t.levels)), P) for t, P in zip(data.random, Psi)])


def dense_lmm(data, Psi, reml):
    """The definition of a frame's model with covariance Psi (c, c) per term, user's columns."""
    y = data.y if data.offset is None else data.y - data.offset
    w = np.ones(len(y)) if data.weights is None else data.weights
    return DenseLmm(y, data.X, user_Z(data), user_covariance(data, Psi), w, reml)


def dense_at(criterion, data, par):
    """The definition at the working parameters of a criterion."""
    return dense_lmm(data, [T @ T.T for T in criterion.templates(par)], criterion.reml)


def simulated(seed, groups, columns, *, p=2, n=120, covariance="us", hom=None, weighted=False, offset=False,
              slope_mean=0.0):
    """A frame with crossed factors of `groups` levels and `columns` columns each."""
    rng = np.random.default_rng(seed)
    x = rng.normal(slope_mean, 1.0, size=(n, max([p, *columns])))
    x[:, 0] = 1.0
    y = x[:, :p] @ rng.normal(size=p) + rng.normal(size=n)
    terms = []
    for k, (levels, nc) in enumerate(zip(groups, columns)):
        codes = rng.permutation(np.arange(n) % levels)
        names = ["(Intercept)", *(f"x{j}" for j in range(1, nc))]
        y = y + (x[:, :nc] * rng.normal(size=(levels, nc))[codes]).sum(axis=1) * 0.7
        terms.append(term(f"g{k}", codes, x[:, :nc], names, covariance, hom))
    w = rng.uniform(0.3, 2.0, size=n) if weighted else None
    return frame(y, x[:, :p], terms, weights=w, offset=rng.normal(size=n) if offset else None)
