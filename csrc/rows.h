/* rows.h: a few hundred rows of some columns at a time, as all sums over rows take them. */
#ifndef FLMM_ROWS_H
#define FLMM_ROWS_H

#include "compiler.h"
#include "flmm.h"

#define FLMM_ROWS 256     /* rows gathered at a time: the block stays in the first cache */

/* Rows first .. first+count-1 of the columns that are not constant, row-major into out [count * stride]. */
static inline void flmm_gather_values(int32_t ncol, const flmm_column *col, int64_t first, int32_t count,
                                      int32_t stride, double *out)
{
    for (int32_t c = 0; c < ncol; c++) {
        const double centre = col[c].centre;
        const double *v = col[c].values ? col[c].values + first : NULL;
        for (int32_t j = 0; v && j < count; j++) {
            out[(ptrdiff_t)j * stride + c] = v[j] - centre;
        }
    }
}

/* The others. */
static inline void flmm_gather_constants(int32_t ncol, const flmm_column *col, int32_t count, int32_t stride,
                                         double *out)
{
    for (int32_t c = 0; c < ncol; c++) {
        for (int32_t j = 0; !col[c].values && j < count; j++) {
            out[(ptrdiff_t)j * stride + c] = 1.0 - col[c].centre;
        }
    }
}

static inline void flmm_gather(int32_t ncol, const flmm_column *col, int64_t first, int32_t count, int32_t stride,
                               double *out)
{
    flmm_gather_values(ncol, col, first, count, stride, out);
    flmm_gather_constants(ncol, col, count, stride, out);
}

static inline int flmm_levels_are_valid(int64_t n, int32_t nl, const int32_t *level)
{
    int bad = 0;
    for (int64_t j = 0; j < n; j++) {
        bad |= (level[j] < 0) | (level[j] >= nl);
    }
    return !bad;
}

#endif
