/* block_derivatives.c: traces and average information along the block route.
 *
 * Everything of an eliminated level is made, used and forgotten while its blocks
 * are in cache; only sums and arrays of the core's size are kept.  Levels are
 * divided into slices whose number depends on the model alone, and the slices'
 * sums are added in order: the bits are the same on any number of threads.
 */
#include "block.h"
#include "threads.h"

#include <stdlib.h>
#include <string.h>

#define MOST_SLICES 16

static int64_t slices_of(const flmm_block *s)
{
    const int64_t chunks = (s->nl + FLMM_LEVELS - 1) / FLMM_LEVELS;
    return chunks < MOST_SLICES ? chunks : MOST_SLICES;
}

static int make_room(double **room, int64_t *have, int64_t need)
{
    if (need <= *have) {
        return FLMM_OK;
    }
    free(*room);
    *room = malloc((size_t)need * sizeof **room);
    *have = *room ? need : 0;
    return *room ? FLMM_OK : FLMM_NO_MEMORY;
}

/* --- diagonal blocks of M^-1 ---------------------------------------------------- */

/* Columns of a factor up to which a column of W S^-1 fits the stack. */
#define STACK_COLUMNS 32

/* Y += W_i [S^-1]_II W_i', column by column: with z_tr = [S^-1]_tr and
 * s_t = z_tt w_t / 2 + sum over r < t of z_tr w_r, the sum is w_t s_t' + s_t w_t'. */
static inline void middle_block(const flmm_block *s, int64_t level, int64_t first_place, double *Y,
                                const int32_t c)
{
    const double *inverse = flmm_core_inverse_values(s->core);
    const int64_t *place = s->inverse_place ? s->inverse_place + first_place : NULL;
    const int64_t first = s->start[level];
    for (int64_t t = first; t < s->start[level + 1]; t++) {
        const double *w = s->W + t * c;
        for (int32_t from = 0; from < c; from += STACK_COLUMNS) {
            const int32_t to = from + STACK_COLUMNS < c ? from + STACK_COLUMNS : c;
            double sum[STACK_COLUMNS] = {0.0};
            for (int64_t r = first; r <= t; r++) {
                const double *v = s->W + r * c;
                const int64_t where = place ? place[r - first] : s->unknown[t] + s->unknown[r] * s->n2;
                const double z = r == t ? 0.5 * inverse[where] : inverse[where];
                for (int32_t a = from; a < to; a++) {
                    sum[a - from] += z * v[a];
                }
            }
            for (int32_t a = 0; a < c; a++) {
                for (int32_t b = from; b < to; b++) {
                    Y[a * c + b] += w[a] * sum[b - from];
                    Y[b * c + a] += w[a] * sum[b - from];
                }
            }
        }
        if (place) {
            place += t - first + 1;
        }
    }
}

/* [M^-1]_ll of an eliminated level; c is s->c, given again to be a constant where it can */
static inline void inverse_of_level(const flmm_block *s, int64_t level, double *out, const int32_t c)
{
    const double *LD = s->LD + level * c * c;
    for (int32_t a = 0; a < c; a++) {
        for (int32_t b = 0; b < c; b++) {
            out[a * c + b] = a == b ? 1.0 : 0.0;
        }
    }
    if (s->n2) {
        middle_block(s, level, s->place ? s->first_place[level] : 0, out, c);
    }
    for (int32_t a = c - 1; a >= 0; a--) {       /* out := L^-T out, row by row from the last */
        const double scale = 1.0 / LD[a * c + a];
        for (int32_t j = 0; j < c; j++) {
            double v = out[a * c + j];
            for (int32_t b = a + 1; b < c; b++) {
                v -= LD[b * c + a] * out[b * c + j];
            }
            out[a * c + j] = v * scale;
        }
    }
    for (int32_t a = c - 1; a >= 0; a--) {       /* out := out L^-1, column by column from the last */
        const double scale = 1.0 / LD[a * c + a];
        for (int32_t i = 0; i < c; i++) {
            double v = out[i * c + a];
            for (int32_t b = a + 1; b < c; b++) {
                v -= out[i * c + b] * LD[b * c + a];
            }
            out[i * c + a] = v * scale;
        }
    }
}

void flmm_block_inverse_at(const flmm_block *s, int32_t factor, int64_t level, double *out)
{
    const int32_t nc = s->at.x->nc[factor];
    if (factor == 0) {
        inverse_of_level(s, level, out, nc);
        return;
    }
    const double *inverse = flmm_core_inverse_values(s->core);
    const int64_t own = s->at.offset[factor] - s->n1 + level * nc;
    for (int32_t a = 0; a < nc; a++) {
        for (int32_t b = 0; b <= a; b++) {
            const double value = inverse[flmm_core_inverse_place(s->core, own + a, own + b)];
            out[a * nc + b] = value;
            out[b * nc + a] = value;
        }
    }
}

/* --- traces ------------------------------------------------------------------- */

/* S := sum of I - [C^-1]_ll over some eliminated levels.  RX_inverse [p p] row-major;
 * V_core [n2 p], core's order; NULL leaves the fixed part out.  buffer [c c + c p]. */
static inline void trace_of_levels(const flmm_block *s, int64_t from, int64_t to, int32_t p,
                                   const double *U, const double *RX_inverse, const double *V_core,
                                   double *buffer, double *S, const int32_t c)
{
    const int32_t m = p + 1;
    double *block = buffer, *V = buffer + (ptrdiff_t)c * c;
    memset(S, 0, (size_t)c * (size_t)c * sizeof *S);
    for (int64_t l = from; l < to; l++) {
        inverse_of_level(s, l, block, c);
        for (int32_t a = 0; a < c; a++) {
            for (int32_t b = 0; b <= a; b++) {
                S[a * c + b] += (a == b ? 1.0 : 0.0) - block[a * c + b];
            }
        }
        if (!V_core) {
            continue;
        }
        /* V_l = L_l^-T (RZX_l RX^-1 - W_l V_core) */
        for (int32_t a = 0; a < c; a++) {
            const double *x = U + (l * c + a) * m;
            double *v = V + (ptrdiff_t)a * p;
            for (int32_t r = 0; r < p; r++) {
                v[r] = 0.0;
            }
            for (int32_t k = 0; k < p; k++) {
                const double *row = RX_inverse + (ptrdiff_t)k * p;
                for (int32_t r = k; r < p; r++) {
                    v[r] += x[k] * row[r];
                }
            }
        }
        for (int64_t t = s->start[l]; t < s->start[l + 1]; t++) {
            const double *core = V_core + (s->position[s->n1 + s->unknown[t]] - s->n1) * p;
            for (int32_t a = 0; a < c; a++) {
                const double w = s->W[t * c + a];
                for (int32_t r = 0; r < p; r++) {
                    V[(ptrdiff_t)a * p + r] -= w * core[r];
                }
            }
        }
        const double *LD = s->LD + l * c * c;
        for (int32_t a = c - 1; a >= 0; a--) {
            double *v = V + (ptrdiff_t)a * p;
            for (int32_t b = a + 1; b < c; b++) {
                for (int32_t r = 0; r < p; r++) {
                    v[r] -= LD[b * c + a] * V[(ptrdiff_t)b * p + r];
                }
            }
            const double scale = 1.0 / LD[a * c + a];
            for (int32_t r = 0; r < p; r++) {
                v[r] *= scale;
            }
        }
        for (int32_t a = 0; a < c; a++) {
            for (int32_t b = 0; b <= a; b++) {
                for (int32_t r = 0; r < p; r++) {
                    S[a * c + b] -= V[(ptrdiff_t)a * p + r] * V[(ptrdiff_t)b * p + r];
                }
            }
        }
    }
}

/* RX^-1, row-major upper, from RX column-major upper. */
static void invert_upper(int32_t p, const double *RX, double *inverse)
{
    memset(inverse, 0, (size_t)p * (size_t)p * sizeof *inverse);
    for (int32_t j = 0; j < p; j++) {
        for (int32_t i = j; i >= 0; i--) {
            double v = i == j ? 1.0 : 0.0;
            for (int32_t k = i + 1; k <= j; k++) {
                v -= RX[i + (ptrdiff_t)k * p] * inverse[(ptrdiff_t)k * p + j];
            }
            inverse[(ptrdiff_t)i * p + j] = v / RX[i + (ptrdiff_t)i * p];
        }
    }
}

/* The same for the factors of the core. */
static void trace_of_core(const flmm_block *s, int32_t p, const double *V_core, double *block, double *trace)
{
    const flmm_crossproducts *x = s->at.x;
    for (int32_t f = 1; f < x->nf; f++) {
        const int32_t c = x->nc[f];
        double *S = trace + s->at.square[f];
        memset(S, 0, (size_t)c * (size_t)c * sizeof *S);
        for (int64_t l = 0; l < x->nl[f]; l++) {
            const int64_t *own = s->position + s->at.offset[f] + l * c;
            flmm_block_inverse_at(s, f, l, block);
            for (int32_t a = 0; a < c; a++) {
                for (int32_t b = 0; b <= a; b++) {
                    double v = (a == b ? 1.0 : 0.0) - block[a * c + b];
                    for (int32_t r = 0; V_core && r < p; r++) {
                        v -= V_core[(own[a] - s->n1) * p + r] * V_core[(own[b] - s->n1) * p + r];
                    }
                    S[a * c + b] += v;
                }
            }
        }
    }
}

int flmm_block_traces(flmm_block *s, int reml, int32_t p, const double *U, const double *RX, double *work,
                      double *trace)
{
    const flmm_crossproducts *x = s->at.x;
    const int32_t c = s->c;
    const int64_t slices = slices_of(s), square = (int64_t)c * c;
    const int64_t most = (int64_t)s->at.most_columns * s->at.most_columns;
    const int64_t buffer = most + (int64_t)c * p;
    const int fixed = reml && p > 0;
    int status = make_room(&s->trace_room, &s->trace_size,
                           s->n2 * p + slices * square + s->at.threads * buffer + (int64_t)p * p + 1);
    if (status != FLMM_OK) {
        return status;
    }
    double *V_core = s->trace_room, *sums = V_core + s->n2 * p, *buffers = sums + slices * square;
    double *RX_inverse = buffers + s->at.threads * buffer;
    if (fixed) {
        invert_upper(p, RX, RX_inverse);
    }
    if (fixed && s->n2) {                /* V_core = L_S^-T RZX_core RX^-1 */
        for (int64_t u = 0; u < s->n2; u++) {
            memcpy(V_core + u * p, U + (s->n1 + u) * (p + 1), (size_t)p * sizeof *V_core);
        }
        char left = 'L', upper = 'U', transposed = 'T', nonunit = 'N';
        double one = 1.0;
        int rows = p, columns = (int)s->n2;
        s->blas->dtrsm(&left, &upper, &transposed, &nonunit, &rows, &columns, &one,
                       (double *)(uintptr_t)RX, &rows, V_core, &rows);
        flmm_core_solve_Lt(s->core, p, V_core, work);
    }
#pragma omp parallel for schedule(static) num_threads(flmm_team(&s->at)) if (s->nl > FLMM_WORTH_THREADS)
    for (int64_t k = 0; k < slices; k++) {
        const int64_t from = s->nl * k / slices, to = s->nl * (k + 1) / slices;
        const double *V = fixed ? V_core : NULL;
        double *own = buffers + flmm_thread() * buffer, *S = sums + k * square;
        if (c == 1) {
            trace_of_levels(s, from, to, p, U, RX_inverse, V, own, S, 1);
        } else if (c == 2) {
            trace_of_levels(s, from, to, p, U, RX_inverse, V, own, S, 2);
        } else {
            trace_of_levels(s, from, to, p, U, RX_inverse, V, own, S, c);
        }
    }
    memset(trace, 0, (size_t)square * sizeof *trace);
    for (int64_t k = 0; k < slices; k++) {
        for (int64_t e = 0; e < square; e++) {
            trace[e] += sums[k * square + e];
        }
    }
    trace_of_core(s, p, fixed ? V_core : NULL, buffers, trace);
    for (int32_t f = 0; f < x->nf; f++) {
        double *S = trace + s->at.square[f];
        for (int32_t a = 0; a < x->nc[f]; a++) {
            for (int32_t b = 0; b < a; b++) {
                S[b * x->nc[f] + a] = S[a * x->nc[f] + b];
            }
        }
    }
    return FLMM_OK;
}

/* --- average information --------------------------------------------------------- */

/* What is summed over levels, per slice. */
typedef struct {
    double *dAd;                     /* [nd nd] sum of d'(A d) */
    double *cc;                      /* [nd nd] sum of c'c */
    double *h;                       /* [nd p]  sum of R'd - RZX'c */
    double *Ad_core;                 /* [n2 nd] sum of A_2l d_l, caller's order of the core */
    double *Wc_core;                 /* [n2 nd] sum of W_l'c_l */
} sums;

static int64_t sums_size(const flmm_block *s, int32_t p, int32_t nd)
{
    return 2 * (int64_t)nd * nd + (int64_t)nd * p + 2 * s->n2 * nd;
}

static sums sums_at(const flmm_block *s, int32_t p, int32_t nd, double *room)
{
    sums out;
    out.dAd = room;
    out.cc = out.dAd + (ptrdiff_t)nd * nd;
    out.h = out.cc + (ptrdiff_t)nd * nd;
    out.Ad_core = out.h + (ptrdiff_t)nd * p;
    out.Wc_core = out.Ad_core + s->n2 * nd;
    return out;
}

/* One problem of average information, as the loops below share it.  Directions are
 * numbered here with those of the eliminated factor first. */
typedef struct {
    const double *Lambda, *U, *e, *D;
    const double *const *R;
    const int32_t *factor_of;        /* as the caller numbers them, like D */
    const int32_t *order;            /* [nd] the caller's number of direction i */
    const int64_t *D_at;             /* [nd] where D of direction i begins */
    int32_t p, nd, own;              /* own: how many belong to the eliminated factor */
    const double *d_core;            /* [n2 nd] */
} problem;

/* Number the directions, those of the eliminated factor first; returns how many they are. */
static int32_t number_directions(const flmm_block *s, int32_t nd, const int32_t *factor_of, int32_t *order,
                                 int64_t *D_at)
{
    int32_t count = 0, own = 0;
    for (int pass = 0; pass < 2; pass++) {
        int64_t at = 0;
        for (int32_t i = 0; i < nd; i++) {
            if ((factor_of[i] == 0) == (pass == 0)) {
                order[count] = i;
                D_at[count++] = at;
            }
            at += (int64_t)s->at.x->nc[factor_of[i]] * s->at.x->nc[factor_of[i]];
        }
        own = pass == 0 ? count : own;
    }
    return own;
}

/* d (c x nd) := D_i e for the directions of one factor of the core, zero for the others */
static void directions_of_core(const problem *w, const flmm_block *s, int32_t factor, const double *e, double *d)
{
    const int32_t nc = s->at.x->nc[factor], nd = w->nd;
    memset(d, 0, (size_t)nc * (size_t)nd * sizeof *d);
    for (int32_t i = w->own; i < nd; i++) {
        const double *D = w->D + w->D_at[i];
        for (int32_t a = 0; w->factor_of[w->order[i]] == factor && a < nc; a++) {
            for (int32_t b = 0; b < nc; b++) {
                d[a * nd + i] += D[a * nc + b] * e[b];
            }
        }
    }
}

/* out (nd x m) += sign x y', x of nd and y of m numbers */
static inline void add_outer(int32_t nd, const double *x, int32_t m, const double *y, double sign, double *out)
{
    for (int32_t i = 0; i < nd; i++) {
        const double v = sign * x[i];
        for (int32_t j = 0; j < m; j++) {
            out[(ptrdiff_t)i * m + j] += v * y[j];
        }
    }
}

/* The share of some eliminated levels; buffer [3 c nd].  c is s->c, given again to be a
 * constant where it can. */
static inline void information_of_levels(const flmm_block *s, const problem *w, int64_t from, int64_t to,
                                         double *buffer, const sums *out, const int32_t c)
{
    const flmm_crossproducts *x = s->at.x;
    const int32_t nd = w->nd, own = w->own, p = w->p, m = p + 1;
    double *d = buffer, *Ad = d + (ptrdiff_t)c * nd, *cl = Ad + (ptrdiff_t)c * nd;
    for (int64_t l = from; l < to; l++) {
        const double *G = x->ZtWZ[0] + l * c * c, *e = w->e + l * c;
        for (int32_t i = 0; i < own; i++) {
            const double *D = w->D + w->D_at[i];
            for (int32_t a = 0; a < c; a++) {
                double v = 0.0;
                for (int32_t b = 0; b < c; b++) {
                    v += D[a * c + b] * e[b];
                }
                d[a * own + i] = v;
            }
        }
        for (int32_t a = 0; a < c; a++) {
            for (int32_t i = 0; i < own; i++) {
                double v = 0.0;
                for (int32_t b = 0; b < c; b++) {
                    v += G[a * c + b] * d[b * own + i];
                }
                Ad[a * nd + i] = v;
            }
            for (int32_t i = own; i < nd; i++) {
                Ad[a * nd + i] = 0.0;
            }
        }
        for (int32_t g = 1; g < x->nf; g++) {
            const int32_t cg = x->nc[g];
            const ptrdiff_t pair = flmm_pair(0, g);
            for (int64_t k = x->indptr[pair][l]; k < x->indptr[pair][l + 1]; k++) {
                const double *B = x->values[pair] + k * c * cg;
                const int64_t first = s->at.offset[g] - s->n1 + (int64_t)x->indices[pair][k] * cg;
                for (int32_t b = 0; b < cg; b++) {
                    const double *other = w->d_core + (first + b) * nd;
                    double *into = out->Ad_core + (first + b) * nd;
                    for (int32_t a = 0; a < c; a++) {
                        const double v = B[a * cg + b];
                        for (int32_t i = 0; i < own; i++) {
                            into[i] += v * d[a * own + i];
                        }
                        for (int32_t i = own; i < nd; i++) {
                            Ad[a * nd + i] += v * other[i];
                        }
                    }
                }
            }
        }
        for (int32_t a = 0; a < c; a++) {
            add_outer(own, d + a * own, nd, Ad + a * nd, 1.0, out->dAd);
            add_outer(own, d + a * own, p, w->R[0] + (l * c + a) * m, 1.0, out->h);
        }
        /* c_l = L_l^-1 Lambda' (A d)_l */
        const double *LD = s->LD + l * c * c;
        for (int32_t a = 0; a < c; a++) {
            const double scale = 1.0 / LD[a * c + a];
            for (int32_t i = 0; i < nd; i++) {
                double v = 0.0;
                for (int32_t b = 0; b < c; b++) {
                    v += w->Lambda[b * c + a] * Ad[b * nd + i];
                }
                for (int32_t b = 0; b < a; b++) {
                    v -= LD[a * c + b] * cl[b * nd + i];
                }
                cl[a * nd + i] = v * scale;
            }
        }
        for (int32_t a = 0; a < c; a++) {
            add_outer(nd, cl + a * nd, nd, cl + a * nd, 1.0, out->cc);
            add_outer(nd, cl + a * nd, p, w->U + (l * c + a) * m, -1.0, out->h);
        }
        for (int64_t t = s->start[l]; t < s->start[l + 1]; t++) {
            double *into = out->Wc_core + (int64_t)s->unknown[t] * nd;
            for (int32_t a = 0; a < c; a++) {
                const double v = s->W[t * c + a];
                for (int32_t i = 0; i < nd; i++) {
                    into[i] += v * cl[a * nd + i];
                }
            }
        }
    }
}

static void add_information_of_levels(const flmm_block *s, const problem *w, int64_t from, int64_t to,
                                      double *buffer, const sums *out)
{
    switch (s->c) {
    case 1:
        information_of_levels(s, w, from, to, buffer, out, 1);
        break;
    case 2:
        information_of_levels(s, w, from, to, buffer, out, 2);
        break;
    default:
        information_of_levels(s, w, from, to, buffer, out, s->c);
    }
}

/* Ad_core += A_22 d_core */
static void multiply_core(const flmm_block *s, const problem *w, double *Ad_core)
{
    const flmm_crossproducts *x = s->at.x;
    const int32_t nd = w->nd;
    for (int32_t f = 1; f < x->nf; f++) {
        const int32_t cf = x->nc[f];
        for (int64_t l = 0; l < x->nl[f]; l++) {
            const int64_t own = s->at.offset[f] - s->n1 + l * cf;
            const double *G = x->ZtWZ[f] + l * cf * cf;
            for (int32_t a = 0; a < cf; a++) {
                for (int32_t b = 0; b < cf; b++) {
                    for (int32_t i = 0; i < nd; i++) {
                        Ad_core[(own + a) * nd + i] += G[a * cf + b] * w->d_core[(own + b) * nd + i];
                    }
                }
            }
            for (int32_t g = f + 1; g < x->nf; g++) {
                const int32_t cg = x->nc[g];
                const ptrdiff_t pair = flmm_pair(f, g);
                for (int64_t k = x->indptr[pair][l]; k < x->indptr[pair][l + 1]; k++) {
                    const double *B = x->values[pair] + k * cf * cg;
                    const int64_t other = s->at.offset[g] - s->n1 + (int64_t)x->indices[pair][k] * cg;
                    for (int32_t a = 0; a < cf; a++) {
                        for (int32_t b = 0; b < cg; b++) {
                            const double v = B[a * cg + b];
                            for (int32_t i = 0; i < nd; i++) {
                                Ad_core[(own + a) * nd + i] += v * w->d_core[(other + b) * nd + i];
                                Ad_core[(other + b) * nd + i] += v * w->d_core[(own + a) * nd + i];
                            }
                        }
                    }
                }
            }
        }
    }
}

/* The core's share, and its right-hand sides c_core [n2 nd] in the core's order. */
static void add_information_of_core(const flmm_block *s, const problem *w, double *c_core, double *work,
                                    sums *total)
{
    const flmm_crossproducts *x = s->at.x;
    const int32_t nd = w->nd, p = w->p, m = p + 1;
    multiply_core(s, w, total->Ad_core);
    for (int32_t f = 1; f < x->nf; f++) {
        const int32_t cf = x->nc[f];
        const double *T = w->Lambda + s->at.square[f];
        for (int64_t l = 0; l < x->nl[f]; l++) {
            const int64_t own = s->at.offset[f] - s->n1 + l * cf;
            for (int32_t a = 0; a < cf; a++) {
                const double *d = w->d_core + (own + a) * nd;
                double *into = c_core + (s->position[s->n1 + own + a] - s->n1) * nd;
                add_outer(nd, d, nd, total->Ad_core + (own + a) * nd, 1.0, total->dAd);
                add_outer(nd, d, p, w->R[f] + (l * cf + a) * m, 1.0, total->h);
                for (int32_t i = 0; i < nd; i++) {
                    double v = -total->Wc_core[(own + a) * nd + i];
                    for (int32_t b = 0; b < cf; b++) {
                        v += T[b * cf + a] * total->Ad_core[(own + b) * nd + i];
                    }
                    into[i] = v;
                }
            }
        }
    }
    flmm_core_solve_L(s->core, nd, c_core, work);
    for (int64_t u = 0; u < s->n2; u++) {
        add_outer(nd, c_core + u * nd, nd, c_core + u * nd, 1.0, total->cc);
        add_outer(nd, c_core + u * nd, p, w->U + (s->n1 + u) * m, -1.0, total->h);
    }
}

int flmm_block_information(flmm_block *s, const double *Lambda, int32_t p, const double *const *R,
                           const double *U, const double *e, int32_t nd, const int32_t *factor_of,
                           const double *D, double *work, double *q, double *h)
{
    const flmm_crossproducts *x = s->at.x;
    const int64_t slices = slices_of(s), size = sums_size(s, p, nd);
    const int64_t buffer = 3 * (int64_t)s->at.most_columns * nd;
    int status = make_room(&s->information_room, &s->information_size,
                           slices * size + 2 * s->n2 * nd + s->at.threads * buffer + 1);
    if (status != FLMM_OK) {
        return status;
    }
    double *room = s->information_room, *d_core = room + slices * size, *c_core = d_core + s->n2 * nd;
    double *buffers = c_core + s->n2 * nd;
    if (nd > s->directions) {
        free(s->order);
        free(s->D_at);
        s->order = malloc((size_t)nd * sizeof *s->order);
        s->D_at = malloc((size_t)nd * sizeof *s->D_at);
        s->directions = s->order && s->D_at ? nd : 0;
        if (!s->directions) {
            return FLMM_NO_MEMORY;
        }
    }
    const int32_t own_directions = number_directions(s, nd, factor_of, s->order, s->D_at);
    const problem w = {Lambda, U, e, D, R, factor_of, s->order, s->D_at, p, nd, own_directions, d_core};
    memset(room, 0, (size_t)(slices * size) * sizeof *room);
    for (int32_t f = 1; f < x->nf; f++) {
        for (int64_t l = 0; l < x->nl[f]; l++) {
            const int64_t own = s->at.offset[f] + l * x->nc[f];
            directions_of_core(&w, s, f, e + own, d_core + (own - s->n1) * nd);
        }
    }
#pragma omp parallel for schedule(static) num_threads(flmm_team(&s->at)) if (s->nl > FLMM_WORTH_THREADS)
    for (int64_t k = 0; k < slices; k++) {
        sums part = sums_at(s, p, nd, room + k * size);
        add_information_of_levels(s, &w, s->nl * k / slices, s->nl * (k + 1) / slices,
                                  buffers + flmm_thread() * buffer, &part);
    }
    for (int64_t k = 1; k < slices; k++) {
        for (int64_t i = 0; i < size; i++) {
            room[i] += room[k * size + i];
        }
    }
    sums total = sums_at(s, p, nd, room);
    if (s->n2) {
        add_information_of_core(s, &w, c_core, work, &total);
    }
    for (int32_t i = 0; i < nd; i++) {
        for (int32_t j = 0; j < nd; j++) {
            const ptrdiff_t ij = (ptrdiff_t)i * nd + j, ji = (ptrdiff_t)j * nd + i;
            q[(ptrdiff_t)s->order[i] * nd + s->order[j]] = 0.5 * (total.dAd[ij] + total.dAd[ji]) - total.cc[ij];
        }
        memcpy(h + (ptrdiff_t)s->order[i] * p, total.h + (ptrdiff_t)i * p, (size_t)p * sizeof *h);
    }
    return FLMM_OK;
}
