/*
 * bodies.c - what takes the place of the CLR's own allocation functions on Linux.
 *
 * Every allocation of the CLR's collector, loader and JIT passes through eight functions. In a CLR with hosting, they call the
 * host; in this one, they call the system. The bodies here go over them (hook.c) and call the host again, as host.c says. The
 * flags of a heap allocation are dropped.
 *
 * The bodies are called by any thread of the CLR, some of them while all the others are suspended. So they take no lock and
 * no memory of their own.
 */
#include "tools/clr/clr.h"

#include <errno.h>

/* How this system's CLR marks a reservation that must be near its image. */
#define TYPE_NEAR 0x40000000u

static void *body_virtual_alloc(void *address, SIZE_T size, DWORD type, DWORD protect) {
    if ((type & TYPE_NEAR) != 0) {
        type &= ~TYPE_NEAR;
        if (address == NULL && (type & MEM_RESERVE) != 0) return near_reserve(size, type, protect);
    }
    return manager_alloc(address, size, type, protect);
}

static BOOL body_virtual_free(void *address, SIZE_T size, DWORD type) {
    bool foreign;
    return manager_free(address, size, type, &foreign);
}

static SIZE_T body_virtual_query(const void *address, MEMORY_BASIC_INFORMATION *info, SIZE_T length) {
    if (length < sizeof *info) {
        errno = ERROR_BAD_LENGTH;
        return 0;
    }
    return manager_query(address, info);
}

static BOOL body_virtual_protect(void *address, SIZE_T size, DWORD protect, DWORD *old) {
    return manager_protect(address, size, protect, old);
}

static void *body_heap_alloc_process(DWORD flags, SIZE_T size) {
    (void)flags;
    return manager_heap_alloc(size);
}

static BOOL body_heap_free_process(DWORD flags, void *block) {
    (void)flags;
    return manager_heap_free(block);
}

static void *body_heap_alloc(HANDLE heap, DWORD flags, SIZE_T size) {
    (void)heap;
    return body_heap_alloc_process(flags, size);
}

static BOOL body_heap_free(HANDLE heap, DWORD flags, void *block) {
    (void)heap;
    return body_heap_free_process(flags, block);
}

/*
 * The system layer of this CLR has an allocator of executable memory of its own, and asks it first when a code heap must lie
 * near other code. It must say no: what it gave would be no reservation of the manager's, and a commit in it would fail. The
 * CLR then walks the address space through VirtualQuery and VirtualAlloc.
 */
static void *body_no_system_range(const void *low, const void *high, SIZE_T size) {
    (void)low;
    (void)high;
    (void)size;
    return NULL;
}

#define BODY(function) ((void (*)(void))(function))
const struct clr_body bodies_table[] = {
    {"_Z14EEVirtualAllocPvmjj", BODY(body_virtual_alloc), false},
    {"_Z13EEVirtualFreePvmj", BODY(body_virtual_free), false},
    {"_Z14EEVirtualQueryPKvP25_MEMORY_BASIC_INFORMATIONm", BODY(body_virtual_query), false},
    {"_Z16EEVirtualProtectPvmjPj", BODY(body_virtual_protect), false},
    {"_Z11EEHeapAllocPvjm", BODY(body_heap_alloc), false},
    {"_Z10EEHeapFreePvjS_", BODY(body_heap_free), false},
    {"_Z24EEHeapAllocInProcessHeapjm", BODY(body_heap_alloc_process), false},
    {"_Z23EEHeapFreeInProcessHeapjPv", BODY(body_heap_free_process), false},
    {"PAL_VirtualReserveFromExecutableMemoryAllocatorWithinRange", BODY(body_no_system_range), true},
};
const size_t bodies_count = sizeof bodies_table / sizeof bodies_table[0];
