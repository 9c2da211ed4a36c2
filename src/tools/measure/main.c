/*
 * main.c - hostmem-measure: what the processes of one name cost that a command starts, as the kernel counted it.
 *
 * Programs under Wine are not the children of whoever started them, and Wine tells no page faults. So this process has all that
 * the command starts handed over to it when their parents end (a subreaper), and takes each one's figures as it buries it.
 *
 * What the kernel keeps for each process as its page faults are the pages that came: by a fault, or by a call that asked for
 * them; and a fault that ended in a signal is none. How many were taken, a counter knows that all processes share: from it go
 * the faults of those that are not meant.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/perf_event.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tools/common/tool.h"

enum { EXIT_NOT_STARTED = 127, NAME_BYTES = 16, PATIENCE_MS = 500 };

struct figures {
    uint64_t processes;
    uint64_t user_us;
    uint64_t system_us;
    uint64_t faults;
    uint64_t faults_of_others; /* that are not meant */
    uint64_t peak_rss_kib; /* the largest */
};

static const char *measure_name;
static const char *measure_out;
static bool measure_json;

static const struct tool_option measure_table[] = {
    {"name", TOOL_TEXT, &measure_name, "NAME", "the processes to measure, by name; else all"},
    {"json", TOOL_FLAG, &measure_json, NULL, "print one JSON object instead of the table"},
    {"out", TOOL_TEXT, &measure_out, "FILE", "the figures go to FILE; else to stderr"},
    {NULL, TOOL_FLAG, NULL, NULL, NULL},
};

static const struct tool_command measure_command = {
    .name = "hostmem-measure",
    .operands = "COMMAND [ARGUMENTS]",
    .summary = "Runs a command and prints what the processes of one name that it started have used: time, page faults (pages\n"
               "that came, and how often a process was interrupted for one), the largest memory of any.",
    .options = measure_table,
    .notes = "What a process has waited for counts with it, and not by its own name. Ctrl-C is the command's own.\n"
             "\n"
             "exit status: the command's own, 128 + the signal that ended it; 2 for bad arguments, or if the command's own is 0\n"
             "and the figures cannot be written; 127 for a command that does not start.",
};

static uint64_t time_us(const struct timeval *time) { return (uint64_t)time->tv_sec * 1000000u + (uint64_t)time->tv_usec; }

static uint64_t faults_of(const struct rusage *used) { return (uint64_t)used->ru_minflt + (uint64_t)used->ru_majflt; }

/* Counts the faults that this process takes from now on and all that it starts. file: -1 where the system has no count for us. */
struct counter {
    int file;
    uint64_t own_before;
};

static uint64_t own_faults(void) {
    struct rusage own = {0};
    getrusage(RUSAGE_SELF, &own);
    return faults_of(&own);
}

static struct counter counter_open(void) {
    struct perf_event_attr count = {.type = PERF_TYPE_SOFTWARE, .size = sizeof count, .config = PERF_COUNT_SW_PAGE_FAULTS};
    struct counter counter = {.own_before = own_faults()};
    count.inherit = 1;
    count.exclude_kernel = 1;
    counter.file = (int)syscall(SYS_perf_event_open, &count, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);
    return counter;
}

/* Of the processes that are meant. False: it is not known. */
static bool counter_read(const struct counter *counter, const struct figures *figures, uint64_t *taken) {
    uint64_t others = figures->faults_of_others + own_faults() - counter->own_before;
    if (counter->file < 0 || read(counter->file, taken, sizeof *taken) != sizeof *taken) return false;
    *taken = *taken > others ? *taken - others : 0;
    return true;
}

/* Whether an ended process, not yet buried, bears the name; the kernel keeps 15 letters of it. */
static bool is_wanted(pid_t process) {
    char path[64], name[NAME_BYTES + 1] = "";
    FILE *file;
    if (measure_name == NULL) return true;
    snprintf(path, sizeof path, "/proc/%d/comm", (int)process);
    file = fopen(path, "re");
    if (file != NULL) {
        if (fgets(name, sizeof name, file) == NULL) name[0] = '\0';
        fclose(file);
    }
    name[strcspn(name, "\n")] = '\0';
    return strncmp(name, measure_name, NAME_BYTES - 1) == 0;
}

/* Buries one process. Returns its number, 0 if none has ended (without_waiting), -1 if there is none. */
static pid_t bury(struct figures *figures, bool without_waiting, int *status) {
    siginfo_t ended = {0};
    struct rusage used;
    bool wanted;
    while (waitid(P_ALL, 0, &ended, WEXITED | WNOWAIT | (without_waiting ? WNOHANG : 0)) != 0) {
        if (errno != EINTR) return -1;
    }
    if (ended.si_pid == 0) return 0;
    wanted = is_wanted(ended.si_pid);
    if (wait4(ended.si_pid, status, 0, &used) != ended.si_pid) return ended.si_pid;
    if (!wanted) {
        figures->faults_of_others += faults_of(&used);
    } else {
        figures->processes++;
        figures->user_us += time_us(&used.ru_utime);
        figures->system_us += time_us(&used.ru_stime);
        figures->faults += faults_of(&used);
        if ((uint64_t)used.ru_maxrss > figures->peak_rss_kib) figures->peak_rss_kib = (uint64_t)used.ru_maxrss;
    }
    return ended.si_pid;
}

/* What a terminal's keys send is the command's affair, whose figures are wanted all the more if it ends by that. */
static pid_t start(char **command) {
    void (*interrupt)(int) = signal(SIGINT, SIG_IGN), (*quit)(int) = signal(SIGQUIT, SIG_IGN);
    pid_t process;
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    signal(SIGCHLD, SIG_DFL); /* whoever started this may have ignored it; then nobody could be waited for */
    process = fork();
    if (process == 0) {
        signal(SIGINT, interrupt);
        signal(SIGQUIT, quit);
        execvp(command[0], command);
        fprintf(stderr, "%s: '%s': %s\n", measure_command.name, command[0], strerror(errno));
        _exit(EXIT_NOT_STARTED);
    }
    if (process < 0) tool_fail(&measure_command, EXIT_NOT_STARTED, "%s", strerror(errno));
    return process;
}

/* Runs the command until it ends and the one that is wanted has. Returns how long the command took. */
static uint64_t run(char **command, struct figures *figures, int *status) {
    uint64_t started = tool_clock_ns(), wall_ns;
    pid_t process = start(command), ended;
    int ignored;
    do {
        ended = bury(figures, false, status);
    } while (ended > 0 && ended != process);
    wall_ns = tool_clock_ns() - started;
    /* The one that is wanted may be a grandchild, which is ours a moment after the command has seen its end. */
    for (int waited = 0; figures->processes == 0 && waited < PATIENCE_MS; waited++) {
        while (bury(figures, true, &ignored) > 0) {
        }
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    return wall_ns;
}

/* taken: NULL where it is not known. */
static void print(FILE *out, const struct figures *figures, uint64_t wall_ns, const uint64_t *taken) {
    static struct tool_table table;
    struct json json;
    const struct {
        const char *key, *name;
        const uint64_t *value;
    } rows[] = {
        {"processes", "processes", &figures->processes},
        {"wall_us", "wall time, us", &(uint64_t){wall_ns / 1000}},
        {"user_us", "CPU time, user, us", &figures->user_us},
        {"system_us", "CPU time, system, us", &figures->system_us},
        {"faults", "page faults", &figures->faults},
        {"faults_taken", "page faults taken", taken},
        {"peak_rss_kib", "peak RSS, KiB", &figures->peak_rss_kib},
    };

    if (measure_json) tool_json_begin(&json, out);
    for (size_t row = 0; row < sizeof rows / sizeof rows[0]; row++) {
        if (rows[row].value == NULL) continue;
        if (measure_json) {
            json_count(&json, rows[row].key, *rows[row].value);
        } else {
            tool_table_row(&table);
            tool_table_cell(&table, "%s", rows[row].name);
            tool_table_count(&table, *rows[row].value);
        }
    }
    if (measure_json) {
        json_end(&json);
    } else {
        tool_table_print(&table, out);
    }
}

int main(int argc, char **argv) {
    int first = tool_operands(&measure_command, argc, argv);
    struct figures figures = {0};
    struct counter counter = counter_open();
    int status = 0;
    uint64_t wall_ns, taken;
    FILE *out = measure_out != NULL ? fopen(measure_out, "we") : stderr;
    if (out == NULL) tool_fail(&measure_command, TOOL_EXIT_UNWRITTEN, "--out: '%s': %s", measure_out, strerror(errno));
    wall_ns = run(argv + first, &figures, &status);
    print(out, &figures, wall_ns, counter_read(&counter, &figures, &taken) ? &taken : NULL);
    status = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    if (!tool_finish(&measure_command, out, measure_out) && status == 0) status = TOOL_EXIT_UNWRITTEN;
    return status;
}
