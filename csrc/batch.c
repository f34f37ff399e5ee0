/* batch.c: products of many small matrices, one pair per level.
 *
 * A BLAS call per level would spend its time on the call.
 */
#include "flmm.h"

/* c, given again to be a constant where it can */
static inline void multiply(int64_t nl, const int32_t c, int64_t k, const double *L, const double *R, double *out)
{
    for (int64_t l = 0; l < nl; l++) {
        const double *left = L + l * c * c, *right = R + l * c * k;
        double *product = out + l * c * k;
        for (int32_t a = 0; a < c; a++) {
            for (int64_t j = 0; j < k; j++) {
                double v = 0.0;
                for (int32_t b = 0; b < c; b++) {
                    v += left[a * c + b] * right[b * k + j];
                }
                product[a * k + j] = v;
            }
        }
    }
}

void flmm_multiply_levels(int64_t nl, int32_t c, int64_t k, const double *L, const double *R, double *out)
{
    switch (c) {
    case 1:
        multiply(nl, 1, k, L, R, out);
        break;
    case 2:
        multiply(nl, 2, k, L, R, out);
        break;
    case 3:
        multiply(nl, 3, k, L, R, out);
        break;
    default:
        multiply(nl, c, k, L, R, out);
    }
}
