"""Joint tests of linear functions, and of all terms of a model."""

from dataclasses import replace
from itertools import combinations, product
from math import prod

import numpy as np
import pandas as pd
from scipy import special

from fastlmm_hlm.errors import ArgumentError
from fastlmm_hlm.inference.emmeans.specs import check_names
from fastlmm_hlm.report.emm import EmmTable

# A row adds nothing when less than this share of its length is left after projection.
DEPENDENT = 1e-8
FOOTNOTES = {"d": "d: df1 reduced due to linear dependence ", "e": "e: df1 reduced due to non-estimability "}
CONFOUNDED = "(confounded)"


def orthonormal_rows(L):
    """Orthonormal rows that span those of L, made one after another; dependent rows are left out."""
    kept = np.zeros((0, L.shape[1]))
    for row in L:
        length = np.linalg.norm(row)
        for _ in range(2):
            row = row - (row @ kept.T) @ kept
        left = np.linalg.norm(row)
        if length > 0 and left > DEPENDENT * length:
            kept = np.vstack([kept, row / left])
    return kept


def estimable_part(L, null_basis):
    """Combinations of the rows of L that are estimable; L itself if all are."""
    L = L[~np.isnan(L).any(axis=1)]
    if not null_basis.shape[1] or not len(L):
        return L
    u, s, _ = np.linalg.svd(L @ null_basis)
    rank = int((s > DEPENDENT * np.abs(L).sum(axis=1).max()).sum())
    return L if rank == 0 else u[:, rank:].T @ L


def wald_test(grid, L, offset=None):
    """F test of L beta = 0.

    The denominator degrees of freedom are the smallest of those of the rows of L made
    orthonormal one after another, as in emmeans; with several rows they depend a little on the
    order of the rows and on the coding of factors.  ``anova(fit)`` has Kenward and Roger's own.

    Parameters
    ----------
    grid : EmmGrid
        Gives beta, covariances and degrees of freedom.
    L : ndarray, shape (k, p_all)
        Estimable.
    offset : ndarray, shape (k,), optional
        Added to L beta.

    Returns
    -------
    df1 : int
    df2, F, p : float
    """
    augmented = np.column_stack([L, np.zeros(len(L)) if offset is None else offset])
    Q = orthonormal_rows(L)
    if not len(Q):
        return 0, np.nan, np.nan, np.nan
    T = np.linalg.lstsq(L.T, Q.T, rcond=None)[0].T      # Q = T L
    value = Q[:, grid.kept] @ grid.beta[grid.kept] + T @ augmented[:, -1]
    own = Q[:, grid.kept]
    V = own @ grid.method.vcov @ own.T
    F = float(value @ np.linalg.solve(V, value)) / len(Q)
    df2 = float(np.min(grid.method.df(own)))
    p = special.chdtrc(len(Q), F * len(Q)) if np.isinf(df2) else special.fdtrc(len(Q), df2, F)
    return len(Q), df2, F, float(p)


def joint_test(grid):
    """One F test for all rows of each group.

    Parameters
    ----------
    grid : EmmGrid

    Returns
    -------
    EmmTable
        Columns of the groups, df1, df2, F.ratio, p.value, and note where df1 is reduced.
    """
    rows = []
    for own in grid.groups():
        row = {name: grid.labels[name].iloc[own[0]] for name in grid.by}
        L, offset = grid.linfct[own], grid.offset[own] - grid.null
        rows.append({**row, **_tested(grid, L, offset)})
    return _table(rows, grid.by, [])


def _tested(grid, L, offset=None):
    """One line of a table of tests."""
    part = estimable_part(L, grid.null_basis)
    if offset is not None and part.shape == L.shape:
        df1, df2, F, p = wald_test(grid, part, offset)
    else:
        df1, df2, F, p = wald_test(grid, part)
    note = "e" if len(part) < len(L) else "d" if df1 < len(L) else ""
    return {"df1": df1, "df2": df2, "F.ratio": F, "p.value": p, "note": note}


def _table(rows, labels, by, heads=()):
    frame = pd.DataFrame(rows)
    used = [text for key, text in FOOTNOTES.items() if (frame["note"] == key).any()]
    if not used:
        frame = frame.drop(columns="note")
    return EmmTable.of(frame, labels=list(labels), by=list(by), heads=list(heads), notes=used)


def joint_tests(object, by=None, at=None, cov_reduce=None, ddf=None, show0df=False):
    """F tests of all terms of a model, each from contrasts of marginal means: tests of type III.

    Parameters
    ----------
    object : LinearMixedModel or EmmGrid
    by : str or list of str, optional
        Predictors for each of whose levels the tests of the others are made.
    at, cov_reduce, ddf
        As for `emmeans`; a covariate stands by default at its mean minus and plus 1, so that its
        slope is tested.
    show0df : bool
        Also show terms of which nothing can be estimated.

    Returns
    -------
    EmmTable
        Columns "model term", df1, df2, F.ratio, p.value.

    Raises
    ------
    ArgumentError
        As for `emmeans`, or if the object is neither.
    """
    from fastlmm_hlm.inference.emmeans.means import ref_grid
    from fastlmm_hlm.inference.emmeans.result import EmmGrid

    if isinstance(object, EmmGrid):
        grid = object
    elif hasattr(object, "_spec"):
        grid = ref_grid(object, at=at, cov_reduce=around_mean if cov_reduce is None else cov_reduce, ddf=ddf)
    else:
        raise ArgumentError(f"joint_tests: expected a fitted model or the result of emmeans(), got {type(object).__name__}.")
    names = grid.by if by is None else [by] if isinstance(by, str) else list(by)
    check_names(names, list(grid.labels.columns), "joint_tests", "by = {!r} is no predictor")
    grid = replace(grid, by=names)
    rows = [row for own in grid.groups() for row in _terms_of_group(grid, own, show0df)]
    if not rows:
        raise ArgumentError("joint_tests: there is nothing to test; the fixed part has no term with two values or more.")
    return _table(rows, ["model term"], names, [note for note in grid.notes if "nesting" in note])


def around_mean(values):
    """Mean - 1 and mean + 1."""
    return np.mean(values) + np.array([-1.0, 1.0])


def _terms_of_group(grid, own, show0df):
    """The tests of one group."""
    labels = grid.labels.iloc[own]
    group = {name: labels[name].iloc[0] for name in grid.by}
    order = [name for name in grid.names if len(grid.levels[name]) > 1]
    terms = set()
    for term in grid.terms:
        for some in _subsets([name for name in term if name in order]):
            outer = {name for inner in some for name in grid.nesting.get(inner, ()) if name not in grid.by}
            terms.add(tuple(name for name in order if name in some or name in outer))
    rows, tested = [], []
    for term in sorted(terms, key=lambda term: (len(term), [order.index(name) for name in term])):
        L = interaction_rows(grid, own, term)
        if L is None:
            continue
        row = _tested(grid, L)
        tested.append(estimable_part(L, grid.null_basis))
        if row["df1"] or show0df:
            rows.append({"model term": ":".join(term), **group, **row})
    if grid.null_basis.shape[1]:
        rest = _not_tested(grid, own, np.vstack(tested))
        if len(rest):
            rows.append({"model term": CONFOUNDED, **group, **_tested(grid, rest)})
    return rows


def _subsets(names):
    """All subsets but the empty one: a model with a:b has means of a, of b and of both."""
    return [some for size in range(1, len(names) + 1) for some in combinations(names, size)]


def interaction_rows(grid, own, term):
    """Interaction contrasts of successive levels of the factors of a term, averaged over all others.

    A nested factor is compared within each level of the factors it is nested in.

    Returns
    -------
    ndarray, shape (contrasts, p_all), or None if there is none
    """
    labels = grid.labels.iloc[own]
    outer = [name for name in term if any(name in grid.nesting.get(other, ()) for other in term)]
    crossed = [name for name in term if name not in outer]
    out = []
    for rows in _split(labels, outer):
        part = labels.iloc[rows]
        present = [[level for level in grid.levels[name] if level in set(part[name])] for name in crossed]
        if min(map(len, present), default=0) < 2:
            continue
        means = [rows[np.all([part[name].to_numpy(dtype=object) == level for name, level in zip(crossed, combo)], axis=0)]
                 for combo in _combinations(present)]
        if len(means) != prod(map(len, present)) or not all(len(m) for m in means):
            raise ArgumentError(f"joint_tests: some combinations of {', '.join(crossed)} do not exist, so that {':'.join(term)} has no test of its own; test contrasts of your choice instead.")
        averages = np.array([np.mean(grid.linfct[own[m]], axis=0) for m in means])
        C = np.ones((1, 1))
        for levels in present:
            C = np.kron(np.diff(np.eye(len(levels)), axis=0), C)
        out.append(C @ averages)
    return np.vstack(out) if out else None


def _combinations(levels):
    return [combo[::-1] for combo in product(*reversed(levels))]


def _split(labels, names):
    """Row numbers for each combination of the names' levels."""
    if not names:
        return [np.arange(len(labels))]
    found = {}
    for i, key in enumerate(map(tuple, labels[names].to_numpy(dtype=object).tolist())):
        found.setdefault(key, []).append(i)
    return [np.array(rows) for rows in found.values()]


def _not_tested(grid, own, tested):
    """Estimable contrasts of the cells of a group that are uncorrelated with those tested."""
    every = orthonormal_rows(estimable_part(np.diff(grid.linfct[own], axis=0), grid.null_basis))
    covariance = every[:, grid.kept] @ grid.method.vcov @ tested[:, grid.kept].T
    u, s, _ = np.linalg.svd(covariance)
    rank = int((s > DEPENDENT * s.max(initial=0.0)).sum())
    return u[:, rank:].T @ every
