/*
 * cache.h - what a thread keeps at hand: magazines of free things, for objects and spans alike. Layer: core.
 *
 * A thread has one cache; a cache has sets; a set has an owner (the spans, or one heap) and bins; a bin is a magazine: a stack of
 * addresses. Taking from a magazine and putting into it are a few plain instructions. What happens when a magazine is empty
 * or full is the business of the set's source, in batches.
 *
 * A thread can be interrupted by its own signal handler in the middle of using its cache. cache_enter marks the cache busy and
 * cache_leave takes that back; a handler that allocates in between finds it busy, and goes straight to the bitmaps.
 *
 * The keeper (keeper.c) is the other one who may use a thread's cache: it stops it first, and a thread whose cache is stopped
 * finds magazines that have nothing in them and no room (cache_bins), and goes to the bitmaps as well. So neither waits.
 */
#ifndef HM_CACHE_H
#define HM_CACHE_H

#include "base/atom.h"
#include "base/base.h"
#include "os/os_slot.h"

#define CACHE_SETS 8u
#define CACHE_BINS 128u /* more than any set has */
#define CACHE_PROCESS 0u /* the set of the process's own heap, and never another's */
#define CACHE_SPANS 1u   /* the set of whole spans; the others are heaps' */

/* [floor, base) rests: see cache_sweep. [base, top) is at hand, [top, end) is room. All NULL: not in use yet. */
struct magazine {
    void **top;
    void **base;
    void **end;
    void **floor; /* floor[-1] is NULL, so that top[-1] can always be read */
};

/* How a set's bins are filled and emptied. */
struct cache_source {
    size_t (*item_bytes)(unsigned bin);
    /* Gives the items back to where they came from; `passing`: because there are too many, not because they are idle. */
    void (*flush)(uint64_t owner, unsigned bin, void **items, size_t count, bool passing);
};

struct cache_set {
    const struct cache_source *source;
    void **room;                  /* the items' memory, kept for life */
    uint32_t refills[CACHE_BINS]; /* since the magazine was last full: what it needs to grow */
    uint32_t hint[CACHE_BINS];    /* the source's own */
    uint8_t revived[CACHE_BINS];  /* times that hidden items came back since the last sweep */
};

/* Whose the cache is. */
enum cache_holder {
    CACHE_FREE,    /* nobody's */
    CACHE_THREADS, /* its thread's */
    CACHE_STOPPED, /* the keeper's for a moment */
    CACHE_LEFT,    /* to be finished by who has it: its thread has ended */
    CACHE_PARKED   /* nobody's, with all that is in it, for the next thread that comes */
};

struct cache {
    /* The first line is laid out as os_slot_unset. */
    uint64_t busy;        /* see cache_enter */
    uint64_t bins;        /* struct magazine[CACHE_SETS][CACHE_BINS]: `bin` below, or cache_no_bins while it is stopped */
    uint64_t home;        /* the heaps' name for the thread: number + 1, where their tags have it */
    uint64_t process_tag; /* how the tags of the process's heap that are this thread's begin; see heap/slab.h */
    uint64_t unused[4];
    uint64_t owner[CACHE_SETS]; /* of each set; 0: none */
    struct cache_set set[CACHE_SETS];
    uint64_t bound_bytes; /* what the limits of all magazines add up to */
    uint64_t passed_bytes;  /* by flushes of full magazines */
    uint64_t swept_ms;
    uint64_t holder;        /* enum cache_holder */
    uint64_t idle;          /* 1: the keeper has swept it, and its thread has not been on a slow path since */
    uint32_t number;
    uint32_t thread; /* as the system numbers it; 0: it has ended */
    struct magazine bin[CACHE_SETS][CACHE_BINS];
};

#define CACHE_HOME_SHIFT 16

extern HM_HIDDEN struct magazine cache_no_bins[CACHE_SETS][CACHE_BINS]; /* all NULL, and never written */

static inline struct cache *cache_mine(void) { return os_slot_get(OS_SLOT_CACHE); }

/* Enters the cache, to be left soon. False: it is in use. */
static inline bool cache_try(struct cache *cache) {
    /* own: only this thread writes it, and its handlers, which leave it as they found it. */
    if (__builtin_expect(atom_load_own_u64(&cache->busy) != 0, 0)) return false;
    atom_store_own_u64(&cache->busy, 1);
    atom_signal_fence();
    return true;
}

static inline void cache_leave(struct cache *cache) {
    atom_signal_fence();
    atom_store_own_u64(&cache->busy, 0); /* pairs with the keeper's load */
}

/* The magazines of a cache that was entered. own: read after `busy` was written, see cache_stop. */
static inline struct magazine *cache_bins(const struct cache *cache) {
    return (struct magazine *)(uintptr_t)atom_load_own_u64(&cache->bins);
}

/* The same of one that cache_enter has entered: the keeper leaves it alone until the thread leaves it. */
static inline struct magazine *cache_magazine(struct cache *cache, unsigned set, unsigned bin) { return &cache->bin[set][bin]; }

/* Is there a thread with this home that has asked for or given back anything lately, other than through its magazines? */
bool cache_home_active(uint64_t home);

/* The thread's cache, entered; NULL if it has none, or is in the middle of using it, or the keeper is. */
struct cache *cache_enter(void);

/* cache_enter, and makes the cache if the thread has none yet. NULL as well if there is no memory or no room for one. */
struct cache *cache_enter_or_make(void);

/* With the cache entered: the set is the owner's from now on; what it held for another is flushed. False: no memory. */
bool cache_attach(struct cache *cache, unsigned set, uint64_t owner, const struct cache_source *source);

/*
 * How many items to fetch into an empty magazine, and where to; ends with cache_filled. 0: there are some at hand now, or no
 * memory.
 */
size_t cache_want(struct cache *cache, unsigned set, unsigned bin, void ***items);
static inline void cache_filled(struct magazine *m, size_t count) { m->top += count; }

/* With a magazine that is full: makes room for one more at least, by a higher limit or by flushing. False: no memory. */
bool cache_make_room(struct cache *cache, unsigned set, unsigned bin);

/* Flushes one set of the cache, or the same set (or all) of the calling thread's. Returns the bytes of what was in it. */
uint64_t cache_flush_set(struct cache *cache, unsigned set);
/* The same of a stopped cache: its owner, which the thread reads without entering, stays. */
uint64_t cache_empty_set(struct cache *cache, unsigned set);
uint64_t cache_flush_mine(unsigned set);
/* All of the calling thread's, and what ended threads have left. */
void cache_flush_all(void);

/*
 * Sweeps an entered or stopped cache: gives back what rested unused since the sweep before, and lays to rest what is at hand.
 * Returns the bytes that are left in it.
 */
uint64_t cache_sweep(struct cache *cache);

/*
 * The keeper's part. cache_each_used calls visit for every cache that a thread has or had, in the order of their numbers.
 * cache_stop keeps the thread out from its next entry on, which is certain after the next os_barrier; then cache_stopped tells
 * whether the thread is not in it now. cache_go_on ends what cache_stop began, and finishes a cache whose thread has ended.
 * cache_finish_parked empties a parked one and frees it; false if it is not parked.
 */
void cache_each_used(void (*visit)(struct cache *cache, void *context), void *context);
bool cache_stop(struct cache *cache);
bool cache_finish_parked(struct cache *cache);
bool cache_stopped(const struct cache *cache);
void cache_go_on(struct cache *cache);

/*
 * In a child made by fork: caches that the keeper had stopped, or other threads were in the middle of using, are lost, since
 * nobody knows how far they were. The keeper empties those of the other threads that it has not.
 */
void cache_after_fork(void);

/*
 * The bounds on the magazines of one thread, and of all threads together, in bytes of what they may hold; the tightest ever set
 * holds, 0 sets none. What does not fit in half of a thread's is not kept: 1 switches the caches off.
 */
void cache_bound_set(uint64_t thread_bytes, uint64_t all_bytes);

#endif
