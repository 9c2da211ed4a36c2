/*
 * options.c - the command line of a tool, from a table of options.
 *
 * One table gives both the parsing and the help, so the two cannot disagree. Parsing stops at the first operand: what
 * follows belongs to the tool, or to the program that the tool runs. Called once, from main, before any thread.
 */
#include "tools/common/tool.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#ifndef _WIN32
#include <fcntl.h>
#include <unistd.h>
#endif

enum { OPTIONS_LEFT = 26 }; /* columns of the help's left side */

void tool_fail(const struct tool_command *command, int status, const char *format, ...) {
    va_list arguments;
    fflush(stdout);
    fprintf(stderr, "%s: ", command->name);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(status);
}

/* A left side that is too wide has a line of its own. */
static void options_help_row(const char *left, const char *help) {
    if (strlen(left) > OPTIONS_LEFT) {
        printf("  %s\n  %*s %s\n", left, OPTIONS_LEFT, "", help);
    } else {
        printf("  %-*s %s\n", OPTIONS_LEFT, left, help);
    }
}

static void options_help(const struct tool_command *command) {
    printf("usage: %s [options] %s\n\n%s\n\noptions:\n", command->name, command->operands, command->summary);
    for (const struct tool_option *option = command->options; option->name != NULL; option++) {
        char left[64];
        snprintf(left, sizeof left, "--%s%s%s", option->name, option->argument != NULL ? " " : "",
                 option->argument != NULL ? option->argument : "");
        options_help_row(left, option->help);
    }
    options_help_row("--help, -h", "print this and exit");
    if (command->notes != NULL) printf("\n%s\n", command->notes);
}

/* The index of word in words ("raw" in "engine|raw" is 1), or -1. */
static int options_word(const char *words, const char *word) {
    size_t length = strlen(word);
    for (int index = 0;; index++) {
        size_t span = strcspn(words, "|");
        if (span == length && memcmp(words, word, span) == 0) return index;
        if (words[span] == '\0') return -1;
        words += span + 1;
    }
}

static void options_set(const struct tool_command *command, const struct tool_option *option, const char *text) {
    char *end;
    if (option->kind == TOOL_TEXT) {
        *(const char **)option->value = text;
    } else if (option->kind == TOOL_CHOICE) {
        int index = options_word(option->argument, text);
        if (index < 0) tool_fail(command, TOOL_EXIT_USAGE, "--%s: '%s' is not one of %s", option->name, text, option->argument);
        *(int *)option->value = index;
    } else {
        unsigned long long number;

        errno = 0;
        number = strtoull(text, &end, strncmp(text, "0x", 2) == 0 ? 16 : 10);
        if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0) {
            tool_fail(command, TOOL_EXIT_USAGE, errno == ERANGE ? "--%s: '%s' is too large" : "--%s: '%s' is not a number",
                      option->name, text);
        }
        *(uint64_t *)option->value = number;
    }
}

/* On Linux a file would get the number of a closed stream, and what is meant for the stream; writing to this one fails. */
static void options_streams(void) {
#ifndef _WIN32
    int file;

    do {
        file = open("/dev/null", O_RDONLY | O_CLOEXEC);
    } while (file >= 0 && file <= STDERR_FILENO);
    if (file >= 0) close(file);
#endif
}

int tool_options_parse(const struct tool_command *command, int argc, char **argv) {
    int at = 1;
    options_streams();
    for (; at < argc && argv[at][0] == '-' && argv[at][1] != '\0'; at++) {
        const char *name = argv[at] + (argv[at][1] == '-' ? 2 : 1);
        size_t length = strcspn(name, "=");
        const char *text = name[length] == '=' ? name + length + 1 : NULL;
        const struct tool_option *option = command->options;
        if (strcmp(argv[at], "--") == 0) return at + 1;
        if (strcmp(argv[at], "--help") == 0 || strcmp(argv[at], "-h") == 0) {
            options_help(command);
            exit(tool_finish(command, stdout, NULL) ? TOOL_EXIT_OK : TOOL_EXIT_UNWRITTEN);
        }
        while (option->name != NULL && (strlen(option->name) != length || memcmp(option->name, name, length) != 0)) option++;
        if (option->name == NULL || argv[at][1] != '-') {
            tool_fail(command, TOOL_EXIT_USAGE, "unknown option '%s'; --help lists them", argv[at]);
        }
        if (option->kind == TOOL_FLAG) {
            if (text != NULL) tool_fail(command, TOOL_EXIT_USAGE, "--%s takes no value", option->name);
            *(bool *)option->value = true;
            continue;
        }
        if (text == NULL && ++at < argc) text = argv[at];
        if (text == NULL) tool_fail(command, TOOL_EXIT_USAGE, "--%s needs a value (%s)", option->name, option->argument);
        options_set(command, option, text);
    }
    return at;
}

int tool_operands(const struct tool_command *command, int argc, char **argv) {
    int first = tool_options_parse(command, argc, argv);
    if (first >= argc) {
        tool_fail(command, TOOL_EXIT_USAGE, "%.*s is missing; --help says more", (int)strcspn(command->operands, " "),
                  command->operands);
    }
    return first;
}

int tool_one_operand(const struct tool_command *command, int argc, char **argv) {
    int first = tool_operands(command, argc, argv);
    int rest = first + tool_options_parse(command, argc - first, argv + first);
    if (rest < argc) tool_fail(command, TOOL_EXIT_USAGE, "one %s only; '%s' is too many", command->operands, argv[rest]);
    return first;
}

void tool_within(const struct tool_command *command, const char *option, uint64_t value, uint64_t least, uint64_t most) {
    if (value < least || value > most) {
        tool_fail(command, TOOL_EXIT_USAGE, "--%s: %" PRIu64 " is out of bounds (%" PRIu64 " to %" PRIu64 ")", option, value,
                  least, most);
    }
}
