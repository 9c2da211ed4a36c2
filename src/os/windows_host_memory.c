/*
 * windows_host_memory.c - under Wine: pages by the calls of the Linux below; the mirror image of linux.c. Layer: os.
 *
 * What Wine is told and what is true. A reservation is one call of Wine's, as memory committed and read-write: Wine keeps the
 * addresses apart from all others, and would let its own system calls write there. Then the truth is put in its place, by a
 * mapping without access and without swap reservation; and committing, holding, protecting and decommitting change the truth
 * alone. Wine passes an access that the truth does not allow on to the program as the access violation that it is; files are
 * read and written by system calls that fail as they would on Windows; and another process that asks Wine what these pages are
 * hears of one large committed range, where the engine's own hooks know better.
 *
 * Guards are Wine's own business, which disarms them by its book. So are write watch, large and physical pages. Memory of which
 * Wine must know the truth is told by slots of 4 GiB: in them all goes by Win32, for ever, which is right for any page, whatever
 * was done to it by Linux before: a Win32 call writes the book and changes the page as well.
 *
 * Invariant: outside of those slots each page of the engine's is committed, read-write and without a guard in Wine's book.
 *
 * Who may call: windows.c, from any thread. Nothing here touches the last error.
 */
#include "os/windows_host.h"

#include <string.h>

#include "base/atom.h"
#include "os/os_access.h"

enum { ADVICE_RANDOM = 1, ADVICE_DROP = 4, ADVICE_DROP_LOCKED = 24 };
#define MAP_NEW 0x4022u /* private, anonymous, without swap reservation */
#define MAP_HERE 0x10u
#define NO_FILE ((uint64_t)-1)
#define ERROR_MEMORY (-12)

static uint8_t told[SLOT_COUNT];

static size_t slot_of(uintptr_t address) { return address >> SLOT_SHIFT; }

void host_tell(uintptr_t address, size_t size) {
    /* rel: before what it is told for */
    for (size_t n = slot_of(address); n <= slot_of(address + size - 1); n++) atom_store_rel_u8(&told[n], 1);
}

bool host_owns(uintptr_t address, size_t size) {
    if (!host_linux()) return false;
    for (size_t n = slot_of(address); n <= slot_of(address + size - 1); n++) {
        if (atom_load_acq_u8(&told[n])) return false; /* acq: pairs with host_tell; a page's users see what was told for it */
    }
    return true;
}

static bool map_here(uintptr_t address, size_t size) {
    return linux_call6(CALL_MMAP, address, size, ACCESS_NONE, MAP_NEW | MAP_HERE, NO_FILE, 0) == (int64_t)address;
}

static enum status protect(uintptr_t address, size_t size, int access) {
    int64_t result = linux_call(CALL_MPROTECT, address, size, (uint64_t)access, 0);
    return result == 0 ? ST_OK : result == ERROR_MEMORY ? ST_COMMIT_LIMIT : ST_DENIED;
}

uintptr_t host_find(size_t size, size_t align) {
    int64_t loose = linux_call6(CALL_MMAP, 0, size + align - PAGE_BYTES, ACCESS_NONE, MAP_NEW, NO_FILE, 0);
    if (loose < 0) return 0;
    linux_call(CALL_MUNMAP, (uint64_t)loose, size + align - PAGE_BYTES, 0, 0);
    return align_up((uintptr_t)loose, align);
}

/*
 * A new mapping in the place of one interrupts every processor that the process runs on. That is for regions, which shall not
 * count as committed to Linux either, and stay a few mappings.
 */
bool host_own(uintptr_t address, size_t size) {
    return size < SLOT_BYTES ? protect(address, size, ACCESS_NONE) == ST_OK : map_here(address, size);
}

bool host_open_table(void *start, size_t size) { return protect((uintptr_t)start, size, ACCESS_READ | ACCESS_WRITE) == ST_OK; }

enum status host_commit(uintptr_t address, size_t size, uint8_t state) { return protect(address, size, access_of(state)); }

/* The content of pages without access, in as many ways as linux.c's. False: all are refused. */
static bool drop(uintptr_t address, size_t size) {
    if (host_discard(address, size) || linux_call(CALL_MADVISE, address, size, ADVICE_DROP_LOCKED, 0) == 0) return true;
    if (linux_call(CALL_MUNLOCK, address, size, 0, 0) == 0 && host_discard(address, size)) return true;
    if (protect(address, size, ACCESS_READ | ACCESS_WRITE) != ST_OK) return false;
    memset((void *)address, 0, size);
    return protect(address, size, ACCESS_NONE) == ST_OK;
}

enum status host_decommit(uintptr_t address, size_t size) {
    if (map_here(address, size)) return ST_OK;
    /* Refused where a limit on mappings or locked memory is reached; the other way needs less. */
    if (protect(address, size, ACCESS_NONE) != ST_OK) return ST_NO_MEMORY;
    return drop(address, size) ? ST_OK : ST_NO_MEMORY;
}

enum status host_hold(uintptr_t address, size_t size, bool often) {
    /* Of advice of its own a range stays a mapping of its own, which is cheaper to change. */
    if (often) linux_call(CALL_MADVISE, address, size, ADVICE_RANDOM, 0);
    return protect(address, size, ACCESS_NONE);
}

bool host_discard(uintptr_t address, size_t size) { return linux_call(CALL_MADVISE, address, size, ADVICE_DROP, 0) == 0; }
