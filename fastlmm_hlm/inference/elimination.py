"""Algebra on the random-effects system, block by block: D on the diagonal, pairs of factors off it.

A system is given as

D      list of ndarray (nl, c, c)      diagonal block of every level, per factor
r      list of ndarray (nl, c, k)      right-hand sides
pairs  dict (f, g) -> (indptr, indices, values (m, c_f, c_g)), f < g
       blocks between levels of two factors that meet, by level of f

and may be real, or complex symmetric.
"""

import numpy as np
from scipy import sparse


def templates(fit):
    """Lambda of each factor in its centred columns, list of ndarray (c, c)."""
    out = [np.zeros(G.shape[1:]) for G in fit._products.ZtWZ]
    for term, T in zip(fit._terms, fit._estimates.templates):
        B = fit._centrings[term.factor].B[term.columns, term.columns]
        out[term.factor][term.columns, term.columns] = np.linalg.solve(B, T)
    return out


def in_spherical_columns(Lambda, ZtZ, ZtX, pairs):
    """Cross-products of Z Lambda from those of Z: U'U, U'X and the pairs."""
    UtU = [L.T @ G @ L for L, G in zip(Lambda, ZtZ)]
    UtX = [L.T @ R for L, R in zip(Lambda, ZtX)]
    between = {
        (f, g): (indptr, indices, Lambda[f].T @ values @ Lambda[g]) for (f, g), (indptr, indices, values) in pairs.items()
    }
    return UtU, UtX, between


def is_nested(pairs):
    """Whether every level of a factor lies in one level of each later factor."""
    return all((np.diff(indptr) == 1).all() for indptr, _, _ in pairs.values())


def solve_blocks(D, R):
    """D^-1 R for many small systems, (m, c, c) and (m, c, k)."""
    return R / D if D.shape[1] == 1 else np.linalg.solve(D, R)


def invert_blocks(D):
    """D^-1 of many small matrices, (m, c, c)."""
    return solve_blocks(D, np.broadcast_to(np.eye(D.shape[1]), D.shape))


def add_levels(blocks, group, size):
    """Sum blocks, (m, a, b), over the levels of each group, (size, a, b)."""
    m, a, b = blocks.shape
    pick = sparse.csr_array((np.ones(m), (group, np.arange(m))), shape=(size, m))
    return (pick @ np.ascontiguousarray(blocks).reshape(m, a * b)).reshape(size, a, b)


def eliminate(D, r, pairs):
    """Eliminate nested factors from the leaves of the tree to its root.

    Yields
    ------
    D_f : ndarray (nl, c, c)
        Schur complement of the factor when its turn comes.
    r_f : ndarray (nl, c, k)
        Its right-hand side then.
    E_f : ndarray (nl, c, a)
        D_f^-1 times its blocks towards its ancestors, side by side.
    y_f : ndarray (nl, c, k)
        D_f^-1 r_f.
    """
    D, r, nf = list(D), list(r), len(D)
    up = {key: values for key, (_, _, values) in pairs.items()}
    for f in range(nf):
        later = range(f + 1, nf)
        widths = [up[f, g].shape[2] for g in later]
        ends = np.cumsum([0, *widths])
        Y = solve_blocks(D[f], np.concatenate([*(up[f, g] for g in later), r[f]], axis=2))
        yield D[f], r[f], Y[:, :, : ends[-1]], Y[:, :, ends[-1] :]
        for k, g in enumerate(later):
            taken = add_levels(up[f, g].transpose(0, 2, 1) @ Y[:, :, ends[k] :], pairs[f, g][1], len(D[g]))
            D[g] = D[g] - taken[:, :, : widths[k]]
            at = widths[k]
            for h, width in zip(later[k + 1 :], widths[k + 1 :]):
                up[g, h] = up[g, h] - taken[:, :, at : at + width]
                at += width
            r[g] = r[g] - taken[:, :, at:]


def starts_of(D):
    """First unknown of each factor, and their number: ndarray (factors + 1,)."""
    return np.cumsum([0, *(block.shape[0] * block.shape[1] for block in D)])


def stacked(r):
    """Right-hand sides of all factors one below the other, (q, k)."""
    return np.concatenate([x.reshape(x.shape[0] * x.shape[1], x.shape[2]) for x in r])


def sparse_system(D, pairs, first=0):
    """The whole system without the factors before `first`, csc."""
    starts = starts_of(D) - starts_of(D)[first]
    rows, columns, values = [], [], []

    def place(f, levels_f, g, levels_g, blocks):
        c, d = blocks.shape[1:]
        i = starts[f] + levels_f[:, None, None] * c + np.arange(c)[:, None]
        j = starts[g] + levels_g[:, None, None] * d + np.arange(d)
        rows.append(np.broadcast_to(i, blocks.shape).ravel())
        columns.append(np.broadcast_to(j, blocks.shape).ravel())
        values.append(blocks.ravel())

    for f in range(first, len(D)):
        levels = np.arange(len(D[f]), dtype=np.int64)
        place(f, levels, f, levels, D[f])
    for (f, g), (indptr, indices, blocks) in pairs.items():
        if f >= first:
            level_f = np.repeat(np.arange(len(indptr) - 1, dtype=np.int64), np.diff(indptr))
            level_g = indices.astype(np.int64)
            place(f, level_f, g, level_g, blocks)
            place(g, level_g, f, level_f, blocks.transpose(0, 2, 1))
    size = int(starts[-1])
    entries = (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns)))
    return sparse.csc_array(entries, shape=(size, size))


def factorized(M):
    """A sparse LU factor of a symmetric matrix, with a fill-reducing order for it."""
    from scipy.sparse.linalg import splu

    return splu(M, permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True})
