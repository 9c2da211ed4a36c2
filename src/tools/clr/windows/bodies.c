/*
 * bodies.c - what takes the place of the system's functions in the CLR and its JIT compiler on Windows.
 *
 * Both call the system through their import tables, in the words of Win32; these bodies say the same to the host, as host.c
 * tells. What a CLR with hosting asks of the system itself stays with the system: blocks of heaps other than the process's (code
 * goes there), and whatever the manager says is not its memory, since CLR and JIT free some that others gave them.
 *
 * A body runs on any thread of the CLR, some of them while all the others are suspended: no locks, no memory of its own.
 */
#include "tools/clr/windows/imports.h"

#include <stdlib.h>
#include <string.h>

static LPVOID WINAPI body_alloc(LPVOID address, SIZE_T size, DWORD type, DWORD protect) {
    if ((type & MEM_WRITE_WATCH) != 0 && clr_write_watch() == CLR_WATCH_REFUSE) {
        SetLastError(ERROR_NOT_SUPPORTED);
        return NULL;
    }
    return manager_alloc(address, size, type, protect);
}

static BOOL WINAPI body_free(LPVOID address, SIZE_T size, DWORD type) {
    bool foreign;
    return manager_free(address, size, type, &foreign) || (foreign && VirtualFree(address, size, type));
}

static BOOL WINAPI body_protect(LPVOID address, SIZE_T size, DWORD protect, PDWORD old) {
    return manager_protect(address, size, protect, old);
}

static SIZE_T WINAPI body_query(LPCVOID address, PMEMORY_BASIC_INFORMATION info, SIZE_T length) {
    if (length < sizeof *info) {
        SetLastError(ERROR_BAD_LENGTH);
        return 0;
    }
    return manager_query(address, info);
}

static LPVOID WINAPI body_heap_alloc(HANDLE heap, DWORD flags, SIZE_T size) {
    void *block;
    if (heap != GetProcessHeap()) return HeapAlloc(heap, flags, size);
    block = manager_heap_alloc(size);
    if (block != NULL && (flags & HEAP_ZERO_MEMORY) != 0) memset(block, 0, size);
    return block;
}

static BOOL WINAPI body_heap_free(HANDLE heap, DWORD flags, LPVOID block) {
    if (heap != GetProcessHeap()) return HeapFree(heap, flags, block);
    return manager_heap_free(block) || HeapFree(heap, flags, block);
}

static BOOL WINAPI body_heap_validate(HANDLE heap, DWORD flags, LPCVOID block) {
    /* A host is not asked whether its heap is sound. */
    return heap == GetProcessHeap() || HeapValidate(heap, flags, block);
}

/*
 * Hosts know no reallocation and tell no sizes. As many bytes are copied as may be read: what lies behind the old block comes
 * along and means nothing.
 */
static LPVOID WINAPI body_heap_realloc(HANDLE heap, DWORD flags, LPVOID block, SIZE_T size) {
    MEMORY_BASIC_INFORMATION info;
    SIZE_T readable = 0;
    void *moved;
    if (heap != GetProcessHeap() || manager_query(block, &info) != sizeof info) return HeapReAlloc(heap, flags, block, size);
    if ((flags & (HEAP_REALLOC_IN_PLACE_ONLY | HEAP_ZERO_MEMORY)) != 0) {
        SetLastError(ERROR_NOT_SUPPORTED);
        return NULL;
    }
    readable = (SIZE_T)((char *)info.BaseAddress + info.RegionSize - (char *)block);
    moved = manager_heap_alloc(size);
    if (moved == NULL) return NULL;
    memcpy(moved, block, size < readable ? size : readable);
    if (manager_heap_free(block)) return moved;
    manager_heap_free(moved);
    return HeapReAlloc(heap, flags, block, size);
}

/* ---- Mapped views: the system's, but the host is told -------------------------------------------------------------- */

static LPVOID WINAPI body_map_at(HANDLE section, DWORD access, DWORD high, DWORD low, SIZE_T size, LPVOID address) {
    void *view = MapViewOfFileEx(section, access, high, low, size, address);
    if (view == NULL && manager_view_needed(address, size)) view = MapViewOfFileEx(section, access, high, low, size, address);
    if (view != NULL) manager_view_acquired(view, size);
    return view;
}

static LPVOID WINAPI body_map(HANDLE section, DWORD access, DWORD high, DWORD low, SIZE_T size) {
    return body_map_at(section, access, high, low, size, NULL);
}

static BOOL WINAPI body_unmap(LPCVOID view) {
    BOOL done = UnmapViewOfFile(view);
    if (done) manager_view_released((void *)(uintptr_t)view);
    return done;
}

/* A program that ends from within ends as main would have: the report is written on the way out. */
static void WINAPI body_exit(UINT status) { exit((int)status); }

#define BODY(function) ((void (*)(void))(function))
const struct clr_body bodies_table[] = {
    {"VirtualAlloc", BODY(body_alloc), false},
    {"VirtualFree", BODY(body_free), false},
    {"VirtualProtect", BODY(body_protect), false},
    {"VirtualQuery", BODY(body_query), false},
    {"HeapAlloc", BODY(body_heap_alloc), false},
    {"HeapFree", BODY(body_heap_free), false},
    {"HeapReAlloc", BODY(body_heap_realloc), true},
    {"HeapValidate", BODY(body_heap_validate), true},
    {"MapViewOfFile", BODY(body_map), true},
    {"MapViewOfFileEx", BODY(body_map_at), true},
    {"UnmapViewOfFile", BODY(body_unmap), true},
    {"ExitProcess", BODY(body_exit), true},
};
const size_t bodies_count = sizeof bodies_table / sizeof bodies_table[0];
