/*
 * cache.h - what a thread keeps at hand: magazines of free things, for objects and spans alike. Layer: core.
 *
 * A thread has one cache; a cache has sets; a set has an owner (the spans, or one heap) and bins; a bin is a magazine, which is
 * a stack of addresses. In front of a heap's magazines is one place for the item that came last, of whatever bin: if that is
 * wanted again at once, as it often is, no magazine is touched, and the processor need not wait to learn where it was put.
 * (Where sizes are mixed it seldom is, and nobody can foretell when; then the place stays empty for a while.)
 * Taking and putting are a few plain instructions. What happens when a magazine is empty or full is the business of the set's
 * source, in batches.
 *
 * A thread can be interrupted by its own signal handler in the middle of using its cache. While it does that the cache is not
 * `open`: a handler that allocates in between finds it busy, and goes straight to the bitmaps. (One word says so and how large
 * a request may be that the thread's quickest way serves, since every request is compared with that anyway.)
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
#define CACHE_BINS 127u /* more than any set has */
#define MAGAZINE_MOST 2048u /* items, of the largest magazine */
#define CACHE_PROCESS 0u /* the set of the process's own heap, and never another's */
#define CACHE_SPANS 1u   /* the set of whole spans; the others are heaps' */

/* [floor, base) rests: see cache_sweep. [base, top) is at hand, [top, end) is room. All NULL: not in use yet. */
struct magazine {
    void **top;
    void **base;
    void **end;
    void **floor; /* floor[-1] is NULL, so that top[-1] can always be read */
};

/* The item that came last. Its mark says in which magazine it belongs (cache_mark), or is one of these. */
struct last {
    uint64_t mark;
    void *item;
};
enum {
    LAST_CLOSED, /* not in use */
    LAST_NONE,   /* there is none */
    LAST_MIXED   /* nor shall there be: items of many bins come, and which is wanted next cannot be foretold */
};

/*
 * A set's bins. The head has the place that the mark LAST_CLOSED leads to: while that is the last's, its item is the owner, so
 * that whoever takes the head for a magazine finds no room in it.
 */
struct head {
    uint64_t owner; /* 0: none */
    struct last last;
    uint64_t left; /* how often another may take the place of the last before LAST_MIXED; then, how long that lasts */
};
#define MIXED_AFTER ((uint64_t)16)
#define MIXED_FOR ((uint64_t)4096)
struct bins {
    struct head head;
    struct magazine magazine[CACHE_BINS];
};
_Static_assert(sizeof(struct head) == sizeof(struct magazine) && offsetof(struct head, owner) == offsetof(struct magazine, top) &&
                   offsetof(struct head, last.item) == offsetof(struct magazine, end),
               "a closed head reads as a full magazine");

/*
 * What the process's heap keeps here for the quickest of its ways (heap/near.h): by the granule's number in its slot, the slabs
 * that serve this thread. A thread has no such map where memory must be promised to be there.
 */
#ifdef _WIN32
#define CACHE_NEAR ((size_t)0)
#else
#define CACHE_NEAR GRANULES_PER_SLOT
#endif
#define CACHE_QUICK_SIZES ((uint64_t)1025) /* 0 and up: those whose bins are found by a table */

struct cache_starts { /* where a class's objects start: at the offsets whose product with magic is below the limit */
    uint64_t magic;
    uint64_t limit;
};

struct cache_quick {
    struct {
        struct cache_starts starts; /* of the classes that there are slabs of here */
        uint64_t unused[2];
    } class[CACHE_BINS + 1];        /* by the mark: as long as a magazine each */
    volatile bool adding;           /* the thread is putting a slab in, and may be interrupted by its own signal handler */
    uint64_t start[CACHE_NEAR + 1]; /* where the slab starts that covers the granule, or CACHE_NO_SLAB */
    uint16_t mark[CACHE_NEAR + 4];  /* of that slab */
};

/* No address of a granule of that number is less than CACHE_AWAY above it: zero, but for the lowest numbers half a slot. */
#define CACHE_AWAY ((uint64_t)1 << 20)
#define CACHE_NO_SLAB(granule) ((uint64_t)((granule) < CACHE_AWAY / GRANULE_BYTES) << (SLOT_SHIFT - 1))

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
    const void *swept_last;       /* the item that came last before the last sweep */
    bool from_end;                /* the source's own: where zeroing began last, see zero.h */
};

/* Whose the cache is. */
enum cache_holder {
    CACHE_FREE,    /* nobody's */
    CACHE_THREADS, /* its thread's */
    CACHE_STOPPED, /* the keeper's for a moment */
    CACHE_LEFT,    /* to be finished by who has it: its thread has ended */
    CACHE_PARKED,  /* nobody's, with all that is in it, for the next thread that comes */
    CACHE_LOST     /* nobody's for ever: who had it was in the middle of it, and is not in this process any more */
};

struct cache {
    /* The first line is laid out as os_slot_unset. */
    uint64_t open;        /* CACHE_QUICK_SIZES, or 0 while it is in use: requests of fewer bytes need no other look */
    uint64_t bins;        /* struct bins: `own` below, or cache_no_bins while it is stopped */
    uint64_t home;        /* the heaps' name for the thread, see cache_home */
    uint64_t others;      /* the bits that none of a heap's tags has for blocks that this thread may keep, see heap/slab.h */
    struct bins own[CACHE_SETS]; /* the first head on this line, since each store to another line takes a cycle */
    /* On a page with the first of the sets: a thread that needs little touches few. */
    uint64_t bound_bytes;  /* what the limits of all magazines add up to */
    uint64_t passed_bytes; /* by flushes of full magazines */
    uint64_t swept_ms;
    uint64_t holder;       /* enum cache_holder */
    uint64_t idle;         /* 1: the keeper has swept it, and its thread has not been on a slow path since */
    uint32_t number;
    uint32_t thread; /* as the system numbers it; 0: it has ended */
    struct cache_set set[CACHE_SETS];
    struct cache_quick quick;
};

/*
 * The name of the cache with that number for the heaps' tags: a number from 1, and above it its complement. All names have as
 * many ones; so a name has a bit that another has not, whatever the two are.
 */
#define CACHE_HOME_SHIFT 12
#define CACHE_HOME_BITS 12
#define CACHE_HOME_MASK ((((uint64_t)1 << 2 * CACHE_HOME_BITS) - 1) << CACHE_HOME_SHIFT)
static inline uint64_t cache_home(uint32_t number) {
    uint64_t from_1 = (uint64_t)number + 1, half = ((uint64_t)1 << CACHE_HOME_BITS) - 1;
    return (from_1 | (~from_1 & half) << CACHE_HOME_BITS) << CACHE_HOME_SHIFT;
}
static inline uint32_t cache_home_number(uint64_t home) {
    return (uint32_t)(home >> CACHE_HOME_SHIFT & (((uint64_t)1 << CACHE_HOME_BITS) - 1)) - 1;
}

/* A bin's mark: how far its magazine is from the set's head. */
static inline uint64_t cache_mark(unsigned bin) { return ((uint64_t)bin + 1) * sizeof(struct magazine); }
static inline unsigned cache_marked(uint64_t mark) { return (unsigned)(mark / sizeof(struct magazine)) - 1; }

/* Is it a bin's, so that there is an item that came last? */
static inline bool cache_marks_bin(uint64_t mark) { return mark > LAST_MIXED; }

extern HM_HIDDEN struct bins cache_no_bins[CACHE_SETS]; /* all closed, and never written */

static inline struct cache *cache_mine(void) { return os_slot_get(OS_SLOT_CACHE); }

/*
 * Is the thread in the middle of using it, or has it none? own: only the thread writes the word, and its handlers, which leave
 * it as they found it.
 */
static inline bool cache_busy(const struct cache *cache) { return atom_load_own_u64(&cache->open) == 0; }

/* Is it not busy, and the request one of the quickest way's? */
static inline bool cache_takes(const struct cache *cache, size_t size_bytes) {
    return size_bytes < atom_load_own_u64(&cache->open); /* own: as above */
}

/* Enters a cache that is not busy, to be left soon. */
static inline void cache_begin(struct cache *cache) {
    atom_store_own_u64(&cache->open, 0);
    atom_signal_fence();
}

/* Enters the cache. False: it is in use. */
static inline bool cache_try(struct cache *cache) {
    if (__builtin_expect(cache_busy(cache), 0)) return false;
    cache_begin(cache);
    return true;
}

static inline void cache_leave(struct cache *cache) {
    atom_signal_fence();
    atom_store_own_u64(&cache->open, CACHE_QUICK_SIZES); /* pairs with the keeper's load */
}

/* The bins of the first set of a cache that was entered. own: read after `open` was written, see cache_stop. */
static inline struct bins *cache_bins(const struct cache *cache) {
    return (struct bins *)(uintptr_t)atom_load_own_u64(&cache->bins);
}

/* Those of another: how far its bins are from the first's is CACHE_AT(set), which who asks often keeps. */
#define CACHE_AT(set) ((uint64_t)(set) * sizeof(struct bins))
static inline struct bins *cache_bins_at(const struct cache *cache, uint64_t at) {
    return (struct bins *)(void *)((char *)cache_bins(cache) + at);
}

/* A magazine of a cache that cache_enter has entered: the keeper leaves it alone until the thread leaves it. */
static inline struct magazine *cache_magazine(struct cache *cache, unsigned set, unsigned bin) {
    return &cache->own[set].magazine[bin];
}

/* The compiler would call what is marked so; a call costs a sixth of what it does. */
#define CACHE_INLINE static inline __attribute__((always_inline))

CACHE_INLINE struct magazine *cache_marks(struct bins *bins, uint64_t mark) {
    return (struct magazine *)(void *)((char *)bins + mark);
}

/* With the cache entered. NULL: the magazine is empty. */
CACHE_INLINE void *cache_pop_below(struct magazine *m) {
    void **top = m->top;
    if (__builtin_expect(top == m->base, 0)) return NULL;
    void *item = top[-1];
    m->top = top - 1;
    if (item == NULL) __builtin_unreachable(); /* so that the caller's test for NULL is the one above */
    return item;
}

/* With the cache entered. NULL: there is nothing at hand. */
CACHE_INLINE void *cache_pop(struct bins *bins, uint64_t mark) {
    if (__builtin_expect(bins->head.last.mark != mark, 0)) return cache_pop_below(cache_marks(bins, mark));
    bins->head.last.mark = LAST_NONE;
    void *item = bins->head.last.item;
    if (item == NULL) __builtin_unreachable();
    return item;
}

/* With the cache entered. False: there is no room, or the item has just come. */
CACHE_INLINE bool cache_push_below(struct bins *bins, uint64_t mark, void *item) {
    struct magazine *m = cache_marks(bins, mark);
    void **top = m->top;
    if (__builtin_expect(top == m->end || top[-1] == item, 0)) return false;
    *top = item;
    m->top = top + 1;
    return true;
}

/* cache_push while LAST_MIXED. */
CACHE_INLINE bool cache_push_mixed(struct bins *bins, uint64_t mark, void *item) {
    struct head *head = &bins->head;
    /* Who frees many sizes is soon handed this one again. By then its line, and where its page is, should be here. */
    __builtin_prefetch(item, 1);
    if (__builtin_expect(--head->left != 0, 1)) return cache_push_below(bins, mark, item);
    head->left = 1; /* if not now, the next time */
    void **top = cache_marks(bins, mark)->top;
    if (top == NULL || top[-1] == item) return false;
    head->last = (struct last){mark, item};
    head->left = MIXED_AFTER;
    return true;
}

/*
 * cache_push where an item is in front, or none is to be. If that is one of the same bin it stays there, and this one goes to the
 * magazine; one of another bin makes room, or pairs of this bin's would never be quick. Where that happens again and again, sizes
 * are mixed and the place in front is in the way: then all go to their magazines for a while.
 */
CACHE_INLINE bool cache_push_behind(struct bins *bins, uint64_t mark, void *item) {
    struct head *head = &bins->head;
    if (__builtin_expect(head->last.mark == mark, 1)) {
        return __builtin_expect(head->last.item != item, 1) && cache_push_below(bins, mark, item);
    }
    if (__builtin_expect(head->last.mark == LAST_MIXED, 1)) return cache_push_mixed(bins, mark, item);
    if (!cache_push_below(bins, head->last.mark, head->last.item)) return false;
    if (--head->left != 0) {
        head->last = (struct last){mark, item};
        return true;
    }
    head->last.mark = LAST_MIXED;
    head->left = MIXED_FOR;
    return cache_push_mixed(bins, mark, item);
}

/* With the cache entered. False: there is no room, or the item has just come. */
CACHE_INLINE bool cache_push(struct bins *bins, uint64_t mark, void *item) {
    if (__builtin_expect(bins->head.last.mark != LAST_NONE, 0)) return cache_push_behind(bins, mark, item);
    bins->head.last = (struct last){mark, item};
    return true;
}

/* How many caches there have been at once, at most: threads that allocate. */
size_t caches_there(void);

/* The cache with this home. */
struct cache *cache_of_home(uint64_t home);

/* Is there a thread with this home that has asked for or given back anything lately, other than through its magazines? */
bool cache_home_active(uint64_t home);

/* The thread's cache, entered; NULL if it has none, or is in the middle of using it, or the keeper is. */
static inline struct cache *cache_enter(void) {
    struct cache *cache = cache_mine();
    if (!cache_try(cache)) return NULL;
    if (__builtin_expect(cache_bins(cache) == cache->own, 1)) {
        if (atom_load_rlx_u64(&cache->idle)) atom_store_rlx_u64(&cache->idle, 0); /* rlx: a hint to others */
        return cache;
    }
    cache_leave(cache);
    return NULL;
}

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

/* With a magazine that is full, or not in use: makes room for one more, by a higher limit or by flushing. False: no memory. */
bool cache_make_room(struct cache *cache, unsigned set, unsigned bin);

/* Has the item just come, and nothing been taken since? */
bool cache_came_last(const struct cache *cache, unsigned set, unsigned bin, const void *item);

/* What cache_push does, and makes the room for it. False: no memory. */
bool cache_put(struct cache *cache, unsigned set, unsigned bin, void *item);

/* Flushes one set of the cache, or the same set of the calling thread's. Returns the bytes of what was in it. */
uint64_t cache_flush_set(struct cache *cache, unsigned set);
uint64_t cache_flush_mine(unsigned set);
/* The same of a stopped cache: the set stays its owner's. */
uint64_t cache_empty_set(struct cache *cache, unsigned set);

/*
 * Sweeps the blocks of an entered or stopped cache: gives back what rested unused since the sweep before, and lays to rest what
 * is at hand. Returns the bytes that are left of them.
 */
uint64_t cache_sweep(struct cache *cache);

/*
 * The same of its whole spans. Each goes back by a system call, for which nobody should wait: they are only taken out, as many
 * as there is room for, and go with cache_give_back, when the cache is in use again.
 */
#define SWEPT_MOST 256u
struct swept {
    const struct cache_source *source;
    uint64_t owner;
    size_t count;
    void *item[SWEPT_MOST];
    uint8_t bin[SWEPT_MOST];
};
uint64_t cache_sweep_spans(struct cache *cache, struct swept *swept);
void cache_give_back(const struct swept *swept);

/* The bytes of what is in the cache, and how much is worth a keeper. With the cache entered, or its thread at its end. */
uint64_t cache_held(const struct cache *cache);
#define CACHE_KEEPER_BYTES ((uint64_t)256 << 10)

/*
 * The keeper's part. cache_each_used calls visit for every cache that a thread has or had, in the order of their numbers.
 * cache_stop keeps the thread out from its next entry on, which is certain after the next os_barrier; then cache_stopped tells
 * whether the thread is not in it now. cache_go_on ends what cache_stop began, and finishes a cache whose thread has ended.
 * cache_finish_parked empties a parked one, frees it, and adds the bytes of the spans in it; false if it is not parked.
 * cache_elsewhere: has somebody stopped it, or is finishing it?
 */
void cache_each_used(void (*visit)(struct cache *cache, void *context), void *context);
/* The same of those whose numbers modulo 64 are among the bits. */
void cache_each_of(uint64_t bits, void (*visit)(struct cache *cache, void *context), void *context);
bool cache_stop(struct cache *cache);
bool cache_finish_parked(struct cache *cache, uint64_t *span_bytes);
bool cache_stopped(const struct cache *cache);
bool cache_elsewhere(const struct cache *cache);
void cache_go_on(struct cache *cache);

/*
 * In a child made by fork: caches that the keeper had stopped, or other threads were in the middle of using, are lost, since
 * nobody knows how far they were. The keeper empties those of the other threads that it has not.
 */
void cache_after_fork(void);

/*
 * The bounds on the magazines of one thread, and of all threads together, in bytes of what they may hold; the tightest ever set
 * holds, 0 sets none. What does not fit in half of a thread's is not kept: 1 switches the caches off. True: one of them is
 * tighter now; magazines that are open already keep what they have room for until they are emptied (keeper_trim).
 */
bool cache_bound_set(uint64_t thread_bytes, uint64_t all_bytes);
uint64_t cache_bound_all(void); /* bytes, of all threads together */

/*
 * What depots hold counts as well against the bound for all. False: with that much more no quarter of it would be left, which is
 * for magazines.
 */
bool cache_depots_take(uint64_t bytes);
void cache_depots_return(uint64_t bytes);

/* What the limits of a cache count that is lost in a child of fork is others' again. */
void cache_bound_lost(struct cache *cache);

#endif
