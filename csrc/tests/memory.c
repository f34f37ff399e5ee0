/* memory.c: malloc and calloc as the linker's --wrap hands them over, and as CHOLMOD asks
 * SuiteSparse for them; see memory.h. */
#include "memory.h"

#include <SuiteSparse_config.h>
#include <stdlib.h>

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);

static long left = -1;
static int failed = 0, failed_in_cholmod = 0;

void memory_fail_after(long n)
{
    left = n;
    if (n >= 0) {
        failed = failed_in_cholmod = 0;
    }
}

int memory_has_failed(void)
{
    return failed;
}

int memory_has_failed_in_cholmod(void)
{
    return failed_in_cholmod;
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

static int refuse_cholmod(void)
{
    const int no = refuse();
    failed_in_cholmod = failed_in_cholmod || no;
    return no;
}

static void *cholmod_malloc_counted(size_t size)
{
    return refuse_cholmod() ? NULL : __real_malloc(size);
}

static void *cholmod_calloc_counted(size_t count, size_t size)
{
    return refuse_cholmod() ? NULL : __real_calloc(count, size);
}

static void *cholmod_realloc_counted(void *pointer, size_t size)
{
    return refuse_cholmod() ? NULL : realloc(pointer, size);
}

void memory_count_cholmod(int counted)
{
#if SUITESPARSE_MAIN_VERSION < 6
    SuiteSparse_config.malloc_func = counted ? cholmod_malloc_counted : __real_malloc;
    SuiteSparse_config.calloc_func = counted ? cholmod_calloc_counted : __real_calloc;
    SuiteSparse_config.realloc_func = counted ? cholmod_realloc_counted : realloc;
#else
    SuiteSparse_config_malloc_func_set(counted ? cholmod_malloc_counted : __real_malloc);
    SuiteSparse_config_calloc_func_set(counted ? cholmod_calloc_counted : __real_calloc);
    SuiteSparse_config_realloc_func_set(counted ? cholmod_realloc_counted : realloc);
#endif
}
