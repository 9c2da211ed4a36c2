/*
 * manager.c - IHostMemoryManager: thirteen slots, what each answers, and what it leaves in its out-parameters.
 */
#include <stdlib.h>
#include <string.h>

#include "base/atom.h"
#include "base/cold.h"
#include "check.h"
#include "hostmem.h"
#include "os/os.h"
#include "policy/notify.h"

#define UNTOUCHED 0xdeadu /* a last error that no call of ours leaves */
#define NOWHERE ((void *)(uintptr_t)0x123456789000u)

/* The answer and the last error that must go with it. */
static bool answers(HRESULT result, HRESULT expected, DWORD last_error) {
    bool good = CHECK_EQ((uint32_t)result, (uint32_t)expected) && CHECK_EQ(os_last_error(), last_error);
    os_last_error_set(UNTOUCHED);
    return good;
}

static IHostMemoryManager *manager_make(void) {
    IHostMemoryManager *manager = NULL;
    CHECK(HmCreateMemoryManager(NULL, &manager) == S_OK && manager != NULL);
    os_last_error_set(UNTOUCHED);
    return manager;
}

static void test_references(void) {
    IHostMemoryManager *m = manager_make();
    if (m == NULL) return;
    CHECK_EQ(m->lpVtbl->AddRef(m), 2);
    CHECK_EQ(m->lpVtbl->AddRef(m), 3);
    CHECK_EQ(m->lpVtbl->Release(m), 2);
    CHECK_EQ(m->lpVtbl->Release(m), 1);
    const IID *own[] = {&HM_IID_IUnknown, &HM_IID_IHostMemoryManager};
    for (int i = 0; i < 2; i++) {
        void *out = NULL;
        CHECK(answers(m->lpVtbl->QueryInterface(m, own[i], &out), S_OK, UNTOUCHED) && out == m);
        CHECK_EQ(m->lpVtbl->Release(m), 1);
    }
    const IID *foreign[] = {&HM_IID_IHostMalloc, &HM_IID_IHostControl, &HM_IID_ICLRMemoryNotificationCallback};
    for (int i = 0; i < 3; i++) {
        void *out = m;
        CHECK(m->lpVtbl->QueryInterface(m, foreign[i], &out) == E_NOINTERFACE && out == NULL);
    }
    void *out = m;
    CHECK(m->lpVtbl->QueryInterface(m, NULL, &out) == E_INVALIDARG && out == NULL);
    CHECK(m->lpVtbl->QueryInterface(m, &HM_IID_IUnknown, NULL) == E_POINTER);
    CHECK_EQ(m->lpVtbl->Release(m), 0);
}

static void test_options(void) {
    struct {
        HM_OPTIONS known;
        SIZE_T later[4];
    } options;
    IHostMemoryManager *m = NULL;
    memset(&options, 0, sizeof options);
    SIZE_T good[] = {offsetof(HM_OPTIONS, cbHeld), sizeof(HM_OPTIONS), sizeof options};
    for (int i = 0; i < 3; i++) {
        options.known.cbSize = good[i];
        CHECK(HmCreateMemoryManager(&options.known, &m) == S_OK && m != NULL);
        if (m != NULL) CHECK_EQ(m->lpVtbl->Release(m), 0);
    }
    options.later[3] = 1; /* an option that this version does not have is asked for */
    SIZE_T bad[] = {0, 1, sizeof(SIZE_T), sizeof(HM_OPTIONS) - 1, sizeof options, SIZE_MAX, 1 << 20};
    os_last_error_set(UNTOUCHED);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        options.known.cbSize = bad[i];
        m = NOWHERE;
        CHECK(answers(HmCreateMemoryManager(&options.known, &m), E_INVALIDARG, ERROR_INVALID_PARAMETER) && m == NULL);
    }
    CHECK(answers(HmCreateMemoryManager(NULL, NULL), E_POINTER, ERROR_NOACCESS));
}

static void test_create_malloc(void) {
    IHostMemoryManager *m = manager_make();
    if (m == NULL) return;
    for (DWORD type = 0; type < 4; type++) {
        IHostMalloc *heap = NULL;
        CHECK(answers(m->lpVtbl->CreateMalloc(m, type, &heap), S_OK, UNTOUCHED) && heap != NULL);
        if (heap != NULL) CHECK_EQ(heap->lpVtbl->Release(heap), 0);
    }
    DWORD bad[] = {4, 8, 5, 0x80000000u, 0xffffffffu};
    for (int i = 0; i < 5; i++) {
        IHostMalloc *heap = NOWHERE;
        CHECK(answers(m->lpVtbl->CreateMalloc(m, bad[i], &heap), E_INVALIDARG, ERROR_INVALID_PARAMETER) && heap == NULL);
    }
    CHECK(answers(m->lpVtbl->CreateMalloc(m, 1, NULL), E_POINTER, ERROR_NOACCESS));
    CHECK_EQ(m->lpVtbl->Release(m), 0);
}

/* One allocation through its life. */
static void test_virtual(void) {
    IHostMemoryManager *m = manager_make();
    if (m == NULL) return;
    void *start = NULL;
    CHECK(answers(m->lpVtbl->VirtualAlloc(m, NULL, 0x30000, MEM_RESERVE, PAGE_READWRITE, eProcessCritical, &start), S_OK,
                  UNTOUCHED));
    if (!CHECK(start != NULL && (uintptr_t)start % 65536 == 0)) return;
    char *bytes = start;
    void *committed = NULL;
    CHECK(answers(m->lpVtbl->VirtualAlloc(m, bytes + 0x1001, 1, MEM_COMMIT, PAGE_READWRITE, eTaskCritical, &committed), S_OK,
                  UNTOUCHED));
    CHECK(committed == bytes + 0x1000);
    CHECK(bytes[0x1000] == 0);
    bytes[0x1000] = 5;
    MEMORY_BASIC_INFORMATION info;
    memset(&info, 0xff, sizeof info);
    SIZE_T written = 99;
    CHECK(answers(m->lpVtbl->VirtualQuery(m, bytes + 0x1234, &info, sizeof info, &written), S_OK, UNTOUCHED));
    CHECK_EQ(written, sizeof info);
    CHECK(info.BaseAddress == bytes + 0x1000 && info.AllocationBase == start && info.RegionSize == 0x1000);
    CHECK(info.State == MEM_COMMIT && info.Protect == PAGE_READWRITE && info.Type == MEM_PRIVATE);
    DWORD old = 99;
    CHECK(answers(m->lpVtbl->VirtualProtect(m, bytes + 0x1000, 1, PAGE_READONLY, &old), S_OK, UNTOUCHED));
    CHECK_EQ(old, PAGE_READWRITE);
    CHECK(bytes[0x1000] == 5);
    CHECK(answers(m->lpVtbl->VirtualFree(m, bytes + 0x1000, 0x1000, MEM_DECOMMIT), S_OK, UNTOUCHED));
    CHECK(answers(m->lpVtbl->VirtualFree(m, start, 0, MEM_RELEASE), S_OK, UNTOUCHED));
    CHECK_EQ(m->lpVtbl->Release(m), 0);
}

static void test_virtual_misuse(void) {
    IHostMemoryManager *m = manager_make();
    void *out = NOWHERE, *local = malloc(16); /* not on the stack, which may lie above all addresses that Win32 has */
    if (m == NULL) return;
    CHECK(answers(m->lpVtbl->VirtualAlloc(m, NULL, 65536, MEM_RESERVE, PAGE_READWRITE, eTaskCritical, NULL), E_POINTER,
                  ERROR_NOACCESS));
    CHECK(answers(m->lpVtbl->VirtualAlloc(m, NULL, 0, MEM_RESERVE, PAGE_READWRITE, eTaskCritical, &out), E_INVALIDARG,
                  ERROR_INVALID_PARAMETER));
    CHECK(out == NULL);
    int levels[] = {-1, 3, 77};
    for (int i = 0; i < 3; i++) {
        out = NOWHERE;
        CHECK(answers(m->lpVtbl->VirtualAlloc(m, NULL, 65536, MEM_RESERVE, PAGE_READWRITE, (EMemoryCriticalLevel)levels[i], &out),
                      E_INVALIDARG, ERROR_INVALID_PARAMETER));
        CHECK(out == NULL);
    }
    SIZE_T wrapped[] = {SIZE_MAX, SIZE_MAX - 15, SIZE_MAX - 4095, SIZE_MAX / 2};
    for (int i = 0; i < 4; i++) {
        out = NOWHERE;
        HRESULT result = m->lpVtbl->VirtualAlloc(m, NULL, wrapped[i], MEM_RESERVE, PAGE_READWRITE, eTaskCritical, &out);
        CHECK(result == E_OUTOFMEMORY || result == E_INVALIDARG);
        CHECK(out == NULL);
        CHECK(os_last_error() != UNTOUCHED);
        CHECK(m->lpVtbl->VirtualFree(m, NOWHERE, wrapped[i], MEM_DECOMMIT) != S_OK);
    }
    os_last_error_set(UNTOUCHED);
    CHECK(answers(m->lpVtbl->VirtualFree(m, local, 0, MEM_RELEASE), HOST_E_INVALIDOPERATION, ERROR_INVALID_ADDRESS));
    CHECK(answers(m->lpVtbl->VirtualFree(m, NOWHERE, 0, MEM_RELEASE), HOST_E_INVALIDOPERATION, ERROR_INVALID_ADDRESS));
    CHECK(answers(m->lpVtbl->VirtualFree(m, NOWHERE, 0, 0), E_INVALIDARG, ERROR_INVALID_PARAMETER));
    void *start = NULL;
    CHECK(m->lpVtbl->VirtualAlloc(m, NULL, 65536, MEM_RESERVE, PAGE_READWRITE, eTaskCritical, &start) == S_OK);
    DWORD old = 99;
    CHECK(answers(m->lpVtbl->VirtualProtect(m, start, 4096, PAGE_READONLY, &old), HRESULT_FROM_WIN32(ERROR_INVALID_ADDRESS),
                  ERROR_INVALID_ADDRESS));
    CHECK_EQ(old, 0);
    CHECK(answers(m->lpVtbl->VirtualProtect(m, start, 4096, PAGE_READONLY, NULL), E_POINTER, ERROR_NOACCESS));
    CHECK(answers(m->lpVtbl->VirtualFree(m, start, 1, MEM_RELEASE), E_INVALIDARG, ERROR_INVALID_PARAMETER));
    CHECK(answers(m->lpVtbl->VirtualFree(m, start, 0, MEM_RELEASE), S_OK, UNTOUCHED));
    CHECK(FAILED(m->lpVtbl->VirtualFree(m, start, 0, MEM_RELEASE))); /* twice */
    os_last_error_set(UNTOUCHED);

    MEMORY_BASIC_INFORMATION info;
    SIZE_T written = 99;
    CHECK(answers(m->lpVtbl->VirtualQuery(m, local, &info, sizeof info, NULL), E_POINTER, ERROR_NOACCESS));
    CHECK(answers(m->lpVtbl->VirtualQuery(m, local, NULL, sizeof info, &written), E_POINTER, ERROR_NOACCESS));
    CHECK_EQ(written, 0);
    written = 99;
    CHECK(answers(m->lpVtbl->VirtualQuery(m, local, &info, sizeof info - 1, &written), HRESULT_FROM_WIN32(ERROR_BAD_LENGTH),
                  ERROR_BAD_LENGTH));
    CHECK_EQ(written, 0);
    written = 99;
    CHECK(answers(m->lpVtbl->VirtualQuery(m, (void *)(uintptr_t)-4096, &info, sizeof info, &written), E_INVALIDARG,
                  ERROR_INVALID_PARAMETER));
    CHECK_EQ(written, 0);
    /* Memory that is not the manager's is described, and can be protected: a CLR does both. */
    CHECK(answers(m->lpVtbl->VirtualQuery(m, local, &info, sizeof info, &written), S_OK, UNTOUCHED));
    CHECK(written == sizeof info && info.State == MEM_COMMIT);
    free(local);
    CHECK_EQ(m->lpVtbl->Release(m), 0);
}

static void test_memory_load(void) {
    IHostMemoryManager *m = manager_make();
    if (m == NULL) return;
    DWORD load = 999;
    SIZE_T available = 0;
    CHECK(answers(m->lpVtbl->GetMemoryLoad(m, &load, &available), S_OK, UNTOUCHED));
    CHECK(load <= 100);
    CHECK(available > 0);
    CHECK(answers(m->lpVtbl->GetMemoryLoad(m, NULL, &available), S_OK, UNTOUCHED));
    CHECK(answers(m->lpVtbl->GetMemoryLoad(m, &load, NULL), S_OK, UNTOUCHED));
    CHECK(answers(m->lpVtbl->GetMemoryLoad(m, NULL, NULL), E_POINTER, ERROR_NOACCESS));
    CHECK_EQ(m->lpVtbl->Release(m), 0);
}

/* ---- What a CLR tells ----------------------------------------------------------------------------------------- */

static uint32_t callback_references = 1;

static HRESULT STDMETHODCALLTYPE callback_query(ICLRMemoryNotificationCallback *face, REFIID riid, void **out) {
    (void)face, (void)riid;
    *out = NULL;
    return E_NOINTERFACE;
}
static ULONG STDMETHODCALLTYPE callback_add(ICLRMemoryNotificationCallback *face) {
    (void)face;
    return ++callback_references;
}
static ULONG STDMETHODCALLTYPE callback_release(ICLRMemoryNotificationCallback *face) {
    (void)face;
    return --callback_references;
}
static HRESULT STDMETHODCALLTYPE callback_notify(ICLRMemoryNotificationCallback *face, EMemoryAvailable available) {
    (void)face, (void)available;
    return S_OK;
}
static ICLRMemoryNotificationCallbackVtbl callback_methods = {callback_query, callback_add, callback_release, callback_notify};

static void test_notifications(void) {
    IHostMemoryManager *m = manager_make();
    if (m == NULL) return;
    HM_STATS before = {.cbSize = sizeof before}, now = before;
    CHECK(HmGetStats(&before));
    ICLRMemoryNotificationCallback callback = {&callback_methods};
    CHECK(answers(m->lpVtbl->RegisterMemoryNotificationCallback(m, &callback), S_OK, UNTOUCHED));
    CHECK(answers(m->lpVtbl->RegisterMemoryNotificationCallback(m, &callback), S_OK, UNTOUCHED));
    CHECK_EQ(callback_references, 2);
    CHECK(answers(m->lpVtbl->RegisterMemoryNotificationCallback(m, NULL), E_POINTER, ERROR_NOACCESS));
    CHECK(answers(m->lpVtbl->NeedsVirtualAddressSpace(m, NOWHERE, SIZE_MAX), E_OUTOFMEMORY, ERROR_NOT_ENOUGH_MEMORY));
    CHECK(answers(m->lpVtbl->NeedsVirtualAddressSpace(m, NULL, SIZE_MAX - 5), E_OUTOFMEMORY, ERROR_NOT_ENOUGH_MEMORY));
    CHECK(answers(m->lpVtbl->AcquiredVirtualAddressSpace(m, NOWHERE, 5000), S_OK, UNTOUCHED));
    CHECK(answers(m->lpVtbl->AcquiredVirtualAddressSpace(m, (char *)NOWHERE + 65536, 0), S_OK, UNTOUCHED));
    CHECK(answers(m->lpVtbl->AcquiredVirtualAddressSpace(m, NOWHERE, 7000), S_OK, UNTOUCHED));
    CHECK(answers(m->lpVtbl->ReleasedVirtualAddressSpace(m, (char *)NOWHERE + 1), S_OK, UNTOUCHED));
    CHECK(HmGetStats(&now));
    CHECK_EQ(now.cCallbacks, before.cCallbacks + 1);
    CHECK_EQ(now.cAddressSpacePleas, before.cAddressSpacePleas + 2);
    CHECK_EQ(now.cViews, before.cViews + 2);
    CHECK_EQ(now.cbViews, before.cbViews + 7000);
    CHECK(answers(m->lpVtbl->ReleasedVirtualAddressSpace(m, NOWHERE), S_OK, UNTOUCHED));
    CHECK(HmGetStats(&now));
    CHECK_EQ(now.cbViews, before.cbViews);
    CHECK_EQ(m->lpVtbl->Release(m), 0);
    CHECK_EQ(callback_references, 1);
    CHECK(HmGetStats(&now));
    CHECK_EQ(now.cCallbacks, before.cCallbacks);
    CHECK_EQ(now.cViews, before.cViews);
}

/* Memory outlives the manager that it was asked from. */
static void test_lifetime(void) {
    IHostMemoryManager *m = manager_make(), *other = manager_make();
    if (m == NULL || other == NULL) return;
    void *start = NULL;
    CHECK(m->lpVtbl->VirtualAlloc(m, NULL, 65536, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE, eTaskCritical, &start) == S_OK);
    IHostMalloc *heap = NULL;
    CHECK(m->lpVtbl->CreateMalloc(m, MALLOC_THREADSAFE, &heap) == S_OK);
    void *block = NULL;
    CHECK(heap->lpVtbl->Alloc(heap, 64, eTaskCritical, &block) == S_OK);
    CHECK_EQ(m->lpVtbl->Release(m), 0);
    memset(start, 3, 65536);
    memset(block, 4, 64);
    CHECK(heap->lpVtbl->Free(heap, block) == S_OK);
    CHECK_EQ(heap->lpVtbl->Release(heap), 0);
    CHECK(((char *)start)[65535] == 3);
    CHECK(other->lpVtbl->VirtualFree(other, start, 0, MEM_RELEASE) == S_OK);
    CHECK_EQ(other->lpVtbl->Release(other), 0);
}

#ifdef HM_FAULT
static void test_no_memory(void) {
    IHostMemoryManager *m = NOWHERE;
    os_last_error_set(UNTOUCHED);
    cold_fail_after(1);
    CHECK(answers(HmCreateMemoryManager(NULL, &m), E_OUTOFMEMORY, ERROR_NOT_ENOUGH_MEMORY) && m == NULL);
    cold_fail_after(-1);
    m = manager_make();
    cold_fail_after(1);
    ICLRMemoryNotificationCallback callback = {&callback_methods};
    CHECK(answers(m->lpVtbl->RegisterMemoryNotificationCallback(m, &callback), E_OUTOFMEMORY, ERROR_NOT_ENOUGH_MEMORY));
    CHECK(answers(m->lpVtbl->AcquiredVirtualAddressSpace(m, NOWHERE, 1), E_OUTOFMEMORY, ERROR_NOT_ENOUGH_MEMORY));
    cold_fail_after(-1);
    CHECK_EQ(callback_references, 1);
    CHECK_EQ(m->lpVtbl->Release(m), 0);
}
#endif

/* Last: the bounds hold for the rest of the process. */
static void test_address_space(void) {
    HM_OPTIONS options = {.cbSize = sizeof options, .cbMaxAddressSpace = (SIZE_T)4 << 30};
    IHostMemoryManager *m = NULL;
    CHECK(HmCreateMemoryManager(&options, &m) == S_OK);
    void *out[8] = {0};
    int served = 0;
    for (int i = 0; i < 8; i++) {
        HRESULT result = m->lpVtbl->VirtualAlloc(m, NULL, (SIZE_T)1 << 30, MEM_RESERVE, PAGE_READWRITE, eTaskCritical, &out[i]);
        CHECK(result == S_OK || result == E_OUTOFMEMORY);
        CHECK((result == S_OK) == (out[i] != NULL));
        served += result == S_OK;
    }
    CHECK(served < 8);
    for (int i = 0; i < 8; i++) {
        if (out[i] != NULL) CHECK(m->lpVtbl->VirtualFree(m, out[i], 0, MEM_RELEASE) == S_OK);
    }
    CHECK_EQ(m->lpVtbl->Release(m), 0);
}

int main(void) {
    test_references();
    test_options();
    test_create_malloc();
    test_virtual();
    test_virtual_misuse();
    test_memory_load();
    test_notifications();
    test_lifetime();
#ifdef HM_FAULT
    test_no_memory();
#endif
    test_address_space();
    return check_done();
}
