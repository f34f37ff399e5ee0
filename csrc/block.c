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

/* Right-hand sides up to which U'U is summed here; BLAS is better beyond. */
#define FEW_COLUMNS 12

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
    flmm_block_fill_base(s, Lambda, S);
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
        s->gram = malloc(((size_t)chunks * FEW_COLUMNS * FEW_COLUMNS + 1) * sizeof *s->gram);
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
        s->inverse_place = flmm_block_lay_out_places(s, flmm_core_inverse_place);
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
    *nnz_L = s->nl * flmm_pairs_of(s->c) + s->start[s->nl] * s->c + core_nnz;
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
