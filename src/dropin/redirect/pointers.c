/*
 * pointers.c - may what a caller gave be written to, or read from?
 *
 * The system answers error 998 where it may not. A hook that found out by an access violation would show it to the program's
 * own handlers first, so it asks beforehand: the thread's stack, where nearly all such variables are, by two comparisons; of
 * other memory the tables, or the system. Asking the system takes a microsecond, so modules' variables, which stay where they
 * are, are remembered: a word for a run of pages, which goes when the system is asked to change a protection.
 */
#include "dropin/redirect/redirect.h"

#include "base/atom.h"
#include "vm/query.h"

#define WRITABLE (PAGE_READWRITE | PAGE_WRITECOPY | PAGE_EXECUTE_READWRITE | PAGE_EXECUTE_WRITECOPY)
#define READABLE (WRITABLE | PAGE_READONLY | PAGE_EXECUTE | PAGE_EXECUTE_READ)

enum { KNOWN = 8, COUNT_BITS = 28 }; /* a word: the number of the first page, and below it how many pages */
static uint64_t known[KNOWN];

static uint64_t *known_at(uintptr_t at) { return &known[(at >> PAGE_SHIFT) % KNOWN]; }

static bool is_known(uintptr_t start, size_t size) {
    uint64_t word = atom_load_rlx_u64(known_at(start)); /* rlx: the word is all there is to know */
    uint64_t first = word >> COUNT_BITS, count = word & (((uint64_t)1 << COUNT_BITS) - 1);
    return (start >> PAGE_SHIFT) - first < count && ((start + size - 1) >> PAGE_SHIFT) - first < count;
}

static void know(uintptr_t at, const MEMORY_BASIC_INFORMATION *info) {
    uint64_t first = (uintptr_t)info->BaseAddress >> PAGE_SHIFT, count = info->RegionSize >> PAGE_SHIFT;
    if (info->Type != MEM_IMAGE || count >> COUNT_BITS) return;
    atom_store_rlx_u64(known_at(at), first << COUNT_BITS | count); /* rlx: the same */
}

void pointers_forget(void) {
    for (int i = 0; i < KNOWN; i++) atom_store_rlx_u64(&known[i], 0); /* rlx: the same */
}

static bool all_pages(uintptr_t start, size_t size, DWORD wanted) {
    MEMORY_BASIC_INFORMATION info;
    size_t written;
    if (start > UINTPTR_MAX - size) return false;
    for (uintptr_t at = start; at < start + size; at = (uintptr_t)info.BaseAddress + info.RegionSize) {
        if (vm_query(at, &info, sizeof info, &written) != ST_OK || info.State != MEM_COMMIT) return false;
        if (!(info.Protect & wanted) || info.Protect & PAGE_GUARD) return false;
        if (wanted == WRITABLE) know(at, &info);
    }
    return true;
}

bool pointer_writes_slow(const void *pointer, size_t size) {
    return is_known((uintptr_t)pointer, size) || all_pages((uintptr_t)pointer, size, WRITABLE);
}

bool pointer_reads_slow(const void *pointer, size_t size) { return all_pages((uintptr_t)pointer, size, READABLE); }
