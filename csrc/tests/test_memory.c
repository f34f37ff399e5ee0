/* test_memory.c: every allocation fails once; nothing leaks and the status says so. */
#include "check.h"
#include "memory.h"
#include "model.h"
#include "plain_blas.h"
#include "tests.h"

#include <stdlib.h>

/* Everything a kernel can be asked for, on two threads. */
static int evaluate(const model *m, flmm_lmm *kernel, double *ldL2)
{
    double trace[9 * MOST_FACTORS], score[9 * MOST_FACTORS], information[1];
    const int32_t factor_of[1] = {0};
    const double D[9] = {1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0};
    flmm_evaluation out = {.trace = trace, .score = score, .information = information};
    double blocks[4000];
    int status = flmm_lmm_evaluate(kernel, m->Lambda, 7, 1, 1, factor_of, D, &out);
    if (status == FLMM_OK) {
        status = flmm_lmm_inverse_blocks(kernel, blocks);
    }
    const double *in[MOST_FACTORS];
    double *out_of[MOST_FACTORS];
    for (int f = 0; f < m->nf; f++) {
        in[f] = m->ZtWZ[f];
        out_of[f] = blocks;
    }
    if (status == FLMM_OK) {
        status = flmm_lmm_solve(kernel, 1, in, out_of);
    }
    if (status == FLMM_OK) {
        status = flmm_lmm_multiply(kernel, 1, in, out_of);
    }
    double RX[4], beta[2], b[2000];
    if (status == FLMM_OK) {
        status = flmm_lmm_blocks(kernel, RX, blocks);
    }
    if (status == FLMM_OK) {
        status = flmm_lmm_solution(kernel, beta, NULL, b);
    }
    *ldL2 = out.ldL2;
    return status;
}

static int whole_run(const model *m, int route, flmm_lmm **kernel, double *ldL2)
{
    const int status = flmm_lmm_new(&plain_blas, &m->data, route, 2, kernel);
    return status == FLMM_OK ? evaluate(m, *kernel, ldL2) : status;
}

/* Short of memory, CHOLMOD may find another ordering instead of giving up: then all is well. */
static void check_failure(int status, double found, double expected)
{
    if (status == FLMM_OK && memory_has_failed_in_cholmod()) {
        check_close(found, expected, 1e-12, "log determinant of another ordering");
    } else {
        check_status(status, FLMM_NO_MEMORY, "status");
    }
}

static void every_allocation_may_fail(const model_shape *shape, int route, int at_least, int uses_cholmod)
{
    random_source r = {9};
    model *m = model_new(&r, shape);
    check_status(model_crossprod(m), FLMM_OK, "cross-products");
    double expected, found;
    flmm_lmm *kernel = NULL;
    check_status(whole_run(m, route, &kernel, &expected), FLMM_OK, "with all the memory");
    flmm_lmm_free(kernel);
    long tried[2] = {0, 0};
    for (int cholmod = 0; cholmod < 2; cholmod++) {
        long n = 0;
        int failed = 1;
        for (; failed && n < 2000; n++) {
            kernel = NULL;
            memory_count_cholmod(cholmod);
            memory_fail_after(n);
            const int status = whole_run(m, route, &kernel, &found);
            memory_fail_after(-1);
            memory_count_cholmod(0);
            failed = memory_has_failed();
            if (!failed) {
                check_status(status, FLMM_OK, "status");
                continue;
            }
            check_failure(status, found, expected);
            check_true((kernel == NULL) || status == FLMM_OK || status == FLMM_NO_MEMORY, "an object, or none");
            if (kernel) {            /* an object that was made works once there is memory */
                check_status(evaluate(m, kernel, &found), FLMM_OK, "a second evaluation");
                check_close(found, expected, 1e-12, "its log determinant");
            }
            flmm_lmm_free(kernel);
            kernel = NULL;
        }
        flmm_lmm_free(kernel);
        check_true(n > at_least && n < 2000, "every allocation was tried");
        check_true(!cholmod || !uses_cholmod || n > tried[0] + 20, "CHOLMOD's too");
        tried[cholmod] = n;
    }
    model_free(m);
}

static void the_data_pass_reports_that_memory_is_short(void)
{
    check_begin("the data pass reports that memory is short");
    random_source r = {10};
    const model_shape shape = {.n = 50, .p = 2, .nf = 1, .weighted = 1, .nc = {2}, .nl = {4}};
    model *m = model_new(&r, &shape);
    for (long n = 0; n < 6; n++) {
        memory_fail_after(n);
        const int fixed = flmm_crossprod_fixed(&plain_blas, m->n, m->p, m->x, m->y, m->w, m->XyWXy);
        memory_fail_after(n);
        const int factor = flmm_crossprod_factor(m->n, 2, 4, m->level[0], m->z[0], m->p, m->x, m->y, m->w,
                                                 m->ZtWZ[0], m->ZtWXy[0]);
        memory_fail_after(n);
        const int64_t indptr[5] = {0};
        const int nested = n > 1 ? FLMM_NO_MEMORY : flmm_pairs_nested_fill(m->n, 2, m->level[0], m->z[0], 2, m->z[0], m->w, indptr, m->ZtWZ[0]);
        memory_fail_after(-1);
        check_status(nested, FLMM_NO_MEMORY, "nested pairs");
        check_status(fixed, FLMM_NO_MEMORY, "fixed part");
        check_status(factor, FLMM_NO_MEMORY, "factor");
        check_true(m->XyWXy[0] == 0.0 && m->ZtWZ[0][0] == 0.0, "outputs untouched");
    }
    model_free(m);
}

void test_memory(void)
{
    the_data_pass_reports_that_memory_is_short();
    const model_shape small = {.n = 60, .p = 2, .nf = 2, .nc = {2, 1}, .nl = {6, 4}};
    const model_shape crossed = {.n = 700, .p = 2, .nf = 2, .nc = {2, 2}, .nl = {30, 30}};
    const model_shape single = {.n = 60, .p = 2, .nf = 1, .nc = {2}, .nl = {6}};
    const model_shape chained = {
        .n = 800, .p = 2, .nf = 3, .nc = {2, 2, 1}, .nl = {300, 150, 120}, .layout = CHAINED};
    const model_shape clustered = {
        .n = 1000, .p = 2, .nf = 3, .nc = {1, 2, 1}, .nl = {306, 156, 300}, .layout = CLUSTERED};
    const model_shape full = {.n = 900, .p = 2, .nf = 2, .nc = {1, 3}, .nl = {225, 140}};
    check_begin("every allocation may fail, all of M simplicial");
    every_allocation_may_fail(&small, FLMM_WHOLE, 15, 1);
    check_begin("every allocation may fail, all of M supernodal");
    every_allocation_may_fail(&crossed, FLMM_WHOLE, 15, 1);
    check_begin("every allocation may fail, block by block without a core");
    every_allocation_may_fail(&single, FLMM_BLOCK, 15, 0);
    check_begin("every allocation may fail, block by block with a dense core");
    every_allocation_may_fail(&small, FLMM_BLOCK, 20, 0);
    every_allocation_may_fail(&full, FLMM_BLOCK, 25, 1);
    check_begin("every allocation may fail, block by block with a sparse core");
    every_allocation_may_fail(&chained, FLMM_BLOCK, 30, 1);
    check_begin("every allocation may fail, block by block with a supernodal core");
    every_allocation_may_fail(&clustered, FLMM_BLOCK, 35, 1);
}
