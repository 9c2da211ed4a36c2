/*
 * cache.h - what a thread keeps at hand: magazines of free things, for objects and spans alike. Layer: core.
 *
 * A thread has one cache; a cache has sets; a set has an owner (the spans, or one heap) and bins; a bin is a magazine: a stack of
 * addresses. Taking from a magazine and putting into it are a few plain instructions. What happens when a magazine is empty
 * or full is the business of the set's source, in batches.
 *
 * A thread can be interrupted by its own signal handler in the middle of using its cache. cache_enter marks the cache busy and
 * cache_leave takes that back; a handler that allocates in between finds it busy, and goes straight to the bitmaps.
 */
#ifndef HM_CACHE_H
#define HM_CACHE_H

#include "base/atom.h"
#include "base/base.h"
#include "os/os_slot.h"

#define CACHE_SETS 8u
#define CACHE_BINS 128u /* more than any set has; a power of two, so that a bin's place is found by shifting */
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
    const struct cache_source *source;
    void **room;                    /* the items' memory, kept for life */
    uint32_t refills[CACHE_BINS];   /* since the magazine was last full: what it needs to grow */
};

struct cache {
    uint64_t busy; /* plain, but written in order: see cache_enter */
    uint64_t owner[CACHE_SETS]; /* of each set; 0: none */
    struct magazine bin[CACHE_SETS][CACHE_BINS];
    struct cache_set set[CACHE_SETS];
    uint64_t bound_bytes;   /* what the limits of all magazines add up to */
    uint64_t swept_ms;
    uint32_t number;
};

extern HM_HIDDEN struct cache cache_ended; /* stands for the cache of a thread that has had one; always busy */

/* The cache of this thread, to be left soon; NULL if it has none or is in the middle of using it. */
static inline struct cache *cache_enter(void) {
    struct cache *cache = os_slot_get(OS_SLOT_CACHE);
    /* rlx: only this thread looks, or its handlers, which leave it as they found it. */
    if (!cache || atom_load_rlx_u64(&cache->busy)) return NULL;
    atom_store_rlx_u64(&cache->busy, 1);
    atom_signal_fence();
    return cache;
}

static inline void cache_leave(struct cache *cache) {
    atom_signal_fence();
    atom_store_rlx_u64(&cache->busy, 0); /* rlx: as in cache_enter */
}

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
