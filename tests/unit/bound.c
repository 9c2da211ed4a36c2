/*
 * A bound on the regions' address space: what is given back to the system does not count against it, and a CLR that pleads for
 * address space without saying how much does not get all of it, so that allocations go on. Several threads that want the first
 * region at once do not pass the bound, and are all served.
 */
#ifndef _WIN32
#define _GNU_SOURCE
#endif
#include "check.h"
#include "core/region.h"
#include "flat.h"
#include "os/os.h"
#include "thread.h"

#define GIB ((SIZE_T)1 << 30)

static IHostMemoryManager *manager;

static size_t regions_bytes(void) {
    HM_STATS stats = {.cbSize = sizeof stats};
    return HmGetStats(&stats) ? stats.cbRegions : 0;
}

/* How many of 64 MiB can be had, 32 at most. */
static int room(void) {
    void *p[32];
    int count = 0;
    while (count < 32 && (p[count] = reserve(64 * MIB)) != NULL) count++;
    for (int i = 0; i < count; i++) CHECK(release(p[i]));
    return count;
}

static void plea_for_a_size(void) {
    CHECK(room() > 0);
    CHECK_EQ(regions_bytes(), 4 * GIB);
    /* All of the only region: there is room for another. */
    CHECK_EQ(manager->lpVtbl->NeedsVirtualAddressSpace(manager, NULL, 4 * GIB), S_OK);
    CHECK_EQ(regions_bytes(), 0);
    CHECK_EQ(room(), 32);
    CHECK_EQ(regions_bytes(), 4 * GIB);
}

static void plea_for_any(void) {
    char *p = used(64 * MIB);
    if (!CHECK(p != NULL)) return;
    bool whole_only = os_release_part(0, 0) == ST_NOT_SUPPORTED;
    for (int i = 0; i < 3; i++) {
        size_t before = regions_bytes();
        HRESULT answer = manager->lpVtbl->NeedsVirtualAddressSpace(manager, NULL, 0);
        if (!whole_only) CHECK(answer == S_OK && regions_bytes() < before && before - regions_bytes() <= GIB);
        CHECK(room() >= 20);
        char *block = HmHeapAlloc(NULL, 0, 100);
        CHECK(block && HmHeapFree(NULL, 0, block));
        CHECK(!region_crowded());
    }
    /* However often. */
    for (int i = 0; i < 40; i++) manager->lpVtbl->NeedsVirtualAddressSpace(manager, NULL, 0);
    if (!whole_only) CHECK_EQ(manager->lpVtbl->NeedsVirtualAddressSpace(manager, NULL, 0), E_OUTOFMEMORY);
    char *little = used(32 * MIB);
    CHECK(little && release(little));
    CHECK(p[64 * MIB - 1] == 1 && release(p));
}

/* What is left of the bound, where no region fits in, is no room. */
static void crowded(void) {
    enum { MOST = 1100 }; /* more than a region has */
    static char *p[MOST];
    int count = 0;
    while (count < MOST && (p[count] = reserve(4 * MIB)) != NULL) count++;
    CHECK(count < MOST && region_crowded());
    for (int i = 0; i < count; i++) CHECK(release(p[i]));
    HmTrim();
    CHECK(!region_crowded());
}

#ifdef _WIN32
static void at_once(void) {}
#else
#include <sys/wait.h>
#include <unistd.h>

enum { TURNS = 200, THREADS = 4 };

static pthread_barrier_t all_here;
static uint32_t served;

static void *want(void *context) {
    pthread_barrier_wait(&all_here);
    if (reserve(2 * MIB)) atom_add_acqrel_u32(&served, 1);
    return context;
}

/* In children, as a process makes its first region once. */
static void at_once(void) {
    pthread_barrier_init(&all_here, NULL, THREADS);
    for (int i = 0; i < TURNS; i++) {
        pid_t child = fork();
        if (child == 0) {
            struct threads threads = {0};
            for (int t = 0; t < THREADS; t++) threads_start(&threads, want, NULL);
            threads_join(&threads);
            _exit(regions_bytes() == 4 * GIB && served == THREADS ? 0 : 1);
        }
        int status = -1;
        CHECK_EQ(waitpid(child, &status, 0), child);
        CHECK_EQ(status, 0);
    }
}
#endif

int main(void) {
    region_limit_set(4 * GIB);
    at_once();
    HM_OPTIONS options = {.cbSize = sizeof options, .cbMaxAddressSpace = 4 * GIB};
    if (!CHECK_EQ(HmCreateMemoryManager(&options, &manager), S_OK)) return check_done();
    plea_for_a_size();
    plea_for_any();
    crowded();
    manager->lpVtbl->Release(manager);
    return check_done();
}
