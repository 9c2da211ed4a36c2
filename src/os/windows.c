/*
 * windows.c - the system is 64-bit Windows (or Wine). Layer: os; the contract is os.h, which says what stands where. Its other
 * side is linux.c with its neighbours. Only kernel32 is called, and of ntdll what the import library has not.
 *
 * Win32 has nearly the states that the contract asks for, so most functions are one call and a translation of its error.
 * What needs words:
 *
 *  - Alignment past 64 KiB is found by reserving more than is needed, giving that back and taking the aligned part of it.
 *    Another thread may take the place in between, so this is tried a few times. (VirtualAlloc2 could do it in one call; it
 *    is missing from systems that the engine runs on.)
 *  - The protection that a reservation is made with does not bind the pages committed in it: a region is reserved with
 *    PAGE_READWRITE and serves allocations of every protection. The engine answers queries of AllocationProtect itself.
 *  - Guards are the system's own: it disarms a page when it is hit, so the page's byte may say more than the truth and
 *    os_guard_armed asks the system.
 *  - Under Wine most of this is asked of the Linux below instead (windows_host_memory.c), which is said here by host_owns: memory
 *    for which that is so; and host_linux: a process in which it is.
 *
 * Invariant: no function but os_last_error_set changes the thread's last error, whether it succeeds or fails. The engine
 * sets it once, when it knows the call's answer.
 *
 * Who may call: any layer above, from any thread.
 */
#include "os/os.h"

#include <string.h>

#include <windows.h>

#include "base/atom.h"
#include "base/tally.h"
#include "os/os_slot.h"
#include "os/windows_host.h"
#include "os/windows_thread.h"
#include "os/windows_watch.h"

enum { RESERVE_TRIES = 16 };

/* What the system has just refused with, in the engine's words. Called right after the call that failed. */
static enum status status_of_last_error(void) {
    switch (GetLastError()) {
    case ERROR_ACCESS_DENIED: return ST_DENIED;
    case ERROR_NOT_ENOUGH_MEMORY:
    case ERROR_OUTOFMEMORY: return ST_NO_MEMORY;
    case ERROR_BAD_LENGTH: return ST_BAD_LENGTH;
    case ERROR_CALL_NOT_IMPLEMENTED:
    case ERROR_NOT_SUPPORTED: return ST_NOT_SUPPORTED;
    case ERROR_INVALID_PARAMETER: return ST_BAD_ARGUMENT;
    case ERROR_NOACCESS: return ST_NOT_WRITABLE;
    case ERROR_PRIVILEGE_NOT_HELD: return ST_NO_PRIVILEGE;
    case ERROR_NO_SYSTEM_RESOURCES: return ST_NO_RESOURCES;
    case ERROR_COMMITMENT_LIMIT: return ST_COMMIT_LIMIT;
    case ERROR_NOT_ENOUGH_QUOTA: return ST_NO_QUOTA;
    default: return ST_BAD_ADDRESS;
    }
}

/* One VirtualAlloc that leaves the last error as it was. */
static enum status allocate(uintptr_t address, size_t size, DWORD type, DWORD protect, uintptr_t *start) {
    DWORD before = GetLastError();
    void *got = VirtualAlloc((void *)address, size, type, protect);
    enum status status = got ? ST_OK : status_of_last_error();
    SetLastError(before);
    *start = (uintptr_t)got;
    return status;
}

/* One VirtualFree, likewise. */
static enum status give_back(uintptr_t address, size_t size, DWORD type) {
    DWORD before = GetLastError();
    enum status status = VirtualFree((void *)address, size, type) ? ST_OK : status_of_last_error();
    SetLastError(before);
    return status;
}

static enum status protect(uintptr_t address, size_t size, DWORD win32) {
    DWORD before = GetLastError(), old;
    enum status status = VirtualProtect((void *)address, size, win32, &old) ? ST_OK : status_of_last_error();
    SetLastError(before);
    return status;
}

/* Finds a free place of this alignment by taking more than enough. */
static enum status find_aligned(size_t size, size_t align, bool high, uintptr_t *place) {
    size_t total = size + (align - GRANULE_BYTES);
    uintptr_t loose;
    if (total < size) return ST_NO_ADDRESS_SPACE;
    if (!high && host_linux()) return (*place = host_find(size, align)) != 0 ? ST_OK : ST_NO_ADDRESS_SPACE;
    enum status status = allocate(0, total, MEM_RESERVE | (high ? MEM_TOP_DOWN : 0u), PAGE_NOACCESS, &loose);
    if (status != ST_OK) return status;
    *place = high ? align_down(loose + total - size, align) : align_up(loose, align);
    return give_back(loose, 0, MEM_RELEASE);
}

static enum status reserve_aligned(size_t size, size_t align, DWORD type, DWORD protect, uintptr_t *start) {
    for (int i = 0; i < RESERVE_TRIES; i++) {
        uintptr_t place;
        enum status status = find_aligned(size, align, type & MEM_TOP_DOWN, &place);
        if (status == ST_OK) status = allocate(place, size, type, protect, start);
        if (status != ST_BAD_ADDRESS) return status;
    }
    return ST_NO_ADDRESS_SPACE;
}

static enum status reserve_at(uintptr_t wanted, size_t size, size_t align, DWORD type, DWORD protect, uintptr_t *start) {
    if (wanted == 0 && align > GRANULE_BYTES) return reserve_aligned(size, align, type, protect, start);
    enum status status = allocate(wanted, size, type, protect, start);
    if (status != ST_OK || wanted == 0 || *start == wanted) return status;
    give_back(*start, 0, MEM_RELEASE); /* wanted lay inside a 64 KiB unit: never taken as it is */
    return ST_BAD_ADDRESS;
}

/* Where the Linux below is asked for what happens in it. */
static enum status reserve_owned(uintptr_t wanted, size_t size, size_t align, DWORD type, uintptr_t *start) {
    enum status status = reserve_at(wanted, size, align, type | MEM_COMMIT, PAGE_READWRITE, start);
    if (status != ST_OK || host_own(*start, size)) return status;
    give_back(*start, 0, MEM_RELEASE);
    return ST_NO_MEMORY;
}

enum status OS_FUNCTION(reserve)(uintptr_t wanted, size_t size, size_t align, unsigned needs, uint8_t state, uintptr_t *start) {
    tally_add(TALLY_RESERVE, 1);
    DWORD type = MEM_RESERVE;
    DWORD protect = prot_committed(state) ? prot_to_win32(state) : PAGE_READWRITE;
    bool watch = needs & OS_WATCH && host_watch_serves();
    if (watch) needs &= ~(unsigned)OS_WATCH;
    if (needs & OS_WATCH) type |= MEM_WRITE_WATCH;
    if (needs & OS_LARGE) type |= MEM_COMMIT | MEM_LARGE_PAGES;
    if (needs & OS_PHYSICAL) type |= MEM_PHYSICAL;
    if (needs & OS_TOP_DOWN) type |= MEM_TOP_DOWN;
    enum status status = ST_NO_MEMORY;
    bool plain = !(needs & ~(unsigned)OS_TOP_DOWN);
    if (plain && host_reserves()) status = reserve_owned(wanted, size, align, type, start);
    if (status == ST_NO_MEMORY) { /* also where so much at once may not be committed */
        status = reserve_at(wanted, size, align, type, protect, start);
        if (status == ST_OK && host_linux()) host_tell(*start, size);
    }
    if (status == ST_OK && watch) host_watch_fresh(*start, size);
    if (status == ST_NO_MEMORY && !(needs & OS_LARGE)) return ST_NO_ADDRESS_SPACE;
    /* The caller has checked the arguments: a system that refuses them does not know the request at all. */
    if (status == ST_BAD_ARGUMENT && (needs & (OS_LARGE | OS_PHYSICAL))) return ST_NOT_SUPPORTED;
    return status;
}

enum status OS_FUNCTION(release)(uintptr_t start, size_t size) {
    (void)size; /* the system knows it */
    tally_add(TALLY_RELEASE, 1);
    return give_back(start, 0, MEM_RELEASE);
}

enum status OS_FUNCTION(release_part)(uintptr_t start, size_t size) {
    (void)start, (void)size;
    return ST_NOT_SUPPORTED;
}

/* Is the Linux below to give these pages `state`? Guards are Wine's, which has to know the truth about them first. */
static bool host_gives(uintptr_t address, size_t size, uint8_t state) {
    if (state & PG_GUARD && host_linux()) host_tell(address, size);
    return host_owns(address, size);
}

enum status OS_FUNCTION(commit)(uintptr_t address, size_t size, uint8_t state) {
    uintptr_t got;
    tally_add(TALLY_COMMIT, 1);
    if (host_gives(address, size, state)) return host_commit(address, size, state);
    return allocate(address, size, MEM_COMMIT, prot_to_win32(state), &got);
}

enum status OS_FUNCTION(decommit)(uintptr_t address, size_t size) {
    tally_add(TALLY_DECOMMIT, 1);
    if (size != 0 && host_owns(address, size)) return host_decommit(address, size);
    return size == 0 ? ST_OK : give_back(address, size, MEM_DECOMMIT); /* size 0 would mean the whole region */
}

void OS_FUNCTION(discard)(uintptr_t address, size_t size) {
    if (!host_linux() || !host_discard(address, size)) memset((void *)address, 0, size);
}

enum status OS_FUNCTION(hold)(uintptr_t address, size_t size, bool often) {
    tally_add(TALLY_PROTECT, 1);
    return host_owns(address, size) ? host_hold(address, size, often) : protect(address, size, PAGE_NOACCESS);
}

bool OS_FUNCTION(bring)(uintptr_t address, size_t size, uintptr_t reserved, size_t reserved_size) {
    return host_linux() && host_bring(address, size, reserved, reserved_size);
}

size_t OS_FUNCTION(touched)(uintptr_t address, size_t size) {
    if (host_linux()) return host_touched(address, size);
    return size / PAGE_BYTES < OS_TOUCHED_PAGES ? size / PAGE_BYTES : OS_TOUCHED_PAGES;
}

void OS_FUNCTION(touched_forgo)(void) {} /* no filter asks for it there */

enum status OS_FUNCTION(back)(uintptr_t address) {
    /* Windows has none for pages that are not committed; committing them is the expensive part */
    return host_linux() ? host_back(address) : ST_NOT_SUPPORTED;
}

void OS_FUNCTION(pictured)(uintptr_t address, size_t size, bool in) { (void)address, (void)size, (void)in; }

void OS_FUNCTION(sparse)(uintptr_t address, size_t size) { (void)address, (void)size; }

enum status OS_FUNCTION(protect)(uintptr_t address, size_t size, uint8_t state) {
    tally_add(TALLY_PROTECT, 1);
    return host_gives(address, size, state) ? host_commit(address, size, state) : protect(address, size, prot_to_win32(state));
}

enum status OS_FUNCTION(reset)(uintptr_t address, size_t size, uint8_t *given_up) {
    uintptr_t got;
    memset(given_up, 1, size / PAGE_BYTES);
    return allocate(address, size, MEM_RESET, PAGE_READWRITE, &got);
}

enum status OS_FUNCTION(reset_undo)(uintptr_t address, size_t size) {
    uintptr_t got;
    /* A system without MEM_RESET_UNDO refuses the flag; then nothing is known about the content either. */
    return allocate(address, size, MEM_RESET_UNDO, PAGE_READWRITE, &got) == ST_OK ? ST_OK : ST_BAD_ADDRESS;
}

static enum status query(uintptr_t address, MEMORY_BASIC_INFORMATION *info) {
    DWORD before = GetLastError();
    enum status status = VirtualQuery((const void *)address, info, sizeof *info) != 0 ? ST_OK : status_of_last_error();
    SetLastError(before);
    return status;
}

bool OS_FUNCTION(guard_armed)(uintptr_t address) {
    MEMORY_BASIC_INFORMATION info;
    return query(address, &info) == ST_OK && (info.Protect & PAGE_GUARD);
}

bool OS_FUNCTION(grows_stacks)(void) { return true; }

void OS_FUNCTION(guards_begin)(uintptr_t address, size_t size, uint8_t state) {
    uintptr_t got;
    if (!host_linux()) return;
    host_tell(address, size);
    if (prot_committed(state)) {
        if (state != PG_READWRITE) protect(address, size, prot_to_win32(state)); /* that is what Wine took it for */
    } else if (allocate(address, size, MEM_COMMIT, PAGE_READWRITE, &got) == ST_OK) {
        give_back(address, size, MEM_DECOMMIT); /* a page by which a stack grows has the protection that it had last */
    }
}

enum status OS_FUNCTION(query_foreign)(uintptr_t address, MEMORY_BASIC_INFORMATION *info) { return query(address, info); }

enum status OS_FUNCTION(protect_foreign)(uintptr_t address, size_t size, DWORD protect, DWORD *old_protect) {
    DWORD before = GetLastError();
    enum status status = VirtualProtect((void *)address, size, protect, old_protect) ? ST_OK : status_of_last_error();
    SetLastError(before);
    return status;
}

enum status OS_FUNCTION(tables_reserve)(size_t size, void **start) {
    uintptr_t outer;
    size_t inner_size = align_up(size, GRANULE_BYTES);
    if (inner_size < size || inner_size + 2 * GRANULE_BYTES < inner_size) return ST_NO_ADDRESS_SPACE;
    /* The granules before and after are never committed: an access that runs off the table faults there. */
    enum status status = allocate(0, inner_size + 2 * GRANULE_BYTES, MEM_RESERVE, PAGE_NOACCESS, &outer);
    if (status == ST_NO_MEMORY) return ST_NO_ADDRESS_SPACE;
    if (status != ST_OK) return status;
    *start = (void *)(outer + GRANULE_BYTES);
    if (host_reserves() && host_open_table(*start, inner_size)) return ST_OK;
    if (host_linux()) host_tell(outer, inner_size + 2 * GRANULE_BYTES);
    return ST_OK;
}

enum status OS_FUNCTION(tables_commit)(void *start, size_t size) {
    uintptr_t got;
    /* Where host_owns all of it is readable, writable and zero from the start. */
    if (size == 0 || host_owns((uintptr_t)start, size)) return ST_OK;
    return allocate((uintptr_t)start, size, MEM_COMMIT, PAGE_READWRITE, &got);
}

void OS_FUNCTION(tables_discard)(void *start, size_t size) {
    (void)size;
    give_back((uintptr_t)start - GRANULE_BYTES, 0, MEM_RELEASE);
}

/* JobObjectMemoryUsageInformation, which older headers lack: what the job has committed now. */
struct job_usage {
    uint64_t now_bytes;
    uint64_t peak_bytes;
};
enum { JOB_MEMORY_USAGE = 28 };

/* A job's limit on memory counts like a smaller machine. Systems that cannot say how much is used are left alone. */
static void apply_job_limit(struct os_memory *memory) {
    JOBOBJECT_EXTENDED_LIMIT_INFORMATION limits;
    struct job_usage usage;
    if (!QueryInformationJobObject(NULL, JobObjectExtendedLimitInformation, &limits, sizeof limits, NULL)) return;
    if (!(limits.BasicLimitInformation.LimitFlags & JOB_OBJECT_LIMIT_JOB_MEMORY) || limits.JobMemoryLimit == 0) return;
    if (!QueryInformationJobObject(NULL, (JOBOBJECTINFOCLASS)JOB_MEMORY_USAGE, &usage, sizeof usage, NULL)) return;
    uint64_t limit = limits.JobMemoryLimit;
    uint64_t used = usage.now_bytes < limit ? usage.now_bytes : limit;
    unsigned load = (unsigned)(100.0 * (double)used / (double)limit);
    if (limit < memory->total_bytes) memory->total_bytes = limit;
    if (limit - used < memory->available_bytes) memory->available_bytes = limit - used;
    if (load > memory->load_percent) memory->load_percent = load;
}

enum status OS_FUNCTION(memory_load)(struct os_memory *memory) {
    DWORD before = GetLastError();
    MEMORYSTATUSEX state = {.dwLength = sizeof state};
    enum status status = ST_OK;
    bool known = GlobalMemoryStatusEx(&state);
    /* Wine keeps its answer for a second, and has nothing in it while the first is being made by another thread. */
    for (int i = 0; known && state.ullTotalPhys == 0 && i < 1000; i++) {
        SwitchToThread();
        known = GlobalMemoryStatusEx(&state);
    }
    if (known && state.ullTotalPhys == 0) {
        status = ST_NOT_SUPPORTED;
    } else if (known) {
        unsigned percent = state.dwMemoryLoad > 100 ? 100 : state.dwMemoryLoad;
        *memory = (struct os_memory){state.ullTotalPhys, state.ullAvailPhys, percent, false};
        apply_job_limit(memory);
    } else {
        status = status_of_last_error();
    }
    SetLastError(before);
    return status;
}

bool OS_FUNCTION(watches_writes)(void) { return true; }

bool OS_FUNCTION(watch_start)(void) { return host_watch_start(); }

bool OS_FUNCTION(watch_serves)(void) { return host_watch_serves(); }

void OS_FUNCTION(watch_fresh)(uintptr_t address, size_t size) { host_watch_fresh(address, size); }

enum status OS_FUNCTION(written)(uintptr_t address, size_t size, bool reset, void **pages, size_t *count_pages) {
    return host_written(address, size, reset, pages, count_pages);
}

bool OS_FUNCTION(commit_is_lazy)(void) { return host_linux(); }

size_t OS_FUNCTION(large_page_bytes)(void) { return GetLargePageMinimum(); }

uint32_t OS_FUNCTION(thread_id)(void) { return GetCurrentThreadId(); }

uint32_t OS_FUNCTION(thread_number)(void) { return GetCurrentThreadId(); }

uint64_t OS_FUNCTION(clock_ms)(void) { return GetTickCount64(); }

void OS_FUNCTION(yield)(unsigned attempt) {
    if (attempt < 8) { /* what is waited for takes no longer than this, unless its thread is not running */
        for (unsigned i = 0; i < 16u << attempt; i++) __builtin_ia32_pause();
        return;
    }
    DWORD before = GetLastError();
    if (attempt >= 64) Sleep(1);
    else if (!SwitchToThread()) Sleep(0);
    SetLastError(before);
}

bool OS_FUNCTION(others_ended)(void) {
    DWORD before = GetLastError();
    /* Not among the import library's. (Its own error is nobody's business here.) */
    FARPROC found = GetProcAddress(GetModuleHandleA("ntdll.dll"), "RtlDllShutdownInProgress");
    BOOLEAN (NTAPI *asked)(void);
    memcpy(&asked, &found, sizeof asked);
    bool ended = found && asked();
    SetLastError(before);
    return ended;
}

/* 0 not yet, 1 being made, 2 there, 3 not to be had. A thread that meets the making does without; nobody waits. */
static uint32_t slots_state, exit_state;
static DWORD exit_index;
uint64_t os_slot_unset[8];
uint32_t os_slot_offset[OS_SLOT_COUNT] = {[0 ... OS_SLOT_COUNT - 1] = OS_SLOT_NONE};

enum { TEB_SLOTS = 0x1480, TEB_SLOT_COUNT = 64 };

bool os_slots_there(void) {
    uint32_t seen = 0;
    if (!atom_cas_acqrel_u32(&slots_state, &seen, 1)) return seen == 2; /* acq: pairs with the store below */
    DWORD before = GetLastError(), index[OS_SLOT_COUNT];
    bool good = true;
    for (int i = 0; i < OS_SLOT_COUNT; i++) good = (index[i] = TlsAlloc()) < TEB_SLOT_COUNT && good;
    for (int i = 0; i < OS_SLOT_COUNT && good; i++) os_slot_offset[i] = (uint32_t)(TEB_SLOTS + 8 * index[i]);
    atom_store_rel_u32(&slots_state, good ? 2 : 3); /* rel: publishes the offsets */
    SetLastError(before);
    return good;
}

bool os_at_thread_exit(void (*on_exit)(void *value), void *value) {
    uint32_t seen = 0;
    DWORD before = GetLastError();
    if (atom_cas_acqrel_u32(&exit_state, &seen, 1)) {
        windows_library_stays(); /* threads that end will call it */
        exit_index = FlsAlloc((PFLS_CALLBACK_FUNCTION)on_exit); /* one calling convention on 64-bit Windows */
        seen = exit_index != FLS_OUT_OF_INDEXES ? 2 : 3;
        atom_store_rel_u32(&exit_state, seen); /* rel: publishes the index */
    }
    bool armed = seen == 2 && FlsSetValue(exit_index, value);
    SetLastError(before);
    return armed;
}

bool os_has_fibers(void) { return IsThreadAFiber(); }

void OS_FUNCTION(last_error_set)(uint32_t error) { SetLastError(error); }

uint32_t OS_FUNCTION(last_error)(void) { return GetLastError(); }

bool OS_FUNCTION(environment)(const char *name, char *text, size_t room) {
    DWORD before = GetLastError(), length = GetEnvironmentVariableA(name, text, (DWORD)room);
    SetLastError(before);
    return length != 0 && length < room;
}
