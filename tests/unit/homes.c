/*
 * Cache lines: no two threads hold blocks of one line that the heap handed out to them, in the patterns that the literature calls
 * cache-thrash (each thread allocates for itself) and cache-scratch (one thread allocated for all, each frees what it was
 * given, and goes on), once things have settled.
 */
#include <string.h>

#include "check.h"
#include "core/cache.h"
#include "heap/front.h"
#include "hostmem.h"
#include "thread.h"

enum { THREADS = 4, HELD = 40, ROUNDS = 300, SIZES = 7 };

static const size_t sizes[SIZES] = {8, 16, 40, 48, 80, 100, 160};

static struct heap *heap;
static size_t size_now;
static void *given[THREADS][HELD];
static uintptr_t held[THREADS][HELD];
static uint64_t arrived;

/* Waits for all threads of the scene, with a barrier of the test's own. */
static void meet(uint64_t *round) {
    uint64_t target = ++*round * THREADS;
    atom_add_acqrel_u64(&arrived, 1);
    for (unsigned i = 0; atom_load_acq_u64(&arrived) < target; i++) {
        if (i % 64 == 0) sched_yield();
    }
}

static void *thread_of_scene(void *context) {
    size_t me = (size_t)(uintptr_t)context;
    uint64_t round = 0, random = me;
    for (size_t i = 0; i < HELD; i++) {
        if (given[me][i]) CHECK_EQ(front_free(heap, given[me][i]), ST_OK);
    }
    void *block[HELD];
    for (size_t i = 0; i < HELD; i++) CHECK_EQ(front_alloc(heap, size_now, false, &block[i]), ST_OK);
    for (int turn = 0; turn < ROUNDS; turn++) {
        size_t i = thread_random(&random) % HELD;
        CHECK_EQ(front_free(heap, block[i]), ST_OK);
        CHECK_EQ(front_alloc(heap, size_now, false, &block[i]), ST_OK);
        if (turn % 50 == 0) sched_yield();
    }
    for (size_t i = 0; i < HELD; i++) held[me][i] = (uintptr_t)block[i];
    meet(&round);
    for (size_t i = 0; i < HELD; i++) CHECK_EQ(front_free(heap, block[i]), ST_OK);
    return NULL;
}

/* How many pairs of blocks of different threads touch one cache line. */
static size_t lines_shared(void) {
    size_t shared = 0, size = class_size(class_of(size_now));
    for (size_t n = 0; n < THREADS * HELD; n++) {
        for (size_t m = 0; m < n; m++) {
            if (n / HELD == m / HELD) continue;
            uintptr_t a = held[n / HELD][n % HELD], b = held[m / HELD][m % HELD];
            shared += a / 64 <= (b + size - 1) / 64 && b / 64 <= (a + size - 1) / 64;
        }
    }
    return shared;
}

static void scene(bool scratch) {
    memset(given, 0, sizeof given);
    CHECK_EQ(heap_create(false, 0, &heap), ST_OK);
    /* One for each in turn, so that neighbours go to different threads. */
    for (size_t n = 0; scratch && n < THREADS * HELD; n++) {
        CHECK_EQ(front_alloc(heap, size_now, false, &given[n % THREADS][n / THREADS]), ST_OK);
    }
    struct threads threads = {0};
    atom_store_rel_u64(&arrived, 0);
    for (uintptr_t i = 0; i < THREADS; i++) threads_start(&threads, thread_of_scene, (void *)i);
    threads_join(&threads);
    CHECK_EQ(lines_shared(), 0);
    HmTrim();
    CHECK_EQ(heap_used(heap), 0);
    CHECK_EQ(heap_destroy(heap), ST_OK);
}

int main(void) {
    for (size_t i = 0; i < SIZES; i++) {
        size_now = sizes[i];
        scene(false);
        scene(true);
    }
    CHECK_EQ(front_double_frees(), 0);
    return check_done();
}
