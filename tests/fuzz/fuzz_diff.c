/*
 * fuzz_diff.c - random virtual-memory calls, each made twice in one process: on the system's own Win32 and on the engine.
 * Success, last error, addresses, queries, faults and contents must be the same. Exit status 1 at the first difference.
 *
 * The system is Wine 8 in this project's tests, and where Wine is known not to do what Win32 does, its answer is corrected
 * first (wine_correct), or the call is not made there and the reference model's answer stands in (wine_misjudges). All
 * of it is listed here; nothing else is excused:
 *
 *  Corrected
 *   1. Freeing where nothing is allocated, and protecting a range that is not inside one allocation, is error 487; Wine says 87.
 *      Outside its regions the engine hands such a VirtualProtect on to the system.
 *   2. A query of reserved pages answers one run, whatever the pages were before; Wine splits it at old bounds.
 *   3. A page that was decommitted with its guard armed keeps the guard in Wine: the first touch is reported as a hit
 *      guard and not as a fault. The engine stands on the same system, so its answer is corrected likewise.
 *  Not made
 *   4. Protections that Win32 refuses and Wine takes (unknown bits, modifiers of PAGE_NOACCESS), or for which it looks at the
 *      range first (VirtualProtect); flags that Wine takes together with MEM_RESET; MEM_RESET with a bad protection, or of a
 *      range that begins or ends within a page, all of which Wine resets.
 *   5. VirtualProtect and VirtualFree with sizes that wrap, and VirtualProtect with size 0: Wine may succeed, and change pages.
 *  Not generated
 *   6. PAGE_NOCACHE and PAGE_WRITECOMBINE, which Wine forgets.
 *  Not compared, on any system
 *   7. The size of free space that reaches past the place that a test owns, and content given up by MEM_RESET.
 */
#include <stdio.h>

#include "probe.h"
#include "vmfuzz.h"
#include "vmgen.h"

static struct vm_world raw, engine;

static void arm(void) { SetLastError(raw.armed); }

static void start(void) {
    raw = (struct vm_world){.alloc = VirtualAlloc, .free = VirtualFree, .protect = VirtualProtect, .query = VirtualQuery,
                            .error = GetLastError, .arm = arm, .armed = 0x5eed};
    world_rooms(&raw, 0, ROOMS, (uintptr_t)0x200000000000);
    fuzz_engine(&engine);
}

/* 4 and 5: calls that Wine must not see. */
static bool wine_misjudges(const struct vm_call *call) {
    bool good_protect = model_protect_valid(call->protect);
    bool odd = call->offset % PAGE_SIZE_BYTES || call->size % PAGE_SIZE_BYTES;
    switch (call->op) {
    case OP_NEW:
    case OP_ALLOC: return !good_protect || (call->type & MEM_RESET && (odd || call->type != MEM_RESET));
    case OP_FREE: return vm_size_insane(call->size);
    case OP_PROTECT: return !call->value && (!good_protect || call->size == 0 || vm_size_insane(call->size));
    default: return false;
    }
}

/* 1: is the range that the call concerns not inside one allocation? The model is as before, since the call has failed. */
static bool range_foreign(const struct model *m, const struct vm_call *call) {
    const struct model_place *p = &m->place[call->place];
    int page = (int)(call->offset / PAGE_SIZE_BYTES);
    if (p->page[page].first < 0) return true;
    SIZE_T end = (SIZE_T)model_end(p, page) * PAGE_SIZE_BYTES;
    return call->op == OP_PROTECT && call->offset + call->size > end;
}

/* 2: the rest of a reserved run. */
static SIZE_T reserved_run(const struct vm_call *call, const struct vm_answer *answer) {
    char *base = raw.place[call->place];
    SIZE_T size = answer->size;
    MEMORY_BASIC_INFORMATION next;
    while (VirtualQuery(base + answer->offset + size, &next, sizeof next) && next.State == MEM_RESERVE &&
           (char *)next.AllocationBase - base == answer->base) {
        size += next.RegionSize;
    }
    return size;
}

/* 1 and 2: turns Wine's answer into Win32's. */
static void wine_correct(const struct model *m, const struct vm_call *call, struct vm_answer *answer) {
    bool refused = !answer->success && answer->error == ERROR_INVALID_PARAMETER;
    bool free_valid = (call->type == MEM_RELEASE && call->size == 0) || call->type == MEM_DECOMMIT;
    if (refused && call->op == OP_FREE && free_valid && range_foreign(m, call)) answer->error = ERROR_INVALID_ADDRESS;
    if (refused && call->op == OP_PROTECT && range_foreign(m, call)) answer->error = ERROR_INVALID_ADDRESS;
    if (call->op == OP_QUERY && answer->state == MEM_RESERVE) answer->size = reserved_run(call, answer);
}

/* 1: the engine, of memory that it does not know. */
static void handed_on_correct(const struct model *m, const struct vm_call *call, struct vm_answer *answer) {
    bool refused = !answer->success && answer->error == ERROR_INVALID_PARAMETER && model_protect_valid(call->protect);
    bool free_page = m->place[call->place].page[call->offset / PAGE_SIZE_BYTES].first < 0;
    bool outside = call->place < ROOMS && call->place >= ROOMS_REGION;
    bool sane = call->size != 0 && !vm_size_insane(call->size);
    if (refused && call->op == OP_PROTECT && free_page && outside && sane) answer->error = ERROR_INVALID_ADDRESS;
}

/* 3: both stand on Wine. */
static void guard_correct(const struct model *m, const struct vm_call *call, struct vm_answer *answer) {
    bool touch = call->op == OP_STORE || call->op == OP_LOAD || call->op == OP_EXECUTE;
    bool committed = m->place[call->place].page[call->offset / PAGE_SIZE_BYTES].protect != 0;
    if (touch && !committed && answer->access == PROBE_GUARD) answer->access = PROBE_FAULT;
}

static bool step(const struct model *m, const struct vm_call *call, const struct vm_answer *expected) {
    struct vm_answer theirs = *expected, ours;
    bool made = !wine_misjudges(call);
    if (made) {
        world_call(&raw, call, &theirs);
        wine_correct(m, call, &theirs);
        guard_correct(m, call, &theirs);
    }
    world_call(&engine, call, &ours);
    guard_correct(m, call, &ours);
    fuzz_lingering_correct(m, call, &ours);
    handed_on_correct(m, call, &ours);
    if (fuzz_agree(&theirs, &ours, expected->any_tag)) return true;
    printf("%s answer, and the engine's:\n", made ? "the system's" : "the model's (the system was not asked)");
    vmgen_print(0, call, &theirs);
    vmgen_print(0, call, &ours);
    return false;
}

int main(int argc, char **argv) {
    static const struct fuzz_target target = {
        .about = "fuzz_diff: compares random virtual-memory calls on the system's Win32 and on the engine",
        .start = start,
        .step = step,
    };
    return fuzz_main(argc, argv, &target);
}
