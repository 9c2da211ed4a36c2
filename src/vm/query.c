/*
 * query.c - VirtualQuery from the tables.
 *
 * Reads, and never writes, locks or allocates: it may run while every other thread is stopped in the middle of a call. What it
 * answers about memory that other threads are changing is true of some moment during the query, page by page.
 */
#include "vm/query.h"

#include <string.h>

#include "core/space.h"
#include "os/os.h"
#include "vm/grown.h"
#include "vm/state.h"

/* How many pages from `first` on are reserved: of a large reservation most sheets were never used, and need no look at each. */
static uint64_t run_reserved(struct page first, uint64_t limit) {
    for (uint64_t run = 0; run < limit;) {
        struct page next = {first.n + run};
        uint64_t unused = space_unused(next, limit - run), room = PAGES_PER_SHEET - next.n % PAGES_PER_SHEET;
        run += unused;
        if (unused) continue;
        if (state_now(next) != PG_NONE) return run;
        run += pages_run(next, limit - run < room ? limit - run : room, PG_STATE_MASK);
    }
    return limit;
}

/* How many pages from `first` on look alike to a caller. Guards are looked at one by one, since the system may disarm them. */
static uint64_t run_alike(struct page first, uint64_t limit) {
    uint8_t state = state_now(first);
    uint64_t run = 1;
    if (state == PG_NONE && limit > PAGES_PER_SHEET) return run_reserved(first, limit);
    while (run < limit) {
        struct page next = {first.n + run};
        if (state_now(next) != state) break;
        bool guarded = state != PG_NONE && pages_state(next) & PG_GUARD;
        run += guarded ? 1 : pages_run(next, limit - run, PG_STATE_MASK);
    }
    return run;
}

/* The same, and what the first one is, where the system may commit pages by itself. */
static uint64_t run_grown(struct page first, uint64_t limit, uint8_t *state) {
    uint64_t run = 0;
    while (run < limit) {
        struct page next = {first.n + run};
        uint8_t now = state_now(next);
        uint64_t alike = pages_state(next) & PG_GUARD ? 1 : pages_run(next, limit - run, PG_STATE_MASK);
        if (now == PG_NONE) now = grown_state(next, limit - run, &alike);
        if (run && now != *state) break;
        *state = now;
        run += alike;
    }
    return run;
}

static void describe_span(struct page page, const struct found *f, MEMORY_BASIC_INFORMATION *info) {
    uint64_t limit = span_end_page(f) - page.n;
    uint8_t state = state_now(page);
    uint64_t run = grown_can(f) ? run_grown(page, limit, &state) : run_alike(page, limit);
    info->AllocationBase = (void *)granule_address(f->head);
    info->AllocationProtect = prot_to_win32(f->span.state);
    info->RegionSize = (size_t)run << PAGE_SHIFT;
    info->State = prot_committed(state) ? MEM_COMMIT : MEM_RESERVE;
    info->Protect = prot_to_win32(state);
    info->Type = MEM_PRIVATE;
}

/* A free page of a region: free up to the next granule that is taken, or to the region's end. */
static void describe_free(uintptr_t page, MEMORY_BASIC_INFORMATION *info) {
    uint32_t granule = granule_of(page).n;
    uint32_t region_end = (uint32_t)((granule / GRANULES_PER_SLOT + 1) * GRANULES_PER_SLOT);
    region_end -= (uint32_t)atom_load_acq_u64(&space_slot(page)->given); /* acq: pairs with region_give */
    if (region_end <= granule) region_end = granule + 1; /* given back since */
    uint32_t end = space_next_start(granule + 1, region_end);
    info->RegionSize = granule_address((struct granule){end}) - page;
    info->State = MEM_FREE;
    info->Protect = PAGE_NOACCESS;
}

/*
 * The kernel may see one mapping where the caller's memory meets a region, or a reservation of the engine's that has the same
 * access: the engine's part of it is not the caller's.
 */
static void clip_foreign(uintptr_t page, MEMORY_BASIC_INFORMATION *info) {
    uintptr_t base = (uintptr_t)info->AllocationBase;
    info->RegionSize = space_next_ours(page + PAGE_BYTES, page + info->RegionSize) - page;
    if (!base) return;
    for (uintptr_t ours; (ours = space_next_ours(base, page)) < page;) {
        uintptr_t end = space_ours_end(ours);
        if (end <= ours || end > page) break; /* it has come or gone just now */
        base = end;
    }
    info->AllocationBase = (void *)base;
}

enum status vm_query(uintptr_t address, MEMORY_BASIC_INFORMATION *info, size_t length, size_t *written) {
    *written = 0;
    if (length < sizeof *info) return ST_BAD_LENGTH;
    if (address >= SYSTEM_END) return ST_BAD_ARGUMENT;
    if (!info) return ST_NOT_WRITABLE;
    uintptr_t page = align_down(address, PAGE_BYTES);
    struct found found;
    memset(info, 0, sizeof *info);
    info->BaseAddress = (void *)page;
    if (space_find(page, &found)) {
        describe_span(page_of(page), &found, info);
    } else if (space_in_region(page)) {
        describe_free(page, info);
    } else {
        enum status status = os_query_foreign(page, info);
        if (status == ST_OK && page >= ADDRESS_END && info->State == MEM_FREE) status = ST_BAD_ARGUMENT;
        if (status != ST_OK) return status;
        clip_foreign(page, info);
    }
    *written = sizeof *info;
    return ST_OK;
}
