/*
 * vm.c - virtual memory: taking and giving back, growing a reservation, committing and decommitting inside one, asking.
 *
 * Every row runs on the engine and on the system's raw calls by the same code; "touched" writes one byte into every page.
 */
#include "bench/bench.h"
#include "bench/suite.h"
#include "bench/system.h"
#include "hostmem.h"
#include "tools/common/tool.h"

#include <stdio.h>

enum { PAGE = 4096, GRANULE = 64 << 10, MIB = 1 << 20, GROWN = 256 * MIB, SIZE_MOST = 64 * MIB };

static void *engine_take(size_t size) { return HmVirtualAlloc(NULL, size, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE); }

static void *engine_reserve(size_t size) { return HmVirtualAlloc(NULL, size, MEM_RESERVE, PAGE_READWRITE); }

static bool engine_give(void *start, size_t size) {
    (void)size;
    return HmVirtualFree(start, 0, MEM_RELEASE);
}

static bool engine_commit(void *start, size_t size) { return HmVirtualAlloc(start, size, MEM_COMMIT, PAGE_READWRITE) != NULL; }

static bool engine_decommit(void *start, size_t size) { return HmVirtualFree(start, size, MEM_DECOMMIT); }

static size_t engine_query(void *address) {
    MEMORY_BASIC_INFORMATION found;
    return HmVirtualQuery(address, &found, sizeof found) != 0 ? found.RegionSize : 0;
}

static bool engine_protect(void *start, size_t size, bool writable) {
    DWORD old;
    return HmVirtualProtect(start, size, writable ? PAGE_READWRITE : PAGE_READONLY, &old);
}

const struct bench_vm bench_vm_engine = {
    .name = "engine",
    .take = engine_take,
    .reserve = engine_reserve,
    .give = engine_give,
    .commit = engine_commit,
    .decommit = engine_decommit,
    .protect = engine_protect,
    .query = engine_query,
};

static inline void touch(char *start, size_t size) {
    for (size_t at = 0; at < size; at += PAGE) ((volatile char *)start)[at] = 1;
}

enum mode { RESERVED, UNTOUCHED, TOUCHED };

static inline bool take_give_once(const struct bench_vm *vm, size_t size, enum mode mode) {
    char *got = mode == RESERVED ? vm->reserve(size) : vm->take(size);
    if (mode == TOUCHED && got != NULL) touch(got, size);
    return got != NULL && vm->give(got, size);
}

/*
 * Taken and given back: address space only, committed, or committed and written. One turn comes before: a long row has few, and
 * the first to touch memory that a virtual machine's host has taken back pays for fetching it, whoever that is.
 */
static void take_give(struct bench_state *state) {
    const struct bench_vm *vm = state->context;
    size_t size = (size_t)state->argument[0];
    enum mode mode = (enum mode)state->argument[1];
    bool good = take_give_once(vm, size, mode);
    BENCH_LOOP(state) good &= take_give_once(vm, size, mode);
    if (!good) bench_fail(state, "memory was refused");
    bench_items(state, 1);
}

/* One turn: a reservation of 256 MiB that is grown to its end. Reserving and releasing are not timed. */
static void grow_after(struct bench_state *state, int untimed) {
    const struct bench_vm *vm = state->context;
    size_t step = (size_t)state->argument[0];
    struct tool_usage before, after;
    uint64_t faults = 0;
    bool good = true;
    BENCH_LOOP(state) {
        bench_pause(state);
        for (int turn = 0; turn <= untimed; turn++) {
            bool timed = turn == untimed;
            char *base = vm->reserve(GROWN);
            tool_usage_read(&before);
            if (timed) bench_resume(state);
            for (size_t at = 0; base != NULL && at < GROWN; at += step) {
                good &= vm->commit(base + at, step);
                if (good) touch(base + at, step);
            }
            if (timed) bench_pause(state);
            tool_usage_read(&after);
            good &= base != NULL && vm->give(base, GROWN);
        }
        faults += after.faults - before.faults;
        bench_resume(state);
    }
    if (!good) bench_fail(state, "memory was refused");
    bench_items(state, (double)GROWN / MIB);
    bench_count(state, "faults_per_mib", (double)faults / ((double)GROWN / MIB), BENCH_PER_TURN);
}

static void grow(struct bench_state *state) { grow_after(state, 0); }

/* The same, of a reservation like one that was released a moment ago. */
static void grow_again(struct bench_state *state) { grow_after(state, 1); }

/* The same 64 KiB in the middle of a reservation whose other parts stay as they are. */
static void recommit(struct bench_state *state) {
    const struct bench_vm *vm = state->context;
    size_t size = (size_t)state->argument[0];
    char *base = vm->reserve(64 * size);
    char *here = base + 32 * size;
    bool good = base != NULL && vm->commit(base, size);
    if (!good) bench_fail(state, "memory was refused");
    BENCH_LOOP(state) {
        good &= vm->commit(here, size);
        if (good) touch(here, size);
        good &= vm->decommit(here, size);
    }
    if (!good) bench_fail(state, "memory was refused");
    if (base != NULL) vm->give(base, 64 * size);
    bench_items(state, 1);
}

static void commit_committed(struct bench_state *state) {
    const struct bench_vm *vm = state->context;
    size_t size = (size_t)state->argument[0];
    char *base = vm->reserve(64 * size);
    bool good = base != NULL && vm->commit(base, 64 * size);
    if (!good) bench_fail(state, "memory was refused");
    BENCH_LOOP(state) good &= vm->commit(base + 32 * size, size);
    if (!good) bench_fail(state, "memory was refused");
    if (base != NULL) vm->give(base, 64 * size);
    bench_items(state, 1);
}

/* Read-only and back, of pages that were written; a turn is both calls and a write after. */
static void protect(struct bench_state *state) {
    const struct bench_vm *vm = state->context;
    size_t size = (size_t)state->argument[0];
    char *base = vm->reserve(64 * size);
    char *here = base + 32 * size;
    bool good = base != NULL && vm->commit(here, size);
    if (good) touch(here, size);
    else bench_fail(state, "memory was refused");
    BENCH_LOOP(state) {
        good &= vm->protect(here, size, false) && vm->protect(here, size, true);
        if (good) *(volatile char *)here = 1;
    }
    if (!good) bench_fail(state, "a protection was refused");
    if (base != NULL) vm->give(base, 64 * size);
    bench_items(state, 1);
}

static void query(struct bench_state *state) {
    const struct bench_vm *vm = state->context;
    char *base = vm->reserve(64 * GRANULE);
    bool good = base != NULL && vm->commit(base + 16 * GRANULE, GRANULE);
    if (!good) bench_fail(state, "memory was refused");
    BENCH_LOOP(state) good &= vm->query(base + 16 * GRANULE) == GRANULE;
    if (!good) bench_fail(state, "the query's answer was wrong");
    if (base != NULL) vm->give(base, 64 * GRANULE);
    bench_items(state, 1);
}

static void add(const char *work, const struct bench_vm *vm, bench_function *run, int64_t size, int64_t mode, int threads,
                uint64_t turns) {
    char name[64];
    snprintf(name, sizeof name, "vm/%s/%s", work, vm->name);
    bench_register(&(struct bench){.name = name,
                                   .run = run,
                                   .context = vm,
                                   .argument = {size, mode},
                                   .count_arguments = size != 0,
                                   .threads = threads,
                                   .turns = turns});
}

/* Engine and raw next to each other, so that they meet the same weather. */
static void add_both(const char *work, bench_function *run, int64_t size, int threads, uint64_t turns) {
    add(work, &bench_vm_engine, run, size, 0, threads, turns);
    add(work, &bench_vm_raw, run, size, 0, threads, turns);
}

static void add_taken(enum mode mode, int64_t size, int threads) {
    static const char *const works[] = {[RESERVED] = "reserve", [UNTOUCHED] = "untouched", [TOUCHED] = "touched"};
    add(works[mode], &bench_vm_engine, take_give, size, mode, threads, 0);
    add(works[mode], &bench_vm_raw, take_give, size, mode, threads, 0);
}

void bench_register_vm(void) {
    static const int thread_counts[] = {1, 2, 4, 8};
    enum { COUNTS = sizeof thread_counts / sizeof *thread_counts };
    /* Before all others: what a cache hands out has a past, and pages that were written once are looked at more slowly. */
    for (size_t t = 0; t < COUNTS; t++) add_taken(UNTOUCHED, GRANULE, thread_counts[t]);
    for (int64_t size = 4 * GRANULE; size <= SIZE_MOST; size *= 4) add_taken(UNTOUCHED, size, 1);
    for (size_t t = 0; t < COUNTS; t++) {
        add_taken(TOUCHED, GRANULE, thread_counts[t]);
        add_taken(TOUCHED, MIB, thread_counts[t]);
        add_both("recommit", recommit, GRANULE, thread_counts[t], 0);
    }
    for (int64_t size = 4 * GRANULE; size <= SIZE_MOST; size *= 4) {
        if (size != MIB) add_taken(TOUCHED, size, 1);
    }
    add_taken(RESERVED, GRANULE, 1);
    add_taken(RESERVED, MIB, 1);
    add_taken(RESERVED, SIZE_MOST, 1);
    add_both("grow", grow, GRANULE, 1, 1);
    add_both("grow-again", grow_again, GRANULE, 1, 1);
    add_both("grow", grow, PAGE, 1, 1);
    add_both("grow", grow, MIB, 1, 1);
    add_both("recommit", recommit, MIB, 1, 0);
    add_both("commit-committed", commit_committed, GRANULE, 1, 0);
    add_both("protect", protect, GRANULE, 1, 0);
    add_both("protect", protect, MIB, 1, 0);
    add_both("query", query, 0, 1, 0);
}
