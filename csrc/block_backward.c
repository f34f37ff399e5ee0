/* block_backward.c: the second pass, for the parameters of the eliminated factor.
 *
 * With what the core's solution says to the unknowns a level meets, u_2, V_2 and S^-1, and
 * the level's columns a = A_lI Lambda_I and W = L_l^-1 T'a,
 *
 *   b = T D_l^-1 T'(R_l y - a u_2)       e = R_l y - a u_2 - A_l b
 *   [C^-1]_ll = L_l'^-1 (I + W S^-1 W' + Y Y') L_l^-1,   Y = L_l^-1 T'(R_lX RX^-1 - a V_2)
 *
 * and with the directions d_i = D_i e and f_i = F d_i, F = I - T D_l^-1 T'A_l (what is left
 * of d_i when c_i is taken off: c_i = L_l^-1 T'A_l d_i, f_i = d_i - T L_l'^-1 c_i),
 *
 *   q_ij += d_i'A_l d_j - c_i'c_j = f_i'A_l d_j      h_i += R_lX'd_i - U_lX'c_i = R_lX'f_i
 *   a_i  += A_Il f_i                                 (the core's share; block_core.c)
 */
#include "block.h"

#include <string.h>

/* What the pass is given. */
typedef struct {
    const flmm_derivatives *d;
    int32_t own;                     /* directions of the eliminated factor */
    double *blocks;                  /* [nl c c] of M^-1, or NULL */
} backward_pass;

/* The levels at work and the sums over them; blocks with several columns of c numbers
 * column by column. */
typedef struct {
    lanes *A, *t, *N, *F, *Q, *H;    /* [c c]  the factor is N inverse^-1/2; Q = W S^-1 W' + Y Y' */
    lanes *inverse, *r, *e;          /* [c] */
    lanes *R, *X;                    /* [m c]  X = a [V_2 u_2] */
    lanes *f, *Ad;                   /* [own c] */
    lanes *trace, *score;            /* [c c] */
    lanes *q, *h;                    /* [own (own+1)/2], [own p] */
    double *core;                    /* [LANES] times [c c] for Q and [m c] for X */
    double *sum;                     /* [c] */
} tile;

enum { BLOCKS = 8 };                 /* c x c blocks of a tile, beside three times c */

FLMM_INLINE tile lay_out(const int32_t c, ptrdiff_t p, ptrdiff_t own, lanes *block, lanes *rest)
{
    const ptrdiff_t square = (ptrdiff_t)c * c, m = p + 1;
    tile w;
    w.A = block;
    w.t = w.A + square;
    w.N = w.t + square;
    w.F = w.N + square;
    w.Q = w.F + square;
    w.H = w.Q + square;
    w.trace = w.H + square;
    w.score = w.trace + square;
    w.inverse = w.score + square;
    w.r = w.inverse + c;
    w.e = w.r + c;
    w.R = rest;
    w.X = w.R + c * m;
    w.f = w.X + c * m;
    w.Ad = w.f + c * own;
    w.q = w.Ad + c * own;
    w.h = w.q + flmm_pairs_of(own);
    w.core = (double *)(w.h + own * p);
    w.sum = w.core + LANES * (square + c * m);
    return w;
}

static int64_t rest_size(int64_t c, int64_t p, int64_t own)
{
    return 2 * c * (p + 1) + 2 * c * own + flmm_pairs_of(own) + own * p + c * c + c * (p + 1) + c;
}

/* --- what the core says to a level -------------------------------------------------- */

/* Q += W S^-1 W' of one level, lower triangle: with z_tr = [S^-1]_tr and s_r = z_rr w_r / 2
 * + sum over t > r of z_tr w_t, the sum is w_r s_r' + s_r w_r'.  sum [c] is workspace. */
FLMM_INLINE void add_inverse(const flmm_block *s, const int32_t c, int64_t columns, const double *W,
                             const int32_t *unknown, const int32_t *place, double *sum, double *Q)
{
    const double *inverse = flmm_core_inverse_values(s->core);
    for (int64_t r = 0; r < columns; r++) {
        const double *v = W + r * c, *column = inverse + unknown[r] * s->n2;
        const double z = 0.5 * (place ? inverse[place[0]] : column[unknown[r]]);
        for (int32_t i = 0; i < c; i++) {
            sum[i] = z * v[i];
        }
        for (int64_t t = r + 1; t < columns; t++) {
            const double w = place ? inverse[place[t - r]] : column[unknown[t]];
            for (int32_t i = 0; i < c; i++) {
                sum[i] += w * W[t * c + i];
            }
        }
        for (int32_t i = 0; i < c; i++) {
            for (int32_t j = 0; j <= i; j++) {
                Q[i * c + j] += v[i] * sum[j] + v[j] * sum[i];
            }
        }
        if (place) {
            place += columns - r;
        }
    }
}

/* In place: columns a to N^-1 T'a, for the level in place k. */
FLMM_INLINE void forward_columns(const int32_t c, const double *T, const tile *w, int k, int64_t columns, double *a)
{
    for (int64_t t = 0; t < columns; t++, a += c) {
        for (int32_t i = 0; i < c; i++) {
            double v = a[0] * T[i];
            for (int32_t b = 1; b < c; b++) {
                v += a[b] * T[b * c + i];
            }
            for (int32_t b = 0; b < i; b++) {
                v -= w->N[i * c + b][k] * w->sum[b];
            }
            w->sum[i] = v;
        }
        for (int32_t i = 0; i < c; i++) {
            a[i] = w->sum[i];
        }
    }
}

/* X = a [V_2 u_2] and, for traces, Q = W S^-1 W' of the levels from l on. */
FLMM_INLINE void hear_core(const flmm_block *s, const int32_t c, int traces, const flmm_room *room, int64_t l,
                           const int32_t **next, const tile *w)
{
    const ptrdiff_t m = s->at.x->p + 1, square = (ptrdiff_t)c * c, size = square + c * m;
    const double *of_level[LANES];
    for (ptrdiff_t i = 0; i < LANES * size; i++) {
        w->core[i] = 0.0;
    }
    for (int k = 0; k < LANES; k++) {
        double *Q = w->core + k * size, *X = Q + square;
        of_level[k] = Q;
        if (l + k >= room->to) {
            continue;
        }
        const flmm_meeting level = flmm_level_meets(s, l + k);
        const int64_t columns = level.columns;
        flmm_level_scaled(s, c, l + k, room->columns, room->unknown);
        for (int64_t t = 0; t < columns; t++) {
            const double *a = room->columns + t * c, *of_core = s->X2 + room->unknown[t] * m;
            for (ptrdiff_t j = 0; j < m; j++) {
                for (int32_t i = 0; i < c; i++) {
                    X[j * c + i] += a[i] * of_core[j];
                }
            }
        }
        const int32_t *place = flmm_level_places(s, &level, next);
        if (traces) {
            forward_columns(c, s->at.Lambda, w, k, columns, room->columns);
            add_inverse(s, c, columns, room->columns, room->unknown, place, w->sum, Q);
        }
    }
    for (ptrdiff_t i = 0; i < square; i++) {
        w->Q[i] = flmm_lanes_load(of_level, i);
    }
    for (ptrdiff_t i = 0; i < c * m; i++) {
        w->X[i] = flmm_lanes_load(of_level, square + i);
    }
}

/* --- scores and information ----------------------------------------------------------- */

/* e, and the sum of e e' */
FLMM_INLINE void add_score(const int32_t c, const double *T, ptrdiff_t p, const double *y, const tile *w)
{
    for (int32_t a = 0; a < c; a++) {
        lanes v = w->R[p * c + a] * y[p] - w->X[p * c + a];
        for (ptrdiff_t j = 0; j < p; j++) {
            v += w->R[j * c + a] * y[j];
        }
        w->r[a] = v;
    }
    lanes *b = w->H;
    flmm_lanes_solve(c, T, w->N, w->inverse, w->r, w->e, b);
    for (int32_t a = 0; a < c; a++) {
        lanes v = w->r[a];
        for (int32_t k = 0; k < c; k++) {
            v -= w->A[a * c + k] * b[k];
        }
        w->e[a] = v;
        for (int32_t k = 0; k <= a; k++) {
            w->score[a * c + k] += v * w->e[k];
        }
    }
}

/* F = I - T D^-1 T'A, column by column; the columns of T'A are the rows of t, and t is lost */
FLMM_INLINE void make_F(const int32_t c, const double *T, const tile *w)
{
    for (int32_t j = 0; j < c; j++) {
        flmm_lanes_reduce(c, w->N, w->t + j * c);
        flmm_lanes_finish(c, T, w->N, w->inverse, w->t + j * c, w->F + j * c);
        for (int32_t i = 0; i < c; i++) {
            w->F[j * c + i] = (i == j ? 1.0 : 0.0) - w->F[j * c + i];
        }
    }
}

FLMM_INLINE void add_information(const flmm_block *s, const int32_t c, ptrdiff_t p, ptrdiff_t own, const double *D,
                                 const tile *w)
{
    lanes *q = w->q, *h = w->h;
    for (ptrdiff_t i = 0; i < own; i++) {
        const double *Di = D + s->D_at[i];
        lanes *d = w->r, *f = w->f + i * c, *Ad = w->Ad + i * c;
        for (int32_t a = 0; a < c; a++) {
            lanes v = w->e[0] * Di[a * c];
            for (int32_t b = 1; b < c; b++) {
                v += w->e[b] * Di[a * c + b];
            }
            d[a] = v;
        }
        for (int32_t a = 0; a < c; a++) {
            lanes v = w->F[a] * d[0], g = w->A[a * c] * d[0];
            for (int32_t b = 1; b < c; b++) {
                v += w->F[b * c + a] * d[b];
                g += w->A[a * c + b] * d[b];
            }
            f[a] = v;
            Ad[a] = g;
        }
        for (const lanes *other = w->Ad; other <= Ad; other += c) {
            lanes v = f[0] * other[0];
            for (int32_t a = 1; a < c; a++) {
                v += f[a] * other[a];
            }
            *q++ += v;
        }
        for (const lanes *R = w->R; R < w->R + p * c; R += c) {
            lanes v = f[0] * R[0];
            for (int32_t a = 1; a < c; a++) {
                v += f[a] * R[a];
            }
            *h++ += v;
        }
    }
}

/* --- traces --------------------------------------------------------------------------- */

/* Q += Y Y', lower triangle */
FLMM_INLINE void add_fixed_part(const flmm_block *s, const int32_t c, ptrdiff_t p, const tile *w)
{
    for (ptrdiff_t j = 0; j < p; j++) {
        for (int32_t a = 0; a < c; a++) {
            w->r[a] = -w->X[j * c + a];
        }
        for (ptrdiff_t k = 0; k <= j; k++) {
            const double v = s->RX_inverse[k * p + j];
            for (int32_t a = 0; a < c; a++) {
                w->r[a] += w->R[k * c + a] * v;
            }
        }
        flmm_lanes_forward(c, s->at.Lambda, w->N, w->r, w->t);
        for (int32_t a = 0; a < c; a++) {
            for (int32_t b = 0; b <= a; b++) {
                w->Q[a * c + b] += w->t[a] * w->t[b];
            }
        }
    }
}

/* Q := [C^-1]_ll = N'^-1 (inverse + inverse Q inverse) N^-1, lower triangle, and its trace */
FLMM_INLINE void add_trace(const int32_t c, const tile *w)
{
    for (int32_t i = 0; i < c; i++) {
        for (int32_t j = 0; j <= i; j++) {
            lanes v = w->inverse[i] * w->Q[i * c + j] * w->inverse[j];
            if (i == j) {
                v += w->inverse[i];
            }
            w->H[i * c + j] = w->H[j * c + i] = v;
        }
    }
    for (int32_t j = 0; j < c; j++) {            /* columns, then rows */
        flmm_lanes_back(c, w->N, w->H + j * c);
    }
    for (int32_t i = 0; i < c; i++) {
        for (int32_t j = 0; j < c; j++) {
            w->t[j] = w->H[j * c + i];
        }
        flmm_lanes_back(c, w->N, w->t);
        for (int32_t j = 0; j <= i; j++) {
            w->Q[i * c + j] = w->t[j];
            w->trace[i * c + j] += (i == j ? 1.0 : 0.0) - w->t[j];
        }
    }
}

/* --- the pass ----------------------------------------------------------------------- */

/* c is s->c, given again to be a constant where it can. */
FLMM_INLINE void backward_levels(const flmm_block *s, const backward_pass *pass, flmm_room *room, const int32_t c,
                                 lanes *block, lanes *rest)
{
    const flmm_crossproducts *x = s->at.x;
    const flmm_derivatives *d = pass->d;
    const ptrdiff_t p = x->p, m = p + 1, own = pass->own, square = (ptrdiff_t)c * c;
    const int traces = d->what & FLMM_TRACE, scores = d->what & (FLMM_SCORE | FLMM_INFORMATION);
    const tile w = lay_out(c, p, own, block, rest);
    const int32_t *next = s->place ? s->place + s->first_place[room->from / s->levels] : NULL;
    double *rows = room->rows;
    const lanes zero = flmm_lanes_all(0.0);
    for (ptrdiff_t i = 0; i < square; i++) {
        w.trace[i] = w.score[i] = zero;
    }
    for (ptrdiff_t i = 0; i < flmm_pairs_of(own) + own * p; i++) {
        w.q[i] = zero;
    }
    for (ptrdiff_t i = 0; i < c * m; i++) {
        w.X[i] = zero;
    }
    for (int64_t l = room->from; l < room->to; l += LANES) {
        const double *address[LANES];
        flmm_tile_addresses(s, room, l, x->ZtWZ[0], square, address);
        flmm_tile_blocks(c, address, w.A);
        flmm_lanes_factor(c, s->at.Lambda, w.A, w.t, w.N, w.inverse);
        flmm_tile_addresses(s, room, l, x->ZtWXy[0], c * m, address);
        for (ptrdiff_t j = 0; j < m; j++) {
            for (int32_t a = 0; a < c; a++) {
                w.R[j * c + a] = flmm_lanes_load(address, a * m + j);
            }
        }
        for (ptrdiff_t i = 0; i < square; i++) {
            w.Q[i] = zero;
        }
        if (s->n2 > 0) {
            hear_core(s, c, traces, room, l, &next, &w);
        }
        if (scores) {
            add_score(c, s->at.Lambda, p, d->y, &w);
        }
        if (own > 0) {
            make_F(c, s->at.Lambda, &w);
            add_information(s, c, p, own, d->D, &w);
        }
        for (int k = 0; own > 0 && s->n2 > 0 && k < LANES && l + k < room->to; k++) {
            for (int32_t a = 0; a < c; a++) {
                for (ptrdiff_t i = 0; i < own; i++) {
                    *rows++ = w.f[i * c + a][k];
                }
            }
        }
        if (traces && d->reml) {
            add_fixed_part(s, c, p, &w);
        }
        if (traces) {
            add_trace(c, &w);
        }
        for (int k = 0; pass->blocks && k < LANES && l + k < room->to; k++) {
            double *out = pass->blocks + (l + k) * square;
            for (int32_t i = 0; i < c; i++) {
                for (int32_t j = 0; j <= i; j++) {
                    out[i * c + j] = out[j * c + i] = w.Q[i * c + j][k];
                }
            }
        }
    }
    double *out = room->sums;
    for (ptrdiff_t i = 0; i < square; i++) {
        out[i] += i % c <= i / c ? flmm_lanes_sum(w.trace[i]) : 0.0;
        out[square + i] += i % c <= i / c ? flmm_lanes_sum(w.score[i]) : 0.0;
    }
    for (ptrdiff_t i = 0; i < flmm_pairs_of(own) + own * p; i++) {
        out[2 * square + i] += flmm_lanes_sum(w.q[i]);
    }
}

static void backward(const flmm_block *s, const void *arguments, flmm_room *room)
{
    const int32_t c = s->c;
    lanes block[BLOCKS * 9 + 9], *rest = room->tile + BLOCKS * c * c + 3 * c;
    switch (c) {
    case 1:
        backward_levels(s, arguments, room, 1, block, rest);
        break;
    case 2:
        backward_levels(s, arguments, room, 2, block, rest);
        break;
    case 3:
        backward_levels(s, arguments, room, 3, block, rest);
        break;
    default:
        backward_levels(s, arguments, room, c, room->tile, rest);
    }
}

/* a_i += A_Il f_i for the core's unknowns from <= u < to */
static void backward_core(const flmm_block *s, const void *arguments, const flmm_room *room, int32_t from, int32_t to,
                          const flmm_sink *sink)
{
    const flmm_crossproducts *x = s->at.x;
    const backward_pass *w = arguments;
    const int32_t c = s->c, own = w->own, nd = s->nd;
    const double *f = room->rows;
    for (int64_t l = room->from; l < room->to; l++, f += c * own) {
        for (int32_t g = 1; g < x->nf; g++) {
            const int32_t cg = x->nc[g];
            const ptrdiff_t pair = flmm_pair(0, g);
            for (int64_t k = x->indptr[pair][l]; k < x->indptr[pair][l + 1]; k++) {
                const double *B = x->values[pair] + k * c * cg;
                const int64_t first = s->at.offset[g] - s->n1 + (int64_t)x->indices[pair][k] * cg;
                for (int32_t b = 0; b < cg; b++) {
                    if (first + b < from || first + b >= to) {
                        continue;
                    }
                    double *out = sink->rows + (first + b) * nd;
                    for (int32_t a = 0; a < c; a++) {
                        for (int32_t i = 0; i < own; i++) {
                            out[i] += B[a * cg + b] * f[a * own + i];
                        }
                    }
                }
            }
        }
    }
}

/* out (c x c) in full from its lower triangle */
static void both_triangles(int32_t c, const double *lower, double *out)
{
    for (int32_t a = 0; a < c; a++) {
        for (int32_t b = 0; b <= a; b++) {
            out[a * c + b] = out[b * c + a] = lower[a * c + b];
        }
    }
}

int flmm_block_backward(flmm_block *s, const flmm_derivatives *d, double *blocks)
{
    const int32_t c = s->c, p = s->at.x->p;
    const int32_t own = d->what & FLMM_INFORMATION ? s->own : 0;
    const int64_t square = (int64_t)c * c;
    const backward_pass w = {d, own, blocks};
    const flmm_pass pass = {
        .levels = backward,
        .core = own > 0 && s->n2 > 0 ? backward_core : NULL,
        .sink = {s->a2, NULL},
        .given = own > 0 && s->n2 > 0 ? s->nd : 0,
        .width = s->n2 > 0 ? own : 0,
        .sums = 2 * square + flmm_pairs_of(own) + (int64_t)own * p,
        .tile = BLOCKS * square + 3 * c + rest_size(c, p, own),
        .level = (int64_t)c * (c > p ? c : p + 1),
    };
    const int status = flmm_block_run(s, &pass, &w);
    if (status != FLMM_OK) {
        return status;
    }
    if (d->what & FLMM_TRACE && d->trace) {
        both_triangles(c, s->total, d->trace);
    }
    if (d->what & FLMM_SCORE) {
        both_triangles(c, s->total + square, d->score);
    }
    const double *q = s->total + 2 * square, *h = q + flmm_pairs_of(own);
    for (int32_t i = 0; i < own; i++) {
        for (int32_t j = 0; j <= i; j++) {
            d->q[(ptrdiff_t)s->order[i] * s->nd + s->order[j]] = *q++;
        }
        memcpy(d->h + (ptrdiff_t)s->order[i] * p, h + (ptrdiff_t)i * p, (size_t)p * sizeof *h);
    }
    return FLMM_OK;
}
