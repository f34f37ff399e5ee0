/* plain_blas.c: textbook loops over column-major matrices; see plain_blas.h. */
#include "plain_blas.h"

#include <math.h>
#include <stdlib.h>

static ptrdiff_t at(int i, int j, int ld)
{
    return i + (ptrdiff_t)j * ld;
}

static void must(int supported)
{
    if (!supported) {
        abort();
    }
}

static void gemm(char *ta, char *tb, int *m, int *n, int *k, double *alpha, double *A, int *lda,
                 double *B, int *ldb, double *beta, double *C, int *ldc)
{
    must(*lda >= (*ta == 'N' ? *m : *k) && *ldb >= (*tb == 'N' ? *k : *n) && *ldc >= *m);
    for (int j = 0; j < *n; j++) {
        for (int i = 0; i < *m; i++) {
            double s = 0.0;
            for (int l = 0; l < *k; l++) {
                s += (*ta == 'N' ? A[at(i, l, *lda)] : A[at(l, i, *lda)])
                     * (*tb == 'N' ? B[at(l, j, *ldb)] : B[at(j, l, *ldb)]);
            }
            double *c = C + at(i, j, *ldc);
            *c = *alpha * s + (*beta == 0.0 ? 0.0 : *beta * *c);
        }
    }
}

static void syrk(char *uplo, char *trans, int *n, int *k, double *alpha, double *A, int *lda,
                 double *beta, double *C, int *ldc)
{
    must(*trans == 'N' && *lda >= *n && *ldc >= *n);
    const int lower = *uplo == 'L';
    for (int j = 0; j < *n; j++) {
        for (int i = lower ? j : 0; i < (lower ? *n : j + 1); i++) {
            double s = 0.0;
            for (int l = 0; l < *k; l++) {
                s += A[at(i, l, *lda)] * A[at(j, l, *lda)];
            }
            double *c = C + at(i, j, *ldc);
            *c = *alpha * s + (*beta == 0.0 ? 0.0 : *beta * *c);
        }
    }
}

/* Solve T x = b in place, T(i, j) = A(i, j) or A(j, i), x and b with a stride. */
static void solve(int lower, int transposed, int n, const double *A, int lda, double *x, ptrdiff_t stride)
{
    const int forward = lower != transposed;
    for (int step = 0; step < n; step++) {
        const int i = forward ? step : n - 1 - step;
        double s = x[i * stride];
        for (int j = forward ? 0 : i + 1; j < (forward ? i : n); j++) {
            s -= (transposed ? A[at(j, i, lda)] : A[at(i, j, lda)]) * x[j * stride];
        }
        x[i * stride] = s / A[at(i, i, lda)];
    }
}

static void trsm(char *side, char *uplo, char *trans, char *diag, int *m, int *n, double *alpha,
                 double *A, int *lda, double *B, int *ldb)
{
    must(*diag == 'N' && *alpha == 1.0 && *lda >= (*side == 'L' ? *m : *n) && *ldb >= *m);
    const int lower = *uplo == 'L', transposed = *trans == 'T';
    if (*side == 'L') {
        for (int j = 0; j < *n; j++) {
            solve(lower, transposed, *m, A, *lda, B + at(0, j, *ldb), 1);
        }
    } else {                         /* X T = B is T'X' = B', row by row */
        for (int i = 0; i < *m; i++) {
            solve(lower, !transposed, *n, A, *lda, B + i, *ldb);
        }
    }
}

/* U'U = A, or L L' = A with L = U': entry (i, j) of U is A[i down + j across]. */
static void potrf(char *uplo, int *n, double *A, int *lda, int *info)
{
    must(*lda >= *n);
    const ptrdiff_t down = *uplo == 'U' ? 1 : *lda, across = *uplo == 'U' ? *lda : 1;
    *info = 0;
    for (int j = 0; j < *n; j++) {
        for (int i = 0; i <= j; i++) {
            double s = A[i * down + j * across];
            for (int l = 0; l < i; l++) {
                s -= A[l * down + i * across] * A[l * down + j * across];
            }
            if (i < j) {
                A[i * down + j * across] = s / A[i * (down + across)];
            } else if (s > 0.0) {
                A[j * (down + across)] = sqrt(s);
            } else {
                *info = j + 1;
                return;
            }
        }
    }
}

static void potri(char *uplo, int *n, double *A, int *lda, int *info)
{
    must(*uplo == 'L' && *lda >= *n);
    *info = 0;
    for (int j = 0; j < *n; j++) {               /* W = L^-1 */
        A[at(j, j, *lda)] = 1.0 / A[at(j, j, *lda)];
        for (int i = j + 1; i < *n; i++) {
            double s = 0.0;
            for (int k = j; k < i; k++) {
                s -= A[at(i, k, *lda)] * A[at(k, j, *lda)];
            }
            A[at(i, j, *lda)] = s / A[at(i, i, *lda)];
        }
    }
    for (int i = 0; i < *n; i++) {               /* W'W; row i of W is last needed for row i */
        for (int j = 0; j <= i; j++) {
            double s = 0.0;
            for (int k = i; k < *n; k++) {
                s += A[at(k, i, *lda)] * A[at(k, j, *lda)];
            }
            A[at(i, j, *lda)] = s;
        }
    }
}

const flmm_blas plain_blas = {gemm, syrk, trsm, potrf, potri};
