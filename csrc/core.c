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
    double *S;                       /* dense: column-major lower triangle */
    double *vectors;                 /* dense: [2 n] workspace */
    /* sparse */
    flmm_chol *chol;
    int64_t *colptr, *rowind;        /* pattern as given, to find places */
    int64_t *inverse_place;          /* [entries] of the pattern in chol's inverse; made on first use */
    double *base;                    /* either: see flmm_core_base; at the places of S */
};

static size_t size_of(const flmm_core *core)
{
    return core->chol ? (size_t)flmm_chol_entries(core->chol) : (size_t)core->n * (size_t)core->n;
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
    if (status == FLMM_OK) {
        const size_t size = size_of(core) + 1;
        core->base = malloc(size * sizeof *core->base);
        core->S = dense ? malloc(size * sizeof *core->S) : NULL;
        core->vectors = dense ? malloc((2 * (size_t)n + 1) * sizeof *core->vectors) : NULL;
        core->colptr = dense ? NULL : copy_of(colptr, n + 1);
        core->rowind = dense ? NULL : copy_of(rowind, colptr[n]);
        const int complete = dense ? core->S && core->vectors : core->colptr && core->rowind;
        status = core->base && complete ? FLMM_OK : FLMM_NO_MEMORY;
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
    free(core->vectors);
    free(core->base);
    free(core->colptr);
    free(core->rowind);
    free(core->inverse_place);
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

double *flmm_core_base(flmm_core *core)
{
    return core->base;
}

int64_t flmm_core_entries(const flmm_core *core)
{
    return (int64_t)size_of(core);
}

void flmm_core_clear(const flmm_core *core, double *values)
{
    if (core->chol) {
        memset(values, 0, size_of(core) * sizeof *values);
        return;
    }
    for (int64_t j = 0; j < core->n; j++) {
        memset(values + j * (core->n + 1), 0, (size_t)(core->n - j) * sizeof *values);
    }
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

int64_t flmm_core_column(const flmm_core *core, int64_t j, const int64_t **row, const int64_t **place)
{
    if (!core->chol) {
        *row = *place = NULL;
        return core->n - j;
    }
    *row = core->rowind + core->colptr[j];
    *place = flmm_chol_slot(core->chol) + core->colptr[j];
    return core->colptr[j + 1] - core->colptr[j];
}

/* Sums side by side in a dense product, so that the compiler can use vectors. */
#define SUMS 4

/* y += v x below the diagonal, and v'x of the same rows */
static double dense_column(int64_t count, const double *v, double xj, const double *x, double *y)
{
    double sum[SUMS] = {0.0};
    int64_t i = 0;
    for (; i + SUMS <= count; i += SUMS) {
        for (int k = 0; k < SUMS; k++) {
            sum[k] += v[i + k] * x[i + k];
            y[i + k] += v[i + k] * xj;
        }
    }
    for (; i < count; i++) {
        sum[0] += v[i] * x[i];
        y[i] += v[i] * xj;
    }
    return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

static void dense_multiply(const flmm_core *core, int32_t m, const double *X, double *Y)
{
    const int64_t n = core->n;
    double *x = core->vectors, *y = x + n;
    for (int32_t r = 0; r < m; r++) {
        int zero = 1;
        for (int64_t i = 0; i < n; i++) {
            x[i] = X[i * m + r];
            y[i] = 0.0;
            zero &= x[i] == 0.0;
        }
        for (int64_t j = 0; !zero && j < n; j++) {
            const double *v = core->base + j * (n + 1);
            y[j] += v[0] * x[j] + dense_column(n - j - 1, v + 1, x[j], x + j + 1, y + j + 1);
        }
        for (int64_t i = 0; i < n; i++) {
            Y[i * m + r] = y[i];
        }
    }
}

void flmm_core_multiply_base(const flmm_core *core, int32_t m, const double *X, double *Y)
{
    if (!core->chol) {
        dense_multiply(core, m, X, Y);
        return;
    }
    const int64_t *slot = flmm_chol_slot(core->chol);
    memset(Y, 0, (size_t)core->n * (size_t)m * sizeof *Y);
    for (int64_t j = 0; j < core->n; j++) {
        for (int64_t e = core->colptr[j]; e < core->colptr[j + 1]; e++) {
            const int64_t i = core->rowind[e];
            const double v = core->base[slot[e]];
            for (int32_t r = 0; r < m; r++) {
                Y[j * m + r] += v * X[i * m + r];
            }
            for (int32_t r = 0; i != j && r < m; r++) {
                Y[i * m + r] += v * X[j * m + r];
            }
        }
    }
}

/* Where each entry of the pattern stands in chol's inverse. */
static int find_inverse_places(flmm_core *core)
{
    if (core->inverse_place) {
        return FLMM_OK;
    }
    const int64_t *position = flmm_chol_position(core->chol);
    core->inverse_place = malloc((size_of(core) + 1) * sizeof *core->inverse_place);
    for (int64_t j = 0; core->inverse_place && j < core->n; j++) {
        for (int64_t e = core->colptr[j]; e < core->colptr[j + 1]; e++) {
            core->inverse_place[e] =
                flmm_chol_inverse_place(core->chol, position[core->rowind[e]], position[j]);
        }
    }
    return core->inverse_place ? FLMM_OK : FLMM_NO_MEMORY;
}

static int sparse_inverse(flmm_core *core)
{
    int status = flmm_chol_inverse(core->chol);
    if (status == FLMM_OK) {
        status = find_inverse_places(core);
    }
    if (status != FLMM_OK) {
        return status;
    }
    const double *inverse = flmm_chol_inverse_values(core->chol);
    const int64_t *slot = flmm_chol_slot(core->chol), entries = core->colptr[core->n];
    for (int64_t e = 0; e < entries; e++) {
        core->base[slot[e]] = inverse[core->inverse_place[e]];
    }
    return FLMM_OK;
}

int flmm_core_inverse(flmm_core *core)
{
    if (core->chol) {
        return sparse_inverse(core);
    }
    for (int64_t j = 0; j < core->n; j++) {
        memcpy(core->base + j * (core->n + 1), core->S + j * (core->n + 1), (size_t)(core->n - j) * sizeof *core->base);
    }
    char lower = 'L';
    int n = (int)core->n, info = 0;
    core->blas->dpotri(&lower, &n, core->base, &n, &info);
    return info == 0 ? FLMM_OK : FLMM_M_NOT_POSITIVE;
}

const double *flmm_core_inverse_values(const flmm_core *core)
{
    return core->base;
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
