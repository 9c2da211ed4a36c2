/*
 * region.h - granules by the run, from regions that are reserved as needed. Layer: core.
 *
 * A region is a 4 GiB, 4 GiB-aligned reservation and so fills one slot of the address map; its granules are claimed in the
 * slot's `taken` bitmap. Where the system commits lazily, heaps have regions of their own. Regions are given back only where
 * address space itself is short (region_give). A run that no region can serve (longer than a region, at an address outside
 * them, or when no region can be made) is reserved from the system for itself.
 */
#ifndef HM_REGION_H
#define HM_REGION_H

#include "core/space.h"

/* A run of granules that the caller owns and nobody else sees yet. */
struct run {
    struct granule first;
    uint64_t count_pages; /* in use; the rest of the last granule is waste */
    unsigned flags;       /* SPAN_SYSTEM where it came from the system */
};

/* Any place; high: the highest. ST_NO_ADDRESS_SPACE, ST_NO_MEMORY (for tables). */
enum status region_claim(uint64_t count_pages, bool high, struct run *run);

/* Any place at a multiple of align, a power of two. */
enum status region_claim_aligned(uint64_t count_pages, size_t align, struct run *run);

/* Exactly here (a granule's address). ST_BAD_ADDRESS if anything is in the way. */
enum status region_claim_at(uintptr_t address, uint64_t count_pages, struct run *run);

/*
 * Any place for read-write memory of heaps. If the run comes from a heap region (run_is_open) all pages of its granules are
 * committed and zero, and whoever gives it back drops their content (os_discard) and leaves them committed. Else it is as any
 * other run.
 */
enum status region_claim_open(uint64_t count_pages, size_t align, struct run *run);
bool run_is_open(const struct run *run);

/*
 * What is to lengthen a heap's run of a region: exactly here, of that region, and open if it is a heap region. Never from the
 * system, even where the region has given its end back. ST_BAD_ADDRESS; what region_claim_open answers.
 */
enum status region_claim_more(uintptr_t address, uint64_t count_pages, struct run *run);

/* From the system for itself, with needs of enum os_need; address 0 for any place. */
enum status region_claim_system(uintptr_t address, uint64_t count_pages, unsigned needs, uint8_t state, struct run *run);

/*
 * Gives a run back: its pages have been decommitted (or are as region_claim_open says), its bytes are 0, its span is
 * retracted. For one from the system it is enough that the span is retracted. Where the system refuses to take a reservation
 * back (it is out of mappings), the run is lost to both.
 */
void region_release(const struct run *run);

/* The bound on all regions' address space, 0 for none; the tightest ever set holds. What is given back does not count. */
void region_limit_set(uint64_t limit_bytes);
uint64_t region_limit(void);

/*
 * Gives address space back to the system: the free end of a region, at least size_bytes of it and granule by granule, or for 0
 * as much as lies together anywhere; under a bound a quarter of that, if it is not little, so that there is room for the next
 * requests. For an address in a region, all from there on. Heaps' regions give whole steps (steps.h);
 * what the system takes back as a whole only (Windows) is given as a whole. Returns the bytes; 0: there is nothing of that kind.
 */
uint64_t region_give(uintptr_t address, uint64_t size_bytes);

/* For region_make: the slot was a region that has been given back as a whole, and is one again, of that kind. */
bool region_returns(struct slot *slot, enum region_kind kind);

/* Does so much of that bound lie in runs that there will soon be no room? */
bool region_crowded(void);

struct region_totals {
    size_t count_regions; /* made, for life */
    size_t granules;      /* of them that are not given back */
    size_t granules_taken;
};
void region_totals(struct region_totals *totals);

/* The tables of the n-th region, NULL past the last. For tests and statistics. */
struct slot *region_slot(size_t n, uintptr_t *base);

#endif
