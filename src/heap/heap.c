/*
 * heap.c - heaps: from a request to a slab's bit and back.
 *
 * A heap has a set of slabs for each class, and one more for blocks of their own (CLASS_LARGE, see large.c). Heaps live in
 * a table that is never unmapped, numbered from 1; a handle is an entry's address, so that checking one reads nothing unknown.
 *
 * Allocation: pin the slab that served last, or one whose `full` bit is clear; claim bits under the pins, which then count for
 * the objects. No slab: a new one, whose first object is the maker's. Free: clear the bit, count down.
 *
 * Marking. A thread whose pin finds all objects held (M) sets the slab's `full` bit, and then takes its pin back (U) and clears
 * the bit again if fewer than all are held after that. A thread whose free takes the count from all to one less (D) clears the
 * bit. No slab with room stays marked: let M be the last marking and suppose that there is room in the end. If there was at U,
 * U cleared the bit. If not, the count fell through that line later, at some D; D read the count from a chain of changes that
 * began at U, so it saw the bit of M set, and cleared it. A bit cleared once too often only makes somebody look in vain.
 *
 * What becomes of empty slabs is told in empty.c.
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

#include "base/tally.h"
#include "core/bitmap.h"
#include "core/cache.h"
#include "heap/heap_inside.h"
#include "heap/near.h"
#include "os/os.h"

#define BLOCK_LARGEST ((size_t)1 << 40) /* more than any machine has; beyond it even the tables would not fit */

/* ---- Allocation ----------------------------------------------------------------------------------------------- */

void pins_return(struct heap *heap, struct slab *slab, struct granule head, size_t count) {
    size_t place;
    uint64_t life = slab_unpin(slab, count, &place);
    uint64_t owner = life_owner(life);
    if (owner == 0) return;
    unsigned class_index = owner_class(owner);
    if (life_count(life) < objects_of(class_index)) set_mark_room(&heap_numbered(owner_heap(owner))->set[class_index], place);
    if (life_count(life) != 0) return;
    if (owner_heap(owner) == heap->front.number) {
        empty_came(heap, class_index, head);
    } else {
        empty_count(heap_numbered(owner_heap(owner)), class_index, true); /* its own trims find it */
    }
}

uint64_t pins_take(struct slab *slab, size_t count) {
    uint64_t life = slab_pin(slab, count), owner = life_owner(life);
    if (life_count(life) == 0 && owner != 0) empty_count(heap_numbered(owner_heap(owner)), owner_class(owner), false);
    return life;
}

/*
 * Homes. A slab serves one thread at a time, its home, so that no two threads get objects of one cache line. When a thread's own
 * slabs have no room it takes over one with room, or a new one is made: one whose home has ended or is idle, or which its home
 * has filled and which is half empty again (so it is filled once before it changes hands again); one whose objects have their
 * lines for themselves, when it has been full. Of what it has taken over it takes whole lines only, as long as others' blocks
 * may be left there. A thread frees what is not its home's past its magazines (front.c), so it is not handed that again. What an
 * earlier home holds in the lines of a slab that was taken over goes away as it is freed.
 */
enum look { LOOK_OWN, LOOK_OTHERS, LOOK_ANY };

/* How many places with room are looked at for a slab of the thread's own, from the first and from the last that served on. */
#define LOOKS_FIRST 16u
#define LOOKS_MORE 16u

/* Is a slab with that many objects held one that may be taken from? */
static bool look_suits(enum look look, const struct class_row *row, const struct slab *slab, uint64_t count, uint64_t home) {
    uint64_t its_home = atom_load_rlx_u64(&slab->home); /* rlx: any it has had will do */
    if (look == LOOK_ANY || home == 0 || its_home == home) return true;
    if (look == LOOK_OWN) return false;
    /* rlx: a hint. */
    bool filled = atom_load_rlx_u32(&slab->filled) != 0;
    if (row->line == 1 && filled && count * 16 <= row->objects * 15) return true;
    if (count * 4 > row->objects * 3) return false;
    return !cache_home_active(its_home) || (count * 2 <= row->objects && filled);
}

/* Has the slab served another thread, so that what is taken may be that thread's? Whoever pinned it has seen this life. */
static bool slab_inherited(struct slab *slab, uint64_t life) {
    if (life_count(life) == 0) atom_store_rlx_u32(&slab->inherited, 0); /* rlx: as a home's name */
    return atom_load_rlx_u32(&slab->inherited) != 0;
}

/* Up to `want` (1 to 64) objects of the slab at this place. */
static size_t take_at(struct heap *heap, unsigned class_index, size_t place, enum look look, uint64_t home, size_t want,
                      void **blocks) {
    struct set *set = &heap->set[class_index];
    struct granule head = set_slab(set, place);
    if (head.n == 0) {
        set_mark_vacant(set, place);
        return 0;
    }
    struct slab *slab = slab_at(head);
    const struct class_row *row = &class_table[class_index];
    uint64_t owner = owner_of(heap, class_index);
    /* rlx: keeps late threads away from other owners' counts; the pins decide. */
    uint64_t seen = atom_load_rlx_u64(&slab->life);
    if (life_owner(seen) != owner || !look_suits(look, row, slab, life_count(seen), home)) return 0;
    bool foreign = look == LOOK_OTHERS && home != 0 && atom_load_rlx_u64(&slab->home) != home; /* rlx: as above */
    size_t got = 0;
    uint64_t life = pins_take(slab, want), mask;
    if (life_owner(life) == owner) {
        if (life_count(life) < row->objects) {
            size_t room = (size_t)(row->objects - life_count(life));
            bool lines = foreign || (look != LOOK_ANY && slab_inherited(slab, life));
            unsigned most = (unsigned)(room < want ? room : want), group = lines ? row->line : 1;
            size_t from = home != 0 ? 0 : os_thread_id() % BITMAP_WORDS(row->objects);
            most &= ~(group - 1);
            size_t word = most ? slab_claim(slab, row->objects, from, most, group, &mask) : SIZE_MAX;
            /* The lowest last, since it is the first to be handed out: what is in use grows page by page. */
            for (unsigned top; word != SIZE_MAX && mask != 0; mask ^= (uint64_t)1 << top) {
                top = 63u - (unsigned)__builtin_clzll(mask);
                size_t object = word * 64 + top;
                blocks[got++] = (void *)(granule_address(head) + object * row->size_bytes);
            }
            if (got != 0 && foreign) near_move(head, home);
        } else {
            /* rlx: cannot change under the pin. It may differ from the place where the slab was found (see empty_retire). */
            set_mark_full(set, (size_t)atom_load_rlx_u64(&slab->place));
            atom_store_rlx_u32(&slab->filled, 1); /* rlx: a hint */
        }
    }
    if (got < want) pins_return(heap, slab, head, want - got);
    return got;
}

static void hint_set(struct heap_asker asker, size_t place) { *asker.hint = (uint32_t)place + 1; }

/* Looks at up to `looks` places from one on. Leaves *place where it found something, or would look next. */
static size_t take_from(struct heap *heap, unsigned class_index, struct heap_asker asker, enum look look, size_t *place,
                        size_t looks, size_t want, void **blocks) {
    struct set *set = &heap->set[class_index];
    for (*place = set_next(set, *place); *place != SET_NONE && looks != 0; *place = set_next(set, *place + 1), looks--) {
        size_t got = take_at(heap, class_index, *place, look, asker.home, want, blocks);
        if (got == 0) continue;
        hint_set(asker, *place);
        return got;
    }
    return 0;
}

static size_t take_any(struct heap *heap, unsigned class_index, struct heap_asker asker, enum look look, size_t want,
                       void **blocks) {
    size_t first = 0, last = *asker.hint ? *asker.hint - 1 : 0;
    if (look == LOOK_OWN && *asker.hint == 0) return 0; /* it has had none yet */
    size_t got = take_at(heap, class_index, last, look, asker.home, want, blocks);
    if (got == 0) got = take_from(heap, class_index, asker, look, &first, LOOKS_FIRST, want, blocks);
    if (last < first) last = first;
    if (got == 0 && first != SET_NONE) got = take_from(heap, class_index, asker, look, &last, LOOKS_MORE, want, blocks);
    if (got == 0 && look == LOOK_OWN && first != SET_NONE) hint_set(asker, last == SET_NONE ? 0 : last);
    return got;
}

/* A new slab, at a multiple of align; *block is its first object, whose bytes are zero. */
static enum status slab_add(struct heap *heap, unsigned class_index, struct heap_asker asker, uint64_t count_pages, size_t align,
                            void **block) {
    if (!budget_charge(&heap->budget, count_pages, count_pages)) return ST_NO_QUOTA;
    struct set *set = &heap->set[class_index];
    size_t place;
    enum status status = set_reserve(set, &place);
    if (status == ST_OK) {
        struct run run;
        status = slab_acquire(count_pages, align, (uint8_t)heap->state, &run);
        if (status == ST_OK) {
            bool large = class_index == CLASS_LARGE;
            slab_open(&run, large ? SPAN_LARGE : SPAN_SLAB, (uint8_t)heap->state, owner_of(heap, class_index), place,
                      objects_of(class_index), heap->front.tag | asker.home);
            set_enter(set, place, run.first, objects_of(class_index) > 1);
            hint_set(asker, place);
            *block = (void *)granule_address(run.first);
            return ST_OK;
        }
        set_cancel(set, place);
    }
    budget_undo(&heap->budget, count_pages, count_pages);
    return status;
}

enum status heap_slab_add(struct heap *heap, unsigned class_index, struct heap_asker asker, uint64_t count_pages, size_t align,
                          void **block) {
    empty_make_way(heap, count_pages);
    void *before = budget_ask_again();
    enum status status = slab_add(heap, class_index, asker, count_pages, align, block);
    budget_ask_end(before);
    /* What other classes keep in reserve may be what is missing. */
    if (status != ST_OK && (heap_trim_one(heap) != 0 || status == ST_NO_QUOTA)) {
        status = slab_add(heap, class_index, asker, count_pages, align, block);
    }
    return status == ST_NO_QUOTA ? ST_NO_MEMORY : status;
}

static enum status slab_add_of_class(struct heap *heap, unsigned class_index, struct heap_asker asker, void **block) {
    return heap_slab_add(heap, class_index, asker, class_slab_pages(class_index), class_slab_align(class_index), block);
}

static uint64_t pages_for(size_t size_bytes) { return ((size_bytes == 0 ? 1 : size_bytes) + PAGE_BYTES - 1) / PAGE_BYTES; }

enum status heap_alloc(struct heap *heap, size_t size_bytes, bool zero, void **block) {
    if (size_bytes > CLASS_LARGEST) return heap_alloc_aligned(heap, size_bytes, 1, zero, block);
    *block = NULL;
    unsigned class_index = class_of(size_bytes);
    uint32_t hint = 0;
    struct heap_asker asker = {0, &hint};
    if (take_any(heap, class_index, asker, LOOK_ANY, 1, block) == 0) return slab_add_of_class(heap, class_index, asker, block);
    if (zero) slab_zero(*block, class_index);
    return ST_OK;
}

/* Counts a batch. */
static size_t refilled(size_t count) {
    tally_add(TALLY_REFILL, 1);
    tally_add(TALLY_REFILL_BLOCKS, count);
    return count;
}

size_t heap_alloc_some(struct heap *heap, unsigned class_index, struct heap_asker asker, size_t want, void **blocks) {
    size_t got = 0;
    while (got < want) {
        size_t at_once = want - got < 64 ? want - got : 64;
        size_t more = take_any(heap, class_index, asker, LOOK_OWN, at_once, blocks + got);
        if (more == 0 && got == 0) more = take_any(heap, class_index, asker, LOOK_OTHERS, at_once, blocks);
        if (more == 0) break;
        got += more;
    }
    if (got != 0) return refilled(got);
    /* The rest of a new slab is there for the next. */
    if (slab_add_of_class(heap, class_index, asker, blocks) != ST_OK) {
        return refilled(take_any(heap, class_index, asker, LOOK_ANY, want < 64 ? want : 64, blocks));
    }
    if (want == 1 || class_objects(class_index) == 1) return refilled(1);
    return refilled(1 + take_any(heap, class_index, asker, LOOK_OWN, want - 1 < 64 ? want - 1 : 64, blocks + 1));
}

/*
 * A size that is a multiple of the alignment gets a class whose size is one too: either it is a class's own size, or the step
 * between its class and the next is a multiple of the alignment. And a slab starts at a granule. So only alignments above that
 * need anything done.
 */
enum status heap_alloc_aligned(struct heap *heap, size_t size_bytes, size_t align, bool zero, void **block) {
    *block = NULL;
    if (size_bytes > BLOCK_LARGEST || align > BLOCK_LARGEST) return ST_NO_MEMORY;
    size_t in_class = class_aligned(size_bytes, align);
    if (in_class) return heap_alloc(heap, in_class, zero, block);
    return large_add(heap, pages_for(size_bytes), align < GRANULE_BYTES ? GRANULE_BYTES : align, zero, block);
}

enum status heap_alloc_apart(struct heap *heap, size_t size_bytes, void **block) {
    *block = NULL;
    return size_bytes > BLOCK_LARGEST ? ST_NO_MEMORY : large_add(heap, pages_for(size_bytes), GRANULE_BYTES, false, block);
}

/* ---- Blocks --------------------------------------------------------------------------------------------------- */

struct block {
    struct slab *slab;
    struct granule head;
    unsigned class_index;
    size_t object;
};

/* The block of its own that starts at this address, if it is the heap's, taken or not. */
static bool large_find(const struct heap *heap, const void *address, struct block *block) {
    if (!slab_find((uintptr_t)address, &block->head) || (uintptr_t)address != granule_address(block->head)) return false;
    block->slab = slab_at(block->head);
    block->class_index = CLASS_LARGE;
    block->object = 0;
    /* acq: pairs with slab_open, for what is read next. */
    return block->slab != NULL && life_owner(atom_load_acq_u64(&block->slab->life)) == owner_of(heap, CLASS_LARGE);
}

/* The same of an object in a slab with that tag, which starts at a multiple of its length. */
static inline bool object_find(const struct heap *heap, uint64_t tag, const void *address, struct block *block) {
    const struct class_row *row = tag_row(tag);
    block->object = (size_t)class_object_at(row, (uintptr_t)address);
    if (block->object >= row->objects) return false;
    block->head = granule_of((uintptr_t)address & ~(uintptr_t)row->mask);
    block->slab = slab_tagged(block->head);
    block->class_index = tag_class(tag);
    /* acq: as above. */
    return life_owner(atom_load_acq_u64(&block->slab->life)) == owner_of(heap, block->class_index);
}

static bool block_find(const struct heap *heap, const void *address, struct block *block) {
    uint64_t tag = slab_tag((uintptr_t)address);
    return tag == 0 ? large_find(heap, address, block) : object_find(heap, tag, address, block);
}

static bool block_taken(const struct block *block) {
    return bitmap_taken(slab_taken(block->slab, objects_of(block->class_index)), block->object);
}

enum status heap_free(struct heap *heap, void *address) {
    struct block block;
    if (!block_find(heap, address, &block)) return ST_NOT_OURS;
    /* rlx: read while the block holds the slab; afterwards the descriptor may be another's. */
    size_t place = (size_t)atom_load_rlx_u64(&block.slab->place);
    uint64_t life;
    if (!slab_release(block.slab, objects_of(block.class_index), block.object, &life)) return ST_NOT_OURS;
    if (life_count(life) == objects_of(block.class_index)) set_mark_room(&heap->set[block.class_index], place);
    if (life_count(life) == 1) empty_came(heap, block.class_index, block.head);
    return ST_OK;
}

/* Puts the objects of one word of a slab back. Returns which of them had been taken. */
static uint64_t give_word(struct heap *heap, const struct block *block, uint64_t mask) {
    /* rlx: as in heap_free. */
    size_t place = (size_t)atom_load_rlx_u64(&block->slab->place), objects = objects_of(block->class_index);
    uint64_t life, released = slab_release_some(block->slab, objects, block->object / 64, mask, &life);
    uint64_t before = life_count(life), after = before - (uint64_t)__builtin_popcountll(released);
    if (before >= objects && after < objects) set_mark_room(&heap->set[block->class_index], place);
    if (after == 0 && released != 0) empty_came(heap, block->class_index, block->head);
    return released;
}

static bool same_word(const struct block *a, const struct block *b) {
    return a->slab == b->slab && a->object / 64 == b->object / 64;
}

void heap_free_some(struct heap *heap, void *const *blocks, size_t count, void (*bad)(void *block)) {
    tally_add(TALLY_FLUSH, 1);
    tally_add(TALLY_FLUSH_BLOCKS, count);
    for (size_t i = 0; i < count;) {
        struct block first, next;
        if (!block_find(heap, blocks[i], &first)) {
            bad(blocks[i++]);
            continue;
        }
        uint64_t mask = (uint64_t)1 << first.object % 64;
        /* What follows is often of the same word; the same object twice is not. */
        while (++i < count && block_find(heap, blocks[i], &next) && same_word(&next, &first)) {
            uint64_t bit = (uint64_t)1 << next.object % 64;
            if (mask & bit) break;
            mask |= bit;
        }
        uint64_t missing = mask & ~give_word(heap, &first, mask);
        for (; missing != 0; missing &= missing - 1) {
            size_t object = first.object / 64 * 64 + (size_t)__builtin_ctzll(missing);
            bad((void *)(granule_address(first.head) + object * class_size(first.class_index)));
        }
    }
}

enum status heap_size(struct heap *heap, const void *address, size_t *size_bytes) {
    struct block block, large; /* two, so that only the second has to be in memory */
    uint64_t tag = slab_tag((uintptr_t)address);
    if (tag != 0) {
        if (!object_find(heap, tag, address, &block) || !block_taken(&block)) return ST_NOT_OURS;
        *size_bytes = class_size(block.class_index);
        return ST_OK;
    }
    if (!large_find(heap, address, &large) || !block_taken(&large)) return ST_NOT_OURS;
    *size_bytes = (size_t)slab_run(large.slab, large.head).count_pages * PAGE_BYTES;
    return ST_OK;
}

enum status heap_resize(struct heap *heap, void *address, size_t size_bytes) {
    struct block block;
    if (!block_find(heap, address, &block) || !block_taken(&block)) return ST_NOT_OURS;
    if (block.class_index != CLASS_LARGE) return size_bytes <= class_size(block.class_index) ? ST_OK : ST_NO_ADDRESS_SPACE;
    uint64_t held = slab_run(block.slab, block.head).count_pages;
    if (size_bytes > BLOCK_LARGEST) return ST_NO_MEMORY;
    uint64_t wanted = pages_for(size_bytes);
    enum status status = large_resize(heap, block.slab, block.head, wanted);
    return wanted <= held ? ST_OK : status;
}

/* ---- The whole heap --------------------------------------------------------------------------------------------- */

uint64_t heap_used(const struct heap *heap) {
    uint64_t bytes = 0;
    for (struct slab_walk walk = {0}; slab_walk_next(heap, &walk);) {
        bool large = walk.class_index == CLASS_LARGE;
        uint64_t each = large ? slab_run(walk.slab, walk.head).count_pages * PAGE_BYTES : class_size(walk.class_index);
        bytes += life_count(walk.life) * each;
    }
    return bytes;
}

uint64_t heap_taken(const struct heap *heap) { return budget_held(&heap->budget, BUDGET_COMMIT); }

struct budget *heap_budget(struct heap *heap) { return &heap->budget; }
