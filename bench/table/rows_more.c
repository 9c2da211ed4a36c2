/*
 * rows_more.c - the rows that have no bound of their own: they say whether the engine is better, worse or even. Sizes, other
 * operations and their latency, Windows' heaps, resizing and alignment, recorded hosts, a whole host, footprint.
 */
#include "bench/table/rows_inside.h"

#include <stdio.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

static const char *const systems[] = {"linux", "wine"};
static const char *const raw_names[] = {"raw system calls", "Win32 calls"};

static void size_rows(size_t s) {
    static const char *const sections[] = {"Sizes and other calls, Linux", "Sizes and other calls, Wine"};
    static const struct {
        const char *work, *pattern;
    } works[] = {{"256 KiB untouched", "vm/untouched/%s/262144"},
                 {"1 MiB untouched", "vm/untouched/%s/1048576"},
                 {"4 MiB untouched", "vm/untouched/%s/4194304"},
                 {"16 MiB untouched", "vm/untouched/%s/16777216"},
                 {"64 MiB untouched", "vm/untouched/%s/67108864"},
                 {"256 KiB touched", "vm/touched/%s/262144"},
                 {"4 MiB touched", "vm/touched/%s/4194304"},
                 {"16 MiB touched", "vm/touched/%s/16777216"},
                 {"64 MiB touched", "vm/touched/%s/67108864"},
                 {"64 KiB touched, 4 threads", "vm/touched/%s/65536 4"},
                 {"64 KiB touched, 8 threads", "vm/touched/%s/65536 8"},
                 {"64 KiB reserve only", "vm/reserve/%s/65536"},
                 {"1 MiB reserve only", "vm/reserve/%s/1048576"},
                 {"64 MiB reserve only", "vm/reserve/%s/67108864"},
                 {"256 MiB grown by 4 KiB, touched; per MiB", "vm/grow/%s/4096"},
                 {"256 MiB grown by 1 MiB, touched; per MiB", "vm/grow/%s/1048576"},
                 {"1 MiB commit, touch, decommit in place", "vm/recommit/%s/1048576"},
                 {"64 KiB read-only and back", "vm/protect/%s/65536"},
                 {"1 MiB read-only and back", "vm/protect/%s/1048576"}};
    for (size_t i = 0; i < COUNT(works); i++)
        row_vm(sections[s], systems[s], works[i].work, raw_names[s], works[i].pattern, "ns", 0, UNIT_NS);
    if (s == 0) row_vm(sections[s], "linux", "query inside a region", "/proc/self/maps", "vm/query/%s", "ns", 0, UNIT_NS);
}

static void latency_rows(size_t s) {
    static const char *const sections[] = {"Latency by operation, Linux", "Latency by operation, Wine"};
    static const char *const works[] = {"untouched", "touched", "give", "recommit", "decommit"};
    static const char *const names[][2] = {{"p50_ns", "p50"}, {"p99.9_ns", "p99.9"}, {"p99.99_ns", "p99.99"}};
    static const char *const threads[][2] = {{"", "alone"}, {" 4", "4 threads"}};
    char work[72], pattern[64];
    for (size_t w = 0; w < COUNT(works); w++) {
        for (size_t t = 0; t < COUNT(threads); t++) {
            for (size_t n = 0; n < COUNT(names); n++) {
                snprintf(work, sizeof work, "64 KiB %s, %s: %s", works[w], threads[t][1], names[n][1]);
                snprintf(pattern, sizeof pattern, "latency/%s/%%s/65536%s", works[w], threads[t][0]);
                row_vm(sections[s], systems[s], work, raw_names[s], pattern, names[n][0], 0, UNIT_NS);
            }
        }
    }
}

static void malloc_latency_rows(void) {
    static const char *const works[][2] = {{"latency/alloc/libc", "malloc"}, {"latency/free/libc", "free"}};
    static const char *const names[][2] = {{"p50_ns", "p50"}, {"p99_ns", "p99"}, {"p99.9_ns", "p99.9"}, {"p99.99_ns", "p99.99"}};
    char work[72], benchmark[64];
    for (size_t w = 0; w < COUNT(works); w++) {
        for (size_t threads = 1; threads <= 4; threads += 3) {
            for (size_t n = 0; n < COUNT(names); n++) {
                snprintf(work, sizeof work, "%s, %s: %s", works[w][1], threads == 1 ? "alone" : "4 threads", names[n][1]);
                snprintf(benchmark, sizeof benchmark, "%s%s", works[w][0], threads == 1 ? "" : " 4");
                row_peers("Latency of malloc and free on Linux", work, benchmark, names[n][0], 0, UNIT_NS);
            }
        }
    }
}

static void resize_rows(void) {
    static const char *const works[][2] = {{"realloc from 16 B to 4 KiB, a step", "object/grow/libc/4096"},
                                           {"realloc from 16 B to 64 KiB, a step", "object/grow/libc/65536"},
                                           {"realloc from 16 B to 1 MiB, a step", "object/grow/libc/1048576"},
                                           {"realloc from 16 B to 16 MiB, a step", "object/grow/libc/16777216"},
                                           {"aligned to 64 B, pair", "object/aligned/libc/64"},
                                           {"aligned to 4 KiB, pair", "object/aligned/libc/4096"},
                                           {"aligned to 64 KiB, pair", "object/aligned/libc/65536"},
                                           {"larson, 1 thread", "pattern/larson/libc/1"}};
    for (size_t i = 0; i < COUNT(works); i++)
        row_peers("realloc and aligned_alloc on Linux", works[i][0], works[i][1], "ns", 0, UNIT_NS);
}

/* One of the engine's heaps against the best of a system's others; work's "%s" stands for the heap's name. */
static void heap_row(const char *section, const char *system, const char *ours, const char *work, const char *format,
                     const char *name, enum unit unit) {
    static const char *const heaps[][2] = {{"process-heap", "HeapAlloc, process heap"},
                                           {"private-heap", "HeapAlloc, private heap"},
                                           {"msvcrt", "msvcrt malloc"},
                                           {"mimalloc", "mimalloc"},
                                           {"libc", "glibc"}};
    char benchmark[NAME_MOST];
    struct figure best = {0};
    struct row *row = row_new(section, "%s", work);
    const char *at = strstr(format, "%s");
    for (size_t h = 0; h < COUNT(heaps); h++) {
        snprintf(benchmark, sizeof benchmark, "%.*s%s%s", (int)(at - format), format, heaps[h][0], at + 2);
        struct figure each = figure_of(system, "none", benchmark, name);
        if (each.count == 0 && strcmp(system, "linux") == 0) each = figure_of(system, "glibc", benchmark, name);
        if (each.count == 0 || (best.count != 0 && each.median >= best.median)) continue;
        best = each;
        snprintf(row->against, sizeof row->against, "%s", heaps[h][1]);
    }
    snprintf(benchmark, sizeof benchmark, "%.*s%s%s", (int)(at - format), format, ours, at + 2);
    row_judge(row, figure_of(system, "none", benchmark, name), best, 0, unit);
}

static void heap_rows(size_t s) {
    static const char *const sections[][2] = {{"IHostMalloc and glibc, Linux", "IHostMalloc and the best of the heaps, Wine"},
                                              {"HmHeapAlloc and glibc, Linux", "HmHeapAlloc and the best of the heaps, Wine"}};
    static const char *const ours[] = {"engine", "engine-flat"};
    static const char *const works[][3] = {{"pair, 16 B", "object/pair/%s/16", "ns"},
                                           {"pair, 64 B", "object/pair/%s/64", "ns"},
                                           {"pair, 1,024 B", "object/pair/%s/1024", "ns"},
                                           {"pair, 65,536 B", "object/pair/%s/65536", "ns"},
                                           {"1,000 then 1,000 random, 64 B", "object/burst/%s/64", "ns"},
                                           {"1,000 then 1,000 random, 4,096 B", "object/burst/%s/4096", "ns"},
                                           {"random replacement among 10,000", "pattern/replace/%s", "ns"},
                                           {"producer and consumer, 64 B", "pattern/hand-over/%s/64", "ns"},
                                           {"xmalloc, 2 and 2 threads", "pattern/xmalloc/%s/64", "ns"},
                                           {"larson, 2 threads", "pattern/larson/%s/2", "ns"},
                                           {"larson, 8 threads", "pattern/larson/%s/8", "ns"},
                                           {"threads that live 1 ms", "pattern/churn/%s", "ns"},
                                           {"alloc alone: p99.9", "latency/alloc/%s", "p99.9_ns"},
                                           {"alloc, 4 threads: p99.9", "latency/alloc/%s 4", "p99.9_ns"},
                                           {"free, 4 threads: p99.9", "latency/free/%s 4", "p99.9_ns"}};
    for (size_t o = 0; o < COUNT(ours); o++) {
        for (size_t w = 0; w < COUNT(works); w++)
            heap_row(sections[o][s], systems[s], ours[o], works[w][0], works[w][1], works[w][2], UNIT_NS);
    }
}

/* Engine and raw are what the files call the peer. */
static void memory_row(const char *section, const char *system, const char *work, const char *benchmark, const char *name,
                       double scale, enum unit unit) {
    struct row *row = row_new(section, "%s", work);
    struct figure ours = figure_of(system, "engine", benchmark, name), theirs = figure_of(system, "raw", benchmark, name);
    ours.median *= scale;
    theirs.median *= scale;
    snprintf(row->against, sizeof row->against, "raw memory");
    row_judge(row, ours, theirs, 0, unit);
}

/* Of whatever traces were replayed. */
static void replay_rows(size_t s) {
    static const char *const sections[] = {"Recorded hosts, replayed on Linux", "Recorded hosts, replayed under Wine"};
    char work[72];
    for (size_t i = 0; i < rows_samples->count; i++) {
        const struct series *each = &rows_samples->series[i];
        const char *benchmark = each->benchmark, *trace = benchmark + strlen("replay/");
        if (strncmp(benchmark, "replay/", 7) != 0 || strcmp(each->name, "ns") != 0) continue;
        if (strcmp(each->peer, "engine") != 0 || strcmp(each->system, systems[s]) != 0) continue;
        snprintf(work, sizeof work, "%.31s: in all calls", trace);
        memory_row(sections[s], systems[s], work, benchmark, "ns", 1, UNIT_NS);
        snprintf(work, sizeof work, "%.31s: page faults", trace);
        memory_row(sections[s], systems[s], work, benchmark, "faults", 1, UNIT_COUNT);
        snprintf(work, sizeof work, "%.31s: peak resident", trace);
        memory_row(sections[s], systems[s], work, benchmark, "peak_rss_bytes", 1, UNIT_BYTES);
    }
}

static void clr_rows(void) {
    static const char *const kinds[] = {"workstation", "server"};
    char work[72], benchmark[64];
    for (size_t k = 0; k < COUNT(kinds); k++) {
        static const struct {
            const char *work, *name;
            double scale;
            enum unit unit;
        } figures[] = {{"wall time", "wall_ms", 1e6, UNIT_NS},
                       {"in all memory calls", "calls_ns", 1, UNIT_NS},
                       {"processor time, system", "cpu_system_ms", 1e6, UNIT_NS},
                       {"page faults", "page_faults", 1, UNIT_COUNT},
                       {"system calls", "system_calls", 1, UNIT_COUNT},
                       {"peak resident", "peak_rss_bytes", 1, UNIT_BYTES}};
        for (size_t f = 0; f < COUNT(figures); f++) {
            snprintf(work, sizeof work, "%s GC: %s", kinds[k], figures[f].work);
            snprintf(benchmark, sizeof benchmark, "clr/%s", kinds[k]);
            memory_row("A .NET program on a CLR, Linux", "linux", work, benchmark, figures[f].name, figures[f].scale,
                       figures[f].unit);
        }
    }
}

static void footprint_rows(size_t s) {
    static const char *const sections[] = {"Footprint on Linux", "Footprint under Wine"};
    row_vm(sections[s], systems[s], "resident bookkeeping for 1 GiB in 64 KiB pieces", raw_names[s], "footprint/vm/%s",
           "metadata_bytes_per_gib", 0, UNIT_BYTES);
    row_vm(sections[s], systems[s], "mappings that 1 GiB in 64 KiB pieces adds", raw_names[s], "footprint/vm/%s", "mappings", 0,
           UNIT_COUNT);
    heap_row(sections[s], systems[s], "engine", "IHostMalloc: waste for 1 GiB of 64 B blocks", "footprint/blocks/%s/64",
             "waste_bytes_per_gib", UNIT_BYTES);
    heap_row(sections[s], systems[s], "engine", "IHostMalloc: waste for 1 GiB of 1,024 B blocks", "footprint/blocks/%s/1024",
             "waste_bytes_per_gib", UNIT_BYTES);
    if (s != 0) return;
    row_peers(sections[s], "malloc: waste for 1 GiB of 64 B blocks", "footprint/blocks/libc/64", "waste_bytes_per_gib", 0,
              UNIT_BYTES);
    row_peers(sections[s], "malloc: waste for 1 GiB of 1,024 B blocks", "footprint/blocks/libc/1024", "waste_bytes_per_gib", 0,
              UNIT_BYTES);
}

void rows_make_more(void) {
    clr_rows();
    for (size_t s = 0; s < COUNT(systems); s++) replay_rows(s);
    for (size_t s = 0; s < COUNT(systems); s++) size_rows(s);
    for (size_t s = 0; s < COUNT(systems); s++) latency_rows(s);
    resize_rows();
    malloc_latency_rows();
    for (size_t s = 0; s < COUNT(systems); s++) heap_rows(s);
    for (size_t s = 0; s < COUNT(systems); s++) footprint_rows(s);
}
