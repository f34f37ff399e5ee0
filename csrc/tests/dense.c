/* dense.c: see dense.h. */
#include "dense.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

double *dense_new(int rows, int columns)
{
    double *out = calloc((size_t)rows * (size_t)columns + 1, sizeof *out);
    if (!out) {
        abort();
    }
    return out;
}

double dense_cholesky(int n, double *A)
{
    double smallest = 1.0;
    for (int j = 0; j < n; j++) {
        double s = A[j * n + j];
        const double whole = s;
        for (int k = 0; k < j; k++) {
            s -= A[j * n + k] * A[j * n + k];
        }
        if (!(s > 0.0)) {
            return -1.0;
        }
        smallest = fmin(smallest, s / whole);
        A[j * n + j] = sqrt(s);
        for (int i = j + 1; i < n; i++) {
            double t = A[i * n + j];
            for (int k = 0; k < j; k++) {
                t -= A[i * n + k] * A[j * n + k];
            }
            A[i * n + j] = t / A[j * n + j];
            A[j * n + i] = 0.0;
        }
    }
    return smallest;
}

double dense_inverse(int n, const double *A, double *out, double *logdet)
{
    double *L = dense_new(n, n), *x = dense_new(n, 1);
    memcpy(L, A, (size_t)n * (size_t)n * sizeof *L);
    const double smallest = dense_cholesky(n, L);
    *logdet = 0.0;
    for (int c = 0; c < n && smallest > 0.0; c++) {
        *logdet += 2.0 * log(L[c * n + c]);
        for (int i = 0; i < n; i++) {
            double s = i == c ? 1.0 : 0.0;
            for (int k = 0; k < i; k++) {
                s -= L[i * n + k] * x[k];
            }
            x[i] = s / L[i * n + i];
        }
        for (int i = n - 1; i >= 0; i--) {
            double s = x[i];
            for (int k = i + 1; k < n; k++) {
                s -= L[k * n + i] * x[k];
            }
            x[i] = s / L[i * n + i];
            out[i * n + c] = x[i];
        }
    }
    free(L);
    free(x);
    return smallest;
}

void dense_multiply(int n, int k, int m, const double *A, const double *B, double *out)
{
    for (int i = 0; i < n; i++) {
        for (int j = 0; j < m; j++) {
            double s = 0.0;
            for (int l = 0; l < k; l++) {
                s += A[i * k + l] * B[l * m + j];
            }
            out[i * m + j] = s;
        }
    }
}
