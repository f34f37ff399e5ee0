"""S = Z'H^-1 Z of all random effects, by its parts.

The levels of the first grouping factor, which has most of them, meet only through
the other factors (the core, q2 effects).  With H_1 = W^-1 + Z_1 Psi_1 Z_1', the
parts of S0 = Z'H_1^-1 Z are

    S0_l = (I + A_l Psi_1)^-1 A_l    for level l of the first factor, A = Z'WZ
    w_l  = (I + A_l Psi_1)^-1 A_12   its rows towards the core, as sparse as A_12
    S0_22 = A_22 - A_21 Psi_1 w

and the rest is an update of rank q2 (Woodbury): with G = (I + Psi_2 S0_22)^-1 Psi_2
and F = I - G S0_22,

    S_11 = S0_11 - w G w'        S_12 = w F        S_22 = S0_22 F

S_11 itself, of order q, is never formed: a trace tr(V_i S_11 V_j S_11) needs S0_l, the
blocks x_l = w_l G w_l', and N_i = w'V_i w.  G, F and S_22 are block diagonal over the
parts of the core that have no level of any factor in common (schools, when everything
is nested in them); `core_parts` finds these.  Without other factors there is no core,
and S is S0_l.
"""

import numpy as np
from scipy import sparse
from scipy.linalg import lapack
from scipy.sparse.csgraph import connected_components

from fastlmm_hlm._core.kernels import multiply_levels
from fastlmm_hlm.errors import FactorizationError

# Pairs of core effects of one level that are handled at a time.
CHUNK = 2_000_000
# Sparser matrices than this are multiplied as such.
SPARSE = 0.1
# Parts of the core up to this size are kept as sparse matrices: products of larger blocks are slow as such.
LARGEST_SPARSE_PART = 64


class ProjectedEffects:
    """The parts of S at given covariances.

    Parameters
    ----------
    products : CrossProducts
    Psi : list of ndarray (nc, nc)
        Relative covariance of each grouping factor's effects.
    part : ndarray of int (q2,), optional
        From `core_parts`, if known.

    Attributes
    ----------
    sums : list of ndarray (nc, nc), per grouping factor
        Sum over the levels of the diagonal blocks of S.
    """

    def __init__(self, products, Psi, part=None):
        self.products, self.Psi, self.part = products, Psi, part
        self.nc = [G.shape[1] for G in products.ZtWZ]
        self.nl = [len(G) for G in products.ZtWZ]
        self.start = np.concatenate([[0], np.cumsum([nl * nc for nl, nc in zip(self.nl[1:], self.nc[1:])])]).astype(int)
        self.q2 = int(self.start[-1])
        A = products.ZtWZ[0]
        M = (A.reshape(-1, self.nc[0]) @ Psi[0]).reshape(A.shape)
        M[:, np.arange(self.nc[0]), np.arange(self.nc[0])] += 1.0
        self.left = inverses(M)
        self.S0 = multiply_levels(self.left, A)
        self.sums = [self.S0.sum(axis=0)]
        if self.q2:
            self._eliminate()

    # --- the core ----------------------------------------------------------------------

    def _eliminate(self):
        level, column, raw = self._towards_core()
        self.indptr, self.column = np.searchsorted(level, np.arange(self.nl[0] + 1)), column
        counts = np.diff(self.indptr)
        self.nested = counts.max(initial=0) <= 1             # one entry at most for each level
        self.everywhere = self.nested and len(column) == self.nl[0]
        left = self.left if self.everywhere else self.left[level]
        self.values = multiply_levels(left, raw[:, :, None])[:, :, 0]      # (entries, c)
        self.w, self.A12 = self._rows(self.values), self._rows(raw)
        mixed = self.values @ self.Psi[0]
        S0_22 = self._A22() - sum(self._gram(raw[:, a], mixed[:, a]) for a in range(self.nc[0]))
        S0_22 = ((S0_22 + S0_22.T) / 2.0).tocsr()
        roots = [_root(P) for P in self.Psi[1:]]
        Lambda = sparse.block_diag([sparse.kron(sparse.identity(nl), root) for nl, root in zip(self.nl[1:], roots)], format="csr")
        K = (Lambda.T @ S0_22 @ Lambda + sparse.identity(self.q2)).tocsr()
        self.G = _as_symmetric_product(Lambda, inverse_by_parts(K, core_parts(self.products) if self.part is None else self.part))
        if sparse.issparse(self.G):
            GS = (self.G @ S0_22).tocsr()
            self.S22 = (S0_22 - S0_22 @ GS).tocsr()
            self.F = (sparse.identity(self.q2) - GS).tocsr()
        else:
            GS = _product(S0_22, self.G).T
            self.S22 = S0_22.toarray() - _product(S0_22, GS)
            self.F = np.eye(self.q2) - GS
        self.x = self._updates()
        self.sums = [self.sums[0] - self.x.sum(axis=0)]
        for g in range(1, len(self.nc)):
            blocks, on_diagonal = self._blocks(g, g)
            self.sums.append(blocks[on_diagonal].sum(axis=0))

    def _rows(self, values):
        """One sparse (levels, q2) matrix per column of the first factor, from entries (entries, c)."""
        return [self._row(values[:, a]) for a in range(self.nc[0])]

    def _row(self, values):
        """The sparse (levels, q2) matrix of numbers on the entries of A_12."""
        return sparse.csr_matrix((np.ascontiguousarray(values), self.column, self.indptr), shape=(self.nl[0], self.q2))

    def _gram(self, x, y):
        """sum over levels of x_l'y_l, sparse (q2, q2), for rows x_l, y_l with numbers at the entries of A_12."""
        if self.nested:
            return sparse.diags(np.bincount(self.column, x * y, minlength=self.q2), format="csr")
        return self._row(x).T @ self._row(y)

    def _towards_core(self):
        """Entries of A_12 by level of the first factor: level, column of the core, values (entries, c)."""
        levels, columns, values = [], [], []
        for g in range(1, len(self.nc)):
            indptr, met, blocks = self.products.pairs[0, g]
            k = np.arange(self.nc[g])
            levels.append(np.repeat(np.repeat(np.arange(self.nl[0]), np.diff(indptr)), self.nc[g]))
            columns.append((self.start[g - 1] + met.astype(np.int64)[:, None] * self.nc[g] + k).ravel())
            values.append(blocks.transpose(0, 2, 1).reshape(-1, self.nc[0]))
        level, column, value = np.concatenate(levels), np.concatenate(columns), np.concatenate(values)
        if len(self.nc) > 2:                                 # of one pair of factors they are in order
            order = np.lexsort((column, level))
            level, column, value = level[order], column[order], value[order]
        return level, column, value

    def _A22(self):
        """Z'WZ of the core, sparse."""
        blocks = [[None] * (len(self.nc) - 1) for _ in self.nc[1:]]
        for g in range(1, len(self.nc)):
            own = self.products.ZtWZ[g]
            blocks[g - 1][g - 1] = sparse.bsr_matrix((own, np.arange(self.nl[g]), np.arange(self.nl[g] + 1)))
            for h in range(g + 1, len(self.nc)):
                indptr, met, values = self.products.pairs[g, h]
                shape = (self.nl[g] * self.nc[g], self.nl[h] * self.nc[h])
                pair = sparse.bsr_matrix((values, met, indptr), shape=shape)
                blocks[g - 1][h - 1], blocks[h - 1][g - 1] = pair, pair.T
        return sparse.bmat(blocks, format="csr")

    def _updates(self):
        """x_l = w_l G w_l', (nl, c, c)."""
        c, counts = self.nc[0], np.diff(self.indptr)
        if self.everywhere:
            scaled = _elements(self.G, self.column, self.column)[:, None] * self.values
            return self.values[:, :, None] * scaled[:, None, :]
        out = np.zeros((self.nl[0], c, c))
        ends = np.cumsum(counts.astype(np.int64) ** 2)
        first = 0
        while first < self.nl[0]:
            done = ends[first - 1] if first else 0
            last = max(int(np.searchsorted(ends, done + CHUNK, side="right")), first + 1)
            d = counts[first:last]
            entry = np.arange(self.indptr[first], self.indptr[last])
            i = np.repeat(entry, np.repeat(d, d))
            within = np.arange(len(i)) - np.repeat(np.cumsum(d.astype(np.int64) ** 2) - d.astype(np.int64) ** 2, d**2)
            level = np.repeat(np.arange(last - first), d**2)
            j = self.indptr[first:last][level] + within % np.maximum(d, 1)[level]
            g = _elements(self.G, self.column[i], self.column[j])
            for a in range(c):
                for b in range(a + 1):
                    sums = np.bincount(level, self.values[i, a] * g * self.values[j, b], minlength=last - first)
                    out[first:last, a, b] = out[first:last, b, a] = sums
            first = last
        return out

    def _blocks(self, g, h):
        """Blocks of S_22 at pairs of levels of factors g and h, (pairs, c_g, c_h), and which are on its diagonal."""
        part = self.S22[self.start[g - 1] : self.start[g], self.start[h - 1] : self.start[h]]
        if sparse.issparse(part):
            blocks = part.tobsr((self.nc[g], self.nc[h]))
            row = np.repeat(np.arange(self.nl[g]), np.diff(blocks.indptr))
            return blocks.data, row == blocks.indices
        blocks = part.reshape(self.nl[g], self.nc[g], self.nl[h], self.nc[h]).transpose(0, 2, 1, 3)
        on_diagonal = np.arange(self.nl[g])[:, None] == np.arange(self.nl[h])
        return blocks.reshape(-1, self.nc[g], self.nc[h]), on_diagonal.ravel()

    # --- what is asked for ----------------------------------------------------------------

    def project(self, R):
        """Z'H^-1 K for R = Z'W K.

        Parameters
        ----------
        R : list of ndarray (nl, nc, k)

        Returns
        -------
        list of ndarray (nl, nc, k)
        """
        first = multiply_levels(self.left, R[0])
        if not self.q2:
            return [first]
        k = first.shape[2]
        rest = np.concatenate([part.reshape(-1, k) for part in R[1:]])
        for a, A in enumerate(self.A12):
            rest -= A.T @ sum(self.Psi[0][a, b] * first[:, b] for b in range(self.nc[0]))
        update = self.G @ rest
        for a, w in enumerate(self.w):
            first[:, a] -= w @ update
        others = np.split(self.F.T @ rest, self.start[1:-1])
        return [first, *(part.reshape(nl, nc, k) for part, nl, nc in zip(others, self.nl[1:], self.nc[1:]))]

    def traces_of_products(self, directions):
        """tr(V_i S V_j S), (m, m)."""
        kinds = {("first", "first"): self._trace_of_first, ("first", "core"): self._trace_of_both, ("core", "core"): self._trace_of_core}
        self._known = {}
        out = np.empty((len(directions),) * 2)
        for i, one in enumerate(directions):
            for j, other in enumerate(directions[: i + 1]):
                pair = sorted([(i, *one), (j, *other)], key=lambda item: item[1])
                names = tuple("first" if f == 0 else "core" for _, f, _ in pair)
                out[i, j] = out[j, i] = kinds[names](*pair)
        del self._known
        return out

    def _once(self, key, make):
        if key not in self._known:
            self._known[key] = make()
        return self._known[key]

    def _N(self, i, V):
        """w'V w, sparse (q2, q2)."""
        c = self.nc[0]
        products = self._once("w'w", lambda: {
            (a, b): self._gram(self.values[:, a], self.values[:, b]) for a in range(c) for b in range(a + 1)
        })

        def total():
            return sum(V[a, b] * (P if a == b else P + P.T) for (a, b), P in products.items()).tocsr()

        return self._once(("N", i), total)

    def _trace_of_first(self, one, other):
        (i, _, V), (j, _, U) = one, other
        gram = self._once("S0 S0", lambda: np.tensordot(self.S0, self.S0, axes=(0, 0)))      # sum_l S0[a, b] S0[c, d]
        value = np.einsum("ac,bd,abcd->", V, U, gram)
        if self.q2:
            cross = self._once("S0 x", lambda: np.tensordot(self.S0, self.x, axes=(0, 0)))
            NG = self._once(("NG", i), lambda: _product(self._N(i, V), self.G))
            other_NG = self._once(("NG", j), lambda: _product(self._N(j, U), self.G))
            value += _trace(NG, other_NG) - 2.0 * np.einsum("ca,bd,abdc->", V, U, cross)
        return value

    def _trace_of_both(self, one, other):
        (i, _, V), (j, g, U) = one, other
        NF = self._once(("NF", i), lambda: _product(self._N(i, V), self.F))
        VF = self._once(("VF", j), lambda: self._only(g, U) @ self.F.T)
        return _trace(NF, VF)

    def _only(self, g, V):
        """V on the levels of factor g, zero elsewhere, sparse (q2, q2)."""
        parts = [sparse.kron(sparse.identity(nl), V if k == g else np.zeros((nc, nc)))
                 for k, (nl, nc) in enumerate(zip(self.nl[1:], self.nc[1:]), start=1)]
        return sparse.block_diag(parts, format="csr")

    def _trace_of_core(self, one, other):
        (_, f, V), (_, g, U) = one, other

        def gram():
            rows = self._blocks(f, g)[0].reshape(-1, self.nc[f] * self.nc[g])
            return (rows.T @ rows).reshape(self.nc[f], self.nc[g], self.nc[f], self.nc[g])

        return np.einsum("ac,bd,abcd->", V, U, self._once((f, g), gram))

    def quadratic_forms(self, E, directions):
        """E' V_i S V_j E, (m, m, p, p).

        Parameters
        ----------
        E : list of ndarray (nl, nc, p)
        directions : list of (factor, ndarray (nc, nc))
        """
        m, p, c = len(directions), E[0].shape[2], self.nc[0]
        out = np.empty((m, m, p, p))
        flat = np.ascontiguousarray(E[0]).reshape(len(E[0]), -1)
        # sum_l S0[b, c] E[a, u] E[d, v], as (b, c, a, u, d, v)
        level = np.array([[(flat * self.S0[:, b, d, None]).T @ flat for d in range(c)] for b in range(c)]).reshape(c, c, c, p, c, p)
        in_core = self._in_core(E, directions, p) if self.q2 else None       # w'V_i E_1, or V_i E of the core
        for i, (f, V) in enumerate(directions):
            for j, (g, U) in enumerate(directions[: i + 1]):
                if f == 0 and g == 0:
                    value = np.einsum("ab,cd,bcaudv->uv", V, U, level, optimize=True)
                    if self.q2:
                        value = value - in_core[i].T @ (self.G @ in_core[j])
                elif f == 0:
                    value = in_core[i].T @ (self.F @ in_core[j])
                elif g == 0:
                    value = (in_core[j].T @ (self.F @ in_core[i])).T
                else:
                    value = in_core[i].T @ (self.S22 @ in_core[j])
                out[i, j], out[j, i] = value, value.T
        return out

    def _in_core(self, E, directions, p):
        wE = [[w.T @ np.ascontiguousarray(E[0][:, b]) for b in range(self.nc[0])] for w in self.w]
        out = []
        for f, V in directions:
            if f == 0:
                out.append(sum(V[a, b] * wE[a][b] for a in range(self.nc[0]) for b in range(self.nc[0])))
            else:
                whole = np.zeros((self.q2, p))
                whole[self.start[f - 1] : self.start[f]] = (V @ E[f]).reshape(-1, p)
                out.append(whole)
        return out


def inverses(M):
    """Inverses of many small matrices, (n, c, c)."""
    c = M.shape[1]
    if c == 1:
        return 1.0 / M
    if c == 2:
        out = np.empty_like(M)
        scale = 1.0 / (M[:, 0, 0] * M[:, 1, 1] - M[:, 0, 1] * M[:, 1, 0])
        out[:, 0, 0], out[:, 1, 1] = M[:, 1, 1] * scale, M[:, 0, 0] * scale
        out[:, 0, 1], out[:, 1, 0] = -M[:, 0, 1] * scale, -M[:, 1, 0] * scale
        return out
    return np.linalg.inv(M)


def _root(Psi):
    """A root of a covariance that may be singular."""
    values, vectors = np.linalg.eigh(Psi)
    return vectors * np.sqrt(np.maximum(values, 0.0))


def core_parts(products):
    """Which effects of the core are connected with each other, directly or through levels of the first factor.

    Parameters
    ----------
    products : CrossProducts

    Returns
    -------
    ndarray of int (q2,)
        Number of the part of each effect.
    """
    nl, nc = [len(G) for G in products.ZtWZ], [G.shape[1] for G in products.ZtWZ]
    if len(nl) == 1:
        return np.empty(0, dtype=int)
    first = np.concatenate([[0], np.cumsum(nl[1:])]).astype(np.int64)
    ends, previous = [], np.full(nl[0], -1)
    for g in range(1, len(nl)):
        indptr, met, _ = products.pairs[0, g]
        row, node = np.repeat(np.arange(nl[0]), np.diff(indptr)), first[g - 1] + met.astype(np.int64)
        same = row[1:] == row[:-1]
        ends.append((node[:-1][same], node[1:][same]))
        begins = indptr[:-1][np.diff(indptr) > 0]
        linked = previous[row[begins]] >= 0
        ends.append((previous[row[begins]][linked], node[begins][linked]))
        previous[row[begins]] = node[begins]
        for h in range(g + 1, len(nl)):
            indptr, met, _ = products.pairs[g, h]
            ends.append((first[g - 1] + np.repeat(np.arange(nl[g]), np.diff(indptr)), first[h - 1] + met.astype(np.int64)))
    i, j = (np.concatenate(side) for side in zip(*ends))
    graph = sparse.coo_matrix((np.ones(len(i), dtype=np.int8), (i, j)), shape=(first[-1],) * 2)
    part = connected_components(graph.tocsr(), directed=False)[1]
    return np.concatenate([np.repeat(part[first[g - 1] : first[g]], nc[g]) for g in range(1, len(nl))])


def is_block_diagonal(part):
    """Whether the core falls into parts so small that its matrices are kept sparse."""
    sizes = np.bincount(part).astype(float)
    return len(part) > 0 and sizes.max() <= LARGEST_SPARSE_PART and (sizes**2).sum() < SPARSE * float(len(part)) ** 2


def dense_order(part):
    """Order of the largest dense matrix that the core needs."""
    return int(np.bincount(part).max()) if is_block_diagonal(part) else len(part)


def inverse_by_parts(K, part):
    """Inverse of a sparse positive definite matrix that is block diagonal over its parts.

    Sparse when the parts are small, otherwise dense.
    """
    sizes = np.bincount(part)
    as_sparse = is_block_diagonal(part)
    if sizes.max() == 1:
        inverse = 1.0 / K.diagonal()
        return sparse.diags(inverse, format="csr") if as_sparse else np.diag(inverse)
    out = None if as_sparse else np.zeros(K.shape)
    rows, columns, values = [], [], []
    order = np.argsort(part, kind="stable")
    ordered = K if len(sizes) == 1 else K[order][:, order]
    last = 0
    for size in sizes[sizes > 0]:
        here, last = slice(last, last + size), last + size
        block = _inverse(ordered[here, here].toarray())
        own = order[here]
        if as_sparse:
            rows.append(np.repeat(own, size))
            columns.append(np.tile(own, size))
            values.append(block.ravel())
        elif len(sizes) == 1:
            return block
        else:
            out[np.ix_(own, own)] = block
    if not as_sparse:
        return out
    entries = np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))
    return sparse.csr_matrix(entries, shape=K.shape)


def _inverse(K):
    """Inverse of a dense positive definite matrix, which is used up."""
    L, failed = lapack.dpotrf(K, lower=1, overwrite_a=1)
    if failed:
        raise FactorizationError("the random-effects system is not numerically positive definite")
    half, _ = lapack.dpotri(L, lower=1, overwrite_c=1)
    lower = np.tril(half)
    return lower + np.tril(lower, -1).T


def _as_symmetric_product(Lambda, M):
    """Lambda M Lambda' for symmetric M, sparse or dense like M."""
    return Lambda @ (Lambda @ M).T


def _elements(M, i, j):
    """M[i, j] elementwise."""
    if not sparse.issparse(M):
        return M[i, j]
    if np.array_equal(i, j):
        return M.diagonal()[i]
    return np.asarray(M[i, j]).ravel()


def _product(A, B):
    """A B for sparse A; dense when B is."""
    if not sparse.issparse(B) and A.nnz > SPARSE * A.shape[0] * A.shape[1]:
        return A.toarray() @ B
    return A @ B


def _trace(A, B):
    """tr(A B)."""
    if sparse.issparse(A):
        return A.multiply(B.T).sum()
    return (A * B.T).sum()
