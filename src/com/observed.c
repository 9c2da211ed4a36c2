/*
 * observed.c - the methods that observe, and the exported reports about what they saw.
 *
 * A heap takes over what its manager was made with. What is to be reported is told when the heap's last reference goes, before
 * its blocks do, and then the blocks' marks are taken off (policy/leaks.h, invariant 2).
 */
#include "com/observed.h"

#include "com/com.h"
#include "core/settings.h"
#include "os/os.h"
#include "os/os_look.h"
#include "policy/leaks.h"
#include "policy/view.h"

#define SAMPLE_EVERY 2048u
#define PATH_ROOM 1024

/* Any object of ours, seen from its interface. */
struct observed_object {
    const void *methods;
    struct observed observed;
};

static struct observed *observed_of(void *face) { return &((struct observed_object *)face)->observed; }

static HRESULT counted(void *face, enum call call, uint32_t level, HRESULT answer) {
    struct call_record *calls = observed_of(face)->calls;
    return calls ? calls_count(calls, call, level, answer) : answer;
}

/* ---- A manager's methods ------------------------------------------------------------------------------------------ */

static HRESULT STDMETHODCALLTYPE counted_query_interface(IHostMemoryManager *face, REFIID riid, void **ppvObject) {
    return counted(face, CALL_OTHER, LEVEL_NONE, manager_methods.QueryInterface(face, riid, ppvObject));
}

static ULONG STDMETHODCALLTYPE counted_add_ref(IHostMemoryManager *face) { return manager_methods.AddRef(face); }
static ULONG STDMETHODCALLTYPE counted_release(IHostMemoryManager *face) { return manager_methods.Release(face); }

static HRESULT STDMETHODCALLTYPE counted_create_malloc(IHostMemoryManager *face, DWORD dwMallocType, IHostMalloc **ppMalloc) {
    return counted(face, CALL_CREATE_MALLOC, LEVEL_NONE, manager_methods.CreateMalloc(face, dwMallocType, ppMalloc));
}

static HRESULT STDMETHODCALLTYPE counted_alloc(IHostMemoryManager *face, void *pAddress, SIZE_T dwSize, DWORD flAllocationType,
                                               DWORD flProtect, EMemoryCriticalLevel level, void **ppMem) {
    return counted(face, CALL_VIRTUAL_ALLOC, calls_level(level),
                   manager_methods.VirtualAlloc(face, pAddress, dwSize, flAllocationType, flProtect, level, ppMem));
}

static HRESULT STDMETHODCALLTYPE counted_free(IHostMemoryManager *face, LPVOID lpAddress, SIZE_T dwSize, DWORD dwFreeType) {
    return counted(face, CALL_VIRTUAL_FREE, LEVEL_NONE, manager_methods.VirtualFree(face, lpAddress, dwSize, dwFreeType));
}

/* A record and the ordinary query neither wait nor allocate: this one, too, may run while other threads are suspended. */
static HRESULT STDMETHODCALLTYPE counted_query(IHostMemoryManager *face, void *lpAddress, void *lpBuffer, SIZE_T dwLength,
                                               SIZE_T *pResult) {
    return counted(face, CALL_VIRTUAL_QUERY, LEVEL_NONE,
                   manager_methods.VirtualQuery(face, lpAddress, lpBuffer, dwLength, pResult));
}

static HRESULT STDMETHODCALLTYPE counted_protect(IHostMemoryManager *face, void *lpAddress, SIZE_T dwSize, DWORD flNewProtect,
                                                 DWORD *pflOldProtect) {
    return counted(face, CALL_VIRTUAL_PROTECT, LEVEL_NONE,
                   manager_methods.VirtualProtect(face, lpAddress, dwSize, flNewProtect, pflOldProtect));
}

static HRESULT STDMETHODCALLTYPE counted_load(IHostMemoryManager *face, DWORD *pMemoryLoad, SIZE_T *pAvailableBytes) {
    return counted(face, CALL_OTHER, LEVEL_NONE, manager_methods.GetMemoryLoad(face, pMemoryLoad, pAvailableBytes));
}

static HRESULT STDMETHODCALLTYPE counted_register(IHostMemoryManager *face, ICLRMemoryNotificationCallback *pCallback) {
    return counted(face, CALL_OTHER, LEVEL_NONE, manager_methods.RegisterMemoryNotificationCallback(face, pCallback));
}

static HRESULT STDMETHODCALLTYPE counted_needs(IHostMemoryManager *face, LPVOID startAddress, SIZE_T size) {
    return counted(face, CALL_OTHER, LEVEL_NONE, manager_methods.NeedsVirtualAddressSpace(face, startAddress, size));
}

static HRESULT STDMETHODCALLTYPE counted_acquired(IHostMemoryManager *face, LPVOID startAddress, SIZE_T size) {
    return counted(face, CALL_OTHER, LEVEL_NONE, manager_methods.AcquiredVirtualAddressSpace(face, startAddress, size));
}

static HRESULT STDMETHODCALLTYPE counted_released(IHostMemoryManager *face, LPVOID startAddress) {
    return counted(face, CALL_OTHER, LEVEL_NONE, manager_methods.ReleasedVirtualAddressSpace(face, startAddress));
}

static const IHostMemoryManagerVtbl manager_observed = {
    counted_query_interface, counted_add_ref, counted_release, counted_create_malloc, counted_alloc,    counted_free,
    counted_query,           counted_protect, counted_load,    counted_register,      counted_needs,    counted_acquired,
    counted_released,
};

/* ---- A heap's methods --------------------------------------------------------------------------------------------- */

static HRESULT STDMETHODCALLTYPE observed_query_interface(IHostMalloc *face, REFIID riid, void **ppvObject) {
    return malloc_methods.QueryInterface(face, riid, ppvObject);
}

static ULONG STDMETHODCALLTYPE observed_add_ref(IHostMalloc *face) { return malloc_methods.AddRef(face); }
static ULONG STDMETHODCALLTYPE observed_release(IHostMalloc *face) { return malloc_methods.Release(face); }

static HRESULT STDMETHODCALLTYPE observed_alloc(IHostMalloc *face, SIZE_T cbSize, EMemoryCriticalLevel level, void **ppMem) {
    uint32_t every = observed_of(face)->track_every;
    HRESULT answer = malloc_methods.Alloc(face, cbSize, level, ppMem);
    if (every != 0 && answer == S_OK) leaks_mark_sample(*ppMem, every, __builtin_return_address(0));
    return counted(face, CALL_ALLOC, calls_level(level), answer);
}

static HRESULT STDMETHODCALLTYPE observed_debug_alloc(IHostMalloc *face, SIZE_T cbSize, EMemoryCriticalLevel level,
                                                      char *pszFileName, int iLineNo, void **ppMem) {
    HRESULT answer = malloc_methods.Alloc(face, cbSize, level, ppMem);
    if (observed_of(face)->track_every != 0 && answer == S_OK) leaks_mark_place(*ppMem, pszFileName, iLineNo);
    return counted(face, CALL_DEBUG_ALLOC, calls_level(level), answer);
}

static HRESULT STDMETHODCALLTYPE observed_free(IHostMalloc *face, void *pMem) {
    uint32_t mark = observed_of(face)->track_every != 0 ? leaks_unmark(pMem) : 0;
    HRESULT answer = malloc_methods.Free(face, pMem);
    if (mark != 0 && answer != S_OK) leaks_mark(pMem, mark);
    return counted(face, CALL_FREE, LEVEL_NONE, answer);
}

static const IHostMallocVtbl malloc_observed = {
    observed_query_interface, observed_add_ref, observed_release, observed_alloc, observed_debug_alloc, observed_free,
};

/*
 * The same where calls are not counted: what tracking costs is what these cost. A good answer is a constant to them; a bad one
 * goes through here, or the compiler would carry both over the marking.
 */
static __attribute__((noinline)) HRESULT refused(HRESULT answer) {
    __asm__ volatile("" : "+r"(answer));
    return answer;
}

static HRESULT STDMETHODCALLTYPE tracked_alloc(IHostMalloc *face, SIZE_T cbSize, EMemoryCriticalLevel level, void **ppMem) {
    HRESULT answer = malloc_methods.Alloc(face, cbSize, level, ppMem);
    if (__builtin_expect(answer != S_OK, 0)) return refused(answer);
    leaks_mark_sample(*ppMem, observed_of(face)->track_every, __builtin_return_address(0));
    return S_OK;
}

static HRESULT STDMETHODCALLTYPE tracked_debug_alloc(IHostMalloc *face, SIZE_T cbSize, EMemoryCriticalLevel level,
                                                     char *pszFileName, int iLineNo, void **ppMem) {
    HRESULT answer = malloc_methods.Alloc(face, cbSize, level, ppMem);
    if (__builtin_expect(answer != S_OK, 0)) return refused(answer);
    leaks_mark_place(*ppMem, pszFileName, iLineNo);
    return S_OK;
}

static HRESULT STDMETHODCALLTYPE tracked_free(IHostMalloc *face, void *pMem) {
    uint32_t mark = leaks_unmark(pMem);
    HRESULT answer = malloc_methods.Free(face, pMem);
    if (__builtin_expect(answer == S_OK, 1)) return S_OK;
    if (mark != 0) leaks_mark(pMem, mark);
    return refused(answer);
}

static const IHostMallocVtbl malloc_tracked = {
    observed_query_interface, observed_add_ref, observed_release, tracked_alloc, tracked_debug_alloc, tracked_free,
};

/* ---- Beginning and end -------------------------------------------------------------------------------------------- */

bool observed_is_manager(const IHostMemoryManagerVtbl *methods) {
    return methods == &manager_methods || methods == &manager_observed;
}

bool observed_is_malloc(const IHostMallocVtbl *methods) {
    return methods == &malloc_methods || methods == &malloc_observed || methods == &malloc_tracked;
}

const IHostMemoryManagerVtbl *observed_manager_start(struct observed *observed, const HM_OPTIONS *options, uint32_t number) {
    uint64_t every = options->cSampleEvery != 0 ? options->cSampleEvery : setting("HOSTMEM_SAMPLE_EVERY");
    bool track = (options->dwFlags & HM_TRACK_BLOCKS) || setting("HOSTMEM_LEAKS") != 0;
    bool count = (options->dwFlags & HM_COUNT_CALLS) || setting("HOSTMEM_COUNT_CALLS") != 0;
    if (every == 0 || every > UINT32_MAX) every = SAMPLE_EVERY;
    if (options->dwFlags & HM_PUBLISH) view_start(1);
    *observed = (struct observed){
        .calls = count ? calls_open(options->pszName, number, 0) : NULL,
        .track_every = track ? (uint32_t)every : 0,
        .leak = options->pfnLeak,
        .leak_context = options->pLeakContext,
    };
    void *frame[1];
    if (track) os_backtrace(NULL, frame, 1); /* what its first call loads is there before a heap is in use */
    return observed->calls ? &manager_observed : &manager_methods;
}

const IHostMallocVtbl *observed_malloc_start(struct observed *observed, const struct observed *manager, const struct heap *heap) {
    if (manager == NULL || (manager->calls == NULL && manager->track_every == 0)) return &malloc_methods;
    *observed = *manager;
    if (manager->calls) observed->calls = calls_open(manager->calls->name, manager->calls->manager, heap_front(heap)->number);
    return observed->calls ? &malloc_observed : observed->track_every != 0 ? &malloc_tracked : &malloc_methods;
}

void observed_manager_end(struct observed *observed) { calls_close(observed->calls); }

static void WINAPI no_text(void *context, const char *text, SIZE_T length) { (void)context, (void)text, (void)length; }

static void WINAPI append(void *context, const char *text, SIZE_T length) { os_file_append(context, text, length); }

/* The report for the environment's file, of one heap or of all, if there is anything to report. */
static void report_to_file(const struct heap *heap) {
    char path[PATH_ROOM];
    uint64_t blocks = 0;
    if (!os_environment("HOSTMEM_LEAK_REPORT", path, sizeof path)) return;
    if (leaks_write(heap, no_text, NULL, &blocks) == ST_OK && blocks != 0) leaks_write(heap, append, path, &blocks);
}

/* A CLR ends with its process, and does not release what it has. */
__attribute__((destructor)) static void process_ends(void) {
    if (site_count() != 0) report_to_file(NULL);
}

void observed_malloc_end(struct observed *observed, const struct heap *heap) {
    if (observed->track_every != 0) {
        if (observed->leak) leaks_report(heap, observed->leak, observed->leak_context);
        report_to_file(heap);
        leaks_forget(heap);
    }
    calls_close(observed->calls);
}

/* ---- Reports ------------------------------------------------------------------------------------------------------ */

/* Which heap is meant; *found NULL for all of them. */
static bool heap_tracking(IHostMalloc *face, struct heap **found) {
    *found = NULL;
    if (face == NULL) return true;
    const IHostMallocVtbl *methods = face->lpVtbl;
    if ((methods != &malloc_observed && methods != &malloc_tracked) || observed_of(face)->track_every == 0) return false;
    *found = malloc_heap(face);
    return true;
}

HRESULT WINAPI HmReportLeaks(IHostMalloc *heap, HM_LEAK_VISIT visit, LPVOID context) {
    struct heap *found;
    if (visit == NULL) return com_answer(ST_NOT_WRITABLE);
    if (!heap_tracking(heap, &found)) return com_answer(ST_BAD_ARGUMENT);
    return com_answer(leaks_report(found, visit, context));
}

HRESULT WINAPI HmWriteLeaks(IHostMalloc *heap, HM_WRITE write, LPVOID context) {
    struct heap *found;
    uint64_t blocks;
    if (write == NULL) return com_answer(ST_NOT_WRITABLE);
    if (!heap_tracking(heap, &found)) return com_answer(ST_BAD_ARGUMENT);
    return com_answer(leaks_write(found, write, context, &blocks));
}
