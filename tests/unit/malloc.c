/*
 * malloc.c - IHostMalloc as a CLR meets it: references, every way to ask wrongly, and blocks that cross threads.
 */
#include <string.h>

#include "base/atom.h"
#include "base/cold.h"
#include "check.h"
#include "core/region.h"
#include "hostmem.h"
#include "os/os.h"
#include "thread.h"
#ifdef HM_FAULT
#include "os/fault.h"
#endif

#define UNTOUCHED 0xdeadu /* a last error that no call of ours leaves */

static size_t granules_taken(void) {
    struct region_totals totals;
    region_totals(&totals);
    return totals.granules_taken;
}

static IHostMalloc *malloc_make(DWORD type) {
    IHostMemoryManager *manager;
    IHostMalloc *heap = NULL;
    if (!CHECK(HmCreateMemoryManager(NULL, &manager) == S_OK)) return NULL;
    CHECK(manager->lpVtbl->CreateMalloc(manager, type, &heap) == S_OK && heap != NULL);
    CHECK_EQ(manager->lpVtbl->Release(manager), 0); /* a malloc stands for itself */
    return heap;
}

/* The answer and the last error that must go with it. */
static bool answers(HRESULT result, HRESULT expected, DWORD last_error) {
    bool good = CHECK_EQ((uint32_t)result, (uint32_t)expected) && CHECK_EQ(os_last_error(), last_error);
    os_last_error_set(UNTOUCHED);
    return good;
}

static void test_references(void) {
    IHostMalloc *heap = malloc_make(MALLOC_THREADSAFE);
    if (heap == NULL) return;
    CHECK_EQ(heap->lpVtbl->AddRef(heap), 2);
    CHECK_EQ(heap->lpVtbl->AddRef(heap), 3);
    CHECK_EQ(heap->lpVtbl->Release(heap), 2);
    void *out = &out;
    const IID *own[] = {&HM_IID_IUnknown, &HM_IID_IHostMalloc};
    os_last_error_set(UNTOUCHED);
    for (ULONG i = 0; i < 2; i++) {
        out = NULL;
        CHECK(answers(heap->lpVtbl->QueryInterface(heap, own[i], &out), S_OK, UNTOUCHED));
        CHECK(out == heap);
        CHECK_EQ(heap->lpVtbl->AddRef(heap), 4 + i);
        CHECK_EQ(heap->lpVtbl->Release(heap), 3 + i);
    }
    const IID *foreign[] = {&HM_IID_IHostMemoryManager, &HM_IID_IHostControl, &HM_IID_ICLRMemoryNotificationCallback};
    for (int i = 0; i < 3; i++) {
        out = heap;
        CHECK(heap->lpVtbl->QueryInterface(heap, foreign[i], &out) == E_NOINTERFACE);
        CHECK(out == NULL);
    }
    out = heap;
    CHECK(heap->lpVtbl->QueryInterface(heap, NULL, &out) == E_INVALIDARG && out == NULL);
    CHECK(heap->lpVtbl->QueryInterface(heap, &HM_IID_IUnknown, NULL) == E_POINTER);
    for (ULONG left = 4; left-- > 0;) CHECK_EQ(heap->lpVtbl->Release(heap), left);
}

static void test_answers(void) {
    IHostMalloc *heap = malloc_make(0), *other = malloc_make(MALLOC_THREADSAFE | MALLOC_EXECUTABLE);
    if (heap == NULL || other == NULL) return;
    os_last_error_set(UNTOUCHED);
    void *block = NULL, *debug = NULL, *none = heap;
    CHECK(answers(heap->lpVtbl->Alloc(heap, 100, eTaskCritical, &block), S_OK, UNTOUCHED) && block != NULL);
    CHECK(answers(heap->lpVtbl->DebugAlloc(heap, 70000, eProcessCritical, "file.c", 12, &debug), S_OK, UNTOUCHED));
    CHECK(debug != NULL);
    CHECK((uintptr_t)block % 16 == 0 && (uintptr_t)debug % 16 == 0);
    memset(block, 1, 100);
    memset(debug, 2, 70000);
    CHECK(answers(heap->lpVtbl->DebugAlloc(heap, 1, eAppDomainCritical, NULL, -1, &none), S_OK, UNTOUCHED) && none != NULL);
    CHECK(answers(heap->lpVtbl->Free(heap, none), S_OK, UNTOUCHED));
    CHECK(answers(heap->lpVtbl->Free(heap, NULL), S_OK, UNTOUCHED));
    CHECK(answers(heap->lpVtbl->Alloc(heap, 0, eTaskCritical, &none), S_OK, UNTOUCHED) && none != NULL);
    CHECK(answers(heap->lpVtbl->Free(heap, none), S_OK, UNTOUCHED));

    CHECK(answers(heap->lpVtbl->Alloc(heap, 1, eTaskCritical, NULL), E_POINTER, ERROR_NOACCESS));
    CHECK(answers(heap->lpVtbl->DebugAlloc(heap, 1, eTaskCritical, "f", 1, NULL), E_POINTER, ERROR_NOACCESS));
    SIZE_T wrapped[] = {SIZE_MAX, SIZE_MAX - 15, SIZE_MAX - 4095, SIZE_MAX / 2, (SIZE_T)1 << 50};
    for (size_t i = 0; i < sizeof wrapped / sizeof *wrapped; i++) {
        none = heap;
        CHECK(answers(heap->lpVtbl->Alloc(heap, wrapped[i], eTaskCritical, &none), E_OUTOFMEMORY, ERROR_NOT_ENOUGH_MEMORY));
        CHECK(none == NULL);
        none = heap;
        CHECK(answers(heap->lpVtbl->DebugAlloc(heap, wrapped[i], eTaskCritical, NULL, 0, &none), E_OUTOFMEMORY,
                      ERROR_NOT_ENOUGH_MEMORY));
        CHECK(none == NULL);
    }
    int levels[] = {-1, 3, 1000};
    for (size_t i = 0; i < 3; i++) {
        none = heap;
        CHECK(answers(heap->lpVtbl->Alloc(heap, 1, (EMemoryCriticalLevel)levels[i], &none), E_INVALIDARG,
                      ERROR_INVALID_PARAMETER));
        CHECK(none == NULL);
    }
    char local[16];
    void *foreign[] = {local, (char *)block + 1, (char *)block + 16, (char *)debug + 4096, (void *)1, (void *)(uintptr_t)-1,
                       heap};
    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++) {
        CHECK(answers(heap->lpVtbl->Free(heap, foreign[i]), HOST_E_INVALIDOPERATION, ERROR_INVALID_ADDRESS));
    }
    CHECK(answers(other->lpVtbl->Free(other, block), HOST_E_INVALIDOPERATION, ERROR_INVALID_ADDRESS));
    CHECK(((unsigned char *)block)[99] == 1 && ((unsigned char *)debug)[69999] == 2);
    CHECK(answers(heap->lpVtbl->Free(heap, block), S_OK, UNTOUCHED));
    CHECK(answers(heap->lpVtbl->Free(heap, block), HOST_E_INVALIDOPERATION, ERROR_INVALID_ADDRESS));
    CHECK(answers(heap->lpVtbl->Free(heap, debug), S_OK, UNTOUCHED));
    CHECK(answers(heap->lpVtbl->Free(heap, debug), HOST_E_INVALIDOPERATION, ERROR_INVALID_ADDRESS));
    CHECK_EQ(heap->lpVtbl->Release(heap), 0);
    CHECK_EQ(other->lpVtbl->Release(other), 0);
}

/* Memory that VirtualAlloc gave out is not a heap's. */
static void test_other_memory(void) {
    IHostMemoryManager *manager;
    IHostMalloc *heap = malloc_make(MALLOC_THREADSAFE);
    if (heap == NULL || !CHECK(HmCreateMemoryManager(NULL, &manager) == S_OK)) return;
    void *pages = NULL;
    DWORD both = MEM_RESERVE | MEM_COMMIT;
    CHECK(manager->lpVtbl->VirtualAlloc(manager, NULL, 65536, both, PAGE_READWRITE, eTaskCritical, &pages) == S_OK);
    CHECK(heap->lpVtbl->Free(heap, pages) == HOST_E_INVALIDOPERATION);
    void *block = NULL;
    CHECK(heap->lpVtbl->Alloc(heap, 16, eTaskCritical, &block) == S_OK);
    CHECK(manager->lpVtbl->VirtualFree(manager, block, 0, MEM_RELEASE) == HOST_E_INVALIDOPERATION);
    CHECK(heap->lpVtbl->Free(heap, block) == S_OK);
    CHECK(manager->lpVtbl->VirtualFree(manager, pages, 0, MEM_RELEASE) == S_OK);
    manager->lpVtbl->Release(manager);
    heap->lpVtbl->Release(heap);
}

static void test_executable(void) {
    IHostMalloc *heap = malloc_make(MALLOC_EXECUTABLE);
    if (heap == NULL) return;
    static const unsigned char code[] = {0xb8, 0x07, 0, 0, 0, 0xc3}; /* mov eax, 7; ret */
    void *block = NULL;
    CHECK(heap->lpVtbl->Alloc(heap, sizeof code, eTaskCritical, &block) == S_OK);
    memcpy(block, code, sizeof code);
    int (*function)(void);
    memcpy(&function, &block, sizeof function);
    CHECK_EQ(function(), 7);
    CHECK_EQ(heap->lpVtbl->Release(heap), 0);
}

/* The last Release gives all blocks back. */
static void test_release(void) {
    size_t before = granules_taken();
    IHostMalloc *heap = malloc_make(MALLOC_THREADSAFE);
    if (heap == NULL) return;
    for (SIZE_T size = 1; size < 300000; size = size * 3 / 2 + 1) {
        void *block = NULL;
        CHECK(heap->lpVtbl->Alloc(heap, size, eTaskCritical, &block) == S_OK);
        memset(block, 0x77, size);
    }
    CHECK(granules_taken() > before);
    CHECK_EQ(heap->lpVtbl->Release(heap), 0);
    CHECK_EQ(granules_taken(), before);
}

/* ---- Threads -------------------------------------------------------------------------------------------------- */

enum { THREADS = 4, BOXES = 64 };

static IHostMalloc *shared_heap;
static uint64_t shared_box[BOXES];
static double shared_end;

static bool block_whole(const unsigned char *block, size_t size) {
    for (size_t i = 8; i < size; i++) {
        if (block[i] != (unsigned char)(size * 31)) return false;
    }
    return true;
}

static void block_give_back(uint64_t address) {
    uint64_t size;
    if (address == 0) return;
    memcpy(&size, (void *)(uintptr_t)address, 8);
    if (!block_whole((void *)(uintptr_t)address, size)) CHECK(!"a block lost its content");
    if (shared_heap->lpVtbl->Free(shared_heap, (void *)(uintptr_t)address) != S_OK) CHECK(!"a live block was refused");
}

static void *exchange(void *context) {
    uint64_t seed = (uint64_t)(uintptr_t)context;
    while (thread_seconds() < shared_end) {
        for (int i = 0; i < 100; i++) {
            uint64_t size = 8 + thread_random(&seed) % (i == 0 ? 100000 : 500);
            void *block = NULL;
            if (!CHECK(shared_heap->lpVtbl->Alloc(shared_heap, size, eTaskCritical, &block) == S_OK)) return NULL;
            memset(block, (int)(unsigned char)(size * 31), size);
            memcpy(block, &size, 8);
            uint64_t *box = &shared_box[thread_random(&seed) % BOXES];
            uint64_t found = atom_load_acq_u64(box);
            while (!atom_cas_acqrel_u64(box, &found, (uint64_t)(uintptr_t)block)) continue;
            block_give_back(found);
            shared_heap->lpVtbl->AddRef(shared_heap);
            shared_heap->lpVtbl->Release(shared_heap);
        }
    }
    return NULL;
}

static void test_exchange(void) {
    HmTrim(); /* what the thread keeps of earlier tests would go back meanwhile */
    size_t before = granules_taken();
    shared_heap = malloc_make(MALLOC_THREADSAFE);
    if (shared_heap == NULL) return;
    shared_end = thread_seconds() + 0.7;
    struct threads threads = {0};
    for (uintptr_t i = 1; i <= THREADS; i++) threads_start(&threads, exchange, (void *)i);
    threads_join(&threads);
    for (int i = 0; i < BOXES; i++) block_give_back(shared_box[i]);
    CHECK_EQ(shared_heap->lpVtbl->Release(shared_heap), 0);
    CHECK_EQ(granules_taken(), before);
}

#ifdef HM_FAULT
static void test_no_memory(void) {
    size_t before = granules_taken();
    IHostMemoryManager *manager;
    if (!CHECK(HmCreateMemoryManager(NULL, &manager) == S_OK)) return;
    IHostMalloc *heap = (IHostMalloc *)manager;
    os_last_error_set(UNTOUCHED);
    cold_fail_after(1);
    CHECK(answers(manager->lpVtbl->CreateMalloc(manager, 1, &heap), E_OUTOFMEMORY, ERROR_NOT_ENOUGH_MEMORY) && heap == NULL);
    cold_fail_after(-1);
    os_fault_set("tables_commit", 1, true);
    heap = (IHostMalloc *)manager;
    CHECK(answers(manager->lpVtbl->CreateMalloc(manager, 1, &heap), E_OUTOFMEMORY, ERROR_NOT_ENOUGH_MEMORY) && heap == NULL);
    os_fault_set(NULL, 0, false);
    /* Executable, since to another heap's memory access may have been given before. */
    CHECK(manager->lpVtbl->CreateMalloc(manager, MALLOC_THREADSAFE | MALLOC_EXECUTABLE, &heap) == S_OK);
    os_fault_set("commit", 1, true);
    void *block = heap;
    HRESULT result = heap->lpVtbl->Alloc(heap, 100, eProcessCritical, &block);
    CHECK_EQ((uint32_t)result, (uint32_t)E_OUTOFMEMORY);
    CHECK(block == NULL);
    CHECK(os_last_error() == ERROR_COMMITMENT_LIMIT || os_last_error() == ERROR_NOT_ENOUGH_MEMORY);
    os_fault_set(NULL, 0, false);
    CHECK(heap->lpVtbl->Alloc(heap, 100, eProcessCritical, &block) == S_OK && block != NULL);
    CHECK_EQ(heap->lpVtbl->Release(heap), 0);
    CHECK_EQ(manager->lpVtbl->Release(manager), 0);
    CHECK_EQ(granules_taken(), before);
}
#endif

int main(void) {
    test_references();
    test_answers();
    test_other_memory();
    test_executable();
    test_release();
    test_exchange();
#ifdef HM_FAULT
    test_no_memory();
#endif
    return check_done();
}
