/*
 * census.h - what the threads' caches hold, counted from outside while the threads go on. Layer: core.
 *
 * The one place where a thread reads another's magazines. It reads words that their owner is changing, and believes none of them
 * without looking whether it can be true; so a figure is exact while the threads rest, and off by what they move meanwhile.
 */
#ifndef HM_CENSUS_H
#define HM_CENSUS_H

#include "core/cache.h"

/*
 * Adds to count[bin] what every cache holds for this owner in this set. What stands in bins from `mixed` on is told apart by
 * which(item), which gives the bin that it counts for, CACHE_BINS for none.
 */
void census_by_owner(unsigned set, uint64_t owner, unsigned mixed, unsigned (*which)(uintptr_t item), uint64_t count[CACHE_BINS]);

struct census {
    uint32_t thread; /* as the system numbers it; 0: it has ended, and the next one may have what it held */
    uint64_t blocks; /* of heaps */
    uint64_t block_bytes;
    uint64_t spans;
    uint64_t span_bytes;
};

/* Does the cache hold whole spans? */
bool census_has_spans(const struct cache *cache);

/* Calls visit for every cache that holds something, or has a thread. */
void census_each(void (*visit)(const struct census *held, void *context), void *context);

#endif
