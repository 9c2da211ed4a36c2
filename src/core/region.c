/*
 * region.c - claims of granule runs: from regions first, from the system where no region can.
 *
 * A region is made when no region has room: reserved, given its slot of tables, listed, and marked as a region there.
 * Two threads that run out at the same time make two regions; address space is plentiful and nobody waits for the other. Where it
 * is bounded, the one that comes too late gives its own back and looks into the other's.
 *
 * Search order. Regions are tried in the order in which they were made, so the first ones fill up and the last ones stay empty.
 * Within one, each thread starts at a home stretch of its own (as LLFree's per-core trees), so that threads do not fight for a
 * word and need no scan from the start. A region remembers the shortest run that it could not serve, and is passed over for such
 * runs until something in it is released; before a new region is made, all are tried once more without that memory.
 *
 * Invariants
 *  1. The granules of a region's run are claimed in the `taken` bitmap before anybody hears of the run, and released there last.
 *  2. Outside regions the system hands out the addresses, and `taken` says nothing.
 */
#include "core/region.h"

#include "core/bitmap.h"
#include "core/budget.h"
#include "core/cache.h"
#include "core/settings.h"
#include "core/steps.h"
#include "os/os.h"

#define REGION_MAX SLOT_COUNT
/* Of the bitmap, so 128 MiB and 8. Heaps' are short, so that the tables of a few threads' first slabs share pages. */
#define HOME_WORDS_PLAIN 32u
#define HOME_WORDS_HEAP 1u

static struct {
    uint64_t base;   /* and its kind when it was made, in the low bits; 0: not made yet */
    uint32_t failed; /* shortest run in granules that was not to be had, 0: none */
} regions[REGION_MAX];
static uint64_t region_count;
static struct setting_bound limit_bytes;

void region_limit_set(uint64_t bytes) { atom_tighten_u64(&limit_bytes.value, bytes); }

uint64_t region_limit(void) { return setting_bound(&limit_bytes, "HOSTMEM_MAX_ADDRESS_SPACE"); }

struct slot *region_slot(size_t n, uintptr_t *base) {
    if (n >= atom_load_acq_u64(&region_count)) return NULL; /* acq: pairs with region_list */
    *base = align_down((uintptr_t)atom_load_rlx_u64(&regions[n].base), SLOT_BYTES); /* rlx: written before it was counted */
    return space_slot(*base);
}

/* Where this thread starts in a region: a stretch of its lower half, by its cache; the upper one can be given back. */
static size_t region_home(enum region_kind kind) {
    size_t words = kind == REGION_HEAP ? HOME_WORDS_HEAP : HOME_WORDS_PLAIN;
    return (size_t)(cache_mine()->home >> CACHE_HOME_SHIFT) % (BITMAP_WORDS(GRANULES_PER_SLOT) / 2 / words) * words;
}

static bool region_promises(size_t n, size_t count) {
    /* rlx: a hint; wrong in one direction it costs a scan, in the other the second pass finds the room. */
    uint32_t failed = atom_load_rlx_u32(&regions[n].failed);
    return failed == 0 || count < failed;
}

/* What is asked of a region. */
struct ask {
    enum region_kind kind;
    size_t count;
    bool high;
};

/* One region, one run. */
static bool region_try(size_t n, const struct ask *ask, struct run *run) {
    uintptr_t base;
    struct slot *slot = region_slot(n, &base);
    /* acq: as in space_region_kind. */
    if (!slot || atom_load_acq_u64(&slot->region) != ask->kind) return false;
    size_t first = ask->high ? bitmap_claim_run_high(slot->taken, GRANULES_PER_SLOT, ask->count)
                             : bitmap_claim_run(slot->taken, GRANULES_PER_SLOT, ask->count, region_home(ask->kind));
    if (first == BITMAP_NONE) {
        atom_store_rlx_u32(&regions[n].failed, (uint32_t)ask->count); /* rlx: a hint */
        return false;
    }
    run->first = granule_of(base + first * GRANULE_BYTES);
    run->flags = 0;
    return true;
}

static bool region_try_all(const struct ask *ask, bool trust_hints, struct run *run) {
    uint64_t total = atom_load_acq_u64(&region_count); /* acq: pairs with region_list */
    if (!ask->high) {
        for (size_t n = 0; n < total && n < REGION_MAX; n++) {
            if ((!trust_hints || region_promises(n, ask->count)) && region_try(n, ask, run)) return true;
        }
        return false;
    }
    /* From the highest region down: pick the highest base below the last one tried. */
    for (uintptr_t below = UINTPTR_MAX;;) {
        uintptr_t best = 0, base;
        size_t best_n = 0;
        for (size_t n = 0; n < total && n < REGION_MAX; n++) {
            if (region_slot(n, &base) && base < below && base > best) best = base, best_n = n;
        }
        if (!best) return false;
        if (region_try(best_n, ask, run)) return true;
        below = best;
    }
}

/* How many more regions there may be beside the first so many. */
static uint64_t region_room(uint64_t count) {
    uint64_t limit = region_limit(), bytes = 0;
    uintptr_t base;
    if (!limit) return REGION_MAX;
    for (size_t n = 0; n < count; n++) {
        struct slot *slot = region_slot(n, &base);
        bytes += SLOT_BYTES - atom_load_acq_u64(&slot->given) * GRANULE_BYTES; /* acq: pairs with region_give */
    }
    return bytes < limit ? (limit - bytes) / SLOT_BYTES : 0;
}

/* Under a limit heaps leave room for a region that anything can come from, and make do with that if need be. */
static bool region_may(const struct ask *ask, uint64_t count) { return region_room(count) >= (ask->kind == REGION_HEAP ? 2 : 1); }

/*
 * Adds a region to the list. Whoever finds one there that is not counted yet counts it, so nobody waits, and the place decides
 * who was too many for the bound. False: this one was.
 */
static bool region_list(uintptr_t base, const struct ask *ask) {
    for (bool mine = false; !mine;) {
        uint64_t n = atom_load_acq_u64(&region_count), seen = 0, kind = REGION_NONE; /* acq: as in region_slot */
        HM_CHECK(n < REGION_MAX); /* there are as many slots, and each becomes a region once */
        if (!region_may(ask, n)) return false;
        mine = atom_cas_acqrel_u64(&regions[n].base, &seen, base | ask->kind);
        if (mine) seen = base | ask->kind;
        /* rel: pairs with space_region_kind. Late, it has a kind already, maybe another (region_returns). */
        atom_cas_acqrel_u64(&space_slot((uintptr_t)seen)->region, &kind, seen % SLOT_BYTES);
        atom_cas_acqrel_u64(&region_count, &n, n + 1); /* rel: pairs with region_slot */
    }
    return true;
}

static enum status region_make(const struct ask *ask) {
    bool may = region_may(ask, atom_load_acq_u64(&region_count)); /* acq: as in region_slot */
    uintptr_t base;
    enum status status = ST_NO_ADDRESS_SPACE;
    if (may) status = os_reserve(0, SLOT_BYTES, SLOT_BYTES, ask->high ? OS_TOP_DOWN : OS_PLAIN, PG_READWRITE, &base);
    if (status == ST_OK) {
        struct slot *slot = space_slot_make(base);
        if (ask->kind == REGION_HEAP) steps_reserved(base);
        if (slot && region_returns(slot, ask->kind)) return ST_OK;
        may = slot && region_list(base, ask);
        if (may) return ST_OK;
        os_release(base, SLOT_BYTES);
        status = slot ? ST_NO_ADDRESS_SPACE : ST_NO_MEMORY;
    }
    if (!may && status == ST_NO_ADDRESS_SPACE) budget_tell();
    return status;
}

/* From a region of the kind, one that is there or a new one. */
static enum status regions_claim(const struct ask *ask, struct run *run) {
    if (region_try_all(ask, true, run) || region_try_all(ask, false, run)) return ST_OK;
    for (;;) {
        enum status status = region_make(ask);
        /* Others may have filled the new region before we look: then make another. Or made one when we were not to any more. */
        if (region_try_all(ask, false, run)) return ST_OK;
        if (status != ST_OK) return status;
    }
}

enum status region_claim(uint64_t count_pages, bool high, struct run *run) {
    struct ask ask = {REGION_PLAIN, granules_for_pages(count_pages), high};
    run->count_pages = count_pages;
    enum status status = ask.count > GRANULES_PER_SLOT ? ST_OK : regions_claim(&ask, run);
    if (status == ST_OK && ask.count <= GRANULES_PER_SLOT) return ST_OK;
    if (status != ST_OK && region_limit()) return status;
    /* The system has no room for a whole region; it may have some for this run. */
    return region_claim_system(0, count_pages, high ? OS_TOP_DOWN : OS_PLAIN, PG_READWRITE, run);
}

static enum status system_claim(uintptr_t address, uint64_t count_pages, size_t align, unsigned needs, uint8_t state,
                                struct run *run) {
    size_t size = (size_t)count_pages << PAGE_SHIFT;
    uintptr_t start;
    enum status status = os_reserve(address, size, align, needs, state, &start);
    if (status != ST_OK) return status;
    /* Tables first: afterwards nothing can fail half-way. */
    for (uintptr_t at = start; at < start + size; at = align_down(at, SLOT_BYTES) + SLOT_BYTES) {
        if (!space_slot_make(at)) {
            os_release(start, size);
            return ST_NO_MEMORY;
        }
    }
    *run = (struct run){granule_of(start), count_pages, SPAN_SYSTEM};
    return ST_OK;
}

enum status region_claim_system(uintptr_t address, uint64_t count_pages, unsigned needs, uint8_t state, struct run *run) {
    return system_claim(address, count_pages, GRANULE_BYTES, needs, state, run);
}

/* Gives back what lies before and behind the aligned part of a run of a region that was claimed too long. */
static void run_cut(struct run *run, uint64_t count_pages, size_t align) {
    size_t count = granules_for_pages(count_pages), spare = granules_for_pages(run->count_pages) - count;
    uintptr_t start = granule_address(run->first), aligned = align_up(start, align);
    size_t before = (aligned - start) / GRANULE_BYTES;
    struct run head = {run->first, (uint64_t)before * PAGES_PER_GRANULE, 0};
    struct run tail = {granule_of(aligned + count * GRANULE_BYTES), (uint64_t)(spare - before) * PAGES_PER_GRANULE, 0};
    if (before > 0) region_release(&head);
    if (before < spare) region_release(&tail);
    *run = (struct run){granule_of(aligned), count_pages, 0};
}

/* In granules: enough for a run of any granule's start to have an aligned part of that length. */
static size_t count_for_align(uint64_t count_pages, size_t align) {
    return granules_for_pages(count_pages) + (align > GRANULE_BYTES ? align / GRANULE_BYTES - 1 : 0);
}

enum status region_claim_aligned(uint64_t count_pages, size_t align, struct run *run) {
    if (align <= GRANULE_BYTES) return region_claim(count_pages, false, run);
    size_t count = count_for_align(count_pages, align);
    if (count > GRANULES_PER_SLOT) return system_claim(0, count_pages, align, OS_PLAIN, PG_READWRITE, run);
    enum status status = region_claim((uint64_t)count * PAGES_PER_GRANULE, false, run);
    if (status != ST_OK) return status;
    if (run->flags & SPAN_SYSTEM) {
        region_release(run);
        return system_claim(0, count_pages, align, OS_PLAIN, PG_READWRITE, run);
    }
    run_cut(run, count_pages, align);
    return ST_OK;
}

bool run_is_open(const struct run *run) {
    return !(run->flags & SPAN_SYSTEM) && space_region_kind(granule_address(run->first)) == REGION_HEAP;
}

/* Makes a run of a heap region usable, or gives it back. */
static enum status run_open(const struct run *run) {
    enum status status = steps_open(run);
    if (status != ST_OK) region_release(run);
    return status;
}

enum status region_claim_open(uint64_t count_pages, size_t align, struct run *run) {
    struct ask ask = {REGION_HEAP, count_for_align(count_pages, align), false};
    bool fits = os_commit_is_lazy() && ask.count <= GRANULES_PER_SLOT;
    if (!fits || regions_claim(&ask, run) != ST_OK) return region_claim_aligned(count_pages, align, run);
    run->count_pages = (uint64_t)ask.count * PAGES_PER_GRANULE;
    run_cut(run, count_pages, align);
    return run_open(run);
}

/* A run at this address, of the region that is there. */
static enum status region_claim_here(uintptr_t address, uint64_t count_pages, struct run *run) {
    size_t count = granules_for_pages(count_pages);
    struct granule first = granule_of(address);
    size_t within = first.n % GRANULES_PER_SLOT;
    if (within + count > GRANULES_PER_SLOT) return ST_BAD_ADDRESS; /* nothing is known about what follows the region */
    if (!bitmap_claim(space_slot(address)->taken, within, count)) return ST_BAD_ADDRESS;
    *run = (struct run){first, count_pages, 0};
    return ST_OK;
}

enum status region_claim_more(uintptr_t address, uint64_t count_pages, struct run *run) {
    enum status status = region_claim_here(address, count_pages, run);
    return status == ST_OK && run_is_open(run) ? run_open(run) : status;
}

enum status region_claim_at(uintptr_t address, uint64_t count_pages, struct run *run) {
    enum region_kind kind = space_region_kind(address);
    if (kind == REGION_NONE) return region_claim_system(address, count_pages, OS_PLAIN, PG_READWRITE, run);
    enum status status = region_claim_here(address, count_pages, run);
    if (status != ST_OK || kind != REGION_HEAP) return status;
    status = steps_except(run);
    if (status != ST_OK) region_release(run);
    return status;
}

/* Forgets that runs of some length were not to be had in this region. */
static void region_reconsider(uintptr_t address) {
    uint64_t total = atom_load_acq_u64(&region_count); /* acq: as in region_slot */
    for (size_t n = 0; n < total && n < REGION_MAX; n++) {
        if (atom_load_rlx_u64(&regions[n].base) >> SLOT_SHIFT != address >> SLOT_SHIFT) continue; /* rlx: written once */
        /* rlx: a hint; written only where it changes, so that releases do not fight for the line. */
        if (atom_load_rlx_u32(&regions[n].failed)) atom_store_rlx_u32(&regions[n].failed, 0);
        return;
    }
}

void region_release(const struct run *run) {
    uintptr_t address = granule_address(run->first);
    size_t count = granules_for_pages(run->count_pages);
    if (run->flags & SPAN_SYSTEM) {
        size_t size = (size_t)run->count_pages << PAGE_SHIFT;
        if (os_release(address, size) != ST_OK) os_decommit(address, size); /* lost, but not its memory */
        return;
    }
    HM_CHECK(bitmap_release(space_slot(address)->taken, run->first.n % GRANULES_PER_SLOT, count));
    region_reconsider(address);
}

bool region_crowded(void) {
    struct region_totals totals;
    if (region_limit() < SLOT_BYTES) return false;
    region_totals(&totals);
    uint64_t most = totals.granules + region_room(totals.count_regions) * GRANULES_PER_SLOT;
    return totals.granules_taken >= most - most / 16;
}

void region_totals(struct region_totals *totals) {
    *totals = (struct region_totals){0};
    uintptr_t base;
    uint64_t total = atom_load_acq_u64(&region_count); /* acq: as in region_slot */
    for (size_t n = 0; n < total; n++) {
        struct slot *slot = region_slot(n, &base);
        if (!slot) continue;
        size_t given = (size_t)atom_load_acq_u64(&slot->given); /* acq: pairs with region_give */
        totals->count_regions++;
        totals->granules += GRANULES_PER_SLOT - given;
        totals->granules_taken += bitmap_count(slot->taken, GRANULES_PER_SLOT) - given;
    }
}
