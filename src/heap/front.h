/*
 * front.h - heaps through the threads' caches: what allocates and frees all day. Layer: heap.
 *
 * A block that a thread frees goes into the thread's magazine of its class, and the next of that class comes from there: a
 * few plain instructions, no atomic operation, no system call. Only when a magazine is empty or full do heaps' bitmaps come
 * in, for many blocks at once. What other threads' slabs hold goes into a magazine that is not served from, if its cache line may
 * be shared: see "Homes" in heap.c.
 *
 * What is checked when: a free of an address that is not the start of an object of this heap is refused on the spot
 * (ST_NOT_OURS), and so is one of the block that the thread freed last. Another double free is found when the block goes back to
 * its slab, from the magazine or from the depot that the magazine was emptied into; until then it may be handed out twice.
 * heap_free, which is what threads without a cache use, finds every one on the spot.
 */
#ifndef HM_FRONT_H
#define HM_FRONT_H

#include "core/cache.h"
#include "heap/classes.h"
#include "heap/heap.h"
#include "heap/slab.h"

/* When the magazine does not help: fills it, and returns a block; NULL if there is no memory. */
void *front_fetch(struct heap *heap, unsigned class_index);

/* A free that is not the plain case. */
enum status front_free_other(struct heap *heap, void *block);

/* heap_alloc and heap_free for what the caches do not serve. */
enum status front_alloc_other(struct heap *heap, size_t size_bytes, bool zero, void **block);

/* Tells a program that it freed a block twice, found by a flush in some thread. NULL: nobody is told. */
void front_on_double_free(void (*tell)(void *block));
uint64_t front_double_frees(void);

/* The compiler would call these; a call costs a sixth of them. */
#define FRONT_INLINE static inline __attribute__((always_inline))

/* With the cache entered. NULL: the magazine is empty. */
FRONT_INLINE void *front_pop(struct magazine *m) {
    void **top = m->top;
    if (__builtin_expect(top == m->base, 0)) return NULL;
    void *block = top[-1];
    m->top = top - 1;
    if (block == NULL) __builtin_unreachable(); /* so that the caller's test for NULL is the one above */
    return block;
}

/* With the cache entered. False: the magazine is full, or the block is the one that was freed last. */
FRONT_INLINE bool front_push(struct magazine *m, void *block) {
    void **top = m->top;
    if (__builtin_expect(top == m->end || top[-1] == block, 0)) return false;
    *top = block;
    m->top = top + 1;
    return true;
}

/* ---- The process's heap, whose set of magazines is nobody else's ----------------------------------------------------- */

/* A block of up to CLASS_LARGEST from the thread's magazine; NULL: front_fetch may have one. */
FRONT_INLINE void *front_take_quick(size_t size_bytes) {
    struct cache *cache = cache_mine();
    if (!cache_try(cache)) return NULL;
    char *bins = (char *)(cache_bins(cache) + CACHE_PROCESS * CACHE_BINS);
    void *block = front_pop((struct magazine *)(void *)(bins + class_place(size_bytes)));
    cache_leave(cache);
    return block;
}

/* Keeps a block of the thread's own slabs. False: it is not one, or there is no room; front_free_other. */
FRONT_INLINE bool front_keep_quick(void *block) {
    struct cache *cache = cache_mine();
    uint64_t row = slab_tag((uintptr_t)block) - cache->process_tag;
    if (__builtin_expect(row > TAG_ROW_MASK, 0)) return false;
    if (__builtin_expect(class_object_at(tag_row(row), (uintptr_t)block) >= tag_row(row)->objects, 0)) return false;
    if (!cache_try(cache)) return false;
    char *bins = (char *)(cache_bins(cache) + CACHE_PROCESS * CACHE_BINS);
    bool kept = front_push((struct magazine *)(void *)(bins + row), block);
    cache_leave(cache);
    return kept;
}

/* ---- Any heap --------------------------------------------------------------------------------------------------------- */

/* The thread's magazines for the heap, with the cache entered. */
FRONT_INLINE struct magazine *front_bins(struct cache *cache, const struct heap_front *front) {
    if (__builtin_expect(cache->owner[front->set] != front->id, 0)) return &cache_no_bins[0][0];
    return cache_bins(cache) + (size_t)front->set * CACHE_BINS;
}

/* A block from the thread's magazine at that place (class_place); NULL: front_fetch may have one. */
FRONT_INLINE void *front_take(struct heap *heap, size_t place) {
    struct cache *cache = cache_mine();
    if (__builtin_expect(!cache_try(cache), 0)) return NULL;
    void *block = front_pop((struct magazine *)(void *)((char *)front_bins(cache, heap_front(heap)) + place));
    cache_leave(cache);
    return block;
}

FRONT_INLINE enum status front_alloc(struct heap *heap, size_t size_bytes, bool zero, void **block) {
    if (__builtin_expect(zero || size_bytes > CLASS_LARGEST, 0)) return front_alloc_other(heap, size_bytes, zero, block);
    size_t place = class_place(size_bytes);
    void *got = front_take(heap, place);
    if (__builtin_expect(got == NULL, 0)) got = front_fetch(heap, (unsigned)(place / sizeof(struct class_row)));
    *block = got;
    return got ? ST_OK : ST_NO_MEMORY;
}

FRONT_INLINE enum status front_free(struct heap *heap, void *block) {
    const struct heap_front *front = heap_front(heap);
    struct cache *cache = cache_mine();
    uint64_t row = slab_tag((uintptr_t)block) - front->tag - cache->home;
    if (__builtin_expect(row > TAG_ROW_MASK, 0)) return front_free_other(heap, block);
    if (class_object_at(tag_row(row), (uintptr_t)block) >= tag_row(row)->objects) return ST_NOT_OURS;
    bool kept = false;
    if (__builtin_expect(cache_try(cache), 1)) {
        kept = front_push((struct magazine *)(void *)((char *)front_bins(cache, front) + row), block);
        cache_leave(cache);
    }
    return __builtin_expect(kept, 1) ? ST_OK : front_free_other(heap, block);
}

#endif
