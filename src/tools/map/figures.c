/*
 * figures.c - what a region is used for, and how what is free is scattered.
 */
#include "tools/map/map.h"

/* Free runs by length: the first length of each kind. */
static const uint64_t run_from[RUN_KINDS] = {1, 2, 4, 16, 64, 256};

const char *figures_run_name(unsigned kind) {
    static const char *const names[RUN_KINDS] = {"64 KiB",     "128 KiB",     "256 KiB to 1 MiB",
                                                 "1 to 4 MiB", "4 to 16 MiB", "16 MiB and more"};
    return names[kind];
}

static void add_run(struct region_figures *figures, uint64_t granules) {
    unsigned kind = RUN_KINDS - 1;
    if (granules == 0) return;
    while (granules < run_from[kind]) kind--;
    figures->free_runs++;
    figures->in_runs[kind] += granules;
    if (granules > figures->longest_free) figures->longest_free = granules;
}

void figures_of_region(const struct published_region *region, struct region_figures *figures) {
    uint64_t run = 0;
    *figures = (struct region_figures){.free_runs = 0};
    for (size_t i = 0; i < GRANULES_PER_SLOT; i++) {
        const struct published_granule *granule = &region->granule[i];
        figures->used[granule->use < USE_COUNT ? granule->use : (uint8_t)USE_FREE]++;
        figures->committed_bytes += map_committed(granule) * PAGE_BYTES;
        if (granule->use == USE_FREE) {
            run++;
        } else {
            add_run(figures, run);
            run = 0;
        }
    }
    add_run(figures, run);
}
