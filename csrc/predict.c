/* predict.c: the linear predictor of rows, offset + X beta + Z b, a part at a time.
 *
 * Each function adds one part to `out`: the fixed columns, or the effects of one
 * grouping factor by the level of each row.  The caller goes over new data in
 * blocks that stay in the processor's cache, so each column of the data is read
 * once, where it lies.
 */
#include "flmm.h"

#define ROWS 256          /* rows whose sums, and effects, stay in L1 while column after column is added */

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

/* One effect of a level; zero, and not left out, for -1, so that a missing value stays missing. */
static double effect_of(const double *b, int32_t code, int32_t nc, int32_t c)
{
    return code < 0 ? 0.0 : b[(ptrdiff_t)code * nc + c];
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
            const double centre = z[c].centre;
            if (!z[c].values) {
                for (int64_t j = 0; j < count; j++) {
                    sums[j] += effect_of(b, code[j], nc, c) * (1.0 - centre);
                }
                continue;
            }
            const double *v = z[c].values + first;
            for (int64_t j = 0; j < count; j++) {
                sums[j] += effect_of(b, code[j], nc, c) * (v[j] - centre);
            }
        }
    }
    return FLMM_OK;
}
