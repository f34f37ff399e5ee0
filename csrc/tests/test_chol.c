/* test_chol.c: factor, solves and selected inverse, in both forms, against dense ones. */
#include "../chol.h"
#include "check.h"
#include "dense.h"
#include "plain_blas.h"
#include "random.h"
#include "tests.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double ACCURACY = 1e-10;

/* A random positive definite matrix in full, and its lower pattern. */
typedef struct {
    int n;
    double *A;                       /* [n n] */
    int64_t *colptr, *rowind;
} problem;

/* Entries (i, j), i > j, are present with the given chance, or always when both are at
 * least `dense_from`. */
static problem problem_new(random_source *r, int n, double chance, int dense_from)
{
    problem P = {n, dense_new(n, n), calloc((size_t)n + 1, sizeof(int64_t)),
                 malloc(((size_t)n * (size_t)(n + 1) / 2 + 1) * sizeof(int64_t))};
    if (!P.colptr || !P.rowind) {
        abort();
    }
    int64_t at = 0;
    for (int j = 0; j < n; j++) {
        P.rowind[at++] = j;          /* unsorted on purpose: the diagonal, then from below */
        P.A[j * n + j] += 1.5;
        for (int i = n - 1; i > j; i--) {
            if ((i >= dense_from && j >= dense_from) || random_between(r, 0.0, 1.0) < chance) {
                const double v = random_between(r, -1.0, 1.0);
                P.rowind[at++] = i;
                P.A[i * n + j] = P.A[j * n + i] = v;
                P.A[i * n + i] += fabs(v);
                P.A[j * n + j] += fabs(v);
            }
        }
        P.colptr[j + 1] = at;
    }
    return P;
}

static void problem_free(problem *P)
{
    free(P->A);
    free(P->colptr);
    free(P->rowind);
}

static void set_values(flmm_chol *c, const problem *P, double scale)
{
    for (int j = 0; j < P->n; j++) {
        for (int64_t e = P->colptr[j]; e < P->colptr[j + 1]; e++) {
            flmm_chol_values(c)[flmm_chol_slot(c)[e]] = scale * P->A[P->rowind[e] * P->n + j];
        }
    }
}

/* L (factor order) in full, row-major, from the view. */
static double *whole_factor(const flmm_chol *c)
{
    const flmm_chol_view v = flmm_chol_look(c);
    const int n = (int)v.n;
    double *L = dense_new(n, n);
    for (int64_t j = 0; j < v.n; j++) {
        if (v.supernodal) {
            const int64_t s = v.super_of[j], height = v.rowptr[s + 1] - v.rowptr[s];
            for (int64_t k = j - v.super[s]; k < height; k++) {
                L[v.rows[v.rowptr[s] + k] * n + j] = v.x[v.valptr[s] + (j - v.super[s]) * height + k];
            }
        } else {
            for (int64_t k = 0; k < v.count[j]; k++) {
                L[v.rowind[v.colptr[j] + k] * n + j] = v.x[v.colptr[j] + k];
            }
        }
    }
    return L;
}

static void compare_factor(const flmm_chol *c, const problem *P, double scale, double logdet)
{
    const int n = P->n;
    const int64_t *position = flmm_chol_position(c);
    double *L = whole_factor(c), *product = dense_new(n, n), *expected = dense_new(n, n);
    for (int i = 0; i < n; i++) {
        for (int j = 0; j < n; j++) {
            expected[position[i] * n + position[j]] = scale * P->A[i * n + j];
            for (int k = 0; k < n; k++) {
                product[i * n + j] += L[i * n + k] * L[j * n + k];
            }
        }
    }
    check_all_close((size_t)(n * n), product, expected, ACCURACY, "L L' is the permuted matrix");
    check_close(flmm_chol_logdet(c), logdet + n * log(scale), ACCURACY, "log determinant");
    free(L);
    free(product);
    free(expected);
}

static void compare_solves(const flmm_chol *c, int n, random_source *r)
{
    for (int m = 0; m < 6; m += m < 1 ? 1 : 2) {
        double *L = whole_factor(c), *X = dense_new(n, m), *B = dense_new(n, m);
        double *work = dense_new((int)flmm_chol_work(c), m);
        for (int i = 0; i < n * m; i++) {
            X[i] = random_between(r, -1.0, 1.0);
        }
        dense_multiply(n, n, m, L, X, B);
        flmm_chol_solve_L(c, m, B, work);
        check_all_close((size_t)(n * m), B, X, ACCURACY, "L^-1 L X = X");
        memset(B, 0, (size_t)(n * m) * sizeof *B);
        for (int i = 0; i < n; i++) {
            for (int k = 0; k < n; k++) {
                for (int col = 0; col < m; col++) {
                    B[i * m + col] += L[k * n + i] * X[k * m + col];
                }
            }
        }
        flmm_chol_solve_Lt(c, m, B, work);
        check_all_close((size_t)(n * m), B, X, ACCURACY, "L'^-1 L' X = X");
        free(L);
        free(X);
        free(B);
        free(work);
    }
}

static void compare_inverse(flmm_chol *c, const problem *P, double scale, const double *inverse)
{
    const int n = P->n;
    const int64_t *position = flmm_chol_position(c);
    if (!check_status(flmm_chol_inverse(c), FLMM_OK, "selected inverse")) {
        return;
    }
    const double *values = flmm_chol_inverse_values(c);
    double worst = 0.0, size = 0.0;
    for (int j = 0; j < n; j++) {
        for (int64_t e = P->colptr[j]; e < P->colptr[j + 1]; e++) {
            const int i = (int)P->rowind[e];
            const double expected = inverse[i * n + j] / scale;
            const double one = values[flmm_chol_inverse_place(c, position[i], position[j])];
            const double other = values[flmm_chol_inverse_place(c, position[j], position[i])];
            worst = fmax(worst, fmax(fabs(one - expected), fabs(other - expected)));
            size = fmax(size, fabs(expected));
        }
    }
    check_true(worst <= ACCURACY * size, "entries of the inverse on the pattern");
}

static void factor_solves_and_inverse(random_source *r, int n, double chance, int dense_from, int supernodal)
{
    problem P = problem_new(r, n, chance, dense_from);
    double *inverse = dense_new(n, n), logdet;
    dense_inverse(n, P.A, inverse, &logdet);
    flmm_chol *c = NULL;
    if (check_status(flmm_chol_new(&plain_blas, n, P.colptr, P.rowind, &c), FLMM_OK, "analysis")) {
        int64_t nnz;
        int form;
        flmm_chol_describe(c, &nnz, &form);
        check_true(form == supernodal, supernodal ? "the supernodal form" : "the simplicial form");
        check_true(nnz >= P.colptr[n] && nnz <= (int64_t)n * (n + 1) / 2, "nonzeros of L");
        const double scales[] = {1.0, 100.0, 1e-6};
        for (int k = 0; k < 3; k++) {
            set_values(c, &P, scales[k]);
            check_status(flmm_chol_factorize(c), FLMM_OK, "factorization");
            compare_factor(c, &P, scales[k], logdet);
            compare_solves(c, n, r);
            compare_inverse(c, &P, scales[k], inverse);
        }
        set_values(c, &P, -1.0);
        check_status(flmm_chol_factorize(c), FLMM_M_NOT_POSITIVE, "minus the matrix");
        set_values(c, &P, 1.0);
        flmm_chol_values(c)[flmm_chol_slot(c)[P.colptr[n - 1]]] = -5.0;
        check_status(flmm_chol_factorize(c), FLMM_M_NOT_POSITIVE, "one negative pivot");
        set_values(c, &P, 1.0);
        check_status(flmm_chol_factorize(c), FLMM_OK, "the matrix again");
        compare_factor(c, &P, 1.0, logdet);
        compare_inverse(c, &P, 1.0, inverse);
    }
    flmm_chol_free(c);
    free(inverse);
    problem_free(&P);
}

static void both_forms_agree_with_dense_algebra(void)
{
    random_source r = {3};
    check_begin("a simplicial factor agrees with dense algebra");
    for (int n = 1; n <= 40; n += 3) {
        factor_solves_and_inverse(&r, n, 0.15, n, 0);
    }
    factor_solves_and_inverse(&r, 60, 0.0, 60, 0);
    factor_solves_and_inverse(&r, 120, 0.01, 120, 0);
    check_begin("a supernodal factor agrees with dense algebra");
    factor_solves_and_inverse(&r, 80, 1.0, 0, 1);
    factor_solves_and_inverse(&r, 160, 0.05, 60, 1);
    factor_solves_and_inverse(&r, 170, 0.10, 100, 1);
}

static void an_empty_matrix_is_refused(void)
{
    check_begin("an empty matrix is refused");
    const int64_t colptr[1] = {0}, rowind[1] = {0};
    flmm_chol *c = NULL;
    check_status(flmm_chol_new(&plain_blas, 0, colptr, rowind, &c), FLMM_BAD_ARGUMENT, "n = 0");
    check_true(c == NULL, "no object");
    flmm_chol_free(c);
}

void test_chol(void)
{
    both_forms_agree_with_dense_algebra();
    an_empty_matrix_is_refused();
}
