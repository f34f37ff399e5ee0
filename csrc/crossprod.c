/* crossprod.c: cross-products of the model matrices, added up row by row.
 *
 * The profiled criterion sees the data only through X'WX, X'Wy, y'Wy, Z'WX,
 * Z'Wy and Z'WZ (Bates et al. 2015, JSS 67(1), sec. 3.4, "constant symbols").
 * Each is a sum over rows, so the functions here ADD to their output: the caller
 * clears it once, then feeds as many row blocks as the data come in.
 *
 * Columns of Z are usually columns of X or the constant 1: both are given as
 * references to the user's columns with a constant to subtract, never copied
 * but for the few hundred rows at work.
 */
#include "flmm.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define ROWS 256          /* rows gathered at a time: the block stays in L1/L2 */
#define CHUNK 16384       /* rows per partial sum of the fixed part */
#define LANES 8           /* independent sums, so that the compiler can use vectors */

/* Rows first .. first+count-1 of the columns, row-major into out [count * stride]. */
static void gather(int32_t ncol, const flmm_column *col, int64_t first, int32_t count, int32_t stride,
                   double *out)
{
    for (int32_t c = 0; c < ncol; c++) {
        const double centre = col[c].centre;
        if (col[c].values) {
            const double *v = col[c].values + first;
            for (int32_t j = 0; j < count; j++) {
                out[(ptrdiff_t)j * stride + c] = v[j] - centre;
            }
        } else {
            for (int32_t j = 0; j < count; j++) {
                out[(ptrdiff_t)j * stride + c] = 1.0 - centre;
            }
        }
    }
}

/* [x_j r_j] of the rows at work, row-major with p+1 columns. */
static void gather_xr(int32_t p, const flmm_column *x, const double *r, int64_t first, int32_t count,
                      double *out)
{
    gather(p, x, first, count, p + 1, out);
    for (int32_t j = 0; j < count; j++) {
        out[(ptrdiff_t)j * (p + 1) + p] = r[first + j];
    }
}

static int levels_are_valid(int64_t n, int32_t nl, const int32_t *level)
{
    int bad = 0;
    for (int64_t j = 0; j < n; j++) {
        bad |= (level[j] < 0) | (level[j] >= nl);
    }
    return !bad;
}

static double value_at(const flmm_column *col, int64_t j)
{
    return (col->values ? col->values[j] : 1.0) - col->centre;
}

int flmm_crossprod_fixed(const flmm_blas *blas, int64_t n, int32_t p, const flmm_column *x,
                         const double *r, const double *w, double *XyWXy)
{
    if (n < 0 || p < 0 || p >= 46340) {
        return FLMM_BAD_ARGUMENT;
    }
    const int32_t m = p + 1;
    const size_t square = (size_t)m * (size_t)m;
    double *rows = malloc((size_t)ROWS * (size_t)m * sizeof *rows);
    double *partial = malloc(square * sizeof *partial);
    if (!rows || !partial) {
        free(rows);
        free(partial);
        return FLMM_NO_MEMORY;
    }

    for (int64_t chunk = 0; chunk < n; chunk += CHUNK) {
        const int64_t end = chunk + CHUNK < n ? chunk + CHUNK : n;
        memset(partial, 0, square * sizeof *partial);
        for (int64_t first = chunk; first < end; first += ROWS) {
            const int32_t count = (int32_t)(end - first < ROWS ? end - first : ROWS);
            gather_xr(p, x, r, first, count, rows);
            if (w) {
                for (int32_t j = 0; j < count; j++) {
                    const double root = sqrt(w[first + j]);
                    for (int32_t c = 0; c < m; c++) {
                        rows[(ptrdiff_t)j * m + c] *= root;
                    }
                }
            }
            /* rows is m x count column-major: partial += rows rows' (upper) */
            int size = m, depth = count;
            double one = 1.0;
            char upper = 'U', plain = 'N';
            blas->dsyrk(&upper, &plain, &size, &depth, &one, rows, &size, &one, partial, &size);
        }
        /* column-major upper (i <= j) at i + j m: add to both triangles */
        for (int32_t j = 0; j < m; j++) {
            for (int32_t i = 0; i <= j; i++) {
                const double v = partial[(ptrdiff_t)j * m + i];
                XyWXy[(ptrdiff_t)j * m + i] += v;
                if (i != j) {
                    XyWXy[(ptrdiff_t)i * m + j] += v;
                }
            }
        }
    }
    free(rows);
    free(partial);
    return FLMM_OK;
}

/* The commonest factor: one column, mostly the constant 1. */
static void add_single_column(int32_t count, const int32_t *level, const double *z, int32_t m,
                              const double *xr, const double *w, double *ZtWZ, double *ZtWXy)
{
    for (int32_t j = 0; j < count; j++) {
        const ptrdiff_t l = level[j];
        const double *xj = xr + (ptrdiff_t)j * m;
        const double wz = w ? w[j] * z[j] : z[j];
        double *R = ZtWXy + l * m;
        ZtWZ[l] += wz * z[j];
        for (int32_t c = 0; c < m; c++) {
            R[c] += wz * xj[c];
        }
    }
}

int flmm_crossprod_factor(int64_t n, int32_t nc, int32_t nl, const int32_t *level,
                          const flmm_column *z, int32_t p, const flmm_column *x, const double *r,
                          const double *w, double *ZtWZ, double *ZtWXy)
{
    if (n < 0 || nc < 1 || nl < 1 || p < 0) {
        return FLMM_BAD_ARGUMENT;
    }
    if (!levels_are_valid(n, nl, level)) {
        return FLMM_BAD_LEVEL;
    }
    const int32_t m = p + 1;
    double *xr = malloc((size_t)ROWS * (size_t)m * sizeof *xr);
    double *zz = malloc((size_t)ROWS * (size_t)nc * sizeof *zz);
    if (!xr || !zz) {
        free(xr);
        free(zz);
        return FLMM_NO_MEMORY;
    }

    for (int64_t first = 0; first < n; first += ROWS) {
        const int32_t count = (int32_t)(n - first < ROWS ? n - first : ROWS);
        gather_xr(p, x, r, first, count, xr);
        gather(nc, z, first, count, nc, zz);
        if (nc == 1) {
            add_single_column(count, level + first, zz, m, xr, w ? w + first : NULL, ZtWZ, ZtWXy);
            continue;
        }
        for (int32_t j = 0; j < count; j++) {
            const ptrdiff_t l = level[first + j];
            const double wj = w ? w[first + j] : 1.0;
            const double *zj = zz + (ptrdiff_t)j * nc;
            const double *xj = xr + (ptrdiff_t)j * m;
            double *G = ZtWZ + l * nc * nc;
            double *R = ZtWXy + l * nc * m;
            for (int32_t a = 0; a < nc; a++) {
                const double wz = wj * zj[a];
                for (int32_t b = 0; b < nc; b++) {
                    G[a * nc + b] += wz * zj[b];
                }
                for (int32_t c = 0; c < m; c++) {
                    R[(ptrdiff_t)a * m + c] += wz * xj[c];
                }
            }
        }
    }
    free(xr);
    free(zz);
    return FLMM_OK;
}

int flmm_rows_by_level(int64_t n, int32_t nl, const int32_t *level, int64_t *start, int64_t *order)
{
    if (n < 0 || nl < 1) {
        return FLMM_BAD_ARGUMENT;
    }
    if (!levels_are_valid(n, nl, level)) {
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
    if (!levels_are_valid(start_f[nl_f], nl_g, level_g)) {
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
    if (!levels_are_valid(n, nl_f, level_f) || !levels_are_valid(n, nl_g, level_g)) {
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

int flmm_pairs_nested_fill(int64_t n, int32_t nc_f, const int32_t *level_f, const flmm_column *z_f,
                           int32_t nc_g, const flmm_column *z_g, const double *w, const int64_t *indptr,
                           double *values)
{
    if (n < 0 || nc_f < 1 || nc_g < 1) {
        return FLMM_BAD_ARGUMENT;
    }
    const ptrdiff_t block = (ptrdiff_t)nc_f * nc_g;
    double *zf = malloc((size_t)ROWS * (size_t)nc_f * sizeof *zf);
    double *zg = malloc((size_t)ROWS * (size_t)nc_g * sizeof *zg);
    if (!zf || !zg) {
        free(zf);
        free(zg);
        return FLMM_NO_MEMORY;
    }
    for (int64_t first = 0; first < n; first += ROWS) {
        const int32_t count = (int32_t)(n - first < ROWS ? n - first : ROWS);
        gather(nc_f, z_f, first, count, nc_f, zf);
        gather(nc_g, z_g, first, count, nc_g, zg);
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

void flmm_column_moments(int64_t n, const double *values, double *out)
{
    double low[LANES], high[LANES], sum[LANES], square[LANES];
    const double pivot = n > 0 ? values[0] : 0.0;
    double total = 0.0, total_square = 0.0, least = pivot, most = pivot;
    for (int64_t chunk = 0; chunk < n; chunk += CHUNK) {
        const int64_t end = chunk + CHUNK < n ? chunk + CHUNK : n;
        for (int k = 0; k < LANES; k++) {
            low[k] = high[k] = pivot;
            sum[k] = square[k] = 0.0;
        }
        int64_t j = chunk;
        for (; j + LANES <= end; j += LANES) {
            for (int k = 0; k < LANES; k++) {
                const double v = values[j + k], d = v - pivot;
                low[k] = v < low[k] ? v : low[k];
                high[k] = v > high[k] ? v : high[k];
                sum[k] += d;
                square[k] += d * d;
            }
        }
        for (int k = 0; j < end; j++, k++) {
            const double v = values[j], d = v - pivot;
            low[k] = v < low[k] ? v : low[k];
            high[k] = v > high[k] ? v : high[k];
            sum[k] += d;
            square[k] += d * d;
        }
        for (int k = 0; k < LANES; k++) {
            least = low[k] < least ? low[k] : least;
            most = high[k] > most ? high[k] : most;
            total += sum[k];
            total_square += square[k];
        }
    }
    const double mean = n > 0 ? total / (double)n : 0.0;
    const double variance = n > 0 ? total_square / (double)n - mean * mean : 0.0;
    out[0] = least;
    out[1] = most;
    out[2] = pivot + mean;
    out[3] = variance > 0.0 ? sqrt(variance) : 0.0;
}
