/* working.c: gradient and average information in the parameters of the covariances.
 *
 * With Psi_k = root_k root_k' in working coordinates, V_i = dPsi / dparameter_i,
 * S_k = sum over levels of I - [C^-1]_ll and Q_k = sum of e_l e_l',
 *
 *   g_Psi = root^-T S root^-1 - N / r2 T'Q T       gradient_i = sum of V_i g_Psi
 *   information_ij = N (q_ij / r2 - q_i q_j / r2^2),  q_i = sum of V_i T'Q T
 *
 * (Gilmour, Thompson & Cullis 1995, Biometrics 51; the traces by Woodbury.)
 */
#include "flmm.h"
#include "small.h"

#include <stdlib.h>
#include <string.h>

struct flmm_working {
    const flmm_crossproducts *x;
    int32_t nt, nd;
    int32_t *factor, *first, *nc, *size;     /* [nt] */
    int32_t *factor_of;                      /* [nd] */
    ptrdiff_t *square;                       /* [nf] first number of each factor's template */
    ptrdiff_t squares;
    double *Lambda, *trace, *score;          /* [squares] */
    double *D;                               /* nd matrices of the factors' size */
    double *q, *q_i;                         /* [nd nd], [nd] */
    double *small;                           /* [4 most^2] */
};

static int32_t *copy_of(int32_t count, const int32_t *values)
{
    int32_t *out = malloc(((size_t)count + 1) * sizeof *out);
    if (out) {
        memcpy(out, values, (size_t)count * sizeof *out);
    }
    return out;
}

static double *new_doubles(ptrdiff_t count)
{
    return malloc(((size_t)count + 1) * sizeof(double));
}

static int set_up(flmm_working *w, const flmm_terms *t)
{
    const int32_t nf = w->x->nf;
    w->factor = copy_of(t->nt, t->factor);
    w->first = copy_of(t->nt, t->first);
    w->nc = copy_of(t->nt, t->nc);
    w->size = copy_of(t->nt, t->size);
    w->square = malloc(((size_t)nf + 1) * sizeof *w->square);
    if (!w->factor || !w->first || !w->nc || !w->size || !w->square) {
        return FLMM_NO_MEMORY;
    }
    for (int32_t f = 0; f < nf; f++) {
        w->square[f] = w->squares;
        w->squares += (ptrdiff_t)w->x->nc[f] * w->x->nc[f];
    }
    ptrdiff_t D_size = 0, most = 1;
    for (int32_t k = 0; k < t->nt; k++) {
        if (t->factor[k] < 0 || t->factor[k] >= nf || t->nc[k] < 1 || t->size[k] < 0 || t->first[k] < 0
            || t->first[k] + t->nc[k] > w->x->nc[t->factor[k]]) {
            return FLMM_BAD_ARGUMENT;
        }
        const ptrdiff_t nc = w->x->nc[t->factor[k]];
        w->nd += t->size[k];
        D_size += t->size[k] * nc * nc;
        most = nc > most ? nc : most;
    }
    w->factor_of = malloc(((size_t)w->nd + 1) * sizeof *w->factor_of);
    w->Lambda = new_doubles(w->squares);
    w->trace = new_doubles(w->squares);
    w->score = new_doubles(w->squares);
    w->D = new_doubles(D_size);
    w->q = new_doubles((ptrdiff_t)w->nd * w->nd);
    w->q_i = new_doubles(w->nd);
    w->small = new_doubles(4 * most * most);
    if (!w->factor_of || !w->Lambda || !w->trace || !w->score || !w->D || !w->q || !w->q_i || !w->small) {
        return FLMM_NO_MEMORY;
    }
    for (int32_t k = 0, i = 0; k < w->nt; k++) {
        for (int32_t end = i + w->size[k]; i < end; i++) {
            w->factor_of[i] = w->factor[k];
        }
    }
    return FLMM_OK;
}

int flmm_working_new(const flmm_crossproducts *x, const flmm_terms *terms, flmm_working **out)
{
    *out = NULL;
    flmm_working *w = calloc(1, sizeof *w);
    if (!w) {
        return FLMM_NO_MEMORY;
    }
    w->x = x;
    w->nt = terms->nt;
    const int status = set_up(w, terms);
    if (status != FLMM_OK) {
        flmm_working_free(w);
        return status;
    }
    *out = w;
    return FLMM_OK;
}

void flmm_working_free(flmm_working *w)
{
    if (!w) {
        return;
    }
    free(w->factor);
    free(w->first);
    free(w->nc);
    free(w->size);
    free(w->factor_of);
    free(w->square);
    free(w->Lambda);
    free(w->trace);
    free(w->score);
    free(w->D);
    free(w->q);
    free(w->q_i);
    free(w->small);
    free(w);
}

/* --- small matrices ------------------------------------------------------------ */

/* out = A B, c x c */
static void multiply(int32_t c, const double *A, const double *B, double *out)
{
    for (int32_t i = 0; i < c; i++) {
        for (int32_t j = 0; j < c; j++) {
            double v = 0.0;
            for (int32_t k = 0; k < c; k++) {
                v += A[i * c + k] * B[k * c + j];
            }
            out[i * c + j] = v;
        }
    }
}

/* B := A^-1 B by elimination with row exchanges; A is used up.  0 when A is singular. */
static int solve(int32_t c, double *A, double *B)
{
    for (int32_t k = 0; k < c; k++) {
        int32_t pivot = k;
        for (int32_t i = k + 1; i < c; i++) {
            pivot = fabs(A[i * c + k]) > fabs(A[pivot * c + k]) ? i : pivot;
        }
        if (A[pivot * c + k] == 0.0) {
            return 0;
        }
        for (int32_t j = 0; pivot != k && j < c; j++) {
            double t = A[k * c + j];
            A[k * c + j] = A[pivot * c + j];
            A[pivot * c + j] = t;
            t = B[k * c + j];
            B[k * c + j] = B[pivot * c + j];
            B[pivot * c + j] = t;
        }
        for (int32_t i = k + 1; i < c; i++) {
            const double v = A[i * c + k] / A[k * c + k];
            for (int32_t j = k + 1; j < c; j++) {
                A[i * c + j] -= v * A[k * c + j];
            }
            for (int32_t j = 0; j < c; j++) {
                B[i * c + j] -= v * B[k * c + j];
            }
        }
    }
    for (int32_t i = c - 1; i >= 0; i--) {
        for (int32_t j = 0; j < c; j++) {
            double v = B[i * c + j];
            for (int32_t k = i + 1; k < c; k++) {
                v -= A[i * c + k] * B[k * c + j];
            }
            B[i * c + j] = v / A[i * c + i];
        }
    }
    return 1;
}

static void transpose(int32_t c, const double *A, double *out)
{
    for (int32_t i = 0; i < c; i++) {
        for (int32_t j = 0; j < c; j++) {
            out[j * c + i] = A[i * c + j];
        }
    }
}

void flmm_lower_factor(int32_t nc, int32_t k, double *F, double *work)
{
    /* reflections from the right that clear each row beyond its diagonal */
    for (int32_t i = 0; i < nc; i++) {
        double largest = 0.0;
        for (int32_t j = i; j < k; j++) {
            largest = fabs(F[i * k + j]) > largest ? fabs(F[i * k + j]) : largest;
        }
        double tail = 0.0;
        for (int32_t j = i; j < k; j++) {
            work[j] = largest > 0.0 ? F[i * k + j] / largest : 0.0;
            tail += j > i ? work[j] * work[j] : 0.0;
        }
        if (tail > 0.0) {
            const double length = sqrt(tail + work[i] * work[i]);
            work[i] += work[i] < 0.0 ? -length : length;
            const double norm2 = tail + work[i] * work[i];
            for (int32_t r = i; r < nc; r++) {
                double along = 0.0;
                for (int32_t j = i; j < k; j++) {
                    along += F[r * k + j] * work[j];
                }
                for (int32_t j = i; j < k; j++) {
                    F[r * k + j] -= 2.0 * along / norm2 * work[j];
                }
            }
        }
        for (int32_t j = i + 1; j < k; j++) {
            F[i * k + j] = 0.0;
        }
        const int negative = F[i * k + i] < 0.0;
        for (int32_t r = i; negative && r < nc; r++) {
            F[r * k + i] = 0.0 - F[r * k + i];
        }
    }
}

/* --- the pieces of an evaluation -------------------------------------------------- */

/* Lambda: the templates T root in their factors' blocks */
static void place_templates(flmm_working *w, const double *T, const double *root)
{
    memset(w->Lambda, 0, (size_t)w->squares * sizeof *w->Lambda);
    for (int32_t k = 0; k < w->nt; k++) {
        const int32_t c = w->nc[k], nc = w->x->nc[w->factor[k]], at = w->first[k];
        double *block = w->Lambda + w->square[w->factor[k]];
        multiply(c, T, root, w->small);
        for (int32_t a = 0; a < c; a++) {
            memcpy(block + (at + a) * nc + at, w->small + a * c, (size_t)c * sizeof *block);
        }
        T += c * c;
        root += c * c;
    }
}

/* D: T V T' of every direction, in the columns of its factor */
static void place_directions(flmm_working *w, const double *T, const double *V)
{
    double *D = w->D;
    for (int32_t k = 0; k < w->nt; k++) {
        const int32_t c = w->nc[k], nc = w->x->nc[w->factor[k]], at = w->first[k];
        double *transposed = w->small, *t = transposed + c * c, *out = t + c * c;
        transpose(c, T, transposed);
        for (int32_t i = 0; i < w->size[k]; i++, V += c * c, D += nc * nc) {
            flmm_sandwich(c, c, transposed, V, transposed, t, out);
            memset(D, 0, (size_t)nc * (size_t)nc * sizeof *D);
            for (int32_t a = 0; a < c; a++) {
                memcpy(D + (at + a) * nc + at, out + a * c, (size_t)c * sizeof *D);
            }
        }
        T += c * c;
    }
}

/* A term's part of a factor's matrix, c x c */
static void part_of(const flmm_working *w, int32_t k, const double *matrices, double *out)
{
    const int32_t c = w->nc[k], nc = w->x->nc[w->factor[k]], at = w->first[k];
    const double *block = matrices + w->square[w->factor[k]];
    for (int32_t a = 0; a < c; a++) {
        memcpy(out + a * c, block + (at + a) * nc + at, (size_t)c * sizeof *out);
    }
}

/* g_Psi of one term, and Q in working coordinates; 0 when traces_at is singular */
static int by_Psi(const flmm_working *w, int32_t k, const double *T, const double *traces_at, double ratio,
                  double *Q, double *g)
{
    const int32_t c = w->nc[k], square = c * c;
    double *A = w->small + square, *S = A + square;      /* Q is the first of small */
    part_of(w, k, w->score, S);
    flmm_sandwich(c, c, T, S, T, A, Q);
    part_of(w, k, w->trace, S);
    for (int pass = 0; pass < 2; pass++) {               /* root^-T (root^-T S)' */
        transpose(c, traces_at, A);
        if (!solve(c, A, S)) {
            return 0;
        }
        transpose(c, S, A);
        memcpy(S, A, (size_t)square * sizeof *S);
    }
    for (int32_t a = 0; a < c; a++) {
        for (int32_t b = 0; b < c; b++) {
            g[a * c + b] = 0.5 * (S[a * c + b] + S[b * c + a]) - ratio * Q[a * c + b];
        }
    }
    return 1;
}

static double dot(int32_t count, const double *x, const double *y)
{
    double sum = 0.0;
    for (int32_t i = 0; i < count; i++) {
        sum += x[i] * y[i];
    }
    return sum;
}

int flmm_working_evaluate(flmm_working *w, flmm_lmm *m, const double *T, const double *root,
                          const double *traces_at, const double *V, int reml, double N, flmm_evaluation *value,
                          double *gradient, double *information, double *g_Psi)
{
    int status = FLMM_OK, what = FLMM_SCORE | FLMM_INFORMATION | FLMM_TRACE;
    value->trace = w->trace;
    value->score = w->score;
    value->information = w->q;
    if (traces_at != root) {
        place_templates(w, T, traces_at);
        status = flmm_lmm_evaluate(m, w->Lambda, FLMM_TRACE, reml, 0, NULL, NULL, value);
        what &= ~FLMM_TRACE;
    }
    if (status == FLMM_OK) {
        place_templates(w, T, root);
        place_directions(w, T, V);
        status = flmm_lmm_evaluate(m, w->Lambda, what, reml, w->nd, w->factor_of, w->D, value);
    }
    if (status != FLMM_OK) {
        return status;
    }
    const double ratio = N / value->pwrss;
    int32_t i = 0;
    for (int32_t k = 0; k < w->nt; k++) {
        const int32_t square = w->nc[k] * w->nc[k];
        if (!by_Psi(w, k, T, traces_at, ratio, w->small, g_Psi)) {
            return FLMM_BAD_ARGUMENT;
        }
        for (int32_t end = i + w->size[k]; i < end; i++, V += square) {
            w->q_i[i] = dot(square, V, w->small);
            gradient[i] = dot(square, V, g_Psi);
        }
        T += square;
        traces_at += square;
        g_Psi += square;
    }
    for (i = 0; i < w->nd; i++) {
        for (int32_t j = 0; j < w->nd; j++) {
            const ptrdiff_t at = (ptrdiff_t)i * w->nd + j;
            information[at] = ratio * w->q[at] - ratio * w->q_i[i] * w->q_i[j] / value->pwrss;
        }
    }
    return FLMM_OK;
}
