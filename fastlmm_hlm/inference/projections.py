"""How the precision of the fixed effects depends on the variance components.

With H = W^-1 + Z Psi Z' (Var(y) = sigma^2 H) and C = X'H^-1 X, the covariance of
the fixed effects is sigma^2 C^-1.  A direction V of the covariance of one
grouping factor's effects changes H by Z V Z', so everything that the methods of
Satterthwaite and of Kenward and Roger ask for is made of

    E = Z'H^-1 X          S = Z'H^-1 Z

    K_i  = X'H^-1 Z V_i Z'H^-1 X              = sum_l E_l' V_i E_l         (dC = -K_i)
    Q_ij = X'H^-1 Z V_i Z'H^-1 Z V_j Z'H^-1 X = E' V_i S V_j E
    T_ij = tr(H^-1 Z V_i Z' H^-1 Z V_j Z')    = sum_lm tr(V_i S_lm V_j S_ml)
    t_i  = tr(H^-1 Z V_i Z')                  = sum_l tr(V_i S_ll)

E needs one solve per fixed effect, Q one per direction and fixed effect.  S is
block diagonal when there is one grouping factor, so T costs one pass over its
levels.  Otherwise S is dense, and is made in panels of columns that are used and
forgotten: q solves, and memory for one panel.

Arrays are those of the cross-products: per grouping factor (levels, columns, .),
columns and fixed effects in the centred basis of `CrossProducts`.
"""

import numpy as np

from fastlmm_hlm._core.threads import one_blas_thread

# Columns of S that are made at a time.
PANEL = 256


class Projections:
    """E, K, Q, T and t at the estimates of one fit.

    Parameters
    ----------
    criterion : LmmCriterion
    estimates : LmmEstimates

    Attributes
    ----------
    Cinv : ndarray (p, p)
        (X'H^-1 X)^-1.
    E : list of ndarray (nl, nc, p), per grouping factor
    pwrss : float
        r2 = sigma^2 N.
    """

    def __init__(self, criterion, estimates):
        self.criterion, self.estimates = criterion, estimates
        self.products = criterion.products
        self.p, self.nc = self.products.p, criterion.nc
        self.pwrss, self.score = criterion.score_at_templates(estimates.templates)
        RX = criterion.kernel.RX()
        inverse = np.linalg.solve(RX, np.eye(self.p))
        self.Cinv = inverse @ inverse.T
        self.E = self._project([Z[:, :, : self.p] for Z in self.products.ZtWXy]) if self.p else []
        self._grams = [np.tensordot(E, E, axes=(0, 0)) for E in self.E]        # (nc, p, nc, p)
        self._blocks = self._squares = None

    def _at_estimates(self):
        """Put the kernel, which others may have moved, at the estimates."""
        self.criterion.evaluate_templates(self.estimates.templates)

    def _project(self, R):
        """Z'H^-1 K = R - Z'WZ Lambda M^-1 Lambda' R for R = Z'W K."""
        kernel = self.criterion.kernel
        R = [np.ascontiguousarray(part) for part in R]
        with one_blas_thread():
            AB = kernel.multiply(kernel.solve(R))
        return [part - other for part, other in zip(R, AB)]

    @property
    def one_factor(self):
        """Whether S is block diagonal."""
        return len(self.nc) == 1

    def K(self, directions):
        """K_i, (m, p, p).

        Parameters
        ----------
        directions : sequence of (factor, ndarray (nc, nc))
        """
        out = np.zeros((len(directions), self.p, self.p))
        for i, (f, V) in enumerate(directions):
            out[i] = np.einsum("ab,aubv->uv", V, self._grams[f])
        return (out + out.transpose(0, 2, 1)) / 2.0

    def log_pwrss(self, directions):
        """d log r2 in each direction, (m,)."""
        return np.array([-(V * self.score[f]).sum() / self.pwrss for f, V in directions])

    def Q(self, directions):
        """Q_ij, (m, m, p, p); Q_ji is the transpose of Q_ij."""
        m, p = len(directions), self.p
        DE = [np.matmul(V, self.E[f]) for f, V in directions]
        if self.one_factor:
            SDE = [[np.matmul(self.level_blocks(), part)] for part in DE]
        else:
            whole = [np.zeros((len(E), nc, m * p)) for E, nc in zip(self.E, self.nc)]
            for i, ((f, _), part) in enumerate(zip(directions, DE)):
                whole[f][:, :, i * p : (i + 1) * p] = part
            self._at_estimates()
            projected = self._project(self.criterion.kernel.multiply(whole))
            SDE = [[part[:, :, i * p : (i + 1) * p] for part in projected] for i in range(m)]
        out = np.empty((m, m, p, p))
        for i, ((f, _), part) in enumerate(zip(directions, DE)):
            for j in range(m):
                out[i, j] = np.tensordot(part, SDE[j][f], axes=((0, 1), (0, 1)))
        return out

    def T(self, directions):
        """T_ij, (m, m)."""
        out = np.empty((len(directions),) * 2)
        for i, (f, V) in enumerate(directions):
            for j, (g, U) in enumerate(directions[: i + 1]):
                first, second = ((f, V), (g, U)) if f <= g else ((g, U), (f, V))
                gram = self._gram_of_S(first[0], second[0])
                out[i, j] = out[j, i] = np.einsum("ac,bd,abcd->", first[1], second[1], gram)
        return out

    def t(self, directions):
        """t_i, (m,)."""
        if self.one_factor:
            sums = [self.level_blocks().sum(axis=0)]
        else:
            self._gram_of_S(0, 0)
            sums = self._diagonal
        return np.array([(V * sums[f]).sum() for f, V in directions])

    def level_blocks(self):
        """S_l = (I + A_l Psi)^-1 A_l of the only grouping factor, (nl, nc, nc)."""
        if self._blocks is None:
            A, Psi = self.products.ZtWZ[0], self._Psi()[0]
            self._blocks = np.linalg.solve(np.eye(self.nc[0]) + A @ Psi, A)
        return self._blocks

    def _Psi(self):
        """Relative covariance of each factor's effects, centred columns: list of (nc, nc)."""
        out = [np.zeros((c, c)) for c in self.nc]
        for term, template in zip(self.criterion.terms, self.estimates.templates):
            root = np.linalg.solve(self.criterion.basis_of(term), template)
            out[term.factor][term.columns, term.columns] = root @ root.T
        return out

    def _gram_of_S(self, f, g):
        """sum_lm S_lm[a, b] S_lm[c, d] over levels l of f and m of g >= f, (nc_f, nc_g, nc_f, nc_g)."""
        if self._squares is None:
            if self.one_factor:
                S = self.level_blocks()
                self._squares = {(0, 0): np.tensordot(S, S, axes=(0, 0))}
            else:
                self._sum_over_panels()
        return self._squares[f, g]

    def _sum_over_panels(self):
        """Make S = A - A Lambda M^-1 Lambda' A panel by panel, and keep its sums of products."""
        self._at_estimates()
        self._squares, self._diagonal = {}, [np.zeros((c, c)) for c in self.nc]
        for g, c in enumerate(self.nc):
            nl, step = len(self.products.ZtWZ[g]), max(PANEL // c, 1)
            sums = [np.zeros((self.nc[f] * c,) * 2) for f in range(g + 1)]
            for first in range(0, nl, step):
                levels = np.arange(first, min(first + step, nl))
                S = self._project(self._columns_of_A(g, levels))
                for f in range(g + 1):
                    rows = S[f].reshape(len(S[f]), self.nc[f], len(levels), c).transpose(0, 2, 1, 3)
                    rows = rows.reshape(-1, self.nc[f] * c)
                    sums[f] += rows.T @ rows
                own = S[g].reshape(nl, c, len(levels), c)
                self._diagonal[g] += own[levels, :, np.arange(len(levels))].sum(axis=0)
            for f in range(g + 1):
                self._squares[f, g] = sums[f].reshape(self.nc[f], c, self.nc[f], c)

    def _columns_of_A(self, g, levels):
        """Columns of Z'WZ at consecutive levels of factor g: per factor (nl, nc, levels * nc_g)."""
        c, k = self.nc[g], len(levels)
        out = [np.zeros((len(A), A.shape[1], k, c)) for A in self.products.ZtWZ]
        out[g][levels, :, np.arange(k)] = self.products.ZtWZ[g][levels]
        for f in range(len(self.nc)):
            if f < g:
                indptr, met, values = self.products.pairs[f, g]
                row = np.repeat(np.arange(len(indptr) - 1), np.diff(indptr))
                inside = (met >= levels[0]) & (met <= levels[-1])
                out[f][row[inside], :, met[inside] - levels[0]] = values[inside]
            elif f > g:
                indptr, met, values = self.products.pairs[g, f]
                inside = slice(indptr[levels[0]], indptr[levels[-1] + 1])
                column = np.repeat(np.arange(k), np.diff(indptr[levels[0] : levels[-1] + 2]))
                out[f][met[inside], :, column] = values[inside].transpose(0, 2, 1)
        return [part.reshape(len(part), part.shape[1], k * c) for part in out]
