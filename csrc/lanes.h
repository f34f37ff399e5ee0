/* lanes.h: one number of each of a few neighbouring levels, side by side.
 *
 * The levels of the eliminated factor all go through the same arithmetic, on blocks too
 * small for vectors.  So LANES levels go through it together, one per place of a vector
 * of the machine; where the last levels do not fill the places, a level of zeros does.
 */
#ifndef FLMM_LANES_H
#define FLMM_LANES_H

#include "compiler.h"

#include <math.h>
#include <stdint.h>

#define LANES 2

typedef double lanes __attribute__((vector_size(LANES * sizeof(double))));

/* The number that each of the levels has at its own address x[k] + i. */
static inline lanes flmm_lanes_load(const double *const x[LANES], ptrdiff_t i)
{
    lanes out = {0.0};
    for (int k = 0; k < LANES; k++) {
        out[k] = x[k][i];
    }
    return out;
}

static inline lanes flmm_lanes_all(double v)
{
    lanes out = {0.0};
    for (int k = 0; k < LANES; k++) {
        out[k] = v;
    }
    return out;
}

static inline lanes flmm_lanes_root(lanes x)
{
    for (int k = 0; k < LANES; k++) {
        x[k] = sqrt(x[k]);
    }
    return x;
}

static inline double flmm_lanes_sum(lanes x)
{
    double sum = 0.0;
    for (int k = 0; k < LANES; k++) {
        sum += x[k];
    }
    return sum;
}

/* D = T'A T + I = N diag(1/inverse) N' of each level, N with a diagonal of ones, for c
 * columns (give a constant where there is one).  The Cholesky factor is N inverse^-1/2; the
 * roots are left out wherever they cancel.
 *
 * T [c c] numbers, the others lanes: A [c c] in full, N [c c] below the diagonal, inverse
 * [c], t [c c] := A T.  Returns det D.  Where D is not positive definite, or not
 * finite, some of `inverse` is not positive. */
FLMM_INLINE lanes flmm_lanes_factor(const int32_t c, const double *T, const lanes *A, lanes *t, lanes *N,
                                      lanes *inverse)
{
    lanes determinant = flmm_lanes_all(1.0);
    for (int32_t a = 0; a < c; a++) {
        for (int32_t j = 0; j < c; j++) {
            lanes v = A[a * c] * T[j];
            for (int32_t b = 1; b < c; b++) {
                v += A[a * c + b] * T[b * c + j];
            }
            t[a * c + j] = v;
        }
    }
    for (int32_t j = 0; j < c; j++) {            /* column j of N, above it the pivots times N' */
        for (int32_t i = j; i < c; i++) {
            lanes v = t[j] * T[i];
            for (int32_t a = 1; a < c; a++) {
                v += t[a * c + j] * T[a * c + i];
            }
            for (int32_t k = 0; k < j; k++) {
                v -= N[i * c + k] * N[k * c + j];
            }
            if (i == j) {
                v += 1.0;
                determinant *= v;
                inverse[j] = 1.0 / v;
            } else {
                N[j * c + i] = v;
                N[i * c + j] = v * inverse[j];
            }
        }
    }
    return determinant;
}

/* y := N^-1 y, [c] */
FLMM_INLINE void flmm_lanes_reduce(const int32_t c, const lanes *N, lanes *y)
{
    for (int32_t i = 1; i < c; i++) {
        for (int32_t k = 0; k < i; k++) {
            y[i] -= N[i * c + k] * y[k];
        }
    }
}

/* y := N^-1 T'x */
FLMM_INLINE void flmm_lanes_forward(const int32_t c, const double *T, const lanes *N, const lanes *x, lanes *y)
{
    for (int32_t i = 0; i < c; i++) {
        lanes v = x[0] * T[i];
        for (int32_t b = 1; b < c; b++) {
            v += x[b] * T[b * c + i];
        }
        y[i] = v;
    }
    flmm_lanes_reduce(c, N, y);
}

/* y := N'^-1 y */
FLMM_INLINE void flmm_lanes_back(const int32_t c, const lanes *N, lanes *y)
{
    for (int32_t i = c - 2; i >= 0; i--) {
        for (int32_t k = i + 1; k < c; k++) {
            y[i] -= N[k * c + i] * y[k];
        }
    }
}

/* b := T u */
FLMM_INLINE void flmm_lanes_apply(const int32_t c, const double *T, const lanes *u, lanes *b)
{
    for (int32_t a = 0; a < c; a++) {
        lanes v = u[0] * T[a * c];
        for (int32_t i = 1; i < c; i++) {
            v += u[i] * T[a * c + i];
        }
        b[a] = v;
    }
}

/* u := N'^-1 diag(inverse) u and b := T u, the second half of the following */
FLMM_INLINE void flmm_lanes_finish(const int32_t c, const double *T, const lanes *N, const lanes *inverse, lanes *u,
                                   lanes *b)
{
    for (int32_t i = 0; i < c; i++) {
        u[i] *= inverse[i];
    }
    flmm_lanes_back(c, N, u);
    flmm_lanes_apply(c, T, u, b);
}

/* u := D^-1 T'x and b := T u */
FLMM_INLINE void flmm_lanes_solve(const int32_t c, const double *T, const lanes *N, const lanes *inverse,
                                  const lanes *x, lanes *u, lanes *b)
{
    flmm_lanes_forward(c, T, N, x, u);
    flmm_lanes_finish(c, T, N, inverse, u, b);
}

#endif
