/*
 * output.c - a tool's report: a table for people, a JSON object for programs; and whether it got where it should.
 *
 * The table is kept until it is printed because a column's width is known only then. JSON is written as it comes: the
 * writer remembers no more than which brackets are open and whether a comma is due.
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
    if (table->count_rows < TOOL_TABLE_ROWS) {
        table->count_cells[table->count_rows++] = 0;
    }
}

/* The next free cell of the last row, or NULL when the row is full. */
static char *table_next(struct tool_table *table) {
    size_t row = table->count_rows - 1;

    if (table->count_rows == 0 || table->count_cells[row] == TOOL_TABLE_COLUMNS) {
        return NULL;
    }
    return table->cell[row][table->count_cells[row]++];
}

void tool_table_cell(struct tool_table *table, const char *format, ...) {
    char *cell = table_next(table);
    va_list arguments;

    if (cell == NULL) {
        return;
    }
    va_start(arguments, format);
    vsnprintf(cell, TOOL_TABLE_CELL, format, arguments);
    va_end(arguments);
}

void tool_table_count(struct tool_table *table, uint64_t value) {
    char digits[24];
    char *cell = table_next(table);
    size_t length;

    if (cell == NULL) {
        return;
    }
    length = (size_t)snprintf(digits, sizeof digits, "%" PRIu64, value);
    for (size_t at = 0; at < length; at++) {
        *cell++ = digits[at];
        if (at + 1 < length && (length - at - 1) % 3 == 0) {
            *cell++ = ',';
        }
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
            for (size_t at = 0; at < total; at++) {
                fputc('-', out);
            }
        }
        for (size_t column = 0; column < table->count_cells[row]; column++) {
            fprintf(out, column == 0 ? "%-*s" : "  %*s", (int)width[column], table->cell[row][column]);
        }
        fputc('\n', out);
    }
}

/* ---- JSON ----------------------------------------------------------------------------------------------------- */

size_t tool_utf8_length(const char *text) {
    /* By how many bytes follow: the lowest and the highest first byte, and the lowest character that needs so many. */
    static const struct {
        unsigned char low, high;
        uint32_t least;
    } lead[] = {{0x00, 0x7f, 0}, {0xc2, 0xdf, 0x80}, {0xe0, 0xef, 0x800}, {0xf0, 0xf4, 0x10000}};
    unsigned char first = (unsigned char)text[0];
    size_t follow = first >= 0xf0 ? 3 : first >= 0xe0 ? 2 : first >= 0x80 ? 1 : 0;
    uint32_t character = first & (0x3fu >> follow);

    if (first < lead[follow].low || first > lead[follow].high) {
        return 0;
    }
    for (size_t at = 1; at <= follow; at++) {
        if ((text[at] & 0xc0) != 0x80) {
            return 0;
        }
        character = character << 6 | (text[at] & 0x3fu);
    }
    return character < lead[follow].least || character > 0x10ffff || (character >= 0xd800 && character < 0xe000) ? 0 : follow + 1;
}

static void json_string(FILE *out, const char *text) {
    size_t length;

    fputc('"', out);
    for (; *text != '\0'; text += length != 0 ? length : 1) {
        unsigned char byte = (unsigned char)*text;

        length = tool_utf8_length(text);
        if (length == 0) {
            fputs("\\ufffd", out);
        } else if (byte == '"' || byte == '\\') {
            fprintf(out, "\\%c", byte);
        } else if (byte < 0x20) {
            fprintf(out, "\\u%04x", byte);
        } else {
            fwrite(text, 1, length, out);
        }
    }
    fputc('"', out);
}

/* What stands before every value: the comma that is due, and the key. */
static void json_key(struct tool_json *json, const char *key) {
    if (json->comma) {
        fputs(", ", json->out);
    }
    json->comma = true;
    if (key != NULL) {
        json_string(json->out, key);
        fputs(": ", json->out);
    }
}

static void json_open(struct tool_json *json, char opener, char closer) {
    fputc(opener, json->out);
    json->comma = false;
    json->closer[json->depth++] = closer;
}

void tool_json_begin(struct tool_json *json, FILE *out) {
    memset(json, 0, sizeof *json);
    json->out = out;
    json_open(json, '{', '}');
}

void tool_json_object(struct tool_json *json, const char *key) {
    if (json->depth < sizeof json->closer) {
        json_key(json, key);
        json_open(json, '{', '}');
    }
}

void tool_json_array(struct tool_json *json, const char *key) {
    if (json->depth < sizeof json->closer) {
        json_key(json, key);
        json_open(json, '[', ']');
    }
}

void tool_json_close(struct tool_json *json) {
    if (json->depth != 0) {
        fputc(json->closer[--json->depth], json->out);
        json->comma = true;
    }
}

void tool_json_text(struct tool_json *json, const char *key, const char *value) {
    json_key(json, key);
    json_string(json->out, value);
}

void tool_json_count(struct tool_json *json, const char *key, uint64_t value) {
    json_key(json, key);
    fprintf(json->out, "%" PRIu64, value);
}

void tool_json_number(struct tool_json *json, const char *key, double value) {
    json_key(json, key);
    if (isfinite(value)) {
        fprintf(json->out, "%.3f", value);
    } else {
        fputs("null", json->out);
    }
}

void tool_json_bool(struct tool_json *json, const char *key, bool value) {
    json_key(json, key);
    fputs(value ? "true" : "false", json->out);
}

void tool_json_end(struct tool_json *json) {
    while (json->depth != 0) {
        tool_json_close(json);
    }
    fputc('\n', json->out);
}
