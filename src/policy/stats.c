/*
 * stats.c - the figures of clerks.h in the forms that programs ask for: a struct, and JSON.
 */
#include "policy/stats.h"

#include "base/json.h"
#include "core/census.h"
#include "os/os_look.h"
#include "policy/calls.h"
#include "policy/clerks.h"
#include "vm/error.h"

/* ---- The structs -------------------------------------------------------------------------------------------------- */

void stats_collect(HM_STATS *stats) {
    struct published_totals t;
    clerks_totals(&t);
    *stats = (HM_STATS){
        .cbSize = stats->cbSize,
        .cRegions = t.regions,
        .cbRegions = t.region_bytes,
        .cbReserved = t.reserved_bytes,
        .cbCommitted = t.committed_bytes,
        .cAllocations = t.allocations,
        .cSystemAllocations = t.system_allocations,
        .cbHeapReserved = t.heap_bytes,
        .cHeapSpans = t.heap_spans,
        .cGranulesTaken = t.granules_taken,
        .cViews = t.views,
        .cbViews = t.view_bytes,
        .cCallbacks = t.callbacks,
        .cAddressSpacePleas = t.address_space_pleas,
        .cHeaps = t.heaps,
        .cbHeapPeak = t.heap_peak_bytes,
        .cBlocks = t.live_blocks,
        .cbBlocks = t.live_bytes,
        .cBlocksCached = t.cached_blocks,
        .cbBlocksCached = t.cached_block_bytes,
        .cSpansCached = t.cached_spans,
        .cbSpansCached = t.cached_span_bytes,
        .cbHeld = t.held_bytes,
        .cThreadCaches = t.thread_caches,
        .cRefills = t.refills,
        .cBlocksRefilled = t.refilled_blocks,
        .cFlushes = t.flushes,
        .cBlocksFlushed = t.flushed_blocks,
        .cSystemCalls = {t.system_reserves, t.system_releases, t.system_commits, t.system_decommits, t.system_protects},
        .cFailures = t.failures,
        .cbCharged = {budget_held(&budget_process, BUDGET_RESERVE), budget_held(&budget_process, BUDGET_COMMIT)},
        .cbChargedPeak = {budget_peak(&budget_process, BUDGET_RESERVE), budget_peak(&budget_process, BUDGET_COMMIT)},
        .cbEmergencyHeld = t.emergency_held_bytes,
        .cManagers = t.managers,
        .cDoubleFrees = t.double_frees,
    };
}

void stats_collect_heap(struct heap *heap, HM_HEAP_STATS *stats) {
    struct heap_figures figures;
    heap_figures(heap, &figures);
    struct class_figures sum = heap_figures_sum(&figures);
    *stats = (HM_HEAP_STATS){
        .cbSize = stats->cbSize,
        .cbReserved = figures.taken_bytes,
        .cbCommitted = figures.taken_bytes,
        .cbPeak = figures.peak_bytes,
        .cbLimit = figures.limit_bytes,
        .cSlabs = sum.slabs,
        .cBlocks = sum.live,
        .cbBlocks = sum.live_bytes,
        .cBlocksCached = sum.cached,
    };
}

/* ---- JSON --------------------------------------------------------------------------------------------------------- */

static void write_manager(const struct published_manager *manager, void *json) { published_write_manager(json, manager); }

static void write_heap(struct heap *heap, void *context) {
    struct json *json = context;
    struct heap_figures figures;
    struct published_heap shown;
    heap_figures(heap, &figures);
    clerks_heap(heap, &figures, &shown);
    published_write_heap(json, &shown);
    json_array(json, "classes");
    for (unsigned n = 0; n < FIGURES_ROWS; n++) {
        const struct class_figures *of = &figures.row[n];
        uint64_t size_bytes = n == FIGURES_LARGE ? 0 : class_size(n);
        struct published_class row = {size_bytes, of->slabs, of->slab_bytes, of->room, of->live, of->live_bytes, of->cached};
        published_write_class(json, &row);
    }
    json_close(json);
    json_close(json);
}

static void write_thread(const struct census *held, void *json) {
    struct published_thread thread = {held->thread, held->blocks, held->block_bytes, held->spans, held->span_bytes};
    published_write_thread(json, &thread, NULL);
}

static void write_calls(const struct call_record *record, void *context) {
    struct json *json = context;
    json_object(json, NULL);
    json_text(json, "name", record->name);
    json_count(json, "manager", record->manager);
    json_count(json, "heap", record->heap);
    for (enum call call = 0; call < CALL_COUNT; call++) {
        if (!calls_has(record, call)) continue;
        json_object(json, calls_name(call));
        for (enum call_level level = 0; level < LEVEL_COUNT; level++) {
            json_count(json, calls_level_name(level), calls_sum(record, call, level));
        }
        json_count(json, "failed", calls_failed(record, call));
        json_close(json);
    }
    json_object(json, "failed");
    for (unsigned n = ST_OK + 1; n < ST_COUNT; n++) {
        uint64_t count = atom_load_rlx_u64(&record->reason[n]); /* rlx: a figure */
        if (count != 0) json_count(json, error_name((enum status)n), count);
    }
    json_close(json);
    json_close(json);
}

void stats_write(HM_WRITE write, void *context) {
    struct published_totals totals;
    struct published_budget process;
    struct json json;
    char program[128];
    clerks_totals(&totals);
    clerks_budget(&budget_process, &process);
    os_process_name(program, sizeof program);
    json_begin(&json, write, context);
    json_count(&json, "version", 2);
    json_text(&json, "program", program);
    json_count(&json, "process", os_process_number());
    published_write_totals(&json, &totals);
    json_object(&json, "failed");
    for (unsigned n = ST_OK + 1; n < ST_COUNT; n++) json_count(&json, error_name((enum status)n), error_count((enum status)n));
    json_close(&json);
    published_write_budget(&json, &process);
    json_array(&json, "managers");
    clerks_each_manager(write_manager, &json);
    json_close(&json);
    json_array(&json, "heaps");
    heap_each(write_heap, &json);
    json_close(&json);
    json_array(&json, "threads");
    census_each(write_thread, &json);
    json_close(&json);
    json_array(&json, "calls");
    calls_each(write_calls, &json);
    json_close(&json);
    json_end(&json);
}
