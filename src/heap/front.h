/*
 * front.h - heaps through the threads' caches: what allocates and frees all day. Layer: heap.
 *
 * A block that a thread frees is kept by the thread, the last one by itself and others in a magazine of their class, and the
 * next of that class comes from there: a few plain instructions, no atomic operation, no system call. Only when a magazine is
 * empty or full do heaps' bitmaps come in, for many blocks at once. What other threads' slabs hold goes into a magazine that is
 * not served from, if its cache line may be shared: see "Homes" in heap.c.
 *
 * What is checked when: a free of an address that is not the start of an object of this heap is refused on the spot
 * (ST_NOT_OURS), and so is a second free right after the first. Another double free is found when the block goes back to
 * its slab, from the magazine or from the depot that the magazine was emptied into; until then it may be handed out twice.
 * heap_free, which is what threads without a cache use, finds every one on the spot.
 *
 * Each caller has ways of its own, cut to what it knows. A request that one does not serve goes on to the one on its right:
 *
 *   caller       compiled into it     called from it                      when the cache does not help
 *   malloc       front_take_quick                                         dropin_alloc: front_alloc
 *   free         front_keep_quick                                         dropin_free_other: front_free_other
 *   HmHeapAlloc  front_take                                               alloc_slowly: front_alloc
 *   HmHeapFree   front_keep                                               free_slowly: front_free
 *   Alloc        front_take_last      malloc_take: front_take_below       malloc_fetch: front_alloc
 *   Free         front_keep_first     malloc_keep: front_keep_behind      malloc_give: front_free_other
 *
 * malloc, free and their kin (dropin/malloc) know only the process's heap; the flat functions are in api/heap_api.c; Alloc and
 * Free are IHostMalloc's (com/malloc.c). The redirect drop-in calls front_alloc and front_free at once. These are
 *
 *   front_alloc  front_take, then front_fetch, which fills the magazine; front_alloc_other above CLASS_LARGEST and for zeros
 *   front_free   front_keep, then front_free_other, for what front_keep has no room or no place for, or what is no block
 *
 * and past the caches all of them end in heap.h's functions.
 */
#ifndef HM_FRONT_H
#define HM_FRONT_H

#include "core/cache.h"
#include "heap/classes.h"
#include "heap/heap.h"
#include "heap/near.h"
#include "heap/slab.h"

/* When the magazine does not help: fills it, and returns a block; NULL if there is no memory. */
void *front_fetch(struct heap *heap, unsigned class_index);

/* A free that is not the plain case. */
enum status front_free_other(struct heap *heap, void *block);

/* heap_alloc_aligned for what is of no class: where memory is short, what the thread keeps at hand goes for it. */
enum status front_alloc_large(struct heap *heap, size_t size_bytes, size_t align, bool zero, void **block);

/* heap_alloc for what the caches do not serve. */
enum status front_alloc_other(struct heap *heap, size_t size_bytes, bool zero, void **block);

/* Tells a program that it freed a block twice, found by a flush in some thread. NULL: nobody is told. */
void front_on_double_free(void (*tell)(void *block));
uint64_t front_double_frees(void);

#define FRONT_INLINE CACHE_INLINE

/* The mark of the size's class. False: the cache is busy, or the size is for no class. */
FRONT_INLINE bool front_mark(const struct cache *cache, size_t size_bytes, uint64_t *mark) {
    if (__builtin_expect(cache_takes(cache, size_bytes), 1)) {
        *mark = class_quick[size_bytes];
        return true;
    }
    atom_signal_fence(); /* has `open` read once more here, so that it is compared where it is there */
    if (cache_busy(cache) || size_bytes > CLASS_LARGEST) return false;
    *mark = class_mark_larger(size_bytes);
    return true;
}

/* ---- The process's heap, whose set of bins is nobody else's and the first -------------------------------------------- */

/* A block of up to CLASS_LARGEST from the thread's cache; NULL: it is for more, or front_fetch may have one. */
FRONT_INLINE void *front_take_quick(size_t size_bytes) {
    struct cache *cache = cache_mine();
    uint64_t mark;
    if (!front_mark(cache, size_bytes, &mark)) return NULL;
    cache_begin(cache);
    struct bins *bins = cache_bins(cache);
    void *block;
    /* The end of both ways is written out, so that neither has to jump to the other's. */
    if (__builtin_expect(bins->head.last.mark == mark, 1)) {
        block = cache_pop(bins, mark);
        cache_leave(cache);
        return block;
    }
    block = cache_pop_below(cache_marks(bins, mark));
    cache_leave(cache);
    return block;
}

/* Keeps a block that the thread may hand out again. False: it is not one, or there is no room; front_free_other. */
FRONT_INLINE bool front_keep_quick(void *block) {
    struct cache *cache = cache_mine();
    uint64_t mark;
    /* What is not there is busy, so this comes first. */
    if (__builtin_expect(cache_busy(cache) || !near_find(cache, (uintptr_t)block, &mark), 0)) return false;
    cache_begin(cache);
    struct bins *bins = cache_bins(cache);
    if (__builtin_expect(bins->head.last.mark == LAST_NONE, 1)) { /* written out for the same reason */
        bins->head.last = (struct last){mark, block};
        cache_leave(cache);
        return true;
    }
    bool kept = cache_push_behind(bins, mark, block);
    cache_leave(cache);
    return kept;
}

/* ---- Any heap --------------------------------------------------------------------------------------------------------- */

/* With the cache entered: are the bins that the heap's blocks go to the heap's now? */
FRONT_INLINE bool front_attached(const struct bins *bins, const struct heap_front *front) {
    return __builtin_expect(bins->head.owner == front->id, 1);
}

/* A block of up to CLASS_LARGEST from the thread's cache; NULL: it is for more, or front_fetch may have one. */
FRONT_INLINE void *front_take(struct heap *heap, size_t size_bytes) {
    const struct heap_front *front = heap_front(heap);
    struct cache *cache = cache_mine();
    void *block = NULL;
    uint64_t mark;
    if (!front_mark(cache, size_bytes, &mark)) return NULL;
    cache_begin(cache);
    struct bins *bins = cache_bins_at(cache, front->at);
    if (front_attached(bins, front)) block = cache_pop(bins, mark);
    cache_leave(cache);
    return block;
}

/* With the cache not busy; quick is a constant. See below. */
FRONT_INLINE void *front_pop_last(struct cache *cache, const struct heap_front *front, size_t size_bytes, bool quick,
                                  struct magazine **below) {
    cache_begin(cache);
    struct bins *bins = cache_bins_at(cache, front->at);
    if (!front_attached(bins, front)) {
        cache_leave(cache);
        return NULL;
    }
    atom_signal_fence(); /* the class is looked up when the heap's words are not needed any more */
    uint64_t mark = quick ? class_quick[size_bytes] : class_mark_coarse(size_bytes);
    if (__builtin_expect(bins->head.last.mark != mark, 0)) {
        *below = cache_marks(bins, mark);
        return NULL;
    }
    void *block = cache_pop(bins, mark);
    cache_leave(cache);
    return block;
}

/*
 * front_take for a caller whose own arguments fill the registers: the block that came last, if that is of the right class. NULL:
 * the cache is entered, and *below the magazine that front_take_below is to be called for; or that is NULL, and front_alloc may
 * have one.
 */
FRONT_INLINE void *front_take_last(struct heap *heap, size_t size_bytes, struct magazine **below) {
    const struct heap_front *front = heap_front(heap);
    struct cache *cache = cache_mine();
    *below = NULL;
    if (__builtin_expect(cache_takes(cache, size_bytes), 1)) return front_pop_last(cache, front, size_bytes, true, below);
    atom_signal_fence(); /* as in front_mark */
    if (cache_busy(cache) || size_bytes > CLASS_COARSE) return NULL;
    return front_pop_last(cache, front, size_bytes, false, below);
}

/* Leaves the cache. NULL: the magazine is empty, and front_alloc may have a block of its size. */
FRONT_INLINE void *front_take_below(struct magazine *below) {
    void *block = cache_pop_below(below);
    cache_leave(cache_mine());
    return block;
}

/* The size of the blocks in such a magazine. */
static inline size_t front_size_below(struct heap *heap, const struct magazine *below) {
    return class_size((unsigned)(below - cache_magazine(cache_mine(), heap_front(heap)->set, 0)));
}

FRONT_INLINE enum status front_alloc(struct heap *heap, size_t size_bytes, bool zero, void **block) {
    if (__builtin_expect(zero || size_bytes > CLASS_LARGEST, 0)) return front_alloc_other(heap, size_bytes, zero, block);
    void *got = front_take(heap, size_bytes);
    if (__builtin_expect(got == NULL, 0)) got = front_fetch(heap, class_of(size_bytes));
    *block = got;
    return got ? ST_OK : ST_NO_MEMORY;
}

/* What is to become of a block that is freed. */
enum front_way { FRONT_KEPT, FRONT_BEHIND /* by front_keep_behind: the cache is entered */, FRONT_OTHER };

/* Keeps a block of this heap that the thread may hand out again, if no other is in front. */
FRONT_INLINE enum front_way front_keep_first(const struct heap *heap, void *block, struct cache **entered, uint64_t *mark) {
    const struct heap_front *front = heap_front(heap);
    struct cache *cache = *entered = cache_mine();
    uint64_t row = slab_tag((uintptr_t)block) ^ front->tag;
    if (__builtin_expect((row & cache->others) != 0, 0)) return FRONT_OTHER;
    row &= TAG_ROW_MASK;
    if (__builtin_expect(!class_starts_at(tag_row(row), (uintptr_t)block), 0)) return FRONT_OTHER;
    if (__builtin_expect(!cache_try(cache), 0)) return FRONT_OTHER;
    struct bins *bins = cache_bins_at(cache, front->at);
    if (!front_attached(bins, front)) {
        cache_leave(cache);
        return FRONT_OTHER;
    }
    *mark = row + CLASS_MARK(0);
    if (__builtin_expect(bins->head.last.mark != LAST_NONE, 0)) return FRONT_BEHIND;
    bins->head.last = (struct last){*mark, block};
    cache_leave(cache);
    return FRONT_KEPT;
}

/*
 * The rest of that, and leaves the cache. False: there is no room, or it has just come; front_free_other. (The bins are found
 * once more; if the keeper has come to stop the cache meanwhile, they are the ones without room.)
 */
FRONT_INLINE bool front_keep_behind(const struct heap *heap, void *block, struct cache *cache, uint64_t mark) {
    bool kept = cache_push_behind(cache_bins_at(cache, heap_front(heap)->at), mark, block);
    cache_leave(cache);
    return kept;
}

FRONT_INLINE bool front_keep(const struct heap *heap, void *block) {
    struct cache *cache;
    uint64_t mark;
    enum front_way way = front_keep_first(heap, block, &cache, &mark);
    return way == FRONT_KEPT || (way == FRONT_BEHIND && front_keep_behind(heap, block, cache, mark));
}

FRONT_INLINE enum status front_free(struct heap *heap, void *block) {
    return __builtin_expect(front_keep(heap, block), 1) ? ST_OK : front_free_other(heap, block);
}

#endif
