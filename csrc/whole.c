/* whole.c: all of M as one sparse Cholesky factorization. */
#include "system.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct flmm_whole {
    const flmm_blas *blas;
    flmm_layout at;
    int64_t *colptr;                 /* [q+1] pattern of the lower triangle of M */
    flmm_chol *chol;
    double *small;                   /* [2 most_columns^2] */
    double *U;                       /* [q (p+1)] L^-1 Lambda'Z'W[X y], factor order */
    double *b, *e;                   /* [q] caller's order */
    double *u;                       /* [q] factor order */
    double *work;                    /* solves of work_columns */
    int64_t work_columns;
    double *V;                       /* [q p] L'^-1 RZX RX^-1, on demand */
    double *Ad, *c, *d;              /* [q nd], [q nd], [q], grown to nd */
    int32_t nd_room;
};

static double *new_doubles(int64_t count)
{
    return malloc(((size_t)count + 1) * sizeof(double));
}

/* Lower triangle of M: column (f, i, a) holds rows a .. of its own block, then the
 * levels of every later factor that meet level i, factor by factor. */
static int build_pattern(flmm_whole *s, int64_t **rowind_out)
{
    const flmm_crossproducts *x = s->at.x;
    int64_t nnz = 0;
    for (int32_t f = 0; f < x->nf; f++) {
        const int32_t nc = x->nc[f];
        nnz += (int64_t)x->nl[f] * nc * (nc + 1) / 2;
        for (int32_t g = f + 1; g < x->nf; g++) {
            nnz += x->indptr[flmm_pair(f, g)][x->nl[f]] * nc * x->nc[g];
        }
    }
    int64_t *rowind = malloc(((size_t)nnz + 1) * sizeof *rowind);
    s->colptr = malloc(((size_t)s->at.q + 1) * sizeof *s->colptr);
    if (!rowind || !s->colptr) {
        free(rowind);
        return FLMM_NO_MEMORY;
    }
    int64_t at = 0, col = 0;
    s->colptr[0] = 0;
    for (int32_t f = 0; f < x->nf; f++) {
        for (int64_t i = 0; i < x->nl[f]; i++) {
            const int64_t own = s->at.offset[f] + i * x->nc[f];
            for (int32_t a = 0; a < x->nc[f]; a++) {
                for (int32_t b = a; b < x->nc[f]; b++) {
                    rowind[at++] = own + b;
                }
                for (int32_t g = f + 1; g < x->nf; g++) {
                    const int64_t *indptr = x->indptr[flmm_pair(f, g)];
                    const int32_t *indices = x->indices[flmm_pair(f, g)];
                    for (int64_t k = indptr[i]; k < indptr[i + 1]; k++) {
                        for (int32_t b = 0; b < x->nc[g]; b++) {
                            rowind[at++] = s->at.offset[g] + (int64_t)indices[k] * x->nc[g] + b;
                        }
                    }
                }
                s->colptr[++col] = at;
            }
        }
    }
    *rowind_out = rowind;
    return FLMM_OK;
}

int flmm_whole_new(const flmm_blas *blas, const flmm_layout *layout, flmm_whole **out)
{
    *out = NULL;
    flmm_whole *s = calloc(1, sizeof *s);
    if (!s) {
        return FLMM_NO_MEMORY;
    }
    s->blas = blas;
    s->at = *layout;
    int64_t *rowind = NULL;
    int status = build_pattern(s, &rowind);
    if (status == FLMM_OK) {
        status = flmm_chol_new(blas, layout->q, s->colptr, rowind, &s->chol);
    }
    free(rowind);
    if (status == FLMM_OK) {
        const int64_t q = layout->q, m = layout->x->p + 1, c = layout->most_columns;
        s->small = new_doubles(2 * c * c);
        s->U = new_doubles(q * m);
        s->b = new_doubles(q);
        s->e = new_doubles(q);
        s->u = new_doubles(q);
        s->work_columns = m;
        s->work = new_doubles(flmm_chol_work(s->chol) * m);
        status = s->small && s->U && s->b && s->e && s->u && s->work ? FLMM_OK : FLMM_NO_MEMORY;
    }
    if (status != FLMM_OK) {
        flmm_whole_free(s);
        return status;
    }
    *out = s;
    return FLMM_OK;
}

void flmm_whole_free(flmm_whole *s)
{
    if (!s) {
        return;
    }
    flmm_chol_free(s->chol);
    free(s->colptr);
    free(s->small);
    free(s->U);
    free(s->b);
    free(s->e);
    free(s->u);
    free(s->work);
    free(s->V);
    free(s->Ad);
    free(s->c);
    free(s->d);
    free(s);
}

static int make_work(flmm_whole *s, int32_t m)
{
    if (m <= s->work_columns) {
        return FLMM_OK;
    }
    double *work = new_doubles(flmm_chol_work(s->chol) * m);
    if (!work) {
        return FLMM_NO_MEMORY;
    }
    free(s->work);
    s->work = work;
    s->work_columns = m;
    return FLMM_OK;
}

/* Values of M */
static void fill(flmm_whole *s)
{
    const flmm_crossproducts *x = s->at.x;
    const double *Lambda = s->at.Lambda;
    double *values = flmm_chol_values(s->chol);
    const int64_t *slot = flmm_chol_slot(s->chol);
    double *t = s->small, *C = t + (ptrdiff_t)s->at.most_columns * s->at.most_columns;
    for (int32_t f = 0; f < x->nf; f++) {
        const int32_t cf = x->nc[f];
        const double *Lf = Lambda + s->at.square[f];
        for (int64_t i = 0; i < x->nl[f]; i++) {
            const int64_t *start = s->colptr + s->at.offset[f] + i * cf;
            flmm_sandwich(cf, cf, Lf, x->ZtWZ[f] + i * cf * cf, Lf, t, C);
            for (int32_t a = 0; a < cf; a++) {
                for (int32_t b = a; b < cf; b++) {
                    values[slot[start[a] + b - a]] = C[b * cf + a] + (a == b ? 1.0 : 0.0);
                }
            }
            int64_t below = 0;
            for (int32_t g = f + 1; g < x->nf; g++) {
                const int32_t cg = x->nc[g];
                const ptrdiff_t pair = flmm_pair(f, g);
                for (int64_t k = x->indptr[pair][i]; k < x->indptr[pair][i + 1]; k++) {
                    flmm_sandwich(cf, cg, Lf, x->values[pair] + k * cf * cg, Lambda + s->at.square[g], t, C);
                    for (int32_t a = 0; a < cf; a++) {
                        for (int32_t b = 0; b < cg; b++) {
                            values[slot[start[a] + (cf - a) + below + b]] = C[a * cg + b];
                        }
                    }
                    below += cg;
                }
            }
        }
    }
}

/* U := L^-1 Lambda'R, factor order */
static void solve_right_hand_sides(const flmm_whole *s, int32_t m, const double *const *R, double *U)
{
    const flmm_crossproducts *x = s->at.x;
    const int64_t *position = flmm_chol_position(s->chol);
    for (int32_t f = 0; f < x->nf; f++) {
        const int32_t c = x->nc[f];
        const double *T = s->at.Lambda + s->at.square[f];
        for (int64_t l = 0; l < x->nl[f]; l++) {
            const double *in = R[f] + l * c * m;
            for (int32_t a = 0; a < c; a++) {
                double *out = U + position[s->at.offset[f] + l * c + a] * m;
                for (int32_t r = 0; r < m; r++) {
                    out[r] = 0.0;
                    for (int32_t b = 0; b < c; b++) {
                        out[r] += T[b * c + a] * in[(ptrdiff_t)b * m + r];
                    }
                }
            }
        }
    }
    flmm_chol_solve_L(s->chol, m, U, s->work);
}

int flmm_whole_factorize(flmm_whole *s, double *logdet, double *gram)
{
    const int32_t m = s->at.x->p + 1;
    fill(s);
    const int status = flmm_chol_factorize(s->chol);
    if (status != FLMM_OK) {
        return status;
    }
    *logdet = flmm_chol_logdet(s->chol);
    if (!isfinite(*logdet)) {
        return FLMM_M_NOT_POSITIVE;
    }
    solve_right_hand_sides(s, m, s->at.x->ZtWXy, s->U);
    memset(gram, 0, (size_t)m * (size_t)m * sizeof *gram);
    flmm_gram_add(s->blas, s->at.q, m, s->U, gram);
    return FLMM_OK;
}

/* --- solutions ------------------------------------------------------------------ */

/* B_f := Lambda_f times what stands for factor f in u [q m], factor order */
static void apply_templates(const flmm_whole *s, int32_t m, const double *u, int32_t f, double *B)
{
    const int64_t *position = flmm_chol_position(s->chol);
    const int32_t nc = s->at.x->nc[f];
    const double *T = s->at.Lambda + s->at.square[f];
    for (int64_t own = s->at.offset[f]; own < s->at.offset[f + 1]; own += nc) {
        for (int32_t a = 0; a < nc; a++, B += m) {
            for (int32_t r = 0; r < m; r++) {
                B[r] = 0.0;
                for (int32_t c = 0; c < nc; c++) {
                    B[r] += T[a * nc + c] * u[position[own + c] * m + r];
                }
            }
        }
    }
}

int flmm_whole_modes(flmm_whole *s, const double *y, double *u, double *b)
{
    const int32_t m = s->at.x->p + 1;
    const int64_t *position = flmm_chol_position(s->chol);
    for (int64_t i = 0; i < s->at.q; i++) {
        s->u[i] = 0.0;
        for (int32_t j = 0; j < m; j++) {
            s->u[i] += s->U[i * m + j] * y[j];
        }
    }
    flmm_chol_solve_Lt(s->chol, 1, s->u, s->work);
    for (int64_t i = 0; u && i < s->at.q; i++) {
        u[i] = s->u[position[i]];
    }
    for (int32_t f = 0; b && f < s->at.x->nf; f++) {
        apply_templates(s, 1, s->u, f, b + s->at.offset[f]);
    }
    return FLMM_OK;
}

int flmm_whole_solve(flmm_whole *s, int32_t m, const double *const *R, double *const *B)
{
    double *U = new_doubles(s->at.q * m);
    int status = U ? make_work(s, m) : FLMM_NO_MEMORY;
    if (status == FLMM_OK) {
        solve_right_hand_sides(s, m, R, U);
        flmm_chol_solve_Lt(s->chol, m, U, s->work);
        for (int32_t f = 0; f < s->at.x->nf; f++) {
            apply_templates(s, m, U, f, B[f]);
        }
    }
    free(U);
    return status;
}

int flmm_whole_half_solve(flmm_whole *s, int32_t m, const double *const *R, double *U)
{
    const int64_t *position = flmm_chol_position(s->chol);
    double *own = new_doubles(s->at.q * m);
    const int status = own ? make_work(s, m) : FLMM_NO_MEMORY;
    if (status == FLMM_OK) {
        solve_right_hand_sides(s, m, R, own);
        for (int64_t i = 0; i < s->at.q; i++) {
            memcpy(U + i * m, own + position[i] * m, (size_t)m * sizeof *U);
        }
    }
    free(own);
    return status;
}

/* --- diagonal blocks of M^-1 ------------------------------------------------------ */

static void inverse_at(const flmm_whole *s, int32_t factor, int64_t level, double *out)
{
    const int32_t nc = s->at.x->nc[factor];
    const int64_t *own = flmm_chol_position(s->chol) + s->at.offset[factor] + level * nc;
    const double *inverse = flmm_chol_inverse_values(s->chol);
    for (int32_t a = 0; a < nc; a++) {
        for (int32_t b = 0; b <= a; b++) {
            const double value = inverse[flmm_chol_inverse_place(s->chol, own[a], own[b])];
            out[a * nc + b] = value;
            out[b * nc + a] = value;
        }
    }
}

int flmm_whole_inverse_blocks(flmm_whole *s, double *blocks)
{
    const flmm_crossproducts *x = s->at.x;
    const int status = flmm_chol_inverse(s->chol);
    for (int32_t f = 0; status == FLMM_OK && f < x->nf; f++) {
        for (int64_t l = 0; l < x->nl[f]; l++, blocks += (ptrdiff_t)x->nc[f] * x->nc[f]) {
            inverse_at(s, f, l, blocks);
        }
    }
    return status;
}

/* --- for reports ------------------------------------------------------------------ */

void flmm_whole_describe(const flmm_whole *s, int64_t *nnz_L, int *supernodal)
{
    flmm_chol_describe(s->chol, nnz_L, supernodal);
}

int64_t flmm_whole_factor(const flmm_whole *s, int64_t *colptr, int64_t *rowind, double *x, int64_t *perm)
{
    const int64_t *position = flmm_chol_position(s->chol);
    for (int64_t i = 0; colptr && i < s->at.q; i++) {
        perm[position[i]] = i;
    }
    return flmm_chol_factor(s->chol, 0, 0, colptr, rowind, x);
}

/* --- derivatives -------------------------------------------------------------- */

/* b and e = R y - A b */
static void residual_scores(flmm_whole *s, const double *y)
{
    const flmm_crossproducts *x = s->at.x;
    const int32_t m = x->p + 1;
    flmm_whole_modes(s, y, NULL, s->b);
    flmm_multiply_A(&s->at, -1, s->b, s->e);
    for (int32_t f = 0; f < x->nf; f++) {
        const double *row = x->ZtWXy[f];
        for (int64_t i = s->at.offset[f]; i < s->at.offset[f + 1]; i++, row += m) {
            double v = -s->e[i];
            for (int32_t j = 0; j < m; j++) {
                v += row[j] * y[j];
            }
            s->e[i] = v;
        }
    }
}

/* score[f] = sum over levels of e_l e_l' */
static void scores(const flmm_whole *s, double *score)
{
    for (int32_t f = 0; f < s->at.x->nf; f++) {
        const int32_t nc = s->at.x->nc[f];
        double *Q = score + s->at.square[f];
        memset(Q, 0, (size_t)nc * (size_t)nc * sizeof *Q);
        for (const double *e = s->e + s->at.offset[f]; e < s->e + s->at.offset[f + 1]; e += nc) {
            for (int32_t a = 0; a < nc; a++) {
                for (int32_t b = 0; b < nc; b++) {
                    Q[a * nc + b] += e[a] * e[b];
                }
            }
        }
    }
}

static int traces(flmm_whole *s, int reml, const double *RX, double *trace)
{
    const int32_t p = s->at.x->p;
    const double *U = s->U;
    const flmm_crossproducts *x = s->at.x;
    const int64_t *position = flmm_chol_position(s->chol);
    if (reml && p > 0) {                 /* V = L'^-1 RZX RX^-1 */
        if (!s->V) {
            s->V = new_doubles(s->at.q * p);
            if (!s->V) {
                return FLMM_NO_MEMORY;
            }
        }
        for (int64_t i = 0; i < s->at.q; i++) {
            memcpy(s->V + i * p, U + i * (p + 1), (size_t)p * sizeof *s->V);
        }
        char left = 'L', upper = 'U', transposed = 'T', nonunit = 'N';
        double one = 1.0;
        int rows = p, columns = (int)s->at.q;
        s->blas->dtrsm(&left, &upper, &transposed, &nonunit, &rows, &columns, &one,
                       (double *)(uintptr_t)RX, &rows, s->V, &rows);
        flmm_chol_solve_Lt(s->chol, p, s->V, s->work);
    }
    for (int32_t f = 0; f < x->nf; f++) {
        const int32_t nc = x->nc[f];
        double *S = trace + s->at.square[f], *block = s->small;
        memset(S, 0, (size_t)nc * (size_t)nc * sizeof *S);
        for (int64_t l = 0; l < x->nl[f]; l++) {
            const int64_t *own = position + s->at.offset[f] + l * nc;
            inverse_at(s, f, l, block);
            for (int32_t a = 0; a < nc; a++) {
                for (int32_t b = 0; b <= a; b++) {
                    double v = (a == b ? 1.0 : 0.0) - block[a * nc + b];
                    for (int32_t r = 0; reml && r < p; r++) {
                        v -= s->V[own[a] * p + r] * s->V[own[b] * p + r];
                    }
                    S[a * nc + b] += v;
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

static int make_room(flmm_whole *s, int32_t nd)
{
    if (nd <= s->nd_room) {
        return FLMM_OK;
    }
    free(s->Ad);
    free(s->c);
    free(s->d);
    s->Ad = new_doubles(s->at.q * nd);
    s->c = new_doubles(s->at.q * nd);
    s->d = new_doubles(s->at.q);
    s->nd_room = s->Ad && s->c && s->d ? nd : 0;
    return s->nd_room ? FLMM_OK : FLMM_NO_MEMORY;
}

/* d = D_i e on the levels of one factor, zero elsewhere */
static void direction(flmm_whole *s, int32_t factor, const double *D, const double *e)
{
    const int32_t nc = s->at.x->nc[factor];
    memset(s->d, 0, (size_t)s->at.q * sizeof *s->d);
    for (int64_t i = s->at.offset[factor]; i < s->at.offset[factor + 1]; i += nc) {
        for (int32_t a = 0; a < nc; a++) {
            for (int32_t b = 0; b < nc; b++) {
                s->d[i + a] += D[a * nc + b] * e[i + b];
            }
        }
    }
}

static int information(flmm_whole *s, const flmm_derivatives *w)
{
    const flmm_crossproducts *x = s->at.x;
    const int64_t *position = flmm_chol_position(s->chol);
    const int32_t p = x->p, width = p + 1, nd = w->nd;
    const double *const *R = x->ZtWXy;
    const double *Lambda = s->at.Lambda, *D = w->D, *U = s->U, *e = s->e;
    const int32_t *factor_of = w->factor_of;
    double *q = w->q, *h = w->h;
    int status = make_room(s, nd);
    if (status == FLMM_OK) {
        status = make_work(s, nd);
    }
    if (status != FLMM_OK) {
        return status;
    }
    const double *Di = D;
    memset(h, 0, (size_t)nd * (size_t)p * sizeof *h);
    for (int32_t i = 0; i < nd; i++) {
        const int32_t f = factor_of[i];
        double *Ad = s->Ad + (ptrdiff_t)i * s->at.q;
        direction(s, f, Di, e);
        Di += (ptrdiff_t)x->nc[f] * x->nc[f];
        flmm_multiply_A(&s->at, f, s->d, Ad);
        for (int64_t k = s->at.offset[f]; k < s->at.offset[f + 1]; k++) {
            const double *row = R[f] + (k - s->at.offset[f]) * width;
            for (int32_t r = 0; r < p; r++) {
                h[(ptrdiff_t)i * p + r] += row[r] * s->d[k];
            }
        }
        for (int32_t g = 0; g < x->nf; g++) {
            const int32_t cg = x->nc[g];
            const double *T = Lambda + s->at.square[g];
            for (int64_t k = s->at.offset[g]; k < s->at.offset[g + 1]; k += cg) {
                for (int32_t c = 0; c < cg; c++) {
                    double v = 0.0;
                    for (int32_t a = 0; a < cg; a++) {
                        v += T[a * cg + c] * Ad[k + a];
                    }
                    s->c[position[k + c] * nd + i] = v;
                }
            }
        }
    }
    flmm_chol_solve_L(s->chol, nd, s->c, s->work);
    for (int64_t k = 0; k < s->at.q; k++) {
        for (int32_t i = 0; i < nd; i++) {
            for (int32_t r = 0; r < p; r++) {
                h[(ptrdiff_t)i * p + r] -= U[k * width + r] * s->c[k * nd + i];
            }
        }
    }
    memset(q, 0, (size_t)nd * (size_t)nd * sizeof *q);
    flmm_gram_add(s->blas, s->at.q, nd, s->c, q);        /* column-major upper: q_ji at i nd + j, j <= i */
    Di = D;
    for (int32_t i = 0; i < nd; i++) {
        const int32_t f = factor_of[i];
        direction(s, f, Di, e);
        Di += (ptrdiff_t)x->nc[f] * x->nc[f];
        for (int32_t j = 0; j <= i; j++) {
            const double *Ad = s->Ad + (ptrdiff_t)j * s->at.q;
            double v = -q[(ptrdiff_t)i * nd + j];
            for (int64_t k = s->at.offset[f]; k < s->at.offset[f + 1]; k++) {
                v += s->d[k] * Ad[k];
            }
            q[(ptrdiff_t)i * nd + j] = v;
        }
    }
    for (int32_t i = 0; i < nd; i++) {
        for (int32_t j = 0; j < i; j++) {
            q[(ptrdiff_t)j * nd + i] = q[(ptrdiff_t)i * nd + j];
        }
    }
    return FLMM_OK;
}

int flmm_whole_differentiate(flmm_whole *s, const flmm_derivatives *d)
{
    int status = FLMM_OK;
    if (d->what & FLMM_TRACE) {
        status = flmm_chol_inverse(s->chol);
        if (status == FLMM_OK) {
            status = traces(s, d->reml, d->RX, d->trace);
        }
    }
    if (status == FLMM_OK && d->what & (FLMM_SCORE | FLMM_INFORMATION)) {
        residual_scores(s, d->y);
    }
    if (status == FLMM_OK && d->what & FLMM_SCORE) {
        scores(s, d->score);
    }
    if (status == FLMM_OK && d->what & FLMM_INFORMATION && d->nd > 0) {
        status = information(s, d);
    }
    return status;
}
