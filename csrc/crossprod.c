/* crossprod.c: all sums over rows, in one sweep over them.
 *
 * The profiled criterion sees the data only through X'WX, X'Wr, r'Wr, Z'WX, Z'Wr
 * and Z'WZ (Bates et al. 2015, JSS 67(1), sec. 3.4, "constant symbols").  Columns of Z
 * are usually columns of X or the constant 1, so all of these are elements of
 *
 *   S = sum w_j v_j v_j',     v_j = [x_j, r_j, columns of Z that are none of X],
 *
 * over all rows, or over the rows of one level.  A few hundred rows v_j are made at a
 * time and stay in the first cache.  Where consecutive rows lie in the same
 * levels of every factor (rows sorted by group, repeated measures) S is added up in registers
 * over such a run and given to every level once.  Otherwise each row is added to its levels.
 *
 * Cost per row: M^2 multiply-adds for S, M = length of v; in runs of k rows sum_f nc_f (nc_f + p + 1) / k
 * additions for the levels, else as many multiply-adds per row.
 */
#include "rows.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK 16384       /* rows per partial sum of the fixed part */
#define NARROW 8          /* longest v whose S is kept in registers */
#define QUAD 4

typedef double quad __attribute__((vector_size(QUAD * sizeof(double))));

/* S of some rows: M rows of whole quads. */
typedef union {
    quad quads[NARROW * NARROW / QUAD];
    double values[NARROW * NARROW];
} square;

/* What one call needs beside its arguments. */
typedef struct {
    int32_t m, M, stride;          /* p + 1, length of v, its distance from row to row */
    const flmm_column *x;          /* [p] */
    flmm_column *extra;            /* [M - m] columns of Z that are none of X */
    int32_t nf;
    const flmm_grouping *group;
    int32_t *at;                   /* place in v of each column of each factor */
    double *v, *u;                 /* FLMM_ROWS rows of v, and of w v (the same without weights) */
    unsigned char *begins;         /* [FLMM_ROWS + 1] whether a row begins a run */
    double *S;                     /* [m * m] of a chunk */
} sweep;

static int same_column(const flmm_column *a, const flmm_column *b)
{
    return a->values == b->values && a->centre == b->centre;
}

/* Place of a column among [x, r, extra]; -1 if it is none of them. */
static int32_t place_of(const flmm_column *z, int32_t p, const flmm_column *x, int32_t M, const flmm_column *extra)
{
    for (int32_t c = 0; c < p; c++) {
        if (same_column(z, &x[c])) {
            return c;
        }
    }
    for (int32_t c = p + 1; c < M; c++) {
        if (same_column(z, &extra[c - p - 1])) {
            return c;
        }
    }
    return -1;
}

FLMM_INLINE void clear(const int32_t count, quad *S)
{
    for (int32_t i = 0; i < count; i++) {
        S[i] = (quad){0};
    }
}

/* out += factor v; all is read before anything is written, so that vectors can be used */
FLMM_INLINE void add_multiple(const int32_t m, double factor, const double *v, double *out)
{
    for (int32_t c = 0; c < m / QUAD * QUAD; c += QUAD) {
        quad own, row;
        memcpy(&own, out + c, sizeof own);
        memcpy(&row, v + c, sizeof row);
        own += row * factor;
        memcpy(out + c, &own, sizeof own);
    }
    for (int32_t c = m / QUAD * QUAD; c < m; c++) {
        out[c] += factor * v[c];
    }
}

/* u[i] v' added to row i of S, for M rows of Q quads. */
FLMM_INLINE void add_outer(const int32_t M, const int32_t Q, const double *u, const double *v, quad *S)
{
    quad row[NARROW / QUAD];
    memcpy(row, v, (size_t)Q * sizeof(quad));
    for (int32_t i = 0; i < M; i++) {
        for (int32_t q = 0; q < Q; q++) {
            S[i * Q + q] += row[q] * u[i];
        }
    }
}

/* S of a run given to its level. */
FLMM_INLINE void give_columns(const flmm_grouping *g, const int32_t nc, const int32_t *at, int64_t l, const int32_t m,
                         const int32_t stride, const double *S)
{
    double *R = g->ZtWXy + l * nc * m;
    for (int32_t a = 0; a < nc; a++) {
        const double *row = S + at[a] * stride;
        for (int32_t b = 0; g->ZtWZ && b < nc; b++) {
            g->ZtWZ[(l * nc + a) * nc + b] += row[at[b]];
        }
        add_multiple(m, 1.0, row, R + a * m);
    }
}

FLMM_INLINE void give_sums(const flmm_grouping *g, const int32_t *at, int64_t l, const int32_t m, const int32_t stride,
                      const double *S)
{
    if (g->nc == 1) {
        give_columns(g, 1, at, l, m, stride, S);
    } else if (g->nc == 2) {
        give_columns(g, 2, at, l, m, stride, S);
    } else {
        give_columns(g, g->nc, at, l, m, stride, S);
    }
}

/* One row after the other added to its level. */
FLMM_INLINE void give_rows(const flmm_grouping *g, const int32_t *at, const int32_t *level, int32_t count, const int32_t m,
                      const int32_t stride, const double *u, const double *v)
{
    const int32_t nc = g->nc;
    double *ZtWZ = g->ZtWZ, *ZtWXy = g->ZtWXy;
    if (nc == 1 && !ZtWZ) {
        const int32_t own = at[0];
        for (int32_t j = 0; j < count; j++) {
            add_multiple(m, u[j * stride + own], v + j * stride, ZtWXy + (int64_t)level[j] * m);
        }
        return;
    }
    for (int32_t j = 0; j < count; j++, u += stride, v += stride) {
        const int64_t l = level[j];
        for (int32_t a = 0; a < nc; a++) {
            const double wz = u[at[a]];
            for (int32_t b = 0; ZtWZ && b < nc; b++) {
                ZtWZ[(l * nc + a) * nc + b] += wz * v[at[b]];
            }
            add_multiple(m, wz, v, ZtWXy + (l * nc + a) * m);
        }
    }
}

/* Rows first .. first+count-1, which are in v: to S of the chunk and to the levels. */
FLMM_INLINE void add_narrow(const sweep *s, const int32_t M, const int32_t m, int64_t first, int32_t count, int sorted)
{
    const int32_t Q = (M + QUAD - 1) / QUAD, stride = Q * QUAD;
    const double *u = s->u, *v = s->v;
    square total;
    clear(M * Q, total.quads);
    if (!sorted) {
        for (int32_t j = 0; j < count; j++) {
            add_outer(M, Q, u + j * stride, v + j * stride, total.quads);
        }
        const int32_t *at = s->at;
        for (int32_t f = 0; f < s->nf; at += s->group[f++].nc) {
            if (s->group[f].ZtWXy) {
                give_rows(&s->group[f], at, s->group[f].level + first, count, m, stride, u, v);
            }
        }
    } else {
        for (int32_t j = 0; j < count;) {
            const int64_t row = first + j;
            square S;
            clear(M * Q, S.quads);
            do {
                add_outer(M, Q, u + j * stride, v + j * stride, S.quads);
                j++;
            } while (!s->begins[j]);
            for (int32_t i = 0; i < M * Q; i++) {
                total.quads[i] += S.quads[i];
            }
            const int32_t *at = s->at;
            for (int32_t f = 0; f < s->nf; at += s->group[f++].nc) {
                if (s->group[f].ZtWXy) {
                    give_sums(&s->group[f], at, s->group[f].level[row], m, stride, S.values);
                }
            }
        }
    }
    for (int32_t i = 0; i < m; i++) {
        for (int32_t j = 0; j <= i; j++) {
            s->S[i * m + j] += total.values[i * stride + j];
        }
    }
}

/* The same where v is long: S by BLAS, each row to its levels. */
static void add_wide(const flmm_blas *blas, const sweep *s, const double *w, int64_t first, int32_t count)
{
    const int32_t *at = s->at;
    for (int32_t f = 0; f < s->nf; at += s->group[f++].nc) {
        if (s->group[f].ZtWXy) {
            give_rows(&s->group[f], at, s->group[f].level + first, count, s->m, s->stride, s->u, s->v);
        }
    }
    if (!blas) {
        return;
    }
    double *rows = s->v;
    if (w) {
        rows = s->u;
        for (int32_t j = 0; j < count; j++) {
            const double root = sqrt(w[first + j]);
            for (int32_t c = 0; c < s->m; c++) {
                rows[(ptrdiff_t)j * s->stride + c] = root * s->v[(ptrdiff_t)j * s->stride + c];
            }
        }
    }
    /* rows is m x count column-major: S += rows rows', whose upper triangle is our lower one */
    int size = s->m, depth = count, step = s->stride;
    double one = 1.0;
    char upper = 'U', plain = 'N';
    blas->dsyrk(&upper, &plain, &size, &depth, &one, rows, &step, &one, s->S, &size);
}

FLMM_INLINE void add_block(const flmm_blas *blas, const sweep *s, const double *w, int64_t first, int32_t count, int sorted)
{
#define NARROW_CASE(M_)                                                                                        \
    case M_:                                                                                                   \
        if (s->m == M_) {                                                                                      \
            add_narrow(s, M_, M_, first, count, sorted);                                                       \
        } else {                                                                                               \
            add_narrow(s, M_, s->m, first, count, sorted);                                                     \
        }                                                                                                      \
        break;
    switch (s->M) {
        NARROW_CASE(1)
        NARROW_CASE(2)
        NARROW_CASE(3)
        NARROW_CASE(4)
        NARROW_CASE(5)
        NARROW_CASE(6)
        NARROW_CASE(7)
        NARROW_CASE(8)
    default:
        add_wide(blas, s, w, first, count);
    }
#undef NARROW_CASE
}

/* Marks where runs begin among the rows at work; tells whether they are worth adding up first. */
FLMM_INLINE int mark_runs(const sweep *s, int64_t first, int32_t count)
{
    unsigned char *begins = s->begins;
    int32_t runs = 1;
    memset(begins, 0, (size_t)count);
    for (int32_t f = 0; f < s->nf; f++) {
        const int32_t *level = s->group[f].level + first;
        for (int32_t j = 1; j < count; j++) {
            begins[j] |= level[j] != level[j - 1];
        }
    }
    for (int32_t j = 1; j < count; j++) {
        runs += begins[j];
    }
    begins[0] = begins[count] = 1;
    return 2 * runs <= count;
}

/* r = y - offset - X beta0 of the rows at work, into place p of v. */
FLMM_INLINE void make_response(const flmm_response *y, int32_t p, const flmm_column *x, int64_t first, int32_t count,
                          int32_t stride, double *v)
{
    double r[FLMM_ROWS];
    memcpy(r, y->values + first, (size_t)count * sizeof *r);
    for (int32_t c = 0; y->beta0 && c < p; c++) {
        const double b = y->beta0[c];
        if (x[c].values) {
            const double *values = x[c].values + first;
            for (int32_t j = 0; j < count; j++) {
                r[j] -= b * values[j];
            }
        } else {
            for (int32_t j = 0; j < count; j++) {
                r[j] -= b;
            }
        }
    }
    for (int32_t j = 0; y->offset && j < count; j++) {
        r[j] -= y->offset[first + j];
    }
    for (int32_t j = 0; j < count; j++) {
        v[(ptrdiff_t)j * stride + p] = r[j];
    }
}

static int sums_fit(int64_t n, int32_t p, int32_t nf, const flmm_grouping *group)
{
    if (n < 0 || p < 0 || p >= 46340 || nf < 0) {
        return FLMM_BAD_ARGUMENT;
    }
    for (int32_t f = 0; f < nf; f++) {
        if (group[f].nc < 1 || group[f].nl < 1) {
            return FLMM_BAD_ARGUMENT;
        }
    }
    for (int32_t f = 0; f < nf; f++) {
        if (!flmm_levels_are_valid(n, group[f].nl, group[f].level)) {
            return FLMM_BAD_LEVEL;
        }
    }
    return FLMM_OK;
}

/* v of rows first .. first+count-1, but for its constant elements, and w v. */
FLMM_INLINE void make_rows(const sweep *s, const flmm_response *y, const double *w, int64_t first, int32_t count)
{
    const int32_t p = s->m - 1, stride = s->stride;
    flmm_gather_values(p, s->x, first, count, stride, s->v);
    make_response(y, p, s->x, first, count, stride, s->v);
    flmm_gather_values(s->M - s->m, s->extra, first, count, stride, s->v + s->m);
    for (int32_t j = 0; w && j < count; j++) {
        for (int32_t c = 0; c < s->M; c++) {
            s->u[(ptrdiff_t)j * stride + c] = w[first + j] * s->v[(ptrdiff_t)j * stride + c];
        }
    }
}

FLMM_TWICE static void add_rows(const flmm_blas *blas, const sweep *s, int64_t n, const flmm_response *y, const double *w,
                           double *XyWXy)
{
    const int32_t m = s->m, most = (int32_t)(n < FLMM_ROWS ? n : FLMM_ROWS);
    flmm_gather_constants(m - 1, s->x, most, s->stride, s->v);
    flmm_gather_constants(s->M - m, s->extra, most, s->stride, s->v + m);
    for (int64_t chunk = 0; chunk < n; chunk += CHUNK) {
        const int64_t end = chunk + CHUNK < n ? chunk + CHUNK : n;
        for (int32_t i = 0; XyWXy && i < m * m; i++) {
            s->S[i] = 0.0;
        }
        for (int64_t first = chunk; first < end; first += FLMM_ROWS) {
            const int32_t count = (int32_t)(end - first < FLMM_ROWS ? end - first : FLMM_ROWS);
            make_rows(s, y, w, first, count);
            const int sorted = s->nf > 0 && s->M <= NARROW && mark_runs(s, first, count);
            add_block(XyWXy ? blas : NULL, s, w, first, count, sorted);
        }
        for (int32_t i = 0; XyWXy && i < m; i++) {
            for (int32_t j = 0; j <= i; j++) {
                XyWXy[i * m + j] += s->S[i * m + j];
                if (i != j) {
                    XyWXy[j * m + i] += s->S[i * m + j];
                }
            }
        }
    }
}

/* Places of all columns of Z in v; those that are none of X come after r. */
static void lay_out(sweep *s, int32_t p)
{
    for (int32_t f = 0, k = 0; f < s->nf; f++) {
        for (int32_t a = 0; a < s->group[f].nc; a++, k++) {
            s->at[k] = place_of(&s->group[f].z[a], p, s->x, s->M, s->extra);
            if (s->at[k] < 0) {
                s->extra[s->M - s->m] = s->group[f].z[a];
                s->at[k] = s->M++;
            }
        }
    }
    s->stride = s->M > NARROW ? s->M : (s->M + QUAD - 1) / QUAD * QUAD;
}

int flmm_crossprod_rows(const flmm_blas *blas, int64_t n, int32_t p, const flmm_column *x, const flmm_response *y,
                        const double *w, int32_t nf, const flmm_grouping *group, double *XyWXy)
{
    int status = sums_fit(n, p, nf, group);
    if (status != FLMM_OK || n == 0) {
        return status;
    }
    size_t columns = 1;
    for (int32_t f = 0; f < nf; f++) {
        columns += (size_t)group[f].nc;
    }
    const size_t m = (size_t)p + 1;
    sweep s = {.m = p + 1, .M = p + 1, .x = x, .nf = nf, .group = group};
    s.at = malloc(columns * sizeof *s.at);
    s.extra = malloc(columns * sizeof *s.extra);
    s.begins = malloc(FLMM_ROWS + 1);
    s.S = malloc(m * m * sizeof *s.S);
    if (s.at && s.extra && s.begins && s.S) {
        lay_out(&s, p);
        s.v = calloc((size_t)FLMM_ROWS * (size_t)s.stride, sizeof *s.v);   /* zeros fill up the quads */
        s.u = w ? calloc((size_t)FLMM_ROWS * (size_t)s.stride, sizeof *s.u) : s.v;
    }
    if (s.v && s.u) {
        add_rows(blas, &s, n, y, w, XyWXy);
    } else {
        status = FLMM_NO_MEMORY;
    }
    free(s.at);
    free(s.extra);
    free(s.begins);
    free(s.S);
    if (w) {
        free(s.u);
    }
    free(s.v);
    return status;
}

int flmm_crossprod_fixed(const flmm_blas *blas, int64_t n, int32_t p, const flmm_column *x, const double *r,
                         const double *w, double *XyWXy)
{
    const flmm_response y = {.values = r};
    return flmm_crossprod_rows(blas, n, p, x, &y, w, 0, NULL, XyWXy);
}

int flmm_crossprod_factor(int64_t n, int32_t nc, int32_t nl, const int32_t *level,
                          const flmm_column *z, int32_t p, const flmm_column *x, const double *r, const double *w,
                          double *ZtWZ, double *ZtWXy)
{
    const flmm_response y = {.values = r};
    const flmm_grouping group = {.nc = nc, .nl = nl, .level = level, .z = z, .ZtWZ = ZtWZ, .ZtWXy = ZtWXy};
    return flmm_crossprod_rows(NULL, n, p, x, &y, w, 1, &group, NULL);
}
