/*
 * range.c - putting a range of pages back, and writing its bytes.
 *
 * The page bytes are the truth: they are written after the system has done what they say, so when the system stops half-way
 * through a range, the bytes still say how it was.
 */
#include "vm/range.h"

#include "os/os.h"
#include "vm/held.h"

void range_restore(const struct range *r) {
    for (uint64_t done = 0; done < r->count;) {
        struct page p = {r->first.n + done};
        uint8_t state = pages_state(p);
        uint64_t run = pages_run(p, r->count - done, prot_committed(state) ? PG_STATE_MASK : PG_BASE_MASK | PG_HELD);
        /* Best effort: where even this is refused, a page that should fault stays accessible until its next call. */
        if (prot_committed(state)) {
            os_protect(page_address(p), (size_t)run << PAGE_SHIFT, state & PG_STATE_MASK);
        } else if (os_decommit(page_address(p), (size_t)run << PAGE_SHIFT) == ST_OK && prot_held(state)) {
            pages_fill(p, run, PG_NONE);
            held_uncharge(run << PAGE_SHIFT);
        }
        done += run;
    }
}

void range_fill(const struct range *r, uint8_t state) {
    for (struct piece at = {0}; range_next(r, &at, 0xff);) {
        uint8_t kept = prot_committed(at.state) ? at.state & PG_RESET : at.state & PG_WRITTEN ? PG_RESET : 0;
        pages_fill(at.first, at.count, state | kept);
    }
}
