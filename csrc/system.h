/* system.h: the random-effects system M = Lambda'A Lambda + I, factored.
 *
 * Two routes behind one face.  `block` eliminates the factor with most levels in
 * closed form, level by level, and factors what is left; `cholmod` gives all of M
 * to the sparse Cholesky.  The second is the check and the fallback of the first.
 *
 * Unknowns have a caller's order (factor by factor, level by level, column fastest);
 * that of L is the system's own affair.
 */
#ifndef FLMM_SYSTEM_H
#define FLMM_SYSTEM_H

#include "chol.h"
#include "small.h"

/* Where each factor begins among the unknowns and among the templates. */
typedef struct {
    const flmm_crossproducts *x;
    int64_t q;
    const int64_t *offset;           /* [nf+1] first unknown of each factor */
    const int64_t *square;           /* [nf+1] first number of each template */
    const double *Lambda;            /* [sum nc^2] templates of the last evaluation */
    int32_t most_columns;            /* largest nc */
    int32_t threads;                 /* at most so many in loops over levels */
    int64_t process;                 /* that made the model; see flmm_team */
} flmm_layout;

/* What an evaluation wants to know beside the value. */
typedef struct {
    int what, reml;                  /* see flmm_lmm_evaluate */
    const double *y;                 /* [p+1]  (-beta, 1): R y = Z'W(y - X beta) */
    const double *RX;                /* [p p] upper, column-major */
    int32_t nd;
    const int32_t *factor_of;        /* [nd] */
    const double *D;                 /* directions d_i = D_i e on the levels of factor_of[i] */
    double *trace;                   /* [sum nc^2]  sum over levels of I - [C^-1]_ll */
    double *score;                   /* [sum nc^2]  sum over levels of e_l e_l' */
    double *q;                       /* [nd nd]  d_i'A d_j - c_i'c_j,  c_i = L^-1 Lambda'A d_i */
    double *h;                       /* [nd p]   X'WZ d_i - RZX'c_i */
} flmm_derivatives;

/* --- system.c ---------------------------------------------------------------- */

typedef struct flmm_block flmm_block;
typedef struct flmm_whole flmm_whole;

typedef struct {
    flmm_block *block;               /* exactly one of the two is there */
    flmm_whole *whole;
} flmm_system;

int flmm_system_new(const flmm_blas *blas, const flmm_layout *layout, int route, flmm_system *out);
void flmm_system_free(flmm_system *s);

/* Factor M at the layout's Lambda; logdet := 2 log|L|, gram [(p+1)^2] := U'U (column-major
 * upper) of U = L^-1 Lambda'Z'W[X y]. */
int flmm_system_factorize(flmm_system *s, double *logdet, double *gram);

/* The rest belongs to the last factorization.
 *
 * With [C^-1]_uu = M^-1 + V V', V = L'^-1 RZX RX^-1 when reml, M^-1 alone when not. */
int flmm_system_differentiate(flmm_system *s, const flmm_derivatives *d);
/* u = M^-1 Lambda'Z'W[X y] y and b = Lambda u [q], the caller's order; NULL where not wanted. */
int flmm_system_modes(flmm_system *s, const double *y, double *u, double *b);
/* B = Lambda M^-1 Lambda'R and U = L^-1 Lambda'R; R, B [nf] -> [nl nc m], U [q m] in the
 * caller's order of unknowns. */
int flmm_system_solve(flmm_system *s, int32_t m, const double *const *R, double *const *B);
int flmm_system_half_solve(flmm_system *s, int32_t m, const double *const *R, double *U);
/* Diagonal blocks of M^-1 [sum nl nc^2], row-major. */
int flmm_system_inverse_blocks(flmm_system *s, double *blocks);
void flmm_system_describe(const flmm_system *s, int64_t *nnz_L, int *kind);
/* L by columns, rows increasing, and the unknown of each row; colptr == NULL counts only. */
int64_t flmm_system_factor(const flmm_system *s, int64_t *colptr, int64_t *rowind, double *x, int64_t *perm);

/* --- block.c and whole.c: the same, each in its way ------------------------------- */

int flmm_block_new(const flmm_blas *blas, const flmm_layout *layout, flmm_block **out);
void flmm_block_free(flmm_block *s);
int flmm_block_factorize(flmm_block *s, double *logdet, double *gram);
int flmm_block_differentiate(flmm_block *s, const flmm_derivatives *d);
int flmm_block_modes(flmm_block *s, const double *y, double *u, double *b);
int flmm_block_solve(flmm_block *s, int32_t m, const double *const *R, double *const *B);
int flmm_block_half_solve(flmm_block *s, int32_t m, const double *const *R, double *U);
int flmm_block_inverse_blocks(flmm_block *s, double *blocks);
void flmm_block_describe(const flmm_block *s, int64_t *nnz_L, int *kind);
int64_t flmm_block_factor(const flmm_block *s, int64_t *colptr, int64_t *rowind, double *x, int64_t *perm);

int flmm_whole_new(const flmm_blas *blas, const flmm_layout *layout, flmm_whole **out);
void flmm_whole_free(flmm_whole *s);
int flmm_whole_factorize(flmm_whole *s, double *logdet, double *gram);
int flmm_whole_differentiate(flmm_whole *s, const flmm_derivatives *d);
int flmm_whole_modes(flmm_whole *s, const double *y, double *u, double *b);
int flmm_whole_solve(flmm_whole *s, int32_t m, const double *const *R, double *const *B);
int flmm_whole_half_solve(flmm_whole *s, int32_t m, const double *const *R, double *U);
int flmm_whole_inverse_blocks(flmm_whole *s, double *blocks);
void flmm_whole_describe(const flmm_whole *s, int64_t *nnz_L, int *kind);
int64_t flmm_whole_factor(const flmm_whole *s, int64_t *colptr, int64_t *rowind, double *x, int64_t *perm);

/* --- products.c ---------------------------------------------------------------- */

/* gram (m x m, column-major upper) += U'U over q rows of m numbers. */
void flmm_gram_add(const flmm_blas *blas, int64_t q, int32_t m, const double *U, double *gram);

/* Threads for a loop: one in a process forked from the model's own, where the threads of
 * the OpenMP pool no longer exist and waiting for them would never end. */
int flmm_team(const flmm_layout *at);
int64_t flmm_this_process(void);

/* out = A v, [q] in the caller's order; v is zero outside `factor` (or not, when factor < 0). */
void flmm_multiply_A(const flmm_layout *at, int32_t factor, const double *v, double *out);

static inline ptrdiff_t flmm_pair(int32_t f, int32_t g)
{
    return (ptrdiff_t)g * (g - 1) / 2 + f;
}

#endif
