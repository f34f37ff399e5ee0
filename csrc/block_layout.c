/* block_layout.c: what the block route lays out once: columns of W, the core's pattern,
 * places of every product, and how threads share the core.
 */
#include "block.h"

#include <stdlib.h>
#include <string.h>

/* A core of at most this many unknowns is dense without asking. */
#define SMALL_CORE 400
/* --- layout -------------------------------------------------------------------- */

static int64_t count_columns(const flmm_block *s, int64_t i)
{
    const flmm_crossproducts *x = s->at.x;
    int64_t columns = 0;
    for (int32_t g = 1; g < x->nf; g++) {
        const int64_t *indptr = x->indptr[flmm_pair(0, g)];
        columns += (indptr[i + 1] - indptr[i]) * x->nc[g];
    }
    return columns;
}

/* start and unknown */
static int lay_out_columns(flmm_block *s)
{
    const flmm_crossproducts *x = s->at.x;
    s->start = malloc(((size_t)s->nl + 1) * sizeof *s->start);
    if (!s->start) {
        return FLMM_NO_MEMORY;
    }
    s->start[0] = 0;
    for (int64_t i = 0; i < s->nl; i++) {
        s->start[i + 1] = s->start[i] + count_columns(s, i);
    }
    s->unknown = malloc(((size_t)s->start[s->nl] + 1) * sizeof *s->unknown);
    if (!s->unknown) {
        return FLMM_NO_MEMORY;
    }
    int32_t *next = s->unknown;
    for (int64_t i = 0; i < s->nl; i++) {
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
    return FLMM_OK;
}

/* Visit the lower triangle of M_22 block by block: own blocks, then pairs of factors.
 * With Lambda == NULL only the places are recorded. */
void flmm_block_fill_base(flmm_block *s, const double *Lambda, double *values)
{
    const flmm_crossproducts *x = s->at.x;
    double *t = s->small, *C = t + (ptrdiff_t)s->at.most_columns * s->at.most_columns;
    int64_t *place = s->base_place;
    for (int32_t f = 1; f < x->nf; f++) {
        const int32_t cf = x->nc[f];
        for (int64_t i = 0; i < x->nl[f]; i++) {
            const int64_t own = s->at.offset[f] - s->n1 + i * cf;
            if (Lambda) {
                const double *T = Lambda + s->at.square[f];
                flmm_sandwich(cf, cf, T, x->ZtWZ[f] + i * cf * cf, T, t, C);
            }
            for (int32_t a = 0; a < cf; a++) {
                for (int32_t b = 0; b <= a; b++, place++) {
                    if (Lambda) {
                        values[*place] += C[a * cf + b] + (a == b ? 1.0 : 0.0);
                    } else {
                        *place = flmm_core_place(s->core, own + a, own + b);
                    }
                }
            }
            for (int32_t g = f + 1; g < x->nf; g++) {
                const int32_t cg = x->nc[g];
                const ptrdiff_t pair = flmm_pair(f, g);
                for (int64_t k = x->indptr[pair][i]; k < x->indptr[pair][i + 1]; k++) {
                    const int64_t other = s->at.offset[g] - s->n1 + (int64_t)x->indices[pair][k] * cg;
                    if (Lambda) {
                        flmm_sandwich(cf, cg, Lambda + s->at.square[f], x->values[pair] + k * cf * cg,
                                      Lambda + s->at.square[g], t, C);
                    }
                    for (int32_t a = 0; a < cf; a++) {
                        for (int32_t b = 0; b < cg; b++, place++) {
                            if (Lambda) {
                                values[*place] += C[a * cg + b];
                            } else {
                                *place = flmm_core_place(s->core, own + a, other + b);
                            }
                        }
                    }
                }
            }
        }
    }
}

static int64_t base_entries(const flmm_block *s)
{
    const flmm_crossproducts *x = s->at.x;
    int64_t count = 0;
    for (int32_t f = 1; f < x->nf; f++) {
        count += x->nl[f] * flmm_pairs_of(x->nc[f]);
        for (int32_t g = f + 1; g < x->nf; g++) {
            count += x->indptr[flmm_pair(f, g)][x->nl[f]] * x->nc[f] * x->nc[g];
        }
    }
    return count;
}

/* The pattern of S, lower triangle by columns: unknowns that meet in some level, and
 * the pattern of M_22 (its pairs of factors meet in some level too; own blocks may not). */
static int core_pattern(const flmm_block *s, int64_t **colptr_out, int64_t **rowind_out)
{
    const int64_t n = s->n2, columns = s->start[s->nl];
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
            meets[s->unknown[t] + 2]++;
        }
        for (int64_t u = 0; u < n; u++) {
            meets[u + 2] += meets[u + 1];
            marker[u] = -1;
        }
        for (int64_t i = 0; i < s->nl; i++) {
            for (int64_t t = s->start[i]; t < s->start[i + 1]; t++) {
                level[meets[s->unknown[t] + 1]++] = (int32_t)i;
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
                    for (int64_t t = s->start[level[k]]; t < s->start[level[k] + 1]; t++) {
                        const int32_t v = s->unknown[t];
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

static int make_core(flmm_block *s)
{
    if (s->n2 <= SMALL_CORE) {
        return flmm_core_new(s->blas, s->n2, NULL, NULL, &s->core);
    }
    int64_t *colptr = NULL, *rowind = NULL;
    int status = core_pattern(s, &colptr, &rowind);
    if (status == FLMM_OK) {
        status = flmm_core_new(s->blas, s->n2, colptr, rowind, &s->core);
    }
    free(colptr);
    free(rowind);
    return status;
}

/* Places of all products of columns of one level, (t, t' <= t), by `find`. */
int64_t *flmm_block_lay_out_places(const flmm_block *s, int64_t (*find)(const flmm_core *, int64_t, int64_t))
{
    int64_t total = 0;
    for (int64_t i = 0; i < s->nl; i++) {
        total += flmm_pairs_of(s->start[i + 1] - s->start[i]);
    }
    int64_t *place = malloc(((size_t)total + 1) * sizeof *place);
    if (!place) {
        return NULL;
    }
    int64_t *next = place;
    for (int64_t i = 0; i < s->nl; i++) {
        for (int64_t t = s->start[i]; t < s->start[i + 1]; t++) {
            for (int64_t r = s->start[i]; r <= t; r++) {
                *next++ = find(s->core, s->unknown[t], s->unknown[r]);
            }
        }
    }
    return place;
}

/* Divide the core's unknowns so that each thread adds up about as many products. */
static int divide_work(flmm_block *s)
{
    double *work = calloc((size_t)s->n2 + 1, sizeof *work);
    s->share = malloc(((size_t)s->at.threads + 1) * sizeof *s->share);
    if (!work || !s->share) {
        free(work);
        return FLMM_NO_MEMORY;
    }
    double total = 0.0;
    for (int64_t i = 0; i < s->nl; i++) {
        for (int64_t t = s->start[i]; t < s->start[i + 1]; t++) {
            const double products = (double)(t - s->start[i] + 1);
            work[s->unknown[t]] += products;
            total += products;
        }
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

static int set_up(flmm_block *s)
{
    const size_t c = (size_t)s->c, columns_most = (size_t)s->at.most_columns;
    s->small = malloc((size_t)s->at.threads * 2 * columns_most * columns_most * sizeof *s->small);
    s->position = malloc(((size_t)s->at.q + 1) * sizeof *s->position);
    s->LD = malloc(((size_t)s->nl * c * c + 1) * sizeof *s->LD);
    int status = s->small && s->position && s->LD ? lay_out_columns(s) : FLMM_NO_MEMORY;
    if (status != FLMM_OK) {
        return status;
    }
    s->W = malloc(((size_t)s->start[s->nl] * c + 1) * sizeof *s->W);
    if (!s->W) {
        return FLMM_NO_MEMORY;
    }
    for (int64_t u = 0; u < s->n1; u++) {
        s->position[u] = u;
    }
    if (s->n2 == 0) {
        return divide_work(s);
    }
    status = make_core(s);
    if (status != FLMM_OK) {
        return status;
    }
    s->base_place = malloc(((size_t)base_entries(s) + 1) * sizeof *s->base_place);
    if (!s->base_place) {
        return FLMM_NO_MEMORY;
    }
    flmm_block_fill_base(s, NULL, NULL);
    if (!flmm_core_is_dense(s->core)) {
        s->place = flmm_block_lay_out_places(s, flmm_core_place);
        s->first_place = malloc(((size_t)s->nl + 1) * sizeof *s->first_place);
        if (!s->place || !s->first_place) {
            return FLMM_NO_MEMORY;
        }
        s->first_place[0] = 0;
        for (int64_t i = 0; i < s->nl; i++) {
            s->first_place[i + 1] = s->first_place[i] + flmm_pairs_of(s->start[i + 1] - s->start[i]);
        }
    }
    for (int64_t u = 0; u < s->n2; u++) {
        s->position[s->n1 + u] = s->n1 + flmm_core_position(s->core, u);
    }
    return divide_work(s);
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
    const int status = set_up(s);
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
    flmm_core_free(s->core);
    free(s->position);
    free(s->start);
    free(s->unknown);
    free(s->LD);
    free(s->W);
    free(s->place);
    free(s->first_place);
    free(s->inverse_place);
    free(s->base_place);
    free(s->share);
    free(s->small);
    free(s->gram);
    free(s->trace_room);
    free(s->information_room);
    free(s->order);
    free(s->D_at);
    free(s);
}
