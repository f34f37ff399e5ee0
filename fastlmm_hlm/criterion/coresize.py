"""How large the core becomes: what is left for the other factors when the biggest is eliminated.

Unknowns of the core are neighbours when they meet in a level of the biggest factor.  Levels that are not
connected at all (districts between which nobody moves) never become neighbours, so the factor of the core has
at most the sum over connected parts of n_c (n_c + 1) / 2 entries; where most unknowns of a part meet, as many.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

# As in csrc: a core of so few unknowns is dense without asking, and one whose pattern is at least so full.
SMALL_CORE, HALF_FULL, MOSTLY_FULL = 400, 0.2, 0.35
# Elimination fills a matrix in which so many unknowns are neighbours of neighbours.
CLOSE = 0.5
# Unknowns with so many times the middle number of neighbours are eliminated last and fill nothing.
HUB = 10
# Unknowns of the core whose neighbours are counted one by one.
COUNTED = 60


@dataclass(frozen=True)
class CoreSize:
    """Order, entries and work of the core.

    Attributes
    ----------
    order : int
        Unknowns.
    entries : float
        Numbers in its factor: at most, where it is sparse.
    dense : bool
        It is stored full.
    certain : bool
        The pattern itself is full; otherwise elimination is expected to fill it.
    flops : float
        Of factoring it and inverting where it has entries, for one evaluation.
    """

    order: int
    entries: float
    dense: bool
    flops: float
    certain: bool = True

    @property
    def bytes(self):
        """Memory: two matrices where dense; factor, inverse and their pattern where sparse."""
        return 16.0 * self.order**2 if self.dense else 28.0 * self.entries


def core_of_parts(parts, density, close=1.0):
    """The core of connected parts.

    Parameters
    ----------
    parts : array
        Unknowns of each.
    density, close : float
        Shares of the pairs in a part that are neighbours, and neighbours or neighbours of neighbours.
    """
    parts = np.asarray(parts, dtype=float)
    order = float(parts.sum())
    full, own = order * (order + 1) / 2, float((parts * (parts + 1)).sum() / 2)
    certain = bool(order <= SMALL_CORE or density * own > HALF_FULL * full)
    dense = certain or bool(close > CLOSE and own > MOSTLY_FULL * full)
    return CoreSize(int(order), full if dense else own, dense, order**3 if dense else float((parts**3).sum()), certain)


def core_size(products):
    """The core of a model, from the pairs of levels that meet.

    Parameters
    ----------
    products : CrossProducts

    Returns
    -------
    CoreSize
    """
    nl = [len(G) for G in products.ZtWZ]
    nc = [G.shape[1] for G in products.ZtWZ]
    if len(nl) == 1:
        return CoreSize(0, 0.0, True, 0.0)
    biggest = int(np.argmax(nl))
    if biggest != 0:
        raise ValueError("the factor with most levels comes first")
    first = np.concatenate([[0], np.cumsum(nl[1:])])
    rows, columns = [], []
    for g in range(1, len(nl)):
        indptr, indices, _ = products.pairs[0, g]
        rows.append(np.repeat(np.arange(nl[0], dtype=np.int32), np.diff(indptr)))
        columns.append(indices.astype(np.int64) + first[g - 1])
    shape = nl[0], int(first[-1])
    row, column = np.concatenate(rows), np.concatenate(columns)
    meets = coo_matrix((np.ones(len(row), dtype=np.int8), (row, column)), shape=shape).tocsr()
    width = np.repeat(nc[1:], nl[1:]).astype(float)
    graph = coo_matrix((np.ones(len(row), dtype=np.int8), (row, column + nl[0])), shape=(sum(shape),) * 2)
    _, part = connected_components(graph, directed=False)
    parts = np.bincount(part[nl[0] :], weights=width)
    parts = parts[parts > 0]
    return core_of_parts(parts, *_closeness(meets, width, part[nl[0] :]))


def _closeness(meets, width, part):
    """Shares of pairs within parts that are neighbours, and at most two steps apart, from a few unknowns spread over the core."""
    by_column = meets.tocsc()
    sizes = np.bincount(part, weights=width)
    some = np.unique(np.linspace(0, len(width) - 1, COUNTED).astype(np.int64))

    def neighbours(columns):
        levels = np.unique(by_column[:, columns].indices)
        return np.unique(meets[levels].indices)

    around = [neighbours([k]) for k in some]
    hubs = np.diff(by_column.indptr) > HUB * np.median(np.diff(by_column.indptr))
    possible = (width[some] * sizes[part[some]]).sum()
    one = sum(width[k] * width[own].sum() for k, own in zip(some, around))
    two = sum(width[k] * width[neighbours(own[~hubs[own]])].sum() for k, own in zip(some, around))
    return (min(1.0, one / possible), min(1.0, two / possible)) if possible else (1.0, 1.0)


def random_density(n, nl_first, nl_second):
    """Share of pairs of the second factor's levels that meet in some level of the first one, if n rows cross at random."""
    per_level = nl_second * -math.expm1(-n / (nl_first * nl_second)) if nl_second else 0.0
    return -math.expm1(-nl_first * (per_level / nl_second) ** 2) if nl_second else 0.0
