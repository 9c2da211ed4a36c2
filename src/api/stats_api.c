/*
 * stats_api.c - the exported HmGetStats and HmTrim.
 */
#include "heap/heap.h"
#include "hostmem.h"
#include "policy/stats.h"
#include "vm/error.h"

BOOL WINAPI HmGetStats(HM_STATS *stats) {
    if (!stats) return error_report(ST_NOT_WRITABLE);
    if (stats->cbSize < sizeof *stats) return error_report(ST_BAD_LENGTH);
    stats_collect(stats);
    return TRUE;
}

SIZE_T WINAPI HmTrim(void) { return heap_trim(); }
