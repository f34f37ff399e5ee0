/* products.c: products that both routes need, and the size of a team of threads. */
#define _POSIX_C_SOURCE 200809L
#include "system.h"
#include "threads.h"

#include <string.h>
#include <unistd.h>

int64_t flmm_this_process(void)
{
    return (int64_t)getpid();
}

int flmm_team(const flmm_layout *at)
{
    return at->process == flmm_this_process() ? at->threads : 1;
}

void flmm_gram_add(const flmm_blas *blas, int64_t q, int32_t m, const double *U, double *gram)
{
    int size = m;
    char upper = 'U', plain = 'N';
    double one = 1.0;
    for (int64_t first = 0; first < q; first += 1 << 20) {
        int depth = (int)(q - first < (1 << 20) ? q - first : (1 << 20));
        blas->dsyrk(&upper, &plain, &size, &depth, &one, (double *)(uintptr_t)(U + first * size), &size, &one,
                    gram, &size);
    }
}

/* out = A v, where v is zero outside `factor` (or not, when factor < 0). */
void flmm_multiply_A(const flmm_layout *at, int32_t factor, const double *v, double *out)
{
    const flmm_crossproducts *x = at->x;
    memset(out, 0, (size_t)at->q * sizeof *out);
    for (int32_t f = 0; f < x->nf; f++) {
        const int32_t cf = x->nc[f];
        if (factor < 0 || factor == f) {
#pragma omp parallel for schedule(static) num_threads(flmm_team(at)) if (x->nl[f] > FLMM_WORTH_THREADS)
            for (int64_t i = 0; i < x->nl[f]; i++) {
                const int64_t own = at->offset[f] + i * cf;
                const double *G = x->ZtWZ[f] + i * cf * cf;
                for (int32_t a = 0; a < cf; a++) {
                    double s = 0.0;
                    for (int32_t b = 0; b < cf; b++) {
                        s += G[a * cf + b] * v[own + b];
                    }
                    out[own + a] += s;
                }
            }
        }
        for (int32_t g = f + 1; g < x->nf; g++) {
            const int down = factor < 0 || factor == g, up = factor < 0 || factor == f;
            if (!down && !up) {
                continue;
            }
            const int32_t cg = x->nc[g];
            const ptrdiff_t pair = flmm_pair(f, g);
            for (int64_t i = 0; i < x->nl[f]; i++) {
                const int64_t own = at->offset[f] + i * cf;
                for (int64_t k = x->indptr[pair][i]; k < x->indptr[pair][i + 1]; k++) {
                    const int64_t other = at->offset[g] + (int64_t)x->indices[pair][k] * cg;
                    const double *B = x->values[pair] + k * cf * cg;
                    for (int32_t a = 0; a < cf; a++) {
                        for (int32_t b = 0; b < cg; b++) {
                            out[own + a] += down ? B[a * cg + b] * v[other + b] : 0.0;
                            out[other + b] += up ? B[a * cg + b] * v[own + a] : 0.0;
                        }
                    }
                }
            }
        }
    }
}
