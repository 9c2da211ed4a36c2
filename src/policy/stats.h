/*
 * stats.h - what the engine holds, for the functions that programs call. Layer: policy.
 */
#ifndef HM_STATS_COLLECT_H
#define HM_STATS_COLLECT_H

#include "heap/heap.h"
#include "hostmem.h"

/* Fills everything but cbSize. Other threads may go on; the figures are then of no single moment. */
void stats_collect(HM_STATS *stats);
void stats_collect_heap(struct heap *heap, HM_HEAP_STATS *stats);

/* All of it as JSON; hostmem.h has the form. */
void stats_write(HM_WRITE write, void *context);

#endif
