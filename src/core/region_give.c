/*
 * region_give.c - address space back to the system, when somebody else needs it more.
 *
 * What is given is the end of a region: its granules are claimed in the region's bitmap, for ever, then counted in the slot's
 * `given`, then unmapped. From the second step on the addresses are the system's: space_in_region says no, and runs that the
 * system places there leave the bits alone (region.c). A claim that comes late finds the bits set, as with any other run.
 *
 * Regions of heaps are made read-write in steps that reach past what is taken (steps.c), so they give whole steps. A step is
 * opened by somebody who has a run in it; where all of its granules are claimed, nobody is opening it, or ever will.
 *
 * A region that was given as a whole may be reserved again at the same place: then it is a region once more, under its old
 * number, and its steps are closed (region_returns).
 *
 * Any thread; nothing waits.
 */
#include "core/bitmap.h"
#include "core/region.h"
#include "os/os.h"

#define GRANULES_PER_STEP (STEP_BYTES / GRANULE_BYTES)
#define PART_LEAST 1024u /* a free end of which a part is given: what is left of a shorter one stays for the next requests */

/* In how many granules at once the region gives: 0 for what is no region any more. */
static size_t given_at_once(const struct slot *slot) {
    switch (atom_load_acq_u64(&slot->region)) { /* acq: pairs with region_list */
    case REGION_PLAIN: return 1;
    case REGION_HEAP: return GRANULES_PER_STEP;
    default: return 0;
    }
}

/* How many granules at the end of what is left of the region are free. */
static size_t tail_free(const struct slot *slot) {
    size_t end = GRANULES_PER_SLOT - (size_t)atom_load_acq_u64(&slot->given); /* acq: pairs with tail_give */
    size_t first = end;
    while (first > 0) {
        bool word_free = first % 64 == 0 && atom_load_rlx_u64(&slot->taken[first / 64 - 1]) == 0; /* rlx: a look */
        if (!word_free && bitmap_taken(slot->taken, first - 1)) break;
        first -= word_free ? 64 : 1;
    }
    return end - first;
}

/* Gives the last `count` granules of what is left. False: something of it is taken, or the system does not take it. */
static bool tail_give(struct slot *slot, uintptr_t base, size_t count) {
    uint64_t given = atom_load_acq_u64(&slot->given); /* acq: as above */
    if (count > GRANULES_PER_SLOT - given) return false;
    size_t first = GRANULES_PER_SLOT - (size_t)given - count;
    if (!bitmap_claim(slot->taken, first, count)) return false;
    /* Nobody else gives from this region now: he would have to claim granules in front of these, and looks at `given` first. */
    if (!atom_cas_acqrel_u64(&slot->given, &given, given + count)) {
        HM_CHECK(bitmap_release(slot->taken, first, count));
        return false;
    }
    uintptr_t start = base + first * GRANULE_BYTES;
    bool whole = count == GRANULES_PER_SLOT;
    if ((whole ? os_release(start, SLOT_BYTES) : os_release_part(start, count * GRANULE_BYTES)) == ST_OK) return true;
    /* If somebody has given what lies in front meanwhile, this part is lost to both; else it is as before. */
    uint64_t seen = given + count;
    if (atom_cas_acqrel_u64(&slot->given, &seen, given)) HM_CHECK(bitmap_release(slot->taken, first, count));
    return false;
}

/* As many granules as are wanted, or a few more, so that what is left of the region ends where a step does. */
static size_t rounded(const struct slot *slot, size_t wanted) {
    size_t end = GRANULES_PER_SLOT - (size_t)atom_load_acq_u64(&slot->given); /* acq: as above */
    return wanted < end ? end - align_down(end - wanted, given_at_once(slot)) : end;
}

/* Of the region around the address: all from there on. */
static uint64_t give_from(uintptr_t address) {
    struct slot *slot = space_slot(address);
    size_t first = align_down(granule_of(address).n % GRANULES_PER_SLOT, given_at_once(slot));
    size_t count = GRANULES_PER_SLOT - (size_t)atom_load_acq_u64(&slot->given) - first; /* acq: as above */
    return tail_give(slot, align_down(address, SLOT_BYTES), count) ? (uint64_t)count * GRANULE_BYTES : 0;
}

/* The region with the longest free end, at least as long as what it would give for `least`. *count gets what it can give. */
static struct slot *longest_tail(size_t least, uintptr_t *base, size_t *count) {
    struct slot *best = NULL;
    struct region_totals totals;
    region_totals(&totals);
    for (size_t n = 0; n < totals.count_regions; n++) {
        uintptr_t at;
        struct slot *slot = region_slot(n, &at);
        size_t at_once = slot ? given_at_once(slot) : 0, tail = at_once ? tail_free(slot) / at_once * at_once : 0;
        if (tail == 0 || tail < rounded(slot, least) || (best && tail <= *count)) continue;
        best = slot, *base = at, *count = tail;
    }
    return best;
}

uint64_t region_give(uintptr_t address, uint64_t size_bytes) {
    enum region_kind kind = address ? space_region_kind(address) : REGION_NONE;
    if (kind != REGION_NONE) return give_from(address);
    if (size_bytes > SLOT_BYTES) return 0;
    size_t wanted = (size_t)((size_bytes + GRANULE_BYTES - 1) / GRANULE_BYTES), tail = 0;
    bool part = !wanted && region_limit();
    uintptr_t base;
    /* Others may claim the end of it under our eyes: then what is longest now is tried. */
    for (int attempt = 0; attempt < 4; attempt++) {
        struct slot *slot = longest_tail(wanted ? wanted : part ? PART_LEAST : 1, &base, &tail);
        if (!slot) return 0;
        size_t count = rounded(slot, wanted ? wanted : part ? tail / 4 : tail);
        if (tail_give(slot, base, count)) return (uint64_t)count * GRANULE_BYTES;
        /* All of it, where the system takes nothing less. */
        if (tail == GRANULES_PER_SLOT && tail_give(slot, base, tail)) return (uint64_t)tail * GRANULE_BYTES;
    }
    return 0;
}

bool region_returns(struct slot *slot, enum region_kind kind) {
    if (atom_load_acq_u64(&slot->region) == REGION_NONE) return false; /* acq: pairs with region_list */
    for (size_t i = 0; i < STEPS_PER_SLOT; i++) atom_store_rel_u8(&slot->step[i], 0); /* rel: as the bits below */
    atom_store_rel_u64(&slot->region, kind); /* rel: pairs with space_region_kind */
    /* The whole slot has just been reserved, so all of it had been given, and nobody else has anything in it. */
    atom_store_rel_u64(&slot->given, 0); /* rel: pairs with space_region_kind */
    HM_CHECK(bitmap_release(slot->taken, 0, GRANULES_PER_SLOT));
    return true;
}
