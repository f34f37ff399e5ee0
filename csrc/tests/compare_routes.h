/* compare_routes.h: one model through two kernels. */
#ifndef FLMM_TESTS_COMPARE_ROUTES_H
#define FLMM_TESTS_COMPARE_ROUTES_H

#include "model.h"

/* BLOCK and WHOLE give the same numbers, up to the tolerance relative to their size. */
void compare_routes(const model *m, double tolerance);

/* Every number has the same bits on 1, 2, 3 and 5 threads. */
void compare_threads(const model *m, int route);

#endif
