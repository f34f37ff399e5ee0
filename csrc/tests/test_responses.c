/* test_responses.c: other responses for the same model. */
#include "check.h"
#include "model.h"
#include "tests.h"

#include <stdlib.h>
#include <string.h>

enum { RESPONSES = 3, MOST_X = 8 };
static const double ROUNDING = 1e-12;
static const model_shape SHAPE = {.n = 150, .p = 3, .nf = 2, .weighted = 1, .nc = {2, 1}, .nl = {9, 4}};

/* The cross-products of the model's own response, computed as those of another. */
static void own_response_comes_back(random_source *r, const model_shape *shape)
{
    model *m = model_new(r, shape);
    check_status(model_crossprod(m), FLMM_OK, "cross-products");
    double *y = malloc((size_t)(RESPONSES * m->n) * sizeof *y);
    double *one = malloc((size_t)m->q * sizeof *one);
    double XrWr[RESPONSES * MOST_X], last[MOST_X];
    for (int k = 0; k < RESPONSES; k++) {
        for (int j = 0; j < m->n; j++) {
            y[k * m->n + j] = k == 1 ? m->y[j] : random_between(r, -2.0, 2.0);
        }
    }
    int first = 0;
    for (int f = 0; f < m->nf; f++) {
        double *out = malloc((size_t)(RESPONSES * m->nl[f] * m->nc[f]) * sizeof *out);
        check_status(flmm_crossprod_responses(m->n, m->nc[f], m->nl[f], m->level[f], m->z[f], RESPONSES, y, m->w, out),
                     FLMM_OK, "Z'Wr");
        memcpy(one + first, out + m->nl[f] * m->nc[f], (size_t)(m->nl[f] * m->nc[f]) * sizeof *one);
        first += m->nl[f] * m->nc[f];
        free(out);
    }
    check_status(flmm_crossprod_responses(m->n, m->p, 1, NULL, m->x, RESPONSES, y, m->w, XrWr), FLMM_OK, "X'Wr");
    memcpy(last, XrWr + m->p, (size_t)m->p * sizeof *last);
    last[m->p] = m->XyWXy[(m->p + 1) * (m->p + 1) - 1];

    /* put in place of columns that were spoilt, they are what was there */
    const int width = m->p + 1;
    double *X = malloc((size_t)(width * width) * sizeof *X), *Z[MOST_FACTORS];
    memcpy(X, m->XyWXy, (size_t)(width * width) * sizeof *X);
    for (int j = 0; j < width; j++) {
        X[j * width + m->p] = X[m->p * width + j] = -77.0;
    }
    for (int f = 0; f < m->nf; f++) {
        const int rows = m->nl[f] * m->nc[f];
        Z[f] = malloc((size_t)(rows * width) * sizeof *Z[f]);
        memcpy(Z[f], m->ZtWXy[f], (size_t)(rows * width) * sizeof *Z[f]);
        for (int i = 0; i < rows; i++) {
            Z[f][i * width + m->p] = -77.0;
        }
    }
    flmm_put_response(m->nf, m->p, m->nc, m->nl, one, last, Z, X);
    check_all_close((size_t)(width * width), X, m->XyWXy, ROUNDING, "[X r]'W[X r]");
    for (int f = 0; f < m->nf; f++) {
        check_all_close((size_t)(m->nl[f] * m->nc[f] * width), Z[f], m->ZtWXy[f], ROUNDING, "Z'W[X r]");
        free(Z[f]);
    }
    free(X);
    free(y);
    free(one);
    model_free(m);
}

static void bad_levels_are_refused(void)
{
    const int32_t level[] = {0, 1, 2};
    const flmm_column one = {.values = NULL, .centre = 0.0};
    const double r[] = {1.0, 2.0, 3.0};
    double out[] = {-5.0, -5.0};
    check_status(flmm_crossprod_responses(3, 1, 2, level, &one, 1, r, NULL, out), FLMM_BAD_LEVEL, "level too large");
    check_true(out[0] == -5.0 && out[1] == -5.0, "output untouched");
}

void test_responses(void)
{
    check_begin("responses");
    random_source r = {20240601};
    own_response_comes_back(&r, &SHAPE);
    model_shape shape = SHAPE;
    shape.weighted = 0;
    shape.n = 2500;                  /* several chunks */
    own_response_comes_back(&r, &shape);
    shape.p = 0;
    own_response_comes_back(&r, &shape);
    bad_levels_are_refused();
}
