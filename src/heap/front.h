/*
 * front.h - heaps through the threads' caches: what allocates and frees all day. Layer: heap.
 *
 * A block that a thread frees goes into the thread's magazine of its class, and the next of that class comes from there: a
 * few plain instructions, no atomic operation, no system call. Only when a magazine is empty or full do heaps' bitmaps come
 * in, for many blocks at once.
 *
 * What is checked when: a free of an address that is not the start of an object of this heap is refused on the spot
 * (ST_NOT_OURS), and so is one of the block that the thread freed last. Another double free is found when the magazine is
 * flushed, at the latest; until then the block may be handed out twice. heap_free, which is what threads without a cache
 * use, finds every one on the spot.
 */
#ifndef HM_FRONT_H
#define HM_FRONT_H

#include "core/cache.h"
#include "heap/classes.h"
#include "heap/heap.h"
#include "heap/slab.h"

/* When the magazine does not help: fills it, and returns a block; NULL if there is no memory. */
void *front_fetch(struct heap *heap, unsigned class_index);

/* When the magazine is full: makes room, and keeps the block or frees it. */
enum status front_return(struct heap *heap, unsigned class_index, void *block);

/* heap_alloc and heap_free for what the caches do not serve. */
enum status front_alloc_other(struct heap *heap, size_t size_bytes, bool zero, void **block);

/* Tells a program that it freed a block twice, found by a flush in some thread. NULL: nobody is told. */
void front_on_double_free(void (*tell)(void *block));
uint64_t front_double_frees(void);

/* The compiler would call these two; a call costs a sixth of them. */
#define FRONT_INLINE static inline __attribute__((always_inline))

/* The thread's magazine for the class, with the cache entered; NULL: not this heap's. */
static inline struct magazine *front_magazine(struct cache *cache, const struct heap_front *front, unsigned class_index) {
    return __builtin_expect(cache->owner[front->set] == front->id, 1) ? &cache->bin[front->set][class_index] : NULL;
}

FRONT_INLINE void *front_take(struct heap *heap, unsigned class_index) {
    const struct heap_front *front = heap_front(heap);
    struct cache *cache = cache_enter();
    if (!cache) return NULL;
    struct magazine *m = front_magazine(cache, front, class_index);
    void *block = m && m->top != m->base ? *--m->top : NULL;
    cache_leave(cache);
    return block;
}

static inline enum status front_alloc(struct heap *heap, size_t size_bytes, bool zero, void **block) {
    if (zero || size_bytes > CLASS_LARGEST) return front_alloc_other(heap, size_bytes, zero, block);
    unsigned class_index = class_of(size_bytes);
    *block = front_take(heap, class_index);
    if (!*block) *block = front_fetch(heap, class_index);
    return *block ? ST_OK : ST_NO_MEMORY;
}

FRONT_INLINE enum status front_free(struct heap *heap, void *block) {
    const struct heap_front *front = heap_front(heap);
    uint32_t tag = slab_tag((uintptr_t)block);
    if (tag >> TAG_HEAP_SHIFT != front->number) return heap_free(heap, block);
    unsigned class_index = (tag & 0xff) - 1;
    uintptr_t base = ((uintptr_t)block >> GRANULE_SHIFT) - (tag >> TAG_BACK_SHIFT & 0xff);
    size_t offset = (size_t)((uintptr_t)block - (base << GRANULE_SHIFT));
    size_t object = class_index_at(class_index, offset);
    if (object * class_size(class_index) != offset || object >= class_objects(class_index)) return ST_NOT_OURS;
    struct cache *cache = cache_enter();
    if (!cache) return front_return(heap, class_index, block);
    struct magazine *m = front_magazine(cache, front, class_index);
    bool room = m && m->top != m->end;
    bool again = room && m->top != m->floor && m->top[-1] == block;
    if (room && !again) *m->top++ = block;
    cache_leave(cache);
    return again ? ST_NOT_OURS : room ? ST_OK : front_return(heap, class_index, block);
}

#endif
