/* block.h: inside of the block route, shared by the files block*.c.
 *
 * Eliminating the levels of one factor leaves a model of the same form on the others,
 * the core.  Per level l, with T = Lambda of the eliminated factor, A_l its block of A,
 * A_lI its row towards the unknowns I of the core, R_l its rows of Z'W[X y]:
 *
 *   D_l = T'A_l T + I = L_l L_l'      U_l = L_l^-1 T'R_l      W_l = L_l^-1 T'A_lI
 *   A_S = A_22 - sum W_l'W_l          R_S = R_2 - sum W_l'U_l
 *   S = Lambda_2'A_S Lambda_2 + I = L_S L_S'      U_2 = L_S^-1 Lambda_2'R_S
 *
 * A_S and R_S stand for A and R in every formula of the core's own parameters.
 *
 *   block_layout.c     what is laid out once: the core's pattern, places of products
 *   block_levels.c     the loop over levels
 *   block_forward.c    first pass: log|L|, U'U, A_S and R_S
 *   block_core.c       the core: S from A_S, solves, its scores, traces and information
 *   block_backward.c   second pass: scores, traces and information of the levels
 *   block_modes.c      second pass of a solution: u and b
 *   block.c            the calls of system.h
 *
 * No pass stores anything per level: what a level needs is made again from the
 * cross-products, used while it is in cache and forgotten.
 */
#ifndef FLMM_BLOCK_H
#define FLMM_BLOCK_H

#include "core.h"
#include "lanes.h"
#include "system.h"

/* One chunk of levels at work. */
typedef struct {
    int64_t from, to;                /* its levels */
    double *columns;                 /* [columns c] of W_l or of A_lI Lambda_I, column by column */
    int32_t *unknown;                /* [columns] of the core, increasing within a level */
    double *rows;                    /* [levels + LANES][c width] what each level gives to the core */
    double *sums;                    /* what is summed over the levels */
    lanes *tile;                     /* blocks of the levels at work */
    double *core;                    /* what a slice gives to the core; see block_levels.c */
} flmm_room;

/* What levels give to the core: rows [n2 width] and, in the places of A_S, products. */
typedef struct {
    double *rows, *products;         /* products NULL where none are wanted */
} flmm_sink;

struct flmm_block {
    const flmm_blas *blas;
    flmm_layout at;
    flmm_core *core;
    int32_t c;                       /* columns of the eliminated factor */
    int64_t nl, n1, n2;              /* its levels, its unknowns, the core's */
    int64_t columns;                 /* of all A_lI together */
    /* the loop over levels; the first three follow from the model alone */
    int64_t levels, chunks;          /* levels in a chunk, and chunks */
    int64_t slices;                  /* parts with sums for the core of their own, or 0 */
    int64_t most_columns;            /* in a chunk */
    int32_t together;                /* chunks or slices at work at the same time */
    flmm_room *room;                 /* [together] */
    int64_t width, sums, tile, level, given; /* sizes that the rooms and no_level have now */
    double *total;                   /* [sums] */
    double *no_level;                /* zeros in the place of a level */
    int32_t *share;                  /* [threads+1] core unknowns by thread, equal work */
    /* places in the core of the products (t, r), r <= t, column by column */
    int64_t *own_first;              /* [nf] where the own blocks of a factor begin */
    int32_t *own_place;              /* of the own blocks of the core's levels */
    int32_t *pair_place;             /* of the blocks of A_22 between factors of the core */
    int32_t *place;                  /* sparse core: of levels that meet several blocks */
    int64_t *first_place;            /* [chunks+1] where those of a chunk begin */
    /* the core at the last evaluation */
    double *RS, *U2;                 /* [n2 (p+1)]; U2 in the core's order */
    double *X2;                      /* [n2 (p+1)] V_2 beside u_2 */
    double *rows;                    /* [n2 (p+1)] workspace */
    double *modes;                   /* [3 n2] workspace */
    double *RX_inverse;              /* [p p] row-major upper */
    double *work;                    /* of the core's solves, for work_columns */
    int64_t work_columns;
    double *small;                   /* [3 most_columns^2] */
    /* directions of the information, those of the eliminated factor first */
    int32_t nd, own;                 /* of the evaluation at work; of the eliminated factor */
    int32_t *order;                  /* [directions] the caller's number */
    int64_t *D_at;                   /* [directions] where D begins */
    double *d2, *a2, *c2;            /* [n2 directions] */
    int32_t directions;              /* as many as there is room for */
};

/* Products of pairs among `width` columns, each with itself included. */
static inline int64_t flmm_pairs_of(int64_t width)
{
    return width * (width + 1) / 2;
}

/* What a level meets in the core: so many columns; `own` is where the places of their
 * products begin in s->own_place when they are one block, or -1. */
typedef struct {
    int64_t columns, own;
} flmm_meeting;

static inline flmm_meeting flmm_level_meets(const flmm_block *s, int64_t level)
{
    const flmm_crossproducts *x = s->at.x;
    flmm_meeting out = {0, -1};
    int64_t blocks = 0;
    for (int32_t g = 1; g < x->nf; g++) {
        const ptrdiff_t pair = flmm_pair(0, g);
        const int64_t first = x->indptr[pair][level], count = x->indptr[pair][level + 1] - first;
        out.columns += count * x->nc[g];
        blocks += count;
        if (count == 1) {
            out.own = s->own_first[g] + x->indices[pair][first] * flmm_pairs_of(x->nc[g]);
        }
    }
    out.own = blocks == 1 ? out.own : -1;
    return out;
}

/* Places of the products of a level's columns, or NULL when the core is dense.  `next`
 * walks along s->place from the first level of a chunk on. */
static inline const int32_t *flmm_level_places(const flmm_block *s, const flmm_meeting *level, const int32_t **next)
{
    if (!s->place) {
        return NULL;
    }
    if (level->own >= 0) {
        return s->own_place + level->own;
    }
    const int32_t *places = *next;
    *next += flmm_pairs_of(level->columns);
    return places;
}

/* The levels of a tile: addresses of the `size` numbers that each has in x, those of a
 * level of zeros beyond the last. */
static inline void flmm_tile_addresses(const flmm_block *s, const flmm_room *room, int64_t level, const double *x,
                                       int64_t size, const double *address[LANES])
{
    for (int k = 0; k < LANES; k++) {
        address[k] = level + k < room->to ? x + (level + k) * size : s->no_level;
    }
}

/* Symmetric blocks in full. */
FLMM_INLINE void flmm_tile_blocks(const int32_t c, const double *const address[LANES], lanes *A)
{
    for (int32_t a = 0; a < c; a++) {
        for (int32_t b = 0; b <= a; b++) {
            A[a * c + b] = A[b * c + a] = flmm_lanes_load(address, a * c + b);
        }
    }
}

/* A level's columns A_lI Lambda_I and their unknowns; returns how many. */
FLMM_INLINE int64_t flmm_level_scaled(const flmm_block *s, const int32_t c, int64_t level, double *columns,
                                      int32_t *unknown)
{
    const flmm_crossproducts *x = s->at.x;
    int64_t count = 0;
    for (int32_t g = 1; g < x->nf; g++) {
        const int32_t cg = x->nc[g];
        const ptrdiff_t pair = flmm_pair(0, g);
        const double *T = s->at.Lambda + s->at.square[g];
        for (int64_t k = x->indptr[pair][level]; k < x->indptr[pair][level + 1]; k++) {
            const double *B = x->values[pair] + k * c * cg;
            const int64_t first = s->at.offset[g] - s->n1 + (int64_t)x->indices[pair][k] * cg;
            for (int32_t b = 0; b < cg; b++, count++, columns += c) {
                unknown[count] = (int32_t)(first + b);
                for (int32_t a = 0; a < c; a++) {
                    double v = B[a * cg] * T[b];
                    for (int32_t j = 1; j < cg; j++) {
                        v += B[a * cg + j] * T[j * cg + b];
                    }
                    columns[a] = v;
                }
            }
        }
    }
    return count;
}

/* --- block_levels.c --------------------------------------------------------------- */

/* A pass over the levels.  `levels` does those of a room and adds to its sums; `after`, if
 * given, looks at each room on one thread, in order; `core`, if given, adds what the
 * levels of a room give to the core's unknowns from <= u < to. */
typedef struct {
    void (*levels)(const flmm_block *s, const void *arguments, flmm_room *room);
    void (*after)(const flmm_block *s, const void *arguments, const flmm_room *room);
    void (*core)(const flmm_block *s, const void *arguments, const flmm_room *room, int32_t from, int32_t to,
                 const flmm_sink *sink);
    flmm_sink sink;
    int64_t given;                   /* numbers per row of the sink */
    int64_t width, sums, tile;       /* numbers per row of `rows`, in `sums`, lanes in `tile` */
    int64_t level;                   /* numbers that a level has in an array that is read */
} flmm_pass;

/* The result is in s->total. */
int flmm_block_run(flmm_block *s, const flmm_pass *pass, const void *arguments);
void flmm_block_free_rooms(flmm_block *s);

/* --- block_forward.c -------------------------------------------------------------- */

/* The first pass for right-hand sides R [nl c m] of the eliminated factor. */
typedef struct {
    const double *R;
    int32_t m;
    int products;                    /* A_S -= sum W_l'W_l */
    double *RS;                      /* [n2 m]  -= sum W_l'U_l */
    double *U;                       /* [n1 m]  U_l, or NULL */
    double *gram;                    /* [m m]  sum U_l'U_l, column-major upper, or NULL */
    double logdet;                   /* sum of 2 log|L_l| */
} flmm_forward;

int flmm_block_forward(flmm_block *s, flmm_forward *pass);

/* --- block_core.c ----------------------------------------------------------------- */

/* Note where the entries of A_22 go. */
void flmm_block_lay_out_base(flmm_block *s);
/* A_S := A_22, before the first pass. */
void flmm_block_core_begin(flmm_block *s);
/* After it: S from A_S, factored. */
int flmm_block_core_factorize(flmm_block *s);
int flmm_block_make_work(flmm_block *s, int32_t m);

/* RS := R_2 [n2 m], R [nf] -> [nl nc m] */
void flmm_block_core_rows(const flmm_block *s, int32_t m, const double *const *R, double *RS);
/* U2 := L_S^-1 Lambda_2'RS in the core's order; X := L_S'^-1 U2, for which U2 is lost */
void flmm_block_core_forward(flmm_block *s, int32_t m, const double *RS, double *U2);
void flmm_block_core_back(flmm_block *s, int32_t m, double *U2, double *X);
/* b := Lambda_2 X */
void flmm_block_core_modes(const flmm_block *s, int32_t m, const double *X, double *b);

/* The core's part of the derivatives: scores need X2 and A_S, traces X2 and S^-1 (in A_S's
 * place), information the scores and what the levels added to a2. */
void flmm_block_core_scores(flmm_block *s, const flmm_derivatives *d);
void flmm_block_core_traces(const flmm_block *s, const flmm_derivatives *d);
void flmm_block_core_information(flmm_block *s, const flmm_derivatives *d);
/* Diagonal blocks of S^-1 [sum nl nc^2]. */
void flmm_block_core_inverse_blocks(const flmm_block *s, double *blocks);

/* --- block_backward.c ------------------------------------------------------------- */

/* Scores, traces and information of the eliminated factor; blocks [nl c c] of M^-1 or NULL. */
int flmm_block_backward(flmm_block *s, const flmm_derivatives *d, double *blocks);

/* --- block_modes.c ---------------------------------------------------------------- */

/* u and b of the eliminated factor, for right-hand sides R (or R y) and the core's X. */
typedef struct {
    const double *R;                 /* [nl c width] */
    int32_t width;
    const double *y;                 /* [width], m = 1; NULL: m = width columns of their own */
    int32_t m;
    const double *X;                 /* [n2 m] */
    double *u, *b;                   /* [n1 m], NULL where not wanted */
} flmm_modes;

int flmm_block_run_modes(flmm_block *s, const flmm_modes *pass);

#endif
