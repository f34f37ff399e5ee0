/* model.c: random rows, and the kernels' cross-products of them; see model.h. */
#include "model.h"

#include "dense.h"
#include "plain_blas.h"

#include <stdlib.h>

static void fill(random_source *r, int n, double *out)
{
    for (int j = 0; j < n; j++) {
        out[j] = random_between(r, -1.0, 1.0);
    }
}

static void *checked(void *pointer)
{
    if (!pointer) {
        abort();
    }
    return pointer;
}

/* References to columns of n numbers each; the first is the constant 1. */
static flmm_column *columns_of(int count, int n, double *values)
{
    flmm_column *out = checked(calloc((size_t)count + 1, sizeof *out));
    for (int c = 0; c < count; c++) {
        if (c == 0) {
            for (int j = 0; j < n; j++) {
                values[j] = 1.0;
            }
        } else {
            out[c].values = values + (ptrdiff_t)c * n;
        }
    }
    return out;
}

/* Level of factor f in row j. */
static int32_t level_of(random_source *r, const model *m, const model_shape *shape, int f, int j)
{
    const int32_t nl = m->nl[f];
    if (shape->layout == CHAINED) {
        const int row = j + random_below(r, 5) - 2;
        const int inside = row < 0 ? 0 : row >= m->n ? m->n - 1 : row;
        return (int32_t)((int64_t)inside * nl / m->n);
    }
    if (shape->layout == CLUSTERED) {
        const int32_t cluster = (int32_t)((int64_t)j * 6 / m->n), width = nl / 6;
        return cluster * width + random_below(r, width);
    }
    if (shape->layout == NESTED && f > 0) {
        return (int32_t)((int64_t)m->level[f - 1][j] * nl / m->nl[f - 1]);
    }
    return random_below(r, nl);
}

model *model_new(random_source *r, const model_shape *shape)
{
    model *m = checked(calloc(1, sizeof *m));
    const int n = m->n = shape->n;
    m->p = shape->p;
    m->nf = shape->nf;
    m->X = dense_new(m->p, n);
    fill(r, m->p * n, m->X);
    m->y = dense_new(n, 1);
    fill(r, n, m->y);
    if (shape->weighted) {
        m->w = dense_new(n, 1);
        for (int j = 0; j < n; j++) {
            m->w[j] = random_between(r, 0.2, 2.0);
        }
    }
    m->x = columns_of(m->p, n, m->X);
    m->XyWXy = dense_new(m->p + 1, m->p + 1);
    for (int f = 0; f < m->nf; f++) {
        m->nc[f] = shape->nc[f];
        m->nl[f] = shape->nl[f];
        m->q += m->nc[f] * m->nl[f];
        m->squares += m->nc[f] * m->nc[f];
        m->level[f] = checked(calloc((size_t)n + 1, sizeof *m->level[f]));
        for (int j = 0; j < n; j++) {
            m->level[f][j] = level_of(r, m, shape, f, j);
        }
        m->Z[f] = dense_new(m->nc[f], n);
        fill(r, m->nc[f] * n, m->Z[f]);
        m->z[f] = columns_of(m->nc[f], n, m->Z[f]);
        m->ZtWZ[f] = dense_new(m->nl[f], m->nc[f] * m->nc[f]);
        m->ZtWXy[f] = dense_new(m->nl[f], m->nc[f] * (m->p + 1));
    }
    m->Lambda = dense_new(m->squares, 1);
    fill(r, m->squares, m->Lambda);
    return m;
}

void model_free(model *m)
{
    for (int f = 0; f < MOST_FACTORS; f++) {
        free(m->level[f]);
        free(m->Z[f]);
        free(m->z[f]);
        free(m->ZtWZ[f]);
        free(m->ZtWXy[f]);
    }
    for (int k = 0; k < MOST_PAIRS; k++) {
        free(m->indptr[k]);
        free(m->indices[k]);
        free(m->values[k]);
    }
    free(m->X);
    free(m->y);
    free(m->w);
    free(m->x);
    free(m->XyWXy);
    free(m->Lambda);
    free(m);
}

static int pairs(model *m, int f, int g, int k)
{
    const size_t n = (size_t)m->n;
    int64_t *start = checked(malloc(((size_t)m->nl[f] + 1) * sizeof *start));
    int64_t *order = checked(malloc((n + 1) * sizeof *order));
    int64_t *marker = checked(malloc((size_t)m->nl[g] * sizeof *marker));
    m->indptr[k] = checked(malloc(((size_t)m->nl[f] + 1) * sizeof *m->indptr[k]));
    int status = flmm_rows_by_level(m->n, m->nl[f], m->level[f], start, order);
    if (status == FLMM_OK) {
        status = flmm_pairs_count(m->nl[f], start, order, m->nl[g], m->level[g], marker, m->indptr[k]);
    }
    if (status == FLMM_OK) {
        const size_t met = (size_t)m->indptr[k][m->nl[f]];
        m->indices[k] = checked(malloc((met + 1) * sizeof *m->indices[k]));
        m->values[k] = checked(malloc((met * (size_t)(m->nc[f] * m->nc[g]) + 1) * sizeof(double)));
        status = flmm_pairs_fill(m->nc[f], m->nl[f], start, order, m->z[f], m->nc[g], m->nl[g], m->level[g],
                                 m->z[g], m->w, marker, m->indptr[k], m->indices[k], m->values[k]);
    }
    free(start);
    free(order);
    free(marker);
    return status;
}

int model_crossprod(model *m)
{
    const flmm_response y = {.values = m->y};
    flmm_grouping group[MOST_FACTORS];
    for (int f = 0; f < m->nf; f++) {
        group[f] = (flmm_grouping){m->nc[f], m->nl[f], m->level[f], m->z[f], m->ZtWZ[f], m->ZtWXy[f]};
    }
    int status = flmm_crossprod_rows(&plain_blas, m->n, m->p, m->x, &y, m->w, m->nf, group, m->XyWXy);
    const int npairs = m->nf * (m->nf - 1) / 2;
    for (int g = 0; g < m->nf && status == FLMM_OK; g++) {
        for (int f = 0; f < g && status == FLMM_OK; f++) {
            status = pairs(m, f, g, g * (g - 1) / 2 + f);
        }
    }
    for (int f = 0; f < m->nf; f++) {
        m->table[f] = m->ZtWZ[f];
        m->table[m->nf + f] = m->ZtWXy[f];
    }
    for (int k = 0; k < npairs; k++) {
        m->table[2 * m->nf + k] = m->values[k];
        m->starts[k] = m->indptr[k];
        m->met[k] = m->indices[k];
    }
    m->data = (flmm_crossproducts){
        .nf = m->nf,
        .p = m->p,
        .nc = m->nc,
        .nl = m->nl,
        .ZtWZ = m->table,
        .ZtWXy = m->table + m->nf,
        .XyWXy = m->XyWXy,
        .indptr = m->starts,
        .indices = m->met,
        .values = m->table + 2 * m->nf,
    };
    return status;
}

int model_offset(const model *m, int f)
{
    int out = 0;
    for (int g = 0; g < f; g++) {
        out += m->nc[g] * m->nl[g];
    }
    return out;
}

double model_z(const model *m, int j, int f, int level, int column)
{
    return m->level[f][j] == level ? m->Z[f][(ptrdiff_t)column * m->n + j] : 0.0;
}
