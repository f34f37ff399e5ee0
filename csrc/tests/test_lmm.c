/* test_lmm.c: the criterion kernel on chosen models, and what it refuses. */
#include "check.h"
#include "compare_lmm.h"
#include "dense.h"
#include "model.h"
#include "plain_blas.h"
#include "tests.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double ACCURACY = 1e-9;

static void compare_shape(random_source *r, const model_shape *shape, int route, int kind)
{
    model *m = model_new(r, shape);
    check_status(model_crossprod(m), FLMM_OK, "cross-products");
    flmm_lmm *kernel = NULL;
    if (check_status(flmm_lmm_new(&plain_blas, &m->data, route, 2, &kernel), FLMM_OK, "analysis")) {
        int64_t nnz;
        int found;
        flmm_lmm_describe(kernel, &nnz, &found);
        check_true(found == kind, "the kind of factor");
        for (int round = 0; round < 3; round++) {
            dense_lmm *d = dense_lmm_new(m);
            check_true(d->conditioning > 1e-6, "a well-conditioned model");
            compare_lmm(kernel, route, m, d, r, ACCURACY);
            dense_lmm_free(d);
            for (int i = 0; i < m->squares; i++) {
                m->Lambda[i] = round == 0 ? 0.0 : random_between(r, -2.0, 2.0);
            }
        }
    }
    flmm_lmm_free(kernel);
    model_free(m);
}

static void evaluations_follow_from_the_equations(void)
{
    const model_shape simplicial[] = {
        {.n = 30, .p = 2, .nf = 1, .nc = {1}, .nl = {5}},
        {.n = 40, .p = 0, .nf = 1, .nc = {2}, .nl = {6}},
        {.n = 60, .p = 3, .nf = 1, .weighted = 1, .nc = {4}, .nl = {7}},
        {.n = 25, .p = 1, .nf = 1, .nc = {2}, .nl = {1}},
        {.n = 60, .p = 2, .nf = 2, .weighted = 1, .nc = {2, 1}, .nl = {9, 4}},
        {.n = 80, .p = 5, .nf = 3, .nc = {1, 2, 3}, .nl = {11, 5, 3}},
        {.n = 20, .p = 1, .nf = 2, .nc = {1, 1}, .nl = {40, 30}},
        {.n = 60, .p = 1, .nf = 3, .nc = {1, 2, 1}, .nl = {20, 10, 5}, .layout = NESTED},
        {.n = 90, .p = 2, .nf = 4, .nc = {2, 1, 1, 2}, .nl = {12, 6, 4, 3}, .layout = CHAINED},
    };
    const model_shape supernodal[] = {
        {.n = 700, .p = 2, .nf = 2, .nc = {2, 2}, .nl = {30, 30}},
        {.n = 600, .p = 1, .nf = 3, .weighted = 1, .nc = {1, 2, 2}, .nl = {50, 25, 25}},
    };
    random_source r = {4};
    check_begin("an evaluation follows from the equations, all of M simplicial");
    for (size_t s = 0; s < sizeof simplicial / sizeof *simplicial; s++) {
        compare_shape(&r, &simplicial[s], FLMM_WHOLE, 0);
    }
    check_begin("an evaluation follows from the equations, all of M supernodal");
    for (size_t s = 0; s < sizeof supernodal / sizeof *supernodal; s++) {
        compare_shape(&r, &supernodal[s], FLMM_WHOLE, 1);
    }
    check_begin("an evaluation follows from the equations, block by block");
    for (size_t s = 0; s < sizeof simplicial / sizeof *simplicial; s++) {
        compare_shape(&r, &simplicial[s], FLMM_BLOCK, 1);
    }
    for (size_t s = 0; s < sizeof supernodal / sizeof *supernodal; s++) {
        compare_shape(&r, &supernodal[s], FLMM_BLOCK, 1);
    }
}

static int value_at(flmm_lmm *kernel, const double *Lambda, flmm_evaluation *out)
{
    *out = (flmm_evaluation){0};
    return flmm_lmm_evaluate(kernel, Lambda, FLMM_VALUE, 1, 0, NULL, NULL, out);
}

static void shapes_that_make_no_sense_are_refused(int route)
{
    check_begin("shapes that make no sense are refused");
    random_source r = {5};
    const model_shape shape = {.n = 30, .p = 2, .nf = 2, .nc = {2, 1}, .nl = {4, 3}};
    model *m = model_new(&r, &shape);
    check_status(model_crossprod(m), FLMM_OK, "cross-products");
    flmm_lmm *kernel = NULL;
    flmm_crossproducts bad = m->data;
    check_status(flmm_lmm_new(&plain_blas, &bad, route, 0, &kernel), FLMM_BAD_ARGUMENT, "no threads");
    bad.nf = 0;
    check_status(flmm_lmm_new(&plain_blas, &bad, route, 2, &kernel), FLMM_BAD_ARGUMENT, "no factor");
    bad = m->data;
    bad.p = -1;
    check_status(flmm_lmm_new(&plain_blas, &bad, route, 2, &kernel), FLMM_BAD_ARGUMENT, "p = -1");
    const int32_t sizes[] = {0, -3, 1001};
    for (int k = 0; k < 3; k++) {
        const int32_t nc[2] = {2, sizes[k]};
        bad = m->data;
        bad.nc = nc;
        check_status(flmm_lmm_new(&plain_blas, &bad, route, 2, &kernel), FLMM_BAD_ARGUMENT, "nc");
    }
    const int32_t nl[2] = {0, 3};
    bad = m->data;
    bad.nl = nl;
    check_status(flmm_lmm_new(&plain_blas, &bad, route, 2, &kernel), FLMM_BAD_ARGUMENT, "nl = 0");
    const int32_t wide[1] = {1000}, many[1] = {3000000};
    bad = m->data;
    bad.nf = 1;
    bad.nc = wide;
    bad.nl = many;
    check_status(flmm_lmm_new(&plain_blas, &bad, route, 2, &kernel), FLMM_TOO_LARGE, "more than 2^31 random effects");
    check_true(kernel == NULL, "no object");
    flmm_lmm_free(kernel);
    model_free(m);
}

static void what_cannot_be_factorized_is_refused_and_the_kernel_survives(int route)
{
    check_begin("what cannot be factorized is refused, and the kernel survives");
    random_source r = {6};
    const model_shape shapes[] = {
        {.n = 60, .p = 2, .nf = 2, .nc = {2, 1}, .nl = {6, 4}},
        {.n = 60, .p = 2, .nf = 1, .nc = {2}, .nl = {6}},
        {.n = 700, .p = 2, .nf = 2, .nc = {2, 2}, .nl = {30, 30}},
        {.n = 800, .p = 2, .nf = 3, .nc = {2, 2, 1}, .nl = {300, 150, 120}, .layout = CHAINED},
        {.n = 1000, .p = 2, .nf = 3, .nc = {2, 2, 1}, .nl = {306, 156, 300}, .layout = CLUSTERED},
    };
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        model *m = model_new(&r, &shapes[s]);
        flmm_lmm *kernel = NULL;
        flmm_evaluation first, again;
        check_status(model_crossprod(m), FLMM_OK, "cross-products");
        check_status(flmm_lmm_new(&plain_blas, &m->data, route, 2, &kernel), FLMM_OK, "analysis");
        check_status(value_at(kernel, m->Lambda, &first), FLMM_OK, "the model");
        const double bad[] = {NAN, INFINITY, -INFINITY, 1e200};
        for (int k = 0; k < 4; k++) {
            const double kept = m->Lambda[0];
            m->Lambda[0] = bad[k];
            check_true(value_at(kernel, m->Lambda, &again) != FLMM_OK, "a Lambda that is not finite, or overflows");
            m->Lambda[0] = kept;
            check_status(value_at(kernel, m->Lambda, &again), FLMM_OK, "the model again");
            check_true(again.ldL2 == first.ldL2 && again.pwrss == first.pwrss, "the same values");
        }
        for (int f = 0; f < m->nf; f++) {
            double *A = m->ZtWZ[f] + m->nc[f] * m->nc[f] * (m->nl[f] / 2);
            const double kept = A[0];
            A[0] = -1e6;
            check_status(value_at(kernel, m->Lambda, &again), FLMM_M_NOT_POSITIVE, "A not positive");
            A[0] = kept;
            check_status(value_at(kernel, m->Lambda, &again), FLMM_OK, "the model again");
            check_true(again.ldL2 == first.ldL2 && again.pwrss == first.pwrss, "the same values");
        }
        const double xx = m->XyWXy[4];
        m->XyWXy[4] = 0.0;
        check_status(value_at(kernel, m->Lambda, &again), FLMM_X_NOT_POSITIVE, "a column of X without length");
        m->XyWXy[4] = xx;
        const double yy = m->XyWXy[8];
        m->XyWXy[8] = 0.0;
        check_status(value_at(kernel, m->Lambda, &again), FLMM_NO_RESIDUAL, "a response without length");
        m->XyWXy[8] = NAN;
        check_status(value_at(kernel, m->Lambda, &again), FLMM_NO_RESIDUAL, "a response that is not a number");
        m->XyWXy[8] = yy;
        check_status(value_at(kernel, m->Lambda, &again), FLMM_OK, "the model again");
        check_true(again.ldL2 == first.ldL2 && again.pwrss == first.pwrss, "the same values");
        flmm_lmm_free(kernel);
        model_free(m);
    }
}

static void a_level_without_rows_is_shrunk_to_zero(int route)
{
    check_begin("a level without rows is shrunk to zero");
    random_source r = {7};
    const model_shape shape = {.n = 40, .p = 1, .nf = 2, .nc = {2, 1}, .nl = {6, 5}};
    model *m = model_new(&r, &shape);
    for (int j = 0; j < m->n; j++) {
        m->level[0][j] %= 4;
    }
    check_status(model_crossprod(m), FLMM_OK, "cross-products");
    flmm_lmm *kernel = NULL;
    flmm_evaluation out;
    check_status(flmm_lmm_new(&plain_blas, &m->data, route, 2, &kernel), FLMM_OK, "analysis");
    check_status(value_at(kernel, m->Lambda, &out), FLMM_OK, "value");
    double beta[1], u[17], b[17];
    flmm_lmm_solution(kernel, beta, u, b);
    check_true(b[8] == 0.0 && b[9] == 0.0 && b[10] == 0.0 && b[11] == 0.0 && b[12] != 0.0, "modes");
    flmm_lmm_free(kernel);
    model_free(m);
}

static void directions_may_grow_and_shrink_between_calls(int route)
{
    check_begin("directions may grow and shrink between calls");
    random_source r = {8};
    const model_shape shape = {.n = 700, .p = 2, .nf = 2, .nc = {2, 2}, .nl = {30, 30}};
    model *m = model_new(&r, &shape);
    check_status(model_crossprod(m), FLMM_OK, "cross-products");
    flmm_lmm *kernel = NULL;
    check_status(flmm_lmm_new(&plain_blas, &m->data, route, 2, &kernel), FLMM_OK, "analysis");
    int32_t factor_of[20];
    double D[80], information[400], first = 0.0;
    for (int i = 0; i < 20; i++) {
        factor_of[i] = i % 2;
        const double block[4] = {1.0 + i, 0.5, 0.5, 2.0};
        memcpy(D + 4 * i, block, sizeof block);
    }
    const int counts[] = {1, 7, 20, 2, 0, 13};
    for (int k = 0; k < 6; k++) {
        flmm_evaluation out = {.information = information};
        check_status(flmm_lmm_evaluate(kernel, m->Lambda, FLMM_INFORMATION, 1, counts[k], factor_of, D, &out), FLMM_OK,
                     "evaluation");
        if (k == 0) {
            first = information[0];
        }
        check_close(information[0], first, 1e-12, "the first direction");
    }
    flmm_lmm_free(kernel);
    model_free(m);
}

void test_lmm(void)
{
    evaluations_follow_from_the_equations();
    for (int route = FLMM_BLOCK; route <= FLMM_WHOLE; route++) {
        shapes_that_make_no_sense_are_refused(route);
        what_cannot_be_factorized_is_refused_and_the_kernel_survives(route);
        a_level_without_rows_is_shrunk_to_zero(route);
        directions_may_grow_and_shrink_between_calls(route);
    }
    flmm_lmm_free(NULL);
}
