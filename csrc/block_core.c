/* block_core.c: the model that elimination leaves on the core, with A_S and R_S for A and R.
 *
 *   S = Lambda_2'A_S Lambda_2 + I = L_S L_S'      U_2 = L_S^-1 Lambda_2'R_S
 *   u_2 = L_S'^-1 U_2 y,  y = (-beta, 1)          V_2 = L_S'^-1 U_2X RX^-1
 *   e_2 = R_S y - A_S Lambda_2 u_2
 *
 * The score is e_2 level by level, the traces I - [S^-1]_ll - V_l V_l', and with the
 * directions d_i = D_i e_2, zero where D_i belongs to the eliminated factor,
 *
 *   a_i = A_S d_i, or for the eliminated factor what its levels give (block_backward.c)
 *   c_i = L_S^-1 Lambda_2' a_i      q_ij += a_i'd_j - c_i'c_j      h_i += R_SX'd_i - U_2X'c_i
 */
#include "block.h"

#include <stdlib.h>
#include <string.h>

/* --- A_S and S ---------------------------------------------------------------------- */

/* Visit the lower triangle of A_22 block by block: own blocks, then pairs of factors. */
static void fill_base(flmm_block *s, double *values)
{
    const flmm_crossproducts *x = s->at.x;
    int32_t *own_place = s->own_place, *pair_place = s->pair_place;
    for (int32_t f = 1; f < x->nf; f++) {
        const int32_t cf = x->nc[f];
        for (int64_t i = 0; i < x->nl[f]; i++) {
            const int64_t own = s->at.offset[f] - s->n1 + i * cf;
            for (int32_t b = 0; b < cf; b++) {
                for (int32_t a = b; a < cf; a++, own_place++) {
                    if (values) {
                        values[*own_place] += x->ZtWZ[f][(i * cf + a) * cf + b];
                    } else {
                        *own_place = (int32_t)flmm_core_place(s->core, own + a, own + b);
                    }
                }
            }
            for (int32_t g = f + 1; g < x->nf; g++) {
                const int32_t cg = x->nc[g];
                const ptrdiff_t pair = flmm_pair(f, g);
                for (int64_t k = x->indptr[pair][i]; k < x->indptr[pair][i + 1]; k++) {
                    const double *B = x->values[pair] + k * cf * cg;
                    const int64_t other = s->at.offset[g] - s->n1 + (int64_t)x->indices[pair][k] * cg;
                    for (int32_t a = 0; a < cf; a++) {
                        for (int32_t b = 0; b < cg; b++, pair_place++) {
                            if (values) {
                                values[*pair_place] += B[a * cg + b];
                            } else {
                                *pair_place = (int32_t)flmm_core_place(s->core, own + a, other + b);
                            }
                        }
                    }
                }
            }
        }
    }
}

void flmm_block_lay_out_base(flmm_block *s)
{
    fill_base(s, NULL);
}

void flmm_block_core_begin(flmm_block *s)
{
    flmm_core_clear(s->core, flmm_core_base(s->core));
    fill_base(s, flmm_core_base(s->core));
}

/* The block (cg x ch) that unknowns v .. v+ch-1 have with rows k .. k+cg-1 of column v:
 * read from `from` into B, or written from B to `to`.  On the diagonal (k = 0) the lower
 * triangle only. */
static void visit(const flmm_block *s, int64_t v, int32_t ch, int64_t k, int32_t cg, const double *from, double *to,
                  double *B)
{
    for (int32_t b = 0; b < ch; b++) {
        const int64_t *row, *place;
        flmm_core_column(s->core, v + b, &row, &place);
        for (int32_t a = k == 0 ? b : 0; a < cg; a++) {
            const int64_t e = k + a - b, where = place ? place[e] : (v + b) * (s->n2 + 1) + e;
            if (from) {
                B[a * ch + b] = from[where];
            } else {
                to[where] = B[a * ch + b];
            }
        }
    }
}

/* Rows of column v from k on as long as they are less than `end`, times one number: where
 * both factors have one column.  Returns the next row. */
static int64_t scale_run(const flmm_block *s, int64_t v, int64_t k, int64_t end, double scale, const double *from,
                         double *to)
{
    const int64_t *row, *place;
    const int64_t count = flmm_core_column(s->core, v, &row, &place);
    if (!row) {
        const int64_t first = v * (s->n2 + 1);
        for (; k < end - v; k++) {
            to[first + k] = from[first + k] * scale;
        }
        return k;
    }
    for (; k < count && row[k] < end; k++) {
        to[place[k]] = from[place[k]] * scale;
    }
    return k;
}

/* S = Lambda_2'A_S Lambda_2 + I */
static void make_S(const flmm_block *s)
{
    const flmm_crossproducts *x = s->at.x;
    const ptrdiff_t most = (ptrdiff_t)s->at.most_columns * s->at.most_columns;
    const double *A = flmm_core_base(s->core);
    double *S = flmm_core_values(s->core), *B = s->small, *t = B + most, *out = t + most;
    for (int32_t h = 1; h < x->nf; h++) {
        const int32_t ch = x->nc[h];
        const double *Th = s->at.Lambda + s->at.square[h];
        for (int64_t v = s->at.offset[h] - s->n1; v < s->at.offset[h + 1] - s->n1; v += ch) {
            const int64_t *row, *place;
            const int64_t count = flmm_core_column(s->core, v, &row, &place);
            visit(s, v, ch, 0, ch, A, NULL, B);
            for (int32_t a = 0; a < ch; a++) {
                for (int32_t b = a + 1; b < ch; b++) {
                    B[a * ch + b] = B[b * ch + a];
                }
            }
            flmm_sandwich(ch, ch, Th, B, Th, t, out);
            for (int32_t a = 0; a < ch; a++) {
                out[a * ch + a] += 1.0;
            }
            visit(s, v, ch, 0, ch, NULL, S, out);
            int32_t g = h;
            for (int64_t k = ch; k < count;) {
                const int64_t u = row ? row[k] : v + k;
                while (u >= s->at.offset[g + 1] - s->n1) {
                    g++;
                }
                const int32_t cg = x->nc[g];
                const double *Tg = s->at.Lambda + s->at.square[g];
                if (ch == 1 && cg == 1) {
                    k = scale_run(s, v, k, s->at.offset[g + 1] - s->n1, Tg[0] * Th[0], A, S);
                    continue;
                }
                visit(s, v, ch, k, cg, A, NULL, B);
                flmm_sandwich(cg, ch, Tg, B, Th, t, out);
                visit(s, v, ch, k, cg, NULL, S, out);
                k += cg;
            }
        }
    }
}

int flmm_block_core_factorize(flmm_block *s)
{
    make_S(s);
    return flmm_core_factorize(s->core);
}

/* --- right-hand sides ----------------------------------------------------------------- */

int flmm_block_make_work(flmm_block *s, int32_t m)
{
    if (m <= s->work_columns) {
        return FLMM_OK;
    }
    double *work = malloc(((size_t)flmm_core_work(s->core) * (size_t)m + 1) * sizeof *work);
    if (!work) {
        return FLMM_NO_MEMORY;
    }
    free(s->work);
    s->work = work;
    s->work_columns = m;
    return FLMM_OK;
}

void flmm_block_core_rows(const flmm_block *s, int32_t m, const double *const *R, double *RS)
{
    for (int32_t f = 1; f < s->at.x->nf; f++) {
        const size_t size = (size_t)(s->at.offset[f + 1] - s->at.offset[f]) * (size_t)m;
        memcpy(RS, R[f], size * sizeof *RS);
        RS += size;
    }
}

/* out_l := Lambda_2' in_l or Lambda_2 in_l, level by level; out in the core's order if asked. */
static void apply_templates(const flmm_block *s, int transposed, int core_order, int32_t m, const double *in, double *out)
{
    const flmm_crossproducts *x = s->at.x;
    for (int32_t f = 1; f < x->nf; f++) {
        const int32_t c = x->nc[f];
        const double *T = s->at.Lambda + s->at.square[f];
        for (int64_t own = s->at.offset[f] - s->n1; own < s->at.offset[f + 1] - s->n1; own += c) {
            for (int32_t a = 0; a < c; a++) {
                const int64_t to = core_order ? flmm_core_position(s->core, own + a) : own + a;
                for (int32_t r = 0; r < m; r++) {
                    double v = 0.0;
                    for (int32_t b = 0; b < c; b++) {
                        v += (transposed ? T[b * c + a] : T[a * c + b]) * in[(own + b) * m + r];
                    }
                    out[to * m + r] = v;
                }
            }
        }
    }
}

void flmm_block_core_forward(flmm_block *s, int32_t m, const double *RS, double *U2)
{
    apply_templates(s, 1, 1, m, RS, U2);
    flmm_core_solve_L(s->core, m, U2, s->work);
}

void flmm_block_core_back(flmm_block *s, int32_t m, double *U2, double *X)
{
    flmm_core_solve_Lt(s->core, m, U2, s->work);
    for (int64_t u = 0; u < s->n2; u++) {
        memcpy(X + u * m, U2 + flmm_core_position(s->core, u) * m, (size_t)m * sizeof *X);
    }
}

void flmm_block_core_modes(const flmm_block *s, int32_t m, const double *X, double *b)
{
    apply_templates(s, 0, 0, m, X, b);
}

/* --- scores and traces ------------------------------------------------------------------ */

void flmm_block_core_scores(flmm_block *s, const flmm_derivatives *d)
{
    const flmm_crossproducts *x = s->at.x;
    const int32_t p = x->p, m = p + 1, nd = s->nd;
    double *u2 = s->modes, *b2 = u2 + s->n2, *e2 = b2 + s->n2;
    for (int64_t u = 0; u < s->n2; u++) {
        u2[u] = s->X2[u * m + p];
    }
    apply_templates(s, 0, 0, 1, u2, b2);
    flmm_core_multiply_base(s->core, 1, b2, e2);
    for (int64_t u = 0; u < s->n2; u++) {
        double v = -e2[u];
        for (int32_t j = 0; j < m; j++) {
            v += s->RS[u * m + j] * d->y[j];
        }
        e2[u] = v;
    }
    for (int32_t f = 1; d->what & FLMM_SCORE && f < x->nf; f++) {
        const int32_t c = x->nc[f];
        double *Q = d->score + s->at.square[f];
        memset(Q, 0, (size_t)c * (size_t)c * sizeof *Q);
        for (const double *e = e2 + (s->at.offset[f] - s->n1); e < e2 + (s->at.offset[f + 1] - s->n1); e += c) {
            for (int32_t a = 0; a < c; a++) {
                for (int32_t b = 0; b < c; b++) {
                    Q[a * c + b] += e[a] * e[b];
                }
            }
        }
    }
    if (nd == 0) {
        return;
    }
    memset(s->d2, 0, (size_t)s->n2 * (size_t)nd * sizeof *s->d2);
    for (int32_t i = s->own; i < nd; i++) {
        const int32_t f = d->factor_of[s->order[i]], c = x->nc[f];
        const double *D = d->D + s->D_at[i];
        for (int64_t own = s->at.offset[f] - s->n1; own < s->at.offset[f + 1] - s->n1; own += c) {
            for (int32_t a = 0; a < c; a++) {
                for (int32_t b = 0; b < c; b++) {
                    s->d2[(own + a) * nd + i] += D[a * c + b] * e2[own + b];
                }
            }
        }
    }
    flmm_core_multiply_base(s->core, nd, s->d2, s->a2);
}

void flmm_block_core_traces(const flmm_block *s, const flmm_derivatives *d)
{
    const flmm_crossproducts *x = s->at.x;
    const int32_t p = x->p, m = p + 1;
    const double *inverse = flmm_core_inverse_values(s->core);
    const int32_t *place = s->own_place;
    for (int32_t f = 1; f < x->nf; f++) {
        const int32_t c = x->nc[f];
        double *S = d->trace + s->at.square[f];
        memset(S, 0, (size_t)c * (size_t)c * sizeof *S);
        for (int64_t own = s->at.offset[f] - s->n1; own < s->at.offset[f + 1] - s->n1; own += c) {
            for (int32_t b = 0; b < c; b++) {
                for (int32_t a = b; a < c; a++) {
                    double v = (a == b ? 1.0 : 0.0) - inverse[*place++];
                    for (int32_t r = 0; d->reml && r < p; r++) {
                        v -= s->X2[(own + a) * m + r] * s->X2[(own + b) * m + r];
                    }
                    S[a * c + b] += v;
                }
            }
        }
        for (int32_t a = 0; a < c; a++) {
            for (int32_t b = 0; b < a; b++) {
                S[b * c + a] = S[a * c + b];
            }
        }
    }
}

void flmm_block_core_inverse_blocks(const flmm_block *s, double *blocks)
{
    const flmm_crossproducts *x = s->at.x;
    const double *inverse = flmm_core_inverse_values(s->core);
    const int32_t *place = s->own_place;
    for (int32_t f = 1; f < x->nf; f++) {
        const int32_t c = x->nc[f];
        for (int64_t l = 0; l < x->nl[f]; l++, blocks += c * c) {
            for (int32_t b = 0; b < c; b++) {
                for (int32_t a = b; a < c; a++) {
                    blocks[a * c + b] = blocks[b * c + a] = inverse[*place++];
                }
            }
        }
    }
}

/* --- information ---------------------------------------------------------------------- */

void flmm_block_core_information(flmm_block *s, const flmm_derivatives *d)
{
    const int32_t p = s->at.x->p, m = p + 1, nd = s->nd;
    apply_templates(s, 1, 1, nd, s->a2, s->c2);
    flmm_core_solve_L(s->core, nd, s->c2, s->work);
    for (int64_t u = 0; u < s->n2; u++) {
        const double *a = s->a2 + u * nd, *c = s->c2 + u * nd, *d2 = s->d2 + u * nd;
        const double *R = s->RS + u * m, *U = s->U2 + u * m;
        for (int32_t i = 0; i < nd; i++) {
            double *q = d->q + (ptrdiff_t)s->order[i] * nd, *h = d->h + (ptrdiff_t)s->order[i] * p;
            for (int32_t j = 0; j <= i; j++) {
                q[s->order[j]] += d2[i] * a[j] - c[i] * c[j];
            }
            for (int32_t r = 0; r < p; r++) {
                h[r] += d2[i] * R[r] - c[i] * U[r];
            }
        }
    }
}
