/* block_modes.c: the second pass of a solution.
 *
 * Given the core's X = L_S'^-1 L_S^-1 Lambda_2'R_S, per level
 *
 *   u_l = D_l^-1 T'(R_l - A_lI Lambda_I X)      b_l = T u_l
 */
#include "block.h"

enum { BLOCKS = 3 };                 /* c x c blocks of a tile, beside one time c */

/* c is s->c, given again to be a constant where it can. */
FLMM_INLINE void modes_of_levels(const flmm_block *s, const flmm_modes *w, flmm_room *room, const int32_t c,
                                 lanes *block, lanes *rest)
{
    const double *T = s->at.Lambda;
    const ptrdiff_t m = w->m, square = (ptrdiff_t)c * c, size = c * m;
    lanes *A = block, *t = A + square, *N = t + square, *inverse = N + square;
    lanes *r = rest, *u = r + size, *b = u + size;               /* column by column */
    for (int64_t l = room->from; l < room->to; l += LANES) {
        const double *address[LANES];
        flmm_tile_addresses(s, room, l, s->at.x->ZtWZ[0], square, address);
        flmm_tile_blocks(c, address, A);
        flmm_lanes_factor(c, T, A, t, N, inverse);
        flmm_tile_addresses(s, room, l, w->R, (int64_t)c * w->width, address);
        for (int32_t a = 0; a < c; a++) {
            for (ptrdiff_t j = 0; j < m; j++) {
                r[j * c + a] = w->y ? flmm_lanes_all(0.0) : flmm_lanes_load(address, a * m + j);
            }
            for (int32_t j = 0; w->y && j < w->width; j++) {
                r[a] += flmm_lanes_load(address, a * w->width + j) * w->y[j];
            }
        }
        for (int k = 0; s->n2 > 0 && k < LANES && l + k < room->to; k++) {
            const int64_t count = flmm_level_scaled(s, c, l + k, room->columns, room->unknown);
            for (int64_t i = 0; i < count; i++) {
                const double *X = w->X + (ptrdiff_t)room->unknown[i] * m;
                for (ptrdiff_t e = 0; e < size; e++) {
                    r[e][k] -= room->columns[i * c + e % c] * X[e / c];
                }
            }
        }
        for (ptrdiff_t e = 0; e < size; e += c) {
            flmm_lanes_solve(c, T, N, inverse, r + e, u + e, b + e);
        }
        for (int k = 0; k < LANES && l + k < room->to; k++) {
            const int64_t first = (l + k) * size;
            for (ptrdiff_t e = 0; w->u && e < size; e++) {
                w->u[first + e % c * m + e / c] = u[e][k];
            }
            for (ptrdiff_t e = 0; w->b && e < size; e++) {
                w->b[first + e % c * m + e / c] = b[e][k];
            }
        }
    }
}

static void modes(const flmm_block *s, const void *arguments, flmm_room *room)
{
    const int32_t c = s->c;
    lanes block[BLOCKS * 9 + 3], *rest = room->tile + BLOCKS * c * c + c;
    switch (c) {
    case 1:
        modes_of_levels(s, arguments, room, 1, block, rest);
        break;
    case 2:
        modes_of_levels(s, arguments, room, 2, block, rest);
        break;
    case 3:
        modes_of_levels(s, arguments, room, 3, block, rest);
        break;
    default:
        modes_of_levels(s, arguments, room, c, room->tile, rest);
    }
}

int flmm_block_run_modes(flmm_block *s, const flmm_modes *w)
{
    const int64_t c = s->c;
    const flmm_pass pass = {
        .levels = modes,
        .tile = BLOCKS * c * c + c + 3 * c * w->m,
        .level = c * (c > w->width ? c : w->width),
    };
    return flmm_block_run(s, &pass, w);
}
