/*
 * host.c - the CLR's half of a memory host: what its own hosting layer did before it was compiled out.
 *
 * Its rules:
 *   - only S_OK is success, S_FALSE is not; VirtualQuery alone is judged by FAILED, and its answer is *pResult;
 *   - freeing NULL reaches the host like any other free;
 *   - all the CLR's heaps are one IHostMalloc, made by the only call of CreateMalloc;
 *   - a refusal is process-critical until the CLR has started, then critical to one task.
 * A failure leaves the manager's error as the thread's last one, and a success leaves that alone, because the CLR reads it late.
 *
 * Any thread of the CLR calls, some of them while all the others are suspended. So nothing here takes a lock or memory of its
 * own. bodies_attach runs once, before any of that.
 */
#include "tools/clr/clr.h"

#include "base/atom.h"

#ifdef _WIN32
static int error_get(void) { return (int)GetLastError(); }
static void error_set(int error) { SetLastError((DWORD)error); }
#else
#include <errno.h>

/* The last error of this system's CLR. */
static int error_get(void) { return errno; }
static void error_set(int error) { errno = error; }
#endif

static IHostMemoryManager *bodies_manager;
static IHostMalloc *bodies_malloc;
static DWORD (*bodies_last_error)(void);
static EMemoryCriticalLevel bodies_level = eProcessCritical;
static uint32_t bodies_notified;

/* ---- The notification callback: the CLR's static singleton, whose references count nothing ---------------------- */

static bool bodies_is(REFIID one, const IID *other) { return __builtin_memcmp(one, other, sizeof *other) == 0; }

static HRESULT STDMETHODCALLTYPE callback_query(ICLRMemoryNotificationCallback *self, REFIID riid, void **object) {
    bool known = bodies_is(riid, &IID_IUnknown) || bodies_is(riid, &IID_ICLRMemoryNotificationCallback);
    *object = known ? self : NULL;
    return known ? S_OK : E_NOINTERFACE;
}

static ULONG STDMETHODCALLTYPE callback_reference(ICLRMemoryNotificationCallback *self) {
    (void)self;
    return 1;
}

static HRESULT STDMETHODCALLTYPE callback_notify(ICLRMemoryNotificationCallback *self, EMemoryAvailable available) {
    (void)self;
    if (available == eMemoryAvailableLow) {
        atom_add_acqrel_u32(&bodies_notified, 1);
        collect_poke();
    }
    return S_OK;
}

static const ICLRMemoryNotificationCallbackVtbl callback_methods = {
    .QueryInterface = callback_query,
    .AddRef = callback_reference,
    .Release = callback_reference,
    .OnMemoryNotification = callback_notify,
};
static ICLRMemoryNotificationCallback bodies_callback = {&callback_methods};

uint64_t bodies_notifications(void) {
    return atom_load_rlx_u32(&bodies_notified); /* rlx: a figure */
}

/* ---- The manager's methods, counted ----------------------------------------------------------------------------- */

static enum clr_kind alloc_kind(const void *address, DWORD type) {
    if ((type & MEM_RESERVE) != 0) return (type & MEM_COMMIT) != 0 ? CLR_RESERVE_COMMIT : CLR_RESERVE;
    if ((type & (MEM_RESET | MEM_RESET_UNDO)) != 0) return CLR_RESET;
    return address == NULL ? CLR_RESERVE_COMMIT : CLR_COMMIT;
}

void *manager_alloc(void *address, SIZE_T size, DWORD type, DWORD protect) {
    int error = error_get();
    void *memory = NULL;
    uint64_t started = tool_clock_ns();
    HRESULT result = bodies_manager->lpVtbl->VirtualAlloc(bodies_manager, address, size, type, protect, bodies_level, &memory);
    counts_add(alloc_kind(address, type), started, size, result == S_OK);
    record_call("VA", address, size, type, protect, result == S_OK ? (uintptr_t)memory : 0);
    error_set(result == S_OK ? error : (int)bodies_last_error());
    return result == S_OK ? memory : NULL;
}

SIZE_T manager_query(const void *address, MEMORY_BASIC_INFORMATION *info) {
    int error = error_get();
    SIZE_T length = 0;
    uint64_t started = tool_clock_ns();
    HRESULT result =
        bodies_manager->lpVtbl->VirtualQuery(bodies_manager, (void *)(uintptr_t)address, info, sizeof *info, &length);

    counts_add(CLR_QUERY, started, 0, !FAILED(result));
    if (!FAILED(result)) record_call("VQ", address, info->RegionSize, info->State, info->Protect, length);
    error_set(FAILED(result) ? (int)bodies_last_error() : error);
    return FAILED(result) ? 0 : length;
}

BOOL manager_free(void *address, SIZE_T size, DWORD type, bool *foreign) {
    int error = error_get();
    record_call("VF", address, size, type, 0, 1);
    uint64_t started = tool_clock_ns();
    HRESULT result = bodies_manager->lpVtbl->VirtualFree(bodies_manager, address, size, type);

    counts_add((type & MEM_RELEASE) != 0 ? CLR_RELEASE : CLR_DECOMMIT, started, size, result == S_OK);
    error_set(result == S_OK ? error : (int)bodies_last_error());
    *foreign = result == HOST_E_INVALIDOPERATION;
    return result == S_OK;
}

BOOL manager_protect(void *address, SIZE_T size, DWORD protect, DWORD *old) {
    int error = error_get();
    uint64_t started = tool_clock_ns();
    HRESULT result = bodies_manager->lpVtbl->VirtualProtect(bodies_manager, address, size, protect, old);
    counts_add(CLR_PROTECT, started, size, result == S_OK);
    record_call("VP", address, size, 0, protect, result == S_OK);
    error_set(result == S_OK ? error : (int)bodies_last_error());
    return result == S_OK;
}

void *manager_heap_alloc(SIZE_T size) {
    int error = error_get();
    void *block = NULL;
    uint64_t started = tool_clock_ns();
    HRESULT result = bodies_malloc->lpVtbl->Alloc(bodies_malloc, size, bodies_level, &block);
    counts_add(CLR_HEAP_ALLOC, started, size, result == S_OK);
    if (result == S_OK) record_block(block, size);
    error_set(result == S_OK ? error : (int)ERROR_NOT_ENOUGH_MEMORY);
    return result == S_OK ? block : NULL;
}

BOOL manager_heap_free(void *block) {
    int error = error_get();
    record_call("HF", block, 0, 0, 0, 1);
    uint64_t started = tool_clock_ns();
    HRESULT result = bodies_malloc->lpVtbl->Free(bodies_malloc, block);

    counts_add(CLR_HEAP_FREE, started, 0, result == S_OK);
    error_set(result == S_OK ? error : (int)ERROR_INVALID_PARAMETER);
    return result == S_OK;
}

void manager_view_acquired(void *view, SIZE_T size) {
    bodies_manager->lpVtbl->AcquiredVirtualAddressSpace(bodies_manager, view, size);
}

void manager_view_released(void *view) { bodies_manager->lpVtbl->ReleasedVirtualAddressSpace(bodies_manager, view); }

bool manager_view_needed(void *address, SIZE_T size) {
    return SUCCEEDED(bodies_manager->lpVtbl->NeedsVirtualAddressSpace(bodies_manager, address, size));
}

/* ---- Attaching -------------------------------------------------------------------------------------------------- */

void bodies_attach(IHostControl *control, DWORD (*last_error)(void)) {
    void *object = NULL;
    HRESULT result = control->lpVtbl->GetHostManager(control, &IID_IHostMemoryManager, &object);
    if (result != S_OK || object == NULL) {
        tool_fail(&clr_command, CLR_EXIT_MEMORY, "the host control offers no memory manager (0x%08X)", (unsigned)result);
    }
    bodies_manager = object;
    result = bodies_manager->lpVtbl->CreateMalloc(bodies_manager, MALLOC_THREADSAFE, &bodies_malloc);
    if (result != S_OK || bodies_malloc == NULL) {
        tool_fail(&clr_command, CLR_EXIT_MEMORY, "the memory manager makes no heap (0x%08X)", (unsigned)result);
    }
    /* Its answer means nothing to a CLR: a host need not notify. */
    bodies_manager->lpVtbl->RegisterMemoryNotificationCallback(bodies_manager, &bodies_callback);
    bodies_last_error = last_error;
}

void bodies_started(void) { bodies_level = eTaskCritical; }
