/*
 * main.c - hostmem-bench-table: from the runs' files to the table of figures with its verdicts, for people or as JSON.
 */
#include "bench/table/compare.h"
#include "bench/table/markdown.h"
#include "bench/table/record.h"
#include "bench/table/rows.h"
#include "bench/table/samples.h"
#include "tools/common/tool.h"

#include <errno.h>
#include <string.h>

static bool as_json, comparing, as_markdown;
static const char *ours = "hostmem", *record;

static const struct tool_option options[] = {
    {"json", TOOL_FLAG, &as_json, NULL, "print one JSON object instead of the table"},
    {"ours", TOOL_TEXT, &ours, "PEER", "the peer whose malloc is judged against the others (hostmem)"},
    {"record", TOOL_TEXT, &record, "OUT", "write all figures into one file instead of a table"},
    {"compare", TOOL_FLAG, &comparing, NULL, "print what changed beyond noise from one record to another"},
    {"markdown", TOOL_FLAG, &as_markdown, NULL, "print the README's short table"},
    {NULL, TOOL_FLAG, NULL, NULL, NULL}};

static const struct tool_command command = {
    .name = "hostmem-bench-table",
    .operands = "FILE...",
    .summary = "Makes the table of figures from runs of hostmem-bench (files called SYSTEM.PEER.KIND.ROUND.json), or from a\n"
               "record of them. With --compare, two records; RECORD@PEER stands for the figures of one peer in it.",
    .options = options,
    .notes = "A file that cannot be used is named on standard error, and the rest still counts; then the exit status is 1.\n"
             "With --compare the exit status is 1 if a figure became worse, and 2 if a record cannot be used."};

static const char *verdict_name(const struct row *row) {
    static const char *const names[VERDICTS] = {"reached", "falls short", "better", "even", "worse", "figure", "not run"};
    return names[row->verdict];
}

static void print_row(struct tool_table *table, const struct row *row) {
    tool_table_row(table);
    tool_table_cell(table, "%s", row->work);
    tool_table_cell(table, "%s", row->ours);
    tool_table_cell(table, "%s", row->theirs);
    tool_table_cell(table, "%s", row->against);
    if (row->ratio != 0) tool_table_cell(table, "%.3g x", row->ratio);
    else tool_table_cell(table, "%s", "");
    tool_table_cell(table, "%s", row->wanted);
    if (row->verdict != VERDICT_NOT_RUN) tool_table_cell(table, "+-%.0f%%", 100 * row->spread);
    else tool_table_cell(table, "%s", "");
    tool_table_cell(table, "%s%s%s", verdict_name(row), row->why[0] != '\0' ? ": " : "", row->why);
}

/* The rows from first on that are of its section; *any is whether one of them was run. */
static size_t section_rows(const struct row *rows, size_t count, size_t first, bool *any) {
    size_t end = first;
    *any = false;
    for (; end < count && strcmp(rows[end].section, rows[first].section) == 0; end++)
        *any |= rows[end].verdict != VERDICT_NOT_RUN;
    return end - first;
}

static void print_sections(const struct row *rows, size_t count) {
    static struct tool_table table;
    bool any;
    for (size_t i = 0; i < count;) {
        const char *section = rows[i].section;
        size_t length = section_rows(rows, count, i, &any);
        if (!any) {
            printf("%s: not run, %zu rows: %s\n\n", section, length, rows[i].why);
            i += length;
            continue;
        }
        memset(&table, 0, sizeof table);
        tool_table_row(&table);
        static const char *const heads[] = {"hostmem", "theirs", "against", "ratio", "wanted", "spread", "verdict"};
        tool_table_cell(&table, "%s", section);
        for (size_t h = 0; h < sizeof heads / sizeof *heads; h++) tool_table_cell(&table, "%s", heads[h]);
        for (size_t end = i + length; i < end; i++) print_row(&table, &rows[i]);
        tool_table_print(&table, stdout);
        putchar('\n');
    }
}

static void print_json(const struct row *rows, size_t count, double busy) {
    struct json json;
    tool_json_begin(&json, stdout);
    tool_json_number(&json, "wall_over_processor_time", busy);
    json_array(&json, "rows");
    for (size_t i = 0; i < count; i++) {
        const struct row *row = &rows[i];
        json_object(&json, NULL);
        json_text(&json, "section", row->section);
        json_text(&json, "work", row->work);
        json_text(&json, "against", row->against);
        json_text(&json, "ours_text", row->ours);
        json_text(&json, "theirs_text", row->theirs);
        tool_json_number(&json, "ours", row->ours_value);
        tool_json_number(&json, "theirs", row->theirs_value);
        tool_json_number(&json, "ratio", row->ratio);
        tool_json_number(&json, "spread", row->spread);
        json_text(&json, "wanted", row->wanted);
        json_text(&json, "verdict", verdict_name(row));
        json_text(&json, "why", row->why);
        json_close(&json);
    }
    json_end(&json);
}

static void print_sums(const struct row *rows, size_t count, double busy) {
    size_t verdicts[VERDICTS] = {0};
    for (size_t i = 0; i < count; i++) verdicts[rows[i].verdict]++;
    if (busy > 1.1)
        printf("The machine was busy with something else: the wall's clock ran %.2f times as long as the processor worked. "
               "Do not trust these figures.\n", busy);
    printf("%zu rows reached, %zu fall short, %zu not run; of those without a bound %zu are better, %zu even, %zu worse\n",
           verdicts[VERDICT_REACHED], verdicts[VERDICT_SHORT], verdicts[VERDICT_NOT_RUN], verdicts[VERDICT_BETTER],
           verdicts[VERDICT_EVEN], verdicts[VERDICT_WORSE]);
}

int main(int argc, char **argv) {
    static struct row rows[ROWS_MOST];
    static struct samples samples;
    bool good = true;
    int first = tool_options_parse(&command, argc, argv);
    if (comparing && argc - first != 2) tool_fail(&command, TOOL_EXIT_USAGE, "--compare needs two records");
    if (comparing) return compare_records(argv[first], argv[first + 1], as_json);
    if (first == argc) tool_fail(&command, TOOL_EXIT_USAGE, "no files: name the runs to make the table from");
    for (int i = first; i < argc; i++) good &= samples_read(&samples, argv[i]);
    if (record != NULL) return record_write(&samples, record) && good ? 0 : 1;
    size_t count = rows_make(&samples, rows, ours);
    double busy = samples_busy(&samples);
    if (as_json) {
        print_json(rows, count, busy);
    } else if (as_markdown) {
        markdown_print(&samples, rows, count);
    } else {
        print_sections(rows, count);
        print_sums(rows, count, busy);
    }
    if (fflush(stdout) == 0 && !ferror(stdout)) return good ? 0 : 1;
    tool_fail(&command, 1, "the table cannot be written: %s", strerror(errno));
}
