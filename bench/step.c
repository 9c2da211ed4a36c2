/*
 * step.c - single-steps a benchmark in a child process and looks at each instruction.
 *
 * The child stops itself where the benchmark's timed part begins and ends; what lies between is stepped. It does so for two
 * numbers of turns, and the difference is the answer: the cost of stopping, of first use and of the loop's frame falls out.
 * A repeated string instruction traps once for each repetition without moving the instruction pointer: it counts once.
 */
#ifndef _WIN32
#define _GNU_SOURCE
#include "bench/step.h"
#include "bench/bench.h"

#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* How often before: what came first may have mixed sizes, and a cache takes some thousand frees to go back to pairs. */
enum { SECONDS_MOST = 50, WARM = 500 };

struct tally {
    uint64_t instructions, locked, system_calls;
};

static void stop_self(void) { raise(SIGSTOP); }

/* The first bytes of an instruction: legacy and REX prefixes first, then the opcode. */
static void tally_instruction(struct tally *tally, uint64_t bytes) {
    bool lock = false;
    unsigned char code[sizeof bytes];
    size_t at = 0;
    memcpy(code, &bytes, sizeof code);
    while (at < 4 && (code[at] == 0xF0 || code[at] == 0xF2 || code[at] == 0xF3 || code[at] == 0x66 || code[at] == 0x64 ||
                      code[at] == 0x65 || code[at] == 0x2E || code[at] == 0x3E)) {
        lock |= code[at] == 0xF0;
        at++;
    }
    if ((code[at] & 0xF0) == 0x40) at++;
    bool exchange = (code[at] == 0x86 || code[at] == 0x87) && code[at + 1] < 0xC0; /* xchg with memory */
    tally->instructions++;
    tally->locked += lock || exchange;
    tally->system_calls += code[at] == 0x0F && code[at + 1] == 0x05;
}

/* Waits for the child's own stop. Signals of other kinds are passed on. */
static bool await_stop(pid_t child) {
    int status;
    while (waitpid(child, &status, 0) == child && WIFSTOPPED(status)) {
        if (WSTOPSIG(status) == SIGSTOP) return true;
        if (ptrace(PTRACE_CONT, child, NULL, (void *)(intptr_t)WSTOPSIG(status)) != 0) return false;
    }
    return false;
}

/* Steps from the first stop to the second. */
static bool step_through(pid_t child, struct tally *tally) {
    uint64_t last = 0;
    const time_t end = time(NULL) + SECONDS_MOST;
    while (time(NULL) <= end) {
        int status;
        errno = 0;
        uint64_t here = (uint64_t)ptrace(PTRACE_PEEKUSER, child, (void *)offsetof(struct user_regs_struct, rip), NULL);
        if (errno != 0) return false;
        if (here != last) {
            uint64_t bytes = (uint64_t)ptrace(PTRACE_PEEKTEXT, child, (void *)(uintptr_t)here, NULL);
            if (errno != 0) return false;
            tally_instruction(tally, bytes);
        }
        last = here;
        if (ptrace(PTRACE_SINGLESTEP, child, NULL, NULL) != 0) return false;
        if (waitpid(child, &status, 0) != child || !WIFSTOPPED(status)) return false;
        if (WSTOPSIG(status) == SIGSTOP) return true;
        if (WSTOPSIG(status) != SIGTRAP) return false;
    }
    fprintf(stderr, "hostmem-bench: gave up after %d seconds of stepping; ask for fewer turns\n", SECONDS_MOST);
    return false;
}

/* This process and its child to one processor: they take turns, and waking one on another processor is what costs most. */
static void share_processor(void) {
    cpu_set_t one;
    int here = sched_getcpu();
    CPU_ZERO(&one);
    CPU_SET(here >= 0 ? here : 0, &one);
    sched_setaffinity(0, sizeof one, &one); /* only for speed: a refusal does no harm */
}

static bool count_run(const struct bench *bench, uint64_t turns, struct tally *tally) {
    *tally = (struct tally){0};
    fflush(NULL);
    pid_t child = fork();
    if (child < 0) return false;
    if (child == 0) {
        bool warm = bench_once(bench, WARM * turns); /* not stepped: caches grow to their size */
        bench_once_mark = stop_self;
        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0) _exit(1);
        _exit(warm && bench_once(bench, turns) ? 0 : 1);
    }
    bool stepped = await_stop(child) && step_through(child, tally);
    kill(child, SIGKILL);
    while (waitpid(child, NULL, 0) < 0 && errno == EINTR) {
        /* a signal came between */
    }
    return stepped;
}

/* What comes now and then may have come in the shorter run alone: then it is less than nothing. */
static double per_turn(uint64_t once, uint64_t twice, uint64_t turns) { return ((double)twice - (double)once) / (double)turns; }

bool step_count(const char *name, uint64_t turns, struct step_counts *counts) {
    const struct bench *bench = bench_find(name);
    struct tally once, twice;
    if (bench == NULL) {
        fprintf(stderr, "hostmem-bench: no benchmark is called '%s'; --benchmark_list_tests names them\n", name);
        return false;
    }
    share_processor();
    if (!count_run(bench, turns, &once) || !count_run(bench, 2 * turns, &twice)) {
        fprintf(stderr, "hostmem-bench: '%s' cannot be stepped through\n", name);
        return false;
    }
    counts->instructions = per_turn(once.instructions, twice.instructions, turns);
    counts->locked = per_turn(once.locked, twice.locked, turns);
    counts->system_calls = per_turn(once.system_calls, twice.system_calls, turns);
    return true;
}
#endif
