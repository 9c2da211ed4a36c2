/*
 * Eight threads at random virtual-memory calls for a while, over allocations of their own and some that they share; every page
 * that a thread believes to be committed carries a stamp that must still be there. At the end everything is freed: the bitmaps
 * must count as all free, and the process must be as small as it was.
 *
 * HOSTMEM_TEST_SECONDS says how long (60 where it is not set).
 */
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "hostmem.h"
#include "thread.h"

#define THREADS 8
#define OWN 12
#define SHARED 4
#define MAX_PAGES 600
#define PAGE ((size_t)4096)

struct own {
    char *base;
    size_t pages;
    uint8_t writable[MAX_PAGES]; /* committed, read-write and stamped */
};

struct worker {
    uint64_t random;
    uint64_t calls;
    struct own own[OWN];
};

static double stop_at;
static char *shared[SHARED]; /* live throughout; anybody may do anything to their pages */

static uint64_t stamp_of(const struct worker *w, const char *page) { return (uint64_t)(uintptr_t)page ^ (uint64_t)(uintptr_t)w; }

static void verify(struct worker *w, struct own *o, size_t first, size_t count) {
    for (size_t i = first; i < first + count; i++) {
        if (!o->writable[i]) continue;
        uint64_t *p = (uint64_t *)(void *)(o->base + i * PAGE);
        CHECK_EQ(p[3], stamp_of(w, (char *)p));
    }
}

static void own_reserve(struct worker *w, struct own *o) {
    size_t pages = 1 + thread_random(&w->random) % MAX_PAGES;
    bool commit = thread_random(&w->random) % 2;
    DWORD type = MEM_RESERVE | (commit ? MEM_COMMIT : 0) | (thread_random(&w->random) % 16 == 0 ? MEM_TOP_DOWN : 0);
    o->base = HmVirtualAlloc(NULL, pages * PAGE, type, PAGE_READWRITE);
    if (!CHECK(o->base != NULL)) return;
    CHECK_EQ((uintptr_t)o->base % 65536, 0);
    o->pages = pages;
    memset(o->writable, 0, sizeof o->writable);
    if (!commit) return;
    size_t i = thread_random(&w->random) % pages;
    uint64_t *p = (uint64_t *)(void *)(o->base + i * PAGE);
    CHECK_EQ(p[3], 0);
    p[3] = stamp_of(w, (char *)p);
    o->writable[i] = 1;
}

static void own_commit(struct worker *w, struct own *o, size_t first, size_t count) {
    char *at = o->base + first * PAGE;
    CHECK(HmVirtualAlloc(at, count * PAGE, MEM_COMMIT, PAGE_READWRITE) == at);
    verify(w, o, first, count); /* a commit keeps what was there */
    uint64_t *p = (uint64_t *)(void *)at;
    p[3] = stamp_of(w, at);
    o->writable[first] = 1;
}

static void own_decommit(struct own *o, size_t first, size_t count) {
    CHECK(HmVirtualFree(o->base + first * PAGE, count * PAGE, MEM_DECOMMIT));
    memset(o->writable + first, 0, count);
}

static void own_query(struct own *o, size_t first) {
    MEMORY_BASIC_INFORMATION info;
    CHECK(HmVirtualQuery(o->base + first * PAGE, &info, sizeof info) == sizeof info);
    CHECK(info.AllocationBase == o->base);
    if (o->writable[first]) CHECK(info.State == MEM_COMMIT && info.Protect == PAGE_READWRITE);
}

static void own_step(struct worker *w) {
    struct own *o = &w->own[thread_random(&w->random) % OWN];
    if (!o->base) {
        own_reserve(w, o);
        return;
    }
    size_t first = thread_random(&w->random) % o->pages;
    size_t count = 1 + thread_random(&w->random) % (o->pages - first);
    DWORD old;
    switch (thread_random(&w->random) % 8) {
    case 0:
        verify(w, o, 0, o->pages);
        CHECK(HmVirtualFree(o->base, 0, MEM_RELEASE));
        o->base = NULL;
        break;
    case 1: own_decommit(o, first, count); break;
    case 2:
    case 3: own_query(o, first); break;
    case 4:
        if (!o->writable[first]) break;
        CHECK(HmVirtualProtect(o->base + first * PAGE, 1, PAGE_READONLY, &old) && old == PAGE_READWRITE);
        verify(w, o, first, 1);
        CHECK(HmVirtualProtect(o->base + first * PAGE, 1, PAGE_READWRITE, &old) && old == PAGE_READONLY);
        break;
    default: own_commit(w, o, first, count < 64 ? count : 64); break;
    }
}

/* Nobody knows what the others do here; every answer must be one that Win32 allows. */
static void shared_step(struct worker *w) {
    char *at = shared[thread_random(&w->random) % SHARED] + thread_random(&w->random) % 256 * PAGE;
    MEMORY_BASIC_INFORMATION info;
    DWORD old;
    switch (thread_random(&w->random) % 4) {
    case 0: CHECK(HmVirtualAlloc(at, 4 * PAGE, MEM_COMMIT, PAGE_READWRITE) == at); break;
    case 1: CHECK(HmVirtualFree(at, 4 * PAGE, MEM_DECOMMIT)); break;
    case 2: CHECK(HmVirtualQuery(at, &info, sizeof info) && info.State != MEM_FREE); break;
    default:
        if (!HmVirtualProtect(at, 2 * PAGE, PAGE_READONLY, &old)) CHECK_EQ(HmGetLastError(), ERROR_INVALID_ADDRESS);
        break;
    }
}

static void *work(void *context) {
    struct worker *w = context;
    while (thread_seconds() < stop_at) {
        for (int i = 0; i < 64; i++, w->calls++) {
            if (i % 8) {
                own_step(w);
            } else {
                shared_step(w);
            }
        }
    }
    for (int i = 0; i < OWN; i++) {
        if (w->own[i].base) CHECK(HmVirtualFree(w->own[i].base, 0, MEM_RELEASE));
    }
    return NULL;
}

/* Bytes of the process in memory; 0 where that is not known. */
static size_t resident(void) {
    size_t pages = 0, total = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (f && fscanf(f, "%zu %zu", &total, &pages) != 2) pages = 0;
    if (f) fclose(f);
    return pages * PAGE;
}

static uint64_t run(double seconds) {
    static struct worker workers[THREADS];
    struct threads threads = {0};
    uint64_t calls = 0;
    memset(workers, 0, sizeof workers);
    stop_at = thread_seconds() + seconds;
    for (int i = 0; i < SHARED; i++) shared[i] = HmVirtualAlloc(NULL, 260 * PAGE, MEM_RESERVE, PAGE_READWRITE);
    for (int i = 0; i < THREADS; i++) {
        workers[i].random = (uint64_t)i + 1;
        threads_start(&threads, work, &workers[i]);
    }
    threads_join(&threads);
    for (int i = 0; i < SHARED; i++) CHECK(HmVirtualFree(shared[i], 0, MEM_RELEASE));
    for (int i = 0; i < THREADS; i++) calls += workers[i].calls;
    return calls;
}

int main(void) {
    const char *set = getenv("HOSTMEM_TEST_SECONDS");
    double seconds = set && atof(set) > 0 ? atof(set) : 60;
    run(seconds < 4 ? seconds / 4 : 1); /* tables and stacks are touched before the measure is taken */
    size_t before = resident();
    uint64_t calls = run(seconds);
    HmTrim();
    size_t after = resident();
    HM_STATS stats = {.cbSize = sizeof stats};
    CHECK(HmGetStats(&stats));
    CHECK_EQ(stats.cGranulesTaken, 0);
    CHECK_EQ(stats.cAllocations, 0);
    CHECK_EQ(stats.cbCommitted, 0);
    printf("%llu calls in %.0f s, resident before %zu KiB, after %zu KiB\n", (unsigned long long)calls, seconds, before / 1024,
           after / 1024);
#ifndef __SANITIZE_THREAD__ /* its shadow of the memory grows */
    CHECK(after <= before + (size_t)4 * 1024 * 1024);
#endif
    return check_done();
}
