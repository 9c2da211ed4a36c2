/*
 * held.c - held pages: their bytes, and what the system is asked for as they come and go.
 *
 * States of a page, by its byte: committed -> PG_HELD (held_keep) -> committed (zeroed in between), or PG_NONE (given back);
 * PG_NONE -> PG_HELD | PG_CLEAN (ahead.c) -> the same two.
 *
 * Invariants
 *  1. Every held page lies in a noted range (held_notes.c), or in a run of keep.c's.
 *  2. What is charged (held_charge) is the bytes of all held pages.
 *  3. Pages change from and to held only while they are locked.
 */
#include "vm/held.h"

#include "core/zero.h"
#include "os/os.h"

#define MUCH_PAGES ((uint64_t)1024) /* committed at once */

static uint32_t from_end; /* where zeroing began last, about */

struct held_counts held_count(struct page first, uint64_t count) {
    struct held_counts counts = {0, 0};
    for (struct piece at = {0}; pages_next(first, count, &at, PG_BASE_MASK | PG_HELD);) {
        if (prot_committed(at.state)) counts.committed += at.count;
        if (prot_held(at.state)) counts.held += at.count;
    }
    return counts;
}

/* Takes access to a row of committed pages, which is empty then. */
static bool row_hold(struct range *row, bool often) {
    if (row->count && os_hold(range_address(row), range_bytes(row), often) != ST_OK) return false;
    row->count = 0;
    return true;
}

/* On Windows only committed pages have an access to take. What is committed in one row is held by one call. */
static bool rows_hold(const struct range *r, bool often) {
    struct range row = {.count = 0};
    for (struct piece at = {0}; range_next(r, &at, PG_STATE_MASK);) {
        if (prot_committed(at.state)) {
            if (at.state & PG_GUARD) return false; /* the guard would have to go first */
            if (row.count == 0) row.first = at.first;
            row.count += at.count;
        } else if (!row_hold(&row, often)) {
            return false;
        }
    }
    return row_hold(&row, often);
}

bool held_hold(const struct range *r, bool often) {
    uint8_t all = pages_state(r->first);
    if (prot_committed(all) && !(all & PG_GUARD) && pages_run(r->first, r->count, 0xff) == r->count) {
        if (os_hold(range_address(r), range_bytes(r), often) != ST_OK) return false;
        pages_fill(r->first, r->count, PG_HELD);
        return true;
    }
    if (!rows_hold(r, often)) return false;
    for (struct piece at = {0}; range_next(r, &at, 0xff);) {
        if (prot_committed(at.state)) pages_fill(at.first, at.count, PG_HELD);
    }
    return true;
}

bool held_keep(const struct range *r, const struct held_counts *counts) {
    uint64_t bytes = counts->committed << PAGE_SHIFT;
    bool often;
    if (r->owner.span.flags & ~(unsigned)SPAN_SYSTEM || !held_welcome(false)) return false;
    if (!held_charge(bytes)) return false;
    if (held_remember(r, &often) && held_hold(r, often)) return true;
    held_uncharge(bytes);
    return false;
}

bool held_drop(const struct range *r) {
    bool all = true;
    for (struct piece at = {0}; range_next(r, &at, PG_BASE_MASK | PG_HELD);) {
        if (!prot_held(at.state)) continue;
        if (os_decommit(piece_address(&at), piece_bytes(&at)) == ST_OK) {
            pages_fill(at.first, at.count, PG_NONE);
            held_uncharge(piece_bytes(&at));
        } else {
            all = false;
        }
    }
    return all;
}

bool held_before_commit(const struct range *r, const struct held_counts *counts, uint8_t state) {
    /* Who commits much at once will hardly touch all of it soon, so that zeroing it now would be for nothing. */
    bool zeroed = prot_writable(state) && r->count <= MUCH_PAGES;
    return counts->held == 0 || zeroed || held_drop(r);
}

uint64_t held_after_commit(const struct range *r, const struct held_counts *counts) {
    if (counts->held == 0) return 0;
    bool other_end = !atom_load_rlx_u32(&from_end); /* rlx, and below: advice */
    atom_store_rlx_u32(&from_end, other_end);
    uint64_t held = 0, used = 0;
    for (struct piece at = {0}; range_next(r, &at, 0xff);) {
        if (!prot_held(at.state)) continue;
        held += piece_bytes(&at);
        if (!(at.state & PG_CLEAN)) used += zero_used((void *)piece_address(&at), piece_bytes(&at), other_end);
    }
    held_uncharge(held);
    return used;
}
