/*
 * heaps.c - the heaps that every system has, as benchmarks see them: the engine's two, IHostMalloc and the flat calls, and the C
 * library's; and the way to any heap: it is asked to say itself that it served a block before its figures count.
 */
#include "bench/system.h"
#include "hostmem.h"

#include <stdlib.h>

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

/* By the engine's own statistics. */
static bool engine_owns(void *heap, void *block) {
    HM_STATS stats = {.cbSize = sizeof stats};
    (void)heap, (void)block;
    return HmGetStats(&stats) && stats.cHeapSpans != 0;
}

BENCH_HEAP_PAIRS(hostmalloc_pairs, hostmalloc_alloc, hostmalloc_free)

const struct bench_heap bench_heap_engine = {
    .name = "engine",
    .open = hostmalloc_open,
    .close = hostmalloc_close,
    .alloc = hostmalloc_alloc,
    .free = hostmalloc_free,
    .owns = engine_owns,
    .pairs = hostmalloc_pairs,
};

static void *flat_open(void) { return HmHeapCreate(0, 0, 0); }

static void flat_close(void *heap) { HmHeapDestroy(heap); }

static void *flat_alloc(void *heap, size_t size) { return HmHeapAlloc(heap, 0, size); }

static void flat_free(void *heap, void *block) { HmHeapFree(heap, 0, block); }

static bool flat_owns(void *heap, void *block) { return HmHeapSize(heap, 0, block) != (SIZE_T)-1; }

BENCH_HEAP_PAIRS(flat_pairs, flat_alloc, flat_free)

const struct bench_heap bench_heap_flat = {
    .name = "engine-flat",
    .open = flat_open,
    .close = flat_close,
    .alloc = flat_alloc,
    .free = flat_free,
    .owns = flat_owns,
    .pairs = flat_pairs,
};

static void *libc_open(void) {
    return (void *)&bench_heap_libc; /* any pointer: it has one heap, of the process */
}

static void libc_close(void *heap) { (void)heap; }

static void *libc_alloc(void *heap, size_t size) {
    (void)heap;
    return malloc(size);
}

static void libc_free(void *heap, void *block) {
    (void)heap;
    free(block);
}

static void *libc_resize(void *heap, void *block, size_t size) {
    (void)heap;
    return realloc(block, size);
}

static void *libc_aligned(void *heap, size_t size, size_t alignment) {
    (void)heap;
    return system_libc_aligned(size, alignment);
}

static void libc_free_aligned(void *heap, void *block) {
    (void)heap;
    system_libc_free_aligned(block);
}

static bool libc_owns(void *heap, void *block) {
    (void)heap;
    return system_libc_owns(block);
}

BENCH_HEAP_PAIRS(libc_pairs, libc_alloc, libc_free)

const struct bench_heap bench_heap_libc = {
    .name = system_libc_name,
    .open = libc_open,
    .close = libc_close,
    .alloc = libc_alloc,
    .free = libc_free,
    .resize = libc_resize,
    .aligned = libc_aligned,
    .free_aligned = libc_free_aligned,
    .owns = libc_owns,
    .pairs = libc_pairs,
};

void *bench_heap_open(const struct bench_heap *kind, const char **why) {
    void *heap = kind->open();
    *why = "no heap can be made";
    if (heap == NULL) return NULL;
    void *block = kind->alloc(heap, 100);
    bool owns = block != NULL && kind->owns(heap, block);
    if (block != NULL) kind->free(heap, block);
    if (owns) return heap;
    *why = "the heap did not serve its own block";
    kind->close(heap);
    return NULL;
}
