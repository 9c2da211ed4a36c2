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

/* How many pages from `first` on, at most `limit`, share the first one's byte under `mask`. At least 1. *state is that byte. */
uint64_t pages_run(struct page first, uint64_t limit, uint8_t mask);
uint64_t pages_run_at(struct page first, uint64_t limit, uint8_t mask, uint8_t *state);

/* A piece of a range: pages in a row that share their bytes under a mask. */
struct piece {
    struct page first;
    uint64_t count;
    uint8_t state;   /* the first one's byte, as it was when the piece was reached */
    uint64_t walked; /* pages of the range up to the piece's end */
};
static inline uintptr_t piece_address(const struct piece *at) { return page_address(at->first); }
static inline size_t piece_bytes(const struct piece *at) { return (size_t)at->count << PAGE_SHIFT; }

/*
 * Goes on to the next piece of `count` pages from `first` on, of at most `most` pages; from {0} to the first. False: there is
 * none. What is done to a piece's pages meanwhile changes nothing about the next.
 */
static inline bool pages_next_within(struct page first, uint64_t count, struct piece *at, uint8_t mask, uint64_t most) {
    uint64_t left = count - at->walked;
    if (left == 0) return false;
    at->first.n = first.n + at->walked;
    at->count = pages_run_at(at->first, left < most ? left : most, mask, &at->state);
    at->walked += at->count;
    return true;
}

static inline bool pages_next(struct page first, uint64_t count, struct piece *at, uint8_t mask) {
    return pages_next_within(first, count, at, mask, UINT64_MAX);
}

/* Is every page of the range committed? */
bool pages_all_committed(struct page first, uint64_t count);

/* How many are. */
uint64_t pages_count_committed(struct page first, uint64_t count);

/*
 * Have these pages, from a granule's first on, of one span that is less than a sheet, all that byte, and is no call changing one,
 * as far as can be seen?
 */
bool pages_at_rest(struct granule start, uint64_t count, uint8_t state);

/*
 * Between pages_lock and pages_unlock no other call changes these pages. The only place in the engine where one thread waits
 * for another, and only for a call on the same pages: they are taken from the lowest up, so no two calls wait for each other.
 * What is unlocked is what was locked, or a part of it if that was less than a sheet.
 */
void pages_lock(struct page first, uint64_t count);
bool pages_try_lock(struct page first, uint64_t count); /* takes all of them or none, and never waits */
void pages_unlock(struct page first, uint64_t count);

/* In a child made by fork: no call is changing any page. */
void pages_after_fork(void);

#endif
