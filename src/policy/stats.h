/*
 * stats.h - what the engine holds, counted from its own tables when somebody asks. Layer: policy.
 */
#ifndef HM_STATS_H
#define HM_STATS_H

#include "hostmem.h"

/* Fills everything but cbSize. Other threads may go on; the figures are then of no single moment. */
void stats_collect(HM_STATS *stats);

#endif
