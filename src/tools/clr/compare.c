/*
 * compare.c - the same program on raw memory and on the engine, and on the engine with a limit if one is given, side by side.
 *
 * Each run is a process of its own, forked before anything of the CLR or the engine exists in this one; the memories take
 * turns, so that a slow moment of the machine meets both. A run's output goes to a file in memory and its figures come back
 * through a pipe. Every run must print what the first one printed and exit with 0; then the medians, taken figure by figure,
 * make the table. A run that takes too long is killed, and counts as a failure.
 */
#define _GNU_SOURCE
#include "tools/clr/clr.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { COMPARE_RUNS = 99, COMPARE_SECONDS = 120, COMPARE_WORDS = sizeof(struct clr_figures) / sizeof(uint64_t) };

union compare_figures {
    struct clr_figures figures;
    uint64_t word[COMPARE_WORDS];
};
_Static_assert(sizeof(union compare_figures) == sizeof(struct clr_figures), "every figure has 64 bits");

static int compare_pipe; /* in the child: where its figures go */

/* ---- One run ---------------------------------------------------------------------------------------------------- */

static bool compare_send(const struct clr_options *options, const struct clr_figures *figures) {
    (void)options;
    /* Less than PIPE_BUF, so it is written whole or not at all; a parent that is short of it says so. */
    if (write(compare_pipe, figures, sizeof *figures) != (ssize_t)sizeof *figures) {
        fprintf(stderr, "%s: the figures could not be passed on: %s\n", clr_command.name, strerror(errno));
        return false;
    }
    return true;
}

static void compare_child(const struct clr_options *options, int argc, char **argv, int output, int pipe_end) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGALRM, SIG_DFL); /* as SIGCHLD below */
    alarm(COMPARE_SECONDS);
    compare_pipe = pipe_end;
    if (dup2(output, STDOUT_FILENO) < 0) {
        tool_fail(&clr_command, CLR_EXIT_PROGRAM, "no output for the program: %s", strerror(errno));
    }
    exit(run_program(options, argc, argv, compare_send));
}

/* Runs the program once. True if it exited with 0 and sent its figures; what went wrong is printed. */
static bool compare_once(const struct clr_options *options, int argc, char **argv, int output, struct clr_figures *figures) {
    const char *name = clr_memory_names[options->memory];
    int ends[2];
    int status = 0;
    ssize_t got;
    pid_t child;
    fflush(NULL);
    signal(SIGCHLD, SIG_DFL); /* ignored by whoever started this, it would take the child's status away */
    if (pipe2(ends, O_CLOEXEC) != 0 || (child = fork()) < 0) {
        tool_fail(&clr_command, CLR_EXIT_PROGRAM, "no process for the run: %s", strerror(errno));
    }
    if (child == 0) {
        close(ends[0]);
        compare_child(options, argc, argv, output, ends[1]);
    }
    close(ends[1]);
    got = read(ends[0], figures, sizeof *figures);
    close(ends[0]);
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    if (tool_is_terminal(stderr)) {
        fprintf(stderr, "\r%*s\r", 60, ""); /* which run it was */
    }
    if (WIFSIGNALED(status)) {
        fprintf(stderr, "%s: on %s memory the program was killed by signal %d%s\n", clr_command.name, name, WTERMSIG(status),
                WTERMSIG(status) == SIGALRM ? ", because it took too long" : "");
        return false;
    }
    if (WEXITSTATUS(status) != 0) {
        fprintf(stderr, "%s: on %s memory the program exited with %d\n", clr_command.name, name, WEXITSTATUS(status));
        return false;
    }
    if (got != (ssize_t)sizeof *figures) {
        fprintf(stderr, "%s: on %s memory the program ended without its figures\n", clr_command.name, name);
        return false;
    }
    return true;
}

/* ---- Outputs ---------------------------------------------------------------------------------------------------- */

/* The whole of a file in memory, mapped; *size gets its length. NULL for an empty one. */
static const char *output_text(int output, size_t *size) {
    struct stat status;
    void *text;
    *size = fstat(output, &status) == 0 ? (size_t)status.st_size : 0;
    if (*size == 0) return NULL;
    text = mmap(NULL, *size, PROT_READ, MAP_SHARED, output, 0);
    if (text == MAP_FAILED) tool_fail(&clr_command, CLR_EXIT_PROGRAM, "a program's output cannot be read: %s", strerror(errno));
    return text;
}

static bool output_same(int one, int other) {
    size_t size_one, size_other;
    const char *text_one = output_text(one, &size_one);
    const char *text_other = output_text(other, &size_other);
    bool same = size_one == size_other && (size_one == 0 || memcmp(text_one, text_other, size_one) == 0);
    if (size_one != 0) munmap((void *)(uintptr_t)text_one, size_one);
    if (size_other != 0) munmap((void *)(uintptr_t)text_other, size_other);
    return same;
}

static int output_make(void) {
    int output = memfd_create("output", MFD_CLOEXEC);
    if (output < 0) tool_fail(&clr_command, CLR_EXIT_PROGRAM, "no file in memory: %s", strerror(errno));
    return output;
}

/* ---- Medians and the table -------------------------------------------------------------------------------------- */

static int compare_order(const void *one, const void *other) {
    uint64_t a = *(const uint64_t *)one;
    uint64_t b = *(const uint64_t *)other;
    return (a > b) - (a < b);
}

static void compare_medians(const union compare_figures *runs, size_t count, union compare_figures *medians) {
    uint64_t sorted[COMPARE_RUNS];
    for (size_t word = 0; word < COMPARE_WORDS; word++) {
        for (size_t run = 0; run < count; run++) sorted[run] = runs[run].word[word];
        qsort(sorted, count, sizeof sorted[0], compare_order);
        medians->word[word] = (uint64_t)(TOOL_MEDIAN(sorted, count) + 0.5);
    }
}

static void table_ratio(struct tool_table *table, uint64_t raw, uint64_t engine) {
    if (raw == 0) {
        tool_table_cell(table, "-");
    } else {
        tool_table_cell(table, "%.2f", (double)engine / (double)raw);
    }
}

static void table_calls(struct tool_table *table, const char *name, const struct clr_count *raw, const struct clr_count *engine) {
    tool_table_row(table);
    tool_table_cell(table, "%s", name);
    tool_table_count(table, raw->calls);
    tool_table_count(table, engine->calls);
    tool_table_count(table, raw->failures);
    tool_table_count(table, engine->failures);
    tool_table_count(table, raw->ns / 1000);
    tool_table_count(table, engine->ns / 1000);
    table_ratio(table, raw->ns, engine->ns);
}

static void table_figure(struct tool_table *table, const char *name, uint64_t raw, uint64_t engine, uint64_t unit) {
    tool_table_row(table);
    tool_table_cell(table, "%s", name);
    for (int blank = 0; blank < 4; blank++) tool_table_cell(table, "%s", "");
    tool_table_count(table, raw / unit);
    tool_table_count(table, engine / unit);
    table_ratio(table, raw, engine);
}

static void table_head(struct tool_table *table, uint64_t runs) {
    static const char *const heads[] = {"calls, raw", "engine", "failed, raw", "engine", "us, raw", "engine", "engine/raw"};

    tool_table_row(table);
    tool_table_cell(table, "medians of %u run%s", (unsigned)runs, runs == 1 ? "" : "s");
    for (size_t at = 0; at < sizeof heads / sizeof heads[0]; at++) tool_table_cell(table, "%s", heads[at]);
    tool_table_row(table);
}

static void compare_table(FILE *out, uint64_t runs, const struct clr_figures *raw, const struct clr_figures *engine) {
    static struct tool_table table;
    struct clr_count raw_total, engine_total;
    counts_total(&raw->counts, &raw_total);
    counts_total(&engine->counts, &engine_total);
    table_head(&table, runs);
    for (int kind = 0; kind < CLR_KINDS; kind++) {
        table_calls(&table, counts_name((enum clr_kind)kind), &raw->counts.kind[kind], &engine->counts.kind[kind]);
    }
    table_calls(&table, "all calls", &raw_total, &engine_total);
    tool_table_row(&table);
    table_figure(&table, "wall time, ms", raw->wall_ns, engine->wall_ns, 1000000);
    table_figure(&table, "CPU time, user, ms", raw->usage.user_ns, engine->usage.user_ns, 1000000);
    table_figure(&table, "CPU time, system, ms", raw->usage.system_ns, engine->usage.system_ns, 1000000);
    table_figure(&table, "page faults", raw->usage.faults, engine->usage.faults, 1);
    table_figure(&table, "peak RSS, KiB", raw->usage.peak_rss_bytes, engine->usage.peak_rss_bytes, 1024);
    tool_table_print(&table, out);
}

/* What a limit makes of the same program. */
static void compare_limited_table(FILE *out, const struct clr_options *options, const struct clr_figures *engine,
                                  const struct clr_figures *limited) {
    static struct tool_table table;
    const struct clr_figures *columns[] = {engine, limited};

    tool_table_row(&table);
    tool_table_cell(&table, "a limit on the engine");
    tool_table_cell(&table, "none");
    tool_table_cell(&table, "%u MiB", (unsigned)(options->limit_mib != 0 ? options->limit_mib : options->soft_mib));
    tool_table_row(&table);
    report_limits_rows(&table, columns, 2);
    tool_table_row(&table);
    tool_table_cell(&table, "peak RSS, KiB");
    tool_table_count(&table, engine->usage.peak_rss_bytes / 1024);
    tool_table_count(&table, limited->usage.peak_rss_bytes / 1024);
    tool_table_row(&table);
    tool_table_cell(&table, "wall time, ms");
    tool_table_count(&table, engine->wall_ns / 1000000);
    tool_table_count(&table, limited->wall_ns / 1000000);
    fputc('\n', out);
    tool_table_print(&table, out);
}

/* The last one is there only where there is a limit. */
static int compare_memories(const struct clr_options *options) {
    return options->limit_mib != 0 || options->soft_mib != 0 ? CLR_MEMORIES : CLR_LIMITED;
}

static void compare_json(FILE *out, const struct clr_options *options, const struct clr_figures *medians) {
    struct json json;
    tool_json_begin(&json, out);
    json_count(&json, "runs", options->compare);
    json_bool(&json, "server_gc", options->server_gc);
    json_bool(&json, "concurrent_gc", options->concurrent_gc);
    json_bool(&json, "same_output", true);
    for (int memory = 0; memory < compare_memories(options); memory++) {
        json_object(&json, clr_memory_names[memory]);
        report_json_figures(&json, &medians[memory]);
        json_close(&json);
    }
    json_end(&json);
}

/* ---- The comparison --------------------------------------------------------------------------------------------- */

static union compare_figures compare_runs[CLR_MEMORIES][COMPARE_RUNS];

/* All the runs, in turn; first receives the first one's output. False, with a message, as soon as one fails or differs. */
static bool compare_all(const struct clr_options *options, int argc, char **argv, int first) {
    static const int turns[CLR_MEMORIES] = {CLR_RAW, CLR_ENGINE, CLR_LIMITED};
    size_t memories = (size_t)compare_memories(options);
    for (size_t run = 0; run < options->compare * memories; run++) {
        struct clr_options once = *options;
        int output = run == 0 ? first : output_make();
        bool same;
        once.memory = turns[run % memories];
        if (once.memory != CLR_LIMITED) once.limit_mib = once.soft_mib = 0;
        if (tool_is_terminal(stderr)) { /* somebody waits */
            fprintf(stderr, "run %zu of %zu: %s memory  ", run + 1, (size_t)options->compare * memories,
                    clr_memory_names[once.memory]);
        }
        if (!compare_once(&once, argc, argv, output, &compare_runs[once.memory][run / memories].figures)) return false;
        same = output_same(first, output);
        if (run != 0) close(output);
        if (!same) {
            fprintf(stderr, "%s: run %u, on %s memory, printed something else than the first run\n", clr_command.name,
                    (unsigned)run + 1, clr_memory_names[once.memory]);
            return false;
        }
    }
    return true;
}

/* False, with a message: not all of it was written. */
static bool compare_report(const struct clr_options *options, int first) {
    FILE *out = report_open(options, stdout);
    struct clr_figures medians[CLR_MEMORIES];
    size_t size;
    const char *text = output_text(first, &size);
    bool written;
    if (out == NULL) tool_fail(&clr_command, TOOL_EXIT_UNWRITTEN, "--report: '%s': %s", options->report, strerror(errno));
    for (int memory = 0; memory < compare_memories(options); memory++) {
        union compare_figures median;

        compare_medians(compare_runs[memory], options->compare, &median);
        medians[memory] = median.figures;
    }
    if (options->json) {
        compare_json(out, options, medians);
    } else {
        if (size != 0) fwrite(text, 1, size, stdout);
        printf("\n");
        compare_table(out, options->compare, &medians[CLR_RAW], &medians[CLR_ENGINE]);
        if (compare_memories(options) == CLR_MEMORIES) {
            compare_limited_table(out, options, &medians[CLR_ENGINE], &medians[CLR_LIMITED]);
        }
    }
    written = tool_finish(&clr_command, stdout, NULL);
    return (out == stdout || tool_finish(&clr_command, out, options->report)) && written;
}

int compare_run(const struct clr_options *options, int argc, char **argv) {
    static struct clr_runtime runtime;
    int first;
    tool_within(&clr_command, "compare", options->compare, 1, COMPARE_RUNS);
    runtime_find(&runtime, options->runtime, argv[0]); /* so that bad arguments are told once */
    first = output_make();
    if (!compare_all(options, argc, argv, first)) return TOOL_EXIT_DIFFERENT;
    return compare_report(options, first) ? TOOL_EXIT_OK : TOOL_EXIT_UNWRITTEN;
}
