/* pairs.c: the blocks Z_f'WZ_g of two grouping factors, over the pairs of levels that meet. */
#include "rows.h"

#include <stdlib.h>
#include <string.h>

static double value_at(const flmm_column *col, int64_t j)
{
    return (col->values ? col->values[j] : 1.0) - col->centre;
}

int flmm_rows_by_level(int64_t n, int32_t nl, const int32_t *level, int64_t *start, int64_t *order)
{
    if (n < 0 || nl < 1) {
        return FLMM_BAD_ARGUMENT;
    }
    if (!flmm_levels_are_valid(n, nl, level)) {
        return FLMM_BAD_LEVEL;
    }
    memset(start, 0, ((size_t)nl + 1) * sizeof *start);
    for (int64_t j = 0; j < n; j++) {
        start[level[j] + 1]++;
    }
    for (int32_t l = 0; l < nl; l++) {
        start[l + 1] += start[l];
    }
    for (int64_t j = 0; j < n; j++) {
        order[start[level[j]]++] = j;
    }
    for (int32_t l = nl; l > 0; l--) {           /* undo the shift of the last loop */
        start[l] = start[l - 1];
    }
    start[0] = 0;
    return FLMM_OK;
}

int flmm_pairs_count(int32_t nl_f, const int64_t *start_f, const int64_t *order_f, int32_t nl_g,
                     const int32_t *level_g, int64_t *marker, int64_t *indptr)
{
    if (nl_f < 1 || nl_g < 1) {
        return FLMM_BAD_ARGUMENT;
    }
    if (!flmm_levels_are_valid(start_f[nl_f], nl_g, level_g)) {
        return FLMM_BAD_LEVEL;
    }
    for (int32_t g = 0; g < nl_g; g++) {
        marker[g] = -1;
    }
    indptr[0] = 0;
    for (int32_t f = 0; f < nl_f; f++) {
        int64_t met = 0;
        for (int64_t k = start_f[f]; k < start_f[f + 1]; k++) {
            const int32_t g = level_g[order_f[k]];
            met += marker[g] != f;
            marker[g] = f;
        }
        indptr[f + 1] = indptr[f] + met;
    }
    return FLMM_OK;
}

static int by_level(const void *a, const void *b)
{
    const int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

int flmm_pairs_fill(int32_t nc_f, int32_t nl_f, const int64_t *start_f, const int64_t *order_f,
                    const flmm_column *z_f, int32_t nc_g, int32_t nl_g, const int32_t *level_g,
                    const flmm_column *z_g, const double *w, int64_t *marker, const int64_t *indptr,
                    int32_t *indices, double *values)
{
    if (nc_f < 1 || nc_g < 1 || nl_f < 1 || nl_g < 1) {
        return FLMM_BAD_ARGUMENT;
    }
    const ptrdiff_t block = (ptrdiff_t)nc_f * nc_g;
    for (int32_t g = 0; g < nl_g; g++) {
        marker[g] = -1;
    }
    for (int32_t f = 0; f < nl_f; f++) {
        /* the levels met, sorted; marker then holds each one's position */
        int64_t next = indptr[f];
        for (int64_t k = start_f[f]; k < start_f[f + 1]; k++) {
            const int32_t g = level_g[order_f[k]];
            if (marker[g] < indptr[f]) {
                marker[g] = next;
                indices[next++] = g;
            }
        }
        if (next - indptr[f] > 1) {
            qsort(indices + indptr[f], (size_t)(next - indptr[f]), sizeof *indices, by_level);
        }
        for (int64_t e = indptr[f]; e < next; e++) {
            marker[indices[e]] = e;
            memset(values + e * block, 0, (size_t)block * sizeof *values);
        }
        for (int64_t k = start_f[f]; k < start_f[f + 1]; k++) {
            const int64_t j = order_f[k];
            double *B = values + marker[level_g[j]] * block;
            const double wj = w ? w[j] : 1.0;
            for (int32_t a = 0; a < nc_f; a++) {
                const double wz = wj * value_at(&z_f[a], j);
                for (int32_t b = 0; b < nc_g; b++) {
                    B[a * nc_g + b] += wz * value_at(&z_g[b], j);
                }
            }
        }
    }
    return FLMM_OK;
}

int flmm_pairs_nested(int64_t n, int32_t nl_f, const int32_t *level_f, int32_t nl_g,
                      const int32_t *level_g, int32_t *parent)
{
    if (n < 0 || nl_f < 1 || nl_g < 1) {
        return FLMM_BAD_ARGUMENT;
    }
    if (!flmm_levels_are_valid(n, nl_f, level_f) || !flmm_levels_are_valid(n, nl_g, level_g)) {
        return FLMM_BAD_LEVEL;
    }
    for (int32_t f = 0; f < nl_f; f++) {
        parent[f] = -1;
    }
    for (int64_t j = 0; j < n; j++) {
        int32_t *of = &parent[level_f[j]];
        if (*of < 0) {
            *of = level_g[j];
        } else if (*of != level_g[j]) {
            return FLMM_NOT_NESTED;
        }
    }
    return FLMM_OK;
}

int flmm_pairs_follow(int64_t n, int32_t nl_f, const int32_t *level_f, const int32_t *level_g, int32_t *parent)
{
    if (!flmm_levels_are_valid(n, nl_f, level_f)) {
        return FLMM_BAD_LEVEL;
    }
    for (int64_t j = 0; j < n; j++) {
        int32_t *of = &parent[level_f[j]];
        if (*of != level_g[j]) {
            if (*of >= 0) {
                return FLMM_NOT_NESTED;
            }
            *of = level_g[j];
        }
    }
    return FLMM_OK;
}

int flmm_pairs_nested_fill(int64_t n, int32_t nc_f, const int32_t *level_f, const flmm_column *z_f,
                           int32_t nc_g, const flmm_column *z_g, const double *w, const int64_t *indptr,
                           double *values)
{
    if (n < 0 || nc_f < 1 || nc_g < 1) {
        return FLMM_BAD_ARGUMENT;
    }
    const ptrdiff_t block = (ptrdiff_t)nc_f * nc_g;
    double *zf = malloc((size_t)FLMM_ROWS * (size_t)nc_f * sizeof *zf);
    double *zg = malloc((size_t)FLMM_ROWS * (size_t)nc_g * sizeof *zg);
    if (!zf || !zg) {
        free(zf);
        free(zg);
        return FLMM_NO_MEMORY;
    }
    for (int64_t first = 0; first < n; first += FLMM_ROWS) {
        const int32_t count = (int32_t)(n - first < FLMM_ROWS ? n - first : FLMM_ROWS);
        flmm_gather(nc_f, z_f, first, count, nc_f, zf);
        flmm_gather(nc_g, z_g, first, count, nc_g, zg);
        for (int32_t j = 0; j < count; j++) {
            double *B = values + indptr[level_f[first + j]] * block;
            const double wj = w ? w[first + j] : 1.0;
            for (int32_t a = 0; a < nc_f; a++) {
                const double wz = wj * zf[(ptrdiff_t)j * nc_f + a];
                for (int32_t b = 0; b < nc_g; b++) {
                    B[a * nc_g + b] += wz * zg[(ptrdiff_t)j * nc_g + b];
                }
            }
        }
    }
    free(zf);
    free(zg);
    return FLMM_OK;
}
