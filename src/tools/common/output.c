/*
 * output.c - a tool's report: a table for people, a JSON object for programs; and whether it got where it should.
 *
 * The table is kept until it is printed because a column's width is known only then.
 */
#include "tools/common/tool.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <string.h>

bool tool_finish(const struct tool_command *command, FILE *out, const char *path) {
    bool standard = out == stdout || out == stderr;
    bool good;
    int error;
    errno = 0;
    good = fflush(out) == 0 && !ferror(out); /* under Wine fclose tells nothing */
    error = errno;
    if (!standard && fclose(out) != 0 && good) {
        good = false;
        error = errno;
    }
    if (!good) {
        fprintf(stderr, "%s: %s%s%s cannot be written: %s\n", command->name, standard ? "standard " : "'",
                out == stdout ? "output" : out == stderr ? "error" : path, standard ? "" : "'",
                error != 0 ? strerror(error) : "not all of it was taken");
    }
    return good;
}

/* ---- Table ---------------------------------------------------------------------------------------------------- */

void tool_table_row(struct tool_table *table) {
    if (table->count_rows < TOOL_TABLE_ROWS) table->count_cells[table->count_rows++] = 0;
}

/* The next free cell of the last row, or NULL when the row is full. */
static char *table_next(struct tool_table *table) {
    size_t row = table->count_rows - 1;
    if (table->count_rows == 0 || table->count_cells[row] == TOOL_TABLE_COLUMNS) return NULL;
    return table->cell[row][table->count_cells[row]++];
}

void tool_table_cell(struct tool_table *table, const char *format, ...) {
    char *cell = table_next(table);
    va_list arguments;
    if (cell == NULL) return;
    va_start(arguments, format);
    vsnprintf(cell, TOOL_TABLE_CELL, format, arguments);
    va_end(arguments);
}

void tool_table_count(struct tool_table *table, uint64_t value) {
    char digits[24];
    char *cell = table_next(table);
    size_t length;
    if (cell == NULL) return;
    length = (size_t)snprintf(digits, sizeof digits, "%" PRIu64, value);
    for (size_t at = 0; at < length; at++) {
        *cell++ = digits[at];
        if (at + 1 < length && (length - at - 1) % 3 == 0) *cell++ = ',';
    }
    *cell = '\0';
}

void tool_table_print(const struct tool_table *table, FILE *out) {
    size_t width[TOOL_TABLE_COLUMNS] = {0};
    size_t total = 0;
    for (size_t row = 0; row < table->count_rows; row++) {
        for (size_t column = 0; column < table->count_cells[row]; column++) {
            size_t length = strlen(table->cell[row][column]);
            width[column] = length > width[column] ? length : width[column];
        }
    }
    for (size_t column = 0; column < TOOL_TABLE_COLUMNS; column++) {
        total += width[column] != 0 ? width[column] + (column != 0 ? 2 : 0) : 0;
    }
    for (size_t row = 0; row < table->count_rows; row++) {
        if (table->count_cells[row] == 0) {
            for (size_t at = 0; at < total; at++) fputc('-', out);
        }
        for (size_t column = 0; column < table->count_cells[row]; column++) {
            fprintf(out, column == 0 ? "%-*s" : "  %*s", (int)width[column], table->cell[row][column]);
        }
        fputc('\n', out);
    }
}

/* ---- JSON ----------------------------------------------------------------------------------------------------- */

static void WINAPI json_write(LPVOID out, LPCSTR text, SIZE_T length) { fwrite(text, 1, length, out); }

void tool_json_begin(struct json *json, FILE *out) { json_begin(json, json_write, out); }

void tool_json_number(struct json *json, const char *key, double value) {
    char text[512];
    snprintf(text, sizeof text, "%.3f", value);
    json_plain(json, key, isfinite(value) ? text : "null");
}
