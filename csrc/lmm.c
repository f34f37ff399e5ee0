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
#include "chol.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct flmm_lmm {
    const flmm_blas *blas;
    flmm_crossproducts data;
    int64_t q;
    int32_t most_columns;            /* largest nc */
    int64_t *offset;                 /* [nf+1] first random effect of each factor */
    int64_t *square;                 /* [nf+1] start of each factor's nc x nc template */
    int64_t *colptr;                 /* [q+1] pattern of the upper triangle of M */
    flmm_chol *chol;
    double *Lambda;                  /* [sum nc^2] of the last evaluation */
    double *U;                       /* [q (p+1)] RZX and cu, factor order */
    double *gram;                    /* [(p+1)^2] U'U */
    double *RX;                      /* [p*p] upper, column-major */
    double *cb, *beta;               /* [p] */
    double *u;                       /* [q] factor order */
    double *b, *e;                   /* [q] caller's order */
    double *V;                       /* [q p] L'^-1 RZX RX^-1, on demand */
    double *small;                   /* [3 most_columns^2] */
    double *work;                    /* solves */
    int64_t work_columns;
    /* average information, grown to nd */
    double *Ad, *c;                  /* [q nd] */
    double *d;                       /* [q] */
    double *h;                       /* [nd p] */
    int32_t nd_room;
};

/* --- small dense blocks, row-major ------------------------------------------ */

/* out (ca x cb) = F' B G,  F ca x ca, B ca x cb, G cb x cb; t is workspace. */
static void sandwich(int32_t ca, int32_t cb, const double *F, const double *B, const double *G,
                     double *t, double *out)
{
    if (ca == 1 && cb == 1) {
        out[0] = F[0] * B[0] * G[0];
        return;
    }
    for (int32_t a = 0; a < ca; a++) {
        for (int32_t j = 0; j < cb; j++) {
            double s = 0.0;
            for (int32_t b = 0; b < cb; b++) {
                s += B[a * cb + b] * G[b * cb + j];
            }
            t[a * cb + j] = s;
        }
    }
    for (int32_t i = 0; i < ca; i++) {
        for (int32_t j = 0; j < cb; j++) {
            double s = 0.0;
            for (int32_t a = 0; a < ca; a++) {
                s += F[a * ca + i] * t[a * cb + j];
            }
            out[i * cb + j] = s;
        }
    }
}

static ptrdiff_t pair_index(int32_t f, int32_t g)
{
    return (ptrdiff_t)g * (g - 1) / 2 + f;
}

/* --- construction ------------------------------------------------------------ */

/* Upper triangle of M: column (g, j, b) holds the levels of every earlier factor
 * that meet level j, factor by factor, then rows 0 .. b of its own block. */
static int build_pattern(flmm_lmm *m, int64_t **rowind_out)
{
    const flmm_crossproducts *x = &m->data;
    int64_t nnz = 0;
    for (int32_t g = 0; g < x->nf; g++) {
        const int32_t nc = x->nc[g];
        nnz += (int64_t)x->nl[g] * nc * (nc + 1) / 2;
        for (int32_t f = 0; f < g; f++) {
            nnz += x->indptr[pair_index(f, g)][x->nl[g]] * nc * x->nc[f];
        }
    }
    int64_t *rowind = malloc(((size_t)nnz + 1) * sizeof *rowind);
    m->colptr = malloc(((size_t)m->q + 1) * sizeof *m->colptr);
    if (!rowind || !m->colptr) {
        free(rowind);
        return FLMM_NO_MEMORY;
    }
    int64_t at = 0, col = 0;
    m->colptr[0] = 0;
    for (int32_t g = 0; g < x->nf; g++) {
        for (int32_t j = 0; j < x->nl[g]; j++) {
            const int64_t own = m->offset[g] + (int64_t)j * x->nc[g];
            for (int32_t b = 0; b < x->nc[g]; b++) {
                for (int32_t f = 0; f < g; f++) {
                    const int64_t *indptr = x->indptr[pair_index(f, g)];
                    const int32_t *indices = x->indices[pair_index(f, g)];
                    for (int64_t k = indptr[j]; k < indptr[j + 1]; k++) {
                        for (int32_t a = 0; a < x->nc[f]; a++) {
                            rowind[at++] = m->offset[f] + (int64_t)indices[k] * x->nc[f] + a;
                        }
                    }
                }
                for (int32_t a = 0; a <= b; a++) {
                    rowind[at++] = own + a;
                }
                m->colptr[++col] = at;
            }
        }
    }
    *rowind_out = rowind;
    return FLMM_OK;
}

static double *new_doubles(int64_t count)
{
    return malloc(((size_t)count + 1) * sizeof(double));
}

static int allocate(flmm_lmm *m)
{
    const int64_t q = m->q, p = m->data.p, c2 = (int64_t)m->most_columns * m->most_columns;
    m->Lambda = new_doubles(m->square[m->data.nf]);
    m->U = new_doubles(q * (p + 1));
    m->gram = new_doubles((p + 1) * (p + 1));
    m->RX = new_doubles(p * p);
    m->cb = new_doubles(p);
    m->beta = new_doubles(p);
    m->u = new_doubles(q);
    m->b = new_doubles(q);
    m->e = new_doubles(q);
    m->d = new_doubles(q);
    m->small = new_doubles(3 * c2);
    m->work_columns = p + 1;
    m->work = new_doubles(flmm_chol_work(m->chol) * m->work_columns);
    return m->Lambda && m->U && m->gram && m->RX && m->cb && m->beta && m->u && m->b && m->e && m->d
                   && m->small && m->work
               ? FLMM_OK
               : FLMM_NO_MEMORY;
}

static int set_up(flmm_lmm *m)
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
        m->most_columns = x->nc[f] > m->most_columns ? x->nc[f] : m->most_columns;
    }
    m->q = m->offset[x->nf];
    if (m->q > INT32_MAX) {          /* LAPACK's integers */
        return FLMM_TOO_LARGE;
    }
    int64_t *rowind = NULL;
    int status = build_pattern(m, &rowind);
    if (status == FLMM_OK) {
        status = flmm_chol_new(m->blas, m->q, m->colptr, rowind, &m->chol);
    }
    free(rowind);
    return status == FLMM_OK ? allocate(m) : status;
}

int flmm_lmm_new(const flmm_blas *blas, const flmm_crossproducts *data, flmm_lmm **out)
{
    *out = NULL;
    if (data->nf < 1 || data->p < 0 || data->p >= 46340) {
        return FLMM_BAD_ARGUMENT;
    }
    flmm_lmm *m = calloc(1, sizeof *m);
    if (!m) {
        return FLMM_NO_MEMORY;
    }
    m->blas = blas;
    m->data = *data;
    const int status = set_up(m);
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
    flmm_chol_free(m->chol);
    free(m->offset);
    free(m->square);
    free(m->colptr);
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
    free(m->small);
    free(m->work);
    free(m->Ad);
    free(m->c);
    free(m->d);
    free(m->h);
    free(m);
}

/* --- value ------------------------------------------------------------------- */

/* M = Lambda' A Lambda + I into the slots of the factorization. */
static void fill_M(flmm_lmm *m)
{
    const flmm_crossproducts *x = &m->data;
    double *values = flmm_chol_values(m->chol);
    const int64_t *slot = flmm_chol_slot(m->chol);
    double *t = m->small, *C = t + (ptrdiff_t)m->most_columns * m->most_columns;
    for (int32_t g = 0; g < x->nf; g++) {
        const int32_t cg = x->nc[g];
        const double *Lg = m->Lambda + m->square[g];
        for (int32_t j = 0; j < x->nl[g]; j++) {
            const int64_t *start = m->colptr + m->offset[g] + (int64_t)j * cg;
            int64_t above = 0;
            for (int32_t f = 0; f < g; f++) {
                const int32_t cf = x->nc[f];
                const ptrdiff_t pair = pair_index(f, g);
                for (int64_t k = x->indptr[pair][j]; k < x->indptr[pair][j + 1]; k++) {
                    sandwich(cf, cg, m->Lambda + m->square[f], x->values[pair] + k * cf * cg, Lg, t, C);
                    for (int32_t b = 0; b < cg; b++) {
                        for (int32_t a = 0; a < cf; a++) {
                            values[slot[start[b] + above + a]] = C[a * cg + b];
                        }
                    }
                    above += cf;
                }
            }
            sandwich(cg, cg, Lg, x->ZtWZ[g] + (int64_t)j * cg * cg, Lg, t, C);
            for (int32_t b = 0; b < cg; b++) {
                for (int32_t a = 0; a <= b; a++) {
                    values[slot[start[b] + above + a]] = C[a * cg + b] + (a == b ? 1.0 : 0.0);
                }
            }
        }
    }
}

/* out (factor order, m columns) = Lambda' in (caller's order, m columns) */
static void apply_Lambda_t(const flmm_lmm *m, int32_t columns, int32_t factor, const double *in,
                           double *out)
{
    const int32_t nc = m->data.nc[factor];
    const int64_t *position = flmm_chol_position(m->chol);
    const double *T = m->Lambda + m->square[factor];
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
    for (int64_t first = 0; first < m->q; first += 1 << 20) {
        int depth = (int)(m->q - first < (1 << 20) ? m->q - first : (1 << 20));
        m->blas->dsyrk(&upper, &plain, &size, &depth, &one, m->U + first * size, &size, &one, m->gram,
                       &size);
    }
}

static int factorize(flmm_lmm *m, flmm_evaluation *out)
{
    const int32_t p = m->data.p, width = p + 1;
    fill_M(m);
    int status = flmm_chol_factorize(m->chol);
    if (status != FLMM_OK) {
        return status;
    }
    out->ldL2 = flmm_chol_logdet(m->chol);
    if (!isfinite(out->ldL2)) {
        return FLMM_M_NOT_POSITIVE;
    }
    for (int32_t f = 0; f < m->data.nf; f++) {
        apply_Lambda_t(m, width, f, m->data.ZtWXy[f], m->U);
    }
    flmm_chol_solve_L(m->chol, width, m->U, m->work);
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
    memset(out, 0, (size_t)m->q * sizeof *out);
    for (int32_t g = 0; g < x->nf; g++) {
        const int32_t cg = x->nc[g];
        for (int32_t j = 0; j < x->nl[g]; j++) {
            const int64_t own = m->offset[g] + (int64_t)j * cg;
            if (factor < 0 || factor == g) {
                const double *G = x->ZtWZ[g] + (int64_t)j * cg * cg;
                for (int32_t a = 0; a < cg; a++) {
                    for (int32_t b = 0; b < cg; b++) {
                        out[own + a] += G[a * cg + b] * v[own + b];
                    }
                }
            }
            for (int32_t f = 0; f < g; f++) {
                if (factor >= 0 && factor != f && factor != g) {
                    continue;
                }
                const int32_t cf = x->nc[f];
                const ptrdiff_t pair = pair_index(f, g);
                for (int64_t k = x->indptr[pair][j]; k < x->indptr[pair][j + 1]; k++) {
                    const int64_t other = m->offset[f] + (int64_t)x->indices[pair][k] * cf;
                    const double *B = x->values[pair] + k * cf * cg;
                    for (int32_t a = 0; a < cf; a++) {
                        for (int32_t b = 0; b < cg; b++) {
                            out[other + a] += B[a * cg + b] * v[own + b];
                            out[own + b] += B[a * cg + b] * v[other + a];
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
    const flmm_crossproducts *x = &m->data;
    const int32_t p = x->p, width = p + 1;
    const int64_t *position = flmm_chol_position(m->chol);
    for (int64_t i = 0; i < m->q; i++) {
        const double *row = m->U + i * width;
        double s = row[p];
        for (int32_t j = 0; j < p; j++) {
            s -= row[j] * m->beta[j];
        }
        m->u[i] = s;
    }
    flmm_chol_solve_Lt(m->chol, 1, m->u, m->work);
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
        m->V = new_doubles(m->q * p);
        if (!m->V) {
            return FLMM_NO_MEMORY;
        }
    }
    for (int64_t i = 0; i < m->q; i++) {
        memcpy(m->V + i * p, m->U + i * (p + 1), (size_t)p * sizeof *m->V);
    }
    char left = 'L', upper = 'U', transposed = 'T', nonunit = 'N';
    double one = 1.0;
    int columns = (int)m->q;
    if (p > 0) {
        m->blas->dtrsm(&left, &upper, &transposed, &nonunit, &p, &columns, &one, m->RX, &p, m->V, &p);
    }
    flmm_chol_solve_Lt(m->chol, p, m->V, m->work);
    return FLMM_OK;
}

/* trace[f] = sum over levels of I - [C^-1]_ll */
static int traces(flmm_lmm *m, int reml, double *trace)
{
    const flmm_crossproducts *x = &m->data;
    const int32_t p = x->p;
    const int64_t *position = flmm_chol_position(m->chol);
    int status = flmm_chol_inverse(m->chol);
    if (status == FLMM_OK && reml) {
        status = fixed_part_of_inverse(m);
    }
    if (status != FLMM_OK) {
        return status;
    }
    for (int32_t f = 0; f < x->nf; f++) {
        const int32_t nc = x->nc[f];
        double *S = trace + m->square[f];
        memset(S, 0, (size_t)nc * (size_t)nc * sizeof *S);
        for (int64_t l = 0; l < x->nl[f]; l++) {
            const int64_t own = m->offset[f] + l * nc;
            for (int32_t a = 0; a < nc; a++) {
                const int64_t i = position[own + a];
                for (int32_t b = 0; b <= a; b++) {
                    const int64_t j = position[own + b];
                    double s = (a == b ? 1.0 : 0.0) - flmm_chol_inverse_at(m->chol, i, j);
                    if (reml) {
                        for (int32_t r = 0; r < p; r++) {
                            s -= m->V[i * p + r] * m->V[j * p + r];
                        }
                    }
                    S[a * nc + b] += s;
                }
            }
        }
        for (int32_t a = 0; a < nc; a++) {
            for (int32_t b = 0; b < a; b++) {
                S[b * nc + a] = S[a * nc + b];
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
    if (nd > m->nd_room) {
        free(m->Ad);
        free(m->c);
        free(m->h);
        m->Ad = new_doubles(m->q * nd);
        m->c = new_doubles(m->q * nd);
        m->h = new_doubles((int64_t)nd * m->data.p);
        m->nd_room = m->Ad && m->c && m->h ? nd : 0;
        if (!m->nd_room) {
            return FLMM_NO_MEMORY;
        }
    }
    if (nd > m->work_columns) {
        double *work = new_doubles(flmm_chol_work(m->chol) * nd);
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
    memset(m->d, 0, (size_t)m->q * sizeof *m->d);
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
        double *Ad = m->Ad + (ptrdiff_t)i * m->q, *h = m->h + (ptrdiff_t)i * p;
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
        const int64_t *position = flmm_chol_position(m->chol);
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
    flmm_chol_solve_L(m->chol, nd, m->c, m->work);

    /* RX' h_i = X'WZ d_i - RZX' c_i */
    for (int64_t k = 0; k < m->q; k++) {
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
            const double *Ad = m->Ad + (ptrdiff_t)j * m->q;
            for (int64_t k = m->offset[f]; k < m->offset[f + 1]; k++) {
                s += m->d[k] * Ad[k];
            }
            for (int64_t k = 0; k < m->q; k++) {
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
    if (status == FLMM_OK) {
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

void flmm_lmm_solution(const flmm_lmm *m, double *beta, double *u, double *b)
{
    const int64_t *position = flmm_chol_position(m->chol);
    memcpy(beta, m->beta, (size_t)m->data.p * sizeof *beta);
    memcpy(b, m->b, (size_t)m->q * sizeof *b);
    for (int64_t i = 0; i < m->q; i++) {
        u[i] = m->u[position[i]];
    }
}

void flmm_lmm_blocks(const flmm_lmm *m, double *RX, double *RZX)
{
    const int32_t p = m->data.p;
    const int64_t *position = flmm_chol_position(m->chol);
    for (int32_t i = 0; i < p; i++) {
        for (int32_t j = 0; j < p; j++) {
            RX[(ptrdiff_t)i * p + j] = m->RX[(ptrdiff_t)j * p + i];
        }
    }
    for (int64_t i = 0; i < m->q; i++) {
        memcpy(RZX + i * p, m->U + position[i] * (p + 1), (size_t)p * sizeof *RZX);
    }
}

int flmm_lmm_inverse_blocks(flmm_lmm *m, double *blocks)
{
    const int64_t *position = flmm_chol_position(m->chol);
    const int status = flmm_chol_inverse(m->chol);
    if (status != FLMM_OK) {
        return status;
    }
    for (int32_t f = 0; f < m->data.nf; f++) {
        const int32_t nc = m->data.nc[f];
        for (int64_t i = m->offset[f]; i < m->offset[f + 1]; i += nc) {
            for (int32_t a = 0; a < nc; a++) {
                for (int32_t b = 0; b < nc; b++) {
                    *blocks++ = flmm_chol_inverse_at(m->chol, position[i + a], position[i + b]);
                }
            }
        }
    }
    return FLMM_OK;
}

void flmm_lmm_describe(const flmm_lmm *m, int64_t *nnz_L, int *supernodal)
{
    flmm_chol_describe(m->chol, nnz_L, supernodal);
}

int flmm_lmm_factor(const flmm_lmm *m, int64_t *nnz, int64_t *colptr, int64_t *rowind, double *x,
                    int64_t *perm)
{
    const flmm_chol_view v = flmm_chol_look(m->chol);
    const int64_t *position = flmm_chol_position(m->chol);
    int64_t at = 0;
    for (int64_t j = 0; j < v.n; j++) {
        const int64_t s = v.supernodal ? v.super_of[j] : 0;
        const int64_t inside = v.supernodal ? j - v.super[s] : 0;
        const int64_t height = v.supernodal ? v.rowptr[s + 1] - v.rowptr[s] : v.count[j];
        const int64_t *row = v.supernodal ? v.rows + v.rowptr[s] : v.rowind + v.colptr[j];
        const double *value = v.supernodal ? v.x + v.valptr[s] + inside * height : v.x + v.colptr[j];
        if (colptr) {
            colptr[j] = at;
            for (int64_t k = inside; k < height; k++) {
                rowind[at + k - inside] = row[k];
                x[at + k - inside] = value[k];
            }
        }
        at += height - inside;
    }
    if (colptr) {
        colptr[v.n] = at;
        for (int64_t i = 0; i < v.n; i++) {
            perm[position[i]] = i;
        }
    }
    *nnz = at;
    return FLMM_OK;
}
