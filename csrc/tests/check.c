/* check.c: see check.h.  The tally is the one global of the test program. */
#include "check.h"

#include <math.h>
#include <stdio.h>

static struct {
    const char *test;
    long tests, checks, failures;
} tally = {"(no test)", 0, 0, 0};

void check_begin(const char *test)
{
    tally.test = test;
    tally.tests++;
}

int check_true(int held, const char *what)
{
    tally.checks++;
    if (!held) {
        tally.failures++;
        fprintf(stderr, "FAILED %s: %s\n", tally.test, what);
    }
    return held;
}

int check_status(int found, int expected, const char *what)
{
    const int held = check_true(found == expected, what);
    if (!held) {
        fprintf(stderr, "       status %d, expected %d\n", found, expected);
    }
    return held;
}

int check_close(double found, double expected, double tolerance, const char *what)
{
    return check_all_close(1, &found, &expected, tolerance, what);
}

int check_all_close(size_t n, const double *found, const double *expected, double tolerance,
                    const char *what)
{
    double size = 1.0;
    for (size_t i = 0; i < n; i++) {
        size = fmax(size, 1.0 + fabs(expected[i]));
    }
    for (size_t i = 0; i < n; i++) {
        if (!(fabs(found[i] - expected[i]) <= tolerance * size)) {
            check_true(0, what);
            fprintf(stderr, "       number %zu is %.17g, expected %.17g\n", i, found[i], expected[i]);
            return 0;
        }
    }
    return check_true(1, what);
}

int check_end(void)
{
    printf("%ld tests, %ld checks, %ld failures\n", tally.tests, tally.checks, tally.failures);
    return tally.failures == 0 && tally.checks > 0 ? 0 : 1;
}
