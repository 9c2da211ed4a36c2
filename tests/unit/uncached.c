/*
 * Without a cache (HM_OPTIONS.cbThreadCache 1) a release of any size is ordered against what other threads do with the same
 * allocation, one after the other, and is refused if the system refuses it. And threads, which fetch each block by itself, do not
 * take a slab for each.
 */
#include <stdlib.h>
#include <string.h>

#include "base/atom.h"
#include "check.h"
#include "flat.h"
#include "many.h"
#include "os/fault.h"
#include "thread.h"

enum { TRIALS = 1500 };

static uint64_t target; /* what the other thread is to act on, once */
static uint64_t finished;

static char *take(void) { return HmVirtualAlloc(NULL, 64 * KIB, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE); }

static void *act(void *context) {
    uint64_t kind = (uintptr_t)context;
    for (int i = 0; i < TRIALS; i++) {
        char *p;
        DWORD old;
        while (!(p = (char *)(uintptr_t)atom_load_acq_u64(&target))) continue;
        atom_store_rel_u64(&target, 0);
        if (kind == 0) HmVirtualProtect(p, PAGE, PAGE_READONLY, &old);
        else if (kind == 1) HmVirtualFree(p, PAGE, MEM_DECOMMIT);
        else HmVirtualFree(p, 0, MEM_RELEASE);
        atom_add_acqrel_u64(&finished, 1);
    }
    return NULL;
}

/* One thread releases while the other protects, decommits or releases; the next allocation is whole and one's alone. */
static void ordered(uintptr_t kind) {
    struct threads threads = {0};
    uint64_t random = 7 + kind;
    atom_store_rel_u64(&finished, 0);
    threads_start(&threads, act, (void *)kind);
    for (uint64_t i = 0; i < TRIALS; i++) {
        char *p = take();
        if (!CHECK(p != NULL)) exit(1);
        p[0] = p[5000] = 1;
        atom_store_rel_u64(&target, (uint64_t)(uintptr_t)p);
        while (atom_load_acq_u64(&target)) continue;
        for (volatile uint64_t wait = thread_random(&random) % 150; wait > 0;) wait--;
        release(p);
        while (atom_load_acq_u64(&finished) <= i) continue;
        char *next = take();
        MEMORY_BASIC_INFORMATION info;
        bool whole = next && HmVirtualQuery(next, &info, sizeof info) && info.RegionSize == 64 * KIB;
        if (!CHECK(whole && info.Protect == PAGE_READWRITE && is_zero(next, 64 * KIB) && release(next))) exit(1);
    }
    threads_join(&threads);
}

static void refused(void) {
#ifdef HM_FAULT
    char *p = take();
    if (!CHECK(p != NULL)) return;
    memset(p, 3, 64 * KIB);
    os_fault_set("decommit", 1, true);
    CHECK(!release(p) && HmGetLastError() == ERROR_NOT_ENOUGH_MEMORY);
    os_fault_set(NULL, 0, false);
    CHECK(p[0] == 3 && memcmp(p, p + 1, 64 * KIB - 1) == 0);
    CHECK(release(p));
#endif
}

static void *use(void *context) {
    void *block = HmHeapAlloc(NULL, 0, 100);
    CHECK(release(take()) && HmHeapFree(NULL, 0, block));
    return context;
}

static void *use_before_and_after(void *context) {
    use(NULL);
    atom_add_acqrel_u64(&finished, 1);
    while (atom_load_acq_u64(&finished) < 2) thread_rest(0.001);
    return use(context);
}

/* Of threads that have kept things before the first manager that wants none kept. */
static void bound_late(void) {
    struct threads threads = {0};
    IHostMemoryManager *manager;
    HM_OPTIONS options = {.cbSize = sizeof options, .cbThreadCache = 1};
    HM_STATS stats = {.cbSize = sizeof stats};
    use(NULL);
    threads_start(&threads, use_before_and_after, NULL);
    while (atom_load_acq_u64(&finished) < 1) thread_rest(0.001);
    if (!CHECK_EQ(HmCreateMemoryManager(&options, &manager), S_OK)) exit(1);
    manager->lpVtbl->Release(manager);
    use(NULL);
    atom_add_acqrel_u64(&finished, 1);
    threads_join(&threads);
    CHECK(HmGetStats(&stats));
    CHECK_EQ(stats.cSpansCached, 0);
    CHECK_EQ(stats.cBlocksCached, 0);
}

int main(void) {
    bound_late();
    many_homes();
    refused();
    for (uintptr_t kind = 0; kind < 3; kind++) ordered(kind);
    CHECK_EQ(taken(), 0);
    return check_done();
}
