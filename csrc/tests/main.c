/* main.c: run every test; the argument is the number of random models (default 3000). */
#include "check.h"
#include "tests.h"

#include <stdlib.h>

int main(int argc, char **argv)
{
    test_crossprod();
    test_chol();
    test_core();
    test_lmm();
    test_routes();
    test_memory();
    test_working();
    test_responses();
    test_predict();
    test_fuzz(argc > 1 ? atoi(argv[1]) : 3000);
    return check_end();
}
