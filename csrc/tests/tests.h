/* tests.h: the groups of tests, one per file. */
#ifndef FLMM_TESTS_TESTS_H
#define FLMM_TESTS_TESTS_H

void test_crossprod(void);
void test_chol(void);
void test_core(void);
void test_lmm(void);
void test_routes(void);
void test_memory(void);
void test_working(void);
void test_responses(void);
void test_predict(void);
void test_fuzz(int rounds);

#endif
