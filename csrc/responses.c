/* responses.c: other responses for the same model.
 *
 * The response enters the criterion only through Z'Wr, X'Wr and r'Wr, the last
 * columns of the arrays of cross-products.  A refit on another response computes
 * these and puts them in place; the pattern of M and everything made from Z, X
 * and W alone stay as they are.
 */
#include "flmm.h"

#include <stdlib.h>
#include <string.h>

#define CHUNK 1024        /* rows per partial sum where all rows have one level */

/* sums [nc] += w z r over rows first .. last-1, all of one level */
static void add_rows(int64_t first, int64_t last, int32_t nc, const flmm_column *z, const double *r,
                     const double *w, double *sums)
{
    for (int32_t c = 0; c < nc; c++) {
        const double *v = z[c].values;
        const double centre = z[c].centre;
        double sum = 0.0;
        for (int64_t j = first; j < last; j++) {
            sum += (w ? w[j] * r[j] : r[j]) * ((v ? v[j] : 1.0) - centre);
        }
        sums[c] += sum;
    }
}

static void add_rows_by_level(int64_t n, int32_t nc, const int32_t *level, const flmm_column *z,
                              const double *r, const double *w, double *sums)
{
    for (int32_t c = 0; c < nc; c++) {
        const double *v = z[c].values;
        const double centre = z[c].centre;
        for (int64_t j = 0; j < n; j++) {
            sums[(ptrdiff_t)level[j] * nc + c] += (w ? w[j] * r[j] : r[j]) * ((v ? v[j] : 1.0) - centre);
        }
    }
}

int flmm_crossprod_responses(int64_t n, int32_t nc, int32_t nl, const int32_t *level, const flmm_column *z,
                             int64_t count, const double *r, const double *w, double *out)
{
    for (int64_t j = 0; level && j < n; j++) {
        if (level[j] < 0 || level[j] >= nl) {
            return FLMM_BAD_LEVEL;
        }
    }
    for (int64_t k = 0; k < count; k++) {
        double *sums = out + k * nl * nc;
        memset(sums, 0, (size_t)nl * (size_t)nc * sizeof *sums);
        if (level) {
            add_rows_by_level(n, nc, level, z, r + k * n, w, sums);
            continue;
        }
        for (int64_t first = 0; first < n; first += CHUNK) {
            add_rows(first, first + CHUNK < n ? first + CHUNK : n, nc, z, r + k * n, w, sums);
        }
    }
    return FLMM_OK;
}

void flmm_put_response(int32_t nf, int32_t p, const int32_t *nc, const int32_t *nl, const double *ZtWr,
                       const double *XrWr, double *const *ZtWXy, double *XyWXy)
{
    const ptrdiff_t width = (ptrdiff_t)p + 1;
    for (int32_t f = 0; f < nf; f++) {
        const int64_t count = (int64_t)nc[f] * nl[f];
        double *last = ZtWXy[f] + p;
        for (int64_t i = 0; i < count; i++) {
            last[i * width] = ZtWr[i];
        }
        ZtWr += count;
    }
    for (int32_t j = 0; j < p; j++) {
        XyWXy[j * width + p] = XyWXy[p * width + j] = XrWr[j];
    }
    XyWXy[p * width + p] = XrWr[p];
}
