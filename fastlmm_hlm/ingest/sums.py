"""The sums of one run of rows: what `Products` adds up."""

from functools import partial

import numpy as np

from fastlmm_hlm._core import kernels
from fastlmm_hlm._core.threads import run_all
from fastlmm_hlm.design.crossprod import sweeps
from fastlmm_hlm.ingest.pairtable import PairTable, longer

# Rows whose sums are rounded together: chunks are cut by position, so the size of the blocks that come does not matter.
CHUNK = 65_536


class Piece:
    """Rows in use of one block, as the kernels take them.

    Attributes
    ----------
    y : ndarray (n,)
    x : list of (ndarray (n,) or None)
        Columns of X.
    z : list of list
        Columns of each grouping factor.
    codes : list of ndarray of int32 (n,)
    weights, offset : ndarray (n,) or None
    """

    def __init__(self, y, x, z, codes, weights, offset):
        self.y, self.x, self.z, self.codes, self.weights, self.offset = y, x, z, codes, weights, offset

    def __len__(self):
        return len(self.y)

    def part(self, rows):
        """Some rows, a slice, referred to."""
        return self.mapped(lambda values: values[rows])

    def mapped(self, function):
        """The piece with a function applied to every array, once to arrays that occur twice."""
        each = _mapper(function)
        return Piece(each(self.y), each(self.x), each(self.z), each(self.codes), each(self.weights), each(self.offset))

    @staticmethod
    def join(pieces):
        """Several pieces one after the other, copied; a column that occurs in X and Z stays one."""
        if len(pieces) == 1:
            return pieces[0]
        made = {}

        def put(*columns):
            if columns[0] is None:
                return None
            key = tuple(map(id, columns))
            if key not in made:
                made[key] = np.concatenate(columns)
            return made[key]

        first = pieces[0]
        return Piece(
            put(*(p.y for p in pieces)),
            [put(*(p.x[j] for p in pieces)) for j in range(len(first.x))],
            [[put(*(p.z[f][j] for p in pieces)) for j in range(len(first.z[f]))] for f in range(len(first.z))],
            [put(*(p.codes[f] for p in pieces)) for f in range(len(first.codes))],
            put(*(p.weights for p in pieces)), put(*(p.offset for p in pieces)),
        )


def _mapper(function):
    """Apply a function to every array of nested lists, once per array; None stays."""
    made = {}

    def apply(value):
        if value is None:
            return None
        if isinstance(value, list):
            return [apply(item) for item in value]
        if id(value) not in made:
            made[id(value)] = function(value)
        return made[id(value)]

    return apply


class Sums:
    """Sums over rows under one plan.

    Attributes
    ----------
    n : int
    sum_log_weights : float
    XyWXy : ndarray (p+1, p+1)
    ZtWXy : list of ndarray (nl, nc, p+1)
    tables : dict (f, g) -> PairTable
    triangle : ndarray (k, p) or None
        R of a QR of the columns of X, where they may be dependent.
    """

    def __init__(self, plan):
        factors, p = plan.design.factors, len(plan.x_names)
        nl = [len(factor.levels) for factor in factors]
        nc = [len(factor.names) for factor in factors]
        self.n, self.sum_log_weights = 0, 0.0
        self.XyWXy = np.zeros((p + 1, p + 1))
        self.within = plan.within
        self._squares = [np.zeros((levels, c, c)) if at is None else None for levels, c, at in zip(nl, nc, plan.within)]
        self.ZtWXy = [np.zeros((levels, c, p + 1)) for levels, c in zip(nl, nc)]
        self.tables = {(f, g): PairTable((nl[f], nl[g]), (nc[f], nc[g]), shared) for (f, g), shared in plan.shared.items()}
        self.triangle = np.zeros((0, p)) if plan.doubtful else None

    def ZtWZ(self, f, columns=None):
        """Z_f'WZ_f by level, ndarray (nl, nc, nc): sums of their own, or columns of Z_f'WX where all of Z_f are in X.

        Parameters
        ----------
        f : int
        columns : ndarray of int, optional
            Some columns of Z_f, for (nl, nc, len(columns)).
        """
        if self._squares[f] is None:
            at = self.within[f] if columns is None else self.within[f][columns]
            return kernels.take_columns(self.ZtWXy[f], at)
        return self._squares[f] if columns is None else kernels.take_columns(self._squares[f], columns.astype(np.int32))

    def squares(self, f, i):
        """Sum of squares of column i of Z_f by level, a view (nl,)."""
        return self.ZtWXy[f][:, i, self.within[f][i]] if self._squares[f] is None else self._squares[f][:, i, i]

    def grow(self, levels, more=2.0):
        """Make room for at least so many levels of each factor, list of int, and `more` times as many where any is missing."""
        for f, count in enumerate(levels):
            if count > len(self.ZtWXy[f]):
                room = int(max(2 * len(self.ZtWXy[f]), more * count))
                self.ZtWXy[f] = longer(self.ZtWXy[f], room)
                if self._squares[f] is not None:
                    self._squares[f] = longer(self._squares[f], room)
                for (fine, _), table in self.tables.items():
                    if fine == f:
                        table.grow(room)
        for table in self.tables.values():
            table.coarse_may_grow()

    def reorder(self, f, order):
        """Take levels of factor f in another order, ndarray of int64 (nl,); those left out are let go."""
        self.ZtWXy[f] = self.ZtWXy[f][order]
        if self._squares[f] is not None:
            self._squares[f] = self._squares[f][order]

    def add(self, chunks, plan, threads=1):
        """Add rows.

        Parameters
        ----------
        chunks : list of Piece
            Of CHUNK rows each, only the last of a part shorter.
        plan : Plan
        threads : int
        """
        made = [_Kernels(chunk, plan) for chunk in chunks]
        for (f, g), table in self.tables.items():
            table.follow([(k.codes[f], k.codes[g]) for k in made], partial(self.ZtWZ, f))

        def sweep(chosen, fixed):
            for k in made:
                groups = [
                    kernels.Grouping(codes, z, len(R), G if f in chosen else None, R if f in chosen else None)
                    for f, (codes, z, G, R) in enumerate(zip(k.codes, k.z, self._squares, self.ZtWXy))
                ]
                kernels.crossprod_rows(k.x, k.y, k.offset, plan.beta0, k.w, groups, self.XyWXy if fixed else None)

        def meet(f, g):
            for k in made:
                self.tables[f, g].add(k.codes[f], k.z[f], k.codes[g], k.z[g], k.w)

        run_all([*sweeps(sweep, len(self.ZtWXy), threads), *(partial(meet, *pair) for pair, table in self.tables.items() if table.values is not None)], threads)
        for chunk in chunks:
            self.n += len(chunk)
            if chunk.weights is not None:
                self.sum_log_weights += float(np.log(chunk.weights).sum())
            if self.triangle is not None:
                X = np.column_stack([np.ones(len(chunk)) if c is None else c for c in chunk.x])
                self.triangle = np.linalg.qr(np.vstack([self.triangle, X]), mode="r")

    def merge(self, other):
        """Add the sums of other rows; `other` is used up."""
        self.n += other.n
        self.sum_log_weights += other.sum_log_weights
        self.XyWXy += other.XyWXy
        for (f, g), table in self.tables.items():
            table.merge(other.tables[f, g], partial(self.ZtWZ, f), partial(other.ZtWZ, f))
        for ours, theirs in zip([*self._squares, *self.ZtWXy], [*other._squares, *other.ZtWXy]):
            if ours is not None:
                ours += theirs
        if self.triangle is not None:
            self.triangle = np.linalg.qr(np.vstack([self.triangle, other.triangle]), mode="r")

    def fill(self):
        """Make the blocks of all pairs that were not summed, as columns of Z_f'WZ_f."""
        for (f, _), table in self.tables.items():
            table.fill(partial(self.ZtWZ, f))

    def pairs(self):
        """The blocks of all pairs of factors, as `CrossProducts` holds them."""
        self.fill()
        return {key: table.finish() for key, table in self.tables.items()}

    # --- as plain arrays, for writing ------------------------------------------------

    def arrays(self):
        """The sums as a dict of arrays, levels without rows left out."""
        out = {"n": np.array(self.n), "log": np.array(self.sum_log_weights), "XyWXy": self.XyWXy}
        self.fill()
        for f, (G, R) in enumerate(zip(self._squares, self.ZtWXy)):
            some = _occupied(R) if G is None else _occupied(G, R)
            out |= {f"levels{f}": some, f"ZtWXy{f}": R[some]}
            if G is not None:
                out[f"ZtWZ{f}"] = G[some]
        for (f, g), table in self.tables.items():
            out[f"keys{f}_{g}"], out[f"pairs{f}_{g}"] = table.pairs()
        if self.triangle is not None:
            out["triangle"] = self.triangle
        return out

    @classmethod
    def of(cls, plan, arrays):
        """The sums from what `arrays` gave."""
        sums = cls(plan)
        sums.n, sums.sum_log_weights = int(arrays["n"]), float(arrays["log"])
        sums.XyWXy = arrays["XyWXy"]
        for f in range(len(sums.ZtWXy)):
            some = arrays[f"levels{f}"]
            sums.ZtWXy[f][some] = arrays[f"ZtWXy{f}"]
            if sums._squares[f] is not None:
                sums._squares[f][some] = arrays[f"ZtWZ{f}"]
        for (f, g), table in sums.tables.items():
            sums.tables[f, g] = PairTable.of(table.nl, table.nc, arrays[f"keys{f}_{g}"], arrays[f"pairs{f}_{g}"])
        if sums.triangle is not None:
            sums.triangle = arrays["triangle"]
        return sums


def _occupied(*blocks):
    """Levels whose blocks are not all zero, ndarray of int32; any() over short axes takes five times as long."""
    found = np.zeros(len(blocks[0]), dtype=bool)
    for values in blocks:
        for column in values.reshape(len(values), -1).T:
            found |= column != 0
    return np.flatnonzero(found).astype(np.int32)


class _Kernels:
    """One chunk as the kernels take it; a column that occurs in X and Z is the same numbers there."""

    def __init__(self, piece, plan):
        design, floats = plan.design, _mapper(lambda values: np.ascontiguousarray(values, dtype=float))

        def columns(own, centre):
            return kernels.Columns(list(zip(floats(own), centre.tolist())))

        self.x = columns(piece.x, design.x_centring.centre)
        self.z = [columns(own, factor.centring.centre) for own, factor in zip(piece.z, design.factors)]
        self.codes = [np.ascontiguousarray(codes, dtype=np.int32) for codes in piece.codes]
        self.w, self.y, self.offset = floats(piece.weights), floats(piece.y), floats(piece.offset)
