/*
 * footprint.c - what an allocator needs for itself.
 *
 * vm     1 GiB reserved and committed in pieces of 64 KiB that nobody touches: whatever becomes resident is bookkeeping. Also
 *        the pieces in which the system then keeps the address space (Linux refuses a program more than 65,530).
 * blocks 128 MiB in blocks of the row's size, all written: what is resident beyond them is bookkeeping, rounding and waste.
 */
#include "bench/bench.h"
#include "bench/suite.h"
#include "bench/system.h"
#include "tools/common/tool.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PIECE = 64 << 10, PIECES = 16384, BLOCKS_BYTES = 128 << 20, BLOCK_LEAST = 64 };

static void *held[BLOCKS_BYTES / BLOCK_LEAST];

static double resident(void) {
    struct tool_usage usage;
    tool_usage_read(&usage);
    return (double)usage.rss_bytes;
}

static void footprint_vm(struct bench_state *state) {
    const struct bench_vm *vm = state->context;
    double before, after = 0;
    double mappings = (double)system_mappings();
    bool good = true;
    memset(held, 1, PIECES * sizeof *held);
    before = resident();
    BENCH_LOOP(state) {
        for (size_t i = 0; i < PIECES; i++) good &= (held[i] = vm->take(PIECE)) != NULL;
        after = resident();
    }
    mappings = (double)system_mappings() - mappings;
    for (size_t i = 0; i < PIECES; i++)
        if (held[i] != NULL) good &= vm->give(held[i], PIECE);
    if (!good) bench_fail(state, "memory was refused");
    bench_count(state, "metadata_bytes_per_gib", after - before, BENCH_VALUE);
    bench_count(state, "mappings", mappings, BENCH_VALUE);
}

static void footprint_blocks(struct bench_state *state) {
    const struct bench_heap *kind = state->context;
    const char *why;
    size_t size = (size_t)state->argument[0], count = BLOCKS_BYTES / size;
    void *heap = bench_heap_open(kind, &why);
    double before, after = 0;
    bool good = heap != NULL;
    if (!good) bench_fail(state, why);
    memset(held, 1, sizeof held);
    before = resident();
    BENCH_LOOP(state) {
        for (size_t i = 0; i < count && good; i++) {
            held[i] = kind->alloc(heap, size);
            good = held[i] != NULL;
            if (good) memset(held[i], 1, size);
        }
        after = resident();
    }
    if (heap != NULL && !good) bench_fail(state, "memory was refused");
    for (size_t i = 0; i < count && good; i++) kind->free(heap, held[i]);
    if (heap != NULL) kind->close(heap);
    bench_count(state, "waste_bytes_per_gib", (after - before - BLOCKS_BYTES) * ((1 << 30) / BLOCKS_BYTES), BENCH_VALUE);
}

void bench_register_footprint(void) {
    static const struct bench_vm *const both[] = {&bench_vm_engine, &bench_vm_raw};
    static const int64_t sizes[] = {BLOCK_LEAST, 1024};
    char name[64];
    for (size_t v = 0; v < 2; v++) {
        snprintf(name, sizeof name, "footprint/vm/%s", both[v]->name);
        bench_register(&(struct bench){.name = name, .run = footprint_vm, .context = both[v], .turns = 1});
    }
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        for (size_t k = 0; bench_heaps[k] != NULL; k++) {
            snprintf(name, sizeof name, "footprint/blocks/%s", bench_heaps[k]->name);
            bench_register(&(struct bench){.name = name,
                                           .run = footprint_blocks,
                                           .context = bench_heaps[k],
                                           .argument = {sizes[s]},
                                           .count_arguments = 1,
                                           .turns = 1});
        }
    }
}
