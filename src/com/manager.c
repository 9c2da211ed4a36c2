/*
 * manager.c - IHostMemoryManager: thirteen slots, and HmCreateMemoryManager.
 *
 * A manager is a record with a reference count and what a CLR has told it (policy/notify.h). The memory that it gives out is
 * the process's: it stays valid when the manager goes. VirtualQuery runs while other threads are suspended: it takes the vm
 * layer's way, which neither waits nor allocates.
 */
#include <stddef.h>
#include <string.h>

#include "base/cold.h"
#include "com/com.h"
#include "com/observed.h"
#include "core/cache.h"
#include "core/region.h"
#include "os/os.h"
#include "policy/notify.h"
#include "vm/held.h"
#include "vm/query.h"
#include "vm/vm.h"

#define OPTIONS_AT_MOST ((size_t)4096) /* no version's options are as long as this */

struct manager {
    IHostMemoryManager face; /* first: the interface's address is the manager's */
    struct observed observed; /* second: see observed_of */
    uint32_t references;
    struct notify notify;
};

static struct manager *manager_of(IHostMemoryManager *face) { return (struct manager *)face; }

static ULONG STDMETHODCALLTYPE manager_add_ref(IHostMemoryManager *face) { return com_add_ref(&manager_of(face)->references); }

static ULONG STDMETHODCALLTYPE manager_release(IHostMemoryManager *face) {
    struct manager *manager = manager_of(face);
    ULONG left = com_release(&manager->references);
    if (left == 0) {
        notify_clear(&manager->notify);
        observed_manager_end(&manager->observed);
        cold_free(manager);
    }
    return left;
}

static HRESULT STDMETHODCALLTYPE manager_query_interface(IHostMemoryManager *face, REFIID riid, void **ppvObject) {
    HRESULT result = com_query(face, &HM_IID_IHostMemoryManager, riid, ppvObject);
    if (result == S_OK) manager_add_ref(face);
    return result;
}

static HRESULT STDMETHODCALLTYPE manager_create_malloc(IHostMemoryManager *face, DWORD dwMallocType, IHostMalloc **ppMalloc) {
    if (ppMalloc == NULL) return com_answer(ST_NOT_WRITABLE);
    return malloc_create(dwMallocType, &manager_of(face)->observed, ppMalloc);
}

static HRESULT STDMETHODCALLTYPE manager_virtual_alloc(IHostMemoryManager *face, void *pAddress, SIZE_T dwSize,
                                                       DWORD flAllocationType, DWORD flProtect,
                                                       EMemoryCriticalLevel eCriticalLevel, void **ppMem) {
    (void)face;
    if (ppMem == NULL) return com_answer(ST_NOT_WRITABLE);
    *ppMem = NULL;
    if (!com_level_known(eCriticalLevel)) return com_answer(ST_BAD_ARGUMENT);
    uintptr_t start = 0;
    enum status status = vm_alloc((uintptr_t)pAddress, dwSize, flAllocationType, flProtect, &start);
    if (status == ST_OK) *ppMem = (void *)start;
    return com_answer(status);
}

static HRESULT STDMETHODCALLTYPE manager_virtual_free(IHostMemoryManager *face, LPVOID lpAddress, SIZE_T dwSize,
                                                      DWORD dwFreeType) {
    (void)face;
    return com_answer(vm_free((uintptr_t)lpAddress, dwSize, dwFreeType));
}

static HRESULT STDMETHODCALLTYPE manager_virtual_query(IHostMemoryManager *face, void *lpAddress, void *lpBuffer, SIZE_T dwLength,
                                                       SIZE_T *pResult) {
    (void)face;
    if (pResult == NULL) return com_answer(ST_NOT_WRITABLE);
    size_t written = 0;
    enum status status = vm_query((uintptr_t)lpAddress, lpBuffer, dwLength, &written);
    *pResult = status == ST_OK ? written : 0;
    return com_answer(status);
}

static HRESULT STDMETHODCALLTYPE manager_virtual_protect(IHostMemoryManager *face, void *lpAddress, SIZE_T dwSize,
                                                         DWORD flNewProtect, DWORD *pflOldProtect) {
    (void)face;
    DWORD old = 0;
    enum status status = vm_protect((uintptr_t)lpAddress, dwSize, flNewProtect, pflOldProtect == NULL ? NULL : &old);
    if (pflOldProtect != NULL) *pflOldProtect = status == ST_OK ? old : 0;
    return com_answer(status);
}

static HRESULT STDMETHODCALLTYPE manager_get_memory_load(IHostMemoryManager *face, DWORD *pMemoryLoad, SIZE_T *pAvailableBytes) {
    (void)face;
    if (pMemoryLoad != NULL) *pMemoryLoad = 0;
    if (pAvailableBytes != NULL) *pAvailableBytes = 0;
    if (pMemoryLoad == NULL && pAvailableBytes == NULL) return com_answer(ST_NOT_WRITABLE);
    struct os_memory memory;
    enum status status = os_memory_load(&memory);
    if (status != ST_OK) return com_answer(status);
    if (pMemoryLoad != NULL) *pMemoryLoad = memory.load_percent;
    if (pAvailableBytes != NULL) *pAvailableBytes = (SIZE_T)memory.available_bytes;
    return S_OK;
}

static HRESULT STDMETHODCALLTYPE manager_register_callback(IHostMemoryManager *face, ICLRMemoryNotificationCallback *pCallback) {
    if (pCallback == NULL) return com_answer(ST_NOT_WRITABLE);
    return com_answer(notify_register(&manager_of(face)->notify, pCallback));
}

/* A CLR asks after a mapping has failed, and tries once more whatever success it hears: it may as well try. */
static HRESULT STDMETHODCALLTYPE manager_needs_address_space(IHostMemoryManager *face, LPVOID startAddress, SIZE_T size) {
    notify_plea(&manager_of(face)->notify, (uintptr_t)startAddress, size);
    return S_OK;
}

static HRESULT STDMETHODCALLTYPE manager_acquired(IHostMemoryManager *face, LPVOID startAddress, SIZE_T size) {
    return com_answer(notify_view_acquired(&manager_of(face)->notify, (uintptr_t)startAddress, size));
}

static HRESULT STDMETHODCALLTYPE manager_released(IHostMemoryManager *face, LPVOID startAddress) {
    notify_view_released(&manager_of(face)->notify, (uintptr_t)startAddress);
    return S_OK;
}

const IHostMemoryManagerVtbl manager_methods = {
    manager_query_interface, manager_add_ref,          manager_release,          manager_create_malloc,
    manager_virtual_alloc,   manager_virtual_free,     manager_virtual_query,    manager_virtual_protect,
    manager_get_memory_load, manager_register_callback, manager_needs_address_space, manager_acquired,
    manager_released,
};

/*
 * Reads a caller's options, which may be of an earlier version, that had fewer fields, or of a later one: what this one does
 * not know must be 0.
 */
static bool options_read(const HM_OPTIONS *options, HM_OPTIONS *known) {
    memset(known, 0, sizeof *known);
    if (options == NULL) return true;
    SIZE_T size = options->cbSize;
    if (size < offsetof(HM_OPTIONS, cbThreadCache) || size > OPTIONS_AT_MOST || size % sizeof(SIZE_T) != 0) return false;
    const unsigned char *bytes = (const unsigned char *)options;
    for (size_t i = sizeof *known; i < size; i++) {
        if (bytes[i] != 0) return false;
    }
    memcpy(known, options, size < sizeof *known ? size : sizeof *known);
    return (known->dwFlags & ~(HM_TRACK_BLOCKS | HM_COUNT_CALLS | HM_PUBLISH)) == 0;
}

HRESULT WINAPI HmCreateMemoryManager(const HM_OPTIONS *options, IHostMemoryManager **out) {
    if (out == NULL) return com_answer(ST_NOT_WRITABLE);
    *out = NULL;
    HM_OPTIONS known;
    if (!options_read(options, &known)) return com_answer(ST_BAD_ARGUMENT);
    struct manager *manager = cold_alloc(sizeof *manager);
    if (manager == NULL) return com_answer(ST_NO_MEMORY);
    /* The tightest bound holds: the order of these two does not matter. */
    uint64_t environment = os_environment_bytes("HOSTMEM_MAX_ADDRESS_SPACE");
    if (environment != 0) region_limit_set(environment);
    if (known.cbMaxAddressSpace != 0) region_limit_set(known.cbMaxAddressSpace);
    cache_bound_set(known.cbThreadCache, known.cbAllCaches);
    held_bound_set(os_environment_bytes("HOSTMEM_HELD"));
    held_bound_set(known.cbHeld);
    manager->face.lpVtbl = (IHostMemoryManagerVtbl *)observed_manager_start(&manager->observed, &known);
    manager->references = 1;
    *out = &manager->face;
    return S_OK;
}
