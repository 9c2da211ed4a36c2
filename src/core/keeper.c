/*
 * keeper.c - the background thread. It exists once some thread held a noticeable amount of idle memory, goes round a few times a
 * second while there is something to give back, and is at rest otherwise.
 *
 * A round stops the caches that their threads have not swept for a while, and those that hold whole spans, sweeps them, and lets
 * them go on; then it does the jobs that other layers have added. A thread that comes along while its cache is stopped does not
 * wait (cache.h), but it has to go the long way; so the cache goes on before its spans go back, which takes system calls.
 *
 * Where memory is short others may not want to wait for idle caches to be found idle: keeper_trim stops and empties all of them,
 * in the thread of whoever calls. A cache is stopped by one thread at a time, so it may meet a round or another trim, who will be
 * done with it in a moment; then it tries again, for some milliseconds at most.
 *
 * States: NONE -> RUNS (keeper_wanted) <-> RESTS; NONE -> FAILED where the system gives no thread, or there is to be none:
 * then threads sweep only their own caches, on slow paths. A child made by fork starts again at NONE.
 *
 * Going to rest. The keeper says RESTS, and only then looks whether it was wanted meanwhile; who wants it counts, and only then
 * looks whether it rests. So one of the two sees the other. Everyone who finds it at rest ends its nap, once too often rather
 * than leave that to another, who may be stopped before it does; only the keeper itself says that it runs again.
 */
#include "core/keeper.h"

#include "base/atom.h"
#include "core/cache.h"
#include "core/census.h"
#include "core/pages.h"
#include "core/settings.h"
#include "os/os.h"

#define ROUND_MS 250u
#define IDLE_MS 200u /* longer than a thread that uses its slow paths leaves its cache unswept */
#define STOP_MOST 64u
#define TRIM_TRIES 256u /* some ten milliseconds */
#ifndef JOBS_MOST
#define JOBS_MOST 8u
#endif
#ifndef IDLE_ROUNDS
#define IDLE_ROUNDS 3u /* with nothing to do, and it rests */
#endif
#define MISSED_MOST 8u

enum { NONE, RUNS, RESTS, FAILED };

static uint32_t state;
static uint32_t wanted; /* counts */
static uint32_t missed; /* counts, about */
static uint32_t prepared;
static uint32_t giving; /* rounds that have spans in hand: in no cache any more, and not given back yet */
static uint64_t jobs[JOBS_MOST]; /* bool (*)(void), in order; 0 after the last */

static void job_add(bool (*job)(void)) {
    for (size_t i = 0; i < JOBS_MOST; i++) {
        uint64_t seen = atom_load_acq_u64(&jobs[i]); /* acq: pairs with the CAS */
        if (seen == (uint64_t)(uintptr_t)job) return;
        /* rel: what the job uses is ready. */
        if (seen == 0 && atom_cas_acqrel_u64(&jobs[i], &seen, (uint64_t)(uintptr_t)job)) return;
        if (seen == (uint64_t)(uintptr_t)job) return;
    }
    HM_ASSERT(!"a place for each job");
}

/* ---- A round ------------------------------------------------------------------------------------------------------ */

struct stopped {
    struct cache *cache[STOP_MOST];
    size_t count;
    uint32_t next; /* the number to go on from in this round */
    uint64_t now_ms;
    bool all;   /* and not those alone that are swept in a round */
    bool later; /* some are not idle yet */
    bool met;   /* some are with another at this moment */
    uint64_t parked_bytes; /* of the spans that parked ones had, and have given back */
};

/* Does the thread sweep what is not spans? */
static bool sweeps_itself(const struct cache *cache, uint64_t now_ms) {
    /* rlx: a cache that is swept at this moment is stopped for nothing, or looked at a round later. */
    return now_ms < atom_load_rlx_u64(&cache->swept_ms) + IDLE_MS;
}

static void stop_due(struct cache *cache, void *context) {
    struct stopped *all = context;
    uint32_t number = atom_load_rlx_u32(&cache->number); /* rlx: written once; seen late, it is the cache's turn later */
    if (all->count == STOP_MOST || number < all->next) return;
    all->next = number + 1;
    bool soon = !all->all && sweeps_itself(cache, all->now_ms);
    all->later |= soon;
    if (soon && !census_has_spans(cache)) return;
    if (cache_stop(cache)) all->cache[all->count++] = cache;
    else if (soon) return; /* parked, for a while */
    else if (cache_finish_parked(cache, &all->parked_bytes)) all->later = true;
    else all->met |= cache_elsewhere(cache);
}

/* Sweeps a stopped cache, and lets it go on. Returns whether anything is left in it. */
static bool sweep_one(struct cache *cache, uint64_t now_ms) {
    struct swept swept;
    bool left = cache_sweep_spans(cache, &swept) != 0;
    if (!sweeps_itself(cache, now_ms)) {
        left |= cache_sweep(cache) != 0;
        atom_store_rlx_u64(&cache->idle, 1); /* rlx: a hint, see cache_home_active */
    }
    if (swept.count != 0) atom_add_acqrel_u32(&giving, 1); /* acqrel: seen by who finds the cache going on */
    cache_go_on(cache);
    cache_give_back(&swept);
    if (swept.count != 0) atom_add_acqrel_u32(&giving, -1u); /* acqrel: what was in hand has gone */
    return left;
}

/* As many caches as one barrier serves. Returns whether there may be more to do soon. */
static bool sweep_some(struct stopped *all) {
    bool more = false;
    all->count = 0;
    cache_each_used(stop_due, all);
    bool passed = all->count == 0 || os_barrier();
    for (size_t i = 0; i < all->count; i++) {
        struct cache *cache = all->cache[i];
        if (passed && cache_stopped(cache)) {
            more |= sweep_one(cache, all->now_ms);
        } else {
            more = true;
            cache_go_on(cache);
        }
    }
    return more;
}

static uint64_t empty_some(struct stopped *all) {
    uint64_t bytes = 0;
    all->count = 0;
    cache_each_used(stop_due, all);
    bool passed = all->count == 0 || os_barrier();
    for (size_t i = 0; i < all->count; i++) {
        bool stopped = passed && cache_stopped(all->cache[i]);
        if (stopped) bytes += cache_empty_set(all->cache[i], CACHE_SPANS);
        for (unsigned set = 0; stopped && set < CACHE_SETS; set++) cache_empty_set(all->cache[i], set);
        cache_go_on(all->cache[i]);
    }
    return bytes;
}

uint64_t keeper_trim(void) {
    uint64_t bytes = 0;
    for (unsigned attempt = 0;; attempt++) {
        struct stopped all = {.all = true};
        do bytes += empty_some(&all);
        while (all.count == STOP_MOST);
        bytes += all.parked_bytes;
        all.met |= atom_load_acq_u32(&giving) != 0; /* acq: pairs with sweep_one */
        if (!all.met || attempt == TRIM_TRIES) return bytes;
        os_yield(attempt);
    }
}

bool keeper_round(void) {
    struct stopped all = {.now_ms = os_clock_ms()};
    bool more = false;
    do more |= sweep_some(&all);
    while (all.count == STOP_MOST);
    more |= all.later;
    for (size_t i = 0; i < JOBS_MOST; i++) {
        bool (*job)(void) = (bool (*)(void))(uintptr_t)atom_load_acq_u64(&jobs[i]); /* acq: pairs with job_add */
        if (job) more |= job();
    }
    return more;
}

/* ---- The thread --------------------------------------------------------------------------------------------------- */

static void rest(uint32_t seen_wanted) {
    uint32_t expected = RUNS;
    atom_cas_acqrel_u32(&state, &expected, RESTS); /* acqrel: see "Going to rest", also for the add */
    while (atom_add_acqrel_u32(&wanted, 0) == seen_wanted) os_nap(0);
    atom_store_rlx_u32(&state, RUNS); /* rlx: who sees it late ends a nap for nothing */
}

static void keeper_run(void) {
    for (unsigned idle = 0;;) {
        uint32_t seen_wanted = atom_load_acq_u32(&wanted); /* acq: what was counted before is seen by the round */
        os_nap(ROUND_MS);
        idle = keeper_round() ? 0 : idle + 1;
        if (idle < IDLE_ROUNDS) continue;
        rest(seen_wanted);
        idle = 0;
    }
}

static void forked(void) {
    /* rlx: the child has one thread. */
    if (atom_load_rlx_u32(&state) != FAILED) atom_store_rlx_u32(&state, NONE);
    atom_store_rlx_u32(&giving, 0);
    cache_after_fork();
    pages_after_fork();
}

/* Not with the first cache: a program whose allocations are all too large for one has threads that lock pages, too. */
__attribute__((constructor)) static void fork_prepare(void) { os_at_fork(forked); }

void keeper_prepare(void) {
    if (atom_load_acq_u32(&prepared)) return; /* acq: pairs with the store below; once is enough, twice does no harm */
    /* Read now: later somebody may be changing the environment under the same call. */
    if (setting("HOSTMEM_NO_KEEPER") != 0) atom_store_rel_u32(&state, FAILED);
    atom_store_rel_u32(&prepared, 1); /* rel: who goes by it knows whether there may be one */
}

void keeper_forgo(void) {
    uint32_t seen = NONE;
    keeper_prepare();
    atom_cas_acqrel_u32(&state, &seen, FAILED); /* acqrel: as in keeper_wanted */
}

void keeper_missed(void) {
    /* rlx: about how often is all that matters. */
    uint32_t count = atom_load_rlx_u32(&missed) + 1;
    if (atom_load_rlx_u32(&state) != NONE) return;
    atom_store_rlx_u32(&missed, count);
    if (count >= MISSED_MOST) keeper_wanted();
}

bool keeper_runs(void) {
    uint32_t seen = atom_load_rlx_u32(&state); /* rlx: who is late does without once more */
    return seen == RUNS || seen == RESTS;
}

void keeper_wake(bool (*job)(void)) {
    if (job) job_add(job);
    atom_add_acqrel_u32(&wanted, 1);                      /* acqrel: see "Going to rest" */
    if (atom_load_acq_u32(&state) == RESTS) os_nap_end(); /* acq: the same */
}

void keeper_wanted(void) {
    uint32_t seen = NONE;
    keeper_prepare();
    atom_add_acqrel_u32(&wanted, 1); /* acqrel: see "Going to rest" */
    if (!atom_cas_acqrel_u32(&state, &seen, RUNS)) {
        if (seen == RESTS) os_nap_end();
        return;
    }
    if (!os_thread_start(keeper_run)) atom_store_rel_u32(&state, FAILED);
}
