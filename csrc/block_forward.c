/* block_forward.c: the first pass over the levels of the eliminated factor.
 *
 *   D_l = L_l L_l'      U_l = L_l^-1 T'R_l      W_l = L_l^-1 T'A_lI
 *
 * Summed over the levels: log|D_l|, U_l'U_l, and for the core A_S -= W_l'W_l and
 * R_S -= W_l'U_l.
 */
#include "block.h"

#include <math.h>
#include <string.h>

/* Right-hand sides up to which U'U is summed level by level; BLAS is better beyond. */
#define FEW_COLUMNS 12
/* log|D| is taken of products of determinants no larger than this. */
#define LARGE 1e100

static int is_few(const flmm_forward *w)
{
    return w->gram && w->m <= FEW_COLUMNS;
}

/* Are the rows U_l looked at after the levels are done? */
static int keeps_rows(const flmm_block *s, const flmm_forward *w)
{
    return s->n2 > 0 || (w->gram && !is_few(w));
}

/* Add log|D| of a tile to the sum; `product` gathers determinants until one more would be
 * too large. */
FLMM_INLINE void add_determinant(const int32_t c, const lanes *inverse, lanes determinant, lanes *product, lanes *sum)
{
    const lanes next = *product * determinant;
    int plain = 1;
    for (int k = 0; k < LANES; k++) {
        plain &= next[k] < LARGE;
        for (int32_t a = 0; a < c; a++) {
            plain &= inverse[a][k] > 0.0;
        }
    }
    if (plain) {
        *product = next;
        return;
    }
    for (int k = 0; k < LANES; k++) {
        (*sum)[k] += log((*product)[k]);
        for (int32_t a = 0; a < c; a++) {
            (*sum)[k] -= log(inverse[a][k]);
        }
    }
    *product = flmm_lanes_all(1.0);
}

/* W_l column by column, and the unknowns, of a level whose factor is N root^-1; returns how
 * many columns. */
FLMM_INLINE int64_t columns_of_level(const flmm_block *s, const int32_t c, int64_t level, const double *N,
                                     const double *root, double *W, int32_t *unknown)
{
    const flmm_crossproducts *x = s->at.x;
    const double *T = s->at.Lambda;
    int64_t count = 0;
    for (int32_t g = 1; g < x->nf; g++) {
        const int32_t cg = x->nc[g];
        const ptrdiff_t pair = flmm_pair(0, g);
        for (int64_t e = x->indptr[pair][level]; e < x->indptr[pair][level + 1]; e++) {
            const double *B = x->values[pair] + e * c * cg;
            const int64_t first = s->at.offset[g] - s->n1 + (int64_t)x->indices[pair][e] * cg;
            for (int32_t b = 0; b < cg; b++, count++, W += c) {
                unknown[count] = (int32_t)(first + b);
                for (int32_t i = 0; i < c; i++) {
                    double v = B[b] * T[i];
                    for (int32_t a = 1; a < c; a++) {
                        v += B[a * cg + b] * T[a * c + i];
                    }
                    for (int32_t a = 0; a < i; a++) {
                        v -= N[i * c + a] * W[a];
                    }
                    W[i] = v;
                }
                for (int32_t i = 0; i < c; i++) {
                    W[i] *= root[i];
                }
            }
        }
    }
    return count;
}

enum { BLOCKS = 3 };                 /* c x c blocks of a tile, beside two times c */

/* c is s->c, given again to be a constant where it can. */
FLMM_INLINE void forward_levels(const flmm_block *s, const flmm_forward *w, flmm_room *room, const int32_t c,
                                lanes *block, lanes *rest)
{
    const flmm_crossproducts *x = s->at.x;
    const double *T = s->at.Lambda;
    const ptrdiff_t m = w->m, square = (ptrdiff_t)c * c, size = c * m;
    const int sum_gram = is_few(w), wants_rows = keeps_rows(s, w) || w->U;
    lanes *A = block, *t = A + square, *N = t + square, *inverse = N + square, *column = inverse + c;
    lanes *Y = rest, *gram = Y + size;           /* Y = N^-1 T'R_l, column by column */
    double *factor = (double *)(gram + flmm_pairs_of(m)), *root = factor + square;
    lanes product = flmm_lanes_all(1.0), sum = flmm_lanes_all(0.0);
    double *W = room->columns, *rows = room->rows;
    int32_t *unknown = room->unknown;
    for (ptrdiff_t e = 0; sum_gram && e < flmm_pairs_of(m); e++) {
        gram[e] = flmm_lanes_all(0.0);
    }
    for (int64_t l = room->from; l < room->to; l += LANES) {
        const double *address[LANES];
        flmm_tile_addresses(s, room, l, x->ZtWZ[0], square, address);
        flmm_tile_blocks(c, address, A);
        const lanes determinant = flmm_lanes_factor(c, T, A, t, N, inverse);
        add_determinant(c, inverse, determinant, &product, &sum);
        flmm_tile_addresses(s, room, l, w->R, size, address);
        lanes *next = gram;
        for (ptrdiff_t r = 0; r < m; r++) {
            lanes *y = Y + r * c;
            for (int32_t a = 0; a < c; a++) {
                column[a] = flmm_lanes_load(address, a * m + r);
            }
            flmm_lanes_forward(c, T, N, column, y);
            for (int32_t a = 0; a < c; a++) {
                column[a] = inverse[a] * y[a];
            }
            for (const lanes *other = Y; sum_gram && other <= y; other += c) {
                lanes v = column[0] * other[0];
                for (int32_t a = 1; a < c; a++) {
                    v += column[a] * other[a];
                }
                *next++ += v;
            }
        }
        if (!wants_rows) {
            continue;
        }
        for (int32_t a = 0; a < c; a++) {
            column[a] = flmm_lanes_root(inverse[a]);
        }
        for (ptrdiff_t r = 0; r < m; r++) {
            for (int32_t a = 0; a < c; a++) {
                const lanes u = column[a] * Y[r * c + a];
                for (int k = 0; k < LANES; k++) {
                    rows[k * size + a * m + r] = u[k];
                }
            }
        }
        for (int k = 0; k < LANES && l + k < room->to; k++, rows += size) {
            if (w->U) {
                memcpy(w->U + (l + k) * size, rows, (size_t)size * sizeof *rows);
            }
            for (int32_t e = 0; e < c * c; e++) {
                factor[e] = N[e][k];
            }
            for (int32_t a = 0; a < c; a++) {
                root[a] = column[a][k];
            }
            const int64_t count = columns_of_level(s, c, l + k, factor, root, W, unknown);
            W += count * c;
            unknown += count;
        }
    }
    for (int k = 0; k < LANES; k++) {
        room->sums[0] += sum[k] + log(product[k]);
    }
    for (ptrdiff_t e = 0; sum_gram && e < flmm_pairs_of(m); e++) {
        room->sums[1 + e] += flmm_lanes_sum(gram[e]);
    }
}

static void forward(const flmm_block *s, const void *arguments, flmm_room *room)
{
    const int32_t c = s->c;
    lanes block[BLOCKS * 9 + 6], *rest = room->tile + BLOCKS * c * c + 2 * c;
    switch (c) {
    case 1:
        forward_levels(s, arguments, room, 1, block, rest);
        break;
    case 2:
        forward_levels(s, arguments, room, 2, block, rest);
        break;
    case 3:
        forward_levels(s, arguments, room, 3, block, rest);
        break;
    default:
        forward_levels(s, arguments, room, c, room->tile, rest);
    }
}

/* U'U of many columns */
static void add_gram_of_room(const flmm_block *s, const void *arguments, const flmm_room *room)
{
    const flmm_forward *w = arguments;
    flmm_gram_add(s->blas, (room->to - room->from) * s->c, w->m, room->rows, w->gram);
}

/* Subtract the products of column W with itself and those after it; dense cores have no
 * places, and `column` is where the core's column begins. */
FLMM_INLINE void subtract_column(const int32_t c, int64_t columns, const double *W, const int32_t *place,
                                 const int32_t *unknown, double *column, double *A)
{
    for (int64_t t = 0; t < columns; t++) {
        double product = W[0] * W[t * c];
        for (int32_t a = 1; a < c; a++) {
            product += W[a] * W[t * c + a];
        }
        if (place) {
            A[place[t]] -= product;
        } else {
            column[unknown[t]] -= product;
        }
    }
}

/* A_S -= W_l'W_l and R_S -= W_l'U_l, in the columns of A_S and rows of R_S from <= u < to */
FLMM_INLINE void subtract_products(const flmm_block *s, const flmm_forward *w, const flmm_room *room, int32_t from,
                                   int32_t to, const flmm_sink *sink, const int32_t c)
{
    const int32_t m = w->m;
    double *A = sink->products;
    const double *W = room->columns, *U = room->rows;
    const int32_t *unknown = room->unknown;
    const int32_t *next = s->place ? s->place + s->first_place[room->from / s->levels] : NULL;
    for (int64_t l = room->from; l < room->to; l++, U += c * m) {
        const flmm_meeting level = flmm_level_meets(s, l);
        const int64_t columns = level.columns;
        const int32_t *place = flmm_level_places(s, &level, &next);
        for (int64_t r = 0; r < columns && unknown[r] < to; r++) {
            const int32_t u = unknown[r];
            const double *v = W + r * c;
            if (u >= from && A) {
                subtract_column(c, columns - r, v, place, unknown + r, A + u * s->n2, A);
            }
            if (u >= from) {
                double *out = sink->rows + (ptrdiff_t)u * m;
                for (int32_t j = 0; j < m; j++) {
                    double product = v[0] * U[j];
                    for (int32_t a = 1; a < c; a++) {
                        product += v[a] * U[a * m + j];
                    }
                    out[j] -= product;
                }
            }
            if (place) {
                place += columns - r;
            }
        }
        W += columns * c;
        unknown += columns;
    }
}

static void forward_core(const flmm_block *s, const void *arguments, const flmm_room *room, int32_t from, int32_t to,
                         const flmm_sink *sink)
{
    switch (s->c) {
    case 1:
        subtract_products(s, arguments, room, from, to, sink, 1);
        break;
    case 2:
        subtract_products(s, arguments, room, from, to, sink, 2);
        break;
    case 3:
        subtract_products(s, arguments, room, from, to, sink, 3);
        break;
    default:
        subtract_products(s, arguments, room, from, to, sink, s->c);
    }
}

int flmm_block_forward(flmm_block *s, flmm_forward *w)
{
    const int64_t m = w->m, c = s->c;
    const int64_t products = is_few(w) ? flmm_pairs_of(m) : 0;
    const flmm_pass pass = {
        .levels = forward,
        .after = w->gram && !is_few(w) ? add_gram_of_room : NULL,
        .core = s->n2 > 0 ? forward_core : NULL,
        .sink = {w->RS, s->n2 > 0 && w->products ? flmm_core_base(s->core) : NULL},
        .given = s->n2 > 0 ? m : 0,
        .width = keeps_rows(s, w) || w->U ? m : 0,
        .sums = 1 + products,
        .tile = BLOCKS * c * c + 2 * c + c * m + flmm_pairs_of(m) + c * c + c,
        .level = c * (c > m ? c : m),
    };
    if (w->gram) {
        memset(w->gram, 0, (size_t)(m * m) * sizeof *w->gram);
    }
    const int status = flmm_block_run(s, &pass, w);
    if (status != FLMM_OK) {
        return status;
    }
    w->logdet = s->total[0];
    const double *sum = s->total + 1;
    for (int64_t j = 0; products && j < m; j++) {
        for (int64_t k = 0; k <= j; k++) {
            w->gram[j * m + k] = *sum++;
        }
    }
    return isfinite(w->logdet) ? FLMM_OK : FLMM_M_NOT_POSITIVE;
}
