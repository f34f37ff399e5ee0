"""Hypotheses about the terms of the fixed part: types I, II and III.

Each is a matrix L with one row per degree of freedom of a term; the hypothesis is
L beta = 0.  Definitions as in SAS ("The four types of estimable functions",
SAS/STAT User's Guide) and lmerTest (Kuznetsova, Brockhoff & Christensen 2017,
J. Statist. Softw. 82(13)).

I     Sequential: the rows of R in X = QR that belong to the term.  A term is
      tested after those before it, whatever comes later.
II    The same with the columns in another order: terms that do not contain the
      term, the term, terms that contain it.
III   Marginal.  With treatment coding a term has the rows of the identity; to them
      are added multiples of the columns of the terms that contain it, so that the
      rows become orthogonal to every hypothesis about those terms alone.
      Orthogonality is meant between coefficients of all cells (dummies of every
      level), which makes the hypothesis the same whatever the coding of the
      factors: with every cell observed, margins are averaged with equal weights.

Term A is contained in term B if B is A times factors that are coded by contrasts
there, so that A's own columns are coded in the same way in both.  `a` is contained
in `a:b` of a*b, but not in that of a/b, where it is the mean at b's first level.
"""

from dataclasses import dataclass

import numpy as np

from fastlmm_hlm.design.rank import independent_columns
from fastlmm_hlm.errors import ArgumentError
from fastlmm_hlm.formula.terms import full_dummy_factors

TYPES = {"I": "I", "1": "I", "II": "II", "2": "II", "III": "III", "3": "III"}
# Weights smaller than this beside the largest of a row are rounding.
ZERO = 1e-9


def canonical_type(type, caller="anova"):
    """"I", "II" or "III" from a user's spelling.

    Raises
    ------
    ArgumentError
    """
    name = TYPES.get(str(type).upper())
    if name is None:
        raise ArgumentError(f"{caller}: type = {type!r} is unknown; use 'I', 'II' or 'III'.")
    return name


@dataclass(frozen=True)
class FixedTerms:
    """The fixed part of a fit, as the hypotheses need it.

    Attributes
    ----------
    terms : tuple of tuple of str
        Variables of each term.
    labels : list of str
    intercept : bool
    levels : dict factor -> tuple of str
    codings : dict factor -> ndarray (levels, columns)
    assign : ndarray of int (P,)
        0 for the intercept, otherwise the number of the term from 1; all columns.
    names : list of str, length P
    kept : ndarray of int (p,)
        Columns that the fit kept.
    dependence : ndarray (p, P - p), or None
        X_dropped = X_kept @ dependence.
    """

    terms: tuple
    labels: list
    intercept: bool
    levels: dict
    codings: dict
    assign: np.ndarray
    names: list
    kept: np.ndarray
    dependence: np.ndarray | None

    @classmethod
    def of(cls, fit):
        """Those of a fit."""
        recipe = fit._spec.fixed_recipe
        codings = {name: matrix for name, (matrix, _) in recipe._matrices.items()}
        return cls(recipe.terms.terms, recipe.terms.labels, recipe.terms.intercept, recipe.levels, codings,
                   np.asarray(recipe.assign), list(recipe.names), np.asarray(fit._kept_columns), fit._dependence)

    @property
    def kept_assign(self):
        """Term of each kept column, (p,)."""
        return self.assign[self.kept]

    def containing(self, k):
        """Numbers (from 1) of the terms that contain term k (from 1)."""
        everything = {name for term in self.terms for name in term}
        full = full_dummy_factors(self.terms, everything, True)
        own, own_full = set(self.terms[k - 1]), full[k - 1]
        out = []
        for j, (term, term_full) in enumerate(zip(self.terms, full), start=1):
            extra = set(term) - own
            if own < set(term) and extra <= set(self.levels) and not extra & term_full and term_full & own == own_full:
                out.append(j)
        return out

    def of_all_columns(self):
        """X_all = X_kept @ this, (p, P)."""
        out = np.zeros((len(self.kept), len(self.assign)))
        out[:, self.kept] = np.eye(len(self.kept))
        if self.dependence is not None:
            out[:, np.setdiff1d(np.arange(len(self.assign)), self.kept)] = self.dependence
        return out


def sequential(terms, R):
    """Type I hypotheses.

    Parameters
    ----------
    terms : FixedTerms
    R : ndarray (p, p)
        Upper triangular, R'R = X'X of the kept columns.

    Returns
    -------
    list of ndarray (rows, p), one per term
    """
    rows = R / np.diagonal(R)[:, None]
    return [_cleaned(rows[terms.kept_assign == k]) for k in range(1, len(terms.terms) + 1)]


def by_containment(terms, R):
    """Type II hypotheses; parameters and result as for `sequential`.

    The rows of a term that no other contains are those of the identity, which say the same.
    """
    out = []
    assign = terms.kept_assign
    for k in range(1, len(terms.terms) + 1):
        containing = np.isin(assign, terms.containing(k))
        own = assign == k
        if not containing.any():
            out.append(np.eye(len(assign))[own])
            continue
        order = np.concatenate([np.flatnonzero(~own & ~containing), np.flatnonzero(own), np.flatnonzero(containing)])
        again = np.linalg.qr(R[:, order], mode="r")
        rows = np.zeros((own.sum(), len(assign)))
        first = (~own & ~containing).sum()
        block = again[first : first + own.sum()]
        rows[:, order] = block / np.diagonal(again)[first : first + own.sum(), None]
        out.append(_cleaned(rows))
    return out


def marginal(terms):
    """Type III hypotheses.

    Parameters
    ----------
    terms : FixedTerms

    Returns
    -------
    list of (ndarray (rows, p), list of str), one per term
        Names of the rows are those of columns in treatment coding.
    """
    user, treatment, cells, cell_assign = _columns_by_cell(terms)
    observed = terms.of_all_columns()
    # identities between columns as functions of the cells, then between the kept ones and the others
    treatment_of_kept = _cleaned((observed @ np.linalg.lstsq(user, treatment, rcond=None)[0]).T, np.abs(observed).max()).T
    cells_of_kept = observed @ np.linalg.lstsq(user, cells, rcond=None)[0]
    chosen = independent_columns(treatment_of_kept)
    N = treatment_of_kept[:, chosen]                       # X_treatment = X_kept @ N
    K = np.linalg.solve(N, cells_of_kept)                  # X_cells = X_treatment @ K
    assign, names = terms.assign[chosen], treatment_names(terms)
    out = []
    for k in range(1, len(terms.terms) + 1):
        own, others = assign == k, np.isin(assign, terms.containing(k))
        rows = np.zeros((own.sum(), len(chosen)))
        rows[:, own] = np.eye(own.sum())
        if others.any() and own.any():
            inside = np.isin(cell_assign, terms.containing(k))
            K_own, K_others = K[own][:, inside], K[others][:, inside]
            rows[:, others] = -np.linalg.lstsq(K_others.T, K_own.T, rcond=None)[0].T
        rows = np.linalg.solve(N.T, rows.T).T              # weights of the kept columns: L_treatment N^-1
        out.append((_cleaned(rows), [names[j] for j in chosen[own]]))
    return out


def missing_cells(terms):
    """Names of the combinations of levels, within some term, that no row has."""
    user, _, cells, cell_assign = _columns_by_cell(terms)
    weights = terms.of_all_columns() @ np.linalg.lstsq(user, cells, rcond=None)[0]
    lost = np.abs(weights).max(axis=0, initial=0.0) < 1e-6
    names = _cell_names(terms)
    return [names[j] for j in np.flatnonzero(lost) if cell_assign[j] and names[j]]


# --- columns as functions of the cells --------------------------------------------------


def _columns_by_cell(terms):
    """All columns in three codings, on rows that tell any two functions of the model apart.

    A numeric variable of m columns acts as one of m labels in the rows of the terms
    with the same numeric variables, and makes the column zero elsewhere: what
    multiplies different products of numbers has nothing to do with each other.  The
    factors of a term run through all their levels, and others stay at their first.

    Returns
    -------
    user, treatment : ndarray (rows, P)
    cells : ndarray (rows, P')
        Dummies of every level.
    cell_assign : ndarray (P',)
    """
    factors = set(terms.levels)
    full = full_dummy_factors(terms.terms, factors, terms.intercept)
    widths = _numeric_widths(terms, full)
    members = [(), *terms.terms] if terms.intercept else list(terms.terms)
    all_full = [set(), *full] if terms.intercept else full
    numbers = range(0 if terms.intercept else 1, len(terms.terms) + 1)
    rows = []                                             # (numeric variables, code of each variable)
    for term in members:
        sizes = [len(terms.levels[v]) if v in factors else widths[v] for v in term]
        numeric = frozenset(v for v in term if v not in factors)
        for index in np.ndindex(*sizes):
            rows.append((numeric, dict(zip(term, index))))
    blocks, cell_assign = ([], [], []), []
    for k, term, dummies in zip(numbers, members, all_full):
        numeric = frozenset(v for v in term if v not in factors)
        inside = np.array([here == numeric for here, _ in rows])
        codes = {v: np.array([code.get(v, 0) for _, code in rows]) for v in term}
        for which, block in enumerate(blocks):
            product = np.ones((len(rows), 1))
            for v in term:
                coded = _coding(terms, widths, v, v in dummies, which)[codes[v]]
                product = (coded[:, :, None] * product[:, None, :]).reshape(len(rows), -1)
            block.append(np.where(inside[:, None], product, 0.0))
        cell_assign += [k] * blocks[2][-1].shape[1]
    return *(np.hstack(block) if block else np.zeros((len(rows), 0)) for block in blocks), np.array(cell_assign, dtype=int)


USER, TREATMENT, CELLS = range(3)


def _coding(terms, widths, variable, with_dummies, which):
    """Columns of one variable for each of its codes, (codes, columns)."""
    if variable not in terms.levels:
        return np.eye(widths[variable])
    given = terms.codings[variable]
    k = len(given)
    whole = np.linalg.matrix_rank(np.column_stack([np.ones(k), given])) == k
    if which == CELLS:
        return np.eye(k) if whole or with_dummies else np.column_stack([np.ones(k), given])
    if with_dummies:
        return np.eye(k)
    return np.eye(k)[:, 1:] if which == TREATMENT and whole else given


def _numeric_widths(terms, full):
    """Columns of each numeric variable, from the number of columns of the terms.

    Raises
    ------
    ArgumentError
        If two variables of several columns occur only together.
    """
    widths = {}
    pending = []
    for k, (term, dummies) in enumerate(zip(terms.terms, full), start=1):
        count = int((terms.assign == k).sum())
        for v in term:
            if v in terms.levels:
                count //= len(terms.levels[v]) if v in dummies else terms.codings[v].shape[1]
        pending.append(([v for v in term if v not in terms.levels], count))
    for _ in pending:
        for numeric, count in pending:
            known = int(np.prod([widths[v] for v in numeric if v in widths], dtype=int))
            unknown = [v for v in numeric if v not in widths]
            if len(unknown) == 1:
                widths[unknown[0]] = count // known
            elif unknown and count == known:
                widths.update(dict.fromkeys(unknown, 1))
    lost = [v for numeric, _ in pending for v in numeric if v not in widths]
    if lost:
        raise ArgumentError(f"anova: the columns of {' and '.join(dict.fromkeys(lost))} cannot be told apart in their product; add them as terms of their own.")
    return widths


def treatment_names(terms):
    """Names of all columns had every factor treatment coding."""
    factors = set(terms.levels)
    full = full_dummy_factors(terms.terms, factors, terms.intercept)
    return _names(terms, full, _numeric_widths(terms, full), first=1, intercept="(Intercept)")


def _cell_names(terms):
    """Names of all cells; "" for terms that are no factor or product of factors."""
    full = [set(term) & set(terms.levels) for term in terms.terms]
    widths = _numeric_widths(terms, full_dummy_factors(terms.terms, set(terms.levels), terms.intercept))
    names = _names(terms, full, widths, first=0, intercept="")
    counts = [int(np.prod([len(terms.levels[v]) if v in terms.levels else widths[v] for v in term])) for term in terms.terms]
    factors_only = [set(term) <= set(terms.levels) for term in terms.terms]
    shown = [True] * int(terms.intercept) + [only for only, count in zip(factors_only, counts) for _ in range(count)]
    return [name if ok else "" for name, ok in zip(names, shown)]


def _names(terms, full, widths, first, intercept):
    out = [intercept] if terms.intercept else []
    for term, dummies in zip(terms.terms, full):
        names = [""]
        for v in term:
            if v in terms.levels:
                own = [v + level for level in terms.levels[v]]
                own = own if v in dummies else own[first:] if terms.codings[v].shape[1] == len(own) - 1 else [
                    f"{v}{j + 1}" for j in range(terms.codings[v].shape[1])]
            else:
                own = [v] if widths[v] == 1 else [f"{v}{j + 1}" for j in range(widths[v])]
            names = [f"{before}:{name}" if before else name for name in own for before in names]
        out += names
    return out


def _cleaned(L, size=0.0):
    """L with weights that are rounding, beside the largest of their row and `size`, set to zero."""
    if not L.size:
        return L
    largest = np.maximum(np.abs(L).max(axis=1, keepdims=True), size)
    return np.where(np.abs(L) < ZERO * largest, 0.0, L)
