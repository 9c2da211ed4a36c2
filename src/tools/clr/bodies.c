/*
 * bodies.c - the CLR's side of IHostMemoryManager: what its own hosting layer did before it was compiled out.
 *
 * Every allocation of the CLR's collector, loader and JIT passes through eight functions. In a CLR with hosting, they call the
 * host; in this one, they call the system. The bodies here go over them (hook.c) and call the host again, under the rules
 * that the hosting layer had:
 *   - only S_OK is success, S_FALSE is not; VirtualQuery alone is judged by FAILED, and its answer is *pResult;
 *   - the flags of a heap allocation are dropped, and freeing NULL reaches the host like any other free;
 *   - all the CLR's heaps are one IHostMalloc, made by the only call of CreateMalloc;
 *   - a refusal is process-critical until the CLR has started, then critical to one task.
 * The last error is errno in this CLR: a failure leaves the manager's there, and a success leaves errno alone, because the
 * CLR reads it late.
 *
 * The bodies are called by any thread of the CLR, some of them while all the others are suspended. So they take no lock and
 * no memory of their own. bodies_attach runs once, before any of that.
 */
#include "tools/clr/clr.h"

#include "base/atom.h"

#include <errno.h>

/* How this system's CLR marks a reservation that must be near its image. */
#define TYPE_NEAR 0x40000000u

static IHostMemoryManager *bodies_manager;
static IHostMalloc *bodies_malloc;
static DWORD (*bodies_last_error)(void);
static EMemoryCriticalLevel bodies_level = eProcessCritical;
static uint32_t bodies_notified;

/* ---- The notification callback: the CLR's static singleton, whose references count nothing ---------------------- */

static bool bodies_is(REFIID one, const IID *other) {
    return __builtin_memcmp(one, other, sizeof *other) == 0;
}

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
    if ((type & MEM_RESERVE) != 0) {
        return (type & MEM_COMMIT) != 0 ? CLR_RESERVE_COMMIT : CLR_RESERVE;
    }
    if ((type & (MEM_RESET | MEM_RESET_UNDO)) != 0) {
        return CLR_RESET;
    }
    return address == NULL ? CLR_RESERVE_COMMIT : CLR_COMMIT;
}

void *manager_alloc(void *address, SIZE_T size, DWORD type, DWORD protect) {
    int error = errno;
    void *memory = NULL;
    uint64_t started = tool_clock_ns();
    HRESULT result = bodies_manager->lpVtbl->VirtualAlloc(bodies_manager, address, size, type, protect, bodies_level, &memory);

    counts_add(alloc_kind(address, type), started, size, result == S_OK);
    record_call("VA", address, size, type, protect, result == S_OK ? (uintptr_t)memory : 0);
    errno = result == S_OK ? error : (int)bodies_last_error();
    return result == S_OK ? memory : NULL;
}

SIZE_T manager_query(const void *address, MEMORY_BASIC_INFORMATION *info) {
    int error = errno;
    SIZE_T length = 0;
    uint64_t started = tool_clock_ns();
    HRESULT result =
        bodies_manager->lpVtbl->VirtualQuery(bodies_manager, (void *)(uintptr_t)address, info, sizeof *info, &length);

    counts_add(CLR_QUERY, started, 0, !FAILED(result));
    if (!FAILED(result)) {
        record_call("VQ", address, info->RegionSize, info->State, info->Protect, length);
    }
    errno = FAILED(result) ? (int)bodies_last_error() : error;
    return FAILED(result) ? 0 : length;
}

/* ---- The bodies ------------------------------------------------------------------------------------------------- */

static void *body_virtual_alloc(void *address, SIZE_T size, DWORD type, DWORD protect) {
    if ((type & TYPE_NEAR) != 0) {
        type &= ~TYPE_NEAR;
        if (address == NULL && (type & MEM_RESERVE) != 0) {
            return near_reserve(size, type, protect);
        }
    }
    return manager_alloc(address, size, type, protect);
}

static BOOL body_virtual_free(void *address, SIZE_T size, DWORD type) {
    int error = errno;
    record_call("VF", address, size, type, 0, 1);
    uint64_t started = tool_clock_ns();
    HRESULT result = bodies_manager->lpVtbl->VirtualFree(bodies_manager, address, size, type);

    counts_add((type & MEM_RELEASE) != 0 ? CLR_RELEASE : CLR_DECOMMIT, started, size, result == S_OK);
    errno = result == S_OK ? error : (int)bodies_last_error();
    return result == S_OK;
}

static SIZE_T body_virtual_query(const void *address, MEMORY_BASIC_INFORMATION *info, SIZE_T length) {
    if (length < sizeof *info) {
        errno = ERROR_BAD_LENGTH;
        return 0;
    }
    return manager_query(address, info);
}

static BOOL body_virtual_protect(void *address, SIZE_T size, DWORD protect, DWORD *old) {
    int error = errno;
    uint64_t started = tool_clock_ns();
    HRESULT result = bodies_manager->lpVtbl->VirtualProtect(bodies_manager, address, size, protect, old);

    counts_add(CLR_PROTECT, started, size, result == S_OK);
    record_call("VP", address, size, 0, protect, result == S_OK);
    errno = result == S_OK ? error : (int)bodies_last_error();
    return result == S_OK;
}

static void *body_heap_alloc_process(DWORD flags, SIZE_T size) {
    int error = errno;
    void *block = NULL;
    uint64_t started = tool_clock_ns();
    HRESULT result = bodies_malloc->lpVtbl->Alloc(bodies_malloc, size, bodies_level, &block);

    (void)flags;
    counts_add(CLR_HEAP_ALLOC, started, size, result == S_OK);
    if (result == S_OK) {
        record_block(block, size);
    }
    errno = result == S_OK ? error : (int)ERROR_NOT_ENOUGH_MEMORY;
    return result == S_OK ? block : NULL;
}

static BOOL body_heap_free_process(DWORD flags, void *block) {
    int error = errno;
    record_call("HF", block, 0, 0, 0, 1);
    uint64_t started = tool_clock_ns();
    HRESULT result = bodies_malloc->lpVtbl->Free(bodies_malloc, block);

    (void)flags;
    counts_add(CLR_HEAP_FREE, started, 0, result == S_OK);
    errno = result == S_OK ? error : (int)ERROR_INVALID_PARAMETER;
    return result == S_OK;
}

static void *body_heap_alloc(HANDLE heap, DWORD flags, SIZE_T size) {
    (void)heap;
    return body_heap_alloc_process(flags, size);
}

static BOOL body_heap_free(HANDLE heap, DWORD flags, void *block) {
    (void)heap;
    return body_heap_free_process(flags, block);
}

/*
 * The system layer of this CLR has an allocator of executable memory of its own, and asks it first when a code heap must lie
 * near other code. It must say no: what it gave would be no reservation of the manager's, and a commit in it would fail. The
 * CLR then walks the address space through VirtualQuery and VirtualAlloc.
 */
static void *body_no_system_range(const void *low, const void *high, SIZE_T size) {
    (void)low;
    (void)high;
    (void)size;
    return NULL;
}

#define BODY(function) ((void (*)(void))(function))
const struct clr_body bodies_table[] = {
    {"_Z14EEVirtualAllocPvmjj", BODY(body_virtual_alloc), false},
    {"_Z13EEVirtualFreePvmj", BODY(body_virtual_free), false},
    {"_Z14EEVirtualQueryPKvP25_MEMORY_BASIC_INFORMATIONm", BODY(body_virtual_query), false},
    {"_Z16EEVirtualProtectPvmjPj", BODY(body_virtual_protect), false},
    {"_Z11EEHeapAllocPvjm", BODY(body_heap_alloc), false},
    {"_Z10EEHeapFreePvjS_", BODY(body_heap_free), false},
    {"_Z24EEHeapAllocInProcessHeapjm", BODY(body_heap_alloc_process), false},
    {"_Z23EEHeapFreeInProcessHeapjPv", BODY(body_heap_free_process), false},
    {"PAL_VirtualReserveFromExecutableMemoryAllocatorWithinRange", BODY(body_no_system_range), true},
};
const size_t bodies_count = sizeof bodies_table / sizeof bodies_table[0];

/* ---- Attaching -------------------------------------------------------------------------------------------------- */

void bodies_attach(IHostControl *control, DWORD (*last_error)(void), uintptr_t image_start, uintptr_t image_end) {
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
    near_init(image_start, image_end);
}

void bodies_started(void) {
    bodies_level = eTaskCritical;
}
