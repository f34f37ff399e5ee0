/* test_fuzz.c: some thousand random small models against the equations written out. */
#include "check.h"
#include "compare_lmm.h"
#include "compare_routes.h"
#include "model.h"
#include "plain_blas.h"
#include "tests.h"

#include <math.h>
#include <stdlib.h>

/* Dense and sparse elimination lose digits alike; models worse conditioned are only run. */
static const double TOLERANCE = 1e-6, WELL_CONDITIONED = 1e-6;

static model_shape random_shape(random_source *r)
{
    model_shape s = {.n = 1 + random_below(r, 45), .p = random_below(r, 4), .nf = 1 + random_below(r, MOST_FACTORS),
                     .weighted = random_below(r, 2)};
    const enum layout layouts[] = {CROSSED, CROSSED, CHAINED, NESTED};
    s.layout = layouts[random_below(r, 4)];
    for (int f = 0; f < s.nf; f++) {
        s.nc[f] = 1 + random_below(r, 3);
        s.nl[f] = 1 + random_below(r, 7);
    }
    return s;
}

/* Zero some of Lambda, scale it, and sometimes repeat a factor or a column of X. */
static void make_it_hard(random_source *r, model *m)
{
    const double sizes[] = {0.0, 1e-8, 1e-3, 1.0, 1.0, 30.0, 1e4};
    const double size = sizes[random_below(r, 7)];
    for (int i = 0; i < m->squares; i++) {
        m->Lambda[i] *= random_below(r, 5) == 0 ? 0.0 : size;
    }
    if (m->nf > 1 && random_below(r, 4) == 0) {
        for (int j = 0; j < m->n; j++) {
            m->level[1][j] = m->level[0][j] % m->nl[1];
        }
    }
    if (m->p > 2 && random_below(r, 8) == 0) {
        for (int j = 0; j < m->n; j++) {
            m->X[2 * m->n + j] = m->X[m->n + j];
        }
    }
}

static int run_anyway(flmm_lmm *kernel, const model *m)
{
    double trace[9 * MOST_FACTORS], score[9 * MOST_FACTORS];
    flmm_evaluation out = {.trace = trace, .score = score};
    const int status = flmm_lmm_evaluate(kernel, m->Lambda, FLMM_TRACE | FLMM_SCORE, 1, 0, NULL, NULL, &out);
    return status == FLMM_OK || status == FLMM_X_NOT_POSITIVE || status == FLMM_NO_RESIDUAL
           || status == FLMM_M_NOT_POSITIVE;
}

void test_fuzz(int rounds)
{
    random_source r = {11};
    int compared = 0;
    check_begin("random models follow from the equations");
    for (int round = 0; round < rounds; round++) {
        const model_shape shape = random_shape(&r);
        model *m = model_new(&r, &shape);
        make_it_hard(&r, m);
        check_status(model_crossprod(m), FLMM_OK, "cross-products");
        dense_lmm *d = dense_lmm_new(m);
        const int route = round % 2 ? FLMM_BLOCK : FLMM_WHOLE;
        flmm_lmm *kernel = NULL;
        check_status(flmm_lmm_new(&plain_blas, &m->data, route, 1 + random_below(&r, 3), &kernel), FLMM_OK, "analysis");
        if (d->conditioning > WELL_CONDITIONED && d->pwrss > WELL_CONDITIONED * d->ytWy) {
            compare_lmm(kernel, route, m, d, &r, TOLERANCE);
            compare_routes(m, TOLERANCE);
            compared++;
        } else {
            check_true(run_anyway(kernel, m), "a status that says what is wrong");
        }
        if (round % 8 < 2) {
            compare_threads(m, route);
        }
        flmm_lmm_free(kernel);
        dense_lmm_free(d);
        model_free(m);
    }
    check_true(2 * compared > rounds, "most models are compared");
}
