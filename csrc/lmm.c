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
    const int64_t q = m->at.q, p = m->data.p;
    m->Lambda = new_doubles(m->square[m->data.nf]);
    m->U = new_doubles(q * (p + 1));
    m->gram = new_doubles((p + 1) * (p + 1));
    m->RX = new_doubles(p * p);
    m->cb = new_doubles(p);
    m->beta = new_doubles(p);
    m->u = new_doubles(q);
    m->b = new_doubles(q);
    m->e = new_doubles(q);
    m->work_columns = p + 1;
    m->work = new_doubles(flmm_system_work(&m->system) * m->work_columns);
    return m->Lambda && m->U && m->gram && m->RX && m->cb && m->beta && m->u && m->b && m->e && m->work
               ? FLMM_OK
               : FLMM_NO_MEMORY;
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
    const int status = flmm_system_new(m->blas, &m->at, m->route, &m->system);
    return status == FLMM_OK ? allocate(m) : status;
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
    free(m->U);
    free(m->gram);
    free(m->RX);
    free(m->cb);
    free(m->beta);
    free(m->u);
    free(m->b);
    free(m->e);
    free(m->work);
    free(m->h);
    free(m);
}

/* --- value ------------------------------------------------------------------- */

static int factorize(flmm_lmm *m, flmm_evaluation *out)
{
    const int32_t p = m->data.p, width = p + 1;
    m->modes_are_known = 0;
    int status = flmm_system_factorize(&m->system, m->Lambda);
    if (status != FLMM_OK) {
        return status;
    }
    out->ldL2 = flmm_system_logdet(&m->system);
    if (!isfinite(out->ldL2)) {
        return FLMM_M_NOT_POSITIVE;
    }
    status = flmm_system_right_hand_sides(&m->system, m->Lambda, width, m->data.ZtWXy, m->U, m->gram, m->work);
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
    return out->pwrss > 0.0 ? FLMM_OK : FLMM_NO_RESIDUAL;
}

/* --- solution ---------------------------------------------------------------- */

/* u, b and e = Z'Wy - Z'WX beta - A b */
static void solve_modes(flmm_lmm *m)
{
    if (m->modes_are_known) {
        return;
    }
    m->modes_are_known = 1;
    const flmm_crossproducts *x = &m->data;
    const int32_t p = x->p, width = p + 1;
    const int64_t *position = flmm_system_position(&m->system);
    for (int64_t i = 0; i < m->at.q; i++) {
        const double *row = m->U + i * width;
        double s = row[p];
        for (int32_t j = 0; j < p; j++) {
            s -= row[j] * m->beta[j];
        }
        m->u[i] = s;
    }
    flmm_system_solve_Lt(&m->system, 1, m->u, m->work);
    for (int32_t f = 0; f < x->nf; f++) {
        const int32_t nc = x->nc[f];
        const double *T = m->Lambda + m->square[f];
        for (int64_t l = 0; l < x->nl[f]; l++) {
            const int64_t own = m->offset[f] + l * nc;
            for (int32_t a = 0; a < nc; a++) {
                double s = 0.0;
                for (int32_t c = 0; c < nc; c++) {
                    s += T[a * nc + c] * m->u[position[own + c]];
                }
                m->b[own + a] = s;
            }
        }
    }
    flmm_multiply_A(&m->at, -1, m->b, m->e);
    for (int32_t f = 0; f < x->nf; f++) {
        for (int64_t i = m->offset[f]; i < m->offset[f + 1]; i++) {
            const double *row = x->ZtWXy[f] + (i - m->offset[f]) * width;
            double s = row[p] - m->e[i];
            for (int32_t j = 0; j < p; j++) {
                s -= row[j] * m->beta[j];
            }
            m->e[i] = s;
        }
    }
}

/* --- derivatives ---------------------------------------------------------------- */

/* score[f] = sum over levels of e_l e_l' */
static void scores(const flmm_lmm *m, double *score)
{
    for (int32_t f = 0; f < m->data.nf; f++) {
        const int32_t nc = m->data.nc[f];
        double *Q = score + m->square[f];
        memset(Q, 0, (size_t)nc * (size_t)nc * sizeof *Q);
        for (int64_t l = 0; l < m->data.nl[f]; l++) {
            const double *e = m->e + m->offset[f] + l * nc;
            for (int32_t a = 0; a < nc; a++) {
                for (int32_t b = 0; b < nc; b++) {
                    Q[a * nc + b] += e[a] * e[b];
                }
            }
        }
    }
}

/* Room for nd right-hand sides at a time. */
static int make_room(flmm_lmm *m, int32_t nd)
{
    if (nd > m->nd_room) {
        free(m->h);
        m->h = new_doubles((int64_t)nd * m->data.p);
        m->nd_room = m->h ? nd : 0;
        if (!m->nd_room) {
            return FLMM_NO_MEMORY;
        }
    }
    if (nd > m->work_columns) {
        double *work = new_doubles(flmm_system_work(&m->system) * nd);
        if (!work) {
            return FLMM_NO_MEMORY;
        }
        free(m->work);
        m->work = work;
        m->work_columns = nd;
    }
    return FLMM_OK;
}

/* q_ij = d_i'A d_j - c_i'c_j - h_i'h_j with RX'h_i = X'WZ d_i - RZX'c_i */
static int information(flmm_lmm *m, int32_t nd, const int32_t *factor_of, const double *D, double *q)
{
    const int32_t p = m->data.p;
    int status = make_room(m, nd);
    if (status == FLMM_OK) {
        status = flmm_system_information(&m->system, m->Lambda, p, m->data.ZtWXy, m->U, m->e, nd, factor_of, D,
                                         m->work, q, m->h);
    }
    if (status != FLMM_OK || p == 0) {
        return status;
    }
    char left = 'L', upper = 'U', transposed = 'T', nonunit = 'N';
    double one = 1.0;
    int size = p, columns = nd;
    m->blas->dtrsm(&left, &upper, &transposed, &nonunit, &size, &columns, &one, m->RX, &size, m->h, &size);
    for (int32_t i = 0; i < nd; i++) {
        for (int32_t j = 0; j < nd; j++) {
            for (int32_t r = 0; r < p; r++) {
                q[(ptrdiff_t)i * nd + j] -= m->h[(ptrdiff_t)i * p + r] * m->h[(ptrdiff_t)j * p + r];
            }
        }
    }
    return FLMM_OK;
}

/* --- the public calls ---------------------------------------------------------- */

int flmm_lmm_evaluate(flmm_lmm *m, const double *Lambda, int what, int reml, int32_t nd,
                      const int32_t *factor_of, const double *D, flmm_evaluation *out)
{
    memcpy(m->Lambda, Lambda, (size_t)m->square[m->data.nf] * sizeof *Lambda);
    int status = factorize(m, out);
    if (status == FLMM_OK && what & (FLMM_SCORE | FLMM_INFORMATION)) {
        solve_modes(m);
    }
    if (status == FLMM_OK && what & FLMM_TRACE) {
        status = flmm_system_inverse(&m->system);
        if (status == FLMM_OK) {
            status = flmm_system_traces(&m->system, reml, m->data.p, m->U, m->RX, m->work, out->trace);
        }
    }
    if (status == FLMM_OK && what & FLMM_SCORE) {
        scores(m, out->score);
    }
    if (status == FLMM_OK && what & FLMM_INFORMATION && nd > 0) {
        status = information(m, nd, factor_of, D, out->information);
    }
    return status;
}

void flmm_lmm_solution(flmm_lmm *m, double *beta, double *u, double *b)
{
    solve_modes(m);
    const int64_t *position = flmm_system_position(&m->system);
    memcpy(beta, m->beta, (size_t)m->data.p * sizeof *beta);
    memcpy(b, m->b, (size_t)m->at.q * sizeof *b);
    for (int64_t i = 0; i < m->at.q; i++) {
        u[i] = m->u[position[i]];
    }
}

void flmm_lmm_blocks(const flmm_lmm *m, double *RX, double *RZX)
{
    const int32_t p = m->data.p;
    const int64_t *position = flmm_system_position(&m->system);
    for (int32_t i = 0; i < p; i++) {
        for (int32_t j = 0; j < p; j++) {
            RX[(ptrdiff_t)i * p + j] = m->RX[(ptrdiff_t)j * p + i];
        }
    }
    for (int64_t i = 0; i < m->at.q; i++) {
        memcpy(RZX + i * p, m->U + position[i] * (p + 1), (size_t)p * sizeof *RZX);
    }
}

int flmm_lmm_inverse_blocks(flmm_lmm *m, double *blocks)
{
    const int status = flmm_system_inverse(&m->system);
    if (status != FLMM_OK) {
        return status;
    }
    for (int32_t f = 0; f < m->data.nf; f++) {
        const ptrdiff_t size = (ptrdiff_t)m->data.nc[f] * m->data.nc[f];
        for (int64_t l = 0; l < m->data.nl[f]; l++, blocks += size) {
            flmm_system_inverse_at(&m->system, f, l, blocks);
        }
    }
    return FLMM_OK;
}

void flmm_lmm_describe(const flmm_lmm *m, int64_t *nnz_L, int *kind)
{
    flmm_system_describe(&m->system, nnz_L, kind);
}

int flmm_lmm_factor(const flmm_lmm *m, int64_t *nnz, int64_t *colptr, int64_t *rowind, double *x,
                    int64_t *perm)
{
    *nnz = flmm_system_factor(&m->system, colptr, rowind, x);
    if (colptr) {
        const int64_t *position = flmm_system_position(&m->system);
        colptr[m->at.q] = *nnz;
        for (int64_t i = 0; i < m->at.q; i++) {
            perm[position[i]] = i;
        }
    }
    return FLMM_OK;
}
