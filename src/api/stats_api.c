/*
 * stats_api.c - the exported functions for seeing and trimming, and the start of a view that the environment asks for.
 */
#include <string.h>

#include "heap/heap.h"
#include "hostmem.h"
#include "policy/calls.h"
#include "policy/stats.h"
#include "policy/trim.h"
#include "policy/view.h"
#include "vm/error.h"

#define STATS_FIRST_VERSION offsetof(HM_STATS, cHeaps)

__attribute__((constructor(101))) static void count_if_asked(void) { calls_flat_start_if_asked(); } /* before any call */
__attribute__((constructor)) static void publish_if_asked(void) { view_start_if_asked(); }

BOOL WINAPI HmGetStats(HM_STATS *stats) {
    if (!stats) return error_report(ST_NOT_WRITABLE);
    size_t size = stats->cbSize;
    if (size < STATS_FIRST_VERSION) return error_report(ST_BAD_LENGTH);
    HM_STATS all = {.cbSize = size};
    stats_collect(&all);
    memcpy(stats, &all, size < sizeof all ? size : sizeof all);
    return TRUE;
}

BOOL WINAPI HmGetHeapStats(HANDLE hHeap, HM_HEAP_STATS *stats) {
    if (!stats) return error_report(ST_NOT_WRITABLE);
    if (stats->cbSize < sizeof *stats) return error_report(ST_BAD_LENGTH);
    struct heap *heap = hHeap == NULL ? heap_default() : heap_of_handle(hHeap);
    if (!heap) return error_report(hHeap == NULL ? ST_NO_MEMORY : ST_BAD_HANDLE);
    stats_collect_heap(heap, stats);
    return TRUE;
}

BOOL WINAPI HmWriteStats(HM_WRITE write, LPVOID context) {
    if (!write) return error_report(ST_NOT_WRITABLE);
    stats_write(write, context);
    return TRUE;
}

SIZE_T WINAPI HmTrim(void) { return (SIZE_T)trim_all(); }
