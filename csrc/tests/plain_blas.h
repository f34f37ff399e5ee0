/* plain_blas.h: the five routines of flmm_blas in plain C, so that the sanitizers see
 * every access.  Only the variants that the kernels call; others abort. */
#ifndef FLMM_TESTS_PLAIN_BLAS_H
#define FLMM_TESTS_PLAIN_BLAS_H

#include "../flmm.h"

extern const flmm_blas plain_blas;

#endif
