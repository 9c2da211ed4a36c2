/*
 * cache.c - the threads' caches: making and leaving them, and stopping them for the keeper. magazine.c fills and empties them.
 *
 * Caches stand in a table that grows and never moves; a thread claims one by a bit and its end returns it, flushed. A thread
 * that finds none free works without. Whoever holds a cache has it alone, so nothing inside is atomic:
 *
 *   FREE -> THREADS            fresh_take, by the bit in cache_claimed
 *   THREADS -> STOPPED         cache_stop, the keeper; back by cache_go_on
 *   THREADS -> PARKED          cache_exit: the next thread may have it as it is, PARKED -> THREADS
 *   PARKED -> LEFT -> FREE     unless the keeper, or a trim, is earlier
 *   THREADS -> LEFT -> FREE    cache_exit where there is no keeper
 *   STOPPED -> LEFT -> FREE    cache_exit finds it stopped, and leaves the rest to the keeper
 *   THREADS, STOPPED, LEFT -> LOST   in a child of fork, where another thread was in the middle of it
 *   THREADS, STOPPED -> LOST         cache_exit in the middle of it: the thread was cancelled there, or a signal handler ended it
 *
 * Stopping. The thread writes `open` and then reads `bins`; the keeper writes `bins` and then reads `open`. Each must see the
 * other's store or be seen. The thread's two have no barrier between them, for it would be in every call; so the keeper's side
 * has one for both: os_barrier makes each running thread pass one. A thread whose store of `open` came before it is seen to
 * be busy, and the keeper gives up for this time. One whose store comes after it reads the new `bins`.
 */
#include "core/cache.h"

#include "base/atom.h"
#include "core/bitmap.h"
#include "core/keeper.h"
#include "core/settings.h"
#include "core/table.h"
#include "os/os.h"

#ifndef CACHES_AT_MOST
#define CACHES_AT_MOST ((size_t)4032)
#endif
_Static_assert(CACHES_AT_MOST < (size_t)1 << CACHE_HOME_BITS, "a name for each");
_Static_assert(CACHES_AT_MOST < (size_t)1 << TABLE_PARTS, "an entry for each, from one in the first part");

/*
 * A processor takes a load for dependent on an earlier store whose address is the same in its low 12 bits. Blocks that programs
 * write to lie at round addresses; so a cache's first line, which every call reads, lies at one that is not.
 */
#define CACHE_OFFSET ((size_t)0x9c0)
#define CACHE_BYTES ((CACHE_OFFSET + sizeof(struct cache) + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES)

static const struct table_shape cache_shape = {CACHE_BYTES, 1};
static struct table cache_table;
static uint64_t cache_claimed[CACHES_AT_MOST / 64];
static uint64_t cache_there[CACHES_AT_MOST / 64];  /* has been somebody's: can be read */
static uint64_t cache_parked[CACHES_AT_MOST / 64]; /* hints */
struct bins cache_no_bins[CACHE_SETS];
static uint32_t cache_prepared;

/* Stands for the cache of a thread that has had one, or is making one; always busy. Only its first line is read. */
static uint64_t cache_none[8];

static bool cache_is(const struct cache *cache, enum cache_holder holder) {
    return atom_load_acq_u64(&cache->holder) == holder; /* acq: pairs with the CAS of whoever had it before */
}

static bool cache_pass(struct cache *cache, enum cache_holder from, enum cache_holder to) {
    uint64_t seen = from;
    return atom_cas_acqrel_u64(&cache->holder, &seen, to); /* acqrel: what is in the cache goes with it */
}

/* What a number's entry in the table has in it; the entry is there. */
static struct cache *cache_numbered(size_t number) {
    return (struct cache *)(void *)((char *)table_entry(&cache_table, cache_shape, number) + CACHE_OFFSET);
}

/* ---- Coming and going --------------------------------------------------------------------------------------------- */

/* A cache that the caller alone holds goes back, flushed. Returns the bytes of the spans that were in it. */
static uint64_t cache_finish(struct cache *cache) {
    uint64_t bytes = cache_flush_set(cache, CACHE_SPANS);
    for (unsigned set = 0; set < CACHE_SETS; set++) cache_flush_set(cache, set);
    atom_store_rlx_u64(&cache->holder, CACHE_FREE); /* rlx: published by the release */
    HM_CHECK(bitmap_release(cache_claimed, cache->number, 1));
    return bytes;
}

/* Nobody knows how far the one who had it was: what is in it is nobody's any more. The caller alone has it, and keeps it so. */
static void cache_lose(struct cache *cache) {
    atom_store_rlx_u64(&cache->idle, 1); /* rlx: a hint, see cache_home_active */
    cache_bound_lost(cache);
}

/* With the cache alone: it is parked for the next thread, or the keeper, or goes back at once where there is no keeper. */
static void cache_leave_behind(struct cache *cache) {
    if (!keeper_runs() && cache_held(cache) >= CACHE_KEEPER_BYTES) keeper_wanted();
    if (keeper_runs()) {
        HM_CHECK(cache_pass(cache, CACHE_LEFT, CACHE_PARKED));
        bitmap_claim(cache_parked, cache->number, 1);
        keeper_wake(NULL);
    } else {
        cache_finish(cache);
        keeper_missed();
    }
}

/*
 * The thread ends. What the system or the program still does in it goes past the caches: a cache made now might have no end that
 * returns it. (Only where it may be a fiber of the thread's that ends is another made when it is wanted.)
 */
static void cache_exit(void *value) {
    struct cache *cache = value;
    if (cache_mine() != cache) return; /* not the thread's end: another thread has ended a fiber that it was made in */
    os_slot_set(OS_SLOT_CACHE, os_has_fibers() ? os_slot_unset : cache_none);
    atom_store_rlx_u32(&cache->thread, 0); /* rlx: as in cache_make */
    atom_store_rlx_u64(&cache->swept_ms, os_clock_ms()); /* rlx: how long it has been parked; the keeper glances at it */
    /* Either who has stopped it finishes it, or this thread has it alone; only a keeper that is quick makes this go round. */
    enum cache_holder after = cache_busy(cache) ? CACHE_LOST : CACHE_LEFT;
    while (!cache_pass(cache, CACHE_STOPPED, after)) {
        if (!cache_pass(cache, CACHE_THREADS, after)) continue;
        if (after == CACHE_LEFT) cache_leave_behind(cache);
        else cache_lose(cache);
        return;
    }
}

/* One that an ended thread has left; NULL: there is none. */
static struct cache *parked_take(void) {
    for (size_t n = 0; (n = bitmap_next_taken(cache_parked, CACHES_AT_MOST, n)) < CACHES_AT_MOST; n++) {
        struct cache *cache = cache_numbered(n);
        /* The bit is a hint; it may be of a cache that is not parked any more. */
        bitmap_release(cache_parked, n, 1);
        if (cache_pass(cache, CACHE_PARKED, CACHE_THREADS)) return cache;
    }
    return NULL;
}

static void prepare_once(void) {
    if (atom_load_acq_u32(&cache_prepared)) return; /* acq: pairs with the store below; once is enough, twice does no harm */
    cache_bound_set(setting("HOSTMEM_THREAD_CACHE"), setting("HOSTMEM_ALL_CACHES"));
    keeper_prepare();
    atom_store_rel_u32(&cache_prepared, 1); /* rel: who goes by it has the bounds */
}

/* One that nobody has; NULL: there is none, or no memory for it. */
static struct cache *fresh_take(void) {
    uint64_t mask;
    size_t word = bitmap_claim_some(cache_claimed, CACHES_AT_MOST, 0, 1, &mask);
    if (word == BITMAP_NONE) return NULL;
    size_t number = word * 64 + (size_t)__builtin_ctzll(mask);
    if (!table_entry_make(&cache_table, cache_shape, number)) {
        HM_CHECK(bitmap_release(cache_claimed, number, 1));
        return NULL;
    }
    struct cache *cache = cache_numbered(number);
    prepare_once();
    if (!bitmap_taken(cache_there, number)) {
        atom_store_rlx_u32(&cache->number, (uint32_t)number); /* rlx: as in stop_due (keeper.c) */
        cache->home = cache_home((uint32_t)number);
        cache->others = ~cache->home >> CACHE_HOME_SHIFT << CACHE_HOME_SHIFT;
        size_t low = CACHE_NEAR != 0 ? CACHE_AWAY / GRANULE_BYTES : 0;
        for (size_t g = 0; g < low; g++) cache->quick.start[g] = CACHE_NO_SLAB(g);
        HM_CHECK(bitmap_claim(cache_there, number, 1)); /* publishes them, for good */
    }
    atom_store_own_u64(&cache->bins, (uint64_t)(uintptr_t)cache->own); /* own: nobody else uses it yet */
    HM_CHECK(cache_pass(cache, CACHE_FREE, CACHE_THREADS));
    return cache;
}

/* A cache, entered. */
static struct cache *cache_make(void) {
    if (!os_slots_there()) return NULL;
    /* What is allocated meanwhile, here or by a signal handler, goes past the caches, and makes none. */
    os_slot_set(OS_SLOT_CACHE, cache_none);
    struct cache *cache = parked_take();
    if (!cache) cache = fresh_take();
    if (!cache) {
        os_slot_set(OS_SLOT_CACHE, os_slot_unset);
        return NULL;
    }
    atom_store_rlx_u64(&cache->swept_ms, os_clock_ms());      /* rlx: as in cache_sweep */
    atom_store_rlx_u32(&cache->thread, os_thread_number());   /* rlx: a figure for people */
    bool armed = os_at_thread_exit(cache_exit, cache);
    atom_store_own_u64(&cache->open, 0);
    os_slot_set(OS_SLOT_CACHE, cache);
    if (armed && cache_bins(cache) == cache->own) return cache;
    cache_leave(cache); /* the keeper was quick to stop it, */
    if (!armed) {       /* or nobody would call cache_exit: the thread does without for now */
        cache_exit(cache);
        os_slot_set(OS_SLOT_CACHE, os_slot_unset);
    }
    return NULL;
}

struct cache *cache_enter_or_make(void) {
    /* A thread that has a cache and cannot enter it is in the middle of using it, or ending. */
    return (void *)cache_mine() == (void *)os_slot_unset ? cache_make() : cache_enter();
}

size_t caches_there(void) { return bitmap_count(cache_there, CACHES_AT_MOST); }

struct cache *cache_of_home(uint64_t home) { return cache_numbered(cache_home_number(home)); }

bool cache_home_active(uint64_t home) {
    if (home == 0) return false;
    const struct cache *cache = cache_of_home(home);
    /* rlx: what it was a moment ago is as good. */
    uint64_t holder = atom_load_rlx_u64(&cache->holder);
    return holder != CACHE_FREE && holder != CACHE_PARKED && !atom_load_rlx_u64(&cache->idle);
}

uint64_t cache_flush_mine(unsigned set) {
    struct cache *cache = cache_enter();
    if (!cache) return 0;
    uint64_t bytes = cache_flush_set(cache, set);
    cache_leave(cache);
    return bytes;
}

/* ---- The keeper's part -------------------------------------------------------------------------------------------- */

void cache_each_of(uint64_t bits, void (*visit)(struct cache *cache, void *context), void *context) {
    for (size_t n = 0; (n = bitmap_next_taken(cache_there, CACHES_AT_MOST, n)) < CACHES_AT_MOST; n++) {
        if (bits >> n % 64 & 1) visit(cache_numbered(n), context);
    }
}

void cache_each_used(void (*visit)(struct cache *cache, void *context), void *context) {
    cache_each_of(~(uint64_t)0, visit, context);
}

bool cache_stop(struct cache *cache) {
    if (!cache_is(cache, CACHE_THREADS) || !cache_pass(cache, CACHE_THREADS, CACHE_STOPPED)) return false;
    atom_store_rel_u64(&cache->bins, (uint64_t)(uintptr_t)cache_no_bins); /* rel: see "Stopping" */
    return true;
}

bool cache_finish_parked(struct cache *cache, uint64_t *span_bytes) {
    if (!cache_is(cache, CACHE_PARKED) || !cache_pass(cache, CACHE_PARKED, CACHE_LEFT)) return false;
    *span_bytes += cache_finish(cache);
    return true;
}

bool cache_stopped(const struct cache *cache) {
    return atom_load_acq_u64(&cache->open) != 0; /* acq: pairs with cache_leave */
}

bool cache_elsewhere(const struct cache *cache) { return cache_is(cache, CACHE_STOPPED) || cache_is(cache, CACHE_LEFT); }

void cache_go_on(struct cache *cache) {
    atom_store_rel_u64(&cache->bins, (uint64_t)(uintptr_t)cache->own); /* rel: pairs with cache_bins */
    if (cache_pass(cache, CACHE_STOPPED, CACHE_THREADS)) return;
    if (cache_is(cache, CACHE_LOST)) cache_lose(cache);
    else cache_finish(cache);
}

/* What its thread, or the keeper, was in the middle of will not end: such a cache is lost, and its number is not used again. */
static void lose(struct cache *cache, void *context) {
    (void)context;
    bool mine = cache_mine() == cache, threads = cache_is(cache, CACHE_THREADS);
    atom_store_rlx_u32(&cache->thread, mine && threads ? os_thread_number() : 0); /* rlx: as in cache_make */
    if ((mine && threads) || cache_is(cache, CACHE_FREE) || cache_is(cache, CACHE_PARKED) || cache_is(cache, CACHE_LOST)) return;
    if (mine) os_slot_set(OS_SLOT_CACHE, os_slot_unset); /* the thread makes another */
    bool whole = threads && cache_stopped(cache);
    atom_store_rlx_u64(&cache->holder, whole ? CACHE_PARKED : CACHE_LOST); /* rlx: this child has one thread */
    if (whole) bitmap_claim(cache_parked, cache->number, 1);
    else cache_lose(cache);
}

void cache_after_fork(void) { cache_each_used(lose, NULL); }
