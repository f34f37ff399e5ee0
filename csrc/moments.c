/* moments.c: the equations of the method of moments for starting values.
 *
 * With P0 = I - X(X'WX)^-1 X'W, the least-squares scores e = Z'W P0 y, B = Z'W P0 Z
 * and Psi = sum of psi_i V_i,
 *
 *   E[e'V_i e] = sigma^2 (sum_j psi_j tr(V_i B V_j B) + tr(V_i B))
 *   E[r2_ols]  = sigma^2 (sum_j psi_j tr(V_j B) + n - p)
 *
 * (Rao 1971, MINQUE with zero prior weights, J. Multivariate Analysis 1).  B = A - F F'
 * with F = Z'WX (X'WX)^-1/2 is never formed: only its blocks on the pattern of A are, and
 * the sum of all products of F F' separates,
 *
 *   sum_lm B_ab B_cd = sum on the pattern of ((A - f)_ab (A - f)_cd - f_ab f_cd)
 *                      + sum_rs (sum_l F_ar F_cs)(sum_m F_br F_ds),        f = F_l F_m'.
 */
#include "flmm.h"
#include "small.h"

#include <stdlib.h>
#include <string.h>

typedef struct {
    const flmm_crossproducts *x;
    const flmm_terms *t;
    int32_t k;                       /* columns of X that are projected out */
    const double **T;                /* [nt] working basis of each term */
    double *residual;                /* [p+1] [X r] times this is the least-squares residual */
    double *to_F;                    /* [k k] upper triangular, row-major: (X'WX)^-1/2 */
    double **F;                      /* [nt] -> [nl nc k], NULL where it is made at each use */
    double **FF;                     /* [nt] -> [(nc k)(nc k)] sum over levels of F_ar F_cs */
    double *small;                   /* blocks of one pair of levels */
} moments;

/* --- the fit without random effects ------------------------------------------- */

/* residual, to_F and the residual sum of squares of least squares */
static int least_squares(const flmm_blas *blas, moments *s, double *r2)
{
    const int32_t p = s->x->p, width = p + 1, k = s->k;
    double *L = malloc(((size_t)p * (size_t)p + 1) * sizeof *L), *beta = s->residual;
    if (!L) {
        return FLMM_NO_MEMORY;
    }
    for (int32_t i = 0; i < p; i++) {
        memcpy(L + (ptrdiff_t)i * p, s->x->XyWXy + (ptrdiff_t)i * width, (size_t)p * sizeof *L);
        beta[i] = s->x->XyWXy[(ptrdiff_t)i * width + p];
    }
    char upper = 'U';                    /* of a row-major matrix: the lower triangle */
    int size = p, info = 0;
    if (p > 0) {
        blas->dpotrf(&upper, &size, L, &size, &info);
    }
    if (info != 0) {
        free(L);
        return FLMM_X_NOT_POSITIVE;
    }
    *r2 = s->x->XyWXy[(ptrdiff_t)p * width + p];
    for (int32_t i = 0; i < p; i++) {
        for (int32_t j = 0; j < i; j++) {
            beta[i] -= L[(ptrdiff_t)i * p + j] * beta[j];
        }
        beta[i] /= L[(ptrdiff_t)i * (p + 1)];
        *r2 -= beta[i] * beta[i];
    }
    for (int32_t i = p - 1; i >= 0; i--) {
        for (int32_t j = i + 1; j < p; j++) {
            beta[i] -= L[(ptrdiff_t)j * p + i] * beta[j];
        }
        beta[i] /= L[(ptrdiff_t)i * (p + 1)];
    }
    for (int32_t i = 0; i < p; i++) {
        s->residual[i] = -beta[i];
    }
    s->residual[p] = 1.0;
    memset(s->to_F, 0, (size_t)k * (size_t)k * sizeof *s->to_F);
    for (int32_t r = 0; r < k; r++) {    /* row r of L^-1 is column r of to_F */
        double *column = s->to_F + r;
        column[(ptrdiff_t)r * k] = 1.0 / L[(ptrdiff_t)r * (p + 1)];
        for (int32_t i = r - 1; i >= 0; i--) {
            double v = 0.0;
            for (int32_t j = i + 1; j <= r; j++) {
                v += column[(ptrdiff_t)j * k] * L[(ptrdiff_t)j * p + i];
            }
            column[(ptrdiff_t)i * k] = -v / L[(ptrdiff_t)i * (p + 1)];
        }
    }
    free(L);
    return FLMM_OK;
}

/* --- blocks of one level -------------------------------------------------------- */

/* F of one level in working columns, (nc x k); `room` is used where it is not stored. */
static const double *F_of(const moments *s, int32_t term, int64_t level, double *room)
{
    const int32_t c = s->t->nc[term], k = s->k, f = s->t->factor[term], width = s->x->p + 1;
    if (s->F[term]) {
        return s->F[term] + level * c * k;
    }
    const double *R = s->x->ZtWXy[f] + (level * s->x->nc[f] + s->t->first[term]) * width, *T = s->T[term];
    for (int32_t a = 0; a < c; a++) {
        for (int32_t r = 0; r < k; r++) {
            double v = 0.0;
            for (int32_t b = 0; b < c; b++) {
                double along = 0.0;
                for (int32_t j = 0; j <= r; j++) {
                    along += R[(ptrdiff_t)b * width + j] * s->to_F[(ptrdiff_t)j * k + r];
                }
                v += T[b * c + a] * along;
            }
            room[(ptrdiff_t)a * k + r] = v;
        }
    }
    return room;
}

/* out (ca x cb) = T_s' (the terms' part of a block of A) T_t */
static void block_in_working(const moments *s, int32_t ts, int32_t tt, const double *A, ptrdiff_t row,
                             ptrdiff_t column, double *out)
{
    const int32_t ca = s->t->nc[ts], cb = s->t->nc[tt];
    double *B = out + (ptrdiff_t)ca * cb, *t = B + (ptrdiff_t)ca * cb;
    for (int32_t a = 0; a < ca; a++) {
        for (int32_t b = 0; b < cb; b++) {
            B[a * cb + b] = A[a * row + b * column];
        }
    }
    flmm_sandwich(ca, cb, s->T[ts], B, s->T[tt], t, out);
}

/* --- sums over the levels of one term ---------------------------------------------- */

/* Q (c x c) = sum e e', own (c x c) = sum of the diagonal blocks of B, and FF; all in working columns */
static int sums_of_term(moments *s, int32_t term, double *Q, double *own, double *room)
{
    const int32_t c = s->t->nc[term], k = s->k, f = s->t->factor[term], nc = s->x->nc[f], p = s->x->p;
    const int32_t first = s->t->first[term];
    const ptrdiff_t ck = (ptrdiff_t)c * k;
    const int64_t nl = s->x->nl[f];
    const double *T = s->T[term];
    double *FF = calloc((size_t)(ck * ck) + 1, sizeof *FF), *e = room, *Fl = room + c;
    double *stored = k > 1 ? malloc(((size_t)nl * (size_t)ck + 1) * sizeof *stored) : NULL;
    s->FF[term] = FF;
    if (!FF || (k > 1 && !stored)) {
        free(stored);
        return FLMM_NO_MEMORY;
    }
    memset(Q, 0, (size_t)c * (size_t)c * sizeof *Q);
    memset(own, 0, (size_t)c * (size_t)c * sizeof *own);
    for (int64_t l = 0; l < nl; l++) {
        const double *R = s->x->ZtWXy[f] + (l * nc + first) * (p + 1);
        const double *G = s->x->ZtWZ[f] + (l * nc + first) * nc + first;
        for (int32_t a = 0; a < c; a++) {
            e[a] = 0.0;
        }
        for (int32_t b = 0; b < c; b++) {
            double score = 0.0;
            for (int32_t j = 0; j <= p; j++) {
                score += R[(ptrdiff_t)b * (p + 1) + j] * s->residual[j];
            }
            for (int32_t a = 0; a < c; a++) {
                e[a] += T[b * c + a] * score;
            }
        }
        const double *F = F_of(s, term, l, Fl);
        if (stored) {
            memcpy(stored + l * ck, F, (size_t)ck * sizeof *stored);
        }
        for (int32_t a = 0; a < c; a++) {
            for (int32_t b = 0; b < c; b++) {
                Q[a * c + b] += e[a] * e[b];
                own[a * c + b] += G[(ptrdiff_t)a * nc + b];
            }
        }
        for (ptrdiff_t i = 0; i < ck; i++) {
            for (ptrdiff_t j = 0; j <= i; j++) {
                FF[i * ck + j] += F[i] * F[j];
            }
        }
    }
    for (ptrdiff_t i = 0; i < ck; i++) {
        for (ptrdiff_t j = 0; j < i; j++) {
            FF[j * ck + i] = FF[i * ck + j];
        }
    }
    s->F[term] = stored;
    double *A = s->small;                /* own := T' (sum of A_ll) T - sum F F' */
    block_in_working(s, term, term, own, c, 1, A);
    for (int32_t a = 0; a < c; a++) {
        for (int32_t b = 0; b < c; b++) {
            own[a * c + b] = A[a * c + b];
            for (int32_t r = 0; r < k; r++) {
                own[a * c + b] -= FF[((ptrdiff_t)a * k + r) * ck + (ptrdiff_t)b * k + r];
            }
        }
    }
    return FLMM_OK;
}

/* --- sums over the pairs of levels of two terms --------------------------------------- */

/* squares[(a b)(c d)] += (A - f)_ab (A - f)_cd - f_ab f_cd for one pair of levels */
static void add_pair(const moments *s, int32_t ts, int32_t tt, const double *Fs, const double *Ft, double *squares)
{
    const int32_t ca = s->t->nc[ts], cb = s->t->nc[tt], k = s->k, size = ca * cb;
    double *d = s->small, *f = s->small + 3 * (ptrdiff_t)size;
    for (int32_t a = 0; a < ca; a++) {
        for (int32_t b = 0; b < cb; b++) {
            double v = 0.0;
            for (int32_t r = 0; r < k; r++) {
                v += Fs[(ptrdiff_t)a * k + r] * Ft[(ptrdiff_t)b * k + r];
            }
            f[a * cb + b] = v;
            d[a * cb + b] -= v;
        }
    }
    for (int32_t i = 0; i < size; i++) {
        for (int32_t j = 0; j <= i; j++) {
            squares[(ptrdiff_t)i * size + j] += d[i] * d[j] - f[i] * f[j];
        }
    }
}

static void add_pairs_of_levels(const moments *s, int32_t ts, int32_t tt, double *room, double *squares)
{
    const flmm_crossproducts *x = s->x;
    const int32_t fs = s->t->factor[ts], ft = s->t->factor[tt], as = s->t->first[ts], at = s->t->first[tt];
    double *Ft_room = room + (ptrdiff_t)s->t->nc[ts] * s->k;
    if (fs == ft) {
        const int32_t nc = x->nc[fs];
        for (int64_t l = 0; l < x->nl[fs]; l++) {
            block_in_working(s, ts, tt, x->ZtWZ[fs] + (l * nc + as) * nc + at, nc, 1, s->small);
            add_pair(s, ts, tt, F_of(s, ts, l, room), F_of(s, tt, l, Ft_room), squares);
        }
        return;
    }
    const int32_t f = fs < ft ? fs : ft, g = fs < ft ? ft : fs, cg = x->nc[g];
    const ptrdiff_t pair = (ptrdiff_t)g * (g - 1) / 2 + f, size = (ptrdiff_t)x->nc[f] * cg;
    for (int64_t l = 0; l < x->nl[f]; l++) {
        for (int64_t i = x->indptr[pair][l]; i < x->indptr[pair][l + 1]; i++) {
            const double *A = x->values[pair] + i * size;
            const int64_t m = x->indices[pair][i];
            if (fs == f) {
                block_in_working(s, ts, tt, A + as * cg + at, cg, 1, s->small);
                add_pair(s, ts, tt, F_of(s, ts, l, room), F_of(s, tt, m, Ft_room), squares);
            } else {
                block_in_working(s, ts, tt, A + at * cg + as, 1, cg, s->small);
                add_pair(s, ts, tt, F_of(s, ts, m, room), F_of(s, tt, l, Ft_room), squares);
            }
        }
    }
}

/* squares += sum over r and s of FF_s[(a r)(c s)] FF_t[(b r)(d s)], and its other triangle */
static void add_everywhere(const moments *s, int32_t ts, int32_t tt, double *squares)
{
    const int32_t ca = s->t->nc[ts], cb = s->t->nc[tt], k = s->k;
    const ptrdiff_t size = (ptrdiff_t)ca * cb, ka = (ptrdiff_t)ca * k, kb = (ptrdiff_t)cb * k;
    for (ptrdiff_t i = 0; i < size; i++) {
        for (ptrdiff_t j = 0; j <= i; j++) {
            const ptrdiff_t a = i / cb, b = i % cb, c = j / cb, d = j % cb;
            double v = 0.0;
            for (int32_t r = 0; r < k; r++) {
                const double *left = s->FF[ts] + (a * k + r) * ka + c * k;
                const double *right = s->FF[tt] + (b * k + r) * kb + d * k;
                for (int32_t q = 0; q < k; q++) {
                    v += left[q] * right[q];
                }
            }
            squares[i * size + j] += v;
            squares[j * size + i] = squares[i * size + j];
        }
    }
}

/* sum of V_ac B_ab B_cd W_bd over all pairs of levels */
static double contract(int32_t ca, int32_t cb, const double *V, const double *squares, const double *W)
{
    const ptrdiff_t size = (ptrdiff_t)ca * cb;
    double sum = 0.0;
    for (int32_t a = 0; a < ca; a++) {
        for (int32_t c = 0; c < ca; c++) {
            const double v = V[a * ca + c];
            for (int32_t b = 0; v != 0.0 && b < cb; b++) {
                for (int32_t d = 0; d < cb; d++) {
                    sum += v * W[b * cb + d] * squares[((ptrdiff_t)a * cb + b) * size + (ptrdiff_t)c * cb + d];
                }
            }
        }
    }
    return sum;
}

/* --- the equations ------------------------------------------------------------------------ */

static double dot(ptrdiff_t n, const double *x, const double *y)
{
    double sum = 0.0;
    for (ptrdiff_t i = 0; i < n; i++) {
        sum += x[i] * y[i];
    }
    return sum;
}

static int fill_equations(moments *s, const double *V, double *room, int32_t m, double *system, double *right)
{
    const flmm_terms *t = s->t;
    const double *Vs = V;
    int32_t row = 0;
    for (int32_t ts = 0; ts < t->nt; ts++) {
        const int32_t c = t->nc[ts];
        const ptrdiff_t square = (ptrdiff_t)c * c;
        double *Q = room, *own = room + square;
        const int status = sums_of_term(s, ts, Q, own, own + square);
        if (status != FLMM_OK) {
            return status;
        }
        for (int32_t i = 0; i < t->size[ts]; i++) {
            right[row + i] = dot(square, Vs + i * square, Q);
            system[(ptrdiff_t)(row + i) * m + m - 1] = dot(square, Vs + i * square, own);
        }
        const double *Vt = V;
        int32_t column = 0;
        for (int32_t tt = 0; tt <= ts; tt++) {
            const int32_t ct = t->nc[tt];
            const size_t size = (size_t)c * (size_t)ct;
            double *squares = calloc(size * size + 1, sizeof *squares);
            if (!squares) {
                return FLMM_NO_MEMORY;
            }
            add_pairs_of_levels(s, ts, tt, room, squares);
            add_everywhere(s, ts, tt, squares);
            for (int32_t i = 0; i < t->size[ts]; i++) {
                for (int32_t j = 0; j < t->size[tt]; j++) {
                    system[(ptrdiff_t)(row + i) * m + column + j] =
                        contract(c, ct, Vs + i * square, squares, Vt + (ptrdiff_t)j * ct * ct);
                }
            }
            free(squares);
            Vt += (ptrdiff_t)t->size[tt] * ct * ct;
            column += t->size[tt];
        }
        Vs += t->size[ts] * square;
        row += t->size[ts];
    }
    for (int32_t i = 0; i < m; i++) {
        for (int32_t j = 0; j < i; j++) {
            const ptrdiff_t ij = (ptrdiff_t)i * m + j, ji = (ptrdiff_t)j * m + i;
            if (i == m - 1) {
                system[ij] = system[ji];
            } else {
                system[ji] = system[ij];
            }
        }
    }
    return FLMM_OK;
}

int flmm_moments(const flmm_blas *blas, const flmm_crossproducts *x, double degrees, const flmm_terms *t,
                 const double *V, int32_t k, double *system, double *right)
{
    if (k < 0 || k > x->p) {
        return FLMM_BAD_ARGUMENT;
    }
    const size_t nt = (size_t)t->nt, p = (size_t)x->p, kk = (size_t)k;
    size_t most = 1;
    int32_t m = 1;
    for (size_t i = 0; i < nt; i++) {
        most = (size_t)t->nc[i] > most ? (size_t)t->nc[i] : most;
        m += t->size[i];
    }
    moments s = {.x = x, .t = t, .k = k};
    s.T = malloc((nt + 1) * sizeof *s.T);
    s.F = calloc(nt + 1, sizeof *s.F);
    s.FF = calloc(nt + 1, sizeof *s.FF);
    s.residual = malloc((p + 1) * sizeof *s.residual);
    s.to_F = malloc((kk * kk + 1) * sizeof *s.to_F);
    s.small = malloc(4 * most * most * sizeof *s.small);
    double *room = malloc((2 * most * most + most + 2 * most * kk + 1) * sizeof *room);
    int status = s.T && s.F && s.FF && s.residual && s.to_F && s.small && room ? FLMM_OK : FLMM_NO_MEMORY;
    if (status == FLMM_OK) {
        const double *T = t->T;
        for (int32_t i = 0; i < t->nt; i++) {
            s.T[i] = T;
            T += (ptrdiff_t)t->nc[i] * t->nc[i];
        }
        status = least_squares(blas, &s, &right[m - 1]);
    }
    if (status == FLMM_OK) {
        system[(ptrdiff_t)m * m - 1] = degrees;
        status = fill_equations(&s, V, room, m, system, right);
    }
    for (size_t i = 0; s.F && s.FF && i < nt; i++) {
        free(s.F[i]);
        free(s.FF[i]);
    }
    free(s.T);
    free(s.F);
    free(s.FF);
    free(s.residual);
    free(s.to_F);
    free(s.small);
    free(room);
    return status;
}
