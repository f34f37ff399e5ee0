/* system.c: one face for the two ways to factor M. */
#include "system.h"

#include <string.h>

int flmm_system_new(const flmm_blas *blas, const flmm_layout *layout, int route, flmm_system *out)
{
    memset(out, 0, sizeof *out);
    return route == FLMM_WHOLE ? flmm_whole_new(blas, layout, &out->whole)
                               : flmm_block_new(blas, layout, &out->block);
}

void flmm_system_free(flmm_system *s)
{
    flmm_block_free(s->block);
    flmm_whole_free(s->whole);
}

int flmm_system_factorize(flmm_system *s, double *logdet, double *gram)
{
    return s->block ? flmm_block_factorize(s->block, logdet, gram) : flmm_whole_factorize(s->whole, logdet, gram);
}

int flmm_system_differentiate(flmm_system *s, const flmm_derivatives *d)
{
    return s->block ? flmm_block_differentiate(s->block, d) : flmm_whole_differentiate(s->whole, d);
}

int flmm_system_modes(flmm_system *s, const double *y, double *u, double *b)
{
    return s->block ? flmm_block_modes(s->block, y, u, b) : flmm_whole_modes(s->whole, y, u, b);
}

int flmm_system_solve(flmm_system *s, int32_t m, const double *const *R, double *const *B)
{
    return s->block ? flmm_block_solve(s->block, m, R, B) : flmm_whole_solve(s->whole, m, R, B);
}

int flmm_system_half_solve(flmm_system *s, int32_t m, const double *const *R, double *U)
{
    return s->block ? flmm_block_half_solve(s->block, m, R, U) : flmm_whole_half_solve(s->whole, m, R, U);
}

int flmm_system_inverse_blocks(flmm_system *s, double *blocks)
{
    return s->block ? flmm_block_inverse_blocks(s->block, blocks) : flmm_whole_inverse_blocks(s->whole, blocks);
}

void flmm_system_describe(const flmm_system *s, int64_t *nnz_L, int *kind)
{
    if (s->block) {
        flmm_block_describe(s->block, nnz_L, kind);
    } else {
        flmm_whole_describe(s->whole, nnz_L, kind);
    }
}

int64_t flmm_system_factor(const flmm_system *s, int64_t *colptr, int64_t *rowind, double *x, int64_t *perm)
{
    return s->block ? flmm_block_factor(s->block, colptr, rowind, x, perm)
                    : flmm_whole_factor(s->whole, colptr, rowind, x, perm);
}
