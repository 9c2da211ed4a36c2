/*
 * How the keeper stops a thread's cache (core/cache.c, "Stopping"), under every interleaving and with delayed stores: the two
 * never use the magazines at the same time, the thread's end and the keeper's going on finish the cache once between them, a
 * thread that comes next has it as new, and nobody waits. Without the barrier that the keeper puts into the thread, and with
 * none of the other parts changed, the explorer must find the two at work at the same time.
 */
#include "check.h"
#include "explore.h"

#include <string.h>

#include "base/base.h"
#undef HM_ASSERT
#undef HM_CHECK
#define HM_ASSERT(condition) MODEL_HOLDS(condition)
#define HM_CHECK(condition) MODEL_HOLDS(condition)

/* The slots of os/os_slot.h: a coroutine has no thread-local words. */
#define HM_OS_SLOT_H
enum { OS_SLOT_CACHE, OS_SLOT_COUNT };
static void *slot_of[MODEL_THREADS];
static uint64_t os_slot_unset[8];
static void *os_slot_get(unsigned slot) { return slot_of[(size_t)model_me() + slot]; }
static void os_slot_set(unsigned slot, void *value) { slot_of[(size_t)model_me() + slot] = value; }
static bool os_slots_there(void) { return true; }
static bool os_has_fibers(void) { return false; }
static bool os_at_thread_exit(void (*on_exit)(void *value), void *value);

#define CACHES_AT_MOST ((size_t)64)
#include "../../src/core/bitmap.c"
#include "../../src/core/table.c"
#include "../../src/core/cache.c"

/* The table's one entry; the other numbers are taken. */
static struct {
    char before[CACHE_OFFSET];
    struct cache cache[1];
} entry;
#define table (entry.cache)

static struct {
    uint64_t magazines; /* stands for all that is in the cache */
    uint64_t step;
    unsigned finished, made;
    bool barrier;
    bool parks; /* a thread's end leaves the cache to the next */
} scene;

enum { MARK_USED = 1, MARK_PASSED_BY, MARK_SWEPT, MARK_BUSY, MARK_LEFT, MARK_MADE, MARK_NOT_MADE, MARK_PARKED, MARKS };

/* ---- The layers around, as far as they matter here ---------------------------------------------------------------- */

static bool os_at_thread_exit(void (*on_exit)(void *value), void *value) { return on_exit == cache_exit && value == &table[0]; }
enum status os_tables_reserve(size_t size, void **start) {
    (void)size, (void)start;
    return ST_NO_MEMORY;
}
enum status os_tables_commit(void *start, size_t size) {
    return start == (void *)&entry && size == CACHE_BYTES ? ST_OK : ST_NO_MEMORY;
}
void os_tables_discard(void *start, size_t size) { (void)start, (void)size; }
uint64_t setting(const char *name) { return name[0] == 0; }
uint64_t os_clock_ms(void) { return 1; }
uint32_t os_thread_number(void) { return 1; }
bool os_barrier(void) {
    if (scene.barrier) model_barrier();
    return true;
}
void keeper_prepare(void) {}
void keeper_missed(void) {}
void keeper_wake(bool (*job)(void)) { MODEL_HOLDS(job == NULL); }
bool keeper_runs(void) { return scene.parks; }
void keeper_wanted(void) {} /* the system gives none */
bool cache_bound_set(uint64_t thread_bytes, uint64_t all_bytes) { return thread_bytes == all_bytes; }
void cache_bound_lost(struct cache *cache) { (void)cache; }

static void use(void) {
    atom_load_rlx_u64(&scene.step); /* a step, so that a barrier may come in the middle */
    model_data_write(&scene.magazines);
}

/* One magazine is all there is; what was attached is closed. */
uint64_t cache_held(const struct cache *cache) { return cache->number == 0 ? CACHE_KEEPER_BYTES : 0; }

uint64_t cache_flush_set(struct cache *cache, unsigned set) {
    if (set != 0) return 0;
    use();
    cache->own[0].magazine[0] = (struct magazine){0};
    scene.finished++;
    return 0;
}
uint64_t cache_sweep(struct cache *cache) {
    use();
    (void)cache;
    return 0;
}

/* ---- Who takes part ------------------------------------------------------------------------------------------------ */

static void *room[2];

static void begin(bool barrier) {
    struct cache *cache = &table[0];
    memset(&scene, 0, sizeof scene);
    memset(cache, 0, offsetof(struct cache, own[0].magazine[1]));
    for (int t = 0; t < MODEL_THREADS; t++) slot_of[t] = os_slot_unset;
    memset(cache_claimed, 0xff, sizeof cache_claimed);
    scene.barrier = barrier;
    memset(cache_there, 0, sizeof cache_there);
    memset(cache_parked, 0, sizeof cache_parked);
    cache_there[0] = 1;
    cache_prepared = 1;
    cache_table.part[0] = (uint64_t)(uintptr_t)&entry;
    cache->open = CACHE_QUICK_SIZES;
    cache->bins = (uint64_t)(uintptr_t)cache->own;
    cache->own[0].magazine[0] = (struct magazine){.top = room, .base = room, .end = room + 2, .floor = room};
    cache->number = 0;
    cache->idle = 0;
    cache->holder = CACHE_THREADS;
    slot_of[0] = cache;
}
static void begin_with(void) { begin(true); }
static void begin_without(void) { begin(false); }
static void begin_parking(void) {
    begin(true);
    scene.parks = true;
}

/* As malloc and free do it. */
static void use_quickly(void) {
    struct cache *cache = cache_mine();
    if (!cache_try(cache)) return;
    struct bins *bins = cache_bins(cache);
    if (bins == table[0].own) use();
    else MODEL_HOLDS(bins == cache_no_bins);
    model_mark(bins == table[0].own ? MARK_USED : MARK_PASSED_BY);
    cache_leave(cache);
}

/* As a request does that the magazines did not help. */
static void use_slowly(void) {
    struct cache *cache = cache_enter();
    model_mark(cache ? MARK_USED : MARK_PASSED_BY);
    if (!cache) return;
    use();
    cache_leave(cache);
}

static void keeper(void) {
    struct cache *cache = &table[0];
    if (!cache_stop(cache)) {
        uint64_t bytes = 0;
        if (cache_finish_parked(cache, &bytes)) model_mark(MARK_PARKED);
        return;
    }
    os_barrier();
    bool stopped = cache_stopped(cache);
    model_mark(stopped ? MARK_SWEPT : MARK_BUSY);
    if (stopped) cache_sweep(cache);
    if (atom_load_rlx_u64(&cache->holder) == CACHE_LEFT) model_mark(MARK_LEFT);
    cache_go_on(cache);
}

static void used_thread(int me) {
    if (me == 0) {
        use_quickly();
        use_slowly();
    } else {
        keeper();
    }
}
static void twice_thread(int me) {
    if (me == 0) {
        use_quickly();
        use_quickly();
    } else {
        keeper();
        keeper();
    }
}
/* The keeper on its round, and somebody who trims. */
static void trimmed_thread(int me) {
    if (me == 0) use_quickly();
    else keeper();
}
static void check_used(void) {
    const struct cache *cache = &table[0];
    MODEL_HOLDS(cache->holder == CACHE_THREADS && cache->open != 0 && scene.finished == 0);
    MODEL_HOLDS(cache->bins == (uint64_t)(uintptr_t)&cache->own);
}

static void ended_thread(int me) {
    if (me == 0) {
        use_quickly();
        cache_exit(&table[0]);
        use_quickly(); /* what other destructors do goes past it */
        MODEL_HOLDS(cache_enter_or_make() == NULL);
    } else {
        keeper();
    }
}
static void ended_trimmed_thread(int me) {
    if (me == 0) {
        use_quickly();
        cache_exit(&table[0]);
    } else {
        keeper();
    }
}
static void check_ended(void) {
    const struct cache *cache = &table[0];
    MODEL_HOLDS(cache->holder == CACHE_FREE && scene.finished == 1 && (cache_claimed[0] & 1) == 0);
}

/* A third thread makes its cache where the first one's was, if that has gone; the keeper may come late to either. */
static void next_thread(int me) {
    if (me == 0) {
        cache_exit(&table[0]);
    } else if (me == 1) {
        keeper();
    } else {
        struct cache *cache = cache_enter_or_make();
        scene.made = cache_mine() == &table[0]; /* its own, though the keeper may have stopped it before it could be entered */
        model_mark(scene.made ? MARK_MADE : MARK_NOT_MADE);
        if (!cache) return;
        use();
        cache_leave(cache);
        use_quickly();
    }
}
static void check_next(void) {
    const struct cache *cache = &table[0];
    MODEL_HOLDS(cache->holder == (scene.made ? CACHE_THREADS : CACHE_FREE) && scene.finished == 1);
    MODEL_HOLDS((cache_claimed[0] & 1) == scene.made && cache->open != 0);
    MODEL_HOLDS(cache->bins == (uint64_t)(uintptr_t)&cache->own);
}

/* The same with a cache that is handed down: finished once at most, and somebody's, nobody's or parked in the end. */
static void check_parking(void) {
    const struct cache *cache = &table[0];
    uint64_t left = scene.finished ? CACHE_FREE : CACHE_PARKED;
    MODEL_HOLDS(cache->holder == (scene.made ? (uint64_t)CACHE_THREADS : left) && scene.finished <= 1);
    MODEL_HOLDS((cache_claimed[0] & 1) == (cache->holder != CACHE_FREE) && cache->open != 0);
    MODEL_HOLDS(cache->bins == (uint64_t)(uintptr_t)&cache->own);
}

#define MARK(mark) (1u << (mark))
#define MARKS_STOP (MARK(MARK_USED) | MARK(MARK_PASSED_BY) | MARK(MARK_SWEPT) | MARK(MARK_BUSY))

static const struct {
    struct model model;
    unsigned marks; /* what must have been seen in some interleaving */
} cases[] = {
    {{"a cache stopped while its thread uses it", 2, 0, begin_with, used_thread, check_used}, MARKS_STOP},
    {{"and again", 2, 0, begin_with, twice_thread, check_used}, MARKS_STOP},
    {{"stopped by two at once", 3, 0, begin_with, trimmed_thread, check_used}, MARKS_STOP},
    {{"stopped by two while its thread ends", 3, 0, begin_with, ended_trimmed_thread, check_ended}, MARKS_STOP | MARK(MARK_LEFT)},
    {{"a cache stopped while its thread ends", 2, 0, begin_with, ended_thread, check_ended}, MARKS_STOP | MARK(MARK_LEFT)},
    {{"and another thread makes its own there", 3, 0, begin_with, next_thread, check_next},
     MARKS_STOP | MARK(MARK_LEFT) | MARK(MARK_MADE) | MARK(MARK_NOT_MADE)},
    {{"a cache handed down, or emptied before that", 3, 0, begin_parking, next_thread, check_parking},
     MARKS_STOP | MARK(MARK_LEFT) | MARK(MARK_MADE) | MARK(MARK_NOT_MADE) | MARK(MARK_PARKED)},
};

static const struct model planted[] = {
    {"a cache stopped without a barrier, used", 2, MODEL_TSO, begin_without, used_thread, check_used},
    {"a cache stopped without a barrier, left", 2, MODEL_TSO, begin_without, ended_thread, check_ended},
};

int main(void) {
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        for (unsigned tso = 0; tso <= MODEL_TSO; tso += MODEL_TSO) {
            struct model model = cases[i].model;
            model.flags = MODEL_NOBODY_WAITS | tso;
            CHECK(model_passes(&model));
            for (unsigned mark = 1; mark < MARKS; mark++) {
                if (cases[i].marks >> mark & 1) CHECK(model_marked(mark) > 0);
            }
        }
    }
    for (size_t i = 0; i < sizeof planted / sizeof planted[0]; i++) CHECK(model_finds(&planted[i], FAULT_RACE));
    return check_done();
}
