/*
 * report.c - the calls of a served program by kind, who answered them and why, and what it cost.
 */
#include "tools/run/run.h"

#include <string.h>

static const char *const kind_names[HM_CALL_KINDS] = {
    [HM_CALL_RESERVE] = "reserve",          [HM_CALL_RESERVE_COMMIT] = "reserve+commit", [HM_CALL_COMMIT] = "commit",
    [HM_CALL_RESET] = "reset",              [HM_CALL_DECOMMIT] = "decommit",             [HM_CALL_RELEASE] = "release",
    [HM_CALL_PROTECT] = "protect",          [HM_CALL_QUERY] = "query",                   [HM_CALL_MAP] = "map view",
    [HM_CALL_UNMAP] = "unmap view",         [HM_CALL_WATCH] = "written pages",           [HM_CALL_HEAP_CREATE] = "heap create",
    [HM_CALL_HEAP_DESTROY] = "heap destroy", [HM_CALL_HEAP_ALLOC] = "heap alloc",        [HM_CALL_HEAP_REALLOC] = "heap realloc",
    [HM_CALL_HEAP_FREE] = "heap free",      [HM_CALL_HEAP_OTHER] = "heap, others",
};
static const char *const reason_names[HM_REDIRECT_REASONS] = {
    [HM_BY_ENGINE] = "engine",
    [HM_PASSED_OFF] = "off",
    [HM_PASSED_FOREIGN] = "foreign memory",
    [HM_PASSED_PROCESS] = "another process",
    [HM_PASSED_WATCH] = "write watch",
    [HM_PASSED_KIND] = "kind of memory",
    [HM_PASSED_HUGE] = "too large",
    [HM_PASSED_BOUNDS] = "address bounds",
    [HM_PASSED_VIEW] = "mapped view",
    [HM_PASSED_HEAP] = "other heap",
};

static void cell_add(HM_REDIRECT_CELL *to, const HM_REDIRECT_CELL *from) {
    to->calls += from->calls;
    to->failures += from->failures;
    to->bytes += from->bytes;
    to->ticks += from->ticks;
}

static void counts_sum(const HM_REDIRECT_SHARED *shared, HM_REDIRECT_COUNTS *sum) {
    memset(sum, 0, sizeof *sum);
    for (int slot = 0; slot < HM_REDIRECT_SLOTS; slot++) {
        for (int kind = 0; kind < HM_CALL_KINDS; kind++) {
            for (int reason = 0; reason < HM_REDIRECT_REASONS; reason++) {
                cell_add(&sum->cell[kind][reason], &shared->slot[slot].cell[kind][reason]);
            }
        }
    }
}

static uint64_t microseconds(uint64_t ticks, const struct run_usage *usage) {
    return (uint64_t)((double)ticks / usage->ticks_per_ns / 1000.0);
}

static void report_row(struct tool_table *table, const char *name, const HM_REDIRECT_CELL *served, const HM_REDIRECT_CELL *passed,
                       const struct run_usage *usage) {
    tool_table_row(table);
    tool_table_cell(table, "%s", name);
    tool_table_count(table, served->calls);
    tool_table_count(table, passed->calls);
    tool_table_count(table, served->failures + passed->failures);
    tool_table_count(table, microseconds(served->ticks, usage));
    tool_table_count(table, microseconds(passed->ticks, usage));
    tool_table_count(table, (served->bytes + passed->bytes) / 1024);
}

static void kinds_print(FILE *out, const HM_REDIRECT_COUNTS *sum, const struct run_usage *usage) {
    static const char *const heads[] = {"calls", "by the engine", "by the system", "failed", "us, engine", "us, system", "KiB"};
    static struct tool_table table;
    HM_REDIRECT_CELL all[2] = {{0, 0, 0, 0}, {0, 0, 0, 0}};

    tool_table_row(&table);
    for (size_t head = 0; head < sizeof heads / sizeof heads[0]; head++) tool_table_cell(&table, "%s", heads[head]);
    tool_table_row(&table);
    for (int kind = 0; kind < HM_CALL_KINDS; kind++) {
        HM_REDIRECT_CELL passed = {0, 0, 0, 0};
        for (int reason = 1; reason < HM_REDIRECT_REASONS; reason++) cell_add(&passed, &sum->cell[kind][reason]);
        if (sum->cell[kind][HM_BY_ENGINE].calls + passed.calls != 0) {
            report_row(&table, kind_names[kind], &sum->cell[kind][HM_BY_ENGINE], &passed, usage);
        }
        cell_add(&all[0], &sum->cell[kind][HM_BY_ENGINE]);
        cell_add(&all[1], &passed);
    }
    tool_table_row(&table);
    report_row(&table, "all", &all[0], &all[1], usage);
    tool_table_print(&table, out);
}

static void reasons_print(FILE *out, const HM_REDIRECT_COUNTS *sum) {
    bool any = false;
    for (int reason = 1; reason < HM_REDIRECT_REASONS; reason++) {
        for (int kind = 0; kind < HM_CALL_KINDS; kind++) {
            uint64_t calls = sum->cell[kind][reason].calls;
            if (calls != 0) {
                fprintf(out, "%s%s, %s: %llu", any ? "; " : "by the system: ", kind_names[kind], reason_names[reason],
                        (unsigned long long)calls);
                any = true;
            }
        }
    }
    if (any) fputc('\n', out);
}

void report_print(FILE *out, const struct run_options *options, const HM_REDIRECT_SHARED *shared, const struct run_usage *usage) {
    static HM_REDIRECT_COUNTS sum;
    counts_sum(shared, &sum);
    fprintf(out, "hostmem-run: %lu process%s%s\n", shared->cProcesses, shared->cProcesses == 1 ? "" : "es",
            options->off ? ", everything passed on (--off)" : "");
    kinds_print(out, &sum, usage);
    reasons_print(out, &sum);
    fprintf(out, "wall %llu ms, user %llu ms, system %llu ms, peak RSS %llu KiB, page faults ",
            (unsigned long long)(usage->wall_ns / 1000000), (unsigned long long)(usage->user_ns / 1000000),
            (unsigned long long)(usage->system_ns / 1000000), (unsigned long long)(usage->peak_rss_bytes / 1024));
    if (usage->faults != 0) {
        fprintf(out, "%llu\n", (unsigned long long)usage->faults);
    } else {
        fputs("not told by the system\n", out);
    }
}

static void json_calls(struct json *json, const HM_REDIRECT_COUNTS *sum, const struct run_usage *usage) {
    json_array(json, "calls");
    for (int kind = 0; kind < HM_CALL_KINDS; kind++) {
        for (int reason = 0; reason < HM_REDIRECT_REASONS; reason++) {
            const HM_REDIRECT_CELL *cell = &sum->cell[kind][reason];
            if (cell->calls == 0) continue;
            json_object(json, NULL);
            json_text(json, "kind", kind_names[kind]);
            json_text(json, "by", reason == HM_BY_ENGINE ? "engine" : "system");
            json_text(json, "reason", reason == HM_BY_ENGINE ? "" : reason_names[reason]);
            json_count(json, "calls", cell->calls);
            json_count(json, "failures", cell->failures);
            json_count(json, "bytes", cell->bytes);
            json_count(json, "us", microseconds(cell->ticks, usage));
            json_close(json);
        }
    }
    json_close(json);
}

void report_json(FILE *out, const struct run_options *options, const HM_REDIRECT_SHARED *shared, const struct run_usage *usage,
                 const char *program, DWORD status) {
    static HM_REDIRECT_COUNTS sum;
    struct json json;

    counts_sum(shared, &sum);
    tool_json_begin(&json, out);
    json_text(&json, "program", program);
    json_count(&json, "status", status);
    json_bool(&json, "off", options->off);
    json_count(&json, "processes", shared->cProcesses);
    json_calls(&json, &sum, usage);
    json_count(&json, "wall_us", usage->wall_ns / 1000);
    json_count(&json, "user_us", usage->user_ns / 1000);
    json_count(&json, "system_us", usage->system_ns / 1000);
    json_count(&json, "peak_rss_bytes", usage->peak_rss_bytes);
    json_count(&json, "page_faults", usage->faults);
    json_end(&json);
}
