/* random.h: a small generator with a fixed seed, the same on every machine. */
#ifndef FLMM_TESTS_RANDOM_H
#define FLMM_TESTS_RANDOM_H

#include <stdint.h>

/* splitmix64 (Steele, Lea & Flood 2014, OOPSLA) */
typedef struct {
    uint64_t state;
} random_source;

uint64_t random_bits(random_source *r);
int32_t random_below(random_source *r, int32_t n);      /* 0 .. n-1 */
double random_between(random_source *r, double low, double high);

#endif
