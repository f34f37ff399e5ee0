/* core.h: the reduced matrix that is left after the biggest factor is eliminated.
 *
 * A symmetric positive definite matrix of nodes (levels of the remaining factors,
 * each a few unknowns wide), stored either dense (LAPACK) or sparse (chol.h), by
 * its pattern.  Entries are addressed by places that never change.
 */
#ifndef FLMM_CORE_H
#define FLMM_CORE_H

#include "chol.h"

typedef struct flmm_core flmm_core;

/* Which unknowns of the core are neighbours: lower triangle by columns, rows
 * increasing, diagonal present.  colptr == NULL asks for a dense core. */
int flmm_core_new(const flmm_blas *blas, int64_t n, const int64_t *colptr, const int64_t *rowind,
                  flmm_core **out);
void flmm_core_free(flmm_core *core);

int flmm_core_is_dense(const flmm_core *core);

/* Place of unknown i of the core in its own order. */
int64_t flmm_core_position(const flmm_core *core, int64_t i);

/* Place of entry (i, j) in the values, i and j in the order of `colptr`. */
int64_t flmm_core_place(const flmm_core *core, int64_t i, int64_t j);

/* Column j of the lower triangle, from the diagonal on: how many entries, their rows and
 * places.  A dense core has none to give: rows j, j+1, ... at j n + j, j n + j + 1, ... */
int64_t flmm_core_column(const flmm_core *core, int64_t j, const int64_t **row, const int64_t **place);

/* Two matrices have these places: the values, which are factored, and a base from which
 * they are made, which is not touched until the inverse takes its place. */
double *flmm_core_values(flmm_core *core);
double *flmm_core_base(flmm_core *core);
void flmm_core_clear(const flmm_core *core, double *values);
/* How many numbers such an array has. */
int64_t flmm_core_entries(const flmm_core *core);

int flmm_core_factorize(flmm_core *core);
double flmm_core_logdet(const flmm_core *core);
void flmm_core_solve_L(const flmm_core *core, int32_t m, double *B, double *work);
void flmm_core_solve_Lt(const flmm_core *core, int32_t m, double *B, double *work);
int64_t flmm_core_work(const flmm_core *core);

/* Y := base X, m columns side by side, rows in the order of `colptr`. */
void flmm_core_multiply_base(const flmm_core *core, int32_t m, const double *X, double *Y);

/* S^-1 where S has entries, at the same places, in the place of the base. */
int flmm_core_inverse(flmm_core *core);
const double *flmm_core_inverse_values(const flmm_core *core);

void flmm_core_describe(const flmm_core *core, int64_t *nnz_L, int *supernodal);
/* L_S by columns, appended at entry `at` with rows and columns shifted; returns the end. */
int64_t flmm_core_factor(const flmm_core *core, int64_t shift, int64_t at, int64_t *colptr, int64_t *rowind,
                         double *x);

#endif
