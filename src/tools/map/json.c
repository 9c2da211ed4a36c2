/*
 * json.c - the map as one JSON object: each region with its runs of granules of one kind, and its free runs by length.
 */
#include <inttypes.h>

#include "tools/map/map.h"

static void print_start(struct json *json, uint64_t address) {
    char text[24];
    snprintf(text, sizeof text, "0x%" PRIx64, address);
    json_text(json, "start", text);
}

static bool alike(const struct published_granule *a, const struct published_granule *b) {
    return a->use == b->use && a->fill == b->fill && a->committed == b->committed && !b->first;
}

static void print_runs(struct json *json, const struct published_region *region) {
    json_array(json, "runs");
    for (size_t i = 0, end; i < GRANULES_PER_SLOT; i = end) {
        const struct published_granule *granule = &region->granule[i];
        for (end = i + 1; end < GRANULES_PER_SLOT && alike(granule, &region->granule[end]);) end++;
        if (granule->use == USE_FREE || granule->use >= USE_COUNT) continue;
        json_object(json, NULL);
        json_count(json, "granule", i);
        json_count(json, "count", end - i);
        json_text(json, "use", use_name[granule->use]);
        json_count(json, "committed_pages", map_committed(granule) * (end - i));
        if (granule->use == USE_SLAB) tool_json_number(json, "full", granule->fill / 255.0);
        json_close(json);
    }
    json_close(json);
}

static void print_region(struct json *json, const struct published_region *region) {
    struct region_figures figures;
    figures_of_region(region, &figures);
    json_object(json, NULL);
    print_start(json, region->start);
    json_count(json, "size_bytes", SLOT_BYTES);
    json_count(json, "granules_taken", region->granules_taken);
    json_count(json, "committed_bytes", figures.committed_bytes);
    json_count(json, "free_runs", figures.free_runs);
    json_count(json, "longest_free_bytes", figures.longest_free * GRANULE_BYTES);
    json_object(json, "free_bytes_in_runs_of");
    for (unsigned kind = 0; kind < RUN_KINDS; kind++) {
        json_count(json, figures_run_name(kind), figures.in_runs[kind] * GRANULE_BYTES);
    }
    json_close(json);
    print_runs(json, region);
    json_close(json);
}

void json_draw(const struct look *look, const struct published_half *half) {
    struct json json;
    tool_json_begin(&json, stdout);
    json_count(&json, "process", look->process);
    json_text(&json, "program", look->program);
    json_count(&json, "age_ms", look_age_ms(half));
    json_array(&json, "regions");
    for (uint64_t i = 0; i < half->count_regions && i < PUBLISHED_REGIONS; i++) print_region(&json, &half->region[i]);
    json_close(&json);
    json_array(&json, "system_allocations");
    for (uint64_t i = 0; i < half->count_spans && i < PUBLISHED_SPANS; i++) {
        json_object(&json, NULL);
        print_start(&json, half->span[i].start);
        json_count(&json, "size_bytes", half->span[i].size_bytes);
        json_count(&json, "committed_bytes", half->span[i].committed_bytes);
        json_close(&json);
    }
    json_end(&json);
}
