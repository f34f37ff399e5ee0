/* flmm.h: the whole contract between the C kernels and their callers.
 *
 * Notation is that of Bates, Maechler, Bolker & Walker (2015), JSS 67(1):
 * A = Z'WZ, Lambda the relative covariance factor, M = Lambda' A Lambda + I,
 * L its Cholesky factor, RZX and RX the other blocks of the factorization.
 *
 * The kernels work per grouping factor.  All random-effects terms of one factor
 * stand side by side in its nc columns, and its template Lambda_f (nc x nc) is
 * block diagonal over those terms.  Index of a random effect: factor by factor,
 * level by level, column fastest.
 *
 * Small matrices (templates, blocks) are row-major; a block of a symmetric
 * matrix is stored in full.  No function prints, keeps globals or knows Python.
 */
#ifndef FLMM_H
#define FLMM_H

#include <stddef.h>
#include <stdint.h>

/* --- status --------------------------------------------------------------- */
enum {
    FLMM_OK = 0,
    FLMM_NO_MEMORY = -1,
    FLMM_BAD_LEVEL = -2,             /* a level code outside 0 .. nl-1 */
    FLMM_BAD_ARGUMENT = -3,          /* lengths or pointers that do not fit */
    FLMM_M_NOT_POSITIVE = -4,        /* M is not numerically positive definite */
    FLMM_X_NOT_POSITIVE = -5,        /* RX'RX is not: X is rank deficient */
    FLMM_NO_RESIDUAL = -6,           /* pwrss <= 0: the model fits y exactly */
    FLMM_TOO_LARGE = -7,             /* a size overflows the index type */
    FLMM_LIBRARY_FAILED = -8,        /* CHOLMOD refused for another reason */
    FLMM_NOT_NESTED = -9             /* an answer, not an error */
};

/* --- BLAS and LAPACK, handed in by the caller (Fortran calling convention) -- */
typedef struct {
    void (*dgemm)(char *, char *, int *, int *, int *, double *, double *, int *, double *, int *,
                  double *, double *, int *);
    void (*dsyrk)(char *, char *, int *, int *, double *, double *, int *, double *, double *, int *);
    void (*dtrsm)(char *, char *, char *, char *, int *, int *, double *, double *, int *, double *,
                  int *);
    void (*dpotrf)(char *, int *, double *, int *, int *);
    void (*dpotri)(char *, int *, double *, int *, int *);
} flmm_blas;

/* --- the data pass (crossprod.c, pairs.c, columns.c, keys.c) ----------------------- */

/* One column of X or Z as it lies in the data: the value used in row j is
 * values[j] - centre, or 1 - centre when values is NULL. */
typedef struct {
    const double *values;
    double centre;
} flmm_column;

/* r = y - offset - X beta0; NULL for no offset, no beta0. */
typedef struct {
    const double *values;            /* [n] */
    const double *offset;            /* [n] */
    const double *beta0;             /* [p], of the columns as they lie in the data, not centred */
} flmm_response;

/* One grouping factor and its sums:
 *
 *   ZtWZ[l]  += sum over rows j of level l of  w_j z_j z_j'
 *   ZtWXy[l] += sum over rows j of level l of  w_j z_j [x_j r_j]
 */
typedef struct {
    int32_t nc, nl;                  /* columns, levels */
    const int32_t *level;            /* [n] level code of each row, 0 <= level[j] < nl */
    const flmm_column *z;            /* [nc] columns of the factor's terms */
    double *ZtWZ;                    /* [nl nc nc] in/out, blocks in full; or NULL: left out */
    double *ZtWXy;                   /* [nl nc (p+1)] in/out; NULL: nothing is added to this factor */
} flmm_grouping;

/* All sums over n rows at once: XyWXy += [X r]'W[X r], and those of every grouping factor.
 *
 * x      [p]            columns of X
 * w      [n] or NULL    prior weights; NULL means all ones
 * group  [nf]
 * XyWXy  [(p+1)*(p+1)]  in/out, symmetric, stored in full; NULL: left out
 *
 * Rows are summed in chunks of a fixed size whose sums are added in order, so the rounding does not depend on
 * how many rows there are per call beyond that; nor on which factors are added to, only on all their levels.
 *
 * Returns FLMM_OK, or an error with the outputs untouched.  Cost: see crossprod.c.
 */
int flmm_crossprod_rows(const flmm_blas *blas, int64_t n, int32_t p, const flmm_column *x, const flmm_response *y,
                        const double *w, int32_t nf, const flmm_grouping *group, double *XyWXy);

/* XyWXy alone, r [n] the response already shifted. */
int flmm_crossprod_fixed(const flmm_blas *blas, int64_t n, int32_t p, const flmm_column *x, const double *r,
                         const double *w, double *XyWXy);

/* The sums of one factor alone. */
int flmm_crossprod_factor(int64_t n, int32_t nc, int32_t nl, const int32_t *level, const flmm_column *z, int32_t p,
                          const flmm_column *x, const double *r, const double *w, double *ZtWZ, double *ZtWXy);

/* Counting sort of the level codes: rows of level l are
 * order[start[l]] .. order[start[l+1]-1], in their own order.
 *
 * start [nl+1], order [n].  Returns FLMM_OK or FLMM_BAD_LEVEL.
 */
int flmm_rows_by_level(int64_t n, int32_t nl, const int32_t *level, int64_t *start, int64_t *order);

/* Which levels of factor g meet which levels of factor f.
 *
 * start_f, order_f   rows by level of f, from flmm_rows_by_level
 * level_g [n]        0 <= level_g[j] < nl_g
 * marker  [nl_g]     workspace
 * indptr  [nl_f+1]   out: indptr[i+1]-indptr[i] levels of g meet level i of f
 */
int flmm_pairs_count(int32_t nl_f, const int64_t *start_f, const int64_t *order_f, int32_t nl_g,
                     const int32_t *level_g, int64_t *marker, int64_t *indptr);

/* The blocks Z_f' W Z_g over the pairs counted before.
 *
 * indices [indptr[nl_f]]              out: levels of g, increasing within each i
 * values  [indptr[nl_f] * nc_f*nc_g]  out: nc_f x nc_g blocks
 */
int flmm_pairs_fill(int32_t nc_f, int32_t nl_f, const int64_t *start_f, const int64_t *order_f,
                    const flmm_column *z_f, int32_t nc_g, int32_t nl_g, const int32_t *level_g,
                    const flmm_column *z_g, const double *w, int64_t *marker, const int64_t *indptr,
                    int32_t *indices, double *values);

/* Whether every level of f lies in one level of g.
 *
 * parent [nl_f]  out: that level of g, or -1 for a level of f without rows
 *
 * Returns FLMM_OK, FLMM_NOT_NESTED, or an error.
 */
int flmm_pairs_nested(int64_t n, int32_t nl_f, const int32_t *level_f, int32_t nl_g,
                      const int32_t *level_g, int32_t *parent);

/* The same while rows come by: parent [nl_f] in/out, -1 for levels without rows so far.
 *
 * Returns FLMM_OK; FLMM_NOT_NESTED as soon as a level of f lies in two of g, the rows before it noted; or
 * FLMM_BAD_LEVEL with parent untouched.
 */
int flmm_pairs_follow(int64_t n, int32_t nl_f, const int32_t *level_f, const int32_t *level_g, int32_t *parent);

/* The blocks of nested factors, added row by row: no sorting needed.
 *
 * indptr [nl_f+1]                     0 or 1 pair per level of f
 * values [indptr[nl_f] * nc_f*nc_g]   in/out
 */
int flmm_pairs_nested_fill(int64_t n, int32_t nc_f, const int32_t *level_f, const flmm_column *z_f,
                           int32_t nc_g, const flmm_column *z_g, const double *w, const int64_t *indptr,
                           double *values);

/* Codes of integers by a table over their range: code[j] = table[values[j] - low], or -1 outside of it.
 *
 * table [size]  codes, -1 where an integer has none
 *
 * Returns FLMM_OK, or FLMM_BAD_LEVEL if some code is negative.
 */
int flmm_look_up_int32(int64_t n, const int32_t *values, int64_t low, int64_t size, const int32_t *table, int32_t *code);
int flmm_look_up_int64(int64_t n, const int64_t *values, int64_t low, int64_t size, const int32_t *table, int32_t *code);

/* The same, and integers without a code get the next one, in the order of their rows.
 *
 * table [size]  in/out
 * count         in/out codes given so far
 * fresh [n]     out: the integers that were new, by their codes
 *
 * Returns FLMM_OK, or FLMM_BAD_LEVEL for an integer outside of the table's range, with nothing numbered.
 */
int flmm_number_int32(int64_t n, const int32_t *values, int64_t low, int64_t size, int32_t *table, int32_t *count,
                      int64_t *fresh, int32_t *code);
int flmm_number_int64(int64_t n, const int64_t *values, int64_t low, int64_t size, int32_t *table, int32_t *count,
                      int64_t *fresh, int32_t *code);

/* Numbers for keys, in the order in which they come (keys.c).
 *
 * capacity           a power of two
 * slots [capacity]   in/out: numbers by the place of their key, -1 where empty
 * known [capacity/2] in/out: keys by their numbers
 * count              in/out
 * code  [n]          out
 *
 * Returns how many of the keys have a code; fewer than n where there is no room for another: then the tables
 * are to be made larger, placed again, and the rest given.
 */
int64_t flmm_number_keys(int64_t n, const int64_t *keys, int64_t capacity, int32_t *slots, int64_t *known, int32_t *count,
                         int32_t *code);

/* Fills slots [capacity] for `count` keys, at most capacity/2. */
void flmm_place_keys(int32_t count, const int64_t *known, int64_t capacity, int32_t *slots);

/* out [rows * count] = columns at[0 .. count-1] of in [rows * width], row-major. */
void flmm_take_columns(int64_t rows, int32_t width, const double *in, int32_t count, const int32_t *at, double *out);

/* Whether no value is infinite or not a number. */
int flmm_all_finite(int64_t n, const double *values);

/* out = minimum, maximum, mean, standard deviation (divisor n) of a column, in one pass. */
void flmm_column_moments(int64_t n, const double *values, double *out);

/* --- prediction (predict.c) ------------------------------------------------------ */

/* out += X beta over n rows.
 *
 * x [p], beta [p]
 * out [n]          in/out
 *
 * A missing value (NaN) in a column makes its row NaN, also where beta is zero.
 * Cost: n p multiply-adds; every column is read once.  No allocation.
 */
int flmm_add_fixed(int64_t n, int32_t p, const flmm_column *x, const double *beta, double *out);

/* out += Z b of one grouping factor:  out_j += sum_c z_jc b[level_j][c].
 *
 * level [n]        0 <= level[j] < nl, or -1 for a level whose effects are zero
 * z     [nc]       columns of the factor's terms
 * b     [nl * nc]  effects, level by level
 * out   [n]        in/out
 *
 * Returns FLMM_OK, or FLMM_BAD_LEVEL with out untouched.
 */
int flmm_add_effects(int64_t n, int32_t nc, int32_t nl, const int32_t *level, const flmm_column *z,
                     const double *b, double *out);

/* --- other responses for the same model (responses.c) ------------------------ */

/* Sums of several responses by level:
 *
 *   out[k][l] = sum over rows j of level l of  w_j z_j r_kj
 *
 * level  [n] or NULL        level code of each row; NULL means one level, nl = 1
 * z      [nc]               columns
 * r      [count * n]        responses one after the other, already shifted
 * w      [n] or NULL        prior weights
 * out    [count * nl * nc]  overwritten
 *
 * Returns FLMM_OK, or FLMM_BAD_LEVEL with the output untouched.
 */
int flmm_crossprod_responses(int64_t n, int32_t nc, int32_t nl, const int32_t *level, const flmm_column *z,
                             int64_t count, const double *r, const double *w, double *out);

/* Put the cross-products of another response in place of the last columns of ZtWXy and XyWXy.
 *
 * ZtWr  [sum nl nc]  Z'Wr, factor by factor, level by level, column fastest
 * XrWr  [p+1]        X'Wr, then r'Wr
 * ZtWXy [nf] -> [nl nc (p+1)], XyWXy [(p+1)(p+1)]   the arrays the criterion was made from
 */
void flmm_put_response(int32_t nf, int32_t p, const int32_t *nc, const int32_t *nl, const double *ZtWr,
                       const double *XrWr, double *const *ZtWXy, double *XyWXy);

/* --- the criterion (lmm.c) ------------------------------------------------- */

/* Everything the criterion knows of the data.  The arrays stay the caller's and
 * must outlive the object made from them. */
typedef struct {
    int32_t nf;                      /* grouping factors */
    int32_t p;                       /* columns of X */
    const int32_t *nc;               /* [nf] columns */
    const int32_t *nl;               /* [nf] levels */
    const double *const *ZtWZ;       /* [nf] -> [nl nc nc] */
    const double *const *ZtWXy;      /* [nf] -> [nl nc (p+1)] */
    const double *XyWXy;             /* [(p+1)(p+1)] */
    /* [nf(nf-1)/2] -> pairs (f, g), f < g, at g(g-1)/2 + f: levels of g by level of f */
    const int64_t *const *indptr;
    const int32_t *const *indices;
    const double *const *values;
} flmm_crossproducts;

typedef struct flmm_lmm flmm_lmm;

/* What to compute beside the value; add them up. */
enum { FLMM_VALUE = 0, FLMM_TRACE = 1, FLMM_SCORE = 2, FLMM_INFORMATION = 4 };

/* What one evaluation gives.  Pointers may be NULL where `what` does not ask. */
typedef struct {
    double ldL2;                     /* 2 log|L| */
    double ldRX2;                    /* 2 log|RX| */
    double pwrss;                    /* r2, penalized weighted residual sum of squares */
    double *trace;                   /* [sum nc^2] per factor: sum over levels of I - [C^-1]_ll */
    double *score;                   /* [sum nc^2] per factor: sum over levels of e_l e_l' */
    double *information;             /* [nd * nd]  q_ij = d_i' Z'PZ d_j */
} flmm_evaluation;

/* How M is factored: its biggest factor eliminated in closed form (the first factor,
 * which must have the most levels), or all of it by CHOLMOD. */
enum { FLMM_BLOCK = 0, FLMM_WHOLE = 1 };

/* Analyse the pattern of M once, for loops on at most `threads` threads.
 * Returns FLMM_OK and the object in *out. */
int flmm_lmm_new(const flmm_blas *blas, const flmm_crossproducts *data, int route, int32_t threads,
                 flmm_lmm **out);
void flmm_lmm_free(flmm_lmm *m);

/* Evaluate at the templates Lambda [sum nc^2].
 *
 * what         sum of FLMM_TRACE, FLMM_SCORE, FLMM_INFORMATION
 * reml         C is the whole system when true, M alone when false
 * nd           number of directions of the information matrix
 * factor_of    [nd]  factor to which direction i belongs
 * D            nd matrices nc x nc one after the other: dPsi/dparameter_i
 */
int flmm_lmm_evaluate(flmm_lmm *m, const double *Lambda, int what, int reml, int32_t nd,
                      const int32_t *factor_of, const double *D, flmm_evaluation *out);

/* Solution at the last Lambda: beta [p], u [q], b [q] in the caller's order; u and b are
 * computed now, NULL where not wanted. */
int flmm_lmm_solution(flmm_lmm *m, double *beta, double *u, double *b);

/* RX [p*p] upper triangle, row-major; RZX [q*p] in the caller's order, computed now, or NULL. */
int flmm_lmm_blocks(flmm_lmm *m, double *RX, double *RZX);

/* Per factor and level the nc x nc diagonal blocks of M^-1, at the last Lambda.
 * blocks [sum nl nc^2].  Runs the selected inverse. */
int flmm_lmm_inverse_blocks(flmm_lmm *m, double *blocks);

/* Size of the factor and its kind, for reports: route FLMM_BLOCK, kind 1 for a dense
 * core; route FLMM_WHOLE, kind 1 for a supernodal factor. */
void flmm_lmm_describe(const flmm_lmm *m, int64_t *nnz_L, int *kind);

/* L as a sparse matrix (columns, sorted rows) and the ordering.
 * First call with colptr == NULL to learn nnz; then colptr [q+1], rowind, x [nnz],
 * perm [q] (row k of L belongs to random effect perm[k]). */
int flmm_lmm_factor(const flmm_lmm *m, int64_t *nnz, int64_t *colptr, int64_t *rowind, double *x,
                    int64_t *perm);

/* out[l] = L[l] R[l] for every level: L [nl c c], R and out [nl c k]  (batch.c) */
void flmm_multiply_levels(int64_t nl, int32_t c, int64_t k, const double *L, const double *R, double *out);

/* --- working coordinates (moments.c, working.c) ----------------------------- */

/* Random-effects terms: slices of their factors' columns, each with a basis T and
 * some symmetric matrices V that span, or differentiate, its covariance. */
typedef struct {
    int32_t nt;                      /* terms */
    const int32_t *factor;           /* [nt] grouping factor */
    const int32_t *first;            /* [nt] its first column among the factor's */
    const int32_t *nc;               /* [nt] its columns */
    const int32_t *size;             /* [nt] its matrices V */
    const double *T;                 /* nt matrices nc x nc: working columns = columns T */
} flmm_terms;

/* The equations of the method of moments, system psi = right, psi = (psi_1 .. , 1) sigma^2.
 *
 * degrees  n - p
 * V        matrices nc x nc, those of the first term first: Psi = sum of psi_i V_i
 * k        columns of X that are projected out of Z, the first k; 0 .. p
 * system   [m m], right [m], m = number of matrices + 1; right[m-1] is the residual sum
 *          of squares of least squares
 */
int flmm_moments(const flmm_blas *blas, const flmm_crossproducts *x, double degrees, const flmm_terms *terms,
                 const double *V, int32_t k, double *system, double *right);

typedef struct flmm_working flmm_working;

/* Derivatives of the criterion with respect to parameters of the terms' covariances
 * Psi = root root' in working coordinates.  T of the terms is not looked at here. */
int flmm_working_new(const flmm_crossproducts *x, const flmm_terms *terms, flmm_working **out);
void flmm_working_free(flmm_working *w);

/* Evaluate at the templates T root.
 *
 * T         bases of the terms, as in flmm_terms
 * root      nt matrices nc x nc
 * traces_at the same, where traces are taken: `root`, or root with its small singular
 *           values raised, since traces divide by it
 * V         dPsi/dparameter, as many matrices per term as its size
 * N         n - p (REML) or n
 * gradient    [m]     of the criterion
 * information [m m]   N (q_ij / r2 - q_i q_j / r2^2), the average information
 * g_Psi       nt matrices nc x nc: derivative of the criterion by Psi
 */
int flmm_working_evaluate(flmm_working *w, flmm_lmm *m, const double *T, const double *root,
                          const double *traces_at, const double *V, int reml, double N, flmm_evaluation *value,
                          double *gradient, double *information, double *g_Psi);

/* The lower triangular C (nc x nc) with C C' = F F' and diagonal >= 0, in the first columns
 * of F (nc x k, k >= nc); zeros in the others.  work [k]. */
void flmm_lower_factor(int32_t nc, int32_t k, double *F, double *work);

/* --- right-hand sides of the caller's (lmm_solve.c) ------------------------- */

/* B = Lambda (Lambda'A Lambda + I)^-1 Lambda' R at the last Lambda.
 *
 * columns      right-hand sides, at least 1
 * R, B [nf]    -> [nl nc columns] in the caller's order, row-major
 *
 * Returns FLMM_OK, FLMM_NO_MEMORY or FLMM_BAD_ARGUMENT.  The evaluation stays as it is.
 */
int flmm_lmm_solve(flmm_lmm *m, int32_t columns, const double *const *R, double *const *B);

/* out = A B, A = Z'WZ; shapes as above.  Needs no evaluation. */
int flmm_lmm_multiply(const flmm_lmm *m, int32_t columns, const double *const *B, double *const *out);

#endif
