/* lmm.h: inside of the criterion, shared by lmm.c and lmm_solve.c. */
#ifndef FLMM_LMM_H
#define FLMM_LMM_H

#include "system.h"

struct flmm_lmm {
    const flmm_blas *blas;
    flmm_crossproducts data;
    flmm_layout at;
    int64_t *offset;                 /* [nf+1] */
    int64_t *square;                 /* [nf+1] */
    flmm_system system;
    int route;
    double *Lambda;                  /* [sum nc^2] of the last evaluation */
    double *gram;                    /* [(p+1)^2] U'U, U = [RZX cu] */
    double *RX;                      /* [p*p] upper, column-major */
    double *cb, *beta;               /* [p] */
    double *y;                       /* [p+1] (-beta, 1) */
    double *h;                       /* [nd p], grown to nd */
    int32_t nd_room;
};

#endif
