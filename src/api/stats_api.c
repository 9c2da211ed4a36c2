/*
 * stats_api.c - the exported HmGetStats and HmTrim.
 */
#include "core/cache.h"
#include "heap/heap.h"
#include "hostmem.h"
#include "policy/stats.h"
#include "vm/error.h"
#include "vm/held.h"

BOOL WINAPI HmGetStats(HM_STATS *stats) {
    if (!stats) return error_report(ST_NOT_WRITABLE);
    if (stats->cbSize < sizeof *stats) return error_report(ST_BAD_LENGTH);
    stats_collect(stats);
    return TRUE;
}

SIZE_T WINAPI HmTrim(void) {
    uint64_t spans = cache_flush_mine(CACHE_SPANS);
    cache_flush_all();
    return (SIZE_T)(spans + held_give_back(0)) + heap_trim();
}
