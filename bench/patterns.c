/*
 * patterns.c - malloc and free in the patterns that the literature measures allocators with, one run each.
 *
 * replace          one of 10,000 live blocks of 16 to 1,000 bytes, drawn at random, is freed and allocated anew
 * hand-over        one thread allocates, another frees, over a ring of pointers
 * xmalloc          (Lever and Boreham) two threads allocate batches, two others free them
 * larson           (Larson and Krishnan) a server: each thread replaces blocks that threads before it allocated, then leaves
 *                  them to a new thread and ends
 * churn            threads that live one millisecond and free all that they allocated
 *
 * Written anew from their descriptions. The work is fixed (of churn: the time of each thread), the time is the wall's. A run
 * reports peak resident memory too, so it wants a process of its own.
 *
 * Each runs on every heap of the system. malloc is called directly, whichever library serves it, the others through their
 * bench_heap: one well predicted branch tells them apart.
 */
#include "bench/bench.h"
#include "bench/random.h"
#include "bench/suite.h"
#include "bench/system.h"
#include "tools/common/tool.h"

#include <ck_ring.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { LEAST = 16, MOST = 1000 };

/* The heap of the run under way: one run at a time, set before its threads start. */
static const struct bench_heap *kind;
static void *heap;
static bool direct;

static inline char *take(size_t size) {
    char *block = direct ? malloc(size) : kind->alloc(heap, size);
    *(volatile char *)block = 1;
    return block;
}

static inline void give(void *block) {
    if (direct) free(block);
    else if (block != NULL) kind->free(heap, block);
}

static bool pattern_open(struct bench_state *state) {
    const char *why;
    kind = state->context;
    direct = kind == &bench_heap_libc;
    heap = bench_heap_open(kind, &why);
    if (heap == NULL) bench_fail(state, why);
    return heap != NULL;
}

static void pattern_close(struct bench_state *state, double items) {
    bench_items(state, items);
    bench_count(state, "peak_rss_bytes", (double)system_peak_bytes(), BENCH_VALUE);
    kind->close(heap);
}

/* Where no heap can be had, the loop must be entered all the same; it has no turns then. */
static void pattern_skip(struct bench_state *state) { BENCH_LOOP(state) abort(); }

static inline char *take_random(uint64_t *seed) { return take(LEAST + random_below(seed, MOST - LEAST + 1)); }

/* ---- Random replacement ----------------------------------------------------------------------------------------- */

enum { LIVE = 10000, REPLACE_WARM = 200 * 1000, REPLACE_TURNS = 3 * 1000 * 1000 };

static void replace(struct bench_state *state) {
    if (!pattern_open(state)) return pattern_skip(state);
    static char *live[LIVE];
    uint64_t seed = random_seed(0);
    for (size_t i = 0; i < LIVE; i++) live[i] = take_random(&seed);
    for (size_t i = 0; i < REPLACE_WARM; i++) {
        uint32_t which = random_below(&seed, LIVE);
        give(live[which]);
        live[which] = take_random(&seed);
    }
    BENCH_LOOP(state) {
        uint32_t which = random_below(&seed, LIVE);
        give(live[which]);
        live[which] = take_random(&seed);
    }
    for (size_t i = 0; i < LIVE; i++) give(live[i]);
    pattern_close(state, 1);
}

/* ---- Producer and consumer -------------------------------------------------------------------------------------- */

enum { RING = 1024, HANDED = 2 * 1000 * 1000 };

struct hand_over {
    ck_ring_t ring;
    ck_ring_buffer_t buffer[RING];
};

static void *consume(void *argument) {
    struct hand_over *hand = argument;
    system_pin(1);
    for (uint64_t got = 0; got < HANDED; got++) {
        void *block;
        for (unsigned spins = 0; !ck_ring_dequeue_spsc(&hand->ring, hand->buffer, &block); spins++) {
            if (spins > 200) system_yield();
        }
        give(block);
    }
    return NULL;
}

static void hand_over(struct bench_state *state) {
    if (!pattern_open(state)) return pattern_skip(state);
    static struct hand_over hand;
    size_t size = (size_t)state->argument[0];
    pthread_t consumer;
    ck_ring_init(&hand.ring, RING);
    system_pin(0); /* the two on one processor are another benchmark, of how long a thread that yields goes on */
    BENCH_LOOP(state) {
        if (pthread_create(&consumer, NULL, consume, &hand) != 0) abort();
        for (uint64_t made = 0; made < HANDED; made++) {
            char *block = take(size);
            for (unsigned spins = 0; !ck_ring_enqueue_spsc(&hand.ring, hand.buffer, block); spins++) {
                if (spins > 200) system_yield();
            }
        }
        pthread_join(consumer, NULL);
    }
    system_pin(SYSTEM_ANY);
    pattern_close(state, HANDED);
}

/* ---- xmalloc ---------------------------------------------------------------------------------------------------- */

enum { BATCH = 4096, BATCHES_MOST = 8, BATCHES = 200, XMALLOC_SIDE = 2 };

struct batch {
    struct batch *next;
    void *block[BATCH];
};

/* The batches that wait for somebody to free them; bounded, so that the faster side waits for the other. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct batch *first;
    int count;
    int count_left; /* batches still to be freed */
} queue = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static void *xmalloc_make(void *argument) {
    size_t size = *(const size_t *)argument;
    for (int made = 0; made < BATCHES; made++) {
        struct batch *batch = (struct batch *)(void *)take(sizeof *batch);
        for (size_t i = 0; i < BATCH; i++) batch->block[i] = take(size);
        pthread_mutex_lock(&queue.lock);
        while (queue.count == BATCHES_MOST) pthread_cond_wait(&queue.changed, &queue.lock);
        batch->next = queue.first;
        queue.first = batch;
        queue.count++;
        pthread_cond_broadcast(&queue.changed);
        pthread_mutex_unlock(&queue.lock);
    }
    return NULL;
}

static struct batch *xmalloc_next(void) {
    pthread_mutex_lock(&queue.lock);
    while (queue.first == NULL && queue.count_left > 0) pthread_cond_wait(&queue.changed, &queue.lock);
    struct batch *batch = queue.first;
    if (batch != NULL) {
        queue.first = batch->next;
        queue.count--;
        queue.count_left--;
        pthread_cond_broadcast(&queue.changed);
    }
    pthread_mutex_unlock(&queue.lock);
    return batch;
}

static void *xmalloc_free(void *argument) {
    (void)argument;
    for (struct batch *batch; (batch = xmalloc_next()) != NULL; give(batch)) {
        for (size_t i = 0; i < BATCH; i++) give(batch->block[i]);
    }
    return NULL;
}

static void xmalloc(struct bench_state *state) {
    if (!pattern_open(state)) return pattern_skip(state);
    size_t size = (size_t)state->argument[0];
    pthread_t threads[2 * XMALLOC_SIDE];
    BENCH_LOOP(state) {
        queue.count_left = XMALLOC_SIDE * BATCHES;
        for (int i = 0; i < 2 * XMALLOC_SIDE; i++) {
            if (pthread_create(&threads[i], NULL, i < XMALLOC_SIDE ? xmalloc_make : xmalloc_free, &size) != 0) abort();
        }
        for (int i = 0; i < 2 * XMALLOC_SIDE; i++) pthread_join(threads[i], NULL);
    }
    pattern_close(state, (double)XMALLOC_SIDE * BATCHES * BATCH);
}

/* ---- larson ----------------------------------------------------------------------------------------------------- */

enum { LARSON_BLOCKS = 5000, LARSON_ROUND = 100 * 1000, LARSON_LIVES = 4, LARSON_THREADS_MOST = 8 };

/* One connection of the server: the blocks that thread after thread inherits. */
struct connection {
    uint64_t seed;
    char *block[LARSON_BLOCKS];
};

static void *larson_life(void *argument) {
    struct connection *mine = argument;
    uint64_t seed = mine->seed;
    for (int i = 0; i < LARSON_ROUND; i++) {
        uint32_t which = random_below(&seed, LARSON_BLOCKS);
        give(mine->block[which]);
        mine->block[which] = take_random(&seed);
    }
    mine->seed = seed;
    return NULL;
}

static void larson(struct bench_state *state) {
    if (!pattern_open(state)) return pattern_skip(state);
    static struct connection connections[LARSON_THREADS_MOST];
    pthread_t threads[LARSON_THREADS_MOST];
    int count = (int)state->argument[0];
    for (int c = 0; c < count; c++) {
        connections[c].seed = random_seed(c);
        for (size_t i = 0; i < LARSON_BLOCKS; i++) connections[c].block[i] = take_random(&connections[c].seed);
    }
    BENCH_LOOP(state) {
        for (int life = 0; life < LARSON_LIVES; life++) {
            /* A connection's blocks go to another thread than the one that had them last. */
            for (int c = 0; c < count; c++) {
                if (pthread_create(&threads[c], NULL, larson_life, &connections[(c + life) % count]) != 0) abort();
            }
            for (int c = 0; c < count; c++) pthread_join(threads[c], NULL);
        }
    }
    for (int c = 0; c < count; c++) {
        for (size_t i = 0; i < LARSON_BLOCKS; i++) give(connections[c].block[i]);
    }
    pattern_close(state, (double)count * LARSON_LIVES * LARSON_ROUND);
}

/* ---- Threads that live a millisecond ------------------------------------------------------------------------------ */

enum { CHURN_THREADS = 100, CHURN_LIVE = 500, CHURN_NS = 1000 * 1000 };

static void *churn_life(void *argument) {
    uint64_t *done = argument, seed = random_seed(7), end = tool_clock_ns() + CHURN_NS, operations = 0;
    char *live[CHURN_LIVE] = {NULL};
    do {
        for (int i = 0; i < 100; i++) {
            uint32_t which = random_below(&seed, CHURN_LIVE);
            give(live[which]);
            live[which] = take_random(&seed);
        }
        operations += 100;
    } while (tool_clock_ns() < end);
    for (size_t i = 0; i < CHURN_LIVE; i++) give(live[i]);
    *done = operations;
    return NULL;
}

static void churn(struct bench_state *state) {
    if (!pattern_open(state)) return pattern_skip(state);
    uint64_t done[2], operations = 0;
    pthread_t threads[2];
    BENCH_LOOP(state) {
        for (int i = 0; i < CHURN_THREADS; i += 2) {
            for (int t = 0; t < 2; t++) {
                if (pthread_create(&threads[t], NULL, churn_life, &done[t]) != 0) abort();
            }
            for (int t = 0; t < 2; t++) pthread_join(threads[t], NULL);
            operations += done[0] + done[1];
        }
    }
    pattern_close(state, (double)operations / (double)state->turns);
}

static void add(const char *work, bench_function *run, int64_t argument, uint64_t turns) {
    char name[64];
    for (size_t k = 0; bench_heaps[k] != NULL; k++) {
        snprintf(name, sizeof name, "pattern/%s/%s", work, bench_heaps[k]->name);
        bench_register(&(struct bench){.name = name,
                                       .run = run,
                                       .context = bench_heaps[k],
                                       .argument = {argument},
                                       .count_arguments = argument != 0,
                                       .turns = turns});
    }
}

void bench_register_patterns(void) {
    add("replace", replace, 0, REPLACE_TURNS);
    add("hand-over", hand_over, 64, 1);
    add("hand-over", hand_over, 1024, 1);
    add("xmalloc", xmalloc, 64, 1);
    add("larson", larson, 1, 1);
    add("larson", larson, 2, 1);
    add("larson", larson, 8, 1);
    add("churn", churn, 0, 1);
}
