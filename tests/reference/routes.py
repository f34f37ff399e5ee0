"""Models that lead through every way of factoring M, and how to tell which way was taken.

CHOLMOD takes its supernodal form from 40 operations per nonzero of L on (its
documented supernodal_switch).  The core that block elimination leaves is dense up
to 400 unknowns, or when a fifth of it or a third of its factor would be full.
"""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sparse

from fastlmm_hlm._core import kernels
from reference.arrays import kernel_of, random_model

SUPERNODAL_SWITCH = 40
SMALL_CORE = 400


@dataclass(frozen=True)
class Way:
    """A route, a model and what the factor should look like.

    Attributes
    ----------
    route : int, kernels.BLOCK or kernels.WHOLE
    shape : dict, arguments of random_model
    kind : bool, what `LmmKernel.describe` says
    supernodal : bool or None, form of the sparse part; None where there is none
    """

    route: int
    shape: dict
    kind: bool
    supernodal: bool | None

    def model(self, seed=0):
        return random_model(seed, **self.shape)

    def kernel(self, model, threads=1):
        return kernel_of(model, self.route, threads)

    @property
    def core(self):
        """Unknowns left to the core, or all of them."""
        first = 1 if self.route == kernels.BLOCK else 0
        return sum(l * c for l, c in list(zip(self.shape["nl"], self.shape["nc"]))[first:])


WAYS = {
    "whole, simplicial": Way(kernels.WHOLE, {"nl": (9, 6), "nc": (2, 1)}, False, False),
    "whole, supernodal": Way(kernels.WHOLE, {"nl": (40, 40), "nc": (2, 2), "n": 700}, True, True),
    "block, small core": Way(kernels.BLOCK, {"nl": (20, 9, 6), "nc": (2, 3, 1), "n": 150}, True, None),
    "block, full core": Way(kernels.BLOCK, {"nl": (225, 140), "nc": (1, 3), "n": 900, "weighted": True}, True, None),
    "block, chained core": Way(
        kernels.BLOCK, {"nl": (300, 150, 120), "nc": (1, 2, 1), "n": 800, "layout": "chained"}, False, False
    ),
    "block, clustered core": Way(
        kernels.BLOCK, {"nl": (306, 156, 300), "nc": (1, 2, 1), "n": 1000, "layout": "clustered"}, False, True
    ),
    "block, no core": Way(kernels.BLOCK, {"nl": (12,), "nc": (3,)}, True, None),
}


def lower(kernel):
    """L of the last evaluation, sparse (q, q), and its ordering (q,)."""
    indptr, indices, values, perm = kernel.factor()
    return sparse.csc_matrix((values, indices, indptr), shape=(kernel.q,) * 2), perm


def operations_per_nonzero(kernel, columns):
    """CHOLMOD's measure for the last columns of L: sum of squared counts over sum of counts."""
    counts = np.diff(kernel.factor()[0])[-columns:].astype(float)
    return (counts**2).sum() / counts.sum()


def zeros_kept(kernel):
    """Entries of L beyond those that elimination fills; supernodes keep some."""
    return len(kernel.factor()[2]) - kernel.describe()[0]
