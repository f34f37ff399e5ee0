/* compare_routes.c: see compare_routes.h. */
#include "compare_routes.h"

#include "check.h"
#include "dense.h"
#include "plain_blas.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The parts of an outcome, one after the other in one array. */
enum part { DETERMINANTS, PWRSS, TRACE, SCORE, INFORMATION, BETA, MODES, BLOCKS, FIXED, PARTS };

static const char *const NAMES[PARTS] = {"log determinants", "pwrss", "traces", "scores", "information", "beta",
                                         "u and b",          "blocks of M^-1", "RX"};

typedef struct {
    int status;
    size_t start[PARTS + 1];
    double *x;
    double *RZX;                     /* depends on the order of elimination */
} outcome;

static outcome outcome_new(const model *m)
{
    size_t blocks = 0;
    for (int f = 0; f < m->nf; f++) {
        blocks += (size_t)(m->nl[f] * m->nc[f] * m->nc[f]);
    }
    const size_t squares = (size_t)m->squares, nf = (size_t)m->nf, p = (size_t)m->p, q = (size_t)m->q;
    const size_t sizes[PARTS] = {2, 1, squares, squares, nf * nf, p, 2 * q, blocks, p * p};
    outcome o = {.status = FLMM_OK};
    for (int k = 0; k < PARTS; k++) {
        o.start[k + 1] = o.start[k] + sizes[k];
    }
    o.x = dense_new((int)o.start[PARTS], 1);
    o.RZX = dense_new(m->q, m->p);
    return o;
}

static void outcome_free(outcome *o)
{
    free(o->x);
    free(o->RZX);
}

/* One direction per factor: the identity, plus a constant off the diagonal. */
static double *directions(const model *m, int32_t *factor_of)
{
    double *D = dense_new(m->squares, 1), *next = D;
    for (int f = 0; f < m->nf; f++) {
        factor_of[f] = f;
        for (int a = 0; a < m->nc[f]; a++) {
            for (int b = 0; b < m->nc[f]; b++) {
                *next++ = a == b ? 1.0 : 0.25;
            }
        }
    }
    return D;
}

/* L of the last evaluation: lower triangular, rows sorted, its diagonal the determinant's. */
static void check_factor(const flmm_lmm *kernel, const model *m, double ldL2)
{
    int64_t nnz = 0;
    flmm_lmm_factor(kernel, &nnz, NULL, NULL, NULL, NULL);
    int64_t *colptr = calloc((size_t)m->q + 1, sizeof *colptr), *rowind = calloc((size_t)nnz, sizeof *rowind);
    int64_t *perm = calloc((size_t)m->q, sizeof *perm);
    double *x = dense_new((int)nnz, 1), sum = 0.0;
    if (!colptr || !rowind || !perm) {
        abort();
    }
    flmm_lmm_factor(kernel, &nnz, colptr, rowind, x, perm);
    int sound = colptr[m->q] == nnz;
    for (int j = 0; j < m->q && sound; j++) {
        sound = rowind[colptr[j]] == j && x[colptr[j]] > 0.0;
        sum += 2.0 * log(x[colptr[j]]);
        for (int64_t e = colptr[j] + 1; e < colptr[j + 1] && sound; e++) {
            sound = rowind[e - 1] < rowind[e] && rowind[e] < m->q;
        }
    }
    check_true(sound, "L is lower triangular with sorted rows");
    check_close(sum, ldL2, 1e-12, "log determinant from the diagonal of L");
    free(colptr);
    free(rowind);
    free(perm);
    free(x);
}

/* Everything a kernel gives for a model, evaluated twice so that both lives of its
 * workspaces are seen. */
static outcome run(const model *m, int route, int32_t threads, int reml)
{
    outcome o = outcome_new(m);
    int32_t factor_of[MOST_FACTORS];
    double *D = directions(m, factor_of);
    const int everything = FLMM_TRACE | FLMM_SCORE | FLMM_INFORMATION;
    flmm_lmm *kernel = NULL;
    flmm_evaluation out = {.trace = o.x + o.start[TRACE],
                           .score = o.x + o.start[SCORE],
                           .information = o.x + o.start[INFORMATION]};
    o.status = flmm_lmm_new(&plain_blas, &m->data, route, threads, &kernel);
    for (int round = 0; round < 2 && o.status == FLMM_OK; round++) {
        o.status = flmm_lmm_evaluate(kernel, m->Lambda, everything, reml, m->nf, factor_of, D, &out);
    }
    if (o.status == FLMM_OK) {
        double *const part[] = {o.x + o.start[BETA], o.x + o.start[MODES], o.x + o.start[BLOCKS]};
        flmm_lmm_solution(kernel, part[0], part[1], part[1] + m->q);
        flmm_lmm_blocks(kernel, o.x + o.start[FIXED], o.RZX);
        check_factor(kernel, m, out.ldL2);
        o.status = flmm_lmm_inverse_blocks(kernel, part[2]);
        o.x[0] = out.ldL2;
        o.x[1] = out.ldRX2;
        o.x[o.start[PWRSS]] = out.pwrss;
    }
    flmm_lmm_free(kernel);
    free(D);
    return o;
}

void compare_routes(const model *m, double tolerance)
{
    for (int reml = 0; reml < 2; reml++) {
        outcome block = run(m, FLMM_BLOCK, 2, reml), whole = run(m, FLMM_WHOLE, 1, reml);
        check_status(block.status, whole.status, "the status of both routes");
        for (int k = 0; k < PARTS && block.status == FLMM_OK; k++) {
            const size_t first = block.start[k], count = block.start[k + 1] - first;
            check_all_close(count, block.x + first, whole.x + first, tolerance, NAMES[k]);
        }
        outcome_free(&block);
        outcome_free(&whole);
    }
}

static void check_bits(size_t n, const double *found, const double *expected, const char *what)
{
    if (!check_true(n == 0 || memcmp(found, expected, n * sizeof *found) == 0, what)) {
        fprintf(stderr, "       its bits depend on the number of threads\n");
    }
}

void compare_threads(const model *m, int route)
{
    const int32_t counts[] = {2, 3, 5};
    outcome one = run(m, route, 1, 1);
    for (int t = 0; t < 3; t++) {
        outcome many = run(m, route, counts[t], 1);
        check_status(many.status, one.status, "the status on any number of threads");
        for (int k = 0; k < PARTS && one.status == FLMM_OK; k++) {
            const size_t first = one.start[k], count = one.start[k + 1] - first;
            check_bits(count, many.x + first, one.x + first, NAMES[k]);
        }
        check_bits(one.status == FLMM_OK ? (size_t)(m->q * m->p) : 0, many.RZX, one.RZX, "RZX");
        outcome_free(&many);
    }
    outcome_free(&one);
}
