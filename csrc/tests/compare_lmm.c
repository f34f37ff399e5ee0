/* compare_lmm.c: see compare_lmm.h. */
#include "compare_lmm.h"

#include "check.h"
#include "dense.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { DIRECTIONS = 4 };

/* sum over the levels of each factor of the diagonal blocks of I - S */
static void expected_trace(const model *m, const double *S, int ld, double *out)
{
    memset(out, 0, (size_t)m->squares * sizeof *out);
    double *block = out;
    for (int f = 0; f < m->nf; f++) {
        const int nc = m->nc[f];
        for (int l = 0; l < m->nl[f]; l++) {
            const int own = model_offset(m, f) + l * nc;
            for (int a = 0; a < nc; a++) {
                for (int b = 0; b < nc; b++) {
                    block[a * nc + b] += (a == b ? 1.0 : 0.0) - S[(own + a) * ld + own + b];
                }
            }
        }
        block += nc * nc;
    }
}

static void expected_score(const model *m, const double *e, double *out)
{
    memset(out, 0, (size_t)m->squares * sizeof *out);
    double *block = out;
    for (int f = 0; f < m->nf; f++) {
        const int nc = m->nc[f];
        for (int l = 0; l < m->nl[f]; l++) {
            const double *own = e + model_offset(m, f) + l * nc;
            for (int a = 0; a < nc; a++) {
                for (int b = 0; b < nc; b++) {
                    block[a * nc + b] += own[a] * own[b];
                }
            }
        }
        block += nc * nc;
    }
}

/* d = D e on the levels of one factor, zero elsewhere */
static void direction(const model *m, int f, const double *D, const double *e, double *d)
{
    const int nc = m->nc[f];
    memset(d, 0, (size_t)m->q * sizeof *d);
    for (int l = 0; l < m->nl[f]; l++) {
        const int own = model_offset(m, f) + l * nc;
        for (int a = 0; a < nc; a++) {
            for (int b = 0; b < nc; b++) {
                d[own + a] += D[a * nc + b] * e[own + b];
            }
        }
    }
}

static void compare_solution(flmm_lmm *kernel, const model *m, const dense_lmm *d, double tolerance)
{
    const size_t p = (size_t)m->p, q = (size_t)m->q;
    double *beta = dense_new(m->p, 1), *u = dense_new(m->q, 1), *b = dense_new(m->q, 1);
    flmm_lmm_solution(kernel, beta, u, b);
    check_all_close(p, beta, d->beta, tolerance, "beta");
    check_all_close(q, u, d->u, tolerance, "u");
    check_all_close(q, b, d->b, tolerance, "b");
    free(beta);
    free(u);
    free(b);
}

/* Row numbers increase within the columns of L, from the diagonal on; perm is a permutation. */
static void check_pattern(int q, const int64_t *colptr, const int64_t *rowind, const int64_t *perm)
{
    int *times = calloc((size_t)q, sizeof *times);
    int sound = times != NULL && colptr[0] == 0;
    for (int j = 0; j < q && sound; j++) {
        times[perm[j]]++;
        sound = colptr[j] < colptr[j + 1] && rowind[colptr[j]] == j;
        for (int64_t e = colptr[j] + 1; e < colptr[j + 1] && sound; e++) {
            sound = rowind[e - 1] < rowind[e] && rowind[e] < q;
        }
    }
    for (int j = 0; j < q && sound; j++) {
        sound = times[j] == 1;
    }
    check_true(sound, "L is lower triangular with sorted rows, perm a permutation");
    free(times);
}

/* L, RZX and RX put together are a factor of C: check by [L 0; RZX' RX'] times its transpose. */
static void compare_factor(flmm_lmm *kernel, int route, const model *m, const dense_lmm *d, double tolerance)
{
    const int p = m->p, q = m->q, size = p + q;
    int64_t nnz = 0, described = 0;
    int kind = 0;
    flmm_lmm_factor(kernel, &nnz, NULL, NULL, NULL, NULL);
    flmm_lmm_describe(kernel, &described, &kind);
    const int plain = route == FLMM_BLOCK ? kind : !kind;       /* no supernodes, which keep zeros */
    check_true(nnz >= described && (!plain || nnz == described), "nonzeros of L");
    int64_t *colptr = calloc((size_t)q + 1, sizeof *colptr), *rowind = calloc((size_t)nnz, sizeof *rowind);
    int64_t *perm = calloc((size_t)q, sizeof *perm);
    double *x = dense_new((int)nnz, 1), *RX = dense_new(p, p), *RZX = dense_new(q, p);
    double *F = dense_new(size, size), *inverse = dense_new(size, size), *product = dense_new(size, size);
    if (!colptr || !rowind || !perm) {
        abort();
    }
    flmm_lmm_factor(kernel, &nnz, colptr, rowind, x, perm);
    check_pattern(q, colptr, rowind, perm);
    flmm_lmm_blocks(kernel, RX, RZX);
    for (int j = 0; j < q; j++) {
        for (int64_t e = colptr[j]; e < colptr[j + 1]; e++) {
            F[rowind[e] * size + j] = x[e];
        }
        for (int c = 0; c < p; c++) {
            F[(q + c) * size + j] = RZX[perm[j] * p + c];
        }
    }
    for (int i = 0; i < p; i++) {
        for (int j = 0; j < p; j++) {
            F[(q + i) * size + q + j] = RX[j * p + i];
        }
    }
    for (int i = 0; i < size; i++) {
        for (int j = 0; j < size; j++) {
            for (int k = 0; k < size; k++) {
                product[i * size + j] += F[i * size + k] * F[j * size + k];
            }
        }
    }
    /* C in the order of the factor, times C^-1 in the same order, is the identity */
    for (int i = 0; i < size; i++) {
        for (int j = 0; j < size; j++) {
            const int64_t a = i < q ? perm[i] : i, b = j < q ? perm[j] : j;
            inverse[i * size + j] = d->Cinv[a * size + b];
        }
    }
    dense_multiply(size, size, size, product, inverse, F);
    for (int i = 0; i < size; i++) {
        F[i * size + i] -= 1.0;
    }
    double *zero = dense_new(size, size);
    check_all_close((size_t)(size * size), F, zero, 100.0 * tolerance, "[L 0; RZX' RX'] factorizes C");
    free(zero);
    free(colptr);
    free(rowind);
    free(perm);
    free(x);
    free(RX);
    free(RZX);
    free(F);
    free(inverse);
    free(product);
}

static void compare_inverse_blocks(flmm_lmm *kernel, const model *m, const dense_lmm *d, double tolerance)
{
    int count = 0;
    for (int f = 0; f < m->nf; f++) {
        count += m->nl[f] * m->nc[f] * m->nc[f];
    }
    double *found = dense_new(count, 1), *expected = dense_new(count, 1), *next = expected;
    for (int f = 0; f < m->nf; f++) {
        for (int i = model_offset(m, f); i < model_offset(m, f + 1); i += m->nc[f]) {
            for (int a = 0; a < m->nc[f]; a++) {
                for (int b = 0; b < m->nc[f]; b++) {
                    *next++ = d->Minv[(i + a) * m->q + i + b];
                }
            }
        }
    }
    check_status(flmm_lmm_inverse_blocks(kernel, found), FLMM_OK, "inverse blocks");
    check_all_close((size_t)count, found, expected, tolerance, "blocks of M^-1");
    free(found);
    free(expected);
}

static void compare_information(const model *m, const dense_lmm *d, const int32_t *factor_of, const double *D,
                                const double *information, double tolerance)
{
    double *directions = dense_new(DIRECTIONS, m->q), *times = dense_new(m->q, 1);
    double expected[DIRECTIONS * DIRECTIONS];
    for (int i = 0; i < DIRECTIONS; i++) {
        direction(m, factor_of[i], D, d->e, directions + i * m->q);
        D += m->nc[factor_of[i]] * m->nc[factor_of[i]];
    }
    for (int i = 0; i < DIRECTIONS; i++) {
        dense_multiply(m->q, m->q, 1, d->ZtPZ, directions + i * m->q, times);
        for (int j = 0; j < DIRECTIONS; j++) {
            dense_multiply(1, m->q, 1, directions + j * m->q, times, &expected[i * DIRECTIONS + j]);
        }
    }
    check_all_close(DIRECTIONS * DIRECTIONS, information, expected, tolerance, "average information");
    free(directions);
    free(times);
}

/* Solves and products for fewer, as many and more right-hand sides than the model has columns. */
static void compare_solves(flmm_lmm *kernel, const model *m, const dense_lmm *d, random_source *r, double tolerance)
{
    const int q = m->q, many[] = {1, m->p + 1, m->p + 4, 17};
    double *Lambda = dense_new(q, q), *left = dense_new(q, q), *S = dense_new(q, q), *A = dense_new(q, q);
    double *T = m->Lambda;
    for (int f = 0; f < m->nf; T += m->nc[f] * m->nc[f], f++) {
        for (int i = model_offset(m, f); i < model_offset(m, f + 1); i++) {
            const int a = (i - model_offset(m, f)) % m->nc[f];
            memcpy(Lambda + i * q + i - a, T + a * m->nc[f], (size_t)m->nc[f] * sizeof *T);
        }
    }
    dense_multiply(q, q, q, Lambda, d->Minv, left);
    for (int i = 0; i < q; i++) {
        for (int k = 0; k < q; k++) {
            for (int l = 0; l < q; l++) {
                S[i * q + k] += left[i * q + l] * Lambda[k * q + l];
            }
        }
    }
    dense_lmm_ZtWZ(m, A);
    for (size_t t = 0; t < sizeof many / sizeof *many; t++) {
        const int columns = many[t];
        const double *in[MOST_FACTORS];
        double *out[MOST_FACTORS];
        double *R = dense_new(q, columns), *B = dense_new(q, columns), *expected = dense_new(q, columns);
        for (int i = 0; i < q * columns; i++) {
            R[i] = random_between(r, -1.0, 1.0);
        }
        for (int f = 0; f < m->nf; f++) {
            in[f] = R + model_offset(m, f) * columns;
            out[f] = B + model_offset(m, f) * columns;
        }
        check_status(flmm_lmm_solve(kernel, columns, in, out), FLMM_OK, "solve");
        dense_multiply(q, q, columns, S, R, expected);
        check_all_close((size_t)(q * columns), B, expected, tolerance, "Lambda M^-1 Lambda' R");
        check_status(flmm_lmm_multiply(kernel, columns, in, out), FLMM_OK, "product");
        dense_multiply(q, q, columns, A, R, expected);
        check_all_close((size_t)(q * columns), B, expected, tolerance, "A R");
        check_status(flmm_lmm_solve(kernel, 0, in, out), FLMM_BAD_ARGUMENT, "no right-hand side");
        check_status(flmm_lmm_multiply(kernel, 0, in, out), FLMM_BAD_ARGUMENT, "no column");
        free(R);
        free(B);
        free(expected);
    }
    free(Lambda);
    free(left);
    free(S);
    free(A);
}

void compare_lmm(flmm_lmm *kernel, int route, const model *m, const dense_lmm *d, random_source *r,
                 double tolerance)
{
    int32_t factor_of[DIRECTIONS];
    int numbers = 0;
    for (int i = 0; i < DIRECTIONS; i++) {
        factor_of[i] = random_below(r, m->nf);
        numbers += m->nc[factor_of[i]] * m->nc[factor_of[i]];
    }
    double *D = dense_new(numbers, 1), *next = D;
    for (int i = 0; i < DIRECTIONS; i++) {
        const int nc = m->nc[factor_of[i]];
        for (int a = 0; a < nc; a++) {
            for (int b = 0; b <= a; b++) {
                next[a * nc + b] = next[b * nc + a] = random_between(r, -1.0, 1.0);
            }
        }
        next += nc * nc;
    }
    double *trace = dense_new(m->squares, 1), *score = dense_new(m->squares, 1);
    double *expected = dense_new(m->squares, 1), information[DIRECTIONS * DIRECTIONS];
    const size_t squares = (size_t)m->squares;
    const int everything = FLMM_TRACE | FLMM_SCORE | FLMM_INFORMATION;
    for (int reml = 0; reml < 2; reml++) {
        flmm_evaluation out = {.trace = trace, .score = score, .information = information};
        if (!check_status(flmm_lmm_evaluate(kernel, m->Lambda, everything, reml, DIRECTIONS, factor_of, D, &out),
                          FLMM_OK, "evaluation")) {
            break;
        }
        check_close(out.ldL2, d->ldL2, tolerance, "2 log|L|");
        check_close(out.ldRX2, d->ldRX2, tolerance, "2 log|RX|");
        check_close(out.pwrss, d->pwrss, tolerance * d->ytWy, "pwrss");
        expected_trace(m, reml ? d->Cinv : d->Minv, reml ? m->q + m->p : m->q, expected);
        check_all_close(squares, trace, expected, tolerance, "traces");
        expected_score(m, d->e, expected);
        check_all_close(squares, score, expected, tolerance, "scores");
        compare_information(m, d, factor_of, D, information, tolerance);
        compare_solution(kernel, m, d, tolerance);
        compare_factor(kernel, route, m, d, tolerance);
        compare_solves(kernel, m, d, r, tolerance);
        compare_inverse_blocks(kernel, m, d, tolerance);
        compare_solution(kernel, m, d, tolerance);
    }
    free(trace);
    free(score);
    free(expected);
    free(D);
}
