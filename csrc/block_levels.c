/* block_levels.c: the loop over the levels of the eliminated factor.
 *
 * Levels go by chunks that stay in cache.  Sums over them are added in an order that
 * follows from the model, so their bits do not depend on the number of threads.  What
 * levels give to the core is added in one of two ways:
 *
 *   slices    many levels and a small core: each slice of the levels adds to numbers of
 *             its own, which are added slice after slice; threads share the slices
 *   batches   threads share the chunks of a batch, then the core's unknowns, to each of
 *             which the levels of the batch are added in order
 */
#include "block.h"
#include "threads.h"

#include <stdlib.h>
#include <string.h>

void flmm_block_free_rooms(flmm_block *s)
{
    for (int32_t k = 0; s->room && k < s->together; k++) {
        free(s->room[k].columns);
        free(s->room[k].unknown);
        free(s->room[k].rows);
        free(s->room[k].sums);
        free(s->room[k].tile);
        free(s->room[k].core);
        memset(&s->room[k], 0, sizeof s->room[k]);
    }
    free(s->total);
    free(s->no_level);
    s->total = s->no_level = NULL;
    s->width = s->sums = s->tile = s->level = s->given = -1;
}

static int64_t larger(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* Rooms large enough for a pass. */
static int make_rooms(flmm_block *s, const flmm_pass *pass)
{
    if (pass->width <= s->width && pass->sums <= s->sums && pass->tile <= s->tile && pass->level <= s->level
        && pass->given <= s->given) {
        return FLMM_OK;
    }
    const int64_t width = larger(pass->width, s->width), sums = larger(pass->sums, s->sums);
    const int64_t tile = larger(pass->tile, s->tile), level = larger(pass->level, s->level);
    const int64_t given = larger(pass->given, s->given);
    const int64_t core = s->slices > 0 && s->n2 > 0 ? s->n2 * given + flmm_core_entries(s->core) : 0;
    flmm_block_free_rooms(s);
    s->total = malloc(((size_t)sums + 1) * sizeof *s->total);
    s->no_level = calloc((size_t)level + 1, sizeof *s->no_level);
    int enough = s->total && s->no_level;
    for (int32_t k = 0; k < s->together && enough; k++) {
        flmm_room *room = &s->room[k];
        room->columns = malloc(((size_t)(s->most_columns * s->c) + 1) * sizeof *room->columns);
        room->unknown = malloc(((size_t)s->most_columns + 1) * sizeof *room->unknown);
        room->rows = malloc(((size_t)((s->levels + LANES) * s->c * width) + 1) * sizeof *room->rows);
        room->sums = malloc(((size_t)sums + 1) * sizeof *room->sums);
        room->tile = malloc(((size_t)tile + 1) * sizeof *room->tile);
        room->core = malloc(((size_t)core + 1) * sizeof *room->core);
        enough = room->columns && room->unknown && room->rows && room->sums && room->tile && room->core;
    }
    if (!enough) {
        flmm_block_free_rooms(s);
        return FLMM_NO_MEMORY;
    }
    s->width = width;
    s->sums = sums;
    s->tile = tile;
    s->level = level;
    s->given = given;
    return FLMM_OK;
}

static void run_chunk(const flmm_block *s, const flmm_pass *pass, const void *arguments, int64_t chunk, flmm_room *room)
{
    room->from = chunk * s->levels;
    room->to = room->from + s->levels < s->nl ? room->from + s->levels : s->nl;
    pass->levels(s, arguments, room);
}

static void add(int64_t count, const double *from, double *to)
{
    for (int64_t i = 0; i < count; i++) {
        to[i] += from[i];
    }
}

static void clear(int64_t count, double *x)
{
    memset(x, 0, (size_t)count * sizeof *x);
}

static void run_slices(flmm_block *s, const flmm_pass *pass, const void *arguments)
{
    const int64_t rows = pass->core ? s->n2 * pass->given : 0;
    const int64_t products = pass->core && pass->sink.products ? flmm_core_entries(s->core) : 0;
    for (int64_t first = 0; first < s->slices; first += s->together) {
        const int64_t end = first + s->together < s->slices ? first + s->together : s->slices;
#pragma omp parallel for schedule(static, 1) num_threads(flmm_team(&s->at))
        for (int64_t k = first; k < end; k++) {
            flmm_room *room = &s->room[k - first];
            const flmm_sink sink = {room->core, products > 0 ? room->core + rows : NULL};
            clear(pass->sums, room->sums);
            clear(rows + products, room->core);
            for (int64_t c = s->chunks * k / s->slices; c < s->chunks * (k + 1) / s->slices; c++) {
                run_chunk(s, pass, arguments, c, room);
                if (pass->core) {
                    pass->core(s, arguments, room, 0, (int32_t)s->n2, &sink);
                }
            }
        }
        for (int64_t k = first; k < end; k++) {
            const flmm_room *room = &s->room[k - first];
            add(pass->sums, room->sums, s->total);
            add(rows, room->core, pass->sink.rows);
            add(products, room->core + rows, pass->sink.products);
        }
    }
}

static void run_batches(flmm_block *s, const flmm_pass *pass, const void *arguments)
{
    for (int64_t first = 0; first < s->chunks; first += s->together) {
        const int64_t end = first + s->together < s->chunks ? first + s->together : s->chunks;
#pragma omp parallel for schedule(static) num_threads(flmm_team(&s->at)) if (s->nl > FLMM_WORTH_THREADS)
        for (int64_t k = first; k < end; k++) {
            flmm_room *room = &s->room[k - first];
            clear(pass->sums, room->sums);
            run_chunk(s, pass, arguments, k, room);
        }
        for (int64_t k = first; k < end; k++) {
            add(pass->sums, s->room[k - first].sums, s->total);
            if (pass->after) {
                pass->after(s, arguments, &s->room[k - first]);
            }
        }
        if (!pass->core) {
            continue;
        }
#pragma omp parallel for schedule(static, 1) num_threads(flmm_team(&s->at)) if (s->columns > FLMM_WORTH_THREADS)
        for (int32_t thread = 0; thread < s->at.threads; thread++) {
            for (int64_t k = first; k < end; k++) {
                pass->core(s, arguments, &s->room[k - first], s->share[thread], s->share[thread + 1], &pass->sink);
            }
        }
    }
}

int flmm_block_run(flmm_block *s, const flmm_pass *pass, const void *arguments)
{
    const int status = make_rooms(s, pass);
    if (status != FLMM_OK) {
        return status;
    }
    clear(pass->sums, s->total);
    if (s->slices > 0 && !pass->after) {
        run_slices(s, pass, arguments);
    } else {
        run_batches(s, pass, arguments);
    }
    return FLMM_OK;
}
