/* test_memory.c: every allocation fails once; nothing leaks and the status says so. */
#include "check.h"
#include "memory.h"
#include "model.h"
#include "plain_blas.h"
#include "tests.h"

#include <stdlib.h>

static int whole_run(const model *m, flmm_lmm **kernel)
{
    double trace[16], score[16], information[1], blocks[2000];
    const int32_t factor_of[1] = {0};
    const double D[4] = {1.0, 0.0, 0.0, 1.0};
    flmm_evaluation out = {.trace = trace, .score = score, .information = information};
    int status = flmm_lmm_new(&plain_blas, &m->data, kernel);
    if (status == FLMM_OK) {
        status = flmm_lmm_evaluate(*kernel, m->Lambda, 7, 1, 1, factor_of, D, &out);
    }
    if (status == FLMM_OK) {
        status = flmm_lmm_inverse_blocks(*kernel, blocks);
    }
    return status;
}

static void every_allocation_may_fail(const model_shape *shape)
{
    random_source r = {9};
    model *m = model_new(&r, shape);
    check_status(model_crossprod(m), FLMM_OK, "cross-products");
    long n = 0;
    int failed = 1;
    for (; failed && n < 1000; n++) {
        flmm_lmm *kernel = NULL;
        memory_fail_after(n);
        int status = whole_run(m, &kernel);
        failed = memory_has_failed();
        memory_fail_after(-1);
        check_status(status, failed ? FLMM_NO_MEMORY : FLMM_OK, "status");
        if (kernel && failed) {      /* an object that was made works once there is memory */
            double trace[16], score[16], information[1];
            const int32_t factor_of[1] = {0};
            const double D[4] = {1.0, 0.0, 0.0, 1.0};
            flmm_evaluation out = {.trace = trace, .score = score, .information = information};
            status = flmm_lmm_evaluate(kernel, m->Lambda, 7, 1, 1, factor_of, D, &out);
            check_status(status, FLMM_OK, "a second evaluation");
        }
        flmm_lmm_free(kernel);
    }
    check_true(n > 15 && n < 1000, "every allocation was tried");
    model_free(m);
}

static void the_data_pass_reports_that_memory_is_short(void)
{
    check_begin("the data pass reports that memory is short");
    random_source r = {10};
    const model_shape shape = {.n = 50, .p = 2, .nf = 1, .nc = {2}, .nl = {4}};
    model *m = model_new(&r, &shape);
    for (long n = 0; n < 2; n++) {
        memory_fail_after(n);
        const int fixed = flmm_crossprod_fixed(&plain_blas, m->n, m->p, m->x, m->y, m->w, m->XyWXy);
        memory_fail_after(n);
        const int factor = flmm_crossprod_factor(m->n, 2, 4, m->level[0], m->z[0], m->p, m->x, m->y, m->w,
                                                 m->ZtWZ[0], m->ZtWXy[0]);
        memory_fail_after(-1);
        check_status(fixed, FLMM_NO_MEMORY, "fixed part");
        check_status(factor, FLMM_NO_MEMORY, "factor");
        check_true(m->XyWXy[0] == 0.0 && m->ZtWZ[0][0] == 0.0, "outputs untouched");
    }
    model_free(m);
}

void test_memory(void)
{
    the_data_pass_reports_that_memory_is_short();
    check_begin("every allocation may fail, simplicial");
    const model_shape simplicial = {.n = 60, .p = 2, .nf = 2, .nc = {2, 1}, .nl = {6, 4}};
    every_allocation_may_fail(&simplicial);
    check_begin("every allocation may fail, supernodal");
    const model_shape supernodal = {.n = 700, .p = 2, .nf = 2, .nc = {2, 2}, .nl = {30, 30}};
    every_allocation_may_fail(&supernodal);
}
