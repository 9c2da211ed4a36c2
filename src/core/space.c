/*
 * space.c - the address map: slots of tables, and the spans written in them.
 *
 * States of a granule's span word: 0 (no span starts here) -> packed span (space_publish) -> 0 (space_retract).
 *
 * Invariants
 *  1. A slot's tables, once installed in space_map, stay there and stay readable for the life of the process.
 *  2. A span word is written by the owner of its granules alone (publish), and cleared by exactly one caller (retract, a CAS).
 *  3. Before a span is published, every granule that it covers names its head: in `head`, or in the `cover` of a sheet that it
 *     covers whole. Granules of a live span are owned, so nobody writes their heads while it lives, and nobody the cover of
 *     a sheet that it covers whole.
 *  4. After it is retracted nothing is cleaned up: a stale head names a granule whose span word is 0, or whose span
 *     is another one. space_find checks that the span it reached covers the address, so it never answers with a wrong one:
 *     if it does cover the address, it is the live span of that address (spans that live at the same time do not overlap).
 *  5. A sheet is marked as used before a span word or a page byte other than 0 is written in it.
 *
 * A large span does not touch the sheets that it covers whole until its pages are committed, and whoever looks at all of a slot
 * passes over the sheets that were never used. New tables are written before they are read, since the system may answer the first
 * read of a page with one fault and the first write with another.
 *
 * Any thread may call any of these at any time; nothing waits.
 */
#include "core/space.h"

#include "core/bitmap.h"
#include "core/table.h"

uint64_t space_map[SLOT_COUNT];

/*
 * Slots' tables come from the system in groups, each twice as long as the one before up to GROUP_MOST, with guard pages around
 * the group: a program that asks for memory all over the address space has a slot for each of its reservations.
 */
#define GROUP_DOUBLINGS 4u
#define GROUP_MOST ((size_t)1 << GROUP_DOUBLINGS)
#define GROUPS (GROUP_DOUBLINGS + SLOT_COUNT / GROUP_MOST)

static struct {
    uint64_t first; /* struct slot *, 0: not made yet */
    uint64_t taken; /* bit: a slot of the group is in use, or about to be */
} groups[GROUPS];
static uint64_t group_now; /* the first that may have one left */

static size_t group_slots(size_t n) { return n < GROUP_DOUBLINGS ? (size_t)1 << n : GROUP_MOST; }

struct slot *space_slot_new(uintptr_t address) {
    HM_ASSERT(address >> ADDRESS_BITS == 0);
    uint64_t *place = &space_map[address >> SLOT_SHIFT];
    size_t n = (size_t)atom_load_rlx_u64(&group_now); /* rlx: a hint; at worst what is left in a group before is not found */
    for (; n < GROUPS; n++) {
        struct slot *first = table_once(&groups[n].first, group_slots(n) * sizeof *first, group_slots(n) * sizeof *first);
        if (!first) break;
        size_t bit;
        do {
            bit = bitmap_next_free(&groups[n].taken, group_slots(n), 0);
        } while (bit < group_slots(n) && !bitmap_claim(&groups[n].taken, bit, 1));
        if (bit == group_slots(n)) continue;
        struct slot *made = first + bit;
        uint64_t seen = 0;
        atom_store_rlx_u64(&group_now, n);   /* rlx: as above */
        atom_store_rlx_u64(&made->given, 0); /* the page's first fault; rlx: nobody else knows it */
        /* rel: publishes empty tables; acq: of the one that is there. */
        if (atom_cas_acqrel_u64(place, &seen, (uint64_t)(uintptr_t)made)) return made;
        HM_CHECK(bitmap_release(&groups[n].taken, bit, 1));
        return (struct slot *)(uintptr_t)seen;
    }
    return table_once(place, sizeof(struct slot), sizeof(struct slot)); /* no room for a group: there may be some for one */
}

void space_each_slot(void (*visit)(struct slot *slot)) {
    for (size_t n = 0; n < GROUPS; n++) {
        struct slot *first = (struct slot *)(uintptr_t)atom_load_acq_u64(&groups[n].first); /* acq: as in table_once */
        if (!first) return;
        for (size_t bit = 0; (bit = bitmap_next_taken(&groups[n].taken, group_slots(n), bit)) < group_slots(n); bit++) {
            visit(first + bit);
        }
    }
}

enum region_kind space_region_kind(uintptr_t address) {
    struct slot *slot = space_slot(address);
    /* acq: pairs with region_list and region_returns; a slot that became a region stays one, maybe of another kind. */
    enum region_kind kind = slot ? (enum region_kind)atom_load_acq_u64(&slot->region) : REGION_NONE;
    /* acq: pairs with tail_give and region_returns. */
    bool given = kind && granule_of(address).n % GRANULES_PER_SLOT >= GRANULES_PER_SLOT - atom_load_acq_u64(&slot->given);
    return given ? REGION_NONE : kind;
}

/* Does a span start at `head` that covers the address? */
static inline __attribute__((always_inline)) bool head_covers(uint32_t head, uintptr_t address, struct found *found) {
    uint64_t *word = space_word((struct granule){head});
    /* acq: pairs with space_publish; the span's page bytes and heads are then visible. */
    uint64_t packed = word ? atom_load_acq_u64(word) : 0;
    struct span span = span_unpack(packed);
    if (page_of(address).n - granule_page((struct granule){head}).n >= span.count_pages) return false; /* 0: there is none */
    *found = (struct found){.head = {head}, .span = span, .word = packed, .place = word};
    return true;
}

bool space_find(uintptr_t address, struct found *found) {
    struct slot *slot = space_slot(address);
    if (!slot) return false;
    /* acq: pairs with the release stores in heads_write; either way the head is checked. */
    uint32_t cover = atom_load_acq_u32(&slot->cover[address % SLOT_BYTES / SHEET_BYTES]);
    if (cover && head_covers(cover - 1, address, found)) return true;
    /* A cover that is out of date hides the granule's own head. */
    uint32_t head = atom_load_acq_u32(&slot_sheet(slot, address)->head[granule_of(address).n % GRANULES_PER_SHEET]); /* acq: so */
    return head_covers(head, address, found);
}

/* Writes the head of each granule from `first` on, all in one sheet, or the sheet's cover if it is all of the sheet. */
static void heads_write(struct slot *slot, uint32_t first, uint32_t count, uint32_t head) {
    uint32_t *cover = &slot->cover[first % GRANULES_PER_SLOT / GRANULES_PER_SHEET];
    struct sheet *sheet = slot_sheet(slot, granule_address((struct granule){first}));
    if (count == GRANULES_PER_SHEET) {
        atom_store_rel_u32(cover, head + 1); /* rel: pairs with space_find */
        return;
    }
    for (uint32_t i = 0; i < count; i++) {
        /* rel: pairs with space_find, which checks what it reads, so the order among them is free. */
        atom_store_rel_u32(&sheet->head[first % GRANULES_PER_SHEET + i], head);
    }
    /* rel: a span that covered the whole sheet is gone, or has been cut and stands on the heads above. */
    if (atom_load_rlx_u32(cover)) atom_store_rel_u32(cover, 0);
}

enum status space_extend(struct granule head, uint64_t held_pages, uint64_t count_pages) {
    uint64_t end = head.n + (uint64_t)granules_for_pages(count_pages);
    for (uint64_t g = head.n + (uint64_t)granules_for_pages(held_pages); g < end;) {
        struct slot *slot = space_slot_make(granule_address((struct granule){(uint32_t)g}));
        if (!slot) return ST_NO_MEMORY;
        /* Of a span that grows the first sheet is used already. */
        if (g == head.n) slot_use(slot, g % GRANULES_PER_SLOT / GRANULES_PER_SHEET);
        uint64_t sheet_end = (g / GRANULES_PER_SHEET + 1) * GRANULES_PER_SHEET;
        uint64_t stop = end < sheet_end ? end : sheet_end;
        heads_write(slot, (uint32_t)g, (uint32_t)(stop - g), head.n);
        g = stop;
    }
    return ST_OK;
}

void space_cut(struct granule head, uint64_t count_pages) {
    uint32_t end = head.n + (uint32_t)granules_for_pages(count_pages), kept = end % GRANULES_PER_SHEET;
    uint32_t first = end - kept > head.n ? end - kept : head.n;
    /* The cover stays out of date when nothing of the sheet is left: the next span there clears it. */
    if (first < end) heads_write(space_slot(granule_address((struct granule){first})), first, end - first, head.n);
}

enum status space_prepare(struct granule head, uint64_t count_pages) { return space_extend(head, 0, count_pages); }

void space_publish(struct granule head, struct span span) {
    HM_ASSERT(span.count_pages > 0 && span.count_pages >> 36 == 0);
    HM_ASSERT(slot_used(space_slot(granule_address(head)), head.n % GRANULES_PER_SLOT / GRANULES_PER_SHEET));
    /* rel: pairs with space_find; page bytes and heads were written before. */
    atom_store_rel_u64(space_word(head), span_pack(span));
}

bool space_retract(const struct found *found) {
    uint64_t seen = found->word;
    /* acqrel: the one winner sees everything that was done in the span, and what it did is seen by the next owner, who
     * acquires the granules in the bitmap after the winner has released them there. */
    return atom_cas_acqrel_u64(found->place, &seen, 0);
}

/* The first sheet from this one on that was ever used, by the word of them; else SHEETS_PER_SLOT. */
static size_t next_used(const struct slot *slot, size_t sheet) {
    for (; sheet < SHEETS_PER_SLOT; sheet = align_down(sheet, 64) + 64) {
        uint64_t used = atom_load_acq_u64(&slot->used[sheet / 64]) >> sheet % 64; /* acq: as in slot_used */
        if (used) return sheet + (size_t)__builtin_ctzll(used);
    }
    return SHEETS_PER_SLOT;
}

uint64_t space_unused(struct page first, uint64_t limit) {
    uint64_t count = 0;
    for (struct page p = first; count < limit; p.n = first.n + count) {
        struct slot *slot = space_slot_numbered(p.n / PAGES_PER_SLOT);
        size_t within = p.n % PAGES_PER_SLOT, used = next_used(slot, within / PAGES_PER_SHEET);
        if (used == within / PAGES_PER_SHEET) return count;
        count += used * PAGES_PER_SHEET - within;
        if (used < SHEETS_PER_SLOT) break;
    }
    return count < limit ? count : limit;
}

/* The first granule at or after `from`, and below `limit`, both counted in the slot, at which a span starts; else limit. */
static uint32_t slot_next_start(struct slot *slot, uint32_t from, uint32_t limit) {
    /* acq: as in space_region_kind. Outside regions nothing is ever taken. */
    bool region = atom_load_acq_u64(&slot->region) != REGION_NONE;
    for (uint32_t i = from; i < limit; i++) {
        uint32_t within = i % GRANULES_PER_SHEET, sheet = i / GRANULES_PER_SHEET;
        if ((within == 0 || i == from) && !slot_used(slot, sheet)) {
            i = (uint32_t)(next_used(slot, sheet) * GRANULES_PER_SHEET) - 1;
            continue;
        }
        /* rlx: a free range is a snapshot; a granule taken meanwhile was free when the look began. */
        if (i % 64 == 0 && region && atom_load_rlx_u64(&slot->taken[i / 64]) == 0) {
            i += 63;
            continue;
        }
        if (atom_load_rlx_u64(&slot->sheet[sheet].span[within])) return i; /* rlx: the same */
    }
    return limit;
}

uint32_t space_next_start(uint32_t from, uint32_t limit) {
    for (uint32_t g = from; g < limit;) {
        struct slot *slot = space_slot(granule_address((struct granule){g}));
        uint32_t base = (uint32_t)align_down(g, GRANULES_PER_SLOT), room = limit - base;
        uint32_t stop = room < GRANULES_PER_SLOT ? room : (uint32_t)GRANULES_PER_SLOT;
        uint32_t start = slot ? slot_next_start(slot, g - base, stop) : stop;
        if (start < stop) return base + start;
        g = base + stop;
    }
    return limit;
}

uintptr_t space_ours_end(uintptr_t address) {
    struct found found;
    if (space_in_region(address)) {
        size_t given = (size_t)atom_load_acq_u64(&space_slot(address)->given); /* acq: pairs with region_give */
        return align_down(address, SLOT_BYTES) + (GRANULES_PER_SLOT - given) * GRANULE_BYTES;
    }
    return space_find(address, &found) ? span_end_page(&found) << PAGE_SHIFT : 0;
}

uintptr_t space_next_ours(uintptr_t from, uintptr_t limit) {
    if (space_ours_end(from)) return from;
    for (uintptr_t at = from; at < limit; at = align_down(at, SLOT_BYTES) + SLOT_BYTES) {
        uintptr_t room = SLOT_BYTES - at % SLOT_BYTES, stop = limit - at < room ? limit : at + room;
        if (space_in_region(at)) return at;
        if (!space_slot(at)) continue;
        uint32_t first = granule_of(at + GRANULE_BYTES - 1).n, end = granule_of(stop + GRANULE_BYTES - 1).n;
        uint32_t start = first < end ? space_next_start(first, end) : end;
        if (start < end) return granule_address((struct granule){start});
    }
    return limit;
}

/* Visits the spans that start in one slot. */
static bool slot_each(size_t n, struct slot *slot, bool (*visit)(const struct found *, void *), void *context) {
    const uint32_t end = (uint32_t)GRANULES_PER_SLOT;
    for (uint32_t i = 0; (i = slot_next_start(slot, i, end)) < end; i++) {
        struct granule head = {(uint32_t)(n * GRANULES_PER_SLOT) + i};
        uint64_t *place = space_word(head), word = atom_load_acq_u64(place); /* acq: pairs with space_publish */
        struct found found = {.head = head, .span = span_unpack(word), .word = word, .place = place};
        if (word && !visit(&found, context)) return false;
    }
    return true;
}

void space_each(bool (*visit)(const struct found *found, void *context), void *context) {
    for (size_t n = 0; n < SLOT_COUNT; n++) {
        struct slot *slot = space_slot((uintptr_t)n << SLOT_SHIFT);
        if (slot && !slot_each(n, slot, visit, context)) return;
    }
}
