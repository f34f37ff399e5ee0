/* test_routes.c: block elimination against the factorization of all of M, on any number of threads. */
#include "check.h"
#include "compare_routes.h"
#include "plain_blas.h"
#include "tests.h"

#include <stdlib.h>

static const double SAME = 1e-9;

/* Does elimination leave a dense core?  (Or none, which counts as dense.) */
static int leaves_dense_core(const model *m)
{
    flmm_lmm *kernel = NULL;
    int64_t nnz = 0;
    int dense = -1;
    if (flmm_lmm_new(&plain_blas, &m->data, FLMM_BLOCK, 1, &kernel) == FLMM_OK) {
        flmm_lmm_describe(kernel, &nnz, &dense);
    }
    flmm_lmm_free(kernel);
    return dense;
}

static void compare_shape(random_source *r, const model_shape *shape, int dense)
{
    model *m = model_new(r, shape);
    check_status(model_crossprod(m), FLMM_OK, "cross-products");
    check_true(leaves_dense_core(m) == dense, dense ? "a dense core" : "a sparse core");
    compare_routes(m, SAME);
    compare_threads(m, FLMM_BLOCK);
    compare_threads(m, FLMM_WHOLE);
    model_free(m);
}

static void both_routes_agree(void)
{
    random_source r = {12};
    check_begin("both routes agree: no core");
    const model_shape one[] = {
        {.n = 60, .p = 2, .nf = 1, .nc = {3}, .nl = {9}},
        {.n = 30, .p = 0, .nf = 1, .nc = {1}, .nl = {50}},
        {.n = 200, .p = 4, .nf = 1, .weighted = 1, .nc = {5}, .nl = {20}},
    };
    for (size_t s = 0; s < sizeof one / sizeof *one; s++) {
        compare_shape(&r, &one[s], 1);
    }
    check_begin("both routes agree: dense core");
    const model_shape dense[] = {
        {.n = 150, .p = 2, .nf = 2, .nc = {2, 3}, .nl = {20, 9}},
        {.n = 150, .p = 3, .nf = 4, .weighted = 1, .nc = {1, 2, 1, 2}, .nl = {30, 12, 6, 3}},
        {.n = 200, .p = 1, .nf = 3, .nc = {2, 1, 2}, .nl = {60, 12, 3}, .layout = NESTED},
        {.n = 700, .p = 2, .nf = 2, .nc = {2, 2}, .nl = {60, 40}},
        {.n = 900, .p = 2, .nf = 2, .nc = {1, 3}, .nl = {225, 140}},
        {.n = 40, .p = 13, .nf = 2, .nc = {1, 1}, .nl = {20, 9}},
    };
    for (size_t s = 0; s < sizeof dense / sizeof *dense; s++) {
        compare_shape(&r, &dense[s], 1);
    }
    check_begin("both routes agree: sparse core");
    const model_shape sparse[] = {
        {.n = 800, .p = 2, .nf = 3, .nc = {1, 2, 1}, .nl = {300, 150, 120}, .layout = CHAINED},
        {.n = 1000, .p = 1, .nf = 3, .weighted = 1, .nc = {1, 2, 1}, .nl = {306, 156, 300}, .layout = CLUSTERED},
        {.n = 700, .p = 1, .nf = 2, .nc = {2, 1}, .nl = {650, 600}, .layout = NESTED},
        {.n = 900, .p = 0, .nf = 4, .nc = {2, 1, 1, 1}, .nl = {300, 200, 150, 100}, .layout = CHAINED},
    };
    for (size_t s = 0; s < sizeof sparse / sizeof *sparse; s++) {
        compare_shape(&r, &sparse[s], 0);
    }
}

/* More than two chunks of levels, so that threads share the loops over them. */
static void both_routes_agree_over_many_levels(void)
{
    random_source r = {14};
    check_begin("both routes agree over many levels");
    const model_shape one = {.n = 12000, .p = 2, .nf = 1, .weighted = 1, .nc = {2}, .nl = {9000}};
    const model_shape dense = {.n = 12000, .p = 1, .nf = 3, .nc = {1, 2, 1}, .nl = {9000, 12, 5}, .layout = NESTED};
    const model_shape sparse = {.n = 12000, .p = 1, .nf = 2, .nc = {3, 1}, .nl = {9000, 700}, .layout = CHAINED};
    compare_shape(&r, &one, 1);
    compare_shape(&r, &dense, 1);
    compare_shape(&r, &sparse, 0);
}

void test_routes(void)
{
    both_routes_agree_over_many_levels();
    both_routes_agree();
}
