/*
 * cache.c - the threads' caches: making and leaving them, and stopping them for the keeper. magazine.c fills and empties them.
 *
 * Caches stand in a table that is never unmapped; a thread claims one by a bit and its end returns it, flushed. A thread
 * that finds none free works without. Whoever holds a cache has it alone, so nothing inside is atomic:
 *
 *   FREE -> THREADS            cache_make, by the bit in cache_claimed
 *   THREADS -> STOPPED         cache_stop, the keeper; back by cache_go_on
 *   THREADS -> FREE            cache_exit
 *   STOPPED -> LEFT -> FREE    cache_exit finds it stopped, and leaves the rest to the keeper
 *
 * Stopping. The thread writes `busy` and then reads `bins`; the keeper writes `bins` and then reads `busy`. Each must see the
 * other's store or be seen. The thread's two have no barrier between them, for it would be in every call; so the keeper's side
 * has one for both: os_barrier makes each running thread pass one. A thread whose store of `busy` came before it is seen to
 * be busy, and the keeper gives up for this time. One whose store comes after it reads the new `bins`.
 */
#include "core/cache.h"

#include "base/atom.h"
#include "core/bitmap.h"
#include "core/keeper.h"
#include "os/os.h"

#ifndef CACHES_AT_MOST
#define CACHES_AT_MOST ((size_t)4096)
#endif

static uint64_t cache_table; /* struct cache[CACHES_AT_MOST] */
static uint64_t cache_claimed[CACHES_AT_MOST / 64];
static uint64_t cache_there[CACHES_AT_MOST / 64]; /* has been somebody's: can be read */
struct magazine cache_no_bins[CACHE_SETS][CACHE_BINS];

/* Stands for the cache of a thread that has had one, or is making one; always busy. */
static struct cache cache_none = {.busy = 1};

static bool cache_is(const struct cache *cache, enum cache_holder holder) {
    return atom_load_acq_u64(&cache->holder) == holder; /* acq: pairs with the CAS of whoever had it before */
}

static bool cache_pass(struct cache *cache, enum cache_holder from, enum cache_holder to) {
    uint64_t seen = from;
    return atom_cas_acqrel_u64(&cache->holder, &seen, to); /* acqrel: what is in the cache goes with it */
}

/* ---- Coming and going --------------------------------------------------------------------------------------------- */

static struct cache *table_make(void) {
    uint64_t table = atom_load_acq_u64(&cache_table); /* acq: pairs with the CAS */
    void *made;
    if (table) return (struct cache *)(uintptr_t)table;
    if (os_tables_reserve(CACHES_AT_MOST * sizeof(struct cache), &made) != ST_OK) return NULL;
    cache_bound_set(os_environment_bytes("HOSTMEM_THREAD_CACHE"), os_environment_bytes("HOSTMEM_ALL_CACHES"));
    keeper_watch_forks();
    if (atom_cas_acqrel_u64(&cache_table, &table, (uint64_t)(uintptr_t)made)) return made;
    os_tables_discard(made, CACHES_AT_MOST * sizeof(struct cache));
    return (struct cache *)(uintptr_t)table;
}

/* A cache that the caller alone holds goes back, flushed. */
static void cache_finish(struct cache *cache) {
    for (unsigned set = 0; set < CACHE_SETS; set++) cache_flush_set(cache, set);
    atom_store_rlx_u64(&cache->holder, CACHE_FREE); /* rlx: published by the release */
    HM_CHECK(bitmap_release(cache_claimed, cache->number, 1));
}

/*
 * The thread ends. What the system or the program still does in it goes past the caches: a cache made now might have no end that
 * returns it.
 */
static void cache_exit(void *value) {
    struct cache *cache = value;
    if (cache_mine() != cache) return; /* not the thread's end: another thread has ended a fiber that it was made in */
    os_slot_set(OS_SLOT_CACHE, &cache_none);
    /* Either the keeper has it now, and finishes it, or this thread does; only a keeper that is quick makes this go round. */
    while (!cache_pass(cache, CACHE_STOPPED, CACHE_LEFT)) {
        if (!cache_pass(cache, CACHE_THREADS, CACHE_LEFT)) continue;
        cache_finish(cache);
        return;
    }
}

/* A cache, entered; NULL if there is none to be had. What is allocated meanwhile goes past it. */
static struct cache *cache_claim(void) {
    struct cache *table = table_make();
    uint64_t mask;
    if (!table) return NULL;
    size_t word = bitmap_claim_some(cache_claimed, CACHES_AT_MOST, 0, 1, &mask);
    if (word == BITMAP_NONE) return NULL;
    size_t number = word * 64 + (size_t)__builtin_ctzll(mask);
    struct cache *cache = &table[number];
    if (os_tables_commit(cache, sizeof *cache) == ST_OK) {
        if (!bitmap_taken(cache_there, number)) HM_CHECK(bitmap_claim(cache_there, number, 1));
        /* own: nobody else sees it yet. */
        atom_store_own_u64(&cache->busy, 1);
        atom_store_own_u64(&cache->bins, (uint64_t)(uintptr_t)cache->bin);
        atom_store_rlx_u64(&cache->swept_ms, os_clock_ms()); /* rlx: as in cache_sweep */
        cache->number = (uint32_t)number;
        cache->home = (uint64_t)(number + 1) << CACHE_HOME_SHIFT;
        if (os_at_thread_exit(cache_exit, cache)) {
            HM_CHECK(cache_pass(cache, CACHE_FREE, CACHE_THREADS));
            return cache;
        }
    }
    HM_CHECK(bitmap_release(cache_claimed, number, 1));
    return NULL;
}

static struct cache *cache_make(void) {
    if (!os_slots_there()) return NULL;
    os_slot_set(OS_SLOT_CACHE, &cache_none); /* a signal handler must not make one as well */
    struct cache *cache = cache_claim();
    os_slot_set(OS_SLOT_CACHE, cache ? (void *)cache : (void *)os_slot_unset);
    return cache;
}

struct cache *cache_enter(void) {
    struct cache *cache = cache_mine();
    if (!cache_try(cache)) return NULL;
    if (cache_bins(cache) == &cache->bin[0][0]) {
        if (atom_load_rlx_u64(&cache->idle)) atom_store_rlx_u64(&cache->idle, 0); /* rlx: a hint to others */
        return cache;
    }
    cache_leave(cache);
    return NULL;
}

struct cache *cache_enter_or_make(void) {
    /* A thread that has a cache and cannot enter it is in the middle of using it, or ending. */
    return (void *)cache_mine() == (void *)os_slot_unset ? cache_make() : cache_enter();
}

bool cache_home_active(uint64_t home) {
    const struct cache *table = (const struct cache *)(uintptr_t)atom_load_acq_u64(&cache_table); /* acq: as in table_make */
    const struct cache *cache = &table[(home >> CACHE_HOME_SHIFT) - 1];
    if (home == 0) return false;
    /* rlx: what it was a moment ago is as good. */
    return atom_load_rlx_u64(&cache->holder) != CACHE_FREE && !atom_load_rlx_u64(&cache->idle);
}

uint64_t cache_flush_mine(unsigned set) {
    struct cache *cache = cache_enter();
    if (!cache) return 0;
    uint64_t bytes = cache_flush_set(cache, set);
    cache_leave(cache);
    return bytes;
}

void cache_flush_all(void) {
    for (unsigned set = 0; set < CACHE_SETS; set++) cache_flush_mine(set);
}

/* ---- The keeper's part -------------------------------------------------------------------------------------------- */

void cache_each_used(void (*visit)(struct cache *cache, void *context), void *context) {
    struct cache *table = (struct cache *)(uintptr_t)atom_load_acq_u64(&cache_table); /* acq: as in table_make */
    if (!table) return;
    for (size_t n = 0; (n = bitmap_next_taken(cache_there, CACHES_AT_MOST, n)) < CACHES_AT_MOST; n++) visit(&table[n], context);
}

bool cache_stop(struct cache *cache) {
    if (!cache_is(cache, CACHE_THREADS) || !cache_pass(cache, CACHE_THREADS, CACHE_STOPPED)) return false;
    atom_store_rel_u64(&cache->bins, (uint64_t)(uintptr_t)cache_no_bins); /* rel: see "Stopping" */
    return true;
}

bool cache_stopped(const struct cache *cache) {
    return atom_load_acq_u64(&cache->busy) == 0; /* acq: pairs with cache_leave */
}

void cache_go_on(struct cache *cache) {
    atom_store_rel_u64(&cache->bins, (uint64_t)(uintptr_t)cache->bin); /* rel: pairs with cache_bins */
    if (!cache_pass(cache, CACHE_STOPPED, CACHE_THREADS)) cache_finish(cache);
}

static void lose(struct cache *cache, void *context) {
    (void)context;
    bool mine = cache_mine() == cache, whole = cache_is(cache, CACHE_THREADS);
    if ((mine && whole) || cache_is(cache, CACHE_FREE)) return;
    atom_store_rlx_u64(&cache->idle, 1); /* rlx: this child has one thread; its slabs may serve others */
    if (mine) os_slot_set(OS_SLOT_CACHE, os_slot_unset); /* its number is not used again, the thread makes another */
    /* What its thread was in the middle of will not end: the keeper need not wait. Others it sweeps. */
    else if (!whole || !cache_stopped(cache)) atom_store_rlx_u64(&cache->holder, CACHE_LEFT);
}

void cache_after_fork(void) { cache_each_used(lose, NULL); }
