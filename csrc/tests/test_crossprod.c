/* test_crossprod.c: the data pass against sums written out, and what it refuses. */
#include "check.h"
#include "dense.h"
#include "model.h"
#include "plain_blas.h"
#include "tests.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double ROUNDING = 1e-12;

static double weight(const model *m, int j)
{
    return m->w ? m->w[j] : 1.0;
}

static double xy(const model *m, int j, int c)
{
    return c < m->p ? m->X[(ptrdiff_t)c * m->n + j] : m->y[j];
}

static void compare_with_sums(const model *m)
{
    const int width = m->p + 1;
    double *expected = dense_new(width, width);
    for (int j = 0; j < m->n; j++) {
        for (int a = 0; a < width; a++) {
            for (int b = 0; b < width; b++) {
                expected[a * width + b] += weight(m, j) * xy(m, j, a) * xy(m, j, b);
            }
        }
    }
    check_all_close((size_t)(width * width), m->XyWXy, expected, ROUNDING, "[X y]'W[X y]");
    free(expected);
    for (int f = 0; f < m->nf; f++) {
        const int nc = m->nc[f], nl = m->nl[f];
        double *G = dense_new(nl, nc * nc), *R = dense_new(nl, nc * width);
        for (int j = 0; j < m->n; j++) {
            const int l = m->level[f][j];
            for (int a = 0; a < nc; a++) {
                const double wz = weight(m, j) * model_z(m, j, f, l, a);
                for (int b = 0; b < nc; b++) {
                    G[(l * nc + a) * nc + b] += wz * model_z(m, j, f, l, b);
                }
                for (int c = 0; c < width; c++) {
                    R[(l * nc + a) * width + c] += wz * xy(m, j, c);
                }
            }
        }
        check_all_close((size_t)(nl * nc * nc), m->ZtWZ[f], G, ROUNDING, "Z'WZ by level");
        check_all_close((size_t)(nl * nc * width), m->ZtWXy[f], R, ROUNDING, "Z'W[X y] by level");
        free(G);
        free(R);
    }
}

/* The sums of one factor, and of none, are those of all at once. */
static void compare_with_sums_apart(const model *m)
{
    const int width = m->p + 1;
    double *XyWXy = dense_new(width, width);
    check_status(flmm_crossprod_fixed(&plain_blas, m->n, m->p, m->x, m->y, m->w, XyWXy), FLMM_OK, "fixed part");
    check_all_close((size_t)(width * width), XyWXy, m->XyWXy, ROUNDING, "fixed part alone");
    free(XyWXy);
    for (int f = 0; f < m->nf; f++) {
        const int nc = m->nc[f], nl = m->nl[f];
        double *G = dense_new(nl, nc * nc), *R = dense_new(nl, nc * width);
        check_status(flmm_crossprod_factor(m->n, nc, nl, m->level[f], m->z[f], m->p, m->x, m->y, m->w, G, R), FLMM_OK,
                     "factor");
        check_all_close((size_t)(nl * nc * nc), G, m->ZtWZ[f], ROUNDING, "Z'WZ of one factor alone");
        check_all_close((size_t)(nl * nc * width), R, m->ZtWXy[f], ROUNDING, "Z'W[X y] of one factor alone");
        free(G);
        free(R);
    }
}

/* Rows sorted by their levels, of which many follow each other. */
static void sort_levels(model *m)
{
    for (int f = 0; f < m->nf; f++) {
        for (int j = 0; j < m->n; j++) {
            m->level[f][j] = (int32_t)((int64_t)j * m->nl[f] / m->n);
        }
    }
}

static void compare_pairs_with_sums(const model *m, int f, int g)
{
    const int cf = m->nc[f], cg = m->nc[g], k = g * (g - 1) / 2 + f;
    double *expected = dense_new(m->nl[f] * m->nl[g], cf * cg);
    double *found = dense_new(m->nl[f] * m->nl[g], cf * cg);
    int *meets = calloc((size_t)(m->nl[f] * m->nl[g]), sizeof *meets);
    if (!meets) {
        abort();
    }
    for (int j = 0; j < m->n; j++) {
        const int place = m->level[f][j] * m->nl[g] + m->level[g][j];
        meets[place] = 1;
        for (int a = 0; a < cf; a++) {
            for (int b = 0; b < cg; b++) {
                expected[(place * cf + a) * cg + b] += weight(m, j) * model_z(m, j, f, m->level[f][j], a)
                                                       * model_z(m, j, g, m->level[g][j], b);
            }
        }
    }
    int listed = 0, increasing = 1;
    for (int l = 0; l < m->nl[f]; l++) {
        for (int64_t e = m->indptr[k][l]; e < m->indptr[k][l + 1]; e++) {
            const int place = l * m->nl[g] + m->indices[k][e];
            listed += meets[place];
            increasing = increasing && (e == m->indptr[k][l] || m->indices[k][e - 1] < m->indices[k][e]);
            memcpy(found + place * cf * cg, m->values[k] + e * cf * cg, (size_t)(cf * cg) * sizeof *found);
        }
    }
    int met = 0;
    for (int place = 0; place < m->nl[f] * m->nl[g]; place++) {
        met += meets[place];
    }
    check_true(listed == met && m->indptr[k][m->nl[f]] == met, "every pair that meets is listed once");
    check_true(increasing, "levels increase within a pair list");
    check_all_close((size_t)(m->nl[f] * m->nl[g] * cf * cg), found, expected, ROUNDING, "Z_f'WZ_g");
    free(expected);
    free(found);
    free(meets);
}

static void cross_products_are_the_sums_written_out(void)
{
    check_begin("cross-products are the sums written out");
    const model_shape shapes[] = {
        {.n = 1, .p = 0, .nf = 1, .nc = {1}, .nl = {1}},
        {.n = 300, .p = 3, .nf = 2, .weighted = 1, .nc = {2, 1}, .nl = {7, 4}},
        {.n = 257, .p = 1, .nf = 3, .nc = {3, 2, 1}, .nl = {2, 9, 30}},
        {.n = 20000, .p = 2, .nf = 2, .weighted = 1, .nc = {1, 2}, .nl = {50, 3}},
        {.n = 600, .p = 4, .nf = 1, .weighted = 1, .nc = {2}, .nl = {120}},
        {.n = 600, .p = 9, .nf = 2, .weighted = 1, .nc = {2, 1}, .nl = {120, 7}},
    };
    random_source r = {1};
    for (size_t s = 0; s < 2 * (sizeof shapes / sizeof *shapes); s++) {
        model *m = model_new(&r, &shapes[s / 2]);
        if (s % 2) {
            sort_levels(m);
        }
        check_status(model_crossprod(m), FLMM_OK, "cross-products");
        compare_with_sums(m);
        compare_with_sums_apart(m);
        for (int g = 0; g < m->nf; g++) {
            for (int f = 0; f < g; f++) {
                compare_pairs_with_sums(m, f, g);
            }
        }
        model_free(m);
    }
}

static void a_bad_code_is_refused_and_the_outputs_are_untouched(void)
{
    check_begin("a bad code is refused and the outputs are untouched");
    random_source r = {2};
    const model_shape shape = {.n = 600, .p = 2, .nf = 2, .nc = {2, 1}, .nl = {5, 5}};
    const int32_t bad[] = {-1, 5, INT32_MAX, INT32_MIN};
    const int where[] = {0, 300, 599};
    for (int b = 0; b < 4; b++) {
        for (int k = 0; k < 3; k++) {
            model *m = model_new(&r, &shape);
            m->level[0][where[k]] = bad[b];
            check_status(flmm_crossprod_factor(m->n, 2, 5, m->level[0], m->z[0], m->p, m->x, m->y, m->w,
                                               m->ZtWZ[0], m->ZtWXy[0]),
                         FLMM_BAD_LEVEL, "crossprod_factor");
            double sum = 0.0;
            for (int i = 0; i < 5 * 2 * 2; i++) {
                sum += m->ZtWZ[0][i] * m->ZtWZ[0][i];
            }
            for (int i = 0; i < 5 * 2 * 3; i++) {
                sum += m->ZtWXy[0][i] * m->ZtWXy[0][i];
            }
            check_true(sum == 0.0, "outputs untouched");
            int64_t start[6], order[600], marker[5], indptr[6];
            check_status(flmm_rows_by_level(600, 5, m->level[0], start, order), FLMM_BAD_LEVEL, "rows_by_level");
            check_status(flmm_rows_by_level(600, 5, m->level[1], start, order), FLMM_OK, "the other factor");
            check_status(flmm_pairs_count(5, start, order, 5, m->level[0], marker, indptr), FLMM_BAD_LEVEL,
                         "pairs_count");
            model_free(m);
        }
    }
}

static void lengths_that_make_no_sense_are_refused(void)
{
    check_begin("lengths that make no sense are refused");
    double one[4] = {1.0, 1.0, 1.0, 1.0};
    const flmm_column x = {NULL, 0.0};
    const int32_t level[1] = {0};
    int64_t start[2] = {0, 1}, order[1] = {0}, marker[1], indptr[2] = {0, 0};
    int32_t indices[1];
    check_status(flmm_crossprod_fixed(&plain_blas, -1, 1, &x, one, NULL, one), FLMM_BAD_ARGUMENT, "n = -1");
    check_status(flmm_crossprod_fixed(&plain_blas, 1, -1, &x, one, NULL, one), FLMM_BAD_ARGUMENT, "p = -1");
    check_status(flmm_crossprod_fixed(&plain_blas, 1, 46340, &x, one, NULL, one), FLMM_BAD_ARGUMENT, "p huge");
    check_status(flmm_crossprod_factor(1, 0, 1, level, &x, 1, &x, one, NULL, one, one), FLMM_BAD_ARGUMENT, "nc = 0");
    check_status(flmm_crossprod_factor(1, 1, 0, level, &x, 1, &x, one, NULL, one, one), FLMM_BAD_ARGUMENT, "nl = 0");
    check_status(flmm_rows_by_level(1, 0, level, start, order), FLMM_BAD_ARGUMENT, "rows of no levels");
    check_status(flmm_rows_by_level(-1, 1, level, start, order), FLMM_BAD_ARGUMENT, "negative rows");
    check_status(flmm_pairs_count(0, start, order, 1, level, marker, indptr), FLMM_BAD_ARGUMENT, "pairs of no levels");
    check_status(flmm_pairs_fill(0, 1, start, order, &x, 1, 1, level, &x, NULL, marker, indptr, indices, one),
                 FLMM_BAD_ARGUMENT, "pairs of no columns");
    check_true(one[0] == 1.0 && one[3] == 1.0, "outputs untouched");
}

static void no_rows_add_nothing(void)
{
    check_begin("no rows add nothing");
    double out[4] = {1.0, 2.0, 3.0, 4.0}, y[1] = {5.0};
    const flmm_column x = {NULL, 0.0};
    const int32_t level[1] = {0};
    check_status(flmm_crossprod_fixed(&plain_blas, 0, 1, &x, y, NULL, out), FLMM_OK, "fixed part");
    check_status(flmm_crossprod_factor(0, 1, 1, level, &x, 1, &x, y, NULL, out, out + 1), FLMM_OK, "factor");
    check_true(out[0] == 1.0 && out[1] == 2.0 && out[2] == 3.0 && out[3] == 4.0, "unchanged");
}

static void centring_subtracts_the_constant(void)
{
    check_begin("centring subtracts the constant");
    double year[600], r[600], out[9] = {0};
    for (int j = 0; j < 600; j++) {
        year[j] = 2010.0 + j % 13;
        r[j] = 0.0;
    }
    const flmm_column x[2] = {{NULL, 0.25}, {year, 2010.0}};
    check_status(flmm_crossprod_fixed(&plain_blas, 600, 2, x, r, NULL, out), FLMM_OK, "fixed part");
    double sum = 0.0, squares = 0.0;
    for (int j = 0; j < 600; j++) {
        sum += j % 13;
        squares += (j % 13) * (j % 13);
    }
    check_true(out[0] == 600 * 0.5625 && out[1] == 0.75 * sum && out[4] == squares, "exact sums of whole numbers");
    check_true(out[3] == out[1], "both triangles");
}

/* Nested factors, by the general way and by their own. */
static void pairs_of_nested_factors_need_no_sorting(void)
{
    check_begin("pairs of nested factors need no sorting");
    random_source r = {15};
    const model_shape shape = {
        .n = 700, .p = 0, .nf = 2, .weighted = 1, .nc = {2, 3}, .nl = {40, 7}, .layout = NESTED};
    model *m = model_new(&r, &shape);
    for (int j = 0; j < m->n; j++) {     /* level 11 of the first factor has no rows */
        if (m->level[0][j] == 11) {
            m->level[0][j] = 12;
            m->level[1][j] = 12 * 7 / 40;
        }
    }
    check_status(model_crossprod(m), FLMM_OK, "cross-products");
    int32_t parent[40];
    int64_t indptr[41] = {0};
    check_status(flmm_pairs_nested(m->n, 40, m->level[0], 7, m->level[1], parent), FLMM_OK, "nested");
    for (int l = 0; l < 40; l++) {
        indptr[l + 1] = indptr[l] + (parent[l] >= 0);
        check_true(parent[l] == (l == 11 ? -1 : m->indices[0][m->indptr[0][l]]), "the level it lies in");
    }
    check_true(memcmp(indptr, m->indptr[0], sizeof indptr) == 0, "pairs by level");
    double values[40 * 6] = {0};
    check_status(flmm_pairs_nested_fill(m->n, 2, m->level[0], m->z[0], 3, m->z[1], m->w, indptr, values), FLMM_OK,
                 "blocks");
    check_all_close((size_t)(indptr[40] * 6), values, m->values[0], ROUNDING, "Z_f'WZ_g");
    check_status(flmm_pairs_nested_fill(m->n, 2, m->level[0], m->z[0], 3, m->z[1], m->w, indptr, values), FLMM_OK,
                 "blocks again");
    for (int64_t e = 0; e < indptr[40] * 6; e++) {
        values[e] /= 2.0;
    }
    check_all_close((size_t)(indptr[40] * 6), values, m->values[0], ROUNDING, "are added to");
    const int32_t kept = m->level[1][699];
    m->level[1][699] = (kept + 1) % 7;
    check_status(flmm_pairs_nested(m->n, 40, m->level[0], 7, m->level[1], parent), FLMM_NOT_NESTED, "not nested");
    m->level[1][699] = 7;
    check_status(flmm_pairs_nested(m->n, 40, m->level[0], 7, m->level[1], parent), FLMM_BAD_LEVEL, "a bad parent");
    m->level[1][699] = kept;
    m->level[0][0] = -1;
    check_status(flmm_pairs_nested(m->n, 40, m->level[0], 7, m->level[1], parent), FLMM_BAD_LEVEL, "a bad level");
    check_status(flmm_pairs_nested(-1, 40, m->level[0], 7, m->level[1], parent), FLMM_BAD_ARGUMENT, "n = -1");
    check_status(flmm_pairs_nested(1, 0, m->level[0], 7, m->level[1], parent), FLMM_BAD_ARGUMENT, "no levels");
    check_status(flmm_pairs_nested_fill(1, 0, m->level[0], m->z[0], 3, m->z[1], m->w, indptr, values),
                 FLMM_BAD_ARGUMENT, "no columns");
    model_free(m);
}

static void moments_of_a_column_come_in_one_pass(void)
{
    check_begin("moments of a column come in one pass");
    enum { ROWS = 40003 };
    double *x = dense_new(ROWS, 1), out[4];
    for (int n = 1; n <= ROWS; n = n < 20 ? n + 1 : n * 2001 - 17) {
        double sum = 0.0, square = 0.0;
        for (int j = 0; j < n; j++) {
            x[j] = 2010.0 + (j * 7) % 13;
            sum += (j * 7) % 13;
        }
        for (int j = 0; j < n; j++) {
            square += (x[j] - 2010.0 - sum / n) * (x[j] - 2010.0 - sum / n);
        }
        flmm_column_moments(n, x, out);
        check_true(out[0] == 2010.0 && out[1] <= 2022.0 && (n < 13 || out[1] == 2022.0), "least and greatest");
        check_close(out[2], 2010.0 + sum / n, ROUNDING, "mean");
        check_close(out[3], sqrt(square / n), 1e-7, "standard deviation");
    }
    free(x);
}

static void integers_are_looked_up_and_numbered(void)
{
    check_begin("integers are looked up and numbered");
    const int64_t wide[6] = {12, 10, 12, INT64_MIN, INT64_MAX, 11};
    const int32_t narrow[6] = {12, 10, 12, INT32_MIN, INT32_MAX, 11};
    int32_t table[3] = {5, -1, -1}, code[6], count = 6;
    int64_t fresh[6];
    check_status(flmm_look_up_int64(6, wide, 10, 3, table, code), FLMM_BAD_LEVEL, "look up");
    check_true(code[1] == 5 && code[0] == -1 && code[3] == -1 && code[4] == -1, "codes");
    check_status(flmm_look_up_int32(6, narrow, 10, 3, table, code), FLMM_BAD_LEVEL, "look up");
    check_true(code[1] == 5 && code[0] == -1 && code[3] == -1 && code[4] == -1, "codes");
    check_status(flmm_number_int64(6, wide, 10, 3, table, &count, fresh, code), FLMM_BAD_LEVEL, "outside");
    check_true(count == 6 && table[0] == 5 && table[1] == -1 && table[2] == -1, "nothing numbered");
    check_status(flmm_number_int32(3, narrow, 10, 3, table, &count, fresh, code), FLMM_OK, "number");
    check_true(count == 7 && fresh[0] == 12 && table[2] == 6 && code[0] == 6 && code[1] == 5 && code[2] == 6, "numbered");
    check_status(flmm_look_up_int64(3, wide, 10, 3, table, code), FLMM_OK, "look up");
    check_status(flmm_look_up_int64(1, wide, 10, 0, NULL, code), FLMM_BAD_LEVEL, "no table");
}

static void keys_are_numbered(void)
{
    check_begin("keys are numbered");
    const int64_t keys[7] = {5, 5, INT64_MIN, INT64_MAX, 0, -1, 5};
    int32_t slots[8], code[7], count = 0;
    int64_t known[4];
    flmm_place_keys(0, known, 8, slots);
    check_true(flmm_number_keys(7, keys, 8, slots, known, &count, code) == 5, "no room for a fifth key");
    check_true(count == 4 && code[0] == 0 && code[1] == 0 && code[2] == 1 && code[4] == 3, "numbers");
    int32_t wide[16];
    int64_t more[8];
    memcpy(more, known, sizeof known);
    flmm_place_keys(4, more, 16, wide);
    check_true(flmm_number_keys(2, keys + 5, 16, wide, more, &count, code + 5) == 2, "the rest");
    check_true(count == 5 && code[5] == 4 && code[6] == 0 && more[4] == -1, "numbers go on");
}

static void nesting_is_followed(void)
{
    check_begin("nesting is followed");
    const int32_t f[5] = {0, 1, 0, 2, 1}, g[5] = {1, 0, 1, 0, 1}, outside[1] = {3};
    int32_t parent[3] = {-1, -1, -1};
    check_status(flmm_pairs_follow(4, 3, f, g, parent), FLMM_OK, "nested");
    check_true(parent[0] == 1 && parent[1] == 0 && parent[2] == 0, "parents");
    check_status(flmm_pairs_follow(1, 3, f + 4, g + 4, parent), FLMM_NOT_NESTED, "not nested");
    check_status(flmm_pairs_follow(1, 3, outside, g, parent), FLMM_BAD_LEVEL, "bad level");
    check_true(parent[0] == 1 && parent[1] == 0 && parent[2] == 0, "parents");
}

static void values_that_are_not_finite_are_found(void)
{
    check_begin("values that are not finite are found");
    double x[19];
    for (int j = 0; j < 19; j++) {
        x[j] = j % 2 ? 1.7e308 : -1.7e308;
    }
    for (int n = 0; n <= 19; n++) {
        check_true(flmm_all_finite(n, x), "huge values are finite");
        for (int j = 0; j < n; j++) {
            const double kept = x[j];
            x[j] = j % 3 ? NAN : INFINITY;
            check_true(!flmm_all_finite(n, x), "one is not");
            x[j] = kept;
        }
    }
}

static void columns_are_taken(void)
{
    check_begin("columns are taken");
    const double in[6] = {1.0, 2.0, 3.0, 4.0, 5.0, 6.0};
    const int32_t at[2] = {2, 0};
    double out[4];
    flmm_take_columns(2, 3, in, 2, at, out);
    check_true(out[0] == 3.0 && out[1] == 1.0 && out[2] == 6.0 && out[3] == 4.0, "two columns");
    flmm_take_columns(2, 3, in, 1, at, out);
    check_true(out[0] == 3.0 && out[1] == 6.0, "one column");
}

static void rows_come_by_level_in_their_own_order(void)
{
    check_begin("rows come by level in their own order");
    const int32_t level[7] = {2, 0, 2, 3, 0, 2, 0};
    int64_t start[6], order[7];
    check_status(flmm_rows_by_level(7, 5, level, start, order), FLMM_OK, "rows_by_level");
    const int64_t starts[6] = {0, 3, 3, 6, 7, 7}, rows[7] = {1, 4, 6, 0, 2, 5, 3};
    check_true(memcmp(start, starts, sizeof starts) == 0, "starts");
    check_true(memcmp(order, rows, sizeof rows) == 0, "order");
}

void test_crossprod(void)
{
    cross_products_are_the_sums_written_out();
    a_bad_code_is_refused_and_the_outputs_are_untouched();
    lengths_that_make_no_sense_are_refused();
    no_rows_add_nothing();
    centring_subtracts_the_constant();
    rows_come_by_level_in_their_own_order();
    pairs_of_nested_factors_need_no_sorting();
    moments_of_a_column_come_in_one_pass();
    integers_are_looked_up_and_numbered();
    keys_are_numbered();
    nesting_is_followed();
    values_that_are_not_finite_are_found();
    columns_are_taken();
}
