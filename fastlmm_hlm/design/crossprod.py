"""Cross-products of the model matrices: the only door between rows and optimizer.

Sums over rows of A = [Z X r]'W[Z X r], r = y - offset - X beta0 for a fixed
beta0 (so that y'y does not cancel against what the model explains).  Blocks of
rows are added one after the other.
"""

from dataclasses import dataclass, field
from functools import partial

import numpy as np

from fastlmm_hlm._core import kernels
from fastlmm_hlm._core.small import solve_positive
from fastlmm_hlm._core.threads import run_all
from fastlmm_hlm.design.columns import places_among, rows_of, times
from fastlmm_hlm.design.rank import clearly_independent, independent_columns

# Rows from which beta0 is estimated; any beta0 gives the same model.
ROWS_FOR_SHIFT = 2000
# Rows at a time, a multiple of the rows whose sum a kernel rounds together: what is made for
# them stays in cache, and nothing as long as the data is made.
SLAB = 65_536
# Rows below which a second thread costs more than it brings.
WORTH_THREADS = 200_000


@dataclass
class CrossProducts:
    """The constant symbols of Bates et al. (2015), sec. 3.4, per grouping factor.

    Attributes
    ----------
    n : int
        Rows added so far.
    sum_log_weights : float
    beta0 : ndarray, shape (p,)
        Coefficients (of the user's columns) taken off the response beforehand.
    ZtWZ : list of ndarray, shape (nl, nc, nc)
    ZtWXy : list of ndarray, shape (nl, nc, p+1)
    XyWXy : ndarray, shape (p+1, p+1)
    pairs : dict (f, g) -> (indptr, indices, values), f < g
        Blocks Z_f'WZ_g over the pairs of levels that meet; see `kernels.crossprod_pairs`.
    """

    n: int
    sum_log_weights: float
    beta0: np.ndarray
    ZtWZ: list
    ZtWXy: list
    XyWXy: np.ndarray
    pairs: dict = field(default_factory=dict)

    @property
    def p(self):
        return len(self.XyWXy) - 1

    @property
    def q(self):
        return sum(G.shape[0] * G.shape[1] for G in self.ZtWZ)

    def add(self, other):
        """Add the cross-products of another block of rows (same levels, same beta0)."""
        if not np.array_equal(self.beta0, other.beta0):
            raise ValueError("blocks of rows were shifted by different beta0")
        self.n += other.n
        self.sum_log_weights += other.sum_log_weights
        self.XyWXy = self.XyWXy + other.XyWXy
        self.ZtWZ = [a + b for a, b in zip(self.ZtWZ, other.ZtWZ)]
        self.ZtWXy = [a + b for a, b in zip(self.ZtWXy, other.ZtWXy)]
        for (f, g), theirs in other.pairs.items():
            ours = self.pairs[f, g]
            self.pairs[f, g] = _add_pairs(ours, theirs, self.ZtWZ[g].shape[0])


def _add_pairs(ours, theirs, nl_g):
    """Union of two tables of blocks, summed where both have the pair."""
    keys, values = [], []
    for indptr, indices, blocks in (ours, theirs):
        level_f = np.repeat(np.arange(len(indptr) - 1, dtype=np.int64), np.diff(indptr))
        keys.append(level_f * nl_g + indices)
        values.append(blocks)
    union, place = np.unique(np.concatenate(keys), return_inverse=True)
    out = np.zeros((len(union), *values[0].shape[1:]))
    out[place[: len(keys[0])]] += values[0]
    out[place[len(keys[0]) :]] += values[1]
    indptr = np.searchsorted(union, np.arange(len(ours[0]), dtype=np.int64) * nl_g)
    return indptr.astype(np.int64), (union % nl_g).astype(np.int32), out


def choose_shift(design):
    """A beta0 near the least-squares estimate, from a few rows spread over the data.

    Zero for columns that are dependent in those rows, so that columns dropped
    later have none.
    """
    n, p = design.n, design.p
    if p == 0:
        return np.zeros(0)
    rows = slice(None) if n <= ROWS_FOR_SHIFT else np.linspace(0, n - 1, ROWS_FOR_SHIFT).astype(np.int64)
    y = design.y[rows] if design.offset is None else design.y[rows] - design.offset[rows]
    beta0, XyXy = np.zeros(p), np.zeros((p + 1, p + 1))
    basis = design.x_centring
    columns = _columns(design.x_columns, basis.centre, rows)
    kernels.crossprod_fixed(columns, np.ascontiguousarray(y), None, XyXy)
    if clearly_independent(XyXy[:p, :p], XyXy.diagonal()[:p] + len(y) * basis.centre**2):
        return basis.B @ solve_positive(XyXy[:p, :p], XyXy[:p, p])
    X = rows_of(design.x_columns, np.arange(n)[rows])
    kept = independent_columns(X)
    if len(kept):
        beta0[kept] = np.linalg.lstsq(X[:, kept], y, rcond=None)[0]
    return beta0


def shifted_response(design, beta0, rows=slice(None)):
    """r = y - offset - X beta0, shape (n,)."""
    y = design.y[rows]
    r = times([None if c is None else c[rows] for c in design.x_columns], -beta0, len(y))
    r += y
    if design.offset is not None:
        r -= design.offset[rows]
    return r


def cross_products(design, beta0, block_rows=None, threads=1):
    """All cross-products of a design.

    Parameters
    ----------
    design : Design
    beta0 : ndarray, shape (p,)
    block_rows : int or None
        Rows per block; None takes all rows at once.  The sums differ by rounding only.
    threads : int
        Threads to use; the sums do not depend on it.

    Returns
    -------
    CrossProducts
    """
    step = design.n if block_rows is None else int(block_rows)
    total = None
    for first in range(0, design.n, step):
        block = _block(design, beta0, slice(first, min(first + step, design.n)), threads)
        if total is None:
            total = block
        else:
            total.add(block)
    return total


def _columns(columns, centre, rows):
    """References to the rows at work of some columns."""
    part = [None if c is None else np.ascontiguousarray(c[rows], dtype=float) for c in columns]
    return kernels.Columns(list(zip(part, centre)))


class _Rows:
    """Some rows of a design as the kernels take them: references, or copies of a slab at a time.

    A column that occurs in X and in Z is taken once, so that the kernels see that it is the same.
    """

    def __init__(self, design, rows):
        self.design, self.rows, self._taken = design, rows, {}
        self.w, self.y, self.offset = (self._of(values) for values in (design.weights, design.y, design.offset))

    def _of(self, column):
        if column is None:
            return None
        if id(column) not in self._taken:
            self._taken[id(column)] = np.ascontiguousarray(column[self.rows], dtype=float)
        return self._taken[id(column)]

    def _columns(self, columns, centre):
        return kernels.Columns([(self._of(column), m) for column, m in zip(columns, centre.tolist())])

    def x(self):
        return self._columns(self.design.x_columns, self.design.x_centring.centre)

    def z(self, f):
        factor = self.design.factors[f]
        return self._columns(factor.columns, factor.centring.centre)

    def codes(self, f):
        return np.ascontiguousarray(self.design.factors[f].codes[self.rows], dtype=np.int32)


def _slabs(design, rows):
    """Some rows, SLAB at a time."""
    for first in range(rows.start, rows.stop, SLAB):
        yield _Rows(design, slice(first, min(first + SLAB, rows.stop)))


def columns_within(design):
    """For each grouping factor the columns of X that its columns are.

    Returns
    -------
    list of (ndarray of int32 or None)
        None where some column is none of them.
    """
    x = design.x_columns, design.x_centring.centre
    return [places_among(factor.columns, factor.centring.centre, *x) for factor in design.factors]


def columns_shared(design, f, g):
    """The columns of factor f that those of factor g are, ndarray of int32, or None; see `columns_within`."""
    ours, theirs = design.factors[f], design.factors[g]
    return places_among(theirs.columns, theirs.centring.centre, ours.columns, ours.centring.centre)


def sweeps(add, count, threads):
    """The tasks that together add rows to the sums of `count` factors and to the fixed part.

    Parameters
    ----------
    add : function of (factors to add to, whether to add the fixed part)
    """
    if threads <= 1:
        return [partial(add, range(count), True)]
    return [*(partial(add, [f], False) for f in range(1, count)), partial(add, [0], True)]


def _block(design, beta0, rows, threads):
    factors, p, n = range(len(design.factors)), design.p, rows.stop - rows.start
    nl = [len(factor.levels) for factor in design.factors]
    nc = [len(factor.columns) for factor in design.factors]
    XyWXy = np.zeros((p + 1, p + 1))
    within = columns_within(design)
    squares = [np.zeros((nl[f], nc[f], nc[f])) if within[f] is None else None for f in factors]
    ZtWXy = [np.zeros((nl[f], nc[f], p + 1)) for f in factors]
    pairs = {}

    def add(chosen, fixed):
        """The blocks of some factors, and the fixed part if asked."""
        for slab in _slabs(design, rows):
            groups = [
                kernels.Grouping(slab.codes(f), slab.z(f), nl[f], squares[f] if f in chosen else None, ZtWXy[f] if f in chosen else None)
                for f in factors
            ]
            kernels.crossprod_rows(slab.x(), slab.y, slab.offset, beta0, slab.w, groups, XyWXy if fixed else None)

    def meet(f, g):
        whole = _Rows(design, rows)
        nested = kernels.nested_pairs(whole.codes(f), nl[f], whole.codes(g), nl[g])
        if nested is None:
            pairs[f, g] = kernels.crossprod_pairs(
                whole.codes(f), nl[f], whole.z(f), whole.codes(g), nl[g], whole.z(g), whole.w
            )
            return
        shared = columns_shared(design, f, g)
        if shared is not None:
            pairs[f, g] = *nested, shared         # columns of Z_f'WZ_f, once it is there
            return
        values = np.zeros((len(nested[1]), nc[f], nc[g]))
        for slab in _slabs(design, rows):
            kernels.add_nested_pairs(slab.codes(f), slab.z(f), slab.z(g), slab.w, nested[0], values)
        pairs[f, g] = *nested, values

    # the sums of each factor are their own, so their bits do not depend on who computes which
    meetings = [partial(meet, f, g) for g in factors for f in range(g)]
    threads = threads if n >= WORTH_THREADS else 1
    run_all([*sweeps(add, len(nl), threads), *meetings], threads)
    ZtWZ = [G if at is None else kernels.take_columns(R, at) for G, R, at in zip(squares, ZtWXy, within)]
    for (f, g), (indptr, indices, values) in pairs.items():
        if values.ndim == 1:
            met = ZtWZ[f] if len(indices) == nl[f] else ZtWZ[f][np.diff(indptr) > 0]
            pairs[f, g] = indptr, indices, kernels.take_columns(met, values)
    log_w = 0.0 if design.weights is None else float(np.log(design.weights[rows]).sum())
    return CrossProducts(n, log_w, beta0, ZtWZ, ZtWXy, XyWXy, pairs)


def fixed_products(design):
    """X'X of the centred columns without prior weights, (p, p)."""
    x = _columns(design.x_columns, design.x_centring.centre, slice(None))
    out = np.zeros((x.size + 1, x.size + 1))
    kernels.crossprod_fixed(x, np.zeros(design.n), None, out)
    return out[:-1, :-1]


def estimable_columns(design, products):
    """Columns of X that lme4's rank rule keeps.

    The cross-products decide unless a column comes close to being dependent;
    then the columns themselves are asked.

    Returns
    -------
    kept : ndarray of int
    """
    p = products.p
    if p == 0:
        return np.arange(0)
    total = float(design.n) if design.weights is None else float(design.weights.sum())
    if clearly_independent(products.XyWXy[:p, :p], products.XyWXy.diagonal()[:p] + total * design.x_centring.centre**2):
        return np.arange(p)
    return independent_columns(design.X)
