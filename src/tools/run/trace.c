/*
 * trace.c - the record of a program's calls, as hostmem-replay reads it: perf/traces/README.md has the format.
 */
#include "tools/run/run.h"

#include <inttypes.h>

/* A pointer that cannot be one, as programs ask about that check theirs: no trace can hold it. (HeapCreate has a size there.) */
static bool is_about_nothing(const HM_REDIRECT_RECORD *record) {
    return record->op != HM_OP_HC && record->result == 0 && record->address >> 48 != 0;
}

void trace_write(FILE *out, const HM_REDIRECT_SHARED *shared, const struct run_usage *usage, const char *program) {
    static const char *const names[HM_OPS] = {
        [HM_OP_VA] = "VA", [HM_OP_VA2] = "VA2", [HM_OP_VAN] = "VAN", [HM_OP_VF] = "VF", [HM_OP_VP] = "VP",
        [HM_OP_VQ] = "VQ", [HM_OP_HC] = "HC",   [HM_OP_HD] = "HD",   [HM_OP_HA] = "HA", [HM_OP_HR] = "HR",
        [HM_OP_HF] = "HF", [HM_OP_MV] = "MV",   [HM_OP_UM] = "UM",   [HM_OP_MOD] = "MOD",
    };
    uint64_t count = shared->cRecorded < shared->cRecords ? shared->cRecorded : shared->cRecords;

    fprintf(out, "# %s\n# t_us tid op addr size type prot ret\n", program);
    for (uint64_t i = 0; i < count; i++) {
        const HM_REDIRECT_RECORD *record = &shared->record[i];
        uint64_t us = (uint64_t)((double)(record->ticks - shared->startTicks) / usage->ticks_per_ns / 1000.0);
        if (record->ticks == 0 || record->op >= HM_OPS) continue; /* taken by a thread that did not live to write it */
        if (is_about_nothing(record)) continue;
        fprintf(out, "%" PRIx64 " %lx %s %llx %llx %lx %lx %llx\n", us, record->thread, names[record->op], record->address,
                record->size, record->type, record->protect, record->result);
    }
    if (shared->cRecorded > count) {
        uint64_t lost = shared->cRecorded - count;
        fprintf(out, "# %" PRIu64 " calls more were not recorded: --trace-calls makes room\n", lost);
        fprintf(stderr, "%s: --trace: no room for %" PRIu64 " of %" PRIu64 " calls; --trace-calls makes room\n", run_command.name,
                lost, (uint64_t)shared->cRecorded);
    }
}
