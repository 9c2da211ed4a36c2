/*
 * observed.h - managers and heaps that keep an account of their callers: of calls, and of blocks. Layer: com.
 *
 * An object that options ask to observe has methods that do so and then call the ordinary ones; any other has the ordinary ones
 * themselves, so it pays nothing for the possibility.
 */
#ifndef HM_OBSERVED_H
#define HM_OBSERVED_H

#include "heap/heap.h"
#include "hostmem.h"
#include "policy/calls.h"

/* What is observed of an object; all zero: nothing. It stands right behind the object's interface. */
struct observed {
    struct call_record *calls;
    uint32_t track_every; /* blocks are tracked: plain Alloc's for one call in so many */
    HM_LEAK_VISIT leak;
    void *leak_context;
};

extern HM_HIDDEN const IHostMemoryManagerVtbl manager_methods;
extern HM_HIDDEN const IHostMallocVtbl malloc_methods;

/* Set *observed up for a new object. Return its methods. A record of calls that cannot be had is done without. */
const IHostMemoryManagerVtbl *observed_manager_start(struct observed *observed, const HM_OPTIONS *options, uint32_t number);
const IHostMallocVtbl *observed_malloc_start(struct observed *observed, const struct observed *manager, const struct heap *heap);

/* Are these the methods of a manager, or of a heap, of ours? */
bool observed_is_manager(const IHostMemoryManagerVtbl *methods);
bool observed_is_malloc(const IHostMallocVtbl *methods);

/* The last reference is gone; the heap still has its blocks. */
void observed_manager_end(struct observed *observed);
void observed_malloc_end(struct observed *observed, const struct heap *heap);

struct heap *malloc_heap(IHostMalloc *face);

#endif
