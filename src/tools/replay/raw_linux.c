/*
 * raw_linux.c - the memory under test is the Linux kernel behind a thin layer of Win32's shape.
 *
 * The layer does per call what a careful port does by hand: reserve is mmap without access, commit and protect are mprotect,
 * decommit is madvise and mprotect, reset is madvise, release is munmap. The kernel knows neither allocations nor which of
 * their pages are committed, and calls that Win32 refuses must be refused; so the layer keeps a table of allocations, sorted
 * by address, with a byte for each page (0 reserved, else its base protection). The replay lets one thread run at a time and
 * hands the turn over through semaphores, so nothing here takes a lock.
 */
#ifndef _WIN32
#include "tools/replay/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { RAW_PAGE = 4096, RAW_GRANULE = 65536 };
#define RAW_TOP ((uintptr_t)1 << 47) /* of the addresses that a process has */

struct raw_allocation {
    uintptr_t base;
    size_t size;
    uint8_t protect_at_reserve;
    uint8_t *page;
};

static struct raw_allocation *raw_table;
static size_t raw_count, raw_capacity;
static __thread DWORD raw_error;

static void *raw_refuse(DWORD error) {
    raw_error = error;
    return NULL;
}

static DWORD raw_last_error(void) { return raw_error; }

/* The place of the first allocation that ends after address. */
static size_t raw_place(uintptr_t address) {
    size_t low = 0, high = raw_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (raw_table[middle].base + raw_table[middle].size <= address) low = middle + 1;
        else high = middle;
    }
    return low;
}

static struct raw_allocation *raw_find(uintptr_t address) {
    size_t at = raw_place(address);
    return at < raw_count && raw_table[at].base <= address ? &raw_table[at] : NULL;
}

/* Where the last page of a range ends; 0: no process has such a range. */
static uintptr_t raw_end(uintptr_t at, size_t size) {
    if (size > RAW_TOP || at > RAW_TOP - size) return 0;
    return (at + size + RAW_PAGE - 1) & ~(uintptr_t)(RAW_PAGE - 1);
}

static int raw_protection(DWORD protect) {
    switch (protect & 0xff) {
    case PAGE_NOACCESS: return PROT_NONE;
    case PAGE_READONLY: return PROT_READ;
    case PAGE_READWRITE:
    case PAGE_WRITECOPY: return PROT_READ | PROT_WRITE;
    case PAGE_EXECUTE: return PROT_EXEC;
    case PAGE_EXECUTE_READ: return PROT_READ | PROT_EXEC;
    case PAGE_EXECUTE_READWRITE:
    case PAGE_EXECUTE_WRITECOPY: return PROT_READ | PROT_WRITE | PROT_EXEC;
    default: return -1;
    }
}

/* Address space aligned to 64 KiB, or at wanted if that is not 0. */
static void *raw_reserve_at(uintptr_t wanted, size_t size) {
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    if (wanted != 0) {
        void *got = mmap((void *)wanted, size, PROT_NONE, flags | MAP_FIXED_NOREPLACE, -1, 0);
        if (got == MAP_FAILED) return NULL;
        if (got == (void *)wanted) return got;
        munmap(got, size); /* a kernel older than MAP_FIXED_NOREPLACE */
        return NULL;
    }
    size_t whole = size + RAW_GRANULE;
    char *got = mmap(NULL, whole, PROT_NONE, flags, -1, 0);
    if (got == MAP_FAILED) return NULL;
    size_t head = (size_t)(-(uintptr_t)got % RAW_GRANULE);
    if (head != 0) munmap(got, head);
    munmap(got + head + size, whole - head - size);
    return got + head;
}

static struct raw_allocation *raw_insert(uintptr_t base, size_t size, DWORD protect) {
    if (raw_count == raw_capacity) {
        size_t more = raw_capacity == 0 ? 256 : raw_capacity * 2;
        struct raw_allocation *grown = realloc(raw_table, more * sizeof *grown);
        if (grown == NULL) return NULL;
        raw_table = grown;
        raw_capacity = more;
    }
    uint8_t *page = calloc(size / RAW_PAGE, 1);
    if (page == NULL) return NULL;
    size_t at = raw_place(base);
    memmove(&raw_table[at + 1], &raw_table[at], (raw_count - at) * sizeof raw_table[0]);
    raw_table[at] = (struct raw_allocation){base, size, (uint8_t)protect, page};
    raw_count++;
    return &raw_table[at];
}

static void raw_remove(struct raw_allocation *allocation) {
    munmap((void *)allocation->base, allocation->size);
    free(allocation->page);
    size_t place = (size_t)(allocation - raw_table);
    memmove(allocation, allocation + 1, (--raw_count - place) * sizeof *allocation);
}

static bool raw_commit(struct raw_allocation *allocation, uintptr_t start, uintptr_t end, DWORD protect) {
    if (mprotect((void *)start, end - start, raw_protection(protect)) != 0) return false;
    memset(allocation->page + (start - allocation->base) / RAW_PAGE, (int)(protect & 0xff), (end - start) / RAW_PAGE);
    return true;
}

static void *raw_alloc(void *address, size_t size, DWORD type, DWORD protect) {
    uintptr_t at = (uintptr_t)address, end = raw_end(at, size);
    if (size == 0 || end == 0 || raw_protection(protect) < 0) return raw_refuse(ERROR_INVALID_PARAMETER);
    if (at == 0 || (type & MEM_RESERVE) != 0) {
        uintptr_t wanted = at & ~(uintptr_t)(RAW_GRANULE - 1);
        if (!(type & (MEM_RESERVE | MEM_COMMIT))) return raw_refuse(ERROR_INVALID_PARAMETER);
        void *base = raw_reserve_at(wanted, end - wanted);
        if (base == NULL) return raw_refuse(wanted != 0 ? ERROR_INVALID_ADDRESS : ERROR_NOT_ENOUGH_MEMORY);
        struct raw_allocation *made = raw_insert((uintptr_t)base, end - wanted, protect);
        if (made == NULL) {
            munmap(base, end - wanted);
            return raw_refuse(ERROR_NOT_ENOUGH_MEMORY);
        }
        if ((type & MEM_COMMIT) == 0 || raw_commit(made, made->base, made->base + made->size, protect)) return base;
        raw_remove(made);
        return raw_refuse(ERROR_COMMITMENT_LIMIT);
    }
    uintptr_t start = at & ~(uintptr_t)(RAW_PAGE - 1);
    if (type == MEM_RESET) { /* whole pages only */
        start = (at + RAW_PAGE - 1) & ~(uintptr_t)(RAW_PAGE - 1);
        end = (at + size) & ~(uintptr_t)(RAW_PAGE - 1);
    }
    struct raw_allocation *allocation = raw_find(start);
    if (allocation == NULL || start >= end || end > allocation->base + allocation->size) return raw_refuse(ERROR_INVALID_ADDRESS);
    if (type == MEM_RESET) {
        madvise((void *)start, end - start, MADV_FREE);
        return (void *)start;
    }
    if (type != MEM_COMMIT) return raw_refuse(ERROR_INVALID_PARAMETER);
    return raw_commit(allocation, start, end, protect) ? (void *)start : raw_refuse(ERROR_COMMITMENT_LIMIT);
}

static BOOL raw_free(void *address, size_t size, DWORD type) {
    uintptr_t at = (uintptr_t)address, start = at & ~(uintptr_t)(RAW_PAGE - 1);
    struct raw_allocation *allocation = raw_find(start);
    if ((type != MEM_RELEASE && type != MEM_DECOMMIT) || (type == MEM_RELEASE && size != 0))
        return raw_refuse(ERROR_INVALID_PARAMETER) != NULL;
    if (allocation == NULL || (size == 0 && start != allocation->base)) return raw_refuse(ERROR_INVALID_ADDRESS) != NULL;
    if (type == MEM_RELEASE) {
        raw_remove(allocation);
        return TRUE;
    }
    uintptr_t end = size == 0 ? allocation->base + allocation->size : raw_end(at, size);
    if (end == 0 || end > allocation->base + allocation->size) return raw_refuse(ERROR_INVALID_PARAMETER) != NULL;
    madvise((void *)start, end - start, MADV_DONTNEED);
    mprotect((void *)start, end - start, PROT_NONE);
    memset(allocation->page + (start - allocation->base) / RAW_PAGE, 0, (end - start) / RAW_PAGE);
    return TRUE;
}

static BOOL raw_protect(void *address, size_t size, DWORD protect, PDWORD old) {
    uintptr_t at = (uintptr_t)address, start = at & ~(uintptr_t)(RAW_PAGE - 1), end = raw_end(at, size);
    if (old == NULL) return raw_refuse(ERROR_NOACCESS) != NULL;
    if (size == 0 || end == 0 || raw_protection(protect) < 0) return raw_refuse(ERROR_INVALID_PARAMETER) != NULL;
    struct raw_allocation *allocation = raw_find(start);
    DWORD before = PAGE_READWRITE; /* of memory that the layer never gave out, the kernel would have to be asked */
    if (allocation != NULL) {
        if (end > allocation->base + allocation->size) return raw_refuse(ERROR_INVALID_ADDRESS) != NULL;
        const uint8_t *page = allocation->page + (start - allocation->base) / RAW_PAGE;
        if (memchr(page, 0, (end - start) / RAW_PAGE) != NULL) return raw_refuse(ERROR_INVALID_ADDRESS) != NULL;
        before = page[0];
    }
    if (mprotect((void *)start, end - start, raw_protection(protect)) != 0) return raw_refuse(ERROR_INVALID_ADDRESS) != NULL;
    if (allocation != NULL)
        memset(allocation->page + (start - allocation->base) / RAW_PAGE, (int)(protect & 0xff), (end - start) / RAW_PAGE);
    *old = before;
    return TRUE;
}

/* Memory that the layer never gave out, as /proc tells it. */
static void raw_query_foreign(uintptr_t page, PMEMORY_BASIC_INFORMATION info) {
    info->State = MEM_FREE;
    info->Protect = PAGE_NOACCESS;
    info->RegionSize = RAW_PAGE;
    FILE *maps = fopen("/proc/self/maps", "r");
    char line[512], mode[5];
    unsigned long long low, high;
    while (maps != NULL && fgets(line, sizeof line, maps) != NULL) {
        if (sscanf(line, "%llx-%llx %4s", &low, &high, mode) != 3 || high <= page) continue;
        if (low <= page) {
            bool write = mode[1] == 'w', read = write || mode[0] == 'r', execute = mode[2] == 'x';
            info->State = MEM_COMMIT;
            info->Type = MEM_MAPPED;
            info->AllocationBase = (void *)(uintptr_t)low;
            info->RegionSize = (size_t)(high - page);
            info->Protect = (write ? PAGE_READWRITE : read ? PAGE_READONLY : PAGE_NOACCESS) << (execute ? 4 : 0);
        } else {
            info->RegionSize = (size_t)(low - page);
        }
        break;
    }
    if (maps != NULL) fclose(maps);
}

static SIZE_T raw_query(LPCVOID address, PMEMORY_BASIC_INFORMATION info, SIZE_T length) {
    if (length < sizeof *info) return (SIZE_T)(uintptr_t)raw_refuse(ERROR_BAD_LENGTH);
    uintptr_t page = (uintptr_t)address & ~(uintptr_t)(RAW_PAGE - 1);
    const struct raw_allocation *allocation = raw_find(page);
    memset(info, 0, sizeof *info);
    info->BaseAddress = (void *)page;
    if (allocation == NULL) {
        raw_query_foreign(page, info);
        return sizeof *info;
    }
    size_t first = (page - allocation->base) / RAW_PAGE, count = allocation->size / RAW_PAGE, last = first + 1;
    while (last < count && allocation->page[last] == allocation->page[first]) last++;
    info->AllocationBase = (void *)allocation->base;
    info->AllocationProtect = allocation->protect_at_reserve;
    info->RegionSize = (last - first) * RAW_PAGE;
    info->State = allocation->page[first] != 0 ? MEM_COMMIT : MEM_RESERVE;
    info->Protect = allocation->page[first];
    info->Type = MEM_PRIVATE;
    return sizeof *info;
}

/* ---- Heaps: malloc, with a list of each heap's blocks so that destroying it frees them ---------------------------------- */

struct raw_block {
    struct raw_block *next, *previous;
    struct raw_heap *heap;
    size_t size;
};

struct raw_heap {
    struct raw_block head; /* of the circular list */
};

static struct raw_heap raw_default = {.head = {&raw_default.head, &raw_default.head, &raw_default, 0}};

static HANDLE raw_heap_create(DWORD options, SIZE_T initial, SIZE_T maximum) {
    (void)options, (void)initial, (void)maximum;
    struct raw_heap *heap = malloc(sizeof *heap);
    if (heap == NULL) return raw_refuse(ERROR_NOT_ENOUGH_MEMORY);
    heap->head = (struct raw_block){&heap->head, &heap->head, heap, 0};
    return heap;
}

static BOOL raw_heap_destroy(HANDLE handle) {
    struct raw_heap *heap = handle;
    for (struct raw_block *block = heap->head.next; block != &heap->head;) {
        struct raw_block *next = block->next;
        free(block);
        block = next;
    }
    free(heap);
    return TRUE;
}

static LPVOID raw_heap_alloc(HANDLE handle, DWORD flags, SIZE_T bytes) {
    struct raw_heap *heap = handle;
    if (bytes + sizeof(struct raw_block) < bytes) return raw_refuse(ERROR_NOT_ENOUGH_MEMORY);
    size_t whole = bytes + sizeof(struct raw_block);
    struct raw_block *block = (flags & HEAP_ZERO_MEMORY) != 0 ? calloc(1, whole) : malloc(whole);
    if (block == NULL) return raw_refuse(ERROR_NOT_ENOUGH_MEMORY);
    *block = (struct raw_block){heap->head.next, &heap->head, heap, bytes};
    block->next->previous = block;
    heap->head.next = block;
    return block + 1;
}

static BOOL raw_heap_free(HANDLE handle, DWORD flags, LPVOID memory) {
    (void)flags;
    if (memory == NULL) return TRUE;
    struct raw_block *block = (struct raw_block *)memory - 1;
    if (block->heap != handle) return raw_refuse(ERROR_INVALID_PARAMETER) != NULL;
    block->next->previous = block->previous;
    block->previous->next = block->next;
    free(block);
    return TRUE;
}

static SIZE_T raw_heap_size(HANDLE handle, DWORD flags, LPCVOID memory) {
    (void)handle, (void)flags;
    return ((const struct raw_block *)memory - 1)->size;
}

void memory_raw(struct memory *memory) {
    *memory = (struct memory){
        .name = "raw",
        .alloc = raw_alloc,
        .free = raw_free,
        .protect = raw_protect,
        .query = raw_query,
        .last_error = raw_last_error,
        .heap_create = raw_heap_create,
        .heap_destroy = raw_heap_destroy,
        .heap_alloc = raw_heap_alloc,
        .heap_free = raw_heap_free,
        .heap_size = raw_heap_size,
        .default_heap = &raw_default,
    };
}
#endif
