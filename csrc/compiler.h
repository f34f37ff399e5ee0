/* compiler.h: what is said to compilers that understand it. */
#ifndef FLMM_COMPILER_H
#define FLMM_COMPILER_H

#include <stdint.h>               /* says which C library this is */

/* Compiled into its caller, so that constants given there are constants here. */
#if defined(__GNUC__)
#define FLMM_INLINE static inline __attribute__((always_inline))
#else
#define FLMM_INLINE static inline
#endif

/* Functions compiled twice, for processors with and without vectors of four numbers; nothing is
 * contracted or put in another order, so both give the same bits. */
#if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__clang__) \
    && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define FLMM_TWICE __attribute__((target_clones("avx2", "default")))
#else
#define FLMM_TWICE
#endif

#endif
