/*
 * heap_api.c - the exported heap functions: the heap layer with Win32's way of answering.
 *
 * A heap is safe for threads with or without HEAP_NO_SERIALIZE. The flags of HmHeapAlloc other than HEAP_ZERO_MEMORY, and those
 * of HmHeapFree and HmHeapSize, change nothing. NULL as a handle is the process's heap, which cannot be destroyed.
 */
#include "heap/front.h"

#include "hostmem.h"
#include "vm/error.h"

#define CREATE_KNOWN ((DWORD)(HEAP_NO_SERIALIZE | HEAP_CREATE_ENABLE_EXECUTE))

/* The heap of a handle, or NULL with the last error set. */
static struct heap *heap_for(HANDLE handle) {
    struct heap *heap = handle == NULL ? heap_default() : heap_of_handle(handle);
    if (heap == NULL) error_report(handle == NULL ? ST_NO_MEMORY : ST_BAD_HANDLE);
    return heap;
}

/* Win32's heaps answer 87 for a pointer that is not a block, where the virtual-memory calls say 487. */
static enum status block_status(enum status status) { return status == ST_NOT_OURS ? ST_BAD_ARGUMENT : status; }

HANDLE WINAPI HmHeapCreate(DWORD flOptions, SIZE_T dwInitialSize, SIZE_T dwMaximumSize) {
    (void)dwInitialSize; /* slabs are made as they are needed */
    struct heap *heap = NULL;
    if ((flOptions & ~CREATE_KNOWN) != 0) {
        error_report(ST_BAD_ARGUMENT);
        return NULL;
    }
    error_report(heap_create((flOptions & HEAP_CREATE_ENABLE_EXECUTE) != 0, dwMaximumSize, &heap));
    return heap;
}

BOOL WINAPI HmHeapDestroy(HANDLE hHeap) { return error_report(heap_destroy(hHeap)); }

LPVOID WINAPI HmHeapAlloc(HANDLE hHeap, DWORD dwFlags, SIZE_T dwBytes) {
    void *block = NULL;
    struct heap *heap = heap_for(hHeap);
    if (heap != NULL) error_report(front_alloc(heap, dwBytes, (dwFlags & HEAP_ZERO_MEMORY) != 0, &block));
    return block;
}

BOOL WINAPI HmHeapFree(HANDLE hHeap, DWORD dwFlags, LPVOID lpMem) {
    (void)dwFlags;
    struct heap *heap = heap_for(hHeap);
    if (heap == NULL) return FALSE;
    return lpMem == NULL || error_report(block_status(front_free(heap, lpMem)));
}

SIZE_T WINAPI HmHeapSize(HANDLE hHeap, DWORD dwFlags, LPCVOID lpMem) {
    (void)dwFlags;
    size_t size = (SIZE_T)-1;
    struct heap *heap = heap_for(hHeap);
    if (heap != NULL && !error_report(block_status(heap_size(heap, lpMem, &size)))) size = (SIZE_T)-1;
    return size;
}
