/*
 * run.h - the parts of hostmem-run.
 *
 * main.c reads the command line, whose words words.c gets; program.c finds the program and looks whether it can be served,
 * launch.c starts it and waits, report.c and trace.c write what the shared section holds afterwards.
 */
#ifndef HOSTMEM_RUN_H
#define HOSTMEM_RUN_H

#include "hostmem_win32.h"

#include "hostmem_redirect.h"
#include "tools/common/tool.h"

/* Exit statuses beside those of tool.h, out of the way of most programs' own. */
enum {
    RUN_EXIT_PROGRAM = 120, /* no such program, or the system does not start it */
    RUN_EXIT_NOT_X64 = 121,
    RUN_EXIT_IMPORTS = 122, /* the program has no imports */
    RUN_EXIT_LIBRARY = 123, /* hostmem-redirect.dll is missing or of another version */
    RUN_EXIT_PREPARE = 124  /* the program could not be prepared, or the DLL not begin its work */
};

extern const struct tool_command run_command; /* main.c; gives tool_fail the tool's name */

enum { RUN_WATCH_SERVE, RUN_WATCH_FORWARD, RUN_WATCH_REFUSE };

struct run_options {
    bool report;
    bool off;
    bool heap;
    bool children;
    int write_watch;   /* one of RUN_WATCH_* */
    const char *json;  /* file, or NULL */
    const char *trace; /* file, or NULL */
    uint64_t trace_calls;
};

enum { RUN_PATH = 32768 };

/* words.c: the command line's words, in UTF-8; and a file to write whose name is such a word, which no child inherits. */
char **words_read(int *count);
FILE *words_file(const char *path);

/* program.c: the program's full path, as CreateProcess would find it. Ends the tool if it cannot be served. */
void program_find(const wchar_t *name, wchar_t path[RUN_PATH]);

/* What a program used, as the system tells its launcher. */
struct run_usage {
    uint64_t wall_ns;
    uint64_t user_ns;
    uint64_t system_ns;
    uint64_t faults; /* 0 where the system does not tell */
    uint64_t peak_rss_bytes;
    double ticks_per_ns; /* of the time-stamp counter */
};

/*
 * launch.c: runs `command` (the whole command line of the program at `path`) and returns its exit status. Ends the tool with a
 * message if the program cannot be started with the DLL in front of it.
 */
DWORD launch_run(const struct run_options *options, const wchar_t *path, wchar_t *command, HM_REDIRECT_SHARED **shared,
                 struct run_usage *usage);

/* report.c */
void report_print(FILE *out, const struct run_options *options, const HM_REDIRECT_SHARED *shared, const struct run_usage *usage);
void report_json(FILE *out, const struct run_options *options, const HM_REDIRECT_SHARED *shared, const struct run_usage *usage,
                 const char *program, DWORD status);

/* trace.c: the records as the trace format has them. */
void trace_write(FILE *out, const HM_REDIRECT_SHARED *shared, const struct run_usage *usage, const char *program);

#endif
