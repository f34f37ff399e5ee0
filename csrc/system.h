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
#include "small.h"

/* Where each factor begins among the unknowns and among the templates. */
typedef struct {
    const flmm_crossproducts *x;
    int64_t q;
    const int64_t *offset;           /* [nf+1] first unknown of each factor */
    const int64_t *square;           /* [nf+1] first number of each template */
    int32_t most_columns;            /* largest nc */
    int32_t threads;                 /* at most so many in loops over levels */
    int64_t process;                 /* that made the model; see flmm_team */
} flmm_layout;

/* --- block.c ---------------------------------------------------------------- */

typedef struct flmm_block flmm_block;

int flmm_block_new(const flmm_blas *blas, const flmm_layout *layout, flmm_block **out);
void flmm_block_free(flmm_block *s);
const int64_t *flmm_block_position(const flmm_block *s);
int flmm_block_factorize(flmm_block *s, const double *Lambda);
double flmm_block_logdet(const flmm_block *s);
void flmm_block_solve_Lt(const flmm_block *s, int32_t m, double *B, double *work);
int flmm_block_right_hand_sides(flmm_block *s, const double *Lambda, int32_t m, const double *const *R,
                                double *U, double *gram, double *work);
int flmm_block_traces(flmm_block *s, int reml, int32_t p, const double *U, const double *RX,
                        double *work, double *trace);
int flmm_block_information(flmm_block *s, const double *Lambda, int32_t p, const double *const *R,
                             const double *U, const double *e, int32_t nd, const int32_t *factor_of,
                             const double *D, double *work, double *q, double *h);
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
void flmm_whole_solve_Lt(const flmm_whole *s, int32_t m, double *B, double *work);
int flmm_whole_right_hand_sides(flmm_whole *s, const double *Lambda, int32_t m, const double *const *R,
                                double *U, double *gram, double *work);
int flmm_whole_traces(flmm_whole *s, int reml, int32_t p, const double *U, const double *RX,
                        double *work, double *trace);
int flmm_whole_information(flmm_whole *s, const double *Lambda, int32_t p, const double *const *R,
                             const double *U, const double *e, int32_t nd, const int32_t *factor_of,
                             const double *D, double *work, double *q, double *h);
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
/* B := L'^-1 B, m columns side by side; work: flmm_system_work * m. */
void flmm_system_solve_Lt(const flmm_system *s, int32_t m, double *B, double *work);
/* U := L^-1 Lambda' R and gram := U'U (m x m, column-major upper); R [nf] -> [nl nc m],
 * U [q m] in the system's order. */
int flmm_system_right_hand_sides(flmm_system *s, const double *Lambda, int32_t m, const double *const *R,
                                 double *U, double *gram, double *work);
/* trace[f] = sum over the levels of factor f of I - [C^-1]_ll, (nc x nc) in full, where
 * [C^-1]_uu = M^-1 + V V' with V = L'^-1 RZX RX^-1 when reml, M^-1 alone when not.
 *
 * U [q (p+1)]  RZX beside cu, system's order      RX [p p]  upper, column-major
 */
int flmm_system_traces(flmm_system *s, int reml, int32_t p, const double *U, const double *RX,
                       double *work, double *trace);
/* For the directions d_i = D_i e on the levels of factor_of[i]:
 *
 *   q [nd nd]  d_i'A d_j - c_i'c_j,  c_i = L^-1 Lambda' A d_i
 *   h [nd p]   X'WZ d_i - RZX'c_i
 */
int flmm_system_information(flmm_system *s, const double *Lambda, int32_t p, const double *const *R,
                            const double *U, const double *e, int32_t nd, const int32_t *factor_of,
                            const double *D, double *work, double *q, double *h);
int64_t flmm_system_work(const flmm_system *s);
/* Prepare the diagonal blocks of M^-1, then read them one by one, nc x nc row-major. */
int flmm_system_inverse(flmm_system *s);
void flmm_system_inverse_at(const flmm_system *s, int32_t factor, int64_t level, double *out);
void flmm_system_describe(const flmm_system *s, int64_t *nnz_L, int *kind);
int64_t flmm_system_factor(const flmm_system *s, int64_t *colptr, int64_t *rowind, double *x);

/* --- products.c ---------------------------------------------------------------- */

/* gram (m x m, column-major upper) = U'U over q rows of m numbers. */
void flmm_gram(const flmm_blas *blas, int64_t q, int32_t m, const double *U, double *gram);

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
