/* chol_super.c: numeric supernodal Cholesky on CHOLMOD's analysis, left-looking.
 *
 * Ng & Peyton (1993), SIAM J. Sci. Comput. 14(5).  The columns of a supernode are
 * assembled, updated by every earlier supernode whose rows reach into them, and
 * factored:
 *
 *   L_S := A_S - sum over d of L_d[rows >= S] L_d[rows in S]'
 *   L_JJ L_JJ' = L_S[J, J]       L_RJ = L_S[R, J] L_JJ^-T
 *
 * Written here rather than called from CHOLMOD because the BLAS is then the one the
 * caller hands in.  Measured on all of InstEval's M: 118 ms with CHOLMOD on Debian's
 * reference BLAS, 11 ms here on SciPy's OpenBLAS.
 */
#include "chol.h"

#include <string.h>

int64_t flmm_supernodal_work(const flmm_chol_view *v)
{
    int64_t widest = 0, tallest = 0;
    for (int64_t s = 0; s < v->nsuper; s++) {
        const int64_t width = v->super[s + 1] - v->super[s];
        const int64_t height = v->rowptr[s + 1] - v->rowptr[s];
        widest = width > widest ? width : widest;
        tallest = height > tallest ? height : tallest;
    }
    return widest * tallest;
}

/* Subtract what supernode d contributes to the columns first .. last-1. */
static void update(const flmm_blas *blas, const flmm_chol_view *v, double *x, int64_t d, int64_t from,
                   int64_t to, int64_t first, double *Ls, int64_t height, const int64_t *place, double *C)
{
    char plain = 'N', transposed = 'T', lower = 'L';
    double one = 1.0, zero = 0.0;
    int depth = (int)(v->super[d + 1] - v->super[d]);
    int stride = (int)(v->rowptr[d + 1] - v->rowptr[d]);
    int rows = stride - (int)from, columns = (int)(to - from), below = rows - columns;
    const int64_t *row = v->rows + v->rowptr[d] + from;
    double *Ld = x + v->valptr[d] + from;
    if (depth == 1) {                    /* a column: no call is worth it */
        for (int j = 0; j < columns; j++) {
            const double l = Ld[j];
            double *out = Ls + (row[j] - first) * height;
            for (int i = j; i < rows; i++) {
                out[place[row[i]]] -= Ld[i] * l;
            }
        }
        return;
    }
    blas->dsyrk(&lower, &plain, &columns, &depth, &one, Ld, &stride, &zero, C, &rows);
    if (below > 0) {
        blas->dgemm(&plain, &transposed, &below, &columns, &depth, &one, Ld + columns, &stride, Ld,
                    &stride, &zero, C + columns, &rows);
    }
    for (int j = 0; j < columns; j++) {
        double *out = Ls + (row[j] - first) * height;
        for (int i = j; i < rows; i++) {
            out[place[row[i]]] -= C[(ptrdiff_t)j * rows + i];
        }
    }
}

int flmm_supernodal_factorize(const flmm_blas *blas, const flmm_chol_view *v, const int64_t *colptr,
                              const int64_t *rowind, const double *values, double *x, double *work,
                              int64_t *map)
{
    int64_t *place = map, *head = place + v->n, *next = head + v->nsuper, *reached = next + v->nsuper;
    char lower = 'L', right = 'R', transposed = 'T', nonunit = 'N';
    double one = 1.0;
    for (int64_t s = 0; s < v->nsuper; s++) {
        head[s] = -1;
    }
    for (int64_t s = 0; s < v->nsuper; s++) {
        const int64_t first = v->super[s], last = v->super[s + 1];
        const int64_t *row = v->rows + v->rowptr[s];
        int height = (int)(v->rowptr[s + 1] - v->rowptr[s]), width = (int)(last - first);
        int below = height - width, info = 0;
        double *Ls = x + v->valptr[s];

        for (int k = 0; k < height; k++) {
            place[row[k]] = k;
        }
        memset(Ls, 0, (size_t)height * (size_t)width * sizeof *Ls);
        for (int64_t j = first; j < last; j++) {
            for (int64_t e = colptr[j]; e < colptr[j + 1]; e++) {
                Ls[(j - first) * height + place[rowind[e]]] = values[e];
            }
        }

        int64_t d = head[s];
        while (d >= 0) {
            const int64_t following = next[d], stride = v->rowptr[d + 1] - v->rowptr[d];
            const int64_t *row_d = v->rows + v->rowptr[d];
            int64_t to = reached[d];
            while (to < stride && row_d[to] < last) {
                to++;
            }
            update(blas, v, x, d, reached[d], to, first, Ls, height, place, work);
            reached[d] = to;
            if (to < stride) {
                const int64_t t = v->super_of[row_d[to]];
                next[d] = head[t];
                head[t] = d;
            }
            d = following;
        }

        blas->dpotrf(&lower, &width, Ls, &height, &info);
        if (info != 0) {
            return FLMM_M_NOT_POSITIVE;
        }
        if (below > 0) {
            blas->dtrsm(&right, &lower, &transposed, &nonunit, &below, &width, &one, Ls, &height,
                        Ls + width, &height);
            reached[s] = width;
            const int64_t t = v->super_of[row[width]];
            next[s] = head[t];
            head[t] = s;
        }
    }
    return FLMM_OK;
}
