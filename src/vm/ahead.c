/*
 * ahead.c - noticing that a reservation grows, and bringing its memory in large pieces.
 *
 * Growing is: commits of at least 64 KiB that each begin where the one before has ended. The table below remembers, for a
 * few allocations, where the next one would begin and how many there have been. It is a hint, written without care for other
 * threads: a wrong one costs a look. From the third such commit on, a commit in which a block begins has the system back the
 * whole block by one fault; commits in the rest of the block then meet none. So what a reservation has ahead of it is less
 * than one block. Where the system has no block for us, which is cheap to be told, a commit has its own memory brought.
 */
#include "vm/ahead.h"

#include "os/os.h"
#include "vm/held.h"

#define GROWTHS 64u
#define STEP_PAGES PAGES_PER_GRANULE
#define BLOCK_PAGES (OS_BLOCK_BYTES / PAGE_BYTES)
#define LEAST_PAGES (2 * BLOCK_PAGES) /* of an allocation that is worth it */
#define PROOF 2u

/* The page after the last commit:35, how many commits came in a row:2. */
static uint64_t growth[GROWTHS];

/* Does this commit continue a row that is long enough? */
static bool growing(const struct range *r) {
    uint64_t *place = &growth[(r->owner.head.n * 2654435761u >> 16) % GROWTHS];
    uint64_t seen = atom_load_rlx_u64(place); /* rlx: a hint */
    uint64_t row = (seen & (((uint64_t)1 << 35) - 1)) == r->first.n ? seen >> 35 : 0;
    uint64_t next = row < PROOF ? row + 1 : row;
    atom_store_rlx_u64(place, (r->first.n + r->count) | next << 35); /* rlx: a hint */
    return row >= PROOF;
}

/* With the block's pages locked. */
static void block_bring(struct page block) {
    bool often;
    if (pages_state(block) != PG_NONE || pages_run(block, BLOCK_PAGES, 0xff) != BLOCK_PAGES) return;
    if (!held_charge(OS_BLOCK_BYTES)) return;
    if (held_remember(block, BLOCK_PAGES, &often) && os_back(page_address(block)) == ST_OK) {
        pages_fill(block, BLOCK_PAGES, PG_HELD | PG_CLEAN);
        return;
    }
    held_uncharge(OS_BLOCK_BYTES);
}

/* With the range locked: brings the block that begins in it, if one does and all of it can be had. */
static void block_enter(const struct range *r) {
    struct page block = {align_up(r->first.n, BLOCK_PAGES)};
    uint64_t end = r->first.n + r->count, block_end = block.n + BLOCK_PAGES;
    if (block.n >= end || block_end > span_end_page(&r->owner)) return;
    /* The rest of the block lies above what is locked. Somebody is there: then this is not the growth that was thought. */
    if (block_end > end && !pages_try_lock((struct page){end}, block_end - end)) return;
    block_bring(block);
    if (block_end > end) pages_unlock((struct page){end}, block_end - end);
}

bool ahead_of_commit(const struct range *r, struct tally *t) {
    if (r->count < STEP_PAGES || r->owner.span.count_pages < LEAST_PAGES) return false;
    if (r->owner.span.flags & ~(unsigned)SPAN_SYSTEM || !growing(r) || r->count > BLOCK_PAGES) return false;
    if (!held_welcome(true)) return false;
    block_enter(r);
    *t = held_tally(r->first, r->count);
    return t->held == 0;
}
