/* small.h: products of blocks a few columns wide, row-major.
 *
 * Inlined so that a call with constant sizes is compiled for those sizes.
 */
#ifndef FLMM_SMALL_H
#define FLMM_SMALL_H

#include <math.h>
#include <stdint.h>

/* out (ca x cb) = F' B G,  F ca x ca, B ca x cb, G cb x cb; t [ca cb] is workspace */
static inline void flmm_sandwich(int32_t ca, int32_t cb, const double *F, const double *B, const double *G,
                                 double *t, double *out)
{
    if (ca == 1 && cb == 1) {
        out[0] = F[0] * B[0] * G[0];
        return;
    }
    for (int32_t a = 0; a < ca; a++) {
        for (int32_t j = 0; j < cb; j++) {
            double s = 0.0;
            for (int32_t b = 0; b < cb; b++) {
                s += B[a * cb + b] * G[b * cb + j];
            }
            t[a * cb + j] = s;
        }
    }
    for (int32_t i = 0; i < ca; i++) {
        for (int32_t j = 0; j < cb; j++) {
            double s = 0.0;
            for (int32_t a = 0; a < ca; a++) {
                s += F[a * ca + i] * t[a * cb + j];
            }
            out[i * cb + j] = s;
        }
    }
}

#endif
