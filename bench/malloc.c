/*
 * malloc.c - malloc and free as a program calls them: pairs, and a thousand blocks freed in three orders. (Resizing and
 * alignment are in objects.c.)
 *
 * The calls are direct, so that whichever library was loaded before the program serves them. Each block's first byte is
 * written. The compiler may not see through the calls (-fno-builtin), or it would leave the pairs out.
 */
#include "bench/bench.h"
#include "bench/random.h"
#include "bench/suite.h"
#include "bench/system.h"

#include <stdio.h>
#include <stdlib.h>

enum { BURST = 1000 };
enum { ORDER_LIFO, ORDER_FIFO, ORDER_RANDOM };

static void malloc_pair(struct bench_state *state) {
    size_t size = (size_t)state->argument[0];
    BENCH_LOOP(state) {
        char *block = malloc(size);
        *(volatile char *)block = 1;
        free(block);
    }
    bench_items(state, 1);
}

static void order_fill(uint16_t *order, int64_t kind) {
    uint64_t seed = random_seed(0);
    for (uint16_t i = 0; i < BURST; i++) {
        uint32_t other = kind == ORDER_RANDOM ? random_below(&seed, i + 1u) : i;
        order[i] = order[other];
        order[other] = i;
    }
    for (uint16_t i = 0; kind == ORDER_LIFO && i < BURST; i++) order[i] = (uint16_t)(BURST - 1 - i);
}

static inline void burst(const uint16_t *order, size_t size) {
    static char *blocks[BURST];
    for (size_t i = 0; i < BURST; i++) {
        blocks[i] = malloc(size);
        *(volatile char *)blocks[i] = 1;
    }
    for (size_t i = 0; i < BURST; i++) free(blocks[order[i]]);
}

/* The first is untimed: with pages of 2 MiB its faults alone can take longer than a run is meant to, which would end it there. */
static void malloc_burst(struct bench_state *state) {
    static uint16_t order[BURST];
    size_t size = (size_t)state->argument[0];
    order_fill(order, state->argument[1]);
    burst(order, size);
    BENCH_LOOP(state) burst(order, size);
    bench_items(state, BURST);
}

void bench_register_malloc(void) {
    static const int64_t sizes[] = {16, 64, 256, 1024, 4096, 16384, 65536};
    static const struct {
        const char *work;
        bench_function *run;
        int64_t order;
    } works[] = {{"pair", malloc_pair, 0},
                 {"lifo", malloc_burst, ORDER_LIFO},
                 {"fifo", malloc_burst, ORDER_FIFO},
                 {"random", malloc_burst, ORDER_RANDOM}};
    char name[64];
    for (size_t w = 0; w < sizeof works / sizeof *works; w++) {
        snprintf(name, sizeof name, "malloc/%s/%s", works[w].work, bench_heap_libc.name);
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
            bench_register(&(struct bench){.name = name,
                                           .run = works[w].run,
                                           .argument = {sizes[s], works[w].order},
                                           .count_arguments = 1});
    }
}
