/* test_core.c: the reduced matrix, dense and sparse, against dense algebra. */
#include "../core.h"
#include "check.h"
#include "dense.h"
#include "plain_blas.h"
#include "random.h"
#include "tests.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double ACCURACY = 1e-10;

/* Which form is expected; the last two are sparse. */
enum form { ASKED_DENSE, HALF_FULL, MOSTLY_FULL, SIMPLICIAL, SUPERNODAL };

/* A positive definite matrix in full, and its lower pattern with increasing rows. */
typedef struct {
    int n;
    double *A;
    int64_t *colptr, *rowind;
} matrix;

/* Entries (i, j), i > j, are there when both lie in one stretch of `width` unknowns, or at
 * a distance of at most `band`, or with the given chance. */
static matrix matrix_new(random_source *r, int n, int width, int band, double chance)
{
    matrix P = {n, dense_new(n, n), calloc((size_t)n + 1, sizeof(int64_t)),
                malloc(((size_t)n * (size_t)(n + 1) / 2 + 1) * sizeof(int64_t))};
    if (!P.colptr || !P.rowind) {
        abort();
    }
    int64_t at = 0;
    for (int j = 0; j < n; j++) {
        P.A[j * n + j] += 1.5;
        for (int i = j; i < n; i++) {
            if (i != j && i / width != j / width && i - j > band && random_between(r, 0.0, 1.0) >= chance) {
                continue;
            }
            P.rowind[at++] = i;
            if (i != j) {
                const double v = random_between(r, -1.0, 1.0);
                P.A[i * n + j] = P.A[j * n + i] = v;
                P.A[i * n + i] += fabs(v);
                P.A[j * n + j] += fabs(v);
            }
        }
        P.colptr[j + 1] = at;
    }
    return P;
}

static void matrix_free(matrix *P)
{
    free(P->A);
    free(P->colptr);
    free(P->rowind);
}

/* Half of each value at a time: values are added at places, given either way round. */
static void set_values(flmm_core *core, const matrix *P, double scale)
{
    flmm_core_clear(core, flmm_core_values(core));
    for (int j = 0; j < P->n; j++) {
        for (int64_t e = P->colptr[j]; e < P->colptr[j + 1]; e++) {
            const int64_t i = P->rowind[e];
            flmm_core_values(core)[flmm_core_place(core, i, j)] += 0.5 * scale * P->A[i * P->n + j];
            flmm_core_values(core)[flmm_core_place(core, j, i)] += 0.5 * scale * P->A[i * P->n + j];
        }
    }
}

/* L in full, row-major, in the core's order; checks that its rows are sorted and shifted. */
static double *whole_factor(const flmm_core *core, int n)
{
    enum { SHIFT = 5, BEGIN = 7 };
    const int64_t end = flmm_core_factor(core, SHIFT, BEGIN, NULL, NULL, NULL);
    int64_t *colptr = calloc((size_t)n + 1, sizeof *colptr), *rowind = calloc((size_t)end, sizeof *rowind);
    double *x = dense_new((int)end, 1), *L = dense_new(n, n);
    if (!colptr || !rowind) {
        abort();
    }
    check_true(flmm_core_factor(core, SHIFT, BEGIN, colptr, rowind, x) == end, "the end of L");
    colptr[n] = end;
    int sound = colptr[0] == BEGIN;
    for (int j = 0; j < n; j++) {
        for (int64_t e = colptr[j]; e < colptr[j + 1]; e++) {
            sound = sound && (e == colptr[j] ? rowind[e] == j + SHIFT : rowind[e] > rowind[e - 1]);
            L[(rowind[e] - SHIFT) * n + j] = x[e];
        }
    }
    check_true(sound, "rows of L increase from the diagonal on");
    free(colptr);
    free(rowind);
    free(x);
    return L;
}

static void compare_factor(const flmm_core *core, const matrix *P, double scale, double logdet)
{
    const int n = P->n;
    double *L = whole_factor(core, n), *product = dense_new(n, n), *expected = dense_new(n, n);
    for (int i = 0; i < n; i++) {
        for (int j = 0; j < n; j++) {
            expected[flmm_core_position(core, i) * n + flmm_core_position(core, j)] = scale * P->A[i * n + j];
        }
        for (int k = 0; k <= i; k++) {
            for (int j = 0; j < n && L[i * n + k] != 0.0; j++) {
                product[i * n + j] += L[i * n + k] * L[j * n + k];
            }
        }
    }
    check_all_close((size_t)(n * n), product, expected, ACCURACY, "L L' is the permuted matrix");
    check_close(flmm_core_logdet(core), logdet + n * log(scale), ACCURACY, "log determinant");
    free(L);
    free(product);
    free(expected);
}

static void compare_solves(const flmm_core *core, int n, random_source *r)
{
    double *L = whole_factor(core, n);
    for (int m = 0; m < 5; m += 2) {
        double *X = dense_new(n, m), *B = dense_new(n, m), *work = dense_new((int)flmm_core_work(core), m);
        for (int i = 0; i < n * m; i++) {
            X[i] = random_between(r, -1.0, 1.0);
        }
        dense_multiply(n, n, m, L, X, B);
        flmm_core_solve_L(core, m, B, work);
        check_all_close((size_t)(n * m), B, X, ACCURACY, "L^-1 L X = X");
        memset(B, 0, (size_t)(n * m) * sizeof *B);
        for (int i = 0; i < n; i++) {
            for (int k = i; k < n; k++) {
                for (int c = 0; c < m; c++) {
                    B[i * m + c] += L[k * n + i] * X[k * m + c];
                }
            }
        }
        flmm_core_solve_Lt(core, m, B, work);
        check_all_close((size_t)(n * m), B, X, ACCURACY, "L'^-1 L' X = X");
        free(X);
        free(B);
        free(work);
    }
    free(L);
}

static void compare_inverse(flmm_core *core, const matrix *P, double scale, const double *inverse)
{
    if (!check_status(flmm_core_inverse(core), FLMM_OK, "inverse")) {
        return;
    }
    const double *values = flmm_core_inverse_values(core);
    double worst = 0.0, size = 0.0;
    for (int j = 0; j < P->n; j++) {
        for (int64_t e = P->colptr[j]; e < P->colptr[j + 1]; e++) {
            const int64_t i = P->rowind[e];
            const double expected = inverse[i * P->n + j] / scale;
            worst = fmax(worst, fabs(values[flmm_core_place(core, i, j)] - expected));
            worst = fmax(worst, fabs(values[flmm_core_place(core, j, i)] - expected));
            size = fmax(size, fabs(expected));
        }
    }
    check_true(worst <= ACCURACY * size, "entries of the inverse where the matrix has entries");
}

/* The base has places of its own numbers: factoring the values leaves it alone. */
static void compare_base(flmm_core *core, const matrix *P, random_source *r)
{
    enum { COLUMNS = 3 };
    const int n = P->n;
    double *X = dense_new(n, COLUMNS), *Y = dense_new(n, COLUMNS), *expected = dense_new(n, COLUMNS);
    double *base = flmm_core_base(core);
    flmm_core_clear(core, base);
    for (int j = 0; j < n; j++) {
        const int64_t *row, *place;
        const int64_t count = flmm_core_column(core, j, &row, &place);
        for (int64_t e = 0; e < count; e++) {
            const int64_t i = row ? row[e] : j + e, where = place ? place[e] : (int64_t)j * n + i;
            check_true(where == flmm_core_place(core, i, j), "the place of an entry of a column");
            base[where] = P->A[i * n + j];
        }
    }
    set_values(core, P, 2.0);
    check_status(flmm_core_factorize(core), FLMM_OK, "factorization");
    for (int i = 0; i < n * COLUMNS; i++) {
        X[i] = random_between(r, -1.0, 1.0);
    }
    flmm_core_multiply_base(core, COLUMNS, X, Y);
    dense_multiply(n, n, COLUMNS, P->A, X, expected);
    check_all_close((size_t)(n * COLUMNS), Y, expected, ACCURACY, "the base times a matrix");
    free(X);
    free(Y);
    free(expected);
}

static void check_form(const flmm_core *core, const matrix *P, enum form form)
{
    int64_t nnz = 0;
    int supernodal = -1;
    const int64_t full = (int64_t)P->n * (P->n + 1) / 2;
    flmm_core_describe(core, &nnz, &supernodal);
    check_true(flmm_core_is_dense(core) == (form < SIMPLICIAL), form < SIMPLICIAL ? "dense" : "sparse");
    if (form < SIMPLICIAL) {
        check_true(nnz == full, "a full triangle");
    } else {
        check_true(supernodal == (form == SUPERNODAL), form == SUPERNODAL ? "supernodal" : "simplicial");
        check_true(nnz >= P->colptr[P->n] && nnz < full, "nonzeros of L");
    }
}

static void compare_core(random_source *r, matrix P, enum form form)
{
    const int n = P.n;
    double *inverse = dense_new(n, n), logdet;
    dense_inverse(n, P.A, inverse, &logdet);
    flmm_core *core = NULL;
    const int status = form == ASKED_DENSE ? flmm_core_new(&plain_blas, n, NULL, NULL, &core)
                                           : flmm_core_new(&plain_blas, n, P.colptr, P.rowind, &core);
    if (check_status(status, FLMM_OK, "analysis")) {
        check_form(core, &P, form);
        const double scales[] = {1.0, 1e-6, 100.0};
        for (int k = 0; k < 3; k++) {
            set_values(core, &P, scales[k]);
            check_status(flmm_core_factorize(core), FLMM_OK, "factorization");
            compare_factor(core, &P, scales[k], logdet);
            compare_solves(core, n, r);
            compare_inverse(core, &P, scales[k], inverse);
            compare_base(core, &P, r);
            set_values(core, &P, 1.0);
            flmm_core_values(core)[flmm_core_place(core, k * (n - 1) / 2, k * (n - 1) / 2)] = -5.0;
            check_status(flmm_core_factorize(core), FLMM_M_NOT_POSITIVE, "one negative pivot");
        }
    }
    flmm_core_free(core);
    free(inverse);
    matrix_free(&P);
}

void test_core(void)
{
    random_source r = {13};
    check_begin("a core that is asked to be dense");
    for (int n = 1; n < 30; n += 7) {
        compare_core(&r, matrix_new(&r, n, 1, 0, 0.5), ASKED_DENSE);
    }
    check_begin("a core with a fifth of its entries is dense");
    compare_core(&r, matrix_new(&r, 60, 1, 0, 0.4), HALF_FULL);
    compare_core(&r, matrix_new(&r, 80, 20, 0, 0.0), HALF_FULL);
    check_begin("a core whose factor would be mostly full is dense");
    compare_core(&r, matrix_new(&r, 150, 1, 0, 0.15), MOSTLY_FULL);
    check_begin("a sparse core with a simplicial factor");
    compare_core(&r, matrix_new(&r, 80, 1, 2, 0.0), SIMPLICIAL);
    compare_core(&r, matrix_new(&r, 90, 5, 0, 0.005), SIMPLICIAL);
    check_begin("a sparse core with a supernodal factor");
    compare_core(&r, matrix_new(&r, 420, 70, 0, 0.0), SUPERNODAL);
    compare_core(&r, matrix_new(&r, 420, 70, 0, 0.001), SUPERNODAL);
    flmm_core_free(NULL);
}
