/*
 * near.h - a thread's map of the slabs of the process's heap that serve it: what the quickest way of a free looks at, and not
 * the slabs' tags. Layer: heap.
 *
 * The map is in the thread's cache (struct cache_quick), by granule: where the slab starts that covers it, and of which class it
 * is. So one multiplication and one comparison tell of any address whether an object of the thread's own slabs starts there. Of
 * granules that have the same number in different slots only one can be in the map; a block that is not in it is freed by its
 * slab's tag.
 */
#ifndef HM_NEAR_H
#define HM_NEAR_H

#include "core/cache.h"
#include "heap/classes.h"

/* Slabs of the heap with this number are put into maps from now on. */
void near_serve(uint64_t heap);

/*
 * Puts a slab into the calling thread's map, if that is one whose blocks the thread may keep, and of the right heap. The caller
 * knows the slab's tag and keeps it from being closed.
 */
void near_add(struct granule head, uint64_t tag);

/* Makes the slab serve the calling thread, whose home that is, or none; the caller keeps it from being closed. */
void near_move(struct granule head, uint64_t home);

/*
 * Takes a slab with that tag out of its home's map, or out of all that may have it. The caller keeps it from being closed, or has
 * closed it.
 */
void near_drop(struct granule head, uint64_t tag);

/*
 * What tells where the objects of that class start, given how far an address is from the start of a slab. It is exact for
 * addresses of 47 bits, and for those that differ from an object's in their upper bits; of all others one in 2^40 is taken for
 * an object's.
 */
struct cache_starts near_starts(const struct class_row *row);

/* In a cache that is not busy: is this where an object of the thread's own slabs starts, and of which class? */
static inline __attribute__((always_inline)) bool near_find(const struct cache *cache, uintptr_t address, uint64_t *mark) {
    size_t g = (uint32_t)address >> GRANULE_SHIFT;
    if (CACHE_NEAR == 0) return false;
    /* own: others only take slabs out, and not while a block of them is being freed; see near.c */
    uint64_t offset = address - atom_load_own_u64(&cache->quick.start[g]);
    *mark = cache->quick.mark[g];
    /* Both are found by the register that leads to the rest. */
    const char *magic = (const char *)&cache->quick.class[0].starts.magic + *mark;
    const char *limit = (const char *)&cache->quick.class[0].starts.limit + *mark;
    offset *= *(const uint64_t *)(const void *)magic;
    return __builtin_expect(offset < *(const uint64_t *)(const void *)limit, 1);
}

#endif
