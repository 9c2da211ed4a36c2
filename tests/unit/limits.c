/*
 * limits.c - a host that allocates through the interfaces at the three levels: each is refused at its own line, by limits on the
 * process, on the manager and on a heap, set by options, by the environment and while running; the emergency reserve; and
 * requests that fail because the host wants them to.
 */
#include "policy/limits.h"

#include <stdlib.h>
#include <string.h>

#include "alone.h"
#include "check.h"
#include "os/fault.h"
#include "os/os.h"
#include "policy/inject.h"
#include "thread.h"

#define MIB ((SIZE_T)1 << 20)
#define LIMITS(...) ((HM_LIMITS){.cbSize = sizeof(HM_LIMITS), __VA_ARGS__})

static IHostMemoryManager *manager_make(const HM_LIMITS *limits, const HM_LIMITS *heap_limits) {
    HM_OPTIONS options = {.cbSize = sizeof options, .pLimits = limits, .pHeapLimits = heap_limits};
    IHostMemoryManager *manager = NULL;
    CHECK(HmCreateMemoryManager(&options, &manager) == S_OK && manager != NULL);
    return manager;
}

/* Commits 64 KiB after 64 KiB of a reservation at this level until it is refused; how far that went in all. */
static SIZE_T commit_to_line(IHostMemoryManager *m, char *start, SIZE_T from, SIZE_T to, EMemoryCriticalLevel level) {
    for (; from < to; from += 65536) {
        void *got = m;
        HRESULT result = m->lpVtbl->VirtualAlloc(m, start + from, 65536, MEM_COMMIT, PAGE_READWRITE, level, &got);
        if (result == S_OK) continue;
        CHECK(result == E_OUTOFMEMORY && got == NULL && HmGetLastError() == ERROR_NOT_ENOUGH_QUOTA);
        break;
    }
    return from;
}

static char *reserve(IHostMemoryManager *m, SIZE_T size) {
    void *start = NULL;
    CHECK(m->lpVtbl->VirtualAlloc(m, NULL, size, MEM_RESERVE, PAGE_READWRITE, eTaskCritical, &start) == S_OK && start);
    return start;
}

static void three_lines(IHostMemoryManager *m, SIZE_T soft, SIZE_T hard, SIZE_T emergency) {
    char *start = reserve(m, 16 * MIB);
    if (!start) return;
    SIZE_T at = 0;
    SIZE_T line[] = {soft, hard, hard + emergency};
    for (int level = eTaskCritical; level <= eProcessCritical; level++) {
        at = commit_to_line(m, start, at, 16 * MIB, (EMemoryCriticalLevel)level);
        CHECK_EQ(at, line[level]);
    }
    CHECK_EQ(m->lpVtbl->VirtualFree(m, start, 0, MEM_RELEASE), S_OK);
}

static void test_manager(void) {
    HM_LIMITS limits = LIMITS(.cbSoftCommit = MIB, .cbHardCommit = 2 * MIB, .cbEmergency = MIB / 2), seen = LIMITS(0);
    IHostMemoryManager *m = manager_make(&limits, NULL);
    if (!m) return;
    three_lines(m, MIB, 2 * MIB, MIB / 2);
    HM_USAGE usage = {.cbSize = sizeof usage};
    CHECK_EQ(HmGetLimits(m, &seen, &usage), S_OK);
    CHECK(memcmp(&seen, &limits, sizeof seen) == 0);
    CHECK(usage.cRefused[0] == 1 && usage.cRefused[1] == 1 && usage.cRefused[2] == 1);
    CHECK(usage.cbReserved == 0 && usage.cbCommitted == 0);
    /* While running; and every manager for itself. */
    limits = LIMITS(.cbSoftCommit = 3 * MIB, .cbHardCommit = 3 * MIB);
    CHECK_EQ(HmSetLimits(m, &limits), S_OK);
    three_lines(m, 3 * MIB, 3 * MIB, 0);
    IHostMemoryManager *other = manager_make(NULL, NULL);
    three_lines(other, 16 * MIB, 16 * MIB, 0);
    CHECK_EQ(other->lpVtbl->Release(other), 0);
    /* Reservations have lines of their own. */
    limits = LIMITS(.cbSoftReserve = 2 * MIB, .cbHardReserve = 4 * MIB, .cbEmergency = MIB);
    CHECK_EQ(HmSetLimits(m, &limits), S_OK);
    SIZE_T most[] = {2 * MIB, 4 * MIB, 5 * MIB};
    for (int level = 0; level < 3; level++) {
        void *start = NULL;
        HRESULT over = m->lpVtbl->VirtualAlloc(m, NULL, most[level] + 1, MEM_RESERVE, PAGE_READWRITE, level, &start);
        CHECK(over == E_OUTOFMEMORY && start == NULL);
        CHECK_EQ(m->lpVtbl->VirtualAlloc(m, NULL, most[level], MEM_RESERVE, PAGE_READWRITE, level, &start), S_OK);
        CHECK_EQ(m->lpVtbl->VirtualFree(m, start, 0, MEM_RELEASE), S_OK);
    }
    CHECK_EQ(m->lpVtbl->Release(m), 0);
}

/* What the thread keeps at hand of another's may not be had by one that is at its line, who has then been refused once. */
static void test_at_hand(void) {
    IHostMemoryManager *m = manager_make(&LIMITS(.cbHardCommit = MIB), NULL);
    HM_USAGE usage = {.cbSize = sizeof usage};
    void *full = NULL, *more = NULL, *kept = HmVirtualAlloc(NULL, 65536, MEM_COMMIT, PAGE_READWRITE);
    CHECK_EQ(m->lpVtbl->VirtualAlloc(m, NULL, MIB, MEM_COMMIT, PAGE_READWRITE, eAppDomainCritical, &full), S_OK);
    CHECK(HmVirtualFree(kept, 0, MEM_RELEASE));
    HRESULT over = m->lpVtbl->VirtualAlloc(m, NULL, 65536, MEM_COMMIT, PAGE_READWRITE, eAppDomainCritical, &more);
    CHECK(over == E_OUTOFMEMORY && more == NULL);
    CHECK_EQ(HmGetLimits(m, NULL, &usage), S_OK);
    CHECK_EQ(usage.cRefused[BUDGET_DOMAIN], 1);
    CHECK_EQ(m->lpVtbl->VirtualFree(m, full, 0, MEM_RELEASE), S_OK);
    CHECK_EQ(m->lpVtbl->Release(m), 0);
}

static void test_process(void) {
    HM_USAGE usage = {.cbSize = sizeof usage};
    CHECK_EQ(HmGetLimits(NULL, NULL, &usage), S_OK);
    SIZE_T base = usage.cbCommitted;
    HM_LIMITS limits = LIMITS(.cbSoftCommit = base + MIB, .cbHardCommit = base + 2 * MIB);
    CHECK_EQ(HmSetLimits(NULL, &limits), S_OK);
    IHostMemoryManager *m = manager_make(NULL, NULL);
    three_lines(m, MIB, 2 * MIB, 0);
    /* What has no level stops at the hard line. */
    void *flat = HmVirtualAlloc(NULL, 2 * MIB + 4096, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    CHECK(flat == NULL && HmGetLastError() == ERROR_NOT_ENOUGH_QUOTA);
    flat = HmVirtualAlloc(NULL, 2 * MIB, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    CHECK(flat != NULL && HmHeapAlloc(NULL, 0, 100000) == NULL && HmGetLastError() == ERROR_NOT_ENOUGH_MEMORY);
    CHECK(HmVirtualFree(flat, 0, MEM_RELEASE));
    HmTrim();
    CHECK_EQ(HmSetLimits(NULL, &LIMITS(0)), S_OK);
    CHECK_EQ(m->lpVtbl->Release(m), 0);
}

static int blocks_until_refused(IHostMalloc *heap, EMemoryCriticalLevel level, void **first) {
    int count = 0;
    void *block;
    while (count < 100 && heap->lpVtbl->Alloc(heap, MIB, level, &block) == S_OK) {
        if (count++ == 0) *first = block;
    }
    return count;
}

static void test_heaps(void) {
    HM_LIMITS limits = LIMITS(.cbSoftCommit = 8 * MIB), heap_limits = LIMITS(.cbSoftCommit = 3 * MIB, .cbHardCommit = 5 * MIB);
    IHostMemoryManager *m = manager_make(&limits, &heap_limits);
    IHostMalloc *heap = NULL, *second = NULL;
    CHECK_EQ(m->lpVtbl->CreateMalloc(m, MALLOC_THREADSAFE, &heap), S_OK);
    CHECK_EQ(m->lpVtbl->CreateMalloc(m, MALLOC_THREADSAFE, &second), S_OK);
    if (!heap || !second) return;
    void *block = NULL, *other;
    CHECK_EQ(blocks_until_refused(heap, eTaskCritical, &block), 3);
    CHECK_EQ(blocks_until_refused(heap, eAppDomainCritical, &other), 2);
    CHECK_EQ(blocks_until_refused(heap, eProcessCritical, &other), 0);
    CHECK_EQ(blocks_until_refused(second, eTaskCritical, &other), 3); /* the manager's soft line */
    CHECK_EQ(heap->lpVtbl->Free(heap, block), S_OK);
    CHECK_EQ(blocks_until_refused(heap, eAppDomainCritical, &block), 1);
    HM_LIMITS seen = LIMITS(0);
    CHECK(HmGetLimits(heap, &seen, NULL) == S_OK && memcmp(&seen, &heap_limits, sizeof seen) == 0);
    heap_limits.cbHardCommit = 6 * MIB;
    CHECK_EQ(HmSetLimits(heap, &heap_limits), S_OK);
    CHECK_EQ(blocks_until_refused(heap, eAppDomainCritical, &block), 1);
    heap->lpVtbl->Release(heap);
    second->lpVtbl->Release(second);
    HANDLE flat = HmHeapCreate(0, 0, 2 * MIB);
    CHECK(HmGetLimits(flat, &seen, NULL) == S_OK && seen.cbHardCommit == 2 * MIB && seen.cbSoftCommit == 0);
    CHECK_EQ(HmSetLimits(flat, &LIMITS(.cbHardCommit = MIB)), S_OK);
    CHECK(HmHeapAlloc(flat, 0, MIB + 1) == NULL && HmHeapAlloc(flat, 0, MIB) != NULL);
    CHECK(HmHeapDestroy(flat));
    CHECK_EQ(m->lpVtbl->Release(m), 0);
}

static void test_arguments(void) {
    IHostMemoryManager *m = manager_make(NULL, NULL), *none = m;
    struct { const void *methods; } stranger = {&stranger};
    HM_LIMITS bad[] = {{.cbSize = 0}, {.cbSize = sizeof(HM_LIMITS) + 8}, LIMITS(.cbSoftCommit = 2, .cbHardCommit = 1),
                       LIMITS(.cbSoftReserve = MIB, .cbHardReserve = MIB - 1)};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        CHECK_EQ((uint32_t)HmSetLimits(m, &bad[i]), (uint32_t)E_INVALIDARG);
        HM_OPTIONS options = {.cbSize = sizeof options, .pProcessLimits = &bad[i]};
        CHECK(HmCreateMemoryManager(&options, &none) == E_INVALIDARG && none == NULL);
    }
    CHECK_EQ((uint32_t)HmSetLimits(m, NULL), (uint32_t)E_POINTER);
    CHECK_EQ((uint32_t)HmGetLimits(m, NULL, NULL), (uint32_t)E_POINTER);
    char *apart = HmVirtualAlloc(NULL, 65536, MEM_RESERVE, PAGE_READWRITE);
    void *strangers[] = {&stranger, (char *)&stranger + 1, (void *)(uintptr_t)16, apart, apart + 65528, (void *)~(uintptr_t)7};
    for (size_t i = 0; i < sizeof strangers / sizeof *strangers; i++) {
        HM_USAGE usage = {.cbSize = sizeof usage};
        CHECK_EQ((uint32_t)HmSetLimits(strangers[i], &LIMITS(0)), (uint32_t)E_INVALIDARG);
        CHECK_EQ((uint32_t)HmGetLimits(strangers[i], NULL, &usage), (uint32_t)E_INVALIDARG);
    }
    CHECK(HmVirtualFree(apart, 0, MEM_RELEASE));
    for (int i = 0; i < 2; i++) {
        CHECK_EQ((uint32_t)HmGetLimits(m, &bad[i], NULL), (uint32_t)E_INVALIDARG);
        HM_USAGE usage = {.cbSize = (SIZE_T)i * (sizeof usage + 8)};
        CHECK_EQ((uint32_t)HmGetLimits(m, NULL, &usage), (uint32_t)E_INVALIDARG);
    }
    struct { SIZE_T size, space, cache; } first_version = {24, 0, 0};
    CHECK_EQ(HmCreateMemoryManager((HM_OPTIONS *)(void *)&first_version, &none), S_OK);
    none->lpVtbl->Release(none);
    CHECK_EQ(m->lpVtbl->Release(m), 0);
}

/* ---- The emergency reserve ---- */

static SIZE_T reserve_held(void) {
    HM_USAGE usage = {.cbSize = sizeof usage};
    CHECK_EQ(HmGetLimits(NULL, NULL, &usage), S_OK);
    return usage.cbReserveHeld;
}

static void test_emergency(void) {
    IHostMemoryManager *m = manager_make(NULL, NULL);
    HmTrim();
    HM_USAGE usage = {.cbSize = sizeof usage};
    CHECK_EQ(HmGetLimits(NULL, NULL, &usage), S_OK);
    HM_LIMITS limits = LIMITS(.cbHardCommit = usage.cbCommitted + 4 * MIB, .cbEmergency = 2 * MIB);
    CHECK_EQ(HmSetLimits(NULL, &limits), S_OK);
    CHECK_EQ(reserve_held(), 2 * MIB);
    three_lines(m, 4 * MIB, 4 * MIB, 2 * MIB);
    CHECK_EQ(reserve_held(), 2 * MIB); /* a limit that refuses does not cost the reserve */
#ifdef HM_FAULT
    /* The system refuses: only a process-critical request gets the reserve. */
    void *start = NULL;
    for (int level = eTaskCritical; level <= eProcessCritical; level++) {
        os_fault_set("commit", 1, false);
        HRESULT result = m->lpVtbl->VirtualAlloc(m, NULL, 3 * MIB, MEM_RESERVE | MEM_COMMIT, PAGE_READONLY,
                                                 (EMemoryCriticalLevel)level, &start);
        os_fault_set(NULL, 0, false);
        CHECK_EQ((uint32_t)result, level == eProcessCritical ? (uint32_t)S_OK : (uint32_t)E_OUTOFMEMORY);
        CHECK_EQ(reserve_held(), level == eProcessCritical ? 0 : 2 * MIB);
    }
    limits_reserve_refill(); /* there is no room for it now */
    CHECK_EQ(reserve_held(), 0);
    CHECK_EQ(m->lpVtbl->VirtualFree(m, start, 0, MEM_RELEASE), S_OK);
    os_fault_set("commit", 1, false);
    limits_reserve_refill(); /* nor memory */
    os_fault_set(NULL, 0, false);
    CHECK_EQ(reserve_held(), 0);
    limits_reserve_refill();
    CHECK_EQ(reserve_held(), 2 * MIB);
#endif
    CHECK_EQ(HmSetLimits(NULL, &LIMITS(0)), S_OK);
    CHECK_EQ(reserve_held(), 0);
    CHECK(!limits_reserve_spend());
    CHECK_EQ(m->lpVtbl->Release(m), 0);
}

/* ---- Failures on purpose ---- */

static HRESULT ask(IHostMemoryManager *m, SIZE_T size, EMemoryCriticalLevel level) {
    void *start = m;
    HRESULT result = m->lpVtbl->VirtualAlloc(m, NULL, size, MEM_RESERVE, PAGE_READWRITE, level, &start);
    if (result == S_OK) m->lpVtbl->VirtualFree(m, start, 0, MEM_RELEASE);
    else CHECK(start == NULL);
    return result;
}

static void faults(SIZE_T nth, SIZE_T least, DWORD per_million, DWORD below_level) {
    HM_FAULTS f = {sizeof f, nth, least, per_million, below_level};
    CHECK_EQ(HmSetFaults(&f), S_OK);
}

static void test_faults(void) {
    IHostMemoryManager *m = manager_make(NULL, NULL);
    IHostMalloc *heap = NULL;
    CHECK_EQ(m->lpVtbl->CreateMalloc(m, 0, &heap), S_OK);
    faults(3, 0, 0, 0);
    for (int i = 1; i <= 5; i++) CHECK_EQ(ask(m, 65536, eTaskCritical) == S_OK, i != 3);
    faults(0, MIB, 0, 0);
    CHECK(ask(m, MIB - 1, eTaskCritical) == S_OK && ask(m, MIB, eProcessCritical) == E_OUTOFMEMORY);
    faults(0, 0, 0, 2);
    HRESULT expected[] = {E_OUTOFMEMORY, E_OUTOFMEMORY, S_OK};
    for (int level = 0; level < 3; level++) {
        void *block = m;
        CHECK_EQ((uint32_t)ask(m, 65536, (EMemoryCriticalLevel)level), (uint32_t)expected[level]);
        CHECK_EQ((uint32_t)heap->lpVtbl->Alloc(heap, 10, (EMemoryCriticalLevel)level, &block), (uint32_t)expected[level]);
        CHECK((block == NULL) == (expected[level] != S_OK));
        block = m;
        char file[] = "host.c";
        CHECK_EQ((uint32_t)heap->lpVtbl->DebugAlloc(heap, 10, (EMemoryCriticalLevel)level, file, 1, &block),
                 (uint32_t)expected[level]);
    }
    faults(0, 0, 250000, 0);
    int failed = 0;
    for (int i = 0; i < 4000; i++) failed += ask(m, 65536, eAppDomainCritical) != S_OK;
    CHECK(failed > 800 && failed < 1200);
    CHECK_EQ((uint32_t)ask(m, 65536, (EMemoryCriticalLevel)3), (uint32_t)E_INVALIDARG);
    CHECK_EQ(HmSetFaults(NULL), S_OK);
    for (int i = 0; i < 100; i++) CHECK_EQ(ask(m, 65536, eTaskCritical), S_OK);
    CHECK_EQ((uint32_t)ask(m, 65536, (EMemoryCriticalLevel)3), (uint32_t)E_INVALIDARG);
    HM_FAULTS bad[] = {{0}, {sizeof bad[0], 1, 0, 1, 0}, {sizeof bad[0], 0, 0, 1000001, 0}, {sizeof bad[0], 0, 0, 0, 4}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) CHECK_EQ((uint32_t)HmSetFaults(&bad[i]), (uint32_t)E_INVALIDARG);
    CHECK_EQ(ask(m, 65536, eTaskCritical), S_OK);
    heap->lpVtbl->Release(heap);
    CHECK_EQ(m->lpVtbl->Release(m), 0);
}

/* First of all: nobody has asked for anything yet, so the environment is still to be read. */
static void test_environment(void) {
    const char *settings[] = {"HOSTMEM_SOFT_COMMIT=1048576", "HOSTMEM_HARD_COMMIT=0x200000", "HOSTMEM_EMERGENCY=65536",
                              "HOSTMEM_FAIL_LEAST=4194304",
                              /* more than can be meant, of which nothing is cut off: not set */
                              "HOSTMEM_FAIL_PER_MILLION=0x100000001", "HOSTMEM_FAIL_BELOW_LEVEL=0x100000001"};
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) putenv((char *)(uintptr_t)settings[i]);
    IHostMemoryManager *m = manager_make(NULL, NULL);
    HM_LIMITS seen = LIMITS(0);
    CHECK_EQ(HmGetLimits(NULL, &seen, NULL), S_OK);
    CHECK(seen.cbSoftCommit == MIB && seen.cbHardCommit == 2 * MIB && seen.cbEmergency == 65536 && seen.cbHardReserve == 0);
    CHECK_EQ(reserve_held(), 65536);
    CHECK(ask(m, 4 * MIB, eTaskCritical) == E_OUTOFMEMORY && ask(m, 4 * MIB - 1, eTaskCritical) == S_OK);
    HM_USAGE usage = {.cbSize = sizeof usage};
    CHECK_EQ((uint32_t)ask(m, 4 * MIB, eAppDomainCritical), (uint32_t)E_OUTOFMEMORY);
    CHECK(HmGetLimits(NULL, NULL, &usage) == S_OK && usage.cRefused[1] == 0); /* by no limit */
    CHECK_EQ(HmSetFaults(NULL), S_OK);
    three_lines(m, MIB, 2 * MIB, 65536);
    CHECK_EQ(HmSetLimits(NULL, &LIMITS(0)), S_OK);
    CHECK_EQ(m->lpVtbl->Release(m), 0);
}

int main(void) {
    keeper_forbid();
    test_environment();
    test_manager();
    test_process();
    test_heaps();
    test_arguments();
    test_emergency();
    test_faults();
    test_at_hand();
    return check_done();
}
