/*
 * raw_vm.c - the four Win32 memory calls on plain system calls: what the engine is compared with.
 *
 * It does what the system layers of CLRs do on Linux, and as few system calls as that takes:
 *     reserve     one mmap without access            commit   one mprotect
 *     both        one mmap with the protection       protect  one mprotect
 *     decommit    one mmap over the range            release  one munmap
 *     reset       one madvise(MADV_FREE)
 * The kernel knows neither an allocation's start nor which pages without access are committed, so a table keeps both: the
 * allocations sorted by address, each with one byte per page, 0 for reserved, else the protection. One mutex guards it, as one
 * critical section does in those layers; the system call is made inside, because the table and the kernel must agree.
 *
 * Invariants, under the mutex:
 *   1. the table is sorted by base, and allocations do not overlap;
 *   2. base is a multiple of 64 KiB, size one of a page, and [base, base + size) is mapped, without access where the byte is 0;
 *   3. [map, map + map_size) is what one mmap gave; it holds the allocation, and nothing else.
 * It is thin, but correct for what a CLR asks: arguments that Win32 refuses in more exotic ways are not all told apart.
 */
#define _GNU_SOURCE
#include "tools/clr/clr.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define RAW_PAGE ((uintptr_t)4096)
#define RAW_GRANULE ((uintptr_t)65536)

struct raw_allocation {
    uintptr_t base;
    size_t size;
    uintptr_t map;
    size_t map_size;
    DWORD protect;
    unsigned char *pages;
};

static pthread_mutex_t raw_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct raw_allocation *raw_table;
static size_t raw_count;
static size_t raw_capacity;

/* ---- Protections ------------------------------------------------------------------------------------------------ */

/* The kernel's flags for a Win32 protection that private memory can have, or -1. */
static int raw_access(DWORD protect) {
    switch (protect) {
    case PAGE_NOACCESS:
        return PROT_NONE;
    case PAGE_READONLY:
        return PROT_READ;
    case PAGE_READWRITE:
        return PROT_READ | PROT_WRITE;
    case PAGE_EXECUTE:
        return PROT_EXEC;
    case PAGE_EXECUTE_READ:
        return PROT_EXEC | PROT_READ;
    case PAGE_EXECUTE_READWRITE:
        return PROT_EXEC | PROT_READ | PROT_WRITE;
    default:
        return -1;
    }
}

/* ---- The table: raw_mutex is held ------------------------------------------------------------------------------- */

/* The index of the first allocation that ends after address. */
static size_t raw_after(uintptr_t address) {
    size_t low = 0;
    size_t high = raw_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (raw_table[middle].base + raw_table[middle].size > address) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return low;
}

static struct raw_allocation *raw_find(uintptr_t address) {
    size_t at = raw_after(address);
    return at < raw_count && raw_table[at].base <= address ? &raw_table[at] : NULL;
}

static struct raw_allocation *raw_find_range(uintptr_t start, uintptr_t end) {
    struct raw_allocation *found = raw_find(start);
    return found != NULL && end <= found->base + found->size ? found : NULL;
}

static bool raw_insert(const struct raw_allocation *made) {
    size_t at;
    if (raw_count == raw_capacity) {
        size_t capacity = raw_capacity != 0 ? raw_capacity * 2 : 64;
        struct raw_allocation *table = realloc(raw_table, capacity * sizeof *table);
        if (table == NULL) return false;
        raw_table = table;
        raw_capacity = capacity;
    }
    at = raw_after(made->base);
    memmove(&raw_table[at + 1], &raw_table[at], (raw_count - at) * sizeof raw_table[0]);
    raw_table[at] = *made;
    raw_count++;
    return true;
}

static void raw_remove(struct raw_allocation *gone) {
    size_t at = (size_t)(gone - raw_table);
    free(gone->pages);
    raw_count--;
    memmove(&raw_table[at], &raw_table[at + 1], (raw_count - at) * sizeof raw_table[0]);
}

static unsigned char *raw_pages(const struct raw_allocation *allocation, uintptr_t address) {
    return allocation->pages + (address - allocation->base) / RAW_PAGE;
}

/* ---- Alloc ------------------------------------------------------------------------------------------------------ */

/* Maps size bytes at a multiple of 64 KiB, or at the wanted address alone. */
static DWORD raw_map(struct raw_allocation *made, uintptr_t wanted, int access) {
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    void *map;
    if (wanted != 0) {
        made->map_size = made->size;
        map = mmap((void *)wanted, made->map_size, access, flags | MAP_FIXED_NOREPLACE, -1, 0);
        if (map != MAP_FAILED && (uintptr_t)map != wanted) { /* a kernel that does not know the flag */
            munmap(map, made->map_size);
            map = MAP_FAILED;
        }
    } else {
        made->map_size = made->size + RAW_GRANULE - RAW_PAGE;
        map = mmap(NULL, made->map_size, access, flags, -1, 0);
    }
    if (map == MAP_FAILED) return wanted != 0 ? ERROR_INVALID_ADDRESS : ERROR_NOT_ENOUGH_MEMORY;
    made->map = (uintptr_t)map;
    made->base = (made->map + RAW_GRANULE - 1) & ~(RAW_GRANULE - 1);
    return 0;
}

static DWORD raw_reserve(uintptr_t address, SIZE_T size, DWORD type, DWORD protect, void **memory) {
    uintptr_t wanted = address & ~(RAW_GRANULE - 1);
    bool commit = (type & MEM_COMMIT) != 0;
    struct raw_allocation made = {.protect = protect};
    DWORD error;
    made.size = ((address - wanted) + size + RAW_PAGE - 1) & ~(RAW_PAGE - 1);
    made.pages = calloc(made.size / RAW_PAGE, 1);
    if (made.pages == NULL) return ERROR_NOT_ENOUGH_MEMORY;
    error = raw_map(&made, wanted, commit ? raw_access(protect) : PROT_NONE);
    if (error != 0) {
        free(made.pages);
        return error;
    }
    if (commit) memset(made.pages, (int)protect, made.size / RAW_PAGE);
    pthread_mutex_lock(&raw_mutex);
    if (!raw_insert(&made)) {
        error = ERROR_NOT_ENOUGH_MEMORY;
        munmap((void *)made.map, made.map_size);
        free(made.pages);
    }
    pthread_mutex_unlock(&raw_mutex);
    *memory = (void *)made.base;
    return error;
}

/* Commit or reset of pages inside one allocation. */
static DWORD raw_change(uintptr_t address, SIZE_T size, DWORD type, DWORD protect, void **memory) {
    uintptr_t start = address & ~(RAW_PAGE - 1);
    uintptr_t end = (address + size + RAW_PAGE - 1) & ~(RAW_PAGE - 1);
    struct raw_allocation *allocation;
    DWORD error = 0;
    pthread_mutex_lock(&raw_mutex);
    allocation = raw_find_range(start, end);
    if (allocation == NULL) {
        error = ERROR_INVALID_ADDRESS;
    } else if (type == MEM_RESET) {
        madvise((void *)start, end - start, MADV_FREE); /* the content may be lost, but need not */
    } else if (mprotect((void *)start, end - start, raw_access(protect)) != 0) {
        error = ERROR_COMMITMENT_LIMIT;
    } else {
        memset(raw_pages(allocation, start), (int)protect, (end - start) / RAW_PAGE);
    }
    pthread_mutex_unlock(&raw_mutex);
    *memory = (void *)start;
    return error;
}

DWORD raw_vm_alloc(uintptr_t address, SIZE_T size, DWORD type, DWORD protect, void **memory) {
    /* The hints change nothing here: there is no GetWriteWatch to ask, and the kernel places from the top anyway. */
    DWORD what = type & ~(MEM_TOP_DOWN | MEM_WRITE_WATCH);

    if (size == 0 || size > SIZE_MAX / 4 || address + size < address || raw_access(protect) < 0 ||
        (what != MEM_RESET && (what == 0 || (what & ~(MEM_RESERVE | MEM_COMMIT)) != 0))) {
        return ERROR_INVALID_PARAMETER;
    }
    if ((what & MEM_RESERVE) != 0) return raw_reserve(address, size, what, protect, memory);
    if (address == 0) return what == MEM_COMMIT ? raw_reserve(0, size, what, protect, memory) : ERROR_INVALID_ADDRESS;
    return raw_change(address, size, what, protect, memory);
}

/* ---- Free ------------------------------------------------------------------------------------------------------- */

static DWORD raw_decommit(struct raw_allocation *allocation, uintptr_t start, uintptr_t end) {
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED;
    if (mmap((void *)start, end - start, PROT_NONE, flags, -1, 0) == MAP_FAILED) return ERROR_NOT_ENOUGH_MEMORY;
    memset(raw_pages(allocation, start), 0, (end - start) / RAW_PAGE);
    return 0;
}

DWORD raw_vm_free(uintptr_t address, SIZE_T size, DWORD type) {
    uintptr_t start = address & ~(RAW_PAGE - 1);
    uintptr_t end = (address + size + RAW_PAGE - 1) & ~(RAW_PAGE - 1);
    struct raw_allocation *allocation;
    DWORD error = 0;
    if ((type != MEM_DECOMMIT && type != MEM_RELEASE) || (type == MEM_RELEASE && size != 0) || address + size < address) {
        return ERROR_INVALID_PARAMETER;
    }
    pthread_mutex_lock(&raw_mutex);
    allocation = raw_find(start);
    if (allocation == NULL || (size == 0 && start != allocation->base)) {
        error = ERROR_INVALID_ADDRESS;
    } else if (type == MEM_DECOMMIT) {
        end = size == 0 ? allocation->base + allocation->size : end;
        error = end > allocation->base + allocation->size ? ERROR_INVALID_PARAMETER : raw_decommit(allocation, start, end);
    } else if (munmap((void *)allocation->map, allocation->map_size) != 0) {
        error = ERROR_NOT_ENOUGH_MEMORY; /* the kernel has no room to split a mapping */
    } else {
        raw_remove(allocation);
    }
    pthread_mutex_unlock(&raw_mutex);
    return error;
}

/* ---- Protect and query ------------------------------------------------------------------------------------------ */

DWORD raw_vm_protect(uintptr_t address, SIZE_T size, DWORD protect, DWORD *old) {
    uintptr_t start = address & ~(RAW_PAGE - 1);
    uintptr_t end = (address + size + RAW_PAGE - 1) & ~(RAW_PAGE - 1);
    struct raw_allocation *allocation;
    DWORD error = 0;
    if (size == 0 || end <= start || raw_access(protect) < 0) return ERROR_INVALID_PARAMETER;
    pthread_mutex_lock(&raw_mutex);
    allocation = raw_find(start);
    if (allocation == NULL) {
        struct maps_entry entry;
        uintptr_t previous_end;
        if (!maps_find(start, &entry, &previous_end) || entry.start > start) {
            error = ERROR_INVALID_ADDRESS;
        } else {
            *old = entry.protect;
        }
    } else if (end > allocation->base + allocation->size ||
               memchr(raw_pages(allocation, start), 0, (end - start) / RAW_PAGE) != NULL) {
        error = ERROR_INVALID_ADDRESS;
    } else {
        *old = *raw_pages(allocation, start);
    }
    if (error == 0 && mprotect((void *)start, end - start, raw_access(protect)) != 0) {
        error = errno == ENOMEM ? ERROR_INVALID_ADDRESS : ERROR_ACCESS_DENIED;
    } else if (error == 0 && allocation != NULL) {
        memset(raw_pages(allocation, start), (int)protect, (end - start) / RAW_PAGE);
    }
    pthread_mutex_unlock(&raw_mutex);
    return error;
}

/* Memory that is in no allocation: a mapping of somebody else's, or free up to the next one. */
static void raw_query_foreign(uintptr_t start, MEMORY_BASIC_INFORMATION *info) {
    uintptr_t previous_end;
    struct maps_entry entry;
    bool found = maps_find(start, &entry, &previous_end);
    info->BaseAddress = (void *)start;
    if (found && entry.start <= start) {
        info->AllocationBase = (void *)entry.start;
        info->AllocationProtect = entry.protect;
        info->RegionSize = entry.end - start;
        info->State = MEM_COMMIT;
        info->Protect = entry.protect;
        info->Type = entry.type;
        return;
    }
    info->RegionSize = (found ? entry.start : (uintptr_t)0x7FFFFFFF0000) - start;
    info->State = MEM_FREE;
    info->Protect = PAGE_NOACCESS;
}

DWORD raw_vm_query(uintptr_t address, MEMORY_BASIC_INFORMATION *info) {
    uintptr_t start = address & ~(RAW_PAGE - 1);
    struct raw_allocation *allocation;
    if (address >= (uintptr_t)0x7FFFFFFF0000) return ERROR_INVALID_PARAMETER;
    memset(info, 0, sizeof *info);
    pthread_mutex_lock(&raw_mutex);
    allocation = raw_find(start);
    if (allocation == NULL) {
        raw_query_foreign(start, info);
    } else {
        unsigned char *first = raw_pages(allocation, start);
        unsigned char *stop = allocation->pages + allocation->size / RAW_PAGE;
        unsigned char *page = first;

        while (page < stop && *page == *first) page++;
        info->BaseAddress = (void *)start;
        info->AllocationBase = (void *)allocation->base;
        info->AllocationProtect = allocation->protect;
        info->RegionSize = (size_t)(page - first) * RAW_PAGE;
        info->State = *first != 0 ? MEM_COMMIT : MEM_RESERVE;
        info->Protect = *first;
        info->Type = MEM_PRIVATE;
    }
    pthread_mutex_unlock(&raw_mutex);
    return 0;
}

/* ---- The machine's memory --------------------------------------------------------------------------------------- */

/* In /proc/meminfo's KiB, the value of one line. */
static uint64_t meminfo(const char *text, const char *name) {
    const char *line = strstr(text, name);
    return line != NULL ? strtoull(line + strlen(name), NULL, 10) : 0;
}

DWORD raw_vm_load(DWORD *load, SIZE_T *available) {
    char text[4096];
    FILE *file = fopen("/proc/meminfo", "re");
    size_t length = file != NULL ? fread(text, 1, sizeof text - 1, file) : 0;
    uint64_t total_kib, free_kib;
    text[length] = '\0';
    if (file != NULL) fclose(file);
    total_kib = meminfo(text, "MemTotal:");
    free_kib = meminfo(text, "MemAvailable:");
    if (total_kib == 0 || free_kib > total_kib) return ERROR_NOT_SUPPORTED;
    *load = (DWORD)((total_kib - free_kib) * 100 / total_kib);
    *available = free_kib * 1024;
    return 0;
}
