/* test_working.c: moments and derivatives in working coordinates. */
#include "check.h"
#include "memory.h"
#include "model.h"
#include "plain_blas.h"
#include "tests.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_DIRECTIONS = 8, MOST_SQUARES = 40 };

/* Two terms of the first factor (2 and 1 columns) and one of the second (1 column). */
static const model_shape SHAPE = {.n = 90, .p = 2, .nf = 2, .weighted = 1, .nc = {3, 1}, .nl = {9, 5}};
static const int32_t FACTOR[] = {0, 0, 1}, FIRST[] = {0, 2, 0}, NC[] = {2, 1, 1}, SIZE[] = {3, 1, 1};
static const double T[] = {1.2, 0.3, -0.4, 0.9, 1.5, 0.7}, ROOT[] = {0.8, 0.0, 0.2, 0.5, 0.6, 0.9};
static const flmm_terms TERMS = {.nt = 3, .factor = FACTOR, .first = FIRST, .nc = NC, .size = SIZE, .T = T};
static const double SPAN[] = {1, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 1, 1, 1};

/* dPsi of lambda = root: E_ab root' + root E_ba for the lower triangle, column by column */
static void directions(const double *root, double *V)
{
    const int row[] = {0, 1, 1}, column[] = {0, 0, 1};
    memset(V, 0, 14 * sizeof *V);
    for (int i = 0; i < 3; i++) {
        for (int j = 0; j < 2; j++) {
            V[4 * i + 2 * row[i] + j] += root[2 * j + column[i]];
            V[4 * i + 2 * j + row[i]] += root[2 * j + column[i]];
        }
    }
    V[12] = 2.0 * root[4];
    V[13] = 2.0 * root[5];
}

typedef struct {
    double criterion, gradient[MOST_DIRECTIONS], information[MOST_DIRECTIONS * MOST_DIRECTIONS];
    double system[36], right[6];
} answer;

static int run(const model *m, const double *root, answer *a)
{
    flmm_lmm *kernel = NULL;
    flmm_working *w = NULL;
    double V[14], g_Psi[MOST_SQUARES];
    flmm_evaluation value = {.pwrss = 1.0};
    const double N = m->n - m->p;
    int status = flmm_moments(&plain_blas, &m->data, N, &TERMS, SPAN, m->p, a->system, a->right);
    if (status == FLMM_OK) {
        status = flmm_lmm_new(&plain_blas, &m->data, FLMM_BLOCK, 2, &kernel);
    }
    if (status == FLMM_OK) {
        status = flmm_working_new(&m->data, &TERMS, &w);
    }
    if (status == FLMM_OK) {
        directions(root, V);
        status = flmm_working_evaluate(w, kernel, T, root, root, V, 1, N, &value, a->gradient, a->information, g_Psi);
    }
    a->criterion = value.ldL2 + value.ldRX2 + N * log(value.pwrss);
    flmm_working_free(w);
    flmm_lmm_free(kernel);
    return status;
}

static void the_gradient_is_the_slope_of_the_criterion(const model *m)
{
    const int place[] = {0, 2, 3, 4, 5};
    const double h = 1e-5;
    answer here;
    check_begin("the gradient is the slope of the criterion");
    check_status(run(m, ROOT, &here), FLMM_OK, "evaluation");
    for (int i = 0; i < 5; i++) {
        double root[6];
        answer up, down;
        memcpy(root, ROOT, sizeof root);
        root[place[i]] += h;
        check_status(run(m, root, &up), FLMM_OK, "above");
        root[place[i]] -= 2.0 * h;
        check_status(run(m, root, &down), FLMM_OK, "below");
        check_close(here.gradient[i], (up.criterion - down.criterion) / (2.0 * h), 1e-6, "slope");
        check_true(here.information[i * 5 + i] > 0.0, "positive information");
    }
}

static void the_equations_of_moments_are_symmetric(const model *m)
{
    answer a;
    check_begin("the equations of moments are symmetric, with the degrees of freedom last");
    check_status(run(m, ROOT, &a), FLMM_OK, "evaluation");
    for (int i = 0; i < 6; i++) {
        for (int j = 0; j < i; j++) {
            check_close(a.system[i * 6 + j], a.system[j * 6 + i], 0.0, "symmetry");
        }
        check_true(i == 1 || a.system[i * 7] > 0.0, "positive diagonal");
    }
    check_close(a.system[35], m->n - m->p, 0.0, "degrees of freedom");
    check_status(flmm_moments(&plain_blas, &m->data, 1.0, &TERMS, SPAN, m->p + 1, a.system, a.right),
                 FLMM_BAD_ARGUMENT, "more columns than there are");
}

static void every_allocation_may_fail(const model *m)
{
    check_begin("every allocation of working coordinates may fail");
    answer a;
    int failed = 1;
    long n = 0;
    for (; failed && n < 500; n++) {
        memory_fail_after(n);
        const int status = run(m, ROOT, &a);
        memory_fail_after(-1);
        failed = memory_has_failed();
        check_status(status, failed ? FLMM_NO_MEMORY : FLMM_OK, "status");
    }
    check_true(n > 40 && n < 500, "every allocation was tried");
}

static void the_lower_factor_reproduces_the_product(random_source *r)
{
    check_begin("the lower factor reproduces the product");
    for (int32_t nc = 1; nc <= 5; nc++) {
        for (int32_t k = nc; k <= nc + 2; k++) {
            double F[35], C[35], work[7];
            for (int32_t i = 0; i < nc * k; i++) {
                F[i] = random_between(r, -2.0, 2.0);
            }
            memcpy(C, F, sizeof C);
            flmm_lower_factor(nc, k, C, work);
            for (int32_t i = 0; i < nc; i++) {
                check_true(C[i * k + i] >= 0.0, "sign of the diagonal");
                for (int32_t j = 0; j < nc; j++) {
                    double expected = 0.0, found = 0.0;
                    for (int32_t t = 0; t < k; t++) {
                        expected += F[i * k + t] * F[j * k + t];
                        found += C[i * k + t] * C[j * k + t];
                    }
                    check_close(found, expected, 1e-13, "product");
                    check_true(j <= i || C[i * k + j] == 0.0, "zero above the diagonal");
                }
            }
        }
    }
}

void test_working(void)
{
    random_source r = {21};
    model *m = model_new(&r, &SHAPE);
    check_status(model_crossprod(m), FLMM_OK, "cross-products");
    the_gradient_is_the_slope_of_the_criterion(m);
    the_equations_of_moments_are_symmetric(m);
    every_allocation_may_fail(m);
    the_lower_factor_reproduces_the_product(&r);
    model_free(m);
}
