/*
 * markdown.c - a short table for the README: a handful of rows, the machine, the day. What was not run is left out.
 */
#include "bench/table/markdown.h"

#include <stdio.h>
#include <string.h>

static const char *machine_text(const struct samples *samples, const char *key) {
    for (size_t i = 0; i < samples->count_machine; i++)
        if (strcmp(samples->machine[i][0], key) == 0) return samples->machine[i][1];
    return "unknown";
}

/* The rows that say most, and what the README calls them. */
static const struct {
    const char *section, *work, *text;
} chosen[] = {
    {"Virtual memory on Linux", "64 KiB reserve+commit, release; untouched", "64 KiB reserved, committed, released"},
    {"Virtual memory on Linux", "64 KiB, every page touched", "the same, every page written"},
    {"Virtual memory on Linux", "1 MiB, every page touched", "1 MiB, every page written"},
    {"Virtual memory on Linux", "256 MiB grown by 64 KiB, touched; per MiB", "256 MiB grown by 64 KiB, written; a MiB"},
    {"Sizes and other calls, Linux", "16 MiB touched", "16 MiB, every page written"},
    {"Sizes and other calls, Linux", "query inside a region", "query"},
    {"Virtual memory on Windows (Wine)", "64 KiB reserve+commit, release; untouched",
     "Wine: 64 KiB reserved, committed, released"},
    {"Virtual memory on Windows (Wine)", "64 KiB, every page touched", "Wine: the same, every page written"},
    {"Virtual memory on Windows (Wine)", "query inside a region", "Wine: query"},
    {"IHostMalloc through the vtable (Wine)", "Alloc + Free, 64 B", "Wine: IHostMalloc, a pair of 64 B"},
    {"malloc + free on Linux, one thread", "pair, 64 B", "malloc drop-in, a pair of 64 B"},
    {"malloc + free on Linux, one thread", "1,000 then 1,000 random, 64 B", "malloc drop-in, 1,000 then 1,000 of 64 B"},
    {"Patterns on Linux", "larson, 2 threads", "malloc drop-in, larson, 2 threads"},
    {"A .NET program on a CLR, Linux", "workstation GC: wall time", "a .NET program, wall time"},
    {"A .NET program on a CLR, Linux", "workstation GC: in all memory calls", "a .NET program, time in memory calls"},
};

void markdown_print(const struct samples *samples, const struct row *rows, size_t count) {
    size_t verdicts[VERDICTS] = {0};
    printf("| | hostmem | other | against | times better |\n|---|---:|---:|---|---:|\n");
    for (size_t c = 0; c < sizeof chosen / sizeof *chosen; c++) {
        for (size_t i = 0; i < count; i++) {
            const struct row *row = &rows[i];
            if (row->verdict == VERDICT_NOT_RUN || strcmp(row->section, chosen[c].section) != 0) continue;
            if (strcmp(row->work, chosen[c].work) != 0) continue;
            printf("| %s | %s | %s | %s | %.3g |\n", chosen[c].text, row->ours, row->theirs, row->against, row->ratio);
            break;
        }
    }
    for (size_t i = 0; i < count; i++) verdicts[rows[i].verdict]++;
    printf("\nOn %s, %s processors, %s, on %s; medians of %s rounds. Of the rows that have a bound, %zu reach it and %zu fall "
           "short; of the others the engine is better in %zu, even in %zu and worse in %zu.\n",
           machine_text(samples, "processor"), machine_text(samples, "processors"), machine_text(samples, "distribution"),
           machine_text(samples, "date"), machine_text(samples, "rounds"), verdicts[VERDICT_REACHED], verdicts[VERDICT_SHORT],
           verdicts[VERDICT_BETTER], verdicts[VERDICT_EVEN], verdicts[VERDICT_WORSE]);
}
