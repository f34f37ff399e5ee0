/* whole.c: all of M as one sparse Cholesky factorization. */
#include "system.h"

#include <stdlib.h>

struct flmm_whole {
    flmm_layout at;
    int64_t *colptr;                 /* [q+1] pattern of the lower triangle of M */
    flmm_chol *chol;
    double *small;                   /* [2 most_columns^2] */
};

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
    s->at = *layout;
    int64_t *rowind = NULL;
    int status = build_pattern(s, &rowind);
    if (status == FLMM_OK) {
        status = flmm_chol_new(blas, layout->q, s->colptr, rowind, &s->chol);
    }
    free(rowind);
    const size_t c = (size_t)layout->most_columns;
    s->small = malloc(2 * c * c * sizeof *s->small);
    if (status == FLMM_OK && !s->small) {
        status = FLMM_NO_MEMORY;
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
    free(s);
}

const int64_t *flmm_whole_position(const flmm_whole *s)
{
    return flmm_chol_position(s->chol);
}

int flmm_whole_factorize(flmm_whole *s, const double *Lambda)
{
    const flmm_crossproducts *x = s->at.x;
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
    return flmm_chol_factorize(s->chol);
}

double flmm_whole_logdet(const flmm_whole *s)
{
    return flmm_chol_logdet(s->chol);
}

void flmm_whole_solve_L(const flmm_whole *s, int32_t m, double *B, double *work)
{
    flmm_chol_solve_L(s->chol, m, B, work);
}

void flmm_whole_solve_Lt(const flmm_whole *s, int32_t m, double *B, double *work)
{
    flmm_chol_solve_Lt(s->chol, m, B, work);
}

int64_t flmm_whole_work(const flmm_whole *s)
{
    return flmm_chol_work(s->chol);
}

int flmm_whole_inverse(flmm_whole *s)
{
    return flmm_chol_inverse(s->chol);
}

void flmm_whole_inverse_at(const flmm_whole *s, int32_t factor, int64_t level, double *out)
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

void flmm_whole_describe(const flmm_whole *s, int64_t *nnz_L, int *supernodal)
{
    flmm_chol_describe(s->chol, nnz_L, supernodal);
}

int64_t flmm_whole_factor(const flmm_whole *s, int64_t *colptr, int64_t *rowind, double *x)
{
    return flmm_chol_factor(s->chol, 0, 0, colptr, rowind, x);
}
