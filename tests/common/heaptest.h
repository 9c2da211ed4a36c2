/*
 * heaptest.h - what the tests of heaps and slabs share: making heaps and blocks that must be had, and what is taken in all.
 */
#ifndef TEST_HEAPTEST_H
#define TEST_HEAPTEST_H

#include "check.h"
#include "heap/classes.h"
#include "heap/heap.h"
#include "totals.h"

static inline struct heap *heap_make(uint64_t limit) {
    struct heap *heap;
    return CHECK(heap_create(false, limit, &heap) == ST_OK) ? heap : NULL;
}

static inline void *take(struct heap *heap, size_t size) {
    void *block;
    return CHECK(heap_alloc(heap, size, false, &block) == ST_OK) ? block : NULL;
}

static inline size_t slab_bytes(unsigned class_index) { return class_slab_pages(class_index) * PAGE_BYTES; }

static inline size_t size_of(struct heap *heap, const void *block) {
    size_t size = 0;
    CHECK(heap_size(heap, block, &size) == ST_OK);
    return size;
}

#endif
