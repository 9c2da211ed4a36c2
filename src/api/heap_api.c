/*
 * heap_api.c - the exported heap functions: the heap layer with Win32's way of answering.
 *
 * A heap is safe for threads with or without HEAP_NO_SERIALIZE. The flags of HmHeapAlloc other than HEAP_ZERO_MEMORY, and those
 * of HmHeapFree and HmHeapSize, change nothing. NULL as a handle is the process's heap, which cannot be destroyed.
 */
#include "heap/front.h"

#include "hostmem.h"
#include "policy/calls.h"
#include "vm/error.h"

#define CREATE_KNOWN ((DWORD)(HEAP_NO_SERIALIZE | HEAP_CREATE_ENABLE_EXECUTE))

/* The heap of a handle, or NULL with *status saying why not. */
static inline struct heap *heap_for(HANDLE handle, enum status *status) {
    struct heap *heap = handle == NULL ? heap_default() : heap_of_handle(handle);
    *status = heap != NULL ? ST_OK : handle == NULL ? ST_NO_MEMORY : ST_BAD_HANDLE;
    return heap;
}

/* Win32's heaps answer 87 for a pointer that is not a block, where the virtual-memory calls say 487. */
static enum status block_status(enum status status) { return status == ST_NOT_OURS ? ST_BAD_ARGUMENT : status; }

HANDLE WINAPI HmHeapCreate(DWORD flOptions, SIZE_T dwInitialSize, SIZE_T dwMaximumSize) {
    (void)dwInitialSize; /* slabs are made as they are needed */
    struct heap *heap = NULL;
    enum status status = ST_BAD_ARGUMENT;
    if (!(flOptions & ~CREATE_KNOWN)) status = heap_create((flOptions & HEAP_CREATE_ENABLE_EXECUTE) != 0, dwMaximumSize, &heap);
    calls_flat_answer(CALL_OTHER, status);
    return heap;
}

BOOL WINAPI HmHeapDestroy(HANDLE hHeap) { return calls_flat_answer(CALL_OTHER, heap_destroy(hHeap)); }

/* The process's heap: 0 until it is made, and for ever where calls are counted; that costs nothing where nobody asks for it. */
static uint64_t plain_heap;

/* acq: pairs with the store below. */
static inline struct heap *heap_plain(void) { return (struct heap *)(uintptr_t)atom_load_acq_u64(&plain_heap); }

/* NULL: there is something to count, or to say about the handle. */
static inline struct heap *heap_handed(HANDLE handle) { return calls_flat_counted() ? NULL : heap_of_handle(handle); }

static struct heap *heap_or_status(HANDLE handle, enum status *status) {
    struct heap *heap = heap_for(handle, status);
    if (handle == NULL && !calls_flat_counted()) atom_store_rel_u64(&plain_heap, (uint64_t)(uintptr_t)heap); /* rel: it is made */
    return heap;
}

static __attribute__((noinline)) void *alloc_any(HANDLE handle, DWORD flags, SIZE_T size) {
    void *block = NULL;
    enum status status;
    struct heap *heap = heap_or_status(handle, &status);
    if (heap != NULL) status = front_alloc(heap, size, (flags & HEAP_ZERO_MEMORY) != 0, &block);
    calls_flat_answer(CALL_ALLOC, status);
    return block;
}

static __attribute__((noinline)) BOOL free_any(HANDLE handle, void *block) {
    enum status status;
    struct heap *heap = heap_or_status(handle, &status);
    if (heap != NULL && block != NULL) status = block_status(front_free(heap, block));
    return calls_flat_answer(CALL_FREE, status);
}

/* Each request is served in one of three functions: for the process's heap, for a handle, and for all that is not plain. */
static __attribute__((noinline)) void *alloc_plain(DWORD flags, SIZE_T size) {
    void *block;
    struct heap *heap = heap_plain();
    if (__builtin_expect(heap == NULL, 0)) return alloc_any(NULL, flags, size);
    error_report(front_alloc(heap, size, (flags & HEAP_ZERO_MEMORY) != 0, &block));
    return block;
}

static __attribute__((noinline)) BOOL free_plain(void *block) {
    struct heap *heap = heap_plain();
    if (__builtin_expect(heap == NULL, 0)) return free_any(NULL, block);
    return block == NULL || error_report(block_status(front_free(heap, block)));
}

static __attribute__((noinline)) void *alloc_handed(HANDLE handle, DWORD flags, SIZE_T size) {
    void *block;
    struct heap *heap = heap_handed(handle);
    if (__builtin_expect(heap == NULL, 0)) return alloc_any(handle, flags, size);
    error_report(front_alloc(heap, size, (flags & HEAP_ZERO_MEMORY) != 0, &block));
    return block;
}

static __attribute__((noinline)) BOOL free_handed(HANDLE handle, void *block) {
    struct heap *heap = heap_handed(handle);
    if (__builtin_expect(heap == NULL, 0)) return free_any(handle, block);
    return block == NULL || error_report(block_status(front_free(heap, block)));
}

LPVOID WINAPI HmHeapAlloc(HANDLE hHeap, DWORD dwFlags, SIZE_T dwBytes) {
    return hHeap == NULL ? alloc_plain(dwFlags, dwBytes) : alloc_handed(hHeap, dwFlags, dwBytes);
}

BOOL WINAPI HmHeapFree(HANDLE hHeap, DWORD dwFlags, LPVOID lpMem) {
    (void)dwFlags;
    return hHeap == NULL ? free_plain(lpMem) : free_handed(hHeap, lpMem);
}

SIZE_T WINAPI HmHeapSize(HANDLE hHeap, DWORD dwFlags, LPCVOID lpMem) {
    (void)dwFlags;
    size_t size = (SIZE_T)-1;
    enum status status;
    struct heap *heap = heap_for(hHeap, &status);
    if (heap != NULL) status = block_status(heap_size(heap, lpMem, &size));
    return calls_flat_answer(CALL_OTHER, status) ? size : (SIZE_T)-1;
}
