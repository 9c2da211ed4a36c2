/*
 * published_json.c - the figures of a view as JSON, the same in HmWriteStats and in hostmem-top.
 */
#include "base/json.h"
#include "base/published.h"

void published_write_totals(struct json *json, const struct published_totals *totals) {
    json_object(json, "totals");
#define WRITE(name) json_count(json, #name, totals->name);
    PUBLISHED_TOTALS(WRITE)
#undef WRITE
    json_close(json);
}

void published_write_budget(struct json *json, const struct published_budget *budget) {
    json_object(json, "budget");
#define WRITE(name) json_count(json, #name, budget->name);
    PUBLISHED_BUDGET(WRITE)
#undef WRITE
    json_close(json);
}

void published_write_manager(struct json *json, const struct published_manager *manager) {
    json_object(json, NULL);
    json_count(json, "manager", manager->number);
    json_text(json, "name", manager->name);
    published_write_budget(json, &manager->budget);
    json_close(json);
}

void published_write_heap(struct json *json, const struct published_heap *heap) {
    json_object(json, NULL);
    json_count(json, "heap", heap->number);
    json_bool(json, "of_process", heap->flags & PUBLISHED_HEAP_OF_PROCESS);
    json_bool(json, "executable", heap->flags & PUBLISHED_HEAP_EXECUTABLE);
    json_count(json, "manager", heap->manager);
    published_write_budget(json, &heap->budget);
    json_count(json, "slabs", heap->slabs);
    json_count(json, "live_blocks", heap->live_blocks);
    json_count(json, "live_bytes", heap->live_bytes);
    json_count(json, "cached_blocks", heap->cached_blocks);
}

void published_write_class(struct json *json, const struct published_class *row) {
    if (row->slabs == 0) return;
    json_object(json, NULL);
    json_count(json, "size_bytes", row->size_bytes);
    json_count(json, "slabs", row->slabs);
    json_count(json, "slab_bytes", row->slab_bytes);
    json_count(json, "room", row->room);
    json_count(json, "live", row->live);
    json_count(json, "live_bytes", row->live_bytes);
    json_count(json, "cached", row->cached);
    json_close(json);
}

void published_write_thread(struct json *json, const struct published_thread *thread, const char *name) {
    json_object(json, NULL);
    json_count(json, "thread", thread->number);
    if (name != NULL) json_text(json, "name", name);
    json_count(json, "blocks", thread->blocks);
    json_count(json, "block_bytes", thread->block_bytes);
    json_count(json, "spans", thread->spans);
    json_count(json, "span_bytes", thread->span_bytes);
    json_close(json);
}
