/*
 * pages.h - the byte of each page, in runs, and the order of calls that change the same pages. Layer: core.
 *
 * Every range here lies inside one live span, whose slots therefore exist.
 */
#ifndef HM_PAGES_H
#define HM_PAGES_H

#include "base/base.h"
#include "base/prot.h"

uint8_t pages_state(struct page page);

/* Gives `count` pages the byte. */
void pages_fill(struct page first, uint64_t count, uint8_t state);

/* How many pages from `first` on, at most `limit`, share the first one's byte under `mask`. At least 1. */
uint64_t pages_run(struct page first, uint64_t limit, uint8_t mask);

/* Is every page of the range committed? */
bool pages_all_committed(struct page first, uint64_t count);

/* How many are. */
uint64_t pages_count_committed(struct page first, uint64_t count);

/* Have these pages of a region, from a granule's first on, all that byte, and is no call changing one, as far as can be seen? */
bool pages_at_rest(struct granule start, uint64_t count, uint8_t state);

/*
 * Between pages_lock and pages_unlock no other call changes these pages. The only place in the engine where one thread waits
 * for another, and only for a call on the same pages: bits are taken from the lowest page up, so no two calls wait for each
 * other.
 */
void pages_lock(struct page first, uint64_t count);
bool pages_try_lock(struct page first, uint64_t count); /* takes all of them or none, and never waits */
void pages_unlock(struct page first, uint64_t count);

#endif
