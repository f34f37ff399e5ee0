/* model.h: small random models row by row, and what the kernels should make of them. */
#ifndef FLMM_TESTS_MODEL_H
#define FLMM_TESTS_MODEL_H

#include "../flmm.h"
#include "random.h"

enum { MOST_FACTORS = 4, MOST_PAIRS = 6 };

/* How the levels of the factors lie in the rows: anyhow; along a line, each meeting its
 * neighbours; in six clusters that do not meet; each factor a coarsening of the one before. */
enum layout { CROSSED, CHAINED, CLUSTERED, NESTED };

typedef struct {
    int n, p, nf, q, squares;        /* squares: sum nc^2 */
    int32_t nc[MOST_FACTORS], nl[MOST_FACTORS];
    int32_t *level[MOST_FACTORS];    /* [n] */
    double *X;                       /* [p n] column by column */
    double *Z[MOST_FACTORS];         /* [nc n] column by column */
    double *y, *w;                   /* [n]; w NULL for all ones */
    double *Lambda;                  /* [squares] row-major templates */
    /* cross-products from the kernels */
    flmm_column *x, *z[MOST_FACTORS];
    double *XyWXy, *ZtWZ[MOST_FACTORS], *ZtWXy[MOST_FACTORS], *values[MOST_PAIRS];
    int64_t *indptr[MOST_PAIRS];
    int32_t *indices[MOST_PAIRS];
    const double *table[2 * MOST_FACTORS + MOST_PAIRS];
    const int64_t *starts[MOST_PAIRS];
    const int32_t *met[MOST_PAIRS];
    flmm_crossproducts data;
} model;

/* Shape of a random model. */
typedef struct {
    int n, p, nf, weighted;
    int32_t nc[MOST_FACTORS], nl[MOST_FACTORS];
    enum layout layout;
} model_shape;

model *model_new(random_source *r, const model_shape *shape);
void model_free(model *m);

/* Cross-products by the kernels, into m; returns the first status that is not FLMM_OK. */
int model_crossprod(model *m);

/* The same model by dense algebra on its rows. */
typedef struct {
    double conditioning;             /* smallest pivot ratio; negative if singular */
    double ldL2, ldRX2, pwrss, ytWy;
    double *beta, *u, *b;            /* [p], [q], [q] */
    double *M, *Minv, *Cinv;         /* [q q], [q q], [(q+p)(q+p)] */
    double *e;                       /* [q]  Z'W(y - X beta - Z b) */
    double *ZtPZ;                    /* [q q] */
} dense_lmm;

dense_lmm *dense_lmm_new(const model *m);
void dense_lmm_free(dense_lmm *d);

/* A = Z'WZ by the rows, [q q]. */
void dense_lmm_ZtWZ(const model *m, double *A);

/* First random effect of factor f. */
int model_offset(const model *m, int f);

/* Value of random-effects column c (over all q) in row j. */
double model_z(const model *m, int j, int f, int level, int column);

#endif
