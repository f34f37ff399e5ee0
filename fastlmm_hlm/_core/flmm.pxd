# The contract of csrc/flmm.h, as Cython sees it.
from libc.stdint cimport int32_t, int64_t

cdef extern from "flmm.h" nogil:
    enum:
        FLMM_OK
        FLMM_NO_MEMORY
        FLMM_BAD_LEVEL
        FLMM_BAD_ARGUMENT
        FLMM_M_NOT_POSITIVE
        FLMM_X_NOT_POSITIVE
        FLMM_NO_RESIDUAL
        FLMM_TOO_LARGE
        FLMM_LIBRARY_FAILED
        FLMM_NOT_NESTED
        FLMM_VALUE
        FLMM_TRACE
        FLMM_SCORE
        FLMM_INFORMATION
        FLMM_BLOCK
        FLMM_WHOLE

    ctypedef struct flmm_blas:
        void (*dgemm)(char *, char *, int *, int *, int *, double *, double *, int *, double *, int *,
                      double *, double *, int *) noexcept nogil
        void (*dsyrk)(char *, char *, int *, int *, double *, double *, int *, double *, double *,
                      int *) noexcept nogil
        void (*dtrsm)(char *, char *, char *, char *, int *, int *, double *, double *, int *, double *,
                      int *) noexcept nogil
        void (*dpotrf)(char *, int *, double *, int *, int *) noexcept nogil
        void (*dpotri)(char *, int *, double *, int *, int *) noexcept nogil

    ctypedef struct flmm_column:
        const double *values
        double centre

    ctypedef struct flmm_crossproducts:
        int32_t nf
        int32_t p
        const int32_t *nc
        const int32_t *nl
        const double **ZtWZ
        const double **ZtWXy
        const double *XyWXy
        const int64_t **indptr
        const int32_t **indices
        const double **values

    ctypedef struct flmm_lmm:
        pass

    ctypedef struct flmm_evaluation:
        double ldL2
        double ldRX2
        double pwrss
        double *trace
        double *score
        double *information

    ctypedef struct flmm_response:
        const double *values
        const double *offset
        const double *beta0

    ctypedef struct flmm_grouping:
        int32_t nc
        int32_t nl
        const int32_t *level
        const flmm_column *z
        double *ZtWZ
        double *ZtWXy

    int flmm_crossprod_rows(const flmm_blas *, int64_t, int32_t, const flmm_column *, const flmm_response *,
                            const double *, int32_t, const flmm_grouping *, double *)
    int flmm_look_up_int32(int64_t, const int32_t *, int64_t, int64_t, const int32_t *, int32_t *)
    int flmm_look_up_int64(int64_t, const int64_t *, int64_t, int64_t, const int32_t *, int32_t *)
    int flmm_number_int32(int64_t, const int32_t *, int64_t, int64_t, int32_t *, int32_t *, int64_t *, int32_t *)
    int flmm_number_int64(int64_t, const int64_t *, int64_t, int64_t, int32_t *, int32_t *, int64_t *, int32_t *)
    int64_t flmm_number_keys(int64_t, const int64_t *, int64_t, int32_t *, int64_t *, int32_t *, int32_t *)
    void flmm_place_keys(int32_t, const int64_t *, int64_t, int32_t *)
    int flmm_pairs_follow(int64_t, int32_t, const int32_t *, const int32_t *, int32_t *)
    int flmm_crossprod_fixed(const flmm_blas *, int64_t, int32_t, const flmm_column *, const double *,
                             const double *, double *)
    int flmm_crossprod_factor(int64_t, int32_t, int32_t, const int32_t *, const flmm_column *, int32_t,
                              const flmm_column *, const double *, const double *, double *, double *)
    int flmm_rows_by_level(int64_t, int32_t, const int32_t *, int64_t *, int64_t *)
    int flmm_pairs_count(int32_t, const int64_t *, const int64_t *, int32_t, const int32_t *, int64_t *,
                         int64_t *)
    int flmm_pairs_fill(int32_t, int32_t, const int64_t *, const int64_t *, const flmm_column *, int32_t,
                        int32_t, const int32_t *, const flmm_column *, const double *, int64_t *,
                        const int64_t *, int32_t *, double *)
    int flmm_pairs_nested(int64_t, int32_t, const int32_t *, int32_t, const int32_t *, int32_t *)
    int flmm_pairs_nested_fill(int64_t, int32_t, const int32_t *, const flmm_column *, int32_t,
                               const flmm_column *, const double *, const int64_t *, double *)
    int flmm_add_fixed(int64_t n, int32_t p, const flmm_column *x, const double *beta, double *out)
    int flmm_add_effects(int64_t n, int32_t nc, int32_t nl, const int32_t *level, const flmm_column *z,
                         const double *b, double *out)
    int flmm_crossprod_responses(int64_t, int32_t, int32_t, const int32_t *, const flmm_column *, int64_t,
                                 const double *, const double *, double *)
    void flmm_put_response(int32_t, int32_t, const int32_t *, const int32_t *, const double *, const double *,
                           double **, double *)
    void flmm_take_columns(int64_t, int32_t, const double *, int32_t, const int32_t *, double *)
    int flmm_all_finite(int64_t, const double *)
    void flmm_column_moments(int64_t, const double *, double *)
    int flmm_lmm_new(const flmm_blas *, const flmm_crossproducts *, int, int32_t, flmm_lmm **)
    void flmm_lmm_free(flmm_lmm *)
    int flmm_lmm_evaluate(flmm_lmm *, const double *, int, int, int32_t, const int32_t *, const double *,
                          flmm_evaluation *)
    int flmm_lmm_solution(flmm_lmm *, double *, double *, double *)
    int flmm_lmm_blocks(flmm_lmm *, double *, double *)
    int flmm_lmm_inverse_blocks(flmm_lmm *, double *)
    void flmm_lmm_describe(const flmm_lmm *, int64_t *, int *)
    int flmm_lmm_factor(const flmm_lmm *, int64_t *, int64_t *, int64_t *, double *, int64_t *)

    ctypedef struct flmm_terms:
        int32_t nt
        const int32_t *factor
        const int32_t *first
        const int32_t *nc
        const int32_t *size
        const double *T

    ctypedef struct flmm_working:
        pass

    int flmm_moments(const flmm_blas *, const flmm_crossproducts *, double, const flmm_terms *, const double *,
                     int32_t, double *, double *)
    int flmm_working_new(const flmm_crossproducts *, const flmm_terms *, flmm_working **)
    void flmm_working_free(flmm_working *)
    int flmm_working_evaluate(flmm_working *, flmm_lmm *, const double *, const double *, const double *,
                              const double *, int, double, flmm_evaluation *, double *, double *, double *)
    void flmm_lower_factor(int32_t, int32_t, double *, double *)
    int flmm_lmm_solve(flmm_lmm *, int32_t, const double **, double **)
    int flmm_lmm_multiply(const flmm_lmm *, int32_t, const double **, double **)
    void flmm_multiply_levels(int64_t, int32_t, int64_t, const double *, const double *, double *)
