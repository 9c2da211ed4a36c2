/*
 * tally.c - see tally.h. Any thread, any time; the shards only grow, so a sum is never more than what had happened at its end.
 */
#include "base/tally.h"

_Alignas(128) uint64_t tally_shard[TALLY_SHARDS][16];

_Static_assert(TALLY_COUNT <= 16, "a shard has room for 16 counts");

uint64_t tally_sum(enum tallied kind) {
    uint64_t sum = 0;
    /* rlx: figures for people; they need not be of one moment. */
    for (unsigned i = 0; i < TALLY_SHARDS; i++) sum += atom_load_rlx_u64(&tally_shard[i][kind]);
    return sum;
}
