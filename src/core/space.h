/*
 * space.h - the address map: from an address to what the engine knows about it. Layer: core.
 *
 * The 47-bit user space is cut into slots of 4 GiB. A slot in which the engine has given anything out has a struct slot of
 * tables, made when first needed and kept for the life of the process; one load finds it. What is known of 8 MiB, a sheet,
 * stands together in a page, so that one small span in a slot of its own touches two pages of tables. A span is a run of
 * granules with one owner, written as one word at its first granule; every granule of it names that first granule, or the
 * sheet does that for all of its granules. Pages have a byte each. Where the memory came from (a region, or the system for
 * this one span) makes no difference to any of the tables.
 *
 * Readers take no lock: the tables are never unmapped, a span appears and disappears by one store, and a granule's `head`
 * that is out of date names a span that does not cover it, which the reader checks.
 */
#ifndef HM_SPACE_H
#define HM_SPACE_H

#include "base/atom.h"
#include "base/base.h"

/* What a span is for. */
enum span_kind { SPAN_FREE, SPAN_VM, SPAN_SLAB, SPAN_LARGE };

/* How it came about and what it can do. */
enum span_flag {
    SPAN_SYSTEM = 1,      /* reserved for itself: goes back to the system, not to a region */
    SPAN_WATCH = 2,       /* asked for with MEM_WRITE_WATCH */
    SPAN_LARGE_PAGES = 4, /* committed as a whole, cannot be decommitted */
    SPAN_PHYSICAL = 8,    /* a window: cannot be committed */
    SPAN_GUARDED = 16     /* a guard was set in it: the system may commit pages by itself (vm/grown.c) */
};

/* A span as one 64-bit word: count_pages:36, state:8 (its allocation protection), kind:3, flags:5, owner:12. */
struct span {
    uint64_t count_pages;
    uint8_t state; /* page byte of the AllocationProtect */
    enum span_kind kind;
    unsigned flags;
    uint32_t owner; /* SPAN_VM: the account that it is charged to (budget.h); else the low bits of life_owner (heap/slab.h) */
};

static inline uint64_t span_pack(struct span s) {
    return s.count_pages | (uint64_t)s.state << 36 | (uint64_t)s.kind << 44 | (uint64_t)s.flags << 47 | (uint64_t)s.owner << 52;
}

static inline struct span span_unpack(uint64_t word) {
    return (struct span){
        .count_pages = word & (((uint64_t)1 << 36) - 1),
        .state = (uint8_t)(word >> 36),
        .kind = (enum span_kind)(word >> 44 & 0x7),
        .flags = (unsigned)(word >> 47 & 0x1f),
        .owner = (uint32_t)(word >> 52),
    };
}

enum region_kind {
    REGION_NONE,  /* not ours, but for single spans */
    REGION_PLAIN, /* free granules are without access; whoever claims some commits them */
    REGION_HEAP   /* memory of heaps, see steps.h */
};

#define STEP_BYTES ((size_t)4 << 20)
#define STEPS_PER_SLOT (SLOT_BYTES / STEP_BYTES)

#define SLAB_TABLES ((size_t)16)

#define SHEET_BYTES ((size_t)8 << 20)
#define PAGES_PER_SHEET (SHEET_BYTES / PAGE_BYTES)
#define GRANULES_PER_SHEET (SHEET_BYTES / GRANULE_BYTES)
#define SHEETS_PER_SLOT (SLOT_BYTES / SHEET_BYTES)

struct sheet {
    _Alignas(PAGE_BYTES) uint64_t span[GRANULES_PER_SHEET]; /* the span that starts here, packed; 0 for none */
    uint32_t head[GRANULES_PER_SHEET];   /* the first granule of the span that covers this one; may be out of date */
    uint8_t state[PAGES_PER_SHEET];      /* page bytes */
    uint64_t busy[PAGES_PER_SHEET / 64]; /* bit: a call is changing the page, see pages.c */
};

/* How a sheet's pages are locked, in two bits of `lock`; see pages.c. */
enum { SHEET_FREE, SHEET_LOCKED, SHEET_BY_PAGE };
#define SHEETS_PER_LOCK ((size_t)32)

/* What a range of many sheets would touch in each stands outside them. */
struct slot {
    uint64_t taken[GRANULES_PER_SLOT / 64]; /* of a region; bit: the granule cannot be claimed */
    /* The next page, which every slot needs. */
    uint64_t region;                     /* an enum region_kind: has the engine reserved the whole slot, and what for */
    uint64_t given;                      /* of a region: granules at its end that are the system's again, and stay taken */
    uint64_t used[SHEETS_PER_SLOT / 64]; /* bit: a span has started in the sheet, or a page of it had a byte; stays set */
    uint32_t cover[SHEETS_PER_SLOT];     /* head + 1 of the span that covers the whole sheet, 0 for none */
    uint8_t step[STEPS_PER_SLOT];        /* of a heap region: what is read-write, see steps.c */
    uint64_t lock[SHEETS_PER_SLOT / SHEETS_PER_LOCK]; /* each sheet's SHEET_FREE, ... */
    uint64_t slabs[SLAB_TABLES];         /* of heaps: descriptors of the slabs of a part of the slot each, see heap/slab.c */
    struct sheet sheet[SHEETS_PER_SLOT];
};
_Static_assert(sizeof(struct sheet) == PAGE_BYTES, "a sheet is a page");

extern HM_HIDDEN uint64_t space_map[SLOT_COUNT]; /* struct slot *, 0 where there is none */

/* The slot of that number, below SLOT_COUNT; NULL where there is none. */
static inline struct slot *space_slot_numbered(size_t n) {
    /* acq: pairs with the CAS in space_slot_new; a reader that sees the pointer sees the zeroed tables. */
    return (struct slot *)(uintptr_t)atom_load_acq_u64(&space_map[n]);
}

static inline struct slot *space_slot(uintptr_t address) {
    return address >> ADDRESS_BITS ? NULL : space_slot_numbered(address >> SLOT_SHIFT);
}

static inline struct sheet *slot_sheet(struct slot *slot, uintptr_t address) {
    return &slot->sheet[address % SLOT_BYTES / SHEET_BYTES];
}

/* Where the span that starts at a granule is written; NULL where there is no slot. */
static inline uint64_t *space_word(struct granule g) {
    HM_ASSERT(granule_address(g) >> ADDRESS_BITS == 0);
    struct slot *slot = space_slot_numbered(g.n / GRANULES_PER_SLOT);
    return slot ? &slot_sheet(slot, granule_address(g))->span[g.n % GRANULES_PER_SHEET] : NULL;
}

/* Has anything ever been written in this sheet? If not, no span starts there, and its pages' bytes are 0. */
static inline bool slot_used(const struct slot *slot, size_t sheet) {
    /* acq: pairs with slot_use; who does not see the bit may take the sheet to be as it was before. */
    return atom_load_acq_u64(&slot->used[sheet / 64]) >> sheet % 64 & 1;
}

static inline void slot_use(struct slot *slot, size_t sheet) {
    uint64_t *word = &slot->used[sheet / 64], bit = (uint64_t)1 << sheet % 64;
    uint64_t seen = atom_load_rlx_u64(word); /* rlx: the CAS decides */
    while (!(seen & bit) && !atom_cas_acqrel_u64(word, &seen, seen | bit)) continue; /* rel: before what is written there */
}

/* The slot of this address, made if there is none. NULL if there is no memory for tables. */
struct slot *space_slot_new(uintptr_t address);
static inline struct slot *space_slot_make(uintptr_t address) {
    struct slot *slot = space_slot(address);
    return slot ? slot : space_slot_new(address);
}

/* Calls visit for every slot that there is, but for those that came when there was no memory for several at once. */
void space_each_slot(void (*visit)(struct slot *slot));

/* Whether the address lies in a region of the engine's, in the part of it that has not been given back, and of what kind. */
enum region_kind space_region_kind(uintptr_t address);
static inline bool space_in_region(uintptr_t address) { return space_region_kind(address) != REGION_NONE; }

/*
 * Finds the span that covers the address. False if there is none. `word` is the packed span as read: handing it to
 * space_unchanged later tells whether the same span is still there.
 */
struct found {
    struct granule head;
    struct span span;
    uint64_t word;
    uint64_t *place; /* where it stands */
};
bool space_find(uintptr_t address, struct found *found);

/* The same, of the span that starts there. */
static inline bool space_find_start(uintptr_t address, struct found *found) {
    struct slot *slot = space_slot(address);
    if (!slot || address % GRANULE_BYTES) return false;
    uint64_t *place = &slot_sheet(slot, address)->span[granule_of(address).n % GRANULES_PER_SHEET];
    uint64_t packed = atom_load_acq_u64(place); /* acq: as in space_find */
    *found = (struct found){.head = granule_of(address), .span = span_unpack(packed), .word = packed, .place = place};
    return packed != 0;
}

static inline bool space_unchanged(const struct found *found) {
    /* acq: pairs with space_publish and space_retract. */
    return atom_load_acq_u64(found->place) == found->word;
}

/* The first page past the span's last. */
static inline uint64_t span_end_page(const struct found *f) { return granule_page(f->head).n + f->span.count_pages; }

/*
 * Publishes a span at `head`. The caller owns its granules (claimed from a region, or just reserved from the system) and has
 * called space_prepare for them, which writes the heads and makes the slots; that alone can fail (ST_NO_MEMORY).
 */
enum status space_prepare(struct granule head, uint64_t count_pages);

/* space_prepare for what a live span gains: the granules past those of its first `held_pages`. */
enum status space_extend(struct granule head, uint64_t held_pages, uint64_t count_pages);

/* Before the end of a live span is cut off, of one slot: what is left of it will not stand on the cover of a sheet. */
void space_cut(struct granule head, uint64_t count_pages);

void space_publish(struct granule head, struct span span);

/* The same, of a word that span_pack has made, for what is prepared already: one store. */
static inline void space_publish_packed(struct granule head, uint64_t word) {
    atom_store_rel_u64(space_word(head), word); /* rel: as in space_publish */
}

/* Takes the span away: false if it is not the one that `found` was read from. One caller wins. */
bool space_retract(const struct found *found);

/*
 * The same without an atomic operation, for a thread's cache: two threads that release one allocation at the same moment may
 * both be told true. Then both have it, and the one whose cache is flushed last finds out.
 */
static inline bool space_retract_plain(const struct found *found) {
    if (!space_unchanged(found)) return false;
    atom_store_rel_u64(found->place, 0); /* rel: as in space_retract */
    return true;
}

/* The first granule at or after `from`, and below `limit`, at which a live span starts; else limit. */
uint32_t space_next_start(uint32_t from, uint32_t limit);

/* How many pages of a live span from one on, at most limit, lie in sheets that were never used, so that their bytes are 0. */
uint64_t space_unused(struct page first, uint64_t limit);

/* The first page at or after `from`, and below `limit`, that lies in a region or in a live span outside regions; else limit. */
uintptr_t space_next_ours(uintptr_t from, uintptr_t limit);

/* Where the region or the span that the address lies in ends; 0 if it lies in none. */
uintptr_t space_ours_end(uintptr_t address);

/*
 * Calls visit for every live span, in address order, until it returns false. Spans made or retracted meanwhile may be missed.
 */
void space_each(bool (*visit)(const struct found *found, void *context), void *context);

#endif
