/* block.h: inside of the block route, shared by block.c and block_derivatives.c. */
#ifndef FLMM_BLOCK_H
#define FLMM_BLOCK_H

#include "core.h"
#include "system.h"

/* Levels per chunk of work: fixed, so that sums do not depend on the number of threads. */
#define FLMM_LEVELS 4096

struct flmm_block {
    const flmm_blas *blas;
    flmm_layout at;
    flmm_core *core;
    int32_t c;                       /* columns of the eliminated factor */
    int64_t nl, n1, n2;              /* its levels, its unknowns, the core's */
    int64_t *position;               /* [q] */
    int64_t *start;                  /* [nl+1] first column of W_i */
    int32_t *unknown;                /* [columns] core unknown of each column, increasing within a level */
    double *LD;                      /* [nl c^2] row-major lower factors */
    double *W;                       /* [columns c] column by column */
    int64_t *place;                  /* sparse core: places of W_i'W_i, rows t, t' <= t */
    int64_t *first_place;            /* [nl] where each level's places begin */
    int64_t *inverse_place;          /* the same in the inverse; made on first use */
    int64_t *base_place;             /* places of M_22 in the order flmm_block_fill_base visits it */
    int32_t *share;                  /* [threads+1] core unknowns by thread, equal work */
    double *small;                   /* [threads 2 most_columns^2] */
    double *gram;                    /* partial sums of U'U by chunk of levels; made on first use */
    /* of block_derivatives.c, grown on use */
    double *trace_room, *information_room;
    int64_t trace_size, information_size;
    int32_t *order;                  /* [directions] */
    int64_t *D_at;
    int32_t directions;
};

/* Products of pairs among `width` columns, each with itself included. */
static inline int64_t flmm_pairs_of(int64_t width)
{
    return width * (width + 1) / 2;
}

/* Add M_22 = Lambda' A_22 Lambda + I to the core's values; with Lambda == NULL only note
 * where each entry goes. */
void flmm_block_fill_base(flmm_block *s, const double *Lambda, double *values);

/* Places of all products of columns of one level, (t, r <= t), by `find`; NULL without memory. */
int64_t *flmm_block_lay_out_places(const flmm_block *s,
                                   int64_t (*find)(const flmm_core *, int64_t, int64_t));

#endif
