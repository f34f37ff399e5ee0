/* test_predict.c: the linear predictor against its definition, row by row. */
#include "check.h"
#include "model.h"
#include "tests.h"

#include <math.h>
#include <stdlib.h>

static const double ROUNDING = 1e-12;

/* offset + X beta + Z b of every row, one after the other */
static void define(const model *m, int f, const double *beta, const double *b, const int32_t *level, double *out)
{
    for (int j = 0; j < m->n; j++) {
        for (int c = 0; c < m->p; c++) {
            out[j] += beta[c] * ((m->x[c].values ? m->x[c].values[j] : 1.0) - m->x[c].centre);
        }
        for (int c = 0; c < m->nc[f]; c++) {
            const double effect = level[j] < 0 ? 0.0 : b[level[j] * m->nc[f] + c];
            out[j] += effect * ((m->z[f][c].values ? m->z[f][c].values[j] : 1.0) - m->z[f][c].centre);
        }
    }
}

static void sums_are_those_of_the_definition(random_source *r, int n)
{
    const model_shape shape = {.n = n, .p = 4, .nf = 2, .weighted = 0, .nc = {2, 1}, .nl = {9, 4}};
    model *m = model_new(r, &shape);
    double beta[4], b[18];
    for (int c = 0; c < 4; c++) {
        beta[c] = random_between(r, -2.0, 2.0);
    }
    for (int i = 0; i < 18; i++) {
        b[i] = random_between(r, -2.0, 2.0);
    }
    int32_t *level = malloc((size_t)n * sizeof *level);
    double *out = malloc((size_t)n * sizeof *out), *wanted = malloc((size_t)n * sizeof *wanted);
    for (int f = 0; f < 2; f++) {
        for (int j = 0; j < n; j++) {
            level[j] = j % 7 == 3 ? -1 : m->level[f][j];
            out[j] = wanted[j] = 0.25 * j;
        }
        define(m, f, beta, b, level, wanted);
        check_status(flmm_add_fixed(n, m->p, m->x, beta, out), FLMM_OK, "X beta");
        check_status(flmm_add_effects(n, m->nc[f], m->nl[f], level, m->z[f], b, out), FLMM_OK, "Z b");
        check_all_close((size_t)n, out, wanted, ROUNDING, "offset + X beta + Z b");
    }
    free(level);
    free(out);
    free(wanted);
    model_free(m);
}

static void a_missing_value_makes_its_row_missing(void)
{
    const double values[] = {1.0, NAN, 3.0};
    const flmm_column x = {.values = values, .centre = 0.5};
    const double zero = 0.0;
    const int32_t level[] = {0, -1, -1};
    double out[] = {1.0, 2.0, 3.0};
    check_status(flmm_add_fixed(3, 1, &x, &zero, out), FLMM_OK, "X beta");
    check_true(out[0] == 1.0 && isnan(out[1]) && out[2] == 3.0, "a column whose coefficient is zero");
    out[1] = 2.0;
    check_status(flmm_add_effects(3, 1, 1, level, &x, &zero, out), FLMM_OK, "Z b");
    check_true(out[0] == 1.0 && isnan(out[1]) && out[2] == 3.0, "a level without effects");
}

static void bad_levels_are_refused(void)
{
    const flmm_column one = {.values = NULL, .centre = 0.0};
    const double b[] = {1.0, 2.0};
    const int32_t large[] = {0, 2}, small[] = {0, -2};
    double out[] = {-5.0, -5.0};
    check_status(flmm_add_effects(2, 1, 2, large, &one, b, out), FLMM_BAD_LEVEL, "level too large");
    check_status(flmm_add_effects(2, 1, 2, small, &one, b, out), FLMM_BAD_LEVEL, "level too small");
    check_true(out[0] == -5.0 && out[1] == -5.0, "output untouched");
    check_status(flmm_add_fixed(-1, 1, &one, b, out), FLMM_BAD_ARGUMENT, "negative number of rows");
}

void test_predict(void)
{
    check_begin("predict");
    random_source r = {20240711};
    sums_are_those_of_the_definition(&r, 1);
    sums_are_those_of_the_definition(&r, 150);
    sums_are_those_of_the_definition(&r, 1024);
    sums_are_those_of_the_definition(&r, 2500);
    a_missing_value_makes_its_row_missing();
    bad_levels_are_refused();
}
