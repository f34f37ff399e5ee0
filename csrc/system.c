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

const int64_t *flmm_system_position(const flmm_system *s)
{
    return s->block ? flmm_block_position(s->block) : flmm_whole_position(s->whole);
}

int flmm_system_factorize(flmm_system *s, const double *Lambda)
{
    return s->block ? flmm_block_factorize(s->block, Lambda) : flmm_whole_factorize(s->whole, Lambda);
}

double flmm_system_logdet(const flmm_system *s)
{
    return s->block ? flmm_block_logdet(s->block) : flmm_whole_logdet(s->whole);
}

void flmm_system_solve_Lt(const flmm_system *s, int32_t m, double *B, double *work)
{
    if (s->block) {
        flmm_block_solve_Lt(s->block, m, B, work);
    } else {
        flmm_whole_solve_Lt(s->whole, m, B, work);
    }
}

int flmm_system_right_hand_sides(flmm_system *s, const double *Lambda, int32_t m, const double *const *R,
                                 double *U, double *gram, double *work)
{
    return s->block ? flmm_block_right_hand_sides(s->block, Lambda, m, R, U, gram, work)
                    : flmm_whole_right_hand_sides(s->whole, Lambda, m, R, U, gram, work);
}

int flmm_system_traces(flmm_system *s, int reml, int32_t p, const double *U, const double *RX,
                       double *work, double *trace)
{
    return s->block ? flmm_block_traces(s->block, reml, p, U, RX, work, trace)
                    : flmm_whole_traces(s->whole, reml, p, U, RX, work, trace);
}

int flmm_system_information(flmm_system *s, const double *Lambda, int32_t p, const double *const *R,
                            const double *U, const double *e, int32_t nd, const int32_t *factor_of,
                            const double *D, double *work, double *q, double *h)
{
    return s->block
               ? flmm_block_information(s->block, Lambda, p, R, U, e, nd, factor_of, D, work, q, h)
               : flmm_whole_information(s->whole, Lambda, p, R, U, e, nd, factor_of, D, work, q, h);
}

int64_t flmm_system_work(const flmm_system *s)
{
    return s->block ? flmm_block_work(s->block) : flmm_whole_work(s->whole);
}

int flmm_system_inverse(flmm_system *s)
{
    return s->block ? flmm_block_inverse(s->block) : flmm_whole_inverse(s->whole);
}

void flmm_system_inverse_at(const flmm_system *s, int32_t factor, int64_t level, double *out)
{
    if (s->block) {
        flmm_block_inverse_at(s->block, factor, level, out);
    } else {
        flmm_whole_inverse_at(s->whole, factor, level, out);
    }
}

void flmm_system_describe(const flmm_system *s, int64_t *nnz_L, int *kind)
{
    if (s->block) {
        flmm_block_describe(s->block, nnz_L, kind);
    } else {
        flmm_whole_describe(s->whole, nnz_L, kind);
    }
}

int64_t flmm_system_factor(const flmm_system *s, int64_t *colptr, int64_t *rowind, double *x)
{
    return s->block ? flmm_block_factor(s->block, colptr, rowind, x)
                    : flmm_whole_factor(s->whole, colptr, rowind, x);
}
