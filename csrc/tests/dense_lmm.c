/* dense_lmm.c: the mixed model equations of a small model written out (Henderson 1975).
 *
 *   C = [ Lambda'Z'WZ Lambda + I   Lambda'Z'WX ]    C [u; beta] = [Lambda'Z'Wy; X'Wy]
 *       [ X'WZ Lambda              X'WX        ]
 *   pwrss = y'Wy - [u; beta]' rhs        Z'PZ = Z'WZ - F C^-1 F',  F = [Z'WZ Lambda, Z'WX]
 */
#include "dense.h"
#include "model.h"

#include <stdlib.h>
#include <string.h>

/* Z in full, [n q], and Lambda in full, [q q] */
static void write_out(const model *m, double *Z, double *Lambda)
{
    const double *T = m->Lambda;
    for (int f = 0; f < m->nf; f++) {
        const int nc = m->nc[f];
        for (int l = 0; l < m->nl[f]; l++) {
            const int own = model_offset(m, f) + l * nc;
            for (int a = 0; a < nc; a++) {
                for (int j = 0; j < m->n; j++) {
                    Z[j * m->q + own + a] = model_z(m, j, f, l, a);
                }
                for (int b = 0; b < nc; b++) {
                    Lambda[(own + a) * m->q + own + b] = T[a * nc + b];
                }
            }
        }
        T += nc * nc;
    }
}

/* out (a x b) = A' W B, A n x a, B n x b */
static void weighted(const model *m, int a, int b, const double *A, const double *B, double *out)
{
    for (int i = 0; i < a; i++) {
        for (int k = 0; k < b; k++) {
            double s = 0.0;
            for (int j = 0; j < m->n; j++) {
                s += (m->w ? m->w[j] : 1.0) * A[j * a + i] * B[j * b + k];
            }
            out[i * b + k] = s;
        }
    }
}

dense_lmm *dense_lmm_new(const model *m)
{
    const int n = m->n, p = m->p, q = m->q, size = q + p;
    dense_lmm *d = calloc(1, sizeof *d);
    if (!d) {
        abort();
    }
    double *Z = dense_new(n, q), *Lambda = dense_new(q, q), *S = dense_new(n, size);
    double *ZL = dense_new(n, q), *C = dense_new(size, size), *rhs = dense_new(size, 1);
    double *solution = dense_new(size, 1), *F = dense_new(q, size), *G = dense_new(q, size), logdet = 0.0;
    write_out(m, Z, Lambda);
    dense_multiply(n, q, q, Z, Lambda, ZL);
    for (int j = 0; j < n; j++) {
        memcpy(S + j * size, ZL + j * q, (size_t)q * sizeof *S);
        for (int c = 0; c < p; c++) {
            S[j * size + q + c] = m->X[(ptrdiff_t)c * n + j];
        }
    }
    weighted(m, size, size, S, S, C);
    weighted(m, size, 1, S, m->y, rhs);
    weighted(m, 1, 1, m->y, m->y, &d->ytWy);
    d->M = dense_new(q, q);
    for (int i = 0; i < q; i++) {
        C[i * size + i] += 1.0;
        memcpy(d->M + i * q, C + i * size, (size_t)q * sizeof *d->M);
    }
    d->Minv = dense_new(q, q);
    d->Cinv = dense_new(size, size);
    dense_inverse(q, d->M, d->Minv, &d->ldL2);
    d->conditioning = dense_inverse(size, C, d->Cinv, &logdet);
    d->ldRX2 = logdet - d->ldL2;
    dense_multiply(size, size, 1, d->Cinv, rhs, solution);
    d->u = dense_new(q, 1);
    d->b = dense_new(q, 1);
    d->beta = dense_new(p, 1);
    memcpy(d->u, solution, (size_t)q * sizeof *d->u);
    memcpy(d->beta, solution + q, (size_t)p * sizeof *d->beta);
    dense_multiply(q, q, 1, Lambda, d->u, d->b);

    /* residuals of the rows, and pwrss = |W^1/2 residual|^2 + |u|^2 */
    double *residual = dense_new(n, 1);
    for (int j = 0; j < n; j++) {
        residual[j] = m->y[j];
        for (int i = 0; i < size; i++) {
            residual[j] -= S[j * size + i] * solution[i];
        }
    }
    weighted(m, 1, 1, residual, residual, &d->pwrss);
    for (int i = 0; i < q; i++) {
        d->pwrss += d->u[i] * d->u[i];
    }
    d->e = dense_new(q, 1);
    weighted(m, q, 1, Z, residual, d->e);

    d->ZtPZ = dense_new(q, q);
    double *product = dense_new(q, q);
    weighted(m, q, q, Z, Z, d->ZtPZ);
    weighted(m, q, size, Z, S, F);
    dense_multiply(q, size, size, F, d->Cinv, G);
    for (int i = 0; i < q; i++) {
        for (int k = 0; k < q; k++) {
            for (int l = 0; l < size; l++) {
                product[i * q + k] += G[i * size + l] * F[k * size + l];
            }
            d->ZtPZ[i * q + k] -= product[i * q + k];
        }
    }
    free(product);
    free(residual);
    free(Z);
    free(Lambda);
    free(S);
    free(ZL);
    free(C);
    free(rhs);
    free(solution);
    free(F);
    free(G);
    return d;
}

void dense_lmm_ZtWZ(const model *m, double *A)
{
    double *Z = dense_new(m->n, m->q), *Lambda = dense_new(m->q, m->q);
    write_out(m, Z, Lambda);
    weighted(m, m->q, m->q, Z, Z, A);
    free(Z);
    free(Lambda);
}

void dense_lmm_free(dense_lmm *d)
{
    free(d->beta);
    free(d->u);
    free(d->b);
    free(d->M);
    free(d->Minv);
    free(d->Cinv);
    free(d->e);
    free(d->ZtPZ);
    free(d);
}
