/*
 * The keeper: what idle threads keep at hand goes back without their help, a thread whose cache is stopped goes on without
 * waiting, threads may end under its hands, and jobs are done until there is nothing more to do.
 */
#include "core/keeper.h"

#include <string.h>

#include "check.h"
#include "core/cache.h"
#include "core/census.h"
#include "heap/front.h"
#include "hostmem.h"
#include "os/os.h"
#include "thread.h"

static struct heap *heap;

static void use(size_t count, uint64_t *random) {
    void *block[64];
    for (size_t i = 0; i < count; i++) {
        CHECK_EQ(front_alloc(heap, 16 + thread_random(random) % 2000, false, &block[i]), ST_OK);
        memset(block[i], 0x55, 16);
    }
    for (size_t i = 0; i < count; i++) CHECK_EQ(front_free(heap, block[i]), ST_OK);
}

/* ---- An idle thread ----------------------------------------------------------------------------------------------- */

static uint64_t idle_steps;

static void step_wait(uint64_t step) {
    while (atom_load_acq_u64(&idle_steps) < step) os_yield(8);
}

static void *idle_thread(void *context) {
    uint64_t random = 1;
    use(64, &random);
    atom_store_rel_u64(&idle_steps, 1);
    step_wait(2);
    use(10, &random); /* its cache works again */
    return context;
}

static void an_idle_thread_is_emptied(void) {
    struct threads threads = {0};
    atom_store_rel_u64(&idle_steps, 0);
    threads_start(&threads, idle_thread, NULL);
    step_wait(1);
    CHECK(heap_used(heap) > 0);
    /* Two rounds, and one more for each that found the keeper at a round of his own. */
    for (int round = 0; round < 2 || (round < 10 && heap_used(heap) != 0); round++) {
        thread_rest(0.25);
        keeper_round();
    }
    CHECK_EQ(heap_used(heap), 0);
    atom_store_rel_u64(&idle_steps, 2);
    threads_join(&threads);
    HmTrim();
    CHECK_EQ(heap_used(heap), 0);
}

/* One that is on slow paths all the time sweeps itself, but for its spans. */
static void a_busy_thread_loses_its_spans(void) {
    enum { SPANS = 100 };
    static void *span[SPANS];
    uint64_t random = 9;
    for (int i = 0; i < SPANS; i++) span[i] = HmVirtualAlloc(NULL, 1 << 16, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    for (int i = 0; i < SPANS; i++) CHECK(HmVirtualFree(span[i], 0, MEM_RELEASE));
    CHECK(census_has_spans(cache_mine()));
    for (int round = 0; round < 3 || (round < 10 && census_has_spans(cache_mine())); round++) {
        use(64, &random);
        atom_store_rlx_u64(&cache_mine()->swept_ms, os_clock_ms());
        CHECK(keeper_round());
        thread_rest(0.02);
    }
    CHECK(!census_has_spans(cache_mine()));
    CHECK(heap_used(heap) > 0); /* its blocks are its own business */
    HmTrim();
    CHECK_EQ(heap_used(heap), 0);
}

/* Nor has anybody to wait until it is idle, who wants all of it now. */
static void all_threads_are_trimmed(void) {
    struct threads threads = {0};
    uint64_t random = 7;
    for (int i = 0; i < 3; i++) {
        atom_store_rel_u64(&idle_steps, 0);
        threads_start(&threads, idle_thread, NULL);
        step_wait(1);
    }
    use(64, &random);
    CHECK(heap_used(heap) > 0);
    keeper_trim();
    CHECK_EQ(heap_used(heap), 0);
    use(10, &random);
    struct cache *cache = cache_enter();
    uint64_t held = heap_used(heap);
    CHECK(cache != NULL && held > 0);
    keeper_trim(); /* it is in use */
    CHECK_EQ(heap_used(heap), held);
    cache_leave(cache);
    keeper_trim();
    CHECK_EQ(heap_used(heap), 0);
    atom_store_rel_u64(&idle_steps, 2);
    threads_join(&threads);
    HmTrim();
}

/* ---- A stopped cache ---------------------------------------------------------------------------------------------- */

/* As the keeper would, who may have it at this moment. */
static void stop(struct cache *cache) {
    while (!cache_stop(cache)) os_yield(8);
}

static void a_stopped_cache_is_passed_by(void) {
    uint64_t random = 2;
    use(64, &random);
    struct cache *cache = cache_mine();
    uint64_t held = heap_used(heap);
    CHECK(held > 0);
    stop(cache);
    CHECK(!cache_stop(cache) && cache_stopped(cache));
    CHECK(cache_enter() == NULL && cache_enter_or_make() == NULL);
    use(64, &random); /* by the bitmaps */
    CHECK_EQ(heap_used(heap), held);
    cache_go_on(cache);
    CHECK(cache_enter() == cache);
    cache_leave(cache);
    HmTrim();
    CHECK_EQ(heap_used(heap), 0);
}

/* Is at a round, as it were: has a cache for a moment, and leaves in it what is there. */
static void *passing_thread(void *context) {
    stop(context);
    atom_store_rel_u64(&idle_steps, 1);
    thread_rest(0.003);
    cache_go_on(context);
    return NULL;
}

static void a_trim_waits_out_a_round(void) {
    struct threads threads = {0};
    uint64_t random = 5;
    use(64, &random);
    CHECK(heap_used(heap) > 0);
    atom_store_rel_u64(&idle_steps, 0);
    threads_start(&threads, passing_thread, cache_mine());
    step_wait(1);
    keeper_trim();
    CHECK_EQ(heap_used(heap), 0);
    threads_join(&threads);
}

static void *leaving_thread(void *context) {
    uint64_t random = 3;
    use(64, &random);
    *(struct cache **)context = cache_mine();
    stop(cache_mine());
    return NULL;
}

/* The thread of a stopped cache ends: who has stopped it returns it. */
static void a_stopped_cache_is_left(void) {
    struct threads threads = {0};
    struct cache *left;
    threads_start(&threads, leaving_thread, &left);
    threads_join(&threads);
    CHECK(heap_used(heap) > 0);
    CHECK_EQ(left->holder, CACHE_LEFT);
    cache_go_on(left);
    CHECK_EQ(left->holder, CACHE_FREE);
    CHECK_EQ(heap_used(heap), 0);
}

/* ---- All at once --------------------------------------------------------------------------------------------------- */

static double storm_end;

static void *storm_life(void *context) {
    uint64_t random = (uint64_t)(uintptr_t)context;
    for (int i = 0; i < 50; i++) use(1 + thread_random(&random) % 64, &random);
    return NULL;
}

static void *storm_maker(void *context) {
    uint64_t number = (uint64_t)(uintptr_t)context;
    while (thread_seconds() < storm_end) {
        struct threads threads = {0};
        threads_start(&threads, storm_life, (void *)(uintptr_t)number++);
        storm_life((void *)(uintptr_t)number++);
        threads_join(&threads);
    }
    return NULL;
}

/* Empties what it can, as two others do. */
static void *storm_trimmer(void *context) {
    while (thread_seconds() < storm_end) keeper_trim();
    return context;
}

static void stop_one(struct cache *cache, void *context) {
    struct cache **list = context;
    for (size_t i = 0; i < 8; i++) {
        if (list[i]) continue;
        if (cache_stop(cache)) list[i] = cache;
        return;
    }
}

/* Stops every cache as often as it can, where the keeper stops only the idle ones. */
static void *storm_keeper(void *context) {
    size_t *swept = context;
    while (thread_seconds() < storm_end) {
        struct cache *list[8] = {0};
        cache_each_used(stop_one, list);
        os_barrier();
        for (size_t i = 0; i < 8 && list[i]; i++) {
            if (cache_stopped(list[i])) {
                cache_sweep(list[i]);
                ++*swept;
            }
            cache_go_on(list[i]);
        }
    }
    return NULL;
}

static void a_storm(void) {
    struct threads threads = {0};
    size_t swept = 0;
    storm_end = thread_seconds() + 1.5;
    threads_start(&threads, storm_keeper, &swept);
    for (int i = 0; i < 2; i++) threads_start(&threads, storm_trimmer, NULL);
    for (uintptr_t i = 0; i < 3; i++) threads_start(&threads, storm_maker, (void *)(i * 1000000));
    threads_join(&threads);
    CHECK(swept > 0);
    HmTrim();
    CHECK_EQ(heap_used(heap), 0);
    CHECK_EQ(front_double_frees(), 0);
}

/* ---- The thread itself --------------------------------------------------------------------------------------------- */

static uint32_t job_left, job_done;

static bool job(void) {
    atom_add_acqrel_u32(&job_done, 1);
    uint32_t left = atom_load_acq_u32(&job_left);
    if (left) atom_store_rel_u32(&job_left, left - 1);
    return left != 0;
}

static void wait_for(uint32_t done) {
    for (uint64_t end = os_clock_ms() + 10000; os_clock_ms() < end && atom_load_acq_u32(&job_done) < done;) os_yield(100);
    CHECK(atom_load_acq_u32(&job_done) >= done);
}

/* It goes round while a job asks for it, rests, and wakes. */
static void it_comes_and_rests(void) {
    keeper_wake(job);
    keeper_wake(job);
    atom_store_rel_u32(&job_left, 2);
    keeper_wanted();
    CHECK(keeper_runs());
    wait_for(5);
    thread_rest(1.5);
    uint32_t rests = atom_load_acq_u32(&job_done);
    thread_rest(1);
    CHECK_EQ(atom_load_acq_u32(&job_done), rests);
    keeper_wanted();
    wait_for(rests + 1);
}

/* ---- What an ended thread leaves ------------------------------------------------------------------------------------ */

static void *short_life(void *context) {
    uint64_t random = 5;
    use(64, &random);
    *(struct cache **)context = cache_mine();
    return NULL;
}

/* The next thread has it as it was, unless the keeper is at it just then; if none comes the keeper gives it back. */
static void a_cache_is_handed_down(void) {
    struct cache *first, *second;
    struct threads threads = {0};
    CHECK(keeper_runs());
    for (int attempt = 0; attempt == 0 || (attempt < 5 && first != second); attempt++) {
        threads_start(&threads, short_life, &first);
        threads_join(&threads);
        CHECK(heap_used(heap) > 0);
        threads_start(&threads, short_life, &second);
        threads_join(&threads);
    }
    CHECK(first == second);
    for (uint64_t end = os_clock_ms() + 10000; os_clock_ms() < end;) {
        if (atom_load_acq_u64(&first->holder) == CACHE_FREE && heap_used(heap) == 0) break;
        os_yield(100);
    }
    CHECK_EQ(atom_load_acq_u64(&first->holder), CACHE_FREE);
    CHECK_EQ(heap_used(heap), 0);
}

static void *short_span(void *context) {
    void *span = HmVirtualAlloc(NULL, 1 << 16, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    *(void **)context = span;
    CHECK(HmVirtualFree(span, 0, MEM_RELEASE));
    return NULL;
}

/* What lies in it is free to every query, so it can be had at its address, and counts when it is trimmed. */
static void a_cache_that_is_left_gives_way(void) {
    void *span;
    struct threads threads = {0};
    CHECK(keeper_runs());
    threads_start(&threads, short_span, &span);
    threads_join(&threads);
    CHECK(HmVirtualAlloc(span, 1 << 16, MEM_RESERVE, PAGE_READWRITE) == span);
    CHECK(HmVirtualFree(span, 0, MEM_RELEASE));
    threads_start(&threads, short_span, &span);
    threads_join(&threads);
    CHECK(keeper_trim() >= 1 << 16);
}

/* ---- After a fork -------------------------------------------------------------------------------------------------- */

/* ThreadSanitizer does not follow threads into a fork, and AddressSanitizer's own allocator has a lock that may be held then. */
#if !defined(_WIN32) && !defined(HM_ATOM_BUILTIN) && !defined(__SANITIZE_ADDRESS__)
#include <sys/wait.h>
#include <unistd.h>

static struct cache *in_use;

/* In its cache while the others fork. */
static void *inside_thread(void *context) {
    struct cache *cache = cache_enter_or_make();
    CHECK(cache != NULL);
    in_use = cache;
    atom_store_rel_u64(&idle_steps, 1);
    step_wait(2);
    cache_leave(cache);
    return context;
}

static void note_thread(const struct census *held, void *context) {
    struct census *all = context;
    all->blocks += held->thread != 0 && held->thread != os_thread_number();
    all->spans += held->thread == os_thread_number();
}

/* The child has none of the other threads: nobody waits for them to leave their caches, or keeps free room for them. */
static int child_of_fork(void) {
    struct threads threads = {0};
    struct census all = {0};
    bool more = true;
    census_each(note_thread, &all);
    if (all.blocks != 0 || all.spans != 1) return 3;
    threads_start(&threads, storm_life, (void *)1); /* takes what a thread before the fork has given back */
    threads_join(&threads);
    if (cache_home_active(in_use->home)) return 1;
    for (int round = 0; round < 8 && more; round++) {
        thread_rest(0.25);
        more = keeper_round();
    }
    return more ? 2 : 0;
}

static void a_child_forgets_the_others(void) {
    struct threads threads = {0};
    int status = -1;
    atom_store_rel_u64(&idle_steps, 0);
    threads_start(&threads, inside_thread, NULL);
    step_wait(1);
    struct threads gone = {0};
    threads_start(&gone, storm_life, (void *)2);
    threads_join(&gone);
    CHECK(cache_home_active(in_use->home));
    uint64_t random = 3;
    use(1, &random);
    pid_t child = fork();
    if (child == 0) _exit(child_of_fork());
    CHECK(child > 0 && waitpid(child, &status, 0) == child);
    CHECK_EQ(status, 0);
    atom_store_rel_u64(&idle_steps, 2);
    threads_join(&threads);
}
#else
static void a_child_forgets_the_others(void) {}
#endif

int main(void) {
    CHECK_EQ(heap_create(false, 0, &heap), ST_OK);
    a_child_forgets_the_others(); /* there is no keeper yet */
    an_idle_thread_is_emptied();
    a_busy_thread_loses_its_spans();
    all_threads_are_trimmed();
    a_stopped_cache_is_passed_by();
    a_trim_waits_out_a_round();
    a_stopped_cache_is_left();
    a_storm();
    it_comes_and_rests();
    a_cache_is_handed_down();
    a_cache_that_is_left_gives_way();
    CHECK_EQ(heap_destroy(heap), ST_OK);
    return check_done();
}
