/* chol.c: sparse Cholesky factorization through CHOLMOD, analysed once.
 *
 * Chen, Davis, Hager & Rajamanickam (2008), ACM TOMS 35(3).  The pattern is
 * ordered by the better of AMD and METIS, permuted here, and analysed again in
 * its natural order: CHOLMOD then factorizes our values in place of a permuted
 * copy it would otherwise make at every theta.  It reads the upper triangle for
 * a simplicial factor and the lower one for a supernodal factor.
 */
#include "chol.h"

#include <cholmod.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct flmm_chol {
    const flmm_blas *blas;
    cholmod_common common;
    cholmod_sparse *matrix;          /* permuted, upper or lower */
    cholmod_factor *factor;
    int64_t n;
    int64_t *position;               /* [n] */
    int64_t *slot;                   /* [nnz] */
    /* supernodal: our own numeric factorization on CHOLMOD's analysis */
    int64_t *super_of;               /* [n] */
    double *x;                       /* [xsize] */
    double *factor_work;
    int64_t *factor_map;             /* [n + 3 nsuper] */
    int64_t nnz_L;
    int64_t widest;                  /* most rows of a supernode */
    /* selected inverse, made on first use */
    double *inverse;
    size_t inverse_size;
    double *inverse_work;
    int64_t *inverse_map;
};

static int status_of(const cholmod_common *common)
{
    switch (common->status) {
    case CHOLMOD_OK:
        return FLMM_OK;
    case CHOLMOD_NOT_POSDEF:
        return FLMM_M_NOT_POSITIVE;
    case CHOLMOD_OUT_OF_MEMORY:
        return FLMM_NO_MEMORY;
    case CHOLMOD_TOO_LARGE:
        return FLMM_TOO_LARGE;
    default:
        return FLMM_LIBRARY_FAILED;
    }
}

/* The given pattern as a CHOLMOD matrix that borrows the arrays. */
static cholmod_sparse borrow_pattern(int64_t n, const int64_t *colptr, const int64_t *rowind)
{
    cholmod_sparse a;
    memset(&a, 0, sizeof a);
    a.nrow = a.ncol = (size_t)n;
    a.nzmax = (size_t)colptr[n];
    a.p = (void *)(uintptr_t)colptr;
    a.i = (void *)(uintptr_t)rowind;
    a.stype = -1;
    a.itype = CHOLMOD_LONG;
    a.xtype = CHOLMOD_PATTERN;
    a.dtype = CHOLMOD_DOUBLE;
    a.sorted = 0;
    a.packed = 1;
    return a;
}

/* Permute the pattern into `matrix` (upper if stype > 0, else lower), rows sorted
 * by two counting passes, and record where each entry went. */
static int permute_pattern(flmm_chol *c, const int64_t *colptr, const int64_t *rowind, int stype)
{
    const int64_t n = c->n, nnz = colptr[n];
    cholmod_sparse *m = cholmod_l_allocate_sparse((size_t)n, (size_t)n, (size_t)nnz, 1, 1, stype,
                                                  CHOLMOD_REAL, &c->common);
    int64_t *next = calloc((size_t)n + 1, sizeof *next);
    int64_t *by_row = malloc(((size_t)nnz + 1) * sizeof *by_row);
    int64_t *col_of = malloc(((size_t)nnz + 1) * sizeof *col_of);
    if (!m || !next || !by_row || !col_of) {
        cholmod_l_free_sparse(&m, &c->common);
        free(next);
        free(by_row);
        free(col_of);
        return FLMM_NO_MEMORY;
    }
    int64_t *mp = m->p, *mi = m->i;

    /* row and column of every entry after the permutation; bucket by row */
    for (int64_t j = 0; j < n; j++) {
        for (int64_t e = colptr[j]; e < colptr[j + 1]; e++) {
            const int64_t a = c->position[rowind[e]], b = c->position[j];
            const int64_t low = a < b ? a : b, high = a < b ? b : a;
            c->slot[e] = stype > 0 ? low : high;      /* the row, for now */
            col_of[e] = stype > 0 ? high : low;
            next[c->slot[e] + 1]++;
        }
    }
    for (int64_t i = 0; i < n; i++) {
        next[i + 1] += next[i];
    }
    for (int64_t e = 0; e < nnz; e++) {
        by_row[next[c->slot[e]]++] = e;
    }
    /* then by column: rows arrive in increasing order */
    memset(mp, 0, ((size_t)n + 1) * sizeof *mp);
    for (int64_t e = 0; e < nnz; e++) {
        mp[col_of[e] + 1]++;
    }
    for (int64_t j = 0; j < n; j++) {
        mp[j + 1] += mp[j];
    }
    memcpy(next, mp, (size_t)n * sizeof *next);
    for (int64_t k = 0; k < nnz; k++) {
        const int64_t e = by_row[k];
        const int64_t place = next[col_of[e]]++;
        mi[place] = c->slot[e];
        c->slot[e] = place;
    }
    memset(m->x, 0, (size_t)nnz * sizeof(double));
    c->matrix = m;
    free(next);
    free(by_row);
    free(col_of);
    return FLMM_OK;
}

/* Facts about the supernodes that solves and inverse need. */
static int learn_supernodes(flmm_chol *c)
{
    const cholmod_factor *L = c->factor;
    const int64_t *super = L->super, *rowptr = L->pi;
    c->super_of = malloc(((size_t)c->n + 1) * sizeof *c->super_of);
    if (!c->super_of) {
        return FLMM_NO_MEMORY;
    }
    for (int64_t s = 0; s < (int64_t)L->nsuper; s++) {
        for (int64_t j = super[s]; j < super[s + 1]; j++) {
            c->super_of[j] = s;
        }
        const int64_t rows = rowptr[s + 1] - rowptr[s];
        if (rows > c->widest) {
            c->widest = rows;
        }
    }
    c->x = malloc((L->xsize + 1) * sizeof *c->x);
    c->factor_map = malloc(((size_t)c->n + 3 * L->nsuper + 1) * sizeof *c->factor_map);
    const flmm_chol_view v = flmm_chol_look(c);
    c->factor_work = malloc(((size_t)flmm_supernodal_work(&v) + 1) * sizeof *c->factor_work);
    return c->x && c->factor_map && c->factor_work ? FLMM_OK : FLMM_NO_MEMORY;
}

static int order_and_analyse(flmm_chol *c, const int64_t *colptr, const int64_t *rowind)
{
    cholmod_common *common = &c->common;
    common->print = 0;
    common->error_handler = NULL;
    common->final_ll = 1;
    common->final_asis = 0;
    common->final_super = 1;
    common->final_pack = 1;
    common->final_monotonic = 1;

    cholmod_sparse borrowed = borrow_pattern(c->n, colptr, rowind);
    cholmod_factor *symbolic = cholmod_l_analyze(&borrowed, common);
    if (!symbolic) {
        return status_of(common) == FLMM_OK ? FLMM_LIBRARY_FAILED : status_of(common);
    }
    const int supernodal = symbolic->is_super;
    const int64_t *perm = symbolic->Perm;
    for (int64_t k = 0; k < c->n; k++) {
        c->position[perm[k]] = k;
    }
    cholmod_l_free_factor(&symbolic, common);

    int status = permute_pattern(c, colptr, rowind, supernodal ? -1 : 1);
    if (status != FLMM_OK) {
        return status;
    }
    common->nmethods = 1;
    common->method[0].ordering = CHOLMOD_NATURAL;
    common->postorder = 0;
    common->supernodal = supernodal ? CHOLMOD_SUPERNODAL : CHOLMOD_SIMPLICIAL;
    c->factor = cholmod_l_analyze(c->matrix, common);
    if (!c->factor) {
        return status_of(common) == FLMM_OK ? FLMM_LIBRARY_FAILED : status_of(common);
    }
    const int64_t *counts = c->factor->ColCount;
    for (int64_t j = 0; j < c->n; j++) {
        c->nnz_L += counts[j];
    }
    return supernodal ? learn_supernodes(c) : FLMM_OK;
}

int flmm_chol_new(const flmm_blas *blas, int64_t n, const int64_t *colptr, const int64_t *rowind,
                  flmm_chol **out)
{
    *out = NULL;
    if (n < 1) {
        return FLMM_BAD_ARGUMENT;
    }
    flmm_chol *c = calloc(1, sizeof *c);
    if (!c) {
        return FLMM_NO_MEMORY;
    }
    cholmod_l_start(&c->common);
    c->blas = blas;
    c->n = n;
    c->position = malloc((size_t)n * sizeof *c->position);
    c->slot = malloc(((size_t)colptr[n] + 1) * sizeof *c->slot);
    int status = c->position && c->slot ? order_and_analyse(c, colptr, rowind) : FLMM_NO_MEMORY;
    if (status != FLMM_OK) {
        flmm_chol_free(c);
        return status;
    }
    *out = c;
    return FLMM_OK;
}

void flmm_chol_free(flmm_chol *c)
{
    if (!c) {
        return;
    }
    cholmod_l_free_factor(&c->factor, &c->common);
    cholmod_l_free_sparse(&c->matrix, &c->common);
    cholmod_l_finish(&c->common);
    free(c->position);
    free(c->slot);
    free(c->super_of);
    free(c->x);
    free(c->factor_work);
    free(c->factor_map);
    free(c->inverse);
    free(c->inverse_work);
    free(c->inverse_map);
    free(c);
}

const int64_t *flmm_chol_position(const flmm_chol *c)
{
    return c->position;
}

double *flmm_chol_values(flmm_chol *c)
{
    return c->matrix->x;
}

const int64_t *flmm_chol_slot(const flmm_chol *c)
{
    return c->slot;
}

int64_t flmm_chol_entries(const flmm_chol *c)
{
    return (int64_t)c->matrix->nzmax;
}

int flmm_chol_factorize(flmm_chol *c)
{
    if (c->super_of) {
        const flmm_chol_view v = flmm_chol_look(c);
        return flmm_supernodal_factorize(c->blas, &v, c->matrix->p, c->matrix->i, c->matrix->x, c->x,
                                         c->factor_work, c->factor_map);
    }
    c->common.status = CHOLMOD_OK;
    const int done = cholmod_l_factorize(c->matrix, c->factor, &c->common);
    if (!done || c->common.status < CHOLMOD_OK) {
        return status_of(&c->common) == FLMM_OK ? FLMM_LIBRARY_FAILED : status_of(&c->common);
    }
    return c->factor->minor < c->factor->n ? FLMM_M_NOT_POSITIVE : FLMM_OK;
}

flmm_chol_view flmm_chol_look(const flmm_chol *c)
{
    const cholmod_factor *L = c->factor;
    flmm_chol_view v;
    memset(&v, 0, sizeof v);
    v.n = c->n;
    v.supernodal = L->is_super;
    v.x = L->is_super ? c->x : L->x;
    if (L->is_super) {
        v.nsuper = (int64_t)L->nsuper;
        v.super = L->super;
        v.rowptr = L->pi;
        v.valptr = L->px;
        v.rows = L->s;
        v.super_of = c->super_of;
    } else {
        v.colptr = L->p;
        v.count = L->nz;
        v.rowind = L->i;
    }
    return v;
}

double flmm_chol_logdet(const flmm_chol *c)
{
    const flmm_chol_view v = flmm_chol_look(c);
    double sum = 0.0;
    if (v.supernodal) {
        for (int64_t s = 0; s < v.nsuper; s++) {
            const int64_t width = v.super[s + 1] - v.super[s];
            const int64_t height = v.rowptr[s + 1] - v.rowptr[s];
            for (int64_t j = 0; j < width; j++) {
                sum += log(v.x[v.valptr[s] + j * (height + 1)]);
            }
        }
    } else {
        for (int64_t j = 0; j < v.n; j++) {
            sum += log(v.x[v.colptr[j]]);
        }
    }
    return 2.0 * sum;
}

int64_t flmm_chol_work(const flmm_chol *c)
{
    return c->widest;
}

/* --- solves ----------------------------------------------------------------
 * B is n blocks of m numbers: as a column-major matrix it is m x n, so one step
 * with supernode columns J and rows R below it reads
 *   B_J := B_J L_JJ^-T,   B_R := B_R - B_J L_RJ'        (forward)
 *   B_J := (B_J - B_R L_RJ) L_JJ^-1                     (backward)            */

void flmm_chol_solve_L(const flmm_chol *c, int32_t m, double *B, double *work)
{
    const flmm_chol_view v = flmm_chol_look(c);
    if (m == 0) {
        return;
    }
    if (!v.supernodal) {
        for (int64_t j = 0; j < v.n; j++) {
            const double *x = v.x + v.colptr[j];
            const int64_t *row = v.rowind + v.colptr[j];
            double *Bj = B + j * m;
            for (int32_t r = 0; r < m; r++) {
                Bj[r] /= x[0];
            }
            for (int64_t k = 1; k < v.count[j]; k++) {
                double *Bi = B + row[k] * m;
                const double l = x[k];
                for (int32_t r = 0; r < m; r++) {
                    Bi[r] -= l * Bj[r];
                }
            }
        }
        return;
    }
    char right = 'R', lower = 'L', transposed = 'T', plain = 'N', nonunit = 'N';
    double one = 1.0, zero = 0.0;
    int columns = m;
    for (int64_t s = 0; s < v.nsuper; s++) {
        int width = (int)(v.super[s + 1] - v.super[s]);
        int height = (int)(v.rowptr[s + 1] - v.rowptr[s]);
        int below = height - width;
        double *L = (double *)(uintptr_t)(v.x + v.valptr[s]);
        double *BJ = B + v.super[s] * m;
        c->blas->dtrsm(&right, &lower, &transposed, &nonunit, &columns, &width, &one, L, &height, BJ,
                       &columns);
        if (below > 0) {
            c->blas->dgemm(&plain, &transposed, &columns, &below, &width, &one, BJ, &columns,
                           L + width, &height, &zero, work, &columns);
            const int64_t *row = v.rows + v.rowptr[s] + width;
            for (int32_t k = 0; k < below; k++) {
                double *Bi = B + row[k] * m;
                for (int32_t r = 0; r < m; r++) {
                    Bi[r] -= work[(ptrdiff_t)k * m + r];
                }
            }
        }
    }
}

void flmm_chol_solve_Lt(const flmm_chol *c, int32_t m, double *B, double *work)
{
    const flmm_chol_view v = flmm_chol_look(c);
    if (m == 0) {
        return;
    }
    if (!v.supernodal) {
        for (int64_t j = v.n - 1; j >= 0; j--) {
            const double *x = v.x + v.colptr[j];
            const int64_t *row = v.rowind + v.colptr[j];
            double *Bj = B + j * m;
            for (int64_t k = 1; k < v.count[j]; k++) {
                const double *Bi = B + row[k] * m;
                const double l = x[k];
                for (int32_t r = 0; r < m; r++) {
                    Bj[r] -= l * Bi[r];
                }
            }
            for (int32_t r = 0; r < m; r++) {
                Bj[r] /= x[0];
            }
        }
        return;
    }
    char right = 'R', lower = 'L', plain = 'N', nonunit = 'N';
    double one = 1.0, minus = -1.0;
    int columns = m;
    for (int64_t s = v.nsuper - 1; s >= 0; s--) {
        int width = (int)(v.super[s + 1] - v.super[s]);
        int height = (int)(v.rowptr[s + 1] - v.rowptr[s]);
        int below = height - width;
        double *L = (double *)(uintptr_t)(v.x + v.valptr[s]);
        double *BJ = B + v.super[s] * m;
        if (below > 0) {
            const int64_t *row = v.rows + v.rowptr[s] + width;
            for (int32_t k = 0; k < below; k++) {
                memcpy(work + (ptrdiff_t)k * m, B + row[k] * m, (size_t)m * sizeof *B);
            }
            c->blas->dgemm(&plain, &plain, &columns, &width, &below, &minus, work, &columns, L + width,
                           &height, &one, BJ, &columns);
        }
        c->blas->dtrsm(&right, &lower, &plain, &nonunit, &columns, &width, &one, L, &height, BJ,
                       &columns);
    }
}

/* --- selected inverse ------------------------------------------------------ */

int flmm_chol_inverse(flmm_chol *c)
{
    const flmm_chol_view v = flmm_chol_look(c);
    const cholmod_factor *L = c->factor;
    const size_t size = L->is_super ? L->xsize : L->nzmax;
    if (c->inverse_size < size) {
        free(c->inverse);
        c->inverse = malloc(size * sizeof *c->inverse);
        c->inverse_size = c->inverse ? size : 0;
    }
    if (!c->inverse_work) {
        c->inverse_work = malloc(((size_t)flmm_takahashi_work(&v) + 1) * sizeof(double));
    }
    if (!c->inverse_map) {
        c->inverse_map = malloc((size_t)c->n * sizeof(int64_t));
    }
    if (!c->inverse || !c->inverse_work || !c->inverse_map) {
        return FLMM_NO_MEMORY;
    }
    flmm_takahashi(c->blas, &v, c->inverse, c->inverse_work, c->inverse_map);
    return FLMM_OK;
}

/* Index of `wanted` in the increasing array row[0 .. count-1], where it must be. */
static int64_t find_row(const int64_t *row, int64_t count, int64_t wanted)
{
    int64_t low = 0, high = count - 1;
    while (low < high) {
        const int64_t middle = low + (high - low) / 2;
        if (row[middle] < wanted) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

const double *flmm_chol_inverse_values(const flmm_chol *c)
{
    return c->inverse;
}

int64_t flmm_chol_inverse_place(const flmm_chol *c, int64_t i, int64_t j)
{
    const flmm_chol_view v = flmm_chol_look(c);
    const int64_t row = i > j ? i : j, col = i > j ? j : i;
    if (v.supernodal) {
        const int64_t s = v.super_of[col];
        const int64_t height = v.rowptr[s + 1] - v.rowptr[s];
        const int64_t k = find_row(v.rows + v.rowptr[s], height, row);
        return v.valptr[s] + (col - v.super[s]) * height + k;
    }
    return v.colptr[col] + find_row(v.rowind + v.colptr[col], v.count[col], row);
}

void flmm_chol_describe(const flmm_chol *c, int64_t *nnz_L, int *supernodal)
{
    *nnz_L = c->nnz_L;
    *supernodal = c->super_of != NULL;
}

int64_t flmm_chol_factor(const flmm_chol *c, int64_t shift, int64_t at, int64_t *colptr, int64_t *rowind,
                         double *x)
{
    const flmm_chol_view v = flmm_chol_look(c);
    for (int64_t j = 0; j < v.n; j++) {
        const int64_t s = v.supernodal ? v.super_of[j] : 0;
        const int64_t inside = v.supernodal ? j - v.super[s] : 0;
        const int64_t height = v.supernodal ? v.rowptr[s + 1] - v.rowptr[s] : v.count[j];
        const int64_t *row = v.supernodal ? v.rows + v.rowptr[s] : v.rowind + v.colptr[j];
        const double *value = v.supernodal ? v.x + v.valptr[s] + inside * height : v.x + v.colptr[j];
        if (colptr) {
            colptr[j] = at;
            for (int64_t k = inside; k < height; k++) {
                rowind[at + k - inside] = shift + row[k];
                x[at + k - inside] = value[k];
            }
        }
        at += height - inside;
    }
    return at;
}
