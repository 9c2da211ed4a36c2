/*
 * raw.c - an IHostControl, IHostMemoryManager and IHostMalloc without the engine, to compare the engine with.
 *
 * The comparison is fair when both memories are asked the same way: the same CLR, the same nine functions led to the same
 * bodies, the same vtables, the same clock around each call. So the raw memory is a manager too, and the CLR's own code for it
 * stays out of use in both. Behind the vtable it is what a system layer does: mmap and its kin for pages (raw_vm.c), the C
 * library's malloc for the heap. It caches nothing and knows nothing more.
 *
 * The three objects are static: their reference counts are constants. Any thread may call any method.
 */
#include "tools/clr/clr.h"

#include <stdlib.h>
#include <string.h>

static __thread DWORD raw_error;

DWORD raw_last_error(void) { return raw_error; }

/* Keeps a failure as the last error, and says it as a host does. */
static HRESULT raw_result(DWORD error) {
    if (error == 0) return S_OK;
    raw_error = error;
    if (error == ERROR_NOT_ENOUGH_MEMORY || error == ERROR_COMMITMENT_LIMIT) return E_OUTOFMEMORY;
    return HRESULT_FROM_WIN32(error);
}

static HRESULT raw_query(void *self, REFIID riid, const IID *own, void **object) {
    bool known = memcmp(riid, &IID_IUnknown, sizeof(IID)) == 0 || memcmp(riid, own, sizeof(IID)) == 0;
    if (object == NULL) return E_POINTER;
    *object = known ? self : NULL;
    return known ? S_OK : E_NOINTERFACE;
}

/* ---- IHostMalloc ------------------------------------------------------------------------------------------------ */

static HRESULT STDMETHODCALLTYPE malloc_query(IHostMalloc *self, REFIID riid, void **object) {
    return raw_query(self, riid, &IID_IHostMalloc, object);
}

static ULONG STDMETHODCALLTYPE malloc_reference(IHostMalloc *self) {
    (void)self;
    return 1;
}

static HRESULT STDMETHODCALLTYPE malloc_alloc(IHostMalloc *self, SIZE_T size, EMemoryCriticalLevel level, void **memory) {
    (void)self;
    (void)level;
    *memory = malloc(size);
    return *memory != NULL ? S_OK : raw_result(ERROR_NOT_ENOUGH_MEMORY);
}

static HRESULT STDMETHODCALLTYPE malloc_debug_alloc(IHostMalloc *self, SIZE_T size, EMemoryCriticalLevel level, char *file,
                                                    int line, void **memory) {
    (void)file;
    (void)line;
    return malloc_alloc(self, size, level, memory);
}

static HRESULT STDMETHODCALLTYPE malloc_free(IHostMalloc *self, void *memory) {
    (void)self;
    free(memory);
    return S_OK;
}

static const IHostMallocVtbl malloc_methods = {
    .QueryInterface = malloc_query,
    .AddRef = malloc_reference,
    .Release = malloc_reference,
    .Alloc = malloc_alloc,
    .DebugAlloc = malloc_debug_alloc,
    .Free = malloc_free,
};
static IHostMalloc raw_malloc = {&malloc_methods};

/* ---- IHostMemoryManager ----------------------------------------------------------------------------------------- */

static HRESULT STDMETHODCALLTYPE manager_query_interface(IHostMemoryManager *self, REFIID riid, void **object) {
    return raw_query(self, riid, &IID_IHostMemoryManager, object);
}

static ULONG STDMETHODCALLTYPE manager_reference(IHostMemoryManager *self) {
    (void)self;
    return 1;
}

static HRESULT STDMETHODCALLTYPE manager_create_malloc(IHostMemoryManager *self, DWORD type, IHostMalloc **out) {
    (void)self;
    /* The C library's blocks cannot hold code. A CLR never asks for such a heap. */
    *out = (type & MALLOC_EXECUTABLE) == 0 ? &raw_malloc : NULL;
    return *out != NULL ? S_OK : E_NOTIMPL;
}

static HRESULT STDMETHODCALLTYPE manager_virtual_alloc(IHostMemoryManager *self, void *address, SIZE_T size, DWORD type,
                                                       DWORD protect, EMemoryCriticalLevel level, void **memory) {
    DWORD error = raw_vm_alloc((uintptr_t)address, size, type, protect, memory);

    (void)self;
    (void)level;
    if (error != 0) *memory = NULL;
    return raw_result(error);
}

static HRESULT STDMETHODCALLTYPE manager_virtual_free(IHostMemoryManager *self, LPVOID address, SIZE_T size, DWORD type) {
    HRESULT result = raw_result(raw_vm_free((uintptr_t)address, size, type));
    (void)self;
    return result == HRESULT_FROM_WIN32(ERROR_INVALID_ADDRESS) ? HOST_E_INVALIDOPERATION : result;
}

static HRESULT STDMETHODCALLTYPE manager_virtual_query(IHostMemoryManager *self, void *address, void *buffer, SIZE_T length,
                                                       SIZE_T *result) {
    DWORD error = length < sizeof(MEMORY_BASIC_INFORMATION) ? ERROR_BAD_LENGTH : raw_vm_query((uintptr_t)address, buffer);

    (void)self;
    *result = error == 0 ? sizeof(MEMORY_BASIC_INFORMATION) : 0;
    return raw_result(error);
}

static HRESULT STDMETHODCALLTYPE manager_virtual_protect(IHostMemoryManager *self, void *address, SIZE_T size, DWORD protect,
                                                         DWORD *old) {
    (void)self;
    return raw_result(old != NULL ? raw_vm_protect((uintptr_t)address, size, protect, old) : ERROR_NOACCESS);
}

static HRESULT STDMETHODCALLTYPE manager_memory_load(IHostMemoryManager *self, DWORD *load, SIZE_T *available) {
    (void)self;
    return raw_result(raw_vm_load(load, available));
}

/* Plain memory notifies nobody. */
static HRESULT STDMETHODCALLTYPE manager_register(IHostMemoryManager *self, ICLRMemoryNotificationCallback *callback) {
    (void)self;
    (void)callback;
    return S_OK;
}

/* It keeps nothing that it could give up either. */
static HRESULT STDMETHODCALLTYPE manager_needs(IHostMemoryManager *self, LPVOID address, SIZE_T size) {
    (void)self;
    (void)address;
    (void)size;
    return E_OUTOFMEMORY;
}

static HRESULT STDMETHODCALLTYPE manager_acquired(IHostMemoryManager *self, LPVOID address, SIZE_T size) {
    (void)self;
    (void)address;
    (void)size;
    return S_OK;
}

static HRESULT STDMETHODCALLTYPE manager_released(IHostMemoryManager *self, LPVOID address) {
    (void)self;
    (void)address;
    return S_OK;
}

static const IHostMemoryManagerVtbl manager_methods = {
    .QueryInterface = manager_query_interface,
    .AddRef = manager_reference,
    .Release = manager_reference,
    .CreateMalloc = manager_create_malloc,
    .VirtualAlloc = manager_virtual_alloc,
    .VirtualFree = manager_virtual_free,
    .VirtualQuery = manager_virtual_query,
    .VirtualProtect = manager_virtual_protect,
    .GetMemoryLoad = manager_memory_load,
    .RegisterMemoryNotificationCallback = manager_register,
    .NeedsVirtualAddressSpace = manager_needs,
    .AcquiredVirtualAddressSpace = manager_acquired,
    .ReleasedVirtualAddressSpace = manager_released,
};
static IHostMemoryManager raw_manager = {&manager_methods};

/* ---- IHostControl ----------------------------------------------------------------------------------------------- */

static HRESULT STDMETHODCALLTYPE control_query(IHostControl *self, REFIID riid, void **object) {
    return raw_query(self, riid, &IID_IHostControl, object);
}

static ULONG STDMETHODCALLTYPE control_reference(IHostControl *self) {
    (void)self;
    return 1;
}

static HRESULT STDMETHODCALLTYPE control_manager(IHostControl *self, REFIID riid, void **object) {
    bool known = memcmp(riid, &IID_IHostMemoryManager, sizeof(IID)) == 0;
    (void)self;
    *object = known ? &raw_manager : NULL;
    return known ? S_OK : E_NOINTERFACE;
}

static HRESULT STDMETHODCALLTYPE control_domain(IHostControl *self, DWORD domain, IUnknown *manager) {
    (void)self;
    (void)domain;
    (void)manager;
    return S_OK;
}

static const IHostControlVtbl control_methods = {
    .QueryInterface = control_query,
    .AddRef = control_reference,
    .Release = control_reference,
    .GetHostManager = control_manager,
    .SetAppDomainManager = control_domain,
};
static IHostControl raw_host_control = {&control_methods};

IHostControl *raw_control(void) { return &raw_host_control; }
