/*
 * raw_windows.c - the memory under test is Windows itself.
 */
#ifdef _WIN32
#include "tools/replay/memory.h"

void memory_raw(struct memory *memory) {
    *memory = (struct memory){
        .name = "raw",
        .alloc = VirtualAlloc,
        .free = VirtualFree,
        .protect = VirtualProtect,
        .query = VirtualQuery,
        .last_error = GetLastError,
        .heap_create = HeapCreate,
        .heap_destroy = HeapDestroy,
        .heap_alloc = HeapAlloc,
        .heap_free = HeapFree,
        .heap_size = HeapSize,
        .default_heap = GetProcessHeap(),
    };
}
#endif
