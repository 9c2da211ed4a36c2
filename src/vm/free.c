/*
 * free.c - VirtualFree: decommit of pages, release of an allocation.
 *
 * Both lock their pages. A release locks all pages of the allocation, so every call that was at work on one of them has finished
 * and every later one finds the span gone. The order of a release: content and access go (the only step that the system can
 * refuse, and then nothing has changed), page bytes to 0, span retracted, pages let go, granules back to the region. A
 * reservation of its own goes back to the system last, and its content with it. What may be wanted again soon is held (held.h),
 * or kept whole (keep.h).
 */
#include "core/budget.h"
#include "core/region.h"
#include "os/os.h"
#include "vm/ahead.h"
#include "vm/keep.h"
#include "vm/range.h"
#include "vm/spans.h"
#include "vm/vm.h"
#include "vm/written.h"

/* With the range locked: takes content and access from all of it, and gives back what was held. */
static enum status empty_locked(const struct range *r, const struct tally *t) {
    if (t->committed + t->held == 0) return ST_OK;
    bool watched = written_is_known(&r->owner);
    enum status status = watched ? written_decommit(r) : os_decommit(range_address(r), range_bytes(r));
    if (status != ST_OK) {
        range_restore(r);
    } else if (!watched) { /* watched pages are never held, and their bytes say more */
        pages_fill(r->first, r->count, PG_NONE);
        held_uncharge(t->held << PAGE_SHIFT);
    }
    return status;
}

/* With the range locked: what is committed goes, to stay held if that is worth it. */
static enum status decommit_locked(const struct range *r) {
    ahead_close(r);
    struct tally t = held_tally(r->first, r->count);
    if (t.committed == 0) return ST_OK;
    enum status status = held_keep(r, &t) ? ST_OK : empty_locked(r, &t);
    if (status == ST_OK) budget_refund(budget_numbered(r->owner.span.owner), 0, t.committed);
    return status;
}

/* What has a reservation of its own goes with it (region_release), by one call; everything else is emptied first. */
static enum status release_locked(const struct range *r, const struct tally *t) {
    if (r->owner.span.flags & SPAN_SYSTEM) {
        pages_fill(r->first, r->count, PG_NONE);
        held_uncharge(t->held << PAGE_SHIFT);
        return ST_OK;
    }
    return empty_locked(r, t);
}

/* Which kind of memory that is not ours the caller wants to free: Win32 has two answers. */
static enum status foreign_free(uintptr_t address) {
    MEMORY_BASIC_INFORMATION info;
    if (space_in_region(address) || os_query_foreign(address, &info) != ST_OK) return ST_NOT_OURS;
    return info.Type == MEM_IMAGE || info.Type == MEM_MAPPED ? ST_FOREIGN_VIEW : ST_NOT_OURS;
}

static enum status free_release(uintptr_t address) {
    struct range r;
    do {
        if (!space_find(address, &r.owner)) return foreign_free(address);
        if (r.owner.span.kind != SPAN_VM) return ST_NOT_OURS;
        r.first = granule_page(r.owner.head);
        r.count = r.owner.span.count_pages;
        if (page_of(address).n != r.first.n) return ST_BAD_ADDRESS;
    } while (!range_lock(&r));
    ahead_close(&r);
    struct tally t = held_tally(r.first, r.count);
    bool keep = keep_prepare(&r, &t);
    enum status status = keep ? ST_OK : release_locked(&r, &t);
    if (status == ST_OK) HM_CHECK(space_retract(&r.owner)); /* nobody else can: the pages are locked */
    range_unlock(&r);
    if (status != ST_OK) return status;
    budget_refund(budget_numbered(r.owner.span.owner), r.count, t.committed);
    struct run run = {r.owner.head, r.count, r.owner.span.flags & SPAN_SYSTEM};
    if (keep) {
        keep_store(run.first, run.count_pages);
    } else {
        region_release(&run);
    }
    return ST_OK;
}

static enum status free_decommit(uintptr_t address, size_t size) {
    struct range r;
    do {
        if (!space_find(address, &r.owner)) return foreign_free(address);
        if (r.owner.span.kind != SPAN_VM) return ST_NOT_OURS;
        if (size == 0) {
            r.first = granule_page(r.owner.head);
            r.count = r.owner.span.count_pages;
            if (page_of(address).n != r.first.n) return ST_BAD_ADDRESS;
        } else {
            struct found owner = r.owner;
            r = range_of(address, size);
            r.owner = owner;
            if (!range_inside(&r, &owner)) return ST_BAD_ARGUMENT;
        }
        if (r.owner.span.flags & (SPAN_LARGE_PAGES | SPAN_PHYSICAL)) return ST_BAD_ARGUMENT;
    } while (!range_lock(&r));
    enum status status = decommit_locked(&r);
    range_unlock(&r);
    return status;
}

__attribute__((noinline)) static enum status free_any(uintptr_t address, size_t size, DWORD type) {
    if (type != MEM_RELEASE && type != MEM_DECOMMIT) return ST_BAD_ARGUMENT;
    if (type == MEM_RELEASE && size != 0) return ST_BAD_ARGUMENT;
    if (!range_sane(address, size)) return ST_BAD_ARGUMENT;
    return type == MEM_RELEASE ? free_release(address) : free_decommit(address, size);
}

enum status vm_free(uintptr_t address, size_t size, DWORD type) {
    if (type == MEM_RELEASE && size == 0 && spans_leave(address)) return ST_OK;
    return free_any(address, size, type);
}
