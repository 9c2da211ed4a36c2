/*
 * A program for tests/scripts/view.sh to look at. It takes memory from the engine in every way, says on one line of JSON what it
 * has by its own count, and keeps it until its standard input ends.
 *
 * usage: hold [seconds]     for so long instead
 */
#include <hostmem.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define KIB ((size_t)1024)
#define BLOCKS 20000

static void *block[BLOCKS];

static void *must(void *p) {
    if (p != NULL) return p;
    fprintf(stderr, "hold: no memory\n");
    exit(1);
}

static void *reserve(size_t size, size_t committed) {
    void *p = must(HmVirtualAlloc(NULL, size, MEM_RESERVE, PAGE_READWRITE));
    if (committed > 0) must(HmVirtualAlloc(p, committed, MEM_COMMIT, PAGE_READWRITE));
    return p;
}

static size_t spans_cached(void) {
    HM_STATS stats = {.cbSize = sizeof stats};
    HmGetStats(&stats);
    return (size_t)stats.cSpansCached;
}

/*
 * One freed allocation at hand. For a second after a limit has refused something, everything at hand goes back whenever the
 * engine looks at its limits, every 10 ms with host()'s spacing: so one that has stayed for 300 ms will stay.
 */
static void keep_one(void) {
    for (int tries = 0; tries < 30; tries++) {
        HmVirtualFree(reserve(64 * KIB, 64 * KIB), 0, MEM_RELEASE);
        usleep(300 * 1000);
        if (spans_cached() == 1) return;
    }
    fprintf(stderr, "hold: nothing stays at hand\n");
    exit(1);
}

/* A manager with limits, of which one refuses a request, and a heap of its own. What it has stays well below the brink. */
static void host(void) {
    HM_LIMITS limits = {.cbSize = sizeof limits, .cbHardReserve = 65536 * KIB};
    limits.cbSoftCommit = 4608 * KIB;
    limits.cbHardCommit = 6144 * KIB;
    HM_OPTIONS options = {.cbSize = sizeof options, .pszName = "host of hold", .pLimits = &limits, .msLowSpacing = 80};
    IHostMemoryManager *m = NULL;
    IHostMalloc *heap = NULL;
    void *p = NULL;
    if (HmCreateMemoryManager(&options, &m) != S_OK || m->lpVtbl->CreateMalloc(m, MALLOC_THREADSAFE, &heap) != S_OK) must(NULL);
    m->lpVtbl->VirtualAlloc(m, NULL, 3072 * KIB, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE, eTaskCritical, &p);
    must(p);
    m->lpVtbl->VirtualAlloc(m, NULL, 2048 * KIB, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE, eTaskCritical, &p);
    if (p != NULL || heap->lpVtbl->Alloc(heap, 300 * KIB, eTaskCritical, &p) != S_OK) must(NULL);
}

int main(int argc, char **argv) {
    HANDLE heap = must(HmHeapCreate(0, 0, 0));
    for (size_t i = 0; i < BLOCKS; i++) block[i] = must(HmHeapAlloc(heap, 0, 48));
    must(HmHeapAlloc(heap, 0, 3 * 1024 * KIB));
    must(HmHeapAlloc(NULL, 0, 1000));
    reserve(6400 * KIB, 900 * KIB);
    reserve(640 * KIB, 0);
    for (int i = 0; i < 12; i++) reserve(192 * KIB, (size_t)i * 16 * KIB);
    reserve((size_t)5 << 30, 64 * KIB); /* more than a region holds */
    host();
    keep_one();
    HM_STATS stats = {.cbSize = sizeof stats};
    HmGetStats(&stats);
    printf("{\"process\": %d, \"reserved_bytes\": %zu, \"committed_bytes\": %zu, \"allocations\": %zu, \"live_blocks\": %zu, "
           "\"live_bytes\": %zu, "
           "\"cached_spans\": %zu, \"heaps\": %zu, \"managers\": %zu, \"charged\": %zu}\n",
           (int)getpid(), (size_t)stats.cbReserved, (size_t)stats.cbCommitted, (size_t)stats.cAllocations, (size_t)stats.cBlocks,
           (size_t)stats.cbBlocks, (size_t)stats.cSpansCached, (size_t)stats.cHeaps,
           (size_t)stats.cManagers, (size_t)stats.cbCharged[1]);
    fflush(stdout);
    if (argc > 1)
        sleep((unsigned)atoi(argv[1]));
    else
        while (getchar() != EOF) continue;
    return 0;
}
