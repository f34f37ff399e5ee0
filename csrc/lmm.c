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
#include "system.h"
#include "threads.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct flmm_lmm {
    const flmm_blas *blas;
    flmm_crossproducts data;
    flmm_layout at;
    int64_t *offset;                 /* [nf+1] */
    int64_t *square;                 /* [nf+1] */
    flmm_system system;
    int route;
    double *Lambda;                  /* [sum nc^2] of the last evaluation */
    double *U;                       /* [q (p+1)] RZX and cu, system order */
    double *gram;                    /* [(p+1)^2] U'U */
    double *RX;                      /* [p*p] upper, column-major */
    double *cb, *beta;               /* [p] */
    double *u;                       /* [q] system order */
    double *b, *e;                   /* [q] caller's order */
    int modes_are_known;             /* u, b, e belong to Lambda */
    double *V;                       /* [q p] L'^-1 RZX RX^-1, on demand */
    double *partial;                 /* partial sums of the traces, on demand */
    double *work;                    /* solves */
    int64_t work_columns;
    /* average information, grown to nd */
    double *Ad, *c;                  /* [q nd] */
    double *d;                       /* [q] */
    double *h;                       /* [nd p] */
    int32_t nd_room;
};

/* Levels per partial sum: fixed, so that sums have the same bits on any number of threads. */
#define LEVELS 4096

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
    free(m->V);
    free(m->partial);
    free(m->work);
    free(m->Ad);
    free(m->c);
    free(m->d);
    free(m->h);
    free(m);
}

/* --- value ------------------------------------------------------------------- */

/* out (system order, m columns) = Lambda' in (caller's order, m columns) */
static void apply_Lambda_t(const flmm_lmm *m, int32_t columns, int32_t factor, const double *in,
                           double *out)
{
    const int32_t nc = m->data.nc[factor];
    const int64_t *position = flmm_system_position(&m->system);
    const double *T = m->Lambda + m->square[factor];
#pragma omp parallel for schedule(static) num_threads(m->at.threads) if (m->data.nl[factor] > FLMM_WORTH_THREADS)
    for (int64_t l = 0; l < m->data.nl[factor]; l++) {
        const double *block = in + l * nc * columns;
        for (int32_t c = 0; c < nc; c++) {
            double *row = out + position[m->offset[factor] + l * nc + c] * columns;
            for (int32_t r = 0; r < columns; r++) {
                row[r] = 0.0;
            }
            for (int32_t a = 0; a < nc; a++) {
                const double t = T[a * nc + c];
                for (int32_t r = 0; r < columns; r++) {
                    row[r] += t * block[(ptrdiff_t)a * columns + r];
                }
            }
        }
    }
}

/* gram = U'U, summed over stretches of unknowns in order */
static void gram_of_U(flmm_lmm *m)
{
    int size = m->data.p + 1;
    char upper = 'U', plain = 'N';
    double one = 1.0;
    memset(m->gram, 0, (size_t)size * (size_t)size * sizeof *m->gram);
    for (int64_t first = 0; first < m->at.q; first += 1 << 20) {
        int depth = (int)(m->at.q - first < (1 << 20) ? m->at.q - first : (1 << 20));
        m->blas->dsyrk(&upper, &plain, &size, &depth, &one, m->U + first * size, &size, &one, m->gram,
                       &size);
    }
}

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
    for (int32_t f = 0; f < m->data.nf; f++) {
        apply_Lambda_t(m, width, f, m->data.ZtWXy[f], m->U);
    }
    flmm_system_solve_L(&m->system, width, m->U, m->work);
    gram_of_U(m);

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

/* out = A v, where v is zero outside `factor` (or not, when factor < 0). */
static void multiply_A(const flmm_lmm *m, int32_t factor, const double *v, double *out)
{
    const flmm_crossproducts *x = &m->data;
    memset(out, 0, (size_t)m->at.q * sizeof *out);
    for (int32_t f = 0; f < x->nf; f++) {
        const int32_t cf = x->nc[f];
        if (factor < 0 || factor == f) {
#pragma omp parallel for schedule(static) num_threads(m->at.threads) if (x->nl[f] > FLMM_WORTH_THREADS)
            for (int64_t i = 0; i < x->nl[f]; i++) {
                const int64_t own = m->offset[f] + i * cf;
                const double *G = x->ZtWZ[f] + i * cf * cf;
                for (int32_t a = 0; a < cf; a++) {
                    double s = 0.0;
                    for (int32_t b = 0; b < cf; b++) {
                        s += G[a * cf + b] * v[own + b];
                    }
                    out[own + a] += s;
                }
            }
        }
        for (int32_t g = f + 1; g < x->nf; g++) {
            const int down = factor < 0 || factor == g, up = factor < 0 || factor == f;
            if (!down && !up) {
                continue;
            }
            const int32_t cg = x->nc[g];
            const ptrdiff_t pair = flmm_pair(f, g);
            for (int64_t i = 0; i < x->nl[f]; i++) {
                const int64_t own = m->offset[f] + i * cf;
                for (int64_t k = x->indptr[pair][i]; k < x->indptr[pair][i + 1]; k++) {
                    const int64_t other = m->offset[g] + (int64_t)x->indices[pair][k] * cg;
                    const double *B = x->values[pair] + k * cf * cg;
                    for (int32_t a = 0; a < cf; a++) {
                        for (int32_t b = 0; b < cg; b++) {
                            out[own + a] += down ? B[a * cg + b] * v[other + b] : 0.0;
                            out[other + b] += up ? B[a * cg + b] * v[own + a] : 0.0;
                        }
                    }
                }
            }
        }
    }
}

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
    multiply_A(m, -1, m->b, m->e);
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

/* --- gradient ---------------------------------------------------------------- */

/* V = L'^-1 RZX RX^-1, so that [C^-1]_uu = M^-1 + V V'. */
static int fixed_part_of_inverse(flmm_lmm *m)
{
    int p = m->data.p;
    if (!m->V) {
        m->V = new_doubles(m->at.q * p);
        if (!m->V) {
            return FLMM_NO_MEMORY;
        }
    }
    for (int64_t i = 0; i < m->at.q; i++) {
        memcpy(m->V + i * p, m->U + i * (p + 1), (size_t)p * sizeof *m->V);
    }
    char left = 'L', upper = 'U', transposed = 'T', nonunit = 'N';
    double one = 1.0;
    int columns = (int)m->at.q;
    if (p > 0) {
        m->blas->dtrsm(&left, &upper, &transposed, &nonunit, &p, &columns, &one, m->RX, &p, m->V, &p);
    }
    flmm_system_solve_Lt(&m->system, p, m->V, m->work);
    return FLMM_OK;
}

/* S += I - [C^-1]_ll over some levels of one factor, lower triangle */
static void add_traces(const flmm_lmm *m, int32_t f, int64_t from, int64_t to, int reml, double *S)
{
    const int32_t p = m->data.p, nc = m->data.nc[f];
    const int64_t *position = flmm_system_position(&m->system) + m->offset[f];
    double *block = S + (ptrdiff_t)nc * nc;          /* workspace behind the sum */
    memset(S, 0, (size_t)nc * (size_t)nc * sizeof *S);
    for (int64_t l = from; l < to; l++) {
        flmm_system_inverse_at(&m->system, f, l, block);
        for (int32_t a = 0; a < nc; a++) {
            const double *Va = reml ? m->V + position[l * nc + a] * p : NULL;
            for (int32_t b = 0; b <= a; b++) {
                double s = (a == b ? 1.0 : 0.0) - block[a * nc + b];
                if (reml) {
                    const double *Vb = m->V + position[l * nc + b] * p;
                    for (int32_t r = 0; r < p; r++) {
                        s -= Va[r] * Vb[r];
                    }
                }
                S[a * nc + b] += s;
            }
        }
    }
}

/* trace[f] = sum over levels of I - [C^-1]_ll */
static int traces(flmm_lmm *m, int reml, double *trace)
{
    const flmm_crossproducts *x = &m->data;
    int status = flmm_system_inverse(&m->system);
    if (status == FLMM_OK && reml) {
        status = fixed_part_of_inverse(m);
    }
    if (status == FLMM_OK && !m->partial) {
        int64_t most = 0;
        for (int32_t f = 0; f < x->nf; f++) {
            const int64_t need = (x->nl[f] / LEVELS + 1) * 2 * x->nc[f] * x->nc[f];
            most = need > most ? need : most;
        }
        m->partial = new_doubles(most);
        status = m->partial ? FLMM_OK : FLMM_NO_MEMORY;
    }
    if (status != FLMM_OK) {
        return status;
    }
    for (int32_t f = 0; f < x->nf; f++) {
        const int32_t nc = x->nc[f];
        const int64_t chunks = (x->nl[f] + LEVELS - 1) / LEVELS;
        const ptrdiff_t stride = 2 * (ptrdiff_t)nc * nc;
#pragma omp parallel for schedule(static) num_threads(m->at.threads) if (x->nl[f] > FLMM_WORTH_THREADS)
        for (int64_t k = 0; k < chunks; k++) {
            const int64_t end = (k + 1) * LEVELS < x->nl[f] ? (k + 1) * LEVELS : x->nl[f];
            add_traces(m, f, k * LEVELS, end, reml, m->partial + k * stride);
        }
        double *S = trace + m->square[f];
        memset(S, 0, (size_t)nc * (size_t)nc * sizeof *S);
        for (int64_t k = 0; k < chunks; k++) {
            for (int32_t a = 0; a < nc; a++) {
                for (int32_t b = 0; b <= a; b++) {
                    S[a * nc + b] += m->partial[k * stride + a * nc + b];
                    S[b * nc + a] = S[a * nc + b];
                }
            }
        }
    }
    return FLMM_OK;
}

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

/* --- average information ------------------------------------------------------ */

static int make_room(flmm_lmm *m, int32_t nd)
{
    if (!m->d) {
        m->d = new_doubles(m->at.q);
        if (!m->d) {
            return FLMM_NO_MEMORY;
        }
    }
    if (nd > m->nd_room) {
        free(m->Ad);
        free(m->c);
        free(m->h);
        m->Ad = new_doubles(m->at.q * nd);
        m->c = new_doubles(m->at.q * nd);
        m->h = new_doubles((int64_t)nd * m->data.p);
        m->nd_room = m->Ad && m->c && m->h ? nd : 0;
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

/* d = D_i e on the levels of one factor, zero elsewhere */
static void direction(flmm_lmm *m, int32_t factor, const double *D)
{
    const int32_t nc = m->data.nc[factor];
    memset(m->d, 0, (size_t)m->at.q * sizeof *m->d);
    for (int64_t i = m->offset[factor]; i < m->offset[factor + 1]; i += nc) {
        for (int32_t a = 0; a < nc; a++) {
            for (int32_t b = 0; b < nc; b++) {
                m->d[i + a] += D[a * nc + b] * m->e[i + b];
            }
        }
    }
}

static int information(flmm_lmm *m, int32_t nd, const int32_t *factor_of, const double *D, double *q_ij)
{
    const flmm_crossproducts *x = &m->data;
    const int32_t p = x->p, width = p + 1;
    int status = make_room(m, nd);
    if (status != FLMM_OK) {
        return status;
    }
    /* A d_i and X'WZ d_i; the right-hand sides Lambda' A d_i side by side */
    const double *Di = D;
    for (int32_t i = 0; i < nd; i++) {
        const int32_t f = factor_of[i];
        const int32_t nc = x->nc[f];
        double *Ad = m->Ad + (ptrdiff_t)i * m->at.q, *h = m->h + (ptrdiff_t)i * p;
        direction(m, f, Di);
        Di += (ptrdiff_t)nc * nc;
        multiply_A(m, f, m->d, Ad);
        memset(h, 0, (size_t)p * sizeof *h);
        for (int64_t k = m->offset[f]; k < m->offset[f + 1]; k++) {
            const double *row = x->ZtWXy[f] + (k - m->offset[f]) * width;
            for (int32_t r = 0; r < p; r++) {
                h[r] += row[r] * m->d[k];
            }
        }
        const int64_t *position = flmm_system_position(&m->system);
        for (int32_t g = 0; g < x->nf; g++) {
            const int32_t cg = x->nc[g];
            const double *T = m->Lambda + m->square[g];
            for (int64_t k = m->offset[g]; k < m->offset[g + 1]; k += cg) {
                for (int32_t c = 0; c < cg; c++) {
                    double s = 0.0;
                    for (int32_t a = 0; a < cg; a++) {
                        s += T[a * cg + c] * Ad[k + a];
                    }
                    m->c[position[k + c] * nd + i] = s;
                }
            }
        }
    }
    flmm_system_solve_L(&m->system, nd, m->c, m->work);

    /* RX' h_i = X'WZ d_i - RZX' c_i */
    for (int64_t k = 0; k < m->at.q; k++) {
        const double *row = m->U + k * width;
        for (int32_t i = 0; i < nd; i++) {
            const double c = m->c[k * nd + i];
            for (int32_t r = 0; r < p; r++) {
                m->h[(ptrdiff_t)i * p + r] -= row[r] * c;
            }
        }
    }
    if (p > 0) {
        char left = 'L', upper = 'U', transposed = 'T', nonunit = 'N';
        double one = 1.0;
        int size = p, columns = nd;
        m->blas->dtrsm(&left, &upper, &transposed, &nonunit, &size, &columns, &one, m->RX, &size, m->h,
                       &size);
    }
    Di = D;
    for (int32_t i = 0; i < nd; i++) {
        const int32_t f = factor_of[i];
        direction(m, f, Di);
        Di += (ptrdiff_t)x->nc[f] * x->nc[f];
        for (int32_t j = 0; j <= i; j++) {
            double s = 0.0;
            const double *Ad = m->Ad + (ptrdiff_t)j * m->at.q;
            for (int64_t k = m->offset[f]; k < m->offset[f + 1]; k++) {
                s += m->d[k] * Ad[k];
            }
            for (int64_t k = 0; k < m->at.q; k++) {
                s -= m->c[k * nd + i] * m->c[k * nd + j];
            }
            for (int32_t r = 0; r < p; r++) {
                s -= m->h[(ptrdiff_t)i * p + r] * m->h[(ptrdiff_t)j * p + r];
            }
            q_ij[(ptrdiff_t)i * nd + j] = s;
            q_ij[(ptrdiff_t)j * nd + i] = s;
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
        status = traces(m, reml, out->trace);
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
