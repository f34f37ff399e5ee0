"""Cross-products of a fit without some of its rows.

Cross-products are sums over rows, so those of the rows left are A - sum of w_i a_i a_i'
over the rows taken off, a = [Z X r].  They are subtracted in place, under the eyes of a
kernel that reads the arrays at every evaluation, and put back afterwards: the cost is
that of the rows taken off, whatever the size of the data.

A level that loses all its rows gets blocks that are exactly zero.  Its block of
M = Lambda'Z'WZ Lambda + I is then I, with log determinant zero and no effect on the
other levels, which is the model without that level.

Columns keep the centre, and the response the shift, that they were summed with: either
gives the same model.  Only if a fixed column, or the response, has hardly any variation
left is the difference of sums too inexact; `Remaining.without` then says so.
"""

import contextlib

import numpy as np

from fastlmm_hlm._core import kernels
from fastlmm_hlm._core.small import pivots
from fastlmm_hlm.design.crossprod import CrossProducts, shifted_response
from fastlmm_hlm.design.rank import clearly_independent

# Variation of a fixed column (given those before it), and of the response, that must be
# left of what there was; below it more than four digits of sixteen are gone.
LEFT = 1e-4


class Remaining:
    """The cross-products of a fit, from which rows can be taken off for a while.

    Parameters
    ----------
    fit : LinearMixedModel
    design : Design
        Of its rows.

    Attributes
    ----------
    products : CrossProducts
        Of the rows left; arrays of its own.
    levels : list of int
        Levels with rows left, per grouping factor.
    """

    def __init__(self, fit, design):
        p = fit._products
        self.design = design
        self.products = CrossProducts(
            p.n, p.sum_log_weights, p.beta0, [G.copy() for G in p.ZtWZ], [R.copy() for R in p.ZtWXy], p.XyWXy.copy(),
            {key: (indptr, indices, values.copy()) for key, (indptr, indices, values) in p.pairs.items()},
        )
        self.counts = [np.bincount(f.codes, minlength=len(f.levels)) for f in design.factors]
        self.levels = [int((count > 0).sum()) for count in self.counts]
        self.columns = _Columns(design, p.beta0)
        self.keys, self.met = {}, {}
        every = slice(None)
        for (f, g), (indptr, indices, _) in self.products.pairs.items():
            level_f = np.repeat(np.arange(len(indptr) - 1, dtype=np.int64), np.diff(indptr))
            self.keys[f, g] = level_f * len(self.counts[g]) + indices
            self.met[f, g] = np.bincount(self._places(f, g, every), minlength=len(indices))
        self.variation = pivots(self.products.XyWXy[:-1, :-1]) if self.products.p else np.zeros(0)
        self.total_weight = float(design.n) if design.weights is None else float(design.weights.sum())

    def _places(self, f, g, rows):
        """Where in the table of pairs the levels of some rows stand."""
        factors = self.design.factors
        return np.searchsorted(
            self.keys[f, g], factors[f].codes[rows].astype(np.int64) * len(self.counts[g]) + factors[g].codes[rows]
        )

    @contextlib.contextmanager
    def without(self, rows):
        """Take rows off, and put them back at the end.

        Parameters
        ----------
        rows : ndarray of int (k,)

        Yields
        ------
        exact : bool
            Whether the differences have kept their digits and every fixed column can be
            estimated without doubt.
        """
        products, design = self.products, self.design
        whole = products.n, products.sum_log_weights, products.XyWXy.copy(), list(self.levels), self.total_weight
        saved = []
        xr, z = self.columns.of(rows)
        w = None if design.weights is None else design.weights[rows]
        weighted = xr if w is None else np.sqrt(w)[:, None] * xr
        products.n -= len(rows)
        products.XyWXy -= weighted.T @ weighted
        if w is None:
            self.total_weight -= len(rows)
        else:
            products.sum_log_weights -= float(np.log(w).sum())
            self.total_weight -= float(w.sum())
        for f, factor in enumerate(design.factors):
            self._take_level_blocks(f, factor.codes[rows], z[f], xr, w, saved)
        for f, g in products.pairs:
            self._take_pair_blocks(f, g, rows, z, w, saved)
        try:
            yield self._exact(whole[2])
        finally:
            for array, places, values in reversed(saved):
                array[places] = values
            products.n, products.sum_log_weights = whole[:2]
            products.XyWXy[:] = whole[2]
            self.levels, self.total_weight = whole[3], whole[4]

    def _take_level_blocks(self, f, codes, z, xr, w, saved):
        levels, place = _distinct(codes)
        wz = z if w is None else w[:, None] * z
        if len(levels) == 1:
            ZtWZ, ZtWXy = (wz.T @ z)[None], (wz.T @ xr)[None]
        else:
            ZtWZ, ZtWXy = np.zeros((len(levels), z.shape[1], z.shape[1])), np.zeros((len(levels), z.shape[1], xr.shape[1]))
            kernels.crossprod_factor(
                place.astype(np.int32), _references(z), _references(xr[:, :-1]), np.ascontiguousarray(xr[:, -1]), w, ZtWZ, ZtWXy
            )
        left = self.counts[f][levels] - np.bincount(place, minlength=len(levels))
        self.levels[f] -= int((left == 0).sum())
        for array, sums in ((self.products.ZtWZ[f], ZtWZ), (self.products.ZtWXy[f], ZtWXy)):
            _subtract(array, levels, sums, left > 0, saved)

    def _take_pair_blocks(self, f, g, rows, z, w, saved):
        places, place = _distinct(self._places(f, g, rows))
        wz = z[f] if w is None else w[:, None] * z[f]
        if len(places) == 1:
            sums = (wz.T @ z[g])[None]
        else:
            sums = np.zeros((len(places), z[f].shape[1], z[g].shape[1]))
            for a in range(sums.shape[1]):
                for b in range(sums.shape[2]):
                    sums[:, a, b] = np.bincount(place, weights=wz[:, a] * z[g][:, b], minlength=len(places))
        left = self.met[f, g][places] - np.bincount(place, minlength=len(places))
        _subtract(self.products.pairs[f, g][2], places, sums, left > 0, saved)

    def _exact(self, before):
        """Whether the sums that are left have enough digits."""
        XyWXy, p = self.products.XyWXy, self.products.p
        if not XyWXy[p, p] > LEFT * before[p, p]:
            return False
        if not p:
            return True
        left = pivots(XyWXy[:p, :p])
        if left is None or self.variation is None or (left < LEFT * self.variation).any():
            return False
        centre = self.design.x_centring.centre
        return clearly_independent(XyWXy[:p, :p], XyWXy.diagonal()[:p] + self.total_weight * centre**2)


def _distinct(codes):
    """Values that occur, sorted, and the place of each code among them."""
    if len(codes) == 1 or (codes == codes[0]).all():
        return codes[:1], np.zeros(len(codes), dtype=np.int64)
    return np.unique(codes, return_inverse=True)


def _subtract(array, places, sums, stays, saved):
    """array[places] -= sums, exactly zero where nothing stays; what stood there goes to `saved`."""
    old = array[places]
    saved.append((array, places, old))
    array[places] = np.where(stays[:, None, None], old - sums, 0.0)


def _references(block):
    """The columns of a matrix as a kernel takes them."""
    return kernels.Columns([(np.ascontiguousarray(column), 0.0) for column in block.T])


class _Columns:
    """Rows of [X r] and of every factor's columns, in the bases in which they are summed."""

    def __init__(self, design, beta0):
        self.design, self.r = design, shifted_response(design, beta0)

    def of(self, rows):
        """[X r] (k, p+1), and the columns of each factor, list of (k, c)."""
        design, gathered = self.design, {}

        def block(columns, centre, width):
            out = np.empty((len(rows), width))
            for j, (column, m) in enumerate(zip(columns, centre)):
                if column is None:
                    out[:, j] = 1.0 - m
                    continue
                if id(column) not in gathered:
                    gathered[id(column)] = column[rows]
                np.subtract(gathered[id(column)], m, out=out[:, j])
            return out

        xr = block(design.x_columns, design.x_centring.centre, design.p + 1)
        xr[:, -1] = self.r[rows]
        return xr, [block(f.columns, f.centring.centre, len(f.columns)) for f in design.factors]
