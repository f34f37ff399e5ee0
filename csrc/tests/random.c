/* random.c: see random.h. */
#include "random.h"

uint64_t random_bits(random_source *r)
{
    uint64_t z = r->state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

int32_t random_below(random_source *r, int32_t n)
{
    return (int32_t)(random_bits(r) % (uint64_t)n);
}

double random_between(random_source *r, double low, double high)
{
    return low + (high - low) * (double)(random_bits(r) >> 11) * 0x1p-53;
}
