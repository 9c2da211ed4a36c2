/*
 * manager.c - IHostMemoryManager: thirteen slots, and HmCreateMemoryManager.
 *
 * A manager is a record with a reference count, an account (core/budget.h) and what a CLR has told it (policy/notify.h). The
 * memory that it gives out stays valid when the manager goes, and its account stays open as long. VirtualQuery runs while
 * other threads are suspended: it takes the vm layer's way, which neither waits nor allocates.
 */
#include <stddef.h>
#include <string.h>

#include "base/cold.h"
#include "com/com.h"
#include "com/observed.h"
#include "core/cache.h"
#include "core/region.h"
#include "core/settings.h"
#include "os/os.h"
#include "policy/limits.h"
#include "policy/notify.h"
#include "policy/pressure.h"
#include "policy/trim.h"
#include "vm/ahead.h"
#include "vm/query.h"
#include "vm/vm.h"

#define OPTIONS_AT_MOST ((size_t)4096) /* no version's options are as long as this */

struct manager {
    IHostMemoryManager face; /* first: the interface's address is the manager's */
    struct observed observed; /* second: see observed_of */
    uint32_t references;
    struct budget *account;
    HM_LIMITS heap_limits; /* cbSize 0: none */
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
        budget_drop(manager->account);
        cold_free(manager);
        pressure_update(); /* perhaps there is nothing to watch for any more */
    }
    return left;
}

static HRESULT STDMETHODCALLTYPE manager_query_interface(IHostMemoryManager *face, REFIID riid, void **ppvObject) {
    HRESULT result = com_query(face, &HM_IID_IHostMemoryManager, riid, ppvObject);
    if (result == S_OK) manager_add_ref(face);
    return result;
}

static HRESULT STDMETHODCALLTYPE manager_create_malloc(IHostMemoryManager *face, DWORD dwMallocType, IHostMalloc **ppMalloc) {
    struct manager *manager = manager_of(face);
    if (ppMalloc == NULL) return com_answer(ST_NOT_WRITABLE);
    const HM_LIMITS *limits = manager->heap_limits.cbSize != 0 ? &manager->heap_limits : NULL;
    void *before = budget_ask(manager->account->number, BUDGET_DOMAIN);
    HRESULT result = malloc_create(dwMallocType, &manager->observed, limits, ppMalloc);
    budget_ask_end(before);
    return result;
}

static HRESULT STDMETHODCALLTYPE manager_virtual_alloc(IHostMemoryManager *face, void *pAddress, SIZE_T dwSize,
                                                       DWORD flAllocationType, DWORD flProtect,
                                                       EMemoryCriticalLevel eCriticalLevel, void **ppMem) {
    if (ppMem == NULL) return com_answer(ST_NOT_WRITABLE);
    *ppMem = NULL;
    enum status status = inject_plain(eCriticalLevel) ? ST_OK : inject_judge(eCriticalLevel, dwSize);
    if (status != ST_OK) return com_answer(status);
    uintptr_t start = 0;
    void *before = budget_ask(manager_of(face)->account->number, (enum budget_level)eCriticalLevel);
    do status = vm_alloc((uintptr_t)pAddress, dwSize, flAllocationType, flProtect, &start);
    while (status != ST_OK && com_try_again(status, eCriticalLevel));
    budget_ask_end(before);
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
    if (pMemoryLoad != NULL) *pMemoryLoad = 0;
    if (pAvailableBytes != NULL) *pAvailableBytes = 0;
    if (pMemoryLoad == NULL && pAvailableBytes == NULL) return com_answer(ST_NOT_WRITABLE);
    struct pressure_load load;
    enum status status = pressure_load(manager_of(face)->account, &load);
    if (status != ST_OK) return com_answer(status);
    if (pMemoryLoad != NULL) *pMemoryLoad = load.load_percent;
    if (pAvailableBytes != NULL) *pAvailableBytes = (SIZE_T)load.available_bytes;
    return S_OK;
}

static HRESULT STDMETHODCALLTYPE manager_register_callback(IHostMemoryManager *face, ICLRMemoryNotificationCallback *pCallback) {
    if (pCallback == NULL) return com_answer(ST_NOT_WRITABLE);
    struct notify *notify = &manager_of(face)->notify;
    bool added;
    enum status status = notify_register(notify, pCallback, &added);
    if (status != ST_OK) return com_answer(status);
    status = pressure_update();
    if (status != ST_OK && added) notify_unregister(notify, pCallback); /* there is nobody to call it */
    return com_answer(status);
}

/* A CLR asks after a mapping has failed, and tries once more if it hears of success. */
static HRESULT STDMETHODCALLTYPE manager_needs_address_space(IHostMemoryManager *face, LPVOID startAddress, SIZE_T size) {
    (void)face;
    return com_answer(notify_plea((uintptr_t)startAddress, size));
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

HRESULT WINAPI HmUnregisterMemoryNotificationCallback(IHostMemoryManager *face, ICLRMemoryNotificationCallback *callback) {
    if (face == NULL || callback == NULL) return com_answer(ST_NOT_WRITABLE);
    if (manager_budget(face) == NULL) return com_answer(ST_BAD_ARGUMENT);
    enum status status = notify_unregister(&manager_of(face)->notify, callback);
    if (status == ST_OK) pressure_update();
    return com_answer(status);
}

struct budget *manager_budget(void *face) {
    struct manager *manager = face;
    return observed_is_manager(manager->face.lpVtbl) ? manager->account : NULL;
}

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
    const HM_LIMITS *limits[] = {known->pLimits, known->pHeapLimits, known->pProcessLimits};
    for (int i = 0; i < 3; i++) {
        if (limits[i] != NULL && limits_check(limits[i]) != ST_OK) return false;
    }
    return (known->dwFlags & ~(HM_TRACK_BLOCKS | HM_COUNT_CALLS | HM_PUBLISH)) == 0;
}

/* What the options and the environment say about the process. */
static enum status options_apply(const HM_OPTIONS *known) {
    inject_read_environment();
    if (known->pFaults != NULL && inject_set(known->pFaults) != ST_OK) return ST_BAD_ARGUMENT;
    region_limit_set(known->cbMaxAddressSpace);
    if (cache_bound_set(known->cbThreadCache, known->cbAllCaches)) trim_all(); /* what is kept by wider bounds */
    held_bound_set(known->cbHeld);
    ahead_set(known->cbCommitAhead);
    pressure_spacing_set(setting("HOSTMEM_LOW_SPACING"));
    pressure_spacing_set(known->msLowSpacing);
    if (known->pProcessLimits != NULL) return limits_set(&budget_process, known->pProcessLimits);
    limits_reserve_refill(); /* the environment may ask for one */
    return ST_OK;
}

HRESULT WINAPI HmCreateMemoryManager(const HM_OPTIONS *options, IHostMemoryManager **out) {
    if (out == NULL) return com_answer(ST_NOT_WRITABLE);
    *out = NULL;
    HM_OPTIONS known;
    if (!options_read(options, &known)) return com_answer(ST_BAD_ARGUMENT);
    os_slots_there(); /* where the level of a request is kept while it is served */
    struct manager *manager = cold_alloc(sizeof *manager);
    if (manager == NULL) return com_answer(ST_NO_MEMORY);
    manager->account = budget_open(known.pszName);
    enum status status = manager->account == NULL ? ST_NO_MEMORY : options_apply(&known);
    if (status != ST_OK) {
        if (manager->account != NULL) budget_drop(manager->account);
        cold_free(manager);
        return com_answer(status);
    }
    manager->notify.account = manager->account;
    if (known.pLimits != NULL) limits_set(manager->account, known.pLimits);
    if (known.pHeapLimits != NULL) manager->heap_limits = *known.pHeapLimits;
    manager->face.lpVtbl = (IHostMemoryManagerVtbl *)observed_manager_start(&manager->observed, &known, manager->account->number);
    manager->references = 1;
    pressure_update(); /* limits work without the thread, too, so it does not matter if there is none to be had */
    *out = &manager->face;
    return S_OK;
}
