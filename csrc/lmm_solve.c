/* lmm_solve.c: products with A, and solves with the system of the last evaluation, for
 * right-hand sides of the caller's.
 *
 * With V = W^-1 + Z Psi Z' (Woodbury) both give Z'V^-1 K for any matrix K of the rows:
 *
 *   Z'V^-1 K = R - A B,   R = Z'W K,   B = Lambda (Lambda'A Lambda + I)^-1 Lambda' R
 *
 * so nothing here touches a row either.
 */
#include "lmm.h"

#include <stdlib.h>
#include <string.h>

static double *new_columns(int64_t rows, int32_t columns)
{
    return malloc(((size_t)rows * (size_t)columns + 1) * sizeof(double));
}

int flmm_lmm_solve(flmm_lmm *m, int32_t columns, const double *const *R, double *const *B)
{
    return columns < 1 ? FLMM_BAD_ARGUMENT : flmm_system_solve(&m->system, columns, R, B);
}

int flmm_lmm_multiply(const flmm_lmm *m, int32_t columns, const double *const *B, double *const *out)
{
    if (columns < 1) {
        return FLMM_BAD_ARGUMENT;
    }
    double *v = new_columns(m->at.q, 1), *product = new_columns(m->at.q, 1);
    const int status = v && product ? FLMM_OK : FLMM_NO_MEMORY;
    for (int32_t r = 0; r < columns && status == FLMM_OK; r++) {
        for (int32_t f = 0; f < m->data.nf; f++) {
            for (int64_t i = m->offset[f]; i < m->offset[f + 1]; i++) {
                v[i] = B[f][(i - m->offset[f]) * columns + r];
            }
        }
        flmm_multiply_A(&m->at, -1, v, product);
        for (int32_t f = 0; f < m->data.nf; f++) {
            for (int64_t i = m->offset[f]; i < m->offset[f + 1]; i++) {
                out[f][(i - m->offset[f]) * columns + r] = product[i];
            }
        }
    }
    free(v);
    free(product);
    return status;
}
