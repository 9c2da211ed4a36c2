/*
 * space.c - the address map: slots of tables, and the spans written in them.
 *
 * States of a granule's span word: 0 (no span starts here) -> packed span (space_publish) -> 0 (space_retract).
 *
 * Invariants
 *  1. A slot's tables, once installed in space_map, stay there and stay readable for the life of the process.
 *  2. A span word is written by the owner of its granules alone (publish), and cleared by exactly one caller (retract, a CAS).
 *  3. Before a span is published, every granule that it covers names its head: in `head`, or in the `cover` of a slot that it
 *     covers whole. Granules of a live span are owned, so nobody writes their heads while it lives.
 *  4. After it is retracted nothing is cleaned up: a stale head names a granule whose span word is 0, or whose span
 *     is another one. space_find checks that the span it reached covers the address, so it never answers with a wrong one:
 *     if it does cover the address, it is the live span of that address (spans that live at the same time do not overlap).
 *
 * Any thread may call any of these at any time; nothing waits.
 */
#include "core/space.h"

#include "core/table.h"

uint64_t space_map[SLOT_COUNT];

struct slot *space_slot_make(uintptr_t address) {
    HM_ASSERT(address >> ADDRESS_BITS == 0);
    return table_once(&space_map[address >> SLOT_SHIFT], sizeof(struct slot), sizeof(struct slot));
}

enum region_kind space_region_kind(uintptr_t address) {
    struct slot *slot = space_slot(address);
    /* acq: pairs with the store in region.c; a slot becomes a region once, for ever. */
    enum region_kind kind = slot ? (enum region_kind)atom_load_acq_u64(&slot->region) : REGION_NONE;
    /* acq: pairs with region_give. */
    bool given = kind && granule_of(address).n % GRANULES_PER_SLOT >= GRANULES_PER_SLOT - atom_load_acq_u64(&slot->given);
    return given ? REGION_NONE : kind;
}

bool space_find(uintptr_t address, struct found *found) {
    struct slot *slot = space_slot(address);
    if (!slot) return false;
    struct granule here = granule_of(address);
    /* acq: pairs with the release stores in space_prepare; either way the head is checked below. */
    uint64_t cover = atom_load_acq_u64(&slot->cover);
    uint32_t head = cover ? (uint32_t)(cover - 1) : atom_load_acq_u32(&slot->head[here.n % GRANULES_PER_SLOT]);
    for (int attempt = 0; attempt < 2; attempt++) {
        uint64_t *word = space_word((struct granule){head});
        /* acq: pairs with space_publish; the span's page bytes and heads are then visible. */
        uint64_t packed = word ? atom_load_acq_u64(word) : 0;
        struct span span = span_unpack(packed);
        uint64_t page = page_of(address).n;
        uint64_t first = granule_page((struct granule){head}).n;
        if (packed && page >= first && page < first + span.count_pages) {
            *found = (struct found){.head = {head}, .span = span, .word = packed};
            return true;
        }
        /* A cover that is out of date hides the granule's own head: look at that one too. */
        if (!cover) return false;
        head = atom_load_acq_u32(&slot->head[here.n % GRANULES_PER_SLOT]);
    }
    return false;
}

/* Writes the head of each granule from `first` on, all in one slot, or the slot's cover if it is all of the slot. */
static void heads_write(struct slot *slot, uint32_t first, uint32_t count, uint32_t head) {
    if (count == GRANULES_PER_SLOT) {
        atom_store_rel_u64(&slot->cover, (uint64_t)head + 1); /* rel: pairs with space_find */
        return;
    }
    /* rel: a span that covered the whole slot is gone, or this part of the slot could not be claimed. */
    if (atom_load_rlx_u64(&slot->cover)) atom_store_rel_u64(&slot->cover, 0);
    for (uint32_t i = 0; i < count; i++) {
        /* rel: pairs with space_find, which checks what it reads, so the order among them is free. */
        atom_store_rel_u32(&slot->head[(first + i) % GRANULES_PER_SLOT], head);
    }
}

enum status space_extend(struct granule head, uint64_t held_pages, uint64_t count_pages) {
    uint64_t end = head.n + (uint64_t)granules_for_pages(count_pages);
    for (uint64_t g = head.n + (uint64_t)granules_for_pages(held_pages); g < end;) {
        struct slot *slot = space_slot_make(granule_address((struct granule){(uint32_t)g}));
        if (!slot) return ST_NO_MEMORY;
        uint64_t slot_end = (g / GRANULES_PER_SLOT + 1) * GRANULES_PER_SLOT;
        uint64_t stop = end < slot_end ? end : slot_end;
        heads_write(slot, (uint32_t)g, (uint32_t)(stop - g), head.n);
        g = stop;
    }
    return ST_OK;
}

enum status space_prepare(struct granule head, uint64_t count_pages) { return space_extend(head, 0, count_pages); }

void space_publish(struct granule head, struct span span) {
    HM_ASSERT(span.count_pages > 0 && span.count_pages >> 36 == 0);
    /* rel: pairs with space_find; page bytes and heads were written before. */
    atom_store_rel_u64(space_word(head), span_pack(span));
}

bool space_retract(const struct found *found) {
    uint64_t seen = found->word;
    /* acqrel: the one winner sees everything that was done in the span, and what it did is seen by the next owner, who
     * acquires the granules in the bitmap after the winner has released them there. */
    return atom_cas_acqrel_u64(space_word(found->head), &seen, 0);
}

uint32_t space_next_start(uint32_t from, uint32_t limit) {
    for (uint32_t g = from; g < limit;) {
        struct slot *slot = space_slot(granule_address((struct granule){g}));
        uint32_t slot_end = (uint32_t)((g / GRANULES_PER_SLOT + 1) * GRANULES_PER_SLOT);
        uint32_t stop = limit < slot_end ? limit : slot_end;
        if (!slot) {
            g = stop;
            continue;
        }
        for (; g < stop; g++) {
            uint32_t i = g % GRANULES_PER_SLOT;
            if (i % 64 == 0 && stop - g >= 64) {
                /* rlx: a free range is a snapshot; a granule taken meanwhile was free when the query began. */
                if (atom_load_rlx_u64(&slot->taken[i / 64]) == 0) {
                    g += 63;
                    continue;
                }
            }
            if (atom_load_rlx_u64(&slot->span[i])) return g; /* rlx: the same */
        }
    }
    return limit;
}

/* Visits the spans that start in one slot. */
static bool slot_each(size_t n, struct slot *slot, bool (*visit)(const struct found *, void *), void *context) {
    for (size_t i = 0; i < GRANULES_PER_SLOT; i++) {
        /* rlx: the walk is a snapshot of a moving picture; skipping what nothing has ever claimed keeps it short. */
        if (i % 64 == 0 && atom_load_rlx_u64(&slot->taken[i / 64]) == 0) {
            i += 63;
            continue;
        }
        uint64_t word = atom_load_acq_u64(&slot->span[i]); /* acq: pairs with space_publish */
        if (!word) continue;
        struct found found = {.head = {(uint32_t)(n * GRANULES_PER_SLOT + i)}, .span = span_unpack(word), .word = word};
        if (!visit(&found, context)) return false;
    }
    return true;
}

void space_each(bool (*visit)(const struct found *found, void *context), void *context) {
    for (size_t n = 0; n < SLOT_COUNT; n++) {
        struct slot *slot = space_slot((uintptr_t)n << SLOT_SHIFT);
        if (slot && !slot_each(n, slot, visit, context)) return;
    }
}
