/* dense.h: symmetric positive definite matrices in full, row-major: the definitions. */
#ifndef FLMM_TESTS_DENSE_H
#define FLMM_TESTS_DENSE_H

/* Zeroed doubles; ends the program when there are none. */
double *dense_new(int rows, int columns);

/* Lower L with L L' = A, in place (upper triangle cleared).  Returns the smallest ratio of
 * a squared pivot to the diagonal it came from; negative when A is not positive definite. */
double dense_cholesky(int n, double *A);

/* out = A^-1 and *logdet = log|A|; returns as dense_cholesky does. */
double dense_inverse(int n, const double *A, double *out, double *logdet);

/* out (n x m) = A (n x k) B (k x m) */
void dense_multiply(int n, int k, int m, const double *A, const double *B, double *out);

#endif
