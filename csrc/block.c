/* block.c: M factored after closed-form elimination of its biggest factor.
 *
 * The levels of the factor with most levels (students) do not meet each other, so
 * their part of M is block diagonal.  Per level i, with the unknowns I it meets:
 *
 *   D_i = Lambda_e' A_ii Lambda_e + I = L_i L_i'      W_i = L_i^-1 Lambda_e' A_iI Lambda_I
 *   S   = M_22 - sum_i W_i' W_i = L_S L_S'            (the core; core.c)
 *
 *   L = [ diag(L_i)  0 ; W'  L_S ]
 *   [M^-1]_ii = L_i^-T (I + W_i [S^-1]_II W_i') L_i^-1
 *
 * W and every place where a product of it lands are laid out once.  Loops over
 * levels run on threads; sums into the core are divided by the core's unknowns,
 * each summed in the order of the levels, so the bits do not depend on how many
 * threads there are.
 */
#include "block.h"
#include "threads.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A core of at most this many unknowns is dense without asking. */
#define SMALL_CORE 400
/* Right-hand sides up to which U'U is summed here; BLAS is better beyond. */
#define FEW_COLUMNS 12

static int64_t pairs_of(int64_t width)
{
    return width * (width + 1) / 2;
}

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
static void fill_base(flmm_block *s, const double *Lambda, double *values)
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
        count += x->nl[f] * pairs_of(x->nc[f]);
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
static int64_t *lay_out_places(const flmm_block *s, int64_t (*find)(const flmm_core *, int64_t, int64_t))
{
    int64_t total = 0;
    for (int64_t i = 0; i < s->nl; i++) {
        total += pairs_of(s->start[i + 1] - s->start[i]);
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
    fill_base(s, NULL, NULL);
    if (!flmm_core_is_dense(s->core)) {
        s->place = lay_out_places(s, flmm_core_place);
        s->first_place = malloc(((size_t)s->nl + 1) * sizeof *s->first_place);
        if (!s->place || !s->first_place) {
            return FLMM_NO_MEMORY;
        }
        s->first_place[0] = 0;
        for (int64_t i = 0; i < s->nl; i++) {
            s->first_place[i + 1] = s->first_place[i] + pairs_of(s->start[i + 1] - s->start[i]);
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

const int64_t *flmm_block_position(const flmm_block *s)
{
    return s->position;
}

/* --- factorization --------------------------------------------------------------- */

/* L_i and W_i of some levels; 0 when a D_i is not positive definite.  c is s->c: given
 * again so that a call with a constant is compiled for that constant. */
static inline int eliminate_levels(const flmm_block *s, const double *Lambda, int64_t from, int64_t to,
                                   double *t, const int32_t c)
{
    const flmm_crossproducts *x = s->at.x;
    double *C = t + (ptrdiff_t)s->at.most_columns * s->at.most_columns;
    for (int64_t i = from; i < to; i++) {
        double *LD = s->LD + i * c * c, *W = s->W + s->start[i] * c;
        flmm_sandwich(c, c, Lambda, x->ZtWZ[0] + i * c * c, Lambda, t, LD);
        for (int32_t a = 0; a < c; a++) {
            LD[a * c + a] += 1.0;
        }
        if (!flmm_small_cholesky(c, LD)) {
            return 0;
        }
        for (int32_t g = 1; g < x->nf; g++) {
            const int32_t cg = x->nc[g];
            const ptrdiff_t pair = flmm_pair(0, g);
            for (int64_t k = x->indptr[pair][i]; k < x->indptr[pair][i + 1]; k++) {
                flmm_sandwich(c, cg, Lambda, x->values[pair] + k * c * cg, Lambda + s->at.square[g], t, C);
                for (int32_t b = 0; b < cg; b++, W += c) {
                    for (int32_t a = 0; a < c; a++) {
                        double v = C[a * cg + b];
                        for (int32_t r = 0; r < a; r++) {
                            v -= LD[a * c + r] * W[r];
                        }
                        W[a] = v / LD[a * c + a];
                    }
                }
            }
        }
    }
    return 1;
}

static int eliminate(const flmm_block *s, const double *Lambda, int64_t from, int64_t to, double *t)
{
    switch (s->c) {
    case 1:
        return eliminate_levels(s, Lambda, from, to, t, 1);
    case 2:
        return eliminate_levels(s, Lambda, from, to, t, 2);
    case 3:
        return eliminate_levels(s, Lambda, from, to, t, 3);
    default:
        return eliminate_levels(s, Lambda, from, to, t, s->c);
    }
}

/* S -= W_i'W_i for the rows u = unknown[t] with from <= u < to */
static void subtract_products(const flmm_block *s, int32_t from, int32_t to, double *S)
{
    const int32_t c = s->c;
    const int64_t *place = s->place;
    for (int64_t i = 0; i < s->nl; i++) {
        const int64_t first = s->start[i], end = s->start[i + 1];
        for (int64_t t = first; t < end; t++) {
            const int32_t u = s->unknown[t];
            if (u >= from && u < to) {
                const double *w = s->W + t * c;
                for (int64_t r = first; r <= t; r++) {
                    const double *v = s->W + r * c;
                    double product = 0.0;
                    for (int32_t a = 0; a < c; a++) {
                        product += w[a] * v[a];
                    }
                    const int64_t where = place ? place[r - first] : u + s->unknown[r] * s->n2;
                    S[where] -= product;
                }
            }
            if (place) {
                place += t - first + 1;
            }
        }
    }
}

int flmm_block_factorize(flmm_block *s, const double *Lambda)
{
    int bad = 0;
    const int64_t chunks = (s->nl + FLMM_LEVELS - 1) / FLMM_LEVELS;
#pragma omp parallel for schedule(static) num_threads(flmm_team(&s->at)) reduction(| : bad) if (s->nl > FLMM_WORTH_THREADS)
    for (int64_t k = 0; k < chunks; k++) {
        double *t = s->small + (ptrdiff_t)flmm_thread() * 2 * s->at.most_columns * s->at.most_columns;
        const int64_t end = (k + 1) * FLMM_LEVELS < s->nl ? (k + 1) * FLMM_LEVELS : s->nl;
        bad |= !eliminate(s, Lambda, k * FLMM_LEVELS, end, t);
    }
    if (bad) {
        return FLMM_M_NOT_POSITIVE;
    }
    if (s->n2 == 0) {
        return FLMM_OK;
    }
    flmm_core_clear(s->core);
    double *S = flmm_core_values(s->core);
    fill_base(s, Lambda, S);
#pragma omp parallel for schedule(static, 1) num_threads(flmm_team(&s->at)) if (s->start[s->nl] > FLMM_WORTH_THREADS)
    for (int32_t thread = 0; thread < s->at.threads; thread++) {
        subtract_products(s, s->share[thread], s->share[thread + 1], S);
    }
    return flmm_core_factorize(s->core);
}

double flmm_block_logdet(const flmm_block *s)
{
    double sum = 0.0;
    for (int64_t i = 0; i < s->nl; i++) {
        double determinant = 1.0;            /* of L_i: at most a few columns, each >= 1 */
        for (int32_t a = 0; a < s->c; a++) {
            determinant *= s->LD[(i * s->c + a) * s->c + a];
        }
        if (isfinite(determinant)) {
            sum += log(determinant);
        } else {
            for (int32_t a = 0; a < s->c; a++) {
                sum += log(s->LD[(i * s->c + a) * s->c + a]);
            }
        }
    }
    return 2.0 * sum + (s->n2 ? flmm_core_logdet(s->core) : 0.0);
}

/* --- solves ------------------------------------------------------------------------ */

int64_t flmm_block_work(const flmm_block *s)
{
    return s->n2 ? flmm_core_work(s->core) : 0;
}

/* B_i := L_i^-1 B_i of some levels */
static inline void forward_levels(const flmm_block *s, int64_t from, int64_t to, int32_t m, double *B,
                                  const int32_t c)
{
    for (int64_t i = from; i < to; i++) {
        const double *LD = s->LD + i * c * c;
        double *Bi = B + i * c * m;
        for (int32_t a = 0; a < c; a++) {
            for (int32_t b = 0; b < a; b++) {
                for (int32_t r = 0; r < m; r++) {
                    Bi[a * m + r] -= LD[a * c + b] * Bi[b * m + r];
                }
            }
            const double inverse = 1.0 / LD[a * c + a];
            for (int32_t r = 0; r < m; r++) {
                Bi[a * m + r] *= inverse;
            }
        }
    }
}

static void forward(const flmm_block *s, int64_t from, int64_t to, int32_t m, double *B)
{
    switch (s->c) {
    case 1:
        forward_levels(s, from, to, m, B, 1);
        break;
    case 2:
        forward_levels(s, from, to, m, B, 2);
        break;
    case 3:
        forward_levels(s, from, to, m, B, 3);
        break;
    default:
        forward_levels(s, from, to, m, B, s->c);
    }
}

/* B_2 := L_S^-1 (B_2 - W' B_1) */
static void forward_core(const flmm_block *s, int32_t m, double *B, double *work)
{
    const int32_t c = s->c;
    double *core = B + s->n1 * m;
    if (s->n2 == 0) {
        return;
    }
#pragma omp parallel for schedule(static, 1) num_threads(flmm_team(&s->at)) if (s->start[s->nl] > FLMM_WORTH_THREADS)
    for (int32_t thread = 0; thread < s->at.threads; thread++) {
        const int32_t from = s->share[thread], to = s->share[thread + 1];
        for (int64_t i = 0; i < s->nl; i++) {
            const double *Bi = B + i * c * m;
            for (int64_t t = s->start[i]; t < s->start[i + 1]; t++) {
                const int32_t u = s->unknown[t];
                if (u < from || u >= to) {
                    continue;
                }
                double *out = core + (s->position[s->n1 + u] - s->n1) * m;
                for (int32_t a = 0; a < c; a++) {
                    const double w = s->W[t * c + a];
                    for (int32_t r = 0; r < m; r++) {
                        out[r] -= w * Bi[a * m + r];
                    }
                }
            }
        }
    }
    flmm_core_solve_L(s->core, m, core, work);
}

void flmm_block_solve_L(const flmm_block *s, int32_t m, double *B, double *work)
{
    const int64_t chunks = (s->nl + FLMM_LEVELS - 1) / FLMM_LEVELS;
#pragma omp parallel for schedule(static) num_threads(flmm_team(&s->at)) if (s->nl > FLMM_WORTH_THREADS)
    for (int64_t k = 0; k < chunks; k++) {
        forward(s, k * FLMM_LEVELS, (k + 1) * FLMM_LEVELS < s->nl ? (k + 1) * FLMM_LEVELS : s->nl, m, B);
    }
    forward_core(s, m, B, work);
}

/* U_i := Lambda' R_i for some levels */
static inline void apply_levels(const double *Lambda, int64_t from, int64_t to, int32_t m, const double *R,
                                double *U, const int32_t c)
{
    for (int64_t i = from; i < to; i++) {
        const double *in = R + i * c * m;
        double *out = U + i * c * m;
        for (int32_t a = 0; a < c; a++) {
            for (int32_t r = 0; r < m; r++) {
                double v = 0.0;
                for (int32_t b = 0; b < c; b++) {
                    v += Lambda[b * c + a] * in[b * m + r];
                }
                out[a * m + r] = v;
            }
        }
    }
}

/* gram (m x m, column-major upper) := sum of the outer products of rows of U */
static void add_gram(int64_t rows, int32_t m, const double *U, double *gram)
{
    memset(gram, 0, (size_t)m * (size_t)m * sizeof *gram);
    for (int64_t i = 0; i < rows; i++, U += m) {
        for (int32_t j = 0; j < m; j++) {
            const double v = U[j];
            double *column = gram + (ptrdiff_t)j * m;
            for (int32_t k = 0; k <= j; k++) {
                column[k] += v * U[k];
            }
        }
    }
}

int flmm_block_right_hand_sides(flmm_block *s, const double *Lambda, int32_t m, const double *const *R,
                                double *U, double *gram, double *work)
{
    const int64_t chunks = (s->nl + FLMM_LEVELS - 1) / FLMM_LEVELS;
    const int32_t c = s->c;
    const ptrdiff_t square = (ptrdiff_t)m * m;
    const int few = m <= FEW_COLUMNS;
    if (!s->gram) {
        s->gram = malloc(((size_t)chunks * (size_t)square + 1) * sizeof *s->gram);
        if (!s->gram) {
            return FLMM_NO_MEMORY;
        }
    }
#pragma omp parallel for schedule(static) num_threads(flmm_team(&s->at)) if (s->nl > FLMM_WORTH_THREADS)
    for (int64_t k = 0; k < chunks; k++) {
        const int64_t from = k * FLMM_LEVELS, to = from + FLMM_LEVELS < s->nl ? from + FLMM_LEVELS : s->nl;
        if (c == 1) {
            apply_levels(Lambda, from, to, m, R[0], U, 1);
        } else if (c == 2) {
            apply_levels(Lambda, from, to, m, R[0], U, 2);
        } else {
            apply_levels(Lambda, from, to, m, R[0], U, c);
        }
        forward(s, from, to, m, U);
        if (few) {
            add_gram((to - from) * c, m, U + from * c * m, s->gram + k * square);
        }
    }
    for (int32_t f = 1; f < s->at.x->nf; f++) {
        const int32_t cf = s->at.x->nc[f];
        const double *T = Lambda + s->at.square[f];
        for (int64_t l = 0; l < s->at.x->nl[f]; l++) {
            const double *in = R[f] + l * cf * m;
            for (int32_t a = 0; a < cf; a++) {
                double *out = U + s->position[s->at.offset[f] + l * cf + a] * m;
                for (int32_t r = 0; r < m; r++) {
                    out[r] = 0.0;
                    for (int32_t b = 0; b < cf; b++) {
                        out[r] += T[b * cf + a] * in[(ptrdiff_t)b * m + r];
                    }
                }
            }
        }
    }
    forward_core(s, m, U, work);
    if (!few) {
        flmm_gram(s->blas, s->at.q, m, U, gram);
        return FLMM_OK;
    }
    add_gram(s->n2, m, U + s->n1 * m, gram);
    for (int64_t k = 0; k < chunks; k++) {
        for (ptrdiff_t e = 0; e < square; e++) {
            gram[e] += s->gram[k * square + e];
        }
    }
    return FLMM_OK;
}

void flmm_block_solve_Lt(const flmm_block *s, int32_t m, double *B, double *work)
{
    const int32_t c = s->c;
    double *core = B + s->n1 * m;
    if (s->n2) {
        flmm_core_solve_Lt(s->core, m, core, work);
    }
#pragma omp parallel for schedule(static) num_threads(flmm_team(&s->at)) if (s->nl > FLMM_WORTH_THREADS)
    for (int64_t i = 0; i < s->nl; i++) {
        const double *LD = s->LD + i * c * c;
        double *Bi = B + i * c * m;
        for (int64_t t = s->start[i]; t < s->start[i + 1]; t++) {
            const double *in = core + (s->position[s->n1 + s->unknown[t]] - s->n1) * m;
            for (int32_t a = 0; a < c; a++) {
                const double w = s->W[t * c + a];
                for (int32_t r = 0; r < m; r++) {
                    Bi[a * m + r] -= w * in[r];
                }
            }
        }
        for (int32_t a = c - 1; a >= 0; a--) {
            for (int32_t b = a + 1; b < c; b++) {
                for (int32_t r = 0; r < m; r++) {
                    Bi[a * m + r] -= LD[b * c + a] * Bi[b * m + r];
                }
            }
            for (int32_t r = 0; r < m; r++) {
                Bi[a * m + r] /= LD[a * c + a];
            }
        }
    }
}

/* --- diagonal blocks of M^-1 ---------------------------------------------------------- */

int flmm_block_inverse(flmm_block *s)
{
    if (s->n2 == 0) {
        return FLMM_OK;
    }
    const int status = flmm_core_inverse(s->core);
    if (status == FLMM_OK && s->place && !s->inverse_place) {
        s->inverse_place = lay_out_places(s, flmm_core_inverse_place);
        return s->inverse_place ? FLMM_OK : FLMM_NO_MEMORY;
    }
    return status;
}

/* --- for reports ------------------------------------------------------------------------ */

void flmm_block_describe(const flmm_block *s, int64_t *nnz_L, int *dense_core)
{
    int64_t core_nnz = 0;
    int supernodal = 0;
    *dense_core = 1;
    if (s->n2) {
        flmm_core_describe(s->core, &core_nnz, &supernodal);
        *dense_core = flmm_core_is_dense(s->core);
    }
    *nnz_L = s->nl * pairs_of(s->c) + s->start[s->nl] * s->c + core_nnz;
}

int64_t flmm_block_factor(const flmm_block *s, int64_t *colptr, int64_t *rowind, double *x)
{
    const int32_t c = s->c;
    int64_t at = 0;
    for (int64_t i = 0; i < s->nl; i++) {
        for (int32_t a = 0; a < c; a++) {
            const int64_t begin = at;
            for (int32_t b = a; b < c; b++, at++) {
                if (colptr) {
                    rowind[at] = i * c + b;
                    x[at] = s->LD[(i * c + b) * c + a];
                }
            }
            for (int64_t t = s->start[i]; t < s->start[i + 1]; t++, at++) {
                if (colptr) {
                    const int64_t row = s->position[s->n1 + s->unknown[t]];
                    int64_t k = at;
                    for (; k > begin && rowind[k - 1] > row; k--) {
                        rowind[k] = rowind[k - 1];
                        x[k] = x[k - 1];
                    }
                    rowind[k] = row;
                    x[k] = s->W[t * c + a];
                }
            }
            if (colptr) {
                colptr[i * c + a] = begin;
            }
        }
    }
    return s->n2 ? flmm_core_factor(s->core, s->n1, at, colptr ? colptr + s->n1 : NULL, rowind, x) : at;
}
