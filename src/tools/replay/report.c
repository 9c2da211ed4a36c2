/*
 * report.c - what a replay found, as a table for people or as one JSON object for programs.
 */
#include <stdlib.h>

#include "tools/replay/replay.h"

static const char *const kind_name[KIND_COUNT] = {
    [KIND_RESERVE] = "reserve",           [KIND_RESERVE_COMMIT] = "reserve+commit", [KIND_COMMIT] = "commit",
    [KIND_RESET] = "reset",               [KIND_DECOMMIT] = "decommit",             [KIND_RELEASE] = "release",
    [KIND_PROTECT] = "protect",           [KIND_QUERY] = "query",                   [KIND_HEAP_CREATE] = "heap create",
    [KIND_HEAP_DESTROY] = "heap destroy", [KIND_HEAP_ALLOC] = "heap alloc",         [KIND_HEAP_REALLOC] = "heap realloc",
    [KIND_HEAP_FREE] = "heap free",       [KIND_MAP] = "map view",                  [KIND_UNMAP] = "unmap view",
};

static const struct {
    const char *key, *text;
} notes[NOTE_COUNT] = {
    [NOTE_RELOCATED] = {"relocated", "wanted address taken in this process: reserved elsewhere"},
    [NOTE_STAND_IN] = {"stand_ins", "ranges of images, stacks and views: memory of the system's own in their place"},
    [NOTE_RESERVED_BEFORE] = {"reserved_before", "commits in memory reserved before the recording: reserved first"},
    [NOTE_HEAP_BEFORE] = {"heaps_before", "heaps made before the recording: made at their first use"},
    [NOTE_LOST_FREE] = {"lost_frees", "given out again without a recorded release: released first"},
    [NOTE_OBSTACLE] = {"obstacles", "failed because of memory that the trace does not show: put in the way"},
    [NOTE_BLOCK_BEFORE] = {"skipped_block_before", "left out: block allocated before the recording"},
    [NOTE_UNKNOWN] = {"skipped_unknown_memory", "left out: concerns memory from before the recording"},
    [NOTE_SHORTAGE] = {"skipped_shortage", "left out: the recording ran out of memory"},
};

struct figures {
    double mean, median, highest;
};

static int tick_compare(const void *left, const void *right) {
    uint32_t a, b;
    a = *(const uint32_t *)left;
    b = *(const uint32_t *)right;
    return (a > b) - (a < b);
}

/* In nanoseconds. Sorts the ticks. */
static struct figures kind_figures(const struct replay *replay, enum kind kind) {
    const struct kind_stats *stats = &replay->kind[kind];
    if (stats->count == 0) return (struct figures){0};
    qsort(stats->tick, stats->count, sizeof stats->tick[0], tick_compare);
    double sum = 0;
    for (size_t i = 0; i < stats->count; i++) sum += stats->tick[i];
    double unit = replay->ns_per_tick;
    return (struct figures){sum / (double)stats->count * unit, TOOL_MEDIAN(stats->tick, stats->count) * unit,
                            stats->tick[stats->count - 1] * unit};
}

static uint64_t calls_replayed(const struct replay *replay) {
    uint64_t sum = 0;
    for (int kind = 0; kind < KIND_COUNT; kind++) sum += replay->kind[kind].count;
    return sum;
}

static void kinds_print(const struct replay *replay) {
    static struct tool_table table;
    static const char *const head[] = {"call", "calls", "refused", "mean ns", "median ns", "longest ns"};
    tool_table_row(&table);
    for (size_t i = 0; i < sizeof head / sizeof head[0]; i++) tool_table_cell(&table, "%s", head[i]);
    tool_table_row(&table);
    for (int kind = 0; kind < KIND_COUNT; kind++) {
        if (replay->kind[kind].count == 0) continue;
        struct figures figures = kind_figures(replay, (enum kind)kind);
        tool_table_row(&table);
        tool_table_cell(&table, "%s", kind_name[kind]);
        tool_table_count(&table, replay->kind[kind].count);
        tool_table_count(&table, replay->kind[kind].count_refused);
        tool_table_count(&table, (uint64_t)(figures.mean + 0.5));
        tool_table_count(&table, (uint64_t)(figures.median + 0.5));
        tool_table_count(&table, (uint64_t)(figures.highest + 0.5));
    }
    tool_table_print(&table, stdout);
}

void report_table(const struct replay *replay, const char *path) {
    printf("%s on %s: %llu calls of %u threads\n\n", path, replay->memory.name, (unsigned long long)calls_replayed(replay),
           replay->trace->count_threads);
    kinds_print(replay);
    printf("\n");
    for (int note = 0; note < NOTE_COUNT; note++)
        if (replay->count_note[note] != 0) printf("%6llu  %s\n", (unsigned long long)replay->count_note[note], notes[note].text);
    struct tool_usage usage;
    tool_usage_read(&usage);
    printf("\npage faults %llu", (unsigned long long)usage.faults);
    if (usage.faults_major >= 0) printf(" (%lld from a disk)", (long long)usage.faults_major);
    printf(", peak RSS %.1f MiB, wall time %.1f ms ", (double)usage.peak_rss_bytes / 1048576.0, (double)replay->wall_ns / 1e6);
    if (replay->check) printf("with checking, pages looked at %llu\n", (unsigned long long)replay->count_pages_checked);
    else printf("without checking\n");
    printf("differences from the recording: %llu\n", (unsigned long long)replay->count_differences);
    for (uint64_t i = 0; i < replay->count_differences && i < DIFFERENCES_KEPT; i++)
        printf("  %s:%u: %s\n", path, (unsigned)replay->difference[i].line, replay->difference[i].text);
}

void report_json(const struct replay *replay, const char *path) {
    struct json json;
    struct tool_usage usage;
    tool_usage_read(&usage);
    tool_json_begin(&json, stdout);
    json_text(&json, "trace", path);
    json_text(&json, "memory", replay->memory.name);
    json_count(&json, "threads", replay->trace->count_threads);
    json_count(&json, "calls", calls_replayed(replay));
    json_bool(&json, "checked", replay->check);
    json_count(&json, "pages_checked", replay->count_pages_checked);
    json_object(&json, "kinds");
    for (int kind = 0; kind < KIND_COUNT; kind++) {
        if (replay->kind[kind].count == 0) continue;
        struct figures figures = kind_figures(replay, (enum kind)kind);
        json_object(&json, kind_name[kind]);
        json_count(&json, "calls", replay->kind[kind].count);
        json_count(&json, "refused", replay->kind[kind].count_refused);
        tool_json_number(&json, "mean_ns", figures.mean);
        tool_json_number(&json, "median_ns", figures.median);
        tool_json_number(&json, "longest_ns", figures.highest);
        json_close(&json);
    }
    json_close(&json);
    json_object(&json, "notes");
    for (int note = 0; note < NOTE_COUNT; note++) json_count(&json, notes[note].key, replay->count_note[note]);
    json_close(&json);
    json_count(&json, "faults", usage.faults);
    if (usage.faults_major >= 0) json_count(&json, "faults_major", (uint64_t)usage.faults_major);
    json_count(&json, "peak_rss_bytes", usage.peak_rss_bytes);
    json_count(&json, "wall_ns", replay->wall_ns);
    json_count(&json, "differences", replay->count_differences);
    json_array(&json, "first_differences");
    for (uint64_t i = 0; i < replay->count_differences && i < DIFFERENCES_KEPT; i++) {
        json_object(&json, NULL);
        json_count(&json, "line", replay->difference[i].line);
        json_text(&json, "what", replay->difference[i].text);
        json_close(&json);
    }
    json_close(&json);
    json_end(&json);
}
