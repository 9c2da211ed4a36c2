/*
 * latency.c - how long single requests for memory take while other threads ask too: p50, p99, p99.9 and the longest.
 *
 * The mean hides what a request in a thousand waits for. Each request is timed by itself with the time-stamp counter, whose
 * own cost is taken off; "untouched" is the request alone, "touched" the request and the first write to each page, since a
 * system that hands out nothing but promises collects its price there. Giving back is not timed.
 */
#include "bench/bench.h"
#include "bench/histogram.h"
#include "bench/suite.h"
#include "bench/system.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PAGE = 4096, THREADS_MOST = 4, REQUESTS = 20000 };

static struct histogram sum;
static pthread_mutex_t sum_lock = PTHREAD_MUTEX_INITIALIZER;

static void latency_report(struct bench_state *state, double tick_ns) {
    static const struct {
        const char *name;
        double share;
    } quantiles[] = {{"p50_ns", 0.5}, {"p90_ns", 0.9}, {"p99_ns", 0.99}, {"p99.9_ns", 0.999}, {"p99.99_ns", 0.9999}};
    for (size_t i = 0; i < sizeof quantiles / sizeof *quantiles; i++)
        bench_count(state, quantiles[i].name, histogram_quantile(&sum, quantiles[i].share) * tick_ns, BENCH_VALUE);
    bench_count(state, "max_ns", (double)sum.most * tick_ns, BENCH_VALUE);
}

static uint64_t time_request(const struct bench_vm *vm, size_t size, bool touch, bool *good) {
    uint64_t before = system_ticks();
    volatile char *got = vm->take(size);
    for (size_t at = 0; got != NULL && touch && at < size; at += PAGE) got[at] = 1;
    uint64_t taken = system_ticks() - before;
    *good &= got != NULL && vm->give((void *)got, size);
    return taken;
}

/* One histogram, filled by all threads of the run; the last thread that is done reports it, as it alone knows all. */
static void latency(struct bench_state *state) {
    static int count_done;
    const struct bench_vm *vm = state->context;
    size_t size = (size_t)state->argument[0];
    bool touch = state->argument[1] != 0, good = true;
    struct histogram *mine = calloc(1, sizeof *mine);
    uint64_t overhead = histogram_overhead();
    double tick_ns = histogram_tick_ns();
    if (state->thread == 0) {
        memset(&sum, 0, sizeof sum);
        count_done = 0;
    }
    BENCH_LOOP(state) {
        uint64_t ticks = time_request(vm, size, touch, &good);
        if (mine != NULL) histogram_add(mine, ticks > overhead ? ticks - overhead : 0);
    }
    if (!good || mine == NULL) bench_fail(state, "memory was refused");
    bench_items(state, 1);
    pthread_mutex_lock(&sum_lock);
    if (mine != NULL) histogram_merge(&sum, mine);
    if (++count_done == state->count_threads) latency_report(state, tick_ns);
    pthread_mutex_unlock(&sum_lock);
    free(mine);
}

static void add(const char *work, const struct bench_vm *vm, int64_t touch, int threads) {
    char name[64];
    snprintf(name, sizeof name, "latency/%s/%s", work, vm->name);
    bench_register(&(struct bench){.name = name,
                                   .run = latency,
                                   .context = vm,
                                   .argument = {64 << 10, touch},
                                   .count_arguments = 1,
                                   .threads = threads,
                                   .turns = REQUESTS});
}

void bench_register_latency(void) {
    static const struct bench_vm *const both[] = {&bench_vm_engine, &bench_vm_raw};
    for (int threads = 1; threads <= THREADS_MOST; threads += THREADS_MOST - 1) {
        for (size_t v = 0; v < 2; v++) add("untouched", both[v], 0, threads);
        for (size_t v = 0; v < 2; v++) add("touched", both[v], 1, threads);
    }
}
