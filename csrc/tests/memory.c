/* memory.c: malloc and calloc as the linker's --wrap hands them over; see memory.h. */
#include "memory.h"

#include <stdlib.h>

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);

static long left = -1;
static int failed = 0;

void memory_fail_after(long n)
{
    left = n;
    failed = 0;
}

int memory_has_failed(void)
{
    return failed;
}

static int refuse(void)
{
    if (left < 0) {
        return 0;
    }
    failed = failed || left == 0;
    return left-- == 0;
}

void *__wrap_malloc(size_t size)
{
    return refuse() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return refuse() ? NULL : __real_calloc(count, size);
}
