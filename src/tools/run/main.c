/*
 * main.c - hostmem-run: runs an existing Windows program whose virtual memory comes from the engine.
 *
 * The program's own command line is passed on letter for letter: it is what stands behind this tool's options in the
 * command line as Windows has it, since taking it apart and putting it together again would change it.
 */
#include "tools/run/run.h"

#include <stdlib.h>
#include <string.h>

static struct run_options main_options = {.trace_calls = 2000000};

static const struct tool_option main_table[] = {
    {"report", TOOL_FLAG, &main_options.report, NULL, "at the end, a table of the calls on stderr"},
    {"json", TOOL_TEXT, &main_options.json, "FILE", "the same as a JSON object in FILE"},
    {"heap", TOOL_FLAG, &main_options.heap, NULL, "serves heap calls too, as HOSTMEM_HEAP=1 does"},
    {"children", TOOL_FLAG, &main_options.children, NULL, "serves the programs that the program starts as well"},
    {"write-watch", TOOL_CHOICE, &main_options.write_watch, "serve|forward|refuse",
     "MEM_WRITE_WATCH: served where that is possible (default), passed to the system, or refused"},
    {"off", TOOL_FLAG, &main_options.off, NULL, "the hooks are in place, but pass everything on to the system"},
    {"trace", TOOL_TEXT, &main_options.trace, "FILE", "records the calls in FILE, for hostmem-replay"},
    {"trace-calls", TOOL_COUNT, &main_options.trace_calls, "N", "room for N calls in the record, 1 to 1000000000 (2000000)"},
    {NULL, TOOL_FLAG, NULL, NULL, NULL},
};

const struct tool_command run_command = {
    .name = "hostmem-run",
    .operands = "PROGRAM [ARGUMENTS]",
    .summary = "Runs a 64-bit Windows program with VirtualAlloc, VirtualFree, VirtualProtect, VirtualQuery and their kin\n"
               "answered by hostmem. hostmem-redirect.dll must lie beside hostmem-run.exe. Standard streams, working directory,\n"
               "environment and Ctrl-C are the program's own.",
    .options = main_table,
    .notes = "environment: HOSTMEM_HEAP=1 serves heap calls too; HOSTMEM_THREAD_CACHE and HOSTMEM_MAX_ADDRESS_SPACE as for the\n"
             "library.\n"
             "\n"
             "MEM_WRITE_WATCH can be served under Wine where Linux, 6.7 or later, tells what was written; elsewhere it is\n"
             "passed to the system as well. Refused is for programs that can do without it, as the CLR's collector can.\n"
             "\n"
             "exit status: the program's own; of hostmem-run itself 2 for bad arguments or a file that cannot be written (where\n"
             "only its end shows that, the program's own unless that is 0), 120 for a program that is missing or does not\n"
             "start, 121 for one that is not for 64-bit x86 (a 32-bit program), 122 for one that imports nothing, 123 for a\n"
             "hostmem-redirect.dll that is missing or of another version, 124 for a program in which the DLL could not begin\n"
             "its work.",
};

/* Behind `count` words of a command line, by the rules that Windows programs take theirs apart with. */
static wchar_t *command_behind(wchar_t *command, int count) {
    for (int word = 0; word < count; word++) {
        bool quoted = false;
        unsigned slashes = 0;
        for (; *command != L'\0' && (quoted || (*command != L' ' && *command != L'\t')); command++) {
            /* In the program's own name a backslash is only a letter. */
            if (*command == L'"' && (word == 0 || slashes % 2 == 0)) quoted = !quoted;
            slashes = *command == L'\\' ? slashes + 1 : 0;
        }
        while (*command == L' ' || *command == L'\t') command++;
    }
    return command;
}

/* The first word of a command line, without its quotes. */
static void command_program(const wchar_t *command, wchar_t name[RUN_PATH]) {
    bool quoted = false;
    size_t length = 0;
    for (; *command != L'\0' && (quoted || (*command != L' ' && *command != L'\t')) && length + 1 < RUN_PATH; command++) {
        if (*command == L'"') {
            quoted = !quoted;
        } else {
            name[length++] = *command;
        }
    }
    name[length] = L'\0';
}

/* Files are opened before the program starts, so that a bad name costs nothing. */
static FILE *file_open(const char *option, const char *path) {
    FILE *file = path != NULL ? words_file(path) : NULL;
    if (path != NULL && file == NULL) tool_fail(&run_command, TOOL_EXIT_USAGE, "--%s: '%s' cannot be written", option, path);
    return file;
}

/* What is asked for about a program that has ended. False: not all of it was written. */
static bool outputs_write(const HM_REDIRECT_SHARED *shared, const struct run_usage *usage, const char *program, DWORD status,
                          FILE *json, FILE *trace) {
    bool written = true;

    if (main_options.report) {
        report_print(stderr, &main_options, shared, usage);
        written &= tool_finish(&run_command, stderr, NULL);
    }
    if (json != NULL) {
        report_json(json, &main_options, shared, usage, program, status);
        written &= tool_finish(&run_command, json, main_options.json);
    }
    if (trace != NULL) {
        trace_write(trace, shared, usage, program);
        written &= tool_finish(&run_command, trace, main_options.trace);
    }
    return written;
}

int main(void) {
    static wchar_t name[RUN_PATH], path[RUN_PATH];
    int argc;
    char **argv = words_read(&argc);
    int first = tool_operands(&run_command, argc, argv);
    HM_REDIRECT_SHARED *shared;
    struct run_usage usage;
    wchar_t *command;
    FILE *json, *trace;
    DWORD status;
    tool_within(&run_command, "trace-calls", main_options.trace_calls, 1, 1000000000);
    command = command_behind(GetCommandLineW(), first);
    command_program(command, name);
    program_find(name, path);
    json = file_open("json", main_options.json);
    trace = file_open("trace", main_options.trace);
    status = launch_run(&main_options, path, command, &shared, &usage);
    if (!outputs_write(shared, &usage, argv[first], status, json, trace) && status == 0) status = TOOL_EXIT_UNWRITTEN;
    fflush(NULL);
    ExitProcess(status); /* all 32 bits of it */
}
