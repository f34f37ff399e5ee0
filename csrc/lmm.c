/* lmm.c: the profiled criterion of a linear mixed model from its cross-products.
 *
 * Bates et al. (2015), JSS 67(1), sec. 3.  One evaluation at Lambda:
 *
 *   M = Lambda' A Lambda + I = L L'
 *   L [RZX cu] = Lambda' Z'W [X y]        RX'RX = X'WX - RZX'RZX
 *   RX' cb = X'Wy - RZX'cu                r2 = y'Wy - |cu|^2 - |cb|^2
 *   RX beta = cb      L'u = cu - RZX beta      b = Lambda u
 *
 * Derivatives with respect to Psi = Lambda Lambda' need, per level, only
 *   Lambda'(Z'PZ)_ll Lambda = I - [C^-1]_ll   and   e = Z'W(y - X beta - Z b),
 * where C is the system in (u, beta) for REML and M alone for ML; the average
 * information (Gilmour, Thompson & Cullis 1995, Biometrics 51) needs for each
 * direction D_i = dPsi/dparameter_i, with d_i = D_i e level by level,
 *   q_ij = d_i' Z'PZ d_j = d_i'A d_j - c_i'c_j,
 *   c_i = [L; RX]^-1 [Lambda'A d_i ; X'WZ d_i].
 *
 * Nothing here touches a row of the data, and nothing is allocated after the
 * first evaluation of each order.
 */
#include "lmm.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* --- construction ------------------------------------------------------------ */

static double *new_doubles(int64_t count)
{
    return malloc(((size_t)count + 1) * sizeof(double));
}

static int allocate(flmm_lmm *m)
{
    const int64_t p = m->data.p;
    m->Lambda = new_doubles(m->square[m->data.nf]);
    m->gram = new_doubles((p + 1) * (p + 1));
    m->RX = new_doubles(p * p);
    m->cb = new_doubles(p);
    m->beta = new_doubles(p);
    m->y = new_doubles(p + 1);
    return m->Lambda && m->gram && m->RX && m->cb && m->beta && m->y ? FLMM_OK : FLMM_NO_MEMORY;
}

static int set_up(flmm_lmm *m, int32_t threads)
{
    const flmm_crossproducts *x = &m->data;
    m->offset = malloc(((size_t)x->nf + 1) * sizeof *m->offset);
    m->square = malloc(((size_t)x->nf + 1) * sizeof *m->square);
    if (!m->offset || !m->square) {
        return FLMM_NO_MEMORY;
    }
    m->offset[0] = m->square[0] = 0;
    for (int32_t f = 0; f < x->nf; f++) {
        if (x->nc[f] < 1 || x->nl[f] < 1 || x->nc[f] > 1000) {
            return FLMM_BAD_ARGUMENT;
        }
        m->offset[f + 1] = m->offset[f] + (int64_t)x->nc[f] * x->nl[f];
        m->square[f + 1] = m->square[f] + (int64_t)x->nc[f] * x->nc[f];
        m->at.most_columns = x->nc[f] > m->at.most_columns ? x->nc[f] : m->at.most_columns;
    }
    m->at.q = m->offset[x->nf];
    m->at.x = x;
    m->at.offset = m->offset;
    m->at.square = m->square;
    m->at.threads = threads;
    m->at.process = flmm_this_process();
    if (m->at.q > INT32_MAX) {           /* LAPACK's integers */
        return FLMM_TOO_LARGE;
    }
    const int status = allocate(m);
    m->at.Lambda = m->Lambda;
    return status == FLMM_OK ? flmm_system_new(m->blas, &m->at, m->route, &m->system) : status;
}

int flmm_lmm_new(const flmm_blas *blas, const flmm_crossproducts *data, int route, int32_t threads,
                 flmm_lmm **out)
{
    *out = NULL;
    if (data->nf < 1 || data->p < 0 || data->p >= 46340 || threads < 1) {
        return FLMM_BAD_ARGUMENT;
    }
    flmm_lmm *m = calloc(1, sizeof *m);
    if (!m) {
        return FLMM_NO_MEMORY;
    }
    m->blas = blas;
    m->data = *data;
    m->route = route;
    const int status = set_up(m, threads);
    if (status != FLMM_OK) {
        flmm_lmm_free(m);
        return status;
    }
    *out = m;
    return FLMM_OK;
}

void flmm_lmm_free(flmm_lmm *m)
{
    if (!m) {
        return;
    }
    flmm_system_free(&m->system);
    free(m->offset);
    free(m->square);
    free(m->Lambda);
    free(m->gram);
    free(m->RX);
    free(m->cb);
    free(m->beta);
    free(m->y);
    free(m->h);
    free(m);
}

/* --- value ------------------------------------------------------------------- */

static int factorize(flmm_lmm *m, flmm_evaluation *out)
{
    const int32_t p = m->data.p, width = p + 1;
    const int status = flmm_system_factorize(&m->system, &out->ldL2, m->gram);
    if (status != FLMM_OK) {
        return status;
    }

    /* RX'RX = X'WX - RZX'RZX, column-major upper triangle */
    for (int32_t j = 0; j < p; j++) {
        for (int32_t i = 0; i < p; i++) {
            m->RX[(ptrdiff_t)j * p + i] =
                i <= j ? m->data.XyWXy[(ptrdiff_t)j * width + i] - m->gram[(ptrdiff_t)j * width + i] : 0.0;
        }
        m->cb[j] = m->data.XyWXy[(ptrdiff_t)p * width + j] - m->gram[(ptrdiff_t)p * width + j];
    }
    out->pwrss = m->data.XyWXy[(ptrdiff_t)p * width + p] - m->gram[(ptrdiff_t)p * width + p];
    out->ldRX2 = 0.0;
    if (p > 0) {
        char upper = 'U', left = 'L', transposed = 'T', plain = 'N', nonunit = 'N';
        int size = p, info = 0, columns = 1;
        double one = 1.0;
        m->blas->dpotrf(&upper, &size, m->RX, &size, &info);
        if (info != 0) {
            return FLMM_X_NOT_POSITIVE;
        }
        m->blas->dtrsm(&left, &upper, &transposed, &nonunit, &size, &columns, &one, m->RX, &size, m->cb,
                       &size);
        memcpy(m->beta, m->cb, (size_t)p * sizeof *m->beta);
        m->blas->dtrsm(&left, &upper, &plain, &nonunit, &size, &columns, &one, m->RX, &size, m->beta,
                       &size);
        for (int32_t j = 0; j < p; j++) {
            out->ldRX2 += 2.0 * log(m->RX[(ptrdiff_t)j * (p + 1)]);
            out->pwrss -= m->cb[j] * m->cb[j];
        }
    }
    for (int32_t j = 0; j < p; j++) {
        m->y[j] = -m->beta[j];
    }
    m->y[p] = 1.0;
    return out->pwrss > 0.0 ? FLMM_OK : FLMM_NO_RESIDUAL;
}

/* --- derivatives ---------------------------------------------------------------- */

static int make_room(flmm_lmm *m, int32_t nd)
{
    if (nd > m->nd_room) {
        free(m->h);
        m->h = new_doubles((int64_t)nd * m->data.p);
        m->nd_room = m->h ? nd : 0;
        return m->h ? FLMM_OK : FLMM_NO_MEMORY;
    }
    return FLMM_OK;
}

/* q_ij -= h_i'h_j with RX'h_i = X'WZ d_i - RZX'c_i */
static void take_fixed_part_off(flmm_lmm *m, int32_t nd, double *q)
{
    char left = 'L', upper = 'U', transposed = 'T', nonunit = 'N';
    double one = 1.0;
    int size = m->data.p, columns = nd;
    m->blas->dtrsm(&left, &upper, &transposed, &nonunit, &size, &columns, &one, m->RX, &size, m->h, &size);
    for (int32_t i = 0; i < nd; i++) {
        for (int32_t j = 0; j < nd; j++) {
            for (int32_t r = 0; r < size; r++) {
                q[(ptrdiff_t)i * nd + j] -= m->h[(ptrdiff_t)i * size + r] * m->h[(ptrdiff_t)j * size + r];
            }
        }
    }
}

/* --- the public calls ---------------------------------------------------------- */

int flmm_lmm_evaluate(flmm_lmm *m, const double *Lambda, int what, int reml, int32_t nd,
                      const int32_t *factor_of, const double *D, flmm_evaluation *out)
{
    memcpy(m->Lambda, Lambda, (size_t)m->square[m->data.nf] * sizeof *Lambda);
    int status = make_room(m, nd);
    if (status == FLMM_OK) {
        status = factorize(m, out);
    }
    if (status != FLMM_OK || what == FLMM_VALUE) {
        return status;
    }
    const flmm_derivatives d = {
        .what = what, .reml = reml && m->data.p > 0, .y = m->y, .RX = m->RX,
        .nd = nd, .factor_of = factor_of, .D = D,
        .trace = out->trace, .score = out->score, .q = out->information, .h = m->h,
    };
    status = flmm_system_differentiate(&m->system, &d);
    if (status == FLMM_OK && what & FLMM_INFORMATION && nd > 0 && m->data.p > 0) {
        take_fixed_part_off(m, nd, out->information);
    }
    return status;
}

int flmm_lmm_solution(flmm_lmm *m, double *beta, double *u, double *b)
{
    memcpy(beta, m->beta, (size_t)m->data.p * sizeof *beta);
    return flmm_system_modes(&m->system, m->y, u, b);
}

int flmm_lmm_blocks(flmm_lmm *m, double *RX, double *RZX)
{
    const int32_t p = m->data.p;
    for (int32_t i = 0; i < p; i++) {
        for (int32_t j = 0; j < p; j++) {
            RX[(ptrdiff_t)i * p + j] = m->RX[(ptrdiff_t)j * p + i];
        }
    }
    if (!RZX) {
        return FLMM_OK;
    }
    double *U = new_doubles(m->at.q * (p + 1));
    const int status = U ? flmm_system_half_solve(&m->system, p + 1, m->data.ZtWXy, U) : FLMM_NO_MEMORY;
    for (int64_t i = 0; status == FLMM_OK && i < m->at.q; i++) {
        memcpy(RZX + i * p, U + i * (p + 1), (size_t)p * sizeof *RZX);
    }
    free(U);
    return status;
}

int flmm_lmm_inverse_blocks(flmm_lmm *m, double *blocks)
{
    return flmm_system_inverse_blocks(&m->system, blocks);
}

void flmm_lmm_describe(const flmm_lmm *m, int64_t *nnz_L, int *kind)
{
    flmm_system_describe(&m->system, nnz_L, kind);
}

int flmm_lmm_factor(const flmm_lmm *m, int64_t *nnz, int64_t *colptr, int64_t *rowind, double *x,
                    int64_t *perm)
{
    *nnz = flmm_system_factor(&m->system, colptr, rowind, x, perm);
    if (colptr) {
        colptr[m->at.q] = *nnz;
    }
    return FLMM_OK;
}
