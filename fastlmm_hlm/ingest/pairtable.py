"""Blocks Z_f'WZ_g of two grouping factors, added up while rows come by.

Nested factors have one block per level of the finer one.  Where the columns of the coarser one are among
those of the finer one, as intercepts are, these blocks are columns of Z_f'WZ_f, and only the nesting is
looked at.  For crossed ones the pairs that
meet are not known beforehand: each chunk of rows gives a sorted table, and what waits is put
together once there is as much of it as is known already.
"""

import numpy as np

from fastlmm_hlm._core import kernels

# Pairs that wait before they are put together with the others.
FEW = 1 << 20
# Levels that codes of 32 bits can tell apart.
MOST_LEVELS = 2**31


def longer(values, length, filler=0):
    """An array with its first dimension made longer; memory beyond the old end is not touched while it is zero."""
    out = np.zeros((length, *values.shape[1:]), dtype=values.dtype)
    out[: len(values)] = values
    if filler:
        out[len(values):] = filler
    return out


class PairTable:
    """The blocks of one pair of factors.

    Parameters
    ----------
    nl : (int, int)
        Levels of f and g.
    nc : (int, int)
        Columns of f and g.
    shared : ndarray of int or None
        For each column of g the one of f that it is; None if it is none of them.
    """

    def __init__(self, nl, nc, shared=None):
        self.nl, self.nc, self.shared = nl, nc, shared
        self.parent = np.full(nl[0], -1, dtype=np.int32)
        self.values = None if shared is not None else np.zeros((nl[0], *nc))
        self.keys = None                  # crossed: pairs f * nl_g + g, increasing; None while nested
        self._waiting, self._rows, self._indptr = [], 0, None

    def grow(self, levels):
        """Make room for so many levels of f."""
        self.nl, self._indptr = (levels, self.nl[1]), None
        if self.parent is not None:
            self.parent = longer(self.parent, levels, -1)
            if self.values is not None:
                self.values = longer(self.values, levels)

    def coarse_may_grow(self):
        """Number pairs so that g may have any number of levels."""
        if self.nl[1] != MOST_LEVELS:
            if self.keys is not None or self._waiting:
                raise ValueError("pairs of levels are numbered already")
            self.nl = self.nl[0], MOST_LEVELS

    def follow(self, codes, ZtWZ):
        """Look at rows before anything of them is summed; blocks that can no longer be taken from Z_f'WZ_f are made.

        Parameters
        ----------
        codes : iterable of (ndarray, ndarray)
            Of f and g, chunk by chunk.
        ZtWZ : function of columns
            Columns of Z_f'WZ_f over the rows before these, (nl, nc, columns).
        """
        if self.values is None and not all([self._nest(*pair) for pair in codes]):
            self.fill(ZtWZ)

    def fill(self, ZtWZ):
        """Take the blocks so far out of Z_f'WZ_f, and add them up from here on."""
        if self.values is None:
            self.values = ZtWZ(self.shared)

    def add(self, codes_f, z_f, codes_g, z_g, w):
        """Add rows that `follow` has looked at; z are kernels.Columns."""
        if self.values is None:
            return
        if self.keys is None and self._nest(codes_f, codes_g):
            kernels.add_nested_pairs(codes_f, z_f, z_g, w, self._one_each(), self.values)
            return
        self._cross()
        keys, place = np.unique(codes_f.astype(np.int64) * self.nl[1] + codes_g, return_inverse=True)
        values = np.zeros((len(keys), *self.nc))
        kernels.add_nested_pairs(place.astype(np.int32), z_f, z_g, w, np.arange(len(keys) + 1, dtype=np.int64), values)
        self._wait(keys, values)

    def _one_each(self):
        if self._indptr is None:
            self._indptr = np.arange(self.nl[0] + 1, dtype=np.int64)
        return self._indptr

    def _nest(self, codes_f, codes_g):
        """Note where the levels of f lie; False if one lies in two levels of g."""
        return kernels.follow_nesting(codes_f, codes_g, self.parent)

    def _cross(self):
        """From one block per level of f to a table of pairs."""
        if self.keys is None:
            met = np.flatnonzero(self.parent >= 0)
            self.keys = met.astype(np.int64) * self.nl[1] + self.parent[met]
            self.values = self.values[met]
            self.parent = self._indptr = None

    def _wait(self, keys, values):
        self._waiting.append((keys, values))
        self._rows += len(keys)
        if self._rows > max(FEW, len(self.keys)):
            self._settle()

    def _settle(self):
        if self._waiting:
            tables = [(self.keys, self.values), *self._waiting]
            self.keys, place = np.unique(np.concatenate([keys for keys, _ in tables]), return_inverse=True)
            out, first = np.zeros((len(self.keys), *self.nc)), 0
            for keys, values in tables:
                out[place[first : first + len(keys)]] += values
                first += len(keys)
            self.values, self._waiting, self._rows = out, [], 0

    def merge(self, other, ZtWZ, others):
        """Add the blocks of other rows; functions for Z_f'WZ_f of these and of the others, not yet added."""
        if self.values is None and other.values is None and self._same_parents(other):
            self.parent = np.maximum(self.parent, other.parent)
            return
        self.fill(ZtWZ)
        other.fill(others)
        if self.keys is None and other.keys is None:
            if self._same_parents(other):
                self.parent = np.maximum(self.parent, other.parent)
                self.values += other.values
                return
        self._cross()
        self._settle()
        keys, values = other.pairs()
        self._waiting.append((keys, values))
        self._settle()

    def _same_parents(self, other):
        both = (self.parent >= 0) & (other.parent >= 0)
        return bool((self.parent[both] == other.parent[both]).all())

    def pairs(self):
        """All pairs that meet, f * nl_g + g in increasing order, and their blocks (pairs, nc_f, nc_g)."""
        if self.keys is None:
            met = np.flatnonzero(self.parent >= 0)
            return met.astype(np.int64) * self.nl[1] + self.parent[met], self.values[met]
        self._settle()
        return self.keys, self.values

    @classmethod
    def of(cls, nl, nc, keys, values):
        """The table with these pairs."""
        table = cls(nl, nc)
        f, g = keys // nl[1], (keys % nl[1]).astype(np.int32)
        if len(np.unique(f)) == len(f):
            table.parent[f] = g
            table.values[f] = values
        else:
            table.keys, table.values, table.parent = keys, values, None
        return table

    def finish(self):
        """(indptr, indices, values) as `CrossProducts.pairs` holds them."""
        if self.keys is None and (self.parent >= 0).all():
            return np.arange(self.nl[0] + 1, dtype=np.int64), self.parent, self.values
        keys, values = self.pairs()
        f = keys // self.nl[1]
        indptr = np.searchsorted(f, np.arange(self.nl[0] + 1)).astype(np.int64)
        return indptr, (keys % self.nl[1]).astype(np.int32), np.ascontiguousarray(values)
