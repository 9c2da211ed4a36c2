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

/* The heap, if it is known at once and nothing is counted; otherwise NULL, and heap_for has to be asked. */
static inline struct heap *heap_quick(HANDLE handle) {
    if (__builtin_expect(calls_flat_counted(), 0)) return NULL;
    if (__builtin_expect(handle != NULL, 1)) return heap_of_handle_quick(handle);
    return (struct heap *)(uintptr_t)atom_load_acq_u64(&heap_of_process); /* acq: as in heap_default */
}

/* What the thread's cache does not answer, and where there is something to count or to say about the handle. */
static __attribute__((noinline)) LPVOID alloc_slowly(HANDLE handle, DWORD flags, SIZE_T size) {
    void *block = NULL;
    enum status status;
    struct heap *heap = heap_for(handle, &status);
    if (heap != NULL) status = front_alloc(heap, size, (flags & HEAP_ZERO_MEMORY) != 0, &block);
    calls_flat_answer(CALL_ALLOC, status);
    return block;
}

static __attribute__((noinline)) BOOL free_slowly(HANDLE handle, LPVOID block) {
    enum status status;
    struct heap *heap = heap_for(handle, &status);
    if (heap != NULL && block != NULL) status = block_status(front_free(heap, block));
    return calls_flat_answer(CALL_FREE, status);
}

LPVOID WINAPI HmHeapAlloc(HANDLE hHeap, DWORD dwFlags, SIZE_T dwBytes) {
    struct heap *heap = heap_quick(hHeap);
    void *block = NULL;
    if (__builtin_expect(heap != NULL && !(dwFlags & HEAP_ZERO_MEMORY), 1)) block = front_take(heap, dwBytes);
    return __builtin_expect(block != NULL, 1) ? block : alloc_slowly(hHeap, dwFlags, dwBytes);
}

BOOL WINAPI HmHeapFree(HANDLE hHeap, DWORD dwFlags, LPVOID lpMem) {
    (void)dwFlags;
    struct heap *heap = heap_quick(hHeap);
    return __builtin_expect(heap != NULL && front_keep(heap, lpMem), 1) ? TRUE : free_slowly(hHeap, lpMem);
}

SIZE_T WINAPI HmHeapSize(HANDLE hHeap, DWORD dwFlags, LPCVOID lpMem) {
    (void)dwFlags;
    size_t size = (SIZE_T)-1;
    enum status status;
    struct heap *heap = heap_for(hHeap, &status);
    if (heap != NULL) status = block_status(heap_size(heap, lpMem, &size));
    return calls_flat_answer(CALL_OTHER, status) ? size : (SIZE_T)-1;
}
