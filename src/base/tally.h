/*
 * tally.h - how often slow things were done, in shards that threads rarely share. Layer: base.
 *
 * Only what costs a system call or moves a batch counts itself here; what a request does on the way that is short is counted by
 * nobody, and found out from the tables when asked. Sums only grow.
 */
#ifndef HM_TALLY_H
#define HM_TALLY_H

#include "base/atom.h"
#include "base/base.h"

enum tallied {
    TALLY_RESERVE, /* calls of the system */
    TALLY_RELEASE,
    TALLY_COMMIT,
    TALLY_DECOMMIT,
    TALLY_PROTECT,
    TALLY_REFILL, /* batches from the bitmaps, and the blocks in them */
    TALLY_REFILL_BLOCKS,
    TALLY_FLUSH, /* batches to the bitmaps */
    TALLY_FLUSH_BLOCKS,
    TALLY_COUNT
};

#define TALLY_SHARDS 16u

extern HM_HIDDEN uint64_t tally_shard[TALLY_SHARDS][16]; /* two cache lines each */

/* Threads' stacks lie far apart: where this one is tells the thread. */
static inline unsigned tally_shard_mine(void) {
    uint32_t stack = (uint32_t)((uintptr_t)__builtin_frame_address(0) >> 16);
    return stack * 2654435761u >> 28; /* Knuth's multiplier; 4 bits for 16 shards */
}

static inline void tally_add(enum tallied kind, uint64_t count) {
    atom_add_acqrel_u64(&tally_shard[tally_shard_mine()][kind], count);
}

uint64_t tally_sum(enum tallied kind);

#endif
