/*
 * rows.c - makes the rows of the table of figures.
 *
 * A ratio says how many times better the engine is than what it is compared with: theirs divided by ours, both medians over
 * the rounds, where less is better. A row whose runs are not there says so and counts neither way.
 */
#include "bench/table/rows_inside.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const struct samples *rows_samples;
const char *rows_ours;
static struct row *rows;
static size_t count_rows;
static const char *const peers[] = {"glibc", "mimalloc", "jemalloc", "tcmalloc"};
enum { PEERS = sizeof peers / sizeof *peers };

struct figure figure_of(const char *system, const char *peer, const char *benchmark, const char *name) {
    return samples_figure(rows_samples, system, peer, benchmark, name);
}

void rows_value(char *text, size_t size, double value, enum unit unit) {
    if (unit == UNIT_COUNT) snprintf(text, size, "%.4g", value);
    if (unit == UNIT_BYTES && value < 1 << 20) snprintf(text, size, "%.1f KiB", value / 1024);
    if (unit == UNIT_BYTES && value >= 1 << 20) snprintf(text, size, "%.1f MiB", value / (1 << 20));
    if (unit != UNIT_NS) return;
    static const char *const names[] = {"ns", "us", "ms", "s"};
    int scale = 0;
    for (; scale < 3 && value >= 1000; scale++) value /= 1000;
    snprintf(text, size, "%.3g %s", value, names[scale]);
}

struct row *row_new(const char *section, const char *format, ...) {
    static struct row spare;
    struct row *row = count_rows < ROWS_MOST ? &rows[count_rows++] : &spare;
    va_list arguments;
    *row = (struct row){.section = section};
    va_start(arguments, format);
    vsnprintf(row->work, sizeof row->work, format, arguments);
    va_end(arguments);
    return row;
}

static void not_run(struct row *row, const char *why) {
    row->verdict = VERDICT_NOT_RUN;
    snprintf(row->why, sizeof row->why, "%s", why);
}

static void set_ours(struct row *row, struct figure ours, enum unit unit) {
    row->ours_value = ours.median;
    if (ours.spread > row->spread) row->spread = ours.spread;
    rows_value(row->ours, sizeof row->ours, ours.median, unit);
}

static void set_theirs(struct row *row, struct figure theirs, enum unit unit) {
    row->theirs_value = theirs.median;
    if (theirs.spread > row->spread) row->spread = theirs.spread;
    rows_value(row->theirs, sizeof row->theirs, theirs.median, unit);
}

/* Whether a row with no bound is better, worse, or neither: what lies inside the spread, or within 5 %, is no difference. */
static enum verdict verdict_plain(const struct row *row) {
    double noise = 1 + (row->spread > 0.05 ? row->spread : 0.05);
    if (row->ratio > noise) return VERDICT_BETTER;
    return row->ratio < 1 / noise ? VERDICT_WORSE : VERDICT_EVEN;
}

void row_judge(struct row *row, struct figure ours, struct figure theirs, double wanted, enum unit unit) {
    if (wanted != 0) snprintf(row->wanted, sizeof row->wanted, ">= %.4g x", wanted);
    if (ours.count != 0) set_ours(row, ours, unit);
    if (theirs.count != 0) set_theirs(row, theirs, unit);
    if (ours.count == 0 && theirs.count == 0) return not_run(row, "not measured in this run");
    if (ours.count == 0) return not_run(row, "the engine's side has no figure");
    if (theirs.count == 0) return not_run(row, "the other side has no figure");
    if (wanted == 0 && ours.median <= 0) { /* of counts: none at all has no ratio */
        row->verdict = theirs.median > 0 ? VERDICT_BETTER : VERDICT_EVEN;
        return;
    }
    if (ours.median != 0) row->ratio = theirs.median / ours.median;
    if (wanted == 0) row->verdict = verdict_plain(row);
    else row->verdict = row->ratio >= wanted ? VERDICT_REACHED : VERDICT_SHORT;
}

void row_judge_most(struct row *row, struct figure ours, double most, enum unit unit) {
    char bound[20];
    rows_value(bound, sizeof bound, most, unit);
    snprintf(row->wanted, sizeof row->wanted, "<= %.19s", bound);
    if (ours.count == 0) return not_run(row, "not measured in this run");
    set_ours(row, ours, unit);
    row->verdict = ours.median <= most ? VERDICT_REACHED : VERDICT_SHORT;
}

/* ---- Virtual memory --------------------------------------------------------------------------------------------- */

/* %s in a benchmark's name stands for engine and raw. */
void row_vm(const char *section, const char *system, const char *work, const char *against, const char *pattern,
            const char *name, double wanted, enum unit unit) {
    char mine[96], raw[96];
    const char *at = strstr(pattern, "%s");
    snprintf(mine, sizeof mine, "%.*sengine%s", (int)(at - pattern), pattern, at + 2);
    snprintf(raw, sizeof raw, "%.*sraw%s", (int)(at - pattern), pattern, at + 2);
    struct row *row = row_new(section, "%s", work);
    snprintf(row->against, sizeof row->against, "%s", against);
    row_judge(row, figure_of(system, "none", mine, name), figure_of(system, "none", raw, name), wanted, unit);
}

static void vm_rows_linux(void) {
    const char *section = "Virtual memory on Linux";
    row_vm(section, "linux", "64 KiB reserve+commit, release; untouched", "mmap, munmap", "vm/untouched/%s/65536",
            "ns", 6, UNIT_NS);
    row_vm(section, "linux", "64 KiB, every page touched", "mmap, munmap", "vm/touched/%s/65536", "ns", 30, UNIT_NS);
    row_vm(section, "linux", "1 MiB, every page touched", "mmap, munmap", "vm/touched/%s/1048576", "ns", 20, UNIT_NS);
    row_vm(section, "linux", "256 MiB grown by 64 KiB, touched; per MiB", "mprotect", "vm/grow/%s/65536", "ns", 4, UNIT_NS);
    struct row *row = row_new(section, "the same: page faults per MiB");
    snprintf(row->against, sizeof row->against, "mprotect");
    row_judge(row, figure_of("linux", "none", "vm/grow/engine/65536", "faults_per_mib"),
          figure_of("linux", "none", "vm/grow/raw/65536", "faults_per_mib"), 8, UNIT_COUNT);
    row_vm(section, "linux", "grown again, a like one released before", "mprotect", "vm/grow-again/%s/65536", "ns", 4, UNIT_NS);
    row_vm(section, "linux", "64 KiB commit, touch, decommit in place", "mprotect, madvise", "vm/recommit/%s/65536",
            "ns", 4, UNIT_NS);
}

static void vm_rows_wine(void) {
    const char *section = "Virtual memory on Windows (Wine)";
    row_vm(section, "wine", "64 KiB reserve+commit, release; untouched", "VirtualAlloc", "vm/untouched/%s/65536",
            "ns", 9, UNIT_NS);
    row_vm(section, "wine", "64 KiB, every page touched", "VirtualAlloc", "vm/touched/%s/65536", "ns", 40, UNIT_NS);
    row_vm(section, "wine", "1 MiB, every page touched", "VirtualAlloc", "vm/touched/%s/1048576", "ns", 20, UNIT_NS);
    row_vm(section, "wine", "256 MiB grown by 64 KiB, touched; per MiB", "VirtualAlloc(COMMIT)", "vm/grow/%s/65536",
            "ns", 1.5, UNIT_NS);
    row_vm(section, "wine", "grown again, a like one released before", "VirtualAlloc(COMMIT)", "vm/grow-again/%s/65536",
            "ns", 1.5, UNIT_NS);
    row_vm(section, "wine", "64 KiB commit, touch, decommit in place", "VirtualAlloc", "vm/recommit/%s/65536", "ns", 4, UNIT_NS);
    row_vm(section, "wine", "commit of what is committed, 64 KiB", "VirtualAlloc", "vm/commit-committed/%s/65536",
            "ns", 10, UNIT_NS);
    row_vm(section, "wine", "query inside a region", "VirtualQuery", "vm/query/%s", "ns", 10, UNIT_NS);
}

static void latency_row(const char *system, const char *work) {
    char mine[96], raw[96];
    struct row *row = row_new("Latency of a 64 KiB request under 4 threads", "%s, %s: p99.9", system, work);
    snprintf(mine, sizeof mine, "latency/%s/engine/65536 4", work);
    snprintf(raw, sizeof raw, "latency/%s/raw/65536 4", work);
    snprintf(row->against, sizeof row->against, "median of the raw call");
    row_judge(row, figure_of(system, "none", mine, "p99.9_ns"), figure_of(system, "none", raw, "p50_ns"), 1, UNIT_NS);
}

/* What the machine does to code that asks for nothing. */
static void latency_floor(const char *system) {
    struct figure floor = figure_of(system, "none", "latency/nothing/raw/65536 4", "p99.9_ns");
    struct row *row = row_new("Latency of a 64 KiB request under 4 threads", "%s, 0.2 us of doing nothing: p99.9", system);
    if (floor.count == 0) return not_run(row, "not measured in this run");
    snprintf(row->against, sizeof row->against, "the machine alone");
    set_theirs(row, floor, UNIT_NS);
    row->verdict = VERDICT_FIGURE;
    snprintf(row->why, sizeof row->why, "no request's can be better");
}

static struct row *scaling_row(const char *system, const char *what, const char *name, const char *few, const char *many,
                        const char *text, double wanted) {
    char first[96], second[96];
    struct row *row = row_new("Threads: throughput of the engine", "%s, %s: %s", system, what, text);
    snprintf(first, sizeof first, "%s %s", name, few);
    snprintf(second, sizeof second, "%s %s", name, many);
    snprintf(row->against, sizeof row->against, "itself, %s thread%s", few, *few == '1' ? "" : "s");
    row_judge(row, figure_of(system, "none", second, "ns"), figure_of(system, "none", first, "ns"), wanted, UNIT_NS);
    return row;
}

/* What each thread must ask the system for meets the other there, by design: perf/README.md says why. */
static void scaling_figure(const char *system, const char *few, const char *many, const char *text) {
    struct row *row = scaling_row(system, "64 KiB recommitted", "vm/recommit/engine/65536", few, many, text, 0);
    if (row->verdict == VERDICT_NOT_RUN) return;
    row->verdict = VERDICT_FIGURE;
    snprintf(row->why, sizeof row->why, "%s", "the system's calls, not the cache's");
}

static void scaling_rows(const char *system) {
    static const struct {
        const char *what, *name;
    } works[] = {{"64 KiB untouched", "vm/untouched/engine/65536"},
                 {"64 KiB touched", "vm/touched/engine/65536"},
                 {"1 MiB touched", "vm/touched/engine/1048576"}};
    for (size_t i = 0; i < sizeof works / sizeof *works; i++) {
        scaling_row(system, works[i].what, works[i].name, "1", "2", "2 threads", 1.9);
        scaling_row(system, works[i].what, works[i].name, "2", "8", "8 threads", 0.95);
    }
    scaling_figure(system, "1", "2", "2 threads");
    scaling_figure(system, "2", "8", "8 threads");
}

/* ---- Objects ---------------------------------------------------------------------------------------------------- */

static void object_rows(void) {
    static const int sizes[] = {16, 64, 256, 1024, 4096, 16384, 65536};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        char mine[96], raw[96];
        struct row *row = row_new("IHostMalloc through the vtable (Wine)", "Alloc + Free, %d B", sizes[i]);
        snprintf(row->against, sizeof row->against, "HeapAlloc, HeapFree");
        snprintf(mine, sizeof mine, "object/pair/engine/%d", sizes[i]);
        snprintf(raw, sizeof raw, "object/pair/process-heap/%d", sizes[i]);
        row_judge(row, figure_of("wine", "none", mine, "ns"), figure_of("wine", "none", raw, "ns"), 10, UNIT_NS);
    }
}

/* The least of the peers' figures; *which names whose. */
static struct figure best_of_peers(const char *benchmark, const char *name, const char **which) {
    struct figure best = {0};
    *which = "no peer";
    for (size_t i = 0; i < PEERS; i++) {
        struct figure each = figure_of("linux", peers[i], benchmark, name);
        if (each.count == 0 || (best.count != 0 && each.median >= best.median)) continue;
        best = each;
        *which = peers[i];
    }
    return best;
}

static struct figure figure_of_ours(const char *benchmark, const char *name) {
    return figure_of("linux", rows_ours, benchmark, name);
}

struct row *row_peers(const char *section, const char *work, const char *benchmark, const char *name, double wanted,
                            enum unit unit) {
    const char *which;
    struct row *row = row_new(section, "%s", work);
    struct figure best = best_of_peers(benchmark, name, &which);
    snprintf(row->against, sizeof row->against, "%s", which);
    row_judge(row, figure_of_ours(benchmark, name), best, wanted, unit);
    if (row->verdict == VERDICT_NOT_RUN && !samples_have_peer(rows_samples, "linux", rows_ours)) {
        not_run(row, strcmp(rows_ours, "hostmem") == 0 ? "no libhostmem-malloc.so" : "no runs of this peer");
    }
    return row;
}

static void malloc_rows(void) {
    static const int sizes[] = {16, 64, 256, 1024, 4096, 16384, 65536};
    static const char *const works[] = {"pair", "lifo", "fifo", "random"};
    const char *section = "malloc + free on Linux, one thread";
    double logarithms = 0;
    size_t cells = 0, missing = 0;
    for (size_t w = 0; w < sizeof works / sizeof *works; w++) {
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
            char benchmark[96], work[64];
            snprintf(benchmark, sizeof benchmark, "malloc/%s/libc/%d", works[w], sizes[s]);
            snprintf(work, sizeof work, w == 0 ? "%s, %d B" : "1,000 then 1,000 %s, %d B", works[w], sizes[s]);
            struct row *row = row_peers(section, work, benchmark, "ns", 1, UNIT_NS);
            if (row->verdict == VERDICT_NOT_RUN) missing++;
            else logarithms += log(row->ratio), cells++;
        }
    }
    struct row *row = row_new(section, "geometric mean of these cells");
    snprintf(row->against, sizeof row->against, "the best, cell by cell");
    snprintf(row->wanted, sizeof row->wanted, ">= 1.25 x");
    if (cells == 0 || missing != 0) return not_run(row, "cells are missing");
    row->ratio = exp(logarithms / (double)cells);
    row->verdict = row->ratio >= 1.25 ? VERDICT_REACHED : VERDICT_SHORT;
}

static void pattern_rows(void) {
    static const struct {
        const char *work, *benchmark;
    } patterns[] = {{"random replacement among 10,000", "pattern/replace/libc"},
                    {"producer and consumer, 64 B", "pattern/hand-over/libc/64"},
                    {"producer and consumer, 1,024 B", "pattern/hand-over/libc/1024"},
                    {"xmalloc, 2 and 2 threads", "pattern/xmalloc/libc/64"},
                    {"larson, 2 threads", "pattern/larson/libc/2"},
                    {"larson, 8 threads", "pattern/larson/libc/8"},
                    {"threads that live 1 ms", "pattern/churn/libc"}};
    enum { COUNT = sizeof patterns / sizeof *patterns };
    for (size_t i = 0; i < COUNT; i++)
        row_peers("Patterns on Linux", patterns[i].work, patterns[i].benchmark, "ns", 1.2, UNIT_NS);
    for (size_t i = 0; i < COUNT; i++) {
        struct row *row =
            row_peers("Peak resident memory in them", patterns[i].work, patterns[i].benchmark, "peak_rss_bytes", 1 / 1.1,
                     UNIT_BYTES);
        snprintf(row->wanted, sizeof row->wanted, "<= 1.1 times");
    }
    struct row *row = row_new("Peak resident memory in them", "2 s after 256 MiB was freed in random order");
    const char *which;
    struct figure best = best_of_peers("residency/random/libc", "rss_later_bytes", &which);
    snprintf(row->against, sizeof row->against, "%s", which);
    if (best.count != 0) set_theirs(row, best, UNIT_BYTES);
    row_judge_most(row, figure_of_ours("residency/random/libc", "rss_later_bytes"), 16 << 20, UNIT_BYTES);
}

/* ---- Counts ----------------------------------------------------------------------------------------------------- */

static void count_rows_make(void) {
    static const struct {
        const char *work, *benchmark;
        bool preload; /* of the malloc library, or of the program that is linked with the engine */
    } paths[] = {{"malloc + free, 64 B", "malloc/pair/libc/64", true},
                 {"1,000 then 1,000 random, 64 B; per 1,000", "malloc/random/libc/64", true},
                 {"IHostMalloc Alloc + Free, 64 B", "object/pair/engine/64", false},
                 {"64 KiB reserve+commit, release; untouched", "vm/untouched/engine/65536", false},
                 {"64 KiB, every page touched", "vm/touched/engine/65536", false},
                 {"query inside a region", "vm/query/engine", false}};
    const char *section = "Counts per operation, steady state";
    struct row *row = row_peers(section, "instructions, malloc + free, 64 B", "callgrind/malloc/pair/libc/64", "instructions", 0,
                               UNIT_COUNT);
    if (row->verdict != VERDICT_NOT_RUN)
        row_judge_most(row, figure_of_ours("callgrind/malloc/pair/libc/64", "instructions"), 48, UNIT_COUNT);
    snprintf(row->wanted, sizeof row->wanted, "<= 48");
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        static const char *const counts[][2] = {{"locked", "locked instructions"}, {"system_calls", "system calls"}};
        for (size_t c = 0; c < 2; c++) {
            char benchmark[96];
            snprintf(benchmark, sizeof benchmark, "%s/%s", c == 0 ? "step" : "strace", paths[i].benchmark);
            row = row_new(section, "%s, %s", counts[c][1], paths[i].work);
            const char *peer = paths[i].preload ? rows_ours : "none";
            row_judge_most(row, figure_of("linux", peer, benchmark, counts[c][0]), 0.001, UNIT_COUNT);
            snprintf(row->wanted, sizeof row->wanted, "none");
        }
    }
}

size_t rows_make(const struct samples *samples, struct row *into, const char *ours) {
    rows = into;
    count_rows = 0;
    rows_samples = samples;
    rows_ours = ours;
    vm_rows_linux();
    vm_rows_wine();
    latency_row("linux", "untouched");
    latency_row("linux", "touched");
    latency_row("wine", "untouched");
    latency_row("wine", "touched");
    latency_floor("linux");
    latency_floor("wine");
    scaling_rows("linux");
    scaling_rows("wine");
    object_rows();
    malloc_rows();
    pattern_rows();
    count_rows_make();
    rows_make_more();
    return count_rows;
}
