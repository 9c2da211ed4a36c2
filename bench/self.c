/*
 * self.c - allocators that are wrong on purpose, for the test of the harness: one that does nothing, and one that takes two
 * microseconds longer than the system's. A harness that cannot tell them from the rest measures nothing.
 */
#include "bench/bench.h"
#include "bench/suite.h"
#include "bench/system.h"

#include <stdlib.h>

static char null_block[1 << 16];

static void *null_alloc(size_t size) {
    (void)size;
    return null_block;
}

static void null_free(void *block) { bench_keep(block); }

static void *slow_alloc(size_t size) {
    /* At 1 to 5 GHz, 6,000 ticks are more than a microsecond. */
    for (uint64_t start = system_ticks(); system_ticks() - start < 6000;) {
        /* waiting is the point */
    }
    return malloc(size);
}

struct self {
    const char *name;
    void *(*alloc)(size_t size);
    void (*free)(void *block);
};

static void self_pair(struct bench_state *state) {
    const struct self *self = state->context;
    size_t size = (size_t)state->argument[0];
    BENCH_LOOP(state) {
        char *block = self->alloc(size);
        *(volatile char *)block = 1;
        self->free(block);
    }
    bench_items(state, 1);
}

static void self_fail(struct bench_state *state) {
    BENCH_LOOP(state) {
        /* nothing: the run fails after it */
    }
    bench_fail(state, "failed on purpose");
}

static void self_fail_early(struct bench_state *state) {
    bench_fail(state, "failed on purpose");
    BENCH_LOOP(state) abort();
}

static void *foreign_open(void) { return null_block; }

static void foreign_close(void *heap) { (void)heap; }

static void *foreign_alloc(void *heap, size_t size) {
    (void)heap;
    return malloc(size);
}

static void foreign_free(void *heap, void *block) {
    (void)heap;
    free(block);
}

static bool foreign_owns(void *heap, void *block) {
    (void)heap, (void)block;
    return false;
}

/* A peer whose blocks another allocator serves. */
static const struct bench_heap foreign = {.name = "foreign",
                                          .open = foreign_open,
                                          .close = foreign_close,
                                          .alloc = foreign_alloc,
                                          .free = foreign_free,
                                          .owns = foreign_owns};

static void self_foreign(struct bench_state *state) {
    const char *why = NULL;
    if (bench_heap_open(&foreign, &why) == NULL) bench_fail(state, why);
    BENCH_LOOP(state) {
        /* never entered */
    }
}

void bench_register_self(void) {
    static const struct self selves[] = {
        {"self/pair/null", null_alloc, null_free}, {"self/pair/slow", slow_alloc, free}, {"self/pair/same", malloc, free}};
    for (size_t i = 0; i < sizeof selves / sizeof *selves; i++)
        bench_register(&(struct bench){
            .name = selves[i].name, .run = self_pair, .context = &selves[i], .argument = {64}, .count_arguments = 1});
    bench_register(&(struct bench){.name = "self/foreign", .run = self_foreign});
    bench_register(&(struct bench){.name = "self/fail/late", .run = self_fail, .threads = 2});
    bench_register(&(struct bench){.name = "self/fail/early", .run = self_fail_early, .threads = 2});
}
