/* block.c: M factored after closed-form elimination of its biggest factor.
 *
 *   L = [ diag(L_l)  0 ; (W Lambda_2)'  L_S ]
 *
 * The levels of the factor with most levels (students) do not meet each other, so their
 * part of M is block diagonal, and what is left for the other factors is the core; see
 * block.h.  Here are the calls of system.h, each a pass over the levels and the core's part.
 */
#include "block.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int flmm_block_factorize(flmm_block *s, double *logdet, double *gram)
{
    const int32_t m = s->at.x->p + 1;
    const double *const *R = s->at.x->ZtWXy;
    flmm_forward pass = {.R = R[0], .m = m, .products = 1, .RS = s->RS, .gram = gram};
    if (s->n2 > 0) {
        flmm_block_core_begin(s);
        flmm_block_core_rows(s, m, R, s->RS);
    }
    int status = flmm_block_forward(s, &pass);
    *logdet = pass.logdet;
    if (status != FLMM_OK || s->n2 == 0) {
        return status;
    }
    status = flmm_block_core_factorize(s);
    if (status == FLMM_OK) {
        *logdet += flmm_core_logdet(s->core);
        flmm_block_core_forward(s, m, s->RS, s->U2);
        flmm_gram_add(s->blas, s->n2, m, s->U2, gram);
    }
    return status;
}

/* --- derivatives -------------------------------------------------------------------- */

static double *new_rows(const flmm_block *s, int32_t columns)
{
    return malloc(((size_t)s->n2 * (size_t)columns + 1) * sizeof(double));
}

static int make_directions(flmm_block *s, int32_t nd)
{
    if (nd <= s->directions) {
        return FLMM_OK;
    }
    free(s->order);
    free(s->D_at);
    free(s->d2);
    free(s->a2);
    free(s->c2);
    s->order = malloc((size_t)nd * sizeof *s->order);
    s->D_at = malloc((size_t)nd * sizeof *s->D_at);
    s->d2 = new_rows(s, nd);
    s->a2 = new_rows(s, nd);
    s->c2 = new_rows(s, nd);
    s->directions = s->order && s->D_at && s->d2 && s->a2 && s->c2 ? nd : 0;
    return s->directions ? FLMM_OK : FLMM_NO_MEMORY;
}

/* Number the directions, those of the eliminated factor first. */
static int number_directions(flmm_block *s, const flmm_derivatives *d)
{
    const int32_t nd = d->what & FLMM_INFORMATION ? d->nd : 0;
    int status = make_directions(s, nd);
    if (status == FLMM_OK && s->n2 > 0) {
        status = flmm_block_make_work(s, nd);
    }
    if (status != FLMM_OK) {
        return status;
    }
    int32_t count = 0;
    for (int pass = 0; pass < 2; pass++) {
        int64_t at = 0;
        for (int32_t i = 0; i < nd; i++) {
            if ((d->factor_of[i] == 0) == (pass == 0)) {
                s->order[count] = i;
                s->D_at[count++] = at;
            }
            at += (int64_t)s->at.x->nc[d->factor_of[i]] * s->at.x->nc[d->factor_of[i]];
        }
        s->own = pass == 0 ? count : s->own;
    }
    s->nd = nd;
    return FLMM_OK;
}

/* RX^-1, row-major upper, from RX column-major upper. */
static void invert_upper(int32_t p, const double *RX, double *inverse)
{
    memset(inverse, 0, (size_t)p * (size_t)p * sizeof *inverse);
    for (int32_t j = 0; j < p; j++) {
        for (int32_t i = j; i >= 0; i--) {
            double v = i == j ? 1.0 : 0.0;
            for (int32_t k = i + 1; k <= j; k++) {
                v -= RX[i + (ptrdiff_t)k * p] * inverse[(ptrdiff_t)k * p + j];
            }
            inverse[(ptrdiff_t)i * p + j] = v / RX[i + (ptrdiff_t)i * p];
        }
    }
}

/* X2 := [V_2 u_2] = L_S'^-1 U_2 [RX^-1 y] */
static void solve_core(flmm_block *s, const double *y)
{
    const int32_t p = s->at.x->p, m = p + 1;
    for (int64_t u = 0; u < s->n2; u++) {
        const double *U = s->U2 + u * m;
        double *out = s->rows + u * m;
        for (int32_t j = 0; j < p; j++) {
            out[j] = 0.0;
            for (int32_t k = 0; k <= j; k++) {
                out[j] += U[k] * s->RX_inverse[(ptrdiff_t)k * p + j];
            }
        }
        out[p] = 0.0;
        for (int32_t j = 0; j < m; j++) {
            out[p] += U[j] * y[j];
        }
    }
    flmm_block_core_back(s, m, s->rows, s->X2);
}

int flmm_block_differentiate(flmm_block *s, const flmm_derivatives *d)
{
    int status = number_directions(s, d);
    if (status != FLMM_OK) {
        return status;
    }
    invert_upper(s->at.x->p, d->RX, s->RX_inverse);
    if (s->n2 > 0) {
        solve_core(s, d->y);
        if (d->what & (FLMM_SCORE | FLMM_INFORMATION)) {
            flmm_block_core_scores(s, d);
        }
        if (d->what & FLMM_TRACE) {
            status = flmm_core_inverse(s->core);
        }
        if (status != FLMM_OK) {
            return status;
        }
        if (d->what & FLMM_TRACE) {
            flmm_block_core_traces(s, d);
        }
    }
    if (s->nd > 0) {
        memset(d->q, 0, (size_t)s->nd * (size_t)s->nd * sizeof *d->q);
        memset(d->h, 0, (size_t)s->nd * (size_t)s->at.x->p * sizeof *d->h);
    }
    status = flmm_block_backward(s, d, NULL);
    if (status == FLMM_OK && s->n2 > 0 && s->nd > 0) {
        flmm_block_core_information(s, d);
    }
    for (int32_t i = 0; i < s->nd; i++) {
        for (int32_t j = 0; j < i; j++) {
            d->q[(ptrdiff_t)s->order[j] * s->nd + s->order[i]] = d->q[(ptrdiff_t)s->order[i] * s->nd + s->order[j]];
        }
    }
    return status;
}

int flmm_block_inverse_blocks(flmm_block *s, double *blocks)
{
    const flmm_derivatives d = {.what = FLMM_TRACE};
    int status = s->n2 > 0 ? flmm_core_inverse(s->core) : FLMM_OK;
    if (status == FLMM_OK) {
        status = flmm_block_backward(s, &d, blocks);
    }
    if (status == FLMM_OK && s->n2 > 0) {
        flmm_block_core_inverse_blocks(s, blocks + s->n1 * s->c);
    }
    return status;
}

/* --- solutions ------------------------------------------------------------------------ */

int flmm_block_modes(flmm_block *s, const double *y, double *u, double *b)
{
    const int32_t p = s->at.x->p, m = p + 1;
    double *X = s->modes;
    if (s->n2 > 0) {
        for (int64_t i = 0; i < s->n2; i++) {
            s->rows[i] = 0.0;
            for (int32_t j = 0; j < m; j++) {
                s->rows[i] += s->U2[i * m + j] * y[j];
            }
        }
        flmm_block_core_back(s, 1, s->rows, X);
        if (u) {
            memcpy(u + s->n1, X, (size_t)s->n2 * sizeof *X);
        }
        if (b) {
            flmm_block_core_modes(s, 1, X, b + s->n1);
        }
    }
    const flmm_modes pass = {.R = s->at.x->ZtWXy[0], .width = m, .y = y, .m = 1, .X = X, .u = u, .b = b};
    return flmm_block_run_modes(s, &pass);
}

int flmm_block_solve(flmm_block *s, int32_t m, const double *const *R, double *const *B)
{
    double *RS = new_rows(s, m), *U2 = new_rows(s, m), *X = new_rows(s, m);
    int status = RS && U2 && X ? FLMM_OK : FLMM_NO_MEMORY;
    if (status == FLMM_OK && s->n2 > 0) {
        status = flmm_block_make_work(s, m);
    }
    if (status == FLMM_OK && s->n2 > 0) {
        flmm_forward pass = {.R = R[0], .m = m, .RS = RS};
        flmm_block_core_rows(s, m, R, RS);
        status = flmm_block_forward(s, &pass);
        flmm_block_core_forward(s, m, RS, U2);
        flmm_block_core_back(s, m, U2, X);
        flmm_block_core_modes(s, m, X, U2);
        const double *from = U2;
        for (int32_t f = 1; f < s->at.x->nf; f++) {
            const size_t size = (size_t)(s->at.offset[f + 1] - s->at.offset[f]) * (size_t)m;
            memcpy(B[f], from, size * sizeof *from);
            from += size;
        }
    }
    if (status == FLMM_OK) {
        const flmm_modes pass = {.R = R[0], .width = m, .m = m, .X = X, .b = B[0]};
        status = flmm_block_run_modes(s, &pass);
    }
    free(RS);
    free(U2);
    free(X);
    return status;
}

int flmm_block_half_solve(flmm_block *s, int32_t m, const double *const *R, double *U)
{
    double *RS = new_rows(s, m), *U2 = new_rows(s, m);
    int status = RS && U2 ? FLMM_OK : FLMM_NO_MEMORY;
    if (status == FLMM_OK && s->n2 > 0) {
        status = flmm_block_make_work(s, m);
    }
    if (status == FLMM_OK) {
        flmm_forward pass = {.R = R[0], .m = m, .RS = RS, .U = U};
        flmm_block_core_rows(s, m, R, RS);
        status = flmm_block_forward(s, &pass);
    }
    if (status == FLMM_OK && s->n2 > 0) {
        flmm_block_core_forward(s, m, RS, U2);
        for (int64_t u = 0; u < s->n2; u++) {
            memcpy(U + (s->n1 + u) * m, U2 + flmm_core_position(s->core, u) * m, (size_t)m * sizeof *U);
        }
    }
    free(RS);
    free(U2);
    return status;
}

/* --- for reports ------------------------------------------------------------------------ */

void flmm_block_describe(const flmm_block *s, int64_t *nnz_L, int *dense_core)
{
    int64_t core_nnz = 0;
    int supernodal = 0;
    *dense_core = 1;
    if (s->n2) {
        flmm_core_describe(s->core, &core_nnz, &supernodal);
        *dense_core = flmm_core_is_dense(s->core);
    }
    *nnz_L = s->nl * flmm_pairs_of(s->c) + s->columns * s->c + core_nnz;
}

/* L_l (c x c, row-major) of a level, and in place of its columns a those of L_l^-1 T'a,
 * with the arithmetic of the passes; `tile` is workspace. */
static void factor_of_level(const flmm_block *s, int64_t level, lanes *tile, int64_t columns, double *a, double *L)
{
    const int32_t c = s->c, square = c * c;
    lanes *A = tile, *t = A + square, *N = t + square, *inverse = N + square, *x = inverse + c;
    const double *address[LANES];
    for (int k = 0; k < LANES; k++) {
        address[k] = s->at.x->ZtWZ[0] + level * square;
    }
    flmm_tile_blocks(c, address, A);
    flmm_lanes_factor(c, s->at.Lambda, A, t, N, inverse);
    for (int32_t i = 0; i < c; i++) {
        for (int32_t j = 0; j <= i; j++) {
            L[i * c + j] = (i == j ? 1.0 : N[i * c + j][0]) / sqrt(inverse[j][0]);
        }
    }
    for (int64_t k = 0; k < columns; k++, a += c) {
        for (int32_t b = 0; b < c; b++) {
            x[b] = flmm_lanes_all(a[b]);
        }
        flmm_lanes_forward(c, s->at.Lambda, N, x, t);
        for (int32_t b = 0; b < c; b++) {
            a[b] = t[b][0] * sqrt(inverse[b][0]);
        }
    }
}

int64_t flmm_block_factor(const flmm_block *s, int64_t *colptr, int64_t *rowind, double *x, int64_t *perm)
{
    const int32_t c = s->c;
    const flmm_room *room = &s->room[0];
    int64_t at = s->nl * flmm_pairs_of(c) + s->columns * c;
    if (!colptr) {
        return s->n2 ? flmm_core_factor(s->core, s->n1, at, NULL, NULL, NULL) : at;
    }
    at = 0;
    for (int64_t i = 0; i < s->nl; i++) {
        double *L = s->small, *W = room->columns;
        const int64_t columns = flmm_level_scaled(s, c, i, W, room->unknown);
        factor_of_level(s, i, room->tile, columns, W, L);
        for (int32_t a = 0; a < c; a++) {
            const int64_t begin = at;
            for (int32_t b = a; b < c; b++, at++) {
                rowind[at] = i * c + b;
                x[at] = L[b * c + a];
            }
            for (int64_t t = 0; t < columns; t++, at++) {
                const int64_t row = s->n1 + flmm_core_position(s->core, room->unknown[t]);
                int64_t k = at;
                for (; k > begin && rowind[k - 1] > row; k--) {
                    rowind[k] = rowind[k - 1];
                    x[k] = x[k - 1];
                }
                rowind[k] = row;
                x[k] = W[t * c + a];
            }
            colptr[i * c + a] = begin;
        }
    }
    for (int64_t u = 0; u < s->n1; u++) {
        perm[u] = u;
    }
    for (int64_t u = 0; u < s->n2; u++) {
        perm[s->n1 + flmm_core_position(s->core, u)] = s->n1 + u;
    }
    return s->n2 ? flmm_core_factor(s->core, s->n1, at, colptr + s->n1, rowind, x) : at;
}
