/*
 * linux.c - the contract of os.h on Linux.
 *
 * Reserved address space is a private, anonymous, PROT_NONE mapping without swap reservation (MAP_NORESERVE); commit and
 * protect are mprotect; decommit puts a new mapping of that kind in the place. Where that is refused (it may need to split a
 * mapping, of which a process has 65,530, or lock more memory than the process may), it is mprotect to PROT_NONE and
 * MADV_DONTNEED or its like, in that order: where the first is refused the content is still there.
 *
 * Every function keeps errno: the caller may be in the middle of a call of its own.
 */
#define _GNU_SOURCE
#include "os/os.h"

#include "base/atom.h"
#include "base/tally.h"
#include "os/os_access.h"
#include "os/os_slot.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24 /* since Linux 5.18 */
#endif

#define RESERVE_FLAGS (MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE)

/* ---- Reserving, committing, protecting ---------------------------------------------------------------------------- */

_Static_assert(ACCESS_READ == PROT_READ && ACCESS_WRITE == PROT_WRITE && ACCESS_EXECUTE == PROT_EXEC, "they are one kernel's");

/* The first access to a guard must fault; vm_guard_hit gives it back. */
static int protection_of(uint8_t state) { return state & PG_GUARD ? PROT_NONE : access_of(state); }

static void *map(uintptr_t wanted, size_t size, int protection, int flags, int *error) {
    int kept = errno;
    void *p = mmap((void *)wanted, size, protection, flags, -1, 0);
    *error = errno;
    errno = kept;
    return p == MAP_FAILED ? NULL : p;
}

static void unmap(uintptr_t start, size_t size) {
    int kept = errno;
    if (size) munmap((void *)start, size);
    errno = kept;
}

static enum status reserve_at(uintptr_t wanted, size_t size, int protection, int flags) {
    int error;
    void *p = map(wanted, size, protection, flags | MAP_FIXED_NOREPLACE, &error);
    if (!p) return error == ENOMEM || error == EAGAIN ? ST_NO_ADDRESS_SPACE : ST_BAD_ADDRESS; /* EAGAIN: it may lock no more */
    if ((uintptr_t)p == wanted) return ST_OK;
    unmap((uintptr_t)p, size); /* a kernel that does not know the flag takes the address as a hint */
    return ST_BAD_ADDRESS;
}

/* Anywhere, aligned: maps more than is needed and gives the ends back. */
static enum status reserve_aligned(size_t size, size_t align, uintptr_t *start) {
    int error;
    size_t room = size + align - PAGE_BYTES;
    if (room < size) return ST_NO_ADDRESS_SPACE;
    void *p = map(0, room, PROT_NONE, RESERVE_FLAGS, &error);
    if (!p) return ST_NO_ADDRESS_SPACE;
    uintptr_t got = (uintptr_t)p;
    uintptr_t aligned = align_up(got, align);
    unmap(got, aligned - got);
    unmap(aligned + size, got + room - (aligned + size));
    *start = aligned;
    return ST_OK;
}

static enum status reserve_large(uintptr_t wanted, size_t size, uint8_t state, uintptr_t *start) {
    int error, flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB;
    if (wanted) {
        *start = wanted;
        enum status status = reserve_at(wanted, size, protection_of(state), flags);
        return status == ST_NO_ADDRESS_SPACE ? ST_NO_RESOURCES : status;
    }
    void *p = map(0, size, protection_of(state), flags, &error);
    *start = (uintptr_t)p;
    if (p) return ST_OK;
    return error == EPERM ? ST_NO_PRIVILEGE : ST_NO_RESOURCES;
}

enum status OS_FUNCTION(reserve)(uintptr_t wanted, size_t size, size_t align, unsigned needs, uint8_t state, uintptr_t *start) {
    tally_add(TALLY_RESERVE, 1);
    if (needs & OS_PHYSICAL) return ST_NOT_SUPPORTED;
    if (needs & OS_LARGE) return reserve_large(wanted, size, state, start);
    if (!wanted) return reserve_aligned(size, align, start);
    *start = wanted;
    return reserve_at(wanted, size, PROT_NONE, RESERVE_FLAGS);
}

enum status OS_FUNCTION(release)(uintptr_t start, size_t size) {
    tally_add(TALLY_RELEASE, 1);
    int kept = errno;
    int failed = munmap((void *)start, size); /* it may split a mapping, of which there are only so many */
    errno = kept;
    return failed ? ST_NO_MEMORY : ST_OK;
}

enum status OS_FUNCTION(release_part)(uintptr_t start, size_t size) { return OS_FUNCTION(release)(start, size); }

static enum status protect_range(uintptr_t address, size_t size, int protection) {
    int kept = errno;
    enum status status = ST_OK;
    if (mprotect((void *)address, size, protection)) status = errno == ENOMEM ? ST_COMMIT_LIMIT : ST_DENIED;
    errno = kept;
    return status;
}

enum status OS_FUNCTION(commit)(uintptr_t address, size_t size, uint8_t state) {
    tally_add(TALLY_COMMIT, 1);
    return protect_range(address, size, protection_of(state));
}

#ifdef HM_FAULT
bool os_linux_old;
#else
static const bool os_linux_old = false;
#endif

/*
 * The content of pages without access. MADV_DONTNEED is refused for locked ones, of which the kernel may know its own kind, and
 * any can be unlocked. Where that would split one mapping too many they are zeroed. False: it has all been refused.
 */
static bool drop(uintptr_t address, size_t size) {
    void *start = (void *)address;
    if (madvise(start, size, MADV_DONTNEED) == 0) return true;
    if (!os_linux_old && madvise(start, size, MADV_DONTNEED_LOCKED) == 0) return true;
    if (munlock(start, size) == 0 && madvise(start, size, MADV_DONTNEED) == 0) return true;
    if (mprotect(start, size, PROT_READ | PROT_WRITE) != 0) return false;
    memset(start, 0, size);
    return mprotect(start, size, PROT_NONE) == 0;
}

enum status OS_FUNCTION(decommit)(uintptr_t address, size_t size) {
    tally_add(TALLY_DECOMMIT, 1);
    int error, kept = errno;
    /* One call does both: what was mapped goes, and what takes its place is like the rest of the reservation. */
    if (map(address, size, PROT_NONE, RESERVE_FLAGS | MAP_FIXED, &error)) return ST_OK;
    /* Refused where a limit on mappings or locked memory is reached; the other way needs less. */
    if (protect_range(address, size, PROT_NONE) != ST_OK) return ST_NO_MEMORY;
    bool dropped = drop(address, size);
    errno = kept;
    return dropped ? ST_OK : ST_NO_MEMORY;
}

void OS_FUNCTION(discard)(uintptr_t address, size_t size) {
    tally_add(TALLY_DECOMMIT, 1);
    int kept = errno;
    /* Refused for pages that are locked in memory. They stay, then, but as zeros. */
    if (madvise((void *)address, size, MADV_DONTNEED)) memset((void *)address, 0, size);
    errno = kept;
}

void OS_FUNCTION(pictured)(uintptr_t address, size_t size, bool in) {
    int kept = errno;
    madvise((void *)address, size, in ? MADV_DODUMP : MADV_DONTDUMP);
    errno = kept;
}

void OS_FUNCTION(sparse)(uintptr_t address, size_t size) {
    int kept = errno;
    madvise((void *)address, size, MADV_NOHUGEPAGE);
    errno = kept;
}

enum status OS_FUNCTION(hold)(uintptr_t address, size_t size, bool often) {
    tally_add(TALLY_PROTECT, 1);
    int kept = errno;
    /*
     * A range that differs from its neighbours in its advice stays a mapping of its own. Giving and taking access then neither
     * splits nor joins mappings, which is a third of the cost. The advice itself means nothing for such memory.
     */
    if (often) madvise((void *)address, size, MADV_RANDOM);
    errno = kept;
    return protect_range(address, size, PROT_NONE);
}

enum status OS_FUNCTION(protect)(uintptr_t address, size_t size, uint8_t state) {
    tally_add(TALLY_PROTECT, 1);
    return protect_range(address, size, protection_of(state));
}

/* ---- Giving content up, and taking that back ---------------------------------------------------------------------- */

enum status OS_FUNCTION(reset)(uintptr_t address, size_t size, uint8_t *given_up) {
    int kept = errno;
    size_t pages = size / PAGE_BYTES;
    bool known = mincore((void *)address, size, given_up) == 0;
    for (size_t i = 0; known && i < pages; i++) given_up[i] &= 1;
    /*
     * Resident pages are the ones with content. One never touched is zero and stays so; one that has been swapped out looks the
     * same, and would lose its content without a word: it keeps it. Where the kernel refuses (mlock) it may have taken the first.
     */
    for (size_t at = 0, end; known && at < pages; at = end) {
        for (end = at + 1; end < pages && given_up[end] == given_up[at];) end++;
        if (given_up[at]) madvise((void *)(address + at * PAGE_BYTES), (end - at) * PAGE_BYTES, MADV_FREE);
    }
    errno = kept;
    return known ? ST_OK : ST_NOT_SUPPORTED;
}

/*
 * Writing to a page takes it back, and whether it was still there is told by the thread's count of page faults: a page that
 * MADV_FREE has not dropped yet is written without one. Writing back what is there, atomically, disturbs nobody.
 * A fault for another reason is taken for a loss: the answer errs on the safe side.
 */
enum status OS_FUNCTION(reset_undo)(uintptr_t address, size_t size) {
    int kept = errno;
    struct rusage before, after;
    getrusage(RUSAGE_THREAD, &before);
    for (uintptr_t p = address; p < address + size; p += PAGE_BYTES) {
        uint8_t seen = atom_load_rlx_u8((uint8_t *)p); /* rlx: the CAS writes back what is there, whatever that is */
        while (!atom_cas_acqrel_u8((uint8_t *)p, &seen, seen)) continue;
    }
    getrusage(RUSAGE_THREAD, &after);
    errno = kept;
    return before.ru_minflt == after.ru_minflt && before.ru_majflt == after.ru_majflt ? ST_OK : ST_BAD_ADDRESS;
}

bool OS_FUNCTION(guard_armed)(uintptr_t address) {
    (void)address;
    return true;
}

bool OS_FUNCTION(grows_stacks)(void) { return false; }

void OS_FUNCTION(guards_begin)(uintptr_t address, size_t size, uint8_t state) { (void)address, (void)size, (void)state; }

/* ---- The engine's own tables -------------------------------------------------------------------------------------- */

enum status OS_FUNCTION(tables_reserve)(size_t size, void **start) {
    int error;
    size_t inner = align_up(size, PAGE_BYTES);
    char *p = map(0, inner + 2 * PAGE_BYTES, PROT_NONE, RESERVE_FLAGS, &error);
    if (!p) return ST_NO_MEMORY;
    if (protect_range((uintptr_t)p + PAGE_BYTES, inner, PROT_READ | PROT_WRITE) != ST_OK) {
        unmap((uintptr_t)p, inner + 2 * PAGE_BYTES);
        return ST_NO_MEMORY;
    }
    if (inner >= OS_BLOCK_BYTES) os_sparse((uintptr_t)p + PAGE_BYTES, inner);
    *start = p + PAGE_BYTES;
    return ST_OK;
}

enum status OS_FUNCTION(tables_commit)(void *start, size_t size) {
    (void)start, (void)size; /* readable, writable and zero from the start; the kernel gives it pages as they are touched */
    return ST_OK;
}

void OS_FUNCTION(tables_discard)(void *start, size_t size) {
    unmap((uintptr_t)start - PAGE_BYTES, align_up(size, PAGE_BYTES) + 2 * PAGE_BYTES);
}

/* ---- Small things ------------------------------------------------------------------------------------------------- */

bool OS_FUNCTION(watches_writes)(void) { return false; }

bool OS_FUNCTION(watch_start)(void) { return false; }

bool OS_FUNCTION(watch_serves)(void) { return false; }

void OS_FUNCTION(watch_fresh)(uintptr_t address, size_t size) { (void)address, (void)size; }

enum status OS_FUNCTION(written)(uintptr_t address, size_t size, bool reset, void **pages, size_t *count_pages) {
    (void)address, (void)size, (void)reset, (void)pages, (void)count_pages;
    return ST_NOT_SUPPORTED;
}

bool OS_FUNCTION(commit_is_lazy)(void) { return true; }

size_t OS_FUNCTION(large_page_bytes)(void) { return (size_t)2 << 20; }

uint32_t OS_FUNCTION(thread_id)(void) { return (uint32_t)((uintptr_t)__builtin_thread_pointer() >> PAGE_SHIFT); }

uint32_t OS_FUNCTION(thread_number)(void) { return (uint32_t)gettid(); }

uint64_t OS_FUNCTION(clock_ms)(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

void OS_FUNCTION(yield)(unsigned attempt) {
    int kept = errno;
    if (attempt < 8) {
        for (unsigned i = 0; i < 16u << attempt; i++) __builtin_ia32_pause();
    } else if (attempt < 64) {
        sched_yield();
    } else {
        /* The system's, as in linux_files.h: who waits here may have pages, and is not to end. */
        syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &(struct timespec){.tv_nsec = 50000}, NULL);
    }
    errno = kept;
}

bool OS_FUNCTION(others_ended)(void) { return false; }

static __thread uint32_t last_error __attribute__((tls_model("initial-exec")));

void OS_FUNCTION(last_error_set)(uint32_t error) { last_error = error; }

uint32_t OS_FUNCTION(last_error)(void) { return last_error; }

bool OS_FUNCTION(environment)(const char *name, char *text, size_t room) {
    const char *value = secure_getenv(name); /* who starts a program that has more rights than he may not set it up */
    if (value == NULL || *value == 0 || strlen(value) >= room) return false;
    strcpy(text, value);
    return true;
}
