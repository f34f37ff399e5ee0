/* core.c: the reduced matrix, dense or sparse behind one face.
 *
 * Dense when few unknowns are left or when the factor would be mostly full: then
 * LAPACK's potrf and potri run at the speed of the machine and entries need no
 * index.  Sparse otherwise (chol.h).
 */
#include "core.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Share of a full triangle above which a dense factor is cheaper than a sparse one. */
#define MOSTLY_FULL 0.35
/* Share above which the factor is not worth analysing: it will be full. */
#define HALF_FULL 0.2

struct flmm_core {
    const flmm_blas *blas;
    int64_t n;
    /* dense: column-major lower triangles */
    double *S, *inverse;
    /* sparse */
    flmm_chol *chol;
    int64_t *colptr, *rowind;        /* pattern as given, to find places */
};

static int make_dense(flmm_core *core)
{
    const size_t size = (size_t)core->n * (size_t)core->n;
    core->S = malloc((size + 1) * sizeof *core->S);
    return core->S ? FLMM_OK : FLMM_NO_MEMORY;
}

static int64_t *copy_of(const int64_t *source, int64_t count)
{
    int64_t *out = malloc(((size_t)count + 1) * sizeof *out);
    if (out) {
        memcpy(out, source, (size_t)count * sizeof *out);
    }
    return out;
}

int flmm_core_new(const flmm_blas *blas, int64_t n, const int64_t *colptr, const int64_t *rowind,
                  flmm_core **out)
{
    *out = NULL;
    flmm_core *core = calloc(1, sizeof *core);
    if (!core) {
        return FLMM_NO_MEMORY;
    }
    core->blas = blas;
    core->n = n;
    int status = FLMM_OK;
    const double full = 0.5 * (double)n * (double)(n + 1);
    const int fits = n < 46340;
    int dense = colptr == NULL || (fits && (double)colptr[n] > HALF_FULL * full);
    if (!dense) {
        status = flmm_chol_new(blas, n, colptr, rowind, &core->chol);
        if (status == FLMM_OK) {
            int64_t nnz = 0;
            int supernodal = 0;
            flmm_chol_describe(core->chol, &nnz, &supernodal);
            if (fits && (double)nnz > MOSTLY_FULL * full) {
                flmm_chol_free(core->chol);
                core->chol = NULL;
                dense = 1;
            }
        }
    }
    if (status == FLMM_OK && dense) {
        status = make_dense(core);
    } else if (status == FLMM_OK) {
        core->colptr = copy_of(colptr, n + 1);
        core->rowind = copy_of(rowind, colptr[n]);
        status = core->colptr && core->rowind ? FLMM_OK : FLMM_NO_MEMORY;
    }
    if (status != FLMM_OK) {
        flmm_core_free(core);
        return status;
    }
    *out = core;
    return FLMM_OK;
}

void flmm_core_free(flmm_core *core)
{
    if (!core) {
        return;
    }
    flmm_chol_free(core->chol);
    free(core->S);
    free(core->inverse);
    free(core->colptr);
    free(core->rowind);
    free(core);
}

int flmm_core_is_dense(const flmm_core *core)
{
    return core->chol == NULL;
}

int64_t flmm_core_position(const flmm_core *core, int64_t i)
{
    return core->chol ? flmm_chol_position(core->chol)[i] : i;
}

int64_t flmm_core_place(const flmm_core *core, int64_t i, int64_t j)
{
    const int64_t row = i > j ? i : j, col = i > j ? j : i;
    if (!core->chol) {
        return row + col * core->n;
    }
    int64_t low = core->colptr[col], high = core->colptr[col + 1] - 1;
    while (low < high) {
        const int64_t middle = low + (high - low) / 2;
        if (core->rowind[middle] < row) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return flmm_chol_slot(core->chol)[low];
}

double *flmm_core_values(flmm_core *core)
{
    return core->chol ? flmm_chol_values(core->chol) : core->S;
}

void flmm_core_clear(flmm_core *core)
{
    const size_t size = core->chol ? (size_t)flmm_chol_entries(core->chol)
                                   : (size_t)core->n * (size_t)core->n;
    memset(flmm_core_values(core), 0, size * sizeof(double));
}

int flmm_core_factorize(flmm_core *core)
{
    if (core->chol) {
        return flmm_chol_factorize(core->chol);
    }
    char lower = 'L';
    int n = (int)core->n, info = 0;
    core->blas->dpotrf(&lower, &n, core->S, &n, &info);
    return info == 0 ? FLMM_OK : FLMM_M_NOT_POSITIVE;
}

double flmm_core_logdet(const flmm_core *core)
{
    if (core->chol) {
        return flmm_chol_logdet(core->chol);
    }
    double sum = 0.0;
    for (int64_t j = 0; j < core->n; j++) {
        sum += log(core->S[j * (core->n + 1)]);
    }
    return 2.0 * sum;
}

/* B is m x n column-major: B := B L^-T, or B := B L^-1 */
static void dense_solve(const flmm_core *core, int32_t m, char op, double *B)
{
    char right = 'R', lower = 'L', nonunit = 'N';
    int rows = m, n = (int)core->n;
    double one = 1.0;
    if (m > 0) {
        core->blas->dtrsm(&right, &lower, &op, &nonunit, &rows, &n, &one, core->S, &n, B, &rows);
    }
}

void flmm_core_solve_L(const flmm_core *core, int32_t m, double *B, double *work)
{
    if (core->chol) {
        flmm_chol_solve_L(core->chol, m, B, work);
    } else {
        dense_solve(core, m, 'T', B);
    }
}

void flmm_core_solve_Lt(const flmm_core *core, int32_t m, double *B, double *work)
{
    if (core->chol) {
        flmm_chol_solve_Lt(core->chol, m, B, work);
    } else {
        dense_solve(core, m, 'N', B);
    }
}

int64_t flmm_core_work(const flmm_core *core)
{
    return core->chol ? flmm_chol_work(core->chol) : 0;
}

int flmm_core_inverse(flmm_core *core)
{
    if (core->chol) {
        return flmm_chol_inverse(core->chol);
    }
    const size_t size = (size_t)core->n * (size_t)core->n;
    if (!core->inverse) {
        core->inverse = malloc((size + 1) * sizeof *core->inverse);
        if (!core->inverse) {
            return FLMM_NO_MEMORY;
        }
    }
    memcpy(core->inverse, core->S, size * sizeof *core->inverse);
    char lower = 'L';
    int n = (int)core->n, info = 0;
    core->blas->dpotri(&lower, &n, core->inverse, &n, &info);
    return info == 0 ? FLMM_OK : FLMM_M_NOT_POSITIVE;
}

int64_t flmm_core_inverse_place(const flmm_core *core, int64_t i, int64_t j)
{
    if (core->chol) {
        const int64_t *position = flmm_chol_position(core->chol);
        return flmm_chol_inverse_place(core->chol, position[i], position[j]);
    }
    return i > j ? i + j * core->n : j + i * core->n;
}

const double *flmm_core_inverse_values(const flmm_core *core)
{
    return core->chol ? flmm_chol_inverse_values(core->chol) : core->inverse;
}

void flmm_core_describe(const flmm_core *core, int64_t *nnz_L, int *supernodal)
{
    if (core->chol) {
        flmm_chol_describe(core->chol, nnz_L, supernodal);
        return;
    }
    *nnz_L = core->n * (core->n + 1) / 2;
    *supernodal = 1;
}

int64_t flmm_core_factor(const flmm_core *core, int64_t shift, int64_t at, int64_t *colptr, int64_t *rowind,
                         double *x)
{
    if (core->chol) {
        return flmm_chol_factor(core->chol, shift, at, colptr, rowind, x);
    }
    for (int64_t j = 0; j < core->n; j++) {
        if (colptr) {
            colptr[j] = at;
        }
        for (int64_t i = j; i < core->n; i++, at++) {
            if (colptr) {
                rowind[at] = shift + i;
                x[at] = core->S[i + j * core->n];
            }
        }
    }
    return at;
}
