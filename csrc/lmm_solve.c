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

/* B := Lambda U, from the system's order to the caller's */
static void apply_templates(const flmm_lmm *m, int32_t columns, const double *U, double *const *B)
{
    const int64_t *position = flmm_system_position(&m->system);
    for (int32_t f = 0; f < m->data.nf; f++) {
        const int32_t nc = m->data.nc[f];
        const double *T = m->Lambda + m->square[f];
        for (int64_t l = 0; l < m->data.nl[f]; l++) {
            const int64_t *own = position + m->offset[f] + l * nc;
            double *out = B[f] + l * nc * columns;
            for (int32_t a = 0; a < nc; a++, out += columns) {
                memset(out, 0, (size_t)columns * sizeof *out);
                for (int32_t c = 0; c < nc; c++) {
                    const double t = T[a * nc + c], *in = U + own[c] * columns;
                    for (int32_t r = 0; r < columns; r++) {
                        out[r] += t * in[r];
                    }
                }
            }
        }
    }
}

int flmm_lmm_solve(flmm_lmm *m, int32_t columns, const double *const *R, double *const *B)
{
    if (columns < 1) {
        return FLMM_BAD_ARGUMENT;
    }
    double *U = new_columns(m->at.q, columns), *gram = new_columns(columns, columns);
    double *work = new_columns(flmm_system_work(&m->system), columns);
    int status = U && gram && work ? FLMM_OK : FLMM_NO_MEMORY;
    if (status == FLMM_OK) {
        status = flmm_system_right_hand_sides(&m->system, m->Lambda, columns, R, U, gram, work);
    }
    if (status == FLMM_OK) {
        flmm_system_solve_Lt(&m->system, columns, U, work);
        apply_templates(m, columns, U, B);
    }
    free(U);
    free(gram);
    free(work);
    return status;
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
