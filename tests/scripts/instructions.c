/*
 * instructions.c - the requests that a thread's cache answers, to be counted by callgrind: `instructions REQUEST off|on|counted|
 * tracked`. With "on" every limit is set (and far), a callback is registered and the thread that watches runs, the process
 * publishes a view of itself, and another manager counts its calls and tracks its blocks; the requests must cost the same. With
 * the last two it is this manager that counts or tracks.
 */
#include <stdio.h>
#include <string.h>

#include "hostmem.h"

#define COUNT 1000
#define FAR_LIMITS {sizeof(HM_LIMITS), (SIZE_T)1 << 40, (SIZE_T)1 << 41, (SIZE_T)1 << 36, (SIZE_T)1 << 37, 65536}

static HRESULT STDMETHODCALLTYPE callback_query(ICLRMemoryNotificationCallback *face, REFIID riid, void **out) {
    (void)face, (void)riid, (void)out;
    return E_NOINTERFACE;
}
static ULONG STDMETHODCALLTYPE callback_count(ICLRMemoryNotificationCallback *face) {
    (void)face;
    return 1;
}
static HRESULT STDMETHODCALLTYPE callback_hear(ICLRMemoryNotificationCallback *face, EMemoryAvailable available) {
    (void)face, (void)available;
    return S_OK;
}
static const ICLRMemoryNotificationCallbackVtbl callback_methods = {callback_query, callback_count, callback_count,
                                                                    callback_hear};
static ICLRMemoryNotificationCallback callback = {(ICLRMemoryNotificationCallbackVtbl *)&callback_methods};

static IHostMemoryManager *manager, *other;
static IHostMalloc *heap;

/* A manager whose clerks are busy, with a heap in use. */
static int others_work(const HM_LIMITS *limits) {
    HM_OPTIONS options = {.cbSize = sizeof options, .dwFlags = HM_COUNT_CALLS | HM_TRACK_BLOCKS | HM_PUBLISH, .pszName = "other"};
    HM_STATS stats = {.cbSize = sizeof stats};
    IHostMalloc *others;
    char file[] = "other.c";
    void *block;
    options.cSampleEvery = 1;
    options.pLimits = options.pHeapLimits = options.pProcessLimits = limits;
    if (HmCreateMemoryManager(&options, &other) != S_OK || other->lpVtbl->CreateMalloc(other, 1, &others) != S_OK) return 0;
    for (int i = 0; i < COUNT; i++) {
        if (others->lpVtbl->DebugAlloc(others, 100, eTaskCritical, file, i, &block) != S_OK) return 0;
        if (others->lpVtbl->Alloc(others, 100, eTaskCritical, &block) != S_OK) return 0;
    }
    return HmGetStats(&stats);
}

static void request_host_malloc(void) {
    void *block;
    heap->lpVtbl->Alloc(heap, 100, eTaskCritical, &block);
    heap->lpVtbl->Free(heap, block);
}
static void request_host_debug(void) {
    void *block;
    heap->lpVtbl->DebugAlloc(heap, 100, eTaskCritical, (char *)(size_t)__FILE__, 7, &block); /* as hosts call it */
    heap->lpVtbl->Free(heap, block);
}
static void request_host_virtual(void) {
    void *start;
    manager->lpVtbl->VirtualAlloc(manager, NULL, 65536, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE, eTaskCritical, &start);
    manager->lpVtbl->VirtualFree(manager, start, 0, MEM_RELEASE);
}
static void request_heap(void) { HmHeapFree(NULL, 0, HmHeapAlloc(NULL, 0, 100)); }
static void request_virtual(void) {
    HmVirtualFree(HmVirtualAlloc(NULL, 65536, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE), 0, MEM_RELEASE);
}

/* What callgrind counts. */
__attribute__((noinline)) void counted(void (*request)(void)) {
    for (int i = 0; i < COUNT; i++) request();
}

int main(int argc, char **argv) {
    static const struct {
        const char *name;
        void (*request)(void);
    } requests[] = {{"IHostMalloc", request_host_malloc}, {"DebugAlloc", request_host_debug},
                    {"IHostMemoryManager", request_host_virtual}, {"HmHeapAlloc", request_heap},
                    {"HmVirtualAlloc", request_virtual}};
    static const HM_LIMITS limits = FAR_LIMITS;
    HM_OPTIONS options = {.cbSize = sizeof options};
    if (argc != 3) return 2;
    int on = strcmp(argv[2], "on") == 0;
    if (strcmp(argv[2], "counted") == 0) options.dwFlags = HM_COUNT_CALLS;
    if (strcmp(argv[2], "tracked") == 0) options.dwFlags = HM_TRACK_BLOCKS;
    if (on && !others_work(&limits)) return 1;
    if (on) options.pLimits = options.pHeapLimits = options.pProcessLimits = &limits;
    if (HmCreateMemoryManager(&options, &manager) != S_OK || manager->lpVtbl->CreateMalloc(manager, 1, &heap) != S_OK) return 1;
    if (on && manager->lpVtbl->RegisterMemoryNotificationCallback(manager, &callback) != S_OK) return 1;
    for (size_t i = 0; i < sizeof requests / sizeof *requests; i++) {
        if (strcmp(argv[1], requests[i].name) != 0) continue;
        for (int warm = 0; warm < COUNT; warm++) requests[i].request();
        counted(requests[i].request);
        return 0;
    }
    return 2;
}
