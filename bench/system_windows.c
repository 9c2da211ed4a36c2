/*
 * system_windows.c - Windows as the benchmarks see it: VirtualAlloc and its kin as a peer, and the process heap.
 */
#ifdef _WIN32
#include "bench/bench.h"
#include "bench/system.h"
#include "tools/common/tool.h"

#include <malloc.h>
#include <mimalloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <windows.h>

static void *raw_take(size_t size) { return VirtualAlloc(NULL, size, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE); }

static void *raw_reserve(size_t size) { return VirtualAlloc(NULL, size, MEM_RESERVE, PAGE_READWRITE); }

static bool raw_give(void *start, size_t size) {
    (void)size;
    return VirtualFree(start, 0, MEM_RELEASE);
}

static bool raw_commit(void *start, size_t size) { return VirtualAlloc(start, size, MEM_COMMIT, PAGE_READWRITE) != NULL; }

static bool raw_decommit(void *start, size_t size) { return VirtualFree(start, size, MEM_DECOMMIT); }

static size_t raw_query(void *address) {
    MEMORY_BASIC_INFORMATION found;
    return VirtualQuery(address, &found, sizeof found) != 0 ? found.RegionSize : 0;
}

static bool raw_protect(void *start, size_t size, bool writable) {
    DWORD old;
    return VirtualProtect(start, size, writable ? PAGE_READWRITE : PAGE_READONLY, &old);
}

const struct bench_vm bench_vm_raw = {
    .name = "raw",
    .take = raw_take,
    .reserve = raw_reserve,
    .give = raw_give,
    .commit = raw_commit,
    .decommit = raw_decommit,
    .protect = raw_protect,
    .query = raw_query,
};

/* ---- Heaps ------------------------------------------------------------------------------------------------------ */

static void *process_open(void) { return GetProcessHeap(); }

static void *private_open(void) { return HeapCreate(0, 0, 0); }

static void nothing_close(void *heap) { (void)heap; }

static void private_close(void *heap) { HeapDestroy(heap); }

static void *heap_alloc(void *heap, size_t size) { return HeapAlloc(heap, 0, size); }

static void heap_free(void *heap, void *block) { HeapFree(heap, 0, block); }

static void *heap_resize(void *heap, void *block, size_t size) {
    return block == NULL ? HeapAlloc(heap, 0, size) : HeapReAlloc(heap, 0, block, size);
}

static bool heap_owns(void *heap, void *block) { return HeapValidate(heap, 0, block); }

BENCH_HEAP_PAIRS(heap_pairs, heap_alloc, heap_free)

static const struct bench_heap process_heap = {
    .name = "process-heap",
    .open = process_open,
    .close = nothing_close,
    .alloc = heap_alloc,
    .free = heap_free,
    .resize = heap_resize,
    .owns = heap_owns,
    .pairs = heap_pairs,
};

static const struct bench_heap private_heap = {
    .name = "private-heap",
    .open = private_open,
    .close = private_close,
    .alloc = heap_alloc,
    .free = heap_free,
    .resize = heap_resize,
    .owns = heap_owns,
    .pairs = heap_pairs,
};

const char system_libc_name[] = "msvcrt";

void *system_libc_aligned(size_t size, size_t alignment) { return _aligned_malloc(size, alignment); }

void system_libc_free_aligned(void *block) { _aligned_free(block); }

bool system_libc_owns(void *block) { return _msize(block) != 0; }

static void *mimalloc_open(void) {
    return (void *)&bench_heap_libc; /* any pointer: it has one heap, of the process */
}

static void *mimalloc_alloc(void *heap, size_t size) {
    (void)heap;
    return mi_malloc(size);
}

static void mimalloc_free(void *heap, void *block) {
    (void)heap;
    mi_free(block);
}

static void *mimalloc_resize(void *heap, void *block, size_t size) {
    (void)heap;
    return mi_realloc(block, size);
}

static void *mimalloc_aligned(void *heap, size_t size, size_t alignment) {
    (void)heap;
    return mi_malloc_aligned(size, alignment);
}

static bool mimalloc_owns(void *heap, void *block) {
    (void)heap;
    return mi_is_in_heap_region(block);
}

BENCH_HEAP_PAIRS(mimalloc_pairs, mimalloc_alloc, mimalloc_free)

static const struct bench_heap mimalloc_heap = {
    .name = "mimalloc",
    .open = mimalloc_open,
    .close = nothing_close,
    .alloc = mimalloc_alloc,
    .free = mimalloc_free,
    .resize = mimalloc_resize,
    .aligned = mimalloc_aligned,
    .free_aligned = mimalloc_free,
    .owns = mimalloc_owns,
    .pairs = mimalloc_pairs,
};

const struct bench_heap *const bench_heaps[] = {&bench_heap_engine, &bench_heap_flat, &process_heap, &private_heap,
                                                &bench_heap_libc,   &mimalloc_heap,   NULL};

/* ---- The process ------------------------------------------------------------------------------------------------ */

const char *system_name(void) {
    /* Wine says that it is there by one export that Windows does not have. */
    HMODULE ntdll = GetModuleHandleA("ntdll.dll");
    return ntdll != NULL && GetProcAddress(ntdll, "wine_get_version") != NULL ? "wine" : "windows";
}

const char *system_library_of_malloc(void) { return "msvcrt"; }

bool system_peak_reset(void) {
    return false; /* Windows keeps one peak for the process's life */
}

uint64_t system_peak_bytes(void) {
    struct tool_usage usage;
    tool_usage_read(&usage);
    return usage.peak_rss_bytes;
}

uint64_t system_mappings(void) {
    MEMORY_BASIC_INFORMATION found;
    uint64_t count = 0;
    char *at = NULL;
    for (; VirtualQuery(at, &found, sizeof found) != 0; at = (char *)found.BaseAddress + found.RegionSize)
        count += found.State != MEM_FREE;
    return count;
}

void system_sleep_ms(unsigned ms) { Sleep(ms); }

void system_yield(void) { SwitchToThread(); }

void system_pin(int which) {
    DWORD_PTR all, machine, one = 1;
    if (!GetProcessAffinityMask(GetCurrentProcess(), &all, &machine) || all == 0) return;
    if (which != SYSTEM_ANY) {
        int skip = which % __builtin_popcountll(all);
        while (!(all & one) || skip-- > 0) one <<= 1;
    }
    SetThreadAffinityMask(GetCurrentThread(), which == SYSTEM_ANY ? all : one);
}

bool system_step(const char *name, uint64_t turns) {
    (void)name, (void)turns;
    fprintf(stderr, "hostmem-bench: --step is for Linux\n");
    return false;
}
#endif
