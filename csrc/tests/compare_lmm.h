/* compare_lmm.h: one evaluation of the kernel against the equations written out. */
#ifndef FLMM_TESTS_COMPARE_LMM_H
#define FLMM_TESTS_COMPARE_LMM_H

#include "model.h"

/* Evaluate at m->Lambda with everything, REML and ML, and check every output.
 * tolerance is relative to the size of what is compared. */
void compare_lmm(flmm_lmm *kernel, int route, const model *m, const dense_lmm *d, random_source *r,
                 double tolerance);

#endif
