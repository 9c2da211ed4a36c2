/*
 * windows_watch.c - under Wine: which pages were written, as the Linux below knows it. Layer: os.
 *
 * Wine watches by taking the right to write away: the first write to each page raises a signal, whose handler gives it back.
 * Since 6.7 Linux keeps that book itself: a page may carry a mark, which the page fault of the next write to it takes off, with
 * nobody told; and one call, PAGEMAP_SCAN, names the pages of a range without a mark and marks them in the same moment. So
 *
 *   no page yet, or the page of zeros that reading brought   not written
 *   a page without a mark                                    written
 *   a page with a mark                                       not written since it was marked
 *
 * and a page that was never marked costs what any other costs. Marks can be put only where a file of userfaultfd's is registered
 * for the range; no event is ever read from it. A range is registered when it is first reset: until then it has no marks. Wine
 * decommits by mapping afresh, so the range is unregistered then, and its pages are gone. A large page would be written as a
 * whole by a write to any part of it, so watched memory has none.
 *
 * What the kernel writes for the program counts, as does all that goes through page faults. VirtualLock brings pages in by
 * writing, and so they count as written, too.
 *
 * Invariants
 *  1. The state is in the kernel alone. Nothing is lost whoever looks at the same time: each page's mark is put and taken
 *     under the lock of its page table.
 *  2. No page is marked in a call that does not name it.
 *  3. Whether the engine watches is decided once, before its first watched reservation; the files stay open from then on.
 */
#include "os/windows_watch.h"

#include <windows.h>

#include "base/atom.h"
#include "os/windows_host.h"

enum { OPEN_READ_CLOEXEC = 02000000, ADVICE_NOT_HUGE = 15 };

#define PAGES_SCAN 0xc0606610u

enum { SCAN_MARKS = 1 }; /* the pages that it names */
enum { PAGE_WRITTEN = 2, PAGE_THERE = 8, PAGE_SWAPPED = 16, PAGE_OF_ZEROS = 32 };

struct named {
    uint64_t start, end, kinds;
};
struct scan {
    uint64_t own_size, flags, start, end, stopped, named, named_room, pages_room;
    uint64_t inverted, all_of, any_of, wanted;
};

#define NAMED_AT_ONCE 32

/* Two open files, each plus 1, the second in the upper half; 0: the engine does not watch. */
static uint64_t watch_files;

/* acq: pairs with host_watch_start */
static uint64_t faults_file(void) { return (uint32_t)atom_load_acq_u64(&watch_files) - 1; }
static uint64_t pages_file(void) { return (atom_load_acq_u64(&watch_files) >> 32) - 1; }

bool host_watch_serves(void) { return atom_load_acq_u64(&watch_files) != 0; } /* acq: as above */

void host_watch_fresh(uintptr_t address, size_t size) {
    linux_call(CALL_MADVISE, address, size, ADVICE_NOT_HUGE, 0); /* a kernel without large pages refuses the advice */
}

/* Of [*at, end): runs of written pages, `room` pages at most. *at gets where the kernel stopped. */
static int64_t scan(uint64_t *at, uint64_t end, bool mark, uint64_t room, struct named *named) {
    struct scan ask = {.own_size = sizeof ask, .flags = mark ? SCAN_MARKS : 0, .start = *at, .end = end};
    ask.named = (uintptr_t)named, ask.named_room = NAMED_AT_ONCE, ask.pages_room = room;
    ask.inverted = PAGE_OF_ZEROS, ask.all_of = PAGE_WRITTEN | PAGE_OF_ZEROS; /* written, and not of zeros */
    ask.any_of = PAGE_THERE | PAGE_SWAPPED, ask.wanted = PAGE_WRITTEN;
    int64_t count = linux_call(CALL_IOCTL, pages_file(), PAGES_SCAN, (uintptr_t)&ask, 0);
    *at = ask.stopped;
    return count;
}

enum status host_written(uintptr_t address, size_t size, bool reset, void **pages, size_t *count_pages) {
    struct named named[NAMED_AT_ONCE];
    size_t count = 0, room = pages ? *count_pages : SIZE_MAX >> PAGE_SHIFT;
    if (reset && !faults_register(&host_faults, faults_file(), address, size)) return ST_NO_MEMORY;
    for (uint64_t at = address, end = address + size; at < end && count < room;) {
        int64_t runs = scan(&at, end, reset, room - count, named);
        /* What is marked by now has to be told; what is not will be told the next time. */
        if (runs < 0 && count == 0) return ST_NO_MEMORY;
        if (runs < 0) break;
        for (int64_t i = 0; i < runs; i++) {
            for (uint64_t page = named[i].start; page < named[i].end; page += PAGE_BYTES, count++) {
                if (pages) pages[count] = (void *)(uintptr_t)page;
            }
        }
    }
    *count_pages = count;
    return ST_OK;
}

/* Does it all work, on a page of its own? */
static bool try_out(void) {
    volatile char *page = VirtualAlloc(NULL, PAGE_BYTES, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    size_t found[4] = {1, 1, 1, 1};
    void *at[4] = {NULL, NULL, NULL, NULL};
    if (!page) return false;
    bool good = page[0] == 0;
    for (int i = 0; i < 4; i++) { /* read, written, reset, written again */
        if (i == 1 || i == 3) page[0] = 1;
        good = good && host_written((uintptr_t)page, PAGE_BYTES, i == 1, &at[i], &found[i]) == ST_OK;
    }
    good = good && found[0] == 0 && found[1] == 1 && found[2] == 0 && found[3] == 1 && at[1] == page && at[3] == page;
    VirtualFree((void *)(uintptr_t)page, 0, MEM_RELEASE);
    return good;
}

bool host_watch_start(void) {
    if (host_watch_serves()) return true;
    DWORD before = GetLastError();
    if (!host_linux()) return false;
    int64_t faults = faults_open(&host_faults, FAULTS_OF_WRITES | FAULTS_WRITES_UNPOPULATED | FAULTS_WRITES_UNTOLD);
    int64_t pages = linux_call(CALL_OPEN, (uintptr_t)"/proc/self/pagemap", OPEN_READ_CLOEXEC, 0, 0);
    bool good = faults >= 0 && pages >= 0;
    if (good) {
        /* rel: pairs with host_watch_serves */
        atom_store_rel_u64(&watch_files, (uint64_t)(faults + 1) | (uint64_t)(pages + 1) << 32);
        good = try_out();
    }
    if (!good) {
        atom_store_rel_u64(&watch_files, 0); /* rel: as above */
        if (faults >= 0) linux_call(CALL_CLOSE, (uint64_t)faults, 0, 0, 0);
        if (pages >= 0) linux_call(CALL_CLOSE, (uint64_t)pages, 0, 0, 0);
    }
    SetLastError(before);
    return good;
}
