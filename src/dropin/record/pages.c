/*
 * pages.c - tells Linux's mappings in Win32's words.
 *
 * A private anonymous mapping becomes a reservation with an address of its own in the trace, a multiple of 64 KiB as Win32
 * gives them out; the mapping's real address need not be one. Access that is given to its pages is a commit; no access is a
 * decommit where content may be lost and a protection where not; an unmapped part is decommitted, the last one releases the
 * reservation. What mremap moves becomes another. MADV_DONTNEED is a decommit and a commit, as it leaves zeros. Other mappings
 * (files, shared memory, stacks that the kernel grows) are not recorded.
 *
 * Invariants: mappings in the table overlap only where pages of them are not mapped any more; page holds a byte for each page,
 * as struct mapping says.
 */
#include "dropin/record/record.h"
#include "hostmem_win32.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { GRANULE = 65536, MAPPINGS_MOST = 16384 };

struct mapping {
    uintptr_t start;
    size_t size, count_mapped; /* pages that are still mapped */
    uint64_t traced;           /* its address in the trace */
    uint8_t *page;             /* 0: not committed; else the protection. GONE: not mapped any more */
};
enum { GONE = 0xFF };

static struct mapping mappings[MAPPINGS_MOST];
static size_t count_mappings;
static uint64_t next_traced = UINT64_C(0x100000000);

/* The books come from the kernel itself, past the functions that are recorded. */
static void *books_make(size_t size) {
    void *got = (void *)syscall(SYS_mmap, NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return got == MAP_FAILED ? NULL : got;
}

static uint32_t win32_protection(int protection) {
    bool run = (protection & PROT_EXEC) != 0;
    if ((protection & PROT_WRITE) != 0) return run ? PAGE_EXECUTE_READWRITE : PAGE_READWRITE;
    if ((protection & PROT_READ) != 0) return run ? PAGE_EXECUTE_READ : PAGE_READONLY;
    return run ? PAGE_EXECUTE : PAGE_NOACCESS;
}

void pages_map(uintptr_t start, size_t size, int protection) {
    size_t pages = (size + PAGE - 1) / PAGE;
    bool committed = protection != PROT_NONE;
    pages_unmap(start, size); /* MAP_FIXED may lie over others */
    if (count_mappings == MAPPINGS_MOST) return;
    struct mapping made = {.start = start, .size = pages * PAGE, .count_mapped = pages, .page = books_make(pages)};
    if (made.page == NULL) return;
    made.traced = next_traced;
    next_traced += (made.size + GRANULE - 1) / GRANULE * GRANULE + GRANULE;
    if (committed) memset(made.page, (int)win32_protection(protection), pages);
    mappings[count_mappings++] = made;
    trace_line("VA", 0, made.size, committed ? MEM_RESERVE | MEM_COMMIT : MEM_RESERVE,
               committed ? win32_protection(protection) : PAGE_READWRITE, made.traced);
}

/* What is done with the part of a mapping that a call concerns: pages [first, end) of it. */
typedef void part_function(struct mapping *mapping, size_t first, size_t end, int protection);

static void each_part(uintptr_t start, size_t size, part_function *part, int protection) {
    for (size_t i = count_mappings; i-- > 0;) {
        struct mapping *mapping = &mappings[i];
        uintptr_t from = start > mapping->start ? start : mapping->start;
        uintptr_t to = start + size < mapping->start + mapping->size ? start + size : mapping->start + mapping->size;
        if (from >= to) continue;
        part(mapping, (from - mapping->start) / PAGE, (to - mapping->start + PAGE - 1) / PAGE, protection);
        if (mapping->count_mapped > 0) continue;
        trace_line("VF", mapping->traced, 0, MEM_RELEASE, 0, 1);
        syscall(SYS_munmap, mapping->page, mapping->size / PAGE);
        *mapping = mappings[--count_mappings];
    }
}

/* Calls for each stretch of pages that are alike. */
static void each_stretch(struct mapping *mapping, size_t first, size_t end,
                         void (*stretch)(struct mapping *mapping, size_t first, size_t end, int protection), int protection) {
    while (first < end) {
        size_t to = first + 1;
        while (to < end && mapping->page[to] == mapping->page[first]) to++;
        if (mapping->page[first] != GONE) stretch(mapping, first, to, protection);
        first = to;
    }
}

static uint64_t traced_at(const struct mapping *mapping, size_t page) { return mapping->traced + page * PAGE; }

static void part_unmap(struct mapping *mapping, size_t first, size_t end, int protection) {
    (void)protection;
    size_t gone = 0;
    for (size_t page = first; page < end; page++) gone += mapping->page[page] != GONE;
    mapping->count_mapped -= gone;
    if (gone > 0 && mapping->count_mapped > 0)
        trace_line("VF", traced_at(mapping, first), (end - first) * PAGE, MEM_DECOMMIT, 0, 1);
    memset(mapping->page + first, GONE, end - first);
}

void pages_unmap(uintptr_t start, size_t size) { each_part(start, size, part_unmap, 0); }

/* The access of a page; -1: its mapping is not recorded. */
static int protection_at(uintptr_t address) {
    static const int protections[] = {PROT_NONE,
                                      PROT_READ,
                                      PROT_READ | PROT_WRITE,
                                      PROT_EXEC,
                                      PROT_READ | PROT_EXEC,
                                      PROT_READ | PROT_WRITE | PROT_EXEC};
    for (size_t i = 0; i < count_mappings; i++) {
        if (address - mappings[i].start >= mappings[i].size) continue;
        uint8_t page = mappings[i].page[(address - mappings[i].start) / PAGE];
        if (page == GONE) continue; /* where another may be now */
        for (size_t k = 1; k < sizeof protections / sizeof *protections; k++)
            if (win32_protection(protections[k]) == page) return protections[k];
        return PROT_NONE;
    }
    return -1;
}

/* Win32 moves nothing: what has moved is a reservation anew, and what was added to one as well. */
void pages_move(uintptr_t start, size_t size, uintptr_t to, size_t size_there) {
    size_t held = (size + PAGE - 1) / PAGE * PAGE, wanted = (size_there + PAGE - 1) / PAGE * PAGE;
    int protection = protection_at(start);
    if (to != start) {
        pages_unmap(start, held);
        pages_unmap(to, wanted);
        if (protection >= 0) pages_map(to, wanted, protection);
    } else if (wanted < held) {
        pages_unmap(start + wanted, held - wanted);
    } else if (wanted > held && protection >= 0) {
        pages_map(start + held, wanted - held, protection);
    }
}

static void stretch_protect(struct mapping *mapping, size_t first, size_t end, int protection) {
    uint32_t wanted = win32_protection(protection);
    uint64_t address = traced_at(mapping, first), size = (end - first) * PAGE;
    if (mapping->page[first] != 0) trace_line("VP", address, size, 0, wanted, 1);
    else if (protection != PROT_NONE) trace_line("VA", address, size, MEM_COMMIT, wanted, address);
    else return; /* no access to what has none */
    memset(mapping->page + first, (int)wanted, end - first);
}

static void part_protect(struct mapping *mapping, size_t first, size_t end, int protection) {
    each_stretch(mapping, first, end, stretch_protect, protection);
}

void pages_protect(uintptr_t start, size_t size, int protection) { each_part(start, size, part_protect, protection); }

static void stretch_discard(struct mapping *mapping, size_t first, size_t end, int protection) {
    uint64_t address = traced_at(mapping, first), size = (end - first) * PAGE;
    (void)protection;
    if (mapping->page[first] == 0) return;
    trace_line("VF", address, size, MEM_DECOMMIT, 0, 1);
    trace_line("VA", address, size, MEM_COMMIT, mapping->page[first], address);
}

static void part_discard(struct mapping *mapping, size_t first, size_t end, int protection) {
    each_stretch(mapping, first, end, stretch_discard, protection);
}

void pages_discard(uintptr_t start, size_t size) { each_part(start, size, part_discard, 0); }
