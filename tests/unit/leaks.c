/*
 * Leaks by origin: what is told is what was kept, to the block and the byte; freed blocks and destroyed heaps leave nothing
 * behind; plain Alloc is sampled; without the option nothing is told. The table of sites under threads; running out of memory.
 */
#include "policy/leaks.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cold.h"
#include "check.h"
#include "environment.h"
#include "hostmem.h"
#include "policy/sites.h"
#include "thread.h"

struct told {
    size_t count;
    HM_LEAK leak[64];
    char file[64][64];
};

static void WINAPI told_add(void *context, const HM_LEAK *leak) {
    struct told *told = context;
    CHECK_EQ(leak->cbSize, sizeof *leak);
    if (told->count == 64) return;
    told->leak[told->count] = *leak;
    snprintf(told->file[told->count++], 64, "%s", leak->pszFile ? leak->pszFile : "");
}

static const HM_LEAK *leak_at(const struct told *told, const char *file, DWORD line) {
    for (size_t i = 0; i < told->count; i++) {
        if (told->leak[i].dwLine == line && strcmp(told->file[i], file) == 0) return &told->leak[i];
    }
    return NULL;
}

static IHostMalloc *heap_make(DWORD flags, DWORD every, struct told *told) {
    HM_OPTIONS options = {.cbSize = sizeof options, .dwFlags = flags, .cSampleEvery = every};
    IHostMemoryManager *m = NULL;
    IHostMalloc *heap = NULL;
    if (told != NULL) options.pfnLeak = told_add, options.pLeakContext = told;
    CHECK(HmCreateMemoryManager(&options, &m) == S_OK);
    CHECK(m->lpVtbl->CreateMalloc(m, MALLOC_THREADSAFE, &heap) == S_OK);
    CHECK_EQ(m->lpVtbl->Release(m), 0); /* the heap stands for itself */
    return heap;
}

static void *debug_alloc(IHostMalloc *heap, size_t size, const char *file, int line) {
    void *block = NULL;
    CHECK(heap->lpVtbl->DebugAlloc(heap, size, eTaskCritical, (char *)file, line, &block) == S_OK);
    return block;
}

static void test_debug_alloc(void) {
    static void *blocks[300];
    struct told now = {0}, last = {0};
    char moving[32] = "moving.c"; /* a file's name need not stay where it is */
    IHostMalloc *heap = heap_make(HM_TRACK_BLOCKS, 0, &last);
    for (int i = 0; i < 300; i++) blocks[i] = debug_alloc(heap, 48, "src/a.c", 10 + i % 3);
    for (int i = 0; i < 300; i += 3) CHECK(heap->lpVtbl->Free(heap, blocks[i]) == S_OK); /* all of line 10 */
    debug_alloc(heap, 3000000, moving, 5);
    strcpy(moving, "other.c");
    debug_alloc(heap, 70, moving, 5);
    debug_alloc(heap, 70, NULL, 0);
    CHECK(HmReportLeaks(heap, told_add, &now) == S_OK);
    CHECK_EQ(now.count, 5);
    CHECK(leak_at(&now, "src/a.c", 10) == NULL);
    const HM_LEAK *leak = leak_at(&now, "src/a.c", 12);
    CHECK(leak != NULL && leak->cBlocks == 100 && leak->cbBlocks == 4800 && leak->cEvery == 1 && leak->cFrames == 0);
    CHECK(now.leak[0].cbBlocks == 3002368 && strcmp(now.file[0], "moving.c") == 0); /* the most bytes first, in whole pages */
    CHECK(leak_at(&now, "other.c", 5) != NULL && leak_at(&now, "", 0) != NULL);
    for (size_t i = 1; i < now.count; i++) CHECK(now.leak[i].cbBlocks <= now.leak[i - 1].cbBlocks);
    /* A free that is refused leaves the mark where it is. */
    CHECK(heap->lpVtbl->Free(heap, (char *)blocks[1] + 8) != S_OK);
    CHECK(heap->lpVtbl->Free(heap, &now) != S_OK);
    for (int i = 1; i < 300; i += 3) CHECK(heap->lpVtbl->Free(heap, blocks[i]) == S_OK);
    CHECK_EQ(heap->lpVtbl->Release(heap), 0);
    CHECK_EQ(last.count, 4);
    leak = leak_at(&last, "src/a.c", 12);
    CHECK(leak != NULL && leak->cBlocks == 100);
}

/* Where a heap was, another heap finds no marks. */
static void test_nothing_stays(void) {
    struct told told = {0};
    IHostMalloc *heap = heap_make(HM_TRACK_BLOCKS, 0, NULL), *other;
    for (int i = 0; i < 1000; i++) debug_alloc(heap, 200, "gone.c", i % 7);
    CHECK_EQ(heap->lpVtbl->Release(heap), 0);
    heap = heap_make(HM_TRACK_BLOCKS, 1u << 30, NULL);
    void *block;
    for (int i = 0; i < 1000; i++) CHECK(heap->lpVtbl->Alloc(heap, 200, eTaskCritical, &block) == S_OK);
    CHECK(HmReportLeaks(heap, told_add, &told) == S_OK && HmReportLeaks(NULL, told_add, &told) == S_OK);
    CHECK_EQ(told.count, 0);
    other = heap_make(HM_TRACK_BLOCKS, 0, NULL);
    debug_alloc(other, 200, "one.c", 1);
    CHECK(HmReportLeaks(heap, told_add, &told) == S_OK && told.count == 0);
    CHECK(HmReportLeaks(NULL, told_add, &told) == S_OK && told.count == 1);
    CHECK(HmReportLeaks(NULL, NULL, NULL) == E_POINTER);
    CHECK_EQ(other->lpVtbl->Release(other), 0);
    CHECK_EQ(heap->lpVtbl->Release(heap), 0);
    heap = heap_make(0, 0, NULL); /* does not track */
    debug_alloc(heap, 200, "off.c", 1);
    told.count = 0;
    CHECK(HmReportLeaks(heap, told_add, &told) == E_INVALIDARG);
    CHECK(HmReportLeaks(NULL, told_add, &told) == S_OK && told.count == 0);
    CHECK_EQ(heap->lpVtbl->Release(heap), 0);
}

static void *volatile kept;

__attribute__((noinline)) static void ask_here(IHostMalloc *heap) {
    void *block;
    CHECK(heap->lpVtbl->Alloc(heap, 32, eTaskCritical, &block) == S_OK);
    kept = block;
}

__attribute__((noinline)) static void ask_there(IHostMalloc *heap) {
    void *block;
    CHECK(heap->lpVtbl->Alloc(heap, 500, eTaskCritical, &block) == S_OK);
    kept = block;
}

static void test_samples(void) {
    struct told told = {0};
    IHostMalloc *heap = heap_make(HM_TRACK_BLOCKS, 1, NULL);
    for (volatile int i = 0; i < 40; i++) ask_here(heap); /* volatile: one call in the code, not forty */
    for (volatile int i = 0; i < 30; i++) ask_there(heap);
    CHECK(HmReportLeaks(heap, told_add, &told) == S_OK);
    CHECK_EQ(told.count, 2); /* two places, seen from one loop each */
    CHECK(told.count == 2 && told.leak[0].cBlocks == 30 && told.leak[0].cbBlocks == 30 * 512);
    CHECK(told.leak[1].cBlocks == 40);
    for (size_t i = 0; i < told.count; i++) {
        uintptr_t at = (uintptr_t)told.leak[i].ppFrames[0], here = (uintptr_t)ask_here, there = (uintptr_t)ask_there;
        uintptr_t wanted = i == 0 ? there : here, other = i == 0 ? here : there;
        CHECK(told.leak[i].cFrames >= 2 && told.leak[i].cEvery == 1);
        CHECK(at > wanted);
        CHECK(at - wanted < (wanted < other ? other - wanted : 1000)); /* the nearest frame is the one that asked */
    }
    CHECK_EQ(heap->lpVtbl->Release(heap), 0);
    heap = heap_make(HM_TRACK_BLOCKS, 10, NULL);
    told.count = 0;
    for (volatile int i = 0; i < 1000; i++) ask_here(heap);
    CHECK(HmReportLeaks(heap, told_add, &told) == S_OK);
    CHECK(told.count == 1 && told.leak[0].cBlocks == 100 && told.leak[0].cEvery == 10);
    CHECK_EQ(heap->lpVtbl->Release(heap), 0);
}

/* ---- JSON and the file -------------------------------------------------------------------------------------------- */

static char text[20000];
static size_t held;

static void WINAPI keep(void *context, const char *piece, SIZE_T length) {
    (void)context;
    if (!CHECK(held + length < sizeof text)) return;
    memcpy(text + held, piece, length);
    text[held += length] = 0;
}

static void test_json(void) {
    IHostMalloc *heap = heap_make(HM_TRACK_BLOCKS, 5, NULL);
    debug_alloc(heap, 30, "dir\\a \"b\".c", 3);
    CHECK(HmWriteLeaks(heap, keep, NULL) == S_OK);
    CHECK(strcmp(text, "{\"leaks\": [{\"file\": \"dir\\\\a \\\"b\\\".c\", \"line\": 3, \"blocks\": 1, \"bytes\": 32, "
                       "\"every\": 1, \"stack\": []}], \"blocks\": 1, \"bytes\": 32}\n") == 0);
    for (volatile int i = 0; i < 10; i++) ask_here(heap);
    held = 0;
    CHECK(HmWriteLeaks(heap, keep, NULL) == S_OK);
    CHECK(strstr(text, "\"every\": 5, \"stack\": [\"leaks") != NULL);    /* this program is in it */
    CHECK(strstr(text, "\"blocks\": 11, \"bytes\": 352}\n") != NULL); /* two samples stand for ten */
    CHECK(HmWriteLeaks(heap, NULL, NULL) == E_POINTER);
    CHECK_EQ(heap->lpVtbl->Release(heap), 0);
}

/* What a program that knows nothing of it can be asked for from outside. */
static void test_environment(void) {
    char path[64];
    snprintf(path, sizeof path, "hostmem-leaks-%d.json", (int)getpid());
    environment_set("HOSTMEM_LEAKS", "1");
    environment_set("HOSTMEM_LEAK_REPORT", path);
    IHostMalloc *heap = heap_make(0, 0, NULL);
    void *block = debug_alloc(heap, 40, "kept.c", 8);
    CHECK(heap->lpVtbl->Free(heap, block) == S_OK);
    CHECK_EQ(heap->lpVtbl->Release(heap), 0); /* nothing is left: nothing is written */
    FILE *file = fopen(path, "r");
    CHECK(file == NULL);
    if (file != NULL) fclose(file);
    heap = heap_make(0, 0, NULL);
    debug_alloc(heap, 40, "kept.c", 9);
    CHECK_EQ(heap->lpVtbl->Release(heap), 0);
    environment_set("HOSTMEM_LEAKS", "");
    environment_set("HOSTMEM_LEAK_REPORT", "");
    file = fopen(path, "r");
    if (!CHECK(file != NULL)) return;
    text[fread(text, 1, sizeof text - 1, file)] = 0;
    fclose(file);
    remove(path);
    CHECK(strstr(text, "\"file\": \"kept.c\", \"line\": 9, \"blocks\": 1, ") != NULL && strstr(text, "}\n") != NULL);
    heap = heap_make(0, 0, NULL);
    CHECK(HmReportLeaks(heap, told_add, &text) == E_INVALIDARG);
    CHECK_EQ(heap->lpVtbl->Release(heap), 0);
}

/* ---- Threads and shortage ------------------------------------------------------------------------------------------ */

static uint32_t seen[8][500];

static void *make_sites(void *context) {
    uint32_t *mine = context;
    char name[32];
    for (int round = 0; round < 3; round++) {
        for (uint32_t i = 0; i < 500; i++) {
            snprintf(name, sizeof name, "file%u.c", (unsigned)i % 50);
            uint32_t number = site_of_place(name, i);
            CHECK(round == 0 || mine[i] == number);
            mine[i] = number;
        }
    }
    return NULL;
}

static void test_sites(void) {
    struct threads threads = {0};
    for (int i = 0; i < 8; i++) threads_start(&threads, make_sites, seen[i]);
    threads_join(&threads);
    for (uint32_t i = 0; i < 500; i++) {
        const struct site *site = site_numbered(seen[0][i]);
        CHECK(site != NULL && site->line == i && site->number == seen[0][i]);
        for (int t = 1; t < 8; t++) CHECK_EQ(seen[t][i], seen[0][i]);
    }
    CHECK(site_numbered(0) == NULL && site_numbered(site_count() + 1) == NULL && site_numbered(UINT32_MAX) == NULL);
}

static void *ask_and_free(void *context) {
    IHostMalloc *heap = context;
    void *held_blocks[32] = {0};
    uint64_t random = 5;
    for (int i = 0; i < 20000; i++) {
        unsigned at = thread_random(&random) % 32;
        if (held_blocks[at] != NULL) CHECK(heap->lpVtbl->Free(heap, held_blocks[at]) == S_OK);
        held_blocks[at] = debug_alloc(heap, 16 + thread_random(&random) % 500, "thread.c", (int)at);
    }
    return NULL;
}

static void test_threads(void) {
    struct told told = {0};
    struct threads threads = {0};
    IHostMalloc *heap = heap_make(HM_TRACK_BLOCKS, 0, NULL);
    for (int i = 0; i < 4; i++) threads_start(&threads, ask_and_free, heap);
    for (int i = 0; i < 20; i++) told.count = 0, CHECK(HmReportLeaks(heap, told_add, &told) == S_OK);
    threads_join(&threads);
    told.count = 0;
    CHECK(HmReportLeaks(heap, told_add, &told) == S_OK);
    CHECK_EQ(told.count, 32);
    for (size_t i = 0; i < told.count; i++) CHECK_EQ(told.leak[i].cBlocks, 4);
    CHECK_EQ(heap->lpVtbl->Release(heap), 0);
}

#ifdef HM_FAULT
static void test_shortage(void) {
    struct told told = {0};
    IHostMalloc *heap = heap_make(HM_TRACK_BLOCKS, 0, NULL);
    cold_fail_after(1);
    CHECK_EQ(site_of_place("new.c", 1), 0);
    CHECK(debug_alloc(heap, 40, "short.c", 1) != NULL); /* the block is given out all the same */
    CHECK(HmReportLeaks(heap, told_add, &told) == E_OUTOFMEMORY);
    cold_fail_after(-1);
    CHECK(HmReportLeaks(heap, told_add, &told) == S_OK && told.count == 0);
    CHECK(debug_alloc(heap, 40, "short.c", 1) != NULL);
    CHECK(HmReportLeaks(heap, told_add, &told) == S_OK && told.count == 1);
    CHECK_EQ(heap->lpVtbl->Release(heap), 0);
}
#endif

int main(void) {
    test_debug_alloc();
    test_nothing_stays();
    test_samples();
    test_json();
    test_environment();
    test_sites();
    test_threads();
#ifdef HM_FAULT
    test_shortage();
#endif
    return check_done();
}
