/*
 * How the keeper goes to rest and is woken (core/keeper.c, "Going to rest"), under every interleaving and with delayed stores:
 * when it sleeps for good, whatever a thread had asked for is done, also while another thread is stopped in the middle of asking;
 * of threads that want the first keeper one starts it; and who asks never waits. os_nap is modelled as the
 * system's does it: it sleeps only if the word has not changed since it last woke.
 */
#include "check.h"
#include "explore.h"

#include <string.h>

#include "base/base.h"
#undef HM_ASSERT
#define HM_ASSERT(condition) MODEL_HOLDS(condition)
#define JOBS_MOST 1u
#define IDLE_ROUNDS 1u
#include "../../src/core/keeper.c"

#define KEEPER 0 /* its thread; the others ask */

static struct {
    uint64_t asked[MODEL_THREADS]; /* 1: there is something to do, written before the keeper is told */
    uint64_t told[MODEL_THREADS];  /* 1: it has been told */
    bool done[MODEL_THREADS];      /* a round has seen it */
    uint64_t start;                /* how often a thread was started */
    uint32_t nap_word, slept;
    bool starts;  /* the system gives a thread */
    void *end[5];
} scene;

enum { MARK_RESTED = 1, MARK_WOKEN };

/* ---- The layers around -------------------------------------------------------------------------------------------- */

void cache_each_used(void (*visit)(struct cache *cache, void *context), void *context) { (void)visit, (void)context; }
bool cache_stop(struct cache *cache) { return cache == NULL; }
bool cache_stopped(const struct cache *cache) { return cache == NULL; }
void cache_go_on(struct cache *cache) { (void)cache; }
uint64_t cache_sweep(struct cache *cache) { return cache == NULL; }
uint64_t cache_sweep_spans(struct cache *cache, struct swept *swept) { return cache == NULL && swept; }
void cache_give_back(const struct swept *swept) { (void)swept; }
bool census_has_spans(const struct cache *cache) { return cache == NULL; }
uint64_t cache_empty_set(struct cache *cache, unsigned set) { return cache == NULL && set; }
void cache_after_fork(void) {}
void pages_after_fork(void) {}
bool os_barrier(void) {
    model_barrier();
    return true;
}
void os_yield(unsigned attempt) { (void)attempt; }
void os_at_fork(void (*told)(void)) { (void)told; }
uint64_t os_clock_ms(void) { return 1; }
uint64_t setting(const char *name) { return name[0] == 0; }

bool os_thread_start(void (*run)(void)) {
    MODEL_HOLDS(run == keeper_run);
    if (scene.starts) MODEL_HOLDS(atom_add_acqrel_u64(&scene.start, 1) == 0);
    return scene.starts;
}

void os_nap_end(void) { atom_add_acqrel_u32(&scene.nap_word, 1); }

/* Sleeps until somebody ends the nap; ends the scenario when nobody is left who might. */
static void nap_for_good(void) {
    for (;;) {
        uint64_t told[MODEL_THREADS], all = 1;
        for (int t = 1; t < MODEL_THREADS; t++) told[t] = atom_load_acq_u64(&scene.told[t]);
        if (atom_load_acq_u32(&scene.nap_word) != scene.slept) return;
        for (int t = 1; t < MODEL_THREADS; t++) {
            if (told[t]) MODEL_HOLDS(scene.done[t]);
            all &= told[t];
        }
        model_mark(MARK_RESTED);
        if (all) __builtin_longjmp(scene.end, 1);
        atom_pause();
    }
}

void os_nap(unsigned timeout_ms) {
    if (timeout_ms == 0) {
        nap_for_good();
        model_mark(MARK_WOKEN);
    }
    scene.slept = atom_load_acq_u32(&scene.nap_word);
}

static bool job(void) {
    for (int t = 1; t < MODEL_THREADS; t++) {
        if (!scene.done[t] && atom_load_acq_u64(&scene.asked[t])) scene.done[t] = true;
    }
    return false;
}

/* ---- Scenes -------------------------------------------------------------------------------------------------------- */

/* Threads 1 to `threads` - 1 ask; the others have asked and been served before. */
static void begin(uint32_t first_state, int threads) {
    memset(&scene, 0, sizeof scene);
    memset(jobs, 0, sizeof jobs);
    for (int t = threads; t < MODEL_THREADS; t++) scene.told[t] = scene.done[t] = true;
    scene.starts = true;
    state = first_state;
    wanted = missed = 0;
    jobs[0] = (uint64_t)(uintptr_t)job;
}
static void begin_one(void) { begin(RUNS, 2); }
static void begin_two(void) { begin(RUNS, 3); }
static void begin_first(void) { begin(NONE, 3); }
static void begin_refused(void) {
    begin(NONE, 3);
    jobs[0] = 0;
    scene.starts = false;
}

static void ask(int me) {
    atom_store_rlx_u64(&scene.asked[me], 1);
    keeper_wake(job);
    atom_store_rel_u64(&scene.told[me], 1);
}

/* The keeper, until it sleeps for good. */
static void keeper_live(void) {
    if (__builtin_setjmp(scene.end) == 0) keeper_run();
}

static void ask_thread(int me) {
    if (me == KEEPER) keeper_live();
    else ask(me);
}

static void ask_twice_thread(int me) {
    if (me == KEEPER) {
        keeper_live();
        return;
    }
    keeper_wanted();
    ask(me);
}

/* The first keeper: a thread starts it while another one asks as well. */
static void first_thread(int me) {
    if (me == KEEPER) {
        while (atom_load_acq_u64(&scene.start) == 0) atom_pause();
        keeper_live();
        return;
    }
    atom_store_rlx_u64(&scene.asked[me], 1);
    keeper_wanted();
    atom_store_rel_u64(&scene.told[me], 1);
}

static void refused_thread(int me) {
    if (me == KEEPER) return;
    keeper_wake(job); /* there is room for the job once */
    keeper_wanted();
}

static void check_done_all(void) {
    for (int t = 1; t < MODEL_THREADS; t++) MODEL_HOLDS(scene.done[t]);
}
static void check_started(void) {
    check_done_all();
    MODEL_HOLDS(scene.start == 1);
}
static void check_refused(void) {
    MODEL_HOLDS(jobs[0] == (uint64_t)(uintptr_t)job);
    MODEL_HOLDS(state == FAILED && !keeper_runs());
}

static const struct {
    struct model model;
    bool rests;
} cases[] = {
    {{"the keeper goes to rest, and one asks", 2, 0, begin_one, ask_thread, check_done_all}, true},
    {{"the keeper goes to rest, and one asks twice", 2, 0, begin_one, ask_twice_thread, check_done_all}, true},
    {{"the keeper goes to rest, and two ask", 3, 0, begin_two, ask_thread, check_done_all}, true},
    {{"two want the first keeper", 3, 0, begin_first, first_thread, check_started}, true},
    {{"two want a keeper that the system refuses", 3, MODEL_NOBODY_WAITS, begin_refused, refused_thread, check_refused}, false},
};

int main(void) {
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        for (unsigned tso = 0; tso <= MODEL_TSO; tso += MODEL_TSO) {
            struct model model = cases[i].model;
            model.flags |= tso | MODEL_MERGE;
            CHECK(model_passes(&model));
            CHECK_EQ(model_marked(MARK_RESTED) > 0 && model_marked(MARK_WOKEN) > 0, cases[i].rests);
        }
    }
    return check_done();
}
