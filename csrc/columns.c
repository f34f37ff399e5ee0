/* columns.c: one column of the data at a time, read once. */
#include "rows.h"

#include <math.h>

#define CHUNK 16384       /* rows per partial sum */
#define LANES 8           /* independent sums, so that the compiler can use vectors */

FLMM_TWICE void flmm_column_moments(int64_t n, const double *values, double *out)
{
    double low[LANES], high[LANES], sum[LANES], square[LANES];
    const double pivot = n > 0 ? values[0] : 0.0;
    double total = 0.0, total_square = 0.0, least = pivot, most = pivot;
    for (int64_t chunk = 0; chunk < n; chunk += CHUNK) {
        const int64_t end = chunk + CHUNK < n ? chunk + CHUNK : n;
        for (int k = 0; k < LANES; k++) {
            low[k] = high[k] = pivot;
            sum[k] = square[k] = 0.0;
        }
        int64_t j = chunk;
        for (; j + LANES <= end; j += LANES) {
            for (int k = 0; k < LANES; k++) {
                const double v = values[j + k], d = v - pivot;
                low[k] = v < low[k] ? v : low[k];
                high[k] = v > high[k] ? v : high[k];
                sum[k] += d;
                square[k] += d * d;
            }
        }
        for (int k = 0; j < end; j++, k++) {
            const double v = values[j], d = v - pivot;
            low[k] = v < low[k] ? v : low[k];
            high[k] = v > high[k] ? v : high[k];
            sum[k] += d;
            square[k] += d * d;
        }
        for (int k = 0; k < LANES; k++) {
            least = low[k] < least ? low[k] : least;
            most = high[k] > most ? high[k] : most;
            total += sum[k];
            total_square += square[k];
        }
    }
    const double mean = n > 0 ? total / (double)n : 0.0;
    const double variance = n > 0 ? total_square / (double)n - mean * mean : 0.0;
    out[0] = least;
    out[1] = most;
    out[2] = pivot + mean;
    out[3] = variance > 0.0 ? sqrt(variance) : 0.0;
}

/* The table's entry of an integer; NULL outside of its range. */
#define ENTRY(table, value, low, size)                                                                         \
    ((uint64_t)(value) - (uint64_t)(low) < (uint64_t)(size) ? (table) + ((uint64_t)(value) - (uint64_t)(low)) : NULL)

#define LOOK_UP                                                                                                \
    int32_t every = 0;                                                                                         \
    for (int64_t j = 0; j < n; j++) {                                                                          \
        const int32_t *entry = ENTRY(table, values[j], low, size);                                             \
        code[j] = entry ? *entry : -1;                                                                         \
        every |= code[j];                                                                                      \
    }                                                                                                          \
    return every < 0 ? FLMM_BAD_LEVEL : FLMM_OK;

#define NUMBER                                                                                                 \
    const int32_t before = *count;                                                                             \
    for (int64_t j = 0; j < n; j++) {                                                                          \
        int32_t *entry = ENTRY(table, values[j], low, size);                                                   \
        if (!entry) {                                                                                          \
            while (*count > before) {              /* as if nothing had been seen */                           \
                table[fresh[--*count - before] - low] = -1;                                                    \
            }                                                                                                  \
            return FLMM_BAD_LEVEL;                                                                             \
        }                                                                                                      \
        if (*entry < 0) {                                                                                      \
            fresh[*count - before] = values[j];                                                                \
            *entry = (*count)++;                                                                               \
        }                                                                                                      \
        code[j] = *entry;                                                                                      \
    }                                                                                                          \
    return FLMM_OK;

int flmm_look_up_int32(int64_t n, const int32_t *values, int64_t low, int64_t size, const int32_t *table, int32_t *code)
{
    LOOK_UP
}

int flmm_look_up_int64(int64_t n, const int64_t *values, int64_t low, int64_t size, const int32_t *table, int32_t *code)
{
    LOOK_UP
}

int flmm_number_int32(int64_t n, const int32_t *values, int64_t low, int64_t size, int32_t *table, int32_t *count,
                      int64_t *fresh, int32_t *code)
{
    NUMBER
}

int flmm_number_int64(int64_t n, const int64_t *values, int64_t low, int64_t size, int32_t *table, int32_t *count,
                      int64_t *fresh, int32_t *code)
{
    NUMBER
}

void flmm_take_columns(int64_t rows, int32_t width, const double *in, int32_t count, const int32_t *at, double *out)
{
    if (count == 1) {
        for (int64_t i = 0; i < rows; i++) {
            out[i] = in[i * width + at[0]];
        }
        return;
    }
    for (int64_t i = 0; i < rows; i++) {
        for (int32_t c = 0; c < count; c++) {
            out[i * count + c] = in[i * width + at[c]];
        }
    }
}

FLMM_TWICE int flmm_all_finite(int64_t n, const double *values)
{
    double zero[LANES] = {0.0};           /* 0 x is 0, or not a number if x is infinite or none */
    int64_t j = 0;
    for (; j + LANES <= n; j += LANES) {
        for (int k = 0; k < LANES; k++) {
            zero[k] += 0.0 * values[j + k];
        }
    }
    for (; j < n; j++) {
        zero[0] += 0.0 * values[j];
    }
    for (int k = 1; k < LANES; k++) {
        zero[0] += zero[k];
    }
    return zero[0] == 0.0;
}
