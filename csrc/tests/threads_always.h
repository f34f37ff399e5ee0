/* threads_always.h: stands in for threads.h where every loop should run on threads. */
#ifndef FLMM_THREADS_H
#define FLMM_THREADS_H

#include <omp.h>

#define FLMM_WORTH_THREADS 0

static inline int flmm_thread(void)
{
    return omp_get_thread_num();
}

#endif
