/*
 * objects.c - small blocks through an interface: IHostMalloc by its vtable, the flat heap calls, and the system's own heap
 * (HeapAlloc on Windows, malloc on Linux), all behind the same indirect call.
 */
#include "bench/bench.h"
#include "bench/random.h"
#include "bench/suite.h"
#include "bench/system.h"
#include "hostmem.h"

#include <stdio.h>

enum { BURST = 1000 };

/* The manager is made once and kept: what is timed is a host that runs. */
static void *hostmalloc_open(void) {
    static IHostMemoryManager *manager;
    IHostMalloc *heap = NULL;
    if (manager == NULL && HmCreateMemoryManager(NULL, &manager) != S_OK) return NULL;
    return manager->lpVtbl->CreateMalloc(manager, MALLOC_THREADSAFE, &heap) == S_OK ? heap : NULL;
}

static void hostmalloc_close(void *heap) {
    IHostMalloc *host_malloc = heap;
    host_malloc->lpVtbl->Release(host_malloc);
}

static void *hostmalloc_alloc(void *heap, size_t size) {
    IHostMalloc *host_malloc = heap;
    void *block;
    host_malloc->lpVtbl->Alloc(host_malloc, size, eTaskCritical, &block);
    return block;
}

static void hostmalloc_free(void *heap, void *block) {
    IHostMalloc *host_malloc = heap;
    host_malloc->lpVtbl->Free(host_malloc, block);
}

static const struct bench_heap heap_hostmalloc = {
    .name = "engine",
    .open = hostmalloc_open,
    .close = hostmalloc_close,
    .alloc = hostmalloc_alloc,
    .free = hostmalloc_free,
};

static void *flat_open(void) {
    return HmHeapCreate(0, 0, 0);
}

static void flat_close(void *heap) {
    HmHeapDestroy(heap);
}

static void *flat_alloc(void *heap, size_t size) {
    return HmHeapAlloc(heap, 0, size);
}

static void flat_free(void *heap, void *block) {
    HmHeapFree(heap, 0, block);
}

static const struct bench_heap heap_flat = {
    .name = "engine-flat",
    .open = flat_open,
    .close = flat_close,
    .alloc = flat_alloc,
    .free = flat_free,
};

static void pair(struct bench_state *state) {
    const struct bench_heap *kind = state->context;
    size_t size = (size_t)state->argument[0];
    void *heap = kind->open();
    bool good = heap != NULL;
    if (!good) bench_fail(state, "no heap can be made");
    BENCH_LOOP(state) {
        char *block = kind->alloc(heap, size);
        if (block == NULL) {
            good = false;
            continue;
        }
        *(volatile char *)block = 1;
        kind->free(heap, block);
    }
    if (!good) bench_fail(state, "memory was refused");
    if (heap != NULL) kind->close(heap);
    bench_items(state, 1);
}

/* A thousand blocks, then a thousand frees in an order that was drawn before. */
static void burst(struct bench_state *state) {
    static char *blocks[BURST];
    static uint16_t order[BURST];
    const struct bench_heap *kind = state->context;
    size_t size = (size_t)state->argument[0];
    uint64_t seed = random_seed(0);
    void *heap = kind->open();
    bool good = heap != NULL;
    for (uint16_t i = 0; i < BURST; i++) {
        uint32_t other = random_below(&seed, i + 1u);
        order[i] = order[other];
        order[other] = i;
    }
    if (!good) bench_fail(state, "no heap can be made");
    BENCH_LOOP(state) {
        for (size_t i = 0; i < BURST; i++) {
            blocks[i] = kind->alloc(heap, size);
            if (blocks[i] != NULL) *(volatile char *)blocks[i] = 1;
            good &= blocks[i] != NULL;
        }
        for (size_t i = 0; i < BURST; i++) kind->free(heap, blocks[order[i]]);
    }
    if (!good) bench_fail(state, "memory was refused");
    if (heap != NULL) kind->close(heap);
    bench_items(state, BURST);
}

static void add(const char *work, bench_function *run, const struct bench_heap *kind, int64_t size) {
    char name[64];
    snprintf(name, sizeof name, "object/%s/%s", work, kind->name);
    bench_register(&(struct bench){.name = name, .run = run, .context = kind, .argument = {size}, .count_arguments = 1});
}

void bench_register_objects(void) {
    static const int64_t sizes[] = {16, 64, 256, 1024, 4096, 16384, 65536};
    static const struct bench_heap *const kinds[] = {&heap_hostmalloc, &bench_heap_raw, &heap_flat};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) add("pair", pair, kinds[k], sizes[s]);
    }
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) add("burst", burst, kinds[k], sizes[s]);
    }
}
