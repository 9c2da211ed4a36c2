/*
 * heap.c - heaps: from a request to a slab's bit and back.
 *
 * A heap has a set of slabs for each class, and one more for blocks of their own (CLASS_LARGE, one object each). Heaps live in
 * a table that is never unmapped, numbered from 1; a handle is an entry's address, so that checking one reads nothing unknown.
 *
 * Allocation: pin the slab that served last, or one whose `full` bit is clear; claim a bit under the pin, which then counts for
 * the object. No slab: a new one, whose first object is the maker's. Free: clear the bit, count down.
 *
 * Marking. A thread whose pin finds all objects held (M) sets the slab's `full` bit, and then takes its pin back (U) and clears
 * the bit again if fewer than all are held after that. A thread whose free takes the count from all to one less (D) clears the
 * bit. No slab with room stays marked: let M be the last marking and suppose that there is room in the end. If there was at U,
 * U cleared the bit. If not, the count fell through that line later, at some D; D read the count from a chain of changes that
 * began at U, so it saw the bit of M set, and cleared it. A bit cleared once too often only makes somebody look in vain.
 *
 * Empty slabs. Whoever takes a count to 0 finds the class's spare: if that is another empty slab, this one goes back to the
 * system; else this one becomes the spare, and the one before is looked at once more, by an operation on its count. So one
 * empty slab is kept for a class in the end: of two that empty at the same time, either the second sees the first as the spare,
 * or the first, which put itself in the second's stead, sees the second's count of 0.
 *
 * Late threads. A place in a set may be read just before its slab goes, and the granule may start another heap's slab by the
 * time of the pin. Such a pin finds another owner, claims nothing and is taken back; if it made that slab look full for a
 * moment, taking it back clears the mark (sets are only ever sets, so this is right whatever has become of that heap). What it
 * does not do is give back the other heap's slab if its last object went during that moment: the slab stays, empty, until it
 * serves again or heap_trim finds it.
 *
 * Nothing here waits or uses a general-purpose allocator.
 */
#include "heap/heap.h"

#include <string.h>

#include "base/atom.h"
#include "core/bitmap.h"
#include "heap/set.h"
#include "heap/slab.h"
#include "os/os.h"

#define CLASS_LARGE CLASS_COUNT
#define SET_COUNT (CLASS_COUNT + 1)
#define CLASS_BITS 8
#define HEAPS_AT_MOST ((size_t)16384)
#define BLOCK_LARGEST ((size_t)1 << 40) /* more than any machine has; beyond it even the tables would not fit */

struct heap {
    uint64_t number;
    uint64_t users; /* 1 for the handle, 1 for each trim of all heaps that is at work here */
    uint64_t taken_bytes;
    uint64_t limit_bytes;
    uint64_t state; /* page byte of its slabs */
    struct set set[SET_COUNT];
};

static uint64_t heap_table; /* struct heap[HEAPS_AT_MOST] */
static uint64_t heap_claimed[HEAPS_AT_MOST / 64];
static uint64_t heap_live[HEAPS_AT_MOST / 64]; /* the handle is good */
static uint64_t heap_of_process;

static struct heap *heap_numbered(uint64_t number) {
    /* acq: pairs with the CAS in table_make. */
    return (struct heap *)(uintptr_t)atom_load_acq_u64(&heap_table) + (number - 1);
}

static uint64_t owner_of(const struct heap *heap, unsigned class_index) { return heap->number << CLASS_BITS | class_index; }
static unsigned owner_class(uint64_t owner) { return (unsigned)(owner & ((1u << CLASS_BITS) - 1)); }
static uint64_t owner_heap(uint64_t owner) { return owner >> CLASS_BITS; }

static size_t objects_of(unsigned class_index) { return class_index == CLASS_LARGE ? 1 : class_objects(class_index); }

/* ---- Giving slabs back ---------------------------------------------------------------------------------------- */

/* Gives the slab back if nobody holds it. Returns the bytes given back. */
static size_t slab_retire(struct heap *heap, unsigned class_index, struct granule head) {
    struct slab *slab = slab_at(head);
    uint64_t owner = owner_of(heap, class_index);
    if (!slab_close(slab, owner)) return 0;
    struct run run = slab_run(slab, head);
    size_t place = (size_t)atom_load_rlx_u64(&slab->place); /* rlx: the slab is this thread's alone */
    if (!slab_discard(&run)) {
        slab_reopen(slab, owner);
        return 0;
    }
    /* The place may name the granule's next slab for a moment: harmless if that is ours, and refused by its owner if not. */
    set_remove(&heap->set[class_index], place);
    size_t bytes = (size_t)run.count_pages * PAGE_BYTES;
    atom_add_acqrel_u64(&heap->taken_bytes, -(uint64_t)bytes);
    return bytes;
}

/* The slab's count has come to 0: see "Empty slabs". */
static void slab_emptied(struct heap *heap, unsigned class_index, struct granule head) {
    if (class_index == CLASS_LARGE) {
        slab_retire(heap, class_index, head);
        return;
    }
    struct set *set = &heap->set[class_index];
    uint64_t spare = atom_load_acq_u64(&set->spare); /* acq: pairs with the CAS below */
    while (spare != head.n) {
        struct granule other = {(uint32_t)spare};
        uint64_t empty = life_make(owner_of(heap, class_index), 0);
        /* rlx: if it has changed since, one slab more or less is kept for a while. */
        if (spare != 0 && atom_load_rlx_u64(&slab_at(other)->life) == empty) {
            slab_retire(heap, class_index, head);
            return;
        }
        if (!atom_cas_acqrel_u64(&set->spare, &spare, head.n)) continue;
        /* Adding 0 orders this look against the other's last count down. */
        if (spare != 0 && atom_add_acqrel_u64(&slab_at(other)->life, 0) == empty) slab_retire(heap, class_index, other);
        return;
    }
}

/* Takes a pin back, with all that may follow from it. */
static void pin_return(struct heap *heap, struct slab *slab, struct granule head) {
    size_t place;
    uint64_t life = slab_unpin(slab, &place);
    uint64_t owner = life_owner(life);
    if (owner == 0) return;
    unsigned class_index = owner_class(owner);
    if (life_count(life) < objects_of(class_index)) {
        set_mark_room(&heap_numbered(owner_heap(owner))->set[class_index], place);
    }
    if (life_count(life) == 0 && owner_heap(owner) == heap->number) slab_emptied(heap, class_index, head);
}

/* ---- Allocation ----------------------------------------------------------------------------------------------- */

/* An object of the slab at this place, if there is one and it has one. */
static void *take_at(struct heap *heap, unsigned class_index, size_t place) {
    struct set *set = &heap->set[class_index];
    struct granule head = set_slab(set, place);
    if (head.n == 0) {
        set_mark_vacant(set, place);
        return NULL;
    }
    struct slab *slab = slab_at(head);
    uint64_t owner = owner_of(heap, class_index);
    /* rlx: keeps late threads away from other owners' counts; the pin decides. */
    if (life_owner(atom_load_rlx_u64(&slab->life)) != owner) return NULL;
    uint64_t life = slab_pin(slab);
    if (life_owner(life) == owner) {
        if (life_count(life) < class_objects(class_index)) {
            size_t object = slab_claim(slab, class_objects(class_index));
            if (object != SIZE_MAX) return (void *)(granule_address(head) + object * class_size(class_index));
        } else {
            /* rlx: cannot change under the pin. It may differ from the place where the slab was found (see slab_retire). */
            set_mark_full(set, (size_t)atom_load_rlx_u64(&slab->place));
        }
    }
    pin_return(heap, slab, head);
    return NULL;
}

static void *take_any(struct heap *heap, unsigned class_index) {
    struct set *set = &heap->set[class_index];
    size_t place = (size_t)atom_load_rlx_u64(&set->hint); /* rlx: any place will do */
    void *block = take_at(heap, class_index, place);
    if (block != NULL) return block;
    for (place = set_next(set, 0); place != SET_NONE; place = set_next(set, place + 1)) {
        block = take_at(heap, class_index, place);
        if (block == NULL) continue;
        atom_store_rlx_u64(&set->hint, place); /* rlx: as above */
        return block;
    }
    return NULL;
}

/* Counts bytes that are about to be taken; false if that is past the heap's bound. */
static bool bytes_charge(struct heap *heap, uint64_t bytes) {
    uint64_t taken = atom_load_rlx_u64(&heap->taken_bytes); /* rlx: the CAS compares it again */
    do {
        if (heap->limit_bytes != 0 && (bytes > heap->limit_bytes || taken > heap->limit_bytes - bytes)) return false;
    } while (!atom_cas_acqrel_u64(&heap->taken_bytes, &taken, taken + bytes));
    return true;
}

/* A new slab, at a multiple of align; *block is its first object, whose bytes are zero. */
static enum status slab_add(struct heap *heap, unsigned class_index, uint64_t count_pages, size_t align, void **block) {
    uint64_t bytes = count_pages * PAGE_BYTES;
    if (!bytes_charge(heap, bytes)) return ST_NO_MEMORY;
    struct set *set = &heap->set[class_index];
    size_t place;
    enum status status = set_reserve(set, &place);
    if (status == ST_OK) {
        struct run run;
        status = slab_acquire_aligned(count_pages, align, (uint8_t)heap->state, &run);
        if (status == ST_OK) {
            bool large = class_index == CLASS_LARGE;
            slab_open(&run, large ? SPAN_LARGE : SPAN_SLAB, (uint8_t)heap->state, owner_of(heap, class_index), place,
                      objects_of(class_index));
            set_enter(set, place, run.first, !large);
            atom_store_rlx_u64(&set->hint, place); /* rlx: a hint */
            *block = (void *)granule_address(run.first);
            return ST_OK;
        }
        set_cancel(set, place);
    }
    atom_add_acqrel_u64(&heap->taken_bytes, -bytes);
    return status;
}

static enum status slab_add_or_trim(struct heap *heap, unsigned class_index, uint64_t count_pages, size_t align, void **block) {
    enum status status = slab_add(heap, class_index, count_pages, align, block);
    /* What other classes keep in reserve may be what is missing. */
    if (status != ST_OK && heap_trim_one(heap) != 0) status = slab_add(heap, class_index, count_pages, align, block);
    return status;
}

enum status heap_alloc(struct heap *heap, size_t size_bytes, bool zero, void **block) {
    *block = NULL;
    if (size_bytes > BLOCK_LARGEST) return ST_NO_MEMORY;
    unsigned class_index = CLASS_LARGE;
    uint64_t count_pages = (size_bytes + PAGE_BYTES - 1) / PAGE_BYTES;
    if (size_bytes <= CLASS_LARGEST) {
        class_index = class_of(size_bytes);
        count_pages = class_slab_granules(class_index) * PAGES_PER_GRANULE;
        *block = take_any(heap, class_index);
        if (*block != NULL) {
            if (zero) memset(*block, 0, class_size(class_index));
            return ST_OK;
        }
    }
    return slab_add_or_trim(heap, class_index, count_pages, GRANULE_BYTES, block);
}

/*
 * A size that is a multiple of the alignment gets a class whose size is one too: either it is a class's own size, or the step
 * between its class and the next is a multiple of the alignment. And a slab starts at a granule. So only alignments above that
 * need anything done.
 */
enum status heap_alloc_aligned(struct heap *heap, size_t size_bytes, size_t align, bool zero, void **block) {
    *block = NULL;
    if (size_bytes > BLOCK_LARGEST || align > BLOCK_LARGEST) return ST_NO_MEMORY;
    size_t rounded = align_up(size_bytes == 0 ? 1 : size_bytes, align);
    if (rounded <= CLASS_LARGEST) return heap_alloc(heap, rounded, zero, block);
    uint64_t count_pages = ((size_bytes == 0 ? 1 : size_bytes) + PAGE_BYTES - 1) / PAGE_BYTES;
    return slab_add_or_trim(heap, CLASS_LARGE, count_pages, align < GRANULE_BYTES ? GRANULE_BYTES : align, block);
}

/* ---- Blocks --------------------------------------------------------------------------------------------------- */

struct block {
    struct slab *slab;
    struct granule head;
    unsigned class_index;
    size_t object;
};

/* The object that starts at this address, if it is one of the heap's, taken or not. */
static bool block_find(const struct heap *heap, const void *address, struct block *block) {
    if (!slab_find((uintptr_t)address, &block->head)) return false;
    block->slab = slab_at(block->head);
    if (block->slab == NULL) return false;
    uint64_t owner = life_owner(atom_load_acq_u64(&block->slab->life)); /* acq: pairs with slab_open, for what is read next */
    if (owner_heap(owner) != heap->number) return false;
    block->class_index = owner_class(owner);
    size_t offset = (size_t)((uintptr_t)address - granule_address(block->head));
    block->object = 0;
    if (block->class_index == CLASS_LARGE) return offset == 0;
    block->object = class_index_at(block->class_index, offset);
    return block->object < class_objects(block->class_index) && block->object * class_size(block->class_index) == offset;
}

enum status heap_free(struct heap *heap, void *address) {
    struct block block;
    if (!block_find(heap, address, &block)) return ST_NOT_OURS;
    /* rlx: read while the block holds the slab; afterwards the descriptor may be another's. */
    size_t place = (size_t)atom_load_rlx_u64(&block.slab->place);
    uint64_t life;
    if (!slab_release(block.slab, block.object, &life)) return ST_NOT_OURS;
    if (life_count(life) == objects_of(block.class_index)) set_mark_room(&heap->set[block.class_index], place);
    if (life_count(life) == 1) slab_emptied(heap, block.class_index, block.head);
    return ST_OK;
}

enum status heap_size(struct heap *heap, const void *address, size_t *size_bytes) {
    struct block block;
    if (!block_find(heap, address, &block) || !bitmap_taken(block.slab->taken, block.object)) return ST_NOT_OURS;
    *size_bytes = block.class_index == CLASS_LARGE ? (size_t)slab_run(block.slab, block.head).count_pages * PAGE_BYTES
                                                   : class_size(block.class_index);
    return ST_OK;
}

enum status heap_resize(struct heap *heap, void *address, size_t size_bytes) {
    struct block block;
    if (!block_find(heap, address, &block) || !bitmap_taken(block.slab->taken, block.object)) return ST_NOT_OURS;
    if (block.class_index != CLASS_LARGE) return size_bytes <= class_size(block.class_index) ? ST_OK : ST_NO_ADDRESS_SPACE;
    uint64_t held = slab_run(block.slab, block.head).count_pages;
    if (size_bytes > BLOCK_LARGEST) return ST_NO_MEMORY;
    uint64_t wanted = ((size_bytes == 0 ? 1 : size_bytes) + PAGE_BYTES - 1) / PAGE_BYTES;
    if (wanted > held && !bytes_charge(heap, (wanted - held) * PAGE_BYTES)) return ST_NO_MEMORY;
    bool done = slab_resize(block.slab, block.head, wanted);
    if (done == (wanted < held)) {
        uint64_t back = wanted < held ? held - wanted : wanted - held;
        atom_add_acqrel_u64(&heap->taken_bytes, -(back * PAGE_BYTES));
    }
    return done || wanted <= held ? ST_OK : ST_NO_ADDRESS_SPACE;
}

/* ---- Heaps ---------------------------------------------------------------------------------------------------- */

static struct heap *table_make(void) {
    uint64_t table = atom_load_acq_u64(&heap_table); /* acq: pairs with the CAS */
    if (table != 0) return (struct heap *)(uintptr_t)table;
    void *made;
    size_t size = HEAPS_AT_MOST * sizeof(struct heap);
    if (os_tables_reserve(size, &made) != ST_OK) return NULL;
    if (atom_cas_acqrel_u64(&heap_table, &table, (uint64_t)(uintptr_t)made)) return made;
    os_tables_discard(made, size);
    return (struct heap *)(uintptr_t)table;
}

enum status heap_create(bool executable, uint64_t limit_bytes, struct heap **heap) {
    *heap = NULL;
    struct heap *table = table_make();
    if (table == NULL) return ST_NO_MEMORY;
    uint64_t mask;
    size_t word = bitmap_claim_some(heap_claimed, HEAPS_AT_MOST, 0, 1, &mask);
    if (word == BITMAP_NONE) return ST_NO_MEMORY;
    size_t index = word * 64 + (size_t)__builtin_ctzll(mask);
    struct heap *made = &table[index];
    if (os_tables_commit(made, sizeof *made) != ST_OK) {
        bitmap_release(heap_claimed, index, 1);
        return ST_NO_MEMORY;
    }
    /* The sets are as the table's first zeros or set_destroy left them. */
    made->number = index + 1;
    made->limit_bytes = limit_bytes;
    made->state = executable ? PG_EXECUTE_READWRITE : PG_READWRITE;
    atom_store_rel_u64(&made->users, 1); /* rel: pairs with heap_enter */
    HM_CHECK(bitmap_claim(heap_live, index, 1));
    *heap = made;
    return ST_OK;
}

struct heap *heap_of_handle(const void *handle) {
    uintptr_t table = (uintptr_t)atom_load_acq_u64(&heap_table); /* acq: pairs with table_make */
    uintptr_t offset = (uintptr_t)handle - table;
    if (table == 0 || (uintptr_t)handle < table || offset % sizeof(struct heap) != 0) return NULL;
    size_t index = offset / sizeof(struct heap);
    return index < HEAPS_AT_MOST && bitmap_taken(heap_live, index) ? (struct heap *)table + index : NULL;
}

/* The last user is gone. */
static void heap_clear(struct heap *heap) {
    for (unsigned class_index = 0; class_index < SET_COUNT; class_index++) {
        struct set *set = &heap->set[class_index];
        size_t places = set_places(set);
        for (size_t place = 0; place < places; place++) {
            struct granule head = set_slab(set, place);
            if (head.n == 0) continue;
            struct slab *slab = slab_at(head);
            if (!slab_close_by_force(slab, owner_of(heap, class_index), objects_of(class_index))) continue;
            struct run run = slab_run(slab, head);
            slab_discard(&run); /* if the system refuses, the run is lost, but nothing of it is reused */
        }
        set_destroy(set);
    }
    atom_store_rlx_u64(&heap->taken_bytes, 0); /* rlx: published by the release below */
    HM_CHECK(bitmap_release(heap_claimed, (size_t)heap->number - 1, 1));
}

/* A user more; false if the last one has left already. While a user is counted the heap is not cleared. */
static bool heap_enter(struct heap *heap) {
    uint64_t users = atom_load_acq_u64(&heap->users); /* acq: pairs with heap_create */
    while (users != 0 && !atom_cas_acqrel_u64(&heap->users, &users, users + 1)) continue;
    return users != 0;
}

static void heap_leave(struct heap *heap) {
    if (atom_add_acqrel_u64(&heap->users, UINT64_MAX) == 1) heap_clear(heap);
}

enum status heap_destroy(struct heap *heap) {
    /* acq: pairs with the CAS in heap_default. */
    if (heap_of_handle(heap) == NULL || (uint64_t)(uintptr_t)heap == atom_load_acq_u64(&heap_of_process)) return ST_BAD_HANDLE;
    if (!bitmap_release(heap_live, (size_t)heap->number - 1, 1)) return ST_BAD_HANDLE; /* another destroys it */
    heap_leave(heap);
    return ST_OK;
}

struct heap *heap_default(void) {
    uint64_t seen = atom_load_acq_u64(&heap_of_process); /* acq: pairs with the CAS */
    struct heap *made;
    if (seen != 0) return (struct heap *)(uintptr_t)seen;
    if (heap_create(false, 0, &made) != ST_OK) return NULL;
    if (atom_cas_acqrel_u64(&heap_of_process, &seen, (uint64_t)(uintptr_t)made)) return made;
    heap_destroy(made);
    return (struct heap *)(uintptr_t)seen;
}

size_t heap_trim_one(struct heap *heap) {
    size_t bytes = 0;
    for (unsigned class_index = 0; class_index < SET_COUNT; class_index++) {
        struct set *set = &heap->set[class_index];
        size_t places = set_places(set);
        for (size_t place = 0; place < places; place++) {
            struct granule head = set_slab(set, place);
            /* rlx: slab_retire looks again; this only spares slabs in use a failing CAS. */
            if (head.n != 0 && life_count(atom_load_rlx_u64(&slab_at(head)->life)) == 0) {
                bytes += slab_retire(heap, class_index, head);
            }
        }
    }
    return bytes;
}

size_t heap_trim(void) {
    size_t bytes = 0;
    for (size_t index = 0; (index = bitmap_next_taken(heap_live, HEAPS_AT_MOST, index)) < HEAPS_AT_MOST; index++) {
        struct heap *heap = heap_numbered(index + 1);
        if (!heap_enter(heap)) continue;
        bytes += heap_trim_one(heap);
        heap_leave(heap);
    }
    return bytes;
}

uint64_t heap_used(const struct heap *heap) {
    uint64_t bytes = 0;
    for (unsigned class_index = 0; class_index < SET_COUNT; class_index++) {
        const struct set *set = &heap->set[class_index];
        size_t places = set_places(set);
        for (size_t place = 0; place < places; place++) {
            struct granule head = set_slab(set, place);
            if (head.n == 0) continue;
            uint64_t life = atom_load_acq_u64(&slab_at(head)->life); /* acq: pairs with slab_open, for the length */
            if (life_owner(life) != owner_of(heap, class_index)) continue;
            bool large = class_index == CLASS_LARGE;
            uint64_t each = large ? slab_run(slab_at(head), head).count_pages * PAGE_BYTES : class_size(class_index);
            bytes += life_count(life) * each;
        }
    }
    return bytes;
}

uint64_t heap_taken(const struct heap *heap) { return atom_load_rlx_u64(&heap->taken_bytes); /* rlx: a figure for people */ }
