/*
 * keep.h - released allocations of more than 1 MiB, whose memory is held for the next one of their size. Layer: vm.
 *
 * Smaller ones are the business of the threads' caches (spans.h). These are the process's, few, bounded by what may be held in
 * all (held.h), and go back to the system in time. Nobody can touch them meanwhile.
 */
#ifndef HM_KEEP_H
#define HM_KEEP_H

#include "vm/held.h"

/* Is that a size of what is kept? */
static inline bool keep_is_for(uint64_t count_pages) {
    return count_pages > PAGES_PER_GRANULE * 16 && count_pages % PAGES_PER_GRANULE == 0;
}

/*
 * With all pages of the allocation locked: can it be kept? Then its pages are held, and the caller retracts the span, unlocks
 * the pages, and calls keep_store. False: release it in the ordinary way.
 */
bool keep_prepare(const struct range *r, const struct held_counts *counts);
void keep_store(struct granule first, uint64_t count_pages);

/*
 * A run of that many pages, unpublished and nobody else's: committed read-write and zero (`commit`), or reserved, with pages
 * held. False: none is kept.
 */
bool keep_take(uint64_t count_pages, bool commit, struct granule *first);

/* As held_give_back, for what is kept here. */
uint64_t keep_give_back(uint64_t older_than_ms);

#endif
