/*
 * json.c - a look as one JSON object on one line. The keys of totals and rates are those of base/published.h.
 */
#include <inttypes.h>

#include "tools/top/top.h"

static void print_totals(struct json *json, const struct published_totals *totals) {
    json_object(json, "totals");
#define TOTAL(name) json_count(json, #name, totals->name);
    PUBLISHED_TOTALS(TOTAL)
#undef TOTAL
    json_close(json);
}

static void print_budget(struct json *json, const struct published_budget *budget) {
    json_object(json, "budget");
#define FIGURE(name) json_count(json, #name, budget->name);
    PUBLISHED_BUDGET(FIGURE)
#undef FIGURE
    json_close(json);
}

static void print_managers(struct json *json, const struct published_half *now) {
    json_array(json, "managers");
    for (uint64_t i = 0; i < now->count_managers && i < PUBLISHED_MANAGERS; i++) {
        json_object(json, NULL);
        json_count(json, "manager", now->manager[i].number);
        json_text(json, "name", now->manager[i].name);
        print_budget(json, &now->manager[i].budget);
        json_close(json);
    }
    json_close(json);
}

/* Changes per second since the look before, of everything: of what is held now it says how fast that grows or shrinks. */
static void print_rates(struct json *json, const struct top *top) {
    if (!top->has_before) return;
    double seconds = (double)(top->now.written_ms - top->before.written_ms) / 1000;
    json_object(json, "rates");
#define RATE(name) tool_json_number(json, #name, (double)(int64_t)(top->now.totals.name - top->before.totals.name) / seconds);
    PUBLISHED_TOTALS(RATE)
#undef RATE
    json_close(json);
}

static void print_heaps(struct json *json, const struct published_half *now) {
    json_array(json, "heaps");
    for (uint64_t i = 0; i < now->count_heaps && i < PUBLISHED_HEAPS; i++) {
        const struct published_heap *heap = &now->heap[i];
        json_object(json, NULL);
        json_count(json, "heap", heap->number);
        json_bool(json, "of_process", heap->flags & PUBLISHED_HEAP_OF_PROCESS);
        json_bool(json, "executable", heap->flags & PUBLISHED_HEAP_EXECUTABLE);
        json_count(json, "manager", heap->manager);
        print_budget(json, &heap->budget);
        json_count(json, "slabs", heap->slabs);
        json_count(json, "live_blocks", heap->live_blocks);
        json_count(json, "live_bytes", heap->live_bytes);
        json_count(json, "cached_blocks", heap->cached_blocks);
        json_close(json);
    }
    json_close(json);
}

static void print_classes(struct json *json, const struct published_half *now) {
    json_array(json, "classes");
    for (unsigned i = 0; i < PUBLISHED_CLASSES; i++) {
        const struct published_class *row = &now->row[i];
        if (row->slabs == 0) continue;
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
    json_close(json);
}

static void print_threads(struct json *json, const struct top *top) {
    char name[64];
    json_array(json, "threads");
    for (uint64_t i = 0; i < top->now.count_threads && i < PUBLISHED_THREADS; i++) {
        const struct published_thread *thread = &top->now.thread[i];
        look_thread_name(&top->look, thread->number, name, sizeof name);
        json_object(json, NULL);
        json_count(json, "thread", thread->number);
        json_text(json, "name", name);
        json_count(json, "blocks", thread->blocks);
        json_count(json, "block_bytes", thread->block_bytes);
        json_count(json, "spans", thread->spans);
        json_count(json, "span_bytes", thread->span_bytes);
        json_close(json);
    }
    json_close(json);
}

void json_print(const struct top *top) {
    struct json json;
    tool_json_begin(&json, stdout);
    json_count(&json, "process", top->look.process);
    json_text(&json, "program", top->look.program);
    json_count(&json, "age_ms", look_age_ms(&top->now));
    json_count(&json, "rest_ms", top->now.rest_ms);
    print_totals(&json, &top->now.totals);
    print_rates(&json, top);
    print_budget(&json, &top->now.process);
    print_managers(&json, &top->now);
    print_heaps(&json, &top->now);
    print_classes(&json, &top->now);
    print_threads(&json, top);
    json_end(&json);
}
