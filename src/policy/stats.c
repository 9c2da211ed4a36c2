/*
 * stats.c - counting, at the asker's expense.
 *
 * No request keeps a counter: what is reserved and committed is written in the span words and page bytes anyway, so the one
 * who wants to know adds it up. A walk reads each live span and the bytes of its pages.
 */
#include "policy/stats.h"

#include "core/pages.h"
#include "core/region.h"
#include "policy/notify.h"

static bool count_span(const struct found *found, void *context) {
    HM_STATS *stats = context;
    size_t bytes = (size_t)found->span.count_pages << PAGE_SHIFT;
    if (found->span.kind != SPAN_VM) {
        stats->cbHeapReserved += bytes;
        stats->cHeapSpans++;
        return true;
    }
    stats->cAllocations++;
    stats->cbReserved += bytes;
    stats->cbCommitted += (size_t)pages_count_committed(granule_page(found->head), found->span.count_pages) << PAGE_SHIFT;
    if (found->span.flags & SPAN_SYSTEM) stats->cSystemAllocations++;
    return true;
}

void stats_collect(HM_STATS *stats) {
    struct region_totals regions;
    struct notify_totals notify;
    region_totals(&regions);
    notify_totals(&notify);
    *stats = (HM_STATS){
        .cbSize = stats->cbSize,
        .cRegions = regions.count_regions,
        .cbRegions = regions.count_regions * SLOT_BYTES,
        .cGranulesTaken = regions.granules_taken,
        .cViews = notify.count_views,
        .cbViews = notify.view_bytes,
        .cCallbacks = notify.count_callbacks,
        .cAddressSpacePleas = notify.count_pleas,
    };
    space_each(count_span, stats);
}
