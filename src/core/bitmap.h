/*
 * bitmap.h - lock-free claims of runs of bits. A set bit is taken. Layer: core.
 *
 * A bitmap is an array of 64-bit words that only these functions change while threads share it. Every claim is all or
 * nothing: of two claims that overlap at most one succeeds, and one that fails leaves no bit set that it set itself.
 * A claim that meets a bit which another claim is just rolling back may fail although the run is free a moment later.
 *
 * Orders: a successful claim is an acquire of every release of its bits, so the new owner sees the last owner's writes
 * as done; a release publishes what the owner wrote before.
 */
#ifndef HM_BITMAP_H
#define HM_BITMAP_H

#include "base/atom.h"
#include "base/base.h"

#define BITMAP_WORD_BITS 64u
#define BITMAP_WORDS(bits) (((bits) + BITMAP_WORD_BITS - 1) / BITMAP_WORD_BITS)
#define BITMAP_NONE SIZE_MAX

/* Claims exactly [first, first + count), count at least 1. False: one of them was taken, and nothing has changed. */
bool bitmap_claim(uint64_t *words, size_t first, size_t count);

/*
 * Finds and claims a run of `count` free bits among the first `total`. Looks from word `home` on, wraps round, and reads every
 * word a few times at most. Runs of up to 64 bits are placed by best fit within the stretch of 32 words around the home, then
 * within the next stretch; longer ones take the first that fits. Returns the first bit, or BITMAP_NONE: there is no such
 * run, or the call lost one race after another (8 times for one place in each of 4 searches).
 */
size_t bitmap_claim_run(uint64_t *words, size_t total, size_t count, size_t home);

/* The same from the top: the highest run that fits. */
size_t bitmap_claim_run_high(uint64_t *words, size_t total, size_t count);

/*
 * Claims up to `want` (1 to 64) single bits of one word among the first `total` bits, starting the search at word `home`, by one
 * atomic operation. Returns the word's index and the mask of bits claimed, or BITMAP_NONE with *mask 0.
 */
size_t bitmap_claim_some(uint64_t *words, size_t total, size_t home, unsigned want, uint64_t *mask);

/*
 * The same of groups of 1, 2 or 4 bits that start at a multiple of their length and are free as a whole; `want` is a multiple of
 * `group`.
 */
size_t bitmap_claim_groups(uint64_t *words, size_t total, size_t home, unsigned want, unsigned group, uint64_t *mask);

/*
 * Releases [first, first + count), count at least 1. False if a bit of the run was free when the call began: then nothing has
 * changed. Of two releases of one run that race, exactly one returns true and the other has changed nothing. Only if
 * releases race that overlap and start in different words, a mistake nobody can take back, may one return false and yet have
 * released bits: all bits of both runs are free then, and at most one of them returned true.
 */
bool bitmap_release(uint64_t *words, size_t first, size_t count);

/* Releases those bits of one word that `mask` names and that are taken, by one atomic operation. Returns which these were. */
uint64_t bitmap_release_some(uint64_t *words, size_t word, uint64_t mask);

/* Is the bit taken? Stale at once unless the caller owns it. */
static inline bool bitmap_taken(const uint64_t *words, size_t bit) {
    /* rlx: the answer is stale at once, or the caller owns the bit and it cannot change. */
    return atom_load_rlx_u64(&words[bit / BITMAP_WORD_BITS]) >> bit % BITMAP_WORD_BITS & 1;
}

/* How many of the first `total` bits are taken, read word by word. */
size_t bitmap_count(const uint64_t *words, size_t total);

/* The first bit at or after `from` and below `total` that is taken (bitmap_next_taken) or free; `total` if there is none. */
size_t bitmap_next_taken(const uint64_t *words, size_t total, size_t from);
size_t bitmap_next_free(const uint64_t *words, size_t total, size_t from);

#endif
