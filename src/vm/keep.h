/*
 * keep.h - released allocations of more than 1 MiB, held whole for the next one of their size. Layer: vm.
 *
 * Smaller ones are the business of the threads' caches (spans.h). These are the process's, few, bounded by what may be held in
 * all (held.h), and go back to the system in time. One that was committed read-write throughout stays accessible, like the
 * small ones; others only keep their memory, for whoever reserves that much and commits it bit by bit.
 */
#ifndef HM_KEEP_H
#define HM_KEEP_H

#include "vm/held.h"

/*
 * With all pages of the allocation locked: can it be kept? Then its pages are held, or left as they are (*open), and the caller
 * retracts the span, unlocks the pages, and calls keep_store. False: release it in the ordinary way.
 */
bool keep_prepare(const struct range *r, const struct tally *t, bool *open);
void keep_store(struct granule first, uint64_t count_pages, bool open);

/*
 * A run of that many pages, unpublished and nobody else's: committed read-write and zero (`commit`), or reserved with pages held.
 * False: none is kept.
 */
bool keep_take(uint64_t count_pages, bool commit, struct granule *first);

/* As held_give_back, for what is kept here. */
uint64_t keep_give_back(uint64_t older_than_ms);

#endif
