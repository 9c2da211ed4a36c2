/*
 * main.c - hostmem-bench-table: from the runs' files to the table of figures with its verdicts, for people or as JSON.
 */
#include "bench/table/rows.h"
#include "bench/table/samples.h"
#include "tools/common/tool.h"

#include <string.h>

static bool as_json;
static const char *ours = "hostmem";

static const struct tool_option options[] = {
    {"json", TOOL_FLAG, &as_json, NULL, "print one JSON object instead of the table"},
    {"ours", TOOL_TEXT, &ours, "PEER", "the peer whose malloc is judged against the others (hostmem)"},
    {NULL, TOOL_FLAG, NULL, NULL, NULL}};

static const struct tool_command command = {
    .name = "hostmem-bench-table",
    .operands = "FILE...",
    .summary = "Makes the table of figures from runs of hostmem-bench (files called SYSTEM.PEER.KIND.ROUND.json).",
    .options = options,
    .notes = "A file that cannot be used is named on standard error, and the rest still counts; then the exit status is 1."};

static const char *verdict_name(const struct row *row) {
    static const char *const names[] = {"reached", "falls short", "not run"};
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
    struct tool_json json;
    tool_json_begin(&json, stdout);
    tool_json_number(&json, "wall_over_processor_time", busy);
    tool_json_array(&json, "rows");
    for (size_t i = 0; i < count; i++) {
        const struct row *row = &rows[i];
        tool_json_object(&json, NULL);
        tool_json_text(&json, "section", row->section);
        tool_json_text(&json, "work", row->work);
        tool_json_text(&json, "against", row->against);
        tool_json_number(&json, "ours", row->ours_value);
        tool_json_number(&json, "theirs", row->theirs_value);
        tool_json_number(&json, "ratio", row->ratio);
        tool_json_number(&json, "spread", row->spread);
        tool_json_text(&json, "wanted", row->wanted);
        tool_json_text(&json, "verdict", verdict_name(row));
        tool_json_text(&json, "why", row->why);
        tool_json_close(&json);
    }
    tool_json_end(&json);
}

int main(int argc, char **argv) {
    static struct row rows[ROWS_MOST];
    size_t verdicts[3] = {0};
    bool good = true;
    int first = tool_options_parse(&command, argc, argv);
    if (first == argc) tool_fail(&command, TOOL_EXIT_USAGE, "no files: name the runs to make the table from");
    for (int i = first; i < argc; i++) good &= samples_read(argv[i]);
    size_t count = rows_make(rows, ours);
    double busy = samples_busy();
    for (size_t i = 0; i < count; i++) verdicts[rows[i].verdict]++;
    if (as_json) {
        print_json(rows, count, busy);
        return good ? 0 : 1;
    }
    print_sections(rows, count);
    if (busy > 1.1)
        printf("The machine was busy with something else: the wall's clock ran %.2f times as long as the processor worked. "
               "Do not trust these figures.\n", busy);
    printf("%zu rows reached, %zu fall short, %zu not run\n", verdicts[VERDICT_REACHED], verdicts[VERDICT_SHORT],
           verdicts[VERDICT_NOT_RUN]);
    return good ? 0 : 1;
}
