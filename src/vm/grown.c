/*
 * grown.c - allocations in which the system may commit pages by itself, as it does to grow a stack.
 *
 * A program may run a thread on a stack of its own making (Cygwin does): a reservation of which the top is committed, with a
 * guard below. When the guard is hit, Windows commits the page below it and makes that the guard, and tells nobody. So an
 * allocation in which a guard was ever set has SPAN_GUARDED, and what its reserved pages are is the system's to say: none of
 * its pages is held, or brought ahead; a query asks the system about reserved ones; a protection or commit looks first which have
 * come; and who takes content away takes it from all pages, whatever their bytes say.
 */
#include "vm/grown.h"

#include "core/budget.h"
#include "os/os.h"
#include "vm/held.h"

void grown_begin(uintptr_t address) {
    struct range r;
    if (!os_grows_stacks()) return;
    do {
        if (!space_find(address, &r.owner) || r.owner.span.kind != SPAN_VM) return;
        if (!grown_can_be(r.owner.span.flags)) return;
        r.first = granule_page(r.owner.head);
        r.count = r.owner.span.count_pages;
    } while (!range_lock(&r));
    if (held_drop(&r)) {
        for (struct piece at = {0}; range_next(&r, &at, PG_STATE_MASK);) {
            os_guards_begin(piece_address(&at), piece_bytes(&at), at.state & PG_STATE_MASK);
        }
        r.owner.span.flags |= SPAN_GUARDED;
        space_publish(r.owner.head, r.owner.span);
    }
    range_unlock(&r);
}

enum status grown_note(const struct range *r) {
    struct budget *budget = budget_numbered(r->owner.span.owner);
    for (struct piece at = {0}; range_next(r, &at, PG_BASE_MASK);) {
        uint64_t end = at.first.n + at.count;
        if (prot_committed(at.state)) continue;
        for (struct page page = at.first; page.n < end;) {
            MEMORY_BASIC_INFORMATION info;
            uint8_t state;
            if (os_query_foreign(page_address(page), &info) != ST_OK) return ST_NO_RESOURCES;
            uint64_t pages = info.RegionSize >> PAGE_SHIFT;
            if (pages > end - page.n) pages = end - page.n;
            if (info.State == MEM_COMMIT && prot_from_win32(info.Protect, &state) == ST_OK) {
                if (!budget_charge(budget, 0, pages)) return ST_NO_QUOTA;
                pages_fill(page, pages, state);
            }
            page.n += pages;
        }
    }
    return ST_OK;
}

uint8_t grown_state(struct page page, uint64_t limit, uint64_t *run) {
    MEMORY_BASIC_INFORMATION info;
    uint8_t state = PG_NONE;
    *run = pages_run(page, limit, PG_BASE_MASK);
    if (os_query_foreign(page_address(page), &info) != ST_OK) return PG_NONE;
    if (info.RegionSize >> PAGE_SHIFT < *run) *run = info.RegionSize >> PAGE_SHIFT;
    return info.State == MEM_COMMIT && prot_from_win32(info.Protect, &state) == ST_OK ? state : PG_NONE;
}
