/*
 * engine.c - the memory under test is hostmem: its flat functions, as they are.
 */
#include "hostmem.h"

#include "tools/replay/memory.h"

void memory_engine(struct memory *memory) {
    *memory = (struct memory){
        .name = "engine",
        .alloc = HmVirtualAlloc,
        .free = HmVirtualFree,
        .protect = HmVirtualProtect,
        .query = HmVirtualQuery,
        .last_error = HmGetLastError,
        .heap_create = HmHeapCreate,
        .heap_destroy = HmHeapDestroy,
        .heap_alloc = HmHeapAlloc,
        .heap_free = HmHeapFree,
        .heap_size = HmHeapSize,
        .default_heap = NULL,
    };
}
