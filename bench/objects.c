/*
 * objects.c - small blocks through calls of one form, for every heap of the system: IHostMalloc by its vtable, the flat heap
 * calls, the C library's malloc (or what was loaded in front of it), and on Windows HeapAlloc and mimalloc.
 *
 * grow resizes one block from 16 bytes to the row's size in steps of a half, writing each time to the new end, as a string
 * that is appended to; aligned allocates and frees 256 bytes at the row's alignment.
 */
#include "bench/bench.h"
#include "bench/random.h"
#include "bench/suite.h"
#include "bench/system.h"

#include <stdio.h>

enum { BURST = 1000, ALIGNED_SIZE = 256 };

/* The heap, or NULL after the run was given up. */
static void *open_heap(struct bench_state *state) {
    const char *why;
    void *heap = bench_heap_open(state->context, &why);
    if (heap == NULL) bench_fail(state, why);
    return heap;
}

static void close_heap(struct bench_state *state, void *heap, bool good, double items) {
    const struct bench_heap *kind = state->context;
    if (heap != NULL && !good) bench_fail(state, "memory was refused");
    if (heap != NULL) kind->close(heap);
    bench_items(state, items);
}

static void pair(struct bench_state *state) {
    const struct bench_heap *kind = state->context;
    void *heap = open_heap(state);
    bool good = kind->pairs(state, heap, (size_t)state->argument[0]);
    close_heap(state, heap, good, 1);
}

/* A thousand blocks, then a thousand frees in an order that was drawn before. */
static void burst(struct bench_state *state) {
    static char *blocks[BURST];
    static uint16_t order[BURST];
    const struct bench_heap *kind = state->context;
    size_t size = (size_t)state->argument[0];
    uint64_t seed = random_seed(0);
    void *heap = open_heap(state);
    bool good = true;
    for (uint16_t i = 0; i < BURST; i++) {
        uint32_t other = random_below(&seed, i + 1u);
        order[i] = order[other];
        order[other] = i;
    }
    BENCH_LOOP(state) {
        for (size_t i = 0; i < BURST; i++) {
            blocks[i] = kind->alloc(heap, size);
            if (blocks[i] != NULL) *(volatile char *)blocks[i] = 1;
            good &= blocks[i] != NULL;
        }
        for (size_t i = 0; i < BURST; i++) kind->free(heap, blocks[order[i]]);
    }
    close_heap(state, heap, good, BURST);
}

static void grow(struct bench_state *state) {
    const struct bench_heap *kind = state->context;
    size_t most = (size_t)state->argument[0];
    void *heap = open_heap(state);
    bool good = true;
    double steps = 0;
    for (size_t size = 16; size <= most; size += size / 2) steps++;
    BENCH_LOOP(state) {
        char *block = NULL;
        for (size_t size = 16; size <= most && good; size += size / 2) {
            char *grown = kind->resize(heap, block, size);
            good = grown != NULL;
            if (!good) break;
            block = grown;
            ((volatile char *)block)[size - 1] = 1;
        }
        if (block != NULL) kind->free(heap, block);
    }
    close_heap(state, heap, good, steps);
}

static void aligned(struct bench_state *state) {
    const struct bench_heap *kind = state->context;
    size_t alignment = (size_t)state->argument[0];
    void *heap = open_heap(state);
    size_t size = alignment > ALIGNED_SIZE ? alignment : ALIGNED_SIZE; /* aligned_alloc wants a multiple */
    bool good = true;
    BENCH_LOOP(state) {
        char *block = kind->aligned(heap, size, alignment);
        good &= block != NULL && (uintptr_t)block % alignment == 0;
        if (block != NULL) *(volatile char *)block = 1;
        kind->free_aligned(heap, block);
    }
    close_heap(state, heap, good, 1);
}

static void add(const char *work, bench_function *run, const struct bench_heap *kind, int64_t size) {
    char name[64];
    snprintf(name, sizeof name, "object/%s/%s", work, kind->name);
    bench_register(&(struct bench){.name = name, .run = run, .context = kind, .argument = {size}, .count_arguments = 1});
}

/* Heap by heap inside each row, so that they meet the same weather. */
void bench_register_objects(void) {
    static const int64_t sizes[] = {16, 64, 256, 1024, 4096, 16384, 65536};
    static const int64_t grown[] = {4096, 65536, 1 << 20, 16 << 20};
    static const int64_t alignments[] = {64, 4096, 65536};
    const struct bench_heap *kind;
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        for (size_t k = 0; (kind = bench_heaps[k]) != NULL; k++) add("pair", pair, kind, sizes[s]);
    }
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        for (size_t k = 0; (kind = bench_heaps[k]) != NULL; k++) add("burst", burst, kind, sizes[s]);
    }
    for (size_t s = 0; s < sizeof grown / sizeof *grown; s++) {
        for (size_t k = 0; (kind = bench_heaps[k]) != NULL; k++)
            if (kind->resize != NULL) add("grow", grow, kind, grown[s]);
    }
    for (size_t s = 0; s < sizeof alignments / sizeof *alignments; s++) {
        for (size_t k = 0; (kind = bench_heaps[k]) != NULL; k++)
            if (kind->aligned != NULL) add("aligned", aligned, kind, alignments[s]);
    }
}
