/*
 * tool.h - what the command-line tools share: options, a table for people, JSON for programs, the terminal, and the figures
 * that the system keeps about the process. Portable to Linux and Windows; not part of the library.
 *
 * Nothing here is thread-safe except tool_clock_ns and tool_usage_read.
 */
#ifndef HOSTMEM_TOOL_H
#define HOSTMEM_TOOL_H

#include "base/json.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#if defined(__MINGW_PRINTF_FORMAT)
#define TOOL_PRINTF(format_at, arguments_at) __attribute__((format(__MINGW_PRINTF_FORMAT, format_at, arguments_at)))
#else
#define TOOL_PRINTF(format_at, arguments_at) __attribute__((format(printf, format_at, arguments_at)))
#endif

/* Exit statuses that mean the same in every tool: output that did not get where it should is trouble as bad arguments are. */
enum { TOOL_EXIT_OK = 0, TOOL_EXIT_DIFFERENT = 1, TOOL_EXIT_USAGE = 2, TOOL_EXIT_UNWRITTEN = 2 };

/* ---- Options -------------------------------------------------------------------------------------------------- */

enum tool_kind {
    TOOL_FLAG,  /* --name            value: bool *, set to true */
    TOOL_TEXT,  /* --name TEXT       value: const char ** */
    TOOL_COUNT, /* --name N          value: uint64_t *, decimal or 0x hexadecimal */
    TOOL_CHOICE /* --name a|b        value: int *, the index in the words of argument, which '|' parts */
};

/* One option; `--name value` and `--name=value` mean the same. An array of them ends with a NULL name. */
struct tool_option {
    const char *name; /* without the dashes */
    enum tool_kind kind;
    void *value;          /* by kind; what it holds before is the default */
    const char *argument; /* what the help calls the value; the words of a TOOL_CHOICE; NULL for a flag */
    const char *help;
};

struct tool_command {
    const char *name;     /* the program's name, which opens every message */
    const char *operands; /* what follows the options on the command line, for the help */
    const char *summary;  /* what it does, one or a few lines */
    const struct tool_option *options;
    const char *notes; /* the help's last lines: exit statuses, environment; NULL for none */
};

/*
 * Reads the options at the front of the command line and returns the index of the first operand; `--` ends the options.
 * --help prints the help to stdout and exits with 0. An unknown option or a bad value gives a message that names it on
 * stderr and exits with TOOL_EXIT_USAGE.
 *
 * Standard streams that are closed are closed to the tool from here on as well, and their numbers are no other file's.
 */
int tool_options_parse(const struct tool_command *command, int argc, char **argv);

/* The same where an operand must follow, which a message calls by the first word of command->operands. */
int tool_operands(const struct tool_command *command, int argc, char **argv);
/* The same where it is the only one; options may stand behind it as well. */
int tool_one_operand(const struct tool_command *command, int argc, char **argv);

/* Ends the tool with a message if a TOOL_COUNT is out of bounds. */
void tool_within(const struct tool_command *command, const char *option, uint64_t value, uint64_t least, uint64_t most);

/* Prints "name: message" to stderr and exits with status. */
void tool_fail(const struct tool_command *command, int status, const char *format, ...) __attribute__((noreturn))
TOOL_PRINTF(3, 4);

/*
 * Ends an output: writes what is still held back, and closes a file, which path names; standard streams stay open. If not all
 * of it was written, false and a message. A tool calls it last for each of its outputs, and then exits with
 * TOOL_EXIT_UNWRITTEN.
 */
bool tool_finish(const struct tool_command *command, FILE *out, const char *path);

/* ---- Table ---------------------------------------------------------------------------------------------------- */

enum { TOOL_TABLE_ROWS = 64, TOOL_TABLE_COLUMNS = 10, TOOL_TABLE_CELL = 64 };

/*
 * A table built cell by cell and printed at once: the first column to the left, the others to the right, as wide as they
 * need. Zero it, or make it static, before the first row. Rows and cells past its bounds are dropped; long cells are cut.
 */
struct tool_table {
    size_t count_rows;
    size_t count_cells[TOOL_TABLE_ROWS];
    char cell[TOOL_TABLE_ROWS][TOOL_TABLE_COLUMNS][TOOL_TABLE_CELL];
};

void tool_table_row(struct tool_table *table); /* starts a row; one that stays empty is printed as a line */
void tool_table_cell(struct tool_table *table, const char *format, ...) TOOL_PRINTF(2, 3);
void tool_table_count(struct tool_table *table, uint64_t value); /* a cell such as 1,234,567 */
void tool_table_print(const struct tool_table *table, FILE *out);

/* ---- JSON ----------------------------------------------------------------------------------------------------- */

/* base/json.h's writer, writing to a stream. */
void tool_json_begin(struct json *json, FILE *out);
void tool_json_number(struct json *json, const char *key, double value); /* three decimals; null unless finite */

/* ---- Terminal ------------------------------------------------------------------------------------------------- */

bool tool_is_terminal(FILE *stream);
void tool_terminal_begin(void); /* stdout takes UTF-8 and colours; to be called before it gets either */
/* NO_COLOR and CLICOLOR_FORCE decide, else whether stdout is a terminal. */
bool tool_coloured(void);
/*
 * The bytes of the character at text, which a terminal can be given; 0: the byte is of none, or of one that makes the terminal do
 * something. (A program chooses its name, and those of its threads.)
 */
size_t tool_printable(const char *text);
/* COLUMNS and LINES, else those of the terminal that stdout is, else 0. */
void tool_terminal_size(int *columns, int *rows);

/* ---- Figures of several runs ---------------------------------------------------------------------------------- */

/* The median of numbers that are sorted, one or more of them: of an even count the mean of the two in the middle. */
#define TOOL_MEDIAN(sorted, count) (((double)(sorted)[((count) - 1) / 2] + (double)(sorted)[(count) / 2]) / 2)

/* ---- Figures of the process ----------------------------------------------------------------------------------- */

/* What the process used since it started. */
struct tool_usage {
    uint64_t user_ns;
    uint64_t system_ns;
    uint64_t faults;      /* page faults of all kinds */
    int64_t faults_major; /* those that had to read from a disk; -1 where the system does not tell (Windows) */
    uint64_t rss_bytes;   /* resident now */
    uint64_t peak_rss_bytes;
};

uint64_t tool_clock_ns(void);                   /* a monotonic clock */
void tool_usage_read(struct tool_usage *usage); /* what the system refuses to tell is 0 */

#endif
