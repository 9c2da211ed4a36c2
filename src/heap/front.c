/*
 * front.c - filling and emptying the magazines of heaps.
 *
 * A set of a thread's cache belongs to one heap at a time, known by an id that is never used again: what a set still holds
 * of a heap that was destroyed is forgotten, since its slabs are gone. While a flush is at work the heap is kept from being
 * cleared (heap_enter).
 *
 * Everything here runs with the thread's cache entered, so what the calls below may allocate in their turn goes past it.
 */
#include "heap/front.h"

#include "base/atom.h"
#include "heap/depot.h"
#include "heap/heap_inside.h"

static uint64_t double_free_tell; /* void (*)(void *block) */
static uint64_t double_free_count;

void front_on_double_free(void (*tell)(void *block)) {
    atom_store_rel_u64(&double_free_tell, (uint64_t)(uintptr_t)tell); /* rel: what it uses is ready */
}

uint64_t front_double_frees(void) { return atom_load_rlx_u64(&double_free_count); /* rlx: a figure for people */ }

void heap_tell_double_free(void *block) {
    void (*tell)(void *) = (void (*)(void *))(uintptr_t)atom_load_acq_u64(&double_free_tell); /* acq: as above */
    atom_add_acqrel_u64(&double_free_count, 1);
    if (tell) tell(block);
}

/*
 * The last bin of a set is for blocks of every class that lie in other threads' slabs and may share a cache line with what
 * those hand out. It is only ever filled and flushed.
 */
#define AWAY (CACHE_BINS - 1)
#define AWAY_BYTES 480u /* what a block there counts for: the largest that there are */

_Static_assert(CLASS_COUNT < AWAY, "a bin for each class, and one more");
_Static_assert(sizeof(struct magazine) == sizeof(struct class_row), "the marks of classes are those of their bins");
_Static_assert(CLASS_QUICK == CACHE_QUICK_SIZES, "what a cache that is open takes without another look");

static size_t item_bytes(unsigned bin) { return bin < CLASS_COUNT ? class_size(bin) : AWAY_BYTES; }

/* The owner of a set is the heap's id with its number, so that a flush can find the heap. */
static void flush(uint64_t owner, unsigned bin, void **items, size_t count, bool passing) {
    uint64_t number = owner & FRONT_NUMBER_MASK;
    struct heap *heap = heap_enter((uint32_t)number, owner);
    if (!heap) return;
    size_t passed = passing && bin < CLASS_COUNT ? depot_put(heap, bin, items, count) : 0;
    if (passed < count) heap_free_some(heap, items + passed, count - passed, heap_tell_double_free);
    heap_leave(heap);
}

static const struct cache_source source = {item_bytes, flush};

/* The cache with the heap's set attached, entered; NULL if the thread has to do without. */
static struct cache *front_enter(struct heap *heap) {
    const struct heap_front *front = heap_front(heap);
    struct cache *cache = cache_enter_or_make();
    if (!cache) return NULL;
    if (!cache_attach(cache, front->set, front->id, &source)) {
        cache_leave(cache);
        return NULL;
    }
    return cache;
}

/* heap_alloc_some, and if there is nothing it will be asked for once more. */
static size_t alloc_some_first(struct heap *heap, unsigned class_index, struct heap_asker asker, size_t want, void **blocks) {
    void *before = budget_ask_again();
    size_t got = heap_alloc_some(heap, class_index, asker, want, blocks);
    budget_ask_end(before);
    return got;
}

void *front_fetch(struct heap *heap, unsigned class_index) {
    const struct heap_front *front = heap_front(heap);
    struct cache *cache = front_enter(heap);
    uint32_t no_hint = 0;
    void *block = NULL;
    if (!cache) return heap_alloc_some(heap, class_index, (struct heap_asker){0, &no_hint}, 1, &block) ? block : NULL;
    struct heap_asker asker = {cache->home, &cache->set[front->set].hint[class_index]};
    struct magazine *m = cache_magazine(cache, front->set, class_index);
    void **items;
    size_t want = cache_want(cache, front->set, class_index, &items);
    if (want) {
        size_t got = depot_take(heap, class_index, items, want);
        cache_filled(m, got ? got : alloc_some_first(heap, class_index, asker, want, items));
    }
    block = cache_pop(&cache->own[front->set], cache_mark(class_index));
    /* Where none of a size is kept, one has still to be asked for. */
    if (!block && (want || alloc_some_first(heap, class_index, asker, 1, &block) == 0)) {
        /* No memory: what this thread keeps at hand may be what is missing. */
        for (unsigned set = 0; set < CACHE_SETS; set++) cache_flush_set(cache, set);
        heap_alloc_some(heap, class_index, asker, 1, &block);
    }
    cache_leave(cache);
    return block;
}

/* Into which magazine a block of this heap goes that this thread frees. */
static inline unsigned bin_for(const struct cache *cache, uint64_t tag) {
    return (tag & TAG_HOME_MASK & cache->others) == 0 ? tag_class(tag) : AWAY;
}

/* A block of this heap that the magazine for it has no room for, or that came first of all. */
static __attribute__((noinline)) enum status free_slowly(struct heap *heap, uint64_t tag, void *block) {
    const struct heap_front *front = heap_front(heap);
    struct cache *cache = front_enter(heap);
    if (!cache) return heap_free(heap, block);
    unsigned bin = bin_for(cache, tag);
    bool again = cache_came_last(cache, front->set, bin, block), kept = !again && cache_put(cache, front->set, bin, block);
    cache_leave(cache);
    return again ? ST_NOT_OURS : kept ? ST_OK : heap_free(heap, block);
}

enum status front_free_other(struct heap *heap, void *block) {
    const struct heap_front *front = heap_front(heap);
    uint64_t tag = slab_tag((uintptr_t)block);
    if ((tag & TAG_HEAP_MASK) != front->tag) return heap_free(heap, block);
    if (!class_starts_at(tag_row(tag), (uintptr_t)block)) return ST_NOT_OURS;
    struct cache *cache = cache_mine();
    if (!cache_try(cache)) return free_slowly(heap, tag, block);
    struct bins *bins = cache_bins_at(cache, front->at);
    bool attached = front_attached(bins, front);
    if (attached && front->set == CACHE_PROCESS) near_add(granule_of((uintptr_t)block & ~(uintptr_t)tag_row(tag)->mask), tag);
    bool kept = attached && cache_push(bins, cache_mark(bin_for(cache, tag)), block);
    cache_leave(cache);
    return kept ? ST_OK : free_slowly(heap, tag, block);
}

enum status front_alloc_large(struct heap *heap, size_t size_bytes, size_t align, bool zero, void **block) {
    void *before = budget_ask_again();
    enum status status = heap_alloc_aligned(heap, size_bytes, align, zero, block);
    budget_ask_end(before);
    if (status == ST_OK) return status;
    for (unsigned set = 0; set < CACHE_SETS; set++) cache_flush_mine(set); /* as in front_fetch */
    return heap_alloc_aligned(heap, size_bytes, align, zero, block);
}

enum status front_alloc_other(struct heap *heap, size_t size_bytes, bool zero, void **block) {
    if (size_bytes > CLASS_LARGEST) return front_alloc_large(heap, size_bytes, 1, zero, block);
    enum status status = front_alloc(heap, size_bytes, false, block);
    if (status == ST_OK && zero) slab_zero(*block, class_of(size_bytes));
    return status;
}
