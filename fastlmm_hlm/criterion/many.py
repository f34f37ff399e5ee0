"""The criterion of many responses or constraints at once, against one factorization layout.

A refit on a simulated response, and a point of a profile, need the criterion of the
same Z, X and W with other numbers Z'Wr, X'Wr, r'Wr, or with sigma treated another
way.  Each evaluation is one C call of some microseconds; the small matrices around
it are stacked, so that Python's overhead is paid once for all points.

With 1/sigma^2 = s and N = n or n - p, every criterion here is

    d = log|L|^2 [+ log|RX|^2] + N log(2 pi / s) + s r2

and differs in what s is: N / r2 (profiled), a given number (`FixedSigma`), or
h(Psi) / c^2 where h is the relative variance of one column and c its standard
deviation (`FixedDeviation`).
"""

import math
from dataclasses import dataclass

import numpy as np

from fastlmm_hlm._core import kernels
from fastlmm_hlm._core.threads import one_blas_thread
from fastlmm_hlm.criterion.lmm import BLAS_MATTERS, FLOOR


@dataclass(frozen=True)
class Responses:
    """Cross-products of several shifted responses r with one model.

    Attributes
    ----------
    ZtWr : ndarray (responses, q)     factor by factor, level by level, column fastest
    XrWr : ndarray (responses, p+1)   X'Wr, then r'Wr
    """

    ZtWr: np.ndarray
    XrWr: np.ndarray

    def __len__(self):
        return len(self.XrWr)


def own_response(products):
    """The response that the cross-products were made with, as one of one."""
    ZtWr = np.concatenate([block[:, :, -1].ravel() for block in products.ZtWXy])
    return Responses(ZtWr[None], products.XyWXy[-1:].copy())


def kernel_for_many(products, factorization="auto", threads=1):
    """A kernel whose response columns may be overwritten: it has copies of them."""
    route = kernels.WHOLE if factorization == "cholmod" else kernels.BLOCK
    ZtWXy = [block.copy() for block in products.ZtWXy]
    return kernels.LmmKernel(products.ZtWZ, ZtWXy, products.XyWXy.copy(), products.pairs, route, threads)


class Profiled:
    """sigma^2 = r2 / N."""

    def precision(self, who, N, r2, roots):
        """s = 1/sigma^2, (k,)."""
        return N / r2

    def add_slope(self, who, N, r2, s, roots, g_Psi):
        """Add to the derivatives with respect to Psi what comes from s as a function of Psi."""

    def add_curvature(self, who, N, r2, s, roots, V, q_i, H):
        """Add to the Hessian what comes from s as a function of Psi and r2."""
        H -= (N / r2**2)[:, None, None] * (q_i[:, :, None] * q_i[:, None, :])


class FixedSigma(Profiled):
    """sigma is given, (points,)."""

    def __init__(self, sigma):
        self.sigma = np.asarray(sigma, dtype=float)

    def precision(self, who, N, r2, roots):
        return self.sigma[who] ** -2.0

    def add_curvature(self, who, N, r2, s, roots, V, q_i, H):
        pass


class FixedDeviation(Profiled):
    """A standard deviation of a random effect is given: sigma = deviation / sqrt(h), h = a'Psi a.

    Parameters
    ----------
    deviation : ndarray (points,)
        Positive.
    term : int
    a : ndarray (c,)
        In the working columns of the term.
    where : slice
        Parameters of the term.
    """

    def __init__(self, deviation, term, a, where):
        self.deviation, self.term, self.a, self.where = np.asarray(deviation, dtype=float), term, a, where

    def _variance(self, roots):
        return ((self.a @ roots[self.term]) ** 2).sum(axis=1)

    def precision(self, who, N, r2, roots):
        return self._variance(roots) / self.deviation[who] ** 2

    def add_slope(self, who, N, r2, s, roots, g_Psi):
        g_Psi[self.term] += ((s * r2 - N) / self._variance(roots))[:, None, None] * np.outer(self.a, self.a)

    def add_curvature(self, who, N, r2, s, roots, V, q_i, H):
        h = self._variance(roots)
        h_i = np.zeros_like(q_i)
        h_i[:, self.where] = (V[self.term] @ self.a) @ self.a / h[:, None]
        cross = q_i[:, :, None] * h_i[:, None, :] * s[:, None, None]
        H += N * h_i[:, :, None] * h_i[:, None, :] - cross - np.swapaxes(cross, 1, 2)


@dataclass
class Evaluations:
    """The criterion at several points.

    Attributes
    ----------
    usable : ndarray of bool (k,)
        False where the criterion does not exist.
    value : ndarray (k,)
    gradient : ndarray (k, m) or None
    hessian : ndarray (k, m, m) or None
    """

    usable: np.ndarray
    value: np.ndarray
    gradient: np.ndarray | None = None
    hessian: np.ndarray | None = None


class ManyCriterion:
    """The criterion at many points, each with its response and its rule for sigma.

    Parameters
    ----------
    products : CrossProducts
    kernel : LmmKernel
        From `kernel_for_many`; its response columns are overwritten.
    terms : list of RandomTerm
    coordinates : list
        Of each term, see `fastlmm_hlm.criterion.coordinates`.
    bases : list of ndarray (c, c)
        Columns summed in the cross-products @ basis = working columns of the term.
    reml : bool
    responses : Responses
    which : ndarray of int64 (points,)
        Response of each point.
    rule : Profiled, FixedSigma or FixedDeviation
    """

    def __init__(self, products, kernel, terms, coordinates, bases, reml, responses, which, rule=None):
        self.products, self.kernel, self.terms = products, kernel, terms
        self.coordinates, self.bases, self.reml = coordinates, bases, bool(reml)
        self.responses, self.which = responses, np.ascontiguousarray(which, dtype=np.int64)
        self.rule = Profiled() if rule is None else rule
        self.N = products.n - products.p if reml else products.n
        self.nc = [G.shape[1] for G in products.ZtWZ]
        self.starts = np.concatenate([[0], np.cumsum([c * c for c in self.nc])])
        sizes = [c.size for c in coordinates]
        self.slices = [slice(a, a + m) for a, m in zip(np.cumsum([0, *sizes[:-1]]).tolist(), sizes)]
        self.size = sum(sizes)
        self.factor_of = np.repeat([t.factor for t in terms], sizes).astype(np.int32)
        self.floors = [FLOOR / math.sqrt(max(products.n / products.ZtWZ[t.factor].shape[0], 1.0)) for t in terms]
        # with a core of other factors BLAS starts threads at a few dozen unknowns
        self._blas_matters = kernel.q > BLAS_MATTERS or kernel.nf > 1
        self.evaluations = 0

    def roots(self, par, who):
        """lambda of each term at the points, list of (k, c, c)."""
        return [c.root(par[:, s], who) for c, s in zip(self.coordinates, self.slices)]

    def normalize(self, par, who):
        """The same models with the signs of lme4, (k, m)."""
        parts = [c.normalize(par[:, s], who) for c, s in zip(self.coordinates, self.slices)]
        return np.concatenate(parts, axis=1) if parts else par

    def flat(self, templates):
        """Templates of the terms in the summed columns, list of (k, c, c), as the kernel takes them."""
        k = len(templates[0])
        out = np.zeros((k, int(self.starts[-1])))
        for term, T in zip(self.terms, templates):
            c, first = self.nc[term.factor], int(self.starts[term.factor])
            out[:, first : first + c * c].reshape(k, c, c)[:, term.columns, term.columns] = T
        return out

    def _Lambda(self, roots):
        return self.flat([T @ root for T, root in zip(self.bases, roots)])

    def _many(self, Lambda, what, who, *directions):
        r = self.responses
        self.evaluations += len(who)
        with one_blas_thread(self._blas_matters):
            return self.kernel.evaluate_many(
                Lambda, what, self.reml, self.which[who], r.ZtWr, r.XrWr, *directions
            )

    def _value(self, who, ldL2, ldRX2, r2, s):
        value = ldL2 + self.N * np.log(2.0 * math.pi / s) + s * r2 - self.products.sum_log_weights
        return value + ldRX2 if self.reml else value

    def value(self, par, who):
        """Values alone, Evaluations."""
        roots = self.roots(par, who)
        usable, ldL2, ldRX2, r2, *_ = self._many(self._Lambda(roots), kernels.VALUE, who)
        r2 = np.where(usable, r2, 1.0)
        s = self.rule.precision(who, self.N, r2, roots)
        return Evaluations(usable, np.where(usable, self._value(who, ldL2, ldRX2, r2, s), np.inf))

    def sigma(self, par, who):
        """Residual standard deviation at the points, (k,)."""
        roots = self.roots(par, who)
        r2 = self._many(self._Lambda(roots), kernels.VALUE, who)[3]
        return self.rule.precision(who, self.N, r2, roots) ** -0.5

    def _directions(self, V):
        """dPsi/dpar in the summed columns, as the kernel takes them, (k, sum over directions of nc^2)."""
        parts = []
        for term, T, W in zip(self.terms, self.bases, V):
            k, m, c = W.shape[0], W.shape[1], self.nc[term.factor]
            block = np.zeros((k, m, c, c))
            block[:, :, term.columns, term.columns] = T @ W @ T.T
            parts.append(block.reshape(k, m * c * c))
        return np.ascontiguousarray(np.concatenate(parts, axis=1))

    def evaluate(self, par, who):
        """Values with exact gradients and average-information curvature.

        Parameters
        ----------
        par : ndarray (k, m)
        who : ndarray of int (k,)
            The points, as numbers into ``which`` and the arrays of the rule.

        Returns
        -------
        Evaluations
        """
        who = np.asarray(who)
        both = [c.derivatives(par[:, s], who) for c, s in zip(self.coordinates, self.slices)]
        roots, V = [root for root, _ in both], [dPsi for _, dPsi in both]
        traces_at, raised = self._raised(roots)
        D, Lambda = self._directions(V), self._Lambda(roots)
        what = kernels.SCORE | kernels.INFORMATION | (0 if raised.all() else kernels.TRACE)
        usable, ldL2, ldRX2, r2, trace, score, q = self._many(Lambda, what, who, self.factor_of, D)
        if raised.any():
            floored = self._Lambda([root[raised] for root in traces_at])
            trace[raised] = self._many(floored, kernels.TRACE, who[raised])[4]
        r2 = np.where(usable, r2, 1.0)
        s = self.rule.precision(who, self.N, r2, roots)

        g_Psi, Q = [], []
        for term, T, root in zip(self.terms, self.bases, traces_at):
            c, part = self.nc[term.factor], slice(self.starts[term.factor], self.starts[term.factor + 1])
            S = trace[:, part].reshape(-1, c, c)[:, term.columns, term.columns]
            own = score[:, part].reshape(-1, c, c)[:, term.columns, term.columns]
            Q.append(T.T @ own @ T)
            g_Psi.append(_congruent(root, S) - s[:, None, None] * Q[-1])
        self.rule.add_slope(who, self.N, r2, s, roots, g_Psi)

        k = len(par)
        q_i, gradient = np.empty((k, self.size)), np.empty((k, self.size))
        hessian = s[:, None, None] * q
        for W, part, q_part, g in zip(V, self.slices, Q, g_Psi):
            flat = W.reshape(k, part.stop - part.start, g[0].size)
            q_i[:, part] = (flat @ q_part.reshape(k, -1, 1))[:, :, 0]
            gradient[:, part] = (flat @ g.reshape(k, -1, 1))[:, :, 0]
        self.rule.add_curvature(who, self.N, r2, s, roots, V, q_i, hessian)
        for coordinates, part, g in zip(self.coordinates, self.slices, g_Psi):
            hessian[:, part, part] += coordinates.curvature(par[:, part], who, g)
        value = self._value(who, ldL2, ldRX2, r2, s)
        usable = usable & np.isfinite(value + gradient.sum(axis=1) + hessian.sum(axis=(1, 2)))
        return Evaluations(usable, np.where(usable, value, np.inf), gradient, hessian)

    def _raised(self, roots):
        """lambda with singular values raised to the floors where traces divide by them, and where that changed it."""
        out, changed = [], np.zeros(len(roots[0]), dtype=bool)
        for root, floor in zip(roots, self.floors):
            if root.shape[1] == 1:
                low = np.abs(root[:, 0, 0]) < floor
                root = np.where(low[:, None, None], floor, root)
            else:
                low = np.linalg.svd(root, compute_uv=False)[:, -1] < floor
                if low.any():
                    U, d, Vt = np.linalg.svd(root[low])
                    root = root.copy()
                    root[low] = (U * np.maximum(d, floor)[:, None, :]) @ Vt
            out.append(root)
            changed |= low
        return out, changed

    def solve(self, templates, who):
        """Solutions at templates of the summed columns, list of (k, c, c); see `LmmKernel.solve_many`."""
        r = self.responses
        with one_blas_thread(self._blas_matters):
            return self.kernel.solve_many(self.flat(templates), self.reml, self.which[who], r.ZtWr, r.XrWr)


def _congruent(root, S):
    """lambda'^-1 S lambda^-1, symmetric, (k, c, c)."""
    if root.shape[1] == 1:
        return S / root**2
    inverse = np.linalg.inv(root)
    out = np.swapaxes(inverse, 1, 2) @ S @ inverse
    return (out + np.swapaxes(out, 1, 2)) / 2.0
