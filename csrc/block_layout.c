/* block_layout.c: what the block route lays out once: chunks of levels, the core's pattern,
 * places of every product, and how threads share the core.
 */
#include "block.h"
#include "threads.h"

#include <stdlib.h>
#include <string.h>

/* A core of at most this many unknowns is dense without asking. */
#define SMALL_CORE 400
/* Levels in a chunk of work, fewer where they meet so many unknowns that their columns
 * would not stay in cache. */
#define MOST_LEVELS 1024
#define MOST_COLUMNS 65536
/* Slices where the core is small: at most so many, so many numbers for the core in each, and
 * so many numbers of levels for one of the core's, which each slice clears and adds. */
#define MOST_SLICES 32
#define SMALL_SLICE 131072
#define LEVELS_PER_SLICE 8

/* --- columns -------------------------------------------------------------------- */

/* First column of A_lI among those of all levels. */
static int64_t column_start(const flmm_block *s, int64_t level)
{
    const flmm_crossproducts *x = s->at.x;
    int64_t start = 0;
    for (int32_t g = 1; g < x->nf; g++) {
        start += x->indptr[flmm_pair(0, g)][level] * x->nc[g];
    }
    return start;
}

/* The core's unknown of each column, increasing within a level; NULL without memory. */
static int32_t *list_unknowns(const flmm_block *s)
{
    const flmm_crossproducts *x = s->at.x;
    int32_t *unknown = malloc(((size_t)s->columns + 1) * sizeof *unknown), *next = unknown;
    for (int64_t i = 0; unknown && i < s->nl; i++) {
        for (int32_t g = 1; g < x->nf; g++) {
            const ptrdiff_t pair = flmm_pair(0, g);
            for (int64_t k = x->indptr[pair][i]; k < x->indptr[pair][i + 1]; k++) {
                const int64_t first = s->at.offset[g] - s->n1 + (int64_t)x->indices[pair][k] * x->nc[g];
                for (int32_t b = 0; b < x->nc[g]; b++) {
                    *next++ = (int32_t)(first + b);
                }
            }
        }
    }
    return unknown;
}

/* How many levels make a chunk: by the model alone, as sums are added chunk by chunk. */
static void lay_out_chunks(flmm_block *s)
{
    s->columns = column_start(s, s->nl);
    s->levels = MOST_LEVELS;
    while (s->levels > LANES && s->columns / s->nl > MOST_COLUMNS / s->levels) {
        s->levels /= 2;
    }
    s->chunks = (s->nl + s->levels - 1) / s->levels;
    for (int64_t from = 0; from < s->nl; from += s->levels) {
        const int64_t to = from + s->levels < s->nl ? from + s->levels : s->nl;
        const int64_t columns = column_start(s, to) - column_start(s, from);
        s->most_columns = columns > s->most_columns ? columns : s->most_columns;
    }
}

/* See block_levels.c. */
static void lay_out_slices(flmm_block *s)
{
    const int64_t m = s->at.x->p + 1;
    const int64_t given = s->n2 > 0 ? s->n2 * m + flmm_core_entries(s->core) : 0;
    const int64_t worthwhile = given > 0 ? s->n1 * m / (LEVELS_PER_SLICE * given) : MOST_SLICES;
    s->slices = s->chunks < MOST_SLICES ? s->chunks : MOST_SLICES;
    s->slices = worthwhile < s->slices ? worthwhile : s->slices;
    if (s->nl <= FLMM_WORTH_THREADS || given > SMALL_SLICE || s->slices < 2) {
        s->slices = 0;
    }
    const int64_t parts = s->slices > 0 ? s->slices : s->chunks, quarter = (s->chunks + 3) / 4;
    int64_t together = s->slices > 0 || quarter < 4 * (int64_t)s->at.threads ? 4 * (int64_t)s->at.threads : quarter;
    together = s->at.threads == 1 ? 1 : together;
    s->together = (int32_t)(together < parts ? together : parts);
}

/* --- the core -------------------------------------------------------------------- */

/* The pattern of S, lower triangle by columns: unknowns that meet in some level, and
 * the pattern of M_22 (its pairs of factors meet in some level too; own blocks may not). */
static int core_pattern(const flmm_block *s, const int32_t *unknown, int64_t **colptr_out, int64_t **rowind_out)
{
    const int64_t n = s->n2, columns = s->columns;
    const flmm_crossproducts *x = s->at.x;
    int64_t *meets = malloc(((size_t)n + 2) * sizeof *meets);          /* levels by core unknown */
    int32_t *level = malloc(((size_t)columns + 1) * sizeof *level);
    int64_t *marker = malloc(((size_t)n + 1) * sizeof *marker);
    int64_t *colptr = malloc(((size_t)n + 1) * sizeof *colptr);
    int32_t *own_end = malloc(((size_t)n + 1) * sizeof *own_end);      /* end of each unknown's own block */
    int64_t *rowind = NULL;
    int status = meets && level && marker && colptr && own_end ? FLMM_OK : FLMM_NO_MEMORY;
    if (status == FLMM_OK) {
        memset(meets, 0, ((size_t)n + 2) * sizeof *meets);
        for (int64_t t = 0; t < columns; t++) {
            meets[unknown[t] + 2]++;
        }
        for (int64_t u = 0; u < n; u++) {
            meets[u + 2] += meets[u + 1];
            marker[u] = -1;
        }
        for (int64_t i = 0; i < s->nl; i++) {
            const int64_t end = column_start(s, i + 1);
            for (int64_t t = column_start(s, i); t < end; t++) {
                level[meets[unknown[t] + 1]++] = (int32_t)i;
            }
        }
        for (int32_t f = 1; f < x->nf; f++) {
            for (int64_t u = s->at.offset[f]; u < s->at.offset[f + 1]; u++) {
                const int64_t in_block = (u - s->at.offset[f]) % x->nc[f];
                own_end[u - s->n1] = (int32_t)(u - s->n1 + x->nc[f] - in_block);
            }
        }
        /* twice over: count, then write */
        for (int pass = 0; pass < 2 && status == FLMM_OK; pass++) {
            int64_t at = 0;
            colptr[0] = 0;
            for (int64_t u = 0; u < n; u++) {
                const int64_t stamp = u + pass * n;
                const int64_t begin = at;
                for (int64_t v = u; v < own_end[u]; v++) {
                    marker[v] = stamp;
                    if (pass) {
                        rowind[at] = v;
                    }
                    at++;
                }
                for (int64_t k = meets[u]; k < meets[u + 1]; k++) {
                    const int64_t end = column_start(s, level[k] + 1);
                    for (int64_t t = column_start(s, level[k]); t < end; t++) {
                        const int32_t v = unknown[t];
                        if (v > u && marker[v] != stamp) {
                            marker[v] = stamp;
                            if (pass) {
                                rowind[at] = v;
                            }
                            at++;
                        }
                    }
                }
                colptr[u + 1] = at;
                if (pass) {              /* rows in order: shell sort of a short list */
                    int64_t *r = rowind + begin;
                    const int64_t count = at - begin;
                    for (int64_t gap = count / 2; gap > 0; gap /= 2) {
                        for (int64_t a = gap; a < count; a++) {
                            const int64_t moved = r[a];
                            int64_t b = a;
                            for (; b >= gap && r[b - gap] > moved; b -= gap) {
                                r[b] = r[b - gap];
                            }
                            r[b] = moved;
                        }
                    }
                }
            }
            if (pass == 0) {
                rowind = malloc(((size_t)at + 1) * sizeof *rowind);
                status = rowind ? FLMM_OK : FLMM_NO_MEMORY;
            }
        }
    }
    free(meets);
    free(level);
    free(marker);
    free(own_end);
    if (status != FLMM_OK) {
        free(colptr);
        free(rowind);
        return status;
    }
    *colptr_out = colptr;
    *rowind_out = rowind;
    return FLMM_OK;
}

static int make_core(flmm_block *s, const int32_t *unknown)
{
    if (s->n2 <= SMALL_CORE) {
        return flmm_core_new(s->blas, s->n2, NULL, NULL, &s->core);
    }
    int64_t *colptr = NULL, *rowind = NULL;
    int status = core_pattern(s, unknown, &colptr, &rowind);
    if (status == FLMM_OK) {
        status = colptr[s->n2] > INT32_MAX ? FLMM_TOO_LARGE
                                           : flmm_core_new(s->blas, s->n2, colptr, rowind, &s->core);
    }
    free(colptr);
    free(rowind);
    return status;
}

/* Room for the places of A_22, and the places. */
static int lay_out_base(flmm_block *s)
{
    const flmm_crossproducts *x = s->at.x;
    int64_t own = 0, pairs = 0;
    s->own_first = malloc((size_t)x->nf * sizeof *s->own_first);
    if (!s->own_first) {
        return FLMM_NO_MEMORY;
    }
    for (int32_t f = 1; f < x->nf; f++) {
        s->own_first[f] = own;
        own += x->nl[f] * flmm_pairs_of(x->nc[f]);
        for (int32_t g = f + 1; g < x->nf; g++) {
            pairs += x->indptr[flmm_pair(f, g)][x->nl[f]] * x->nc[f] * x->nc[g];
        }
    }
    s->own_place = malloc(((size_t)own + 1) * sizeof *s->own_place);
    s->pair_place = malloc(((size_t)pairs + 1) * sizeof *s->pair_place);
    if (!s->own_place || !s->pair_place) {
        return FLMM_NO_MEMORY;
    }
    flmm_block_lay_out_base(s);
    return FLMM_OK;
}

/* Places in a sparse core of the products among the columns of each level that meets more
 * than one block. */
static int lay_out_products(flmm_block *s, const int32_t *unknown)
{
    s->first_place = malloc(((size_t)s->chunks + 1) * sizeof *s->first_place);
    if (!s->first_place) {
        return FLMM_NO_MEMORY;
    }
    int64_t total = 0;
    for (int64_t i = 0; i < s->nl; i++) {
        if (i % s->levels == 0) {
            s->first_place[i / s->levels] = total;
        }
        const flmm_meeting level = flmm_level_meets(s, i);
        total += level.own < 0 ? flmm_pairs_of(level.columns) : 0;
    }
    s->place = malloc(((size_t)total + 1) * sizeof *s->place);
    if (!s->place) {
        return FLMM_NO_MEMORY;
    }
    int32_t *next = s->place;
    for (int64_t i = 0; i < s->nl; i++) {
        const flmm_meeting level = flmm_level_meets(s, i);
        for (int64_t r = 0; level.own < 0 && r < level.columns; r++) {
            for (int64_t t = r; t < level.columns; t++) {
                *next++ = (int32_t)flmm_core_place(s->core, unknown[t], unknown[r]);
            }
        }
        unknown += level.columns;
    }
    return FLMM_OK;
}

/* Divide the core's unknowns so that each thread adds up about as many products. */
static int divide_work(flmm_block *s, const int32_t *unknown)
{
    double *work = calloc((size_t)s->n2 + 1, sizeof *work);
    s->share = malloc(((size_t)s->at.threads + 1) * sizeof *s->share);
    if (!work || !s->share) {
        free(work);
        return FLMM_NO_MEMORY;
    }
    double total = 0.0;
    for (int64_t i = 0; i < s->nl; i++) {
        const int64_t columns = flmm_level_meets(s, i).columns;
        for (int64_t r = 0; r < columns; r++) {
            work[unknown[r]] += (double)(columns - r);
            total += (double)(columns - r);
        }
        unknown += columns;
    }
    double sum = 0.0;
    int32_t thread = 0;
    s->share[0] = 0;
    for (int64_t u = 0; u < s->n2; u++) {
        sum += work[u];
        while (thread + 1 < s->at.threads && sum >= total * (thread + 1) / s->at.threads) {
            s->share[++thread] = (int32_t)(u + 1);
        }
    }
    while (thread < s->at.threads) {
        s->share[++thread] = (int32_t)s->n2;
    }
    free(work);
    return FLMM_OK;
}

static int lay_out_core(flmm_block *s)
{
    int32_t *unknown = list_unknowns(s);
    int status = unknown ? make_core(s, unknown) : FLMM_NO_MEMORY;
    if (status == FLMM_OK) {
        status = lay_out_base(s);
    }
    if (status == FLMM_OK && !flmm_core_is_dense(s->core)) {
        status = lay_out_products(s, unknown);
    }
    if (status == FLMM_OK) {
        status = divide_work(s, unknown);
    }
    free(unknown);
    return status;
}

static double *new_doubles(int64_t count)
{
    return malloc(((size_t)count + 1) * sizeof(double));
}

static int allocate(flmm_block *s)
{
    const int64_t p = s->at.x->p, m = p + 1, most = s->at.most_columns;
    s->room = calloc((size_t)s->together, sizeof *s->room);
    s->RX_inverse = new_doubles(p * p);
    s->RS = new_doubles(s->n2 * m);
    s->U2 = new_doubles(s->n2 * m);
    s->X2 = new_doubles(s->n2 * m);
    s->rows = new_doubles(s->n2 * m);
    s->modes = new_doubles(3 * s->n2);
    s->small = new_doubles(3 * most * most);
    return s->room && s->RX_inverse && s->RS && s->U2 && s->X2 && s->rows && s->modes && s->small
               ? FLMM_OK
               : FLMM_NO_MEMORY;
}

int flmm_block_new(const flmm_blas *blas, const flmm_layout *layout, flmm_block **out)
{
    *out = NULL;
    flmm_block *s = calloc(1, sizeof *s);
    if (!s) {
        return FLMM_NO_MEMORY;
    }
    s->blas = blas;
    s->at = *layout;
    s->c = layout->x->nc[0];
    s->nl = layout->x->nl[0];
    s->n1 = layout->offset[1];
    s->n2 = layout->q - s->n1;
    s->width = s->sums = s->tile = s->level = s->given = -1;
    lay_out_chunks(s);
    int status = s->n2 > 0 ? lay_out_core(s) : FLMM_OK;
    if (status == FLMM_OK) {
        lay_out_slices(s);
        status = allocate(s);
    }
    if (status == FLMM_OK && s->n2 > 0) {
        status = flmm_block_make_work(s, s->at.x->p + 1);
    }
    if (status != FLMM_OK) {
        flmm_block_free(s);
        return status;
    }
    *out = s;
    return FLMM_OK;
}

void flmm_block_free(flmm_block *s)
{
    if (!s) {
        return;
    }
    flmm_block_free_rooms(s);
    flmm_core_free(s->core);
    free(s->room);
    free(s->share);
    free(s->own_first);
    free(s->own_place);
    free(s->pair_place);
    free(s->place);
    free(s->first_place);
    free(s->RS);
    free(s->U2);
    free(s->X2);
    free(s->rows);
    free(s->modes);
    free(s->RX_inverse);
    free(s->work);
    free(s->small);
    free(s->order);
    free(s->D_at);
    free(s->d2);
    free(s->a2);
    free(s->c2);
    free(s);
}
