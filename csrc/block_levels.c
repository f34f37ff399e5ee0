/* block_levels.c: the loop over the levels of the eliminated factor.
 *
 * Levels go by chunks, chunks by batches.  Threads share the chunks of a batch: each has a
 * room of its own, whose sums are added chunk after chunk.  What levels give to the core
 * is then added with the core's unknowns divided among threads, each in the order of the
 * levels.  So the bits of every sum depend on the model and not on the threads, and a
 * batch is small enough to stay in cache between the two steps.
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
        memset(&s->room[k], 0, sizeof s->room[k]);
    }
    free(s->total);
    free(s->no_level);
    s->total = s->no_level = NULL;
    s->width = s->sums = s->tile = s->level = -1;
}

static int64_t larger(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* Rooms large enough for a pass. */
static int make_rooms(flmm_block *s, const flmm_pass *pass)
{
    if (pass->width <= s->width && pass->sums <= s->sums && pass->tile <= s->tile && pass->level <= s->level) {
        return FLMM_OK;
    }
    const int64_t width = larger(pass->width, s->width), sums = larger(pass->sums, s->sums);
    const int64_t tile = larger(pass->tile, s->tile), level = larger(pass->level, s->level);
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
        enough = room->columns && room->unknown && room->rows && room->sums && room->tile;
    }
    if (!enough) {
        flmm_block_free_rooms(s);
        return FLMM_NO_MEMORY;
    }
    s->width = width;
    s->sums = sums;
    s->tile = tile;
    s->level = level;
    return FLMM_OK;
}

static void run_chunk(const flmm_block *s, const flmm_pass *pass, const void *arguments, int64_t chunk, flmm_room *room)
{
    room->from = chunk * s->levels;
    room->to = room->from + s->levels < s->nl ? room->from + s->levels : s->nl;
    memset(room->sums, 0, (size_t)pass->sums * sizeof *room->sums);
    pass->levels(s, arguments, room);
}

int flmm_block_run(flmm_block *s, const flmm_pass *pass, const void *arguments)
{
    const int status = make_rooms(s, pass);
    if (status != FLMM_OK) {
        return status;
    }
    memset(s->total, 0, (size_t)pass->sums * sizeof *s->total);
    for (int64_t first = 0; first < s->chunks; first += s->together) {
        const int64_t end = first + s->together < s->chunks ? first + s->together : s->chunks;
#pragma omp parallel for schedule(static) num_threads(flmm_team(&s->at)) if (s->nl > FLMM_WORTH_THREADS)
        for (int64_t k = first; k < end; k++) {
            run_chunk(s, pass, arguments, k, &s->room[k - first]);
        }
        for (int64_t k = first; k < end; k++) {
            for (int64_t i = 0; i < pass->sums; i++) {
                s->total[i] += s->room[k - first].sums[i];
            }
            if (pass->after) {
                pass->after(s, arguments, &s->room[k - first]);
            }
        }
        if (s->n2 == 0 || !pass->core) {
            continue;
        }
#pragma omp parallel for schedule(static, 1) num_threads(flmm_team(&s->at)) if (s->columns > FLMM_WORTH_THREADS)
        for (int32_t thread = 0; thread < s->at.threads; thread++) {
            for (int64_t k = first; k < end; k++) {
                pass->core(s, arguments, &s->room[k - first], s->share[thread], s->share[thread + 1]);
            }
        }
    }
    return FLMM_OK;
}
