/* check.h: counting checks, with the name of the test that is running. */
#ifndef FLMM_TESTS_CHECK_H
#define FLMM_TESTS_CHECK_H

#include <stddef.h>

/* Say which test runs; failures are printed under this name. */
void check_begin(const char *test);

/* Each returns whether it held; a failure is counted and printed. */
int check_true(int held, const char *what);
int check_status(int found, int expected, const char *what);
int check_close(double found, double expected, double tolerance, const char *what);

/* |found[i] - expected[i]| <= tolerance * (1 + max |expected|) for all i < n */
int check_all_close(size_t n, const double *found, const double *expected, double tolerance,
                    const char *what);

/* Print the tally; returns the exit code of the program. */
int check_end(void);

#endif
