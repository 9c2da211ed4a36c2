/*
 * json.c - a look as one JSON object on one line. The keys of totals and rates are those of base/published.h.
 */
#include "tools/top/top.h"

static void print_managers(struct json *json, const struct published_half *now) {
    json_array(json, "managers");
    for (uint64_t i = 0; i < now->count_managers && i < PUBLISHED_MANAGERS; i++) published_write_manager(json, &now->manager[i]);
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
        published_write_heap(json, &now->heap[i]);
        json_close(json);
    }
    json_close(json);
}

static void print_classes(struct json *json, const struct published_half *now) {
    json_array(json, "classes");
    for (unsigned i = 0; i < PUBLISHED_CLASSES; i++) published_write_class(json, &now->row[i]);
    json_close(json);
}

static void print_threads(struct json *json, const struct top *top) {
    char name[64];
    json_array(json, "threads");
    for (uint64_t i = 0; i < top->now.count_threads && i < PUBLISHED_THREADS; i++) {
        const struct published_thread *thread = &top->now.thread[i];
        look_thread_name(&top->look, thread->number, name, sizeof name);
        published_write_thread(json, thread, name);
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
    published_write_totals(&json, &top->now.totals);
    print_rates(&json, top);
    published_write_budget(&json, &top->now.process);
    print_managers(&json, &top->now);
    print_heaps(&json, &top->now);
    print_classes(&json, &top->now);
    print_threads(&json, top);
    json_end(&json);
}
