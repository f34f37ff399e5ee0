/* keys.c: numbers for 64-bit keys, in the order in which they come; open addressing with linear probing.
 *
 * A slot holds a key's number or -1; the keys themselves stand by their numbers.  At most half of the slots
 * are taken, so that a key is found after 1.5 looks and a new one after 2.5 on average (Knuth, The Art of
 * Computer Programming 3, sec. 6.4).
 */
#include "flmm.h"

/* Mixes all bits of a key (the finalizer of splitmix64: Steele, Lea and Flood 2014). */
static uint64_t mixed(uint64_t key)
{
    key = (key ^ (key >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    key = (key ^ (key >> 27)) * UINT64_C(0x94D049BB133111EB);
    return key ^ (key >> 31);
}

/* The slot of a key, or the empty one where it belongs. */
static int64_t slot_of(int64_t key, int64_t capacity, const int32_t *slots, const int64_t *known)
{
    const uint64_t mask = (uint64_t)capacity - 1;
    uint64_t at = mixed((uint64_t)key) & mask;
    while (slots[at] >= 0 && known[slots[at]] != key) {
        at = (at + 1) & mask;
    }
    return (int64_t)at;
}

int64_t flmm_number_keys(int64_t n, const int64_t *keys, int64_t capacity, int32_t *slots, int64_t *known, int32_t *count,
                         int32_t *code)
{
    for (int64_t j = 0; j < n; j++) {
        if (j > 0 && keys[j] == keys[j - 1]) {
            code[j] = code[j - 1];
            continue;
        }
        const int64_t at = slot_of(keys[j], capacity, slots, known);
        if (slots[at] < 0) {
            if (*count >= capacity / 2) {
                return j;
            }
            known[*count] = keys[j];
            slots[at] = (*count)++;
        }
        code[j] = slots[at];
    }
    return n;
}

void flmm_place_keys(int32_t count, const int64_t *known, int64_t capacity, int32_t *slots)
{
    for (int64_t i = 0; i < capacity; i++) {
        slots[i] = -1;
    }
    for (int32_t k = 0; k < count; k++) {
        slots[slot_of(known[k], capacity, slots, known)] = k;
    }
}
