/*
 * cache.h - what a thread keeps at hand: magazines of free things, for objects and spans alike. Layer: core.
 *
 * A thread has one cache; a cache has sets; a set has an owner (the spans, or one heap) and bins; a bin is a magazine: a stack of
 * addresses. Taking from a magazine and putting into it are a few plain instructions. What happens when a magazine is empty
 * or full is the business of the set's source, in batches.
 *
 * The thread's pointer to its cache doubles as the guard against the thread itself: cache_enter takes it away and
 * cache_leave puts it back, so a signal handler that allocates in between finds no cache, and goes straight to the bitmaps.
 */
#ifndef HM_CACHE_H
#define HM_CACHE_H

#include "base/base.h"
#include "os/os_slot.h"

#define CACHE_SETS 8u
#define CACHE_BINS 112u
#define CACHE_SPANS 0u /* the set of whole spans; the others are heaps' */

/* [floor, base) rests: see cache_sweep. [base, top) is at hand, [top, end) is room. All NULL: not in use yet. */
struct magazine {
    void **top;
    void **base;
    void **end;
    void **floor;
};

/* How a set's bins are filled and emptied. */
struct cache_source {
    size_t (*item_bytes)(unsigned bin);
    /* Gives the items back to where they came from. */
    void (*flush)(uint64_t owner, unsigned bin, void **items, size_t count);
};

struct cache_set {
    uint64_t owner; /* 0: none */
    const struct cache_source *source;
    void **room;                    /* the items' memory, kept for life */
    uint32_t refills[CACHE_BINS];   /* since the magazine was last full: what it needs to grow */
};

struct cache {
    struct magazine bin[CACHE_SETS][CACHE_BINS];
    struct cache_set set[CACHE_SETS];
    uint64_t bound_bytes;   /* what the limits of all magazines add up to */
    uint64_t swept_ms;
    uint32_t number;
};

/* The cache of this thread, to be left soon; NULL if it has none or is in the middle of using it. */
static inline struct cache *cache_enter(void) {
    struct cache *cache = os_slot_get(OS_SLOT_READY);
    if (cache) os_slot_set(OS_SLOT_READY, NULL);
    return cache;
}

static inline void cache_leave(struct cache *cache) { os_slot_set(OS_SLOT_READY, cache); }

/* cache_enter, and makes the cache if the thread has none yet. NULL as well if there is no memory or no room for one. */
struct cache *cache_enter_or_make(void);

/* With the cache entered: the set is the owner's from now on; what it held for another is flushed. False: no memory. */
bool cache_attach(struct cache *cache, unsigned set, uint64_t owner, const struct cache_source *source);

/* How many items to fetch into an empty magazine, and where to: at least 1 unless there is no memory. Ends with cache_filled. */
size_t cache_want(struct cache *cache, unsigned set, unsigned bin, void ***items);
static inline void cache_filled(struct magazine *m, size_t count) { m->top += count; }

/* With a magazine that is full: makes room for one more at least, by a higher limit or by flushing. False: no memory. */
bool cache_make_room(struct cache *cache, unsigned set, unsigned bin);

/* Flushes one set of the cache, or the same set (or all) of the calling thread's. Returns the bytes of what was in it. */
uint64_t cache_flush_set(struct cache *cache, unsigned set);
uint64_t cache_flush_mine(unsigned set);
void cache_flush_all(void);

/*
 * The bound on the magazines of one thread, in bytes of what they may hold; the tightest ever set holds, 0 sets none. What
 * does not fit in half of it is not kept: 1 switches the caches off.
 */
void cache_bound_set(uint64_t bytes);

#endif
