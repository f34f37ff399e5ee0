/* threads.h: OpenMP, or one thread where the compiler has none. */
#ifndef FLMM_THREADS_H
#define FLMM_THREADS_H

/* Loops of fewer steps stay on one thread.  Measured on a busy two-core machine: waking a
 * second thread for a loop of 20,000 levels (0.3 ms) cost 50 ms of waiting. */
#define FLMM_WORTH_THREADS 100000

#ifdef _OPENMP
#include <omp.h>
static inline int flmm_thread(void)
{
    return omp_get_thread_num();
}
#else
static inline int flmm_thread(void)
{
    return 0;
}
#endif

#endif
