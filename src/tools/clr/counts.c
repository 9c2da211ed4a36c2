/*
 * counts.c - counts the calls that reach the memory manager, by kind.
 *
 * Threads count into slots, one cache line apart, and a thread keeps its slot for life. There are more slots than a program
 * usually has threads; two threads that share one lose nothing, since each addition is atomic, only a few nanoseconds. So
 * counting takes no lock, and a thread that the collector holds delays nobody. Each figure is exact; figures read while
 * threads are running need not be of one moment.
 *
 * The time is that of CLOCK_MONOTONIC around the call, read through the vDSO: some 20 ns a reading, the same for every
 * manager, so it drops out of a comparison's difference though not out of its ratio.
 */
#include "tools/clr/clr.h"

#include "base/atom.h"

#include <string.h>

enum { COUNTS_SLOTS = 64 };

static struct counts_slot { struct clr_counts counts; } __attribute__((aligned(64))) counts_slots[COUNTS_SLOTS];
static uint32_t counts_threads;
static __thread struct counts_slot *counts_mine;

void counts_add(enum clr_kind kind, uint64_t started_ns, uint64_t bytes, bool succeeded) {
    uint64_t ns = tool_clock_ns() - started_ns;
    struct clr_count *count;
    if (counts_mine == NULL) counts_mine = &counts_slots[atom_add_acqrel_u32(&counts_threads, 1) % COUNTS_SLOTS];
    count = &counts_mine->counts.kind[kind];
    atom_add_acqrel_u64(&count->calls, 1);
    atom_add_acqrel_u64(&count->ns, ns);
    if (bytes != 0) atom_add_acqrel_u64(&count->bytes, bytes);
    if (!succeeded) atom_add_acqrel_u64(&count->failures, 1);
}

static void counts_sum(struct clr_count *to, const struct clr_count *from) {
    /* rlx: a figure is only a sum; one call more or less changes no decision */
    to->calls += atom_load_rlx_u64(&from->calls);
    to->failures += atom_load_rlx_u64(&from->failures);
    to->bytes += atom_load_rlx_u64(&from->bytes);
    to->ns += atom_load_rlx_u64(&from->ns);
}

void counts_read(struct clr_counts *counts) {
    memset(counts, 0, sizeof *counts);
    for (int slot = 0; slot < COUNTS_SLOTS; slot++) {
        for (int kind = 0; kind < CLR_KINDS; kind++) counts_sum(&counts->kind[kind], &counts_slots[slot].counts.kind[kind]);
    }
}

void counts_total(const struct clr_counts *counts, struct clr_count *total) {
    memset(total, 0, sizeof *total);
    for (int kind = 0; kind < CLR_KINDS; kind++) counts_sum(total, &counts->kind[kind]);
}

const char *counts_name(enum clr_kind kind) {
    static const char *const names[CLR_KINDS] = {
        [CLR_RESERVE] = "reserve",     [CLR_COMMIT] = "commit",     [CLR_RESERVE_COMMIT] = "reserve+commit",
        [CLR_RESET] = "reset",         [CLR_DECOMMIT] = "decommit", [CLR_RELEASE] = "release",
        [CLR_PROTECT] = "protect",     [CLR_QUERY] = "query",       [CLR_HEAP_ALLOC] = "heap alloc",
        [CLR_HEAP_FREE] = "heap free",
    };

    return names[kind];
}
