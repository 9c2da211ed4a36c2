/*
 * The figures that people see: they add up to what a program did, exactly while it rests; the struct of an earlier version is
 * filled no further than it reaches; JSON is whole; calls are counted by kind and level where that is asked for; and a view
 * written from the tables says the same as the figures.
 */
#include "policy/clerks.h"

#include <stdlib.h>
#include <string.h>

#include "alone.h"
#include "check.h"
#include "core/cache.h"
#include "hostmem.h"
#include "os/os.h"
#include "policy/view.h"
#include "thread.h"

#define KIB ((size_t)1024)
#define ROUNDS 50000
#define UNTOUCHED 0xdeadu /* a last error that no call of ours leaves */

static HM_STATS stats_now(void) {
    HM_STATS stats = {.cbSize = sizeof stats};
    CHECK(HmGetStats(&stats));
    return stats;
}

static HM_HEAP_STATS heap_now(HANDLE heap) {
    HM_HEAP_STATS stats = {.cbSize = sizeof stats};
    CHECK(HmGetHeapStats(heap, &stats));
    return stats;
}

static void test_versions(void) {
    HM_STATS stats;
    size_t first = offsetof(HM_STATS, cHeaps);
    memset(&stats, 0xee, sizeof stats);
    stats.cbSize = first;
    CHECK(HmGetStats(&stats));
    CHECK_EQ(stats.cbSize, first);
    CHECK_EQ(((unsigned char *)&stats)[first], 0xee); /* not written past what the caller has */
    stats.cbSize = first - 1;
    CHECK(!HmGetStats(&stats));
    CHECK_EQ(HmGetLastError(), ERROR_BAD_LENGTH);
    CHECK(!HmGetStats(NULL));
    CHECK_EQ(HmGetLastError(), ERROR_NOACCESS);
    HM_HEAP_STATS heap = {.cbSize = sizeof heap - 1};
    CHECK(!HmGetHeapStats(NULL, &heap) && HmGetLastError() == ERROR_BAD_LENGTH);
    heap.cbSize = sizeof heap;
    CHECK(!HmGetHeapStats(&heap, &heap) && HmGetLastError() == ERROR_INVALID_HANDLE);
    CHECK(!HmGetHeapStats(NULL, NULL) && HmGetLastError() == ERROR_NOACCESS);
    CHECK(!HmWriteStats(NULL, NULL) && HmGetLastError() == ERROR_NOACCESS);
}

/* What a program holds and what the caches hold, after each of its steps. */
static void test_blocks(void) {
    static void *blocks[3000];
    HANDLE heap = HmHeapCreate(0, 0, 0);
    HM_STATS before = stats_now();
    for (int i = 0; i < 3000; i++) blocks[i] = HmHeapAlloc(heap, 0, 64);
    void *large = HmHeapAlloc(heap, 0, 3000 * KIB);
    HM_STATS after = stats_now();
    CHECK_EQ(after.cBlocks - before.cBlocks, 3001);
    CHECK_EQ(after.cbBlocks - before.cbBlocks, 3000 * 64 + 3000 * KIB);
    CHECK(after.cBlocksRefilled - before.cBlocksRefilled >= 3000 && after.cRefills > before.cRefills);
    HM_HEAP_STATS mine = heap_now(heap);
    CHECK_EQ(mine.cBlocks, 3001);
    CHECK_EQ(mine.cbBlocks, 3000 * 64 + 3000 * KIB);
    CHECK_EQ(mine.cbReserved, mine.cbCommitted);
    CHECK(mine.cbPeak >= mine.cbReserved && mine.cbReserved >= 3000 * 64 + 3000 * KIB);
    for (int i = 0; i < 3000; i += 3) CHECK(HmHeapFree(heap, 0, blocks[i]));
    CHECK_EQ(heap_now(heap).cBlocks, 2001);
    for (int i = 0; i < 3000; i++) {
        if (i % 3 != 0) HmHeapFree(heap, 0, blocks[i]);
    }
    CHECK(HmHeapFree(heap, 0, large));
    mine = heap_now(heap);
    CHECK_EQ(mine.cBlocks, 0);
    CHECK(mine.cBlocksCached > 0);
    after = stats_now();
    CHECK_EQ(after.cBlocks, before.cBlocks);
    CHECK(after.cBlocksCached >= mine.cBlocksCached);
    HmTrim();
    mine = heap_now(heap);
    CHECK_EQ(mine.cBlocksCached, 0);
    CHECK_EQ(mine.cbReserved, 0);
    CHECK(mine.cbPeak >= 3000 * 64 + 3000 * KIB);
    CHECK_EQ(stats_now().cBlocksCached, 0);
    CHECK(stats_now().cBlocksFlushed > before.cBlocksFlushed);
    CHECK(HmHeapDestroy(heap));
}

static void test_allocations(void) {
    HmTrim();
    HM_STATS before = stats_now();
    char *p = HmVirtualAlloc(NULL, 640 * KIB, MEM_RESERVE, PAGE_READWRITE);
    CHECK(HmVirtualAlloc(p, 100 * KIB, MEM_COMMIT, PAGE_READWRITE) == p);
    CHECK(HmVirtualFree(p, 8 * KIB, MEM_DECOMMIT));
    HM_STATS after = stats_now();
    CHECK_EQ(after.cbReserved - before.cbReserved, 640 * KIB);
    CHECK_EQ(after.cbCommitted - before.cbCommitted, 92 * KIB);
    CHECK_EQ(after.cSystemCalls[2] - before.cSystemCalls[2], 1);
    CHECK_EQ(after.cSystemCalls[3] - before.cSystemCalls[3], 1);
    CHECK(HmVirtualFree(p, 0, MEM_RELEASE));
    p = HmVirtualAlloc(NULL, 64 * KIB, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    CHECK(HmVirtualFree(p, 0, MEM_RELEASE));
    after = stats_now();
    CHECK_EQ(after.cAllocations, before.cAllocations);
    CHECK_EQ(after.cSpansCached - before.cSpansCached, 1);
    CHECK_EQ(after.cbSpansCached - before.cbSpansCached, 64 * KIB);
    CHECK(!HmVirtualFree(p, 0, MEM_RELEASE));
    CHECK_EQ(stats_now().cFailures - after.cFailures, 1);
    HmTrim();
    CHECK_EQ(stats_now().cSpansCached, 0);
}

/* Counting while others work: every figure stays possible. */
static uint64_t stop;

static void *worker(void *heap) {
    uint64_t random = (uint64_t)(uintptr_t)&random;
    void *held[64] = {0};
    for (int i = 0; i < ROUNDS; i++) {
        unsigned at = thread_random(&random) % 64;
        if (held[at] != NULL) CHECK(HmHeapFree(heap, 0, held[at]));
        held[at] = HmHeapAlloc(heap, 0, 16 + thread_random(&random) % 3000);
    }
    for (int i = 0; i < 64; i++) HmHeapFree(heap, 0, held[i]);
    atom_add_acqrel_u64(&stop, 1);
    return NULL;
}

static void test_meanwhile(void) {
    HANDLE heap = HmHeapCreate(0, 0, 0);
    struct threads threads = {0};
    for (int i = 0; i < 3; i++) threads_start(&threads, worker, heap);
    size_t looks = 0;
    do {
        HM_HEAP_STATS mine = heap_now(heap);
        CHECK(mine.cbBlocks <= 64u << 20 && mine.cBlocksCached <= 1u << 20);
        looks++;
    } while (atom_load_acq_u64(&stop) < 3); /* acq: the workers have finished */
    threads_join(&threads);
    CHECK(looks > 0);
    CHECK_EQ(heap_now(heap).cBlocks, 0);
    CHECK_EQ(heap_now(heap).cBlocksCached, 0); /* their ends gave everything back */
    CHECK(HmHeapDestroy(heap));
}

/* ---- JSON and calls ----------------------------------------------------------------------------------------------- */

static char text[200000];
static size_t held;

static void WINAPI keep(void *context, const char *piece, SIZE_T length) {
    CHECK(context == &held && held + length < sizeof text);
    memcpy(text + held, piece, length);
    held += length;
    text[held] = 0;
}

/* The number after a key, from `from` on. */
static uint64_t number(const char *from, const char *key) {
    char quoted[64];
    snprintf(quoted, sizeof quoted, "\"%s\": ", key);
    const char *at = from ? strstr(from, quoted) : NULL;
    return CHECK(at != NULL) ? strtoull(at + strlen(quoted), NULL, 10) : 0;
}

static void write_all(void) {
    held = 0;
    os_last_error_set(UNTOUCHED);
    CHECK(HmWriteStats(keep, &held));
    CHECK_EQ(HmGetLastError(), UNTOUCHED);
    CHECK(held > 2 && text[0] == '{' && strcmp(text + held - 2, "}\n") == 0);
    int depth = 0, lowest = 1;
    for (size_t i = 0; i + 2 < held; i++) {
        depth += (text[i] == '{' || text[i] == '[') - (text[i] == '}' || text[i] == ']');
        if (depth < lowest) lowest = depth;
    }
    CHECK(lowest == 1 && depth == 1);
}

static void test_calls(void) {
    IHostMemoryManager *m = NULL;
    IHostMalloc *heap = NULL;
    void *p = NULL, *block = NULL;
    HM_OPTIONS options = {.cbSize = sizeof options, .dwFlags = HM_COUNT_CALLS};
    options.pszName = "the \"tested\" one, whose name is too long";
    if (!CHECK(HmCreateMemoryManager(&options, &m) == S_OK)) return;
    CHECK(m->lpVtbl->CreateMalloc(m, MALLOC_THREADSAFE, &heap) == S_OK);
    for (int i = 0; i < 5; i++) {
        CHECK(m->lpVtbl->VirtualAlloc(m, NULL, 4096, MEM_COMMIT, PAGE_READWRITE, eAppDomainCritical, &p) == S_OK);
        CHECK(m->lpVtbl->VirtualFree(m, p, 0, MEM_RELEASE) == S_OK);
        CHECK(heap->lpVtbl->Alloc(heap, 40, eProcessCritical, &block) == S_OK);
        CHECK(heap->lpVtbl->Free(heap, block) == S_OK);
    }
    CHECK(m->lpVtbl->VirtualFree(m, p, 0, MEM_RELEASE) != S_OK);
    CHECK(heap->lpVtbl->Alloc(heap, 40, (EMemoryCriticalLevel)7, &block) != S_OK);
    write_all();
    const char *mine = strstr(text, "\"name\": \"the \\\"tested\\\" one, whose name is\", \"manager\": ");
    if (!CHECK(mine != NULL)) return;
    CHECK_EQ(number(strstr(mine, "\"virtual_alloc\""), "domain"), 5);
    CHECK_EQ(number(strstr(mine, "\"virtual_free\""), "none"), 6);
    CHECK_EQ(number(strstr(mine, "\"virtual_free\""), "failed"), 1);
    CHECK_EQ(number(strstr(mine, "\"create_malloc\""), "none"), 1);
    CHECK_EQ(number(strstr(mine, "\"alloc\""), "process"), 5);
    CHECK_EQ(number(strstr(mine, "\"alloc\""), "failed"), 1);
    CHECK_EQ(number(strstr(mine, "\"free\""), "none"), 5);
    CHECK_EQ(heap->lpVtbl->Release(heap), 0);
    CHECK_EQ(number(strstr(mine, "\"failed\": {"), "not_ours"), 1);
    CHECK_EQ(m->lpVtbl->Release(m), 0);
    HmTrim(); /* what it left in a cache is still its own */
    write_all();
    CHECK(strstr(text, "tested") == NULL);
    options.dwFlags = 1u << 31;
    CHECK(HmCreateMemoryManager(&options, &m) == E_INVALIDARG);
    options = (HM_OPTIONS){.cbSize = offsetof(HM_OPTIONS, dwFlags)};
    CHECK(HmCreateMemoryManager(&options, &m) == S_OK); /* the first version's */
    if (m != NULL) CHECK_EQ(m->lpVtbl->Release(m), 0);
}

static void test_json(void) {
    HANDLE heap = HmHeapCreate(0, 0, 0);
    void *block = HmHeapAlloc(heap, 0, 1000);
    HM_STATS stats = stats_now();
    write_all();
    CHECK_EQ(number(text, "version"), 2);
    CHECK_EQ(number(text, "live_blocks"), stats.cBlocks);
    CHECK_EQ(number(text, "live_bytes"), stats.cbBlocks);
    CHECK_EQ(number(text, "committed_bytes"), stats.cbCommitted);
    CHECK_EQ(number(strstr(text, "\"size_bytes\": 1024"), "live"), 1);
    CHECK(HmHeapFree(heap, 0, block));
    CHECK(HmHeapDestroy(heap));
}

/* ---- Budgets ------------------------------------------------------------------------------------------------------ */

/* What a budget's object says, of the object that begins at `from`. */
static uint64_t budgeted(const char *from, const char *key) { return number(from ? strstr(from, "\"budget\"") : NULL, key); }

/* The same in the view, of the manager with that much. */
static void view_says(const HM_STATS *stats, uint64_t committed) {
    struct published_half *half = calloc(1, sizeof *half);
    view_write(half);
    CHECK(half->count_managers == stats->cManagers && half->process.committed_bytes == stats->cbCharged[1]);
    for (uint64_t i = 0; i < half->count_managers; i++) {
        if (strcmp(half->manager[i].name, "bounded") != 0) continue;
        CHECK_EQ(half->manager[i].budget.committed_bytes, committed);
        CHECK_EQ(half->manager[i].budget.refused_process, 1);
    }
    free(half);
}

static void test_budgets(void) {
    IHostMemoryManager *m = NULL;
    IHostMalloc *heap = NULL;
    void *p = NULL, *block = NULL, *none;
    HM_LIMITS limits = {sizeof limits, 0, 1 << 30, 4096 * KIB, 8192 * KIB, 0};
    HM_LIMITS of_heap = {.cbSize = sizeof of_heap, .cbHardCommit = 1024 * KIB};
    HM_OPTIONS options = {.cbSize = sizeof options, .pszName = "bounded", .pLimits = &limits, .pHeapLimits = &of_heap};
    HmTrim();
    HM_STATS before = stats_now();
    if (!CHECK(HmCreateMemoryManager(&options, &m) == S_OK)) return;
    CHECK(m->lpVtbl->CreateMalloc(m, MALLOC_THREADSAFE, &heap) == S_OK);
    CHECK(m->lpVtbl->VirtualAlloc(m, NULL, 16384 * KIB, MEM_RESERVE, PAGE_READWRITE, eTaskCritical, &p) == S_OK);
    CHECK(m->lpVtbl->VirtualAlloc(m, p, 3072 * KIB, MEM_COMMIT, PAGE_READWRITE, eTaskCritical, &p) == S_OK);
    CHECK(heap->lpVtbl->Alloc(heap, 40 * KIB, eTaskCritical, &block) == S_OK);
    /* However often the engine tries, a request is refused once: new and inside, by the heap's limit and by the manager's. */
    char *behind = (char *)p + 4096 * KIB;
    CHECK(m->lpVtbl->VirtualAlloc(m, behind, 1024 * KIB, MEM_COMMIT, PAGE_READWRITE, eTaskCritical, &none) != S_OK);
    CHECK(m->lpVtbl->VirtualAlloc(m, NULL, 6144 * KIB, MEM_COMMIT, PAGE_READWRITE, eAppDomainCritical, &none) != S_OK);
    CHECK(m->lpVtbl->VirtualAlloc(m, NULL, 6144 * KIB, MEM_COMMIT, PAGE_READWRITE, eProcessCritical, &none) != S_OK);
    CHECK(heap->lpVtbl->Alloc(heap, 1024 * KIB, eTaskCritical, &none) != S_OK);
    while (heap->lpVtbl->Alloc(heap, 3000, eAppDomainCritical, &none) == S_OK) continue;
    HM_STATS after = stats_now();
    uint64_t taken = after.cbHeapReserved - before.cbHeapReserved;
    CHECK_EQ(after.cManagers - before.cManagers, 1);
    CHECK_EQ(after.cbCharged[0] - before.cbCharged[0], 16384 * KIB + taken);
    CHECK_EQ(after.cbCharged[1] - before.cbCharged[1], 3072 * KIB + taken);
    CHECK_EQ(after.cbCharged[0], after.cbReserved + after.cbHeapReserved + after.cbSpansCached);
    CHECK_EQ(after.cbCharged[1], after.cbCommitted + after.cbHeapReserved + after.cbSpansCached);
    CHECK(after.cbChargedPeak[0] >= after.cbCharged[0] && after.cbChargedPeak[1] >= after.cbCharged[1]);
    write_all();
    CHECK_EQ(budgeted(text, "reserved_bytes"), after.cbCharged[0]);
    CHECK_EQ(budgeted(text, "committed_bytes"), after.cbCharged[1]);
    CHECK_EQ(budgeted(text, "peak_committed_bytes"), after.cbChargedPeak[1]);
    const char *mine = strstr(text, "\"name\": \"bounded\"");
    CHECK_EQ(budgeted(mine, "reserved_bytes"), 16384 * KIB + taken);
    CHECK_EQ(budgeted(mine, "committed_bytes"), 3072 * KIB + taken);
    CHECK_EQ(budgeted(mine, "soft_commit_bytes"), 4096 * KIB);
    CHECK_EQ(budgeted(mine, "hard_commit_bytes"), 8192 * KIB);
    CHECK_EQ(budgeted(mine, "hard_reserve_bytes"), 1 << 30);
    CHECK_EQ(budgeted(mine, "refused_task"), 1);
    CHECK_EQ(budgeted(mine, "refused_domain"), 1);
    CHECK_EQ(budgeted(mine, "refused_process"), 1);
    const char *heaps = strstr(text, "\"heaps\": ["), *of_mine = heaps;
    while (of_mine && number(of_mine, "manager") == 0) of_mine = strstr(of_mine + 1, "{\"heap\": ");
    CHECK_EQ(budgeted(of_mine, "committed_bytes"), taken);
    CHECK_EQ(budgeted(of_mine, "hard_commit_bytes"), 1024 * KIB);
    CHECK_EQ(budgeted(of_mine, "refused_task"), 1);
    CHECK_EQ(budgeted(of_mine, "refused_domain"), 1);
    view_says(&after, 3072 * KIB + taken);
    CHECK(m->lpVtbl->VirtualFree(m, p, 0, MEM_RELEASE) == S_OK);
    CHECK_EQ(heap->lpVtbl->Release(heap), 0);
    CHECK_EQ(m->lpVtbl->Release(m), 0);
    HmTrim();
    after = stats_now();
    CHECK(after.cManagers == before.cManagers && after.cbCharged[0] == before.cbCharged[0]);
}

/* ---- The view ------------------------------------------------------------------------------------------------------ */

static void totals_now(struct published_totals *totals) {
    clerks_totals(totals);
    totals->memory_available_bytes = totals->memory_load_percent = 0; /* what the system has free changes by itself */
}

/* A view, and totals that were the same before and after it: the keeper is at work at times, and has a few figures change. */
static bool view_at_rest(struct published_half *half, struct published_totals *totals) {
    struct published_totals before;
    for (int tries = 0; tries < 1000; tries++) {
        totals_now(&before);
        view_write(half);
        totals_now(totals);
        half->totals.memory_available_bytes = half->totals.memory_load_percent = 0;
        if (memcmp(&before, totals, sizeof before) == 0) return true;
    }
    return false;
}

static void test_view(void) {
    struct published_half *half = calloc(1, sizeof *half);
    struct published_totals totals;
    HANDLE heap = HmHeapCreate(0, 0, 0);
    void *block = HmHeapAlloc(heap, 0, 5000);
    char *p = HmVirtualAlloc(NULL, 640 * KIB, MEM_RESERVE, PAGE_READWRITE);
    HmVirtualAlloc(p, 80 * KIB, MEM_COMMIT, PAGE_READWRITE);
    CHECK(view_at_rest(half, &totals));
    CHECK_EQ(memcmp(&half->totals, &totals, sizeof totals), 0);
    uint64_t live = 0, used[USE_COUNT] = {0}, taken = 0;
    for (unsigned i = 0; i < PUBLISHED_CLASSES; i++) live += half->row[i].live_bytes;
    CHECK_EQ(live, totals.live_bytes);
    CHECK_EQ(half->count_regions, totals.regions);
    for (uint64_t r = 0; r < half->count_regions && r < PUBLISHED_REGIONS; r++) {
        taken += half->region[r].granules_taken;
        for (size_t g = 0; g < GRANULES_PER_SLOT; g++) used[half->region[r].granule[g].use]++;
        uintptr_t offset = (uintptr_t)p - half->region[r].start;
        if (offset >= SLOT_BYTES) continue;
        const struct published_granule *mine = &half->region[r].granule[offset >> GRANULE_SHIFT];
        CHECK(mine[0].use == USE_ALLOCATION && mine[0].first && mine[0].committed == 16);
        CHECK(mine[1].use == USE_ALLOCATION && !mine[1].first && mine[1].committed == 4 && mine[2].committed == 0);
    }
    CHECK_EQ(taken, totals.granules_taken);
    CHECK_EQ(used[USE_ALLOCATION] + used[USE_SLAB] + used[USE_LARGE] + used[USE_CACHED], taken);
    CHECK(used[USE_SLAB] > 0);
    CHECK(HmVirtualFree(p, 0, MEM_RELEASE) && HmHeapFree(heap, 0, block) && HmHeapDestroy(heap));
    free(half);
}

int main(void) {
    keeper_forbid(); /* what it gives back would come between two counts */
    test_versions();
    test_blocks();
    test_allocations();
    test_meanwhile();
    test_json();
    test_calls();
    test_budgets();
    test_view();
    return check_done();
}
