/*
 * counts.c - counts calls, and records them for a trace, in the section that the launcher made.
 *
 * The launcher reads the section after the program has ended, so that a crash loses nothing. Counters are added to atomically, in
 * one of a few dozen slots that a thread's number picks; the trace is an array that calls take places in as they return.
 * Nothing here waits or allocates.
 */
#include "dropin/redirect/redirect.h"

#define PSAPI_VERSION 2
#include <psapi.h>

#include "base/atom.h"

/*
 * Can a replay make the same call? One about another process it cannot, nor one that was refused because of where its answer
 * was to go.
 */
static bool is_for_record(unsigned reason, const struct seen *seen) {
    if (seen->op >= HM_OPS || reason == HM_PASSED_PROCESS) return false;
    DWORD error = seen->result == 0 ? GetLastError() : 0;
    return error != ERROR_NOACCESS && error != ERROR_BAD_LENGTH;
}

static void record(HM_REDIRECT_SHARED *shared, uint64_t now, const struct seen *seen) {
    /* rlx: written once, before this process's first call */
    if (shared->cRecords == 0 || atom_load_rlx_u32((uint32_t *)&shared->tracedProcess) != GetCurrentProcessId()) return;
    uint64_t at = atom_add_acqrel_u64((uint64_t *)&shared->cRecorded, 1);
    if (at >= shared->cRecords) return;
    shared->record[at] = (HM_REDIRECT_RECORD){
        .ticks = now,
        .address = seen->address,
        .size = seen->size,
        .result = seen->result,
        .type = seen->type,
        .protect = seen->protect,
        .thread = GetCurrentThreadId(),
        .op = seen->op,
    };
}

void counts_add_slow(struct watch watch, unsigned kind, unsigned reason, const struct seen *seen) {
    HM_REDIRECT_SHARED *shared = redirect_shared;
    uint64_t now = __builtin_ia32_rdtsc();
    HM_REDIRECT_CELL *cell = &shared->slot[GetCurrentThreadId() / 4 % HM_REDIRECT_SLOTS].cell[kind][reason];
    atom_add_acqrel_u64((uint64_t *)&cell->calls, 1);
    atom_add_acqrel_u64((uint64_t *)&cell->ticks, now - watch.ticks);
    if (seen->size) atom_add_acqrel_u64((uint64_t *)&cell->bytes, seen->size);
    if (seen->result == 0) atom_add_acqrel_u64((uint64_t *)&cell->failures, 1);
    if (is_for_record(reason, seen)) record(shared, now, seen);
}

void counts_start(void) {
    HMODULE module[256];
    DWORD bytes = 0;
    MODULEINFO info;
    uint32_t nobody = 0;
    if (!redirect_shared || redirect_shared->cRecords == 0) return;
    /* acqrel: the first process that is served is the one that is traced */
    if (!atom_cas_acqrel_u32((uint32_t *)&redirect_shared->tracedProcess, &nobody, GetCurrentProcessId())) return;
    if (!K32EnumProcessModules(GetCurrentProcess(), module, sizeof module, &bytes)) return;
    for (DWORD i = 0; i < bytes / sizeof module[0] && i < 256; i++) {
        if (!K32GetModuleInformation(GetCurrentProcess(), module[i], &info, sizeof info)) continue;
        struct seen seen = {.op = HM_OP_MOD, .address = (uintptr_t)info.lpBaseOfDll, .size = info.SizeOfImage, .result = 1};
        record(redirect_shared, __builtin_ia32_rdtsc(), &seen);
    }
}

void counts_finish(void) {
    PROCESS_MEMORY_COUNTERS memory = {.cb = sizeof memory};
    HM_REDIRECT_SHARED *shared = redirect_shared;
    if (!shared || !K32GetProcessMemoryInfo(GetCurrentProcess(), &memory, sizeof memory)) return;
    atom_add_acqrel_u64((uint64_t *)&shared->cFaults, memory.PageFaultCount);
    uint64_t seen = atom_load_rlx_u64((uint64_t *)&shared->cbPeak); /* rlx: the CAS decides */
    while (seen < memory.PeakWorkingSetSize &&
           !atom_cas_acqrel_u64((uint64_t *)&shared->cbPeak, &seen, memory.PeakWorkingSetSize)) continue;
}
