/* predict.c: the linear predictor of rows, offset + X beta + Z b, a part at a time.
 *
 * Each function adds one part to `out`: the fixed columns, or the effects of one
 * grouping factor by the level of each row.  The caller goes over new data in
 * blocks that stay in the processor's cache, so each column of the data is read
 * once, where it lies.
 */
#include "flmm.h"

#define ROWS 1024         /* rows whose sums stay in L1 while column after column is added */

int flmm_add_fixed(int64_t n, int32_t p, const flmm_column *x, const double *beta, double *out)
{
    if (n < 0 || p < 0) {
        return FLMM_BAD_ARGUMENT;
    }
    double constant = 0.0;
    for (int32_t c = 0; c < p; c++) {
        constant += beta[c] * ((x[c].values ? 0.0 : 1.0) - x[c].centre);
    }
    for (int64_t first = 0; first < n; first += ROWS) {
        const int64_t count = n - first < ROWS ? n - first : ROWS;
        double *sums = out + first;
        for (int64_t j = 0; j < count; j++) {
            sums[j] += constant;
        }
        for (int32_t c = 0; c < p; c++) {
            if (!x[c].values) {
                continue;
            }
            const double *v = x[c].values + first;
            const double slope = beta[c];
            for (int64_t j = 0; j < count; j++) {
                sums[j] += slope * v[j];
            }
        }
    }
    return FLMM_OK;
}

int flmm_add_effects(int64_t n, int32_t nc, int32_t nl, const int32_t *level, const flmm_column *z,
                     const double *b, double *out)
{
    if (n < 0 || nc < 0 || nl < 0) {
        return FLMM_BAD_ARGUMENT;
    }
    int bad = 0;
    for (int64_t j = 0; j < n; j++) {
        bad |= (level[j] < -1) | (level[j] >= nl);
    }
    if (bad) {
        return FLMM_BAD_LEVEL;
    }
    for (int64_t first = 0; first < n; first += ROWS) {
        const int64_t count = n - first < ROWS ? n - first : ROWS;
        const int32_t *code = level + first;
        double *sums = out + first;
        for (int32_t c = 0; c < nc; c++) {
            const double *v = z[c].values ? z[c].values + first : NULL;
            const double centre = z[c].centre;
            for (int64_t j = 0; j < count; j++) {
                /* 0 times a missing value is missing, for a level without effects too */
                const double effect = code[j] < 0 ? 0.0 : b[(ptrdiff_t)code[j] * nc + c];
                sums[j] += effect * ((v ? v[j] : 1.0) - centre);
            }
        }
    }
    return FLMM_OK;
}
