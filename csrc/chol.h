/* chol.h: a sparse Cholesky factor M = P'LL'P whose pattern never changes.
 *
 * The ordering is applied to the pattern once, when the object is made; from
 * then on every vector and every matrix entry is in the new order, and nothing
 * is permuted again.  chol.c is the only file that knows CHOLMOD;
 * chol_inverse.c the only one that knows Takahashi's recursion.
 *
 * A block of right-hand sides is stored with the columns of one unknown side by
 * side: B[i * m + r], i the unknown in factor order, r = 0 .. m-1.
 */
#ifndef FLMM_CHOL_H
#define FLMM_CHOL_H

#include "flmm.h"

typedef struct flmm_chol flmm_chol;

/* The factor as plain arrays, in CHOLMOD's two layouts. */
typedef struct {
    int64_t n;
    int supernodal;
    const double *x;
    /* simplicial: column j is x[colptr[j] .. colptr[j] + count[j]-1], rows sorted */
    const int64_t *colptr, *count, *rowind;
    /* supernodal: columns super[s] .. super[s+1]-1, rows rows[rowptr[s] ..], block
     * column-major at x[valptr[s]] */
    int64_t nsuper;
    const int64_t *super, *rowptr, *valptr, *rows;
    const int64_t *super_of;         /* [n] supernode of each column */
} flmm_chol_view;

/* Order and analyse the symmetric matrix whose lower triangle has the pattern
 * (colptr [n+1], rowind); the diagonal must be present.  The arrays are copied. */
int flmm_chol_new(const flmm_blas *blas, int64_t n, const int64_t *colptr, const int64_t *rowind,
                  flmm_chol **out);
void flmm_chol_free(flmm_chol *c);

/* position[i]: place of unknown i in factor order, [n]. */
const int64_t *flmm_chol_position(const flmm_chol *c);

/* Values of the matrix to fill: entry e of the pattern goes to values[slot[e]]. */
double *flmm_chol_values(flmm_chol *c);
const int64_t *flmm_chol_slot(const flmm_chol *c);
int64_t flmm_chol_entries(const flmm_chol *c);

/* Factorize the values.  FLMM_M_NOT_POSITIVE when it breaks down. */
int flmm_chol_factorize(flmm_chol *c);

/* 2 log|L| of the last factorization. */
double flmm_chol_logdet(const flmm_chol *c);

/* B := L^-1 B  or  B := L'^-1 B, m columns.  work of flmm_chol_work(c) * m doubles. */
void flmm_chol_solve_L(const flmm_chol *c, int32_t m, double *B, double *work);
void flmm_chol_solve_Lt(const flmm_chol *c, int32_t m, double *B, double *work);

/* Doubles of workspace that the solves need per column. */
int64_t flmm_chol_work(const flmm_chol *c);

/* Entries of M^-1 on the pattern of L, kept until the next call. */
int flmm_chol_inverse(flmm_chol *c);

/* Its values, and where entry (i, j) stands, i and j in factor order; the entry must
 * lie on the pattern of L.  A simplicial factor has places after its first
 * factorization only. */
const double *flmm_chol_inverse_values(const flmm_chol *c);
int64_t flmm_chol_inverse_place(const flmm_chol *c, int64_t i, int64_t j);

void flmm_chol_describe(const flmm_chol *c, int64_t *nnz_L, int *supernodal);
/* L by columns, rows increasing, appended at entry `at` with rows and columns shifted by
 * `shift`; colptr == NULL only counts.  Returns the end. */
int64_t flmm_chol_factor(const flmm_chol *c, int64_t shift, int64_t at, int64_t *colptr, int64_t *rowind,
                         double *x);
flmm_chol_view flmm_chol_look(const flmm_chol *c);

/* Used by chol.c: numeric factorization into x, laid out as the view says.  The matrix is
 * lower triangular by columns; work: flmm_supernodal_work(v) doubles, map: n + 3 nsuper. */
int64_t flmm_supernodal_work(const flmm_chol_view *v);
int flmm_supernodal_factorize(const flmm_blas *blas, const flmm_chol_view *v, const int64_t *colptr,
                              const int64_t *rowind, const double *values, double *x, double *work,
                              int64_t *map);

/* Used by chol.c: fill z, laid out as v->x, with the inverse on L's pattern.
 * work: flmm_takahashi_work(v) doubles and n int64 of map. */
int64_t flmm_takahashi_work(const flmm_chol_view *v);
void flmm_takahashi(const flmm_blas *blas, const flmm_chol_view *v, double *z, double *work,
                    int64_t *map);

#endif
