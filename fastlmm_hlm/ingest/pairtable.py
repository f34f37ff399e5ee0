"""Blocks Z_f'WZ_g of two grouping factors, added up while rows come by.

Nested factors have one block per level of the finer one.  Where the columns of the coarser one are among
those of the finer one, as intercepts are, these blocks are columns of Z_f'WZ_f, and only the nesting is
looked at.  For crossed ones the pairs that
meet are not known beforehand: they are numbered as they come.
"""

import numpy as np

from fastlmm_hlm._core import kernels

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
        self.keys = None                  # crossed: numbers of the pairs f * nl_g + g; None while nested
        self._indptr = None

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
            if self.keys is not None:
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
        place = self._number(codes_f.astype(np.int64) * self.nl[1] + codes_g)
        kernels.add_nested_pairs(place, z_f, z_g, w, self._one_each(), self.values)

    def _number(self, keys):
        """Places of pairs in `values`, which is made longer for new ones."""
        place = self.keys.number(keys)
        if self.keys.count > len(self.values):
            self.values, self._indptr = longer(self.values, max(self.keys.count, 2 * len(self.values))), None
        return place

    def _one_each(self):
        if self._indptr is None:
            self._indptr = np.arange(len(self.values) + 1, dtype=np.int64)
        return self._indptr

    def _nest(self, codes_f, codes_g):
        """Note where the levels of f lie; False if one lies in two levels of g."""
        return kernels.follow_nesting(codes_f, codes_g, self.parent)

    def _cross(self):
        """From one block per level of f to a table of pairs."""
        if self.keys is None:
            met = np.flatnonzero(self.parent >= 0)
            self.keys = kernels.keys_of(met.astype(np.int64) * self.nl[1] + self.parent[met])
            self.values = self.values[met]
            self.parent = self._indptr = None

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
        keys, values = other.pairs()
        place = self._number(keys)
        self.values[place] += values

    def _same_parents(self, other):
        both = (self.parent >= 0) & (other.parent >= 0)
        return bool((self.parent[both] == other.parent[both]).all())

    def entries(self):
        """All pairs that meet, f * nl_g + g in any order, and their blocks (pairs, nc_f, nc_g)."""
        if self.keys is None:
            met = np.flatnonzero(self.parent >= 0)
            return met.astype(np.int64) * self.nl[1] + self.parent[met], self.values[met]
        return self.keys.values(), self.values[: self.keys.count]

    def pairs(self):
        """The same in increasing order."""
        keys, values = self.entries()
        if self.keys is None:
            return keys, values
        order = np.argsort(keys)
        return keys[order], values[order]

    @classmethod
    def of(cls, nl, nc, keys, values):
        """The table with these pairs."""
        table = cls(nl, nc)
        f, g = keys // nl[1], (keys % nl[1]).astype(np.int32)
        if len(np.unique(f)) == len(f):
            table.parent[f] = g
            table.values[f] = values
        else:
            table.keys, table.values, table.parent = kernels.keys_of(keys), values, None
        return table

    def finish(self):
        """(indptr, indices, values) as `CrossProducts.pairs` holds them."""
        if self.keys is None and (self.parent >= 0).all():
            return np.arange(self.nl[0] + 1, dtype=np.int64), self.parent, self.values
        keys, values = self.pairs()
        f = keys // self.nl[1]
        indptr = np.searchsorted(f, np.arange(self.nl[0] + 1)).astype(np.int64)
        return indptr, (keys % self.nl[1]).astype(np.int32), np.ascontiguousarray(values)
