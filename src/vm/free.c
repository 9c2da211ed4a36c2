/*
 * free.c - VirtualFree: decommit of pages, release of an allocation.
 *
 * Both lock their pages. A release locks all pages of the allocation, so every call that was at work on one of them has finished
 * and every later one finds the span gone. The order of a release: content and access go (the only step that the system can
 * refuse, and then nothing has changed), page bytes to 0, span retracted, pages let go, granules back to the region. A
 * reservation of its own goes back to the system, content and all, before its pages are let go. What may be wanted again soon is
 * held (held.h), or kept whole (keep.h).
 */
#include "core/budget.h"
#include "core/region.h"
#include "os/os.h"
#include "vm/ahead.h"
#include "vm/grown.h"
#include "vm/keep.h"
#include "vm/range.h"
#include "vm/spans.h"
#include "vm/vm.h"
#include "vm/written.h"

/* With the range locked: takes content and access from all of it, and gives back what was held. */
static enum status empty_locked(const struct range *r, const struct held_counts *counts) {
    bool watched = written_is_known(&r->owner);
    enum status status = watched ? written_decommit(r) : os_decommit(range_address(r), range_bytes(r));
    if (status != ST_OK) {
        range_restore(r);
    } else if (!watched) { /* watched pages are never held, and their bytes say more */
        pages_fill(r->first, r->count, PG_NONE);
        held_uncharge(counts->held << PAGE_SHIFT);
    }
    return status;
}

/* With the range locked: what is committed goes, to stay held if that is worth it. */
static enum status decommit_locked(const struct range *r) {
    ahead_close(r);
    struct held_counts counts = held_count(r->first, r->count);
    if (counts.committed == 0 && !grown_can(&r->owner)) return ST_OK;
    enum status status = held_keep(r, &counts) ? ST_OK : empty_locked(r, &counts);
    if (status == ST_OK) budget_refund(budget_numbered(r->owner.span.owner), 0, counts.committed);
    return status;
}

/*
 * With the range locked: gives a reservation of its own back to the system, which may refuse. The bytes and the span go first, as
 * the addresses may be another's at once, and are put back if it does. Pages of more than one kind could not be: those are
 * emptied before. (Large pages cannot be; Windows, which has them, refuses nothing.)
 */
static enum status release_system_locked(const struct range *r, struct held_counts *counts) {
    uint8_t all = pages_state(r->first);
    bool alike = pages_run(r->first, r->count, 0xff) == r->count && !prot_held(all);
    if (!alike && !(r->owner.span.flags & SPAN_LARGE_PAGES)) {
        if (os_decommit(range_address(r), range_bytes(r)) != ST_OK) {
            range_restore(r);
            return ST_NO_MEMORY;
        }
        held_uncharge(counts->held << PAGE_SHIFT);
        budget_refund(budget_numbered(r->owner.span.owner), 0, counts->committed);
        *counts = (struct held_counts){0, 0};
        all = PG_NONE;
    }
    pages_fill(r->first, r->count, PG_NONE);
    HM_CHECK(space_retract(&r->owner)); /* nobody else can: the pages are locked */
    enum status status = os_release(range_address(r), range_bytes(r));
    if (status == ST_OK) return ST_OK;
    pages_fill(r->first, r->count, all);
    space_publish(r->owner.head, r->owner.span);
    return status;
}

/* With the range locked: the span is gone afterwards. What comes from a region is emptied, to be given back. */
static enum status release_locked(const struct range *r, struct held_counts *counts, bool keep) {
    if (r->owner.span.flags & SPAN_SYSTEM) return release_system_locked(r, counts);
    bool any = counts->committed + counts->held != 0 || grown_can(&r->owner);
    enum status status = any && !keep ? empty_locked(r, counts) : ST_OK;
    if (status == ST_OK) HM_CHECK(space_retract(&r->owner)); /* as above */
    return status;
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
    struct held_counts counts = held_count(r.first, r.count);
    bool keep = keep_prepare(&r, &counts);
    enum status status = release_locked(&r, &counts, keep);
    range_unlock(&r);
    if (status != ST_OK) return status;
    budget_refund(budget_numbered(r.owner.span.owner), r.count, counts.committed);
    if (keep) {
        keep_store(r.owner.head, r.count);
    } else if (!(r.owner.span.flags & SPAN_SYSTEM)) {
        region_release(&(struct run){r.owner.head, r.count, 0});
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
