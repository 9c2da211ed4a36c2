/*
 * system_windows.c - Windows as the benchmarks see it: VirtualAlloc and its kin as a peer, and the process heap.
 */
#ifdef _WIN32
#include "bench/bench.h"
#include "bench/system.h"
#include "tools/common/tool.h"

#include <stdio.h>
#include <windows.h>

static void *raw_take(size_t size) {
    return VirtualAlloc(NULL, size, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
}

static void *raw_reserve(size_t size) {
    return VirtualAlloc(NULL, size, MEM_RESERVE, PAGE_READWRITE);
}

static bool raw_give(void *start, size_t size) {
    (void)size;
    return VirtualFree(start, 0, MEM_RELEASE);
}

static bool raw_commit(void *start, size_t size) {
    return VirtualAlloc(start, size, MEM_COMMIT, PAGE_READWRITE) != NULL;
}

static bool raw_decommit(void *start, size_t size) {
    return VirtualFree(start, size, MEM_DECOMMIT);
}

static size_t raw_query(void *address) {
    MEMORY_BASIC_INFORMATION found;
    return VirtualQuery(address, &found, sizeof found) != 0 ? found.RegionSize : 0;
}

const struct bench_vm bench_vm_raw = {
    .name = "raw",
    .take = raw_take,
    .reserve = raw_reserve,
    .give = raw_give,
    .commit = raw_commit,
    .decommit = raw_decommit,
    .query = raw_query,
};

static void *raw_open(void) {
    return GetProcessHeap();
}

static void raw_close(void *heap) {
    (void)heap;
}

static void *raw_alloc(void *heap, size_t size) {
    return HeapAlloc(heap, 0, size);
}

static void raw_free(void *heap, void *block) {
    HeapFree(heap, 0, block);
}

const struct bench_heap bench_heap_raw = {
    .name = "raw",
    .open = raw_open,
    .close = raw_close,
    .alloc = raw_alloc,
    .free = raw_free,
};

const char *system_name(void) {
    /* Wine says that it is there by one export that Windows does not have. */
    HMODULE ntdll = GetModuleHandleA("ntdll.dll");
    return ntdll != NULL && GetProcAddress(ntdll, "wine_get_version") != NULL ? "wine" : "windows";
}

const char *system_library_of_malloc(void) {
    return "msvcrt";
}

bool system_peak_reset(void) {
    return false; /* Windows keeps one peak for the process's life */
}

uint64_t system_peak_bytes(void) {
    struct tool_usage usage;
    tool_usage_read(&usage);
    return usage.peak_rss_bytes;
}

void system_sleep_ms(unsigned ms) {
    Sleep(ms);
}

void system_yield(void) {
    SwitchToThread();
}

bool system_step(const char *name, uint64_t turns) {
    (void)name, (void)turns;
    fprintf(stderr, "hostmem-bench: --step is for Linux\n");
    return false;
}
#endif
