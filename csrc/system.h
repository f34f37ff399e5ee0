/* system.h: the random-effects system M = Lambda'A Lambda + I, factored.
 *
 * Two routes behind one face.  `block` eliminates the factor with most levels in
 * closed form, level by level, and factors what is left; `cholmod` gives all of M
 * to the sparse Cholesky.  The second is the check and the fallback of the first.
 *
 * Unknowns have a caller's order (factor by factor, level by level, column
 * fastest) and the system's own; `position` maps the first to the second.
 */
#ifndef FLMM_SYSTEM_H
#define FLMM_SYSTEM_H

#include "chol.h"

/* Where each factor begins among the unknowns and among the templates. */
typedef struct {
    const flmm_crossproducts *x;
    int64_t q;
    const int64_t *offset;           /* [nf+1] first unknown of each factor */
    const int64_t *square;           /* [nf+1] first number of each template */
    int32_t most_columns;            /* largest nc */
    int32_t threads;                 /* at most so many in loops over levels */
} flmm_layout;

/* --- block.c ---------------------------------------------------------------- */

typedef struct flmm_block flmm_block;

int flmm_block_new(const flmm_blas *blas, const flmm_layout *layout, flmm_block **out);
void flmm_block_free(flmm_block *s);
const int64_t *flmm_block_position(const flmm_block *s);
int flmm_block_factorize(flmm_block *s, const double *Lambda);
double flmm_block_logdet(const flmm_block *s);
void flmm_block_solve_L(const flmm_block *s, int32_t m, double *B, double *work);
void flmm_block_solve_Lt(const flmm_block *s, int32_t m, double *B, double *work);
int64_t flmm_block_work(const flmm_block *s);
int flmm_block_inverse(flmm_block *s);
void flmm_block_inverse_at(const flmm_block *s, int32_t factor, int64_t level, double *out);
void flmm_block_describe(const flmm_block *s, int64_t *nnz_L, int *dense_core);
/* L by columns, rows increasing; colptr == NULL counts only. */
int64_t flmm_block_factor(const flmm_block *s, int64_t *colptr, int64_t *rowind, double *x);

/* --- whole.c ---------------------------------------------------------------- */

typedef struct flmm_whole flmm_whole;

int flmm_whole_new(const flmm_blas *blas, const flmm_layout *layout, flmm_whole **out);
void flmm_whole_free(flmm_whole *s);
const int64_t *flmm_whole_position(const flmm_whole *s);
int flmm_whole_factorize(flmm_whole *s, const double *Lambda);
double flmm_whole_logdet(const flmm_whole *s);
void flmm_whole_solve_L(const flmm_whole *s, int32_t m, double *B, double *work);
void flmm_whole_solve_Lt(const flmm_whole *s, int32_t m, double *B, double *work);
int64_t flmm_whole_work(const flmm_whole *s);
int flmm_whole_inverse(flmm_whole *s);
void flmm_whole_inverse_at(const flmm_whole *s, int32_t factor, int64_t level, double *out);
void flmm_whole_describe(const flmm_whole *s, int64_t *nnz_L, int *supernodal);
int64_t flmm_whole_factor(const flmm_whole *s, int64_t *colptr, int64_t *rowind, double *x);

/* --- system.c ---------------------------------------------------------------- */

typedef struct {
    flmm_block *block;               /* exactly one of the two is there */
    flmm_whole *whole;
} flmm_system;

int flmm_system_new(const flmm_blas *blas, const flmm_layout *layout, int route, flmm_system *out);
void flmm_system_free(flmm_system *s);
const int64_t *flmm_system_position(const flmm_system *s);
int flmm_system_factorize(flmm_system *s, const double *Lambda);
double flmm_system_logdet(const flmm_system *s);
/* B := L^-1 B or L'^-1 B, m columns side by side; work: flmm_system_work * m. */
void flmm_system_solve_L(const flmm_system *s, int32_t m, double *B, double *work);
void flmm_system_solve_Lt(const flmm_system *s, int32_t m, double *B, double *work);
int64_t flmm_system_work(const flmm_system *s);
/* Prepare the diagonal blocks of M^-1, then read them one by one, nc x nc row-major. */
int flmm_system_inverse(flmm_system *s);
void flmm_system_inverse_at(const flmm_system *s, int32_t factor, int64_t level, double *out);
void flmm_system_describe(const flmm_system *s, int64_t *nnz_L, int *kind);
int64_t flmm_system_factor(const flmm_system *s, int64_t *colptr, int64_t *rowind, double *x);

/* --- small.c: little dense blocks, row-major ---------------------------------- */

/* out (ca x cb) = F' B G,  F ca x ca, B ca x cb, G cb x cb; t [ca cb] is workspace. */
void flmm_sandwich(int32_t ca, int32_t cb, const double *F, const double *B, const double *G, double *t,
                   double *out);
/* In place lower Cholesky factor of a c x c block; 0 when it is not positive definite. */
int flmm_small_cholesky(int32_t c, double *A);

static inline ptrdiff_t flmm_pair(int32_t f, int32_t g)
{
    return (ptrdiff_t)g * (g - 1) / 2 + f;
}

#endif
