/*
 * rand.h - random numbers for tests (xorshift64*). The same seed gives the same numbers on every system, so a test that
 * prints its seed can be run again.
 */
#ifndef TEST_RAND_H
#define TEST_RAND_H

#include <stdbool.h>
#include <stdint.h>

struct rand {
    uint64_t state;
};

static inline uint64_t rand_next(struct rand *r) {
    r->state ^= r->state >> 12;
    r->state ^= r->state << 25;
    r->state ^= r->state >> 27;
    return r->state * 0x2545f4914f6cdd1du;
}

/* Neighbouring seeds give unrelated sequences, and none is stuck at 0. */
static inline struct rand rand_seed(uint64_t seed) {
    struct rand r = {(seed + 1) * 0x9e3779b97f4a7c15u};
    if (r.state == 0) r.state = 1;
    for (int i = 0; i < 8; i++) rand_next(&r);
    return r;
}

/* 0 to bound - 1. */
static inline uint32_t rand_below(struct rand *r, uint32_t bound) { return (uint32_t)((rand_next(r) >> 32) * bound >> 32); }

/* True once in `times`. */
static inline bool rand_once_in(struct rand *r, uint32_t times) { return rand_below(r, times) == 0; }

#endif
