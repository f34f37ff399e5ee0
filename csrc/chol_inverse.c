/* chol_inverse.c: the entries of M^-1 on the pattern of L (selected inverse).
 *
 * Takahashi, Fagan & Chin (1973); Erisman & Tinney (1975), CACM 18(3).  With
 * L L' = M and columns J, rows R below them, Y = L_RJ L_JJ^-1:
 *
 *   Z_RJ = -Z_RR Y        Z_JJ = (L_JJ L_JJ')^-1 - Y' Z_RJ
 *
 * from the last columns to the first.  Z_RR lies on the pattern of later columns
 * because rows of R are pairwise neighbours in L.  Cost: that of the
 * factorization, times about two; the supernodal form runs in BLAS-3.
 */
#include "chol.h"

#include <string.h>

int64_t flmm_takahashi_work(const flmm_chol_view *v)
{
    if (!v->supernodal) {
        return 2 * v->n;
    }
    int64_t most = 0;
    for (int64_t s = 0; s < v->nsuper; s++) {
        const int64_t width = v->super[s + 1] - v->super[s];
        const int64_t below = v->rowptr[s + 1] - v->rowptr[s] - width;
        const int64_t need = below * below + below * width + width * width;
        most = need > most ? need : most;
    }
    return most;
}

/* One column at a time: y = L_Rj / L_jj, z_R = -Z_RR y, z_jj = 1/L_jj^2 - y'z_R. */
static void simplicial(const flmm_chol_view *v, double *z, double *work, int64_t *mark)
{
    double *y = work, *sum = work + v->n;
    for (int64_t i = 0; i < v->n; i++) {
        mark[i] = -1;
    }
    for (int64_t j = v->n - 1; j >= 0; j--) {
        const int64_t first = v->colptr[j], count = v->count[j];
        const int64_t *row = v->rowind + first;
        const double d = v->x[first];
        for (int64_t k = 1; k < count; k++) {
            y[row[k]] = v->x[first + k] / d;
            sum[row[k]] = 0.0;
            mark[row[k]] = j;
        }
        for (int64_t k = 1; k < count; k++) {
            const int64_t c = row[k], begin = v->colptr[c], end = begin + v->count[c];
            const double yc = y[c];
            double own = z[begin] * yc;
            for (int64_t e = begin + 1; e < end; e++) {
                const int64_t i = v->rowind[e];
                if (mark[i] == j) {
                    sum[i] += z[e] * yc;
                    own += z[e] * y[i];
                }
            }
            sum[c] += own;
        }
        double diagonal = 1.0 / (d * d);
        for (int64_t k = 1; k < count; k++) {
            const double value = -sum[row[k]];
            z[first + k] = value;
            diagonal -= y[row[k]] * value;
        }
        z[first] = diagonal;
    }
}

/* Z_RR of one supernode, gathered in full from the later supernodes. */
static void gather_later(const flmm_chol_view *v, const double *z, const int64_t *row, int64_t below,
                         double *out, int64_t *place)
{
    int64_t k = 0;
    while (k < below) {
        const int64_t t = v->super_of[row[k]];
        const int64_t height = v->rowptr[t + 1] - v->rowptr[t];
        const int64_t *rows_t = v->rows + v->rowptr[t];
        for (int64_t h = 0; h < height; h++) {
            place[rows_t[h]] = h;
        }
        for (; k < below && v->super_of[row[k]] == t; k++) {
            const double *column = z + v->valptr[t] + (row[k] - v->super[t]) * height;
            for (int64_t i = k; i < below; i++) {
                const double value = column[place[row[i]]];
                out[k * below + i] = value;
                out[i * below + k] = value;
            }
        }
    }
}

static void supernodal(const flmm_blas *blas, const flmm_chol_view *v, double *z, double *work,
                       int64_t *place)
{
    char right = 'R', lower = 'L', plain = 'N', transposed = 'T', nonunit = 'N';
    double one = 1.0, zero = 0.0, minus = -1.0;
    for (int64_t s = v->nsuper - 1; s >= 0; s--) {
        int width = (int)(v->super[s + 1] - v->super[s]);
        int height = (int)(v->rowptr[s + 1] - v->rowptr[s]);
        int below = height - width;
        const double *L = v->x + v->valptr[s];
        double *Z = z + v->valptr[s];
        double *corner = work;                              /* width x width */
        double *Y = corner + (ptrdiff_t)width * width;      /* below x width */
        double *later = Y + (ptrdiff_t)below * width;       /* below x below */

        for (int c = 0; c < width; c++) {
            memcpy(corner + (ptrdiff_t)c * width, L + (ptrdiff_t)c * height,
                   (size_t)width * sizeof *corner);
            memcpy(Y + (ptrdiff_t)c * below, L + (ptrdiff_t)c * height + width,
                   (size_t)below * sizeof *Y);
        }
        if (below > 0) {
            gather_later(v, z, v->rows + v->rowptr[s] + width, below, later, place);
            blas->dtrsm(&right, &lower, &plain, &nonunit, &below, &width, &one, corner, &width, Y,
                        &below);
            blas->dgemm(&plain, &plain, &below, &width, &below, &minus, later, &below, Y, &below, &zero,
                        Z + width, &height);
        }
        int info = 0;
        blas->dpotri(&lower, &width, corner, &width, &info);    /* L_JJ has a positive diagonal */
        for (int c = 0; c < width; c++) {
            for (int r = c; r < width; r++) {
                Z[(ptrdiff_t)c * height + r] = corner[(ptrdiff_t)c * width + r];
                Z[(ptrdiff_t)r * height + c] = corner[(ptrdiff_t)c * width + r];
            }
        }
        if (below > 0) {
            blas->dgemm(&transposed, &plain, &width, &width, &below, &minus, Y, &below, Z + width,
                        &height, &one, Z, &height);
        }
    }
}

void flmm_takahashi(const flmm_blas *blas, const flmm_chol_view *v, double *z, double *work,
                    int64_t *map)
{
    if (v->supernodal) {
        supernodal(blas, v, z, work, map);
    } else {
        simplicial(v, z, work, map);
    }
}
