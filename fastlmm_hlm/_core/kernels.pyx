# cython: language_level=3, boundscheck=False, wraparound=False
"""Cython layer over csrc/: check the arrays once, release the GIL around one C
call, turn its status into an exception.  No arithmetic happens here."""

from libc.stdint cimport int32_t, int64_t
from libc.stdlib cimport calloc, free
from scipy.linalg cimport cython_blas, cython_lapack

from fastlmm_hlm._core cimport flmm

import numpy as np

from fastlmm_hlm.errors import FactorizationError

VALUE, TRACE, SCORE, INFORMATION = flmm.FLMM_VALUE, flmm.FLMM_TRACE, flmm.FLMM_SCORE, flmm.FLMM_INFORMATION
BLOCK, WHOLE = flmm.FLMM_BLOCK, flmm.FLMM_WHOLE

cdef flmm.flmm_blas BLAS
BLAS.dgemm = cython_blas.dgemm
BLAS.dsyrk = cython_blas.dsyrk
BLAS.dtrsm = cython_blas.dtrsm
BLAS.dpotrf = cython_lapack.dpotrf
BLAS.dpotri = cython_lapack.dpotri


class NotPositiveDefinite(FactorizationError):
    """Lambda'Z'WZ Lambda + I, or RX'RX, is not numerically positive definite."""


class NoResidual(FactorizationError):
    """The penalized residual sum of squares is zero: the model fits y exactly."""


cdef int check(int status) except -1:
    """The one place where a C status becomes a sentence."""
    if status == flmm.FLMM_OK:
        return 0
    if status == flmm.FLMM_NO_MEMORY:
        raise MemoryError("the model needs more memory than this machine can give; fewer levels or a smaller "
                          "random-effects part would need less")
    if status == flmm.FLMM_BAD_LEVEL:
        raise ValueError("a level code lies outside 0 .. nl-1")
    if status == flmm.FLMM_BAD_ARGUMENT:
        raise ValueError("lengths of the arrays do not fit each other")
    if status == flmm.FLMM_M_NOT_POSITIVE:
        raise NotPositiveDefinite("the random-effects system is not numerically positive definite")
    if status == flmm.FLMM_X_NOT_POSITIVE:
        raise NotPositiveDefinite("the fixed-effects system is not numerically positive definite: the columns of "
                                  "the model matrix are linearly dependent")
    if status == flmm.FLMM_NO_RESIDUAL:
        raise NoResidual("the residual sum of squares is zero: the model reproduces the response exactly")
    if status == flmm.FLMM_TOO_LARGE:
        raise OverflowError("the model has more random effects than the index type can count")
    raise FactorizationError("CHOLMOD could not factorize the random-effects system")


include "rows.pxi"


def multiply_levels(const double[:, :, ::1] L, const double[:, :, ::1] R):
    """L_l R_l of every level: (nl, c, c) and (nl, c, k) give (nl, c, k)."""
    cdef Py_ssize_t nl = L.shape[0], c = L.shape[1], k = R.shape[2]
    if L.shape[2] != c or R.shape[0] != nl or R.shape[1] != c:
        raise ValueError(f"cannot multiply {nl} matrices {c} x {L.shape[2]} with {R.shape[0]} matrices {R.shape[1]} x {k}")
    out = np.empty((nl, c, k))
    cdef double[:, :, ::1] out_view = out
    if nl and c and k:
        with nogil:
            flmm.flmm_multiply_levels(nl, <int32_t>c, k, &L[0, 0, 0], &R[0, 0, 0], &out_view[0, 0, 0])
    return out


def lower_factor(F):
    """The lower triangular C with C C' = F F' and diagonal >= 0, (c, c) for F (c, k), k >= c."""
    C = np.array(F, dtype=np.float64, order="C")
    cdef double[:, ::1] view = C
    cdef Py_ssize_t c = view.shape[0], k = view.shape[1]
    if not 1 <= c <= k:
        raise ValueError(f"F is {c} x {k}, expected at least as many columns as rows")
    cdef double[::1] work = np.empty(k)
    flmm.flmm_lower_factor(<int32_t>c, <int32_t>k, &view[0, 0], &work[0])
    return C if c == k else C[:, :c]


cdef int check_one_of_many(int status) except -1:
    """An exception for what concerns all evaluations, silence for what concerns one."""
    if status in (flmm.FLMM_OK, flmm.FLMM_M_NOT_POSITIVE, flmm.FLMM_X_NOT_POSITIVE, flmm.FLMM_NO_RESIDUAL):
        return 0
    return check(status)


cdef class LmmKernel:
    """The criterion of one model (csrc/lmm.c); refers to the arrays it is given.

    Parameters
    ----------
    ZtWZ : list of (nl, nc, nc) float64 arrays, one per grouping factor
    ZtWXy : list of (nl, nc, p+1) float64 arrays
    XyWXy : (p+1, p+1) float64 array
    pairs : dict (f, g) -> (indptr, indices, values) for f < g
        As from `crossprod_pairs`.
    route : BLOCK or WHOLE
        Eliminate the first factor in closed form, or give all of M to CHOLMOD.
    threads : int
        Threads of the loops over levels; results do not depend on it.
    """

    cdef flmm.flmm_lmm *ptr
    cdef flmm.flmm_crossproducts data
    cdef flmm.flmm_working *working
    cdef flmm.flmm_terms terms
    cdef readonly int directions
    cdef readonly int64_t term_squares, direction_squares
    cdef readonly int p, nf
    cdef readonly int64_t q
    cdef readonly int64_t squares
    cdef readonly object nc, nl
    cdef bint evaluated
    cdef list keep

    def __cinit__(self, list ZtWZ, list ZtWXy, const double[:, ::1] XyWXy, dict pairs,
                  int route=flmm.FLMM_BLOCK, int threads=1):
        cdef const double[:, :, ::1] block
        cdef const int64_t[::1] indptr
        cdef const int32_t[::1] indices
        cdef int status, f, g
        cdef int nf = len(ZtWZ), p = XyWXy.shape[0] - 1
        cdef int npairs = nf * (nf - 1) // 2
        if nf < 1 or threads < 1:
            raise ValueError(f"got {nf} grouping factors and {threads} threads; at least one of each is needed")
        self.nf, self.p = nf, p
        self.nc = np.array([G.shape[1] for G in ZtWZ], dtype=np.int32)
        self.nl = np.array([G.shape[0] for G in ZtWZ], dtype=np.int32)
        self.q = int((self.nc.astype(np.int64) * self.nl).sum())
        self.squares = int((self.nc.astype(np.int64) ** 2).sum())
        self.keep = [ZtWZ, ZtWXy, XyWXy, pairs]
        cdef const int32_t[::1] nc_view = self.nc
        cdef const int32_t[::1] nl_view = self.nl
        cdef const double **tables = <const double **>calloc(2 * nf + npairs + 1, sizeof(void *))
        cdef const int64_t **starts = <const int64_t **>calloc(npairs + 1, sizeof(void *))
        cdef const int32_t **met = <const int32_t **>calloc(npairs + 1, sizeof(void *))
        # the object keeps these three tables of pointers alive through `tables_owner`
        self.keep.append(PointerTable.own(tables, starts, met))
        for f in range(nf):
            block = ZtWZ[f]
            tables[f] = &block[0, 0, 0]
            if block.shape[1] != block.shape[2]:
                raise ValueError("ZtWZ blocks must be square")
            block = ZtWXy[f]
            if block.shape[0] != nl_view[f] or block.shape[1] != nc_view[f] or block.shape[2] != p + 1:
                raise ValueError("ZtWXy must be (nl, nc, p+1)")
            tables[nf + f] = &block[0, 0, 0]
        for g in range(nf):
            for f in range(g):
                indptr, indices, block = pairs[f, g]
                if (indptr.shape[0] != nl_view[f] + 1 or indices.shape[0] != indptr[nl_view[f]]
                        or block.shape[0] != indices.shape[0] or indices.shape[0] == 0
                        or block.shape[1] != nc_view[f] or block.shape[2] != nc_view[g]):
                    raise ValueError(f"the pairs of factors {f} and {g} do not fit their factors")
                starts[g * (g - 1) // 2 + f] = &indptr[0]
                met[g * (g - 1) // 2 + f] = &indices[0]
                tables[2 * nf + g * (g - 1) // 2 + f] = &block[0, 0, 0]
        self.data.nf, self.data.p = nf, p
        self.data.nc, self.data.nl = &nc_view[0], &nl_view[0]
        self.data.ZtWZ, self.data.ZtWXy, self.data.XyWXy = tables, tables + nf, &XyWXy[0, 0]
        self.data.indptr, self.data.indices, self.data.values = starts, met, tables + 2 * nf
        with nogil:
            status = flmm.flmm_lmm_new(&BLAS, &self.data, route, threads, &self.ptr)
        check(status)

    def __dealloc__(self):
        flmm.flmm_working_free(self.working)
        flmm.flmm_lmm_free(self.ptr)

    def set_terms(self, const int32_t[:, ::1] terms):
        """Say what the random-effects terms are, for `moments` and `derivatives`.

        Parameters
        ----------
        terms : (4, nt) int32
            Grouping factor, first column among the factor's, columns, and number of
            parameters of each term.
        """
        cdef int status
        cdef int64_t k
        if self.working != NULL:
            raise RuntimeError("the terms of this kernel are known already")
        if terms.shape[0] != 4 or terms.shape[1] < 1:
            raise ValueError("terms must be (4, nt): factor, first column, columns, parameters")
        self.keep.append(terms)
        self.terms.nt = <int32_t>terms.shape[1]
        self.terms.factor, self.terms.first = &terms[0, 0], &terms[1, 0]
        self.terms.nc, self.terms.size = &terms[2, 0], &terms[3, 0]
        self.terms.T = NULL
        status = flmm.flmm_working_new(&self.data, &self.terms, &self.working)
        check(status)
        for k in range(self.terms.nt):
            self.directions += terms[3, k]
            self.term_squares += terms[2, k] * terms[2, k]
            self.direction_squares += terms[3, k] * terms[2, k] * terms[2, k]

    cdef need_terms(self, Py_ssize_t T, Py_ssize_t V, int64_t matrices):
        if self.working == NULL:
            raise RuntimeError("the kernel was not told its terms")
        if T != self.term_squares or V != matrices:
            raise ValueError(f"bases of {T} and matrices of {V} numbers, expected {self.term_squares} and {matrices}")

    def moments(self, const double[::1] T, const double[::1] V, const int32_t[::1] size, int k, double degrees):
        """The equations of the method of moments (csrc/moments.c).

        Parameters
        ----------
        T : (sum c^2,) working bases of the terms, row-major, one after the other
        V : (sum over matrices of c^2,) matrices that span the covariances
        size : (nt,) int32
            Number of them by term.
        k : int
            Columns of X that are projected out of Z, the first k.
        degrees : float
            n - p.

        Returns
        -------
        system (m+1, m+1), right (m+1,)
            The last unknown is sigma^2, the others are sigma^2 psi.
        """
        cdef int status, i
        cdef flmm.flmm_terms terms = self.terms
        cdef int64_t unknowns = 1, squares = 0
        if self.working != NULL and size.shape[0] != terms.nt:
            raise ValueError(f"sizes of {size.shape[0]} terms, expected {terms.nt}")
        for i in range(terms.nt):
            unknowns += size[i]
            squares += size[i] * terms.nc[i] * terms.nc[i]
        self.need_terms(T.shape[0], V.shape[0], squares)
        system, right = np.zeros((unknowns, unknowns)), np.zeros(unknowns)
        cdef double[:, ::1] system_view = system
        cdef double[::1] right_view = right
        terms.T, terms.size = &T[0], &size[0]
        with nogil:
            status = flmm.flmm_moments(&BLAS, &self.data, degrees, &terms, &V[0], k, &system_view[0, 0],
                                       &right_view[0])
        check(status)
        return system, right

    def derivatives(self, const double[::1] T, const double[::1] root, const double[::1] traces_at,
                    const double[::1] V, bint reml, double N):
        """Value, gradient and average information in working coordinates (csrc/working.c).

        Parameters
        ----------
        T, root : (sum c^2,) bases, and lambda in them, of the terms, row-major
        traces_at : like root, or None
            Where traces are taken; root itself for None.
        V : (sum over parameters of c^2,) dPsi/dparameter
        reml : bool
        N : float
            n - p (REML) or n.

        Returns
        -------
        ldL2, ldRX2, pwrss : float
        gradient (m,), information (m, m)
        g_Psi (sum c^2,)
            Derivative of the criterion by Psi.
        """
        cdef flmm.flmm_evaluation value
        cdef int status
        self.evaluated = False
        self.need_terms(T.shape[0], V.shape[0], self.direction_squares)
        if root.shape[0] != self.term_squares or (traces_at is not None and traces_at.shape[0] != self.term_squares):
            raise ValueError(f"lambda must have {self.term_squares} numbers")
        gradient, g_Psi = np.empty(self.directions), np.empty(self.term_squares)
        information = np.empty((self.directions, self.directions))
        cdef double[::1] gradient_view = gradient
        cdef double[::1] g_Psi_view = g_Psi
        cdef double[:, ::1] information_view = information
        cdef const double *at = &root[0] if traces_at is None else &traces_at[0]
        with nogil:
            status = flmm.flmm_working_evaluate(self.working, self.ptr, &T[0], &root[0], at, &V[0], reml, N, &value,
                                                &gradient_view[0], &information_view[0, 0], &g_Psi_view[0])
        check(status)
        self.evaluated = True
        return value.ldL2, value.ldRX2, value.pwrss, gradient, information, g_Psi

    def evaluate(self, const double[::1] Lambda, int what, bint reml, const int32_t[::1] factor_of=None,
                 const double[::1] D=None):
        """One evaluation.

        Parameters
        ----------
        Lambda : (sum nc^2,) templates, row-major, one after the other
        what : VALUE, or a sum of TRACE, SCORE, INFORMATION
        reml : bool
        factor_of : (nd,) int32, D : (sum over directions of nc^2,)
            Directions dPsi/dparameter of the average information.

        Returns
        -------
        ldL2, ldRX2, pwrss : float
        trace, score : (sum nc^2,) arrays, or None where not asked for
        information : (nd, nd) array, or None
        """
        cdef flmm.flmm_evaluation out
        cdef int status
        cdef int32_t nd = 0
        cdef const int32_t *fp = NULL
        cdef const double *dp = NULL
        self.evaluated = False
        if Lambda.shape[0] != self.squares:
            raise ValueError(f"Lambda has {Lambda.shape[0]} numbers, expected {self.squares}")
        trace = np.empty(self.squares)
        score = np.empty(self.squares)
        cdef double[::1] trace_view = trace
        cdef double[::1] score_view = score
        out.trace, out.score = &trace_view[0], &score_view[0]
        out.information = NULL
        information = None
        cdef double[:, ::1] information_view
        if what & flmm.FLMM_INFORMATION and factor_of is not None and factor_of.shape[0]:
            nd = <int32_t>factor_of.shape[0]
            if min(factor_of) < 0 or max(factor_of) >= self.nf:
                raise ValueError("a direction names a factor that does not exist")
            if D.shape[0] != sum(int(self.nc[f]) ** 2 for f in factor_of):
                raise ValueError("D does not hold one nc x nc matrix per direction")
            information = np.empty((nd, nd))
            information_view = information
            out.information = &information_view[0, 0]
            fp, dp = &factor_of[0], &D[0]
        with nogil:
            status = flmm.flmm_lmm_evaluate(self.ptr, &Lambda[0], what, reml, nd, fp, dp, &out)
        check(status)
        self.evaluated = True
        return (out.ldL2, out.ldRX2, out.pwrss, trace if what & flmm.FLMM_TRACE else None,
                score if what & flmm.FLMM_SCORE else None, information)

    cdef double **tables_of_responses(self) except NULL:
        """Pointers to the arrays ZtWXy, whose last columns may be overwritten."""
        return <double **>(<PointerTable>self.keep[4]).tables + self.nf

    cdef check_many(self, const double[:, ::1] Lambda, const int64_t[::1] which, const double[:, ::1] ZtWr,
                    const double[:, ::1] XrWr):
        if Lambda.shape[1] != self.squares or which.shape[0] != Lambda.shape[0]:
            raise ValueError(f"Lambda must have {self.squares} columns, and one row per number of `which`")
        if ZtWr.shape[1] != self.q or XrWr.shape[1] != self.p + 1 or ZtWr.shape[0] != XrWr.shape[0]:
            raise ValueError(f"responses must have {self.q} and {self.p + 1} cross-products")
        cdef Py_ssize_t i
        for i in range(which.shape[0]):
            if which[i] < 0 or which[i] >= ZtWr.shape[0]:
                raise ValueError("`which` names a response that does not exist")

    def evaluate_many(self, const double[:, ::1] Lambda, int what, bint reml, const int64_t[::1] which,
                      const double[:, ::1] ZtWr, const double[:, ::1] XrWr,
                      const int32_t[::1] factor_of=None, const double[:, ::1] D=None):
        """Evaluations at several templates, each with a response of its own.

        The last columns of the arrays ZtWXy and XyWXy that the kernel was made from
        are overwritten; they must be writable.

        Parameters
        ----------
        Lambda : (k, sum nc^2)
        what : as in `evaluate`
        which : (k,) int64
            Row of the response of each evaluation.
        ZtWr : (responses, q), XrWr : (responses, p+1)
            Cross-products of the responses: Z'Wr; X'Wr and r'Wr.
        factor_of : (nd,) int32, D : (k, sum over directions of nc^2)

        Returns
        -------
        usable : (k,) bool
            False where the criterion does not exist.
        ldL2, ldRX2, pwrss : (k,)
        trace, score : (k, sum nc^2)
        information : (k, nd, nd)
        """
        cdef Py_ssize_t i, count = Lambda.shape[0]
        cdef int32_t nd = 0
        cdef const int32_t *fp = NULL
        cdef Py_ssize_t numbers_of_D = 0
        cdef const int32_t[::1] nc_view = self.nc
        self.evaluated = False
        self.check_many(Lambda, which, ZtWr, XrWr)
        if what & flmm.FLMM_INFORMATION and factor_of is not None and factor_of.shape[0]:
            nd = <int32_t>factor_of.shape[0]
            for i in range(nd):
                if factor_of[i] < 0 or factor_of[i] >= self.nf:
                    raise ValueError("a direction names a factor that does not exist")
                numbers_of_D += nc_view[factor_of[i]] * nc_view[factor_of[i]]
            if D.shape[0] != count or D.shape[1] != numbers_of_D:
                raise ValueError("D does not hold one nc x nc matrix per direction and evaluation")
            fp = &factor_of[0]
        numbers = np.empty((3, count))
        trace, score = np.empty((count, self.squares)), np.empty((count, self.squares))
        information = np.empty((count, max(nd, 1), max(nd, 1)))
        status = np.zeros(count, dtype=np.int32)
        cdef double[:, ::1] numbers_view = numbers
        cdef double[:, ::1] trace_view = trace
        cdef double[:, ::1] score_view = score
        cdef double[:, :, ::1] information_view = information
        cdef int32_t[::1] status_view = status
        cdef const int32_t[::1] nl_view = self.nl
        cdef double[:, ::1] XyWXy = self.keep[2].base
        cdef double **ZtWXy = self.tables_of_responses()
        cdef flmm.flmm_evaluation out
        if count == 0:
            return status == 0, *numbers, trace, score, information[:, :nd, :nd]
        with nogil:
            for i in range(count):
                flmm.flmm_put_response(self.nf, self.p, &nc_view[0], &nl_view[0], &ZtWr[which[i], 0],
                                       &XrWr[which[i], 0], ZtWXy, &XyWXy[0, 0])
                out.trace, out.score = &trace_view[i, 0], &score_view[i, 0]
                out.information = &information_view[i, 0, 0]
                status_view[i] = flmm.flmm_lmm_evaluate(self.ptr, &Lambda[i, 0], what, reml, nd, fp,
                                                        &D[i, 0] if nd else NULL, &out)
                numbers_view[0, i], numbers_view[1, i], numbers_view[2, i] = out.ldL2, out.ldRX2, out.pwrss
        if status.any():
            for code in set(status.tolist()):
                check_one_of_many(code)
        return status == 0, *numbers, trace, score, information[:, :nd, :nd]

    def solve_many(self, const double[:, ::1] Lambda, bint reml, const int64_t[::1] which,
                   const double[:, ::1] ZtWr, const double[:, ::1] XrWr):
        """Solutions at several templates, each with a response of its own; see `evaluate_many`.

        Returns
        -------
        usable : (k,) bool
        ldL2, ldRX2, pwrss : (k,)
        beta : (k, p), u : (k, q), b : (k, q)
        RX : (k, p, p)
            Upper triangular.
        """
        cdef Py_ssize_t i, count = Lambda.shape[0]
        self.evaluated = False
        self.check_many(Lambda, which, ZtWr, XrWr)
        cdef Py_ssize_t p = max(self.p, 1)
        numbers = np.empty((3, count))
        beta, RX = np.zeros((count, p)), np.zeros((count, p, p))
        u, b = np.zeros((count, self.q)), np.zeros((count, self.q))
        RZX = np.zeros((self.q, p))
        status = np.zeros(count, dtype=np.int32)
        cdef double[:, ::1] numbers_view = numbers
        cdef double[:, ::1] beta_view = beta
        cdef double[:, ::1] u_view = u
        cdef double[:, ::1] b_view = b
        cdef double[:, :, ::1] RX_view = RX
        cdef double[:, ::1] RZX_view = RZX
        cdef int32_t[::1] status_view = status
        cdef const int32_t[::1] nc_view = self.nc
        cdef const int32_t[::1] nl_view = self.nl
        cdef double[:, ::1] XyWXy = self.keep[2].base
        cdef double **ZtWXy = self.tables_of_responses()
        cdef flmm.flmm_evaluation out
        out.trace = out.score = out.information = NULL
        with nogil:
            for i in range(count):
                flmm.flmm_put_response(self.nf, self.p, &nc_view[0], &nl_view[0], &ZtWr[which[i], 0],
                                       &XrWr[which[i], 0], ZtWXy, &XyWXy[0, 0])
                status_view[i] = flmm.flmm_lmm_evaluate(self.ptr, &Lambda[i, 0], flmm.FLMM_VALUE, reml, 0, NULL,
                                                        NULL, &out)
                numbers_view[0, i], numbers_view[1, i], numbers_view[2, i] = out.ldL2, out.ldRX2, out.pwrss
                if status_view[i] == flmm.FLMM_OK:
                    flmm.flmm_lmm_solution(self.ptr, &beta_view[i, 0], &u_view[i, 0], &b_view[i, 0])
                    if self.p:
                        flmm.flmm_lmm_blocks(self.ptr, &RX_view[i, 0, 0], &RZX_view[0, 0])
        if status.any():
            for code in set(status.tolist()):
                check_one_of_many(code)
        return status == 0, *numbers, beta[:, :self.p], u, b, RX[:, :self.p, :self.p]

    cdef need_evaluation(self):
        if not self.evaluated:
            raise RuntimeError("the kernel has no solution: its last evaluation failed, or there was none")

    def solution(self, bint spherical=True):
        """beta (p,), u (q,) or None if it is not wanted, b (q,) at the last Lambda."""
        self.need_evaluation()
        beta, u, b = np.zeros(max(self.p, 1)), np.empty(self.q) if spherical else None, np.empty(self.q)
        cdef double[::1] beta_view = beta
        cdef double[::1] u_view = u
        cdef double[::1] b_view = b
        cdef double *up = &u_view[0] if spherical else NULL
        cdef int status
        with nogil:
            status = flmm.flmm_lmm_solution(self.ptr, &beta_view[0], up, &b_view[0])
        check(status)
        return beta[:self.p], u, b

    def RX(self):
        """RX (p, p) upper triangular at the last Lambda."""
        self.need_evaluation()
        RX = np.zeros((max(self.p, 1), max(self.p, 1)))
        cdef double[:, ::1] RX_view = RX
        if self.p:
            check(flmm.flmm_lmm_blocks(self.ptr, &RX_view[0, 0], NULL))
        return RX[:self.p, :self.p]

    def blocks(self):
        """RX (p, p) upper triangular and RZX (q, p) at the last Lambda."""
        cdef int status
        RX = self.RX()
        if self.p == 0:
            return RX, np.zeros((self.q, 0))
        own, RZX = np.empty((self.p, self.p)), np.empty((self.q, self.p))
        cdef double[:, ::1] own_view = own
        cdef double[:, ::1] RZX_view = RZX
        with nogil:
            status = flmm.flmm_lmm_blocks(self.ptr, &own_view[0, 0], &RZX_view[0, 0])
        check(status)
        return RX, RZX

    def inverse_blocks(self):
        """Diagonal blocks of M^-1 at the last Lambda: list of (nl, nc, nc) arrays."""
        self.need_evaluation()
        cdef int status
        flat = np.empty(int((self.nl.astype(np.int64) * self.nc.astype(np.int64) ** 2).sum()))
        cdef double[::1] view = flat
        with nogil:
            status = flmm.flmm_lmm_inverse_blocks(self.ptr, &view[0])
        check(status)
        out, start = [], 0
        for nl, nc in zip(self.nl.tolist(), self.nc.tolist()):
            out.append(flat[start:start + nl * nc * nc].reshape(nl, nc, nc))
            start += nl * nc * nc
        return out

    def describe(self):
        """Nonzeros of L; whether the core is dense (BLOCK) or the factor supernodal (WHOLE)."""
        cdef int64_t nnz
        cdef int kind
        flmm.flmm_lmm_describe(self.ptr, &nnz, &kind)
        return int(nnz), bool(kind)

    def factor(self):
        """L as (indptr, indices, values) of a CSC matrix, and its ordering perm (q,)."""
        self.need_evaluation()
        cdef int64_t nnz
        flmm.flmm_lmm_factor(self.ptr, &nnz, NULL, NULL, NULL, NULL)
        indptr = np.empty(self.q + 1, dtype=np.int64)
        indices = np.empty(nnz, dtype=np.int64)
        values = np.empty(nnz)
        perm = np.empty(self.q, dtype=np.int64)
        cdef int64_t[::1] indptr_view = indptr
        cdef int64_t[::1] indices_view = indices
        cdef double[::1] values_view = values
        cdef int64_t[::1] perm_view = perm
        flmm.flmm_lmm_factor(self.ptr, &nnz, &indptr_view[0], &indices_view[0], &values_view[0], &perm_view[0])
        return indptr, indices, values, perm

    def solve(self, list R):
        """Lambda M^-1 Lambda' R at the last Lambda, for right-hand sides of the caller's.

        Parameters
        ----------
        R : list of (nl, nc, m) float64 arrays, one per grouping factor

        Returns
        -------
        list of (nl, nc, m) arrays
        """
        self.need_evaluation()
        return self.columns_by_factor(R, True)

    def multiply(self, list B):
        """Z'WZ B; shapes as in `solve`."""
        return self.columns_by_factor(B, False)

    cdef columns_by_factor(self, list given, bint solving):
        cdef const double[:, :, ::1] part
        cdef double[:, :, ::1] result
        cdef int status, f
        if len(given) != self.nf:
            raise ValueError(f"got columns for {len(given)} grouping factors, expected {self.nf}")
        cdef int32_t m = given[0].shape[2] if np.ndim(given[0]) == 3 else 0
        for f in range(self.nf):
            if given[f].shape != (self.nl[f], self.nc[f], m) or m < 1:
                raise ValueError(f"the columns of factor {f} have shape {given[f].shape}, "
                                 f"expected ({self.nl[f]}, {self.nc[f]}, m) with the same m >= 1")
        out = [np.empty((int(nl), int(nc), m)) for nl, nc in zip(self.nl, self.nc)]
        cdef const double **ins = <const double **>calloc(self.nf, sizeof(void *))
        cdef double **outs = <double **>calloc(self.nf, sizeof(void *))
        try:
            if ins == NULL or outs == NULL:
                raise MemoryError()
            for f in range(self.nf):
                part, result = given[f], out[f]
                ins[f], outs[f] = &part[0, 0, 0], &result[0, 0, 0]
            with nogil:
                if solving:
                    status = flmm.flmm_lmm_solve(self.ptr, m, ins, outs)
                else:
                    status = flmm.flmm_lmm_multiply(self.ptr, m, ins, outs)
            check(status)
        finally:
            free(<void *>ins)
            free(<void *>outs)
        return out


cdef class PointerTable:
    """Owns the tables of pointers that a kernel object refers to."""

    cdef const double **tables
    cdef const int64_t **starts
    cdef const int32_t **met

    @staticmethod
    cdef own(const double **tables, const int64_t **starts, const int32_t **met):
        owner = PointerTable()
        owner.tables, owner.starts, owner.met = tables, starts, met
        if tables == NULL or starts == NULL or met == NULL:
            raise MemoryError()
        return owner

    def __dealloc__(self):
        free(<void *>self.tables)
        free(<void *>self.starts)
        free(<void *>self.met)
