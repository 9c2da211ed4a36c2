/* random.h - a small generator for the benchmarks' own choices: the same sequence from the same seed everywhere. */
#ifndef HOSTMEM_BENCH_RANDOM_H
#define HOSTMEM_BENCH_RANDOM_H

#include <stdint.h>

/* Marsaglia's xorshift with a multiplication; *seed must not be 0. */
static inline uint32_t random_next(uint64_t *seed) {
    *seed ^= *seed >> 12;
    *seed ^= *seed << 25;
    *seed ^= *seed >> 27;
    return (uint32_t)((*seed * UINT64_C(0x2545F4914F6CDD1D)) >> 32);
}

/* Below bound, without a division. */
static inline uint32_t random_below(uint64_t *seed, uint32_t bound) {
    return (uint32_t)(((uint64_t)random_next(seed) * bound) >> 32);
}

static inline uint64_t random_seed(int which) { return UINT64_C(0x9E3779B97F4A7C15) * (uint64_t)(which + 1); }

#endif
