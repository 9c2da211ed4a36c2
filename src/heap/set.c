/*
 * set.c - the places of a heap's slabs.
 *
 * A segment of rank n is one block of words: `used` (1 << n words), `full` (as many), then one u32 a place. Blocks of one rank
 * come from one pool: a table that grows and never moves (core/table.h), with a bitmap of the blocks taken.
 *
 * Invariants
 *   1. A place's u32 is changed only by the owner of its `used` bit.
 *   2. A place that names a slab with room has a clear `full` bit, or a thread is about to clear it (heap.c, marking).
 *   3. A place that names nothing may have either value of `full`: whoever finds it clear sets it, and looks again.
 *   4. A block is only ever a segment of its own rank, so a late set_mark_room writes to a `full` word, at worst to another
 *      set's: there it makes somebody look in vain once.
 *
 * Why nobody loses a slab to invariant 3's second half: set_enter writes the name, and then clears `full` by an operation of its
 * own, not by finding it clear. A thread that found no name and set the bit either did so before that (then it is
 * cleared), or after (then its look again sees the name, and it clears the bit itself).
 *
 * Any thread, any time; nothing waits, and nothing here uses a general-purpose allocator.
 */
#include "heap/set.h"

#include "base/atom.h"
#include "core/bitmap.h"
#include "core/table.h"

#define POOL_MOST_BLOCKS ((size_t)1 << 17) /* of the smallest rank */
#define POOL_LEAST_BLOCKS ((size_t)4)

static uint64_t pool_taken[SET_SEGMENTS][POOL_MOST_BLOCKS / 64];
static struct table pool[SET_SEGMENTS]; /* of each rank */

struct segment {
    uint64_t *used;
    uint64_t *full;
    uint32_t *slab;
    size_t count; /* of places */
};

static size_t rank_words(unsigned rank) { return (size_t)1 << rank; }

static size_t rank_block_bytes(unsigned rank) { return align_up(rank_words(rank) * (8 + 8 + 64 * 4), 64); }

static size_t rank_blocks(unsigned rank) {
    size_t blocks = POOL_MOST_BLOCKS >> rank;
    return blocks < POOL_LEAST_BLOCKS ? POOL_LEAST_BLOCKS : blocks;
}

static size_t rank_first_place(unsigned rank) { return 64 * (((size_t)1 << rank) - 1); }

static unsigned rank_of(size_t place) { return 63u - (unsigned)__builtin_clzll(place / 64 + 1); }

/* False if the set has no such segment. */
static bool segment_get(const struct set *set, unsigned rank, struct segment *segment) {
    /* acq: pairs with the CAS in segment_make; without it the segment's words could be seen before they were prepared. */
    uint64_t address = atom_load_acq_u64(&set->segment[rank]);
    if (address == 0) return false;
    segment->count = 64 * rank_words(rank);
    segment->used = (uint64_t *)(uintptr_t)address;
    segment->full = segment->used + rank_words(rank);
    segment->slab = (uint32_t *)(segment->full + rank_words(rank));
    return true;
}

/*
 * The segment and the place's number in it. The place came from this set, so the segment is there unless the set was destroyed.
 */
static bool segment_of(const struct set *set, size_t place, struct segment *segment, size_t *index) {
    unsigned rank = rank_of(place);
    if (rank >= SET_SEGMENTS) return false;
    *index = place - rank_first_place(rank);
    return segment_get(set, rank, segment);
}

/* Small, as most sets are; with all its parts a table has more than rank_blocks. */
static struct table_shape rank_shape(unsigned rank) {
    return (struct table_shape){rank_block_bytes(rank), rank < 6 ? (size_t)64 >> rank : 1};
}

static void block_release(unsigned rank, uint64_t address) {
    size_t index = table_index(&pool[rank], rank_shape(rank), (void *)(uintptr_t)address);
    HM_CHECK(bitmap_release(pool_taken[rank], index, 1));
}

/* A block with no place used, every place full, no names; 0 if there is none. */
static uint64_t block_claim(unsigned rank) {
    uint64_t mask;
    size_t word = bitmap_claim_some(pool_taken[rank], rank_blocks(rank), 0, 1, &mask);
    if (word == BITMAP_NONE) return 0;
    size_t index = word * 64 + (size_t)__builtin_ctzll(mask);
    uint64_t *block = table_entry_make(&pool[rank], rank_shape(rank), index);
    if (block == NULL) {
        bitmap_release(pool_taken[rank], index, 1);
        return 0;
    }
    /* rlx: the block is this thread's alone until segment_make publishes it, but for late set_mark_room (invariant 4). */
    size_t words = rank_words(rank);
    for (size_t i = 0; i < words; i++) atom_store_rlx_u64(&block[i], 0);
    for (size_t i = words; i < 2 * words; i++) atom_store_rlx_u64(&block[i], UINT64_MAX);
    for (size_t i = 2 * words; i < 34 * words; i++) atom_store_rlx_u64(&block[i], 0);
    return (uint64_t)(uintptr_t)block;
}

static bool segment_make(struct set *set, unsigned rank, struct segment *segment) {
    if (segment_get(set, rank, segment)) return true;
    uint64_t block = block_claim(rank);
    if (block == 0) return false;
    uint64_t none = 0;
    /* rel: publishes the prepared words. */
    if (!atom_cas_acqrel_u64(&set->segment[rank], &none, block)) block_release(rank, block);
    return segment_get(set, rank, segment);
}

enum status set_reserve(struct set *set, size_t *place) {
    for (unsigned rank = 0; rank < SET_SEGMENTS; rank++) {
        struct segment segment;
        if (!segment_make(set, rank, &segment)) return ST_NO_MEMORY;
        uint64_t mask;
        size_t word = bitmap_claim_some(segment.used, segment.count, 0, 1, &mask);
        if (word == BITMAP_NONE) continue;
        *place = rank_first_place(rank) + word * 64 + (size_t)__builtin_ctzll(mask);
        return ST_OK;
    }
    return ST_NO_MEMORY;
}

void set_cancel(struct set *set, size_t place) {
    struct segment segment;
    size_t index;
    HM_CHECK(segment_of(set, place, &segment, &index));
    HM_CHECK(bitmap_release(segment.used, index, 1));
}

void set_enter(struct set *set, size_t place, struct granule head, bool has_room) {
    struct segment segment;
    size_t index;
    HM_CHECK(segment_of(set, place, &segment, &index));
    /* rel: a thread that reads the name sees the slab's descriptor. */
    atom_store_rel_u32(&segment.slab[index], head.n);
    if (!has_room) return;
    /* The bit must go from set to clear by this thread's own operation; a late set_mark_room may have cleared it before. */
    do bitmap_claim(segment.full, index, 1);
    while (!bitmap_release(segment.full, index, 1));
}

void set_remove(struct set *set, size_t place) {
    struct segment segment;
    size_t index;
    HM_CHECK(segment_of(set, place, &segment, &index));
    /* rlx: the release of the used bit publishes it to the place's next owner; others may look in vain meanwhile. */
    atom_store_rlx_u32(&segment.slab[index], 0);
    bitmap_claim(segment.full, index, 1);
    HM_CHECK(bitmap_release(segment.used, index, 1));
}

struct granule set_slab(const struct set *set, size_t place) {
    struct segment segment;
    size_t index;
    if (!segment_of(set, place, &segment, &index)) return (struct granule){0};
    /* acq: pairs with set_enter. */
    return (struct granule){atom_load_acq_u32(&segment.slab[index])};
}

size_t set_next(const struct set *set, size_t from) {
    for (unsigned rank = rank_of(from); rank < SET_SEGMENTS; rank++) {
        struct segment segment;
        if (!segment_get(set, rank, &segment)) return SET_NONE;
        size_t first = rank_first_place(rank);
        size_t index = bitmap_next_free(segment.full, segment.count, from > first ? from - first : 0);
        if (index < segment.count) return first + index;
    }
    return SET_NONE;
}

size_t set_places(const struct set *set) {
    unsigned rank = 0;
    /* acq: so that the places counted can be read. */
    while (rank < SET_SEGMENTS && atom_load_acq_u64(&set->segment[rank]) != 0) rank++;
    return rank_first_place(rank);
}

void set_mark_full(struct set *set, size_t place) {
    struct segment segment;
    size_t index;
    if (segment_of(set, place, &segment, &index)) bitmap_claim(segment.full, index, 1);
}

void set_mark_room(struct set *set, size_t place) {
    struct segment segment;
    size_t index;
    if (segment_of(set, place, &segment, &index)) bitmap_release(segment.full, index, 1);
}

void set_mark_vacant(struct set *set, size_t place) {
    set_mark_full(set, place);
    if (set_slab(set, place).n != 0) set_mark_room(set, place);
}

void set_destroy(struct set *set) {
    for (unsigned rank = 0; rank < SET_SEGMENTS; rank++) {
        /* acq: pairs with segment_make. rel: a late set_mark_room that still sees the pointer is harmless (invariant 4). */
        uint64_t block = atom_load_acq_u64(&set->segment[rank]);
        if (block == 0) return; /* they are made in this order; and a set that was never used stays untouched memory */
        atom_store_rel_u64(&set->segment[rank], 0);
        block_release(rank, block);
    }
}
