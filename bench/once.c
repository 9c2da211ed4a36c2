/*
 * once.c - the command lines of hostmem-bench that are not Google Benchmark's: one benchmark, a given number of turns, for
 * tools that count instead of measuring time (callgrind, strace, perf), and the stepper.
 */
#include "bench/bench.h"
#include "bench/suite.h"
#include "bench/system.h"
#include "tools/common/tool.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void bench_register_all(void) {
    bench_register_vm();
    bench_register_latency();
    bench_register_objects();
    bench_register_malloc();
    bench_register_patterns();
    bench_register_residency();
    bench_register_footprint();
    /* Allocators that are wrong on purpose, by which the harness is tested. */
    if (getenv("HOSTMEM_BENCH_SELF_TEST") != NULL) bench_register_self();
}

static const char help[] =
    "usage: hostmem-bench [--benchmark_filter=REGEX] [--benchmark_list_tests] [Google Benchmark's other flags]\n"
    "       hostmem-bench --once NAME TURNS    runs one benchmark on one thread, untimed, for tools that count\n"
    "       hostmem-bench --step NAME TURNS    counts its instructions, locked instructions and system calls a turn, as JSON\n"
    "       hostmem-bench --faults NAME TURNS  counts its page faults a turn, as JSON\n"
    "       hostmem-bench --library            prints which file serves malloc\n"
    "Times hostmem and the system's own calls. NAME is a name from --benchmark_list_tests without what follows its numbers.\n";

static bool parse_turns(const char *text, uint64_t *turns) {
    char *end;
    *turns = strtoull(text, &end, 10);
    return *text >= '0' && *text <= '9' && *end == '\0' && *turns > 0 && *turns <= UINT64_C(1000000000000);
}

static uint64_t faults_of(const struct bench *bench, uint64_t turns, bool *good) {
    struct tool_usage before, after;
    tool_usage_read(&before);
    *good &= bench_once(bench, turns);
    tool_usage_read(&after);
    return after.faults - before.faults;
}

/* What a turn costs is the difference between two numbers of turns, after a first run: set-up and first use fall out. */
static bool count_faults(const struct bench *bench, const char *name, uint64_t turns) {
    bool good = true;
    faults_of(bench, turns, &good);
    double few = (double)faults_of(bench, turns, &good), many = (double)faults_of(bench, 3 * turns, &good);
    if (!good) return false;
    printf("{\n  \"malloc_served_by\": \"%s\",\n  \"benchmarks\": [{\n", system_library_of_malloc());
    printf("    \"run_name\": \"faults/%s\",\n    \"faults\": %.4f\n  }]\n}\n", name, (many - few) / 2 / (double)turns);
    return true;
}

static int count_command(const char *command, const char *name, const char *text) {
    const struct bench *bench = bench_find(name);
    uint64_t turns;
    if (bench == NULL) {
        fprintf(stderr, "hostmem-bench: no benchmark is called '%s'; --benchmark_list_tests names them\n", name);
        return 2;
    }
    if (!parse_turns(text, &turns)) {
        fprintf(stderr, "hostmem-bench: '%s' is not a number of turns\n", text);
        return 2;
    }
    if (strcmp(command, "--faults") == 0) return count_faults(bench, name, turns) ? 0 : 1;
    if (strcmp(command, "--step") == 0) return system_step(name, turns) ? 0 : 1;
    return bench_once(bench, turns) ? 0 : 1;
}

bool bench_other_command(int argc, char **argv, int *status) {
    if (argc < 2) return false;
    const char *command = argv[1];
    *status = 0;
    if (strcmp(command, "--once") == 0 || strcmp(command, "--step") == 0 || strcmp(command, "--faults") == 0) {
        if (argc == 4) {
            *status = count_command(command, argv[2], argv[3]);
            return true;
        }
        fprintf(stderr, "hostmem-bench: %s needs a benchmark's name and a number of turns\n", command);
        *status = 2;
        return true;
    }
    if (strcmp(command, "--library") == 0) {
        puts(system_library_of_malloc());
        return true;
    }
    if (strcmp(command, "--help") == 0) {
        fputs(help, stdout);
        fputs("\nGoogle Benchmark's flags:\n\n", stdout);
        fflush(stdout);
    }
    return false;
}
