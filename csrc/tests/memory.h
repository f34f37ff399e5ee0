/* memory.h: make the n-th allocation of the kernels fail (linked with --wrap), those that
 * CHOLMOD makes for them included. */
#ifndef FLMM_TESTS_MEMORY_H
#define FLMM_TESTS_MEMORY_H

/* The next n allocations succeed, the one after fails; a negative n lets all succeed. */
void memory_fail_after(long n);

/* Whether the failure asked for has happened. */
int memory_has_failed(void);

/* Let CHOLMOD's allocations count too, or not. */
void memory_count_cholmod(int counted);

/* Whether the failure was one of CHOLMOD's. */
int memory_has_failed_in_cholmod(void);

#endif
