/*
 * report.c - what one run used, as a table or as JSON.
 *
 * The program's standard output is its own; so the report goes to standard error, or to the file of --report. (A comparison
 * keeps the program's output apart, and reports on standard output.)
 */
#include "tools/clr/clr.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

/* Not for the processes of a comparison. */
#ifdef _WIN32
#define REPORT_MODE "w"
#else
#define REPORT_MODE "we"
#endif

FILE *report_open(const struct clr_options *options, FILE *standard) {
    return options->report != NULL ? fopen(options->report, REPORT_MODE) : standard;
}

void report_check(const struct clr_options *options) {
    FILE *out = report_open(options, stderr);
    if (out == NULL) tool_fail(&clr_command, TOOL_EXIT_UNWRITTEN, "--report: '%s': %s", options->report, strerror(errno));
    if (options->report != NULL) fclose(out);
}

static void report_json_count(struct json *json, const char *name, const struct clr_count *count) {
    json_object(json, name);
    json_count(json, "calls", count->calls);
    json_count(json, "failures", count->failures);
    json_count(json, "bytes", count->bytes);
    json_count(json, "ns", count->ns);
    json_close(json);
}

void report_json_figures(struct json *json, const struct clr_figures *figures) {
    struct clr_count total;
    counts_total(&figures->counts, &total);
    json_object(json, "calls");
    for (int kind = 0; kind < CLR_KINDS; kind++) {
        report_json_count(json, counts_name((enum clr_kind)kind), &figures->counts.kind[kind]);
    }
    report_json_count(json, "all", &total);
    json_close(json);
    tool_json_number(json, "wall_ms", (double)figures->wall_ns / 1e6);
    tool_json_number(json, "cpu_user_ms", (double)figures->usage.user_ns / 1e6);
    tool_json_number(json, "cpu_system_ms", (double)figures->usage.system_ns / 1e6);
    json_count(json, "page_faults", figures->usage.faults);
    if (figures->usage.faults_major >= 0) json_count(json, "page_faults_major", (uint64_t)figures->usage.faults_major);
    json_count(json, "peak_rss_bytes", figures->usage.peak_rss_bytes);
    json_count(json, "peak_committed_bytes", figures->committed_peak);
    json_count(json, "notifications", figures->notifications);
    json_count(json, "collections_for_them", figures->collections);
    json_count(json, "refused_by_limits", figures->refused);
}

static void table_call_row(struct tool_table *table, const char *name, const struct clr_count *count) {
    tool_table_row(table);
    tool_table_cell(table, "%s", name);
    tool_table_count(table, count->calls);
    tool_table_count(table, count->failures);
    tool_table_count(table, count->bytes / 1024);
    tool_table_count(table, count->ns / 1000);
    tool_table_count(table, count->calls != 0 ? count->ns / count->calls : 0);
}

static void table_figure_row(struct tool_table *table, const char *name, uint64_t value) {
    tool_table_row(table);
    tool_table_cell(table, "%s", name);
    tool_table_count(table, value);
}

void report_limits_rows(struct tool_table *table, const struct clr_figures *const *figures, size_t count) {
    static const struct {
        const char *name;
        size_t offset;
        uint64_t unit;
    } rows[] = {
        {"committed at most, KiB", offsetof(struct clr_figures, committed_peak), 1024},
        {"told that memory is low", offsetof(struct clr_figures, notifications), 1},
        {"collected because of it", offsetof(struct clr_figures, collections), 1},
        {"refused by a limit", offsetof(struct clr_figures, refused), 1},
    };

    for (size_t row = 0; row < sizeof rows / sizeof rows[0]; row++) {
        tool_table_row(table);
        tool_table_cell(table, "%s", rows[row].name);
        for (size_t column = 0; column < count; column++) {
            const char *bytes = (const char *)figures[column] + rows[row].offset;
            uint64_t value;
            memcpy(&value, bytes, sizeof value);
            tool_table_count(table, value / rows[row].unit);
        }
    }
}

static void report_table(FILE *out, const struct clr_options *options, const struct clr_figures *figures) {
    static struct tool_table table;
    struct clr_count total;
    counts_total(&figures->counts, &total);
    tool_table_row(&table);
    tool_table_cell(&table, "%s memory", clr_memory_names[options->memory]);
    tool_table_cell(&table, "calls");
    tool_table_cell(&table, "failed");
    tool_table_cell(&table, "KiB");
    tool_table_cell(&table, "us in them");
    tool_table_cell(&table, "ns a call");
    tool_table_row(&table);
    for (int kind = 0; kind < CLR_KINDS; kind++) {
        table_call_row(&table, counts_name((enum clr_kind)kind), &figures->counts.kind[kind]);
    }
    table_call_row(&table, "all", &total);
    tool_table_row(&table);
    table_figure_row(&table, "wall time, ms", figures->wall_ns / 1000000);
    table_figure_row(&table, "CPU time, user, ms", figures->usage.user_ns / 1000000);
    table_figure_row(&table, "CPU time, system, ms", figures->usage.system_ns / 1000000);
    table_figure_row(&table, "page faults", figures->usage.faults);
    if (figures->usage.faults_major >= 0) {
        table_figure_row(&table, "  that read from disk", (uint64_t)figures->usage.faults_major);
    }
    table_figure_row(&table, "peak RSS, KiB", figures->usage.peak_rss_bytes / 1024);
    if (options->memory != CLR_RAW) report_limits_rows(&table, &figures, 1);
    tool_table_print(&table, out);
}

bool report_write(const struct clr_options *options, const struct clr_figures *figures) {
    FILE *out = report_open(options, stderr);
    if (out == NULL) {
        fprintf(stderr, "%s: --report: '%s': %s\n", clr_command.name, options->report, strerror(errno));
        return false;
    }
    if (options->json) {
        struct json json;
        tool_json_begin(&json, out);
        json_text(&json, "memory", clr_memory_names[options->memory]);
        json_bool(&json, "server_gc", options->server_gc);
        json_bool(&json, "concurrent_gc", options->concurrent_gc);
        report_json_figures(&json, figures);
        json_end(&json);
    } else {
        report_table(out, options, figures);
    }
    return tool_finish(&clr_command, out, options->report);
}
