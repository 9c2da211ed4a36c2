/*
 * latency.c - how long single requests take, alone and while other threads ask too: quantiles up to the longest.
 *
 * The mean hides what a request in a thousand waits for. Each request is timed by itself with the time-stamp counter, whose
 * own cost is taken off. Of virtual memory: "untouched" is the request alone, "touched" the request and the first write to each
 * page (a system that hands out nothing but promises collects its price there), "give" the release of touched memory, and
 * "recommit" and "decommit" happen inside one reservation. Of heaps: "alloc" and "free" among a thousand live blocks of 16 to
 * 1,000 bytes, replaced at random. What a row does not name is not timed.
 *
 * "nothing" waits for 0.2 us, about a request for pages, and asks for nothing: what its quantiles show beyond that is what the
 * machine does to any code, and no request's can be better.
 */
#include "bench/bench.h"
#include "bench/histogram.h"
#include "bench/random.h"
#include "bench/suite.h"
#include "bench/system.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PAGE = 4096, SIZE = 64 << 10, THREADS_MOST = 4, REQUESTS = 20000, BLOCK_REQUESTS = 100000 };
enum { LIVE = 1000, LEAST = 16, MOST = 1000, NOTHING_NS = 200 };
enum operation { UNTOUCHED, TOUCHED, GIVE, RECOMMIT, DECOMMIT, NOTHING, ALLOC, FREE };

/* What one thread needs for its requests. */
struct requester {
    const struct bench_vm *vm;
    const struct bench_heap *kind;
    enum operation operation;
    void *heap;
    char *base; /* of the reservation; NULL where none is needed */
    uint64_t seed;
    uint64_t wait; /* ticks */
    bool good;
    void *live[LIVE];
};

struct row {
    const struct bench_vm *vm;
    const struct bench_heap *kind;
    enum operation operation;
};

static struct histogram sum;
static pthread_mutex_t sum_lock = PTHREAD_MUTEX_INITIALIZER;

static void latency_report(struct bench_state *state, double tick_ns) {
    static const struct {
        const char *name;
        double share;
    } quantiles[] = {{"p10_ns", 0.1},     {"p50_ns", 0.5},     {"p75_ns", 0.75},      {"p90_ns", 0.9},
                     {"p95_ns", 0.95},    {"p99_ns", 0.99},    {"p99.5_ns", 0.995},   {"p99.9_ns", 0.999},
                     {"p99.95_ns", 0.9995}, {"p99.99_ns", 0.9999}};
    for (size_t i = 0; i < sizeof quantiles / sizeof *quantiles; i++)
        bench_count(state, quantiles[i].name, histogram_quantile(&sum, quantiles[i].share) * tick_ns, BENCH_VALUE);
    bench_count(state, "max_ns", (double)sum.most * tick_ns, BENCH_VALUE);
}

static void touch(volatile char *start) {
    for (size_t at = 0; start != NULL && at < SIZE; at += PAGE) start[at] = 1;
}

static uint64_t time_take(struct requester *mine) {
    uint64_t before = system_ticks();
    char *got = mine->vm->take(SIZE);
    if (mine->operation == TOUCHED) touch(got);
    uint64_t taken = system_ticks() - before;
    mine->good &= got != NULL && mine->vm->give(got, SIZE);
    return taken;
}

static uint64_t time_give(struct requester *mine) {
    char *got = mine->vm->take(SIZE);
    touch(got);
    uint64_t before = system_ticks();
    mine->good &= got != NULL && mine->vm->give(got, SIZE);
    return system_ticks() - before;
}

static uint64_t time_recommit(struct requester *mine) {
    char *here = mine->base + SIZE;
    uint64_t before = system_ticks();
    mine->good &= mine->vm->commit(here, SIZE);
    uint64_t committed = system_ticks();
    touch(mine->good ? here : NULL);
    uint64_t touched = system_ticks();
    mine->good &= mine->vm->decommit(here, SIZE);
    return mine->operation == RECOMMIT ? committed - before : system_ticks() - touched;
}

static uint64_t time_block(struct requester *mine) {
    uint32_t which = random_below(&mine->seed, LIVE);
    size_t size = LEAST + random_below(&mine->seed, MOST - LEAST + 1);
    uint64_t before = system_ticks();
    mine->kind->free(mine->heap, mine->live[which]);
    uint64_t freed = system_ticks();
    mine->live[which] = mine->kind->alloc(mine->heap, size);
    uint64_t after = system_ticks();
    mine->good &= mine->live[which] != NULL;
    if (mine->good) *(volatile char *)mine->live[which] = 1;
    return mine->operation == FREE ? freed - before : after - freed;
}

static uint64_t time_nothing(const struct requester *mine) {
    uint64_t before = system_ticks(), now;
    do now = system_ticks();
    while (now - before < mine->wait);
    return now - before;
}

static uint64_t time_request(struct requester *mine) {
    switch (mine->operation) {
    case UNTOUCHED:
    case TOUCHED: return time_take(mine);
    case GIVE: return time_give(mine);
    case RECOMMIT:
    case DECOMMIT: return time_recommit(mine);
    case NOTHING: return time_nothing(mine);
    case ALLOC:
    case FREE: break;
    }
    return time_block(mine);
}

static struct requester *requester_make(struct bench_state *state, const char **why) {
    const struct row *row = state->context;
    struct requester *mine = calloc(1, sizeof *mine);
    *why = "memory was refused";
    if (mine == NULL) return NULL;
    *mine = (struct requester){.vm = row->vm, .kind = row->kind, .operation = row->operation, .good = true};
    mine->seed = random_seed(state->thread);
    mine->wait = (uint64_t)(NOTHING_NS / histogram_tick_ns());
    if (mine->kind != NULL) {
        mine->heap = bench_heap_open(mine->kind, why);
        mine->good = mine->heap != NULL;
        for (int i = 0; i < LIVE && mine->good; i++) mine->good = (mine->live[i] = mine->kind->alloc(mine->heap, MOST)) != NULL;
    } else if (mine->operation == RECOMMIT || mine->operation == DECOMMIT) {
        mine->base = mine->vm->reserve(4 * SIZE);
        mine->good = mine->base != NULL;
    }
    return mine;
}

static void requester_end(struct requester *mine) {
    if (mine == NULL) return;
    for (int i = 0; i < LIVE && mine->heap != NULL; i++)
        if (mine->live[i] != NULL) mine->kind->free(mine->heap, mine->live[i]);
    if (mine->heap != NULL) mine->kind->close(mine->heap);
    if (mine->base != NULL) mine->vm->give(mine->base, 4 * SIZE);
    free(mine);
}

/* One histogram, filled by all threads of the run; the last thread that is done reports it, as it alone knows all. */
static void latency(struct bench_state *state) {
    static int count_done;
    const char *why;
    struct histogram *times = calloc(1, sizeof *times);
    struct requester *mine = requester_make(state, &why);
    bool good = times != NULL && mine != NULL && mine->good;
    uint64_t overhead = histogram_overhead();
    double tick_ns = histogram_tick_ns();
    if (!good) bench_fail(state, why);
    if (state->thread == 0) {
        memset(&sum, 0, sizeof sum);
        count_done = 0;
    }
    BENCH_LOOP(state) {
        uint64_t ticks = good ? time_request(mine) : 0;
        if (good) histogram_add(times, ticks > overhead ? ticks - overhead : 0);
    }
    if (good && !mine->good) bench_fail(state, "memory was refused");
    bench_items(state, 1);
    pthread_mutex_lock(&sum_lock);
    if (times != NULL) histogram_merge(&sum, times);
    if (++count_done == state->count_threads) latency_report(state, tick_ns);
    pthread_mutex_unlock(&sum_lock);
    requester_end(mine);
    free(times);
}

static void add(const char *work, enum operation operation, const struct bench_vm *vm, const struct bench_heap *kind,
                int threads) {
    static struct row rows[128];
    static size_t count_rows;
    char name[64];
    struct row *row = &rows[count_rows++];
    if (count_rows > sizeof rows / sizeof *rows) abort();
    *row = (struct row){.operation = operation, .vm = vm, .kind = kind};
    snprintf(name, sizeof name, "latency/%s/%s", work, vm != NULL ? vm->name : kind->name);
    bench_register(&(struct bench){.name = name,
                                   .run = latency,
                                   .context = row,
                                   .argument = {SIZE},
                                   .count_arguments = vm != NULL,
                                   .threads = threads,
                                   .turns = vm != NULL ? REQUESTS : BLOCK_REQUESTS});
}

void bench_register_latency(void) {
    static const struct bench_vm *const both[] = {&bench_vm_engine, &bench_vm_raw};
    static const char *const names[] = {"untouched", "touched", "give", "recommit", "decommit", "alloc", "free"};
    for (int threads = 1; threads <= THREADS_MOST; threads += THREADS_MOST - 1) {
        add("nothing", NOTHING, &bench_vm_raw, NULL, threads);
        for (int operation = UNTOUCHED; operation < NOTHING; operation++) {
            for (size_t v = 0; v < 2; v++) add(names[operation], (enum operation)operation, both[v], NULL, threads);
        }
        for (int operation = ALLOC; operation <= FREE; operation++) {
            for (size_t k = 0; bench_heaps[k] != NULL; k++)
                add(names[operation], (enum operation)operation, NULL, bench_heaps[k], threads);
        }
    }
}
